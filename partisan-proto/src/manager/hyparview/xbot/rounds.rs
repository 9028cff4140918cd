//! One exchange of four, as each of them sees it.

use alloc::vec::Vec;
use core::hash::Hash;

use crate::change::Change;
use crate::config::Criterion;
use crate::context::Context;
use crate::error::CloseReason;
use crate::id::NodeId;
use crate::manager::hyparview::HyParView;
use crate::manager::hyparview::passive::Known;
use crate::manager::hyparview::peers::{Peer, Purpose, State};
use crate::timers::Timer;
use crate::wire::{
    Bounded, ControlMessage, Costs, HyParViewMessage, NeighborEnd, Optimize, Parting, Replace,
    Round, Switch, Verdict,
};

/// An exchange that this node is part of.
#[derive(Clone, Debug, Hash)]
pub(super) struct Exchange {
    round: Round,
    role: Role,
}

/// Who this node is in an exchange. The old neighbour does all it has to in one step.
#[derive(Clone, Debug, Hash)]
enum Role {
    Initiator { old: NodeId, candidate: NodeId, phase: Phase },
    Candidate { initiator: NodeId, fourth: NodeId },
    Fourth { candidate: NodeId, old: Known, costs: (Costs, u32), asked: bool },
}

/// How far the initiator has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// The candidate was asked.
    Asked,
    /// The old neighbour has another in the place of this node, and is here the neighbour that it
    /// was until the candidate comes.
    Released,
    /// Its session has ended before the candidate came: the place is kept.
    Vacant,
}

impl HyParView {
    /// Whether a neighbour is part of the exchange that is under way, and not to be parted with.
    pub(in crate::manager::hyparview) fn is_committed(&self, node: NodeId) -> bool {
        self.exchanges.current.as_ref().is_some_and(|exchange| match exchange.role {
            Role::Initiator { old, .. } => old == node,
            Role::Candidate { fourth, .. } => fourth == node,
            Role::Fourth { candidate, .. } => candidate == node,
        })
    }

    /// How many places in the active view are kept for the candidate of an exchange.
    pub(in crate::manager::hyparview) fn promised(&self) -> usize {
        let role = self.exchanges.current.as_ref().map(|exchange| &exchange.role);
        usize::from(matches!(role, Some(Role::Initiator { phase: Phase::Vacant, .. })))
    }

    /// Whether a neighbour has ended being one, as an exchange wants it.
    pub(in crate::manager::hyparview) fn has_released(&self, node: NodeId) -> bool {
        let role = self.exchanges.current.as_ref().map(|exchange| &exchange.role);
        matches!(role, Some(Role::Initiator { old, phase: Phase::Released, .. }) if *old == node)
    }

    /// Forgets the exchange that is under way: this node is another incarnation, or stops.
    pub(in crate::manager::hyparview) fn forget_rounds(&mut self, cx: &mut Context<'_>) {
        self.conclude(cx);
        self.exchanges.awaited.clear();
        self.exchanges.questions.clear();
    }

    fn begin(&mut self, cx: &mut Context<'_>, round: Round, role: Role) {
        let timeout = self.config.xbot.as_ref().map_or(self.config.answer_timeout, |xbot| {
            // Whoever was asked later gives up earlier.
            match role {
                Role::Initiator { .. } => xbot.round_timeout,
                Role::Candidate { .. } => xbot.round_timeout / 4 * 3,
                Role::Fourth { .. } => xbot.round_timeout / 2,
            }
        });
        cx.set_timer(Timer::EndRound, timeout);
        self.exchanges.current = Some(Exchange { round, role });
    }

    fn conclude(&mut self, cx: &mut Context<'_>) -> Option<Exchange> {
        cx.timers.cancel(Timer::EndRound);
        self.exchanges.current.take()
    }

    /// Whether this node may take part in one more exchange.
    fn is_open(&self, cx: &Context<'_>) -> bool {
        self.config.xbot.is_some() && self.exchanges.current.is_none() && !cx.me.stopping
    }

