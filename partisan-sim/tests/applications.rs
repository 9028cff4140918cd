//! The applications on trial: a few seeds with all faults are clean, and what is broken on purpose
//! is found by the application's own checker.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use partisan_proto::behaviour::{ServerProcess, ServerRef};
use partisan_proto::wire::{BroadcastMessage, Frame};
use partisan_proto::{Config, Duration};
use partisan_sim::applications::actors::SiloOptions;
use partisan_sim::applications::{Application, actors, chat, kv, process, router, server_of};
use partisan_sim::check::{ViolationKind, mesh};
use partisan_sim::draw::{Label, draw};
use partisan_sim::fault::FaultClass;
use partisan_sim::workload::{Bootstrap, Load, Work};
use partisan_sim::world::node_name;
use partisan_sim::{InFlight, Scenario, Verdict, World, WorldOptions};

/// Runs a few seeds with all faults, each twice.
fn sweep(load: Load) {
    for seed in 0..6 {
        let scenario = Scenario {
            seed,
            nodes: 3 + seed as usize % 3,
            faults: FaultClass::ALL.to_vec(),
            bootstrap: Some(Bootstrap::ALL[seed as usize % 4]),
            load,
            ..Scenario::default()
        };
        let report = scenario.run();
        assert_eq!(report.violations, [], "{}", scenario.command(""));
        assert_eq!(report.hash, scenario.run().hash, "seed {seed} is not one run");
    }
}

/// What is found where users of three nodes use an application for a minute, with this rule.
fn found<A: Application + 'static>(
    application: A,
    rule: impl FnMut(&InFlight<'_>) -> Verdict + 'static,
) -> Vec<ViolationKind> {
    let mut config = Config::default();
    application.configure(&mut config);
    let config = Arc::new(config);
    let mut world = World::new(WorldOptions { seed: 1, config, ..WorldOptions::default() });
    world.run_application(Rc::new(application), 3);
    world.add_nodes(3);
    world.join(1, 0);
    world.join(2, 0);
    let groups = [vec![0, 1, 2]];
    let formed = |world: &World| mesh::problem(world, &groups).is_none();
    assert!(world.run_until(formed, Duration::from_secs(30)));
    world.rule(rule);
    use_it(&mut world);
    if world.violations().is_empty() {
        world.settle_application();
    }
    let mut kinds: Vec<_> = world.violations().iter().map(|violation| violation.kind).collect();
    kinds.dedup();
    kinds
}

/// Lets users of three nodes use the application for a minute.
fn use_it(world: &mut World) {
    for number in 0..300 {
        let dice = draw(1, Label::Work, number, 0);
        Work::Use { node: number as usize % 3, dice }.perform(world);
        world.run_for(Duration::from_millis(200));
    }
}

fn clean(_: &InFlight<'_>) -> Verdict {
    Verdict::Pass
}

/// The same broadcast with another payload.
fn rewritten(message: &BroadcastMessage, payload: Vec<u8>) -> Verdict {
    let message = BroadcastMessage { payload: payload.into(), ..message.clone() };
    Verdict::Rewrite(Box::new(Frame::Broadcast(Arc::new(message))))
}

mod the_store {
    use super::*;

    #[test]
    fn keeps_its_promises_under_all_faults() {
        sweep(Load::Kv);
    }

    #[test]
    fn is_caught_when_a_value_vanishes() {
        assert_eq!(found(kv::Trial::default(), clean), []);
        // A replica that takes what it is told for a deletion.
        let loses = |flying: &InFlight<'_>| match flying.frame {
            Frame::Broadcast(message) if flying.to == 2 => {
                let mut update: kv::Update = postcard::from_bytes(&message.payload).unwrap();
                let subject: kv::Subject = postcard::from_bytes(&message.key).unwrap();
                let known = update.object.context().clone();
                update.object.write(subject.dot.writer, &known, None);
                rewritten(message, postcard::to_allocvec(&update).unwrap())
            }
            _ => Verdict::Pass,
        };
        assert_eq!(found(kv::Trial::default(), loses), [ViolationKind::Promise]);
    }

    #[test]
    fn is_caught_when_replicas_do_not_become_equal() {
        let silent = |flying: &InFlight<'_>| match flying.frame {
            Frame::Broadcast(_) | Frame::Request { .. } => Verdict::Drop,
            _ => Verdict::Pass,
        };
        assert_eq!(found(kv::Trial::default(), silent), [ViolationKind::Undelivered]);
    }
}

mod the_router {
    use super::*;

    fn is_event(flying: &InFlight<'_>) -> bool {
        matches!(flying.frame, Frame::App { payload, .. } if payload.windows(5).any(|w| w == b"topic"))
    }

    #[test]
    fn keeps_its_promises_under_all_faults() {
        sweep(Load::Router);
    }

    #[test]
    fn is_caught_when_events_come_twice() {
        assert_eq!(found(router::Trial::default(), clean), []);
        let twice = |flying: &InFlight<'_>| match is_event(flying) {
            true => Verdict::Duplicate,
            false => Verdict::Pass,
        };
        assert_eq!(found(router::Trial::default(), twice), [ViolationKind::Promise]);
    }

    #[test]
    fn is_caught_when_events_do_not_come() {
        let silent = |flying: &InFlight<'_>| match flying.to == 2 && is_event(flying) {
            true => Verdict::Drop,
            false => Verdict::Pass,
        };
        assert_eq!(found(router::Trial::default(), silent), [ViolationKind::Undelivered]);
    }
}

