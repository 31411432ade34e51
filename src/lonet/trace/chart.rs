//! A trace as a sequence chart: hosts are columns, time runs down.
//!
//! A row combines events that belong together: a dial and its outcome, or the closes of both ends of a connection. [`Chart`] is
//! independent of the format; [`svg`], [`html`] (an SVG with a script) and [`mermaid`] write it.

mod build;
pub mod html;
pub mod mermaid;
pub mod svg;

use super::moment::Moment;
pub use build::hosts_of;

/// The number of a host's column.
pub type Column = usize;
/// The number of a row.
pub type Row = usize;

#[derive(Debug)]
pub struct Chart {
    pub network: String,
    pub begin: Moment,
    pub hosts: Vec<Host>,
    pub rows: Vec<ChartRow>,
    pub bands: Vec<Band>,
    /// The number of levels (see [`ChartRow::level`]).
    pub levels: usize,
}

/// Levels that are multiples of this have no rows: there the names of the hosts are repeated.
pub const REPEAT_NAMES_EVERY: usize = 30;

#[derive(Debug, Default)]
pub struct Host {
    pub name: String,
    /// When it was up: the first and the last row of each time; `None`: before or after the trace.
    pub lifetimes: Vec<(Option<Row>, Option<Row>)>,
}

#[derive(Debug)]
pub struct ChartRow {
    pub time: Moment,
    /// The vertical position. Rows that concern only one host share a level with those of other hosts.
    pub level: usize,
    pub mark: Mark,
    /// Its events in text form.
    pub events_text: Vec<String>,
}

#[derive(Debug)]
pub enum Mark {
    Arrow(Arrow),
    Point {
        host: Column,
        shape: Shape,
        text: String,
    },
    /// A text about the whole network.
    Across {
        text: String,
    },
    /// Nothing has happened for this number of microseconds.
    Pause(u64),
}

#[derive(Debug)]
pub struct Arrow {
    pub from: Column,
    pub to: Column,
    /// The port at each end.
    pub ports: [String; 2],
    pub line: Line,
    /// The text at its middle.
    pub note: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// A dial without a known outcome.
    Dial,
    Connection,
    /// A dial that has failed.
    Failed,
    Close,
    Reset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Up,
    Listening,
    Unlistened,
    Ended,
    Killed,
    Down,
    /// Anything else that has failed.
    Failed,
}

/// A fault, from its beginning to its end.
#[derive(Debug)]
pub struct Band {
    pub first: Row,
    /// `None`: to the end.
    pub last: Option<Row>,
    /// The hosts that it names; empty: all.
    pub hosts: Vec<Column>,
    pub rule: String,
    pub hits: u64,
}

impl Band {
    /// The rule, and the number of its hits.
    pub fn label(&self) -> String {
        match self.hits {
            0 => self.rule.clone(),
            1 => format!("{} (1 hit)", self.rule),
            hits => format!("{} ({hits} hits)", self.rule),
        }
    }
}

/// A time in the margin, relative to the trace's beginning: `0.134 s`.
pub fn elapsed(begin: Moment, time: Moment) -> String {
    let micros = time.0.saturating_sub(begin.0);
    format!("{}.{:03} s", micros / 1_000_000, micros / 1000 % 1000)
}

#[cfg(test)]
mod tests;
