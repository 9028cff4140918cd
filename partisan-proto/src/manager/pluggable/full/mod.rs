//! The full-mesh strategy (`partisan_full_membership_strategy`): everybody knows everybody.
//!
//! State is a [`MemberSet`]. Unlike the original, which sends its whole state to everybody in each
//! round, a round costs one constant-size digest for each of a few random peers, and only what
//! differs travels:
//!
//! - *Start of a session.* Each side sends its own entry; the side that dialled also its digest.
//!   The answer tells it all it lacks: at once when it knows of nobody (a joiner: one round trip),
//!   else by way of summaries.
//! - *Change.* Whoever makes a change, or is the first whom a joiner meets, tells all its peers;
//!   whoever hears something new passes it on to a few random ones, and only then, so that there is
//!   no storm. A joiner that goes on to meet everybody is news to a few from each, not to all.
//! - *Correction.* Whoever is told less than it knows answers with what it knows.
//!
//! What a node sends in a round at rest, beside what its whole state sent to everybody would cost:
//!
//! | members | digests | whole state to all |
//! |---|---|---|
//! | 10 | 54 B | 5 KB |
//! | 30 | 51 B | 53 KB |
//! | 100 | 54 B | 604 KB |
//! | 200 | 54 B | 2.4 MB |
//!
//! A member that moves costs its own entry, below 80 B, wherever the news goes.

mod exchange;
mod news;

pub(crate) use exchange::pieces;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use super::member_set::{Effect, Limits, MemberSet, Rejected, is_sound};
use super::strategy::{Outcome, Outcomes, Saved, Strategy};
use crate::config::PluggableConfig;
use crate::context::Context;
use crate::error::{CloseReason, Refusal};
use crate::id::{Incarnation, Instance, NodeId};
use crate::manager::{Member, MembershipCounters};
use crate::random::{Random, Seed};
use crate::spec::NodeSpec;
use crate::wire::{ControlMessage, Entry, Gossip, Presence, StableHasher};
use news::News;

/// The full-mesh strategy.
#[derive(Debug)]
pub struct Full {
    me: NodeId,
    set: MemberSet,
    /// The incarnation in which this node's stay began; 0 before the start.
    joined: Incarnation,
    fanout: usize,
    /// The most entries that the set can have.
    capacity: usize,
    random: Random,
    sessions: BTreeMap<NodeId, Session>,
    news: News,
    saved: Vec<Entry>,
}

/// How far the exchange with a connected peer is.
#[derive(Clone, Debug, Default)]
struct Session {
    /// Whether this node dialled, and so sent the first digest.
    dialled: bool,
    /// Whether the first digest was answered: by the peer if this node dialled, else by this node.
    greeted: bool,
    /// The peer's summary has been seen to its end.
    covered: bool,
    /// What the peer was asked for and has not sent so far.
    requested: BTreeSet<NodeId>,
}

impl Full {
    /// The strategy of node `me`, going on from what was saved.
    #[must_use]
    pub fn new(me: NodeId, config: &PluggableConfig, seed: &Seed, saved: Saved) -> Self {
        let limits = Limits {
            members: config.max_members,
            removals: config.max_removals,
            spread: config.removal_spread,
            memory: config.removal_memory,
        };
        Self {
            me,
            set: MemberSet::new(limits),
            joined: saved.joined,
            fanout: config.fanout,
            capacity: config.max_members.saturating_add(config.max_removals),
            random: Random::fork(seed, "full membership strategy"),
            sessions: BTreeMap::new(),
            news: News::default(),
            saved: saved.entries,
        }
    }

    /// What is known.
    #[must_use]
    pub const fn set(&self) -> &MemberSet {
        &self.set
    }

    /// A node is to be told to every peer, not to a few.
    pub(crate) fn introduce(&mut self, node: NodeId) {
        self.news.for_all(node);
    }

