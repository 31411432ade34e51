//! Connections to the control socket on which nothing has been said so far.
//!
//! Each is watched by itself, so that one that says nothing costs nothing. What is said is taken in the order in which
//! the connections were made, see [`super`]: all that can be read is found at once and sorted, and before a new
//! connection is read those before it are.
//!
//! The abstract name is there for everybody on the machine. Who comes is told by the kernel as it comes: a process of the
//! owner's or one that has joined, or an outsider, which may be a member that has dropped its privileges and will show
//! the network's key. Outsiders have little room and little time, each user apart, so that one user's flood costs no
//! member of another uid anything. They keep no network from ending, and are the first to go when descriptors run out.

use super::{ABSTRACT, CONTROL, Daemon, event};
use crate::daemon::doors::Doors;
use crate::daemon::setup::{SetupError, os};
use crate::daemon::tally::{self, Kind};
use lonet_core::control::MAX_MESSAGE;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollTimeout};
use nix::sys::socket::{self, SockFlag, sockopt};
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long a connection may take to say something; an outsider's.
const SILENT_FOR: Duration = Duration::from_secs(5);
const OUTSIDER_SILENT_FOR: Duration = Duration::from_secs(1);

/// How many outsiders may be silent at once, of one uid and in all. The oldest goes for the newest.
const OUTSIDERS_OF_A_UID: usize = 16;
const OUTSIDERS: usize = 256;

/// How many connections are taken at a door before others have their turn.
const ACCEPT_AT_ONCE: usize = 64;

/// How long the doors stay shut when there is no descriptor for who comes.
const SHUT_FOR: Duration = Duration::from_millis(50);

/// Counts up as connections are made.
type Id = u64;

struct Silent {
    fd: OwnedFd,
    since: Instant,
    /// `None`: a member.
    outsider: Option<u32>,
}

/// All that is silent.
pub(super) struct Connections {
    /// Says who has spoken, by [`Id`].
    pub epoll: Epoll,
    members: BTreeMap<Id, Silent>,
    outsiders: BTreeMap<Id, Silent>,
    next: Id,
}

impl Connections {
    pub fn new() -> Result<Connections, SetupError> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(os("make an epoll"))?;
        Ok(Connections { epoll, members: BTreeMap::new(), outsiders: BTreeMap::new(), next: 0 })
    }

    pub fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.members.is_empty() && self.outsiders.is_empty()
    }

    /// Whoever has nothing to say yet is watched. `outsider`: its uid, if it is one.
    fn add(&mut self, fd: OwnedFd, outsider: Option<u32>) {
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
        self.next += 1;
        if let Err(e) = self.epoll.add(&fd, event(self.next)) {
            return tally::count(Kind::NoDescriptor, &e);
        }
        let silent = Silent { fd, since: Instant::now(), outsider };
        let all = if outsider.is_some() { &mut self.outsiders } else { &mut self.members };
        all.insert(self.next, silent);
    }

    fn drop_outsider(&mut self, id: Id) {
        if let Some(Silent { outsider: Some(uid), .. }) = self.outsiders.remove(&id) {
            tally::count(Kind::Silent, &format_args!("uid {uid}"));
        }
    }

    /// Whether there was one.
    fn drop_oldest_outsider(&mut self) -> bool {
        let oldest = self.outsiders.keys().next().copied();
        oldest.into_iter().for_each(|id| self.drop_outsider(id));
        oldest.is_some()
    }

    /// Those who have spoken or hung up, the oldest connection first.
    fn ready(&self) -> Vec<Id> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut events = vec![EpollEvent::empty(); self.members.len() + self.outsiders.len()];
        let n = self.epoll.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        let mut all: Vec<Id> = events[..n].iter().map(EpollEvent::data).collect();
        all.sort_unstable();
        all
    }

    fn take(&mut self, id: Id) -> Option<OwnedFd> {
        let silent = self.members.remove(&id).or_else(|| self.outsiders.remove(&id))?;
        let _ = self.epoll.delete(&silent.fd);
        Some(silent.fd)
    }

    /// When the next one has been silent for too long.
    pub fn until(&self) -> Option<Instant> {
        let member = self.members.values().next().map(|s| s.since + SILENT_FOR);
        let outsider = self.outsiders.values().next().map(|s| s.since + OUTSIDER_SILENT_FOR);
        member.into_iter().chain(outsider).min()
    }

    pub fn look_at_the_time(&mut self, now: Instant) {
        while let Some(first) = self.members.first_entry().filter(|e| now >= e.get().since + SILENT_FOR) {
            first.remove();
        }
        let is_late = |s: &Silent| now >= s.since + OUTSIDER_SILENT_FOR;
        while let Some(id) = self.outsiders.iter().next().filter(|(_, s)| is_late(s)).map(|(id, _)| *id) {
            self.drop_outsider(id);
        }
    }
}

