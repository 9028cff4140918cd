//! Processes: who lives here, under which names, and what they are told of each other's ends.
//!
//! The core knows a process by its number alone; whoever drives the node runs it, keeps its mailbox
//! and hands it its messages. A process is spawned by
//! [`Command::Spawn`](crate::Command::Spawn); what it does is told by
//! [`Event::Process`](crate::Event::Process); what it must learn besides messages comes as
//! [`Action::Signal`], and [`Action::End`] ends it from
//! outside.
//!
//! ```text
//! watcher                                  target's node
//! | Monitor -----------------------------> |  membership channel
//! | <------------------------------- Down  |  in its place on the lane that the watcher chose
//! | DownSeen ----------------------------> |  else it is told again when that lane is lost
//! ```
//!
//! **Monitors** are numbered by the watcher, so nothing can be told of one before it is known, and
//! asking costs no round trip. Each ends exactly once: by the news of the end, by the end of the
//! session ([`ExitReason::NoConnection`]), or by `Demonitor`. The request and all that hangs on it
//! live as long as the session on both sides, and a session ends on both sides (see
//! [`connections`](crate::connections)); so an asymmetric loss cannot leave a watcher waiting.
//! **Links** and exit signals follow Erlang's rules, unlinking included.
//!
//! **Aliases** ([`Alias`]) are names of the node's own that stand for a process for a while.
//!
//! A process is on no other node than its own, so all this works with every manager; with a node
//! that is not connected it ends at once for [`ExitReason::NoConnection`].
//!
//! After Partisan's `partisan_monitor`, `partisan_remote_ref` and `partisan_erpc`, with the meaning
//! that Erlang's own distribution gives to these operations.

mod act;
mod actor;
mod alias;
mod id;
mod linking;
mod links;
mod membership;
mod monitoring;
mod naming;
mod reason;
mod reference;
mod sessions;
mod solo;
mod subscriptions;
#[cfg(test)]
pub(crate) mod tests;
mod timers;
mod watchers;
mod watches;

pub use act::{Lane, NodeFilter, ProcessAct, ProcessInfo, Signal, SpawnOptions, Target};
pub use actor::{Actor, ActorContext, Effect, Input, MAX_PANICS};
pub use alias::{Alias, AliasUntil, MonitorOptions};
pub use id::{MonitorId, ProcessId, ReplyTo, RequestId, Serial, TimerId};
pub use reason::{ExitReason, MAX_REASON, ReasonBytes, ReasonText};
pub use reference::{ParseReferenceError, Reference, ReferenceError};
pub use solo::Solo;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::Hash;

use self::links::Links;
use self::membership::Membership;
use self::subscriptions::Subscriptions;
pub(crate) use self::timers::Late;
use self::timers::SendLater;
use self::watchers::{News, Watcher, Watchers};
use self::watches::{Watched, Watches};
use crate::action::Action;
use crate::change::Change;
use crate::context::Context;
use crate::error::{CloseReason, CommandError};
use crate::id::{ChannelId, ConnectionId, Incarnation, Instance, NodeId, ProcessName};
use crate::manager::Member;
use crate::spec::NodeSpec;
use crate::time::{Duration, Instant};
use crate::wire::{ControlMessage, ProcessAt, ProcessMessage, ServerAt, StableHasher, TargetAt};

/// What processes need of the node around them.
pub(crate) trait Signals {
    /// Sends a signal in its place among the messages of a lane, if it may be sent now.
    fn signal(
        &mut self,
        cx: &mut Context<'_>,
        to: NodeId,
        lane: Lane,
        message: ProcessMessage,
    ) -> Result<ConnectionId, CommandError>;

    /// What a connected node tells about itself.
    fn spec(&self, node: NodeId) -> Option<Arc<NodeSpec>>;

    /// Who is a member.
    fn members(&self) -> Vec<Member>;
}

/// The processes of a node, and all that hangs on them.
#[derive(Debug)]
pub(crate) struct Processes {
    /// The incarnation that the node was started in.
    birth: Incarnation,
    table: BTreeMap<Serial, Process>,
    names: BTreeMap<ProcessName, Serial>,
    watches: Watches,
    watchers: Watchers,
    links: Links,
    subscriptions: Subscriptions,
    membership: Membership,
    timers: SendLater,
}

