//! News of TCP sockets that have ended.
//!
//! The kernel multicasts a message for every TCP socket that it frees, whatever its state was and whether or
//! not it was ever bound. It does so from a work queue, up to some milliseconds later, and for sockets of this
//! network namespace only. That a connect was refused or a connection reset is no end: the close is. A closed
//! connection that goes on as TIME_WAIT, or as FIN_WAIT2 while its peer keeps open, is told of when it becomes
//! that: its 4-tuple lives on, its socket does not, and there is no second message when the tuple goes.

use super::netlink::Netlink;
use super::{error, wire};
use crate::sys;
use std::io;
use std::os::fd::{AsRawFd, RawFd};

/// SKNLGRP_INET_TCP_DESTROY and SKNLGRP_INET6_TCP_DESTROY are groups 1 and 3; group n is bit n - 1.
const GROUPS: u32 = 0b101;

/// Bytes that may wait to be read; the kernel doubles it, and counts about 1280 for a message. So 6,500 messages
/// with privilege; without, what net.core.rmem_max allows: 330 where that is 208 KiB.
const BACKLOG: libc::c_int = 4 << 20;

/// A subscription to the ends of TCP sockets. Non-blocking; readable when there is news.
#[derive(Debug)]
pub struct Destroyed {
    netlink: Netlink,
}

impl Destroyed {
    pub fn open() -> io::Result<Self> {
        let netlink = Netlink::open(libc::SOCK_NONBLOCK)?;
        // Beyond the machine's limit with privilege, up to that limit without. Less only means that ENOBUFS
        // comes sooner.
        if sys::setsockopt(netlink.raw(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &BACKLOG).is_err() {
            sys::setsockopt(netlink.raw(), libc::SOL_SOCKET, libc::SO_RCVBUF, &BACKLOG)?;
        }
        // SAFETY: all zeros is a sockaddr_nl.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
        address.nl_groups = GROUPS;
        let len = size_of::<libc::sockaddr_nl>() as u32;
        // SAFETY: `address` has `len` bytes and outlives the call.
        unsafe { sys::bind(netlink.raw(), (&raw const address).cast(), len) }?;
        Ok(Destroyed { netlink })
    }

    /// The cookie of a socket that has ended. `Ok(None)`: no more for the moment.
    ///
    /// ENOBUFS: news has been lost, and what the caller believes alive has to be checked; later calls go on
    /// with what comes after.
    pub fn next(&self) -> io::Result<Option<u64>> {
        let mut buffer = [0; 512];
        loop {
            let received = match self.netlink.receive(&mut buffer, libc::MSG_DONTWAIT) {
                Ok((received, _)) => received,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(e) => return Err(e),
            };
            // One datagram is one message is one socket. What cannot be read is as good as lost.
            let Some(message) = wire::messages(received).next() else { return Err(error(libc::ENOBUFS)) };
            match message.kind {
                wire::ERROR | wire::DONE => {}
                _ => return wire::socket_cookie(message.body).map(Some).ok_or(error(libc::ENOBUFS)),
            }
        }
    }
}

impl AsRawFd for Destroyed {
    fn as_raw_fd(&self) -> RawFd {
        self.netlink.raw()
    }
}
