//! The ports that this process has got by autobind (bind to port 0) and has not used.
//!
//! Programs find a free port by binding port 0; they close the socket and bind the port by number when they
//! need it. Some repeat this until they get a port that they have not got before, and would loop if it was
//! the lowest free one again and again. So a port that was chosen this way and closed again is skipped, unless
//! its socket has listened or connected: then the port was used, and may be the lowest free one again.
//!
//! Some find a port by listening on it. One on which this process has listened [`LISTENS`] times without a
//! connection is skipped as well, so that they come to an end.
//!
//! This record depends only on the process's own calls. It holds no port: lonetd knows which are free, and
//! where no other one is free it gives these again, from the lowest on. A child of fork has a copy, exec starts
//! anew, and hosts of the C API have no such record. It consists of atomic words, as bind is also called in
//! signal handlers.

use crate::process;
use lonet_core::block::{Endpoint, Place};
use lonet_core::control::Collected;
use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicU32, Ordering};

const PORTS: usize = 1 << 16;

/// For each port `host << 16 | IDLE | TOLD | listens`; 0: no entry. A process that is no host may bind ports of
/// several hosts: the last one on which it got this port.
static AUTOBOUND: [AtomicU32; PORTS] = [const { AtomicU32::new(0) }; PORTS];

/// The port comes from autobind, and its socket has neither listened nor connected.
const IDLE: u32 = 1 << 15;

/// The program has asked for the name of a socket at the port since autobind chose it, or has bound one there by number.
const TOLD: u32 = 1 << 14;

/// How often a port may be listened on without a connection. High enough that a server that is restarted in
/// each of many tests keeps its port.
const LISTENS: u32 = 100;

/// The number of entries that are not 0; in most processes it is 0, and nothing else is looked at.
static ENTRIES: AtomicU32 = AtomicU32::new(0);

/// The highest port whose entry is or was not 0.
static HIGHEST: AtomicU32 = AtomicU32::new(0);

pub fn is_empty() -> bool {
    ENTRIES.load(Ordering::Relaxed) == 0
}

/// The host of an address, as `AUTOBOUND` stores it; 0: the process's own.
fn host(ip: Ipv6Addr) -> u32 {
    match process::block().map(|block| block.place(ip)) {
        Some(Place::Host(index, _)) if !process::is_host() => u32::from(index),
        _ => 0,
    }
}

fn is_unused(word: u32, host: u32) -> bool {
    word != 0 && word >> 16 == host && (word & IDLE != 0 || word & (TOLD - 1) >= LISTENS)
}

/// The ports to skip on the host of `ip`.
pub fn to_skip(ip: Ipv6Addr) -> Collected {
    let mut all = Collected::nothing();
    if !is_empty() {
        let host = host(ip);
        let known = AUTOBOUND.iter().take(HIGHEST.load(Ordering::Relaxed) as usize + 1);
        for (port, _) in (0..=u16::MAX).zip(known).filter(|(_, w)| is_unused(w.load(Ordering::Relaxed), host))
        {
            all.add(port);
        }
    }
    all
}

/// Changes the entry of an address's port if it is of the same host, or empty.
fn change(at: Endpoint, to: impl Fn(u32) -> u32) {
    let host = host(at.ip) << 16;
    let Some(word) = AUTOBOUND.get(usize::from(at.port)) else { return };
    let is = |word: u32| if word & !0xffff == host { word & 0xffff } else { 0 };
    let put = |word: u32| match to(is(word)) {
        0 if is(word) == 0 => None,
        0 => Some(0),
        low => Some(host | low),
    };
    if let Ok(before) = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, put) {
        match (before != 0, put(before) != Some(0)) {
            (false, true) => _ = ENTRIES.fetch_add(1, Ordering::Relaxed),
            (true, false) => _ = ENTRIES.fetch_sub(1, Ordering::Relaxed),
            _ => {}
        }
    }
}

/// Records that autobind has chosen this port.
pub fn record_autobind(at: Endpoint) {
    HIGHEST.fetch_max(u32::from(at.port), Ordering::Relaxed);
    change(at, |word| word & !TOLD | IDLE);
}

/// Records that the program knows this port: it has asked for the name of a socket, or has bound one there by number.
pub fn record_told(at: Endpoint) {
    if !is_empty() {
        change(at, |word| if word & IDLE != 0 { word | TOLD } else { word });
    }
}

/// Whether autobind has chosen this port, and the program cannot know it.
pub fn is_untold(at: Endpoint) -> bool {
    let word = AUTOBOUND.get(usize::from(at.port)).map_or(0, |word| word.load(Ordering::Relaxed));
    word >> 16 == host(at.ip) && word & (IDLE | TOLD) == IDLE
}

/// Records that a socket at this port listens.
pub fn record_listen(at: Endpoint) {
    change(at, |word| if word & IDLE != 0 { ((word & !(IDLE | TOLD)) + 1).min(LISTENS) } else { word });
}

/// Records that a socket at this port has connected or accepted a connection.
pub fn record_use(at: Endpoint) {
    if !is_empty() {
        change(at, |_| 0);
    }
}
