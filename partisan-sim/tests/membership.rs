//! The membership as a bus of events, in the simulator: what handlers hear last is what holds.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use partisan_proto::behaviour::EventManagerProcess;
use partisan_proto::behaviour::gen_event::EventManager;
use partisan_proto::behaviour::membership::{Membership, OnMembers, Update};
use partisan_proto::process::SpawnOptions;
use partisan_proto::{Duration, NodeId};
use partisan_sim::check::{self, mesh};
use partisan_sim::{World, WorldOptions};

const NODES: usize = 4;

/// What the handler of a node heard: the versions, and the members of the last.
type Heard = Arc<Mutex<(Vec<u64>, BTreeSet<NodeId>)>>;

/// A manager with a handler that writes down what it hears, behind one that always panics.
fn bus(heard: &Heard) -> EventManager<Membership> {
    let heard = Arc::clone(heard);
    EventManager::new()
        .kind("writes", move |_, _| {
            let heard = Arc::clone(&heard);
            Ok(OnMembers::new(move |update: &Update| {
                let mut heard = heard.lock().unwrap();
                heard.0.push(update.version);
                heard.1 = update.members.iter().map(|member| member.name().id()).collect();
            }))
        })
        .kind("panics", |_, _| Ok(OnMembers::new(|_| panic!("as it always does"))))
        .with("writes".into(), "")
        .with("panics".into(), "")
}

#[test]
fn handlers_hear_of_every_membership_that_lasts_and_of_each_once() {
    for seed in 0..30 {
        let heard: Vec<Heard> = (0..NODES).map(|_| Heard::default()).collect();
        let mut world = World::new(WorldOptions { seed, ..WorldOptions::default() });
        check::watch(&mut world);
        let of = heard.clone();
        world.set_program(Rc::new(move |node, _| {
            let manager = EventManagerProcess::new(bus(&of[node]));
            vec![(Box::new(manager), SpawnOptions::default())]
        }));
        world.add_nodes(NODES);
        (1..NODES).for_each(|node| _ = world.join(node, 0));
        let whole = |count: usize| {
            move |world: &World| mesh::problem(world, &[(0..count).collect()]).is_none()
        };
        assert!(world.run_until(whole(NODES), Duration::from_secs(30)), "seed {seed}");
        // All managers have begun by then: a cluster forms within the time that a process may take.
        world.run_for(Duration::from_secs(1));
        world.leave(NODES - 1);
        world.run_for(Duration::from_secs(30));
        for (node, heard) in heard.iter().enumerate() {
            let (versions, last) = &*heard.lock().unwrap();
            let members: BTreeSet<NodeId> = world.hosts()[node]
                .node()
                .map(|node| node.members().iter().map(|member| member.spec.name().id()).collect())
                .unwrap();
            assert_eq!(last, &members, "seed {seed}, node {node}");
            assert!(versions.len() > 1 && versions.is_sorted_by(|a, b| a < b), "{versions:?}");
        }
        assert_eq!(world.violations(), [], "seed {seed}");
    }
}
