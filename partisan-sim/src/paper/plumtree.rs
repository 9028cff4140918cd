//! Plumtree (Leitão, Pereira, Rodrigues: Epidemic broadcast trees, SRDS 2007): what broadcasts cost
//! and how they travel, with one sender, many and all, and after failures.
//!
//! The column of the paper holds its claims where they are known, and else what the nearest other
//! implementation (iroh-gossip 0.101) was measured to do in the same scenario. All nodes join one
//! contact one by one, and each link takes 10 to 50 ms.

use std::fmt;

use partisan_proto::config::{BroadcastConfig, OwnTrees};
use partisan_proto::{Config, Duration};

use super::experiment::Experiment;
use super::findings::{Findings, Gate};
use super::hyparview::JOIN_PAUSE;
use super::lab::Lab;
use super::{Options, config, storm};
use crate::latency::Latency;
use crate::measure::Overlay;
use crate::measure::broadcast::{Cost, Spread, Tally, flood, payloads, sum};
use crate::picture::{Chart, Curve};
use crate::workload::Bootstrap;

/// Cycles between the last join and the first broadcast.
const CYCLES: u32 = 5;
/// Between the broadcasts of one sender, and between rounds of all.
const PAUSE: Duration = Duration::from_secs(5);
/// From this broadcast on a tree is expected to be one, counted from 0.
const SETTLED: usize = 2;
/// Broadcasts of one sender.
const SINGLE: usize = 12;
/// Broadcasts of many senders.
const MANY: usize = 60;
/// Rounds in which everybody broadcasts, and after how many of them a tree is expected.
const ROUNDS: (usize, usize) = (10, 5);
/// Broadcasts after a failure.
const AFTER: usize = 10;

