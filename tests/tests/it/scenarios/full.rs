//! The full mesh stays what it is.

use partisan_proto::{ChannelId, Config};
use partisan_tests::Cluster;

on_both! {
    connectivity_twice: 12;
    at_rest_nothing_changes: 8;
}

fn connectivity_twice(cluster: &mut impl Cluster) {
    cluster.form(4, &Config::default());
    cluster.exchange(&[0, 1, 2, 3], (ChannelId::DEFAULT, None));
    cluster.rest();
    cluster.exchange(&[0, 1, 2, 3], (ChannelId::DEFAULT, None));
}

/// Nobody dials, joins or is lost once all is well.
fn at_rest_nothing_changes(cluster: &mut impl Cluster) {
    cluster.form(4, &Config::default());
    let before = told(cluster);
    cluster.rest();
    assert_eq!(told(cluster), before);
}

/// How much each node has told, and how many connections it ever dialled and accepted.
fn told(cluster: &impl Cluster) -> Vec<(usize, u64, u64)> {
    let of = |node| {
        let counters = cluster.counters(node);
        let notes = cluster.notifications(node).len();
        (notes, counters.dialled, counters.accepted)
    };
    (0..cluster.size()).map(of).collect()
}