    /// Makes the own entry say what the node is now.
    fn put_self(&mut self, cx: &Context<'_>, removed: Incarnation) {
        let presence = Presence {
            incarnation: cx.me.instance.incarnation,
            joined: self.joined,
            spec: cx.me.spec.clone(),
        };
        // A node is a member of its own cluster even if its last possible life was removed.
        let removed = removed.min(Incarnation(self.joined.0.saturating_sub(1)));
        let entry = Entry { node: self.me, removed, presence: Some(presence) };
        // Only a limit could reject it, and the own entry is the first to be put.
        let _ = self.set.merge(&entry, cx.now);
    }

    /// Takes in an entry; `from` is the peer that sent it. Says whether the peer lacks something.
    pub(crate) fn learn(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        from: NodeId,
        entry: &Entry,
    ) -> bool {
        if entry.node == self.me {
            return self.learn_of_self(cx, out, entry);
        }
        let merged = match self.set.merge(entry, cx.now) {
            Ok(merged) => merged,
            Err(Rejected::Full) if from == entry.node => {
                let (node, reason) = (entry.node, CloseReason::NotWanted);
                out.push(Outcome::Release { node, reason });
                return false;
            }
            Err(_) => return false,
        };
        match merged.effect {
            Effect::Nothing => return merged.behind,
            Effect::Grew => self.keep(out, entry.node),
            Effect::Joined { .. } => self.joined(out, entry.node),
            Effect::Left => self.left(cx, out, from, entry.node),
        }
        out.push(Outcome::Changed);
        self.news.for_some(entry.node, from);
        if self.news.len() > self.capacity.saturating_mul(2) {
            // Somebody makes up removals faster than news is sent; most are forgotten already.
            self.news.retain(|node| self.set.summary_of(node).is_some());
        }
        merged.behind
    }

    /// What others say of this node.
    fn learn_of_self(&mut self, cx: &mut Context<'_>, out: &mut Outcomes, entry: &Entry) -> bool {
        if entry.removed >= self.joined {
            let upto = entry.removed;
            out.push(Outcome::Removed { upto });
            return false;
        }
        if !is_sound(entry) {
            return false;
        }
        if let (Some(theirs), Some(own)) = (&entry.presence, self.set.presence(self.me)) {
            let newer = theirs.incarnation > own.incarnation;
            let other = theirs.incarnation == own.incarnation && theirs != own;
            if theirs.spec.name() != own.spec.name() {
                return false;
            }
            if newer || other {
                let spec = theirs.spec.clone();
                out.push(Outcome::DuplicateName { spec });
                return false;
            }
        }
        let removed = Entry { presence: None, ..entry.clone() };
        match self.set.merge(&removed, cx.now) {
            Ok(merged) => {
                if merged.effect != Effect::Nothing {
                    out.push(Outcome::Changed);
                }
                self.set.entry(self.me).as_ref() != Some(entry)
            }
            Err(_) => false,
        }
    }

    fn joined(&mut self, out: &mut Outcomes, node: NodeId) {
        if let Some((instance, spec)) = self.known(node) {
            out.push(Outcome::Joined { instance, spec });
        }
        self.keep(out, node);
    }

    fn keep(&self, out: &mut Outcomes, node: NodeId) {
        if let Some((instance, spec)) = self.known(node) {
            out.push(Outcome::Keep { instance, spec });
        }
    }

    fn left(&mut self, cx: &Context<'_>, out: &mut Outcomes, from: NodeId, node: NodeId) {
        out.push(Outcome::Left { node });
        let peer = cx.routes.peer(node);
        let removed = self.set.removed(node);
        // A session with a later life is about to say that it joined anew.
        if peer.is_some_and(|peer| peer.instance.incarnation > removed) {
            return;
        }
        let reason = match from == node {
            true => CloseReason::Left,
            false => CloseReason::Removed,
        };
        out.push(Outcome::Release { node, reason });
    }

    fn known(&self, node: NodeId) -> Option<(Instance, Arc<NodeSpec>)> {
        let presence = self.set.presence(node)?;
        let incarnation = presence.incarnation;
        Some((Instance { node, incarnation }, presence.spec.clone()))
    }

