//! Sockets that processes enter in the table by themselves: dials between running hosts, and the sockets
//! accepted from them.
//!
//! The state keeps records of the sockets that it decides about. For entered sockets it does what a process
//! that may end cannot: it examines those of processes that have ended, frees records when the kernel
//! announces that sockets are destroyed, and reuses slots and ports. As soon as a program asks something
//! about such a socket that the table cannot answer, or the listener that an accepted one shares its port
//! with goes, the state takes the socket over ([`State::take_over`]), and decides about it from then on.

use super::{Cookie, Kernel, Role, Socket, State};
use lonet_core::table::record::Found;
use lonet_core::table::state::{DESTROYED, MADE, Phase, Reference, SUSPECT, TAKEN};
use lonet_core::table::{Parts, Table};
use std::net::SocketAddrV4;
use std::sync::atomic::AtomicU64;

/// The owner of the mapped table.
pub trait Tables: Send {
    fn table(&self) -> Table<'_>;
}

/// How many tombstones are kept for queries of names and for accepts; beyond that only those whose connection
/// may still be in a backlog.
const TOMBSTONES: usize = 1 << 14;

/// Whether an entered socket in this phase is alive.
pub(super) fn lives(phase: Phase) -> bool {
    matches!(phase, Phase::Dialing | Phase::Owned | Phase::Server)
}

