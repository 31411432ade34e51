//! Worker threads for calls that block, such as an accept without a connection, and for binds that come together; each makes
//! one call at a time.
//!
//! A worker never ends, as liblonet's seat in the network's table belongs to the thread that took it. A worker must stop
//! waiting when its call is gone or its caller has a signal pending. Nothing announces either, so the supervisor's main thread
//! checks every [`INTERRUPT_EVERY_MS`] and interrupts workers with [`INTERRUPT_SIGNAL`]; one that is missed is sent again.

use super::caller::{CallError, Caller, Leaders, pending_signal_error};
use super::calls::Response;
use super::notify_fd::NotifyFd;
use lonet_core::sys;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// How often workers are interrupted if they have to, in milliseconds: a signal for a caller is at most this late.
pub const INTERRUPT_EVERY_MS: i32 = 40;

/// The signal that interrupts a worker. It is blocked except during blocking calls; its handler does nothing.
pub const INTERRUPT_SIGNAL: i32 = libc::SIGUSR2;

/// A call to be made by a worker.
pub type Job = Box<dyn FnOnce() -> Result<Response, CallError> + Send>;

struct QueuedCall {
    id: u64,
    /// The id of the calling thread.
    caller: i32,
    job: Job,
}

/// A call that a worker makes.
#[derive(Clone, Copy)]
struct RunningCall {
    id: u64,
    caller: i32,
    worker: i32,
}

#[derive(Default)]
struct State {
    queue: VecDeque<QueuedCall>,
    idle: usize,
    running: Vec<RunningCall>,
}

pub struct Workers {
    notify_fd: &'static NotifyFd,
    state: Mutex<State>,
    work_queued: Condvar,
}

impl Workers {
    pub fn new(notify_fd: &'static NotifyFd) -> Workers {
        Workers { notify_fd, state: Mutex::default(), work_queued: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a worker do this job and end the call. `Err`: the job, as no worker is idle and no thread can be started.
    /// `at_once`: also if it would have to wait until a worker has made another call.
    pub fn submit(&'static self, (id, caller): (u64, i32), job: Job, at_once: bool) -> Result<(), Job> {
        let mut state = self.state();
        if state.idle <= state.queue.len() {
            let made =
                thread::Builder::new().name("worker".into()).stack_size(256 << 10).spawn(|| self.run());
            if made.is_err() && (at_once || state.idle == 0) {
                return Err(job);
            }
            state.idle += usize::from(made.is_ok());
        }
        state.queue.push_back(QueuedCall { id, caller, job });
        self.work_queued.notify_one();
        Ok(())
    }

    fn run(&self) {
        let worker = sys::gettid();
        loop {
            let mut state = self.state();
            let QueuedCall { id, caller, job } = loop {
                match state.queue.pop_front() {
                    Some(call) => break call,
                    None => state = self.work_queued.wait(state).unwrap_or_else(PoisonError::into_inner),
                }
            };
            state.idle -= 1;
            state.running.push(RunningCall { id, caller, worker });
            drop(state);
            let result = job();
            // First, as the caller may make its next call as soon as this one ends.
            self.state().running.retain(|call| call.id != id);
            super::calls::respond(self.notify_fd, id, result);
            self.state().idle += 1;
        }
    }

    /// Whether any call is queued or running.
    pub fn has_calls(&self) -> bool {
        let state = self.state();
        !state.running.is_empty() || !state.queue.is_empty()
    }

    /// Drops queued calls that are gone, and interrupts the workers of running ones. Whether any was running.
    pub fn interrupt_gone(&self) -> bool {
        let mut state = self.state();
        state.queue.retain(|call| self.notify_fd.is_pending(call.id));
        let gone = |call: &&RunningCall| !self.notify_fd.is_pending(call.id);
        state.running.iter().filter(gone).map(|call| interrupt(call.worker)).count() > 0
    }

    /// Interrupts the threads whose call has gone, or whose caller has a signal pending.
    pub fn interrupt_due(&self) {
        let running = self.state().running.clone();
        let mut leaders = Leaders::default();
        for call in running {
            let mut is_due = || pending_signal_error(call.caller, &mut leaders).is_some();
            if !self.notify_fd.is_pending(call.id) || is_due() {
                interrupt(call.worker);
            }
        }
    }
}

/// Interrupts a worker. Its thread id is valid, as workers never end.
fn interrupt(worker: i32) {
    // SAFETY: no pointers.
    unsafe { libc::syscall(libc::SYS_tgkill, sys::getpid(), worker, INTERRUPT_SIGNAL) };
}

/// Makes a call with [`INTERRUPT_SIGNAL`] unblocked.
pub fn interruptible<T>(call: impl FnOnce() -> T) -> T {
    let mut set = nix::sys::signal::SigSet::empty();
    if let Ok(signal) = nix::sys::signal::Signal::try_from(INTERRUPT_SIGNAL) {
        set.add(signal);
    }
    let _ = set.thread_unblock();
    let result = call();
    let errno = nix::errno::Errno::last();
    let _ = set.thread_block();
    errno.set();
    result
}

/// Why a wait for a socket has ended.
#[derive(PartialEq, Eq)]
pub enum WaitResult {
    Ready,
    /// The caller has ended, or the wait was interrupted: check the caller.
    Recheck,
    /// The socket's timeout has passed.
    TimedOut,
}

/// Waits until `socket` is ready for `events`, for at most `limit` milliseconds if that is not 0.
pub fn wait(caller: &Caller, socket: i32, events: libc::c_short, limit: i32) -> WaitResult {
    let mut polls = [(socket, events), (caller.pidfd(), libc::POLLIN)].map(|(fd, events)| libc::pollfd {
        fd,
        events,
        revents: 0,
    });
    let limit = if limit > 0 { limit } else { -1 };
    // SAFETY: two structures of ours.
    match interruptible(|| unsafe { libc::poll(polls.as_mut_ptr(), 2, limit) }) {
        0 => WaitResult::TimedOut,
        1.. if polls[0].revents != 0 => WaitResult::Ready,
        _ => WaitResult::Recheck,
    }
}
