//! How long packets travel.

use partisan_proto::Duration;

use crate::draw::scale;

/// How long a packet travels from one node to another, one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Latency {
    /// Uniformly between the two spans, in nanoseconds.
    Uniform(u64, u64),
    /// Nodes belong to regions in turn; one-way milliseconds between each two regions, each packet
    /// up to a tenth longer.
    Regions(Vec<Vec<u32>>),
}

impl Latency {
    /// One room: 0.1 to 0.5 ms.
    pub const LAN: Self = Self::Uniform(100_000, 500_000);
    /// The world: 10 to 100 ms.
    pub const WAN: Self = Self::Uniform(10_000_000, 100_000_000);

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

    /// The preset called `name`: `lan`, `wan`, `regions`, or a span such as `5ms`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "lan" => Some(Self::LAN),
            "wan" => Some(Self::WAN),
            "regions" => Some(Self::regions()),
            span => partisan_proto::config::duration_text::parse(span).map(Self::fixed),
        }
    }

    /// The span for one packet, given a uniform `number`.
    #[must_use]
    pub fn sample(&self, from: usize, to: usize, number: u64) -> Duration {
        match self {
            Self::Uniform(least, most) => {
                Duration::from_nanos(least + scale(number, most - least + 1))
            }
            Self::Regions(rows) => {
                let regions = rows.len();
                let base = u64::from(rows[from % regions][to % regions]) * 1_000_000;
                Duration::from_nanos(base + scale(number, base / 10 + 1))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_stay_within_the_preset() {
        for number in [0, 1, u64::MAX / 2, u64::MAX] {
            let lan = Latency::LAN.sample(0, 1, number);
            assert!((100_000..=500_000).contains(&(lan.as_nanos() as u64)));
            let far = Latency::regions().sample(0, 4, number);
            assert!((110..=121).contains(&(far.as_millis() as u64)));
        }
        let fixed = Latency::parse("5ms").unwrap();
        assert_eq!(fixed.sample(0, 1, u64::MAX), Duration::from_millis(5));
        assert_eq!(Latency::parse("moon"), None);
    }
}
