//! The messages of broadcast trees.

use serde::{Deserialize, Serialize};

/// What the parts of broadcast trees send: see `broadcast`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum PlumtreeMessage {
    /// Nothing yet.
    Nothing,
}
