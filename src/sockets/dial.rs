//! A dial to a listener of a running host, by the table.
//!
//! The table names the listener. The dial takes a record and the lowest free port, and chooses the OS source
//! port by which an accept will find it: one of the kernel's range, requested by IP_LOCAL_PORT_RANGE, so that
//! connect binds it as it would have bound its own choice, and other sockets can share it. If another
//! connection to the destination has it already, connect fails with EADDRNOTAVAIL and the dial tries another
//! one. A kernel without the option (before 6.3) chooses by itself, and the source is entered when connect
//! has returned.
//!
//! If the table does not decide, lonetd has to be asked: [`DialStart::Ask`].

use crate::address::Address;
use crate::diag_query::DiagQuery;
use crate::{Actor, kernel};
use lonet_core::block::{Endpoint, Face, Place};
use lonet_core::control::{Asked, is_under_way};
use lonet_core::diag::NOBODY;
use lonet_core::scopes::Scopes;
use lonet_core::sys;
use lonet_core::table::claim::{Claim, OnUnverified};
use lonet_core::table::entry::{Call, DIAL, Destination, Entry, pack_os};
use lonet_core::table::events::Kind;
use lonet_core::table::listeners::Listener;
use lonet_core::table::record::Found;
use lonet_core::table::state::{Phase, Reference, SUSPECT, TAKEN};
use lonet_core::table::word::Word;
use lonet_core::valve;
use nix::errno::Errno;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};

/// Source ports that a dial tries before it leaves the choice to the kernel.
const TRIES: u8 = 16;

const IP_LOCAL_PORT_RANGE: i32 = 51;

/// This kernel has no IP_LOCAL_PORT_RANGE.
static IS_OLD: AtomicBool = AtomicBool::new(false);

/// The parameters of a dial.
#[derive(Clone, Copy)]
pub struct DialParams {
    pub fd: i32,
    pub cookie: u64,
    pub family: i32,
    /// The options that the program has requested.
    pub asked: Asked,
    /// The address that the program dials.
    pub to: Endpoint,
    /// The lowest port for the search of a free one.
    pub autobind_from: u16,
}

/// A dial in progress.
#[derive(Clone, Copy)]
pub struct Dial {
    fd: i32,
    cookie: u64,
    reference: Reference,
    entry: Entry,
    listener: Listener,
    dialed: Destination,
    from: Ipv4Addr,
    /// The requested source port; 0: the kernel chooses.
    source: u16,
    tries: u8,
}

/// The result of [`begin`].
pub enum DialStart {
    /// The socket is bound to its host's address. [`Dial::prepare_connect`] is next.
    Dial(Dial),
    /// lonetd has to be asked for the dial.
    Ask,
    /// lonetd has to look first ([`Op::Look`](lonet_core::control::Op::Look)). Then call [`begin`] again.
    Look,
}

/// Whether lonetd has looked at the processes and sockets of the host that may have ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    NotYet,
    Yes,
    /// The process has no descriptor left to ask lonetd: what may have ended counts as alive.
    Cannot,
}

/// What a dial does after connect has returned.
pub enum Outcome {
    /// The program gets the kernel's result.
    Done,
    /// The source port is in use: call [`Dial::prepare_connect`] and connect again.
    Again,
    /// The listener has gone, or was replaced: ask lonetd. The socket is as before the dial.
    Ask,
}

fn loopback(face: Face) -> Ipv6Addr {
    match face {
        Face::V4 => Ipv4Addr::LOCALHOST.to_ipv6_mapped(),
        Face::V6 => Ipv6Addr::LOCALHOST,
    }
}