    fn sync(&mut self, out: &mut Outcomes, node: NodeId) {
        let Some(session) = self.sessions.get_mut(&node) else {
            return;
        };
        if !session.greeted {
            session.greeted = true;
            session.requested.clear();
        }
        if self.is_synced(node) {
            out.push(Outcome::Synced { node });
        }
    }
}

impl Strategy for Full {
    fn start(&mut self, cx: &mut Context<'_>, out: &mut Outcomes) {
        let saved = core::mem::take(&mut self.saved);
        let own = saved.iter().filter(|entry| entry.node == self.me);
        let removed = own.map(|entry| entry.removed).max().unwrap_or_default();
        let stays = self.joined > removed && self.joined != Incarnation::NONE;
        if !stays {
            self.joined = cx.me.instance.incarnation;
        }
        let removed = match removed < self.joined {
            true => removed,
            false => Incarnation::NONE,
        };
        self.put_self(cx, removed);
        for entry in saved.iter().filter(|entry| entry.node != self.me) {
            if let Ok(merged) = self.set.merge(entry, cx.now)
                && matches!(merged.effect, Effect::Joined { .. })
            {
                self.keep(out, entry.node);
            }
        }
    }

    fn not_member(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        node: NodeId,
        upto: Incarnation,
    ) {
        let entry = Entry { node, removed: upto, presence: None };
        self.learn(cx, out, node, &entry);
    }

    fn admit(
        &self,
        instance: Instance,
        spec: &NodeSpec,
        known: Option<Incarnation>,
    ) -> Result<(), Refusal> {
        let Instance { node, incarnation } = instance;
        let removed = self.set.removed(node);
        if incarnation <= removed {
            return Err(Refusal::Removed(removed));
        }
        // Whoever has not heard of the end of this node's stay would bring it back unasked.
        let over = self.set.removed(self.me);
        match self.set.presence(node) {
            None if known.is_some_and(|known| known <= over) => Err(Refusal::NotMember(over)),
            None if self.set.is_full() => Err(Refusal::NotWanted),
            None => Ok(()),
            Some(known) if known.spec.name() != spec.name() => Err(Refusal::IdentifierCollision),
            Some(known) if incarnation < known.incarnation => {
                Err(Refusal::StaleIncarnation(known.incarnation))
            }
            // A spec does not change within a life.
            Some(known) if incarnation == known.incarnation && *spec != *known.spec => {
                Err(Refusal::DuplicateName)
            }
            Some(_) => Ok(()),
        }
    }

    fn peer_up(
        &mut self,
        cx: &mut Context<'_>,
        _out: &mut Outcomes,
        peer: (Instance, &Arc<NodeSpec>),
        _joining: bool,
    ) {
        let node = peer.0.node;
        let anchor = cx.routes.anchor(node);
        let dialled = anchor.is_some_and(|anchor| anchor.is_dialled());
        let session = Session { dialled, ..Session::default() };
        self.sessions.insert(node, session);
        self.send_entries(cx, node, &[self.me]);
        if dialled {
            self.send_digest(cx, node);
        }
    }

