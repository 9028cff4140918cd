//! SCAMP (Ganesh, Kermarrec, Massoulié: Peer-to-peer membership management for gossip-based
//! protocols, IEEE Transactions on Computers 2003): views grow with the logarithm of the cluster
//! though nobody knows its size.

use partisan_proto::Duration;

use super::experiment::Experiment;
use super::findings::{Findings, Gate};
use super::lab::Lab;
use super::{Options, config};
use crate::latency::Latency;
use crate::measure::Histogram;
use crate::picture::Bars;
use crate::workload::Bootstrap;

/// Between two joins: a subscription is spread before the next one comes.
const JOIN_PAUSE: Duration = Duration::from_millis(50);
/// How far from what is expected the mean view may be.
const TOLERANCE: f64 = 0.1;
/// How many clusters are formed for one mean, without and with extra copies: the first few joins
/// decide much, above all without.
const CLUSTERS: (u64, u64) = (12, 4);

/// All of them.
pub(super) fn experiments(options: &Options) -> Vec<Experiment> {
    let sizes: &[usize] = if options.quick { &[200, 500] } else { &[1_000, 3_000] };
    let mut all = Vec::new();
    for seed in options.seeds() {
        for nodes in sizes.iter().copied() {
            for (version, copies) in [(1, 0), (1, 4), (2, 4)] {
                let name = format!("seed {seed}: {nodes} nodes, version {version}, c = {copies}");
                let run = move |findings: &mut Findings| {
                    views(seed, nodes, version, copies, findings);
                };
                all.push(Experiment::new(name, run));
            }
        }
    }
    all
}

/// The views of `nodes` nodes that join at random ones, with so many extra copies: their mean
/// against the formula of the paper and what it becomes when the beginning is counted.
pub fn views(seed: u64, nodes: usize, version: u8, copies: usize, findings: &mut Findings) {
    let name = &format!("{nodes} nodes, version {version}, c = {copies}");
    let mut all = Histogram::default();
    let (mut components, mut violations) = (0, 0);
    let clusters = if copies == 0 { CLUSTERS.0 } else { CLUSTERS.1 };
    for cluster in 0..clusters {
        let config = config::scamp(version, copies);
        let mut lab = Lab::new(seed * 100 + cluster, nodes, config, Latency::LAN, config::CYCLE);
        lab.join(Bootstrap::Random, JOIN_PAUSE);
        lab.cycles(1);
        let alive = lab.world.hosts().iter().filter_map(|host| host.node());
        all.merge(&alive.map(|node| node.views().active.len()).collect());
        findings.watch.tell((cluster + 1) as f64 / clusters as f64);
        components = components.max(lab.shape().components);
        violations += lab.world.violations().len();
    }
    let formula = (copies as f64 + 1.0) * (nodes as f64).ln();
    let expected = expected(copies, nodes);
    let near = Gate::Between(1.0 - TOLERANCE, 1.0 + TOLERANCE);
    let paper = format!("(c+1) ln n = {formula:.1}");
    findings.add(name, "mean view", &paper, None, all.mean());
    let paper = if copies == 4 { "≈ 0.74 by HyParView's authors" } else { "1" };
    // Extra copies have nobody to be kept by at first, which the formula leaves out of account.
    let plain = (copies == 0 && nodes >= 1_000).then_some(near);
    findings.add(name, "of the formula, share", paper, plain, all.mean() / formula);
    let measure = "of the formula with its beginning, share";
    let paper = format!("(c+1) (1 + ln n/2(c+1)) = {expected:.1}");
    findings.add(name, measure, &paper, Some(near), all.mean() / expected);
    findings.add(name, "smallest view", "–", None, all.least() as f64);
    findings.add(name, "greatest view", "–", None, all.most() as f64);
    findings.add(name, "components", "1", Some(Gate::AtMost(1.0)), components as f64);
    findings.add(name, "violations", "–", Some(Gate::AtMost(0.0)), violations as f64);
    let title = format!("Views of {name}");
    let bars = Bars { title: &title, axis: "peers", what: "nodes", histogram: &all, compare: None };
    findings.figure("how many nodes have how many in view", bars.picture());
}

/// The mean view that follows from the paper's rule when the beginning is counted as well: until
/// there are 2(c + 1) nodes everybody knows everybody, since nobody else is there to keep copies;
/// from then on each join adds c + 1 entries besides the mean view.
#[must_use]
pub fn expected(copies: usize, nodes: usize) -> f64 {
    let each = (copies + 1) as f64;
    each * (1.0 + (nodes as f64 / (2.0 * each)).ln())
}
