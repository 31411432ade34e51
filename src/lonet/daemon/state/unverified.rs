//! Unverified hosts: those whose last known process has ended.
//!
//! The process may have left children that never sent a message, and the search for them takes a while. Until
//! it is done the host counts as up, and messages that depend on it wait.

use super::{Host, Index, Pid, Place, State};
use lonet_core::control::{Op, Requester};
use std::collections::BTreeSet;

impl State {
    /// Marks those of these hosts that have no process any more as unverified.
    pub fn mark_unverified(&mut self, hosts: &BTreeSet<Index>) {
        for index in hosts {
            if let Some(host) = self.hosts.get_mut(*index).filter(|host| host.members.is_empty()) {
                host.is_unverified = true;
                self.unverified.insert(*index);
            }
        }
    }

    pub fn unverified(&self) -> &BTreeSet<Index> {
        &self.unverified
    }

    /// Ends the verification of these hosts: the processes that were found are members by now.
    pub fn verified(&mut self, hosts: &BTreeSet<Index>) {
        for index in hosts {
            self.unverified.remove(index);
            if let Some(host) = self.hosts.get_mut(*index) {
                host.is_unverified = false;
                self.changes.names |= !host.is_up();
            }
        }
    }

    /// Whether the reply to a message depends on whether an unverified host is up.
    pub fn depends_on_unverified(&self, pid: Pid, requester: &Requester<'_>, op: &Op<'_>) -> bool {
        if self.unverified.is_empty() {
            return false;
        }
        let is_one = |host: &Host| host.is_unverified;
        let named = |name: &str| self.hosts.find(name.as_bytes()).is_some_and(is_one);
        // A process that sends its first message brings its host up, or takes a free name for an implicit
        // one.
        let is_new = || {
            let known = self.processes.get(&pid);
            known.is_none_or(|process| process.hosts.is_empty())
                && (requester.host.is_empty() || named(requester.host))
        };
        match *op {
            Op::Dial { to, .. } => {
                let to = match self.place(to) {
                    Place::Host(index, _) => self.unverified.contains(&index),
                    Place::Any(_) | Place::Loopback(_) | Place::Unassigned | Place::NotLonet => false,
                };
                to || is_new()
            }
            Op::DialHost { host, .. } => named(host) || is_new(),
            Op::Resolve { name, .. } => self.hosts.find(name).is_some_and(is_one),
            Op::Join { .. } | Op::Supervise | Op::Enter { .. } | Op::Bind { .. } | Op::Listen { .. } => {
                is_new()
            }
            Op::Announce { .. } | Op::Leave => true,
            Op::Bound { .. }
            | Op::Listening { .. }
            | Op::Failed { .. }
            | Op::Dialed { .. }
            | Op::Disconnected { .. }
            | Op::Accept { .. }
            | Op::Name { .. }
            | Op::Set { .. }
            | Op::Closed { .. }
            | Op::Review
            | Op::Look
            | Op::Reverse { .. }
            | Op::Locate { .. }
            | Op::Whois { .. } => false,
        }
    }
}
