//! How far apart nodes are, and what a flood reaches.

use super::overlay::{Overlay, share};
use crate::draw::{Label, Stream};

/// In overlays of up to so many nodes the distances from every node are counted; in larger ones
/// those from [`SAMPLED`] nodes drawn from the seed.
pub const EXACT: usize = 20_000;
/// From how many nodes the distances are counted in larger overlays.
pub const SAMPLED: usize = 1_024;

/// Distances along links, in hops.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distances {
    /// From how many nodes they were counted.
    pub sources: usize,
    /// How many ordered pairs are so many hops apart, by the number of hops, from 1.
    pub pairs: Vec<u64>,
    /// The average shortest path, over the pairs of which the one reaches the other.
    pub mean: f64,
    /// The longest shortest path found.
    pub diameter: u32,
    /// The mean over the sources of the distance to the farthest node that they reach: after how
    /// many hops a flood makes its last delivery.
    pub last_hop: f64,
    /// The mean share of the other nodes that a source reaches.
    pub reach: f64,
}

/// A flood from one node: everybody hands on what they hear first to all neighbours but the one
/// they have it from.
#[derive(Clone, Debug, PartialEq)]
pub struct Flood {
    /// After how many hops each place is reached; `None` where it is not.
    pub hops: Vec<Option<u32>>,
    /// From whom each place has it first; the source and those not reached from nobody.
    pub parents: Vec<Option<u32>>,
    /// How many nodes have it, the source included.
    pub reached: usize,
    /// The distance of the farthest.
    pub last_hop: u32,
    /// How many copies are sent.
    pub copies: usize,
}

impl Flood {
    /// The share of all nodes that have it.
    #[must_use]
    pub fn reliability(&self) -> f64 {
        share(self.reached, self.hops.len())
    }

    /// The relative message redundancy: copies sent in excess of the one that each receiver needs,
    /// by receiver (Plumtree, section 4).
    #[must_use]
    pub fn redundancy(&self) -> f64 {
        let needed = self.reached.saturating_sub(1);
        if needed == 0 { 0.0 } else { self.copies as f64 / needed as f64 - 1.0 }
    }
}

impl Overlay {
    /// Distances from every node, or from a sample drawn from the seed in a large overlay.
    #[must_use]
    pub fn distances(&self, seed: u64) -> Distances {
        let sources: Vec<u32> = if self.len() <= EXACT {
            (0..self.len() as u32).collect()
        } else {
            self.sample(seed, SAMPLED)
        };
        self.distances_from(&sources)
    }

    /// So many different places, drawn from the seed; all, where there are no more.
    #[must_use]
    pub fn sample(&self, seed: u64, count: usize) -> Vec<u32> {
        let mut places: Vec<u32> = (0..self.len() as u32).collect();
        let count = count.min(places.len());
        let mut stream = Stream::new(seed, Label::Graph, u64::MAX);
        for i in 0..count {
            let other = i + stream.below(places.len() - i);
            places.swap(i, other);
        }
        places.truncate(count);
        places
    }

    /// Distances from these places.
    #[must_use]
    pub fn distances_from(&self, sources: &[u32]) -> Distances {
        let mut distances = Distances { sources: sources.len(), ..Distances::default() };
        let mut last_hops = 0_u64;
        // A search from 64 places at once: one bit each.
        for batch in sources.chunks(64) {
            last_hops += self.search(batch, &mut distances.pairs);
        }
        let found: u64 = distances.pairs.iter().sum();
        let by_hops = (1..).zip(&distances.pairs);
        let total: u64 = by_hops.map(|(hops, pairs)| hops * pairs).sum();
        distances.mean = total as f64 / found.max(1) as f64;
        distances.diameter = distances.pairs.len() as u32;
        distances.last_hop = last_hops as f64 / sources.len().max(1) as f64;
        distances.reach = share(found as usize, sources.len() * self.len().saturating_sub(1));
        distances
    }

    /// Counts pairs by hops from up to 64 sources; returns the sum of the sources' last hops.
    fn search(&self, sources: &[u32], pairs: &mut Vec<u64>) -> u64 {
        let mut seen = vec![0_u64; self.len()];
        for (bit, source) in sources.iter().enumerate() {
            seen[*source as usize] |= 1 << bit;
        }
        let mut frontier = seen.clone();
        let mut next = vec![0_u64; self.len()];
        let mut last_hops = 0;
        for hops in 0.. {
            for (place, bits) in frontier.iter().enumerate().filter(|(_, bits)| **bits != 0) {
                for to in self.neighbors(place) {
                    next[*to as usize] |= bits;
                }
            }
            let (mut found, mut active) = (0_u64, 0_u64);
            for (next, seen) in next.iter_mut().zip(&mut seen) {
                *next &= !*seen;
                *seen |= *next;
                found += u64::from(next.count_ones());
                active |= *next;
            }
            if found == 0 {
                break;
            }
            if pairs.len() == hops {
                pairs.push(0);
            }
            pairs[hops] += found;
            last_hops += u64::from(active.count_ones());
            std::mem::swap(&mut frontier, &mut next);
            next.fill(0);
        }
        last_hops
    }

