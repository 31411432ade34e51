//! Hosts of other subnetworks, and their connections with this one's.
//!
//! A foreign host has an index and an address like any other host. registry.db says where it is, and is asked
//! again at each dial: the state keeps the last answer. A connection from a foreign host has two sockets at
//! this end at first: the dialer's own, which is recorded as the accepted one as soon as its dial is allowed,
//! and the *courier*, a connection that lonetd makes to the program's listener in its place.

use super::{Call, Cookie, Index, Kernel, Pid, Role, Scopes, Socket, State};
use crate::daemon::host_names;
use lonet_core::block::{Endpoint, Face, Place};
use lonet_core::control::{Op, Reply, Requester};
use lonet_core::handshake::WireAddr;
use nix::errno::Errno;
use std::net::SocketAddrV4;

/// A query to registry.db that must be answered before a message can be handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryQuery {
    /// Whether another subnetwork has this host, which is about to come up.
    Claim(Index),
    /// Where this host is; it is not one of this subnetwork's that are up.
    Find(String),
}

/// A dial from a foreign host.
#[derive(Clone, Debug)]
pub struct Incoming<'a> {
    /// The dialer's connection to lonetd.
    pub cookie: Cookie,
    pub local: SocketAddrV4,
    pub remote: SocketAddrV4,
    pub from: &'a WireAddr,
    pub to: &'a WireAddr,
}

/// The decision about a dial from a foreign host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    NoSuchHost,
    Refused,
    /// Accepted: the listener's OS address, and the port of the connection on the accepting host.
    At {
        os: SocketAddrV4,
        port: u16,
        /// The listener's family.
        family: Face,
    },
}

/// A dial to a foreign host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub os: SocketAddrV4,
    pub from: WireAddr,
    pub to: WireAddr,
}

/// The port of a foreign address; 0 if a socket address cannot hold it.
fn port_or_zero(port: u64) -> u16 {
    u16::try_from(port).unwrap_or(0)
}

