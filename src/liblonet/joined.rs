//! The networks that the process has joined by the C API, and the hosts that it is there.

use crate::handle::{Table, Used};
use crate::key_map::KeyMap;
use lonet_core::block::Block;
use lonet_core::client::Client;
use lonet_core::table::Mapping;
use std::ffi::CString;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A network that the process has joined.
pub struct Net {
    /// The client, without a host.
    pub client: Client,
    /// The full name: `lonetmynet`.
    pub full_name: CString,
    pub block: Block,
    /// The table that this client and those of its hosts read.
    pub table: Option<Arc<Mapping>>,
    /// The mapping by which lonetd recognises the children of a fork as members.
    pub _key: Option<KeyMap>,
}

pub static NETS: Table<Net, 1, 256> = Table::new();

/// A bitmap of the blocks of networks that the process has left, whose sockets belong to no network any more.
static LEFT: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

/// The network that `ip` belongs to, if the process has joined it.
pub fn network_at(ip: Ipv4Addr) -> Option<Used<Net>> {
    NETS.all().find(|net| net.block.contains(ip))
}

/// Whether `ip` belongs to a network that the process has left.
pub fn is_left(ip: Ipv4Addr) -> bool {
    let n = usize::from(ip.octets()[1]);
    network_at(ip).is_none() && LEFT[n / 64].load(Ordering::Acquire) >> (n % 64) & 1 == 1
}

/// Marks the network of this block as one that the process has left.
pub fn mark_left(block: Block) {
    let n = usize::from(block.number());
    LEFT[n / 64].fetch_or(1 << (n % 64), Ordering::AcqRel);
}

/// A host that the process is.
pub struct Host {
    pub client: Client,
    pub block: Block,
    /// The handle of its network.
    pub net: u64,
    pub c_name: CString,
    /// The OS address of its sockets.
    pub ip: Ipv4Addr,
    /// The table that its client reads.
    pub _table: Option<Arc<Mapping>>,
}

impl Host {
    /// The name as it was given.
    pub fn name(&self) -> &str {
        self.client.config.host.as_deref().unwrap_or_default()
    }

    pub fn network(&self) -> &str {
        &self.client.config.network
    }

    /// Whether both are the same host of the same network.
    pub fn is_also(&self, other: &Host) -> bool {
        self.ip == other.ip && self.client.config.dir == other.client.config.dir
    }
}

pub static HOSTS: Table<Host, 2, 16384> = Table::new();
