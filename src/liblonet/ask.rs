//! Questions to lonetd, from inside a hook.

use crate::{log, process};
use lonet_core::client::{self, Trouble};
use lonet_core::control::{MAX_MESSAGE, Op, Reply};
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
    ask_for_text(op, start, &mut buffer).and_then(without_text)
}

/// As [`ask`], for answers with text in them, which lies in `buffer`.
pub fn ask_for_text<'b>(
    op: &Op<'_>,
    start: Start,
    buffer: &'b mut [u8; MAX_MESSAGE],
) -> Result<Reply<'b>, Errno> {
    let client = process::client().ok_or(Errno::ENETDOWN)?;
    let answer = match start {
        Start::Yes => client.ask_or_start(op, buffer),
        Start::No => client.ask(op, buffer),
    };
    match answer {
        Ok((block, reply)) => {
            if !op.one_way() {
                process::learn_block(block);
            }
            log::answered(op, &reply);
            match reply {
                Reply::Error { errno, .. } => Err(Errno::from_raw(errno)),
                reply => Ok(reply),
            }
        }
        Err(Trouble::NotRunning) if start == Start::No => Ok(Reply::Native),
        Err(trouble) => {
            log::trouble(op, trouble);
            Err(trouble.errno())
        }
    }
}

/// As [`ask`], with the connection to lonetd, on which more is to come.
pub fn ask_for_more(op: &Op<'_>, start: Start) -> Result<(Option<Fd>, Reply<'static>), Errno> {
    let client = process::client().ok_or(Errno::ENETDOWN)?;
    let mut buffer = [0u8; MAX_MESSAGE];
    let control = match client.send(op, &mut buffer) {
        Ok(control) => control,
        Err(Trouble::NotRunning) => return ask(op, start).map(|reply| (None, reply)),
        Err(trouble) => {
            log::trouble(op, trouble);
            return Err(trouble.errno());
        }
    };
    match client::receive(&control, op, &mut buffer) {
        Ok((block, reply)) => {
            process::learn_block(block);
            log::answered(op, &reply);
            without_text(reply).map(|reply| (Some(control), reply))
        }
        Err(Trouble::NotRunning) => ask(op, start).map(|reply| (None, reply)),
        Err(trouble) => {
            log::trouble(op, trouble);
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
    })
}
