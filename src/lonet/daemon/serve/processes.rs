//! The processes that the network has, and their ends.

use super::Daemon;
use crate::daemon::process::{has_ended, pidfd_open};
use crate::daemon::state::Pid;
use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollTimeout};

impl Daemon {
    /// Ends of processes that the kernel has told of. To be settled.
    pub(super) fn take_deaths(&mut self) {
        let mut events = [EpollEvent::empty(); 64];
        while let Ok(n @ 1..) = self.deaths.wait(&mut events, EpollTimeout::ZERO) {
            // Of most sockets that went with them the kernel has told: the others are asked for.
            self.take_ends();
            self.kernel.many(true);
            for event in &events[..n] {
                self.process_ended(event.data() as Pid);
            }
            self.kernel.many(false);
        }
    }

    /// To be settled.
    pub(super) fn process_ended(&mut self, pid: Pid) {
        self.processes.remove(&pid);
        let hosts = self.state.processes.get(&pid).map(|p| p.hosts.clone()).unwrap_or_default();
        self.state.process_ended(&mut self.kernel, pid);
        // Others may be left of it, which keep the host up, and sockets by children that hold them: when these close them
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
            // Its end may be one of a host's last members, and bring in others, which may have ended as well.
            gone.into_iter().for_each(|pid| self.process_ended(pid));
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