#[derive(Debug, Default, Hash)]
struct Process {
    /// Aliases included.
    names: BTreeSet<ProcessName>,
    /// The aliases that end with the monitors of these numbers.
    aliases: BTreeSet<u64>,
    trap_exit: bool,
}

impl Processes {
    pub(crate) fn new(birth: Incarnation) -> Self {
        Self {
            birth,
            table: BTreeMap::new(),
            names: BTreeMap::new(),
            watches: Watches::default(),
            watchers: Watchers::default(),
            links: Links::default(),
            subscriptions: Subscriptions::default(),
            membership: Membership::default(),
            timers: SendLater::default(),
        }
    }

    /// The identifier of a process of this node.
    fn id(&self, cx: &Context<'_>, serial: Serial) -> ProcessId {
        ProcessId { node: cx.me.instance.node, birth: self.birth, serial }
    }

    const fn at(&self, serial: Serial) -> ProcessAt {
        ProcessAt { birth: self.birth, serial }
    }

    /// The living process that a target of this node stands for.
    fn resolve(&self, target: &TargetAt) -> Option<Serial> {
        let serial = match target {
            TargetAt::Process(ProcessAt { birth, serial }) => {
                Some(*serial).filter(|_| *birth == self.birth)
            }
            TargetAt::Name(name) => self.names.get(name).copied(),
        };
        serial.filter(|serial| self.table.contains_key(serial))
    }

    /// The living process that is to answer a request, if it is for one.
    pub(crate) fn find(&self, server: &ServerAt) -> Option<Serial> {
        match server {
            ServerAt::Process(at) => self.resolve(&TargetAt::Process(*at)),
            ServerAt::Name(name) => self.named(name),
            ServerAt::Function(_) => None,
        }
    }

    /// Whether a process lives.
    pub(crate) fn lives(&self, serial: Serial) -> bool {
        self.table.contains_key(&serial)
    }

    /// The living process that is registered under a name.
    pub(crate) fn named(&self, name: &ProcessName) -> Option<Serial> {
        self.names.get(name).copied()
    }

    /// A process comes to life.
    pub(crate) fn spawn(
        &mut self,
        cx: &mut Context<'_>,
        serial: Serial,
        options: SpawnOptions,
    ) -> Result<(), CommandError> {
        let SpawnOptions { link, monitor, name, trap_exit } = options;
        let limit = cx.config.processes.max_processes;
        if self.table.contains_key(&serial) {
            return Err(CommandError::ProcessExists(serial));
        }
        if self.table.len() >= limit {
            return Err(CommandError::TooManyProcesses { limit });
        }
        self.table.insert(serial, Process { trap_exit, ..Process::default() });
        if let Some(name) = name
            && let Err(error) = self.register(cx, serial, name)
        {
            self.table.remove(&serial);
            return Err(error);
        }
        let process = self.id(cx, serial);
        if let Some(MonitorId { owner, number }) = monitor {
            self.monitor(cx, MonitorId { owner, number }, process.into(), Lane::default(), 0);
        }
        if let Some(parent) = link {
            self.link(cx, parent, process);
        }
        Ok(())
    }

