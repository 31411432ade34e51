//! Batches of queries about unconnected sockets, which share lists that the kernel makes once.
//!
//! A list costs the kernel about half a microsecond for each socket in it, however few of them are asked about. So the first
//! queries of a batch look for a listener by itself, and the list is made for those behind them: a search for a free port on a
//! host without supervised programs asks about a few ports alone, however many are listened on.

use super::{Cookie, Live, State};
use lonet_core::diag::{Diag, NOBODY};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};

/// How many listeners of a batch are looked up one by one.
const MAX_LOOKED_UP: u32 = 8;

/// How queries about unconnected sockets are answered. To find one that is bound and idle the kernel walks
/// all ports of the machine.
pub(super) enum Unconnected {
    OneByOne,
    /// A batch: those within this net are listed when a list is first needed, those that listen before the others.
    Batch {
        net: (Ipv4Addr, u8),
        looked_up: u32,
        listening: Option<BTreeSet<Cookie>>,
        bound: Option<BTreeSet<Cookie>>,
        /// Where the kernel does not list bound sockets: the addresses of all that it lists.
        listed: Option<BTreeSet<SocketAddrV4>>,
    },
}

impl Unconnected {
    pub(super) fn of(net: Option<(Ipv4Addr, u8)>) -> Unconnected {
        let batch =
            |net| Unconnected::Batch { net, looked_up: 0, listening: None, bound: None, listed: None };
        net.map_or(Unconnected::OneByOne, batch)
    }
}

pub(super) fn is_within(ip: Ipv4Addr, (net, length): (Ipv4Addr, u8)) -> bool {
    let prefix = |ip: Ipv4Addr| u32::from(ip) >> (32 - u32::from(length));
    prefix(ip) == prefix(net)
}

impl Live {
    /// Whether a batch has no list of listeners yet, and a look-up finds this one. `false` proves nothing: of a SO_REUSEPORT
    /// group a look-up finds one member alone.
    pub(super) fn is_found_listening(&mut self, cookie: Cookie, os: SocketAddrV4) -> bool {
        let Unconnected::Batch { looked_up, listening: None, .. } = &mut self.unconnected else {
            return false;
        };
        *looked_up += 1;
        let looks = *looked_up <= MAX_LOOKED_UP;
        let found = |diag: &Diag| matches!(diag.lookup_cookie(os, NOBODY, cookie), Ok(Some(_)));
        looks && self.diag.as_ref().is_some_and(found)
    }

    /// Whether a socket is in the list of those of the batch that are in `state`. `None`: there is no batch,
    /// it is of other addresses, or there is no list.
    pub(super) fn is_in_batch(&mut self, state: State, (cookie, ip): (Cookie, Ipv4Addr)) -> Option<bool> {
        let Unconnected::Batch { net, listening, bound, .. } = &self.unconnected else { return None };
        if !is_within(ip, *net) {
            return None;
        }
        let list = if state == State::LISTEN { listening } else { bound };
        if let Some(list) = list {
            return Some(list.contains(&cookie));
        }
        let mut all = BTreeSet::new();
        let dumped = self.diag.as_ref()?.dump(state.bit(), Some(*net), &mut |f| {
            if f.inode != 0 {
                all.insert(f.cookie);
            }
        });
        if dumped.is_err() || !self.is_reliable() {
            return None;
        }
        let is_there = all.contains(&cookie);
        if let Unconnected::Batch { listening, bound, .. } = &mut self.unconnected {
            *(if state == State::LISTEN { listening } else { bound }) = Some(all);
        }
        Some(is_there)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::state::{Kernel, UnconnectedState};
    use super::*;
    use lonet_core::sys;
    use std::net::{SocketAddr, TcpListener};
    use std::os::fd::AsRawFd;

    #[test]
    fn few_listeners_are_looked_up_without_a_list() {
        let listener = || TcpListener::bind("127.0.0.1:0").expect("a listener");
        let os = |listener: &TcpListener| match listener.local_addr() {
            Ok(SocketAddr::V4(os)) => os,
            other => unreachable!("{other:?}"),
        };
        let control = listener();
        let mut live = Live::new(os(&control), true);
        live.batch(Some((Ipv4Addr::LOCALHOST, 32)));
        let has_list =
            |live: &Live| matches!(live.unconnected, Unconnected::Batch { listening: Some(_), .. });
        for number in 0..=2 * MAX_LOOKED_UP {
            let other = listener();
            let cookie = sys::cookie(other.as_raw_fd()).expect("a cookie");
            assert_eq!(live.unconnected(cookie, os(&other)), Some(UnconnectedState::Listening));
            assert_eq!(has_list(&live), number >= MAX_LOOKED_UP, "{number}");
        }
    }
}
