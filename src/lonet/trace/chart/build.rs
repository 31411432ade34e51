//! Builds the rows of a chart from events.

use super::{Arrow, Band, Chart, ChartRow, Column, Host, Line, Mark, REPEAT_NAMES_EVERY, Row, Shape};
use crate::trace::event::{By, Event, Header, Kind, Status};
use crate::trace::moment::Moment;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// The chart marks pauses longer than this, in microseconds.
const PAUSE: u64 = 1_000_000;
/// The column for everything outside the network.
const OUTSIDE: &str = "outside";

/// The rows of a connection, to which later events may be added.
#[derive(Default)]
struct Connection {
    /// The row of the dial.
    row: Option<Row>,
    /// The row of the first close.
    closed: Option<Row>,
}

struct Builder {
    chart: Chart,
    columns: HashMap<String, Column>,
    connections: HashMap<(String, String), Connection>,
    last: Moment,
    /// The level below the last row that is not a point, and the level below the last point of each host since then.
    begin: usize,
    own_levels: HashMap<Column, usize>,
    /// The rows of processes whose name is not known yet, by pid.
    unnamed: HashMap<i32, Row>,
}

impl Chart {
    /// Builds a chart. `hosts`: only events that concern one of these, whose columns come first, in this order; empty: all events.
    pub fn new(header: &Header, events: &[Event], hosts: &[String]) -> Chart {
        let wanted: HashSet<&str> = hosts.iter().map(String::as_str).collect();
        let chart = Chart {
            network: header.network.clone(),
            begin: events.first().map_or(header.time, |event| event.time.min(header.time)),
            hosts: Vec::new(),
            rows: Vec::new(),
            bands: Vec::new(),
            levels: 0,
        };
        let last = events.first().map_or(header.time, |event| event.time);
        let (columns, connections, own_levels) = (HashMap::new(), HashMap::new(), HashMap::new());
        let unnamed = HashMap::new();
        let mut builder = Builder { chart, columns, connections, last, begin: 0, own_levels, unnamed };
        hosts.iter().for_each(|host| _ = builder.column(host));
        for event in events.iter().filter(|event| wanted.is_empty() || is_about(event, &wanted)) {
            builder.add_event(event);
        }
        let mut chart = builder.chart;
        for host in chart.hosts.iter_mut().filter(|host| host.lifetimes.is_empty()) {
            host.lifetimes.push((None, None));
        }
        chart
    }
}

fn is_about(event: &Event, hosts: &HashSet<&str>) -> bool {
    event.host.is_none() || hosts_of(event).any(|host| hosts.contains(host))
}

/// The hosts that an event is about.
pub fn hosts_of(event: &Event) -> impl Iterator<Item = &str> {
    let ends = [&event.from, &event.to].into_iter().flatten().map(|address| split(address).0);
    event.host.as_deref().into_iter().chain(ends)
}

/// Splits an address into host and port. An IP address belongs to [`OUTSIDE`].
fn split(address: &str) -> (&str, &str) {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    let is_ip = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    (if is_ip || host.is_empty() { OUTSIDE } else { host }, port)
}

impl Builder {
    fn column(&mut self, host: &str) -> Column {
        if let Some(column) = self.columns.get(host) {
            return *column;
        }
        let column = self.chart.hosts.len();
        self.chart.hosts.push(Host { name: host.to_owned(), lifetimes: Vec::new() });
        self.columns.insert(host.to_owned(), column);
        column
    }

    fn row(&mut self, event: &Event, mark: Mark) -> Row {
        let pause = event.time.0.saturating_sub(self.last.0);
        if pause > PAUSE && !self.chart.rows.is_empty() {
            self.push_row(ChartRow {
                time: event.time,
                level: 0,
                mark: Mark::Pause(pause),
                events_text: Vec::new(),
            });
        }
        self.last = event.time;
        self.push_row(ChartRow { time: event.time, level: 0, mark, events_text: vec![event.to_string()] });
        self.chart.rows.len() - 1
    }

    /// Adds a row: a point below its host's last one, all others below everything.
    fn push_row(&mut self, row_content: ChartRow) {
        let mut level = match row_content.mark {
            Mark::Point { host, .. } => self.own_levels.get(&host).copied().unwrap_or(self.begin),
            _ => self.chart.levels,
        };
        if level > 0 && level.is_multiple_of(REPEAT_NAMES_EVERY) {
            level += 1;
        }
        self.chart.levels = self.chart.levels.max(level + 1);
        match row_content.mark {
            Mark::Point { host, .. } => _ = self.own_levels.insert(host, level + 1),
            _ => {
                self.own_levels.clear();
                self.begin = self.chart.levels;
            }
        }
        self.chart.rows.push(ChartRow { level, ..row_content });
    }

    fn point(&mut self, event: &Event, shape: Shape, text: String) -> Option<Row> {
        let host = self.column(event.host.as_deref()?);
        Some(self.row(event, Mark::Point { host, shape, text }))
    }

