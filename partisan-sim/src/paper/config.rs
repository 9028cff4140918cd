//! The configurations of the experiments.

use partisan_proto::{Config, Duration};

/// A cycle of the papers: a shuffle period.
pub(super) const CYCLE: Duration = Duration::from_secs(10);

/// HyParView with the paper's parameters.
pub(super) fn hyparview(_active: usize) -> Config {
    Config::default()
}
