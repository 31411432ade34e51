//! The values of IP_TTL and IP_MINTTL that programs have set on sockets where the kernel has lonet's values
//! instead ([`crate::valve`]). Few programs set either.
//!
//! A process takes a cell by storing its socket's cookie, and writes the value afterwards; 0 is no value. If
//! it is killed in between the cell has no value until the socket ends and lonetd clears the cell.

use super::Table;
use super::word::{Word, update};
use crate::valve::Hops;
use std::sync::atomic::AtomicU64;

/// Number of sockets that there is room for.
pub const CELLS: usize = 1 << 11;

/// The values of one socket.
#[repr(C)]
pub struct HopsCell {
    cookie: AtomicU64,
    value: AtomicU64,
}

const IS: u64 = 1 << 63;
const HAS_TTL: u64 = 1 << 16;

fn pack(hops: Hops) -> u64 {
    IS | hops.ttl.map_or(0, |ttl| HAS_TTL | u64::from(ttl) << 8) | u64::from(hops.least)
}

fn unpack(word: u64) -> Option<Hops> {
    let ttl = (word & HAS_TTL != 0).then_some((word >> 8) as u8);
    (word & IS != 0).then_some(Hops { ttl, least: word as u8 })
}

impl<'a> Table<'a> {
    fn hops_used(self) -> impl Iterator<Item = &'a HopsCell> {
        let used = self.header().hops_used.get() as usize;
        self.layout.hops.iter().take(used)
    }

    /// The values that the program has set on this socket, if they are stored.
    pub fn hops(self, cookie: u64) -> Option<Hops> {
        self.hops_used().find(|p| p.cookie.get() == cookie).and_then(|p| unpack(p.value.get()))
    }

    /// Stores the values that the program has set on this socket. `false`: there is no room.
    pub fn set_hops(self, cookie: u64, hops: Hops) -> bool {
        let is_its = |p: &&HopsCell| p.cookie.get() == cookie;
        let place = self.hops_used().find(is_its).or_else(|| {
            let (index, place) = { self.layout.hops.iter().enumerate() }
                .find(|(_, p)| p.cookie.get() == 0 && p.cookie.swap_if(0, cookie).is_ok())?;
            update(&self.header().hops_used, |used| (used as usize <= index).then_some(index as u64 + 1));
            Some(place)
        });
        place.inspect(|p| p.value.set(pack(hops))).is_some()
    }

    /// For lonetd: clears the cells of all sockets for which `lives` is false, as their end may have been
    /// missed.
    pub fn retain_hops(self, lives: impl Fn(u64) -> bool) {
        let cookies = self.hops_used().map(|p| p.cookie.get());
        cookies.filter(|cookie| *cookie != 0 && !lives(*cookie)).for_each(|cookie| self.forget_hops(cookie));
    }

    /// For lonetd: clears the cell of a socket that has ended.
    pub fn forget_hops(self, cookie: u64) {
        for place in self.hops_used().filter(|p| p.cookie.get() == cookie) {
            place.value.set(0);
            place.cookie.set(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Mapping;

    #[test]
    fn set_values_are_found_until_the_socket_ends() {
        let mapping = Mapping::private().expect("a table");
        let table = mapping.table();
        let hops = Hops { ttl: Some(255), least: 254 };
        assert!(table.set_hops(7, hops) && table.set_hops(8, Hops::default()));
        assert!(table.set_hops(7, Hops { ttl: None, ..hops }));
        assert_eq!(table.hops(7), Some(Hops { ttl: None, least: 254 }));
        assert_eq!(table.hops(8), Some(Hops::default()));
        table.forget_hops(7);
        assert_eq!((table.hops(7), table.hops(8)), (None, Some(Hops::default())));
        table.retain_hops(|cookie| cookie == 8);
        assert_eq!(table.hops(8), Some(Hops::default()));
        table.retain_hops(|cookie| cookie == 7);
        assert_eq!(table.hops(8), None);
    }

    #[test]
    fn socket_for_which_there_is_no_room_is_refused() {
        let mapping = Mapping::private().expect("a table");
        let table = mapping.table();
        assert!((1..=CELLS as u64).all(|cookie| table.set_hops(cookie, Hops::default())));
        assert!(!table.set_hops(u64::MAX, Hops::default()));
        table.forget_hops(5);
        assert!(table.set_hops(u64::MAX, Hops::default()));
    }
}
