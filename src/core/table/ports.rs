//! The ports of the hosts: who holds which, and where the search for a free one begins.
//!
//! A port has a word: what a dial has claimed it with (a [`Reference`]), the flag that lonetd sets while a socket holds it
//! that a program has bound, or that was accepted from one and has outlived it, and the flag that says that one of these
//! may have ended. An autobind wants a word without either; a bind by number looks at lonetd's flag alone, because a dial
//! keeps nobody from binding its port.
//!
//! A claim holds only while its record is the same socket's and has not ended ([`State::holds_claim`]): to release one is a
//! single change of the record, and a word that still names it is free.
//!
//! The words of a host lie in pages, which are given out when a port in one is first wanted. When all are given out lonetd
//! hands on those of hosts that are down; so nobody else ever takes a page whose key it has seen as another's.
//! Each host has a mark: no port below it is free or suspect. Whoever frees or suspects a port lowers the mark afterwards;
//! whoever has found no reason to doubt a port on the way up raises it, unless it was lowered since it was read (it counts
//! its changes). The mark also says whether closes of the host's programs may be unseen, as those of supervised programs
//! are: then whatever lonetd has marked may have ended at any moment ([`Seen::Unseen`]).
//!
//! **A death between two steps.** A port that is suspect above a mark that was not lowered: the marks of a host are lowered
//! to the bottom when one of its processes has ended, and when a lonetd begins.

use super::record::Records;
use super::state::{Reference, State};
use super::word::{Word, update};

/// Ports in a page.
const PAGE: usize = 64;

/// The socket of the claim may have ended: the kernel knows.
const SUSPECT: u64 = 1 << 63;

/// lonetd's: a bound socket holds the port, or one that was accepted.
const BOUND: u64 = 1 << 62;

/// One of the sockets that lonetd has marked the port for may have ended: lonetd knows.
const SUSPECT_BOUND: u64 = 1 << 61;

/// In a mark: programs of the host close sockets that nobody is told of.
const UNSEEN: u64 = 1 << 31;

#[repr(C)]
pub struct Page<W>([W; PAGE]);

pub struct Ports<'a, W> {
    /// For each page whose ports it has: a host and a part of the port range. A key lies in the first place for it on that
    /// is not another's.
    directory: &'a [W],
    pages: &'a [Page<W>],
    /// A mark for each host: `changes << 32 | UNSEEN | port`.
    marks: &'a [W],
}

impl<W> Clone for Ports<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Ports<'_, W> {}

/// What a walk up the ports finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nobody holds it; the word that says so.
    Free(u64),
    /// A living socket holds it.
    Held,
    /// The claim of a socket that may have ended, and the word.
    Suspect(Reference, u64),
    /// lonetd's, and one of its sockets may have ended.
    SuspectBound,
    /// lonetd's, on a host whose programs close sockets unseen.
    Unseen,
}

/// A mark that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LowWaterMark(u64);

impl LowWaterMark {
    pub fn port(self) -> u16 {
        (self.0 as u16).max(1)
    }

    /// At another port, after one more change.
    fn changed(self, port: u16) -> u64 {
        (self.0 >> 32).wrapping_add(1) << 32 | self.0 & UNSEEN | u64::from(port)
    }
}

/// Where a host's index is in a key; the bit above it is always set.
const HOST_SHIFT: u32 = 16;

/// Says in the directory whose ports a page has.
fn key(host: u16, port: u16) -> u64 {
    1 << 32 | u64::from(host) << HOST_SHIFT | (u64::from(port) / PAGE as u64)
}

impl<'a, W: Word> Ports<'a, W> {
    pub fn new(directory: &'a [W], pages: &'a [Page<W>], marks: &'a [W]) -> Ports<'a, W> {
        Ports { directory, pages, marks }
    }

    fn page(self, host: u16, port: u16, make: bool) -> Option<&'a Page<W>> {
        let key = key(host, port);
        let n = self.directory.len();
        let first = super::index::mix(key) as usize % n;
        for at in (0..n).map(|i| (first + i) % n) {
            let mut is = self.directory[at].get();
            if is == 0 {
                if !make {
                    return None;
                }
                is = self.directory[at].swap_if(0, key).err().unwrap_or(key);
            }
            if is == key {
                return self.pages.get(at);
            }
        }
        None
    }

    /// lonetd's: sees to it that this port has a word, if need be in a page of a host that is down. `false`: it has none.
    pub fn make_room(
        self,
        records: Records<'_, W>,
        host: u16,
        port: u16,
        is_down: impl Fn(u16) -> bool,
    ) -> bool {
        if self.word(host, port).is_some() {
            return true;
        }
        // The directory is full, and stays so: nobody else writes it any more.
        let n = self.directory.len();
        let first = super::index::mix(key(host, port)) as usize % n;
        let unused = (0..n).map(|i| (first + i) % n).find(|at| {
            let theirs = (self.directory[*at].get() >> HOST_SHIFT) as u16;
            let is_free = |word: &W| matches!(self.decode(records, theirs, word.get()), Seen::Free(_));
            is_down(theirs) && self.pages.get(*at).is_some_and(|page| page.0.iter().all(is_free))
        });
        let Some(at) = unused else { return false };
        self.directory[at].swap_if(self.directory[at].get(), key(host, port)).is_ok()
    }

