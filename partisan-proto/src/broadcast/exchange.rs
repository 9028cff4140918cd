//! Anti-entropy: regular comparison with neighbours, which finds what broadcasts missed.
//!
//! Of messages that nodes keep themselves, two neighbours tell each other what their caches hold,
//! and each asks for what it lacks. Handlers that keep their messages compare their stores
//! themselves ([`Question::Exchange`]); this schedules them.

use alloc::vec::Vec;
use core::hash::Hash;

use super::engine::Engine;
use super::missing::News;
use crate::command::ExchangeSelector;
use crate::config::ExchangeSelection;
use crate::context::Context;
use crate::id::{HandlerId, Instance, NodeId};
use crate::notification::{ExchangeOutcome, Notification};
use crate::question::{ExchangeId, ExchangeInfo, ExchangeResult, Question, QuestionId};
use crate::time::{Duration, Instant};
use crate::timers::BroadcastTimer;
use crate::wire::{Bounded, ControlMessage, Holdings, MAX_HOLDINGS, PlumtreeMessage, Range};

/// Of so many exchanges with chosen neighbours one is with any.
const ANY_IN: usize = 4;

/// The exchanges under way, and whose turn it is.
#[derive(Debug, Default, Hash)]
pub(super) struct Exchanges {
    running: Vec<Running>,
    last: ExchangeId,
    /// Who was considered last. Each has its turn, whether the one before could start or not.
    turn: usize,
    waiting: bool,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Running {
    exchange: ExchangeId,
    /// `None` for the messages that nodes keep themselves.
    handler: Option<HandlerId>,
    peer: NodeId,
    question: Option<QuestionId>,
    deadline: Instant,
}

impl Engine {
    /// Whether there is anything to exchange: messages kept, or handlers that keep them.
    fn has_something_to_exchange(&self) -> bool {
        !self.cache.is_empty() || self.handlers.keepers().next().is_some()
    }

    /// Sees to it that exchanges are started, while there is something to exchange and somebody to
    /// do it with.
    pub(super) fn start_exchanges_later(&mut self, cx: &mut Context<'_>) {
        let config = &cx.config.broadcast.exchange;
        let idle = cx.neighbors.is_empty() || !self.has_something_to_exchange();
        if config.enabled && !idle && !self.exchanges.waiting {
            self.exchanges.waiting = true;
            let after = config.interval / 2 + self.random.up_to(config.interval);
            Self::set_timer(cx, BroadcastTimer::Exchange, after.max(Duration::from_millis(1)));
        }
    }

    /// Ends what takes too long, and starts what may.
    pub(super) fn exchange(&mut self, cx: &mut Context<'_>) {
        self.exchanges.waiting = false;
        let now = cx.now;
        self.end_exchanges(cx, ExchangeOutcome::TimedOut, |running| running.deadline <= now);
        self.cache.expire(now, &cx.config.broadcast.cache);
        let mut stores = alloc::vec![None];
        stores.extend(self.handlers.keepers().map(|handler| Some(handler.id)));
        for _ in 0..stores.len() {
            if self.exchanges.running.len() >= cx.config.broadcast.exchange.limit {
                break;
            }
            self.exchanges.turn = (self.exchanges.turn + 1) % stores.len();
            self.start_exchange(cx, stores[self.exchanges.turn]);
        }
        self.start_exchanges_later(cx);
    }

    fn start_exchange(&mut self, cx: &mut Context<'_>, handler: Option<HandlerId>) {
        let most = match handler.and_then(|id| self.handlers.get(id)) {
            Some(handler) => handler.options.exchanges,
            None if self.cache.is_empty() => return,
            None => 1,
        };
        let running = self.exchanges.running.iter();
        let busy: Vec<_> =
            running.filter(|one| one.handler == handler).map(|one| one.peer).collect();
        if busy.len() >= most {
            return;
        }
        let Some(peer) = self.choose_peer(cx, handler, &busy) else {
            return;
        };
        self.exchanges.last.0 += 1;
        self.counters.exchanges += 1;
        let exchange = self.exchanges.last;
        let deadline = cx.now + cx.config.broadcast.exchange.deadline;
        let question =
            handler.map(|handler| cx.ask(Question::Exchange { exchange, handler, peer }));
        let peer = peer.node;
        self.exchanges.running.push(Running { exchange, handler, peer, question, deadline });
        if handler.is_none() {
            self.send_holdings(cx, peer, true);
        }
    }

