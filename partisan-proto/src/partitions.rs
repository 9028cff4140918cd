//! Injected partitions, for tests of applications: neighbours stop sending to each other
//! (`inject_partition`, `resolve_partition` and `partitions` of Partisan's HyParView manager, here
//! for every manager).
//!
//! A partition is injected at a node, with a ttl, and spreads along neighbours: each node that it
//! reaches notes all its neighbours of that moment, and from then on no message of the application
//! goes to them, neither directly nor relayed: sending fails with
//! [`CommandError::Partitioned`]. Every node up to `ttl` hops away is reached. The connections
//! stay, and so do membership and broadcasts: it is a lie told to the application alone.
//!
//! Resolving spreads to all peers of each node, whether in the partition or not, since the overlay
//! may have changed meanwhile; and a node that is still in one asks each new peer whether it is
//! over. What is over stays over: it is remembered, and a partition that is still on its way does
//! not come back. A node that was cut off meanwhile, and meets only nodes that have forgotten since
//! they started again, stays in it until it is resolved once more.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hash::Hash;

use crate::change::Change;
use crate::context::Context;
use crate::error::CommandError;
use crate::id::{Instance, NodeId};
use crate::notification::Notification;
use crate::relay::known::{Bounds, Known};
use crate::wire::{Bounded, ControlMessage, PartitionId, PartitionMessage, RelayId, StableHasher};

/// How many of the last partitions of each node are told apart; older ones are over.
const WINDOW: usize = 64;
/// How far the end of a partition spreads: across any overlay.
const FAR: u8 = u8::MAX;

/// The injected partitions that a node is in.
#[derive(Debug, Default)]
pub(crate) struct Partitions {
    /// How many were injected here.
    injected: u32,
    active: BTreeMap<PartitionId, Active>,
    /// Which ones are over.
    resolved: Known,
    /// How many were not taken part in, for want of room.
    refused: u64,
}

#[derive(Debug, Hash)]
struct Active {
    /// The greatest with which it was passed on.
    ttl: u8,
    /// To whom nothing is sent.
    nodes: Vec<NodeId>,
}

impl Partitions {
    /// The application injects one here.
    pub(crate) fn inject(
        &mut self,
        cx: &mut Context<'_>,
        ttl: u8,
    ) -> Result<PartitionId, CommandError> {
        let limit = cx.config.partitions.max_active;
        if self.active.len() >= limit {
            return Err(CommandError::TooManyPartitions { limit });
        }
        let Instance { node: origin, incarnation } = cx.me.instance;
        self.injected += 1;
        let id = PartitionId { origin, incarnation, number: self.injected };
        self.take_part(cx, None, id, ttl);
        Ok(id)
    }

    /// The application ends one, wherever it was injected.
    pub(crate) fn resolve(&mut self, cx: &mut Context<'_>, id: PartitionId) {
        self.end(cx, None, id, FAR);
    }

    /// Which partitions this node is in, and to whom it sends nothing for each.
    pub(crate) fn list(&self) -> Vec<(PartitionId, NodeId)> {
        let each = |(id, active): (&PartitionId, &Active)| {
            let id = *id;
            active.nodes.clone().into_iter().map(move |node| (id, node))
        };
        self.active.iter().flat_map(each).collect()
    }

    /// A peer with a session sent a message of this part.
    pub(crate) fn receive(
        &mut self,
        cx: &mut Context<'_>,
        from: Instance,
        message: PartitionMessage,
    ) {
        let from = from.node;
        match message {
            PartitionMessage::Inject { id, ttl } => {
                if self.is_over(id) {
                    return tell_over(cx, from, id);
                }
                self.take_part(cx, Some(from), id, ttl);
            }
            PartitionMessage::Resolve { id, ttl } => self.end(cx, Some(from), id, ttl),
            PartitionMessage::Active(ids) => {
                for id in ids.iter().filter(|id| self.is_over(**id)) {
                    tell_over(cx, from, *id);
                }
            }
        }
    }

