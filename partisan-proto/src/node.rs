//! The node: owns the parts, hands them what happens, runs to completion.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use crate::action::{Action, Answer, Delivery, Outbox};
use crate::broadcast::{BroadcastTree, Broadcasts};
use crate::call::{Call, Calls, Wires};
use crate::change::Change;
use crate::command::{Command, Send};
use crate::config::{Config, ManagerConfig};
use crate::connections::{ConnectionInfo, Connections, Counters, PeerInfo, Received, Routes};
use crate::context::{Context, Me};
use crate::delivery::Deliveries;
use crate::error::{CommandError, ConfigError, Misbehaviour};
use crate::event::Event;
use crate::id::{ChannelId, ConnectionId, Incarnation, Instance, NodeId, ProcessName, Ticket};
use crate::manager::client_server::Star;
use crate::manager::fixed::Fixed;
use crate::manager::hyparview::HyParView;
use crate::manager::pluggable::Pluggable;
use crate::manager::{Manager, Member, Views};
use crate::neighbors::Neighbors;
use crate::notification::Notification;
use crate::partitions::Partitions;
use crate::process::{
    Lane, Late, ProcessAct, ProcessCounts, ProcessId, ProcessInfo, Processes, RequestId, Serial,
    Signals,
};
use crate::question::{ExchangeInfo, QuestionId, Response};
use crate::random::Seed;
use crate::relay::{Relay, Ways};
use crate::snapshot::Snapshot;
use crate::spec::NodeSpec;
use crate::time::Instant;
use crate::timers::{Timer, Timers};
use crate::wire::{ControlMessage, Destination, Frame, PartitionId, ProcessMessage, StableHasher};

/// Who a node is at its start.
#[derive(Debug)]
pub struct Birth {
    /// What it tells about itself; its channels must be those of the configuration.
    pub spec: NodeSpec,
    /// Greater than that of any life before: one more than the stored one, or the time in
    /// milliseconds since 1970 where nothing is stored. One beyond [`Incarnation::MOST`] counts as
    /// that.
    pub incarnation: Incarnation,
    /// Where all its randomness comes from.
    pub seed: Seed,
    /// What it stored in its last life, if it did.
    pub snapshot: Option<Snapshot>,
    /// A manager of the user's own, in place of the configured one.
    pub manager: Option<Box<dyn Manager>>,
}

impl Birth {
    /// The node as its manager sees it at the start.
    #[must_use]
    pub fn me(&self) -> Me {
        let incarnation = self.incarnation.min(Incarnation::MOST);
        let instance = Instance { node: self.spec.id(), incarnation };
        Me { instance, spec: Arc::new(self.spec.clone()), stopping: false }
    }
}

/// A node of a cluster: one value, one mutating method.
///
/// See the [crate's documentation](crate) for how to drive it.
// In this order in memory: what each event needs comes first and so shares cache lines, which counts
// where one process has very many nodes.
#[derive(Debug)]
#[repr(C)]
pub struct Node {
    now: Instant,
    config: Arc<Config>,
    timers: Timers,
    manager: Box<dyn Manager>,
    routes: Routes,
    pub(crate) connections: Connections,
    neighbors: Neighbors,
    me: Me,
    questions: QuestionId,
    broadcast: Broadcasts,
    relay: Relay,
    partitions: Partitions,
    processes: Processes,
    calls: Calls,
    deliveries: Deliveries,
}

