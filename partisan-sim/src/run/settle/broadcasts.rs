//! Broadcasts, once the overlay is as it should be: what was sent has come to everybody, what is
//! sent now does as well, trees are trees, and in the end nothing is left of any of it.

use partisan_proto::Duration;
use partisan_proto::config::BroadcastConfig;

use super::{LARGE, Scenario, reach};
use crate::check::broadcast::{self, Ledger};
use crate::check::{Violation, ViolationKind};
use crate::measure::broadcast::sum;
use crate::workload::Work;
use crate::world::World;

/// How long what was sent before may take to come to everybody: a lane that is lost is dialled
/// after 30 s, and a comparison of neighbours happens every 15 s.
const OLD: Duration = Duration::from_secs(180);
/// How long a message may take that is sent when all is well.
const NEW: Duration = Duration::from_secs(60);
/// Between two messages of one sender, so that its tree is renewed in between.
const PAUSE: Duration = Duration::from_secs(12);
/// How many moments, so far apart, a tree has to be whole where neighbours are exchanged.
const MOMENTS: u32 = 10;
/// How often the wait for the end may begin anew.
const LATE: usize = 5;
/// In large clusters so many nodes broadcast.
const SENDERS: usize = 10;

/// Demands all that, where nodes broadcast.
pub(super) fn settle(scenario: &Scenario, world: &mut World, ledger: &Ledger) {
    if !scenario.load.broadcasts() || !world.violations().is_empty() {
        return;
    }
    come(world, ledger, OLD);
    let live: Vec<usize> = world.live().collect();
    let stride = if live.len() > LARGE { live.len() / SENDERS } else { 1 };
    for node in live.into_iter().step_by(stride) {
        Work::Broadcast { node, count: 1 }.perform(world);
        Work::Write { node, key: 0 }.perform(world);
    }
    come(world, ledger, NEW);
    stand(world, ledger);
    let config = &scenario.config().broadcast;
    rest(world, config);
}

fn come(world: &mut World, ledger: &Ledger, within: Duration) {
    reach(world, within, |world| broadcast::problem(world, ledger).is_none());
    report(world, broadcast::problem(world, ledger));
}

fn report(world: &mut World, problem: Option<Violation>) {
    if let Some(problem) = problem.filter(|_| world.violations().is_empty()) {
        world.report(problem);
    }
}

/// After a few messages of one sender their tree is one, and the next message costs a copy for
/// each node (S4). Where neighbours are exchanged that holds from a heartbeat to the next exchange:
/// it must at one of several moments.
fn stand(world: &mut World, ledger: &Ledger) {
    let Some(part) = broadcast::components(world).into_iter().max_by_key(Vec::len) else {
        return;
    };
    let root = part[0];
    for _ in 0..4 {
        Work::Broadcast { node: root, count: 1 }.perform(world);
        world.run_for(PAUSE);
    }
    let moments = if broadcast::exchanges_neighbors(world) { MOMENTS } else { 1 };
    let mut problem = wasteful(world, ledger, root, part.len());
    for _ in 1..moments {
        if problem.is_some() && world.violations().is_empty() {
            world.run_for(PAUSE);
            problem = wasteful(world, ledger, root, part.len());
        }
    }
    report(world, problem);
}

/// What is wrong with the tree of a sender, or with what one more message costs.
fn wasteful(world: &mut World, ledger: &Ledger, root: usize, nodes: usize) -> Option<Violation> {
    let crooked = broadcast::crooked(world, root);
    let cost = |world: &World| sum(world, |counters| counters.payloads);
    let before = cost(world);
    Work::Broadcast { node: root, count: 1 }.perform(world);
    come(world, ledger, NEW);
    let (copies, most) = (cost(world) - before, nodes as u64 - 1);
    crooked.or_else(|| {
        let text = format!("{copies} copies of one message for {most} nodes");
        let dear = Violation::new(ViolationKind::Tree, world.now(), Some(root), text);
        (copies != most).then_some(dear)
    })
}

/// In the end nothing is left. A message that a store had from another store comes as a broadcast
/// whenever a new neighbour has it to give, and is kept from then on: time begins anew.
fn rest(world: &mut World, config: &BroadcastConfig) {
    let received = |world: &World| sum(world, |counters| counters.received);
    for _ in 0..LATE {
        let before = received(world);
        if world.violations().is_empty() {
            world.run_for(broadcast::forgotten_after(config));
        }
        if received(world) == before {
            break;
        }
    }
    report(world, broadcast::leak(world));
}