    /// A process did something.
    pub(crate) fn act(
        &mut self,
        cx: &mut Context<'_>,
        signals: &mut impl Signals,
        serial: Serial,
        act: ProcessAct,
    ) {
        if !self.table.contains_key(&serial) {
            return;
        }
        match act {
            ProcessAct::Ended(reason) => self.end(cx, signals, serial, reason),
            ProcessAct::Monitor { number, target, lane, tag, alias } => {
                let monitor = MonitorId { owner: serial, number };
                match alias {
                    Some(until) if !self.alias(cx, monitor, until) => {
                        self.kill(cx, signals, serial, ExitReason::SystemLimit);
                    }
                    _ => self.monitor(cx, monitor, target, lane, tag),
                }
            }
            ProcessAct::Alias { number } => {
                let alias = MonitorId { owner: serial, number };
                if !self.alias(cx, alias, AliasUntil::TakenBack) {
                    self.kill(cx, signals, serial, ExitReason::SystemLimit);
                }
            }
            ProcessAct::Unalias { number } => {
                self.unalias(cx, MonitorId { owner: serial, number });
            }
            ProcessAct::MonitorNode { number, node } => self.monitor_node(cx, serial, number, node),
            ProcessAct::Demonitor { number } => {
                let id = MonitorId { owner: serial, number };
                self.demonitor(cx, id);
                self.membership.forget(id);
            }
            ProcessAct::AwaitMembers { number, known } => {
                self.await_members(cx, signals, MonitorId { owner: serial, number }, known);
            }
            ProcessAct::MonitorNodes(filter) => self.subscribe(cx, signals, serial, &filter),
            ProcessAct::DemonitorNodes(filter) => self.subscriptions.remove(serial, &filter),
            ProcessAct::Link(other) => {
                if let Some((process, reason)) = self.link(cx, serial, other) {
                    self.exit_signal(cx, signals, serial, process, reason, true);
                }
            }
            ProcessAct::Unlink(other) => self.unlink(cx, serial, other),
            ProcessAct::Exit { target, reason } => self.exit(cx, signals, serial, &target, reason),
            ProcessAct::TrapExit(on) => {
                if let Some(process) = self.table.get_mut(&serial) {
                    process.trap_exit = on;
                }
            }
            // Of calls.
            ProcessAct::Call { .. } | ProcessAct::Abandon { .. } | ProcessAct::Reply { .. } => {}
            ProcessAct::CancelTimer { number } => {
                self.timers.cancel(cx, TimerId { owner: serial, number });
            }
            ProcessAct::SendAfter { number, after, target, payload } => {
                let timer = TimerId { owner: serial, number };
                self.send_later(cx, signals, (timer, cx.now + after), Late { target, payload });
            }
            ProcessAct::SendAt { number, at, target, payload } => {
                let timer = TimerId { owner: serial, number };
                self.send_later(cx, signals, (timer, at.max(cx.now)), Late { target, payload });
            }
        }
    }

    fn send_later(
        &mut self,
        cx: &mut Context<'_>,
        signals: &mut impl Signals,
        (timer, at): (TimerId, Instant),
        late: Late,
    ) {
        if !self.timers.set(cx, timer, at, late) {
            self.kill(cx, signals, timer.owner, ExitReason::SystemLimit);
        }
    }

    /// Ends a process from outside.
    fn kill(
        &mut self,
        cx: &mut Context<'_>,
        signals: &mut impl Signals,
        serial: Serial,
        reason: ExitReason,
    ) {
        cx.act(Action::End { process: serial, reason: reason.clone() });
        self.end(cx, signals, serial, reason);
    }

    /// A process ended: everything that hangs on it ends, and who cares is told. Processes that end
    /// for its sake follow in turn.
    fn end(
        &mut self,
        cx: &mut Context<'_>,
        signals: &mut impl Signals,
        serial: Serial,
        reason: ExitReason,
    ) {
        let mut ending = alloc::collections::VecDeque::from([(serial, reason)]);
        while let Some((serial, reason)) = ending.pop_front() {
            let Some(process) = self.table.remove(&serial) else { continue };
            for name in process.names {
                self.names.remove(&name);
            }
            self.subscriptions.forget(serial);
            self.membership.forget_all(serial);
            self.timers.forget(cx, serial);
            for (monitor, watched) in self.watches.take_owned(serial) {
                self.stop_watching(cx, monitor, &watched);
            }
            let from = self.id(cx, serial);
            for (watcher, lane) in self.watchers.take_target(serial) {
                self.tell_down(cx, signals, watcher, lane, reason.clone());
            }
            for other in self.links.take_all(serial) {
                if other.node != cx.me.instance.node {
                    let to = ProcessAt { birth: other.birth, serial: other.serial };
                    self.send_exit(cx, other.node, serial, TargetAt::Process(to), &reason, true);
                } else if self.links.remove(other.serial, from)
                    && let Some(reason) = self.take_exit(cx, other.serial, from, &reason, true)
                {
                    ending.push_back((other.serial, reason));
                }
            }
            cx.change(Change::ProcessEnded { process: serial, reason });
        }
    }

