//! The shape of an overlay in numbers: degrees, clustering, components, and all at once.

use serde::Serialize;

use super::overlay::{Overlay, share};
use crate::draw::{Label, Stream};

/// How many steps [`Overlay::clustering`] may take before it looks at a sample of the nodes only.
const MOST_STEPS: usize = 200_000_000;

/// How often each number occurs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Histogram {
    /// By number.
    pub counts: Vec<u64>,
}

impl FromIterator<usize> for Histogram {
    fn from_iter<I: IntoIterator<Item = usize>>(numbers: I) -> Self {
        let mut counts = Vec::new();
        for number in numbers {
            if counts.len() <= number {
                counts.resize(number + 1, 0);
            }
            counts[number] += 1;
        }
        Self { counts }
    }
}

impl Histogram {
    /// Counts what another has counted as well.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
    }

    /// How many numbers there are.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their mean; 0 where there is none.
    #[must_use]
    pub fn mean(&self) -> f64 {
        let sum: u64 = (0..).zip(&self.counts).map(|(number, count)| number * count).sum();
        sum as f64 / self.total().max(1) as f64
    }

    /// The smallest number that occurs; 0 where none does.
    #[must_use]
    pub fn least(&self) -> usize {
        self.counts.iter().position(|count| *count > 0).unwrap_or(0)
    }

    /// The greatest number that occurs; 0 where none does.
    #[must_use]
    pub fn most(&self) -> usize {
        self.counts.len().saturating_sub(1)
    }

    /// The share of the numbers that are at least this one; 1 where there is none.
    #[must_use]
    pub fn share_from(&self, number: usize) -> f64 {
        let from: u64 = self.counts.iter().skip(number).sum();
        share(from as usize, self.total() as usize)
    }
}

/// An overlay in numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Shape {
    /// How many nodes.
    pub nodes: usize,
    /// How many components, links taken both ways.
    pub components: usize,
    /// The share of the nodes in the largest of them.
    pub largest: f64,
    /// How many neighbours nodes have.
    pub degrees: Histogram,
    /// Of how many nodes they are neighbours.
    pub in_degrees: Histogram,
    /// The share of the links that lead back as well.
    pub symmetric: f64,
    /// The share of the named neighbours that live.
    pub accuracy: f64,
    /// The clustering coefficient.
    pub clustering: f64,
    /// The average shortest path.
    pub path: f64,
    /// The longest shortest path.
    pub diameter: u32,
    /// The mean over all nodes of the hops to the last delivery of a flood from there.
    pub last_hop: f64,
    /// The mean share of the other nodes that a flood reaches.
    pub reach: f64,
    /// How many ordered pairs are so many hops apart, from 1.
    pub distances: Vec<u64>,
}

impl Shape {
    /// Measures all of it.
    #[must_use]
    pub fn of(overlay: &Overlay, seed: u64) -> Self {
        let distances = overlay.distances(seed);
        let components = overlay.components();
        Self {
            nodes: overlay.len(),
            components: components.len(),
            largest: share(components.first().copied().unwrap_or(0), overlay.len()),
            degrees: overlay.degrees(),
            in_degrees: overlay.in_degrees(),
            symmetric: overlay.symmetric_share(),
            accuracy: overlay.accuracy(),
            clustering: overlay.clustering(),
            path: distances.mean,
            diameter: distances.diameter,
            last_hop: distances.last_hop,
            reach: distances.reach,
            distances: distances.pairs,
        }
    }
}

impl Overlay {
    /// How many neighbours the nodes have.
    #[must_use]
    pub fn degrees(&self) -> Histogram {
        (0..self.len()).map(|place| self.neighbors(place).len()).collect()
    }

    /// Of how many nodes the nodes are neighbours.
    #[must_use]
    pub fn in_degrees(&self) -> Histogram {
        self.in_degree_of_each().into_iter().collect()
    }

    /// Of how many nodes each place is a neighbour.
    #[must_use]
    pub fn in_degree_of_each(&self) -> Vec<usize> {
        let mut degrees = vec![0; self.len()];
        self.links().for_each(|(_, to)| degrees[to] += 1);
        degrees
    }

