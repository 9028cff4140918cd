//! Every monitor ends exactly once, for a reason that is true.

use std::collections::{BTreeMap, BTreeSet};

use partisan_proto::process::{Input, MonitorId};
use partisan_proto::{
    Action, Command, Event, ExitReason, NodeId, ProcessAct, ProcessId, Serial, Signal, Target,
    Ticket,
};

use super::{Known, Truth, id, local};
use crate::check::{Checker, Violation, ViolationKind};
use crate::world::{Step, World};

/// Each monitor ends at most once at any step and exactly once in the end, with a reason that is
/// true; of one that its owner ended nothing is heard any more.
#[derive(Debug)]
pub struct Monitors {
    truth: Truth,
    open: BTreeMap<(usize, MonitorId), Watch>,
    spawning: BTreeMap<(usize, Ticket), (MonitorId, ProcessId)>,
    /// What is not to be heard of, by owner and number.
    ended: BTreeSet<(ProcessId, u64)>,
}

#[derive(Debug)]
struct Watch {
    whom: Whom,
    since: u64,
    /// As the owner's node saw it at the beginning.
    connected: bool,
    /// Whether the process was dead at the beginning.
    dead: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Whom {
    Process(Target),
    Node(NodeId),
}

impl Whom {
    const fn node(&self) -> NodeId {
        match self {
            Self::Process(target) => target.node(),
            Self::Node(node) => *node,
        }
    }
}

impl Monitors {
    /// One that asks this for the truth.
    #[must_use]
    pub fn new(truth: Truth) -> Self {
        let (open, spawning, ended) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { truth, open, spawning, ended }
    }

    fn begin(&mut self, world: &World, node: usize, monitor: MonitorId, whom: Whom) {
        let known = self.truth.known();
        let dead = matches!(&whom, Whom::Process(Target::Process(process))
            if !known.lives(*process));
        let connected = known.is_up(world, node, whom.node());
        let since = known.step();
        self.open.entry((node, monitor)).or_insert(Watch { whom, since, connected, dead });
    }

    /// A process did something.
    fn acted(&mut self, world: &World, node: usize, owner: Serial, act: &ProcessAct) {
        let process = local(world, node, owner);
        if let ProcessAct::Ended(_) = act {
            return self.forget(node, owner);
        }
        if !self.truth.known().lives(process) {
            return;
        }
        match act {
            ProcessAct::Monitor { number, target, .. } => {
                let monitor = MonitorId { owner, number: *number };
                self.begin(world, node, monitor, Whom::Process(target.clone()));
            }
            ProcessAct::MonitorNode { number, node: whom } => {
                let monitor = MonitorId { owner, number: *number };
                self.begin(world, node, monitor, Whom::Node(*whom));
            }
            ProcessAct::Demonitor { number }
            | ProcessAct::Abandon { number }
            | ProcessAct::CancelTimer { number } => {
                self.open.remove(&(node, MonitorId { owner, number: *number }));
                self.ended.insert((process, *number));
            }
            _ => {}
        }
    }

    /// Whether anybody hears what a process is told.
    fn hears(&self, world: &World, node: usize, process: Serial) -> bool {
        self.truth.known().lives(local(world, node, process))
    }

    fn forget(&mut self, node: usize, owner: Serial) {
        self.open.retain(|(of, monitor), _| *of != node || monitor.owner != owner);
    }

