//! What a full mesh must look like once everything is healed.

use std::collections::BTreeSet;

use partisan_proto::{ConnectionId, Node, Timer};

use super::{Violation, ViolationKind, broadcast};
use crate::world::World;

/// The groups into which the live nodes should have fallen: who knows whom.
pub type Groups = [Vec<usize>];

/// The first thing that is wrong with a mesh, if anything is.
#[must_use]
pub fn problem(world: &World, groups: &Groups) -> Option<Violation> {
    members(world, groups).or_else(|| connections(world, groups)).or_else(|| leaks(world, groups))
}

/// Whether each node knows exactly its group.
#[must_use]
pub fn members(world: &World, groups: &Groups) -> Option<Violation> {
    for group in groups {
        let expected: BTreeSet<_> = group.iter().copied().collect();
        for node in group {
            let members = world.members(*node);
            if members != expected {
                let more: Vec<_> = members.difference(&expected).collect();
                let less: Vec<_> = expected.difference(&members).collect();
                let text = format!("knows {more:?} wrongly and does not know {less:?}");
                return Some(violation(world, ViolationKind::Membership, *node, text));
            }
        }
    }
    None
}

/// Whether each two nodes of a group have one session, alike at both ends, with every lane open,
/// and nobody has any other connection.
#[must_use]
pub fn connections(world: &World, groups: &Groups) -> Option<Violation> {
    for group in groups {
        for node in group {
            let found = group
                .iter()
                .filter(|peer| *peer != node)
                .find_map(|peer| session(world, *node, *peer).err())
                .or_else(|| surplus(world, *node));
            if let Some(text) = found {
                return Some(violation(world, ViolationKind::Connections, *node, text));
            }
        }
    }
    None
}

/// Whether two nodes have the same session, with every lane open.
pub(super) fn session(world: &World, node: usize, peer: usize) -> Result<(), String> {
    let (here, there) = (live(world, node)?, live(world, peer)?);
    let mine = here.routes().peer(there.instance().node);
    let mine = mine.ok_or_else(|| format!("has no session with node {peer}"))?;
    let theirs = there.routes().peer(here.instance().node);
    let theirs = theirs.ok_or_else(|| format!("node {peer} has no session with it"))?;
    if mine.epoch != theirs.epoch || mine.instance != there.instance() {
        return Err(format!("its session with node {peer} is {mine:?}; there it is {theirs:?}"));
    }
    if !mine.is_full() {
        return Err(format!("lanes to node {peer} are missing: {:?}", mine.channels));
    }
    let theirs: BTreeSet<_> = theirs.connections().collect();
    for link in world.network().links(node).filter(|link| link.peer == peer) {
        let alike = link.peer_id.is_some_and(|id| theirs.contains(&id));
        if !alike {
            return Err(format!("{link:?} is no connection of node {peer}'s session"));
        }
    }
    Ok(())
}

/// A connection that no session uses.
pub(super) fn surplus(world: &World, node: usize) -> Option<String> {
    let here = live(world, node).ok()?;
    let used: BTreeSet<ConnectionId> =
        here.routes().peers().flat_map(|routes| routes.connections()).collect();
    let known: BTreeSet<ConnectionId> = world.network().links(node).map(|link| link.id).collect();
    if let Some(link) = world.network().links(node).find(|link| !used.contains(&link.id)) {
        return Some(format!("{link:?} belongs to no session"));
    }
    used.difference(&known).next().map(|id| format!("{id:?} is routed and does not exist"))
}

/// Whether anything is left over at rest: timers of dials, handshakes and joins, sessions with
/// strangers, full queues.
#[must_use]
pub fn leaks(world: &World, groups: &Groups) -> Option<Violation> {
    for group in groups {
        for node in group {
            let found = leak(world, *node, group);
            if let Some(text) = found {
                return Some(violation(world, ViolationKind::Leak, *node, text));
            }
        }
    }
    None
}

/// What is left over on one node that may be connected to `group` alone.
pub(super) fn leak(world: &World, number: usize, group: &[usize]) -> Option<String> {
    let node = live(world, number).ok()?;
    overdue(world, number).or_else(|| {
        let stranger = node.routes().peers().find(|routes| {
            let peer = world.number(routes.instance.node);
            !peer.is_some_and(|peer| group.contains(&peer))
        });
        stranger.map(|routes| format!("is connected to a stranger: {:?}", routes.instance))
    })
}

/// A timer of something that should be over at rest.
pub(super) fn overdue(world: &World, number: usize) -> Option<String> {
    let node = live(world, number).ok()?;
    let vain = world.has_vain_join(number);
    let timer = node.timers().find(|(_, timer)| match timer {
        Timer::EndHandshake(_) | Timer::Dial(..) | Timer::EndJoin(_) => true,
        Timer::DialContact(_) => !vain,
        Timer::KeepAlive(id) => !world.network().is_open(number, *id),
        _ => false,
    });
    timer.map(|(at, timer)| format!("{timer:?} is still set, for {at}"))
}

/// The most frames that nodes at rest may send within `seconds`: keep-alive and gossip.
#[must_use]
pub fn frames_at_rest(world: &World, seconds: u64) -> u64 {
    let links: usize = world.live().map(|node| world.network().links(node).count()).sum();
    let nodes = world.live().count() as u64;
    // A ping and a pong every 20 s on each connection, seen from both ends, and as many again;
    // each round of gossip (10 s) a digest to a few peers, and as many answers.
    let pings = links as u64 * (seconds / 10 + 1);
    let gossip = nodes * (seconds / 10 + 1) * 8;
    let application = world.on_trial().map_or(0, |it| it.frames_at_rest(nodes, seconds));
    pings + gossip + broadcast::frames_at_rest(world, seconds) + application
}

fn live(world: &World, number: usize) -> Result<&Node, String> {
    let node = world.hosts()[number].node();
    node.ok_or_else(|| format!("node {number} is dead"))
}

const fn violation(world: &World, kind: ViolationKind, node: usize, text: String) -> Violation {
    Violation::new(kind, world.now(), Some(node), text)
}
