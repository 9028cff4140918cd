//! The second part of a run: heal everything, bring the cluster to a known state, and demand that
//! it gets there in time and then rests.

mod broadcasts;
mod fixed;
mod hyparview;
mod messages;
mod processes;
mod scamp;
mod star;

use std::collections::BTreeSet;

use partisan_proto::config::{ManagerConfig, StrategyConfig};
use partisan_proto::{Duration, Instant};

use super::{LARGE, Scenario};
use crate::check::broadcast::Ledger;
use crate::check::processes::Truth;
use crate::check::{Violation, ViolationKind, mesh};
use crate::draw::{Label, Stream};
use crate::workload::Load;
use crate::world::{Restart, World};

/// How long all live nodes may take to know each other again: dead connections are noticed after
/// 75 s at the latest, dialled again after 30 s, and news needs a few rounds.
const REUNION: Duration = Duration::from_secs(300);
/// How long removals and leaves may take to be known everywhere.
const PARTING: Duration = Duration::from_secs(180);
/// How long the rest is watched.
const REST: Duration = Duration::from_secs(60);
/// How often the one who runs the cluster looks after it.
const ROUND: Duration = Duration::from_secs(10);

/// Heals the world and reports what does not come right.
pub(super) fn settle(scenario: &Scenario, world: &mut World, (ledger, truth): (&Ledger, &Truth)) {
    let mut stream = Stream::new(scenario.seed, Label::Faults, 1_000);
    world.heal_all();
    world.forget_plans();
    world.calm_applications();
    restart_most(world, &mut stream);
    let full = match &scenario.manager {
        ManagerConfig::Pluggable(pluggable) => pluggable.strategy == StrategyConfig::Full,
        _ => false,
    };
    if full && scenario.nodes > LARGE {
        return settle_large(world);
    }
    let broadcasts = |world: &mut World| {
        // Nothing is broadcast across an injected partition.
        messages::end_partitions(world);
        broadcasts::settle(scenario, world, ledger);
        if world.violations().is_empty() {
            world.settle_application();
        }
    };
    match &scenario.manager {
        ManagerConfig::Static(_) => fixed::settle(world, &mut stream, broadcasts),
        ManagerConfig::HyParView(_) => hyparview::settle(world, &mut stream, broadcasts),
        ManagerConfig::ClientServer(star) => star::settle(world, &mut stream, star, broadcasts),
        ManagerConfig::Pluggable(pluggable) if pluggable.strategy != StrategyConfig::Full => {
            scamp::settle(world, &mut stream, broadcasts);
        }
        _ => settle_mesh(world, &mut stream, broadcasts),
    }
    if world.violations().is_empty() && scenario.nodes <= LARGE {
        messages::settle(world, &mut stream);
    }
    if world.violations().is_empty() && scenario.load == Load::Processes {
        processes::settle(world, &mut stream, truth);
    }
}

/// The cluster of the full strategy.
fn settle_mesh(world: &mut World, stream: &mut Stream, broadcasts: impl Fn(&mut World)) {
    reunite(world);
    if !world.violations().is_empty() {
        return;
    }
    let groups = part(world, stream);
    // Connections that died in silence come right as well, when keep-alive has noticed.
    let good = |world: &World| !severed(world) && mesh::problem(world, &groups).is_none();
    reach(world, PARTING, good);
    if let Some(problem) = mesh::problem(world, &groups) {
        return world.report(problem);
    }
    broadcasts(world);
    rest(world, &groups);
}

/// Whether a connection of a live node is dead and has not been noticed.
fn severed(world: &World) -> bool {
    let mut links = world.live().flat_map(|node| world.network().links(node));
    links.any(|link| link.severed)
}

/// Lets time pass in rounds until `good` or the end of the time; stops at violations.
fn reach(world: &mut World, within: Duration, good: impl Fn(&World) -> bool) {
    let end = world.now() + within;
    while world.now() < end && world.violations().is_empty() && !good(world) {
        world.run_for(Duration::from_secs(1));
    }
}

