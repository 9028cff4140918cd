//! Runs the processes of nodes: hands them what comes for them, and does what they want done.

use std::panic::{AssertUnwindSafe, catch_unwind};

use partisan_proto::behaviour::{Report, Severity};
use partisan_proto::call::{Failure, Request, Servant};
use partisan_proto::process::{Actor, ActorContext, Effect, Input, MAX_PANICS, SpawnOptions};
use partisan_proto::wire::Destination;
use partisan_proto::{
    Command, CommandError, Delivery, Duration, Event, ExitReason, Incarnation, ProcessAct,
    ProcessId, ProcessName, Serial, Signal, Ticket,
};

use super::{Happening, World};
use crate::draw::{Label, between, draw};
use crate::processes::{Awaited, Function, ProcessTraffic, Program};

/// How long a process takes to look at its next input.
const SWIFT: Duration = Duration::from_millis(2);
/// How long one that has other things to do takes.
const BUSY: Duration = Duration::from_millis(200);

impl World {
    /// Lets every node run this from each of its starts that follows.
    pub fn set_program(&mut self, program: Program) {
        self.program = Some(program);
    }

    /// Lets every node run a function under a name.
    pub fn register_function(&mut self, name: ProcessName, function: Function) {
        self.functions.insert(name, function);
    }

    /// Brings a process to life on a node, if that is alive.
    pub fn spawn(&mut self, node: usize, actor: impl Actor + 'static) -> Option<ProcessId> {
        self.spawn_with(node, Box::new(actor), SpawnOptions::default())
    }

    /// As [`World::spawn`], with options.
    pub fn spawn_with(
        &mut self,
        node: usize,
        actor: Box<dyn Actor>,
        options: SpawnOptions,
    ) -> Option<ProcessId> {
        let birth = self.birth_of(node)?;
        let id = self.hosts[node].rest.name.id();
        let serial = self.hosts[node].rest.processes.get_or_insert_default().serial();
        self.bring_to_life(node, (serial, None), actor, options);
        Some(ProcessId { node: id, birth, serial })
    }

    /// The processes that run on a node, in the order of their numbers.
    #[must_use]
    pub fn processes(&self, node: usize) -> Vec<ProcessId> {
        let Some(birth) = self.birth_of(node) else {
            return Vec::new();
        };
        let id = self.hosts[node].rest.name.id();
        let running = self.hosts[node].rest.processes.iter().flat_map(|all| all.running.iter());
        let living = running.filter(|(_, process)| process.started);
        living.map(|(serial, _)| ProcessId { node: id, birth, serial: *serial }).collect()
    }

    /// What became of what was for processes of a node, since its start.
    #[must_use]
    pub fn process_traffic(&self, node: usize) -> ProcessTraffic {
        let processes = self.hosts[node].rest.processes.as_ref();
        processes.map_or_else(ProcessTraffic::default, |processes| processes.traffic)
    }

    /// In which incarnation the present run of a node was started.
    fn birth_of(&self, node: usize) -> Option<Incarnation> {
        let host = &self.hosts[node];
        host.node.is_some().then_some(host.rest.birth)
    }

    /// A node was started: so is what it runs.
    pub(super) fn start_program(&mut self, number: usize) {
        let Some(program) = self.program.clone() else {
            return;
        };
        for (actor, options) in program(number, self.hosts[number].rest.births) {
            self.spawn_with(number, actor, options);
        }
    }

    fn bring_to_life(
        &mut self,
        number: usize,
        (serial, parent): (Serial, Option<Serial>),
        actor: Box<dyn Actor>,
        options: SpawnOptions,
    ) {
        self.hosts[number].rest.processes.get_or_insert_default().add(serial, actor);
        let awaited = Awaited::Spawn(parent.map(|parent| (parent, options.clone())));
        let command = Command::Spawn { process: serial, options };
        self.command_awaited(number, serial, awaited, command);
    }

    fn command_awaited(&mut self, number: usize, of: Serial, awaited: Awaited, command: Command) {
        let ticket = self.next_ticket();
        if let Some(processes) = &mut self.hosts[number].rest.processes {
            processes.awaited.insert(ticket, (of, awaited));
        }
        self.deliver(number, Event::Command { ticket, command });
    }

    /// A command was answered; a process may depend on that.
    pub(super) fn answered(&mut self, number: usize, ticket: Ticket, error: Option<&CommandError>) {
        let Some(processes) = &mut self.hosts[number].rest.processes else {
            return;
        };
        let Some((serial, awaited)) = processes.awaited.remove(&ticket) else {
            return;
        };
        match (awaited, error) {
            (Awaited::Spawn(parent), Some(error)) => {
                processes.running.remove(&serial);
                return self.tell_refused(number, serial, parent, error);
            }
            (Awaited::Register | Awaited::Spawn(_), None) => {}
            (Awaited::Register, Some(error)) => {
                if let Some(process) = processes.running.get_mut(&serial) {
                    process.condemned = ExitReason::other(error.to_string().as_bytes());
                }
            }
        }
        self.plan_turn(number, serial);
    }

