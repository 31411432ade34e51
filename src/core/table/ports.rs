//! The ports of the hosts: which socket holds which port, and where the search for a free one begins.
//!
//! A port has a word with the [`Reference`] of the dial that has claimed it and three flags: `SUSPECT` if that
//! dial may have ended; `BOUND` while a socket that a program has bound holds the port, or one that was
//! accepted from such a socket and has outlived it; `SUSPECT_BOUND` if one of these may have ended. Autobind
//! wants a word without claim and `BOUND`; a bind by number looks at `BOUND` alone, because a dial keeps
//! nobody from binding its port.
//!
//! A claim is valid only while its record belongs to the same socket and has not ended
//! ([`State::holds_claim`]). So one change of the record releases the claim, and a word that still names it
//! is free.
//!
//! The words of a host lie in pages, which are assigned when a port in one is first wanted. When all are
//! assigned lonetd reassigns those of hosts that are down; so nobody else ever takes a page whose key it has
//! seen as another's.
//!
//! Each host has a low-water mark: no port below it is free or suspect. Whoever frees or suspects a port
//! lowers the mark afterwards. A claim that finds only held ports on its way up raises the mark, unless that
//! was lowered since it was read (the mark counts its changes). A flag in the mark says that closes of the
//! host's programs may go unseen, as those of supervised programs do: then any bound port may be free at any
//! moment ([`Seen::Unseen`]).
//!
//! **A process that is killed between two steps** may leave a suspect port below a mark that it has not
//! lowered. So the marks of a host are lowered to the bottom when one of its processes has ended, and when a
//! lonetd starts.

use super::record::Records;
use super::state::{Reference, State};
use super::word::{Word, update};

/// Ports in a page.
const PAGE: usize = 64;

/// Flag: the socket of the claim may have ended; the kernel knows.
const SUSPECT: u64 = 1 << 63;

/// Flag of lonetd's: a bound socket holds the port, or one that was accepted from it.
const BOUND: u64 = 1 << 62;

/// Flag: a socket for which the port is marked `BOUND` may have ended; lonetd knows.
const SUSPECT_BOUND: u64 = 1 << 61;

/// Flag in a low-water mark: closes of the host's programs may go unseen.
const UNSEEN: u64 = 1 << 31;

/// The words of `PAGE` consecutive ports of a host.
#[repr(C)]
pub struct Page<W>([W; PAGE]);

pub struct Ports<'a, W> {
    /// The key of each page: a host and a part of the port range. Open addressing with linear probing.
    directory: &'a [W],
    pages: &'a [Page<W>],
    /// The low-water mark of each host: `changes << 32 | UNSEEN | port`.
    marks: &'a [W],
}

impl<W> Clone for Ports<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Ports<'_, W> {}

/// The state of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// No socket holds it. With its word, for a compare-and-swap.
    Free(u64),
    /// A socket holds it.
    Held,
    /// A dial that may have ended holds it: its record, and the word.
    Suspect(Reference, u64),
    /// It is bound, and one of its sockets may have ended.
    SuspectBound,
    /// It is bound, on a host whose closes may go unseen.
    Unseen,
}

/// A low-water mark, as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LowWaterMark(u64);

impl LowWaterMark {
    pub fn port(self) -> u16 {
        (self.0 as u16).max(1)
    }

    /// The mark at another port, after one more change.
    fn changed(self, port: u16) -> u64 {
        (self.0 >> 32).wrapping_add(1) << 32 | self.0 & UNSEEN | u64::from(port)
    }
}

/// Position of the host's index in a key; the bit above it is always set.
const HOST_SHIFT: u32 = 16;

