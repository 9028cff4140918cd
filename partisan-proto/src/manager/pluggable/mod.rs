//! The pluggable manager (`partisan_pluggable_peer_service_manager`): commands, joins, timers and
//! storing, around a membership [`Strategy`] that decides who is a member.
//!
//! Connecting is how joining works: a contact is dialled, the strategies exchange what they know,
//! and with that both are members of one cluster. There is no other request to join.

pub mod full;
pub mod member_set;
pub mod scamp;
pub mod strategy;

mod commands;

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use super::commands::Obey;
use super::joining::Joining;
use super::{Manager, Member, MembershipCounters, Views};
use crate::action::Action;
use crate::change::{Change, ContactId};
use crate::command::Command;
use crate::config::{PluggableConfig, StrategyConfig};
use crate::context::{Context, Me};
use crate::error::{CloseReason, CommandError, ConfigError, JoinError, Refusal, SnapshotError};
use crate::id::{ConnectionId, Incarnation, Instance, NodeId, Ticket};
use crate::notification::Notification;
use crate::random::{Random, Seed};
use crate::snapshot::Snapshot;
use crate::spec::NodeSpec;
use crate::timers::Timer;
use crate::wire::{ControlMessage, StableHasher};
use full::Full;
use scamp::{Scamp, Version};
use strategy::{Outcome, Outcomes, Saved, Strategy};

/// The pluggable manager.
#[derive(Debug)]
pub struct Pluggable {
    config: PluggableConfig,
    strategy: Box<dyn Strategy>,
    joining: Joining,
    random: Random,
    /// The incarnation of the last life that was stored.
    stored: Incarnation,
    /// Nobody can dial this node before it has told where it is in this life.
    starting: bool,
    /// Something is to be stored.
    unsaved: bool,
    /// The application was told that another node has this one's name.
    duplicate: bool,
}

impl Pluggable {
    /// The manager with the configured strategy.
    ///
    /// # Errors
    /// [`ConfigError::Snapshot`] when the snapshot is another node's.
    pub fn new(
        me: &Me,
        config: PluggableConfig,
        seed: &Seed,
        snapshot: Option<Snapshot>,
    ) -> Result<Self, ConfigError> {
        let own = config.clone();
        Self::with_strategy(me, config, seed, snapshot, |saved| match &own.strategy {
            StrategyConfig::Full => Box::new(Full::new(me.instance.node, &own, seed, saved)),
            StrategyConfig::ScampV1(scamp) => {
                Box::new(Scamp::new(me, Version::V1, (&own, scamp), seed, saved))
            }
            StrategyConfig::ScampV2(scamp) => {
                Box::new(Scamp::new(me, Version::V2, (&own, scamp), seed, saved))
            }
        })
    }

    /// The manager with a strategy made from what was saved in the last life.
    ///
    /// # Errors
    /// [`ConfigError::Snapshot`] when the snapshot is another node's.
    pub fn with_strategy(
        me: &Me,
        config: PluggableConfig,
        seed: &Seed,
        snapshot: Option<Snapshot>,
        strategy: impl FnOnce(Saved) -> Box<dyn Strategy>,
    ) -> Result<Self, ConfigError> {
        let mut saved = Saved::default();
        let mut stored = Incarnation::NONE;
        if let Some(snapshot) = snapshot {
            if snapshot.name != *me.spec.name() {
                let found = snapshot.name.as_str().into();
                return Err(SnapshotError::OtherNode { found }.into());
            }
            stored = snapshot.incarnation;
            saved.joined = snapshot.joined;
            saved.entries = snapshot.entries;
        }
        Ok(Self {
            strategy: strategy(saved),
            joining: Joining::new(config.max_joins, true),
            random: Random::fork(seed, "pluggable manager"),
            config,
            stored,
            starting: true,
            unsaved: true,
            duplicate: false,
        })
    }

