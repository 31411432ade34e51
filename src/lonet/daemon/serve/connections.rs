//! Connections to the control sockets, and the messages received on them.
//!
//! There are two control sockets, and the order of arrival across both is unknown: so every message has the
//! time at which it was sent, and messages are handled in that order. What was sent before another message
//! has arrived when that one is handled: all messages sent until then are received after it, and later ones
//! wait for the next round.
//!
//! A connection without a message so far has its own epoll instance, so that it costs nothing.
//!
//! Every process on the machine can use the abstract name. The kernel identifies the process that connects:
//! one of the owner's, one that has joined, or an outsider, which may be a member that has dropped its
//! privileges and will show the network's key. An outsider's message is looked at where it lies: if it shows
//! the key, it is received as a member's. Of others, few are answered, after all members' messages of a round
//! and whatever their time says; the rest is closed, by other threads. Outsiders without a message have little
//! room and little time, each user separately, so that one user's flood costs no member of another uid
//! anything. Outsiders keep no network from ending, and are dropped first when descriptors run out.

use super::messages::Preparation;
use super::rights::{self, Closer, Right};
use super::{Daemon, event};
use crate::daemon::setup::{SetupError, os};
use crate::daemon::tally::{self, Kind};
use lonet_core::control::{self, Key, MAX_MESSAGE};
use lonet_core::sys;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollTimeout};
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long a connection may stay without a message; and an outsider's.
const SILENT_FOR: Duration = Duration::from_secs(5);
const OUTSIDER_SILENT_FOR: Duration = Duration::from_secs(1);

/// How many outsiders may be silent at once, of one uid and in total. The oldest is dropped for the newest.
const OUTSIDERS_OF_A_UID: usize = 16;
const OUTSIDERS: usize = 256;

/// How many messages of outsiders may wait for their answer. More are not answered.
const REFUSED: usize = 16;

/// The least time between answers to two of them.
const REFUSE_EVERY: Duration = Duration::from_millis(1);

/// Connections are numbered as they are made.
type Id = u64;

struct Silent {
    fd: OwnedFd,
    since: Instant,
    /// The uid of an outsider. `None`: a member.
    outsider: Option<u32>,
}

/// A message that was received, and not handled yet.
struct Received {
    fd: OwnedFd,
    bytes: Box<[u8]>,
    right: Option<Right>,
}

/// Connections without a message so far, and messages that are not handled yet.
pub(super) struct Connections {
    /// Reports connections with a message, by [`Id`].
    pub epoll: Epoll,
    members: BTreeMap<Id, Silent>,
    outsiders: BTreeMap<Id, Silent>,
    /// Members', by the time at which they were sent.
    received: BTreeMap<(Duration, Id), Received>,
    /// Outsiders', which are refused after members' were handled, and the time before which none is.
    refused: VecDeque<Received>,
    refuse_at: Instant,
    /// Outsiders' connections to close.
    discarded: Vec<OwnedFd>,
    key: Key,
    next: Id,
    pub closer: Closer,
}

