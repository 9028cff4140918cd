//! Pure machines as processes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use partisan_proto::behaviour::{Report, Severity};
use partisan_proto::process::{self, Actor, ActorContext, Effect, MAX_PANICS};
use partisan_proto::{Command, CommandError, ExitReason, ProcessAct, Serial};
use tokio::sync::oneshot;

use super::doings::Doing;
use super::living::begins_alias;
use super::spawn::{live, text_of};
use super::{Input, Process, Spawn, SpawnOptions, Start, reason_of};
use crate::error::NodeError;
use crate::node::Node;
use crate::sending::SendOptions;

/// The target of the events that reports become.
const REPORTS: &str = "partisan::reports";

impl Node {
    /// Spawns a pure machine, which runs unchanged in the simulator.
    ///
    /// # Errors
    /// As [`Node::spawn`].
    pub async fn spawn_actor(
        &self,
        actor: impl Actor + 'static,
    ) -> Result<partisan_proto::ProcessId, NodeError> {
        self.spawn_actor_with(SpawnOptions::default(), actor).await
    }

    /// As [`Node::spawn_actor`], with options.
    ///
    /// # Errors
    /// As [`Node::spawn_with`].
    pub async fn spawn_actor_with(
        &self,
        options: SpawnOptions,
        actor: impl Actor + 'static,
    ) -> Result<partisan_proto::ProcessId, NodeError> {
        self.spawn_with(options, move |process| act(process, Box::new(actor))).await
    }
}

/// What a machine does until its end; boxed, since machines spawn machines.
type Acting = Pin<Box<dyn Future<Output = ExitReason> + Send>>;

/// Runs a machine: one input after the other, its effects after each.
fn act(mut process: Process, mut actor: Box<dyn Actor>) -> Acting {
    Box::pin(async move {
        let mut numbers = 0;
        let mut effects = Vec::new();
        let start = |actor: &mut dyn Actor, cx: &mut ActorContext<'_>| actor.start(cx);
        step(&process, &mut *actor, &mut numbers, &mut effects, start);
        loop {
            for effect in effects.drain(..) {
                if let Some(reason) = perform(&mut process, effect).await {
                    return reason;
                }
            }
            let Some(input) = process.receive().await else { return ExitReason::Shutdown };
            step(&process, &mut *actor, &mut numbers, &mut effects, |actor, cx| {
                actor.handle(cx, pure(input));
            });
        }
    })
}

