//! What a membership strategy must do: the rules by which news of members spreads.
//!
//! The pluggable manager does what all of them share (commands, joins, timers, storing); a
//! strategy decides who is a member, to whom to stay connected, and what to tell whom. It sends
//! through the context and leaves everything that concerns the node as [`Outcome`]s.
//!
//! The full mesh, both versions of SCAMP, and the rules of the static and the client-server manager
//! are strategies; `examples/custom_strategy.rs` is one of one's own.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use alloc::boxed::Box;

use crate::context::Context;
use crate::error::{CloseReason, Refusal};
use crate::id::{Incarnation, Instance, NodeId};
use crate::manager::{Member, MembershipCounters, Views};
use crate::notification::DialError;
use crate::spec::NodeSpec;
use crate::wire::{ControlMessage, Entry, StableHasher};

/// What follows for the node from what a strategy learned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// A node became a member, or a member began a later incarnation.
    Joined {
        /// Which life of it.
        instance: Instance,
        /// What is known of it.
        spec: Arc<NodeSpec>,
    },
    /// A node is no member any more.
    Left {
        /// Which.
        node: NodeId,
    },
    /// Stay connected to this node. Again with another spec: it moved.
    Keep {
        /// Which life of it.
        instance: Instance,
        /// Where it is.
        spec: Arc<NodeSpec>,
    },
    /// Do not stay connected to this node.
    Release {
        /// Which.
        node: NodeId,
        /// Why.
        reason: CloseReason,
    },
    /// All that this connected peer knew at the beginning of the session is known here.
    Synced {
        /// The peer.
        node: NodeId,
    },
    /// The stay of this node is over: somebody removed it, up to this incarnation.
    Removed {
        /// Up to which.
        upto: Incarnation,
    },
    /// This connected node, through which a join was under way, cannot become a member here: there
    /// is no room, or no place for it. The join ends.
    Unwanted {
        /// Which.
        node: NodeId,
    },
    /// This connected node is not the one to join through, and has said which are: joins through it
    /// wait for the next [`Outcome::Synced`].
    Referred {
        /// Which.
        by: NodeId,
    },
    /// Another node with this node's name is alive.
    DuplicateName {
        /// What it says of itself.
        spec: Arc<NodeSpec>,
    },
    /// Something changed that [`Strategy::saved`] tells.
    Changed,
}

/// Where a strategy leaves its outcomes.
pub type Outcomes = Vec<Outcome>;

/// What of a strategy is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// The incarnation in which the present stay began; none: 0.
    pub joined: Incarnation,
    /// What is known of others, and of the node itself the removals.
    pub entries: Vec<Entry>,
}

/// A membership strategy (`partisan_membership_strategy`).
///
/// Its messages travel on the membership channel, in order, to connected peers only.
pub trait Strategy: fmt::Debug + Send {
    /// The node starts with the incarnation that the context tells.
    fn start(&mut self, cx: &mut Context<'_>, out: &mut Outcomes);

    /// Whether a node may have a session, as far as membership is concerned. Strangers who want to
    /// join may: connecting is how that begins. Others take a `known` life of this node for a
    /// member of their cluster; they may unless its stay there is over.
    ///
    /// # Errors
    /// The refusal that the node is told.
    fn admit(
        &self,
        instance: Instance,
        spec: &NodeSpec,
        known: Option<Incarnation>,
    ) -> Result<(), Refusal>;

    /// A peer that was dialled as a member says that its stays up to this incarnation are over.
    fn not_member(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        node: NodeId,
        upto: Incarnation,
    );

    /// A session began; `joining` when it was dialled for a join.
    fn peer_up(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        peer: (Instance, &Arc<NodeSpec>),
        joining: bool,
    );

    /// A node that the application joins turned out to be connected already, and is not synced.
    /// Nothing, by default: an exchange is under way.
    fn join(&mut self, _cx: &mut Context<'_>, _out: &mut Outcomes, _node: NodeId) {}

    /// A session that was asked for with [`Change::Probe`](crate::Change::Probe) did not come
    /// about. Ignored, by default.
    fn probe_failed(
        &mut self,
        _cx: &mut Context<'_>,
        _out: &mut Outcomes,
        _node: NodeId,
        _error: DialError,
    ) {
    }

    /// [`Timer::Strategy`](crate::Timer::Strategy), which the strategy set, is due. Ignored, by
    /// default.
    fn fire(&mut self, _cx: &mut Context<'_>, _out: &mut Outcomes) {}

    /// A session is over.
    fn peer_down(&mut self, cx: &mut Context<'_>, out: &mut Outcomes, instance: Instance);

    /// A peer sent a message.
    ///
    /// # Errors
    /// The message, when it belongs to another strategy.
    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        from: Instance,
        message: ControlMessage,
    ) -> Result<(), Box<ControlMessage>>;

    /// The periodic round.
    fn round(&mut self, cx: &mut Context<'_>, out: &mut Outcomes);

    /// The application removes other nodes from the cluster; those that are no members change
    /// nothing. The news must be sent before this returns.
    fn remove(&mut self, cx: &mut Context<'_>, out: &mut Outcomes, nodes: &[NodeId]);

    /// This node leaves: tell the peers, now. [`Strategy::begin_anew`] follows.
    fn leave(&mut self, cx: &mut Context<'_>);

    /// The node has a new incarnation, and is alone: nobody else is a member. Incarnations up to
    /// `removed` are over.
    fn begin_anew(&mut self, cx: &mut Context<'_>, out: &mut Outcomes, removed: Incarnation);

    /// The node has a new incarnation within its cluster, since others knew a later one than its
    /// last: tell them.
    fn announce(&mut self, cx: &mut Context<'_>, out: &mut Outcomes);

    /// Whether there is news that [`Strategy::send_news`] would send.
    fn has_news(&self) -> bool;

    /// Sends the news collected so far. Called at once for the first, then at most once in
    /// `news_interval`.
    fn send_news(&mut self, cx: &mut Context<'_>);

    /// Whether all that a connected peer knew at the beginning of the session is known here.
    fn is_synced(&self, node: NodeId) -> bool;

    /// All members, this node included, in any order that is the same in every run.
    fn members(&self) -> Vec<Member>;

    /// One member, if it is one.
    fn member(&self, node: NodeId) -> Option<Member>;

    /// Whether a connected node is next to this one in the overlay: by default, when it is a member.
    fn is_neighbor(&self, node: NodeId) -> bool {
        self.member(node).is_some()
    }

    /// Whether joining this node would be in vain, since it is joined: by default, when it is a
    /// member.
    fn is_joined(&self, node: NodeId) -> bool {
        self.member(node).is_some()
    }

    /// Whether both sides of a connection want it, so that one may give the other the time to dial
    /// first; they do, by default.
    fn is_mutual(&self) -> bool {
        true
    }

    /// Whether every node knows all members, so that a list of members can be compared with it;
    /// it does, by default.
    fn knows_all(&self) -> bool {
        true
    }

    /// Whom it is connected to on purpose and whom it knows besides, where it distinguishes; nobody,
    /// by default.
    fn views(&self) -> Views {
        Views::default()
    }

    /// Through which connected peer a node is reached that is not connected itself, where the
    /// strategy knows; it does not, by default.
    fn next_hop(&self, _to: NodeId) -> Option<NodeId> {
        None
    }

    /// How often what was refused.
    fn counters(&self) -> MembershipCounters {
        MembershipCounters::default()
    }

    /// What to store.
    fn saved(&self) -> Saved;

    /// Adds what the strategy knows to a fingerprint.
    fn fingerprint(&self, hasher: &mut StableHasher);
}
