//! The dials of a process that have begun and not returned.
//!
//! A signal handler may jump out of connect, or the thread be cancelled in it, between any two steps. A dial
//! that is left before it is published has a record, and perhaps a port, that nothing refers to. So its
//! socket is entered here before it claims anything, and when the same thread next dials with the socket, or
//! closes it, it finds what it has left. A dial of another thread may still be running.

use lonet_core::table::state::Reference;
use std::sync::atomic::{AtomicU64, Ordering};

/// Capacity. What further dials leave behind is cleaned up when their process ends.
const PLACES: usize = 16;

/// The pending dials of a process. All zeroes is empty.
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

    /// Whether this thread has a pending dial with this socket. As the thread is here, it has left that dial.
    pub fn is_left(&self, cookie: u64) -> bool {
        self.find(cookie).is_some_and(|place| place.thread.load(Ordering::Relaxed) == this_thread())
    }

    /// Enters a dial with this socket that has this record, if there is room.
    pub fn begin(&self, cookie: u64, record: Reference) {
        let taken = |place: &&PendingDial| {
            place.cookie.compare_exchange(0, cookie, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        if let Some(place) = self.0.iter().find(taken) {
            place.thread.store(this_thread(), Ordering::Relaxed);
            place.record.store(record.word(), Ordering::Relaxed);
        }
    }

    /// Removes the socket's dial, which has returned or was left. Returns its record.
    pub fn end(&self, cookie: u64) -> Option<Reference> {
        let place = self.find(cookie)?;
        // First, so that a dial which is left right after it takes this place has no record in it.
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
    fn dial_without_room_is_not_entered() {
        let all = PendingDials::default();
        for cookie in 1..=PLACES as u64 + 1 {
            all.begin(cookie, Reference::new(1, 1));
        }
        assert!(all.is_left(1) && !all.is_left(PLACES as u64 + 1));
    }
}
