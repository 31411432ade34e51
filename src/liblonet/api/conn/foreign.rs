//! Dials to hosts of other subnetworks: the socket is connected to the peer, and lent to lonetd, which shakes hands
//! on it. `connect::foreign` does the same for connect(2), with that call's ways of waiting.

use super::super::error::Error;
use super::{Dial, Limit};
use crate::address::Address;
use crate::connect;
use lonet_core::control::{self, MAX_MESSAGE, Op, Reply};
use lonet_core::sys;
use nix::errno::Errno;
use std::net::SocketAddrV4;

/// How long a dial that does not wait leaves the peer to answer; then it is relayed.
const MOMENT: u32 = 40;

/// How much longer than it was given lonetd may take to say so.
const SLACK: i64 = 5_000;

/// The longest handshake, where nobody sets a limit.
const HANDSHAKE: i64 = 10_000;

enum Shaken {
    Done,
    /// The peer takes too long: connected there, it will be relayed.
    Relay(SocketAddrV4),
    /// The peer refuses; connected there, the socket says so.
    Refused(SocketAddrV4),
}

/// Waits until the peer has answered.
pub fn shake_hands(dial: &Dial<'_>, limit: &Limit) -> Result<(), Error> {
    let left = limit.left().map_or(0, |ms| u32::try_from(ms.max(1)).unwrap_or(u32::MAX));
    match hand_over(dial, left)? {
        Shaken::Done => Ok(()),
        Shaken::Relay(_) => Err(Error::TimedOut),
        Shaken::Refused(_) => Err(Error::Refused),
    }
}

/// The handshake of a dial that does not wait.
pub fn start(dial: &Dial<'_>) -> Result<(), Error> {
    let (to, refused) = match hand_over(dial, MOMENT)? {
        Shaken::Done => return Ok(()),
        Shaken::Relay(to) => (to, false),
        Shaken::Refused(to) => (to, true),
    };
    let target = Address::of_os(to, libc::AF_INET);
    // SAFETY: an address of ours with its length.
    let result = unsafe { sys::connect(dial.fd.raw(), target.pointer(), target.len) };
    let mut errno = result.err().map_or(0, |e| e as i32);
    if !refused {
        errno = connect::arrived(&dial.host.client, dial.fd.raw(), dial.cookie, to, errno);
    }
    match Errno::from_raw(errno) {
        Errno::EINPROGRESS => Ok(()),
        _ if errno == 0 => Ok(()),
        e => Err(Error::from_errno(e)),
    }
}

/// Lends the socket to lonetd. `milliseconds`: 0 is as long as any handshake.
fn hand_over(dial: &Dial<'_>, milliseconds: u32) -> Result<Shaken, Error> {
    let mut buffer = [0; MAX_MESSAGE];
    let op = Op::HandOver { cookie: dial.cookie, milliseconds };
    let control = dial.host.client.send_with(&op, dial.fd.raw(), &mut buffer)?;
    let limit = if milliseconds == 0 { HANDSHAKE } else { i64::from(milliseconds) };
    if !sys::readable_within(control.raw(), limit + SLACK).map_err(Error::from_errno)? {
        return Err(Error::NetworkDown);
    }
    let n = sys::recv(control.raw(), &mut buffer).map_err(|_| Error::NetworkDown)?;
    match control::read_reply(&buffer[..n]) {
        Ok((_, Reply::Done)) => Ok(Shaken::Done),
        Ok((_, Reply::DialForeign { to, .. })) => Ok(Shaken::Relay(to)),
        Ok((_, Reply::ConnectTo { to, .. })) => Ok(Shaken::Refused(to)),
        Ok((_, Reply::Error { errno, .. })) => Err(Error::from_errno(Errno::from_raw(errno))),
        _ => Err(Error::NetworkDown),
    }
}
