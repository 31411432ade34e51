//! System calls, made directly instead of through libc's functions.
//!
//! This code also runs inside other people's processes, under liblonet's hooks. There libc's `close` or
//! `connect` would be those hooks; `recv` and `poll` are cancellation points, at which a thread may vanish in
//! the middle of an exchange; and any function of libc may be another interposer's, which may hold a lock
//! during the call that led here. `syscall` has none of these problems. scripts/check-imports compares the
//! library's imports with a list of safe ones.

mod file;
mod memory;
mod tcp;
mod text;

pub use file::{
    each_descriptor, each_number, fstat, fstatat, has_attribute, is_nosuid, may_execute, open, open_at,
    read_at, read_file, real_path,
};
pub use memory::{mmap, munmap};
pub use tcp::{Traffic, cookie, disconnect, reset_at_close, retransmitted, traffic};
pub use text::Text;

use nix::errno::Errno;
use std::os::fd::RawFd;

pub type Result<T> = std::result::Result<T, Errno>;

/// Converts the return value of `syscall`: a value, or errno.
pub fn check(value: libc::c_long) -> Result<libc::c_long> {
    if value < 0 { Err(Errno::last()) } else { Ok(value) }
}

/// A descriptor that is closed when it goes out of scope, by a direct system call.
#[derive(Debug)]
pub struct Fd(RawFd);

impl Fd {
    /// Takes ownership of `fd` and moves it off 0, 1 and 2, so that a program that has closed its standard
    /// streams does not find them open.
    pub fn new(fd: RawFd) -> Result<Fd> {
        let fd = Fd(fd);
        if fd.0 > 2 {
            return Ok(fd);
        }
        // SAFETY: fcntl on a descriptor that is ours.
        let high = check(unsafe { libc::syscall(libc::SYS_fcntl, fd.0, libc::F_DUPFD_CLOEXEC, 3) })?;
        Ok(Fd(high as RawFd))
    }

    /// Takes ownership of `fd` without moving it.
    pub fn adopt(fd: RawFd) -> Fd {
        Fd(fd)
    }

    pub fn raw(&self) -> RawFd {
        self.0
    }

    /// Releases ownership of the descriptor.
    pub fn into_raw(self) -> RawFd {
        let fd = self.0;
        std::mem::forget(self);
        fd
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: the descriptor is ours and is not used again.
        unsafe { libc::syscall(libc::SYS_close, self.0) };
    }
}

impl std::os::fd::AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

/// The process id, by a system call: a cached one would be wrong after fork.
pub fn getpid() -> i32 {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::syscall(libc::SYS_getpid) as i32 }
}

/// The effective user id that the kernel has; fakeroot's would be another.
pub fn geteuid() -> u32 {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::syscall(libc::SYS_geteuid) as u32 }
}

/// The real user id.
pub fn getuid() -> u32 {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::syscall(libc::SYS_getuid) as u32 }
}

/// The real group id.
pub fn getgid() -> u32 {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::syscall(libc::SYS_getgid) as u32 }
}

/// Whether PR_SET_NO_NEW_PRIVS is set: set-user-ID programs give this process no privileges.
pub fn no_new_privs() -> bool {
    // SAFETY: no pointers.
    unsafe { libc::syscall(libc::SYS_prctl, libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 }
}

/// Whether the process has a seccomp filter.
pub fn is_filtered() -> bool {
    const FILTERED: i64 = libc::SECCOMP_MODE_FILTER as i64;
    // SAFETY: no pointers.
    unsafe { libc::syscall(libc::SYS_prctl, libc::PR_GET_SECCOMP, 0, 0, 0, 0) == FILTERED }
}

/// The time of a clock, by a system call: libc's function may be an interposer's that fakes the time.
pub fn clock(clock: libc::clockid_t) -> std::time::Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a structure to fill.
    unsafe { libc::syscall(libc::SYS_clock_gettime, clock, &raw mut time) };
    std::time::Duration::new(time.tv_sec.max(0) as u64, time.tv_nsec.clamp(0, 999_999_999) as u32)
}

