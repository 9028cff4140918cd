//! Who is next to this node in the overlay: whom broadcasts and relayed messages go by.
//!
//! In a full mesh that is every connected member; in a partial view the active one. The manager
//! alone decides, through [`Context::neighbor_up`], [`Context::neighbor_down`] and
//! [`Context::neighbor_swapped`], which see to it that up and down strictly alternate per node.

use crate::change::Change;
use crate::context::Context;
use crate::few::Sorted;
use crate::id::{Incarnation, Instance, NodeId};
use crate::notification::Notification;

/// The neighbours of a node, by identifier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Neighbors(Sorted<NodeId, Incarnation>);

impl Neighbors {
    /// All of them, by identifier.
    pub fn iter(&self) -> impl Iterator<Item = Instance> {
        self.0.iter().map(|(node, incarnation)| Instance { node: *node, incarnation: *incarnation })
    }

    /// Whether this node is one.
    #[must_use]
    pub fn contains(&self, node: NodeId) -> bool {
        self.0.contains(node)
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These, of whatever lives.
    #[cfg(test)]
    pub(crate) fn of(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        let mut neighbors = Self::default();
        for node in nodes {
            neighbors.0.insert(node, Incarnation(1));
        }
        neighbors
    }
}

impl Context<'_> {
    /// A connected peer becomes a neighbour in the overlay; one that is already changes nothing.
    pub fn neighbor_up(&mut self, instance: Instance) {
        if self.neighbors.0.get(instance.node) == Some(&instance.incarnation) {
            return;
        }
        self.neighbor_down(instance.node);
        self.neighbors.0.insert(instance.node, instance.incarnation);
        self.notify(Notification::NeighborUp { instance });
        self.change(Change::NeighborUp { instance });
    }

    /// A peer is no neighbour any more; one that is none changes nothing.
    pub fn neighbor_down(&mut self, node: NodeId) {
        if self.neighbors.0.remove(node).is_some() {
            self.notify(Notification::NeighborDown { node });
            self.change(Change::NeighborDown { node });
        }
    }

    /// A connected peer takes the place of a neighbour, and its role in broadcast trees with it.
    pub fn neighbor_swapped(&mut self, gone: NodeId, instance: Instance) {
        if self.neighbors.contains(instance.node) || self.neighbors.0.remove(gone).is_none() {
            self.neighbor_down(gone);
            return self.neighbor_up(instance);
        }
        self.neighbors.0.insert(instance.node, instance.incarnation);
        self.notify(Notification::NeighborDown { node: gone });
        self.notify(Notification::NeighborUp { instance });
        self.change(Change::NeighborSwapped { gone, instance });
    }
}
