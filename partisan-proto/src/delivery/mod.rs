//! Messages that must arrive: acknowledged, and in causal order.
//!
//! ```text
//! sender                                    receiver
//! | Reliable {sequence, floor} -----------> |  on the lane of its choice; kept until acknowledged
//! | <---------- Acknowledgement {upto, also} |  membership channel, once for all of a turn
//! ```
//!
//! **Acknowledged**: each life of a node numbers its messages to each other node. What is not
//! acknowledged is kept, and sent again: at once when the connection that it went by is lost, when
//! the next session begins, and now and then for the case that somebody in between dropped it. The
//! receiver delivers each number once for each life of the sender, and acknowledges what it has
//! delivered, cumulatively, with gaps. A message that is not acknowledged in time failed, and its
//! sender is told, once; it may have arrived all the same. Cost: one acknowledgement for all that
//! arrived in a turn of the driver, one timer for each peer.
//!
//! **Causal** messages are acknowledged, and of two with the same label for the same node the one
//! that was sent before, as far as anybody could know, is delivered first. Each carries the messages
//! that its receiver must have delivered before, and those that others must (the causal barriers of
//! Prakash, Raynal and Singhal, *An adaptive causal ordering algorithm suited to mobile computing
//! environments*, 1997): not a matrix of everybody, but what is not known to be delivered; a message
//! to a node stands for all before it to that node, and acknowledgements remove it. What a causal
//! message waits for may be lost for ever, since its sender ended; so none waits longer than
//! `delivery.causal_patience`, and dependencies are forgotten after that time.
//!
//! **Restarts.** A message that must arrive is delivered once for each start of its receiver: whether
//! an application that died had done what it was told, nobody but itself can know, so one that was
//! not acknowledged comes again after the next start. A causal message is for one life alone, and fails
//! with it ([`CommandError::PeerRestarted`]). What a restarted application still knows of its
//! earlier life comes before what it sends only as long as its node knows that, too: the causal past
//! ([`Command::CausalPast`](crate::Command::CausalPast)) is a few bytes for the application to store
//! in one step with its state, and to give back after a restart
//! ([`Command::RecallCausalPast`](crate::Command::RecallCausalPast)). The node does not store it by
//! itself: it could not do so at the same time as the application its own state. In the original
//! nothing of this survives.
//!
//! **Order.** Acknowledged messages alone keep none: one that is sent again comes after later ones.
//! Those of a label that one node sends another keep theirs, whatever their channels and keys.
//! *Ordered* ones ([`SendReliable::ordered`](crate::SendReliable::ordered)) keep theirs on one channel
//! with one key: each names the one before it as long as that is not acknowledged, and its receiver
//! holds it until then. One that fails is skipped: those behind it come again and name another, or
//! none. So a receiver need know nothing of orders, and none outlives its messages. None is held
//! longer than a causal one is.
//!
//! **Names.** What an application calls a message ([`SendReliable::id`](crate::SendReliable::id)) tells
//! its receiver that it is the same as an earlier one, which the numbers cannot once its sender gave
//! it up, or was started anew.
//!
//! **Relayed**: while the receiver is not connected, what may go by way of other nodes does, a few
//! at a time, and so do the acknowledgements of it (`relay`); it is numbered, kept, sent again and
//! delivered once as any other. How its first attempt ended nobody tells; the next one may go
//! another way. But one that is too long for a node that it must go by fails at once
//! ([`CommandError::RelayTooLarge`]). A causal message is not relayed, since it is for a life of its receiver that must be
//! known, nor is one of a monotonic channel: both are refused.
//!
//! On a **monotonic** channel only the newest message matters (`newest`).
//!
//! A node that leaves its cluster ends this life: what it has not got acknowledged fails
//! ([`CommandError::Left`]), and so does what others have sent it and it has not acknowledged
//! ([`CommandError::PeerLeft`]), as soon as they hear of it; what is sent to it later waits for its
//! return. What was delivered to it is not delivered again when it is back, unless it was started
//! anew.
//!
//! After Partisan's `partisan_acknowledgement_backend` and `partisan_causality_backend`; unlike
//! there, duplicates are dropped, causality holds over third parties and for many labels, and tables
//! are bounded.

mod causal;
mod incoming;
mod monotonic;
mod newest;
mod outgoing;
mod past;
mod receiving;
mod sending;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hash::Hash;

use self::causal::Causal;
use self::incoming::Incoming;
use self::outgoing::Outgoing;
use crate::call::Wires;
use crate::change::Change;
use crate::config::Config;
use crate::context::Context;
use crate::error::{CloseReason, CommandError};
use crate::id::{Instance, LabelId, NodeId};
use crate::timers::Timer;
use crate::wire::StableHasher;

/// How often what happened to messages that must arrive, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DeliveryCounters {
    /// Messages sent from here, each once.
    pub sent: u64,
    /// Transmissions beyond the first.
    pub retransmitted: u64,
    /// Messages of monotonic channels that were never sent, since a newer one came.
    pub superseded: u64,
    /// Messages that were acknowledged.
    pub acknowledged: u64,
    /// Messages that were not acknowledged in time.
    pub expired: u64,
    /// Messages delivered here.
    pub delivered: u64,
    /// Messages that had been delivered here already.
    pub duplicates: u64,
    /// Messages that were too far ahead, or for which no room was left to wait in, and which come
    /// again; and relayed ones of a life of their sender that is over.
    pub refused: u64,
    /// Ordered messages that came after a later one of their order, since their sender had given
    /// them up: they are not delivered.
    pub overtaken: u64,
    /// Causal messages with a label that is not configured here.
    pub unknown_label: u64,
    /// Causal messages that were delivered though something before them had not arrived in time.
    pub out_of_patience: u64,
    /// Ordered messages that were delivered though one before them had not arrived in time.
    pub out_of_order: u64,
}

