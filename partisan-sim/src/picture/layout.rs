//! Where to draw nodes: a force-directed layout, the same for the same overlay and seed.
//!
//! Neighbours attract each other, everybody repels everybody, and all are drawn to the middle a
//! little (Fruchterman and Reingold). Far nodes repel by the cell of a grid that they are in, so
//! that a round costs little more than linear time.

use crate::draw::{Label, Stream};
use crate::measure::Overlay;

/// How strongly the middle attracts, as a share of the way.
const GRAVITY: f64 = 0.02;

/// A point of every node of a world, dead ones included, by number.
#[derive(Clone, Debug)]
pub struct Layout {
    points: Vec<(f64, f64)>,
    /// Whether they are from 0 to 1 and to be left so.
    fits: bool,
}

impl Layout {
    /// Nodes anywhere, drawn from the seed.
    #[must_use]
    pub fn scattered(seed: u64, nodes: usize) -> Self {
        let mut stream = Stream::new(seed, Label::Place, u64::MAX);
        let mut coordinate = || (stream.next_u64() >> 11) as f64 / (1_u64 << 52) as f64 - 1.0;
        let points = (0..nodes).map(|_| (coordinate(), coordinate())).collect();
        Self { points, fits: false }
    }

    /// Nodes at given points, each coordinate from 0 to 1.
    #[must_use]
    pub const fn fixed(points: Vec<(f64, f64)>) -> Self {
        Self { points, fits: true }
    }

    /// The layout of an overlay of up to `nodes` nodes, from nothing.
    #[must_use]
    pub fn of(overlay: &Overlay, nodes: usize, seed: u64) -> Self {
        let mut layout = Self::scattered(seed, nodes);
        layout.settle(overlay, 150, 0.3);
        layout
    }

    /// Moves the nodes of an overlay towards rest for so many rounds; in the first by up to `heat`,
    /// then by less and less.
    pub fn settle(&mut self, overlay: &Overlay, rounds: usize, heat: f64) {
        if overlay.is_empty() {
            return;
        }
        let mut points: Vec<_> =
            (0..overlay.len()).map(|place| self.points[overlay.node(place)]).collect();
        let ideal = 2.0 / (overlay.len() as f64).sqrt();
        for round in 0..rounds {
            let heat = heat * (1.0 - round as f64 / rounds as f64).powi(2) + 0.001;
            let mut forces = repulsion(&points, ideal);
            for (from, to) in overlay.links() {
                let (dx, dy) = (points[to].0 - points[from].0, points[to].1 - points[from].1);
                let pull = (dx * dx + dy * dy).sqrt() / ideal / 2.0;
                for (place, sign) in [(from, 1.0), (to, -1.0)] {
                    forces[place].0 += sign * dx * pull;
                    forces[place].1 += sign * dy * pull;
                }
            }
            for (point, force) in points.iter_mut().zip(&forces) {
                let (x, y) =
                    (force.0 - GRAVITY * point.0 / ideal, force.1 - GRAVITY * point.1 / ideal);
                let size = (x * x + y * y).sqrt().max(1e-12);
                let step = size.min(heat);
                *point = (point.0 + x / size * step, point.1 + y / size * step);
            }
        }
        for (place, point) in points.into_iter().enumerate() {
            self.points[overlay.node(place)] = point;
        }
    }

    /// Where each node is, each coordinate from 0 to 1, with those of the overlay filling the
    /// square.
    #[must_use]
    pub fn fitted(&self, overlay: &Overlay) -> Vec<(f64, f64)> {
        if self.fits {
            return self.points.clone();
        }
        let points = (0..overlay.len()).map(|place| self.points[overlay.node(place)]);
        let (least, most) = bounds(points);
        let size = (most.0 - least.0).max(most.1 - least.1).max(1e-9);
        let middle = ((least.0 + most.0) / 2.0, (least.1 + most.1) / 2.0);
        let fit = |at: f64, middle: f64| (0.5 + (at - middle) / size).clamp(0.0, 1.0);
        self.points.iter().map(|(x, y)| (fit(*x, middle.0), fit(*y, middle.1))).collect()
    }
}

