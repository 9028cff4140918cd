//! What an overlay of partial views must look like once everything is healed.

use std::collections::{BTreeMap, BTreeSet};

use super::{Violation, ViolationKind, mesh};
use crate::node_host::NodeHost;
use crate::world::World;

/// The view and the in-view of a live node.
fn views(world: &World, node: usize) -> (BTreeSet<usize>, BTreeSet<usize>) {
    let node = world.hosts().get(node).and_then(NodeHost::node);
    let views = node.map(|node| node.views()).unwrap_or_default();
    let numbers = |nodes: Vec<_>| nodes.into_iter().filter_map(|node| world.number(node)).collect();
    (numbers(views.active), numbers(views.passive))
}

/// The parts into which the live nodes fall when views are followed in both directions; the one of
/// the first live node first.
#[must_use]
pub fn parts(world: &World) -> Vec<BTreeSet<usize>> {
    let mut links: BTreeMap<usize, BTreeSet<usize>> =
        world.live().map(|node| (node, BTreeSet::new())).collect();
    for node in world.live() {
        for peer in views(world, node).0 {
            if links.contains_key(&peer) {
                links.entry(node).or_default().insert(peer);
                links.entry(peer).or_default().insert(node);
            }
        }
    }
    let mut left: BTreeSet<usize> = world.live().collect();
    let mut parts = Vec::new();
    while let Some(first) = left.pop_first() {
        let (mut part, mut border) = (BTreeSet::from([first]), vec![first]);
        while let Some(node) = border.pop() {
            for peer in links.get(&node).into_iter().flatten() {
                if part.insert(*peer) {
                    left.remove(peer);
                    border.push(*peer);
                }
            }
        }
        parts.push(part);
    }
    parts
}

/// The mean size of the views of live nodes.
#[must_use]
pub fn mean_view(world: &World) -> f64 {
    let sizes = world.live().map(|node| views(world, node).0.len());
    sizes.sum::<usize>() as f64 / world.live().count().max(1) as f64
}

/// The first thing that is wrong, if anything is: the nodes fall into as many parts as they should,
/// each of which is connected; no view holds a dead node or one of another part; views and in-views
/// agree; and connections follow them.
#[must_use]
pub fn problem(world: &World, alone: &[usize]) -> Option<Violation> {
    let violation = |kind, node, text| Some(Violation::new(kind, world.now(), node, text));
    let together = world.live().filter(|node| !alone.contains(node)).collect();
    let mut expected: Vec<BTreeSet<usize>> = alone.iter().map(|node| [*node].into()).collect();
    expected.push(together);
    expected.sort();
    let mut found = parts(world);
    found.sort();
    if found != expected {
        let text = format!("falls into {found:?}; should fall into {expected:?}");
        return violation(ViolationKind::Membership, None, text);
    }
    for node in world.live() {
        let (view, in_view) = views(world, node);
        if let Some(dead) = view.iter().find(|peer| world.hosts()[**peer].node().is_none()) {
            let text = format!("has node {dead} in its view, which is dead");
            return violation(ViolationKind::Membership, Some(node), text);
        }
        let holding = world.live().filter(|other| views(world, *other).0.contains(&node));
        let holding: BTreeSet<usize> = holding.collect();
        if holding != in_view {
            let text = format!("is in the views of {holding:?}; takes itself to be in {in_view:?}");
            return violation(ViolationKind::Membership, Some(node), text);
        }
        let peers: Vec<usize> = view.union(&in_view).copied().collect();
        let sessions = peers.iter().map(|peer| mesh::session(world, node, *peer));
        let session = sessions.into_iter().find_map(Result::err);
        if let Some(text) = session.or_else(|| mesh::surplus(world, node)) {
            return violation(ViolationKind::Connections, Some(node), text);
        }
        if let Some(text) = mesh::leak(world, node, &peers) {
            return violation(ViolationKind::Leak, Some(node), text);
        }
    }
    None
}
