//! connect: the OS address that a destination stands for, and the source port.

use super::{Call, Cookie, Index, Kernel, Outcome, Pid, Role, Scopes, Sender, Socket, State};
use lonet_core::block::{Endpoint, Face, Place};
use lonet_core::control::{Asked, Reply, Requester, is_under_way};
use lonet_core::table::events::Kind;
use nix::errno::Errno;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

#[derive(Clone, Copy, Debug)]
pub(super) struct Dial {
    pub cookie: Cookie,
    pub to: Endpoint,
    /// The kernel's local address of the socket, if it is bound.
    pub local: Option<SocketAddrV4>,
    pub asked: Asked,
    /// The process can make dials that the table decides by itself.
    pub acts: bool,
    pub unaware: bool,
}

fn loopback(face: Face) -> Ipv6Addr {
    match face {
        Face::V4 => Ipv4Addr::LOCALHOST.to_ipv6_mapped(),
        Face::V6 => Ipv6Addr::LOCALHOST,
    }
}

impl State {
    pub(super) fn dial(
        &mut self,
        kernel: &mut dyn Kernel,
        sender: Sender,
        requester: &Requester<'_>,
        dial: Dial,
    ) -> Outcome {
        let place = match self.place(dial.to) {
            // Connecting to the "any" address means the machine itself, as on any machine.
            Place::Any(face) => Place::Loopback(face),
            place => place,
        };
        let has_port = dial.local.is_some_and(|local| local.port() != 0);
        self.supersede(kernel, sender.pid, dial.cookie, Role::Dialing, Some(has_port));
        let own = self.sockets.get(&dial.cookie).filter(|s| s.role != Role::Gone).map(|s| s.host);
        let (face, scope) = match place {
            Place::NotLonet => return Ok(Reply::Native),
            Place::Unassigned => return Err((Errno::EHOSTUNREACH, "no host's address".into())),
            Place::Loopback(_) if requester.host.is_empty() && own.is_none() => return Ok(Reply::Native),
            Place::Loopback(face) | Place::Any(face) => (face, Scopes::loopback(face)),
            Place::Host(_, face) => (face, Scopes::host(face)),
        };
        // Once lonet has bound the socket, the kernel's IPV6_V6ONLY is lonet's, not the program's.
        let v6only = self.sockets.get(&dial.cookie).map_or(dial.asked.v6only, |s| s.asked.v6only);
        if v6only && dial.asked.family == Face::V6 && face == Face::V4 {
            return Err((Errno::ENETUNREACH, "an IPv4 address for a socket with IPV6_V6ONLY".into()));
        }
        self.add_member(kernel, sender.pid);
        let foreign = match place {
            Place::Host(index, _) => self.foreign_address(index),
            _ => None,
        };
        if let Place::Host(index, _) = place
            && foreign.is_none()
            && !self.hosts.get(index).is_some_and(super::Host::is_up)
            && !(requester.host.is_empty() && own == Some(index))
            && (requester.host.is_empty() || self.default_host(kernel, sender.pid, requester)? != index)
        {
            let from = own.or_else(|| self.hosts.find(requester.host.as_bytes()).map(|h| h.index));
            self.note_failure(sender.pid, (from.unwrap_or(0), 0), &dial, libc::EHOSTUNREACH);
            return Err((Errno::EHOSTUNREACH, "no such host is up".into()));
        }
        if let Some(answer) = self.dial_again(kernel, sender.pid, &dial) {
            return Ok(answer);
        }
        if self.sockets.get(&dial.cookie).is_some_and(|s| s.role == Role::Dialing) {
            // The dial that was allowed before has not been made, and will not be: the socket dials another
            // destination, or none.
            self.disconnected(kernel, dial.cookie);
        }
        let host = match own {
            Some(host) => host,
            None => self.default_or_implicit_host(kernel, sender.pid, requester)?,
        };
        let to_host = match place {
            Place::Host(index, _) => index,
            _ => host,
        };
        let bound = self.sockets.get(&dial.cookie).filter(|s| s.role != Role::Gone && s.os.is_some());
        let bound_to = bound.and_then(|s| s.at).map(|at| self.place(at));
        if matches!(bound_to, Some(Place::Loopback(_))) && matches!(place, Place::Host(i, _) if i != host) {
            return Err((Errno::EINVAL, "a socket bound to the loopback cannot leave its host".into()));
        }
        let outside_source = self.outside_source(&dial);
        let is_loopback = outside_source.is_some_and(|from| from.ip().is_loopback());
        if is_loopback && !requester.host.is_empty() && matches!(place, Place::Host(i, _) if i != host) {
            return Err((Errno::EINVAL, "a socket bound to the loopback cannot leave its host".into()));
        }
        self.count_dial(host, to_host);
        let to_itself =
            self.self_connect(dial.cookie, (to_host, dial.to.port), scope).filter(|_| !dial.unaware);
        let is_refused = self.table.table().refuse(host, to_host, dial.to.port);
        let listener = (to_itself.or(foreign))
            .or_else(|| self.find_listener(kernel, to_host, dial.to.port, scope).map(|(_, os)| os))
            .filter(|_| !is_refused);
        let Some(os) = listener else {
            if scope == Scopes::loopback(face) && requester.options.real_loopback {
                return Ok(Reply::Native);
            }
            self.note_refused(kernel, sender.pid, host, &dial, requester.options.autobind_from);
            return Ok(Reply::ConnectTo { to: self.refuser, from: None });
        };

        let record = self.sockets.get(&dial.cookie).filter(|s| s.role != Role::Gone).cloned();
        let is_fresh = to_itself.is_none() && self.hosts.get(to_host).is_some_and(|h| h.fresh_accept_ports);
        let is_asked_about = self.table.table().asks_about(host, to_host);
        if dial.acts && record.is_none() && foreign.is_none() && !is_fresh && !is_asked_about {
            return Ok(Reply::DialByTable);
        }
        let port = match (&record, outside_source.map(|from| from.port())) {
            (Some(s), _) => s.port,
            (None, Some(port @ 1..)) => port,
            (None, _) => self.first_free(kernel, host, requester.options.autobind_from)?,
        };
        let peer_ip = match place {
            Place::Host(..) => dial.to.ip,
            _ => loopback(face),
        };
        let local_ip = match (bound_to, place) {
            (Some(Place::Loopback(_) | Place::Host(..)), _) => {
                record.as_ref().and_then(|s| s.at).map_or(peer_ip, |at| at.ip)
            }
            (_, Place::Host(..)) => self.block.shown(host, face),
            _ => loopback(face),
        };
        let local_ip = outside_source.map_or(local_ip, |from| from.ip().to_ipv6_mapped());
        let ends = (Endpoint::new(local_ip, port), Endpoint::new(peer_ip, dial.to.port));
        if record.as_ref().is_some_and(|s| s.os.is_some())
            && self.is_connected_already(kernel, host, dial.cookie, ends)
        {
            return Err((Errno::EADDRNOTAVAIL, "another connection has these two ends".into()));
        }
        let accept_port = match is_fresh {
            true => Some(self.accept_port(kernel, to_host, (host, port))?),
            false => None,
        };
        let call = Call {
            local: ends.0,
            peer: Endpoint::new(peer_ip, accept_port.unwrap_or(dial.to.port)),
            os_local: None,
            os_remote: os,
            peer_host: to_host,
            dialed_port: dial.to.port,
            scope,
        };
        if let Some(from) = record.as_ref().and_then(|s| s.os) {
            self.spend_os_port(host, from, kernel.now());
        }
        let bound_here = record.as_ref().is_some_and(|s| s.os.is_some());
        let base = record.unwrap_or(Socket {
            host,
            port,
            role: Role::Dialing,
            pid: sender.pid,
            asked: dial.asked,
            at: None,
            os: None,
            call: None,
            accept_port: None,
            taken: false,
            made_by: None,
            destroyed: false,
            since: 0,
        });
        let asked = Asked { v6only, ..base.asked };
        let (role, pid, since) = (Role::Dialing, sender.pid, self.table.table().listen_count());
        // A foreign listener asks another lonetd, and a connection to itself is not accepted: nobody looks
        // for these dials.
        let (call, taken) = (Some(call), foreign.is_some() || to_itself.is_some());
        self.put(dial.cookie, Socket { role, pid, call, taken, accept_port, asked, since, ..base });
        self.note_socket(Kind::Dial, dial.cookie);
        Ok(State::dial_reply(foreign.is_some(), os, self.bind_first(host, bound_here, &dial)))
    }

