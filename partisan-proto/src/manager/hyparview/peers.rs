//! The peers that this node is connected to or dials, and what is between it and each of them. The
//! active view is a part of them.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use crate::few::{give_back, make_room};
use crate::id::{Epoch, Incarnation, Instance, NodeId, Tag};
use crate::spec::NodeSpec;
use crate::wire::Introduction;

/// What is between this node and a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum State {
    /// It is dialled, to be asked for this.
    Dialled(Purpose),
    /// Connected, and neither has asked the other anything.
    Stranger,
    /// It was asked to become a neighbour.
    Asked(Purpose),
    /// A neighbour.
    Active,
    /// A neighbour no more; what is on its way may still arrive.
    Draining,
}

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// To fill a place in the active view, which is kept for it.
    Fill,
    /// To join the cluster through it.
    Join,
    /// It joins, and its walk has led here: room is made for it when it agrees.
    Place,
    /// It was lost for a while, and perhaps others with it.
    Merge,
    /// X-BOT: to know what a link to it would cost, as a candidate of this node's.
    Candidate,
    /// X-BOT: to know what a link to it would cost, as the old neighbour of an initiator.
    Exchange,
    /// To know whether it is alive.
    Check,
}

/// A peer that this node is connected to or dials.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) node: NodeId,
    pub(super) incarnation: Incarnation,
    pub(super) spec: Arc<NodeSpec>,
    /// The session; zero while there is none.
    pub(super) epoch: Epoch,
    /// How many times this node has disconnected it within the session.
    pub(super) sent: u32,
    /// How many times it has disconnected this node within the session.
    pub(super) seen: u32,
    pub(super) state: State,
}

impl Peer {
    pub(super) fn new(instance: Instance, spec: Arc<NodeSpec>, epoch: Epoch, state: State) -> Self {
        let Instance { node, incarnation } = instance;
        Self { node, incarnation, spec, epoch, sent: 0, seen: 0, state }
    }

    pub(super) const fn instance(&self) -> Instance {
        Instance { node: self.node, incarnation: self.incarnation }
    }

    pub(super) fn introduction(&self) -> Introduction {
        Introduction { incarnation: self.incarnation, spec: self.spec.clone() }
    }

    pub(super) fn has(&self, tag: &Tag) -> bool {
        self.spec.tags().contains(tag)
    }
}

impl Hash for Peer {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.node, self.incarnation, self.epoch, self.sent, self.seen, self.state).hash(hasher);
    }
}

/// All of them, by identifier.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Peers(Vec<Peer>);

impl Peers {
    fn place(&self, node: NodeId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&node, |peer| peer.node)
    }

    pub(super) fn get(&self, node: NodeId) -> Option<&Peer> {
        self.place(node).ok().map(|place| &self.0[place])
    }

    pub(super) fn get_mut(&mut self, node: NodeId) -> Option<&mut Peer> {
        self.place(node).ok().map(|place| &mut self.0[place])
    }

    /// Adds a peer, in the place of what was known of it.
    pub(super) fn insert(&mut self, peer: Peer) {
        match self.place(peer.node) {
            Ok(place) => self.0[place] = peer,
            Err(place) => {
                make_room(&mut self.0);
                self.0.insert(place, peer);
            }
        }
    }

    pub(super) fn remove(&mut self, node: NodeId) -> Option<Peer> {
        let place = self.place(node).ok()?;
        let peer = self.0.remove(place);
        give_back(&mut self.0);
        Some(peer)
    }

    pub(super) fn clear(&mut self) -> Vec<Peer> {
        core::mem::take(&mut self.0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.0.iter()
    }

    pub(super) fn state(&self, node: NodeId) -> Option<State> {
        self.get(node).map(|peer| peer.state)
    }

    /// The active view.
    pub(super) fn active(&self) -> impl Iterator<Item = &Peer> + Clone {
        self.0.iter().filter(|peer| peer.state == State::Active)
    }

    pub(super) fn is_active(&self, node: NodeId) -> bool {
        self.state(node) == Some(State::Active)
    }

    /// Those that were asked to fill a place that is kept for them.
    pub(super) fn asked(&self) -> impl Iterator<Item = &Peer> {
        self.0.iter().filter(|peer| matches!(peer.state, State::Asked(Purpose::Fill)))
    }

    /// How many are being dialled or asked for this.
    pub(super) fn in_pursuit(&self, purpose: Purpose) -> usize {
        let sought = |peer: &&Peer| match peer.state {
            State::Dialled(other) | State::Asked(other) => other == purpose,
            State::Stranger | State::Active | State::Draining => false,
        };
        self.0.iter().filter(sought).count()
    }

    /// How many are no neighbours.
    pub(super) fn strangers(&self) -> usize {
        self.0.iter().filter(|peer| peer.state != State::Active).count()
    }
}
