//! The node: owns the parts, hands them what happens, runs to completion.

mod around;
mod parts;
mod services;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use self::around::Around;
use self::parts::Parts;
use self::services::{Made, Services};
use crate::action::Outbox;
use crate::broadcast::{BroadcastTree, Broadcasts};
use crate::config::{Config, ManagerConfig};
use crate::connections::{ConnectionInfo, Connections, Counters, PeerInfo, Routes};
use crate::context::{Context, Me};
use crate::error::ConfigError;
use crate::event::Event;
use crate::id::{Incarnation, Instance, NodeId, ProcessName};
use crate::manager::client_server::Star;
use crate::manager::fixed::Fixed;
use crate::manager::hyparview::HyParView;
use crate::manager::pluggable::Pluggable;
use crate::manager::{Manager, Member, Views};
use crate::neighbors::Neighbors;
use crate::process::{ProcessCounts, ProcessId, ProcessInfo, Serial};
use crate::question::{ExchangeInfo, QuestionId};
use crate::random::Seed;
use crate::snapshot::Snapshot;
use crate::spec::NodeSpec;
use crate::time::Instant;
use crate::timers::{Timer, Timers};
use crate::wire::{PartitionId, StableHasher};

/// Who a node is at its start.
#[derive(Debug)]
pub struct Birth {
    /// What it tells about itself; its channels must be those of the configuration.
    pub spec: NodeSpec,
    /// Greater than that of any life before: one more than the stored one, or the time in
    /// milliseconds since 1970 where nothing is stored. One beyond [`Incarnation::MOST`] counts as
    /// that.
    pub incarnation: Incarnation,
    /// Where all its randomness comes from.
    pub seed: Seed,
    /// What it stored in its last life, if it did.
    pub snapshot: Option<Snapshot>,
    /// A manager of the user's own, in place of the configured one.
    pub manager: Option<Box<dyn Manager>>,
}

impl Birth {
    /// The node as its manager sees it at the start.
    #[must_use]
    pub fn me(&self) -> Me {
        let incarnation = self.incarnation.min(Incarnation::MOST);
        let instance = Instance { node: self.spec.id(), incarnation };
        Me { instance, spec: Arc::new(self.spec.clone()), stopping: false }
    }
}

/// A node of a cluster: one value, one mutating method.
///
/// See the [crate's documentation](crate) for how to drive it.
// In this order in memory: what each event needs comes first and so shares cache lines, which counts
// where one process has very many nodes.
#[derive(Debug)]
#[repr(C)]
pub struct Node {
    now: Instant,
    config: Arc<Config>,
    timers: Timers,
    manager: Box<dyn Manager>,
    routes: Routes,
    pub(crate) connections: Connections,
    neighbors: Neighbors,
    me: Me,
    questions: QuestionId,
    broadcast: Broadcasts,
    services: Services,
}

impl Node {
    /// Brings a node to life; what it wants to do first is left in `out`.
    ///
    /// # Errors
    /// [`ConfigError`] for a configuration that does not validate, a spec with other channels, an
    /// incarnation of zero, or somebody else's snapshot.
    pub fn start(
        now: Instant,
        birth: Birth,
        config: Arc<Config>,
        out: &mut Outbox,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let Birth { spec, incarnation, seed, snapshot, manager } = birth;
        if *spec.channels() != *sorted(config.channels.specs()) {
            return Err(ConfigError::ForeignChannels);
        }
        if incarnation == Incarnation::NONE {
            return Err(ConfigError::NoIncarnation);
        }
        let incarnation = incarnation.min(Incarnation::MOST);
        let instance = Instance { node: spec.id(), incarnation };
        let me = Me { instance, spec: Arc::new(spec), stopping: false };
        let manager = match (manager, &config.manager) {
            (Some(own), _) => own,
            (None, ManagerConfig::Pluggable(pluggable)) => {
                Box::new(Pluggable::new(&me, pluggable.clone(), &seed, snapshot)?)
            }
            (None, ManagerConfig::Static(fixed)) => {
                Box::new(Fixed::manager(&me, fixed, &seed, snapshot)?)
            }
            (None, ManagerConfig::ClientServer(star)) => {
                Box::new(Star::manager(&me, star, &seed, snapshot)?)
            }
            (None, ManagerConfig::HyParView(hyparview)) => {
                Box::new(HyParView::new(&me, hyparview.clone(), &seed, snapshot)?)
            }
        };
        let mut node = Self {
            now,
            connections: Connections::new(&seed),
            routes: Routes::new(config.connections.channel_fallback),
            me,
            timers: Timers::default(),
            neighbors: Neighbors::default(),
            questions: QuestionId::default(),
            manager,
            broadcast: Broadcasts::new(&seed),
            services: Services::new(incarnation),
            config,
        };
        node.run(out, |parts, cx| {
            parts.broadcast.start(cx);
            parts.around.manager.start(cx);
        });
        out.wake_at = node.timers.next();
        Ok(node)
    }

