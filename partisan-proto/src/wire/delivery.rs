//! Messages that must arrive, and their acknowledgements.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Bounded, Destination, read_whole};
use crate::id::{Instance, LabelId};

/// The most dependencies that a causal message carries.
pub const MAX_DEPENDENCIES: usize = 1_024;
/// The most ranges in one [`Acknowledgement`].
pub const MAX_RANGES: usize = 256;

/// What stands before the payload of a message that must arrive.
///
/// ```text
/// length:u16 postcard(ReliableHeader)    as of a request
/// application header                     as in an application message, then the payload
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct ReliableHeader {
    /// Its number among the messages that this life of the sender sent to the receiver, from 1.
    pub sequence: u64,
    /// The lowest number that the sender still wants to be acknowledged: it has given up those
    /// before that are missing.
    pub floor: u64,
    /// What it must come after.
    pub causal: Option<CausalHeader>,
    /// Whom it is for; behind the others, as in an application message.
    #[serde(skip)]
    pub destination: Destination,
}

/// What a causal message must come after.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct CausalHeader {
    /// Among which messages.
    pub label: LabelId,
    /// Its number among all messages with this label that this life of the sender sent, from 1.
    pub number: u64,
    /// What the receiver must have delivered before.
    pub after: Bounded<Dependency, MAX_DEPENDENCIES>,
    /// What others must deliver before what is sent to them from now on.
    pub elsewhere: Bounded<Elsewhere, MAX_DEPENDENCIES>,
}

/// A causal message that must have been delivered before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Dependency {
    /// Who sent it.
    pub origin: Instance,
    /// Its number among what that sent with the label.
    pub number: u64,
}

/// A causal message to somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Elsewhere {
    /// To whom.
    pub to: Instance,
    /// Which.
    pub message: Dependency,
    /// How long ago it was sent, in milliseconds.
    pub age: u32,
}

/// What stands before the payload of a message of a monotonic channel, as before one that must
/// arrive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct NewestHeader {
    /// Of which messages it is the newest: a hash of channel, key and destination.
    pub place: u64,
    /// Greater than that of every message that this life of the sender sent before to the receiver
    /// on monotonic channels.
    pub number: u64,
    /// Whom it is for; behind the others, as in an application message.
    #[serde(skip)]
    pub destination: Destination,
}

/// Which messages of the receiver the sender has delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Acknowledgement {
    /// All up to this number, or given up by their sender.
    pub upto: u64,
    /// And those from the first to the last of each of these, ascending.
    pub also: Bounded<(u64, u64), MAX_RANGES>,
    /// And of monotonic channels: places, and the number of the newest message for each.
    pub newest: Bounded<(u64, u64), MAX_RANGES>,
}

impl Acknowledgement {
    /// As the payload of a relayed one.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        // Writing into memory that grows cannot fail.
        postcard::to_allocvec(self).unwrap_or_default().into()
    }

    /// Reads what [`Acknowledgement::encode`] wrote; `None` for anything else.
    #[must_use]
    pub fn decode(payload: &[u8]) -> Option<Self> {
        read_whole(payload).ok()
    }
}
