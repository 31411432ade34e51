//! The state, kept where the next lonetd finds it.
//!
//! What the kernel cannot tell (names, indexes, lonet ports, what programs asked for) is appended to `<net>/state`
//! before the answer that depends on it goes out: a lonetd that is killed at any instruction loses nothing that
//! anybody was told. One JSON object a line; a later line about the same thing replaces the earlier one, and a
//! last line without its newline was never answered and does not count. When the file has grown it is written
//! anew and renamed over the old one.
//!
//! The first line names the boot and the network namespace: cookies and addresses mean nothing in another. What is
//! read back is a claim only, and is compared with the kernel (`State::settle`).
//!
//! A write that fails (full disk) is logged and costs nobody anything but the next lonetd's memory: the file is
//! written anew as soon as that works.

use super::state::{Call, Changes, Classes, Cookie, Index, Pid, Role, Saved, Socket, State};
use lonet_core::block::{Block, Endpoint, Face};
use lonet_core::control::Asked;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

/// Rewritten at this size, and then at twice what is left after each rewriting.
const REWRITE_AT: u64 = 4 << 20;

/// In which world the rest is true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    pub format: u32,
    pub network: String,
    pub boot: String,
    pub netns: u64,
    pub block: u8,
}

#[derive(Serialize, Deserialize)]
enum Line {
    World(World),
    Host { index: Index, name: String, fresh: bool },
    Socket(Cookie, SavedSocket),
    NoSocket(Cookie),
    Process(SavedProcess),
    NoProcess(Pid),
}

#[derive(Serialize, Deserialize)]
struct SavedSocket {
    host: Index,
    port: u16,
    role: u8,
    pid: Pid,
    asked: [bool; 4],
    at: Option<At>,
    os: Option<Os>,
    call: Option<SavedCall>,
    accept_port: Option<u16>,
}

#[derive(Serialize, Deserialize)]
struct SavedCall {
    local: At,
    peer: At,
    os_local: Option<Os>,
    os_remote: Os,
    peer_host: Index,
    dialed_port: u16,
    class: u8,
}

/// A process, with its start time, as pids are used again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedProcess {
    pub pid: Pid,
    pub started: u64,
    pub hosts: BTreeSet<Index>,
    pub own: Option<Index>,
}

const ROLES: [Role; 8] = [
    Role::Claimed,
    Role::Bound,
    Role::Starting,
    Role::Listening,
    Role::Dialing,
    Role::Connected,
    Role::Accepted,
    Role::Gone,
];

/// Addresses as numbers: to write them as text takes most of a dial's time here.
type At = (u128, u16);
type Os = (u32, u16);

fn pair(e: Endpoint) -> At {
    (e.ip.into(), e.port)
}

fn endpoint((ip, port): At) -> Endpoint {
    Endpoint::new(ip.into(), port)
}

fn os_pair(os: SocketAddrV4) -> Os {
    ((*os.ip()).into(), os.port())
}

fn os((ip, port): Os) -> SocketAddrV4 {
    SocketAddrV4::new(ip.into(), port)
}

impl SavedSocket {
    fn of(s: &Socket) -> SavedSocket {
        let a = s.asked;
        SavedSocket {
            host: s.host,
            port: s.port,
            role: s.role as u8,
            pid: s.pid,
            asked: [a.family == Face::V6, a.v6only, a.reuse_address, a.reuse_port],
            at: s.at.map(pair),
            os: s.os.map(os_pair),
            call: s.call.map(|c| SavedCall {
                local: pair(c.local),
                peer: pair(c.peer),
                os_local: c.os_local.map(os_pair),
                os_remote: os_pair(c.os_remote),
                peer_host: c.peer_host,
                dialed_port: c.dialed_port,
                class: c.class.0,
            }),
            accept_port: s.accept_port,
        }
    }

