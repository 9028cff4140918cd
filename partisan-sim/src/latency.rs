//! How long packets travel.

use std::fmt;

use partisan_proto::Duration;
use partisan_proto::config::duration_text;

use crate::draw::{Label, draw, scale};

/// What a packet takes across a plane besides the way: half a millisecond.
const PLANE_LEAST: u64 = 500_000;

/// How long a packet travels from one node to another, one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Latency {
    /// Uniformly between the two spans, in nanoseconds.
    Uniform(u64, u64),
    /// Nodes belong to regions in turn; one-way milliseconds between each two regions, each packet
    /// up to a tenth longer.
    Regions(Vec<Vec<u32>>),
    /// Each link has a span of its own, always the same and in both directions, drawn uniformly
    /// between the two, in nanoseconds.
    Links(u64, u64),
    /// Nodes stand at random in a square whose side a packet crosses in so many nanoseconds; the
    /// way is the straight one, and half a millisecond is added. Each packet up to a hundredth
    /// longer.
    Plane(u64),
}

impl Latency {
    /// One room: 0.1 to 0.5 ms.
    pub const LAN: Self = Self::Uniform(100_000, 500_000);
    /// The world: 10 to 100 ms.
    pub const WAN: Self = Self::Uniform(10_000_000, 100_000_000);

    /// A continent: a square of 50 ms.
    pub const PLANE: Self = Self::Plane(50_000_000);

    /// Always the same.
    #[must_use]
    pub const fn fixed(span: Duration) -> Self {
        Self::Uniform(span.as_nanos() as u64, span.as_nanos() as u64)
    }

    /// Five regions of the earth (two American, one European, two Asian).
    #[must_use]
    pub fn regions() -> Self {
        let rows = [
            [1, 35, 45, 80, 110],
            [35, 1, 70, 60, 90],
            [45, 70, 1, 115, 80],
            [80, 60, 115, 1, 40],
            [110, 90, 80, 40, 1],
        ];
        Self::Regions(rows.map(|row| row.to_vec()).to_vec())
    }

    /// Three zones: 1 ms inside, 80 ms across.
    #[must_use]
    pub fn zones() -> Self {
        Self::Regions(vec![vec![1, 80, 80], vec![80, 1, 80], vec![80, 80, 1]])
    }

