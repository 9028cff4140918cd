//! Broadcasts: those of Partisan's suites that tell all nodes something (`demers`,
//! `reliable_broadcast`), handlers that a node lacks (P8), and what Plumtree promises at rest (S1 to
//! S4) and after losses (D1, D3).

use std::collections::BTreeSet;

use partisan_proto::config::{
    ClientServerConfig, HandlerOptions, ManagerConfig, OwnTrees, PluggableConfig, ScampConfig,
    StaticConfig, StrategyConfig,
};
use partisan_proto::{Config, Duration, HandlerName, MessageId, NodeId, Tag};
use partisan_tests::{Cluster, Restart, with_channels};

on_both! {
    demers_direct_mail_full: 12;
    demers_two_broadcasts_same_node: 8;
    demers_anti_entropy: 8;
    broadcast_handler_missing_on_one_node: 8;
    broadcast_many_messages_of_several_handlers_arrive_once: 6;
    broadcast_outlives_its_sender: 8;
    broadcast_to_who_comes_back: 8;
    broadcast_in_a_line_of_static_nodes: 8;
    broadcast_between_clients: 8;
    broadcast_over_partial_views: 8;
    plumtree_at_rest_is_a_tree: 6;
}

on_both_and_with_faults! {
    reliable_broadcast: 12, nodes 4;
}

const DEFAULT: &str = "default";

/// Whether each of these nodes was handed these texts by `from`, each once and no others, in
/// whatever order.
fn have_heard(cluster: &impl Cluster, nodes: &[usize], from: usize, texts: &[&str]) -> bool {
    let mut expected = Vec::from_iter(texts.iter().map(|text| (*text).to_owned()));
    expected.sort_unstable();
    nodes.iter().all(|node| {
        let mut heard = cluster.heard(*node, from);
        heard.sort_unstable();
        heard == expected
    })
}

/// Every node broadcasts once, and everybody is handed each message once, also when time has passed.
fn tell_each_other(cluster: &mut impl Cluster, nodes: &[usize]) {
    for from in nodes {
        cluster.broadcast(*from, DEFAULT, &format!("of {from}"));
    }
    let all = |cluster: &_| {
        nodes.iter().all(|from| have_heard(cluster, nodes, *from, &[&format!("of {from}")]))
    };
    cluster.wait("every message everywhere", all);
    cluster.rest();
    assert!(all(cluster), "none came again");
}

fn demers_direct_mail_full(cluster: &mut impl Cluster) {
    cluster.form(4, &Config::default());
    cluster.broadcast(1, DEFAULT, "hello");
    let nodes = [0, 1, 2, 3];
    cluster.wait("hello", |cluster| have_heard(cluster, &nodes, 1, &["hello"]));
    cluster.rest();
    assert!(have_heard(cluster, &nodes, 1, &["hello"]));
}

/// Equal messages are different messages.
fn demers_two_broadcasts_same_node(cluster: &mut impl Cluster) {
    cluster.form(4, &Config::default());
    let first = cluster.broadcast(2, DEFAULT, "hello");
    let second = cluster.broadcast(2, DEFAULT, "hello");
    assert_ne!(first, second);
    let nodes = [0, 1, 2, 3];
    cluster.wait("both", |cluster| have_heard(cluster, &nodes, 2, &["hello", "hello"]));
}

/// Who joins later gets what was broadcast before, as long as it is kept.
fn demers_anti_entropy(cluster: &mut impl Cluster) {
    let config = Config::default();
    cluster.form(3, &config);
    cluster.broadcast(0, DEFAULT, "one");
    cluster.broadcast(1, DEFAULT, "two");
    let heard = |cluster: &_, nodes: &[usize]| {
        have_heard(cluster, nodes, 0, &["one"]) && have_heard(cluster, nodes, 1, &["two"])
    };
    cluster.wait("both", |cluster| heard(cluster, &[0, 1, 2]));
    cluster.add(config);
    cluster.join(3, 2);
    cluster.wait("both at the newcomer", |cluster| heard(cluster, &[0, 1, 2, 3]));
}

fn reliable_broadcast(cluster: &mut impl Cluster) {
    let config = with_channels(&[("bulk", 2)]);
    cluster.start(4, &config);
    (1..4).for_each(|node| _ = cluster.join(node, 0));
    let nodes = [0, 1, 2, 3];
    cluster.wait("members", |cluster| cluster.agree(&nodes));
    tell_each_other(cluster, &nodes);
}

