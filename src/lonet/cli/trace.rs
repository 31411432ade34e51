//! `lonet trace`: what happens in a network.

use super::news::News;
use super::picture::{self, Picture};
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

const HOW: &str = "lonet trace --start records from then on, lonet trace --follow prints what happens";

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
            begin(&client, Order::Start, StartIf::Asked)?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.stop {
            flush(&client, Order::Stop)?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.follow {
            return self.follow(&client);
        }
        if self.picture.is_wanted() {
            return self.picture.draw(&live::recorded(&client)?);
        }
        flush(&client, Order::Write)?;
        let nothing = || format!("nothing was recorded in network {:?}: {HOW}", client.config.network);
        let mut recorded = open(&client)?.ok_or_else(nothing)?;
        write_out(|out| self.print(out, &mut recorded))
    }

    fn follow(&self, client: &Client) -> Result<ExitCode, String> {
        let mut held = begin(client, Order::Hold, StartIf::Asked)?;
        let mut news = News::of(client);
        flush(client, Order::Write)?;
        let ended = || format!("network {:?} has ended", client.config.network);
        let mut recorded = open(client)?.ok_or_else(ended)?;
        if self.since.is_none() {
            write_out(|out| recorded.skip(&mut |line| self.print_line(out, line)))?;
        }
        write_out(|out| self.print(out, &mut recorded))?;
        loop {
            // First: what was written before the end is read after it.
            let is_over = news.wait(&held, None);
            write_out(|out| self.print(out, &mut recorded))?;
            if is_over {
                match begin(client, Order::Hold, StartIf::Killed) {
                    Ok(again) => {
                        (held, news) = (again, News::of(client));
                        write_out(|out| self.print(out, &mut recorded))?;
                    }
                    // The network has ended, and the trace with it.
                    Err(_) => return Ok(ExitCode::SUCCESS),
                }
            }
        }
    }

    /// Prints a trace that is at hand.
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

    /// Prints what has been recorded since the last time.
    fn print(&self, out: &mut dyn Write, recorded: &mut Recorded) -> io::Result<()> {
        recorded.each(&mut |line| self.print_line(out, line))
    }

    fn print_line(&self, out: &mut dyn Write, line: &str) -> io::Result<()> {
        match self.format {
            Format::Jsonl => writeln!(out, "{line}"),
            // The header is none.
            Format::Text => Event::parse(line).map_or(Ok(()), |event| writeln!(out, "{event}")),
        }
    }
}

/// Has lonetd record: the connection to it.
pub fn begin(client: &Client, order: Order, start: StartIf) -> Result<Fd, String> {
    let mut buffer = [0; MAX_MESSAGE];
    let begun = client.insist(start, Limit::NONE, &mut buffer, |buffer| {
        let fd = client.send(&NetworkOp::Trace(order), buffer)?;
        Ok(query::text(&fd, buffer)?.map(|_| fd))
    });
    match begun {
        Ok(fd) => fd,
        Err(Trouble::NotRunning) => Err(query::not_running(client)),
        Err(e) => Err(e.of(client).to_string()),
    }
}

/// Waits until all events that there are have been written.
pub fn flush(client: &Client, order: Order) -> Result<(), String> {
    begin(client, order, StartIf::Killed).map(drop)
}

/// What was recorded. `None`: nothing.
pub fn open(client: &Client) -> Result<Option<Recorded>, String> {
    let unreadable = |e: io::Error| format!("the trace of network {:?}: {e}", client.config.network);
    client.directory().map_or(Ok(None), |directory| Recorded::open(directory).map_err(unreadable))
}
