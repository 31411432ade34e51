//! Restores the state from the table that the previous lonetd has left, as far as the kernel confirms it.

use super::{Cookie, Index, Kernel, Pid, Process, Role, Socket, State, UnconnectedState};
use lonet_core::table::Table;
use lonet_core::table::record::Found;
use lonet_core::table::saved::{SavedHost, SavedMember};
use lonet_core::table::state::Phase;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddrV4;
use std::time::Duration;

/// The hosts and processes that the previous lonetd has saved; the sockets are in the records.
#[derive(Clone, Debug, Default)]
pub struct Saved {
    pub hosts: Vec<SavedHost>,
    pub members: Vec<SavedMember>,
}

impl Saved {
    pub fn of(table: Table<'_>) -> Saved {
        Saved { hosts: table.saved_hosts(), members: table.saved_members() }
    }
}

/// A socket as the kernel lists it.
#[derive(Clone, Copy, Debug)]
pub struct KernelSocket {
    pub local: SocketAddrV4,
    /// The address of its peer. `None`: it is listening or idle.
    pub remote: Option<SocketAddrV4>,
    pub idle: UnconnectedState,
    pub held: bool,
}

/// The grace period for a call that was allowed when lonetd died. The end of its socket is not announced in
/// that time.
const GRACE_PERIOD: Duration = Duration::from_secs(2);

impl State {
    /// What the next lonetd has to know of a process: an entry for each of its hosts.
    pub fn saved_members(&self, kernel: &mut dyn Kernel, pid: Pid) -> Vec<SavedMember> {
        let Some(process) = self.processes.get(&pid) else { return Vec::new() };
        let began = kernel.began(pid);
        let member = |host: Index| SavedMember {
            pid,
            host,
            has_implicit_host: process.implicit_host == Some(host),
            is_lonets: process.is_lonets,
            began,
        };
        match process.hosts.len() {
            0 => vec![member(0)],
            _ => process.hosts.iter().map(|host| member(*host)).collect(),
        }
    }

    /// Restores what was saved. One-way messages that were sent while no lonetd was there (a socket has been
    /// bound, or closed) are replaced by the kernel's view: `kernel_sockets`, if the kernel can be asked, are
    /// all sockets of the block, listed after programs could reach this lonetd.
    pub fn restore(
        &mut self,
        kernel: &mut dyn Kernel,
        saved: Saved,
        kernel_sockets: Option<&BTreeMap<Cookie, KernelSocket>>,
    ) {
        for host in saved.hosts {
            self.hosts.restore(&host);
        }
        self.restore_processes(kernel, saved.members);
        let sockets = self.restore_sockets(kernel);
        let cookies: Vec<Cookie> = sockets.keys().copied().collect();
        let mut held: BTreeMap<Pid, Option<BTreeSet<Cookie>>> = BTreeMap::new();
        let mut unverified = Vec::new();
        let mut begun = Vec::new();
        for (cookie, mut socket) in sockets {
            let was = socket.role;
            if let Some(kernel_sockets) = kernel_sockets {
                // Between permission and call no table shows the socket, but its process holds it.
                let is_expected = socket.is_allowed() && self.processes.contains_key(&socket.pid) && {
                    let held = held.entry(socket.pid).or_insert_with_key(|pid| kernel.sockets_of(*pid));
                    held.as_ref().is_none_or(|held| held.contains(&cookie))
                };
                reconcile(&mut socket, kernel_sockets.get(&cookie), is_expected);
            }
            if socket.is_allowed() {
                unverified.push(cookie);
            }
            if let Some(call) = socket.call
                && let Some(local) = call.os_local
                && socket.role != Role::Accepted
            {
                self.addresses.add_dialer(local, call.os_remote, cookie);
            }
            if socket.role == Role::Gone {
                self.retired.push_back((kernel.now(), cookie));
            }
            if socket.role == Role::Listening && was != Role::Listening {
                begun.push(cookie);
            }
            self.put(cookie, socket);
        }
        begun.into_iter().for_each(|cookie| self.begins_to_listen(cookie));
        self.unverified_sockets =
            (!unverified.is_empty()).then_some((kernel.now() + GRACE_PERIOD, unverified));
        if kernel_sockets.is_none() {
            cookies.into_iter().for_each(|cookie| self.closed(kernel, cookie));
        }
        // A port that was released just before stays marked as held by nobody.
        for index in self.hosts.all().map(|h| h.index).collect::<Vec<_>>() {
            self.clear_stale_marks(index);
            self.parts().ports.lower(index, 1);
        }
        self.recount(&self.hosts.all().map(|h| h.index).collect());
    }

