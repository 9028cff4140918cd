//! How a scenario configures what processes and messages that must arrive need.

use partisan_proto::Duration;
use partisan_proto::config::DeliveryConfig;

use super::Scenario;
use crate::workload::{Load, processes};

/// The configuration of every node. Without processes, the default one.
pub(super) fn config(scenario: &Scenario) -> DeliveryConfig {
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
