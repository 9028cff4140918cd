//! Who is connected: handshake, sessions, lanes, keep-alive, dialling.
//!
//! Two nodes that are connected have a *session*, numbered by an epoch. It consists of one
//! connection per lane of each channel that both have; the connection of the `membership` channel
//! is its *anchor*: the session begins when the anchor's handshake ends and is over when the anchor
//! is gone, and every control message travels on it, in order. So whoever hangs state on a session
//! need only listen for its end. Lanes come and go within a session; the side that dialled the
//! anchor dials them.
//!
//! When both sides dial at once, the dial of the node with the smaller identifier is kept; a hello
//! tells the last epoch that its sender shared with the peer, which is how the other side knows a
//! dial that crossed the present session from one that follows its loss.
//!
//! After Partisan's `partisan_peer_connections`, `partisan_peer_service_client` and `_server`;
//! unlike there, one connection carries both directions, and nothing is connected before its
//! handshake is over.

mod dial;
mod handshake;
mod info;
mod keep_alive;
mod routes;
mod session;
mod shake;
mod table;
#[cfg(test)]
pub(crate) mod tests;

pub use info::{ConnectionInfo, Counters, PeerInfo};
pub use routes::{Lanes, PeerRoutes, Routes};

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use self::dial::ContactDial;
use self::handshake::Step;
use self::info::Counts;
use self::keep_alive::{Due, KeepAlive, PongValue};
use self::session::Session;
use self::table::Table;
use crate::action::{Action, Delivery};
use crate::change::{Change, ContactId};
use crate::context::Context;
use crate::error::{CloseReason, CommandError, Misbehaviour, OpenError};
use crate::few::Sorted;
use crate::id::{ChannelId, ConnectionId, Epoch, Incarnation, Instance, NodeId};
use crate::notification::{DialError, Notification};
use crate::random::{Nonces, Random, Seed};
use crate::spec::NodeSpec;
use crate::timers::Timer;
use crate::wire::{
    BroadcastMessage, ControlMessage, Frame, NewestHeader, ProcessMessage, RelayHeader,
    ReliableHeader, ReplyHeader, RequestHeader,
};

/// All connections of a node.
// In this order in memory: each frame needs the table alone.
#[derive(Debug)]
#[repr(C)]
pub struct Connections {
    table: Table,
    peers: Sorted<NodeId, Box<Peer>>,
    /// The accepted connections whose handshake is not over.
    pending: Sorted<ConnectionId, ()>,
    random: Random,
    /// How many connections this node asked for so far.
    dialled: u64,
    nonces: Nonces,
    contacts: BTreeMap<ContactId, ContactDial>,
    counters: Counts,
}

/// One lane of one channel to one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    node: NodeId,
    channel: ChannelId,
    lane: u8,
}

impl Slot {
    const fn anchor(node: NodeId) -> Self {
        Self { node, channel: ChannelId::MEMBERSHIP, lane: 0 }
    }

    fn is_anchor(self) -> bool {
        self.channel == ChannelId::MEMBERSHIP
    }

    const fn timer(self) -> Timer {
        Timer::Dial(self.node, self.channel, self.lane)
    }
}

#[derive(Debug)]
struct Connection {
    stage: Stage,
    congested: bool,
    /// Application messages sent through the core since its channel's lanes last changed.
    sent: u32,
}

// One cache line, with the number beside it.
const _: () = assert!(size_of::<Connection>() <= 56);

impl Connection {
    const fn opening(origin: Origin) -> Self {
        Self { stage: Stage::Opening(origin), congested: false, sent: 0 }
    }

    fn shaking(origin: Origin, step: Step) -> Self {
        let stage = Stage::Shaking(Box::new(Shaking { origin, step }));
        Self { stage, congested: false, sent: 0 }
    }

    /// Why it was opened, until it is part of a session.
    const fn origin(&self) -> Option<Origin> {
        match &self.stage {
            Stage::Opening(origin) => Some(*origin),
            Stage::Shaking(shaking) => Some(shaking.origin),
            Stage::Open(_) => None,
        }
    }
}

