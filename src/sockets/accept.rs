//! Identifies the peer of an accepted connection.
//!
//! The kernel is asked which socket is at the other end, and that socket's record in the table counts. If it has
//! none lonetd decides. The record of a dial with these addresses would not do: the dialer's connection may have
//! ended in the kernel while its program keeps the descriptor, as after ETIMEDOUT, or may have been closed by a
//! system call past the hooks. Then anybody can bind the dialer's address and connect from there.
//!
//! Where the kernel cannot be asked, as in a sandbox without socket(2), the record with these addresses has to do: it
//! is the peer if the dial is certain ([`lonet_core::table::Parts::is_certain`]) and this end of the connection is
//! alive. A dial whose connect has not returned yet is waited for: most accepts come before that.

use crate::diag_query::query;
use crate::{Actor, kernel};
use lonet_core::block::Endpoint;
use lonet_core::diag::{SocketAnswer, State};
use lonet_core::sys;
use lonet_core::table::entry::{ACCEPTED, Call, Entry};
use lonet_core::table::events::Kind;
use lonet_core::table::record::Found;
use lonet_core::table::state::{Phase, TAKEN};
use lonet_core::valve;
use std::net::SocketAddrV4;

/// A connection that the kernel has accepted.
#[derive(Clone, Copy)]
pub struct Accepted {
    /// The listener's cookie.
    pub listener: u64,
    /// The accepted socket's cookie.
    pub cookie: u64,
    pub fd: i32,
    /// The kernel's addresses of its two ends.
    pub local: SocketAddrV4,
    pub remote: SocketAddrV4,
}

/// The peer of an accepted connection.
pub enum Peer {
    /// A dialer of this network. `local` and `name` are the addresses of this end and of the peer that the
    /// program sees. `is_last`: the listener has gone meanwhile, and lonetd must be told that this socket
    /// holds its port.
    Dialer { local: Endpoint, name: Endpoint, is_last: bool },
    /// lonetd has to be asked.
    Ask,
}

/// The pauses, in milliseconds, in which a dial becomes certain: 192 ms at most. They are counted, as a sandbox may
/// forbid to read the clock.
const PAUSES_MS: [i64; 9] = [1, 1, 2, 4, 8, 16, 32, 64, 64];

/// Number of tries to take a dial whose state changes meanwhile.
const LOOKS: usize = 4;

/// Identifies the peer by the table and the kernel. If that succeeds the accepted socket is entered in the
/// table.
pub fn identify(actor: &Actor<'_>, a: &Accepted) -> Peer {
    let parts = actor.parts;
    let Some(listener) = parts.find(a.listener).filter(|f| f.state.phase == Phase::Kept) else {
        return Peer::Ask;
    };
    for _ in 0..LOOKS {
        let Some(dial) = dial(actor, a, &listener.entry) else { return Peer::Ask };
        // The OS address may have belonged to another listener.
        let is_meant = |call: &Call| {
            call.os_remote == a.local && listener.entry.answers(call.destination(), parts.block)
        };
        let Some(call) = dial.entry.call.filter(is_meant) else { return Peer::Ask };
        if parts.take_dial(&dial) {
            return enter(actor, a, &listener, &dial, call);
        }
    }
    Peer::Ask
}

/// The dial at the other end, if the kernel names its socket.
fn dial(actor: &Actor<'_>, a: &Accepted, listener: &Entry) -> Option<Found> {
    // This end comes last: if it is alive then, the other one belonged to it before.
    let Some(answers) = query(&[(a.remote, a.local, None), (a.local, a.remote, None)], a.fd) else {
        return once_certain(actor, a, listener);
    };
    // Otherwise this end is dead, and another connection has its addresses by now.
    let is_this = matches!(answers[1], Some(SocketAnswer::Found(f)) if f.cookie == a.cookie);
    let Some(SocketAnswer::Found(f)) = answers[0].filter(|_| is_this) else { return None };
    // Who is still dialing from there has no connection to this end.
    if f.state == State::SYN_SENT {
        return None;
    }
    let is_dial = |f: &Found| {
        matches!(f.state.phase, Phase::Dialing | Phase::Owned | Phase::Ended) && !f.state.is(TAKEN)
    };
    actor.parts.find(f.cookie).filter(is_dial)
}

/// What the table says about the dial at the other end.
enum Seen {
    Certain(Found),
    /// Its connect has not returned.
    Dialing,
    Uncertain,
}

fn look(actor: &Actor<'_>, a: &Accepted, listener: &Entry) -> Seen {
    let parts = actor.parts;
    let by_addresses = parts.dial_between(a.remote, a.local, listener.since);
    // This comes second: while this end is alive no later dial gets the addresses. If it is dead what is at its addresses
    // is not its peer.
    if kernel::remote(a.fd).is_none() {
        return Seen::Uncertain;
    }
    // With SO_REUSEPORT one of several listeners may have gone, and with it the dials that it had not
    // accepted.
    let is_alone = !listener.asked.reuse_port;
    match by_addresses.filter(|_| is_alone) {
        Some(dial) if parts.is_certain(&dial) => Seen::Certain(dial),
        Some(dial) if dial.state.phase == Phase::Dialing => Seen::Dialing,
        _ => Seen::Uncertain,
    }
}

/// The dial at the other end, if it becomes certain soon.
fn once_certain(actor: &Actor<'_>, a: &Accepted, listener: &Entry) -> Option<Found> {
    let mut pauses = PAUSES_MS.into_iter();
    loop {
        match look(actor, a, listener) {
            Seen::Certain(dial) => return Some(dial),
            Seen::Dialing => _ = sys::ready_within(-1, 0, Some(pauses.next()?)),
            Seen::Uncertain => return None,
        }
    }
}

fn enter(actor: &Actor<'_>, a: &Accepted, listener: &Found, dial: &Found, theirs: Call) -> Peer {
    let parts = actor.parts;
    let call = Call {
        local: theirs.peer,
        peer: theirs.local,
        os_local: Some(a.local),
        os_remote: a.remote,
        peer_host: dial.entry.host,
        dialed_port: theirs.dialed_port,
        scope: theirs.scope,
    };
    let entry = Entry {
        at: None,
        os: None,
        call: Some(call),
        accept_port: None,
        role: ACCEPTED,
        since: 0,
        ..listener.entry
    };
    // Without room, lonetd is asked for the socket's names.
    if let Some(reference) =
        parts.accepted(actor.first_record(), actor.slot, a.cookie, &entry, dial.reference)
    {
        actor.process.records.took(reference);
        parts.records.set_descriptor(reference, (!actor.supervises).then_some(a.fd));
    }
    valve::apply_rules(actor.table, a.fd, a.cookie, (entry.host, call.peer_host), false);
    actor.note(Kind::Accepted, entry.host, |event| {
        (event.from, event.to) = (Some(theirs.local), Some(theirs.peer));
        event.cookie = a.cookie;
        event.os = [Some(a.remote), Some(a.local)];
    });
    let is_last = parts.listeners.find(theirs.destination()).is_none();
    Peer::Dialer { local: theirs.peer, name: theirs.local, is_last }
}