    /// The word of a port. `None`: the table has no room for it.
    pub fn word(self, host: u16, port: u16) -> Option<&'a W> {
        self.page(host, port, true).map(|page| &page.0[usize::from(port) % PAGE])
    }

    /// As [`Ports::word`]; `None` also where nobody has wanted a port of the page so far.
    fn known(self, host: u16, port: u16) -> Option<&'a W> {
        self.page(host, port, false).map(|page| &page.0[usize::from(port) % PAGE])
    }

    pub fn mark(self, host: u16) -> LowWaterMark {
        LowWaterMark(self.marks.get(usize::from(host)).map_or(0, Word::get))
    }

    /// A port of this host is free or suspect.
    pub fn lower(self, host: u16, port: u16) {
        let Some(mark) = self.marks.get(usize::from(host)) else { return };
        update(mark, |is| Some(LowWaterMark(is).changed(port.min(LowWaterMark(is).port()))));
    }

    /// No port from the mark up to `port` is free or suspect.
    pub fn raise(self, host: u16, read: LowWaterMark, port: u16) {
        if let Some(mark) = self.marks.get(usize::from(host)).filter(|_| port > read.port()) {
            let _ = mark.swap_if(read.0, read.changed(port));
        }
    }

    /// lonetd's: whether closes of this host's programs may be unseen from now on.
    pub fn set_unseen(self, host: u16, unseen: bool) {
        let Some(mark) = self.marks.get(usize::from(host)) else { return };
        update(mark, |is| {
            let to = LowWaterMark(if unseen { is | UNSEEN } else { is & !UNSEEN });
            // What was not in doubt is, from the lowest port on.
            (to.0 != is).then_some(to.changed(1))
        });
    }

    pub fn is_unseen(self, host: u16) -> bool {
        self.mark(host).0 & UNSEEN != 0
    }

    /// What the word of a port of this host says.
    pub fn decode(self, records: Records<'_, W>, host: u16, word: u64) -> Seen {
        let claim = Reference::from_word(word).filter(|r| records.state(*r).is_some_and(State::holds_claim));
        match claim {
            _ if word & BOUND != 0 && word & SUSPECT_BOUND != 0 => Seen::SuspectBound,
            _ if word & BOUND != 0 && self.is_unseen(host) => Seen::Unseen,
            _ if word & BOUND != 0 => Seen::Held,
            Some(reference) if word & SUSPECT != 0 => Seen::Suspect(reference, word),
            Some(_) => Seen::Held,
            None => Seen::Free(word),
        }
    }

    /// What a port is, without making room for it.
    pub fn look(self, records: Records<'_, W>, host: u16, port: u16) -> Seen {
        self.known(host, port).map_or(Seen::Free(0), |word| self.decode(records, host, word.get()))
    }

    /// The socket that has claimed this port may have ended.
    pub fn suspect(self, host: u16, port: u16, claim: Reference) {
        self.mark_suspect(host, port, SUSPECT, |is| Reference::from_word(is) == Some(claim));
    }

    /// One of the sockets that lonetd has marked this port for may have ended.
    pub fn suspect_bound(self, host: u16, port: u16) {
        self.mark_suspect(host, port, SUSPECT_BOUND, |is| is & BOUND != 0);
    }

    fn mark_suspect(self, host: u16, port: u16, flag: u64, concerns: impl Fn(u64) -> bool) {
        let Some(word) = self.known(host, port) else { return };
        let before = update(word, |is| (concerns(is) && is & flag == 0).then_some(is | flag));
        if concerns(before) {
            self.lower(host, port);
        }
    }

    /// lonetd's: a bound socket holds the port from now on, or none any more.
    pub fn set_bound(self, host: u16, port: u16, bound: bool) {
        if bound {
            if let Some(word) = self.word(host, port) {
                word.set_bits(BOUND);
            }
        } else if let Some(word) = self.known(host, port) {
            word.clear_bits(BOUND | SUSPECT_BOUND);
            self.lower(host, port);
        }
    }

    /// lonetd's: those that it has marked the port for live.
    pub fn clear_suspicion(self, host: u16, port: u16) {
        if let Some(word) = self.known(host, port) {
            word.clear_bits(SUSPECT_BOUND);
        }
    }

    /// lonetd's: marks a free port as bound, as it was seen ([`Seen::Free`]). `Some(false)`: it is not free any more; `None`:
    /// the table has no room for it.
    pub fn reserve(self, host: u16, port: u16, seen: u64) -> Option<bool> {
        Some(self.word(host, port)?.swap_if(seen, BOUND).is_ok())
    }

    /// The ports that lonetd has marked as bound.
    pub fn bound_ports(self, host: u16) -> impl Iterator<Item = u16> + use<'a, W> {
        let first = (0..=u16::MAX).step_by(PAGE);
        first.filter_map(move |first| Some((first, self.page(host, first, false)?))).flat_map(
            |(first, page)| {
                let bound = |(_, word): &(u16, &W)| word.get() & BOUND != 0;
                (first..).zip(&page.0).filter(bound).map(|(port, _)| port)
            },
        )
    }

    /// The dial that has claimed a port, also beside lonetd's flag, and whether it is in doubt.
    pub fn claim_of(self, records: Records<'_, W>, host: u16, port: u16) -> Option<(Reference, bool)> {
        let word = self.known(host, port)?.get();
        let claim =
            Reference::from_word(word).filter(|r| records.state(*r).is_some_and(State::holds_claim))?;
        Some((claim, word & SUSPECT != 0))
    }

    /// Gives a port up that was claimed with `claim`, which has ended.
    pub fn release(self, host: u16, port: u16, claim: Reference) {
        let Some(word) = self.known(host, port) else { return };
        update(word, |is| (Reference::from_word(is) == Some(claim)).then_some(is & (BOUND | SUSPECT_BOUND)));
        self.lower(host, port);
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn page<W>(word: fn() -> W) -> Page<W> {
        Page(std::array::from_fn(|_| word()))
    }
}
