//! What a node remembers of others for the sake of relayed messages, within a bound.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use core::hash::{Hash, Hasher};

use crate::id::{Incarnation, NodeId};
use crate::wire::RelayId;

/// The nodes of which something is remembered; the one not spoken of for the longest time makes
/// room for another.
#[derive(Debug, Default)]
pub(crate) struct Known {
    nodes: BTreeMap<NodeId, Entry>,
    /// By when they were last spoken of.
    order: BTreeMap<u64, NodeId>,
    clock: u64,
}

#[derive(Debug, Default)]
struct Entry {
    used: u64,
    /// The neighbour through which it was last heard of.
    via: Option<NodeId>,
    incarnation: Incarnation,
    seen: Window,
}

/// What is known of a message that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Novelty {
    /// It is here for the first time, as far as is remembered.
    New,
    /// It has been here.
    Seen,
    /// So many newer ones of its origin have been here that nobody knows, or it is of a life of the
    /// origin that is over.
    TooOld,
}

impl Known {
    /// Notes that a message came by a neighbour, and says whether it is new.
    pub(crate) fn meet(&mut self, id: RelayId, from: NodeId, bounds: Bounds) -> Novelty {
        let entry = self.entry(id.origin, bounds);
        if id.incarnation < entry.incarnation {
            return Novelty::TooOld;
        }
        if id.incarnation > entry.incarnation {
            entry.incarnation = id.incarnation;
            entry.seen = Window::default();
        }
        let novelty = entry.seen.insert(id.sequence, bounds.window);
        if novelty == Novelty::New {
            entry.via = Some(from);
        }
        novelty
    }

    /// Whether a message has been here, or is too old to be told from one that has.
    pub(crate) fn has_met(&self, id: RelayId) -> bool {
        self.nodes.get(&id.origin).is_some_and(|entry| {
            let same_life = id.incarnation == entry.incarnation;
            id.incarnation < entry.incarnation || (same_life && entry.seen.holds(id.sequence))
        })
    }

    /// Notes the way to a node.
    pub(crate) fn learn(&mut self, node: NodeId, via: NodeId, bounds: Bounds) {
        self.entry(node, bounds).via = Some(via);
    }

    /// Forgets the way to a node, if it is by this neighbour.
    pub(crate) fn unlearn(&mut self, node: NodeId, via: NodeId) {
        if let Some(entry) = self.nodes.get_mut(&node)
            && entry.via == Some(via)
        {
            entry.via = None;
        }
    }

    /// The neighbour through which a node was last heard of.
    pub(crate) fn way(&self, node: NodeId) -> Option<NodeId> {
        self.nodes.get(&node)?.via
    }

    /// Forgets the way to a node, whichever it is.
    pub(crate) fn forget_way(&mut self, node: NodeId) {
        if let Some(entry) = self.nodes.get_mut(&node) {
            entry.via = None;
        }
    }

    /// Forgets the ways to all nodes; what has been here stays known.
    pub(crate) fn forget_ways(&mut self) {
        self.nodes.values_mut().for_each(|entry| entry.via = None);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        assert_eq!(self.nodes.len(), self.order.len());
        self.nodes.len()
    }

    fn entry(&mut self, node: NodeId, bounds: Bounds) -> &mut Entry {
        if !self.nodes.contains_key(&node)
            && self.nodes.len() >= bounds.nodes
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.nodes.remove(&oldest);
        }
        self.clock += 1;
        let entry = self.nodes.entry(node).or_default();
        self.order.remove(&entry.used);
        entry.used = self.clock;
        self.order.insert(self.clock, node);
        entry
    }
}

impl Hash for Known {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for (node, entry) in &self.nodes {
            (node, entry.used, entry.via, entry.incarnation).hash(state);
            (entry.seen.newest, &entry.seen.bits).hash(state);
        }
    }
}

/// How much may be remembered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) nodes: usize,
    pub(crate) window: usize,
}

/// Which of the newest messages of a node have been here: a bit each, in a ring.
#[derive(Debug, Default)]
struct Window {
    /// The newest that has been here; none: 0.
    newest: u64,
    bits: Box<[u64]>,
}

impl Window {
    fn insert(&mut self, sequence: u64, window: usize) -> Novelty {
        if self.bits.is_empty() {
            self.bits = vec![0; window.div_ceil(64)].into_boxed_slice();
        }
        let length = 64 * self.bits.len() as u64;
        if sequence > self.newest {
            // What stood in the places between is out of the window now.
            let first = (self.newest + 1).max(sequence - (length - 1).min(sequence - 1));
            (first..=sequence).for_each(|number| self.set(number, false));
            self.newest = sequence;
        } else if self.newest - sequence >= length {
            return Novelty::TooOld;
        } else if self.is_set(sequence) {
            return Novelty::Seen;
        }
        self.set(sequence, true);
        Novelty::New
    }

    /// Whether it has been here or is out of the window.
    fn holds(&self, sequence: u64) -> bool {
        if self.bits.is_empty() || sequence > self.newest {
            return false;
        }
        self.newest - sequence >= 64 * self.bits.len() as u64 || self.is_set(sequence)
    }

