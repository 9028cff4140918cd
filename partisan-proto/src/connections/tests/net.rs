//! The smallest network that can carry a handshake: whole nodes, no latency, one queue.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::call::Request;
use crate::change::Change;
use crate::command::{Command, Contact};
use crate::config::{ChannelOptions, Channels, Config};
use crate::context::Context;
use crate::error::{CloseReason, CommandError, OpenError, Refusal};
use crate::id::{ChannelName, ConnectionId, Incarnation, Instance, NodeId, NodeName, Ticket};
use crate::manager::{Manager, Member};
use crate::process::{ExitReason, Serial, Signal};
use crate::spec::{Address, NodeSpec};
use crate::time::{Duration, Instant};
use crate::timers::Timer;
use crate::wire::{ControlMessage, Frame};
use crate::{Action, Answer, Birth, ContactId, Delivery, Event, Node, Notification, Outbox};

/// A manager that keeps whom it is told to keep and admits everybody, or nobody.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    pub(crate) keep: Vec<Arc<NodeSpec>>,
    pub(crate) turn_away: Option<Refusal>,
    pub(crate) contacts: u32,
    /// Whether its peers are its neighbours.
    pub(crate) neighbors: bool,
    /// What it tells the connections at the next [`Command::UpdateMembers`].
    pub(crate) wishes: Shared<Change>,
    /// What the connections told it of probes and round trips.
    pub(crate) told: Shared<Change>,
}

/// A list that a test holds the other end of.
pub(crate) type Shared<T> = Arc<std::sync::Mutex<Vec<T>>>;

impl Keeper {
    pub(crate) fn keeping(spec: NodeSpec) -> Self {
        Self { keep: vec![spec.into()], ..Self::default() }
    }
}

impl Manager for Keeper {
    fn start(&mut self, cx: &mut Context<'_>) {
        for spec in &self.keep {
            let instance = Instance { node: spec.id(), incarnation: Incarnation(1) };
            cx.change(Change::Keep { instance, spec: spec.clone(), patient: false });
        }
    }

    fn command(&mut self, cx: &mut Context<'_>, ticket: Ticket, command: Command) {
        match command {
            Command::Join(target) => {
                self.contacts += 1;
                let contact = ContactId(self.contacts);
                let failures = 0;
                cx.change(Change::DialContact { contact, target, lanes: true, failures });
            }
            Command::Remove(node) => {
                cx.change(Change::Release { node, reason: CloseReason::Removed });
            }
            Command::Leave => {
                cx.reincarnate(Incarnation::NONE);
                cx.change(Change::Reborn { reason: CloseReason::Left });
            }
            Command::UpdateMembers(_) => {
                cx.change(Change::Verify);
                for wish in self.wishes.lock().unwrap().drain(..) {
                    cx.change(wish);
                }
            }
            _ => {}
        }
        cx.reply(ticket, Ok(Answer::Done));
    }

    fn change(&mut self, cx: &mut Context<'_>, change: &Change) {
        match change {
            Change::PeerUp { instance, .. } if self.neighbors => cx.neighbor_up(*instance),
            Change::PeerDown { instance, .. } if self.neighbors => cx.neighbor_down(instance.node),
            _ => {}
        }
        if let Change::Outdated { refusal: Refusal::StaleIncarnation(known) } = change {
            cx.reincarnate(*known);
        }
        if let Change::ProbeFailed { .. } | Change::RoundTrip { .. } | Change::PeerUp { .. } =
            change
        {
            self.told.lock().unwrap().push(change.clone());
        }
        if let Change::Knock { connection, .. } = change {
            let connection = *connection;
            cx.change(match self.turn_away {
                Some(refusal) => Change::TurnAway { connection, refusal },
                None => Change::Admit { connection },
            });
        }
    }

    fn receive(
        &mut self,
        _cx: &mut Context<'_>,
        _from: Instance,
        message: ControlMessage,
    ) -> Result<(), Box<ControlMessage>> {
        Err(Box::new(message))
    }

