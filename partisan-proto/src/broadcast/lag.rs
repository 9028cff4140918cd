//! How long an announced message usually takes to come by itself, and one that was asked for.
//!
//! A smoothed mean and a smoothed deviation, as TCP estimates round trips (Jacobson 1988): who asks
//! for a message after the mean and four deviations seldom asks in vain, and who has asked in vain
//! learns from it.

use crate::time::Duration;

/// An estimate, in the form in which it is learned. By default it says not to wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Lag {
    mean: Duration,
    deviation: Duration,
}

impl Lag {
    /// Nothing is known yet: wait this long.
    pub(super) fn new(first: Duration) -> Self {
        Self { mean: first / 4, deviation: first / 16 * 3 }
    }

    /// One message took so long.
    pub(super) fn learn(&mut self, lag: Duration) {
        let distance = lag.abs_diff(self.mean);
        self.deviation = self.deviation / 4 * 3 + distance / 4;
        self.mean = self.mean / 8 * 7 + lag / 8;
    }

    /// How long to wait.
    pub(super) fn timeout(&self) -> Duration {
        self.mean.saturating_add(self.deviation.saturating_mul(4))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_wait_is_as_configured_and_later_ones_as_learned() {
        let first = Duration::from_millis(400);
        let mut lag = Lag::new(first);
        assert_eq!(lag.timeout(), first);
        (0..50).for_each(|_| lag.learn(Duration::from_millis(20)));
        assert!(lag.timeout() < Duration::from_millis(25), "{lag:?}");
        lag.learn(Duration::from_secs(1));
        assert!(lag.timeout() > Duration::from_millis(900), "one late one is enough: {lag:?}");
    }
}
