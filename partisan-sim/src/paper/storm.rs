//! Storms: ten times as many messages as nodes keep, and one node that takes in less than is sent.
//!
//! No paper, but the scenario in which another implementation lost most messages and stopped
//! answering (iroh-gossip, issue 47: twenty nodes, 100,000 small messages, of which 41,000
//! arrived). Here everybody keeps a bounded number of messages ([`CacheConfig`]) and nobody waits
//! for who is slow; that one is told how much it missed, or gets it by exchanges where its handler
//! keeps messages.

use partisan_proto::config::{BroadcastConfig, CacheConfig};
use partisan_proto::{BroadcastCounters, Config, Duration};

use super::experiment::Experiment;
use super::findings::{Findings, Gate};
use super::hyparview::JOIN_PAUSE;
use super::lab::Lab;
use super::{Options, config};
use crate::fault::Fault;
use crate::measure::broadcast::{payloads, redundancy};
use crate::store;
use crate::workload::Bootstrap;

/// How many nodes there are; the last one is slow, where one is.
const NODES: usize = 20;
const SLOW: usize = NODES - 1;
/// Who sends, how much at once, how many bytes each, and after which pause more: 10,000 messages a
/// second.
const SENDER: usize = 0;
const BATCH: usize = 100;
const PAYLOAD: usize = 64;
const PAUSE: Duration = Duration::from_millis(10);
/// What the slow node takes in from each neighbour, in bytes a second: from five of them half of
/// what is sent.
const SPEED: u64 = 100_000;
/// When nearly everybody who is quick has everything, and when all that is missing is known to be
/// lost.
const SOON: Duration = Duration::from_secs(1);
const LATE: Duration = Duration::from_secs(400);

/// What is sent, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storm {
    /// Messages that nodes keep for each other; all nodes are quick.
    Even,
    /// The same, and one node is slow.
    OneSlow,
    /// Writes to stores that keep their messages, and one node is slow.
    Stores,
}

impl Storm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Even, Self::OneSlow, Self::Stores];

    const fn name(self) -> &'static str {
        match self {
            Self::Even => "messages",
            Self::OneSlow => "messages, one slow node",
            Self::Stores => "writes to stores, one slow node",
        }
    }
}

/// All of them.
pub(super) fn experiments(seed: u64, options: &Options) -> impl Iterator<Item = Experiment> {
    let messages = options.scale(100_000, 20_000);
    Storm::ALL.into_iter().map(move |kind| {
        let name = format!("seed {seed}: {NODES} nodes, {messages} {}", kind.name());
        Experiment::new(name, move |findings| storm(seed, kind, messages, findings))
    })
}

/// One node sends so many messages, more quickly than the slow one takes them in.
pub fn storm(seed: u64, kind: Storm, messages: usize, findings: &mut Findings) {
    let mut config = config::hyparview();
    config.broadcast.handlers.insert(store::handler_name(), store::options());
    let mut bed = Bed::new(seed, config, messages, findings);
    if kind != Storm::Even {
        bed.slow_down();
    }
    let (quick, before) = (bed.quick(kind), payloads(&bed.lab.world));
    bed.send(kind, messages);
    bed.lab.run_for(SOON);
    let name = &format!("{NODES} nodes, {messages} {}", kind.name());
    let none = Some(Gate::AtMost(0.0));
    let missed = |bed: &Bed, node: usize| messages as f64 - bed.delivered(node) as f64;
    if kind != Storm::Stores {
        let late = quick.clone().map(|node| missed(&bed, node)).sum();
        findings.add(name, "missing at quick nodes a second later", "–", None, late);
    }
    bed.lab.run_for(LATE);
    if kind != Storm::Stores {
        let lost = quick.map(|node| missed(&bed, node)).sum();
        findings.add(name, "missed by quick nodes", "59 % by some", none, lost);
    }
    let copies = payloads(&bed.lab.world) - before;
    let cost = redundancy(copies, (messages * (NODES - 1)) as u64);
    let gate = (kind == Storm::Even).then_some(Gate::AtMost(0.02));
    findings.add(name, "redundancy", "–", gate, cost);
    match kind {
        Storm::Even => {}
        Storm::OneSlow => {
            let share = 1.0 - missed(&bed, SLOW) / messages as f64;
            findings.add(name, "delivered to the slow node, share", "–", None, share);
            let silent = missed(&bed, SLOW) - bed.counters(SLOW).missed as f64;
            findings.add(name, "missed there and not told of", "–", none, silent.abs());
        }
        Storm::Stores => {
            let world = &bed.lab.world;
            let differ = |node: &usize| world.store(*node) != world.store(SENDER);
            let differing = (0..NODES).filter(differ).count() as f64;
            findings.add(name, "stores that differ in the end", "–", none, differing);
        }
    }
    let asking = if kind == Storm::Stores { BroadcastConfig::default().max_questions } else { 0 };
    let most = Some(Gate::AtMost((CacheConfig::default().messages + asking) as f64));
    findings.add(name, "messages kept or judged by a node, most", "–", most, bed.most_kept as f64);
    findings.add(name, "violations", "–", none, bed.lab.world.violations().len() as f64);
}

