//! The events of a network for commands: as they happen, or as they were recorded.

use super::trace::{flush, open_recorded, request};
use super::trace_watch::TraceWatch;
use crate::trace::event::{Event, Header};
use crate::trace::read::Trace;
use crate::trace::recorded::Recorded;
use lonet_core::client::{Client, StartIf};
use lonet_core::control::Trace as Order;
use lonet_core::sys::Fd;
use std::fmt::Display;
use std::time::Duration;

/// A network's events from the beginning of its recording on. The network is recorded as long as this exists.
pub struct Live<'a> {
    client: &'a Client,
    hold: Fd,
    watch: TraceWatch,
    /// There may be events to read that no further write announces.
    is_behind: bool,
    recorded: Recorded,
    pub header: Option<Header>,
}

impl<'a> Live<'a> {
    /// Starts a recording if there is none, and the network if it is not running.
    pub fn begin(client: &'a Client) -> Result<Live<'a>, String> {
        let hold = request(client, Order::Hold, StartIf::Asked)?;
        let watch = TraceWatch::new(client);
        flush(client)?;
        let ended = || format!("network {:?} has ended", client.config.network);
        let recorded = open_recorded(client)?.ok_or_else(ended)?;
        Ok(Live { client, hold, watch, is_behind: true, recorded, header: None })
    }

    /// Waits until there may be events to read, and for this time at most. `false`: the network has ended.
    pub fn wait(&mut self, limit: Duration) -> Result<bool, String> {
        if std::mem::take(&mut self.is_behind) || !self.watch.wait(&self.hold, Some(limit)) {
            return Ok(true);
        }
        // If lonetd was killed, this starts another one.
        match request(self.client, Order::Hold, StartIf::Killed) {
            Ok(hold) => (self.hold, self.watch, self.is_behind) = (hold, TraceWatch::new(self.client), true),
            Err(_) => return Ok(false),
        }
        Ok(true)
    }

    /// Waits until all events up to now have been written.
    pub fn flush(&self) -> Result<(), String> {
        flush(self.client)
    }

    /// Appends the events that were written since the last call.
    pub fn read(&mut self, events: &mut Vec<Event>) -> Result<(), String> {
        let header = &mut self.header;
        let read = self.recorded.each(&mut |line| {
            match Event::parse(line) {
                Ok(event) => events.push(event),
                Err(_) if header.is_none() => *header = serde_json::from_str(line).ok(),
                Err(_) => {}
            }
            Ok(())
        });
        read.map_err(|e| format!("cannot read the trace of network {:?}: {e}", self.client.config.network))
    }
}

/// The whole recorded trace of a network.
pub fn recorded(client: &Client) -> Result<Trace, String> {
    flush(client)?;
    let nothing = || {
        format!(
            "nothing was recorded in network {:?}: `lonet trace --start` begins it",
            client.config.network
        )
    };
    let mut text = Vec::new();
    let mut recorded = open_recorded(client)?.ok_or_else(nothing)?;
    let cannot =
        |e: &dyn Display| format!("cannot read the trace of network {:?}: {e}", client.config.network);
    let mut add = |line: &str| {
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
        Ok(())
    };
    recorded.each(&mut add).map_err(|e| cannot(&e))?;
    Trace::read(text.as_slice()).map_err(|e| cannot(&e))
}
