//! The thread whose call is suspended: access to its memory, its sockets and its pending signals.
//!
//! A thread id may be reused as soon as the thread ends. It is the caller's while its call is pending, so each access is followed
//! by a check that it still is.

use super::notify_fd::{Notification, NotifyFd};
use lonet_core::sys::{self, Fd, check};
use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::Pid;
use std::collections::HashMap;
use std::io::{IoSlice, IoSliceMut};
use std::os::unix::fs::MetadataExt;

/// The kernel's internal errno of a call that a signal interrupts: after the handler the kernel restarts the call, or has it fail
/// with EINTR, depending on SA_RESTART. If no signal is pending, the program sees this number.
pub const ERESTARTSYS: i32 = 512;

/// The size of the largest socket address, in bytes (sockaddr_storage).
pub const MAX_ADDRESS: usize = 128;

/// Flag of pidfd_open for a thread (Linux 6.9). Older kernels have pidfds of processes only.
const PIDFD_THREAD: i32 = libc::O_EXCL;

/// A thread in a suspended call.
pub struct Caller {
    notify_fd: &'static NotifyFd,
    pub notification: Notification,
    process: Fd,
}

/// Why a call has no result.
#[derive(Debug, PartialEq, Eq)]
pub enum CallError {
    /// The call fails with this.
    Errno(Errno),
    /// The call is not pending any more; nobody expects a response.
    CallerGone,
}

impl From<Errno> for CallError {
    fn from(errno: Errno) -> CallError {
        CallError::Errno(errno)
    }
}

/// The error that the program gets if access to its process has failed: ENETDOWN if the kernel does not allow it.
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

    /// Fails if the call is not pending any more. Otherwise, what was read by the thread id was this thread's.
    pub fn ensure_pending(&self) -> Result<(), CallError> {
        if self.notify_fd.is_pending(self.notification.id) { Ok(()) } else { Err(CallError::CallerGone) }
    }

    /// A descriptor that is readable when the thread (before Linux 6.9: its process) has ended.
    pub fn pidfd(&self) -> i32 {
        self.process.raw()
    }

    /// The argument with this number, as an int.
    pub fn int_arg(&self, number: usize) -> i32 {
        self.notification.args.get(number).copied().unwrap_or(0) as i32
    }

    /// The argument with this number, as a pointer or size.
    pub fn pointer_arg(&self, number: usize) -> usize {
        self.notification.args.get(number).copied().unwrap_or(0) as usize
    }

    /// Duplicates the descriptor in argument 0 into this process. Close it soon, as the duplicate keeps the file open, and not by
    /// libc's close: to its hook the program would have closed the socket.
    pub fn duplicate_fd(&self) -> Result<Fd, CallError> {
        // SAFETY: no pointers.
        let fd =
            check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, self.process.raw(), self.int_arg(0), 0) });
        Ok(Fd::adopt(fd.map_err(access_error)? as i32))
    }

    /// Moves a file into the program; the result is the number of its descriptor there.
    pub fn install_fd(&self, file: Fd, cloexec: bool) -> Result<i64, CallError> {
        self.notify_fd.add_fd(self.notification.id, &file, cloexec).map_err(|errno| {
            // Nobody gets the connection: its peer sees a reset.
            let _ = sys::reset_at_close(file.raw());
            if errno == Errno::ENOENT { CallError::CallerGone } else { errno.into() }
        })
    }

    /// Fills `into` from the program's memory.
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

    /// Reads a structure of which any bytes are valid. Its pointers are the program's.
    pub fn read_plain<T: Copy>(&self, at: usize) -> Result<T, CallError> {
        let mut value = std::mem::MaybeUninit::<T>::zeroed();
        // SAFETY: the bytes of `value`, which are initialized.
        let bytes =
            unsafe { std::slice::from_raw_parts_mut(value.as_mut_ptr().cast::<u8>(), size_of::<T>()) };
        self.read(at, bytes)?;
        // SAFETY: plain data: `T` is one of libc's structures, which any bytes are valid for.
        Ok(unsafe { value.assume_init() })
    }

    /// Writes into the program's memory.
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

    /// The errno for the call if a signal is pending for its thread: [`ERESTARTSYS`], or EINTR where the program might see that.
    pub fn pending_signal_error(&self) -> Option<i32> {
        pending_signal_error(self.notification.thread, &mut Leaders::default())
    }

    /// The thread's effective capabilities, as a bit set.
    pub fn capabilities(&self) -> u64 {
        capabilities(self.notification.thread)
    }

    /// Whether the thread is in another UTS namespace than this process. False if that cannot be read.
    pub fn has_own_names(&self) -> Result<bool, CallError> {
        let namespace = |thread: &str| {
            let file = std::fs::metadata(format!("/proc/{thread}/ns/uts")).ok()?;
            Some((file.dev(), file.ino()))
        };
        let its = namespace(&self.notification.thread.to_string());
        self.ensure_pending()?;
        Ok(its.zip(namespace("self")).is_some_and(|(its, own)| its != own))
    }

    /// Whether the program is below its limit of descriptors. At the limit, the kernel's accept takes no connection.
    pub fn may_open_fd(&self) -> bool {
        let Some(limit) = descriptor_limit(self.notification.thread) else { return true };
        let directory = format!("/proc/{}/fd", self.notification.thread);
        // Since Linux 6.2 the size of this directory is the number of descriptors.
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

/// The fields of /proc/TID/status that are used here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Status {
    thread: i32,
    process: i32,
    threads: u32,
    is_stopped: bool,
    has_ended: bool,
    /// Sets of signals: pending for the thread, pending for its process, blocked, and with a handler.
    pending_thread: u64,
    pending_process: u64,
    blocked: u64,
    caught: u64,
    /// The effective capabilities.
    effective: u64,
}

