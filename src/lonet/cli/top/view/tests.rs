//! Tests of what the keys of `lonet top` do, and of what it shows.

use super::super::rows::By;
use super::super::snapshot::{Connection, End, Host};
use super::*;
use crate::trace::moment::Moment;

fn host(name: &str) -> Host {
    Host { name: name.into(), ..Host::default() }
}

fn end(host: &str, port: u16) -> End {
    End { at: format!("{host}:{port}"), host: host.into(), ..End::default() }
}

fn view() -> View {
    let mut view = View::new("n");
    let connection = |from: &str, to: &str, rate: f64| Connection {
        from: end(from, 1),
        to: end(to, 80),
        rate: Some((rate, 0.0)),
        ..Connection::default()
    };
    view.update(Update::Snapshot(Box::new(Snapshot {
        hosts: vec![host("web"), host("db"), host("数据库")],
        connections: vec![connection("web", "db", 1.0), connection("db", "数据库", 5.0)],
        ..Snapshot::default()
    })));
    view
}

fn press(view: &mut View, code: KeyCode) -> Action {
    view.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn type_on(view: &mut View, text: &str) -> Action {
    let mut last = Action::Nothing;
    for c in text.chars() {
        let code = match c {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '↓' => KeyCode::Down,
            c => KeyCode::Char(c),
        };
        last = press(view, code);
    }
    last
}

/// The command line that is to be confirmed.
fn asked(view: &View) -> String {
    if let Mode::Confirm(command) = &view.mode { command.command() } else { format!("{:?}", view.mode) }
}

fn names(view: &View, pane: Pane) -> Vec<String> {
    view.rows().names(pane)
}

fn happens(view: &mut View, seq: u64, name: &str) {
    let event = Event { host: Some(name.into()), ..Event::new(seq, Moment(0), Kind::HostUp) };
    view.update(Update::Events(vec![event]));
}

#[test]
fn quit_is_q_escape_and_control_c() {
    let mut view = view();
    assert!(matches!(press(&mut view, KeyCode::Char('q')), Action::Quit));
    assert!(matches!(press(&mut view, KeyCode::Esc), Action::Quit));
    for mode in [Mode::Help, Mode::Filter(String::new())] {
        view.mode = mode;
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert!(matches!(view.key(control_c), Action::Quit));
    }
    view.mode = Mode::Filter(String::new());
    assert!(matches!(press(&mut view, KeyCode::Esc), Action::Nothing));
}

#[test]
fn filter_shows_rows_and_events_that_contain_its_text() {
    let mut view = view();
    happens(&mut view, 1, "web");
    happens(&mut view, 2, "db");
    type_on(&mut view, "/DB");
    assert_eq!(names(&view, Pane::Hosts), ["db"]);
    assert_eq!(names(&view, Pane::Connections).len(), 2);
    assert_eq!(view.lines().len(), 1);
    press(&mut view, KeyCode::Backspace);
    press(&mut view, KeyCode::Backspace);
    type_on(&mut view, "数\n");
    assert_eq!(names(&view, Pane::Hosts), ["数据库"]);
    type_on(&mut view, "/x");
    press(&mut view, KeyCode::Esc);
    assert_eq!(view.filter, "数", "Esc leaves it as it was");
}

#[test]
fn paused_view_does_not_change() {
    let mut view = view();
    happens(&mut view, 1, "web");
    press(&mut view, KeyCode::Char('p'));
    view.update(Update::Snapshot(Box::default()));
    happens(&mut view, 2, "db");
    assert_eq!((view.shown().hosts.len(), view.lines().len()), (3, 1));
    press(&mut view, KeyCode::Char('p'));
    assert_eq!((view.shown().hosts.len(), view.lines().len()), (0, 2));
}

#[test]
fn sort_goes_through_the_columns_of_the_pane() {
    let mut view = view();
    assert_eq!(names(&view, Pane::Hosts), ["db", "web", "数据库"]);
    type_on(&mut view, "r");
    assert_eq!(names(&view, Pane::Hosts), ["数据库", "web", "db"]);
    type_on(&mut view, "3");
    assert_eq!(view.focus, Pane::Connections);
    assert_eq!(names(&view, Pane::Connections), ["db:1 数据库:80", "web:1 db:80"]);
    type_on(&mut view, "r");
    assert_eq!(names(&view, Pane::Connections), ["web:1 db:80", "db:1 数据库:80"]);
    type_on(&mut view, "sss");
    assert_eq!(view.orders[Pane::Connections.number()].by, By::To);
    assert_eq!(names(&view, Pane::Hosts), ["数据库", "web", "db"], "other panes stay");
}

#[test]
fn selected_row_stays_selected_when_rows_are_added() {
    let mut view = view();
    press(&mut view, KeyCode::Down);
    assert_eq!(view.selected(Pane::Hosts, &names(&view, Pane::Hosts)), Some(1));
    let mut more = view.shown().clone();
    more.hosts.push(host("cache"));
    view.update(Update::Snapshot(Box::new(more)));
    let names = names(&view, Pane::Hosts);
    assert_eq!(view.selected(Pane::Hosts, &names).map(|at| names[at].as_str()), Some("web"));
}

#[test]
fn cut_needs_two_hosts_and_a_confirmation() {
    let mut view = view();
    // The first one is the row that is chosen: db.
    assert!(matches!(type_on(&mut view, "c\nweb\n"), Action::Nothing));
    assert_eq!(asked(&view), "lonet cut db web");
    assert!(matches!(type_on(&mut view, "\n"), Action::Nothing), "nothing but y does it");
    let action = type_on(&mut view, "y");
    assert!(matches!(action, Action::Order(command) if command.command() == "lonet cut db web"));
    for no in ['n', 'q'] {
        assert!(matches!(type_on(&mut view, "c\n↓\n"), Action::Nothing));
        assert_eq!(asked(&view), "lonet cut db 数据库");
        assert!(matches!(press(&mut view, KeyCode::Char(no)), Action::Nothing));
        assert!(matches!(view.mode, Mode::Browse));
    }
    // All others come last.
    press(&mut view, KeyCode::Char('c'));
    press(&mut view, KeyCode::Enter);
    press(&mut view, KeyCode::End);
    press(&mut view, KeyCode::Enter);
    assert_eq!(asked(&view), "lonet cut db");
}

#[test]
fn cut_of_a_connection_is_between_its_hosts() {
    let mut view = view();
    type_on(&mut view, "3c");
    assert_eq!(asked(&view), "lonet cut db 数据库");
}

#[test]
fn heal_takes_a_fault_hosts_or_everything() {
    let mut view = view();
    press(&mut view, KeyCode::Char('h'));
    press(&mut view, KeyCode::End);
    press(&mut view, KeyCode::Enter);
    assert_eq!(asked(&view), "lonet heal");
    press(&mut view, KeyCode::Esc);
    let mut shown = view.shown().clone();
    let fault = |from: &str, to: &str| crate::cli::top::snapshot::Fault {
        command: format!("lonet cut {from} {to}  # 3 segments dropped"),
        from: Some(from.into()),
        to: Some(to.into()),
        ..Default::default()
    };
    shown.faults = vec![fault("web", "db"), fault("db", "数据库")];
    view.update(Update::Snapshot(Box::new(shown)));
    type_on(&mut view, "4↓h");
    assert_eq!(asked(&view), "lonet heal db 数据库");
}

#[test]
fn scrolled_events_stay_in_place_when_others_arrive() {
    let mut view = view();
    (0..20).for_each(|seq| happens(&mut view, seq, "web"));
    type_on(&mut view, "5");
    press(&mut view, KeyCode::Up);
    press(&mut view, KeyCode::PageUp);
    assert_eq!(view.behind, 11);
    happens(&mut view, 21, "web");
    assert_eq!(view.behind, 12);
    press(&mut view, KeyCode::End);
    assert_eq!(view.behind, 0);
    happens(&mut view, 22, "web");
    assert_eq!(view.behind, 0, "the newest are followed");
    press(&mut view, KeyCode::Home);
    assert_eq!(view.behind, 21);
}

#[test]
fn events_are_in_the_order_of_their_numbers() {
    let mut view = view();
    for (seq, name) in [(1, "a"), (3, "c"), (2, "b")] {
        happens(&mut view, seq, name);
    }
    let text: Vec<&str> = view.lines().iter().filter_map(|line| line.text.split(' ').nth(1)).collect();
    assert_eq!(text, ["a", "b", "c"]);
}

#[test]
fn old_events_are_dropped() {
    let mut view = view();
    let many = (1..MAX_EVENTS as u64 + 10).map(|seq| Event::new(seq, Moment(0), Kind::Lost)).collect();
    view.update(Update::Events(many));
    happens(&mut view, u64::MAX, "web");
    assert_eq!(view.lines().len(), MAX_EVENTS);
    assert!(view.lines().last().is_some_and(|line| line.kind == Kind::HostUp));
}
