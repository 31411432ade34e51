//! The listeners: a hash table from the destination of a dial to the socket that accepts it.
//!
//! The key is host, port, scope and family; the value is the listener's OS address and its record, whose
//! state names its process. lonetd alone writes. It removes an entry before it changes it and counts the
//! change, so that a reader that has found the key, and the same count before and after, has read a
//! consistent value. If lonetd is killed in between the entry is missing, and dials ask lonetd until the next
//! one has written it.

use super::entry::Destination;
use super::state::Reference;
use super::word::Word;
use std::net::SocketAddrV4;

/// An entry of the hash table.
#[repr(C)]
pub struct ListenerCell<W> {
    key: W,
    os: W,
    record: W,
    changes: W,
}

/// A listener, as a dial needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    pub os: SocketAddrV4,
    pub record: Reference,
}

pub struct Listeners<'a, W> {
    places: &'a [ListenerCell<W>],
}

impl<W> Clone for Listeners<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Listeners<'_, W> {}

/// Number of consecutive places that a key can be in.
const WINDOW: usize = 32;

/// The key of an entry, never 0 or 1: 0 is a free place, and 1 an entry that is being changed.
fn key(dialed: Destination) -> u64 {
    let Destination { host, port, scope } = dialed;
    1 << 63 | u64::from(host) << 32 | u64::from(port) << 8 | u64::from(scope.0)
}

impl<'a, W: Word> Listeners<'a, W> {
    pub fn new(places: &'a [ListenerCell<W>]) -> Listeners<'a, W> {
        Listeners { places }
    }

    fn window(self, key: u64) -> impl Iterator<Item = &'a ListenerCell<W>> {
        let n = self.places.len();
        let first = super::index::mix(key) as usize % n;
        (0..WINDOW.min(n)).map(move |i| &self.places[(first + i) % n])
    }

    /// The listener that accepts a dial. `None`: lonetd has to be asked.
    pub fn find(self, dialed: Destination) -> Option<Listener> {
        let key = key(dialed);
        let changes = |place: &ListenerCell<W>| place.changes.get();
        let read = |place: &'a ListenerCell<W>| {
            let before = changes(place);
            (place.key.get() == key).then_some((place, before))
        };
        let (place, before) = self.window(key).find_map(read)?;
        let (os, record) = (place.os.get(), place.record.get());
        let found = Listener { os: super::entry::unpack_os(os)?, record: Reference::from_word(record)? };
        (changes(place) == before).then_some(found)
    }

    /// For lonetd: enters the listener that accepts a dial, or removes it.
    pub fn set(self, dialed: Destination, listener: Option<Listener>) {
        let key = key(dialed);
        let old = self.window(key).find(|place| place.key.get() == key);
        if let Some(old) = old {
            old.key.set(u64::from(listener.is_some()));
            old.changes.add(1);
        }
        let Some(listener) = listener else { return };
        let free = || self.window(key).find(|place| place.key.get() <= 1);
        if let Some(place) = old.or_else(free) {
            place.changes.add(1);
            place.os.set(super::entry::pack_os(Some(listener.os)));
            place.record.set(listener.record.word());
            place.key.set(key);
        }
    }

    /// For lonetd, when it starts: removes all entries.
    pub fn clear(self) {
        for place in self.places.iter().filter(|place| place.key.get() != 0) {
            place.key.set(0);
            place.changes.add(1);
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::scopes::Scopes;
    use std::sync::atomic::AtomicU64;

    pub fn place<W>(word: fn() -> W) -> ListenerCell<W> {
        ListenerCell { key: word(), os: word(), record: word(), changes: word() }
    }

    fn places(n: usize) -> Vec<ListenerCell<AtomicU64>> {
        (0..n).map(|_| place(AtomicU64::default)).collect()
    }

    fn at(host: u16, port: u16, scope: u8) -> Destination {
        Destination { host, port, scope: Scopes(scope) }
    }

    fn listener(port: u16) -> Listener {
        Listener {
            os: SocketAddrV4::new([127, 7, 0, 3].into(), port),
            record: Reference::new(5, u32::from(port)),
        }
    }

    #[test]
    fn listener_is_found_by_host_port_and_class() {
        let places = places(64);
        let l = Listeners::new(&places);
        l.set(at(3, 80, 1), Some(listener(80)));
        assert_eq!(l.find(at(3, 80, 1)), Some(listener(80)));
        assert_eq!([l.find(at(3, 80, 2)), l.find(at(4, 80, 1)), l.find(at(3, 81, 1))], [None; 3]);
        l.set(at(3, 80, 1), Some(listener(81)));
        assert_eq!(l.find(at(3, 80, 1)), Some(listener(81)));
        l.set(at(3, 80, 1), None);
        assert_eq!(l.find(at(3, 80, 1)), None);
    }

    #[test]
    fn same_port_of_many_hosts_is_found() {
        let places = places(1 << 12);
        let l = Listeners::new(&places);
        (1..=500).for_each(|host| l.set(at(host, 8080, 1), Some(listener(host))));
        assert!((1..=500).all(|host| l.find(at(host, 8080, 1)) == Some(listener(host))));
    }
}
