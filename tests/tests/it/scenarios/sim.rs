//! Slow nodes: everything works, and takes as long as it must.

use partisan_proto::{ChannelId, Config, Duration};
use partisan_sim::Latency;
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
