//! Plain messages between two processes arrive in the order of sending, and none twice; without a
//! key on a channel of several lanes in any order, and none twice; on a monotonic channel in order
//! for each destination, as long as the receiver is not started anew.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use partisan_proto::process::{MonitorId, Reference};
use partisan_proto::{Action, Event, ExitReason, NodeId, ProcessAct, ProcessId, Signal, Target};

use crate::check::{Checker, Violation, ViolationKind};
use crate::workload::deed::{Note, Road, Said};
use crate::world::{Step, World};

/// FIFO for each (sender, receiver, channel, key), no duplicates, and news of a process's end keeps
/// its place: nothing that it sent before on that lane comes after it, but what a monotonic channel
/// kept back.
#[derive(Debug, Default)]
pub struct Fifo {
    last: BTreeMap<(ProcessId, NodeId, Road), u64>,
    /// The same of monotonic channels.
    newest: BTreeMap<(ProcessId, Reference, Road), u64>,
    /// By which road the news of each monitor comes.
    watched: BTreeMap<(usize, MonitorId), Road>,
    /// Who was said to have ended, where, by which road.
    ended: BTreeSet<(ProcessId, usize, Road)>,
    /// What came without a key by one of several lanes.
    unordered: BTreeSet<(ProcessId, u64)>,
}

impl Fifo {
    fn told(&mut self, node: usize, monitor: MonitorId, target: &Target, reason: &ExitReason) {
        let Some(road) = self.watched.remove(&(node, monitor)) else {
            return;
        };
        // Otherwise it was not the process's own node that said so in the place of its messages.
        let true_end = !matches!(reason, ExitReason::NoConnection | ExitReason::NoProcess);
        if let Target::Process(process) = target
            && true_end
        {
            self.ended.insert((*process, node, road));
        }
    }

    /// Takes in a message that arrived; says what is wrong with it.
    fn arrived(
        &mut self,
        step: &Step<'_>,
        world: &World,
        note: &Note,
    ) -> Option<(ViolationKind, String)> {
        let config = world.hosts()[step.node].rest.config.clone();
        let channel = partisan_proto::ChannelId(note.road.channel);
        if config.channels.is_monotonic(channel) {
            let last = self.newest.entry((note.from, note.to.clone(), note.road)).or_default();
            return out_of_order(last, note);
        }
        let one = config.channels.options(channel).map(|options| options.parallelism) == Some(1);
        if note.road.key.is_none() && !one {
            let new = self.unordered.insert((note.from, note.number));
            let text = || (ViolationKind::Duplicate, format!("{note:?} arrived twice"));
            return (!new).then(text);
        }
        if self.ended.contains(&(note.from, step.node, note.road)) {
            let text = format!("{note:?} arrived after the news of its sender's end");
            return Some((ViolationKind::Order, text));
        }
        let stream = (note.from, note.to.node(), note.road);
        out_of_order(self.last.entry(stream).or_default(), note)
    }
}

/// What is wrong with a message that came after this number.
fn out_of_order(last: &mut u64, note: &Note) -> Option<(ViolationKind, String)> {
    let before = std::mem::replace(last, note.number.max(*last));
    match note.number.cmp(&before) {
        Ordering::Greater => None,
        Ordering::Equal => Some((ViolationKind::Duplicate, format!("{note:?} arrived twice"))),
        Ordering::Less => {
            Some((ViolationKind::Order, format!("{note:?} arrived behind number {before}")))
        }
    }
}

impl Checker for Fifo {
    fn on_step(&mut self, step: &Step<'_>, world: &World, found: &mut Vec<Violation>) {
        if let Some(Event::Process { process, act }) = step.told
            && let ProcessAct::Monitor { number, lane, .. } = &**act
        {
            let monitor = MonitorId { owner: *process, number: *number };
            let road = Road { channel: lane.channel.0, key: lane.key };
            self.watched.insert((step.node, monitor), road);
        }
        for action in step.actions {
            match action {
                Action::Deliver(delivery) => {
                    let Some(Said::Note(note)) = Said::read(&delivery.payload) else {
                        continue;
                    };
                    if let Some((kind, text)) = self.arrived(step, world, &note) {
                        found.push(Violation::new(kind, step.now, Some(step.node), text));
                    }
                }
                Action::Signal { process, signal: Signal::Down { number, target, reason, .. } } => {
                    let monitor = MonitorId { owner: *process, number: *number };
                    self.told(step.node, monitor, target, reason);
                }
                _ => {}
            }
        }
    }

    fn on_crash(&mut self, world: &World, node: usize) {
        let crashed = super::id(world, node);
        self.newest.retain(|(_, to, _), _| to.node() != crashed);
        self.watched.retain(|(of, _), _| *of != node);
    }
}
