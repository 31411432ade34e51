//! `lonet trace`: records, prints and draws the events of a network.

use super::picture::{self, Picture};
use super::trace_watch::TraceWatch;
use super::{Network, live, query, write_out};
use crate::trace::event::Event;
use crate::trace::read::Trace as Recording;
use crate::trace::recorded::Recorded;
use clap::{Args, ValueEnum};
use lonet_core::client::{Client, StartIf, Trouble};
use lonet_core::control::{MAX_MESSAGE, NetworkOp, Trace as Order};
use lonet_core::limit::Limit;
use lonet_core::sys::Fd;
use std::io::{self, Write};
use std::process::ExitCode;

/// Print or draw the events of a network in order: dials, accepts, closes, lookups, hosts and faults.
///
/// Without options, prints what has been recorded since the last --start. lonet(7) describes the order and the fields.
#[derive(Args)]
pub struct Trace {
    #[command(flatten)]
    network: Network,
    /// Record and print events from now on, until interrupted or until the network ends
    #[arg(short, long)]
    follow: bool,
    /// Print each event as a line of text, or of JSON
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// With --follow: print what has been recorded before, too
    #[arg(long, value_enum, value_name = "WHEN")]
    since: Option<Since>,
    /// Start recording; starts the network if it does not run
    #[arg(long, conflicts_with_all = ["follow", "since", "stop"])]
    start: bool,
    /// Stop recording; what has been recorded is kept until something records again, or the network ends
    #[arg(long, conflicts_with_all = ["follow", "since"])]
    stop: bool,
    #[command(flatten)]
    picture: Picture,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Jsonl,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Since {
    Start,
}

const HINT: &str = "lonet trace --start records from then on, lonet trace --follow prints what happens";

impl Trace {
    pub fn run(self) -> Result<ExitCode, String> {
        self.picture.check()?;
        if let Some(from) = &self.picture.from {
            let trace = picture::read(from)?;
            return match self.picture.is_wanted() {
                true => self.picture.draw(&trace),
                false => write_out(|out| self.print_all(out, &trace)),
            };
        }
        let client = self.network.client()?;
        if self.start {
            request(&client, Order::Start, StartIf::Asked)?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.stop {
            request(&client, Order::Stop, StartIf::Killed)?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.follow {
            return self.follow(&client);
        }
        if self.picture.is_wanted() {
            return self.picture.draw(&live::recorded(&client)?);
        }
        flush(&client)?;
        let nothing = || format!("nothing was recorded in network {:?}: {HINT}", client.config.network);
        let mut recorded = open_recorded(&client)?.ok_or_else(nothing)?;
        write_out(|out| self.print(out, &mut recorded))
    }

    fn follow(&self, client: &Client) -> Result<ExitCode, String> {
        let mut hold = request(client, Order::Hold, StartIf::Asked)?;
        let mut watch = TraceWatch::new(client);
        flush(client)?;
        let ended = || format!("network {:?} has ended", client.config.network);
        let mut recorded = open_recorded(client)?.ok_or_else(ended)?;
        if self.since.is_none() {
            write_out(|out| recorded.skip(&mut |line| self.print_line(out, line)))?;
        }
        write_out(|out| self.print(out, &mut recorded))?;
        loop {
            // Checked before reading, so that events from before the end are printed.
            let has_ended = watch.wait(&hold, None);
            write_out(|out| self.print(out, &mut recorded))?;
            if has_ended {
                match request(client, Order::Hold, StartIf::Killed) {
                    Ok(again) => {
                        (hold, watch) = (again, TraceWatch::new(client));
                        write_out(|out| self.print(out, &mut recorded))?;
                    }
                    // The network has ended, and the trace with it.
                    Err(_) => return Ok(ExitCode::SUCCESS),
                }
            }
        }
    }

    /// Prints a whole trace.
    fn print_all(&self, out: &mut dyn Write, trace: &Recording) -> io::Result<()> {
        match self.format {
            Format::Jsonl => {
                writeln!(out, "{}", serde_json::to_string(&trace.header)?)?;
                let mut lines = trace.events.iter().map(serde_json::to_string);
                lines.try_for_each(|line| writeln!(out, "{}", line?))
            }
            Format::Text => trace.events.iter().try_for_each(|event| writeln!(out, "{event}")),
        }
    }

    /// Prints what has been recorded since the last call.
    fn print(&self, out: &mut dyn Write, recorded: &mut Recorded) -> io::Result<()> {
        recorded.each(&mut |line| self.print_line(out, line))
    }

    fn print_line(&self, out: &mut dyn Write, line: &str) -> io::Result<()> {
        match self.format {
            Format::Jsonl => writeln!(out, "{line}"),
            // The header line is not an event.
            Format::Text => Event::parse(line).map_or(Ok(()), |event| writeln!(out, "{event}")),
        }
    }
}

/// Sends a request about recording. Returns the connection, which keeps the recording going after [`Order::Hold`].
pub fn request(client: &Client, order: Order, start: StartIf) -> Result<Fd, String> {
    let mut buffer = [0; MAX_MESSAGE];
    let begun = client.retry(start, Limit::NONE, &mut buffer, |_, buffer| {
        let fd = client.send(&NetworkOp::Trace(order), buffer)?;
        Ok(query::receive_text(&fd, buffer)?.map(|_| fd))
    });
    match begun {
        Ok(fd) => fd,
        Err(Trouble::NotRunning) => Err(query::not_running(client)),
        Err(e) => Err(query::trouble(client, e)),
    }
}

/// Waits until all events up to now have been written.
pub fn flush(client: &Client) -> Result<(), String> {
    request(client, Order::Write, StartIf::Killed).map(drop)
}

/// Opens the recorded trace. `None`: nothing was recorded.
pub fn open_recorded(client: &Client) -> Result<Option<Recorded>, String> {
    let unreadable = |e: io::Error| format!("the trace of network {:?}: {e}", client.config.network);
    client.directory().map_or(Ok(None), |directory| Recorded::open(directory).map_err(unreadable))
}
