//! Tests of files of expected events: what they match, what they say of a difference, and how they are recorded.

use super::matcher::Matcher;
use super::parse::parse;
use super::record::{Order, record};
use super::report::Report;
use crate::trace::event::{Event, Header, Kind};
use crate::trace::moment::Moment;
use proptest::prelude::*;

/// Parses an event from words without patterns.
fn event(seq: u64, milliseconds: u64, words: &str) -> Event {
    let mut event = Event::new(seq, Moment(milliseconds * 1000), Kind::Lost);
    let mut words = words.split(' ');
    let host = words.next().unwrap_or_default();
    event.host = (host != "-").then(|| host.to_owned());
    event.kind = Kind::parse(words.next().expect("a kind")).expect("a kind");
    let rest: Vec<&str> = words.collect();
    match rest.as_slice() {
        [from, "->", to, rest @ ..] => {
            (event.from, event.to) = (Some((*from).into()), Some((*to).into()));
            for field in rest {
                match field.split_once('=').expect("key=value") {
                    ("error", text) => event.error = Some(text.into()),
                    ("sent", text) => event.sent = text.parse().ok(),
                    other => unreachable!("{other:?}"),
                }
            }
        }
        [at] => event.at = Some((*at).into()),
        rest => event.rule = (!rest.is_empty()).then(|| rest.join(" ")),
    }
    event
}

fn events(text: &str) -> Vec<Event> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.zip(1..).map(|(line, n)| event(n, n * 1000, line)).collect()
}

/// The report, or "" if there is no difference.
fn compared(file: &str, events: &[Event]) -> String {
    let file = parse(file).expect("a file");
    let mut matcher = Matcher::new(&file, Moment(0));
    let mut difference = None;
    for event in events {
        difference = matcher.take(event).expect("few ways");
        if difference.is_some() {
            break;
        }
    }
    match difference.or_else(|| matcher.end()) {
        None => String::new(),
        Some(difference) => {
            let (matcher, difference) = (&matcher, &difference);
            Report { name: "f", file: &file, matcher, events, difference, end: "the trace ends" }.to_string()
        }
    }
}

fn is_same(file: &str, trace: &str) -> bool {
    compared(file, &events(trace)).is_empty()
}

const TRACE: &str = "
    web listening web:80
    laptop host_up
    laptop dial laptop:1 -> web:80
    laptop connected laptop:1 -> web:80
    web accepted laptop:1 -> web:80
    web closed laptop:1 -> web:80 sent=7
    laptop closed laptop:1 -> web:80 sent=5";

#[test]
fn only_hosts_and_kinds_in_the_file_are_compared() {
    assert!(is_same("laptop dial laptop:1 -> web:80\nlaptop closed laptop:1 → web:80", TRACE));
    assert!(!is_same("laptop closed laptop:1 -> web:80\nlaptop dial laptop:1 -> web:80", TRACE), "the order");
    assert!(
        !is_same("laptop dial laptop:1 -> web:80\nlaptop dial laptop:2 -> web:80", TRACE),
        "one is missing"
    );
    let twice = format!("{TRACE}\nlaptop dial laptop:2 -> web:80");
    assert!(!is_same("laptop dial laptop:1 -> web:80", &twice), "one is too many");
    assert!(is_same("laptop connected laptop:1 -> web:80", &twice));
}

#[test]
fn strict_compares_everything() {
    assert!(!is_same("strict\nlaptop dial", TRACE));
    let all: Vec<&str> = TRACE.lines().map(str::trim).collect();
    assert!(is_same(&format!("strict\n{}", all.join("\n")), TRACE));
}

#[test]
fn stars_captures_and_fields_are_compared() {
    assert!(is_same("* dial *:$p -> $to\n* accepted laptop:$p -> $to\n", TRACE));
    assert!(!is_same("* dial *:$p -> *\n* accepted laptop:* -> web:$p\n", TRACE));
    assert!(is_same("web * web:80\nweb * * -> * \nweb * sent=7", TRACE));
    assert!(is_same("laptop closed sent=5 error=*", TRACE) && is_same("laptop closed error=-", TRACE));
    assert!(!is_same("laptop closed sent=6", TRACE) && !is_same("laptop closed error=E*", TRACE));
}

#[test]
fn order_in_an_unordered_block_is_any() {
    let file = |block: &str| format!("laptop dial\nunordered {{\n{block}\n}}\nlaptop closed");
    assert!(is_same(&file("web accepted\nlaptop connected"), TRACE));
    assert!(is_same(&file("laptop connected\nweb accepted"), TRACE));
    assert!(!is_same(&file("laptop connected\nweb accepted\nweb accepted"), TRACE));
    let ordered = "ordered {\nweb accepted\nweb closed\n}\nlaptop connected";
    assert!(is_same(&file(ordered), TRACE));
    assert!(!is_same(&file("ordered {\nweb closed\nweb accepted\n}\nlaptop connected"), TRACE));
}

