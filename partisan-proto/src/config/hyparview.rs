//! The configuration of the HyParView manager and of X-BOT.

use alloc::collections::BTreeMap;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::{duration_text, positive, within};
use crate::error::ConfigError;
use crate::id::Tag;

/// The HyParView manager (`partisan_hyparview_peer_service_manager`): a small active view of
/// connected neighbours, and a larger passive view to replace them from.
///
/// Sizes are those of the paper (Leitão, Pereira, Rodrigues: HyParView, DSN 2007), for some 10,000
/// nodes; periods are Partisan's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HyParViewConfig {
    /// The most neighbours, this node not counted; at least 2. Default 5 (Partisan's
    /// `active_max_size` of 6 counts the node itself).
    pub active_size: usize,
    /// The most nodes kept in reserve. Default 30.
    pub passive_size: usize,
    /// How many hops a joiner's walks and shuffles make (the paper's ARWL). Default 6.
    pub active_walk: u8,
    /// With so many hops left, a joiner on its way is taken into passive views (the paper's PRWL).
    /// Default 3; Partisan's default of 6 lets the first hop alone do it.
    pub passive_walk: u8,
    /// The period of shuffles. Default 10 s.
    #[serde(with = "duration_text")]
    pub shuffle_interval: Duration,
    /// How many neighbours a shuffle names at most. Default 3.
    pub shuffle_active: usize,
    /// How many nodes of the passive view a shuffle names at most. Default 4.
    pub shuffle_passive: usize,
    /// How many nodes in reserve must be found alive in a row, after a neighbour was lost that did
    /// not leave, or somebody could not be reached, until they are believed in again. Each shuffle
    /// checks two, and who cannot be reached is forgotten. Nobody is checked twice for one loss; 0:
    /// nobody ever is. Default 16.
    pub checks: usize,
    /// How often a node that lacks neighbours looks for more; ever less often, up to 8 times this,
    /// while it finds none. The loss of a neighbour is answered at once. Default 5 s (Partisan's
    /// `random_promotion_interval`).
    #[serde(with = "duration_text")]
    pub promotion_interval: Duration,
    /// How many candidates are asked at a time. Default 3.
    pub parallel_requests: usize,
    /// How long a session may last without the two being neighbours, and an answer may take. Default
    /// 5 s.
    #[serde(with = "duration_text")]
    pub answer_timeout: Duration,
    /// How long the session with a former neighbour is kept, so that what is on its way arrives.
    /// Default 1 s.
    #[serde(with = "duration_text")]
    pub draining: Duration,
    /// A full node that was asked to make room does so at most this often for those who join
    /// through it, or who were lost for a while; others are sent on. Default 1 s.
    #[serde(with = "duration_text")]
    pub eviction_pause: Duration,
    /// How many that join one contact within a second are led through the overlay by walks; more
    /// are told of each other instead. Default 128.
    pub joins_per_second: u32,
    /// How many nodes besides those of the views are remembered, for times when no other can be
    /// reached. Default 200.
    pub remembered: usize,
    /// How often somebody is dialled who could not be reached, in case a partition has healed.
    /// Nobody is while nobody was lost. Default 30 s.
    #[serde(with = "duration_text")]
    pub healing_interval: Duration,
    /// How long the removal of a node is remembered, so that stale news does not bring it back.
    /// Default 1 h.
    #[serde(with = "duration_text")]
    pub removal_memory: Duration,
    /// The most removals remembered; the oldest is forgotten first. Default 1,000.
    pub max_removals: usize,
    /// The shortest time between two times that the views are stored; zero: they are never stored.
    /// Default 10 s.
    #[serde(with = "duration_text")]
    pub store_interval: Duration,
    /// The most joins under way at once; another fails. Default 64.
    pub max_joins: usize,
    /// The most sessions with nodes that are no neighbours; one more knock is turned away. Default
    /// 1,024.
    pub max_strangers: usize,
    /// How many places in the active view are kept for peers with a tag (Partisan's
    /// `reservations`). Together no more than `active_size`. Default none.
    pub reservations: BTreeMap<Tag, usize>,
    /// Optimises whom the active view holds by what links cost; none: nobody is exchanged. Default
    /// none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xbot: Option<XBotConfig>,
}

