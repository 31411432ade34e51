//! accept, getsockname, getpeername: identifies the dialer of a connection, and translates addresses.

use super::{Call, Cookie, Index, Kernel, Outcome, Pid, Role, Scopes, Sender, Socket, State};
use lonet_core::block::{Endpoint, Place};
use lonet_core::control::Reply;
use lonet_core::table::events::Kind;
use std::net::SocketAddrV4;

/// A socket that the kernel has accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accepted {
    pub listener: Cookie,
    pub cookie: Cookie,
    pub local: SocketAddrV4,
    pub remote: SocketAddrV4,
}

/// What is known of the peer of an accepted connection.
enum Peer {
    /// A recorded dial to this listener.
    Recorded(Cookie),
    /// A dial to this listener that its process has entered in the table.
    Entered(Box<lonet_core::table::record::Found>),
    /// A courier that has not been claimed: a foreign dialer, relayed.
    Relayed(Call),
    /// A living socket of the owner's without a record: a program without hooks.
    Outsider,
    /// It dialed another listener, or it cannot be identified.
    Refused,
}

impl State {
    pub(super) fn accept(&mut self, kernel: &mut dyn Kernel, sender: Sender, a: Accepted) -> Outcome {
        self.add_member(kernel, sender.pid);
        let Some(listener) = self.sockets.get(&a.listener).filter(|s| s.os == Some(a.local)).cloned() else {
            // The listener is unknown to lonet. The owner's own connections are let in.
            let dialer = kernel.connection(a.remote, a.local).flatten();
            return Ok(if self.is_owners_own(dialer) { Reply::Native } else { Reply::Drop });
        };
        Ok(match self.record_accepted(kernel, sender.pid, &listener, a) {
            Some(call) => Reply::Accepted { local: call.local, peer: call.peer },
            None => Reply::Drop,
        })
    }

    /// Records the accepted socket. `None`: it is not for this listener.
    fn record_accepted(
        &mut self,
        kernel: &mut dyn Kernel,
        pid: Pid,
        listener: &Socket,
        a: Accepted,
    ) -> Option<Call> {
        let ip = self.block.shown(listener.host, lonet_core::block::Face::V4);
        let mut call = Call {
            local: Endpoint::new(ip, listener.port),
            peer: a.remote.into(),
            os_local: Some(a.local),
            os_remote: a.remote,
            peer_host: 0,
            dialed_port: listener.port,
            scope: Scopes::NONE,
        };
        match self.find_peer(kernel, listener, a) {
            Peer::Refused => return None,
            Peer::Outsider => {}
            Peer::Relayed(theirs) => call = theirs,
            Peer::Entered(dial) => {
                // Another accept may have taken it just then.
                let theirs = dial.entry.call.filter(|_| self.parts().take_dial(&dial))?;
                call.local = theirs.peer;
                call.peer = theirs.local;
                call.scope = theirs.scope;
                call.peer_host = dial.entry.host;
            }
            Peer::Recorded(cookie) => {
                let dialer = self.sockets.get(&cookie)?;
                let theirs = self.called_from(dialer.call?, a.remote);
                call.local = theirs.peer;
                call.peer = theirs.local;
                call.scope = theirs.scope;
                call.peer_host = dialer.host;
                if dialer.call.is_some_and(|call| call.os_local.is_none()) {
                    self.addresses.add_dialer(a.remote, a.local, cookie);
                }
                self.change(cookie, |s| {
                    s.taken = true;
                    s.call = Some(theirs);
                });
                self.release_accept_port(cookie);
            }
        }
        self.put(
            a.cookie,
            Socket {
                host: listener.host,
                port: call.local.port,
                role: Role::Accepted,
                pid,
                asked: listener.asked,
                at: None,
                os: None,
                call: Some(call),
                accept_port: None,
                taken: true,
                made_by: None,
                destroyed: false,
                since: 0,
            },
        );
        self.note(Kind::Accepted, pid, listener.host, |event| {
            (event.cookie, event.from, event.to) = (a.cookie, Some(call.peer), Some(call.local));
            event.os = [Some(a.remote), Some(a.local)];
            // An outsider's address may equal that of a host's loopback.
            event.is_outsiders = call.peer_host == 0;
        });
        Some(call)
    }

    /// Whether the notification of this connection's dial is still to come: the peer's address is a host's,
    /// and a notification that a killed lonetd had not saved is repeated.
    pub fn is_dialer_to_come(
        &self,
        kernel: &mut dyn Kernel,
        local: SocketAddrV4,
        remote: SocketAddrV4,
    ) -> bool {
        matches!(self.block.place(remote.ip().to_ipv6_mapped()), Place::Host(..))
            && kernel.connection(remote, local).flatten().is_some_and(|found| {
                let is_known =
                    self.sockets.contains_key(&found.cookie) || self.entered(found.cookie).is_some();
                found.held && self.is_owners(found.uid) && !is_known
            })
    }

