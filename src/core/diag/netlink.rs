//! A NETLINK_SOCK_DIAG socket, used by system calls that are made directly.

use super::error;
use crate::sys;
use std::io;
use std::os::fd::RawFd;

/// Longer than what counts of an answer about one socket: netlink's header and a struct inet_diag_msg.
pub const HEAD: usize = 128;

#[derive(Debug)]
pub struct Netlink(sys::Fd);

impl Netlink {
    /// `kind`: flags for socket(2) besides SOCK_CLOEXEC.
    pub fn open(kind: i32) -> io::Result<Netlink> {
        let fd = sys::socket(libc::AF_NETLINK, libc::SOCK_DGRAM | kind, libc::NETLINK_SOCK_DIAG)?;
        Ok(Netlink(fd))
    }

    /// One that was given away.
    pub fn of_raw(fd: sys::Fd) -> Netlink {
        Netlink(fd)
    }

    pub fn into_raw(self) -> RawFd {
        self.0.into_raw()
    }

    pub fn raw(&self) -> RawFd {
        self.0.raw()
    }

    /// Sends to the kernel, where a netlink socket that is not connected sends.
    pub fn send(&self, request: &[u8]) -> io::Result<()> {
        Ok(sys::send(self.raw(), request)?)
    }

    /// One datagram of the kernel's, and whether it was longer than the buffer. EAGAIN: there is none. An answer is
    /// there when [`Netlink::send`] returns, and the next part of a dump when the one before has been received.
    pub fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<(&'a [u8], bool)> {
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
                    libc::MSG_DONTWAIT | libc::MSG_TRUNC,
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
                Err(nix::errno::Errno::EINTR) => {}
                Err(e) => return Err(error(e as i32)),
            }
        }
    }

    /// As [`Netlink::receive`], several datagrams at once, of which no more than `ROOM` bytes count: their lengths. Those of
    /// others than the kernel have none.
    pub fn receive_several<const ROOM: usize, const N: usize>(
        &self,
        buffers: &mut [[u8; ROOM]; N],
    ) -> io::Result<impl Iterator<Item = usize> + use<ROOM, N>> {
        // SAFETY: all zeros is an address, and a message header.
        let (mut from, mut headers): ([libc::sockaddr_nl; N], [libc::mmsghdr; N]) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        let mut parts =
            buffers.each_mut().map(|b| libc::iovec { iov_base: b.as_mut_ptr().cast(), iov_len: ROOM });
        for ((header, part), from) in headers.iter_mut().zip(&mut parts).zip(&mut from) {
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = std::ptr::from_mut(from).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_nl>() as u32;
        }
        let received = loop {
            // SAFETY: headers, buffers and addresses are valid for the lengths that are passed with them.
            let received = sys::check(unsafe {
                let no_limit = std::ptr::null::<libc::timespec>();
                let flags = libc::MSG_DONTWAIT;
                libc::syscall(libc::SYS_recvmmsg, self.raw(), headers.as_mut_ptr(), N, flags, no_limit)
            });
            match received {
                Err(nix::errno::Errno::EINTR) => {}
                Err(e) => return Err(error(e as i32)),
                Ok(received) => break received as usize,
            }
        };
        let length = move |i: usize| if from[i].nl_pid == 0 { headers[i].msg_len as usize } else { 0 };
        Ok((0..received.min(N)).map(move |i| length(i).min(ROOM)))
    }

    /// Takes what is left of earlier questions. An overrun is no reason to stop: nobody waits for it.
    pub fn drain(&self, buffer: &mut [u8]) {
        loop {
            match self.receive(buffer) {
                Ok(_) => {}
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(_) => return,
            }
        }
    }
}
