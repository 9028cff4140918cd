//! What applications see once the cluster has come right: injected partitions end, and relayed
//! messages arrive.

use std::collections::BTreeSet;

use partisan_proto::config::ManagerConfig;
use partisan_proto::wire::Destination;
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
pub(super) fn end_partitions(world: &mut World) {
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

/// Sends three messages from one node to another: the first may go a way that has become wrong, which
/// costs that message alone. Where neighbours are exchanged all the time, so may any of them.
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
    let problem = send_three(world, from, to).filter(|_| reached.len() <= most + 1);
    if let Some(text) = problem {
        world.report(Violation::new(ViolationKind::Undelivered, world.now(), Some(to), text));
    }
}

/// What is wrong with how they arrive, if anything is.
fn send_three(world: &mut World, from: usize, to: usize) -> Option<String> {
    let before = world.deliveries(to).len();
    let texts: [&[u8]; 3] = [b"first", b"second", b"third"];
    let mut answers = Vec::new();
    for text in texts {
        let ticket = world.relay(from, to, ChannelId::DEFAULT, None, text);
        answers.extend(world.reply(from, ticket).cloned());
        world.run_for(WAY);
    }
    // What came for processes meanwhile is another matter.
    let arrived = world.deliveries(to)[before..].iter();
    let arrived = arrived.filter(|(_, delivery)| delivery.destination == Destination::Inbox);
    let arrived: Vec<&[u8]> = arrived.map(|(_, delivery)| &delivery.payload[..]).collect();
    if arrived == texts || arrived == texts[1..] {
        return None;
    }
    // The one after a lost message looks for its target.
    let others: [&[&[u8]]; 3] = [&[texts[0], texts[2]], &texts[..2], &texts[1..2]];
    if exchanges(world, from) && others.contains(&&arrived[..]) {
        return None;
    }
    let arrived: Vec<_> = arrived.iter().map(|text| String::from_utf8_lossy(text)).collect();
    Some(format!("from {from} arrived {arrived:?} of three; the answers: {answers:?}"))
}

/// Whether nodes exchange neighbours for better ones, at rest as ever.
fn exchanges(world: &World, node: usize) -> bool {
    match &world.hosts()[node].rest.config.manager {
        ManagerConfig::HyParView(hyparview) => hyparview.xbot.is_some(),
        _ => false,
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use partisan_proto::Config;
    use partisan_proto::config::StaticConfig;
    use partisan_proto::wire::{ControlMessage, Frame, PartitionMessage, RelayMessage};

    use super::*;
    use crate::rules::Verdict;
    use crate::world::WorldOptions;

    fn link(world: &mut World, one: usize, other: usize) {
        world.join(one, other);
        world.join(other, one);
        let up = |world: &World| world.is_connected(one, other) && world.is_connected(other, one);
        assert!(world.run_until(up, Duration::from_secs(30)));
    }

    /// Fixed lists, linked like this.
    fn linked(count: usize, edges: &[(usize, usize)]) -> World {
        let manager = ManagerConfig::Static(StaticConfig::default());
        let config = Arc::new(Config { manager, ..Config::default() });
        let mut world = World::new(WorldOptions { config, ..WorldOptions::default() });
        world.add_nodes(count);
        edges.iter().for_each(|(one, other)| link(&mut world, *one, *other));
        world.run_for(Duration::from_secs(5));
        world
    }

    /// What is found when 5 has moved from behind 3 to the other side of 0, and nobody is told that
    /// the old way is wrong.
    fn after_a_move(silenced: bool) -> Option<String> {
        let mut world = linked(7, &[(0, 1), (1, 2), (2, 3), (0, 4), (3, 5), (3, 6)]);
        if silenced {
            world.rule(|frame| match frame.frame {
                Frame::Control(ControlMessage::Relay(RelayMessage::Astray(_))) => Verdict::Drop,
                _ => Verdict::Pass,
            });
        }
        assert_eq!(send_three(&mut world, 0, 5), None);
        world.remove(3, 5);
        world.remove(5, 3);
        link(&mut world, 4, 5);
        world.run_for(Duration::from_secs(5));
        send_three(&mut world, 0, 5)
    }

    #[test]
    fn a_wrong_way_that_is_never_forgotten_is_found() {
        assert_eq!(after_a_move(false), None);
        assert!(after_a_move(true).is_some());
    }

    #[test]
    fn the_end_of_a_partition_that_does_not_spread_is_found() {
        let left = |silenced: bool| {
            let mut world = linked(3, &[(0, 1), (1, 2)]);
            if silenced {
                world.rule(|frame| match frame.frame {
                    Frame::Control(ControlMessage::Partition(PartitionMessage::Resolve {
                        ..
                    })) => Verdict::Drop,
                    _ => Verdict::Pass,
                });
            }
            world.command(2, Command::InjectPartition { ttl: 2 });
            world.run_for(WAY);
            end_partitions(&mut world);
            world.violations().iter().map(|violation| violation.kind).collect::<Vec<_>>()
        };
        assert_eq!(left(false), []);
        assert_eq!(left(true), [ViolationKind::Parted; 2], "nodes 1 and 2");
    }
}
