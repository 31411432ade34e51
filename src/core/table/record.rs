//! Records: one for each socket that lonet knows.
//!
//! A record is taken ([`Records::take`]), its body is written, and from then on the body stays as it is for as long as its
//! generation, but for the kernel's source address of a dial, which may come late: one word, stored once. Who changes what
//! is said of a socket takes another record for it, and frees the old one when the new one can be found: a death in between
//! leaves both, and each is true of some moment.
//!
//! **A death between two steps.** A record in [`Phase::Writing`] whose process has ended is nobody's: lonetd frees it.

use super::entry::{Entry, OS_LOCAL, WORDS};
use super::state::{Phase, Reference, State};
use super::word::{Word, update};
use crate::block::Block;
use std::sync::atomic::{AtomicU64, Ordering};

/// Two cache lines.
#[repr(C, align(128))]
pub struct Record<W = AtomicU64> {
    /// See [`State`].
    state: W,
    /// The kernel's identity of the socket; never used again.
    cookie: W,
    /// The record at the other end of the connection, a [`Reference`], where a process has accepted it.
    partner: W,
    /// See [`Entry`].
    body: [W; WORDS],
    /// The program that made the socket, where its process has ended: 16 bytes, as the kernel names programs.
    program: [W; 2],
    /// The process that was last allowed something by lonetd, where lonetd keeps the record.
    pid: W,
    /// One more than the descriptor by which the process that dialed or accepted has it, and has not closed it; 0: none. A hint.
    descriptor: W,
}

/// All records, of which the first `used` have ever been taken.
pub struct Records<'a, W = AtomicU64> {
    all: &'a [Record<W>],
    used: &'a W,
}

impl<W> Clone for Records<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Records<'_, W> {}

/// Where one looks for a free record first: onward from the last one that was taken, and now and then from the beginning,
/// where others have become free meanwhile. So a search is short however many records are taken, and those that are lie
/// close together.
#[derive(Default)]
#[repr(transparent)]
pub struct Search(AtomicU64);

/// So many records are taken between two searches from the beginning.
const ONWARD: u64 = 64;

impl Search {
    /// The number of the record to begin with. `base`: where the searches of this process begin.
    pub fn from(&self, base: usize) -> usize {
        let word = self.0.load(Ordering::Relaxed);
        if word.is_multiple_of(ONWARD) { base } else { (word / ONWARD) as usize }
    }

    /// This one was found.
    pub fn took(&self, reference: Reference) {
        let times = self.0.load(Ordering::Relaxed) + 1;
        self.0.store((reference.index() as u64 + 1) * ONWARD + times % ONWARD, Ordering::Relaxed);
    }
}

/// A record that was found, as it was then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub reference: Reference,
    pub state: State,
    pub cookie: u64,
    pub entry: Entry,
}

