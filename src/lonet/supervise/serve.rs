//! The supervisor's main thread: takes the calls that wait, and reaps what has ended.

use super::caller::Caller;
use super::calls::{self, Answer, Step};
use super::listener::Listener;
use super::report::Report;
use super::workers::{TICK, Workers};
use lonet_core::sys::{self, Fd};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

/// How often threads are waited for whose callers have gone, a millisecond each.
const PATIENCE: u32 = 1000;

pub struct Server {
    listener: &'static Listener,
    workers: &'static Workers,
    children: SignalFd,
    program: Pid,
    /// Who hears of the program, and its process.
    user: (Fd, Pid),
    has_ended: bool,
    /// When those who wait were last looked at.
    looked: Instant,
}

impl Server {
    pub fn new(listener: Fd, program: Pid, user: (Fd, Pid)) -> Result<Server, Errno> {
        // They are used for as long as this process lives.
        let listener: &'static Listener = Box::leak(Box::new(Listener::new(listener)));
        let workers: &'static Workers = Box::leak(Box::new(Workers::new(listener)));
        let mut child = SigSet::empty();
        child.add(Signal::SIGCHLD);
        let children = SignalFd::with_flags(&child, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Server { listener, workers, children, program, user, has_ended: false, looked: Instant::now() })
    }

    /// Until nobody is left who is under the filter.
    pub fn run(&mut self) {
        // The program may have ended before there was a descriptor to tell of it.
        self.reap();
        loop {
            let (calls, nobody) = self.wait();
            if calls && let Some(notice) = self.listener.next() {
                if matches!(notice.number, libc::SYS_bind | libc::SYS_listen | libc::SYS_connect) {
                    self.drop_sockets();
                }
                let others = notice.number == libc::SYS_bind
                    && sys::readable_within(self.listener.raw(), 0) == Ok(true);
                let result =
                    Caller::new(self.listener, notice).and_then(|caller| calls::begin(caller, others));
                match result {
                    Ok(Step::Answer(answer)) => calls::answer(self.listener, notice.id, Ok(answer)),
                    Ok(Step::Waits(job)) => {
                        if !self.workers.give(notice.id, notice.thread, job) {
                            calls::answer(self.listener, notice.id, Ok(Answer::Fails(libc::ENETDOWN)));
                        }
                    }
                    Err(trouble) => calls::answer(self.listener, notice.id, Err(trouble)),
                }
            }
            if nobody && self.has_ended {
                return;
            }
        }
    }

    /// Whether a call waits, and whether nobody is left.
    fn wait(&mut self) -> (bool, bool) {
        let fds: [RawFd; 2] = [self.listener.raw(), self.children.as_raw_fd()];
        let mut polls = fds.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
        let limit = if self.workers.any() { TICK } else { -1 };
        // SAFETY: two structures of ours.
        let ready = unsafe { libc::poll(polls.as_mut_ptr(), 2, limit) };
        // Also where there is always another call.
        if limit >= 0 && (ready <= 0 || self.looked.elapsed() >= Duration::from_millis(TICK as u64)) {
            self.workers.interrupt();
            self.looked = Instant::now();
        }
        if ready <= 0 {
            return (false, false);
        }
        let nobody = polls[0].revents & libc::POLLHUP != 0;
        if polls[1].revents != 0 || nobody {
            while matches!(self.children.read_signal(), Ok(Some(_))) {}
            self.reap();
        }
        (polls[0].revents & libc::POLLIN != 0, nobody)
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
                self.has_ended = true;
                self.drop_sockets();
                // What the program has left behind is served on.
                // SAFETY: no pointers.
                unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, 0) };
                Report::Ended(status).send(user);
            }
        }
    }

    /// Who looks for a free port, or waits for the program's end, finds those free whose programs have ended: no thread here
    /// has a duplicate of a socket of theirs any more.
    fn drop_sockets(&self) {
        for _ in 0..PATIENCE {
            if !self.workers.leave_gone() {
                return;
            }
            let _ = sys::readable_within(self.user.0.raw(), 1);
        }
    }
}