pub fn gettid() -> i32 {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

pub fn socket(family: i32, kind: i32, protocol: i32) -> Result<Fd> {
    // SAFETY: no pointers.
    let fd = check(unsafe { libc::syscall(libc::SYS_socket, family, kind | libc::SOCK_CLOEXEC, protocol) })?;
    Fd::new(fd as RawFd)
}

/// # Safety
/// `address` must point to `len` readable bytes.
pub unsafe fn connect(fd: RawFd, address: *const libc::sockaddr, len: u32) -> Result<()> {
    // SAFETY: passed on from the caller.
    check(unsafe { libc::syscall(libc::SYS_connect, fd, address, len) }).map(drop)
}

/// # Safety
/// `address` must point to `len` readable bytes.
pub unsafe fn bind(fd: RawFd, address: *const libc::sockaddr, len: u32) -> Result<()> {
    // SAFETY: passed on from the caller.
    check(unsafe { libc::syscall(libc::SYS_bind, fd, address, len) }).map(drop)
}

/// Sends one packet; never raises SIGPIPE.
pub fn send(fd: RawFd, bytes: &[u8]) -> Result<()> {
    loop {
        // SAFETY: the buffer is valid for its length; a null address with length 0 is none.
        let sent = check(unsafe {
            libc::syscall(
                libc::SYS_sendto,
                fd,
                bytes.as_ptr(),
                bytes.len(),
                libc::MSG_NOSIGNAL,
                std::ptr::null::<libc::sockaddr>(),
                0,
            )
        });
        match sent {
            Ok(n) if n as usize == bytes.len() => return Ok(()),
            Ok(_) => return Err(Errno::EMSGSIZE),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// Receives one packet; 0 bytes is the end. EAGAIN: the socket's receive timeout has passed.
pub fn recv(fd: RawFd, buffer: &mut [u8]) -> Result<usize> {
    loop {
        // SAFETY: the buffer is valid for its length; null pointers for an unwanted address.
        let got = check(unsafe {
            libc::syscall(
                libc::SYS_recvfrom,
                fd,
                buffer.as_mut_ptr(),
                buffer.len(),
                0,
                std::ptr::null_mut::<libc::sockaddr>(),
                std::ptr::null_mut::<libc::socklen_t>(),
            )
        });
        match got {
            Ok(n) => return Ok(n as usize),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// As [`recv`], but fails with EINTR at a signal after which the kernel does not restart the call.
pub fn recv_once(fd: RawFd, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: the buffer is valid for its length; null pointers for an unwanted address.
    let got = check(unsafe {
        libc::syscall(
            libc::SYS_recvfrom,
            fd,
            buffer.as_mut_ptr(),
            buffer.len(),
            0,
            std::ptr::null_mut::<libc::sockaddr>(),
            std::ptr::null_mut::<libc::socklen_t>(),
        )
    });
    got.map(|n| n as usize)
}

/// Room for a control message with one descriptor.
#[repr(C, align(8))]
struct OneRight {
    header: libc::cmsghdr,
    fd: RawFd,
    _padding: i32,
}

impl OneRight {
    fn new(fd: RawFd) -> OneRight {
        // SAFETY: all zeroes is a cmsghdr.
        let mut header: libc::cmsghdr = unsafe { std::mem::zeroed() };
        header.cmsg_len = std::mem::offset_of!(OneRight, fd) + std::mem::size_of::<RawFd>();
        header.cmsg_level = libc::SOL_SOCKET;
        header.cmsg_type = libc::SCM_RIGHTS;
        OneRight { header, fd, _padding: 0 }
    }

    /// A message header with these bytes and this control message.
    fn message(&mut self, part: &mut libc::iovec) -> libc::msghdr {
        // SAFETY: all zeroes is a msghdr.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = part;
        message.msg_iovlen = 1;
        message.msg_control = std::ptr::from_mut(self).cast();
        message.msg_controllen = std::mem::size_of::<OneRight>();
        message
    }
}

/// Sends one packet with a descriptor; never raises SIGPIPE.
pub fn send_with(fd: RawFd, bytes: &[u8], right: RawFd) -> Result<()> {
    let mut right = OneRight::new(right);
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let message = right.message(&mut part);
    loop {
        // SAFETY: the message points to the buffer and the control message, which live until the return.
        match check(unsafe { libc::syscall(libc::SYS_sendmsg, fd, &raw const message, libc::MSG_NOSIGNAL) }) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// Receives one packet and the descriptor that came with it, if any. `cloexec`: sets FD_CLOEXEC.
pub fn recv_with(fd: RawFd, buffer: &mut [u8], cloexec: bool) -> Result<(usize, Option<RawFd>)> {
    let mut right = OneRight::new(-1);
    right.header.cmsg_type = 0;
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut message = right.message(&mut part);
    let flags = if cloexec { libc::MSG_CMSG_CLOEXEC } else { 0 };
    let n = loop {
        // SAFETY: the message points to the buffer and the control message, which live until the return.
        match check(unsafe { libc::syscall(libc::SYS_recvmsg, fd, &raw mut message, flags) }) {
            Ok(n) => break n as usize,
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    };
    let whole = std::mem::offset_of!(OneRight, fd) + std::mem::size_of::<RawFd>();
    let came = right.header.cmsg_level == libc::SOL_SOCKET
        && right.header.cmsg_type == libc::SCM_RIGHTS
        && message.msg_controllen >= whole
        && right.header.cmsg_len >= whole;
    Ok((n, came.then_some(right.fd)))
}

/// Reads a socket option of plain type `T`: an integer, or a struct of libc's.
pub fn getsockopt<T: Copy>(fd: RawFd, level: i32, name: i32) -> Result<T> {
    let mut value = std::mem::MaybeUninit::<T>::zeroed();
    let mut len = std::mem::size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointers are valid, and `len` says how large the value may be.
    check(unsafe { libc::syscall(libc::SYS_getsockopt, fd, level, name, value.as_mut_ptr(), &raw mut len) })?;
    // SAFETY: zeroed plain data, which the kernel has filled in part or in whole.
    Ok(unsafe { value.assume_init() })
}

/// Sets a socket option of plain type `T`.
pub fn setsockopt<T: Copy>(fd: RawFd, level: i32, name: i32, value: &T) -> Result<()> {
    // SAFETY: the pointer and the length describe one T.
    check(unsafe {
        libc::syscall(
            libc::SYS_setsockopt,
            fd,
            level,
            name,
            std::ptr::from_ref(value),
            std::mem::size_of::<T>(),
        )
    })
    .map(drop)
}

/// Waits until `fd` is readable or at its end. `false`: the timeout has passed.
pub fn readable_within(fd: RawFd, milliseconds: i64) -> Result<bool> {
    ready_within(fd, libc::POLLIN, Some(milliseconds))
}

/// As [`readable_within`], for these events of poll(2). `None`: without timeout.
pub fn ready_within(fd: RawFd, events: libc::c_short, milliseconds: Option<i64>) -> Result<bool> {
    let mut polled = libc::pollfd { fd, events, revents: 0 };
    let mut left =
        milliseconds.map(|ms| libc::timespec { tv_sec: ms / 1000, tv_nsec: (ms % 1000) * 1_000_000 });
    loop {
        // The kernel stores the remaining time in `left`, so that EINTR does not prolong the wait.
        match poll(std::slice::from_mut(&mut polled), left.as_mut()) {
            Ok(n) => return Ok(n > 0),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// ppoll(2) without a signal mask: how many descriptors have events. `time`: the longest wait, of which the kernel leaves what
/// remains; `None`: no limit.
pub fn poll(polled: &mut [libc::pollfd], time: Option<&mut libc::timespec>) -> Result<libc::c_long> {
    let time = time.map_or(std::ptr::null_mut(), std::ptr::from_mut);
    let (mask, size) = (std::ptr::null::<libc::sigset_t>(), std::mem::size_of::<u64>());
    // SAFETY: as many pollfds as there are, a timespec or none, no signal mask.
    check(unsafe { libc::syscall(libc::SYS_ppoll, polled.as_mut_ptr(), polled.len(), time, mask, size) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptor_never_lands_on_a_standard_stream() {
        // SAFETY: duplicates of descriptor 1, closed by the drop of `Fd`.
        let fd = unsafe { libc::dup(1) };
        let fd = Fd::new(fd).expect("a descriptor");
        assert!(fd.raw() > 2);
    }

    #[test]
    fn descriptor_arrives_with_a_packet() {
        let mut pair = [0; 2];
        // SAFETY: room for two descriptors.
        let made = unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0, pair.as_mut_ptr()) };
        assert_eq!(made, 0);
        let [a, b] = pair.map(Fd::adopt);
        let sent = socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0).expect("a socket");
        let cookie = |fd| getsockopt::<u64>(fd, libc::SOL_SOCKET, libc::SO_COOKIE).expect("a cookie");
        send_with(a.raw(), b"x", sent.raw()).expect("sent");
        send(a.raw(), b"y").expect("sent");
        let mut buffer = [0; 8];
        let (n, right) = recv_with(b.raw(), &mut buffer, true).expect("a packet");
        let right = Fd::adopt(right.expect("a descriptor"));
        assert_eq!((n, cookie(right.raw())), (1, cookie(sent.raw())));
        assert_eq!(recv_with(b.raw(), &mut buffer, true), Ok((1, None)));
    }

    #[test]
    fn waiting_ends_at_the_time_limit() {
        let s = socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0).expect("a socket");
        assert_eq!(readable_within(s.raw(), 1), Ok(false));
    }
}
