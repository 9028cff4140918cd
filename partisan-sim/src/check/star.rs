//! What a cluster of servers and clients must look like once everything is healed.

use std::collections::BTreeSet;

use partisan_proto::config::ClientServerConfig;
use partisan_proto::manager::client_server::Role;

use super::mesh::{self, Groups};
use super::{Violation, ViolationKind};
use crate::world::World;

/// Whether a live node is a server.
#[must_use]
pub fn is_server(world: &World, node: usize, config: &ClientServerConfig) -> bool {
    let node = world.hosts()[node].node();
    node.is_some_and(|node| Role::of(node.spec(), config) == Role::Server)
}

/// The servers that a client stays connected to.
#[must_use]
pub fn kept(world: &World, client: usize) -> BTreeSet<usize> {
    let views = world.hosts()[client].node().map(|node| node.views()).unwrap_or_default();
    views.active.into_iter().filter_map(|node| world.number(node)).collect()
}

/// The first thing that is wrong, if anything is: in each group the servers know all and are
/// connected to each other; each client knows the servers and itself, and is connected to as many
/// of them as it wants and there are, and to nobody else.
#[must_use]
pub fn problem(world: &World, groups: &Groups, config: &ClientServerConfig) -> Option<Violation> {
    let found = |group: &Vec<usize>| {
        let servers = group.iter().copied().filter(|node| is_server(world, *node, config));
        let servers: BTreeSet<usize> = servers.collect();
        let all = group.iter().copied();
        all.clone().find_map(|node| {
            let (kind, text) = of_node(world, node, group, &servers, config)?;
            Some(Violation::new(kind, world.now(), Some(node), text))
        })
    };
    groups.iter().find_map(found)
}

fn of_node(
    world: &World,
    node: usize,
    group: &[usize],
    servers: &BTreeSet<usize>,
    config: &ClientServerConfig,
) -> Option<(ViolationKind, String)> {
    let server = servers.contains(&node);
    let known: BTreeSet<usize> = match server {
        true => group.iter().copied().collect(),
        false => servers.iter().copied().chain([node]).collect(),
    };
    let members = world.members(node);
    if members != known {
        let text = format!("knows {members:?}; there are {known:?} for it");
        return Some((ViolationKind::Membership, text));
    }
    let wanted = config.servers.min(servers.len());
    let peers: BTreeSet<usize> = match server {
        true => {
            let clients = group
                .iter()
                .copied()
                .filter(|other| !servers.contains(other) && kept(world, *other).contains(&node));
            servers.iter().copied().chain(clients).collect()
        }
        false => kept(world, node),
    };
    if !server && (peers.len() < wanted || !peers.is_subset(servers)) {
        let text = format!("keeps to {peers:?}; wants {wanted} of {servers:?}");
        return Some((ViolationKind::Connections, text));
    }
    let others = peers.iter().filter(|peer| **peer != node);
    let session = others.map(|peer| mesh::session(world, node, *peer)).find_map(Result::err);
    if let Some(text) = session.or_else(|| mesh::surplus(world, node)) {
        return Some((ViolationKind::Connections, text));
    }
    let peers: Vec<_> = peers.into_iter().collect();
    mesh::leak(world, node, &peers).map(|text| (ViolationKind::Leak, text))
}
