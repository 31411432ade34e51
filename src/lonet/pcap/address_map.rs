//! Maps OS addresses to lonet addresses, hosts and processes.
//!
//! The trace has each dial and accept since the recording began; a list of the network has connections from before. A pair of OS
//! addresses may be used by one connection after another: a packet belongs to the last one that was dialed before it.

use super::packet::Segment;
use crate::daemon::host_names;
use crate::daemon::state::NetworkShown;
use crate::trace::event::{Event, Kind};
use lonet_core::block::{Block, Place};
use lonet_core::config::bare_host;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;

/// How many pairs of addresses are kept before those are dropped that have not been used for [`UNUSED_AFTER`]. Of connections that
/// still exist a list tells again.
const MAX_PAIRS: usize = 1 << 16;
/// After which time, in nanoseconds, a connection may be dropped.
const UNUSED_AFTER: u64 = 60_000_000_000;

/// A process, for comments on packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub program: Rc<str>,
}

/// A connection: the dialer's end first.
#[derive(Clone, Debug)]
struct Connection {
    /// When it was dialed, in nanoseconds since 1970; 0: before the trace began.
    dialed_at: u64,
    ports: [u16; 2],
    processes: [Option<Process>; 2],
    /// The processes that a comment has already named.
    commented: [Option<Process>; 2],
    /// The sequence number of its SYN, if that has been seen.
    first_sequence: Option<u32>,
    last_used: u64,
    /// See [`Identified::connection`]; 0: no segment has been seen.
    ordinal: u64,
}

/// What is known about a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identified {
    /// The lonet ports of source and destination.
    pub ports: [u16; 2],
    /// The process that sends it, if no comment has named it yet.
    pub sender: Option<Process>,
    /// The number of its connection, in the order in which connections began.
    pub connection: u64,
    /// Whether the listener's end sends it.
    pub is_listeners: bool,
}

/// What is known about the OS addresses of a network.
pub struct AddressMap {
    block: Block,
    /// Connections by the OS addresses of dialer and listener, in the order of time.
    connections: HashMap<[SocketAddrV4; 2], Vec<Connection>>,
    /// The lonet ports of listeners, by OS address.
    listeners: HashMap<SocketAddrV4, u16>,
    /// The listening processes, by lonet address as text.
    listening: HashMap<String, Process>,
    names: HashMap<Ipv4Addr, String>,
    addresses: HashMap<String, Ipv4Addr>,
    /// The addresses whose names have not been taken yet.
    new_names: Vec<Ipv4Addr>,
    /// How many connections have had a segment.
    connections_seen: u64,
}

/// Splits a lonet address into name and port; the port is 0 if there is none.
fn split(address: &str) -> (&str, u16) {
    match address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?))) {
        Some(split) => split,
        None => (address, 0),
    }
}

impl AddressMap {
    pub fn new(block: Block) -> AddressMap {
        AddressMap {
            block,
            connections: HashMap::new(),
            listeners: HashMap::new(),
            listening: HashMap::new(),
            names: HashMap::new(),
            addresses: HashMap::new(),
            new_names: Vec::new(),
            connections_seen: 0,
        }
    }

    /// The name of a host, if it is known.
    pub fn name(&self, ip: Ipv4Addr) -> Option<&str> {
        self.names.get(&ip).map(String::as_str)
    }

    /// The IP address and port of a lonet address.
    pub fn address(&self, address: &str) -> Option<SocketAddrV4> {
        let (host, port) = split(address);
        let ip = self.addresses.get(host).copied().or_else(|| host.parse().ok())?;
        Some(SocketAddrV4::new(ip, port))
    }

    /// Whether this is an address that a host may have.
    pub fn is_host_address(&self, ip: Ipv4Addr) -> bool {
        matches!(self.block.place(ip.to_ipv6_mapped()), Place::Host(..))
    }

