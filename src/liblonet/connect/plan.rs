//! What a call of connect(2) comes to: looks at the address and the socket, and asks the table or lonetd where it leads.

use super::{Attempt, port_is_used, set_out, set_v6only, table};
use crate::address::Address;
use crate::ask::{Failed, Start, ask_of};
use crate::bypass::Bypass;
use crate::fence::{PANIC, guard, silently};
use crate::{actor, dns, given, kernel, log, marks, memory, name, process, sandbox, valve};
use libc::c_int;
use lonet_core::block::Endpoint;
use lonet_core::client::{Client, TIME_LIMIT};
use lonet_core::control::{Asked, Op, Reply};
use lonet_sockets::close::shutting_down;
use nix::errno::Errno;
use std::net::{Ipv4Addr, SocketAddrV4};

/// What the call does next.
#[allow(clippy::large_enum_variant, reason = "a hook allocates nothing")]
pub enum Plan {
    /// libc's connect, with the program's arguments. The log has its line.
    Libc(Bypass),
    /// Nothing: the call fails. The log has its line.
    Fail(Errno),
    /// libc's connect takes the connection off the socket.
    Disconnect(Disconnect),
    /// The socket is connected to what stands for a name server (`dns`).
    NameServer(Address),
    /// A dial to a listener that the table names, about which this process decides.
    Table(table::Dial),
    /// The socket is connected, and lonetd is told of the outcome.
    Connect(Connect),
    /// The socket is connected to a foreign peer, and lonetd shakes hands on it.
    Foreign(Target),
}

/// A connection that is to be taken off its socket.
pub struct Disconnect {
    pub cookie: u64,
    /// Where the socket is, for the kernel.
    pub local: SocketAddrV4,
}

/// What the kernel's connect is called for.
pub struct Target {
    pub cookie: u64,
    /// The port that the program dials.
    pub port: u16,
    /// Where to, for the kernel.
    pub address: Address,
}

/// A connect about whose outcome lonetd is told.
pub struct Connect {
    pub target: Target,
    pub expects: Expects,
}

/// What is at a target.
pub enum Expects {
    /// A listener.
    Listener { os: SocketAddrV4 },
    /// The socket itself, which its program has bound to the address that it dials.
    ItsOwnListener,
    /// lonetd, which relays to a foreign peer.
    Relay {
        os: SocketAddrV4,
        /// How long the peer has had to answer, in milliseconds; 0: as long as it liked.
        waited: u32,
        /// A connection is reported as this: EINTR or EINPROGRESS; 0: as made.
        late: i32,
    },
    /// A socket that does not listen. `was_v6only`: IPV6_V6ONLY is set again afterwards.
    Refusal { was_v6only: bool },
    /// What the socket is connected to already.
    Connected,
}

/// Who is asked where a dial leads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Decider {
    /// The table, and lonetd where that has no answer.
    Table,
    /// lonetd, as the table was wrong.
    Lonetd,
}

/// Decides what the call does next.
///
/// # Safety
/// The attempt's address is as connect(2) takes it.
// A frame of its own: what it takes of a small stack is given back before the kernel's connect. With C's convention, as
// nothing unwinds out of it: the caller needs no clean-up, and can be cancelled.
#[inline(never)]
#[allow(improper_ctypes_definitions, reason = "its only caller is Rust")]
pub unsafe extern "C" fn decide(attempt: &mut Attempt, decider: Decider) -> Plan {
    let mut decided = Err(Failed::new(Errno::EIO, PANIC));
    // SAFETY: as the caller promises.
    let _ = guard(|| decided = unsafe { plan(attempt, decider) });
    match decided {
        Ok(plan) => {
            if let Plan::Libc(why) = plan {
                silently(|| log::bypassed(attempt.call(), why));
            }
            Errno::set_raw(attempt.errno);
            plan
        }
        Err(failed) => Plan::Fail(attempt.fails(&failed)),
    }
}

/// # Safety
/// As for [`decide`].
unsafe fn plan(attempt: &mut Attempt, decider: Decider) -> Result<Plan, Failed> {
    let Attempt { fd, address, len, .. } = *attempt;
    if !process::is_active() {
        return Ok(Plan::Libc(Bypass::Inactive));
    }
    let Some((to, family)) = memory::address(address, len) else {
        let unspecified = memory::family(address, len) == Some(libc::AF_UNSPEC);
        return if unspecified { disconnect(fd) } else { Ok(Plan::Libc(Bypass::NoAddress)) };
    };
    let mut instead = Address::empty();
    // SAFETY: as the caller promises.
    if unsafe { dns::redirect(fd, address, len, &raw mut instead) } {
        return Ok(Plan::NameServer(instead));
    }
    if let Err(why) = process::concerns(to.ip) {
        return Ok(Plan::Libc(why));
    }
    if kernel::tcp_family(fd) != Some(family) {
        return Ok(Plan::Libc(Bypass::OtherSocket));
    }
    let asked = kernel::asked(fd, family);
    let cookie = kernel::cookie(fd)?;
    let here = kernel::local(fd);
    if here.as_ref().and_then(|a| a.endpoint()).is_some_and(|at| kernel::is_raw(fd, at.port)) {
        return Ok(Plan::Libc(Bypass::OtherSocket));
    }
    let mut local = here.and_then(|a| a.os()).filter(|a| a.port() != 0 || !a.ip().is_unspecified());
    // lonetd would take it for a bound socket that dials.
    if local.is_some_and(|a| a.port() != 0) && kernel::listens(fd) {
        return Err(Errno::EISCONN.into());
    }
    let client = process::client().ok_or(Errno::ENETDOWN)?;
    if local.is_none_or(|a| a.port() == 0) && table::was_left(&client, fd, cookie) {
        local = None;
    }
    if let Some(os) = local.filter(|a| a.port() != 0).and_then(|_| table::arrived_at(&client, fd, cookie, to))
    {
        let target = Target { cookie, port: to.port, address: Address::of_os(os, family) };
        return Ok(Plan::Connect(Connect { target, expects: Expects::Connected }));
    }
    let socket = Socket { client: &client, fd, family, asked, cookie, local };
    if decider == Decider::Table
        && let Some(dial) = table::begin(attempt, &socket, to)?
    {
        return Ok(Plan::Table(dial));
    }
    by_lonetd(attempt, &socket, to, decider)
}

