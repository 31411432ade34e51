//! The first free port of a host, as lonetd finds it.

use super::{Cookie, Index, Kernel, Pid, State};
use lonet_core::control::Runs;
use lonet_core::table::ports::Seen;
use lonet_core::table::slot;
use nix::errno::Errno;
use std::collections::BTreeSet;

/// So many of the lowest ports that are held by what lonetd decides about are looked at when one is wanted: what died
/// without a word does not make the next port another one.
const LOOKED_AT: usize = 8;

/// Where closes are unseen so many free ports are passed on a look: others may claim the first ones meanwhile, and whoever has
/// had lonetd look takes what is held behind these for held.
const FREE_PASSED: usize = 64;

impl State {
    /// A process of this host may have ended, or have closed a bound socket: whoever wants a port of it waits for the look.
    pub(super) fn look(&mut self, kernel: &mut dyn Kernel, host: Index) {
        while self.parts().slots.has_unseen_end(host) {
            let parts = self.parts();
            let ended = |(slot, owner): &(u16, slot::Owner)| {
                owner.host == host && owner.phase == slot::Phase::Live && parts.slots.owner_died(*slot)
            };
            let slots: BTreeSet<u16> = parts.slots.all().filter(ended).map(|(slot, _)| slot).collect();
            if slots.is_empty() {
                return;
            }
            let pids: Vec<Pid> = slots.iter().map(|slot| self.pid_of(*slot)).collect();
            self.sweep(kernel, &slots, false);
            let sockets = |pid: &Pid| self.processes.get(pid).map(|p| p.sockets.clone()).unwrap_or_default();
            let kept: Vec<Cookie> = pids.iter().flat_map(sockets).collect();
            self.end_many(kernel, |state, kernel| {
                kept.into_iter().for_each(|cookie| state.closed(kernel, cookie));
            });
        }
        let mut port = self.parts().ports.mark(host).port();
        let mut passed = 0..if self.parts().ports.is_unseen(host) { FREE_PASSED } else { 0 };
        loop {
            let parts = self.parts();
            match parts.ports.look(parts.records, host, port) {
                Seen::Free(_) if passed.next().is_none() => return,
                Seen::Free(_) => {}
                Seen::SuspectBound | Seen::Unseen => self.look_at_bound(kernel, host, port),
                Seen::Held | Seen::Suspect(..) => {}
            }
            let Some(next) = port.checked_add(1) else { return };
            port = next;
        }
    }

    /// Of what is closed on the hosts of this process, and on that of this socket, nobody is told.
    pub(super) fn expect_unseen(&self, pid: Pid, cookie: Option<Cookie>) {
        let of_process = self.processes.get(&pid).into_iter().flat_map(|p| p.hosts.iter().copied());
        let of_socket = cookie.and_then(|cookie| self.sockets.get(&cookie)).map(|s| s.host);
        for host in of_process.chain(of_socket).filter(|host| !self.parts().ports.is_unseen(*host)) {
            self.parts().ports.set_unseen(host, true);
        }
    }

    /// Looks at the sockets that a port is marked for.
    fn look_at_bound(&mut self, kernel: &mut dyn Kernel, host: Index, port: u16) {
        // First: who closes one of them meanwhile marks it again.
        self.parts().ports.clear_suspicion(host, port);
        let mut looked_at: Vec<Cookie> = Vec::new();
        loop {
            let holders = self.hosts.get(host).map_or(&[][..], |h| h.ports.holders(port));
            if holders.is_empty() {
                self.parts().ports.set_bound(host, port, false);
            }
            // What a listener has accepted takes its place when it has gone, and may have gone as well.
            let new: Vec<Cookie> = holders.iter().copied().filter(|c| !looked_at.contains(c)).collect();
            if new.is_empty() {
                return;
            }
            new.iter().for_each(|cookie| self.closed(kernel, *cookie));
            looked_at.extend(new);
        }
    }

    /// The first free port of a host from `from` on, marked as bound: it is given up again unless a socket holds it when
    /// the message has been dealt with. EADDRINUSE: there is none.
    pub(super) fn first_free(
        &mut self,
        kernel: &mut dyn Kernel,
        host: Index,
        from: u16,
    ) -> Result<u16, (Errno, String)> {
        self.first_free_past(kernel, host, from, Runs::NONE)
    }