    /// Hands the outcomes of a strategy's step to the node.
    fn apply(&mut self, cx: &mut Context<'_>, outcomes: Outcomes) {
        let mut changed = false;
        let mut removed = None;
        for outcome in outcomes {
            match outcome {
                Outcome::Joined { instance, spec } => {
                    changed = true;
                    let incarnation = instance.incarnation;
                    cx.notify(Notification::MemberJoined { spec, incarnation });
                    if let Some(peer) = cx.routes.peer(instance.node).map(|peer| peer.instance) {
                        cx.neighbor_up(peer);
                    }
                }
                Outcome::Left { node } => {
                    changed = true;
                    cx.notify(Notification::MemberLeft { node });
                    if !self.strategy.is_neighbor(node) {
                        cx.neighbor_down(node);
                    }
                }
                Outcome::Keep { instance, spec } => {
                    let later = cx.me.instance.node > instance.node;
                    let patient = !self.starting && later && self.strategy.is_mutual();
                    cx.change(Change::Keep { instance, spec, patient });
                }
                Outcome::Release { node, reason } => cx.change(Change::Release { node, reason }),
                Outcome::Synced { node } => self.join_through(cx, node),
                Outcome::Referred { by } => self.joining.refer(by, cx.me.instance.node),
                Outcome::Unwanted { node } => {
                    let refusal = JoinError::Refused(Refusal::NotWanted);
                    self.joining.cancel(cx, node, &CommandError::Join(refusal));
                }
                // Last, whatever else was learned with it: it is not this life's any more.
                Outcome::Removed { upto } => removed = removed.max(Some(upto)),
                Outcome::DuplicateName { spec } => self.tell_duplicate(cx, Some(&spec)),
                Outcome::Changed => self.unsaved = true,
            }
        }
        if changed {
            cx.change(Change::MembersChanged);
        }
        if let Some(upto) = removed {
            self.joining.cancel_all(cx, &CommandError::Join(JoinError::Cancelled));
            self.was_removed(cx, upto);
        }
    }

