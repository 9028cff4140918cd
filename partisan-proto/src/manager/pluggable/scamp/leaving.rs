//! Leaving and being removed.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::{Scamp, Version};
use crate::context::Context;
use crate::error::CloseReason;
use crate::id::{Incarnation, Instance, NodeId};
use crate::manager::pluggable::strategy::{Outcome, Outcomes};
use crate::time::{Duration, Instant};
use crate::wire::{Introduction, ScampMessage};

/// Up to which incarnation the stays of nodes are over, for as long as that is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Removals {
    limit: usize,
    memory: Duration,
    known: BTreeMap<NodeId, (Incarnation, Instant)>,
    /// The same by when they were learned.
    order: BTreeSet<(Instant, NodeId)>,
}

impl Removals {
    pub(super) const fn new(limit: usize, memory: Duration) -> Self {
        Self { limit, memory, known: BTreeMap::new(), order: BTreeSet::new() }
    }

    pub(super) fn upto(&self, node: NodeId) -> Incarnation {
        self.known.get(&node).map_or(Incarnation::NONE, |(upto, _)| *upto)
    }

    /// Says whether it is news. The one learned first makes room for another.
    pub(super) fn learn(&mut self, node: NodeId, upto: Incarnation, now: Instant) -> bool {
        if upto <= self.upto(node) {
            return false;
        }
        if let Some((_, learned)) = self.known.insert(node, (upto, now)) {
            self.order.remove(&(learned, node));
        }
        self.order.insert((now, node));
        if self.known.len() > self.limit
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.known.remove(&oldest);
        }
        true
    }

    /// What was stored counts as learned now.
    pub(super) fn start(&mut self, now: Instant) {
        self.order = self.known.keys().map(|node| (now, *node)).collect();
        self.known.values_mut().for_each(|(_, learned)| *learned = now);
    }

    /// Forgets what is too old; says whether there was something.
    pub(super) fn age(&mut self, now: Instant) -> bool {
        let before = self.known.len();
        while let Some((learned, node)) = self.order.first().copied()
            && now.since(learned) >= self.memory
        {
            self.order.remove(&(learned, node));
            self.known.remove(&node);
        }
        self.known.len() < before
    }

    pub(super) fn clear(&mut self) {
        self.known.clear();
        self.order.clear();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (NodeId, Incarnation)> {
        self.known.iter().map(|(node, (upto, _))| (*node, *upto))
    }
}

impl Scamp {
    /// The stays of a node are over: it leaves the view, and its session ends unless that is with a
    /// later life. Says whether that is news.
    pub(super) fn is_over(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        node: NodeId,
        upto: Incarnation,
        reason: CloseReason,
    ) -> bool {
        if !self.removals.learn(node, upto, cx.now) {
            return false;
        }
        out.push(Outcome::Changed);
        self.past.forget(node);
        let session = self.sessions.get(&node).map(|session| session.instance.incarnation);
        let ended = session.is_some_and(|incarnation| incarnation <= upto);
        if ended {
            self.sessions.remove(&node);
        }
        let held = self.view.get(&node).is_some_and(|held| held.incarnation <= upto);
        if held && (ended || session.is_none()) {
            self.view.remove(&node);
            out.push(Outcome::Left { node });
            out.push(Outcome::Release { node, reason });
        } else if ended {
            cx.neighbor_down(node);
            out.push(Outcome::Release { node, reason });
        }
        true
    }

    /// Somebody tells that a node was removed, or has left: passed on once.
    pub(super) fn on_remove(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        from: NodeId,
        node: NodeId,
        upto: Incarnation,
    ) {
        if node == self.node() {
            if upto >= self.joined {
                if self.version == Version::V2 {
                    self.say_farewell(cx);
                }
                out.push(Outcome::Removed { upto });
            }
            return;
        }
        if upto <= self.removals.upto(node) {
            return;
        }
        self.flood(cx, from, node, upto);
        let reason = if from == node { CloseReason::Left } else { CloseReason::Removed };
        self.is_over(cx, out, node, upto, reason);
    }

    /// Tells all neighbours, the node itself included, that a node's stays are over.
    fn flood(&self, cx: &mut Context<'_>, from: NodeId, node: NodeId, upto: Incarnation) {
        for peer in self.sessions.keys().filter(|peer| **peer != from) {
            Self::send(cx, *peer, ScampMessage::Remove { node, upto });
        }
    }

    /// The application removes another node, if anything is known of it.
    pub(super) fn remove_other(&mut self, cx: &mut Context<'_>, out: &mut Outcomes, node: NodeId) {
        let held = self.view.get(&node).map(|held| held.incarnation);
        let session = self.sessions.get(&node).map(|session| session.instance.incarnation);
        let Some(upto) = held.max(session).max(self.past.incarnation(node)) else {
            return;
        };
        if upto > self.removals.upto(node) {
            self.flood(cx, self.node(), node, upto);
            self.is_over(cx, out, node, upto, CloseReason::Removed);
        }
    }

    /// This node leaves.
    pub(super) fn say_farewell(&mut self, cx: &mut Context<'_>) {
        match self.version {
            Version::V1 => self.flood(cx, self.node(), self.node(), self.me.incarnation),
            Version::V2 => self.unsubscribe(cx),
        }
    }

    /// All but `c + 1` of the in-view get one of the view in this node's place, in turn.
    fn unsubscribe(&self, cx: &mut Context<'_>) {
        let holding = self.sessions.iter().filter(|(_, session)| session.holds);
        let holding: Vec<NodeId> = holding.map(|(node, _)| *node).collect();
        let others = holding.len().saturating_sub(self.config.copies + 1);
        let mut heirs = self.view.iter().cycle();
        for (place, peer) in holding.into_iter().enumerate() {
            // Nobody takes itself into its view.
            let mut next = heirs.by_ref().take(2).filter(|(heir, _)| **heir != peer);
            match next.next().filter(|_| place < others) {
                Some((_, heir)) => {
                    let (incarnation, spec) = (heir.incarnation, heir.spec.clone());
                    let by = Introduction { incarnation, spec };
                    Self::send(cx, peer, ScampMessage::Replace { by });
                }
                None => Self::send(cx, peer, ScampMessage::Gone),
            }
        }
    }

    /// A peer leaves, and may name who takes its place.
    pub(super) fn on_gone(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        from: Instance,
        heir: Option<&Introduction>,
    ) {
        let held = self.view.contains_key(&from.node);
        self.is_over(cx, out, from.node, from.incarnation, CloseReason::Left);
        if let Some(heir) = heir.filter(|_| held) {
            self.hold(cx, out, heir);
        }
    }
}
