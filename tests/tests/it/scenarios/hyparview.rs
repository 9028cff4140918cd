//! HyParView: the cases of the original's suites (`hpv`, `xbot`), with the sizes of the views really
//! applied, and what its issues tell of (P1, P14, P15 of the catalogue).

use std::collections::BTreeSet;

use partisan_proto::config::{HyParViewConfig, ManagerConfig, XBotConfig};
use partisan_proto::{Answer, ChannelId, Command, Config, Duration, Notification};
use partisan_sim::Latency;
use partisan_tests::{Cluster, Restart, Simulated, is_down, is_joined};

on_both! {
    hpv_high_active_connected_symmetric_evict: 12;
    hpv_low_active_connected_symmetric_evict: 12;
    hpv_twelve_nodes_connected_symmetric_evict: 12;
    hpv_simultaneous_join_leaves_no_islands: 12;
    hpv_views_stay_symmetric_when_a_session_is_lost: 12;
    hpv_parts_that_removed_each_other_merge: 12;
    hpv_partition_is_known_to_all_and_resolved_everywhere: 12;
    hpv_nobody_keeps_the_leaver_and_it_may_come_back: 12;
    hpv_a_restarted_node_has_its_place_again: 12;
    hpv_a_whole_cluster_starts_again_without_contacts: 12;
    hpv_members_come_and_go_with_the_active_view: 12;
    hpv_a_young_overlay_outlives_the_death_of_two_nodes_in_five: 12;
    xbot_high_active_connected_symmetric_evict: 12;
    xbot_low_active_connected_symmetric_evict: 12;
    xbot_twelve_nodes_connected_symmetric_evict: 12;
}

fn with(hyparview: HyParViewConfig) -> Config {
    Config { manager: ManagerConfig::from(hyparview), ..Config::default() }
}

fn sized(active_size: usize) -> Config {
    with(HyParViewConfig { active_size, ..HyParViewConfig::default() })
}

/// Exchanges as often as they can be.
fn exchanging(active_size: usize) -> Config {
    let xbot = XBotConfig {
        interval: Duration::from_secs(1),
        least_gain: 0,
        least_saving: 0,
        ..XBotConfig::default()
    };
    with(HyParViewConfig { active_size, xbot: Some(xbot), ..HyParViewConfig::default() })
}

/// The active view: those members that are not the node itself.
fn active(cluster: &impl Cluster, node: usize) -> BTreeSet<usize> {
    (0..cluster.size()).filter(|other| *other != node && cluster.knows(node, *other)).collect()
}

/// Whether these have each other alone for neighbours, in both directions, with sessions, in one
/// piece, and no more than `most`.
fn is_overlay(cluster: &impl Cluster, nodes: &[usize], most: usize) -> bool {
    let sound = |node: usize| {
        let active = active(cluster, node);
        active.len() <= most
            && active.iter().all(|peer| {
                let mutual = nodes.contains(peer) && cluster.knows(*peer, node);
                mutual && cluster.is_connected(node, *peer)
            })
    };
    let mut reached = vec![nodes[0]];
    let mut place = 0;
    while let Some(node) = reached.get(place).copied() {
        place += 1;
        let next: Vec<usize> = active(cluster, node).into_iter().collect();
        reached.extend(next.into_iter().filter(|peer| !reached.contains(peer)).collect::<Vec<_>>());
    }
    nodes.iter().all(|node| sound(*node)) && reached.len() == nodes.len()
}

fn form(cluster: &mut impl Cluster, count: usize, config: &Config, most: usize) {
    cluster.start(count, config);
    for node in 1..count {
        cluster.join(node, 0);
    }
    let all = Vec::from_iter(0..count);
    cluster.wait("an overlay", |cluster| is_overlay(cluster, &all, most));
}

/// A message over each link arrives exactly once.
fn exchange_over_links(cluster: &mut impl Cluster, nodes: &[usize]) {
    for node in nodes {
        for peer in active(cluster, *node) {
            // A link may be exchanged for another as we speak; what is sent once it is over may be
            // lost.
            if !cluster.knows(*node, peer) {
                continue;
            }
            let before = cluster.texts(peer, *node).len();
            let asked = cluster.send(*node, peer, (ChannelId::DEFAULT, None), "over a link");
            if cluster.wait_for_answer(asked) == Ok(Answer::Done) {
                cluster.wait("it", |cluster| cluster.texts(peer, *node).len() == before + 1);
            }
        }
    }
}