    /// Gives a process an exit signal. Says why it ends, if it does; it is not ended yet.
    fn take_exit(
        &mut self,
        cx: &mut Context<'_>,
        serial: Serial,
        from: ProcessId,
        reason: &ExitReason,
        linked: bool,
    ) -> Option<ExitReason> {
        if serial == Serial::NODE {
            return None;
        }
        let process = self.table.get(&serial)?;
        let kill = !linked && *reason == ExitReason::Kill;
        if process.trap_exit && !kill {
            let signal = Signal::Exit { from, reason: reason.clone() };
            cx.act(Action::Signal { process: serial, signal });
            return None;
        }
        if reason.is_normal() && (linked || from != self.id(cx, serial)) {
            return None;
        }
        let reason = if kill { ExitReason::Killed } else { reason.clone() };
        cx.act(Action::End { process: serial, reason: reason.clone() });
        Some(reason)
    }

    fn exit_signal(
        &mut self,
        cx: &mut Context<'_>,
        signals: &mut impl Signals,
        serial: Serial,
        from: ProcessId,
        reason: ExitReason,
        linked: bool,
    ) {
        if let Some(reason) = self.take_exit(cx, serial, from, &reason, linked) {
            self.end(cx, signals, serial, reason);
        }
    }

    fn send_exit(
        &self,
        cx: &mut Context<'_>,
        node: NodeId,
        from: Serial,
        to: TargetAt,
        reason: &ExitReason,
        linked: bool,
    ) {
        let (from, reason) = (self.at(from), reason.clone());
        send(cx, node, ProcessMessage::Exit { from, to, reason, linked });
    }

    /// A process sends another an exit signal (`exit/2`). Nobody there is no error.
    fn exit(
        &mut self,
        cx: &mut Context<'_>,
        signals: &mut impl Signals,
        from: Serial,
        target: &Target,
        reason: ExitReason,
    ) {
        let (node, to) = split(target);
        if node != cx.me.instance.node {
            return self.send_exit(cx, node, from, to, &reason, false);
        }
        if let Some(serial) = self.resolve(&to) {
            let from = self.id(cx, from);
            self.exit_signal(cx, signals, serial, from, reason, false);
        }
    }

    /// A peer's processes tell ours something.
    pub(crate) fn receive(
        &mut self,
        cx: &mut Context<'_>,
        signals: &mut impl Signals,
        from: Instance,
        message: ProcessMessage,
    ) {
        let peer = from.node;
        let theirs = |at: ProcessAt| ProcessId { node: peer, birth: at.birth, serial: at.serial };
        match message {
            ProcessMessage::Monitor { monitor, target, channel, key } => {
                // A channel that is unknown here falls back, as messages do.
                let channel = channel.and_then(|name| cx.config.channels.id(name.as_str()));
                let lane = Lane { channel: channel.unwrap_or(ChannelId::DEFAULT), key };
                if let Some(reason) = self.watch(cx, (peer, monitor), &target, lane) {
                    send(cx, peer, ProcessMessage::Down { monitor, reason });
                }
            }
            ProcessMessage::Demonitor { monitor } | ProcessMessage::DownSeen { monitor } => {
                self.watchers.remove((peer, monitor));
            }
            ProcessMessage::Down { monitor, reason } => self.down(cx, peer, monitor, reason),
            ProcessMessage::Link { from, to } => self.linked(cx, theirs(from), to),
            ProcessMessage::Unlink { from, to } => {
                if to.birth == self.birth {
                    self.links.remove(to.serial, theirs(from));
                }
                send(cx, peer, ProcessMessage::Unlinked { from: to, to: from });
            }
            ProcessMessage::Unlinked { from, to } => self.links.unlinked(to.serial, theirs(from)),
            ProcessMessage::Exit { from, to, reason, linked } => {
                let Some(serial) = self.resolve(&to) else { return };
                let stale = linked
                    && (self.links.is_unlinking(serial, theirs(from))
                        || !self.links.remove(serial, theirs(from)));
                if !stale {
                    self.exit_signal(cx, signals, serial, theirs(from), reason, linked);
                }
            }
            ProcessMessage::Abandon { .. } => {}
        }
    }

