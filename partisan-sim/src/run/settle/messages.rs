//! What applications see once the cluster has come right: injected partitions end, and relayed
//! messages arrive.

use std::collections::BTreeSet;

use partisan_proto::{ChannelId, Command, Duration};

use crate::check::{Violation, ViolationKind};
use crate::draw::Stream;
use crate::world::World;

/// How long the end of a partition, or a relayed message, may be on its way.
const WAY: Duration = Duration::from_secs(10);
/// Of how many pairs of nodes one sends to the other.
const PAIRS: usize = 4;

/// Ends all injected partitions, and demands that they are over and relayed messages arrive.
pub(super) fn settle(world: &mut World, stream: &mut Stream) {
    end_partitions(world);
    if !world.violations().is_empty() {
        return;
    }
    world.record(true);
    for _ in 0..PAIRS {
        relay(world, stream);
    }
    world.record(false);
}

/// The first node ends all partitions. Who is not reached from there, or only through nodes that
/// have forgotten what is over since they started again, is told by whoever runs the cluster.
fn end_partitions(world: &mut World) {
    let live: Vec<usize> = world.live().collect();
    let Some(first) = live.first().copied() else {
        return;
    };
    for node in &live {
        resolve(world, first, *node);
    }
    world.run_for(WAY);
    let forgetful = world.hosts().iter().any(|host| host.births() > 1);
    let reached = reached(world, first);
    for node in &live {
        if !forgetful && reached.contains(node) {
            demand_none(world, *node);
        }
        resolve(world, *node, *node);
    }
    world.run_for(WAY);
    live.iter().for_each(|node| demand_none(world, *node));
}

fn resolve(world: &mut World, by: usize, of: usize) {
    for id in world.partitions(of) {
        world.command(by, Command::ResolvePartition(id));
    }
}

fn demand_none(world: &mut World, node: usize) {
    let left = world.partitions(node);
    if !left.is_empty() {
        let text = format!("is still in the partitions {left:?}, and all were ended");
        world.report(Violation::new(ViolationKind::Parted, world.now(), Some(node), text));
    }
}

/// Three messages from one node to another: the first may go a way that has become wrong, which
/// costs that message alone.
fn relay(world: &mut World, stream: &mut Stream) {
    let live: Vec<usize> = world.live().collect();
    let from = live[stream.below(live.len())];
    let reached = reached(world, from);
    let others: Vec<usize> = reached.iter().copied().filter(|node| *node != from).collect();
    let Some(to) = (!others.is_empty()).then(|| others[stream.below(others.len())]) else {
        return;
    };
    // A copy that was first may have gone all round the others.
    let most = usize::from(world.hosts()[from].rest.config.relay.ttl) + 1;
    let before = world.deliveries(to).len();
    let texts: [&[u8]; 3] = [b"first", b"second", b"third"];
    for text in texts {
        world.relay(from, to, ChannelId::DEFAULT, None, text);
        world.run_for(WAY);
    }
    let arrived = world.deliveries(to)[before..].iter();
    let arrived: Vec<&[u8]> = arrived.map(|(_, delivery)| &delivery.payload[..]).collect();
    let fine = arrived == texts || arrived == texts[1..];
    if !fine && reached.len() <= most + 1 {
        let text = format!("of three messages relayed from {from} there arrived {arrived:?}");
        world.report(Violation::new(ViolationKind::Undelivered, world.now(), Some(to), text));
    }
}

/// All nodes that are reached from one along neighbours, itself included.
fn reached(world: &World, from: usize) -> BTreeSet<usize> {
    let (mut reached, mut next) = (BTreeSet::from([from]), vec![from]);
    while let Some(node) = next.pop() {
        let Some(node) = world.hosts()[node].node() else {
            continue;
        };
        let neighbors = node.neighbors().iter().filter_map(|peer| world.number(peer.node));
        let new: Vec<usize> = neighbors.filter(|peer| reached.insert(*peer)).collect();
        next.extend(new);
    }
    reached
}
