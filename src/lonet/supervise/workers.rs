//! Threads for calls that wait: a connect that takes time, an accept before anybody calls. One waits for one call.
//!
//! A thread never ends: liblonet's seat in the network's table is held by the thread that took it. What waits is left when
//! its call waits no more or a signal is there for the caller; of both nothing tells but a look, so the supervisor's main thread
//! looks every [`INTERRUPT_EVERY_MS`] and interrupts with [`INTERRUPT_SIGNAL`]. That comes again, so that none is lost.

use super::caller::{CallError, Caller, pending_signal_error};
use super::calls::Response;
use super::notify_fd::NotifyFd;
use lonet_core::sys;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// How late a signal may be, in milliseconds.
pub const INTERRUPT_EVERY_MS: i32 = 40;

/// Blocked but where a call waits; its handler does nothing.
pub const INTERRUPT_SIGNAL: i32 = libc::SIGUSR2;

/// What a thread does.
pub type Job = Box<dyn FnOnce() -> Result<Response, CallError> + Send>;

struct QueuedCall {
    id: u64,
    /// The thread whose call it is.
    caller: i32,
    job: Job,
}

/// A call that a thread of ours waits for.
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

    /// Has a thread do this and answer the call. `false`: there is none, and none can be made.
    pub fn submit(&'static self, id: u64, caller: i32, job: Job) -> bool {
        let mut state = self.state();
        if state.idle <= state.queue.len() {
            let made =
                thread::Builder::new().name("worker".into()).stack_size(256 << 10).spawn(|| self.run());
            if made.is_err() && state.idle == 0 {
                return false;
            }
            state.idle += usize::from(made.is_ok());
        }
        state.queue.push_back(QueuedCall { id, caller, job });
        self.work_queued.notify_one();
        true
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
            // Before the answer: what comes of it may be another call of the same thread.
            self.state().running.retain(|call| call.id != id);
            super::calls::respond(self.notify_fd, id, result);
            self.state().idle += 1;
        }
    }

    /// Whether any call is waited for.
    pub fn has_calls(&self) -> bool {
        let state = self.state();
        !state.running.is_empty() || !state.queue.is_empty()
    }

    /// Has everybody leave what waits no more. Whether there is anything left of it.
    pub fn interrupt_gone(&self) -> bool {
        let mut state = self.state();
        state.queue.retain(|call| self.notify_fd.is_pending(call.id));
        let gone = |call: &&RunningCall| !self.notify_fd.is_pending(call.id);
        state.running.iter().filter(gone).map(|call| interrupt(call.worker)).count() > 0
    }

    /// Interrupts the threads whose call has gone, or whose caller has a signal pending.
    pub fn interrupt_due(&self) {
        let running = self.state().running.clone();
        for call in running {
            if !self.notify_fd.is_pending(call.id) || pending_signal_error(call.caller).is_some() {
                interrupt(call.worker);
            }
        }
    }
}

/// Interrupts a thread of ours, which never ends.
fn interrupt(worker: i32) {
    // SAFETY: no pointers.
    unsafe { libc::syscall(libc::SYS_tgkill, sys::getpid(), worker, INTERRUPT_SIGNAL) };
}

/// Calls with [`INTERRUPT_SIGNAL`] let through.
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

/// What a wait for a socket has come to.
#[derive(PartialEq, Eq)]
pub enum WaitResult {
    Ready,
    /// The caller's end, a signal, or nothing: it is to be looked.
    Recheck,
    /// The socket's time limit has passed.
    TimedOut,
}

/// Waits until `socket` is ready for `events`; for `limit` milliseconds, if that is more than 0.
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
