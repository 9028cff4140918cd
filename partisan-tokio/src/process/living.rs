//! The processes of a node, as its loop keeps them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use partisan_proto::call::{Failure, Request, Servant};
use partisan_proto::process::Alias;
use partisan_proto::{
    Answer, Command, CommandError, Event, ExitReason, ProcessAct, ProcessId, ProcessName, Serial,
    Signal, Ticket,
};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::spawn::Task;
use super::state::Gone;
use super::{Doing, Input, ProcessInfo, ProcessState, Spawn, Start, Told, reason_of};
use crate::error::NodeError;
use crate::event_loop::{EventLoop, Reply};
use crate::rpc::Held;

/// A living process.
#[derive(Debug)]
struct Living {
    state: Arc<ProcessState>,
    names: BTreeSet<ProcessName>,
    /// The numbers of its aliases, which may have ended.
    aliases: BTreeSet<u64>,
    /// `None` where it is no task.
    task: Option<AbortHandle>,
    /// It does not run yet.
    held: Option<Held>,
}

/// What a command of [`Doing`] becomes once the core has answered it.
#[derive(Debug)]
enum Asked {
    Spawn(Box<Spawn>),
    Register(Serial, ProcessName, oneshot::Sender<Result<(), NodeError>>),
    Unregister(ProcessName, oneshot::Sender<Result<(), NodeError>>),
    Command(oneshot::Sender<Result<Answer, CommandError>>),
}

/// The node is to stop once its processes have ended.
#[derive(Debug)]
struct Stopping {
    until: Instant,
    replies: Vec<Reply>,
}

/// The processes of a node.
#[derive(Debug, Default)]
pub(crate) struct Processes {
    living: BTreeMap<Serial, Living>,
    asked: HashMap<Ticket, Asked>,
    tasks: JoinSet<()>,
    barriers: Vec<oneshot::Sender<()>>,
    stopping: Option<Stopping>,
}

impl Processes {
    /// Until when those that trap exits have time to end, once the node is to stop.
    pub(crate) fn stops_at(&self) -> Option<Instant> {
        self.stopping.as_ref().map(|stopping| stopping.until)
    }

    /// Runs a function until it has answered, or the node has stopped.
    pub(crate) fn run(&mut self, function: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(function);
    }

    /// Forgets a task that is over.
    pub(crate) async fn reap(&mut self) -> bool {
        self.tasks.join_next().await.is_some()
    }

    pub(crate) fn has_tasks(&self) -> bool {
        !self.tasks.is_empty()
    }

    /// Ends all tasks, and waits for those that can be ended.
    pub(crate) async fn end_tasks(&mut self, grace: std::time::Duration) {
        self.tasks.abort_all();
        let tasks = &mut self.tasks;
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, all).await.is_err() {
            tracing::warn!("a process blocks its thread and was left behind");
        }
    }

    /// Whether a command was one of a process.
    pub(crate) fn asked_for(&self, ticket: Ticket) -> bool {
        self.asked.contains_key(&ticket)
    }

    /// All that was told before the end of a turn is done.
    pub(crate) fn pass_barriers(&mut self) {
        for barrier in self.barriers.drain(..) {
            // Whoever waited may have given up.
            let _ = barrier.send(());
        }
    }

    /// Nobody waits for anything any more.
    pub(crate) fn close(&mut self) {
        for living in self.living.values() {
            living.state.close(Gone::Stopped);
        }
    }
}

impl EventLoop {
    /// The process in whose name handles ask and watch.
    pub(crate) fn spawn_own(&mut self) {
        let state = Arc::clone(&self.shared.own);
        let begin = partisan_proto::process::SpawnOptions::default();
        self.spawn(Box::new(Spawn { state, begin, start: Start::Nothing }));
    }

    fn ask_core(&mut self, command: Command, asked: Asked) {
        let ticket = self.ticket();
        self.processes.asked.insert(ticket, asked);
        self.feed(Event::Command { ticket, command });
    }

