//! Model-checked tests: two or three processes at once, in every order that their steps and the memory model
//! allow.
//!
//! Each order is checked for what a program could see: no port twice, the lowest free port afterwards, each
//! dial taken once, nothing read that was never written.

use super::small::{ALPHA, Small, tuple};
use crate::scopes::Scopes;
use crate::table::claim::{Claim, Suspect};
use crate::table::entry::Destination;
use crate::table::listeners::Listener;
use crate::table::record::tests::entry;
use crate::table::state::{Phase, Reference};
use crate::table::word::Word;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;
use std::cell::Cell;
use std::net::SocketAddrV4;

thread_local! {
    /// How the checker treats reads at the moment.
    static READS: Cell<Reads> = const { Cell::new(Reads::MayBeOld) };
}

/// How the checker treats reads.
///
/// loom tries other orders where two processes use the same word, but remembers only the last use: a process
/// that reads a word and then changes it hides the other's read. So every test runs twice: once with reads
/// that loom takes for changes, to find all orders, and once with true reads, to find stale values.
#[derive(Clone, Copy)]
enum Reads {
    /// True loads, which may return a stale value.
    MayBeOld,
    /// Read-modify-writes, which are never stale.
    AreSteps,
}

/// A word that loom checks.
pub struct Checked(AtomicU64);

impl Word for Checked {
    fn get(&self) -> u64 {
        match READS.get() {
            Reads::MayBeOld => self.0.load(Ordering::Acquire),
            Reads::AreSteps => self.0.fetch_add(0, Ordering::AcqRel),
        }
    }
    fn set(&self, value: u64) {
        match READS.get() {
            Reads::MayBeOld => self.0.store(value, Ordering::Release),
            // To loom, a plain store may be ordered before a change that has not seen it.
            Reads::AreSteps => _ = self.0.swap(value, Ordering::AcqRel),
        }
    }
    fn swap_if(&self, is: u64, to: u64) -> Result<(), u64> {
        self.0.compare_exchange(is, to, Ordering::AcqRel, Ordering::Acquire).map(drop)
    }
    fn set_bits(&self, bits: u64) -> u64 {
        self.0.fetch_or(bits, Ordering::AcqRel)
    }
    fn clear_bits(&self, bits: u64) -> u64 {
        self.0.fetch_and(!bits, Ordering::AcqRel)
    }
    fn add(&self, n: u64) -> u64 {
        self.0.fetch_add(n, Ordering::AcqRel)
    }
}

pub fn word() -> Checked {
    Checked(AtomicU64::new(0))
}

/// Runs `check` in every order of its steps, with at most two preemptions.
pub fn in_every_order(check: impl Fn() + Copy + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    for reads in [Reads::MayBeOld, Reads::AreSteps] {
        READS.set(reads);
        model.check(check);
    }
}

fn small() -> Arc<Small<Checked>> {
    Arc::new(Small::sized(word, 4, 1))
}

fn lives(_: &mut [Suspect]) {}

