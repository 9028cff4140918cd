//! What peers may send against the rules: bounded work, bounded memory, no harm to trees.

use alloc::vec::Vec;

use super::config;
use super::net::{Net, message, ms, plumtree};
use crate::id::{Incarnation, Instance, MessageId, NodeId};
use crate::time::Duration;
use crate::wire::{
    Announcement, Bounded, Graft, Heartbeat, Holdings, MAX_ANNOUNCED, PlumtreeMessage, Range,
    TreeId, Wanted,
};

fn invented(number: u64) -> MessageId {
    let origin = Instance { node: NodeId::from_u64(4_000 + number), incarnation: Incarnation(1) };
    MessageId { origin, sequence: 1 + number }
}

fn announcing(ids: impl IntoIterator<Item = MessageId>) -> PlumtreeMessage {
    let announce = |id| Announcement { id, hops: 1, own: false, subject: None };
    PlumtreeMessage::IHave(Bounded::from_first(ids.into_iter().map(announce)))
}

fn asking(ids: impl IntoIterator<Item = MessageId>) -> PlumtreeMessage {
    let wanted = Bounded::from_first(ids.into_iter().map(|id| Wanted { id, subject: None }));
    PlumtreeMessage::Graft(Graft { tree: Some(TreeId::Shared), wanted }.into())
}

fn beat(root: Instance, number: u64) -> PlumtreeMessage {
    let heartbeat = Heartbeat { root, own: false, number, hops: 0, parent: false };
    PlumtreeMessage::Heartbeats(Bounded::from_first([heartbeat]))
}

/// Three nodes in a row that broadcast, and one that is no neighbour of theirs.
fn row() -> Net {
    let mut net = Net::new(4);
    net.connect_all(&[(0, 1), (1, 2)]);
    net.broadcast(0);
    net.pass(Duration::from_secs(3));
    net
}

/// Checklist B3, T4, T8, G10.
#[test]
fn who_is_no_neighbour_changes_no_tree() {
    let mut net = row();
    let before = net.peers[1].engine().shared.clone();
    let root = net.peers[3].me.instance;
    net.take_log();
    net.forge(3, 1, PlumtreeMessage::Prune(TreeId::Shared));
    net.forge(3, 1, asking([invented(1)]));
    net.forge(3, 1, announcing([invented(2)]));
    net.forge(3, 1, beat(root, 1));
    net.forge(3, 1, PlumtreeMessage::NotFound(Bounded::from_first([invented(2)])));
    let ranges = Bounded::from_first([Range { origin: root, first: 1, last: 9 }]);
    net.forge(3, 1, PlumtreeMessage::Holdings(Holdings { answer: true, ranges }));
    assert_eq!(net.peers[1].engine().shared, before);
    assert_eq!(net.peers[1].engine().missing.len(), 0);
    assert!(net.log.is_empty(), "{:?}", net.log);
}

/// G10: a session is enough to hand a message over, not to be in a tree.
#[test]
fn a_message_of_a_peer_that_is_no_neighbour_is_delivered_and_changes_no_tree() {
    let mut net = row();
    let before: Vec<_> = net.peers[1].engine().shared.nodes(true).collect();
    let forged = message(99, 1);
    net.forge_message(3, 1, forged.clone());
    net.pass(Duration::from_secs(1));
    assert_eq!(net.receivers(forged.id), [0, 1, 2]);
    assert_eq!(net.peers[1].engine().shared.nodes(true).collect::<Vec<_>>(), before);
}

/// Checklist B17.
#[test]
fn messages_in_a_nodes_own_name_are_forged() {
    let mut net = row();
    let me = net.peers[1].me.instance;
    for (incarnation, sequence) in [(me.incarnation.0, 77), (me.incarnation.0 + 1, 1)] {
        let mut forged = message(0, sequence);
        forged.id.origin = Instance { node: me.node, incarnation: Incarnation(incarnation) };
        net.forge_message(0, 1, forged);
    }
    let mut zero = message(99, 1);
    zero.id.sequence = 0;
    net.forge_message(0, 1, zero);
    net.forge(0, 1, beat(me, u64::MAX));
    assert_eq!(net.peers[1].part.counters().forged, 4);
    assert_eq!(net.peers[1].delivered.len(), 1);
}

/// Checklist B17, E5, G9.
#[test]
fn announcements_of_messages_that_do_not_exist_are_bounded_and_end() {
    let mut net = Net::with(3, config(|broadcast| broadcast.max_missing = 64));
    net.connect_all(&[(0, 1), (1, 2), (2, 0)]);
    net.broadcast(0);
    net.pass(Duration::from_secs(2));
    for part in 0..20 {
        let ids = (0..MAX_ANNOUNCED as u64).map(|n| invented(part * 1_000 + n));
        net.forge(0, 1, announcing(ids));
    }
    assert_eq!(net.peers[1].engine().missing.len(), 16, "a quarter is one neighbour's");
    let good = net.broadcast(2);
    net.pass(Duration::from_secs(2));
    assert_eq!(net.receivers(good), net.all());
    net.pass(Duration::from_secs(120));
    assert_eq!(net.peers[1].engine().missing.len(), 0, "given up");
}

