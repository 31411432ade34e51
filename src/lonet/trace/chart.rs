//! A trace as a sequence chart: hosts are columns, time goes down.
//!
//! A row is one thing that a person tells of: a dial and what became of it are one, and so are the closes of both ends of a
//! connection. [`Chart`] is what all forms have in common: [`svg`], [`html`], which is that with a script, and [`mermaid`].

mod build;
pub mod html;
pub mod mermaid;
pub mod svg;

use super::moment::Moment;

/// A host, by its place among the columns.
pub type Column = usize;
/// By its place among the rows.
pub type Row = usize;

#[derive(Debug)]
pub struct Chart {
    pub network: String,
    pub begin: Moment,
    pub hosts: Vec<Host>,
    pub rows: Vec<Drawn>,
    pub bands: Vec<Band>,
    /// How many levels there are, from the top.
    pub levels: usize,
}

/// The names are said again at every level that is a multiple of this, where there is nothing else.
pub const AGAIN: usize = 30;

#[derive(Debug, Default)]
pub struct Host {
    pub name: String,
    /// When it was up: the rows from its beginning to its end; `None`: since before the trace, or beyond it.
    pub lives: Vec<(Option<Row>, Option<Row>)>,
}

#[derive(Debug)]
pub struct Drawn {
    pub time: Moment,
    /// How far down it is. What several hosts do by themselves one after the other, they do at one level.
    pub level: usize,
    pub mark: Mark,
    /// The events, in their text form.
    pub told: Vec<String>,
}

#[derive(Debug)]
pub enum Mark {
    Arrow(Arrow),
    Point {
        host: Column,
        shape: Shape,
        text: String,
    },
    /// About the network.
    Across {
        text: String,
    },
    /// So many microseconds in which nothing happened.
    Pause(u64),
}

#[derive(Debug)]
pub struct Arrow {
    pub from: Column,
    pub to: Column,
    /// The port at each end.
    pub ports: [String; 2],
    pub line: Line,
    /// What stands at its middle.
    pub note: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// A dial of which no more is known.
    Dial,
    Connection,
    /// It came to nothing.
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
    /// Something else that failed.
    Failed,
}

/// A fault while it stands.
#[derive(Debug)]
pub struct Band {
    pub first: Row,
    /// `None`: to the end.
    pub last: Option<Row>,
    /// The hosts that it names; none: all.
    pub hosts: Vec<Column>,
    pub rule: String,
    pub hits: u64,
}

impl Band {
    /// The rule, and how often it was met.
    pub fn label(&self) -> String {
        match self.hits {
            0 => self.rule.clone(),
            1 => format!("{} (1 hit)", self.rule),
            hits => format!("{} ({hits} hits)", self.rule),
        }
    }
}

/// What can be said of times at the margin: `0.134 s`.
pub fn since(begin: Moment, time: Moment) -> String {
    let micros = time.0.saturating_sub(begin.0);
    format!("{}.{:03} s", micros / 1_000_000, micros / 1000 % 1000)
}

#[cfg(test)]
mod tests;
