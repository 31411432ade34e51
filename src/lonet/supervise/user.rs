//! The process that the user has started: waits for the program, forwards signals to it, stops when it stops, and exits as it
//! does.

use super::report::{Report, close_all_except, redirect_to_null, socket_pair};
use crate::daemon::process::{asks_to_end, is_stopped};
use crate::exit::{FAILED, RunError, exit_like};
use lonet_core::config::{SUPERVISED, SUPERVISES};
use lonet_core::sys::{Fd, check};
use nix::sys::signal::{SigSet, Signal, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::ffi::{OsStr, OsString};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode};

/// `si_code` of signals from a terminal, which sends them to the whole process group, and so to the program, too.
const SI_KERNEL: i32 = 0x80;

/// The file of a program to supervise.
#[derive(Clone, Copy)]
pub enum ProgramFile<'a> {
    Path(&'a Path),
    /// /proc/self/fd/N: a descriptor that the program does not inherit.
    Descriptor(&'a Path),
}

/// Warns if a debugger traces this process: it has meant to trace the program, for which this process only waits.
pub fn warn_tracer(program: &OsStr) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:")?.trim().parse::<i32>().ok());
    let Some(pid) = tracer.filter(|pid| *pid != 0) else { return };
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let name = name.trim_end();
    error_line!(
        "lonet: {name} traces a process of lonet's, which supervises {program:?}: to have it trace the program itself, \
         start {name} by `lonet run --supervise always`"
    );
}

/// What to run under supervision.
pub struct Order<'a> {
    pub file: ProgramFile<'a>,
    pub name: &'a OsStr,
    pub arguments: &'a [OsString],
    /// What makes the supervisor a host.
    pub variables: &'a [(&'static str, OsString)],
    pub without_log: bool,
    pub allow_io_uring: bool,
}

/// Runs a program under supervision, until it has ended.
pub fn run(order: &Order<'_>) -> Result<ExitCode, RunError> {
    let failed = |what: &str, why: &dyn std::fmt::Display| (FAILED, format!("{what}: {why}"));
    let [ours, supervisors] = socket_pair().map_err(|e| failed("cannot make a socket", &e.desc()))?;
    // SAFETY: no pointers; the supervisor inherits this descriptor.
    unsafe { libc::syscall(libc::SYS_fcntl, supervisors.raw(), libc::F_SETFD, 0) };
    let mut command = Command::new("/proc/self/exe");
    command.arg0("lonet").arg("supervise").arg("--control").arg(supervisors.raw().to_string());
    match order.file {
        ProgramFile::Path(path) => command.arg("--path").arg(path),
        ProgramFile::Descriptor(path) => command.arg("--open").arg("--path").arg(path),
    };
    if order.allow_io_uring {
        command.arg("--allow-io-uring");
    }
    command.arg("--").arg(order.name).args(order.arguments);
    if order.without_log {
        command.env_remove("LONET_LOG");
    }
    command.envs(order.variables.iter().map(|(name, value)| (name, value))).env(SUPERVISED, SUPERVISES);
    let mut supervisor = command.spawn().map_err(|e| failed("cannot start the supervisor", &e))?;
    drop(supervisors);
    let all = SigSet::all();
    let _ = all.thread_block();
    let signals = SignalFd::with_flags(&all, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .map_err(|e| failed("cannot wait for signals", &e.desc()))?;
    close_all_except(vec![ours.raw(), signals.as_raw_fd()]);
    redirect_to_null([0, 1]);
    wait(&ours, &signals, &mut supervisor)
}

fn wait(reports: &Fd, signals: &SignalFd, supervisor: &mut Child) -> Result<ExitCode, RunError> {
    let (mut pid, mut program) = (None, None::<Fd>);
    loop {
        let mut polls = [reports.raw(), signals.as_raw_fd()].map(|fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        });
        // SAFETY: two structures of ours.
        unsafe { libc::poll(polls.as_mut_ptr(), 2, -1) };
        if polls[0].revents != 0 {
            match Report::receive(reports.raw()) {
                Some(Report::Runs(is)) => (pid, program) = (Some(is), pidfd_open(is)),
                Some(Report::Failed(code, why)) => {
                    let _ = supervisor.wait();
                    return Err((code, why));
                }
                Some(Report::Stopped) => {
                    // If the program has been continued meanwhile, nobody would continue this process.
                    if pid.is_some_and(is_stopped) {
                        let _ = raise(Signal::SIGSTOP);
                    }
                }
                Some(Report::Ended(status)) => return Ok(exit_like(status)),
                None => {
                    let _ = supervisor.wait();
                    return Err((
                        FAILED,
                        "the program's supervisor has ended, and the program with it".into(),
                    ));
                }
            }
            continue;
        }
        while let Ok(Some(signal)) = signals.read_signal() {
            let is_groups = signal.ssi_code == SI_KERNEL;
            if let Some(program) =
                program.as_ref().filter(|_| !is_groups && signal.ssi_signo != libc::SIGCHLD as u32)
            {
                forward_signal(program, signal.ssi_signo as i32);
            } else if program.is_none() && asks_to_end(signal.ssi_signo as i32) {
                // There is no program yet to forward it to.
                return Ok(exit_like(signal.ssi_signo as i32));
            }
        }
    }
}

/// Blocks all signals, and returns a descriptor to read them from.
pub fn signal_fd() -> Result<SignalFd, nix::errno::Errno> {
    let all = SigSet::all();
    all.thread_block()?;
    SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC)
}

/// Waits for a child, forwards signals to it unless they were for the whole process group, and stops when it stops. Returns its
/// status of wait(2).
pub fn wait_for_child(child: &mut Child, signals: &SignalFd) -> i32 {
    let pid = child.id() as i32;
    loop {
        let mut status = 0;
        // SAFETY: a status to fill.
        let waited = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG | libc::WUNTRACED) };
        match waited {
            0 => {}
            _ if waited == pid && libc::WIFSTOPPED(status) => _ = raise(Signal::SIGSTOP),
            _ => return status,
        }
        if let Ok(Some(signal)) = signals.read_signal()
            && signal.ssi_signo != libc::SIGCHLD as u32
            && signal.ssi_code != SI_KERNEL
            && let Some(program) = pidfd_open(pid)
        {
            forward_signal(&program, signal.ssi_signo as i32);
        }
    }
}

fn pidfd_open(pid: i32) -> Option<Fd> {
    // SAFETY: no pointers.
    check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) }).ok().map(|fd| Fd::adopt(fd as i32))
}

fn forward_signal(program: &Fd, signal: i32) {
    let nothing = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: null for a siginfo that the kernel fills.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, program.raw(), signal, nothing, 0) };
}
