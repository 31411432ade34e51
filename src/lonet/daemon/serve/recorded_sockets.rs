//! What the kernel says of sockets that the recorder follows, found by their records in the table.

use crate::daemon::kernel::{Holding, Live};
use crate::daemon::members::owners_processes;
use crate::daemon::owner::Owner;
use crate::daemon::reach::each_socket;
use crate::daemon::state::{Cookie, Kernel, Pid, State};
use crate::daemon::trace::{ANNOUNCED_WITHIN, CLOSED_WITHIN};
use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

/// How long the sockets of other processes than the makers are examined: the owner's programs may have any number.
const LOOKS_FOR: Duration = Duration::from_millis(500);

/// Whether a dial that was in progress has succeeded. `None`: it is still in progress, or that is unknown.
pub(super) fn is_made(state: &State, kernel: &Live, cookie: Cookie) -> Option<bool> {
    let (local, remote) = os_ends(state, cookie)?;
    kernel.is_made(cookie, local, remote)
}

/// Whether some process has a socket; true if the kernel does not tell.
pub(super) fn is_held(state: &State, kernel: &Live, cookie: Cookie) -> bool {
    is_connected(state, kernel, cookie).unwrap_or(true)
}

/// As [`is_held`]. `None`: the addresses of its connection are unknown.
pub(super) fn is_connected(state: &State, kernel: &Live, cookie: Cookie) -> Option<bool> {
    os_ends(state, cookie).map(|(local, remote)| kernel.is_held(cookie, local, remote))
}

/// Those of these sockets, each with the process that made it, which nobody has any more, as far as is found. Slow where there are such.
pub(super) fn gone(
    state: &State,
    kernel: &mut Live,
    owner: &Owner,
    made: Vec<(Cookie, Pid)>,
) -> BTreeSet<Cookie> {
    let mut gone = BTreeSet::new();
    let mut held: HashMap<Pid, Option<BTreeSet<Cookie>>> = HashMap::new();
    for (cookie, pid) in made {
        let is_connected = is_connected(state, kernel, cookie);
        // No table of the kernel's has a socket that was reset and is open.
        let is_gone = is_connected != Some(true)
            && match held.entry(pid).or_insert_with(|| kernel.sockets_of(pid)) {
                Some(sockets) => !sockets.contains(&cookie),
                None => is_connected == Some(false) || state.may_have_ended(pid),
            };
        if is_gone {
            gone.insert(cookie);
        }
    }
    // Who has one by a fork or a message may be no member.
    let mut seen: BTreeSet<Pid> =
        held.into_iter().filter_map(|(pid, sockets)| sockets.and(Some(pid))).collect();
    let members = state.processes.keys().copied();
    let others = members.chain(owners_processes(owner)).filter(|pid| seen.insert(*pid));
    if !remove_held(&mut gone, others, Instant::now() + LOOKS_FOR) {
        tracing::warn!(
            "who has {} sockets was not found out within {LOOKS_FOR:?}: they are recorded as closed",
            gone.len()
        );
    }
    gone
}

/// Removes the sockets that these processes have. Returns whether that is all; false if the limit was reached with some left.
fn remove_held(gone: &mut BTreeSet<Cookie>, pids: impl Iterator<Item = Pid>, until: Instant) -> bool {
    let mut is_over = false;
    for pid in pids {
        is_over |= Instant::now() > until;
        if gone.is_empty() || is_over {
            break;
        }
        let _ = each_socket(pid, &|_| true, &mut |cookie, _, _| {
            gone.remove(&cookie);
            is_over = Instant::now() > until;
            !gone.is_empty() && !is_over
        });
    }
    gone.is_empty() || !is_over
}

/// How long the announcement of a socket's end may take. `None`: some process has the socket, or that is unknown.
pub(super) fn announced_within(state: &State, kernel: &Live, cookie: Cookie) -> Option<Duration> {
    let (local, remote) = os_ends(state, cookie)?;
    match kernel.holding(cookie, local, remote)? {
        Holding::Held => None,
        Holding::Left => Some(CLOSED_WITHIN),
        Holding::Gone => Some(ANNOUNCED_WITHIN),
    }
}

fn os_ends(state: &State, cookie: Cookie) -> Option<(SocketAddrV4, SocketAddrV4)> {
    let call = state.parts().find(cookie)?.entry.call?;
    Some((call.os_local?, call.os_remote))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lonet_core::sys;
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    #[test]
    fn search_for_holders_of_sockets_tells_when_it_is_cut_off() {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let cookie = sys::cookie(socket.as_raw_fd()).expect("a cookie");
        let mut gone = BTreeSet::from([cookie]);
        let this = std::process::id() as Pid;
        let now = Instant::now();
        let passed = now.checked_sub(Duration::from_secs(1)).expect("a time");
        assert!(!remove_held(&mut gone, [this].into_iter(), passed));
        assert_eq!(gone, [cookie].into());
        assert!(remove_held(&mut gone, [this].into_iter(), now + Duration::from_secs(3600)));
        assert!(gone.is_empty());
        assert!(remove_held(&mut gone, [this].into_iter(), passed), "nothing is left to look for");
    }
}
