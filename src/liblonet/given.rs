//! Which ports bind to port 0 has given to this process in vain.
//!
//! Programs look for a free port by binding port 0, and close the socket and bind the port's number when they need it. They
//! ask again until they are told a port that they have not been told before: one that is first free again and again would be
//! no answer. So a port that was given so and closed again is passed over, unless its socket has listened or connected:
//! then something came of it, and it may be the first free one again.
//!
//! Some look for a port by listening on it. One on which this process has listened [`LISTENS`] times and nobody has
//! called is passed over as well, so that they come to an end.
//!
//! What is kept here depends on the process' own calls alone. It holds no port: lonetd says which are free, and where it
//! knows of no other one it gives these from the first on. A child of fork has a copy, what is executed begins anew, and
//! for a host of the C API nothing is kept. Atomic words: bind is called in signal handlers, too.

use crate::process;
use lonet_core::block::{Endpoint, Place};
use lonet_core::control::Collected;
use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicU32, Ordering};

const PORTS: usize = 1 << 16;

/// For each port `host << 16 | IDLE | listens`; 0: nothing. A process that is no host may bind ports of several: the last one
/// that has given it this port.
static GIVEN: [AtomicU32; PORTS] = [const { AtomicU32::new(0) }; PORTS];

/// It has been given, and its socket has neither listened nor connected.
const IDLE: u32 = 1 << 15;

/// So often a port may be listened on in vain. A server that is begun anew in each of many tests has its port.
const LISTENS: u32 = 100;

/// How many words are not 0: most processes never come past this one.
static KEPT: AtomicU32 = AtomicU32::new(0);

/// The highest port whose word is not 0, or was.
static HIGHEST: AtomicU32 = AtomicU32::new(0);

pub fn is_empty() -> bool {
    KEPT.load(Ordering::Relaxed) == 0
}

/// The host that an address is of, as `GIVEN` has it; 0: the one that this process is.
fn host(ip: Ipv6Addr) -> u32 {
    match process::block().map(|block| block.place(ip)) {
        Some(Place::Host(index, _)) if !process::is_host() => u32::from(index),
        _ => 0,
    }
}

fn is_vain(word: u32, host: u32) -> bool {
    word != 0 && word >> 16 == host && (word & IDLE != 0 || word & (IDLE - 1) >= LISTENS)
}

/// The ports of the host of `ip` that are to be passed over.
pub fn in_vain(ip: Ipv6Addr) -> Collected {
    let mut all = Collected::nothing();
    if !is_empty() {
        let host = host(ip);
        let known = GIVEN.iter().take(HIGHEST.load(Ordering::Relaxed) as usize + 1);
        for (port, _) in (0..=u16::MAX).zip(known).filter(|(_, w)| is_vain(w.load(Ordering::Relaxed), host)) {
            all.add(port);
        }
    }
    all
}

/// Changes the word of an address if it is this host's, or has none.
fn change(at: Endpoint, to: impl Fn(u32) -> u32) {
    let host = host(at.ip) << 16;
    let Some(word) = GIVEN.get(usize::from(at.port)) else { return };
    let is = |word: u32| if word & !0xffff == host { word & 0xffff } else { 0 };
    let put = |word: u32| match to(is(word)) {
        0 if is(word) == 0 => None,
        0 => Some(0),
        low => Some(host | low),
    };
    if let Ok(before) = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, put) {
        match (before != 0, put(before) != Some(0)) {
            (false, true) => _ = KEPT.fetch_add(1, Ordering::Relaxed),
            (true, false) => _ = KEPT.fetch_sub(1, Ordering::Relaxed),
            _ => {}
        }
    }
}

/// bind to port 0 has given it to a socket.
pub fn gave(at: Endpoint) {
    HIGHEST.fetch_max(u32::from(at.port), Ordering::Relaxed);
    change(at, |word| word | IDLE);
}

/// A socket there listens.
pub fn listens(at: Endpoint) {
    change(at, |word| if word & IDLE != 0 { ((word & !IDLE) + 1).min(LISTENS) } else { word });
}

/// A socket there has connected, or has accepted a connection.
pub fn is_used(at: Endpoint) {
    if !is_empty() {
        change(at, |_| 0);
    }
}
