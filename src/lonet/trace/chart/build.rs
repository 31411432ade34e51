//! Makes rows out of events.

use super::{AGAIN, Arrow, Band, Chart, Column, Drawn, Host, Line, Mark, Row, Shape};
use crate::trace::event::{By, Event, Header, Kind, Status};
use crate::trace::moment::Moment;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

/// Where nothing happens for so long, in microseconds, the chart says so.
const PAUSE: u64 = 1_000_000;
/// The column of whoever is no host.
const OUTSIDE: &str = "outside";

/// A connection, of which a later event may tell more.
#[derive(Default)]
struct Connection {
    /// Where it was dialed.
    row: Option<Row>,
    /// Where its first end was closed.
    closed: Option<Row>,
}

struct Builder {
    chart: Chart,
    columns: HashMap<String, Column>,
    connections: HashMap<(String, String), Connection>,
    last: Moment,
    /// The level below all that is no point, and that below the points of each host since.
    begin: usize,
    apart: HashMap<Column, usize>,
    /// The rows of processes of which only the pid is known.
    nameless: HashMap<i32, Row>,
}

impl Chart {
    /// Draws these events. `hosts`: those alone that are about one of them, which come first, in this order; none: all.
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
        let (columns, connections, apart) = (HashMap::new(), HashMap::new(), HashMap::new());
        let nameless = HashMap::new();
        let mut builder = Builder { chart, columns, connections, last, begin: 0, apart, nameless };
        hosts.iter().for_each(|host| _ = builder.column(host));
        for event in events.iter().filter(|event| wanted.is_empty() || is_about(event, &wanted)) {
            builder.take(event);
        }
        let mut chart = builder.chart;
        for host in chart.hosts.iter_mut().filter(|host| host.lives.is_empty()) {
            host.lives.push((None, None));
        }
        chart
    }
}

fn is_about(event: &Event, hosts: &HashSet<&str>) -> bool {
    let ends = [&event.from, &event.to].into_iter().flatten().map(|address| split(address).0);
    event.host.is_none() || event.host.as_deref().into_iter().chain(ends).any(|host| hosts.contains(host))
}

