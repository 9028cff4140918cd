//! What goes out: kept until it is acknowledged, sent again, failed in time.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::Deliveries;
use super::outgoing::{Outgoing, Outstanding};
use crate::action::{Action, Answer, Delivery};
use crate::call::Wires;
use crate::change::Change;
use crate::command::SendReliable;
use crate::context::Context;
use crate::error::CommandError;
use crate::id::{ChannelId, Instance, NodeId, Ticket};
use crate::process::Lane;
use crate::timers::Timer;
use crate::wire::Acknowledgement;

impl Deliveries {
    /// The application sends a message; the ticket is answered when its fate is known.
    pub(crate) fn send(
        &mut self,
        cx: &mut Context<'_>,
        wires: &mut impl Wires,
        ticket: Ticket,
        send: SendReliable,
    ) {
        let taken = match self.check(cx, &send) {
            Ok(()) => self.take_on(cx, ticket, send),
            Err(error) => Err(error),
        };
        match taken {
            Ok(Some(to)) => self.flush(cx, wires, to),
            Ok(None) => {}
            Err(error) => cx.reply(ticket, Err(error)),
        }
    }

    /// Whether a message may be asked for.
    fn check(&self, cx: &Context<'_>, send: &SendReliable) -> Result<(), CommandError> {
        let SendReliable { channel, relay, label, ordered, .. } = *send;
        if cx.config.channels.name(channel).is_none() {
            return Err(CommandError::UnknownChannel(channel.0));
        }
        if channel == ChannelId::MEMBERSHIP {
            return Err(CommandError::ReservedChannel);
        }
        let not_supported = |what| Err(CommandError::NotSupported(what));
        if cx.config.channels.is_monotonic(channel) {
            return not_supported("acknowledgements on monotonic channels; use another channel");
        }
        if relay && label.is_some() {
            return not_supported("relays of causal messages; leave out the label or the relay");
        }
        if ordered && label.is_some() {
            return not_supported("two orders of one message; leave out the label or `ordered`");
        }
        match label.filter(|label| !self.labels.contains_key(label)) {
            Some(label) => Err(CommandError::UnknownLabel(label)),
            None => Ok(()),
        }
    }

    /// Keeps a message for transmission; says to whom, unless it is delivered already.
    fn take_on(
        &mut self,
        cx: &mut Context<'_>,
        ticket: Ticket,
        send: SendReliable,
    ) -> Result<Option<NodeId>, CommandError> {
        let SendReliable {
            to,
            channel,
            key,
            destination,
            payload,
            expires,
            relay,
            label,
            ordered,
            id,
        } = send;
        let config = &cx.config.delivery;
        if to == cx.me.instance.node {
            // What it depends on was delivered here before it could be known here.
            let (from, relayed) = (to, false);
            let delivery = Delivery { from, channel, relayed, destination, payload };
            if self.is_first_of(cx, cx.me.instance, id) {
                cx.act(Action::Deliver(delivery));
            }
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
        let outstanding = Outstanding {
            ticket,
            lane,
            destination,
            payload,
            relay,
            causal,
            ordered,
            id,
            expires,
            sent: None,
        };
        self.outgoing.entry(to).or_insert_with(|| Outgoing::after(self.used)).add(outstanding);
        Ok(Some(to))
    }

    /// Transmits what waits for it, as far as there is room, and sets the timer.
    pub(super) fn flush(&mut self, cx: &mut Context<'_>, wires: &mut impl Wires, to: NodeId) {
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
        let window = cx.config.delivery.relay_window;
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
                    let again = outgoing.sent(sequence, Some(connection), cx.now);
                    self.counters.retransmitted += u64::from(again);
                }
                Err(error)
                    if is_in_want_of_a_way(&error) && outgoing.may_relay(sequence, window) =>
                {
                    if let Some(parcel) = outgoing.parcel(to, sequence) {
                        cx.change(Change::Relay(Box::new(parcel)));
                    }
                    let again = outgoing.sent(sequence, None, cx.now);
                    self.counters.retransmitted += u64::from(again);
                }
                Err(CommandError::QueueFull(_) | CommandError::LaneDown(_)) => {
                    full.insert(lane);
                }
                Err(error) if is_for_ever(&error) => impossible.push((sequence, error)),
                Err(CommandError::Partitioned(_)) => break,
                // Not connected: the others are no better off, unless they may go another way.
                Err(_) if outgoing.has_room(window) => {}
                Err(_) => break,
            }
        }
        for (sequence, error) in impossible {
            self.settle(cx, to, sequence, Err(error));
        }
    }

    pub(super) fn set_timer(&self, cx: &mut Context<'_>, to: NodeId) {
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
    pub(super) fn settle(
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
        // What waited for the window of its place, or for its turn to be relayed, may go now.
        let window = cx.config.delivery.relay_window;
        if self.outgoing.get(&from.node).is_some_and(|outgoing| outgoing.has_room(window)) {
            return self.flush(cx, wires, from.node);
        }
        self.flush_newest(cx, wires, from.node, &mut BTreeSet::new());
        self.set_timer(cx, from.node);
    }

    /// Fails what has expired, and sends again what was not acknowledged.
    pub(super) fn look_after(&mut self, cx: &mut Context<'_>, wires: &mut impl Wires, to: NodeId) {
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
    pub(super) fn forget_idle(&mut self, cx: &Context<'_>, node: NodeId) {
        let connected = cx.routes.peer(node).is_some();
        if let Some(outgoing) = self.outgoing.get(&node).filter(|idle| idle.is_empty())
            && !connected
        {
            self.used = self.used.max(outgoing.last());
            self.outgoing.remove(&node);
        }
    }

    /// There is room again on some lane to a node.
    pub(crate) fn drained(&mut self, cx: &mut Context<'_>, wires: &mut impl Wires, node: NodeId) {
        if self.outgoing.get(&node).is_some_and(Outgoing::has_unsent) {
            self.flush(cx, wires, node);
        }
    }
}

/// Whether other nodes may know a way for a message that met this error.
const fn is_in_want_of_a_way(error: &CommandError) -> bool {
    matches!(
        error,
        CommandError::UnknownNode(_)
            | CommandError::NotYetConnected(_)
            | CommandError::Disconnected(_)
    )
}

/// Whether a message that met this error can never be sent.
pub(super) const fn is_for_ever(error: &CommandError) -> bool {
    matches!(error, CommandError::PayloadTooLarge { .. } | CommandError::NoSuchChannel(_))
}
