//! The graph of who is next to whom, as a plain adjacency structure.

use std::collections::BTreeSet;

use crate::draw::{Label, Stream};
use crate::world::World;

/// How often a pair of [`Overlay::random`] that cannot be linked tries to change partners.
const MOST_SWAPS: usize = 10_000;

/// A directed graph over the live nodes of a world: a link leads from a node to each of its
/// neighbours. Nodes are named by their *places*, counted from 0; [`Overlay::node`] says which node
/// of the world stands there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlay {
    nodes: Vec<u32>,
    /// Where the links of each place begin in `links`, and one more for the end.
    starts: Vec<u32>,
    links: Vec<u32>,
    astray: usize,
}

impl Overlay {
    /// The overlay of a world at this moment: what each live node holds to be its neighbours.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let nodes: Vec<u32> = world.live().map(|node| node as u32).collect();
        let mut places = vec![u32::MAX; world.hosts().len()];
        for (place, node) in nodes.iter().enumerate() {
            places[*node as usize] = place as u32;
        }
        let mut overlay = Self { nodes, starts: vec![0], ..Self::default() };
        for place in 0..overlay.nodes.len() {
            let from = overlay.links.len();
            let host = &world.hosts()[overlay.nodes[place] as usize];
            for neighbor in host.node().into_iter().flat_map(|node| node.neighbors().iter()) {
                let number = world.number(neighbor.node);
                let alive = number.filter(|number| {
                    let node = world.hosts()[*number].node();
                    node.is_some_and(|node| node.instance() == neighbor)
                });
                match alive {
                    Some(number) => overlay.links.push(places[number]),
                    None => overlay.astray += 1,
                }
            }
            overlay.links[from..].sort_unstable();
            overlay.starts.push(overlay.links.len() as u32);
        }
        overlay
    }

    /// A graph of `nodes` nodes from directed links between places; loops and repetitions are left
    /// out.
    ///
    /// # Panics
    /// When a link leads from or to a place that is none.
    #[must_use]
    pub fn from_links(nodes: usize, links: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let mut lists = vec![BTreeSet::new(); nodes];
        for (from, to) in links {
            assert!((to as usize) < nodes, "a link to place {to} of {nodes}");
            if from != to {
                lists[from as usize].insert(to);
            }
        }
        Self::from_lists(&lists)
    }

    fn from_lists<'a, L>(lists: &'a [L]) -> Self
    where
        &'a L: IntoIterator<Item = &'a u32>,
    {
        let nodes = (0..lists.len() as u32).collect();
        let mut overlay = Self { nodes, starts: vec![0], ..Self::default() };
        for list in lists {
            overlay.links.extend(list);
            overlay.starts.push(overlay.links.len() as u32);
        }
        overlay
    }

    /// A random regular graph, the ideal of a partial view: every node has `degree` neighbours,
    /// chosen uniformly; in a graph of no more than `degree + 1` nodes everybody is linked to all.
    /// When both numbers are odd, a node has one neighbour fewer.
    #[must_use]
    pub fn random(seed: u64, nodes: usize, degree: usize) -> Self {
        if nodes <= degree + 1 {
            let all = 0..nodes as u32;
            return Self::from_links(
                nodes,
                all.clone().flat_map(|a| all.clone().map(move |b| (a, b))),
            );
        }
        let mut stream = Stream::new(seed, Label::Graph, nodes as u64);
        let mut ends: Vec<u32> =
            (0..nodes as u32).flat_map(|node| std::iter::repeat_n(node, degree)).collect();
        for i in (1..ends.len()).rev() {
            ends.swap(i, stream.below(i + 1));
        }
        let mut lists: Vec<Vec<u32>> = vec![Vec::with_capacity(degree); nodes];
        let mut left = Vec::new();
        for pair in ends.chunks_exact(2) {
            if !link(&mut lists, pair[0], pair[1]) {
                left.push((pair[0], pair[1]));
            }
        }
        for (a, b) in left {
            change_partners(&mut lists, a, b, &mut stream);
        }
        lists.iter_mut().for_each(|list| list.sort_unstable());
        Self::from_lists(&lists)
    }

    /// How many nodes there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Which node of the world stands at this place.
    #[must_use]
    pub fn node(&self, place: usize) -> usize {
        self.nodes[place] as usize
    }

    /// Where this node of the world stands, if it lives.
    #[must_use]
    pub fn place(&self, node: usize) -> Option<usize> {
        self.nodes.binary_search(&(node as u32)).ok()
    }

    /// The places next to this one, ascending.
    #[must_use]
    pub fn neighbors(&self, place: usize) -> &[u32] {
        &self.links[self.starts[place] as usize..self.starts[place + 1] as usize]
    }

    /// All links, from place to place.
    pub fn links(&self) -> impl Iterator<Item = (usize, usize)> {
        let places = 0..self.len();
        places.flat_map(|from| self.neighbors(from).iter().map(move |to| (from, *to as usize)))
    }

    /// How many links there are, each direction counted.
    #[must_use]
    pub const fn link_count(&self) -> usize {
        self.links.len()
    }

    /// Whether a link leads from the one place to the other.
    #[must_use]
    pub fn has_link(&self, from: usize, to: usize) -> bool {
        self.neighbors(from).binary_search(&(to as u32)).is_ok()
    }

    /// How many neighbours are named that do not live, or are not in the life that is meant.
    #[must_use]
    pub const fn astray(&self) -> usize {
        self.astray
    }

    /// The share of the named neighbours that live; 1 where none is named.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        share(self.links.len(), self.links.len() + self.astray)
    }

    /// The share of the links that lead back as well; 1 where there are none.
    #[must_use]
    pub fn symmetric_share(&self) -> f64 {
        let mutual = self.links().filter(|(from, to)| self.has_link(*to, *from)).count();
        share(mutual, self.links.len())
    }

    /// The same graph with every link leading both ways.
    #[must_use]
    pub fn undirected(&self) -> Self {
        let mut lists = vec![Vec::new(); self.len()];
        for (from, to) in self.links() {
            lists[from].push(to as u32);
            if !self.has_link(to, from) {
                lists[to].push(from as u32);
            }
        }
        lists.iter_mut().for_each(|list| list.sort_unstable());
        Self { nodes: self.nodes.clone(), astray: self.astray, ..Self::from_lists(&lists) }
    }

    /// The mean cost of a link, given the cost between two nodes of the world; 0 without links.
    #[must_use]
    pub fn link_cost(&self, cost: impl Fn(usize, usize) -> f64) -> f64 {
        let costs = self.links().map(|(from, to)| cost(self.node(from), self.node(to)));
        costs.sum::<f64>() / self.links.len().max(1) as f64
    }
}

