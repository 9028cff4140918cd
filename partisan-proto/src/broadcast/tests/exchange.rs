//! Exchanges: whose turn, with whom, how many, for how long.

use alloc::vec::Vec;

use super::config;
use super::net::{Net, handler, ms, plumtree};
use crate::command::ExchangeSelector;
use crate::config::{BroadcastConfig, ExchangeSelection, HandlerOptions, StoreConfig};
use crate::id::{HandlerName, NodeId};
use crate::notification::{ExchangeOutcome, Notification};
use crate::question::{ExchangeId, ExchangeInfo, ExchangeResult, Question, QuestionId, Response};
use crate::time::Duration;
use crate::wire::{Frame, PlumtreeMessage};

/// Handlers of these names that keep their messages, so many exchanges of each at once.
fn keepers(broadcast: &mut BroadcastConfig, names: &[&str], exchanges: usize) {
    for name in names {
        let store = StoreConfig::Application;
        let options = HandlerOptions { store, exchanges, ..HandlerOptions::default() };
        broadcast.handlers.insert(HandlerName::new(name).unwrap(), options);
    }
}

/// Node 0 with so many neighbours, and none of the others starts exchanges.
fn star(neighbors: usize, change: impl Fn(&mut BroadcastConfig)) -> Net {
    let mut net = Net::with(1, config(&change));
    for number in 1..=neighbors {
        net.add(config(|broadcast| broadcast.exchange.enabled = false).into(), number);
        net.connect(0, number);
    }
    net
}

fn running(net: &Net) -> Vec<ExchangeInfo> {
    net.peers[0].part.exchanges()
}

/// The exchanges that node 0 was asked to make since the last call.
fn asked(net: &mut Net) -> Vec<(QuestionId, ExchangeId, crate::id::HandlerId, NodeId)> {
    let asked = core::mem::take(&mut net.peers[0].asked);
    let exchange = |(id, question)| match question {
        Question::Exchange { exchange, handler, peer } => Some((id, exchange, handler, peer.node)),
        _ => None,
    };
    asked.into_iter().filter_map(exchange).collect()
}

fn outcomes(net: &mut Net) -> Vec<ExchangeOutcome> {
    let told = core::mem::take(&mut net.peers[0].notifications);
    let outcome = |told| match told {
        Notification::ExchangeEnded { outcome, .. } => Some(outcome),
        _ => None,
    };
    told.into_iter().filter_map(outcome).collect()
}

fn done() -> Response {
    Response::ExchangeEnded(ExchangeResult::Done)
}

/// Checklist B11, T1: whoever could not start when it was its turn has its turn again.
#[test]
fn handlers_take_turns_though_one_of_them_never_ends() {
    let mut net = star(3, |broadcast| {
        keepers(broadcast, &["a", "b", "c"], 1);
        broadcast.exchange.limit = 2;
        broadcast.exchange.deadline = Duration::from_secs(100_000);
    });
    let mut turns = [0_usize; 3];
    for _ in 0..60 {
        net.pass(Duration::from_secs(10));
        for (id, _, which, _) in asked(&mut net) {
            let place = ["a", "b", "c"].iter().position(|name| handler(name) == which).unwrap();
            turns[place] += 1;
            if place != 1 {
                net.answer(0, id, done());
            }
        }
        assert!(running(&net).len() <= 2);
    }
    assert_eq!(turns[1], 1, "it never ends");
    assert!(turns[0] >= 15 && turns[2] >= 15, "{turns:?}");
    assert!(turns[0].abs_diff(turns[2]) <= 2, "{turns:?}");
}

/// Checklist B11, T9.
#[test]
fn there_are_never_more_exchanges_than_allowed() {
    let mut net = star(8, |broadcast| {
        keepers(broadcast, &["a", "b", "c", "d", "e"], 3);
        broadcast.exchange.limit = 4;
        broadcast.exchange.deadline = Duration::from_secs(100_000);
    });
    for _ in 0..20 {
        net.pass(Duration::from_secs(10));
        let running = running(&net);
        assert!(running.len() <= 4, "{running:?}");
        for one in &running {
            let alike = running.iter().filter(|other| other.handler == one.handler);
            let peers: Vec<_> = alike.map(|other| other.peer).collect();
            assert!(peers.len() <= 3, "three of one handler");
            assert_eq!(peers.iter().filter(|peer| **peer == one.peer).count(), 1, "with others");
        }
    }
    assert_eq!(running(&net).len(), 4);
}

/// Checklist B11: Partisan's have no deadline.
#[test]
fn an_exchange_ends_at_its_deadline_and_when_its_neighbour_goes() {
    let mut net = star(1, |broadcast| keepers(broadcast, &["a"], 1));
    net.pass(Duration::from_secs(20));
    assert_eq!(running(&net).len(), 1);
    net.pass(Duration::from_secs(75));
    assert_eq!(outcomes(&mut net), [ExchangeOutcome::TimedOut]);
    let late = asked(&mut net)[0].0;
    net.answer(0, late, done());
    assert!(outcomes(&mut net).is_empty(), "too late");
    net.pass(Duration::from_secs(20));
    net.disconnect(0, 1);
    assert_eq!(outcomes(&mut net), [ExchangeOutcome::PeerDown]);
    assert!(running(&net).is_empty());
    let counters = net.peers[0].part.counters();
    assert_eq!((counters.exchanges_done, counters.exchanges_failed), (0, counters.exchanges));
}