fn with_handler(name: &str) -> Config {
    let mut config = with_channels(&[("bulk", 2)]);
    let channel = "bulk".parse().expect("a good name");
    let options = HandlerOptions { channel, ..HandlerOptions::default() };
    let name = HandlerName::new(name).expect("a good name");
    config.broadcast.handlers.insert(name, options);
    config
}

/// P8. The node that lacks it is the only way between two others.
fn broadcast_handler_missing_on_one_node(cluster: &mut impl Cluster) {
    let plain = with_channels(&[("bulk", 2)]);
    let fixed = ManagerConfig::Static(StaticConfig::default());
    for config in [with_handler("news"), plain, with_handler("news")] {
        cluster.add(Config { manager: fixed.clone(), ..config });
    }
    cluster.join(0, 1);
    cluster.join(2, 1);
    let linked = |cluster: &_, node| Cluster::is_connected(cluster, node, 1);
    cluster.wait("a line", |cluster| linked(cluster, 0) && linked(cluster, 2));
    cluster.broadcast(0, "news", "first");
    cluster.broadcast(2, "news", "second");
    cluster.wait("both", |cluster| {
        have_heard(cluster, &[0, 2], 0, &["first"]) && have_heard(cluster, &[0, 2], 2, &["second"])
    });
    assert!(cluster.broadcasts(1).is_empty());
    cluster.wait("both counted", |cluster| cluster.counters(1).broadcast.unhandled == 2);
    tell_each_other(cluster, &[1]);
}

fn broadcast_many_messages_of_several_handlers_arrive_once(cluster: &mut impl Cluster) {
    cluster.form(4, &with_handler("news"));
    let mut sent: BTreeSet<MessageId> = BTreeSet::new();
    for number in 0..60 {
        let handler = if number % 2 == 0 { DEFAULT } else { "news" };
        sent.insert(cluster.broadcast(number % 4, handler, &format!("number {number}")));
    }
    let all = |cluster: &_, node| Cluster::broadcasts(cluster, node).len() >= 60;
    cluster.wait("all", |cluster| (0..4).all(|node| all(cluster, node)));
    for node in 0..4 {
        let broadcasts = cluster.broadcasts(node);
        assert_eq!(broadcasts.len(), 60, "each once");
        assert_eq!(BTreeSet::from_iter(broadcasts.iter().map(|message| message.id)), sent);
    }
}

/// D1: what one survivor has, all get.
fn broadcast_outlives_its_sender(cluster: &mut impl Cluster) {
    cluster.form(5, &Config::default());
    tell_each_other(cluster, &[0, 1, 2, 3, 4]);
    cluster.broadcast(4, DEFAULT, "the last");
    cluster.wait("it at one", |cluster| cluster.heard(1, 4).len() == 2);
    cluster.crash(4);
    let survivors = [0, 1, 2, 3];
    cluster.wait("it at all", |cluster| have_heard(cluster, &survivors, 4, &["of 4", "the last"]));
}

/// D3: a node gets what it missed while it was away, its own messages of the life before among it.
fn broadcast_to_who_comes_back(cluster: &mut impl Cluster) {
    cluster.form(4, &Config::default());
    (1..4).for_each(|from| _ = cluster.broadcast(from, DEFAULT, &format!("of {from}")));
    cluster.wait("all", |cluster| {
        (1..4).all(|from| have_heard(cluster, &[0, 1, 2, 3], from, &[&format!("of {from}")]))
    });
    cluster.crash(3);
    cluster.broadcast(0, DEFAULT, "meanwhile");
    cluster.wait("it", |cluster| have_heard(cluster, &[1, 2], 0, &["meanwhile"]));
    cluster.restart(3, Restart { keep_state: true, new_address: false });
    cluster.wait("all of it", |cluster| {
        have_heard(cluster, &[3], 0, &["meanwhile"])
            && (1..4).all(|from| have_heard(cluster, &[3], from, &[&format!("of {from}")]))
    });
}