impl Node {
    /// Brings a node to life; what it wants to do first is left in `out`.
    ///
    /// # Errors
    /// [`ConfigError`] for a configuration that does not validate, a spec with other channels, an
    /// incarnation of zero, or somebody else's snapshot.
    pub fn start(
        now: Instant,
        birth: Birth,
        config: Arc<Config>,
        out: &mut Outbox,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let Birth { spec, incarnation, seed, snapshot, manager } = birth;
        if *spec.channels() != *sorted(config.channels.specs()) {
            return Err(ConfigError::ForeignChannels);
        }
        if incarnation == Incarnation::NONE {
            return Err(ConfigError::NoIncarnation);
        }
        let incarnation = incarnation.min(Incarnation::MOST);
        let instance = Instance { node: spec.id(), incarnation };
        let me = Me { instance, spec: Arc::new(spec), stopping: false };
        let manager = match (manager, &config.manager) {
            (Some(own), _) => own,
            (None, ManagerConfig::Pluggable(pluggable)) => {
                Box::new(Pluggable::new(&me, pluggable.clone(), &seed, snapshot)?)
            }
            (None, ManagerConfig::Static(fixed)) => {
                Box::new(Fixed::manager(&me, fixed, &seed, snapshot)?)
            }
            (None, ManagerConfig::ClientServer(star)) => {
                Box::new(Star::manager(&me, star, &seed, snapshot)?)
            }
            (None, ManagerConfig::HyParView(hyparview)) => {
                Box::new(HyParView::new(&me, hyparview.clone(), &seed, snapshot)?)
            }
        };
        let mut node = Self {
            now,
            connections: Connections::new(&seed),
            routes: Routes::new(config.connections.channel_fallback),
            me,
            timers: Timers::default(),
            neighbors: Neighbors::default(),
            questions: QuestionId::default(),
            manager,
            broadcast: Broadcasts::new(&seed),
            relay: Relay::default(),
            partitions: Partitions::default(),
            processes: Processes::new(incarnation),
            calls: Calls::new(incarnation),
            deliveries: Deliveries::new(&config),
            config,
        };
        node.run(out, |parts, cx| {
            parts.broadcast.start(cx);
            parts.manager.start(cx);
        });
        out.wake_at = node.timers.next();
        Ok(node)
    }

    /// Handles one event: the whole contract.
    ///
    /// Appends to `out.actions` what the driver must do, in order, and sets `out.wake_at` to when
    /// the node wants to be called again at the latest. Never fails, whatever a peer sent; a moment
    /// before the last one counts as the last one.
    pub fn handle(&mut self, now: Instant, event: Event, out: &mut Outbox) {
        self.now = self.now.max(now);
        match event {
            Event::Wake => {
                while let Some(timer) = self.timers.pop_due(self.now) {
                    self.run(out, |parts, cx| parts.fire(cx, timer));
                }
            }
            event => self.run(out, |parts, cx| parts.dispatch(cx, event)),
        }
        out.wake_at = self.timers.next();
    }

    /// Runs one step and everything that follows from it.
    fn run(&mut self, out: &mut Outbox, step: impl FnOnce(&mut Parts<'_>, &mut Context<'_>)) {
        let Self { now, config, me, timers, routes, neighbors, questions, .. } = self;
        let Self {
            connections,
            manager,
            broadcast,
            relay,
            partitions,
            processes,
            calls,
            deliveries,
            ..
        } = self;
        // Most steps change nothing, and then it allocates nothing; kept, it would be a good part
        // of a quiet node.
        let changes = &mut VecDeque::<Change>::new();
        let manager = manager.as_mut();
        let mut parts = Parts {
            connections,
            manager,
            broadcast,
            relay,
            partitions,
            processes,
            calls,
            deliveries,
        };
        let (now, actions) = (*now, &mut out.actions);
        let mut cx =
            Context { now, config, me, timers, routes, neighbors, questions, actions, changes };
        step(&mut parts, &mut cx);
        while let Some(change) = cx.changes.pop_front() {
            parts.connections.change(&mut cx, &change);
            parts.manager.change(&mut cx, &change);
            parts.broadcast.change(&mut cx, &change);
            parts.relay.change(&mut cx, &change);
            parts.partitions.change(&mut cx, &change);
            let Parts { connections, manager, processes, calls, deliveries, .. } = &mut parts;
            let around = &mut Around { connections, manager: &**manager };
            processes.change(&mut cx, around, &change);
            calls.change(&mut cx, around, &change);
            deliveries.change(&mut cx, around, &change);
        }
    }

    /// This node and its present life.
    #[must_use]
    pub const fn instance(&self) -> Instance {
        self.me.instance
    }

    /// What this node tells about itself.
    #[must_use]
    pub const fn spec(&self) -> &Arc<NodeSpec> {
        &self.me.spec
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// All members, this node included, sorted by name.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.manager.members()
    }

