//! A connection with a foreign peer (a Go or Python process), in any of its states.

use super::TaskContext;
use super::acceptor::Acceptor;
use super::connection::Lingering;
use super::courier::Courier;
use super::dialer::{Dialer, SlowDial};
use super::relay::Relay;
use nix::sys::epoll::EpollFlags;
use std::time::Instant;

/// An event of a task.
#[derive(Clone, Copy, Debug)]
pub(super) enum TaskEvent {
    Ready { side: u64, flags: EpollFlags },
    TimedOut,
}

pub(super) enum Task {
    Acceptor(Acceptor),
    Lingering(Lingering),
    Courier(Courier),
    Dialer(Dialer),
    SlowDial(SlowDial),
    Relay(Relay),
}

impl Task {
    pub(super) fn step(self, cx: &mut TaskContext<'_, '_>, event: TaskEvent) -> Option<Task> {
        match self {
            Task::Acceptor(t) => t.step(cx, event),
            Task::Lingering(t) => t.step(event),
            Task::Courier(t) => t.step(cx, event),
            Task::Dialer(t) => t.step(cx, event),
            Task::SlowDial(t) => t.step(cx, event),
            Task::Relay(t) => t.step(cx, event),
        }
    }

    pub(super) fn until(&self) -> Option<Instant> {
        match self {
            Task::Acceptor(t) => Some(t.until),
            Task::Lingering(t) => Some(t.until),
            Task::Courier(t) => Some(t.until()),
            Task::Dialer(t) => Some(t.until()),
            Task::SlowDial(t) => Some(t.until),
            Task::Relay(_) => None,
        }
    }

    pub(super) fn is_half_done(&self) -> bool {
        match self {
            Task::Acceptor(_) | Task::Lingering(_) => true,
            Task::Courier(t) => t.is_connecting(),
            Task::Dialer(_) | Task::SlowDial(_) | Task::Relay(_) => false,
        }
    }

    /// Ends an incoming connection to make room for a newer one.
    pub(super) fn give_way(self, cx: &mut TaskContext<'_, '_>) {
        if let Task::Courier(t) = self {
            t.abort(cx);
        }
    }
}
