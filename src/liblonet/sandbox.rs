//! Support for programs in a sandbox that allows TCP ports by number (landlock(7)).
//!
//! The program's rules mean ports of its host, but the kernel would check the OS port behind one, and the
//! bind before a dial, which the program does not know of. So the kernel is asked about the program's port,
//! by calls that have no other effect. Where it allows that port, lonetd binds or connects the socket, which
//! is lent to it.

use crate::address::Address;
use lonet_core::client::{Client, TIME_LIMIT, Trouble};
use lonet_core::control::{MAX_MESSAGE, NetworkOp, Reply};
use lonet_core::limit::Limit;
use lonet_core::sys;
use nix::errno::Errno;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Ports below this one need a privilege, which lonetd must not lend.
pub const UNPRIVILEGED: u16 = 1024;

/// Whether the program may bind this port.
pub fn may_bind(port: u16) -> bool {
    // An address that no machine has.
    is_allowed(Ipv4Addr::new(240, 0, 0, 1), port, sys::bind)
}

/// Whether the program may connect to this port.
pub fn may_connect(port: u16) -> bool {
    // The broadcast address, to which TCP cannot connect.
    is_allowed(Ipv4Addr::BROADCAST, port, sys::connect)
}

type Call = unsafe fn(i32, *const libc::sockaddr, u32) -> sys::Result<()>;

fn is_allowed(ip: Ipv4Addr, port: u16, call: Call) -> bool {
    let Ok(fd) = sys::socket(libc::AF_INET, libc::SOCK_STREAM, 0) else { return false };
    let at = Address::of_os(SocketAddrV4::new(ip, port), libc::AF_INET);
    // SAFETY: an address with its length.
    unsafe { call(fd.raw(), at.pointer(), at.len) != Err(Errno::EACCES) }
}

/// A socket to be bound or connected, if necessary by lonetd.
pub struct Socket<'a> {
    pub client: &'a Client,
    pub limit: Limit,
    pub fd: i32,
    pub cookie: u64,
}

impl Socket<'_> {
    /// Binds the socket. Where the kernel forbids it although the program is allowed (`may`), lonetd does it.
    pub fn bind(&self, at: &Address, may: impl Fn() -> bool) -> Result<(), Errno> {
        // SAFETY: an address of ours with its length.
        let bound = unsafe { sys::bind(self.fd, at.pointer(), at.len) };
        match (bound, at.os()) {
            (Err(Errno::EACCES), Some(os)) if (os.port() == 0 || os.port() >= UNPRIVILEGED) && may() => {
                self.lend(os, false)
            }
            _ => bound,
        }
    }

    /// Has lonetd connect the socket without waiting: EINPROGRESS if that takes time.
    pub fn connect(&self, to: &Address) -> Result<(), Errno> {
        self.lend(to.os().ok_or(Errno::EACCES)?, true)
    }

    fn lend(&self, os: SocketAddrV4, connects: bool) -> Result<(), Errno> {
        let mut buffer = [0; MAX_MESSAGE];
        let op = NetworkOp::Lend { cookie: self.cookie, os, connects };
        let limit = self.limit.or_of_lonetd(TIME_LIMIT);
        let answer = self
            .client
            .send_with(&op, self.fd, limit, &mut buffer)
            .and_then(|control| self.client.receive_within(limit, &control, &mut buffer));
        match answer.map_err(Trouble::errno)? {
            (_, Reply::Done) => Ok(()),
            (_, Reply::Error { errno, .. }) => Err(Errno::from_raw(errno)),
            _ => Err(Errno::EACCES),
        }
    }
}
