//! What a broadcast promises, rule by rule.

use alloc::vec;
use alloc::vec::Vec;

use super::config;
use super::net::{Net, handler, message, ms, payloads, plumtree};
use crate::broadcast::BroadcastCounters;
use crate::config::{HandlerOptions, OwnTrees};
use crate::error::CommandError;
use crate::id::HandlerName;
use crate::time::Duration;
use crate::wire::{Frame, PlumtreeMessage};

/// Everybody with everybody.
pub(super) fn mesh(nodes: usize) -> Vec<(usize, usize)> {
    (0..nodes).flat_map(|a| (a + 1..nodes).map(move |b| (a, b))).collect()
}

/// So many nodes in a ring.
fn ring(nodes: usize) -> Vec<(usize, usize)> {
    (0..nodes).map(|n| (n, (n + 1) % nodes)).collect()
}

/// Checklist B1, G14.
#[test]
fn equal_payloads_are_different_messages() {
    let mut net = Net::new(2);
    net.connect(0, 1);
    let (first, second) = (net.broadcast(0), net.broadcast(0));
    net.pass(ms(500));
    assert_ne!(first, second);
    assert_eq!(net.peers[1].delivered.len(), 2);
    assert_eq!(net.counters().prunes, 0, "nothing came twice");
}

/// Checklist B1.
#[test]
fn what_cannot_be_sent_is_refused_and_leaves_nothing() {
    let small = HandlerOptions { max_payload: 4, ..HandlerOptions::default() };
    let name = HandlerName::new("small").unwrap();
    let mut net = Net::with(2, config(|broadcast| _ = broadcast.handlers.insert(name, small)));
    net.connect(0, 1);
    let unknown = net.try_broadcast(0, handler("other"), b"1");
    assert!(matches!(unknown, Err(CommandError::UnknownHandler(_))), "{unknown:?}");
    let long = net.try_broadcast(0, handler("small"), b"12345");
    assert_eq!(long, Err(CommandError::BroadcastTooLarge { bytes: 5, most: 4 }));
    assert_eq!(net.try_broadcast(0, handler("small"), b"1234").unwrap().sequence, 1);
}

#[test]
fn a_sender_is_handed_its_own_messages_unless_it_wants_none() {
    let quiet = HandlerOptions { deliver_to_sender: false, ..HandlerOptions::default() };
    let name = HandlerName::new("quiet").unwrap();
    let mut net = Net::with(2, config(|broadcast| _ = broadcast.handlers.insert(name, quiet)));
    net.connect(0, 1);
    let loud = net.broadcast(0);
    let quiet = net.try_broadcast(0, handler("quiet"), b"1").unwrap();
    net.pass(ms(500));
    assert_eq!((net.receivers(loud), net.receivers(quiet)), (vec![0, 1], vec![1]));
}

/// Checklist B2. The net itself demands that nothing is delivered twice.
#[test]
fn an_old_message_is_not_delivered_again_however_late_it_comes() {
    let mut net = Net::new(3);
    net.connect_all(&ring(3));
    let id = net.broadcast(0);
    net.pass(ms(500));
    let old = net.peers[1].delivered[0].1.clone();
    for _ in 0..5 {
        net.pass(Duration::from_secs(3_600));
        net.forge_message(1, 2, (*old).clone());
        net.forge_message(1, 0, (*old).clone());
    }
    net.pass(Duration::from_secs(60));
    assert_eq!(net.receivers(id), [0, 1, 2]);
}

/// P8.
#[test]
fn messages_of_a_handler_that_a_node_lacks_are_relayed() {
    let extra = HandlerOptions::default();
    let name = HandlerName::new("extra").unwrap();
    let with = config(|broadcast| _ = broadcast.handlers.insert(name, extra));
    let mut net = Net::new(0);
    for (number, config) in [with.clone(), config(|_| ()), with].into_iter().enumerate() {
        net.add(config.into(), number);
    }
    net.connect_all(&[(0, 1), (1, 2)]);
    let id = net.try_broadcast(0, handler("extra"), b"1").unwrap();
    net.pass(ms(1_000));
    assert_eq!(net.receivers(id), [0, 2]);
    assert_eq!(net.peers[1].part.counters().unhandled, 1);
}