/// Why a connection was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Accepted,
    For(Slot),
    ForContact(ContactId),
}

#[derive(Debug)]
enum Stage {
    /// Asked for, not open yet.
    Opening(Origin),
    /// In its handshake.
    Shaking(Box<Shaking>),
    /// Part of a session.
    Open(OpenConnection),
}

#[derive(Debug)]
struct Shaking {
    origin: Origin,
    step: Step,
}

#[derive(Debug)]
struct OpenConnection {
    slot: Slot,
    /// Of the peer.
    incarnation: Incarnation,
    keep_alive: KeepAlive,
}

impl OpenConnection {
    const fn from(&self) -> Instance {
        Instance { node: self.slot.node, incarnation: self.incarnation }
    }
}

/// What is known of a node to connect to.
#[derive(Debug)]
struct Peer {
    /// Whether the manager wants a session with it.
    kept: bool,
    /// Whether it is dialled once, for a session of the membership channel alone.
    probed: bool,
    /// Whether the lanes besides the anchor are wanted.
    lanes: bool,
    spec: Arc<NodeSpec>,
    incarnation: Incarnation,
    last_epoch: Epoch,
    session: Option<Session>,
    /// The dial of the anchor, if one is under way.
    dialling: Option<ConnectionId>,
    failures: u32,
    last_failure: Option<DialError>,
}

/// What arrived for other parts, with its proven sender.
#[derive(Debug)]
pub(crate) enum Received {
    App(Delivery),
    Relayed { from: NodeId, channel: ChannelId, header: Box<RelayHeader>, payload: Bytes },
    Broadcast { from: Instance, message: Arc<BroadcastMessage> },
    Request { from: Instance, connection: ConnectionId, header: Box<RequestHeader>, payload: Bytes },
    Reply { connection: ConnectionId, header: Box<ReplyHeader>, payload: Bytes },
    Reliable { from: Instance, channel: ChannelId, header: Box<ReliableHeader>, payload: Bytes },
    Newest { from: Instance, channel: ChannelId, header: Box<NewestHeader>, payload: Bytes },
    Signal { from: Instance, connection: ConnectionId, message: Box<ProcessMessage> },
    Control { from: Instance, message: ControlMessage },
}

impl Connections {
    pub(crate) fn new(seed: &Seed) -> Self {
        Self {
            random: Random::fork(seed, "connections"),
            nonces: Nonces::new(seed),
            dialled: 0,
            table: Table::default(),
            pending: Sorted::new(),
            peers: Sorted::new(),
            contacts: BTreeMap::new(),
            counters: Counts::default(),
        }
    }

    pub(crate) fn accepted(&mut self, cx: &mut Context<'_>, id: ConnectionId) {
        let limits = &cx.config.connections;
        self.counters.accepted += 1;
        let full = self.pending.len() >= limits.max_pending;
        if cx.me.stopping || full || self.table.len() >= limits.max_connections {
            self.counters.too_many += u64::from(!cx.me.stopping);
            let reason = CloseReason::TooMany;
            return cx.act(Action::Close { connection: id, reason, flush: false });
        }
        if id.is_dialled() || self.table.contains_key(&id) {
            // A driver's mistake: the number is taken.
            return;
        }
        self.pending.insert(id, ());
        self.table.insert(id, Connection::shaking(Origin::Accepted, Step::ExpectFirstHello));
        cx.set_timer(Timer::EndHandshake(id), limits.handshake_timeout);
    }

    pub(crate) fn open_failed(&mut self, cx: &mut Context<'_>, id: ConnectionId, error: OpenError) {
        if let Some(Stage::Opening(_)) = self.table.get(&id).map(|connection| &connection.stage) {
            self.counters.open_failed += 1;
            self.forget(cx, id, DialError::Open(error));
        }
    }

