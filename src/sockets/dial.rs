//! A dial to a listener of a running host.
//!
//! The table says where it leads. The dial takes a record and the lowest free port, and chooses the source port by which an
//! accept will find it: one port of the range from which the kernel takes them, asked for by IP_LOCAL_PORT_RANGE, so that
//! connect binds it as it would have bound its own choice, and it is in nobody's way. Where another connection has it
//! already, connect says EADDRNOTAVAIL and another one is tried; a kernel without the option (before 6.3) chooses by itself,
//! and the source is entered when connect has returned.
//!
//! Whatever the table does not decide is asked of lonetd: [`Begun::Ask`].

use crate::address::Address;
use crate::question::Asked as AskedKernel;
use crate::{Actor, kernel};
use lonet_core::block::{Endpoint, Face, Place};
use lonet_core::classes::Classes;
use lonet_core::control::{Asked, is_under_way};
use lonet_core::diag::NOBODY;
use lonet_core::sys;
use lonet_core::table::claim::{Claim, InDoubt};
use lonet_core::table::entry::{Call, DIAL, Dialed, Entry, pack_os};
use lonet_core::table::events::Kind;
use lonet_core::table::listeners::Listener;
use lonet_core::table::record::Found;
use lonet_core::table::state::{Phase, Reference, SUSPECT, TAKEN};
use lonet_core::table::word::Word;
use lonet_core::valve;
use nix::errno::Errno;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};

/// So many source ports are tried before the kernel chooses.
const TRIES: u8 = 16;

const IP_LOCAL_PORT_RANGE: i32 = 51;

/// This kernel has no IP_LOCAL_PORT_RANGE.
static IS_OLD: AtomicBool = AtomicBool::new(false);

/// What a program wants.
#[derive(Clone, Copy)]
pub struct Wish {
    pub fd: i32,
    pub cookie: u64,
    pub family: i32,
    pub asked: Asked,
    pub to: Endpoint,
    /// Where the search for a free port begins.
    pub autobind_from: u16,
}

/// A dial under way.
#[derive(Clone, Copy)]
pub struct Dial {
    fd: i32,
    cookie: u64,
    reference: Reference,
    entry: Entry,
    listener: Listener,
    dialed: Dialed,
    from: Ipv4Addr,
    /// The source port that was asked for; 0: the kernel chooses.
    source: u16,
    tries: u8,
}

pub enum Begun {
    /// The socket is bound to its host's address; [`Dial::aim`] comes next.
    Dial(Dial),
    /// lonetd decides.
    Ask,
    /// lonetd is to look first ([`Op::Look`](lonet_core::control::Op::Look)), and then it is to be tried again.
    Look,
}

/// Whether lonetd has seen to whatever had ended on the host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    NotYet,
    Yes,
    /// There is no descriptor to ask it with: what may have ended counts as alive.
    Cannot,
}

/// What becomes of a connect.
pub enum Outcome {
    /// The program gets what the kernel has answered.
    Done,
    /// The kernel has another connection there: aim anew.
    Again,
    /// The listener has gone, or another one has it: lonetd decides. The socket is as it was.
    Ask,
}

fn loopback(face: Face) -> Ipv6Addr {
    match face {
        Face::V4 => Ipv4Addr::LOCALHOST.to_ipv6_mapped(),
        Face::V6 => Ipv6Addr::LOCALHOST,
    }
}