/// Lets a machine do something, and tells it of its panics, until it does not panic of that.
fn step(
    process: &Process,
    actor: &mut dyn Actor,
    numbers: &mut u64,
    effects: &mut Vec<Effect>,
    run: impl FnOnce(&mut dyn Actor, &mut ActorContext<'_>),
) {
    let shared = &process.node().shared;
    let mut serials = || shared.serial();
    let mut cx = ActorContext::new(shared.clock(), process.id(), numbers, &mut serials, effects);
    let mut outcome = catch_unwind(AssertUnwindSafe(|| run(actor, &mut cx)));
    for panics in 0.. {
        let Err(panic) = outcome else { return };
        let text = text_of(&*panic);
        tracing::error!(process = %process.id(), panic = text, "an actor panicked");
        let reason = ExitReason::panicked(&text);
        if panics == MAX_PANICS {
            return cx.end(reason);
        }
        outcome = catch_unwind(AssertUnwindSafe(|| actor.panicked(&mut cx, reason)));
    }
}

fn pure(input: Input) -> process::Input {
    match input {
        Input::Message(message) => process::Input::Message {
            from: message.from,
            channel: message.channel,
            payload: message.payload,
        },
        Input::Request(request) => {
            process::Input::Request { reply_to: request.reply_to, payload: request.payload }
        }
        Input::Signal(signal) => process::Input::Signal(signal),
    }
}

/// Performs one effect; says why the process ends, if it does.
async fn perform(process: &mut Process, effect: Effect) -> Option<ExitReason> {
    match effect {
        Effect::Act(act) => do_act(process, act).await,
        Effect::Send(send) => {
            let options = SendOptions::from_parts(send.channel, send.key, send.relay);
            let options = options.with_destination(send.destination);
            // Best effort.
            let _ = process.node().send_bytes(send.to, send.payload, &options).await;
        }
        Effect::Broadcast(broadcast) => {
            let _ = process.node().command(Command::Broadcast(broadcast)).await;
        }
        Effect::Register(name) => {
            if let Err(error) = process.register(name).await {
                return Some(reason_of(&error.to_string()));
            }
        }
        Effect::Spawn { serial, actor, options } => spawn(process, serial, actor, options).await,
        Effect::Report(report) => tell(process, &report),
        Effect::End(reason) => return Some(reason),
    }
    None
}

/// Tells the log, and counts.
fn tell(process: &Process, report: &Report) {
    let counters = &process.node().shared.counters;
    let process = process.id();
    let (name, about) = (report.name(), report.about());
    let reason = report.reason().map(tracing::field::display);
    match report.severity() {
        Severity::Progress => {
            tracing::info!(target: REPORTS, %process, report = name, about, "{report}");
        }
        Severity::Warning => {
            counters.warnings.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(target: REPORTS, %process, report = name, about, reason, "{report}");
        }
        Severity::Error => {
            counters.errors.fetch_add(1, Ordering::Relaxed);
            tracing::error!(target: REPORTS, %process, report = name, about, reason, "{report}");
        }
    }
}

async fn do_act(process: &mut Process, act: ProcessAct) {
    let (expected, payload) = match &act {
        ProcessAct::Monitor { number, .. }
        | ProcessAct::MonitorNode { number, .. }
        | ProcessAct::AwaitMembers { number, .. } => (Some(*number), 0),
        ProcessAct::Call { number, payload, .. } => (Some(*number), payload.len()),
        ProcessAct::SendAfter { number, payload, .. }
        | ProcessAct::SendAt { number, payload, .. } => (Some(*number), payload.len()),
        ProcessAct::Reply { result, .. } => (None, result.as_ref().map_or(0, Bytes::len)),
        _ => (None, 0),
    };
    if let Some(number) = act.revokes() {
        process.flush(number);
    }
    let towards = match &act {
        ProcessAct::Monitor { target, .. } | ProcessAct::Exit { target, .. } => Some(target.node()),
        ProcessAct::Link(other) | ProcessAct::Unlink(other) => Some(other.node),
        _ => None,
    };
    if let Some(node) = towards {
        process.node().signal_room(node).await;
    }
    let room = process.doings().room(payload).await;
    if let Some(number) = expected {
        // Once it has ended there is nobody to be told.
        let _ = process.state().expect(number);
    }
    let begins = begins_alias(&act);
    let _ = room.tell(Doing::Act(process.id().serial, Box::new(act)));
    if begins {
        // Whoever is told of it next must find it.
        process.act_is_done().await;
    }
}

async fn spawn(
    process: &Process,
    serial: Serial,
    actor: Box<dyn Actor>,
    begin: process::SpawnOptions,
) {
    let node = process.node();
    let state = node.new_process(serial, &SpawnOptions::default());
    let child = Process::new(node.clone(), Arc::clone(&state));
    let task = Box::pin(live(child, move |child| act(child, actor)));
    if let Some(monitor) = begin.monitor.filter(|monitor| monitor.owner == process.id().serial) {
        let _ = process.state().expect(monitor.number);
    }
    let (reply, spawned) = oneshot::channel();
    let (start, id, options) = (Start::Task(task, reply), state.id, begin.clone());
    if node.tell_spawn(Spawn { state, begin, start }).await.is_ok()
        && let Ok(Err(error)) = spawned.await
    {
        tracing::warn!(parent = %process.id(), %error, "an actor was not spawned");
        let error = refusal(error, &options);
        options.refused(id, error).for_each(|signal| process.state().signal(signal));
    }
}

/// Why a process was not spawned, as a pure machine is told.
fn refusal(error: NodeError, options: &process::SpawnOptions) -> CommandError {
    match (error, &options.name) {
        (NodeError::Command(error), _) => error,
        (NodeError::ReservedName(_), Some(name)) => CommandError::ReservedName(name.clone()),
        // Of a mailbox of the node's.
        (NodeError::Registered(_), Some(name)) => {
            CommandError::NameTaken { name: name.clone(), holder: Serial::NODE }
        }
        _ => CommandError::Stopping,
    }
}