    /// Takes a frame of the connections' own; gives back what other parts must handle.
    pub(crate) fn received(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnectionId,
        frame: Frame,
    ) -> Option<Received> {
        match &mut self.table.get_mut(&id)?.stage {
            Stage::Opening(_) => self.misbehaved(cx, id, Misbehaviour::OutOfTurn),
            Stage::Shaking(_) => self.shake(cx, id, frame),
            Stage::Open(open) => {
                open.keep_alive.heard(cx.now);
                let (slot, from) = (open.slot, open.from());
                return self.received_open(cx, id, (slot, from), frame);
            }
        }
        None
    }

    fn received_open(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnectionId,
        (slot, from): (Slot, Instance),
        frame: Frame,
    ) -> Option<Received> {
        match frame {
            Frame::Control(ControlMessage::Ping { id: ping }) => {
                cx.send_on(id, Frame::Control(ControlMessage::Pong { id: ping }));
            }
            Frame::Control(ControlMessage::Pong { id: ping }) => self.pong(cx, id, ping),
            Frame::Hello(_)
            | Frame::Refuse(_)
            | Frame::Control(ControlMessage::Confirm(_) | ControlMessage::Accept(_)) => {
                self.misbehaved(cx, id, Misbehaviour::HandshakeTwice);
            }
            Frame::App { destination, payload } if !slot.is_anchor() => {
                let (from, channel, relayed) = (slot.node, slot.channel, false);
                let delivery = Delivery { from, channel, relayed, destination, payload };
                return Some(Received::App(delivery));
            }
            Frame::Broadcast(message) if !slot.is_anchor() => {
                return Some(Received::Broadcast { from, message });
            }
            Frame::Control(ControlMessage::Goodbye(reason)) if slot.is_anchor() => {
                self.goodbye(cx, slot.node, reason);
            }
            Frame::Control(message) if slot.is_anchor() => {
                return Some(Received::Control { from, message });
            }
            Frame::Relayed { header, payload } if !slot.is_anchor() => {
                let (from, channel) = (slot.node, slot.channel);
                return Some(Received::Relayed { from, channel, header, payload });
            }
            Frame::Request { header, payload } if !slot.is_anchor() => {
                return Some(Received::Request { from, connection: id, header, payload });
            }
            Frame::Newest { header, payload } if !slot.is_anchor() => {
                let channel = slot.channel;
                return Some(Received::Newest { from, channel, header, payload });
            }
            Frame::Reliable { header, payload } if !slot.is_anchor() => {
                let channel = slot.channel;
                return Some(Received::Reliable { from, channel, header, payload });
            }
            Frame::Reply { header, payload } if !slot.is_anchor() => {
                return Some(Received::Reply { connection: id, header, payload });
            }
            Frame::Signal(message) if !slot.is_anchor() => {
                return Some(Received::Signal { from, connection: id, message });
            }
            Frame::App { .. }
            | Frame::Broadcast(_)
            | Frame::Relayed { .. }
            | Frame::Request { .. }
            | Frame::Reply { .. }
            | Frame::Reliable { .. }
            | Frame::Newest { .. }
            | Frame::Signal(_)
            | Frame::Control(_) => {
                self.misbehaved(cx, id, Misbehaviour::WrongChannel);
            }
        }
        None
    }

    fn open(&self, id: ConnectionId) -> Option<&OpenConnection> {
        match &self.table.get(&id)?.stage {
            Stage::Open(open) => Some(open),
            Stage::Opening(_) | Stage::Shaking(_) => None,
        }
    }

    fn pong(&mut self, cx: &mut Context<'_>, id: ConnectionId, ping: u64) {
        let Some(open) = self.open(id) else { return };
        let (slot, value) = (open.slot, open.keep_alive.pong(cx.now, ping));
        match value {
            PongValue::RoundTrip(span) => {
                let node = slot.node;
                let peer = self.peers.get_mut(node).filter(|_| slot.is_anchor());
                if let Some(session) = peer.and_then(|peer| peer.session.as_mut()) {
                    session.round_trip = Some(span);
                    cx.change(Change::RoundTrip { node, span });
                }
            }
            PongValue::Late => {}
            PongValue::Stray => self.counters.stray_pongs += 1,
        }
    }

