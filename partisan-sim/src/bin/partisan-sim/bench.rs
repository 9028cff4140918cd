//! Measures what the simulator must reach, and sets what it reached beside it.

use partisan_proto::Duration;
use partisan_sim::workload::Load;
use partisan_sim::{Report, Scenario, Sparse, Wire};
use serde_json::{Value, json};

use crate::arguments::{Manager, Shape};
use crate::{memory, to_json};

/// What clusters of partial views must reach on one core of a present-day machine, at a size.
struct Target {
    nodes: usize,
    /// At least so many events a second.
    events: f64,
    /// At most so long until every node has a neighbour, in real seconds.
    formed: Option<f64>,
    /// At most so long in all, for 60 simulated seconds.
    wall: Option<f64>,
    /// At most so much memory at the peak, in bytes.
    peak: Option<usize>,
}

const TARGETS: [Target; 3] = [
    Target { nodes: 1_000, events: 5e6, formed: None, wall: None, peak: None },
    Target { nodes: 10_000, events: 2e6, formed: None, wall: Some(5.0), peak: None },
    Target { nodes: 100_000, events: 1e6, formed: Some(20.0), wall: None, peak: Some(400_000_000) },
];

const BYTES_A_NODE: usize = 2048;

/// Runs every size and prints a row for each.
pub(crate) fn bench(
    shape: Shape,
    sizes: &[usize],
    seed: u64,
    manager: Manager,
    span: Duration,
) -> (u8, Value) {
    println!(
        "{:>8} {:>12} {:>12} {:>10} {:>10} {:>12} {:>10}",
        "nodes", "events", "events/s", "formed s", "wall s", "bytes/node", "peak MB"
    );
    let sizes = if sizes.is_empty() { shape.sizes() } else { sizes };
    let mut rows = Vec::new();
    for nodes in sizes {
        let scenario = Scenario {
            seed,
            nodes: *nodes,
            manager: manager.config(),
            span,
            load: Load::None,
            wire: Wire::Typed,
            checks: false,
            memory: Some(memory::PROBE),
            ..Scenario::default()
        };
        let report = match shape {
            Shape::Mesh | Shape::View => scenario.run(),
            Shape::Sparse => {
                Sparse { seed, nodes: *nodes, span, memory: Some(memory::PROBE) }.run()
            }
        };
        print_row(*nodes, &report);
        if shape != Shape::Mesh
            && let Some(target) = TARGETS.iter().find(|target| target.nodes == *nodes)
        {
            print_target(target);
        }
        rows.push(to_json(&scenario, &report));
    }
    let shape = format!("{shape:?}").to_lowercase();
    (0, json!({ "shape": shape, "sizes": rows }))
}

fn print_row(nodes: usize, report: &Report) {
    println!(
        "{nodes:>8} {:>12} {:>12.0} {:>10} {:>10.3} {:>12} {:>10.1}",
        report.events,
        report.events_per_second(),
        report.formed_seconds.map_or_else(|| "-".into(), |seconds| format!("{seconds:.3}")),
        report.wall_seconds,
        report.bytes_per_node,
        report.peak_bytes as f64 / 1e6,
    );
}

/// What the row above should be.
fn print_target(target: &Target) {
    let or_dash = |bound: Option<String>| bound.unwrap_or_else(|| "-".into());
    println!(
        "{:>8} {:>12} {:>12} {:>10} {:>10} {:>12} {:>10}",
        "target",
        "",
        format!(">= {:.0}", target.events),
        or_dash(target.formed.map(|seconds| format!("<= {seconds:.0}"))),
        or_dash(target.wall.map(|seconds| format!("<= {seconds:.0}"))),
        format!("<= {BYTES_A_NODE}"),
        or_dash(target.peak.map(|bytes| format!("<= {}", bytes / 1_000_000))),
    );
}
