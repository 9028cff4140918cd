//! Exit signals come of ends, of `exit/2` or of lost sessions, and of nothing else.

use std::collections::BTreeSet;

use partisan_proto::{Action, Event, ExitReason, ProcessAct, ProcessId, Serial, Signal, Target};

use super::{Truth, id, local, may_be};
use crate::check::{Checker, Violation, ViolationKind};
use crate::world::{Step, World};

/// A process ends from outside, or is told of an exit, only for the end of another, for a signal
/// that was sent to it, or for a session that was lost. A signal to a process of an older run of a
/// node reaches none of a newer one.
#[derive(Debug)]
pub struct Exits {
    truth: Truth,
    /// What processes ended for.
    reasons: BTreeSet<ExitReason>,
    /// Who sent whom a signal for what.
    sent: BTreeSet<(ExitReason, Target, ProcessId)>,
}

impl Exits {
    /// One that asks this for the truth.
    #[must_use]
    pub const fn new(truth: Truth) -> Self {
        Self { truth, reasons: BTreeSet::new(), sent: BTreeSet::new() }
    }

    fn was_sent(&self, to: ProcessId, reason: &ExitReason, from: Option<ProcessId>) -> bool {
        self.sent.iter().any(|(why, target, by)| {
            why == reason && may_be(target, to) && from.is_none_or(|from| from == *by)
        })
    }

    /// Whether a process may be told that another's exit concerns it.
    fn allows(&self, world: &World, node: usize, told: Exit<'_>) -> bool {
        let Exit { to, from, reason } = told;
        let known = self.truth.known();
        let nobody = *reason == ExitReason::NoProcess && !known.lives(from);
        let lost = *reason == ExitReason::NoConnection
            && from.node != id(world, node)
            && (!known.is_up(world, node, from.node) || known.lost_since(node, from.node, 0));
        let ended = known.ended_for(&from.into(), reason);
        nobody || lost || ended || self.was_sent(to, reason, Some(from))
    }

    /// Whether a process may be ended for this.
    fn may_end(&self, to: ProcessId, reason: &ExitReason) -> bool {
        let killed = *reason == ExitReason::Killed && self.was_sent(to, &ExitReason::Kill, None);
        // Linked to somebody who is not there, or out of reach.
        let general = matches!(reason, ExitReason::NoProcess | ExitReason::NoConnection);
        killed || general || self.reasons.contains(reason) || self.was_sent(to, reason, None)
    }
}

struct Exit<'a> {
    to: ProcessId,
    from: ProcessId,
    reason: &'a ExitReason,
}

impl Checker for Exits {
    fn on_step(&mut self, step: &Step<'_>, world: &World, found: &mut Vec<Violation>) {
        let here = |serial: Serial| local(world, step.node, serial);
        if let Some(Event::Process { process, act }) = step.told {
            match &**act {
                ProcessAct::Ended(reason) => _ = self.reasons.insert(reason.clone()),
                ProcessAct::Exit { target, reason } => {
                    self.sent.insert((reason.clone(), target.clone(), here(*process)));
                }
                _ => {}
            }
        }
        for action in step.actions {
            let (good, process) = match action {
                Action::Signal { process, signal: Signal::Exit { from, reason } } => {
                    let told = Exit { to: here(*process), from: *from, reason };
                    (self.allows(world, step.node, told), process)
                }
                Action::End { process, reason } => {
                    let good = self.may_end(here(*process), reason);
                    self.reasons.insert(reason.clone());
                    (good, process)
                }
                _ => continue,
            };
            if !good {
                let text = format!("{:?}: {action:?} comes of nothing", here(*process));
                found.push(Violation::new(ViolationKind::Exit, step.now, Some(step.node), text));
            }
        }
    }
}