#[test]
fn wrong_choice_is_revised() {
    let trace = "a dial a:1 -> x:1\na dial a:2 -> x:2\na dial a:3 -> x:1";
    assert!(is_same("unordered {\na dial * -> *\na dial a:1 -> *\na dial * -> x:2\n}", trace));
    // The first line would take the first event, and with it $x.
    assert!(is_same("unordered {\na dial a:$n -> x:$n\na dial a:1 -> x:1\na dial a:3 -> *\n}", trace));
}

#[test]
fn meanwhile_goes_on_beside_what_follows() {
    let file =
        "meanwhile {\nweb accepted\nweb closed\n}\nmeanwhile laptop connected\nlaptop dial\nlaptop closed";
    assert!(is_same(file, TRACE));
    assert!(!is_same("meanwhile {\nweb closed\nweb accepted\n}\nlaptop dial", TRACE));
    assert!(!is_same("meanwhile web closed sent=8\nlaptop dial", TRACE));
}

#[test]
fn eventually_skips_events_before_it() {
    assert!(is_same("eventually * closed laptop:1 -> * sent=5\n", TRACE));
    assert!(!is_same("* closed laptop:1 -> * sent=5\n", TRACE));
    assert!(is_same("laptop dial\neventually within 4s laptop closed", TRACE));
    assert!(!is_same("laptop dial\neventually within 3999ms laptop closed", TRACE));
    assert!(!is_same("laptop dial\nwithin 999ms laptop connected", TRACE));
}

/// The report of what differs from a file whose lines are divided by `;`.
fn difference(file: &str, trace: &str) -> String {
    compared(&file.replace("; ", "\n"), &events(&trace.replace("; ", "\n")))
}

#[test]
fn difference_is_behind_the_eventual_event_that_happened() {
    let twice = "c dial c:1 -> a:80; c dial c:1 -> a:80; c dial c:1 -> b:80";
    assert_eq!(
        difference("eventually c dial c:1 -> a:80", twice),
        "\
f: more has happened than is expected
    00:00:01.000000 c dial c:1 → a:80
    00:00:02.000000 c dial c:1 → a:80
  - nothing more
  + 00:00:03.000000 c dial c:1 → b:80
"
    );
    let none = difference("eventually c dial c:1 -> a:81", twice);
    assert!(none.starts_with("f:1: what is expected has not happened\n"), "{none}");
    assert!(none.ends_with("  - eventually c dial c:1 -> a:81\n  + nothing: the trace ends\n"), "{none}");
    // Before other lines, also where the time for another one like it is over when the trace ends.
    for eventually in ["eventually", "eventually within 5s"] {
        let file = format!("{eventually} c dial c:1 -> a:80; d closed; c closed");
        let trace = "c dial c:1 -> a:80; d closed; d closed; d dial d:1 -> a:80; d closed; d closed; d closed; d closed";
        let other = difference(&file, trace);
        assert!(other.starts_with("f:3: what happened is not what is expected\n"), "{other}");
        assert!(other.contains("\n  - c closed\n  + 00:00:03.000000 d closed\n"), "{other}");
        let missing = difference(&file, "c dial c:1 -> a:80; d closed");
        assert_eq!(missing.lines().next(), Some("f:3: what is expected has not happened"), "{missing}");
        assert!(missing.ends_with("\n  - c closed\n  + nothing: the trace ends\n"), "{missing}");
    }
    let never = difference("eventually c dial; never d reset", "c dial c:1 -> a:80; d reset a:1 -> b:1");
    assert!(never.starts_with("f:2: what never happens has happened\n"), "{never}");
}

#[test]
fn never_holds_from_where_it_stands() {
    assert!(is_same("never * reset\nlaptop dial", TRACE));
    assert!(!is_same("never laptop connected\nlaptop dial", TRACE));
    assert!(is_same("laptop connected\nnever laptop connected", TRACE));
    assert!(!is_same("laptop dial $a -> *\nnever web accepted $a -> *", TRACE));
    assert!(is_same("laptop dial $a -> *\nnever web accepted web:1 -> $a", TRACE));
}