/// Enters a dial, and binds its socket to its host's address.
///
/// Errors are what bind(2) and a full machine answer.
pub fn begin(actor: &Actor<'_>, wish: &Wish, looked: Looked) -> Result<Begun, Errno> {
    let parts = actor.parts;
    let (host, face, class) = match parts.block.place(wish.to.ip) {
        Place::Host(index, face) => (index, face, Classes::host(face)),
        Place::Loopback(face) | Place::Any(face) => (actor.host, face, Classes::loopback(face)),
        Place::Nobody | Place::Elsewhere => return Ok(Begun::Ask),
    };
    // What IPV6_V6ONLY keeps from IPv4 addresses lonetd says.
    if wish.asked.v6only || actor.host == 0 {
        return Ok(Begun::Ask);
    }
    if actor.table.asks_about(actor.host, host) {
        return Ok(Begun::Ask);
    }
    let dialed = Dialed { host, port: wish.to.port, class };
    let Some(listener) = parts.listeners.find(dialed) else { return Ok(Begun::Ask) };
    if listens(actor, &listener, dialed, wish.fd) != Some(true) {
        return Ok(Begun::Ask);
    }
    let Some(reference) = parts.records.take(actor.first_record(), actor.slot, wish.cookie) else {
        return Ok(Begun::Ask);
    };
    actor.own.records.took(reference);
    actor.own.dials.begin(wish.cookie, reference);
    let mut kernel = AskedKernel::new((listener.os, NOBODY, None), actor.slot);
    let (host_of_ours, from) = (actor.host, wish.autobind_from);
    let claim = match looked {
        Looked::NotYet => parts.claim(host_of_ours, from, reference, &mut kernel),
        Looked::Yes => parts.claim_past(host_of_ours, from, reference, InDoubt::Looked, &mut kernel),
        Looked::Cannot => parts.claim_past(host_of_ours, from, reference, InDoubt::Held, &mut kernel),
    };
    let give_up = |begun| {
        parts.records.change(reference, |s| (s.phase == Phase::Writing).then_some(s.to(Phase::Free)));
        actor.own.dials.end(wish.cookie);
        Ok(begun)
    };
    let port = match claim {
        Claim::Port(port) => port,
        Claim::AskLonetd if looked == Looked::NotYet => return give_up(Begun::Look),
        Claim::AskLonetd | Claim::None => return give_up(Begun::Ask),
    };
    let is_host = matches!(parts.block.place(wish.to.ip), Place::Host(..));
    let call = Call {
        local: Endpoint::new(
            if is_host { parts.block.shown(actor.host, face) } else { loopback(face) },
            port,
        ),
        peer: Endpoint::new(if is_host { wish.to.ip } else { loopback(face) }, wish.to.port),
        os_local: None,
        os_remote: listener.os,
        peer_host: host,
        dialed_port: wish.to.port,
        class,
    };
    let entry = Entry {
        host: actor.host,
        port,
        asked: wish.asked,
        at: None,
        os: None,
        call: Some(call),
        accept_port: None,
        role: DIAL,
        // Counted after the listener was found: it is not younger.
        since: actor.table.listenings(),
    };
    let from = parts.block.address(actor.host);
    let dial = Dial {
        fd: wish.fd,
        cookie: wish.cookie,
        reference,
        entry,
        listener,
        dialed,
        from,
        source: 0,
        tries: 0,
    };
    if !parts.describe(reference, wish.cookie, &entry) {
        dial.withdraw(actor);
        return Ok(Begun::Ask);
    }
    // SAFETY: an address of ours with its length.
    let call = |a: &Address| unsafe { sys::bind(wish.fd, a.pointer(), a.len) };
    match kernel::bind_address(wish.fd, wish.family, from, wish.asked, &call) {
        Ok(()) => Ok(Begun::Dial(dial)),
        // Bound before lonet had a say: it dials from there, and lonetd has to know. Or a sandbox forbids it: lonetd can do it.
        Err(Errno::EINVAL | Errno::EACCES) => {
            dial.withdraw(actor);
            Ok(Begun::Ask)
        }
        Err(e) => {
            dial.withdraw(actor);
            Err(e)
        }
    }
}

/// Takes back a dial of this socket that its thread has left before connect: the socket is as it was, but for its host's
/// address. Whether there was one.
pub fn take_back(actor: &Actor<'_>, fd: i32, cookie: u64) -> bool {
    let Some(left) = actor.own.dials.end(cookie) else { return false };
    actor.parts.abandon(left, actor.slot, |_| true);
    let _ = sys::setsockopt(fd, libc::SOL_IP, IP_LOCAL_PORT_RANGE, &0u32);
    true
}

