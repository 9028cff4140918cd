//! Relay: messages to nodes that are not connected travel along the overlay
//! (`forward_message` with `transitive`, `relay_message` in Partisan).
//!
//! A message whose target is not connected, or not by the lane that the message needs, is given to a
//! neighbour, and so on:
//!
//! 1. A node that is connected to the target hands the message over, whatever its ttl says.
//! 2. Else it goes where the manager knows the target to be
//!    ([`Manager::next_hop`](crate::Manager::next_hop)).
//! 3. Else back along the way by which the target was last heard of: each relayed message shows
//!    the nodes that it passes the way to its origin.
//! 4. Else copies of it go to all neighbours except where it came from. When one arrives, the
//!    target says so, back along the way of that copy, and the next message goes there alone.
//!
//! *Ways change*, and the one by which a message goes may have become wrong. Where it ends is said
//! back along it, and so is it where nobody knows on and copies are made: whoever hears that forgets
//! the way. So a wrong way costs a sender one message, and the next one is flooded.
//!
//! *Where it ends.* Each node handles a message once, told by origin, life and number, and a node
//! never sends it to anybody twice: so it ends, and no connection carries it more than once in each
//! direction. The ttl, [`RelayConfig::ttl`](crate::config::RelayConfig::ttl) at the origin, goes
//! down with each hop; with none left a message is only handed over. A copy that took a longer way
//! round and was first may have less of it left than another would have had.
//!
//! *What is known of its fate.* What can be known at once is the answer to the command; after an
//! error nothing was sent. When a message that goes one way is stuck, the origin is told, best
//! effort, once, and that is final: it has not arrived and will not
//! ([`Notification::RelayFailed`]). Copies end silently, since another may have arrived. Arrival is
//! never confirmed, but for messages that must arrive: those are numbered, kept and sent again by
//! [`delivery`](crate::delivery), and so are their acknowledgements carried back. One that is longer
//! than a node on its one way takes, or than its target does, is not sent again: its origin is told
//! ([`CommandError::RelayTooLarge`]). Each is delivered
//! at most once in a life of its target, as long as that remembers its origin
//! ([`RelayConfig::max_known`](crate::config::RelayConfig::max_known)).
//!
//! *Order.* None is promised. Messages of one key that take the same way keep their order, since
//! the key picks one lane on every hop; but ways change.
//!
//! *Channel.* Each hop uses the channel of the same name, or `default` where the next node does
//! not have it, from there on.
//!
//! *Trust.* The sender of a relayed message is what the nodes in between say it is: members that
//! have proven who they are vouch for it, its origin has not proven anything to the target
//! ([`Delivery::relayed`]).
//!
//! Unlike the original there is duplicate suppression, no copy goes back to where it came from, the
//! target is found rather than hoped for, and nothing waits for a broadcast tree.

pub(crate) mod known;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use bytes::Bytes;

use crate::action::{Action, Delivery};
use crate::change::{Change, Parcel};
use crate::context::Context;
use crate::error::CommandError;
use crate::id::{ChannelId, Instance, NodeId};
use crate::notification::Notification;
use crate::time::{Duration, Instant};
use crate::wire::{
    Cargo, ControlMessage, Frame, MAX_RELAY_TTL, RelayFailure, RelayHeader, RelayId, RelayMessage,
    RelayNotice, StableHasher,
};
use known::{Bounds, Known, Novelty};

/// What relaying needs of the node around it.
pub(crate) trait Ways {
    /// Through whom the manager says that a node is reached.
    fn next_hop(&self, to: NodeId) -> Option<NodeId>;

    /// Sends a frame with a payload to a connected peer, if it may be sent now.
    fn transmit(
        &mut self,
        cx: &mut Context<'_>,
        to: NodeId,
        how: (ChannelId, Option<u64>),
        frame: Frame,
    ) -> Result<(), CommandError>;
}

/// How often what happened to relayed messages on a node, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct RelayCounters {
    /// Messages sent from here.
    pub sent: u64,
    /// Transmissions of messages, own and others', copies counted each.
    pub transmitted: u64,
    /// Messages delivered here.
    pub delivered: u64,
    /// Messages that had been here already.
    pub duplicates: u64,
    /// Messages of a life of their origin that is over, or too old to be told from duplicates.
    pub outdated: u64,
    /// Messages that ended here without being handed over.
    pub ended: u64,
    /// Notices left out, to spare the membership channel.
    pub unsaid: u64,
}

