//! Leaving, and removing others.
//!
//! A node that leaves tells its neighbours; one that removes another tells them of that. The news
//! floods the overlay, each node passing it on once, and everybody remembers for a while which
//! lives of the node are over: views and shuffles that still hold it cannot bring it back. It may
//! join again at any time, as a later life. A node that is removed learns of it from whoever it
//! meets, and goes on alone.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hash::Hash;

use super::HyParView;
use super::passive::Known;
use super::peers::State;
use crate::change::Change;
use crate::context::Context;
use crate::error::{CloseReason, CommandError, JoinError, Refusal};
use crate::id::{Incarnation, Instance, NodeId};
use crate::notification::Notification;
use crate::time::{Duration, Instant};
use crate::timers::Timer;
use crate::wire::{ControlMessage, HyParViewMessage};

/// How long a new neighbour is told of a removal.
const NEWS: Duration = Duration::from_secs(300);
/// Of how many a new neighbour is told.
const MOST_NEWS: usize = 64;

/// Which stays are over.
#[derive(Clone, Debug, Hash)]
pub(super) struct Removals {
    by_node: BTreeMap<NodeId, Removal>,
    most: usize,
    memory: Duration,
    /// How many were forgotten before their time, to make room.
    pub(super) crowded_out: u64,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Removal {
    /// The last life that is over; none while no life of the node is known here.
    upto: Incarnation,
    at: Instant,
}

impl Removals {
    pub(super) const fn new(most: usize, memory: Duration) -> Self {
        Self { by_node: BTreeMap::new(), most, memory, crowded_out: 0 }
    }

    /// Whether this life is over.
    pub(super) fn covers(&self, instance: Instance) -> bool {
        let removal = self.by_node.get(&instance.node);
        removal.is_some_and(|removal| instance.incarnation <= removal.upto)
    }

    pub(super) fn upto(&self, node: NodeId) -> Option<Incarnation> {
        self.by_node.get(&node).map(|removal| removal.upto)
    }

    /// Whether this is new.
    pub(super) fn note(&mut self, node: NodeId, upto: Incarnation, at: Instant) -> bool {
        if self.upto(node).is_some_and(|known| upto <= known) {
            return false;
        }
        if self.by_node.len() >= self.most && !self.by_node.contains_key(&node) {
            let oldest = self.by_node.iter().min_by_key(|(_, removal)| removal.at);
            if let Some(oldest) = oldest.map(|(node, _)| *node) {
                self.by_node.remove(&oldest);
                self.crowded_out += 1;
            }
        }
        self.by_node.insert(node, Removal { upto, at });
        true
    }

    /// Those remembered from the last life count as noted now.
    pub(super) fn begin(&mut self, now: Instant) {
        self.by_node.values_mut().for_each(|removal| removal.at = now);
    }

    pub(super) fn expire(&mut self, now: Instant) {
        if !self.by_node.is_empty() {
            self.by_node.retain(|_, removal| now.since(removal.at) < self.memory);
        }
    }

    /// The newest ones.
    fn news(&self, now: Instant) -> Vec<(NodeId, Incarnation)> {
        let fresh = self.by_node.iter().filter(|(_, removal)| now.since(removal.at) < NEWS);
        fresh.map(|(node, removal)| (*node, removal.upto)).take(MOST_NEWS).collect()
    }

    /// Those of a known life, to be stored.
    pub(super) fn iter(&self) -> impl Iterator<Item = (NodeId, Incarnation)> {
        self.by_node.iter().map(|(node, removal)| (*node, removal.upto))
    }

    pub(super) fn clear(&mut self) {
        self.by_node.clear();
    }
}

impl HyParView {
    /// Tells `from` that a life it speaks of is over, when it is.
    pub(super) fn warn_of(&self, cx: &mut Context<'_>, from: NodeId, known: &Known) -> bool {
        let over = self.removals.covers(known.instance());
        if over && let Some(upto) = self.removals.upto(known.node) {
            send_removal(cx, from, (known.node, upto));
        }
        over
    }