/// Host and port.
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
        self.chart.hosts.push(Host { name: host.to_owned(), lives: Vec::new() });
        self.columns.insert(host.to_owned(), column);
        column
    }

    fn row(&mut self, event: &Event, mark: Mark) -> Row {
        let pause = event.time.0.saturating_sub(self.last.0);
        if pause > PAUSE && !self.chart.rows.is_empty() {
            self.draw(Drawn { time: event.time, level: 0, mark: Mark::Pause(pause), told: Vec::new() });
        }
        self.last = event.time;
        self.draw(Drawn { time: event.time, level: 0, mark, told: vec![event.to_string()] });
        self.chart.rows.len() - 1
    }

    /// Adds a row where it has a place: a point below its host's last one, all else below everything.
    fn draw(&mut self, drawn: Drawn) {
        let mut level = match drawn.mark {
            Mark::Point { host, .. } => self.apart.get(&host).copied().unwrap_or(self.begin),
            _ => self.chart.levels,
        };
        if level > 0 && level.is_multiple_of(AGAIN) {
            level += 1;
        }
        self.chart.levels = self.chart.levels.max(level + 1);
        match drawn.mark {
            Mark::Point { host, .. } => _ = self.apart.insert(host, level + 1),
            _ => {
                self.apart.clear();
                self.begin = self.chart.levels;
            }
        }
        self.chart.rows.push(Drawn { level, ..drawn });
    }

    fn point(&mut self, event: &Event, shape: Shape, text: String) -> Option<Row> {
        let host = self.column(event.host.as_deref()?);
        Some(self.row(event, Mark::Point { host, shape, text }))
    }

    /// Adds an event to what a row tells.
    fn tell(&mut self, row: Row, event: &Event) -> Option<&mut Mark> {
        let drawn = self.chart.rows.get_mut(row)?;
        drawn.told.push(event.to_string());
        Some(&mut drawn.mark)
    }

    fn take(&mut self, event: &Event) {
        // What a process is called may be known only when it does something.
        if let (Some(pid), Some(program)) = (event.pid, &event.program)
            && let Some(row) = self.nameless.remove(&pid)
            && let Some(Drawn { mark: Mark::Point { text, .. }, .. }) = self.chart.rows.get_mut(row)
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

    /// A host comes up with its first process: one row has both events, whichever comes first.
    fn joined(&mut self, event: &Event) {
        let pid = event.pid.unwrap_or(0);
        let text = format!("{} {pid}", event.program.as_deref().unwrap_or("process"));
        let row = match self.last_up(event) {
            Some(row) => {
                if let Some(Mark::Point { text: said, .. }) = self.tell(row, event) {
                    *said = text;
                }
                Some(row)
            }
            None => self.point(event, Shape::Up, text),
        };
        if let (Some(row), None) = (row, &event.program) {
            self.nameless.insert(pid, row);
        }
    }

    fn up(&mut self, event: &Event) {
        let Some(name) = event.host.as_deref() else { return };
        let column = self.column(name);
        let row = match self.last_up(event) {
            Some(row) => {
                self.tell(row, event);
                Some(row)
            }
            None => self.point(event, Shape::Up, "up".into()),
        };
        if let Some(host) = self.chart.hosts.get_mut(column) {
            host.lives.push((row, None));
        }
    }

    /// The last row, if it tells only one of these two things of the same host.
    fn last_up(&mut self, event: &Event) -> Option<Row> {
        let column = self.column(event.host.as_deref()?);
        let row = self.chart.rows.len().checked_sub(1)?;
        let drawn = self.chart.rows.get(row)?;
        let is_its = matches!(&drawn.mark, Mark::Point { host, shape: Shape::Up, .. } if *host == column);
        let is_other =
            drawn.told.len() == 1 && !drawn.told.iter().any(|told| told.ends_with(event.kind.name()));
        (is_its && is_other).then_some(row)
    }

    /// The row in which its last process ends is where it goes down.
    fn down(&mut self, event: &Event) {
        let Some(name) = event.host.as_deref() else { return };
        let column = self.column(name);
        let is_its = |drawn: &Drawn| matches!(&drawn.mark, Mark::Point { host, shape: Shape::Ended | Shape::Killed, .. } if *host == column);
        let ended = self.chart.rows.iter().rposition(is_its);
        // What the kernel closes for it comes between.
        let row = match ended.filter(|row| self.chart.rows.len() - row < 8) {
            Some(row) => {
                self.tell(row, event);
                self.chart.rows.len().checked_sub(1)
            }
            None => self.point(event, Shape::Down, "down".into()),
        };
        let Some(host) = self.chart.hosts.get_mut(column) else { return };
        match host.lives.last_mut() {
            Some((_, end @ None)) => *end = row,
            _ => host.lives.push((None, row)),
        }
    }

    /// An arrow between the ends of an event.
    fn arrow(&mut self, event: &Event, line: Line, note: String) -> Row {
        let ends = [&event.from, &event.to].map(|end| end.as_deref().unwrap_or_default());
        let [(from, from_port), (to, to_port)] = ends.map(split);
        // A dial that set out from no port is its host's.
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
                if let Some(Mark::Arrow(arrow)) = self.tell(row, event) {
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
            // What takes long, and lets others go on meanwhile, has a row of its own.
            Some(row) if Some(row) == last || event.kind != Kind::TimedOut => {
                if let Some(Mark::Arrow(arrow)) = self.tell(row, event) {
                    (arrow.line, arrow.note) = (Line::Failed, note.to_owned());
                }
            }
            _ => _ = self.arrow(event, Line::Failed, note.to_owned()),
        }
    }

    /// From the end that was closed to the other one; that this is closed, too, is no news.
    fn closed(&mut self, event: &Event) {
        if let (Some(row), Kind::Closed) = (self.connection(event).closed, event.kind) {
            _ = self.tell(row, event);
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
        if let Some(drawn) = self.chart.rows.get_mut(row) {
            drawn.told = vec![event.to_string()];
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
            _ = self.tell(row, event);
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
