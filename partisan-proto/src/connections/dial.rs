//! Dialling: whom, when, and when again.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::session::LaneState;
use super::{Connection, Connections, Origin, Peer, Slot};
use crate::action::Action;
use crate::change::{Change, ContactId};
use crate::command::Contact;
use crate::context::Context;
use crate::error::{CloseReason, OpenError};
use crate::id::{ConnectionId, Instance, NodeId};
use crate::notification::{DialError, Notification};
use crate::spec::{Address, NodeSpec};
use crate::time::Duration;
use crate::timers::Timer;

/// The dialling of somebody of whom only addresses are known.
#[derive(Debug)]
pub(super) struct ContactDial {
    pub(super) target: Contact,
    pub(super) dialling: Option<ConnectionId>,
    /// Who answered, once the present dial got so far.
    pub(super) reached: Option<NodeId>,
    failures: u32,
    /// Whether every lane is wanted at once.
    lanes: bool,
}

impl Connections {
    /// The manager wants to stay connected to this peer.
    pub(super) fn keep(
        &mut self,
        cx: &mut Context<'_>,
        instance: Instance,
        spec: &Arc<NodeSpec>,
        patient: bool,
    ) {
        let node = instance.node;
        if node == cx.me.instance.node || cx.me.stopping {
            return;
        }
        let fresh = || Box::new(Peer::new(spec.clone(), instance));
        let peer = self.peers.get_or_insert_with(node, fresh);
        let newer = instance.incarnation > peer.incarnation;
        if newer || (instance.incarnation == peer.incarnation && peer.session.is_none()) {
            (peer.incarnation, peer.spec) = (instance.incarnation, spec.clone());
        }
        if newer {
            peer.failures = 0;
        }
        let known = peer.kept && !newer;
        (peer.kept, peer.probed, peer.lanes) = (true, false, true);
        cx.routes.await_peer(node);
        let idle = peer.session.is_none() && peer.dialling.is_none();
        if idle && !(known && cx.timers.due(Slot::anchor(node).timer()).is_some()) {
            let config = &cx.config.connections;
            let wait = match patient {
                true => config.dial_grace.saturating_add(self.random.up_to(config.retry_least)),
                false => Duration::ZERO,
            };
            cx.set_timer(Slot::anchor(node).timer(), wait);
        }
        // A session that began as a probe has the anchor alone.
        self.dial_missing_lanes(cx, node);
    }

    /// The manager wants one session with this peer, and not for long.
    pub(super) fn probe(&mut self, cx: &mut Context<'_>, instance: Instance, spec: &Arc<NodeSpec>) {
        let node = instance.node;
        if node == cx.me.instance.node || cx.me.stopping {
            return;
        }
        let fresh = || Box::new(Peer::new(spec.clone(), instance));
        let peer = self.peers.get_or_insert_with(node, fresh);
        if let Some(session) = peer.session.as_ref().filter(|session| session.goodbye.is_none()) {
            let (instance, epoch, spec) = (session.instance, session.epoch, peer.spec.clone());
            return cx.change(Change::PeerUp { instance, spec, epoch, contact: None });
        }
        if peer.session.is_none() && instance.incarnation >= peer.incarnation {
            (peer.incarnation, peer.spec) = (instance.incarnation, spec.clone());
        }
        peer.probed = true;
        if peer.session.is_none() && peer.dialling.is_none() {
            cx.set_timer(Slot::anchor(node).timer(), Duration::ZERO);
        }
    }

    /// The manager has no use for this peer any more.
    pub(super) fn release(&mut self, cx: &mut Context<'_>, node: NodeId, reason: CloseReason) {
        let Some(peer) = self.peers.get(node) else {
            return;
        };
        let connected = peer.session.is_some();
        match reason {
            // It knows, or will, and then says goodbye itself, after its last messages.
            CloseReason::Left | CloseReason::Removed if connected => {
                self.stop_dialling(cx, node);
                self.await_end(cx, node, reason);
            }
            _ => self.part(cx, node, reason),
        }
    }

    /// Ends everything with a peer, and forgets it.
    pub(super) fn part(&mut self, cx: &mut Context<'_>, node: NodeId, reason: CloseReason) {
        self.stop_dialling(cx, node);
        self.say_goodbye(cx, node, reason);
        if self.peers.remove(node).is_some() {
            cx.routes.forget(node);
        }
    }

    fn stop_dialling(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let Some(peer) = self.peers.get_mut(node) else {
            return;
        };
        (peer.kept, peer.probed, peer.lanes) = (false, false, false);
        let dialling = peer.dialling.take();
        cx.timers.cancel(Slot::anchor(node).timer());
        if let Some(connection) = dialling
            && self.remove(cx, connection).is_some()
        {
            let reason = CloseReason::NotWanted;
            cx.act(Action::Close { connection, reason, flush: false });
        }
    }

