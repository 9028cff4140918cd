//! News: what changed here and was not told so far, each node once however often it changed.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::Full;
use crate::context::Context;
use crate::id::NodeId;

/// Nodes of which there is news. Bounded by twice the number of entries that the set can have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct News {
    /// For every connected peer.
    all: BTreeSet<NodeId>,
    /// For a few random peers, but not back to whom it came from.
    some: BTreeMap<NodeId, NodeId>,
}

impl News {
    pub(super) fn for_all(&mut self, node: NodeId) {
        self.some.remove(&node);
        self.all.insert(node);
    }

    pub(super) fn for_some(&mut self, node: NodeId, from: NodeId) {
        if !self.all.contains(&node) {
            self.some.insert(node, from);
        }
    }

    pub(super) fn forget(&mut self, node: NodeId) {
        self.all.remove(&node);
        self.some.remove(&node);
    }

    /// Forgets the nodes of which nothing is `known` any more.
    pub(super) fn retain(&mut self, known: impl Fn(NodeId) -> bool) {
        self.all.retain(|node| known(*node));
        self.some.retain(|node, _| known(*node));
    }

    pub(super) fn len(&self) -> usize {
        self.all.len() + self.some.len()
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
        self.some.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.some.is_empty()
    }
}

impl Full {
    /// Sends the news collected so far, and forgets it.
    pub(super) fn flush_news(&mut self, cx: &mut Context<'_>) {
        let News { all, some } = core::mem::take(&mut self.news);
        let peers: Vec<NodeId> = self.sessions.keys().copied().collect();
        let all: Vec<NodeId> = all.into_iter().collect();
        if !all.is_empty() {
            for peer in &peers {
                // A node knows best itself what it said.
                let nodes: Vec<_> = all.iter().copied().filter(|node| node != peer).collect();
                self.send_entries(cx, *peer, &nodes);
            }
        }
        if some.is_empty() {
            return;
        }
        let mut peers = useful(peers, &some);
        self.random.shuffle_front(&mut peers, self.fanout);
        for peer in peers.into_iter().take(self.fanout) {
            let fresh = some.iter().filter(|(node, from)| **from != peer && **node != peer);
            let nodes: Vec<_> = fresh.map(|(node, _)| *node).collect();
            self.send_entries(cx, peer, &nodes);
        }
    }
}

/// The peers for whom there may be something new in `some`.
fn useful(peers: Vec<NodeId>, some: &BTreeMap<NodeId, NodeId>) -> Vec<NodeId> {
    let first = some.values().next().copied();
    let one_source = some.values().all(|from| Some(*from) == first);
    let source = first.filter(|_| one_source);
    let fresh = |peer: &NodeId| Some(*peer) != source;
    peers.into_iter().filter(fresh).collect()
}
