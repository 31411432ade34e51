//! How long something may take that is done in several steps.

use crate::sys;
use std::time::Duration;

/// A moment at which whoever waits gives up, or none; on the clock that nobody sets.
#[derive(Clone, Copy, Debug)]
pub struct Limit(Option<Duration>);

fn now() -> Duration {
    sys::clock(libc::CLOCK_MONOTONIC)
}

impl Limit {
    pub const NONE: Limit = Limit(None);

    pub fn within(time: Duration) -> Limit {
        Limit(Some(now().saturating_add(time)))
    }

    /// This one, or if it is none, the end of `time`.
    pub fn or_within(self, time: Duration) -> Limit {
        if self.0.is_some() { self } else { Limit::within(time) }
    }

    /// This one, or the end of `time` if that comes first.
    pub fn at_most(self, time: Duration) -> Limit {
        let end = now().saturating_add(time);
        Limit(Some(self.0.map_or(end, |limit| limit.min(end))))
    }

    /// Milliseconds, rounded up.
    pub fn left(self) -> Option<i64> {
        let left = self.0?.saturating_sub(now());
        Some(left.as_micros().div_ceil(1000) as i64)
    }

    pub fn is_over(self) -> bool {
        self.left() == Some(0)
    }

    /// What is left, in milliseconds, of a step that may take `longest`; 1 at least, as 0 is no limit to some calls.
    pub fn of(self, longest: Duration) -> i64 {
        let longest = longest.as_millis() as i64;
        self.left().map_or(longest, |left| left.clamp(1, longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_takes_no_longer_than_what_is_left() {
        let step = Duration::from_secs(5);
        assert_eq!(Limit::NONE.of(step), 5000);
        assert_eq!(Limit::within(Duration::from_secs(60)).of(step), 5000);
        assert!(Limit::within(Duration::from_secs(2)).of(step) <= 2000);
        let over = Limit::within(Duration::ZERO);
        assert!(over.is_over());
        assert_eq!(over.of(step), 1);
    }

    #[test]
    fn earlier_of_two_limits_holds() {
        let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
        assert!(Limit::NONE.at_most(second).left().is_some_and(|left| left <= 1000));
        assert!(Limit::within(minute).at_most(second).left().is_some_and(|left| left <= 1000));
        assert!(Limit::within(second).at_most(minute).left().is_some_and(|left| left <= 1000));
    }
}
