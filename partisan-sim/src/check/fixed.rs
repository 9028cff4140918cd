//! What holds for nodes of the static manager.

use std::collections::BTreeSet;

use partisan_proto::config::ManagerConfig;
use partisan_proto::{Action, Address, NodeSpec, Notification};

use super::{Checker, Violation, ViolationKind, mesh};
use crate::world::{Step, World};

/// Nobody becomes a member who was neither configured nor joined by the node itself.
#[derive(Debug, Default)]
pub struct NoStrangers {}

impl Checker for NoStrangers {
    fn on_step(&mut self, step: &Step<'_>, world: &World, found: &mut Vec<Violation>) {
        for action in step.actions {
            let Action::Notify(Notification::MemberJoined { spec, .. }) = action else {
                continue;
            };
            if !may_list(world, step.node, spec) {
                let text = format!("lists {}, which it was never told to", spec.name());
                let kind = ViolationKind::Membership;
                found.push(Violation::new(kind, step.now, Some(step.node), text));
            }
        }
    }
}

/// Whether a node was configured with another, or told to join it in any life.
fn may_list(world: &World, node: usize, peer: &NodeSpec) -> bool {
    let host = &world.hosts()[node];
    let ManagerConfig::Static(config) = &host.rest.config.manager else {
        return false;
    };
    // A node may move to another port, and stays on its machine.
    let is_at = |contact: &Address| peer.addresses().iter().any(|own| own.host == contact.host);
    config.peers.iter().any(|listed| listed.name == *peer.name())
        || host.rest.contacts.iter().any(is_at)
}

/// The nodes whom a live node should be connected to: those it lists and those who list it.
fn linked(world: &World, node: usize) -> BTreeSet<usize> {
    let listing = world.live().filter(|other| world.members(*other).contains(&node));
    listing.chain(world.members(node)).collect()
}

/// The first thing that is wrong with the links between live nodes, if anything is: all links are
/// up that either side lists, and no others.
#[must_use]
pub fn problem(world: &World) -> Option<Violation> {
    for node in world.live() {
        let linked = linked(world, node);
        let violation = |kind, text| Some(Violation::new(kind, world.now(), Some(node), text));
        let mut sessions = linked.iter().filter(|peer| **peer != node);
        if let Some(text) = sessions.find_map(|peer| mesh::session(world, node, *peer).err()) {
            return violation(ViolationKind::Connections, text);
        }
        if let Some(text) = mesh::surplus(world, node) {
            return violation(ViolationKind::Connections, text);
        }
        let linked: Vec<_> = linked.into_iter().collect();
        if let Some(text) = mesh::leak(world, node, &linked) {
            return violation(ViolationKind::Leak, text);
        }
    }
    None
}
