//! HyParView (Leitão, Pereira, Rodrigues: HyParView: a membership protocol for reliable gossip-based
//! broadcast, DSN 2007): its Table 1 and Figures 2 to 5, and flash crowds, of which it says nothing.
//!
//! The experiments are those of the paper and look at any manager that keeps neighbours, a
//! [`Subject`]; the gates are those of HyParView.
//!
//! Active views of 5, passive views of 30, walks of 6 and 3, as there. A cycle is a shuffle period.

use partisan_proto::wire::ControlMessage;
use partisan_proto::{Config, Duration};

use super::experiment::Experiment;
use super::findings::{Findings, Gate};
use super::lab::Lab;
use super::{Options, config};
use crate::latency::Latency;
use crate::measure::{Histogram, Overlay, Shape};
use crate::picture::{Bars, Chart, Curve};
use crate::workload::Bootstrap;

/// The active views' size.
pub const ACTIVE: usize = 5;
/// Between two joins.
pub const JOIN_PAUSE: Duration = Duration::from_millis(10);
/// Between two messages after a failure: a flood takes less.
const MESSAGE_PAUSE: Duration = Duration::from_millis(10);
/// How many messages are sent after a failure.
const MESSAGES: usize = 1_000;
/// How many messages are broadcast by the nodes themselves after that.
const BROADCASTS: u32 = 10;
/// How many cycles a healing may take before it counts as failed.
const MOST_CYCLES: u32 = 20;

/// The percentages of Figure 2, its reliability, and what is demanded here.
pub const FAILURES: [(usize, &str, f64); 10] = [
    (10, "≈ 1", 0.999),
    (20, "≈ 1", 0.999),
    (30, "≈ 1", 0.999),
    (40, "≈ 1", 0.999),
    (50, "≈ 1", 0.999),
    (60, "≈ 1", 0.999),
    (70, "≈ 1", 0.999),
    (80, "≈ 1", 0.999),
    (90, "≈ 1", 0.99),
    (95, "≈ 0.91", 0.93),
];

/// The percentages of Figure 4, and the cycles until broadcasts reach everybody again.
pub const HEALINGS: [(usize, &str, f64); 3] = [(60, "1", 1.0), (80, "2", 2.0), (90, "4", 4.0)];

/// The percentage that dies before passive views are looked at, after how many cycles they are, and
/// the share of their entries that may then be dead.
pub const HYGIENE: (usize, u32, f64) = (50, 20, 0.05);

/// What a random graph allows, scaled from what is demanded at 10,000 nodes to other sizes.
struct Gates {
    clustering: f64,
    path: f64,
    hops: f64,
}

impl Gates {
    fn at(nodes: usize, seed: u64) -> Self {
        // A random regular graph has 6.359, 8.2 and 0.0005 at 10,000; its clustering falls as 1/n.
        if nodes == 10_000 {
            return Self { clustering: 0.001, path: 6.40, hops: 9.0 };
        }
        let ideal = Shape::of(&Overlay::random(seed, nodes, ACTIVE), seed);
        let clustering = 10.0 / nodes as f64;
        Self { clustering, path: ideal.path * 1.0065, hops: ideal.last_hop + 0.8 }
    }
}

/// Whose overlay the experiments look at: any manager that keeps neighbours.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The configuration of every node; its active views are to hold [`ACTIVE`] for the gates to
    /// make sense.
    pub config: Config,
    /// How long a cycle is.
    pub cycle: Duration,
    /// Which messages are cyclic: none of them travels while a failure is looked at.
    pub cyclic: fn(&ControlMessage) -> bool,
}

