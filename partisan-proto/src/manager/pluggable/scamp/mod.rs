//! The SCAMP strategies (`partisan_scamp_v1_membership_strategy` and `_v2_`), after Ganesh,
//! Kermarrec and Massoulié: *Peer-to-Peer Membership Management for Gossip-Based Protocols*.
//!
//! A node knows a part of the cluster, its *view*, whose size comes out as about `(c + 1) ln n`
//! without anybody knowing `n`; whoever has a node in its view is in that node's *in-view*.
//! Connections follow views: a node keeps one to each of its view.
//!
//! - *Subscription.* A newcomer's view is its contact. The contact sends a copy of the subscription
//!   to each of its view, and `c` more to random ones. Whoever gets a copy keeps it with
//!   probability `1 / (1 + size of its view)` and else passes it on to a random one of its view;
//!   after `hop_limit` hops it is kept by force, so that none is lost.
//! - *Keep notice.* A node tells each peer whether it has it in its view, at the start of a session
//!   and when that changes. So views and in-views agree, whatever was lost before.
//! - *Heartbeats* go along the view in each period. Who hears none for `window` periods, or never
//!   did, is in nobody's view: it subscribes anew, through a member of its own.
//! - *Lease.* If one is set, views drop a subscription when it runs out, and a node subscribes anew
//!   before its own does.
//! - *Leaving*, version 1: the removal is flooded, and each node passes it on once. Version 2, as in
//!   the paper: the leaver gives all but `c + 1` of its in-view one of its own view in its place, in
//!   turn, and the others nothing, so that views keep their size.
//! - *Removal* of another node is flooded in both versions, so that it reaches the node, too.
//! - *Failures.* Who cannot be reached for `dead_after` leaves the view. It is dialled now and then
//!   for some while, so that the halves of a cluster that was parted find each other.
//!
//! Neighbours in the overlay are both views together: broadcasts and relayed messages need links in
//! both directions. Where the original departs from the paper (keep probability 0.4, the newcomer
//! runs its own subscription, itself in its view) this follows the paper. Version 2 sends `c` extra
//! copies as well, not `c - 1`.

mod leaving;
mod rounds;
mod subscribing;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::Hash;

use super::strategy::{Outcome, Outcomes, Saved, Strategy};
use crate::config::{PluggableConfig, ScampConfig};
use crate::context::{Context, Me};
use crate::error::{CloseReason, Refusal};
use crate::id::{Incarnation, Instance, NodeId};
use crate::manager::{Member, MembershipCounters, Views};
use crate::random::{Random, Seed};
use crate::spec::NodeSpec;
use crate::time::{Duration, Instant};
use crate::wire::{ControlMessage, Entry, Introduction, Presence, ScampMessage, StableHasher};
use leaving::Removals;
use rounds::Past;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// Leaving is flooded.
    V1,
    /// Leaving repairs the views of others.
    V2,
}

/// A SCAMP strategy.
#[derive(Debug)]
pub struct Scamp {
    version: Version,
    config: ScampConfig,
    period: Duration,
    me: Member,
    /// The incarnation in which the present stay began.
    joined: Incarnation,
    /// Stays of this node up to this incarnation are over.
    over: Incarnation,
    random: Random,
    view: BTreeMap<NodeId, Held>,
    sessions: BTreeMap<NodeId, Session>,
    removals: Removals,
    past: Past,
    /// When the last heartbeat came, or the last attempt to have some.
    heard: Instant,
    /// When this node subscribed last.
    subscribed: Instant,
    counters: MembershipCounters,
}

/// One of the view.
#[derive(Clone, Debug)]
struct Held {
    incarnation: Incarnation,
    spec: Arc<NodeSpec>,
    /// When its subscription was kept.
    since: Instant,
    /// When it was connected last, or kept.
    seen: Instant,
}

/// A connected peer.
#[derive(Clone, Debug)]
struct Session {
    instance: Instance,
    spec: Arc<NodeSpec>,
    /// Whether it has this node in its view.
    holds: bool,
    /// Whether it has taken a subscription of this node.
    synced: bool,
}