    /// The driver says that a connection ended.
    pub(crate) fn closed(&mut self, cx: &mut Context<'_>, id: ConnectionId, reason: CloseReason) {
        if self.table.contains_key(&id) {
            self.counters.malformed += u64::from(matches!(reason, CloseReason::Malformed(_)));
            self.forget(cx, id, DialError::Closed(reason));
        }
    }

    /// Closes a connection from this side.
    fn close(&mut self, cx: &mut Context<'_>, id: ConnectionId, reason: CloseReason, flush: bool) {
        if self.table.contains_key(&id) {
            cx.act(Action::Close { connection: id, reason, flush });
            self.forget(cx, id, DialError::Closed(reason));
        }
    }

    /// Removes a connection that ended, with everything that follows from it.
    fn forget(&mut self, cx: &mut Context<'_>, id: ConnectionId, error: DialError) {
        let Some(connection) = self.remove(cx, id) else {
            return;
        };
        let reason = match error {
            DialError::Closed(reason) => reason,
            DialError::Open(_) => CloseReason::Broken,
        };
        let origin = match connection.stage {
            Stage::Open(open) => return self.lane_ended(cx, id, open.slot, reason),
            Stage::Opening(origin) => origin,
            Stage::Shaking(shaking) => shaking.origin,
        };
        match origin {
            Origin::Accepted => {}
            Origin::For(slot) => self.dial_failed(cx, slot, error),
            Origin::ForContact(contact) => self.contact_failed(cx, contact, error),
        }
    }

    /// Removes a connection and its timers, and nothing else.
    fn remove(&mut self, cx: &mut Context<'_>, id: ConnectionId) -> Option<Connection> {
        let connection = self.table.remove(&id)?;
        self.pending.remove(id);
        let timer = match connection.stage {
            Stage::Open(_) => Timer::KeepAlive(id),
            Stage::Opening(_) | Stage::Shaking(_) => Timer::EndHandshake(id),
        };
        cx.timers.cancel(timer);
        Some(connection)
    }

    /// A peer broke the protocol: the connection ends, and somebody is told.
    pub(crate) fn misbehaved(
        &mut self,
        cx: &mut Context<'_>,
        id: ConnectionId,
        misbehaviour: Misbehaviour,
    ) {
        self.counters.misbehaved += 1;
        let node = self.open(id).map(|open| open.slot.node);
        cx.notify(Notification::PeerMisbehaved { node, misbehaviour });
        self.close(cx, id, CloseReason::Misbehaved(misbehaviour), false);
    }

    pub(crate) fn set_congested(&mut self, id: ConnectionId, congested: bool) {
        if let Some(connection) = self.table.get_mut(&id) {
            connection.congested = congested;
        }
    }

    /// Whose lane an open connection is.
    pub(crate) fn peer_of(&self, id: ConnectionId) -> Option<NodeId> {
        self.open(id).map(|open| open.slot.node)
    }

    /// How much of a channel's traffic went by this lane lately; most of all when it is congested.
    pub(crate) fn load(&self, id: ConnectionId) -> usize {
        match self.table.get(&id) {
            Some(connection) if !connection.congested => connection.sent as usize,
            Some(_) | None => usize::MAX,
        }
    }

