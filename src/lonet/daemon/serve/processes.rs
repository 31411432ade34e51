//! The processes of the network, and their ends.

use super::Daemon;
use crate::daemon::process::{has_ended, pidfd_open, status};
use crate::daemon::state::Pid;
use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollTimeout};
use std::collections::BTreeSet;

/// How many ends are handled together: it takes a walk of all records to find the sockets that they leave.
const MAX_DEATHS: usize = 256;

impl Daemon {
    /// Handles the ends of processes that the kernel has reported. The caller calls [`Daemon::commit`].
    pub(super) fn handle_process_ends(&mut self) {
        let mut events = [EpollEvent::empty(); MAX_DEATHS];
        while let Ok(n @ 1..) = self.deaths.wait(&mut events, EpollTimeout::ZERO) {
            // The kernel has announced most of the sockets destroyed with them: it is asked about the others.
            self.handle_socket_ends();
            self.kernel.many(true);
            let ended: Vec<Pid> = events[..n].iter().map(|event| event.data() as Pid).collect();
            self.processes_ended(&ended);
            self.kernel.many(false);
        }
    }

    /// Handles the ends of these processes. The caller calls [`Daemon::commit`].
    fn processes_ended(&mut self, pids: &[Pid]) {
        let mut hosts = BTreeSet::new();
        for pid in pids {
            let process = self.processes.remove(pid);
            if let Some(process) = process.filter(|_| self.is_recording()) {
                self.state.ended_as(*pid, status(*pid, &process));
            }
            hosts.extend(self.state.processes.get(pid).iter().flat_map(|p| &p.hosts));
        }
        self.state.processes_ended(&mut self.kernel, pids);
        // They may have left children, which keep the hosts up and hold sockets: when these close a socket
        // nothing says which process did.
        self.state.mark_unverified(&hosts);
        self.inheritance.process_ended();
    }

    /// Commits the state's changes: saves its dirty set and watches its new members. Called before any reply is sent.
    pub(super) fn commit(&mut self) {
        loop {
            let changes = self.state.take_changes();
            self.state.save(&mut self.kernel, &changes);
            let gone: Vec<Pid> = changes.processes.into_iter().filter(|pid| !self.watch(*pid)).collect();
            if gone.is_empty() {
                return;
            }
            // They may have been a host's last members, and their children become members, which may have
            // ended as well.
            self.processes_ended(&gone);
        }
    }

    /// Watches a member for its end. `false`: it has ended already.
    fn watch(&mut self, pid: Pid) -> bool {
        if !self.state.processes.contains_key(&pid) || self.processes.contains_key(&pid) {
            return true;
        }
        match self.process_met(pid).map_or_else(|| pidfd_open(pid), Ok) {
            // A zombie: a process without sockets.
            Ok(process) if has_ended(&process) => return false,
            Ok(process) => self.watch_process(pid, process),
            // It may have become a member for the sake of a child, which it left meanwhile.
            Err(Errno::ESRCH) => return false,
            Err(e) => tracing::warn!("cannot watch pid {pid}: {e}"),
        }
        true
    }
}