/// What is relayed through a node.
#[derive(Debug, Default)]
pub(crate) struct Relay {
    /// The number of the last message sent from here.
    sequence: u64,
    known: Known,
    /// The second in which notices are counted, and how many were sent in it.
    said: (Instant, u32),
    counters: RelayCounters,
}

/// A message on its way through this node.
struct Passing {
    header: RelayHeader,
    channel: ChannelId,
    payload: Bytes,
    /// By whom it came; from this node itself: nobody.
    from: Option<NodeId>,
}

impl Passing {
    /// The frame for the next hop.
    fn frame(&self, flooded: bool) -> Frame {
        let header = RelayHeader {
            ttl: self.header.ttl.saturating_sub(1),
            hops: self.header.hops.saturating_add(1),
            flooded,
            ..self.header.clone()
        };
        Frame::Relayed { header: Box::new(header), payload: self.payload.clone() }
    }
}

impl Relay {
    /// Sends a message of this node to one that is not connected here; says its number.
    pub(crate) fn send(
        &mut self,
        cx: &mut Context<'_>,
        ways: &mut impl Ways,
        parcel: Parcel,
    ) -> Result<u64, CommandError> {
        let Parcel { to: target, channel, key, cargo, destination, payload } = parcel;
        let Instance { node: origin, incarnation } = cx.me.instance;
        self.sequence += 1;
        let id = RelayId { origin, incarnation, sequence: self.sequence };
        let ttl = cx.config.relay.ttl;
        let (hops, flooded) = (0, false);
        let header = RelayHeader { id, target, ttl, hops, flooded, key, cargo, destination };
        let passing = Passing { header, channel, payload, from: None };
        self.pass_on(cx, ways, &passing)?;
        self.counters.sent += 1;
        Ok(self.sequence)
    }

    /// A relayed message came from a peer with a session, on a lane of this channel.
    pub(crate) fn arrived(
        &mut self,
        cx: &mut Context<'_>,
        ways: &mut impl Ways,
        (from, channel): (NodeId, ChannelId),
        header: RelayHeader,
        payload: Bytes,
    ) {
        if header.id.origin == cx.me.instance.node {
            // It came back.
            self.counters.duplicates += 1;
            return;
        }
        match self.known.meet(header.id, from, bounds(cx)) {
            Novelty::New => {}
            Novelty::TooOld => {
                self.counters.outdated += 1;
                return;
            }
            Novelty::Seen => {
                self.counters.duplicates += 1;
                if !header.flooded && header.target != cx.me.instance.node {
                    self.known.forget_way(header.target);
                    self.say_failed(cx, &header, RelayFailure::Circle);
                }
                return;
            }
        }
        let passing = Passing { header, channel, payload, from: Some(from) };
        if passing.header.target == cx.me.instance.node {
            return self.deliver(cx, passing);
        }
        if passing.header.ttl + passing.header.hops > MAX_RELAY_TTL {
            // So many only the target is given; one hop more, and nobody could read it.
            self.counters.ended += 1;
            return;
        }
        if let Err(error) = self.pass_on(cx, ways, &passing) {
            self.counters.ended += 1;
            let reason = failure(&error, &passing);
            // What its target does not take, no copy brings there.
            let of_target = reason == RelayFailure::TooLarge
                && cx.routes.peer(passing.header.target).is_some()
                && passing.header.cargo.must_arrive();
            if !passing.header.flooded || of_target {
                self.say_failed(cx, &passing.header, reason);
            }
        }
    }

    fn deliver(&mut self, cx: &mut Context<'_>, passing: Passing) {
        let Passing { header, channel, payload, .. } = passing;
        self.counters.delivered += 1;
        if header.flooded {
            let notice = notice(&header);
            self.say(cx, header.id.origin, RelayMessage::Found(Box::new(notice)));
        }
        let RelayHeader { id, target: to, key, cargo, destination, .. } = header;
        if cargo == Cargo::Message {
            let (from, relayed) = (id.origin, true);
            return cx.act(Action::Deliver(Delivery {
                from,
                channel,
                relayed,
                destination,
                payload,
            }));
        }
        let from = Instance { node: id.origin, incarnation: id.incarnation };
        let parcel = Box::new(Parcel { to, channel, key, cargo, destination, payload });
        cx.change(Change::Relayed { from, parcel });
    }

