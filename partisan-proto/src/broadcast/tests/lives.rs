//! Nodes that come back, and neighbours that come and go.

use alloc::vec::Vec;
use core::time::Duration;

use super::config;
use super::net::{Net, ms};
use super::rules::mesh;
use crate::id::{Incarnation, Instance};
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