/// Each lists the next alone: links serve both ends.
fn broadcast_in_a_line_of_static_nodes(cluster: &mut impl Cluster) {
    let manager = ManagerConfig::Static(StaticConfig::default());
    cluster.start(5, &Config { manager, ..Config::default() });
    (0..4).for_each(|node| _ = cluster.join(node, node + 1));
    cluster.wait("a line", |cluster| {
        (0..4).all(|node| {
            cluster.is_connected(node, node + 1) && cluster.is_connected(node + 1, node)
        })
    });
    tell_each_other(cluster, &[0, 1, 2, 3, 4]);
}

fn broadcast_between_clients(cluster: &mut impl Cluster) {
    let manager = ManagerConfig::ClientServer(ClientServerConfig::default());
    let config = Config { manager, ..Config::default() };
    for tag in ["server", "server", "client", "client"] {
        cluster.add_tagged(config.clone(), vec![Tag::new(tag).expect("a good tag")]);
    }
    (1..4).for_each(|node| _ = cluster.join(node, 0));
    cluster.wait("servers known to all", |cluster| {
        (0..4).all(|node| cluster.knows(node, 0) && cluster.knows(node, 1))
    });
    tell_each_other(cluster, &[0, 1, 2, 3]);
}

fn broadcast_over_partial_views(cluster: &mut impl Cluster) {
    let strategy = StrategyConfig::ScampV2(ScampConfig::default());
    let manager = ManagerConfig::Pluggable(PluggableConfig { strategy, ..Default::default() });
    cluster.start(6, &Config { manager, ..Config::default() });
    for node in 1..6 {
        let asked = cluster.sync_join(node, node - 1, Duration::from_secs(30));
        cluster.wait_for_answer(asked).expect("it can be joined");
    }
    tell_each_other(cluster, &[0, 1, 2, 3, 4, 5]);
}

/// The pairs of nodes whose link is eager at the first for messages of `root`.
fn eager(cluster: &impl Cluster, nodes: usize, root: usize) -> BTreeSet<(usize, usize)> {
    let number = |id: NodeId| (0..nodes).find(|node| cluster.id(*node) == id);
    let of_node = |node| {
        let tree = cluster.tree(node, root);
        let eager = tree.eager.into_iter().filter_map(number);
        eager.map(move |other| (node, other)).collect::<Vec<_>>()
    };
    (0..nodes).flat_map(of_node).collect()
}

/// Whether links are eager at both ends or at none (S1), form a tree that reaches everybody (S2),
/// and all others are lazy (S3).
fn is_tree(cluster: &impl Cluster, nodes: usize, root: usize) -> bool {
    let eager = eager(cluster, nodes, root);
    let symmetric = eager.iter().all(|(one, other)| eager.contains(&(*other, *one)));
    let (mut reached, mut border) = (BTreeSet::from([root]), vec![root]);
    while let Some(node) = border.pop() {
        let next = eager.iter().filter(|(one, _)| *one == node).map(|(_, other)| *other);
        border.extend(next.filter(|other| reached.insert(*other)));
    }
    let lazy: usize = (0..nodes).map(|node| cluster.tree(node, root).lazy.len()).sum();
    let links = nodes * (nodes - 1);
    symmetric
        && reached.len() == nodes
        && eager.len() == 2 * (nodes - 1)
        && lazy == links - eager.len()
}

fn plumtree_at_rest_is_a_tree(cluster: &mut impl Cluster) {
    let mut config = Config::default();
    config.broadcast.own_trees = OwnTrees::Never;
    cluster.form(6, &config);
    let nodes = [0, 1, 2, 3, 4, 5];
    let mut texts = Vec::new();
    let mut send = |cluster: &mut _| {
        texts.push("again");
        Cluster::broadcast(cluster, 2, DEFAULT, "again");
        Cluster::wait(cluster, "it", |cluster| have_heard(cluster, &nodes, 2, &texts));
        Cluster::rest(cluster);
    };
    (0..3).for_each(|_| send(cluster));
    assert!(is_tree(cluster, 6, 2), "{:?}", eager(cluster, 6, 2));
    let sum = |cluster: &_| {
        let counters = (0..6).map(|node| Cluster::counters(cluster, node).broadcast);
        counters.fold([0; 3], |[payloads, grafts, prunes], one| {
            [payloads + one.payloads, grafts + one.grafts, prunes + one.prunes]
        })
    };
    // S4.
    let before = sum(cluster);
    send(cluster);
    let after = sum(cluster);
    assert_eq!([0, 1, 2].map(|what| after[what] - before[what]), [5, 0, 0]);
}