    /// Sends a message one hop further, or copies of it several ways.
    fn pass_on(
        &mut self,
        cx: &mut Context<'_>,
        ways: &mut impl Ways,
        passing: &Passing,
    ) -> Result<(), CommandError> {
        let RelayHeader { target, ttl, flooded, .. } = passing.header;
        if cx.routes.peer(target).is_some() {
            match self.transmit(cx, ways, passing, target, flooded) {
                // Others may have one.
                Err(CommandError::LaneDown(_)) if ttl > 0 => {}
                handed_over => return handed_over,
            }
        }
        if ttl == 0 {
            return Err(CommandError::UnknownNode(target));
        }
        if let Some(hop) = self.hop(cx, ways, passing) {
            match self.transmit(cx, ways, passing, hop, flooded) {
                Ok(()) => return Ok(()),
                // It will pass, and the way is right.
                Err(error @ CommandError::QueueFull(_)) => return Err(error),
                Err(_) => self.known.unlearn(target, hop),
            }
        }
        self.flood(cx, ways, passing)?;
        if !flooded && passing.from.is_some() {
            let notice = Box::new(notice(&passing.header));
            self.say(cx, passing.header.id.origin, RelayMessage::Astray(notice));
        }
        Ok(())
    }

    /// The one neighbour to send a message to, if one is known.
    fn hop(&self, cx: &Context<'_>, ways: &impl Ways, passing: &Passing) -> Option<NodeId> {
        let RelayHeader { target, flooded, .. } = passing.header;
        // Who has had it would drop it.
        let behind = [passing.from, Some(passing.header.id.origin), Some(cx.me.instance.node)];
        let other = |hop: &NodeId| !behind.contains(&Some(*hop));
        let told = ways.next_hop(target).filter(other);
        // What was learned may have become wrong, and copies are to make up for that.
        let learned = self.known.way(target).filter(|_| !flooded);
        told.or_else(|| learned.filter(other).filter(|hop| cx.neighbors.contains(*hop)))
    }

    fn flood(
        &mut self,
        cx: &mut Context<'_>,
        ways: &mut impl Ways,
        passing: &Passing,
    ) -> Result<(), CommandError> {
        let behind = [passing.from, Some(passing.header.id.origin)];
        let all = cx.neighbors.iter().map(|neighbor| neighbor.node);
        let ahead: Vec<NodeId> = all.filter(|node| !behind.contains(&Some(*node))).collect();
        let mut outcome = Err(CommandError::NoRelay(passing.header.target));
        let mut failed = None;
        for node in ahead {
            match self.transmit(cx, ways, passing, node, true) {
                Ok(()) => outcome = Ok(()),
                // Of several the one that passes: it is too long only if it is for all.
                Err(error) => match failed {
                    None | Some(CommandError::PayloadTooLarge { .. }) => failed = Some(error),
                    Some(_) => {}
                },
            }
        }
        match (outcome, failed) {
            (Err(_), Some(error)) => Err(error),
            (outcome, _) => outcome,
        }
    }

    fn transmit(
        &mut self,
        cx: &mut Context<'_>,
        ways: &mut impl Ways,
        passing: &Passing,
        to: NodeId,
        flooded: bool,
    ) -> Result<(), CommandError> {
        let how = (passing.channel, passing.header.key);
        ways.transmit(cx, to, how, passing.frame(flooded))?;
        self.counters.transmitted += 1;
        Ok(())
    }