fn claim(s: &Small<Checked>, cookie: u64, kernel: &mut impl FnMut(&mut [Suspect])) -> u16 {
    let claimer = s.parts().records.take(0, s.slot, cookie).expect("a record");
    match s.parts().claim(ALPHA, 1, claimer, kernel) {
        Claim::Port(port) => port,
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn two_claims_at_once_get_the_two_lowest_ports() {
    in_every_order(|| {
        let s = small();
        let other = {
            let s = s.clone();
            thread::spawn(move || claim(&s, 2, &mut lives))
        };
        let mine = claim(&s, 1, &mut lives);
        let mut both = [mine, other.join().expect("no panic")];
        both.sort_unstable();
        assert_eq!(both, [1, 2]);
        assert_eq!(claim(&s, 3, &mut lives), 3);
    });
}

#[test]
fn port_closed_during_a_claim_is_the_next_ones() {
    in_every_order(|| {
        let s = small();
        s.connected(1, &mut lives);
        let closer = {
            let s = s.clone();
            thread::spawn(move || s.close(1))
        };
        let gone = |suspects: &mut [Suspect]| suspects.iter_mut().for_each(|s| s.has_gone = s.cookie == 1);
        let first = claim(&s, 2, &mut { gone });
        closer.join().expect("no panic");
        let second = claim(&s, 3, &mut { gone });
        let mut both = [first, second];
        both.sort_unstable();
        assert_eq!(both, [1, 2]);
    });
}

#[test]
fn port_of_a_closed_dial_is_free_while_lonetd_frees_the_record() {
    in_every_order(|| {
        let s = small();
        let gone = |suspects: &mut [Suspect]| suspects.iter_mut().for_each(|s| s.has_gone = true);
        let dial = s.connected(1, &mut { gone });
        s.close(1);
        let lonetd = {
            let s = s.clone();
            thread::spawn(move || {
                s.parts().end(dial.reference);
                s.parts().free(dial.reference);
            })
        };
        assert_eq!(claim(&s, 2, &mut { gone }), dial.port);
        lonetd.join().expect("no panic");
    });
}

#[test]
fn port_withdrawn_during_a_claim_is_the_next_ones() {
    in_every_order(|| {
        let s = small();
        let dial = s.dial(1, &mut lives);
        let other = {
            let s = s.clone();
            thread::spawn(move || s.parts().withdraw(dial.reference, 1, &dial.entry))
        };
        let first = claim(&s, 2, &mut lives);
        other.join().expect("no panic");
        let mut both = [first, claim(&s, 3, &mut lives)];
        both.sort_unstable();
        assert_eq!(both, [1, 2]);
    });
}

#[test]
fn dial_is_taken_by_one_of_two_accepts() {
    in_every_order(|| {
        let s = small();
        let dial = s.connected(1, &mut lives);
        let (from, to) = tuple(dial.port);
        let accept = move |s: &Small<Checked>| {
            let found = s.parts().dial_between(from, to, 0);
            found.is_some_and(|f| s.parts().take_dial(&f))
        };
        let other = {
            let s = s.clone();
            thread::spawn(move || accept(&s))
        };
        let mine = accept(&s);
        assert_eq!(u8::from(mine) + u8::from(other.join().expect("no panic")), 1);
    });
}

#[test]
fn accept_during_connect_finds_the_dial_as_it_was_written() {
    in_every_order(|| {
        let s = small();
        let dial = s.dial(1, &mut lives);
        let (from, to) = tuple(dial.port);
        let entry = dial.entry;
        let dialer = {
            let s = s.clone();
            thread::spawn(move || {
                assert!(s.parts().publish(dial.reference, from, to));
                s.parts().connected(dial.reference, true);
            })
        };
        let found = s.parts().dial_between(from, to, 0);
        if let Some(f) = found {
            assert_eq!((f.cookie, f.entry), (1, entry));
            // The dialer may have returned from connect meanwhile; then the accept reads the dial again.
            let taken = s.parts().take_dial(&f)
                || s.parts().take_dial(&s.parts().dial_between(from, to, 0).expect("it"));
            assert!(taken);
        }
        dialer.join().expect("no panic");
        let state = s.parts().records.state(dial.reference).expect("its state");
        assert_eq!(state.phase, Phase::Owned);
    });
}

#[test]
fn dial_that_ends_during_its_accept_is_taken_and_holds_no_port() {
    in_every_order(|| {
        let s = small();
        let dial = s.connected(1, &mut lives);
        let (from, to) = tuple(dial.port);
        let ender = {
            let s = s.clone();
            thread::spawn(move || s.parts().end(dial.reference))
        };
        let accept = || s.parts().dial_between(from, to, 0).is_some_and(|f| s.parts().take_dial(&f));
        assert!(accept() || accept(), "the dial is found before, during and after its end");
        ender.join().expect("no panic");
        assert_eq!(claim(&s, 2, &mut lives), 1);
    });
}

#[test]
fn record_is_read_as_it_was_before_or_after_a_change() {
    in_every_order(|| {
        let s = small();
        s.parts().keep(0, 1, (0, 0), &entry(5), 0).expect("a record");
        let writer = {
            let s = s.clone();
            thread::spawn(move || s.parts().keep(0, 1, (0, 0), &entry(6), 0).expect("a record"))
        };
        let read = s.parts().find(1).map(|f| f.entry);
        assert!(read == Some(entry(5)) || read == Some(entry(6)), "{read:?}");
        writer.join().expect("no panic");
        assert_eq!(s.parts().find(1).map(|f| f.entry), Some(entry(6)));
    });
}

#[test]
fn listener_is_read_as_it_was_before_or_after_a_change() {
    const DIALED: Destination = Destination { host: 2, port: 80, scope: Scopes(1) };
    in_every_order(|| {
        let s = small();
        let listener = |n: u16| Listener {
            os: SocketAddrV4::new(super::small::block().address(2), n),
            record: Reference::new(usize::from(n), u32::from(n)),
        };
        s.parts().listeners.set(DIALED, Some(listener(1)));
        let writer = {
            let s = s.clone();
            thread::spawn(move || {
                s.parts().listeners.set(DIALED, Some(listener(2)));
            })
        };
        let found = s.parts().listeners.find(DIALED);
        assert!(found.is_none_or(|l| l == listener(1) || l == listener(2)), "{found:?}");
        writer.join().expect("no panic");
    });
}
