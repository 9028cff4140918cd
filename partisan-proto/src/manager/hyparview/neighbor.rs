//! Becoming neighbours, and ceasing to be.
//!
//! What two nodes are to each other is agreed on within one session, whose messages arrive in
//! order, and ends with it. One asks, the other accepts or declines; two that ask each other both
//! accept. Either may disconnect at any time, and that always takes effect. What crossed a
//! disconnection on its way is void: each request and each acceptance tells how many disconnections
//! its sender has seen within the session, and the receiver knows how many it has sent (the
//! original's disconnect ids, without their memory across sessions and lives).

use alloc::vec;
use alloc::vec::Vec;

use super::HyParView;
use super::check::is_no_news;
use super::passive::Known;
use super::peers::{Peer, Purpose, State};
use crate::change::Change;
use crate::context::Context;
use crate::error::{CloseReason, Refusal};
use crate::id::NodeId;
use crate::notification::{DialError, Notification};
use crate::spec::NodeSpec;
use crate::time::Duration;
use crate::timers::Timer;
use crate::wire::{
    ControlMessage, Declined, HyParViewMessage, Introduction, NeighborAccept, NeighborDecline,
    NeighborEnd, NeighborRequest, Parting, Wish,
};

impl HyParView {
    /// Whether a peer with this spec would find room; places kept for others are none.
    pub(super) fn has_room(&self, spec: &NodeSpec) -> bool {
        self.fits(spec, self.pledged())
    }

    /// How many places are kept for those that were asked, or for the candidate of an exchange.
    pub(super) fn pledged(&self) -> usize {
        self.peers.asked().count() + self.promised()
    }

    /// As [`HyParView::has_room`], with so many places given away besides.
    pub(super) fn fits(&self, spec: &NodeSpec, pledged: usize) -> bool {
        let taken = self.peers.active().count() + pledged;
        if taken >= self.config.active_size || self.config.reservations.is_empty() {
            return taken < self.config.active_size;
        }
        let open = self.config.reservations.iter().map(|(tag, places)| {
            let holders = self.peers.active().filter(|peer| peer.has(tag)).count();
            let kept = places.saturating_sub(holders);
            if spec.tags().contains(tag) { 0 } else { kept }
        });
        taken + open.sum::<usize>() < self.config.active_size
    }

    /// Whether a neighbour sits in a place that is kept for its tag.
    pub(super) fn is_reserved(&self, peer: &Peer) -> bool {
        self.config.reservations.iter().any(|(tag, places)| {
            peer.has(tag) && self.peers.active().filter(|other| other.has(tag)).count() <= *places
        })
    }

    /// A random neighbour that may be parted with.
    pub(super) fn pick_victim(&mut self, except: NodeId) -> Option<NodeId> {
        let free = |peer: &&Peer| {
            peer.node != except && !self.is_reserved(peer) && !self.is_committed(peer.node)
        };
        let victims: Vec<NodeId> = self.peers.active().filter(free).map(|peer| peer.node).collect();
        victims.get(self.random.below(victims.len())).copied()
    }

    /// Looks for a session with a node in order to ask it something.
    pub(super) fn seek(&mut self, cx: &mut Context<'_>, known: Known, purpose: Purpose) {
        let instance = known.instance();
        let node = instance.node;
        match self.peers.state(node) {
            Some(State::Stranger | State::Draining) => self.pursue(cx, node, purpose),
            // What is wanted of it comes before the mere check.
            Some(State::Dialled(Purpose::Check)) => {
                if let Some(peer) = self.peers.get_mut(node) {
                    peer.state = State::Dialled(purpose);
                }
            }
            Some(State::Dialled(_) | State::Asked(_) | State::Active) => {}
            None if node == cx.me.instance.node => {}
            None => {
                let spec = known.spec;
                cx.change(Change::Probe { instance, spec: spec.clone() });
                let state = State::Dialled(purpose);
                self.peers.insert(Peer::new(instance, spec, Default::default(), state));
                // Long enough for every address, and for a handshake.
                cx.set_timer(Timer::Peer(node), self.config.answer_timeout.saturating_mul(4));
            }
        }
    }

