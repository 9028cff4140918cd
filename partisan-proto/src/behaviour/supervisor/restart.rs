//! How often children may be started again.

use alloc::collections::VecDeque;

use crate::time::{Duration, Instant};

/// The restarts within the period.
#[derive(Debug, Default)]
pub(super) struct Restarts(VecDeque<Instant>);

impl Restarts {
    /// One more; whether that is allowed.
    pub(super) fn add(&mut self, now: Instant, intensity: usize, period: Duration) -> bool {
        while self.0.front().is_some_and(|first| now.since(*first) > period) {
            self.0.pop_front();
        }
        self.0.push_back(now);
        self.0.len() <= intensity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_intensity_within_the_period_are_too_many() {
        let mut restarts = Restarts::default();
        let mut add = |at| restarts.add(Instant::from_secs(at), 2, Duration::from_secs(5));
        assert!(add(0) && add(5), "two are allowed");
        assert!(!add(5), "the one at 0 is within the period still");
        assert!(!add(6), "those at 5 are");
        assert!(add(12));
    }
}
