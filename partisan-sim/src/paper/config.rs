//! The configurations of the experiments.

use partisan_proto::config::{
    HyParViewConfig, ManagerConfig, PluggableConfig, ScampConfig, StrategyConfig, XBotConfig,
};
use partisan_proto::wire::{ControlMessage, HyParViewMessage};
use partisan_proto::{Config, Duration};

use crate::latency::Latency;

/// A cycle of the papers: a shuffle period.
pub const CYCLE: Duration = Duration::from_secs(10);

/// How long each link takes where broadcasts are measured: 10 to 50 ms.
///
/// # Panics
/// Never: the range is a good one.
#[must_use]
pub fn latency() -> Latency {
    Latency::parse("10..50ms").expect("a constant range is a good one")
}

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

/// HyParView with the paper's parameters, which are the defaults.
#[must_use]
pub fn hyparview() -> Config {
    let manager = ManagerConfig::from(HyParViewConfig::default());
    Config { manager, ..Config::default() }
}

/// HyParView with X-BOT: one neighbour of each protected, an exchange tried each cycle.
#[must_use]
pub fn xbot() -> Config {
    let xbot = Some(XBotConfig::default());
    let manager = ManagerConfig::from(HyParViewConfig { xbot, ..HyParViewConfig::default() });
    Config { manager, ..Config::default() }
}

/// Whether a message is a cyclic one of HyParView.
#[must_use]
pub const fn is_shuffle(message: &ControlMessage) -> bool {
    matches!(
        message,
        ControlMessage::HyParView(HyParViewMessage::Shuffle(_) | HyParViewMessage::ShuffleReply(_))
    )
}