    fn fire(&mut self, _cx: &mut Context<'_>, _timer: Timer) {}

    fn members(&self) -> Vec<Member> {
        Vec::new()
    }

    fn member(&self, _node: NodeId) -> Option<Member> {
        None
    }

    fn fingerprint(&self) -> u64 {
        0
    }
}

pub(crate) type End = (usize, ConnectionId);

/// Some nodes and the connections between them.
pub(crate) struct Net {
    pub(crate) now: Instant,
    pub(crate) nodes: Vec<Option<Node>>,
    links: Vec<(End, End)>,
    queue: VecDeque<(usize, Event)>,
    accepted: u64,
    pub(crate) notes: Vec<(usize, Notification)>,
    pub(crate) deliveries: Vec<(usize, Delivery)>,
    /// What processes were told, which requests they were handed, and who was ended.
    pub(crate) signals: Vec<(usize, Serial, Signal)>,
    pub(crate) served: Vec<(usize, Request)>,
    pub(crate) ended: Vec<(usize, Serial, ExitReason)>,
    pub(crate) replies: Vec<(usize, Result<Answer, CommandError>)>,
    pub(crate) closes: Vec<(usize, CloseReason)>,
    /// Frames from or to these nodes vanish without a trace.
    pub(crate) mute: Vec<usize>,
    pub(crate) frames: usize,
    /// What was on its way to a node that [`Net::hold`] was told of.
    held: Vec<(usize, Event)>,
    /// How many dependencies each causal message carried.
    dependencies: Vec<usize>,
    wakes: Vec<Option<Instant>>,
}

pub(crate) fn channels(named: &[(&str, u8)]) -> Channels {
    let channel = |(name, parallelism): &(&str, u8)| {
        (ChannelName::new(name).unwrap(), ChannelOptions::lanes(*parallelism))
    };
    Channels::new(named.iter().map(channel)).unwrap()
}

pub(crate) fn spec(index: usize, config: &Config) -> NodeSpec {
    let name = NodeName::new(&format!("node{index}@h")).unwrap();
    NodeSpec::new(name, vec![address(index)], &config.channels, vec![]).unwrap()
}

pub(crate) fn address(index: usize) -> Address {
    Address::from(core::net::SocketAddr::from(([127, 0, 0, 1], 9000 + index as u16)))
}

impl Net {
    pub(crate) fn new() -> Self {
        Self {
            now: Instant::from_secs(1),
            nodes: Vec::new(),
            links: Vec::new(),
            queue: VecDeque::new(),
            accepted: 0,
            notes: Vec::new(),
            deliveries: Vec::new(),
            signals: Vec::new(),
            served: Vec::new(),
            ended: Vec::new(),
            replies: Vec::new(),
            closes: Vec::new(),
            mute: Vec::new(),
            frames: 0,
            held: Vec::new(),
            dependencies: Vec::new(),
            wakes: Vec::new(),
        }
    }

    /// As many nodes with this configuration, strangers to each other.
    pub(crate) fn with(count: usize, config: &Config) -> Self {
        let mut net = Self::new();
        for _ in 0..count {
            net.add(config, 1, Keeper::default());
        }
        net
    }

    pub(crate) fn add(&mut self, config: &Config, incarnation: u64, keeper: Keeper) -> usize {
        let index = self.nodes.len();
        self.nodes.push(None);
        self.wakes.push(None);
        self.start(index, config, incarnation, keeper);
        index
    }

    pub(crate) fn start(&mut self, index: usize, config: &Config, life: u64, keeper: Keeper) {
        self.start_as(index, spec(index, config), config, life, keeper);
    }

    pub(crate) fn start_as(
        &mut self,
        index: usize,
        spec: NodeSpec,
        config: &Config,
        life: u64,
        keeper: Keeper,
    ) {
        let birth = Birth {
            spec,
            incarnation: Incarnation(life),
            seed: [index as u8 + life as u8; 32],
            snapshot: None,
            manager: Some(Box::new(keeper)),
        };
        let mut out = Outbox::default();
        let node = Node::start(self.now, birth, Arc::new(config.clone()), &mut out).unwrap();
        self.nodes[index] = Some(node);
        self.perform(index, out);
    }

