//! `lonet expect`: compares what happens in a network with a file of expected events.

use super::live::{self, Live};
use super::{Network, picture, query, write_out};
use crate::duration;
use crate::trace::event::Event;
use crate::trace::expect::{self, Difference, Matcher, Order, Report, SyntaxError};
use crate::trace::moment::Moment;
use crate::trace::read::{Trace, lost};
use clap::Args;
use lonet_core::client::Client;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Compare what happened in a network with a file of expected events.
///
/// FILE has a line for each event, such as `laptop dial laptop:1 -> web:80`: the host, what happened, and the
/// addresses, port or name; then KEY=VALUE for each detail that matters. `*` stands for anything, and `$name` for
/// whatever it stood for at its first use. An event is compared if some line has its host and its kind; these events
/// have to happen in the order of the lines, and no more often. All others are ignored. The first difference is
/// printed. EXPECTATIONS in lonet(1) describes the format.
///
/// In a network, this is what was recorded since `lonet trace --start`, or from now on if nothing records, and what happens
/// until all lines have. What happens after that is ignored.
///
/// Exit codes: 0 it happened as expected, 1 it did not, 2 the file or the trace cannot be read.
#[derive(Args)]
pub struct Expect {
    #[command(flatten)]
    network: Network,
    /// A recorded trace, instead of what happens in the network: a file of JSON lines; `-` is standard input
    #[arg(long, value_name = "TRACE", conflicts_with = "network")]
    trace: Option<PathBuf>,
    /// How long it may take in the network until all has happened: 10s, 500ms, 2m [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = duration::time, conflicts_with_all = ["trace", "record"])]
    within: Option<Duration>,
    /// A line as in FILE, instead of that file; may be given several times
    #[arg(
        short = 'e',
        long = "event",
        value_name = "LINE",
        allow_hyphen_values = true,
        conflicts_with = "file"
    )]
    lines: Vec<String>,
    /// Write a file that expects what happened, with hosts and ports as they were; `-` is standard output
    #[arg(long, value_name = "FILE", conflicts_with_all = ["lines", "file"])]
    record: Option<PathBuf>,
    /// With --record: expect no order between connections, and any port at the dialer
    #[arg(long, requires = "record")]
    loose: bool,
    /// The file of expected events; `-` is standard input
    #[arg(value_name = "FILE", required_unless_present_any = ["lines", "record"])]
    file: Option<PathBuf>,
}

/// The exit code if the file or the trace cannot be read.
const UNUSABLE: u8 = 2;
/// The default of --within.
const DEFAULT_WITHIN: Duration = Duration::from_secs(10);

impl Expect {
    pub fn run(self) -> ExitCode {
        let code = match &self.record {
            Some(path) => self.record(path),
            None => self.compare(),
        };
        code.unwrap_or_else(|text| {
            error_line!("lonet: {text}");
            ExitCode::from(UNUSABLE)
        })
    }

    fn record(&self, path: &Path) -> Result<ExitCode, String> {
        let trace = match &self.trace {
            Some(from) => self.read_trace(from)?,
            None => live::recorded(&self.network.client()?)?,
        };
        let order = if self.loose { Order::OfConnections } else { Order::OfHosts };
        picture::write(path, &expect::record(&trace.header, &trace.events, order))
    }

    fn compare(&self) -> Result<ExitCode, String> {
        let (name, text) = self.read_file()?;
        let file = expect::parse(&text).map_err(|error| parse_error_text(&name, &text, &error))?;
        let comparison = match &self.trace {
            Some(path) => Comparison::of_trace(&file, self.read_trace(path)?)?,
            None => {
                Watch::begin(&self.network.client()?)?.run(&file, self.within.unwrap_or(DEFAULT_WITHIN))?
            }
        };
        let Comparison { matcher, events, difference, end } = comparison;
        let Some(difference) = difference else { return Ok(ExitCode::SUCCESS) };
        let (file, matcher, events, difference) = (&file, &matcher, events.as_slice(), &difference);
        write_out(|out| {
            write!(out, "{}", Report { name: &name, file, matcher, events, difference, end: &end })
        })?;
        Ok(ExitCode::FAILURE)
    }

    /// The file's name and text.
    fn read_file(&self) -> Result<(String, String), String> {
        let Some(path) = &self.file else { return Ok(("-e".into(), self.lines.join("\n"))) };
        let text =
            if path == Path::new("-") { io::read_to_string(io::stdin()) } else { fs::read_to_string(path) };
        let text = text.map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        Ok((path.display().to_string(), text))
    }

    fn read_trace(&self, path: &Path) -> Result<Trace, String> {
        let trace = picture::read(path)?;
        if trace.is_cut_off {
            error_line!("lonet: {}: the last line is cut off", path.display());
        }
        warn_of_lost_events(trace.lost());
        Ok(trace)
    }
}

fn warn_of_lost_events(lost: u64) {
    if lost > 0 {
        error_line!("lonet: events are missing in this trace: {lost}");
    }
}

/// The outcome of a comparison.
struct Comparison {
    matcher: Matcher,
    events: Vec<Event>,
    difference: Option<Difference>,
    /// Why there are no more events.
    end: String,
}