/// A cluster that has formed, and whose tree has.
struct Bed {
    lab: Lab,
    /// What each node had been handed before.
    before: Vec<u64>,
    /// The most messages that any node kept.
    most_kept: u64,
}

impl Bed {
    fn new(seed: u64, config: Config, messages: usize, findings: &Findings) -> Self {
        let latency = config::latency();
        let mut lab = Lab::new(seed, NODES, config, latency, config::CYCLE);
        let span = PAUSE * (messages / BATCH) as u32;
        lab = lab.watched(findings, config::CYCLE * 4 + span + SOON + LATE);
        lab.world.calm_applications();
        lab.join(Bootstrap::Contact, JOIN_PAUSE);
        lab.cycles(2);
        for _ in 0..2 {
            lab.world.broadcast(SENDER, "a message to all");
            lab.cycles(1);
        }
        let mut bed = Self { lab, before: Vec::new(), most_kept: 0 };
        bed.before = (0..NODES).map(|node| bed.counters(node).delivered).collect();
        bed
    }

    /// From now on one node takes in little.
    fn slow_down(&mut self) {
        let (now, span) = (self.lab.world.now(), LATE * 2);
        for from in (0..NODES).filter(|node| *node != SLOW) {
            let (to, bytes_per_second) = (SLOW, SPEED);
            self.lab.world.plan_fault(now, Fault::Slow { from, to, bytes_per_second, span });
        }
    }

    fn quick(&self, kind: Storm) -> impl Iterator<Item = usize> + Clone + use<> {
        (0..NODES).filter(move |node| kind == Storm::Even || *node != SLOW)
    }

    fn send(&mut self, kind: Storm, messages: usize) {
        for number in 0..messages {
            match kind {
                Storm::Even | Storm::OneSlow => {
                    self.lab.world.broadcast(SENDER, vec![7; PAYLOAD]);
                }
                Storm::Stores => {
                    let key = (number % usize::from(store::KEYS)) as u8;
                    self.lab.world.write(SENDER, key);
                }
            }
            if (number + 1) % BATCH == 0 {
                self.lab.run_for(PAUSE);
                self.look();
            }
        }
    }

    /// Nothing is old enough yet to be forgotten for its age.
    fn look(&mut self) {
        let kept =
            |counters: BroadcastCounters| counters.sent + counters.received - counters.crowded_out;
        let most = (0..NODES).map(|node| kept(self.counters(node))).max();
        self.most_kept = self.most_kept.max(most.unwrap_or_default());
    }

    fn counters(&self, node: usize) -> BroadcastCounters {
        let node = self.lab.world.hosts()[node].node();
        node.map(|node| node.counters().broadcast).unwrap_or_default()
    }

    /// How many messages a node was handed since the storm began.
    fn delivered(&self, node: usize) -> u64 {
        self.counters(node).delivered - self.before[node]
    }
}
