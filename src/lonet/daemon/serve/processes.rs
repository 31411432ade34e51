//! The processes that the network has, and their ends.

use super::Daemon;
use crate::daemon::process::{has_ended, pidfd_open, status};
use crate::daemon::state::Pid;
use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollTimeout};
use std::collections::BTreeSet;

/// So many ends are seen to together: it takes a walk of all records to find what they have left.
const DEATHS_AT_ONCE: usize = 256;

impl Daemon {
    /// Ends of processes that the kernel has told of. To be settled.
    pub(super) fn take_deaths(&mut self) {
        let mut events = [EpollEvent::empty(); DEATHS_AT_ONCE];
        while let Ok(n @ 1..) = self.deaths.wait(&mut events, EpollTimeout::ZERO) {
            // Of most sockets that went with them the kernel has told: the others are asked for.
            self.take_ends();
            self.kernel.many(true);
            let ended: Vec<Pid> = events[..n].iter().map(|event| event.data() as Pid).collect();
            self.processes_ended(&ended);
            self.kernel.many(false);
        }
    }

    /// To be settled.
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
        // Others may be left of them, which keep the hosts up, and sockets by children that hold them: when these close them
        // nothing says who it was.
        self.state.doubt_hosts(&hosts);
        self.inheritance.process_ended();
    }

    /// Saves what has changed, and watches the processes that the state has met. Before any answer goes out.
    pub(super) fn settle(&mut self) {
        loop {
            let changes = self.state.take_changes();
            self.state.save(&mut self.kernel, &changes);
            let gone: Vec<Pid> = changes.processes.into_iter().filter(|pid| !self.watch(*pid)).collect();
            if gone.is_empty() {
                return;
            }
            // Their ends may be those of a host's last members, and bring in others, which may have ended as well.
            self.processes_ended(&gone);
        }
    }

    /// Sees to it that the end of a member is noticed. `false`: it has ended already.
    fn watch(&mut self, pid: Pid) -> bool {
        if !self.state.processes.contains_key(&pid) || self.processes.contains_key(&pid) {
            return true;
        }
        match self.process_met(pid).map_or_else(|| pidfd_open(pid), Ok) {
            // Killed, and nobody has waited for it: a process without sockets.
            Ok(process) if has_ended(&process) => return false,
            Ok(process) => self.watch_process(pid, process),
            // It may have been adopted for a child of its own, which it left meanwhile.
            Err(Errno::ESRCH) => return false,
            Err(e) => tracing::warn!("cannot watch pid {pid}: {e}"),
        }
        true
    }
}
