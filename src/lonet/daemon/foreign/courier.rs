//! A courier: the connection that lonetd makes to a program's listener in place of a foreign dialer.
//!
//! So refusal and backlog are the kernel's. The accept hook notifies lonetd of what it has accepted, closes
//! the courier and gets the dialer's own connection. A program that accepted past the hooks (by a raw system
//! call, or without a descriptor left to ask lonetd) talks to the courier, and its bytes are relayed. A
//! connection is also relayed if it is not of its listener's family and cannot be changed to it: its dialer
//! has closed its end before the reply.

use super::connection::{Connection, refuse};
use super::relay::Relay;
use super::{Task, TaskContext, TaskEvent, io};
use crate::daemon::state::{Kernel, Pid};
use lonet_core::block::Endpoint;
use lonet_core::handshake::{Reply, WireAddr};
use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long a program that has accepted a courier may take to claim it.
const CLAIM_WITHIN: Duration = Duration::from_millis(250);

/// The interval at which the kernel is asked whether the courier has been accepted: it doubles from the first
/// value to the second.
const LOOK: [Duration; 2] = [Duration::from_millis(25), Duration::from_millis(400)];

/// The reason why most relayed couriers are relayed.
const UNHOOKED: &str = "the program accepted it without liblonet";

/// The events by which the kernel shows that the courier was accepted: its other end has sent something, or
/// is closed.
const ACCEPTED: EpollFlags = EpollFlags::EPOLLIN.union(EpollFlags::EPOLLRDHUP);

pub struct Courier {
    dialer: Connection,
    courier: OwnedFd,
    source: SocketAddrV4,
    listener: SocketAddrV4,
    phase: Phase,
    /// Most couriers are claimed before it pays to watch them.
    watched: bool,
}

enum Phase {
    /// Connecting. `at`: the address for the reply to the dialer.
    Connecting { at: WireAddr, until: Instant },
    /// In the backlog, or accepted; the dialer has its reply.
    Waiting { accepted: Option<Instant>, look: Instant, pause: Duration },
}

impl Courier {
    pub fn begin(
        cx: &mut TaskContext<'_, '_>,
        dialer: Connection,
        listener: SocketAddrV4,
        at: WireAddr,
        until: Instant,
    ) -> Option<Task> {
        let made = io::connect(Some(cx.event_loop.state.block.stack()), listener);
        let (courier, source) = match made.and_then(|fd| Ok((io::local(&fd).ok_or(Errno::EPROTO)?, fd))) {
            Ok((source, fd)) => (fd, source),
            Err(e) => {
                cx.event_loop.state.incoming_ends(dialer.cookie);
                return refuse(cx, dialer.fd, &why_not(e));
            }
        };
        cx.shared.couriers.insert((source, listener), cx.id);
        cx.event_loop.state.courier_leaves(source, listener, dialer.cookie);
        let phase = Phase::Connecting { at, until };
        let mut courier = Courier { dialer, courier, source, listener, phase, watched: false };
        if io::is_decided(&courier.courier) {
            return courier.connected(cx);
        }
        // The listener's backlog is full.
        courier.watch(cx, EpollFlags::EPOLLOUT);
        Some(Task::Courier(courier))
    }

    /// The dialer's data is for the program; only the end of its connection is of interest.
    fn watch(&mut self, cx: &mut TaskContext<'_, '_>, flags: EpollFlags) {
        cx.watch(0, &self.dialer.fd, EpollFlags::empty());
        cx.watch(1, &self.courier, flags);
        self.watched = true;
    }

    pub fn until(&self) -> Instant {
        match self.phase {
            Phase::Connecting { until, .. } => until,
            Phase::Waiting { look, .. } => look,
        }
    }

    pub fn is_connecting(&self) -> bool {
        matches!(self.phase, Phase::Connecting { .. })
    }

    pub fn step(self, cx: &mut TaskContext<'_, '_>, event: TaskEvent) -> Option<Task> {
        let over = EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
        match (&self.phase, event) {
            // The dialer has closed or reset its connection.
            (_, TaskEvent::Ready { side: 0, .. }) | (Phase::Connecting { .. }, TaskEvent::TimedOut) => {
                self.abort(cx)
            }
            (Phase::Connecting { .. }, TaskEvent::Ready { .. }) => return self.connected(cx),
            // The listener was closed with the courier in its backlog.
            (Phase::Waiting { .. }, TaskEvent::Ready { flags, .. }) if flags.intersects(over) => {
                self.abort(cx)
            }
            (Phase::Waiting { .. }, TaskEvent::Ready { .. }) => return Some(self.relay(cx, UNHOOKED)),
            (Phase::Waiting { .. }, TaskEvent::TimedOut) => return Some(self.look(cx)),
        }
        None
    }

