//! All small clusters with all orders in which copies can cross.

use alloc::vec::Vec;

use super::config;
use super::net::{Net, ms, payloads};
use crate::time::Duration;

/// How long messages on a link may take, in milliseconds: less, as long, longer.
const DELAYS: [u64; 3] = [7, 10, 25];

/// Whether these links connect so many nodes.
fn connected(nodes: usize, edges: &[(usize, usize)]) -> bool {
    let mut part: Vec<_> = (0..nodes).collect();
    for _ in 0..nodes {
        for (a, b) in edges {
            let least = part[*a].min(part[*b]);
            (part[*a], part[*b]) = (least, least);
        }
    }
    part.iter().all(|part| *part == 0)
}

/// Every connected graph of so many nodes.
fn graphs(nodes: usize) -> Vec<Vec<(usize, usize)>> {
    let pairs: Vec<_> = (0..nodes).flat_map(|a| (a + 1..nodes).map(move |b| (a, b))).collect();
    let chosen = |set: u32| {
        let of = |(place, pair): (usize, &(usize, usize))| (set >> place & 1 == 1).then_some(*pair);
        pairs.iter().enumerate().filter_map(of).collect::<Vec<_>>()
    };
    (0..1 << pairs.len()).map(chosen).filter(|edges| connected(nodes, edges)).collect()
}

fn net(nodes: usize, edges: &[(usize, usize)], delays: u64, heartbeats: bool) -> Net {
    let mut net = Net::with(nodes, config(|broadcast| broadcast.heartbeats = heartbeats));
    let mut rest = delays;
    for (a, b) in edges {
        net.connect(*a, *b);
        net.set_delay(*a, *b, ms(DELAYS[(rest % 3) as usize]));
        rest /= 3;
    }
    net
}

/// One sender, then others: everybody gets everything, and soon for one payload each.
fn judge(mut net: Net, senders: &[usize], what: &str) {
    let all = net.all();
    let ids: Vec<_> = senders.iter().map(|sender| net.broadcast(*sender)).collect();
    net.pass(Duration::from_secs(3));
    for _ in 0..2 {
        net.broadcast(senders[0]);
        net.pass(Duration::from_secs(3));
    }
    net.take_log();
    let last = net.broadcast(senders[0]);
    net.pass(Duration::from_secs(3));
    assert!(ids.iter().chain([&last]).all(|id| net.receivers(*id) == all), "{what}");
    assert_eq!(payloads(&net.log), all.len() - 1, "{what}: {:?}", net.log);
    net.assert_spanning(senders[0]);
}

/// Checklist B4, S1 to S4: one and two senders at once, in every graph of up to four nodes, with
/// heartbeats and with messages that shape the tree.
fn judge_all(nodes: usize, step: usize) {
    for (number, edges) in graphs(nodes).iter().enumerate() {
        let orders = 3_u64.pow(edges.len() as u32);
        for delays in (0..orders).skip(number % step).step_by(step) {
            for heartbeats in [true, false] {
                let what = std::format!("{edges:?}, {delays}, heartbeats {heartbeats}");
                for senders in [&[0][..], &[0, nodes - 1]] {
                    let what = std::format!("{what}, from {senders:?}");
                    judge(net(nodes, edges, delays, heartbeats), senders, &what);
                }
            }
        }
    }
}

#[test]
fn two_nodes_whatever_crosses() {
    judge_all(2, 1);
}

#[test]
fn three_nodes_whatever_crosses() {
    judge_all(3, 1);
}

#[test]
fn four_nodes_whatever_crosses() {
    judge_all(4, 11);
}

/// Checklist B4: crossing copies on the only link must not put it out of the tree.
#[test]
fn two_messages_that_cross_leave_the_only_link_eager() {
    let mut net = Net::new(2);
    net.connect(0, 1);
    for _ in 0..5 {
        let ids = [net.broadcast(0), net.broadcast(1)];
        net.pass(ms(15));
        assert!(ids.iter().all(|id| net.receivers(*id) == [0, 1]));
    }
    assert_eq!(net.counters().prunes, 0);
}
