//! The world: nodes, a network, a clock, and the loop that moves them.

mod application;
mod asking;
mod interposition;
mod processes;
mod script;
mod step;

pub(crate) use asking::Then;
use interposition::Delayed;
pub use script::Restart;
pub use step::{Happened, Step};

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::iter;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use partisan_proto::call::CallError;
use partisan_proto::{
    Config, Event, HandlerId, Instant, NodeId, NodeName, Outbox, ProcessId, ProcessName, Serial,
    Tag, Ticket,
};

use crate::applications::Application;
use crate::check::{Checker, Violation, ViolationKind};
use crate::fault::Fault;
use crate::network::{Network, NetworkOptions, Signal};
use crate::node_host::{ManagerMaker, NodeHost};
use crate::pile::reserve_some;
use crate::processes::{Function, Program};
use crate::queue::Queue;
use crate::trace::Trace;
use crate::workload::Work;

/// The time of day, in milliseconds since 1970, at which every run begins.
pub const FIRST_MILLISECOND: u64 = 1_700_000_000_000;
/// The most events without any time passing; more is a loop.
const MOST_AT_ONCE: u32 = 1_000_000;

/// For how many events memory is read ahead: about as many as can be waited for at once.
const AHEAD: usize = 16;

/// Whether frames are turned to bytes and back on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// They are, so that the codec is part of every run.
    Encoded,
    /// They are not: faster, for large clusters.
    Typed,
}

/// What a world is like.
#[derive(Clone, Debug)]
pub struct WorldOptions {
    /// Everything random follows from it.
    pub seed: u64,
    /// The network when nothing is wrong.
    pub network: NetworkOptions,
    /// Whether frames are encoded.
    pub wire: Wire,
    /// Of nodes that are given no other.
    pub config: Arc<Config>,
    /// Whether deliveries, notifications and replies are kept for asking. Costs memory.
    pub record: bool,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            network: NetworkOptions::default(),
            wire: Wire::Encoded,
            config: Arc::default(),
            record: true,
        }
    }
}

/// Something that will happen.
#[derive(Debug)]
pub enum Happening {
    /// A node's `wake_at` is reached.
    Wake {
        /// The node.
        node: u32,
        /// Outdated unless it is the node's present one.
        generation: u32,
    },
    /// The network's business.
    Net(Signal),
    /// A fault of the plan strikes.
    Fault(u32),
    /// The next piece of work of a plan is due.
    Work(u32),
    /// The application on a node does something.
    Application {
        /// The node.
        node: u32,
        /// What it intends, by number.
        intention: u64,
    },
    /// A message that an interposer delayed goes on.
    Interposed(u64),
    /// It is the turn of a process.
    Process {
        /// The node.
        node: u32,
        /// Of which start of it.
        life: u32,
        /// The number of the process.
        serial: u64,
    },
}

const _: () = assert!(size_of::<Happening>() <= 32);

/// Work that was planned together.
struct Plan {
    /// What waits in the queue.
    next: Option<Work>,
    /// What follows, in order of time.
    left: Box<dyn Iterator<Item = (Instant, Work)>>,
    /// The place of the next that is to wait in the order of the queue.
    place: u64,
}

/// What the so manieth node is called.
///
/// # Panics
/// Never: the names are good ones.
#[must_use]
pub fn node_name(number: usize) -> NodeName {
    NodeName::new(&format!("n{number}@sim")).expect("a short plain name is good")
}

/// A simulated cluster. See the [crate's documentation](crate) for an example.
pub struct World {
    options: WorldOptions,
    now: Instant,
    queue: Queue<Happening>,
    network: Network,
    hosts: Vec<NodeHost>,
    numbers: HashMap<NodeId, u32, FixedState>,
    out: Outbox,
    faults: Vec<Fault>,
    work: Vec<Plan>,
    /// Faults planned before this number do not happen any more.
    forgotten: u32,
    pub(crate) checkers: Vec<Box<dyn Checker>>,
    violations: Vec<Violation>,
    pub(crate) trace: Option<Trace>,
    tickets: u64,
    messages: u64,
    /// What every node runs from its start.
    program: Option<Program>,
    functions: BTreeMap<ProcessName, Function>,
    /// The servers that keep the messages of handlers.
    keepers: BTreeMap<HandlerId, asking::Keeper>,
    /// The application whose users do something.
    application: Option<Rc<dyn Application>>,
    /// Answers that came to nodes themselves and have not been looked at.
    answers: VecDeque<(Then, Result<Bytes, CallError>)>,
    /// Processes that the workload has met, by node.
    pub(crate) met: BTreeMap<usize, VecDeque<ProcessId>>,
    /// What interposers delayed, by number.
    delayed: BTreeMap<u64, Delayed>,
    /// Whether any node ever had an interposer: most worlds spare the look whether this one has.
    interposing: bool,
    /// Whether applications always answer, and at once.
    calm: bool,
    hash: u64,
    events: u64,
    frames: u64,
    at_once: u32,
    /// So many events go by until the memory of the next ones is looked at ahead.
    warm: u32,
    buffer: Vec<u8>,
}

