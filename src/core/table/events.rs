//! Events of the network, in a lock-free ring buffer with many writers and lonetd as its reader.
//!
//! # Theory of operation
//!
//! The writer of an event takes its number from one counter in the table
//! ([`Header::events`](super::layout::Header)), at the moment at which others can see the event's effect. So
//! the events of one program are in program order, and an event that another program reacts to has a lower
//! number than the reaction. Concurrent events have either order.
//!
//! Event N is written to cell N modulo [`EVENTS`]. lonetd takes the events in the order of their numbers, and
//! counts those as lost that it does not find: each number is taken once, or lost once.
//!
//! | stamp of a cell | who may change it | to what |
//! |---|---|---|
//! | `Written` N or `Skipped` N, or nothing yet | the writer of a higher number for the cell | `Writing`, that number |
//! | | lonetd, when it gives up on a higher number | `Skipped`, that number |
//! | `Writing` N | its writer | `Written` N |
//! | | lonetd, when the writer has ended | `Skipped` N |
//!
//! **No writer waits.** A writer drops its event if another one, a whole round behind, is still writing the
//! cell, or if it is too late itself. The body of a cell has one writer at a time; so nobody takes a cell in
//! `Writing` from its writer.
//!
//! **A writer that is killed between two steps** loses its event. lonetd skips a number that is not written
//! after some time, and a cell in `Writing` when its writer, whose slot the stamp names, has ended. A writer
//! that is merely stopped keeps its cell, and so does no harm when it goes on.
//!
//! **While events are not recorded** the cost is one relaxed load: [`Table::is_recorded`].

use super::Table;
use super::event::WORDS;
pub use super::event::{Event, Kind};
use super::word::Word;
use std::sync::atomic::{AtomicU64, Ordering};

/// Capacity of the ring. A power of two.
pub const EVENTS: usize = 1 << 16;

/// The greatest number that fits a stamp: a millennium of events. A member may write anything into the
/// counter.
const LAST: u64 = (1 << 44) - 1;

/// A cell of the ring: one cache line.
#[repr(C, align(64))]
pub struct EventCell<W = AtomicU64> {
    /// `number << 20 | slot << 4 | phase`
    stamp: W,
    body: [W; WORDS],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Nothing,
    Writing,
    Written,
    Skipped,
}

#[derive(Clone, Copy)]
struct Stamp {
    number: u64,
    slot: u16,
    phase: Phase,
}

impl Stamp {
    fn unpack(word: u64) -> Stamp {
        let phase = match word & 15 {
            1 => Phase::Writing,
            2 => Phase::Written,
            3 => Phase::Skipped,
            _ => Phase::Nothing,
        };
        Stamp { number: word >> 20, slot: (word >> 4) as u16, phase }
    }

    fn pack(self) -> u64 {
        self.number << 20 | u64::from(self.slot) << 4 | self.phase as u64
    }
}

/// The result of taking an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Event([u64; WORDS]),
    /// It is not written yet. The slot of its writer, if that is known.
    NotYet(Option<u16>),
    /// It was dropped, skipped or overwritten.
    Lost,
}

/// The ring, and the counter of events.
pub struct Ring<'a, W> {
    places: &'a [EventCell<W>],
    count: &'a W,
}

impl<W> Clone for Ring<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Ring<'_, W> {}

impl<'a, W: Word> Ring<'a, W> {
    pub fn new(places: &'a [EventCell<W>], count: &'a W) -> Ring<'a, W> {
        Ring { places, count }
    }

    /// The number of the last event.
    pub fn last(self) -> u64 {
        self.count.get().min(LAST)
    }

    /// Number of cells.
    pub fn room(self) -> u64 {
        self.places.len() as u64
    }

    fn place(self, number: u64) -> &'a EventCell<W> {
        &self.places[(number % self.room()) as usize]
    }

    /// Writes an event and returns its number. `slot`: of the writing process.
    pub fn write(self, slot: u16, body: &[u64; WORDS]) -> u64 {
        let number = self.count.add(1).wrapping_add(1);
        let place = self.place(number);
        let is = place.stamp.get();
        let before = Stamp::unpack(is);
        let writing = Stamp { number, slot, phase: Phase::Writing };
        if before.phase != Phase::Writing
            && before.number < number
            && place.stamp.swap_if(is, writing.pack()).is_ok()
        {
            place.body.iter().zip(body).for_each(|(word, value)| word.set(*value));
            let _ = place.stamp.swap_if(writing.pack(), Stamp { phase: Phase::Written, ..writing }.pack());
        }
        number
    }

    /// For lonetd: takes the event with this number, which a writer has drawn.
    pub fn take(self, number: u64) -> Taken {
        let place = self.place(number);
        let is = place.stamp.get();
        let stamp = Stamp::unpack(is);
        if stamp.number < number {
            return Taken::NotYet(None);
        }
        match stamp.phase {
            Phase::Writing if stamp.number == number => Taken::NotYet(Some(stamp.slot)),
            Phase::Written if stamp.number == number => {
                let body = std::array::from_fn(|i| place.body[i].get());
                // A writer may have begun the next round meanwhile.
                if place.stamp.get() == is { Taken::Event(body) } else { Taken::Lost }
            }
            _ => Taken::Lost,
        }
    }

    /// For lonetd: gives up on an event that is not written. `false`: it was written just now, or is lost
    /// already.
    pub fn skip(self, number: u64) -> bool {
        let place = self.place(number);
        let is = place.stamp.get();
        let stamp = Stamp::unpack(is);
        let waits = stamp.number < number && stamp.phase != Phase::Writing
            || stamp.number == number && stamp.phase == Phase::Writing;
        let skipped = Stamp { number, slot: stamp.slot, phase: Phase::Skipped };
        waits && place.stamp.swap_if(is, skipped.pack()).is_ok()
    }
}

