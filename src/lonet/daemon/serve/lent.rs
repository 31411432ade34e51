//! Binds or connects sockets that programs lend, because a sandbox of the program's may forbid it the OS port
//! where it allows the lonet port.
//!
//! This gives no access to what the machine protects: the address is one of the network's, and the port one
//! that any program may have. It does not wait for connections: the program waits for one that takes longer.
//! But the lent descriptor may be any, and another holder of the socket may hold its lock: separate threads
//! do this work.

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

/// The lowest port that needs no privilege.
const UNPRIVILEGED: u16 = 1024;

/// How many sockets are bound or connected at once.
pub(super) const THREADS: usize = 8;

impl Daemon {
    /// Queues the work; its thread replies on `control`.
    pub(super) fn handle_lent(
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
        self.lent_pool.submit(move || {
            // The program may have given up waiting.
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

/// Connects without waiting, even if the socket is a blocking one.
fn connect(fd: i32, to: &dyn SockaddrLike) -> Result<(), Errno> {
    let limit: libc::timeval = sys::getsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDTIMEO)?;
    let moment = libc::timeval { tv_sec: 0, tv_usec: 1 };
    sys::setsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &moment)?;
    let connected = socket::connect(fd, to);
    sys::setsockopt(fd, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &limit)?;
    connected
}
