//! A model of the kernel and its processes, as far as lonet depends on them.
//!
//! It models what [`super::super::Kernel`] is asked: which sockets are in the kernel's tables, and whether a
//! process holds them. What the kernel forgets (a reset socket that is still open) is forgotten here, too,
//! and what it remembers (a closed connection whose peer is open) is remembered.

use crate::daemon::state::{ConnectedSocket, Cookie, Kernel, KernelSocket, Pid, UnconnectedState};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

pub const OWNER: u32 = 1000;

/// The kernel's state of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Is {
    /// In no table: fresh, refused, reset, or bound to an address without a port.
    Unknown,
    Bound,
    Listening,
    Connected {
        local: SocketAddrV4,
        remote: SocketAddrV4,
    },
}

#[derive(Clone, Debug)]
pub struct Sock {
    pub is: Is,
    /// Where bind has put it.
    pub bound: Option<SocketAddrV4>,
    /// connect was called, and has succeeded or failed.
    pub spent: bool,
    /// How many descriptors each process has of it; empty: no process holds it.
    pub holders: BTreeMap<Pid, u32>,
    /// Connections that wait to be accepted.
    pub backlog: VecDeque<Cookie>,
    pub reuse_port: bool,
}

impl Sock {
    pub fn is_held(&self) -> bool {
        !self.holders.is_empty()
    }
}

#[derive(Default)]
pub struct World {
    pub sockets: BTreeMap<Cookie, Sock>,
    pub processes: BTreeSet<Pid>,
    /// Destroyed, and not announced so far.
    pub destroyed: Vec<Cookie>,
    /// The kernel cannot be asked.
    pub blind: bool,
    /// It does not list bound idle sockets, as before Linux 6.8.
    pub hides_bound: bool,
    /// How often an address was bound to for a moment.
    pub probed: usize,
    /// How often it was asked about an unconnected socket.
    pub asked: usize,
    pub now: Duration,
    last_cookie: Cookie,
    last_pid: Pid,
    last_source: u16,
}

/// The range of source ports, which are taken in turn at each connect.
pub const SOURCES: (u16, u16) = (40_000, 60_000);

impl World {
    /// Whether lonetd may be unable to find out that a socket has ended.
    pub fn is_vague(&self) -> bool {
        self.blind || self.hides_bound
    }

    pub fn spawn(&mut self) -> Pid {
        self.last_pid += 1;
        self.processes.insert(self.last_pid);
        self.last_pid
    }

    /// Makes a child with all descriptors of its parent.
    pub fn fork(&mut self, parent: Pid) -> Pid {
        let child = self.spawn();
        for socket in self.sockets.values_mut() {
            if let Some(n) = socket.holders.get(&parent).copied() {
                socket.holders.insert(child, n);
            }
        }
        child
    }

    pub fn socket(&mut self, pid: Pid) -> Cookie {
        self.insert(Is::Unknown, None, Some(pid))
    }

    fn insert(&mut self, is: Is, bound: Option<SocketAddrV4>, holder: Option<Pid>) -> Cookie {
        self.last_cookie += 1;
        let holders = holder.into_iter().map(|pid| (pid, 1)).collect();
        let backlog = VecDeque::new();
        let socket = Sock { is, bound, spent: false, holders, backlog, reuse_port: false };
        self.sockets.insert(self.last_cookie, socket);
        self.last_cookie
    }

    fn get(&mut self, cookie: Cookie) -> &mut Sock {
        self.sockets.get_mut(&cookie).expect("a socket of this world")
    }

    /// Binds with SO_REUSEADDR set, as lonet does.
    pub fn bind(&mut self, cookie: Cookie, os: SocketAddrV4, reuse_port: bool) -> bool {
        let taken = |s: &Sock| s.is == Is::Listening && s.bound == Some(os) && !(reuse_port && s.reuse_port);
        if self.sockets.values().any(taken) {
            return false;
        }
        let s = self.get(cookie);
        (s.is, s.bound, s.reuse_port) = (Is::Bound, Some(os), reuse_port);
        true
    }

