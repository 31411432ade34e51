//! What a socket is called, and what its program asked of it, as far as the table tells.

use lonet_core::block::Endpoint;
use lonet_core::table::Parts;
use lonet_core::table::entry::TOMBSTONE;
use lonet_core::table::state::Phase;
use std::sync::atomic::AtomicU64;

/// What lonet calls a socket, and what its program set.
#[derive(Clone, Copy, Default)]
pub struct Named {
    pub local: Option<Endpoint>,
    pub peer: Option<Endpoint>,
    pub settings: Option<Settings>,
}

/// What the program set that lonet has set otherwise.
#[derive(Clone, Copy)]
pub struct Settings {
    pub reuse_address: bool,
    pub v6only: bool,
}

/// `None`: the table does not tell; lonetd does.
pub fn named(parts: Parts<'_, AtomicU64>, cookie: u64) -> Option<Named> {
    let found = parts.find(cookie)?;
    let entry = found.entry;
    let settings = Settings { reuse_address: entry.asked.reuse_address, v6only: entry.asked.v6only };
    // What its program had bound it to is all that is left when the connection has gone.
    let is_bound_again = found.state.phase == Phase::Kept && entry.role == TOMBSTONE;
    let spoke = entry.call.map(|c| c.local);
    Some(Named {
        local: if is_bound_again { entry.at.or(spoke) } else { spoke.or(entry.at) },
        peer: entry.call.map(|c| c.peer),
        settings: Some(settings),
    })
}
