//! The thread whose call waits: its memory, its sockets, its signals.
//!
//! A thread's number is its own for as long as its call waits, which the listener tells: it is asked after each look.

use super::notify_fd::{Notification, NotifyFd};
use lonet_core::sys::{self, Fd, check};
use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::Pid;
use std::io::{IoSlice, IoSliceMut};

/// ERESTARTSYS, as the kernel's own calls answer it where a signal ends them: the call is made again after the handler, or fails
/// with EINTR, as SA_RESTART says. Programs never see it, unless no signal is there.
pub const ERESTARTSYS: i32 = 512;

/// The most that an address takes, in bytes (sockaddr_storage).
pub const MAX_ADDRESS: usize = 128;

/// Since Linux 6.9 a pidfd may name a thread; before, the process is what is taken.
const PIDFD_THREAD: i32 = libc::O_EXCL;

pub struct Caller {
    notify_fd: &'static NotifyFd,
    pub notification: Notification,
    process: Fd,
}

/// Why a call is not carried out here.
#[derive(Debug, PartialEq, Eq)]
pub enum CallError {
    /// What the program gets.
    Errno(Errno),
    /// It does not wait any more.
    CallerGone,
}

impl From<Errno> for CallError {
    fn from(errno: Errno) -> CallError {
        CallError::Errno(errno)
    }
}

/// What the kernel says of another process, as the program gets it: what is out of reach makes the network unreachable.
fn access_error(errno: Errno) -> CallError {
    match errno {
        Errno::ESRCH => CallError::CallerGone,
        Errno::EPERM | Errno::EACCES | Errno::ENOSYS | Errno::EMFILE | Errno::ENFILE => {
            Errno::ENETDOWN.into()
        }
        errno => errno.into(),
    }
}

impl Caller {
    pub fn new(notify_fd: &'static NotifyFd, notification: Notification) -> Result<Caller, CallError> {
        let process = pidfd_open(notification.thread, PIDFD_THREAD)
            .or_else(|errno| match errno {
                Errno::EINVAL => pidfd_open(Status::of(notification.thread).ok_or(Errno::ESRCH)?.process, 0),
                errno => Err(errno),
            })
            .map_err(access_error)?;
        let caller = Caller { notify_fd, notification, process };
        caller.ensure_pending()?;
        Ok(caller)
    }

    /// The call still waits, so that all that was looked up by the thread's number was the thread's.
    pub fn ensure_pending(&self) -> Result<(), CallError> {
        if self.notify_fd.is_pending(self.notification.id) { Ok(()) } else { Err(CallError::CallerGone) }
    }

    /// Readable when the thread, or on an older kernel its process, has ended.
    pub fn pidfd(&self) -> i32 {
        self.process.raw()
    }

    /// An argument that is an int.
    pub fn int_arg(&self, number: usize) -> i32 {
        self.notification.args.get(number).copied().unwrap_or(0) as i32
    }

    /// An argument that is a pointer.
    pub fn pointer_arg(&self, number: usize) -> usize {
        self.notification.args.get(number).copied().unwrap_or(0) as usize
    }

    /// A descriptor of ours for what the program has at argument 0. It is to be closed at once, by no hook: the file lives as
    /// long, and the program has not closed anything.
    pub fn duplicate_fd(&self) -> Result<Fd, CallError> {
        // SAFETY: no pointers.
        let fd =
            check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, self.process.raw(), self.int_arg(0), 0) });
        Ok(Fd::adopt(fd.map_err(access_error)? as i32))
    }

    /// Makes this file the program's, and no more ours; the number of its descriptor.
    pub fn install_fd(&self, file: Fd, cloexec: bool) -> Result<i64, CallError> {
        self.notify_fd.add_fd(self.notification.id, &file, cloexec).map_err(|errno| {
            // A connection that nobody gets.
            let _ = sys::reset_at_close(file.raw());
            if errno == Errno::ENOENT { CallError::CallerGone } else { errno.into() }
        })
    }

    /// Reads so many bytes.
    pub fn read(&self, at: usize, into: &mut [u8]) -> Result<(), CallError> {
        let len = into.len();
        if len == 0 {
            return Ok(());
        }
        let read =
            process_vm_readv(self.thread(), &mut [IoSliceMut::new(into)], &[RemoteIoVec { base: at, len }]);
        self.ensure_pending()?;
        if read.map_err(access_error)? == len { Ok(()) } else { Err(Errno::EFAULT.into()) }
    }

    pub fn read_u32(&self, at: usize) -> Result<u32, CallError> {
        let mut bytes = [0; 4];
        self.read(at, &mut bytes)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    /// Reads what is any bytes: a structure of the kernel's, whose pointers are the program's.
    pub fn read_plain<T: Copy>(&self, at: usize) -> Result<T, CallError> {
        let mut value = std::mem::MaybeUninit::<T>::zeroed();
        // SAFETY: its own bytes, which are all there.
        let bytes =
            unsafe { std::slice::from_raw_parts_mut(value.as_mut_ptr().cast::<u8>(), size_of::<T>()) };
        self.read(at, bytes)?;
        // SAFETY: plain data, as the caller promises by what it reads.
        Ok(unsafe { value.assume_init() })
    }

    /// Writes a result.
    pub fn write(&self, at: usize, bytes: &[u8]) -> Result<(), CallError> {
        let len = bytes.len();
        if len == 0 {
            return Ok(());
        }
        self.ensure_pending()?;
        let written =
            process_vm_writev(self.thread(), &[IoSlice::new(bytes)], &[RemoteIoVec { base: at, len }]);
        if written.map_err(access_error)? == len { Ok(()) } else { Err(Errno::EFAULT.into()) }
    }

    fn thread(&self) -> Pid {
        Pid::from_raw(self.notification.thread)
    }

    /// What the call fails with if a signal is there for its thread: [`ERESTARTSYS`], or EINTR where that might be seen.
    pub fn pending_signal_error(&self) -> Option<i32> {
        pending_signal_error(self.notification.thread)
    }

    /// The thread's effective capabilities, a bit each.
    pub fn capabilities(&self) -> u64 {
        capabilities(self.notification.thread)
    }

    /// Whether the program may have one more descriptor. Natively a call that cannot give one takes no connection.
    pub fn may_open_fd(&self) -> bool {
        let Some(limit) = descriptor_limit(self.notification.thread) else { return true };
        let directory = format!("/proc/{}/fd", self.notification.thread);
        // Its size is their number since Linux 6.2.
        let open = std::fs::metadata(&directory).map_or(0, |directory| directory.len());
        if open > 0 && open < limit {
            return true;
        }
        let Ok(all) = std::fs::read_dir(&directory) else { return true };
        let number = |name: std::ffi::OsString| name.to_str()?.parse::<u64>().ok();
        all.flatten().filter_map(|entry| number(entry.file_name())).filter(|n| *n < limit).count()
            < limit as usize
    }
}

