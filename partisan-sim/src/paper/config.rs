//! The configurations of the experiments.

use partisan_proto::config::{ManagerConfig, PluggableConfig, ScampConfig, StrategyConfig};
use partisan_proto::{Config, Duration};

/// A cycle of the papers: a shuffle period.
pub(super) const CYCLE: Duration = Duration::from_secs(10);

/// HyParView with the paper's parameters.
pub(super) fn hyparview(_active: usize) -> Config {
    Config::default()
}

/// SCAMP, version 1 or 2, with so many extra copies of a subscription.
pub(super) fn scamp(version: u8, copies: usize) -> Config {
    let scamp = ScampConfig { copies, ..ScampConfig::default() };
    let strategy = match version {
        1 => StrategyConfig::ScampV1(scamp),
        _ => StrategyConfig::ScampV2(scamp),
    };
    let pluggable = PluggableConfig { strategy, ..PluggableConfig::default() };
    Config { manager: ManagerConfig::Pluggable(pluggable), ..Config::default() }
}