/// E3.
#[test]
fn no_payload_goes_back_to_whom_it_came_from() {
    let mut net = Net::new(6);
    net.connect_all(&mesh(6));
    net.broadcast(0);
    net.pass(ms(1_000));
    let mut came = Vec::new();
    for (from, to, frame) in net.take_log() {
        let Frame::Broadcast(message) = frame else { continue };
        assert_ne!(to, net.number(message.id.origin.node), "to its origin");
        if !came.iter().any(|(_, by)| *by == to) {
            came.push((from, to));
        }
        assert!(!came.contains(&(to, from)), "from {from} back to {to}");
    }
}

/// E6, G12.
#[test]
fn hops_that_are_as_many_as_can_be_stay_so() {
    let mut net = Net::new(3);
    net.connect_all(&[(0, 1), (1, 2)]);
    let mut far = message(99, 1);
    far.hops = u8::MAX;
    net.forge_message(0, 1, far);
    net.pass(ms(500));
    assert_eq!(net.peers[2].delivered[0].1.hops, u8::MAX);
}

/// Checklist B5, G11: what is collected is sent together, and not to who has it.
#[test]
fn announcements_are_sent_together_and_not_to_those_who_have_the_message() {
    let mut net = Net::new(4);
    net.connect_all(&mesh(4));
    net.broadcast(0);
    net.pass(Duration::from_secs(5));
    net.take_log();
    for _ in 0..50 {
        net.broadcast(0);
    }
    net.pass(ms(1_000));
    let announced = plumtree(&net.log).into_iter().filter_map(|(_, _, message)| match message {
        PlumtreeMessage::IHave(list) => Some(list.len()),
        _ => None,
    });
    let lists: Vec<_> = announced.collect();
    assert!(lists.iter().all(|list| *list == 50), "{lists:?}");
    assert!((1..=6).contains(&lists.len()), "{lists:?}");
    net.take_log();
    net.broadcast(0);
    net.disconnect(1, 2);
    net.disconnect(0, 3);
    net.pass(ms(1_000));
}

/// Checklist B6: a wait that is learned.
#[test]
fn few_messages_are_asked_for_in_vain_on_quick_and_on_slow_links() {
    for (least, more) in [(10, 40), (100, 200)] {
        let mut net = Net::new(8);
        for (place, (a, b)) in ring(8).into_iter().chain([(0, 4), (1, 5), (2, 6)]).enumerate() {
            net.connect(a, b);
            net.set_delay(a, b, ms(least + (place as u64 * 37) % more));
        }
        for sent in 0..200 {
            let sender = if sent % 4 == 0 { 3 } else { 0 };
            net.broadcast(sender);
            net.pass(ms(700));
        }
        net.pass(Duration::from_secs(5));
        let counters = net.counters();
        assert_eq!(counters.delivered, 200 * 8);
        let share = counters.spurious_grafts as f64 / (200.0 * 7.0);
        assert!(share < 0.01, "{share} with links of {least} ms and more");
    }
}

/// Checklist B6: recovery within the wait and a round trip, and others are asked when one is gone.
#[test]
fn a_message_that_does_not_come_is_asked_for_after_the_usual_wait() {
    let mut net = Net::new(4);
    net.connect_all(&ring(4));
    for _ in 0..20 {
        net.broadcast(0);
        net.pass(ms(1_000));
    }
    let before = net.counters().grafts;
    net.filter = alloc::boxed::Box::new(|_, to, frame| {
        !(to == 2 && matches!(frame, Frame::Broadcast(message) if message.id.sequence == 21))
    });
    let id = net.broadcast(0);
    net.pass(ms(25));
    net.filter = alloc::boxed::Box::new(|_, _, _| true);
    net.pass(ms(50 + 500 + 60));
    assert_eq!(net.receivers(id), net.all(), "recovered");
    assert!(net.counters().grafts > before);
}

