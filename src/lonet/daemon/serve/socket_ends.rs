//! The kernel's announcements of destroyed sockets.

use super::{DESTROYED, Daemon, event};
use lonet_core::diag::{Destroyed, End};
use nix::sys::epoll::Epoll;
use std::time::{Duration, Instant};

/// How many announcements are handled before other work.
const MAX_ENDS: usize = 256;

/// How often announcements are read once there are some: they come in bursts, and each would wake lonetd.
const READ_EVERY: Duration = Duration::from_millis(2);

/// All sockets are reviewed again after a pause of this many times the duration of the last review.
const REVIEW_REST: u32 = 10;

pub(super) struct SocketEnds {
    /// `None`: the kernel does not announce the ends of sockets.
    destroyed: Option<Destroyed>,
    /// Whether the loop's epoll watches it. It does while there are no announcements.
    is_watched: bool,
    /// Whether announcements were lost, and when all sockets may next be reviewed for it.
    are_lost: bool,
    reviews_at: Instant,
}

impl SocketEnds {
    pub fn new(destroyed: Option<Destroyed>) -> SocketEnds {
        SocketEnds { destroyed, is_watched: false, are_lost: false, reviews_at: Instant::now() }
    }

    /// Reads announcements: some, as a process that makes and closes sockets all the time, which may be
    /// another user's, must not keep lonetd from other work. Also returns whether there were none. `None`: the
    /// kernel announces nothing.
    fn read(&mut self) -> Option<(Vec<End>, bool)> {
        let destroyed = self.destroyed.as_ref()?;
        let (mut is_quiet, mut all) = (true, Vec::new());
        for _ in 0..MAX_ENDS {
            let Some(ends) = destroyed.next().transpose() else { break };
            is_quiet = false;
            match ends {
                Ok(ends) => all.extend(ends),
                Err(_) => self.are_lost = true,
            }
        }
        Some((all, is_quiet))
    }

    /// Begins to watch for announcements, as there are none.
    fn watch(&mut self, epoll: &Epoll) {
        if !self.is_watched
            && let Some(destroyed) = &self.destroyed
        {
            self.is_watched = epoll.add(destroyed, event(DESTROYED)).is_ok();
        }
    }

    /// Stops watching until there are no more announcements; they are handled whenever lonetd is awake.
    pub fn unwatch(&mut self, epoll: &Epoll) {
        if let Some(destroyed) = &self.destroyed {
            self.is_watched = epoll.delete(destroyed).is_err();
        }
    }

    /// The time when announcements are to be read, or all sockets to be reviewed.
    pub fn until(&self, now: Instant) -> Option<Instant> {
        let reads_at = (self.destroyed.is_some() && !self.is_watched).then(|| now + READ_EVERY);
        let reviews_at = self.are_lost.then_some(self.reviews_at);
        [reads_at, reviews_at].into_iter().flatten().min()
    }
}

impl Daemon {
    /// Handles the announcements of destroyed sockets. The caller calls [`Daemon::commit`].
    pub(super) fn handle_socket_ends(&mut self) {
        let Some((ends, is_quiet)) = self.socket_ends.read() else { return };
        // This comes first: the state still has the sockets.
        self.record_ends(&ends);
        let cookies: Vec<u64> = ends.iter().map(|end| end.cookie).collect();
        self.state.all_destroyed(&mut self.kernel, &cookies);
        cookies.iter().for_each(|cookie| self.store.table().forget_hops(*cookie));
        let now = Instant::now();
        if self.socket_ends.are_lost && now >= self.socket_ends.reviews_at {
            self.socket_ends.are_lost = false;
            // This, too, comes first.
            self.record_lost_ends();
            self.review_all();
            self.socket_ends.reviews_at = Instant::now() + REVIEW_REST * now.elapsed();
        }
        if is_quiet {
            self.socket_ends.watch(&self.epoll);
        }
    }

    /// Examines every socket. The caller calls [`Daemon::commit`].
    pub(super) fn review_all(&mut self) {
        self.kernel.many(true);
        self.state.review_all(&mut self.kernel);
        self.kernel.many(false);
    }
    /// Like [`Daemon::review_all`], for the sockets whose makers have ended.
    pub(super) fn review_left(&mut self) {
        self.kernel.many(true);
        self.state.review_left(&mut self.kernel);
        self.kernel.many(false);
    }
}
