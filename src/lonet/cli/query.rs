//! Questions of the command to lonetd.

use crate::daemon::state::NetworkShown;
use lonet_core::client::{Client, TIME_LIMIT_SECONDS, Trouble, receive};
use lonet_core::control::{self, MAX_MESSAGE, Malformed, Op, Reply};
use lonet_core::sys::Fd;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use std::fs::File;
use std::io::{IoSliceMut, Read};
use std::os::fd::FromRawFd;
use std::time::{Duration, Instant};

/// All that a network has. `None`: it is not running.
pub fn network(client: &Client) -> Result<Option<NetworkShown>, String> {
    let mut buffer = [0u8; MAX_MESSAGE];
    let until = Instant::now() + Duration::from_secs(TIME_LIMIT_SECONDS as u64);
    loop {
        let fd = match send(client, &Op::List, &mut buffer) {
            Ok(fd) => fd,
            Err(Trouble::NotRunning) => return Ok(None),
            Err(e) => return Err(e.to_string()),
        };
        match list(&fd, &mut buffer) {
            // A lonetd that was killed takes connections until its last descriptor has gone; the next one knows the
            // same.
            Err(ListError::Died) if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
            Err(ListError::Died) => return Err("lonetd dies whenever it is asked; see <net>/log".to_owned()),
            Err(ListError::Said(text)) => return Err(text),
            Ok(shown) => return Ok(Some(shown)),
        }
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

/// A question with a short answer. `Err` is one sentence.
pub fn ask<'b>(
    client: &Client,
    op: &Op<'_>,
    buffer: &'b mut [u8; MAX_MESSAGE],
) -> Result<Reply<'b>, Trouble> {
    let fd = send(client, op, buffer)?;
    receive(&fd, op, buffer).map(|(_, reply)| reply)
}

/// Sends a question. A network whose lonetd was killed is there all the same, and gets a new one; one that was
/// ended is not started for a question.
pub fn send(client: &Client, op: &Op<'_>, buffer: &mut [u8; MAX_MESSAGE]) -> Result<Fd, Trouble> {
    match client.send(op, buffer) {
        Err(Trouble::NotRunning) if client.revive() => client.send(op, buffer),
        result => result,
    }
}
