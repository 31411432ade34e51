//! Questions to lonetd, from inside a hook.

use crate::{fence, log, process};
use lonet_core::client::{Client, StartIf, TIME_LIMIT, Trouble};
use lonet_core::control::{MAX_MESSAGE, Op, Opening, Reply};
use lonet_core::limit::Limit;
use lonet_core::sys::Fd;
use nix::errno::Errno;

/// What lonetd says; its text is gone (the log has it), its errno is the program's.
pub type Answer = Result<Reply<'static>, Errno>;

/// Whether a lonetd may be started for a question.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Yes,
    /// If the network's last one was killed. Without a lonetd the answer is `Reply::Native`: there is no such network.
    IfKilled,
    /// Without a lonetd the question has no point: the answer is `Reply::Native`.
    No,
}

/// How long one call of the program's may wait for lonetd, whatever it asks. Who asks one question passes
/// [`Limit::NONE`] instead, and the clock is read where there is a question.
pub fn limit() -> Limit {
    Limit::NONE.or_of_lonetd(TIME_LIMIT)
}

/// Asks, and fails with what bind and connect fail with.
pub fn ask(op: &Op<'_>, start: Start) -> Answer {
    let client = process::client().ok_or(Errno::ENETDOWN)?;
    ask_of(Limit::NONE, &client, op, start)
}

/// As [`ask`], within a limit, of a lonetd that need not be that of the process' own network.
pub fn ask_of(limit: Limit, client: &Client, op: &Op<'_>, start: Start) -> Answer {
    let mut buffer = [0u8; MAX_MESSAGE];
    ask_for_text(limit, client, op, start, &mut buffer).and_then(without_text)
}

/// As [`ask_of`], for answers with text in them, which lies in `buffer`.
pub fn ask_for_text<'b>(
    limit: Limit,
    client: &Client,
    op: &Op<'_>,
    start: Start,
    buffer: &'b mut [u8; MAX_MESSAGE],
) -> Result<Reply<'b>, Errno> {
    fence::place();
    let limit = limit.or_of_lonetd(TIME_LIMIT);
    let answer = match start {
        Start::Yes => client.ask_insisting(StartIf::Asked, limit, op, buffer),
        Start::IfKilled => client.ask_insisting(StartIf::Killed, limit, op, buffer),
        Start::No => client.ask(limit, op, buffer),
    };
    fence::place();
    match answer {
        Err(Trouble::NotRunning) if start != Start::Yes => Ok(Reply::Native),
        Err(Trouble::Directory(_)) if start == Start::No => Ok(Reply::Native),
        answer => understood(client, op, answer),
    }
}

/// What lonetd says; in the log, too.
fn understood<'b>(
    client: &Client,
    op: &Op<'_>,
    answer: Result<(Opening, Reply<'b>), Trouble>,
) -> Result<Reply<'b>, Errno> {
    match answer {
        Ok((opening, reply)) => {
            process::learn_block(client, opening.block);
            log::answered(client, op, &reply);
            match reply {
                Reply::Error { errno, .. } => Err(Errno::from_raw(errno)),
                reply => Ok(reply),
            }
        }
        Err(trouble) => {
            log::trouble(client, op, trouble);
            Err(trouble.errno())
        }
    }
}

/// As [`ask_of`], with the connection to lonetd, on which more is to come.
pub fn ask_for_more(
    limit: Limit,
    client: &Client,
    op: &Op<'_>,
    start: Start,
) -> Result<(Option<Fd>, Reply<'static>), Errno> {
    let mut buffer = [0u8; MAX_MESSAGE];
    let limit = limit.or_of_lonetd(TIME_LIMIT);
    let sent = client.send_within(limit, op, &mut buffer);
    let (control, answer) = match sent {
        Ok(control) => {
            let answer = client.receive_within(limit, &control, &mut buffer);
            (Some(control), answer)
        }
        Err(trouble) => (None, Err(trouble)),
    };
    match answer {
        Err(Trouble::NotRunning | Trouble::Directory(_)) => {
            ask_of(limit, client, op, start).map(|reply| (None, reply))
        }
        answer => understood(client, op, answer).and_then(without_text).map(|reply| (control, reply)),
    }
}

/// Tells lonetd something. Where nobody listens nobody needs to know.
pub fn tell(op: &Op<'_>) {
    if let Some(client) = process::client() {
        tell_to(Limit::NONE, &client, op);
    }
}

/// As [`tell`], within a limit, to a lonetd that need not be that of the process' own network.
///
/// What needs no answer is not waited for. What is answered changes a name that may be read at once: lonetd is to know
/// it, also one that has to be started anew.
pub fn tell_to(limit: Limit, client: &Client, op: &Op<'_>) {
    if op.one_way() {
        fence::place();
        let mut buffer = [0u8; MAX_MESSAGE];
        let told = client.tell(limit, op, &mut buffer);
        fence::place();
        if !matches!(told, Err(Trouble::NotRunning | Trouble::Directory(_))) {
            let _ = understood(client, op, told);
        }
    } else {
        let _ = ask_of(limit, client, op, Start::Yes);
    }
}

/// What has no text in it.
fn without_text(reply: Reply<'_>) -> Answer {
    Ok(match reply {
        Reply::Error { errno, .. } => return Err(Errno::from_raw(errno)),
        Reply::Host { .. } => return Err(Errno::EPROTO),
        Reply::Done => Reply::Done,
        Reply::Native => Reply::Native,
        Reply::BindTo { os, port } => Reply::BindTo { os, port },
        Reply::Go => Reply::Go,
        Reply::ConnectTo { to, from } => Reply::ConnectTo { to, from },
        Reply::Accepted { local, peer } => Reply::Accepted { local, peer },
        Reply::Drop => Reply::Drop,
        Reply::Named { local, peer, reuse_address, v6only } => {
            Reply::Named { local, peer, reuse_address, v6only }
        }
        Reply::Located { os } => Reply::Located { os },
        Reply::DialForeign { to, from } => Reply::DialForeign { to, from },
        Reply::Courier { peer, buffers } => Reply::Courier { peer, buffers },
        Reply::Stream => Reply::Stream,
        Reply::Entered { slot, host } => Reply::Entered { slot, host },
        Reply::Way { to, from, port, foreign } => Reply::Way { to, from, port, foreign },
        Reply::NoWay { errno, port } => Reply::NoWay { errno, port },
        // Its names are in the buffer: who wants them asks with a buffer of its own.
        Reply::Names { .. } => return Err(Errno::EPROTO),
    })
}