    /// Another part changed something.
    pub(crate) fn change(&mut self, cx: &mut Context<'_>, change: &Change) {
        match change {
            // It may have been a neighbour all along, and have lost the connection only.
            Change::PeerUp { instance, .. }
            | Change::NeighborUp { instance }
            | Change::NeighborSwapped { instance, .. }
                if !self.active.is_empty() =>
            {
                let ids = Bounded::from_first(self.active.keys().copied());
                send(cx, instance.node, PartitionMessage::Active(ids));
            }
            Change::Reborn { .. } if !self.active.is_empty() => {
                for id in core::mem::take(&mut self.active).into_keys() {
                    cx.notify(Notification::PartitionResolved { id });
                }
                self.publish(cx);
            }
            _ => {}
        }
    }

    fn take_part(&mut self, cx: &mut Context<'_>, from: Option<NodeId>, id: PartitionId, ttl: u8) {
        let full = self.active.len() >= cx.config.partitions.max_active;
        match self.active.get_mut(&id) {
            // A longer way round was quicker: now it goes further than that.
            Some(active) if active.ttl < ttl => active.ttl = ttl,
            Some(_) => return,
            None if full => {
                self.refused += 1;
                return;
            }
            None => {
                let nodes = cx.neighbors.iter().map(|neighbor| neighbor.node).collect();
                self.active.insert(id, Active { ttl, nodes });
                self.publish(cx);
                cx.notify(Notification::PartitionInjected { id });
            }
        }
        if let Some(ttl) = ttl.checked_sub(1) {
            let neighbors: Vec<NodeId> = cx.neighbors.iter().map(|peer| peer.node).collect();
            spread(cx, from, neighbors, &PartitionMessage::Inject { id, ttl });
        }
    }

    fn end(&mut self, cx: &mut Context<'_>, from: Option<NodeId>, id: PartitionId, ttl: u8) {
        let known = self.resolved.has_met(number(id));
        let bounds = Bounds { nodes: cx.config.partitions.max_resolved, window: WINDOW };
        self.resolved.meet(number(id), cx.me.instance.node, bounds);
        if self.active.remove(&id).is_some() {
            self.publish(cx);
            cx.notify(Notification::PartitionResolved { id });
        } else if known && from.is_some() {
            // Whoever runs the cluster may say it again to those who missed it.
            return;
        }
        // The ttl ends what a memory that is too short would keep going round.
        if let Some(ttl) = ttl.checked_sub(1) {
            // Not to neighbours alone, since others may have this node for theirs.
            let peers = cx.routes.peers().map(|peer| peer.instance.node).collect();
            spread(cx, from, peers, &PartitionMessage::Resolve { id, ttl });
        }
    }

    /// Whether a partition is over, or so old that it should be.
    fn is_over(&self, id: PartitionId) -> bool {
        !self.active.contains_key(&id) && self.resolved.has_met(number(id))
    }

    /// Tells the routes, and so every sender, to whom nothing may be sent.
    fn publish(&self, cx: &mut Context<'_>) {
        let mut nodes: Vec<NodeId> =
            self.active.values().flat_map(|active| active.nodes.iter().copied()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        cx.routes.partition(nodes);
        cx.change(Change::Partitioned);
    }

    /// How many were not taken part in, for want of room.
    pub(crate) const fn refused(&self) -> u64 {
        self.refused
    }

    pub(crate) fn fingerprint(&self, hasher: &mut StableHasher) {
        self.active.hash(hasher);
        self.resolved.hash(hasher);
        (self.injected, self.refused).hash(hasher);
    }
}

/// A partition's number in the terms of what is known of the messages of nodes.
fn number(PartitionId { origin, incarnation, number }: PartitionId) -> RelayId {
    RelayId { origin, incarnation, sequence: u64::from(number) }
}

fn tell_over(cx: &mut Context<'_>, node: NodeId, id: PartitionId) {
    send(cx, node, PartitionMessage::Resolve { id, ttl: FAR });
}

fn spread(
    cx: &mut Context<'_>,
    from: Option<NodeId>,
    nodes: Vec<NodeId>,
    message: &PartitionMessage,
) {
    for node in nodes.into_iter().filter(|node| Some(*node) != from) {
        send(cx, node, message.clone());
    }
}

fn send(cx: &mut Context<'_>, node: NodeId, message: PartitionMessage) {
    // Whoever has gone meanwhile asks when it is a neighbour again.
    cx.send(node, ControlMessage::Partition(message));
}

#[cfg(test)]
mod tests;
