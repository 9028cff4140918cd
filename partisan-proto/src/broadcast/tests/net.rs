//! The broadcasts of several nodes on a network that takes its time and loses what a test says.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::boxed::Box;

use crate::action::Action;
use crate::broadcast::engine::Engine;
use crate::broadcast::{BroadcastCounters, Broadcasts};
use crate::change::Change;
use crate::command::Broadcast;
use crate::config::Config;
use crate::connections::{PeerRoutes, Routes};
use crate::context::{Context, Me};
use crate::error::CommandError;
use crate::id::{
    ConnectionId, Epoch, HandlerId, HandlerName, Incarnation, Instance, MessageId, NodeId,
};
use crate::manager::testing::{me, spec_at};
use crate::neighbors::Neighbors;
use crate::notification::Notification;
use crate::question::{Question, QuestionId, Response};
use crate::time::{Duration, Instant};
use crate::timers::{Timer, Timers};
use crate::wire::{BroadcastMessage, ControlMessage, Frame, PlumtreeMessage};

/// The longest that a test waits in vain.
const MOST_STEPS: usize = 2_000_000;

pub(super) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(super) fn handler(name: &str) -> HandlerId {
    HandlerId::of(&HandlerName::new(name).unwrap())
}

/// One node without a manager.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) config: Arc<Config>,
    pub(super) me: Me,
    pub(super) timers: Timers,
    pub(super) routes: Routes,
    pub(super) neighbors: Neighbors,
    questions: QuestionId,
    pub(super) part: Broadcasts,
    /// What was delivered, and when.
    pub(super) delivered: Vec<(Instant, Arc<BroadcastMessage>)>,
    pub(super) asked: Vec<(QuestionId, Question)>,
    pub(super) notifications: Vec<Notification>,
}

impl Peer {
    pub(super) fn engine(&self) -> &Engine {
        self.part.engine.as_deref().expect("it has met with a broadcast")
    }
}

/// Whether a frame arrives, by its sender, its receiver and itself.
pub(super) type Filter = Box<dyn FnMut(usize, usize, &Frame) -> bool>;

/// Several nodes.
pub(super) struct Net {
    pub(super) now: Instant,
    pub(super) peers: Vec<Peer>,
    links: BTreeSet<(usize, usize)>,
    /// Links whose payload lanes are not open.
    pub(super) laneless: BTreeSet<(usize, usize)>,
    delays: BTreeMap<(usize, usize), Duration>,
    pub(super) delay: Duration,
    /// By time of arrival and order of sending.
    flying: BTreeMap<(Instant, u64), (usize, usize, Frame)>,
    last: BTreeMap<(usize, usize), Instant>,
    sent: u64,
    pub(super) filter: Filter,
    /// Every frame that was sent.
    pub(super) log: Vec<(usize, usize, Frame)>,
}

impl Net {
    pub(super) fn new(nodes: usize) -> Self {
        Self::with(nodes, Config::default())
    }

    pub(super) fn with(nodes: usize, config: Config) -> Self {
        let config = Arc::new(config);
        let mut net = Self {
            now: Instant::from_secs(1_000),
            peers: Vec::new(),
            links: BTreeSet::new(),
            laneless: BTreeSet::new(),
            delays: BTreeMap::new(),
            delay: ms(10),
            flying: BTreeMap::new(),
            last: BTreeMap::new(),
            sent: 0,
            filter: Box::new(|_, _, _| true),
            log: Vec::new(),
        };
        for number in 0..nodes {
            net.add(config.clone(), number);
        }
        net
    }

    pub(super) fn add(&mut self, config: Arc<Config>, number: usize) {
        self.peers.push(Self::peer(config, number, 1));
        let last = self.peers.len() - 1;
        self.run(last, |part, cx| part.start(cx));
    }

    /// A node without neighbours dies, and begins a new life.
    pub(super) fn restart(&mut self, number: usize) {
        let Incarnation(life) = self.peers[number].me.instance.incarnation;
        self.peers[number] = Self::peer(self.peers[number].config.clone(), number, life + 1);
        self.run(number, |part, cx| part.start(cx));
    }

    fn peer(config: Arc<Config>, number: usize, life: u64) -> Peer {
        let spec = spec_at(&alloc::format!("n{number}"), number as u16 + 1);
        let mut seed = [0; 32];
        seed[0] = number as u8;
        Peer {
            config,
            me: me(&spec, life),
            timers: Timers::default(),
            routes: Routes::new(true),
            neighbors: Neighbors::default(),
            questions: QuestionId::default(),
            part: Broadcasts::new(&seed),
            delivered: Vec::new(),
            asked: Vec::new(),
            notifications: Vec::new(),
        }
    }

