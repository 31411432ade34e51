//! The outputs of a recording: the trace, and the lines for watchers.

use super::file::Trace;
use super::{Recorder, lost};
use crate::daemon::current_directory::CurrentDirectory;
use crate::trace::event::{Event, Kind};
use std::collections::HashSet;
use std::io;

/// A trace that is being written, with the events between two numbers.
pub struct TraceOutput {
    trace: Trace,
    /// The last number before the trace.
    after: u64,
    /// The last number in the trace; [`NOT_STOPPED`]: it goes on.
    until: u64,
    /// The number of events that could not be written.
    unwritten: u64,
    /// The events that the previous lonetd has written after the number that it has noted.
    written: HashSet<(u64, Kind)>,
}

const NOT_STOPPED: u64 = u64::MAX;

impl TraceOutput {
    fn new(trace: Trace, after: u64) -> TraceOutput {
        TraceOutput { trace, after, until: NOT_STOPPED, unwritten: 0, written: HashSet::new() }
    }

    /// Continues the previous lonetd's trace. `noted`: the last number that it has noted as output.
    pub fn resume(directory: &CurrentDirectory, network: &str, noted: u64) -> io::Result<TraceOutput> {
        let trace = Trace::resume(directory, network)?;
        let written = trace.written_after(noted)?;
        Ok(TraceOutput { written, ..TraceOutput::new(trace, 0) })
    }

    /// Called when all events up to this number are noted as output.
    pub fn number_is_noted(&mut self, number: u64) {
        self.written.retain(|(written, _)| *written > number);
    }

    pub fn put(&mut self, events: &[Event]) {
        let is_missing = |event: &&Event| {
            let is_in_trace = self.after < event.seq && event.seq <= self.until;
            is_in_trace && !self.written.contains(&(event.seq, event.kind))
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
    /// Whether a trace is written that was not stopped.
    pub fn writes_trace(&self) -> bool {
        self.output.as_ref().is_some_and(|output| output.until == NOT_STOPPED)
    }

    /// Begins a trace with the events from now on. The previous trace is removed.
    pub fn begin_trace(&mut self, directory: &CurrentDirectory, network: &str) -> io::Result<()> {
        let trace = Trace::create(directory, network)?;
        self.output = Some(TraceOutput::new(trace, self.table.ring().last()));
        Ok(())
    }

    /// Stops the trace with the events until now.
    pub fn stop_trace(&mut self) {
        let last = self.table.ring().last();
        if let Some(output) = self.output.as_mut().filter(|output| output.until == NOT_STOPPED) {
            output.until = last;
        }
        if self.output.as_ref().is_some_and(|output| self.has_written(output.until)) {
            self.output = None;
        }
    }

    /// Starts or stops collecting lines for watchers.
    pub fn collect_lines(&mut self, collects: bool) {
        match (collects, &self.watched) {
            (true, None) => self.watched = Some(Vec::new()),
            (false, _) => self.watched = None,
            (true, Some(_)) => {}
        }
    }

    /// Takes the lines that were collected.
    pub fn take_lines(&mut self) -> Vec<u8> {
        self.watched.as_mut().map(std::mem::take).unwrap_or_default()
    }
}