#[test]
fn difference_is_shown_with_the_events_around_it() {
    assert_eq!(
        compared("laptop dial\nlaptop connected $a -> $b\nweb accepted laptop:2 -> $b", &events(TRACE)),
        "\
f:3: what happened is not what is expected
    00:00:03.000000 laptop dial laptop:1 → web:80
    00:00:04.000000 laptop connected laptop:1 → web:80
  - web accepted laptop:2 -> $b
  + 00:00:05.000000 web accepted laptop:1 → web:80
  from is laptop:1
  $b is web:80
"
    );
    assert_eq!(
        compared("unordered {\nlaptop connected\nweb closed\n}\nlaptop dial", &events(TRACE)),
        "\
f:2: what happened is not what is expected
  - laptop connected    (line 2)
  - web closed    (line 3)
  + 00:00:03.000000 laptop dial laptop:1 → web:80
    00:00:04.000000 laptop connected laptop:1 → web:80
    00:00:06.000000 web closed laptop:1 → web:80 sent=7
"
    );
    assert!(
        compared("laptop connected\nlaptop dial", &events(TRACE)).contains("\n  it comes later: 00:00:04")
    );
    assert!(
        compared("never web accepted\nweb closed", &events(TRACE)).starts_with("f:1: what never happens has")
    );
    let end = compared("laptop dial\nlaptop reset", &events(TRACE));
    assert!(end.ends_with("\n  - laptop reset\n  + nothing: the trace ends\n"), "{end}");
    let more =
        compared("laptop dial\nlaptop connected", &events(&format!("{TRACE}\nlaptop dial a:1 -> b:1")));
    assert!(more.starts_with("f: more has happened than is expected\n"), "{more}");
}

#[test]
fn syntax_error_has_its_position() {
    for (text, line, column, why) in [
        ("", 1, 1, "no event is expected"),
        ("# nothing", 1, 1, "no event is expected"),
        ("α dail", 1, 3, "no event is called \"dail\""),
        ("\n  web", 2, 6, "what happened is missing"),
        ("web dial a:1", 1, 10, "two addresses"),
        ("web dial a:1 b:1", 1, 10, "two addresses"),
        ("web listening a:1 b:2", 1, 19, "one word"),
        ("web host_up a:1", 1, 13, "nothing stands behind"),
        ("web closed colour=1", 1, 12, "no event has a field \"colour\""),
        ("web closed sent=1 a:1 -> b:1", 1, 19, "this stands before all KEY=VALUE"),
        ("web closed sent=1 sent=2", 1, 19, "sent is said twice"),
        ("ααα closed sent=$", 1, 17, "a capture is $"),
        ("\"web dial", 1, 1, "there is no \""),
        ("\"we\\b\" dial", 0, 0, ""),
        ("\"we\\q\" dial", 1, 1, "\"we\\q\" is not quoted"),
        ("web dial\n  unordered {\nweb dial", 2, 3, "this block does not end"),
        ("}", 1, 1, "no block is open"),
        ("{", 1, 1, "a block begins with"),
        ("together {", 1, 1, "\"together\" begins no block"),
        ("web dial\nstrict", 2, 1, "`strict` stands before"),
        ("eventually within soon web dial", 1, 19, "a time is a number followed by ms"),
        ("within", 1, 7, "how long?"),
        ("eventually never web dial", 1, 12, "`never` is a line's first word"),
        ("never eventually web dial", 1, 1, "`never` holds"),
    ] {
        match parse(text) {
            Ok(_) => assert_eq!(line, 0, "{text:?}"),
            Err(wrong) => {
                assert_eq!((wrong.line, wrong.column), (line, column), "{text:?}: {}", wrong.why);
                assert!(wrong.why.starts_with(why), "{text:?}: {}", wrong.why);
            }
        }
    }
}

#[test]
fn text_form_of_an_event_is_a_valid_line() {
    let file = parse("γ curl(4711) connected γ:1 → α:80 error=E # why\n\"a b\" \"Web Content\"($p) *")
        .expect("a file");
    assert_eq!(file.lines, 2);
    let mut event = event(1, 1, "γ connected γ:1 -> α:80 error=E");
    (event.program, event.pid) = (Some("curl".into()), Some(4711));
    let words = event.words().to_string();
    assert!(compared(&words, &[event.clone()]).is_empty(), "{words}");
    event.pid = Some(4712);
    assert!(!compared(&words, &[event]).is_empty(), "{words}");
}

#[test]
fn equal_strands_are_one_state() {
    let line = "meanwhile {\na connected a:* -> b:80\na closed a:* -> b:80\n}\n";
    let mut trace = String::new();
    (1..=60).for_each(|n| trace += &format!("a connected a:{n} -> b:80\n"));
    (1..=60).for_each(|n| trace += &format!("a closed a:{n} -> b:80\n"));
    assert!(is_same(&line.repeat(60), &trace));
}

