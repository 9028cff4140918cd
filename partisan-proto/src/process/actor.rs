//! Processes as pure machines: what runs unchanged under every driver.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use super::{
    Alias, ExitReason, Lane, MonitorId, MonitorOptions, NodeFilter, ProcessAct, ProcessId, ReplyTo,
    Serial, Signal, SpawnOptions, Target,
};
use crate::behaviour::Report;
use crate::call::{Failure, Server};
use crate::command::{Broadcast, Send};
use crate::id::{ChannelId, NodeId, ProcessName};
use crate::time::{Duration, Instant};
use crate::wire::{Destination, ProcessAt};

/// A process as a pure machine: told one thing at a time, it leaves its effects in the context and
/// returns. It has no clock, no thread and no place to wait, so the same one runs under tokio, in
/// the simulator and in a loop of one's own.
///
/// Whoever drives the node keeps its mailbox, hands it one [`Input`] after the other, and performs
/// the [`Effect`]s in their order after each.
pub trait Actor: fmt::Debug + core::marker::Send {
    /// It comes to life.
    fn start(&mut self, cx: &mut ActorContext<'_>) {
        _ = cx;
    }

    /// It is told something.
    fn handle(&mut self, cx: &mut ActorContext<'_>, input: Input);

    /// One of the above, or this, panicked, for [`ExitReason::Panicked`]. What it did until then is
    /// done. By default it ends; an actor that can put itself right may go on. After
    /// [`MAX_PANICS`] of one input it is ended.
    fn panicked(&mut self, cx: &mut ActorContext<'_>, reason: ExitReason) {
        cx.end(reason);
    }
}

/// How often an actor may panic for the sake of one input, each time but the first in
/// [`Actor::panicked`], before whoever drives it ends it.
pub const MAX_PANICS: usize = 100;

/// What an [`Actor`] is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A message.
    Message {
        /// The node that it came from.
        from: NodeId,
        /// The channel that it came by.
        channel: ChannelId,
        /// What it says.
        payload: Bytes,
    },
    /// A request, to be answered by [`ActorContext::reply`], here or elsewhere, now or later.
    Request {
        /// Where the answer goes.
        reply_to: ReplyTo,
        /// What is asked.
        payload: Bytes,
    },
    /// Anything else.
    Signal(Signal),
}

impl Input {
    /// Whether it is a signal about this number.
    #[must_use]
    pub fn is_about(&self, number: u64) -> bool {
        matches!(self, Self::Signal(signal) if signal.number() == Some(number))
    }
}

/// What an [`Actor`] wants done.
#[derive(Debug)]
pub enum Effect {
    /// Tell the node ([`Event::Process`](crate::Event::Process)). After a `Demonitor`, an `Abandon`
    /// or a `CancelTimer` take what is in its mailbox about that number out of it.
    Act(ProcessAct),
    /// Send a message ([`Command::Send`](crate::Command::Send)), best effort.
    Send(Send),
    /// Broadcast a message ([`Command::Broadcast`](crate::Command::Broadcast)), best effort.
    Broadcast(Broadcast),
    /// Register the process under a name ([`Command::Register`](crate::Command::Register)). Where
    /// that fails, end it for [`ExitReason::Other`] with the text of the error.
    Register(ProcessName),
    /// Bring another process to life ([`Command::Spawn`](crate::Command::Spawn)). Where that fails,
    /// tell this one what [`SpawnOptions::refused`] says.
    Spawn {
        /// Its number.
        serial: Serial,
        /// What it does.
        actor: Box<dyn Actor>,
        /// How it begins.
        options: SpawnOptions,
    },
    /// Tell people: log it, count it.
    Report(Box<Report>),
    /// End the process, and do nothing that comes after this.
    End(ExitReason),
}

/// What an [`Actor`] may use: the time, its identity, and a place to leave its effects.
pub struct ActorContext<'a> {
    now: Instant,
    me: ProcessId,
    numbers: &'a mut u64,
    serials: &'a mut dyn FnMut() -> Serial,
    effects: &'a mut Vec<Effect>,
}

impl fmt::Debug for ActorContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { now, me, numbers, effects, .. } = self;
        let mut debug = f.debug_struct("ActorContext");
        debug.field("now", now).field("me", me).field("numbers", numbers);
        debug.field("effects", effects).finish_non_exhaustive()
    }
}

impl<'a> ActorContext<'a> {
    /// For whoever drives the node. `numbers` counts what this process numbered, and begins with 0;
    /// `serials` gives numbers for new processes, each once.
    pub fn new(
        now: Instant,
        me: ProcessId,
        numbers: &'a mut u64,
        serials: &'a mut dyn FnMut() -> Serial,
        effects: &'a mut Vec<Effect>,
    ) -> Self {
        Self { now, me, numbers, serials, effects }
    }

    /// The time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// This process (`self/0`).
    #[must_use]
    pub const fn me(&self) -> ProcessId {
        self.me
    }

