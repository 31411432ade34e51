//! Questions to lonetd, from inside a hook.

use crate::{fence, log, process};
use lonet_core::client::{Client, Trouble};
use lonet_core::control::{MAX_MESSAGE, Op, Reply};
use lonet_core::limit::Limit;
use lonet_core::sys::Fd;
use nix::errno::Errno;

/// What lonetd says; its text is gone (the log has it), its errno is the program's.
pub type Answer = Result<Reply<'static>, Errno>;

/// Whether a lonetd may be started for a question.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Yes,
    /// Without a lonetd the question has no point: the answer is `Reply::Native`.
    No,
}

/// Asks, and fails with what bind and connect fail with.
pub fn ask(op: &Op<'_>, start: Start) -> Answer {
    let mut buffer = [0u8; MAX_MESSAGE];
    let client = process::client().ok_or(Errno::ENETDOWN)?;
    ask_for_text(&client, op, start, &mut buffer).and_then(without_text)
}

/// As [`ask`], of a lonetd that need not be that of the process' own network.
pub fn ask_of(client: &Client, op: &Op<'_>, start: Start) -> Answer {
    let mut buffer = [0u8; MAX_MESSAGE];
    ask_for_text(client, op, start, &mut buffer).and_then(without_text)
}

/// As [`ask_of`], for answers with text in them, which lies in `buffer`.
pub fn ask_for_text<'b>(
    client: &Client,
    op: &Op<'_>,
    start: Start,
    buffer: &'b mut [u8; MAX_MESSAGE],
) -> Result<Reply<'b>, Errno> {
    fence::place();
    let answer = match start {
        Start::Yes => client.ask_or_start(op, buffer),
        Start::No => client.ask(op, buffer),
    };
    fence::place();
    match answer {
        Ok((opening, reply)) => {
            process::learn_block(client, opening.block);
            log::answered(client, op, &reply);
            match reply {
                Reply::Error { errno, .. } => Err(Errno::from_raw(errno)),
                reply => Ok(reply),
            }
        }
        Err(Trouble::NotRunning | Trouble::Directory(_)) if start == Start::No => Ok(Reply::Native),
        Err(trouble) => {
            log::trouble(client, op, trouble);
            Err(trouble.errno())
        }
    }
}

/// As [`ask_of`], with the connection to lonetd, on which more is to come.
pub fn ask_for_more(
    client: &Client,
    op: &Op<'_>,
    start: Start,
) -> Result<(Option<Fd>, Reply<'static>), Errno> {
    let mut buffer = [0u8; MAX_MESSAGE];
    let sent = client.send(op, &mut buffer);
    let answer = sent.and_then(|control| {
        client.receive(&control, &mut buffer).map(|(opening, reply)| (control, opening, reply))
    });
    match answer {
        Ok((control, opening, reply)) => {
            process::learn_block(client, opening.block);
            log::answered(client, op, &reply);
            without_text(reply).map(|reply| (Some(control), reply))
        }
        Err(Trouble::NotRunning) => ask_of(client, op, start).map(|reply| (None, reply)),
        Err(trouble) => {
            log::trouble(client, op, trouble);
            Err(trouble.errno())
        }
    }
}

/// Says something that lonetd does not answer. Where nobody listens nobody needs to know.
pub fn tell(op: &Op<'_>) {
    if let Err(errno) = ask(op, Start::No) {
        let _ = errno;
    }
}

/// As [`tell`], to a lonetd that need not be that of the process' own network.
pub fn tell_to(client: &Client, op: &Op<'_>) {
    // What is answered changes a name that may be read at once: lonetd is to know it, also one that has to be
    // started anew.
    let start = if op.one_way() { Start::No } else { Start::Yes };
    let _ = ask_of(client, op, start);
}

/// As [`tell_to`], of what is not answered, within a time limit. When that is over it is said if that takes no time at
/// all: the kernel says it as well, a little later.
pub fn tell_within(limit: Limit, client: &Client, op: &Op<'_>) {
    if client.say(op, &mut [0; MAX_MESSAGE]).is_err() && !limit.is_over() {
        tell_to(client, op);
    }
}

/// What has no text in it.
fn without_text(reply: Reply<'_>) -> Answer {
    Ok(match reply {
        Reply::Error { errno, .. } => return Err(Errno::from_raw(errno)),
        Reply::Host { .. } => return Err(Errno::EPROTO),
        Reply::Done => Reply::Done,
        Reply::Native => Reply::Native,
        Reply::BindTo { os } => Reply::BindTo { os },
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
        Reply::Way { to, from, port, foreign } => Reply::Way { to, from, port, foreign },
        Reply::NoWay { errno, port } => Reply::NoWay { errno, port },
        // Its names are in the buffer: who wants them asks with a buffer of its own.
        Reply::Names { .. } => return Err(Errno::EPROTO),
    })
}
