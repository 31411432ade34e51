//! Writes the state's sockets, hosts and processes to the table, for programs and the next lonetd.

use super::{Changes, Cookie, Index, Kernel, Pid, Role, Scopes, Socket, State};
use lonet_core::table::entry::{Destination, Entry};
use lonet_core::table::listeners::Listener;
use lonet_core::table::record::Found;
use lonet_core::table::saved::SavedHost;
use lonet_core::table::state::{NO_SLOT, Phase, TAKEN};

impl Socket {
    /// The entry of its record.
    fn entry(&self) -> Entry {
        Entry {
            host: self.host,
            port: self.port,
            asked: self.asked,
            at: self.at,
            os: self.os,
            call: self.call,
            accept_port: self.accept_port,
            role: self.role as u8,
            since: self.since,
        }
    }

    /// The socket of a record, which a previous lonetd has kept or a process has entered. `None`: the record
    /// makes no sense.
    pub(super) fn of_record(found: &Found, pid: Pid) -> Option<Socket> {
        let role = match found.state.phase {
            Phase::Kept => *Role::ALL.get(usize::from(found.entry.role))?,
            Phase::Dialing => Role::Dialing,
            Phase::Owned => Role::Connected,
            Phase::Server => Role::Accepted,
            Phase::Ended => Role::Gone,
            Phase::Free | Phase::Writing => return None,
        };
        let Entry { host, port, asked, at, os, call, accept_port, role: _, since } = found.entry;
        let taken = found.state.is(TAKEN);
        let (made_by, destroyed) = (None, false);
        Some(Socket {
            host,
            port,
            role,
            pid,
            asked,
            at,
            os,
            call,
            taken,
            accept_port,
            made_by,
            destroyed,
            since,
        })
    }
}

impl State {
    /// Writes the dirty set to the table, for programs and the next lonetd.
    pub fn save(&self, kernel: &mut dyn Kernel, changes: &Changes) {
        let table = self.table.table();
        if changes.names {
            table.bump_names_generation();
        }
        for index in &changes.hosts {
            let Some(host) = self.hosts.get(*index) else { continue };
            let (name, fresh_accept_ports, left) = (host.name.clone(), host.fresh_accept_ports, host.left);
            if !table.save_host(&SavedHost { index: *index, name, fresh_accept_ports, left }) {
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

    /// Writes the record of a socket, or frees it if the socket has gone.
    fn save_socket(&self, cookie: Cookie) {
        let parts = self.parts();
        match self.sockets.get(&cookie) {
            Some(socket) => {
                let slot = self.processes.get(&socket.pid).and_then(|p| p.slot).unwrap_or(NO_SLOT);
                let is_same = |f: &Found| {
                    let state =
                        (f.state.phase, f.state.slot, f.state.is(TAKEN), parts.records.pid(f.reference));
                    state == (Phase::Kept, slot, socket.taken, socket.pid)
                        && f.entry == socket.entry()
                        && parts.records.program(f.reference).as_deref() == socket.made_by.as_deref()
                };
                if parts.find(cookie).as_ref().is_some_and(is_same) {
                    return;
                }
                let flags = if socket.taken { TAKEN } else { 0 };
                match parts.keep(self.records.from(0), cookie, (slot, socket.pid), &socket.entry(), flags) {
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

    /// Publishes the listeners of a port for dials. Hosts whose accepted connections take fresh ports are
    /// dialed through lonetd.
    fn show_listeners(&self, host: Index, port: u16) {
        let parts = self.parts();
        let is_fresh = self.hosts.get(host).is_some_and(|h| h.fresh_accept_ports);
        for (scope, found) in Scopes::EACH.into_iter().zip(self.listeners((host, port))) {
            let listener = found
                .filter(|_| !is_fresh)
                .and_then(|(cookie, os)| Some(Listener { os, record: parts.reference(cookie)? }));
            parts.listeners.set(Destination { host, port, scope }, listener);
        }
    }
}
