//! Who is a member: the managers.
//!
//! A manager is a machine of its own behind the [`Manager`] trait, testable with nothing but a
//! [`Context`]. It decides who is a member and to whom to stay connected; `connections` does the
//! connecting and tells it who is up and who is down.
//!
//! `examples/custom_manager.rs` is a manager of one's own, a ring, from its commands to its driving.
//! Where only the rules differ by which news of members spreads, a strategy for the pluggable
//! manager is less work: [`pluggable::strategy`].

pub mod client_server;
mod commands;
pub mod fixed;
pub mod hyparview;
pub mod joining;
pub mod pluggable;
#[cfg(test)]
pub(crate) mod testing;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::change::Change;
use crate::command::Command;
use crate::context::Context;
use crate::id::{Incarnation, Instance, NodeId, Ticket};
use crate::question::{QuestionId, Response};
use crate::spec::NodeSpec;
use crate::time::Duration;
use crate::timers::Timer;
use crate::wire::ControlMessage;

/// One member as a manager sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which life of it is known.
    pub incarnation: Incarnation,
    /// What is known of it.
    pub spec: Arc<NodeSpec>,
}

/// The views of a manager that knows a part of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Views {
    /// Those it is connected to on purpose: HyParView's active view, SCAMP's partial view.
    pub active: Vec<NodeId>,
    /// Those it knows besides: HyParView's passive view, SCAMP's in-view.
    pub passive: Vec<NodeId>,
}

/// How often a manager refused news of members, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct MembershipCounters {
    /// News that contradicted itself.
    pub malformed: u64,
    /// News of another name with the identifier of a known one.
    pub collisions: u64,
    /// News of one member too many.
    pub refused: u64,
    /// Removals forgotten before their time, to make room.
    pub crowded_out: u64,
    /// What became of neighbours, under HyParView.
    pub views: ViewCounters,
}

/// How the active view of a HyParView node came about and was kept, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ViewCounters {
    /// Who became a neighbour.
    pub gained: u64,
    /// Neighbours whose session ended without a word before.
    pub lost: u64,
    /// Neighbours this node parted with, to make room or in an exchange.
    pub parted: u64,
    /// Neighbours that parted with this node.
    pub parted_by_peer: u64,
    /// How often all neighbours that were lost had been replaced.
    pub refills: u64,
    /// How long that took, all times together.
    pub refill_time: Duration,
    /// Requests of others to become neighbours that this node declined.
    pub declined: u64,
    /// Requests of this node that others declined.
    pub declined_by_peer: u64,
    /// Newcomers that asked to join the cluster through this node.
    pub joins: u64,
    /// Walks of newcomers, and of who lacked neighbours, that ended here.
    pub walks: u64,
    /// How many hops those had made, all together.
    pub walk_hops: u64,
    /// Samples of the views that this node sent on a walk.
    pub shuffles: u64,
}

/// What a manager must do: the peer service managers of Partisan, without I/O.
///
/// Every method runs to completion, leaves its results in the context, and must not panic whatever
/// a peer sent.
pub trait Manager: fmt::Debug + Send {
    /// The node starts: set timers, and ask to stay connected to members known from before.
    fn start(&mut self, cx: &mut Context<'_>);

    /// The application wants something about membership: one of [`Command::Join`],
    /// [`Command::SyncJoin`], [`Command::Leave`], [`Command::Remove`],
    /// [`Command::UpdateMembers`]. The ticket must be answered exactly once, sooner or later.
    fn command(&mut self, cx: &mut Context<'_>, ticket: Ticket, command: Command);

    /// Another part changed something. [`Change::Knock`] must be answered.
    fn change(&mut self, cx: &mut Context<'_>, change: &Change);

    /// A peer with a session sent a message of this manager; `Err(message)` when it is another
    /// manager's, which ends the session.
    ///
    /// # Errors
    /// The message, when this manager does not understand it.
    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        from: Instance,
        message: ControlMessage,
    ) -> Result<(), Box<ControlMessage>>;

    /// A question that this manager asked is answered. Ignored, by default.
    fn answered(&mut self, _cx: &mut Context<'_>, _id: QuestionId, _response: &Response) {}

    /// A timer of this manager is due.
    fn fire(&mut self, cx: &mut Context<'_>, timer: Timer);

    /// All members, this node included, sorted by name.
    fn members(&self) -> Vec<Member>;

    /// One member, if it is one.
    fn member(&self, node: NodeId) -> Option<Member>;

    /// Whom it is connected to on purpose and whom it knows besides, where it distinguishes; nobody,
    /// by default.
    fn views(&self) -> Views {
        Views::default()
    }

    /// Through which connected peer a node is reached that is not connected itself, where the
    /// manager knows; it does not, by default.
    fn next_hop(&self, _to: NodeId) -> Option<NodeId> {
        None
    }

    /// How often what was refused; nothing, by default.
    fn counters(&self) -> MembershipCounters {
        MembershipCounters::default()
    }

    /// A number that is equal for equal states, for the simulator to compare runs with.
    fn fingerprint(&self) -> u64;
}
