//! The messages of the SCAMP strategies.

use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{Incarnation, Instance, NodeId};
use crate::spec::NodeSpec;

/// What the SCAMP strategies send: see `manager::pluggable::scamp`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum ScampMessage {
    /// Whether the receiver is in the sender's view: the keep notice, first in every session and
    /// again when that changes.
    Holds(bool),
    /// The subscription of a node to its contact, which is to run it; with the indirection, on its
    /// way to another that is.
    Subscribe {
        /// Who subscribes.
        node: Introduction,
        /// How many more random members it is passed on over before it is run.
        hops: u16,
        /// Whether it takes the place of one whose lease runs out: no extra copies then, or views
        /// would grow with every lease.
        renewed: bool,
    },
    /// The contact has taken the sender's subscription.
    Subscribed,
    /// A copy of a subscription on its way to somebody who keeps it.
    Forward {
        /// Who subscribed.
        node: Introduction,
        /// How many hops it has made.
        hops: u16,
    },
    /// The stays of a node up to this incarnation are over; passed on once by everybody.
    Remove {
        /// Which node.
        node: NodeId,
        /// Up to which incarnation.
        upto: Incarnation,
    },
    /// The sender leaves: take another into the view in its place.
    Replace {
        /// The other.
        by: Introduction,
    },
    /// The sender leaves, and nobody takes its place.
    Gone,
    /// The sender is alive and has the receiver in its view.
    Heartbeat,
}

/// A node, and which life of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Introduction {
    /// The life.
    pub incarnation: Incarnation,
    /// What is known of the node.
    pub spec: Arc<NodeSpec>,
}

impl Introduction {
    /// The node and its life.
    #[must_use]
    pub fn instance(&self) -> Instance {
        Instance { node: self.spec.id(), incarnation: self.incarnation }
    }
}
