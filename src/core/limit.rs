//! How long something may take that is done in several steps.

use std::time::{Duration, Instant};

/// A moment at which whoever waits gives up, or none.
#[derive(Clone, Copy, Debug)]
pub struct Limit(Option<Instant>);

impl Limit {
    pub const NONE: Limit = Limit(None);

    pub fn within(time: Duration) -> Limit {
        Limit(Some(Instant::now() + time))
    }

    /// Milliseconds, rounded up.
    pub fn left(self) -> Option<i64> {
        let left = self.0?.saturating_duration_since(Instant::now());
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
}
