//! X-BOT: neighbours are exchanged for cheaper ones, four nodes at a time.
//!
//! The *initiator* would like a *candidate* of its passive view in the place of its *old*
//! neighbour; the candidate is full, and would part with another neighbour of its own, the
//! *fourth*, who would take the old one instead. Before: initiator – old, candidate – fourth.
//! After: initiator – candidate, fourth – old. Nobody gains or loses a neighbour.
//!
//! ```text
//! initiator         candidate         fourth            old
//! | Optimize ------> |                 |                 |
//! |                  | Replace ------> |                 |
//! |                  |                 | Switch -------> |  takes the fourth for the initiator
//! | <------------------------------------- Disconnect -- |
//! |                  |                 | <---- Switched  |  takes the old one for the candidate
//! |                  | <--- Disconnect |                 |  takes the initiator for the fourth
//! | <----- Optimized |                 |                 |  takes the candidate for the old one
//! ```
//!
//! A node takes part in one exchange at a time and says no to others at once, so nobody waits for
//! anybody who waits. Each of the four changes its view in a single step. What an exchange that
//! comes to nothing leaves behind are places, which are filled as any other. The initiator's is
//! kept for the candidate meanwhile, until the exchange is over or its deadline has passed; those
//! of the others are earlier the later they were asked. The agreement of two nodes is void when
//! one of them has withdrawn: that is said in the way of [`super::neighbor`].
//!
//! There is no mode in which neighbours are exchanged at random, to mix an overlay that came out
//! badly: none does here, since crowds of joiners are told of a sample of each other (`join`). An
//! application that wants one answers [`Question::Cost`] with random numbers
//! ([`Oracle::Application`]).
//!
//! The dearest neighbours of a node, `protected` of them, are not exchanged by it: they keep the
//! overlay a random graph. A cost that is unknown, or was found out too long ago, never wins.

mod costs;
mod rounds;

use alloc::vec::Vec;
use core::hash::Hash;

use super::HyParView;
use super::passive::Known;
use super::peers::{Purpose, State};
use crate::change::Change;
use crate::config::{Criterion, Oracle, XBotConfig};
use crate::context::Context;
use crate::id::NodeId;
use crate::question::{Question, QuestionId, Response};
use crate::spec::NodeSpec;
use crate::time::Duration;
use crate::timers::Timer;
use alloc::sync::Arc;
use costs::{Bounds, Costs};
use rounds::Exchange;

/// The state of X-BOT at a node.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Exchanges {
    costs: Costs,
    /// The exchange that this node is part of.
    current: Option<Exchange>,
    /// The number of the last exchange that this node began.
    number: u32,
    /// Connected nodes whose round trip is being measured, and what for.
    awaited: Vec<(NodeId, Purpose)>,
    /// What the application was asked.
    questions: Vec<(QuestionId, NodeId, Option<Purpose>)>,
}

impl HyParView {
    fn xbot(&self) -> Option<&XBotConfig> {
        self.config.xbot.as_ref()
    }

    fn bounds(&self) -> Bounds {
        let memory = self.xbot().map_or(Duration::ZERO, |xbot| xbot.cost_memory);
        // Twice the views: those who leave them come back.
        Bounds { memory, most: 2 * (self.config.active_size + self.config.passive_size) }
    }

    /// What the link to a node costs, if it is known.
    fn cost(&self, cx: &Context<'_>, node: NodeId) -> Option<u32> {
        self.exchanges.costs.get(node, cx.now, self.bounds().memory)
    }

    /// Whether a change of costs is worth an exchange.
    fn is_worth(&self, old: u64, new: u64) -> bool {
        let gain = old.saturating_sub(new);
        self.xbot().is_some_and(|xbot| {
            let relative = u128::from(gain) * 100 >= u128::from(old) * u128::from(xbot.least_gain);
            gain > 0 && relative && gain >= u64::from(xbot.least_saving)
        })
    }

    /// Whether this node would like a link of cost `new` in the place of one of cost `old`.
    fn would_gain(&self, old: u32, new: u32) -> bool {
        match self.xbot().map(|xbot| xbot.criterion) {
            Some(Criterion::Each) => self.is_worth(old.into(), new.into()),
            // The sum is looked at when the other two are known.
            Some(Criterion::Sum) => new < old,
            None => false,
        }
    }

    pub(super) fn start_exchanges(&mut self, cx: &mut Context<'_>) {
        if let Some(interval) = self.xbot().map(|xbot| xbot.interval) {
            let first = interval / 2 + self.random.up_to(interval);
            cx.set_timer(Timer::Optimize, first);
        }
    }

    /// The time has come to look for cheaper neighbours.
    pub(super) fn optimize(&mut self, cx: &mut Context<'_>) {
        self.start_exchanges(cx);
        let Some(count) = self.xbot().map(|xbot| xbot.candidates) else {
            return;
        };
        let memory = self.bounds().memory;
        self.exchanges.costs.expire(cx.now, memory);
        self.exchanges.awaited.clear();
        self.exchanges.questions.clear();
        self.look_at_neighbors(cx);
        if self.exchanges.current.is_some() {
            return;
        }
        let Some(dearest) = self.dearest(cx, &[]).and_then(|node| self.cost(cx, node)) else {
            return;
        };
        // Those that are known to be no better are passed over.
        let hopeful = |known: &&Known| {
            let free = matches!(
                self.peers.state(known.node),
                None | Some(State::Stranger | State::Draining)
            );
            let cost = self.cost(cx, known.node);
            free && !self.has_room(&known.spec)
                && cost.is_none_or(|cost| self.would_gain(dearest, cost))
        };
        let mut candidates: Vec<Known> = self.passive.iter().filter(hopeful).cloned().collect();
        self.random.shuffle_front(&mut candidates, count);
        candidates.truncate(count);
        for known in candidates {
            self.look_at(cx, known, Purpose::Candidate);
        }
    }

