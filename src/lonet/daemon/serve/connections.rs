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
mod tests {
    use super::*;
    use lonet_core::control::{Op, Options, Requester};
    use nix::sys::socket::{self, AddressFamily, MsgFlags, SockFlag, SockType, socketpair};

    const KEY: Key = [7; 16];
    const OUTSIDER: Option<u32> = Some(65533);

    /// A connection with a message that is stamped with this time; and its other end.
    fn sent_message(at: Duration) -> (OwnedFd, OwnedFd) {
        sent_with_key(at, [0; 16])
    }

    fn sent_with_key(at: Duration, key: Key) -> (OwnedFd, OwnedFd) {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .expect("a pair of sockets");
        let mut bytes = [0; MAX_MESSAGE];
        let requester = Requester { host: "", key, options: Options::default() };
        let n = control::write_request(&mut bytes, at, &requester, &Op::Review).expect("a short message");
        socket::send(theirs.as_raw_fd(), &bytes[..n], MsgFlags::empty()).expect("room for a message");
        (ours, theirs)
    }

    fn times(connections: &mut Connections, until: Duration) -> Vec<Option<Duration>> {
        std::iter::from_fn(|| connections.next_until(until)).map(|s| control::sent_at(&s.bytes)).collect()
    }

    #[test]
    fn messages_are_taken_in_the_order_in_which_they_were_sent() {
        let mut connections = Connections::new(KEY).expect("an epoll");
        let sent = [3, 1, 2].map(Duration::from_nanos);
        let all = sent.map(sent_message);
        let _others = all.map(|(ours, theirs)| (connections.add(ours, None), theirs));
        assert_eq!(times(&mut connections, now()), [1, 2, 3].map(|at| Some(Duration::from_nanos(at))));
    }

    #[test]
    fn message_sent_later_waits_for_the_next_round() {
        let mut connections = Connections::new(KEY).expect("an epoll");
        let (moment, (early, _a)) = (now(), sent_message(Duration::ZERO));
        let later = moment + Duration::from_nanos(1);
        let (late, _b) = sent_message(later);
        connections.add(late, None);
        connections.add(early, None);
        assert_eq!(times(&mut connections, moment), [Some(Duration::ZERO)]);
        assert!(connections.has_received());
        assert_eq!(times(&mut connections, now()), [Some(later)]);
    }

    #[test]
    fn message_with_a_future_time_stamp_does_not_wait() {
        let mut connections = Connections::new(KEY).expect("an epoll");
        let (fd, _other) = sent_message(Duration::from_secs(u64::MAX / 2_000_000_000));
        connections.add(fd, None);
        assert_eq!(times(&mut connections, now()).len(), 1);
    }

    #[test]
    fn message_of_an_outsider_comes_after_all_members() {
        let mut connections = Connections::new(KEY).expect("an epoll");
        let (outsiders, _a) = sent_message(Duration::ZERO);
        connections.add(outsiders, OUTSIDER);
        let all = [1, 2].map(|at| sent_message(Duration::from_nanos(at)));
        let _others = all.map(|(ours, theirs)| (connections.add(ours, None), theirs));
        assert_eq!(times(&mut connections, now()), [1, 2, 0].map(|at| Some(Duration::from_nanos(at))));
    }

    #[test]
    fn message_with_the_key_is_handled_as_a_members() {
        let mut connections = Connections::new(KEY).expect("an epoll");
        let all = [2, 1].map(|at| sent_with_key(Duration::from_nanos(at), KEY));
        let _others = all.map(|(ours, theirs)| (connections.add(ours, OUTSIDER), theirs));
        assert!(connections.has_members() && connections.refused.is_empty());
        assert_eq!(times(&mut connections, now()), [1, 2].map(|at| Some(Duration::from_nanos(at))));
    }

    #[test]
    fn outsiders_messages_beyond_a_few_are_not_received() {
        let mut connections = Connections::new(KEY).expect("an epoll");
        let all: Vec<_> = (0..100).map(|_| sent_message(Duration::ZERO)).collect();
        let others: Vec<_> =
            all.into_iter().map(|(ours, theirs)| (connections.add(ours, OUTSIDER), theirs)).collect();
        assert!(!connections.has_members());
        assert_eq!((connections.refused.len(), connections.discarded.len()), (REFUSED, 100 - REFUSED));
        connections.close_discarded();
        assert_eq!(socket::recv(others[99].1.as_raw_fd(), &mut [0], MsgFlags::empty()), Ok(0), "the end");
        // One is due at once, and the next not before its time.
        let before = Instant::now();
        assert!(connections.next_until(now()).is_some());
        assert!(connections.refuses_at() >= Some(before + REFUSE_EVERY));
    }
}
