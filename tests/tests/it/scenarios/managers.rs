//! What every manager does alike, and what each promises besides: servers and clients (`cs`), fixed
//! lists, partial views.

use std::collections::BTreeSet;

use partisan_proto::config::{
    ClientServerConfig, HyParViewConfig, ManagerConfig, PluggableConfig, ScampConfig, StaticConfig,
    StrategyConfig, XBotConfig,
};
use partisan_proto::wire::Destination;
use partisan_proto::{
    Answer, ChannelId, CloseReason, Command, CommandError, Config, Contact, Duration, JoinError,
    Notification, Refusal, Send, Tag,
};
use partisan_tests::{Cluster, Simulated, is_down, is_joined};

on_both! {
    cs_membership_views: 12;
    cs_forward_between_all_connected: 12;
    cs_client_to_client_requires_relay_or_error: 12;
    cs_a_client_is_referred_by_a_client: 12;
    cs_failover: 12;
    static_lists_what_it_joined_and_nobody_else: 12;
    static_refuses_whom_it_does_not_list: 12;
    scamp1_connectivity: 12;
    scamp2_connectivity: 12;
    scamp1_unsubscribe: 12;
    scamp2_unsubscribe: 12;
    whoever_joins_with_another_manager_is_told_so: 12;
    every_manager_conforms: 4;
}

fn with(manager: ManagerConfig) -> Config {
    Config { manager, ..Config::default() }
}

fn scamp(strategy: fn(ScampConfig) -> StrategyConfig) -> Config {
    let strategy = strategy(ScampConfig::default());
    with(ManagerConfig::Pluggable(PluggableConfig { strategy, ..PluggableConfig::default() }))
}

fn hyparview(xbot: Option<XBotConfig>) -> Config {
    with(ManagerConfig::from(HyParViewConfig { xbot, ..HyParViewConfig::default() }))
}

fn star() -> Config {
    with(ManagerConfig::ClientServer(ClientServerConfig::default()))
}

fn fixed(refuse_unlisted: bool) -> Config {
    with(ManagerConfig::Static(StaticConfig { refuse_unlisted, ..StaticConfig::default() }))
}

fn add(cluster: &mut impl Cluster, config: Config, tags: &[&str]) -> usize {
    let tags = tags.iter().map(|tag| Tag::new(tag).expect("a good tag")).collect();
    cluster.add_tagged(config, tags)
}

/// Servers first; all have joined the first one.
fn form_star(cluster: &mut impl Cluster, servers: usize, clients: usize) {
    for node in 0..servers + clients {
        let tag = if node < servers { "server" } else { "client" };
        add(cluster, star(), &[tag]);
        if node > 0 {
            cluster.join(node, 0);
        }
    }
    cluster.wait("views", |cluster| star_is_formed(cluster, servers, clients));
}

fn star_is_formed(cluster: &impl Cluster, servers: usize, clients: usize) -> bool {
    let all = 0..servers + clients;
    all.clone().all(|node| {
        let known =
            all.clone().filter(|other| node < servers || *other < servers || *other == node);
        let known: BTreeSet<_> = known.map(|other| cluster.id(other)).collect();
        let peers = all.clone().filter(|other| cluster.is_connected(node, *other)).count();
        let wanted = if node < servers { servers - 1 } else { servers.min(2) };
        cluster.member_ids(node) == known && peers >= wanted
    })
}

fn cs_membership_views(cluster: &mut impl Cluster) {
    form_star(cluster, 2, 3);
    let specs: BTreeSet<_> = (0..2).map(|server| cluster.id(server)).collect();
    for client in 2..5 {
        let others = (2..5).filter(|other| *other != client).map(|other| cluster.id(other));
        let known = cluster.member_ids(client);
        assert!(specs.is_subset(&known) && others.into_iter().all(|id| !known.contains(&id)));
    }
}

/// Whoever is connected can send.
fn cs_forward_between_all_connected(cluster: &mut impl Cluster) {
    form_star(cluster, 2, 3);
    for client in 2..5 {
        cluster.exchange(&[0, 1, client], (ChannelId::DEFAULT, None));
    }
}

/// Clients are not connected to each other; what is not to be relayed is refused, and nobody gets
/// it.
fn cs_client_to_client_requires_relay_or_error(cluster: &mut impl Cluster) {
    form_star(cluster, 2, 3);
    assert!(!cluster.is_connected(2, 3));
    let asked = cluster.send(2, 3, (ChannelId::DEFAULT, None), "to a client");
    let error = cluster.wait_for_answer(asked);
    assert_eq!(error, Err(CommandError::UnknownNode(cluster.id(3))));
    let send = Send {
        to: cluster.id(3),
        channel: ChannelId::DEFAULT,
        key: None,
        destination: Destination::Inbox,
        relay: true,
        payload: "by a server".into(),
    };
    let asked = cluster.ask(2, Command::Send(send));
    let answer = cluster.wait_for_answer(asked);
    assert!(matches!(answer, Ok(Answer::Relayed(_) | Answer::Done)), "{answer:?}");
    cluster.wait("it", |cluster| !cluster.texts(3, 2).is_empty());
    cluster.rest();
    assert_eq!(cluster.texts(3, 2), ["by a server"]);
}

