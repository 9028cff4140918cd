//! Partial views: the overlay is connected again, and views follow those who come and go.

use partisan_proto::{Command, Duration};

use super::{REST, REUNION, ROUND, reach, severed};
use crate::check::{Violation, ViolationKind, mesh, scamp};
use crate::draw::Stream;
use crate::world::World;

/// How long leaves and removals may take to be known everywhere: who was not told finds out when it
/// dials, or drops whom it cannot reach.
const PARTING: Duration = Duration::from_secs(300);
/// How long a join may take whose contact can be reached.
const JOINS: Duration = Duration::from_secs(60);

/// Brings all together, parts with some, and demands that the others notice.
pub(super) fn settle(world: &mut World, stream: &mut Stream) {
    for pause in [JOINS, Duration::ZERO] {
        reunite(world);
        world.run_for(pause);
    }
    let alone = part(world, stream);
    let good = |world: &World| !severed(world) && scamp::problem(world, &alone).is_none();
    reach(world, PARTING, good);
    let before = world.frames();
    for span in [Duration::ZERO, REST] {
        world.run_for(span);
        if !world.violations().is_empty() {
            return;
        }
        if let Some(problem) = scamp::problem(world, &alone) {
            return world.report(problem);
        }
    }
    let heartbeats = scamp::mean_view(world) * world.live().count() as f64;
    let rounds = REST.as_secs() / 10 + 1;
    // Somebody may be in nobody's view and subscribe anew.
    let walks = 3_000;
    let most = mesh::frames_at_rest(world, REST.as_secs()) + heartbeats as u64 * rounds + walks;
    let sent = world.frames() - before;
    if sent > most {
        let text = format!("{sent} frames in {REST:?} at rest; {most} would do");
        world.report(Violation::new(ViolationKind::Restless, world.now(), None, text));
    }
}

/// Joins the parts of the overlay to each other, again and again as an operator would, and removes
/// the dead wherever they are known.
fn reunite(world: &mut World) {
    let end = world.now() + REUNION;
    let good = |world: &World| !severed(world) && scamp::problem(world, &[]).is_none();
    while world.now() < end && world.violations().is_empty() && !good(world) {
        let parts = scamp::parts(world);
        for part in parts.iter().skip(1) {
            if let (Some(node), Some(contact)) = (part.first(), parts[0].first()) {
                world.join(*node, *contact);
            }
        }
        remove_the_dead(world);
        world.run_for(ROUND);
    }
    if world.violations().is_empty()
        && let Some(problem) = scamp::problem(world, &[])
    {
        world.report(problem);
    }
}

fn remove_the_dead(world: &mut World) {
    let live: Vec<_> = world.live().collect();
    let dead = (0..world.hosts().len()).filter(|node| !live.contains(node));
    for dead in dead.collect::<Vec<_>>() {
        let id = world.hosts()[dead].name().id();
        for node in &live {
            world.command(*node, Command::Remove(id));
        }
    }
}

/// Perhaps a node leaves, and perhaps one is removed by another that knows it; says who is alone
/// after that.
fn part(world: &mut World, stream: &mut Stream) -> Vec<usize> {
    let mut alone = Vec::new();
    let live: Vec<_> = world.live().collect();
    if live.len() > 3 && stream.one_in(2) {
        let node = live[stream.below(live.len())];
        world.leave(node);
        alone.push(node);
    }
    if live.len() > 3 && stream.one_in(2) {
        let by = live[stream.below(live.len())];
        let other = world.members(by).into_iter().find(|other| *other != by);
        if let Some(other) = other.filter(|other| !alone.contains(other) && !alone.contains(&by)) {
            world.remove(by, other);
            alone.push(other);
        }
    }
    alone
}