    /// Whether a peer is connected, and nothing is agreed on with it or being asked.
    fn is_at_leisure(&self, node: NodeId) -> bool {
        matches!(self.peers.state(node), Some(State::Stranger | State::Draining))
    }

    pub(in crate::manager::hyparview) fn on_exchange(
        &mut self,
        cx: &mut Context<'_>,
        from: NodeId,
        message: HyParViewMessage,
    ) {
        match message {
            HyParViewMessage::Optimize(optimize) => self.on_optimize(cx, from, *optimize),
            HyParViewMessage::Optimized(verdict) => self.on_optimized(cx, from, *verdict),
            HyParViewMessage::Replace(replace) => self.on_replace(cx, from, *replace),
            HyParViewMessage::NotReplaced { round } => self.on_not_replaced(cx, from, round),
            HyParViewMessage::Switch(switch) => self.on_switch(cx, from, *switch),
            HyParViewMessage::Switched(verdict) => self.on_switched(cx, from, *verdict),
            // Not part of an exchange.
            _ => {}
        }
    }

    /// The initiator: what a link to a connected candidate costs is known.
    pub(super) fn propose(&mut self, cx: &mut Context<'_>, candidate: NodeId) {
        if !self.is_at_leisure(candidate) {
            return;
        }
        let full = self.peers.get(candidate).is_some_and(|peer| !self.has_room(&peer.spec));
        let old = self.dearest(cx, &[]).filter(|_| full && self.is_open(cx));
        let introduction = old.and_then(|old| self.peers.get(old)).map(Peer::introduction);
        let costs = old.and_then(|old| self.cost(cx, old)).zip(self.cost(cx, candidate));
        let gain = costs.filter(|(old, new)| self.would_gain(*old, *new));
        let (Some((dear, cheap)), Some(old), Some(peer)) =
            (gain, introduction, self.peers.get_mut(candidate))
        else {
            return self.drain(cx, candidate);
        };
        peer.state = State::Asked(Purpose::Candidate);
        let seen = peer.seen;
        self.exchanges.number = self.exchanges.number.wrapping_add(1);
        let round = Round { initiator: cx.me.instance, number: self.exchanges.number };
        let role = Role::Initiator { old: old.spec.id(), candidate, phase: Phase::Asked };
        let costs = Some(Costs { old: dear, new: cheap });
        let optimize = Optimize { round, seen, old, costs };
        send(cx, candidate, HyParViewMessage::Optimize(optimize.into()));
        self.begin(cx, round, role);
        // The deadline of the exchange is that of the answer.
        cx.timers.cancel(Timer::Peer(candidate));
    }

    /// The candidate is asked.
    fn on_optimize(&mut self, cx: &mut Context<'_>, initiator: NodeId, optimize: Optimize) {
        let Optimize { round, seen, old, costs } = optimize;
        let old = Known::from(old);
        let fits = self
            .peers
            .get(initiator)
            .is_some_and(|peer| peer.sent == seen && peer.instance() == round.initiator);
        let named = [self.me, initiator].contains(&old.node) || self.warn_of(cx, initiator, &old);
        let costs = costs.filter(|_| fits && !named && self.is_open(cx));
        let costs = costs.filter(|_| self.is_at_leisure(initiator));
        let Some(costs) = costs else {
            return self.answer_initiator(cx, initiator, round, (false, false));
        };
        if self.peers.get(initiator).is_some_and(|peer| self.has_room(&peer.spec)) {
            self.answer_initiator(cx, initiator, round, (true, true));
            return self.activate(cx, initiator);
        }
        let fourth = self.dearest(cx, &[old.node]);
        let Some((fourth, cost)) = fourth.and_then(|node| Some((node, self.cost(cx, node)?)))
        else {
            return self.answer_initiator(cx, initiator, round, (false, false));
        };
        let replace = Replace { round, old: old.introduction(), costs: Some((costs, cost)) };
        send(cx, fourth, HyParViewMessage::Replace(replace.into()));
        self.begin(cx, round, Role::Candidate { initiator, fourth });
        // The session lasts as long as the exchange.
        cx.timers.cancel(Timer::Peer(initiator));
    }

