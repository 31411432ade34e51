//! The names and requested options of a socket, by the table.

use lonet_core::block::Endpoint;
use lonet_core::table::Parts;
use lonet_core::table::entry::TOMBSTONE;
use lonet_core::table::state::Phase;
use std::sync::atomic::AtomicU64;

/// The addresses of a socket that its program sees, and options that it has set.
#[derive(Clone, Copy, Default)]
pub struct Named {
    pub local: Option<Endpoint>,
    pub peer: Option<Endpoint>,
    pub settings: Option<Settings>,
}

/// The program's values of options that lonet overrides in the kernel.
#[derive(Clone, Copy)]
pub struct Settings {
    pub reuse_address: bool,
    pub v6only: bool,
}

/// Looks a socket up in the table. `None`: it is not there, and lonetd has to be asked.
pub fn named(parts: Parts<'_, AtomicU64>, cookie: u64) -> Option<Named> {
    let found = parts.find(cookie)?;
    let entry = found.entry;
    let settings = Settings { reuse_address: entry.asked.reuse_address, v6only: entry.asked.v6only };
    // When the connection of a bound socket has gone, the address that its program bound it to remains.
    let is_bound_again = found.state.phase == Phase::Kept && entry.role == TOMBSTONE;
    let spoke = entry.call.map(|c| c.local);
    Some(Named {
        local: if is_bound_again { entry.at.or(spoke) } else { spoke.or(entry.at) },
        peer: entry.call.map(|c| c.peer),
        settings: Some(settings),
    })
}
