//! Tests of the rules for faults in the table.

use super::*;
use crate::table::Mapping;

const CUT: Rule = Rule::new(Kind::Cut, 1, 2);

/// The rules without their counters.
fn rules(table: Table<'_>) -> Vec<Rule> {
    table.rules().into_iter().map(|r| Rule { counter: 0, ..r }).collect()
}

#[test]
fn rules_are_read_as_they_were_written() {
    let mapping = Mapping::private().expect("a table");
    let table = mapping.table();
    let all = [
        CUT,
        Rule { from: 65535, to: 0, port: 80, at: AT_MOST, until: (1 << 56) - 1, value: VALUE_MOST, ..CUT },
        Rule { kind: Kind::Refuse, at: 1, is_back: true, ..CUT },
    ];
    assert!(table.set_rules(&all));
    assert_eq!(rules(table), all);
    let word = table.faults();
    assert!(table.set_rules(&all[..1]));
    assert_eq!(rules(table), all[..1]);
    assert_ne!(table.faults(), word);
    assert!(table.set_rules(&[]));
    assert_eq!((table.faults(), rules(table)), (0, vec![]));
}

#[test]
fn rules_beyond_the_room_change_nothing() {
    let mapping = Mapping::private().expect("a table");
    let table = mapping.table();
    assert!(table.set_rules(&[CUT]));
    assert!(!table.set_rules(&[CUT; RULES + 1]));
    assert_eq!(rules(table), [CUT]);
    assert!(table.set_rules(&[CUT; RULES]));
}

#[test]
fn counter_stays_a_rules_own_and_a_new_rule_begins_with_0() {
    let mapping = Mapping::private().expect("a table");
    let table = mapping.table();
    let other = Rule { from: 3, ..CUT };
    assert!(table.set_rules(&[CUT, other]));
    let [first, second] = table.rules()[..] else { unreachable!("two rules") };
    table.add_hits(&second, 5);
    table.count_dial_hits(3, 2);
    table.count_dial_hits(2, 3);
    assert_eq!((table.hits(&first), table.hits(&second)), (0, 6));
    assert!(table.set_rules(&[second]));
    assert_eq!(table.hits(&table.rules()[0]), 6);
    assert!(table.set_rules(&[CUT, Rule { from: 4, ..CUT }]));
    assert_eq!(table.rules().iter().map(|r| table.hits(r)).sum::<u64>(), 0);
    let numbers: BTreeSet<u16> = table.rules().iter().map(|r| r.counter).collect();
    assert_eq!(numbers.len(), 2);
}

#[test]
fn cut_one_way_shuts_sending_here_and_receiving_there() {
    let one = || [CUT].into_iter();
    assert_eq!(shut_by(one(), (1, 2)), Shut { sending: true, receiving: false });
    assert_eq!(shut_by(one(), (2, 1)), Shut { sending: false, receiving: true });
    assert_eq!(shut_by(one(), (1, 3)), Shut::NEITHER);
}

#[test]
fn cut_from_every_other_host_leaves_its_own_and_outsiders() {
    let all = || [Rule { to: 0, ..CUT }, Rule { from: 0, to: 1, ..CUT }].into_iter();
    assert_eq!(shut_by(all(), (1, 9)), Shut { sending: true, receiving: true });
    assert_eq!(shut_by(all(), (9, 1)), Shut { sending: true, receiving: true });
    assert_eq!(shut_by(all(), (1, 1)), Shut::NEITHER);
    assert_eq!(shut_by(all(), (1, 0)), Shut::NEITHER);
    assert_eq!(shut_by(all(), (8, 9)), Shut::NEITHER);
}

#[test]
fn dials_of_one_port_are_refused_and_nothing_is_shut() {
    let mapping = Mapping::private().expect("a table");
    let table = mapping.table();
    assert!(!table.refuse(1, 2, 80));
    assert!(table.set_rules(&[Rule { kind: Kind::Refuse, port: 80, ..CUT }]));
    assert!(table.refuse(1, 2, 80) && table.asks_about(1, 2));
    assert!(!table.refuse(1, 2, 81) && !table.refuse(2, 1, 80) && !table.asks_about(2, 1));
    assert_eq!(table.shut_between((1, 2)).1, Shut::NEITHER);
}

#[test]
fn rules_for_names_are_told_and_are_not_about_dials() {
    let mapping = Mapping::private().expect("a table");
    let table = mapping.table();
    assert!(table.set_rules(&[CUT]));
    assert!(!table.has_name_faults());
    let names = Rule { value: NameFault::Slow as u64, at: 3, ..Rule::new(Kind::Names, 1, 2) };
    assert!(table.set_rules(&[names]));
    assert!(table.has_name_faults() && !table.asks_about(1, 2));
    assert_eq!(table.shut_between((1, 2)).1, Shut::NEITHER);
    assert_eq!(NameFault::of(&names), Some(NameFault::Slow));
    assert_eq!((NameFault::of(&CUT), NameFault::of(&Rule { value: 9, ..names })), (None, None));
}

