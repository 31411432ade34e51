//! The thread that searches for inherited members.
//!
//! How long a search takes depends on the owner's programs: a thousand of them take some ten milliseconds,
//! and one may have a hundred thousand mappings. So a thread does it, one search at a time, beside lonetd's
//! loop. A descriptor becomes readable when a search is done.

use super::{Inherited, Members};
use crate::daemon::state::Pid;
use lonet_core::sys;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::thread::JoinHandleExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

pub struct Search {
    /// Starts a search: the processes that need not be examined.
    known: Sender<BTreeSet<Pid>>,
    found: Receiver<Vec<Inherited>>,
    done: Arc<EventFd>,
    /// The thread's processor time.
    clock: libc::clockid_t,
}

/// How often the thread's processor time is read while its result is waited for.
const SLICE: Duration = Duration::from_millis(50);

impl Search {
    pub fn new(members: &Arc<Members>) -> io::Result<Search> {
        let done = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?);
        let (known, wanted) = channel();
        let (results, found) = channel();
        let (members, signal) = (members.clone(), done.clone());
        let run = move || {
            // It runs until lonetd drops its end of the channel.
            while let Ok(known) = wanted.recv() {
                if results.send(members.find(&known)).is_err() {
                    return;
                }
                let _ = signal.write(1);
            }
        };
        // If memory is short, a large stack is the first thing that is refused.
        let thread = thread::Builder::new().name("lonetd-search".into()).stack_size(256 << 10).spawn(run)?;
        let mut clock = 0;
        // SAFETY: a thread that has not been joined, and a number to fill.
        match unsafe { libc::pthread_getcpuclockid(thread.as_pthread_t(), &raw mut clock) } {
            0 => Ok(Search { known, found, done, clock }),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }

    /// Readable when a search is done.
    pub fn done(&self) -> impl AsFd {
        self.done.as_fd()
    }

    /// Begins a search. `false`: the thread has ended.
    pub fn begin(&self, known: BTreeSet<Pid>) -> bool {
        self.known.send(known).is_ok()
    }

    /// Processor time that the thread has used.
    pub fn used(&self) -> Duration {
        sys::clock(self.clock)
    }

    /// Waits for the result until the thread has used this much processor time ([`Search::used`]), and until this time
    /// at most: where many programs want a processor a short search takes long.
    pub fn await_result(&self, used: Duration, until: Instant) -> Option<Vec<Inherited>> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if let Some(found) = self.result(SLICE.min(left)) {
                return Some(found);
            }
            if left.is_zero() || self.used() >= used {
                return None;
            }
        }
    }

    /// The result, if the search is done within this time.
    pub fn result(&self, within: Duration) -> Option<Vec<Inherited>> {
        // The eventfd is reset first, in any case: it may also announce a result that was taken before it was written.
        let _ = self.done.read();
        self.found.recv_timeout(within).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    /// No clock: the time of a thread without a processor.
    const STILL: libc::clockid_t = 99;

    #[test]
    fn search_that_gets_no_processor_is_waited_for() {
        let done = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK).expect("an eventfd"));
        let ((known, _wanted), (results, found)) = (channel(), channel());
        let search = Search { known, found, done, clock: STILL };
        let (used, soon) = (search.used() + Duration::from_nanos(1), Instant::now() + 3 * SLICE);
        assert!(search.await_result(used, soon).is_none());
        assert!(Instant::now() >= soon);
        results.send(Vec::new()).expect("a receiver");
        assert!(search.await_result(used, Instant::now() + SLICE).is_some());
    }

    #[test]
    fn search_that_takes_long_is_not_waited_for() {
        let done = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK).expect("an eventfd"));
        let ((known, _wanted), (_results, found)) = (channel(), channel());
        let search = Search { known, found, done, clock: STILL };
        let long = Instant::now() + Duration::from_secs(3600);
        assert!(search.await_result(search.used(), long).is_none());
    }

    #[test]
    fn descriptor_is_not_readable_for_a_result_that_was_taken() {
        let done = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK).expect("an eventfd"));
        let ((known, _wanted), (results, found)) = (channel(), channel());
        let search = Search { known, found, done, clock: libc::CLOCK_THREAD_CPUTIME_ID };
        results.send(Vec::new()).expect("a receiver");
        // The result is taken before it is announced.
        assert!(search.result(Duration::ZERO).is_some());
        search.done.write(1).expect("an announcement");
        assert!(search.result(Duration::ZERO).is_none());
        assert_eq!(search.done.read(), Err(Errno::EAGAIN));
    }
}
