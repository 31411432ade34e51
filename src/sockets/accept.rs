//! Who is at the other end of an accepted connection.
//!
//! The table knows the dials of this network by the kernel's addresses. A dial is believed without a question if it is
//! certain ([`lonet_core::table::Parts::is_certain`]) and this end of the connection lives; else the kernel is asked which
//! socket is at the other end, and that socket's record counts. What is in no record lonetd decides about.

use crate::question::ask_or_aside;
use crate::{Actor, kernel};
use lonet_core::block::Endpoint;
use lonet_core::diag::Answer;
use lonet_core::table::entry::{ACCEPTED, Call, Entry};
use lonet_core::table::events::Kind;
use lonet_core::table::record::Found;
use lonet_core::table::state::{Phase, TAKEN};
use lonet_core::valve;
use std::net::SocketAddrV4;

/// A connection that the kernel has accepted.
#[derive(Clone, Copy)]
pub struct Accepted {
    /// The cookie of the listener, and of this.
    pub listener: u64,
    pub cookie: u64,
    pub fd: i32,
    /// The kernel's addresses of its two ends.
    pub local: SocketAddrV4,
    pub remote: SocketAddrV4,
}

pub enum Peer {
    /// A dial of this network: the addresses of this end and of the other one that the program is to see. `is_last`: the
    /// listener has gone meanwhile, and lonetd has to know that this socket holds its port.
    Dialer { local: Endpoint, name: Endpoint, is_last: bool },
    /// lonetd decides.
    Ask,
}

/// How often a dial that changes under the look is looked at again.
const LOOKS: usize = 4;

/// Who is at the other end; if the table knows, the accepted socket is entered.
pub fn identify(actor: &Actor<'_>, a: &Accepted) -> Peer {
    let parts = actor.parts;
    let Some(listener) = parts.find(a.listener).filter(|f| f.state.phase == Phase::Kept) else {
        return Peer::Ask;
    };
    for _ in 0..LOOKS {
        let Some(dial) = dial(actor, a, &listener.entry) else { return Peer::Ask };
        // The same OS address may have been another listener's.
        let is_meant =
            |call: &Call| call.os_remote == a.local && listener.entry.answers(call.dialed(), parts.block);
        let Some(call) = dial.entry.call.filter(is_meant) else { return Peer::Ask };
        if parts.take(&dial) {
            return enter(actor, a, &listener, &dial, call);
        }
    }
    Peer::Ask
}

/// The dial, if it is certain or the kernel names it.
fn dial(actor: &Actor<'_>, a: &Accepted, listener: &Entry) -> Option<Found> {
    let parts = actor.parts;
    let by_addresses = parts.dial_between(a.remote, a.local, listener.since);
    let lives = kernel::remote(a.fd).is_some();
    // One of several listeners at an address may have gone, and with it the dials that it had not accepted.
    let is_alone = !listener.asked.reuse_port;
    if let Some(dial) = by_addresses.filter(|dial| lives && is_alone && parts.is_certain(dial)) {
        return Some(dial);
    }
    let answers = ask_or_aside(&[(a.local, a.remote, None), (a.remote, a.local, None)], a.fd)?;
    // This end is dead, or another connection has its addresses by now.
    let is_this = matches!(answers[0], Some(Answer::Found(f)) if f.cookie == a.cookie);
    let Some(Answer::Found(f)) = answers[1].filter(|_| is_this) else { return None };
    let is_dial = |f: &Found| {
        matches!(f.state.phase, Phase::Dialing | Phase::Owned | Phase::Ended) && !f.state.is(TAKEN)
    };
    parts.find(f.cookie).filter(|f| lives && is_dial(f))
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
        class: theirs.class,
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
    // Where there is no room its names are asked for.
    if let Some(reference) =
        parts.accepted(actor.first_record(), actor.slot, a.cookie, &entry, dial.reference)
    {
        actor.own.records.took(reference);
    }
    valve::obey(actor.table, a.fd, a.cookie, (entry.host, call.peer_host), false);
    actor.note(Kind::Accepted, entry.host, |event| {
        (event.from, event.to) = (Some(theirs.local), Some(theirs.peer));
        event.cookie = a.cookie;
        event.os = [Some(a.remote), Some(a.local)];
    });
    let is_last = parts.listeners.find(theirs.dialed()).is_none();
    Peer::Dialer { local: theirs.peer, name: theirs.local, is_last }
}
