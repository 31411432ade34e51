//! Events as they come, and those that were recorded, for commands that look at more than one.

use super::news::News;
use super::trace::{begin, flush, open};
use crate::trace::event::{Event, Header};
use crate::trace::read::Trace;
use crate::trace::recorded::Recorded;
use lonet_core::client::{Client, StartIf};
use lonet_core::control::Trace as Order;
use lonet_core::sys::Fd;
use std::fmt::Display;
use std::time::Duration;

/// What happens in a network, from the beginning of its recording on. As long as this lasts, it is recorded.
pub struct Live<'a> {
    client: &'a Client,
    held: Fd,
    news: News,
    /// There may be something to read that nothing tells of any more.
    is_behind: bool,
    recorded: Recorded,
    pub header: Option<Header>,
}

impl<'a> Live<'a> {
    /// Begins a recording if there is none, and the network if it does not run.
    pub fn begin(client: &'a Client) -> Result<Live<'a>, String> {
        let held = begin(client, Order::Hold, StartIf::Asked)?;
        let news = News::of(client);
        flush(client, Order::Write)?;
        let ended = || format!("network {:?} has ended", client.config.network);
        let recorded = open(client)?.ok_or_else(ended)?;
        Ok(Live { client, held, news, is_behind: true, recorded, header: None })
    }

    /// Waits until there may be something to read, or this time is over. Whether the network goes on.
    pub fn waits(&mut self, limit: Duration) -> Result<bool, String> {
        if std::mem::take(&mut self.is_behind) || !self.news.wait(&self.held, Some(limit)) {
            return Ok(true);
        }
        // A lonetd that was killed is followed by another one.
        match begin(self.client, Order::Hold, StartIf::Killed) {
            Ok(held) => (self.held, self.news, self.is_behind) = (held, News::of(self.client), true),
            Err(_) => return Ok(false),
        }
        Ok(true)
    }

    /// Waits until everything that has happened can be read.
    pub fn flush(&self) -> Result<(), String> {
        flush(self.client, Order::Write)
    }

    /// Adds what has happened since the last time.
    pub fn read(&mut self, events: &mut Vec<Event>) -> Result<(), String> {
        let header = &mut self.header;
        let taken = self.recorded.each(&mut |line| {
            match Event::parse(line) {
                Ok(event) => events.push(event),
                Err(_) if header.is_none() => *header = serde_json::from_str(line).ok(),
                Err(_) => {}
            }
            Ok(())
        });
        taken.map_err(|e| format!("cannot read the trace of network {:?}: {e}", self.client.config.network))
    }
}

/// All that was recorded in a network.
pub fn recorded(client: &Client) -> Result<Trace, String> {
    flush(client, Order::Write)?;
    let nothing = || {
        format!(
            "nothing was recorded in network {:?}: `lonet trace --start` begins it",
            client.config.network
        )
    };
    let mut text = Vec::new();
    let mut recorded = open(client)?.ok_or_else(nothing)?;
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