    fn connected(self, cx: &mut TaskContext<'_, '_>) -> Option<Task> {
        if let Some(e) = io::error(&self.courier) {
            self.forget(cx);
            cx.event_loop.state.incoming_ends(self.dialer.cookie);
            return refuse(cx, self.dialer.fd, &why_not(e));
        }
        match self.arrived(cx) {
            Ok(courier) => Some(Task::Courier(courier)),
            Err(courier) => {
                courier.abort(cx);
                None
            }
        }
    }

    /// The courier is in the backlog: the dialer gets its reply before any program can have its connection.
    fn arrived(mut self, cx: &mut TaskContext<'_, '_>) -> Result<Courier, Courier> {
        let Phase::Connecting { at, .. } = &self.phase else { return Ok(self) };
        let reply = Reply::Connected(at.clone()).to_line(&cx.shared.network);
        if io::send_line(&self.dialer.fd, &reply).is_err() {
            return Err(self);
        }
        if self.watched {
            self.watch(cx, ACCEPTED);
        }
        self.phase = Phase::Waiting { accepted: None, look: Instant::now() + LOOK[0], pause: LOOK[0] };
        Ok(self)
    }

    /// Checks whether a program has accepted the courier.
    fn look(mut self, cx: &mut TaskContext<'_, '_>) -> Task {
        if !self.watched {
            self.watch(cx, ACCEPTED);
        }
        let now = Instant::now();
        let held = cx.event_loop.kernel.connection(self.listener, self.source);
        let Phase::Waiting { accepted, look, pause } = &mut self.phase else { return Task::Courier(self) };
        match held {
            Some(Some(found)) if !found.held => *accepted = None,
            // Also if the kernel cannot be asked: no dialer may wait for ever.
            _ => *accepted = accepted.or(Some(now)),
        }
        match *accepted {
            Some(since) if since + CLAIM_WITHIN <= now => return self.relay(cx, UNHOOKED),
            Some(since) => *look = since + CLAIM_WITHIN,
            None => {
                *pause = (*pause * 2).min(LOOK[1]);
                *look = now + *pause;
            }
        }
        Task::Courier(self)
    }

    fn relay(self, cx: &mut TaskContext<'_, '_>, why: &str) -> Task {
        tracing::info!("a foreign peer's connection to {} is relayed: {why}", self.listener);
        cx.shared.couriers.remove(&(self.source, self.listener));
        Relay::begin(cx, [self.dialer.fd, self.courier], Some((self.source, self.listener)))
    }

    /// Hands the dialer's own connection to the program, unless it is to be relayed.
    pub fn claim(
        self,
        cx: &mut TaskContext<'_, '_>,
        pid: Pid,
    ) -> (Option<Task>, Option<(OwnedFd, Endpoint)>) {
        let courier = match self.arrived(cx) {
            Ok(courier) if courier.dialer.is_misfit => {
                return (Some(courier.relay(cx, "its dialer has closed its end already")), None);
            }
            Ok(courier) => courier,
            Err(courier) => {
                courier.abort(cx);
                return (None, None);
            }
        };
        courier.forget(cx);
        if courier.watched {
            cx.unwatch(&courier.dialer.fd);
        }
        // The program closes its end; the reset keeps it from leaving a socket in TIME_WAIT.
        io::reset(courier.courier);
        let peer = cx.event_loop.state.claimed(cx.event_loop.kernel, pid, courier.dialer.cookie);
        (None, peer.map(|peer| (courier.dialer.fd, peer)))
    }

    /// Ends its role as a courier: a connection accepted with these addresses stands for no dialer.
    fn forget(&self, cx: &mut TaskContext<'_, '_>) {
        cx.shared.couriers.remove(&(self.source, self.listener));
        cx.event_loop.state.courier_ends(self.source, self.listener);
    }

    /// Resets both connections.
    pub fn abort(self, cx: &mut TaskContext<'_, '_>) {
        self.forget(cx);
        cx.event_loop.state.incoming_ends(self.dialer.cookie);
        io::reset(self.dialer.fd);
        io::reset(self.courier);
    }
}

fn why_not(e: Errno) -> Reply {
    match e {
        Errno::ECONNREFUSED => Reply::Refused,
        e => Reply::Error(e.desc().to_lowercase().into_bytes()),
    }
}
