//! The steps of a dial, an accept and a close on the table, in the order in which they are made.

use super::Parts;
use super::entry::{Entry, pack_os};
use super::index::{cookie_hash, tuple_hash};
use super::record::Found;
use super::state::{DESTROYED, MADE, Phase, Reference, SUSPECT, State, TAKEN};
use super::word::Word;
use std::net::SocketAddrV4;

impl<W: Word> Parts<'_, W> {
    /// Writes the record of a dial whose port is claimed. `false`: there is no room to find it by.
    pub fn describe(self, reference: Reference, cookie: u64, entry: &Entry) -> bool {
        self.records.write(reference, entry, self.block);
        self.show(reference, cookie)
    }

    /// Enters the connection that is about to be made, by the source that it is to have; from now on an accept finds it.
    ///
    /// `false`: a dial that nobody has accepted has, or had, the same addresses. Nothing is entered.
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

    /// The kernel refuses the source: the connection is not to be expected.
    pub fn unpublish(self, reference: Reference, from: SocketAddrV4, to: SocketAddrV4) {
        self.records.change(reference, |s| (s.phase == Phase::Dialing).then_some(s.to(Phase::Writing)));
        self.tuples.remove(tuple_hash(Some(from), to), reference);
    }

    /// connect has returned with a connection, or with one on its way (`is_made`: the kernel has it): what may fail yet is not
    /// believed without a question.
    pub fn connected(self, reference: Reference, is_made: bool) {
        let flag = if is_made { MADE } else { SUSPECT };
        self.records
            .change(reference, |s| (s.phase == Phase::Dialing).then_some(s.to(Phase::Owned).with(flag)));
    }

    /// The dial is not made: its port is free, and nobody finds it.
    pub fn withdraw(self, reference: Reference, cookie: u64, entry: &Entry) {
        let freed = self.records.change(reference, |s| {
            matches!(s.phase, Phase::Writing | Phase::Dialing).then_some(s.to(Phase::Free))
        });
        if freed.is_some() {
            self.clear(reference, cookie, entry);
        }
    }

    /// A dial of the process in `slot` whose thread has left it before connect, in a phase of which `is_left` says so: its
    /// record is free, and with it the port that it may have claimed.
    pub fn abandon(self, reference: Reference, slot: u16, is_left: impl Fn(Phase) -> bool) {
        let is_left = |s: &State| matches!(s.phase, Phase::Writing | Phase::Dialing) && is_left(s.phase);
        let before = self.records.change(reference, |s| is_left(&s).then_some(s.to(Phase::Free)));
        if before.as_ref().is_some_and(is_left)
            && let Some(owner) = self.slots.owner(slot)
        {
            // Which port it is may not be written down so far.
            self.ports.lower(owner.host, 1);
        }
    }

    /// The dial between these addresses that nobody has accepted, if there is one. None of before `since`: that has gone
    /// with the listener to which it was made, and who calls now has come to its addresses.
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

    /// The dial may be believed without a question: connect has returned, nobody has closed it, and its process is there.
    pub fn is_certain(self, dial: &Found) -> bool {
        dial.state.phase == Phase::Owned && !dial.state.is(SUSPECT) && self.slots.is_live(dial.state.slot)
    }

    /// Takes a dial for an accept, as it was seen. `false`: it has moved on since, and is to be looked at anew.
    pub fn take(self, dial: &Found) -> bool {
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

    /// Enters an accepted socket. `None`: there is no room, and its names are asked for.
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
        if self.show(reference, cookie) {
            self.records.change(reference, |s| (s.phase == Phase::Writing).then_some(s.to(Phase::Server)));
            return Some(reference);
        }
        self.records.change(reference, |s| (s.phase == Phase::Writing).then_some(s.to(Phase::Free)));
        None
    }

    /// A descriptor of a socket is about to be closed by the process in `slot`: from now on its port is in doubt. Not
    /// so of what a child of a fork has inherited and closes: the process that made the socket is there, and will say when
    /// it closes it. `pid`: the process, for where it is needed, as it takes a system call.
    pub fn closing(self, socket: &Found, slot: u16, pid: impl Fn() -> i32) {
        let owner = socket.state.slot;
        let is_entered = matches!(socket.state.phase, Phase::Dialing | Phase::Owned | Phase::Server);
        if is_entered && owner != slot && self.slots.is_live(owner) {
            return;
        }
        self.records.change(socket.reference, |s| {
            // A connect that its thread has left does not return any more: the kernel knows what has become of it. A child
            // of vfork, which has its parent's slot, has not left it.
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
            // The other end may be reset by it, and holds no port then, however long its program keeps it.
            Phase::Server => self.suspect_partner(socket.reference),
            Phase::Free | Phase::Writing | Phase::Ended => {}
        }
    }

    /// The dial at the other end of an accepted socket may have been reset.
    pub fn suspect_partner(self, accepted: Reference) {
        if let Some(dial) = self.records.partner(accepted) {
            self.suspect_dial(dial);
        }
    }

    /// A dial may have been reset, or have ended: its addresses may be another's.
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
