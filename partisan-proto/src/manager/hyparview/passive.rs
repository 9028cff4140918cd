//! The passive view: nodes in reserve.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use crate::few::make_room;
use crate::id::{Incarnation, Instance, NodeId};
use crate::random::Random;
use crate::spec::NodeSpec;
use crate::wire::Introduction;

/// A node that is known and not connected.
#[derive(Clone, Debug)]
pub(super) struct Known {
    // Besides the spec, which says the same: to look for it there takes a look at other memory.
    pub(super) node: NodeId,
    pub(super) incarnation: Incarnation,
    pub(super) spec: Arc<NodeSpec>,
}

impl Known {
    pub(super) const fn instance(&self) -> Instance {
        Instance { node: self.node, incarnation: self.incarnation }
    }

    pub(super) fn introduction(&self) -> Introduction {
        Introduction { incarnation: self.incarnation, spec: self.spec.clone() }
    }
}

impl From<Introduction> for Known {
    fn from(Introduction { incarnation, spec }: Introduction) -> Self {
        Self { node: spec.id(), incarnation, spec }
    }
}

impl Hash for Known {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.node, self.incarnation).hash(hasher);
    }
}

/// The passive view, in no order.
#[derive(Clone, Debug, Hash)]
pub(super) struct Passive {
    known: Vec<Known>,
    most: usize,
    /// Those of them whose last session broke: perhaps they are dead. Nobody is told of them, and
    /// they are the first to go.
    suspects: Vec<NodeId>,
}

/// Ids that the other side of an exchange has now.
///
/// The whole passive view is held against them whenever somebody has to make room, so a sum of them
/// is looked at first: one bit for each, by which most others are told apart.
#[derive(Debug, Default)]
pub(super) struct Sent {
    nodes: Vec<NodeId>,
    bits: u64,
}

impl Sent {
    fn contains(&self, node: NodeId) -> bool {
        self.bits & Self::bit(node) != 0 && self.nodes.contains(&node)
    }

    /// Identifiers are hashes, so any of their bits are as good as others.
    const fn bit(node: NodeId) -> u64 {
        1 << (node.as_u64() % 64)
    }
}

impl From<Vec<NodeId>> for Sent {
    fn from(nodes: Vec<NodeId>) -> Self {
        let bits = nodes.iter().fold(0, |bits, node| bits | Self::bit(*node));
        Self { nodes, bits }
    }
}

/// Who had to make room in the passive view.
pub(super) struct Evicted {
    pub(super) known: Known,
    pub(super) suspect: bool,
}

impl Passive {
    pub(super) const fn new(most: usize) -> Self {
        Self { known: Vec::new(), most, suspects: Vec::new() }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Known> {
        self.known.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.known.len() >= self.most
    }

    fn place(&self, node: NodeId) -> Option<usize> {
        self.known.iter().position(|known| known.node == node)
    }

    pub(super) fn get(&self, node: NodeId) -> Option<&Known> {
        self.place(node).map(|place| &self.known[place])
    }

    pub(super) fn suspect(&mut self, node: NodeId) {
        if !self.suspects.contains(&node) && self.get(node).is_some() {
            self.suspects.push(node);
        }
    }

    /// A node is alive.
    pub(super) fn trust(&mut self, node: NodeId) {
        self.suspects.retain(|suspect| *suspect != node);
    }

    /// Those of them that may be dead.
    pub(super) fn suspects(&self) -> impl Iterator<Item = &Known> {
        self.suspects.iter().filter_map(|node| self.get(*node))
    }

    /// Adds a node, or what is newer of it. When there is no room, one that may be dead goes, else
    /// one of `sent`, else any.
    pub(super) fn insert(
        &mut self,
        known: Known,
        sent: &Sent,
        random: &mut Random,
    ) -> Option<Evicted> {
        let node = known.node;
        if let Some(place) = self.place(node) {
            let old = &mut self.known[place];
            if known.incarnation > old.incarnation {
                *old = known;
                self.trust(node);
            }
            return None;
        }
        if !self.is_full() {
            make_room(&mut self.known);
            self.known.push(known);
            return None;
        }
        let suspect = self.suspects.pop().and_then(|node| self.place(node));
        let exchanged = || self.known.iter().position(|old| sent.contains(old.node));
        let place = suspect.or_else(exchanged).unwrap_or_else(|| random.below(self.known.len()));
        let known = core::mem::replace(&mut self.known[place], known);
        Some(Evicted { known, suspect: suspect.is_some() })
    }

    pub(super) fn remove(&mut self, node: NodeId) -> Option<Known> {
        self.trust(node);
        self.place(node).map(|place| self.known.swap_remove(place))
    }

    pub(super) fn clear(&mut self) {
        (self.known, self.suspects) = (Vec::new(), Vec::new());
    }

    /// A random one of those that `eligible` lets pass.
    pub(super) fn pick(
        &self,
        random: &mut Random,
        eligible: impl Fn(&Known) -> bool,
    ) -> Option<&Known> {
        let count = self.known.iter().filter(|known| eligible(known)).count();
        let place = random.below(count);
        self.known.iter().filter(|known| eligible(known)).nth(place)
    }

    /// A uniform sample of those that `eligible` lets pass and that are not in doubt, in random
    /// order.
    pub(super) fn sample(
        &self,
        random: &mut Random,
        count: usize,
        eligible: impl Fn(&Known) -> bool,
    ) -> Vec<&Known> {
        let sound = |known: &&Known| !self.suspects.contains(&known.node) && eligible(known);
        let mut all = Vec::with_capacity(self.known.len());
        all.extend(self.known.iter().filter(sound));
        random.shuffle_front(&mut all, count);
        all.truncate(count);
        all
    }
}
