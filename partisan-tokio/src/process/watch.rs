//! Watching processes and nodes from code that is no process.

use std::sync::Arc;

use partisan_proto::process::{Lane, NodeFilter};
use partisan_proto::{
    CloseReason, ExitReason, Instance, NodeSpec, ProcessAct, Serial, Signal, Target,
};
use tokio::sync::oneshot;

use super::doings::Doing;
use super::{Input, Process, SpawnOptions};
use crate::error::NodeError;
use crate::node::Node;

/// A watched process has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Down {
    /// Who.
    pub target: Target,
    /// Why; [`ExitReason::NoProcess`] if there was none, [`ExitReason::NoConnection`] if its node
    /// cannot be reached any more, or this one has stopped.
    pub reason: ExitReason,
}

/// Watches a process until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the watching"]
pub struct Monitor {
    node: Node,
    target: Target,
    number: u64,
    told: oneshot::Receiver<Signal>,
    down: Option<Down>,
}

impl Monitor {
    /// Waits until the process has ended; once it has, says so again and again. Giving up waiting
    /// loses nothing.
    pub async fn down(&mut self) -> Down {
        if self.down.is_none() {
            let reason = match (&mut self.told).await {
                Ok(Signal::Down { reason, .. }) => reason,
                _ => ExitReason::NoConnection,
            };
            self.down = Some(Down { target: self.target.clone(), reason });
        }
        let lost = || Down { target: self.target.clone(), reason: ExitReason::NoConnection };
        self.down.clone().unwrap_or_else(lost)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let shared = &self.node.shared;
        if shared.own.forget(self.number) {
            shared.doings.end(Serial::NODE, ProcessAct::Demonitor { number: self.number });
        }
    }
}

/// A node came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeChange {
    /// It came up.
    Up {
        /// Which, which life.
        instance: Instance,
        /// What it tells about itself.
        spec: Arc<NodeSpec>,
    },
    /// It went down.
    Down {
        /// Which, which life.
        instance: Instance,
        /// Why.
        reason: CloseReason,
    },
}

/// The nodes that come and go, until it is dropped. It misses none.
#[derive(Debug)]
pub struct NodeMonitor(Process);

impl NodeMonitor {
    /// The next change; `None` once the node has stopped. Giving up waiting loses nothing.
    pub async fn next(&mut self) -> Option<NodeChange> {
        loop {
            match self.0.receive().await? {
                Input::Signal(Signal::NodeUp { instance, spec }) => {
                    return Some(NodeChange::Up { instance, spec });
                }
                Input::Signal(Signal::NodeDown { instance, reason }) => {
                    return Some(NodeChange::Down { instance, reason });
                }
                _ => {}
            }
        }
    }
}

impl Node {
    /// Watches a process, here or elsewhere (`monitor/2`).
    ///
    /// # Errors
    /// [`NodeError::Stopped`].
    pub async fn monitor(&self, target: impl Into<Target>) -> Result<Monitor, NodeError> {
        let target = target.into();
        self.signal_room(target.node()).await;
        let room = self.shared.doings.room(0).await;
        let number = self.shared.own.number();
        let told = self.shared.own.expect_here(number)?;
        let (watched, lane) = (target.clone(), Lane::default());
        let act = ProcessAct::Monitor { number, target: watched, lane, tag: 0, alias: None };
        // From here on dropping it takes it back.
        let monitor = Monitor { node: self.clone(), target, number, told, down: None };
        room.tell(Doing::Act(Serial::NODE, Box::new(act)))?;
        Ok(monitor)
    }

    /// Watches all nodes that come and go (`monitor_nodes/2`), as a process of its own.
    ///
    /// # Errors
    /// As [`Node::spawn`].
    pub async fn monitor_nodes(&self, filter: NodeFilter) -> Result<NodeMonitor, NodeError> {
        let watcher = self.attach(SpawnOptions::default()).await?;
        watcher.monitor_nodes(filter).await;
        Ok(NodeMonitor(watcher))
    }
}