    /// The preset called `name`: `lan`, `wan`, `regions`, `zones`, `plane`, a span such as `5ms`,
    /// or a range such as `10..50ms`, in which each link has a span of its own.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "lan" => Some(Self::LAN),
            "wan" => Some(Self::WAN),
            "regions" => Some(Self::regions()),
            "zones" => Some(Self::zones()),
            "plane" => Some(Self::PLANE),
            spans => match spans.split_once("..") {
                Some((least, most)) => Self::links(least, most),
                None => duration_text::parse(spans).map(Self::fixed),
            },
        }
    }

    /// The first span may leave its unit out where the second has it.
    fn links(least: &str, most: &str) -> Option<Self> {
        let unit = most.trim_start_matches(|c: char| c.is_ascii_digit());
        let bare = least.ends_with(|c: char| c.is_ascii_digit());
        let least = if bare { format!("{least}{unit}") } else { least.to_owned() };
        let (least, most) = (duration_text::parse(&least)?, duration_text::parse(most)?);
        let (least, most) = (least.as_nanos() as u64, most.as_nanos() as u64);
        (least <= most).then_some(Self::Links(least, most))
    }

    /// To which region a node belongs, where there are any.
    #[must_use]
    pub fn region(&self, node: usize) -> Option<usize> {
        match self {
            Self::Regions(rows) => Some(node % rows.len()),
            _ => None,
        }
    }

    /// Where a node stands, each coordinate from 0 to 1, where nodes stand anywhere.
    #[must_use]
    pub fn position(&self, seed: u64, node: usize) -> Option<(f64, f64)> {
        let coordinate = |axis| {
            let number = draw(seed, Label::Place, node as u64, axis);
            (number >> 11) as f64 / (1_u64 << 53) as f64
        };
        matches!(self, Self::Plane(_)).then(|| (coordinate(0), coordinate(1)))
    }

    /// The span that a packet takes at least, from one node to another.
    #[must_use]
    pub fn least(&self, seed: u64, from: usize, to: usize) -> Duration {
        let nanoseconds = match self {
            Self::Uniform(least, _) => *least,
            Self::Regions(rows) => u64::from(rows[from % rows.len()][to % rows.len()]) * 1_000_000,
            Self::Links(least, most) => {
                let (low, high) = (from.min(to) as u64, from.max(to) as u64);
                let number = draw(seed, Label::Place, low, high);
                least + scale(number, most - least + 1)
            }
            Self::Plane(side) => {
                let place = |node| self.position(seed, node).unwrap_or_default();
                let ((a, b), (x, y)) = (place(from), place(to));
                let way = ((a - x).powi(2) + (b - y).powi(2)).sqrt();
                PLANE_LEAST + (way * *side as f64) as u64
            }
        };
        Duration::from_nanos(nanoseconds)
    }

    /// The span for one packet in the run of `seed`, given a uniform `number`.
    #[must_use]
    pub fn sample(&self, seed: u64, from: usize, to: usize, number: u64) -> Duration {
        match self {
            Self::Uniform(least, most) => {
                Duration::from_nanos(least + scale(number, most - least + 1))
            }
            Self::Regions(rows) => {
                let base = u64::from(rows[from % rows.len()][to % rows.len()]) * 1_000_000;
                Duration::from_nanos(base + scale(number, base / 10 + 1))
            }
            Self::Links(..) => self.least(seed, from, to),
            Self::Plane(_) => {
                let least = self.least(seed, from, to).as_nanos() as u64;
                Duration::from_nanos(least + scale(number, least / 100 + 1))
            }
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |nanoseconds: u64| nanoseconds as f64 / 1e6;
        match self {
            Self::Uniform(least, most) if least == most => write!(f, "{} ms", milliseconds(*least)),
            Self::Uniform(least, most) => {
                write!(f, "{} to {} ms", milliseconds(*least), milliseconds(*most))
            }
            Self::Regions(rows) => write!(f, "by {} regions", rows.len()),
            Self::Links(least, most) => {
                let (least, most) = (milliseconds(*least), milliseconds(*most));
                write!(f, "{least} to {most} ms, one for each link")
            }
            Self::Plane(side) => write!(f, "by distance on a square of {} ms", milliseconds(*side)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_stay_within_the_preset() {
        for number in [0, 1, u64::MAX / 2, u64::MAX] {
            let lan = Latency::LAN.sample(1, 0, 1, number);
            assert!((100_000..=500_000).contains(&(lan.as_nanos() as u64)));
            let far = Latency::regions().sample(1, 0, 4, number);
            assert!((110..=121).contains(&(far.as_millis() as u64)));
        }
        let fixed = Latency::parse("5ms").unwrap();
        assert_eq!(fixed.sample(1, 0, 1, u64::MAX), Duration::from_millis(5));
        assert_eq!(Latency::parse("moon"), None);
    }

    #[test]
    fn a_link_keeps_its_span_in_both_directions() {
        let links = Latency::parse("10..50ms").unwrap();
        assert_eq!(links, Latency::Links(10_000_000, 50_000_000));
        assert_eq!(links.sample(3, 4, 9, 0), links.sample(3, 9, 4, u64::MAX));
        assert_ne!(links.sample(3, 4, 9, 0), links.sample(4, 4, 9, 0));
        let spans: Vec<_> = (0..1_000).map(|to| links.sample(3, 1_000, to, 0)).collect();
        let least = Duration::from_millis(10);
        assert!(spans.iter().all(|span| (least..=least * 5).contains(span)));
        let mean = spans.iter().sum::<Duration>() / 1_000;
        assert!((29..31).contains(&mean.as_millis()));
        for bad in ["50..10ms", "1..", "..5ms", "1ms..x"] {
            assert_eq!(Latency::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn on_a_plane_the_way_counts() {
        let plane = Latency::parse("plane").unwrap();
        let (a, b) = (plane.position(1, 0).unwrap(), plane.position(1, 1).unwrap());
        let way = ((a.0 - b.0).powi(2) + (a.1 - b.1).powi(2)).sqrt();
        let expected = (way * 50_000_000.0) as u64 + PLANE_LEAST;
        let least = plane.sample(1, 0, 1, 0);
        assert_eq!(least, Duration::from_nanos(expected));
        assert!(plane.sample(1, 1, 0, u64::MAX) <= least + least / 100 + Duration::from_nanos(1));
        assert_ne!(plane.position(2, 0), plane.position(1, 0));
        assert_eq!((plane.region(3), Latency::LAN.position(1, 0)), (None, None));
        assert_eq!(Latency::zones().region(5), Some(2));
    }
}