impl Comparison {
    fn of_trace(file: &expect::File, trace: Trace) -> Result<Comparison, String> {
        let mut matcher = Matcher::new(file, trace.header.time);
        let difference = match_all(&mut matcher, &trace.events)?.or_else(|| matcher.end());
        Ok(Comparison { matcher, events: trace.events, difference, end: "the trace ends".into() })
    }
}

fn match_all(matcher: &mut Matcher, events: &[Event]) -> Result<Option<Difference>, String> {
    for event in events {
        if let Some(difference) = matcher.take(event)? {
            return Ok(Some(difference));
        }
    }
    Ok(None)
}

/// Why a comparison ends when an event has not come within its time.
const TIME_OVER: &str = "its time is over";

fn is_late(matcher: &Matcher, now: Moment) -> bool {
    matcher.deadline().is_some_and(|at| now > at)
}

/// Compares the events of a network as they happen.
///
/// An event may be written after others with higher numbers. So a difference counts only if it is still there when all events up
/// to now have been written and are compared again from the beginning.
struct Watch<'a> {
    client: &'a Client,
    /// Whether the network ran before this command, whose recording starts it.
    was_running: bool,
    live: Live<'a>,
    began: Moment,
    events: Vec<Event>,
}

impl<'a> Watch<'a> {
    fn begin(client: &'a Client) -> Result<Watch<'a>, String> {
        let was_running = query::is_running(client);
        let live = Live::begin(client)?;
        Ok(Watch { client, was_running, live, began: Moment::now(), events: Vec::new() })
    }

    /// Compares until all expected events have happened, another one has, or the time is up.
    fn run(mut self, file: &expect::File, within: Duration) -> Result<Comparison, String> {
        let limit = Instant::now() + within;
        let mut matcher = Matcher::new(file, self.began);
        let mut matched = 0;
        loop {
            let to_deadline = matcher.deadline().map(|at| at.since(Moment::now()));
            let left = limit.saturating_duration_since(Instant::now());
            let has_ended = !self.live.wait(to_deadline.map_or(left, |time| time.min(left)))?;
            let in_order = self.read()?;
            if !in_order {
                (matcher, matched) = (Matcher::new(file, self.began), 0);
            }
            let difference = match_all(&mut matcher, self.events.get(matched..).unwrap_or_default())?;
            matched = self.events.len();
            let end = match difference {
                Some(_) => None,
                None if matcher.is_complete() => return self.finish(matcher, None, String::new()),
                None if has_ended => Some("the network has ended".into()),
                None if Instant::now() >= limit => Some(format!("{} s have passed", within.as_secs_f64())),
                None if is_late(&matcher, Moment::now()) => Some(TIME_OVER.into()),
                None => continue,
            };
            let flushed_at = Moment::now();
            if !has_ended {
                // An error means that the network is ending: all its events have been written.
                let _ = self.live.flush();
            }
            self.read()?;
            matcher = Matcher::new(file, self.began);
            let difference = match_all(&mut matcher, &self.events)?;
            matched = self.events.len();
            match (difference, end) {
                (None, _) if matcher.is_complete() => return self.finish(matcher, None, String::new()),
                (None, None) => {}
                // The event that was awaited came in time, and was written late.
                (None, Some(end)) if end == TIME_OVER && !is_late(&matcher, flushed_at) => {}
                (None, Some(end)) => {
                    let difference = matcher.end();
                    return self.finish(matcher, difference, end);
                }
                (difference, end) => return self.finish(matcher, difference, end.unwrap_or_default()),
            }
        }
    }

    fn finish(
        self,
        matcher: Matcher,
        difference: Option<Difference>,
        end: String,
    ) -> Result<Comparison, String> {
        warn_of_lost_events(lost(&self.events));
        if difference.is_some() && !self.was_running && self.events.is_empty() {
            error_line!("lonet: {}", query::not_running(self.client));
        }
        Ok(Comparison { matcher, events: self.events, difference, end })
    }

    /// Reads new events. Returns whether all of them come after those that were there.
    fn read(&mut self) -> Result<bool, String> {
        let (first, last) = (self.events.len(), self.events.last().map_or(0, |event| event.seq));
        self.live.read(&mut self.events)?;
        if let Some(header) = &self.live.header {
            self.began = header.time;
        }
        let new = self.events.get(first..).unwrap_or_default();
        let is_in_order =
            new.is_sorted_by_key(|event| event.seq) && new.first().is_none_or(|event| event.seq > last);
        self.events.sort_by_key(|event| event.seq);
        Ok(is_in_order)
    }
}

/// The message for a syntax error: its place, the line, and a mark below the column.
fn parse_error_text(name: &str, text: &str, error: &SyntaxError) -> String {
    let line = text.lines().nth(error.line - 1).unwrap_or_default();
    let before: String = line.chars().take(error.column - 1).collect();
    // A tab stays a tab, so that the mark is below its column.
    let blank = |c: char| {
        if c == '\t' {
            "\t".into()
        } else {
            " ".repeat(unicode_width::UnicodeWidthChar::width(c).unwrap_or(0))
        }
    };
    let blanks: String = before.chars().map(blank).collect();
    format!("{name}:{}:{}: {}\n  {line}\n  {blanks}^", error.line, error.column, error.why)
}
