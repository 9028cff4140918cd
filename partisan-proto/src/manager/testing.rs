//! Runs a manager alone, or several against each other without connections in between.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::Manager;
use crate::action::{Action, Answer};
use crate::change::{Change, ContactId};
use crate::command::{Command, Contact};
use crate::config::{Channels, Config};
use crate::connections::{PeerRoutes, Routes};
use crate::context::{Context, Me};
use crate::error::{CloseReason, CommandError, OpenError, Refusal};
use crate::id::{ConnectionId, Epoch, Incarnation, Instance, NodeId, NodeName, Ticket};
use crate::neighbors::Neighbors;
use crate::notification::{DialError, Notification};
use crate::question::QuestionId;
use crate::spec::{Address, Host, NodeSpec};
use crate::time::{Duration, Instant};
use crate::timers::{Timer, Timers};
use crate::wire::{ControlMessage, Frame, encode};

/// The spec of the node called `name`, listening on `port`.
pub(crate) fn spec_at(name: &str, port: u16) -> Arc<NodeSpec> {
    let address = Address { host: Host::Ip([127, 0, 0, 1].into()), port };
    let name = NodeName::new(name).unwrap();
    let spec = NodeSpec::new(name, vec![address], &Channels::default(), vec![]);
    Arc::new(spec.unwrap())
}

pub(crate) fn me(spec: &Arc<NodeSpec>, incarnation: u64) -> Me {
    Me { instance: instance(spec, incarnation), spec: spec.clone(), stopping: false }
}

pub(crate) fn instance(spec: &NodeSpec, incarnation: u64) -> Instance {
    Instance { node: spec.id(), incarnation: Incarnation(incarnation) }
}

/// A manager and everything its context needs.
#[derive(Debug)]
pub(crate) struct Machine<M> {
    pub(crate) now: Instant,
    pub(crate) config: Config,
    pub(crate) me: Me,
    pub(crate) timers: Timers,
    pub(crate) routes: Routes,
    pub(crate) neighbors: Neighbors,
    questions: QuestionId,
    pub(crate) manager: M,
}

/// What one step left.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) actions: Vec<Action>,
    pub(crate) changes: Vec<Change>,
    /// The changes of neighbours, which most tests are not about.
    pub(crate) overlay: Vec<Change>,
}

impl Output {
    pub(crate) fn notifications<'a>(&'a self) -> Vec<&'a Notification> {
        let notification = |action: &'a Action| match action {
            Action::Notify(Notification::NeighborUp { .. } | Notification::NeighborDown { .. }) => {
                None
            }
            Action::Notify(notification) => Some(notification),
            _ => None,
        };
        self.actions.iter().filter_map(notification).collect()
    }

    pub(crate) fn replies(&self) -> Vec<(Ticket, Result<Answer, CommandError>)> {
        let reply = |action: &Action| match action {
            Action::Reply { ticket, result } => Some((*ticket, result.clone())),
            _ => None,
        };
        self.actions.iter().filter_map(reply).collect()
    }

    pub(crate) fn sent(&self) -> Vec<(ConnectionId, &ControlMessage)> {
        let sent = |action| match action {
            &Action::Send { connection, frame: Frame::Control(ref message) } => {
                Some((connection, message))
            }
            _ => None,
        };
        self.actions.iter().filter_map(sent).collect()
    }

    pub(crate) fn persisted<'a>(&'a self) -> Vec<&'a [u8]> {
        let persisted = |action: &'a Action| match action {
            Action::Persist(bytes) => Some(&bytes[..]),
            _ => None,
        };
        self.actions.iter().filter_map(persisted).collect()
    }
}

impl<M: Manager> Machine<M> {
    pub(crate) fn new(me: Me, manager: M) -> Self {
        Self {
            now: Instant::ZERO,
            config: Config::default(),
            me,
            timers: Timers::default(),
            routes: Routes::new(true),
            neighbors: Neighbors::default(),
            questions: QuestionId::default(),
            manager,
        }
    }

