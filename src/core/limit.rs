//! Deadlines for operations that take several steps, such as a call that sends lonetd two requests.

use crate::sys;
use std::time::Duration;

/// How long lonetd may take for anything.
pub const TIME_LIMIT_SECONDS: i64 = 5;
pub const TIME_LIMIT: Duration = Duration::from_secs(TIME_LIMIT_SECONDS as u64);

/// A deadline on CLOCK_MONOTONIC, or none.
///
/// It consists of two: one that always holds, and one for lonetd's part, which is extended if lonetd has to
/// wait for a processor ([`Limit::forgiven`]).
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    end: Option<Duration>,
    for_lonetd: Option<Duration>,
}

fn now() -> Duration {
    sys::clock(libc::CLOCK_MONOTONIC)
}

impl Limit {
    pub const NONE: Limit = Limit { end: None, for_lonetd: None };

    /// A deadline after `time`.
    pub fn within(time: Duration) -> Limit {
        Limit::NONE.at_most(time)
    }

    /// The earlier one of this and a deadline after `time`.
    pub fn at_most(self, time: Duration) -> Limit {
        let end = now().saturating_add(time);
        Limit { end: Some(self.end.map_or(end, |old| old.min(end))), ..self }
    }

    /// This deadline, or if there is none, one after `time` for lonetd.
    pub fn or_of_lonetd(self, time: Duration) -> Limit {
        if self.first().is_some() { self } else { self.and_of_lonetd(time) }
    }

    /// This deadline, and for lonetd none later than after `time`.
    pub fn and_of_lonetd(self, time: Duration) -> Limit {
        let end = now().saturating_add(time);
        Limit { for_lonetd: Some(self.for_lonetd.map_or(end, |old| old.min(end))), ..self }
    }

    /// This deadline after lonetd has made progress: if its own has passed, it had to wait for a processor,
    /// and gets `time` for the next step.
    pub fn forgiven(self, time: Duration) -> Limit {
        let is_over = self.for_lonetd.is_some_and(|end| end <= now());
        if is_over { self.without_lonetds().and_of_lonetd(time) } else { self }
    }

    /// The part that holds even if lonetd has to wait for a processor.
    pub fn without_lonetds(self) -> Limit {
        Limit { for_lonetd: None, ..self }
    }

    fn first(self) -> Option<Duration> {
        [self.end, self.for_lonetd].into_iter().flatten().min()
    }

    /// Remaining time in milliseconds, rounded up. `None`: there is no deadline.
    pub fn left(self) -> Option<i64> {
        let left = self.first()?.saturating_sub(now());
        Some(left.as_micros().div_ceil(1000) as i64)
    }

    pub fn is_over(self) -> bool {
        self.left() == Some(0)
    }

    /// Timeout of a step that may take `longest`, in milliseconds; at least 1, as 0 means no timeout to some
    /// calls.
    pub fn of(self, longest: Duration) -> i64 {
        let longest = longest.as_millis() as i64;
        self.left().map_or(longest, |left| left.clamp(1, longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeout_of_a_step_is_not_longer_than_the_remaining_time() {
        let step = Duration::from_secs(5);
        assert_eq!(Limit::NONE.of(step), 5000);
        assert_eq!(Limit::within(Duration::from_secs(60)).of(step), 5000);
        assert!(Limit::within(Duration::from_secs(2)).of(step) <= 2000);
        let over = Limit::within(Duration::ZERO);
        assert!(over.is_over());
        assert_eq!(over.of(step), 1);
    }

    #[test]
    fn earlier_of_two_deadlines_holds() {
        let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
        assert!(Limit::NONE.at_most(second).left().is_some_and(|left| left <= 1000));
        assert!(Limit::within(minute).at_most(second).left().is_some_and(|left| left <= 1000));
        assert!(Limit::within(second).at_most(minute).left().is_some_and(|left| left <= 1000));
    }

    #[test]
    fn deadline_of_the_caller_stays_when_that_of_lonetd_passes() {
        let minute = Duration::from_secs(60);
        let over = Limit::within(minute).and_of_lonetd(Duration::ZERO);
        assert!(over.is_over());
        assert!(!over.without_lonetds().is_over());
        assert!(!over.forgiven(minute).is_over());
        assert!(Limit::within(Duration::ZERO).forgiven(minute).is_over());
    }

    #[test]
    fn caller_with_a_deadline_gives_lonetd_no_other() {
        let second = Duration::from_secs(1);
        assert!(Limit::NONE.or_of_lonetd(second).left().is_some_and(|left| left <= 1000));
        let own = Limit::within(Duration::from_secs(60)).or_of_lonetd(second);
        assert!(own.left().is_some_and(|left| left > 1000));
    }
}