impl<'a> Table<'a> {
    /// Whether events are recorded.
    pub fn is_recorded(self) -> bool {
        self.header().recording.load(Ordering::Relaxed) != 0
    }

    pub fn ring(self) -> Ring<'a, AtomicU64> {
        Ring::new(&self.layout.events, &self.header().events)
    }

    /// Writes an event, if events are recorded, and returns its number. `slot`: of the writing process.
    #[inline]
    pub fn note(self, slot: u16, event: impl FnOnce() -> Event) -> Option<u64> {
        if !self.is_recorded() {
            return None;
        }
        self.write(slot, &event())
    }

    #[cold]
    #[inline(never)]
    fn write(self, slot: u16, event: &Event) -> Option<u64> {
        Some(self.ring().write(slot, &event.pack(self.block()?)))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::table::Mapping;

    pub fn places<W>(word: fn() -> W, n: usize) -> Vec<EventCell<W>> {
        let body = || std::array::from_fn(|_| word());
        (0..n).map(|_| EventCell { stamp: word(), body: body() }).collect()
    }

    fn body(n: u64) -> [u64; WORDS] {
        [n; WORDS]
    }

    #[test]
    fn events_are_taken_as_they_were_written() {
        let (places, count) = (places(AtomicU64::default, 4), AtomicU64::new(0));
        let ring = Ring::new(&places, &count);
        assert_eq!(ring.take(1), Taken::NotYet(None));
        assert_eq!([10, 20, 30].map(|n| ring.write(0, &body(n))), [1, 2, 3]);
        assert_eq!([1, 2, 3].map(|n| ring.take(n)), [10, 20, 30].map(|n| Taken::Event(body(n))));
    }

    #[test]
    fn overwritten_event_is_lost_and_no_other() {
        let (places, count) = (places(AtomicU64::default, 4), AtomicU64::new(0));
        let ring = Ring::new(&places, &count);
        (1..=6).for_each(|n| _ = ring.write(0, &body(n)));
        assert_eq!([1, 2].map(|n| ring.take(n)), [Taken::Lost; 2]);
        assert_eq!([3, 4, 5, 6].map(|n| ring.take(n)), [3, 4, 5, 6].map(|n| Taken::Event(body(n))));
    }

    #[test]
    fn number_of_a_killed_writer_is_skipped_and_its_cell_reused() {
        let (places, count) = (places(AtomicU64::default, 2), AtomicU64::new(0));
        let ring = Ring::new(&places, &count);
        // Writer 1 was killed before it began to write, writer 2 while it wrote.
        count.set(1);
        let stuck = Stamp { number: 2, slot: 5, phase: Phase::Writing };
        count.set(2);
        places[0].stamp.set(stuck.pack());
        assert_eq!([1, 2].map(|n| ring.take(n)), [Taken::NotYet(None), Taken::NotYet(Some(5))]);
        // A round later, writer 4 does not take the cell from writer 2.
        assert_eq!(ring.write(0, &body(3)), 3);
        assert_eq!(ring.write(0, &body(4)), 4);
        assert_eq!([3, 4].map(|n| ring.take(n)), [Taken::Event(body(3)), Taken::NotYet(None)]);
        assert!(!ring.skip(1) && ring.skip(2));
        assert_eq!([1, 2].map(|n| ring.take(n)), [Taken::Lost; 2]);
        (5..=6).for_each(|n| _ = ring.write(0, &body(n)));
        assert_eq!([5, 6].map(|n| ring.take(n)), [5, 6].map(|n| Taken::Event(body(n))));
    }

    #[test]
    fn nothing_is_counted_while_nobody_records() {
        let mapping = Mapping::private().expect("a table");
        let table = mapping.table();
        table.header().block.set(7);
        assert_eq!(table.note(0, || Event::new(Kind::Dial, 1, 1)), None);
        table.header().recording.set(1);
        assert_eq!(table.note(0, || Event::new(Kind::Dial, 1, 1)), Some(1));
        assert!(matches!(table.ring().take(1), Taken::Event(_)));
    }
}
