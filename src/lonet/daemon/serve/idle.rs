//! Has lonetd's event loop wait for the next event or deadline.

use super::end::Ending;
use super::{CHECK_EVERY, DIAL_ANNOUNCED_WITHIN, Daemon, EMPTY_FOR, END_AGAIN};
use crate::daemon::state::Kernel as _;
use crate::daemon::tally;
use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollTimeout};
use std::time::{Duration, Instant};

impl Daemon {
    /// Waits until an event comes, or something is due.
    pub(super) fn next_events(&mut self, events: &mut [EpollEvent]) -> Result<usize, Errno> {
        // Rounded up: waking a little early would make the loop spin.
        let limit = EpollTimeout::try_from(self.time_limit() + Duration::from_millis(1));
        self.epoll.wait(events, limit.unwrap_or(EpollTimeout::ZERO))
    }

    /// The time until something is due.
    fn time_limit(&self) -> Duration {
        let now = Instant::now();
        let at = [
            // After that, what ends the last request wakes lonetd.
            self.empty_since.map(|since| since + EMPTY_FOR).filter(|at| *at > now),
            self.ending.as_ref().and_then(Ending::until),
            self.next_search(),
            self.is_over().then(|| now + END_AGAIN),
            self.connections.has_received().then_some(now),
            self.connections.until(),
            self.control_sockets.paused_until(),
            self.waiting.until(&self.state),
            tally::due(),
            self.early.first().map(|e| e.since + DIAL_ANNOUNCED_WITHIN),
            self.foreign.until(),
            self.faults_until(),
            self.loss.until(),
            self.delayed_queries.until(),
            self.dns.until(),
            self.next_recording(),
            self.state.grace_period_until().map(|at| now + at.saturating_sub(self.kernel.now())),
            self.socket_ends.until(now),
            self.processes.watch_again_at(),
            Some(self.looked + CHECK_EVERY),
        ];
        at.into_iter().flatten().min().map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }
}
