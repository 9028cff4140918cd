//! Slow ways and full ones: nobody waits for who is slow, and that one is not made slower still.

use alloc::vec::Vec;

use super::config;
use super::net::{Net, Peer, ms};
use crate::config::Config;
use crate::notification::Notification;
use crate::time::Duration;
use crate::wire::{Bounded, Graft, PlumtreeMessage, TreeId};

/// The ways by which node 3 gets the messages of node 0.
const WAYS: [(usize, usize); 2] = [(1, 3), (2, 3)];

/// Four nodes, the last of which has two ways to the first, and a tree that uses one of them.
fn two_ways(config: Config) -> Net {
    let mut net = Net::with(4, config);
    net.connect_all(&[(0, 1), (0, 2)]);
    net.connect_all(&WAYS);
    net.broadcast(0);
    net.pass(Duration::from_secs(3));
    net
}

/// Checklist B16: by a slow way answers take longer than a round trip did when it was measured. Who
/// asks the next one too soon gets everything several times, and makes the way slower still.
#[test]
fn who_answers_slowly_is_given_the_time() {
    let mut net = two_ways(Config::default());
    WAYS.iter().for_each(|(from, to)| net.slow_down(*from, *to, ms(800)));
    let duplicates = |net: &Net| net.peers[3].part.counters().duplicates;
    let mut after = Vec::new();
    for _ in 0..20 {
        WAYS.iter().for_each(|(from, to)| net.congest(*from, *to, true));
        let id = net.broadcast(0);
        net.pass(ms(100));
        WAYS.iter().for_each(|(from, to)| net.congest(*from, *to, false));
        net.pass(Duration::from_secs(20));
        assert_eq!(net.receivers(id), net.all());
        after.push(duplicates(&net));
    }
    assert!(after[2] > 0, "it has to learn: {after:?}");
    assert_eq!(after[19], after[4], "and learns: {after:?}");
}

/// Checklist B16: a tree that stands is not mended with a second way, by which all would come twice.
#[test]
fn a_way_that_is_full_is_left_for_one_that_is_not() {
    let mut net = two_ways(Config::default());
    let eager = |net: &Net| net.peers[3].engine().shared.nodes(true).collect::<Vec<_>>();
    let parent = net.peers[3].engine().shared.parent.unwrap();
    assert_eq!(eager(&net), [parent]);
    net.congest(net.number(parent), 3, true);
    let first = net.broadcast(0);
    net.pass(Duration::from_secs(1));
    assert_eq!(net.receivers(first), net.all());
    let other = net.id(3 - net.number(parent));
    assert_eq!(eager(&net), [other]);
    let before = net.counters().duplicates;
    for _ in 0..20 {
        let id = net.broadcast(0);
        net.pass(ms(25));
        assert_eq!(net.receivers(id), net.all(), "by itself");
    }
    net.congest(net.number(parent), 3, false);
    net.pass(Duration::from_secs(20));
    assert_eq!(net.counters().duplicates, before);
}

/// A graft and a prune that cross leave one end eager and the other lazy, which nobody would mend until
/// the next heartbeat.
#[test]
fn a_graft_that_crossed_a_prune_is_pruned_when_it_brings_something() {
    let mut net = two_ways(Config::default());
    let other = 3 - net.number(net.peers[3].engine().shared.parent.unwrap());
    let graft = Graft { tree: Some(TreeId::Shared), wanted: Bounded::new() };
    net.forge(3, other, PlumtreeMessage::Graft(graft.into()));
    let is_eager = |net: &Net| net.peers[other].engine().shared.is_eager(net.id(3));
    assert!(is_eager(&net));
    let before = net.counters().duplicates;
    for _ in 0..3 {
        net.broadcast(0);
        net.pass(ms(200));
        assert!(!is_eager(&net));
    }
    assert_eq!(net.counters().duplicates, before + 1);
}

/// Checklist B16: who waited for a slow parent would have no room to note what is missing, and never
/// ask for it.
#[test]
fn nothing_is_waited_for_when_too_much_is_missing() {
    let tight = config(|broadcast| {
        broadcast.graft_timeout = Duration::from_secs(2);
        broadcast.max_missing = 16;
        broadcast.exchange.enabled = false;
    });
    let mut net = two_ways(tight);
    let parent = net.number(net.peers[3].engine().shared.parent.unwrap());
    net.slow_down(parent, 3, Duration::from_secs(20));
    let mut ids = Vec::new();
    for _ in 0..60 {
        ids.push(net.broadcast(0));
        net.pass(ms(20));
    }
    net.pass(Duration::from_secs(3));
    let lost: Vec<_> = ids.iter().filter(|id| net.receivers(**id) != net.all()).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

/// Checklist B16.
#[test]
fn who_takes_in_too_little_is_told_what_it_missed() {
    let mut net = two_ways(config(|broadcast| broadcast.cache.messages = 4));
    WAYS.iter().for_each(|(from, to)| net.congest(*from, *to, true));
    let ids: Vec<_> = (0..10).map(|_| net.broadcast(0)).collect();
    net.pass(ms(300));
    WAYS.iter().for_each(|(from, to)| net.congest(*from, *to, false));
    net.pass(Duration::from_secs(300));
    let (lost, kept) = ids.split_at(6);
    assert!(lost.iter().all(|id| net.receivers(*id) == [0, 1, 2]));
    assert!(kept.iter().all(|id| net.receivers(*id) == net.all()));
    let missed = |peer: &Peer| {
        let missed = peer.notifications.iter().map(|notification| match notification {
            Notification::BroadcastsMissed { origin, count } if *origin == ids[0].origin => *count,
            _ => 0,
        });
        missed.sum::<u64>()
    };
    assert_eq!(net.peers.iter().map(missed).collect::<Vec<_>>(), [0, 0, 0, 6]);
    assert_eq!(net.peers[3].part.counters().missed, 6);
}