    /// As [`first_free`](State::first_free), of the ports that are not in `past`; where all of these are held, of all.
    pub(super) fn first_free_past(
        &mut self,
        kernel: &mut dyn Kernel,
        host: Index,
        from: u16,
        past: Runs<'_>,
    ) -> Result<u16, (Errno, String)> {
        kernel.batch(Some((self.block.address(host), 32)));
        let other = self.search(kernel, host, from, past);
        let any = if past == Runs::NONE {
            other
        } else {
            other.or_else(|| self.search(kernel, host, from, Runs::NONE))
        };
        kernel.batch(None);
        any.ok_or_else(|| (Errno::EADDRINUSE, "the host has no free port".to_owned()))
    }

    fn search(&mut self, kernel: &mut dyn Kernel, host: Index, from: u16, past: Runs<'_>) -> Option<u16> {
        self.look(kernel, host);
        let mark = self.parts().ports.mark(host).port();
        let mut port = from.max(mark).max(1);
        let mut looks = 0..LOOKED_AT;
        loop {
            if let Some(end) = past.end_of(port) {
                port = end.checked_add(1)?;
                continue;
            }
            let parts = self.parts();
            match parts.ports.look(parts.records, host, port) {
                seen @ (Seen::Held | Seen::Unseen)
                    if self.is_kept(host, port) && (seen == Seen::Unseen || looks.next().is_some()) =>
                {
                    self.look_at_bound(kernel, host, port);
                    let parts = self.parts();
                    if !matches!(parts.ports.look(parts.records, host, port), Seen::Free(_)) {
                        port = port.checked_add(1)?;
                    }
                }
                Seen::Free(word) => {
                    self.make_room(host, port);
                    if parts.ports.reserve(host, port, word)? {
                        self.reserved.push((host, port));
                        return Some(port);
                    }
                    continue;
                }
                Seen::SuspectBound => {
                    self.look_at_bound(kernel, host, port);
                    continue;
                }
                Seen::Suspect(reference, _) if !self.examine_entered(kernel, reference) => continue,
                Seen::Suspect(..) | Seen::Held | Seen::Unseen => port = port.checked_add(1)?,
            }
        }
    }

    /// Sees to it that the table has a word for this port.
    pub(super) fn make_room(&self, host: Index, port: u16) {
        let is_down = |index| self.hosts.get(index).is_none_or(|h| !h.is_up());
        let parts = self.parts();
        if !parts.ports.make_room(parts.records, host, port, is_down) {
            tracing::error!("the table has no room for port {port} of host {host}");
        }
    }

    /// Whether a socket holds this port that lonetd decides about, whose end nobody need have announced.
    fn is_kept(&self, host: Index, port: u16) -> bool {
        self.hosts.get(host).is_some_and(|h| !h.ports.holders(port).is_empty())
    }

    /// Clears marks of ports that no socket holds: a lonetd before was killed when it had found one free.
    pub(super) fn clear_stale_marks(&mut self, host: Index) {
        for port in self.parts().ports.bound_ports(host) {
            if self.hosts.get(host).is_none_or(|h| h.ports.holders(port).is_empty()) {
                self.parts().ports.set_bound(host, port, false);
            }
        }
    }

    /// Gives up ports that were found free and that no socket has got.
    pub(super) fn give_up_reserved(&mut self) {
        for (host, port) in std::mem::take(&mut self.reserved) {
            if self.hosts.get(host).is_none_or(|h| h.ports.holders(port).is_empty()) {
                self.parts().ports.set_bound(host, port, false);
            }
        }
    }

    /// Whether a dial that a process has entered holds this port.
    pub(super) fn is_claimed(&mut self, kernel: &mut dyn Kernel, host: Index, port: u16) -> bool {
        let parts = self.parts();
        match parts.ports.claim_of(parts.records, host, port) {
            Some((reference, true)) => self.examine_entered(kernel, reference),
            Some((_, false)) => true,
            None => false,
        }
    }
}