    /// Dials what should be connected and is not.
    pub(super) fn verify(&mut self, cx: &mut Context<'_>) {
        let nodes: Vec<_> = self.peers.keys().copied().collect();
        for node in nodes {
            let Some(peer) = self.peers.get(node) else {
                continue;
            };
            let idle = peer.session.is_none() && peer.dialling.is_none();
            if peer.kept && idle && cx.timers.due(Slot::anchor(node).timer()).is_none() {
                cx.set_timer(Slot::anchor(node).timer(), Duration::ZERO);
            }
            self.dial_missing_lanes(cx, node);
        }
    }

    /// Dials every lane that is missing and that nobody is dialling yet.
    pub(super) fn dial_missing_lanes(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let session = self.peers.get(node).and_then(|peer| peer.session.as_ref());
        let wanted = self.peers.get(node).is_some_and(|peer| peer.lanes);
        let Some(session) = session.filter(|session| session.dialled && wanted) else {
            return;
        };
        let missing = session.lanes.iter().filter(|lane| lane.state == LaneState::Missing);
        let slots = missing.map(|lane| Slot { node, channel: lane.channel, lane: lane.number });
        let slots: Vec<_> = slots.collect();
        for slot in slots {
            if cx.timers.due(slot.timer()).is_none() {
                self.dial(cx, slot);
            }
        }
    }

    /// The time to dial has come.
    pub(super) fn dial(&mut self, cx: &mut Context<'_>, slot: Slot) {
        let Some(peer) = self.peers.get(slot.node) else {
            return;
        };
        let free = match &peer.session {
            None => slot.is_anchor() && (peer.kept || peer.probed) && peer.dialling.is_none(),
            Some(session) => {
                let lane = session.lane(slot);
                let missing = lane.is_some_and(|lane| lane.state == LaneState::Missing);
                let usable = session.dialled && session.goodbye.is_none() && peer.lanes;
                missing && usable && !slot.is_anchor()
            }
        };
        if !free || cx.me.stopping {
            return;
        }
        let addresses = peer.spec.addresses().into();
        match self.open_to(cx, Origin::For(slot), addresses) {
            Ok(id) => self.set_dialling(slot, Some(id)),
            Err(error) => self.dial_failed(cx, slot, DialError::Open(error)),
        }
    }

    fn set_dialling(&mut self, slot: Slot, id: Option<ConnectionId>) {
        let Some(peer) = self.peers.get_mut(slot.node) else {
            return;
        };
        if slot.is_anchor() {
            peer.dialling = id;
        } else if let Some(lane) = peer.session.as_mut().and_then(|session| session.lane_mut(slot))
        {
            lane.state = id.map_or(LaneState::Missing, LaneState::Dialling);
        }
    }

    fn open_to(
        &mut self,
        cx: &mut Context<'_>,
        origin: Origin,
        addresses: Arc<[Address]>,
    ) -> Result<ConnectionId, OpenError> {
        if addresses.is_empty() {
            return Err(OpenError::NoAddress);
        }
        if self.table.len() >= cx.config.connections.max_connections {
            return Err(OpenError::System);
        }
        let id = ConnectionId::dialled(self.dialled);
        self.dialled += 1;
        self.counters.dialled += 1;
        self.table.insert(id, Connection::opening(origin));
        let timeout = cx.config.connections.dial_timeout;
        cx.act(Action::Open { connection: id, addresses, timeout });
        Ok(id)
    }

    /// A dial of a peer failed, somewhere between the opening and the end of the handshake.
    pub(super) fn dial_failed(&mut self, cx: &mut Context<'_>, slot: Slot, error: DialError) {
        self.set_dialling(slot, None);
        let Some(peer) = self.peers.get_mut(slot.node) else {
            return;
        };
        peer.last_failure = Some(error);
        let failures = match peer.session.as_mut().and_then(|session| session.lane_mut(slot)) {
            Some(lane) => &mut lane.failures,
            None => &mut peer.failures,
        };
        *failures = failures.saturating_add(1);
        let (failures, kept) = (*failures, peer.kept);
        cx.notify(Notification::DialFailed { node: Some(slot.node), error, failures });
        let in_session = peer.session.is_some();
        if slot.is_anchor() && !kept && !in_session {
            let node = slot.node;
            if self.peers.remove(node).is_some_and(|peer| peer.probed) {
                cx.change(Change::ProbeFailed { node, error });
            }
            return cx.routes.forget(node);
        }
        if (slot.is_anchor() && kept && !in_session) || (!slot.is_anchor() && in_session) {
            self.dial_later(cx, slot, failures);
        }
    }

    /// Sets the time of the next dial: at once after no failure, later and later after more.
    pub(super) fn dial_later(&mut self, cx: &mut Context<'_>, slot: Slot, failures: u32) {
        let wait = self.backoff(cx, failures);
        cx.set_timer(slot.timer(), wait);
    }