    /// A process that another wanted to bring to life did not come to life.
    fn tell_refused(
        &mut self,
        number: usize,
        serial: Serial,
        parent: Option<(Serial, SpawnOptions)>,
        error: &CommandError,
    ) {
        let (Some(birth), Some((parent, options))) = (self.birth_of(number), parent) else {
            return;
        };
        let process = ProcessId { node: self.hosts[number].rest.name.id(), birth, serial };
        for signal in options.refused(process, error.clone()) {
            self.put(number, parent, Input::Signal(signal));
        }
    }

    /// Plans the next turn of a process that has something to do.
    fn plan_turn(&mut self, number: usize, serial: Serial) {
        let host = &mut self.hosts[number];
        let Some(processes) = &mut host.rest.processes else {
            return;
        };
        let turn = processes.turn();
        let Some(process) = processes.running.get_mut(&serial) else {
            return;
        };
        if host.paused || process.planned || !process.is_due() {
            return;
        }
        process.planned = true;
        let dice = |what| draw(self.options.seed, Label::Process, number as u64 + what, turn);
        let longest = if dice(1 << 40).is_multiple_of(16) { BUSY } else { SWIFT };
        let after = between(dice(0), Duration::from_micros(1), longest);
        let (node, life) = (number as u32, host.rest.births);
        self.queue.push(self.now + after, Happening::Process { node, life, serial: serial.0 });
    }

    /// A node goes on after a pause: so do its processes.
    pub(super) fn plan_turns(&mut self, number: usize) {
        let processes = self.hosts[number].rest.processes.iter();
        let serials: Vec<Serial> = processes.flat_map(|all| all.running.keys().copied()).collect();
        serials.into_iter().for_each(|serial| self.plan_turn(number, serial));
    }

    /// It is a process's turn.
    pub(super) fn take_turn(&mut self, number: usize, life: u32, serial: Serial) {
        let host = &mut self.hosts[number];
        if host.rest.births != life || host.node.is_none() {
            return;
        }
        let Some(process) =
            host.rest.processes.as_mut().and_then(|all| all.running.get_mut(&serial))
        else {
            return;
        };
        process.planned = false;
        if host.paused {
            return;
        }
        if let Some(reason) = process.condemned.take() {
            return self.end_process(number, serial, reason);
        }
        let input = match std::mem::replace(&mut process.started, true) {
            false => None,
            true => match process.take() {
                Some(input) => Some(input),
                None => return,
            },
        };
        self.step_process(number, serial, input);
        self.plan_turn(number, serial);
    }

    /// Hands a process an input, or its start, and does what it wants done.
    fn step_process(&mut self, number: usize, serial: Serial, input: Option<Input>) {
        let Some(birth) = self.birth_of(number) else {
            return;
        };
        let me = ProcessId { node: self.hosts[number].rest.name.id(), birth, serial };
        if let Some(input) = &input {
            self.let_check_input(number, me, input);
        }
        let now = self.now;
        let Some(processes) = &mut self.hosts[number].rest.processes else {
            return;
        };
        let Some(process) = processes.running.get_mut(&serial) else {
            return;
        };
        let (Some(mut actor), mut numbers) = (process.actor.take(), process.numbers) else {
            return;
        };
        let mut effects = Vec::new();
        let mut serials = || processes.serial();
        let mut cx = ActorContext::new(now, me, &mut numbers, &mut serials, &mut effects);
        let outcome = catch_unwind(AssertUnwindSafe(|| match input {
            None => actor.start(&mut cx),
            Some(input) => actor.handle(&mut cx, input),
        }));
        after_panics(&mut *actor, &mut cx, outcome);
        if let Some(process) = processes.running.get_mut(&serial) {
            (process.actor, process.numbers) = (Some(actor), numbers);
        }
        for effect in effects {
            if !self.runs(number, serial) {
                return;
            }
            self.do_effect(number, serial, effect);
        }
    }

    /// Whether a process runs, and is not to end.
    fn runs(&self, number: usize, serial: Serial) -> bool {
        let processes = self.hosts[number].rest.processes.as_ref();
        let process = processes.and_then(|all| all.running.get(&serial));
        process.is_some_and(|process| process.condemned.is_none())
    }

    fn do_effect(&mut self, number: usize, serial: Serial, effect: Effect) {
        match effect {
            Effect::Act(act) => {
                let processes = self.hosts[number].rest.processes.as_mut();
                if let Some(process) = processes.and_then(|all| all.running.get_mut(&serial)) {
                    process.flush(&act);
                }
                self.deliver(number, Event::Process { process: serial, act: act.into() });
            }
            Effect::Send(send) => _ = self.command(number, Command::Send(send)),
            Effect::Broadcast(broadcast) => {
                self.command(number, Command::Broadcast(broadcast));
            }
            Effect::Register(name) => {
                let command = Command::Register { name, process: serial };
                self.command_awaited(number, serial, Awaited::Register, command);
            }
            Effect::Spawn { serial: child, actor, options } => {
                self.bring_to_life(number, (child, Some(serial)), actor, options);
            }
            Effect::Report(report) => self.reported(number, serial, &report),
            Effect::End(reason) => self.end_process(number, serial, reason),
        }
    }