    fn answer_initiator(
        &mut self,
        cx: &mut Context<'_>,
        initiator: NodeId,
        round: Round,
        (accepted, had_room): (bool, bool),
    ) {
        let seen = self.peers.get(initiator).map_or(0, |peer| peer.seen);
        let verdict = Verdict { round, seen, accepted, had_room };
        send(cx, initiator, HyParViewMessage::Optimized(verdict.into()));
    }

    /// The candidate says no, after others were asked.
    fn deny(&mut self, cx: &mut Context<'_>, initiator: NodeId, round: Round) {
        self.answer_initiator(cx, initiator, round, (false, false));
        if self.is_at_leisure(initiator) {
            cx.set_timer(Timer::Peer(initiator), self.config.answer_timeout);
        }
    }

    /// The fourth is asked.
    fn on_replace(&mut self, cx: &mut Context<'_>, candidate: NodeId, replace: Replace) {
        let Replace { round, old, costs } = replace;
        let old = Known::from(old);
        let own = [self.me, candidate];
        let named = own.contains(&old.node)
            || own.contains(&round.initiator.node)
            || round.initiator.node == old.node
            || self.warn_of(cx, candidate, &old);
        let free =
            matches!(self.peers.state(old.node), None | Some(State::Stranger | State::Draining));
        let costs = costs.filter(|_| free && !named && self.is_open(cx));
        let costs = costs.filter(|_| {
            let active = |peer: &Peer| peer.state == State::Active && !self.is_reserved(peer);
            self.peers.get(candidate).is_some_and(active)
        });
        let Some(costs) = costs else {
            return send(cx, candidate, HyParViewMessage::NotReplaced { round });
        };
        let known = self.cost(cx, old.node).is_some();
        if known && !self.agrees(cx, candidate, old.node, costs) {
            return send(cx, candidate, HyParViewMessage::NotReplaced { round });
        }
        let sought = old.clone();
        self.begin(cx, round, Role::Fourth { candidate, old, costs, asked: false });
        self.look_at(cx, sought, Purpose::Exchange);
    }

    /// Whether the fourth would rather have the old neighbour than the candidate.
    fn agrees(
        &self,
        cx: &Context<'_>,
        candidate: NodeId,
        old: NodeId,
        (costs, told): (Costs, u32),
    ) -> bool {
        let (own, new) = (self.cost(cx, candidate), self.cost(cx, old));
        let Some(new) = new else {
            return false;
        };
        match self.config.xbot.as_ref().map(|xbot| xbot.criterion) {
            Some(Criterion::Each) => own.is_some_and(|own| self.is_worth(own.into(), new.into())),
            Some(Criterion::Sum) => {
                let before = u64::from(costs.old) + u64::from(own.unwrap_or(told));
                self.is_worth(before, u64::from(costs.new) + u64::from(new))
            }
            None => false,
        }
    }

    /// The application told the fourth what the link to the old neighbour costs.
    pub(super) fn seek_old(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let Some(Exchange { role: Role::Fourth { candidate, old, costs, .. }, .. }) =
            &self.exchanges.current
        else {
            return;
        };
        let (candidate, old, costs) = (*candidate, old.clone(), *costs);
        if old.node == node {
            match self.agrees(cx, candidate, node, costs) {
                true => self.seek(cx, old, Purpose::Exchange),
                false => self.give_up(cx),
            }
        }
    }

    /// The fourth: there is a session with the old neighbour, and what that link costs is known.
    pub(super) fn switch(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let leisure = self.is_at_leisure(node);
        let (candidate, round, costs) = match &self.exchanges.current {
            Some(Exchange {
                round,
                role: Role::Fourth { candidate, old, costs, asked: false },
            }) if old.node == node => (*candidate, *round, *costs),
            _ if leisure => return self.drain(cx, node),
            _ => return,
        };
        let introduction = self.peers.get(candidate).map(Peer::introduction);
        let agreed = leisure && self.agrees(cx, candidate, node, costs);
        let (Some(introduction), Some(peer)) =
            (introduction.filter(|_| agreed), self.peers.get_mut(node))
        else {
            return self.give_up(cx);
        };
        peer.state = State::Asked(Purpose::Exchange);
        let switch = Switch { round, seen: peer.seen, candidate: introduction };
        send(cx, node, HyParViewMessage::Switch(switch.into()));
        cx.timers.cancel(Timer::Peer(node));
        if let Some(Exchange { role: Role::Fourth { asked, .. }, .. }) = &mut self.exchanges.current
        {
            *asked = true;
        }
    }

