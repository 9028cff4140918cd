//! Subscriptions: running them, keeping them, passing them on.

use alloc::vec::Vec;

use super::Scamp;
use crate::context::Context;
use crate::id::NodeId;
use crate::manager::pluggable::strategy::{Outcome, Outcomes};
use crate::wire::{Introduction, ScampMessage};

/// How many hops beyond the limit a copy makes among those who cannot keep it.
const GRACE: u16 = 16;

impl Scamp {
    /// Asks a connected peer to run this node's subscription.
    pub(super) fn subscribe(&mut self, cx: &mut Context<'_>, contact: NodeId, renewed: bool) {
        self.subscribed = cx.now;
        let (node, hops) = (self.own(), self.config.indirection);
        Self::send(cx, contact, ScampMessage::Subscribe { node, hops, renewed });
    }

    pub(super) fn on_subscribed(&mut self, out: &mut Outcomes, from: NodeId) {
        if let Some(session) = self.sessions.get_mut(&from) {
            session.synced = true;
            out.push(Outcome::Synced { node: from });
        }
    }

    /// A node subscribes through this one, or through one that passed it on.
    pub(super) fn on_subscribe(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        from: NodeId,
        node: Introduction,
        (hops, renewed): (u16, bool),
    ) {
        let subscriber = node.spec.id();
        if from == subscriber {
            // Whatever becomes of the copies, the subscription is in hand.
            Self::send(cx, from, ScampMessage::Subscribed);
        }
        if subscriber == self.node() || self.is_outdated(&node) {
            return;
        }
        let mut others = self.reachable();
        others.retain(|other| *other != subscriber);
        let hops = hops.min(self.config.indirection);
        if let Some(hops) = hops.checked_sub(1)
            && !others.is_empty()
        {
            let next = others[self.random.below(others.len())];
            return Self::send(cx, next, ScampMessage::Subscribe { node, hops, renewed });
        }
        if others.is_empty() {
            self.hold(cx, out, &node);
            return;
        }
        let copies = if renewed { 0 } else { self.config.copies };
        let extra: Vec<NodeId> =
            (0..copies).map(|_| others[self.random.below(others.len())]).collect();
        for other in others.into_iter().chain(extra) {
            let node = node.clone();
            Self::send(cx, other, ScampMessage::Forward { node, hops: 0 });
        }
    }

    /// Whether a subscription is of a life that is known to be over.
    fn is_outdated(&self, node: &Introduction) -> bool {
        node.incarnation <= self.removals.upto(node.spec.id())
    }

    /// A copy of a subscription: kept, or passed on.
    pub(super) fn on_forward(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        node: Introduction,
        hops: u16,
    ) {
        if self.is_outdated(&node) {
            return;
        }
        let subscriber = node.spec.id();
        let own = subscriber == self.node();
        let held = self.view.get(&subscriber).map(|held| held.incarnation);
        if held.is_some_and(|held| held < node.incarnation) {
            // The later life takes the place of the earlier.
            self.hold(cx, out, &node);
            return;
        }
        let room = !own && held.is_none() && self.view.len() < self.config.max_view;
        let probability = 1.0 / (1.0 + self.view.len() as f64);
        let forced = hops >= self.config.hop_limit;
        if room && (forced || self.random.chance(probability)) {
            self.hold(cx, out, &node);
            return;
        }
        let next = self.next_of(subscriber);
        match next {
            Some(next) if hops < self.config.hop_limit.saturating_add(GRACE) => {
                let hops = hops.saturating_add(1);
                Self::send(cx, next, ScampMessage::Forward { node, hops });
            }
            // There is nobody else to keep it.
            _ if room => {
                self.hold(cx, out, &node);
            }
            // Wherever it came, it was known.
            _ => {}
        }
    }

    /// A random connected peer to pass a copy on to: of the view, or else of the in-view.
    fn next_of(&mut self, subscriber: NodeId) -> Option<NodeId> {
        let mut peers = self.reachable();
        peers.retain(|peer| *peer != subscriber);
        if peers.is_empty() {
            let holding = self.sessions.iter().filter(|(_, session)| session.holds);
            peers = holding.map(|(peer, _)| *peer).filter(|peer| *peer != subscriber).collect();
        }
        match peers.len() {
            0 => None,
            count => Some(peers[self.random.below(count)]),
        }
    }
}