/// What is demanded when one node broadcasts, and what others do.
#[derive(Clone, Copy, Debug)]
pub struct Single {
    /// How many nodes.
    pub nodes: usize,
    /// The last hop of others, and what is demanded.
    pub last_hop: (&'static str, f64),
    /// The last arrival of others, and what is demanded, in milliseconds.
    pub last_arrival: (&'static str, f64),
}

/// One sender.
pub const SINGLES: [Single; 2] = [
    Single { nodes: 1_000, last_hop: ("13.5", 11.0), last_arrival: ("364", 220.0) },
    Single { nodes: 10_000, last_hop: ("34", 15.0), last_arrival: ("908", 300.0) },
];

/// The percentages killed at once, what the paper says of the reliability after that, and what is
/// demanded.
pub const FAILURES: [(usize, &str, f64); 4] =
    [(20, "≈ 1", 0.999), (50, "≈ 1", 0.999), (80, "≈ 1", 0.999), (90, "–", 0.99)];

/// All of them.
pub(super) fn experiments(options: &Options) -> Vec<Experiment> {
    let mut all = Vec::new();
    for seed in options.seeds() {
        let mut plan = |what: String, run: Box<dyn FnOnce(&mut Findings) + Send>| {
            all.push(Experiment::new(format!("seed {seed}: {what}"), run));
        };
        for scenario in SINGLES.iter().filter(|single| !options.quick || single.nodes <= 1_000) {
            let run = move |findings: &mut Findings| single(seed, scenario, findings);
            plan(format!("{} nodes, one sender", scenario.nodes), Box::new(run));
        }
        let nodes = options.scale(1_000, 300);
        plan(format!("{nodes} nodes, many senders"), Box::new(move |f| many(seed, nodes, f)));
        plan("100 nodes, all send".into(), Box::new(move |f| all_send(seed, 100, f)));
        plan(format!("{nodes} nodes, no heartbeats"), Box::new(move |f| plain(seed, nodes, f)));
        let run = move |findings: &mut Findings| exchanging(seed, nodes, findings);
        plan(format!("{nodes} nodes, neighbours exchanged"), Box::new(run));
        let nodes = options.scale(10_000, 500);
        for (percent, ..) in FAILURES {
            let run = move |findings: &mut Findings| failure(seed, nodes, percent, findings);
            plan(format!("{percent} % of {nodes} killed"), Box::new(run));
        }
        all.extend(storm::experiments(seed, options));
    }
    all
}

/// Draws what several experiments found together.
pub(super) fn draw(findings: &mut Findings) {
    let curves = findings.kept("reliability");
    let title = "Reliability of broadcasts after a failure";
    let chart = Chart { title, axis: "broadcast", curves, range: (0.0, 1.0), marks: Vec::new() };
    findings.chart("a second apart, each given ten seconds; the first at once", &chart);
    let title = "Redundancy by broadcast";
    let curves = findings.kept("redundancy");
    let chart = Chart { title, axis: "broadcast", curves, range: (0.0, 1.0), marks: Vec::new() };
    findings.chart("payloads sent for each delivery, less one", &chart);
}

/// A cluster that has formed, and what is seen of its broadcasts.
struct Bed {
    lab: Lab,
    tally: Tally,
    latency: Latency,
}

/// What one round of broadcasts did.
#[derive(Clone, Copy, Debug)]
struct Round {
    cost: Cost,
    /// The last hop of a flood over the same overlay from the same node, whose copies are as quick.
    flood: u8,
}

impl Bed {
    fn new(seed: u64, nodes: usize, config: Config, seconds: u32, findings: &Findings) -> Self {
        let latency = config::latency();
        let mut lab = Lab::new(seed, nodes, config, latency.clone(), config::CYCLE);
        let joins = JOIN_PAUSE * nodes as u32 + config::CYCLE * CYCLES;
        lab = lab.watched(findings, joins + Duration::from_secs(1) * seconds);
        lab.join(Bootstrap::Contact, JOIN_PAUSE);
        lab.cycles(CYCLES);
        let tally = Tally::default();
        lab.world.check(tally.clone());
        Self { lab, tally, latency }
    }

    /// These nodes broadcast at once.
    fn round(&mut self, senders: &[usize]) -> Round {
        let live = self.lab.world.live().count();
        let overlay = Overlay::of(&self.lab.world);
        let floods = senders.iter().filter_map(|sender| overlay.place(*sender));
        // Of many senders at once each has its own.
        let floods = floods.take(1).map(|from| flood(&overlay, &self.latency, self.lab.seed, from));
        let flood = floods.map(|(hops, _)| hops).max().unwrap_or_default();
        let before = payloads(&self.lab.world);
        for sender in senders {
            self.lab.world.broadcast(*sender, "a message to all");
        }
        self.lab.run_for(PAUSE);
        let spreads = self.tally.take();
        let cost = Cost::of(spreads.values(), live, payloads(&self.lab.world) - before);
        Round { cost, flood }
    }

    fn judge_violations(&self, name: &str, findings: &mut Findings) {
        let found = self.lab.world.violations().len() as f64;
        findings.add(name, "violations", "–", most(0.0), found);
    }
}

const fn most(value: f64) -> Option<Gate> {
    Some(Gate::AtMost(value))
}

fn worst(rounds: &[Round], what: impl Fn(&Round) -> f64) -> f64 {
    rounds.iter().map(what).fold(0.0, f64::max)
}

fn mean(rounds: &[Round], what: impl Fn(&Round) -> f64) -> f64 {
    rounds.iter().map(what).sum::<f64>() / rounds.len().max(1) as f64
}

fn missed(rounds: &[Round]) -> f64 {
    rounds.iter().map(|round| round.cost.missed).sum::<u64>() as f64
}

fn milliseconds(round: &Round) -> f64 {
    round.cost.last_arrival.as_secs_f64() * 1e3
}

fn redundancies(rounds: &[Round], name: impl fmt::Display, findings: &mut Findings) {
    let points = rounds.iter().enumerate();
    let points = points.map(|(n, round)| (n as f64 + 1.0, round.cost.redundancy)).collect();
    findings.keep("redundancy", Curve { name: name.to_string(), points });
}

/// One node broadcasts again and again.
pub fn single(seed: u64, scenario: &Single, findings: &mut Findings) {
    let nodes = scenario.nodes;
    let mut bed = Bed::new(seed, nodes, config::hyparview(), 5 * SINGLE as u32, findings);
    let sender = nodes / 2;
    let rounds: Vec<Round> = (0..SINGLE).map(|_| bed.round(&[sender])).collect();
    let name = &format!("{nodes} nodes, one sender");
    let first = rounds[0].cost.redundancy;
    findings.add(name, "redundancy of the first", "2.43 to 2.60", None, first);
    let settled = &rounds[SETTLED..];
    let rmr = worst(settled, |round| round.cost.redundancy);
    findings.add(name, "redundancy from the third on, worst", "→ 0", most(0.001), rmr);
    let over = |round: &Round| f64::from(round.cost.last_hop) - f64::from(round.flood);
    let measure = "last hop beyond that of a flood, worst";
    findings.add(name, measure, "≈ 1", most(1.0), worst(settled, over));
    let (paper, gate) = scenario.last_hop;
    let hops = worst(settled, |round| f64::from(round.cost.last_hop));
    findings.add(name, "last hop, worst", paper, most(gate), hops);
    let (paper, gate) = scenario.last_arrival;
    let arrival = worst(settled, milliseconds);
    findings.add(name, "last arrival, worst, ms", paper, most(gate), arrival);
    findings.add(name, "deliveries missed", "0", most(0.0), missed(&rounds));
    bed.judge_violations(name, findings);
    redundancies(&rounds, format_args!("one of {nodes}"), findings);
}

/// Nodes that are drawn broadcast one after the other.
pub fn many(seed: u64, nodes: usize, findings: &mut Findings) {
    let mut bed = Bed::new(seed, nodes, config::hyparview(), 5 * MANY as u32, findings);
    let rounds: Vec<Round> = (0..MANY).map(|_| bed.draw_and_send()).collect();
    let name = &format!("{nodes} nodes, many senders");
    let settled = &rounds[SETTLED..];
    let rmr = mean(settled, |round| round.cost.redundancy);
    findings.add(name, "redundancy from the third on, mean", "0.469", most(0.02), rmr);
    let rmr = worst(settled, |round| round.cost.redundancy);
    findings.add(name, "redundancy from the third on, worst", "–", None, rmr);
    let ratio = |round: &Round| f64::from(round.cost.last_hop) / f64::from(round.flood.max(1));
    let measure = "last hop, of that of a flood, mean";
    findings.add(name, measure, "–", most(2.0), mean(settled, ratio));
    let measure = "last hop, of that of a flood, worst";
    findings.add(name, measure, "–", None, worst(settled, ratio));
    let hops = mean(settled, |round| f64::from(round.cost.last_hop));
    findings.add(name, "last hop, mean", "21.2", None, hops);
    let arrival = mean(settled, milliseconds);
    findings.add(name, "last arrival, mean, ms", "617", None, arrival);
    findings.add(name, "deliveries missed", "0", most(0.0), missed(&rounds));
    bed.judge_grafts(name, findings);
    bed.judge_violations(name, findings);
    redundancies(&rounds, format_args!("many of {nodes}"), findings);
}

impl Bed {
    fn draw_and_send(&mut self) -> Round {
        let sender = self.lab.draw_live();
        self.round(&[sender])
    }

    /// How many of the messages asked for came by themselves as well.
    fn judge_grafts(&self, name: &str, findings: &mut Findings) {
        let world = &self.lab.world;
        let spurious = sum(world, |counters| counters.spurious_grafts) as f64;
        let received = sum(world, |counters| counters.received) as f64;
        let share = spurious / received.max(1.0);
        findings.add(name, "asked for in vain, share", "–", most(0.01), share);
    }
}

/// All nodes broadcast at once, again and again.
pub fn all_send(seed: u64, nodes: usize, findings: &mut Findings) {
    let (count, settled) = ROUNDS;
    let mut bed = Bed::new(seed, nodes, config::hyparview(), 5 * count as u32, findings);
    let senders: Vec<usize> = (0..nodes).collect();
    let rounds: Vec<Round> = (0..count).map(|_| bed.round(&senders)).collect();
    let name = &format!("{nodes} nodes, all send at once");
    findings.add(name, "redundancy of the first round", "–", None, rounds[0].cost.redundancy);
    let later = &rounds[settled..];
    let rmr = worst(later, |round| round.cost.redundancy);
    findings.add(name, "redundancy after 5 rounds, worst", "0.78 to 1.07", most(0.2), rmr);
    let hops = worst(later, |round| f64::from(round.cost.last_hop));
    findings.add(name, "last hop, worst", "10.9", None, hops);
    let gate = most(1_000.0);
    findings.add(name, "last arrival, worst, ms", "774", gate, worst(&rounds, milliseconds));
    findings.add(name, "deliveries missed", "0", most(0.0), missed(&rounds));
    bed.judge_violations(name, findings);
    redundancies(&rounds, format_args!("all of {nodes}"), findings);
}

/// The paper's protocol itself: without heartbeats, on one tree that messages shape.
pub fn plain(seed: u64, nodes: usize, findings: &mut Findings) {
    let own_trees = OwnTrees::Never;
    let broadcast = BroadcastConfig { heartbeats: false, own_trees, ..BroadcastConfig::default() };
    let config = Config { broadcast, ..config::hyparview() };
    let mut bed = Bed::new(seed, nodes, config, 5 * (SINGLE + MANY) as u32, findings);
    let sender = nodes / 2;
    let one: Vec<Round> = (0..SINGLE).map(|_| bed.round(&[sender])).collect();
    let name = &format!("{nodes} nodes, as in the paper, one sender");
    let settled = &one[SETTLED..];
    let rmr = mean(settled, |round| round.cost.redundancy);
    findings.add(name, "redundancy from the third on, mean", "→ 0", most(0.02), rmr);
    let hops = mean(settled, |round| f64::from(round.cost.last_hop));
    findings.add(name, "last hop, mean", "13.75", None, hops);
    findings.add(name, "deliveries missed", "0", most(0.0), missed(&one));
    let many: Vec<Round> = (0..MANY).map(|_| bed.draw_and_send()).collect();
    let name = &format!("{nodes} nodes, as in the paper, many senders");
    let rmr = mean(&many, |round| round.cost.redundancy);
    findings.add(name, "redundancy, mean", "0.469", None, rmr);
    let hops = mean(&many, |round| f64::from(round.cost.last_hop));
    findings.add(name, "last hop, mean", "21.2", None, hops);
    findings.add(name, "deliveries missed", "0", most(0.0), missed(&many));
    bed.judge_violations(name, findings);
    redundancies(&one, "one, no heartbeats", findings);
}

/// One node broadcasts while neighbours are exchanged for cheaper ones (X-BOT): who comes takes the
/// part in the tree of who goes, and the next heartbeat makes it straight.
pub fn exchanging(seed: u64, nodes: usize, findings: &mut Findings) {
    let mut bed = Bed::new(seed, nodes, config::xbot(), 5 * MANY as u32, findings);
    let before = Overlay::of(&bed.lab.world);
    let rounds: Vec<Round> = (0..MANY).map(|_| bed.round(&[nodes / 2])).collect();
    let after = Overlay::of(&bed.lab.world);
    let kept = after.links().filter(|(from, to)| before.has_link(*from, *to)).count();
    let exchanged = 1.0 - kept as f64 / after.link_count().max(1) as f64;
    let name = &format!("{nodes} nodes, neighbours exchanged");
    let gate = Some(Gate::AtLeast(0.1));
    findings.add(name, "links exchanged meanwhile, share", "–", gate, exchanged);
    let settled = &rounds[SETTLED..];
    let rmr = mean(settled, |round| round.cost.redundancy);
    findings.add(name, "redundancy from the third on, mean", "–", most(0.05), rmr);
    let rmr = worst(settled, |round| round.cost.redundancy);
    findings.add(name, "redundancy from the third on, worst", "–", None, rmr);
    findings.add(name, "last arrival, worst, ms", "–", None, worst(settled, milliseconds));
    findings.add(name, "deliveries missed", "0", most(0.0), missed(&rounds));
    bed.judge_violations(name, findings);
    redundancies(&rounds, "neighbours exchanged", findings);
}

/// Broadcasts after this percentage of the nodes died at once, on the trees of before; one of
/// [`FAILURES`].
pub fn failure(seed: u64, nodes: usize, percent: usize, findings: &mut Findings) {
    let known = FAILURES.iter().find(|failure| failure.0 == percent);
    let (_, paper, least) = known.copied().unwrap_or((percent, "–", 0.0));
    let seconds = (5 * SINGLE + 2 * AFTER) as u32 + 10;
    let mut bed = Bed::new(seed, nodes, config::hyparview(), seconds, findings);
    for _ in 0..=SETTLED {
        bed.draw_and_send();
    }
    bed.lab.kill(percent);
    let live = bed.lab.world.live().count();
    for _ in 0..AFTER {
        let sender = bed.lab.draw_live();
        bed.lab.world.broadcast(sender, "a message to all");
        bed.lab.run_for(Duration::from_secs(1));
    }
    bed.lab.run_for(Duration::from_secs(10));
    let mut spreads: Vec<Spread> = bed.tally.take().into_values().collect();
    spreads.sort_by_key(|spread| spread.first);
    let shares = spreads.iter().map(|spread| spread.deliveries as f64 / live as f64);
    let shares: Vec<f64> = shares.collect();
    let name = &format!("{percent} % of {nodes} killed at once");
    let mean = shares.iter().sum::<f64>() / AFTER as f64;
    let gate = Some(Gate::AtLeast(least));
    findings.add(name, "reliability of 10 broadcasts, mean", paper, gate, mean);
    let first = shares.first().copied().unwrap_or_default();
    findings.add(name, "reliability of the one sent at once", "–", None, first);
    let last = spreads.last().map_or(0.0, |spread| spread.span().as_secs_f64() * 1e3);
    findings.add(name, "last arrival of the tenth, ms", "–", None, last);
    bed.judge_violations(name, findings);
    let points = shares.iter().enumerate().map(|(n, share)| (n as f64 + 1.0, *share));
    findings.keep("reliability", Curve { name: format!("{percent} %"), points: points.collect() });
}
