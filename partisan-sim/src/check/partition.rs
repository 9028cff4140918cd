//! What holds for injected partitions: see [`partisan_proto::partitions`].

use std::collections::{BTreeMap, BTreeSet};

use partisan_proto::wire::{Frame, PartitionId};
use partisan_proto::{Action, Incarnation, Node, NodeId, Notification};

use super::{Checker, Violation, ViolationKind, relay};
use crate::node_host::NodeHost;
use crate::world::{Step, World};

/// While a node is in a partition, no message of the application goes to whoever was its neighbour
/// when it began; what is over for a node does not begin again; and the node lists what it told.
#[derive(Debug, Default)]
pub struct Partitions {
    nodes: BTreeMap<usize, Told>,
}

/// What a node told in its present stay.
#[derive(Debug, Default)]
struct Told {
    incarnation: Incarnation,
    active: BTreeMap<PartitionId, BTreeSet<NodeId>>,
    over: BTreeSet<PartitionId>,
}

impl Checker for Partitions {
    fn on_step(&mut self, step: &Step<'_>, world: &World, found: &mut Vec<Violation>) {
        let Some(node) = world.hosts().get(step.node).and_then(NodeHost::node) else {
            return;
        };
        let mut report = |text| {
            let kind = ViolationKind::Partition;
            found.push(Violation::new(kind, step.now, Some(step.node), text));
        };
        let mut changed = false;
        for action in step.actions {
            match action {
                Action::Notify(Notification::PartitionInjected { id }) => {
                    changed = true;
                    if let Some(text) = self.told(step.node, node).begins(*id, node) {
                        report(text);
                    }
                }
                Action::Notify(Notification::PartitionResolved { id }) => {
                    changed = true;
                    if let Some(text) = self.told(step.node, node).ends(*id) {
                        report(text);
                    }
                }
                Action::Send { connection, frame: Frame::App { .. } | Frame::Relayed { .. } } => {
                    let parted = self.nodes.get(&step.node).filter(|told| !told.active.is_empty());
                    let peer = parted.and_then(|_| relay::peer(world, step.node, *connection));
                    let peer = peer.map(|peer| world.hosts()[peer].name().id());
                    if let (Some(told), Some(peer)) = (parted, peer)
                        && told.active.values().any(|nodes| nodes.contains(&peer))
                    {
                        report(format!("sends to {peer}, from which a partition keeps it"));
                    }
                }
                _ => {}
            }
        }
        if changed && let Some(text) = self.nodes.get(&step.node).and_then(|told| told.lists(node))
        {
            report(text);
        }
    }

    fn on_crash(&mut self, _: &World, node: usize) {
        self.nodes.remove(&node);
    }
}

impl Partitions {
    /// What a node told, forgotten when it begins anew.
    fn told(&mut self, number: usize, node: &Node) -> &mut Told {
        let told = self.nodes.entry(number).or_default();
        let incarnation = node.instance().incarnation;
        if told.incarnation != incarnation {
            *told =
                Told { incarnation, active: std::mem::take(&mut told.active), ..Told::default() };
        }
        told
    }
}

impl Told {
    fn begins(&mut self, id: PartitionId, node: &Node) -> Option<String> {
        let neighbors = node.neighbors().iter().map(|neighbor| neighbor.node).collect();
        let again = self.active.insert(id, neighbors).is_some() || self.over.contains(&id);
        again.then(|| format!("partition {id} begins again"))
    }

    fn ends(&mut self, id: PartitionId) -> Option<String> {
        self.over.insert(id);
        let known = self.active.remove(&id).is_some();
        (!known).then(|| format!("partition {id} ends, and had not begun"))
    }

    fn lists(&self, node: &Node) -> Option<String> {
        let told = self.active.iter().flat_map(|(id, nodes)| nodes.iter().map(|node| (*id, *node)));
        let (told, listed): (BTreeSet<_>, BTreeSet<_>) =
            (told.collect(), node.partitions().into_iter().collect());
        (told != listed).then(|| format!("lists {listed:?} and told of {told:?}"))
    }
}