    /// There is a session with a node that was sought: asks it.
    pub(super) fn pursue(&mut self, cx: &mut Context<'_>, node: NodeId, purpose: Purpose) {
        let Some(peer) = self.peers.get(node) else {
            return;
        };
        match purpose {
            Purpose::Fill if !self.has_room(&peer.spec) => self.drain(cx, node),
            Purpose::Merge if self.has_room(&peer.spec) => self.request(cx, node, Purpose::Fill),
            Purpose::Merge if !self.may_merge(cx.now) => {
                let known = peer.introduction().into();
                self.book.remember(known);
                self.drain(cx, node);
            }
            Purpose::Fill | Purpose::Join | Purpose::Place | Purpose::Merge => {
                self.request(cx, node, purpose);
            }
            Purpose::Candidate | Purpose::Exchange => self.measure(cx, node, purpose),
            Purpose::Check => self.found_alive(cx, node),
        }
    }

    fn request(&mut self, cx: &mut Context<'_>, node: NodeId, purpose: Purpose) {
        let wish = match purpose {
            Purpose::Join => Wish::Join,
            Purpose::Merge => Wish::Merge,
            _ if self.may_split(cx) => Wish::High,
            _ => Wish::Low,
        };
        let trades = matches!(wish, Wish::Join | Wish::Merge);
        let full = self.peers.get(node).is_some_and(|peer| !self.has_room(&peer.spec));
        self.offered = if trades && full { self.pick_victim(node) } else { None };
        let offer = self.offered.and_then(|node| self.peers.get(node)).map(Peer::introduction);
        let exchange = self.sample(node);
        let Some(peer) = self.peers.get_mut(node) else {
            return;
        };
        peer.state = State::Asked(purpose);
        let request = NeighborRequest { wish, seen: peer.seen, offer, exchange };
        let message = HyParViewMessage::Neighbor(request.into());
        cx.send(node, ControlMessage::HyParView(message));
        cx.set_timer(Timer::Peer(node), self.config.answer_timeout);
    }

    /// A peer wants to be a neighbour.
    pub(super) fn on_neighbor(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        request: NeighborRequest,
    ) {
        let NeighborRequest { wish, seen, offer, exchange } = request;
        self.learn(cx, node, exchange);
        if let Some(State::Asked(Purpose::Candidate | Purpose::Exchange)) = self.peers.state(node) {
            // It has not seen what it was asked, and will say no to that.
            self.stand_back(cx, node);
        }
        let Some(peer) = self.peers.get(node).filter(|peer| peer.sent == seen) else {
            return;
        };
        let (room, newcomer) = (self.has_room(&peer.spec), peer.introduction());
        match (peer.state, wish) {
            (State::Dialled(_), _) => {}
            (State::Active, _) => self.send_accept(cx, node),
            // The places of those that were asked are kept; who else was asked is made room for.
            (State::Asked(Purpose::Fill), _) => self.accept(cx, node),
            (State::Asked(_), _) if room => self.accept(cx, node),
            (State::Asked(_), _) => self.accept_instead(cx, node, vec![newcomer]),
            (State::Stranger | State::Draining, Wish::Join) => self.on_join(cx, node, room, offer),
            (State::Stranger | State::Draining, _) if room => self.accept(cx, node),
            (State::Stranger | State::Draining, Wish::Low) => {
                self.decline(cx, node, Declined::Full);
            }
            (State::Stranger | State::Draining, Wish::High) => {
                self.accept_instead(cx, node, vec![newcomer]);
            }
            (State::Stranger | State::Draining, Wish::Merge) => {
                let hints = offer.into_iter().chain([newcomer]).collect();
                match self.may_evict(cx.now) {
                    true => self.accept_instead(cx, node, hints),
                    false => self.decline(cx, node, Declined::Full),
                }
            }
        }
    }

    pub(super) fn accept(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.send_accept(cx, node);
        self.activate(cx, node);
    }

