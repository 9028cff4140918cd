//! The papers' experiments, with what they say and what is demanded of this implementation.
//!
//! `partisan-sim paper hyparview` (or `plumtree`, `xbot`, `scamp`) runs those of one paper and
//! prints a table; it fails when a gate is missed. With `--quick` the clusters are a tenth as
//! large and the gates scaled to what a random graph of that size allows.

pub mod baseline;
mod config;
mod findings;
pub mod hyparview;
mod lab;
pub mod scamp;

pub use findings::{Figure, Findings, Gate, Row};

use std::ops::Range;

/// A paper whose experiments are repeated here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Paper {
    /// No paper: fixed random neighbours, whom nobody replaces. What any overlay has to beat.
    Baseline,
    /// HyParView: overlays, failures, healing.
    Hyparview,
    /// SCAMP: the sizes of views.
    Scamp,
}

/// How experiments are run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Smaller clusters and fewer repetitions: seconds instead of minutes.
    pub quick: bool,
    /// With how many seeds, from 1.
    pub seeds: u64,
}

impl Options {
    const fn seeds(&self) -> Range<u64> {
        1..self.seeds + 1
    }

    const fn scale<T: Copy>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// All of the items, or when in a hurry those at these places.
    fn some<'a, T>(&self, items: &'a [T], quick: &[usize]) -> Vec<&'a T> {
        let places = 0..items.len();
        let wanted = places.filter(|place| !self.quick || quick.contains(place));
        wanted.map(|place| &items[place]).collect()
    }
}

impl Paper {
    /// Runs its experiments; tells `progress` what is being done.
    #[must_use]
    pub fn run(self, options: &Options, progress: &mut dyn FnMut(&str)) -> Findings {
        let mut findings = Findings::default();
        match self {
            Self::Baseline => baseline::run(options, &mut findings, progress),
            Self::Hyparview => hyparview::run(options, &mut findings, progress),
            Self::Scamp => scamp::run(options, &mut findings, progress),
        }
        findings
    }

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Baseline => "Baseline",
            Self::Hyparview => "HyParView",
            Self::Scamp => "SCAMP",
        }
    }
}
