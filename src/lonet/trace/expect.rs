//! Compares a trace with a file of expected events.
//!
//! A file ([`parse`]) is a tree of items. [`matcher`] matches events against it like a nondeterministic automaton: where an event
//! matches several lines, all choices are followed. The first event that matches in no state is the difference, which is
//! [`report`]ed.
//!
//! An event is compared if a line of the file has its host and its kind, or if the file is strict. All other events are ignored.

mod matcher;
mod parse;
mod pattern;
mod plan;
mod record;
mod report;
mod words;

pub use matcher::{Difference, Matcher};
pub use parse::{File, parse};
pub use record::{Order, record};
pub use report::Report;
pub use words::SyntaxError;

#[cfg(test)]
mod tests;