mod the_directory {
    use super::*;

    /// The same payload with other bytes in place of these.
    fn forged(flying: &InFlight<'_>, from: &[u8], to: &[u8]) -> Verdict {
        let Frame::Reply { header, payload } = flying.frame else {
            return Verdict::Pass;
        };
        if payload != from {
            return Verdict::Pass;
        }
        let (header, payload) = (header.clone(), to.to_vec().into());
        Verdict::Rewrite(Box::new(Frame::Reply { header, payload }))
    }

    fn reply(reply: &actors::SiloReply) -> Vec<u8> {
        postcard::to_allocvec(reply).unwrap()
    }

    #[test]
    fn keeps_its_promises_under_all_faults() {
        sweep(Load::Actors);
    }

    #[test]
    fn is_caught_when_an_actor_is_active_twice() {
        assert_eq!(found(actors::Trial::default(), clean), []);
        let mut world = World::new(WorldOptions { seed: 1, ..WorldOptions::default() });
        world.run_application(Rc::<actors::Trial>::default(), 3);
        // Each node counts its own vote alone.
        world.set_program(Rc::new(|node, _| {
            let voters = vec![node_name(node).id()];
            let (lease, idle) = (Duration::from_secs(1), Duration::from_secs(60));
            let silo = actors::Silo::<actors::Counter>::new(SiloOptions { voters, lease, idle });
            vec![process(actors::server_name(), ServerProcess::new(silo))]
        }));
        world.add_nodes(3);
        world.run_for(Duration::from_secs(2));
        use_it(&mut world);
        assert_eq!(world.violations()[0].kind, ViolationKind::Promise);
    }

    /// Asks one virtual actor on each node twice a second; says how many answers came.
    fn ask_everywhere(world: &mut World, seconds: u64) -> usize {
        let count = Rc::new(Cell::new(0));
        let call = actors::SiloCall::Ask("actor".into(), vec![]);
        for _ in 0..seconds * 2 {
            for node in 0..4 {
                let server = server_of(world, node, &actors::server_name());
                let (silo, count): (ServerRef<actors::Silo<actors::Counter>>, _) =
                    (server, count.clone());
                world.ask(node, &silo, &call, Some(Duration::from_secs(2)), move |_, reply| {
                    if let Ok(actors::SiloReply::Answer { .. }) = reply {
                        count.set(count.get() + 1);
                    }
                });
            }
            world.run_for(Duration::from_millis(500));
        }
        count.get()
    }

    #[test]
    fn is_served_again_soon_after_half_of_the_voters_voted_for_each_of_two() {
        let mut world = World::new(WorldOptions { seed: 1, ..WorldOptions::default() });
        world.run_application(Rc::<actors::Trial>::default(), 4);
        world.add_nodes(4);
        (1..4).for_each(|node| _ = world.join(node, 0));
        world.run_for(Duration::from_secs(20));
        world.partition(&[&[0, 1], &[2, 3]]);
        world.run_for(Duration::from_secs(120));
        // Each half has a candidate, and each candidate half of the votes.
        assert_eq!(ask_everywhere(&mut world, 20), 0);
        world.heal();
        let connected = |world: &World| (1..4).all(|node| world.is_connected(0, node));
        let all =
            |world: &World| connected(world) && (2..4).all(|node| world.is_connected(1, node));
        while !all(&world) {
            ask_everywhere(&mut world, 1);
        }
        ask_everywhere(&mut world, 5);
        assert_eq!(ask_everywhere(&mut world, 10), 80);
        assert_eq!(world.violations(), []);
    }

    #[test]
    fn is_caught_when_nobody_is_served() {
        let (yes, no) = (actors::SiloReply::Granted, actors::SiloReply::Denied(None));
        let stubborn = move |flying: &InFlight<'_>| forged(flying, &reply(&yes), &reply(&no));
        assert_eq!(found(actors::Trial::default(), stubborn), [ViolationKind::Undelivered]);
    }
}

mod the_room {
    use super::*;

    #[test]
    fn keeps_its_promises_under_all_faults() {
        sweep(Load::Chat);
    }

    #[test]
    fn is_caught_when_an_answer_is_shown_before_its_question() {
        assert_eq!(found(chat::Trial::default(), clean), []);
        // Lines that say that they follow nothing, and those of node 0 come to node 2 late.
        let hasty = |flying: &InFlight<'_>| match flying.frame {
            Frame::Broadcast(message) => {
                if flying.to == 2 && message.id.origin.node == node_name(0).id() {
                    return Verdict::Drop;
                }
                let mut line: chat::Line = postcard::from_bytes(&message.payload).unwrap();
                line.after = kv::Context::default();
                rewritten(message, postcard::to_allocvec(&line).unwrap())
            }
            _ => Verdict::Pass,
        };
        assert_eq!(found(chat::Trial::default(), hasty), [ViolationKind::Promise]);
    }

    #[test]
    fn is_caught_when_lines_do_not_come() {
        let silent = |flying: &InFlight<'_>| match flying.frame {
            Frame::Broadcast(_) | Frame::Request { .. } => Verdict::Drop,
            _ => Verdict::Pass,
        };
        assert_eq!(found(chat::Trial::default(), silent), [ViolationKind::Undelivered]);
    }
}
