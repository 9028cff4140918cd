//! Pictures of overlays and runs, as SVG, and the report that holds them.
//!
//! A [`Picture`] is drawn with classes instead of colours. Alone, [`Picture::standalone`] brings
//! its style sheet along and follows the reader's choice of a light or dark screen; in a page,
//! [`Picture::inline`] leaves that to the page. Equal overlays give equal pictures, to the byte.

mod curves;
mod heat;
mod histogram;
mod layout;
mod overlay;
pub(crate) mod page;
pub mod report;
mod space_time;
mod tree;

pub use curves::{Chart, Curve};
pub use heat::heat_map;
pub use histogram::Bars;
pub use layout::Layout;
pub use overlay::{Coloring, MOST_NODES, overlay};
pub use space_time::{Message, Seen, SpaceTime};
pub use tree::{Edge, Tree};

use svg::Document;
use svg::node::Node as _;
use svg::node::element::{Line, Style, Text, Title};

/// The colours of everything, for light and dark screens.
const STYLE: &str = include_str!("style.css");

/// How wide pictures are, in units of the drawing; they scale to whatever place they have.
const WIDTH: f64 = 640.0;

/// A finished picture.
#[derive(Clone, Debug)]
pub struct Picture {
    document: Document,
    /// What it shows, in a line.
    pub title: String,
}

impl Picture {
    fn new(title: impl Into<String>, width: f64, height: f64) -> Self {
        let title = title.into();
        let document = Document::new()
            .set("viewBox", format!("0 0 {} {}", short(width), short(height)))
            .set("class", "picture")
            .set("role", "img")
            .set("aria-label", title.clone());
        Self { document, title }
    }

    fn add(&mut self, node: impl Into<Box<dyn svg::Node>>) {
        self.document.append(node);
    }

    fn text(&mut self, at: (f64, f64), class: &str, text: &str) {
        let label = Text::new(text).set("x", short(at.0)).set("y", short(at.1)).set("class", class);
        self.add(label);
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        self.add(line(from, to, class));
    }

    /// For a page that has the style sheet.
    #[must_use]
    pub fn inline(&self) -> String {
        self.document.to_string()
    }

    /// For a file of its own.
    #[must_use]
    pub fn standalone(&self) -> String {
        let mut document = self.document.clone();
        if let Some(children) = document.get_children_mut() {
            children.insert(0, Style::new(STYLE).into());
        }
        format!("{document}\n")
    }
}

fn line(from: (f64, f64), to: (f64, f64), class: &str) -> Line {
    Line::new()
        .set("x1", short(from.0))
        .set("y1", short(from.1))
        .set("x2", short(to.0))
        .set("y2", short(to.1))
        .set("class", class)
}

/// What a reader sees who points at it.
fn hint(text: impl Into<String>) -> Title {
    Title::new(text)
}

/// A coordinate with one digit after the point: pictures stay small.
fn short(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// A number as people write it: whole when it is, else with as many digits as tell something.
#[must_use]
pub fn number(value: f64) -> String {
    let size = value.abs();
    let digits = match size {
        size if (size - size.round()).abs() < 1e-9 => 0,
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        size if size >= 0.01 => 3,
        _ => 5,
    };
    let text = format!("{size:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = String::from(if value < 0.0 { "-" } else { "" });
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) && whole.len() > 4 {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

/// A number at an axis, where there is little room.
fn brief(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => number(value / 1e6) + " M",
        size if size >= 1e4 => number(value / 1e3) + " k",
        _ => {
            let text = number(value);
            let whole = text.trim_end_matches('0').trim_end_matches('.');
            if text.contains('.') { whole.to_owned() } else { text }
        }
    }
}

/// Round numbers from 0 or `least` to at least `most`, about `count` of them.
fn ticks(least: f64, most: f64, count: usize) -> Vec<f64> {
    let span = if most > least { most - least } else { 1.0 };
    let rough = span / count as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * power);
    let step = step.into_iter().find(|step| *step >= rough).unwrap_or(power * 10.0);
    let first = (least / step).floor() as i64;
    let last = ((most / step - 1e-9).ceil() as i64).max(first + 1);
    (first..=last).map(|tick| tick as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        let pairs = [
            (5.0, "5"),
            (12_345.0, "12,345"),
            (1_234.0, "1234"),
            (6.3589, "6.36"),
            (0.000_92, "0.00092"),
            (-1_234_567.2, "-1,234,567"),
            (0.9987, "0.999"),
        ];
        for (value, text) in pairs {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn numbers_at_axes_are_brief() {
        let values = [0.0, 7_500.0, 20_000.0, 60_000_000.0, -1_500_000.0];
        assert_eq!(values.map(brief), ["0", "7500", "20 k", "60 M", "-1.50 M"]);
    }

    #[test]
    fn ticks_are_round_and_cover_the_range() {
        assert_eq!(ticks(0.0, 60.0, 6), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        assert_eq!(ticks(0.0, 4.2, 4), [0.0, 2.0, 4.0, 6.0]);
        assert!(ticks(0.0, 0.0, 4).len() >= 2);
    }

    #[test]
    fn a_picture_of_its_own_brings_its_style() {
        let mut picture = Picture::new("a < b", 10.0, 10.0);
        picture.text((1.0, 2.0), "label", "5 > 3 & more");
        let (alone, inline) = (picture.standalone(), picture.inline());
        assert!(alone.contains("prefers-color-scheme") && !inline.contains("<style"));
        for text in [alone, inline] {
            assert!(text.contains("5 &gt; 3 &amp; more"), "{text}");
            assert!(text.contains("aria-label=\"a &lt; b\""), "{text}");
        }
    }
}
