//! What comes in: each message once, causal ones in their order, and acknowledged.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

use super::Deliveries;
use super::causal::Waiting;
use super::incoming::{Arrival, Incoming, Novelty};
use crate::action::{Action, Delivery};
use crate::call::Wires;
use crate::change::{Change, Parcel};
use crate::context::Context;
use crate::id::{ChannelId, Instance, LabelId, NodeId};
use crate::time::Duration;
use crate::timers::Timer;
use crate::wire::{
    Acknowledgement, Cargo, CausalHeader, ControlMessage, Destination, ReliableHeader,
};

impl Deliveries {
    /// What came from this life of a node so far; `None` when a later one is known, of which other
    /// nodes may have brought something before the session with this one ends.
    pub(super) fn incoming_of(
        &mut self,
        cx: &mut Context<'_>,
        from: Instance,
    ) -> Option<&mut Incoming> {
        if self.is_outdated(cx, from) {
            self.counters.refused += 1;
            return None;
        }
        if !self.incoming.contains_key(&from.node) {
            self.make_room(cx);
        }
        let incoming = self.incoming.entry(from.node).or_insert_with(|| Incoming::new(from));
        incoming.begin(from, cx.now);
        Some(incoming)
    }

    /// A message arrived.
    pub(crate) fn receive(
        &mut self,
        cx: &mut Context<'_>,
        (from, channel, relayed): (Instance, ChannelId, bool),
        header: ReliableHeader,
        payload: Bytes,
    ) {
        let ahead = cx.config.delivery.max_ahead;
        let Some(incoming) = self.incoming_of(cx, from) else { return };
        let (sequence, terms) = (header.sequence, header.terms);
        // What its sender gave up is not waited for any more, and what waited for it comes first.
        incoming.give_up_below(header.floor.min(sequence));
        self.deliver_released(cx, from);
        let Some(incoming) = self.incoming.get_mut(&from.node) else { return };
        match incoming.judge(sequence, header.floor, ahead as u64) {
            Novelty::New => {
                let (from_node, destination) = (from.node, header.destination);
                let delivery = Delivery { from: from_node, channel, relayed, destination, payload };
                let arrival = Arrival { delivery, terms };
                match header.causal {
                    Some(causal) => self.take_causal(cx, from, sequence, (causal, arrival)),
                    None => self.take(cx, from, sequence, arrival),
                }
            }
            Novelty::Known => {
                self.counters.duplicates += 1;
                self.acknowledge_soon(cx, from.node);
            }
            // It is told of when it is delivered.
            Novelty::Waits => self.counters.duplicates += 1,
            Novelty::TooFar => self.counters.refused += 1,
        }
        self.deliver_released(cx, from);
    }

    fn take_causal(
        &mut self,
        cx: &mut Context<'_>,
        from: Instance,
        sequence: u64,
        (header, arrival): (CausalHeader, Arrival),
    ) {
        let config = &cx.config.delivery;
        let (patience, most) = (config.causal_patience, config.max_waiting);
        let (label, since) = (header.label, cx.now);
        let Some(barrier) = self.labels.get_mut(&label) else {
            return self.counters.unknown_label += 1;
        };
        let waiting = Waiting { from, sequence, header, arrival, since };
        if barrier.take(cx, waiting, most) {
            if let Some(incoming) = self.incoming.get_mut(&from.node) {
                incoming.wait(sequence);
            }
            self.deliver_causal(cx, label, patience);
        } else {
            self.counters.refused += 1;
        }
    }

    /// Delivers a message, unless it must come after another one that is not here. One that waits
    /// already may have come again since what it waited for has failed.
    fn take(&mut self, cx: &mut Context<'_>, from: Instance, sequence: u64, arrival: Arrival) {
        let Some(incoming) = self.incoming.get_mut(&from.node) else { return };
        let after = arrival.terms.order.and_then(|order| order.after);
        let since = incoming.let_go(sequence).map(|(since, _)| since);
        self.counters.duplicates += u64::from(since.is_some());
        let timer = Timer::Ordered(from.node);
        let Some(after) = after.filter(|after| !incoming.has(*after)) else {
            if since.is_some() && incoming.held() == 0 {
                cx.timers.cancel(timer);
            }
            return self.deliver(cx, from, sequence, arrival);
        };
        let (most, patience) = (cx.config.delivery.max_waiting, cx.config.delivery.causal_patience);
        if incoming.held() >= most {
            return self.counters.refused += 1;
        }
        let since = since.unwrap_or(cx.now);
        incoming.hold(sequence, after, since, arrival);
        if cx.timers.due(timer).is_none() {
            cx.timers.set(timer, since + patience);
        }
    }

