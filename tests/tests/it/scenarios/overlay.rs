//! What goes along the overlay by more than one hop: relayed messages (`transitive`), injected
//! partitions (`hpv::partition_flood_ttl`, `hpv::resolve_partition_clears_everywhere`).

use std::collections::BTreeSet;

use partisan_proto::config::{
    ClientServerConfig, HyParViewConfig, ManagerConfig, PluggableConfig, ScampConfig, StaticConfig,
    StrategyConfig,
};
use partisan_proto::wire::{Destination, PartitionId, RelayFailure};
use partisan_proto::{
    Answer, ChannelId, Command, CommandError, Config, Duration, Notification, Send, Tag,
};
use partisan_tests::{Cluster, Restart};

on_both! {
    transitive_reaches_non_neighbour: 12;
    transitive_ttl_bound: 6;
    transitive_no_loop: 6;
    transitive_between_clients: 12;
    transitive_between_clients_of_two_servers: 12;
    transitive_to_a_restarted_target: 12;
    transitive_every_pair_of_a_partial_view: 4;
    transitive_failure_is_told: 6;
    transitive_many_messages_arrive_once: 4;
    partition_flood_ttl: 6;
    resolve_partition_clears_everywhere: 6;
    partition_in_a_full_mesh: 6;
    partition_on_every_manager: 4;
}

fn line_config(ttl: u8) -> Config {
    let mut config =
        Config { manager: ManagerConfig::Static(StaticConfig::default()), ..Config::default() };
    config.relay.ttl = ttl;
    config
}

/// Makes two nodes list each other: a neighbour is whoever is listed.
fn link(cluster: &mut impl Cluster, one: usize, other: usize) {
    cluster.join(one, other);
    cluster.join(other, one);
}

/// Nodes, each connected to the next alone.
fn form_line(cluster: &mut impl Cluster, count: usize, ttl: u8) {
    cluster.start(count, &line_config(ttl));
    for node in 1..count {
        link(cluster, node - 1, node);
    }
    cluster.wait("a line", |cluster| (1..count).all(|node| are_linked(cluster, node - 1, node)));
}

fn are_linked(cluster: &impl Cluster, one: usize, other: usize) -> bool {
    let linked = |one, other| cluster.is_connected(one, other) && cluster.knows(one, other);
    linked(one, other) && linked(other, one)
}

fn relay(
    cluster: &mut impl Cluster,
    from: usize,
    to: usize,
    text: &str,
) -> Result<Answer, CommandError> {
    let send = Send {
        to: cluster.id(to),
        channel: ChannelId::DEFAULT,
        key: Some(7),
        destination: Destination::Inbox,
        relay: true,
        payload: text.to_owned().into_bytes().into(),
    };
    let asked = cluster.ask(from, Command::Send(send));
    cluster.wait_for_answer(asked)
}

fn transitive_reaches_non_neighbour(cluster: &mut impl Cluster) {
    form_line(cluster, 4, 5);
    let plain = cluster.send(0, 3, (ChannelId::DEFAULT, None), "plain");
    let error = cluster.wait_for_answer(plain);
    assert_eq!(error, Err(CommandError::UnknownNode(cluster.id(3))));
    for (from, to) in [(0, 3), (3, 0), (1, 3), (0, 2)] {
        relay(cluster, from, to, "relayed").unwrap();
        cluster.wait("it", |cluster| cluster.texts(to, from) == ["relayed"]);
        let delivery = cluster.deliveries(to).pop().expect("just arrived");
        assert!(delivery.relayed, "whoever is told by others knows that");
    }
    // Who is connected is sent to straight, whatever is allowed.
    assert_eq!(relay(cluster, 0, 1, "straight"), Ok(Answer::Done));
    cluster.wait("it", |cluster| cluster.texts(1, 0) == ["straight"]);
    assert!(!cluster.deliveries(1).pop().expect("just arrived").relayed);
}

fn transitive_ttl_bound(cluster: &mut impl Cluster) {
    form_line(cluster, 5, 2);
    relay(cluster, 0, 4, "too far").unwrap();
    relay(cluster, 0, 3, "near enough").unwrap();
    cluster.wait("it", |cluster| cluster.texts(3, 0) == ["near enough"]);
    cluster.rest();
    assert!(cluster.texts(4, 0).is_empty());
    assert_eq!(cluster.counters(2).relay.ended, 1);
}