impl Scamp {
    /// The strategy of a node, going on from what was saved.
    #[must_use]
    pub fn new(
        me: &Me,
        version: Version,
        (shared, config): (&PluggableConfig, &ScampConfig),
        seed: &Seed,
        saved: Saved,
    ) -> Self {
        let node = me.instance.node;
        let mut scamp = Self {
            version,
            config: config.clone(),
            period: shared.gossip_interval,
            me: Member { incarnation: me.instance.incarnation, spec: me.spec.clone() },
            joined: saved.joined,
            over: Incarnation::NONE,
            random: Random::fork(seed, "scamp membership strategy"),
            view: BTreeMap::new(),
            sessions: BTreeMap::new(),
            removals: Removals::new(shared.max_removals, shared.removal_memory),
            past: Past::default(),
            heard: Instant::ZERO,
            subscribed: Instant::ZERO,
            counters: MembershipCounters::default(),
        };
        for Entry { node: other, removed, presence } in saved.entries {
            if other == node {
                scamp.over = scamp.over.max(removed);
                continue;
            }
            scamp.removals.learn(other, removed, Instant::ZERO);
            let sound = presence.filter(|presence| presence.spec.id() == other);
            if let Some(Presence { incarnation, spec, .. }) = sound
                && incarnation > removed
                && scamp.view.len() < config.max_view
            {
                let (since, seen) = (Instant::ZERO, Instant::ZERO);
                scamp.view.insert(other, Held { incarnation, spec, since, seen });
            }
        }
        scamp
    }

    fn own(&self) -> Introduction {
        Introduction { incarnation: self.me.incarnation, spec: self.me.spec.clone() }
    }

    fn node(&self) -> NodeId {
        self.me.spec.id()
    }

    fn send(cx: &mut Context<'_>, peer: NodeId, message: ScampMessage) {
        cx.send(peer, ControlMessage::Scamp(message));
    }

    fn holds_me(&self, node: NodeId) -> bool {
        self.sessions.get(&node).is_some_and(|session| session.holds)
    }

    /// Those of the view that are connected.
    fn reachable(&self) -> Vec<NodeId> {
        let connected = |node: &&NodeId| self.sessions.contains_key(*node);
        self.view.keys().filter(connected).copied().collect()
    }

    /// Takes a node into the view; says whether it is in there now, in this life or a later one.
    fn hold(&mut self, cx: &mut Context<'_>, out: &mut Outcomes, node: &Introduction) -> bool {
        let instance = node.instance();
        let id = instance.node;
        let (incarnation, spec) = (node.incarnation, node.spec.clone());
        if id == self.node() || incarnation <= self.removals.upto(id) {
            return false;
        }
        if incarnation == Incarnation::NONE {
            self.counters.malformed += 1;
            return false;
        }
        let full = self.view.len() >= self.config.max_view;
        let fresh = match self.view.get_mut(&id) {
            Some(held) if *held.spec.name() != *spec.name() => {
                self.counters.collisions += 1;
                return false;
            }
            Some(held) if held.incarnation >= incarnation => return true,
            Some(held) => {
                (held.incarnation, held.spec, held.seen) = (incarnation, spec.clone(), cx.now);
                false
            }
            None if full => {
                self.counters.refused += 1;
                return false;
            }
            None => {
                let (since, seen, spec) = (cx.now, cx.now, spec.clone());
                self.view.insert(id, Held { incarnation, spec, since, seen });
                true
            }
        };
        self.past.forget(id);
        out.push(Outcome::Joined { instance, spec: spec.clone() });
        out.push(Outcome::Keep { instance, spec });
        out.push(Outcome::Changed);
        if fresh {
            Self::send(cx, id, ScampMessage::Holds(true));
        }
        true
    }

    /// Drops a node from the view, and the session with it unless that is in use.
    fn drop_held(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        node: NodeId,
        reason: CloseReason,
    ) -> Option<Held> {
        let held = self.view.remove(&node)?;
        out.push(Outcome::Left { node });
        out.push(Outcome::Changed);
        if !self.holds_me(node) || reason != CloseReason::NotWanted {
            out.push(Outcome::Release { node, reason });
        } else {
            Self::send(cx, node, ScampMessage::Holds(false));
        }
        Some(held)
    }

    fn on_holds(&mut self, cx: &mut Context<'_>, out: &mut Outcomes, from: NodeId, holds: bool) {
        let now = cx.now;
        let Some(session) = self.sessions.get_mut(&from) else {
            return;
        };
        session.holds = holds;
        let instance = session.instance;
        if holds {
            self.heard = now;
            cx.neighbor_up(instance);
        } else if !self.view.contains_key(&from) {
            cx.neighbor_down(from);
            out.push(Outcome::Release { node: from, reason: CloseReason::NotWanted });
        }
    }
}

