//! Servers and clients: the servers become a mesh, and every client finds its servers.

use partisan_proto::Duration;
use partisan_proto::config::ClientServerConfig;

use super::{PARTING, REST, REUNION, ROUND, part, reach, severed};
use crate::check::{Violation, ViolationKind, mesh, star};
use crate::draw::Stream;
use crate::world::{Restart, World};

/// How long a join may take whose contact can be reached: the longest wait between dials, and more.
const JOINS: Duration = Duration::from_secs(60);

/// Brings all together, parts with some, and demands that the others notice.
pub(super) fn settle(
    world: &mut World,
    stream: &mut Stream,
    config: &ClientServerConfig,
    broadcasts: impl Fn(&mut World),
) {
    // Without a server there is no cluster. The first node is one.
    world.restart(0, Restart { keep_state: true, new_address: false });
    reunite(world, config);
    // A join that is under way would bring back who leaves now.
    world.run_for(JOINS);
    reunite(world, config);
    if !world.violations().is_empty() {
        return;
    }
    let groups = part(world, stream);
    let good = |world: &World| !severed(world) && star::problem(world, &groups, config).is_none();
    reach(world, PARTING, good);
    broadcasts(world);
    let before = world.frames();
    for span in [None, Some(REST)] {
        world.run_for(span.unwrap_or_default());
        if world.violations().is_empty()
            && let Some(problem) = star::problem(world, &groups, config)
        {
            return world.report(problem);
        }
    }
    let (sent, most) = (world.frames() - before, mesh::frames_at_rest(world, REST.as_secs()));
    if sent > most {
        let text = format!("{sent} frames in {REST:?} at rest; {most} would do");
        world.report(Violation::new(ViolationKind::Restless, world.now(), None, text));
    }
}

/// Joins whoever is not in to a server, again and again as an operator would.
fn reunite(world: &mut World, config: &ClientServerConfig) {
    let end = world.now() + REUNION;
    while world.now() < end && world.violations().is_empty() && !agreed(world, config) {
        let contact = world.live().next().unwrap_or(0);
        for node in strangers(world, config, contact) {
            world.join(node, contact);
        }
        world.run_for(ROUND);
    }
    if world.violations().is_empty() && !agreed(world, config) {
        let sets: Vec<_> = world.live().map(|node| (node, world.members(node))).collect();
        let text = format!("not reunited {REUNION:?} after healing: {sets:?}");
        let kind = ViolationKind::Membership;
        world.report(Violation::new(kind, world.now(), None, text));
    }
}

/// Live nodes that the contact does not know, or the other way round; servers that are not
/// connected to it and clients without a server: when both moved at once, neither can find the
/// other.
fn strangers(world: &World, config: &ClientServerConfig, contact: usize) -> Vec<usize> {
    let known = world.members(contact);
    let is_in = |node: usize| {
        let mutual = known.contains(&node) && world.members(node).contains(&contact);
        let connected = match star::is_server(world, node, config) {
            true => node == contact || world.is_connected(node, contact),
            false => star::kept(world, node).iter().any(|peer| world.is_connected(node, *peer)),
        };
        mutual && connected
    };
    world.live().filter(|node| !is_in(*node)).collect()
}

/// Whether all servers know the same members, the live ones among them, and nobody is a stranger.
fn agreed(world: &World, config: &ClientServerConfig) -> bool {
    let contact = world.live().next().unwrap_or(0);
    let known = world.members(contact);
    let mut servers = world.live().filter(|node| star::is_server(world, *node, config));
    strangers(world, config, contact).is_empty()
        && world.live().all(|node| known.contains(&node))
        && servers.all(|server| world.members(server) == known)
}