impl Connections {
    pub fn new(key: Key) -> Result<Connections, SetupError> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(os("make an epoll"))?;
        let closer = Closer::new();
        Ok(Connections {
            epoll,
            members: BTreeMap::new(),
            outsiders: BTreeMap::new(),
            received: BTreeMap::new(),
            refused: VecDeque::new(),
            refuse_at: Instant::now(),
            discarded: Vec::new(),
            key,
            next: 0,
            closer,
        })
    }

    pub fn has_members(&self) -> bool {
        !self.members.is_empty() || self.has_received()
    }

    /// Whether received messages of members are still to be handled.
    pub fn has_received(&self) -> bool {
        !self.received.is_empty()
    }

    /// Whether messages are to be handled without another event.
    pub fn is_due(&self, now: Instant) -> bool {
        self.has_received() || self.refuses_at().is_some_and(|at| at <= now)
    }

    fn refuses_at(&self) -> Option<Instant> {
        (!self.refused.is_empty()).then_some(self.refuse_at)
    }

    fn is_empty(&self) -> bool {
        self.members.is_empty() && self.outsiders.is_empty()
    }

    /// Adds a connection, which is watched unless its message is there already. `outsider`: its uid, if it is
    /// one.
    pub fn add(&mut self, fd: OwnedFd, outsider: Option<u32>) {
        let Some(fd) = self.fetch(fd, outsider) else { return };
        if let Some(uid) = outsider {
            let of_uid = |silent: &Silent| silent.outsider == Some(uid);
            let many = self.outsiders.values().filter(|s| of_uid(s)).count() >= OUTSIDERS_OF_A_UID;
            let oldest = match many {
                true => self.outsiders.iter().find(|(_, s)| of_uid(s)).map(|(id, _)| *id),
                false if self.outsiders.len() >= OUTSIDERS => self.outsiders.keys().next().copied(),
                false => None,
            };
            oldest.into_iter().for_each(|id| self.drop_outsider(id));
        }
        let id = self.new_id();
        if let Err(e) = self.epoll.add(&fd, event(id)) {
            return tally::count(Kind::NoDescriptor, &e);
        }
        let silent = Silent { fd, since: Instant::now(), outsider };
        let all = if outsider.is_some() { &mut self.outsiders } else { &mut self.members };
        all.insert(id, silent);
    }

    fn new_id(&mut self) -> Id {
        self.next += 1;
        self.next
    }

    /// Receives this connection's message. Returns the connection if there is none yet.
    fn fetch(&mut self, fd: OwnedFd, outsider: Option<u32>) -> Option<OwnedFd> {
        let mut buffer = [0u8; MAX_MESSAGE];
        if let Some(uid) = outsider {
            match rights::peek(&fd, &mut buffer) {
                Ok(len) if self.shows_key(&buffer[..len]) => {}
                Ok(len) => {
                    self.refuse(fd, uid, &buffer[..len]);
                    return None;
                }
                Err(Errno::EAGAIN) => return Some(fd),
                Err(_) => {
                    self.discard(fd);
                    return None;
                }
            }
        }
        match rights::receive(&fd, &mut buffer) {
            Ok(Some(message)) => {
                let mut rights = message.rights.into_iter().map(|fd| Right::new(fd, &self.closer));
                let right = rights.next();
                // No message has more than one.
                rights.for_each(drop);
                let bytes = &buffer[..message.len];
                // No message is sent after it was received, whatever its time says.
                let at = control::sent_at(bytes).map_or_else(now, |at| at.min(now()));
                let id = self.new_id();
                self.received.insert((at, id), Received { fd, bytes: bytes.into(), right });
                None
            }
            Err(Errno::EAGAIN) => Some(fd),
            Ok(None) | Err(_) => {
                self.closer.close(fd);
                None
            }
        }
    }

    fn shows_key(&self, bytes: &[u8]) -> bool {
        control::read_request(bytes).is_ok_and(|(requester, _)| requester.key == self.key)
    }

    /// Has an outsider's message answered when members' have been, or its connection closed.
    fn refuse(&mut self, fd: OwnedFd, uid: u32, bytes: &[u8]) {
        if bytes.is_empty() {
            self.discard(fd);
        } else if self.refused.len() < REFUSED {
            self.refused.push_back(Received { fd, bytes: bytes.into(), right: None });
        } else {
            self.discard(fd);
            tally::count(Kind::Silent, &format_args!("uid {uid}"));
        }
    }

    /// Has an outsider's connection closed at the end of the round.
    pub fn discard(&mut self, fd: OwnedFd) {
        self.discarded.push(fd);
    }

    pub fn close_discarded(&mut self) {
        if !self.discarded.is_empty() {
            self.closer.end(std::mem::take(&mut self.discarded));
        }
    }

    /// Receives the messages of connections that were silent.
    fn fetch_all(&mut self) {
        for id in self.ready() {
            if let Some(silent) = self.take(id) {
                // A connection that is ready has a message, or was closed.
                self.fetch(silent.fd, silent.outsider);
            }
        }
    }

    /// The first message of a member's that was sent until then; when there is none, an outsider's that is due.
    fn next_until(&mut self, until: Duration) -> Option<Received> {
        if let Some(first) = self.received.first_entry().filter(|first| first.key().0 <= until) {
            return Some(first.remove());
        }
        let now = Instant::now();
        self.refuses_at().filter(|at| *at <= now)?;
        self.refuse_at = now + REFUSE_EVERY;
        let Received { fd, bytes, right } = self.refused.pop_front()?;
        // Its message is still there, with what descriptors it has.
        let copy = fd.try_clone();
        self.discard(fd);
        Some(Received { fd: copy.ok()?, bytes, right })
    }

    fn drop_outsider(&mut self, id: Id) {
        if let Some(Silent { fd, outsider: Some(uid), .. }) = self.outsiders.remove(&id) {
            // It may be closed much later.
            let _ = self.epoll.delete(&fd);
            self.discard(fd);
            tally::count(Kind::Silent, &format_args!("uid {uid}"));
        }
    }

    pub fn drop_outsiders(&mut self) {
        let all: Vec<Id> = self.outsiders.keys().copied().collect();
        all.into_iter().for_each(|id| self.drop_outsider(id));
    }

    /// The connections that have a message or were closed.
    fn ready(&self) -> Vec<Id> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut events = vec![EpollEvent::empty(); self.members.len() + self.outsiders.len()];
        let n = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        events[..n].iter().map(EpollEvent::data).collect()
    }

    fn take(&mut self, id: Id) -> Option<Silent> {
        let silent = self.members.remove(&id).or_else(|| self.outsiders.remove(&id))?;
        let _ = self.epoll.delete(&silent.fd);
        Some(silent)
    }

    /// The time when the next connection has been silent for too long, or an outsider's message is to be refused.
    pub fn until(&self) -> Option<Instant> {
        let member = self.members.values().next().map(|s| s.since + SILENT_FOR);
        let outsider = self.outsiders.values().next().map(|s| s.since + OUTSIDER_SILENT_FOR);
        [member, outsider, self.refuses_at()].into_iter().flatten().min()
    }

    pub fn run_timers(&mut self, now: Instant) {
        while let Some(first) = self.members.first_entry().filter(|e| now >= e.get().since + SILENT_FOR) {
            first.remove();
        }
        let is_late = |s: &Silent| now >= s.since + OUTSIDER_SILENT_FOR;
        while let Some(id) = self.outsiders.iter().next().filter(|(_, s)| is_late(s)).map(|(id, _)| *id) {
            self.drop_outsider(id);
        }
    }
}

/// The time, on the clock of messages' time stamps.
fn now() -> Duration {
    sys::clock(libc::CLOCK_MONOTONIC)
}

impl Daemon {
    /// Handles all messages that were sent until now, in the order in which they were sent.
    pub(super) fn handle_messages(&mut self) {
        let until = now();
        self.accept();
        self.connections.fetch_all();
        self.state.set_round(true);
        while let Some(Received { fd, bytes, right }) = self.connections.next_until(until) {
            self.handle_ends();
            self.handle_message(fd, right, &bytes, Preparation::default());
        }
        self.state.set_round(false);
    }
}

/// Whether a client that waits for a reply has closed its connection: it sends nothing more.
pub(super) fn has_hung_up(fd: &OwnedFd) -> bool {
    sys::readable_within(fd.as_raw_fd(), 0) == Ok(true)
}

#[cfg(test)]
mod tests;