/// All experiments with HyParView itself.
pub(super) fn experiments(options: &Options) -> Vec<Experiment> {
    let (nodes, cycles) = options.scale((10_000, 50), (1_000, 20));
    let mut all = Vec::new();
    for seed in options.seeds() {
        let mut plan =
            |what: &str, run: fn(&Subject, u64, usize, u32, usize, &mut Findings), arg| {
                let run = move |findings: &mut Findings| {
                    run(&hyparview(), seed, nodes, cycles, arg, findings);
                };
                all.push(Experiment::new(format!("seed {seed}: {what}"), run));
            };
        plan("one by one", |s, seed, nodes, cycles, _, f| stable(s, seed, nodes, cycles, f), 0);
        plan("flash crowd", |s, seed, nodes, _, _, f| flash_crowd(s, seed, nodes, f), 0);
        // Of fifty survivors, one that is alone would count as much as the gate allows for all.
        let quick = |percent| (80..95).contains(&percent);
        for (percent, ..) in FAILURES.iter().filter(|failure| !options.quick || quick(failure.0)) {
            plan(&format!("{percent} % killed"), failure, *percent);
        }
        for (percent, ..) in HEALINGS {
            plan(&format!("healing from {percent} %"), healing, percent);
        }
        plan(
            "passive views after a failure",
            |s, seed, nodes, c, _, f| hygiene(s, seed, nodes, c, f),
            0,
        );
    }
    all
}

/// HyParView itself.
fn hyparview() -> Subject {
    Subject { config: config::hyparview(), cycle: config::CYCLE, cyclic: config::is_shuffle }
}

/// Draws what several experiments found together.
pub(super) fn draw(findings: &mut Findings) {
    let (reliability, healing) = (findings.kept("reliability"), findings.kept("healing"));
    reliability_chart(reliability, findings);
    healing_chart(healing, findings);
}

impl Subject {
    /// A cluster whose experiment lasts so many cycles after the joins one by one.
    fn lab(&self, seed: u64, nodes: usize, cycles: u32, findings: &Findings) -> Lab {
        let planned = JOIN_PAUSE * nodes as u32 + self.cycle * cycles;
        let lab = Lab::new(seed, nodes, self.config.clone(), Latency::LAN, self.cycle);
        lab.watched(findings, planned)
    }
}

/// Table 1 and Figure 5: the overlay of nodes that joined one by one, after so many cycles.
pub fn stable(subject: &Subject, seed: u64, nodes: usize, cycles: u32, findings: &mut Findings) {
    let mut lab = subject.lab(seed, nodes, cycles, findings);
    lab.join(Bootstrap::Contact, JOIN_PAUSE);
    lab.cycles(cycles);
    let shape = lab.shape();
    let gates = Gates::at(nodes, seed);
    let name = &format!("{nodes} nodes join one by one, {cycles} cycles");
    let most = |value| Some(Gate::AtMost(value));
    let least = |value| Some(Gate::AtLeast(value));
    let clustering = most(gates.clustering);
    findings.add(name, "clustering coefficient", "0.00092", clustering, shape.clustering);
    findings.add(name, "average shortest path", "6.385", most(gates.path), shape.path);
    findings.add(name, "hops of a flood, mean", "9.0", most(gates.hops), shape.last_hop);
    let full = shape.degrees.share_from(ACTIVE);
    findings.add(name, "share with 5 active peers", "≈ 1", least(0.99), full);
    findings.add(name, "fewest active peers", "–", least(4.0), shape.degrees.least() as f64);
    findings.add(name, "most active peers", "5", most(5.0), shape.degrees.most() as f64);
    findings.add(name, "links that lead back, share", "1", least(1.0), shape.symmetric);
    findings.add(name, "reached by a flood, share", "1", least(1.0), shape.reach);
    let found = lab.world.violations().len() as f64;
    findings.add(name, "violations", "–", most(0.0), found);
    let bars = Bars {
        title: "Active views",
        axis: "neighbours",
        what: "nodes",
        histogram: &shape.degrees,
        compare: None,
    };
    findings.figure("how many nodes have how many neighbours (Figure 5)", bars.picture());
    let ideal = Shape::of(&Overlay::random(seed, nodes, ACTIVE), seed);
    let from = |pairs: &[u64]| Histogram { counts: [&[0], pairs].concat() };
    let (ours, ideal) = (from(&shape.distances), from(&ideal.distances));
    let bars = Bars {
        title: "Distances",
        axis: "hops",
        what: "pairs",
        histogram: &ours,
        compare: Some(&ideal),
    };
    findings.figure("pairs so many hops apart; orange a random regular graph", bars.picture());
}

