//! Finds the process that holds a socket, by its descriptors in /proc.
//!
//! A socket may be passed on by fork or in messages, and nothing announces that.

use super::members::owners_processes;
use super::owner::Owner;
use super::state::{Cookie, Pid};
use std::collections::{BTreeMap, BTreeSet};

/// The most descriptors that are read: a process can have any number of them.
const MAX_DESCRIPTORS: usize = 1 << 17;

/// For each of these sockets, given by inode, a process that holds it. The `members` are tried first, then,
/// for the sockets that none of them holds, the owner's other processes.
pub fn find(mut sockets: BTreeMap<u64, Cookie>, members: &[Pid], owner: &Owner) -> BTreeMap<Cookie, Pid> {
    let (mut holders, mut looks) = (BTreeMap::new(), 0..MAX_DESCRIPTORS);
    let mut seen = BTreeSet::new();
    for pid in members.iter().copied().chain(owners_processes(owner)).filter(|pid| seen.insert(*pid)) {
        if sockets.is_empty() {
            break;
        }
        for inode in sockets_of(pid) {
            if looks.next().is_none() {
                return holders;
            }
            if let Some(cookie) = inode.and_then(|inode| sockets.remove(&inode)) {
                holders.insert(cookie, pid);
            }
        }
    }
    holders
}

/// The descriptors of a process: the inode if one is a socket.
fn sockets_of(pid: Pid) -> impl Iterator<Item = Option<u64>> {
    let all = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    all.map(|entry| {
        let target = std::fs::read_link(entry.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn process_is_found_by_a_socket_that_it_holds() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let inode = nix::sys::stat::fstat(&listener).expect("its inode").st_ino;
        let own = std::process::id() as Pid;
        let sockets = BTreeMap::from([(inode, 7), (u64::MAX, 8)]);
        assert_eq!(find(sockets, &[own], &Owner::here()), BTreeMap::from([(7, own)]));
    }
}
