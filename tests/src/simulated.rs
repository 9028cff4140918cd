//! Clusters in the simulator.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use partisan_proto::interposition::Interposer;
use partisan_proto::wire::PartitionId;
use partisan_proto::{
    BroadcastTree, Command, Config, ConnectionInfo, Counters, Delivery, Duration, Instant, Member,
    Node, NodeId, NodeSpec, Notification, Routes, Tag, Ticket,
};
use partisan_sim::fault::{FaultClass, draw_faults};
use partisan_sim::{Latency, NetworkOptions, Restart, World, WorldOptions, check};

use crate::{Answered, Asked, Cluster, Told};

/// How long a condition may take to hold once nothing is wrong any more: dead connections are
/// noticed after 75 s, dialled again after 30 s, and news needs a few rounds.
const DEADLINE: Duration = Duration::from_secs(300);
/// How long the faults of a troubled run last.
const TROUBLE: Duration = Duration::from_secs(60);
/// Faults after which all that was promised must come true; crashes are left to the scenarios.
const FAULTS: [FaultClass; 7] = [
    FaultClass::Pause,
    FaultClass::Partition,
    FaultClass::Cut,
    FaultClass::Refuse,
    FaultClass::BlackHole,
    FaultClass::Clog,
    FaultClass::Slow,
];

/// A cluster in the simulator, watched by every safety checker.
#[derive(Debug)]
pub struct Simulated {
    /// The world, for what only the simulator can do.
    pub world: World,
    seed: u64,
    lives: Vec<Life>,
}

/// What a node told about itself last, and how much it had seen before its present life.
#[derive(Debug)]
struct Life {
    spec: Arc<NodeSpec>,
    deliveries: usize,
    notifications: usize,
    broadcasts: usize,
}

impl Life {
    const fn first(spec: Arc<NodeSpec>) -> Self {
        Self { spec, deliveries: 0, notifications: 0, broadcasts: 0 }
    }
}

/// Runs a scenario once for each seed, on networks from one room to the whole world.
///
/// # Panics
/// When the scenario fails or a checker finds something; the seed is printed.
pub fn simulated(seeds: Range<u64>, scenario: impl Fn(&mut Simulated)) {
    for seed in seeds {
        run(seed, &scenario, &mut Simulated::new(seed));
    }
}

/// As [`simulated`], while connections break, stall and are refused, and nodes lose each other and
/// stand still, for the first minute.
///
/// # Panics
/// As [`simulated`].
pub fn simulated_with_faults(seeds: Range<u64>, nodes: usize, scenario: impl Fn(&mut Simulated)) {
    for seed in seeds {
        let mut cluster = Simulated::new(seed);
        for (at, fault) in draw_faults(seed, nodes, TROUBLE, &FAULTS) {
            cluster.world.plan_fault(at, fault);
        }
        run(seed, &scenario, &mut cluster);
    }
}

fn run(seed: u64, scenario: impl Fn(&mut Simulated), cluster: &mut Simulated) {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        scenario(cluster);
        cluster.world.check_end();
        assert_eq!(cluster.world.violations(), []);
    }));
    if let Err(panic) = outcome {
        eprintln!("failed with seed {seed}");
        resume_unwind(panic);
    }
}

impl Simulated {
    /// No nodes yet; the latencies follow from the seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let half_a_second = Duration::from_millis(500).as_nanos() as u64;
        let latency = match seed % 4 {
            0 => Latency::LAN,
            1 => Latency::WAN,
            2 => Latency::regions(),
            _ => Latency::Uniform(0, half_a_second),
        };
        Self::with_latency(seed, latency)
    }

    /// No nodes yet, and these latencies.
    #[must_use]
    pub fn with_latency(seed: u64, latency: Latency) -> Self {
        let mut world = World::new(WorldOptions {
            seed,
            network: NetworkOptions { latency, ..NetworkOptions::default() },
            ..WorldOptions::default()
        });
        check::watch(&mut world);
        world.check(check::hyparview::SoundViews::default());
        Self { world, seed, lives: Vec::new() }
    }

    /// What the run follows from.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    fn node(&self, node: usize) -> Option<&Node> {
        self.world.hosts()[node].node()
    }

    fn living_spec(&self, node: usize) -> Arc<NodeSpec> {
        Arc::clone(self.node(node).expect("it lives").spec())
    }
}