    /// Runs a step of the strategy, then whatever follows.
    fn step(
        &mut self,
        cx: &mut Context<'_>,
        step: impl FnOnce(&mut dyn Strategy, &mut Context<'_>, &mut Outcomes),
    ) {
        let mut outcomes = Outcomes::new();
        step(self.strategy.as_mut(), cx, &mut outcomes);
        self.apply(cx, outcomes);
    }

    /// Sends and stores what changed: at once, unless that was done within `news_interval`.
    fn settle(&mut self, cx: &mut Context<'_>) {
        let news = self.strategy.has_news();
        if !(news || self.unsaved) || cx.timers.due(Timer::News).is_some() || cx.me.stopping {
            return;
        }
        if news {
            self.strategy.send_news(cx);
        }
        self.save(cx);
        cx.set_timer(Timer::News, self.config.news_interval);
    }

    /// Stores what is to be stored.
    fn save(&mut self, cx: &mut Context<'_>) {
        if !core::mem::take(&mut self.unsaved) {
            return;
        }
        let Saved { joined, entries } = self.strategy.saved();
        let snapshot = Snapshot {
            name: cx.me.spec.name().clone(),
            incarnation: cx.me.instance.incarnation,
            joined,
            entries,
        };
        cx.act(Action::Persist(snapshot.encode()));
    }

    fn was_removed(&mut self, cx: &mut Context<'_>, upto: Incarnation) {
        self.begin_anew(cx, upto, CloseReason::Removed);
        let incarnation = cx.me.instance.incarnation;
        cx.notify(Notification::Removed { incarnation });
    }

    /// Becomes a later incarnation that is alone.
    fn begin_anew(&mut self, cx: &mut Context<'_>, upto: Incarnation, reason: CloseReason) {
        // The stay is over with all its lives, whichever of them was known to who ended it.
        let upto = upto.max(cx.me.instance.incarnation);
        cx.reincarnate(upto);
        cx.change(Change::Reborn { reason });
        self.duplicate = false;
        let mut outcomes = Outcomes::new();
        self.strategy.begin_anew(cx, &mut outcomes, upto);
        for outcome in &outcomes {
            if let Outcome::Left { node } = *outcome {
                cx.change(Change::Release { node, reason });
            }
        }
        self.apply(cx, outcomes);
        // At once: a crash must not bring the old membership back.
        self.unsaved = true;
        self.save(cx);
    }

    /// A peer refused this incarnation.
    fn outdated(&mut self, cx: &mut Context<'_>, refusal: Refusal) {
        let own = cx.me.instance.incarnation;
        if own == Incarnation::MOST && !matches!(refusal, Refusal::DuplicateName) {
            // There is no later one to become: dial again, with patience.
            return;
        }
        match refusal {
            // With another node of that name alive the two would outbid each other for ever.
            Refusal::StaleIncarnation(known) if known >= own && !self.duplicate => {
                cx.reincarnate(known);
                self.unsaved = true;
                self.step(cx, |strategy, cx, out| strategy.announce(cx, out));
            }
            Refusal::Removed(upto) if upto >= own => {
                self.was_removed(cx, upto);
                // Joins under way go on as the new incarnation.
                self.joining.renew(cx);
            }
            Refusal::DuplicateName => self.tell_duplicate(cx, None),
            _ => {}
        }
    }

    fn tell_duplicate(&mut self, cx: &mut Context<'_>, spec: Option<&NodeSpec>) {
        if !core::mem::replace(&mut self.duplicate, true) {
            let at = spec.map(|spec| Box::new(spec.clone()));
            cx.notify(Notification::DuplicateName { at });
        }
    }

    /// Answers a knock.
    fn knock(
        &self,
        cx: &mut Context<'_>,
        connection: ConnectionId,
        (instance, spec, known): (Instance, &NodeSpec, Option<Incarnation>),
    ) {
        let verdict = if cx.me.stopping {
            Err(Refusal::Stopping)
        } else if instance.node != cx.me.instance.node {
            self.strategy.admit(instance, spec, known)
        } else if spec.name() == cx.me.spec.name() {
            Err(Refusal::DuplicateName)
        } else {
            Err(Refusal::IdentifierCollision)
        };
        cx.change(match verdict {
            Ok(()) => Change::Admit { connection },
            Err(refusal) => Change::TurnAway { connection, refusal },
        });
    }

    fn peer_up(
        &mut self,
        cx: &mut Context<'_>,
        peer: (Instance, &Arc<NodeSpec>),
        contact: Option<ContactId>,
    ) {
        let instance = peer.0;
        if let Some(contact) = contact {
            self.joining.reached(contact, instance.node);
        }
        // A join whose contact dialled first was told of that before this.
        let joining = self.joining.is_through(instance.node);
        if self.strategy.is_neighbor(instance.node) {
            cx.neighbor_up(instance);
        }
        self.step(cx, |strategy, cx, out| strategy.peer_up(cx, out, peer, joining));
    }

    fn peer_down(&mut self, cx: &mut Context<'_>, instance: Instance, reason: CloseReason) {
        cx.neighbor_down(instance.node);
        self.step(cx, |strategy, cx, out| strategy.peer_down(cx, out, instance));
        self.joining.lost(cx, instance.node, reason);
    }

    /// The node stops without leaving.
    fn stop(&mut self, cx: &mut Context<'_>) {
        cx.timers.cancel(Timer::Gossip);
        cx.timers.cancel(Timer::News);
        cx.timers.cancel(Timer::Strategy);
        self.joining.cancel_all(cx, &CommandError::Stopping);
        self.save(cx);
    }
}

impl Manager for Pluggable {
    fn start(&mut self, cx: &mut Context<'_>) {
        if cx.me.instance.incarnation <= self.stored {
            cx.reincarnate(self.stored);
        }
        self.step(cx, |strategy, cx, out| strategy.start(cx, out));
        self.starting = false;
        let first = self.random.up_to(self.config.gossip_interval);
        cx.set_timer(Timer::Gossip, first);
        self.settle(cx);
    }