    /// Accepts a neighbour in the place of another, who is told whom it may ask.
    pub(super) fn accept_instead(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        hints: Vec<Introduction>,
    ) {
        let Some(victim) = self.pick_victim(node) else {
            return self.decline(cx, node, Declined::Full);
        };
        self.last_eviction = Some(cx.now);
        self.part(cx, victim, Parting::Evicted, hints);
        self.accept(cx, node);
    }

    fn send_accept(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let exchange = self.sample(node);
        let seen = self.peers.get(node).map_or(0, |peer| peer.seen);
        let accept = NeighborAccept { seen, exchange };
        let message = HyParViewMessage::Accept(accept.into());
        cx.send(node, ControlMessage::HyParView(message));
    }

    pub(super) fn decline(&mut self, cx: &mut Context<'_>, node: NodeId, why: Declined) {
        let exchange = match why {
            Declined::Crowded => self.crowd_sample(node),
            Declined::Full | Declined::Placed => self.sample_of_both(node),
        };
        self.tally.counters.declined += 1;
        let message = HyParViewMessage::Decline(NeighborDecline { why, exchange }.into());
        cx.send(node, ControlMessage::HyParView(message));
    }

    /// A peer that was asked accepts.
    pub(super) fn on_accept(&mut self, cx: &mut Context<'_>, node: NodeId, accept: NeighborAccept) {
        self.learn(cx, node, accept.exchange);
        let peer = self.peers.get(node).filter(|peer| peer.sent == accept.seen);
        let Some(State::Asked(purpose)) = peer.map(|peer| peer.state) else {
            return;
        };
        let offered = self.offered.take();
        let free = |node: &NodeId| self.peers.is_active(*node) && !self.is_committed(*node);
        let offered = offered.filter(free);
        // The place that was kept for it does not count against it.
        let pledged = self.peers.asked().filter(|peer| peer.node != node).count();
        let pledged = pledged + self.promised();
        let room = peer.is_some_and(|peer| self.fits(&peer.spec, pledged));
        if !room {
            let (victim, why, hints) = match purpose {
                Purpose::Place => {
                    let newcomer = peer.map(Peer::introduction).into_iter().collect();
                    (self.pick_victim(node), Parting::Evicted, newcomer)
                }
                Purpose::Join | Purpose::Merge => {
                    let victim = offered.or_else(|| self.pick_victim(node));
                    (victim, Parting::Replaced, Vec::new())
                }
                Purpose::Fill | Purpose::Candidate | Purpose::Exchange | Purpose::Check => {
                    (None, Parting::Evicted, Vec::new())
                }
            };
            let Some(victim) = victim else {
                return self.part(cx, node, Parting::Withdrawn, Vec::new());
            };
            self.part(cx, victim, why, hints);
        }
        if purpose == Purpose::Merge {
            self.last_merge = Some(cx.now);
        }
        self.activate(cx, node);
    }

    /// A peer that was asked does not accept.
    pub(super) fn on_decline(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        decline: NeighborDecline,
    ) {
        self.learn(cx, node, decline.exchange);
        let Some(State::Asked(purpose)) = self.peers.state(node) else {
            return;
        };
        self.declined(cx, node, purpose, decline.why);
    }

    fn declined(&mut self, cx: &mut Context<'_>, node: NodeId, purpose: Purpose, why: Declined) {
        self.tally.counters.declined_by_peer += 1;
        if purpose == Purpose::Join {
            self.on_placed(cx, node, why);
        } else if self.joining.is_through(node) {
            return self.request(cx, node, Purpose::Join);
        }
        if let Some(peer) = self.peers.get(node) {
            let known = peer.introduction().into();
            self.reserve(known);
        }
        self.release(cx, node);
        if purpose == Purpose::Fill || why == Declined::Crowded {
            self.refill(cx);
        }
    }

    /// A peer is a neighbour from now on.
    pub(super) fn activate(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.activate_for(cx, node, None);
    }