    /// Counts one more message on a lane, unless it is congested.
    pub(crate) fn admit_message(&mut self, id: ConnectionId) -> bool {
        match self.table.get_mut(&id) {
            Some(connection) if !connection.congested => {
                connection.sent = connection.sent.saturating_add(1);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Closes all connections to a node, as the application asked.
    pub(crate) fn disconnect(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
    ) -> Result<(), CommandError> {
        cx.routes.reachable(node)?;
        self.say_goodbye(cx, node, CloseReason::Requested);
        Ok(())
    }

    pub(crate) fn change(&mut self, cx: &mut Context<'_>, change: &Change) {
        match change {
            Change::Admit { connection } => self.admit(cx, *connection),
            Change::TurnAway { connection, refusal } => self.refuse(cx, *connection, *refusal),
            Change::Keep { instance, spec, patient } => self.keep(cx, *instance, spec, *patient),
            Change::Probe { instance, spec } => self.probe(cx, *instance, spec),
            Change::Measure { node } => self.measure(cx, *node),
            Change::Release { node, reason } => self.release(cx, *node, *reason),
            Change::Verify => self.verify(cx),
            Change::DialContact { contact, target, lanes, failures } => {
                self.add_contact(cx, *contact, target, (*lanes, *failures));
            }
            Change::DropContact { contact } => self.drop_contact(cx, *contact),
            Change::Reborn { reason } => self.end_everything(cx, *reason),
            Change::Stopping => self.end_everything(cx, CloseReason::Stopped),
            Change::Knock { .. }
            | Change::PeerUp { .. }
            | Change::PeerDown { .. }
            | Change::Partitioned
            | Change::LaneOpened { .. }
            | Change::LaneClosed { .. }
            | Change::Relay(_)
            | Change::Relayed { .. }
            | Change::RelayTooLarge { .. }
            | Change::ProcessEnded { .. }
            | Change::FullyConnected { .. }
            | Change::ContactFailed { .. }
            | Change::ContactReached { .. }
            | Change::ProbeFailed { .. }
            | Change::RoundTrip { .. }
            | Change::NeighborUp { .. }
            | Change::NeighborDown { .. }
            | Change::NeighborSwapped { .. }
            | Change::NotMember { .. }
            | Change::Outdated { .. }
            | Change::MembersChanged => {}
        }
    }

    pub(crate) fn fire(&mut self, cx: &mut Context<'_>, timer: Timer) {
        match timer {
            Timer::EndHandshake(id) => {
                self.counters.handshake_timeouts += 1;
                self.close(cx, id, CloseReason::HandshakeTimeout, false);
            }
            Timer::KeepAlive(id) => self.look_after(cx, id),
            Timer::Dial(node, channel, lane) => self.dial(cx, Slot { node, channel, lane }),
            Timer::DialContact(number) => self.dial_contact(cx, ContactId(number)),
            Timer::EndGoodbye(node) => self.end_goodbye(cx, node),
            _ => {}
        }
    }

    fn look_after(&mut self, cx: &mut Context<'_>, id: ConnectionId) {
        let Some(Stage::Open(open)) = self.table.get_mut(&id).map(|found| &mut found.stage) else {
            return;
        };
        let due = open.keep_alive.due(&cx.config.connections.keep_alive, cx.now);
        self.keep_alive(cx, id, due);
    }

    /// Pings a peer for the sake of the round trip alone.
    fn measure(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let Some(id) = cx.routes.anchor(node) else {
            return;
        };
        if let Some(Stage::Open(open)) = self.table.get_mut(&id).map(|found| &mut found.stage) {
            let ping = open.keep_alive.measure(cx.now);
            self.counters.pings += 1;
            cx.send_on(id, Frame::Control(ControlMessage::Ping { id: ping }));
        }
    }

    fn keep_alive(&mut self, cx: &mut Context<'_>, id: ConnectionId, due: Due) {
        match due {
            Due::Wait(until) => cx.timers.set(Timer::KeepAlive(id), until),
            Due::Ping(ping, again) => {
                self.counters.pings += 1;
                cx.send_on(id, Frame::Control(ControlMessage::Ping { id: ping }));
                cx.timers.set(Timer::KeepAlive(id), again);
            }
            Due::Dead => {
                self.counters.ping_timeouts += 1;
                self.close(cx, id, CloseReason::PingTimeout, false);
            }
        }
    }

    pub(crate) fn list(&self) -> Vec<ConnectionInfo> {
        self.peers.iter().flat_map(|(node, peer)| peer.connections(*node)).collect()
    }

    pub(crate) fn peer(&self, node: NodeId) -> Option<PeerInfo> {
        let peer = self.peers.get(node)?;
        Some(PeerInfo {
            spec: peer.spec.clone(),
            incarnation: peer.incarnation,
            epoch: peer.session.as_ref().map(|session| session.epoch),
            round_trip: peer.session.as_ref().and_then(|session| session.round_trip),
            last_failure: peer.last_failure,
            failures: peer.failures,
        })
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters.into()
    }
}
