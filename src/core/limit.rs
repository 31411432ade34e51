//! How long something may take that is done in several steps.

use crate::sys;
use std::time::Duration;

/// How long lonetd may take for anything.
pub const TIME_LIMIT_SECONDS: i64 = 5;
pub const TIME_LIMIT: Duration = Duration::from_secs(TIME_LIMIT_SECONDS as u64);

/// A moment at which whoever waits gives up, or none; on the clock that nobody sets.
///
/// There are two: one that holds whatever happens, and one for what lonetd may take, of which time that it waits for a
/// processor is no part.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    end: Option<Duration>,
    lonetds: Option<Duration>,
}

fn now() -> Duration {
    sys::clock(libc::CLOCK_MONOTONIC)
}

impl Limit {
    pub const NONE: Limit = Limit { end: None, lonetds: None };

    pub fn within(time: Duration) -> Limit {
        Limit::NONE.at_most(time)
    }

    /// This one, or the end of `time` if that comes first.
    pub fn at_most(self, time: Duration) -> Limit {
        let end = now().saturating_add(time);
        Limit { end: Some(self.end.map_or(end, |old| old.min(end))), ..self }
    }

    /// This one, or if it is none, `time` for lonetd.
    pub fn or_of_lonetd(self, time: Duration) -> Limit {
        if self.first().is_some() { self } else { self.and_of_lonetd(time) }
    }

    /// This one, and no more than `time` for lonetd.
    pub fn and_of_lonetd(self, time: Duration) -> Limit {
        let end = now().saturating_add(time);
        Limit { lonetds: Some(self.lonetds.map_or(end, |old| old.min(end))), ..self }
    }

    /// This one, after lonetd has done something: if that took longer than it may take, it had no processor, and has `time`
    /// for what comes next.
    pub fn forgiven(self, time: Duration) -> Limit {
        let is_over = self.lonetds.is_some_and(|end| end <= now());
        if is_over { self.without_lonetds().and_of_lonetd(time) } else { self }
    }

    /// What holds while lonetd has no processor, too.
    pub fn without_lonetds(self) -> Limit {
        Limit { lonetds: None, ..self }
    }

    fn first(self) -> Option<Duration> {
        [self.end, self.lonetds].into_iter().flatten().min()
    }

    /// Milliseconds, rounded up.
    pub fn left(self) -> Option<i64> {
        let left = self.first()?.saturating_sub(now());
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

    #[test]
    fn time_of_lonetds_that_is_over_leaves_the_callers() {
        let minute = Duration::from_secs(60);
        let over = Limit::within(minute).and_of_lonetd(Duration::ZERO);
        assert!(over.is_over());
        assert!(!over.without_lonetds().is_over());
        assert!(!over.forgiven(minute).is_over());
        assert!(Limit::within(Duration::ZERO).forgiven(minute).is_over());
    }

    #[test]
    fn caller_with_a_limit_gives_lonetd_no_other() {
        let second = Duration::from_secs(1);
        assert!(Limit::NONE.or_of_lonetd(second).left().is_some_and(|left| left <= 1000));
        let own = Limit::within(Duration::from_secs(60)).or_of_lonetd(second);
        assert!(own.left().is_some_and(|left| left > 1000));
    }
}
