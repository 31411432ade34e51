//! The listener of a filter: where the calls of the supervised processes come in, and their results go out
//! (seccomp_unotify(2)).

use lonet_core::sys::{self, Fd, check};
use nix::errno::Errno;
use std::os::fd::RawFd;

/// Whoever is woken by a notice, or its answer, goes on on the processor that is just becoming free (Linux 6.6).
const SYNC_WAKE_UP: u64 = 1;

/// A call that waits.
#[derive(Clone, Copy, Debug)]
pub struct Notification {
    pub id: u64,
    /// The thread that has made it.
    pub thread: i32,
    pub number: libc::c_long,
    pub args: [u64; 6],
}

pub struct NotifyFd(Fd);

impl NotifyFd {
    pub fn new(fd: Fd) -> NotifyFd {
        // Older kernels have no such flag.
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
        // SAFETY: each request of this file takes a pointer to one structure, which its caller has.
        check(unsafe { libc::syscall(libc::SYS_ioctl, self.raw(), request, argument) })
    }

    /// The next call. `None`: who made it has gone meanwhile.
    pub fn receive(&self) -> Option<Notification> {
        // SAFETY: all zeroes is one, and is what the kernel wants to find.
        let mut notification: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut notification).ok()?;
        Some(Notification {
            id: notification.id,
            thread: notification.pid as i32,
            number: notification.data.nr.into(),
            args: notification.data.args,
        })
    }

    /// Whether a call still waits. What was looked up by its thread's number before was that thread's.
    pub fn is_pending(&self, mut id: u64) -> bool {
        self.ioctl(libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw mut id).is_ok()
    }

    /// The call returns this. Whoever has gone needs no answer.
    pub fn return_value(&self, id: u64, value: i64) {
        self.send(libc::seccomp_notif_resp { id, val: value, error: 0, flags: 0 });
    }

    /// The call fails with this. Not limited to what programs see: [`super::caller::ERESTARTSYS`].
    pub fn return_error(&self, id: u64, errno: i32) {
        self.send(libc::seccomp_notif_resp { id, val: 0, error: -errno, flags: 0 });
    }

    /// The kernel does what the program asks for.
    pub fn continue_call(&self, id: u64) {
        let flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
        self.send(libc::seccomp_notif_resp { id, val: 0, error: 0, flags });
    }

    fn send(&self, mut response: libc::seccomp_notif_resp) {
        let _ = self.ioctl(libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut response);
    }

    /// The program gets a descriptor of this, of the number that is returned, while its call still waits. Before the call
    /// returns its caller is to have closed `fd`: what the program closes then is closed.
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
