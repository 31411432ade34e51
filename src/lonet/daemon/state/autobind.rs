//! lonetd's search for the lowest free port of a host.

use super::{Cookie, Index, Kernel, Pid, State};
use lonet_core::control::Runs;
use lonet_core::table::ports::Seen;
use lonet_core::table::slot;
use nix::errno::Errno;
use std::collections::BTreeSet;

/// How many of the lowest held ports of lonetd's own sockets are examined in one search: a socket whose end
/// was not announced does not make the next port a higher one.
const MAX_EXAMINED: usize = 8;

/// How many free ports a look passes on a host with unseen closes. Others may claim the first ones meanwhile,
/// and a process that has had lonetd look treats held ports behind these as held.
const FREE_PASSED: usize = 64;

impl State {
    /// Begins or ends a round of messages that had all been sent when it began.
    pub fn set_round(&mut self, is_round: bool) {
        self.examined = is_round.then(BTreeSet::new);
    }

    /// Examines what may have ended on a host: processes, and bound sockets whose close was not announced. A
    /// process that wants a port of the host waits for this.
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
                Seen::Unseen if self.is_examined(host, port) => {}
                Seen::SuspectBound | Seen::Unseen => self.examine_holders(kernel, host, port),
                Seen::Held | Seen::Suspect(..) => {}
            }
            let Some(next) = port.checked_add(1) else { return };
            port = next;
        }
    }

    /// Marks the hosts of this process and of this socket as having closes that nobody announces.
    pub(super) fn expect_unseen(&self, pid: Pid, cookie: Option<Cookie>) {
        let of_process = self.processes.get(&pid).into_iter().flat_map(|p| p.hosts.iter().copied());
        let of_socket = cookie.and_then(|cookie| self.sockets.get(&cookie)).map(|s| s.host);
        for host in of_process.chain(of_socket).filter(|host| !self.parts().ports.is_unseen(*host)) {
            self.parts().ports.set_unseen(host, true);
        }
    }

    /// Whether the holders of a port have been examined since the message that is handled was sent.
    fn is_examined(&self, host: Index, port: u16) -> bool {
        self.examined.as_ref().is_some_and(|examined| examined.contains(&(host, port)))
    }

    /// Examines the sockets that hold a port marked as suspect.
    fn examine_holders(&mut self, kernel: &mut dyn Kernel, host: Index, port: u16) {
        self.examined.iter_mut().for_each(|examined| _ = examined.insert((host, port)));
        // This comes first: a process that closes one of them meanwhile marks the port again.
        self.parts().ports.clear_suspicion(host, port);
        let mut examined: Vec<Cookie> = Vec::new();
        loop {
            let holders = self.hosts.get(host).map_or(&[][..], |h| h.ports.holders(port));
            if holders.is_empty() {
                self.parts().ports.set_bound(host, port, false);
            }
            // When a listener has gone, its accepted sockets hold the port, and may have gone as well.
            let new: Vec<Cookie> = holders.iter().copied().filter(|c| !examined.contains(c)).collect();
            if new.is_empty() {
                return;
            }
            new.iter().for_each(|cookie| self.closed(kernel, *cookie));
            examined.extend(new);
        }
    }

    /// The lowest free port of a host, from `from` on, marked as bound. The mark is cleared after the message
    /// has been handled unless a socket holds the port then. EADDRINUSE: no port is free.
    pub(super) fn first_free(
        &mut self,
        kernel: &mut dyn Kernel,
        host: Index,
        from: u16,
    ) -> Result<u16, (Errno, String)> {
        self.first_free_past(kernel, host, from, Runs::NONE)
    }

    /// Like [`first_free`](State::first_free), without the ports in `past`; if no other port is free, with
    /// them.
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
        let mut looks = 0..MAX_EXAMINED;
        loop {
            if let Some(end) = past.end_of(port) {
                port = end.checked_add(1)?;
                continue;
            }
            let parts = self.parts();
            match parts.ports.look(parts.records, host, port) {
                seen @ (Seen::Held | Seen::Unseen)
                    if self.is_kept(host, port)
                        && (seen == Seen::Unseen || looks.next().is_some())
                        && !self.is_examined(host, port) =>
                {
                    self.examine_holders(kernel, host, port);
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
                    self.examine_holders(kernel, host, port);
                    continue;
                }
                Seen::Suspect(reference, _) if !self.examine_entered(kernel, reference) => continue,
                Seen::Suspect(..) | Seen::Held | Seen::Unseen => port = port.checked_add(1)?,
            }
        }
    }

    /// Makes sure that the table has a word for this port.
    pub(super) fn make_room(&self, host: Index, port: u16) {
        let is_down = |index| self.hosts.get(index).is_none_or(|h| !h.is_up());
        let parts = self.parts();
        if !parts.ports.make_room(parts.records, host, port, is_down) {
            tracing::error!("the table has no room for port {port} of host {host}");
        }
    }

    /// Whether a socket that lonetd decides about holds this port; the end of such a socket need not have
    /// been announced.
    fn is_kept(&self, host: Index, port: u16) -> bool {
        self.hosts.get(host).is_some_and(|h| !h.ports.holders(port).is_empty())
    }

    /// Clears marks of ports that no socket holds: a previous lonetd was killed after it had found the port
    /// free.
    pub(super) fn clear_stale_marks(&mut self, host: Index) {
        for port in self.parts().ports.bound_ports(host) {
            if self.hosts.get(host).is_none_or(|h| h.ports.holders(port).is_empty()) {
                self.parts().ports.set_bound(host, port, false);
            }
        }
    }

    /// Releases the ports that were found free and that no socket has got.
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
