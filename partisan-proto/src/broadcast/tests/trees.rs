//! How trees come into being, and what they cost.

use alloc::vec::Vec;
use core::time::Duration;

use super::net::{Net, ms, payloads};
use crate::wire::{Bounded, Heartbeat, PlumtreeMessage};

/// Any graph of eight nodes with cycles.
const GRAPH: [(usize, usize); 12] = [
    (0, 1),
    (1, 2),
    (2, 3),
    (3, 4),
    (4, 5),
    (5, 6),
    (6, 7),
    (7, 0),
    (0, 4),
    (1, 5),
    (2, 6),
    (3, 7),
];

fn graph() -> Net {
    let mut net = Net::new(8);
    net.connect_all(&GRAPH);
    net
}

#[test]
fn the_second_broadcast_costs_one_payload_for_each_node_and_nothing_is_asked_for() {
    let mut net = graph();
    let first = net.broadcast(0);
    net.pass(ms(3_000));
    assert_eq!(net.receivers(first), net.all());
    net.assert_spanning(0);
    for sender in [0, 5, 2, 0] {
        net.take_log();
        let before = net.counters();
        let id = net.broadcast(sender);
        net.pass(ms(3_000));
        assert_eq!(net.receivers(id), net.all());
        assert_eq!(payloads(&net.log), 7, "S4");
        let after = net.counters();
        assert_eq!((after.grafts, after.prunes), (before.grafts, before.prunes));
        net.assert_spanning(sender);
    }
}

/// S1: the only child that there was may say first that it is none any more.
#[test]
fn a_link_that_stayed_eager_as_the_last_one_becomes_lazy_once_there_is_another() {
    let mut net = Net::new(3);
    net.connect_all(&[(0, 1), (0, 2)]);
    net.filter = alloc::boxed::Box::new(|_, _, _| false);
    net.broadcast(0);
    let root = net.peers[0].me.instance;
    let say = |net: &mut Net, from: usize, number, parent| {
        let heartbeat = Heartbeat { root, own: false, number, hops: 1, parent };
        let list = Bounded::from_first([heartbeat]);
        net.forge(from, 0, PlumtreeMessage::Heartbeats(list));
    };
    let eager = |net: &Net| {
        let nodes = net.peers[0].engine().shared.nodes(true);
        nodes.map(|node| net.number(node)).collect::<Vec<_>>()
    };
    say(&mut net, 2, 1, false);
    say(&mut net, 1, 1, true);
    assert_eq!(eager(&net), [1]);
    net.pass(Duration::from_secs(10));
    assert_eq!(net.peers[0].engine().shared.number, 2, "the next heartbeat");
    say(&mut net, 1, 2, false);
    assert_eq!(eager(&net), [1], "never without any");
    say(&mut net, 2, 2, true);
    assert_eq!(eager(&net), [2]);
}

/// Its greeting says that nobody is its parent, and must not make lazy what it grafts.
#[test]
fn a_node_that_comes_back_by_one_new_link_is_in_the_tree_at_once() {
    let mut net = Net::new(5);
    net.connect_all(&[(0, 1), (1, 2), (2, 3), (0, 4)]);
    net.broadcast(0);
    net.pass(ms(1_000));
    net.assert_spanning(0);
    net.disconnect(0, 4);
    net.connect(3, 4);
    net.pass(ms(500));
    net.assert_spanning(0);
    let id = net.broadcast(0);
    net.take_log();
    net.pass(ms(500));
    assert_eq!(net.receivers(id), net.all());
    assert_eq!(net.counters().grafts, 0, "nobody has to ask for it");
}
