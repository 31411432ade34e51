//! Ctrl-C, and other signals that ask to end, while `lonet run --ready` waits for its program.
//!
//! The program is in a session of its own, where no signal of the terminal's comes to it. So this process passes the signal on
//! to the program and what it has started, and ends by the signal itself as soon as the program has ended. Where there is no
//! program yet, or none any more, it ends at once.

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use std::io;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst};

/// The signals that ask a program in the foreground to end.
const SIGNALS: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// To whom signals go, as kill(2) takes it: the program's process group, or the process that passes them on to a supervised
/// program; [`NONE`], or [`STARTING`].
static TARGET: AtomicI32 = AtomicI32::new(NONE);
const NONE: i32 = 0;
const STARTING: i32 = i32::MIN;

/// The last signal that came. 0: none has.
static CAME: AtomicI32 = AtomicI32::new(0);

/// A signal that came while the program was starting, and is not passed on yet. 0: there is none.
static WAITS: AtomicI32 = AtomicI32::new(0);

/// How many handlers are about to use the target.
static PASSING: AtomicUsize = AtomicUsize::new(0);

/// Only system calls, as it is a signal handler.
extern "C" fn pass_on(signal: i32) {
    CAME.store(signal, SeqCst);
    PASSING.fetch_add(1, SeqCst);
    match TARGET.load(SeqCst) {
        NONE => end_by(signal),
        STARTING => {
            WAITS.store(signal, SeqCst);
            // The program may have started meanwhile.
            pass_on_waiting();
        }
        target => send(target, signal),
    }
    PASSING.fetch_sub(1, SeqCst);
}

/// Passes on the signal that waits for the program's start, once.
fn pass_on_waiting() {
    let target = TARGET.load(SeqCst);
    if target != NONE && target != STARTING {
        match WAITS.swap(0, SeqCst) {
            0 => {}
            signal => send(target, signal),
        }
    }
}

fn send(target: i32, signal: i32) {
    // SAFETY: numbers only; errno is the thread's own.
    unsafe {
        let errno = *libc::__errno_location();
        libc::kill(target, signal);
        *libc::__errno_location() = errno;
    }
}

/// Has this process end by a signal, as if it had no handler.
fn end_by(signal: i32) {
    // SAFETY: numbers only. In the handler the signal is blocked, and takes effect when that returns.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::kill(libc::getpid(), signal);
    }
}

/// Before the program is started: from here on signals are for it. Signals that are ignored, as in the background of a script,
/// stay so.
pub fn before_start() {
    TARGET.store(STARTING, SeqCst);
    for signal in SIGNALS {
        // SAFETY: the structures are zeroed, which is valid, and the handler makes only system calls.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, std::ptr::null(), &raw mut action);
            if action.sa_sigaction != libc::SIG_IGN {
                action = std::mem::zeroed();
                action.sa_sigaction = pass_on as *const () as usize;
                action.sa_flags = libc::SA_RESTART;
                libc::sigaction(signal, &raw const action, std::ptr::null_mut());
            }
        }
    }
}

/// A process has started, as the leader of a group: the program or, if that is supervised, who passes signals on to it.
pub fn started(leader: u32, is_supervised: bool) {
    // A supervised program is in the group, too, and would get the signal twice.
    let target = if is_supervised { leader as i32 } else { -(leader as i32) };
    TARGET.store(target, SeqCst);
    pass_on_waiting();
}

/// Waits for the program's end. Its number becomes another process's only when no handler is about to send a signal to it.
pub fn wait(child: &mut Child) -> io::Result<ExitStatus> {
    let pid = Pid::from_raw(child.id() as i32);
    // It is not reaped: its number stays its own.
    while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) == Err(Errno::EINTR) {}
    forget_target();
    child.wait()
}

/// Returns when no handler uses the target any more. The handlers that it waits for are those of other threads.
fn forget_target() {
    TARGET.store(NONE, SeqCst);
    while PASSING.load(SeqCst) != 0 {
        std::thread::yield_now();
    }
}

/// Ends this process if a signal has come for the program.
pub fn end_if_interrupted() {
    match CAME.load(SeqCst) {
        0 => {}
        signal => end_by(signal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_reserved_while_a_signal_is_passed_on() {
        PASSING.fetch_add(1, SeqCst);
        TARGET.store(1, SeqCst);
        let (over, is_over) = std::sync::mpsc::channel();
        let forgets = std::thread::spawn(move || {
            forget_target();
            over.send(()).expect("who waits");
        });
        while TARGET.load(SeqCst) != NONE {
            std::thread::yield_now();
        }
        assert!(is_over.try_recv().is_err());
        PASSING.fetch_sub(1, SeqCst);
        is_over.recv().expect("its end");
        forgets.join().expect("its end");
    }
}
