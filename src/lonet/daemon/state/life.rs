//! The life cycle of sockets, by a rule for each role that the kernel's answers decide.

use super::{Cookie, Index, Kernel, Pid, Role, Socket, State, UnconnectedState};
use lonet_core::table::entry::Destination;
use lonet_core::table::events::Kind;
use std::net::SocketAddrV4;
use std::time::Duration;

/// Limits on tombstones: this many are kept at any age, older ones beyond them are removed after
/// [`RETIRED_FOR`], and there are never more than [`MAX_RETIRED`]. A dial may wait long in a backlog before
/// accept looks for its tombstone.
const MIN_RETIRED: usize = 4096;
const RETIRED_FOR: Duration = Duration::from_secs(600);
const MAX_RETIRED: usize = 1 << 14;

/// The cookie that holds a port while one record replaces another.
const NO_SOCKET: Cookie = 0;

impl State {
    /// Enters or replaces a record and holds its ports. The ports of a record that is replaced are held all
    /// the time: others look for free ports in the table at any moment.
    pub(super) fn put(&mut self, cookie: Cookie, socket: Socket) {
        let ports = if self.sockets.contains_key(&cookie) { socket.ports() } else { [None; 2] };
        ports.into_iter().flatten().for_each(|(host, port)| self.hold_port(host, port, NO_SOCKET));
        self.forget(cookie);
        self.hold(cookie, &socket);
        self.sockets.insert(cookie, socket);
        self.changes.sockets.insert(cookie);
        ports.into_iter().flatten().for_each(|(host, port)| self.release(host, port, NO_SOCKET));
    }

    pub(super) fn hold(&mut self, cookie: Cookie, socket: &Socket) {
        if socket.role == Role::Gone {
            return;
        }
        self.changes.relist(socket);
        socket.ports().into_iter().flatten().for_each(|(host, port)| self.hold_port(host, port, cookie));
        if let Some(os) = socket.os {
            self.addresses.add_bound(os, cookie);
        }
        if let Some(process) = self.processes.get_mut(&socket.pid) {
            process.sockets.insert(cookie);
        }
    }

    pub(super) fn hold_port(&mut self, host: Index, port: u16, cookie: Cookie) {
        if let Some(h) = self.hosts.get_mut(host) {
            h.ports.hold(port, cookie);
            self.make_room(host, port);
            self.parts().ports.set_bound(host, port, true);
        }
    }

    /// Releases the socket's ports and its index entries, and leaves its record.
    fn release_all(&mut self, cookie: Cookie, socket: &Socket) {
        self.changes.relist(socket);
        let is_last = |h: &super::Host| h.ports.holders(socket.port) == [cookie];
        let may_have_accepted = socket.os.is_some() && matches!(socket.role, Role::Bound | Role::Listening);
        if may_have_accepted && self.hosts.get(socket.host).is_some_and(is_last) {
            // This comes first, so that an accept after the search below sees that its listener has gone; the
            // port is held all the time.
            for scope in super::Scopes::EACH {
                let dialed = Destination { host: socket.host, port: socket.port, scope };
                self.parts().listeners.set(dialed, None);
            }
            self.search_accepted(socket.host, socket.port);
        }
        let claim = socket.accept_port.zip(socket.call).map(|(port, call)| (call.peer_host, port));
        self.release(socket.host, socket.port, cookie);
        claim.into_iter().for_each(|(host, port)| self.release(host, port, cookie));
        if let Some(os) = socket.os {
            self.addresses.remove_bound(os, cookie);
        }
        if let Some(process) = self.processes.get_mut(&socket.pid) {
            process.sockets.remove(&cookie);
        }
    }

    /// Removes the record and all that refers to it.
    pub(super) fn forget(&mut self, cookie: Cookie) {
        let Some(socket) = self.sockets.remove(&cookie) else { return };
        self.release_all(cookie, &socket);
        self.addresses.remove_dialer(cookie, &socket);
        self.changes.sockets.insert(cookie);
    }