    pub fn listen(&mut self, cookie: Cookie) -> bool {
        let (os, reuse_port) = (self.get(cookie).bound, self.get(cookie).reuse_port);
        let taken = |(c, s): (&Cookie, &Sock)| {
            *c != cookie && s.is == Is::Listening && s.bound == os && !(reuse_port && s.reuse_port)
        };
        if self.sockets.iter().any(taken) {
            return false;
        }
        self.get(cookie).is = Is::Listening;
        true
    }

    /// Shuts a listener down.
    pub fn shutdown(&mut self, cookie: Cookie) {
        let backlog = std::mem::take(&mut self.get(cookie).backlog);
        backlog.into_iter().for_each(|waiting| self.reset(waiting));
        self.get(cookie).is = Is::Bound;
    }

    /// Connects, from `ip` if the socket is not bound. Returns the source; `None`: refused.
    pub fn connect(&mut self, cookie: Cookie, ip: Ipv4Addr, to: SocketAddrV4) -> Option<SocketAddrV4> {
        let is_listener = |s: &&mut Sock| s.is == Is::Listening && s.bound == Some(to);
        let Some(listener) = self.sockets.iter_mut().find(|(_, s)| is_listener(s)).map(|(cookie, _)| *cookie)
        else {
            self.get(cookie).spent = true;
            return None;
        };
        let bound = self.get(cookie).bound;
        let from = match bound {
            // It would be connected to itself, which the hook undoes.
            Some(bound) if bound == to => return None,
            Some(bound) if self.at(bound, to).is_some() || self.at(to, bound).is_some() => return None,
            Some(bound) => bound,
            None => {
                self.last_source += 1;
                SocketAddrV4::new(ip, SOURCES.0 + self.last_source)
            }
        };
        self.get(cookie).is = Is::Connected { local: from, remote: to };
        let other = self.insert(Is::Connected { local: to, remote: from }, None, None);
        self.get(listener).backlog.push_back(other);
        Some(from)
    }

    pub fn accept(&mut self, listener: Cookie, pid: Pid) -> Option<Cookie> {
        let cookie = self.get(listener).backlog.pop_front()?;
        self.get(cookie).holders.insert(pid, 1);
        Some(cookie)
    }

    /// Ends the connection between the two ends at once. An end that no process holds is gone.
    pub fn reset(&mut self, cookie: Cookie) {
        let Is::Connected { local, remote } = self.get(cookie).is.clone() else { return };
        let other = self.at(remote, local);
        for end in [Some(cookie), other].into_iter().flatten() {
            let waits = self.sockets.values().any(|s| s.backlog.contains(&end));
            let s = self.get(end);
            s.is = if s.bound.is_some() { Is::Bound } else { Is::Unknown };
            s.spent = true;
            if !s.is_held() && !waits {
                self.sockets.remove(&end);
            }
        }
    }

    /// Closes one descriptor of a socket. Returns whether it was the last one.
    pub fn close(&mut self, cookie: Cookie, pid: Pid, reset: bool) -> bool {
        let s = self.get(cookie);
        match s.holders.get_mut(&pid) {
            Some(1) => s.holders.remove(&pid).is_some(),
            Some(n) => {
                *n -= 1;
                true
            }
            None => return false,
        };
        if s.is_held() {
            return false;
        }
        self.destroyed.push(cookie);
        match self.get(cookie).is.clone() {
            Is::Unknown | Is::Bound => {
                self.sockets.remove(&cookie);
            }
            Is::Listening => {
                self.shutdown(cookie);
                self.sockets.remove(&cookie);
            }
            Is::Connected { local, remote } => {
                let other = self.at(remote, local);
                let waits = other.is_some_and(|c| self.sockets.values().any(|s| s.backlog.contains(&c)));
                let held = other.is_some_and(|c| self.sockets[&c].is_held());
                if reset || !(waits || held) {
                    self.reset(cookie);
                }
                // Otherwise it remains in FIN_WAIT.
            }
        }
        true
    }

    pub fn exit(&mut self, pid: Pid) {
        self.processes.remove(&pid);
        let all: Vec<Cookie> =
            self.sockets.iter().filter(|(_, s)| s.holders.contains_key(&pid)).map(|(c, _)| *c).collect();
        for cookie in all {
            while self.sockets.get(&cookie).is_some_and(|s| s.holders.contains_key(&pid)) {
                self.close(cookie, pid, false);
            }
        }
    }

