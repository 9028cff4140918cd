//! Two nodes, a network that a script steers, and events forged among the real ones.

use std::collections::VecDeque;
use std::sync::Arc;

use arbitrary::Arbitrary;
use partisan_proto::wire::Frame;
use partisan_proto::{
    Action, CloseReason, Command, Config, ConnectionId, Contact, Duration, Event, Instant,
    OpenError, Tag, Ticket,
};

use crate::watch::{Watched, address, config, manager};

const MOST_STEPS: usize = 300;
const MOST_WAKES: usize = 10_000;

/// What a fuzzer makes up.
#[derive(Debug, Arbitrary)]
pub(crate) struct Script {
    secret: bool,
    steps: Vec<Step>,
}

#[derive(Debug, Arbitrary)]
enum Step {
    /// Time passes, in milliseconds.
    Wait(u16),
    /// The clock jumps: a machine slept for so many days, or till the end of time.
    Sleep(u16),
    /// So many things that are under way happen, in order.
    Run(u8),
    /// One node joins through the other.
    Join(bool),
    /// The end of a link delivers what is first in its queue.
    Deliver(u8),
    /// A dial fails.
    FailDial(u8),
    /// A link breaks.
    Cut(u8),
    /// Something happens to a node for no reason.
    Forge(bool, Event),
}

/// What the two nodes came to, for comparison.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    fingerprints: [u64; 2],
    actions: Vec<(usize, Action)>,
}

/// Plays the script; panics when a node breaks a promise.
pub(crate) fn run(script: &Script) -> Outcome {
    let nodes = [("a", 1), ("b", 2)].map(|(name, port)| Watched::start(name, port, script.secret));
    play(script, nodes)
}

/// As [`run`], with the manager that a number stands for.
pub(crate) fn run_managed(number: u8, script: &Script) -> Outcome {
    let (manager, tags) = manager(number);
    let config = Config { manager, ..Config::clone(&config(script.secret)) };
    let config = Arc::new(config);
    let start = |which: usize, name, port| {
        let tags = Some(tags[which]).filter(|tag| !tag.is_empty());
        let tags = tags.map(|tag| Tag::new(tag).expect("a good tag"));
        Watched::start_as(name, port, config.clone(), tags.into_iter().collect())
    };
    play(script, [start(0, "a", 1), start(1, "b", 2)])
}

fn play(script: &Script, nodes: [(Watched, Vec<Action>); 2]) -> Outcome {
    let mut arena = Arena::new(nodes);
    for step in script.steps.iter().take(MOST_STEPS) {
        arena.step(step);
    }
    arena.end()
}

#[derive(Debug)]
enum Item {
    Frame(Frame),
    Closed,
}

/// One direction of a link: what is on its way to one node.
#[derive(Debug)]
struct Lane {
    to: usize,
    connection: ConnectionId,
    from: (usize, ConnectionId),
    queue: VecDeque<Item>,
}

/// The two nodes, and what is on its way between them.
pub(crate) struct Arena {
    now: Instant,
    pub(crate) nodes: [Watched; 2],
    dials: VecDeque<(usize, ConnectionId)>,
    lanes: Vec<Lane>,
    /// All that they asked for, by whom.
    pub(crate) actions: Vec<(usize, Action)>,
}

