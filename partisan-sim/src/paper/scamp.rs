//! SCAMP (Ganesh, Kermarrec, Massoulié: Peer-to-peer membership management for gossip-based
//! protocols, IEEE Transactions on Computers 2003): views grow with the logarithm of the cluster
//! though nobody knows its size.

use partisan_proto::Duration;

use super::findings::{Findings, Gate};
use super::lab::Lab;
use super::{Options, config};
use crate::latency::Latency;
use crate::measure::Histogram;
use crate::picture::Bars;
use crate::workload::Bootstrap;

/// Between two joins: a subscription is spread before the next one comes.
const JOIN_PAUSE: Duration = Duration::from_millis(50);
/// How far from (c + 1) ln n the mean view may be.
const TOLERANCE: f64 = 0.1;

/// Runs all of it.
pub(super) fn run(options: &Options, findings: &mut Findings, progress: &mut dyn FnMut(&str)) {
    let sizes: &[usize] = if options.quick { &[200, 500] } else { &[1_000, 3_000] };
    for seed in options.seeds() {
        for nodes in sizes {
            progress(&format!("seed {seed}: {nodes} nodes"));
            views(seed, *nodes, findings);
        }
    }
}

fn views(seed: u64, nodes: usize, findings: &mut Findings) {
    let (config, copies) = config::scamp();
    let mut lab = Lab::new(seed, nodes, config, Latency::LAN, config::CYCLE);
    lab.join(Bootstrap::Random, JOIN_PAUSE);
    lab.cycles(1);
    let nodes_alive = lab.world.hosts().iter().filter_map(|host| host.node());
    let views: Histogram = nodes_alive.map(|node| node.views().active.len()).collect();
    let expected = (copies as f64 + 1.0) * (nodes as f64).ln();
    let name = &format!("{nodes} nodes join at random, c = {copies}");
    let paper = format!("(c+1) ln n = {expected:.1}");
    findings.add(name, "mean view", &paper, None, views.mean());
    let off = (views.mean() / expected - 1.0).abs();
    findings.add(name, "off from the paper, share", "0", Some(Gate::AtMost(TOLERANCE)), off);
    findings.add(name, "smallest view", "–", None, views.least() as f64);
    findings.add(name, "greatest view", "–", None, views.most() as f64);
    let shape = lab.shape();
    findings.add(name, "components", "1", Some(Gate::AtMost(1.0)), shape.components as f64);
    let found = lab.world.violations().len() as f64;
    findings.add(name, "violations", "–", Some(Gate::AtMost(0.0)), found);
    let title = format!("Views of {nodes} nodes");
    let bars =
        Bars { title: &title, axis: "peers", what: "nodes", histogram: &views, compare: None };
    findings.figure("how many nodes have how many in view", bars.picture());
}