#[test]
fn too_many_states_are_an_error() {
    let mut file = "unordered {\n".to_owned();
    (1..=20).for_each(|n| file += &format!("a dial a:$p{n} -> *\n"));
    let file = parse(&(file + "}")).expect("a file");
    let mut matcher = Matcher::new(&file, Moment(0));
    let all = (1..=20).map(|n| event(n, n, &format!("a dial a:{n} -> b:80")));
    let outcome: Result<Vec<_>, _> = all.map(|event| matcher.take(&event)).collect();
    assert!(outcome.is_err());
}

fn header() -> Header {
    Header { version: 1, network: "t".into(), time: Moment(0) }
}

/// Of any kind, with any of a few hosts and ports, in any order.
fn any_events() -> impl Strategy<Value = Vec<Event>> {
    let kind = prop::sample::select(Kind::ALL.to_vec());
    let host = prop::sample::select(vec!["a", "β", "never", "x y", "$", "}", "-"]);
    let one = (kind, host.clone(), host, 1..4u16, prop::option::of(Just("EIO")), 0..4u8);
    prop::collection::vec(one, 1..40).prop_map(|all| {
        all.into_iter()
            .zip(1..)
            .map(|((kind, host, peer, port, error, shape), seq)| {
                let mut event = Event::new(seq, Moment(seq * 1000), kind);
                event.host = (host != "-").then(|| host.to_owned());
                event.error = error.map(str::to_owned);
                match shape {
                    0 => event.at = Some(format!("{host}:{port}")),
                    1 => event.rule = Some(format!("cut {host} {peer}")),
                    _ => {
                        (event.from, event.to) = (Some(format!("{host}:{port}")), Some(format!("{peer}:80")))
                    }
                }
                event
            })
            .collect()
    })
}

/// Connections as they are: their steps in order at each end, connections beside each other as it comes.
fn connections() -> impl Strategy<Value = Vec<Event>> {
    let one = (prop::sample::select(vec!["a", "b"]), 1..3u16, prop::collection::vec(0..1000u64, 5));
    prop::collection::vec(one, 1..12).prop_map(|all| {
        let mut events = Vec::new();
        for (host, port, mut times) in all {
            times.sort_unstable();
            let key = format!("{host}:{port} -> b:80");
            for (what, time) in
                ["dial", "connected", "closed"].into_iter().zip([times[0], times[1], times[3]])
            {
                events.push(event(time, time, &format!("{host} {what} {key}")));
            }
            for (what, time) in ["accepted", "closed"].into_iter().zip([times[2], times[4]]) {
                events.push(event(time, time, &format!("b {what} {key}")));
            }
        }
        events.sort_by_key(|event| event.seq);
        events
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn recorded_expectation_is_met_by_its_own_trace(events in prop_oneof![any_events(), connections()]) {
        for order in [Order::OfHosts, Order::OfConnections] {
            let file = record(&header(), &events, order);
            if let Ok(parsed) = parse(&file) {
                prop_assert!(parsed.lines > 0);
                prop_assert_eq!(compared(&file, &events), "", "{}", file);
            } else {
                prop_assert!(!file.lines().any(|line| line.starts_with("meanwhile")), "{}: {:?}", file, parse(&file));
            }
        }
    }

    #[test]
    fn text_of_any_event_is_a_line_that_takes_it(events in any_events()) {
        for event in events {
            let words = event.words().to_string();
            let is_keyword = super::parse::is_keyword(words.split(' ').next().unwrap_or_default());
            if !is_keyword {
                prop_assert_eq!(compared(&words, &[event]), "");
            }
        }
    }

    /// Whatever another run puts between the steps of a connection.
    #[test]
    fn recorded_expectation_is_met_by_another_interleaving(
        events in connections(), seed in prop::collection::vec(any::<u64>(), 70),
    ) {
        let file = record(&header(), &events, Order::OfConnections);
        // Each connection's events in their order, connections in another one.
        let mut strands: Vec<Vec<Event>> = Vec::new();
        for event in &events {
            match strands.iter_mut().find(|s| s[0].from == event.from) {
                Some(strand) => strand.push(event.clone()),
                None => strands.push(vec![event.clone()]),
            }
        }
        let mut mixed = Vec::new();
        for n in seed {
            strands.retain(|strand| !strand.is_empty());
            if !strands.is_empty() {
                let which = n as usize % strands.len();
                mixed.push(strands[which].remove(0));
            }
        }
        mixed.extend(strands.into_iter().flatten());
        prop_assert_eq!(compared(&file, &mixed), "", "{}", file);
    }
}