    /// Exponential, capped; drawn between half of it and all of it, so that those who lost the same
    /// peer do not all come back at once.
    fn backoff(&mut self, cx: &Context<'_>, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else {
            return Duration::ZERO;
        };
        let config = &cx.config.connections;
        let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let most = config.retry_least.saturating_mul(factor).min(config.retry_most);
        most / 2 + self.random.up_to(most / 2)
    }

    /// The manager wants to reach somebody at an address.
    pub(super) fn add_contact(
        &mut self,
        cx: &mut Context<'_>,
        id: ContactId,
        target: &Contact,
        (lanes, failures): (bool, u32),
    ) {
        let target = target.clone();
        let dial = ContactDial { target, dialling: None, reached: None, failures, lanes };
        let connected = self.peers.iter().find(|(_, peer)| {
            let present = peer.session.as_ref().is_some_and(|session| session.goodbye.is_none());
            present && dial.is_for(&peer.spec)
        });
        if let Some((node, _)) = connected {
            let node = *node;
            return cx.change(Change::ContactReached { contact: id, node });
        }
        self.contacts.insert(id, dial);
        match failures {
            0 => self.dial_contact(cx, id),
            failures => self.dial_contact_later(cx, id, failures),
        }
    }

    pub(super) fn dial_contact(&mut self, cx: &mut Context<'_>, id: ContactId) {
        let Some(dial) = self.contacts.get(&id).filter(|dial| dial.dialling.is_none()) else {
            return;
        };
        let addresses = dial.target.addresses.as_slice().into();
        let opened = self.open_to(cx, Origin::ForContact(id), addresses);
        match (opened, self.contacts.get_mut(&id)) {
            (Ok(connection), Some(dial)) => dial.dialling = Some(connection),
            (Ok(_), None) => {}
            (Err(error), _) => self.contact_failed(cx, id, DialError::Open(error)),
        }
    }

    pub(super) fn contact_failed(&mut self, cx: &mut Context<'_>, id: ContactId, error: DialError) {
        let Some(dial) = self.contacts.get_mut(&id) else {
            return;
        };
        let node = dial.reached.take();
        dial.dialling = None;
        dial.failures = dial.failures.saturating_add(1);
        let failures = dial.failures;
        cx.notify(Notification::DialFailed { node, error, failures });
        cx.change(Change::ContactFailed { contact: id, error });
        self.dial_contact_later(cx, id, failures);
    }

    fn dial_contact_later(&mut self, cx: &mut Context<'_>, id: ContactId, failures: u32) {
        let wait = self.backoff(cx, failures);
        cx.set_timer(Timer::DialContact(id.0), wait);
    }

    /// Forgets a contact, and gives back the memory of the last one: it would be a good part of a
    /// quiet node's.
    fn forget_contact(&mut self, id: ContactId) -> Option<ContactDial> {
        let dial = self.contacts.remove(&id);
        if self.contacts.is_empty() {
            self.contacts = BTreeMap::new();
        }
        dial
    }

    /// A contact turned out to be a node that is connected already.
    pub(super) fn contact_reached(&mut self, cx: &mut Context<'_>, id: ContactId) {
        if let Some(node) = self.forget_contact(id).and_then(|dial| dial.reached) {
            cx.change(Change::ContactReached { contact: id, node });
        }
    }

    pub(super) fn drop_contact(&mut self, cx: &mut Context<'_>, id: ContactId) {
        let Some(dial) = self.forget_contact(id) else {
            return;
        };
        cx.timers.cancel(Timer::DialContact(id.0));
        if let Some(connection) = dial.dialling
            && self.remove(cx, connection).is_some()
        {
            let reason = CloseReason::NotWanted;
            cx.act(Action::Close { connection, reason, flush: false });
        }
    }

    /// A session with this node begins on connection `kept`: all other dials of it are surplus.
    /// Returns the contact that `kept` was dialled for, and whether every lane is wanted.
    pub(super) fn settle_dials(
        &mut self,
        cx: &mut Context<'_>,
        spec: &NodeSpec,
        kept: ConnectionId,
        origin: Origin,
    ) -> Option<(ContactId, bool)> {
        let node = spec.id();
        cx.timers.cancel(Slot::anchor(node).timer());
        let of_peer = self.peers.get_mut(node).and_then(|peer| peer.dialling.take());
        let own = match origin {
            Origin::ForContact(contact) => {
                self.forget_contact(contact).map(|dial| (contact, dial.lanes))
            }
            Origin::For(_) | Origin::Accepted => None,
        };
        let others = self.contacts.iter().filter(|(_, dial)| dial.is_for(spec));
        let others: Vec<_> = others.map(|(contact, dial)| (*contact, dial.dialling)).collect();
        let dials = others.iter().filter_map(|(_, dial)| *dial).chain(of_peer);
        for id in dials.filter(|id| *id != kept) {
            if self.remove(cx, id).is_some() {
                let reason = CloseReason::Surplus;
                cx.act(Action::Close { connection: id, reason, flush: false });
            }
        }
        for (contact, _) in others {
            cx.timers.cancel(Timer::DialContact(contact.0));
            self.forget_contact(contact);
            cx.change(Change::ContactReached { contact, node });
        }
        own
    }
}

impl ContactDial {
    /// Whether this node is the one that is dialled, as far as can be told before it answers.
    fn is_for(&self, spec: &NodeSpec) -> bool {
        let Contact { name, addresses } = &self.target;
        let here = || addresses.iter().any(|address| spec.addresses().contains(address));
        let named = name.as_ref().map_or_else(here, |name| name == spec.name());
        named || self.reached == Some(spec.id())
    }
}