    /// Delivers the ordered messages that wait for nothing any more.
    fn deliver_released(&mut self, cx: &mut Context<'_>, from: Instance) {
        while let Some(incoming) = self.incoming.get_mut(&from.node)
            && let Some((sequence, arrival)) = incoming.next_released()
        {
            if incoming.held() == 0 {
                cx.timers.cancel(Timer::Ordered(from.node));
            }
            self.deliver(cx, from, sequence, arrival);
        }
    }

    /// Delivers the ordered messages of a node that have waited long enough: what they wait for has
    /// failed by now, or its sender has ended.
    pub(super) fn lose_patience_with(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let patience = cx.config.delivery.causal_patience;
        while let Some(incoming) = self.incoming.get_mut(&node)
            && let Some((since, sequence)) = incoming.longest_held()
        {
            if since + patience > cx.now {
                return cx.timers.set(Timer::Ordered(node), since + patience);
            }
            let from = incoming.from();
            if let Some((_, arrival)) = incoming.let_go(sequence) {
                self.counters.out_of_order += 1;
                self.deliver(cx, from, sequence, arrival);
            }
            self.deliver_released(cx, from);
        }
    }

    /// Takes in what a message is called; says whether it is the first of that name.
    pub(super) fn is_first_of(
        &mut self,
        cx: &mut Context<'_>,
        from: Instance,
        id: Option<u128>,
    ) -> bool {
        let most = cx.config.delivery.max_ids;
        id.is_none()
            || self.incoming_of(cx, from).is_none_or(|incoming| incoming.is_first_of(id, most))
    }

    /// A message, or an acknowledgement, came by way of other nodes.
    pub(super) fn receive_relayed(
        &mut self,
        cx: &mut Context<'_>,
        wires: &mut impl Wires,
        from: Instance,
        parcel: &Parcel,
    ) {
        match parcel.cargo {
            Cargo::Message => {}
            Cargo::Reliable { sequence, floor, terms } => {
                let Some(incoming) = self.incoming_of(cx, from) else { return };
                incoming.came_relayed(parcel.channel);
                let (causal, destination) = (None, parcel.destination.clone());
                let header = ReliableHeader { sequence, floor, causal, terms, destination };
                self.receive(cx, (from, parcel.channel, true), header, parcel.payload.clone());
            }
            Cargo::Acknowledgement { life } => {
                if life == cx.me.instance.incarnation
                    && let Some(acknowledgement) = Acknowledgement::decode(&parcel.payload)
                {
                    self.acknowledged(cx, wires, from, &acknowledgement);
                }
            }
        }
    }

    /// Whether a later life of a node is known than this one: what was relayed may be late, and must
    /// not be taken for the beginning of another.
    fn is_outdated(&self, cx: &Context<'_>, from: Instance) -> bool {
        let known = self.incoming.get(&from.node).map(Incoming::from);
        let peer = cx.routes.peer(from.node).map(|routes| routes.instance);
        let lives = known.into_iter().chain(peer).map(|instance| instance.incarnation);
        lives.max().is_some_and(|newest| newest > from.incarnation)
    }

    fn deliver(&mut self, cx: &mut Context<'_>, from: Instance, sequence: u64, arrival: Arrival) {
        let Arrival { delivery, terms } = arrival;
        let most = cx.config.delivery.max_ids;
        // A causal message may have waited until its sender was forgotten, or lives anew.
        let incoming = self.incoming.get_mut(&from.node);
        let mut incoming = incoming.filter(|incoming| incoming.from() == from);
        if incoming.as_ref().is_some_and(|known| known.is_overtaken(sequence, terms.order)) {
            // Not acknowledged: its sender knows that it was given up.
            self.counters.overtaken += 1;
            return;
        }
        if incoming.as_mut().is_none_or(|known| known.is_first_of(terms.id, most)) {
            self.counters.delivered += 1;
            cx.act(Action::Deliver(delivery));
        } else {
            self.counters.duplicates += 1;
        }
        // Of a life that is over nothing is acknowledged any more.
        if let Some(incoming) = self.incoming.get_mut(&from.node)
            && incoming.delivered(from, sequence)
        {
            incoming.keeps(sequence, terms.order);
            self.acknowledge_soon(cx, from.node);
        }
    }