fn cs_a_client_is_referred_by_a_client(cluster: &mut impl Cluster) {
    form_star(cluster, 2, 1);
    let newcomer = add(cluster, star(), &["client"]);
    cluster.join(newcomer, 2);
    cluster.wait("views", |cluster| star_is_formed(cluster, 2, 2));
    let joined = |note: &Notification| matches!(note, Notification::JoinEnded { result: Ok(_) });
    cluster.wait_for_note(newcomer, "the end of the join", joined);
    cluster.wait("no edge between clients", |cluster| {
        cluster.routes(newcomer).peer(cluster.id(2)).is_none()
    });
}

fn cs_failover(cluster: &mut impl Cluster) {
    form_star(cluster, 3, 1);
    let lost = (0..3).find(|server| cluster.is_connected(3, *server)).expect("has a server");
    cluster.crash(lost);
    cluster.wait("two other servers", |cluster| {
        (0..3).filter(|server| *server != lost && cluster.is_connected(3, *server)).count() == 2
    });
    let lost = cluster.id(lost);
    cluster.wait_for_note(3, "down", |note| is_down(note, lost));
}

fn static_lists_what_it_joined_and_nobody_else(cluster: &mut impl Cluster) {
    cluster.start(3, &fixed(false));
    cluster.join(0, 1);
    cluster.join(1, 2);
    cluster.wait("both links", |cluster| {
        cluster.is_connected(0, 1) && cluster.is_connected(1, 2) && cluster.knows(1, 2)
    });
    cluster.rest();
    assert!(cluster.knows(0, 1) && !cluster.knows(1, 0), "a link has one side");
    assert!(!cluster.knows(0, 2), "nobody is learned by gossip");
    cluster.exchange(&[0, 1], (ChannelId::DEFAULT, None));
    cluster.remove(0, 1);
    cluster.wait("the end of the link", |cluster| !cluster.is_connected(0, 1));
}

fn static_refuses_whom_it_does_not_list(cluster: &mut impl Cluster) {
    cluster.start(2, &fixed(true));
    let asked = cluster.sync_join(0, 1, Duration::from_secs(30));
    let refused = CommandError::Join(JoinError::Refused(Refusal::NotWanted));
    assert_eq!(cluster.wait_for_answer(asked), Err(refused));
}

fn form_scamp(cluster: &mut impl Cluster, config: &Config) {
    cluster.start(4, config);
    for node in 1..4 {
        let asked = cluster.sync_join(node, node - 1, Duration::from_secs(60));
        assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Joined(cluster.id(node - 1))));
    }
    // Of so few, each is kept by all that were there before it.
    cluster.wait("an overlay", |cluster| {
        let all = |node| (0..4).filter(move |other| *other != node);
        (0..4).all(|node| all(node).all(|other| cluster.is_connected(node, other)))
    });
}

fn scamp1_connectivity(cluster: &mut impl Cluster) {
    form_scamp(cluster, &scamp(StrategyConfig::ScampV1));
    for _ in 0..2 {
        cluster.exchange(&[0, 1, 2, 3], (ChannelId::DEFAULT, None));
    }
}

fn scamp2_connectivity(cluster: &mut impl Cluster) {
    form_scamp(cluster, &scamp(StrategyConfig::ScampV2));
    for _ in 0..2 {
        cluster.exchange(&[0, 1, 2, 3], (ChannelId::DEFAULT, None));
    }
}

/// Nobody keeps the leaver, and the others keep each other.
fn scamp_unsubscribe(cluster: &mut impl Cluster, strategy: fn(ScampConfig) -> StrategyConfig) {
    form_scamp(cluster, &scamp(strategy));
    cluster.ask(2, Command::Leave);
    cluster.wait("nobody knows it", |cluster| {
        cluster.members(2).len() == 1 && [0, 1, 3].iter().all(|node| !cluster.knows(*node, 2))
    });
    cluster.rest();
    assert!([0, 1, 3].iter().all(|node| !cluster.knows(*node, 2)), "nothing brings it back");
    cluster.exchange(&[0, 1, 3], (ChannelId::DEFAULT, None));
}

fn scamp1_unsubscribe(cluster: &mut impl Cluster) {
    scamp_unsubscribe(cluster, StrategyConfig::ScampV1);
}

fn scamp2_unsubscribe(cluster: &mut impl Cluster) {
    scamp_unsubscribe(cluster, StrategyConfig::ScampV2);
}

