//! Claiming the lowest free port of a host for a dial.
//!
//! The walk begins at the host's mark. A port whose holder is not in doubt is passed over; those in doubt are asked about,
//! eight in a message, and the first of them whose socket has gone is the one that is wanted. If all eight live the walk goes
//! on behind them: the answer is exact, however many there are.

use super::Parts;
use super::entry::Dialed;
use super::ports::Seen;
use super::record::Found;
use super::state::{Phase, Reference, State};
use super::word::Word;
use crate::classes::Classes;
use std::net::SocketAddrV4;

/// So many sockets are asked about in one message.
pub const QUERY_BATCH: usize = 8;

/// Something changes under each of so many walks: there is no end to expect.
const WALKS: usize = 10_000;

/// A socket that may have ended.
#[derive(Clone, Copy, Debug)]
pub struct Suspect {
    pub reference: Reference,
    pub cookie: u64,
    pub local: SocketAddrV4,
    pub remote: SocketAddrV4,
    /// The slot of the process that made it, and the descriptor by which that process has had it, if it has not closed it.
    pub slot: u16,
    pub descriptor: Option<i32>,
    /// Nobody holds it, or it has been reset. Whoever cannot tell leaves this as it is.
    pub has_gone: bool,
}

/// Says which of these have gone.
pub trait SocketQuery {
    fn ask(&mut self, suspects: &mut [Suspect]);

    /// The cookie of who listens at this address, if that can be told.
    fn listener(&mut self, _: SocketAddrV4) -> Option<u64> {
        None
    }

    /// Whether it is certain without that question that the socket has not gone.
    fn is_alive(&self, _: &Suspect) -> bool {
        false
    }
}

impl<F: FnMut(&mut [Suspect])> SocketQuery for F {
    fn ask(&mut self, suspects: &mut [Suspect]) {
        self(suspects);
    }
}

/// What a claim does at a port that lonetd has marked as bound and of whose sockets one may have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnverified {
    /// Ends with [`Claim::AskLonetd`].
    Ask,
    /// As `Ask`, but only for ports marked suspect: lonetd has verified the others just now.
    AskIfSuspect,
    /// Takes the port for held: lonetd cannot be asked.
    PassOver,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    Port(u16),
    /// All ports are held, or the table has no room for more.
    None,
    /// lonetd has to look first: a process of the host has ended, or a bound socket's descriptor was closed.
    AskLonetd,
}

