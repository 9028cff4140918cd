//! What one node was sent and has not acknowledged.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use bytes::Bytes;

use super::newest::Newest;
use crate::change::Parcel;
use crate::config::DeliveryConfig;
use crate::id::{ConnectionId, Instance, NodeId, Ticket};
use crate::process::Lane;
use crate::time::{Duration, Instant};
use crate::wire::{
    Acknowledgement, Cargo, CausalHeader, Destination, Frame, InOrder, ReliableHeader,
    StableHasher, Terms,
};

/// A message that is kept until it is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Outstanding {
    pub(super) ticket: Ticket,
    pub(super) lane: Lane,
    pub(super) destination: Destination,
    pub(super) payload: Bytes,
    /// Whether it may go by way of other nodes.
    pub(super) relay: bool,
    /// For which life of the receiver alone, and after what.
    pub(super) causal: Option<(Instance, Box<CausalHeader>)>,
    /// Whether it comes after those before it on its lane.
    pub(super) ordered: bool,
    /// What the application calls it.
    pub(super) id: Option<u128>,
    pub(super) expires: Instant,
    /// By which connection it is on its way, none when by way of other nodes, and since when.
    pub(super) sent: Option<(Option<ConnectionId>, Instant)>,
}

/// The messages to one node, by number.
#[derive(Debug, Default, Hash)]
pub(super) struct Outgoing {
    /// The number of the last one.
    last: u64,
    messages: BTreeMap<u64, Outstanding>,
    /// Those that wait for transmission.
    unsent: BTreeSet<u64>,
    /// Those that were transmitted before.
    tried: BTreeSet<u64>,
    /// Those that keep an order, by channel and key.
    ordered: BTreeMap<Lane, BTreeSet<u64>>,
    /// When each expires.
    expiries: BTreeSet<(Instant, u64)>,
    /// Since when each is on its way.
    on_the_way: BTreeSet<(Instant, u64)>,
    /// How many may go by way of other nodes, and how many do.
    relayable: usize,
    relayed: usize,
    /// How often in a row nothing was acknowledged in time.
    waits: u32,
    pub(super) newest: Newest,
}

impl Outgoing {
    /// Nothing yet; numbers begin after this one.
    pub(super) fn after(used: u64) -> Self {
        Self { last: used, newest: Newest::after(used), ..Self::default() }
    }

    /// The greatest number that was used.
    pub(super) fn last(&self) -> u64 {
        self.last.max(self.newest.last())
    }

    pub(super) fn add(&mut self, message: Outstanding) {
        self.last += 1;
        self.unsent.insert(self.last);
        self.expiries.insert((message.expires, self.last));
        self.relayable += usize::from(message.relay);
        if message.ordered {
            self.ordered.entry(message.lane).or_default().insert(self.last);
        }
        self.messages.insert(self.last, message);
    }

    pub(super) fn remove(&mut self, sequence: u64) -> Option<Outstanding> {
        let message = self.messages.remove(&sequence)?;
        self.unsent.remove(&sequence);
        self.tried.remove(&sequence);
        self.expiries.remove(&(message.expires, sequence));
        self.relayable -= usize::from(message.relay);
        if let Some(order) = self.ordered.get_mut(&message.lane) {
            order.remove(&sequence);
            if order.is_empty() {
                self.ordered.remove(&message.lane);
            }
        }
        if let Some((by, at)) = message.sent {
            self.on_the_way.remove(&(at, sequence));
            self.relayed -= usize::from(by.is_none());
        }
        Some(message)
    }

    /// The first after this one that waits for transmission.
    pub(super) fn unsent_after(&self, sequence: u64) -> Option<u64> {
        self.unsent.range(sequence + 1..).next().copied()
    }

    /// Whether another may go by way of other nodes, if so many at a time may.
    pub(super) const fn has_room(&self, window: usize) -> bool {
        self.relayable > self.relayed && self.relayed < window
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty() || self.newest.has_unsent()
    }

    pub(super) fn all(&self) -> Vec<u64> {
        self.messages.keys().copied().collect()
    }

    /// Those that are not on their way by a connection.
    pub(super) fn not_under_way(&self) -> Vec<u64> {
        let waits = |message: &Outstanding| !matches!(message.sent, Some((Some(_), _)));
        let waiting = self.messages.iter().filter(|(_, message)| waits(message));
        waiting.map(|(sequence, _)| *sequence).collect()
    }

    /// Those that are for another life of the receiver than this one.
    pub(super) fn for_others(&self, instance: Instance) -> Vec<u64> {
        let bound = |message: &Outstanding| {
            message.causal.as_ref().is_some_and(|(peer, _)| *peer != instance)
        };
        let others = self.messages.iter().filter(|(_, message)| bound(message));
        others.map(|(sequence, _)| *sequence).collect()
    }

    /// Which lane a message takes.
    pub(super) fn lane(&self, sequence: u64) -> Option<Lane> {
        self.messages.get(&sequence).map(|message| message.lane)
    }

    /// Whether a message may go by way of other nodes now; so many at a time may.
    pub(super) fn may_relay(&self, sequence: u64, window: usize) -> bool {
        self.relayed < window && self.messages.get(&sequence).is_some_and(|message| message.relay)
    }

    /// Whether a message is on its way by other nodes.
    pub(super) fn is_relayed(&self, sequence: u64) -> bool {
        self.messages.get(&sequence).is_some_and(|message| matches!(message.sent, Some((None, _))))
    }

