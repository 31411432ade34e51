//! The exit codes of `lonet run`, which follow env(1): the program's own, or one of these.

use lonet_core::sys;
use nix::sys::signal::SigSet;
use std::process::ExitCode;

/// A failure of lonet itself.
pub const FAILED: u8 = 125;

/// Why a program was not run: the exit code, and the error message.
pub type RunError = (u8, String);

/// Ends this process as another one has ended, whose status of wait(2) this is: with its exit code, or by its signal.
pub fn exit_like(status: i32) -> ExitCode {
    if !libc::WIFSIGNALED(status) {
        return ExitCode::from(libc::WEXITSTATUS(status) as u8);
    }
    let signal = libc::WTERMSIG(status);
    let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: structures of ours; no handler.
    unsafe {
        // The program has dumped its own core.
        libc::setrlimit(libc::RLIMIT_CORE, &raw const no_core);
        libc::signal(signal, libc::SIG_DFL);
        libc::syscall(libc::SYS_tgkill, sys::getpid(), sys::gettid(), signal);
    }
    let _ = SigSet::all().thread_unblock();
    // The signal does not end this process: exit with the code that a shell would report.
    ExitCode::from((128 + signal) as u8)
}
