//! Sends requests and one-way messages to lonetd from inside a hook.

use crate::failure::Failure;
use crate::panic_barrier::panic_point;
use crate::{process, seat};
use lonet_core::client::{Client, StartIf, TIME_LIMIT, Trouble};
use lonet_core::control::{Delivery, MAX_MESSAGE, Opening, Reply, Request};
use lonet_core::limit::Limit;
use lonet_core::sys::Fd;
use nix::errno::Errno;

/// The result of a request.
pub type RequestResult = Result<Reply<'static>, Failure>;

/// Whether a request may start a lonetd.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Yes,
    /// Only if the network's last one was killed. Otherwise no such network runs, and the reply is
    /// `Reply::Native`.
    IfKilled,
    /// No: without a lonetd the request is pointless, and the reply is `Reply::Native`.
    No,
}

/// The time limit of one call of the program for all its requests to lonetd. A call that may send none, or only
/// one, begins with [`Limit::NONE`] instead, so that the clock is read only when a request is sent.
pub fn limit() -> Limit {
    Limit::NONE.or_of_lonetd(TIME_LIMIT)
}

/// The limit of a call before its first request, with which it begins: for a call that sends one at most.
pub fn unbegun() -> Limit {
    Limit::NONE
}

/// Sends one of several requests of a call, whose limit begins with the first of them. A lonetd that had to wait for a
/// processor and has answered gets time for the next one.
pub fn ask_in_call(limit: &mut Limit, client: &Client, request: &dyn Request, start: Start) -> RequestResult {
    *limit = limit.or_of_lonetd(TIME_LIMIT);
    let reply = ask_of(*limit, client, request, start)?;
    *limit = limit.forgiven(TIME_LIMIT);
    Ok(reply)
}

/// As [`ask_in_call`], for what the call can do without: it is not asked, and fails, where lonetd has not answered an
/// earlier request of the call in time.
pub fn ask_unless_silent(
    limit: &mut Limit,
    client: &Client,
    request: &dyn Request,
    start: Start,
) -> RequestResult {
    begin_unless_silent(limit)?;
    ask_in_call(limit, client, request, start)
}

/// As [`ask_unless_silent`], for replies that contain text, which is stored in `buffer`. The call's limit begins when lonetd has
/// not answered: whatever the call waits for after an answer, such as another server's, is no time of lonetd's.
pub fn ask_for_text_unless_silent<'b>(
    limit: &mut Limit,
    client: &Client,
    request: &dyn Request,
    start: Start,
    buffer: &'b mut [u8; MAX_MESSAGE],
) -> Result<Reply<'b>, Failure> {
    let mut begun = *limit;
    begin_unless_silent(&mut begun)?;
    let answer = ask_for_text(begun, client, request, start, buffer);
    begin_if_silent(limit, begun, answer.as_ref().err());
    answer
}

/// Begins the limit, with a single look at the clock.
fn begin_unless_silent(limit: &mut Limit) -> Result<(), Failure> {
    if limit.is_over() {
        return Err(Failure::new(Errno::ENETDOWN, "lonetd has not answered the call before"));
    }
    *limit = limit.or_of_lonetd(TIME_LIMIT);
    Ok(())
}

/// Makes `begun` the call's limit if lonetd has not answered within it.
fn begin_if_silent(limit: &mut Limit, begun: Limit, failed: Option<&Failure>) {
    if failed.is_some_and(|failed| failed.errno == Errno::ENETDOWN) && begun.is_over() {
        *limit = begun;
    }
}

/// Sends a request to the lonetd of any network, within a limit. Its errors are those that bind and connect may return.
// Not inlined: the buffer would enlarge the frames of hooks, which may run on a small stack.
#[inline(never)]
pub fn ask_of(limit: Limit, client: &Client, request: &dyn Request, start: Start) -> RequestResult {
    let mut buffer = [0u8; MAX_MESSAGE];
    ask_for_text(limit, client, request, start, &mut buffer).and_then(without_text)
}

/// As [`ask_of`], for replies that contain text, which is stored in `buffer`.
pub fn ask_for_text<'b>(
    limit: Limit,
    client: &Client,
    request: &dyn Request,
    start: Start,
    buffer: &'b mut [u8; MAX_MESSAGE],
) -> Result<Reply<'b>, Failure> {
    panic_point();
    let limit = limit.or_of_lonetd(TIME_LIMIT);
    let answer = match start {
        Start::Yes => client.ask_insisting(StartIf::Asked, limit, request, buffer),
        Start::IfKilled => client.ask_insisting(StartIf::Killed, limit, request, buffer),
        Start::No => client.ask(limit, request, buffer),
    };
    panic_point();
    process::table(client).into_iter().for_each(seat::allow_ptrace_by_lonetd);
    match answer {
        Err(Trouble::NotRunning) if start != Start::Yes => Ok(Reply::Native),
        Err(Trouble::Directory(_)) if start == Start::No => Ok(Reply::Native),
        answer => check_reply(client, answer),
    }
}

