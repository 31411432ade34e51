//! The ports of one host that are held by sockets which lonetd decides about, with their holders. The table
//! says which ports are held at all.

use super::Cookie;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub struct PortHolders {
    holders: BTreeMap<u16, Vec<Cookie>>,
}

impl PortHolders {
    pub fn hold(&mut self, port: u16, cookie: Cookie) {
        let all = self.holders.entry(port).or_default();
        if !all.contains(&cookie) {
            all.push(cookie);
        }
    }

    pub fn release(&mut self, port: u16, cookie: Cookie) {
        let Some(all) = self.holders.get_mut(&port) else { return };
        all.retain(|c| *c != cookie);
        if all.is_empty() {
            self.holders.remove(&port);
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

    /// Held ports from `from` on, ascending.
    pub fn held_from(&self, from: u16) -> impl Iterator<Item = u16> + '_ {
        self.holders.range(from..).map(|(port, _)| *port)
    }
}

#[cfg(test)]
mod tests {
    use super::PortHolders;

    #[test]
    fn port_is_held_until_its_last_holder_leaves() {
        let mut p = PortHolders::default();
        p.hold(1, 10);
        p.hold(1, 11);
        p.release(1, 10);
        assert_eq!(p.holders(1), [11]);
        p.release(1, 11);
        assert!(p.is_empty());
    }
}