    /// Adds an event to a row.
    fn add_to_row(&mut self, row: Row, event: &Event) -> Option<&mut Mark> {
        let row_content = self.chart.rows.get_mut(row)?;
        row_content.events_text.push(event.to_string());
        Some(&mut row_content.mark)
    }

    fn add_event(&mut self, event: &Event) {
        // A process's name may be known only from a later event.
        if let (Some(pid), Some(program)) = (event.pid, &event.program)
            && let Some(row) = self.unnamed.remove(&pid)
            && let Some(ChartRow { mark: Mark::Point { text, .. }, .. }) = self.chart.rows.get_mut(row)
        {
            *text = format!("{program} {pid}");
        }
        let port = || event.at.as_deref().map_or("", |at| split(at).1);
        let program = || event.program.as_deref().unwrap_or("a process");
        match event.kind {
            Kind::Joined => self.joined(event),
            Kind::HostUp => self.up(event),
            Kind::HostDown => self.down(event),
            Kind::Ended => match &event.status {
                Some(Status::Signal(signal)) => {
                    _ = self.point(event, Shape::Killed, format!("{} {signal}", program()));
                }
                Some(Status::Exit(code)) if *code != 0 => {
                    _ = self.point(event, Shape::Ended, format!("{} exits {code}", program()));
                }
                _ => _ = self.point(event, Shape::Ended, format!("{} ends", program())),
            },
            Kind::Listening => _ = self.point(event, Shape::Listening, format!(":{} listens", port())),
            Kind::Unlistened => {
                _ = self.point(event, Shape::Unlistened, format!(":{} listens no more", port()))
            }
            Kind::Dial | Kind::Connected | Kind::Accepted => self.dialed(event),
            Kind::Refused | Kind::Unreachable | Kind::TimedOut => self.failed(event),
            Kind::Closed | Kind::Reset => self.closed(event),
            Kind::NameAnswered if matches!(event.answer.as_deref(), Some("none" | "fail")) => {
                let name = event.name.as_deref().unwrap_or_default();
                let answer = if event.answer.as_deref() == Some("fail") { "fails" } else { "is no name" };
                _ = self.point(event, Shape::Failed, format!("{name} {answer}"));
            }
            Kind::FaultSet => self.fault_set(event),
            Kind::FaultHit => self.fault_hit(event),
            Kind::FaultHealed => self.fault_healed(event),
            Kind::Lost => {
                let text = format!("{} events are missing", event.count.unwrap_or(1));
                _ = self.row(event, Mark::Across { text });
            }
            Kind::Bound | Kind::NameAsked | Kind::NameAnswered => {}
        }
    }

    /// A host comes up with its first process: both events are in one row, in either order.
    fn joined(&mut self, event: &Event) {
        let pid = event.pid.unwrap_or(0);
        let text = format!("{} {pid}", event.program.as_deref().unwrap_or("process"));
        let row = match self.last_up(event) {
            Some(row) => {
                if let Some(Mark::Point { text: shown, .. }) = self.add_to_row(row, event) {
                    *shown = text;
                }
                Some(row)
            }
            None => self.point(event, Shape::Up, text),
        };
        if let (Some(row), None) = (row, &event.program) {
            self.unnamed.insert(pid, row);
        }
    }

    fn up(&mut self, event: &Event) {
        let Some(name) = event.host.as_deref() else { return };
        let column = self.column(name);
        let row = match self.last_up(event) {
            Some(row) => {
                self.add_to_row(row, event);
                Some(row)
            }
            None => self.point(event, Shape::Up, "up".into()),
        };
        if let Some(host) = self.chart.hosts.get_mut(column) {
            host.lifetimes.push((row, None));
        }
    }

    /// The last row, if it has only the other one of these two events, for the same host.
    fn last_up(&mut self, event: &Event) -> Option<Row> {
        let column = self.column(event.host.as_deref()?);
        let row = self.chart.rows.len().checked_sub(1)?;
        let row_content = self.chart.rows.get(row)?;
        let is_same_host =
            matches!(&row_content.mark, Mark::Point { host, shape: Shape::Up, .. } if *host == column);
        let is_other = row_content.events_text.len() == 1
            && !row_content.events_text.iter().any(|events_text| events_text.ends_with(event.kind.name()));
        (is_same_host && is_other).then_some(row)
    }

    /// A host goes down in the row of its last process's end.
    fn down(&mut self, event: &Event) {
        let Some(name) = event.host.as_deref() else { return };
        let column = self.column(name);
        let is_same_host = |row_content: &ChartRow| matches!(&row_content.mark, Mark::Point { host, shape: Shape::Ended | Shape::Killed, .. } if *host == column);
        let ended = self.chart.rows.iter().rposition(is_same_host);
        // Closes of its connections may come in between.
        let row = match ended.filter(|row| self.chart.rows.len() - row < 8) {
            Some(row) => {
                self.add_to_row(row, event);
                self.chart.rows.len().checked_sub(1)
            }
            None => self.point(event, Shape::Down, "down".into()),
        };
        let Some(host) = self.chart.hosts.get_mut(column) else { return };
        match host.lifetimes.last_mut() {
            Some((_, end @ None)) => *end = row,
            _ => host.lifetimes.push((None, row)),
        }
    }

