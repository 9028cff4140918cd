//! How often each number occurs, as bars.

use svg::node::element::Rectangle;

use super::{Picture, WIDTH, brief, hint, number, short, ticks};
use crate::measure::Histogram;

const HEIGHT: f64 = 220.0;
const LEFT: f64 = 52.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;
const WIDEST: f64 = 90.0;

/// What to draw as bars.
#[derive(Clone, Debug)]
pub struct Bars<'a> {
    /// What it shows.
    pub title: &'a str,
    /// What is counted along the bottom.
    pub axis: &'a str,
    /// What each bar counts.
    pub what: &'a str,
    /// The counts.
    pub histogram: &'a Histogram,
    /// Shares to compare with, drawn as ticks, by number; perhaps none.
    pub compare: Option<&'a Histogram>,
}

impl Bars<'_> {
    /// Draws it.
    #[must_use]
    pub fn picture(&self) -> Picture {
        let mut picture = Picture::new(self.title, WIDTH, HEIGHT);
        let counts = &self.histogram.counts;
        let first = self.histogram.least().saturating_sub(1);
        let compared = self.compare.map_or(0, |other| other.counts.len());
        // Wide ranges are drawn in groups of several numbers.
        let span = counts.len().max(compared).saturating_sub(first).max(1);
        let group = span.div_ceil(60);
        let bars = span.div_ceil(group);
        let sum = |histogram: &Histogram, bar: usize| -> u64 {
            histogram.counts.iter().skip(first + bar * group).take(group).sum()
        };
        let scale = |other: &Histogram, bar: usize| {
            let share = sum(other, bar) as f64 / other.total().max(1) as f64;
            share * self.histogram.total() as f64
        };
        let highest = (0..bars).map(|bar| sum(self.histogram, bar) as f64).fold(1.0, f64::max);
        let highest = match self.compare {
            Some(other) => (0..bars).map(|bar| scale(other, bar)).fold(highest, f64::max),
            None => highest,
        };
        let ticks = ticks(0.0, highest, 4);
        let top = ticks.last().copied().unwrap_or(1.0);
        let y = |count: f64| HEIGHT - BOTTOM - count / top * (HEIGHT - BOTTOM - TOP);
        for tick in &ticks {
            picture.line((LEFT, y(*tick)), (WIDTH - 8.0, y(*tick)), "rule");
            picture.text((LEFT - 8.0, y(*tick) + 4.0), "label end", &brief(*tick));
        }
        let width = ((WIDTH - 8.0 - LEFT) / bars as f64).min(WIDEST);
        for bar in 0..bars {
            let least = first + bar * group;
            let count = sum(self.histogram, bar);
            let name = if group == 1 {
                format!("{least}")
            } else {
                format!("{least}–{}", least + group - 1)
            };
            let left = LEFT + bar as f64 * width;
            if count > 0 {
                let rectangle = Rectangle::new()
                    .set("x", short(left + width * 0.1))
                    .set("y", short(y(count as f64)))
                    .set("width", short(width * 0.8))
                    .set("height", short(HEIGHT - BOTTOM - y(count as f64)))
                    .set("rx", 2)
                    .set("class", "bar f0");
                let text = format!("{} {name}: {} {}", self.axis, number(count as f64), self.what);
                picture.add(rectangle.add(hint(text)));
            }
            if let Some(other) = self.compare {
                let at = y(scale(other, bar));
                picture.line((left + width * 0.05, at), (left + width * 0.95, at), "curve s1");
            }
            if bar.is_multiple_of(bars.div_ceil(16)) {
                let at = (left + width / 2.0, HEIGHT - BOTTOM + 16.0);
                picture.text(at, "label middle", &least.to_string());
            }
        }
        picture.line((LEFT, y(0.0)), (WIDTH - 8.0, y(0.0)), "axis");
        picture.text((WIDTH - 8.0, HEIGHT - 6.0), "label end", self.axis);
        picture
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_has_a_bar_with_its_numbers() {
        let histogram: Histogram = [3, 3, 5, 4, 5, 5].into_iter().collect();
        let bars = Bars {
            title: "t",
            axis: "neighbours",
            what: "nodes",
            histogram: &histogram,
            compare: Some(&histogram),
        };
        let text = bars.picture().inline();
        assert_eq!(text.matches("<rect").count(), 3);
        assert!(text.contains("neighbours 5: 3 nodes"), "{text}");
        assert!(text.matches("curve s1").count() >= 3);
    }

    #[test]
    fn wide_ranges_and_nothing_at_all_can_be_drawn() {
        let wide: Histogram = (0..1_000).collect();
        let bars = |histogram| Bars { title: "", axis: "x", what: "y", histogram, compare: None };
        let text = bars(&wide).picture().inline();
        assert!((40..=60).contains(&text.matches("<rect").count()));
        assert!(text.contains("x 17–33"), "{text}");
        assert!(!bars(&Histogram::default()).picture().inline().contains("NaN"));
    }
}
