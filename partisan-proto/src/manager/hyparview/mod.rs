//! The HyParView manager (`partisan_hyparview_peer_service_manager`; Leitão, Pereira, Rodrigues:
//! HyParView, DSN 2007): membership of large clusters by partial views.
//!
//! Each node has a small *active view*, its neighbours, with whom it is connected, and a larger
//! *passive view* of nodes in reserve. The active view is symmetric, and repaired at once when a
//! neighbour is lost (`repair`); the passive one is kept fresh by exchanges of samples
//! (`shuffle`), and rid of the dead by checks after a loss (`check`). Neighbours are agreed on by both sides (`neighbor`); newcomers take places in
//! the midst of existing links (`join`); who leaves or is removed is not brought back by stale
//! views (`removal`). With X-BOT (`xbot`) neighbours are exchanged for cheaper ones.
//!
//! [`Manager::members`] are this node and its neighbours, and so are the notifications of members:
//! nobody here knows everybody. The passive view is told by [`Manager::views`].
//!
//! Unlike the original: the node itself is in no view; nobody is in an active view without a
//! session and the consent of both; views are refilled up to their size, with low priority unless
//! they are empty; a shuffle keeps its origin; nothing waits for anything but time and answers.

mod book;
mod check;
mod commands;
mod counting;
mod join;
mod neighbor;
mod passive;
mod peers;
mod removal;
mod repair;
mod shuffle;
mod store;
#[cfg(test)]
mod tests;
mod xbot;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use super::commands::Obey;
use super::joining::Joining;
use super::{Manager, Member, MembershipCounters, Views};
use crate::change::{Change, ContactId};
use crate::command::{Command, Contact};
use crate::config::HyParViewConfig;
use crate::context::{Context, Me};
use crate::error::{CloseReason, CommandError, ConfigError, Refusal};
use crate::id::{ConnectionId, Epoch, Incarnation, Instance, NodeId, Ticket};
use crate::notification::Notification;
use crate::question::{QuestionId, Response};
use crate::random::{Random, Seed};
use crate::snapshot::Snapshot;
use crate::spec::NodeSpec;
use crate::time::Instant;
use crate::timers::Timer;
use crate::wire::{ControlMessage, HyParViewMessage, StableHasher};
use book::Book;
use check::Checks;
use counting::Tally;
use join::Crowd;
use passive::{Known, Passive};
use peers::{Peer, Peers, State};
use removal::Removals;
use repair::Search;
use xbot::Exchanges;

/// The HyParView manager.
#[derive(Debug)]
pub struct HyParView {
    me: NodeId,
    own: Member,
    config: Arc<HyParViewConfig>,
    peers: Peers,
    passive: Passive,
    book: Book,
    /// Whether those in reserve are alive, if that is in doubt.
    checks: Option<Box<Checks>>,
    removals: Removals,
    search: Search,
    /// The number of the last shuffle, and whom it named.
    shuffled: (u32, Vec<NodeId>),
    joining: Joining,
    /// Contacts of former joins.
    contacts: Vec<Contact>,
    /// Whether they are being dialled again.
    recalling: bool,
    /// Those who joined through this node of late, if any.
    crowd: Option<Box<Crowd>>,
    /// Whom the last request offered in exchange.
    offered: Option<NodeId>,
    last_eviction: Option<Instant>,
    last_merge: Option<Instant>,
    /// When a shuffle of somebody who is no neighbour came by last.
    heard_of_others: Instant,
    exchanges: Exchanges,
    random: Random,
    /// The incarnation in which the present stay in the cluster began.
    joined: Incarnation,
    /// The incarnation of the last life that was stored.
    stored: Incarnation,
    /// Something is to be stored.
    unsaved: bool,
    /// What is stored names no other node: after a crash nobody would be found.
    stored_alone: bool,
    /// The application was told that another node has this one's name.
    duplicate: bool,
    refused: u64,
    tally: Tally,
}