    fn place(&self, sequence: u64) -> (usize, u64) {
        let bit = sequence % (64 * self.bits.len() as u64);
        ((bit / 64) as usize, 1 << (bit % 64))
    }

    fn is_set(&self, sequence: u64) -> bool {
        let (word, bit) = self.place(sequence);
        self.bits[word] & bit != 0
    }

    fn set(&mut self, sequence: u64, value: bool) {
        let (word, bit) = self.place(sequence);
        if value {
            self.bits[word] |= bit;
        } else {
            self.bits[word] &= !bit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    const BOUNDS: Bounds = Bounds { nodes: 3, window: 64 };

    fn node(number: u64) -> NodeId {
        NodeId::from_u64(number)
    }

    fn id(origin: u64, life: u64, sequence: u64) -> RelayId {
        RelayId { origin: node(origin), incarnation: Incarnation(life), sequence }
    }

    #[test]
    fn the_node_not_spoken_of_for_the_longest_time_makes_room() {
        let mut known = Known::default();
        for origin in 1..=3 {
            known.meet(id(origin, 1, 1), node(9), BOUNDS);
        }
        assert_eq!(known.meet(id(1, 1, 1), node(8), BOUNDS), Novelty::Seen);
        known.learn(node(4), node(7), BOUNDS);
        assert_eq!(known.len(), 3);
        assert_eq!(known.way(node(2)), None, "the oldest is forgotten");
        assert_eq!(known.way(node(1)), Some(node(9)), "only a new message shows a way");
        assert_eq!(known.way(node(4)), Some(node(7)));
        assert_eq!(known.meet(id(2, 1, 1), node(9), BOUNDS), Novelty::New, "nobody remembers");
        assert_eq!(known.len(), 3);
    }

    #[test]
    fn a_later_life_begins_anew_and_an_earlier_one_is_over() {
        let mut known = Known::default();
        assert_eq!(known.meet(id(1, 2, 7), node(9), BOUNDS), Novelty::New);
        assert_eq!(known.meet(id(1, 1, 8), node(9), BOUNDS), Novelty::TooOld);
        assert_eq!(known.meet(id(1, 3, 7), node(9), BOUNDS), Novelty::New);
        assert_eq!(known.meet(id(1, 3, 6), node(9), BOUNDS), Novelty::New);
        assert_eq!(known.meet(id(1, 3, 7), node(9), BOUNDS), Novelty::Seen);
        assert!(known.has_met(id(1, 2, 1)) && known.has_met(id(1, 3, 6)));
        assert!(!known.has_met(id(1, 3, 5)) && !known.has_met(id(1, 3, 8)));
        assert!(!known.has_met(id(1, 4, 1)) && !known.has_met(id(2, 1, 1)));
    }

    #[test]
    fn a_way_is_forgotten_only_by_whom_it_leads() {
        let mut known = Known::default();
        known.learn(node(1), node(9), BOUNDS);
        known.unlearn(node(1), node(8));
        assert_eq!(known.way(node(1)), Some(node(9)));
        known.unlearn(node(1), node(9));
        assert_eq!(known.way(node(1)), None);
        known.learn(node(1), node(9), BOUNDS);
        known.forget_way(node(1));
        assert_eq!(known.way(node(1)), None);
        known.learn(node(1), node(9), BOUNDS);
        assert_eq!(known.meet(id(2, 1, 1), node(9), BOUNDS), Novelty::New);
        known.forget_ways();
        assert_eq!((known.way(node(1)), known.way(node(2)), known.len()), (None, None, 2));
        assert_eq!(known.meet(id(2, 1, 1), node(9), BOUNDS), Novelty::Seen);
    }

    #[test]
    fn the_greatest_number_and_a_leap_to_it_are_fine() {
        let mut window = Window::default();
        assert_eq!(window.insert(1, 64), Novelty::New);
        assert_eq!(window.insert(u64::MAX, 64), Novelty::New);
        assert_eq!(window.insert(u64::MAX, 64), Novelty::Seen);
        assert_eq!(window.insert(u64::MAX - 63, 64), Novelty::New);
        assert_eq!(window.insert(u64::MAX - 64, 64), Novelty::TooOld);
    }

    proptest! {
        /// The ring of bits against a set of numbers.
        #[test]
        fn a_window_is_a_set_of_the_newest(steps in proptest::collection::vec(1..400u64, 1..300)) {
            let (mut window, mut seen, mut newest) = (Window::default(), BTreeSet::new(), 0);
            // They wander upwards, with setbacks, and sometimes leap over the whole window.
            let mut base = 1u64;
            for step in steps {
                let sequence = if step < 300 { base + step % 130 } else { base + step };
                base = base.max(sequence.saturating_sub(100));
                let expected = match newest {
                    newest if sequence + 128 <= newest => Novelty::TooOld,
                    _ if seen.insert(sequence) => Novelty::New,
                    _ => Novelty::Seen,
                };
                newest = newest.max(sequence);
                let held = window.holds(sequence);
                prop_assert_eq!(held, expected != Novelty::New, "{}", sequence);
                prop_assert_eq!(window.insert(sequence, 100), expected, "{}", sequence);
            }
        }
    }
}
