//! Who holds a socket that others have made: its descriptors in /proc.
//!
//! A socket may go from hand to hand, by fork or in messages, and nothing tells of it.

use super::members::owners_processes;
use super::owner::Owner;
use super::state::{Cookie, Pid};
use std::collections::{BTreeMap, BTreeSet};

/// So many descriptors are looked at, at most: how many a process has is its own to choose.
const LOOKS: usize = 1 << 17;

/// For each of these sockets, known by inode, a process that holds it. The `members` are looked at first, and only for what none
/// of them holds the owner's other processes.
pub fn find(mut sockets: BTreeMap<u64, Cookie>, members: &[Pid], owner: &Owner) -> BTreeMap<Cookie, Pid> {
    let (mut holders, mut looks) = (BTreeMap::new(), 0..LOOKS);
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

/// What the descriptors of a process lead to: the inode of a socket, or something else.
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
