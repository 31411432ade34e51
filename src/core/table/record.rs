//! Records: one for each socket that lonet knows.
//!
//! A record is taken ([`Records::take`]) and its body is written. The body of a generation is then immutable,
//! but for the kernel's source address of a dial, which may be stored late: one word, once. To change what is
//! known of a socket, a process takes another record for it and frees the old one when the new one can be
//! found. If it is killed in between both remain, and each was true at some moment.
//!
//! **A process that is killed between two steps** may leave a record in [`Phase::Writing`]. lonetd frees it.

use super::entry::{Entry, OS_LOCAL, WORDS};
use super::state::{Phase, Reference, State};
use super::word::{Word, update};
use crate::block::Block;
use std::sync::atomic::{AtomicU64, Ordering};

/// A record: two cache lines.
#[repr(C, align(128))]
pub struct Record<W = AtomicU64> {
    /// See [`State`].
    state: W,
    /// SO_COOKIE of the socket, which is never reused.
    cookie: W,
    /// [`Reference`] to the record of the connection's other end, once a process has accepted it.
    partner: W,
    /// See [`Entry`].
    body: [W; WORDS],
    /// Name of the program that made the socket, set when its process has ended: 16 bytes, as in
    /// /proc/PID/comm.
    program: [W; 2],
    /// In a record that lonetd keeps: the process to which lonetd last allowed something.
    pid: W,
    /// A hint: 1 plus the descriptor by which the process that dialed or accepted has the socket, until it closes that; 0: none.
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

/// Where a search for a free record begins: behind the last one that was taken, and now and then at the base,
/// where others may have become free. Searches stay short however many records are taken, and these lie close
/// together.
#[derive(Default)]
#[repr(transparent)]
pub struct FreeRecordCursor(AtomicU64);

/// Number of records taken between two searches from the base.
const ONWARD: u64 = 64;

impl FreeRecordCursor {
    /// Index of the record to begin with. `base`: where this process's searches begin.
    pub fn from(&self, base: usize) -> usize {
        let word = self.0.load(Ordering::Relaxed);
        if word.is_multiple_of(ONWARD) { base } else { (word / ONWARD) as usize }
    }

    /// Advances behind a record that was taken.
    pub fn took(&self, reference: Reference) {
        let times = self.0.load(Ordering::Relaxed) + 1;
        self.0.store((reference.index() as u64 + 1) * ONWARD + times % ONWARD, Ordering::Relaxed);
    }
}

/// A copy of a record's state and contents.
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

    /// Number of records that there is room for.
    pub fn capacity(self) -> usize {
        self.all.len()
    }

    /// Length of the part in which records may be taken.
    pub fn used(self) -> usize {
        (self.used.get() as usize).min(self.all.len())
    }

    /// The record and its state, if the reference is valid.
    fn named(self, reference: Reference) -> Option<(&'a Record<W>, State)> {
        let record = self.all.get(reference.index())?;
        let state = State::unpack(record.state.get());
        let is_same = state.generation == reference.generation() && state.phase != Phase::Free;
        is_same.then_some((record, state))
    }

    /// State of the record. `None`: the reference is no longer valid.
    pub fn state(self, reference: Reference) -> Option<State> {
        self.named(reference).map(|(_, state)| state)
    }

    /// Takes a free record for a socket: the first one from index `from` on, wrapping. `None`: there is none.
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
            // First, so that a walk over the used records includes this one.
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

    /// Writes the body of a record that the caller has taken and that cannot be found yet.
    pub fn write(self, reference: Reference, entry: &Entry, block: Block) {
        let Some(record) = self.all.get(reference.index()) else { return };
        for (word, value) in record.body.iter().zip(entry.pack(block)) {
            word.set(value);
        }
    }

    /// Stores the kernel's source address of a dial, packed.
    pub fn set_source(self, reference: Reference, os: u64) {
        if let Some((record, _)) = self.named(reference) {
            record.body[OS_LOCAL].set(os);
        }
    }

    /// Stores the descriptor by which the socket's process has it. `None`: it is about to be closed.
    pub fn set_descriptor(self, reference: Reference, fd: Option<i32>) {
        if let Some((record, _)) = self.named(reference) {
            record.descriptor.set(fd.map_or(0, |fd| fd as u64 + 1));
        }
    }

    /// The descriptor stored by [`Records::set_descriptor`]: a hint.
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

    /// Replaces a state that was read. `false`: it has changed since.
    pub fn advance(self, reference: Reference, from: State, to: State) -> bool {
        let record = self.all.get(reference.index());
        record.is_some_and(|r| r.state.swap_if(from.pack(), to.pack()).is_ok())
    }

    /// Replaces the state by `next` of it, or leaves it if that is `None`. Returns the state before; `None`:
    /// the reference is no longer valid.
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

    /// Copies a record. `None`: the reference is no longer valid, or the record is still being written.
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

    /// Every record that is not free, with its state. Records taken during the walk may be missed.
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
