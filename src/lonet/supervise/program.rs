//! Starts the program under the filter.
//!
//! The forked child installs the filter on itself, sends the number of its notification descriptor, and waits until the
//! supervisor has duplicated that. This first pidfd_getfd also shows whether the kernel allows any.

use super::filter::{self, Rules};
use super::report::socket_pair;
use lonet_core::sys::{self, Fd, check};
use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::{ForkResult, Pid, fork};
use std::ffi::{CStr, CString};
use std::io::IoSliceMut;

pub struct Program {
    pub path: CString,
    pub arguments: Vec<CString>,
    pub environment: Vec<CString>,
    pub rules: Rules,
    /// The program's initial signal mask.
    pub mask: SigSet,
}

pub struct Started {
    pub process: Pid,
    pub notify_fd: Fd,
}

/// Why a program was not started.
pub enum Failure {
    /// execve failed.
    Exec(Errno),
    /// Supervision is not possible here: the reason.
    Supervision(String),
    /// There is no descriptor, process or memory for it: the reason.
    NoRoom(String),
}

impl Program {
    /// Starts the program. The supervisor must have no other thread, as this forks.
    pub fn start(&self) -> Result<Started, Failure> {
        let (started, control) = self.fork()?;
        let _ = sys::send(control.raw(), b"go");
        let mut errno = [0; 4];
        match sys::recv(control.raw(), &mut errno) {
            Ok(0) => Ok(started),
            _ => Err(Failure::Exec(Errno::from_raw(i32::from_ne_bytes(errno)))),
        }
    }

    /// Forks a child that is under the filter and waits for a message before it executes the program, and the socket for that.
    fn fork(&self) -> Result<(Started, Fd), Failure> {
        let cannot = |what: &str, errno: Errno| Failure::NoRoom(format!("{what}: {}", errno.desc()));
        let [ours, childs] = socket_pair().map_err(|e| cannot("cannot make a socket", e))?;
        let filter = filter::program(self.rules);
        let arguments = StringArray::new(&self.arguments);
        let environment = StringArray::new(&self.environment);
        let parent = sys::getpid();
        // SAFETY: the child only makes system calls.
        let process = match unsafe { fork() }.map_err(|e| cannot("cannot fork", e))? {
            ForkResult::Parent { child } => child,
            ForkResult::Child => {
                let errno = self.exec_under_filter(&childs, &filter, &arguments, &environment, parent);
                let _ = sys::send(childs.raw(), &(errno as i32).to_ne_bytes());
                // SAFETY: no destructor is to run in the child.
                unsafe { libc::_exit(127) }
            }
        };
        drop(childs);
        match duplicate_notify_fd(&ours, process) {
            Ok(notify_fd) => Ok((Started { process, notify_fd }, ours)),
            Err(failure) => {
                kill_and_reap(process);
                Err(failure)
            }
        }
    }

    /// Becomes the program. Returns only on failure.
    fn exec_under_filter(
        &self,
        control: &Fd,
        filter: &[libc::sock_filter],
        arguments: &StringArray<'_>,
        environment: &StringArray<'_>,
        parent: i32,
    ) -> Errno {
        // SAFETY: no pointers.
        unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        // SAFETY: no arguments.
        if unsafe { libc::syscall(libc::SYS_getppid) } != libc::c_long::from(parent) {
            return Errno::ESRCH;
        }
        let installed = install(filter);
        let number = installed.unwrap_or_else(|errno| -(errno as i32));
        let mut go = [0; 4];
        if sys::send(control.raw(), &number.to_ne_bytes()).is_err()
            || sys::recv(control.raw(), &mut go).unwrap_or(0) == 0
        {
            return Errno::ESRCH;
        }
        // Undo what Rust's runtime has set: it ignores SIGPIPE.
        // SAFETY: no handler of ours; the masks are structures of ours.
        unsafe {
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            libc::sigprocmask(libc::SIG_SETMASK, self.mask.as_ref(), std::ptr::null_mut());
        }
        // SAFETY: strings and arrays of them that end with null, which live until the return.
        let result = check(unsafe {
            libc::syscall(libc::SYS_execve, self.path.as_ptr(), arguments.pointer(), environment.pointer())
        });
        result.err().unwrap_or(Errno::ENOEXEC)
    }
}