/// The overlay of nodes that all joined one contact at once, over ten cycles.
pub fn flash_crowd(subject: &Subject, seed: u64, nodes: usize, findings: &mut Findings) {
    let mut lab = subject.lab(seed, nodes, 10, findings);
    lab.join(Bootstrap::AtOnce, Duration::ZERO);
    let name = &format!("{nodes} nodes join one contact at once");
    let ideal = Shape::of(&Overlay::random(seed, nodes, ACTIVE), seed);
    let path = if nodes == 10_000 { 6.6 } else { ideal.path * 1.038 };
    let (mut clustering, mut paths) = (Vec::new(), Vec::new());
    let mut last = Shape::default();
    for cycle in 1..=10 {
        lab.cycles(1);
        last = lab.shape();
        clustering.push((f64::from(cycle), last.clustering));
        paths.push((f64::from(cycle), last.path));
    }
    let most = |value| Some(Gate::AtMost(value));
    let crowd = most(30.0 / nodes as f64);
    findings.add(name, "clustering after 10 cycles", "–", crowd, last.clustering);
    findings.add(name, "average shortest path after 10 cycles", "–", most(path), last.path);
    findings.add(name, "components after 10 cycles", "–", most(1.0), last.components as f64);
    let full = last.degrees.share_from(ACTIVE);
    findings.add(name, "share with 5 active peers", "–", None, full);
    let found = lab.world.violations().len() as f64;
    findings.add(name, "violations", "–", most(0.0), found);
    let ideal = vec![(1.0, ideal.path), (10.0, ideal.path)];
    let curves = vec![
        Curve { name: "flash crowd".into(), points: paths },
        Curve { name: "random graph".into(), points: ideal },
    ];
    let title = "Average shortest path after a flash crowd";
    let chart = Chart { title, axis: "cycles", curves, range: (0.0, 1.0), marks: Vec::new() };
    findings.chart("everybody joins one contact at once", &chart);
    let curves = vec![Curve { name: "clustering".into(), points: clustering }];
    let title = "Clustering after a flash crowd";
    let chart = Chart { title, axis: "cycles", curves, range: (0.0, 0.001), marks: Vec::new() };
    findings.chart("everybody joins one contact at once", &chart);
}

/// Figures 2 and 3: messages after this percentage of the nodes died, before any cyclic operation;
/// one of [`FAILURES`].
pub fn failure(
    subject: &Subject,
    seed: u64,
    nodes: usize,
    cycles: u32,
    percent: usize,
    findings: &mut Findings,
) {
    let known = FAILURES.iter().find(|failure| failure.0 == percent);
    let (_, paper, least) = known.copied().unwrap_or((percent, "–", 0.0));
    let mut lab = subject.lab(seed, nodes, cycles + 3, findings);
    lab.join(Bootstrap::Contact, JOIN_PAUSE);
    lab.cycles(cycles);
    lab.drop_messages(subject.cyclic);
    lab.kill(percent);
    findings.note(
        "Each message after a failure floods the live overlay as it is at its moment, 10 ms after \
         the one before; failure detection and repair go on in between, and cyclic messages are \
         dropped.",
    );
    let mut points = Vec::with_capacity(MESSAGES);
    for message in 0..MESSAGES {
        points.push((message as f64 + 1.0, lab.flood().reliability()));
        lab.run_for(MESSAGE_PAUSE);
    }
    let name = &format!("{percent} % of {nodes} killed at once");
    let mean = |points: &[(f64, f64)]| {
        points.iter().map(|point| point.1).sum::<f64>() / points.len().max(1) as f64
    };
    let all = mean(&points);
    findings.add(
        name,
        "reliability, mean of 1,000 messages",
        paper,
        Some(Gate::AtLeast(least)),
        all,
    );
    findings.add(name, "reliability of the first message", "–", None, points[0].1);
    findings.add(name, "reliability of the last 100", "–", None, mean(&points[MESSAGES - 100..]));
    let good = points.iter().rposition(|point| point.1 < least).map_or(0, |place| place + 1);
    let measure = "messages until it stays so high";
    findings.add(name, measure, "almost at once", None, good as f64);
    let broadcasts = lab.broadcasts(BROADCASTS);
    let measure = "reliability of 10 broadcasts by the nodes";
    findings.add(name, measure, paper, Some(Gate::AtLeast(least)), broadcasts);
    findings.keep("reliability", Curve { name: format!("{percent} %"), points });
}