    /// Runs one step of the manager. Changes are not handed round.
    pub(crate) fn run(&mut self, step: impl FnOnce(&mut M, &mut Context<'_>)) -> Output {
        let mut actions = Vec::new();
        let mut changes = VecDeque::new();
        let mut cx = Context {
            now: self.now,
            config: &self.config,
            me: &mut self.me,
            timers: &mut self.timers,
            routes: &mut self.routes,
            neighbors: &mut self.neighbors,
            questions: &mut self.questions,
            actions: &mut actions,
            changes: &mut changes,
        };
        step(&mut self.manager, &mut cx);
        let of_overlay = |change: &Change| {
            use Change::{NeighborDown, NeighborSwapped, NeighborUp};
            matches!(change, NeighborUp { .. } | NeighborDown { .. } | NeighborSwapped { .. })
        };
        let (overlay, changes) = changes.into_iter().partition(of_overlay);
        Output { actions, changes, overlay }
    }

    pub(crate) fn start(&mut self) -> Output {
        self.run(|manager, cx| manager.start(cx))
    }

    pub(crate) fn command(&mut self, ticket: u64, command: Command) -> Output {
        self.run(|manager, cx| manager.command(cx, Ticket(ticket), command))
    }

    pub(crate) fn change(&mut self, change: Change) -> Output {
        self.run(|manager, cx| manager.change(cx, &change))
    }

    /// A message of this manager arrives.
    pub(crate) fn receive(&mut self, from: Instance, message: ControlMessage) -> Output {
        self.run(|manager, cx| manager.receive(cx, from, message).unwrap())
    }

    /// Lets time pass; fires what comes due, each at its moment.
    pub(crate) fn pass(&mut self, span: Duration) -> Output {
        let end = self.now + span;
        let mut output = Output::default();
        while let Some((at, _)) = self.timers.next().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            let timer = self.timers.pop_due(self.now).unwrap();
            let fired = self.run(|manager, cx| manager.fire(cx, timer));
            output.actions.extend(fired.actions);
            output.changes.extend(fired.changes);
            output.overlay.extend(fired.overlay);
        }
        self.now = end;
        output
    }

    pub(crate) fn fire(&mut self, timer: Timer) -> Output {
        self.timers.cancel(timer);
        self.run(|manager, cx| manager.fire(cx, timer))
    }

    /// Marks a peer as connected, with every lane open or one missing.
    pub(crate) fn route(&mut self, peer: Instance, anchor: ConnectionId, full: bool) {
        let other = full.then(|| ConnectionId::accepted(anchor.as_u64() + 1_000));
        self.routes.up(PeerRoutes {
            reads_lz4: false,
            instance: peer,
            epoch: Epoch(1),
            max_frame: 1 << 20,
            anchor,
            channels: vec![vec![Some(anchor)], vec![other]].into(),
        });
    }

    /// A session begins.
    pub(crate) fn up(
        &mut self,
        spec: &Arc<NodeSpec>,
        incarnation: u64,
        anchor: ConnectionId,
        contact: Option<ContactId>,
    ) -> Output {
        let instance = instance(spec, incarnation);
        self.route(instance, anchor, true);
        self.change(Change::PeerUp { instance, spec: spec.clone(), epoch: Epoch(1), contact })
    }

    /// A session ends.
    pub(crate) fn down(&mut self, instance: Instance) -> Output {
        self.down_for(instance, CloseReason::ClosedByPeer)
    }

    pub(crate) fn down_for(&mut self, instance: Instance, reason: CloseReason) -> Output {
        self.routes.down(instance.node);
        let (spec, epoch) = (self.me.spec.clone(), Epoch(1));
        self.change(Change::PeerDown { instance, spec, epoch, reason })
    }

    pub(crate) fn names(&self) -> Vec<alloc::string::String> {
        let members = self.manager.members();
        let names = members.iter().map(|member| member.spec.name().as_str().into());
        names.collect()
    }
}

/// Several managers; sessions between them begin and end as they wish, at once. Node `i` listens
/// on port `i + 1`.
#[derive(Debug)]
pub(crate) struct Mesh<M> {
    pub(crate) machines: Vec<Machine<M>>,
    /// Sent and not yet arrived: from, to, message.
    flying: VecDeque<(usize, usize, ControlMessage)>,
    sessions: Vec<(usize, usize)>,
    /// Contacts that were dialled in vain: by whom, which, who it is. They are dialled again.
    vain: Vec<(usize, ContactId, usize)>,
    /// Nobody reaches these.
    pub(crate) cut: Vec<usize>,
    /// How long a ping between two takes.
    pub(crate) round_trip: fn(usize, usize) -> Duration,
    /// All messages that arrived, and the bytes of their frames.
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    pub(crate) notifications: Vec<(usize, Notification)>,
    pub(crate) replies: Vec<(usize, Ticket, Result<Answer, CommandError>)>,
    pub(crate) persisted: Vec<usize>,
}

impl<M: Manager> Mesh<M> {
    pub(crate) fn new(machines: Vec<Machine<M>>) -> Self {
        let count = machines.len();
        let mut mesh = Self {
            machines,
            flying: VecDeque::new(),
            sessions: Vec::new(),
            vain: Vec::new(),
            cut: Vec::new(),
            round_trip: |_, _| Duration::from_millis(1),
            messages: 0,
            bytes: 0,
            notifications: Vec::new(),
            replies: Vec::new(),
            persisted: vec![0; count],
        };
        for i in 0..count {
            let output = mesh.machines[i].start();
            mesh.take(i, output);
        }
        mesh
    }

