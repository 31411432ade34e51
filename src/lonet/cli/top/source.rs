//! The thread behind `lonet top` that polls lonetd and the kernel, and carries out the user's commands.
//!
//! It is a thread so that a slow or stopped lonetd does not block the user interface.

use super::meter::{self, Meter};
use super::snapshot::Snapshot;
use crate::cli::trace::request;
use crate::cli::{faults, query};
use crate::daemon::faults::{Between, FaultRequest};
use crate::trace::event::Event;
use lonet_core::client::{Client, StartIf};
use lonet_core::control::Trace;
use lonet_core::diag::Diag;
use lonet_core::sys::{self, Fd};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

/// How often everything is polled; less often if that takes long.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// Polling may take one part in [`IDLE_FACTOR`] of the time, if the interval does not exceed [`MAX_REFRESH_INTERVAL`] by that.
const IDLE_FACTOR: u32 = 5;
const MAX_REFRESH_INTERVAL: Duration = Duration::from_secs(5);

/// The most bytes of a packet of events.
const PACKET_SIZE: usize = 1 << 18;

/// How many packets are received before commands are looked for again.
const MAX_PACKETS: usize = 256;

/// Whether the network is running.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NetworkStatus {
    /// Not known yet.
    #[default]
    Unknown,
    /// It has not been running since this command was started: the message about that.
    Awaited(String),
    Running,
    /// It was running, and has ended.
    Ended,
    /// lonetd does not reply as it should: why.
    Failing(String),
}

/// A message of the thread to the user interface.
pub enum Update {
    Status(NetworkStatus),
    Snapshot(Box<Snapshot>),
    Events(Vec<Event>),
    /// Why there are no events.
    NoEvents(String),
    /// The outcome of a command.
    Done(Result<String, String>),
}

/// The commands that the user can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Cut,
    Heal,
}

/// A command of the user about faults.
#[derive(Clone, Debug)]
pub struct FaultCommand {
    pub verb: Verb,
    pub between: Between,
}

impl FaultCommand {
    /// The command line that does the same.
    pub fn command(&self) -> String {
        let verb = match self.verb {
            Verb::Cut => "cut",
            Verb::Heal => "heal",
        };
        let (from, to) = (self.between.from.join(","), self.between.to.join(","));
        match (from.is_empty(), to.is_empty(), self.between.one_way) {
            (true, ..) => format!("lonet {verb}"),
            (false, true, _) => format!("lonet {verb} {from}"),
            (false, false, false) => format!("lonet {verb} {from} {to}"),
            (false, false, true) => format!("lonet {verb} '{from}>{to}'"),
        }
    }

    fn run(self, client: &Client) -> Result<String, String> {
        let FaultCommand { verb, between } = self;
        let (order, done, left) = match verb {
            Verb::Cut => (FaultRequest::Cut(between), "cut", "may still pass"),
            Verb::Heal => (FaultRequest::Heal(between), "healed", "may stay cut"),
        };
        faults::outcome(&faults::request(client, order)?, done, left)
    }
}

/// The user interface's handle of the thread.
pub struct Source {
    orders: Sender<FaultCommand>,
    updates: Receiver<Update>,
    /// Readable when there are updates.
    pub ready: Arc<EventFd>,
    wake: Arc<EventFd>,
}

impl Source {
    pub fn start(client: Client) -> Result<Source, String> {
        let event = || {
            let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
            EventFd::from_value_and_flags(0, flags).map(Arc::new).map_err(|e| format!("eventfd: {e}"))
        };
        let (ready, wake) = (event()?, event()?);
        let (orders, orders_receiver) = mpsc::channel();
        let (updates_sender, updates) = mpsc::channel();
        let mut thread = Thread {
            client,
            orders: orders_receiver,
            updates: updates_sender,
            ready: ready.clone(),
            wake: wake.clone(),
            watch: None,
            has_run: false,
            meter: Meter::default(),
            diag: Diag::open().ok(),
            buffer: vec![0; PACKET_SIZE],
        };
        let builder = std::thread::Builder::new().name("source".into());
        builder.spawn(move || thread.run()).map_err(|e| format!("cannot start a thread: {e}"))?;
        Ok(Source { orders, updates, ready, wake })
    }

    pub fn order(&self, command: FaultCommand) {
        // The thread does not end before this handle is dropped.
        let _ = self.orders.send(command);
        let _ = self.wake.write(1);
    }

    /// The updates since the last call.
    pub fn updates(&self) -> impl Iterator<Item = Update> {
        let _ = self.ready.read();
        self.updates.try_iter()
    }
}

/// The user interface has ended.
struct ViewClosed;

struct Thread {
    client: Client,
    orders: Receiver<FaultCommand>,
    updates: Sender<Update>,
    ready: Arc<EventFd>,
    wake: Arc<EventFd>,
    /// The connection on which events arrive.
    watch: Option<Fd>,
    has_run: bool,
    meter: Meter,
    diag: Option<Diag>,
    buffer: Vec<u8>,
}

impl Thread {
    fn run(&mut self) {
        while let Ok(pause) = self.refresh() {
            if self.wait(pause).is_err() {
                return;
            }
        }
    }