    /// A random neighbour, mostly of those by whom no messages come if they are preferred. Nodes
    /// that keep the messages themselves compare along links alone.
    fn choose_peer(
        &mut self,
        cx: &Context<'_>,
        handler: Option<HandlerId>,
        busy: &[NodeId],
    ) -> Option<Instance> {
        let fits = |peer: &Instance| {
            let linked = handler.is_some() || self.links.contains(peer.node);
            linked && !busy.contains(&peer.node) && cx.is_connected(peer.node)
        };
        let mut peers: Vec<_> = cx.neighbors.iter().filter(fits).collect();
        let is_lazy = |peer: &Instance| !self.shared.is_eager(peer.node);
        let optimized = cx.config.broadcast.exchange.selection == ExchangeSelection::Optimized;
        // Where all but one way into a part of the cluster are lost, that one is eager.
        let any = self.random.below(ANY_IN) == 0;
        if optimized && !any && peers.iter().any(is_lazy) {
            peers.retain(is_lazy);
        }
        let place = self.random.below(peers.len());
        peers.get(place).copied()
    }

    /// Tells a neighbour what the cache holds.
    pub(super) fn send_holdings(&self, cx: &mut Context<'_>, node: NodeId, answer: bool) {
        let mut ranges = self.cache.ranges().peekable();
        let mut first = true;
        while first || ranges.peek().is_some() {
            let part = Bounded::from_first(ranges.by_ref().take(MAX_HOLDINGS));
            let answer = answer && first;
            first = false;
            let holdings = Holdings { answer, ranges: part };
            cx.send(node, ControlMessage::Plumtree(PlumtreeMessage::Holdings(holdings)));
        }
    }

    /// A neighbour tells what its cache holds.
    pub(super) fn holdings(&mut self, cx: &mut Context<'_>, from: NodeId, holdings: Holdings) {
        if !self.accept(cx, from) {
            return;
        }
        let Holdings { answer, ranges } = holdings;
        for Range { origin, first, last } in ranges {
            // A range may be as long as numbers go: only so many are looked at as there is room.
            let room = cx.config.broadcast.max_missing;
            let missing: Vec<_> = self.seen.missing(origin, (first, last)).take(room).collect();
            let noted = missing.into_iter().all(|id| {
                let (hops, own, promote, subject) = (u8::MAX, false, false, None);
                self.note(cx, from, News { id, hops, own, promote, subject })
            });
            if !noted {
                break;
            }
        }
        self.set_graft_timer(cx);
        if answer {
            self.send_holdings(cx, from, false);
        } else {
            let ours = |one: &Running| one.handler.is_none() && one.peer == from;
            self.end_exchanges(cx, ExchangeOutcome::Done, ours);
        }
    }

    /// A handler says that an exchange is over.
    pub(super) fn exchange_answered(
        &mut self,
        cx: &mut Context<'_>,
        id: QuestionId,
        result: ExchangeResult,
    ) {
        let outcome = match result {
            ExchangeResult::Done => ExchangeOutcome::Done,
            ExchangeResult::Failed => ExchangeOutcome::Failed,
            ExchangeResult::Ignored => ExchangeOutcome::Ignored,
        };
        self.end_exchanges(cx, outcome, |running| running.question == Some(id));
    }

    /// A neighbour is gone.
    pub(super) fn end_exchanges_with(&mut self, cx: &mut Context<'_>, peer: NodeId) {
        self.end_exchanges(cx, ExchangeOutcome::PeerDown, |running| running.peer == peer);
    }

    pub(super) fn end_all_exchanges(&mut self, cx: &mut Context<'_>) {
        self.end_exchanges(cx, ExchangeOutcome::Cancelled, |_| true);
    }

    /// The application cancels exchanges; says how many.
    pub(super) fn cancel_exchanges(
        &mut self,
        cx: &mut Context<'_>,
        which: ExchangeSelector,
    ) -> usize {
        self.end_exchanges(cx, ExchangeOutcome::Cancelled, |running| match which {
            ExchangeSelector::All => true,
            ExchangeSelector::Peer(peer) => running.peer == peer,
            ExchangeSelector::Handler(handler) => running.handler == Some(handler),
            ExchangeSelector::Exchange(exchange) => running.exchange == exchange,
        })
    }

    fn end_exchanges(
        &mut self,
        cx: &mut Context<'_>,
        outcome: ExchangeOutcome,
        over: impl Fn(&Running) -> bool,
    ) -> usize {
        let (ended, running) = self.exchanges.running.drain(..).partition(over);
        self.exchanges.running = running;
        let ended: Vec<Running> = ended;
        for Running { exchange, handler, peer, .. } in &ended {
            match outcome {
                ExchangeOutcome::Done => self.counters.exchanges_done += 1,
                _ => self.counters.exchanges_failed += 1,
            }
            if let Some(handler) = *handler {
                let (exchange, peer) = (*exchange, *peer);
                cx.notify(Notification::ExchangeEnded { exchange, handler, peer, outcome });
            }
        }
        ended.len()
    }

    pub(super) fn running_exchanges(&self) -> Vec<ExchangeInfo> {
        let info = |running: &Running| {
            let Running { exchange, handler, peer, .. } = *running;
            ExchangeInfo { exchange, handler, peer }
        };
        self.exchanges.running.iter().map(info).collect()
    }
}