    /// One member, if it is one.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<Member> {
        self.manager.member(node)
    }

    /// Who is next to this node in the overlay.
    #[must_use]
    pub const fn neighbors(&self) -> &Neighbors {
        &self.neighbors
    }

    /// Whom the manager is connected to on purpose and whom it knows besides, where it
    /// distinguishes.
    #[must_use]
    pub fn views(&self) -> Views {
        self.manager.views()
    }

    /// Who is connected and by which connections: what a driver gives to its senders.
    #[must_use]
    pub const fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Every open connection, by peer, channel and lane.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        self.connections.list()
    }

    /// Which injected partitions this node is in, and to whom it sends nothing for each
    /// (`partitions/0` of Partisan's HyParView manager).
    #[must_use]
    pub fn partitions(&self) -> Vec<(PartitionId, NodeId)> {
        self.partitions.list()
    }

    /// What is known of the connection to a peer: its session, its last failure, its round-trip
    /// time.
    #[must_use]
    pub fn peer(&self, node: NodeId) -> Option<PeerInfo> {
        self.connections.peer(node)
    }

    /// How often what happened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            membership: self.manager.counters(),
            broadcast: self.broadcast.counters(),
            relay: self.relay.counters(),
            calls: self.calls.counters(),
            delivery: self.deliveries.counters(),
            partitions_refused: self.partitions.refused(),
            ..self.connections.counters()
        }
    }

    /// How broadcasts of `root` travel through this node: the links and what they are in the tree
    /// that its messages take at present (`partisan_plumtree_broadcast:debug_get_tree/2`).
    #[must_use]
    pub fn broadcast_tree(&self, root: NodeId) -> BroadcastTree {
        self.broadcast.tree(root)
    }

    /// The exchanges under way (`partisan_plumtree_broadcast:exchanges/0`).
    #[must_use]
    pub fn exchanges(&self) -> Vec<ExchangeInfo> {
        self.broadcast.exchanges()
    }

    /// All processes that live here, in the order of their numbers (`processes/0`).
    pub fn processes(&self) -> impl Iterator<Item = ProcessId> {
        let (node, birth) = (self.me.instance.node, self.processes.birth());
        self.processes.list().map(move |serial| ProcessId { node, birth, serial })
    }

    /// What is known of a process that lives here (`process_info/1`).
    #[must_use]
    pub fn process(&self, process: Serial) -> Option<ProcessInfo> {
        self.processes.info(self.me.instance.node, process)
    }

    /// Whom a name stands for here (`whereis/1`).
    #[must_use]
    pub fn whereis(&self, name: &ProcessName) -> Option<ProcessId> {
        let (node, birth) = (self.me.instance.node, self.processes.birth());
        self.processes.named(name).map(|serial| ProcessId { node, birth, serial })
    }

    /// All registered names, ascending, and whom they stand for (`registered/0`).
    pub fn registered(&self) -> impl Iterator<Item = (&ProcessName, Serial)> {
        self.processes.names()
    }

    /// How much of everything that belongs to processes there is.
    #[must_use]
    pub fn process_counts(&self) -> ProcessCounts {
        self.processes.counts()
    }

    /// How many messages wait for their acknowledgement, and how many causal ones here for others.
    #[must_use]
    pub fn deliveries(&self) -> (usize, usize) {
        self.deliveries.counts()
    }

    /// How many calls of this node wait for answers, and how many requests to be answered here.
    #[must_use]
    pub fn calls(&self) -> (usize, usize) {
        self.calls.counts()
    }

    /// All set timers, in the order they will fire.
    pub fn timers(&self) -> impl Iterator<Item = (Instant, Timer)> {
        self.timers.iter()
    }

    /// Whether it was told to stop.
    #[must_use]
    pub const fn is_stopping(&self) -> bool {
        self.me.stopping
    }

    /// A number that is equal for equal states: two runs of one seed must agree on it.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = StableHasher::default();
        self.me.instance.hash(&mut hasher);
        for routes in self.routes.peers() {
            routes.hash(&mut hasher);
        }
        for timer in self.timers.iter() {
            timer.hash(&mut hasher);
        }
        self.neighbors.hash(&mut hasher);
        hasher.write_u64(self.manager.fingerprint());
        self.relay.fingerprint(&mut hasher);
        self.partitions.fingerprint(&mut hasher);
        self.broadcast.hash(&mut hasher);
        self.processes.fingerprint(&mut hasher);
        self.calls.fingerprint(&mut hasher);
        self.deliveries.fingerprint(&mut hasher);
        hasher.finish()
    }
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort_unstable();
    items
}

/// The parts of a node, while one step runs.
struct Parts<'a> {
    connections: &'a mut Connections,
    manager: &'a mut dyn Manager,
    broadcast: &'a mut Broadcasts,
    relay: &'a mut Relay,
    partitions: &'a mut Partitions,
    processes: &'a mut Processes,
    calls: &'a mut Calls,
    deliveries: &'a mut Deliveries,
}

