//! The networks and hosts behind the handles that a program passes.

use super::error::{Error, Reported, Result};
use crate::handle::{Stale, Used};
use crate::joined::{HOSTS, Host, NETS, Net};

/// The network of a handle.
pub fn net(handle: *const LonetNet, what: &str) -> Result<Used<Net>> {
    NETS.get(handle.addr() as u64).map_err(|stale| refuse_net(stale, what))
}

pub fn refuse_net(stale: Stale, what: &str) -> Reported {
    match stale {
        Stale::NoHandle => Error::Invalid.because(what, "not a network's handle"),
        Stale::Closed | Stale::ClosedWithNetwork => Error::NetworkDown.because(what, "the network was left"),
    }
}

/// An opaque type, never dereferenced.
#[repr(C)]
pub struct LonetNet {
    _opaque: [u8; 0],
}

/// An opaque type, never dereferenced.
#[repr(C)]
pub struct LonetHost {
    _opaque: [u8; 0],
}

/// The host of a handle.
pub fn host(handle: *const LonetHost, what: &str) -> Result<Used<Host>> {
    HOSTS.get(handle.addr() as u64).map_err(|stale| refuse_host(stale, what))
}

pub fn refuse_host(stale: Stale, what: &str) -> Reported {
    let why = match stale {
        Stale::NoHandle => "not a host's handle",
        Stale::Closed => "the host was closed",
        Stale::ClosedWithNetwork => "the host's network was left",
    };
    Error::from(stale).because(what, why)
}
