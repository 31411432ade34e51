//! A NETLINK_SOCK_DIAG socket, by system calls of its own.

use super::error;
use crate::sys;
use std::io;
use std::os::fd::RawFd;

/// The kernel answers at once. What takes this long will not come.
const ANSWER_LIMIT: libc::timeval = libc::timeval { tv_sec: 1, tv_usec: 0 };

#[derive(Debug)]
pub struct Netlink(sys::Fd);

impl Netlink {
    /// `kind`: flags for socket(2) besides SOCK_CLOEXEC.
    pub fn open(kind: i32) -> io::Result<Netlink> {
        let fd = sys::socket(libc::AF_NETLINK, libc::SOCK_DGRAM | kind, libc::NETLINK_SOCK_DIAG)?;
        sys::setsockopt(fd.raw(), libc::SOL_SOCKET, libc::SO_RCVTIMEO, &ANSWER_LIMIT)?;
        Ok(Netlink(fd))
    }

    pub fn raw(&self) -> RawFd {
        self.0.raw()
    }

    /// Sends to the kernel, where a netlink socket that is not connected sends.
    pub fn send(&self, request: &[u8]) -> io::Result<()> {
        Ok(sys::send(self.raw(), request)?)
    }

    /// One datagram of the kernel's, and whether it was longer than the buffer. ETIMEDOUT: none came.
    pub fn receive<'a>(&self, buffer: &'a mut [u8], flags: i32) -> io::Result<(&'a [u8], bool)> {
        loop {
            // SAFETY: all zeros is a sockaddr_nl.
            let mut from: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
            let mut from_len = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
            // SAFETY: buffer and address are valid for the lengths that are passed with them.
            let got = sys::check(unsafe {
                libc::syscall(
                    libc::SYS_recvfrom,
                    self.raw(),
                    buffer.as_mut_ptr(),
                    buffer.len(),
                    // MSG_TRUNC: the length of the datagram, not of what fitted.
                    flags | libc::MSG_TRUNC,
                    &raw mut from,
                    &raw mut from_len,
                )
            });
            match got {
                // Only the kernel is believed: a privileged process may send here too.
                Ok(_) if from.nl_pid != 0 => {}
                Ok(n) => {
                    let (n, room) = (n as usize, buffer.len());
                    return Ok((&buffer[..n.min(room)], n > room));
                }
                Err(e) => match e as i32 {
                    libc::EINTR => {}
                    libc::EAGAIN if flags & libc::MSG_DONTWAIT == 0 => return Err(error(libc::ETIMEDOUT)),
                    errno => return Err(error(errno)),
                },
            }
        }
    }

    /// Takes what is left of earlier questions. An overrun is no reason to stop: nobody waits for it.
    pub fn drain(&self, buffer: &mut [u8]) {
        loop {
            match self.receive(buffer, libc::MSG_DONTWAIT) {
                Ok(_) => {}
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(_) => return,
            }
        }
    }
}