fn transitive_no_loop(cluster: &mut impl Cluster) {
    // A ring, and nobody who is asked for.
    form_line(cluster, 5, 30);
    link(cluster, 4, 0);
    cluster.wait("a ring", |cluster| are_linked(cluster, 4, 0));
    let nobody = cluster.add(line_config(30));
    relay(cluster, 0, nobody, "nowhere").unwrap();
    relay(cluster, 0, 2, "there").unwrap();
    cluster.wait("it", |cluster| cluster.texts(2, 0) == ["there"]);
    cluster.rest();
    assert_eq!(cluster.texts(2, 0), ["there"], "both ways round, delivered once");
    let transmitted: u64 = (0..5).map(|node| cluster.counters(node).relay.transmitted).sum();
    assert!(transmitted <= 2 * 2 * 5, "at most once each way over each connection: {transmitted}");
}

fn transitive_between_clients(cluster: &mut impl Cluster) {
    let star = || Config {
        manager: ManagerConfig::ClientServer(ClientServerConfig::default()),
        ..Config::default()
    };
    for node in 0..4 {
        let tag = if node < 2 { "server" } else { "client" };
        cluster.add_tagged(star(), vec![Tag::new(tag).expect("a good tag")]);
        if node > 0 {
            cluster.join(node, 0);
        }
    }
    cluster.wait("servers for all", |cluster| {
        (2..4).all(|client| (0..2).all(|server| cluster.is_connected(client, server)))
            && cluster.is_connected(0, 1)
    });
    for (from, to) in [(2, 3), (3, 2)] {
        relay(cluster, from, to, "by a server").unwrap();
        cluster.wait("it", |cluster| cluster.texts(to, from) == ["by a server"]);
    }
    let transmitted: u64 = (0..4).map(|node| cluster.counters(node).relay.transmitted).sum();
    assert_eq!(transmitted, 4, "nothing was flooded");
}

/// One client of each server: a message passes both, and after one server has died the other.
fn transitive_between_clients_of_two_servers(cluster: &mut impl Cluster) {
    let star = ClientServerConfig { servers: 1, ..ClientServerConfig::default() };
    let manager = ManagerConfig::ClientServer(star);
    for (node, contact) in [(0, 0), (1, 0), (2, 0), (3, 1)] {
        let tag = if node < 2 { "server" } else { "client" };
        let config = Config { manager: manager.clone(), ..Config::default() };
        cluster.add_tagged(config, vec![Tag::new(tag).expect("a good tag")]);
        if node > 0 {
            cluster.join(node, contact);
        }
    }
    cluster.wait("servers for all", |cluster| {
        let server = |client| (0..2).any(|server| cluster.is_connected(client, server));
        server(2) && server(3) && cluster.is_connected(0, 1)
    });
    let texts: Vec<String> = (0..50).map(|number| number.to_string()).collect();
    for text in &texts {
        relay(cluster, 2, 3, text).unwrap();
    }
    cluster.wait("all", |cluster| cluster.texts(3, 2).len() >= texts.len());
    assert_eq!(cluster.texts(3, 2), texts);
    cluster.crash(1);
    cluster.wait("the other server", |cluster| {
        (2..4).all(|client| cluster.is_connected(client, 0))
            && cluster.routes(0).peers().count() == 2
    });
    relay(cluster, 2, 3, "by the other").unwrap();
    cluster.wait("it", |cluster| cluster.texts(3, 2).len() > texts.len());
    assert_eq!(cluster.texts(3, 2)[texts.len()..], ["by the other"]);
}