    /// Handles one event: the whole contract.
    ///
    /// Appends to `out.actions` what the driver must do, in order, and sets `out.wake_at` to when
    /// the node wants to be called again at the latest. Never fails, whatever a peer sent; a moment
    /// before the last one counts as the last one.
    pub fn handle(&mut self, now: Instant, event: Event, out: &mut Outbox) {
        self.now = self.now.max(now);
        match event {
            Event::Wake => {
                while let Some(timer) = self.timers.pop_due(self.now) {
                    self.run(out, |parts, cx| parts.fire(cx, timer));
                }
            }
            event => self.run(out, |parts, cx| parts.dispatch(cx, event)),
        }
        out.wake_at = self.timers.next();
    }

    /// Runs one step and everything that follows from it.
    fn run(&mut self, out: &mut Outbox, step: impl FnOnce(&mut Parts<'_>, &mut Context<'_>)) {
        let Self { now, config, me, timers, routes, neighbors, questions, .. } = self;
        let Self { connections, manager, broadcast, services, .. } = self;
        let around = Around { connections, manager: manager.as_mut() };
        let mut parts = Parts { around, broadcast, services };
        let (now, actions, changes) = (*now, &mut out.actions, &mut out.changes);
        let mut cx =
            Context { now, config, me, timers, routes, neighbors, questions, actions, changes };
        step(&mut parts, &mut cx);
        while let Some(change) = cx.changes.pop_front() {
            parts.change(&mut cx, &change);
        }
    }

    /// This node and its present life.
    #[must_use]
    pub const fn instance(&self) -> Instance {
        self.me.instance
    }

    /// What this node tells about itself.
    #[must_use]
    pub const fn spec(&self) -> &Arc<NodeSpec> {
        &self.me.spec
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// All members, this node included, sorted by name.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.manager.members()
    }

    /// One member, if it is one.
    #[must_use]
    pub fn member(&self, node: NodeId) -> Option<Member> {
        self.manager.member(node)
    }

    /// Who is next to this node in the overlay.
    #[must_use]
    pub const fn neighbors(&self) -> &Neighbors {
        &self.neighbors
    }

    /// Whom the manager is connected to on purpose and whom it knows besides, where it
    /// distinguishes.
    #[must_use]
    pub fn views(&self) -> Views {
        self.manager.views()
    }

