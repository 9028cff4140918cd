//! Ups and downs.

use partisan_proto::{ChannelId, Command, Config, Notification};
use partisan_tests::{Cluster, Restart, is_down, with_channels};

on_both! {
    on_down_fires_once: 16;
    on_up_fires_for_peers_learnt_from_others: 16;
    a_disconnected_member_comes_back: 8;
    a_stopped_node_stays_a_member: 8;
}

/// Every survivor hears once of the end of the session and of each channel, and of the return.
fn on_down_fires_once(cluster: &mut impl Cluster) {
    cluster.form(4, &with_channels(&[("bulk", 4)]));
    let gone = cluster.id(3);
    cluster.crash(3);
    for node in 0..3 {
        cluster.wait_for_note(node, "a down", |note| is_down(note, gone));
    }
    cluster.rest();
    for node in 0..3 {
        assert_eq!(ends(cluster, node, 3), (1, 3), "on node {node}");
        assert!(cluster.knows(node, 3), "down is not gone");
    }
    cluster.restart(3, Restart { keep_state: true, new_address: false });
    cluster.wait_for_mesh(&[0, 1, 2, 3]);
    for node in 0..3 {
        assert_eq!(ends(cluster, node, 3), (1, 3), "on node {node}");
    }
    cluster.check_alternation();
}

/// How many ends of sessions and of channels with another a node has told.
fn ends(cluster: &impl Cluster, node: usize, other: usize) -> (usize, usize) {
    let other = cluster.id(other);
    let notes = cluster.notifications(node);
    let sessions = notes.iter().filter(|note| is_down(note, other)).count();
    let of_channel = |note: &&Notification| matches!(note, Notification::ChannelDown { node, .. } if *node == other);
    (sessions, notes.iter().filter(of_channel).count())
}

/// In a chain of joins everybody gets one up for everybody, with no down before.
fn on_up_fires_for_peers_learnt_from_others(cluster: &mut impl Cluster) {
    cluster.start(3, &Config::default());
    cluster.join(1, 0);
    cluster.join(2, 1);
    cluster.wait_for_mesh(&[0, 1, 2]);
    for node in 0..3 {
        let notes = cluster.notifications(node);
        for other in (0..3).filter(|other| *other != node) {
            let other = cluster.id(other);
            let full = Notification::FullyConnected { node: other };
            let is_up = |note: &&Notification| matches!(note, Notification::NodeUp { instance, .. } if instance.node == other);
            assert!(notes.contains(&full), "node {node}: {notes:?}");
            assert!(notes.iter().any(|note| is_up(&note)));
        }
    }
    cluster.check_alternation();
}

/// P5: a member that is not connected is dialled until it is.
fn a_disconnected_member_comes_back(cluster: &mut impl Cluster) {
    cluster.form(3, &Config::default());
    let other = cluster.id(1);
    let asked = cluster.ask(0, Command::Disconnect(other));
    assert!(cluster.wait_for_answer(asked).is_ok());
    cluster.wait_for_note(0, "a down", |note| is_down(note, other));
    cluster.wait_for_mesh(&[0, 1, 2]);
    cluster.exchange(&[0, 1, 2], (ChannelId::DEFAULT, None));
    assert_eq!(ends(cluster, 2, 1), (0, 0), "others do not notice");
}

/// A stop is no leave: members keep the node, and find it when it comes back.
fn a_stopped_node_stays_a_member(cluster: &mut impl Cluster) {
    cluster.form(3, &Config::default());
    let asked = cluster.ask(2, Command::Stop);
    assert!(cluster.wait_for_answer(asked).is_ok());
    for node in 0..2 {
        let gone = cluster.id(2);
        cluster.wait_for_note(node, "a down", |note| is_down(note, gone));
        assert!(cluster.knows(node, 2));
    }
    cluster.crash(2);
    cluster.restart(2, Restart { keep_state: true, new_address: true });
    cluster.wait_for_mesh(&[0, 1, 2]);
}
