//! The steps that dial, accept and close take in the table, in their order.

use super::Parts;
use super::entry::{Entry, pack_os};
use super::index::{cookie_hash, tuple_hash};
use super::record::Found;
use super::state::{DESTROYED, MADE, Phase, Reference, SUSPECT, State, TAKEN};
use super::word::Word;
use std::net::SocketAddrV4;

impl<W: Word> Parts<'_, W> {
    /// Writes the record of a dial whose port is claimed, and makes it findable. `false`: the index has no
    /// room.
    pub fn enter_dial(self, reference: Reference, cookie: u64, entry: &Entry) -> bool {
        self.records.write(reference, entry, self.block);
        self.index_record(reference, cookie)
    }

    /// Enters the addresses of the connection that connect is about to make, so that an accept finds the
    /// dial.
    ///
    /// `false`: a dial that is not accepted yet has, or had, the same addresses; nothing is entered.
    pub fn publish(self, reference: Reference, from: SocketAddrV4, to: SocketAddrV4) -> bool {
        if self.dial_between(from, to, 0).is_some_and(|other| other.reference != reference) {
            return false;
        }
        self.records.set_source(reference, pack_os(Some(from)));
        if !self.tuples.insert(self.records, tuple_hash(Some(from), to), reference) {
            return false;
        }
        self.records.change(reference, |s| {
            matches!(s.phase, Phase::Writing | Phase::Dialing).then_some(s.to(Phase::Dialing))
        });
        true
    }

    /// Undoes [`Parts::publish`], after the kernel has refused the source address.
    pub fn unpublish(self, reference: Reference, from: SocketAddrV4, to: SocketAddrV4) {
        self.records.change(reference, |s| (s.phase == Phase::Dialing).then_some(s.to(Phase::Writing)));
        self.tuples.remove(tuple_hash(Some(from), to), reference);
    }

    /// Marks a dial whose connect has returned. `is_made`: the connection is established; else it is under
    /// way and may still fail, so that the dial is suspect.
    pub fn connected(self, reference: Reference, is_made: bool) {
        let flag = if is_made { MADE } else { SUSPECT };
        self.records
            .change(reference, |s| (s.phase == Phase::Dialing).then_some(s.to(Phase::Owned).with(flag)));
    }

    /// Rolls a dial back: frees its record and its port.
    pub fn withdraw(self, reference: Reference, cookie: u64, entry: &Entry) {
        let freed = self.records.change(reference, |s| {
            matches!(s.phase, Phase::Writing | Phase::Dialing).then_some(s.to(Phase::Free))
        });
        if freed.is_some() {
            self.clear(reference, cookie, entry);
        }
    }

    /// Rolls back a dial of the process in `slot` whose thread has left it before connect: frees its record,
    /// and thus the port that it may have claimed. `is_left` says in which phases the dial counts as left.
    pub fn abandon(self, reference: Reference, slot: u16, is_left: impl Fn(Phase) -> bool) {
        let is_left = |s: &State| matches!(s.phase, Phase::Writing | Phase::Dialing) && is_left(s.phase);
        let before = self.records.change(reference, |s| is_left(&s).then_some(s.to(Phase::Free)));
        if before.as_ref().is_some_and(is_left)
            && let Some(owner) = self.slots.owner(slot)
        {
            // The record may not name the port yet.
            self.ports.lower(owner.host, 1);
        }
    }

    /// The dial between these addresses that is not accepted yet. `since`: the listener's count of listens;
    /// an older dial has gone with an earlier listener, and another connection has its addresses now.
    pub fn dial_between(self, from: SocketAddrV4, to: SocketAddrV4, since: u64) -> Option<Found> {
        let hash = tuple_hash(Some(from), to);
        let is_it = |f: &Found| {
            f.entry.call.is_some_and(|c| c.os_local == Some(from) && c.os_remote == to)
                && !f.state.is(TAKEN)
                && f.entry.since >= since
        };
        let read = |reference| self.records.read(reference, self.block);
        self.tuples.candidates(hash).filter_map(read).find(is_it)
    }

    /// Whether the dial is alive for certain: connect has returned, nobody has closed it, and its process is
    /// live.
    pub fn is_certain(self, dial: &Found) -> bool {
        dial.state.phase == Phase::Owned && !dial.state.is(SUSPECT) && self.slots.is_live(dial.state.slot)
    }

    /// Takes a dial for an accept. `false`: its state has changed since it was read; read it again.
    pub fn take_dial(self, dial: &Found) -> bool {
        let state = dial.state;
        let done = if state.is(DESTROYED) { state.to(Phase::Free) } else { state.with(TAKEN) };
        if state.is(TAKEN) || !self.records.advance(dial.reference, state, done) {
            return false;
        }
        self.clear_tuple(dial.reference, &dial.entry);
        if done.phase == Phase::Free {
            self.cookies.remove(cookie_hash(dial.cookie), dial.reference);
        }
        true
    }

    /// Enters an accepted socket. `None`: there is no room, and lonetd is asked for the socket's names.
    pub fn accepted(
        self,
        from: usize,
        slot: u16,
        cookie: u64,
        entry: &Entry,
        dial: Reference,
    ) -> Option<Reference> {
        let reference = self.enter(from, slot, cookie, entry)?;
        self.records.set_partner(reference, dial);
        self.records.set_partner(dial, reference);
        if self.index_record(reference, cookie) {
            self.records.change(reference, |s| (s.phase == Phase::Writing).then_some(s.to(Phase::Server)));
            return Some(reference);
        }
        self.records.change(reference, |s| (s.phase == Phase::Writing).then_some(s.to(Phase::Free)));
        None
    }

    /// Marks the port of a socket suspect, as the process in `slot` is about to close a descriptor of it. A
    /// forked child that closes an inherited descriptor marks nothing: the process that made the socket is
    /// live, and will mark the port at its own close. `pid`: returns the process's id by a system call.
    pub fn closing(self, socket: &Found, slot: u16, pid: impl Fn() -> i32) {
        let owner = socket.state.slot;
        let is_entered = matches!(socket.state.phase, Phase::Dialing | Phase::Owned | Phase::Server);
        if is_entered && owner != slot && self.slots.is_live(owner) {
            return;
        }
        self.records.change(socket.reference, |s| {
            // A connect that its thread has left never returns, but the kernel knows the outcome. A child of
            // vfork, which has its parent's slot, has not left the parent's connect.
            let is_left = s.phase == Phase::Dialing
                && s.slot == slot
                && self.slots.owner(slot).is_some_and(|owner| owner.pid == pid());
            let next = if is_left { s.to(Phase::Owned) } else { s }.with(SUSPECT);
            (next != s).then_some(next)
        });
        let Entry { host, port, .. } = socket.entry;
        match socket.state.phase {
            Phase::Dialing | Phase::Owned => self.ports.suspect(host, port, socket.reference),
            Phase::Kept => self.ports.suspect_bound(host, port),
            // The close may reset the other end, which then holds no port, however long its program keeps it
            // open.
            Phase::Server => self.suspect_partner(socket.reference),
            Phase::Free | Phase::Writing | Phase::Ended => {}
        }
    }

    /// Marks the dial at the other end of an accepted socket suspect: it may have been reset.
    pub fn suspect_partner(self, accepted: Reference) {
        if let Some(dial) = self.records.partner(accepted) {
            self.suspect_dial(dial);
        }
    }

    /// Marks a socket whose record lonetd keeps suspect: if it is a listener, it may listen no more. Its port stays
    /// bound.
    pub fn suspect_listener(self, socket: Reference) {
        self.records
            .change(socket, |s| (s.phase == Phase::Kept && !s.is(SUSPECT)).then_some(s.with(SUSPECT)));
    }

    /// Marks a dial suspect: it may have been reset or have ended, and its addresses may be another
    /// connection's.
    pub fn suspect_dial(self, dial: Reference) {
        let is_owned = |s: &State| s.phase == Phase::Owned;
        let before =
            self.records.change(dial, |s| (is_owned(&s) && !s.is(SUSPECT)).then_some(s.with(SUSPECT)));
        if before.as_ref().is_some_and(is_owned)
            && let Some(found) = self.records.read(dial, self.block)
        {
            self.ports.suspect(found.entry.host, found.entry.port, dial);
        }
    }
}
