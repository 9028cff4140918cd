//! What subscribers are told of nodes.

use std::collections::{BTreeMap, BTreeSet};

use partisan_proto::{Action, Event, ExitReason, Instance, NodeId, ProcessAct, Serial, Signal};

use super::{Truth, local};
use crate::check::{Checker, Violation, ViolationKind};
use crate::world::{Step, World};

/// Up and down of nodes alternate for each subscriber, and a node is down after its processes.
#[derive(Debug)]
pub struct NodeNews {
    truth: Truth,
    /// What each subscriber believes.
    believed: BTreeMap<(usize, Serial), BTreeSet<Instance>>,
}

impl NodeNews {
    /// One that asks this for the truth.
    #[must_use]
    pub const fn new(truth: Truth) -> Self {
        Self { truth, believed: BTreeMap::new() }
    }

    fn acted(&mut self, world: &World, node: usize, process: Serial, act: &ProcessAct) {
        match act {
            ProcessAct::MonitorNodes(filter)
                if self.truth.known().lives(local(world, node, process)) =>
            {
                let up = if filter.present { BTreeSet::new() } else { sessions(world, node) };
                self.believed.entry((node, process)).or_insert(up);
            }
            ProcessAct::DemonitorNodes(_) | ProcessAct::Ended(_) => {
                self.believed.remove(&(node, process));
            }
            _ => {}
        }
    }

    /// Takes in what a subscriber is told; says what is wrong with it.
    fn told(&mut self, node: usize, process: Serial, signal: &Signal) -> Option<&'static str> {
        let (Signal::NodeUp { instance, .. } | Signal::NodeDown { instance, .. }) = signal else {
            return None;
        };
        let Some(believed) = self.believed.get_mut(&(node, process)) else {
            return Some("which it did not subscribe to");
        };
        match signal {
            Signal::NodeUp { .. } => (!believed.insert(*instance)).then_some("which was up"),
            _ => (!believed.remove(instance)).then_some("which was not up"),
        }
    }
}

/// The lives of others that a node is connected to.
fn sessions(world: &World, node: usize) -> BTreeSet<Instance> {
    let peers = world.hosts()[node].node().map(|node| node.routes().peers());
    peers.into_iter().flatten().map(|peer| peer.instance).collect()
}

impl Checker for NodeNews {
    fn on_step(&mut self, step: &Step<'_>, world: &World, found: &mut Vec<Violation>) {
        if let Some(Event::Process { process, act }) = step.told {
            self.acted(world, step.node, *process, act);
        }
        let mut down: BTreeSet<(Serial, NodeId)> = BTreeSet::new();
        for action in step.actions {
            match action {
                Action::End { process, .. } => _ = self.believed.remove(&(step.node, *process)),
                Action::Signal { process, signal } => {
                    let mut problem = self.told(step.node, *process, signal);
                    match signal {
                        Signal::NodeDown { instance, .. } => {
                            down.insert((*process, instance.node));
                        }
                        Signal::Down { target, reason: ExitReason::NoConnection, .. }
                            if down.contains(&(*process, target.node())) =>
                        {
                            problem = Some("after the node itself");
                        }
                        _ => {}
                    }
                    if let Some(problem) = problem {
                        let text = format!("{process:?} is told {signal:?}, {problem}");
                        let kind = ViolationKind::Alternation;
                        found.push(Violation::new(kind, step.now, Some(step.node), text));
                    }
                }
                _ => {}
            }
        }
    }

    fn on_crash(&mut self, _: &World, node: usize) {
        self.believed.retain(|(of, _), _| *of != node);
    }

    fn at_rest(&mut self, world: &World, found: &mut Vec<Violation>) {
        for ((node, process), believed) in &self.believed {
            let up = sessions(world, *node);
            if *believed != up {
                let text = format!("{process:?} believes {believed:?}, and up are {up:?}");
                let kind = ViolationKind::Untold;
                found.push(Violation::new(kind, world.now(), Some(*node), text));
            }
        }
    }
}