impl<W: Word> Parts<'_, W> {
    /// The lowest free port of `host` from `from` on, claimed with the record `claimer`.
    pub fn claim(self, host: u16, from: u16, claimer: Reference, kernel: &mut impl SocketQuery) -> Claim {
        if self.slots.has_unseen_end(host) {
            return Claim::AskLonetd;
        }
        self.claim_with(host, from, claimer, OnUnverified::Ask, kernel)
    }

    /// As [`Parts::claim`], whether or not lonetd has seen to processes of the host that have ended.
    pub fn claim_with(
        self,
        host: u16,
        from: u16,
        claimer: Reference,
        on_unverified: OnUnverified,
        kernel: &mut impl SocketQuery,
    ) -> Claim {
        for _ in 0..WALKS {
            if let Some(claim) = self.walk(host, from.max(1), claimer, on_unverified, kernel) {
                return claim;
            }
        }
        Claim::None
    }

    /// `None`: a word has changed meanwhile.
    fn walk(
        self,
        host: u16,
        from: u16,
        claimer: Reference,
        on_unverified: OnUnverified,
        kernel: &mut impl SocketQuery,
    ) -> Option<Claim> {
        let mark = self.ports.mark(host);
        let mut is_certain = from <= mark.port();
        let mut suspects = Suspects::default();
        let mut port = from.max(mark.port());
        loop {
            let Some(word) = self.ports.word(host, port) else { return Some(Claim::None) };
            match self.ports.decode(self.records, host, word.get()) {
                Seen::Held => {}
                Seen::Free(is) => {
                    if let Some(claim) = self.take_first_gone(host, claimer, &mut suspects, kernel) {
                        return claim.ok();
                    }
                    word.swap_if(is, claimer.word()).ok()?;
                    if is_certain {
                        // The port behind the one that is held now. The last one has none behind it.
                        self.ports.raise(host, mark, port.checked_add(1).unwrap_or(port));
                    }
                    return Some(Claim::Port(port));
                }
                Seen::Suspect(reference, _) => {
                    is_certain = false;
                    // `None`: lonetd has freed it meanwhile.
                    if let Some(suspect) = self.suspect(reference)?.filter(|s| !kernel.is_alive(s)) {
                        suspects.push(port, suspect);
                    }
                    if suspects.is_full()
                        && let Some(claim) = self.take_first_gone(host, claimer, &mut suspects, kernel)
                    {
                        return claim.ok();
                    }
                }
                Seen::SuspectBound | Seen::Unseen if on_unverified == OnUnverified::PassOver => {
                    is_certain = false
                }
                Seen::Unseen
                    if on_unverified == OnUnverified::AskIfSuspect
                        || self.is_listened_on(host, port, kernel) =>
                {
                    is_certain = false
                }
                Seen::SuspectBound | Seen::Unseen => {
                    return match self.take_first_gone(host, claimer, &mut suspects, kernel) {
                        Some(claim) => claim.ok(),
                        None => Some(Claim::AskLonetd),
                    };
                }
            }
            match port.checked_add(1) {
                Some(next) => port = next,
                None => return Some(Claim::None),
            }
        }
    }

    /// A listener of this port is there, as the kernel says.
    fn is_listened_on(self, host: u16, port: u16, kernel: &mut impl SocketQuery) -> bool {
        let at = |class| self.listeners.find(Dialed { host, port, class }).map(|listener| listener.os);
        let is_its = |found: Found| {
            found.state.phase == Phase::Kept && (found.entry.host, found.entry.port) == (host, port)
        };
        let is_there = |os| kernel.listener(os).and_then(|cookie| self.find(cookie)).is_some_and(is_its);
        Classes::EACH.into_iter().filter_map(at).any(is_there)
    }

    /// What the kernel is to be asked. `Some(None)`: the socket is not in the kernel's tables so far, and its process is at
    /// work on it. `None`: it holds its port no more.
    fn suspect(self, reference: Reference) -> Option<Option<Suspect>> {
        let found = self.records.read(reference, self.block).filter(|found| found.state.holds_claim());
        let Some(found) = found else {
            return self.records.state(reference).is_some_and(State::holds_claim).then_some(None);
        };
        let in_kernel = found.entry.call.filter(|_| found.state.phase != Phase::Dialing);
        Some(in_kernel.and_then(|call| {
            Some(Suspect {
                reference,
                cookie: found.cookie,
                local: call.os_local?,
                remote: call.os_remote,
                slot: found.state.slot,
                descriptor: self.records.descriptor(reference),
                has_gone: false,
            })
        }))
    }

    /// The first port of those in doubt whose socket has gone. `None`: all live, and are forgotten. `Err`: a word has changed
    /// meanwhile.
    fn take_first_gone(
        self,
        host: u16,
        claimer: Reference,
        suspects: &mut Suspects,
        kernel: &mut impl SocketQuery,
    ) -> Option<Result<Claim, ()>> {
        let n = std::mem::take(&mut suspects.len);
        if n == 0 {
            return None;
        }
        kernel.ask(&mut suspects.all[..n]);
        let gone = (0..n).find(|i| suspects.all[*i].has_gone)?;
        let (port, reference) = (suspects.ports[gone], suspects.all[gone].reference);
        self.end(reference);
        let Some(word) = self.ports.word(host, port) else { return Some(Ok(Claim::None)) };
        Some(match self.ports.decode(self.records, host, word.get()) {
            Seen::Free(is) if word.swap_if(is, claimer.word()).is_ok() => Ok(Claim::Port(port)),
            _ => Err(()),
        })
    }

    /// A dial's socket holds its port no more. The record stays for its name, and for an accept that may find it.
    pub fn end(self, reference: Reference) {
        let found = self.records.read(reference, self.block);
        let ended = self.records.change(reference, |s| {
            matches!(s.phase, Phase::Dialing | Phase::Owned).then_some(s.to(Phase::Ended))
        });
        if let (Some(found), Some(_)) = (found, ended) {
            self.ports.release(found.entry.host, found.entry.port, reference);
        }
    }
}

/// Ports in doubt, in order.
struct Suspects {
    all: [Suspect; QUERY_BATCH],
    ports: [u16; QUERY_BATCH],
    len: usize,
}

impl Default for Suspects {
    fn default() -> Suspects {
        let nobody = Suspect {
            reference: Reference::new(0, 0),
            cookie: 0,
            local: crate::diag::NOBODY,
            remote: crate::diag::NOBODY,
            slot: super::state::NO_SLOT,
            descriptor: None,
            has_gone: false,
        };
        Suspects { all: [nobody; QUERY_BATCH], ports: [0; QUERY_BATCH], len: 0 }
    }
}

impl Suspects {
    fn push(&mut self, port: u16, suspect: Suspect) {
        if let (Some(s), Some(p)) = (self.all.get_mut(self.len), self.ports.get_mut(self.len)) {
            (*s, *p) = (suspect, port);
            self.len += 1;
        }
    }

    fn is_full(&self) -> bool {
        self.len == QUERY_BATCH
    }
}