    /// The average clustering coefficient: of the pairs of a node's neighbours, links taken both
    /// ways, the share that is linked; its mean over all nodes, of which those with fewer than two
    /// neighbours count 0. A sample of the nodes is looked at where views are very large.
    #[must_use]
    pub fn clustering(&self) -> f64 {
        let graph = self.undirected();
        let steps: usize = (0..graph.len()).map(|place| graph.neighbors(place).len().pow(2)).sum();
        let places = if steps <= MOST_STEPS {
            (0..graph.len() as u32).collect()
        } else {
            graph.sample(steps as u64, graph.len() * MOST_STEPS / steps + 1)
        };
        let mut near = vec![false; graph.len()];
        let mut sum = 0.0;
        for place in &places {
            let neighbors = graph.neighbors(*place as usize);
            neighbors.iter().for_each(|other| near[*other as usize] = true);
            let ends = neighbors.iter().flat_map(|other| graph.neighbors(*other as usize));
            let linked = ends.filter(|end| near[**end as usize]).count();
            neighbors.iter().for_each(|other| near[*other as usize] = false);
            let pairs = neighbors.len() * neighbors.len().saturating_sub(1);
            sum += linked as f64 / pairs.max(1) as f64;
        }
        sum / places.len().max(1) as f64
    }

    /// The sizes of the components, the largest first, links taken both ways.
    #[must_use]
    pub fn components(&self) -> Vec<usize> {
        let mut sizes = vec![0; self.len()];
        self.component_of_each().iter().for_each(|root| sizes[*root as usize] += 1);
        sizes.retain(|size| *size > 0);
        sizes.sort_unstable_by_key(|size| std::cmp::Reverse(*size));
        sizes
    }

    /// To which component each place belongs: the smallest place in it.
    #[must_use]
    pub fn component_of_each(&self) -> Vec<u32> {
        let mut roots: Vec<u32> = (0..self.len() as u32).collect();
        for (from, to) in self.links() {
            let (a, b) = (root(&mut roots, from as u32), root(&mut roots, to as u32));
            roots[a.max(b) as usize] = a.min(b);
        }
        (0..self.len() as u32).map(|place| root(&mut roots, place)).collect()
    }

    /// Distances between pairs as a curve to compare with: those of a random graph of the same size
    /// and mean degree.
    #[must_use]
    pub fn ideal(&self, seed: u64) -> Self {
        let degree = (self.link_count() as f64 / self.len().max(1) as f64).round() as usize;
        Self::random(Stream::new(seed, Label::Graph, 1).next_u64(), self.len(), degree)
    }
}

fn root(roots: &mut [u32], mut place: u32) -> u32 {
    while roots[place as usize] != place {
        // Halves the path for the next one who asks.
        roots[place as usize] = roots[roots[place as usize] as usize];
        place = roots[place as usize];
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_triangle_with_a_tail_has_a_known_clustering() {
        let links = [(0, 1), (1, 2), (2, 0), (2, 3)];
        let graph = Overlay::from_links(4, links);
        // Two corners of 1, the third has one of three pairs, the tail none.
        assert!((graph.clustering() - (1.0 + 1.0 + 1.0 / 3.0) / 4.0).abs() < 1e-9);
        let complete = Overlay::from_links(5, (0..25).map(|n| (n / 5, n % 5)));
        assert!((complete.clustering() - 1.0).abs() < 1e-9);
        assert!(Overlay::from_links(3, [(0, 1)]).clustering().abs() < 1e-9);
    }

    #[test]
    fn components_take_links_both_ways() {
        let graph = Overlay::from_links(7, [(0, 1), (2, 1), (3, 4), (5, 3), (5, 4)]);
        assert_eq!(graph.components(), [3, 3, 1]);
        assert_eq!(graph.component_of_each(), [0, 0, 0, 3, 3, 3, 6]);
        assert_eq!(Overlay::default().components(), [0; 0]);
    }

    #[test]
    fn degrees_out_and_in_are_counted_apart() {
        let star = Overlay::from_links(5, (1..5).map(|leaf| (leaf, 0)));
        assert_eq!(star.degrees().counts, [1, 4]);
        assert_eq!(star.in_degrees().counts, [4, 0, 0, 0, 1]);
        let degrees = star.in_degrees();
        assert_eq!((degrees.least(), degrees.most(), degrees.total()), (0, 4, 5));
        assert!((degrees.mean() - 0.8).abs() < 1e-9);
        assert!((degrees.share_from(1) - 0.2).abs() < 1e-9);
        assert!((Histogram::default().share_from(3) - 1.0).abs() < 1e-9);
        let mut both = star.degrees();
        both.merge(&star.in_degrees());
        assert_eq!(both.counts, [5, 4, 0, 0, 1]);
    }

    #[test]
    fn a_shape_says_all_at_once() {
        let two = Overlay::from_links(5, [(0, 1), (1, 0), (1, 2), (2, 1), (3, 4)]);
        let shape = Shape::of(&two, 1);
        assert_eq!((shape.nodes, shape.components, shape.diameter), (5, 2, 2));
        assert!((shape.largest - 0.6).abs() < 1e-9);
        assert!((shape.symmetric - 0.8).abs() < 1e-9);
        assert!((shape.path - (5.0 + 2.0 * 2.0) / 7.0).abs() < 1e-9);
    }
}
