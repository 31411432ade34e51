//! The events of a network: their model, their JSON and their text.
//!
//! A trace is a text of JSON lines: a [`Header`], then an [`Event`] on each line, by `seq` as far as known. [`event`] has the
//! fields, [`text`] the form for people, [`moment`] times, [`read`] a recorded one. [`expect`] compares it
//! with what is expected, [`chart`] draws it.

pub mod chart;
pub mod event;
pub mod expect;
pub mod moment;
pub mod read;
pub mod recorded;
mod text;