impl HyParView {
    /// The manager of a node.
    ///
    /// # Errors
    /// [`ConfigError::Snapshot`] when the snapshot is another node's.
    pub fn new(
        me: &Me,
        config: impl Into<Arc<HyParViewConfig>>,
        seed: &Seed,
        snapshot: Option<Snapshot>,
    ) -> Result<Self, ConfigError> {
        let (config, incarnation) = (config.into(), me.instance.incarnation);
        let mut manager = Self {
            me: me.instance.node,
            own: Member { incarnation, spec: me.spec.clone() },
            peers: Peers::default(),
            passive: Passive::new(config.passive_size),
            book: Book::new(config.remembered),
            checks: None,
            removals: Removals::new(config.max_removals, config.removal_memory),
            search: Search::default(),
            shuffled: (0, Vec::new()),
            joining: Joining::new(config.max_joins, false),
            contacts: Vec::new(),
            recalling: false,
            crowd: None,
            offered: None,
            last_eviction: None,
            last_merge: None,
            heard_of_others: Instant::ZERO,
            exchanges: Exchanges::default(),
            random: Random::fork(seed, "hyparview manager"),
            joined: incarnation,
            stored: Incarnation::NONE,
            unsaved: true,
            stored_alone: true,
            duplicate: false,
            refused: 0,
            tally: Tally::default(),
            config,
        };
        if let Some(snapshot) = snapshot {
            manager.recollect(me, snapshot)?;
        }
        Ok(manager)
    }

    /// Answers a knock.
    fn knock(
        &mut self,
        cx: &mut Context<'_>,
        connection: ConnectionId,
        (instance, spec, known): (Instance, &NodeSpec, Option<Incarnation>),
    ) {
        let last = Incarnation(self.joined.0.saturating_sub(1));
        let strangers = self.peers.get(instance.node).is_none()
            && self.peers.strangers() >= self.config.max_strangers;
        let verdict = if cx.me.stopping {
            Err(Refusal::Stopping)
        } else if instance.node == self.me {
            Err(match spec.name() == cx.me.spec.name() {
                true => Refusal::DuplicateName,
                false => Refusal::IdentifierCollision,
            })
        } else if self.removals.covers(instance) {
            Err(Refusal::Removed(self.removals.upto(instance.node).unwrap_or_default()))
        } else if known.is_some_and(|known| known != Incarnation::NONE && known <= last) {
            // It takes an earlier stay of this node for the present one.
            Err(Refusal::NotMember(last))
        } else if strangers {
            self.refused += 1;
            Err(Refusal::TooMany)
        } else {
            Ok(())
        };
        cx.change(match verdict {
            Ok(()) => Change::Admit { connection },
            Err(refusal) => Change::TurnAway { connection, refusal },
        });
    }

    fn peer_up(
        &mut self,
        cx: &mut Context<'_>,
        (instance, spec): (Instance, &Arc<NodeSpec>),
        epoch: Epoch,
        contact: Option<ContactId>,
    ) {
        let node = instance.node;
        let before = self.peers.get(node).map(|peer| (peer.state, peer.epoch));
        if before.is_none_or(|(_, old)| old != epoch) {
            self.peers.insert(Peer::new(instance, spec.clone(), epoch, State::Stranger));
            cx.set_timer(Timer::Peer(node), self.config.answer_timeout);
            self.tell_of_itself(cx, node);
        }
        if let Some(contact) = contact {
            self.reached(cx, contact, node);
        } else if self.joining.is_through(node) {
            self.join_at(cx, node);
        }
        if self.peers.state(node) == Some(State::Stranger)
            && let Some((State::Dialled(purpose), _)) = before
        {
            self.pursue(cx, node, purpose);
        }
    }