impl<'a, W: Word> Records<'a, W> {
    pub fn new(all: &'a [Record<W>], used: &'a W) -> Records<'a, W> {
        Records { all, used }
    }

    pub fn capacity(self) -> usize {
        self.all.len()
    }

    /// How many of the first records may be others than free.
    pub fn used(self) -> usize {
        (self.used.get() as usize).min(self.all.len())
    }

    /// The record, if it is still the one that is named.
    fn named(self, reference: Reference) -> Option<(&'a Record<W>, State)> {
        let record = self.all.get(reference.index())?;
        let state = State::unpack(record.state.get());
        let is_same = state.generation == reference.generation() && state.phase != Phase::Free;
        is_same.then_some((record, state))
    }

    /// How far the record has come. `None`: it is not that socket's any more.
    pub fn state(self, reference: Reference) -> Option<State> {
        self.named(reference).map(|(_, state)| state)
    }

    /// Takes a free record for a socket, the first one from number `from` on.
    ///
    /// `None`: there is none.
    pub fn take(self, from: usize, slot: u16, cookie: u64) -> Option<Reference> {
        let n = self.all.len();
        for i in 0..n {
            let index = (from + i) % n;
            let record = &self.all[index];
            let is = record.state.get();
            let state = State::unpack(is);
            if state.phase != Phase::Free {
                continue;
            }
            let taken =
                State { generation: state.generation.wrapping_add(1), slot, flags: 0, phase: Phase::Writing };
            // First: whoever walks the records that may be taken is to see this one.
            update(self.used, |used| (used as usize <= index).then_some(index as u64 + 1));
            if record.state.swap_if(is, taken.pack()).is_ok() {
                record.partner.set(0);
                record.pid.set(0);
                record.descriptor.set(0);
                record.program.iter().for_each(|w| w.set(0));
                record.cookie.set(cookie);
                return Some(Reference::new(index, taken.generation));
            }
        }
        None
    }

    /// Writes the body of a record that this process has taken and not shown to anybody.
    pub fn write(self, reference: Reference, entry: &Entry, block: Block) {
        let Some(record) = self.all.get(reference.index()) else { return };
        for (word, value) in record.body.iter().zip(entry.pack(block)) {
            word.set(value);
        }
    }

    /// Where the kernel has a dial's end, once it is known.
    pub fn set_source(self, reference: Reference, os: u64) {
        if let Some((record, _)) = self.named(reference) {
            record.body[OS_LOCAL].set(os);
        }
    }

    /// By which descriptor its process has the socket; `None`: it is about to close it.
    pub fn set_descriptor(self, reference: Reference, fd: Option<i32>) {
        if let Some((record, _)) = self.named(reference) {
            record.descriptor.set(fd.map_or(0, |fd| fd as u64 + 1));
        }
    }

    /// As [`Records::set_descriptor`] has left it.
    pub fn descriptor(self, reference: Reference) -> Option<i32> {
        let descriptor = self.named(reference)?.0.descriptor.get();
        Some(descriptor.checked_sub(1)? as i32)
    }

    pub fn set_partner(self, reference: Reference, partner: Reference) {
        if let Some((record, _)) = self.named(reference) {
            record.partner.set(partner.word());
        }
    }

    pub fn partner(self, reference: Reference) -> Option<Reference> {
        Reference::from_word(self.named(reference)?.0.partner.get())
    }

    /// Moves on from a state that was seen. `false`: somebody else has changed it since.
    pub fn advance(self, reference: Reference, from: State, to: State) -> bool {
        let record = self.all.get(reference.index());
        record.is_some_and(|r| r.state.swap_if(from.pack(), to.pack()).is_ok())
    }

    /// Moves on from whatever state the record is in, unless `next` says that it stays. The state before; `None`: it is
    /// not that socket's any more.
    pub fn change(self, reference: Reference, mut next: impl FnMut(State) -> Option<State>) -> Option<State> {
        let record = self.all.get(reference.index())?;
        let is_same = |s: &State| s.generation == reference.generation() && s.phase != Phase::Free;
        let before = update(&record.state, |word| {
            let state = Some(State::unpack(word)).filter(is_same)?;
            next(state).map(State::pack)
        });
        Some(State::unpack(before)).filter(is_same)
    }

    pub fn cookie(self, reference: Reference) -> Option<u64> {
        self.named(reference).map(|(record, _)| record.cookie.get())
    }

    /// The contents of a record. `None`: it is not that socket's any more, or is being written.
    pub fn read(self, reference: Reference, block: Block) -> Option<Found> {
        let (record, state) = self.named(reference)?;
        if state.phase == Phase::Writing {
            return None;
        }
        let cookie = record.cookie.get();
        let words = std::array::from_fn(|i| record.body[i].get());
        let (_, state) = self.named(reference)?;
        Some(Found { reference, state, cookie, entry: Entry::unpack(&words, block) })
    }

    /// Every record that is not free, with its state. What is taken meanwhile may be missed.
    pub fn all(self) -> impl Iterator<Item = (Reference, State)> + 'a {
        self.all.iter().take(self.used()).enumerate().filter_map(|(index, record)| {
            let state = State::unpack(record.state.get());
            let reference = Reference::new(index, state.generation);
            (state.phase != Phase::Free).then_some((reference, state))
        })
    }

    pub fn set_pid(self, reference: Reference, pid: i32) {
        if let Some((record, _)) = self.named(reference) {
            record.pid.set(u64::from(pid as u32));
        }
    }

    pub fn pid(self, reference: Reference) -> i32 {
        self.named(reference).map_or(0, |(record, _)| record.pid.get() as i32)
    }

    pub fn set_program(self, reference: Reference, program: &str) {
        let Some((record, _)) = self.named(reference) else { return };
        let mut bytes = [0; 16];
        let n = program.len().min(bytes.len());
        bytes[..n].copy_from_slice(&program.as_bytes()[..n]);
        for (word, half) in record.program.iter().zip(bytes.chunks(8)) {
            word.set(u64::from_le_bytes(half.try_into().unwrap_or_default()));
        }
    }

    pub fn program(self, reference: Reference) -> Option<String> {
        let (record, _) = self.named(reference)?;
        let bytes: Vec<u8> = record.program.iter().flat_map(|w| w.get().to_le_bytes()).collect();
        let text = bytes.split(|b| *b == 0).next().unwrap_or_default();
        (!text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned())
    }
}

