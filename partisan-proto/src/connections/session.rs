//! Sessions: their beginning, their lanes, their end.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::keep_alive::KeepAlive;
use super::{
    Connection, ConnectionInfo, Connections, Lanes, OpenConnection, Origin, Peer, PeerRoutes, Slot,
    Stage,
};
use crate::action::Action;
use crate::change::Change;
use crate::config::Channels;
use crate::context::Context;
use crate::error::{CloseReason, Misbehaviour};
use crate::id::{ChannelId, ConnectionId, Epoch, Instance, NodeId};
use crate::notification::{DialError, Notification};
use crate::spec::NodeSpec;
use crate::time::{Duration, Instant};
use crate::timers::Timer;
use crate::wire::{ControlMessage, FEATURE_LZ4, Frame, GoodbyeReason, Hello, MIN_FRAME_LIMIT};

/// A session with a peer.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) instance: Instance,
    pub(super) epoch: Epoch,
    /// Whether this side dialled the anchor; then it dials the lanes too.
    pub(super) dialled: bool,
    pub(super) began: Instant,
    pub(super) round_trip: Option<Duration>,
    /// The anchor first, then every negotiated lane by channel and number.
    pub(super) lanes: Vec<Lane>,
    /// Whether every lane is open.
    full: bool,
    /// The peer said goodbye: what it sent before still arrives, nothing is sent any more.
    pub(super) goodbye: Option<CloseReason>,
}

/// One negotiated lane.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) channel: ChannelId,
    pub(super) number: u8,
    pub(super) state: LaneState,
    pub(super) failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LaneState {
    Missing,
    Dialling(ConnectionId),
    Open(ConnectionId),
}

impl Session {
    pub(super) fn lane(&self, slot: Slot) -> Option<&Lane> {
        self.lanes.iter().find(|lane| lane.channel == slot.channel && lane.number == slot.lane)
    }

    pub(super) fn lane_mut(&mut self, slot: Slot) -> Option<&mut Lane> {
        let found = |lane: &&mut Lane| lane.channel == slot.channel && lane.number == slot.lane;
        self.lanes.iter_mut().find(found)
    }

    pub(super) fn anchor(&self) -> Option<ConnectionId> {
        self.lanes.first().and_then(Lane::connection)
    }

    fn is_open(&self, channel: ChannelId) -> bool {
        let of_channel = |lane: &&Lane| lane.channel == channel;
        self.lanes.iter().filter(of_channel).any(|lane| lane.connection().is_some())
    }

    fn is_complete(&self) -> bool {
        self.lanes.iter().all(|lane| lane.connection().is_some())
    }
}

impl Lane {
    pub(super) const fn connection(&self) -> Option<ConnectionId> {
        match self.state {
            LaneState::Open(id) => Some(id),
            LaneState::Missing | LaneState::Dialling(_) => None,
        }
    }
}

impl Peer {
    pub(super) fn new(spec: Arc<NodeSpec>, instance: Instance) -> Self {
        Self {
            kept: false,
            probed: false,
            lanes: false,
            spec,
            incarnation: instance.incarnation,
            last_epoch: Epoch(0),
            session: None,
            dialling: None,
            failures: 0,
            last_failure: None,
        }
    }

    pub(super) fn connections(&self, node: NodeId) -> impl Iterator<Item = ConnectionInfo> {
        let lanes = self.session.iter().flat_map(|session| &session.lanes);
        lanes.filter_map(move |lane| {
            let connection = lane.connection()?;
            Some(ConnectionInfo {
                connection,
                peer: node,
                channel: lane.channel,
                lane: lane.number,
            })
        })
    }
}

/// How many lanes each of our channels has with a peer: the smaller number of the two, none for a
/// channel that the peer does not have.
fn negotiate(ours: &Channels, theirs: &NodeSpec) -> Vec<(ChannelId, u8)> {
    let lanes = |(id, name, options): (ChannelId, &crate::ChannelName, crate::ChannelOptions)| {
        let found = theirs.channels().iter().find(|channel| channel.name == *name);
        let theirs = found.map_or(0, |channel| channel.parallelism);
        // The membership channel is the anchor, which is open as we speak.
        let least = u8::from(id == ChannelId::MEMBERSHIP);
        (id, options.parallelism.min(theirs).max(least))
    };
    ours.iter().map(lanes).collect()
}

