//! The messages of the client-server manager.

use serde::{Deserialize, Serialize};

/// What the client-server manager send: see `manager::client_server`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum StarMessage {
    /// Nothing yet.
    Nothing,
}
