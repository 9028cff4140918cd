//! Processes, calls and messages that must arrive: what must hold at each step of the
//! [load](crate::workload::processes), and what must have come true at rest.
//!
//! The checkers see all nodes at once. What a process truly ended for, and which sessions were
//! lost, is written down in a [`Truth`] that they share; it must watch first.

mod acknowledged;
mod calls;
mod causal;
mod exits;
mod fifo;
mod lanes;
pub mod links;
mod monitors;
mod names;
mod nodes;
mod ordered;
mod references;

pub use acknowledged::Acknowledged;
pub use calls::Outcomes;
pub use causal::Causality;
pub use exits::Exits;
pub use fifo::Fifo;
pub use monitors::Monitors;
pub use nodes::NodeNews;
pub use ordered::Ordered;
pub use references::References;

use std::cell::{Ref, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use partisan_proto::{
    Action, Command, Event, ExitReason, Incarnation, NodeId, Notification, ProcessAct, ProcessId,
    Serial, Signal, Target, Ticket,
};

use self::lanes::Lanes;
use self::names::Names;
use super::{Checker, Violation};
use crate::world::{Step, World};

/// All checkers of processes; `truth` learns what happens.
pub fn watch(world: &mut World, truth: &Truth) {
    world.check(truth.clone());
    world.check(Monitors::new(truth.clone()));
    world.check(Exits::new(truth.clone()));
    world.check(Outcomes::new(truth.clone()));
    world.check(NodeNews::new(truth.clone()));
    world.check(References::default());
    world.check(Fifo::default());
    world.check(Acknowledged::default());
    world.check(Causality::default());
    world.check(Ordered::default());
}

/// Which processes ever lived, how they ended, and which sessions there are: clones share it.
#[derive(Clone, Debug, Default)]
pub struct Truth(Rc<RefCell<Known>>);

/// What a [`Truth`] knows.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// How many steps there were.
    step: u64,
    lives: BTreeMap<ProcessId, Life>,
    spawning: BTreeMap<(usize, Ticket), ProcessId>,
    /// When each was told of the last one's end.
    lost: BTreeMap<(usize, NodeId), u64>,
    names: Names,
    lanes: Lanes,
    /// When each served as many requests as it may, last.
    full: BTreeMap<NodeId, u64>,
    /// Who was told of whose exit.
    heard: BTreeSet<(ProcessId, ProcessId)>,
}

/// What is known of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Life {
    Lives,
    Ended(ExitReason),
    /// Its node died.
    Lost,
}

impl Truth {
    /// Whether a process was told of another's exit.
    #[must_use]
    pub fn heard_of_exit(&self, process: ProcessId, of: ProcessId) -> bool {
        self.0.borrow().heard.contains(&(process, of))
    }

    pub(super) fn known(&self) -> Ref<'_, Known> {
        self.0.borrow()
    }
}

impl Known {
    pub(super) const fn step(&self) -> u64 {
        self.step
    }

    pub(super) fn lives(&self, process: ProcessId) -> bool {
        self.lives.get(&process) == Some(&Life::Lives)
    }

    /// Whether a target is of a process that ended for this reason.
    pub(super) fn ended_for(&self, target: &Target, reason: &ExitReason) -> bool {
        let ended = |life: &Life| matches!(life, Life::Ended(why) if why == reason);
        match target {
            Target::Process(process) => self.lives.get(process).is_some_and(ended),
            Target::Name(node, name) => {
                let mut holders = self.names.holders(*node, name);
                holders.any(|process| self.lives.get(&process).is_some_and(ended))
            }
        }
    }

    /// Whether a target stood for nobody at some time since that step.
    pub(super) fn was_nobody_since(&self, target: &Target, step: u64) -> bool {
        match target {
            Target::Process(process) => !self.lives(*process),
            Target::Name(node, name) => self.names.was_free_since(*node, name, step),
        }
    }

    /// Whether a target stands for nobody now.
    pub(super) fn is_nobody(&self, target: &Target) -> bool {
        match target {
            Target::Process(process) => !self.lives(*process),
            Target::Name(node, name) => self.names.is_free(*node, name),
        }
    }