/// Checklist B11.
#[test]
fn answers_are_told_as_outcomes() {
    let mut net = star(1, |broadcast| keepers(broadcast, &["a"], 1));
    for (result, outcome) in [
        (ExchangeResult::Done, ExchangeOutcome::Done),
        (ExchangeResult::Failed, ExchangeOutcome::Failed),
        (ExchangeResult::Ignored, ExchangeOutcome::Ignored),
    ] {
        net.pass(Duration::from_secs(20));
        for (id, ..) in asked(&mut net) {
            net.answer(0, id, Response::ExchangeEnded(result));
        }
        let told = outcomes(&mut net);
        assert!(!told.is_empty() && told.iter().all(|one| *one == outcome), "{told:?}");
    }
}

/// Checklist B11.
#[test]
fn exchanges_are_cancelled_by_peer_by_handler_by_number_and_all() {
    let mut net = star(4, |broadcast| {
        keepers(broadcast, &["a", "b"], 2);
        broadcast.exchange.deadline = Duration::from_secs(1_000);
    });
    net.pass(Duration::from_secs(60));
    let first = running(&net);
    assert_eq!(first.len(), 4);
    let cancel = |net: &mut Net, which| net.run(0, |part, cx| part.cancel_exchanges(cx, which));
    assert_eq!(cancel(&mut net, ExchangeSelector::Exchange(first[0].exchange)), 1);
    assert_eq!(cancel(&mut net, ExchangeSelector::Exchange(first[0].exchange)), 0);
    let of = |handler| first[1..].iter().filter(|one| one.handler == handler).count();
    let handler = first[1].handler;
    let count = of(handler);
    assert_eq!(cancel(&mut net, ExchangeSelector::Handler(handler.unwrap())), count);
    let rest = running(&net);
    let peer = rest[0].peer;
    let with = rest.iter().filter(|one| one.peer == peer).count();
    assert_eq!(cancel(&mut net, ExchangeSelector::Peer(peer)), with);
    assert_eq!(cancel(&mut net, ExchangeSelector::All), rest.len() - with);
    let told = outcomes(&mut net);
    assert_eq!(told, [ExchangeOutcome::Cancelled; 4]);
}

/// Checklist B11: those by which nothing comes have most turns, or as many as any.
#[test]
fn lazy_neighbours_are_preferred_where_that_is_wished() {
    for (selection, least) in [(ExchangeSelection::Optimized, 20), (ExchangeSelection::Normal, 5)] {
        let mut net = star(3, |broadcast| {
            keepers(broadcast, &["a"], 1);
            broadcast.exchange.selection = selection;
        });
        net.connect(1, 2);
        net.broadcast(1);
        net.pass(Duration::from_secs(1));
        let lazy: Vec<_> = net.peers[0].engine().shared.nodes(false).collect();
        assert_eq!(lazy.len(), 1);
        let mut turns = alloc::collections::BTreeMap::new();
        for _ in 0..40 {
            net.pass(Duration::from_secs(10));
            for (id, _, _, peer) in asked(&mut net) {
                *turns.entry(peer).or_insert(0) += 1;
                net.answer(0, id, done());
            }
        }
        assert!(turns[&lazy[0]] >= least, "{selection:?}: {turns:?}");
        // A part of the cluster may hang by eager links alone.
        assert_eq!(turns.len(), 3, "everybody has a turn: {selection:?}");
    }
}

/// Checklist B11: exchange alone brings everything.
#[test]
fn a_node_that_missed_messages_catches_up_by_exchange() {
    let mut net = Net::new(2);
    net.connect(0, 1);
    net.filter = alloc::boxed::Box::new(|_, _, frame| {
        let Frame::Broadcast(message) = frame else {
            return matches!(plumtree(&[(0, 0, frame.clone())])[..], [(_, _, message)]
                if !matches!(message, PlumtreeMessage::IHave(_)));
        };
        // Only those that are asked for: others come in their order.
        message.id.sequence > 50
    });
    let ids: Vec<_> = (0..20).map(|_| net.broadcast(0)).collect();
    net.pass(ms(500));
    assert!(ids.iter().all(|id| net.receivers(*id) == [0]));
    net.filter = alloc::boxed::Box::new(|_, _, _| true);
    net.pass(Duration::from_secs(16));
    assert!(ids.iter().all(|id| net.receivers(*id) == [0, 1]));
    let counters = net.peers[0].part.counters();
    assert!(counters.exchanges_done >= 1 && counters.prunes == 0);
}

/// Exchanges may be switched off; they are answered all the same.
#[test]
fn who_starts_no_exchanges_answers_them() {
    let mut net = Net::with(1, config(|broadcast| broadcast.exchange.enabled = false));
    net.add(config(|_| ()).into(), 1);
    net.connect(0, 1);
    net.broadcast(1);
    net.pass(Duration::from_secs(40));
    let counters = |net: &Net, number: usize| net.peers[number].part.counters();
    assert_eq!(counters(&net, 0).exchanges, 0);
    assert!(counters(&net, 1).exchanges_done >= 1);
}

/// Nothing is exchanged where there is nothing.
#[test]
fn exchanges_end_when_nothing_is_kept_any_more() {
    let mut net = Net::new(2);
    net.connect(0, 1);
    net.broadcast(0);
    net.pass(Duration::from_secs(300));
    let before = net.peers[0].part.counters().exchanges;
    assert!(before >= 5);
    net.pass(Duration::from_secs(600));
    assert_eq!(net.peers[0].part.counters().exchanges, before);
}
