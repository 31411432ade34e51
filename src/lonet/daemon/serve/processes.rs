//! The processes of the network, and their ends.

use super::{Daemon, event};
use crate::daemon::process::{has_ended, pidfd_open, program_of_unreaped, status};
use crate::daemon::state::Pid;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollTimeout};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;

/// How many ends are handled together: it takes a walk of all records to find the sockets that they leave.
const MAX_DEATHS: usize = 256;

/// The network's processes, each by a pidfd that was made while it was alive.
pub(super) struct Processes {
    pidfds: BTreeMap<Pid, OwnedFd>,
    /// Becomes readable when one of them ends.
    ends: Epoll,
    /// The sender of the current message, if it is not one of them.
    sender: Option<(Pid, OwnedFd)>,
}

impl Processes {
    pub fn new() -> Result<Processes, Errno> {
        let ends = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Processes { pidfds: BTreeMap::new(), ends, sender: None })
    }

    /// Readable when a process has ended.
    pub fn events(&self) -> &OwnedFd {
        &self.ends.0
    }

    pub fn get(&self, pid: Pid) -> Option<&OwnedFd> {
        self.pidfds.get(&pid)
    }

    pub fn contains(&self, pid: Pid) -> bool {
        self.pidfds.contains_key(&pid)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Pid, &OwnedFd)> {
        self.pidfds.iter().map(|(pid, process)| (*pid, process))
    }

    /// Adds a process, which is watched for its end.
    pub fn add(&mut self, pid: Pid, process: OwnedFd) {
        if let Err(e) = self.ends.add(&process, event(pid as u64)) {
            tracing::warn!("the end of pid {pid} will not be noticed: {e}");
        }
        self.pidfds.insert(pid, process);
    }

    fn remove(&mut self, pid: Pid) -> Option<OwnedFd> {
        self.pidfds.remove(&pid)
    }

    /// Some of the processes that have ended; none: there are no more.
    fn next_ended(&self) -> Vec<Pid> {
        let mut events = [EpollEvent::empty(); MAX_DEATHS];
        let n = self.ends.wait(&mut events, EpollTimeout::ZERO).unwrap_or(0);
        events[..n].iter().map(|event| event.data() as Pid).collect()
    }

    /// Sets the sender of the current message; `None`: it is one of the network's processes, or has ended.
    pub fn set_sender(&mut self, sender: Option<(Pid, OwnedFd)>) {
        self.sender = sender;
    }

    /// Takes the pidfd of the current message's sender, if its pid is `pid`.
    fn take_sender(&mut self, pid: Pid) -> Option<OwnedFd> {
        self.sender.take_if(|(sender, _)| *sender == pid).map(|(_, process)| process)
    }
}

impl Daemon {
    /// Handles the ends of processes that the kernel has reported. The caller calls [`Daemon::commit`].
    pub(super) fn handle_process_ends(&mut self) {
        loop {
            let ended = self.processes.next_ended();
            if ended.is_empty() {
                return;
            }
            // The kernel has announced most of the sockets destroyed with them: it is asked about the others.
            self.handle_socket_ends();
            self.kernel.many(true);
            self.processes_ended(&ended);
            self.kernel.many(false);
        }
    }

    /// Handles the ends of these processes. The caller calls [`Daemon::commit`].
    fn processes_ended(&mut self, pids: &[Pid]) {
        let mut hosts = BTreeSet::new();
        for pid in pids {
            let process = self.processes.remove(*pid);
            if let Some(process) = process {
                self.look_at_ended(*pid, &process);
            }
            hosts.extend(self.state.processes.get(pid).iter().flat_map(|p| &p.hosts));
        }
        self.state.processes_ended(&mut self.kernel, pids);
        // They may have left children, which keep the hosts up and hold sockets: when these close a socket
        // nothing says which process did.
        self.state.mark_unverified(&hosts);
        self.inheritance.process_ended();
    }

    /// Reads what events say of a process that has ended. `process`: its pidfd.
    fn look_at_ended(&mut self, pid: Pid, process: &OwnedFd) {
        if self.is_recording() {
            self.read_events();
            self.state.ended_as(pid, status(pid, process), program_of_unreaped(pid, process));
        }
    }

    /// Handles a message of a process that may have executed another program since it was heard of.
    pub(super) fn may_execute_another(&mut self, pid: Pid) {
        if self.state.processes.contains_key(&pid) {
            // The events so far have the name of the program before.
            self.read_events();
            self.state.may_execute_another(&mut self.kernel, pid);
        }
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
        if !self.state.processes.contains_key(&pid) || self.processes.contains(pid) {
            return true;
        }
        match self.processes.take_sender(pid).map_or_else(|| pidfd_open(pid), Ok) {
            // A zombie: a process without sockets.
            Ok(process) if has_ended(&process) => {
                self.look_at_ended(pid, &process);
                return false;
            }
            Ok(process) => self.processes.add(pid, process),
            // It may have become a member for the sake of a child, which it left meanwhile.
            Err(Errno::ESRCH) => return false,
            Err(e) => tracing::warn!("cannot watch pid {pid}: {e}"),
        }
        true
    }
}
