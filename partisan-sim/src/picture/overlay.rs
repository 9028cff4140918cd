//! An overlay as a picture: who is next to whom.

use svg::node::Node as _;
use svg::node::element::{Circle, Group};

use super::{Layout, Picture, WIDTH, hint, line, short};
use crate::measure::Overlay;

/// The most nodes that are drawn one by one; larger overlays have a heat map instead.
pub const MOST_NODES: usize = 2_000;

/// What the colours of nodes tell.
#[derive(Clone, Debug)]
pub enum Coloring {
    /// How many neighbours they have, of so many that are wanted: red for none, blue for all.
    Degree(usize),
    /// To which region they belong, by number of the node.
    Region(Vec<usize>),
}

impl Coloring {
    /// The class of a node with its number and degree.
    fn class(&self, node: usize, degree: usize) -> String {
        match self {
            Self::Degree(wanted) => format!("v{}", level(degree, *wanted)),
            Self::Region(regions) => {
                format!("f{}", regions.get(node).copied().unwrap_or(7) % 8)
            }
        }
    }
}

/// How near a degree comes to the wanted one, from 0 to 5.
pub(super) fn level(degree: usize, wanted: usize) -> usize {
    (degree * 5 / wanted.max(1)).min(5).max(usize::from(degree > 0))
}

/// Draws an overlay of up to [`MOST_NODES`] nodes; links that do not lead back are red.
#[must_use]
pub fn overlay(overlay: &Overlay, layout: &Layout, coloring: &Coloring) -> Picture {
    let mut picture = Picture::new(format!("The overlay of {} nodes", overlay.len()), WIDTH, WIDTH);
    let radius = (60.0 / (overlay.len() as f64).sqrt()).clamp(2.0, 7.0);
    let points: Vec<_> = layout
        .fitted(overlay)
        .into_iter()
        .map(|(x, y)| (12.0 + x * (WIDTH - 24.0), 12.0 + y * (WIDTH - 24.0)))
        .collect();
    let point = |place: usize| points[overlay.node(place)];
    let (mut links, mut broken) = (Group::new(), Group::new());
    for (from, to) in overlay.links() {
        if !overlay.has_link(to, from) {
            broken.append(line(point(from), point(to), "one-way"));
        } else if from < to {
            links.append(line(point(from), point(to), "link"));
        }
    }
    picture.add(links);
    picture.add(broken);
    for place in 0..overlay.len() {
        let (node, degree) = (overlay.node(place), overlay.neighbors(place).len());
        let (x, y) = point(place);
        let circle = Circle::new()
            .set("cx", short(x))
            .set("cy", short(y))
            .set("r", short(radius))
            .set("class", format!("node {}", coloring.class(node, degree)))
            .add(hint(format!("node {node}: {degree} neighbours")));
        picture.add(circle);
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_and_link_is_drawn_once_and_broken_ones_in_red() {
        let graph = Overlay::from_links(4, [(0, 1), (1, 0), (1, 2), (2, 1), (3, 0)]);
        let layout = Layout::of(&graph, 4, 1);
        let text = overlay(&graph, &layout, &Coloring::Degree(2)).inline();
        assert_eq!(text.matches("<circle").count(), 4);
        assert_eq!(text.matches("class=\"link\"").count(), 2);
        assert_eq!(text.matches("class=\"one-way\"").count(), 1);
        assert!(text.contains("node 1: 2 neighbours") && text.contains("node v5"));
        let again = overlay(&graph, &layout, &Coloring::Degree(2)).inline();
        assert_eq!(text, again);
        let regions = Coloring::Region(vec![0, 1, 2, 0]);
        assert!(overlay(&graph, &layout, &regions).inline().contains("node f2"));
    }

    #[test]
    fn levels_run_from_nothing_to_all() {
        assert_eq!([0, 1, 3, 5, 9].map(|degree| level(degree, 5)), [0, 1, 3, 5, 5]);
        assert_eq!(level(1, 100), 1, "a node with one neighbour is not alone");
    }
}
