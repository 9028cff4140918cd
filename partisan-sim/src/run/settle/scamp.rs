//! Partial views: the overlay is connected again, and views follow those who come and go.

use partisan_proto::{Command, Duration};

use super::{REST, REUNION, ROUND, severed};
use crate::check::{Violation, ViolationKind, mesh, scamp};
use crate::draw::Stream;
use crate::world::World;

/// How long a join may take whose contact can be reached.
const JOINS: Duration = Duration::from_secs(60);

/// Brings all together, parts with some, and demands that the others notice.
///
/// Two that leave at once may have been all that held the others together: views promise a
/// connected overlay with high probability, not always. So the one who runs the cluster goes on
/// looking after it.
pub(super) fn settle(world: &mut World, stream: &mut Stream, broadcasts: impl Fn(&mut World)) {
    for pause in [JOINS, Duration::ZERO] {
        reunite(world, &[]);
        world.run_for(pause);
    }
    let alone = part(world, stream);
    reunite(world, &alone);
    broadcasts(world);
    let before = world.frames();
    world.run_for(REST);
    let sent = world.frames() - before;
    judge(world, &alone);
    let heartbeats = scamp::mean_view(world) * world.live().count() as f64;
    let rounds = REST.as_secs() / 10 + 1;
    // Somebody may be in nobody's view and subscribe anew.
    let walks = 3_000;
    let most = mesh::frames_at_rest(world, REST.as_secs()) + heartbeats as u64 * rounds + walks;
    if sent > most {
        let text = format!("{sent} frames in {REST:?} at rest; {most} would do");
        world.report(Violation::new(ViolationKind::Restless, world.now(), None, text));
    }
}

/// Joins the parts of the overlay to each other, again and again as an operator would, and removes
/// the dead wherever they are known.
fn reunite(world: &mut World, alone: &[usize]) {
    let end = world.now() + REUNION;
    let good = |world: &World| !severed(world) && scamp::problem(world, alone).is_none();
    while world.now() < end && world.violations().is_empty() && !good(world) {
        let parts = scamp::parts(world);
        let mut together =
            parts.iter().filter_map(|part| part.iter().find(|node| !alone.contains(node)));
        let contact = together.next();
        for node in together {
            world.join(*node, *contact.unwrap_or(node));
        }
        remove_the_dead(world);
        world.run_for(ROUND);
    }
    judge(world, alone);
}

/// A moment may be unlucky: one of those who were lost is dialled now and then.
fn judge(world: &mut World, alone: &[usize]) {
    for _ in 0..3 {
        if scamp::problem(world, alone).is_some() && world.violations().is_empty() {
            world.run_for(Duration::from_secs(3));
        }
    }
    if world.violations().is_empty()
        && let Some(problem) = scamp::problem(world, alone)
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