    fn restore_processes(&mut self, kernel: &mut dyn Kernel, members: Vec<SavedMember>) {
        for m in members.into_iter().filter(|m| m.began != 0) {
            self.changes.processes.insert(m.pid);
            if kernel.began(m.pid) != m.began {
                // It has ended while no lonetd served.
                if m.is_lonets {
                    self.event_notes.ended_lonets.insert(m.pid);
                } else {
                    self.event_notes.ended_unserved.insert((m.pid, m.host));
                }
                if let Some(host) = self.hosts.get_mut(m.host) {
                    host.left = kernel.now();
                    self.changes.hosts.insert(m.host);
                }
                continue;
            }
            self.processes.entry(m.pid).or_insert_with(|| Process {
                program: kernel.program(m.pid),
                is_lonets: m.is_lonets,
                ..Process::default()
            });
            if let Some(host) = self.hosts.get_mut(m.host) {
                host.members.insert(m.pid);
                if let Some(process) = self.processes.get_mut(&m.pid) {
                    process.hosts.insert(m.host);
                    if m.has_implicit_host {
                        process.implicit_host = Some(m.host);
                    }
                }
            }
        }
        self.restore_supervised(kernel);
        // A lonetd that was killed while it assigned a slot has left it in none of the lists.
        self.parts().slots.rebuild_lists();
        let mut left = BTreeSet::new();
        for (slot, owner) in self.parts().slots.all().collect::<Vec<_>>() {
            let began = self.parts().slots.began(slot);
            let is_its = began != 0 && began == kernel.began(owner.pid);
            if is_its {
                // It acts in the table, so it is a member whether or not that was saved.
                self.add_member(kernel, owner.pid);
                if self.hosts.get(owner.host).is_some() {
                    self.join_host(kernel, owner.pid, owner.host);
                }
            }
            match self.processes.get_mut(&owner.pid).filter(|p| is_its && p.slot.is_none()) {
                Some(process) => process.slot = Some(slot),
                None => _ = left.insert(slot),
            }
        }
        self.leave_slots(kernel, &left);
    }

    /// Finds the programs that supervisors have reported to the previous lonetd: each is its supervisor's oldest child.
    fn restore_supervised(&mut self, kernel: &mut dyn Kernel) {
        let lonets = self.processes.iter().filter(|(_, process)| process.is_lonets);
        for pid in lonets.map(|(pid, _)| *pid).collect::<Vec<_>>() {
            let program = kernel.oldest_child(pid);
            let is_program = |pid: &Pid| self.processes.get(pid).is_some_and(|process| !process.is_lonets);
            let program = program.filter(is_program);
            if let Some(process) = self.processes.get_mut(&pid) {
                process.supervises = program;
            }
        }
    }

    /// The records that the previous lonetd has kept. Entered sockets stay in the table if they are alive.
    fn restore_sockets(&mut self, kernel: &mut dyn Kernel) -> BTreeMap<Cookie, Socket> {
        let mut kept: BTreeMap<Cookie, (Found, Socket)> = BTreeMap::new();
        for (reference, state) in self.parts().records.all().collect::<Vec<_>>() {
            let parts = self.parts();
            match state.phase {
                Phase::Free => {}
                Phase::Writing if parts.slots.owner(state.slot).is_some() => {}
                Phase::Writing => {
                    parts.records.change(reference, |s| (s == state).then_some(s.to(Phase::Free)));
                }
                Phase::Kept => {
                    let Some(found) = parts.records.read(reference, parts.block) else { continue };
                    let Some(mut socket) = Socket::of_record(&found, parts.records.pid(reference)) else {
                        continue;
                    };
                    socket.made_by = parts.records.program(reference).map(String::into_boxed_str);
                    // lonetd was killed between two writes of one socket's record: each was true at some
                    // time.
                    if let Some((older, _)) = kept.insert(found.cookie, (found, socket)) {
                        self.parts().free(older.reference);
                    }
                }
                Phase::Dialing | Phase::Owned | Phase::Server => {
                    self.examine_entered(kernel, reference);
                }
                Phase::Ended => {}
            }
        }
        self.restore_tombstones(kernel);
        kept.into_iter().map(|(cookie, (_, socket))| (cookie, socket)).collect()
    }
}

impl State {
    /// The time when [`State::end_grace_period`] is due.
    pub fn grace_period_until(&self) -> Option<Duration> {
        self.unverified_sockets.as_ref().map(|(until, _)| *until)
    }

    /// Ends the grace period: permissions whose calls have not been made lapse.
    pub fn end_grace_period(&mut self, kernel: &mut dyn Kernel) {
        if self.grace_period_until().is_some_and(|until| kernel.now() >= until)
            && let Some((_, all)) = self.unverified_sockets.take()
        {
            all.into_iter().for_each(|cookie| self.closed(kernel, cookie));
        }
    }

    /// Whether a socket may be dead without lonetd knowing.
    #[cfg(test)]
    pub fn is_unverified(&self, cookie: Cookie) -> bool {
        self.unverified_sockets.as_ref().is_some_and(|(_, all)| all.contains(&cookie))
    }
}

/// Updates a restored socket by what the kernel shows of it. `is_expected`: its program may still make the
/// call that it was allowed.
fn reconcile(socket: &mut Socket, seen: Option<&KernelSocket>, is_expected: bool) {
    let role = socket.role;
    if role == Role::Gone {
        return;
    }
    match seen {
        Some(KernelSocket { remote: None, idle, local, .. }) => {
            // It is bound, and its program may be about to listen or to connect.
            if *idle == UnconnectedState::Bound && is_expected && role != Role::Claimed {
                return;
            }
            socket.role = if *idle == UnconnectedState::Listening { Role::Listening } else { Role::Bound };
            if socket.os.is_none() {
                // An address without a port: a dial that has failed.
                socket.role = Role::Gone;
            } else {
                socket.os = Some(*local);
                socket.call = None;
            }
        }
        Some(KernelSocket { remote: Some(remote), local, held: true, .. }) => match socket.call.as_mut() {
            Some(call) => {
                call.os_local = Some(*local);
                call.os_remote = *remote;
                if role != Role::Accepted {
                    socket.role = Role::Connected;
                }
            }
            None => socket.role = Role::Gone,
        },
        // The kernel does not show a call that has not been made yet.
        None if is_expected => {}
        Some(KernelSocket { held: false, .. }) | None => socket.role = Role::Gone,
    }
}
