//! The sockets that processes have entered in the table by themselves: dials between running hosts, and what was accepted
//! of them.
//!
//! The state keeps what it decides about; of the others it does what needs somebody who lives on: it looks at what a process
//! has left that has ended, frees records when the kernel announces the end of their sockets, and lets other processes
//! have the slots and ports. As soon as a program asks about one of them what the table cannot answer, or the listener goes
//! that an accepted one shares its port with, the state takes the socket over ([`State::take_over`]), and decides about it
//! from then on.

use super::{
    Answer, Call, Changes, Classes, Cookie, Index, Kernel, Outcome, Pid, Process, Role, Sender, Socket, State,
};
use lonet_core::control::{Caller, Reply};
use lonet_core::table::entry::{self, Entry};
use lonet_core::table::listeners::Listener;
use lonet_core::table::ports::Seen;
use lonet_core::table::record::Found;
use lonet_core::table::saved::SavedHost;
use lonet_core::table::state::{DESTROYED, NO_SLOT, Phase, Reference, SUSPECT, TAKEN};
use lonet_core::table::{Parts, Table, slot};
use std::net::SocketAddrV4;
use std::sync::atomic::AtomicU64;

/// Where the table lies.
pub trait Tables: Send {
    fn table(&self) -> Table<'_>;
}

/// So many of the lowest ports that are held by what lonetd decides about are looked at when one is wanted: what died
/// without a word does not make the next port another one.
const LOOKED_AT: usize = 8;

/// So many sockets that have ended are kept for those who ask for their names, and for accepts that may come; more only of
/// those that may be in a backlog.
const TOMBSTONES: usize = 1 << 14;

impl Socket {
    /// What the table says of it.
    fn entry(&self) -> Entry {
        Entry {
            host: self.host,
            port: self.port,
            asked: self.asked,
            at: self.at,
            os: self.os,
            call: self.call.map(|c| entry::Call {
                local: if self.role == Role::Gone { self.at.unwrap_or(c.local) } else { c.local },
                peer: c.peer,
                os_local: c.os_local,
                os_remote: c.os_remote,
                peer_host: c.peer_host,
                dialed_port: c.dialed_port,
                class: c.class.0,
            }),
            accept_port: self.accept_port,
            role: self.role as u8,
            since: self.since,
        }
    }

    fn from_entry(e: &Entry, role: Role, pid: Pid, taken: bool) -> Socket {
        Socket {
            host: e.host,
            port: e.port,
            role,
            pid,
            asked: e.asked,
            at: e.at,
            os: e.os,
            call: e.call.map(|c| Call {
                local: c.local,
                peer: c.peer,
                os_local: c.os_local,
                os_remote: c.os_remote,
                peer_host: c.peer_host,
                dialed_port: c.dialed_port,
                class: Classes(c.class),
                taken,
            }),
            accept_port: e.accept_port,
            made_by: None,
            destroyed: false,
            since: e.since,
        }
    }

    /// A socket that a lonetd before has kept, or one that a process has entered. `None`: the record makes no sense.
    pub(super) fn of_record(found: &Found, pid: Pid) -> Option<Socket> {
        let role = match found.state.phase {
            Phase::Kept => *Role::ALL.get(usize::from(found.entry.role))?,
            Phase::Dialing => Role::Dialing,
            Phase::Owned => Role::Connected,
            Phase::Server => Role::Accepted,
            Phase::Ended => Role::Gone,
            Phase::Free | Phase::Writing => return None,
        };
        Some(Socket::from_entry(&found.entry, role, pid, found.state.is(TAKEN)))
    }
}