    /// Takes in news of a monitor; says what is wrong with it.
    fn told(
        &mut self,
        world: &World,
        node: usize,
        owner: Serial,
        signal: &Signal,
    ) -> Option<String> {
        let (number, whom) = match signal {
            Signal::Down { number, target, .. } => (*number, Whom::Process(target.clone())),
            Signal::NodeLost { number, node, .. } => (*number, Whom::Node(*node)),
            _ => return None,
        };
        let Some(watch) = self.open.remove(&(node, MonitorId { owner, number })) else {
            return Some(format!("{owner:?} is told {signal:?}, which it does not watch any more"));
        };
        if watch.whom != whom {
            return Some(format!("{owner:?} is told {signal:?}, and watched {:?}", watch.whom));
        }
        let known = self.truth.known();
        let fits = match signal {
            Signal::Down { target, reason, .. } => {
                watch.allows(world, node, &known, target, reason)
            }
            _ => watch.lost(world, node, &known),
        };
        (!fits).then(|| format!("{owner:?} is told {signal:?}, which is not true of {watch:?}"))
    }
}

impl Watch {
    /// Whether the session may be said to be lost.
    fn lost(&self, world: &World, node: usize, known: &Known) -> bool {
        let peer = self.whom.node();
        let cut = !self.connected || known.lost_since(node, peer, self.since);
        peer != id(world, node) && cut
    }

    fn allows(
        &self,
        world: &World,
        node: usize,
        known: &Known,
        target: &Target,
        reason: &ExitReason,
    ) -> bool {
        let own = target.node() == id(world, node);
        let dead = match target {
            Target::Process(process) => self.dead || !own && !known.lives(*process),
            Target::Name(..) => known.was_nobody_since(target, self.since),
        };
        let nobody = *reason == ExitReason::NoProcess && dead;
        let lost = *reason == ExitReason::NoConnection && self.lost(world, node, known);
        nobody || lost || !self.dead && known.ended_for(target, reason)
    }
}

impl Checker for Monitors {
    fn on_step(&mut self, step: &Step<'_>, world: &World, found: &mut Vec<Violation>) {
        match step.told {
            Some(Event::Process { process, act }) => self.acted(world, step.node, *process, act),
            Some(Event::Command { ticket, command: Command::Spawn { process, options } }) => {
                if let Some(monitor) = options.monitor {
                    let child = local(world, step.node, *process);
                    self.spawning.insert((step.node, *ticket), (monitor, child));
                }
            }
            _ => {}
        }
        for action in step.actions {
            match action {
                Action::Reply { ticket, result } => {
                    if let Some((monitor, child)) = self.spawning.remove(&(step.node, *ticket))
                        && result.is_ok()
                        && self.truth.known().lives(local(world, step.node, monitor.owner))
                    {
                        self.begin(world, step.node, monitor, Whom::Process(child.into()));
                    }
                }
                Action::Signal { process, signal } if self.hears(world, step.node, *process) => {
                    if let Some(text) = self.told(world, step.node, *process, signal) {
                        let kind = ViolationKind::Monitor;
                        found.push(Violation::new(kind, step.now, Some(step.node), text));
                    }
                }
                Action::End { process, .. } => self.forget(step.node, *process),
                _ => {}
            }
        }
    }

    fn on_input(
        &mut self,
        world: &World,
        node: usize,
        (process, input): (ProcessId, &Input),
        found: &mut Vec<Violation>,
    ) {
        let Input::Signal(
            signal @ (Signal::Down { number, .. }
            | Signal::NodeLost { number, .. }
            | Signal::Answer { number, .. }
            | Signal::Timer { number, .. }),
        ) = input
        else {
            return;
        };
        if self.ended.contains(&(process, *number)) {
            let text = format!("{process:?} hears {signal:?}, which it did not want any more");
            found.push(Violation::new(ViolationKind::Monitor, world.now(), Some(node), text));
        }
    }

    fn on_crash(&mut self, _: &World, node: usize) {
        self.open.retain(|(of, _), _| *of != node);
        self.spawning.retain(|(of, _), _| *of != node);
    }

    fn at_rest(&mut self, world: &World, found: &mut Vec<Violation>) {
        let known = self.truth.known();
        for ((node, monitor), watch) in &self.open {
            let dead = matches!(&watch.whom, Whom::Process(target) if known.is_nobody(target));
            if dead || !known.is_up(world, *node, watch.whom.node()) {
                let text = format!("{monitor:?} was never told of {:?}", watch.whom);
                let kind = ViolationKind::Untold;
                found.push(Violation::new(kind, world.now(), Some(*node), text));
            }
        }
    }
}