impl Arena {
    pub(crate) fn new([(a, first), (b, second)]: [(Watched, Vec<Action>); 2]) -> Self {
        let mut arena = Self {
            now: Instant::ZERO,
            nodes: [a, b],
            dials: VecDeque::new(),
            lanes: Vec::new(),
            actions: Vec::new(),
        };
        arena.perform(0, first);
        arena.perform(1, second);
        arena
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Wait(milliseconds) => self.wait(Duration::from_millis((*milliseconds).into())),
            Step::Sleep(u16::MAX) => self.sleep(Instant::FAR_FUTURE),
            Step::Sleep(days) => {
                let span = Duration::from_secs(86_400 * u64::from(*days));
                self.sleep(self.now + span);
            }
            Step::Run(times) => (0..*times).for_each(|_| self.proceed()),
            Step::Join(which) => self.join(*which),
            Step::Deliver(which) => self.deliver(*which),
            Step::FailDial(which) => self.fail_dial(*which),
            Step::Cut(which) => self.cut(*which),
            Step::Forge(which, event) => self.handle(usize::from(*which), event.clone()),
        }
    }

    /// Both nodes stop.
    pub(crate) fn end(mut self) -> Outcome {
        let fingerprints = self.nodes.each_ref().map(|node| node.node.fingerprint());
        for node in &mut self.nodes {
            node.stop(self.now);
        }
        Outcome { fingerprints, actions: self.actions }
    }

    /// One node joins through the other.
    pub(crate) fn join(&mut self, which: bool) {
        let node = usize::from(which);
        let command = Command::Join(Contact::at(address(2 - node as u16)));
        let ticket = Ticket(0);
        self.handle(node, Event::Command { ticket, command });
    }

    pub(crate) fn handle(&mut self, node: usize, event: Event) {
        let actions = self.nodes[node].handle(self.now, event);
        self.perform(node, actions);
    }

    fn perform(&mut self, node: usize, actions: Vec<Action>) {
        for action in &actions {
            match action {
                Action::Open { connection, .. } => self.dials.push_back((node, *connection)),
                Action::Send { connection, frame } => {
                    self.send((node, *connection), Item::Frame(frame.clone()));
                }
                Action::Close { connection, .. } => self.send((node, *connection), Item::Closed),
                _ => {}
            }
        }
        self.actions.extend(actions.into_iter().map(|action| (node, action)));
    }

    fn send(&mut self, from: (usize, ConnectionId), item: Item) {
        let lane = self.lanes.iter_mut().find(|lane| lane.from == from);
        if let Some(lane) = lane {
            lane.queue.push_back(item);
        }
    }

    /// Time passes; nodes are woken when they asked to be.
    pub(crate) fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        for _ in 0..MOST_WAKES {
            let wake = |node: usize| self.nodes[node].wake_at().map(|at| (at, node));
            let next = [wake(0), wake(1)].into_iter().flatten().min();
            let due = |(at, _): &(Instant, usize)| *at <= end && *at != Instant::FAR_FUTURE;
            let Some((at, node)) = next.filter(due) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            self.handle(node, Event::Wake);
        }
        panic!("a node wants to be woken again and again");
    }

    fn sleep(&mut self, until: Instant) {
        self.now = until;
        for node in 0..self.nodes.len() {
            self.handle(node, Event::Wake);
        }
    }

    /// The next thing under way happens: a frame arrives, or a dial is answered.
    pub(crate) fn proceed(&mut self) {
        let busy = self.lanes.iter().position(|lane| !lane.queue.is_empty());
        match busy {
            Some(lane) => self.deliver_at(lane),
            None => self.answer_dial(),
        }
    }

    pub(crate) fn deliver(&mut self, which: u8) {
        if !self.lanes.is_empty() {
            self.deliver_at(usize::from(which) % self.lanes.len());
        }
    }

    fn deliver_at(&mut self, lane: usize) {
        let lane = &mut self.lanes[lane];
        let (node, connection) = (lane.to, lane.connection);
        let event = match lane.queue.pop_front() {
            Some(Item::Frame(frame)) => Event::Received { connection, frame },
            Some(Item::Closed) => {
                let reason = CloseReason::ClosedByPeer;
                Event::Closed { connection, reason }
            }
            None => return,
        };
        // What arrives at a closed end is lost.
        if self.nodes[node].is_open(connection) {
            self.handle(node, event);
        }
    }

    fn answer_dial(&mut self) {
        let Some((node, connection)) = self.dials.pop_front() else {
            return;
        };
        if !self.nodes[node].is_opening(connection) {
            return;
        }
        let other = 1 - node;
        let accepted = self.nodes[other].fresh_connection();
        for (from, to) in
            [((node, connection), (other, accepted)), ((other, accepted), (node, connection))]
        {
            self.lanes.push(Lane { to: to.0, connection: to.1, from, queue: VecDeque::new() });
        }
        self.handle(other, Event::Accepted { connection: accepted });
        self.handle(node, Event::Opened { connection });
    }

    fn fail_dial(&mut self, which: u8) {
        if self.dials.is_empty() {
            return;
        }
        let place = usize::from(which) % self.dials.len();
        if let Some((node, connection)) = self.dials.remove(place)
            && self.nodes[node].is_opening(connection)
        {
            let error = OpenError::Refused;
            self.handle(node, Event::OpenFailed { connection, error });
        }
    }

    pub(crate) fn cut(&mut self, which: u8) {
        if self.lanes.is_empty() {
            return;
        }
        let lane = self.lanes.swap_remove(usize::from(which) % self.lanes.len());
        self.lanes.retain(|other| other.from != (lane.to, lane.connection));
        let reason = CloseReason::Broken;
        for (node, connection) in [lane.from, (lane.to, lane.connection)] {
            if self.nodes[node].is_open(connection) {
                self.handle(node, Event::Closed { connection, reason });
            }
        }
    }
}