    fn number(&mut self) -> u64 {
        *self.numbers += 1;
        *self.numbers
    }

    fn act(&mut self, act: ProcessAct) {
        self.effects.push(Effect::Act(act));
    }

    /// Sends a message, best effort (`partisan:send/2`).
    pub fn send(&mut self, target: &Target, payload: Bytes) {
        self.send_on(target, Lane::default(), payload);
    }

    /// As [`ActorContext::send`], on a lane of one's choice.
    pub fn send_on(&mut self, target: &Target, lane: Lane, payload: Bytes) {
        let Lane { channel, key } = lane;
        let (to, destination) = (target.node(), Destination::of(target));
        let send = Send { to, channel, key, destination, relay: false, payload };
        self.effects.push(Effect::Send(send));
    }

    /// Leaves any send, with any of its options.
    pub fn send_with(&mut self, send: Send) {
        self.effects.push(Effect::Send(send));
    }

    /// Broadcasts a message, best effort.
    pub fn broadcast(&mut self, broadcast: Broadcast) {
        self.effects.push(Effect::Broadcast(broadcast));
    }

    /// Watches a process (`monitor/2`): [`Signal::Down`] comes exactly once, with the number
    /// returned here.
    pub fn monitor(&mut self, target: impl Into<Target>) -> u64 {
        self.monitor_on(target, Lane::default())
    }

    /// As [`ActorContext::monitor`], with the news in its place among the messages of a lane.
    pub fn monitor_on(&mut self, target: impl Into<Target>, lane: Lane) -> u64 {
        self.monitor_with(target, MonitorOptions { lane, ..MonitorOptions::default() }).number
    }

    /// As [`ActorContext::monitor`], with options (`monitor/3`). The alias stands for this process
    /// where the options say so, and has the number of the monitor in any case.
    pub fn monitor_with(&mut self, target: impl Into<Target>, options: MonitorOptions) -> Alias {
        let MonitorOptions { lane, tag, alias } = options;
        let (number, target) = (self.number(), target.into());
        self.act(ProcessAct::Monitor { number, target, lane, tag, alias });
        Alias { process: self.me, number }
    }

    /// Another name for this process, until it is taken back (`alias/0`).
    pub fn alias(&mut self) -> Alias {
        let number = self.number();
        self.act(ProcessAct::Alias { number });
        Alias { process: self.me, number }
    }

    /// Takes an alias back: what is sent to it from now on is dropped (`unalias/1`). One that is not
    /// this process's, or was taken back, is no error.
    pub fn unalias(&mut self, alias: Alias) {
        if alias.process == self.me {
            self.act(ProcessAct::Unalias { number: alias.number });
        }
    }

    /// Watches a node (`monitor_node/2`): [`Signal::NodeLost`] comes exactly once.
    pub fn monitor_node(&mut self, node: NodeId) -> u64 {
        let number = self.number();
        self.act(ProcessAct::MonitorNode { number, node });
        number
    }

    /// Stops watching: nothing about that monitor comes after this (`demonitor/2` with `flush`).
    pub fn demonitor(&mut self, number: u64) {
        self.act(ProcessAct::Demonitor { number });
    }

    /// Is told of all nodes that come and go (`monitor_nodes/2`).
    pub fn monitor_nodes(&mut self, filter: NodeFilter) {
        self.act(ProcessAct::MonitorNodes(filter));
    }

    /// Ends a subscription to nodes.
    pub fn demonitor_nodes(&mut self, filter: NodeFilter) {
        self.act(ProcessAct::DemonitorNodes(filter));
    }

    /// Waits for the members to be others than those of a version, or to be told who they are:
    /// [`Signal::Members`] comes once, with the number returned here
    /// ([`ActorContext::demonitor`] takes that back).
    pub fn await_members(&mut self, known: Option<u64>) -> u64 {
        let number = self.number();
        self.act(ProcessAct::AwaitMembers { number, known });
        number
    }

    /// Links itself to another process (`link/1`).
    pub fn link(&mut self, other: ProcessId) {
        self.act(ProcessAct::Link(other));
    }

    /// Ends a link (`unlink/1`).
    pub fn unlink(&mut self, other: ProcessId) {
        self.act(ProcessAct::Unlink(other));
    }

    /// Sends an exit signal (`exit/2`).
    pub fn exit(&mut self, target: impl Into<Target>, reason: ExitReason) {
        self.act(ProcessAct::Exit { target: target.into(), reason });
    }

    /// Turns exit signals into [`Signal::Exit`], or back (`process_flag(trap_exit, _)`).
    pub fn trap_exit(&mut self, on: bool) {
        self.act(ProcessAct::TrapExit(on));
    }

    /// Asks a process or a function: [`Signal::Answer`] comes exactly once, with the number returned
    /// here (`send_request`).
    pub fn call(&mut self, server: Server, payload: Bytes, timeout: Option<Duration>) -> u64 {
        self.call_on(server, payload, timeout, Lane::default())
    }