impl Connections {
    /// The anchor's handshake is over: the session begins.
    pub(super) fn begin_session(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnectionId,
        theirs: &Hello,
        spec: Arc<NodeSpec>,
        epoch: Epoch,
    ) {
        let Some(origin) = self.table.get(&id).and_then(Connection::origin) else {
            return;
        };
        let instance = theirs.instance();
        let node = instance.node;
        self.end_session(cx, node, CloseReason::Replaced);
        let contact = self.settle_dials(cx, &spec, id, origin);
        let every_lane = contact.is_some_and(|(_, lanes)| lanes);
        let contact = contact.map(|(contact, _)| contact);

        let fresh = || Box::new(Peer::new(spec.clone(), instance));
        let peer = self.peers.get_or_insert_with(node, fresh);
        peer.incarnation = instance.incarnation;
        peer.spec = spec.clone();
        peer.last_epoch = epoch;
        peer.probed = false;
        peer.lanes = peer.kept || every_lane;
        let dialled = origin != Origin::Accepted;
        let counts = negotiate(&cx.config.channels, &spec);
        peer.session = Some(Session {
            instance,
            epoch,
            dialled,
            began: cx.now,
            round_trip: None,
            lanes: lanes(&counts),
            full: false,
            goodbye: None,
        });
        self.counters.sessions += 1;
        cx.routes.up(PeerRoutes {
            instance,
            epoch,
            max_frame: theirs.max_frame.max(MIN_FRAME_LIMIT),
            anchor: id,
            reads_lz4: theirs.features & FEATURE_LZ4 != 0,
            channels: Lanes::none_open(counts.iter().map(|(_, count)| *count)),
        });
        self.become_open(cx, id, Slot::anchor(node), instance);
        cx.notify(Notification::NodeUp { instance, spec: spec.clone(), epoch });
        cx.change(Change::PeerUp { instance, spec, epoch, contact });
        self.lane_opened(cx, Slot::anchor(node), id);
        if dialled {
            self.dial_missing_lanes(cx, node);
        }
    }

    /// The handshake of another lane is over.
    pub(super) fn begin_lane(&mut self, cx: &mut Context<'_>, id: ConnectionId, slot: Slot) {
        let peer = self.peers.get_mut(slot.node);
        let Some(session) = peer.and_then(|peer| peer.session.as_mut()) else {
            return;
        };
        let instance = session.instance;
        let held = session.lane(slot).and_then(Lane::connection);
        if let Some(old) = held {
            // The dialler knows best: it would not dial a lane that it still has.
            self.close(cx, old, CloseReason::Replaced, false);
        }
        self.become_open(cx, id, slot, instance);
        self.lane_opened(cx, slot, id);
    }

    fn become_open(&mut self, cx: &mut Context<'_>, id: ConnectionId, slot: Slot, from: Instance) {
        let Some(connection) = self.table.get_mut(&id) else {
            return;
        };
        let config = &cx.config.connections.keep_alive;
        let keep_alive = KeepAlive::new(cx.now, id.is_dialled());
        let first = keep_alive.quiet_until(config);
        let incarnation = from.incarnation;
        connection.stage = Stage::Open(OpenConnection { slot, incarnation, keep_alive });
        self.pending.remove(id);
        cx.timers.cancel(Timer::EndHandshake(id));
        if config.enabled {
            cx.timers.set(Timer::KeepAlive(id), first);
        }
        self.counters.established += 1;
    }

    fn lane_opened(&mut self, cx: &mut Context<'_>, slot: Slot, id: ConnectionId) {
        let Slot { node, channel, lane } = slot;
        let peer = self.peers.get_mut(node);
        let Some(session) = peer.and_then(|peer| peer.session.as_mut()) else {
            return;
        };
        let first = !session.is_open(channel);
        if let Some(lane) = session.lane_mut(slot) {
            (lane.state, lane.failures) = (LaneState::Open(id), 0);
        }
        for lane in session.lanes.iter().filter(|lane| lane.channel == channel) {
            let connection = lane.connection().and_then(|id| self.table.get_mut(&id));
            if let Some(connection) = connection {
                connection.sent = 0;
            }
        }
        cx.routes.set_lane(node, channel, lane, Some(id));
        cx.change(Change::LaneOpened { node });
        if first {
            cx.notify(Notification::ChannelUp { node, channel });
        }
        if session.is_complete() && !session.full {
            session.full = true;
            cx.notify(Notification::FullyConnected { node });
            cx.change(Change::FullyConnected { node });
        }
    }

