//! What fixed random neighbours give: the ideal that a partial view is compared with while nothing
//! happens, and the least that healing has to beat when nodes die.
//!
//! What is expected follows from theory, so these experiments also judge the measures themselves.

use partisan_proto::Duration;

use super::experiment::Experiment;
use super::findings::{Findings, Gate};
use super::lab::Lab;
use super::{Options, config};
use crate::measure::{Histogram, Overlay};
use crate::picture::{Bars, Chart, Curve};
use crate::sparse::DEGREE;

/// How many floods are averaged after a failure.
const FLOODS: usize = 200;

/// The percentages killed, and the share of the survivors that the largest component of a random
/// graph of degree 5 holds then: q = 1 - f of the neighbours live, and a node is in it but for the
/// probability that none of its branches gets away.
#[must_use]
pub fn largest_component(percent: usize) -> f64 {
    let live = 1.0 - percent as f64 / 100.0;
    let lost = |branches: i32, branch: f64| (1.0 - live + live * branch).powi(branches);
    let mut branch = 0.0;
    for _ in 0..10_000 {
        branch = lost(DEGREE as i32 - 1, branch);
    }
    1.0 - lost(DEGREE as i32, branch)
}

/// The percentages of nodes that are killed.
const FAILURES: [usize; 7] = [10, 30, 50, 60, 70, 80, 90];

/// All of them.
pub(super) fn experiments(options: &Options) -> Vec<Experiment> {
    let nodes = options.scale(10_000, 1_000);
    let mut all = Vec::new();
    for seed in options.seeds() {
        let run = move |findings: &mut Findings| at_rest(seed, nodes, findings);
        all.push(Experiment::new(format!("seed {seed}: at rest"), run));
        for percent in FAILURES {
            let run = move |findings: &mut Findings| failure(seed, nodes, percent, findings);
            all.push(Experiment::new(format!("seed {seed}: {percent} % killed"), run));
        }
    }
    all
}

/// Draws what several experiments found together.
pub(super) fn draw(findings: &mut Findings) {
    let points =
        |name: &str| findings.kept(name).iter().flat_map(|one| one.points.clone()).collect();
    let names = ["reached", "theory"];
    let curves = names.map(|name| Curve { name: name.into(), points: points(name) });
    let title = "Reliability without healing";
    let (axis, marks) = ("percent killed", Vec::new());
    let chart = Chart { title, axis, curves: curves.into(), range: (0.0, 1.0), marks };
    findings.chart("the share of the survivors that a flood reaches, on average", &chart);
}

/// The shape of the overlay against that of a random regular graph.
pub fn at_rest(seed: u64, nodes: usize, findings: &mut Findings) {
    let mut lab = Lab::fixed(seed, nodes, config::CYCLE);
    lab.world.run_for(Duration::from_secs(2));
    let shape = lab.shape();
    let ideal = Overlay::random(seed, nodes, DEGREE);
    let distances = ideal.distances(seed);
    let name = &format!("{nodes} nodes with fixed random peers");
    let near =
        |value: f64, share: f64| Some(Gate::Between(value * (1.0 - share), value * (1.0 + share)));
    let path = near(distances.mean, 0.01);
    findings.add(name, "average shortest path", "random graph", path, shape.path);
    let last_hop = near(distances.last_hop, 0.05);
    findings.add(name, "hops of a flood, mean", "random graph", last_hop, shape.last_hop);
    let clustering = Some(Gate::AtMost(10.0 / nodes as f64));
    findings.add(name, "clustering coefficient", "≈ 3.2 / n", clustering, shape.clustering);
    let all = Some(Gate::AtLeast(1.0));
    findings.add(name, "links that lead back, share", "1", all, shape.symmetric);
    findings.add(name, "reached by a flood, share", "1", all, shape.reach);
    let violations = lab.world.violations().len() as f64;
    findings.add(name, "violations", "0", Some(Gate::AtMost(0.0)), violations);
    let from = |pairs: &[u64]| Histogram { counts: [&[0], pairs].concat() };
    let (ours, ideal) = (from(&shape.distances), from(&distances.pairs));
    let bars = Bars {
        title: "Distances",
        axis: "hops",
        what: "pairs",
        histogram: &ours,
        compare: Some(&ideal),
    };
    findings.figure("pairs so many hops apart; orange a random regular graph", bars.picture());
}

/// What floods reach after this percentage of the nodes died.
pub fn failure(seed: u64, nodes: usize, percent: usize, findings: &mut Findings) {
    let mut lab = Lab::fixed(seed, nodes, config::CYCLE);
    lab.world.run_for(Duration::from_secs(2));
    lab.kill(percent);
    lab.world.run_for(Duration::from_secs(2));
    let shape = lab.shape();
    let name = &format!("{percent} % of {nodes} killed at once");
    let expected = largest_component(percent);
    // Near the threshold of 75 % clusters differ too much to demand anything of one.
    let steady = percent.abs_diff(75) > 10 || percent >= 80;
    // A few that cling together are a large share of few survivors.
    let slack = 0.05 + 5.0 / shape.nodes.max(1) as f64;
    let near =
        |value: f64| steady.then(|| Gate::Between(f64::max(value - slack, 0.0), value + slack));
    let theory = format!("{expected:.3}");
    let measure = "largest component, share";
    findings.add(name, measure, &theory, near(expected), shape.largest);
    // Who sends is in it with the same probability.
    let theory = format!("{:.3}", expected * expected);
    let (reached, _) = lab.floods(FLOODS);
    let measure = "reliability of floods, mean";
    findings.add(name, measure, &theory, near(expected * expected), reached);
    findings.add(name, "named neighbours that live", "1", Some(Gate::AtLeast(1.0)), shape.accuracy);
    for (name, share) in [("reached", reached), ("theory", expected * expected)] {
        let points = vec![(percent as f64, share)];
        findings.keep(name, Curve { name: percent.to_string(), points });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn theory_says_what_was_measured_elsewhere() {
        // Of a random regular graph of degree 5, by the percentage killed.
        let known = [(10, 1.0), (30, 0.999), (50, 0.951), (60, 0.83), (70, 0.46), (80, 0.0)];
        for (percent, share) in known {
            let theory = largest_component(percent);
            assert!((theory - share).abs() < 0.02, "{percent} %: {theory}");
        }
    }
}