    /// A flood from this place.
    #[must_use]
    pub fn flood(&self, from: usize) -> Flood {
        let mut hops = vec![None; self.len()];
        let mut parents = vec![None; self.len()];
        hops[from] = Some(0);
        let mut order = vec![from];
        let (mut copies, mut last_hop, mut next) = (0, 0, 0);
        while let Some(place) = order.get(next).copied() {
            next += 1;
            let hop = hops[place].unwrap_or(0) + 1;
            for to in self.neighbors(place) {
                if parents[place] == Some(*to) {
                    continue;
                }
                copies += 1;
                let to = *to as usize;
                if hops[to].is_none() {
                    hops[to] = Some(hop);
                    parents[to] = Some(place as u32);
                    last_hop = hop;
                    order.push(to);
                }
            }
        }
        Flood { hops, parents, reached: order.len(), last_hop, copies }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(nodes: u32) -> Overlay {
        Overlay::from_links(nodes as usize, (1..nodes).flat_map(|n| [(n - 1, n), (n, n - 1)]))
    }

    #[test]
    fn distances_on_a_line_are_known() {
        let distances = line(5).distances(1);
        assert_eq!(distances.pairs, [8, 6, 4, 2]);
        assert!((distances.mean - 2.0).abs() < 1e-9);
        assert_eq!(distances.diameter, 4);
        assert!((distances.last_hop - (4.0 + 3.0 + 2.0 + 3.0 + 4.0) / 5.0).abs() < 1e-9);
        assert!((distances.reach - 1.0).abs() < 1e-9);
    }

    #[test]
    fn more_than_64_sources_are_searched_in_batches() {
        let ring = Overlay::from_links(
            200,
            (0..200).flat_map(|n| [(n, (n + 1) % 200), ((n + 1) % 200, n)]),
        );
        let distances = ring.distances(1);
        assert_eq!((distances.sources, distances.diameter), (200, 100));
        assert!((distances.mean - 10_000.0 / 199.0).abs() < 1e-9);
        assert!((distances.last_hop - 100.0).abs() < 1e-9);
    }

    #[test]
    fn a_search_agrees_with_floods() {
        let graph = Overlay::from_links(90, (0..90).flat_map(|n| [(n, n * 7 % 90), (n, n / 2)]));
        let distances = graph.distances(0);
        let floods: Vec<_> = (0..90).map(|from| graph.flood(from)).collect();
        let reached: u64 = floods.iter().map(|flood| flood.reached as u64 - 1).sum();
        let hops: u32 = floods.iter().flat_map(|flood| &flood.hops).flatten().sum();
        assert_eq!(distances.pairs.iter().sum::<u64>(), reached);
        assert!((distances.mean - f64::from(hops) / reached as f64).abs() < 1e-9);
        let last: u32 = floods.iter().map(|flood| flood.last_hop).sum();
        assert!((distances.last_hop - f64::from(last) / 90.0).abs() < 1e-9);
    }

    #[test]
    fn a_flood_does_not_leave_its_component() {
        let two = Overlay::from_links(5, [(0, 1), (1, 0), (1, 2), (2, 1), (3, 4), (4, 3)]);
        let flood = two.flood(1);
        assert_eq!(flood.hops, [Some(1), Some(0), Some(1), None, None]);
        assert_eq!((flood.reached, flood.last_hop, flood.copies), (3, 1, 2));
        assert!((flood.reliability() - 0.6).abs() < 1e-9);
        assert!(flood.redundancy().abs() < 1e-9);
        assert!((two.distances(1).reach - (3.0 * 2.0 + 2.0) / 20.0).abs() < 1e-9);
    }

    #[test]
    fn a_flood_of_a_regular_graph_sends_degree_less_two_copies_too_many() {
        let flood = Overlay::random(3, 1_000, 5).flood(0);
        // n d - (n - 1) copies over n - 1 receivers.
        let expected = 4_001.0 / 999.0 - 1.0;
        assert_eq!(flood.reached, 1_000);
        assert!((flood.redundancy() - expected).abs() < 1e-9);
    }

    #[test]
    fn a_random_graph_of_ten_thousand_is_as_deep_as_theory_says() {
        let graph = Overlay::random(1, 10_000, 5);
        let distances = graph.distances(1);
        assert!((distances.mean - 6.359).abs() < 0.01, "{}", distances.mean);
        assert!((8.0..8.5).contains(&distances.last_hop), "{}", distances.last_hop);
        let clustering = graph.clustering();
        assert!((0.000_2..0.000_7).contains(&clustering), "{clustering}");
        let sampled = graph.distances_from(&graph.sample(1, 640));
        assert!((sampled.mean - distances.mean).abs() < 0.01, "{}", sampled.mean);
    }
}