    fn end_process(&mut self, number: usize, serial: Serial, reason: ExitReason) {
        self.process_ended(number, serial);
        let act = ProcessAct::Ended(reason).into();
        self.deliver(number, Event::Process { process: serial, act });
    }

    /// A process is gone.
    pub(super) fn process_ended(&mut self, number: usize, serial: Serial) {
        if let Some(processes) = &mut self.hosts[number].rest.processes {
            processes.running.remove(&serial);
        }
    }

    /// A node tells one of its processes something.
    pub(super) fn signalled(&mut self, number: usize, serial: Serial, signal: Signal) {
        match serial {
            Serial::NODE => self.signalled_itself(number, signal),
            _ => _ = self.put(number, serial, Input::Signal(signal)),
        }
    }

    fn put(&mut self, number: usize, serial: Serial, input: Input) -> bool {
        let processes = self.hosts[number].rest.processes.as_mut();
        let Some(process) = processes.and_then(|all| all.running.get_mut(&serial)) else {
            return true;
        };
        let taken = process.put(input);
        self.plan_turn(number, serial);
        taken
    }

    /// A request came for a process or a function.
    pub(super) fn serve(&mut self, number: usize, request: Request) {
        let Request { reply_to, servant, payload } = request;
        let (serial, after, result) = match servant {
            Servant::Process(serial) => {
                if self.put(number, serial, Input::Request { reply_to, payload }) {
                    return;
                }
                self.count(number, |traffic| traffic.overflowed += 1);
                (serial, Duration::ZERO, Err(Failure::Overloaded))
            }
            Servant::Function(name) => {
                let run = self.functions.get(&name).map(|function| function(&payload));
                let (after, result) = run.unwrap_or((Duration::ZERO, Err(Failure::NoFunction)));
                (Serial::NODE, after, result)
            }
        };
        let act = ProcessAct::Reply { reply_to, result }.into();
        self.application_does(number, Event::Process { process: serial, act }, after);
    }

    /// A message came; `false` when it is for no process, but for the application.
    pub(super) fn delivered_to_process(&mut self, number: usize, delivery: &Delivery) -> bool {
        let host = &self.hosts[number];
        let serial = match &delivery.destination {
            Destination::Inbox => return false,
            Destination::Process(at) => {
                Some(at.serial).filter(|_| self.birth_of(number) == Some(at.birth))
            }
            Destination::Name(_) => {
                let name =
                    delivery.destination.as_name().and_then(|name| ProcessName::new(name).ok());
                name.and_then(|name| host.node.as_deref()?.whereis(&name)).map(|id| id.serial)
            }
        };
        let lives = |serial: &Serial| {
            host.rest.processes.as_ref().is_some_and(|all| all.running.contains_key(serial))
        };
        let Some(serial) = serial.filter(lives) else {
            self.count(number, |traffic| traffic.undeliverable += 1);
            return true;
        };
        let Delivery { from, channel, payload, .. } = delivery;
        let input = Input::Message { from: *from, channel: *channel, payload: payload.clone() };
        match self.put(number, serial, input) {
            true => self.count(number, |traffic| traffic.delivered += 1),
            false => self.count(number, |traffic| traffic.overflowed += 1),
        }
        true
    }

    fn count(&mut self, number: usize, count: impl FnOnce(&mut ProcessTraffic)) {
        let processes = self.hosts[number].rest.processes.get_or_insert_default();
        count(&mut processes.traffic);
    }

    /// A process tells people something.
    fn reported(&mut self, number: usize, serial: Serial, report: &Report) {
        match report.severity() {
            Severity::Progress => {}
            Severity::Warning => self.count(number, |traffic| traffic.warnings += 1),
            Severity::Error => self.count(number, |traffic| traffic.errors += 1),
        }
        let Some(birth) = self.birth_of(number) else {
            return;
        };
        let process = ProcessId { node: self.hosts[number].rest.name.id(), birth, serial };
        let mut checkers = std::mem::take(&mut self.checkers);
        let mut found = Vec::new();
        for checker in &mut checkers {
            checker.on_report(self, number, (process, report), &mut found);
        }
        self.checkers = checkers;
        self.violations.append(&mut found);
    }

    fn let_check_input(&mut self, node: usize, process: ProcessId, input: &Input) {
        let mut checkers = std::mem::take(&mut self.checkers);
        let mut found = Vec::new();
        for checker in &mut checkers {
            checker.on_input(self, node, (process, input), &mut found);
        }
        self.checkers = checkers;
        self.violations.append(&mut found);
    }
}

/// Tells an actor of its panics, until it does not panic of that.
fn after_panics(
    actor: &mut dyn Actor,
    cx: &mut ActorContext<'_>,
    mut outcome: std::thread::Result<()>,
) {
    for panics in 0.. {
        let Err(panic) = outcome else {
            return;
        };
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        let reason = ExitReason::panicked(text.unwrap_or_default());
        if panics == MAX_PANICS {
            return cx.end(reason);
        }
        outcome = catch_unwind(AssertUnwindSafe(|| actor.panicked(cx, reason)));
    }
}