impl Cluster for Simulated {
    fn add(&mut self, config: Config) -> usize {
        let node = self.world.add_node_with(Arc::new(config), None);
        self.lives.push(Life::first(self.living_spec(node)));
        node
    }

    fn add_tagged(&mut self, config: Config, tags: Vec<Tag>) -> usize {
        let node = self.world.add_tagged(Arc::new(config), tags);
        self.lives.push(Life::first(self.living_spec(node)));
        node
    }

    fn size(&self) -> usize {
        self.lives.len()
    }

    fn ask(&mut self, node: usize, command: Command) -> Asked {
        let Ticket(number) = self.world.command(node, command);
        Asked { node, number }
    }

    fn answer(&self, asked: Asked) -> Option<Answered> {
        self.world.reply(asked.node, Ticket(asked.number)).cloned()
    }

    fn spec(&self, node: usize) -> Arc<NodeSpec> {
        Arc::clone(&self.lives[node].spec)
    }

    fn members(&self, node: usize) -> Vec<Member> {
        self.node(node).map(Node::members).unwrap_or_default()
    }

    fn connections(&self, node: usize) -> Vec<ConnectionInfo> {
        self.node(node).map(Node::connections).unwrap_or_default()
    }

    fn routes(&self, node: usize) -> Routes {
        self.node(node).map(|node| node.routes().clone()).unwrap_or_default()
    }

    fn partitions(&self, node: usize) -> Vec<(PartitionId, NodeId)> {
        self.node(node).map(Node::partitions).unwrap_or_default()
    }

    fn counters(&self, node: usize) -> Counters {
        self.node(node).map(Node::counters).unwrap_or_default()
    }

    fn deliveries(&self, node: usize) -> Vec<Delivery> {
        let seen = self.world.deliveries(node).iter();
        let seen = seen.skip(self.lives[node].deliveries);
        seen.map(|(_, delivery)| delivery.clone()).collect()
    }

    fn broadcasts(&self, node: usize) -> Vec<Told> {
        let seen = self.world.hosts()[node].observed().broadcasts.iter();
        let seen = seen.skip(self.lives[node].broadcasts);
        seen.map(|(_, one)| Told { id: one.id, payload: one.payload.clone() }).collect()
    }

    fn tree(&self, node: usize, root: usize) -> BroadcastTree {
        let root = self.id(root);
        self.node(node).map(|node| node.broadcast_tree(root)).unwrap_or_default()
    }

    fn notifications(&self, node: usize) -> Vec<Notification> {
        let seen = self.world.notifications(node).iter();
        let seen = seen.skip(self.lives[node].notifications);
        seen.map(|(_, note)| note.clone()).collect()
    }

    fn crash(&mut self, node: usize) {
        self.world.crash(node);
    }

    fn restart(&mut self, node: usize, how: Restart) {
        let seen = self.world.hosts()[node].observed();
        let (deliveries, notifications) = (seen.deliveries.len(), seen.notifications.len());
        let broadcasts = seen.broadcasts.len();
        self.world.restart(node, how);
        let spec = self.living_spec(node);
        self.lives[node] = Life { spec, deliveries, notifications, broadcasts };
    }

    fn reconfigure(&mut self, node: usize, config: Config) {
        self.world.reconfigure(node, Arc::new(config));
    }

    fn interpose(&mut self, node: usize, name: &str, interposer: impl Interposer + 'static) {
        self.world.interpose(node, name, interposer);
    }

    fn remove_interposer(&mut self, node: usize, name: &str) -> bool {
        self.world.remove_interposer(node, name)
    }

    fn wait(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let until = self.world.now().max(Instant::ZERO + TROUBLE) + DEADLINE;
        let mut asked = None;
        loop {
            let millisecond = self.world.now().as_nanos() / 1_000_000;
            if asked.replace(millisecond) != Some(millisecond) && done(self) {
                return;
            }
            assert_eq!(self.world.violations(), []);
            if !self.world.advance(until) {
                assert!(done(self), "in vain waited for {what}:{}", self.summary());
                return;
            }
        }
    }

    fn rest(&mut self) {
        self.world.run_for(Duration::from_secs(120));
    }
}