    /// An arrow between the ends of an event.
    fn arrow(&mut self, event: &Event, line: Line, note: String) -> Row {
        let ends = [&event.from, &event.to].map(|end| end.as_deref().unwrap_or_default());
        let [(from, from_port), (to, to_port)] = ends.map(split);
        // A dial without a port is from its host.
        let from = if ends[0].is_empty() { event.host.as_deref().unwrap_or(OUTSIDE) } else { from };
        let (from, to) = (self.column(from), self.column(to));
        let ports = [from_port.to_owned(), to_port.to_owned()];
        self.row(event, Mark::Arrow(Arrow { from, to, ports, line, note }))
    }

    fn connection(&mut self, event: &Event) -> &mut Connection {
        let key = (event.from.clone().unwrap_or_default(), event.to.clone().unwrap_or_default());
        self.connections.entry(key).or_default()
    }

    fn dialed(&mut self, event: &Event) {
        let connection = self.connection(event);
        match (event.kind, connection.row) {
            (Kind::Connected | Kind::Accepted, Some(row)) => {
                if let Some(Mark::Arrow(arrow)) = self.add_to_row(row, event) {
                    arrow.line = Line::Connection;
                }
            }
            (kind, _) => {
                let line = if kind == Kind::Dial { Line::Dial } else { Line::Connection };
                let row = self.arrow(event, line, String::new());
                *self.connection(event) = Connection { row: Some(row), closed: None };
            }
        }
    }

    fn failed(&mut self, event: &Event) {
        let note = match event.kind {
            Kind::Refused => "refused",
            Kind::Unreachable => "unreachable",
            _ => "timed out",
        };
        let dialed = self.connection(event).row.take();
        let last = self.chart.rows.len().checked_sub(1);
        match dialed {
            // A timeout, if other events came in between, has a row of its own.
            Some(row) if Some(row) == last || event.kind != Kind::TimedOut => {
                if let Some(Mark::Arrow(arrow)) = self.add_to_row(row, event) {
                    (arrow.line, arrow.note) = (Line::Failed, note.to_owned());
                }
            }
            _ => _ = self.arrow(event, Line::Failed, note.to_owned()),
        }
    }

    /// An arrow from the end that closes first. The close of the other end is added to that row.
    fn closed(&mut self, event: &Event) {
        if let (Some(row), Kind::Closed) = (self.connection(event).closed, event.kind) {
            _ = self.add_to_row(row, event);
            return;
        }
        let mut note = match (event.kind, event.by) {
            (Kind::Reset, _) => "reset".to_owned(),
            (_, Some(By::Death)) => "closed by death".to_owned(),
            _ => "closed".to_owned(),
        };
        if let (Kind::Closed, Some(sent), Some(received)) = (event.kind, event.sent, event.received) {
            note += &format!(": {sent} B out, {received} B in");
        }
        let line = if event.kind == Kind::Reset { Line::Reset } else { Line::Close };
        let is_dialers = event.host.as_deref() == event.from.as_deref().map(|from| split(from).0);
        let turned = Event { from: event.to.clone(), to: event.from.clone(), ..event.clone() };
        let row = self.arrow(if is_dialers { event } else { &turned }, line, note);
        if let Some(row_content) = self.chart.rows.get_mut(row) {
            row_content.events_text = vec![event.to_string()];
        }
        self.connection(event).closed = Some(row);
    }

    fn fault_set(&mut self, event: &Event) {
        let rule = event.rule.clone().unwrap_or_default();
        let words = rule.split([' ', ',', '>', '\'']).map(|word| word.split(':').next().unwrap_or_default());
        let hosts: Vec<Column> = words.filter_map(|word| self.columns.get(word).copied()).collect();
        let first = self.row(event, Mark::Across { text: rule.clone() });
        self.chart.bands.push(Band { first, last: None, hosts, rule, hits: 0 });
    }

    fn band(&mut self, event: &Event) -> Option<&mut Band> {
        let rule = event.rule.as_deref()?;
        self.chart.bands.iter_mut().rev().find(|band| band.last.is_none() && band.rule == rule)
    }

    fn fault_hit(&mut self, event: &Event) {
        if let Some(band) = self.band(event) {
            band.hits += event.count.unwrap_or(1);
        }
        if let Some(row) = self.connection(event).row {
            _ = self.add_to_row(row, event);
        }
    }

    fn fault_healed(&mut self, event: &Event) {
        let text = format!("healed: {}", event.rule.as_deref().unwrap_or_default());
        let row = self.row(event, Mark::Across { text });
        if let Some(band) = self.band(event) {
            band.last = Some(row);
        }
    }
}