/// A target is its name, whatever life it is in and wherever it listens.
fn transitive_to_a_restarted_target(cluster: &mut impl Cluster) {
    form_line(cluster, 4, 5);
    for (from, to) in [(0, 3), (3, 0)] {
        relay(cluster, from, to, "first").unwrap();
        cluster.wait("it", |cluster| cluster.texts(to, from) == ["first"]);
    }
    cluster.crash(3);
    let lost = cluster.id(3);
    cluster.wait("its end", |cluster| cluster.routes(2).peer(lost).is_none());
    cluster.restart(3, Restart { keep_state: false, new_address: true });
    link(cluster, 2, 3);
    cluster.wait("a line", |cluster| are_linked(cluster, 2, 3));
    relay(cluster, 3, 0, "second").unwrap();
    cluster.wait("it", |cluster| cluster.texts(0, 3).len() > 1);
    relay(cluster, 0, 3, "second").unwrap();
    cluster.wait("it", |cluster| !cluster.texts(3, 0).is_empty());
    cluster.rest();
    assert_eq!(cluster.texts(0, 3), ["first", "second"], "numbered anew, and no copy");
    assert_eq!(cluster.texts(3, 0), ["second"]);
}

/// Everybody sends to everybody: what is not connected is reached along the overlay, once each.
fn transitive_every_pair_of_a_partial_view(cluster: &mut impl Cluster) {
    let scamp = StrategyConfig::ScampV2(ScampConfig { copies: 0, ..ScampConfig::default() });
    let pluggable = PluggableConfig { strategy: scamp, ..PluggableConfig::default() };
    let config = Config { manager: ManagerConfig::Pluggable(pluggable), ..Config::default() };
    cluster.start(7, &config);
    for node in 1..7 {
        let asked = cluster.sync_join(node, node - 1, Duration::from_secs(60));
        cluster.wait_for_answer(asked).unwrap();
    }
    let pairs: Vec<_> = (0..7).flat_map(|from| (0..7).map(move |to| (from, to))).collect();
    let pairs: Vec<_> = pairs.into_iter().filter(|(from, to)| from != to).collect();
    cluster.wait("neighbours", |cluster| {
        (0..7).all(|node| cluster.routes(node).peers().any(|peer| peer.is_full()))
    });
    for (from, to) in &pairs {
        relay(cluster, *from, *to, "hello").unwrap();
    }
    cluster.wait("all", |cluster| {
        pairs.iter().all(|(from, to)| !cluster.texts(*to, *from).is_empty())
    });
    cluster.rest();
    for (from, to) in pairs {
        assert_eq!(cluster.texts(to, from), ["hello"], "{from} to {to}");
    }
}

fn transitive_failure_is_told(cluster: &mut impl Cluster) {
    form_line(cluster, 4, 5);
    relay(cluster, 0, 3, "1").unwrap();
    cluster.wait("it", |cluster| cluster.texts(3, 0) == ["1"]);
    relay(cluster, 3, 0, "back").unwrap();
    cluster.wait("it", |cluster| cluster.texts(0, 3) == ["back"]);
    cluster.crash(3);
    let lost = cluster.id(3);
    cluster.wait("its end", |cluster| cluster.routes(2).peer(lost).is_none());
    let Ok(Answer::Relayed(_) | Answer::Done) = relay(cluster, 0, 3, "2") else {
        panic!("it was on its way");
    };
    cluster.wait_for_note(0, "its failure", |note| {
        matches!(note, Notification::RelayFailed { to, reason: RelayFailure::NoWay, .. } if *to == lost)
    });
    let alone = cluster.add(line_config(5));
    let error = relay(cluster, alone, 0, "x");
    assert_eq!(error, Err(CommandError::NoRelay(cluster.id(0))));
}

fn transitive_many_messages_arrive_once(cluster: &mut impl Cluster) {
    form_line(cluster, 4, 5);
    let texts: Vec<String> = (0..300).map(|number| number.to_string()).collect();
    for text in &texts {
        relay(cluster, 0, 3, text).unwrap();
    }
    cluster.wait("all", |cluster| cluster.texts(3, 0).len() >= texts.len());
    assert_eq!(cluster.texts(3, 0), texts, "one key, one way: in order, and none twice");
}

fn inject(cluster: &mut impl Cluster, at: usize, ttl: u8) -> PartitionId {
    let asked = cluster.ask(at, Command::InjectPartition { ttl });
    let Ok(Answer::Partition(id)) = cluster.wait_for_answer(asked) else { panic!("refused") };
    id
}

/// To whom a node sends nothing.
fn marked(cluster: &impl Cluster, node: usize) -> BTreeSet<usize> {
    let marked = cluster.partitions(node);
    let is = |other: &usize| marked.iter().any(|(_, id)| *id == cluster.id(*other));
    (0..cluster.size()).filter(is).collect()
}

