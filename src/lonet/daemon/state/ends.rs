//! Ends of processes and sockets, and the searches of the table that follow.
//!
//! The table has no reference from a process, a host or a listener to the records that processes have entered
//! for it: to find these takes a walk of all records. When many end at once ([`State::end_many`]), the
//! searches are put off, and one walk serves them all. Until then a port that accepted sockets may hold
//! counts as held, and a host that they may keep up counts as up.

use super::entered::lives;
use super::{Cookie, Index, Kernel, Pid, Process, Role, Socket, State};
use lonet_core::table::record::Found;
use lonet_core::table::state::{Phase, TAKEN};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;

/// The searches that are put off until all simultaneous ends have been handled.
#[derive(Default)]
pub(super) struct Deferred {
    /// Ports without a listener; accepted sockets may still hold them.
    ports: BTreeSet<(Index, u16)>,
    /// OS addresses of listeners that have gone: dials to them are reset.
    listeners: BTreeSet<SocketAddrV4>,
    /// Hosts that only entered sockets may keep up.
    hosts: BTreeSet<Index>,
}

/// The cookie that holds a port until it is known which accepted sockets do.
const DEFERRED: Cookie = Cookie::MAX;

impl State {
    /// Handles the ends of processes: their ports are free, unless another process holds the sockets too.
    pub fn processes_ended(&mut self, kernel: &mut dyn Kernel, pids: &[Pid]) {
        let slots: BTreeSet<u16> =
            pids.iter().filter_map(|pid| self.processes.get(pid).and_then(|p| p.slot)).collect();
        let mut ended: Vec<(Pid, Process)> = Vec::new();
        self.end_many(kernel, |state, kernel| {
            state.leave_slots(kernel, &slots);
            // All processes are removed first: a permission of one lapses whichever of the others has the
            // socket, too.
            ended.extend(pids.iter().filter_map(|pid| Some((*pid, state.processes.remove(pid)?))));
            for (_, process) in &ended {
                for cookie in &process.sockets {
                    state.closed(kernel, *cookie);
                    // Sockets that others still hold are listed with the name of the program that made them.
                    state.change(*cookie, |s| s.made_by = Some(process.program.as_str().into()));
                }
            }
        });
        let mut left = BTreeSet::new();
        for (pid, process) in ended {
            self.note_end(pid, &process);
            self.changes.processes.insert(pid);
            for index in process.hosts {
                self.remove_member(kernel, index, pid);
                left.insert(index);
            }
        }
        self.recount(&left);
    }

    /// Removes a process from the members of a host.
    pub(super) fn leave(&mut self, kernel: &dyn Kernel, index: Index, pid: Pid) {
        self.remove_member(kernel, index, pid);
        self.recount(&BTreeSet::from([index]));
    }

    fn remove_member(&mut self, kernel: &dyn Kernel, index: Index, pid: Pid) {
        if let Some(host) = self.hosts.get_mut(index)
            && host.members.remove(&pid)
            && host.members.is_empty()
        {
            host.left = kernel.now();
            self.changes.hosts.insert(index);
        }
    }

    /// Handles the kernel's announcement that sockets are destroyed.
    pub fn all_destroyed(&mut self, kernel: &mut dyn Kernel, cookies: &[Cookie]) {
        self.end_many(kernel, |state, kernel| {
            cookies.iter().for_each(|cookie| _ = state.destroyed(kernel, *cookie));
        });
    }

    /// Examines every socket: some announcements were lost.
    pub fn review_all(&mut self, kernel: &mut dyn Kernel) {
        let all: Vec<Cookie> = self.sockets.keys().copied().collect();
        self.end_many(kernel, |state, kernel| {
            all.into_iter().for_each(|cookie| state.closed(kernel, cookie));
            state.review_entered(kernel);
        });
    }

    /// Examines every socket whose maker has ended, but for entered ones, which are suspect then. Only the kernel's announcement
    /// tells that the last process which held a socket has ended, too, and it comes late on a busy machine.
    pub fn review_left(&mut self, kernel: &mut dyn Kernel) {
        let left = self.sockets.iter().filter(|(_, s)| self.is_left(s.pid)).map(|(cookie, _)| *cookie);
        let left: Vec<Cookie> = left.collect();
        self.end_many(kernel, |state, kernel| {
            left.into_iter().for_each(|cookie| state.closed(kernel, cookie))
        });
    }

    /// Whether the maker of a socket has ended.
    pub(super) fn is_left(&self, maker: Pid) -> bool {
        !self.processes.contains_key(&maker)
    }

    /// Runs `ends`, in which many sockets or processes may end, and does its searches of the table at once.
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

    /// Finds the accepted sockets of a port whose last listening or bound socket has gone.
    pub(super) fn search_accepted(&mut self, host: Index, port: u16) {
        match &mut self.deferred {
            Some(deferred) => {
                deferred.ports.insert((host, port));
                self.hold_port(host, port, DEFERRED);
            }
            None => self.take_over_accepted(&BTreeSet::from([(host, port)])),
        }
    }

    /// Finds the dials to a listener that has gone, and with it the connections that were not accepted.
    pub(super) fn search_dials_to(&mut self, os: SocketAddrV4) {
        match &mut self.deferred {
            Some(deferred) => _ = deferred.listeners.insert(os),
            None => self.suspect_dials_to(&BTreeSet::from([os])),
        }
    }

    /// Counts the end of an entered socket of this host.
    pub(super) fn count_end(&mut self, host: Index) {
        let Some(h) = self.hosts.get_mut(host).filter(|h| h.members.is_empty()) else { return };
        match h.entered {
            0 => {}
            // Another may have been entered since they were counted.
            1 => match &mut self.deferred {
                Some(deferred) => _ = deferred.hosts.insert(host),
                None => self.recount(&BTreeSet::from([host])),
            },
            _ => h.entered -= 1,
        }
    }

    /// Takes over the accepted sockets of these ports, whose listeners have gone: they hold the ports from
    /// now on.
    fn take_over_accepted(&mut self, ports: &BTreeSet<(Index, u16)>) {
        if ports.is_empty() {
            return;
        }
        let holds = |f: &Found| ports.contains(&(f.entry.host, f.entry.port));
        let all: Vec<Cookie> =
            self.entered_in(|phase| phase == Phase::Server).filter(holds).map(|f| f.cookie).collect();
        all.into_iter().for_each(|cookie| self.take_over(cookie));
    }

    /// Marks the dials to these listeners as suspect if they were not accepted: the kernel resets them now,
    /// or when it retransmits.
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

    /// Counts the living entered sockets of those of these hosts that have no members: these keep them up.
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
