//! Nodes that come back, and neighbours that come and go.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::config;
use super::net::{Net, ms, plumtree};
use super::rules::mesh;
use crate::change::Change;
use crate::config::OwnTrees;
use crate::error::CloseReason;
use crate::id::{Incarnation, Instance, NodeId};
use crate::wire::{Bounded, Heartbeat, PlumtreeMessage};

/// D3: a new life knows nothing of what the one before sent.
#[test]
fn who_comes_back_gets_its_own_messages_of_the_life_before() {
    let mut net = Net::new(3);
    net.connect_all(&[(0, 1), (1, 2), (0, 2)]);
    let id = net.broadcast(0);
    net.pass(ms(500));
    net.disconnect(0, 1);
    net.disconnect(0, 2);
    net.restart(0);
    assert_eq!(net.receivers(id), [1, 2]);
    net.connect(0, 1);
    net.pass(Duration::from_secs(1));
    assert_eq!(net.receivers(id), [0, 1, 2]);
    assert_eq!(net.counters().forged, 0);
}

/// The same where the message is on its way when its sender comes back.
#[test]
fn who_comes_back_is_sent_its_own_messages_of_the_life_before_by_the_tree() {
    let mut net = Net::new(3);
    net.connect_all(&[(0, 1), (1, 2)]);
    net.broadcast(2);
    net.pass(Duration::from_secs(1));
    net.disconnect(0, 1);
    net.set_delay(1, 2, ms(400));
    net.connect(0, 2);
    let id = net.broadcast(0);
    net.pass(ms(50));
    net.disconnect(0, 2);
    net.restart(0);
    net.connect(0, 1);
    net.pass(ms(380));
    assert_eq!(net.receivers(id), [0, 1, 2]);
}

/// Who left and joined again is a way for what it had before, and is not handed it again.
#[test]
fn who_leaves_and_joins_again_relays_what_it_had_before() {
    let mut net = Net::new(3);
    net.connect(0, 1);
    let id = net.broadcast(0);
    net.pass(ms(500));
    net.disconnect(0, 1);
    net.peers[1].me.instance.incarnation = Incarnation(2);
    net.run(1, |part, cx| part.change(cx, &Change::Reborn { reason: CloseReason::Left }));
    net.connect_all(&[(0, 1), (1, 2)]);
    net.pass(Duration::from_secs(2));
    assert_eq!(net.receivers(id), [0, 1, 2]);
    assert_eq!(net.peers[1].delivered.len(), 1);
}

/// The anchor sends along the shared tree, and nobody thinks otherwise.
#[test]
fn who_becomes_the_anchor_has_no_tree_of_its_own() {
    let mut net = Net::with(2, config(|broadcast| broadcast.own_trees = OwnTrees::Always));
    net.connect(0, 1);
    let sender = (0..2).min_by_key(|number| net.id(*number)).unwrap();
    let anchor = 1 - sender;
    net.broadcast(anchor);
    net.pass(Duration::from_secs(1));
    let send = |net: &mut Net, times| {
        for _ in 0..times {
            net.broadcast(sender);
            net.pass(Duration::from_secs(5));
        }
    };
    let trees = |net: &Net| [0, 1].map(|n| net.peers[n].part.tree(net.id(sender)).own);
    send(&mut net, 3);
    assert_eq!(trees(&net), [true; 2]);
    // The anchor falls silent, and the other takes its place.
    net.filter = Box::new(move |from, _, frame| {
        let log = [(from, sender, frame.clone())];
        let beats = matches!(plumtree(&log)[..], [(_, _, PlumtreeMessage::Heartbeats(_))]);
        from != anchor || !beats
    });
    send(&mut net, 15);
    let root = net.peers[anchor].part.tree(net.id(anchor)).root;
    assert_eq!((root, trees(&net)), (Some(net.id(sender)), [false; 2]));
}

