//! What processes of this node watch: the watchers' side of monitors.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::{MonitorId, Serial, Target};
use crate::id::NodeId;

/// What one monitor watches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Watched {
    /// And what the watcher calls the monitor.
    Process(Target, u64),
    Node(NodeId),
}

impl Watched {
    const fn node(&self) -> NodeId {
        match self {
            Self::Process(target, _) => target.node(),
            Self::Node(node) => *node,
        }
    }
}

/// The monitors of this node's processes. Each ends once: whoever takes it out tells its owner.
#[derive(Debug, Default, Hash)]
pub(super) struct Watches {
    monitors: BTreeMap<MonitorId, Watched>,
    by_node: BTreeSet<(NodeId, MonitorId)>,
}

impl Watches {
    /// Adds a monitor; `false` when its number is in use.
    pub(super) fn add(&mut self, monitor: MonitorId, watched: Watched) -> bool {
        if self.monitors.contains_key(&monitor) {
            return false;
        }
        self.by_node.insert((watched.node(), monitor));
        self.monitors.insert(monitor, watched);
        true
    }

    /// Ends a monitor.
    pub(super) fn take(&mut self, monitor: MonitorId) -> Option<Watched> {
        let watched = self.monitors.remove(&monitor)?;
        self.by_node.remove(&(watched.node(), monitor));
        Some(watched)
    }

    /// Ends a monitor that watches a process of this node.
    pub(super) fn take_at(&mut self, monitor: MonitorId, node: NodeId) -> Option<(Target, u64)> {
        match self.monitors.get(&monitor) {
            Some(Watched::Process(target, tag)) if target.node() == node => {
                let taken = (target.clone(), *tag);
                self.take(monitor);
                Some(taken)
            }
            _ => None,
        }
    }

    /// Ends all monitors of a process.
    pub(super) fn take_owned(&mut self, owner: Serial) -> Vec<(MonitorId, Watched)> {
        let owned: Vec<MonitorId> = self.of(owner).map(|(monitor, _)| monitor).collect();
        owned.into_iter().filter_map(|monitor| Some((monitor, self.take(monitor)?))).collect()
    }

    /// Ends all monitors of a node and its processes; those of processes first.
    pub(super) fn take_node(&mut self, node: NodeId) -> Vec<(MonitorId, Watched)> {
        let first = MonitorId { owner: Serial(0), number: 0 };
        let last = MonitorId { owner: Serial(u64::MAX), number: u64::MAX };
        let range = (node, first)..=(node, last);
        let gone: Vec<MonitorId> = self.by_node.range(range).map(|(_, monitor)| *monitor).collect();
        let taken = gone.into_iter().filter_map(|monitor| Some((monitor, self.take(monitor)?)));
        let mut taken: Vec<(MonitorId, Watched)> = taken.collect();
        taken.sort_by_key(|(_, watched)| matches!(watched, Watched::Node(_)));
        taken
    }

    /// The monitors of a process.
    pub(super) fn of(&self, owner: Serial) -> impl Iterator<Item = (MonitorId, &Watched)> {
        let (first, last) = (0, u64::MAX);
        let range = MonitorId { owner, number: first }..=MonitorId { owner, number: last };
        self.monitors.range(range).map(|(monitor, watched)| (*monitor, watched))
    }

    pub(super) fn len(&self) -> usize {
        self.monitors.len()
    }
}
