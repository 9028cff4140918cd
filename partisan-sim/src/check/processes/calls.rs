//! Every call has exactly one outcome, and it is its own.

use std::collections::BTreeMap;

use bytes::Bytes;
use partisan_proto::call::{CallError, Failure, Server};
use partisan_proto::process::RequestId;
use partisan_proto::{
    Action, Duration, Event, ExitReason, Instant, ProcessAct, Serial, Signal, Target,
};

use super::{Truth, id, local};
use crate::check::{Checker, Violation, ViolationKind};
use crate::workload::deed::answer_to;
use crate::world::{Step, World};

/// How much later than its timeout a call may end: while a node's time stands still it is told of
/// nothing, so that this is asked at rest alone.
const GRACE: Duration = Duration::from_secs(1);

/// Each call ends at most once at any step, and exactly once in the end: with the answer to its own
/// question, or an error that is true; after it was given up, not at all.
#[derive(Debug)]
pub struct Outcomes {
    truth: Truth,
    open: BTreeMap<(usize, RequestId), Asked>,
}

#[derive(Debug)]
struct Asked {
    server: Server,
    payload: Bytes,
    at: Instant,
    timeout: Option<Duration>,
    step: u64,
}

impl Outcomes {
    /// One that asks this for the truth.
    #[must_use]
    pub const fn new(truth: Truth) -> Self {
        Self { truth, open: BTreeMap::new() }
    }

    fn acted(&mut self, step: &Step<'_>, world: &World, owner: Serial, act: &ProcessAct) {
        match act {
            ProcessAct::Ended(_) => self.forget(step.node, owner),
            ProcessAct::Abandon { number } => {
                self.open.remove(&(step.node, RequestId { owner, number: *number }));
            }
            ProcessAct::Call { number, server, payload, timeout, .. } => {
                let known = self.truth.known();
                if !known.lives(local(world, step.node, owner)) {
                    return;
                }
                let asked = Asked {
                    server: server.clone(),
                    payload: payload.clone(),
                    at: step.now,
                    timeout: *timeout,
                    step: known.step(),
                };
                self.open.insert((step.node, RequestId { owner, number: *number }), asked);
            }
            _ => {}
        }
    }

    fn forget(&mut self, node: usize, owner: Serial) {
        self.open.retain(|(of, request), _| *of != node || request.owner != owner);
    }

    /// Takes in an outcome; says what is wrong with it.
    fn told(
        &mut self,
        step: &Step<'_>,
        world: &World,
        request: RequestId,
        result: &Result<Bytes, CallError>,
    ) -> Option<String> {
        let Some(asked) = self.open.remove(&(step.node, request)) else {
            return Some(format!("{request:?} is told {result:?}, and does not wait for it"));
        };
        let remote = asked.server.node() != id(world, step.node);
        let known = self.truth.known();
        let ended = |reason: &ExitReason| match &asked.server {
            Server::Process(target) => known.ended_for(target, reason),
            Server::Function(..) => false,
        };
        let fits = match (result, &asked.server) {
            (Ok(answer), _) => *answer == answer_to(&asked.payload),
            (Err(CallError::Timeout), _) => {
                asked.timeout.is_some_and(|timeout| step.now >= asked.at + timeout)
            }
            (Err(CallError::NoConnection), server) => {
                remote && known.broke_since(step.node, server.node(), asked.step)
            }
            (Err(CallError::NotSent(_)), _) => remote && asked.step == known.step(),
            (Err(CallError::CallingItself), Server::Process(target)) => match target {
                Target::Process(process) => *process == local(world, step.node, request.owner),
                Target::Name(..) => !remote,
            },
            (Err(CallError::Failed(Failure::NoProcess)), Server::Process(target)) => {
                known.was_nobody_since(target, asked.step)
            }
            (Err(CallError::Failed(Failure::Overloaded)), server) => {
                known.was_full_since(server.node(), asked.step)
            }
            (Err(CallError::Failed(Failure::Exited(reason))), _) => ended(reason),
            _ => false,
        };
        (!fits).then(|| format!("{request:?} is told {result:?}, which is not true of {asked:?}"))
    }
}

impl Checker for Outcomes {
    fn on_step(&mut self, step: &Step<'_>, world: &World, found: &mut Vec<Violation>) {
        if let Some(Event::Process { process, act }) = step.told {
            self.acted(step, world, *process, act);
        }
        for action in step.actions {
            match action {
                Action::Signal { process, signal: Signal::Answer { number, result } } => {
                    let request = RequestId { owner: *process, number: *number };
                    // One that ended in the same step does not hear it.
                    if !self.truth.known().lives(local(world, step.node, *process)) {
                        continue;
                    }
                    if let Some(text) = self.told(step, world, request, result) {
                        let kind = ViolationKind::Call;
                        found.push(Violation::new(kind, step.now, Some(step.node), text));
                    }
                }
                Action::End { process, .. } => self.forget(step.node, *process),
                _ => {}
            }
        }
    }

    fn on_crash(&mut self, _: &World, node: usize) {
        self.open.retain(|(of, _), _| *of != node);
    }

    fn at_rest(&mut self, world: &World, found: &mut Vec<Violation>) {
        let known = self.truth.known();
        for ((node, request), asked) in &self.open {
            let late = asked.timeout.is_some_and(|span| world.now() > asked.at + span + GRACE);
            let lost = !known.is_up(world, *node, asked.server.node());
            let dead = matches!(&asked.server, Server::Process(target) if known.is_nobody(target));
            if late || lost || dead {
                let text = format!("{request:?} has no outcome: {asked:?}");
                let kind = ViolationKind::Untold;
                found.push(Violation::new(kind, world.now(), Some(*node), text));
            }
        }
    }
}
