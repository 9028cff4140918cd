//! Links at rest: both sides know of each, and an end reaches who is linked.

use std::collections::BTreeSet;

use partisan_proto::{Node, ProcessId, Serial};

use crate::check::{Violation, ViolationKind};
use crate::world::World;

/// A link that one side alone knows of, if there is one.
#[must_use]
pub fn one_sided(world: &World) -> Option<Violation> {
    let links = all(world);
    let alone = links.iter().find(|(one, other)| !links.contains(&(*other, *one)))?;
    let text = format!("{:?} is linked to {:?}, which is not linked to it", alone.0, alone.1);
    let node = world.number(alone.0.node);
    Some(Violation::new(ViolationKind::Link, world.now(), node, text))
}

/// All links, from each of their ends.
#[must_use]
pub fn all(world: &World) -> BTreeSet<(ProcessId, ProcessId)> {
    let nodes = world.live().filter_map(|number| world.hosts()[number].node());
    let ends = nodes.flat_map(|node| node.processes().map(move |process| (node, process)));
    let links = |(node, process): (&Node, ProcessId)| of(node, process.serial);
    ends.flat_map(links).collect()
}

fn of(node: &Node, serial: Serial) -> Vec<(ProcessId, ProcessId)> {
    let info = node.process(serial);
    let links = info.iter().flat_map(|info| info.links.iter().map(|other| (info.process, *other)));
    links.collect()
}
