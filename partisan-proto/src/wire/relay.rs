//! The messages of relayed messages.

use serde::{Deserialize, Serialize};

/// What relayed messages send: see `relay`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum RelayMessage {
    /// Nothing yet.
    Nothing,
}
