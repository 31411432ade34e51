//! What a process does in the table before it closes or shuts down a socket.

use crate::kernel;
use crate::pending_dials::PendingDials;
use lonet_core::scopes::Scopes;
use lonet_core::sys;
use lonet_core::table::entry::{Destination, pack_os};
use lonet_core::table::events::{Event, Kind};
use lonet_core::table::state::Phase;
use lonet_core::table::{Parts, Table};
use std::sync::atomic::AtomicU64;

/// What lonetd must be notified of after a close or shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notify {
    /// Nothing: the kernel announces the socket's end, and whoever needs its port before that asks the
    /// kernel.
    Nothing,
    /// A descriptor of the socket was closed, or the socket was shut down: lonetd keeps its record, or may
    /// have to.
    Closed,
}

/// Writes an event before a descriptor of a socket is closed, if events are recorded. The kernel tells lonetd
/// whether it was the last one.
///
/// If the connection is over already, a second event lets lonetd tell whether it was reset, which no other
/// event says.
#[inline]
pub fn note(table: Table<'_>, slot: u16, fd: i32, cookie: u64) {
    table.note(slot, || {
        let event = Event::new(Kind::Closing, sys::getpid(), 0);
        let Some(traffic) = kernel::traffic(fd) else { return Event { cookie, ..event } };
        let number = traffic.pack();
        let numbers = Some([traffic.sent, traffic.received]);
        if traffic.is_over() {
            let (kind, errno) = (Kind::Reset, libc::ECONNRESET as u16);
            table.note(slot, || Event { kind, errno, cookie, number, ..event });
        }
        Event { cookie, number, numbers, ..event }
    });
}

/// Prepares the table for the close of the descriptor `fd`, of the socket with this cookie, by the process in
/// `slot`, which has these pending dials.
pub fn closing(
    parts: Parts<'_, AtomicU64>,
    slot: u16,
    dials: Option<&PendingDials>,
    fd: i32,
    cookie: u64,
) -> Notify {
    let source = || kernel::local(fd).and_then(|a| a.os()).filter(|from| from.port() != 0);
    // A child of vfork shares the pending dials of its parent, which has not left them.
    let is_own = || parts.slots.owner(slot).is_some_and(|owner| owner.pid == sys::getpid());
    if let Some(dials) = dials
        && dials.is_left(cookie)
        && is_own()
        && let Some(left) = dials.end(cookie)
    {
        let is_made = source().is_some();
        parts.abandon(left, slot, |phase| phase == Phase::Writing || !is_made);
    }
    let Some(found) = parts.find(cookie) else { return Notify::Closed };
    if found.state.slot == slot && parts.records.descriptor(found.reference) == Some(fd) {
        parts.records.set_descriptor(found.reference, None);
    }
    // A thread has left a connect whose source the kernel has chosen: the kernel is asked about it by that
    // address.
    if found.entry.call.is_some_and(|call| call.os_local.is_none())
        && let Some(from) = source()
    {
        parts.records.set_source(found.reference, pack_os(Some(from)));
    }
    parts.closing(&found, slot, sys::getpid);
    match found.state.phase {
        Phase::Dialing | Phase::Owned | Phase::Ended => Notify::Nothing,
        // If the listener has gone, this may have been the last socket to hold the port.
        Phase::Server => {
            let e = &found.entry;
            let scope = e.call.map_or(Scopes::NONE, |c| c.scope);
            match parts.listeners.find(Destination { host: e.host, port: e.port, scope }) {
                Some(_) => Notify::Nothing,
                None => {
                    parts.ports.suspect_bound(e.host, e.port);
                    Notify::Closed
                }
            }
        }
        Phase::Kept | Phase::Free | Phase::Writing => Notify::Closed,
    }
}

/// Prepares the table for the shutdown of the socket with this cookie, or for its disconnection: a dial then holds
/// its port no longer, and whoever dials a listener asks the kernel whether it still listens.
pub fn shutting_down(parts: Parts<'_, AtomicU64>, cookie: u64) -> Notify {
    let Some(found) = parts.find(cookie) else { return Notify::Closed };
    parts.suspect_dial(found.reference);
    parts.suspect_partner(found.reference);
    parts.suspect_listener(found.reference);
    if found.state.phase == Phase::Kept { Notify::Closed } else { Notify::Nothing }
}
