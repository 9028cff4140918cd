//! The messages of injected partitions.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::Bounded;
use crate::id::{Incarnation, NodeId};

/// The most partitions that a node may be in.
pub const MAX_PARTITIONS: usize = 64;

/// Which injected partition: unique in the life of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct PartitionId {
    /// The node at which it was injected.
    pub origin: NodeId,
    /// The node's life.
    pub incarnation: Incarnation,
    /// Which of those injected there.
    pub number: u32,
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.origin, self.incarnation, self.number)
    }
}

/// What injected partitions send: see `partitions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum PartitionMessage {
    /// Take part: send nothing more to your neighbours.
    Inject {
        /// Which partition.
        id: PartitionId,
        /// How many hops it may still be passed on.
        ttl: u8,
    },
    /// It is over.
    Resolve {
        /// Which partition.
        id: PartitionId,
        /// How many hops this may still be passed on.
        ttl: u8,
    },
    /// To a new neighbour: the sender is in these; are they over?
    Active(Bounded<PartitionId, MAX_PARTITIONS>),
}