    fn peer_down(
        &mut self,
        cx: &mut Context<'_>,
        instance: Instance,
        epoch: Epoch,
        reason: CloseReason,
    ) {
        let node = instance.node;
        let Some(peer) = self.peers.get(node).filter(|peer| {
            // A session that was ending already while the next one was asked for.
            peer.epoch == epoch || peer.epoch == Epoch::default()
        }) else {
            return self.joining.lost(cx, node, reason);
        };
        let (state, known): (_, Known) = (peer.state, peer.introduction().into());
        let released = self.has_released(node);
        if state == State::Active {
            self.count_loss(cx.now);
        }
        self.deactivate(cx, node);
        self.peers.remove(node);
        cx.timers.cancel(Timer::Peer(node));
        // A newer session has begun already; it must not be ended.
        if reason != CloseReason::Replaced {
            cx.change(Change::Release { node, reason: CloseReason::NotWanted });
        }
        self.joining.lost(cx, node, reason);
        self.lost_in_round(cx, node);
        let foreign = reason == CloseReason::OTHER_MANAGER;
        if foreign {
            self.passive.remove(node);
            self.book.forget(node);
        }
        match state {
            State::Active => {
                if !foreign {
                    self.reserve(known);
                }
                if !released {
                    self.passive.suspect(node);
                    self.owe_checks();
                    // Others have lost one, too, and have room.
                    self.search.crowded = false;
                }
                self.look_for_another(cx, node, reason);
            }
            State::Dialled(purpose) | State::Asked(purpose) => self.fell_through(cx, purpose, node),
            // Whoever came by, perhaps to see whether this node is alive, is alive itself.
            State::Stranger if !self.passive.is_full() && !foreign => self.reserve(known),
            State::Stranger | State::Draining => {}
        }
    }

    fn tell_duplicate(&mut self, cx: &mut Context<'_>, spec: Option<&NodeSpec>) {
        if !core::mem::replace(&mut self.duplicate, true) {
            let at = spec.map(|spec| Box::new(spec.clone()));
            cx.notify(Notification::DuplicateName { at });
        }
    }

    /// The node stops without leaving.
    fn stop(&mut self, cx: &mut Context<'_>) {
        self.save(cx);
        for timer in [
            Timer::Shuffle,
            Timer::Promote,
            Timer::Reconcile,
            Timer::Store,
            Timer::Optimize,
            Timer::EndRound,
        ] {
            cx.timers.cancel(timer);
        }
        self.joining.cancel_all(cx, &CommandError::Stopping);
        self.forget_rounds(cx);
        // Who is connected says goodbye; nothing more is heard of who is dialled.
        let dialled = |peer: &&Peer| matches!(peer.state, State::Dialled(_));
        let dialled: Vec<NodeId> =
            self.peers.iter().filter(dialled).map(|peer| peer.node).collect();
        for node in dialled {
            self.peers.remove(node);
            cx.timers.cancel(Timer::Peer(node));
        }
    }

    /// What follows from whatever has happened.
    fn settle(&mut self, cx: &mut Context<'_>) {
        self.own.incarnation = cx.me.instance.incarnation;
        if !cx.me.stopping {
            self.set_timers(cx);
            self.save_later(cx);
        }
    }

    fn obey_message(&mut self, cx: &mut Context<'_>, from: NodeId, message: HyParViewMessage) {
        match message {
            HyParViewMessage::Neighbor(request) => self.on_neighbor(cx, from, *request),
            HyParViewMessage::Accept(accept) => self.on_accept(cx, from, *accept),
            HyParViewMessage::Decline(decline) => self.on_decline(cx, from, *decline),
            HyParViewMessage::Disconnect(end) => self.on_disconnect(cx, from, *end),
            HyParViewMessage::Walk(walk) => self.on_walk(cx, from, *walk),
            HyParViewMessage::Shuffle(shuffle) => self.on_shuffle(cx, from, *shuffle),
            HyParViewMessage::ShuffleReply(reply) => self.on_shuffle_reply(cx, *reply),
            HyParViewMessage::Removal { node, upto } => self.on_removal(cx, from, node, upto),
            message => self.on_exchange(cx, from, message),
        }
    }
}

impl Manager for HyParView {
    fn start(&mut self, cx: &mut Context<'_>) {
        if cx.me.instance.incarnation <= self.stored {
            cx.reincarnate(self.stored);
        }
        self.removals.begin(cx.now);
        self.heard_of_others = cx.now;
        if self.stored == Incarnation::NONE {
            self.joined = cx.me.instance.incarnation;
        }
        let first = self.random.up_to(self.config.shuffle_interval);
        cx.set_timer(Timer::Shuffle, first);
        self.start_exchanges(cx);
        self.look_anew(cx);
        self.save(cx);
        self.settle(cx);
    }

    fn command(&mut self, cx: &mut Context<'_>, ticket: Ticket, command: Command) {
        self.obey(cx, ticket, command);
        self.settle(cx);
    }