    /// The addresses that have got a name since the last call.
    pub fn take_new_names(&mut self) -> Vec<Ipv4Addr> {
        std::mem::take(&mut self.new_names)
    }

    fn learn_name(&mut self, ip: Ipv4Addr, name: &str) {
        if !self.is_host_address(ip) || name.parse::<std::net::IpAddr>().is_ok() || name.starts_with('[') {
            return;
        }
        if self.names.get(&ip).is_none_or(|known| known != name) {
            self.names.insert(ip, name.to_owned());
            self.addresses.insert(name.to_owned(), ip);
            self.new_names.push(ip);
        }
    }

    /// Adds a list of the network.
    pub fn add_list(&mut self, shown: &NetworkShown<'_>) {
        for host in &shown.hosts {
            if let Ok(ip) = host.address.parse() {
                self.learn_name(ip, &host.name);
            }
            for socket in &host.sockets {
                let Ok(os) = socket.os.parse::<SocketAddrV4>() else { continue };
                let process = Process { pid: socket.pid, program: (&*socket.program).into() };
                if socket.state == "listening" {
                    self.listeners.insert(os, socket.port);
                    self.listening.insert(format!("{}:{}", host.name, socket.port), process);
                    continue;
                }
                let other = socket.os_peer.as_deref().and_then(|os| os.parse::<SocketAddrV4>().ok());
                if let Some(other) = other {
                    // A bound socket has no peer: it may begin a dial now.
                    let dialed = self.listeners.get(&other).copied();
                    let peer = socket.peer.as_deref().map(|peer| split(peer).1).or(dialed);
                    self.learn_end([os, other], [socket.port, peer.unwrap_or(other.port())], process);
                }
            }
        }
    }

    /// Adds an end of a listed connection. A list does not tell which end has dialed.
    fn learn_end(&mut self, [own, other]: [SocketAddrV4; 2], [port, peer]: [u16; 2], process: Process) {
        let known = |ends: [SocketAddrV4; 2]| self.connections.contains_key(&ends);
        let is_first = known([own, other]) || !known([other, own]);
        let (ends, ports) =
            if is_first { ([own, other], [port, peer]) } else { ([other, own], [peer, port]) };
        let all = self.connections.entry(ends).or_default();
        if all.is_empty() {
            all.push(Connection::new(0, ports));
        }
        if let Some(last) = all.last_mut() {
            last.processes[usize::from(!is_first)].get_or_insert(process);
        }
    }

    pub fn add_event(&mut self, event: &Event) {
        let process = event
            .pid
            .map(|pid| Process { pid, program: event.program.as_deref().unwrap_or_default().into() });
        match (event.kind, &event.at, process) {
            (Kind::Listening, Some(at), Some(process)) => _ = self.listening.insert(at.clone(), process),
            (Kind::NameAnswered, ..) => {
                let ip = event.answer.as_deref().and_then(|ip| ip.parse().ok());
                if let (Some(ip), Some(name)) = (ip, event.name.as_deref()) {
                    self.learn_name(ip, bare_host(name));
                }
            }
            (Kind::Dial | Kind::Connected | Kind::Accepted, _, process) => self.learn_ends(event, process),
            _ => {}
        }
    }

    fn learn_ends(&mut self, event: &Event, process: Option<Process>) {
        let parse = |os: &Option<String>| os.as_deref()?.parse::<SocketAddrV4>().ok();
        let (Some(os_from), Some(os_to)) = (parse(&event.os_from), parse(&event.os_to)) else { return };
        let (Some(from), Some(to)) = (&event.from, &event.to) else { return };
        self.learn_name(*os_from.ip(), split(from).0);
        self.learn_name(*os_to.ip(), split(to).0);
        let (ports, dialed_at) = ([split(from).1, split(to).1], event.time.0.saturating_mul(1000));
        self.listeners.insert(os_to, ports[1]);
        let listens = self.listening.get(to).cloned();
        let all = self.connections.entry([os_from, os_to]).or_default();
        let is_another = event.kind == Kind::Dial || all.last().is_none_or(|last| last.ports != ports);
        if is_another {
            all.push(Connection::new(dialed_at, ports));
        }
        if let Some(last) = all.last_mut() {
            let end = usize::from(event.kind == Kind::Accepted);
            last.processes[end] = process.or(last.processes[end].take());
            last.processes[1] = last.processes[1].take().or(listens);
        }
        if self.connections.len() > MAX_PAIRS {
            self.drop_unused(dialed_at);
        }
    }

