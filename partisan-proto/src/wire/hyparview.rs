//! The messages of the HyParView manager.

use alloc::boxed::Box;

use serde::{Deserialize, Serialize};

use super::{Bounded, Introduction};
use crate::id::{Incarnation, Instance, NodeId};

/// The most introductions in one message.
pub const MAX_INTRODUCTIONS: usize = 32;
/// The most nodes that a shuffle goes by, its origin included.
pub const MAX_PATH: usize = 64;

/// Nodes that the receiver may not know.
pub type Introductions = Bounded<Introduction, MAX_INTRODUCTIONS>;

/// What the HyParView manager sends: see `manager::hyparview`.
///
/// A link of the active view begins when one side asks and the other accepts, and ends when either
/// disconnects or their session ends. All of it is said on one session, in order:
///
/// ```text
/// asker                                     asked
/// | Neighbor ----------------------------> |   or Optimize, for an exchange of four
/// | <------------------- Accept or Decline |
/// | <----------- Disconnect -------------> |   later, by either side
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum HyParViewMessage {
    /// The sender wants to be a neighbour of the receiver (the paper's NEIGHBOR and JOIN).
    Neighbor(Box<NeighborRequest>),
    /// Yes.
    Accept(Box<NeighborAccept>),
    /// No.
    Decline(Box<NeighborDecline>),
    /// The two are neighbours no more (the paper's DISCONNECT).
    Disconnect(Box<NeighborEnd>),
    /// A node on its way to those who will have it for a neighbour (the paper's FORWARDJOIN).
    Walk(Box<Walk>),
    /// A sample of the origin's views on its way to a node that exchanges it.
    Shuffle(Box<Shuffle>),
    /// What a shuffle is exchanged for, on its way back.
    ShuffleReply(Box<ShuffleReply>),
    /// The stays of a node are over; passed on once by everybody.
    Removal {
        /// Which node.
        node: NodeId,
        /// Up to which incarnation; none: up to whichever the receiver knows.
        upto: Incarnation,
    },
    /// X-BOT, from the initiator to the candidate: exchange a neighbour of yours for me.
    Optimize(Box<Optimize>),
    /// X-BOT, the candidate's answer to the initiator.
    Optimized(Box<Verdict>),
    /// X-BOT, from the candidate to the one that it would part with: take the initiator's old
    /// neighbour instead of me.
    Replace(Box<Replace>),
    /// X-BOT, to the candidate: no. A yes is a [`HyParViewMessage::Disconnect`] of this round.
    NotReplaced {
        /// Of which round.
        round: Round,
    },
    /// X-BOT, to the initiator's old neighbour: take me instead of the initiator.
    Switch(Box<Switch>),
    /// X-BOT, its answer.
    Switched(Box<Verdict>),
}

/// See [`HyParViewMessage::Neighbor`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct NeighborRequest {
    /// How much it matters.
    pub wish: Wish,
    /// How many times the receiver has disconnected the sender within the session, as far as the
    /// sender knows: one that the sender does not know of yet makes the request void.
    pub seen: u32,
    /// Whom the sender would part with in exchange: for whoever must make room.
    pub offer: Option<Introduction>,
    /// A sample of the sender's views.
    pub exchange: Introductions,
}

/// How much it matters to become a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Wish {
    /// Only where there is room (the paper's low priority).
    Low,
    /// In any case (the paper's high priority): the sender has no neighbour, or lacks two and has
    /// looked in vain.
    High,
    /// The sender is new and was told of the receiver by its application (the paper's JOIN).
    Join,
    /// The sender had lost the receiver for a while; others on both sides may have, too.
    Merge,
}

/// See [`HyParViewMessage::Accept`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct NeighborAccept {
    /// As in [`NeighborRequest`].
    pub seen: u32,
    /// A sample of the sender's views.
    pub exchange: Introductions,
}

/// See [`HyParViewMessage::Decline`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct NeighborDecline {
    /// Why.
    pub why: Declined,
    /// A sample of the sender's views.
    pub exchange: Introductions,
}

/// Why somebody does not become a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Declined {
    /// No room.
    Full,
    /// To a joiner: it is on its way to others, who will ask it.
    Placed,
    /// To a joiner: many join at once; ask those in the exchange.
    Crowded,
}

/// See [`HyParViewMessage::Disconnect`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct NeighborEnd {
    /// Why.
    pub why: Parting,
    /// Who may have room: the first one most probably.
    pub hints: Introductions,
}

/// Why two are neighbours no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Parting {
    /// The sender needed the room.
    Evicted,
    /// The sender needed the room, and somebody who loses a neighbour by that will ask the
    /// receiver.
    Replaced,
    /// The sender leaves the cluster.
    Leaving,
    /// The sender gave up waiting for an answer, or has no use for the one it got.
    Withdrawn,
    /// X-BOT: the sender has another in the receiver's place, by this round.
    Exchanged(Round),
}

/// See [`HyParViewMessage::Walk`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Walk {
    /// Who wants neighbours.
    pub node: Introduction,
    /// How many more hops.
    pub hops: u8,
    /// Whether whoever has it at the end makes room for the node; else somebody with room is
    /// looked for.
    pub joins: bool,
}

/// See [`HyParViewMessage::Shuffle`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Shuffle {
    /// The origin's number for it.
    pub number: u32,
    /// How many more hops.
    pub hops: u8,
    /// By whom it went: its origin first, the last sender last.
    pub path: Bounded<NodeId, MAX_PATH>,
    /// The origin, some of its active and some of its passive view.
    pub nodes: Introductions,
}

/// See [`HyParViewMessage::ShuffleReply`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct ShuffleReply {
    /// Of the shuffle.
    pub number: u32,
    /// By whom it still has to go after the receiver: the origin first.
    pub path: Bounded<NodeId, MAX_PATH>,
    /// Some of the sender's views.
    pub nodes: Introductions,
}

/// One round of X-BOT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Round {
    /// Whose it is.
    pub initiator: Instance,
    /// Which of its rounds.
    pub number: u32,
}

/// What the links of the initiator cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Costs {
    /// To its old neighbour.
    pub old: u32,
    /// To the candidate.
    pub new: u32,
}

/// See [`HyParViewMessage::Optimize`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Optimize {
    /// The round.
    pub round: Round,
    /// As in [`NeighborRequest`].
    pub seen: u32,
    /// The neighbour that the initiator would part with.
    pub old: Introduction,
    /// What its links cost; none when the exchange is to mix the overlay, whatever links cost.
    pub costs: Option<Costs>,
}

/// See [`HyParViewMessage::Replace`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Replace {
    /// The round.
    pub round: Round,
    /// The initiator's old neighbour.
    pub old: Introduction,
    /// Whose links the initiator's are, and what the link between sender and receiver costs the
    /// sender; none to mix the overlay.
    pub costs: Option<(Costs, u32)>,
}

/// See [`HyParViewMessage::Switch`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Switch {
    /// The round; its initiator is whom the receiver would part with.
    pub round: Round,
    /// As in [`NeighborRequest`].
    pub seen: u32,
    /// The candidate, who will take the receiver's place at the initiator.
    pub candidate: Introduction,
}

/// An answer within a round of X-BOT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Verdict {
    /// Of which round.
    pub round: Round,
    /// As in [`NeighborRequest`].
    pub seen: u32,
    /// Whether the sender has the receiver for a neighbour now.
    pub accepted: bool,
    /// Whether it did so without parting with anybody.
    pub had_room: bool,
}
