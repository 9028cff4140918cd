//! The calls of this node that wait for their answers.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::id::{ConnectionId, NodeId};
use crate::process::{RequestId, Serial};

/// Whom a call was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct AskedOf {
    pub(super) node: NodeId,
    /// By which connection; `None` where it did not leave this node.
    pub(super) by: Option<ConnectionId>,
}

/// Each leaves exactly once: whoever takes it out tells the caller.
#[derive(Debug, Default, Hash)]
pub(super) struct Asked {
    calls: BTreeMap<RequestId, AskedOf>,
    by_node: BTreeSet<(NodeId, RequestId)>,
}

const FIRST: RequestId = RequestId { owner: Serial(0), number: 0 };
const LAST: RequestId = RequestId { owner: Serial(u64::MAX), number: u64::MAX };

impl Asked {
    pub(super) fn contains(&self, request: RequestId) -> bool {
        self.calls.contains_key(&request)
    }

    pub(super) fn add(&mut self, request: RequestId, of: AskedOf) {
        self.by_node.insert((of.node, request));
        self.calls.insert(request, of);
    }

    pub(super) fn take(&mut self, request: RequestId) -> Option<AskedOf> {
        let of = self.calls.remove(&request)?;
        self.by_node.remove(&(of.node, request));
        Some(of)
    }

    /// The calls of a process.
    pub(super) fn of(&self, owner: Serial) -> Vec<RequestId> {
        let range = RequestId { owner, number: 0 }..=RequestId { owner, number: u64::MAX };
        self.calls.range(range).map(|(request, _)| *request).collect()
    }

    /// The calls to a node: those by one connection, or all.
    pub(super) fn by(&self, node: NodeId, by: Option<ConnectionId>) -> Vec<RequestId> {
        let to_node = self.by_node.range((node, FIRST)..=(node, LAST));
        let requests = to_node.map(|(_, request)| *request);
        let of = |request: &RequestId| self.calls.get(request).and_then(|of| of.by);
        requests.filter(|request| by.is_none() || of(request) == by).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }
}
