//! A broadcast tree: the source in the middle, everybody else on the ring of their hop.

use std::f64::consts::TAU;

use svg::node::Node as _;
use svg::node::element::{Circle, Group};

use partisan_proto::Duration;

use super::{Picture, WIDTH, hint, line, number, short};
use crate::measure::{Flood, Overlay, Stop};

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
    /// After how long, where that is known.
    pub spans: Vec<Option<Duration>>,
}

impl From<&Flood> for Tree {
    fn from(flood: &Flood) -> Self {
        let spans = vec![None; flood.hops.len()];
        Self { parents: flood.parents.clone(), hops: flood.hops.clone(), spans }
    }
}

/// How many branches have a colour of their own.
const COLORS: usize = 7;

impl Tree {
    /// The way that a message took through an overlay. Where it came by a node that is not there
    /// any more, its branch begins anew.
    #[must_use]
    pub fn of(stops: &[Stop], overlay: &Overlay) -> Self {
        let nobody = vec![None; overlay.len()];
        let mut tree =
            Self { parents: nobody.clone(), hops: nobody, spans: vec![None; overlay.len()] };
        let Some(first) = stops.first() else {
            return tree;
        };
        for stop in stops {
            let Some(place) = overlay.place(stop.node) else { continue };
            let parent = stop.from.and_then(|from| overlay.place(from));
            // What a store had kept forgot how far it came; and nobody is nearer than who sent it.
            let above = parent.and_then(|parent| tree.hops[parent]).map_or(0, |hops| hops + 1);
            tree.parents[place] = parent.map(|parent| parent as u32);
            tree.hops[place] = Some(above.max(u32::from(stop.from.is_some())));
            tree.spans[place] = Some(stop.at.since(first.at));
        }
        tree
    }

    /// How many nodes have it, after how many hops, and after how long where that is known.
    #[must_use]
    pub fn extent(&self) -> (usize, u32, Option<Duration>) {
        let hops = self.hops.iter().flatten();
        let last = self.spans.iter().flatten().max().copied();
        (hops.clone().count(), hops.max().copied().unwrap_or(0), last)
    }

    /// Draws it over the overlay: links of the tree solid, each branch in its colour, all others
    /// dotted.
    #[must_use]
    pub fn picture(&self, overlay: &Overlay) -> Picture {
        let mut picture = Picture::new("A broadcast, hop by hop", WIDTH, WIDTH);
        let (_, deepest, _) = self.extent();
        let (angles, center) = (self.angles(), WIDTH / 2.0);
        let radius = |hop: u32| f64::from(hop) * (center - 14.0) / f64::from(deepest.max(1));
        let points: Vec<Option<(f64, f64)>> = angles
            .iter()
            .zip(&self.hops)
            .map(|(angle, hop)| {
                let (y, x) = angle.sin_cos();
                hop.map(|hop| (center + radius(hop) * x, center + radius(hop) * y))
            })
            .collect();
        for hop in 1..=deepest {
            let ring = Circle::new().set("cx", center).set("cy", center);
            picture.add(ring.set("r", short(radius(hop))).set("class", "ring"));
        }
        self.draw_links(&mut picture, overlay, &points);
        self.draw_nodes(&mut picture, overlay, &points);
        // Above all, where lines end at the top of their rings.
        for hop in 1..=deepest {
            let at = (center + 4.0, center - radius(hop) + 12.0);
            picture.text(at, "label hop", &hop.to_string());
        }
        picture
    }

    fn draw_links(&self, picture: &mut Picture, overlay: &Overlay, points: &[Option<(f64, f64)>]) {
        let (mut lazy, mut eager) = (Group::new(), Group::new());
        for (from, to) in overlay.links() {
            let (Some(a), Some(b)) = (points[from], points[to]) else {
                continue;
            };
            let twice = overlay.has_link(to, from) && from > to;
            if self.edge(from, to) == Edge::Lazy && !twice {
                lazy.append(line(a, b, "lazy"));
            }
        }
        let branches = self.branches();
        for (to, parent) in self.parents.iter().enumerate() {
            let from = parent.and_then(|parent| points[parent as usize]);
            if let (Some(a), Some(b)) = (from, points[to]) {
                eager.append(line(a, b, &format!("eager s{}", branches[to])));
            }
        }
        picture.add(lazy);
        picture.add(eager);
    }