/// Checklist B7, with messages that shape the tree as in the paper.
#[test]
fn a_way_that_is_much_longer_than_another_is_given_up() {
    let mut net = Net::with(12, config(|broadcast| broadcast.heartbeats = false));
    net.connect_all(&ring(12));
    net.set_delay(0, 11, ms(150));
    net.broadcast(0);
    net.pass(Duration::from_secs(5));
    net.set_delay(0, 11, ms(1));
    let last_hop = |net: &Net, number: usize| net.peers[number].delivered.last().unwrap().1.hops;
    for _ in 0..10 {
        net.broadcast(0);
        net.pass(Duration::from_secs(5));
    }
    let most = (0..12).map(|number| last_hop(&net, number)).max().unwrap();
    assert!(most <= 9, "{most} hops");
    let optimized: u64 = net.peers.iter().map(|peer| peer.part.counters().optimized).sum();
    assert!(optimized > 0);
    net.take_log();
    net.broadcast(0);
    net.pass(Duration::from_secs(5));
    assert_eq!(payloads(&net.log), 11, "still a tree");
}

/// Checklist B4, S1: links that are eager at one end alone do not stay so.
#[test]
fn a_lazy_link_that_brings_what_had_come_is_pruned_again() {
    let mut net = Net::with(
        3,
        config(|broadcast| {
            broadcast.heartbeats = false;
            broadcast.own_trees = OwnTrees::Never;
        }),
    );
    net.connect_all(&mesh(3));
    let send = |net: &mut Net| {
        let before = net.counters().payloads;
        net.broadcast(0);
        net.pass(Duration::from_secs(1));
        net.counters().payloads - before
    };
    (0..3).for_each(|_| _ = send(&mut net));
    assert_eq!(send(&mut net), 2);
    let node = net.id(2);
    net.run(1, |part, _| part.engine.as_mut().unwrap().shared.promote(node));
    assert_eq!([send(&mut net), send(&mut net)], [3, 2]);
    net.assert_spanning(0);
}

/// Checklist B9, T2: neighbours come, and the trees stay.
#[test]
fn new_neighbours_do_not_make_messages_flood() {
    let mut net = Net::new(10);
    net.connect_all(&ring(9));
    net.broadcast(0);
    net.pass(Duration::from_secs(5));
    net.connect_all(&[(9, 0), (9, 4), (1, 5), (2, 7)]);
    net.pass(Duration::from_secs(1));
    net.take_log();
    let id = net.broadcast(0);
    net.pass(Duration::from_secs(3));
    assert_eq!(net.receivers(id), net.all());
    let sent = payloads(&net.log);
    assert!(sent <= 10, "{sent} payloads for 9 receivers");
}

/// Checklist B9: whoever takes the place of a neighbour takes its role.
#[test]
fn a_swapped_neighbour_inherits_the_role() {
    let mut net = Net::new(4);
    net.connect_all(&[(0, 1), (1, 2), (0, 3)]);
    net.broadcast(0);
    net.pass(Duration::from_secs(5));
    net.swap(2, 1, 3);
    net.pass(Duration::from_secs(1));
    net.take_log();
    let id = net.broadcast(0);
    net.pass(Duration::from_secs(3));
    assert_eq!(net.receivers(id), net.all());
    assert_eq!(payloads(&net.log), 3);
}