    /// The node dies; its connections are reset.
    pub(crate) fn crash(&mut self, index: usize) {
        self.nodes[index] = None;
        self.cut(|a, b| a.0 == index || b.0 == index);
    }

    /// Breaks every connection of which `which` says so.
    pub(crate) fn cut(&mut self, which: impl Fn(End, End) -> bool) {
        let (cut, kept) = self.links.iter().copied().partition(|(a, b)| which(*a, *b));
        self.links = kept;
        let cut: Vec<(End, End)> = cut;
        for (index, connection) in cut.into_iter().flat_map(|(a, b)| [a, b]) {
            let reason = CloseReason::Broken;
            self.queue.push_back((index, Event::Closed { connection, reason }));
        }
    }

    /// Breaks connections as [`Net::cut`] does, and what is on its way by them never arrives.
    pub(crate) fn lose(&mut self, which: impl Fn(End, End) -> bool) {
        let cut: Vec<End> =
            self.links.iter().filter(|(a, b)| which(*a, *b)).flat_map(|(a, b)| [*a, *b]).collect();
        self.queue.retain(|(index, event)| match event {
            Event::Received { connection, .. } => !cut.contains(&(*index, *connection)),
            _ => true,
        });
        self.cut(which);
    }

    pub(crate) fn command(&mut self, index: usize, command: Command) {
        self.handle(index, Event::Command { ticket: Ticket(0), command });
    }

    pub(crate) fn join(&mut self, index: usize, contact: usize) {
        self.command(index, Command::Join(Contact::at(address(contact))));
    }

    pub(crate) fn handle(&mut self, index: usize, event: Event) {
        let Some(node) = self.nodes[index].as_mut() else {
            return;
        };
        let mut out = Outbox::default();
        node.handle(self.now, event, &mut out);
        self.perform(index, out);
    }

    fn perform(&mut self, index: usize, out: Outbox) {
        self.wakes[index] = out.wake_at.map(|(at, _)| at);
        for action in out.actions {
            match action {
                Action::Open { connection, addresses, .. } => {
                    self.open(index, connection, &addresses);
                }
                Action::Send { connection, frame } => self.send((index, connection), frame),
                Action::Close { connection, reason, .. } => {
                    self.closes.push((index, reason));
                    self.close((index, connection));
                }
                Action::Deliver(delivery) => self.deliveries.push((index, delivery)),
                Action::Reply { result, .. } => self.replies.push((index, result)),
                Action::Notify(note) => self.notes.push((index, note)),
                Action::Signal { process, signal } => self.signals.push((index, process, signal)),
                Action::Serve(request) => self.served.push((index, request)),
                Action::End { process, reason } => self.ended.push((index, process, reason)),
                Action::DeliverBroadcast(_) | Action::Persist(_) | Action::Ask { .. } => {}
            }
        }
    }

    fn open(&mut self, index: usize, connection: ConnectionId, addresses: &[Address]) {
        let target = (0..self.nodes.len()).find(|other| addresses.contains(&address(*other)));
        match target.filter(|other| self.nodes[*other].is_some()) {
            Some(other) => {
                self.accepted += 1;
                let there = ConnectionId::accepted(self.accepted);
                self.links.push(((index, connection), (other, there)));
                self.queue.push_back((other, Event::Accepted { connection: there }));
                self.queue.push_back((index, Event::Opened { connection }));
            }
            None => {
                let error = OpenError::Refused;
                self.queue.push_back((index, Event::OpenFailed { connection, error }));
            }
        }
    }

    pub(crate) fn other_end(&self, end: End) -> Option<End> {
        self.links.iter().find_map(|(a, b)| match end {
            end if end == *a => Some(*b),
            end if end == *b => Some(*a),
            _ => None,
        })
    }

    fn send(&mut self, from: End, frame: Frame) {
        self.frames += 1;
        if let Frame::Reliable { header, .. } = &frame
            && let Some(causal) = &header.causal
        {
            self.dependencies.push(causal.after.len() + causal.elsewhere.len());
        }
        let Some((other, connection)) = self.other_end(from) else {
            return;
        };
        if !self.mute.contains(&other) && !self.mute.contains(&from.0) {
            self.queue.push_back((other, Event::Received { connection, frame }));
        }
    }