#[cfg(test)]
pub mod tests {
    use super::super::state::NO_SLOT;
    use super::*;
    use crate::block::Face;
    use crate::control::Asked;

    pub fn entry(port: u16) -> Entry {
        let asked = Asked { family: Face::V4, v6only: false, reuse_address: false, reuse_port: false };
        Entry { host: 1, port, asked, at: None, os: None, call: None, accept_port: None, role: 0, since: 0 }
    }

    pub fn record<W>(word: fn() -> W) -> Record<W> {
        Record {
            state: word(),
            cookie: word(),
            partner: word(),
            body: std::array::from_fn(|_| word()),
            program: [word(), word()],
            pid: word(),
            descriptor: word(),
        }
    }

    pub fn records(n: usize) -> (Vec<Record>, AtomicU64) {
        ((0..n).map(|_| record(AtomicU64::default)).collect(), AtomicU64::new(0))
    }

    fn block() -> Block {
        Block::new(7).expect("a block")
    }

    #[test]
    fn free_record_is_taken_lowest_first_and_named_by_generation() {
        let (all, used) = records(3);
        let r = Records::new(&all, &used);
        let first = r.take(0, 1, 10).expect("a record");
        let second = r.take(0, 1, 11).expect("a record");
        assert_eq!((first.index(), second.index(), r.used()), (0, 1, 2));
        assert!(r.change(first, |s| Some(s.to(Phase::Free))).is_some());
        let again = r.take(0, 1, 12).expect("a record");
        assert_eq!((again.index(), r.state(first), r.cookie(again)), (0, None, Some(12)));
        r.take(0, 1, 13).expect("a record");
        assert_eq!(r.take(0, 1, 14), None);
    }

    #[test]
    fn record_that_is_being_written_is_not_read() {
        let (all, used) = records(1);
        let r = Records::new(&all, &used);
        let reference = r.take(0, NO_SLOT, 10).expect("a record");
        r.write(reference, &entry(5), block());
        assert_eq!(r.read(reference, block()), None);
        r.change(reference, |s| Some(s.to(Phase::Kept)));
        assert_eq!(r.read(reference, block()).map(|f| (f.cookie, f.entry)), Some((10, entry(5))));
    }

    #[test]
    fn state_of_another_generation_is_not_changed() {
        let (all, used) = records(1);
        let r = Records::new(&all, &used);
        let old = r.take(0, 1, 10).expect("a record");
        let seen = r.state(old).expect("its state");
        r.change(old, |s| Some(s.to(Phase::Free)));
        let new = r.take(0, 1, 11).expect("a record");
        assert!(!r.advance(old, seen, seen.to(Phase::Owned)));
        assert_eq!(r.change(old, |s| Some(s.to(Phase::Owned))), None);
        assert_eq!(r.state(new).map(|s| s.phase), Some(Phase::Writing));
    }

    #[test]
    fn program_of_more_than_16_bytes_is_cut() {
        let (all, used) = records(1);
        let r = Records::new(&all, &used);
        let reference = r.take(0, 1, 10).expect("a record");
        assert_eq!(r.program(reference), None);
        r.set_program(reference, "a program with a long name");
        assert_eq!(r.program(reference).as_deref(), Some("a program with a"));
    }
}
