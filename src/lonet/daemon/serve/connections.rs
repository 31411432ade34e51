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
//! privileges and will show the network's key. Outsiders have little room and little time, each user
//! separately, so that one user's flood costs no member of another uid anything. They keep no network from
//! ending, and are dropped first when descriptors run out.

use super::messages::Preparation;
use super::rights::{self, Closer, Right};
use super::{ABSTRACT, CONTROL, Daemon, event};
use crate::daemon::setup::{SetupError, os};
use crate::daemon::tally::{self, Kind};
use lonet_core::control::{self, MAX_MESSAGE};
use lonet_core::sys;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollTimeout};
use nix::sys::socket::{self, SockFlag, sockopt};
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long a connection may stay without a message; and an outsider's.
const SILENT_FOR: Duration = Duration::from_secs(5);
const OUTSIDER_SILENT_FOR: Duration = Duration::from_secs(1);

/// How many outsiders may be silent at once, of one uid and in total. The oldest is dropped for the newest.
const OUTSIDERS_OF_A_UID: usize = 16;
const OUTSIDERS: usize = 256;

/// How many connections to a control socket are accepted before other work: as many as the kernel lets wait
/// there, so that all that came before are accepted.
const ACCEPT_AT_ONCE: usize = libc::SOMAXCONN as usize + 1;

/// How long the control sockets are not watched after no descriptor was left for a new connection.
const PAUSE: Duration = Duration::from_millis(50);

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
    is_outsiders: bool,
}

/// Connections without a message so far, and messages that are not handled yet.
pub(super) struct Connections {
    /// Reports connections with a message, by [`Id`].
    pub epoll: Epoll,
    members: BTreeMap<Id, Silent>,
    outsiders: BTreeMap<Id, Silent>,
    /// By the time at which they were sent.
    received: BTreeMap<(Duration, Id), Received>,
    next: Id,
    pub closer: Closer,
}

