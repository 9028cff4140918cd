//! What the loop and all handles of a node share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use partisan_proto::wire::PartitionId;
use partisan_proto::{
    Config, ConnectionId, ConnectionInfo, Counters, Instance, Instant, Member, NodeId, NodeSpec,
    ProcessId, Routes, Serial,
};
use tokio::sync::{broadcast, watch};

use crate::broadcasts::{Answerers, Subscriptions};
use crate::connection::Connection;
use crate::events::{EventStream, NodeEvent};
use crate::id_hasher::BuildIdHasher;
use crate::interception::Interception;
use crate::mailboxes::Mailboxes;
use crate::process::{Doings, ProcessState};
use crate::rpc::Functions;
use crate::store::Recovered;
use crate::sync::lock;

/// What a node was like at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// The node and its present life.
    pub instance: Instance,
    /// What it tells about itself.
    pub spec: Arc<NodeSpec>,
    /// All members, the node itself included, sorted by name.
    pub members: Arc<[Member]>,
    /// Every open connection, by peer, channel and lane.
    pub connections: Arc<[ConnectionInfo]>,
    /// Who is next to the node in the overlay, by identifier.
    pub neighbors: Arc<[Instance]>,
    /// Which injected partitions the node is in, and to whom it sends nothing for each.
    pub partitions: Arc<[(PartitionId, NodeId)]>,
    routes: Routes,
}

impl View {
    pub(crate) fn new(node: &partisan_proto::Node, members: Option<Arc<[Member]>>) -> Self {
        Self {
            instance: node.instance(),
            spec: Arc::clone(node.spec()),
            members: members.unwrap_or_else(|| node.members().into()),
            connections: node.connections().into(),
            neighbors: node.neighbors().iter().collect(),
            partitions: node.partitions().into(),
            routes: node.routes().clone(),
        }
    }

    /// As this, of a node that is connected to nobody any more.
    pub(crate) fn alone(&self) -> Self {
        Self {
            connections: Arc::default(),
            neighbors: Arc::default(),
            partitions: Arc::default(),
            routes: Routes::default(),
            ..self.clone()
        }
    }

    /// Who is connected, and by which connections.
    #[must_use]
    pub const fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Whether there is a session with this node; always with the node itself.
    #[must_use]
    pub fn is_connected(&self, node: NodeId) -> bool {
        node == self.instance.node || self.routes.peer(node).is_some()
    }

    /// Whether every negotiated lane to this node is open.
    #[must_use]
    pub fn is_fully_connected(&self, node: NodeId) -> bool {
        self.routes.peer(node).is_some_and(|peer| peer.is_full())
    }

    /// Whether this node is a member.
    #[must_use]
    pub fn is_member(&self, node: NodeId) -> bool {
        self.members.iter().any(|member| member.spec.id() == node)
    }
}

/// A view and the connections that its routes speak of.
#[derive(Debug)]
pub(crate) struct Published {
    pub(crate) view: View,
    pub(crate) connections: HashMap<ConnectionId, Arc<Connection>, BuildIdHasher>,
}

/// How often what happened, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeCounters {
    /// As the protocol counts.
    pub protocol: Counters,
    /// Connections that could not be accepted, for want of files or the like.
    pub accept_errors: u64,
    /// Failed attempts to store the membership.
    pub persist_failures: u64,
    /// Messages for a name that nobody had registered, or for a process that had ended.
    pub undeliverable: u64,
    /// Broadcasts for a handler to which nobody had subscribed.
    pub unreceived: u64,
    /// Connections closed since the peer did not read its control frames.
    pub stalled: u64,
    /// Messages that interposers wanted delayed beyond `driver.delayed_messages`, and which passed
    /// at once, or longer than their receiver takes, or panicked at: these passed as they were.
    pub uninterposed: u64,
    /// Errors that behaviours reported: ends in bad order, children that did not start, and the like
    /// ([`Report`](crate::behaviour::Report)).
    pub reported_errors: u64,
    /// Warnings that behaviours reported.
    pub reported_warnings: u64,
}

/// What the driver counts.
#[derive(Debug, Default)]
pub(crate) struct DriverCounters {
    pub(crate) accept_errors: Arc<AtomicU64>,
    pub(crate) persist_failures: Arc<AtomicU64>,
    pub(crate) stalled: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) warnings: AtomicU64,
}

/// What the loop and all handles of a node share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    pub(crate) published: ArcSwap<Published>,
    /// Moves with every publication; ends when the node has stopped.
    pub(crate) version: watch::Sender<u64>,
    pub(crate) stopped: watch::Sender<bool>,
    /// As `stopped`, and cheap enough to be read for every message.
    pub(crate) is_over: AtomicBool,
    pub(crate) mailboxes: Arc<Mailboxes>,
    pub(crate) subscriptions: Arc<Subscriptions>,
    pub(crate) answerers: Arc<Answerers>,
    pub(crate) doings: Doings,
    /// The process in whose name handles ask and watch.
    pub(crate) own: Arc<ProcessState>,
    /// Of the last process.
    pub(crate) serials: AtomicU64,
    pub(crate) functions: Functions,
    pub(crate) interception: Arc<Interception>,
    /// When the clock of the protocol began.
    pub(crate) started: tokio::time::Instant,
    pub(crate) counters: DriverCounters,
    pub(crate) protocol_counters: Mutex<Counters>,
    pub(crate) recovered: Option<Recovered>,
    /// None once the node has stopped, so that streams end.
    pub(crate) events: Mutex<Option<broadcast::Sender<NodeEvent>>>,
}

impl Shared {
    pub(crate) fn subscribe(&self) -> EventStream {
        let events = lock(&self.events);
        EventStream::new(events.as_ref().map(broadcast::Sender::subscribe))
    }

    pub(crate) fn tell(&self, event: NodeEvent) {
        if let Some(events) = lock(&self.events).as_ref() {
            // Nobody needs to listen.
            let _ = events.send(event);
        }
    }

    /// A number for a new process.
    pub(crate) fn serial(&self) -> Serial {
        Serial(self.serials.fetch_add(1, Ordering::Relaxed) + 1)
    }

    pub(crate) fn new_process(
        &self,
        node: NodeId,
        serial: Serial,
        mailbox: Option<(usize, usize)>,
    ) -> Arc<ProcessState> {
        let (messages, bytes) = mailbox.unwrap_or_else(|| self.mailboxes.most());
        let id = ProcessId { node, birth: self.mailboxes.birth(), serial };
        Arc::new(ProcessState::new(id, messages, bytes))
    }

    /// The time, as the protocol counts it.
    pub(crate) fn clock(&self) -> Instant {
        let nanos = self.started.elapsed().as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// A time as the protocol counts it; before its clock began, that moment. `None` beyond its end.
    pub(crate) fn clock_at(&self, at: tokio::time::Instant) -> Option<Instant> {
        let nanos = at.saturating_duration_since(self.started).as_nanos();
        u64::try_from(nanos).ok().map(Instant::from_nanos)
    }

    pub(crate) fn has_stopped(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    pub(crate) fn counters(&self) -> NodeCounters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        NodeCounters {
            protocol: *lock(&self.protocol_counters),
            accept_errors: read(&self.counters.accept_errors),
            persist_failures: read(&self.counters.persist_failures),
            undeliverable: read(&self.mailboxes.undeliverable),
            unreceived: read(&self.subscriptions.unreceived),
            stalled: read(&self.counters.stalled),
            uninterposed: self.interception.refused(),
            reported_errors: read(&self.counters.errors),
            reported_warnings: read(&self.counters.warnings),
        }
    }
}
