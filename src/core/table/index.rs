//! Hash index that finds the record of a socket by a key: its cookie, or the addresses of its connection.
//!
//! A key has two buckets of neighbouring places, and is entered in the emptier one: as long as the index is
//! at most half full no bucket comes near to being full, whatever the keys. Each place holds a [`Reference`]
//! or nothing. A reference to a record that has become another socket's counts as nothing, so that a process
//! killed before it removes an entry does no harm. Keys may share a bucket: the reader compares each
//! candidate's record with what it looks for.

use super::entry::pack_os;
use super::record::Records;
use super::state::Reference;
use super::word::Word;
use std::net::SocketAddrV4;

/// The places of a bucket.
const BUCKET: usize = 16;

pub struct Index<'a, W> {
    places: &'a [W],
}

impl<W> Clone for Index<'_, W> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<W> Copy for Index<'_, W> {}

impl<'a, W: Word> Index<'a, W> {
    pub fn new(places: &'a [W]) -> Index<'a, W> {
        Index { places }
    }

    /// A key's buckets.
    fn buckets(self, hash: u64) -> [&'a [W]; 2] {
        let size = BUCKET.min(self.places.len().div_ceil(2));
        let n = self.places.len() / size;
        let first = hash as usize % n;
        let second = (first + 1 + mix(hash) as usize % (n - 1).max(1)) % n;
        [first, second].map(|i| &self.places[i * size..][..size])
    }

    fn places(self, hash: u64) -> impl Iterator<Item = &'a W> {
        self.buckets(hash).into_iter().flatten()
    }

    /// Enters a record. `false`: both buckets are full of valid references.
    pub fn insert(self, records: Records<'_, W>, hash: u64, reference: Reference) -> bool {
        let mut buckets = self.buckets(hash);
        // Invalid references count as well: reading each record would take as long as everything else.
        buckets.sort_by_key(|bucket| bucket.iter().filter(|place| place.get() != 0).count());
        for place in buckets.into_iter().flatten() {
            let is = place.get();
            let is_taken = Reference::from_word(is).is_some_and(|other| records.state(other).is_some());
            if !is_taken && place.swap_if(is, reference.word()).is_ok() {
                return true;
            }
        }
        false
    }

    /// The references in a key's buckets, including those of other keys and invalid ones.
    pub fn candidates(self, hash: u64) -> impl Iterator<Item = Reference> + 'a {
        self.places(hash).filter_map(|place| Reference::from_word(place.get()))
    }

    /// Removes a record's entry, if there is one.
    pub fn remove(self, hash: u64, reference: Reference) {
        for place in self.places(hash) {
            if place.get() == reference.word() && place.swap_if(reference.word(), 0).is_ok() {
                return;
            }
        }
    }
}

/// Spreads a key over all bits.
pub fn mix(key: u64) -> u64 {
    let mixed = (key ^ key >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 32).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 16
}

/// The hash of a cookie.
pub fn cookie_hash(cookie: u64) -> u64 {
    mix(cookie)
}

/// The hash of a connection's addresses; the source may not be known yet.
pub fn tuple_hash(from: Option<SocketAddrV4>, to: SocketAddrV4) -> u64 {
    mix(pack_os(from).wrapping_mul(31) ^ pack_os(Some(to)).rotate_left(17))
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::records;
    use super::super::state::Phase;
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn index_that_is_half_full_of_neighbours_has_room_for_each() {
        let n = 1 << 14;
        let (all, used) = records(n / 2 + 1);
        let r = Records::new(&all, &used);
        let places: Vec<AtomicU64> = (0..n).map(|_| AtomicU64::new(0)).collect();
        let index = Index::new(&places[..]);
        for cookie in 0..n as u64 / 2 {
            let reference = r.take(cookie as usize, 1, cookie).expect("a record");
            assert!(index.insert(r, cookie_hash(cookie), reference), "{cookie}");
            // Replaced at once, as lonetd does it.
            let again = r.take(n / 2, 1, cookie).expect("a record");
            assert!(index.insert(r, cookie_hash(cookie), again), "{cookie}");
            r.change(again, |s| Some(s.to(Phase::Free)));
        }
    }

    #[test]
    fn entry_of_a_freed_record_makes_room() {
        let (all, used) = records(64);
        let r = Records::new(&all, &used);
        let places: Vec<AtomicU64> = (0..2 * BUCKET as u64).map(|_| AtomicU64::new(0)).collect();
        let index = Index::new(&places[..]);
        let taken: Vec<Reference> =
            (0..2 * BUCKET as u64).map(|c| r.take(0, 1, c).expect("a record")).collect();
        taken.iter().for_each(|t| assert!(index.insert(r, 5, *t)));
        let one_more = r.take(0, 1, 99).expect("a record");
        assert!(!index.insert(r, 5, one_more));
        r.change(taken[7], |s| Some(s.to(Phase::Free)));
        assert!(index.insert(r, 5, one_more));
        assert!(index.candidates(5).any(|c| c == one_more));
        index.remove(5, one_more);
        assert!(!index.candidates(5).any(|c| c == one_more));
    }
}