    pub fn at(&self, local: SocketAddrV4, remote: SocketAddrV4) -> Option<Cookie> {
        let wanted = Is::Connected { local, remote };
        self.sockets.iter().find(|(_, s)| s.is == wanted).map(|(cookie, _)| *cookie)
    }

    /// All sockets of a block. `None`: the kernel cannot be asked.
    pub fn kernel_sockets(&self) -> Option<BTreeMap<Cookie, KernelSocket>> {
        if self.blind || self.hides_bound {
            return None;
        }
        let one = |(cookie, s): (&Cookie, &Sock)| {
            let sighting = |local, remote, idle| KernelSocket { local, remote, idle, held: s.is_held() };
            let seen = match s.is {
                Is::Unknown => return None,
                Is::Bound => sighting(s.bound?, None, UnconnectedState::Bound),
                Is::Listening => sighting(s.bound?, None, UnconnectedState::Listening),
                Is::Connected { local, remote } => sighting(local, Some(remote), UnconnectedState::Bound),
            };
            Some((*cookie, seen))
        };
        Some(self.sockets.iter().filter_map(one).collect())
    }
}

impl Kernel for World {
    fn connection(&mut self, local: SocketAddrV4, remote: SocketAddrV4) -> Option<Option<ConnectedSocket>> {
        let held = |cookie: Cookie| self.sockets[&cookie].is_held();
        let found = |cookie| ConnectedSocket { cookie, held: held(cookie), dialing: false, uid: OWNER };
        (!self.blind).then(|| self.at(local, remote).map(found))
    }

    fn unconnected(&mut self, cookie: Cookie, os: SocketAddrV4) -> Option<UnconnectedState> {
        self.asked += 1;
        let s = self.sockets.get(&cookie).filter(|s| s.bound == Some(os));
        let idle = match s.map(|s| &s.is) {
            Some(Is::Listening) => UnconnectedState::Listening,
            Some(Is::Bound) => UnconnectedState::Bound,
            _ => UnconnectedState::Gone,
        };
        (!self.blind && (idle == UnconnectedState::Listening || !self.hides_bound)).then_some(idle)
    }

    fn is_bound(&mut self, os: SocketAddrV4) -> Option<bool> {
        if self.blind || !self.hides_bound {
            return None;
        }
        self.probed += 1;
        let is_listed = |s: &Sock| match s.is {
            Is::Listening => s.bound == Some(os),
            Is::Connected { local, .. } => local == os,
            Is::Unknown | Is::Bound => false,
        };
        let is_bound = self.sockets.values().any(|s| s.bound == Some(os));
        (!self.sockets.values().any(is_listed)).then_some(is_bound)
    }

    fn is_held_anywhere(&mut self, cookie: Cookie) -> Option<bool> {
        let there = self.sockets.get(&cookie).is_some_and(|s| s.is != Is::Unknown && s.is_held());
        (!self.blind).then_some(there)
    }

    fn sockets_of(&mut self, pid: Pid) -> Option<BTreeSet<Cookie>> {
        let held = self.sockets.iter().filter(|(_, s)| s.holders.contains_key(&pid));
        (!self.blind).then(|| held.map(|(cookie, _)| *cookie).collect())
    }

    fn holders(&mut self, sockets: &BTreeSet<Cookie>, _: &[Pid]) -> BTreeMap<Cookie, Pid> {
        let holder = |cookie: &Cookie| Some((*cookie, *self.sockets.get(cookie)?.holders.keys().next()?));
        sockets.iter().filter_map(holder).collect()
    }

    fn dialing(&mut self) -> BTreeSet<Cookie> {
        BTreeSet::new()
    }

    fn program(&mut self, pid: Pid) -> String {
        format!("program{pid}")
    }

    fn began(&mut self, pid: Pid) -> u64 {
        u64::from(self.processes.contains(&pid))
    }

    fn batch(&mut self, _: Option<(Ipv4Addr, u8)>) {}

    fn now(&self) -> Duration {
        self.now
    }
}
