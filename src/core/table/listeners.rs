//! Who listens where: lonetd's answers to dials, for everybody to read.
//!
//! An entry is found by host, port and kind of address, and says where the kernel has the listener, and which record is its,
//! whose state says which process speaks for it. lonetd alone writes: an entry is taken out before it is changed, and its
//! changes are counted, so a reader that finds the key, and the same count before and after, has read what belongs to it. A
//! lonetd that is killed in between leaves no entry, and dials ask until the next one has written it.

use super::entry::Dialed;
use super::state::Reference;
use super::word::Word;
use std::net::SocketAddrV4;

#[repr(C)]
pub struct ListenerCell<W> {
    key: W,
    os: W,
    record: W,
    changes: W,
}

/// A listener, as it is dialed.
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

/// So many places are looked at for a key.
const WINDOW: usize = 32;

/// A key is never 0; 1 stands for an entry that is being changed.
fn key(dialed: Dialed) -> u64 {
    let Dialed { host, port, class } = dialed;
    1 << 63 | u64::from(host) << 32 | u64::from(port) << 8 | u64::from(class.0)
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

    /// Where a dial leads. `None`: ask.
    pub fn find(self, dialed: Dialed) -> Option<Listener> {
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

    /// lonetd's: says where a dial leads, or nothing any more.
    pub fn set(self, dialed: Dialed, listener: Option<Listener>) {
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

    /// lonetd's, as it begins: removes all entries.
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
    use crate::classes::Classes;
    use std::sync::atomic::AtomicU64;

    pub fn place<W>(word: fn() -> W) -> ListenerCell<W> {
        ListenerCell { key: word(), os: word(), record: word(), changes: word() }
    }

    fn places(n: usize) -> Vec<ListenerCell<AtomicU64>> {
        (0..n).map(|_| place(AtomicU64::default)).collect()
    }

    fn at(host: u16, port: u16, class: u8) -> Dialed {
        Dialed { host, port, class: Classes(class) }
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