/// The set of the signals that stop a process unless it has a handler.
const STOPS: u64 =
    set_of(libc::SIGSTOP) | set_of(libc::SIGTSTP) | set_of(libc::SIGTTIN) | set_of(libc::SIGTTOU);

const fn set_of(signal: i32) -> u64 {
    1 << (signal - 1)
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
                "State" => {
                    status.is_stopped = value.starts_with('T');
                    status.has_ended = value.starts_with(['Z', 'X']);
                }
                "Pid" => status.thread = value.parse().unwrap_or(0),
                "Tgid" => status.process = value.parse().unwrap_or(0),
                "Threads" => status.threads = value.parse().unwrap_or(0),
                "SigPnd" => status.pending_thread = set.unwrap_or(0),
                "ShdPnd" => status.pending_process = set.unwrap_or(0),
                "SigBlk" => status.blocked = set.unwrap_or(0),
                "SigCgt" => status.caught = set.unwrap_or(0),
                "CapEff" => status.effective = set.unwrap_or(0),
                _ => {}
            }
        }
        status
    }

    /// The errno for the call of this thread if a signal is to interrupt it.
    fn pending_signal_error(&self, leaders: &mut Leaders) -> Option<i32> {
        let of_process = self.pending_process & !self.blocked;
        let stays_with_thread = self.pending_thread & !self.blocked != 0;
        if stays_with_thread || self.threads == 1 {
            return (stays_with_thread || of_process != 0).then_some(ERESTARTSYS);
        }
        // Another thread may take a signal for the process first; this one would then see ERESTARTSYS.
        if of_process & !(STOPS & !self.caught) != 0 {
            return Some(libc::EINTR);
        }
        // What stops a process the kernel has its leader take, and then interrupts all other threads until they have stopped.
        let leader = leaders.of(self.process)?;
        match of_process {
            0 => leader.is_stopped.then_some(ERESTARTSYS),
            _ if leader.has_ended || of_process & leader.blocked != 0 => Some(libc::EINTR),
            _ => (self.thread == self.process).then_some(ERESTARTSYS),
        }
    }
}

/// The leading threads of processes, each read once.
#[derive(Default)]
pub struct Leaders(HashMap<i32, Option<Status>>);

impl Leaders {
    fn of(&mut self, process: i32) -> Option<&Status> {
        self.0.entry(process).or_insert_with(|| Status::of(process)).as_ref()
    }
}

/// The effective capabilities of a thread; none if they cannot be read.
pub fn capabilities(thread: i32) -> u64 {
    Status::of(thread).map_or(0, |status| status.effective)
}

/// As [`Caller::pending_signal_error`], for any thread.
pub fn pending_signal_error(thread: i32, leaders: &mut Leaders) -> Option<i32> {
    Status::of(thread)?.pending_signal_error(leaders)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pending: &str, shared: &str, blocked: &str, threads: &str) -> Status {
        let text = format!(
            "Name:\tTgid: 7\nState:\tS (sleeping)\nTgid:\t12\nPid:\t13\nThreads:\t{threads}\nSigPnd:\t{pending}\nShdPnd:\t{shared}\nSigBlk:\t{blocked}\n"
        );
        Status::parse(text.as_bytes())
    }

    fn with_leader(status: &Status, leader: Status) -> Option<i32> {
        status.pending_signal_error(&mut Leaders(HashMap::from([(12, Some(leader))])))
    }

    #[test]
    fn signal_that_is_not_blocked_interrupts() {
        let error = |status: Status| with_leader(&status, Status::default());
        assert_eq!(status("0", "0", "0", "1").process, 12);
        assert_eq!(error(status("0", "0", "0", "1")), None);
        assert_eq!(error(status("0000000000002000", "0", "0", "3")), Some(ERESTARTSYS));
        assert_eq!(error(status("2000", "0", "2000", "1")), None);
        assert_eq!(error(status("0", "2000", "0", "1")), Some(ERESTARTSYS));
        assert_eq!(error(status("0", "2000", "0", "2")), Some(libc::EINTR));
    }

    #[test]
    fn stop_of_several_threads_restarts_their_calls() {
        let stop = "40000";
        let waits = Status::default();
        let other = status("0", stop, "0", "3");
        assert_eq!(with_leader(&other, Status::default()), None, "the leader takes it");
        assert_eq!(with_leader(&Status { thread: 12, ..other }, waits), Some(ERESTARTSYS), "the leader");
        let stopped = || Status { is_stopped: true, ..Status::default() };
        let idle = status("0", "0", "0", "3");
        assert_eq!(with_leader(&idle, stopped()), Some(ERESTARTSYS), "the leader has stopped");
        assert_eq!(with_leader(&idle, Status::default()), None);
        let ended = Status { has_ended: true, ..Status::default() };
        assert_eq!(with_leader(&status("0", stop, "0", "3"), ended), Some(libc::EINTR), "there is none");
        let caught = Status { caught: STOPS, ..status("0", "80000", "0", "3") };
        assert_eq!(with_leader(&caught, Status::default()), Some(libc::EINTR), "SIGTSTP has a handler");
    }
}
