//! Tests of what `lonet top` draws.

use super::super::snapshot::{Connection, End, Fault, Host, Listener, Snapshot};
use super::super::source::Update;
use super::*;
use crate::trace::event::{Event, Kind};
use crate::trace::moment::Moment;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;

fn end(host: &str, port: u16, program: &str) -> End {
    let at = format!("{host}:{port}");
    End { at, host: host.into(), program: program.into(), is_listed: true, os: None }
}

/// A view of these hosts, each of which has dialed the first one.
fn view(names: &[String]) -> View {
    let mut view = View::new("shop");
    let host = |(n, name): (usize, &String)| Host {
        name: name.clone(),
        address: format!("127.84.0.{}", n + 1),
        programs: "redis-server".into(),
        ports: "80 443 (9000)".into(),
        connections: n,
        dials: Some(n as f64),
        rate: Some((1234.0 * n as f64, 0.0)),
        faults: if n == 1 { "cut".into() } else { String::new() },
    };
    let first = names.first().map_or("", String::as_str);
    let connection = |name: &String| Connection {
        from: end(name, 1, "redis-server(4711)"),
        to: end(first, 80, "redis-server(4712)"),
        is_answered: true,
        rate: Some((0.0, 12.0)),
        total: Some((5_000_000, 3)),
        faults: String::new(),
    };
    let listener = Listener {
        at: format!("{first}:80"),
        host: first.into(),
        port: 80,
        reached: "all hosts",
        program: "redis-server(4712)".into(),
        connections: names.len() - 1,
    };
    let fault = Fault { command: format!("lonet cut {first} {}", names[1]), ..Fault::default() };
    view.update(Update::Status(NetworkStatus::Running));
    view.update(Update::Snapshot(Box::new(Snapshot {
        hosts: names.iter().enumerate().map(host).collect(),
        listeners: vec![listener],
        connections: names.iter().skip(1).map(connection).collect(),
        faults: vec![fault],
    })));
    let event = |seq| Event {
        host: Some(first.into()),
        from: Some("a:1".into()),
        to: Some(format!("{first}:{seq}")),
        ..Event::new(seq, Moment(0), Kind::Refused)
    };
    view.update(Update::Events((1..=30).map(event).collect()));
    view
}

fn names(n: usize) -> Vec<String> {
    (0..n).map(|n| format!("host{n:02}")).collect()
}

fn drawn(view: &View, width: u16, height: u16, style: Style) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal.draw(|frame| draw(frame, view, style)).expect("a drawing");
    terminal
}

/// The lines of the screen.
fn lines(view: &View, width: u16, height: u16) -> Vec<String> {
    let terminal = drawn(view, width, height, Style::new(true));
    let text = terminal.backend().to_string();
    text.lines().map(|line| line.trim_matches('"').trim_end().to_owned()).collect()
}

fn has(lines: &[String], text: &str) -> bool {
    lines.iter().any(|line| line.contains(text))
}

#[test]
fn screen_of_80_by_24_shows_three_hosts_with_all_they_have() {
    let lines = lines(&view(&names(3)), 80, 24);
    assert!(lines[0].starts_with(" shop  3 hosts, 1 listener, 2 connections, 1 fault"), "{}", lines[0]);
    for text in ["▶ Hosts 3", "HOST▼", "Connections 2", "SENT/s▼", "Faults 1", "lonet cut host00 host01"]
    {
        assert!(has(&lines, text), "{text} in {lines:#?}");
    }
    assert!(has(&lines, "host01  redis-server"), "{lines:#?}");
    assert!(has(&lines, "host01:1  host00:80"), "{lines:#?}");
    assert!(has(&lines, "host00 refused a:1 → host00:30"), "the last event in {lines:#?}");
    assert!(lines[23].contains("Tab pane") && lines[23].contains("q quit"), "{}", lines[23]);
}

