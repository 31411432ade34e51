//! Converts the packets between hosts to a pcapng file, for `lonet pcap`.
//!
//! Theory of operation: the kernel's packets ([`ring`]) have the right IP addresses, as each host has an address of its own, but OS
//! ports: dials, and some listeners, have other ports than programs see. The trace of the network tells which dial, and which
//! process, is behind a pair of OS addresses ([`address_map`]). The event of a dial is recorded before connect is called. So for a
//! segment of an unknown connection, the capture waits until all events up to now have been read; its dial is among them, however
//! short the connection. Connections from before the trace began are in a list of the network. Meanwhile packets wait in a queue.
//! They are written in order, with the ports that programs see and right checksums ([`packet`]), as blocks ([`pcapng`]).
//!
//! Dials that lonetd refuses, and dials to no listener, cause no packets between the hosts: the kernel's connect goes to another
//! address, where it is refused. The capture has their events instead ([`pdu`]). Without the right to read packets, it has the
//! events of all connections.

pub mod address_map;
pub mod packet;
pub mod pcapng;
pub mod pdu;
mod port_reuse;
pub mod ring;

use crate::daemon::host_names;
use crate::daemon::state::NetworkShown;
use crate::trace::event::{Event, Kind};
use address_map::{AddressMap, Identified, Process};
use lonet_core::block::{self, Block};
use packet::{Headers, Segment};
use pcapng::{Blocks, LinkType, Statistics};
use port_reuse::{Origin, PortReuse, Ready};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The most bytes of packets in the queue. Beyond that the kernel's ring fills up, and the kernel counts dropped packets.
const MAX_WAITING: usize = 256 << 20;

/// The port of name servers.
const DNS: u16 = 53;

/// What the first packet in the queue waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Nothing,
    /// All events up to now.
    Events,
    /// A list of the network.
    List,
}

/// A packet or event in the queue.
enum Item {
    Packet { length: usize, bytes: Vec<u8> },
    Event(Box<Event>),
}

struct Waiting {
    /// In nanoseconds since 1970.
    time: u64,
    /// How many packets had been read, with this one.
    number: u64,
    item: Item,
}

/// A capture: the queue of packets, and what is known about connections.
pub struct Capture {
    block: Block,
    map: AddressMap,
    /// The hosts whose packets are wanted, as folded by [`host_names::fold`]; empty: all.
    hosts: Vec<String>,
    has_packets: bool,
    queue: VecDeque<Waiting>,
    waiting: usize,
    /// How many packets have been read, and for how many of these the events and a list from then or later are known.
    packets_read: u64,
    events_up_to: u64,
    list_up_to: u64,
    reuse: PortReuse,
    blocks: Blocks,
}

impl Capture {
    /// Begins a file. `has_packets`: with packets, not only events.
    pub fn new(network: &str, block: Block, hosts: &[String], has_packets: bool) -> Capture {
        let mut blocks = Blocks::default();
        blocks.section(concat!("lonet ", env!("CARGO_PKG_VERSION")));
        let all = format!("network {network} of lonet, {}/16", block.address(0));
        if has_packets {
            blocks.interface(LinkType::Ip, network, &format!("packets of {all}"));
        }
        blocks.interface(LinkType::UpperPdu, &format!("{network} events"), &format!("events of {all}"));
        Capture {
            block,
            map: AddressMap::new(block),
            hosts: hosts.to_vec(),
            has_packets,
            queue: VecDeque::new(),
            waiting: 0,
            packets_read: 0,
            events_up_to: 0,
            list_up_to: 0,
            reuse: PortReuse::default(),
            blocks,
        }
    }

