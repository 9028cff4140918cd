//! The configurations of the experiments.

use partisan_proto::config::{ManagerConfig, PluggableConfig, ScampConfig, StrategyConfig};
use partisan_proto::{Config, Duration};

/// A cycle of the papers: a shuffle period.
pub const CYCLE: Duration = Duration::from_secs(10);

/// SCAMP, version 1 or 2, with so many extra copies of a subscription, and contacts that run subscriptions themselves.
#[must_use]
pub fn scamp(version: u8, copies: usize) -> Config {
    let scamp = ScampConfig { copies, indirection: 0, ..ScampConfig::default() };
    let strategy = match version {
        1 => StrategyConfig::ScampV1(scamp),
        _ => StrategyConfig::ScampV2(scamp),
    };
    let pluggable = PluggableConfig { strategy, ..PluggableConfig::default() };
    Config { manager: ManagerConfig::Pluggable(pluggable), ..Config::default() }
}
