//! Supervision trees in the simulator: whatever is killed, the tree is whole in the end.

use std::sync::{Arc, Mutex};

use partisan_proto::behaviour::supervisor::{Shutdown, Strategy};
use partisan_proto::behaviour::{
    CallResult, Caller, ChildSpec, GenServer, Init, Next, Pending, Protocol, ServerProcess,
    ServerRef, Supervisor, SupervisorProcess,
};
use partisan_proto::process::{Actor, ActorContext, Input, SpawnOptions};
use partisan_proto::{Duration, ExitReason, NodeId, ProcessName};
use partisan_sim::check::{self, mesh};
use partisan_sim::draw::{Label, draw};
use partisan_sim::{Restart, World, WorldOptions};

/// The workers; the last three hang under a supervisor of their own.
const WORKERS: [&str; 5] = ["a", "b", "x", "y", "z"];
/// Workers and supervisors.
const TREE: usize = WORKERS.len() + 2;
const NODES: usize = 3;

/// Answers; its starts fail as often as it is told.
#[derive(Debug)]
struct Worker {
    /// How many starts of it fail, of any node's.
    failing: Arc<Mutex<u32>>,
}

impl Protocol for Worker {
    type Call = ();
    type Reply = ();
    type Cast = ();
}

impl GenServer for Worker {
    type Continue = ();

    fn init(&mut self, _: &mut ActorContext<'_>) -> Init<Self> {
        let mut failing = self.failing.lock().unwrap();
        match failing.checked_sub(1) {
            Some(left) => {
                *failing = left;
                Init::stop(ExitReason::SystemLimit)
            }
            None => Init::Run(Next::Wait),
        }
    }

    fn handle_call(&mut self, (): (), _: Caller<()>, _: &mut ActorContext<'_>) -> CallResult<Self> {
        CallResult::reply(())
    }

    fn handle_cast(&mut self, (): (), _: &mut ActorContext<'_>) -> Next<Self> {
        panic!("as it was told")
    }
}

fn name(text: &str) -> ProcessName {
    ProcessName::new(text).unwrap()
}

fn worker(id: &'static str, failing: &Arc<Mutex<u32>>) -> ChildSpec {
    let failing = Arc::clone(failing);
    let make = move || ServerProcess::new(Worker { failing: Arc::clone(&failing) });
    let child = ChildSpec::new(id, make).name(name(id));
    match id {
        "a" => child.shutdown(Shutdown::Kill),
        "y" => child.trap_exit(),
        _ => child,
    }
}

fn tree(inner: Strategy, failing: &Arc<Mutex<u32>>) -> Supervisor {
    let often = |strategy| Supervisor::new(strategy).intensity(1_000, Duration::from_secs(1));
    let below = WORKERS[2..].iter().fold(often(inner), |it, id| it.child(worker(id, failing)));
    let below = ChildSpec::new("below", move || SupervisorProcess::new(below.clone()));
    let below = below.supervisor().name(name("below"));
    let top = WORKERS[..2]
        .iter()
        .fold(often(Strategy::OneForOne), |it, id| it.child(worker(id, failing)));
    top.child(below)
}

/// Kills, or has panic, whom it is told.
#[derive(Debug)]
struct Monkey(NodeId, &'static str, bool);

impl Actor for Monkey {
    fn start(&mut self, cx: &mut ActorContext<'_>) {
        let Self(node, whom, panics) = *self;
        match panics && whom != "below" {
            true => ServerRef::<Worker>::named(node, name(whom)).cast(cx, &()).unwrap(),
            false => cx.exit((node, name(whom)), ExitReason::Kill),
        }
        cx.end(ExitReason::Normal);
    }

    fn handle(&mut self, _: &mut ActorContext<'_>, _: Input) {}
}

/// Asks all workers of a node once, and counts the answers.
#[derive(Debug)]
struct Survey {
    node: NodeId,
    asked: Vec<Pending<()>>,
    answers: Arc<Mutex<usize>>,
}

impl Actor for Survey {
    fn start(&mut self, cx: &mut ActorContext<'_>) {
        for id in WORKERS {
            let worker = ServerRef::<Worker>::named(self.node, name(id));
            self.asked.push(worker.call(cx, &(), Some(Duration::from_secs(10))).unwrap());
        }
    }

    fn handle(&mut self, cx: &mut ActorContext<'_>, input: Input) {
        let Input::Signal(signal) = input else { return };
        let answers = &self.answers;
        self.asked.retain(|pending| match pending.answer(&signal) {
            Some(answer) => {
                *answers.lock().unwrap() += usize::from(answer.is_ok());
                false
            }
            None => true,
        });
        if self.asked.is_empty() {
            cx.end(ExitReason::Normal);
        }
    }
}

fn grove(seed: u64, failing: &Arc<Mutex<u32>>) -> World {
    let mut world = World::new(WorldOptions { seed, ..WorldOptions::default() });
    check::watch(&mut world);
    let strategies = [Strategy::OneForOne, Strategy::OneForAll, Strategy::RestForOne];
    let (inner, failing) = (strategies[(seed % 3) as usize], Arc::clone(failing));
    world.set_program(std::rc::Rc::new(move |_, _| {
        let top = SupervisorProcess::new(tree(inner, &failing));
        let options = SpawnOptions { trap_exit: true, ..SpawnOptions::default() };
        vec![(Box::new(top), options)]
    }));
    world.add_nodes(NODES);
    (1..NODES).for_each(|node| _ = world.join(node, 0));
    let formed = |world: &World| mesh::problem(world, &[(0..NODES).collect()]).is_none();
    assert!(world.run_until(formed, Duration::from_secs(30)), "seed {seed}");
    // All trees have begun by then.
    world.run_for(Duration::from_secs(5));
    world
}

#[test]
fn a_tree_is_whole_again_whatever_was_killed() {
    for seed in 0..300 {
        let failing = Arc::default();
        let mut world = grove(seed, &failing);
        for round in 0..40 {
            let dice = draw(seed, Label::Application, 7, round);
            let (node, whom) = (dice as usize % NODES, dice >> 16);
            let whom = ["a", "b", "x", "y", "z", "below"][whom as usize % 6];
            let target = world.hosts()[node].name().id();
            let from = (dice >> 32) as usize % NODES;
            world.spawn(from, Monkey(target, whom, dice >> 40 & 1 == 0));
            if dice >> 44 & 7 == 0 {
                *failing.lock().unwrap() = (dice >> 48) as u32 % 4;
            }
            if round == 20 {
                // Nobody is above the top, who would try again.
                *failing.lock().unwrap() = 0;
                world.crash(node);
                world.run_for(Duration::from_millis(300));
                world.restart(node, Restart { keep_state: true, new_address: false });
                world.run_for(Duration::from_secs(5));
            }
            world.run_for(Duration::from_millis(dice >> 50 & 511));
        }
        *failing.lock().unwrap() = 0;
        world.run_for(Duration::from_secs(60));
        assert_eq!(world.violations(), [], "seed {seed}");
        for node in 0..NODES {
            let processes = world.processes(node);
            assert_eq!(processes.len(), TREE, "seed {seed}, node {node}: {processes:?}");
            let (answers, id) = (Arc::default(), world.hosts()[node].name().id());
            let survey = Survey { node: id, asked: Vec::new(), answers: Arc::clone(&answers) };
            world.spawn((node + 1) % NODES, survey);
            world.run_for(Duration::from_secs(20));
            assert_eq!(*answers.lock().unwrap(), WORKERS.len(), "seed {seed}, node {node}");
        }
    }
}