    /// The OS address of a dialing socket that is bound to its own destination. TCP connects it to itself,
    /// even if another socket listens there.
    fn self_connect(
        &self,
        cookie: Cookie,
        (host, port): (Index, u16),
        scope: Scopes,
    ) -> Option<SocketAddrV4> {
        let s = self.sockets.get(&cookie).filter(|s| s.role == Role::Bound)?;
        let is_there = (s.host, s.port) == (host, port) && self.scopes(s).overlap(scope);
        s.os.filter(|os| is_there && os.port() != 0)
    }

    /// Whether another socket has a connection with these two ends: several may be bound to a port, or one
    /// beside a dial.
    fn is_connected_already(
        &mut self,
        kernel: &mut dyn Kernel,
        host: Index,
        cookie: Cookie,
        (local, peer): (Endpoint, Endpoint),
    ) -> bool {
        let is_same = |call: Option<Call>| call.is_some_and(|call| (call.local, call.peer) == (local, peer));
        let parts = self.parts();
        let claim = parts.ports.claim_of(parts.records, host, local.port).map(|(reference, _)| reference);
        let found = claim.and_then(|reference| parts.records.read(reference, parts.block));
        if let Some(found) = found.filter(|found| found.cookie != cookie && is_same(found.entry.call))
            && self.examine_entered(kernel, found.reference)
        {
            return true;
        }
        let holders = self.hosts.get(host).map_or(Vec::new(), |h| h.ports.holders(local.port).to_vec());
        holders.into_iter().filter(|other| *other != cookie).any(|other| {
            let is_there =
                |s: &State| s.sockets.get(&other).is_some_and(|s| s.role != Role::Gone && is_same(s.call));
            is_there(self) && self.examine(kernel, other) && is_there(self)
        })
    }

