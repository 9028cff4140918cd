//! A cluster forms: everybody knows, is connected to and reaches everybody.

use partisan_proto::{ChannelId, CommandError, Config};
use partisan_tests::{Cluster, with_channels};

on_both_and_with_faults! {
    membership_full: 24, nodes 6;
}

on_both! {
    forward_all_pairs: 12;
    the_membership_channel_is_not_for_messages: 4;
    connections_per_channel_equals_parallelism: 8;
}

fn membership_full(cluster: &mut impl Cluster) {
    cluster.form(6, &Config::default());
    for node in 0..6 {
        let members = cluster.members(node);
        assert_eq!(members.len(), 6);
        let names = members.iter().map(|member| member.spec.name());
        assert!(names.is_sorted(), "members are sorted by name");
        for member in &members {
            let of = (0..6).find(|other| cluster.id(*other) == member.spec.id());
            assert_eq!(member.spec, cluster.spec(of.unwrap()));
        }
    }
}

fn forward_all_pairs(cluster: &mut impl Cluster) {
    cluster.form(6, &Config::default());
    let all = Vec::from_iter(0..6);
    cluster.exchange(&all, (ChannelId::DEFAULT, None));
    cluster.exchange(&all, (ChannelId::DEFAULT, Some(1)));
}

/// A message on it would be taken for misbehaviour by the peer: the sender is told instead.
fn the_membership_channel_is_not_for_messages(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let asked = cluster.send(0, 1, (ChannelId::MEMBERSHIP, None), "mine");
    let error = CommandError::ReservedChannel;
    assert_eq!(cluster.wait_for_answer(asked), Err(error));
    cluster.rest();
    assert_eq!(cluster.counters(0).sessions, 1, "the session goes on");
    cluster.exchange(&[0, 1], (ChannelId::DEFAULT, None));
}

fn connections_per_channel_equals_parallelism(cluster: &mut impl Cluster) {
    let config = with_channels(&[("default", 3), ("bulk", 2)]);
    cluster.form(4, &config);
    for node in 0..4 {
        let peers = cluster.routes(node).peers().count();
        assert_eq!(peers, 3, "the rest holds for somebody");
        for other in (0..4).filter(|other| *other != node) {
            for (channel, _, options) in config.channels.iter() {
                let lanes = usize::from(options.parallelism);
                assert_eq!(cluster.lanes(node, other, channel), lanes);
            }
        }
        assert_eq!(cluster.connections(node).len(), 3 * (1 + 3 + 2));
    }
}