    /// Delivers the causal messages that wait for nothing any more, and those that waited too long.
    fn deliver_causal(&mut self, cx: &mut Context<'_>, label: LabelId, patience: Duration) {
        while let Some(causal) = self.labels.get_mut(&label)
            && let Some((waiting, patient)) = causal.next(cx, patience)
        {
            self.counters.out_of_patience += u64::from(!patient);
            let Waiting { from, sequence, arrival, .. } = waiting;
            self.deliver(cx, from, sequence, arrival);
        }
        self.set_causal_timer(cx);
    }

    /// Looks at what waits, of all labels.
    pub(super) fn deliver_all_causal(&mut self, cx: &mut Context<'_>) {
        let patience = cx.config.delivery.causal_patience;
        let waits = self.labels.iter().filter(|(_, causal)| causal.is_waiting());
        let labels: Vec<LabelId> = waits.map(|(label, _)| *label).collect();
        for label in labels {
            self.deliver_causal(cx, label, patience);
        }
    }

    /// Delivers what has waited long enough, and forgets what nobody need wait for any more.
    pub(super) fn lose_patience(&mut self, cx: &mut Context<'_>) {
        let patience = cx.config.delivery.causal_patience;
        self.labels.values_mut().for_each(|causal| causal.forget_old(cx.now, patience));
        self.deliver_all_causal(cx);
        self.set_causal_timer(cx);
    }

    pub(super) fn set_causal_timer(&self, cx: &mut Context<'_>) {
        let config = &cx.config.delivery;
        let (patience, expiry) = (config.causal_patience, config.expire_after);
        let due = self.labels.values().filter_map(|causal| causal.due(patience, expiry)).min();
        match due {
            Some(due) => cx.timers.set(Timer::Causal, due),
            None => _ = cx.timers.cancel(Timer::Causal),
        }
    }

    pub(super) fn acknowledge_soon(&mut self, cx: &mut Context<'_>, node: NodeId) {
        if let Some(incoming) = self.incoming.get_mut(&node)
            && incoming.owe()
        {
            cx.set_timer(Timer::Acknowledge(node), cx.config.delivery.acknowledge_after);
        }
    }

    /// Tells a sender what has been delivered.
    pub(super) fn acknowledge(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let peer = cx.routes.peer(node).map(|routes| routes.instance);
        let Some(incoming) = self.incoming.get_mut(&node) else { return };
        let Some(acknowledgement) = incoming.acknowledgement() else { return };
        let from = incoming.from();
        match (peer, incoming.relayed()) {
            (Some(peer), _) if peer == from => {
                cx.send(node, ControlMessage::Acknowledge(Box::new(acknowledgement)));
            }
            (None, Some(channel)) => {
                let cargo = Cargo::Acknowledgement { life: from.incarnation };
                let (key, destination) = (None, Destination::Inbox);
                let payload = acknowledgement.encode();
                let parcel = Parcel { to: node, channel, key, cargo, destination, payload };
                cx.change(Change::Relay(Box::new(parcel)));
            }
            // A later life numbers anew; and without a session they come again with the next one, and
            // are told of again.
            _ => {}
        }
    }

    /// Tells all senders at once what they would be told in a while.
    pub(crate) fn acknowledge_all(&mut self, cx: &mut Context<'_>) {
        let mut owed: Vec<NodeId> = self.incoming.keys().copied().collect();
        owed.retain(|node| cx.timers.cancel(Timer::Acknowledge(*node)));
        owed.into_iter().for_each(|node| self.acknowledge(cx, node));
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
            cx.timers.cancel(Timer::Ordered(oldest));
        }
    }
}
