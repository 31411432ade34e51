//! Decides what a call of connect(2) does, by the address, the socket, and the table or lonetd.

use super::{Attempt, bind_for_dial, record_port_use, set_v6only, table};
use crate::address::Address;
use crate::ask::{Start, ask_of};
use crate::bypass::Bypass;
use crate::failure::Failure;
use crate::panic_barrier::{catch_panic, run_isolated};
use crate::{
    autobound, descriptor_hints, joined, kernel, log, memory, name, name_server, process, sandbox, table_map,
    valve,
};
use libc::c_int;
use lonet_core::block::Endpoint;
use lonet_core::client::{Client, TIME_LIMIT};
use lonet_core::control::{Asked, Op, Reply};
use lonet_core::limit::Limit;
use lonet_sockets::close::shutting_down;
use nix::errno::Errno;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The next step of the call.
#[allow(clippy::large_enum_variant, reason = "a hook allocates nothing")]
pub enum NextStep {
    /// libc's connect, with the program's arguments. It is logged already.
    Libc(Bypass),
    /// The call fails. It is logged already.
    Fail(Errno),
    /// libc's connect, which disconnects the socket.
    Disconnect(Disconnect),
    /// The socket is connected to lonetd in place of a name server (`dns`).
    NameServer(Address),
    /// A dial to a listener in the table, by this process alone.
    Table(table::Dial),
    /// The socket is connected, and lonetd is notified of the outcome.
    Connect(Connect),
    /// The socket is connected to a foreign peer, and lonetd shakes hands on it.
    Foreign(Target),
}

/// A socket that is to be disconnected.
pub struct Disconnect {
    pub cookie: u64,
    /// The socket's OS address.
    pub local: SocketAddrV4,
}

/// The destination of the kernel's connect.
pub struct Target {
    pub cookie: u64,
    /// The port that the program dials.
    pub port: u16,
    /// The OS address.
    pub address: Address,
}

/// A connect of whose outcome lonetd is notified.
pub struct Connect {
    pub target: Target,
    pub expects: Expects,
}

/// What accepts or refuses the connect.
pub enum Expects {
    /// A listener.
    Listener { os: SocketAddrV4 },
    /// The socket itself, which its program has bound to the address that it dials.
    SelfConnect,
    /// lonetd, which relays to a foreign peer.
    Relay {
        os: SocketAddrV4,
        /// The time that the peer had to answer, in milliseconds; 0: no limit.
        waited: u32,
        /// The errno for the program if the relay is connected: EINTR or EINPROGRESS; 0: success.
        late: i32,
    },
    /// A socket that does not listen. `was_v6only`: IPV6_V6ONLY is set again afterwards.
    Refusal { was_v6only: bool },
    /// The peer to which the socket is connected already.
    Connected,
}

/// What resolves the destination of a dial.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Decider {
    /// The table, and lonetd where that has no answer.
    Table,
    /// lonetd, as the table's answer was wrong.
    Lonetd,
}

/// Decides what the call does next.
///
/// # Safety
/// The attempt's address is as connect(2) takes it.
// A frame of its own: its part of a small stack is free again before the kernel's connect. With C's convention, as
// nothing unwinds out of it: the caller needs no clean-up, and can be cancelled.
#[inline(never)]
#[allow(improper_ctypes_definitions, reason = "its only caller is Rust")]
pub unsafe extern "C" fn decide(attempt: &mut Attempt, decider: Decider) -> NextStep {
    let mut decided = Err(Failure::panicked());
    // SAFETY: as the caller promises.
    let _ = catch_panic(|| decided = unsafe { choose(attempt, decider) });
    match decided {
        Ok(step) => {
            if let NextStep::Libc(why) = step {
                run_isolated(|| log::bypassed(attempt.call(), why));
            }
            Errno::set_raw(attempt.errno);
            step
        }
        Err(failed) => NextStep::Fail(attempt.failure(&failed)),
    }
}

/// # Safety
/// As for [`decide`].
unsafe fn choose(attempt: &mut Attempt, decider: Decider) -> Result<NextStep, Failure> {
    let Attempt { fd, address, len, .. } = *attempt;
    let is_unspecified = || memory::family(address, len) == Some(libc::AF_UNSPEC);
    if !process::is_active() {
        let may_be_of_api = joined::NETS.all().next().is_some() && is_unspecified();
        return if may_be_of_api { disconnect(fd) } else { Ok(NextStep::Libc(Bypass::Inactive)) };
    }
    let Some((to, family)) = memory::address(address, len) else {
        return if is_unspecified() { disconnect(fd) } else { Ok(NextStep::Libc(Bypass::NoAddress)) };
    };
    let mut instead = Address::empty();
    let sockets = name_server::Sockets::UdpAndTcp;
    // SAFETY: as the caller promises.
    if unsafe { name_server::redirect(fd, address, len, sockets, &raw mut instead, &mut attempt.limit) } {
        return Ok(NextStep::NameServer(instead));
    }
    if let Err(why) = process::concerns(to.ip) {
        return Ok(NextStep::Libc(why));
    }
    if kernel::tcp_family(fd) != Some(family) {
        return Ok(NextStep::Libc(Bypass::OtherSocket));
    }
    let asked = kernel::asked(fd, family);
    let cookie = kernel::cookie(fd)?;
    let here = kernel::local(fd);
    if here.as_ref().and_then(|a| a.endpoint()).is_some_and(|at| kernel::is_raw(fd, at.port)) {
        return Ok(NextStep::Libc(Bypass::OtherSocket));
    }
    let mut local = here.and_then(|a| a.os()).filter(|a| a.port() != 0 || !a.ip().is_unspecified());
    // lonetd would treat a listener as a bound socket that dials.
    if local.is_some_and(|a| a.port() != 0) && kernel::listens(fd) {
        return Err(Errno::EISCONN.into());
    }
    let client = process::client().ok_or(Errno::ENETDOWN)?;
    if local.is_none_or(|a| a.port() == 0) && table::roll_back_abandoned(attempt, &client, cookie) {
        local = None;
    }
    if let Some(os) =
        local.filter(|a| a.port() != 0).and_then(|_| table::connected_to(&client, fd, cookie, to))
    {
        let target = Target { cookie, port: to.port, address: Address::of_os(os, family) };
        return Ok(NextStep::Connect(Connect { target, expects: Expects::Connected }));
    }
    let socket = Socket { client: &client, fd, family, asked, cookie, local };
    if decider == Decider::Table
        && let Some(dial) = table::begin(attempt, &socket, to)?
    {
        return Ok(NextStep::Table(dial));
    }
    by_lonetd(attempt, &socket, to, decider)
}