    /// Changes a record without moving an index.
    pub(super) fn change(&mut self, cookie: Cookie, with: impl FnOnce(&mut Socket)) {
        if let Some(socket) = self.sockets.get_mut(&cookie) {
            self.changes.relist(socket);
            with(socket);
            self.changes.relist(socket);
            self.changes.sockets.insert(cookie);
        }
    }

    /// Makes a tombstone of the socket: it holds nothing, and its record stays for queries of its name.
    pub(super) fn retire(&mut self, kernel: &mut dyn Kernel, cookie: Cookie) {
        let Some(socket) = self.sockets.get(&cookie).cloned() else { return };
        if socket.role == Role::Gone {
            return;
        }
        if socket.role == Role::Listening {
            self.note_socket(Kind::Unlistened, cookie);
        }
        self.release_all(cookie, &socket);
        if socket.call.is_none() && socket.at.is_none() {
            self.forget(cookie);
            return;
        }
        self.change(cookie, |s| {
            s.role = Role::Gone;
            s.accept_port = None;
        });
        if socket.role == Role::Listening {
            self.review_dials_to(kernel, &socket);
        }
        let now = kernel.now();
        self.retired.push_back((now, cookie));
        while let Some((since, oldest)) = self.retired.front().copied() {
            let is_there = self.sockets.get(&oldest).is_some_and(|s| s.role == Role::Gone);
            let old = now.saturating_sub(since) > RETIRED_FOR && self.retired.len() > MIN_RETIRED;
            if is_there && !old && self.retired.len() <= MAX_RETIRED {
                break;
            }
            self.retired.pop_front();
            if is_there {
                self.forget(oldest);
            }
        }
    }

    /// Revives a socket that was retired between permission and call. The kernel has it in no table then, and
    /// a copy of its descriptor was closed just then, for example by a child that closes all it has.
    pub(super) fn revive(&mut self, cookie: Cookie, role: Role) -> bool {
        let Some(s) = self.sockets.get(&cookie).filter(|s| s.role == Role::Gone && !s.destroyed) else {
            return false;
        };
        let socket = Socket { role, ..s.clone() };
        self.put(cookie, socket);
        true
    }

    /// Ends the connection of a bound socket: it is bound again, as before.
    pub(super) fn end_call(&mut self, cookie: Cookie) {
        let Some(socket) = self.sockets.get(&cookie).cloned() else { return };
        self.put(cookie, Socket { role: Role::Bound, call: None, taken: false, accept_port: None, ..socket });
    }

    pub(super) fn begins_to_listen(&mut self, cookie: Cookie) {
        let since = self.table.table().count_listen();
        self.change(cookie, |s| (s.role, s.since) = (Role::Listening, since));
        self.note_socket(Kind::Listening, cookie);
    }

    /// Handles the end of a listener whose socket stays bound.
    pub(super) fn ends_listening(&mut self, kernel: &mut dyn Kernel, cookie: Cookie) {
        let Some(socket) = self.sockets.get(&cookie).cloned() else { return };
        self.note_socket(Kind::Unlistened, cookie);
        self.change(cookie, |s| s.role = Role::Bound);
        self.review_dials_to(kernel, &socket);
    }

    /// Reviews the dials to a listener that has ended, and with it the connections that were not accepted.
    fn review_dials_to(&mut self, kernel: &mut dyn Kernel, listener: &Socket) {
        self.review_claims(kernel, listener.host);
        listener.os.into_iter().for_each(|os| self.search_dials_to(os));
    }

    /// Releases the dial's port on the accepting host: the accepted socket holds it from now on.
    pub(super) fn release_accept_port(&mut self, cookie: Cookie) {
        let Some(socket) = self.sockets.get_mut(&cookie) else { return };
        let Some(port) = socket.accept_port.take() else { return };
        let peer = socket.call.map_or(0, |c| c.peer_host);
        self.release(peer, port, cookie);
        self.changes.sockets.insert(cookie);
    }