    /// Finds out again what the links to neighbours cost, where that is long ago.
    fn look_at_neighbors(&mut self, cx: &mut Context<'_>) {
        let memory = self.bounds().memory;
        let stale = |node: &NodeId| self.exchanges.costs.is_stale(*node, cx.now, memory);
        let active: Vec<(NodeId, Arc<NodeSpec>)> = self
            .peers
            .active()
            .map(|peer| (peer.node, peer.spec.clone()))
            .filter(|(node, _)| stale(node))
            .collect();
        for (node, spec) in active {
            match self.xbot().map(|xbot| xbot.oracle) {
                Some(Oracle::Application) => self.ask_cost(cx, (node, spec), None),
                _ => cx.change(Change::Measure { node }),
            }
        }
    }

    /// Asks the application what the link to a node costs.
    fn ask_cost(
        &mut self,
        cx: &mut Context<'_>,
        (node, spec): (NodeId, Arc<NodeSpec>),
        purpose: Option<Purpose>,
    ) {
        let id = cx.ask(Question::Cost { node, spec });
        self.exchanges.questions.push((id, node, purpose));
    }

    /// Finds out what a link to a node would cost, and sees to a session with it where that pays.
    fn look_at(&mut self, cx: &mut Context<'_>, known: Known, purpose: Purpose) {
        let by_application =
            self.xbot().is_some_and(|xbot| matches!(xbot.oracle, Oracle::Application));
        if by_application && self.cost(cx, known.node).is_none() {
            return self.ask_cost(cx, (known.node, known.spec), Some(purpose));
        }
        self.seek(cx, known, purpose);
    }

    /// There is a session with a node that was sought for this.
    pub(super) fn measure(&mut self, cx: &mut Context<'_>, node: NodeId, purpose: Purpose) {
        if self.cost(cx, node).is_some() {
            return self.looked_at(cx, node, purpose);
        }
        self.exchanges.awaited.push((node, purpose));
        cx.change(Change::Measure { node });
    }

    /// A round trip was measured.
    pub(super) fn measured(&mut self, cx: &mut Context<'_>, node: NodeId, span: Duration) {
        if !self.xbot().is_some_and(|xbot| matches!(xbot.oracle, Oracle::RoundTrip)) {
            return;
        }
        let bounds = self.bounds();
        self.exchanges.costs.add(node, span, cx.now, bounds);
        let awaited = |(other, _): &(NodeId, Purpose)| *other == node;
        if let Some(place) = self.exchanges.awaited.iter().position(awaited) {
            let (_, purpose) = self.exchanges.awaited.swap_remove(place);
            self.looked_at(cx, node, purpose);
        }
    }

    /// The application tells what a link costs.
    pub(super) fn told_cost(&mut self, cx: &mut Context<'_>, id: QuestionId, response: &Response) {
        let asked = self.exchanges.questions.iter().position(|(other, ..)| *other == id);
        let (Some(place), Response::Cost(cost)) = (asked, response) else {
            return;
        };
        let (_, node, purpose) = self.exchanges.questions.swap_remove(place);
        match cost {
            Some(cost) => {
                let most = self.bounds().most;
                self.exchanges.costs.set(node, *cost, cx.now, most);
            }
            None => self.exchanges.costs.forget(node),
        }
        match purpose {
            Some(Purpose::Candidate) => self.seek_candidate(cx, node),
            Some(Purpose::Exchange) => self.seek_old(cx, node),
            _ => {}
        }
    }

    /// The cost of a candidate is known: looks for a session with it if it is worth one.
    fn seek_candidate(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let dearest = self.dearest(cx, &[]).and_then(|node| self.cost(cx, node));
        let cost = self.cost(cx, node);
        if let Some((dearest, cost)) = dearest.zip(cost)
            && self.would_gain(dearest, cost)
            && let Some(known) = self.passive.get(node).cloned()
        {
            self.seek(cx, known, Purpose::Candidate);
        }
    }

    /// There is a session with a node, and what a link to it costs is known.
    fn looked_at(&mut self, cx: &mut Context<'_>, node: NodeId, purpose: Purpose) {
        match purpose {
            Purpose::Candidate => self.propose(cx, node),
            _ => self.switch(cx, node),
        }
    }

    /// The dearest neighbour that may be exchanged: not one of the protected, nor one in a place
    /// kept for its tag, nor one whose cost is unknown, who may be dearer than all.
    fn dearest(&self, cx: &Context<'_>, except: &[NodeId]) -> Option<NodeId> {
        let protected = self.xbot()?.protected;
        let mut ranked: Vec<(Option<u32>, NodeId)> =
            self.peers.active().map(|peer| (self.cost(cx, peer.node), peer.node)).collect();
        // The unknown first, then the dearest.
        ranked.sort_by_key(|(cost, node)| {
            (core::cmp::Reverse(cost.map_or(u64::MAX, u64::from)), *node)
        });
        let free = |node: NodeId| {
            !except.contains(&node)
                && self.peers.get(node).is_some_and(|peer| !self.is_reserved(peer))
        };
        let mut biased = ranked.into_iter().skip(protected);
        biased.find(|(cost, node)| cost.is_some() && free(*node)).map(|(_, node)| node)
    }
}
