//! The table's file, and whether the one that the previous lonetd has left is still valid.
//!
//! Cookies and addresses are valid in one boot and one network namespace only. A table of another boot,
//! namespace or layout is left to the processes that have it mapped, and a new one takes its place.

use super::state::{Pid, Tables};
use lonet_core::block::Block;
use lonet_core::directory::Directory;
use lonet_core::table::word::Word;
use lonet_core::table::{Mapping, Table, layout};
use std::ffi::CStr;
use std::io;

/// The file's name in the network's directory.
pub const FILE: &CStr = c"table";

pub struct Store {
    table: Table<'static>,
    netns: u64,
}

/// The table of a previous lonetd of this network.
pub struct Previous {
    pub block: Block,
    /// Its sockets and processes are of this boot and network namespace.
    pub is_here: bool,
}

impl Tables for &'static Store {
    fn table(&self) -> Table<'_> {
        self.table
    }
}

impl Store {
    /// Maps the network's table, or makes one. If no file can be made, the table is in lonetd's own memory:
    /// programs ask lonetd for everything, and the next lonetd restores nothing.
    pub fn open(directory: &Directory, netns: u64) -> io::Result<(Store, Option<Previous>)> {
        let former = map(directory, 0).filter(Mapping::is_ready);
        let previous = former.as_ref().and_then(|m| {
            let is_here = saved_identity(m.table()) == identity(netns);
            if !is_here {
                tracing::warn!("the saved state is of another boot or network namespace: it is left aside");
            }
            Some(Previous { block: m.table().block()?, is_here })
        });
        let mapping = match former.filter(|_| previous.as_ref().is_some_and(|l| l.is_here)) {
            Some(mapping) => mapping,
            None => {
                let _ = directory.remove(FILE);
                map(directory, libc::O_CREAT | libc::O_EXCL).map_or_else(
                    || {
                        // An incomplete file would only fill the disk.
                        let _ = directory.remove(FILE);
                        tracing::error!(
                            "no table can be made, programs have to ask for everything: {}",
                            io::Error::last_os_error()
                        );
                        Mapping::private()
                    },
                    Ok,
                )?
            }
        };
        Ok((Store { table: mapping.keep(), netns }, previous))
    }

    pub fn table(&self) -> Table<'static> {
        self.table
    }

    /// Makes this process the one that serves the network from this table.
    ///
    /// `sources`: the range from which the kernel takes source ports.
    pub fn begin(&self, block: Block, sources: (u16, u16)) {
        let header = self.table.header();
        let [boot_0, boot_1, netns] = identity(self.netns);
        header.boot[0].set(boot_0);
        header.boot[1].set(boot_1);
        header.netns.set(netns);
        header.block.set(u64::from(block.number()));
        header.lonetd.set(u64::from(std::process::id()));
        let (low, high) = sources;
        header.sources.set(u64::from(low) << 16 | u64::from(high));
        // The listeners are written again, like the records that they refer to.
        self.table.parts(block).listeners.clear();
        self.table.bump_names_generation();
        header.magic.set(layout::MAGIC);
    }
}

/// `make`: the flags with which open(2) makes a new file; 0: opens an existing one.
fn map(directory: &Directory, make: i32) -> Option<Mapping> {
    let file = directory.open(FILE, libc::O_RDWR | make).ok()?;
    if make == 0 { Mapping::open(file.raw()) } else { Mapping::create(file.raw()) }.ok()
}

fn saved_identity(table: Table<'_>) -> [u64; 3] {
    let header = table.header();
    [header.boot[0].get(), header.boot[1].get(), header.netns.get()]
}

fn identity(netns: u64) -> [u64; 3] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let half = |range| digits.get(range).and_then(|d| u64::from_str_radix(d, 16).ok()).unwrap_or_default();
    [half(0..16), half(16..32), netns]
}

/// The living processes of a network whose previous lonetd served it in another network namespace.
pub fn processes_elsewhere(directory: &Directory, netns: u64) -> Option<Vec<Pid>> {
    let mapping = map(directory, 0).filter(Mapping::is_ready)?;
    let [boot_0, boot_1, theirs] = saved_identity(mapping.table());
    let is_elsewhere = [boot_0, boot_1] == identity(netns)[..2] && theirs != netns;
    let lives = |pid: &Pid, began| super::process::began(*pid) == Some(began);
    let members = mapping.table().saved_members().into_iter();
    is_elsewhere.then(|| members.filter(|m| lives(&m.pid, m.began)).map(|m| m.pid).collect())
}
