//! Waits until events may have been added to a network's trace.

use lonet_core::client::Client;
use lonet_core::sys::Fd;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// How often the trace is read if its directory cannot be watched.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

pub struct TraceWatch {
    /// Watches the network's directory. `None`: the user's limit of watches is reached.
    directory: Option<Inotify>,
}

impl TraceWatch {
    /// Watches for what is written from now on.
    pub fn new(client: &Client) -> TraceWatch {
        let watch = || {
            let directory = client.directory()?;
            let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok()?;
            let written = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
            let path = format!("/proc/self/fd/{}", directory.raw());
            inotify.add_watch(path.as_str(), written).ok()?;
            Some(inotify)
        };
        TraceWatch { directory: watch() }
    }

    /// Waits until something is written, lonetd ends, or this time is over. Returns whether lonetd has ended. `hold`: the
    /// connection to it.
    pub fn wait(&self, hold: &Fd, limit: Option<Duration>) -> bool {
        // SAFETY: `hold` is open meanwhile.
        let hold = unsafe { BorrowedFd::borrow_raw(hold.raw()) };
        let mut polls = vec![PollFd::new(hold, PollFlags::POLLIN)];
        polls.extend(self.directory.iter().map(|d| PollFd::new(d.as_fd(), PollFlags::POLLIN)));
        let limit = if self.directory.is_none() { Some(POLL_INTERVAL) } else { limit };
        // Rounded up to whole milliseconds.
        let timeout = limit.map_or(PollTimeout::NONE, |limit| {
            PollTimeout::try_from(limit.as_millis() + 1).unwrap_or(PollTimeout::MAX)
        });
        let _ = poll(&mut polls, timeout);
        let has_ended = polls.first().and_then(PollFd::any) == Some(true);
        if let Some(directory) = &self.directory {
            while directory.read_events().is_ok_and(|events| !events.is_empty()) {}
        }
        has_ended
    }
}