/// Where programs come in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    Path,
    Name,
}

impl Daemon {
    /// Takes those who have come to a door, and what they say.
    pub(super) fn accept(&mut self, door: Door) {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        for _ in 0..ACCEPT_AT_ONCE {
            let socket = match door {
                Door::Path => &self.doors.by_path,
                Door::Name => &self.doors.by_name,
            };
            match socket::accept4(socket.as_raw_fd(), flags) {
                Ok(fd) => {
                    // SAFETY: a new descriptor that nobody else has.
                    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
                    if door == Door::Path {
                        // Messages that were sent before this connection was made come first: epoll does not tell at which
                        // of the two sockets somebody was first.
                        self.accept(Door::Name);
                    }
                    self.watch_silent(fd);
                }
                Err(Errno::EAGAIN) => return,
                Err(Errno::ECONNABORTED | Errno::EINTR) => {}
                Err(_) if self.connections.drop_oldest_outsider() => {}
                Err(e) => {
                    tally::count(Kind::NoDescriptor, &e);
                    return self.shut_doors();
                }
            }
        }
    }

    fn watch_silent(&mut self, fd: OwnedFd) {
        let outsider = match socket::getsockopt(&fd, sockopt::PeerCredentials) {
            Ok(by) if by.uid() == self.membership.owner || self.processes.contains_key(&by.pid()) => None,
            Ok(by) => Some(by.uid()),
            Err(e) => return tally::count(Kind::NoSender, &e),
        };
        self.read_connections();
        if let Some(fd) = self.read(fd) {
            self.connections.add(fd, outsider);
        }
    }

    /// Takes what connections say, the oldest connection first.
    pub(super) fn read_connections(&mut self) {
        for id in self.connections.ready() {
            if let Some(fd) = self.connections.take(id) {
                // What was ready is not silent: it has spoken, or has hung up.
                self.read(fd);
            }
        }
    }

    /// Takes what this one says. It comes back if that is nothing yet.
    fn read(&mut self, fd: OwnedFd) -> Option<OwnedFd> {
        let mut buffer = [0u8; MAX_MESSAGE];
        match lonet_core::sys::recv_with(fd.as_raw_fd(), &mut buffer, true) {
            Ok((0, _)) => None,
            Ok((n, right)) => {
                // SAFETY: a new descriptor that nobody else has.
                let right = right.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
                self.take_news();
                self.take_message(fd, right, &buffer[..n], (false, false));
                None
            }
            Err(Errno::EAGAIN) => Some(fd),
            Err(_) => None,
        }
    }

    /// No descriptor is left: those who come wait, as the loop would never rest.
    fn shut_doors(&mut self) {
        if self.shut_until.replace(Instant::now() + SHUT_FOR).is_none() {
            let _ = self.epoll.delete(&self.doors.by_path);
            let _ = self.epoll.delete(&self.doors.by_name);
        }
    }

    pub(super) fn open_doors(&mut self) -> Result<(), Errno> {
        self.shut_until = None;
        let Doors { by_path, by_name, .. } = &self.doors;
        self.epoll.add(by_path, event(CONTROL))?;
        self.epoll.add(by_name, event(ABSTRACT))
    }
}