    /// The old neighbour is asked.
    fn on_switch(&mut self, cx: &mut Context<'_>, fourth: NodeId, switch: Switch) {
        let Switch { round, seen, .. } = switch;
        let initiator = round.initiator.node;
        let (own, asker) = (self.peers.get(initiator), self.peers.get(fourth));
        let accepted = self.is_open(cx)
            && self.is_at_leisure(fourth)
            && asker.is_some_and(|peer| peer.sent == seen)
            && own.is_some_and(|peer| {
                let active = peer.state == State::Active && !self.is_reserved(peer);
                active && peer.instance() == round.initiator
            });
        let seen = asker.map_or(0, |peer| peer.seen);
        let verdict = Verdict { round, seen, accepted, had_room: false };
        if accepted {
            self.say_exchanged(cx, initiator, round);
        }
        send(cx, fourth, HyParViewMessage::Switched(verdict.into()));
        if accepted {
            self.swap(cx, initiator, fourth, self.config.draining);
        }
    }

    /// The old neighbour answers the fourth.
    fn on_switched(&mut self, cx: &mut Context<'_>, node: NodeId, verdict: Verdict) {
        let candidate = match &self.exchanges.current {
            Some(Exchange { round, role: Role::Fourth { candidate, old, asked: true, .. } })
                if *round == verdict.round && old.node == node =>
            {
                *candidate
            }
            _ => return,
        };
        if self.is_agreed(cx, node, verdict, Purpose::Exchange) {
            self.say_exchanged(cx, candidate, verdict.round);
            self.swap(cx, candidate, node, self.config.draining);
        }
    }

    /// Whether a node that was asked for this says yes, which concludes this node's part. A no ends
    /// the exchange; an answer that crossed a disconnection is none.
    fn is_agreed(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        verdict: Verdict,
        purpose: Purpose,
    ) -> bool {
        let valid = |peer: &Peer| peer.sent == verdict.seen && peer.state == State::Asked(purpose);
        if !self.peers.get(node).is_some_and(valid) {
            return false;
        }
        if verdict.accepted {
            self.conclude(cx);
        } else {
            self.drain(cx, node);
            self.give_up(cx);
        }
        verdict.accepted
    }

    /// The fourth says no to the candidate.
    fn on_not_replaced(&mut self, cx: &mut Context<'_>, node: NodeId, said: Round) {
        if let Some(Exchange { round, role: Role::Candidate { fourth, .. } }) =
            self.exchanges.current
            && round == said
            && fourth == node
        {
            self.give_up(cx);
        }
    }

    /// A neighbour disconnects by an exchange; says whether this node knows of it.
    pub(in crate::manager::hyparview) fn exchanged(
        &mut self,
        cx: &mut Context<'_>,
        from: NodeId,
        said: Round,
    ) -> bool {
        let Some(exchange) = self.exchanges.current.as_mut().filter(|known| known.round == said)
        else {
            return false;
        };
        match &mut exchange.role {
            Role::Initiator { old, phase, .. } if *old == from => {
                *phase = Phase::Released;
                true
            }
            Role::Candidate { initiator, fourth } if *fourth == from => {
                let initiator = *initiator;
                if !self.is_at_leisure(initiator) {
                    return false;
                }
                self.conclude(cx);
                self.answer_initiator(cx, initiator, said, (true, false));
                self.swap(cx, from, initiator, self.config.draining.saturating_mul(2));
                true
            }
            _ => false,
        }
    }

