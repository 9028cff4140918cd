//! Control messages: postcard, append-only, every collection bounded.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{
    Acknowledgement, Bounded, DecodeError, HyParViewMessage, PartitionMessage, PlumtreeMessage,
    ProcessMessage, RelayMessage, ScampMessage, StarMessage, read_whole,
};
use crate::id::{Epoch, Incarnation, NodeId};
use crate::spec::NodeSpec;

/// The longest control frame, whatever the limit for application messages.
pub const MAX_CONTROL_FRAME: u32 = 64 << 10;
/// The most entries in one [`Summary`] or [`Request`].
pub const MAX_SUMMARY: usize = 1024;
/// The most entries in one [`Delta`].
pub const MAX_DELTA: usize = 256;

/// HMAC-SHA-256 of the role and both hellos under the shared secret.
pub type Proof = [u8; 32];

/// All that nodes say to each other besides application messages.
///
/// Positional on the wire: variants are only ever appended, fields never change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum ControlMessage {
    /// Third step of the handshake, by the connector.
    Confirm(Box<Confirm>),
    /// Last step of the handshake, by the acceptor: the connection is open.
    Accept(Box<Accept>),
    /// Are you there?
    Ping {
        /// Told back by the answer.
        id: u64,
    },
    /// Yes.
    Pong {
        /// Of the ping.
        id: u64,
    },
    /// The session ends on purpose; the connection is closed after this.
    Goodbye(GoodbyeReason),
    /// The full-mesh strategy's gossip.
    Gossip(Gossip),
    /// The HyParView manager's.
    HyParView(HyParViewMessage),
    /// The SCAMP strategies'.
    Scamp(ScampMessage),
    /// The client-server manager's.
    Star(StarMessage),
    /// Of broadcast trees.
    Plumtree(PlumtreeMessage),
    /// A message on its way to a node that is not connected.
    Relay(RelayMessage),
    /// Injected partitions.
    Partition(PartitionMessage),
    /// Signals between processes.
    Process(Box<ProcessMessage>),
    /// What was delivered of messages that must arrive.
    Acknowledge(Box<Acknowledgement>),
}

/// See [`ControlMessage::Confirm`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Confirm {
    /// That the connector knows the secret; absent without one.
    pub proof: Option<Proof>,
    /// Who the connector is; on the membership channel only.
    pub spec: Option<Arc<NodeSpec>>,
    /// The life of the acceptor that the connector takes for a member of its own cluster; `None`
    /// when it takes it for none, and dials in order to join.
    pub known: Option<Incarnation>,
}

/// See [`ControlMessage::Accept`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Accept {
    /// That the acceptor knows the secret; absent without one.
    pub proof: Option<Proof>,
    /// Who the acceptor is; on the membership channel only.
    pub spec: Option<Arc<NodeSpec>>,
    /// The epoch of the session.
    pub epoch: Epoch,
}

/// Why a session is ended on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum GoodbyeReason {
    /// The sender left the cluster.
    Left,
    /// The receiver was removed from the cluster.
    Removed,
    /// The sender stops, and may come back.
    Stopping,
    /// The sender was asked to disconnect.
    Requested,
    /// The sender has no use for the connection.
    NotWanted,
    /// The sender's membership manager is another than the receiver's.
    OtherManager,
}

/// The messages of the full strategy: compare cheaply, then send only what differs.
///
/// ```text
/// A                                       B
/// | Digest (16 bytes) ------------------> |   equal: silence
/// | <---------------- Summary, in pieces  |   differs: what B has, ids and incarnations
/// | Delta: what A has newer ------------> |
/// | Request: what B has newer ----------> |
/// | <----------------------------- Delta  |
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Gossip {
    /// The whole state in 16 bytes.
    Digest(Digest),
    /// What the sender has in a range of identifiers.
    Summary(Summary),
    /// Send me these.
    Request(Request),
    /// Entries the receiver may lack.
    Delta(Delta),
}

/// See [`Gossip::Digest`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Digest {
    /// How many entries.
    pub entries: u32,
    /// The exclusive or of a hash of each.
    pub hash: u64,
}

/// See [`Gossip::Summary`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Summary {
    /// The range starts here.
    pub first: NodeId,
    /// The range ends here, included.
    pub last: NodeId,
    /// All that the sender has in the range, ascending.
    pub entries: Bounded<SummaryEntry, MAX_SUMMARY>,
}

/// One entry of a [`Summary`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct SummaryEntry {
    /// The node.
    pub node: NodeId,
    /// The hash of what the sender knows of it: equal hashes, equal knowledge.
    pub hash: u64,
    /// Incarnations up to this one are removed.
    pub removed: Incarnation,
    /// The newest incarnation known to be present; none: 0.
    pub present: Incarnation,
}

/// See [`Gossip::Request`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Request {
    /// The nodes whose entries are asked for.
    pub nodes: Bounded<NodeId, MAX_SUMMARY>,
}

/// See [`Gossip::Delta`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Delta {
    /// The entries.
    pub entries: Bounded<Entry, MAX_DELTA>,
}

/// All that is known of one node's membership: see `manager::pluggable::member_set`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Entry {
    /// The node.
    pub node: NodeId,
    /// Stays that began in this incarnation or before are over; none: 0.
    pub removed: Incarnation,
    /// The newest sign of presence.
    pub presence: Option<Presence>,
}

/// That a node is there, and since when.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Presence {
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// The incarnation in which its present stay began: a restart within a stay keeps it.
    pub joined: Incarnation,
    /// Its spec in that incarnation.
    pub spec: Arc<NodeSpec>,
}

impl ControlMessage {
    /// Appends the body of the frame to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let extended = postcard::to_extend(self, core::mem::take(out));
        // Serialising to a growing vector has no way to fail.
        *out = extended.expect("control messages always serialise");
    }

    /// Reads the body of a frame.
    ///
    /// # Errors
    /// [`DecodeError::BadControl`] when it does not decode or bytes are left over.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        read_whole(body).map_err(|_| DecodeError::BadControl)
    }

    /// Whether it belongs to the handshake.
    #[must_use]
    pub const fn is_handshake(&self) -> bool {
        matches!(self, Self::Confirm(_) | Self::Accept(_))
    }
}