    /// A peer with a session says what became of a message.
    pub(crate) fn receive(&mut self, cx: &mut Context<'_>, from: Instance, message: RelayMessage) {
        let notice = *message.notice();
        match &message {
            RelayMessage::Failed { .. }
            | RelayMessage::Astray(_)
            | RelayMessage::TooLarge { .. } => {
                self.known.unlearn(notice.target, from.node);
            }
            RelayMessage::Found(_) if notice.target != cx.me.instance.node => {
                self.known.learn(notice.target, from.node, bounds(cx));
            }
            RelayMessage::Found(_) => {}
        }
        let RelayNotice { id, target, hops } = notice;
        if id.origin == cx.me.instance.node {
            let mine = id.incarnation == cx.me.instance.incarnation;
            let (to, number) = (target, id.sequence);
            match message {
                RelayMessage::Failed { reason, .. } if mine => {
                    cx.notify(Notification::RelayFailed { to, sequence: number, reason });
                }
                RelayMessage::TooLarge { sequence, .. } if mine => {
                    cx.change(Change::RelayTooLarge { to, sequence });
                }
                _ => {}
            }
            return;
        }
        let Some(hops) = hops.checked_sub(1).filter(|left| *left > 0) else {
            return;
        };
        let notice = Box::new(RelayNotice { hops, ..notice });
        let message = match message {
            RelayMessage::Failed { reason, .. } => RelayMessage::Failed { notice, reason },
            RelayMessage::Found(_) => RelayMessage::Found(notice),
            RelayMessage::Astray(_) => RelayMessage::Astray(notice),
            RelayMessage::TooLarge { sequence, .. } => RelayMessage::TooLarge { notice, sequence },
        };
        // Not back to where it comes from: the way has changed meanwhile.
        if self.known.way(id.origin) != Some(from.node) {
            self.say(cx, id.origin, message);
        }
    }

    fn say_failed(&mut self, cx: &mut Context<'_>, header: &RelayHeader, reason: RelayFailure) {
        let notice = Box::new(notice(header));
        let message = match header.cargo {
            Cargo::Message => RelayMessage::Failed { notice, reason },
            Cargo::Reliable { sequence, .. } if reason == RelayFailure::TooLarge => {
                RelayMessage::TooLarge { notice, sequence }
            }
            // It is sent again: only the way is to be forgotten.
            Cargo::Reliable { .. } | Cargo::Acknowledgement { .. } => RelayMessage::Astray(notice),
        };
        self.say(cx, header.id.origin, message);
    }

    /// Says something towards the origin of a message: so often in a second.
    fn say(&mut self, cx: &mut Context<'_>, origin: NodeId, message: RelayMessage) {
        if cx.now.since(self.said.0) >= Duration::from_secs(1) {
            self.said = (cx.now, 0);
        }
        let Some(via) = self.known.way(origin) else {
            return;
        };
        if self.said.1 >= cx.config.relay.notices_per_second {
            self.counters.unsaid += 1;
        } else if cx.send(via, ControlMessage::Relay(message)) {
            self.said.1 += 1;
        }
    }

    /// Another part changed something.
    pub(crate) fn change(&mut self, cx: &mut Context<'_>, ways: &mut impl Ways, change: &Change) {
        match change {
            // What has been delivered stays delivered, whoever the peers are now.
            Change::Reborn { .. } => self.known.forget_ways(),
            Change::Relay(parcel) => {
                let (to, cargo) = (parcel.to, parcel.cargo);
                // After any other error whoever left it here tries again.
                if let Err(CommandError::PayloadTooLarge { .. }) =
                    self.send(cx, ways, (**parcel).clone())
                    && let Cargo::Reliable { sequence, .. } = cargo
                {
                    cx.change(Change::RelayTooLarge { to, sequence });
                }
            }
            _ => {}
        }
    }

    pub(crate) const fn counters(&self) -> RelayCounters {
        self.counters
    }

    pub(crate) fn fingerprint(&self, hasher: &mut StableHasher) {
        hasher.write_u64(self.sequence);
        self.known.hash(hasher);
        self.said.hash(hasher);
    }
}

/// Of a message as it arrived: back over as many hops as it has behind it.
fn notice(header: &RelayHeader) -> RelayNotice {
    RelayNotice { id: header.id, target: header.target, hops: header.hops }
}

fn bounds(cx: &Context<'_>) -> Bounds {
    let config = &cx.config.relay;
    Bounds { nodes: config.max_known, window: config.window }
}

fn failure(error: &CommandError, passing: &Passing) -> RelayFailure {
    match error {
        CommandError::QueueFull(_) => RelayFailure::Congested,
        CommandError::PayloadTooLarge { .. } => RelayFailure::TooLarge,
        CommandError::Partitioned(_) => RelayFailure::Partitioned,
        // Another error at the last hop is that of handing over.
        CommandError::UnknownNode(node) if *node == passing.header.target => RelayFailure::Expired,
        _ => RelayFailure::NoWay,
    }
}
