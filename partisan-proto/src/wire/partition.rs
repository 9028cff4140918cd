//! The messages of injected partitions.

use serde::{Deserialize, Serialize};

/// What injected partitions send: see `partitions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum PartitionMessage {
    /// Nothing yet.
    Nothing,
}
