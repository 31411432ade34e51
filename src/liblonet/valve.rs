//! Faults on this process's sockets (`lonet_core::valve`): applied to dials that lonetd has decided about,
//! and hidden from programs in the two socket options that implement them.

use crate::{host, kernel, process};
use lonet_core::block::{Block, Endpoint, Face, Place};
use lonet_core::client::Client;
use lonet_core::limit::Limit;
use lonet_core::table::Table;
use lonet_core::table::word::Word;
use lonet_core::valve::{self, Hops};
use nix::errno::Errno;

/// Applies the rules for faults to a socket that is about to be connected. `to`: the address that the program
/// dials, if it dials by address. `limit`: that of its call.
pub fn before_connect(client: &Client, fd: i32, cookie: u64, to: Option<Endpoint>, limit: &mut Limit) {
    let Some(table) = process::table(client).filter(|table| table.faults() != 0) else { return };
    let Some(block) = table.block() else { return };
    // A dial that is refused has no record.
    let refused = || Some((own_index(block, limit)?, index(block, to?)?));
    if let Some(ends) = recorded(table, block, cookie).or_else(refused) {
        valve::apply_rules_at_dial(table, fd, cookie, ends);
    }
}

fn recorded(table: Table<'_>, block: Block, cookie: u64) -> Option<(u16, u16)> {
    let entry = table.parts(block).find(cookie)?.entry;
    Some((entry.host, entry.call?.peer_host))
}

fn own_index(block: Block, limit: &mut Limit) -> Option<u16> {
    let own = host::own(limit)?.ok()?.address(Face::V4);
    index(block, Endpoint::new(own, 0))
}

fn index(block: Block, at: Endpoint) -> Option<u16> {
    if let Place::Host(index, _) = block.place(at.ip) { Some(index) } else { None }
}

/// The network's table, if this is a TCP socket at an address of the network.
fn table_of_socket(fd: i32) -> Option<Table<'static>> {
    let local = kernel::local(fd)?.os()?;
    let client = process::client_at(*local.ip())?;
    let table = process::table(&client)?;
    let is_there = table.header().block.get() == u64::from(local.ip().octets()[1]);
    (is_there && kernel::tcp_family(fd).is_some()).then_some(table)
}

/// The IP_TTL and IP_MINTTL that the program has set on a lonet socket.
pub fn program_hops(fd: i32) -> Option<Hops> {
    let table = table_of_socket(fd)?;
    valve::hops(table, fd, kernel::cookie(fd).ok()?).ok()
}

/// Changes the values that the program has set. `None`: not a lonet socket, or its values cannot be read.
pub fn set_hops(fd: i32, change: impl FnOnce(&mut Hops)) -> Option<Result<(), Errno>> {
    let table = table_of_socket(fd)?;
    let cookie = kernel::cookie(fd).ok()?;
    let mut hops = valve::hops(table, fd, cookie).ok()?;
    change(&mut hops);
    if !table.set_hops(cookie, hops) {
        return Some(Err(Errno::ENOBUFS));
    }
    let ends = table.block().and_then(|block| recorded(table, block, cookie)).unwrap_or_default();
    let dials = kernel::is_dialing(fd);
    Some(valve::enforce(table, fd, cookie, ends, dials))
}