/// Checks whether programs can be supervised here. An error: why not.
pub fn probe() -> Result<(), String> {
    let nothing = Program {
        path: CString::default(),
        arguments: vec![],
        environment: vec![],
        rules: Rules { notify_recvmsg: true, allow_io_uring: false },
        mask: SigSet::empty(),
    };
    match nothing.fork() {
        Ok((started, _)) => {
            kill_and_reap(started.process);
            Ok(())
        }
        Err(Failure::Supervision(why) | Failure::NoRoom(why)) => Err(why),
        Err(Failure::Exec(errno)) => Err(errno.desc().into()),
    }
}

/// Kills a child, and takes its exit status.
fn kill_and_reap(process: Pid) {
    let _ = nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL);
    let _ = nix::sys::wait::waitpid(process, None);
}

/// Strings in the form that execve takes: an array of pointers that ends with null.
struct StringArray<'a> {
    pointers: Vec<*const libc::c_char>,
    _strings: &'a [CString],
}

impl<'a> StringArray<'a> {
    fn new(strings: &'a [CString]) -> StringArray<'a> {
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect();
        StringArray { pointers, _strings: strings }
    }

    fn pointer(&self) -> *const *const libc::c_char {
        self.pointers.as_ptr()
    }
}

/// Puts this thread under the filter; the result is the notification descriptor.
fn install(filter: &[libc::sock_filter]) -> sys::Result<i32> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // The kernel requires this of unprivileged processes.
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    let set = |flags: libc::c_ulong| {
        let mode = libc::SECCOMP_SET_MODE_FILTER;
        // SAFETY: the program lives until the return.
        check(unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) })
            .map(|fd| fd as i32)
    };
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    set(flags | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
}

const REMEDY: &str =
    "in a container, --cap-add SYS_PTRACE lets it; elsewhere kernel.yama.ptrace_scope has to be 0 or 1";

/// Receives the number of the child's notification descriptor and duplicates that.
fn duplicate_notify_fd(control: &Fd, process: Pid) -> Result<Fd, Failure> {
    let mut number = [0; 4];
    let received = sys::recv(control.raw(), &mut number).ok().filter(|n| *n == number.len());
    let number = received.map(|_| i32::from_ne_bytes(number));
    let refused = |what: String| Failure::Supervision(what);
    let ended = || Failure::NoRoom("the child ended before it executed the program".into());
    let number = match number.ok_or_else(ended)? {
        number @ 0.. => number,
        failed => {
            return Err(refused(match Errno::from_raw(-failed) {
                Errno::EBUSY => {
                    "something else supervises this process by seccomp notification, and there can be one alone".into()
                }
                Errno::EINVAL => "this takes Linux 5.19 or later".into(),
                errno => format!("the kernel or its container lets nobody be supervised (seccomp: {})", errno.desc()),
            }));
        }
    };
    let forbidden = |what, errno: Errno| {
        refused(format!("{what} of another process is not allowed ({}): {REMEDY}", errno.desc()))
    };
    // SAFETY: no pointers.
    let pidfd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, process.as_raw(), 0) });
    let pidfd = pidfd.map(|fd| Fd::adopt(fd as i32)).map_err(|e| forbidden("pidfd_open", e))?;
    // SAFETY: no pointers.
    let notify_fd = check(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.raw(), number, 0) });
    let notify_fd = notify_fd.map(|fd| Fd::adopt(fd as i32)).map_err(|e| forbidden("pidfd_getfd", e))?;
    // A forked child has this string at the same address.
    let mark: &CStr = c"lonet";
    let mut seen = [0; 5];
    let there = RemoteIoVec { base: mark.as_ptr() as usize, len: seen.len() };
    match process_vm_readv(process, &mut [IoSliceMut::new(&mut seen)], &[there]) {
        Ok(5) if seen == *mark.to_bytes() => Ok(notify_fd),
        Ok(_) => Err(forbidden("process_vm_readv", Errno::EFAULT)),
        Err(errno) => Err(forbidden("process_vm_readv", errno)),
    }
}
