//! Claims the lowest free port of a host for a dial.
//!
//! The walk begins at the host's low-water mark and passes over held ports. It asks the kernel about the
//! sockets of suspect ports, eight in a message, and takes the first port whose socket has gone. If all eight
//! are alive it goes on behind them, so that the result is exact however many there are.

use super::Parts;
use super::entry::Destination;
use super::ports::Seen;
use super::record::Found;
use super::state::{Phase, Reference, State};
use super::word::Word;
use crate::scopes::Scopes;
use std::net::SocketAddrV4;

/// Sockets that one message to the kernel asks about.
pub const QUERY_BATCH: usize = 8;

/// Suspect ports that a walk collects before it verifies their sockets.
pub const WALK_BATCH: usize = 16;

/// Walks after which a claim gives up, if each has met a concurrent change.
const WALKS: usize = 10_000;

/// A socket that may have ended.
#[derive(Clone, Copy, Debug)]
pub struct Suspect {
    pub reference: Reference,
    pub port: u16,
    pub cookie: u64,
    /// The kernel's addresses of its two ends.
    pub local: SocketAddrV4,
    pub remote: SocketAddrV4,
    /// The slot of the process that made it.
    pub slot: u16,
    /// The descriptor by which that process had it. `None`: it has closed it.
    pub descriptor: Option<i32>,
    /// Whether it is known to be alive, by [`SocketQuery::mark_alive`].
    pub is_alive: bool,
    /// The answer: no descriptor of it is left, or it was reset. Left as it is if the kernel cannot tell.
    pub has_gone: bool,
}

/// The questions to the kernel on which a claim depends.
pub trait SocketQuery {
    /// Sets `has_gone` of those suspects that have gone, at most [`QUERY_BATCH`].
    fn ask(&mut self, suspects: &mut [Suspect]);

    /// The cookie of the socket that listens at this address. `None`: there is none, or the kernel cannot be
    /// asked.
    fn listener(&mut self, _: SocketAddrV4) -> Option<u64> {
        None
    }

    /// Sets `is_alive` of those that are known to be alive without [`SocketQuery::ask`], at most [`WALK_BATCH`].
    fn mark_alive(&self, _: &mut [Suspect]) {}
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

/// The result of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// This port is claimed.
    Port(u16),
    /// All ports are held, or the table has no room for more.
    NoPort,
    /// lonetd has to look first: a process of the host may have ended, or a bound port is unverified.
    AskLonetd,
}

