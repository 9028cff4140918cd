//! Peers that do not belong here: each ends in a typed error, is counted, and harms nobody else.

use partisan_proto::config::Secret;
use partisan_proto::{
    ChannelId, ClusterName, CommandError, Config, Duration, JoinError, Notification, Refusal,
};
use partisan_tests::{Cluster, Tcp, over_tcp};

on_both! {
    another_cluster: 8;
    another_secret: 8;
    no_secret: 8;
    an_unneeded_secret: 8;
    the_same_secret: 8;
}

fn with_secret(secret: Option<&str>) -> Config {
    Config { secret: secret.map(|text| Secret(text.into())), ..Config::default() }
}

const GOOD: Option<&str> = Some("correct horse battery staple");

fn another_cluster(cluster: &mut impl Cluster) {
    let stranger = Config { cluster: ClusterName::new("elsewhere").unwrap(), ..Config::default() };
    is_refused(cluster, &Config::default(), stranger, Refusal::Cluster);
}

fn another_secret(cluster: &mut impl Cluster) {
    let stranger = with_secret(Some("correct horse battery stable"));
    is_refused(cluster, &with_secret(GOOD), stranger, Refusal::Secret);
}

fn no_secret(cluster: &mut impl Cluster) {
    is_refused(cluster, &with_secret(GOOD), with_secret(None), Refusal::Secret);
}

fn an_unneeded_secret(cluster: &mut impl Cluster) {
    is_refused(cluster, &with_secret(None), with_secret(GOOD), Refusal::Secret);
}

fn the_same_secret(cluster: &mut impl Cluster) {
    cluster.form(3, &with_secret(GOOD));
    cluster.exchange(&[0, 1, 2], (ChannelId::DEFAULT, None));
}

/// A stranger wants to join and is refused, in either direction; the cluster does not notice.
fn is_refused(cluster: &mut impl Cluster, ours: &Config, theirs: Config, refusal: Refusal) {
    cluster.form(2, ours);
    let stranger = cluster.add(theirs);
    let before = (cluster.counters(0).sessions, cluster.counters(1).sessions);
    for (node, other) in [(stranger, 0), (1, stranger)] {
        let asked = cluster.sync_join(node, other, Duration::from_secs(60));
        let error = JoinError::Refused(refusal);
        let answer = cluster.wait_for_answer(asked);
        assert_eq!(answer, Err(CommandError::Join(error.clone())));
        let result = Err(error);
        let ended = Notification::JoinEnded { result };
        assert!(cluster.notifications(node).contains(&ended));
    }
    let refusals = |node| {
        let counters = cluster.counters(node);
        counters.refused + counters.refused_by_peer
    };
    assert!(refusals(0) > 0 && refusals(1) > 0 && refusals(stranger) > 1);
    assert_eq!((cluster.counters(0).sessions, cluster.counters(1).sessions), before);
    assert!(cluster.is_mesh(&[0, 1]) && cluster.is_mesh(&[stranger]));
    cluster.exchange(&[0, 1], (ChannelId::DEFAULT, None));
}

/// A node of a member's name starts elsewhere and joins: who is older learns that it has a double
/// and gives way, the cluster knows one of them, and nobody else is harmed.
#[test]
fn a_duplicate_name_alive_elsewhere() {
    over_tcp(|cluster: &mut Tcp| {
        cluster.form(3, &Config::default());
        let double = cluster.add_named("n2@127.0.0.1", Config::default());
        cluster.join(double, 0);
        let told = |note: &Notification| matches!(note, Notification::DuplicateName { .. });
        cluster.wait("news of the double", |cluster| {
            [2, double].iter().any(|node| cluster.notifications(*node).iter().any(told))
        });
        cluster.exchange(&[0, 1], (ChannelId::DEFAULT, None));
        for node in [0, 1] {
            assert_eq!(cluster.members(node).len(), 3, "one of the name, on node {node}");
        }
    });
}
