//! Traces: the recorded events of a network.
//!
//! A trace is a text of JSON lines: a header, then an event on each line, sorted by `seq` as far as possible. [`event`] defines
//! both, [`text`] is the form of events for people, [`moment`] that of times. [`read`] and [`recorded`] read traces, [`expect`]
//! compares one with expected events, [`chart`] draws one.

pub mod chart;
pub mod event;
pub mod expect;
pub mod moment;
pub mod read;
pub mod recorded;
mod text;