fn pidfd_open(pid: i32, flags: i32) -> sys::Result<Fd> {
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, flags) }).map(|fd| Fd::adopt(fd as i32))
}

fn descriptor_limit(pid: i32) -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let new = std::ptr::null::<libc::rlimit>();
    // SAFETY: a structure to fill.
    let got =
        check(unsafe { libc::syscall(libc::SYS_prlimit64, pid, libc::RLIMIT_NOFILE, new, &raw mut limit) });
    got.ok().map(|_| limit.rlim_cur)
}

/// What /proc/TID/status says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Status {
    process: i32,
    threads: u32,
    /// Sets of signals.
    pending_thread: u64,
    pending_process: u64,
    blocked: u64,
    /// A set of capabilities.
    effective: u64,
}

impl Status {
    fn of(thread: i32) -> Option<Status> {
        std::fs::read(format!("/proc/{thread}/status")).ok().map(|text| Status::parse(&text))
    }

    fn parse(text: &[u8]) -> Status {
        let mut status = Status::default();
        for line in text.split(|b| *b == b'\n').filter_map(|line| std::str::from_utf8(line).ok()) {
            let Some((name, value)) = line.split_once(':') else { continue };
            let (value, set) = (value.trim(), u64::from_str_radix(value.trim(), 16));
            match name {
                "Tgid" => status.process = value.parse().unwrap_or(0),
                "Threads" => status.threads = value.parse().unwrap_or(0),
                "SigPnd" => status.pending_thread = set.unwrap_or(0),
                "ShdPnd" => status.pending_process = set.unwrap_or(0),
                "SigBlk" => status.blocked = set.unwrap_or(0),
                "CapEff" => status.effective = set.unwrap_or(0),
                _ => {}
            }
        }
        status
    }

    fn pending_signal_error(&self) -> Option<i32> {
        if (self.pending_thread | self.pending_process) & !self.blocked == 0 {
            return None;
        }
        // What is for a process of several threads another one may take meanwhile, and RESTART would be seen.
        let stays_with_thread = self.pending_thread & !self.blocked != 0 || self.threads == 1;
        Some(if stays_with_thread { ERESTARTSYS } else { libc::EINTR })
    }
}

/// As [`Caller::capabilities`], of a thread. None of one that cannot be looked at.
pub fn capabilities(thread: i32) -> u64 {
    Status::of(thread).map_or(0, |status| status.effective)
}

/// As [`Caller::pending_signal_error`], of a thread.
pub fn pending_signal_error(thread: i32) -> Option<i32> {
    Status::of(thread)?.pending_signal_error()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signal_that_is_not_blocked_interrupts() {
        let status = |pending: &str, shared: &str, blocked: &str, threads: &str| {
            let text = format!(
                "Name:\tTgid: 7\nTgid:\t12\nThreads:\t{threads}\nSigPnd:\t{pending}\nShdPnd:\t{shared}\nSigBlk:\t{blocked}\n"
            );
            Status::parse(text.as_bytes())
        };
        assert_eq!(status("0", "0", "0", "1").process, 12);
        assert_eq!(status("0", "0", "0", "1").pending_signal_error(), None);
        assert_eq!(status("0000000000002000", "0", "0", "3").pending_signal_error(), Some(ERESTARTSYS));
        assert_eq!(status("2000", "0", "2000", "1").pending_signal_error(), None);
        assert_eq!(status("0", "2000", "0", "1").pending_signal_error(), Some(ERESTARTSYS));
        assert_eq!(status("0", "2000", "0", "2").pending_signal_error(), Some(libc::EINTR));
    }
}