/// What is under way to and from other nodes.
#[derive(Debug)]
pub(crate) struct Deliveries {
    outgoing: BTreeMap<NodeId, Outgoing>,
    incoming: BTreeMap<NodeId, Incoming>,
    labels: BTreeMap<LabelId, Causal>,
    /// Of all nodes together.
    outstanding: usize,
    bytes: usize,
    places: usize,
    /// No number up to this one is used again, whomever it was for.
    used: u64,
    counters: DeliveryCounters,
}

impl Deliveries {
    pub(crate) fn new(config: &Config) -> Self {
        let labels = config.delivery.labels.iter();
        Self {
            outgoing: BTreeMap::new(),
            incoming: BTreeMap::new(),
            labels: labels.map(|name| (LabelId::of(name), Causal::default())).collect(),
            outstanding: 0,
            bytes: 0,
            places: 0,
            used: 0,
            counters: DeliveryCounters::default(),
        }
    }

    pub(crate) fn fire(&mut self, cx: &mut Context<'_>, wires: &mut impl Wires, timer: Timer) {
        match timer {
            Timer::Retransmit(to) => self.look_after(cx, wires, to),
            Timer::Acknowledge(node) => self.acknowledge(cx, node),
            Timer::Causal => self.lose_patience(cx),
            Timer::Ordered(node) => self.lose_patience_with(cx, node),
            _ => {}
        }
    }

    pub(crate) fn change(&mut self, cx: &mut Context<'_>, wires: &mut impl Wires, change: &Change) {
        match change {
            Change::PeerUp { instance, .. } => self.peer_up(cx, *instance),
            Change::LaneOpened { node } => self.flush(cx, wires, *node),
            Change::LaneClosed { node, connection } => {
                if let Some(outgoing) = self.outgoing.get_mut(node) {
                    outgoing.lost(|by| by == *connection);
                    self.flush(cx, wires, *node);
                }
            }
            Change::PeerDown { instance, reason, .. } => {
                if let Some(outgoing) = self.outgoing.get_mut(&instance.node) {
                    outgoing.lost(|_| true);
                    if is_over(*reason) {
                        self.peer_left(cx, instance.node);
                    }
                    self.flush(cx, wires, instance.node);
                    self.forget_idle(cx, instance.node);
                }
            }
            Change::Release { node, reason } if is_over(*reason) => {
                self.peer_left(cx, *node);
                self.set_timer(cx, *node);
                self.forget_idle(cx, *node);
            }
            Change::Relayed { from, parcel } => self.receive_relayed(cx, wires, *from, parcel),
            Change::RelayTooLarge { to, sequence }
                if self.outgoing.get(to).is_some_and(|all| all.is_relayed(*sequence)) =>
            {
                self.settle(cx, *to, *sequence, Err(CommandError::RelayTooLarge(*to)));
                self.flush(cx, wires, *to);
            }
            Change::Stopping => self.end(cx, &CommandError::Stopping),
            Change::Reborn { .. } => self.end(cx, &CommandError::Left),
            _ => {}
        }
    }

    /// A session begins: what was for an older life of the peer, and must not come to a new one,
    /// fails.
    fn peer_up(&mut self, cx: &mut Context<'_>, instance: Instance) {
        if let Some(outgoing) = self.outgoing.get(&instance.node) {
            for sequence in outgoing.for_others(instance) {
                let error = CommandError::PeerRestarted(instance.node);
                self.settle(cx, instance.node, sequence, Err(error));
            }
        }
        if let Some(outgoing) = self.outgoing.get_mut(&instance.node) {
            outgoing.connected();
        }
        self.deliver_all_causal(cx);
    }

    /// The stay of a peer is over: what is not on its way to it by a connection will not be.
    fn peer_left(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let lost = self.outgoing.get(&node).map(Outgoing::not_under_way).unwrap_or_default();
        for sequence in lost {
            self.settle(cx, node, sequence, Err(CommandError::PeerLeft(node)));
        }
    }

    /// This life of the node is over. What was delivered stays known, since the application goes on
    /// in the next one.
    fn end(&mut self, cx: &mut Context<'_>, error: &CommandError) {
        let peers: Vec<NodeId> = self.outgoing.keys().copied().collect();
        for to in peers {
            let all = self.outgoing.get(&to).map(Outgoing::all).unwrap_or_default();
            for sequence in all {
                self.settle(cx, to, sequence, Err(error.clone()));
            }
            cx.timers.cancel(Timer::Retransmit(to));
        }
        for (node, incoming) in &mut self.incoming {
            cx.timers.cancel(Timer::Acknowledge(*node));
            cx.timers.cancel(Timer::Ordered(*node));
            incoming.pause();
        }
        cx.timers.cancel(Timer::Causal);
        self.places = 0;
        self.outgoing.clear();
        self.labels.values_mut().for_each(|causal| *causal = Causal::default());
    }

    /// How many messages wait for their acknowledgement, those of monotonic channels included, and
    /// how many causal and ordered ones for others.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let causal: usize = self.labels.values().map(Causal::waiting).sum();
        let ordered: usize = self.incoming.values().map(Incoming::held).sum();
        (self.outstanding + self.places, causal + ordered)
    }

    pub(crate) const fn counters(&self) -> DeliveryCounters {
        self.counters
    }

    pub(crate) fn fingerprint(&self, hasher: &mut StableHasher) {
        self.outgoing.hash(hasher);
        self.incoming.hash(hasher);
        self.labels.hash(hasher);
    }
}

/// Whether a session ends with its peer's stay in the cluster.
const fn is_over(reason: CloseReason) -> bool {
    matches!(reason, CloseReason::Left | CloseReason::Removed)
}
