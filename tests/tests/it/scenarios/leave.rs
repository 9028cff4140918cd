//! Leaving, and being made to.

use partisan_proto::{Answer, ChannelId, ChannelOptions, Channels, Command, Config, Notification};
use partisan_tests::{Cluster, Restart, Simulated, is_down, is_joined, simulated};

on_both_and_with_faults! {
    remote_leave_converges: 24, nodes 5;
    self_leave_converges: 24, nodes 5;
}

on_both! {
    no_resurrection_by_stale_gossip: 24;
    rejoin_same_identity: 16;
    rejoin_again_and_again: 4;
    leaving_alone_changes_nothing: 4;
    the_left_are_not_dialled_any_more: 12;
    last_words_arrive: 32;
}

/// The last node is removed by another; it learns of it and goes on alone, as a new incarnation.
fn remote_leave_converges(cluster: &mut impl Cluster) {
    cluster.form(5, &Config::default());
    let before = cluster.members(0);
    let asked = cluster.remove(2, 4);
    assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Done));
    cluster.wait_for_mesh(&[0, 1, 2, 3]);
    cluster.wait_for_mesh(&[4]);
    let told = |note: &Notification| matches!(note, Notification::Removed { .. });
    cluster.wait_for_note(4, "news of the removal", told);
    let id = cluster.id(4);
    let old = before.iter().find(|member| member.spec.id() == id);
    let alone = cluster.members(4);
    assert!(alone[0].incarnation > old.unwrap().incarnation);
}

fn self_leave_converges(cluster: &mut impl Cluster) {
    cluster.form(5, &Config::default());
    let asked = cluster.ask(2, Command::Leave);
    assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Done));
    cluster.wait_for_mesh(&[0, 1, 3, 4]);
    cluster.wait_for_mesh(&[2]);
    let removed = |note: &Notification| matches!(note, Notification::Removed { .. });
    let notes = cluster.notifications(2);
    assert!(!notes.iter().any(removed), "nobody made it leave");
}

/// P2: a member that was away when a node left comes back with the stored membership of before.
fn no_resurrection_by_stale_gossip(cluster: &mut impl Cluster) {
    cluster.form(4, &Config::default());
    cluster.rest();
    cluster.crash(2);
    let gone = cluster.id(2);
    cluster.wait_for_note(0, "a down", |note| is_down(note, gone));
    cluster.ask(3, Command::Leave);
    cluster.wait("the leave", |cluster| (0..2).all(|node| !cluster.knows(node, 3)));
    cluster.restart(2, Restart { keep_state: true, new_address: false });
    cluster.wait_for_mesh(&[0, 1, 2]);
    cluster.rest();
    assert!(cluster.is_mesh(&[0, 1, 2]) && cluster.is_mesh(&[3]));
    for node in 0..2 {
        let id = cluster.id(3);
        let notes = cluster.notifications(node);
        let joined = notes.iter().filter(|note| is_joined(note, id)).count();
        assert_eq!(joined, 1, "node {node} never took it in again");
    }
}

fn rejoin_same_identity(cluster: &mut impl Cluster) {
    cluster.form(4, &Config::default());
    cluster.ask(3, Command::Leave);
    cluster.wait_for_mesh(&[0, 1, 2]);
    cluster.join(3, 0);
    cluster.wait_for_mesh(&[0, 1, 2, 3]);
    cluster.exchange(&[0, 1, 2, 3], (ChannelId::DEFAULT, None));
}

/// Each time through another member, and without waiting until the others know of the leave.
fn rejoin_again_and_again(cluster: &mut impl Cluster) {
    cluster.form(3, &Config::default());
    for round in 0..20 {
        cluster.ask(2, Command::Leave);
        cluster.join(2, round % 2);
        cluster.wait_for_mesh(&[0, 1, 2]);
    }
    cluster.exchange(&[0, 1, 2], (ChannelId::DEFAULT, None));
}

fn leaving_alone_changes_nothing(cluster: &mut impl Cluster) {
    cluster.start(1, &Config::default());
    let before = cluster.members(0);
    let asked = cluster.ask(0, Command::Leave);
    assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Done));
    assert_eq!(cluster.members(0), before);
}

/// Both sides have closed everything, each member with one down, and nobody dials.
fn the_left_are_not_dialled_any_more(cluster: &mut impl Cluster) {
    cluster.form(4, &Config::default());
    cluster.ask(3, Command::Leave);
    cluster.wait_for_mesh(&[0, 1, 2]);
    cluster.wait_for_mesh(&[3]);
    let dialled = |cluster: &_| Vec::from_iter((0..4).map(|node| dials(cluster, node)));
    let before = dialled(cluster);
    cluster.rest();
    assert_eq!(dialled(cluster), before);
    let id = cluster.id(3);
    for node in 0..3 {
        let notes = cluster.notifications(node);
        assert_eq!(notes.iter().filter(|note| is_down(note, id)).count(), 1);
        assert!(cluster.connections(node).iter().all(|info| info.peer != id));
    }
    assert!(cluster.connections(3).is_empty());
}

/// What a node sends before it leaves arrives, on every lane, although news of the leave may come
/// first, from itself or from others.
fn last_words_arrive(cluster: &mut impl Cluster) {
    let bulk = ChannelOptions::lanes(2);
    let channels = Channels::new([("bulk".parse().unwrap(), bulk)]).unwrap();
    let config = Config { channels, ..Config::default() };
    cluster.form(4, &config);
    let bulk = config.channels.id("bulk").unwrap();
    for number in 0..60 {
        for to in 0..3 {
            let channel = if number % 3 == 0 { ChannelId::DEFAULT } else { bulk };
            cluster.send(3, to, (channel, Some(number)), &format!("word {number}"));
        }
    }
    cluster.ask(3, Command::Leave);
    cluster.wait_for_mesh(&[0, 1, 2]);
    let gone = cluster.id(3);
    for node in 0..3 {
        cluster.wait_for_note(node, "the end of the session", |note| is_down(note, gone));
        let words = cluster.deliveries(node);
        assert_eq!(words.iter().filter(|word| word.from == gone).count(), 60);
    }
}

fn dials(cluster: &impl Cluster, node: usize) -> u64 {
    cluster.counters(node).dialled
}

/// As the first of these, with a member that stood still in the meantime and has gossip of before
/// under way.
#[test]
fn no_resurrection_by_a_slow_node() {
    simulated(0..24, |cluster: &mut Simulated| {
        cluster.form(4, &Config::default());
        cluster.world.pause(2);
        cluster.ask(3, Command::Leave);
        let left = |cluster: &Simulated| !cluster.knows(0, 3) && !cluster.knows(1, 3);
        cluster.wait("the leave", left);
        cluster.world.resume(2);
        cluster.wait_for_mesh(&[0, 1, 2]);
        cluster.rest();
        assert!(cluster.is_mesh(&[0, 1, 2]) && cluster.is_mesh(&[3]));
    });
}
