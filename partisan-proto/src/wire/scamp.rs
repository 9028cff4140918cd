//! The messages of the SCAMP strategies.

use serde::{Deserialize, Serialize};

/// What the SCAMP strategies send: see `manager::pluggable`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum ScampMessage {
    /// Nothing yet.
    Nothing,
}
