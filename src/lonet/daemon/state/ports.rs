//! The ports of one host: which are held, by which sockets, and which is the first free one.

use super::Cookie;
use std::collections::BTreeMap;

const WORDS: usize = 1024;

/// A bit for each port, beside the sockets that hold it: "first free" is asked at every autobind, also when
/// tens of thousands of ports are held.
#[derive(Clone, Debug)]
pub struct Ports {
    held: Box<[u64; WORDS]>,
    holders: BTreeMap<u16, Vec<Cookie>>,
}

impl Default for Ports {
    fn default() -> Ports {
        Ports { held: Box::new([0; WORDS]), holders: BTreeMap::new() }
    }
}

impl Ports {
    pub fn hold(&mut self, port: u16, cookie: Cookie) {
        let all = self.holders.entry(port).or_default();
        if !all.contains(&cookie) {
            all.push(cookie);
        }
        self.held[usize::from(port) / 64] |= 1 << (port % 64);
    }

    pub fn release(&mut self, port: u16, cookie: Cookie) {
        let Some(all) = self.holders.get_mut(&port) else { return };
        all.retain(|c| *c != cookie);
        if all.is_empty() {
            self.holders.remove(&port);
            self.held[usize::from(port) / 64] &= !(1 << (port % 64));
        }
    }

    pub fn holders(&self, port: u16) -> &[Cookie] {
        self.holders.get(&port).map_or(&[], Vec::as_slice)
    }

    /// The holders of all ports, by port.
    pub fn all_holders(&self) -> impl Iterator<Item = &Cookie> + '_ {
        self.holders.values().flatten()
    }

    pub fn is_empty(&self) -> bool {
        self.holders.is_empty()
    }

    /// The first port from `from` on that nobody holds.
    pub fn first_free(&self, from: u16) -> Option<u16> {
        let first_word = usize::from(from) / 64;
        for (i, word) in self.held.iter().enumerate().skip(first_word) {
            let skipped = if i == first_word { (1u64 << (from % 64)) - 1 } else { 0 };
            // Port 0 is no port.
            let taken = word | skipped | u64::from(i == 0);
            if taken != u64::MAX {
                return Some((i * 64) as u16 + taken.trailing_ones() as u16);
            }
        }
        None
    }

    /// Held ports from `from` up to, not including, `to`, ascending.
    pub fn held_between(&self, from: u16, to: u16) -> impl Iterator<Item = u16> + '_ {
        self.holders.range(from..to).map(|(port, _)| *port)
    }

    /// Held ports from `from` on, ascending.
    pub fn held_from(&self, from: u16) -> impl Iterator<Item = u16> + '_ {
        self.holders.range(from..).map(|(port, _)| *port)
    }
}

#[cfg(test)]
mod tests {
    use super::Ports;

    #[test]
    fn the_first_free_port_is_1() {
        assert_eq!(Ports::default().first_free(1), Some(1));
        assert_eq!(Ports::default().first_free(0), Some(1));
    }

    #[test]
    fn a_freed_port_comes_before_higher_free_ones() {
        let mut p = Ports::default();
        (1..=200).for_each(|n| p.hold(n, u64::from(n)));
        assert_eq!(p.first_free(1), Some(201));
        p.release(77, 77);
        assert_eq!(p.first_free(1), Some(77));
        assert_eq!(p.first_free(78), Some(201));
    }

    #[test]
    fn a_port_is_held_until_its_last_holder_leaves() {
        let mut p = Ports::default();
        p.hold(1, 10);
        p.hold(1, 11);
        p.release(1, 10);
        assert_eq!(p.first_free(1), Some(2));
        p.release(1, 11);
        assert_eq!(p.first_free(1), Some(1));
    }

    #[test]
    fn the_last_port_is_65535_and_then_there_is_none() {
        let mut p = Ports::default();
        (1..=65534).for_each(|n| p.hold(n, 1));
        assert_eq!(p.first_free(1), Some(65535));
        p.hold(65535, 1);
        assert_eq!(p.first_free(1), None);
    }
}
