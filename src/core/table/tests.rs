//! Tests of the table's protocols: step by step, and in every order of concurrent steps.

mod events;
mod orders;
mod small;
mod steps;

use super::claim::{Claim, OnUnverified, SocketQuery, Suspect};
use super::ports::Seen;
use super::slot;
use super::state::{Phase, TAKEN};
use small::{ALPHA, BETA, LISTEN_COUNT, Small, tuple};
use std::sync::atomic::AtomicU64;

fn small() -> Small<AtomicU64> {
    Small::new(AtomicU64::default)
}

/// A query of the kernel that must not happen.
fn no_query(_: &mut [Suspect]) {
    unreachable!("a query of the kernel")
}

#[test]
fn port_is_claimed_in_order_and_released_by_withdrawal() {
    let s = small();
    let p = s.parts();
    let dials: Vec<_> = (1..=3).map(|cookie| s.dial(cookie, &mut no_query)).collect();
    assert_eq!(dials.iter().map(|d| d.port).collect::<Vec<_>>(), [1, 2, 3]);
    p.withdraw(dials[1].reference, 2, &dials[1].entry);
    assert_eq!(s.dial(4, &mut no_query).port, 2);
    assert_eq!(s.dial(5, &mut no_query).port, 4);
}

#[test]
fn port_of_a_dial_that_was_left_before_connect_is_free() {
    let s = small();
    let p = s.parts();
    let left = s.dial(1, &mut no_query);
    assert_eq!(s.dial(2, &mut no_query).port, 2);
    p.abandon(left.reference, s.slot, |phase| phase == Phase::Writing);
    assert_eq!(s.dial(3, &mut no_query).port, 1);
    let made = s.connected(4, &mut no_query);
    p.abandon(made.reference, s.slot, |_| true);
    assert_eq!((made.port, s.dial(5, &mut no_query).port), (3, 4));
}

#[test]
fn page_of_a_host_that_is_down_is_reassigned_when_none_is_left() {
    let s = Small::sized(AtomicU64::default, 32, 1);
    let p = s.parts();
    let dial = s.dial(1, &mut no_query);
    let room = |host, down| p.ports.make_room(p.records, host, 1, |index| index == down);
    assert!(room(ALPHA, 0) && !room(BETA, 0), "there is one page");
    assert!(!room(BETA, ALPHA), "a port of it is held");
    p.withdraw(dial.reference, 1, &dial.entry);
    assert!(!room(BETA, 0), "its host is up");
    assert!(room(BETA, ALPHA) && p.ports.word(BETA, 1).is_some());
    assert!(p.ports.word(ALPHA, 1).is_none());
}

#[test]
fn suspect_port_whose_socket_has_gone_is_free() {
    let s = small();
    let dials: Vec<_> = (1..=12).map(|cookie| s.connected(cookie, &mut no_query)).collect();
    for d in &dials {
        s.close(d.cookie);
    }
    // The first eight are alive, the tenth has gone.
    let gone = |suspects: &mut [Suspect]| suspects.iter_mut().for_each(|s| s.has_gone = s.cookie == 10);
    assert_eq!(s.dial(20, &mut { gone }).port, 10);
    // The ports stay suspect, and the kernel is asked again about those that were alive.
    let gone = |suspects: &mut [Suspect]| suspects.iter_mut().for_each(|s| s.has_gone = s.cookie == 3);
    assert_eq!(s.dial(21, &mut { gone }).port, 3);
}

#[test]
fn sockets_known_to_be_alive_are_not_asked_about() {
    struct Kernel(Vec<u64>);
    impl SocketQuery for Kernel {
        fn ask(&mut self, suspects: &mut [Suspect]) {
            self.0.extend(suspects.iter().map(|s| s.cookie));
            suspects.iter_mut().for_each(|s| s.has_gone = s.cookie == 18);
        }

        fn mark_alive(&self, suspects: &mut [Suspect]) {
            suspects.iter_mut().for_each(|s| s.is_alive = s.cookie % 2 == 1);
        }
    }
    let s = small();
    let dials: Vec<_> = (1..=20).map(|cookie| s.connected(cookie, &mut no_query)).collect();
    for d in &dials {
        s.close(d.cookie);
    }
    let mut kernel = Kernel(Vec::new());
    assert_eq!(s.dial(50, &mut kernel).port, 18);
    assert_eq!(kernel.0, (1..=10).map(|n| 2 * n).collect::<Vec<u64>>());
}

#[test]
fn claim_passes_a_bound_port_and_asks_lonetd_if_it_is_suspect() {
    let s = small();
    let p = s.parts();
    p.ports.set_bound(ALPHA, 1, true);
    assert_eq!(s.dial(1, &mut no_query).port, 2);
    p.ports.suspect_bound(ALPHA, 1);
    let claimer = p.records.take(0, s.slot, 9).expect("a record");
    assert_eq!(p.claim(ALPHA, 1, claimer, &mut no_query), Claim::AskLonetd);
    p.ports.set_bound(ALPHA, 1, false);
    assert_eq!(p.claim(ALPHA, 1, claimer, &mut no_query), Claim::Port(1));
}

