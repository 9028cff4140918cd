//! Keep-alive of one connection: ping after silence, again while unanswered, then the end.
//!
//! `partisan_peer_service_client`'s and `_server`'s ping rules, without their defects: a late pong
//! is as good as any other sign of life, and keep-alive can be switched off.

use crate::config::KeepAliveConfig;
use crate::time::{Duration, Instant};

/// The keep-alive state of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeepAlive {
    heard: Instant,
    pinged: Instant,
    /// Begins anew after the greatest: no connection has so many pings unanswered.
    last_ping: u32,
    attempts: u8,
    /// The accepting side waits a quarter longer before it pings.
    dialled: bool,
}

/// What to do when the timer fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing until then.
    Wait(Instant),
    /// Send a ping with this number and look again at that time.
    Ping(u64, Instant),
    /// Give the connection up.
    Dead,
}

/// What a pong is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PongValue {
    /// It answers the last ping: so long was the round trip.
    RoundTrip(Duration),
    /// It answers an earlier ping.
    Late,
    /// It answers no ping of ours.
    Stray,
}

impl KeepAlive {
    pub(super) const fn new(now: Instant, dialled: bool) -> Self {
        Self { heard: now, pinged: now, last_ping: 0, attempts: 0, dialled }
    }

    /// Until when silence is no reason for a ping; at first, when to look for the first time.
    pub(super) fn quiet_until(&self, config: &KeepAliveConfig) -> Instant {
        let longer = if self.dialled { Duration::ZERO } else { config.idle_timeout / 4 };
        self.heard + config.idle_timeout.saturating_add(longer)
    }

    /// Anything arrived.
    pub(super) const fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.attempts = 0;
    }

    pub(super) fn due(&mut self, config: &KeepAliveConfig, now: Instant) -> Due {
        let quiet_until = self.quiet_until(config);
        if self.attempts == 0 && now < quiet_until {
            return Due::Wait(quiet_until);
        }
        if self.attempts >= config.max_attempts {
            return Due::Dead;
        }
        self.ping(config, now)
    }

    fn ping(&mut self, config: &KeepAliveConfig, now: Instant) -> Due {
        self.attempts += 1;
        Due::Ping(self.measure(now), now + config.ping_timeout)
    }

    /// The number of a ping that only measures: unanswered, it is no reproach.
    pub(super) const fn measure(&mut self, now: Instant) -> u64 {
        self.last_ping = match self.last_ping.checked_add(1) {
            Some(next) => next,
            None => 1,
        };
        self.pinged = now;
        self.last_ping as u64
    }

    /// There is reason to doubt the connection: one ping, one chance. `None` when it is on its
    /// last chance already: more doubts do not lengthen that.
    pub(super) fn suspect(&mut self, config: &KeepAliveConfig, now: Instant) -> Option<Due> {
        if self.attempts >= config.max_attempts {
            return None;
        }
        let due = self.ping(config, now);
        self.attempts = config.max_attempts;
        Some(due)
    }

    pub(super) fn pong(&self, now: Instant, id: u64) -> PongValue {
        match id {
            0 => PongValue::Stray,
            _ if id == u64::from(self.last_ping) => PongValue::RoundTrip(now.since(self.pinged)),
            _ if id < u64::from(self.last_ping) => PongValue::Late,
            _ => PongValue::Stray,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_secs(seconds)
    }

    fn dialled() -> (KeepAlive, KeepAliveConfig) {
        (KeepAlive::new(Instant::ZERO, true), KeepAliveConfig::default())
    }

    /// Runtime checklist K1 and K3: the exact instants of Partisan's defaults.
    #[test]
    fn pings_at_20_30_40_50_60_and_gives_up_at_70_seconds() {
        let (mut keep_alive, config) = dialled();
        assert_eq!(keep_alive.quiet_until(&config), at(20));
        assert_eq!(keep_alive.due(&config, Instant::from_millis(19_999)), Due::Wait(at(20)));
        for (ping, seconds) in (1..=5).zip((20..).step_by(10)) {
            assert_eq!(keep_alive.due(&config, at(seconds)), Due::Ping(ping, at(seconds + 10)));
        }
        assert_eq!(keep_alive.due(&config, at(70)), Due::Dead);
    }

    /// K2.
    #[test]
    fn the_accepting_side_waits_a_quarter_longer() {
        let (keep_alive, config) =
            (KeepAlive::new(Instant::ZERO, false), KeepAliveConfig::default());
        assert_eq!(keep_alive.quiet_until(&config), at(25));
    }

    /// K11.
    #[test]
    fn any_sign_of_life_starts_over() {
        let (mut keep_alive, config) = dialled();
        keep_alive.due(&config, at(20));
        keep_alive.due(&config, at(30));
        keep_alive.heard(at(35));
        assert_eq!(keep_alive.due(&config, at(40)), Due::Wait(at(55)));
        assert_eq!(keep_alive.due(&config, at(55)), Due::Ping(3, at(65)));
    }

    /// K4.
    #[test]
    fn a_late_pong_is_a_sign_of_life_and_a_stray_one_is_none() {
        let (mut keep_alive, config) = dialled();
        keep_alive.due(&config, at(20));
        keep_alive.due(&config, at(30));
        assert_eq!(keep_alive.pong(at(31), 2), PongValue::RoundTrip(Duration::from_secs(1)));
        assert_eq!(keep_alive.pong(at(31), 1), PongValue::Late);
        assert_eq!(keep_alive.pong(at(31), 0), PongValue::Stray);
        assert_eq!(keep_alive.pong(at(31), 9), PongValue::Stray);
    }

    #[test]
    fn every_number_of_attempts_that_is_allowed_can_be_made() {
        let config = KeepAliveConfig { max_attempts: u8::MAX, ..KeepAliveConfig::default() };
        let mut keep_alive = KeepAlive::new(Instant::ZERO, true);
        let pings = (0..).take_while(|i| keep_alive.due(&config, at(20 + 10 * i)) != Due::Dead);
        assert_eq!(pings.count(), 255);
        assert_eq!(keep_alive.suspect(&config, at(20)), None);
    }

    #[test]
    fn a_suspected_connection_has_one_chance() {
        let (mut keep_alive, config) = dialled();
        assert_eq!(keep_alive.suspect(&config, at(5)), Some(Due::Ping(1, at(15))));
        assert_eq!(keep_alive.suspect(&config, at(14)), None);
        assert_eq!(keep_alive.due(&config, at(15)), Due::Dead);
        keep_alive.heard(at(15));
        assert_eq!(keep_alive.due(&config, at(15)), Due::Wait(at(35)));
    }
}