    fn back(self) -> Option<Socket> {
        let [v6, v6only, reuse_address, reuse_port] = self.asked;
        Some(Socket {
            host: self.host,
            port: self.port,
            role: *ROLES.get(usize::from(self.role))?,
            pid: self.pid,
            asked: Asked { family: if v6 { Face::V6 } else { Face::V4 }, v6only, reuse_address, reuse_port },
            at: self.at.map(endpoint),
            os: self.os.map(os),
            call: self.call.map(|c| Call {
                local: endpoint(c.local),
                peer: endpoint(c.peer),
                os_local: c.os_local.map(os),
                os_remote: os(c.os_remote),
                peer_host: c.peer_host,
                dialed_port: c.dialed_port,
                class: Classes(c.class),
                taken: false,
            }),
            accept_port: self.accept_port,
            made_by: None,
            destroyed: false,
        })
    }
}

/// A record as the next lonetd will read it.
#[cfg(test)]
pub fn read_back(s: &Socket) -> Socket {
    let mut text = Vec::new();
    put_line(&mut text, &Line::Socket(0, SavedSocket::of(s)));
    match serde_json::from_slice(&text) {
        Ok(Line::Socket(0, saved)) => saved.back().expect("a known role"),
        _ => unreachable!("a line about a socket"),
    }
}

/// What a lonetd of this network has left.
pub struct Left {
    pub block: Block,
    /// `None`: it was in another world.
    pub saved: Option<Saved>,
}

/// What a lonetd of this network has left. `None`: nothing.
pub fn read(dir: &Path, network: &str, netns: u64) -> Option<Left> {
    let (world, saved) = parse(dir)?;
    let block = Block::new(world.block)?;
    let is_here = world == World::here(network, block, netns);
    if !is_here {
        tracing::warn!("the saved state is of another boot or network namespace: it is left aside");
    }
    Some(Left { block, saved: is_here.then_some(saved) })
}

/// The processes that live of what a lonetd has left that served this network in another network namespace.
pub fn processes_elsewhere(dir: &Path, network: &str, netns: u64) -> Option<Vec<Pid>> {
    let (world, saved) = parse(dir)?;
    let here = World::here(network, Block::new(world.block)?, world.netns);
    (world == here && world.netns != netns)
        .then(|| saved.processes.into_iter().map(|(pid, ..)| pid).collect())
}

fn parse(dir: &Path) -> Option<(World, Saved)> {
    let text = std::fs::read(dir.join("state")).ok()?;
    let mut lines = text.split_inclusive(|b| *b == b'\n').filter(|l| l.ends_with(b"\n"));
    let world: Line = serde_json::from_slice(lines.next()?).ok()?;
    let Line::World(world) = world else { return None };
    let mut saved = Saved::default();
    let mut processes: BTreeMap<Pid, SavedProcess> = BTreeMap::new();
    for line in lines {
        match serde_json::from_slice(line) {
            Ok(Line::Host { index, name, fresh }) => {
                saved.hosts.insert(index, (name, fresh));
            }
            Ok(Line::Socket(cookie, socket)) => {
                if let Some(socket) = socket.back() {
                    saved.sockets.insert(cookie, socket);
                }
            }
            Ok(Line::NoSocket(cookie)) => {
                saved.sockets.remove(&cookie);
            }
            Ok(Line::Process(p)) => {
                processes.insert(p.pid, p);
            }
            Ok(Line::NoProcess(pid)) => {
                processes.remove(&pid);
            }
            Ok(Line::World(_)) => {}
            Err(e) => tracing::error!("a line of the saved state makes no sense: {e}"),
        }
    }
    saved.processes = processes
        .into_values()
        .filter(|p| started(p.pid) == Some(p.started))
        .map(|p| (p.pid, p.hosts, p.own))
        .collect();
    Some((world, saved))
}

/// When a process began, in clock ticks since boot. `None`: it has ended.
fn started(pid: Pid) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The program's name stands in brackets and may hold anything, brackets too.
    let after = stat.iter().rposition(|b| *b == b')')?;
    let text = std::str::from_utf8(stat.get(after + 1..)?).ok()?;
    let mut fields = text.split_ascii_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(start)
}