#[test]
fn lowest_rate_of_what_is_sent_counts_and_nothing_is_shut() {
    let mapping = Mapping::private().expect("a table");
    let table = mapping.table();
    let rate = |from, to, value| Rule { value, ..Rule::new(Kind::Rate, from, to) };
    assert!(table.set_rules(&[rate(1, 2, 70), rate(1, 0, 50), rate(1, 3, 20)]));
    let pace = |rate| Pace { rate, ..Pace::default() };
    assert_eq!(table.shut_and_pace_between((1, 2)).1, (Shut::NEITHER, pace(Some(50))));
    assert_eq!(table.shut_and_pace_between((1, 3)).1, (Shut::NEITHER, pace(Some(20))));
    assert_eq!(table.shut_and_pace_between((2, 1)).1, (Shut::NEITHER, pace(None)));
    assert!(table.set_rules(&[rate(1, 2, 70), Rule { value: 900, ..Rule::new(Kind::Delay, 0, 2) }]));
    assert_eq!(table.shut_and_pace_between((1, 2)).1.1, Pace { rate: Some(70), delay: 900 });
    assert!(!table.asks_about(1, 2));
}

#[test]
fn cut_to_come_shuts_nothing_and_has_lonetd_asked() {
    let mapping = Mapping::private().expect("a table");
    let table = mapping.table();
    assert!(table.set_rules(&[Rule { at: 3, ..CUT }]));
    assert_eq!(table.shut_between((1, 2)).1, Shut::NEITHER);
    assert!(table.asks_about(1, 2) && !table.asks_about(1, 3) && !table.asks_about(2, 1));
    assert!(table.set_rules(&[Rule { from: 2, to: 1, at: 3, is_back: true, ..CUT }]));
    assert!(table.asks_about(1, 2) && !table.asks_about(2, 1));
    assert!(table.set_rules(&[CUT]));
    assert!(!table.asks_about(1, 2));
}

#[test]
fn rule_that_waits_for_a_dial_sets_nothing() {
    let rule = |kind, at, value| Rule { at, value, ..Rule::new(kind, 1, 2) };
    let pace = |rules: &[Rule]| pace_by(rules.iter().copied(), (1, 2));
    let waiting = [rule(Kind::Rate, 1, 5000), rule(Kind::Delay, 2, 70)];
    assert_eq!(pace(&waiting), Pace::default());
    let both = [waiting[0], rule(Kind::Rate, 0, 9000), rule(Kind::Delay, 0, 30)];
    assert_eq!(pace(&both), Pace { rate: Some(9000), delay: 30 });
    assert!(rule(Kind::Loss, 0, 1).loses((2, 1)) && !rule(Kind::Loss, 1, 1).loses((2, 1)));
}

#[test]
fn rules_linger_until_the_sockets_are_set() {
    let mapping = Mapping::private().expect("a table");
    let table = mapping.table();
    let other = Rule { from: 3, ..CUT };
    let lingering = || table.lingering_rules().into_iter().map(|r| r.from).collect::<Vec<_>>();
    assert!(table.set_rules(&[CUT]));
    assert!(lingering().is_empty());
    table.sockets_are_set();
    for (next, before) in [(&[CUT, other][..], vec![1]), (&[], vec![1, 3]), (&[other], vec![])] {
        assert!(table.set_rules(next));
        assert_eq!(lingering(), before);
        table.sockets_are_set();
        assert!(lingering().is_empty());
    }
}

#[test]
fn request_is_recognised_until_the_next_one() {
    let mapping = Mapping::private().expect("a table");
    let table = mapping.table();
    let other = Rule { from: 3, ..CUT };
    let before = |id| table.rules_before_request(id).map(|rules| rules.len());
    assert_eq!(before(7), None);
    assert!(table.set_rules_for(5, &[CUT, other]));
    assert_eq!((before(5), before(7), before(0)), (Some(0), None, None));
    assert!(table.set_rules_for(7, &[CUT]));
    assert_eq!((before(5), before(7)), (None, Some(2)));
    table.sockets_are_set();
    assert!(table.set_rules_for(8, &[]));
    assert_eq!((before(7), before(8)), (None, Some(1)), "also where no rule is left");
    assert!(table.set_rules(&[other]));
    assert_eq!((before(8), before(0)), (None, None));
}

#[test]
fn rules_before_a_heal_of_nothing_are_none() {
    let mapping = Mapping::private().expect("a table");
    let table = mapping.table();
    assert!(table.set_rules(&[CUT]) && table.set_rules(&[CUT, Rule { from: 3, ..CUT }]));
    assert!(table.set_rules_for(5, &[]));
    table.sockets_are_set();
    assert!(table.set_rules_for(6, &[]));
    assert_eq!(table.rules_before_request(6), Some(Vec::new()));
}

#[test]
fn rule_whose_time_has_passed_has_lonetd_asked_about_any_dial() {
    let mapping = Mapping::private().expect("a table");
    let table = mapping.table();
    assert!(table.set_rules(&[Rule { until: 1, ..CUT }]));
    assert!(table.asks_about(1, 2) && table.asks_about(3, 4));
    assert!(table.set_rules(&[Rule { until: (1 << 56) - 1, ..CUT }]));
    assert!(!table.asks_about(1, 2));
}
