//! The configuration of processes.

use serde::{Deserialize, Serialize};

use super::within;
use crate::error::ConfigError;

/// How many of everything processes may have: see [`process`](crate::process).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessConfig {
    /// How many processes a node has at most, 1 to 16,777,216; another is not spawned. Default
    /// 262,144, as Erlang's.
    pub max_processes: usize,
    /// How many names are registered at most, 1 to 16,777,216. Default 65,536.
    pub max_names: usize,
    /// How many monitors each peer may hold on processes of this node, and processes of this node
    /// on others of it, 1 to 16,777,216. One beyond is down at once, for
    /// [`ExitReason::SystemLimit`](crate::process::ExitReason::SystemLimit). Default 65,536.
    pub max_monitors: usize,
    /// How many links each peer may have to processes of this node, and processes of this node to
    /// each other, 1 to 16,777,216. One beyond is answered with an exit signal. Default 65,536.
    pub max_links: usize,
    /// How many timers of processes are set at most, 1 to 16,777,216; a process that sets one beyond
    /// ends for [`ExitReason::SystemLimit`](crate::process::ExitReason::SystemLimit), as in Erlang.
    /// So it does for the subscription to nodes that is one beyond `max_monitors`. Default 65,536.
    pub max_timers: usize,
}

impl Default for ProcessConfig {
    fn default() -> Self {
        Self {
            max_processes: 1 << 18,
            max_names: 1 << 16,
            max_monitors: 1 << 16,
            max_links: 1 << 16,
            max_timers: 1 << 16,
        }
    }
}

impl ProcessConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let each = [
            ("processes.max_processes", self.max_processes),
            ("processes.max_names", self.max_names),
            ("processes.max_monitors", self.max_monitors),
            ("processes.max_links", self.max_links),
            ("processes.max_timers", self.max_timers),
        ];
        each.into_iter().try_for_each(|(key, given)| within(key, given as u64, 1, 1 << 24))
    }
}