    /// The candidate answers the initiator.
    fn on_optimized(&mut self, cx: &mut Context<'_>, node: NodeId, verdict: Verdict) {
        let old = match self.exchanges.current {
            Some(Exchange { round, role: Role::Initiator { old, candidate, .. } })
                if round == verdict.round && candidate == node =>
            {
                old
            }
            _ => return,
        };
        if !self.is_agreed(cx, node, verdict, Purpose::Candidate) {
            return;
        }
        if !self.peers.is_active(old) {
            return self.activate(cx, node);
        }
        if verdict.had_room {
            self.say_parted(cx, old, Parting::Evicted, Vec::new());
        }
        // It has disconnected this node itself, or will be found to have.
        self.swap(cx, old, node, self.config.draining.saturating_mul(2));
    }

    /// The exchange takes too long.
    pub(in crate::manager::hyparview) fn end_round(&mut self, cx: &mut Context<'_>) {
        self.give_up(cx);
    }

    /// Ends the exchange that is under way: those who wait for this node are told, and what was
    /// asked is withdrawn. A place that is empty by it is filled as any other.
    fn give_up(&mut self, cx: &mut Context<'_>) {
        let Some(Exchange { round, role }) = self.conclude(cx) else {
            return;
        };
        match role {
            Role::Initiator { old, candidate, phase } => {
                self.let_go(cx, candidate);
                if phase == Phase::Released && self.peers.is_active(old) {
                    self.deactivate(cx, old);
                    cx.set_timer(Timer::Peer(old), self.config.draining.saturating_mul(2));
                }
                if phase != Phase::Asked {
                    self.look_anew(cx);
                }
            }
            Role::Candidate { initiator, .. } => self.deny(cx, initiator, round),
            Role::Fourth { candidate, old, .. } => {
                send(cx, candidate, HyParViewMessage::NotReplaced { round });
                self.let_go(cx, old.node);
            }
        }
    }

    /// Nothing more is wanted of a node that was sought or asked.
    fn let_go(&mut self, cx: &mut Context<'_>, node: NodeId) {
        match self.peers.state(node) {
            Some(State::Asked(Purpose::Candidate | Purpose::Exchange)) => {
                self.part(cx, node, Parting::Withdrawn, Vec::new());
            }
            Some(State::Dialled(Purpose::Candidate | Purpose::Exchange)) => {
                self.peers.remove(node);
                cx.timers.cancel(Timer::Peer(node));
                cx.change(Change::Release { node, reason: CloseReason::NotWanted });
            }
            Some(State::Stranger) => self.drain(cx, node),
            _ => {}
        }
    }

    /// Somebody is lost, or withdraws: if it has a part in the exchange, that is over; unless it is
    /// the old neighbour, who has done its part.
    pub(in crate::manager::hyparview) fn lost_in_round(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
    ) {
        let Some(exchange) = &mut self.exchanges.current else {
            return;
        };
        let over = match &mut exchange.role {
            Role::Initiator { old, phase: phase @ Phase::Released, .. } if *old == node => {
                *phase = Phase::Vacant;
                false
            }
            Role::Initiator { old, candidate, phase } => {
                *candidate == node || (*old == node && *phase == Phase::Asked)
            }
            Role::Candidate { initiator, fourth } => *initiator == node || *fourth == node,
            Role::Fourth { candidate, old, .. } => *candidate == node || old.node == node,
        };
        if over {
            self.give_up(cx);
        }
    }

    /// Tells a neighbour that another has its place, by an exchange.
    fn say_exchanged(&mut self, cx: &mut Context<'_>, node: NodeId, round: Round) {
        if let Some(peer) = self.peers.get_mut(node) {
            peer.sent = peer.sent.wrapping_add(1);
            let end = NeighborEnd { why: Parting::Exchanged(round), hints: Bounded::default() };
            send(cx, node, HyParViewMessage::Disconnect(end.into()));
        }
    }
}

fn send(cx: &mut Context<'_>, to: NodeId, message: HyParViewMessage) {
    cx.send(to, ControlMessage::HyParView(message));
}
