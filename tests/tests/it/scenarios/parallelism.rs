//! Several connections a channel.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use partisan_proto::wire::Frame;
use partisan_proto::{Answer, ChannelId, ConnectionId};
use partisan_sim::Verdict;
use partisan_tests::{Cluster, Simulated, simulated, with_channels};

on_both! {
    two_connections: 8;
    four_connections: 8;
    sixteen_connections: 4;
}

fn two_connections(cluster: &mut impl Cluster) {
    connections(cluster, 2);
}

fn four_connections(cluster: &mut impl Cluster) {
    connections(cluster, 4);
}

fn sixteen_connections(cluster: &mut impl Cluster) {
    connections(cluster, 16);
}

fn connections(cluster: &mut impl Cluster, lanes: u8) {
    cluster.form(3, &with_channels(&[("default", lanes)]));
    for (node, other) in [(0, 1), (1, 0), (1, 2), (2, 1), (2, 0), (0, 2)] {
        let found = cluster.lanes(node, other, ChannelId::DEFAULT);
        assert_eq!(found, usize::from(lanes));
    }
    for _ in 0..3 {
        cluster.exchange(&[0, 1, 2], (ChannelId::DEFAULT, None));
    }
}

/// By which connections the messages of each key went, and those without a key under `None`.
type Ways = BTreeMap<String, BTreeSet<ConnectionId>>;

/// Writes down by which connection each message to the inbox travels.
pub(super) fn record(cluster: &mut Simulated) -> Rc<RefCell<Ways>> {
    let ways: Rc<RefCell<Ways>> = Rc::default();
    let record = Rc::clone(&ways);
    cluster.world.rule(move |frame| {
        if let Frame::App { payload, .. } = frame.frame {
            let text = String::from_utf8_lossy(payload);
            let key = text.split(' ').next().unwrap_or_default().to_owned();
            let mut record = record.borrow_mut();
            record.entry(key).or_default().insert(frame.connection);
        }
        Verdict::Pass
    });
    ways
}

/// Each key keeps to one connection, together the keys use all, and so do messages without one.
#[test]
fn partition_key_affinity() {
    simulated(0..8, |cluster: &mut Simulated| {
        cluster.form(2, &with_channels(&[("default", 4)]));
        let ways = record(cluster);
        for _ in 0..10 {
            let asked = cluster.send(0, 1, (ChannelId::DEFAULT, None), "any");
            assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Done));
        }
        for number in 0..10 {
            for key in 0..64 {
                let text = format!("key{key} {number}");
                let asked = cluster.send(0, 1, (ChannelId::DEFAULT, Some(key)), &text);
                assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Done));
            }
        }
        cluster.wait("all", |cluster| cluster.deliveries(1).len() == 650);
        let mut ways = ways.borrow().clone();
        assert_eq!(ways.remove("any").unwrap().len(), 4);
        assert_eq!(ways.len(), 64);
        assert!(ways.values().all(|connections| connections.len() == 1));
        let used = BTreeSet::from_iter(ways.into_values().flatten());
        assert_eq!(used.len(), 4);
    });
}