/// The cases of the original: one overlay, messages over its links, one node killed.
fn connected_symmetric_evict(
    cluster: &mut impl Cluster,
    count: usize,
    (config, most): (&Config, usize),
    killed: usize,
) {
    form(cluster, count, config, most);
    let all = Vec::from_iter(0..count);
    exchange_over_links(cluster, &all);
    let lost = cluster.id(killed);
    let neighbor = active(cluster, killed).into_iter().next().expect("it has neighbours");
    cluster.crash(killed);
    let rest: Vec<usize> = all.into_iter().filter(|node| *node != killed).collect();
    cluster.wait("an overlay of the others", |cluster| {
        is_overlay(cluster, &rest, most) && rest.iter().all(|node| !cluster.knows(*node, killed))
    });
    cluster.wait_for_note(neighbor, "its end", |note| is_down(note, lost));
    exchange_over_links(cluster, &rest);
}

fn hpv_high_active_connected_symmetric_evict(cluster: &mut impl Cluster) {
    connected_symmetric_evict(cluster, 4, (&sized(5), 5), 2);
}

fn hpv_low_active_connected_symmetric_evict(cluster: &mut impl Cluster) {
    connected_symmetric_evict(cluster, 12, (&sized(3), 3), 5);
}

fn hpv_twelve_nodes_connected_symmetric_evict(cluster: &mut impl Cluster) {
    // Their only contact.
    connected_symmetric_evict(cluster, 12, (&sized(5), 5), 0);
}

fn xbot_high_active_connected_symmetric_evict(cluster: &mut impl Cluster) {
    connected_symmetric_evict(cluster, 4, (&exchanging(5), 5), 2);
}

fn xbot_low_active_connected_symmetric_evict(cluster: &mut impl Cluster) {
    connected_symmetric_evict(cluster, 12, (&exchanging(3), 3), 5);
}

fn xbot_twelve_nodes_connected_symmetric_evict(cluster: &mut impl Cluster) {
    connected_symmetric_evict(cluster, 12, (&exchanging(5), 5), 0);
}

/// P1: nine nodes that join one contact at once fell into islands.
fn hpv_simultaneous_join_leaves_no_islands(cluster: &mut impl Cluster) {
    cluster.start(10, &sized(3));
    let asked: Vec<_> =
        (1..10).map(|node| cluster.sync_join(node, 0, Duration::from_secs(60))).collect();
    for asked in asked {
        assert!(matches!(cluster.wait_for_answer(asked), Ok(Answer::Joined(_))));
    }
    let all = Vec::from_iter(0..10);
    cluster.wait("one overlay", |cluster| is_overlay(cluster, &all, 3));
}

/// P14: a lost message left a link with one side.
fn hpv_views_stay_symmetric_when_a_session_is_lost(cluster: &mut impl Cluster) {
    form(cluster, 8, &sized(3), 3);
    for node in 0..8 {
        let Some(peer) = active(cluster, node).into_iter().next() else { continue };
        let id = cluster.id(peer);
        cluster.ask(node, Command::Disconnect(id));
    }
    let all = Vec::from_iter(0..8);
    cluster.wait("an overlay again", |cluster| is_overlay(cluster, &all, 3));
    cluster.rest();
    cluster.wait("it stays one", |cluster| is_overlay(cluster, &all, 3));
    exchange_over_links(cluster, &all);
}

/// P15: two parts removed each other; whoever joins one to the other merges them.
fn hpv_parts_that_removed_each_other_merge(cluster: &mut impl Cluster) {
    form(cluster, 4, &sized(5), 5);
    for (node, other) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        cluster.remove(node, other);
    }
    cluster.wait("the others are alone", |cluster| {
        [0, 1].iter().all(|node| active(cluster, *node) == BTreeSet::from([1 - node]))
            && [2, 3].iter().all(|node| !cluster.knows(*node, 0) && !cluster.knows(*node, 1))
    });
    for node in [2, 3] {
        cluster.wait_for_note(node, "its removal", |note| {
            matches!(note, Notification::Removed { .. })
        });
        cluster.join(node, 0);
    }
    let all = Vec::from_iter(0..4);
    cluster.wait("a mesh", |cluster| {
        is_overlay(cluster, &all, 5) && all.iter().all(|node| active(cluster, *node).len() == 3)
    });
}

