//! The trace that is kept of a recording, and the lines for who watches.

use super::file::Trace;
use super::{Recorder, lost};
use crate::daemon::current_directory::CurrentDirectory;
use crate::trace::event::{Event, Kind};
use std::collections::HashSet;
use std::io;

/// The events between two numbers, in a file.
pub struct Kept {
    trace: Trace,
    /// The last number before it.
    behind: u64,
    /// The last number that belongs to it.
    until: u64,
    /// So many events could not be written.
    unwritten: u64,
    /// What a lonetd before has written behind the number that it has noted.
    written: HashSet<(u64, Kind)>,
}

/// It has not been stopped.
const GOES_ON: u64 = u64::MAX;

impl Kept {
    fn new(trace: Trace, behind: u64) -> Kept {
        Kept { trace, behind, until: GOES_ON, unwritten: 0, written: HashSet::new() }
    }

    /// Goes on with the trace of a lonetd before, which has noted that it has written events up to this number.
    pub fn resume(directory: &CurrentDirectory, network: &str, noted: u64) -> io::Result<Kept> {
        let trace = Trace::resume(directory, network)?;
        let written = trace.written_behind(noted)?;
        Ok(Kept { written, ..Kept::new(trace, 0) })
    }

    /// It is noted that all up to this number has been written.
    pub fn is_noted(&mut self, number: u64) {
        self.written.retain(|(written, _)| *written > number);
    }

    pub fn put(&mut self, events: &[Event]) {
        let is_missing = |event: &&Event| {
            let is_of_it = self.behind < event.seq && event.seq <= self.until;
            is_of_it && !self.written.contains(&(event.seq, event.kind))
        };
        let events: Vec<&Event> = events.iter().filter(is_missing).collect();
        let Some(first) = events.first() else { return };
        let mut text = Vec::with_capacity(events.len() * 256);
        if self.unwritten > 0 {
            line(&mut text, &lost(first.seq.saturating_sub(1), self.unwritten));
        }
        events.iter().for_each(|event| line(&mut text, event));
        match self.trace.write(&text) {
            Ok(()) => self.unwritten = 0,
            Err(e) => {
                if self.unwritten == 0 {
                    tracing::warn!("events cannot be written to the trace: {e}");
                }
                self.unwritten += events.len() as u64;
            }
        }
    }
}

/// Adds a line of a trace.
pub fn line(text: &mut Vec<u8>, event: &Event) {
    let _ = serde_json::to_writer(&mut *text, event);
    text.push(b'\n');
}

impl Recorder {
    /// Whether a trace is written that has not been stopped.
    pub fn keeps(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.until == GOES_ON)
    }

    /// Begins a trace, with what happens from now on. The one before is removed.
    pub fn keep(&mut self, directory: &CurrentDirectory, network: &str) -> io::Result<()> {
        let trace = Trace::create(directory, network)?;
        self.kept = Some(Kept::new(trace, self.table.ring().last()));
        Ok(())
    }

    /// Ends the trace, with what has happened until now.
    pub fn keep_no_more(&mut self) {
        let last = self.table.ring().last();
        if let Some(kept) = self.kept.as_mut().filter(|kept| kept.until == GOES_ON) {
            kept.until = last;
        }
        if self.kept.as_ref().is_some_and(|kept| self.has_written(kept.until)) {
            self.kept = None;
        }
    }

    /// Collects lines for who watches, or no more.
    pub fn watch(&mut self, watches: bool) {
        match (watches, &self.watched) {
            (true, None) => self.watched = Some(Vec::new()),
            (false, _) => self.watched = None,
            (true, Some(_)) => {}
        }
    }

    /// The lines that have been collected.
    pub fn take_watched(&mut self) -> Vec<u8> {
        self.watched.as_mut().map(std::mem::take).unwrap_or_default()
    }
}
