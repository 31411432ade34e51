//! The notification descriptor of the filter, from which suspended calls are received and by which they are ended
//! (seccomp_unotify(2)).

use lonet_core::sys::{self, Fd, check};
use nix::errno::Errno;
use std::os::fd::RawFd;

/// SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP: the woken process runs on the processor of the one that wakes it (Linux 6.6).
const SYNC_WAKE_UP: u64 = 1;

/// A suspended call.
#[derive(Clone, Copy, Debug)]
pub struct Notification {
    pub id: u64,
    /// The id of the calling thread.
    pub thread: i32,
    pub number: libc::c_long,
    pub args: [u64; 6],
}

pub struct NotifyFd(Fd);

impl NotifyFd {
    pub fn new(fd: Fd) -> NotifyFd {
        // Older kernels lack the flag; it only makes calls faster.
        // SAFETY: the flags go by value.
        unsafe {
            libc::syscall(libc::SYS_ioctl, fd.raw(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP)
        };
        NotifyFd(fd)
    }

    pub fn raw(&self) -> RawFd {
        self.0.raw()
    }

    fn ioctl<T>(&self, request: libc::Ioctl, argument: *mut T) -> sys::Result<libc::c_long> {
        // SAFETY: each request in this file takes a pointer to one structure, which the calling method owns.
        check(unsafe { libc::syscall(libc::SYS_ioctl, self.raw(), request, argument) })
    }

    /// Receives the next call. `None`: its thread has ended meanwhile.
    pub fn receive(&self) -> Option<Notification> {
        // SAFETY: plain numbers; the kernel requires it to be zeroed.
        let mut notification: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut notification).ok()?;
        Some(Notification {
            id: notification.id,
            thread: notification.pid as i32,
            number: notification.data.nr.into(),
            args: notification.data.args,
        })
    }

    /// Whether a call is still suspended. If so, its thread id still names its thread.
    pub fn is_pending(&self, mut id: u64) -> bool {
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw mut id).is_ok()
    }

    /// Ends a call with a return value. Nothing happens if it is not pending any more.
    pub fn return_value(&self, id: u64, value: i64) {
        self.send(libc::seccomp_notif_resp { id, val: value, error: 0, flags: 0 });
    }

    /// Ends a call with an errno, which may be one of the kernel's internal ones ([`super::caller::ERESTARTSYS`]).
    pub fn return_error(&self, id: u64, errno: i32) {
        self.send(libc::seccomp_notif_resp { id, val: 0, error: -errno, flags: 0 });
    }

    /// Has the kernel carry out the call.
    pub fn continue_call(&self, id: u64) {
        let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
        self.send(libc::seccomp_notif_resp { id, val: 0, error: 0, flags });
    }

    fn send(&self, mut response: libc::seccomp_notif_resp) {
        let _ = self.ioctl(libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut response);
    }

    /// Installs a duplicate of `fd` in the program while its call is suspended; the result is its number there. Close `fd` before
    /// the call ends, so that the program holds the only descriptor.
    pub fn add_fd(&self, id: u64, fd: &Fd, cloexec: bool) -> Result<i64, Errno> {
        let mut add = libc::seccomp_notif_addfd {
            id,
            flags: 0,
            srcfd: fd.raw() as u32,
            newfd: 0,
            newfd_flags: if cloexec { libc::O_CLOEXEC as u32 } else { 0 },
        };
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_ADDFD, &raw mut add)
    }
}
