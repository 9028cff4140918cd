//! What holds for HyParView at each step, and what its overlay must look like once everything is
//! healed.

use std::collections::BTreeSet;

use partisan_proto::config::{HyParViewConfig, ManagerConfig};
use partisan_proto::{Node, NodeId, Timer};

use super::{Checker, Violation, ViolationKind, mesh};
use crate::measure::Overlay;
use crate::node_host::NodeHost;
use crate::world::{Step, World};

/// Views are disjoint and within their bounds, hold everybody but the node itself, and neighbours
/// are those of the active view, each with a session; sessions with others have a deadline.
///
/// In clusters of more than `LARGE` nodes this is looked at after every `STRIDE`th step, and of all
/// nodes in the end.
#[derive(Debug, Default)]
pub struct SoundViews {
    steps: u64,
}

/// Clusters of up to so many nodes are looked at after every step.
const LARGE: usize = 300;
/// How many steps go by in larger ones.
const STRIDE: u64 = 16;

impl Checker for SoundViews {
    fn on_step(&mut self, step: &Step<'_>, world: &World, found: &mut Vec<Violation>) {
        self.steps += 1;
        let due = world.hosts().len() <= LARGE || self.steps.is_multiple_of(STRIDE);
        if due && let Some(violation) = judge(world, step.node) {
            found.push(violation);
        }
    }

    fn at_end(&mut self, world: &World, found: &mut Vec<Violation>) {
        found.extend(world.live().filter_map(|node| judge(world, node)));
    }
}

/// What is wrong with a node by itself.
fn judge(world: &World, number: usize) -> Option<Violation> {
    let host = world.hosts().get(number)?;
    let (node, config) = host.node().zip(config_of(host))?;
    let text = unsound(node, config)?;
    Some(Violation::new(ViolationKind::Views, world.now(), Some(number), text))
}

/// The configuration of a node of this manager.
fn config_of(host: &NodeHost) -> Option<&HyParViewConfig> {
    match &host.rest.config.manager {
        ManagerConfig::HyParView(config) => Some(config),
        _ => None,
    }
}

/// What is wrong with the views of a node by itself.
fn unsound(node: &Node, config: &HyParViewConfig) -> Option<String> {
    let (views, me) = (node.views(), node.instance().node);
    if views.active.contains(&me) || views.passive.contains(&me) {
        return Some("is in a view of its own".into());
    }
    if let Some(both) = views.active.iter().find(|node| views.passive.contains(node)) {
        return Some(format!("has {both} in both views"));
    }
    let sizes = (views.active.len(), views.passive.len());
    if sizes.0 > config.active_size || sizes.1 > config.passive_size {
        return Some(format!("has views of {sizes:?}"));
    }
    let neighbors: Vec<NodeId> = node.neighbors().iter().map(|neighbor| neighbor.node).collect();
    if neighbors != views.active {
        return Some(format!("has neighbours {neighbors:?} and the view {:?}", views.active));
    }
    // One that said goodbye is sent nothing more, and its session lasts until it closes it.
    let session = |peer: &NodeId| node.peer(*peer).is_some_and(|info| info.epoch.is_some());
    if let Some(peer) = views.active.iter().find(|peer| !session(peer)) {
        return Some(format!("has {peer} in its active view and no session with it"));
    }
    let stranger = endless(node, &views.active)?;
    Some(format!("is connected to {stranger}, which is no neighbour, without a deadline"))
}

/// A stranger whose session nothing would end: one that X-BOT has a use for ends with the round.
fn endless(node: &Node, active: &[NodeId]) -> Option<NodeId> {
    let mut strangers = node.routes().peers().map(|routes| routes.instance.node);
    let ends = |stranger: NodeId| {
        node.timers().any(|(_, timer)| timer == Timer::Peer(stranger) || timer == Timer::EndRound)
    };
    strangers.find(|stranger| !active.contains(stranger) && !ends(*stranger))
}

/// The parts into which the live nodes fall, each by number; the one of the first live node first.
#[must_use]
pub fn parts(world: &World) -> Vec<BTreeSet<usize>> {
    let overlay = Overlay::of(world);
    let mut parts: Vec<BTreeSet<usize>> = Vec::new();
    for (place, part) in overlay.component_of_each().into_iter().enumerate() {
        let part = part as usize;
        if parts.len() <= part {
            parts.resize(part + 1, BTreeSet::new());
        }
        parts[part].insert(overlay.node(place));
    }
    parts.retain(|part| !part.is_empty());
    parts.sort_by_key(|part| part.first().copied());
    parts
}

