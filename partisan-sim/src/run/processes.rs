//! How a scenario configures what processes and messages that must arrive need.

use partisan_proto::config::{CallConfig, DeliveryConfig};
use partisan_proto::{ChannelName, ChannelOptions, Duration};

use super::Scenario;
use crate::workload::{Load, processes};

/// The channel on which only the newest message matters.
const NEWEST: &str = "newest";

/// The channels that there are for processes.
pub(super) fn channels(scenario: &Scenario) -> Option<(ChannelName, ChannelOptions)> {
    let newest = ChannelName::new(NEWEST).expect("a short plain name is good");
    let options = ChannelOptions { monotonic: true, ..ChannelOptions::default() };
    (scenario.load == Load::Processes).then_some((newest, options))
}

/// How many calls each node takes. With processes few, so that some are too many.
pub(super) fn calls(scenario: &Scenario) -> CallConfig {
    let most = CallConfig::default();
    match scenario.load {
        Load::Processes => CallConfig { max_served: 4, ..most },
        _ => most,
    }
}

/// How messages that must arrive do. Without processes, as by default.
pub(super) fn delivery(scenario: &Scenario) -> DeliveryConfig {
    if scenario.load != Load::Processes {
        return DeliveryConfig::default();
    }
    // Short, so that messages expire while the faults last.
    DeliveryConfig {
        labels: processes::labels(),
        expire_after: Duration::from_secs(20),
        causal_patience: Duration::from_secs(40),
        ..DeliveryConfig::default()
    }
}