    /// Does what a process wants.
    pub(crate) fn take_doing(&mut self, Told { doing, room }: Told) {
        self.rooms.extend(room);
        match doing {
            Doing::Act(process, act) => {
                if let ProcessAct::Ended(_) = &*act {
                    self.bury(process);
                }
                let (aliased, begins) = (act.aliased(), begins_alias(&act));
                self.feed(Event::Process { process, act });
                if let Some(number) = aliased {
                    self.note_alias(process, number, begins);
                }
            }
            Doing::Command(command, reply) => self.ask_core(command, Asked::Command(reply)),
            Doing::Spawn(spawn) => self.spawn(spawn),
            Doing::Register(process, name, reply) => self.register(process, name, reply),
            Doing::Unregister(name, reply) => {
                let command = Command::Unregister(name.clone());
                self.ask_core(command, Asked::Unregister(name, reply));
            }
            Doing::Barrier(reply) => self.processes.barriers.push(reply),
        }
    }

    fn spawn(&mut self, spawn: Box<Spawn>) {
        if let Some(event) = self.spawning(spawn) {
            self.feed(event);
        }
    }

    /// As a spawn by a process of this node, once what is under way is performed.
    pub(crate) fn spawn_later(&mut self, spawn: Spawn) {
        let event = self.spawning(Box::new(spawn));
        self.feedback.extend(event);
    }

    fn spawning(&mut self, spawn: Box<Spawn>) -> Option<Event> {
        if self.processes.stopping.is_some() {
            self.refuse(spawn.start, CommandError::Stopping.into());
            return None;
        }
        // Before the core knows of it: the name is reserved among those of mailboxes, too.
        if let Some(name) = &spawn.begin.name
            && let Err(error) = self.shared.mailboxes.name(name.as_str(), &spawn.state.mailbox)
        {
            self.refuse(spawn.start, error);
            return None;
        }
        let (process, options) = (spawn.state.id.serial, spawn.begin.clone());
        let ticket = self.ticket();
        self.processes.asked.insert(ticket, Asked::Spawn(spawn));
        Some(Event::Command { ticket, command: Command::Spawn { process, options } })
    }

    fn refuse(&mut self, start: Start, error: NodeError) {
        // Whoever asked may have given up.
        match start {
            Start::Nothing => tracing::error!(%error, "the node has no process of its own"),
            Start::Task(_, reply) => drop(reply.send(Err(error))),
            Start::Hand(_, reply) => drop(reply.send(Err(error))),
            Start::For { reply_to, .. } => {
                let failure = Failure::Exited(reason_of(&error.to_string()));
                self.answer_later(reply_to, Err(failure));
            }
        }
    }

    fn register(
        &mut self,
        process: Serial,
        name: ProcessName,
        reply: oneshot::Sender<Result<(), NodeError>>,
    ) {
        let Some(living) = self.processes.living.get(&process) else {
            let gone = CommandError::NoSuchProcess(process);
            return drop(reply.send(Err(gone.into())));
        };
        if let Err(error) = self.shared.mailboxes.name(name.as_str(), &living.state.mailbox) {
            return drop(reply.send(Err(error)));
        }
        let command = Command::Register { name: name.clone(), process };
        self.ask_core(command, Asked::Register(process, name, reply));
    }

    /// The core has answered a command of a process.
    pub(crate) fn answered(&mut self, ticket: Ticket, result: Result<Answer, CommandError>) {
        let Some(asked) = self.processes.asked.remove(&ticket) else { return };
        let done = result.clone().map(|_| ()).map_err(NodeError::from);
        // Whoever asked may have given up, of which the core knows nothing.
        match asked {
            Asked::Command(reply) => drop(reply.send(result)),
            Asked::Spawn(spawn) => self.spawned(*spawn, done),
            Asked::Register(process, name, reply) => {
                let living = self.processes.living.get_mut(&process);
                match (&done, living) {
                    (Ok(()), Some(living)) => _ = living.names.insert(name),
                    (_, Some(living)) => {
                        self.shared.mailboxes.unname(name.as_str(), &living.state.mailbox);
                    }
                    (_, None) => {}
                }
                let _ = reply.send(done);
            }
            Asked::Unregister(name, reply) => {
                if done.is_ok() {
                    self.unname(&name);
                }
                let _ = reply.send(done);
            }
        }
    }

