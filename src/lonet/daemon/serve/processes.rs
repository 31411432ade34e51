//! The processes that the network has: watching them, and taking in those that inherited it.

use super::messages::has_hung_up;
use super::{Daemon, event};
use crate::daemon::members;
use crate::daemon::state::Pid;
use nix::errno::Errno;
use std::os::fd::{FromRawFd, OwnedFd};

impl Daemon {
    /// To be settled.
    pub(super) fn process_ended(&mut self, pid: Pid) {
        self.processes.remove(&pid);
        let hosts = self.state.processes.get(&pid).map(|p| p.hosts.clone()).unwrap_or_default();
        self.state.process_ended(&mut self.kernel, pid);
        // Sockets may keep the host up still, by a child that holds them. When it closes them nothing says who it was.
        if hosts.iter().any(|index| self.state.hosts.get(*index).is_some_and(|h| h.members.is_empty())) {
            self.adopt(None);
        }
    }

    /// Takes in processes that inherited membership, but for `except` and those that wait for the network's end. To be
    /// settled.
    pub(super) fn adopt(&mut self, except: Option<Pid>) {
        for stray in members::strays(&self.config, self.membership) {
            let waits = self.ending.as_ref().is_some_and(|e| e.is_asked_by(stray.pid));
            if !waits && Some(stray.pid) != except && !self.state.processes.contains_key(&stray.pid) {
                self.state.adopt(&mut self.kernel, stray.pid, stray.host.as_deref());
            }
        }
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
        match pidfd_open(pid) {
            // Killed, and nobody has waited for it: a process without sockets.
            Ok(fd) if has_hung_up(&fd) => return false,
            Ok(fd) => {
                let _ = self.deaths.add(&fd, event(pid as u64));
                self.processes.insert(pid, fd);
            }
            // It may have been adopted for a child of its own, which it left meanwhile.
            Err(Errno::ESRCH) => return false,
            Err(e) => tracing::warn!("cannot watch pid {pid}: {e}"),
        }
        true
    }
}

fn pidfd_open(pid: Pid) -> Result<OwnedFd, Errno> {
    // SAFETY: no pointers.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: a new descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