/// Most of the dead come back; the others will be removed.
fn restart_most(world: &mut World, stream: &mut Stream) {
    for node in 0..world.hosts().len() {
        let returns = !stream.one_in(3);
        let (keep_state, new_address) = (stream.one_in(2), stream.one_in(4));
        let dead = world.hosts()[node].node().is_none();
        if dead && (returns || world.live().next().is_none()) {
            world.restart(node, Restart { keep_state, new_address });
        }
    }
}

/// Joins all live nodes to the first of them, again and again as an operator would, since one that
/// learns late of its removal drops the joins under way.
fn reunite(world: &mut World) {
    let end = world.now() + REUNION;
    let mut good = false;
    while world.now() < end && world.violations().is_empty() {
        good = strangers(world).is_empty() && agreed(world);
        if good {
            break;
        }
        let contact = world.live().next().unwrap_or(0);
        for node in strangers(world) {
            world.join(node, contact);
        }
        world.run_for(ROUND);
    }
    if !good && world.violations().is_empty() {
        let sets: Vec<_> = world.live().map(|node| (node, world.members(node))).collect();
        let text = format!("not reunited {REUNION:?} after healing: {sets:?}");
        let kind = ViolationKind::Membership;
        world.report(Violation::new(kind, world.now(), None, text));
    }
}

/// Live nodes that the first one does not know, or the other way round, or that are not connected
/// to it: when both moved at once, neither can find the other.
fn strangers(world: &World) -> Vec<usize> {
    let contact = world.live().next().unwrap_or(0);
    let known = world.members(contact);
    let knows = |node: &usize| {
        let mutual = known.contains(node) && world.members(*node).contains(&contact);
        mutual && (*node == contact || world.is_connected(contact, *node))
    };
    world.live().filter(|node| !knows(node)).collect()
}

/// Whether all live nodes know the same members, all of the live ones among them.
fn agreed(world: &World) -> bool {
    let live: BTreeSet<_> = world.live().collect();
    let mut sets = world.live().map(|node| world.members(node));
    let first = sets.next().unwrap_or_default();
    live.is_subset(&first) && sets.all(|set| set == first)
}

/// The dead are removed, and perhaps a node leaves; says who should know whom after that.
fn part(world: &mut World, stream: &mut Stream) -> Vec<Vec<usize>> {
    // The first one is a server, where there are servers.
    let live: Vec<_> = world.live().collect();
    let contact = live[0];
    for node in world.members(contact) {
        if !live.contains(&node) {
            world.remove(contact, node);
        }
    }
    let mut together = live;
    let mut groups = Vec::new();
    for how in 0..2 {
        if together.len() > 2 && stream.one_in(3) {
            let gone = together.remove(1 + stream.below(together.len() - 1));
            match how {
                0 => world.leave(gone),
                _ => world.remove(contact, gone),
            };
            groups.push(vec![gone]);
        }
    }
    groups.push(together);
    groups
}

/// A cluster at rest stays as it is, and sends little.
fn rest(world: &mut World, groups: &[Vec<usize>]) {
    let before = world.frames();
    world.run_for(REST);
    let (sent, most) = (world.frames() - before, mesh::frames_at_rest(world, REST.as_secs()));
    if let Some(problem) = mesh::problem(world, groups) {
        world.report(problem);
    } else if sent > most {
        let text = format!("{sent} frames in {REST:?} at rest; {most} would do");
        world.report(Violation::new(ViolationKind::Restless, world.now(), None, text));
    }
}

/// Large clusters: without removals, and judged by the members of some nodes.
fn settle_large(world: &mut World) {
    let live: Vec<_> = world.live().collect();
    let size = live.len();
    let sample: Vec<_> = live.iter().step_by(1 + size / 10).copied().collect();
    let good = |world: &World| {
        sample.iter().all(|node| {
            world.hosts()[*node].node().is_some_and(|node| node.members().len() >= size)
        })
    };
    reach(world, REUNION, good);
    if !good(world) && world.now() > Instant::ZERO {
        let text = format!("{size} live nodes do not all know each other");
        world.report(Violation::new(ViolationKind::Membership, world.now(), None, text));
    }
}
