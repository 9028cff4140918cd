//! The links that broadcasts use: all neighbours, or some of many.
//!
//! In a full mesh of a thousand nodes everybody has 999 neighbours; to announce every message to
//! each of them would cost a million messages. A node with more than `max_links` neighbours chooses
//! half as many of them, by a hash of the pair, so that a choice outlives the coming and going of
//! others; besides those it uses whoever uses it. What comes out is a random graph of about
//! `max_links` links a node, which is connected for all practical purposes.

use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use super::lag::Lag;
use crate::id::NodeId;
use crate::neighbors::Neighbors;
use crate::time::Duration;
use crate::wire::{Announcement, StableHasher};

/// One link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) node: NodeId,
    /// How long a message there and its answer take, where it is known.
    pub(super) round_trip: Option<Duration>,
    /// How long it takes until a message comes that it was asked for: longer than a round trip when
    /// there is more to send than the way can take.
    pub(super) answers: Lag,
    /// What will be announced to it.
    pub(super) announce: Vec<Announcement>,
    /// How many messages it announced that are missing here.
    pub(super) missing: usize,
}

impl Link {
    fn new(node: NodeId) -> Self {
        let answers = Lag::default();
        Self { node, round_trip: None, answers, announce: Vec::new(), missing: 0 }
    }
}

/// All of them, by identifier.
#[derive(Debug, Default)]
pub(super) struct Links(Vec<Link>);

impl Links {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.0.iter().map(|link| link.node)
    }

    pub(super) fn at(&self, place: usize) -> NodeId {
        self.0[place].node
    }

    fn place(&self, node: NodeId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&node, |link| link.node)
    }

    pub(super) fn contains(&self, node: NodeId) -> bool {
        self.place(node).is_ok()
    }

    pub(super) fn get(&self, node: NodeId) -> Option<&Link> {
        self.place(node).ok().map(|place| &self.0[place])
    }

    pub(super) fn get_mut(&mut self, node: NodeId) -> Option<&mut Link> {
        self.place(node).ok().map(|place| &mut self.0[place])
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Link> {
        self.0.iter_mut()
    }

    pub(super) fn round_trip(&self, node: NodeId) -> Option<Duration> {
        self.get(node)?.round_trip
    }

    /// A message that a neighbour was asked for took so long, or has not come yet.
    pub(super) fn learn_of_answer(&mut self, node: NodeId, span: Duration) {
        if let Some(link) = self.get_mut(node) {
            link.answers.learn(span);
        }
    }

    /// Adds a link; says whether it is new.
    pub(super) fn insert(&mut self, node: NodeId) -> bool {
        match self.place(node) {
            Ok(_) => false,
            Err(place) => {
                self.0.insert(place, Link::new(node));
                true
            }
        }
    }

    /// Takes a link out; says whether it was one.
    pub(super) fn remove(&mut self, node: NodeId) -> bool {
        let place = self.place(node);
        if let Ok(place) = place {
            self.0.remove(place);
        }
        place.is_ok()
    }

    /// Whether a new neighbour should be a link.
    pub(super) fn wants(
        &self,
        me: NodeId,
        node: NodeId,
        neighbors: &Neighbors,
        most: usize,
    ) -> bool {
        if neighbors.len() <= most || self.len() < most / 2 {
            return true;
        }
        let mine = rank(me, node);
        self.0.iter().filter(|link| rank(me, link.node) < mine).count() < most / 2
    }

    /// The neighbours that should be links and are not.
    pub(super) fn choice(&self, me: NodeId, neighbors: &Neighbors, most: usize) -> Vec<NodeId> {
        let others = neighbors.iter().map(|other| other.node);
        let mut others: Vec<_> = others.filter(|node| !self.contains(*node)).collect();
        if neighbors.len() > most {
            others.sort_unstable_by_key(|node| rank(me, *node));
            others.truncate((most / 2).saturating_sub(self.len()));
        }
        others
    }
}

impl Hash for Links {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for link in &self.0 {
            (link.node, link.round_trip, link.answers).hash(state);
            (link.announce.len(), link.missing).hash(state);
        }
    }
}

/// How much two nodes prefer each other, the less the more; both compute the same.
fn rank(a: NodeId, b: NodeId) -> u64 {
    let mut hasher = StableHasher::default();
    hasher.write_u64(a.min(b).as_u64());
    hasher.write_u64(a.max(b).as_u64());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    fn node(number: u64) -> NodeId {
        // Identifiers are hashes.
        NodeId::from_u64(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// The links of each of so many nodes that are all neighbours: those that one end chose.
    fn chosen(nodes: u64, most: usize) -> Vec<BTreeSet<usize>> {
        let mut graph = alloc::vec![BTreeSet::new(); nodes as usize];
        for a in 0..nodes {
            let neighbors = Neighbors::of((0..nodes).filter(|b| *b != a).map(node));
            let links = Links::default().choice(node(a), &neighbors, most);
            for b in (0..nodes).filter(|b| links.contains(&node(*b))) {
                graph[a as usize].insert(b as usize);
                graph[b as usize].insert(a as usize);
            }
        }
        graph
    }

    #[test]
    fn of_few_neighbours_all_are_links_and_of_many_some() {
        assert!(chosen(10, 16).iter().all(|links| links.len() == 9));
        let graph = chosen(300, 16);
        let mean = graph.iter().map(BTreeSet::len).sum::<usize>() as f64 / 300.0;
        assert!(graph.iter().all(|links| links.len() >= 8) && mean < 17.0, "{mean}");
        let (mut reached, mut front) = (BTreeSet::from([0]), alloc::vec![0]);
        while let Some(next) = front.pop() {
            front.extend(graph[next].iter().filter(|other| reached.insert(**other)));
        }
        assert_eq!(reached.len(), 300, "connected");
    }

    #[test]
    fn a_choice_outlives_the_coming_of_others() {
        let neighbors = |count: u64| Neighbors::of((1..count).map(node));
        let choose = |count| {
            let links = Links::default().choice(node(0), &neighbors(count), 16);
            links.into_iter().collect::<BTreeSet<_>>()
        };
        let kept = choose(100).intersection(&choose(101)).count();
        assert!(kept >= 7);
        let mut links = Links::default();
        choose(100).into_iter().for_each(|node| _ = links.insert(node));
        let joined = (100..200).filter(|n| links.wants(node(0), node(*n), &neighbors(200), 16));
        assert!((1..30).contains(&joined.count()), "only who ranks better");
    }
}
