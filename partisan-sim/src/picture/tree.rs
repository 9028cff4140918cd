//! A broadcast tree: the source in the middle, everybody else on the ring of their hop.

use std::f64::consts::TAU;

use svg::node::Node as _;
use svg::node::element::{Circle, Group};

use super::{Picture, WIDTH, hint, line, short};
use crate::measure::{Flood, Overlay};

/// How a link takes part in a broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// It carries payloads.
    Eager,
    /// It carries announcements only, or copies that come too late.
    Lazy,
}

/// Who has a broadcast from whom.
#[derive(Clone, Debug)]
pub struct Tree {
    /// From whom each place has it; nobody for the source and those not reached.
    pub parents: Vec<Option<u32>>,
    /// After how many hops; `None` for those not reached.
    pub hops: Vec<Option<u32>>,
}

impl From<&Flood> for Tree {
    fn from(flood: &Flood) -> Self {
        Self { parents: flood.parents.clone(), hops: flood.hops.clone() }
    }
}

impl Tree {
    /// Draws it over the overlay: links of the tree solid, all others dotted.
    #[must_use]
    pub fn picture(&self, overlay: &Overlay) -> Picture {
        let mut picture = Picture::new("A broadcast, hop by hop", WIDTH, WIDTH);
        let deepest = self.hops.iter().flatten().copied().max().unwrap_or(0);
        let angles = self.angles();
        let center = WIDTH / 2.0;
        let step = (center - 14.0) / f64::from(deepest.max(1));
        let radius = |hop: u32| f64::from(hop) * step;
        let point = |place: usize| {
            let hop = self.hops[place]?;
            let (y, x) = angles[place].sin_cos();
            Some((center + radius(hop) * x, center + radius(hop) * y))
        };
        for hop in 1..=deepest {
            let ring = Circle::new().set("cx", center).set("cy", center);
            picture.add(ring.set("r", short(radius(hop))).set("class", "ring"));
        }
        let (mut lazy, mut eager) = (Group::new(), Group::new());
        for (from, to) in overlay.links() {
            let (Some(a), Some(b)) = (point(from), point(to)) else {
                continue;
            };
            match self.edge(from, to) {
                Edge::Lazy if from < to || !overlay.has_link(to, from) => {
                    lazy.append(line(a, b, "lazy"));
                }
                Edge::Eager if self.parents[to] == Some(from as u32) => {
                    eager.append(line(a, b, "eager"));
                }
                _ => {}
            }
        }
        picture.add(lazy);
        picture.add(eager);
        let size = (60.0 / (overlay.len() as f64).sqrt()).clamp(1.6, 6.0);
        for place in 0..overlay.len() {
            let (Some((x, y)), Some(hop)) = (point(place), self.hops[place]) else {
                continue;
            };
            let class = if hop == 0 { "node root" } else { "node f0" };
            let circle = Circle::new().set("cx", short(x)).set("cy", short(y));
            let text = format!("node {}: hop {hop}", overlay.node(place));
            picture.add(circle.set("r", short(size)).set("class", class).add(hint(text)));
        }
        picture
    }

    /// Whether a link is part of the tree, in either direction.
    #[must_use]
    pub fn edge(&self, from: usize, to: usize) -> Edge {
        let of_tree =
            self.parents[to] == Some(from as u32) || self.parents[from] == Some(to as u32);
        if of_tree { Edge::Eager } else { Edge::Lazy }
    }

    /// The direction of each place from the middle: every subtree has a sector as wide as it has
    /// leaves.
    fn angles(&self) -> Vec<f64> {
        let mut order: Vec<usize> =
            (0..self.hops.len()).filter(|place| self.hops[*place].is_some()).collect();
        order.sort_by_key(|place| (self.hops[*place], self.parents[*place], *place));
        let mut leaves = vec![0_u32; self.hops.len()];
        for place in order.iter().rev() {
            leaves[*place] = leaves[*place].max(1);
            if let Some(parent) = self.parents[*place] {
                leaves[parent as usize] += leaves[*place];
            }
        }
        let mut angles = vec![0.0; self.hops.len()];
        // Where the sector begins, and how much of it was given away.
        let mut sectors = vec![(0.0, TAU, 0.0); self.hops.len()];
        for place in order {
            if let Some(parent) = self.parents[place] {
                let (start, width, used) = &mut sectors[parent as usize];
                let share = f64::from(leaves[place]) / f64::from(leaves[parent as usize].max(1));
                let mine = (*start + *used, *width * share);
                *used += mine.1;
                sectors[place] = (mine.0, mine.1, 0.0);
            }
            angles[place] = sectors[place].0 + sectors[place].1 / 2.0;
        }
        angles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_the_tree_are_solid_and_the_others_dotted() {
        let ring =
            Overlay::from_links(5, (0..5).flat_map(|n: u32| [(n, (n + 1) % 5), ((n + 1) % 5, n)]));
        let tree = Tree::from(&ring.flood(0));
        let text = tree.picture(&ring).inline();
        assert_eq!(text.matches("class=\"eager\"").count(), 4);
        assert_eq!(text.matches("class=\"lazy\"").count(), 1);
        assert_eq!(text.matches("class=\"ring\"").count(), 2);
        assert_eq!(text.matches("class=\"node").count(), 5);
        assert!(text.contains("node 3: hop 2") && !text.contains("NaN"));
        assert_eq!((tree.edge(0, 1), tree.edge(1, 0)), (Edge::Eager, Edge::Eager));
    }

    #[test]
    fn children_share_the_sector_of_their_parent() {
        let star = Overlay::from_links(5, (1..5).map(|leaf| (0, leaf)));
        let angles = Tree::from(&star.flood(0)).angles();
        let gaps: Vec<_> = (2..5).map(|leaf| angles[leaf] - angles[leaf - 1]).collect();
        assert!(gaps.iter().all(|gap| (gap - TAU / 4.0).abs() < 1e-9), "{angles:?}");
    }

    #[test]
    fn who_is_not_reached_is_not_drawn() {
        let two = Overlay::from_links(4, [(0, 1), (1, 0), (2, 3), (3, 2)]);
        let text = Tree::from(&two.flood(0)).picture(&two).inline();
        assert_eq!(text.matches("class=\"node").count(), 2);
    }
}
