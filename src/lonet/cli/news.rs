//! Waits until more of a trace may have been written.

use lonet_core::client::Client;
use lonet_core::sys::Fd;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// How often a trace is read whose directory cannot be watched.
const EVERY: Duration = Duration::from_millis(20);

pub struct News {
    /// Of the network's directory. `None`: it cannot be watched, as a user may watch only so many.
    directory: Option<Inotify>,
}

impl News {
    /// Of what is written from now on.
    pub fn of(client: &Client) -> News {
        let watch = || {
            let directory = client.directory()?;
            let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok()?;
            let written = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO;
            let path = format!("/proc/self/fd/{}", directory.raw());
            inotify.add_watch(path.as_str(), written).ok()?;
            Some(inotify)
        };
        News { directory: watch() }
    }

    /// Waits until something was written, the lonetd that `held` is connected to has ended, or this time is over. Whether lonetd
    /// has ended.
    pub fn wait(&self, held: &Fd, limit: Option<Duration>) -> bool {
        // SAFETY: `held` is open meanwhile.
        let held = unsafe { BorrowedFd::borrow_raw(held.raw()) };
        let mut polls = vec![PollFd::new(held, PollFlags::POLLIN)];
        polls.extend(self.directory.iter().map(|d| PollFd::new(d.as_fd(), PollFlags::POLLIN)));
        let limit = if self.directory.is_none() { Some(EVERY) } else { limit };
        // In whole milliseconds, of which there is one more than have passed when the time is over.
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