impl<W: Word> Parts<'_, W> {
    /// Claims the lowest free port of `host` from `from` on with the record `claimer`.
    pub fn claim(self, host: u16, from: u16, claimer: Reference, kernel: &mut impl SocketQuery) -> Claim {
        if self.slots.has_unseen_end(host) {
            return Claim::AskLonetd;
        }
        self.claim_with(host, from, claimer, OnUnverified::Ask, kernel)
    }

    /// As [`Parts::claim`], even if lonetd has not looked at a process of the host that may have ended.
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
        Claim::NoPort
    }

    /// One walk up the ports. `None`: a word has changed meanwhile.
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
            let Some(word) = self.ports.word(host, port) else { return Some(Claim::NoPort) };
            match self.ports.decode(self.records, host, word.get()) {
                Seen::Held => {}
                Seen::Free(is) => {
                    if let Some(claim) = self.take_first_gone(host, claimer, &mut suspects, kernel) {
                        return claim.ok();
                    }
                    word.swap_if(is, claimer.word()).ok()?;
                    if is_certain {
                        // To the port behind the claimed one; the last port has none behind it.
                        self.ports.raise(host, mark, port.checked_add(1).unwrap_or(port));
                    }
                    return Some(Claim::Port(port));
                }
                Seen::Suspect(reference, _) => {
                    is_certain = false;
                    // `None`: lonetd has freed it meanwhile.
                    if let Some(suspect) = self.suspect(reference, port)? {
                        suspects.push(suspect);
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
                None => return Some(Claim::NoPort),
            }
        }
    }

    /// Whether a listener of this port is alive, by the kernel's answer.
    fn is_listened_on(self, host: u16, port: u16, kernel: &mut impl SocketQuery) -> bool {
        let at = |scope| self.listeners.find(Destination { host, port, scope }).map(|listener| listener.os);
        let is_its = |found: Found| {
            found.state.phase == Phase::Kept && (found.entry.host, found.entry.port) == (host, port)
        };
        let is_there = |os| kernel.listener(os).and_then(|cookie| self.find(cookie)).is_some_and(is_its);
        Scopes::EACH.into_iter().filter_map(at).any(is_there)
    }

    /// The query about the socket of a claim. `Some(None)`: the kernel may not know the socket yet, as its
    /// process is in connect; it counts as alive. `None`: it no longer holds its port.
    fn suspect(self, reference: Reference, port: u16) -> Option<Option<Suspect>> {
        let found = self.records.read(reference, self.block).filter(|found| found.state.holds_claim());
        let Some(found) = found else {
            return self.records.state(reference).is_some_and(State::holds_claim).then_some(None);
        };
        let in_kernel = found.entry.call.filter(|_| found.state.phase != Phase::Dialing);
        Some(in_kernel.and_then(|call| {
            Some(Suspect {
                reference,
                port,
                cookie: found.cookie,
                local: call.os_local?,
                remote: call.os_remote,
                slot: found.state.slot,
                descriptor: self.records.descriptor(reference),
                is_alive: false,
                has_gone: false,
            })
        }))
    }

    /// Claims the first of the suspect ports whose socket has gone. `None`: all are alive, and `suspects` is
    /// empty now. `Err`: a word has changed meanwhile.
    fn take_first_gone(
        self,
        host: u16,
        claimer: Reference,
        suspects: &mut Suspects,
        kernel: &mut impl SocketQuery,
    ) -> Option<Result<Claim, ()>> {
        kernel.mark_alive(suspects.all());
        suspects.remove(|s| s.is_alive);
        let gone = suspects.all().chunks_mut(QUERY_BATCH).find_map(|batch| {
            kernel.ask(batch);
            batch.iter().find(|s| s.has_gone).map(|s| (s.port, s.reference))
        });
        suspects.len = 0;
        let (port, reference) = gone?;
        self.end(reference);
        let Some(word) = self.ports.word(host, port) else { return Some(Ok(Claim::NoPort)) };
        Some(match self.ports.decode(self.records, host, word.get()) {
            Seen::Free(is) if word.swap_if(is, claimer.word()).is_ok() => Ok(Claim::Port(port)),
            _ => Err(()),
        })
    }

    /// Ends a dial's hold on its port. The record stays for its names, and for an accept that may find it.
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

/// The sockets of suspect ports, ascending, up to a batch.
struct Suspects {
    all: [Suspect; WALK_BATCH],
    len: usize,
}

impl Default for Suspects {
    fn default() -> Suspects {
        let nobody = Suspect {
            reference: Reference::new(0, 0),
            port: 0,
            cookie: 0,
            local: crate::diag::NOBODY,
            remote: crate::diag::NOBODY,
            slot: super::state::NO_SLOT,
            descriptor: None,
            is_alive: false,
            has_gone: false,
        };
        Suspects { all: [nobody; WALK_BATCH], len: 0 }
    }
}

impl Suspects {
    fn push(&mut self, suspect: Suspect) {
        if let Some(place) = self.all.get_mut(self.len) {
            *place = suspect;
            self.len += 1;
        }
    }

    fn all(&mut self) -> &mut [Suspect] {
        &mut self.all[..self.len]
    }

    fn remove(&mut self, is_removed: impl Fn(&Suspect) -> bool) {
        let n = std::mem::take(&mut self.len);
        for i in 0..n {
            let suspect = self.all[i];
            if !is_removed(&suspect) {
                self.push(suspect);
            }
        }
    }

    fn is_full(&self) -> bool {
        self.len == WALK_BATCH
    }
}