/// Enters a dial in the table, and binds its socket to its host's address.
///
/// Errors are those of bind(2) and of the socket options that it sets.
pub fn begin(actor: &Actor<'_>, params: &DialParams, looked: Looked) -> Result<DialStart, Errno> {
    let parts = actor.parts;
    let (host, face, scope) = match parts.block.place(params.to.ip) {
        Place::Host(index, face) => (index, face, Scopes::host(face)),
        Place::Loopback(face) | Place::Any(face) => (actor.host, face, Scopes::loopback(face)),
        Place::Unassigned | Place::NotLonet => return Ok(DialStart::Ask),
    };
    // lonetd knows the errors of IPV6_V6ONLY sockets that dial IPv4 addresses.
    if params.asked.v6only || actor.host == 0 {
        return Ok(DialStart::Ask);
    }
    if actor.table.asks_about(actor.host, host) {
        return Ok(DialStart::Ask);
    }
    let dialed = Destination { host, port: params.to.port, scope };
    let Some(listener) = parts.listeners.find(dialed) else { return Ok(DialStart::Ask) };
    if listens(actor, &listener, dialed, params.fd) != Some(true) {
        return Ok(DialStart::Ask);
    }
    let Some(reference) = parts.records.take(actor.first_record(), actor.slot, params.cookie) else {
        return Ok(DialStart::Ask);
    };
    actor.process.records.took(reference);
    actor.process.dials.begin(params.cookie, reference);
    let mut kernel = DiagQuery::new((listener.os, NOBODY, None), actor.slot);
    let (host_of_ours, from) = (actor.host, params.autobind_from);
    let claim = match looked {
        Looked::NotYet => parts.claim(host_of_ours, from, reference, &mut kernel),
        Looked::Yes => {
            parts.claim_with(host_of_ours, from, reference, OnUnverified::AskIfSuspect, &mut kernel)
        }
        Looked::Cannot => {
            parts.claim_with(host_of_ours, from, reference, OnUnverified::PassOver, &mut kernel)
        }
    };
    let give_up = |begun| {
        parts.records.change(reference, |s| (s.phase == Phase::Writing).then_some(s.to(Phase::Free)));
        actor.process.dials.end(params.cookie);
        Ok(begun)
    };
    let port = match claim {
        Claim::Port(port) => port,
        Claim::AskLonetd if looked == Looked::NotYet => return give_up(DialStart::Look),
        Claim::AskLonetd | Claim::NoPort => return give_up(DialStart::Ask),
    };
    let is_host = matches!(parts.block.place(params.to.ip), Place::Host(..));
    let call = Call {
        local: Endpoint::new(
            if is_host { parts.block.shown(actor.host, face) } else { loopback(face) },
            port,
        ),
        peer: Endpoint::new(if is_host { params.to.ip } else { loopback(face) }, params.to.port),
        os_local: None,
        os_remote: listener.os,
        peer_host: host,
        dialed_port: params.to.port,
        scope,
    };
    let entry = Entry {
        host: actor.host,
        port,
        asked: params.asked,
        at: None,
        os: None,
        call: Some(call),
        accept_port: None,
        role: DIAL,
        // Read after the listener was found, so that the dial does not count as older than it.
        since: actor.table.listen_count(),
    };
    let from = parts.block.address(actor.host);
    let dial = Dial {
        fd: params.fd,
        cookie: params.cookie,
        reference,
        entry,
        listener,
        dialed,
        from,
        source: 0,
        tries: 0,
    };
    if !parts.enter_dial(reference, params.cookie, &entry) {
        dial.withdraw(actor);
        return Ok(DialStart::Ask);
    }
    // SAFETY: an address of ours with its length.
    let call = |a: &Address| unsafe { sys::bind(params.fd, a.pointer(), a.len) };
    match kernel::bind_address(params.fd, params.family, from, params.asked, &call) {
        Ok(()) => Ok(DialStart::Dial(dial)),
        // EINVAL: the socket was bound without lonet; it dials from there, and lonetd must know. EACCES: a
        // sandbox forbids the bind, and lonetd can do it.
        Err(Errno::EINVAL | Errno::EACCES) => {
            dial.withdraw(actor);
            Ok(DialStart::Ask)
        }
        Err(e) => {
            dial.withdraw(actor);
            Err(e)
        }
    }
}

