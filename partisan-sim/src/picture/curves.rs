//! Numbers over time, as curves.

use svg::node::element::{Path, Rectangle};

use super::{Picture, WIDTH, brief, hint, number, short, ticks};

const HEIGHT: f64 = 220.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 116.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 40.0;
/// The most points of a curve that are drawn; more are thinned out.
const MOST_POINTS: usize = 600;

/// One curve.
#[derive(Clone, Debug)]
pub struct Curve {
    /// What it shows, in a word or two.
    pub name: String,
    /// Its points, by their first coordinate.
    pub points: Vec<(f64, f64)>,
}

/// What to draw as curves.
#[derive(Clone, Debug)]
pub struct Chart<'a> {
    /// What it shows.
    pub title: &'a str,
    /// What runs along the bottom.
    pub axis: &'a str,
    /// The curves, up to eight.
    pub curves: Vec<Curve>,
    /// The least and greatest value to show at least.
    pub range: (f64, f64),
    /// Moments at which something happened, and what.
    pub marks: Vec<(f64, String)>,
}

struct Frame {
    x: (f64, f64),
    y: (f64, f64),
}

impl Frame {
    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let across = (x - self.x.0) / (self.x.1 - self.x.0).max(1e-9);
        let up = (y - self.y.0) / (self.y.1 - self.y.0).max(1e-9);
        let (width, height) = (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM);
        (LEFT + across * width, HEIGHT - BOTTOM - up * height)
    }
}

impl Chart<'_> {
    /// Draws it.
    #[must_use]
    pub fn picture(&self) -> Picture {
        let mut picture = Picture::new(self.title, WIDTH, HEIGHT);
        let points = || self.curves.iter().flat_map(|curve| &curve.points);
        let bounds = |values: &mut dyn Iterator<Item = f64>, start: (f64, f64)| {
            values.fold(start, |(least, most), value| (least.min(value), most.max(value)))
        };
        let x = bounds(&mut points().map(|point| point.0), (f64::MAX, f64::MIN));
        let x = if x.0 > x.1 { (0.0, 1.0) } else { x };
        let y = bounds(&mut points().map(|point| point.1), self.range);
        let levels = ticks(y.0, y.1, 4);
        let y = (levels[0], levels[levels.len() - 1]);
        let frame = Frame { x, y };
        for level in levels {
            let (left, at) = frame.at((x.0, level));
            picture.line((left, at), (WIDTH - RIGHT, at), "rule");
            picture.text((LEFT - 8.0, at + 4.0), "label end", &brief(level));
        }
        for tick in ticks(x.0, x.1, 6).into_iter().filter(|tick| (x.0..=x.1).contains(tick)) {
            let (at, bottom) = frame.at((tick, y.0));
            picture.text((at, bottom + 16.0), "label middle", &brief(tick));
        }
        picture.text((WIDTH - RIGHT, HEIGHT - 6.0), "label end", self.axis);
        picture.line(frame.at((x.0, y.0)), frame.at((x.1, y.0)), "axis");
        let mut named = f64::MIN;
        for (at, what) in &self.marks {
            let (at, top) = frame.at((*at, y.1));
            picture.line((at, top), (at, HEIGHT - BOTTOM), "mark");
            // Names that would cover each other are left out.
            if at > named + 70.0 {
                picture.text((at + 4.0, top + 8.0), "label", what);
                named = at;
            }
        }
        for (number, curve) in self.curves.iter().enumerate() {
            picture.add(path(curve, number, &frame));
        }
        self.name_curves(&mut picture, &frame);
        self.add_hints(&mut picture, &frame);
        picture
    }

    /// The names at the ends of the curves, moved apart where they would cover each other.
    fn name_curves(&self, picture: &mut Picture, frame: &Frame) {
        let mut names: Vec<_> = self
            .curves
            .iter()
            .enumerate()
            .filter_map(|(number, curve)| Some((frame.at(*curve.points.last()?).1, number)))
            .collect();
        names.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut free = TOP;
        for (at, _) in &mut names {
            *at = at.max(free);
            free = *at + 14.0;
        }
        let mut free = HEIGHT - BOTTOM - 2.0;
        for (at, _) in names.iter_mut().rev() {
            *at = at.min(free);
            free = *at - 14.0;
        }
        for (at, number) in names {
            let class = format!("strong f{}", number % 8);
            picture.text((WIDTH - RIGHT + 8.0, at + 4.0), &class, &self.curves[number].name);
        }
    }

    /// Columns that tell all values of their moment to who points at them.
    fn add_hints(&self, picture: &mut Picture, frame: &Frame) {
        let Some(longest) = self.curves.iter().max_by_key(|curve| curve.points.len()) else {
            return;
        };
        let stride = longest.points.len().div_ceil(120).max(1);
        let width = (WIDTH - LEFT - RIGHT) / (longest.points.len() / stride).max(1) as f64;
        for (x, _) in longest.points.iter().step_by(stride) {
            let mut text = format!("{} {}", self.axis, number(*x));
            for curve in &self.curves {
                let place = curve.points.partition_point(|point| point.0 < *x - 1e-9);
                if let Some((_, y)) = curve.points.get(place) {
                    text += &format!("\n{}: {}", curve.name, number(*y));
                }
            }
            let (at, top) = frame.at((*x, frame.y.1));
            let column = Rectangle::new()
                .set("x", short(at - width / 2.0))
                .set("y", short(top))
                .set("width", short(width))
                .set("height", short(HEIGHT - BOTTOM - TOP))
                .set("class", "hit");
            picture.add(column.add(hint(text)));
        }
    }
}

fn path(curve: &Curve, number: usize, frame: &Frame) -> Path {
    let stride = curve.points.len().div_ceil(MOST_POINTS).max(1);
    let last = curve.points.len().saturating_sub(1);
    let mut data = String::new();
    for (place, point) in curve.points.iter().enumerate() {
        if place.is_multiple_of(stride) || place == last {
            let (x, y) = frame.at(*point);
            let letter = if place == 0 { 'M' } else { 'L' };
            data += &format!("{letter}{} {}", short(x), short(y));
        }
    }
    Path::new().set("d", data).set("class", format!("curve s{}", number % 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_have_names_marks_and_hints() {
        let points = (0..2_000).map(|x| (f64::from(x), f64::from(x % 7))).collect();
        let curves = vec![
            Curve { name: "up".into(), points },
            Curve { name: "flat".into(), points: vec![(0.0, 6.0), (1_999.0, 6.0)] },
            Curve { name: "none".into(), points: Vec::new() },
        ];
        let marks = vec![(500.0, "crash".to_owned())];
        let chart = Chart { title: "t", axis: "seconds", curves, range: (0.0, 1.0), marks };
        let text = chart.picture().inline();
        assert_eq!(text.matches("<path").count(), 3);
        assert!(text.matches('L').count() < 700, "thinned out");
        for part in ["up", "flat", "crash", "seconds 1700\nup: 6\nflat: 6"] {
            assert!(text.contains(part), "{part}");
        }
        assert!(!text.contains("NaN"));
    }

    #[test]
    fn a_chart_without_points_can_be_drawn() {
        let chart =
            Chart { title: "", axis: "", curves: Vec::new(), range: (0.0, 0.0), marks: Vec::new() };
        assert!(!chart.picture().inline().contains("NaN"));
    }
}