impl Parts<'_> {
    /// Where each event goes: one line an event.
    fn dispatch(&mut self, cx: &mut Context<'_>, event: Event) {
        match event {
            Event::Accepted { connection } => self.connections.accepted(cx, connection),
            Event::Opened { connection } => self.connections.opened(cx, connection),
            Event::OpenFailed { connection, error } => {
                self.connections.open_failed(cx, connection, error);
            }
            Event::Received { connection, frame } => {
                if let Some(received) = self.connections.received(cx, connection, frame) {
                    self.received(cx, received);
                }
            }
            Event::Closed { connection, reason } => self.connections.closed(cx, connection, reason),
            Event::Congested { connection } => {
                self.connections.set_congested(connection, true);
                self.broadcast.set_congested(connection, true);
            }
            Event::Drained { connection } => {
                self.connections.set_congested(connection, false);
                self.broadcast.set_congested(connection, false);
                if let Some(node) = self.connections.peer_of(connection) {
                    let Self { connections, manager, processes, calls, deliveries, .. } = self;
                    let around = &mut Around { connections, manager: &**manager };
                    deliveries.drained(cx, around, node);
                    processes.drained(cx, around, node);
                    calls.drained(cx, around, connection);
                }
            }
            Event::Process { process, act } => self.act(cx, process, *act),
            Event::Command { ticket, command } => self.command(cx, ticket, command),
            Event::Answered { id, response } => self.answered(cx, id, response),
            Event::Wake => {}
        }
    }

    /// Where each kind of answer goes.
    fn answered(&mut self, cx: &mut Context<'_>, id: QuestionId, response: Response) {
        match response {
            Response::Cost(_) => self.manager.answered(cx, id, &response),
            Response::Merge(_)
            | Response::IsStale(_)
            | Response::Fetch(_)
            | Response::ExchangeEnded(_) => self.broadcast.answered(cx, id, response),
        }
    }

    /// Where each kind of message goes.
    fn received(&mut self, cx: &mut Context<'_>, received: Received) {
        match received {
            Received::App(delivery) => cx.act(Action::Deliver(delivery)),
            Received::Relayed { from, channel, header, payload } => {
                let Self { connections, manager, relay, .. } = self;
                let ways = &mut Around { connections, manager: &**manager };
                relay.arrived(cx, ways, (from, channel), *header, payload);
            }
            Received::Request { from, connection, header, payload } => {
                let Self { connections, manager, processes, calls, .. } = self;
                let around = &mut Around { connections, manager: &**manager };
                calls.requested(cx, around, processes, (from, connection), (*header, payload));
            }
            Received::Newest { from, channel, header, payload } => {
                self.deliveries.receive_newest(cx, (from, channel), *header, payload);
            }
            Received::Reliable { from, channel, header, payload } => {
                self.deliveries.receive(cx, (from, channel), *header, payload);
            }
            Received::Reply { connection, header, payload } => {
                let Self { connections, manager, calls, .. } = self;
                let around = &mut Around { connections, manager: &**manager };
                calls.replied(cx, around, connection, *header, payload);
            }
            Received::Signal { from, connection, message } => match *message {
                ProcessMessage::Down { monitor, reason } => {
                    self.processes.receive_on_lane(cx, from, monitor, reason);
                }
                ProcessMessage::Abandon { birth, request } => {
                    self.calls.abandoned(from, birth, request);
                }
                _ => self.connections.misbehaved(cx, connection, Misbehaviour::WrongChannel),
            },
            Received::Broadcast { from, message } => {
                self.broadcast.receive_message(cx, from, message);
            }
            Received::Control { from, connection, message } => {
                let message = match message {
                    ControlMessage::Plumtree(message) => {
                        return self.broadcast.receive(cx, from, message);
                    }
                    ControlMessage::Relay(message) => {
                        return self.relay.receive(cx, from, message);
                    }
                    ControlMessage::Acknowledge(acknowledgement) => {
                        return self.deliveries.acknowledged(cx, from, &acknowledgement);
                    }
                    ControlMessage::Process(message) => {
                        let Self { connections, manager, processes, .. } = self;
                        let around = &mut Around { connections, manager: &**manager };
                        return processes.receive(cx, around, from, *message);
                    }
                    ControlMessage::Partition(message) => {
                        return self.partitions.receive(cx, from, message);
                    }
                    of_manager => of_manager,
                };
                if self.manager.receive(cx, from, message).is_err() {
                    self.connections.misbehaved(cx, connection, Misbehaviour::OtherManager);
                }
            }
        }
    }

    fn command(&mut self, cx: &mut Context<'_>, ticket: Ticket, command: Command) {
        if cx.me.stopping {
            return cx.reply(ticket, Err(CommandError::Stopping));
        }
        match command {
            Command::Send(send) => {
                let result = self.send(cx, send);
                cx.reply(ticket, result);
            }
            Command::SendReliable(send) => {
                let Self { connections, manager, deliveries, .. } = self;
                let around = &mut Around { connections, manager: &**manager };
                deliveries.send(cx, around, ticket, *send);
            }
            Command::InjectPartition { ttl } => {
                let result = self.partitions.inject(cx, ttl).map(Answer::Partition);
                cx.reply(ticket, result);
            }
            Command::ResolvePartition(id) => {
                self.partitions.resolve(cx, id);
                cx.reply(ticket, Ok(Answer::Done));
            }
            Command::Disconnect(node) => {
                let result = self.connections.disconnect(cx, node).map(|()| Answer::Done);
                cx.reply(ticket, result);
            }
            Command::Broadcast(broadcast) => {
                let result = self.broadcast.send(cx, broadcast).map(Answer::Broadcast);
                cx.reply(ticket, result);
            }
            Command::CancelExchanges(which) => {
                let cancelled = self.broadcast.cancel_exchanges(cx, which);
                cx.reply(ticket, Ok(Answer::Cancelled(cancelled)));
            }
            Command::Spawn { process, options } => {
                let result = self.processes.spawn(cx, process, options).map(|()| Answer::Done);
                cx.reply(ticket, result);
            }
            Command::Register { name, process } => {
                let result = self.processes.register(cx, process, name).map(|()| Answer::Done);
                cx.reply(ticket, result);
            }
            Command::Unregister(name) => {
                let result = self.processes.unregister(&name).map(|()| Answer::Done);
                cx.reply(ticket, result);
            }
            Command::CancelTimer(timer) => {
                let left = self.processes.cancel_timer(cx, timer);
                cx.reply(ticket, Ok(Answer::TimeLeft(left)));
            }
            Command::ReadTimer(timer) => {
                let due = cx.timers.due(Timer::Process(timer));
                let left = due.map(|due| due.since(cx.now));
                cx.reply(ticket, Ok(Answer::TimeLeft(left)));
            }
            Command::Stop => {
                cx.me.stopping = true;
                cx.change(Change::Stopping);
                cx.notify(Notification::Stopped);
                cx.reply(ticket, Ok(Answer::Done));
            }
            membership => self.manager.command(cx, ticket, membership),
        }
    }

    fn send(&mut self, cx: &mut Context<'_>, send: Send) -> Result<Answer, CommandError> {
        let (to, channel) = (send.to, send.channel);
        if cx.config.channels.name(channel).is_none() {
            return Err(CommandError::UnknownChannel(channel.0));
        }
        if channel == ChannelId::MEMBERSHIP {
            return Err(CommandError::ReservedChannel);
        }
        if to == cx.me.instance.node {
            let Send { destination, payload, .. } = send;
            let relayed = false;
            let delivery = Delivery { from: to, channel, relayed, destination, payload };
            cx.act(Action::Deliver(delivery));
            return Ok(Answer::Done);
        }
        if cx.config.channels.is_monotonic(channel) {
            let Self { connections, manager, deliveries, .. } = self;
            let around = &mut Around { connections, manager: &**manager };
            return deliveries.send_newest(cx, around, send);
        }
        let connected = match send.relay {
            // There may be no lane, as with a peer that is only probed.
            true => cx.routes.lane(to, channel, send.key, 0, |_| 0).map(|_| ()),
            false => cx.routes.check(to).map(|_| ()),
        };
        let Self { connections, manager, relay, .. } = self;
        let ways = &mut Around { connections, manager: &**manager };
        match connected {
            Err(error) if !send.relay || error == CommandError::Partitioned(to) => Err(error),
            Err(_) => relay.send(cx, ways, send).map(Answer::Relayed),
            Ok(()) => {
                let Send { key, destination, payload, .. } = send;
                let frame = Frame::App { destination, payload };
                ways.transmit(cx, to, (channel, key), frame)?;
                Ok(Answer::Done)
            }
        }
    }

    fn fire(&mut self, cx: &mut Context<'_>, timer: Timer) {
        match timer {
            Timer::EndHandshake(_)
            | Timer::KeepAlive(_)
            | Timer::Dial(..)
            | Timer::DialContact(_)
            | Timer::EndGoodbye(_) => {
                self.connections.fire(cx, timer);
            }
            Timer::Gossip
            | Timer::News
            | Timer::EndJoin(_)
            | Timer::Custom(_)
            | Timer::Strategy
            | Timer::Shuffle
            | Timer::Promote
            | Timer::Reconcile
            | Timer::Store
            | Timer::Peer(_)
            | Timer::Optimize
            | Timer::EndRound => {
                self.manager.fire(cx, timer);
            }
            Timer::Broadcast(timer) => self.broadcast.fire(cx, timer),
            Timer::Process(timer) => {
                if let Some(late) = self.processes.fire(cx, timer) {
                    self.send_late(cx, late);
                }
            }
            Timer::Retransmit(_) | Timer::Acknowledge(_) | Timer::Causal => {
                let Self { connections, manager, deliveries, .. } = self;
                let around = &mut Around { connections, manager: &**manager };
                deliveries.fire(cx, around, timer);
            }
            Timer::Request(request) => {
                let Self { connections, manager, calls, .. } = self;
                let around = &mut Around { connections, manager: &**manager };
                calls.fire(cx, around, request);
            }
        }
    }

    /// A process did something.
    fn act(&mut self, cx: &mut Context<'_>, process: Serial, act: ProcessAct) {
        let Self { connections, manager, processes, calls, .. } = self;
        let around = &mut Around { connections, manager: &**manager };
        match act {
            ProcessAct::Reply { reply_to, result } => calls.reply(cx, around, reply_to, result),
            ProcessAct::Abandon { number } => {
                calls.abandon(cx, around, RequestId { owner: process, number });
            }
            ProcessAct::Call { number, server, payload, timeout, lane } => {
                if processes.lives(process) {
                    let request = RequestId { owner: process, number };
                    let call = Call { request, server, payload, timeout, lane };
                    calls.ask(cx, around, processes, call);
                }
            }
            act => processes.act(cx, around, process, act),
        }
    }

    /// Sends what a process asked to be sent later, as if it sent it now.
    fn send_late(&mut self, cx: &mut Context<'_>, Late { target, payload }: Late) {
        let destination = Destination::of(&target);
        let (to, channel) = (target.node(), ChannelId::DEFAULT);
        let send = Send { to, channel, key: None, destination, relay: false, payload };
        // Best effort, as every plain message.
        _ = self.send(cx, send);
    }
}

