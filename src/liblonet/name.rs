//! The lonet addresses of a socket.
//!
//! The table has the addresses of a connection's ends by the socket's cookie. lonetd is asked only where the
//! table has no entry.

use crate::address::Address;
use crate::ask::{self, Start, ask_unless_silent};
use crate::{kernel, process};
use libc::c_int;
use lonet_core::block::Endpoint;
use lonet_core::control::{Op, Reply};
use lonet_core::limit::Limit;
use lonet_sockets::name::{Named, Settings, named as named_in};
use std::net::SocketAddrV4;

/// The lonet addresses of a socket that is bound in a network's block; empty if unknown. `limit`: that of the program's call.
pub fn named(fd: c_int, limit: &mut Limit) -> Named {
    kernel::local(fd).map_or_else(Named::default, |local| named_at(fd, &local, limit))
}

/// The lonet address of a socket's peer.
pub fn peer(fd: c_int) -> Option<Endpoint> {
    let local = kernel::local(fd)?;
    named_by(fd, &local, &kernel::remote(fd)?, &mut ask::unbegun()).peer
}

/// As [`named`], for a socket at `local` whose network that address may not tell: its program may have bound
/// it to another loopback address. Then the address of its peer tells.
pub fn named_by(fd: c_int, local: &Address, remote: &Address, limit: &mut Limit) -> Named {
    let is_ours = |a: &Address| a.os().filter(|os| process::client_at(*os.ip()).is_some());
    match (is_ours(local), is_ours(remote)) {
        (None, Some(at)) => named_of(fd, local, at, limit),
        _ => named_at(fd, local, limit),
    }
}

/// As [`named`], for a socket at `local`.
pub fn named_at(fd: c_int, local: &Address, limit: &mut Limit) -> Named {
    local.os().map_or_else(Named::default, |at| named_of(fd, local, at, limit))
}

/// As [`named_at`]. `at`: an address of the network to ask.
fn named_of(fd: c_int, local: &Address, at: SocketAddrV4, limit: &mut Limit) -> Named {
    let Some(local) = local.os() else { return Named::default() };
    let ip = at.ip().to_ipv6_mapped();
    let Some(client) = process::client_at(*at.ip()) else { return Named::default() };
    let Ok(cookie) = kernel::cookie(fd) else { return Named::default() };
    let parts = process::table(&client).and_then(|table| Some(table.parts(table.block()?)));
    if let Some(named) = parts.and_then(|parts| named_in(parts, cookie)) {
        return named;
    }
    if kernel::tcp_family(fd).is_none() {
        return Named::default();
    }
    let remote = kernel::remote(fd).and_then(|a| a.os());
    let start = if process::is_certain(ip) { Start::Yes } else { Start::No };
    match ask_unless_silent(limit, &client, &Op::Name { cookie, local, remote }, start) {
        Ok(Reply::Named { local, peer, reuse_address, v6only }) => {
            let settings = local.map(|_| Settings { reuse_address, v6only });
            Named { local, peer, settings }
        }
        _ => Named::default(),
    }
}