/// Checklist B17.
#[test]
fn asking_for_messages_that_do_not_exist_is_answered_once() {
    let mut net = row();
    net.take_log();
    net.forge(0, 1, asking((0..100).map(invented)));
    net.pass(Duration::from_secs(5));
    let answers = plumtree(&net.log).into_iter().filter_map(|(from, _, message)| match message {
        PlumtreeMessage::NotFound(list) => Some((from, list.len())),
        _ => None,
    });
    assert_eq!(answers.collect::<Vec<_>>(), [(1, 100)]);
}

/// Checklist B17: whoever prunes all the time harms itself alone.
#[test]
fn a_flood_of_prunes_leaves_the_others_their_tree() {
    let mut net = Net::new(4);
    net.connect_all(&[(0, 1), (1, 2), (1, 3), (2, 3)]);
    net.broadcast(0);
    net.pass(Duration::from_secs(3));
    for _ in 0..1_000 {
        net.forge(3, 1, PlumtreeMessage::Prune(TreeId::Shared));
        net.forge(3, 2, PlumtreeMessage::Prune(TreeId::Shared));
        let root = TreeId::Own(net.peers[3].me.instance);
        net.forge(3, 1, PlumtreeMessage::Prune(root));
    }
    let id = net.broadcast(0);
    net.pass(Duration::from_secs(5));
    assert_eq!(net.receivers(id), net.all());
}

/// Checklist B17: a range may be as long as numbers go.
#[test]
fn holdings_without_end_cost_as_much_as_there_is_room() {
    let mut net = Net::with(3, config(|broadcast| broadcast.max_missing = 32));
    net.connect_all(&[(0, 1), (1, 2)]);
    net.broadcast(0);
    net.pass(Duration::from_secs(2));
    let range = |number| Range { origin: invented(number).origin, first: 1, last: u64::MAX };
    let ranges = Bounded::from_first((0..50).map(range));
    net.forge(0, 1, PlumtreeMessage::Holdings(Holdings { answer: true, ranges }));
    assert!(net.peers[1].engine().missing.len() <= 32);
    net.pass(Duration::from_secs(120));
    assert_eq!(net.peers[1].engine().missing.len(), 0);
}

/// Checklist B17, E5: heartbeats of roots that do not exist.
#[test]
fn invented_roots_take_no_more_room_than_there_is() {
    let mut net = Net::with(3, config(|broadcast| broadcast.max_own_trees = 8));
    net.connect_all(&[(0, 1), (1, 2)]);
    net.broadcast(0);
    net.pass(Duration::from_secs(2));
    for number in 0..500 {
        let root = invented(number).origin;
        let heartbeat =
            Heartbeat { root, own: true, number: u64::MAX, hops: u8::MAX, parent: true };
        net.forge(0, 1, PlumtreeMessage::Heartbeats(Bounded::from_first([heartbeat])));
    }
    assert_eq!(net.peers[1].engine().own.len(), 8);
    let id = net.broadcast(2);
    net.pass(Duration::from_secs(5));
    assert_eq!(net.receivers(id), net.all());
    net.pass(Duration::from_secs(400));
    assert_eq!(net.peers[1].engine().own.len(), 0);
}

/// Checklist B17: an anchor that does not exist is silent, and then it is none.
#[test]
fn an_invented_anchor_is_replaced() {
    let mut net = row();
    let lowest = Instance { node: NodeId::from_u64(1), incarnation: Incarnation(u64::MAX) };
    net.forge(0, 1, beat(lowest, u64::MAX));
    net.pass(ms(100));
    assert_eq!(net.peers[1].engine().shared.root, Some(lowest));
    for _ in 0..20 {
        let id = net.broadcast(0);
        net.pass(Duration::from_secs(4));
        assert_eq!(net.receivers(id), [0, 1, 2]);
    }
    assert_ne!(net.peers[1].engine().shared.root, Some(lowest));
}

/// Checklist B10, T3: the cache is full, and asking ends.
#[test]
fn what_nobody_keeps_any_more_is_given_up() {
    let mut net = Net::with(3, config(|broadcast| broadcast.cache.messages = 4));
    net.connect(0, 1);
    let ids: Vec<_> = (0..10).map(|_| net.broadcast(0)).collect();
    net.pass(Duration::from_secs(2));
    assert_eq!(net.peers[1].part.counters().crowded_out, 6);
    net.connect(1, 2);
    net.pass(Duration::from_secs(30));
    let got: Vec<_> = ids.iter().filter(|id| net.receivers(**id).contains(&2)).collect();
    assert_eq!(got, ids[6..].iter().collect::<Vec<_>>(), "what is kept");
    let after = net.broadcast(0);
    net.pass(Duration::from_secs(2));
    assert_eq!(net.receivers(after), net.all());
}