    /// Tells a new neighbour of the latest removals: it may have been out of reach.
    pub(super) fn tell_removals(&self, cx: &mut Context<'_>, node: NodeId) {
        for removal in self.removals.news(cx.now) {
            send_removal(cx, node, removal);
        }
    }

    /// A session has begun with a node some of whose lives are over: if that holds for its present
    /// stay, it does not know.
    pub(super) fn tell_of_itself(&self, cx: &mut Context<'_>, node: NodeId) {
        if let Some(upto) = self.removals.upto(node).filter(|upto| *upto != Incarnation::NONE) {
            send_removal(cx, node, (node, upto));
        }
    }

    /// Somebody tells that the stays of a node are over.
    pub(super) fn on_removal(
        &mut self,
        cx: &mut Context<'_>,
        from: NodeId,
        node: NodeId,
        upto: Incarnation,
    ) {
        if node == self.me {
            let named = upto != Incarnation::NONE;
            if !named || (upto >= self.joined && !self.is_alone(cx)) {
                self.was_removed(cx, upto);
            }
            return;
        }
        self.end_stay(cx, node, upto.min(Incarnation::MOST), Some(from));
    }

    /// The stays of a node are over: tells all neighbours, unless that was done, and drops it.
    pub(super) fn end_stay(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        upto: Incarnation,
        from: Option<NodeId>,
    ) {
        let upto = match upto {
            Incarnation::NONE => self.last_life(node).unwrap_or(upto),
            upto => upto,
        };
        if !self.removals.note(node, upto, cx.now) {
            return;
        }
        self.unsaved = true;
        let neighbors: Vec<NodeId> = self.peers.active().map(|peer| peer.node).collect();
        for neighbor in neighbors.into_iter().filter(|neighbor| Some(*neighbor) != from) {
            send_removal(cx, neighbor, (node, upto));
        }
        self.drop_removed(cx, node, upto, from);
    }

    /// Forgets the lives of a node that are over.
    fn drop_removed(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        upto: Incarnation,
        from: Option<NodeId>,
    ) {
        let over = |incarnation: Incarnation| incarnation <= upto;
        if self.passive.get(node).is_some_and(|known| over(known.incarnation)) {
            self.passive.remove(node);
        }
        if self.book.get(node).is_some_and(|known| over(known.incarnation)) {
            self.book.forget(node);
        }
        let Some(peer) = self.peers.get(node).filter(|peer| over(peer.incarnation)) else {
            return;
        };
        let (was_active, state) = (peer.state == State::Active, peer.state);
        if !was_active && from != Some(node) {
            send_removal(cx, node, (node, upto));
        }
        self.deactivate(cx, node);
        self.peers.remove(node);
        cx.timers.cancel(Timer::Peer(node));
        self.lost_in_round(cx, node);
        // It is told, and then says goodbye itself, after its last messages.
        let reason = if from == Some(node) { CloseReason::Left } else { CloseReason::Removed };
        cx.change(Change::Release { node, reason });
        self.joining.retry(cx, node);
        match state {
            State::Active => self.look_anew(cx),
            State::Dialled(purpose) | State::Asked(purpose) => self.fell_through(cx, purpose, node),
            State::Stranger | State::Draining => {}
        }
    }

    /// The latest life of a node that is known here.
    fn last_life(&self, node: NodeId) -> Option<Incarnation> {
        let peer = self.peers.get(node).map(|peer| peer.incarnation);
        let passive = self.passive.get(node).map(|known| known.incarnation);
        let remembered = self.book.get(node).map(|known| known.incarnation);
        peer.max(passive).max(remembered).filter(|life| *life != Incarnation::NONE)
    }

    /// A node says of itself that its stays up to this one are over.
    pub(super) fn not_member(&mut self, cx: &mut Context<'_>, node: NodeId, upto: Incarnation) {
        self.removals.note(node, upto, cx.now);
        self.drop_removed(cx, node, upto, Some(node));
    }

