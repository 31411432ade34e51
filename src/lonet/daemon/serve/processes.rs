//! The processes of the network, and their ends.

use super::{Daemon, WATCH_AGAIN, event};
use crate::daemon::process::{self, has_ended, pidfd_open, program_of_unreaped, status};
use crate::daemon::state::Pid;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollTimeout};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::time::Instant;

/// How many ends are handled together: it takes a walk of all records to find the sockets that they leave.
const MAX_DEATHS: usize = 256;

/// The network's processes, each by a pidfd that was made while it was alive.
pub(super) struct Processes {
    pidfds: BTreeMap<Pid, OwnedFd>,
    /// Becomes readable when one of them ends.
    ends: Epoll,
    /// The sender of the current message, if it is not one of them.
    sender: Option<(Pid, OwnedFd)>,
    /// The members that could not be watched, as no descriptor was left, and the time of that as
    /// [`process::began`] has it.
    unwatched: BTreeMap<Pid, u64>,
    /// When it was last tried to watch them.
    tried: Instant,
}

impl Processes {
    pub fn new() -> Result<Processes, Errno> {
        let ends = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let (pidfds, unwatched) = (BTreeMap::new(), BTreeMap::new());
        Ok(Processes { pidfds, ends, sender: None, unwatched, tried: Instant::now() })
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
        self.unwatched.remove(&pid);
        self.pidfds.insert(pid, process);
    }

    fn remove(&mut self, pid: Pid) -> Option<OwnedFd> {
        self.unwatched.remove(&pid);
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

    /// When it is tried again to watch members that could not be watched.
    pub fn watch_again_at(&self) -> Option<Instant> {
        (!self.unwatched.is_empty()).then_some(self.tried + WATCH_AGAIN)
    }

    /// A pidfd of a member. ESRCH: it has ended, which the kernel also says where no descriptor is left.
    fn open(&mut self, pid: Pid) -> Result<OwnedFd, Errno> {
        if let Some(process) = self.take_sender(pid) {
            return Ok(process);
        }
        let process = pidfd_open(pid)?;
        match self.unwatched.get(&pid) {
            Some(since) if !has_ended(&process) => match process::began(pid) {
                Some(began) if began <= *since => Ok(process),
                // Another process has the member's pid.
                Some(_) => Err(Errno::ESRCH),
                // /proc takes one more descriptor.
                None => Err(Errno::EMFILE),
            },
            _ => Ok(process),
        }
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
        match self.processes.open(pid) {
            // A zombie: a process without sockets.
            Ok(process) if has_ended(&process) => {
                self.look_at_ended(pid, &process);
                return false;
            }
            Ok(process) => self.processes.add(pid, process),
            // It may have become a member for the sake of a child, which it left meanwhile.
            Err(Errno::ESRCH) => return false,
            Err(e) => {
                self.processes.unwatched.entry(pid).or_insert_with(|| {
                    tracing::warn!("cannot watch pid {pid} yet: {e}");
                    process::now()
                });
            }
        }
        true
    }

    /// Tries again to watch the members for which there was no descriptor: others may have ended since, and they too.
    pub(super) fn watch_again(&mut self) {
        self.processes.tried = Instant::now();
        // Those that have left the network are no members any more.
        self.processes.unwatched.retain(|pid, _| self.state.processes.contains_key(pid));
        let unwatched: Vec<Pid> = self.processes.unwatched.keys().copied().collect();
        let gone: Vec<Pid> = unwatched.into_iter().filter(|pid| !self.watch(*pid)).collect();
        if !gone.is_empty() {
            self.processes_ended(&gone);
            self.commit();
        }
    }
}
