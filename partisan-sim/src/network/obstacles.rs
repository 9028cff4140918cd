//! What stands between nodes: partitions, clogs, slow lines, dead addresses.

use std::collections::{BTreeMap, BTreeSet};

/// What stands between nodes at present. Empty most of the time, and quick to ask then.
#[derive(Clone, Debug, Default)]
pub(super) struct Obstacles {
    any: bool,
    /// Directed pairs between which nothing passes.
    blocked: BTreeSet<(u32, u32)>,
    /// The group of each node, `u8::MAX` for nodes in none, and whether only from group 0 to others
    /// nothing passes.
    groups: Option<(Vec<u8>, bool)>,
    /// Directed pairs between which open connections stall.
    clogged: BTreeSet<(u32, u32)>,
    /// Directed pairs with a bound on the bytes a second.
    slow: BTreeMap<(u32, u32), u64>,
    /// Nodes that answer no dial.
    black_holes: BTreeSet<u32>,
    /// Nodes that refuse every dial.
    refusing: BTreeSet<u32>,
    paused: BTreeSet<u32>,
}

impl Obstacles {
    fn changed(&mut self) {
        self.any = !(self.blocked.is_empty()
            && self.groups.is_none()
            && self.clogged.is_empty()
            && self.slow.is_empty()
            && self.black_holes.is_empty()
            && self.refusing.is_empty()
            && self.paused.is_empty());
    }

    /// Whether packets from one node to the other are lost.
    pub(super) fn blocks(&self, from: u32, to: u32) -> bool {
        self.any && (self.blocked.contains(&(from, to)) || self.parts(from, to))
    }

    fn parts(&self, from: u32, to: u32) -> bool {
        let Some((groups, symmetric)) = &self.groups else {
            return false;
        };
        let group = |node: u32| groups.get(node as usize).copied().unwrap_or(u8::MAX);
        let (from, to) = (group(from), group(to));
        from != to && from != u8::MAX && to != u8::MAX && (*symmetric || from == 0)
    }

    /// Whether frames that have reached `to` from the other cannot go on, though none is lost.
    pub(super) fn stalls(&self, from: u32, to: u32) -> bool {
        self.any && (self.paused.contains(&to) || self.clogged.contains(&(from, to)))
    }

    pub(super) fn speed(&self, from: u32, to: u32) -> Option<u64> {
        if self.any { self.slow.get(&(from, to)).copied() } else { None }
    }

    pub(super) fn is_black_hole(&self, node: u32) -> bool {
        self.any && self.black_holes.contains(&node)
    }

    pub(super) fn refuses(&self, node: u32) -> bool {
        self.any && self.refusing.contains(&node)
    }

    pub(super) fn set_partition(&mut self, groups: &[Vec<usize>], symmetric: bool) {
        let mut of = Vec::new();
        for (number, group) in groups.iter().enumerate() {
            for node in group {
                of.resize(of.len().max(node + 1), u8::MAX);
                of[*node] = number as u8;
            }
        }
        self.groups = Some((of, symmetric));
        self.changed();
    }

    pub(super) fn block(&mut self, from: u32, to: u32) {
        self.blocked.insert((from, to));
        self.changed();
    }

    pub(super) fn clog(&mut self, from: u32, to: u32, on: bool) {
        if on {
            self.clogged.insert((from, to));
        } else {
            self.clogged.remove(&(from, to));
        }
        self.changed();
    }

    pub(super) fn slow(&mut self, from: u32, to: u32, bytes_per_second: Option<u64>) {
        match bytes_per_second {
            Some(speed) => self.slow.insert((from, to), speed.max(1)),
            None => self.slow.remove(&(from, to)),
        };
        self.changed();
    }

    pub(super) fn black_hole(&mut self, node: u32, on: bool) {
        toggle(&mut self.black_holes, node, on);
        self.changed();
    }

    pub(super) fn refuse(&mut self, node: u32, on: bool) {
        toggle(&mut self.refusing, node, on);
        self.changed();
    }

    pub(super) fn pause(&mut self, node: u32, on: bool) {
        toggle(&mut self.paused, node, on);
        self.changed();
    }

    /// Takes partitions and blocks away.
    pub(super) fn heal(&mut self) {
        self.blocked.clear();
        self.groups = None;
        self.changed();
    }

    /// Takes everything away but pauses.
    pub(super) fn clear(&mut self) {
        let paused = std::mem::take(&mut self.paused);
        *self = Self { paused, ..Self::default() };
        self.changed();
    }
}

fn toggle(set: &mut BTreeSet<u32>, node: u32, on: bool) {
    if on {
        set.insert(node);
    } else {
        set.remove(&node);
    }
}
