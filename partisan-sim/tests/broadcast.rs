//! What broadcasts cost on an ideal overlay: the gates that Plumtree has to meet.

use partisan_proto::{Config, Duration};
use partisan_sim::measure::Overlay;
use partisan_sim::measure::broadcast::{Cost, Tally, flood, payloads};
use partisan_sim::{Latency, NetworkOptions, Sparse, World};

const SEED: u64 = 7;

struct Bed {
    world: World,
    tally: Tally,
    nodes: usize,
    latency: Latency,
}

impl Bed {
    fn new(nodes: usize, latency: &str) -> Self {
        let latency = Latency::parse(latency).unwrap();
        let sparse = Sparse { seed: SEED, nodes, span: Duration::ZERO, memory: None };
        let network = NetworkOptions { latency: latency.clone(), ..NetworkOptions::default() };
        let mut world = sparse.world_with(Config::default(), network);
        world.run_for(Duration::from_secs(30));
        let tally = Tally::default();
        world.check(tally.clone());
        Self { world, tally, nodes, latency }
    }

    /// These nodes broadcast at once; then so much time passes.
    fn round(&mut self, senders: impl IntoIterator<Item = usize>, span: Duration) -> Cost {
        let before = payloads(&self.world);
        for sender in senders {
            self.world.broadcast(sender, "payload");
        }
        self.world.run_for(span);
        let spreads = self.tally.take();
        Cost::of(spreads.values(), self.nodes, payloads(&self.world) - before)
    }
}

#[test]
fn try_it() {
    let n: usize = std::env::var("N").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    let mut bed = Bed::new(n, "10..50ms");
    let overlay = Overlay::of(&bed.world);
    let place = overlay.place(3).unwrap();
    println!("flood: {:?}", flood(&overlay, &bed.latency, SEED, place));
    for i in 0..8 {
        println!("single {i}: {:?}", bed.round([3], Duration::from_secs(5)));
    }
    for i in 0..40 {
        println!("multi {i}: {:?}", bed.round([(i * 17) % n], Duration::from_secs(3)));
    }
    let sum = |what: fn(&partisan_proto::BroadcastCounters) -> u64| {
        partisan_sim::measure::broadcast::sum(&bed.world, what)
    };
    println!(
        "grafts {} spurious {} prunes {} heartbeats {} announced {}",
        sum(|c| c.grafts),
        sum(|c| c.spurious_grafts),
        sum(|c| c.prunes),
        sum(|c| c.heartbeats),
        sum(|c| c.announced)
    );
    for i in 0..8 {
        println!("all {i}: {:?}", bed.round(0..n.min(100), Duration::from_secs(5)));
    }
    let sum = |what: fn(&partisan_proto::BroadcastCounters) -> u64| {
        partisan_sim::measure::broadcast::sum(&bed.world, what)
    };
    println!(
        "grafts {} spurious {} prunes {} heartbeats {} announced {}",
        sum(|c| c.grafts),
        sum(|c| c.spurious_grafts),
        sum(|c| c.prunes),
        sum(|c| c.heartbeats),
        sum(|c| c.announced)
    );
}
