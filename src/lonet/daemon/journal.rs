//! The state, kept where the next lonetd finds it.
//!
//! What the kernel cannot tell (names, indexes, lonet ports, what programs asked for) is appended to `<net>/state`
//! before the answer that depends on it goes out: a lonetd that is killed at any instruction loses nothing that
//! anybody was told. The first line, JSON, names the boot and the network namespace: cookies and addresses mean nothing
//! in another. Then come records ([`record`]); a later one about the same thing replaces the earlier one. When the file
//! has grown it is written anew and renamed over the old one.
//!
//! Records are stored in a mapping of the file ([`stretch`]), a batch of them at one moment, and the file is zero
//! behind them. Where nothing can be allocated or mapped they are written: the file ends with them, and a last one that
//! is not there in full was never answered and does not count.
//!
//! What is read back is a claim only, and is compared with the kernel (`State::settle`).
//!
//! A write that fails (full disk) is logged and costs nobody anything but the next lonetd's memory: the file is
//! written anew as soon as that works.

mod record;
mod stretch;

use super::current::Current;
use super::process;
use super::state::{Changes, Pid, Saved, State};
use lonet_core::block::Block;
use lonet_core::directory::Directory;
#[cfg(test)]
pub use record::read_back;
use record::{Record, SavedProcess};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use stretch::Stretch;

/// Rewritten at this size, and then at twice what is left after each rewriting.
const REWRITE_AT: u64 = 4 << 20;

/// Raised with every change of what is saved, or how. A file of another format is of another world.
const FORMAT: u32 = 4;

/// In which world the rest is true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    pub format: u32,
    pub network: String,
    pub boot: String,
    pub netns: u64,
    pub block: u8,
}

/// The first line.
#[derive(Serialize, Deserialize)]
enum Line {
    World(World),
}

/// What a lonetd of this network has left.
pub struct Left {
    pub block: Block,
    /// `None`: it was in another world.
    pub saved: Option<Saved>,
}

/// What a lonetd of this network has left. `None`: nothing.
pub fn read(directory: &Directory, network: &str, netns: u64) -> Option<Left> {
    let (world, saved) = parse(directory)?;
    let block = Block::new(world.block)?;
    let is_here = world == World::here(network, block, netns);
    if !is_here {
        tracing::warn!("the saved state is of another boot, network namespace or lonet: it is left aside");
    }
    Some(Left { block, saved: is_here.then_some(saved) })
}

/// The processes that live of what a lonetd has left that served this network in another network namespace.
pub fn processes_elsewhere(directory: &Directory, network: &str, netns: u64) -> Option<Vec<Pid>> {
    let (world, saved) = parse(directory)?;
    let here = World::here(network, Block::new(world.block)?, world.netns);
    (world == here && world.netns != netns)
        .then(|| saved.processes.into_iter().map(|(pid, ..)| pid).collect())
}

