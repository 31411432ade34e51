//! Inherited members: processes that never sent a message to this lonetd, children of a process that joined.
//!
//! A fork notifies nobody. Two things are inherited, though, and visible from outside: the environment that
//! `lonet run` has set, with the network's key, also through exec; and the mapping of `<net>/key`, which the
//! library makes with a process's first message, through fork. lonetd searches for them only when something
//! is about to end for lack of members: examining every process of the machine takes some milliseconds
//! ([`search`]).
//!
//! Only processes with all uids the owner's are examined. Other users' members show the network's key when
//! they send a message; and what another user's process shows of itself, how much there is and how long it
//! takes to read, is that user's to choose. Mappings are compared by device and inode, as the kernel shows
//! them for lonetd's own mapping of the file: anybody may give a file any path.
//!
//! A pid identifies a process only while that is alive. Everything is read through one descriptor of the
//! process's directory in /proc, and a member is held by a pidfd, which was taken while it was alive.

pub mod search;
mod signs;

use super::owner::Owner;
use super::process::{has_ended, pidfd_open, stat_field};
use super::state::Pid;
use super::store;
use lonet_core::config::{Config, Membership, lookup};
use lonet_core::directory::Directory;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, fstat};
use signs::KeyFile;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

/// An inherited member, and its host, if its environment names one.
#[derive(Debug)]
pub struct Inherited {
    pub pid: Pid,
    pub process: OwnedFd,
    pub host: Option<String>,
}

/// How often the list of processes is read again for new ones.
const MAX_LISTINGS: usize = 8;

/// What inherited members are recognised by.
pub struct Members {
    owner: Owner,
    membership: Membership,
    dir: PathBuf,
    /// `None`: the key could not be mapped, and mappings are not examined.
    key_file: Option<KeyFile>,
}

impl Members {
    pub fn new(config: &Config, directory: &Directory, owner: Owner, membership: Membership) -> Members {
        let key_file = directory.file(c"key", libc::O_RDONLY).and_then(|file| KeyFile::map(&file));
        let key_file = key_file
            .inspect_err(|e| tracing::warn!("children of members are known by their environment alone: {e}"))
            .ok();
        Members { owner, membership, dir: config.dir.clone(), key_file }
    }

    /// All processes that inherited membership, without those that are `known`.
    pub fn find(&self, known: &BTreeSet<Pid>) -> Vec<Inherited> {
        let mut seen = BTreeSet::from([std::process::id() as Pid]);
        let mut found = Vec::new();
        // A process in the list may have forked and ended before it is examined: its child is in the next
        // list.
        for _ in 0..MAX_LISTINGS {
            let new: Vec<Pid> = pids().filter(|pid| seen.insert(*pid)).collect();
            if new.is_empty() {
                break;
            }
            let unknown = new.into_iter().filter(|pid| !known.contains(pid));
            found.extend(unknown.filter_map(|pid| self.look_at(pid)));
        }
        found
    }

    /// Whether this process inherited membership.
    pub fn look_at(&self, pid: Pid) -> Option<Inherited> {
        let directory = ProcessDirectory::open(pid).ok()?;
        if !directory.is_owners(&self.owner) {
            return None;
        }
        let host = match self.by_environment(&directory) {
            Some(host) => host,
            None if self.maps_key(&directory) => None,
            None => return None,
        };
        let process = pidfd_open(pid).ok()?;
        // It was alive when the pidfd was taken, as its directory is still there, and it is the owner's.
        let is_it = directory.is_owners(&self.owner) && self.owner.has(&process);
        is_it.then_some(Inherited { pid, process, host })
    }

    /// The host of a process with the network's key in its environment. `None`: it does not have the key.
    fn by_environment(&self, directory: &ProcessDirectory) -> Option<Option<String>> {
        let environment = directory.environment()?;
        let get = |name: &str| lookup(environment.split(|b| *b == 0), name);
        let key = get("LONET_KEY").and_then(|k| Membership::parse(k.to_str()?))?.key;
        let is_member = key == self.membership.key && get("LONET_DIR").is_some_and(|dir| dir == self.dir);
        is_member.then(|| get("LONET_HOST").and_then(|h| h.into_string().ok()))
    }

    fn maps_key(&self, directory: &ProcessDirectory) -> bool {
        let Some(key_file) = &self.key_file else { return false };
        directory.open_file("maps").is_ok_and(|maps| key_file.is_among(maps))
    }
}

