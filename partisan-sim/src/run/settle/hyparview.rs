//! HyParView: the overlay is in one piece again, everybody has neighbours, and nobody remembers who
//! is gone.

use std::cell::Cell;

use partisan_proto::Duration;

use super::{LARGE, PARTING, REST, REUNION, ROUND, severed};
use crate::check::{Violation, ViolationKind, hyparview};
use crate::draw::Stream;
use crate::world::World;

/// How long parts of several nodes are given to find each other by themselves, before the one who
/// runs the cluster joins them: they may be clusters that never met.
const BY_THEMSELVES: Duration = Duration::from_secs(120);
/// How many moments, a second apart, may be unlucky.
const MOMENTS: u32 = 35;
/// How long a join may take whose contact can be reached.
const JOINS: Duration = Duration::from_secs(60);

/// Brings all together, parts with some, and demands that the others notice.
pub(super) fn settle(world: &mut World, stream: &mut Stream, broadcasts: impl Fn(&mut World)) {
    reunite(world);
    // A join that is under way would bring back who leaves now.
    world.run_for(JOINS);
    let alone = part(world, stream);
    let large = world.live().count() > LARGE;
    // Whoever was found with a problem is looked at first: among very many, all are not looked at
    // for each second that passes.
    let witness = Cell::new(None);
    let good = |world: &World| {
        let still = |node| hyparview::problem_of(world, node, &alone).is_some();
        if !large && severed(world) || witness.get().is_some_and(still) {
            return false;
        }
        let problem = hyparview::problem(world, &alone);
        witness.set(problem.as_ref().and_then(|problem| problem.node));
        problem.is_none()
    };
    super::reach(world, PARTING + REUNION, good);
    judge(world, &alone);
    broadcasts(world);
    let before = world.frames();
    world.run_for(REST);
    let sent = world.frames() - before;
    judge(world, &alone);
    let most = hyparview::frames_at_rest(world, REST.as_secs());
    if sent > most && world.violations().is_empty() {
        let text = format!("{sent} frames in {REST:?} at rest; {most} would do");
        world.report(Violation::new(ViolationKind::Restless, world.now(), None, text));
    }
}

/// Joins those who are alone to the others, as an operator would, and in the end also parts that do
/// not find each other.
fn reunite(world: &mut World) {
    let (begin, end) = (world.now(), world.now() + REUNION);
    let good = |world: &World| !severed(world) && hyparview::problem(world, &[]).is_none();
    while world.now() < end && world.violations().is_empty() && !good(world) {
        let parts = hyparview::parts(world);
        let late = world.now() >= begin + BY_THEMSELVES;
        let largest = parts.iter().max_by_key(|part| part.len()).cloned().unwrap_or_default();
        let contact = largest.first().copied().unwrap_or(0);
        for part in parts.iter().filter(|part| !part.contains(&contact)) {
            if let Some(node) = part.first().filter(|_| late || part.len() == 1) {
                world.join(*node, contact);
            }
        }
        world.run_for(ROUND);
    }
    judge(world, &[]);
}

/// A moment may be unlucky: somebody is being asked to be a neighbour.
fn judge(world: &mut World, alone: &[usize]) {
    for _ in 0..MOMENTS {
        if !world.violations().is_empty() || hyparview::problem(world, alone).is_none() {
            return;
        }
        world.run_for(Duration::from_secs(1));
    }
    if world.violations().is_empty()
        && let Some(problem) = hyparview::problem(world, alone)
    {
        world.report(problem);
    }
}

/// Perhaps a node leaves, and perhaps one is removed by another, whether that one knows it or not;
/// says who is alone after that.
fn part(world: &mut World, stream: &mut Stream) -> Vec<usize> {
    let mut together: Vec<usize> = world.live().collect();
    let mut alone = Vec::new();
    for leaves in [true, false] {
        if together.len() > 3 && stream.one_in(2) {
            let gone = together.remove(stream.below(together.len()));
            match leaves {
                true => world.leave(gone),
                false => world.remove(together[stream.below(together.len())], gone),
            };
            alone.push(gone);
        }
    }
    alone
}