    fn change(&mut self, cx: &mut Context<'_>, change: &Change) {
        match change {
            Change::Knock { connection, instance, spec, known } => {
                return self.knock(cx, *connection, (*instance, spec, *known));
            }
            Change::PeerUp { instance, spec, epoch, contact } => {
                self.peer_up(cx, (*instance, spec), *epoch, *contact);
            }
            Change::PeerDown { instance, epoch, reason, .. } => {
                self.peer_down(cx, *instance, *epoch, *reason);
            }
            Change::FullyConnected { node } => return self.joining.fully_connected(cx, *node),
            Change::ContactFailed { contact, error } => {
                if !Self::is_recalled(*contact) {
                    self.joining.failed(cx, *contact, *error);
                }
            }
            Change::ContactReached { contact, node } => self.reached(cx, *contact, *node),
            Change::ProbeFailed { node, error } => self.probe_failed(cx, *node, *error),
            Change::NotMember { node, upto } => self.not_member(cx, *node, *upto),
            Change::Outdated { refusal } => self.outdated(cx, *refusal),
            Change::RoundTrip { node, span } => return self.measured(cx, *node, *span),
            Change::Stopping => return self.stop(cx),
            // The manager's own.
            _ => return,
        }
        self.settle(cx);
    }

    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        from: Instance,
        message: ControlMessage,
    ) -> Result<(), Box<ControlMessage>> {
        match message {
            ControlMessage::HyParView(message) => {
                if self.peers.get(from.node).is_some_and(|peer| peer.instance() == from) {
                    self.obey_message(cx, from.node, message);
                    self.settle(cx);
                }
                Ok(())
            }
            other => Err(Box::new(other)),
        }
    }

    fn answered(&mut self, cx: &mut Context<'_>, id: QuestionId, response: &Response) {
        self.told_cost(cx, id, response);
        self.settle(cx);
    }

    fn fire(&mut self, cx: &mut Context<'_>, timer: Timer) {
        match timer {
            Timer::Shuffle => self.shuffle(cx),
            Timer::Promote => self.promote(cx),
            Timer::Reconcile => self.reconcile(cx),
            Timer::Store => self.save(cx),
            Timer::Peer(node) => self.overdue(cx, node),
            Timer::Optimize => self.optimize(cx),
            Timer::EndRound => self.end_round(cx),
            Timer::EndJoin(ticket) => self.joining.expire(cx, ticket),
            _ => {}
        }
        self.settle(cx);
    }

    fn members(&self) -> Vec<Member> {
        let member =
            |peer: &Peer| Member { incarnation: peer.incarnation, spec: peer.spec.clone() };
        let mut members: Vec<Member> = self.peers.active().map(member).collect();
        members.push(self.own.clone());
        members.sort_unstable_by(|one, other| one.spec.name().cmp(other.spec.name()));
        members
    }

    fn member(&self, node: NodeId) -> Option<Member> {
        if node == self.me {
            return Some(self.own.clone());
        }
        let peer = self.peers.get(node).filter(|peer| peer.state == State::Active)?;
        Some(Member { incarnation: peer.incarnation, spec: peer.spec.clone() })
    }

    fn views(&self) -> Views {
        Views {
            active: self.peers.active().map(|peer| peer.node).collect(),
            passive: self.passive.iter().map(|known| known.node).collect(),
        }
    }

    fn counters(&self) -> MembershipCounters {
        MembershipCounters {
            refused: self.refused,
            crowded_out: self.removals.crowded_out,
            views: self.tally.counters,
            ..MembershipCounters::default()
        }
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = StableHasher::default();
        (self.own.incarnation, self.joined, self.recalling).hash(&mut hasher);
        (self.unsaved, self.stored_alone).hash(&mut hasher);
        (self.last_eviction, self.last_merge, self.heard_of_others).hash(&mut hasher);
        self.peers.hash(&mut hasher);
        self.passive.hash(&mut hasher);
        self.book.hash(&mut hasher);
        self.checks.hash(&mut hasher);
        self.removals.hash(&mut hasher);
        self.search.hash(&mut hasher);
        self.shuffled.hash(&mut hasher);
        self.crowd.hash(&mut hasher);
        self.exchanges.hash(&mut hasher);
        self.tally.hash(&mut hasher);
        (self.joining.len(), self.joining.waiting(), self.contacts.len()).hash(&mut hasher);
        hasher.finish()
    }
}