/// Checklist B9, B6: a lost parent is replaced, and what it would have brought is asked for at
/// once.
#[test]
fn the_loss_of_a_parent_costs_no_wait() {
    let mut net = Net::new(4);
    net.connect_all(&ring(4));
    net.set_delay(2, 3, ms(30));
    for _ in 0..3 {
        net.broadcast(0);
        net.pass(Duration::from_secs(2));
    }
    let parent = net.peers[2].engine().shared.parent;
    let parent = net.number(parent.unwrap());
    net.filter = alloc::boxed::Box::new(|_, to, frame| {
        !(to == 2 && matches!(frame, Frame::Broadcast(message) if message.id.sequence == 4))
    });
    let id = net.broadcast(0);
    net.pass(ms(150));
    net.filter = alloc::boxed::Box::new(|_, _, _| true);
    assert_eq!(net.receivers(id), [0, 1, 3]);
    net.disconnect(2, parent);
    net.pass(ms(70));
    assert_eq!(net.receivers(id), net.all());
}

/// Checklist B16.
#[test]
fn what_a_full_lane_cannot_take_is_announced_and_comes_later() {
    let mut net = Net::new(3);
    net.connect_all(&[(0, 1), (1, 2)]);
    net.broadcast(0);
    net.pass(Duration::from_secs(2));
    net.congest(1, 2, true);
    let id = net.broadcast(0);
    net.pass(ms(500));
    assert_eq!(net.receivers(id), [0, 1]);
    assert!(net.peers[1].part.counters().held_back > 0);
    net.congest(1, 2, false);
    net.pass(Duration::from_secs(20));
    assert_eq!(net.receivers(id), net.all());
}

/// Checklist B16.
#[test]
fn a_sender_whose_neighbours_can_take_nothing_is_told() {
    let mut net = Net::new(3);
    net.connect_all(&[(0, 1), (0, 2)]);
    net.congest(0, 1, true);
    assert!(net.try_broadcast(0, handler("default"), b"1").is_ok(), "one can");
    net.congest(0, 2, true);
    let full = net.try_broadcast(0, handler("default"), b"2");
    assert!(matches!(full, Err(CommandError::QueueFull(_))), "{full:?}");
    net.congest(0, 1, false);
    assert!(net.try_broadcast(0, handler("default"), b"3").is_ok());
}

/// Lanes that open after their session: nothing is lost.
#[test]
fn messages_wait_for_lanes_that_are_not_open_yet() {
    let mut net = Net::new(2);
    net.laneless.extend([(0, 1), (1, 0)]);
    net.connect(0, 1);
    let id = net.broadcast(0);
    net.pass(ms(300));
    assert_eq!(net.receivers(id), [0]);
    net.open_lanes();
    net.pass(Duration::from_secs(20));
    assert_eq!(net.receivers(id), [0, 1]);
}

/// Checklist B8.
#[test]
fn who_repeats_itself_has_a_tree_of_its_own_where_that_is_wished() {
    for (own_trees, owns) in
        [(OwnTrees::Never, false), (OwnTrees::Repeating, true), (OwnTrees::Always, true)]
    {
        let mut net = Net::with(6, config(|broadcast| broadcast.own_trees = own_trees));
        net.connect_all(&mesh(6));
        net.broadcast(0);
        net.pass(Duration::from_secs(2));
        for _ in 0..3 {
            net.broadcast(4);
            net.pass(Duration::from_secs(2));
        }
        let root = net.id(4);
        assert_eq!(net.peers[2].part.tree(root).own, owns, "{own_trees:?}");
        assert!(!net.peers[2].part.tree(net.id(0)).own, "the anchor needs none");
        net.assert_spanning(4);
        net.pass(Duration::from_secs(300));
        assert!(!net.peers[2].part.tree(root).own, "forgotten once unused");
    }
}

/// Checklist B8, T7.
#[test]
fn trees_of_single_senders_are_bounded() {
    let mut net = Net::with(6, config(|broadcast| broadcast.max_own_trees = 2));
    net.connect_all(&mesh(6));
    for round in 0..12 {
        let mut ids = Vec::new();
        for sender in 0..6 {
            ids.push(net.broadcast(sender));
        }
        net.pass(Duration::from_secs(2));
        assert!(ids.iter().all(|id| net.receivers(*id) == net.all()), "round {round}");
        assert!(net.peers.iter().all(|peer| peer.engine().own.len() <= 2));
    }
}

