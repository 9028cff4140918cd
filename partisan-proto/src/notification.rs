//! What an application may care about.

use alloc::boxed::Box;
use alloc::sync::Arc;

use crate::error::{CloseReason, JoinError, Misbehaviour, OpenError, Refusal};
use crate::id::{ChannelId, Epoch, HandlerId, Incarnation, Instance, NodeId};
use crate::question::ExchangeId;
use crate::spec::NodeSpec;
use crate::wire::{PartitionId, RelayFailure};

/// Something worth knowing. Up and down strictly alternate, for each node and for each of its
/// channels, whatever happens on the network.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notification {
    /// A node became a member, or a member came back as a new incarnation.
    MemberJoined {
        /// What is known of it.
        spec: Arc<NodeSpec>,
        /// Which life of it.
        incarnation: Incarnation,
    },
    /// A node is no member any more.
    MemberLeft {
        /// Which.
        node: NodeId,
    },
    /// This node was removed from the cluster by another; it goes on alone as this incarnation.
    Removed {
        /// The new incarnation.
        incarnation: Incarnation,
    },
    /// The first connection to a node is open (`on_up`).
    NodeUp {
        /// Which node, which life of it.
        instance: Instance,
        /// What it tells about itself.
        spec: Arc<NodeSpec>,
        /// The session.
        epoch: Epoch,
    },
    /// The session with a node is over (`on_down`).
    NodeDown {
        /// Which node, which life of it.
        instance: Instance,
        /// The session.
        epoch: Epoch,
        /// Why.
        reason: CloseReason,
    },
    /// The first lane of a channel to a node is open.
    ChannelUp {
        /// The node.
        node: NodeId,
        /// The channel.
        channel: ChannelId,
    },
    /// The last lane of a channel to a node is gone.
    ChannelDown {
        /// The node.
        node: NodeId,
        /// The channel.
        channel: ChannelId,
    },
    /// Every negotiated lane to a node is open.
    FullyConnected {
        /// The node.
        node: NodeId,
    },
    /// A connected node became a neighbour in the overlay.
    NeighborUp {
        /// Which, and which life of it.
        instance: Instance,
    },
    /// A node is no neighbour in the overlay any more.
    NeighborDown {
        /// Which.
        node: NodeId,
    },
    /// A relayed message did not arrive, as far as a node on its way could tell.
    RelayFailed {
        /// Whom it was for.
        to: NodeId,
        /// Which: the number of [`Answer::Relayed`](crate::Answer::Relayed).
        sequence: u64,
        /// Why.
        reason: RelayFailure,
    },
    /// This node takes part in an injected partition.
    PartitionInjected {
        /// Which.
        id: PartitionId,
    },
    /// An injected partition is over on this node.
    PartitionResolved {
        /// Which.
        id: PartitionId,
    },
    /// Broadcasts that were sent after one that came have not come, and nobody keeps them any more
    /// ([`CacheConfig::age`](crate::config::CacheConfig::age)): this node takes in less than is
    /// broadcast, or was away for too long. Handlers that keep their messages get them by exchanges;
    /// a sender whose messages are all theirs is not told of.
    BroadcastsMissed {
        /// Who sent them, and in which life.
        origin: Instance,
        /// How many.
        count: u64,
    },
    /// An exchange of a handler that keeps its messages itself is over.
    ExchangeEnded {
        /// What it was called.
        exchange: ExchangeId,
        /// Whose.
        handler: HandlerId,
        /// With whom.
        peer: NodeId,
        /// How it ended.
        outcome: ExchangeOutcome,
    },
    /// A join ended.
    JoinEnded {
        /// Through whom, or why not.
        result: Result<NodeId, JoinError>,
    },
    /// A dial failed; it is repeated while the peer is wanted.
    DialFailed {
        /// Whom, if it is known.
        node: Option<NodeId>,
        /// Why.
        error: DialError,
        /// How often in a row.
        failures: u32,
    },
    /// A connection was refused by this node before it was open.
    PeerRefused {
        /// Who claimed to be there, as far as it said.
        node: Option<NodeId>,
        /// Why.
        refusal: Refusal,
    },
    /// A peer broke the protocol; the connection is closed.
    PeerMisbehaved {
        /// Who, if the handshake told.
        node: Option<NodeId>,
        /// What it did.
        misbehaviour: Misbehaviour,
    },
    /// Another node with this node's name is alive; it is newer, so this one must be renamed or
    /// stopped. Until then peers refuse it, and it dials them again ever less often.
    DuplicateName {
        /// Where it was met.
        at: Option<Box<NodeSpec>>,
    },
    /// The node has stopped: every connection is closed or being flushed.
    Stopped,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExchangeOutcome {
    /// The handler says that both stores are up to date.
    Done,
    /// The handler says that it failed.
    Failed,
    /// The handler has nothing to exchange.
    Ignored,
    /// The handler said nothing until the deadline.
    TimedOut,
    /// It was cancelled by a command, or the node stops.
    Cancelled,
    /// The peer is no neighbour any more.
    PeerDown,
}

/// Why a dial did not end in a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// It could not be opened.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// It ended before the handshake did.
    #[error("{0}")]
    Closed(#[from] CloseReason),
}
