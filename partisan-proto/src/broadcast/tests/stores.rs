//! Handlers that keep their messages themselves: what they are asked, and what follows from their
//! answers.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::config;
use super::net::{Net, handler, ms, plumtree};
use crate::config::{BroadcastConfig, HandlerOptions, StoreConfig};
use crate::id::{HandlerName, MessageId};
use crate::question::{ExchangeResult, Fetched, Merged, Question, Response};
use crate::time::Duration;
use crate::wire::PlumtreeMessage;

fn stored(broadcast: &mut BroadcastConfig) {
    let store = StoreConfig::Application;
    let options = HandlerOptions { store, ..HandlerOptions::default() };
    broadcast.handlers.insert(HandlerName::new("store").unwrap(), options);
}

/// The applications of all nodes.
#[derive(Default)]
struct Stores {
    kept: BTreeMap<usize, BTreeMap<MessageId, bytes::Bytes>>,
    /// Nodes whose store does not answer.
    silent: BTreeSet<usize>,
    /// Nodes whose store fails.
    failing: BTreeSet<usize>,
    merges: usize,
    fetches: usize,
}

impl Stores {
    fn answer(&mut self, node: usize, question: &Question) -> Option<Response> {
        if self.silent.contains(&node) {
            return None;
        }
        let fails = self.failing.contains(&node);
        let kept = self.kept.entry(node).or_default();
        Some(match question {
            Question::Merge(message) => {
                self.merges += 1;
                assert_eq!(message.handler, handler("store"));
                Response::Merge(match kept.contains_key(&message.id) {
                    _ if fails => Merged::Failed,
                    true => Merged::Stale,
                    false => {
                        kept.insert(message.id, message.payload.clone());
                        Merged::New
                    }
                })
            }
            Question::IsStale { id, key, .. } => {
                assert_eq!(&key[..], b"key");
                Response::IsStale(kept.contains_key(id))
            }
            Question::Fetch { id, key, .. } => {
                assert_eq!(&key[..], b"key");
                self.fetches += 1;
                Response::Fetch(kept.get(id).cloned().map_or(Fetched::Missing, Fetched::Found))
            }
            Question::Exchange { .. } => Response::ExchangeEnded(ExchangeResult::Ignored),
            Question::Cost { .. } => Response::Cost(None),
        })
    }

    /// Lets time pass, in which applications answer.
    fn serve(&mut self, net: &mut Net, milliseconds: u64) {
        for _ in 0..milliseconds {
            net.pass(ms(1));
            for node in 0..net.peers.len() {
                for (id, question) in core::mem::take(&mut net.peers[node].asked) {
                    if let Some(response) = self.answer(node, &question) {
                        net.answer(node, id, response);
                    }
                }
            }
        }
    }

    fn have(&self, id: MessageId) -> Vec<usize> {
        let have = self.kept.iter().filter(|(_, kept)| kept.contains_key(&id));
        have.map(|(node, _)| *node).collect()
    }
}

fn send(net: &mut Net, node: usize, stores: &mut Stores, payload: &'static [u8]) -> MessageId {
    let id = net.try_broadcast(node, handler("store"), payload).unwrap();
    stores.kept.entry(node).or_default().insert(id, payload.into());
    id
}

const SQUARE: [(usize, usize); 4] = [(0, 1), (1, 2), (2, 3), (3, 0)];

/// Checklist B12.
#[test]
fn a_message_is_merged_and_then_passed_on() {
    let mut net = Net::with(4, config(stored));
    net.connect_all(&SQUARE);
    let mut stores = Stores::default();
    let id = send(&mut net, 0, &mut stores, b"a");
    stores.serve(&mut net, 2_000);
    assert_eq!(stores.have(id), [0, 1, 2, 3]);
    assert_eq!(stores.merges, 3, "each once");
    assert!(net.receivers(id).is_empty(), "merged, not delivered");
}

/// Checklist B12, T5: neither a failure nor a question that is not answered prunes.
#[test]
fn a_handler_that_fails_prunes_nothing_and_stops_nobody() {
    for silent in [false, true] {
        let mut net = Net::with(4, config(stored));
        net.connect_all(&[(0, 1), (1, 2), (2, 3)]);
        let mut stores = Stores::default();
        if silent {
            stores.silent.insert(1);
        } else {
            stores.failing.insert(1);
        }
        let ids = [0, 1].map(|_| send(&mut net, 0, &mut stores, b"a"));
        stores.serve(&mut net, 8_000);
        for id in ids {
            assert_eq!(stores.have(id), [0, 2, 3], "all but the failing one");
        }
        let counters = net.peers[1].part.counters();
        assert_eq!((counters.failed_questions, counters.prunes), (2, 0));
        assert!(net.peers[1].engine().shared.is_eager(net.id(0)));
    }
}