fn parse(directory: &Directory) -> Option<(World, Saved)> {
    let text = directory.read(c"state");
    let text = text.inspect_err(|e| {
        if e.kind() != io::ErrorKind::NotFound {
            tracing::error!("the saved state cannot be read, and is left aside: {e}");
        }
    });
    let text = text.ok()?;
    let end = text.iter().position(|b| *b == b'\n')?;
    let Line::World(world) = serde_json::from_slice(&text[..end]).ok()?;
    let mut saved = Saved::default();
    if world.format != FORMAT {
        return Some((world, saved));
    }
    let mut processes: BTreeMap<Pid, SavedProcess> = BTreeMap::new();
    for record in record::all(&text[end + 1..]) {
        match record {
            Ok(Record::Host { index, name, fresh }) => {
                saved.hosts.insert(index, (name, fresh));
            }
            Ok(Record::Socket(cookie, socket)) => {
                saved.sockets.insert(cookie, socket);
            }
            Ok(Record::NoSocket(cookie)) => {
                saved.sockets.remove(&cookie);
            }
            Ok(Record::Process(p)) => {
                processes.insert(p.pid, p);
            }
            Ok(Record::NoProcess(pid)) => {
                processes.remove(&pid);
            }
            Err(e) => tracing::error!("a record of the saved state makes no sense: {e:?}"),
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
    const STATE: usize = 3;
    const START: usize = 22;
    let stat = process::stat(pid).ok()?;
    let start = process::stat_field(&stat, START)?.parse().ok()?;
    (!matches!(process::stat_field(&stat, STATE)?, "Z" | "X")).then_some(start)
}

impl World {
    pub fn here(network: &str, block: Block, netns: u64) -> World {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        World {
            format: FORMAT,
            network: network.to_owned(),
            boot: boot.trim_end().to_owned(),
            netns,
            block: block.number(),
        }
    }
}

pub struct Journal {
    directory: Current,
    world: World,
    file: Option<File>,
    /// How far the file says something.
    len: u64,
    rewrite_at: u64,
    stretch: Option<Stretch>,
    /// Nothing can be allocated or mapped: until the next rewriting, at least.
    writes: bool,
    /// Of the batch, kept for the next one.
    bytes: Vec<u8>,
}

impl Journal {
    /// Writes down what there is, and is ready for more.
    pub fn begin(directory: Current, world: World, state: &State) -> Journal {
        let mut journal = Journal {
            directory,
            world,
            file: None,
            len: 0,
            rewrite_at: REWRITE_AT,
            stretch: None,
            writes: false,
            bytes: Vec::new(),
        };
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
        let result = if self.file.is_some() && self.len < self.rewrite_at {
            self.bytes.clear();
            record::put_changes(&mut self.bytes, state, changes);
            self.append()
        } else {
            self.rewrite(state)
        };
        if let Err(e) = result {
            self.stretch = None;
            if self.file.take().is_some() {
                cannot_be_saved(&e);
            }
        }
    }

    /// Writes down what there is, where the file has gone.
    pub fn begin_again(&mut self, state: &State) {
        *self = Journal::begin(self.directory.clone(), self.world.clone(), state);
    }

    fn append(&mut self) -> io::Result<()> {
        let (Some(file), length) = (&self.file, self.bytes.len() as u64) else { return Ok(()) };
        if !self.stretch.as_mut().is_some_and(|s| s.append(&self.bytes)) {
            if !self.writes {
                self.stretch = Stretch::take(file, self.len, length).ok();
                self.writes = self.stretch.is_none();
                if self.writes {
                    // Zeros behind a record that is written by half would be taken for the rest of it.
                    file.set_len(self.len)?;
                }
            }
            match &mut self.stretch {
                Some(stretch) => {
                    stretch.append(&self.bytes);
                }
                None => file.write_all_at(&self.bytes, self.len).inspect_err(|_| {
                    // Half a record would make the next one unreadable.
                    let _ = file.set_len(self.len);
                })?,
            }
        }
        self.len += length;
        Ok(())
    }

    fn rewrite(&mut self, state: &State) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(&Line::World(self.world.clone()))?;
        bytes.push(b'\n');
        record::put_changes(&mut bytes, state, &state.everything());
        let directory = self.directory.now();
        // What a lonetd has left that was killed here.
        let _ = directory.remove(c"state.new");
        let mut file = directory.file(c"state.new", libc::O_RDWR | libc::O_CREAT | libc::O_EXCL)?;
        let write = file.write_all(&bytes);
        write.and_then(|()| Ok(directory.rename(c"state.new", c"state")?)).inspect_err(|_| {
            let _ = directory.remove(c"state.new");
        })?;
        self.len = bytes.len() as u64;
        self.rewrite_at = REWRITE_AT.max(self.len * 2);
        self.file = Some(file);
        (self.stretch, self.writes) = (None, false);
        Ok(())
    }
}

fn cannot_be_saved(why: &io::Error) {
    tracing::error!("the state cannot be saved, a lonetd after this one would not know it: {why}");
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
