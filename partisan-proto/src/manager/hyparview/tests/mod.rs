//! Rules of the HyParView manager, one by one.

mod checking;
mod counting;
mod exchanging;
mod joining;
mod neighbors;
mod random;
mod removing;
mod repairing;
mod reserving;
mod shuffling;
mod storing;
mod views;

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::*;
use crate::action::Action;
use crate::manager::testing::{Machine, Mesh, Output, instance, me, spec_at};
use crate::time::Duration;
use crate::wire::{
    Bounded, Declined, Introduction, Introductions, NeighborAccept, NeighborDecline, NeighborEnd,
    NeighborRequest, Parting, Wish,
};
use peers::Purpose;

/// The life in which every node is at first.
const LIFE: u64 = 10;

fn config() -> HyParViewConfig {
    HyParViewConfig::default()
}

fn sized(active_size: usize) -> HyParViewConfig {
    HyParViewConfig { active_size, ..config() }
}

/// Node `number` of a test; it listens on the port after its number.
fn spec(number: usize) -> Arc<NodeSpec> {
    spec_at(&format!("n{number:03}"), number as u16 + 1)
}

fn id(number: usize) -> NodeId {
    spec(number).id()
}

fn intro(number: usize, incarnation: u64) -> Introduction {
    Introduction { incarnation: Incarnation(incarnation), spec: spec(number) }
}

fn intros(numbers: impl IntoIterator<Item = usize>) -> Introductions {
    Bounded::from_first(numbers.into_iter().map(|number| intro(number, LIFE)))
}

fn newborn(number: usize, config: HyParViewConfig) -> Machine<HyParView> {
    let me = me(&spec(number), LIFE);
    let mut seed = [7; 32];
    seed[..2].copy_from_slice(&(number as u16).to_be_bytes());
    Machine::new(me.clone(), HyParView::new(&me, config, &seed, None).unwrap())
}

/// Node 0, started, and neighbour of the first so many others.
fn with_neighbors(config: HyParViewConfig, count: usize) -> Machine<HyParView> {
    let mut machine = newborn(0, config);
    machine.start();
    (1..=count).for_each(|number| befriend(&mut machine, number));
    assert_eq!(machine.manager.views().active.len(), count);
    machine
}

fn connect(machine: &mut Machine<HyParView>, number: usize) -> Output {
    machine.up(&spec(number), LIFE, ConnectionId::accepted(number as u64), None)
}

/// Another node becomes a neighbour, as it wishes.
fn befriend(machine: &mut Machine<HyParView>, number: usize) {
    connect(machine, number);
    let output = hear(machine, number, request(Wish::Low, 0));
    assert!(matches!(told(&output, number)[..], [HyParViewMessage::Accept(_), ..]));
}

/// A message of another node arrives.
fn hear(machine: &mut Machine<HyParView>, from: usize, message: HyParViewMessage) -> Output {
    machine.receive(instance(&spec(from), LIFE), ControlMessage::HyParView(message))
}

fn request(wish: Wish, seen: u32) -> HyParViewMessage {
    let exchange = Bounded::default();
    HyParViewMessage::Neighbor(Box::new(NeighborRequest { wish, seen, offer: None, exchange }))
}

fn accept(seen: u32) -> HyParViewMessage {
    HyParViewMessage::Accept(Box::new(NeighborAccept { seen, exchange: Bounded::default() }))
}

fn decline(why: Declined) -> HyParViewMessage {
    HyParViewMessage::Decline(Box::new(NeighborDecline { why, exchange: Bounded::default() }))
}

fn disconnect(why: Parting, hints: Introductions) -> HyParViewMessage {
    HyParViewMessage::Disconnect(Box::new(NeighborEnd { why, hints }))
}

/// What a node was told by a step.
fn told(output: &Output, number: usize) -> Vec<&HyParViewMessage> {
    let to_it = |(to, message): (usize, _)| (to == number).then_some(message);
    messages(output).into_iter().filter_map(to_it).collect()
}

/// All that was sent by a step, and to whom.
fn messages(output: &Output) -> Vec<(usize, &HyParViewMessage)> {
    let mut all = Vec::new();
    for (connection, message) in output.sent() {
        if let ControlMessage::HyParView(message) = message {
            all.push(((connection.as_u64() >> 1) as usize, message));
        }
    }
    all
}