    pub(crate) fn command(&mut self, node: usize, command: Command) {
        let output = self.machines[node].command(0, command);
        self.take(node, output);
    }

    pub(crate) fn join(&mut self, node: usize, other: usize) {
        let address = self.machines[other].me.spec.addresses()[0].clone();
        self.command(node, Command::Join(Contact::at(address)));
    }

    fn connected(&self, a: usize, b: usize) -> bool {
        let has = |pair| self.sessions.contains(&pair);
        has((a, b)) || has((b, a))
    }

    fn connect(&mut self, from: usize, to: usize, contact: Option<ContactId>) {
        if self.cut.contains(&from) || self.cut.contains(&to) {
            self.vain.extend(contact.map(|contact| (from, contact, to)));
            return;
        }
        if self.connected(from, to) {
            if let Some(contact) = contact {
                let node = self.machines[to].me.instance.node;
                let reached = Change::ContactReached { contact, node };
                let output = self.machines[from].change(reached);
                self.take(from, output);
            }
            return;
        }
        self.sessions.push((from, to));
        let (dialler, acceptor) = (self.machines[from].me.clone(), self.machines[to].me.clone());
        let anchors = [ConnectionId::dialled(to as u64), ConnectionId::accepted(from as u64)];
        let incarnation = dialler.instance.incarnation.0;
        let accepted = self.machines[to].up(&dialler.spec, incarnation, anchors[1], None);
        let incarnation = acceptor.instance.incarnation.0;
        let reached = self.machines[from].up(&acceptor.spec, incarnation, anchors[0], contact);
        self.take(to, accepted);
        self.take(from, reached);
        for (one, other) in [(from, acceptor), (to, dialler)] {
            let node = other.instance.node;
            let output = self.machines[one].change(Change::FullyConnected { node });
            self.take(one, output);
        }
    }

    /// Whether a node lets another in that takes an earlier stay of it for the present one, say.
    fn knock(&mut self, from: usize, to: usize, known: Incarnation) -> Result<(), Refusal> {
        let connection = ConnectionId::accepted(u64::MAX >> 2);
        let Me { instance, spec, .. } = self.machines[from].me.clone();
        let knock = Change::Knock { connection, instance, spec, known: Some(known) };
        let output = self.machines[to].change(knock);
        let refusal = output.changes.iter().find_map(|change| match change {
            Change::TurnAway { refusal, .. } => Some(*refusal),
            _ => None,
        });
        refusal.map_or(Ok(()), Err)
    }

    /// A dial that is not repeated.
    fn probe(&mut self, from: usize, instance: Instance) {
        let to = self.index(instance.node).filter(|to| !self.cut.contains(to));
        let to = to.filter(|_| !self.cut.contains(&from));
        let answer = match to {
            Some(to) if self.connected(from, to) => Ok(to),
            Some(to) => self
                .knock(from, to, instance.incarnation)
                .map_err(|refusal| DialError::Closed(CloseReason::Refused(refusal)))
                .map(|()| to),
            None => Err(DialError::Open(OpenError::Unreachable)),
        };
        let error = match answer {
            Ok(to) => return self.connect(from, to, None),
            Err(error) => error,
        };
        let node = instance.node;
        if let DialError::Closed(CloseReason::Refused(Refusal::NotMember(upto))) = error {
            self.run(from, |manager, cx| manager.change(cx, &Change::NotMember { node, upto }));
        }
        self.run(from, |manager, cx| manager.change(cx, &Change::ProbeFailed { node, error }));
    }

    pub(crate) fn disconnect(&mut self, a: usize, b: usize) {
        let pairs = [(a, b), (b, a)];
        if !self.connected(a, b) {
            return;
        }
        self.sessions.retain(|pair| !pairs.contains(pair));
        let ended = pairs.map(|(one, other)| {
            // The life that the session was with.
            let node = self.machines[other].me.instance.node;
            let session = self.machines[one].routes.peer(node).unwrap().instance;
            self.machines[one].down(session)
        });
        for ((one, _), output) in pairs.into_iter().zip(ended) {
            self.take(one, output);
        }
    }

    fn index(&self, node: NodeId) -> Option<usize> {
        let is = |machine: &Machine<M>| machine.me.instance.node == node;
        self.machines.iter().position(is)
    }