    /// Asks the kernel about a socket and updates its record. Returns whether it is alive.
    pub(super) fn examine(&mut self, kernel: &mut dyn Kernel, cookie: Cookie) -> bool {
        let Some(s) = self.sockets.get(&cookie) else { return false };
        if s.is_allowed() {
            // This does not check whether the living process still holds it: that is slow.
            return self.processes.contains_key(&s.pid) || self.lapse(kernel, cookie);
        }
        match s.role {
            // Its hold on the accepting host's port may be all that is left of a connection.
            Role::Gone => self.drop_stale_claim(kernel, cookie),
            Role::Bound | Role::Listening => {
                let Some(os) = s.os else { return true };
                let role = s.role;
                match self.unconnected(kernel, cookie, os) {
                    Some(UnconnectedState::Gone) => {
                        self.retire(kernel, cookie);
                        return false;
                    }
                    Some(UnconnectedState::Listening) if role == Role::Bound => {
                        self.begins_to_listen(cookie);
                    }
                    Some(UnconnectedState::Bound) if role == Role::Listening => {
                        self.ends_listening(kernel, cookie);
                    }
                    _ => {}
                }
                true
            }
            _ => self.examine_connection(kernel, cookie),
        }
    }

    /// As [`Kernel::unconnected`], also where the kernel does not list bound sockets. Then a socket of lonetd's may be bound to
    /// the address for a moment, so nobody is asked while a process is about to bind there, as it was allowed to.
    pub(super) fn unconnected(
        &self,
        kernel: &mut dyn Kernel,
        cookie: Cookie,
        os: SocketAddrV4,
    ) -> Option<UnconnectedState> {
        kernel.unconnected(cookie, os).or_else(|| {
            let may_bind = |s: &Socket| s.is_allowed() && self.processes.contains_key(&s.pid);
            if self.addresses.bound(os).iter().filter_map(|c| self.sockets.get(c)).any(may_bind) {
                return None;
            }
            let idle = |is_bound| if is_bound { UnconnectedState::Bound } else { UnconnectedState::Gone };
            kernel.is_bound(os).map(idle)
        })
    }

    fn examine_connection(&mut self, kernel: &mut dyn Kernel, cookie: Cookie) -> bool {
        let Some(s) = self.sockets.get(&cookie) else { return false };
        let Some(call) = s.call else { return true };
        let Some(os_local) = call.os_local else { return true };
        let bound = s.os;
        match kernel.connection(os_local, call.os_remote) {
            None => return true,
            Some(Some(found)) if found.cookie == cookie && found.held => return true,
            Some(_) => {}
        }
        match bound.map(|os| self.unconnected(kernel, cookie, os)) {
            Some(Some(UnconnectedState::Bound)) => {
                self.end_call(cookie);
                true
            }
            Some(Some(UnconnectedState::Listening)) => {
                self.end_call(cookie);
                self.begins_to_listen(cookie);
                true
            }
            Some(None) => true,
            Some(Some(UnconnectedState::Gone)) | None => {
                // A port held for the other end belongs to the connection, which may still wait in a backlog.
                self.retire_dialer(kernel, cookie, call.os_remote, os_local);
                false
            }
        }
    }

    /// Retires a dialer. If its dial holds a port of the accepting host, that stays held while the kernel has
    /// the other end.
    fn retire_dialer(
        &mut self,
        kernel: &mut dyn Kernel,
        cookie: Cookie,
        other_end: SocketAddrV4,
        this_end: SocketAddrV4,
    ) {
        let waiting = self.sockets.get(&cookie).and_then(|s| s.accept_port).is_some()
            && kernel.connection(other_end, this_end) != Some(None);
        let claim = self.sockets.get(&cookie).and_then(|s| Some((s.accept_port?, s.call?.peer_host)));
        let claim = claim.filter(|_| waiting);
        claim.into_iter().for_each(|(port, peer)| self.hold_port(peer, port, NO_SOCKET));
        self.retire(kernel, cookie);
        if let Some((port, peer)) = claim {
            self.change(cookie, |s| s.accept_port = Some(port));
            self.hold_port(peer, port, cookie);
            self.release(peer, port, NO_SOCKET);
        }
    }