/// Whether a socket dials the port that bind to port 0 has given it, and that its program cannot know: it wants another socket,
/// which has gone and left the port as the first free one. It would be connected to itself; on a machine, where the kernel
/// chooses among thousands of ports, it is refused.
fn is_at_unawares(fd: c_int, to: Endpoint) -> bool {
    let is_untold = |at: Endpoint| at.port == to.port && given::is_untold(at);
    !given::is_empty() && name::named(fd).local.is_some_and(is_untold)
}

/// A socket that dials.
pub struct Socket<'c> {
    pub client: &'c Client,
    pub fd: c_int,
    pub family: c_int,
    /// What the program has asked of it.
    pub asked: Asked,
    pub cookie: u64,
    /// Where it is for the kernel, if it is bound: the port may be 0.
    pub local: Option<SocketAddrV4>,
}

/// connect(2) with AF_UNSPEC.
fn disconnect(fd: c_int) -> Result<Plan, Failed> {
    if kernel::tcp_family(fd).is_none() {
        return Ok(Plan::Libc(Bypass::NoAddress));
    }
    // Not by its mark: a copy, and what came by exec or in a message, has none.
    let local = kernel::local(fd).and_then(|a| a.os());
    let is_there = local.is_some_and(|os| process::may_be_ours(os.ip().to_ipv6_mapped()));
    if !is_there && !marks::get(fd) {
        return Ok(Plan::Libc(Bypass::OtherSocket));
    }
    let local = local.unwrap_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
    let cookie = kernel::cookie(fd)?;
    if let Some(parts) = actor::mapped() {
        // First: as soon as it is done the addresses may be another's.
        shutting_down(parts, cookie);
    }
    Ok(Plan::Disconnect(Disconnect { cookie, local }))
}

/// Asks lonetd where a dial leads, and binds the socket to its host's address.
fn by_lonetd(
    attempt: &mut Attempt,
    socket: &Socket<'_>,
    to: Endpoint,
    decider: Decider,
) -> Result<Plan, Failed> {
    let &Socket { client, fd, family, asked, cookie, local } = socket;
    let start = if process::is_certain(to.ip) { Start::Yes } else { Start::No };
    attempt.limit = attempt.limit.or_of_lonetd(TIME_LIMIT);
    let limit = attempt.limit;
    let unaware = local.is_some() && is_at_unawares(fd, to);
    let dial = |acts| ask_of(limit, client, &Op::Dial { cookie, to, local, asked, acts, unaware }, start);
    let mut reply = match dial(decider == Decider::Table && table::decides(client, asked, local)) {
        Err(failed) if matches!(failed.errno, Errno::EMFILE | Errno::ENFILE) => {
            return table::begin_when_entered(attempt, socket, to)?.map(Plan::Table).ok_or(failed);
        }
        reply => reply?,
    };
    if reply == Reply::DialByTable {
        if let Some(dial) = table::begin(attempt, socket, to)? {
            return Ok(Plan::Table(dial));
        }
        reply = dial(false)?;
    }
    let (os, from, foreign) = match reply {
        Reply::Native => return Ok(Plan::Libc(Bypass::LeftByLonetd)),
        Reply::ConnectTo { to, from } => (to, from, false),
        Reply::DialForeign { to, from } => (to, from, true),
        _ => return Err(Errno::ENETDOWN.into()),
    };
    let refused = process::block().is_some_and(|b| *os.ip() == b.stack());
    set_out(&sandbox::Socket { client, limit, fd, cookie }, (family, asked), from, to.port)?;
    valve::before_connect(client, fd, cookie, Some(to));
    let target = Target { cookie, port: to.port, address: Address::of_os(os, family) };
    if refused && !foreign {
        // A socket for IPv6 alone cannot be connected to where connections are refused.
        if asked.v6only {
            set_v6only(fd, false);
        }
        return Ok(Plan::Connect(Connect { target, expects: Expects::Refusal { was_v6only: asked.v6only } }));
    }
    if local.is_some() {
        port_is_used(fd);
    }
    if foreign {
        return Ok(Plan::Foreign(target));
    }
    let to_itself = local == Some(os);
    let expects = if to_itself { Expects::ItsOwnListener } else { Expects::Listener { os } };
    Ok(Plan::Connect(Connect { target, expects }))
}