    /// An open connection ended.
    pub(super) fn lane_ended(
        &mut self,
        cx: &mut Context<'_>,
        connection: ConnectionId,
        slot: Slot,
        reason: CloseReason,
    ) {
        let peer = self.peers.get_mut(slot.node);
        let Some(session) = peer.and_then(|peer| peer.session.as_mut()) else {
            return;
        };
        let said_goodbye = session.goodbye;
        if slot.is_anchor() && said_goodbye.is_none() {
            return self.end_session(cx, slot.node, reason);
        }
        let dialled = session.dialled;
        mark_lost(cx, session, slot);
        cx.change(Change::LaneClosed { node: slot.node, connection });
        let any_open = session.lanes.iter().any(|lane| lane.connection().is_some());
        match said_goodbye {
            Some(goodbye) if !any_open => self.end_session(cx, slot.node, goodbye),
            Some(_) => {}
            None if dialled => self.dial_later(cx, slot, 0),
            None => {}
        }
    }

    /// Ends the session with a node, if there is one: closes what is left of it, tells everybody.
    pub(super) fn end_session(&mut self, cx: &mut Context<'_>, node: NodeId, reason: CloseReason) {
        let Some(peer) = self.peers.get_mut(node) else {
            return;
        };
        let Some(mut session) = peer.session.take() else {
            return;
        };
        let (flush, spec) = (reason.is_on_purpose(), peer.spec.clone());
        cx.timers.cancel(Timer::EndGoodbye(node));
        for index in 0..session.lanes.len() {
            let lane = &session.lanes[index];
            let slot = Slot { node, channel: lane.channel, lane: lane.number };
            cx.timers.cancel(slot.timer());
            if let LaneState::Open(id) | LaneState::Dialling(id) = lane.state
                && self.remove(cx, id).is_some()
            {
                let reason = if slot.is_anchor() { reason } else { CloseReason::SessionOver };
                cx.act(Action::Close { connection: id, reason, flush });
            }
            mark_lost(cx, &mut session, slot);
        }
        cx.routes.down(node);
        let (instance, epoch) = (session.instance, session.epoch);
        cx.notify(Notification::NodeDown { instance, epoch, reason });
        cx.change(Change::PeerDown { instance, spec, epoch, reason });
        self.after_session(cx, node, &session, reason);
    }

    /// What becomes of the peer after its session.
    fn after_session(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        session: &Session,
        reason: CloseReason,
    ) {
        let Some(peer) = self.peers.get_mut(node) else {
            return;
        };
        peer.last_failure = Some(DialError::Closed(reason));
        if !peer.kept {
            self.peers.remove(node);
            cx.routes.forget(node);
            return;
        }
        let config = &cx.config.connections;
        if cx.now.since(session.began) >= config.retry_most {
            peer.failures = 0;
        }
        let failures = peer.failures;
        match reason {
            CloseReason::Replaced => {}
            // On purpose: no hurry. Short sessions one after the other: ever less hurry.
            _ if reason.is_on_purpose() || failures > 0 => {
                self.dial_later(cx, Slot::anchor(node), failures + 1);
            }
            _ if session.dialled => self.dial_later(cx, Slot::anchor(node), 0),
            // The other side dialled: let it do so again.
            _ => cx.set_timer(Slot::anchor(node).timer(), config.dial_grace),
        }
        if let Some(peer) = self.peers.get_mut(node) {
            peer.failures = peer.failures.saturating_add(1);
        }
    }

    /// Tells a peer that the session ends, and ends it after what is queued has been sent.
    pub(super) fn say_goodbye(&mut self, cx: &mut Context<'_>, node: NodeId, reason: CloseReason) {
        let goodbye = match reason {
            CloseReason::Left => GoodbyeReason::Left,
            CloseReason::Removed => GoodbyeReason::Removed,
            CloseReason::Stopped => GoodbyeReason::Stopping,
            CloseReason::Requested => GoodbyeReason::Requested,
            CloseReason::OTHER_MANAGER => GoodbyeReason::OtherManager,
            _ => GoodbyeReason::NotWanted,
        };
        let session = self.peers.get(node).and_then(|peer| peer.session.as_ref());
        if let Some(anchor) = session.and_then(Session::anchor) {
            cx.send_on(anchor, Frame::Control(ControlMessage::Goodbye(goodbye)));
        }
        self.end_session(cx, node, reason);
    }