impl World {
    /// A world without nodes.
    #[must_use]
    pub fn new(options: WorldOptions) -> Self {
        Self {
            network: Network::new(options.seed, options.network.clone()),
            options,
            now: Instant::ZERO,
            queue: Queue::default(),
            hosts: Vec::new(),
            numbers: HashMap::default(),
            out: Outbox::default(),
            faults: Vec::new(),
            work: Vec::new(),
            forgotten: 0,
            checkers: Vec::new(),
            violations: Vec::new(),
            trace: None,
            tickets: 0,
            messages: 0,
            program: None,
            functions: BTreeMap::new(),
            keepers: BTreeMap::new(),
            application: None,
            answers: VecDeque::new(),
            met: BTreeMap::new(),
            delayed: BTreeMap::new(),
            interposing: false,
            calm: false,
            hash: 0,
            events: 0,
            frames: 0,
            at_once: 0,
            warm: 0,
            buffer: Vec::new(),
        }
    }

    /// Adds a node with the world's configuration and starts it; says its number, counted from 0.
    pub fn add_node(&mut self) -> usize {
        self.add_node_with(self.options.config.clone(), None)
    }

    /// Adds so many nodes.
    pub fn add_nodes(&mut self, count: usize) {
        for _ in 0..count {
            self.add_node();
        }
    }

    /// Adds a node with a configuration, and perhaps a manager, of its own.
    ///
    /// # Panics
    /// When the configuration is not valid.
    pub fn add_node_with(&mut self, config: Arc<Config>, manager: Option<ManagerMaker>) -> usize {
        self.add(config, manager, Vec::new())
    }

    /// Adds a node with a configuration of its own that tells others these tags.
    ///
    /// # Panics
    /// When the configuration is not valid, or there are too many tags.
    pub fn add_tagged(&mut self, config: Arc<Config>, tags: Vec<Tag>) -> usize {
        self.add(config, None, tags)
    }

    fn add(&mut self, config: Arc<Config>, manager: Option<ManagerMaker>, tags: Vec<Tag>) -> usize {
        let number = self.network.add_station();
        let name = node_name(number);
        self.numbers.insert(name.id(), number as u32);
        let mut host = NodeHost::new(name, config, manager);
        host.rest.tags = tags;
        reserve_some(&mut self.hosts);
        self.hosts.push(host);
        self.start(number, false);
        number
    }

    /// What is the time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// All nodes, dead ones included, by number.
    #[must_use]
    pub fn hosts(&self) -> &[NodeHost] {
        &self.hosts
    }

    /// The numbers of the nodes that live.
    pub fn live(&self) -> impl Iterator<Item = usize> {
        let hosts = self.hosts.iter().enumerate();
        hosts.filter_map(|(number, host)| host.node.is_some().then_some(number))
    }

    /// The number of the node with this identifier, if it is of this world.
    #[must_use]
    pub fn number(&self, node: NodeId) -> Option<usize> {
        self.numbers.get(&node).map(|number| *number as usize)
    }

    /// The network, to look at.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// What the checkers found so far.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// How many events were handled.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// How many frames were sent.
    #[must_use]
    pub const fn frames(&self) -> u64 {
        self.frames
    }

    /// How many events wait.
    #[must_use]
    pub const fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// A number that follows from everything that happened: two runs of one seed agree on it.
    #[must_use]
    pub fn hash(&self) -> u64 {
        let nodes = self.hosts.iter().filter_map(NodeHost::node);
        nodes.fold(self.hash, |hash, node| crate::draw::mix(hash ^ node.fingerprint()))
    }

    /// Watches the run with one more checker.
    pub fn check(&mut self, checker: impl Checker + 'static) {
        self.checkers.push(Box::new(checker));
    }

    /// Lets every checker judge the end.
    pub fn check_end(&mut self) {
        let mut checkers = std::mem::take(&mut self.checkers);
        let mut found = Vec::new();
        for checker in &mut checkers {
            checker.at_end(self, &mut found);
        }
        self.checkers = checkers;
        self.violations.append(&mut found);
    }

    /// Lets every checker judge a world in which all is healed and nothing is on its way.
    pub fn check_rest(&mut self) {
        let mut checkers = std::mem::take(&mut self.checkers);
        let mut found = Vec::new();
        for checker in &mut checkers {
            checker.at_rest(self, &mut found);
        }
        self.checkers = checkers;
        self.violations.append(&mut found);
    }

