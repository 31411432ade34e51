//! What hosts send to each other, as a file for Wireshark: `lonet pcap`.
//!
//! Theory of operation: the kernel's packets ([`ring`]) have the right IP addresses, as each host has one of its own, but the ports
//! that the kernel has given: every dial has another source port there than the one that programs see, and so have some
//! listeners. The trace of the network tells which dial is behind a pair of addresses ([`book`]), and its process. A dial is noted
//! before connect is called. So when a segment has been read whose connection is not known, the events that there are by then are
//! waited for, and its dial is among them: no connection is too short. What the trace does not tell, of connections from before it
//! began, a list of the network does. Packets wait in a queue for that, and are written in their order, with
//! the ports of programs and right checksums ([`packet`]), in blocks ([`pcapng`]).
//!
//! Dials that lonetd refuses, and those to nobody, are no packets of the network: a refused program is sent elsewhere, so that it
//! is refused there. These are written as what they are, events ([`pdu`]); so are all connections where packets cannot be had.

pub mod address_map;
pub mod packet;
pub mod pcapng;
pub mod pdu;
mod port_reuse;
pub mod ring;

use crate::daemon::names;
use crate::daemon::state::NetworkShown;
use crate::trace::event::{Event, Kind};
use address_map::{AddressMap, Identified, Process};
use lonet_core::block::{self, Block};
use packet::{Headers, Segment};
use pcapng::{Blocks, LinkType, Statistics};
use port_reuse::{Origin, PortReuse, Ready};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};

/// So many bytes of packets wait to be written at most; then the kernel's ring fills up, and the kernel counts what is lost.
const MAX_WAITING: usize = 256 << 20;

/// The port of name servers.
const DNS: u16 = 53;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Nothing,
    /// The events of before now.
    Events,
    /// A list of the network.
    List,
}

enum Item {
    Packet { length: usize, bytes: Vec<u8> },
    Event(Box<Event>),
}

struct Waiting {
    /// In nanoseconds since 1970.
    time: u64,
    /// How many had come before.
    number: u64,
    item: Item,
}

/// What is written, and what is known for that.
pub struct Capture {
    block: Block,
    map: AddressMap,
    /// The hosts whose packets are wanted, as [`names::fold`] has them; none: all.
    hosts: Vec<String>,
    has_packets: bool,
    queue: VecDeque<Waiting>,
    waiting: usize,
    /// How many packets have been read, and of how many the events of before have been learned, and a list.
    packets_read: u64,
    events_up_to: u64,
    list_up_to: u64,
    reuse: PortReuse,
    blocks: Blocks,
}

impl Capture {
    /// Begins a file. `has_packets`: it is to have packets, not only events.
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

    /// The whole blocks that there are to write.
    pub fn take_blocks(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.blocks.0)
    }

    /// Whether more packets may come.
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

    /// An event that has happened.
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
                // It waits for a list alone.
                self.packets_read += 1;
                self.events_up_to = self.packets_read;
            }
            let at = self.queue.iter().rposition(|w| w.time <= time).map_or(0, |at| at + 1);
            let number = self.queue.get(at).map_or(self.packets_read, |w| w.number);
            self.queue.insert(at, Waiting { time, number, item: Item::Event(Box::new(event)) });
        }
    }

    /// The events that had happened when so many packets had been read have been added.
    pub fn events_are_added(&mut self, of: u64) {
        self.events_up_to = self.events_up_to.max(of);
    }

    /// What the network has now.
    pub fn add_list(&mut self, shown: &NetworkShown<'_>) {
        self.map.add_list(shown);
        self.list_up_to = self.packets_read;
    }

    /// Writes what can be written. What the rest waits for. `now`: in nanoseconds since 1970.
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

    /// Writes what is left, with what is known.
    pub fn finish(&mut self, time: u64, statistics: Option<Statistics>) {
        (self.events_up_to, self.list_up_to) = (u64::MAX, u64::MAX);
        // Nothing is waited for any more.
        self.process(u64::MAX);
        if let Some(statistics) = statistics {
            self.add_statistics(time, statistics);
        }
    }

    pub fn add_statistics(&mut self, time: u64, statistics: Statistics) {
        self.blocks.statistics(0, time, statistics);
    }

    /// What a packet of this number has to wait for, if something is not known.
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
        let Some(segment) = segment else {
            // What a name server is asked, at the port of lonetd's.
            let port = |ip: Ipv4Addr| (headers.is_udp() && block::is_name_server(ip)).then_some(DNS);
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

    /// Says the names that are new, before the packets that have their addresses.
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

/// Whether a segment is of a dial that lonetd has sent where it is refused, or of the refusal.
fn is_refusal(block: Block, segment: &Segment) -> bool {
    let stack = block.stack();
    segment.is_syn() && *segment.to.ip() == stack || segment.is_reset() && *segment.from.ip() == stack
}

/// The hosts of these names as they are compared. An error: which one is no name.
pub fn fold_hosts(hosts: &[String]) -> Result<Vec<String>, String> {
    let fold = |host: &String| {
        let bare = lonet_core::config::bare_host(host);
        names::fold(bare.as_bytes()).ok_or_else(|| format!("{host:?} is not the name of a host"))
    };
    hosts.iter().map(fold).collect()
}
