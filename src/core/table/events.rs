//! Events: what happens in the network, for whoever records it.
//!
//! # Theory of operation
//!
//! An event has a number from one counter in the table ([`Header::events`](super::layout::Header)), taken by whoever makes
//! it at the moment at which others can see its effect. So the events of a program are in its own order, and one that another
//! program can react to has the lower number of the two. Two that overlap have either order.
//!
//! Event number N is written to place N modulo [`EVENTS`] of a ring. lonetd takes the events in the order of their numbers,
//! and counts those as lost that were not there to be taken: each number is taken once, or lost once.
//!
//! | stamp of a place | who may change it | to what |
//! |---|---|---|
//! | `Written` N or `Skipped` N, or nothing so far | who has a higher number for the place | `Writing`, that number |
//! | | lonetd, which waits for a higher number no longer | `Skipped`, that number |
//! | `Writing` N | who writes it | `Written` N |
//! | | lonetd, when the writer has ended | `Skipped` N |
//!
//! **Nobody waits.** Who finds its place being written by another, a whole round ago, or finds that it is too late itself,
//! leaves its event out. The body of a place has one writer at a time, which is why a place in `Writing` is not taken from
//! its writer.
//!
//! **A death between two steps.** Who ends with a number and without an event, or in `Writing`, has lost one event. lonetd
//! leaves a number that nobody writes when it has waited long enough, and a place in `Writing` when its writer, whose slot the
//! stamp names, has ended. One that merely stands still keeps its place, so that it spoils nothing when it goes on.
//!
//! **Off** it costs one relaxed load: [`Table::is_recorded`].

use super::Table;
use super::event::WORDS;
pub use super::event::{Event, Kind};
use super::word::Word;
use std::sync::atomic::{AtomicU64, Ordering};

/// So many events wait to be taken at most. A power of two.
pub const EVENTS: usize = 1 << 16;

/// The greatest number that a stamp has room for: a millennium of events. A member may write anything into the counter.
const LAST: u64 = (1 << 44) - 1;

/// A cache line.
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

/// What an event's place holds for who takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Event([u64; WORDS]),
    /// It may come yet; from the process in this slot, where that is known.
    NotYet(Option<u16>),
    /// It will not.
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

    /// So many events it holds.
    pub fn room(self) -> u64 {
        self.places.len() as u64
    }

    fn place(self, number: u64) -> &'a EventCell<W> {
        &self.places[(number % self.room()) as usize]
    }

    /// Makes an event: the number that it has. `slot`: of the process that makes it.
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

    /// lonetd's: the event of this number, which somebody has taken.
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
                // Somebody may have begun the next round meanwhile.
                if place.stamp.get() == is { Taken::Event(body) } else { Taken::Lost }
            }
            _ => Taken::Lost,
        }
    }

    /// lonetd's: waits for this event no longer. `false`: it has come just then, or is lost already.
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
    /// Somebody records events.
    pub fn is_recorded(self) -> bool {
        self.header().recording.load(Ordering::Relaxed) != 0
    }

    pub fn ring(self) -> Ring<'a, AtomicU64> {
        Ring::new(&self.layout.events, &self.header().events)
    }

    /// Makes an event, if somebody records. Its number. `slot`: of the process that makes it.
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
    fn number_whose_taker_has_ended_is_left_and_its_place_serves_the_next_round() {
        let (places, count) = (places(AtomicU64::default, 2), AtomicU64::new(0));
        let ring = Ring::new(&places, &count);
        // Killed before it has begun to write, and in the midst of it.
        count.set(1);
        let stuck = Stamp { number: 2, slot: 5, phase: Phase::Writing };
        count.set(2);
        places[0].stamp.set(stuck.pack());
        assert_eq!([1, 2].map(|n| ring.take(n)), [Taken::NotYet(None), Taken::NotYet(Some(5))]);
        // A round later its place is not taken from it.
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