    /// Who is connected and by which connections: what a driver gives to its senders.
    #[must_use]
    pub const fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Every open connection, by peer, channel and lane.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        self.connections.list()
    }

    /// Which injected partitions this node is in, and to whom it sends nothing for each
    /// (`partitions/0` of Partisan's HyParView manager).
    #[must_use]
    pub fn partitions(&self) -> Vec<(PartitionId, NodeId)> {
        self.services.get().map(|made| made.partitions.list()).unwrap_or_default()
    }

    /// What is known of the connection to a peer: its session, its last failure, its round-trip
    /// time.
    #[must_use]
    pub fn peer(&self, node: NodeId) -> Option<PeerInfo> {
        self.connections.peer(node)
    }

    /// How often what happened.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let services = self.services.get();
        Counters {
            membership: self.manager.counters(),
            broadcast: self.broadcast.counters(),
            relay: services.map(|made| made.relay.counters()).unwrap_or_default(),
            calls: services.map(|made| made.calls.counters()).unwrap_or_default(),
            delivery: services.map(|made| made.deliveries.counters()).unwrap_or_default(),
            partitions_refused: services.map_or(0, |made| made.partitions.refused()),
            ..self.connections.counters()
        }
    }

    /// How broadcasts of `root` travel through this node: the links and what they are in the tree
    /// that its messages take at present (`partisan_plumtree_broadcast:debug_get_tree/2`).
    #[must_use]
    pub fn broadcast_tree(&self, root: NodeId) -> BroadcastTree {
        self.broadcast.tree(root)
    }

    /// The exchanges under way (`partisan_plumtree_broadcast:exchanges/0`).
    #[must_use]
    pub fn exchanges(&self) -> Vec<ExchangeInfo> {
        self.broadcast.exchanges()
    }

    /// All processes that live here, in the order of their numbers (`processes/0`).
    pub fn processes(&self) -> impl Iterator<Item = ProcessId> {
        let (node, birth) = (self.me.instance.node, self.services.birth());
        let serials = self.services.get().into_iter().flat_map(|made| made.processes.list());
        serials.map(move |serial| ProcessId { node, birth, serial })
    }

    /// What is known of a process that lives here (`process_info/1`).
    #[must_use]
    pub fn process(&self, process: Serial) -> Option<ProcessInfo> {
        self.services.get()?.processes.info(self.me.instance.node, process)
    }

    /// Whom a name stands for here (`whereis/1`).
    #[must_use]
    pub fn whereis(&self, name: &ProcessName) -> Option<ProcessId> {
        let (node, birth) = (self.me.instance.node, self.services.birth());
        let serial = self.services.get()?.processes.named(name)?;
        Some(ProcessId { node, birth, serial })
    }

    /// All registered names, ascending, and whom they stand for (`registered/0`).
    pub fn registered(&self) -> impl Iterator<Item = (&ProcessName, Serial)> {
        self.services.get().into_iter().flat_map(|made| made.processes.names())
    }

    /// How much of everything that belongs to processes there is.
    #[must_use]
    pub fn process_counts(&self) -> ProcessCounts {
        self.services.get().map(|made| made.processes.counts()).unwrap_or_default()
    }

    /// How many messages wait for their acknowledgement, and how many causal ones here for others.
    #[must_use]
    pub fn deliveries(&self) -> (usize, usize) {
        self.services.get().map(|made| made.deliveries.counts()).unwrap_or_default()
    }

    /// How many calls of this node wait for answers, and how many requests to be answered here.
    #[must_use]
    pub fn calls(&self) -> (usize, usize) {
        self.services.get().map(|made| made.calls.counts()).unwrap_or_default()
    }

    /// All set timers, in the order they will fire.
    pub fn timers(&self) -> impl Iterator<Item = (Instant, Timer)> {
        self.timers.iter()
    }

    /// Whether it was told to stop.
    #[must_use]
    pub const fn is_stopping(&self) -> bool {
        self.me.stopping
    }

    /// A number that is equal for equal states: two runs of one seed must agree on it.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = StableHasher::default();
        self.me.instance.hash(&mut hasher);
        for routes in self.routes.peers() {
            routes.hash(&mut hasher);
        }
        for timer in self.timers.iter() {
            timer.hash(&mut hasher);
        }
        self.neighbors.hash(&mut hasher);
        hasher.write_u64(self.manager.fingerprint());
        self.services.show(&self.config, |made| {
            let Made { relay, partitions, processes, calls, deliveries } = made;
            relay.fingerprint(&mut hasher);
            partitions.fingerprint(&mut hasher);
            self.broadcast.hash(&mut hasher);
            processes.fingerprint(&mut hasher);
            calls.fingerprint(&mut hasher);
            deliveries.fingerprint(&mut hasher);
        });
        hasher.finish()
    }
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort_unstable();
    items
}
