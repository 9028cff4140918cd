//! What one part of a node tells the others.
//!
//! Parts never call each other. Each leaves changes in the context; [`Node`](crate::Node) hands
//! every change to every part, in one fixed order, until none is left.

use alloc::boxed::Box;
use alloc::sync::Arc;

use bytes::Bytes;

use crate::command::Contact;
use crate::error::{CloseReason, Refusal};
use crate::id::{ChannelId, ConnectionId, Epoch, Incarnation, Instance, NodeId};
use crate::notification::DialError;
use crate::process::{ExitReason, Serial};
use crate::spec::NodeSpec;
use crate::time::Duration;
use crate::wire::{Cargo, Destination};

/// A piece of news inside a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    // From `connections`.
    /// An authenticated peer asks for a session; the manager answers with [`Change::Admit`] or
    /// [`Change::TurnAway`].
    Knock {
        /// The connection that waits for the answer.
        connection: ConnectionId,
        /// Who knocks, which life.
        instance: Instance,
        /// Who knocks.
        spec: Arc<NodeSpec>,
        /// The life of this node that it takes for a member of its own cluster; `None` when it
        /// takes it for none, and wants to join.
        known: Option<Incarnation>,
    },
    /// A session has begun.
    PeerUp {
        /// With whom, which life.
        instance: Instance,
        /// With whom.
        spec: Arc<NodeSpec>,
        /// The session.
        epoch: Epoch,
        /// The contact that it was dialled for, if any.
        contact: Option<ContactId>,
    },
    /// A session is over.
    PeerDown {
        /// With whom, which life.
        instance: Instance,
        /// With whom.
        spec: Arc<NodeSpec>,
        /// The session.
        epoch: Epoch,
        /// Why.
        reason: CloseReason,
    },
    /// A connection of a session is open.
    LaneOpened {
        /// The peer.
        node: NodeId,
    },
    /// A connection of a session, other than its anchor, is gone, by itself or with the session.
    LaneClosed {
        /// The peer.
        node: NodeId,
        /// Which.
        connection: ConnectionId,
    },
    /// Every negotiated lane to the peer is open.
    FullyConnected {
        /// The peer.
        node: NodeId,
    },
    /// A dial for a contact failed. It is repeated until [`Change::DropContact`].
    ContactFailed {
        /// The contact.
        contact: ContactId,
        /// Why.
        error: DialError,
    },
    /// A dial for a contact reached a node that is connected already.
    ContactReached {
        /// The contact; it needs no dropping any more.
        contact: ContactId,
        /// Who it is.
        node: NodeId,
    },
    /// A kept peer says that it is no member of this node's cluster: its stays up to this
    /// incarnation are over.
    NotMember {
        /// The peer.
        node: NodeId,
        /// The last incarnation that was one.
        upto: Incarnation,
    },
    /// A probe did not end in a session; it is not repeated.
    ProbeFailed {
        /// The peer.
        node: NodeId,
        /// Why.
        error: DialError,
    },
    /// A ping was answered.
    RoundTrip {
        /// By whom.
        node: NodeId,
        /// How long it took, there and back.
        span: Duration,
    },
    /// A peer refused this node since it, or its incarnation, was removed or is outdated.
    Outdated {
        /// What the peer said.
        refusal: Refusal,
    },
    /// An injected partition began or ended: messages go to other peers than before.
    Partitioned,

    // From the manager.
    /// Let the knocking peer in.
    Admit {
        /// The connection.
        connection: ConnectionId,
    },
    /// Do not let the knocking peer in.
    TurnAway {
        /// The connection.
        connection: ConnectionId,
        /// Why.
        refusal: Refusal,
    },
    /// Stay connected to this peer: dial it now, or after a while if it does not dial first, and
    /// again whenever it is lost. Repeated to update the spec.
    Keep {
        /// Which life of it is known.
        instance: Instance,
        /// Where it is.
        spec: Arc<NodeSpec>,
        /// Whether to give the peer the time to dial first.
        patient: bool,
    },
    /// Open a session with this peer once, for a few messages: the membership channel alone, and
    /// not dialled again. [`Change::Keep`] makes it a lasting one, [`Change::Release`] ends it.
    /// Follows [`Change::PeerUp`], at once when there is a session already, or
    /// [`Change::ProbeFailed`].
    Probe {
        /// Which life of it is known.
        instance: Instance,
        /// Where it is.
        spec: Arc<NodeSpec>,
    },
    /// Ping a connected peer now; [`Change::RoundTrip`] says how long it took.
    Measure {
        /// The peer.
        node: NodeId,
    },
    /// Do not dial this peer any more, and end the session with it.
    Release {
        /// The peer.
        node: NodeId,
        /// Why; told to the peer where it is a reason of ours.
        reason: CloseReason,
    },
    /// Check that every kept peer has a session or a dial under way, and every session its lanes.
    Verify,
    /// Dial somebody of whom only addresses are known, until reached or dropped.
    DialContact {
        /// What to call it.
        contact: ContactId,
        /// Where, and who if it is known.
        target: Contact,
        /// Whether to open every lane at once, or the membership channel alone until the peer is
        /// kept ([`Change::Keep`]).
        lanes: bool,
        /// How often in a row it was reached before, or tried, in vain: it is dialled at once after
        /// none, later and later after more.
        failures: u32,
    },
    /// Stop dialling a contact.
    DropContact {
        /// Which.
        contact: ContactId,
    },
    /// Members came or went.
    MembersChanged,
    /// A connected peer became a neighbour in the overlay: see
    /// [`Context::neighbor_up`](crate::Context::neighbor_up).
    NeighborUp {
        /// Which.
        instance: Instance,
    },
    /// A neighbour is none any more.
    NeighborDown {
        /// Which.
        node: NodeId,
    },
    /// One neighbour took the place of another: whatever role in a broadcast tree the first had is
    /// now the second's.
    NeighborSwapped {
        /// Who is a neighbour no more.
        gone: NodeId,
        /// Who is one now.
        instance: Instance,
    },
    // From `delivery`, for `relay`.
    /// Give this to other nodes, best effort.
    Relay(Box<Parcel>),
    // From `relay`, for `delivery`.
    /// This came by way of other nodes, for this one.
    Relayed {
        /// From which life of which node.
        from: Instance,
        /// What it is; its target is this node.
        parcel: Box<Parcel>,
    },
    /// A message that was to go by way of other nodes is longer than one of them takes.
    RelayTooLarge {
        /// To whom.
        to: NodeId,
        /// Its number among those to that node.
        sequence: u64,
    },
    // From `processes`.
    /// A process of this node ended.
    ProcessEnded {
        /// Which.
        process: Serial,
        /// Why.
        reason: ExitReason,
    },

    // From the manager.
    /// This node became a new incarnation, after leaving or being removed; every session of the
    /// old one is over.
    Reborn {
        /// Why: [`CloseReason::Left`] or [`CloseReason::Removed`].
        reason: CloseReason,
    },
    /// This node is stopping: say goodbye to everybody.
    Stopping,
}

/// A message with its numbers, or an acknowledgement, that goes by way of other nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// To whom.
    pub to: NodeId,
    /// On which channel.
    pub channel: ChannelId,
    /// The key that picks the lane on every hop.
    pub key: Option<u64>,
    /// What it is.
    pub cargo: Cargo,
    /// Whom it is for, there.
    pub destination: Destination,
    /// What it says.
    pub payload: Bytes,
}

/// A target of a dial of which only addresses are known; numbered by the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContactId(pub u32);
