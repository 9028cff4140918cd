//! Which strategy the pluggable manager follows, and the configuration of SCAMP.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::{duration_text, positive, within};
use crate::error::ConfigError;

/// The membership strategy of the pluggable manager.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StrategyConfig {
    /// Everybody knows everybody.
    #[default]
    Full,
    /// SCAMP with removals that are flooded (`partisan_scamp_v1_membership_strategy`).
    #[serde(rename = "scamp-v1")]
    ScampV1(ScampConfig),
    /// SCAMP with views that are repaired when a member leaves
    /// (`partisan_scamp_v2_membership_strategy`).
    #[serde(rename = "scamp-v2")]
    ScampV2(ScampConfig),
}

/// The SCAMP strategies. The period that some of these count in is `gossip_interval`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScampConfig {
    /// How many copies of a subscription a contact sends besides one to each of its view; a greater
    /// number makes views larger and the overlay survive more failures. Default 5 (Partisan's
    /// `scamp_c`).
    pub copies: usize,
    /// After how many hops a subscription is kept by whoever has it then. Default 100: most are
    /// kept before, by the rule of the paper.
    pub hop_limit: u16,
    /// After how many periods without a heartbeat a node takes itself for isolated and subscribes
    /// anew. Default 10 (Partisan's `scamp_message_window`).
    pub window: u32,
    /// How long a member of the view may be unreachable before it is dropped. Default 75 s, as long
    /// as keep-alive takes to notice that a connection is dead.
    #[serde(with = "duration_text")]
    pub dead_after: Duration,
    /// How long a subscription lasts: views drop it then, and whoever subscribed does so anew a
    /// period before. Zero: for ever. Default zero.
    #[serde(with = "duration_text")]
    pub lease: Duration,
    /// Over how many random members a contact passes a new subscription on before it is run (the
    /// paper's indirection). Without it a cluster that is joined through one contact for all has
    /// views several times as large as it needs; with it they are somewhat smaller where contacts
    /// are random. Default 3: with one contact the mean view is 0.6, 0.7 and 1.9 times that of the
    /// formula for 100, 200 and 1,000 nodes; longer walks lead back to the contact.
    pub indirection: u16,
    /// The most members of the view; a subscription beyond them is passed on. Default 1,000.
    pub max_view: usize,
}

impl Default for ScampConfig {
    fn default() -> Self {
        Self {
            copies: 5,
            hop_limit: 100,
            window: 10,
            dead_after: Duration::from_secs(75),
            lease: Duration::ZERO,
            indirection: 3,
            max_view: 1_000,
        }
    }
}

impl StrategyConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::Full => Ok(()),
            Self::ScampV1(scamp) | Self::ScampV2(scamp) => scamp.validate(),
        }
    }
}

impl ScampConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        within("scamp.copies", self.copies as u64, 0, 100)?;
        within("scamp.hop_limit", u64::from(self.hop_limit), 1, 10_000)?;
        within("scamp.window", u64::from(self.window), 1, 1_000_000)?;
        within("scamp.indirection", u64::from(self.indirection), 0, 1_000)?;
        within("scamp.max_view", self.max_view as u64, 1, 1 << 16)?;
        positive("scamp.dead_after", self.dead_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_for_nobody_and_a_walk_of_no_hops_are_refused() {
        let check = |config: ScampConfig| StrategyConfig::ScampV2(config).validate();
        check(ScampConfig::default()).unwrap();
        check(ScampConfig { copies: 0, ..ScampConfig::default() }).unwrap();
        let error = check(ScampConfig { max_view: 0, ..ScampConfig::default() });
        assert!(matches!(error, Err(ConfigError::Range { key: "scamp.max_view", .. })));
        let error = check(ScampConfig { hop_limit: 0, ..ScampConfig::default() });
        assert!(matches!(error, Err(ConfigError::Range { key: "scamp.hop_limit", .. })));
    }
}
