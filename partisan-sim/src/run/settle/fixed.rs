//! Nodes with fixed lists: every link that is listed comes up, and no other.

use super::{PARTING, REST, REUNION, ROUND, reach, severed};
use crate::check::{Violation, ViolationKind, fixed, mesh};
use crate::draw::Stream;
use crate::world::World;

/// Brings the links up, changes some lists, and demands that the links follow.
pub(super) fn settle(world: &mut World, stream: &mut Stream, broadcasts: impl Fn(&mut World)) {
    let good = |world: &World| !severed(world) && fixed::problem(world).is_none();
    forget_the_dead(world);
    let end = world.now() + REUNION;
    while world.now() < end && world.violations().is_empty() && !good(world) {
        guide(world);
        world.run_for(ROUND);
    }
    judge(world);
    change_lists(world, stream);
    reach(world, PARTING, good);
    judge(world);
    broadcasts(world);
    let before = world.frames();
    world.run_for(REST);
    judge(world);
    let (sent, most) = (world.frames() - before, mesh::frames_at_rest(world, REST.as_secs()));
    if sent > most {
        let text = format!("{sent} frames in {REST:?} at rest; {most} would do");
        world.report(Violation::new(ViolationKind::Restless, world.now(), None, text));
    }
}

fn judge(world: &mut World) {
    if world.violations().is_empty()
        && let Some(problem) = fixed::problem(world)
    {
        world.report(problem);
    }
}

/// Nobody goes on dialling those who will not come back.
fn forget_the_dead(world: &mut World) {
    let live: Vec<_> = world.live().collect();
    for node in &live {
        for peer in world.members(*node) {
            if !live.contains(&peer) {
                world.remove(*node, peer);
            }
        }
    }
}

/// Whoever runs the cluster tells nodes where the peers are that moved.
fn guide(world: &mut World) {
    let live: Vec<_> = world.live().collect();
    for node in live {
        for peer in world.members(node) {
            if peer != node && !world.is_connected(node, peer) {
                world.join(node, peer);
            }
        }
    }
}

/// Perhaps a node leaves, and perhaps one is taken off another's list.
fn change_lists(world: &mut World, stream: &mut Stream) {
    let live: Vec<_> = world.live().collect();
    if stream.one_in(3) {
        world.leave(live[stream.below(live.len())]);
    }
    if stream.one_in(2) {
        let node = live[stream.below(live.len())];
        if let Some(peer) = world.members(node).into_iter().find(|peer| *peer != node) {
            world.remove(node, peer);
        }
    }
}