    fn peer_down(&mut self, _cx: &mut Context<'_>, out: &mut Outcomes, instance: Instance) {
        let node = instance.node;
        self.sessions.remove(&node);
        if self.set.presence(node).is_none() {
            let reason = CloseReason::NotWanted;
            out.push(Outcome::Release { node, reason });
        }
    }

    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        from: Instance,
        message: ControlMessage,
    ) -> Result<(), Box<ControlMessage>> {
        let ControlMessage::Gossip(gossip) = message else {
            return Err(Box::new(message));
        };
        match gossip {
            Gossip::Digest(digest) => self.on_digest(cx, out, from.node, digest),
            Gossip::Summary(summary) => self.on_summary(cx, out, from.node, &summary),
            Gossip::Request(request) => self.on_request(cx, from.node, &request),
            Gossip::Delta(delta) => self.on_delta(cx, out, from.node, &delta),
        }
        Ok(())
    }

    fn round(&mut self, cx: &mut Context<'_>, out: &mut Outcomes) {
        if self.set.age(cx.now) > 0 {
            out.push(Outcome::Changed);
        }
        // A peer whose first digest is still under way will have its answer.
        let settled = |session: &Session| session.dialled || session.greeted;
        let peers = self.sessions.iter().filter(|(_, session)| settled(session));
        let mut peers: Vec<_> = peers.map(|(node, _)| *node).collect();
        self.random.shuffle_front(&mut peers, self.fanout);
        for peer in peers.into_iter().take(self.fanout) {
            self.send_digest(cx, peer);
        }
    }

    fn remove(&mut self, cx: &mut Context<'_>, out: &mut Outcomes, nodes: &[NodeId]) {
        let mut removed = Vec::new();
        for node in nodes.iter().copied().filter(|node| *node != self.me) {
            let session = cx.routes.peer(node).map(|peer| peer.instance.incarnation);
            if self.set.remove(node, session.unwrap_or_default(), cx.now) {
                removed.push(node);
            }
        }
        if removed.is_empty() {
            return;
        }
        self.send_to_all(cx, &removed);
        for node in removed {
            self.news.forget(node);
            self.left(cx, out, self.me, node);
        }
        out.push(Outcome::Changed);
    }

    fn leave(&mut self, cx: &mut Context<'_>) {
        let incarnation = cx.me.instance.incarnation;
        self.set.remove(self.me, incarnation, cx.now);
        self.send_to_all(cx, &[self.me]);
    }

    fn begin_anew(&mut self, cx: &mut Context<'_>, out: &mut Outcomes, removed: Incarnation) {
        let others = self.set.members().filter(|(node, _)| *node != self.me);
        for (node, _) in others {
            out.push(Outcome::Left { node });
        }
        self.set.clear();
        self.sessions.clear();
        self.news.clear();
        self.joined = cx.me.instance.incarnation;
        self.put_self(cx, removed);
        out.push(Outcome::Changed);
    }

    fn announce(&mut self, cx: &mut Context<'_>, out: &mut Outcomes) {
        // The start of a stay decides first which of two lives is the newer, and that of the
        // later life that others know is unknown here.
        self.joined = cx.me.instance.incarnation;
        self.put_self(cx, Incarnation::NONE);
        self.news.for_all(self.me);
        out.push(Outcome::Changed);
    }

    fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    fn send_news(&mut self, cx: &mut Context<'_>) {
        self.flush_news(cx);
    }

    fn is_synced(&self, node: NodeId) -> bool {
        let greeted = |session: &Session| session.greeted;
        self.sessions.get(&node).is_some_and(greeted) && self.set.presence(node).is_some()
    }

    fn members(&self) -> Vec<Member> {
        self.set.members().map(|(_, known)| member(known)).collect()
    }

    fn member(&self, node: NodeId) -> Option<Member> {
        self.set.presence(node).map(member)
    }

    fn counters(&self) -> MembershipCounters {
        self.set.counters()
    }

    fn saved(&self) -> Saved {
        let own = self.set.removed(self.me);
        let own = (own != Incarnation::NONE).then_some(Entry {
            node: self.me,
            removed: own,
            presence: None,
        });
        let others = self.set.entries().filter(|entry| entry.node != self.me);
        Saved { joined: self.joined, entries: own.into_iter().chain(others).collect() }
    }

    fn fingerprint(&self, hasher: &mut StableHasher) {
        self.set.hash(hasher);
        self.joined.hash(hasher);
        self.news.hash(hasher);
        for (node, session) in &self.sessions {
            node.hash(hasher);
            session.greeted.hash(hasher);
            hasher.write_usize(session.requested.len());
        }
    }
}

fn member(presence: &Presence) -> Member {
    Member { incarnation: presence.incarnation, spec: presence.spec.clone() }
}
