//! The configuration of calls.

use serde::{Deserialize, Serialize};

use super::within;
use crate::error::ConfigError;

/// How many calls may be under way: see [`call`](crate::call).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CallConfig {
    /// How many calls of this node wait for their answers at most, 1 to 16,777,216; one beyond
    /// fails at once. Default 65,536.
    pub max_asked: usize,
    /// How many calls of each peer this node answers at a time at most, 1 to 16,777,216, those of
    /// this node to itself counted alike; one beyond is answered
    /// [`Failure::Overloaded`](crate::call::Failure::Overloaded). Default 65,536.
    pub max_served: usize,
}

impl Default for CallConfig {
    fn default() -> Self {
        Self { max_asked: 1 << 16, max_served: 1 << 16 }
    }
}

impl CallConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        within("calls.max_asked", self.max_asked as u64, 1, 1 << 24)?;
        within("calls.max_served", self.max_served as u64, 1, 1 << 24)
    }
}