    /// As [`ActorContext::call`], on a lane of one's choice.
    pub fn call_on(
        &mut self,
        server: Server,
        payload: Bytes,
        timeout: Option<Duration>,
        lane: Lane,
    ) -> u64 {
        let number = self.number();
        self.act(ProcessAct::Call { number, server, payload, timeout, lane });
        number
    }

    /// Gives a call up: no answer comes after this.
    pub fn abandon(&mut self, number: u64) {
        self.act(ProcessAct::Abandon { number });
    }

    /// Answers a request (`gen:reply/2`).
    pub fn reply(&mut self, reply_to: ReplyTo, result: Result<Bytes, Failure>) {
        self.act(ProcessAct::Reply { reply_to, result });
    }

    /// Has a message sent later (`send_after/3`); to itself it comes as [`Signal::Timer`] with the
    /// number returned here.
    pub fn send_after(
        &mut self,
        after: Duration,
        target: impl Into<Target>,
        payload: Bytes,
    ) -> u64 {
        let number = self.number();
        self.act(ProcessAct::SendAfter { number, after, target: target.into(), payload });
        number
    }

    /// As [`ActorContext::send_after`], at a time of [`ActorContext::now`]'s clock; one that is over
    /// already is now (`send_after/4` with `abs`).
    pub fn send_at(&mut self, at: Instant, target: impl Into<Target>, payload: Bytes) -> u64 {
        let number = self.number();
        self.act(ProcessAct::SendAt { number, at, target: target.into(), payload });
        number
    }

    /// Cancels a message that was to be sent later: after this it does not come, unless it is on
    /// its way to another process already (`cancel_timer/1`).
    pub fn cancel_timer(&mut self, number: u64) {
        self.act(ProcessAct::CancelTimer { number });
    }

    /// Registers itself under a name (`register/2`); ends if that name is taken.
    pub fn register(&mut self, name: ProcessName) {
        self.effects.push(Effect::Register(name));
    }

    /// Brings another process to life (`spawn/1`).
    pub fn spawn(&mut self, actor: Box<dyn Actor>) -> ProcessId {
        self.spawn_with(actor, SpawnOptions::default())
    }

    /// As [`ActorContext::spawn`], linked to this one from the first moment (`spawn_link/1`).
    pub fn spawn_link(&mut self, actor: Box<dyn Actor>) -> ProcessId {
        let options = SpawnOptions { link: Some(self.me.serial), ..SpawnOptions::default() };
        self.spawn_with(actor, options)
    }

    /// As [`ActorContext::spawn`], watched by this one from the first moment: the number of the
    /// monitor comes with it (`spawn_monitor/1`).
    pub fn spawn_monitor(&mut self, actor: Box<dyn Actor>) -> (ProcessId, u64) {
        self.spawn_monitor_with(actor, SpawnOptions::default())
    }

    /// As [`ActorContext::spawn_monitor`], with more options; who watches is set here.
    pub fn spawn_monitor_with(
        &mut self,
        actor: Box<dyn Actor>,
        options: SpawnOptions,
    ) -> (ProcessId, u64) {
        let number = self.number();
        let monitor = Some(MonitorId { owner: self.me.serial, number });
        (self.spawn_with(actor, SpawnOptions { monitor, ..options }), number)
    }

    /// As [`ActorContext::spawn`], with options.
    pub fn spawn_with(&mut self, actor: Box<dyn Actor>, options: SpawnOptions) -> ProcessId {
        let serial = (self.serials)();
        self.effects.push(Effect::Spawn { serial, actor, options });
        ProcessId { serial, ..self.me }
    }

    /// Tells people something about itself.
    pub fn report(&mut self, report: Report) {
        self.effects.push(Effect::Report(Box::new(report)));
    }

    /// How many effects there are.
    pub(crate) fn mark(&self) -> usize {
        self.effects.len()
    }

    /// The numbers about which nothing is to come any more, as it said since a mark.
    pub(crate) fn revoked(&self, mark: usize) -> impl Iterator<Item = u64> {
        let since = self.effects.iter().skip(mark);
        since.filter_map(|effect| match effect {
            Effect::Act(act) => act.revokes(),
            _ => None,
        })
    }

    /// Ends itself (`exit/1`).
    pub fn end(&mut self, reason: ExitReason) {
        self.effects.push(Effect::End(reason));
    }
}

impl Destination {
    /// Where messages for a target go, at its node.
    #[must_use]
    pub fn of(target: &Target) -> Self {
        match target {
            Target::Process(ProcessId { birth, serial, .. }) => {
                Self::Process(ProcessAt { birth: *birth, serial: *serial })
            }
            // Every name of a process is one of a destination.
            Target::Name(_, name) => Self::name(name.as_str()).unwrap_or_default(),
        }
    }
}