    fn send(&self, updates: Update) -> Result<(), ViewClosed> {
        self.updates.send(updates).map_err(|_| ViewClosed)?;
        let _ = self.ready.write(1);
        Ok(())
    }

    /// Polls everything once, and returns the time to wait until the next poll.
    fn refresh(&mut self) -> Result<Duration, ViewClosed> {
        let start = Instant::now();
        let (status, shown) = match self.ask() {
            Ok(Some(shown)) => (NetworkStatus::Running, Some(shown)),
            Ok(None) if self.has_run => (NetworkStatus::Ended, None),
            Ok(None) => (NetworkStatus::Awaited(query::not_running(&self.client)), None),
            Err(why) => (NetworkStatus::Failing(why), None),
        };
        if status == NetworkStatus::Running {
            self.has_run = true;
            self.start_watch()?;
        }
        self.send(Update::Status(status))?;
        if let Some(mut shown) = shown {
            // First, as the counters of closed connections come with their events.
            self.take_events()?;
            let address = shown.hosts.first().map(|host| host.address.clone());
            let kernel = address
                .zip(self.diag.as_ref())
                .and_then(|(address, diag)| meter::read_kernel(diag, &address));
            self.meter.measure(start, &mut shown, kernel.as_ref(), self.watch.is_some());
            self.send(Update::Snapshot(Box::new(shown)))?;
        }
        Ok((start.elapsed() * IDLE_FACTOR).clamp(REFRESH_INTERVAL, MAX_REFRESH_INTERVAL))
    }

    fn ask(&self) -> Result<Option<Snapshot>, String> {
        let Some(listing) = query::network(&self.client)? else { return Ok(None) };
        let report = faults::request(&self.client, FaultRequest::Show);
        // The network may have ended in between.
        let report = match report {
            Ok(report) => report,
            Err(_) if !query::is_running(&self.client) => return Ok(None),
            Err(why) => return Err(why),
        };
        Ok(Some(Snapshot::of(&listing.parse()?, &report)))
    }

    /// Requests events from lonetd, if they do not arrive yet.
    fn start_watch(&mut self) -> Result<(), ViewClosed> {
        if self.watch.is_some() {
            return Ok(());
        }
        match request(&self.client, Trace::Watch, StartIf::Killed) {
            Ok(fd) => self.watch = Some(fd),
            Err(why) => self.send(Update::NoEvents(why))?,
        }
        Ok(())
    }

    /// Waits for this time, and handles events and commands meanwhile. Returns early after a command, or when lonetd has ended.
    fn wait(&mut self, pause: Duration) -> Result<(), ViewClosed> {
        let until = Instant::now() + pause;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            // SAFETY: the descriptor belongs to this struct, which outlives the poll.
            let watched = self.watch.as_ref().map(|fd| unsafe { BorrowedFd::borrow_raw(fd.raw()) });
            let mut fds = vec![PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)];
            fds.extend(watched.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
            let milliseconds = PollTimeout::try_from(left + Duration::from_millis(1));
            let _ = poll(&mut fds, milliseconds.unwrap_or(PollTimeout::MAX));
            if !self.take_events()? {
                // lonetd has ended, and perhaps the network.
                return Ok(());
            }
            let _ = self.wake.read();
            let mut has_done = false;
            while let Ok(command) = self.orders.try_recv() {
                let done = command.run(&self.client);
                self.send(Update::Done(done))?;
                has_done = true;
            }
            if has_done {
                return Ok(());
            }
        }
    }

    /// Receives the events that have arrived. `false`: the connection is closed.
    fn take_events(&mut self) -> Result<bool, ViewClosed> {
        let Some(fd) = &self.watch else { return Ok(true) };
        let (mut events, mut is_open) = (Vec::new(), true);
        for _ in 0..MAX_PACKETS {
            if sys::readable_within(fd.raw(), 0) != Ok(true) {
                break;
            }
            match sys::recv(fd.raw(), &mut self.buffer) {
                Ok(n) if n > 0 => {
                    let text = String::from_utf8_lossy(self.buffer.get(..n).unwrap_or_default());
                    events.extend(text.lines().filter_map(|line| Event::parse(line).ok()));
                }
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Ok(_) | Err(_) => {
                    is_open = false;
                    break;
                }
            }
        }
        if !is_open {
            self.watch = None;
        }
        events.iter().for_each(|event| self.meter.add_event(event));
        if !events.is_empty() {
            self.send(Update::Events(events))?;
        }
        Ok(is_open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_does_the_same_as_the_command() {
        let command = |verb, from: &[&str], to: &[&str], one_way| {
            let names = |all: &[&str]| all.iter().map(ToString::to_string).collect();
            let between = Between { from: names(from), to: names(to), one_way, ..Between::default() };
            FaultCommand { verb, between }.command()
        };
        assert_eq!(command(Verb::Cut, &["a"], &["b"], false), "lonet cut a b");
        assert_eq!(command(Verb::Cut, &["a"], &[], false), "lonet cut a");
        assert_eq!(command(Verb::Heal, &["a"], &["b"], true), "lonet heal 'a>b'");
        assert_eq!(command(Verb::Heal, &[], &[], false), "lonet heal");
    }
}