    /// The lowest free port of the accepting host. If that is the dialer's own host, the port just chosen is
    /// not free.
    fn accept_port(
        &mut self,
        kernel: &mut dyn Kernel,
        host: Index,
        dialer: (Index, u16),
    ) -> Result<u16, (Errno, String)> {
        let first = self.first_free(kernel, host, 1)?;
        if (host, first) != dialer {
            return Ok(first);
        }
        let next = first.checked_add(1).ok_or((Errno::EADDRINUSE, "the host has no free port".to_owned()))?;
        self.first_free(kernel, host, next)
    }

    /// The address that the socket must be bound to before it dials. `None`: it is bound there already, or
    /// its program has bound it elsewhere.
    fn bind_first(&self, host: Index, bound: bool, dial: &Dial) -> Option<Ipv4Addr> {
        let ip = self.block.address(host);
        let is_there = bound || dial.local.is_some_and(|local| *local.ip() == ip);
        let has_port = self.outside_source(dial).is_some_and(|from| from.port() != 0);
        (!is_there && !has_port).then_some(ip)
    }

    /// The address of a socket that lonet does not know and that its program has bound to an address of no
    /// host, such as 127.0.0.2. Both ends see that address, with the port that the kernel has given it. If
    /// the port was left to connect (IP_BIND_ADDRESS_NO_PORT), the host's own address is bound below and the
    /// port is one of the host's.
    fn outside_source(&self, dial: &Dial) -> Option<SocketAddrV4> {
        let is_known = self.sockets.get(&dial.cookie).is_some_and(|s| s.role != Role::Gone && s.os.is_some());
        let from = dial.local.filter(|_| !is_known)?;
        match self.block.place(from.ip().to_ipv6_mapped()) {
            Place::NotLonet => Some(from),
            Place::Loopback(_) if from.port() != 0 => Some(from),
            _ => None,
        }
    }

    /// Completes a connection with its source. At an address of no host the kernel may have replaced the
    /// port, as it does after a refusal.
    pub(super) fn called_from(&self, call: Call, from: SocketAddrV4) -> Call {
        let ip = from.ip().to_ipv6_mapped();
        let is_outside = call.local.ip == ip && !matches!(self.block.place(ip), Place::Host(..));
        let local = if is_outside { from.into() } else { call.local };
        Call { local, os_local: Some(from), ..call }
    }