/// Whether a socket dials the port that bind to port 0 has given it, and that its program cannot know: it wants another socket,
/// which has gone and left the port as the first free one. It would be connected to itself; on a machine, where the kernel
/// chooses among thousands of ports, it is refused.
fn is_at_unawares(fd: c_int, to: Endpoint, limit: &mut Limit) -> bool {
    let is_untold = |at: Endpoint| at.port == to.port && autobound::is_untold(at);
    !autobound::is_empty() && name::named(fd, limit).local.is_some_and(is_untold)
}

/// A socket that dials.
pub struct Socket<'c> {
    pub client: &'c Client,
    pub fd: c_int,
    pub family: c_int,
    /// Its requested options.
    pub asked: Asked,
    pub cookie: u64,
    /// Its OS address, if it is bound: the port may be 0.
    pub local: Option<SocketAddrV4>,
}

/// connect(2) with AF_UNSPEC.
fn disconnect(fd: c_int) -> Result<NextStep, Failure> {
    if kernel::tcp_family(fd).is_none() {
        return Ok(NextStep::Libc(Bypass::NoAddress));
    }
    // The hint alone does not tell: a duplicate, or a descriptor that came by exec or in a message, has none.
    let local = kernel::local(fd).and_then(|a| a.os());
    let is_there = local.is_some_and(|os| {
        process::may_be_ours(os.ip().to_ipv6_mapped()) || joined::network_at(*os.ip()).is_some()
    });
    if !is_there && !descriptor_hints::is_set(fd) {
        return Ok(NextStep::Libc(Bypass::OtherSocket));
    }
    let local = local.unwrap_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
    let cookie = kernel::cookie(fd)?;
    if let Some(parts) = table_map::parts() {
        // This comes first: after the disconnect another socket may get the addresses.
        shutting_down(parts, cookie);
    }
    Ok(NextStep::Disconnect(Disconnect { cookie, local }))
}

/// Asks lonetd for the destination of a dial, and binds the socket to its host's address.
fn by_lonetd(
    attempt: &mut Attempt,
    socket: &Socket<'_>,
    to: Endpoint,
    decider: Decider,
) -> Result<NextStep, Failure> {
    let &Socket { client, fd, family, asked, cookie, local } = socket;
    let start = if process::is_certain(to.ip) { Start::Yes } else { Start::No };
    let acts = decider == Decider::Table && table::decides(attempt, client, asked, local);
    let unaware = local.is_some() && is_at_unawares(fd, to, &mut attempt.limit);
    attempt.limit = attempt.limit.or_of_lonetd(TIME_LIMIT);
    let limit = attempt.limit;
    let dial = |acts| ask_of(limit, client, &Op::Dial { cookie, to, local, asked, acts, unaware }, start);
    let mut reply = match dial(acts) {
        Err(failed) if matches!(failed.errno, Errno::EMFILE | Errno::ENFILE) => {
            return table::begin_when_entered(attempt, socket, to)?.map(NextStep::Table).ok_or(failed);
        }
        reply => reply?,
    };
    if reply == Reply::DialByTable {
        if let Some(dial) = table::begin(attempt, socket, to)? {
            return Ok(NextStep::Table(dial));
        }
        reply = dial(false)?;
    }
    let (os, from, foreign) = match reply {
        Reply::Native => {
            let server = name_server::tcp_server(fd, to, family, &mut attempt.limit);
            return Ok(server.map_or(NextStep::Libc(Bypass::LeftByLonetd), NextStep::NameServer));
        }
        Reply::ConnectTo { to, from } => (to, from, false),
        Reply::DialForeign { to, from } => (to, from, true),
        _ => return Err(Errno::ENETDOWN.into()),
    };
    let refused = process::block().is_some_and(|b| *os.ip() == b.stack());
    bind_for_dial(&sandbox::Socket { client, limit, fd, cookie }, (family, asked), from, to.port)?;
    valve::before_connect(client, fd, cookie, Some(to), &mut attempt.limit);
    let target = Target { cookie, port: to.port, address: Address::of_os(os, family) };
    if refused && !foreign {
        // A socket for IPv6 alone cannot be connected to the refusing address, which is IPv4.
        if asked.v6only {
            set_v6only(fd, false);
        }
        return Ok(NextStep::Connect(Connect {
            target,
            expects: Expects::Refusal { was_v6only: asked.v6only },
        }));
    }
    if local.is_some() {
        record_port_use(fd, &mut attempt.limit);
    }
    if foreign {
        return Ok(NextStep::Foreign(target));
    }
    let is_self_connect = local == Some(os);
    let expects = if is_self_connect { Expects::SelfConnect } else { Expects::Listener { os } };
    Ok(NextStep::Connect(Connect { target, expects }))
}