    /// A peer is a neighbour from now on, in the place of one that is none any more; the session
    /// with that one goes on for a while.
    pub(super) fn swap(
        &mut self,
        cx: &mut Context<'_>,
        gone: NodeId,
        node: NodeId,
        lasting: Duration,
    ) {
        let known = self.peers.get(gone).map(|peer| peer.introduction().into());
        self.ceased(cx, gone);
        cx.set_timer(Timer::Peer(gone), lasting);
        self.activate_for(cx, node, Some(gone));
        if let Some(known) = known {
            self.reserve(known);
        }
    }

    fn activate_for(&mut self, cx: &mut Context<'_>, node: NodeId, gone: Option<NodeId>) {
        let alone = self.is_isolated();
        let Some(peer) = self.peers.get_mut(node) else {
            return;
        };
        peer.state = State::Active;
        let (instance, spec) = (peer.instance(), peer.spec.clone());
        self.count_gain(cx.now);
        cx.timers.cancel(Timer::Peer(node));
        self.passive.remove(node);
        self.book.forget(node);
        cx.change(Change::Keep { instance, spec: spec.clone(), patient: false });
        let incarnation = instance.incarnation;
        cx.notify(Notification::MemberJoined { spec, incarnation });
        match gone {
            Some(gone) => cx.neighbor_swapped(gone, instance),
            None => cx.neighbor_up(instance),
        }
        cx.change(Change::MembersChanged);
        self.unsaved = true;
        self.search.fruitless = 0;
        self.tell_removals(cx, node);
        // One of a crowd was told of others a moment ago.
        if alone && !self.search.crowded {
            self.send_sample(cx);
        }
        self.end_recall(cx);
        self.finish_joins(cx, node);
    }

    /// A neighbour is none any more, in the view and for everybody who was told.
    pub(super) fn deactivate(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.ceased(cx, node);
        cx.neighbor_down(node);
    }

    /// As [`HyParView::deactivate`], but for whoever follows the overlay.
    pub(super) fn ceased(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let Some(peer) = self.peers.get_mut(node).filter(|peer| peer.state == State::Active) else {
            return;
        };
        peer.state = State::Draining;
        cx.notify(Notification::MemberLeft { node });
        cx.change(Change::MembersChanged);
        self.unsaved = true;
        self.joining.settle(cx, node);
        self.lost_in_round(cx, node);
    }

    /// Ends being neighbours; the session goes on for a while.
    pub(super) fn part(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        why: Parting,
        hints: Vec<Introduction>,
    ) {
        let Some(known) = self.peers.get(node).map(|peer| peer.introduction().into()) else {
            return;
        };
        self.say_parted(cx, node, why, hints);
        self.deactivate(cx, node);
        self.drain(cx, node);
        self.reserve(known);
    }

    /// Tells a peer that it is no neighbour any more.
    pub(super) fn say_parted(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        why: Parting,
        hints: Vec<Introduction>,
    ) {
        if let Some(peer) = self.peers.get_mut(node) {
            peer.sent = peer.sent.wrapping_add(1);
            self.tally.counters.parted += u64::from(peer.state == State::Active);
            let hints = self.hints(node, hints);
            let message = HyParViewMessage::Disconnect(NeighborEnd { why, hints }.into());
            cx.send(node, ControlMessage::HyParView(message));
        }
    }

    /// A peer that was asked to take part in an exchange asks something else: that comes first.
    fn stand_back(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.drain(cx, node);
        self.lost_in_round(cx, node);
    }

    /// A former neighbour's session goes on for a while.
    pub(super) fn drain(&mut self, cx: &mut Context<'_>, node: NodeId) {
        if let Some(peer) = self.peers.get_mut(node) {
            peer.state = State::Draining;
            cx.set_timer(Timer::Peer(node), self.config.draining);
        }
    }