fn check_reply<'b>(
    client: &Client,
    answer: Result<(Opening, Reply<'b>), Trouble>,
) -> Result<Reply<'b>, Failure> {
    let (opening, reply) = answer?;
    process::learn_block(client, opening.block);
    match reply {
        Reply::Error { errno, text } => Err(Failure::new(Errno::from_raw(errno), text)),
        reply => Ok(reply),
    }
}

/// As [`ask_for_text_unless_silent`], and also returns the connection to lonetd, on which more will follow.
pub fn ask_keeping_connection(
    limit: &mut Limit,
    client: &Client,
    request: &dyn Request,
    start: Start,
) -> Result<(Option<Fd>, Reply<'static>), Failure> {
    let mut buffer = [0u8; MAX_MESSAGE];
    let mut begun = *limit;
    begin_unless_silent(&mut begun)?;
    let sent = client.send_within(begun, request, &mut buffer);
    let (control, answer) = match sent {
        Ok(control) => {
            let answer = client.receive_within(begun, &control, &mut buffer);
            (Some(control), answer)
        }
        Err(trouble) => (None, Err(trouble)),
    };
    let answered = match answer {
        Err(Trouble::NotRunning | Trouble::Directory(_)) => {
            ask_of(begun, client, request, start).map(|reply| (None, reply))
        }
        answer => check_reply(client, answer).and_then(without_text).map(|reply| (control, reply)),
    };
    begin_if_silent(limit, begun, answered.as_ref().err());
    answered
}

/// Notifies the lonetd of any network, if one runs, within a limit.
///
/// A one-way message is not waited for. One with a reply changes a name that the program may read at once, so
/// it must reach lonetd, also one that has to be restarted.
pub fn tell_to(limit: Limit, client: &Client, request: &dyn Request) {
    if request.delivery() != Delivery::Replied {
        panic_point();
        let mut buffer = [0u8; MAX_MESSAGE];
        let sent = client.tell(limit, request, &mut buffer);
        panic_point();
        if !matches!(sent, Err(Trouble::NotRunning | Trouble::Directory(_))) {
            let _ = check_reply(client, sent);
        }
    } else {
        let _ = ask_of(limit, client, request, Start::Yes);
    }
}

/// Replies that contain no text; the others are protocol errors.
fn without_text(reply: Reply<'_>) -> RequestResult {
    Ok(match reply {
        Reply::Error { errno, text } => return Err(Failure::new(Errno::from_raw(errno), text)),
        Reply::Host { .. } => return Err(Errno::EPROTO.into()),
        Reply::Done => Reply::Done,
        Reply::Native => Reply::Native,
        Reply::BindTo { os, port } => Reply::BindTo { os, port },
        Reply::Listen => Reply::Listen,
        Reply::DialByTable => Reply::DialByTable,
        Reply::ConnectTo { to, from } => Reply::ConnectTo { to, from },
        Reply::Accepted { local, peer } => Reply::Accepted { local, peer },
        Reply::Drop => Reply::Drop,
        Reply::Named { local, peer, reuse_address, v6only } => {
            Reply::Named { local, peer, reuse_address, v6only }
        }
        Reply::Located { os } => Reply::Located { os },
        Reply::DialForeign { to, from } => Reply::DialForeign { to, from },
        Reply::RelayAt { to } => Reply::RelayAt { to },
        Reply::RefusedAt { to } => Reply::RefusedAt { to },
        Reply::Courier { peer, receive_buffer, send_buffer } => {
            Reply::Courier { peer, receive_buffer, send_buffer }
        }
        Reply::Stream => Reply::Stream,
        Reply::Entered { slot, host } => Reply::Entered { slot, host },
        Reply::Way { to, from, port, foreign } => Reply::Way { to, from, port, foreign },
        Reply::Met { rules, hits } => Reply::Met { rules, hits },
        Reply::NoWay { errno, port } => Reply::NoWay { errno, port },
        // The names are in the buffer: who wants them passes a buffer of its own (`ask_for_text`).
        Reply::Names { .. } => return Err(Errno::EPROTO.into()),
    })
}