/// Rolls back a dial of this socket that this thread has left before connect. The socket is then as before,
/// but bound to its host's address. Returns whether there was such a dial.
pub fn roll_back(actor: &Actor<'_>, fd: i32, cookie: u64) -> bool {
    let Some(left) = actor.process.dials.end(cookie) else { return false };
    actor.parts.abandon(left, actor.slot, |_| true);
    let _ = sys::setsockopt(fd, libc::SOL_IP, IP_LOCAL_PORT_RANGE, &0u32);
    true
}

/// Whether a listener of the network is alive. `None`: that is unknown, and the kernel cannot be asked. `fd`:
/// the dialing socket.
///
/// The kernel is asked if the listener's process may have ended, if a descriptor of it was or may have been
/// closed, or if lonetd is replacing its record: a wildcard listener of the machine would accept in place of
/// one that has gone.
fn listens(actor: &Actor<'_>, listener: &Listener, dialed: Destination, fd: i32) -> Option<bool> {
    let parts = actor.parts;
    let is_believed = !parts.ports.is_unseen(dialed.host)
        && parts.records.state(listener.record).is_some_and(|state| {
            state.phase == Phase::Kept && !state.is(SUSPECT) && parts.slots.is_live(state.slot)
        });
    if is_believed {
        return Some(true);
    }
    // If several listeners share the address, the kernel names one of them.
    let cookie = kernel::listener(listener.os, fd)?;
    let is_there = |found: Found| {
        found.state.phase == Phase::Kept
            && found.entry.os == Some(listener.os)
            && found.entry.answers(dialed, parts.block)
    };
    Some(cookie.and_then(|cookie| parts.find(cookie)).is_some_and(is_there))
}

impl Dial {
    /// The OS address to connect to.
    pub fn to(&self) -> SocketAddrV4 {
        self.listener.os
    }

    /// Chooses a source port and enters the connection. The caller then calls connect.
    pub fn prepare_connect(&mut self, actor: &Actor<'_>) {
        let is_first = self.tries == 0;
        self.choose_source(actor);
        if is_first {
            let ends = (self.entry.host, self.dialed.host);
            valve::apply_rules_at_dial(actor.table, self.fd, self.cookie, ends);
            self.note(actor, Kind::Dial, 0);
        } else {
            self.apply_rules(actor, true);
        }
    }

    /// Writes an event of the dial, if events are recorded.
    fn note(&self, actor: &Actor<'_>, kind: Kind, errno: i32) {
        actor.note(kind, self.entry.host, |event| {
            (event.from, event.to) = self.entry.call.map(|call| (call.local, call.peer)).unzip();
            (event.cookie, event.errno) = (self.cookie, errno as u16);
            event.os = [self.entry.call.and_then(|call| call.os_local), Some(self.to())];
        });
    }

    /// Applies the fault rules to the socket. `dials`: the connection is not established yet.
    fn apply_rules(&self, actor: &Actor<'_>, dials: bool) {
        valve::apply_rules(actor.table, self.fd, self.cookie, (self.entry.host, self.dialed.host), dials);
    }

    fn choose_source(&mut self, actor: &Actor<'_>) {
        let (low, high) = actor.table.sources();
        while self.tries < TRIES && !IS_OLD.load(Ordering::Relaxed) {
            self.tries += 1;
            // connect(2) uses every other port from the lowest on, and leaves the rest to bind(2).
            let choices = u32::from(high.saturating_sub(low)) / 2 + 1;
            let source = low + (actor.random() % choices) as u16 * 2;
            let from = SocketAddrV4::new(self.from, source);
            if from == self.to() || !actor.parts.publish(self.reference, from, self.to()) {
                continue;
            }
            self.set_source(Some(from));
            let range = u32::from(source) << 16 | u32::from(source);
            match sys::setsockopt(self.fd, libc::SOL_IP, IP_LOCAL_PORT_RANGE, &range) {
                Ok(()) => {
                    self.source = source;
                    return;
                }
                Err(_) => {
                    IS_OLD.store(true, Ordering::Relaxed);
                    self.unpublish_source(actor);
                }
            }
        }
        if !IS_OLD.load(Ordering::Relaxed) {
            let _ = sys::setsockopt(self.fd, libc::SOL_IP, IP_LOCAL_PORT_RANGE, &0u32);
        }
        self.source = 0;
        actor.table.header().kernel_chose.add(1);
        actor
            .parts
            .records
            .change(self.reference, |s| (s.phase == Phase::Writing).then_some(s.to(Phase::Dialing)));
    }