    pub(super) fn is_alone(&self, cx: &Context<'_>) -> bool {
        let nobody = self.peers.iter().next().is_none() && cx.routes.peers().next().is_none();
        nobody && self.passive.is_empty() && self.book.len() == 0 && self.contacts.is_empty()
    }

    /// This node was removed.
    pub(super) fn was_removed(&mut self, cx: &mut Context<'_>, upto: Incarnation) {
        self.joining.cancel_all(cx, &CommandError::Join(JoinError::Cancelled));
        self.begin_anew(cx, upto, CloseReason::Removed);
        let incarnation = cx.me.instance.incarnation;
        cx.notify(Notification::Removed { incarnation });
    }

    /// Becomes a later incarnation that is alone.
    pub(super) fn begin_anew(
        &mut self,
        cx: &mut Context<'_>,
        upto: Incarnation,
        reason: CloseReason,
    ) {
        // The stay is over with all its lives, whichever of them was known to who ended it.
        cx.reincarnate(upto.max(cx.me.instance.incarnation));
        self.joined = cx.me.instance.incarnation;
        self.duplicate = false;
        self.end_recall(cx);
        cx.change(Change::Reborn { reason });
        self.forget_rounds(cx);
        let active: Vec<NodeId> = self.peers.active().map(|peer| peer.node).collect();
        for node in active {
            self.deactivate(cx, node);
        }
        for peer in self.peers.clear() {
            cx.timers.cancel(Timer::Peer(peer.node));
        }
        self.passive.clear();
        self.book.clear();
        self.removals.clear();
        self.checks = None;
        self.contacts.clear();
        self.crowd = None;
        self.search = Default::default();
        self.shuffled.1.clear();
        // At once: a crash must not bring the old membership back.
        self.unsaved = true;
        self.save(cx);
    }

    /// A peer refused this incarnation.
    pub(super) fn outdated(&mut self, cx: &mut Context<'_>, refusal: Refusal) {
        let own = cx.me.instance.incarnation;
        if own == Incarnation::MOST && !matches!(refusal, Refusal::DuplicateName) {
            // There is no later one to become: dial again, with patience.
            return;
        }
        match refusal {
            // With another node of that name alive the two would outbid each other for ever.
            Refusal::StaleIncarnation(known) if known >= own && !self.duplicate => {
                self.catch_up(cx, known);
            }
            Refusal::Removed(upto) if upto >= self.joined => {
                let joins = core::mem::take(&mut self.contacts);
                self.begin_anew(cx, upto, CloseReason::Removed);
                let incarnation = cx.me.instance.incarnation;
                cx.notify(Notification::Removed { incarnation });
                // Joins under way go on as the new incarnation.
                if !self.joining.is_empty() {
                    self.contacts = joins;
                }
                self.joining.renew(cx);
            }
            Refusal::DuplicateName => self.tell_duplicate(cx, None),
            _ => {}
        }
    }

    /// Others know a later life than this one: takes a still later one, in the same stay. Peers
    /// know the sessions by the old one, and must meet the node anew.
    fn catch_up(&mut self, cx: &mut Context<'_>, known: Incarnation) {
        cx.reincarnate(known);
        self.unsaved = true;
        self.forget_rounds(cx);
        let peers: Vec<NodeId> = self.peers.iter().map(|peer| peer.node).collect();
        for node in peers {
            let state = self.peers.state(node);
            if state == Some(State::Active) {
                let known = self.peers.get(node).map(|peer| peer.introduction().into());
                self.deactivate(cx, node);
                if let Some(known) = known {
                    self.reserve(known);
                }
            }
            if !matches!(state, Some(State::Dialled(_))) {
                self.release(cx, node);
            }
        }
        self.look_anew(cx);
    }
}

fn send_removal(cx: &mut Context<'_>, to: NodeId, (node, upto): (NodeId, Incarnation)) {
    let message = HyParViewMessage::Removal { node, upto };
    cx.send(to, ControlMessage::HyParView(message));
}
