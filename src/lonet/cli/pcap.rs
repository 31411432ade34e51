//! `lonet pcap`: captures the packets between hosts.

use super::trace::{open_recorded, request};
use super::{Network, completions, query, standard_output};
use crate::daemon::state::NetworkShown;
use crate::duration;
use crate::pcap::pcapng::Statistics;
use crate::pcap::ring::{BLOCK_TIMEOUT, Ring, Socket};
use crate::pcap::{self, Capture, Need};
use crate::trace::event::Event;
use crate::trace::moment::Moment;
use crate::trace::recorded::Recorded;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use lonet_core::block::Block;
use lonet_core::client::{Client, StartIf};
use lonet_core::config::bare_host;
use lonet_core::control::{MAX_MESSAGE, NetworkOp, Op, Trace as Order};
use lonet_core::limit::Limit;
use lonet_core::sys::Fd;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Capture what hosts send to each other, for Wireshark and tshark: a pcapng file.
///
/// Packets have the addresses and ports that programs see, the hosts' names, and the processes that send them, as
/// comments. The capture begins when FILE has its first bytes, and ends when it is interrupted, when its time is over, or
/// when the network ends. A network that does not run is started. To watch it live: `lonet pcap - | wireshark -k -i -`.
///
/// Reading packets takes CAP_NET_RAW in the network's namespace: root has it, and so has whoever runs the whole
/// network in `unshare -Urn`. Without it, FILE gets the events of connections and none of their bytes, and a message on
/// stderr says so.
#[derive(Args)]
pub struct Pcap {
    #[command(flatten)]
    network: Network,
    /// End after this time: 10s, 500ms, 2m
    #[arg(long = "for", value_name = "TIME", value_parser = duration::time)]
    time: Option<Duration>,
    /// The file to write; `-` is standard output
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only what these hosts send and receive; a host may come up later
    #[arg(value_name = "HOST", add = ArgValueCompleter::new(completions::hosts))]
    hosts: Vec<String>,
}

/// How often the trace is read if no packet needs it earlier.
const READ_INTERVAL: Duration = Duration::from_millis(100);

/// How long a capture reads on at its end, for packets that were sent before.
const DRAIN_TIME: Duration = BLOCK_TIMEOUT.saturating_mul(5);

