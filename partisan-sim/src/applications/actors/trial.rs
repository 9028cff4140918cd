//! The directory on trial: its users, and the checker of what is promised to them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use partisan_proto::behaviour::{AnswerError, ServerProcess};
use partisan_proto::process::Input;
use partisan_proto::{Duration, ProcessId};

use super::activation::{Grain, Task};
use super::server_name;
use super::silo::{Silo, SiloCall, SiloOptions, SiloReply};
use crate::applications::{Application, ask_all, broken, process, server_of};
use crate::check::{Checker, Violation, ViolationKind, broadcast};
use crate::world::{Step, World, node_name};

/// So few identifiers that users meet.
const IDS: u64 = 8;
/// How long a user waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long votes hold.
const LEASE: Duration = Duration::from_secs(4);
/// How long an activation is kept that nobody asks.
const IDLE: Duration = Duration::from_secs(6);
/// How often users try once all is well; a lease at the most is to be waited for.
const TRIES: usize = 10;

/// A virtual actor that counts how often it is asked.
#[derive(Debug, Default)]
pub struct Counter(u64);

impl Grain for Counter {
    fn activate(_: &str) -> Self {
        Self::default()
    }

    fn handle(&mut self, _: &[u8]) -> Vec<u8> {
        self.0 += 1;
        self.0.to_be_bytes().to_vec()
    }
}

/// The directory on trial.
#[derive(Debug, Default)]
pub struct Trial(RefCell<Answers>);

/// What users heard.
#[derive(Debug, Default)]
struct Answers {
    /// What each activation said, by identifier.
    said: BTreeSet<(String, ProcessId, Vec<u8>)>,
    /// Who answered last for whom, by the node that asked: asked about at rest alone.
    latest: BTreeMap<(String, usize), ProcessId>,
}

fn id(number: u64) -> String {
    format!("actor {}", number % IDS)
}

impl Application for Trial {
    fn install(self: Rc<Self>, world: &mut World, nodes: usize) {
        world.check(OneAtATime::default());
        let voters = (0..nodes).map(|number| node_name(number).id()).collect();
        let options = SiloOptions { voters, lease: LEASE, idle: IDLE };
        world.set_program(Rc::new(move |_, _| {
            let silo = Silo::<Counter>::new(options.clone());
            vec![process(server_name(), ServerProcess::new(silo))]
        }));
    }

    fn act(self: Rc<Self>, world: &mut World, node: usize, dice: u64) {
        let (server, id) = (server_of::<Silo<Counter>>(world, node, &server_name()), id(dice));
        let call = SiloCall::Ask(id.clone(), Vec::new());
        world.ask(node, &server, &call, Some(PATIENCE), move |world, reply| match reply {
            Ok(SiloReply::Answer { activation, answer }) => {
                let mut answers = self.0.borrow_mut();
                answers.latest.insert((id.clone(), node), activation);
                let new = answers.said.insert((id.clone(), activation, answer.clone()));
                drop(answers);
                if !new {
                    broken(world, node, format!("{activation:?} of {id} said {answer:?} twice"));
                }
            }
            Ok(SiloReply::Unavailable) | Err(AnswerError::Call(_)) => {}
            other => broken(world, node, format!("{id} was asked, and answered {other:?}")),
        });
    }

    /// Each asks all for the slots that it serves, each second, for as long as those are used.
    fn frames_at_rest(&self, nodes: u64, _: u64) -> u64 {
        nodes * IDS * 2 * (IDLE + LEASE).as_secs()
    }

    fn settle(self: Rc<Self>, world: &mut World) {
        // Whatever is active now has the time to lose its lease.
        world.run_for(LEASE * 2);
        for part in broadcast::components(world) {
            if part.len() * 2 <= world.hosts().len() || !is_mesh(world, &part) {
                continue;
            }
            let mut problem = None;
            for _ in 0..TRIES {
                problem = self.clone().unreached(world, &part);
                if problem.is_none() || !world.violations().is_empty() {
                    break;
                }
                world.run_for(LEASE);
            }
            if let Some(text) = problem.filter(|_| world.violations().is_empty()) {
                let kind = ViolationKind::Undelivered;
                world.report(Violation::new(kind, world.now(), part.first().copied(), text));
            }
        }
        self.demand_idleness(world);
    }
}

impl Trial {
    /// Has all nodes of a component ask all identifiers; whom some do not reach, or whom they reach
    /// in several places.
    fn unreached(self: Rc<Self>, world: &mut World, part: &[usize]) -> Option<String> {
        self.0.borrow_mut().latest.clear();
        for number in 0..IDS {
            for node in part {
                self.clone().act(world, *node, number);
            }
        }
        world.run_for(PATIENCE + Duration::from_secs(1));
        let answers = self.0.borrow();
        for id in (0..IDS).map(id) {
            let reached = part.iter().map(|node| answers.latest.get(&(id.clone(), *node)));
            let reached: BTreeSet<Option<&ProcessId>> = reached.collect();
            if reached.len() != 1 || reached.contains(&None) {
                return Some(format!("from {part:?} {id} is reached at {reached:?}"));
            }
        }
        None
    }

    /// In the end nobody is active, since nobody asks.
    fn demand_idleness(&self, world: &mut World) {
        world.run_for(IDLE + LEASE * 2);
        let active = ask_all::<Silo<Counter>>(world, &server_name(), &SiloCall::Active, PATIENCE);
        for (node, reply) in active {
            if reply != SiloReply::Active(0) {
                let text = format!("nobody asks, and still it has {reply:?}");
                let kind = ViolationKind::Leak;
                world.report(Violation::new(kind, world.now(), Some(node), text));
            }
        }
    }
}

/// Whether all of them are connected to each other, as silos need it.
fn is_mesh(world: &World, part: &[usize]) -> bool {
    let connected = |node: usize| part.iter().all(|o| *o == node || world.is_connected(node, *o));
    part.iter().all(|node| connected(*node))
}

/// Once an activation has handled a request, none that was active before does.
#[derive(Debug, Default)]
struct OneAtATime {
    /// Who handles requests for whom, and who did before.
    now: BTreeMap<String, ProcessId>,
    before: BTreeSet<(String, ProcessId)>,
}

impl Checker for OneAtATime {
    fn on_step(&mut self, _: &Step<'_>, _: &World, _: &mut Vec<Violation>) {}

    fn on_input(
        &mut self,
        world: &World,
        node: usize,
        (process, input): (ProcessId, &Input),
        found: &mut Vec<Violation>,
    ) {
        let Input::Message { payload, .. } = input else {
            return;
        };
        let Some(task) = Task::read(payload).filter(|task| task.is_due(world.now())) else {
            return;
        };
        let last = self.now.insert(task.id.clone(), process);
        if let Some(last) = last.filter(|last| *last != process) {
            self.before.insert((task.id.clone(), last));
        }
        if self.before.contains(&(task.id.clone(), process)) {
            let text = format!("{process:?} is active as {} again, after {last:?}", task.id);
            let kind = ViolationKind::Promise;
            found.push(Violation::new(kind, world.now(), Some(node), text));
        }
    }
}