fn hpv_partition_is_known_to_all_and_resolved_everywhere(cluster: &mut impl Cluster) {
    form(cluster, 4, &sized(5), 5);
    let all = Vec::from_iter(0..4);
    cluster.wait("a mesh", |cluster| {
        is_overlay(cluster, &all, 5) && all.iter().all(|node| active(cluster, *node).len() == 3)
    });
    let asked = cluster.ask(1, Command::InjectPartition { ttl: 1 });
    let Ok(Answer::Partition(id)) = cluster.wait_for_answer(asked) else { panic!("refused") };
    cluster.wait("it is known to all", |cluster| {
        all.iter().all(|node| {
            let marked = cluster.partitions(*node);
            let marked: BTreeSet<_> = marked.into_iter().map(|(_, peer)| peer).collect();
            marked == active(cluster, *node).into_iter().map(|peer| cluster.id(peer)).collect()
        })
    });
    let asked = cluster.ask(2, Command::ResolvePartition(id));
    assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Done));
    cluster.wait("its end", |cluster| all.iter().all(|node| cluster.partitions(*node).is_empty()));
    cluster.exchange(&all, (ChannelId::DEFAULT, None));
    cluster.crash(3);
    cluster.wait("its loss", |cluster| is_overlay(cluster, &[0, 1, 2], 5));
}

fn hpv_nobody_keeps_the_leaver_and_it_may_come_back(cluster: &mut impl Cluster) {
    form(cluster, 8, &sized(3), 3);
    let asked = cluster.ask(3, Command::Leave);
    assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Done));
    let rest = [0, 1, 2, 4, 5, 6, 7];
    cluster.wait("an overlay without it", |cluster| {
        is_overlay(cluster, &rest, 3) && cluster.members(3).len() == 1
    });
    cluster.rest();
    assert!(rest.iter().all(|node| !cluster.knows(*node, 3)), "nothing brings it back");
    cluster.join(3, 0);
    let all = Vec::from_iter(0..8);
    cluster.wait("an overlay with it", |cluster| is_overlay(cluster, &all, 3));
}

fn hpv_a_restarted_node_has_its_place_again(cluster: &mut impl Cluster) {
    form(cluster, 8, &sized(3), 3);
    let all = Vec::from_iter(0..8);
    for new_address in [false, true] {
        cluster.crash(5);
        cluster.restart(5, Restart { keep_state: true, new_address });
        // From what it stored, without a contact.
        cluster.wait("an overlay with it", |cluster| is_overlay(cluster, &all, 3));
    }
    cluster.crash(5);
    cluster.restart(5, Restart { keep_state: false, new_address: true });
    cluster.join(5, 0);
    cluster.wait("an overlay with its third life", |cluster| is_overlay(cluster, &all, 3));
    let life = cluster.members(5).into_iter().find(|member| member.spec.id() == cluster.id(5));
    let life = life.expect("itself").incarnation;
    let peer = active(cluster, 5).into_iter().next().expect("it has neighbours");
    let known = cluster.members(peer).into_iter().find(|member| member.spec.id() == cluster.id(5));
    assert_eq!(known.map(|member| member.incarnation), Some(life));
}

fn hpv_a_whole_cluster_starts_again_without_contacts(cluster: &mut impl Cluster) {
    form(cluster, 6, &sized(3), 3);
    let all = Vec::from_iter(0..6);
    cluster.rest();
    all.iter().for_each(|node| cluster.crash(*node));
    for node in &all {
        cluster.restart(*node, Restart { keep_state: true, new_address: false });
    }
    cluster.wait("an overlay", |cluster| is_overlay(cluster, &all, 3));
}

/// What a node tells of members is its active view, at each moment.
fn hpv_members_come_and_go_with_the_active_view(cluster: &mut impl Cluster) {
    form(cluster, 8, &sized(3), 3);
    let all = Vec::from_iter(0..8);
    cluster.crash(2);
    cluster.crash(6);
    let rest = [0, 1, 3, 4, 5, 7];
    cluster.wait("an overlay", |cluster| is_overlay(cluster, &rest, 3));
    cluster.rest();
    cluster.wait("told", |cluster| {
        rest.iter().all(|node| {
            let notes = cluster.notifications(*node);
            let count = |of: &dyn Fn(&Notification) -> bool| notes.iter().filter(|n| of(n)).count();
            all.iter().filter(|peer| *peer != node).all(|peer| {
                let id = cluster.id(*peer);
                let came = count(&|note| is_joined(note, id));
                let left = |note: &Notification| *note == Notification::MemberLeft { node: id };
                let present = came.checked_sub(count(&left));
                present == Some(usize::from(cluster.knows(*node, *peer)))
            })
        })
    });
}

