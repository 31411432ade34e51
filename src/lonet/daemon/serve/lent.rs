//! Sockets that programs lend to have them bound or connected: a sandbox of the program's may forbid it the OS port where the
//! lonet port is allowed.
//!
//! It is no way around what the machine protects: the address is one of the network's, and the port one that any program may
//! have. No connection is waited for: one that takes longer is the program's to wait for. But what has been lent may be any
//! descriptor, and whoever else has the socket may hold its lock: threads of their own do it.

use super::connections::has_hung_up;
use super::messages::reply;
use super::{Daemon, rights};
use lonet_core::block::Place;
use lonet_core::control::Reply;
use lonet_core::sys;
use nix::errno::Errno;
use nix::sys::socket::{self, SockaddrIn, SockaddrIn6, SockaddrLike};
use std::net::{SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd};

/// The first port that takes no privilege.
const UNPRIVILEGED: u16 = 1024;

/// So many sockets are bound or connected at once.
pub(super) const THREADS: usize = 8;

impl Daemon {
    /// Has it done, and answered on `control` what came of it.
    pub(super) fn take_lent(
        &self,
        control: OwnedFd,
        socket: OwnedFd,
        cookie: u64,
        os: SocketAddrV4,
        connects: bool,
    ) {
        let block = self.state.block;
        let is_hosts = matches!(block.place(os.ip().to_ipv6_mapped()), Place::Host(..));
        let may_be = match connects {
            true => is_hosts || *os.ip() == block.stack(),
            false => is_hosts && (os.port() == 0 || os.port() >= UNPRIVILEGED),
        };
        self.lent.give(move || {
            // Nobody waits for what has been waiting for too long.
            if !has_hung_up(&control) {
                let done = if may_be { put(&socket, cookie, os, connects) } else { Err(Errno::EACCES) };
                let text = "a lent socket";
                let done = done.map_or_else(|e| Reply::Error { errno: e as i32, text }, |()| Reply::Done);
                reply(block, &control, &done);
            }
            rights::close(socket);
        });
    }
}

fn put(socket: &OwnedFd, cookie: u64, os: SocketAddrV4, connects: bool) -> Result<(), Errno> {
    let fd = socket.as_raw_fd();
    let option = |name| sys::getsockopt::<i32>(fd, libc::SOL_SOCKET, name);
    let is_it = sys::getsockopt::<u64>(fd, libc::SOL_SOCKET, libc::SO_COOKIE)? == cookie;
    if !is_it || option(libc::SO_PROTOCOL)? != libc::IPPROTO_TCP {
        return Err(Errno::EACCES);
    }
    let mapped = SocketAddrV6::new(os.ip().to_ipv6_mapped(), os.port(), 0, 0);
    match (option(libc::SO_DOMAIN)?, connects) {
        (libc::AF_INET, true) => connect(fd, &SockaddrIn::from(os)),
        (libc::AF_INET, false) => socket::bind(fd, &SockaddrIn::from(os)),
        (_, true) => connect(fd, &SockaddrIn6::from(mapped)),
        (_, false) => socket::bind(fd, &SockaddrIn6::from(mapped)),
    }
}

/// Connects for a moment at most, also where the socket is a blocking one.
fn connect(fd: i32, to: &dyn SockaddrLike) -> Result<(), Errno> {
    let limit: libc::timeval = sys::getsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDTIMEO)?;
    let moment = libc::timeval { tv_sec: 0, tv_usec: 1 };
    sys::setsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &moment)?;
    let connected = socket::connect(fd, to);
    sys::setsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &limit)?;
    connected
}