    /// Takes the blocks that are to be written now.
    pub fn take_blocks(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.blocks.0)
    }

    /// Whether the queue has room for more packets.
    pub fn has_room(&self) -> bool {
        self.waiting < MAX_WAITING
    }

    /// How many packets have been read.
    pub fn packets_read(&self) -> u64 {
        self.packets_read
    }

    pub fn add_packet(&mut self, time: u64, length: usize, bytes: &[u8]) {
        self.packets_read += 1;
        self.waiting += bytes.len();
        let item = Item::Packet { length, bytes: bytes.to_vec() };
        self.queue.push_back(Waiting { time, number: self.packets_read, item });
    }

    /// Adds an event of the trace.
    pub fn add_event(&mut self, event: Event) {
        self.map.add_event(&event);
        let is_failure = matches!(event.kind, Kind::Refused | Kind::Unreachable | Kind::TimedOut);
        let is_wanted = match self.has_packets {
            true => is_failure && event.os_from.is_none(),
            false => is_failure || is_connection_event(event.kind),
        };
        if is_wanted && event.to.is_some() {
            let time = event.time.0.saturating_mul(1000);
            if !self.has_packets {
                // It waits for a list, but not for other events.
                self.packets_read += 1;
                self.events_up_to = self.packets_read;
            }
            let at = self.queue.iter().rposition(|w| w.time <= time).map_or(0, |at| at + 1);
            let number = self.queue.get(at).map_or(self.packets_read, |w| w.number);
            self.queue.insert(at, Waiting { time, number, item: Item::Event(Box::new(event)) });
        }
    }

    /// Notes that all events from before packet number `of` have been added.
    pub fn events_are_added(&mut self, of: u64) {
        self.events_up_to = self.events_up_to.max(of);
    }

    /// Adds a list of the network that was made now.
    pub fn add_list(&mut self, shown: &NetworkShown<'_>) {
        self.map.add_list(shown);
        self.list_up_to = self.packets_read;
    }

    /// Writes what can be written, and returns what the rest waits for. `now` is in nanoseconds since 1970.
    pub fn process(&mut self, now: u64) -> Need {
        let need = self.process_queue();
        let blocks = &mut self.blocks;
        self.reuse.flush_late(now, &mut |ready| write_ready(blocks, &ready));
        need
    }

    fn process_queue(&mut self) -> Need {
        while let Some(mut next) = self.queue.pop_front() {
            let size = match &next.item {
                Item::Packet { bytes, .. } => bytes.len(),
                Item::Event(_) => 0,
            };
            let need = match &mut next.item {
                Item::Event(event) => self.write_event(next.time, next.number, event),
                Item::Packet { length, bytes } => self.write_packet(next.time, next.number, *length, bytes),
            };
            match need {
                Need::Nothing => self.waiting -= size,
                need => {
                    self.queue.push_front(next);
                    return need;
                }
            }
        }
        Need::Nothing
    }

    /// Writes everything that is left, with what is known so far.
    pub fn finish(&mut self, time: u64, statistics: Option<Statistics>) {
        (self.events_up_to, self.list_up_to) = (u64::MAX, u64::MAX);
        // So late that nothing waits any more.
        self.process(u64::MAX);
        if let Some(statistics) = statistics {
            self.add_statistics(time, statistics);
        }
    }

    pub fn add_statistics(&mut self, time: u64, statistics: Statistics) {
        self.blocks.statistics(0, time, statistics);
    }

    /// What an unknown packet with this number has to wait for.
    fn need(&self, number: u64) -> Need {
        match () {
            () if self.events_up_to < number => Need::Events,
            () if self.list_up_to < number => Need::List,
            () => Need::Nothing,
        }
    }

    fn write_packet(&mut self, time: u64, number: u64, length: usize, bytes: &mut Vec<u8>) -> Need {
        let Some(headers) = Headers::read(bytes) else { return Need::Nothing };
        let ends = [headers.from, headers.to];
        let is_nameless = |ip: &Ipv4Addr| self.map.is_host_address(*ip) && self.map.name(*ip).is_none();
        if ends.iter().any(is_nameless) && self.need(number) != Need::Nothing {
            return self.need(number);
        }
        let segment = headers.segment(bytes);
        if segment.is_some_and(|segment| is_refusal(self.block, &segment)) {
            return Need::Nothing;
        }
        if !self.map.concerns(&self.hosts, ends) {
            return Need::Nothing;
        }
        let length = length.max(bytes.len());
        let has_ports = headers.is_udp() || segment.is_some();
        let Some(segment) = segment.filter(|_| !ends.iter().any(|ip| block::is_name_server(*ip))) else {
            // DNS messages go to a port of lonetd's in the place of a name server.
            let port = |ip: Ipv4Addr| (has_ports && block::is_name_server(ip)).then_some(DNS);
            headers.rewrite_ports(bytes, ends.map(port));
            self.write_names();
            self.blocks.packet(0, time, bytes, length, None);
            return Need::Nothing;
        };
        let is_complete = self.need(number) == Need::Nothing;
        let identified = match self.map.identify(&segment, time, is_complete) {
            Some(seen) => seen,
            None if !is_complete => return self.need(number),
            None => self.map.identify_outside(&segment, time),
        };
        headers.rewrite_ports(bytes, identified.ports.map(Some));
        self.write_names();
        let Identified { ports, sender, connection, is_listeners } = identified;
        let comment = sender.map(|process| self.comment(&process, headers.from));
        let [from, to] = [0, 1].map(|end| SocketAddrV4::new(ends[end], ports[end]));
        let ends = if is_listeners { [to, from] } else { [from, to] };
        let ready = Ready { time, length, bytes: std::mem::take(bytes), comment };
        let origin = Origin { ends, connection, is_listeners };
        let blocks = &mut self.blocks;
        self.reuse.push(origin, segment, ready, &mut |ready| write_ready(blocks, &ready));
        Need::Nothing
    }

    fn comment(&self, process: &Process, at: Ipv4Addr) -> String {
        let Process { pid, program } = process;
        match self.map.name(at) {
            Some(host) => format!("sent by {program} (pid {pid}) on {host}"),
            None => format!("sent by {program} (pid {pid})"),
        }
    }

    fn write_event(&mut self, time: u64, number: u64, event: &Event) -> Need {
        let ends = [&event.from, &event.to].map(|at| at.as_deref().and_then(|at| self.map.address(at)));
        if ends.iter().any(Option::is_none) && self.need(number) != Need::Nothing {
            return self.need(number);
        }
        let ips = ends.map(|end| end.map_or(Ipv4Addr::UNSPECIFIED, |end| *end.ip()));
        if !self.map.concerns(&self.hosts, ips) {
            return Need::Nothing;
        }
        let host = event.host.as_deref().and_then(|host| self.map.address(host));
        let is_listeners = host.is_some_and(|host| host.ip() == &ips[1]) && ips[0] != ips[1];
        let [from, to] = ends;
        let ends = if is_listeners { [to, from] } else { [from, to] };
        self.write_names();
        let bytes = pdu::pdu(event, ends);
        let interface = u32::from(self.has_packets);
        self.blocks.packet(interface, time, &bytes, bytes.len(), Some(&pdu::text(event)));
        Need::Nothing
    }

    /// Writes names that are new, as they must come before packets with their addresses.
    fn write_names(&mut self) {
        let new_names = self.map.take_new_names();
        if new_names.is_empty() {
            return;
        }
        let named = |ip: &Ipv4Addr| Some((*ip, format!("{}.lonet", self.map.name(*ip)?)));
        let named: Vec<(Ipv4Addr, String)> = new_names.iter().filter_map(named).collect();
        self.blocks.names(named.iter().map(|(ip, name)| (*ip, name.as_str())));
    }
}

fn write_ready(blocks: &mut Blocks, ready: &Ready) {
    blocks.packet(0, ready.time, &ready.bytes, ready.length, ready.comment.as_deref());
}

fn is_connection_event(kind: Kind) -> bool {
    matches!(kind, Kind::Dial | Kind::Connected | Kind::Accepted | Kind::Closed | Kind::Reset)
}

/// Whether a segment belongs to a refused dial, which goes to the block's own address.
fn is_refusal(block: Block, segment: &Segment) -> bool {
    let stack = block.stack();
    segment.is_syn() && *segment.to.ip() == stack || segment.is_reset() && *segment.from.ip() == stack
}

/// Folds the names of hosts for comparison. Fails for what is not a name.
pub fn fold_hosts(hosts: &[String]) -> Result<Vec<String>, String> {
    let fold = |host: &String| {
        let bare = lonet_core::config::bare_host(host);
        host_names::fold(bare.as_bytes()).ok_or_else(|| format!("{host:?} is not the name of a host"))
    };
    hosts.iter().map(fold).collect()
}