    fn draw_nodes(&self, picture: &mut Picture, overlay: &Overlay, points: &[Option<(f64, f64)>]) {
        let size = (60.0 / (overlay.len() as f64).sqrt()).clamp(1.6, 6.0);
        let branches = self.branches();
        for place in 0..overlay.len() {
            let (Some((x, y)), Some(hop)) = (points[place], self.hops[place]) else {
                continue;
            };
            let class = match self.parents[place] {
                None if hop == 0 => "node root".to_owned(),
                _ => format!("node f{}", branches[place]),
            };
            let circle = Circle::new().set("cx", short(x)).set("cy", short(y));
            let size = if hop == 0 { size * 1.5 } else { size };
            let circle = circle.set("r", short(size)).set("class", class);
            picture.add(circle.add(hint(self.hint(overlay, place))));
        }
    }

    fn hint(&self, overlay: &Overlay, place: usize) -> String {
        let mut text = format!("node {}", overlay.node(place));
        if let Some(hop) = self.hops[place] {
            text += &format!(": hop {hop}");
        }
        if let Some(parent) = self.parents[place] {
            text += &format!(", from node {}", overlay.node(parent as usize));
        }
        if let Some(span) = self.spans[place] {
            text += &format!(", after {} ms", number((span.as_secs_f64() * 1e5).round() / 100.0));
        }
        text
    }

    /// The places in an order in which parents stand before their children.
    fn order(&self) -> Vec<usize> {
        let reached = (0..self.hops.len()).filter(|place| self.hops[*place].is_some());
        let mut order: Vec<usize> = reached.collect();
        order.sort_by_key(|place| (self.hops[*place], self.parents[*place], *place));
        order
    }

    /// The colour of each place: that of the neighbour of the source by which it has it.
    fn branches(&self) -> Vec<usize> {
        let (mut branches, mut count) = (vec![0; self.hops.len()], 0);
        for place in self.order() {
            branches[place] = match self.parents[place].map(|parent| parent as usize) {
                Some(parent) if self.hops[parent] != Some(0) => branches[parent],
                _ => {
                    count += usize::from(self.hops[place] != Some(0));
                    (count + COLORS - 1) % COLORS
                }
            };
        }
        branches
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
        let order = self.order();
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
        assert_eq!(text.matches("class=\"eager s").count(), 4);
        assert_eq!(text.matches("class=\"lazy\"").count(), 1);
        assert_eq!(text.matches("class=\"ring\"").count(), 2);
        assert_eq!(text.matches("class=\"node").count(), 5);
        assert!(text.contains("node 3: hop 2, from node 4") && !text.contains("NaN"));
        assert_eq!((tree.edge(0, 1), tree.edge(1, 0)), (Edge::Eager, Edge::Eager));
    }

    #[test]
    fn a_tree_is_drawn_as_the_message_travelled() {
        let ring =
            Overlay::from_links(5, (0..5).flat_map(|n: u32| [(n, (n + 1) % 5), ((n + 1) % 5, n)]));
        let at = partisan_proto::Instant::from_millis;
        let stop = |node, from, hops, time| Stop { node, from, hops, at: at(time) };
        // All one way round, though the other would have been shorter; the fourth came from a store.
        let stops = [
            stop(1, None, 0, 100),
            stop(2, Some(1), 1, 110),
            stop(3, Some(2), 2, 125),
            stop(4, Some(3), 1, 130),
            stop(9, Some(4), 4, 135),
        ];
        let tree = Tree::of(&stops, &ring);
        assert_eq!(tree.hops, [None, Some(0), Some(1), Some(2), Some(3)]);
        assert_eq!(tree.extent(), (4, 3, Some(Duration::from_millis(30))));
        let text = tree.picture(&ring).inline();
        assert!(text.contains("node 3: hop 2, from node 2, after 25 ms"));
        assert_eq!(text.matches("class=\"eager s0\"").count(), 3);
    }

    #[test]
    fn branches_of_the_source_have_colours_of_their_own() {
        let star = Overlay::from_links(4, [(0, 1), (0, 2), (2, 3)]);
        let branches = Tree::from(&star.flood(0)).branches();
        assert_eq!(branches[1..], [0, 1, 1]);
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
