//! The configuration of injected partitions.

use serde::{Deserialize, Serialize};

use super::within;
use crate::error::ConfigError;
use crate::wire::MAX_PARTITIONS;

/// How many injected partitions a node puts up with: see [`partitions`](crate::partitions).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PartitionsConfig {
    /// The most partitions that a node takes part in at a time, 0 to [`MAX_PARTITIONS`]; another is
    /// refused, and not passed on. Nought forbids them on this node. Default 16.
    pub max_active: usize,
    /// Of how many nodes a node remembers which of the partitions injected there are over, 16 to
    /// 65,536, so that what is still on its way does not bring them back; the one not spoken of for
    /// the longest time is forgotten first. Default 256.
    pub max_resolved: usize,
}

impl Default for PartitionsConfig {
    fn default() -> Self {
        Self { max_active: 16, max_resolved: 256 }
    }
}

impl PartitionsConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        within("partitions.max_active", self.max_active as u64, 0, MAX_PARTITIONS as u64)?;
        within("partitions.max_resolved", self.max_resolved as u64, 16, 1 << 16)
    }
}