impl State {
    pub fn parts(&self) -> Parts<'_, AtomicU64> {
        self.table.table().parts(self.block)
    }

    /// The record of an entered socket, which the state does not keep.
    pub(super) fn entered(&self, cookie: Cookie) -> Option<Found> {
        self.parts().find(cookie).filter(|f| f.state.phase != Phase::Kept)
    }

    /// Takes an entered socket over: the state decides about it from now on.
    pub(super) fn take_over(&mut self, cookie: Cookie) {
        if self.sockets.contains_key(&cookie) {
            return;
        }
        let Some(found) = self.entered(cookie) else { return };
        let pid = self.pid_of(found.state.slot);
        let Some(socket) = Socket::of_record(&found, pid) else { return };
        let kept = self
            .parts()
            .records
            .change(found.reference, |s| (s.phase == found.state.phase).then_some(s.to(Phase::Kept)));
        if kept.is_none_or(|before| before.phase != found.state.phase) {
            return;
        }
        if let Some(call) = socket.call.filter(|_| !matches!(socket.role, Role::Accepted | Role::Gone))
            && let Some(local) = call.os_local
        {
            self.addresses.add_dialer(local, call.os_remote, cookie);
        }
        if socket.role == Role::Gone {
            self.retired.push_back((std::time::Duration::ZERO, cookie));
        }
        self.put(cookie, socket);
    }

    /// The records whose phase `is_wanted` accepts, by a walk of all records.
    pub(super) fn entered_in(&self, is_wanted: impl Fn(Phase) -> bool) -> impl Iterator<Item = Found> {
        let parts = self.parts();
        (parts.records.all())
            .filter(move |(_, state)| is_wanted(state.phase))
            .filter_map(move |(reference, _)| parts.records.read(reference, parts.block))
    }

    /// Asks the kernel about an entered socket and updates its record. Returns whether it is alive.
    pub(super) fn examine_entered(&mut self, kernel: &mut dyn Kernel, reference: Reference) -> bool {
        let parts = self.parts();
        let Some(found) = parts.records.read(reference, parts.block) else {
            // It is being written.
            return parts.records.state(reference).is_some();
        };
        match found.state.phase {
            Phase::Owned | Phase::Server => {}
            Phase::Ended | Phase::Free => return false,
            // Its process is changing it.
            Phase::Dialing | Phase::Writing | Phase::Kept => return true,
        }
        let Some((local, remote)) = found.entry.call.and_then(|c| Some((c.os_local?, c.os_remote))) else {
            return true;
        };
        match kernel.connection(local, remote) {
            None => return true,
            Some(Some(f)) if f.cookie == found.cookie && f.held => return true,
            Some(_) => {}
        }
        self.end_entered(&found);
        false
    }

    /// Ends an entered socket: it holds nothing, and its record stays for queries of its name until the
    /// kernel has destroyed the socket.
    fn end_entered(&mut self, found: &Found) {
        let parts = self.parts();
        if found.state.phase == Phase::Server {
            parts.suspect_partner(found.reference);
            parts.records.change(found.reference, |s| {
                (s.phase == Phase::Server).then_some(s.to(Phase::Ended).with(TAKEN))
            });
        } else {
            parts.end(found.reference);
        }
        self.count_end(found.entry.host);
    }

    /// Handles the kernel's announcement that a socket is destroyed. Returns false if no process has entered
    /// it.
    pub(super) fn destroyed_entered(&mut self, kernel: &mut dyn Kernel, cookie: Cookie) -> bool {
        let Some(found) = self.entered(cookie) else { return false };
        let partner = self.parts().records.partner(found.reference);
        let is_dial = found.state.phase != Phase::Server
            && !(found.state.phase == Phase::Ended && found.state.is(TAKEN));
        if is_dial && !found.state.is(TAKEN) {
            self.end_entered(&found);
            self.parts().records.change(found.reference, |s| Some(s.with(DESTROYED)));
            // An accept may have taken it just then.
            if self.parts().records.state(found.reference).is_some_and(|s| s.is(TAKEN)) {
                self.parts().free(found.reference);
            } else {
                self.tombstones.push_back(found.reference);
                self.clear_tombstones(kernel, 4);
            }
        } else {
            self.parts().free(found.reference);
            if found.state.phase != Phase::Ended {
                self.count_end(found.entry.host);
            }
        }
        // The other end may have been reset by this; then it holds no port, however long its program keeps
        // it.
        if let Some(partner) = partner
            && self.parts().records.state(partner).is_some_and(|s| s.phase == Phase::Owned)
        {
            self.examine_entered(kernel, partner);
        }
        true
    }

    /// Collects all tombstones again, oldest records first: announcements may have been lost, and a socket
    /// that has ended is in none of the kernel's tables while a program still has it.
    pub(super) fn restore_tombstones(&mut self, kernel: &mut dyn Kernel) {
        let ended = |(_, state): &(Reference, lonet_core::table::state::State)| state.phase == Phase::Ended;
        self.tombstones = self.parts().records.all().filter(ended).map(|(reference, _)| reference).collect();
        self.clear_tombstones(kernel, self.tombstones.len());
    }

    /// Frees the oldest tombstones that no accept will look for. `looks`: the number of tombstones to
    /// examine.
    fn clear_tombstones(&mut self, kernel: &mut dyn Kernel, looks: usize) {
        for _ in 0..looks.min(self.tombstones.len().saturating_sub(TOMBSTONES)) {
            let Some(reference) = self.tombstones.pop_front() else { return };
            let parts = self.parts();
            let Some(found) = parts.records.read(reference, parts.block) else { continue };
            let ends = found.entry.call.and_then(|c| Some((c.os_remote, c.os_local?)));
            let waits = !found.state.is(TAKEN)
                && ends.is_some_and(|(local, remote)| kernel.connection(local, remote) != Some(None));
            if waits {
                self.tombstones.push_back(reference);
            } else {
                self.parts().free(reference);
            }
        }
    }

    /// The entered sockets that are, or were, connected and whose ends were not noticed.
    pub fn entered_connections(&self) -> impl Iterator<Item = Cookie> {
        self.entered_in(|phase| matches!(phase, Phase::Owned | Phase::Server)).map(|found| found.cookie)
    }

    /// Examines every entered socket: some announcements were lost.
    pub(super) fn review_entered(&mut self, kernel: &mut dyn Kernel) {
        let all: Vec<Reference> = self.parts().records.all().map(|(reference, _)| reference).collect();
        for reference in all {
            let parts = self.parts();
            let Some(found) = parts.records.read(reference, parts.block) else { continue };
            if matches!(found.state.phase, Phase::Owned | Phase::Server) {
                self.examine_entered(kernel, reference);
            }
        }
        self.restore_tombstones(kernel);
    }

    /// Handles the close of a descriptor of an entered socket.
    pub(super) fn closed_entered(&mut self, kernel: &mut dyn Kernel, cookie: Cookie) {
        let Some(found) = self.entered(cookie) else { return };
        let is_alone = |h: &super::Host| h.ports.holders(found.entry.port).is_empty();
        if self.examine_entered(kernel, found.reference)
            && found.state.phase == Phase::Server
            && self.hosts.get(found.entry.host).is_some_and(is_alone)
        {
            self.take_over(cookie);
        }
    }

    /// The entered dial at the other end of an accepted connection: by the cookie of the socket that the
    /// kernel has found, or else by the addresses, unless it is from before the listen count `since`.
    pub(super) fn entered_dial(
        &self,
        found: Option<super::ConnectedSocket>,
        from: SocketAddrV4,
        to: SocketAddrV4,
        since: u64,
    ) -> Option<Found> {
        let parts = self.parts();
        let is_it = |f: &Found| f.entry.call.is_some_and(|c| c.os_remote == to) && !f.state.is(TAKEN);
        match found {
            Some(f) => parts.find(f.cookie).filter(is_it),
            None => parts.dial_between(from, to, since).filter(|f| f.state.is(MADE)),
        }
        .filter(|f| matches!(f.state.phase, Phase::Dialing | Phase::Owned | Phase::Ended))
    }

    /// The living entered sockets, for listings.
    pub(super) fn all_entered(&mut self, kernel: &mut dyn Kernel) -> Vec<(Cookie, Socket)> {
        let suspects: Vec<Reference> = (self.parts().records.all())
            .filter(|(_, state)| lives(state.phase) && state.is(SUSPECT))
            .map(|(reference, _)| reference)
            .collect();
        suspects.into_iter().for_each(|reference| _ = self.examine_entered(kernel, reference));
        let parts = self.parts();
        (self.entered_in(lives))
            .filter_map(|f| {
                let mut socket = Socket::of_record(&f, self.pid_of(f.state.slot))?;
                socket.made_by = parts.records.program(f.reference).map(String::into_boxed_str);
                Some((f.cookie, socket))
            })
            .collect()
    }
}
