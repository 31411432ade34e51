//! I/O on sockets that must neither block lonetd nor be set to non-blocking.

use lonet_core::handshake::LineBuf;
use nix::errno::Errno;
use nix::sys::socket::{
    self, AddressFamily, MsgFlags, SockFlag, SockType, SockaddrIn, SockaddrStorage, sockopt,
};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

const NOW: MsgFlags = MsgFlags::MSG_DONTWAIT.union(MsgFlags::MSG_NOSIGNAL);

/// The result of reading a line.
pub enum LineRead {
    Line(Vec<u8>),
    /// The line is incomplete so far.
    More,
    /// The connection has ended before the line did.
    End,
    /// The connection has failed, for example by a reset.
    Failed(Errno),
}

/// Continues to read a line, and leaves all bytes that follow it.
pub fn read_line(fd: &OwnedFd, line: &mut LineBuf) -> LineRead {
    let mut buffer = [0u8; lonet_core::handshake::MAX_LINE];
    loop {
        let room = line.room();
        let n = match socket::recv(fd.as_raw_fd(), &mut buffer[..room], MsgFlags::MSG_PEEK | NOW) {
            Ok(0) => return LineRead::End,
            Ok(n) => n,
            Err(Errno::EAGAIN) => return LineRead::More,
            Err(Errno::EINTR) => continue,
            Err(e) => return LineRead::Failed(e),
        };
        let wanted = line.wanted(&buffer[..n]);
        // What was peeked can be read: there is no other reader.
        let Ok(taken) = socket::recv(fd.as_raw_fd(), &mut buffer[..wanted], NOW) else {
            return LineRead::End;
        };
        if let Some(line) = line.push(&buffer[..taken]) {
            return LineRead::Line(line.to_vec());
        }
    }
}

/// Sends a whole line. There is room for it, as it is the first data that is sent.
pub fn send_line(fd: &OwnedFd, line: &[u8]) -> Result<(), Errno> {
    match send(fd, line)? {
        n if n == line.len() => Ok(()),
        _ => Err(Errno::EAGAIN),
    }
}

pub fn send(fd: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    loop {
        match socket::send(fd.as_raw_fd(), bytes, NOW) {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

pub fn receive(fd: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match socket::recv(fd.as_raw_fd(), buffer, NOW) {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

fn v4(a: Result<SockaddrStorage, Errno>) -> Option<SocketAddrV4> {
    let a = a.ok()?;
    if let Some(a) = a.as_sockaddr_in() {
        return Some(SocketAddrV4::new(a.ip(), a.port()));
    }
    let a = a.as_sockaddr_in6()?;
    Some(SocketAddrV4::new(a.ip().to_ipv4_mapped()?, a.port()))
}

pub fn local(fd: &OwnedFd) -> Option<SocketAddrV4> {
    v4(socket::getsockname(fd.as_raw_fd()))
}

pub fn remote(fd: &OwnedFd) -> Option<SocketAddrV4> {
    v4(socket::getpeername(fd.as_raw_fd()))
}

pub fn cookie(fd: &OwnedFd) -> u64 {
    lonet_core::sys::cookie(fd.as_raw_fd()).unwrap_or(0)
}

pub fn is_ipv6(fd: &OwnedFd) -> bool {
    lonet_core::sys::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_DOMAIN) == Ok(libc::AF_INET6)
}

/// Turns a v4-mapped AF_INET6 connection into an AF_INET one; it stays the same socket. It fails if the other
/// end has closed already.
pub fn become_ipv4(fd: &OwnedFd) {
    const IPV6_ADDRFORM: i32 = 1;
    let _ = lonet_core::sys::setsockopt(fd.as_raw_fd(), libc::IPPROTO_IPV6, IPV6_ADDRFORM, &libc::AF_INET);
}

/// Takes the socket's pending error.
pub fn error(fd: &OwnedFd) -> Option<Errno> {
    match socket::getsockopt(fd, sockopt::SocketError) {
        Ok(0) => None,
        Ok(n) => Some(Errno::from_raw(n)),
        Err(e) => Some(e),
    }
}

/// Whether a connect has succeeded or failed.
pub fn is_decided(fd: &OwnedFd) -> bool {
    let mut poll = [nix::poll::PollFd::new(fd.as_fd(), nix::poll::PollFlags::POLLOUT)];
    nix::poll::poll(&mut poll, nix::poll::PollTimeout::ZERO).is_ok_and(|n| n > 0)
}

/// A connection of our own, under way or refused at once.
pub fn connect(from: Option<Ipv4Addr>, to: SocketAddrV4) -> Result<OwnedFd, Errno> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket::socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
    if let Some(ip) = from {
        const IP_BIND_ADDRESS_NO_PORT: i32 = 24;
        lonet_core::sys::setsockopt(fd.as_raw_fd(), libc::SOL_IP, IP_BIND_ADDRESS_NO_PORT, &1i32)?;
        socket::bind(fd.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(ip, 0)))?;
    }
    match socket::connect(fd.as_raw_fd(), &SockaddrIn::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(fd),
        Err(e) => Err(e),
    }
}

/// Takes the connection off a socket, which stays open with its program; the other end sees a reset.
pub fn disconnect(fd: &OwnedFd) {
    let _ = lonet_core::sys::disconnect(fd.as_raw_fd());
    // What the end of that connection left is no error of the next one's.
    let _ = error(fd);
}

/// Closes with a reset.
pub fn reset(fd: OwnedFd) {
    let _ = lonet_core::sys::reset_at_close(fd.as_raw_fd());
}

pub fn end_of_data(fd: &OwnedFd) {
    let _ = socket::shutdown(fd.as_raw_fd(), socket::Shutdown::Write);
}

/// The sizes of a socket's buffers, for receiving and sending.
pub fn buffers(fd: &OwnedFd) -> [u32; 2] {
    let size = |n: nix::Result<usize>| n.ok().and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    [size(socket::getsockopt(fd, sockopt::RcvBuf)), size(socket::getsockopt(fd, sockopt::SndBuf))]
}