/// Who is dialled by a step.
fn dialled(output: &Output) -> Vec<NodeId> {
    let probe = |change: &Change| match change {
        Change::Probe { instance, .. } => Some(instance.node),
        _ => None,
    };
    output.changes.iter().filter_map(probe).collect()
}

/// Whose sessions are ended by a step.
fn released(output: &Output) -> Vec<NodeId> {
    let release = |change: &Change| match change {
        Change::Release { node, .. } => Some(*node),
        _ => None,
    };
    output.changes.iter().filter_map(release).collect()
}

fn knows(machine: &Machine<HyParView>, number: usize) -> bool {
    machine.manager.views().passive.contains(&id(number))
}

fn is_neighbor(machine: &Machine<HyParView>, number: usize) -> bool {
    machine.manager.views().active.contains(&id(number))
}

/// Several nodes that know nobody.
fn strangers(count: usize, config: &HyParViewConfig) -> Mesh<HyParView> {
    Mesh::new((0..count).map(|number| newborn(number, config.clone())).collect())
}

/// Several nodes that joined the first one, one after the other, and some time later.
fn joined(count: usize, config: &HyParViewConfig) -> Mesh<HyParView> {
    let mut mesh = strangers(count, config);
    for node in 1..count {
        mesh.join(node, 0);
        mesh.pass(Duration::from_millis(50));
    }
    mesh.pass(Duration::from_secs(60));
    mesh
}

/// The neighbours of a node, by number.
fn neighbors_of(mesh: &Mesh<HyParView>, node: usize) -> Vec<usize> {
    let active = mesh.machines[node].manager.views().active;
    (0..mesh.machines.len()).filter(|other| active.contains(&id(*other))).collect()
}

/// What must hold for each node at each moment.
fn assert_sound(mesh: &Mesh<HyParView>) {
    for machine in &mesh.machines {
        let (views, manager) = (machine.manager.views(), &machine.manager);
        assert!(!views.active.contains(&manager.me) && !views.passive.contains(&manager.me));
        assert!(views.active.iter().all(|node| !views.passive.contains(node)));
        assert!(views.active.len() + manager.promised() <= manager.config.active_size);
        assert!(views.passive.len() <= manager.config.passive_size);
        assert!(manager.book.len() <= manager.config.remembered);
        let followed: Vec<NodeId> = machine.neighbors.iter().map(|other| other.node).collect();
        assert_eq!(followed, views.active, "whoever follows the overlay sees the view");
        for peer in manager.peers.iter() {
            let (node, state) = (peer.node, peer.state);
            let ends = [Timer::Peer(node), Timer::EndRound];
            let ends = ends.iter().any(|timer| machine.timers.due(*timer).is_some());
            assert!(state == State::Active || ends, "{state:?} has no deadline");
            let connected = machine.routes.peer(node).is_some();
            assert!(connected || matches!(state, State::Dialled(_)), "{state:?} has no session");
        }
    }
}

/// What must hold besides when nothing has happened for long, for those who are not lost.
fn assert_at_rest(mesh: &Mesh<HyParView>) {
    let live = |node: &usize| !mesh.cut.contains(node);
    for node in (0..mesh.machines.len()).filter(live) {
        let (machine, neighbors) = (&mesh.machines[node], neighbors_of(mesh, node));
        assert_eq!(neighbors.len(), machine.manager.views().active.len());
        for neighbor in &neighbors {
            assert!(live(neighbor), "{node} has {neighbor}, which is lost");
            let back = neighbors_of(mesh, *neighbor).contains(&node);
            assert!(back, "{node} has {neighbor}, and not the other way round");
        }
        let connected = machine.routes.peers().count();
        assert_eq!(connected, neighbors.len(), "{node} is connected to strangers");
        assert_eq!(machine.manager.promised(), 0, "{node} keeps a place for nobody");
    }
}

/// The numbers of those whom a node reaches over the overlay.
fn component(mesh: &Mesh<HyParView>, from: usize) -> Vec<usize> {
    let mut reached = alloc::vec![from];
    let mut place = 0;
    while let Some(node) = reached.get(place).copied() {
        let next = neighbors_of(mesh, node);
        reached.extend(
            next.iter().filter(|other| !reached.contains(other)).copied().collect::<Vec<_>>(),
        );
        place += 1;
    }
    reached.sort_unstable();
    reached
}