    pub(super) fn id(&self, number: usize) -> NodeId {
        self.peers[number].me.instance.node
    }

    pub(super) fn number(&self, node: NodeId) -> usize {
        let mut peers = self.peers.iter();
        peers.position(|peer| peer.me.instance.node == node).unwrap()
    }

    /// One step of a node, and all that follows from it.
    pub(super) fn run<T>(
        &mut self,
        number: usize,
        step: impl FnOnce(&mut Broadcasts, &mut Context<'_>) -> T,
    ) -> T {
        let peer = &mut self.peers[number];
        let (mut actions, mut changes) = (Vec::new(), VecDeque::new());
        let mut cx = Context {
            now: self.now,
            config: &peer.config,
            me: &mut peer.me,
            timers: &mut peer.timers,
            routes: &mut peer.routes,
            neighbors: &mut peer.neighbors,
            questions: &mut peer.questions,
            actions: &mut actions,
            changes: &mut changes,
        };
        let result = step(&mut peer.part, &mut cx);
        let mut measured = Vec::new();
        while let Some(change) = cx.changes.pop_front() {
            if let Change::Measure { node } = change {
                measured.push(node);
            }
            peer.part.change(&mut cx, &change);
        }
        self.perform(number, actions);
        for node in measured {
            let span = self.delay_between(number, self.number(node)) * 2;
            type Step = Box<dyn FnOnce(&mut Broadcasts, &mut Context<'_>)>;
            let told: Step =
                Box::new(move |part, cx| part.change(cx, &Change::RoundTrip { node, span }));
            self.run(number, told);
        }
        self.check(number);
        result
    }

    fn perform(&mut self, number: usize, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send { connection, frame } => {
                    let to = (connection.as_u64() / 4) as usize;
                    self.send(number, to, frame);
                }
                Action::DeliverBroadcast(message) => {
                    let delivered = &mut self.peers[number].delivered;
                    let again = delivered.iter().any(|(_, known)| known.id == message.id);
                    assert!(!again, "E2: {} is delivered twice", message.id);
                    delivered.push((self.now, message));
                }
                Action::Ask { id, question } => self.peers[number].asked.push((id, question)),
                Action::Notify(notification) => {
                    self.peers[number].notifications.push(notification);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, frame: Frame) {
        assert!(self.is_linked(from, to), "sends where there is no session");
        self.log.push((from, to, frame.clone()));
        if (self.filter)(from, to, &frame) {
            let lane = self.last.entry((from, to)).or_default();
            let delay = self.delays.get(&(from, to)).copied().unwrap_or(self.delay);
            let at = (self.now + delay).max(*lane);
            *lane = at;
            self.sent += 1;
            self.flying.insert((at, self.sent), (from, to, frame));
        }
    }

    fn delay_between(&self, from: usize, to: usize) -> Duration {
        self.delays.get(&(from, to)).copied().unwrap_or(self.delay)
    }

    /// Sets how long messages between two nodes take.
    pub(super) fn set_delay(&mut self, a: usize, b: usize, delay: Duration) {
        self.delays.insert((a, b), delay);
        self.delays.insert((b, a), delay);
    }

    /// Sets how long messages take one way, which nobody measures.
    pub(super) fn slow_down(&mut self, from: usize, to: usize, delay: Duration) {
        self.delays.insert((from, to), delay);
    }

    pub(super) fn is_linked(&self, a: usize, b: usize) -> bool {
        self.links.contains(&(a.min(b), a.max(b)))
    }

    fn route(&mut self, from: usize, to: usize) {
        let instance = self.peers[to].me.instance;
        let connection = |lane| ConnectionId::from_u64(to as u64 * 4 + lane);
        let lane = (!self.laneless.contains(&(from, to))).then(|| connection(1));
        self.peers[from].routes.up(PeerRoutes {
            reads_lz4: false,
            instance,
            epoch: Epoch(1),
            max_frame: 1 << 20,
            anchor: connection(0),
            channels: alloc::vec![alloc::vec![Some(connection(0))], alloc::vec![lane]].into(),
        });
    }

    /// The lanes for payloads open.
    pub(super) fn open_lanes(&mut self) {
        for (from, to) in core::mem::take(&mut self.laneless) {
            self.route(from, to);
        }
    }

    /// The lanes for payloads between two nodes are full, or have drained.
    pub(super) fn congest(&mut self, from: usize, to: usize, full: bool) {
        let lane = ConnectionId::from_u64(to as u64 * 4 + 1);
        self.peers[from].part.set_congested(lane, full);
    }

    /// Two nodes become neighbours.
    pub(super) fn connect(&mut self, a: usize, b: usize) {
        assert!(self.links.insert((a.min(b), a.max(b))), "{a} and {b} are neighbours");
        for (one, other) in [(a, b), (b, a)] {
            self.route(one, other);
        }
        for (one, other) in [(a, b), (b, a)] {
            let instance = self.peers[other].me.instance;
            self.run(one, |_, cx| cx.neighbor_up(instance));
        }
    }

    /// The session of two nodes ends; what was on its way is lost.
    pub(super) fn disconnect(&mut self, a: usize, b: usize) {
        assert!(self.links.remove(&(a.min(b), a.max(b))), "{a} and {b} are no neighbours");
        self.flying.retain(|_, (from, to, _)| (*from, *to) != (a, b) && (*from, *to) != (b, a));
        for (one, other) in [(a, b), (b, a)] {
            let node = self.id(other);
            self.peers[one].routes.down(node);
            self.run(one, |_, cx| cx.neighbor_down(node));
        }
    }

    /// Node `a` has another neighbour in the place of one.
    pub(super) fn swap(&mut self, a: usize, gone: usize, new: usize) {
        self.links.remove(&(a.min(gone), a.max(gone)));
        self.links.insert((a.min(new), a.max(new)));
        self.flying
            .retain(|_, (from, to, _)| (*from, *to) != (a, gone) && (*from, *to) != (gone, a));
        self.route(a, new);
        self.route(new, a);
        let (me, gone_id) = (self.peers[a].me.instance, self.id(gone));
        self.peers[gone].routes.down(me.node);
        self.peers[a].routes.down(gone_id);
        self.run(gone, |_, cx| cx.neighbor_down(me.node));
        let instance = self.peers[new].me.instance;
        self.run(a, |_, cx| cx.neighbor_swapped(gone_id, instance));
        self.run(new, |_, cx| cx.neighbor_up(me));
    }

    pub(super) fn connect_all(&mut self, edges: &[(usize, usize)]) {
        edges.iter().for_each(|(a, b)| self.connect(*a, *b));
    }

    pub(super) fn try_broadcast(
        &mut self,
        node: usize,
        handler: HandlerId,
        payload: &[u8],
    ) -> Result<MessageId, CommandError> {
        let (key, payload) = (bytes::Bytes::from_static(b"key"), payload.to_vec().into());
        self.run(node, |part, cx| part.send(cx, Broadcast { handler, key, payload }))
    }

    pub(super) fn broadcast(&mut self, node: usize) -> MessageId {
        self.try_broadcast(node, handler("default"), b"hello").unwrap()
    }

    pub(super) fn answer(&mut self, node: usize, id: QuestionId, response: Response) {
        self.run(node, |part, cx| part.answered(cx, id, response));
    }

    /// Something arrives that no node sent.
    pub(super) fn forge(&mut self, from: usize, to: usize, message: PlumtreeMessage) {
        let from = self.peers[from].me.instance;
        self.run(to, |part, cx| part.receive(cx, from, message));
    }

    /// A message arrives that no node sent.
    pub(super) fn forge_message(&mut self, from: usize, to: usize, message: BroadcastMessage) {
        let from = self.peers[from].me.instance;
        self.run(to, |part, cx| part.receive_message(cx, from, Arc::new(message)));
    }

    fn arrive(&mut self, from: usize, to: usize, frame: Frame) {
        let from = self.peers[from].me.instance;
        match frame {
            Frame::Broadcast(message) => {
                self.run(to, |part, cx| part.receive_message(cx, from, message));
            }
            Frame::Control(ControlMessage::Plumtree(message)) => {
                self.run(to, |part, cx| part.receive(cx, from, message));
            }
            other => panic!("{other:?}"),
        }
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        for _ in 0..MOST_STEPS {
            let timer = |peer: &Peer| peer.timers.next().map(|(at, _)| at);
            let timers = (0..self.peers.len()).filter_map(|n| Some((timer(&self.peers[n])?, n)));
            let timer = timers.min().filter(|(at, _)| *at <= end);
            let frame = self.flying.keys().next().copied().filter(|(at, _)| *at <= end);
            match (frame, timer) {
                (Some((at, _)), timer) if timer.is_none_or(|(due, _)| at <= due) => {
                    self.now = self.now.max(at);
                    let (_, (from, to, frame)) = self.flying.pop_first().unwrap();
                    self.arrive(from, to, frame);
                }
                (_, Some((at, node))) => {
                    self.now = self.now.max(at);
                    let timer = self.peers[node].timers.pop_due(self.now).unwrap();
                    let Timer::Broadcast(timer) = timer else { panic!("{timer:?}") };
                    self.run(node, |part, cx| part.fire(cx, timer));
                    let again = self.peers[node].timers.due(Timer::Broadcast(timer));
                    assert!(again.is_none_or(|at| at > self.now), "{timer:?} at once again");
                }
                _ => {
                    self.now = end;
                    return;
                }
            }
        }
        panic!("it never ends");
    }

    /// The invariants of a node.
    fn check(&self, number: usize) {
        let peer = &self.peers[number];
        let Some(engine) = peer.part.engine.as_deref() else { return };
        engine.missing.check();
        let links: Vec<_> = engine.links.nodes().collect();
        for id in engine.tree_ids() {
            let tree = engine.tree(id).unwrap();
            let mut both: Vec<_> = tree.nodes(true).chain(tree.nodes(false)).collect();
            both.sort_unstable();
            assert_eq!(both, links, "E1: eager and lazy are the links, on node {number}");
            assert!(tree.parent.is_none_or(|parent| tree.is_eager(parent)), "a lazy parent");
        }
        let config = &peer.config.broadcast;
        assert!(engine.missing.len() <= config.max_missing, "E5");
        assert!(engine.own.len() <= config.max_own_trees, "E5");
    }

    pub(super) fn counters(&self) -> BroadcastCounters {
        let mut sum = BroadcastCounters::default();
        for counters in self.peers.iter().map(|peer| peer.part.counters()) {
            sum.payloads += counters.payloads;
            sum.duplicates += counters.duplicates;
            sum.grafts += counters.grafts;
            sum.spurious_grafts += counters.spurious_grafts;
            sum.prunes += counters.prunes;
            sum.heartbeats += counters.heartbeats;
            sum.announced += counters.announced;
            sum.not_found += counters.not_found;
            sum.given_up += counters.given_up;
            sum.delivered += counters.delivered;
        }
        sum
    }

    /// Who was handed a message.
    pub(super) fn receivers(&self, id: MessageId) -> Vec<usize> {
        let has = |peer: &Peer| peer.delivered.iter().any(|(_, message)| message.id == id);
        (0..self.peers.len()).filter(|n| has(&self.peers[*n])).collect()
    }

    pub(super) fn all(&self) -> Vec<usize> {
        (0..self.peers.len()).collect()
    }

    /// The eager links of the tree of messages from `root`, each direction by itself.
    pub(super) fn eager(&self, root: usize) -> BTreeSet<(usize, usize)> {
        let root = self.id(root);
        let eager = |number: usize| {
            let tree = self.peers[number].part.tree(root);
            tree.eager.into_iter().map(move |node| (number, self.number(node)))
        };
        self.all().into_iter().flat_map(eager).collect()
    }

    /// S1 and S2: the eager links are the same from both ends, and a tree over all nodes.
    pub(super) fn assert_spanning(&self, root: usize) {
        let eager = self.eager(root);
        assert!(eager.iter().all(|(a, b)| eager.contains(&(*b, *a))), "S1: {eager:?}");
        assert_eq!(eager.len(), 2 * (self.peers.len() - 1), "S2: {eager:?}");
        let (mut reached, mut front) = (BTreeSet::from([root]), alloc::vec![root]);
        while let Some(next) = front.pop() {
            let beyond = eager.iter().filter(|(from, _)| *from == next).map(|(_, to)| *to);
            front.extend(beyond.filter(|to| reached.insert(*to)));
        }
        assert_eq!(reached.len(), self.peers.len(), "S2: connected");
    }

    /// Forgets the log, and says what it held.
    pub(super) fn take_log(&mut self) -> Vec<(usize, usize, Frame)> {
        core::mem::take(&mut self.log)
    }
}

/// The messages of broadcast trees in a log, with sender and receiver.
pub(super) fn plumtree(log: &[(usize, usize, Frame)]) -> Vec<(usize, usize, &PlumtreeMessage)> {
    let mut found = Vec::new();
    for entry in log {
        if let Frame::Control(ControlMessage::Plumtree(message)) = &entry.2 {
            found.push((entry.0, entry.1, message));
        }
    }
    found
}

/// The payloads in a log.
pub(super) fn payloads(log: &[(usize, usize, Frame)]) -> usize {
    log.iter().filter(|(_, _, frame)| matches!(frame, Frame::Broadcast(_))).count()
}

/// The message that a test forges.
pub(super) fn message(origin: u64, sequence: u64) -> BroadcastMessage {
    let origin = Instance { node: NodeId::from_u64(origin), incarnation: Incarnation(1) };
    BroadcastMessage {
        id: MessageId { origin, sequence },
        hops: 1,
        own: false,
        stored: false,
        handler: handler("default"),
        key: bytes::Bytes::new(),
        payload: bytes::Bytes::from_static(b"forged"),
    }
}
