//! Waiting for something to do.
//!
//! To fall asleep and to be woken costs both sides more than all else that is done for a message. So lonetd looks for
//! what follows at once before it sleeps; the mailbox, which is memory, far more often than what the kernel has to be
//! asked for. Meanwhile it leaves the processor to whoever wants it.

use super::end::Ending;
use super::{CLOSED_FOR, Daemon, EMPTY_FOR, END_AGAIN, LOOK_EVERY, TOLD_WITHIN};
use crate::daemon::state::Kernel as _;
use crate::daemon::tally;
use nix::errno::Errno;
use nix::sys::epoll::{EpollEvent, EpollTimeout};
use std::time::{Duration, Instant};

/// How long lonetd looks for more after it has been told something.
const AWAKE_FOR: Duration = Duration::from_micros(50);

/// How long it does nothing but take what it is told.
const ROUND: Duration = Duration::from_millis(1);

/// How soon it looks for more ends of sockets when the kernel has announced some: they come in swarms, and each would
/// wake it.
const ENDS_EVERY: Duration = Duration::from_millis(2);

/// How often it looks into the mailbox before it asks the kernel what else there is.
const LOOKS: usize = 8;

impl Daemon {
    /// Waits for something to do besides taking what is said.
    pub(super) fn next_events(&mut self, events: &mut [EpollEvent]) -> Result<usize, Errno> {
        let end = Instant::now() + ROUND;
        loop {
            let n = self.stay_awake(events, end)?;
            if n > 0 || Instant::now() >= end {
                return Ok(n);
            }
            let limit = self.time_limit();
            let Some((mailbox, watcher)) = self.mailbox.as_ref().zip(self.watcher.as_ref()) else {
                // Rounded up: waking a little early would turn in circles.
                let limit = EpollTimeout::try_from(limit + Duration::from_millis(1));
                return self.epoll.wait(events, limit.unwrap_or(EpollTimeout::ZERO));
            };
            // First: what the watcher finds from now on it knocks for, and is heard.
            let knocks = mailbox.knocks();
            watcher.watch();
            mailbox.sleep(knocks, limit);
            if mailbox.is_empty() {
                return self.epoll.wait(events, EpollTimeout::ZERO);
            }
            self.take_what_was_just_said();
        }
    }

    /// Takes what is said for as long as more may follow, or until there is something else to do.
    fn stay_awake(&mut self, events: &mut [EpollEvent], end: Instant) -> Result<usize, Errno> {
        let mut now = Instant::now();
        while self.mailbox.is_some() && now < self.awake_until.min(end) {
            for _ in 0..LOOKS {
                if self.mailbox.as_ref().is_some_and(|mailbox| !mailbox.is_empty()) {
                    self.take_what_was_just_said();
                } else {
                    std::thread::yield_now();
                }
            }
            match self.epoll.wait(events, EpollTimeout::ZERO)? {
                0 => now = Instant::now(),
                n => return Ok(n),
            }
        }
        Ok(0)
    }

    /// Something has been said: more may follow.
    pub(super) fn keep_awake(&mut self) {
        self.awake_until = Instant::now() + AWAKE_FOR;
    }

    /// How long nothing needs to be done unless something happens.
    fn time_limit(&self) -> Duration {
        let now = Instant::now();
        let at = [
            self.empty_since.map(|since| since + EMPTY_FOR),
            self.ending.as_ref().and_then(Ending::until),
            self.searches_at(),
            self.is_over().then(|| now + END_AGAIN),
            self.connections.until(),
            self.shut_until,
            tally::due(),
            self.early.first().map(|e| e.since + TOLD_WITHIN),
            self.foreign.until(),
            self.state.doubts_until().map(|at| now + at.saturating_sub(self.kernel.now())),
            self.closing_since.map(|since| since + CLOSED_FOR),
            (self.destroyed.is_some() && !self.watches_ends).then(|| now + ENDS_EVERY),
            Some(self.looked + LOOK_EVERY),
        ];
        at.into_iter().flatten().min().map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }
}
