//! What is done in each period: heartbeats, failures, isolation, leases.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Held, Scamp};
use crate::change::Change;
use crate::context::Context;
use crate::error::CloseReason;
use crate::id::{Incarnation, Instance, NodeId};
use crate::manager::pluggable::strategy::Outcomes;
use crate::spec::NodeSpec;
use crate::wire::ScampMessage;

/// The most nodes that were lost and are dialled now and then.
const MOST_PAST: usize = 32;
/// How often one of them is dialled in vain before it is forgotten.
const TRIES: u32 = 30;

/// Members of the view that were lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Past(BTreeMap<NodeId, Lost>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Lost {
    incarnation: Incarnation,
    spec: Arc<NodeSpec>,
    tries: u32,
}

impl Past {
    fn remember(&mut self, node: NodeId, held: Held) {
        let Held { incarnation, spec, .. } = held;
        if self.0.len() < MOST_PAST {
            self.0.insert(node, Lost { incarnation, spec, tries: 0 });
        }
    }

    /// Says whether it was there.
    pub(super) fn forget(&mut self, node: NodeId) -> bool {
        self.0.remove(&node).is_some()
    }

    pub(super) fn incarnation(&self, node: NodeId) -> Option<Incarnation> {
        self.0.get(&node).map(|lost| lost.incarnation)
    }
}

impl Scamp {
    pub(super) fn period_passed(&mut self, cx: &mut Context<'_>, out: &mut Outcomes) {
        if self.removals.age(cx.now) {
            out.push(super::Outcome::Changed);
        }
        self.drop_dead(cx, out);
        self.drop_expired(cx, out);
        let reachable = self.reachable();
        for peer in &reachable {
            Self::send(cx, *peer, ScampMessage::Heartbeat);
        }
        self.look_for_lost(cx);
        let silence = self.period.saturating_mul(self.config.window);
        let isolated = cx.now.since(self.heard) >= silence;
        let lease = self.config.lease;
        let expiring = !lease.is_zero() && cx.now.since(self.subscribed) + self.period >= lease;
        if isolated || expiring {
            // Whether that helps is seen after another while of the same length.
            self.heard = cx.now;
            let others: Vec<NodeId> = match reachable.is_empty() {
                true => self.sessions.keys().copied().collect(),
                false => reachable,
            };
            if !others.is_empty() {
                let contact = others[self.random.below(others.len())];
                self.subscribe(cx, contact, !isolated);
            }
        }
    }

    /// Drops those of the view that cannot be reached.
    fn drop_dead(&mut self, cx: &mut Context<'_>, out: &mut Outcomes) {
        let now = cx.now;
        for (node, held) in &mut self.view {
            if self.sessions.contains_key(node) {
                held.seen = now;
            }
        }
        let dead = self.view.iter();
        let dead = dead.filter(|(_, held)| now.since(held.seen) >= self.config.dead_after);
        let dead: Vec<NodeId> = dead.map(|(node, _)| *node).collect();
        for node in dead {
            if let Some(held) = self.drop_held(cx, out, node, CloseReason::NotWanted) {
                self.past.remember(node, held);
            }
        }
    }

    /// Drops subscriptions whose lease is over; never the last one.
    fn drop_expired(&mut self, cx: &mut Context<'_>, out: &mut Outcomes) {
        let lease = self.config.lease;
        if lease.is_zero() {
            return;
        }
        let expired = self.view.iter().filter(|(_, held)| cx.now.since(held.since) >= lease);
        let expired: Vec<NodeId> = expired.map(|(node, _)| *node).collect();
        for node in expired {
            if self.view.len() > 1 {
                self.drop_held(cx, out, node, CloseReason::NotWanted);
            }
        }
    }

    /// Dials one of those that were lost.
    fn look_for_lost(&mut self, cx: &mut Context<'_>) {
        if self.past.0.is_empty() {
            return;
        }
        let place = self.random.below(self.past.0.len());
        let Some((node, lost)) = self.past.0.iter_mut().nth(place) else {
            return;
        };
        let (node, spec) = (*node, lost.spec.clone());
        let instance = Instance { node, incarnation: lost.incarnation };
        lost.tries += 1;
        if lost.tries >= TRIES {
            self.past.0.remove(&node);
        }
        cx.change(Change::Probe { instance, spec });
    }
}
