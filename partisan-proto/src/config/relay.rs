//! The configuration of relayed messages.

use serde::{Deserialize, Serialize};

use super::within;
use crate::error::ConfigError;
use crate::wire::MAX_RELAY_TTL;

/// How messages to nodes that are not connected travel: see [`relay`](crate::relay).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelayConfig {
    /// How many hops a message makes at most before the last one, to its target, 1 to
    /// [`MAX_RELAY_TTL`]; so a target is reached over `ttl + 1` hops. Default 5 (Partisan's
    /// `relay_ttl`). In a partial view of five neighbours that reaches some thousands of nodes.
    pub ttl: u8,
    /// How many nodes are remembered, 1 to 65,536: the way to each, and which of its messages have
    /// been here. The one not heard of for the longest time is forgotten first; a copy of one of
    /// its messages that comes later counts as new. Default 1,024.
    pub max_known: usize,
    /// How many of the newest messages of each node are told apart, 64 to 65,536, rounded up to a
    /// multiple of 64. One older than these is dropped, since nobody knows whether it has been here
    /// already. Costs one bit a message and node. Default 1,024.
    pub window: usize,
    /// How many notices of what became of messages a node sends in a second, 1 to 65,536; others
    /// are left out and counted. They travel on the membership channel, which must not be flooded.
    /// Default 100.
    pub notices_per_second: u32,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self { ttl: 5, max_known: 1_024, window: 1_024, notices_per_second: 100 }
    }
}

impl RelayConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        within("relay.ttl", u64::from(self.ttl), 1, u64::from(MAX_RELAY_TTL))?;
        within("relay.max_known", self.max_known as u64, 1, 1 << 16)?;
        within("relay.window", self.window as u64, 64, 1 << 16)?;
        within("relay.notices_per_second", u64::from(self.notices_per_second), 1, 1 << 16)
    }
}
