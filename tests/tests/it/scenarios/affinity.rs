//! Order: messages of one key arrive as they were sent.

use partisan_proto::{Answer, ChannelId};
use partisan_tests::{Cluster, Simulated, simulated, with_channels};

on_both! {
    same_key_fifo: 16;
    one_lane_fifo: 8;
    basic: 8;
}

/// As the basic exchange, every message with the same key.
fn basic(cluster: &mut impl Cluster) {
    cluster.form(4, &with_channels(&[("default", 2)]));
    cluster.exchange(&[0, 1, 2, 3], (ChannelId::DEFAULT, Some(1)));
    cluster.exchange(&[0, 1, 2, 3], (ChannelId::DEFAULT, Some(1)));
}

fn same_key_fifo(cluster: &mut impl Cluster) {
    cluster.form(2, &with_channels(&[("default", 4)]));
    in_order(cluster, Some(42));
}

fn one_lane_fifo(cluster: &mut impl Cluster) {
    cluster.form(2, &with_channels(&[("default", 1)]));
    in_order(cluster, None);
}

/// Both nodes send 100 messages each, in turn; each receives exactly these, in order.
fn in_order(cluster: &mut impl Cluster, key: Option<u64>) {
    let mut expected = Vec::new();
    for number in 0..100 {
        let text = format!("{number}");
        for (from, to) in [(0, 1), (1, 0)] {
            let asked = cluster.send(from, to, (ChannelId::DEFAULT, key), &text);
            assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Done));
        }
        expected.push(text);
    }
    let all = |cluster: &_, count| count_of(cluster) == count;
    cluster.wait("all messages", |cluster| all(cluster, 200));
    assert_eq!(cluster.texts(0, 1), expected);
    assert_eq!(cluster.texts(1, 0), expected);
}

fn count_of(cluster: &impl Cluster) -> usize {
    cluster.deliveries(0).len() + cluster.deliveries(1).len()
}

/// One key, one connection, and so in order; checked on the wire.
#[test]
fn same_key_same_connection_fifo() {
    simulated(0..16, |cluster: &mut Simulated| {
        cluster.form(2, &with_channels(&[("default", 4)]));
        let ways = super::parallelism::record(cluster);
        let mut expected = Vec::new();
        for number in 0..100 {
            let text = format!("key {number}");
            let asked = cluster.send(0, 1, (ChannelId::DEFAULT, Some(5)), &text);
            assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Done));
            expected.push(text);
        }
        cluster.wait("all", |cluster| cluster.deliveries(1).len() == 100);
        assert_eq!(cluster.texts(1, 0), expected);
        assert_eq!(ways.borrow()["key"].len(), 1);
    });
}
