//! An overlay too large to draw node by node: how many links lead from which to which nodes.

use svg::node::element::Rectangle;

use super::{Picture, WIDTH, hint, number, short};
use crate::measure::Overlay;

const CELLS: usize = 48;

/// Draws the links of an overlay as a heat map, nodes in the order in which they were added. Where
/// nodes know others at random it is even; a bright diagonal or corner shows that joining left its
/// mark.
#[must_use]
pub fn heat_map(overlay: &Overlay) -> Picture {
    let title = format!("The links of {} nodes, by block", number(overlay.len() as f64));
    let mut picture = Picture::new(title, WIDTH, WIDTH);
    let cells = CELLS.min(overlay.len().max(1));
    let block = |place: usize| place * cells / overlay.len().max(1);
    let mut counts = vec![0_usize; cells * cells];
    for (from, to) in overlay.links() {
        counts[block(from) * cells + block(to)] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let side = (WIDTH - 24.0) / cells as f64;
    for (cell, count) in counts.iter().enumerate() {
        let (row, column) = (cell / cells, cell % cells);
        let place = |block: usize| (block * overlay.len()).div_ceil(cells);
        let text = format!(
            "nodes {}–{} to {}–{}: {count} links",
            place(row),
            place(row + 1).saturating_sub(1),
            place(column),
            place(column + 1).saturating_sub(1)
        );
        let rectangle = Rectangle::new()
            .set("x", short(12.0 + column as f64 * side))
            .set("y", short(12.0 + row as f64 * side))
            .set("width", short(side))
            .set("height", short(side))
            .set("fill-opacity", (*count as f64 / most * 100.0).round() / 100.0)
            .set("class", "f0");
        picture.add(rectangle.add(hint(text)));
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_is_counted_in_its_block() {
        let graph = Overlay::random(1, 4_800, 5);
        let text = heat_map(&graph).inline();
        assert_eq!(text.matches("<rect").count(), CELLS * CELLS);
        let counts = text.split(": ").skip(1).filter_map(|part| part.split(" links").next());
        let total: usize = counts.filter_map(|count| count.parse::<usize>().ok()).sum();
        assert_eq!(total, 24_000);
        assert!(text.contains("nodes 100–199 to 0–99"));
        assert!(!heat_map(&Overlay::default()).inline().contains("NaN"));
    }
}