    fn drop_unused(&mut self, now: u64) {
        self.connections.retain(|_, all| {
            all.retain(|c| c.last_used.max(c.dialed_at).saturating_add(UNUSED_AFTER) > now);
            !all.is_empty()
        });
    }

    /// Identifies a segment that was read at this time. `None`: its connection is not known.
    ///
    /// `is_complete`: all events and lists up to that time have been added.
    pub fn identify(&mut self, segment: &Segment, time: u64, is_complete: bool) -> Option<Identified> {
        let ends = [segment.from, segment.to];
        let (ends, sender) = match self.connections.contains_key(&ends) {
            true => (ends, 0),
            false => ([segment.to, segment.from], 1),
        };
        let all = self.connections.get_mut(&ends)?;
        // If no dial is as early, the connection is known from a later event only.
        let at = all.iter().rposition(|c| c.dialed_at <= time).unwrap_or(0);
        if at > 0 {
            // Packets come in order, so earlier connections are over.
            all.drain(..at);
        }
        let connection = all.first_mut()?;
        if segment.is_syn() && connection.first_sequence != Some(segment.sequence) {
            // A new connection with the addresses of an earlier one.
            if connection.first_sequence.is_some() && !is_complete {
                return None;
            }
            connection.first_sequence = Some(segment.sequence);
        }
        connection.last_used = time;
        if connection.ordinal == 0 {
            self.connections_seen += 1;
            connection.ordinal = self.connections_seen;
        }
        let is_new = connection.processes[sender] != connection.commented[sender];
        let process = connection.processes[sender].clone().filter(|_| is_new);
        if process.is_some() {
            connection.commented[sender].clone_from(&process);
        }
        let ports = [connection.ports[sender], connection.ports[1 - sender]];
        Some(Identified { ports, sender: process, connection: connection.ordinal, is_listeners: sender == 1 })
    }

    /// Identifies a segment that belongs to no known connection of the network. One end may still be a listener.
    pub fn identify_outside(&mut self, segment: &Segment, time: u64) -> Identified {
        let port = |at: SocketAddrV4| self.listeners.get(&at).copied().unwrap_or(at.port());
        let ports = [port(segment.from), port(segment.to)];
        let mut connection = Connection::new(time, ports);
        connection.first_sequence = segment.is_syn().then_some(segment.sequence);
        self.connections_seen += 1;
        connection.ordinal = self.connections_seen;
        self.connections.insert([segment.from, segment.to], vec![connection]);
        Identified { ports, sender: None, connection: self.connections_seen, is_listeners: false }
    }

    /// Whether one of these addresses is one of these hosts', which are folded by [`host_names::fold`]. No hosts: always.
    pub fn concerns(&self, hosts: &[String], ends: [Ipv4Addr; 2]) -> bool {
        let is_named = |ip: Ipv4Addr| {
            let name = self.name(ip).and_then(|name| host_names::fold(name.as_bytes()));
            name.is_some_and(|name| hosts.contains(&name))
        };
        hosts.is_empty() || ends.into_iter().any(is_named)
    }
}

impl Connection {
    fn new(dialed_at: u64, ports: [u16; 2]) -> Connection {
        Connection {
            dialed_at,
            ports,
            processes: [None, None],
            commented: [None, None],
            first_sequence: None,
            last_used: 0,
            ordinal: 0,
        }
    }
}
