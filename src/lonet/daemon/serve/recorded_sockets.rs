//! What the kernel says of sockets that the recorder follows, found by their records in the table.

use crate::daemon::kernel::{Holding, Live};
use crate::daemon::state::{Cookie, State};
use crate::daemon::trace::{ANNOUNCED_WITHIN, CLOSED_WITHIN};
use std::net::SocketAddrV4;
use std::time::Duration;

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