    fn command(&mut self, cx: &mut Context<'_>, ticket: Ticket, command: Command) {
        self.obey(cx, ticket, command);
        self.settle(cx);
    }

    fn change(&mut self, cx: &mut Context<'_>, change: &Change) {
        match change {
            Change::Knock { connection, instance, spec, known } => {
                self.knock(cx, *connection, (*instance, spec, *known))
            }
            Change::PeerUp { instance, spec, contact, .. } => {
                self.peer_up(cx, (*instance, spec), *contact);
            }
            Change::PeerDown { instance, reason, .. } => self.peer_down(cx, *instance, *reason),
            Change::FullyConnected { node } => self.joining.fully_connected(cx, *node),
            Change::ContactFailed { contact, error } => {
                self.joining.failed(cx, *contact, *error);
            }
            Change::ContactReached { contact, node } => self.contact_reached(cx, *contact, *node),
            Change::NotMember { node, upto } => {
                let (node, upto) = (*node, *upto);
                self.step(cx, |strategy, cx, out| {
                    strategy.not_member(cx, out, node, upto);
                });
            }
            Change::Outdated { refusal } => self.outdated(cx, *refusal),
            Change::Stopping => return self.stop(cx),
            Change::ProbeFailed { node, error } => {
                let (node, error) = (*node, *error);
                self.step(cx, |strategy, cx, out| strategy.probe_failed(cx, out, node, error));
            }
            Change::RoundTrip { .. }
            | Change::Partitioned
            | Change::LaneOpened { .. }
            | Change::LaneClosed { .. }
            | Change::Relay(_)
            | Change::Relayed { .. }
            | Change::RelayTooLarge { .. }
            | Change::ProcessEnded { .. } => {
                return;
            }
            // The manager's own.
            Change::Admit { .. }
            | Change::TurnAway { .. }
            | Change::Keep { .. }
            | Change::Release { .. }
            | Change::Probe { .. }
            | Change::Measure { .. }
            | Change::NeighborUp { .. }
            | Change::NeighborDown { .. }
            | Change::NeighborSwapped { .. }
            | Change::Verify
            | Change::DialContact { .. }
            | Change::DropContact { .. }
            | Change::MembersChanged
            | Change::Reborn { .. } => return,
        }
        self.settle(cx);
    }

    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        from: Instance,
        message: ControlMessage,
    ) -> Result<(), Box<ControlMessage>> {
        let mut outcomes = Outcomes::new();
        self.strategy.receive(cx, &mut outcomes, from, message)?;
        self.apply(cx, outcomes);
        self.settle(cx);
        Ok(())
    }

    fn fire(&mut self, cx: &mut Context<'_>, timer: Timer) {
        match timer {
            Timer::Gossip => {
                self.step(cx, |strategy, cx, out| strategy.round(cx, out));
                cx.change(Change::Verify);
                cx.set_timer(Timer::Gossip, self.config.gossip_interval);
            }
            Timer::EndJoin(ticket) => self.joining.expire(cx, ticket),
            Timer::Strategy => self.step(cx, |strategy, cx, out| strategy.fire(cx, out)),
            // Whatever was collected is sent below.
            _ => {}
        }
        self.settle(cx);
    }

    fn members(&self) -> Vec<Member> {
        let mut members = self.strategy.members();
        members.sort_unstable_by(|one, other| one.spec.name().cmp(other.spec.name()));
        members
    }

    fn member(&self, node: NodeId) -> Option<Member> {
        self.strategy.member(node)
    }

    fn views(&self) -> Views {
        self.strategy.views()
    }

    fn next_hop(&self, to: NodeId) -> Option<NodeId> {
        self.strategy.next_hop(to)
    }

    fn counters(&self) -> MembershipCounters {
        self.strategy.counters()
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = StableHasher::default();
        self.strategy.fingerprint(&mut hasher);
        hasher.write_usize(self.joining.len());
        hasher.write_usize(self.joining.waiting());
        self.unsaved.hash(&mut hasher);
        self.duplicate.hash(&mut hasher);
        hasher.finish()
    }
}