/// `part` of `whole`; 1 of nothing.
pub(super) fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

fn link(lists: &mut [Vec<u32>], a: u32, b: u32) -> bool {
    let free = a != b && !lists[a as usize].contains(&b);
    if free {
        lists[a as usize].push(b);
        lists[b as usize].push(a);
    }
    free
}

/// Links `a` and `b`, who cannot be linked to each other, with the two ends of another link.
fn change_partners(lists: &mut [Vec<u32>], a: u32, b: u32, stream: &mut Stream) {
    for _ in 0..MOST_SWAPS {
        let x = stream.below(lists.len()) as u32;
        if lists[x as usize].is_empty() {
            continue;
        }
        let y = lists[x as usize][stream.below(lists[x as usize].len())];
        let free = |a: u32, b: u32| a != b && !lists[a as usize].contains(&b);
        if free(a, x) && free(b, y) {
            lists[x as usize].retain(|other| *other != y);
            lists[y as usize].retain(|other| *other != x);
            link(lists, a, x);
            link(lists, b, y);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_does_not_lead_back_is_seen() {
        let overlay = Overlay::from_links(4, [(0, 1), (1, 0), (1, 2), (2, 3), (3, 2), (2, 2)]);
        assert_eq!(overlay.link_count(), 5);
        assert!((overlay.symmetric_share() - 0.8).abs() < 1e-9);
        let both = overlay.undirected();
        assert!(both.has_link(2, 1) && both.symmetric_share() >= 1.0);
        assert_eq!(both.neighbors(2), [1, 3]);
    }

    #[test]
    fn the_cost_of_links_is_their_mean() {
        let line = Overlay::from_links(3, [(0, 1), (1, 0), (1, 2), (2, 1)]);
        let cost = line.link_cost(|a, b| a.max(b) as f64);
        assert!((cost - 1.5).abs() < 1e-9);
        assert!(Overlay::default().link_cost(|_, _| 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_random_graph_is_regular_and_follows_from_its_seed() {
        let graph = Overlay::random(5, 200, 5);
        assert!((0..200).all(|place| graph.neighbors(place).len() == 5));
        assert!(graph.symmetric_share() >= 1.0 && graph.links().all(|(a, b)| a != b));
        assert_eq!(graph, Overlay::random(5, 200, 5));
        assert_ne!(graph, Overlay::random(6, 200, 5));
        assert_eq!(Overlay::random(1, 6, 5).link_count(), 30, "the complete graph is the only one");
        assert_eq!(Overlay::random(1, 0, 5).len(), 0);
    }

    #[test]
    fn a_world_is_seen_as_its_live_nodes_see_it() {
        let mut world = World::new(crate::WorldOptions::default());
        world.add_nodes(4);
        (1..4).for_each(|node| _ = world.join(node, 0));
        world.run_for(partisan_proto::Duration::from_secs(20));
        let overlay = Overlay::of(&world);
        assert_eq!((overlay.len(), overlay.link_count(), overlay.astray()), (4, 12, 0));
        world.crash(1);
        let overlay = Overlay::of(&world);
        assert_eq!((overlay.len(), overlay.link_count(), overlay.astray()), (3, 6, 3));
        assert_eq!((overlay.place(1), overlay.place(3), overlay.node(2)), (None, Some(2), 3));
        assert!((overlay.accuracy() - 2.0 / 3.0).abs() < 1e-9);
    }
}