    fn of(&self, node: NodeId) -> impl Iterator<Item = (&ProcessId, &Life)> {
        let first = ProcessId { node, birth: Incarnation::NONE, serial: Serial(0) };
        self.lives.range(first..).take_while(move |(process, _)| process.node == node)
    }

    /// Whether a node is connected to another, or is the same; a session whose end is awaited is none.
    pub(super) fn is_up(&self, world: &World, node: usize, peer: NodeId) -> bool {
        let here = world.hosts()[node].node();
        id(world, node) == peer || here.is_some_and(|node| node.routes().peer(peer).is_some())
    }

    /// Whether a node was told since that step that its session with another ended.
    pub(super) fn lost_since(&self, node: usize, peer: NodeId, step: u64) -> bool {
        self.lost.get(&(node, peer)).is_some_and(|lost| *lost >= step)
    }

    /// Whether a node lost a connection to another since that step.
    pub(super) fn broke_since(&self, node: usize, peer: NodeId, step: u64) -> bool {
        self.lanes.broke_since(node, peer, step)
    }

    /// Whether a node served as many requests as it may at some time since that step.
    pub(super) fn was_full_since(&self, node: NodeId, step: u64) -> bool {
        self.full.get(&node).is_some_and(|full| *full >= step)
    }

    fn end(&mut self, process: ProcessId, life: Life) {
        self.names.end(process);
        if let Some(known) = self.lives.get_mut(&process)
            && *known == Life::Lives
        {
            *known = life;
        }
    }
}

impl Checker for Truth {
    fn on_step(&mut self, step: &Step<'_>, world: &World, _: &mut Vec<Violation>) {
        let mut known = self.0.borrow_mut();
        known.step += 1;
        let now = known.step;
        known.names.commanded(step, world);
        known.lanes.take(step, world, now);
        match step.told {
            Some(Event::Command { ticket, command: Command::Spawn { process, .. } }) => {
                let process = local(world, step.node, *process);
                known.spawning.insert((step.node, *ticket), process);
            }
            Some(Event::Process { process, act }) => {
                if let ProcessAct::Ended(reason) = &**act {
                    let process = local(world, step.node, *process);
                    known.end(process, Life::Ended(reason.clone()));
                }
            }
            _ => {}
        }
        if let Some(node) = world.hosts()[step.node].node()
            && node.calls().1 >= node.config().calls.max_served
        {
            known.full.insert(id(world, step.node), now);
        }
        for action in step.actions {
            match action {
                Action::Reply { ticket, result } => {
                    known.names.answered((step.node, *ticket), result.is_ok(), now);
                    if let Some(process) = known.spawning.remove(&(step.node, *ticket))
                        && result.is_ok()
                    {
                        known.lives.insert(process, Life::Lives);
                    }
                }
                Action::End { process, reason } => {
                    let process = local(world, step.node, *process);
                    known.end(process, Life::Ended(reason.clone()));
                }
                Action::Signal { process, signal: Signal::Exit { from, .. } } => {
                    known.heard.insert((local(world, step.node, *process), *from));
                }
                Action::Notify(Notification::NodeDown { instance, .. }) => {
                    known.lost.insert((step.node, instance.node), now);
                }
                _ => {}
            }
        }
    }

    fn on_crash(&mut self, world: &World, node: usize) {
        let mut known = self.0.borrow_mut();
        let gone: Vec<ProcessId> = known.of(id(world, node)).map(|(process, _)| *process).collect();
        gone.into_iter().for_each(|process| known.end(process, Life::Lost));
        known.spawning.retain(|(spawner, _), _| *spawner != node);
        known.names.crashed(node);
        known.lanes.crashed(node);
    }
}

fn id(world: &World, node: usize) -> NodeId {
    world.hosts()[node].name().id()
}

/// The process of a node's present run with this number.
fn local(world: &World, node: usize, serial: Serial) -> ProcessId {
    ProcessId { node: id(world, node), birth: world.hosts()[node].rest.birth, serial }
}

/// Whether a target may stand for a process.
fn may_be(target: &Target, process: ProcessId) -> bool {
    match target {
        Target::Process(named) => *named == process,
        Target::Name(node, _) => *node == process.node,
    }
}