    /// A peer ends what was between the two.
    pub(super) fn on_disconnect(&mut self, cx: &mut Context<'_>, node: NodeId, end: NeighborEnd) {
        let Some(peer) = self.peers.get_mut(node) else {
            return;
        };
        peer.seen = peer.seen.wrapping_add(1);
        let (state, instance) = (peer.state, peer.instance());
        let known: Known = peer.introduction().into();
        if end.why == Parting::Leaving {
            return self.on_removal(cx, node, instance.node, instance.incarnation);
        }
        let hints: Vec<Introduction> = end.hints.into();
        self.tally.counters.parted_by_peer += u64::from(state == State::Active);
        match state {
            State::Active => {
                let exchanged = match end.why {
                    Parting::Exchanged(round) => self.exchanged(cx, node, round),
                    _ => false,
                };
                if exchanged {
                    return self.reserve(known);
                }
                self.deactivate(cx, node);
                // The other side ends the session first, unless it dies.
                cx.set_timer(Timer::Peer(node), self.config.draining.saturating_mul(2));
                self.reserve(known);
                self.learn_hints(cx, node, hints);
                match end.why {
                    // Somebody is on the way.
                    Parting::Replaced => self.wait_for_others(cx),
                    _ => self.look_elsewhere(cx, node),
                }
            }
            State::Asked(purpose) => self.declined(cx, node, purpose, Declined::Full),
            // It may have given up an exchange.
            State::Stranger | State::Draining => self.lost_in_round(cx, node),
            State::Dialled(_) => {}
        }
    }

    /// Ends a session that is of no use, now.
    pub(super) fn release(&mut self, cx: &mut Context<'_>, node: NodeId) {
        if self.peers.remove(node).is_some() {
            cx.timers.cancel(Timer::Peer(node));
            cx.change(Change::Release { node, reason: CloseReason::NotWanted });
            self.joining.retry(cx, node);
            self.lost_in_round(cx, node);
        }
    }

    /// What a peer was waited for has not come, or its session has outlived its use.
    pub(super) fn overdue(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let Some(peer) = self.peers.get(node) else {
            return;
        };
        let (state, known): (_, Known) = (peer.state, peer.introduction().into());
        match state {
            State::Dialled(purpose) => {
                cx.change(Change::Release { node, reason: CloseReason::NotWanted });
                self.peers.remove(node);
                self.unreachable(cx, known, purpose);
            }
            State::Asked(purpose) => {
                self.release(cx, node);
                self.reserve(known);
                self.passive.suspect(node);
                self.fell_through(cx, purpose, node);
            }
            State::Stranger | State::Draining => self.release(cx, node),
            State::Active => {}
        }
    }

    /// A dial failed.
    pub(super) fn probe_failed(&mut self, cx: &mut Context<'_>, node: NodeId, error: DialError) {
        let Some(State::Dialled(purpose)) = self.peers.state(node) else {
            return;
        };
        // Its own dial is on the way.
        if let DialError::Closed(CloseReason::Refused(
            Refusal::SimultaneousDial | Refusal::AlreadyConnected,
        )) = error
        {
            return;
        }
        cx.timers.cancel(Timer::Peer(node));
        if let Some(peer) = self.peers.remove(node)
            && !(purpose == Purpose::Check && is_no_news(error))
        {
            self.unreachable(cx, peer.introduction().into(), purpose);
        }
    }

    /// A node that was sought cannot be reached.
    fn unreachable(&mut self, cx: &mut Context<'_>, known: Known, purpose: Purpose) {
        let node = known.node;
        self.passive.remove(node);
        if !self.removals.covers(known.instance()) {
            self.book.lose(known);
        }
        self.joining.retry(cx, node);
        // Those who were lost for a while are tried again and again.
        if purpose != Purpose::Merge {
            self.owe_checks();
        }
        self.fell_through(cx, purpose, node);
    }

    /// Nothing came of it: tries another where that matters.
    pub(super) fn fell_through(&mut self, cx: &mut Context<'_>, purpose: Purpose, node: NodeId) {
        match purpose {
            Purpose::Fill => self.refill(cx),
            Purpose::Candidate | Purpose::Exchange => self.lost_in_round(cx, node),
            Purpose::Check => self.check(cx),
            Purpose::Join | Purpose::Place | Purpose::Merge => {}
        }
    }
}
