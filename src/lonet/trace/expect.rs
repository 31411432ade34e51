//! Expected events, and whether a trace has them.
//!
//! A file ([`parse`]) is a tree of items. What is still expected at a moment is such a tree, too ([`states`]): an event that is
//! compared takes a piece off it. Where there are several pieces that it could be, all ways are followed, so that a choice
//! that turns out wrong later is none. The first event that is left without any is the difference that is [`report`]ed.
//!
//! An event is compared if a line of the file has its host and names what happened, or if the file is strict; all others may
//! happen wherever they like.

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
