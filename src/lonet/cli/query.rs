//! Questions of the command to lonetd.

use crate::daemon::state::NetworkShown;
use crate::memory_file;
use lonet_core::client::{Client, StartIf, Trouble, await_reply};
use lonet_core::control::{self, MAX_MESSAGE, Malformed, Op, Reply};
use lonet_core::limit::Limit;
use lonet_core::sys::{self, Fd};
use nix::errno::Errno;
use std::fs::File;
use std::os::fd::FromRawFd;

/// What lonetd says of all that a network has.
pub struct Listing(String);

impl Listing {
    pub fn shown(&self) -> Result<NetworkShown<'_>, String> {
        serde_json::from_str(&self.0).map_err(|e| format!("what lonetd answered is no list: {e}"))
    }
}

/// All that a network has. `None`: it is not running.
pub fn network(client: &Client) -> Result<Option<Listing>, String> {
    match exchange(client, &Op::List, &mut [0u8; MAX_MESSAGE], text) {
        Ok(text) => Ok(Some(Listing(text?))),
        Err(Trouble::NotRunning) => Ok(None),
        Err(e) => Err(e.to_string()),
    }
}

/// An answer that is a text in a memory file; if there is nothing to say, an empty one. The inner error is what else
/// lonetd has to say.
pub fn text(fd: &Fd, buffer: &mut [u8; MAX_MESSAGE]) -> Result<Result<String, String>, Trouble> {
    text_within(Limit::NONE, fd, buffer)
}

/// As [`text`], within a time limit.
pub fn text_within(
    limit: Limit,
    fd: &Fd,
    buffer: &mut [u8; MAX_MESSAGE],
) -> Result<Result<String, String>, Trouble> {
    await_reply(fd, limit)?;
    let (n, file) = match sys::recv_with(fd.raw(), buffer, true) {
        // lonetd came to its end with the question unanswered.
        Ok((0, _)) | Err(Errno::ECONNRESET) => return Err(Trouble::NotRunning),
        other => other.map_err(Trouble::Silent)?,
    };
    let Some(file) = file else {
        return Ok(match control::read_reply(&buffer[..n]) {
            Ok((_, Reply::Done)) => Ok(String::new()),
            Ok((_, Reply::Error { text, .. })) => Err(text.to_owned()),
            Err(Malformed::Version(theirs)) => Err(Trouble::Version { theirs }.to_string()),
            other => Err(format!("lonetd answered with {other:?}")),
        });
    };
    // SAFETY: the descriptor was received just now and nobody else has it.
    let file = unsafe { File::from_raw_fd(file) };
    Ok(memory_file::text(&file, u64::MAX).map_err(|e| format!("what lonetd answered cannot be read: {e}")))
}

/// A question with a short answer, of a network that runs or whose lonetd was killed.
pub fn ask<'b>(
    client: &Client,
    op: &Op<'_>,
    buffer: &'b mut [u8; MAX_MESSAGE],
) -> Result<Reply<'b>, Trouble> {
    client.ask_insisting(StartIf::Killed, Limit::NONE, op, buffer).map(|(_, reply)| reply)
}

/// A question whose answer `receive` takes, from as many lonetds as it needs.
pub fn exchange<T>(
    client: &Client,
    op: &Op<'_>,
    buffer: &mut [u8; MAX_MESSAGE],
    mut receive: impl FnMut(&Fd, &mut [u8; MAX_MESSAGE]) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    client.insist(StartIf::Killed, Limit::NONE, buffer, |buffer| receive(&client.send(op, buffer)?, buffer))
}