/// An anchor that became idle is none; who still takes it for one hears of another in time.
#[test]
fn another_anchor_is_heard_once_the_one_before_misses_a_heartbeat() {
    let mut net = Net::new(2);
    net.connect(0, 1);
    let beat = |node: u64, number| {
        let root = Instance { node: NodeId::from_u64(node), incarnation: Incarnation(1) };
        let heartbeat = Heartbeat { root, own: false, number, hops: 3, parent: false };
        PlumtreeMessage::Heartbeats(Bounded::from_first([heartbeat]))
    };
    let root = |net: &Net| net.peers[0].engine().shared.root.map(|root| root.node.as_u64());
    net.forge(1, 0, beat(1, 1));
    net.pass(Duration::from_secs(12));
    net.forge(1, 0, beat(2, 1));
    assert_eq!(root(&net), Some(1), "it may be late");
    net.pass(Duration::from_secs(4));
    net.forge(1, 0, beat(2, 2));
    assert_eq!(root(&net), Some(2));
    net.forge(1, 0, beat(1, 2));
    assert_eq!(root(&net), Some(1), "it was late");
}

/// What is left of many neighbours are links.
#[test]
fn neighbours_that_become_few_are_links_all() {
    let mut net = Net::with(7, config(|broadcast| broadcast.max_links = 4));
    net.connect_all(&mesh(7));
    net.broadcast(1);
    net.pass(Duration::from_secs(1));
    let is_link = |net: &Net, number: usize| {
        let id = net.id(number);
        net.peers[0].engine().links.contains(id)
    };
    let (links, others): (Vec<_>, Vec<_>) = (1..7).partition(|number| is_link(&net, *number));
    // The one that goes last is none.
    net.disconnect(0, links[0]);
    net.disconnect(0, others[0]);
    let left = (1..7).filter(|number| *number != links[0] && *number != others[0]);
    for number in left {
        assert!(is_link(&net, number), "{number} of {links:?} and {others:?}");
    }
}

/// Nothing that its new life sends uses them.
#[test]
fn the_tree_of_an_older_life_is_forgotten_at_once() {
    let mut net = Net::new(2);
    net.connect(0, 1);
    let root = |life| Instance { node: net.peers[1].me.instance.node, incarnation: life };
    let beat = |life, own, number| {
        let root = root(Incarnation(life));
        let heartbeat = Heartbeat { root, own, number, hops: 0, parent: false };
        PlumtreeMessage::Heartbeats(Bounded::from_first([heartbeat]))
    };
    let beats: Vec<_> = [beat(1, true, 1), beat(2, false, 1), beat(1, true, 2)].into();
    let known = |net: &Net| net.peers[0].engine().own.len();
    let [first, newer, late]: [PlumtreeMessage; 3] = beats.try_into().unwrap();
    net.forge(1, 0, first);
    assert_eq!(known(&net), 1);
    net.forge(1, 0, newer);
    assert_eq!((known(&net), net.peers[0].part.tree(net.id(1)).own), (0, false));
    net.forge(1, 0, late);
    assert_eq!(known(&net), 0, "news of the past");
}

/// Between the first node that forgets a tree and the last one some time passes, and neighbours may
/// come then.
#[test]
fn a_tree_that_its_root_renews_no_more_is_not_brought_back_by_who_still_knows_it() {
    let mut net = Net::with(4, config(|broadcast| broadcast.own_trees = OwnTrees::Always));
    net.connect_all(&[(0, 1), (1, 2)]);
    net.broadcast(1);
    net.pass(Duration::from_secs(1));
    for _ in 0..2 {
        net.broadcast(0);
        net.pass(Duration::from_secs(4));
    }
    net.connect(1, 3);
    net.pass(Duration::from_secs(1));
    let knowing = |net: &Net| {
        let knows = |number: &usize| net.peers[*number].part.tree(net.id(0)).own;
        (0..4).filter(knows).collect::<Vec<_>>()
    };
    assert_eq!(knowing(&net), [0, 1, 2, 3]);
    while knowing(&net).contains(&2) == knowing(&net).contains(&3) {
        net.pass(ms(100));
    }
    net.connect(2, 3);
    net.pass(Duration::from_secs(40));
    assert!(knowing(&net).is_empty());
}