    fn take(&mut self, node: usize, output: Output) {
        for action in output.actions {
            match action {
                Action::Send { connection, frame } => {
                    let Frame::Control(message) = frame else {
                        continue;
                    };
                    let to = (connection.as_u64() >> 1) as usize;
                    self.flying.push_back((node, to, message));
                }
                Action::Notify(notification) => self.notifications.push((node, notification)),
                Action::Reply { ticket, result } => self.replies.push((node, ticket, result)),
                Action::Persist(_) => self.persisted[node] += 1,
                _ => {}
            }
        }
        for change in output.changes {
            self.obey(node, change);
        }
    }

    /// The least that connections would do.
    fn obey(&mut self, node: usize, change: Change) {
        match change {
            Change::DialContact { contact, target, .. } => {
                let to = usize::from(target.addresses[0].port) - 1;
                self.connect(node, to, Some(contact));
            }
            Change::DropContact { contact } => {
                self.vain.retain(|(from, other, _)| (*from, *other) != (node, contact));
            }
            Change::Keep { instance, patient, .. } => {
                if let Some(to) = self.index(instance.node).filter(|_| !patient) {
                    self.connect(node, to, None);
                }
            }
            Change::Probe { instance, .. } => self.probe(node, instance),
            Change::Measure { node: other } => {
                if let Some(peer) = self.index(other).filter(|peer| self.connected(node, *peer)) {
                    let span = (self.round_trip)(node, peer);
                    let output =
                        self.machines[node].change(Change::RoundTrip { node: other, span });
                    self.take(node, output);
                }
            }
            Change::Release { node: other, .. } => {
                if let Some(other) = self.index(other) {
                    self.flush(node, other);
                    self.disconnect(node, other);
                }
            }
            Change::Reborn { .. } => {
                for other in 0..self.machines.len() {
                    self.flush(node, other);
                    self.disconnect(node, other);
                }
            }
            _ => {}
        }
    }

    /// What was sent before a connection is closed arrives before.
    fn flush(&mut self, from: usize, to: usize) {
        let mine = |(f, t, _): &(usize, usize, ControlMessage)| (*f, *t) == (from, to);
        let (now, later) = self.flying.drain(..).partition(mine);
        self.flying = later;
        let now: VecDeque<_> = now;
        for (from, to, message) in now {
            self.arrive(from, to, message);
        }
    }

    fn arrive(&mut self, from: usize, to: usize, message: ControlMessage) {
        let node = self.machines[from].me.instance.node;
        if !self.connected(from, to) {
            return;
        }
        let Some(routes) = self.machines[to].routes.peer(node) else {
            return;
        };
        let instance = routes.instance;
        let mut frame = Vec::new();
        encode(&Frame::Control(message.clone()), &mut frame);
        assert!(frame.len() <= 4 + crate::wire::MAX_CONTROL_FRAME as usize);
        self.bytes += frame.len();
        self.messages += 1;
        let output = self.machines[to].receive(instance, message);
        self.take(to, output);
    }

    /// Delivers the oldest message alone; says whether there was one.
    pub(crate) fn step(&mut self) -> bool {
        let next = self.flying.pop_front();
        let any = next.is_some();
        if let Some((from, to, message)) = next {
            self.arrive(from, to, message);
        }
        any
    }

    /// Runs one step of one manager, and begins what follows from it.
    pub(crate) fn run(&mut self, node: usize, step: impl FnOnce(&mut M, &mut Context<'_>)) {
        let output = self.machines[node].run(step);
        self.take(node, output);
    }

    /// A node is lost, with all its sessions.
    pub(crate) fn lose(&mut self, node: usize) {
        self.cut.push(node);
        for other in 0..self.machines.len() {
            self.disconnect(node, other);
        }
    }

    /// Delivers what is flying now, but not what that causes: half a round trip.
    pub(crate) fn hop(&mut self) {
        for _ in 0..self.flying.len() {
            if let Some((from, to, message)) = self.flying.pop_front() {
                self.arrive(from, to, message);
            }
        }
    }

    /// Delivers until nothing is flying; says how many hops it took.
    pub(crate) fn settle(&mut self) -> usize {
        let mut hops = 0;
        while !self.flying.is_empty() {
            self.hop();
            hops += 1;
            assert!(hops < 1_000, "the exchange does not end");
        }
        hops
    }

    /// Lets time pass in steps, with messages arriving at once.
    pub(crate) fn pass(&mut self, span: Duration) {
        let step = Duration::from_millis(50);
        let mut left = span;
        while !left.is_zero() {
            let now = left.min(step);
            for (from, contact, to) in core::mem::take(&mut self.vain) {
                self.connect(from, to, Some(contact));
            }
            for i in 0..self.machines.len() {
                let output = self.machines[i].pass(now);
                self.take(i, output);
            }
            self.settle();
            left -= now;
        }
    }
}