#[test]
fn claim_asks_lonetd_about_a_bound_port_where_closes_are_unseen() {
    let s = small();
    let p = s.parts();
    p.ports.set_bound(ALPHA, 1, true);
    assert_eq!(s.dial(1, &mut no_query).port, 2);
    p.ports.set_unseen(ALPHA, true);
    let claimer = p.records.take(0, s.slot, 9).expect("a record");
    assert_eq!(p.claim(ALPHA, 1, claimer, &mut no_query), Claim::AskLonetd);
    let looked = |claimer| p.claim_with(ALPHA, 1, claimer, OnUnverified::AskIfSuspect, &mut no_query);
    assert_eq!(looked(claimer), Claim::Port(3));
    p.ports.suspect_bound(ALPHA, 1);
    let claimer = p.records.take(0, s.slot, 10).expect("a record");
    assert_eq!(looked(claimer), Claim::AskLonetd, "closed since");
    p.ports.set_bound(ALPHA, 1, false);
    assert!(p.ports.is_unseen(ALPHA) && !p.ports.is_unseen(BETA), "lowering the mark leaves the flag");
    assert_eq!(looked(claimer), Claim::Port(1));
    p.ports.set_bound(ALPHA, 4, true);
    p.ports.set_unseen(ALPHA, false);
    assert_eq!(s.dial(11, &mut no_query).port, 5);
}

#[test]
fn binding_a_port_that_a_dial_has_claimed_leaves_both() {
    let s = small();
    let p = s.parts();
    let dial = s.connected(1, &mut no_query);
    p.ports.set_bound(ALPHA, 1, true);
    p.end(dial.reference);
    assert_eq!(p.ports.look(p.records, ALPHA, 1), Seen::Held);
    p.ports.set_bound(ALPHA, 1, false);
    assert!(matches!(p.ports.look(p.records, ALPHA, 1), Seen::Free(_)));
}

#[test]
fn claim_has_lonetd_look_when_a_process_of_the_host_has_ended() {
    let s = small();
    let p = s.parts();
    s.connected(1, &mut no_query);
    s.slots[usize::from(s.slot)].mark();
    let claimer = p.records.take(0, s.slot, 9).expect("a record");
    assert_eq!(p.claim(ALPHA, 1, claimer, &mut no_query), Claim::AskLonetd);
    p.slots.set_phase(s.slot, slot::Phase::Unverified);
    assert_eq!(p.claim(ALPHA, 1, claimer, &mut no_query), Claim::Port(2));
}

#[test]
fn autobind_from_a_port_leaves_the_mark_below_lower_free_ones() {
    let s = small();
    let p = s.parts();
    let high = p.records.take(0, s.slot, 1).expect("a record");
    assert_eq!(p.claim(ALPHA, 100, high, &mut no_query), Claim::Port(100));
    assert_eq!(s.dial(2, &mut no_query).port, 1);
}

#[test]
fn last_port_is_65535_and_then_there_is_none() {
    let s = small();
    let p = s.parts();
    let claim = |cookie| {
        let claimer = p.records.take(0, s.slot, cookie).expect("a record");
        p.claim(ALPHA, 65534, claimer, &mut no_query)
    };
    assert_eq!([claim(1), claim(2), claim(3)], [Claim::Port(65534), Claim::Port(65535), Claim::NoPort]);
}

#[test]
fn dial_is_found_by_its_addresses_and_taken_once() {
    let s = small();
    let p = s.parts();
    let dial = s.connected(7, &mut no_query);
    let (from, to) = tuple(dial.port);
    let found = p.dial_between(from, to, 0).expect("the dial");
    assert!(p.is_certain(&found) && found.cookie == 7);
    assert!(p.take_dial(&found) && !p.take_dial(&found));
    assert_eq!(p.dial_between(from, to, 0), None);
}

#[test]
fn dial_older_than_the_listener_is_not_found() {
    let s = small();
    let p = s.parts();
    let dial = s.connected(7, &mut no_query);
    let (from, to) = tuple(dial.port);
    assert!(p.dial_between(from, to, LISTEN_COUNT).is_some());
    assert_eq!(p.dial_between(from, to, LISTEN_COUNT + 1), None);
}

#[test]
fn dial_that_was_closed_or_whose_process_ended_is_not_certain() {
    let s = small();
    let p = s.parts();
    let [one, two] = [s.connected(7, &mut no_query), s.connected(8, &mut no_query)];
    s.close(7);
    let look = |port| p.dial_between(tuple(port).0, tuple(port).1, 0).expect("the dial");
    assert!(!p.is_certain(&look(one.port)) && p.is_certain(&look(two.port)));
    s.slots[usize::from(s.slot)].mark();
    assert!(!p.is_certain(&look(two.port)));
}

#[test]
fn second_dial_between_the_same_addresses_is_not_entered() {
    let s = small();
    let p = s.parts();
    let first = s.connected(7, &mut no_query);
    let second = s.dial(8, &mut no_query);
    let (from, to) = tuple(first.port);
    assert!(!p.publish(second.reference, from, to));
    assert!(p.take_dial(&p.dial_between(from, to, 0).expect("the dial")));
    assert!(p.publish(second.reference, from, to));
}

#[test]
fn kept_record_has_the_flag_of_a_taken_dial() {
    let s = small();
    let p = s.parts();
    let entry = super::record::tests::entry(5);
    for flags in [0, TAKEN] {
        p.keep(0, 7, (s.slot, 1), &entry, flags).expect("a record");
        assert_eq!(p.find(7).map(|f| (f.state.phase, f.state.flags)), Some((Phase::Kept, flags)));
    }
}
