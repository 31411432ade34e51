//! Members that never spoke to this lonetd: children of a process that joined.
//!
//! A fork tells nobody. Two things are inherited, though, and can be seen from outside: the environment that
//! `lonet run` gave, key and all, also through exec; and the mapping of `<net>/key` which the library makes when
//! a process speaks to lonetd for the first time, through fork. They are looked for only when something is about
//! to end for lack of members: a look at every process of the machine takes some milliseconds.

use super::journal;
use super::state::Pid;
use lonet_core::config::{Config, Membership, lookup};
use lonet_core::directory::Directory;
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;

/// A process that belongs to the network, and the host that it is, if its environment says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    pub pid: Pid,
    pub host: Option<String>,
}

/// How often the list of processes is read again for those that have come meanwhile.
const LOOKS: usize = 8;

/// All processes that inherited membership. Those of other users cannot be looked into, and are not found.
pub fn strays(config: &Config, membership: Membership) -> Vec<Stray> {
    let mut seen = BTreeSet::from([std::process::id() as Pid]);
    let mut found = Vec::new();
    // A process that is in the list may have forked and ended before it is looked at: its child is in the next one.
    for _ in 0..LOOKS {
        let new: Vec<Pid> = pids().filter(|pid| seen.insert(*pid)).collect();
        if new.is_empty() {
            break;
        }
        found.extend(new.into_iter().filter_map(|pid| stray(pid, config, membership)));
    }
    found
}

/// Whether processes of the network live in another network namespace, where its sockets are: a lonetd that was killed
/// there has left its state, and one here would find it all dead.
pub fn live_elsewhere(config: &Config, directory: &Directory, owner: u32, netns: u64) -> bool {
    let Some(mut all) = journal::processes_elsewhere(directory, &config.network, netns) else {
        return false;
    };
    let key = directory.read(c"key").ok().and_then(|key| key.try_into().ok());
    if let Some(key) = key {
        all.extend(strays(config, Membership { owner, key }).into_iter().map(|stray| stray.pid));
    }
    // Who asks here is a member, too, perhaps.
    let namespace = |pid: &dyn std::fmt::Display| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    let here = namespace(&"self");
    all.iter().any(|pid| namespace(pid) != here)
}

/// Whether this process inherited membership.
pub fn is_stray(pid: Pid, config: &Config, membership: Membership) -> bool {
    stray(pid, config, membership).is_some()
}

fn pids() -> impl Iterator<Item = Pid> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn stray(pid: Pid, config: &Config, membership: Membership) -> Option<Stray> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let get = |name: &str| lookup(environment.split(|b| *b == 0), name);
    let key = get("LONET_KEY").and_then(|k| Membership::parse(k.to_str()?));
    if key == Some(membership) && get("LONET_DIR").is_some_and(|dir| dir == config.dir) {
        return Some(Stray { pid, host: get("LONET_HOST").and_then(|h| h.into_string().ok()) });
    }
    let file = config.dir.join("key");
    let maps = std::fs::read(format!("/proc/{pid}/maps")).ok()?;
    let maps_key = maps.split(|b| *b == b'\n').any(|line| line.ends_with(file.as_os_str().as_bytes()));
    maps_key.then_some(Stray { pid, host: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(dir: &std::path::Path) -> Config {
        let dir = dir.join("mynet").into_os_string();
        let get = |name: &str| (name == "LONET_DIR").then(|| dir.clone());
        Config::read(&get, 0, None).expect("a configuration")
    }

    #[test]
    fn a_child_with_the_networks_key_in_its_environment_is_found() {
        let tmp = tempfile::tempdir().expect("a directory");
        let config = config(tmp.path());
        let membership = Membership { owner: 0, key: [7; 16] };
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .env("LONET_DIR", &config.dir)
            .env("LONET_KEY", membership.to_string())
            .env("LONET_HOST", "α")
            .spawn()
            .expect("a child");
        let found = strays(&config, membership);
        let other = strays(&config, Membership { owner: 0, key: [8; 16] });
        child.kill().expect("its end");
        child.wait().expect("its end");
        assert_eq!(found, [Stray { pid: child.id() as Pid, host: Some("α".into()) }]);
        assert_eq!(other, []);
    }
}