    /// Answers a repeated dial. If the dial is under way or done, the kernel's view of the connection
    /// decides. If it is not under way, or the kernel cannot be asked, the reply is the same as before:
    /// lonetd died before it was sent. If the program has another destination by now, this is a new dial.
    fn dial_again(&mut self, kernel: &mut dyn Kernel, asks: Pid, dial: &Dial) -> Option<Reply<'static>> {
        let s = self.sockets.get(&dial.cookie)?;
        let (role, call) = (s.role, s.call?);
        match role {
            Role::Dialing => {
                let found = dial.local.filter(|local| local.port() != 0).map(|local| {
                    let found = kernel.connection(local, call.os_remote).flatten();
                    found.is_some_and(|f| f.cookie == dial.cookie)
                });
                let same = call.dialed_port == dial.to.port && call.peer.ip == dial.to.ip;
                if found == Some(true) {
                    Some(Reply::ConnectTo { to: call.os_remote, from: None })
                } else if same {
                    let from = self.bind_first(s.host, s.os.is_some(), dial);
                    if s.is_allowed() && s.pid != asks {
                        let socket = Socket { pid: asks, ..s.clone() };
                        self.put(dial.cookie, socket);
                    }
                    let foreign = self.foreign_address(call.peer_host).is_some();
                    Some(State::dial_reply(foreign, call.os_remote, from))
                } else {
                    None
                }
            }
            Role::Connected | Role::Accepted if self.examine(kernel, dial.cookie) => {
                let still = self.sockets.get(&dial.cookie).is_some_and(|s| s.role != Role::Bound);
                still.then_some(Reply::ConnectTo { to: call.os_remote, from: None })
            }
            _ => None,
        }
    }

    /// A living listener of this host and port within this scope.
    pub(super) fn find_listener(
        &mut self,
        kernel: &mut dyn Kernel,
        host: Index,
        port: u16,
        scope: Scopes,
    ) -> Option<(Cookie, SocketAddrV4)> {
        let holders = self.hosts.get(host)?.ports.holders(port).to_vec();
        holders.into_iter().find_map(|cookie| {
            let s = self.sockets.get(&cookie)?;
            if s.role != Role::Listening || !self.scopes(s).overlap(scope) {
                return None;
            }
            self.examine(kernel, cookie);
            let s = self.sockets.get(&cookie).filter(|s| s.role == Role::Listening)?;
            Some((cookie, s.os?))
        })
    }

    pub(super) fn dialed(
        &mut self,
        kernel: &mut dyn Kernel,
        cookie: Cookie,
        from: Option<SocketAddrV4>,
        errno: Errno,
    ) {
        let revived = self.revive(cookie, Role::Dialing);
        // A socket that has died since is announced as destroyed before its last notification is read, which
        // still names the dialer.
        let expected = |s: &&Socket| {
            s.role == Role::Dialing || s.role == Role::Gone && s.call.is_some_and(|c| c.os_local.is_none())
        };
        let Some(s) = self.sockets.get(&cookie).filter(expected) else { return };
        let under_way = is_under_way(errno as i32);
        let Some(call) = s.call else { return };
        match from.filter(|_| under_way) {
            Some(from) if matches!(errno as i32, 0 | libc::EISCONN) => {
                self.note_dialed(Kind::Connected, cookie, from);
            }
            Some(_) => self.note_socket(Kind::UnderWay, cookie),
            None => self.note_failed(cookie, errno as i32),
        }
        if errno == Errno::ECONNREFUSED {
            // If a foreign host was there, it is gone.
            self.foreign_gone(call.os_remote);
        }
        match from {
            Some(from) if under_way => {
                self.addresses.add_dialer(from, call.os_remote, cookie);
                let call = self.called_from(call, from);
                self.change(cookie, |s| {
                    if s.role == Role::Dialing {
                        s.role = Role::Connected;
                    }
                    s.call = Some(call);
                });
                if revived {
                    self.examine(kernel, cookie);
                }
            }
            _ => self.disconnected(kernel, cookie),
        }
    }

    /// Handles Disconnected: the program dissolved the association. The socket has no address from now on,
    /// but getsockname still returns its port.
    pub(super) fn dissolved(&mut self, kernel: &mut dyn Kernel, cookie: Cookie) {
        self.disconnected(kernel, cookie);
        self.change(cookie, |s| {
            if s.role == Role::Gone && s.at.is_none() {
                let ip = match s.asked.family {
                    Face::V4 => Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(),
                    Face::V6 => Ipv6Addr::UNSPECIFIED,
                };
                s.at = Some(Endpoint::new(ip, s.port));
            }
        });
    }

    /// Ends the connection, the dial that did not succeed, or the listener; the socket stays.
    pub(super) fn disconnected(&mut self, kernel: &mut dyn Kernel, cookie: Cookie) {
        let Some(s) = self.sockets.get(&cookie) else { return };
        match s.role {
            Role::Dialing | Role::Connected | Role::Accepted if s.os.is_some() => self.end_call(cookie),
            Role::Dialing | Role::Connected | Role::Accepted => self.retire(kernel, cookie),
            Role::Listening => {
                // A kernel before 6.8 does not tell. Another process may have called listen since.
                self.ends_listening(kernel, cookie);
                self.examine(kernel, cookie);
            }
            Role::Claimed | Role::Bound | Role::Starting | Role::Gone => {}
        }
    }
}