impl Strategy for Scamp {
    fn start(&mut self, cx: &mut Context<'_>, out: &mut Outcomes) {
        self.me.incarnation = cx.me.instance.incarnation;
        if self.joined <= self.over || self.joined == Incarnation::NONE {
            self.joined = cx.me.instance.incarnation;
        }
        self.over = self.over.min(Incarnation(self.joined.0.saturating_sub(1)));
        (self.heard, self.subscribed) = (cx.now, cx.now);
        self.removals.start(cx.now);
        for (node, held) in &mut self.view {
            (held.since, held.seen) = (cx.now, cx.now);
            let instance = Instance { node: *node, incarnation: held.incarnation };
            out.push(Outcome::Keep { instance, spec: held.spec.clone() });
        }
    }

    fn admit(
        &self,
        instance: Instance,
        spec: &NodeSpec,
        known: Option<Incarnation>,
    ) -> Result<(), Refusal> {
        let Instance { node, incarnation } = instance;
        let removed = self.removals.upto(node);
        if incarnation <= removed {
            return Err(Refusal::Removed(removed));
        }
        match self.view.get(&node) {
            None if known.is_some_and(|known| known <= self.over) => {
                Err(Refusal::NotMember(self.over))
            }
            None => Ok(()),
            Some(held) if held.spec.name() != spec.name() => Err(Refusal::IdentifierCollision),
            Some(held) if incarnation < held.incarnation => {
                Err(Refusal::StaleIncarnation(held.incarnation))
            }
            Some(held) if incarnation == held.incarnation && *spec != *held.spec => {
                Err(Refusal::DuplicateName)
            }
            Some(_) => Ok(()),
        }
    }

    fn not_member(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        node: NodeId,
        upto: Incarnation,
    ) {
        self.is_over(cx, out, node, upto, CloseReason::NotWanted);
    }

    fn peer_up(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        (instance, spec): (Instance, &Arc<NodeSpec>),
        joining: bool,
    ) {
        let Instance { node, incarnation } = instance;
        let upto = self.removals.upto(node);
        if incarnation <= upto {
            // It has not heard of the end of its stay.
            return Self::send(cx, node, ScampMessage::Remove { node, upto });
        }
        let peer = Introduction { incarnation, spec: spec.clone() };
        let (holds, synced) = (false, false);
        self.sessions.insert(node, Session { instance, spec: spec.clone(), holds, synced });
        // A member of old that was lost is joined anew: it may be in another part by now.
        let again = self.past.forget(node)
            && cx.routes.anchor(node).is_some_and(|anchor| anchor.is_dialled());
        let held = self.view.contains_key(&node);
        if held {
            Self::send(cx, node, ScampMessage::Holds(true));
        } else if !(joining || again) {
            return Self::send(cx, node, ScampMessage::Holds(false));
        }
        if let Some(held) = self.view.get_mut(&node) {
            held.seen = cx.now;
        }
        let held = self.hold(cx, out, &peer);
        if !held {
            out.push(Outcome::Unwanted { node });
            return out.push(Outcome::Release { node, reason: CloseReason::NotWanted });
        }
        if joining || again {
            self.subscribe(cx, node, false);
        }
    }

    fn join(&mut self, cx: &mut Context<'_>, out: &mut Outcomes, node: NodeId) {
        let Some(session) = self.sessions.get(&node) else {
            return;
        };
        let peer =
            Introduction { incarnation: session.instance.incarnation, spec: session.spec.clone() };
        if self.hold(cx, out, &peer) {
            self.subscribe(cx, node, false);
        } else {
            out.push(Outcome::Unwanted { node });
        }
    }

