//! The configuration of acknowledged and causal delivery.

use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::{duration_text, within};
use crate::error::ConfigError;
use crate::id::LabelName;
use crate::wire::MAX_DEPENDENCIES;

/// The most labels of causal delivery.
pub const MAX_LABELS: usize = 64;

/// How messages are delivered that must arrive: see [`delivery`](crate::delivery).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveryConfig {
    /// How long a message is kept and sent again until it is acknowledged, unless it says otherwise;
    /// then its sender is told that it failed. At most an hour. Default 60 s. (Partisan tries for
    /// ever.)
    #[serde(with = "duration_text")]
    pub expire_after: Duration,
    /// How long the acknowledgement of a message is waited for before it is sent again on a
    /// connection that stands; doubled each time up to [`DeliveryConfig::retransmit_most`]. What was
    /// lost with its connection is sent again at once. Default 1 s (Partisan's
    /// `retransmit_interval`).
    #[serde(with = "duration_text")]
    pub retransmit_after: Duration,
    /// The longest wait between two transmissions. Default 30 s.
    #[serde(with = "duration_text")]
    pub retransmit_most: Duration,
    /// How long acknowledgements are collected before they are sent. Default 0: for the length of
    /// one turn of the driver.
    #[serde(with = "duration_text")]
    pub acknowledge_after: Duration,
    /// How many messages wait for their acknowledgement at most, 1 to 16,777,216; one beyond is
    /// refused. Default 65,536.
    pub max_outstanding: usize,
    /// How many bytes their payloads have at most, 1 KiB to 1 TiB. Default 64 MiB.
    pub max_outstanding_bytes: usize,
    /// How far messages of one sender may overtake each other, 1 to 65,536: one that is more numbers
    /// ahead is not taken, and comes again. Default 4,096.
    pub max_ahead: usize,
    /// How many messages to one node that is not connected may be on their way by other nodes, 1 to
    /// 65,536, before the next ones wait for acknowledgements. Default 64.
    pub relay_window: usize,
    /// How many messages of a monotonic channel may be on their way for one destination and key,
    /// 1 to 65,536, before the next ones wait and replace each other. Default 16.
    pub monotonic_window: usize,
    /// For how many destinations and keys a message of a monotonic channel waits for its
    /// acknowledgement at most, and how many are told apart of each sender, 1 to 1,048,576; a message
    /// for one beyond is refused. What is for a node that is known no more (it left or was removed) is
    /// dropped after [`expire_after`](Self::expire_after). Default 4,096.
    pub max_places: usize,
    /// How many senders are remembered, so that what they send twice arrives once, 1 to 1,048,576.
    /// Beyond, the one not heard of for the longest time is forgotten, connected ones last. Default
    /// 4,096.
    pub max_senders: usize,
    /// The labels of causal delivery, the same on every node, each once; at most [`MAX_LABELS`].
    /// None by default.
    pub labels: Vec<LabelName>,
    /// How many causal messages of a label, and how many ordered ones of a sender, wait for those
    /// before them at most, 1 to 1,048,576; one beyond is not taken, and comes again. Default 1,024.
    pub max_waiting: usize,
    /// How many messages of each sender are told apart by what its application calls them
    /// ([`SendReliable::id`](crate::SendReliable::id)), 1 to 65,536: the last ones that were
    /// delivered. Default 256.
    pub max_ids: usize,
    /// How many dependencies a causal message may carry, 1 to 1,024; one with more is refused until
    /// acknowledgements arrive. Default 1,024.
    pub max_dependencies: usize,
    /// How long a causal or an ordered message waits at most for those before it, and how long dependencies are
    /// remembered; at least twice [`DeliveryConfig::expire_after`], since by then what has not
    /// arrived never will. Default 120 s.
    #[serde(with = "duration_text")]
    pub causal_patience: Duration,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            expire_after: Duration::from_secs(60),
            retransmit_after: Duration::from_secs(1),
            retransmit_most: Duration::from_secs(30),
            acknowledge_after: Duration::ZERO,
            max_outstanding: 1 << 16,
            max_outstanding_bytes: 64 << 20,
            max_ahead: 4_096,
            relay_window: 64,
            monotonic_window: 16,
            max_places: 4_096,
            max_senders: 4_096,
            labels: Vec::new(),
            max_waiting: 1_024,
            max_ids: 256,
            max_dependencies: 1_024,
            causal_patience: Duration::from_secs(120),
        }
    }
}

/// The longest that a message may be kept.
pub(crate) const LONGEST_EXPIRY: Duration = Duration::from_secs(3_600);

impl DeliveryConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let spans = [
            ("delivery.expire_after", self.expire_after),
            ("delivery.retransmit_after", self.retransmit_after),
        ];
        for (key, span) in spans {
            if span.is_zero() {
                return Err(ConfigError::Zero { key });
            }
        }
        let seconds = self.expire_after.as_secs();
        within("delivery.expire_after", seconds.max(1), 1, LONGEST_EXPIRY.as_secs())?;
        let order = |smaller, greater| Err(ConfigError::Order { smaller, greater });
        if self.retransmit_most < self.retransmit_after {
            return order("delivery.retransmit_after", "delivery.retransmit_most");
        }
        if self.causal_patience < 2 * self.expire_after {
            return order("twice delivery.expire_after", "delivery.causal_patience");
        }
        within("delivery.max_outstanding", self.max_outstanding as u64, 1, 1 << 24)?;
        let bytes = self.max_outstanding_bytes as u64;
        within("delivery.max_outstanding_bytes", bytes, 1 << 10, 1 << 40)?;
        within("delivery.max_ahead", self.max_ahead as u64, 1, 1 << 16)?;
        within("delivery.relay_window", self.relay_window as u64, 1, 1 << 16)?;
        within("delivery.monotonic_window", self.monotonic_window as u64, 1, 1 << 16)?;
        within("delivery.max_places", self.max_places as u64, 1, 1 << 20)?;
        within("delivery.max_senders", self.max_senders as u64, 1, 1 << 20)?;
        within("delivery.labels", self.labels.len() as u64, 0, MAX_LABELS as u64)?;
        within("delivery.max_waiting", self.max_waiting as u64, 1, 1 << 20)?;
        within("delivery.max_ids", self.max_ids as u64, 1, 1 << 16)?;
        within(
            "delivery.max_dependencies",
            self.max_dependencies as u64,
            1,
            MAX_DEPENDENCIES as u64,
        )?;
        let mut labels = self.labels.iter().enumerate();
        match labels.find(|(place, label)| self.labels[..*place].contains(label)) {
            Some((_, label)) => Err(ConfigError::LabelTwice { label: label.clone() }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_is_given_twice_is_refused_by_name() {
        let label = |name| LabelName::new(name).unwrap();
        let labels = [label("room"), label("hall"), label("room")];
        let config = DeliveryConfig { labels: labels[..2].into(), ..DeliveryConfig::default() };
        assert_eq!(config.validate(), Ok(()));
        let twice = DeliveryConfig { labels: labels.into(), ..config }.validate();
        assert_eq!(twice, Err(ConfigError::LabelTwice { label: label("room") }));
    }
}