impl Connections {
    pub fn new() -> Result<Connections, SetupError> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(os("make an epoll"))?;
        let closer = Closer::new();
        Ok(Connections {
            epoll,
            members: BTreeMap::new(),
            outsiders: BTreeMap::new(),
            received: BTreeMap::new(),
            next: 0,
            closer,
        })
    }

    pub fn has_members(&self) -> bool {
        !self.members.is_empty() || self.received.values().any(|s| !s.is_outsiders)
    }

    /// Whether received messages are still to be handled.
    pub fn has_received(&self) -> bool {
        !self.received.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.members.is_empty() && self.outsiders.is_empty()
    }

    /// Adds a connection, which is watched unless its message is there already. `outsider`: its uid, if it is
    /// one.
    fn add(&mut self, fd: OwnedFd, outsider: Option<u32>) {
        let Some(fd) = self.fetch(fd, outsider.is_some()) else { return };
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
    fn fetch(&mut self, fd: OwnedFd, is_outsiders: bool) -> Option<OwnedFd> {
        let mut buffer = [0u8; MAX_MESSAGE];
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
                self.received.insert((at, id), Received { fd, bytes: bytes.into(), right, is_outsiders });
                None
            }
            Err(Errno::EAGAIN) => Some(fd),
            Ok(None) | Err(_) => {
                self.closer.end(fd);
                None
            }
        }
    }

    /// Receives the messages of connections that were silent.
    fn fetch_all(&mut self) {
        for id in self.ready() {
            if let Some(silent) = self.take(id) {
                // A connection that is ready has a message, or was closed.
                self.fetch(silent.fd, silent.outsider.is_some());
            }
        }
    }

    /// The first message that was sent until then.
    fn next_until(&mut self, until: Duration) -> Option<Received> {
        let first = self.received.first_entry()?;
        (first.key().0 <= until).then(|| first.remove())
    }

    fn drop_outsider(&mut self, id: Id) {
        if let Some(Silent { fd, outsider: Some(uid), .. }) = self.outsiders.remove(&id) {
            self.closer.end(fd);
            tally::count(Kind::Silent, &format_args!("uid {uid}"));
        }
    }

    /// Drops the oldest outsider. Returns whether there was one.
    fn drop_oldest_outsider(&mut self) -> bool {
        let oldest = self.outsiders.keys().next().copied();
        oldest.into_iter().for_each(|id| self.drop_outsider(id));
        oldest.is_some()
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

    /// The time when the next connection has been silent for too long.
    pub fn until(&self) -> Option<Instant> {
        let member = self.members.values().next().map(|s| s.since + SILENT_FOR);
        let outsider = self.outsiders.values().next().map(|s| s.since + OUTSIDER_SILENT_FOR);
        member.into_iter().chain(outsider).min()
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

/// The two control sockets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ControlSocket {
    Path,
    Name,
}

impl Daemon {
    /// Handles all messages that were sent until now, in the order in which they were sent.
    pub(super) fn handle_messages(&mut self) {
        let until = now();
        self.accept();
        self.connections.fetch_all();
        self.state.set_round(true);
        while let Some(Received { fd, bytes, right, .. }) = self.connections.next_until(until) {
            self.handle_ends();
            self.handle_message(fd, right, &bytes, Preparation::default());
        }
        self.state.set_round(false);
    }

    /// Accepts the connections to the control sockets.
    fn accept(&mut self) {
        if self.control_sockets.paused_until().is_none() {
            self.accept_at(ControlSocket::Path);
            self.accept_at(ControlSocket::Name);
        }
    }

    fn accept_at(&mut self, which: ControlSocket) {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        for _ in 0..ACCEPT_AT_ONCE {
            let socket = match which {
                ControlSocket::Path => &self.control_sockets.by_path,
                ControlSocket::Name => &self.control_sockets.by_name,
            };
            match socket::accept4(socket.as_raw_fd(), flags) {
                // SAFETY: a new descriptor that nobody else has.
                Ok(fd) => self.watch_silent(unsafe { OwnedFd::from_raw_fd(fd) }),
                Err(Errno::EAGAIN) => return,
                Err(Errno::ECONNABORTED | Errno::EINTR) => {}
                Err(_) if self.connections.drop_oldest_outsider() => {}
                Err(e) => {
                    tally::count(Kind::NoDescriptor, &e);
                    return self.pause_control_sockets();
                }
            }
        }
    }

    fn watch_silent(&mut self, fd: OwnedFd) {
        let outsider = match socket::getsockopt(&fd, sockopt::PeerCredentials) {
            Ok(by) if by.uid() == self.membership.owner || self.processes.contains(by.pid()) => None,
            Ok(by) => Some(by.uid()),
            Err(e) => return tally::count(Kind::NoSender, &e),
        };
        self.connections.add(fd, outsider);
    }

    /// Stops watching the control sockets for a while: no descriptor is left, and the loop would spin.
    fn pause_control_sockets(&mut self) {
        self.control_sockets.pause(&self.epoll, Instant::now() + PAUSE);
    }

    pub(super) fn watch_control_sockets(&mut self) -> Result<(), Errno> {
        self.control_sockets.watch(&self.epoll, [event(CONTROL), event(ABSTRACT)])
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
    use nix::sys::socket::{AddressFamily, MsgFlags, SockType, socketpair};

    /// A connection with a message that is stamped with this time; and its other end.
    fn sent_message(at: Duration) -> (OwnedFd, OwnedFd) {
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .expect("a pair of sockets");
        let mut bytes = [0; MAX_MESSAGE];
        let requester = Requester { host: "", key: [0; 16], options: Options::default() };
        let n = control::write_request(&mut bytes, at, &requester, &Op::Review).expect("a short message");
        socket::send(theirs.as_raw_fd(), &bytes[..n], MsgFlags::empty()).expect("room for a message");
        (ours, theirs)
    }

    fn times(connections: &mut Connections, until: Duration) -> Vec<Option<Duration>> {
        std::iter::from_fn(|| connections.next_until(until)).map(|s| control::sent_at(&s.bytes)).collect()
    }

    #[test]
    fn messages_are_taken_in_the_order_in_which_they_were_sent() {
        let mut connections = Connections::new().expect("an epoll");
        let sent = [3, 1, 2].map(Duration::from_nanos);
        let all = sent.map(sent_message);
        let _others = all.map(|(ours, theirs)| (connections.add(ours, None), theirs));
        assert_eq!(times(&mut connections, now()), [1, 2, 3].map(|at| Some(Duration::from_nanos(at))));
    }

    #[test]
    fn message_sent_later_waits_for_the_next_round() {
        let mut connections = Connections::new().expect("an epoll");
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
        let mut connections = Connections::new().expect("an epoll");
        let (fd, _other) = sent_message(Duration::from_secs(u64::MAX / 2_000_000_000));
        connections.add(fd, None);
        assert_eq!(times(&mut connections, now()).len(), 1);
    }
}