    /// What this number is of has begun or ended: so has an alias of this number for the senders, if
    /// it has for the core.
    fn note_alias(&mut self, process: Serial, number: u64, begins: bool) {
        let Some(living) = self.processes.living.get_mut(&process) else { return };
        if !begins && !living.aliases.contains(&number) {
            return;
        }
        let name = Alias { process: living.state.id, number }.name();
        if self.core.whereis(&name).is_some() {
            living.aliases.insert(number);
            self.shared.mailboxes.alias(&name, &living.state.mailbox);
        } else if living.aliases.remove(&number) {
            self.shared.mailboxes.unname(name.as_str(), &living.state.mailbox);
        }
    }

    fn unname(&mut self, name: &ProcessName) {
        let holder = self.shared.mailboxes.whereis(name.as_str());
        if let Some(living) = holder.and_then(|serial| self.processes.living.get_mut(&serial)) {
            living.names.remove(name);
            self.shared.mailboxes.unname(name.as_str(), &living.state.mailbox);
        }
    }

    fn spawned(&mut self, spawn: Spawn, done: Result<(), NodeError>) {
        let Spawn { state, begin, start } = spawn;
        if let Err(error) = done {
            if let Some(name) = begin.name {
                self.shared.mailboxes.unname(name.as_str(), &state.mailbox);
            }
            return self.refuse(start, error);
        }
        let serial = state.id.serial;
        if serial != Serial::NODE {
            self.shared.mailboxes.add_process(serial, &state.mailbox);
        }
        let names = begin.name.into_iter().collect();
        self.processes.living.insert(
            serial,
            Living { state, names, aliases: BTreeSet::new(), task: None, held: None },
        );
        match start {
            Start::Nothing => {}
            Start::Task(task, reply) => {
                self.run_process(serial, task);
                let _ = reply.send(Ok(()));
            }
            Start::Hand(process, reply) => {
                // When nobody takes it, it is dropped, and ends by that.
                let _ = reply.send(Ok(*process));
            }
            Start::For { reply_to, code, process, held } => {
                let held = self.begin_for(reply_to, code, *process, held);
                if let Some(living) = self.processes.living.get_mut(&serial) {
                    living.held = held;
                }
            }
        }
        // It was under way when the others were told.
        if self.processes.stopping.is_some() {
            self.shut_down(serial);
        }
    }

    pub(crate) fn run_process(&mut self, serial: Serial, task: Task) {
        let task = self.processes.tasks.spawn(task);
        if let Some(living) = self.processes.living.get_mut(&serial) {
            living.task = Some(task);
        }
    }

    /// A process has ended: nothing reaches it any more, and its task is dropped.
    pub(crate) fn bury(&mut self, process: Serial) {
        let Some(living) = self.processes.living.remove(&process) else { return };
        let Living { state, names, aliases, task, .. } = living;
        let aliases = aliases.into_iter().map(|number| Alias { process: state.id, number }.name());
        for name in names.into_iter().chain(aliases) {
            self.shared.mailboxes.unname(name.as_str(), &state.mailbox);
        }
        self.shared.mailboxes.remove_process(process);
        state.close(Gone::Ended(process));
        if let Some(task) = task {
            task.abort();
        }
    }

