//! Whatever is lost, everything is delivered exactly once in the end.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;

use alloc::rc::Rc;
use proptest::prelude::*;

use super::config;
use super::net::{Net, ms};
use crate::id::MessageId;
use crate::time::Duration;

/// A graph with cycles.
const GRAPH: [(usize, usize); 8] = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (0, 2), (1, 4), (3, 1)];

/// Checklist B5, T3, G13: no single frame matters.
#[test]
fn the_loss_of_any_one_frame_is_made_good_and_then_there_is_rest() {
    for heartbeats in [true, false] {
        for lost in 0.. {
            let mut net = Net::with(5, config(|broadcast| broadcast.heartbeats = heartbeats));
            net.connect_all(&GRAPH);
            let count = Rc::new(Cell::new(0));
            let counted = count.clone();
            net.filter = Box::new(move |_, _, _| {
                counted.set(counted.get() + 1);
                counted.get() != lost + 1
            });
            let mut ids = Vec::new();
            for sender in [0, 3, 0] {
                ids.push(net.broadcast(sender));
                net.pass(ms(700));
            }
            let sent = count.get();
            net.pass(Duration::from_secs(90));
            for id in &ids {
                assert_eq!(net.receivers(*id), net.all(), "frame {lost} was lost");
            }
            net.pass(Duration::from_secs(600));
            net.take_log();
            net.pass(Duration::from_secs(600));
            assert!(net.log.is_empty(), "D4: {:?}", net.log);
            if lost >= sent {
                break;
            }
        }
    }
}

/// D1: the origin dies right after its first copy.
#[test]
fn what_one_node_got_all_get_though_its_origin_is_dead() {
    let mut net = Net::new(6);
    net.connect_all(&[(0, 1), (0, 2), (1, 3), (3, 4), (4, 5), (5, 2), (1, 4)]);
    let id = net.broadcast(0);
    net.pass(ms(10));
    net.disconnect(0, 1);
    net.disconnect(0, 2);
    net.pass(Duration::from_secs(30));
    assert_eq!(net.receivers(id), net.all());
}

/// Neighbours who died unnoticed take a message with them; whoever comes in their place is told of
/// it, without an exchange.
#[test]
fn what_was_lost_with_all_neighbours_comes_to_the_next_one() {
    for heartbeats in [true, false] {
        let mut net = Net::with(
            4,
            config(|broadcast| {
                broadcast.heartbeats = heartbeats;
                broadcast.exchange.enabled = false;
            }),
        );
        net.connect_all(&[(0, 1), (0, 2), (2, 3)]);
        net.broadcast(0);
        net.pass(Duration::from_secs(2));
        net.disconnect(0, 2);
        let id = net.broadcast(0);
        // What is on its way dies with its receiver.
        net.disconnect(0, 1);
        net.pass(Duration::from_secs(60));
        assert_eq!(net.receivers(id), [0]);
        net.connect(0, 3);
        net.pass(Duration::from_secs(1));
        assert_eq!(net.receivers(id), [0, 2, 3], "heartbeats {heartbeats}");
    }
}

/// D3: what was sent in either part comes to the other when they meet.
#[test]
fn parts_that_meet_again_get_what_they_missed() {
    let mut net = Net::new(6);
    net.connect_all(&[(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)]);
    net.connect(0, 3);
    net.broadcast(1);
    net.pass(Duration::from_secs(3));
    net.disconnect(0, 3);
    let ids = [net.broadcast(1), net.broadcast(4), net.broadcast(5), net.broadcast(1)];
    net.pass(Duration::from_secs(60));
    assert_eq!((net.receivers(ids[0]), net.receivers(ids[1])), (vec![0, 1, 2], vec![3, 4, 5]));
    net.connect(2, 4);
    net.pass(Duration::from_secs(10));
    assert!(ids.iter().all(|id| net.receivers(*id) == net.all()));
    let after = net.broadcast(5);
    net.pass(Duration::from_secs(3));
    assert_eq!(net.receivers(after), net.all());
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Broadcast(usize),
    /// A session ends if there is one, or begins.
    Toggle(usize),
    Swap(usize, usize, usize),
    Congest(usize, usize, bool),
    Pass(u64),
}

fn step(nodes: usize, pairs: usize) -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..nodes).prop_map(Step::Broadcast),
        3 => (0..pairs).prop_map(Step::Toggle),
        1 => (0..nodes, 0..nodes, 0..nodes).prop_map(|(a, b, c)| Step::Swap(a, b, c)),
        1 => (0..nodes, 0..nodes, any::<bool>()).prop_map(|(a, b, on)| Step::Congest(a, b, on)),
        4 => (0..60u64).prop_map(Step::Pass),
        1 => (500..20_000u64).prop_map(Step::Pass),
    ]
}

const NODES: usize = 6;

fn perform(net: &mut Net, step: &Step, ids: &mut Vec<MessageId>) {
    let pairs: Vec<_> = (0..NODES).flat_map(|a| (a + 1..NODES).map(move |b| (a, b))).collect();
    match *step {
        Step::Broadcast(node) => {
            let handler = super::net::handler("default");
            ids.extend(net.try_broadcast(node, handler, b"x"));
        }
        Step::Toggle(pair) => {
            let (a, b) = pairs[pair];
            match net.is_linked(a, b) {
                true => net.disconnect(a, b),
                false => net.connect(a, b),
            }
        }
        Step::Swap(a, gone, new) => {
            let three = BTreeSet::from([a, gone, new]).len() == 3;
            if three && net.is_linked(a, gone) && !net.is_linked(a, new) {
                net.swap(a, gone, new);
            }
        }
        Step::Congest(a, b, on) if net.is_linked(a, b) => net.congest(a, b, on),
        Step::Congest(..) => {}
        Step::Pass(span) => net.pass(ms(span)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    /// D1, D3, D4, E1 to E6: the net checks the latter at every step.
    #[test]
    fn whatever_sessions_are_lost_everything_is_delivered_exactly_once_in_the_end(
        steps in proptest::collection::vec(step(NODES, NODES * (NODES - 1) / 2), 1..60),
        heartbeats in any::<bool>(),
    ) {
        let mut net = Net::with(NODES, config(|broadcast| broadcast.heartbeats = heartbeats));
        net.connect_all(&[(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0), (1, 4)]);
        let mut ids = Vec::new();
        let began = net.now;
        for step in &steps {
            perform(&mut net, step, &mut ids);
            if net.now.since(began) > Duration::from_secs(60) {
                break;
            }
        }
        for a in 0..NODES {
            for b in a + 1..NODES {
                if net.is_linked(a, b) {
                    net.congest(a, b, false);
                    net.congest(b, a, false);
                }
            }
            let next = (a + 1) % NODES;
            if !net.is_linked(a, next) {
                net.connect(a, next);
            }
        }
        net.pass(Duration::from_secs(45));
        for id in &ids {
            prop_assert_eq!(net.receivers(*id), net.all(), "{} of {:?}", id, ids);
        }
        let last = net.broadcast(0);
        net.pass(Duration::from_secs(3));
        prop_assert_eq!(net.receivers(last), net.all());
        net.pass(Duration::from_secs(900));
        net.take_log();
        net.pass(Duration::from_secs(600));
        prop_assert!(net.log.is_empty());
    }
}
