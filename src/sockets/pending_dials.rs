//! The dials of a process that have begun and not returned.
//!
//! A signal handler may jump out of connect, and a thread may be cancelled in it, between any two steps. A dial that was left
//! before it was made known has a record, and perhaps a port, that nothing leads to: so its socket is noted here before it
//! claims anything, and when its thread next dials with the socket, or closes it, it finds what it has left. Of another
//! thread's nobody can say whether it was left.

use lonet_core::table::state::Reference;
use std::sync::atomic::{AtomicU64, Ordering};

/// So many at once are noted. The others are not found before their process ends.
const PLACES: usize = 16;

/// All zeroes at first.
#[repr(C)]
#[derive(Default)]
pub struct PendingDials([PendingDial; PLACES]);

#[repr(C)]
#[derive(Default)]
struct PendingDial {
    /// The socket; 0: none.
    cookie: AtomicU64,
    record: AtomicU64,
    thread: AtomicU64,
}

fn this_thread() -> u64 {
    // SAFETY: it has no preconditions, and reads a register.
    unsafe { libc::pthread_self() as u64 }
}

impl PendingDials {
    fn find(&self, cookie: u64) -> Option<&PendingDial> {
        self.0.iter().find(|place| place.cookie.load(Ordering::Relaxed) == cookie)
    }

    /// This thread has begun a dial with this socket and is not in it any more.
    pub fn is_left(&self, cookie: u64) -> bool {
        self.find(cookie).is_some_and(|place| place.thread.load(Ordering::Relaxed) == this_thread())
    }

    /// A dial with this socket begins, and has this record.
    pub fn begin(&self, cookie: u64, record: Reference) {
        let taken = |place: &&PendingDial| {
            place.cookie.compare_exchange(0, cookie, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        if let Some(place) = self.0.iter().find(taken) {
            place.thread.store(this_thread(), Ordering::Relaxed);
            place.record.store(record.word(), Ordering::Relaxed);
        }
    }

    /// The socket's dial has returned, or was left. Its record.
    pub fn end(&self, cookie: u64) -> Option<Reference> {
        let place = self.find(cookie)?;
        // First: who takes the place and is left at once has no record.
        let record = place.record.swap(0, Ordering::Relaxed);
        place.cookie.store(0, Ordering::Release);
        Reference::from_word(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dial_is_found_by_its_socket_until_it_ends() {
        let all = PendingDials::default();
        all.begin(7, Reference::new(1, 1));
        all.begin(8, Reference::new(2, 1));
        assert!(all.is_left(7) && !all.is_left(9));
        assert_eq!((all.end(7), all.end(7), all.end(9)), (Some(Reference::new(1, 1)), None, None));
        assert_eq!(all.end(8), Some(Reference::new(2, 1)));
    }

    #[test]
    fn dial_of_another_thread_is_not_known_to_be_left() {
        let all = PendingDials::default();
        all.begin(7, Reference::new(1, 1));
        assert!(!std::thread::scope(|s| s.spawn(|| all.is_left(7)).join()).expect("its answer"));
    }

    #[test]
    fn more_than_there_is_room_for_are_not_noted() {
        let all = PendingDials::default();
        for cookie in 1..=PLACES as u64 + 1 {
            all.begin(cookie, Reference::new(1, 1));
        }
        assert!(all.is_left(1) && !all.is_left(PLACES as u64 + 1));
    }
}
