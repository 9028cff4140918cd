//! Slow nodes: everything works, and takes as long as it must.

use std::sync::Arc;

use partisan_proto::config::HyParViewConfig;
use partisan_proto::wire::BroadcastMessage;
use partisan_proto::{ChannelId, Config, Duration, Instant};
use partisan_sim::Latency;
use partisan_sim::fault::Fault;
use partisan_tests::{Cluster, Simulated};

const NODES: usize = 4;
const SLOW: usize = 2;
const DELAY: u32 = 100;

/// Everything that one node receives comes 100 ms late.
#[test]
fn ingress_delay() {
    with_delay(|_, to| to == SLOW);
}

/// Everything that one node sends comes 100 ms late.
#[test]
fn egress_delay() {
    with_delay(|from, _| from == SLOW);
}

fn with_delay(delayed: impl Fn(usize, usize) -> bool) {
    let span = |from, to| if delayed(from, to) { DELAY } else { 1 };
    let row = |from| Vec::from_iter((0..NODES).map(|to| span(from, to)));
    let latency = Latency::Regions(Vec::from_iter((0..NODES).map(row)));
    for seed in 0..8 {
        let mut cluster = Simulated::with_latency(seed, latency.clone());
        let all = Vec::from_iter(0..NODES);
        cluster.form(NODES, &Config::default());
        cluster.exchange(&all, (ChannelId::DEFAULT, None));
        let sent = cluster.world.now();
        for (from, to) in [(0, SLOW), (SLOW, 0), (0, 1)] {
            cluster.send(from, to, (ChannelId::DEFAULT, None), "timed");
        }
        let count =
            |cluster: &Simulated, to| cluster.texts(to, if to == SLOW { 0 } else { 2 }).len();
        cluster.wait("them", |cluster| count(cluster, SLOW) == 2 && count(cluster, 0) == 2);
        for (from, to) in [(0, SLOW), (SLOW, 0), (0, 1)] {
            let (arrived, _) = cluster.world.deliveries(to).last().unwrap();
            let took = arrived.since(sent);
            let least = Duration::from_millis(span(from, to).into());
            assert!(took >= least && took < least * 2, "{from} to {to}: {took:?}");
        }
        assert_eq!(cluster.world.violations(), []);
    }
}

/// How many nodes hear a storm.
const LISTENERS: usize = 20;
/// How many messages a storm has, of how many bytes, and how long after each other.
const STORM: (usize, usize, Duration) = (300, 8 << 10, Duration::from_millis(20));

/// How long a storm comes after the network has become slow.
const BEFORE: Duration = Duration::from_millis(100);

/// When each node was handed each message of a storm that node 0 sends, after it was sent; nothing for
/// those it was not handed within so long after the last one.
fn storm(seed: u64, slow: Option<u64>) -> (Simulated, Vec<Vec<Duration>>) {
    let mut cluster = Simulated::new(seed);
    let config = Config { manager: HyParViewConfig::default().into(), ..Config::default() };
    cluster.start(LISTENERS, &config);
    (1..LISTENERS).for_each(|node| _ = cluster.join(node, 0));
    cluster.world.run_for(Duration::from_secs(60));
    let now = cluster.world.now();
    for from in (0..LISTENERS).filter(|from| *from != SLOW) {
        if let Some(bytes_per_second) = slow {
            let (to, span) = (SLOW, STORM.2 * STORM.0 as u32 * 3);
            cluster.world.plan_fault(now, Fault::Slow { from, to, bytes_per_second, span });
        }
    }
    let (first, (count, size, pause)) = (now + BEFORE, STORM);
    cluster.world.run_for(BEFORE);
    for _ in 0..count {
        cluster.world.broadcast(0, vec![7; size]);
        cluster.world.run_for(pause);
    }
    cluster.world.run_for(Duration::from_secs(5));
    let delays = |node: usize| {
        let heard = cluster.world.hosts()[node].observed().broadcasts.iter();
        let delay = |(at, message): &(Instant, Arc<BroadcastMessage>)| {
            at.since(first + pause * (message.id.sequence as u32 - 1))
        };
        heard.map(delay).collect()
    };
    let delays = (0..LISTENERS).map(delays).collect();
    (cluster, delays)
}

/// V11, B16: who takes in little is told of what there is and fetches it when it can; nobody else waits
/// for that, and it misses nothing.
#[test]
fn a_slow_consumer_holds_up_nobody_else() {
    for seed in 0..4 {
        let (_, undisturbed) = storm(seed, None);
        let (mut cluster, delays) = storm(seed, Some(20_000));
        let others = || (0..LISTENERS).filter(|node| *node != SLOW);
        assert!(others().all(|node| delays[node].len() == STORM.0), "everybody else has them all");
        let worst = |delays: &[Vec<Duration>]| {
            others().filter_map(|n| delays[n].iter().max()).max().copied()
        };
        assert!(worst(&delays) <= worst(&undisturbed).map(|span| span / 10 * 11), "seed {seed}");
        assert!(delays[SLOW].len() < STORM.0, "it could not take in all of them yet");
        let held_back =
            others().map(|node| cluster.counters(node).broadcast.held_back).sum::<u64>();
        assert!(held_back > 0, "it was told of some instead");
        cluster.world.run_for(Duration::from_secs(60));
        assert_eq!(cluster.broadcasts(SLOW).len(), STORM.0);
        assert_eq!(cluster.world.violations(), []);
    }
}