    fn peer_down(&mut self, cx: &mut Context<'_>, out: &mut Outcomes, instance: Instance) {
        let node = instance.node;
        self.sessions.remove(&node);
        match self.view.get_mut(&node) {
            Some(held) => held.seen = cx.now,
            None => out.push(Outcome::Release { node, reason: CloseReason::NotWanted }),
        }
    }

    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        from: Instance,
        message: ControlMessage,
    ) -> Result<(), Box<ControlMessage>> {
        let ControlMessage::Scamp(message) = message else {
            return Err(Box::new(message));
        };
        if !self.sessions.contains_key(&from.node) {
            return Ok(());
        }
        match message {
            ScampMessage::Holds(holds) => self.on_holds(cx, out, from.node, holds),
            ScampMessage::Subscribe { node, hops, renewed } => {
                self.on_subscribe(cx, out, from.node, node, (hops, renewed));
            }
            ScampMessage::Subscribed => self.on_subscribed(out, from.node),
            ScampMessage::Forward { node, hops } => self.on_forward(cx, out, node, hops),
            ScampMessage::Remove { node, upto } => self.on_remove(cx, out, from.node, node, upto),
            ScampMessage::Replace { by } => self.on_gone(cx, out, from, Some(&by)),
            ScampMessage::Gone => self.on_gone(cx, out, from, None),
            ScampMessage::Heartbeat => self.heard = cx.now,
        }
        Ok(())
    }

    fn round(&mut self, cx: &mut Context<'_>, out: &mut Outcomes) {
        self.period_passed(cx, out);
    }

    fn remove(&mut self, cx: &mut Context<'_>, out: &mut Outcomes, nodes: &[NodeId]) {
        let own = self.node();
        for node in nodes.iter().copied().filter(|node| *node != own) {
            self.remove_other(cx, out, node);
        }
    }

    fn leave(&mut self, cx: &mut Context<'_>) {
        self.say_farewell(cx);
    }

    fn begin_anew(&mut self, cx: &mut Context<'_>, out: &mut Outcomes, removed: Incarnation) {
        let all = core::mem::take(&mut self.view);
        out.extend(all.into_keys().map(|node| Outcome::Left { node }));
        self.sessions.clear();
        self.removals.clear();
        self.past = Past::default();
        self.me.incarnation = cx.me.instance.incarnation;
        self.joined = cx.me.instance.incarnation;
        self.over = removed.min(Incarnation(self.joined.0.saturating_sub(1)));
        (self.heard, self.subscribed) = (cx.now, cx.now);
        out.push(Outcome::Changed);
    }

    fn announce(&mut self, cx: &mut Context<'_>, out: &mut Outcomes) {
        self.me.incarnation = cx.me.instance.incarnation;
        out.push(Outcome::Changed);
    }

    fn has_news(&self) -> bool {
        false
    }

    fn send_news(&mut self, _cx: &mut Context<'_>) {}

    fn is_synced(&self, node: NodeId) -> bool {
        let synced = self.sessions.get(&node).is_some_and(|session| session.synced);
        synced && self.view.contains_key(&node)
    }

    fn members(&self) -> Vec<Member> {
        let held = self.view.values();
        let held =
            held.map(|held| Member { incarnation: held.incarnation, spec: held.spec.clone() });
        core::iter::once(self.me.clone()).chain(held).collect()
    }

    fn member(&self, node: NodeId) -> Option<Member> {
        if node == self.node() {
            return Some(self.me.clone());
        }
        let held = self.view.get(&node)?;
        Some(Member { incarnation: held.incarnation, spec: held.spec.clone() })
    }

    fn is_neighbor(&self, node: NodeId) -> bool {
        self.view.contains_key(&node) || self.holds_me(node)
    }

    fn is_mutual(&self) -> bool {
        false
    }

    fn knows_all(&self) -> bool {
        false
    }

    fn views(&self) -> Views {
        let holding = self.sessions.iter().filter(|(_, session)| session.holds);
        let passive = holding.map(|(node, _)| *node).collect();
        Views { active: self.view.keys().copied().collect(), passive }
    }

    fn counters(&self) -> MembershipCounters {
        self.counters
    }

    fn saved(&self) -> Saved {
        let own = (self.over != Incarnation::NONE).then_some(Entry {
            node: self.node(),
            removed: self.over,
            presence: None,
        });
        let held = self.view.iter().map(|(node, held)| Entry {
            node: *node,
            removed: Incarnation::NONE,
            presence: Some(Presence {
                incarnation: held.incarnation,
                joined: held.incarnation,
                spec: held.spec.clone(),
            }),
        });
        let removed =
            self.removals.iter().map(|(node, removed)| Entry { node, removed, presence: None });
        let entries = own.into_iter().chain(held).chain(removed).collect();
        Saved { joined: self.joined, entries }
    }

    fn fingerprint(&self, hasher: &mut StableHasher) {
        for (node, held) in &self.view {
            (node, held.incarnation, held.since, held.seen).hash(hasher);
        }
        for (node, session) in &self.sessions {
            (node, session.holds, session.synced).hash(hasher);
        }
        self.removals.hash(hasher);
        self.past.hash(hasher);
        (self.joined, self.over, self.heard, self.subscribed).hash(hasher);
    }
}
