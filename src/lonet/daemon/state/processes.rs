//! The processes of a network: the programs, and lonet's own beside them.
//!
//! A supervised program comes with two processes of lonet's own, the supervisor and the one that the user has started: they keep
//! its host up and act for it. Events and lists are about the program alone, which its supervisor reports.

use super::{Cookie, Index, Kernel, Outcome, Pid, Sender, State};
use lonet_core::control::{Reply, Requester};
use std::collections::BTreeSet;

#[derive(Clone, Debug, Default)]
pub struct Process {
    pub program: String,
    /// It is a process of lonet's own, which makes no events. One that executes a program becomes that.
    pub is_lonets: bool,
    /// The program that it supervises.
    pub supervises: Option<Pid>,
    /// The process that it stands for, by whose pid lists name it; 0: itself.
    pub stands_for: Pid,
    /// The hosts that it keeps up.
    pub hosts: BTreeSet<Index>,
    /// The host named after its program.
    pub implicit_host: Option<Index>,
    pub sockets: BTreeSet<Cookie>,
    /// Its slot in the table, if it acts on the table by itself.
    pub slot: Option<u16>,
}

impl Process {
    /// Whether it keeps no host up, has no socket that the state decides about, and has no slot.
    pub(super) fn is_unused(&self) -> bool {
        self.hosts.is_empty() && self.sockets.is_empty() && self.slot.is_none()
    }

    /// Names it after the program that it executes. An empty name: it has ended, and keeps its name.
    pub fn set_program(&mut self, program: String) {
        if !program.is_empty() {
            self.program = program;
        }
    }
}

impl State {
    /// Makes the process a member, if it is none yet.
    pub fn add_member(&mut self, kernel: &mut dyn Kernel, pid: Pid) -> &mut Process {
        let changes = &mut self.changes;
        self.processes.entry(pid).or_insert_with(|| {
            changes.processes.insert(pid);
            let (program, is_lonets) = (kernel.program(pid), kernel.is_lonets(pid));
            Process { program, is_lonets, ..Process::default() }
        })
    }

    /// Handles Join. `supervises`: the process becomes no program itself.
    pub(super) fn join(
        &mut self,
        kernel: &mut dyn Kernel,
        sender: Sender,
        requester: &Requester<'_>,
        supervises: bool,
    ) -> Outcome {
        self.add_member(kernel, sender.pid);
        if supervises {
            self.becomes_lonets(sender.pid);
        } else {
            self.executes(kernel, sender.pid);
        }
        if !requester.host.is_empty() {
            self.default_host(kernel, sender.pid, requester)?;
        }
        Ok(Reply::Done)
    }

    /// Handles Supervise: the sender's program is a member on the hosts of its supervisor. It may have ended.
    pub(super) fn supervise(
        &mut self,
        kernel: &mut dyn Kernel,
        sender: Sender,
        requester: &Requester<'_>,
    ) -> Outcome {
        // It may execute another file than this lonetd: that of a second installation.
        self.add_member(kernel, sender.pid).is_lonets = true;
        if !requester.host.is_empty() {
            self.default_host(kernel, sender.pid, requester)?;
        }
        let Some(program) = kernel.oldest_child(sender.pid) else { return Ok(Reply::Done) };
        let supervisor = self.add_member(kernel, sender.pid);
        supervisor.supervises = Some(program);
        let hosts = supervisor.hosts.clone();
        self.add_member(kernel, program);
        // A search may have found it before it executed its program.
        self.executes(kernel, program);
        for host in hosts {
            self.join_host(kernel, program, host);
        }
        Ok(Reply::Done)
    }

    /// Takes note that a process may have executed another program since it was heard of.
    pub fn may_execute_another(&mut self, kernel: &mut dyn Kernel, pid: Pid) {
        let is_program = self.processes.get(&pid).is_some_and(|process| process.supervises.is_none());
        if is_program && !kernel.is_lonets(pid) {
            self.executes(kernel, pid);
        }
    }

    /// Takes note that a process is the program that it executes.
    fn executes(&mut self, kernel: &mut dyn Kernel, pid: Pid) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        process.set_program(kernel.program(pid));
        if std::mem::take(&mut process.is_lonets) {
            let hosts = process.hosts.clone();
            self.changes.processes.insert(pid);
            hosts.into_iter().for_each(|host| self.note_up(host, pid));
        }
    }

    /// Takes note that a process executes lonet itself, which supervises a program: the one that it executed before has ended.
    fn becomes_lonets(&mut self, pid: Pid) {
        let Some(process) = self.processes.get_mut(&pid) else { return };
        if !process.is_lonets {
            let before = process.clone();
            process.is_lonets = true;
            self.changes.processes.insert(pid);
            self.note_end(pid, &before);
        }
    }

    pub(super) fn join_host(&mut self, kernel: &mut dyn Kernel, pid: Pid, index: Index) {
        let process = self.add_member(kernel, pid);
        if !process.hosts.insert(index) {
            return;
        }
        let supervised = process.supervises;
        self.note_up(index, pid);
        if let Some(host) = self.hosts.get_mut(index) {
            host.members.insert(pid);
            host.foreign = None;
        }
        self.changes.processes.insert(pid);
        if let Some(program) = supervised.filter(|program| self.processes.contains_key(program)) {
            self.join_host(kernel, program, index);
        }
    }
}
