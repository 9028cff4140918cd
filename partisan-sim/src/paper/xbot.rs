//! X-BOT (Leitão, Marques, Pereira, Rodrigues: X-BOT: a protocol for resilient optimization of
//! unstructured overlays, SRDS 2009). The gates are those of an idealised model of it: links chosen
//! by cost become much cheaper while paths grow a little, and nobody gains or loses a neighbour.

use partisan_proto::{Config, Duration};

use super::experiment::{Experiment, Watch};
use super::findings::{Findings, Gate};
use super::hyparview::{ACTIVE, JOIN_PAUSE};
use super::lab::Lab;
use super::{Options, config};
use crate::latency::Latency;
use crate::measure::Overlay;
use crate::picture::{Chart, Coloring, Curve, Layout, overlay};
use crate::workload::Bootstrap;

/// How often the overlay is looked at while it is optimised.
const LOOK: Duration = Duration::from_secs(10);

/// Two configurations of every node that differ in whether links are optimised.
#[derive(Clone, Debug)]
pub struct Subjects {
    /// Without.
    pub plain: Config,
    /// With.
    pub optimized: Config,
}

/// All experiments, with HyParView and with X-BOT.
pub(super) fn experiments(options: &Options) -> Vec<Experiment> {
    let (nodes, looks) = options.scale((1_000, 200), (300, 100));
    let mut all = Vec::new();
    for seed in options.seeds() {
        let maps = [("on a plane", plane as fn(&_, _, _, _, &mut Findings)), ("in zones", zones)];
        for (map, experiment) in maps {
            let run = move |findings: &mut Findings| {
                let subjects = Subjects { plain: config::hyparview(), optimized: config::xbot() };
                experiment(&subjects, seed, nodes, looks, findings);
            };
            all.push(Experiment::new(format!("seed {seed}: {map}"), run));
        }
    }
    all
}

/// The overlay with and without optimisation, from the same joins.
struct Pair {
    plain: Lab,
    optimized: Lab,
    costs: [Vec<(f64, f64)>; 2],
}

impl Pair {
    fn run(
        subjects: &Subjects,
        seed: u64,
        nodes: usize,
        looks: usize,
        latency: &Latency,
        watch: &Watch,
    ) -> Self {
        let lab = |config: &Config| Lab::new(seed, nodes, config.clone(), latency.clone(), LOOK);
        let mut pair = Self {
            plain: lab(&subjects.plain),
            optimized: lab(&subjects.optimized),
            costs: [Vec::new(), Vec::new()],
        };
        let labs = [&mut pair.plain, &mut pair.optimized].into_iter().zip(&mut pair.costs);
        for (place, (lab, costs)) in labs.enumerate() {
            lab.join(Bootstrap::Contact, JOIN_PAUSE * 5);
            for look in 0..looks {
                watch.tell((place * looks + look) as f64 / (2 * looks) as f64);
                lab.world.run_for(LOOK);
                let overlay = Overlay::of(&lab.world);
                let cost = overlay.link_cost(|a, b| latency.least(seed, a, b).as_secs_f64());
                costs.push((lab.world.now().as_secs_f64(), cost * 1e3));
            }
        }
        pair
    }

    /// What holds on every map: degrees stay, nobody is cut off, paths grow by no more than this
    /// factor.
    fn judge(&self, name: &str, growth: f64, findings: &mut Findings) {
        let (plain, optimized) = (self.plain.shape(), self.optimized.shape());
        let most = |value| Some(Gate::AtMost(value));
        let least = |value| Some(Gate::AtLeast(value));
        let ratio = optimized.path / plain.path;
        findings.add(name, "shortest paths, of those without", "≈ 1.14", most(growth), ratio);
        let components = optimized.components as f64;
        findings.add(name, "components", "1", most(1.0), components);
        let full = optimized.degrees.share_from(ACTIVE);
        findings.add(name, "share with 5 active peers", "as without", least(0.98), full);
        findings.add(name, "share with 5 without", "–", None, plain.degrees.share_from(ACTIVE));
        findings.add(name, "clustering", "≈ 0.08", None, optimized.clustering);
        findings.add(name, "clustering without", "–", None, plain.clustering);
        let found = self.optimized.world.violations().len() as f64;
        findings.add(name, "violations", "–", most(0.0), found);
    }
}

/// What share of the cost is to be saved on a plane, and how much paths may grow: on a smaller one
/// fewer nodes are near, and more of those have each other.
const fn demanded(nodes: usize) -> (f64, f64) {
    if nodes >= 1_000 { (0.7, 1.15) } else { (0.6, 1.2) }
}

/// Nodes at random on a plane: how much cheaper links become, and what paths pay for it.
pub fn plane(subjects: &Subjects, seed: u64, nodes: usize, looks: usize, findings: &mut Findings) {
    let pair = Pair::run(subjects, seed, nodes, looks, &Latency::PLANE, &findings.watch);
    let name = &format!("{nodes} nodes on a plane");
    let last = |costs: &[(f64, f64)]| costs.last().map_or(0.0, |point| point.1);
    let saved = 1.0 - last(&pair.costs[1]) / last(&pair.costs[0]);
    let (least, growth) = demanded(nodes);
    let gate = Some(Gate::AtLeast(least));
    findings.add(name, "link cost saved, share", "≈ 0.7", gate, saved);
    pair.judge(name, growth, findings);
    let names = ["HyParView", "X-BOT"].map(str::to_owned);
    let curves =
        names.into_iter().zip(pair.costs.clone()).map(|(name, points)| Curve { name, points });
    let chart = Chart {
        title: "Mean latency of a link",
        axis: "seconds",
        curves: curves.collect(),
        range: (0.0, 1.0),
        marks: Vec::new(),
    };
    findings.chart("in milliseconds, one way", &chart);
    let points = (0..nodes).filter_map(|node| Latency::PLANE.position(seed, node)).collect();
    let layout = Layout::fixed(points);
    for (title, lab) in [("Without X-BOT", &pair.plain), ("With X-BOT", &pair.optimized)] {
        let mut picture = overlay(&Overlay::of(&lab.world), &layout, &Coloring::Degree(ACTIVE));
        picture.title = title.into();
        findings.figure("every node where it stands", picture);
    }
}

/// Nodes in three zones, 1 ms inside and 80 ms across: how many links stay inside.
pub fn zones(subjects: &Subjects, seed: u64, nodes: usize, looks: usize, findings: &mut Findings) {
    let latency = Latency::zones();
    let pair = Pair::run(subjects, seed, nodes, looks, &latency, &findings.watch);
    let name = &format!("{nodes} nodes in three zones");
    let inside = |lab: &Lab| {
        let same = |a, b| f64::from(u8::from(latency.region(a) == latency.region(b)));
        Overlay::of(&lab.world).link_cost(same)
    };
    let gate = Some(Gate::AtLeast(0.5));
    findings.add(name, "links inside a zone, share", "–", gate, inside(&pair.optimized));
    findings.add(name, "links inside without, share", "–", None, inside(&pair.plain));
    pair.judge(name, 1.3, findings);
}