fn send(cluster: &mut impl Cluster, from: usize, to: usize) -> Result<Answer, CommandError> {
    let asked = cluster.send(from, to, (ChannelId::DEFAULT, None), "x");
    cluster.wait_for_answer(asked)
}

fn partition_flood_ttl(cluster: &mut impl Cluster) {
    form_line(cluster, 5, 5);
    inject(cluster, 0, 2);
    cluster.wait("three nodes", |cluster| marked(cluster, 2) == BTreeSet::from([1, 3]));
    assert_eq!(marked(cluster, 0), BTreeSet::from([1]));
    assert_eq!(marked(cluster, 1), BTreeSet::from([0, 2]));
    assert_eq!(marked(cluster, 3), BTreeSet::new());
    for (from, to) in [(0, 1), (1, 0), (1, 2), (2, 1), (2, 3)] {
        let partitioned = CommandError::Partitioned(cluster.id(to));
        assert_eq!(send(cluster, from, to), Err(partitioned), "{from} to {to}");
    }
    assert_eq!(send(cluster, 3, 2), Ok(Answer::Done), "it was not reached");
    assert_eq!(relay(cluster, 0, 4, "x"), Err(CommandError::Partitioned(cluster.id(1))));
    assert!(cluster.is_connected(0, 1), "only the application is lied to");
}

fn resolve_partition_clears_everywhere(cluster: &mut impl Cluster) {
    form_line(cluster, 5, 5);
    for at in [0, 2, 4] {
        let id = inject(cluster, 1, 3);
        cluster.wait("all of them", |cluster| (0..5).all(|node| !marked(cluster, node).is_empty()));
        let asked = cluster.ask(at, Command::ResolvePartition(id));
        assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Done));
        cluster.wait("the end", |cluster| (0..5).all(|node| marked(cluster, node).is_empty()));
        let over = |note: &Notification| *note == Notification::PartitionResolved { id };
        cluster.wait_for_note(4, "its end", over);
        assert_eq!(send(cluster, 0, 1), Ok(Answer::Done));
    }
}

fn partition_in_a_full_mesh(cluster: &mut impl Cluster) {
    cluster.form(4, &Config::default());
    let id = inject(cluster, 0, 1);
    cluster.wait("everybody", |cluster| (0..4).all(|node| marked(cluster, node).len() == 3));
    cluster.ask(3, Command::ResolvePartition(id));
    cluster.wait("the end", |cluster| (0..4).all(|node| marked(cluster, node).is_empty()));
    cluster.exchange(&[0, 1, 2, 3], (ChannelId::DEFAULT, None));
}

/// Injected at one, it keeps messages between two nodes of any manager until it is resolved.
fn partition_on_every_manager(cluster: &mut impl Cluster) {
    let scamp = StrategyConfig::ScampV1(ScampConfig::default());
    let managers = [
        (ManagerConfig::Pluggable(PluggableConfig { strategy: scamp, ..Default::default() }), ""),
        (ManagerConfig::ClientServer(ClientServerConfig::default()), "server"),
        (ManagerConfig::from(HyParViewConfig::default()), ""),
    ];
    for (manager, tag) in managers {
        let config = Config { manager, ..Config::default() };
        let tags: Vec<Tag> = Tag::new(tag).into_iter().collect();
        let pair = [0, 1].map(|_| cluster.add_tagged(config.clone(), tags.clone()));
        let [one, other] = pair;
        link(cluster, one, other);
        cluster.wait("neighbours", |cluster| are_linked(cluster, one, other));
        let id = inject(cluster, one, 1);
        cluster.wait("both", |cluster| pair.iter().all(|node| marked(cluster, *node).len() == 1));
        for (from, to) in [(one, other), (other, one)] {
            let partitioned = Err(CommandError::Partitioned(cluster.id(to)));
            assert_eq!(send(cluster, from, to), partitioned);
            assert_eq!(relay(cluster, from, to, "x"), partitioned);
        }
        let asked = cluster.ask(other, Command::ResolvePartition(id));
        assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Done));
        cluster.wait("the end", |cluster| marked(cluster, one).is_empty());
        cluster.exchange(&pair, (ChannelId::DEFAULT, None));
    }
}