    pub(crate) fn signal(&mut self, process: Serial, signal: Signal) {
        if let Signal::Down { number, .. } = signal {
            self.note_alias(process, number, false);
        }
        let Some(living) = self.processes.living.get_mut(&process) else { return };
        match living.held.take() {
            None => living.state.signal(signal),
            Some(held) => {
                let held = self.signal_held(held, &signal);
                if let Some(living) = self.processes.living.get_mut(&process) {
                    living.held = held;
                }
            }
        }
    }

    /// Hands a request to whoever is to answer it.
    pub(crate) fn serve(&mut self, request: Request) {
        let Request { reply_to, servant, payload } = request;
        let failure = match servant {
            Servant::Process(process) => {
                let doings = self.shared.doings.clone();
                let input = Input::Request(super::Request::new(reply_to, payload, doings));
                match self.processes.living.get(&process) {
                    Some(living) if living.state.mailbox.push_request(input) => return,
                    Some(_) => Failure::Overloaded,
                    // It is ending; the core answers for it.
                    None => return,
                }
            }
            Servant::Function(name) => match self.run_function(reply_to, &name, payload) {
                Ok(()) => return,
                Err(failure) => failure,
            },
        };
        let act = ProcessAct::Reply { reply_to, result: Err(failure) };
        self.feedback.push(Event::Process { process: Serial::NODE, act: Box::new(act) });
    }

    /// Whether a process lives here.
    pub(crate) fn lives(&self, process: ProcessId) -> bool {
        let living = self.processes.living.get(&process.serial);
        living.is_some_and(|living| living.state.id == process)
    }

    /// What is known of a process that lives here.
    pub(crate) fn process_info(&self, process: ProcessId) -> Option<ProcessInfo> {
        let living = self.processes.living.get(&process.serial)?;
        let known = self.core.process(process.serial).filter(|_| living.state.id == process)?;
        Some(ProcessInfo::new(known, living.state.mailbox.len()))
    }

    /// The node is to stop: its processes end first, those that trap exits by themselves.
    pub(crate) fn stop(&mut self, reply: Reply) {
        if let Some(stopping) = &mut self.processes.stopping {
            return stopping.replies.push(reply);
        }
        let until = Instant::now() + self.around.config.process_grace;
        self.processes.stopping = Some(Stopping { until, replies: vec![reply] });
        let all: Vec<Serial> = self.processes.living.keys().copied().collect();
        all.into_iter().for_each(|process| self.shut_down(process));
    }

    /// Ends a process with its node: one that traps exits is told.
    fn shut_down(&mut self, process: Serial) {
        if process == Serial::NODE {
            return;
        }
        if self.core.process(process).is_some_and(|known| known.trap_exit) {
            let signal = Signal::Exit { from: self.shared.own.id, reason: ExitReason::Shutdown };
            self.signal(process, signal);
        } else {
            self.end_process(process, ExitReason::Shutdown);
        }
    }

    fn end_process(&mut self, process: Serial, reason: ExitReason) {
        self.bury(process);
        let act = Box::new(ProcessAct::Ended(reason));
        self.feed(Event::Process { process, act });
    }

    /// Has the core stop, once all processes have ended or their time is over.
    pub(crate) fn stop_when_ended(&mut self) {
        let Some(until) = self.processes.stops_at() else { return };
        let late = until <= Instant::now();
        if self.processes.living.len() > 1 && !late {
            return;
        }
        let left: Vec<Serial> = self.processes.living.keys().copied().collect();
        for process in left.into_iter().filter(|process| *process != Serial::NODE) {
            tracing::warn!(process = process.0, "a process did not end in time, and was killed");
            self.end_process(process, ExitReason::Killed);
        }
        let stopping = self.processes.stopping.take();
        for reply in stopping.into_iter().flat_map(|stopping| stopping.replies) {
            self.command(Command::Stop, reply);
        }
    }
}

/// Whether an alias begins with it.
pub(super) const fn begins_alias(act: &ProcessAct) -> bool {
    matches!(act, ProcessAct::Alias { .. } | ProcessAct::Monitor { alias: Some(_), .. })
}
