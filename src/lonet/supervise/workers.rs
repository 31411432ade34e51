//! Threads for calls that wait: a connect that takes time, an accept before anybody calls. One waits for one call.
//!
//! A thread never ends: liblonet's seat in the network's table is held by the thread that took it. What waits is left when
//! its call waits no more or a signal is there for the caller; of both nothing tells but a look, so the supervisor's main thread
//! looks every [`TICK`] and interrupts with [`SIGNAL`]. That comes again, so that none is lost.

use super::caller::{CallError, Caller, pending_signal_error};
use super::calls::Response;
use super::notify_fd::NotifyFd;
use lonet_core::sys;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// How late a signal may be, in milliseconds.
pub const TICK: i32 = 40;

/// Blocked but where a call waits; its handler does nothing.
pub const SIGNAL: i32 = libc::SIGUSR2;

/// What a thread does.
pub type Job = Box<dyn FnOnce() -> Result<Response, CallError> + Send>;

struct Work {
    id: u64,
    /// The thread whose call it is.
    caller: i32,
    job: Job,
}

/// A call that a thread of ours waits for.
#[derive(Clone, Copy)]
struct Flight {
    id: u64,
    caller: i32,
    worker: i32,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Work>,
    idle: usize,
    flights: Vec<Flight>,
}

pub struct Workers {
    notify_fd: &'static NotifyFd,
    state: Mutex<State>,
    more: Condvar,
}

impl Workers {
    pub fn new(notify_fd: &'static NotifyFd) -> Workers {
        Workers { notify_fd, state: Mutex::default(), more: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a thread do this and answer the call. `false`: there is none, and none can be made.
    pub fn give(&'static self, id: u64, caller: i32, job: Job) -> bool {
        let mut state = self.state();
        if state.idle <= state.queue.len() {
            let made =
                thread::Builder::new().name("worker".into()).stack_size(256 << 10).spawn(|| self.run());
            if made.is_err() && state.idle == 0 {
                return false;
            }
            state.idle += usize::from(made.is_ok());
        }
        state.queue.push_back(Work { id, caller, job });
        self.more.notify_one();
        true
    }

    fn run(&self) {
        let worker = sys::gettid();
        loop {
            let mut state = self.state();
            let Work { id, caller, job } = loop {
                match state.queue.pop_front() {
                    Some(work) => break work,
                    None => state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner),
                }
            };
            state.idle -= 1;
            state.flights.push(Flight { id, caller, worker });
            drop(state);
            let result = job();
            // Before the answer: what comes of it may be another call of the same thread.
            self.state().flights.retain(|flight| flight.id != id);
            super::calls::respond(self.notify_fd, id, result);
            self.state().idle += 1;
        }
    }

    /// Whether any call is waited for.
    pub fn any(&self) -> bool {
        let state = self.state();
        !state.flights.is_empty() || !state.queue.is_empty()
    }

    /// Has everybody leave what waits no more. Whether there is anything left of it.
    pub fn leave_gone(&self) -> bool {
        let mut state = self.state();
        state.queue.retain(|work| self.notify_fd.is_pending(work.id));
        let gone = |flight: &&Flight| !self.notify_fd.is_pending(flight.id);
        state.flights.iter().filter(gone).map(|flight| interrupt(flight.worker)).count() > 0
    }

    /// Interrupts whoever waits for what waits no more, or for whose caller a signal is there. Whether calls of `gone` are left.
    pub fn interrupt(&self) -> bool {
        let flights = self.state().flights.clone();
        let mut gone = false;
        for flight in flights {
            let waits = self.notify_fd.is_pending(flight.id);
            gone |= !waits;
            if !waits || pending_signal_error(flight.caller).is_some() {
                interrupt(flight.worker);
            }
        }
        gone
    }
}

/// Interrupts a thread of ours, which never ends.
fn interrupt(worker: i32) {
    // SAFETY: no pointers.
    unsafe { libc::syscall(libc::SYS_tgkill, sys::getpid(), worker, SIGNAL) };
}

/// Calls with [`SIGNAL`] let through.
pub fn interruptible<T>(call: impl FnOnce() -> T) -> T {
    let mut set = nix::sys::signal::SigSet::empty();
    if let Ok(signal) = nix::sys::signal::Signal::try_from(SIGNAL) {
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
pub enum Waited {
    Ready,
    /// The caller's end, a signal, or nothing: it is to be looked.
    Look,
    /// The socket's time limit has passed.
    TooLong,
}

/// Waits until `socket` is ready for `events`; for `limit` milliseconds, if that is more than 0.
pub fn wait(caller: &Caller, socket: i32, events: libc::c_short, limit: i32) -> Waited {
    let mut polls = [(socket, events), (caller.pidfd(), libc::POLLIN)].map(|(fd, events)| libc::pollfd {
        fd,
        events,
        revents: 0,
    });
    let limit = if limit > 0 { limit } else { -1 };
    // SAFETY: two structures of ours.
    match interruptible(|| unsafe { libc::poll(polls.as_mut_ptr(), 2, limit) }) {
        0 => Waited::TooLong,
        1.. if polls[0].revents != 0 => Waited::Ready,
        _ => Waited::Look,
    }
}