/// Everybody joined a moment ago, through the one before: who has few neighbours as yet must know
/// somebody else already when those die together.
fn hpv_a_young_overlay_outlives_the_death_of_two_nodes_in_five(cluster: &mut impl Cluster) {
    cluster.start(50, &with(HyParViewConfig::default()));
    for node in 1..50 {
        let asked = cluster.sync_join(node, node - 1, Duration::from_secs(60));
        assert!(matches!(cluster.wait_for_answer(asked), Ok(Answer::Joined(_))));
    }
    let all = Vec::from_iter(0..50);
    cluster.wait("an overlay", |cluster| is_overlay(cluster, &all, 5));
    // All neighbours of those who have fewest.
    let mut by_degree: Vec<_> = all.iter().map(|node| (active(cluster, *node), *node)).collect();
    by_degree.sort_by_key(|(peers, _)| peers.len());
    let (mut dead, mut bereft) = (BTreeSet::new(), BTreeSet::new());
    for (peers, node) in by_degree {
        let apart = !dead.contains(&node) && peers.is_disjoint(&bereft);
        if apart && dead.union(&peers).count() <= 20 {
            dead.extend(peers);
            bereft.insert(node);
        }
    }
    dead.iter().for_each(|node| cluster.crash(*node));
    let rest: Vec<usize> = all.into_iter().filter(|node| !dead.contains(node)).collect();
    for node in &bereft {
        cluster.broadcast(*node, "default", "who is there?");
    }
    cluster.wait("it at all", |cluster| {
        let heard = |node, from| !cluster.heard(node, from).is_empty();
        rest.iter().all(|node| bereft.iter().all(|from| heard(*node, *from)))
    });
}

/// V14: parts that could not reach each other for half an hour have forgotten each other in all
/// views, small ones altogether; what they could not reach is in their address books.
#[test]
fn hpv_parts_are_one_overlay_within_ten_cycles_after_half_an_hour_apart() {
    for (seed, sizes) in [(0, [20, 20, 0]), (1, [35, 5, 0]), (2, [30, 7, 3]), (3, [36, 3, 1])] {
        let mut cluster = Simulated::new(seed);
        form(&mut cluster, 40, &with(HyParViewConfig::default()), 5);
        cluster.rest();
        let mut nodes = 0..40;
        let parts = sizes.map(|size| Vec::from_iter(nodes.by_ref().take(size)));
        cluster.world.partition(&parts.each_ref().map(Vec::as_slice));
        cluster.world.run_for(Duration::from_secs(30 * 60));
        for part in parts.iter().filter(|part| !part.is_empty()) {
            let apart = part
                .iter()
                .all(|node| active(&cluster, *node).iter().all(|peer| part.contains(peer)));
            assert!(apart && is_overlay(&cluster, part, 5), "seed {seed}: {part:?} is one");
        }
        cluster.world.heal();
        cluster.world.run_for(10 * HyParViewConfig::default().shuffle_interval);
        let all = Vec::from_iter(0..40);
        assert!(is_overlay(&cluster, &all, 5), "seed {seed}: parts of {sizes:?} are not one");
    }
}

/// The sum of what links cost: one inside a zone, a hundred across.
fn total_cost(cluster: &Simulated, nodes: usize) -> u64 {
    let latency = Latency::zones();
    let links = (0..nodes).flat_map(|node| {
        active(cluster, node)
            .into_iter()
            .filter(move |peer| *peer > node)
            .map(move |peer| (node, peer))
    });
    links.map(|(a, b)| if latency.region(a) == latency.region(b) { 1 } else { 100 }).sum()
}

#[test]
fn xbot_converges_to_a_cheaper_overlay_whose_cost_never_rises() {
    for seed in 0..4 {
        let mut cluster = Simulated::with_latency(seed, Latency::zones());
        let xbot = XBotConfig { interval: Duration::from_secs(5), ..XBotConfig::default() };
        let config = with(HyParViewConfig {
            active_size: 4,
            xbot: Some(xbot),
            ..HyParViewConfig::default()
        });
        form(&mut cluster, 30, &config, 4);
        let all = Vec::from_iter(0..30);
        let degree =
            |cluster: &Simulated| (0..30).map(|node| active(cluster, node).len()).sum::<usize>();
        cluster.wait("full views", |cluster| degree(cluster) >= 116);
        let (first, mut last, mut links) = (total_cost(&cluster, 30), u64::MAX, 0);
        for _ in 0..10 {
            // No exchange is half-way when everybody has his neighbours on both sides.
            cluster.wait("an overlay", |cluster| {
                is_overlay(cluster, &all, 4) && degree(cluster) >= links
            });
            let (cost, now) = (total_cost(&cluster, 30), degree(&cluster));
            assert!(now > links || cost <= last, "seed {seed}: {cost} after {last}");
            (last, links) = (cost, now);
            cluster.rest();
        }
        assert!(last * 10 < first * 7, "seed {seed}: {last} of {first}");
    }
}
