//! The thread that searches for inherited members.
//!
//! How long a search takes depends on the owner's programs: a thousand of them take some ten milliseconds,
//! and one may have a hundred thousand mappings. So a thread does it, one search at a time, beside lonetd's
//! loop. A descriptor becomes readable when a search is done.

use super::{Inherited, Members};
use crate::daemon::state::Pid;
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

pub struct Search {
    /// Starts a search: the processes that need not be examined.
    known: Sender<BTreeSet<Pid>>,
    found: Receiver<Vec<Inherited>>,
    done: Arc<EventFd>,
}

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
        thread::Builder::new().name("lonetd-search".into()).stack_size(256 << 10).spawn(run)?;
        Ok(Search { known, found, done })
    }

    /// Readable when a search is done.
    pub fn done(&self) -> impl AsFd {
        self.done.as_fd()
    }

    /// Begins a search. `false`: the thread has ended.
    pub fn begin(&self, known: BTreeSet<Pid>) -> bool {
        self.known.send(known).is_ok()
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

    #[test]
    fn descriptor_is_not_readable_for_a_result_that_was_taken() {
        let done = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK).expect("an eventfd"));
        let ((known, _wanted), (results, found)) = (channel(), channel());
        let search = Search { known, found, done };
        results.send(Vec::new()).expect("a receiver");
        // The result is taken before it is announced.
        assert!(search.result(Duration::ZERO).is_some());
        search.done.write(1).expect("an announcement");
        assert!(search.result(Duration::ZERO).is_none());
        assert_eq!(search.done.read(), Err(Errno::EAGAIN));
    }
}
