//! What links cost, as far as it is known.

use alloc::vec::Vec;
use core::hash::Hash;

use crate::id::NodeId;
use crate::time::{Duration, Instant};

/// A new round-trip time counts for one of so many parts of the average.
const PARTS: u32 = 4;

/// What a link to a node costs.
#[derive(Clone, Copy, Debug, Hash)]
struct Cost {
    node: NodeId,
    cost: u32,
    at: Instant,
}

/// What links cost: no more of them than were asked for, and none longer than it is believed.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Costs(Vec<Cost>);

impl Costs {
    /// What the link to a node costs, unless that is unknown or was found out too long ago.
    pub(super) fn get(&self, node: NodeId, now: Instant, memory: Duration) -> Option<u32> {
        let found = self.0.iter().find(|cost| cost.node == node)?;
        (now.since(found.at) < memory).then_some(found.cost)
    }

    /// Whether what is known of a node should be found out again before it is too old.
    pub(super) fn is_stale(&self, node: NodeId, now: Instant, memory: Duration) -> bool {
        self.get(node, now, memory / 2).is_none()
    }

    /// The link to a node costs this. Of more than `most` nodes the oldest is forgotten.
    pub(super) fn set(&mut self, node: NodeId, cost: u32, now: Instant, most: usize) {
        self.0.retain(|other| other.node != node);
        while self.0.len() >= most.max(1) {
            // The oldest is at the front: each is put at the end when it is found out.
            self.0.remove(0);
        }
        self.0.push(Cost { node, cost, at: now });
    }

    /// A round trip took so long: averaged with what is known, in microseconds.
    pub(super) fn add(&mut self, node: NodeId, span: Duration, now: Instant, bounds: Bounds) {
        let micros = u32::try_from(span.as_micros()).unwrap_or(u32::MAX);
        let cost = match self.get(node, now, bounds.memory) {
            Some(old) => old - old / PARTS + micros / PARTS,
            None => micros,
        };
        self.set(node, cost, now, bounds.most);
    }

    /// The cost of the link to a node is unknown.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.0.retain(|other| other.node != node);
    }

    /// Forgets what is too old.
    pub(super) fn expire(&mut self, now: Instant, memory: Duration) {
        self.0.retain(|cost| now.since(cost.at) < memory);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// How long costs are believed, and how many are remembered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) memory: Duration,
    pub(super) most: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeName;
    use alloc::format;

    fn node(number: usize) -> NodeId {
        NodeName::new(&format!("n{number}@sim")).unwrap().id()
    }

    const MEMORY: Duration = Duration::from_secs(10);

    #[test]
    fn round_trips_are_averaged_and_what_is_old_is_unknown() {
        let bounds = Bounds { memory: MEMORY, most: 8 };
        let mut costs = Costs::default();
        let start = Instant::from_secs(1);
        costs.add(node(1), Duration::from_millis(8), start, bounds);
        assert_eq!(costs.get(node(1), start, MEMORY), Some(8_000));
        costs.add(node(1), Duration::from_millis(16), start, bounds);
        assert_eq!(costs.get(node(1), start, MEMORY), Some(10_000));
        assert!(!costs.is_stale(node(1), start, MEMORY));
        assert!(costs.is_stale(node(1), start + MEMORY / 2, MEMORY));
        let late = start + MEMORY;
        assert_eq!(costs.get(node(1), late, MEMORY), None);
        costs.add(node(1), Duration::from_millis(2), late, bounds);
        assert_eq!(costs.get(node(1), late, MEMORY), Some(2_000), "no average with the past");
        costs.add(node(1), Duration::MAX, late, bounds);
        assert!(costs.get(node(1), late, MEMORY).is_some_and(|cost| cost > 1 << 30));
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut costs = Costs::default();
        for number in 0..20 {
            costs.set(node(number), 1, Instant::from_secs(number as u64), 8);
        }
        assert_eq!(costs.len(), 8);
        let now = Instant::from_secs(20);
        assert_eq!(costs.get(node(11), now, MEMORY * 9), None);
        assert_eq!(costs.get(node(12), now, MEMORY * 9), Some(1));
        costs.expire(now, Duration::from_secs(4));
        assert_eq!(costs.len(), 3);
        costs.forget(node(19));
        assert_eq!(costs.len(), 2);
    }
}