    fn unpublish_source(&mut self, actor: &Actor<'_>) {
        if let Some(from) = self.entry.call.and_then(|c| c.os_local) {
            actor.parts.unpublish(self.reference, from, self.to());
        }
        self.set_source(None);
    }

    fn set_source(&mut self, from: Option<SocketAddrV4>) {
        if let Some(call) = self.entry.call.as_mut() {
            call.os_local = from;
        }
        if from.is_none() {
            self.source = 0;
        }
    }

    /// Updates the table after connect has returned with `errno` (0: success), and says what to do next.
    pub fn finish(&mut self, actor: &Actor<'_>, errno: i32) -> Outcome {
        if errno == libc::EADDRNOTAVAIL && self.source != 0 {
            self.unpublish_source(actor);
            actor.table.header().tried_again.add(1);
            return Outcome::Again;
        }
        if self.source != 0 {
            let _ = sys::setsockopt(self.fd, libc::SOL_IP, IP_LOCAL_PORT_RANGE, &0u32);
        }
        if !is_under_way(errno) {
            self.withdraw(actor);
            if errno == libc::ECONNREFUSED {
                return Outcome::Ask;
            }
            self.note(actor, Kind::of_failure(errno), errno);
            return Outcome::Done;
        }
        let source = kernel::source(self.fd);
        let is_itself = source == Some(self.to());
        let listens = listens(actor, &self.listener, self.dialed, self.fd);
        if is_itself || listens == Some(false) && !self.is_taken(actor) {
            kernel::disconnect(self.fd, self.cookie);
            self.withdraw(actor);
            return Outcome::Ask;
        }
        match source {
            Some(from) if from.port() == self.source => {}
            Some(from) => {
                self.unpublish_source(actor);
                self.set_source(Some(from));
                // An earlier dial, not accepted yet, had the same addresses: an accept will ask the kernel
                // which it is.
                if !actor.parts.publish(self.reference, from, self.to()) {
                    actor.parts.records.set_source(self.reference, pack_os(Some(from)));
                    actor.parts.records.change(self.reference, |s| {
                        (s.phase == Phase::Writing).then_some(s.to(Phase::Dialing))
                    });
                }
            }
            // The connection was reset already.
            None => {}
        }
        actor.parts.records.set_descriptor(self.reference, (!actor.supervises).then_some(self.fd));
        let is_made = errno == 0 || kernel::remote(self.fd).is_some();
        actor.parts.connected(self.reference, is_made);
        self.note(actor, if is_made { Kind::Connected } else { Kind::UnderWay }, 0);
        if actor.supervises {
            actor.parts.suspect_dial(self.reference);
        }
        // The rules may have changed just before connect, when lonetd could not find the socket.
        self.apply_rules(actor, !is_made);
        actor.process.dials.end(self.cookie);
        Outcome::Done
    }

    /// Whether an accept has taken the dial. A listener that was closed after its last accept has taken it
    /// before.
    fn is_taken(&self, actor: &Actor<'_>) -> bool {
        actor.parts.records.state(self.reference).is_none_or(|state| state.is(TAKEN))
    }

    /// Rolls the dial back.
    pub fn withdraw(&self, actor: &Actor<'_>) {
        actor.parts.withdraw(self.reference, self.cookie, &self.entry);
        actor.process.dials.end(self.cookie);
    }
}