    fn close(&mut self, end: End) {
        if let Some((other, connection)) = self.other_end(end) {
            self.links.retain(|(a, b)| *a != end && *b != end);
            let reason = CloseReason::ClosedByPeer;
            self.queue.push_back((other, Event::Closed { connection, reason }));
        }
    }

    /// Takes out what is on its way to a node by the lanes of messages.
    pub(crate) fn hold(&mut self, index: usize) {
        let message = |(to, event): &(usize, Event)| {
            let payload = matches!(event, Event::Received { frame, .. } if frame.has_payload());
            *to == index && payload
        };
        let (held, others) = self.queue.drain(..).partition(message);
        let held: Vec<(usize, Event)> = held;
        self.held.extend(held);
        self.queue = others.into();
    }

    pub(crate) fn take_held(&mut self) -> Vec<(usize, Event)> {
        core::mem::take(&mut self.held)
    }

    pub(crate) fn release(&mut self, held: Vec<(usize, Event)>) {
        self.queue.extend(held);
    }

    pub(crate) fn causal_sizes(&self) -> &[usize] {
        &self.dependencies
    }

    /// Delivers one thing that is on its way, of the connection of one's choice: what goes by one
    /// connection keeps its order, and no other. `false` when nothing is.
    pub(crate) fn step(&mut self, choice: usize) -> bool {
        let way = |(index, event): &(usize, Event)| match event {
            Event::Received { connection, .. } | Event::Closed { connection, .. } => {
                (*index, Some(*connection))
            }
            _ => (*index, None),
        };
        let mut ways: Vec<_> = self.queue.iter().map(way).collect();
        ways.sort_unstable();
        ways.dedup();
        let Some(chosen) = ways.get(choice % ways.len().max(1)).copied() else {
            return false;
        };
        let place = self.queue.iter().position(|item| way(item) == chosen);
        if let Some((index, event)) = place.and_then(|place| self.queue.remove(place)) {
            self.handle(index, event);
        }
        true
    }

    /// Delivers everything that is on its way, and what follows from it.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100_000 {
            let Some((index, event)) = self.queue.pop_front() else {
                return;
            };
            self.handle(index, event);
        }
        panic!("the network does not settle");
    }

    /// Lets time pass, stopping at each timer.
    pub(crate) fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        self.settle();
        while let Some(at) = self.wakes.iter().flatten().copied().min().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            for index in 0..self.nodes.len() {
                if self.wakes[index].is_some_and(|wake| wake <= self.now) {
                    self.wakes[index] = None;
                    self.handle(index, Event::Wake);
                }
            }
            self.settle();
        }
        self.now = end;
    }

    pub(crate) fn id(&self, index: usize) -> NodeId {
        spec(index, &Config::default()).id()
    }

    pub(crate) fn node(&self, index: usize) -> &Node {
        self.nodes[index].as_ref().unwrap()
    }

    /// Whether both have a session with each other, of the same epoch, with every lane open and
    /// each connection known to both.
    pub(crate) fn joined(&self, a: usize, b: usize) -> bool {
        let one = self.node(a).routes().peer(self.id(b));
        let other = self.node(b).routes().peer(self.id(a));
        let (Some(one), Some(other)) = (one, other) else {
            return false;
        };
        let mirrored = one.connections().all(|connection| {
            let there = self.other_end((a, connection));
            there.is_some_and(|(index, id)| index == b && other.connections().any(|c| c == id))
        });
        let counts = one.connections().count() == other.connections().count();
        one.epoch == other.epoch && one.is_full() && other.is_full() && mirrored && counts
    }

    /// The notifications of a node since the last call.
    pub(crate) fn take_notes(&mut self, index: usize) -> Vec<Notification> {
        let (taken, left) = self.notes.drain(..).partition(|(node, _)| *node == index);
        self.notes = left;
        let taken: Vec<(usize, Notification)> = taken;
        taken.into_iter().map(|(_, note)| note).collect()
    }

    pub(crate) fn links(&self) -> usize {
        self.links.len()
    }
}