impl State {
    /// The query of registry.db that a message needs first. A host that is to be claimed gets its index here.
    pub fn registry_query(
        &mut self,
        requester: &Requester<'_>,
        op: &Op<'_>,
        claimed: bool,
        found: bool,
    ) -> Option<RegistryQuery> {
        let comes_up = matches!(
            op,
            Op::Join { .. }
                | Op::Supervise
                | Op::Bind { .. }
                | Op::Listen { .. }
                | Op::Dial { .. }
                | Op::Enter { .. }
                | Op::Announce { .. }
                | Op::DialHost { .. }
        );
        if comes_up && !claimed && !requester.host.is_empty() {
            let up = self.hosts.find(requester.host.as_bytes()).is_some_and(super::Host::is_up);
            if !up
                && host_names::check(requester.host).is_ok()
                && let Ok(index) = self.enter_named(requester.host)
            {
                return Some(RegistryQuery::Claim(index));
            }
        }
        if found {
            return None;
        }
        match *op {
            Op::Resolve { name, .. } => match self.hosts.find(name) {
                Some(host) if host.is_up() => None,
                _ if host_names::fold(name) == host_names::fold(requester.host.as_bytes()) => None,
                Some(host) => Some(RegistryQuery::Find(host.name.clone())),
                None => host_names::shown(name).map(RegistryQuery::Find),
            },
            Op::DialHost { host, .. } if !host.is_empty() => match self.hosts.find_any(host) {
                Some(host) if host.is_up() => None,
                Some(host) => Some(RegistryQuery::Find(host.name.clone())),
                None => Some(RegistryQuery::Find(host.to_owned())),
            },
            Op::Dial { to, .. } => match self.block.place(to.ip) {
                Place::Host(index, _) => {
                    self.hosts.get(index).filter(|h| !h.is_up()).map(|h| RegistryQuery::Find(h.name.clone()))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// Records a foreign host that registry.db has found.
    pub fn foreign_found(&mut self, name: &str, os: SocketAddrV4) {
        if let Some(index) = self.enter_foreign(name.as_bytes())
            && let Some(host) = self.hosts.get_mut(index)
            && !host.is_up()
        {
            host.foreign = Some(os);
            self.changes.names |= host.name != name;
            host.name = name.to_owned();
            self.changes.hosts.insert(index);
        }
    }

    /// Records that registry.db has no such host.
    pub fn foreign_missing(&mut self, name: &str) {
        if let Some(index) = self.hosts.find_any(name).map(|h| h.index)
            && let Some(host) = self.hosts.get_mut(index)
        {
            host.foreign = None;
        }
    }

    /// Forgets the foreign hosts at this address: nothing listens there.
    pub fn foreign_gone(&mut self, os: SocketAddrV4) {
        self.hosts.forget_foreign(|at| at == os);
    }

    /// Replaces the known foreign hosts by these.
    pub fn foreign_are(&mut self, all: &[(String, SocketAddrV4)]) {
        self.hosts.forget_foreign(|_| true);
        for (name, os) in all {
            self.foreign_found(name, *os);
        }
    }

    /// Enters a foreign host, whose name need not be a valid one, and returns its index.
    fn enter_foreign(&mut self, name: &[u8]) -> Option<Index> {
        let shown = String::from_utf8_lossy(name);
        let known = self.hosts.len();
        let index = match host_names::fold(name) {
            Some(_) => self.hosts.enter(&shown),
            None => self.hosts.enter_odd(name, &shown),
        }?;
        if self.hosts.len() > known {
            self.changes.hosts.insert(index);
        }
        Some(index)
    }

    /// The OS address at which a foreign host is dialed. `None`: it is not foreign.
    pub(super) fn foreign_address(&self, index: Index) -> Option<SocketAddrV4> {
        self.hosts.get(index).filter(|h| !h.is_up())?.foreign
    }

    /// The handshake's addresses for a dial that was answered with [`Reply::DialForeign`].
    pub fn outgoing(&self, cookie: Cookie) -> Option<Outgoing> {
        let s = self.sockets.get(&cookie).filter(|s| s.role == Role::Dialing)?;
        let call = s.call?;
        let address = |index: Index, port: u16| {
            let host = self.hosts.get(index)?;
            Some(WireAddr { host: host.name.as_bytes().to_vec(), port: u64::from(port) })
        };
        Some(Outgoing {
            os: call.os_remote,
            from: address(s.host, s.port)?,
            to: address(call.peer_host, call.dialed_port)?,
        })
    }

    /// Records a handshake that succeeded on the program's own socket. `port`: the peer's port of the
    /// connection.
    pub fn foreign_connected(&mut self, cookie: Cookie, from: SocketAddrV4, to: SocketAddrV4, port: u64) {
        if self.sockets.get(&cookie).is_none_or(|s| s.role != Role::Dialing) {
            return;
        }
        self.addresses.add_dialer(from, to, cookie);
        self.change(cookie, |s| {
            s.role = Role::Connected;
            if let Some(call) = s.call.as_mut() {
                call.os_local = Some(from);
                call.peer.port = port_or_zero(port);
            }
        });
    }

    /// Records that the program's socket will be connected to lonetd, which relays.
    pub fn foreign_relayed(&mut self, cookie: Cookie, to: SocketAddrV4) {
        self.change(cookie, |s| {
            if let Some(call) = s.call.as_mut() {
                call.os_remote = to;
            }
        });
    }

    /// Records the port at which a peer has accepted a relayed dial; until then the program was told the port
    /// that it dialed.
    pub fn foreign_accepted(&mut self, cookie: Cookie, port: u64) {
        self.change(cookie, |s| {
            if let Some(call) = s.call.as_mut() {
                call.peer.port = port_or_zero(port);
            }
        });
    }

    /// Records that the handshake failed and the program's socket has been disconnected.
    pub fn foreign_failed(&mut self, kernel: &mut dyn Kernel, cookie: Cookie) {
        self.disconnected(kernel, cookie);
    }

    pub fn refuser(&self) -> SocketAddrV4 {
        self.refuser
    }

    /// Whether a socket with this uid is certainly the owner's.
    pub fn is_owners(&self, uid: u32) -> bool {
        self.owner == Some(uid)
    }

    /// Decides about a dial from a foreign host, and records its connection if it may come in.
    pub fn incoming(&mut self, kernel: &mut dyn Kernel, dial: &Incoming<'_>) -> Arrival {
        let Some(host) = self.hosts.find(&dial.to.host).filter(|h| h.is_up()) else {
            return Arrival::NoSuchHost;
        };
        let (index, fresh) = (host.index, host.fresh_accept_ports);
        let dialed = match u16::try_from(dial.to.port) {
            Ok(port) if port > 0 => port,
            _ => return Arrival::Refused,
        };
        let found = [Face::V4, Face::V6]
            .into_iter()
            .find_map(|face| Some((face, self.find_listener(kernel, index, dialed, Scopes::host(face))?)));
        let Some((face, (listener, os))) = found else { return Arrival::Refused };
        let Some(record) = self.sockets.get(&listener).cloned() else { return Arrival::Refused };
        let port = match fresh {
            true => match self.first_free(kernel, index, 1) {
                Ok(port) => port,
                Err(_) => return Arrival::Refused,
            },
            false => dialed,
        };
        let peer = self.enter_foreign(&dial.from.host).unwrap_or(0);
        let call = Call {
            local: Endpoint::new(self.block.shown(index, face), port),
            peer: Endpoint::new(self.block.shown(peer, face), port_or_zero(dial.from.port)),
            os_local: Some(dial.local),
            os_remote: dial.remote,
            peer_host: peer,
            dialed_port: dialed,
            scope: Scopes::NONE,
        };
        self.put(
            dial.cookie,
            Socket {
                host: index,
                port,
                role: Role::Accepted,
                pid: record.pid,
                asked: record.asked,
                at: None,
                os: None,
                call: Some(call),
                accept_port: None,
                destroyed: false,
                since: 0,
                taken: true,
                made_by: None,
            },
        );
        // Only this lonetd has the connection until it is claimed; the next lonetd needs no record of it.
        self.changes.sockets.remove(&dial.cookie);
        Arrival::At { os, port, family: record.asked.family }
    }

    /// Records a courier from `source` to a listener, for a connection that [`State::incoming`] recorded.
    pub fn courier_leaves(&mut self, source: SocketAddrV4, listener: SocketAddrV4, connection: Cookie) {
        self.couriers.insert((source, listener), connection);
    }

    pub fn courier_ends(&mut self, source: SocketAddrV4, listener: SocketAddrV4) {
        self.couriers.remove(&(source, listener));
    }

    /// The connection that a courier stands for, by the kernel's addresses of the accepted socket.
    pub(super) fn courier(&self, local: SocketAddrV4, remote: SocketAddrV4) -> Option<Call> {
        let connection = self.couriers.get(&(remote, local))?;
        let call = self.sockets.get(connection)?.call?;
        Some(Call { os_local: Some(local), os_remote: remote, ..call })
    }

    /// Hands the connection to the process that has accepted its courier. Returns the dialer's address, as
    /// the program sees it.
    pub fn claimed(&mut self, kernel: &mut dyn Kernel, pid: Pid, connection: Cookie) -> Option<Endpoint> {
        self.add_member(kernel, pid);
        let s = self.sockets.get(&connection).filter(|s| s.role == Role::Accepted).cloned()?;
        let peer = s.call?.peer;
        self.put(connection, Socket { pid, ..s });
        Some(peer)
    }

    /// Removes a connection that no process has claimed.
    pub fn incoming_ends(&mut self, connection: Cookie) {
        self.forget(connection);
    }

    /// The first reply to a dial, which may be to a foreign host.
    pub(super) fn dial_reply(
        foreign: bool,
        to: SocketAddrV4,
        from: Option<std::net::Ipv4Addr>,
    ) -> Reply<'static> {
        if foreign { Reply::DialForeign { to, from } } else { Reply::ConnectTo { to, from } }
    }
}

/// The program's error if registry.db cannot be read.
pub fn cannot_tell(op: &Op<'_>) -> Errno {
    match op {
        Op::Resolve { .. } => Errno::ENOENT,
        _ => Errno::EHOSTUNREACH,
    }
}
