//! Dials to foreign hosts: the socket is connected to the peer and lent to lonetd, which performs the
//! handshake on it. `connect::foreign_peer` does the same for connect(2), with that call's ways of waiting.

use super::super::error::{Error, Result};
use super::Dial;
use crate::address::Address;
use crate::connect;
use crate::connect::foreign_peer::GRACE_MS;
use crate::handshake_wait::{LOOK, Watch};
use lonet_core::client::await_reply;
use lonet_core::control::{self, MAX_MESSAGE, NetworkOp, Reply};
use lonet_core::limit::Limit;
use lonet_core::sys::{self, Fd};
use nix::errno::Errno;
use std::net::SocketAddrV4;

enum Handshake {
    Done,
    /// The peer takes too long: the socket is to be connected to this address, where lonetd relays it.
    Relay(SocketAddrV4),
    /// The peer refuses: connected to this address, the socket reports that.
    Refused(SocketAddrV4),
}

/// Waits until the peer has replied, lonetd's own limit for a handshake is over, or lonetd does not answer. At the
/// limit of the call lonetd notices that nobody waits, and disconnects the socket, as a relay would be pointless.
pub fn shake_hands(dial: &Dial<'_>, limit: Limit) -> Result<()> {
    let mut watch = Watch::begin(&dial.host.client, limit);
    let replied = |control: &Fd| loop {
        match sys::readable_within(control.raw(), limit.of(LOOK)) {
            Ok(true) => return Ok(()),
            Ok(false) if limit.is_over() => return Err(Error::TimedOut.of(dial.path)),
            Ok(false) => watch.look(control).map_err(|trouble| match limit.is_over() {
                true => Error::TimedOut.of(dial.path),
                false => Error::from(trouble).because(dial.path, trouble),
            })?,
            Err(e) => return Err(Error::from_errno(e).of(dial.path)),
        }
    };
    match hand_over(dial, 0, replied)? {
        Handshake::Done => Ok(()),
        Handshake::Relay(_) => Err(Error::TimedOut.of(dial.path)),
        Handshake::Refused(_) => Err(Error::Refused.of(dial.path)),
    }
}

/// Performs the handshake of a dial that does not wait.
pub fn start(dial: &Dial<'_>) -> Result<()> {
    let answered = |control: &Fd| {
        await_reply(control, dial.limit).map_err(|trouble| Error::from(trouble).because(dial.path, trouble))
    };
    let (to, refused) = match hand_over(dial, GRACE_MS, answered)? {
        Handshake::Done => return Ok(()),
        Handshake::Relay(to) => (to, false),
        Handshake::Refused(to) => (to, true),
    };
    let target = Address::of_os(to, libc::AF_INET);
    // SAFETY: an address of ours with its length.
    let result = unsafe { sys::connect(dial.fd.raw(), target.pointer(), target.len) };
    let mut errno = result.err().map_or(0, |e| e as i32);
    if !refused {
        errno = connect::conclude(dial.limit, &dial.host.client, dial.fd.raw(), dial.cookie, to, errno);
    }
    match Errno::from_raw(errno) {
        Errno::EINPROGRESS => Ok(()),
        _ if errno == 0 => Ok(()),
        e => Err(Error::from_errno(e).of(dial.path)),
    }
}

/// Lends the socket to lonetd. `milliseconds`: when to relay it; 0 is never. `wait`: waits for the reply.
fn hand_over(dial: &Dial<'_>, milliseconds: u32, wait: impl FnOnce(&Fd) -> Result<()>) -> Result<Handshake> {
    let mut buffer = [0; MAX_MESSAGE];
    let op = NetworkOp::HandOver { cookie: dial.cookie, milliseconds };
    let (client, path) = (&dial.host.client, dial.path);
    let control =
        client.send_with(&op, dial.fd.raw(), dial.limit, &mut buffer).map_err(|trouble| {
            match dial.limit.without_lonetds().is_over() {
                true => Error::TimedOut.of(path),
                false => Error::from(trouble).because(path, trouble),
            }
        })?;
    wait(&control)?;
    let n = sys::recv(control.raw(), &mut buffer).map_err(|_| Error::NetworkDown.of(path))?;
    match control::read_reply(&buffer[..n]) {
        Ok((_, Reply::Done)) => Ok(Handshake::Done),
        Ok((_, Reply::RelayAt { to })) => Ok(Handshake::Relay(to)),
        Ok((_, Reply::RefusedAt { to })) => Ok(Handshake::Refused(to)),
        Ok((_, Reply::Error { errno, text })) => {
            Err(Error::from_errno(Errno::from_raw(errno)).because(path, text))
        }
        _ => Err(Error::NetworkDown.of(path)),
    }
}