#[test]
fn thirty_hosts_scroll_to_the_one_that_is_chosen() {
    let mut view = view(&names(30));
    assert!(has(&lines(&view, 80, 24), "host00  "));
    view.key(KeyEvent::new(KeyCode::End, KeyModifiers::NONE));
    let lines = lines(&view, 80, 24);
    assert!(has(&lines, "host29  ") && !has(&lines, "host00  1"), "{lines:#?}");
    assert!(has(&lines, "Events") && has(&lines, "Connections 29"), "{lines:#?}");
}

#[test]
fn wide_screen_has_all_panes_beside_each_other() {
    let lines = lines(&view(&names(30)), 200, 60);
    assert!(has(&lines, "127.84.0.30") && has(&lines, "Listeners 1"), "{lines:#?}");
    let both = |line: &String| line.contains("Hosts 30") && line.contains("Connections 29");
    assert!(lines.iter().any(both), "{lines:#?}");
    assert!(has(&lines, "5.0M"), "totals in {lines:#?}");
}

#[test]
fn wide_characters_keep_the_columns_in_line() {
    let names = ["数据库".to_owned(), "web".to_owned(), "とても長いホストの名前とても長い".to_owned()];
    let terminal = drawn(&view(&names), 120, 24, Style::new(true));
    let buffer = terminal.backend().buffer();
    let is_there = |x: u16, y: u16| {
        let at = |n: usize| buffer.cell((x + n as u16, y)).map(|cell| cell.symbol());
        "127.84.0.".chars().enumerate().all(|(n, c)| at(n) == Some(&c.to_string()))
    };
    let columns: Vec<u16> = (0..24).filter_map(|y| (0..110).find(|x| is_there(*x, y))).collect();
    assert_eq!(columns.len(), 3);
    assert!(columns.iter().all(|column| *column == columns[0]), "{columns:?}");
}

#[test]
fn no_color_draws_without_colours() {
    let coloured = |has| {
        let terminal = drawn(&view(&names(3)), 80, 24, Style::new(has));
        let cells = terminal.backend().buffer().content().to_vec();
        cells.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(coloured(true) && !coloured(false));
}

#[test]
fn ended_network_keeps_its_last_view() {
    let mut view = view(&names(3));
    view.update(Update::Status(NetworkStatus::Ended));
    let lines = lines(&view, 80, 24);
    assert!(lines[0].ends_with("ENDED"), "{}", lines[0]);
    assert!(has(&lines, "network \"shop\" has ended") && has(&lines, "host02  redis-server"), "{lines:#?}");
}

#[test]
fn confirmation_shows_the_effect_and_the_command() {
    let mut view = view(&names(3));
    for code in [KeyCode::Char('c'), KeyCode::Enter, KeyCode::Enter] {
        view.key(KeyEvent::new(code, KeyModifiers::NONE));
    }
    let lines = lines(&view, 80, 24);
    assert!(has(&lines, "Nothing that host00 and host01 send to each other will arrive."), "{lines:#?}");
    assert!(has(&lines, "│ lonet cut host00 host01 "), "{lines:#?}");
}

#[test]
fn every_size_and_mode_can_be_drawn() {
    let keys = ["", "?", "/host", "c", "c\n", "c\n\n", "h", "3", "2", "4", "5", "p", "\n", "/zzz\n"];
    for (width, height) in [(1, 1), (29, 7), (30, 8), (40, 10), (80, 24), (149, 46), (150, 20), (300, 100)] {
        for keys in keys {
            let mut view = view(&names(30));
            for c in keys.chars() {
                let code = if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) };
                view.key(KeyEvent::new(code, KeyModifiers::NONE));
            }
            drawn(&view, width, height, Style::new(true));
        }
    }
    for status in [
        NetworkStatus::Unknown,
        NetworkStatus::Awaited("it is not".into()),
        NetworkStatus::Failing("no answer".into()),
    ] {
        let mut empty = View::new("shop");
        empty.update(Update::Status(status));
        drawn(&empty, 80, 24, Style::new(false));
    }
}
