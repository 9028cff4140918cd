//! The functions that every node has.

use bytes::Bytes;
use partisan_proto::call::Failure;
use partisan_proto::process::{self, Lane, ReplyTo};
use partisan_proto::{Event, ExitReason, ProcessAct, ProcessId, ProcessName, Serial, Signal};
use serde::{Deserialize, Serialize};

use super::Code;
use crate::calls::RequestError;
use crate::event_loop::EventLoop;
use crate::process::{Process, Spawn, SpawnOptions, Start, live, reason_of};

pub(super) const WHEREIS: &str = "partisan.whereis";
pub(super) const IS_ALIVE: &str = "partisan.is_alive";
pub(super) const PROCESS_INFO: &str = "partisan.process_info";
pub(super) const PROCESSES: &str = "partisan.processes";
pub(super) const SPAWN: &str = "partisan.spawn";

/// What a node is asked that is to spawn a process for another.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SpawnRequest {
    /// Of what is registered to be spawned.
    spawnable: ProcessName,
    argument: Vec<u8>,
    name: Option<ProcessName>,
    trap_exit: bool,
    mailbox: Option<(u64, u64)>,
    /// Whether it must not begin yet.
    held: bool,
}

impl SpawnRequest {
    pub(super) fn new(
        spawnable: &str,
        argument: &(impl Serialize + ?Sized),
        options: SpawnOptions,
        held: bool,
    ) -> Result<Self, RequestError> {
        let argument = postcard::to_allocvec(argument).map_err(RequestError::Encode)?;
        let wide = |(messages, bytes)| (messages as u64, bytes as u64);
        Ok(Self {
            spawnable: ProcessName::new(spawnable)?,
            argument,
            name: options.begin.name,
            trap_exit: options.begin.trap_exit,
            mailbox: options.mailbox.map(wide),
            held,
        })
    }
}

/// A process that another node has spawned and that does not begin yet, so that whoever spawned it
/// can link to it or watch it from its first moment.
///
/// It begins with the exit signal `normal` of whoever spawned it, which comes behind the link or
/// monitor on the same channel; any other exit ends it, and so does the end of whoever spawned it.
/// Until then it traps exits, that the driver sees them.
pub(crate) struct Held {
    code: Code,
    process: Process,
    trap_exit: bool,
    /// The monitor on whoever spawned it.
    monitor: u64,
    spawner: ProcessId,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("spawner", &self.spawner).finish_non_exhaustive()
    }
}

impl EventLoop {
    /// Runs a function in a task of its own, or at once if it is the node's own.
    pub(crate) fn run_function(
        &mut self,
        reply_to: ReplyTo,
        name: &ProcessName,
        payload: Bytes,
    ) -> Result<(), Failure> {
        if name.is_reserved() {
            return self.run_built_in(reply_to, name.as_str(), &payload);
        }
        let doings = self.shared.doings.clone();
        let running = self.shared.functions.run(name, payload, reply_to, doings)?;
        self.processes.run(running);
        Ok(())
    }

    fn run_built_in(
        &mut self,
        reply_to: ReplyTo,
        name: &str,
        payload: &[u8],
    ) -> Result<(), Failure> {
        let answer = match name {
            WHEREIS => {
                let name: ProcessName = read(payload)?;
                let serial = self.shared.mailboxes.whereis(name.as_str());
                let found = serial.map(|serial| ProcessId { serial, ..self.shared.own.id });
                postcard::to_allocvec(&found)
            }
            IS_ALIVE => postcard::to_allocvec(&self.lives(read(payload)?)),
            PROCESS_INFO => postcard::to_allocvec(&self.process_info(read(payload)?)),
            PROCESSES => {
                read::<()>(payload)?;
                let all = self.shared.mailboxes.processes().into_iter();
                let all = all.map(|serial| ProcessId { serial, ..self.shared.own.id });
                postcard::to_allocvec(&all.collect::<Vec<_>>())
            }
            SPAWN => return self.spawn_for(reply_to, read(payload)?),
            _ => return Err(Failure::NoFunction),
        };
        let result = answer.map(Bytes::from).map_err(|_| Failure::AnswerTooLarge);
        self.answer_later(reply_to, result);
        Ok(())
    }

    /// Answers a request once what is under way is performed.
    pub(crate) fn answer_later(&mut self, reply_to: ReplyTo, result: Result<Bytes, Failure>) {
        self.act_later(Serial::NODE, ProcessAct::Reply { reply_to, result });
    }

    fn act_later(&mut self, process: Serial, act: ProcessAct) {
        self.feedback.push(Event::Process { process, act: Box::new(act) });
    }

    /// Spawns a process for another node.
    fn spawn_for(&mut self, reply_to: ReplyTo, request: SpawnRequest) -> Result<(), Failure> {
        let SpawnRequest { spawnable, argument, name, trap_exit, mailbox, held } = request;
        let code = self.shared.functions.code(&spawnable, &argument)?;
        let stopping = || Failure::Exited(reason_of("its node is stopping"));
        let node = self.handle().ok_or_else(stopping)?;
        let narrow = |count: u64| usize::try_from(count).unwrap_or(usize::MAX).max(1);
        let mailbox = mailbox.map(|(messages, bytes)| (narrow(messages), narrow(bytes)));
        let state = self.shared.new_process(node.id, self.shared.serial(), mailbox);
        let process = Process::new(node, state.clone());
        let begin =
            process::SpawnOptions { name, trap_exit: trap_exit || held, ..Default::default() };
        let held = held.then(|| (trap_exit, state.number()));
        let start = Start::For { reply_to, code, process: Box::new(process), held };
        self.spawn_later(Spawn { state, begin, start });
        Ok(())
    }

    /// A process that another node asked for is known to the core.
    pub(crate) fn begin_for(
        &mut self,
        reply_to: ReplyTo,
        code: Code,
        process: Process,
        held: Option<(bool, u64)>,
    ) -> Option<Held> {
        let id = process.id();
        let answer = postcard::to_allocvec(&id).map(Bytes::from);
        self.answer_later(reply_to, answer.map_err(|_| Failure::AnswerTooLarge));
        let Some((trap_exit, number)) = held else {
            self.run_process(id.serial, Box::pin(live(process, code)));
            return None;
        };
        let spawner = reply_to.caller();
        let (target, lane) = (spawner.into(), Lane::default());
        self.act_later(
            id.serial,
            ProcessAct::Monitor { number, target, lane, tag: 0, alias: None },
        );
        Some(Held { code, process, trap_exit, monitor: number, spawner })
    }

    /// A process that does not run yet is told something.
    pub(crate) fn signal_held(&mut self, held: Held, signal: &Signal) -> Option<Held> {
        let serial = held.process.id().serial;
        let reason = match signal {
            Signal::Exit { from, reason: ExitReason::Normal } if *from == held.spawner => {
                let Held { code, process, trap_exit, monitor, .. } = held;
                self.act_later(serial, ProcessAct::TrapExit(trap_exit));
                self.act_later(serial, ProcessAct::Demonitor { number: monitor });
                self.run_process(serial, Box::pin(live(process, code)));
                return None;
            }
            Signal::Exit { reason, .. } => reason,
            Signal::Down { number, reason, .. } if *number == held.monitor => reason,
            _ => return Some(held),
        };
        self.bury(serial);
        self.act_later(serial, ProcessAct::Ended(reason.clone()));
        None
    }
}

fn read<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, Failure> {
    partisan_proto::wire::read_whole(payload).map_err(|_| Failure::NotUnderstood)
}