/// Whether a listener of the network's is there. Where nobody speaks for it any more, a descriptor of it was closed, or may have
/// been unseen, or lonetd writes its record anew, the kernel is asked: a wildcard listener of the machine's would answer in the place of one that
/// has gone. `None`: it cannot be asked. `fd`: the socket that dials.
fn listens(actor: &Actor<'_>, listener: &Listener, dialed: Dialed, fd: i32) -> Option<bool> {
    let parts = actor.parts;
    let is_believed = !parts.ports.is_unseen(dialed.host)
        && parts.records.state(listener.record).is_some_and(|state| {
            state.phase == Phase::Kept && !state.is(SUSPECT) && parts.slots.is_believed(state.slot)
        });
    if is_believed {
        return Some(true);
    }
    // Of several that share the address the kernel names one.
    let cookie = kernel::listener(listener.os, fd)?;
    let is_there = |found: Found| {
        found.state.phase == Phase::Kept
            && found.entry.os == Some(listener.os)
            && found.entry.answers(dialed, parts.block)
    };
    Some(cookie.and_then(|cookie| parts.find(cookie)).is_some_and(is_there))
}

impl Dial {
    /// Where to connect to.
    pub fn to(&self) -> SocketAddrV4 {
        self.listener.os
    }

    /// Chooses a source port and enters the connection; connect may be made then.
    pub fn aim(&mut self, actor: &Actor<'_>) {
        let is_first = self.tries == 0;
        self.choose_source(actor);
        if is_first {
            let ends = (self.entry.host, self.dialed.host);
            valve::obey_at_dial(actor.table, self.fd, self.cookie, ends);
            self.note(actor, Kind::Dial, 0);
        } else {
            self.obey(actor, true);
        }
    }

    /// Makes an event of the dial, if somebody records.
    fn note(&self, actor: &Actor<'_>, kind: Kind, errno: i32) {
        actor.note(kind, self.entry.host, |event| {
            (event.from, event.to) = self.entry.call.map(|call| (call.local, call.peer)).unzip();
            (event.cookie, event.errno) = (self.cookie, errno as u16);
            event.os = [self.entry.call.and_then(|call| call.os_local), Some(self.to())];
        });
    }

    /// Has the socket follow the rules for faults. `dials`: the connection is not made so far.
    fn obey(&self, actor: &Actor<'_>, dials: bool) {
        valve::obey(actor.table, self.fd, self.cookie, (self.entry.host, self.dialed.host), dials);
    }

    fn choose_source(&mut self, actor: &Actor<'_>) {
        let (low, high) = actor.table.sources();
        while self.tries < TRIES && !IS_OLD.load(Ordering::Relaxed) {
            self.tries += 1;
            // connect takes every other port from the lowest on, and leaves the rest to bind.
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
                    self.unaim(actor);
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

    fn unaim(&mut self, actor: &Actor<'_>) {
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

    /// Draws the consequences of a connect that ended with `errno` (0: success).
    pub fn settle(&mut self, actor: &Actor<'_>, errno: i32) -> Outcome {
        if errno == libc::EADDRNOTAVAIL && self.source != 0 {
            self.unaim(actor);
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
                self.unaim(actor);
                self.set_source(Some(from));
                // One that nobody has accepted had the same addresses: the kernel knows who is there.
                if !actor.parts.publish(self.reference, from, self.to()) {
                    actor.parts.records.set_source(self.reference, pack_os(Some(from)));
                    actor.parts.records.change(self.reference, |s| {
                        (s.phase == Phase::Writing).then_some(s.to(Phase::Dialing))
                    });
                }
            }
            // Reset already.
            None => {}
        }
        actor.parts.records.set_descriptor(self.reference, (!actor.supervises).then_some(self.fd));
        let is_made = errno == 0 || kernel::remote(self.fd).is_some();
        actor.parts.connected(self.reference, is_made);
        self.note(actor, if is_made { Kind::Connected } else { Kind::UnderWay }, 0);
        if actor.supervises {
            actor.parts.doubt(self.reference);
        }
        // The rules may have changed while connect was about to be called, where nobody could reach the socket.
        self.obey(actor, !is_made);
        actor.own.dials.end(self.cookie);
        Outcome::Done
    }

    /// An accept has taken it: whoever closes a listener after its last accept does so behind that.
    fn is_taken(&self, actor: &Actor<'_>) -> bool {
        actor.parts.records.state(self.reference).is_none_or(|state| state.is(TAKEN))
    }

    /// The dial is not made.
    pub fn withdraw(&self, actor: &Actor<'_>) {
        actor.parts.withdraw(self.reference, self.cookie, &self.entry);
        actor.own.dials.end(self.cookie);
    }
}