impl Pcap {
    pub fn run(self) -> Result<ExitCode, String> {
        let hosts = pcap::fold_hosts(&self.hosts)?;
        let client = self.network.client()?;
        let is_output = self.file == Path::new("-");
        let name = if is_output { "the standard output".into() } else { self.file.display().to_string() };
        // First, so that nothing is started if the file cannot be written.
        let out: Box<dyn Write> = match is_output {
            true => standard_output::open(),
            false => Box::new(File::create(&self.file).map_err(|e| format!("cannot write {name}: {e}"))?),
        };
        let signals = signals().map_err(|e| format!("cannot wait for signals: {e}"))?;
        let socket = match Socket::open() {
            Ok(socket) => Some(socket),
            Err(why) => {
                warn_no_packets(why);
                None
            }
        };
        let mut session = Session::begin(&client, Output { out, name }, (&self.hosts, &hosts), socket)?;
        let until = self.time.map(|time| Instant::now() + time);
        session.run(&signals, until)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn warn_no_packets(why: Errno) {
    error_line!(
        "lonet: no packets can be read here: {}. Only events of connections are written, without their bytes. For packets, \
         run this as root or with CAP_NET_RAW, or the whole network in `unshare -Urn`: see PACKETS in lonet(1)",
        why.desc()
    );
}

/// Blocks the signals that end a capture, and returns a descriptor to read them from.
fn signals() -> Result<SignalFd, Errno> {
    let all = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    all.thread_block()?;
    SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

struct Output {
    out: Box<dyn Write>,
    name: String,
}

impl Output {
    fn write(&mut self, blocks: &[u8]) -> Result<(), String> {
        if blocks.is_empty() {
            return Ok(());
        }
        let written = self.out.write_all(blocks).and_then(|()| self.out.flush());
        written.map_err(|e| format!("cannot write to {}: {e}", self.name))
    }
}

/// A running capture.
struct Session<'a> {
    client: &'a Client,
    out: Output,
    capture: Capture,
    ring: Option<Ring>,
    /// The connection that keeps the recording going; lonetd closes it when it ends.
    hold: Fd,
    recorded: Recorded,
    /// The connection on which lonetd replies when all events have been written, and how many packets had been read at the request.
    pending_flush: Option<(Fd, u64)>,
    statistics: Statistics,
    /// The network has ended.
    has_ended: bool,
}

impl<'a> Session<'a> {
    fn begin(
        client: &'a Client,
        out: Output,
        (named, hosts): (&[String], &[String]),
        socket: Option<Socket>,
    ) -> Result<Session<'a>, String> {
        // In this order, so that every connection is in the trace or in the list.
        let hold = request(client, Order::Hold, StartIf::Asked)?;
        request(client, Order::Write, StartIf::Killed)?;
        let ended = || format!("network {:?} has ended", client.config.network);
        let mut recorded = open_recorded(client)?.ok_or_else(ended)?;
        recorded.skip(&mut |_| Ok(())).map_err(|e| cannot_read(client, &e))?;
        let block = block(client)?;
        let listing = query::network(client)?.ok_or_else(ended)?;
        let ring = match socket.map(|socket| socket.receive(block)).transpose() {
            Ok(ring) => ring,
            Err(why) => {
                warn_no_packets(why);
                None
            }
        };
        let capture = Capture::new(&client.config.network, block, hosts, ring.is_some());
        let mut session = Session {
            client,
            out,
            capture,
            ring,
            hold,
            recorded,
            pending_flush: None,
            statistics: Statistics::default(),
            has_ended: false,
        };
        let shown = listing.parse()?;
        // Before the file's first bytes, for which a script may wait.
        warn_of_absent(&shown, named);
        session.capture.add_list(&shown);
        session.process()?;
        Ok(session)
    }

    fn run(&mut self, signals: &SignalFd, until: Option<Instant>) -> Result<(), String> {
        while !self.has_ended {
            let now = Instant::now();
            let left = until.map(|until| until.saturating_duration_since(now));
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            let wake_up =
                self.wait(Some(signals), left.map_or(READ_INTERVAL, |left| left.min(READ_INTERVAL)))?;
            if wake_up.signal && signals.read_signal().is_ok_and(|signal| signal.is_some()) {
                break;
            }
            self.handle(&wake_up)?;
        }
        self.finish()
    }

    /// Waits for an event, at most for this time.
    fn wait(&mut self, signals: Option<&SignalFd>, time: Duration) -> Result<WakeUp, String> {
        let ring = self.ring.as_ref().filter(|_| self.capture.has_room()).map_or(-1, Ring::raw);
        let hold = if self.has_ended { -1 } else { self.hold.raw() };
        let pending_flush = self.pending_flush.as_ref().map_or(-1, |(fd, _)| fd.raw());
        let signal = signals.map_or(-1, |signals| signals.as_raw_fd());
        let mut all = [ring, hold, pending_flush, signal].map(|fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        });
        let milliseconds = time.as_micros().div_ceil(1000).min(i32::MAX as u128) as i32;
        // SAFETY: an array with its length.
        let ready = unsafe { libc::poll(all.as_mut_ptr(), all.len() as u64, milliseconds) };
        if ready < 0 && Errno::last() != Errno::EINTR {
            return Err(format!("cannot wait for packets: {}", Errno::last().desc()));
        }
        let [packets, hold, flushed, signal] = all.map(|fd| ready > 0 && fd.revents != 0);
        Ok(WakeUp { packets, hold, flushed, signal, is_timeout: ready == 0 })
    }

    /// Handles the events that have woken it up.
    fn handle(&mut self, wake_up: &WakeUp) -> Result<(), String> {
        if wake_up.packets {
            self.read_packets();
        }
        if wake_up.hold {
            // If lonetd was killed, this starts another one.
            match request(self.client, Order::Hold, StartIf::Killed) {
                Ok(hold) => self.hold = hold,
                Err(_) => self.has_ended = true,
            }
        }
        if wake_up.flushed
            && let Some((fd, packets_read)) = self.pending_flush.take()
        {
            // Without a reply, lonetd was killed: the request is sent again.
            let is_answered =
                lonet_core::sys::recv_once(fd.raw(), &mut [0; MAX_MESSAGE]).is_ok_and(|length| length > 0);
            self.read_events()?;
            if is_answered {
                self.capture.events_are_added(packets_read);
            }
        } else if wake_up.is_timeout {
            self.read_events()?;
            self.write_statistics()?;
        }
        self.process()
    }