    /// News of an end came by a lane.
    pub(crate) fn receive_on_lane(
        &mut self,
        cx: &mut Context<'_>,
        from: Instance,
        monitor: MonitorId,
        reason: ExitReason,
    ) {
        send(cx, from.node, ProcessMessage::DownSeen { monitor });
        self.down(cx, from.node, monitor, reason);
    }

    /// Sends the message of a timer that is due.
    pub(crate) fn fire(&mut self, cx: &mut Context<'_>, timer: TimerId) -> Option<Late> {
        let late = self.timers.take(timer)?;
        let Late { target, payload } = late;
        let to_itself = matches!(&target, Target::Process(process)
            if *process == self.id(cx, timer.owner));
        if to_itself {
            let signal = Signal::Timer { number: timer.number, payload };
            cx.act(Action::Signal { process: timer.owner, signal });
            return None;
        }
        Some(Late { target, payload })
    }

    /// Cancels a timer: how long it had to go (`cancel_timer/1`).
    pub(crate) fn cancel_timer(
        &mut self,
        cx: &mut Context<'_>,
        timer: TimerId,
    ) -> Option<Duration> {
        self.timers.cancel(cx, timer)
    }

    /// What is known of a process.
    pub(crate) fn info(&self, node: NodeId, serial: Serial) -> Option<ProcessInfo> {
        let process = self.table.get(&serial)?;
        let monitors = self.watches.of(serial).filter_map(|(monitor, watched)| match watched {
            Watched::Process(target, _) => Some((monitor.number, target.clone())),
            Watched::Node(_) => None,
        });
        Some(ProcessInfo {
            process: ProcessId { node, birth: self.birth, serial },
            names: process.names.iter().filter(|name| !name.is_reserved()).cloned().collect(),
            trap_exit: process.trap_exit,
            links: self.links.of(serial).collect(),
            monitors: monitors.collect(),
            watched_by: self.watchers.on(serial),
            timers: self.timers.of(serial).collect(),
        })
    }

    /// All processes, in the order of their numbers.
    pub(crate) fn list(&self) -> impl Iterator<Item = Serial> {
        self.table.keys().copied()
    }

    /// All names that were registered, and whom they stand for.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&ProcessName, Serial)> {
        let registered = self.names.iter().filter(|(name, _)| !name.is_reserved());
        registered.map(|(name, serial)| (name, *serial))
    }

    /// How much of everything there is.
    pub(crate) fn counts(&self) -> ProcessCounts {
        ProcessCounts {
            processes: self.table.len(),
            names: self.names.len(),
            monitors: self.watches.len(),
            watchers: self.watchers.len(),
            links: self.links.len(),
            subscriptions: self.subscriptions.len() + self.membership.len(),
            timers: self.timers.len(),
        }
    }

    pub(crate) fn fingerprint(&self, hasher: &mut StableHasher) {
        self.table.hash(hasher);
        self.names.hash(hasher);
        self.watches.hash(hasher);
        self.watchers.hash(hasher);
        self.links.hash(hasher);
        self.subscriptions.hash(hasher);
        self.membership.hash(hasher);
        self.timers.hash(hasher);
    }
}

/// How much of everything that belongs to processes a node holds at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ProcessCounts {
    /// Living processes.
    pub processes: usize,
    /// Registered names.
    pub names: usize,
    /// Monitors of this node's processes.
    pub monitors: usize,
    /// Monitors on this node's processes, and news of ends that its watcher has not seen.
    pub watchers: usize,
    /// Ends of links here, and unlinkings that are not answered.
    pub links: usize,
    /// Subscriptions to nodes, and processes that wait for another membership.
    pub subscriptions: usize,
    /// Set timers.
    pub timers: usize,
}

/// Sends a signal on the membership channel; says whether there is a session for it.
fn send(cx: &mut Context<'_>, node: NodeId, message: ProcessMessage) -> bool {
    cx.send(node, ControlMessage::Process(message.into()))
}

/// A target's node, and what it is there.
fn split(target: &Target) -> (NodeId, TargetAt) {
    let at = match target {
        Target::Process(process) => {
            let ProcessId { birth, serial, .. } = *process;
            TargetAt::Process(ProcessAt { birth, serial })
        }
        Target::Name(_, name) => TargetAt::Name(name.clone()),
    };
    (target.node(), at)
}
