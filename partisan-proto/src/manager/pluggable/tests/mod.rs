//! The pluggable manager with the full strategy, alone and several against each other.

mod alone;
mod joining;
mod leaving;
mod lies;
mod spreading;

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::member_set::{Limits, MemberSet};
use super::*;
use crate::command::Contact;
use crate::manager::testing::{Machine, Mesh, Output, instance, me, spec_at};
use crate::wire::{Bounded, Delta, Digest, Entry, Gossip, Presence};

const SEED: Seed = [7; 32];

pub(super) fn config() -> PluggableConfig {
    PluggableConfig::default()
}

/// The machine of a node called `name`; not started.
fn machine(
    name: &str,
    port: u16,
    incarnation: u64,
    config: PluggableConfig,
    snapshot: Option<Snapshot>,
) -> Machine<Pluggable> {
    let me = me(&spec_at(name, port), incarnation);
    let mut seed = SEED;
    seed[..2].copy_from_slice(&port.to_be_bytes());
    let manager = Pluggable::new(&me, config, &seed, snapshot).unwrap();
    Machine::new(me, manager)
}

/// A node called `m`, started as incarnation 10.
fn started() -> Machine<Pluggable> {
    let mut machine = machine("m", 1, 10, config(), None);
    machine.start();
    // The first news after this goes at once.
    machine.fire(Timer::News);
    machine
}

fn entry_of(spec: &Arc<NodeSpec>, incarnation: u64, joined: u64) -> Entry {
    Entry {
        node: spec.id(),
        removed: Incarnation::NONE,
        presence: Some(Presence {
            incarnation: Incarnation(incarnation),
            joined: Incarnation(joined),
            spec: spec.clone(),
        }),
    }
}

fn removal(node: NodeId, upto: u64) -> Entry {
    Entry { node, removed: Incarnation(upto), presence: None }
}

fn delta(entries: &[Entry]) -> ControlMessage {
    let entries = Bounded::from_first(entries.iter().cloned());
    ControlMessage::Gossip(Gossip::Delta(Delta { entries }))
}

/// The digest of a node that knows of these.
fn digest_of(entries: &[Entry]) -> ControlMessage {
    let spans = crate::time::Duration::from_secs(60);
    let limits = Limits { members: 100, removals: 100, spread: spans, memory: spans };
    let mut set = MemberSet::new(limits);
    for entry in entries {
        set.merge(entry, crate::time::Instant::ZERO).unwrap();
    }
    digest(set.digest())
}

fn digest(digest: Digest) -> ControlMessage {
    ControlMessage::Gossip(Gossip::Digest(digest))
}

/// A member connected to `machine`, by a connection with its port as number.
fn member(machine: &mut Machine<Pluggable>, name: &str, port: u16) -> Arc<NodeSpec> {
    let spec = spec_at(name, port);
    machine.up(&spec, 1, ConnectionId::accepted(u64::from(port)), None);
    machine.receive(instance(&spec, 1), delta(&[entry_of(&spec, 1, 1)]));
    machine.pass(core::time::Duration::from_millis(200));
    spec
}

/// The deltas that went to the peer with this connection.
fn told(output: &Output, connection: ConnectionId) -> Vec<Entry> {
    let sent = output.sent().into_iter();
    let entries = sent.filter_map(|(to, message)| match message {
        ControlMessage::Gossip(Gossip::Delta(delta)) if to == connection => {
            Some(delta.entries.to_vec())
        }
        _ => None,
    });
    entries.flatten().collect()
}

fn digests(output: &Output) -> usize {
    let sent = output.sent().into_iter();
    sent.filter(|(_, m)| matches!(m, ControlMessage::Gossip(Gossip::Digest(_)))).count()
}

/// `count` started nodes called `n0001`, `n0002`..., each alone.
fn nodes(count: usize) -> Mesh<Pluggable> {
    let node = |i: usize| {
        let port = u16::try_from(i + 1).unwrap();
        let name = alloc::format!("n{port:04}");
        machine(&name, port, 10, config(), None)
    };
    Mesh::new((0..count).map(node).collect())
}

/// `count` nodes that have all joined the first.
fn cluster(count: usize) -> Mesh<Pluggable> {
    let mut mesh = nodes(count);
    for i in 1..count {
        mesh.join(i, 0);
        mesh.settle();
    }
    mesh.pass(core::time::Duration::from_secs(1));
    for machine in &mesh.machines {
        assert_eq!(machine.manager.members().len(), count, "{:?}", machine.me);
    }
    mesh
}

fn contact(spec: &NodeSpec) -> Contact {
    Contact::from(spec)
}
