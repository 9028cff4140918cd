//! SCAMP (Ganesh, Kermarrec, Massoulié: Peer-to-peer membership management for gossip-based
//! protocols, IEEE Transactions on Computers 2003): views grow with the logarithm of the cluster
//! though nobody knows its size.

use partisan_proto::Duration;

use super::findings::{Findings, Gate};
use super::lab::Lab;
use super::{Options, config};
use crate::draw::{Label, Stream};
use crate::latency::Latency;
use crate::measure::Histogram;
use crate::picture::Bars;
use crate::workload::Bootstrap;

/// Between two joins: a subscription is spread before the next one comes.
const JOIN_PAUSE: Duration = Duration::from_millis(50);
/// After so many hops the model gives a copy up.
const MOST_HOPS: usize = 100;
/// How far from what is expected the mean view may be.
const TOLERANCE: f64 = 0.1;
/// How many clusters are formed for one mean, without and with extra copies: the first few joins
/// decide much, above all without.
const CLUSTERS: (u64, u64) = (12, 4);
/// How many times the algorithm alone is run for its mean.
const MODELS: u64 = 20;

/// Runs all of it.
pub(super) fn run(options: &Options, findings: &mut Findings, progress: &mut dyn FnMut(&str)) {
    let sizes: &[usize] = if options.quick { &[200, 500] } else { &[1_000, 3_000] };
    for seed in options.seeds() {
        for nodes in sizes {
            for (version, copies) in [(1, 0), (1, 4), (2, 4)] {
                progress(&format!("seed {seed}: {nodes} nodes, version {version}, c = {copies}"));
                views(seed, *nodes, version, copies, findings);
            }
        }
    }
}

/// The views of `nodes` nodes that join at random ones, with so many extra copies: their mean
/// against the formula of the paper and against its algorithm without a network.
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
        components = components.max(lab.shape().components);
        violations += lab.world.violations().len();
    }
    let formula = (copies as f64 + 1.0) * (nodes as f64).ln();
    let models = (0..MODELS).map(|run| model(seed * 100 + run, nodes, copies));
    let model = models.sum::<f64>() / MODELS as f64;
    let near = Gate::Between(1.0 - TOLERANCE, 1.0 + TOLERANCE);
    let paper = format!("(c+1) ln n = {formula:.1}");
    findings.add(name, "mean view", &paper, None, all.mean());
    // With extra copies the formula supposes more nodes in the beginning than there are to keep
    // them; the authors of HyParView measured 34 where it gives 46.
    let (paper, gate) = if copies == 0 { ("1", Some(near)) } else { ("≈ 0.74", None) };
    findings.add(name, "of the formula, share", paper, gate, all.mean() / formula);
    let measure = "of the algorithm without a network, share";
    findings.add(name, measure, &format!("its mean is {model:.1}"), Some(near), all.mean() / model);
    findings.add(name, "smallest view", "–", None, all.least() as f64);
    findings.add(name, "greatest view", "–", None, all.most() as f64);
    findings.add(name, "components", "1", Some(Gate::AtMost(1.0)), components as f64);
    findings.add(name, "violations", "–", Some(Gate::AtMost(0.0)), violations as f64);
    let title = format!("Views of {name}");
    let bars = Bars { title: &title, axis: "peers", what: "nodes", histogram: &all, compare: None };
    findings.figure("how many nodes have how many in view", bars.picture());
}

/// The mean view that the paper's algorithm gives without a network: everybody joins at random and
/// every copy of a subscription walks until it is kept.
fn model(seed: u64, nodes: usize, copies: usize) -> f64 {
    let mut stream = Stream::new(seed, Label::Story, 2);
    let mut views: Vec<Vec<u32>> = vec![Vec::new()];
    for node in 1..nodes {
        let contact = stream.below(node);
        views.push(vec![contact as u32]);
        let mut starts = views[contact].clone();
        for _ in 0..copies {
            let choices = &views[contact];
            starts.extend(choices.get(stream.below(choices.len().max(1))));
        }
        if starts.is_empty() {
            views[contact].push(node as u32);
        }
        for start in starts {
            walk(&mut views, start as usize, node, &mut stream);
        }
    }
    views.iter().map(Vec::len).sum::<usize>() as f64 / nodes as f64
}

/// One copy of a subscription of `node` walks until somebody keeps it.
fn walk(views: &mut [Vec<u32>], mut at: usize, node: usize, stream: &mut Stream) {
    for _ in 0..MOST_HOPS {
        let stranger = at != node && !views[at].contains(&(node as u32));
        if stranger && stream.one_in(views[at].len() + 1) {
            views[at].push(node as u32);
            return;
        }
        if views[at].is_empty() {
            return;
        }
        at = views[at][stream.below(views[at].len())] as usize;
    }
}