/// Whether processes of the network are alive in another network namespace, where its sockets are: a lonetd
/// that was killed there has left its table, and one here would take them all for dead.
pub fn live_elsewhere(config: &Config, directory: &Directory, owner: Owner, netns: u64) -> bool {
    let Some(mut all) = store::processes_elsewhere(directory, netns) else {
        return false;
    };
    let key = directory.read(c"key").ok().and_then(|key| key.try_into().ok());
    if let Some(key) = key {
        let membership = Membership { owner: owner.uid(), key };
        let found = Members::new(config, directory, owner, membership).find(&BTreeSet::new());
        all.extend(found.into_iter().map(|member| member.pid));
    }
    // The program that started this lonetd may be a member, too: it is in this namespace.
    let namespace = |pid: &dyn std::fmt::Display| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    let here = namespace(&"self");
    all.iter().any(|pid| namespace(pid) != here)
}

/// The owner's processes, whether or not they are members.
pub fn owners_processes(owner: &Owner) -> impl Iterator<Item = Pid> {
    pids().filter(|pid| ProcessDirectory::open(*pid).is_ok_and(|directory| directory.is_owners(owner)))
}

fn pids() -> impl Iterator<Item = Pid> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// A process's directory in /proc. Once the process has ended it is empty, even if another one has its pid.
struct ProcessDirectory(OwnedFd);

impl ProcessDirectory {
    fn open(pid: Pid) -> Result<ProcessDirectory, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        open(format!("/proc/{pid}").as_str(), flags, Mode::empty()).map(ProcessDirectory)
    }

    fn open_file(&self, name: &str) -> Result<File, Errno> {
        openat(&self.0, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).map(File::from)
    }

    fn uids(&self) -> Option<Uids> {
        parse_uids(&self.read("status")?)
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        self.open_file(name).ok()?.read_to_end(&mut text).ok()?;
        Some(text)
    }

    /// The environment that the process's program was started with. During exec the kernel shows none for a
    /// moment.
    fn environment(&self) -> Option<Vec<u8>> {
        for _ in 0..EXEC_STEPS {
            let environment = self.read("environ")?;
            if !environment.is_empty() || !self.is_executing() {
                return Some(environment);
            }
            std::thread::sleep(EXEC_STEP);
        }
        None
    }

    /// Whether the process has memory, and the new program's environment is not there yet.
    fn is_executing(&self) -> bool {
        self.read("stat").is_some_and(|stat| is_executing(&stat))
    }

    /// Whether the process's real, effective and saved uid are the owner's. Not so of a set-user-ID program
    /// of the owner's that another user has started, nor of another user's that the owner has started.
    fn is_owners(&self, owner: &Owner) -> bool {
        // The directory of a process that is not dumpable is root's. This check comes first, as it takes a
        // tenth of the time.
        if !fstat(&self.0).is_ok_and(|stat| owner.has_number(stat.st_uid)) {
            return false;
        }
        self.uids().is_some_and(|uids| uids.iter().all(|uid| owner.has_number(*uid)))
    }
}

/// How long an exec may take, in steps.
const EXEC_STEPS: u32 = 100;
const EXEC_STEP: Duration = Duration::from_millis(1);

fn is_executing(stat: &[u8]) -> bool {
    let is_zero = |field| stat_field(stat, field).map(|text| text == "0");
    const VSIZE: usize = 23;
    const ENV_END: usize = 51;
    (is_zero(VSIZE), is_zero(ENV_END)) == (Some(false), Some(true))
}

/// The real, effective and saved uid.
type Uids = [u32; 3];

fn parse_uids(status: &[u8]) -> Option<Uids> {
    let line = status.split(|b| *b == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    let mut numbers = std::str::from_utf8(line).ok()?.split_ascii_whitespace().map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some([next()?, next()?, next()?])
}

/// Whether the user `uid` may send signals to a process, by the rule of kill(2). `process`: its pidfd.
pub fn may_be_signalled_by(uid: u32, pid: Pid, process: &OwnedFd) -> bool {
    let uids = ProcessDirectory::open(pid).ok().and_then(|directory| directory.uids());
    let is_its = uids.is_some_and(|[real, _, saved]| real == uid || saved == uid);
    // The status is this process's if it has not ended by now.
    is_its && !has_ended(process)
}

#[cfg(test)]
mod tests;
