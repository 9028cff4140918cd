//! Which connections were lost, and when.

use std::collections::BTreeMap;

use partisan_proto::{Action, ConnectionId, NodeId};

use super::id;
use crate::world::{Happened, Step, World};

/// When each node lost a connection to each other, as it sees it.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    open: BTreeMap<(usize, ConnectionId), NodeId>,
    /// At which step last; under `None`, a connection to whoever it was.
    broken: BTreeMap<(usize, Option<NodeId>), u64>,
}

impl Lanes {
    pub(super) fn take(&mut self, step: &Step<'_>, world: &World, now: u64) {
        let node = step.node;
        match step.happened {
            Happened::Accepted(connection) | Happened::Opened(connection) => {
                // A node whose time stood still may be told of one that is gone.
                let link = world.network().links(node).find(|link| link.id == connection);
                let peer = link.map(|link| id(world, link.peer));
                self.open.extend(peer.map(|peer| ((node, connection), peer)));
            }
            Happened::Closed(connection) => self.broke(node, connection, now),
            _ => {}
        }
        for action in step.actions {
            if let Action::Close { connection, .. } = action {
                self.broke(node, *connection, now);
            }
        }
    }

    fn broke(&mut self, node: usize, connection: ConnectionId, now: u64) {
        let peer = self.open.remove(&(node, connection));
        self.broken.insert((node, peer), now);
    }

    pub(super) fn crashed(&mut self, node: usize) {
        self.open.retain(|(of, _), _| *of != node);
    }

    /// Whether the node lost a connection to another since that step.
    pub(super) fn broke_since(&self, node: usize, peer: NodeId, step: u64) -> bool {
        let lost = |peer| self.broken.get(&(node, peer)).is_some_and(|broken| *broken >= step);
        lost(Some(peer)) || lost(None)
    }
}