/// The corners of the box around points.
fn bounds(points: impl Iterator<Item = (f64, f64)>) -> ((f64, f64), (f64, f64)) {
    let start = ((f64::MAX, f64::MAX), (f64::MIN, f64::MIN));
    points.fold(start, |(least, most), point| {
        ((point.0.min(least.0), point.1.min(least.1)), (point.0.max(most.0), point.1.max(most.1)))
    })
}

/// The force on each point by all others.
fn repulsion(points: &[(f64, f64)], ideal: f64) -> Vec<(f64, f64)> {
    let grid = Grid::new(points);
    let push = |to: (f64, f64), from: (f64, f64), mass: f64| {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let square = (dx * dx + dy * dy).max(1e-9);
        let force = mass * ideal * ideal / square;
        (dx * force, dy * force)
    };
    let mut forces = Vec::with_capacity(points.len());
    for (place, point) in points.iter().enumerate() {
        let (column, row) = grid.cell(*point);
        let mut force = (0.0, 0.0);
        for (number, cell) in grid.cells.iter().enumerate() {
            let near = (number % grid.side).abs_diff(column) <= 1
                && (number / grid.side).abs_diff(row) <= 1;
            if !near && !cell.is_empty() {
                let (x, y) = push(*point, grid.centers[number], cell.len() as f64);
                force = (force.0 + x, force.1 + y);
            }
            for other in cell.iter().filter(|other| near && **other as usize != place) {
                let (x, y) = push(*point, points[*other as usize], 1.0);
                force = (force.0 + x, force.1 + y);
            }
        }
        forces.push(force);
    }
    forces
}

struct Grid {
    side: usize,
    corner: (f64, f64),
    size: f64,
    cells: Vec<Vec<u32>>,
    centers: Vec<(f64, f64)>,
}

impl Grid {
    fn new(points: &[(f64, f64)]) -> Self {
        let side = ((points.len() as f64).sqrt() / 2.0).ceil().max(1.0) as usize;
        let (least, most) = bounds(points.iter().copied());
        let size = (most.0 - least.0).max(most.1 - least.1).max(1e-9) / side as f64;
        let (cells, centers) = (vec![Vec::new(); side * side], vec![(0.0, 0.0); side * side]);
        let mut grid = Self { side, corner: least, size, cells, centers };
        for (place, point) in points.iter().enumerate() {
            let (column, row) = grid.cell(*point);
            let number = row * side + column;
            grid.cells[number].push(place as u32);
            let center = &mut grid.centers[number];
            let count = grid.cells[number].len() as f64;
            *center =
                (center.0 + (point.0 - center.0) / count, center.1 + (point.1 - center.1) / count);
        }
        grid
    }

    fn cell(&self, point: (f64, f64)) -> (usize, usize) {
        let place = |at: f64, from: f64| (((at - from) / self.size) as usize).min(self.side - 1);
        (place(point.0, self.corner.0), place(point.1, self.corner.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbors_stand_nearer_than_strangers() {
        let overlay = Overlay::random(1, 60, 3);
        let layout = Layout::of(&overlay, 60, 1);
        let points = layout.fitted(&overlay);
        let way = |a: usize, b: usize| {
            ((points[a].0 - points[b].0).powi(2) + (points[a].1 - points[b].1).powi(2)).sqrt()
        };
        let near = overlay.link_cost(way);
        let all = (0..60).flat_map(|a| (0..60).map(move |b| (a, b)));
        let far = all.map(|(a, b)| way(a, b)).sum::<f64>() / 3_600.0;
        assert!(near < 0.6 * far, "{near} and {far}");
        assert!(points.iter().all(|(x, y)| (0.0..=1.0).contains(x) && (0.0..=1.0).contains(y)));
        assert_eq!(points, Layout::of(&overlay, 60, 1).fitted(&overlay));
    }

    #[test]
    fn the_smallest_overlays_have_a_layout() {
        for nodes in 0..4 {
            let overlay = Overlay::random(1, nodes, 2);
            let points = Layout::of(&overlay, nodes, 1).fitted(&overlay);
            assert!(points.iter().all(|(x, y)| x.is_finite() && y.is_finite()));
        }
    }
}