/// What parts that send payloads are given of the others.
struct Around<'a> {
    connections: &'a mut Connections,
    manager: &'a dyn Manager,
}

impl Signals for Around<'_> {
    fn signal(
        &mut self,
        cx: &mut Context<'_>,
        to: NodeId,
        lane: Lane,
        message: ProcessMessage,
    ) -> Result<ConnectionId, CommandError> {
        self.transmit_by(cx, to, lane, Frame::Signal(Box::new(message)))
    }

    fn spec(&self, node: NodeId) -> Option<Arc<NodeSpec>> {
        self.connections.peer(node).map(|peer| peer.spec)
    }
}

impl Wires for Around<'_> {
    fn transmit_by(
        &mut self,
        cx: &mut Context<'_>,
        to: NodeId,
        Lane { channel, key }: Lane,
        frame: Frame,
    ) -> Result<ConnectionId, CommandError> {
        let load = |connection| self.connections.load(connection);
        let connection = cx.routes.lane(to, channel, key, frame.payload_frame_len(), load)?;
        if !self.connections.admit_message(connection) {
            return Err(CommandError::QueueFull(to));
        }
        cx.send_on(connection, frame);
        Ok(connection)
    }

    fn is_open(&self, connection: ConnectionId) -> bool {
        self.connections.peer_of(connection).is_some()
    }

    fn transmit_back(
        &mut self,
        cx: &mut Context<'_>,
        by: ConnectionId,
        frame: Frame,
    ) -> Result<(), CommandError> {
        let Some(node) = self.connections.peer_of(by) else {
            return Err(CommandError::NoSuchConnection(by));
        };
        cx.routes.fits(node, frame.payload_frame_len())?;
        if !self.connections.admit_message(by) {
            return Err(CommandError::QueueFull(node));
        }
        cx.send_on(by, frame);
        Ok(())
    }
}

impl Ways for Around<'_> {
    fn next_hop(&self, to: NodeId) -> Option<NodeId> {
        self.manager.next_hop(to)
    }

    fn transmit(
        &mut self,
        cx: &mut Context<'_>,
        to: NodeId,
        (channel, key): (ChannelId, Option<u64>),
        frame: Frame,
    ) -> Result<(), CommandError> {
        self.transmit_by(cx, to, Lane { channel, key }, frame).map(|_| ())
    }
}