    /// A message as it goes by way of other nodes now.
    pub(super) fn parcel(&self, to: NodeId, sequence: u64) -> Option<Parcel> {
        let message = self.messages.get(&sequence)?;
        let Lane { channel, key } = message.lane;
        let (floor, terms) = (self.floor(sequence), self.terms(sequence, message));
        let cargo = Cargo::Reliable { sequence, floor, terms };
        let (destination, payload) = (message.destination.clone(), message.payload.clone());
        Some(Parcel { to, channel, key, cargo, destination, payload })
    }

    /// The lowest number that is still to be acknowledged.
    fn floor(&self, sequence: u64) -> u64 {
        self.messages.keys().next().copied().unwrap_or(sequence)
    }

    /// What a message asks of its receiver now. Those that failed are not waited for.
    fn terms(&self, sequence: u64, message: &Outstanding) -> Terms {
        let order = self.ordered.get(&message.lane).filter(|_| message.ordered);
        let order = order.map(|order| InOrder {
            order: order_of(message.lane),
            after: order.range(..sequence).next_back().copied(),
        });
        Terms { order, id: message.id }
    }

    /// A message as it is transmitted now.
    pub(super) fn frame(&self, sequence: u64) -> Option<Frame> {
        let message = self.messages.get(&sequence)?;
        let floor = self.floor(sequence);
        let causal = message.causal.as_ref().map(|(_, header)| (**header).clone());
        let destination = message.destination.clone();
        let terms = self.terms(sequence, message);
        let header = Box::new(ReliableHeader { sequence, floor, causal, terms, destination });
        Some(Frame::Reliable { header, payload: message.payload.clone() })
    }

    /// It is on its way, by a connection or by way of other nodes; says whether it was before.
    pub(super) fn sent(&mut self, sequence: u64, by: Option<ConnectionId>, now: Instant) -> bool {
        self.unsent.remove(&sequence);
        if let Some(message) = self.messages.get_mut(&sequence) {
            message.sent = Some((by, now));
            self.on_the_way.insert((now, sequence));
            self.relayed += usize::from(by.is_none());
        }
        !self.tried.insert(sequence)
    }

    /// What was on its way by these connections is lost.
    pub(super) fn lost(&mut self, which: impl Fn(ConnectionId) -> bool) {
        self.send_again(|by| by.is_some_and(&which));
        self.newest.lost(&which);
        self.waits = 0;
    }

    /// What is on its way by other nodes waits for transmission again: the receiver is connected,
    /// and drops what it has.
    pub(super) fn connected(&mut self) {
        self.send_again(|by| by.is_none());
    }

    fn send_again(&mut self, which: impl Fn(Option<ConnectionId>) -> bool) {
        for (sequence, message) in &mut self.messages {
            if let Some((by, at)) = message.sent.take_if(|(by, _)| which(*by)) {
                self.on_the_way.remove(&(at, *sequence));
                self.unsent.insert(*sequence);
                self.relayed -= usize::from(by.is_none());
            }
        }
    }

    /// The receiver has messages of monotonic channels.
    pub(super) fn seen(&mut self, of: &Acknowledgement) {
        for (place, upto) in of.newest.iter() {
            if self.newest.acknowledged(*place, *upto) {
                self.waits = 0;
            }
        }
    }

    /// Whether nothing at all is left.
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.newest.len() == 0
    }

    /// Which messages an acknowledgement is about.
    pub(super) fn acknowledged(&mut self, of: &Acknowledgement) -> Vec<u64> {
        let upto = self.messages.range(..=of.upto);
        let mut found: Vec<u64> = upto.map(|(sequence, _)| *sequence).collect();
        for (first, last) in of.also.iter().filter(|(first, last)| first <= last) {
            found.extend(self.messages.range(first..=last).map(|(sequence, _)| *sequence));
        }
        // An acknowledgement of what was never sent is a peer's mistake.
        found.retain(|sequence| self.tried.contains(sequence));
        found.dedup();
        if !found.is_empty() {
            self.waits = 0;
        }
        found
    }

    /// How long the next acknowledgement is waited for.
    fn patience(&self, config: &DeliveryConfig) -> Duration {
        let doubled = config.retransmit_after.checked_mul(1 << self.waits.min(16));
        doubled.map_or(config.retransmit_most, |span| span.min(config.retransmit_most))
    }

    /// When something is to be done: the next to expire, or to be sent again.
    pub(super) fn due(&self, config: &DeliveryConfig) -> Option<Instant> {
        let expires = self.expiries.first().map(|(at, _)| *at);
        let patience = self.patience(config);
        let again = self.on_the_way.first().map(|(at, _)| *at + patience);
        let newest = self.newest.due(patience);
        expires.into_iter().chain(again).chain(newest).min()
    }

    pub(super) fn expired(&self, now: Instant) -> Vec<u64> {
        let expired = self.expiries.iter().take_while(|(at, _)| *at <= now);
        expired.map(|(_, sequence)| *sequence).collect()
    }

    /// Those that were not acknowledged in time wait for transmission again.
    pub(super) fn retransmit(&mut self, now: Instant, config: &DeliveryConfig) {
        let (patience, before) = (self.patience(config), self.on_the_way.len());
        while let Some((at, sequence)) = self.on_the_way.first().copied()
            && at + patience <= now
        {
            self.on_the_way.pop_first();
            let message = self.messages.get_mut(&sequence);
            if let Some((by, _)) = message.and_then(|message| message.sent.take()) {
                self.relayed -= usize::from(by.is_none());
            }
            self.unsent.insert(sequence);
        }
        let again = self.newest.retransmit(now, patience) || self.on_the_way.len() < before;
        self.waits = self.waits.saturating_add(u32::from(again));
    }
}

/// What the order of a channel and a key is called.
fn order_of(lane: Lane) -> u64 {
    let mut hasher = StableHasher::default();
    lane.hash(&mut hasher);
    hasher.finish()
}