/// Checklist B13.
#[test]
fn heartbeats_end_when_nothing_is_broadcast() {
    let mut net = Net::new(5);
    net.connect_all(&ring(5));
    net.broadcast(0);
    net.pass(Duration::from_secs(300));
    let before = net.counters().heartbeats;
    net.take_log();
    net.pass(Duration::from_secs(3_600));
    assert_eq!(net.counters().heartbeats, before);
    assert!(net.log.is_empty(), "D4: {:?}", net.log);
    assert!(net.peers.iter().all(|peer| peer.timers.next().is_none()), "nothing to wake for");
}

/// Checklist B13.
#[test]
fn without_heartbeats_there_are_none() {
    let mut net = Net::with(6, config(|broadcast| broadcast.heartbeats = false));
    net.connect_all(&mesh(6));
    for _ in 0..4 {
        net.broadcast(0);
        net.pass(Duration::from_secs(3));
    }
    net.assert_spanning(0);
    let shared = plumtree(&net.log).into_iter().filter_map(|(_, _, message)| match message {
        PlumtreeMessage::Heartbeats(list) => Some(list.iter().filter(|beat| !beat.own).count()),
        _ => None,
    });
    assert_eq!(shared.sum::<usize>(), 0);
}

/// A silent anchor is replaced, by one.
#[test]
fn another_becomes_the_anchor_when_it_is_gone() {
    let mut net = Net::new(5);
    net.connect_all(&mesh(5));
    net.broadcast(0);
    net.pass(Duration::from_secs(2));
    for other in 1..5 {
        net.disconnect(0, other);
    }
    for _ in 0..12 {
        net.broadcast(1);
        net.broadcast(2);
        net.pass(Duration::from_secs(6));
    }
    let root = net.peers[1].engine().shared.root.unwrap().node;
    assert_ne!(root, net.id(0));
    for number in 2..5 {
        assert_eq!(net.peers[number].engine().shared.root.map(|root| root.node), Some(root));
    }
}

/// The lowest of several that claim to be the anchor stays it.
#[test]
fn of_two_anchors_one_stays() {
    let mut net = Net::new(6);
    net.connect_all(&mesh(6));
    net.broadcast(2);
    net.broadcast(4);
    net.pass(Duration::from_secs(1));
    let lowest = net.id(2).min(net.id(4));
    for peer in &net.peers {
        assert_eq!(peer.engine().shared.root.map(|root| root.node), Some(lowest));
    }
    net.pass(Duration::from_secs(30));
    net.assert_spanning(net.number(lowest));
}

/// Checklist B18.
#[test]
fn counters_say_what_happened() {
    let mut net = Net::new(2);
    assert_eq!(net.peers[0].part.counters(), BroadcastCounters::default());
    net.connect(0, 1);
    net.broadcast(0);
    net.pass(ms(500));
    let (one, other) = (net.peers[0].part.counters(), net.peers[1].part.counters());
    assert_eq!((one.sent, one.delivered, one.payloads, one.received), (1, 1, 1, 0));
    assert_eq!((other.sent, other.delivered, other.payloads, other.received), (0, 1, 0, 1));
}

/// A node that never met with a broadcast has next to nothing, and does nothing.
#[test]
fn a_node_without_broadcasts_is_idle() {
    let mut net = Net::new(4);
    net.connect_all(&ring(4));
    net.pass(Duration::from_secs(3_600));
    assert!(net.log.is_empty());
    assert!(net.peers.iter().all(|peer| peer.part.engine.is_none()));
    assert!(net.peers.iter().all(|peer| peer.timers.next().is_none()));
    let size = size_of::<crate::broadcast::Broadcasts>();
    assert!(size <= 96, "{size} bytes");
}
