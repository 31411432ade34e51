//! Questions of the command to lonetd.

use crate::daemon::state::NetworkShown;
use lonet_core::client::{Client, StartIf, Trouble, await_reply};
use lonet_core::control::{self, MAX_MESSAGE, Malformed, Op, Reply};
use lonet_core::limit::Limit;
use lonet_core::sys::Fd;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use std::fs::File;
use std::io::{IoSliceMut, Read};
use std::os::fd::FromRawFd;

/// All that a network has. `None`: it is not running.
pub fn network(client: &Client) -> Result<Option<NetworkShown>, String> {
    let mut buffer = [0u8; MAX_MESSAGE];
    let shown = exchange(client, &Op::List, &mut buffer, |fd, buffer| match list(fd, buffer) {
        Err(ListError::Died) => Err(Trouble::NotRunning),
        Err(ListError::Said(text)) => Ok(Err(text)),
        Ok(shown) => Ok(Ok(shown)),
    });
    match shown {
        Ok(shown) => shown.map(Some),
        Err(Trouble::NotRunning) => Ok(None),
        Err(e) => Err(e.to_string()),
    }
}

/// Why there is no list.
enum ListError {
    /// lonetd came to its end with the question unanswered.
    Died,
    Said(String),
}

impl From<String> for ListError {
    fn from(text: String) -> ListError {
        ListError::Said(text)
    }
}

/// The answer to [`Op::List`].
fn list(fd: &Fd, buffer: &mut [u8; MAX_MESSAGE]) -> Result<NetworkShown, ListError> {
    await_reply(fd).map_err(|e| e.to_string())?;
    let mut space = nix::cmsg_space!([i32; 1]);
    let mut slices = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = match recvmsg::<()>(fd.raw(), &mut slices, Some(&mut space), flags) {
        Err(Errno::ECONNRESET) => return Err(ListError::Died),
        other => other.map_err(|e| format!("lonetd: {e}"))?,
    };
    let rights = message.cmsgs().map_err(|e| e.to_string())?.find_map(|c| match c {
        ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
        _ => None,
    });
    let n = message.bytes;
    let Some(file) = rights else {
        return match control::read_reply(&buffer[..n]) {
            Err(_) if n == 0 => Err(ListError::Died),
            Ok((_, Reply::Error { text, .. })) => Err(text.to_owned().into()),
            Err(Malformed::Version(theirs)) => Err(Trouble::Version { theirs }.to_string().into()),
            other => Err(format!("lonetd answered with {other:?}").into()),
        };
    };
    // SAFETY: the descriptor was received just now and nobody else has it.
    let mut file = unsafe { File::from_raw_fd(file) };
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|e| format!("what lonetd answered cannot be read: {e}"))?;
    Ok(serde_json::from_str(&text).map_err(|e| format!("what lonetd answered is no list: {e}"))?)
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
