//! The requests that this node has not answered yet.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::id::{ConnectionId, Incarnation, NodeId};
use crate::process::{ReplyTo, RequestId, Serial};

/// Who answers a request, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ServedBy {
    /// The process; `None` for a function.
    pub(super) process: Option<Serial>,
    /// The connection that it came by; `None` where it is this node's own.
    pub(super) by: Option<ConnectionId>,
}

#[derive(Debug, Default, Hash)]
pub(super) struct Served {
    requests: BTreeMap<ReplyTo, ServedBy>,
    by_process: BTreeSet<(Serial, ReplyTo)>,
    counts: BTreeMap<NodeId, usize>,
}

const fn first(node: NodeId) -> ReplyTo {
    let request = RequestId { owner: Serial(0), number: 0 };
    ReplyTo { node, birth: Incarnation::NONE, request }
}

impl Served {
    /// Adds a request. `None` when its node has `limit` already, `Some(false)` when it is there
    /// already.
    pub(super) fn add(&mut self, reply_to: ReplyTo, by: ServedBy, limit: usize) -> Option<bool> {
        if self.requests.contains_key(&reply_to) {
            return Some(false);
        }
        let count = self.counts.entry(reply_to.node).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        if let Some(process) = by.process {
            self.by_process.insert((process, reply_to));
        }
        self.requests.insert(reply_to, by);
        Some(true)
    }

    pub(super) fn take(&mut self, reply_to: ReplyTo) -> Option<ServedBy> {
        let by = self.requests.remove(&reply_to)?;
        if let Some(process) = by.process {
            self.by_process.remove(&(process, reply_to));
        }
        if let Some(count) = self.counts.get_mut(&reply_to.node) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&reply_to.node);
            }
        }
        Some(by)
    }

    /// What a process has not answered yet.
    pub(super) fn of(&self, process: Serial) -> Vec<ReplyTo> {
        let range = (process, first(NodeId::from_u64(0)))..;
        let of_process = self.by_process.range(range);
        of_process.take_while(|(serial, _)| *serial == process).map(|(_, to)| *to).collect()
    }

    fn from(&self, node: NodeId) -> impl Iterator<Item = (&ReplyTo, &ServedBy)> {
        self.requests.range(first(node)..).take_while(move |(reply_to, _)| reply_to.node == node)
    }

    /// Forgets the requests that came by a connection that is lost.
    pub(super) fn forget_connection(&mut self, node: NodeId, connection: ConnectionId) {
        let came_by = |(_, served): &(&ReplyTo, &ServedBy)| served.by == Some(connection);
        let gone: Vec<ReplyTo> =
            self.from(node).filter(came_by).map(|(reply_to, _)| *reply_to).collect();
        gone.into_iter().for_each(|reply_to| _ = self.take(reply_to));
    }

    /// Forgets the requests of a node.
    pub(super) fn forget_node(&mut self, node: NodeId) {
        let gone: Vec<ReplyTo> = self.from(node).map(|(reply_to, _)| *reply_to).collect();
        gone.into_iter().for_each(|reply_to| _ = self.take(reply_to));
    }

    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }
}
