//! Ends of processes and sockets, and what is looked for in the table when they come.
//!
//! Nothing leads from a process, a host or a listener to the records that processes have entered for it: to find these takes
//! a walk of all records. Where many end at once ([`State::end_many`]), what is to be looked for is noted, and one walk
//! serves them all. Until then, a port that accepted sockets may hold is held, and a host that they may keep up is up.

use super::entered::lives;
use super::{Cookie, Index, Kernel, Pid, Process, Role, Socket, State};
use lonet_core::table::record::Found;
use lonet_core::table::state::{Phase, TAKEN};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;

/// What is to be looked for when all that end at once have been seen to.
#[derive(Default)]
pub(super) struct Deferred {
    /// Ports without a listener: accepted sockets hold them on.
    ports: BTreeSet<(Index, u16)>,
    /// Where a listener was: who dialed it is reset.
    listeners: BTreeSet<SocketAddrV4>,
    /// Hosts that nothing but entered sockets may keep up.
    hosts: BTreeSet<Index>,
}

/// Holds a port until it is known which accepted sockets do.
const DEFERRED: Cookie = Cookie::MAX;

impl State {
    /// Processes have ended. What they held is free, unless somebody else holds it too.
    pub fn processes_ended(&mut self, kernel: &mut dyn Kernel, pids: &[Pid]) {
        let slots: BTreeSet<u16> =
            pids.iter().filter_map(|pid| self.processes.get(pid).and_then(|p| p.slot)).collect();
        let mut ended: Vec<(Pid, Process)> = Vec::new();
        self.end_many(kernel, |state, kernel| {
            state.leave_slots(kernel, &slots);
            // All of them first: what one was allowed lapses whichever of the others has the socket, too.
            ended.extend(pids.iter().filter_map(|pid| Some((*pid, state.processes.remove(pid)?))));
            for (_, process) in &ended {
                for cookie in &process.sockets {
                    state.closed(kernel, *cookie);
                    // What others hold still is shown under the name of who made it.
                    state.change(*cookie, |s| s.made_by = Some(process.program.as_str().into()));
                }
            }
        });
        let mut left = BTreeSet::new();
        for (pid, process) in ended {
            self.note_end(pid, &process);
            self.changes.processes.insert(pid);
            for index in process.hosts {
                if let Some(host) = self.hosts.get_mut(index) {
                    host.members.remove(&pid);
                    left.insert(index);
                }
            }
        }
        self.recount(&left);
    }

    /// A process keeps this host up no longer.
    pub(super) fn leave(&mut self, index: Index, pid: Pid) {
        if let Some(host) = self.hosts.get_mut(index) {
            host.members.remove(&pid);
        }
        self.recount(&BTreeSet::from([index]));
    }

    /// The kernel announces that sockets have been destroyed.
    pub fn all_destroyed(&mut self, kernel: &mut dyn Kernel, cookies: &[Cookie]) {
        self.end_many(kernel, |state, kernel| {
            cookies.iter().for_each(|cookie| _ = state.destroyed(kernel, *cookie));
        });
    }

    /// Looks at every socket: some announcements were lost.
    pub fn review_all(&mut self, kernel: &mut dyn Kernel) {
        let all: Vec<Cookie> = self.sockets.keys().copied().collect();
        self.end_many(kernel, |state, kernel| {
            all.into_iter().for_each(|cookie| state.closed(kernel, cookie));
            state.review_entered(kernel);
        });
    }

    /// Much may end in `ends`.
    pub(super) fn end_many(
        &mut self,
        kernel: &mut dyn Kernel,
        ends: impl FnOnce(&mut State, &mut dyn Kernel),
    ) {
        let outer = self.deferred.replace(Deferred::default());
        ends(self, kernel);
        let deferred = std::mem::replace(&mut self.deferred, outer);
        let Deferred { ports, listeners, hosts } = deferred.unwrap_or_default();
        self.take_over_accepted(&ports);
        ports.iter().for_each(|(host, port)| self.release(*host, *port, DEFERRED));
        self.suspect_dials_to(&listeners);
        self.recount(&hosts);
    }

    /// The last socket of a port has gone that may have accepted others.
    pub(super) fn search_accepted(&mut self, host: Index, port: u16) {
        match &mut self.deferred {
            Some(deferred) => {
                deferred.ports.insert((host, port));
                self.hold_port(host, port, DEFERRED);
            }
            None => self.take_over_accepted(&BTreeSet::from([(host, port)])),
        }
    }

    /// A listener has gone, and with it the connections that nobody has accepted.
    pub(super) fn search_dials_to(&mut self, os: SocketAddrV4) {
        match &mut self.deferred {
            Some(deferred) => _ = deferred.listeners.insert(os),
            None => self.suspect_dials_to(&BTreeSet::from([os])),
        }
    }

    /// A socket of this host that a process had entered lives no more.
    pub(super) fn count_end(&mut self, host: Index) {
        let Some(h) = self.hosts.get_mut(host).filter(|h| h.members.is_empty()) else { return };
        match h.entered {
            0 => {}
            // One may have been entered since they were counted.
            1 => match &mut self.deferred {
                Some(deferred) => _ = deferred.hosts.insert(host),
                None => self.recount(&BTreeSet::from([host])),
            },
            _ => h.entered -= 1,
        }
    }

    /// Accepted sockets hold their listener's port when that has gone.
    fn take_over_accepted(&mut self, ports: &BTreeSet<(Index, u16)>) {
        if ports.is_empty() {
            return;
        }
        let holds = |f: &Found| ports.contains(&(f.entry.host, f.entry.port));
        let all: Vec<Cookie> =
            self.entered_in(|phase| phase == Phase::Server).filter(holds).map(|f| f.cookie).collect();
        all.into_iter().for_each(|cookie| self.take_over(cookie));
    }

    /// Who dialed one of these listeners and was not accepted is reset, now or when the kernel tries again.
    fn suspect_dials_to(&self, listeners: &BTreeSet<SocketAddrV4>) {
        if listeners.is_empty() {
            return;
        }
        let parts = self.parts();
        let waits =
            |f: &Found| !f.state.is(TAKEN) && f.entry.call.is_some_and(|c| listeners.contains(&c.os_remote));
        (self.entered_in(|phase| phase == Phase::Owned).filter(waits))
            .for_each(|dial| parts.suspect_dial(dial.reference));
        let waits = |s: &&Socket| {
            s.role == Role::Connected && !s.taken && s.call.is_some_and(|c| listeners.contains(&c.os_remote))
        };
        self.sockets.values().filter(waits).for_each(|s| parts.ports.suspect_bound(s.host, s.port));
    }

    /// How many sockets of these hosts processes have entered that live: without members they keep them up.
    pub(super) fn recount(&mut self, hosts: &BTreeSet<Index>) {
        let is_left = |index: &&Index| self.hosts.get(**index).is_some_and(|h| h.members.is_empty());
        let mut counts: BTreeMap<Index, usize> =
            hosts.iter().filter(is_left).map(|index| (*index, 0)).collect();
        if counts.is_empty() {
            return;
        }
        for found in self.entered_in(lives) {
            if let Some(n) = counts.get_mut(&found.entry.host) {
                *n += 1;
            }
        }
        for (index, n) in counts {
            if let Some(h) = self.hosts.get_mut(index) {
                h.entered = n;
                self.changes.names |= n == 0;
            }
        }
    }
}