/// X-BOT (Leitão, Marques, Pereira, Rodrigues: X-BOT, SRDS 2009): exchanges neighbours for cheaper
/// ones, four nodes at a time, so that nobody gains or loses one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct XBotConfig {
    /// How often a node tries an exchange; drawn between half of it and one and a half of it.
    /// Default 10 s.
    #[serde(with = "duration_text")]
    pub interval: Duration,
    /// How many candidates of the passive view are looked at each time (the passive scan length).
    /// Default 2.
    pub candidates: usize,
    /// How many neighbours, those with the dearest links, are never exchanged: they keep the
    /// overlay a random graph. At least 1, which halves what is left to gain and lengthens paths by
    /// a seventh; fewer than `active_size`. Default 1.
    pub protected: usize,
    /// What links cost.
    pub oracle: Oracle,
    /// Who must gain.
    pub criterion: Criterion,
    /// By how many percent a link, or the two together, must become cheaper, so that noise in what
    /// is measured exchanges nobody, and the last little gains do not lengthen paths. Default 30.
    pub least_gain: u32,
    /// By how much they must become cheaper at least, in the unit of the oracle: microseconds for
    /// round-trip times. More than these differ by themselves. Default 1,000.
    pub least_saving: u32,
    /// How long what was measured is believed; older costs count as unknown, and an unknown cost
    /// never wins. Default 5 min.
    #[serde(with = "duration_text")]
    pub cost_memory: Duration,
    /// How long an exchange may take. Default 10 s.
    #[serde(with = "duration_text")]
    pub round_timeout: Duration,
}

/// What links cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Oracle {
    /// The round-trip time, averaged over what was measured.
    #[default]
    RoundTrip,
    /// What the application answers to [`Question::Cost`](crate::Question::Cost).
    Application,
}

/// Who must gain by an exchange.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Criterion {
    /// Both new links, each against the old link of whoever decides on it.
    Each,
    /// The two new links together, against the two old ones: finds more exchanges, none of which
    /// makes the sum greater.
    #[default]
    Sum,
}

impl Default for HyParViewConfig {
    fn default() -> Self {
        Self {
            active_size: 5,
            passive_size: 30,
            active_walk: 6,
            passive_walk: 3,
            shuffle_interval: Duration::from_secs(10),
            shuffle_active: 3,
            shuffle_passive: 4,
            checks: 16,
            promotion_interval: Duration::from_secs(5),
            parallel_requests: 3,
            answer_timeout: Duration::from_secs(5),
            draining: Duration::from_secs(1),
            eviction_pause: Duration::from_secs(1),
            joins_per_second: 128,
            remembered: 200,
            healing_interval: Duration::from_secs(30),
            removal_memory: Duration::from_secs(3600),
            max_removals: 1_000,
            store_interval: Duration::from_secs(10),
            max_joins: 64,
            max_strangers: 1_024,
            reservations: BTreeMap::new(),
            xbot: None,
        }
    }
}

impl Default for XBotConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            candidates: 2,
            protected: 1,
            oracle: Oracle::default(),
            criterion: Criterion::default(),
            least_gain: 30,
            least_saving: 1_000,
            cost_memory: Duration::from_secs(300),
            round_timeout: Duration::from_secs(10),
        }
    }
}

