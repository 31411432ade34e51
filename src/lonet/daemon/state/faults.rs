//! Fault rules, and the sockets that they apply to.

use super::{Cookie, Index, Pid, Role, Sender, State};
use lonet_core::control::Requester;
use lonet_core::table::rules::{Kind, NameFault, Rule};
use lonet_core::table::state::{Phase, Reference};

/// A socket that is connected to another host, or on its way there.
#[derive(Clone, Copy, Debug)]
pub struct End {
    pub cookie: Cookie,
    /// The hosts at this end and at the other end.
    pub hosts: (Index, Index),
    /// The process that made it; 0: it has ended.
    pub pid: Pid,
    /// connect has not returned: the kernel need not have it in any table.
    pub is_dial: bool,
    /// The descriptor that the process has reported for it. A hint.
    pub descriptor: Option<i32>,
}

impl State {
    pub fn rules(&self) -> Vec<Rule> {
        self.table.table().rules()
    }

    /// Replaces the rules. `false`: there is no room for that many, and nothing has changed.
    /// `id`: that of the request, or 0.
    pub fn set_rules(&mut self, id: u64, rules: &[Rule]) -> bool {
        let before = if self.is_recorded() { self.rules() } else { Vec::new() };
        let is_set = self.table.table().set_rules_for(id, rules);
        if is_set {
            self.note_rules(&before, rules);
        }
        is_set
    }

    /// Counts a dial for the rules that take effect after a number of dials.
    pub(super) fn count_dial(&mut self, from: Index, to: Index) {
        let table = self.table.table();
        if !table.asks_about(from, to) {
            return;
        }
        let before = table.rules();
        let mut rules = before.clone();
        rules.iter_mut().filter(|r| r.counts(from, to)).for_each(|r| r.at -= 1);
        if rules == before || !table.set_rules(&rules) {
            return;
        }
        if before.iter().zip(&rules).any(|(was, is)| was.at != 0 && is.at == 0) {
            self.rules_before.get_or_insert(before);
        }
    }

    /// Counts a name query for the rules that take effect after a number of them. Returns the fault that
    /// applies to this one.
    pub fn name_fault(
        &mut self,
        sender: Sender,
        requester: &Requester<'_>,
        name: &[u8],
    ) -> Option<NameFault> {
        let table = self.table.table();
        if !table.has_name_faults() {
            return None;
        }
        let asks = self.hosts.find(requester.host.as_bytes()).map(|host| host.index);
        let asks = asks.or_else(|| self.processes.get(&sender.pid)?.implicit_host)?;
        let wanted = self.hosts.find(name).map(|host| host.index);
        let is_about = |r: &Rule| {
            let is_wanted = r.to == 0 && wanted != Some(asks) || Some(r.to) == wanted;
            r.kind == Kind::Names && r.from == asks && is_wanted
        };
        let mut rules = table.rules();
        if rules.iter().any(|r| is_about(r) && r.at != 0) {
            rules.iter_mut().filter(|r| is_about(r)).for_each(|r| r.at = r.at.saturating_sub(1));
            table.set_rules(&rules);
        }
        let rule = rules.iter().find(|r| is_about(r) && r.at == 0)?;
        table.add_hits(rule, 1);
        NameFault::of(rule)
    }

    /// The rules from before some took effect; returned once.
    pub fn rules_before(&mut self) -> Option<Vec<Rule>> {
        self.rules_before.take()
    }

    /// All connections of the network's hosts, each once for every end that has a record.
    pub fn ends(&self) -> Vec<End> {
        self.parts().records.all().filter_map(|(reference, _)| self.end_of(reference)).collect()
    }

    /// The socket, if it is connected to another host, or on its way there.
    pub fn end(&self, cookie: Cookie) -> Option<End> {
        self.end_of(self.parts().find(cookie)?.reference)
    }

    fn end_of(&self, reference: Reference) -> Option<End> {
        let parts = self.parts();
        let found = parts.records.read(reference, parts.block)?;
        let peer_host = found.entry.call?.peer_host;
        let role = Role::ALL.get(usize::from(found.entry.role)).copied();
        let is_kept = found.state.phase == Phase::Kept;
        let is_over = found.state.phase == Phase::Ended
            || is_kept && !matches!(role, Some(Role::Dialing | Role::Connected | Role::Accepted));
        let is_dial = found.state.phase == Phase::Dialing || is_kept && role == Some(Role::Dialing);
        let pid = if is_kept { parts.records.pid(reference) } else { self.pid_of(found.state.slot) };
        let descriptor = parts.records.descriptor(reference);
        let hosts = (found.entry.host, peer_host);
        (!is_over).then_some(End { cookie: found.cookie, hosts, pid, is_dial, descriptor })
    }
}
