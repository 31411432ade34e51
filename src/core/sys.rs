//! System calls, made directly.
//!
//! This code also runs inside other people's processes, under liblonet's hooks. libc's own `close` or
//! `connect` would be those hooks; its `recv` and `poll` are cancellation points, at which a thread may
//! vanish in the middle of an exchange. `syscall` is neither.

use nix::errno::Errno;
use std::os::fd::RawFd;

pub type Result<T> = std::result::Result<T, Errno>;

/// What a raw system call answered: its value, or errno.
pub fn check(value: libc::c_long) -> Result<libc::c_long> {
    if value < 0 { Err(Errno::last()) } else { Ok(value) }
}

/// A descriptor that is closed when it goes out of scope, by a system call of its own.
#[derive(Debug)]
pub struct Fd(RawFd);

impl Fd {
    /// Takes ownership of `fd` and moves it off 0, 1 and 2: a program that closed its standard streams
    /// finds them closed at every instant.
    pub fn new(fd: RawFd) -> Result<Fd> {
        let fd = Fd(fd);
        if fd.0 > 2 {
            return Ok(fd);
        }
        // SAFETY: fcntl on a descriptor that is ours.
        let high = check(unsafe { libc::syscall(libc::SYS_fcntl, fd.0, libc::F_DUPFD_CLOEXEC, 3) })?;
        Ok(Fd(high as RawFd))
    }

    /// Takes ownership of `fd` where it is.
    pub fn adopt(fd: RawFd) -> Fd {
        Fd(fd)
    }

    pub fn raw(&self) -> RawFd {
        self.0
    }

    /// Gives the descriptor away.
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

/// Receives one packet; 0 bytes is the end. EAGAIN when the socket's receive time limit has passed.
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

/// A socket option of plain type `T`: an integer, or a struct of libc's.
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

/// Waits until `fd` is readable or at its end. `false`: the time limit has passed.
pub fn readable_within(fd: RawFd, milliseconds: i64) -> Result<bool> {
    ready_within(fd, libc::POLLIN, Some(milliseconds))
}

/// As [`readable_within`], for other events of poll's, or without a time limit.
pub fn ready_within(fd: RawFd, events: libc::c_short, milliseconds: Option<i64>) -> Result<bool> {
    let mut poll = libc::pollfd { fd, events, revents: 0 };
    let limit = milliseconds.unwrap_or(0);
    let mut left = libc::timespec { tv_sec: limit / 1000, tv_nsec: (limit % 1000) * 1_000_000 };
    let time = if milliseconds.is_some() { &raw mut left } else { std::ptr::null_mut() };
    loop {
        // The kernel writes the time that is left into `left`, so that EINTR does not prolong the wait.
        // SAFETY: one pollfd, one timespec, no signal mask.
        let n = check(unsafe {
            libc::syscall(
                libc::SYS_ppoll,
                &raw mut poll,
                1,
                time,
                std::ptr::null::<libc::sigset_t>(),
                std::mem::size_of::<u64>(),
            )
        });
        match n {
            Ok(n) => return Ok(n > 0),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_of_ours_never_lands_on_a_standard_stream() {
        // SAFETY: duplicates of descriptor 1, closed by the drop of `Fd`.
        let fd = unsafe { libc::dup(1) };
        let fd = Fd::new(fd).expect("a descriptor");
        assert!(fd.raw() > 2);
    }

    #[test]
    fn waiting_ends_at_the_time_limit() {
        let s = socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0).expect("a socket");
        assert_eq!(readable_within(s.raw(), 1), Ok(false));
    }
}