/// The key of a page in the directory.
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

    /// For lonetd: makes sure that this port has a word, if need be by reassigning a page of a host that is
    /// down. `false`: there is no page.
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
        // The directory is full, and stays so: no other process writes it any more.
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

    /// As [`Ports::word`], without assigning a page: `None` also if the page does not exist yet.
    fn existing_word(self, host: u16, port: u16) -> Option<&'a W> {
        self.page(host, port, false).map(|page| &page.0[usize::from(port) % PAGE])
    }

    /// The low-water mark of a host.
    pub fn mark(self, host: u16) -> LowWaterMark {
        LowWaterMark(self.marks.get(usize::from(host)).map_or(0, Word::get))
    }

    /// Lowers the mark to a port that has become free or suspect.
    pub fn lower(self, host: u16, port: u16) {
        let Some(mark) = self.marks.get(usize::from(host)) else { return };
        update(mark, |is| Some(LowWaterMark(is).changed(port.min(LowWaterMark(is).port()))));
    }

    /// Raises the mark to `port`, if it has not changed since it was `read`: no port in between is free or
    /// suspect.
    pub fn raise(self, host: u16, read: LowWaterMark, port: u16) {
        if let Some(mark) = self.marks.get(usize::from(host)).filter(|_| port > read.port()) {
            let _ = mark.swap_if(read.0, read.changed(port));
        }
    }

    /// For lonetd: sets whether closes of this host's programs may go unseen.
    pub fn set_unseen(self, host: u16, unseen: bool) {
        let Some(mark) = self.marks.get(usize::from(host)) else { return };
        update(mark, |is| {
            let to = LowWaterMark(if unseen { is | UNSEEN } else { is & !UNSEEN });
            // Ports that counted as held have to be looked at again, from the lowest on.
            (to.0 != is).then_some(to.changed(1))
        });
    }

    /// Whether closes of this host's programs may go unseen.
    pub fn is_unseen(self, host: u16) -> bool {
        self.mark(host).0 & UNSEEN != 0
    }

    /// The state that the word of a port of this host stands for.
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

    /// The state of a port, without assigning it a page.
    pub fn look(self, records: Records<'_, W>, host: u16, port: u16) -> Seen {
        self.existing_word(host, port).map_or(Seen::Free(0), |word| self.decode(records, host, word.get()))
    }

    /// Marks a port suspect if the dial `claim` holds it: its socket may have ended.
    pub fn suspect(self, host: u16, port: u16, claim: Reference) {
        self.mark_suspect(host, port, SUSPECT, |is| Reference::from_word(is) == Some(claim));
    }

    /// Marks a bound port suspect: one of its sockets may have ended.
    pub fn suspect_bound(self, host: u16, port: u16) {
        self.mark_suspect(host, port, SUSPECT_BOUND, |is| is & BOUND != 0);
    }

    fn mark_suspect(self, host: u16, port: u16, flag: u64, concerns: impl Fn(u64) -> bool) {
        let Some(word) = self.existing_word(host, port) else { return };
        let before = update(word, |is| (concerns(is) && is & flag == 0).then_some(is | flag));
        if concerns(before) {
            self.lower(host, port);
        }
    }

    /// For lonetd: marks a port as bound, or as not bound any more.
    pub fn set_bound(self, host: u16, port: u16, bound: bool) {
        if bound {
            if let Some(word) = self.word(host, port) {
                word.set_bits(BOUND);
            }
        } else if let Some(word) = self.existing_word(host, port) {
            word.clear_bits(BOUND | SUSPECT_BOUND);
            self.lower(host, port);
        }
    }

    /// Whether a socket that a program has bound holds the port.
    pub fn is_bound(self, host: u16, port: u16) -> bool {
        self.existing_word(host, port).is_some_and(|word| word.get() & BOUND != 0)
    }

    /// For lonetd: marks a bound port as not suspect, as its sockets are alive.
    pub fn clear_suspicion(self, host: u16, port: u16) {
        if let Some(word) = self.existing_word(host, port) {
            word.clear_bits(SUSPECT_BOUND);
        }
    }

    /// For lonetd: marks a free port as bound; `seen`: its word in [`Seen::Free`]. `Some(false)`: it is not
    /// free any more. `None`: the table has no room for it.
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

    /// The dial that has claimed a port, whether or not the port is bound as well, and whether it is suspect.
    pub fn claim_of(self, records: Records<'_, W>, host: u16, port: u16) -> Option<(Reference, bool)> {
        let word = self.existing_word(host, port)?.get();
        let claim =
            Reference::from_word(word).filter(|r| records.state(*r).is_some_and(State::holds_claim))?;
        Some((claim, word & SUSPECT != 0))
    }

    /// Clears the claim of a dial that has ended.
    pub fn release(self, host: u16, port: u16, claim: Reference) {
        let Some(word) = self.existing_word(host, port) else { return };
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