/// Checklist B12.
#[test]
fn an_invalid_message_goes_no_further() {
    let mut net = Net::with(3, config(stored));
    net.connect_all(&[(0, 1), (1, 2)]);
    net.try_broadcast(0, handler("store"), b"bad").unwrap();
    net.pass(ms(100));
    let (id, _) = net.peers[1].asked.remove(0);
    net.answer(1, id, Response::Merge(Merged::Invalid));
    net.pass(Duration::from_secs(10));
    assert!(net.peers[2].asked.iter().all(|(_, asked)| !matches!(asked, Question::Merge(_))));
    assert_eq!(net.peers[1].part.counters().invalid, 1);
}

/// Checklist B10, B12: what the node has forgotten its application has.
#[test]
fn what_is_not_cached_is_fetched_from_the_store() {
    let change = |broadcast: &mut BroadcastConfig| {
        stored(broadcast);
        broadcast.cache.messages = 1;
    };
    let mut net = Net::with(3, config(change));
    net.connect_all(&[(0, 1)]);
    let mut stores = Stores::default();
    net.connect(1, 2);
    // Node 2 can be told and cannot be given anything.
    net.congest(1, 2, true);
    let ids = [b"a", b"b", b"c"].map(|payload| {
        let id = send(&mut net, 0, &mut stores, payload);
        stores.serve(&mut net, 80);
        id
    });
    net.congest(1, 2, false);
    stores.serve(&mut net, 20_000);
    for id in ids {
        assert_eq!(stores.have(id), [0, 1, 2]);
    }
    assert!(stores.fetches >= 2, "{}", stores.fetches);
}

/// Checklist B12: what is stale is not asked for.
#[test]
fn what_a_store_has_already_is_not_asked_for() {
    let mut net = Net::with(3, config(stored));
    net.connect_all(&[(0, 1), (1, 2)]);
    let mut stores = Stores::default();
    net.congest(1, 2, true);
    let id = send(&mut net, 0, &mut stores, b"a");
    stores.kept.entry(2).or_default().insert(id, b"a"[..].into());
    stores.serve(&mut net, 300);
    net.congest(1, 2, false);
    net.take_log();
    stores.serve(&mut net, 12_000);
    let grafts = plumtree(&net.log).into_iter().filter(|(from, _, message)| {
        *from == 2 && matches!(message, PlumtreeMessage::Graft(graft) if !graft.wanted.is_empty())
    });
    assert_eq!(grafts.count(), 0);
}

/// A store that lacks what it should have: the next announcer is asked.
#[test]
fn a_store_that_lost_a_message_says_so_and_another_is_asked() {
    let change = |broadcast: &mut BroadcastConfig| {
        stored(broadcast);
        broadcast.cache.messages = 1;
    };
    let mut net = Net::with(4, config(change));
    net.connect_all(&[(0, 1), (0, 2), (1, 3), (2, 3)]);
    let mut stores = Stores::default();
    net.congest(1, 3, true);
    net.congest(2, 3, true);
    let ids = [b"a", b"b"].map(|payload| {
        let id = send(&mut net, 0, &mut stores, payload);
        stores.serve(&mut net, 80);
        id
    });
    stores.kept.get_mut(&1).unwrap().clear();
    net.congest(1, 3, false);
    net.congest(2, 3, false);
    stores.serve(&mut net, 20_000);
    assert!(ids.iter().all(|id| stores.have(*id).contains(&3)), "{:?}", stores.kept);
}

/// E5: what would need another question is treated as if it were not answered.
#[test]
fn questions_are_bounded() {
    let change = |broadcast: &mut BroadcastConfig| {
        stored(broadcast);
        broadcast.max_questions = 3;
    };
    let mut net = Net::with(3, config(change));
    net.connect_all(&[(0, 1), (1, 2)]);
    for _ in 0..10 {
        net.try_broadcast(0, handler("store"), b"x").unwrap();
    }
    net.pass(ms(100));
    let merges = |net: &Net, number: usize| {
        let asked = net.peers[number].asked.iter();
        asked.filter(|(_, asked)| matches!(asked, Question::Merge(_))).count()
    };
    assert_eq!(merges(&net, 1), 3);
    assert_eq!(net.peers[1].part.counters().failed_questions, 7);
    net.pass(Duration::from_secs(12));
    let counters = net.peers[2].part.counters();
    assert_eq!(counters.received, 10, "all are passed on");
}

/// Answers that fit no question are ignored.
#[test]
fn answers_that_fit_no_question_are_ignored() {
    let mut net = Net::with(3, config(stored));
    net.connect_all(&[(0, 1), (1, 2)]);
    net.try_broadcast(0, handler("store"), b"x").unwrap();
    net.pass(ms(100));
    let (id, _) = net.peers[1].asked[0];
    net.answer(1, id, Response::IsStale(true));
    net.answer(1, id, Response::Fetch(Fetched::Missing));
    net.answer(1, crate::question::QuestionId(999), Response::Merge(Merged::New));
    assert_eq!(net.peers[1].part.counters().delivered, 0);
    net.answer(1, id, Response::Merge(Merged::New));
    net.answer(1, id, Response::Merge(Merged::New));
    assert_eq!(net.peers[1].part.counters().delivered, 1);
}
