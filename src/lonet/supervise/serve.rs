//! The supervisor's main thread: takes the calls that wait, and reaps what has ended.

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

/// How often threads are waited for whose callers have gone, a millisecond each.
const MAX_RELEASE_WAITS: u32 = 1000;

pub struct Server {
    notify_fd: &'static NotifyFd,
    workers: &'static Workers,
    children: SignalFd,
    program: Pid,
    /// Who hears of the program, and its process.
    user: (Fd, Pid),
    program_ended: bool,
    /// When those who wait were last looked at.
    last_interrupt: Instant,
}

impl Server {
    pub fn new(notify_fd: Fd, program: Pid, user: (Fd, Pid)) -> Result<Server, Errno> {
        // They are used for as long as this process lives.
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

    /// Until nobody is left who is under the filter.
    pub fn run(&mut self) {
        // The program may have ended before there was a descriptor to tell of it.
        self.reap();
        loop {
            let (has_call, is_unused) = self.wait();
            if has_call && let Some(notification) = self.notify_fd.receive() {
                if matches!(notification.number, libc::SYS_bind | libc::SYS_listen | libc::SYS_connect) {
                    self.release_gone_sockets();
                }
                let result = Caller::new(self.notify_fd, notification).and_then(calls::dispatch);
                match result {
                    Ok(Action::Respond(response)) => {
                        calls::respond(self.notify_fd, notification.id, Ok(response))
                    }
                    Ok(Action::Defer(job)) => {
                        if !self.workers.submit(notification.id, notification.thread, job) {
                            calls::respond(
                                self.notify_fd,
                                notification.id,
                                Ok(Response::Errno(libc::ENETDOWN)),
                            );
                        }
                    }
                    Err(error) => calls::respond(self.notify_fd, notification.id, Err(error)),
                }
            }
            if is_unused && self.program_ended {
                return;
            }
        }
    }

    /// Whether a call waits, and whether nobody is left.
    fn wait(&mut self) -> (bool, bool) {
        let fds: [RawFd; 2] = [self.notify_fd.raw(), self.children.as_raw_fd()];
        let mut polls = fds.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
        let limit = if self.workers.has_calls() { INTERRUPT_EVERY_MS } else { -1 };
        // SAFETY: two structures of ours.
        let ready = unsafe { libc::poll(polls.as_mut_ptr(), 2, limit) };
        // Also where there is always another call.
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

    /// Takes the status of each child: the program, and what has lost its parent.
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
                // Whoever let the program go on may not know of the process that stopped with it.
                let _ = nix::sys::signal::kill(user_pid, Signal::SIGCONT);
            } else {
                self.program_ended = true;
                self.release_gone_sockets();
                // What the program has left behind is served on.
                // SAFETY: no pointers.
                unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, 0) };
                Report::Ended(status).send(user);
            }
        }
    }

    /// Who looks for a free port, or waits for the program's end, finds those free whose programs have ended: no thread here
    /// has a duplicate of a socket of theirs any more.
    fn release_gone_sockets(&self) {
        for _ in 0..MAX_RELEASE_WAITS {
            if !self.workers.interrupt_gone() {
                return;
            }
            let _ = sys::readable_within(self.user.0.raw(), 1);
        }
    }
}