impl State {
    pub fn parts(&self) -> Parts<'_, AtomicU64> {
        self.table.table().parts(self.block)
    }

    /// The record of a socket that a process has entered and the state does not keep.
    pub(super) fn entered(&self, cookie: Cookie) -> Option<Found> {
        self.parts().find(cookie).filter(|f| f.state.phase != Phase::Kept)
    }

    fn pid_of(&self, slot: u16) -> Pid {
        self.parts().slots.owner(slot).map_or(0, |o| o.pid)
    }

    /// From now on the state decides about this socket.
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
            self.by_tuple.insert((local, call.os_remote), cookie);
        }
        if socket.role == Role::Gone {
            self.graves.push_back((std::time::Duration::ZERO, cookie));
        }
        self.put(cookie, socket);
    }

    /// Accepted sockets hold their listener's port when that has gone.
    pub(super) fn take_over_accepted(&mut self, host: Index, port: u16) {
        let parts = self.parts();
        let is_one =
            |f: &Found| f.state.phase == Phase::Server && (f.entry.host, f.entry.port) == (host, port);
        let all: Vec<Cookie> = (parts.records.all())
            .filter(|(_, state)| state.phase == Phase::Server)
            .filter_map(|(reference, _)| parts.records.read(reference, parts.block))
            .filter(is_one)
            .map(|f| f.cookie)
            .collect();
        all.into_iter().for_each(|cookie| self.take_over(cookie));
    }

    /// Writes what has changed where programs and the next lonetd find it.
    pub fn save(&self, kernel: &mut dyn Kernel, changes: &Changes) {
        let table = self.table.table();
        if changes.names {
            table.names_changed();
        }
        for index in &changes.hosts {
            let Some(host) = self.hosts.get(*index) else { continue };
            let (name, fresh_accept_ports) = (host.name.clone(), host.fresh_accept_ports);
            if !table.save_host(&SavedHost { index: *index, name, fresh_accept_ports }) {
                tracing::error!(
                    "no room for the name of host {}: the next lonetd will not know it",
                    host.name
                );
            }
        }
        changes.sockets.iter().for_each(|cookie| self.save_socket(*cookie));
        changes.listeners.iter().for_each(|(host, port)| self.show_listeners(*host, *port));
        for pid in &changes.processes {
            if !table.save_members(*pid, &self.saved_members(kernel, *pid)) {
                tracing::error!("no room for pid {pid}: the next lonetd will not know it");
            }
        }
    }

    /// The record of a socket, or that there is none.
    fn save_socket(&self, cookie: Cookie) {
        let parts = self.parts();
        match self.sockets.get(&cookie) {
            Some(socket) => {
                let slot = self.processes.get(&socket.pid).and_then(|p| p.slot).unwrap_or(NO_SLOT);
                let is_same = |f: &Found| {
                    let state = (f.state.phase, f.state.slot, parts.records.pid(f.reference));
                    state == (Phase::Kept, slot, socket.pid)
                        && f.entry == socket.entry()
                        && parts.records.program(f.reference).as_deref() == socket.made_by.as_deref()
                };
                if parts.find(cookie).as_ref().is_some_and(is_same) {
                    return;
                }
                match parts.keep(self.records.from(0), cookie, (slot, socket.pid), &socket.entry()) {
                    Some(reference) => {
                        self.records.took(reference);
                        if let Some(program) = &socket.made_by {
                            parts.records.set_program(reference, program);
                        }
                    }
                    None => tracing::error!("the table has no room for another socket"),
                }
            }
            None => {
                if let Some(reference) = parts.reference(cookie)
                    && parts.records.state(reference).is_some_and(|s| s.phase == Phase::Kept)
                {
                    parts.free(reference);
                }
            }
        }
    }

    /// Says in the table who listens on a port, for dials. Hosts whose accepted connections take ports of their own are
    /// dialed through lonetd.
    fn show_listeners(&self, host: Index, port: u16) {
        let parts = self.parts();
        let is_fresh = self.hosts.get(host).is_some_and(|h| h.fresh_accept_ports);
        for (class, found) in Classes::EACH.iter().zip(self.listeners((host, port))) {
            let listener = found
                .filter(|_| !is_fresh)
                .and_then(|(cookie, os)| Some(Listener { os, record: parts.reference(cookie)? }));
            parts.listeners.set(host, port, class.0, listener);
        }
    }

    /// Gives a process its slot, in which it acts on the table by itself.
    pub(super) fn enter(
        &mut self,
        kernel: &mut dyn Kernel,
        sender: Sender,
        caller: &Caller<'_>,
        dials: bool,
    ) -> Outcome {
        let home = match (caller.host.is_empty(), dials) {
            (false, _) => self.home(kernel, sender.pid, caller)?,
            (true, true) => self.calling_host(kernel, sender.pid, caller)?,
            (true, false) => self.meet(kernel, sender.pid).own.unwrap_or(0),
        };
        // Who gave the owner's uid up asks for everything: it must not be able to lead the owner's dials.
        if !self.is_owners(sender.uid) {
            return Ok(Reply::Entered { slot: NO_SLOT, host: home });
        }
        let old = self.meet(kernel, sender.pid).slot;
        let owner = old.and_then(|slot| self.parts().slots.owner(slot));
        let slot = match (old, owner) {
            (Some(slot), Some(owner))
                if !self.parts().slots.is_marked(slot) && (owner.host == home || home == 0) =>
            {
                Some(slot)
            }
            _ => {
                if let Some(slot) = old {
                    // Another image of the process, or another thread, than the one that took it.
                    self.leave_slot(kernel, slot);
                }
                let began = kernel.began(sender.pid);
                self.parts().slots.reserve(sender.pid, home, began)
            }
        };
        self.meet(kernel, sender.pid).slot = slot;
        let host = slot.and_then(|s| self.parts().slots.owner(s)).map_or(home, |o| o.host);
        Ok(Reply::Entered { slot: slot.unwrap_or(NO_SLOT), host })
    }

    /// Nobody speaks for what a slot has any more, and it can be given to another process.
    pub(super) fn leave_slot(&mut self, kernel: &mut dyn Kernel, slot: u16) {
        self.sweep(kernel, slot, true);
        self.parts().slots.free(slot);
    }

    /// Looks at all that a process has entered. `is_over`: it will do nothing more with it in this slot.
    fn sweep(&mut self, kernel: &mut dyn Kernel, slot: u16, is_over: bool) {
        let host = self.parts().slots.owner(slot).map_or(0, |o| o.host);
        let program = self.processes.get(&self.pid_of(slot)).map(|p| p.program.clone());
        let all: Vec<(Reference, Phase)> = (self.parts().records.all())
            .filter(|(_, state)| state.slot == slot)
            .map(|(reference, state)| (reference, state.phase))
            .collect();
        for (reference, phase) in all {
            match phase {
                Phase::Writing if is_over => {
                    self.parts()
                        .records
                        .change(reference, |s| (s.phase == Phase::Writing).then_some(s.to(Phase::Free)));
                }
                Phase::Dialing if is_over => {
                    // connect may have been made; the kernel has it then.
                    self.parts()
                        .records
                        .change(reference, |s| (s.phase == Phase::Dialing).then_some(s.to(Phase::Owned)));
                    self.examine_entered(kernel, reference);
                }
                Phase::Owned | Phase::Server => _ = self.examine_entered(kernel, reference),
                Phase::Free | Phase::Writing | Phase::Dialing | Phase::Kept | Phase::Ended => {}
            }
            let parts = self.parts();
            let changed = parts.records.change(reference, |s| {
                let s = if s.phase == Phase::Kept { s } else { s.with(SUSPECT) };
                Some(if is_over { lonet_core::table::state::State { slot: NO_SLOT, ..s } } else { s })
            });
            if changed.is_some()
                && let Some(found) = parts.records.read(reference, parts.block)
            {
                parts.ports.suspect(found.entry.host, found.entry.port, reference);
                if let Some(program) = program.as_deref().filter(|_| is_over) {
                    parts.records.set_program(reference, program);
                }
            }
        }
        // A record that was never written does not say its port.
        self.parts().ports.lower(host, 1);
        if !is_over {
            self.parts().slots.enter(slot, slot::Phase::Doubtful);
        }
    }

    /// A process of this host may have ended, or have closed a bound socket: whoever wants a port of it waits for the look.
    pub(super) fn look(&mut self, kernel: &mut dyn Kernel, host: Index) {
        while self.parts().slots.has_unseen_end(host) {
            let parts = self.parts();
            let ended = |(slot, owner): &(u16, slot::Owner)| {
                owner.host == host && owner.phase == slot::Phase::Live && parts.slots.is_marked(*slot)
            };
            let Some((slot, _)) = parts.slots.all().find(ended) else { return };
            let pid = self.pid_of(slot);
            self.sweep(kernel, slot, false);
            let kept = self.processes.get(&pid).map(|p| p.sockets.clone()).unwrap_or_default();
            kept.into_iter().for_each(|cookie| self.closed(kernel, cookie));
        }
        let mut port = self.parts().ports.mark(host).port();
        loop {
            let parts = self.parts();
            match parts.ports.look(parts.records, host, port) {
                Seen::Free(_) => return,
                Seen::SuspectBound => self.look_at_bound(kernel, host, port),
                Seen::Held | Seen::Suspect(..) => {}
            }
            let Some(next) = port.checked_add(1) else { return };
            port = next;
        }
    }

    /// Looks at the sockets that a port is marked for.
    fn look_at_bound(&mut self, kernel: &mut dyn Kernel, host: Index, port: u16) {
        // First: who closes one of them meanwhile marks it again.
        self.parts().ports.clear_suspicion(host, port);
        let holders = self.hosts.get(host).map_or(Vec::new(), |h| h.ports.holders(port).to_vec());
        if holders.is_empty() {
            self.parts().ports.set_bound(host, port, false);
        }
        holders.into_iter().for_each(|cookie| self.closed(kernel, cookie));
    }

    /// The first free port of a host from `from` on, marked as bound: it is given up again unless a socket holds it when
    /// the message has been dealt with. `None`: there is none.
    pub(super) fn first_free_port(&mut self, kernel: &mut dyn Kernel, host: Index, from: u16) -> Option<u16> {
        self.look(kernel, host);
        let mark = self.parts().ports.mark(host).port();
        let mut port = from.max(mark).max(1);
        let mut looks = 0..LOOKED_AT;
        loop {
            let parts = self.parts();
            match parts.ports.look(parts.records, host, port) {
                Seen::Held if self.is_kept(host, port) && looks.next().is_some() => {
                    self.look_at_bound(kernel, host, port);
                    let parts = self.parts();
                    if !matches!(parts.ports.look(parts.records, host, port), Seen::Free(_)) {
                        port = port.checked_add(1)?;
                    }
                }
                Seen::Free(word) => {
                    if parts.ports.reserve(host, port, word)? {
                        self.reserved.push((host, port));
                        return Some(port);
                    }
                    continue;
                }
                Seen::SuspectBound => {
                    self.look_at_bound(kernel, host, port);
                    continue;
                }
                Seen::Suspect(reference, _) if !self.examine_entered(kernel, reference) => continue,
                Seen::Suspect(..) | Seen::Held => port = port.checked_add(1)?,
            }
        }
    }

    /// Whether a socket holds this port that lonetd decides about: nobody need have told of its end.
    fn is_kept(&self, host: Index, port: u16) -> bool {
        self.hosts.get(host).is_some_and(|h| !h.ports.holders(port).is_empty())
    }

    /// Clears marks of ports that no socket holds: a lonetd before was killed when it had found one free.
    pub(super) fn clear_stale_marks(&mut self, host: Index) {
        for port in self.parts().ports.bound_ports(host) {
            if self.hosts.get(host).is_none_or(|h| h.ports.holders(port).is_empty()) {
                self.parts().ports.set_bound(host, port, false);
            }
        }
    }

    /// Gives up ports that were found free and that no socket has got.
    pub(super) fn give_up_reserved(&mut self) {
        for (host, port) in std::mem::take(&mut self.reserved) {
            if self.hosts.get(host).is_none_or(|h| h.ports.holders(port).is_empty()) {
                self.parts().ports.set_bound(host, port, false);
            }
        }
    }

    /// Whether a dial that a process has entered holds this port.
    pub(super) fn is_claimed(&mut self, kernel: &mut dyn Kernel, host: Index, port: u16) -> bool {
        let parts = self.parts();
        match parts.ports.claim_of(parts.records, host, port) {
            Some((reference, true)) => self.examine_entered(kernel, reference),
            Some((_, false)) => true,
            None => false,
        }
    }

    /// Asks the kernel about a socket that a process has entered, and draws the consequences. Whether it lives.
    pub(super) fn examine_entered(&mut self, kernel: &mut dyn Kernel, reference: Reference) -> bool {
        let parts = self.parts();
        let Some(found) = parts.records.read(reference, parts.block) else { return false };
        match found.state.phase {
            Phase::Owned | Phase::Server => {}
            Phase::Ended | Phase::Free => return false,
            // Its process is at work on it.
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

    /// A listener has gone, and with it the connections that nobody has accepted: who dialed it is reset, now or when the
    /// kernel tries again.
    pub(super) fn doubt_dials_to(&self, os: SocketAddrV4) {
        let parts = self.parts();
        let waits = |f: &Found| !f.state.is(TAKEN) && f.entry.call.is_some_and(|c| c.os_remote == os);
        (parts.records.all())
            .filter(|(_, state)| state.phase == Phase::Owned)
            .filter_map(|(reference, _)| parts.records.read(reference, parts.block))
            .filter(waits)
            .for_each(|dial| parts.doubt(dial.reference));
        let waits =
            |s: &&Socket| s.role == Role::Connected && s.call.is_some_and(|c| c.os_remote == os && !c.taken);
        self.sockets.values().filter(waits).for_each(|s| parts.ports.suspect_bound(s.host, s.port));
    }

    /// The socket holds nothing any more; the record stays for its names, until the kernel has destroyed the socket.
    fn end_entered(&mut self, found: &Found) {
        let parts = self.parts();
        if found.state.phase == Phase::Server {
            parts.doubt_partner(found.reference);
            parts.records.change(found.reference, |s| {
                (s.phase == Phase::Server).then_some(s.to(Phase::Ended).with(TAKEN))
            });
        } else {
            parts.end(found.reference);
        }
        self.count_end(found.entry.host);
    }

    /// The kernel announces that a socket has been destroyed. `false`: no process has entered it.
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
        // The other end may have been reset by it, and holds no port then, however long its program keeps it.
        if let Some(partner) = partner
            && self.parts().records.state(partner).is_some_and(|s| s.phase == Phase::Owned)
        {
            self.examine_entered(kernel, partner);
        }
        true
    }

    /// Whether a socket has ended of which the kernel's announcement has come already, or may have been lost, cannot be told:
    /// it is in no table of the kernel's while a program still has it.
    pub(super) fn restore_tombstones(&mut self, kernel: &mut dyn Kernel) {
        let ended = |(_, state): &(Reference, lonet_core::table::state::State)| state.phase == Phase::Ended;
        self.tombstones = self.parts().records.all().filter(ended).map(|(reference, _)| reference).collect();
        self.clear_tombstones(kernel, self.tombstones.len());
    }

    /// Frees the oldest sockets that have ended, if no accept will find them. `looks`: at so many at most.
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

    /// Some announcements were lost: looks at every socket that processes have entered.
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

    /// Looks at all that a process has entered: it has closed descriptors in bulk.
    pub(super) fn review_slot(&mut self, kernel: &mut dyn Kernel, pid: Pid) {
        let Some(slot) = self.processes.get(&pid).and_then(|p| p.slot) else { return };
        let all: Vec<Reference> = (self.parts().records.all())
            .filter(|(_, s)| s.slot == slot && matches!(s.phase, Phase::Owned | Phase::Server))
            .map(|(reference, _)| reference)
            .collect();
        for reference in all {
            self.examine_entered(kernel, reference);
        }
    }

    /// A descriptor of a socket was closed that a process has entered.
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

    /// A socket of this host that a process had entered lives no more.
    fn count_end(&mut self, host: Index) {
        let Some(h) = self.hosts.get_mut(host).filter(|h| h.members.is_empty() && h.entered > 0) else {
            return;
        };
        h.entered -= 1;
        if h.entered == 0 {
            // One may have been entered since they were counted.
            self.recount(host);
        }
    }

    /// How many sockets of a host processes have entered that live: without members they keep it up.
    pub(super) fn recount(&mut self, host: Index) {
        if !self.hosts.get(host).is_some_and(|h| h.members.is_empty()) {
            return;
        }
        let parts = self.parts();
        let lives = |phase| matches!(phase, Phase::Dialing | Phase::Owned | Phase::Server);
        let n = (parts.records.all())
            .filter(|(_, state)| lives(state.phase))
            .filter_map(|(reference, _)| parts.records.read(reference, parts.block))
            .filter(|f| f.entry.host == host)
            .count();
        if let Some(h) = self.hosts.get_mut(host) {
            h.entered = n;
            self.changes.names |= n == 0;
        }
    }

    /// The dial at the other end of what was accepted, entered by its process: by the cookie that the kernel has told, else
    /// by the addresses, unless it is one of before `since`.
    pub(super) fn entered_dial(
        &self,
        found: Option<super::Found>,
        from: SocketAddrV4,
        to: SocketAddrV4,
        since: u64,
    ) -> Option<Found> {
        let parts = self.parts();
        let is_it = |f: &Found| f.entry.call.is_some_and(|c| c.os_remote == to) && !f.state.is(TAKEN);
        match found {
            Some(f) => parts.find(f.cookie).filter(is_it),
            None => parts.dial_between(from, to, since),
        }
        .filter(|f| matches!(f.state.phase, Phase::Dialing | Phase::Owned | Phase::Ended))
    }

    /// What processes have entered and lives, for a list.
    pub(super) fn all_entered(&mut self, kernel: &mut dyn Kernel) -> Vec<(Cookie, Socket)> {
        let lives = |phase| matches!(phase, Phase::Dialing | Phase::Owned | Phase::Server);
        let in_doubt: Vec<Reference> = (self.parts().records.all())
            .filter(|(_, state)| lives(state.phase) && state.is(SUSPECT))
            .map(|(reference, _)| reference)
            .collect();
        in_doubt.into_iter().for_each(|reference| _ = self.examine_entered(kernel, reference));
        let parts = self.parts();
        (parts.records.all())
            .filter(|(_, state)| lives(state.phase))
            .filter_map(|(reference, _)| parts.records.read(reference, parts.block))
            .filter_map(|f| {
                let mut socket = Socket::of_record(&f, self.pid_of(f.state.slot))?;
                socket.made_by = parts.records.program(f.reference).map(String::into_boxed_str);
                Some((f.cookie, socket))
            })
            .collect()
    }
}

impl Process {
    /// Keeps no host up and holds nothing that the state decides about.
    pub(super) fn is_unused(&self) -> bool {
        self.hosts.is_empty() && self.sockets.is_empty()
    }
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Answer {
        match outcome {
            Ok(reply) => Answer::Reply(reply),
            Err((errno, text)) => Answer::Refuse(errno, text),
        }
    }
}
