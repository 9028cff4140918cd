//! The messages of the HyParView manager.

use serde::{Deserialize, Serialize};

/// What the HyParView manager send: see `manager::hyparview`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum HyParViewMessage {
    /// Nothing yet.
    Nothing,
}
