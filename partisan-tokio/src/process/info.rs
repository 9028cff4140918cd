//! What can be known of a process.

use partisan_proto::{ProcessId, ProcessName, Reference, process};
use serde::{Deserialize, Serialize};

/// What is known of a process (`process_info/1`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Which.
    pub process: ProcessId,
    /// The names that it is registered under, ascending.
    pub names: Vec<ProcessName>,
    /// Whether exits are trapped.
    pub trap_exit: bool,
    /// The processes that it is linked to.
    pub links: Vec<ProcessId>,
    /// The processes that it watches.
    pub monitors: Vec<Reference>,
    /// How many monitors watch it.
    pub watched_by: u64,
    /// How many of its timers are set.
    pub timers: u64,
    /// How many messages and requests wait in its mailbox.
    pub waiting: u64,
}

impl ProcessInfo {
    pub(crate) fn new(known: process::ProcessInfo, waiting: usize) -> Self {
        let monitors = known.monitors.into_iter();
        Self {
            process: known.process,
            names: known.names,
            trap_exit: known.trap_exit,
            links: known.links,
            monitors: monitors.map(|(_, target)| target.into()).collect(),
            watched_by: known.watched_by as u64,
            timers: known.timers.len() as u64,
            waiting: waiting as u64,
        }
    }
}
