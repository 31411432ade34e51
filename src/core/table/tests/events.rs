//! Tests of the ring of events: concurrent writers and lonetd in every order, and writers that are killed.

use super::orders::{Checked, in_every_order, word};
use super::steps::{Stepped, at_each_step, stepped};
use crate::table::event::WORDS;
use crate::table::events::tests::places;
use crate::table::events::{EventCell, Ring, Taken};
use crate::table::word::Word;
use loom::sync::Arc;
use loom::thread;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

struct Events<W> {
    places: Vec<EventCell<W>>,
    count: W,
}

impl<W: Word> Events<W> {
    fn new(word: fn() -> W, n: usize) -> Events<W> {
        Events { places: places(word, n), count: word() }
    }

    fn ring(&self) -> Ring<'_, W> {
        Ring::new(&self.places, &self.count)
    }

    /// Number and body of each event that lonetd gets if it takes all up to the last one without waiting.
    fn taken(&self) -> Vec<(u64, u64)> {
        let take = |number| match self.ring().take(number) {
            Taken::Event(body) => {
                assert_eq!(body, [body[0]; WORDS], "an event of two writers");
                Some((number, body[0]))
            }
            _ => None,
        };
        (1..=self.ring().last()).filter_map(take).collect()
    }
}

fn body(n: u64) -> [u64; WORDS] {
    [n; WORDS]
}

#[test]
fn two_events_at_once_are_both_taken_whole() {
    in_every_order(|| {
        let e = Arc::new(Events::<Checked>::new(word, 2));
        let other = {
            let e = e.clone();
            thread::spawn(move || e.ring().write(1, &body(10)))
        };
        let mine = e.ring().write(2, &body(20));
        let theirs = other.join().expect("no panic");
        let mut both = vec![(mine, 20), (theirs, 10)];
        both.sort_unstable();
        assert_eq!(e.taken(), both);
    });
}

#[test]
fn event_overwritten_during_a_take_is_taken_whole_or_lost() {
    in_every_order(|| {
        let e = Arc::new(Events::<Checked>::new(word, 1));
        e.ring().write(1, &body(10));
        let writer = {
            let e = e.clone();
            thread::spawn(move || e.ring().write(1, &body(20)))
        };
        let taken = e.ring().take(1);
        assert!(matches!(taken, Taken::Lost) || taken == Taken::Event(body(10)), "{taken:?}");
        writer.join().expect("no panic");
        assert_eq!(e.taken(), [(2, 20)]);
    });
}

#[test]
fn skipped_event_is_not_taken_and_the_next_round_is_whole() {
    in_every_order(|| {
        let e = Arc::new(Events::<Checked>::new(word, 1));
        let writer = {
            let e = e.clone();
            thread::spawn(move || e.ring().write(1, &body(10)))
        };
        let skipped = e.ring().last() == 1 && e.ring().skip(1);
        writer.join().expect("no panic");
        assert_eq!(e.taken(), if skipped { vec![] } else { vec![(1, 10)] });
        e.ring().write(1, &body(20));
        assert_eq!(e.taken(), [(2, 20)]);
    });
}

/// Runs a writer that may be killed between two steps. Returns whether it was.
fn killed(run: impl FnOnce()) -> bool {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(()) => false,
        Err(why) if why.downcast_ref() == Some(&Killed) => true,
        Err(why) => resume_unwind(why),
    }
}

#[derive(PartialEq)]
struct Killed;

#[test]
fn writer_killed_between_any_two_steps_stops_no_other() {
    at_each_step(|begin| {
        let e = Events::<Stepped>::new(stepped, 2);
        begin(Box::new(|| resume_unwind(Box::new(Killed))));
        // It may complete before it is killed.
        if !killed(|| _ = e.ring().write(1, &body(10))) {
            return;
        }
        (0..4).for_each(|n| _ = e.ring().write(2, &body(100 + n)));
        // lonetd skips what was not written, and others can use the cell again.
        (1..=e.ring().last()).for_each(|number| _ = e.ring().skip(number));
        let next = e.ring().last() + 1;
        (0..2).for_each(|n| _ = e.ring().write(2, &body(200 + n)));
        assert_eq!(e.taken(), [(next, 200), (next + 1, 201)]);
    });
}

#[test]
fn writer_stopped_between_any_two_steps_harms_no_other() {
    at_each_step(|begin| {
        let e = Rc::new(Events::<Stepped>::new(stepped, 2));
        let others = e.clone();
        begin(Box::new(move || (0..4).for_each(|n| _ = others.ring().write(2, &body(100 + n)))));
        e.ring().write(1, &body(10));
        let taken = e.taken();
        assert!(taken.iter().all(|(_, body)| *body == 10 || *body >= 100));
    });
}