    /// Records a violation found from outside.
    pub fn report(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    /// Plans a fault.
    pub fn plan_fault(&mut self, at: Instant, fault: Fault) {
        self.faults.push(fault);
        self.queue.push(at, Happening::Fault((self.faults.len() - 1) as u32));
    }

    /// Plans work.
    pub fn plan_work(&mut self, mut work: Vec<(Instant, Work)>) {
        work.sort_by_key(|(at, _)| *at);
        self.plan_in_order(work.into_iter());
    }

    /// Plans work that comes in order of time.
    pub(crate) fn plan_in_order(
        &mut self,
        work: impl ExactSizeIterator<Item = (Instant, Work)> + 'static,
    ) {
        let place = self.queue.reserve_places(work.len() as u64);
        self.work.push(Plan { next: None, left: Box::new(work), place });
        self.await_work(self.work.len() - 1);
    }

    /// Waits for the next piece of work of a plan: of each plan only one waits, since a large
    /// cluster has more work before it than anything else.
    fn await_work(&mut self, number: usize) {
        let Plan { next, left, place } = &mut self.work[number];
        if let Some((at, work)) = left.next() {
            *next = Some(work);
            self.queue.push_in_place(at, *place, Happening::Work(number as u32));
            *place += 1;
        }
    }

    /// Lets nothing happen any more that is planned so far.
    pub fn forget_plans(&mut self) {
        self.forgotten = self.faults.len() as u32;
        for plan in &mut self.work {
            (plan.next, plan.left) = (None, Box::new(iter::empty()));
        }
    }

    /// Handles the next event that is due by `until`; `false` when there is none, and the clock
    /// stands at `until`.
    pub fn advance(&mut self, until: Instant) -> bool {
        let Some((at, happening)) = self.queue.pop_until(until) else {
            self.now = self.now.max(until);
            return false;
        };
        self.warm = self.warm.checked_sub(1).unwrap_or_else(|| self.look_ahead());
        self.at_once = if at > self.now { 0 } else { self.at_once + 1 };
        self.now = self.now.max(at);
        if self.at_once > MOST_AT_ONCE {
            self.queue = Queue::default();
            let text = format!("{MOST_AT_ONCE} events and no time passes");
            self.report(Violation::new(ViolationKind::Livelock, self.now, None, text));
            return false;
        }
        self.happen(happening);
        self.look_at_answers();
        true
    }

    /// Reads a little of what the next events will need, all of one kind together: how long that
    /// takes is how far the memory is away, and a processor waits for many places at once as long as
    /// it is for one. Changes nothing. Returns how many events it has read for.
    fn look_ahead(&self) -> u32 {
        let (mut nodes, mut count) = ([u32::MAX; AHEAD], 0);
        for (node, happening) in nodes.iter_mut().zip(self.queue.upcoming(AHEAD)) {
            count += 1;
            match happening {
                Happening::Wake { node: wakes, .. } => *node = *wakes,
                Happening::Net(signal) => *node = self.network.concerned(signal),
                Happening::Application { node: acts, .. }
                | Happening::Process { node: acts, .. } => *node = *acts,
                Happening::Fault(_) | Happening::Work(_) | Happening::Interposed(_) => {}
            }
        }
        let hosts = nodes.iter().filter_map(|node| self.hosts.get(*node as usize));
        let mut read = 0_u64;
        for node in hosts.clone().filter_map(NodeHost::node) {
            read ^= node.instance().incarnation.0;
        }
        for node in hosts.filter_map(NodeHost::node) {
            read ^= node.timers().next().map_or(0, |(at, _)| at.as_nanos());
        }
        std::hint::black_box(read);
        count
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Wake { node, generation } => {
                let host = &mut self.hosts[node as usize];
                if host.wake_generation == generation {
                    host.wake = Instant::FAR_FUTURE;
                    self.deliver(node as usize, Event::Wake);
                }
            }
            Happening::Net(signal) => {
                if let Some((node, event)) = self.network.signal(self.now, signal, &mut self.queue)
                {
                    self.deliver(node, event);
                }
            }
            Happening::Application { node, intention } => {
                self.application(node as usize, intention);
            }
            Happening::Interposed(number) => self.go_on(number),
            Happening::Process { node, life, serial } => {
                self.take_turn(node as usize, life, Serial(serial));
            }
            Happening::Fault(number) if number < self.forgotten => {}
            Happening::Fault(number) => {
                let fault = self.faults[number as usize].clone();
                fault.strike(self);
            }
            Happening::Work(number) => {
                let number = number as usize;
                if let Some(work) = self.work[number].next.take() {
                    self.await_work(number);
                    work.perform(self);
                }
            }
        }
    }

    pub(crate) fn next_ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    pub(crate) const fn next_message(&mut self) -> u64 {
        self.messages += 1;
        self.messages
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { options, now, queue, network, hosts, checkers, violations, .. } = self;
        let mut debug = f.debug_struct("World");
        debug.field("options", options).field("now", now).field("queue", queue);
        debug.field("network", network).field("hosts", hosts).field("checkers", checkers);
        debug.field("violations", violations).finish_non_exhaustive()
    }
}