impl World {
    pub fn here(network: &str, block: Block, netns: u64) -> World {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        World {
            format: 2,
            network: network.to_owned(),
            boot: boot.trim_end().to_owned(),
            netns,
            block: block.number(),
        }
    }
}

pub struct Journal {
    path: PathBuf,
    world: World,
    file: Option<File>,
    len: u64,
    rewrite_at: u64,
}

impl Journal {
    /// Writes down what there is, and is ready for more.
    pub fn begin(dir: &Path, world: World, state: &State) -> Journal {
        let path = dir.join("state");
        let mut journal = Journal { path, world, file: None, len: 0, rewrite_at: REWRITE_AT };
        if let Err(e) = journal.rewrite(state) {
            cannot_be_saved(&e);
        }
        journal
    }

    /// Adds what has changed.
    pub fn note(&mut self, state: &State, changes: &Changes) {
        if changes.is_empty() {
            return;
        }
        let result = match &self.file {
            Some(_) if self.len < self.rewrite_at => self.append(&lines_of(state, changes)),
            _ => self.rewrite(state),
        };
        if let Err(e) = result
            && self.file.take().is_some()
        {
            cannot_be_saved(&e);
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        if let Err(e) = file.write_all(bytes) {
            // Half a line would make the next one unreadable.
            let _ = file.set_len(self.len);
            return Err(e);
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn rewrite(&mut self, state: &State) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut bytes = Vec::new();
        put_line(&mut bytes, &Line::World(self.world.clone()));
        bytes.extend(lines_of(state, &state.everything()));
        let mut file = File::options().create(true).truncate(true).write(true).open(&new)?;
        file.write_all(&bytes).and_then(|()| std::fs::rename(&new, &self.path)).inspect_err(|_| {
            let _ = std::fs::remove_file(&new);
        })?;
        self.len = bytes.len() as u64;
        self.rewrite_at = REWRITE_AT.max(self.len * 2);
        self.file = Some(file);
        Ok(())
    }
}

fn cannot_be_saved(why: &io::Error) {
    tracing::error!("the state cannot be saved, a lonetd after this one would not know it: {why}");
}

fn put_line(bytes: &mut Vec<u8>, line: &Line) {
    let begin = bytes.len();
    // Memory cannot refuse, and no line holds what JSON cannot say; half a line would spoil the next one, too.
    if serde_json::to_writer(&mut *bytes, line).is_err() {
        bytes.truncate(begin);
    }
    bytes.push(b'\n');
}

fn lines_of(state: &State, changes: &Changes) -> Vec<u8> {
    let hosts = changes.hosts.iter().filter_map(|index| {
        let h = state.hosts.get(*index)?;
        Some(Line::Host { index: *index, name: h.name.clone(), fresh: h.fresh_accept_ports })
    });
    let processes = changes.processes.iter().map(|pid| {
        let alive = state.processes.get(pid).and_then(|p| Some((p, started(*pid)?)));
        alive.map_or(Line::NoProcess(*pid), |(p, started)| {
            Line::Process(SavedProcess { pid: *pid, started, hosts: p.hosts.clone(), own: p.own })
        })
    });
    let sockets = changes.sockets.iter().map(|cookie| match state.sockets.get(cookie) {
        Some(s) => Line::Socket(*cookie, SavedSocket::of(s)),
        None => Line::NoSocket(*cookie),
    });
    let mut bytes = Vec::new();
    hosts.chain(processes).chain(sockets).for_each(|line| put_line(&mut bytes, &line));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_lives_has_a_start_time_and_a_dead_one_has_none() {
        assert!(started(std::process::id() as Pid).is_some());
        let mut child = std::process::Command::new("true").spawn().expect("a child");
        let pid = child.id() as Pid;
        child.wait().expect("its end");
        assert_eq!(started(pid), None);
    }
}