/// The reliability of the first messages after each of several failures.
fn reliability_chart(mut curves: Vec<Curve>, findings: &mut Findings) {
    // The first hundred tell: the rest is a plateau.
    curves.retain(|curve| ["50 %", "70 %", "80 %", "90 %", "95 %"].contains(&curve.name.as_str()));
    curves.iter_mut().for_each(|curve| curve.points.truncate(100));
    let title = "Reliability of messages after a failure";
    let chart = Chart { title, axis: "message", curves, range: (0.0, 1.0), marks: Vec::new() };
    findings.chart("the first hundred messages, 10 ms apart, no shuffles (Figure 3)", &chart);
}

/// Figure 4: cycles until 10 broadcasts reach as many as before this percentage of the nodes died;
/// one of [`HEALINGS`].
pub fn healing(
    subject: &Subject,
    seed: u64,
    nodes: usize,
    cycles: u32,
    percent: usize,
    findings: &mut Findings,
) {
    let known = HEALINGS.iter().find(|healing| healing.0 == percent);
    let (_, paper, most) = known.copied().unwrap_or((percent, "–", 20.0));
    let mut lab = subject.lab(seed, nodes, cycles + 6, findings);
    lab.join(Bootstrap::Contact, JOIN_PAUSE);
    lab.cycles(cycles);
    let (before, _) = lab.floods(10);
    lab.kill(percent);
    let mut points = vec![(0.0, lab.floods(10).0)];
    let mut needed = None;
    for cycle in 1..=MOST_CYCLES {
        lab.cycles(1);
        let (reached, _) = lab.floods(10);
        points.push((f64::from(cycle), reached));
        if reached >= before {
            needed = needed.or(Some(cycle));
            if cycle >= 6 {
                break;
            }
        }
    }
    let name = &format!("healing from {percent} % of {nodes} killed");
    let value = needed.map_or(f64::INFINITY, f64::from);
    let gate = Some(Gate::AtMost(most));
    findings.add(name, "cycles until reliability is as before", paper, gate, value);
    findings.keep("healing", Curve { name: format!("{percent} %"), points });
}

/// How long passive views hold the dead after [`HYGIENE`]'s share of the nodes died at once. The
/// paper says nothing of it; its views forget them only as shuffles bring others.
pub fn hygiene(subject: &Subject, seed: u64, nodes: usize, cycles: u32, findings: &mut Findings) {
    let (percent, after, gate) = HYGIENE;
    let mut lab = subject.lab(seed, nodes, cycles + after, findings);
    lab.join(Bootstrap::Contact, JOIN_PAUSE);
    lab.cycles(cycles);
    lab.kill(percent);
    let mut points = vec![(0.0, lab.dead_in_reserve())];
    for cycle in 1..=after {
        lab.cycles(1);
        points.push((f64::from(cycle), lab.dead_in_reserve()));
    }
    let name = &format!("passive views after {percent} % of {nodes} were killed");
    findings.add(name, "dead entries at once, share", "–", None, points[0].1);
    let measure = format!("dead entries after {after} cycles, share");
    let last = points[points.len() - 1].1;
    findings.add(name, &measure, "–", Some(Gate::AtMost(gate)), last);
    let found = lab.world.violations().len() as f64;
    findings.add(name, "violations", "–", Some(Gate::AtMost(0.0)), found);
    let curves = vec![Curve { name: "dead".into(), points }];
    let title = "Dead entries of passive views after a failure";
    let chart = Chart { title, axis: "cycles", curves, range: (0.0, 1.0), marks: Vec::new() };
    findings.chart("share of all entries, by cycles after half of the nodes died", &chart);
}

/// The reliability by cycles after each of several failures.
fn healing_chart(curves: Vec<Curve>, findings: &mut Findings) {
    let title = "Reliability by cycles after a failure";
    let chart = Chart { title, axis: "cycles", curves, range: (0.0, 1.0), marks: Vec::new() };
    findings.chart("mean of 10 broadcasts at the end of each cycle (Figure 4)", &chart);
}