    /// A peer's manager is another than this node's: the session ends, and both sides know why.
    pub(crate) fn has_other_manager(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.counters.misbehaved += 1;
        let misbehaviour = Misbehaviour::OtherManager;
        cx.notify(Notification::PeerMisbehaved { node: Some(node), misbehaviour });
        self.say_goodbye(cx, node, CloseReason::OTHER_MANAGER);
    }

    /// The peer ends the session on purpose.
    pub(super) fn goodbye(&mut self, cx: &mut Context<'_>, node: NodeId, why: GoodbyeReason) {
        let reason = match why {
            GoodbyeReason::Left => CloseReason::Left,
            GoodbyeReason::Removed => CloseReason::Removed,
            GoodbyeReason::Stopping => CloseReason::Stopped,
            GoodbyeReason::Requested => CloseReason::Requested,
            GoodbyeReason::NotWanted => CloseReason::NotWanted,
            GoodbyeReason::OtherManager => CloseReason::OTHER_MANAGER,
        };
        self.await_end(cx, node, reason);
    }

    /// Sends nothing more to a peer and waits until it has closed its connections: what it sent
    /// before may still be on its way on any of them.
    pub(super) fn await_end(&mut self, cx: &mut Context<'_>, node: NodeId, reason: CloseReason) {
        let peer = self.peers.get_mut(node);
        let Some(session) = peer.and_then(|peer| peer.session.as_mut()) else {
            return;
        };
        session.goodbye = Some(reason);
        let dialling = session.lanes.iter().filter_map(|lane| match lane.state {
            LaneState::Dialling(id) => Some(id),
            LaneState::Open(_) | LaneState::Missing => None,
        });
        let dialling: Vec<_> = dialling.collect();
        cx.routes.down(node);
        let wait = cx.config.connections.handshake_timeout;
        cx.set_timer(Timer::EndGoodbye(node), wait);
        for id in dialling {
            self.close(cx, id, CloseReason::SessionOver, false);
        }
    }

    /// The peer whose end was awaited left its connections open for too long.
    pub(super) fn end_goodbye(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let session = self.peers.get(node).and_then(|peer| peer.session.as_ref());
        if let Some(reason) = session.and_then(|session| session.goodbye) {
            self.say_goodbye(cx, node, reason);
        }
    }

    /// This node leaves, was removed, or stops: nothing of its present life remains.
    pub(super) fn end_everything(&mut self, cx: &mut Context<'_>, reason: CloseReason) {
        while let Some((contact, _)) = self.contacts.first_key_value() {
            let contact = *contact;
            self.drop_contact(cx, contact);
        }
        while let Some(id) = self.pending.first() {
            self.close(cx, id, reason, false);
        }
        let nodes: Vec<_> = self.peers.keys().copied().collect();
        for node in nodes {
            self.part(cx, node, reason);
        }
    }
}

/// The lanes of a new session, the anchor's first; none is open yet.
fn lanes(counts: &[(ChannelId, u8)]) -> Vec<Lane> {
    let missing = |(channel, count): &(ChannelId, u8)| {
        let channel = *channel;
        let state = LaneState::Missing;
        (0..*count).map(move |number| Lane { channel, number, state, failures: 0 })
    };
    // Collecting would reserve more than there are.
    let mut lanes = Vec::with_capacity(counts.iter().map(|(_, count)| usize::from(*count)).sum());
    lanes.extend(counts.iter().flat_map(missing));
    lanes
}

/// Takes a lane out of use, and tells when it was the last of its channel.
fn mark_lost(cx: &mut Context<'_>, session: &mut Session, slot: Slot) {
    let Slot { node, channel, lane: number } = slot;
    let was_open = session.is_open(channel);
    if let Some(lane) = session.lane_mut(slot) {
        lane.state = LaneState::Missing;
    }
    session.full = false;
    cx.routes.set_lane(node, channel, number, None);
    if was_open && !session.is_open(channel) {
        cx.notify(Notification::ChannelDown { node, channel });
    }
}