/// The first thing that is wrong, if anything is: the nodes fall into as many parts as they should;
/// active views are symmetric, hold the living alone, and are as full as can be; connections are
/// those of the views; nobody remembers who is gone.
#[must_use]
pub fn problem(world: &World, alone: &[usize]) -> Option<Violation> {
    let violation = |kind, node, text| Some(Violation::new(kind, world.now(), node, text));
    let together: BTreeSet<usize> = world.live().filter(|node| !alone.contains(node)).collect();
    let mut expected: Vec<BTreeSet<usize>> = alone.iter().map(|node| [*node].into()).collect();
    expected.push(together.clone());
    expected.retain(|part| !part.is_empty());
    expected.sort();
    let mut found = parts(world);
    found.sort();
    if found != expected {
        let text = match found.len() + expected.len() > 20 {
            true => format!("falls into {} parts", found.len()),
            false => format!("falls into {found:?}; should fall into {expected:?}"),
        };
        return violation(ViolationKind::Membership, None, text);
    }
    if let Some(problem) = world.live().find_map(|node| problem_of(world, node, alone)) {
        return Some(problem);
    }
    let short: Vec<_> = together.iter().filter_map(|node| lacking(world, *node)).collect();
    // Any two that lack a neighbour have each other; among many nodes they may not have met yet.
    let apart = short.iter().enumerate().filter_map(|(place, (one, active))| {
        let other = short[place + 1..].iter().find(|(other, _)| !active.contains(other));
        other.map(|(other, _)| (*one, *other))
    });
    let apart: Vec<(usize, usize)> = apart.collect();
    let (one, other) = *apart.first().filter(|_| apart.len() > together.len() / 100)?;
    let text = format!("nodes {one} and {other} lack neighbours and are none");
    violation(ViolationKind::Membership, Some(one), text)
}

/// The first thing that is wrong with a node by itself once all is healed, if anything is.
#[must_use]
pub fn problem_of(world: &World, node: usize, alone: &[usize]) -> Option<Violation> {
    let violation = |kind, text| Violation::new(kind, world.now(), Some(node), text);
    let host = &world.hosts()[node];
    let (live, config) = host.node().zip(config_of(host))?;
    let views = live.views();
    let (active, passive) = (numbers(world, &views.active), numbers(world, &views.passive));
    if let Some(text) = astray(world, live, &active) {
        return Some(violation(ViolationKind::Membership, text));
    }
    if let Some(gone) = passive.iter().find(|peer| alone.contains(peer)) {
        let text = format!("remembers node {gone}, which is gone");
        return Some(violation(ViolationKind::Membership, text));
    }
    let session = active.iter().find_map(|peer| mesh::session(world, node, *peer).err());
    if let Some(text) = session.or_else(|| mesh::surplus(world, node)) {
        return Some(violation(ViolationKind::Connections, text));
    }
    // X-BOT looks at strangers all the time; that each has a deadline is seen at every step.
    let leak = match config.xbot {
        Some(_) => mesh::overdue(world, node),
        None => mesh::leak(world, node, &active),
    };
    leak.map(|text| violation(ViolationKind::Leak, text))
}

fn numbers(world: &World, nodes: &[NodeId]) -> Vec<usize> {
    nodes.iter().filter_map(|node| world.number(*node)).collect()
}

/// The node and its neighbours, if it has fewer than it may.
fn lacking(world: &World, node: usize) -> Option<(usize, Vec<usize>)> {
    let host = &world.hosts()[node];
    let (live, config) = host.node().zip(config_of(host))?;
    let active = numbers(world, &live.views().active);
    (active.len() < config.active_size).then_some((node, active))
}

/// A neighbour that is dead or another life, or has not this one for a neighbour.
fn astray(world: &World, node: &Node, active: &[usize]) -> Option<String> {
    for neighbor in node.neighbors().iter() {
        let number = world.number(neighbor.node)?;
        let Some(other) = world.hosts()[number].node() else {
            return Some(format!("has node {number} for a neighbour, which is dead"));
        };
        if other.instance() != neighbor {
            return Some(format!("has another life of node {number} for a neighbour"));
        }
        if !other.neighbors().iter().any(|back| back == node.instance()) {
            return Some(format!("has node {number} for a neighbour, but not the other way round"));
        }
    }
    let count = node.neighbors().len();
    (count != active.len()).then(|| format!("has {count} neighbours and a view of {active:?}"))
}

/// The most frames that nodes at rest may send within `seconds`: keep-alive, shuffles, and a search
/// now and then by those who lack neighbours; with X-BOT the looks at candidates and the exchanges
/// that follow.
#[must_use]
pub fn frames_at_rest(world: &World, seconds: u64) -> u64 {
    let walks = world.live().count() as u64 * (seconds / 10 + 1) * 12;
    let short = world.live().filter(|node| {
        let host = &world.hosts()[*node];
        let size = config_of(host).map_or(0, |config| config.active_size);
        host.node().is_some_and(|node| node.neighbors().len() < size)
    });
    // A walk, and some who are asked in vain.
    let searches = short.count() as u64 * (seconds / 20 + 1) * 60;
    let exchanges: u64 = world
        .live()
        .filter_map(|node| config_of(&world.hosts()[node])?.xbot.as_ref())
        // A handshake, a round trip, a question and a goodbye for each; now and then a new link.
        .map(|xbot| 20 * xbot.candidates as u64 * (seconds / xbot.interval.as_secs().max(1) + 1))
        .sum();
    mesh::frames_at_rest(world, seconds) + walks + searches + exchanges
}