    /// Identifies the peer: by the socket that the kernel names at the other end, or, if that has gone, by
    /// the tombstone of its dial.
    fn find_peer(&mut self, kernel: &mut dyn Kernel, listener: &Socket, a: Accepted) -> Peer {
        if let Some(call) = self.courier(a.local, a.remote) {
            return Peer::Relayed(call);
        }
        let known = |c: &Cookie| self.sockets.get(c).is_some_and(|s| s.call.is_some());
        let found = kernel.connection(a.remote, a.local).flatten();
        // A connection that was reset while it waited has released its addresses. The socket at its other end
        // now is not the dialer, and may have a dial that is still to be accepted.
        let is_whole = |kernel: &mut dyn Kernel| {
            let accepted = kernel.connection(a.local, a.remote).flatten();
            accepted.is_some_and(|f| f.cookie == a.cookie)
        };
        if let Some(other) = found
            && (other.dialing || !is_whole(kernel))
        {
            self.void_dial(listener, a, other.cookie);
            return Peer::Refused;
        }
        if let Some(dial) = self.entered_dial(found, a.remote, a.local, listener.since) {
            let wanted = dial.entry.call.is_some_and(|call| self.answers(listener, &call));
            return if wanted { Peer::Entered(Box::new(dial)) } else { Peer::Refused };
        }
        let cookie = match found {
            Some(f) => Some(f.cookie).filter(known),
            None => self.dial_from(a, listener).filter(known),
        };
        let Some(cookie) = cookie else {
            // A listener on the loopback alone may trust every peer: only programs of its own host may
            // connect to it.
            let is_open = !self.scopes(listener).is_loopback();
            return if is_open && self.is_owners_own(found) { Peer::Outsider } else { Peer::Refused };
        };
        let call = self.sockets.get(&cookie).and_then(|s| s.call);
        let wanted = call.is_some_and(|call| call.os_remote == a.local && self.answers(listener, &call));
        if wanted { Peer::Recorded(cookie) } else { Peer::Refused }
    }

    /// Whether a dial is for this listener.
    fn answers(&self, listener: &Socket, call: &Call) -> bool {
        (call.peer_host, call.dialed_port) == (listener.host, listener.port)
            && self.scopes(listener).overlap(call.scope)
    }

    /// Marks the dial from these addresses as accepted, as its connection has been: the next one from there is that of
    /// whoever took the addresses after the dialer, and may have ended, too, when it is accepted. `other`: the socket that
    /// has the addresses now.
    fn void_dial(&mut self, listener: &Socket, a: Accepted, other: Cookie) {
        let parts = self.parts();
        if let Some(dial) = self.entered_dial(None, a.remote, a.local, listener.since)
            && dial.cookie != other
        {
            parts.take_dial(&dial);
        }
        if let Some(dial) = self.dial_from(a, listener).filter(|dial| *dial != other) {
            self.change(dial, |s| s.taken = true);
        }
    }

    /// Whether the kernel has found a socket that some process holds and that is the owner's.
    fn is_owners_own(&self, found: Option<super::ConnectedSocket>) -> bool {
        found.is_some_and(|f| f.held && self.is_owners(f.uid))
    }

    /// The last dial from that address. Not one that another accepted socket has taken: a dial is accepted
    /// once. Nor one from before the listener: that dial ended with the listener that it was made to, and the
    /// peer has reused its address.
    fn dial_from(&self, a: Accepted, listener: &Socket) -> Option<Cookie> {
        let cookie = self.addresses.dialer(a.remote, a.local)?;
        let dial = self.sockets.get(&cookie).filter(|dial| dial.since >= listener.since)?;
        dial.call?;
        let is_taken = dial.taken;
        let is_asked_again = self.sockets.get(&a.cookie).is_some_and(|s| s.role == Role::Accepted);
        (!is_taken || is_asked_again).then_some(cookie)
    }

    /// The addresses of a socket as its program is to see them.
    pub(super) fn name(
        &mut self,
        kernel: &mut dyn Kernel,
        sender: Sender,
        cookie: Cookie,
        local: SocketAddrV4,
        remote: Option<SocketAddrV4>,
    ) -> Reply<'static> {
        if !self.sockets.contains_key(&cookie)
            && let Some(remote) = remote
        {
            // The socket was accepted past the hooks, or by a process that had not joined yet.
            let listens = |c: &&Cookie| self.sockets.get(*c).is_some_and(|s| s.role == Role::Listening);
            let listener = self.addresses.bound(local).iter().find(listens).copied();
            let record = listener.and_then(|c| self.sockets.get(&c));
            if let (Some(listener), Some(record)) = (listener, record.cloned()) {
                self.add_member(kernel, sender.pid);
                let accepted = Accepted { listener, cookie, local, remote };
                let _ = self.record_accepted(kernel, sender.pid, &record, accepted);
            }
        }
        match self.sockets.get(&cookie) {
            None => Reply::Named { local: None, peer: None, reuse_address: true, v6only: false },
            Some(s) => Reply::Named {
                local: s.shown_local(),
                peer: s.call.map(|c| c.peer),
                reuse_address: s.asked.reuse_address,
                v6only: s.asked.v6only,
            },
        }
    }
}

impl Socket {
    /// The local address as the program sees it.
    fn shown_local(&self) -> Option<Endpoint> {
        match self.role {
            Role::Gone => self.at.or(self.call.map(|c| c.local)),
            _ => self.call.map(|c| c.local).or(self.at),
        }
    }
}

impl State {
    /// The listener of this port for each scope of [`Scopes::EACH`], with its OS address.
    pub fn listeners(&self, (host, port): (Index, u16)) -> [Option<(Cookie, SocketAddrV4)>; 4] {
        let holders = self.hosts.get(host).map_or(&[][..], |h| h.ports.holders(port));
        let all = || holders.iter().filter_map(|c| Some((*c, self.sockets.get(c)?)));
        let listening = || all().filter(|(_, s)| s.role == Role::Listening);
        Scopes::EACH.map(|scope| {
            let (cookie, s) = listening().find(|(_, s)| self.scopes(s).overlap(scope))?;
            Some((cookie, s.os?))
        })
    }
}