impl HyParViewConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        // Views of one would make pairs that are cut off from each other.
        within("manager.hyparview.active_size", self.active_size as u64, 2, 1_000)?;
        within("manager.hyparview.passive_size", self.passive_size as u64, 1, 10_000)?;
        within("manager.hyparview.active_walk", u64::from(self.active_walk), 1, 30)?;
        if self.passive_walk > self.active_walk {
            return Err(ConfigError::Order {
                smaller: "manager.hyparview.passive_walk",
                greater: "manager.hyparview.active_walk",
            });
        }
        positive("manager.hyparview.shuffle_interval", self.shuffle_interval)?;
        within("manager.hyparview.shuffle_active", self.shuffle_active as u64, 0, 15)?;
        within("manager.hyparview.shuffle_passive", self.shuffle_passive as u64, 0, 15)?;
        within("manager.hyparview.checks", self.checks as u64, 0, 10_000)?;
        positive("manager.hyparview.promotion_interval", self.promotion_interval)?;
        within("manager.hyparview.parallel_requests", self.parallel_requests as u64, 1, 100)?;
        positive("manager.hyparview.answer_timeout", self.answer_timeout)?;
        positive("manager.hyparview.draining", self.draining)?;
        within("manager.hyparview.joins_per_second", u64::from(self.joins_per_second), 1, 100_000)?;
        within("manager.hyparview.remembered", self.remembered as u64, 0, 1 << 16)?;
        positive("manager.hyparview.healing_interval", self.healing_interval)?;
        positive("manager.hyparview.removal_memory", self.removal_memory)?;
        within("manager.hyparview.max_removals", self.max_removals as u64, 1, 1 << 20)?;
        within("manager.hyparview.max_joins", self.max_joins as u64, 1, 1 << 16)?;
        within("manager.hyparview.max_strangers", self.max_strangers as u64, 1, 1 << 20)?;
        let reserved: usize = self.reservations.values().fold(0, |sum, n| sum.saturating_add(*n));
        let most = self.active_size as u64;
        within("the sum of manager.hyparview.reservations", reserved as u64, 0, most)?;
        self.xbot.as_ref().map_or(Ok(()), |xbot| xbot.validate(self.active_size))
    }
}

impl XBotConfig {
    fn validate(&self, active_size: usize) -> Result<(), ConfigError> {
        positive("manager.hyparview.xbot.interval", self.interval)?;
        within("manager.hyparview.xbot.candidates", self.candidates as u64, 1, 100)?;
        // With none left to exchange it would do nothing.
        let most = active_size.saturating_sub(1) as u64;
        within("manager.hyparview.xbot.protected", self.protected as u64, 1, most)?;
        within("manager.hyparview.xbot.least_gain", u64::from(self.least_gain), 0, 100)?;
        positive("manager.hyparview.xbot.cost_memory", self.cost_memory)?;
        positive("manager.hyparview.xbot.round_timeout", self.round_timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut HyParViewConfig)) -> Result<(), ConfigError> {
        let mut config = HyParViewConfig::default();
        change(&mut config);
        config.validate()
    }

    #[test]
    fn the_defaults_are_valid_and_are_those_of_the_paper() {
        check(|_| {}).unwrap();
        check(|config| config.xbot = Some(XBotConfig::default())).unwrap();
        let config = HyParViewConfig::default();
        assert_eq!((config.active_size, config.passive_size), (5, 30));
        assert_eq!((config.active_walk, config.passive_walk), (6, 3));
        assert_eq!((config.shuffle_active, config.shuffle_passive), (3, 4));
    }

    #[test]
    fn what_cannot_work_is_refused_by_its_key() {
        let walks = check(|config| config.passive_walk = 7);
        assert!(matches!(walks, Err(ConfigError::Order { .. })));
        let alone = check(|config| config.active_size = 1);
        assert!(matches!(
            alone,
            Err(ConfigError::Range { key: "manager.hyparview.active_size", .. })
        ));
        let tag = |name| Tag::new(name).unwrap();
        let reserved = check(|config| {
            config.reservations = [(tag("a"), 3), (tag("b"), 3)].into();
        });
        assert!(matches!(reserved, Err(ConfigError::Range { given: 6, most: 5, .. })));
        let unprotected = check(|config| {
            config.xbot = Some(XBotConfig { protected: 0, ..XBotConfig::default() });
        });
        assert!(matches!(unprotected, Err(ConfigError::Range { given: 0, .. })));
        let all_protected = check(|config| {
            config.xbot = Some(XBotConfig { protected: 5, ..XBotConfig::default() });
        });
        assert!(matches!(all_protected, Err(ConfigError::Range { given: 5, most: 4, .. })));
    }
}
