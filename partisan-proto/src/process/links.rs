//! Who is linked to whom.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::{ProcessId, Serial};
use crate::id::{Incarnation, NodeId};

/// The links of this node's processes, to each other and to others' processes.
///
/// When one side unlinks while the other links, both must end up the same: as in Erlang, what
/// arrives about a pair is ignored from its unlinking until the other side has answered that.
#[derive(Debug, Default, Hash)]
pub(super) struct Links {
    /// From both ends, where both are here.
    pairs: BTreeSet<(Serial, ProcessId)>,
    by_other: BTreeSet<(ProcessId, Serial)>,
    /// Unlinked here, and not answered yet; how often.
    unlinking: BTreeMap<(Serial, ProcessId), u32>,
    counts: BTreeMap<NodeId, usize>,
}

impl Links {
    /// Adds a link, seen from `local`; `false` when the other's node has `limit` already.
    pub(super) fn add(&mut self, local: Serial, other: ProcessId, limit: usize) -> bool {
        if self.pairs.contains(&(local, other)) {
            return true;
        }
        let count = self.counts.entry(other.node).or_default();
        if *count >= limit {
            return false;
        }
        *count += 1;
        self.pairs.insert((local, other));
        self.by_other.insert((other, local));
        true
    }

    /// Ends a link, seen from `local`; says whether there was one.
    pub(super) fn remove(&mut self, local: Serial, other: ProcessId) -> bool {
        if !self.pairs.remove(&(local, other)) {
            return false;
        }
        self.by_other.remove(&(other, local));
        if let Some(count) = self.counts.get_mut(&other.node) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&other.node);
            }
        }
        true
    }

    /// The other side was told of an unlinking.
    pub(super) fn unlink_sent(&mut self, local: Serial, other: ProcessId) {
        *self.unlinking.entry((local, other)).or_default() += 1;
    }

    /// The other side answered an unlinking.
    pub(super) fn unlinked(&mut self, local: Serial, other: ProcessId) {
        if let Some(count) = self.unlinking.get_mut(&(local, other)) {
            *count -= 1;
            if *count == 0 {
                self.unlinking.remove(&(local, other));
            }
        }
    }

    /// Whether what the other side says about this pair is outdated.
    pub(super) fn is_unlinking(&self, local: Serial, other: ProcessId) -> bool {
        self.unlinking.contains_key(&(local, other))
    }

    /// To whom a process is linked.
    pub(super) fn of(&self, local: Serial) -> impl Iterator<Item = ProcessId> {
        let range = (local, LEAST)..;
        self.pairs.range(range).take_while(move |(serial, _)| *serial == local).map(|(_, id)| *id)
    }

    /// Ends all links of a process.
    pub(super) fn take_all(&mut self, local: Serial) -> Vec<ProcessId> {
        let others: Vec<ProcessId> = self.of(local).collect();
        for other in &others {
            self.remove(local, *other);
        }
        others
    }

    /// Ends all links to a node that is lost, and forgets which answers are missing.
    pub(super) fn take_node(&mut self, node: NodeId) -> Vec<(Serial, ProcessId)> {
        self.unlinking.retain(|(_, other), _| other.node != node);
        let range = (ProcessId { node, ..LEAST }, Serial(0))..;
        let of_node = self.by_other.range(range).take_while(|(other, _)| other.node == node);
        let pairs: Vec<(Serial, ProcessId)> =
            of_node.map(|(other, local)| (*local, *other)).collect();
        for (local, other) in &pairs {
            self.remove(*local, *other);
        }
        pairs
    }

    pub(super) fn len(&self) -> usize {
        self.pairs.len() + self.unlinking.len()
    }
}

const LEAST: ProcessId =
    ProcessId { node: NodeId::from_u64(0), birth: Incarnation::NONE, serial: Serial(0) };