    /// Handles Closed: a program closed a descriptor of this socket; others may still hold it.
    pub fn closed(&mut self, kernel: &mut dyn Kernel, cookie: Cookie) {
        let Some(s) = self.sockets.get(&cookie) else { return self.closed_entered(kernel, cookie) };
        match s.role {
            // A child may have closed its copy while its parent is about to make the call that was allowed.
            _ if s.is_allowed() => _ = self.review_permission(kernel, cookie),
            Role::Gone => {
                self.drop_stale_claim(kernel, cookie);
                self.review_queue(kernel, cookie);
            }
            _ => {
                self.examine(kernel, cookie);
            }
        }
    }

    /// Releases a retired dialer's port on the accepting host if the connection has ended. Returns whether it
    /// stays held.
    fn drop_stale_claim(&mut self, kernel: &mut dyn Kernel, cookie: Cookie) -> bool {
        let Some(s) = self.sockets.get(&cookie) else { return false };
        let (Some(_), Some(call)) = (s.accept_port, s.call) else { return false };
        if let Some(local) = call.os_local
            && kernel.connection(call.os_remote, local) != Some(None)
        {
            return true;
        }
        self.release_accept_port(cookie);
        false
    }

    /// Reviews the queue of a retired listener, which the kernel may have kept for a while.
    fn review_queue(&mut self, kernel: &mut dyn Kernel, cookie: Cookie) {
        if let Some(s) = self.sockets.get(&cookie).filter(|s| s.role == Role::Gone && s.call.is_none()) {
            self.review_claims(kernel, s.host);
        }
    }

    /// Examines the dials that hold a port of this host: one of its listeners has gone, and with it the
    /// connections that were not accepted.
    fn review_claims(&mut self, kernel: &mut dyn Kernel, host: Index) {
        let Some(ports) = self.hosts.get(host).map(|h| &h.ports) else { return };
        let holders = ports.held_from(0).flat_map(|port| ports.holders(port));
        let waits = |c: &&Cookie| self.sockets.get(c).is_some_and(|s| s.accept_port.is_some());
        let all: Vec<Cookie> = holders.filter(waits).copied().collect();
        for cookie in all {
            self.examine(kernel, cookie);
        }
    }

    /// Examines every socket of a process.
    pub fn review(&mut self, kernel: &mut dyn Kernel, pid: Pid) {
        let all = self.processes.get(&pid).map(|p| p.sockets.clone()).unwrap_or_default();
        for cookie in all {
            self.closed(kernel, cookie);
        }
        self.review_slot(kernel, pid);
    }

    /// Handles the kernel's announcement that a socket is destroyed. Returns false if the socket is unknown
    /// so far.
    pub(super) fn destroyed(&mut self, kernel: &mut dyn Kernel, cookie: Cookie) -> bool {
        let Some(s) = self.sockets.get(&cookie) else { return self.destroyed_entered(kernel, cookie) };
        match s.call.and_then(|call| Some((call.os_remote, call.os_local?))) {
            Some((other_end, this_end)) => self.retire_dialer(kernel, cookie, other_end, this_end),
            None => self.retire(kernel, cookie),
        }
        self.drop_stale_claim(kernel, cookie);
        self.review_queue(kernel, cookie);
        // A notification of an accept may come after the end of the listener.
        let is_done = |s: &Socket| s.accept_port.is_none() && s.call.is_some() && s.taken;
        if self.sockets.get(&cookie).is_some_and(is_done) {
            self.forget(cookie);
        } else {
            self.change(cookie, |s| s.destroyed = true);
        }
        true
    }

    pub(super) fn release(&mut self, index: Index, port: u16, cookie: Cookie) {
        let Some(host) = self.hosts.get_mut(index) else { return };
        host.ports.release(port, cookie);
        if host.ports.holders(port).is_empty() {
            self.parts().ports.set_bound(index, port, false);
        }
        self.changes.names |= self.hosts.get(index).is_some_and(|h| !h.is_up());
    }
}

impl Socket {
    /// The ports that it holds: its own, and that of the accepting host while the dial is not accepted.
    fn ports(&self) -> [Option<(Index, u16)>; 2] {
        if self.role == Role::Gone {
            return [None; 2];
        }
        let claim = self.accept_port.zip(self.call).map(|(port, call)| (call.peer_host, port));
        [Some((self.host, self.port)), claim]
    }
}