    fn read_packets(&mut self) {
        if let Some(ring) = &mut self.ring {
            let capture = &mut self.capture;
            while capture.has_room()
                && ring.read(|time, length, bytes| capture.add_packet(time, length, bytes))
            {}
        }
    }

    fn read_events(&mut self) -> Result<(), String> {
        let capture = &mut self.capture;
        let read = self.recorded.each(&mut |line| {
            if let Ok(event) = Event::parse(line) {
                capture.add_event(event);
            }
            Ok(())
        });
        read.map_err(|e| cannot_read(self.client, &e))
    }

    /// Writes what can be written, and requests what the rest needs.
    fn process(&mut self) -> Result<(), String> {
        loop {
            match self.capture.process(now()) {
                Need::Events if self.pending_flush.is_none() && !self.has_ended => {
                    let packets_read = self.capture.packets_read();
                    let sent = self.client.send(&NetworkOp::Trace(Order::Write), &mut [0; MAX_MESSAGE]);
                    // If lonetd is gone, `hold` reports that.
                    self.pending_flush = sent.ok().map(|fd| (fd, packets_read));
                }
                Need::List if !self.has_ended => {
                    self.update_list()?;
                    continue;
                }
                _ => {}
            }
            return self.write();
        }
    }

    fn update_list(&mut self) -> Result<(), String> {
        let listing = query::network(self.client)?;
        match &listing {
            Some(listing) => self.capture.add_list(&listing.parse()?),
            None => self.has_ended = true,
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), String> {
        let blocks = self.capture.take_blocks();
        self.out.write(&blocks)
    }

    /// Writes statistics if more packets have been dropped.
    fn write_statistics(&mut self) -> Result<(), String> {
        let Some(statistics) = self.ring.as_mut().map(Ring::statistics) else { return Ok(()) };
        if statistics.dropped != self.statistics.dropped {
            self.capture.add_statistics(now(), statistics);
        }
        self.statistics = statistics;
        self.write()
    }

    /// Writes everything that was sent up to now.
    fn finish(&mut self) -> Result<(), String> {
        let until = Instant::now() + DRAIN_TIME;
        while self.ring.is_some() && Instant::now() < until {
            self.wait(None, until.saturating_duration_since(Instant::now()))?;
            self.read_packets();
        }
        if !self.has_ended {
            // An error means that the network is ending: all its events have been written.
            let _ = request(self.client, Order::Write, StartIf::Killed);
        }
        self.read_events()?;
        self.capture.events_are_added(self.capture.packets_read());
        if !self.has_ended && self.capture.process(now()) == Need::List {
            self.update_list()?;
        }
        let statistics = self.ring.as_mut().map(Ring::statistics);
        self.capture.finish(now(), statistics);
        self.write()?;
        if let Some(Statistics { received, dropped: dropped @ 1.. }) = statistics {
            error_line!(
                "lonet: {dropped} of {received} packets were lost: they came faster than they could be written"
            );
        }
        Ok(())
    }
}

/// Warns of hosts that are not up: a name may be mistyped.
fn warn_of_absent(shown: &NetworkShown<'_>, hosts: &[String]) {
    let names = hosts.iter().map(|host| bare_host(host));
    let absent: Vec<&str> = names.filter(|name| query::find(shown, name).is_none()).collect();
    if !absent.is_empty() {
        error_line!("lonet: {}; what comes later is captured", query::no_such_host(shown, &absent));
    }
}

/// What has ended a wait.
struct WakeUp {
    packets: bool,
    hold: bool,
    flushed: bool,
    signal: bool,
    /// None of them: the time is up.
    is_timeout: bool,
}

/// The time, in nanoseconds since 1970.
fn now() -> u64 {
    Moment::now().0.saturating_mul(1000)
}

fn cannot_read(client: &Client, why: &io::Error) -> String {
    format!("cannot read the trace of network {:?}: {why}", client.config.network)
}

/// The network's addresses.
fn block(client: &Client) -> Result<Block, String> {
    let mut buffer = [0; MAX_MESSAGE];
    let reply = client.ask_insisting(StartIf::Killed, Limit::NONE, &Op::Locate { address: "" }, &mut buffer);
    let (opening, _) = reply.map_err(|e| e.of(client).to_string())?;
    Block::new(opening.block).ok_or_else(|| "lonetd has not said which addresses it has".into())
}
