//! The mapping of the table of the environment's network, which passes to the children of a fork.

use lonet_core::client::Client;
use lonet_core::table::word::Word;
use lonet_core::table::{Parts, Table};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The address of the table's mapping; 0: not mapped.
static TABLE: AtomicUsize = AtomicUsize::new(0);

/// Maps the network's table, if lonetd provides it.
pub fn map(client: &Client) {
    let is = TABLE.load(Ordering::Acquire);
    // SAFETY: a mapping that is never given back.
    if is != 0 && !has_ended(unsafe { Table::at(is) }) {
        return;
    }
    if let Some(mapping) = client.map_table() {
        let address = mapping.table().address();
        if TABLE.compare_exchange(is, address, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            // SAFETY: the mapping is never unmapped.
            unsafe { client.look_at(mapping.keep()) };
        }
    }
}

/// Whether the network has ended; a new one of the same name has another table.
pub fn has_ended(table: Table<'_>) -> bool {
    table.header().service.get() as u32 == 0
}

/// The table of the environment's network, if the process maps it.
pub fn table() -> Option<Table<'static>> {
    let address = TABLE.load(Ordering::Acquire);
    // SAFETY: a mapping that is never given back.
    (address != 0).then(|| unsafe { Table::at(address) })
}

/// The parts of that table.
pub fn parts() -> Option<Parts<'static, AtomicU64>> {
    let table = table()?;
    Some(table.parts(table.block()?))
}