/// A mistake in a settings file: the join fails at once and says why, and the two do not go on
/// dialling each other.
fn whoever_joins_with_another_manager_is_told_so(cluster: &mut impl Cluster) {
    let managers = [Config::default(), scamp(StrategyConfig::ScampV2), hyparview(None)];
    for (one, joiner) in managers.iter().enumerate() {
        for (other, contact) in managers.iter().enumerate().filter(|(other, _)| *other != one) {
            let node = cluster.add(joiner.clone());
            let contact = cluster.add(contact.clone());
            let to = Contact::from(&*cluster.spec(contact));
            let deadline = Duration::from_secs(30);
            let asked = cluster.ask(node, Command::SyncJoin { contact: to, deadline });
            cluster.wait("an answer", |cluster| cluster.answer(asked).is_some());
            let told = CommandError::Join(JoinError::Closed(CloseReason::OTHER_MANAGER));
            assert_eq!(cluster.answer(asked), Some(Err(told)), "{one} joins {other}");
            cluster.rest();
            // What is said last may be lost, when the other side is just sending.
            let sessions = cluster.counters(node).sessions;
            assert!(sessions <= 10, "{one} joins {other}: {sessions} sessions");
        }
    }
}

/// An application that hangs up on everybody, at once and for ever: whatever the manager, it and its
/// peers are not busy with each other all the time.
#[test]
fn who_hangs_up_at_once_is_dialled_later_and_later() {
    let scamps = [scamp(StrategyConfig::ScampV1), scamp(StrategyConfig::ScampV2)];
    let views = [hyparview(None), hyparview(Some(XBotConfig::default()))];
    let others = [Config::default(), fixed(false)];
    for (number, config) in scamps.iter().chain(&views).chain(&others).enumerate() {
        for nodes in [2, 4] {
            let mut cluster = Simulated::new(nodes as u64);
            cluster.start(nodes, config);
            (1..nodes).for_each(|node| _ = cluster.join(node, 0));
            for _ in 0..6_000 {
                cluster.world.run_for(Duration::from_millis(10));
                let routes = cluster.routes(1);
                for peer in routes.peers() {
                    cluster.ask(1, Command::Disconnect(peer.instance.node));
                }
            }
            let sessions = cluster.counters(1).sessions;
            let most = 60 * (nodes as u64 - 1);
            assert!(
                (1..=most).contains(&sessions),
                "manager {number}: {sessions} sessions in a minute"
            );
        }
    }
}

/// The facade does the same with each manager.
fn every_manager_conforms(cluster: &mut impl Cluster) {
    let managers = [
        (Config::default(), [""; 2]),
        (scamp(StrategyConfig::ScampV1), [""; 2]),
        (scamp(StrategyConfig::ScampV2), [""; 2]),
        (fixed(false), [""; 2]),
        (hyparview(None), [""; 2]),
        (hyparview(Some(XBotConfig::default())), [""; 2]),
        (star(), ["server", "client"]),
    ];
    for (config, tags) in managers {
        let pair = tags.map(|tag| {
            let tags: &[&str] = if tag.is_empty() { &[] } else { &[tag] };
            add(cluster, config.clone(), tags)
        });
        conforms(cluster, pair);
    }
}

fn conforms(cluster: &mut impl Cluster, [one, other]: [usize; 2]) {
    let own = cluster.contact(other);
    let asked = cluster.ask(other, Command::Join(own));
    assert_eq!(cluster.wait_for_answer(asked), Err(CommandError::SelfJoin));
    let nowhere = Contact { name: None, addresses: Vec::new() };
    let asked = cluster.ask(other, Command::Join(nowhere));
    assert_eq!(cluster.wait_for_answer(asked), Err(CommandError::NoAddress));
    let asked = cluster.ask(other, Command::UpdateMembers(Vec::new()));
    assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Done));

    let asked = cluster.sync_join(other, one, Duration::from_secs(60));
    assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Joined(cluster.id(one))));
    assert!(cluster.knows(other, one) && cluster.is_connected(other, one));
    let id = cluster.id(one);
    cluster.wait_for_note(other, "a member", |note| is_joined(note, id));
    let asked = cluster.send(other, one, (ChannelId::DEFAULT, None), "hello");
    assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Done));
    cluster.wait("the message", |cluster| cluster.texts(one, other) == ["hello"]);

    let asked = cluster.remove(other, one);
    assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Done));
    cluster
        .wait("the end", |cluster| !cluster.knows(other, one) && !cluster.is_connected(other, one));
    cluster.wait_for_note(other, "down", |note| is_down(note, id));

    cluster.join(other, one);
    cluster.wait("another beginning", |cluster| {
        cluster.knows(other, one) && cluster.is_connected(other, one)
    });
    let asked = cluster.ask(other, Command::Leave);
    assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Done));
    cluster.wait("alone", |cluster| cluster.members(other).len() == 1);
}
