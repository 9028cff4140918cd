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
//! receiver delivers each number once for each life of the two nodes, and acknowledges what it has
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
//! On a **monotonic** channel only the newest message matters (`newest`).
//!
//! A node that leaves its cluster ends this life: what it has not got acknowledged fails.
//!
//! After Partisan's `partisan_acknowledgement_backend` and `partisan_causality_backend`; unlike
//! there, duplicates are dropped, causality holds over third parties and for many labels, and tables
//! are bounded.

mod causal;
mod incoming;
mod monotonic;
mod newest;
mod outgoing;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::hash::Hash;

use bytes::Bytes;

use self::causal::{Causal, Waiting};
use self::incoming::{Incoming, Novelty};
use self::outgoing::{Outgoing, Outstanding};
use crate::action::{Action, Answer, Delivery};
use crate::call::Wires;
use crate::change::Change;
use crate::command::SendReliable;
use crate::config::Config;
use crate::context::Context;
use crate::error::CommandError;
use crate::id::{ChannelId, Instance, LabelId, NodeId, Ticket};
use crate::process::Lane;
use crate::time::Duration;
use crate::timers::Timer;
use crate::wire::{Acknowledgement, ControlMessage, ReliableHeader, StableHasher};

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
    /// Messages that were too far ahead, or for which no room was left to wait in; they come again.
    pub refused: u64,
    /// Causal messages with a label that is not configured here.
    pub unknown_label: u64,
    /// Causal messages that were delivered though something before them had not arrived in time.
    pub out_of_patience: u64,
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

    /// The application sends a message; the ticket is answered when its fate is known.
    pub(crate) fn send(
        &mut self,
        cx: &mut Context<'_>,
        wires: &mut impl Wires,
        ticket: Ticket,
        send: SendReliable,
    ) {
        match self.take_on(cx, ticket, send) {
            Ok(Some(to)) => self.flush(cx, wires, to),
            Ok(None) => {}
            Err(error) => cx.reply(ticket, Err(error)),
        }
    }

    /// Keeps a message for transmission; says to whom, unless it is delivered already.
    fn take_on(
        &mut self,
        cx: &mut Context<'_>,
        ticket: Ticket,
        send: SendReliable,
    ) -> Result<Option<NodeId>, CommandError> {
        let SendReliable { to, channel, key, destination, payload, expires, label } = send;
        if cx.config.channels.name(channel).is_none() {
            return Err(CommandError::UnknownChannel(channel.0));
        }
        if channel == ChannelId::MEMBERSHIP {
            return Err(CommandError::ReservedChannel);
        }
        if cx.config.channels.is_monotonic(channel) {
            return Err(CommandError::NotSupported("acknowledgements on monotonic channels"));
        }
        if let Some(label) = label.filter(|label| !self.labels.contains_key(label)) {
            return Err(CommandError::UnknownLabel(label));
        }
        let config = &cx.config.delivery;
        if to == cx.me.instance.node {
            // What it depends on was delivered here before it could be known here.
            let (from, relayed) = (to, false);
            cx.act(Action::Deliver(Delivery { from, channel, relayed, destination, payload }));
            cx.reply(ticket, Ok(Answer::Acknowledged));
            return Ok(None);
        }
        let limit = config.max_outstanding;
        if self.outstanding >= limit {
            return Err(CommandError::TooManyOutstanding { limit });
        }
        let limit = config.max_outstanding_bytes;
        if self.bytes.saturating_add(payload.len()) > limit {
            return Err(CommandError::TooManyOutstandingBytes { limit });
        }
        let causal = match label {
            None => None,
            Some(label) => {
                let peer = cx.routes.check(to)?.instance;
                let (patience, most) = (config.causal_patience, config.max_dependencies);
                let barrier = self.labels.entry(label).or_default();
                let header = barrier.stamp(cx.now, (label, peer), patience, most)?;
                barrier.sent(cx.now, cx.me.instance, peer);
                self.set_causal_timer(cx);
                Some((peer, Box::new(header)))
            }
        };
        let keep = expires.unwrap_or(config.expire_after).min(config.expire_after);
        let lane = Lane { channel, key };
        let expires = cx.now + keep;
        self.outstanding += 1;
        self.bytes += payload.len();
        self.counters.sent += 1;
        let outstanding =
            Outstanding { ticket, lane, destination, payload, causal, expires, sent: None };
        self.outgoing.entry(to).or_insert_with(|| Outgoing::after(self.used)).add(outstanding);
        Ok(Some(to))
    }

    /// Transmits what waits for it, as far as there is room, and sets the timer.
    fn flush(&mut self, cx: &mut Context<'_>, wires: &mut impl Wires, to: NodeId) {
        let mut full = BTreeSet::new();
        self.flush_messages(cx, wires, to, &mut full);
        self.flush_newest(cx, wires, to, &mut full);
        self.set_timer(cx, to);
    }

    /// Leaves the lanes without room in `full`.
    fn flush_messages(
        &mut self,
        cx: &mut Context<'_>,
        wires: &mut impl Wires,
        to: NodeId,
        full: &mut BTreeSet<Lane>,
    ) {
        let Some(outgoing) = self.outgoing.get_mut(&to) else { return };
        let mut impossible = Vec::new();
        let mut next = outgoing.unsent_after(0);
        while let Some(sequence) = next {
            next = outgoing.unsent_after(sequence);
            let Some(lane) = outgoing.lane(sequence).filter(|lane| !full.contains(lane)) else {
                continue;
            };
            let Some(frame) = outgoing.frame(sequence) else { continue };
            match wires.transmit_by(cx, to, lane, frame) {
                Ok(connection) => {
                    let again = outgoing.sent(sequence, connection, cx.now);
                    self.counters.retransmitted += u64::from(again);
                }
                Err(CommandError::QueueFull(_) | CommandError::LaneDown(_)) => {
                    full.insert(lane);
                }
                Err(error) if is_for_ever(&error) => impossible.push((sequence, error)),
                // Not connected; or an injected partition.
                Err(_) => break,
            }
        }
        for (sequence, error) in impossible {
            self.settle(cx, to, sequence, Err(error));
        }
    }

    fn set_timer(&self, cx: &mut Context<'_>, to: NodeId) {
        let config = &cx.config.delivery;
        let outgoing = self.outgoing.get(&to);
        // Of messages of monotonic channels none expires; for a node that is not connected they wait
        // as long as it is known, which is looked at now and then.
        let kept = outgoing.filter(|outgoing| outgoing.newest.len() > 0);
        let kept = kept.filter(|_| cx.routes.peer(to).is_none());
        let look = kept.map(|_| cx.now + config.expire_after);
        let due = outgoing.and_then(|outgoing| outgoing.due(config));
        match due.into_iter().chain(look).min() {
            Some(due) => cx.timers.set(Timer::Retransmit(to), due),
            None => _ = cx.timers.cancel(Timer::Retransmit(to)),
        }
    }

    /// The fate of a message is known.
    fn settle(
        &mut self,
        cx: &mut Context<'_>,
        to: NodeId,
        sequence: u64,
        result: Result<Answer, CommandError>,
    ) {
        let Some(outgoing) = self.outgoing.get_mut(&to) else { return };
        let Some(message) = outgoing.remove(sequence) else { return };
        self.outstanding -= 1;
        self.bytes -= message.payload.len();
        if let Some((peer, header)) = message.causal
            && let Some(causal) = self.labels.get_mut(&header.label)
        {
            let me = cx.me.instance;
            match result {
                Ok(_) => causal.delivered_to(peer, me, header.number),
                Err(_) => causal.failed(cx.now, peer, me, &header),
            }
        }
        cx.reply(message.ticket, result);
    }

    /// A peer acknowledges messages.
    pub(crate) fn acknowledged(
        &mut self,
        cx: &mut Context<'_>,
        wires: &mut impl Wires,
        from: Instance,
        acknowledgement: &Acknowledgement,
    ) {
        let Some(outgoing) = self.outgoing.get_mut(&from.node) else { return };
        let before = outgoing.newest.len();
        outgoing.seen(acknowledgement);
        self.places -= before - outgoing.newest.len();
        for sequence in outgoing.acknowledged(acknowledgement) {
            self.counters.acknowledged += 1;
            self.settle(cx, from.node, sequence, Ok(Answer::Acknowledged));
        }
        // What waited for the window of its place may go now.
        self.flush_newest(cx, wires, from.node, &mut BTreeSet::new());
        self.set_timer(cx, from.node);
    }

    /// What came from this life of a node so far.
    fn incoming_of(&mut self, cx: &mut Context<'_>, from: Instance) -> &mut Incoming {
        if !self.incoming.contains_key(&from.node) {
            self.make_room(cx);
        }
        let incoming = self.incoming.entry(from.node).or_insert_with(|| Incoming::new(from));
        incoming.begin(from, cx.now);
        incoming
    }

    /// A message arrived.
    pub(crate) fn receive(
        &mut self,
        cx: &mut Context<'_>,
        (from, channel): (Instance, ChannelId),
        header: ReliableHeader,
        payload: Bytes,
    ) {
        let config = &cx.config.delivery;
        let ahead = config.max_ahead;
        let novelty = self.incoming_of(cx, from).judge(header.sequence, header.floor, ahead as u64);
        match novelty {
            Novelty::New => {}
            Novelty::Known => {
                self.counters.duplicates += 1;
                return self.acknowledge_soon(cx, from.node);
            }
            // It is told of when it is delivered.
            Novelty::Waits => return self.counters.duplicates += 1,
            Novelty::TooFar => return self.counters.refused += 1,
        }
        let (node, relayed, destination) = (from.node, false, header.destination);
        let delivery = Delivery { from: node, channel, relayed, destination, payload };
        let Some(causal) = header.causal else {
            return self.deliver(cx, from, header.sequence, delivery);
        };
        let (patience, most) = (config.causal_patience, config.max_waiting);
        let label = causal.label;
        let Some(barrier) = self.labels.get_mut(&label) else {
            return self.counters.unknown_label += 1;
        };
        let (sequence, since) = (header.sequence, cx.now);
        let waiting = Waiting { from, sequence, header: causal, delivery, since };
        if barrier.take(cx, waiting, most) {
            if let Some(incoming) = self.incoming.get_mut(&node) {
                incoming.wait(sequence);
            }
            self.deliver_causal(cx, label, patience);
        } else {
            self.counters.refused += 1;
        }
    }

    fn deliver(&mut self, cx: &mut Context<'_>, from: Instance, sequence: u64, delivery: Delivery) {
        self.counters.delivered += 1;
        cx.act(Action::Deliver(delivery));
        // Of a life that is over nothing is acknowledged any more.
        if let Some(incoming) = self.incoming.get_mut(&from.node)
            && incoming.delivered(from, sequence)
        {
            self.acknowledge_soon(cx, from.node);
        }
    }

    /// Delivers the causal messages that wait for nothing any more, and those that waited too long.
    fn deliver_causal(&mut self, cx: &mut Context<'_>, label: LabelId, patience: Duration) {
        while let Some(causal) = self.labels.get_mut(&label)
            && let Some((waiting, patient)) = causal.next(cx, patience)
        {
            self.counters.out_of_patience += u64::from(!patient);
            let Waiting { from, sequence, delivery, .. } = waiting;
            self.deliver(cx, from, sequence, delivery);
        }
        self.set_causal_timer(cx);
    }

    fn set_causal_timer(&self, cx: &mut Context<'_>) {
        let config = &cx.config.delivery;
        let (patience, expiry) = (config.causal_patience, config.expire_after);
        let due = self.labels.values().filter_map(|causal| causal.due(patience, expiry)).min();
        match due {
            Some(due) => cx.timers.set(Timer::Causal, due),
            None => _ = cx.timers.cancel(Timer::Causal),
        }
    }

    fn acknowledge_soon(&mut self, cx: &mut Context<'_>, node: NodeId) {
        if let Some(incoming) = self.incoming.get_mut(&node)
            && incoming.owe()
        {
            cx.set_timer(Timer::Acknowledge(node), cx.config.delivery.acknowledge_after);
        }
    }

    /// Forgets a sender when there are as many as may be: the one not heard of for the longest time,
    /// connected ones last.
    fn make_room(&mut self, cx: &mut Context<'_>) {
        if self.incoming.len() < cx.config.delivery.max_senders {
            return;
        }
        let age = |(node, incoming): &(&NodeId, &Incoming)| {
            (cx.routes.peer(**node).is_some(), incoming.heard(), **node)
        };
        if let Some(oldest) = self.incoming.iter().min_by_key(age).map(|(node, _)| *node) {
            self.incoming.remove(&oldest);
            cx.timers.cancel(Timer::Acknowledge(oldest));
        }
    }

    pub(crate) fn fire(&mut self, cx: &mut Context<'_>, wires: &mut impl Wires, timer: Timer) {
        match timer {
            Timer::Retransmit(to) => self.look_after(cx, wires, to),
            Timer::Acknowledge(node) => {
                let peer = cx.routes.peer(node).map(|routes| routes.instance);
                // A later life numbers anew.
                if let Some(incoming) = self.incoming.get_mut(&node)
                    && let Some(acknowledgement) = incoming.acknowledgement()
                    && peer == Some(incoming.from())
                {
                    let message = ControlMessage::Acknowledge(Box::new(acknowledgement));
                    // Without a session they come again with the next one, and are told of again.
                    cx.send(node, message);
                }
            }
            Timer::Causal => {
                let patience = cx.config.delivery.causal_patience;
                let labels: Vec<LabelId> = self.labels.keys().copied().collect();
                for label in labels {
                    if let Some(causal) = self.labels.get_mut(&label) {
                        causal.forget_old(cx.now, patience);
                    }
                    self.deliver_causal(cx, label, patience);
                }
            }
            _ => {}
        }
    }

    /// Fails what has expired, and sends again what was not acknowledged.
    fn look_after(&mut self, cx: &mut Context<'_>, wires: &mut impl Wires, to: NodeId) {
        self.forget_newest(cx, to);
        let Some(outgoing) = self.outgoing.get_mut(&to) else { return };
        for sequence in outgoing.expired(cx.now) {
            self.counters.expired += 1;
            self.settle(cx, to, sequence, Err(CommandError::NotAcknowledged(to)));
        }
        if let Some(outgoing) = self.outgoing.get_mut(&to) {
            outgoing.retransmit(cx.now, &cx.config.delivery);
        }
        self.flush(cx, wires, to);
        self.forget_idle(cx, to);
    }

    /// Of a node that is not connected, and has nothing to acknowledge, nothing need be known but
    /// that its numbers are used.
    fn forget_idle(&mut self, cx: &Context<'_>, node: NodeId) {
        let connected = cx.routes.peer(node).is_some();
        if let Some(outgoing) = self.outgoing.get(&node).filter(|idle| idle.is_empty())
            && !connected
        {
            self.used = self.used.max(outgoing.last());
            self.outgoing.remove(&node);
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
            Change::PeerDown { instance, .. } => {
                if let Some(outgoing) = self.outgoing.get_mut(&instance.node) {
                    outgoing.lost(|_| true);
                    self.set_timer(cx, instance.node);
                    self.forget_idle(cx, instance.node);
                }
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
        let patience = cx.config.delivery.causal_patience;
        let waits = self.labels.iter().filter(|(_, causal)| causal.is_waiting());
        let labels: Vec<LabelId> = waits.map(|(label, _)| *label).collect();
        for label in labels {
            self.deliver_causal(cx, label, patience);
        }
    }

    /// There is room again on some lane to a node.
    pub(crate) fn drained(&mut self, cx: &mut Context<'_>, wires: &mut impl Wires, node: NodeId) {
        if self.outgoing.get(&node).is_some_and(Outgoing::has_unsent) {
            self.flush(cx, wires, node);
        }
    }

    /// This life of the node is over.
    fn end(&mut self, cx: &mut Context<'_>, error: &CommandError) {
        let peers: Vec<NodeId> = self.outgoing.keys().copied().collect();
        for to in peers {
            let all = self.outgoing.get(&to).map(Outgoing::all).unwrap_or_default();
            for sequence in all {
                self.settle(cx, to, sequence, Err(error.clone()));
            }
            cx.timers.cancel(Timer::Retransmit(to));
        }
        for node in self.incoming.keys() {
            cx.timers.cancel(Timer::Acknowledge(*node));
        }
        cx.timers.cancel(Timer::Causal);
        self.places = 0;
        self.outgoing.clear();
        self.incoming.clear();
        self.labels.values_mut().for_each(|causal| *causal = Causal::default());
    }

    /// How many messages wait for their acknowledgement, those of monotonic channels included, and
    /// how many causal ones for others.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.outstanding + self.places, self.labels.values().map(Causal::waiting).sum())
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

/// Whether a message that met this error can never be sent.
const fn is_for_ever(error: &CommandError) -> bool {
    matches!(error, CommandError::PayloadTooLarge { .. } | CommandError::NoSuchChannel(_))
}
