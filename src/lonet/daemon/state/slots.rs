//! The slots in which processes act on the table by themselves, and the records left by processes that have
//! ended.

use super::{Kernel, Outcome, Pid, Sender, State};
use lonet_core::control::{Reply, Requester};
use lonet_core::table::slot;
use lonet_core::table::state::{self, NO_SLOT, Phase, Reference, SUSPECT};
use std::collections::BTreeSet;

impl State {
    pub(super) fn pid_of(&self, slot: u16) -> Pid {
        self.parts().slots.owner(slot).map_or(0, |o| o.pid)
    }

    /// Assigns a process the slot in which it acts on the table by itself.
    pub(super) fn enter(
        &mut self,
        kernel: &mut dyn Kernel,
        sender: Sender,
        requester: &Requester<'_>,
        (dials, seat): (bool, u16),
    ) -> Outcome {
        let default_host = match (requester.host.is_empty(), dials) {
            (false, _) => self.default_host(kernel, sender.pid, requester)?,
            (true, true) => self.default_or_implicit_host(kernel, sender.pid, requester)?,
            (true, false) => self.add_member(kernel, sender.pid).implicit_host.unwrap_or(0),
        };
        // A process that has given up the owner's uid asks for everything: it must not be able to redirect
        // the owner's dials.
        if !self.is_owners(sender.uid) {
            return Ok(Reply::Entered { slot: NO_SLOT, host: default_host });
        }
        let old = self.add_member(kernel, sender.pid).slot;
        let owner = old.and_then(|slot| self.parts().slots.owner(slot));
        let slot = match (old, owner) {
            (Some(slot), Some(owner))
                if !self.parts().slots.owner_died(slot)
                    && (owner.host == default_host || default_host == 0) =>
            {
                Some(slot)
            }
            // Its other threads may be working in this slot.
            (Some(slot), Some(owner)) if slot == seat && owner.host == default_host => {
                self.sweep(kernel, &BTreeSet::from([slot]), false);
                self.parts().slots.reset_mutex(slot);
                Some(slot)
            }
            _ => {
                if let Some(slot) = old {
                    // The program before exec has left it, or the process is another host now.
                    self.leave_slots(kernel, &BTreeSet::from([slot]));
                }
                let began = kernel.began(sender.pid);
                self.parts().slots.reserve(sender.pid, default_host, began)
            }
        };
        self.add_member(kernel, sender.pid).slot = slot;
        let host = slot.and_then(|s| self.parts().slots.owner(s)).map_or(default_host, |o| o.host);
        Ok(Reply::Entered { slot: slot.unwrap_or(NO_SLOT), host })
    }

    /// Frees slots whose processes have ended or left them: their records belong to no slot from now on.
    pub(super) fn leave_slots(&mut self, kernel: &mut dyn Kernel, slots: &BTreeSet<u16>) {
        self.sweep(kernel, slots, true);
        slots.iter().for_each(|slot| self.parts().slots.free(*slot));
    }

    /// Examines all records of these slots. `is_over`: the processes will do nothing more in these slots.
    pub(super) fn sweep(&mut self, kernel: &mut dyn Kernel, slots: &BTreeSet<u16>, is_over: bool) {
        if slots.is_empty() {
            return;
        }
        let all: Vec<(Reference, state::State)> =
            self.parts().records.all().filter(|(_, state)| slots.contains(&state.slot)).collect();
        for (reference, state::State { slot, phase, .. }) in all {
            match phase {
                Phase::Writing if is_over => {
                    self.parts()
                        .records
                        .change(reference, |s| (s.phase == Phase::Writing).then_some(s.to(Phase::Free)));
                }
                Phase::Dialing if is_over => {
                    // connect may have been called; then the kernel has the connection.
                    self.parts()
                        .records
                        .change(reference, |s| (s.phase == Phase::Dialing).then_some(s.to(Phase::Owned)));
                    self.examine_entered(kernel, reference);
                }
                Phase::Owned | Phase::Server => _ = self.examine_entered(kernel, reference),
                Phase::Free | Phase::Writing | Phase::Dialing | Phase::Kept | Phase::Ended => {}
            }
            let parts = self.parts();
            let changed = parts.records.change(reference, |s| {
                let s = if s.phase == Phase::Kept { s } else { s.with(SUSPECT) };
                Some(if is_over { state::State { slot: NO_SLOT, ..s } } else { s })
            });
            if changed.is_some()
                && let Some(found) = parts.records.read(reference, parts.block)
            {
                parts.ports.suspect(found.entry.host, found.entry.port, reference);
                if let Some(maker) = self.processes.get(&self.pid_of(slot)).filter(|_| is_over) {
                    parts.records.set_program(reference, &maker.program);
                }
            }
        }
        for slot in slots {
            // A record that was never written does not say its port.
            let host = self.parts().slots.owner(*slot).map_or(0, |o| o.host);
            self.parts().ports.lower(host, 1);
            if !is_over {
                self.parts().slots.set_phase(*slot, slot::Phase::Unverified);
            }
        }
    }

    /// Examines all entered sockets of a process that has closed descriptors in bulk.
    pub(super) fn review_slot(&mut self, kernel: &mut dyn Kernel, pid: Pid) {
        let Some(slot) = self.processes.get(&pid).and_then(|p| p.slot) else { return };
        let all: Vec<Reference> = (self.parts().records.all())
            .filter(|(_, s)| s.slot == slot && matches!(s.phase, Phase::Owned | Phase::Server))
            .map(|(reference, _)| reference)
            .collect();
        for reference in all {
            self.examine_entered(kernel, reference);
        }
    }
}
