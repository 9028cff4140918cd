//! Messages that must arrive, in both worlds; what is dropped on its way, see `interpose`.

use partisan_proto::config::{ClientServerConfig, ManagerConfig};
use partisan_proto::{Answer, Command, CommandError, Config, Tag};
use partisan_tests::{Asked, Cluster, Restart};

on_both_and_with_faults! {
    basic: 4, nodes 3;
    between_clients_by_way_of_servers: 4, nodes 4;
}

on_both! {
    exactly_once_over_lost_connections: 8;
    a_node_that_is_away_gets_them_when_it_is_back: 4;
    outstanding_table_empties: 4;
    nothing_is_sent_again_to_a_removed_member: 4;
}

fn all_acknowledged(cluster: &mut impl Cluster, asked: Vec<Asked>) {
    for asked in asked {
        assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Acknowledged));
    }
}

/// Each of these nodes sends each other some; each arrives once.
fn send_and_check(cluster: &mut impl Cluster, pairs: &[(usize, usize)], relay: bool) {
    let mut asked = Vec::new();
    for (from, to) in pairs.iter().copied() {
        for number in 0..10 {
            asked.push(cluster.send_reliable_by(from, to, relay, &number.to_string()));
        }
    }
    all_acknowledged(cluster, asked);
    cluster.rest();
    for (from, to) in pairs.iter().copied() {
        let mut texts = cluster.texts(to, from);
        texts.sort_unstable();
        assert_eq!(texts, Vec::from_iter((0..10).map(|number| number.to_string())));
    }
}

/// Partisan's `basic_test` with acknowledgements.
fn basic(cluster: &mut impl Cluster) {
    cluster.form(3, &Config::default());
    send_and_check(cluster, &[(0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0), (1, 1)], false);
}

/// Clients are connected to servers alone.
fn between_clients_by_way_of_servers(cluster: &mut impl Cluster) {
    let manager = ManagerConfig::ClientServer(ClientServerConfig::default());
    let config = Config { manager, ..Config::default() };
    for tag in ["server", "server", "client", "client"] {
        cluster.add_tagged(config.clone(), vec![Tag::new(tag).expect("a good tag")]);
    }
    (1..4).for_each(|node| _ = cluster.join(node, 0));
    cluster.wait("servers known to all", |cluster| {
        (0..4).all(|node| cluster.knows(node, 0) && cluster.knows(node, 1))
    });
    cluster.wait("connected clients", |cluster| {
        [2, 3].iter().all(|node| cluster.is_connected(*node, 0))
    });
    send_and_check(cluster, &[(2, 3), (3, 2), (2, 0), (0, 3)], true);
    let deliveries = cluster.deliveries(3);
    let from_client = deliveries.iter().filter(|one| one.from == cluster.id(2));
    assert!(from_client.into_iter().all(|one| one.relayed));
}

fn exactly_once_over_lost_connections(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let mut asked = Vec::new();
    let other = cluster.id(1);
    for number in 0..60 {
        asked.push(cluster.send_reliable(0, 1, None, &format!("{number:02}")));
        if number % 20 == 10 {
            let cut = cluster.ask(0, Command::Disconnect(other));
            // Whoever is not connected at the moment has nothing to lose.
            _ = cluster.wait_for_answer(cut);
        }
    }
    all_acknowledged(cluster, asked);
    cluster.rest();
    let mut texts = cluster.texts(1, 0);
    texts.sort_unstable();
    assert_eq!(texts, Vec::from_iter((0..60).map(|number| format!("{number:02}"))));
}

fn a_node_that_is_away_gets_them_when_it_is_back(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    cluster.crash(1);
    let asked = Vec::from_iter((0..3).map(|_| cluster.send_reliable(0, 1, None, "kept")));
    cluster.restart(1, Restart { keep_state: true, new_address: false });
    all_acknowledged(cluster, asked);
    assert_eq!(cluster.texts(1, 0), ["kept"; 3]);
}

fn outstanding_table_empties(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let asked = Vec::from_iter((0..100).map(|_| cluster.send_reliable(0, 1, None, "x")));
    all_acknowledged(cluster, asked);
    let counters = cluster.counters(0).delivery;
    assert_eq!((counters.sent, counters.acknowledged), (100, 100));
}

/// P11, A11: in the original what a removed member never acknowledged is sent again for ever. Here it
/// fails with the news, not when it would expire.
fn nothing_is_sent_again_to_a_removed_member(cluster: &mut impl Cluster) {
    cluster.form(3, &Config::default());
    cluster.crash(1);
    let asked = cluster.send_reliable(0, 1, None, "too late");
    let removed = cluster.remove(2, 1);
    assert_eq!(cluster.wait_for_answer(removed), Ok(Answer::Done));
    assert_eq!(cluster.wait_for_answer(asked), Err(CommandError::PeerLeft(cluster.id(1))));
    let before = cluster.counters(0).delivery;
    cluster.rest();
    assert_eq!(cluster.counters(0).delivery, before);
    cluster.restart(1, Restart { keep_state: false, new_address: false });
    cluster.join(1, 0);
    cluster.wait_for_mesh(&[0, 1, 2]);
    assert!(cluster.texts(1, 0).is_empty(), "it had failed");
}
