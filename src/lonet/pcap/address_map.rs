//! Which lonet addresses, hosts and processes are behind the kernel's addresses.
//!
//! The trace tells of each dial and accept since the recording began; a list of the network tells of what was there before, and
//! of what the trace does not tell so early. A pair of the kernel's addresses may be one connection's after another: each has the
//! time of its dial, and a packet is of the last one that was dialed before it.

use super::packet::Segment;
use crate::daemon::names;
use crate::daemon::state::NetworkShown;
use crate::trace::event::{Event, Kind};
use lonet_core::block::{Block, Place};
use lonet_core::config::bare_host;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;

/// So many pairs of addresses are known before those are forgotten that have not been used for [`UNUSED_AFTER`]: of what lives still
/// a list tells again.
const MAX_PAIRS: usize = 1 << 16;
/// In nanoseconds.
const UNUSED_AFTER: u64 = 60_000_000_000;

/// A process, as it is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub program: Rc<str>,
}

/// A connection: the dialer's end first.
#[derive(Clone, Debug)]
struct Connection {
    /// When it was dialed, in nanoseconds; 0: before there was a trace.
    dialed_at: u64,
    ports: [u16; 2],
    processes: [Option<Process>; 2],
    /// The processes that were said in a comment.
    commented: [Option<Process>; 2],
    /// The number of the first segment, where one was seen.
    first_sequence: Option<u32>,
    last_used: u64,
    /// See [`Identified`]; 0: nothing has been seen of it.
    ordinal: u64,
}

/// What a segment is to be written as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identified {
    /// The source's, and the destination's.
    pub ports: [u16; 2],
    /// Who sends it, if it is the first time, or another one.
    pub sender: Option<Process>,
    /// Of two connections, the one that began later has the higher number.
    pub connection: u64,
    /// It is the listener's.
    pub is_listeners: bool,
}

pub struct AddressMap {
    block: Block,
    /// By the kernel's addresses of the dialer and of the listener, in the order of time.
    connections: HashMap<[SocketAddrV4; 2], Vec<Connection>>,
    /// The ports of listeners, by the kernel's addresses.
    listeners: HashMap<SocketAddrV4, u16>,
    /// Who listens on a lonet address, as it is written.
    listening: HashMap<String, Process>,
    names: HashMap<Ipv4Addr, String>,
    addresses: HashMap<String, Ipv4Addr>,
    /// The names that came since they were taken.
    new_names: Vec<Ipv4Addr>,
    /// How many connections have been seen.
    connections_seen: u64,
}

/// A lonet address as it is written: the name, and the port; 0 where it has none.
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

    /// A host's name; none where it is not known.
    pub fn name(&self, ip: Ipv4Addr) -> Option<&str> {
        self.names.get(&ip).map(String::as_str)
    }

    /// The address of a lonet address as it is written, with its port.
    pub fn address(&self, address: &str) -> Option<SocketAddrV4> {
        let (host, port) = split(address);
        let ip = self.addresses.get(host).copied().or_else(|| host.parse().ok())?;
        Some(SocketAddrV4::new(ip, port))
    }

    /// Whether there may be a host of this address.
    pub fn is_host_address(&self, ip: Ipv4Addr) -> bool {
        matches!(self.block.place(ip.to_ipv6_mapped()), Place::Host(..))
    }

    /// The addresses that have got a name since the last time.
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

    /// What the network has now.
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
                    // One that is dialed has no other end so far.
                    let dialed = self.listeners.get(&other).copied();
                    let peer = socket.peer.as_deref().map(|peer| split(peer).1).or(dialed);
                    self.learn_end([os, other], [socket.port, peer.unwrap_or(other.port())], process);
                }
            }
        }
    }

    /// An end of a connection, and the other one. Which of them has dialed is not known where there was no trace.
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

    /// What a segment of this time is to be written as. `None`: it is not known.
    ///
    /// `is_complete`: everything has been learned that there was at that time.
    pub fn identify(&mut self, segment: &Segment, time: u64, is_complete: bool) -> Option<Identified> {
        let ends = [segment.from, segment.to];
        let (ends, sender) = match self.connections.contains_key(&ends) {
            true => (ends, 0),
            false => ([segment.to, segment.from], 1),
        };
        let all = self.connections.get_mut(&ends)?;
        // One whose dial was not seen in time has been connected later than this.
        let at = all.iter().rposition(|c| c.dialed_at <= time).unwrap_or(0);
        if at > 0 {
            // Packets come in the order of their times.
            all.drain(..at);
        }
        let connection = all.first_mut()?;
        if segment.is_syn() && connection.first_sequence != Some(segment.sequence) {
            // Its pair of addresses was another's before.
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

    /// From now on, a segment between these addresses is of no connection of the network's, but one end of it may be a listener.
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

    /// Whether a packet between these addresses is one of these hosts', by their names as [`names::fold`] has them.
    pub fn concerns(&self, hosts: &[String], ends: [Ipv4Addr; 2]) -> bool {
        let is_named = |ip: Ipv4Addr| {
            let name = self.name(ip).and_then(|name| names::fold(name.as_bytes()));
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
