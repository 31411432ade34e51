//! The supervisor's main thread: receives suspended calls, and reaps children.

use super::caller::Caller;
use super::calls::{self, Action, Response};
use super::notify_fd::NotifyFd;
use super::report::Report;
use super::workers::{INTERRUPT_EVERY_MS, Workers};
use lonet_core::sys::{self, Fd};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

/// How many times, a millisecond each, the threads of gone callers are waited for.
const MAX_RELEASE_WAITS: u32 = 1000;

pub struct Server {
    notify_fd: &'static NotifyFd,
    workers: &'static Workers,
    children: SignalFd,
    program: Pid,
    /// The socket for reports to the user's process, and its pid.
    user: (Fd, Pid),
    program_ended: bool,
    /// When worker threads were last interrupted.
    last_interrupt: Instant,
}

impl Server {
    pub fn new(notify_fd: Fd, program: Pid, user: (Fd, Pid)) -> Result<Server, Errno> {
        // Leaked, as they are used as long as this process lives.
        let notify_fd: &'static NotifyFd = Box::leak(Box::new(NotifyFd::new(notify_fd)));
        let workers: &'static Workers = Box::leak(Box::new(Workers::new(notify_fd)));
        let mut child = SigSet::empty();
        child.add(Signal::SIGCHLD);
        let children = SignalFd::with_flags(&child, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Server {
            notify_fd,
            workers,
            children,
            program,
            user,
            program_ended: false,
            last_interrupt: Instant::now(),
        })
    }

    /// Serves until no process is under the filter any more.
    pub fn run(&mut self) {
        // The program may have ended before the signalfd was made.
        self.reap();
        loop {
            let (has_call, is_unused) = self.wait();
            if has_call && let Some(notification) = self.notify_fd.receive() {
                if matches!(notification.number, libc::SYS_bind | libc::SYS_listen | libc::SYS_connect) {
                    self.release_gone_sockets();
                }
                let others = notification.number == libc::SYS_bind
                    && sys::readable_within(self.notify_fd.raw(), 0) == Ok(true);
                let action = Caller::new(self.notify_fd, notification)
                    .and_then(|caller| calls::dispatch(caller, others));
                let call = (notification.id, notification.thread);
                let submit = |job, at_once| self.workers.submit(call, job, at_once).err();
                let response = match action {
                    Ok(Action::Respond(response)) => Some(Ok(response)),
                    Ok(Action::Defer(job)) => submit(job, false).map(|_| Ok(Response::Errno(libc::ENETDOWN))),
                    Ok(Action::Share(job)) => submit(job, true).map(|job| job()),
                    Err(error) => Some(Err(error)),
                };
                if let Some(response) = response {
                    calls::respond(self.notify_fd, notification.id, response);
                }
            }
            if is_unused && self.program_ended {
                return;
            }
        }
    }

    /// Waits for an event. Returns whether a call is suspended, and whether no process uses the filter any more.
    fn wait(&mut self) -> (bool, bool) {
        let fds: [RawFd; 2] = [self.notify_fd.raw(), self.children.as_raw_fd()];
        let mut polls = fds.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
        let limit = if self.workers.has_calls() { INTERRUPT_EVERY_MS } else { -1 };
        // SAFETY: two structures of ours.
        let ready = unsafe { libc::poll(polls.as_mut_ptr(), 2, limit) };
        // Even if calls arrive without a pause.
        if limit >= 0
            && (ready <= 0
                || self.last_interrupt.elapsed() >= Duration::from_millis(INTERRUPT_EVERY_MS as u64))
        {
            self.workers.interrupt_due();
            self.last_interrupt = Instant::now();
        }
        if ready <= 0 {
            return (false, false);
        }
        let is_unused = polls[0].revents & libc::POLLHUP != 0;
        if polls[1].revents != 0 || is_unused {
            while matches!(self.children.read_signal(), Ok(Some(_))) {}
            self.reap();
        }
        (polls[0].revents & libc::POLLIN != 0, is_unused)
    }

    /// Reaps all children that have ended: the program, and orphans of its descendants.
    fn reap(&mut self) {
        loop {
            let mut status = 0;
            let flags = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED;
            // SAFETY: a status to fill.
            let pid = unsafe { libc::waitpid(-1, &raw mut status, flags) };
            if pid <= 0 {
                return;
            }
            if pid != self.program.as_raw() {
                continue;
            }
            let (user, user_pid) = (self.user.0.raw(), self.user.1);
            if libc::WIFSTOPPED(status) {
                Report::Stopped.send(user);
            } else if libc::WIFCONTINUED(status) {
                // The sender of SIGCONT may not know the user's process, which has stopped with the program.
                let _ = nix::sys::signal::kill(user_pid, Signal::SIGCONT);
            } else {
                self.program_ended = true;
                self.release_gone_sockets();
                // Continue to serve the program's descendants after the user's process has exited.
                // SAFETY: no pointers.
                unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, 0) };
                Report::Ended(status).send(user);
            }
        }
    }

    /// Waits until no worker holds a duplicate of a socket whose caller has gone. So the ports of an ended program are free before
    /// its end is reported, or another call looks for a free port.
    fn release_gone_sockets(&self) {
        for _ in 0..MAX_RELEASE_WAITS {
            if !self.workers.interrupt_gone() {
                return;
            }
            let _ = sys::readable_within(self.user.0.raw(), 1);
        }
    }
}
