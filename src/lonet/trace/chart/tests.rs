//! Tests of sequence charts: their rows, and how they are drawn.

use super::html::html;
use super::mermaid::mermaid;
use super::svg::svg;
use super::{Chart, ChartRow, Line, Mark, Shape};
use crate::trace::read::Trace;

/// A client, a web server and a database: connections, a fault, a refusal, a death.
const SHOP: &str = include_str!("../../../../tests/traces/shop.jsonl");

fn shop(hosts: &[String]) -> Chart {
    let trace = Trace::read(SHOP.as_bytes()).expect("a trace");
    Chart::new(&trace.header, &trace.events, hosts)
}

fn arrows(chart: &Chart) -> Vec<(String, Line, &str)> {
    let name = |column: usize| chart.hosts[column].name.as_str();
    let arrow = |row: &'_ ChartRow| match &row.mark {
        Mark::Arrow(a) => Some(format!("{}:{} {}:{}", name(a.from), a.ports[0], name(a.to), a.ports[1])),
        _ => None,
    };
    let rows = chart.rows.iter();
    rows.filter_map(|row| match &row.mark {
        Mark::Arrow(a) => Some((arrow(row)?, a.line, a.note.as_str())),
        _ => None,
    })
    .collect()
}

#[test]
fn dial_and_its_outcome_are_one_arrow() {
    let chart = shop(&[]);
    let names: Vec<&str> = chart.hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(names, ["web", "db", "laptop"]);
    assert_eq!(
        arrows(&chart),
        [
            ("laptop:1 web:80".to_owned(), Line::Connection, ""),
            ("web:1 db:6379".to_owned(), Line::Connection, ""),
            ("web:80 laptop:1".to_owned(), Line::Close, "closed: 1250 B out, 78 B in"),
            ("web:2 db:6379".to_owned(), Line::Failed, "timed out"),
            ("web:2 db:5432".to_owned(), Line::Failed, "refused"),
            ("db:6379 web:1".to_owned(), Line::Close, "closed by death: 5 B out, 14 B in"),
            ("web:1 db:6379".to_owned(), Line::Reset, "reset"),
        ]
    );
    assert!(chart.rows.iter().any(|row| matches!(row.mark, Mark::Point { shape: Shape::Killed, .. })));
}

#[test]
fn fault_is_a_band_between_its_hosts() {
    let chart = shop(&[]);
    let [band] = chart.bands.as_slice() else { unreachable!("{:?}", chart.bands) };
    assert_eq!((band.label().as_str(), band.hosts.as_slice()), ("cut web db (1 hit)", &[0, 1][..]));
    assert!(band.last.is_some_and(|last| last > band.first));
}

#[test]
fn host_lives_from_its_first_process_to_its_last() {
    let chart = shop(&[]);
    let lifetimes: Vec<_> = chart.hosts.iter().map(|host| host.lifetimes.as_slice()).collect();
    assert!(matches!(lifetimes[0], [(Some(0), None)]), "{lifetimes:?}");
    assert!(
        matches!(lifetimes[1], [(Some(_), Some(_))]) && matches!(lifetimes[2], [(Some(_), Some(_))]),
        "{lifetimes:?}"
    );
}

#[test]
fn chosen_hosts_are_drawn_with_their_peers() {
    let chart = shop(&["laptop".into()]);
    let names: Vec<&str> = chart.hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(names, ["laptop", "web"]);
    assert_eq!(arrows(&chart).len(), 2);
}

/// The chart of these JSON lines, to which numbers and times are added.
fn chart(lines: &[&str]) -> Chart {
    let header = SHOP.lines().next().expect("a header");
    let numbered = lines
        .iter()
        .zip(1..)
        .map(|(line, n)| format!(r#"{{"seq":{n},"time":"2026-11-29T14:00:00Z",{line}}}"#));
    let text: Vec<String> = numbered.collect();
    let trace = Trace::read(format!("{header}\n{}\n", text.join("\n")).as_bytes()).expect("a trace");
    Chart::new(&trace.header, &trace.events, &[])
}

fn levels(chart: &Chart) -> Vec<usize> {
    chart.rows.iter().map(|row| row.level).collect()
}

#[test]
fn points_of_different_hosts_share_a_level() {
    let listens = |host: &str| format!(r#""event":"listening","host":"{host}","at":"{host}:80""#);
    let dial = r#""event":"dial","host":"a","from":"a:1","to":"b:80""#.to_owned();
    let lines = [listens("a"), listens("b"), listens("a"), dial, listens("b")];
    assert_eq!(levels(&chart(&lines.each_ref().map(String::as_str))), [0, 0, 1, 2, 3]);
}

#[test]
fn repeated_names_have_a_level_of_their_own() {
    let dial = r#""event":"refused","host":"a","from":"a:1","to":"b:80""#;
    let levels = levels(&chart(&[dial; 32]));
    assert_eq!(levels[29..], [29, 31, 32]);
}

#[test]
fn process_has_its_name_as_soon_as_it_is_known() {
    let lines = [
        r#""event":"host_up","host":"a""#,
        r#""event":"joined","host":"a","pid":7"#,
        r#""event":"dial","host":"a","pid":7,"program":"nc","from":"a:1","to":"a:80""#,
    ];
    let chart = chart(&lines);
    let [ChartRow { mark: Mark::Point { text, shape: Shape::Up, .. }, events_text, .. }, _] =
        chart.rows.as_slice()
    else {
        unreachable!("{:?}", chart.rows)
    };
    assert_eq!((text.as_str(), events_text.len()), ("nc 7", 2));
}

#[test]
fn names_are_escaped() {
    let strange = SHOP.replace("laptop", "<b>\\u0001&;#%'").replace("curl", "</title><script>");
    let trace = Trace::read(strange.as_bytes()).expect("a trace");
    let chart = Chart::new(&trace.header, &trace.events, &[]);
    for picture in [svg(&chart), html(&chart)] {
        assert!(
            !picture.contains("<b>") && !picture.contains("</title><script>") && !picture.contains('\u{1}')
        );
        assert!(picture.contains("&lt;b&gt;\u{fffd}&amp;;#%'"));
    }
    assert!(mermaid(&chart).contains("participant h2 as #60;b#62;\u{fffd}#38;#59;#35;#37;'"));
}

#[test]
fn empty_trace_is_an_empty_chart() {
    let header = SHOP.lines().next().expect("a header").to_owned() + "\n";
    let trace = Trace::read(header.as_bytes()).expect("a trace");
    let chart = Chart::new(&trace.header, &trace.events, &[]);
    assert!(svg(&chart).ends_with("</svg>\n") && mermaid(&chart).starts_with("sequenceDiagram\n"));
}
