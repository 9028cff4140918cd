//! A node under watch: what must hold after each event, whatever happened before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::BytesMut;
use partisan_proto::config::{
    ClientServerConfig, HyParViewConfig, ManagerConfig, PluggableConfig, ScampConfig, Secret,
    StaticConfig, StrategyConfig, XBotConfig,
};
use partisan_proto::wire::{Decoded, Frame, decode, encode};
use partisan_proto::{
    Action, Address, Birth, ChannelId, ChannelName, ChannelOptions, Channels, CloseReason,
    ClusterName, Command, Config, ConnectionId, Epoch, Event, Incarnation, Instance, Instant,
    MessageId, Node, NodeId, NodeName, NodeSpec, Notification, Outbox, Snapshot, Tag, Ticket,
    Timer,
};

/// More timers than this never make sense within the limits of [`config`].
const MOST_TIMERS: usize = 256;
const MOST_CONNECTIONS: usize = 32;
const MOST_MEMBERS: usize = 6;
const MOST_REMOVALS: usize = 8;
const MOST_JOINS: usize = 3;
/// Contacts are dialled for joins, and by HyParView again when nobody else can be reached.
const MOST_CONTACTS: usize = MOST_JOINS + 8;
const MOST_NEIGHBORS: usize = 2;

/// Small limits, so that a script reaches them.
pub(crate) fn config(secret: bool) -> Arc<Config> {
    let bulk = ChannelName::new("bulk").expect("a good name");
    let channels = Channels::new([(bulk, ChannelOptions::lanes(2))]);
    let mut config = Config {
        cluster: ClusterName::new("a").expect("a good name"),
        secret: secret.then(|| Secret("sixteen bytes or more".into())),
        channels: channels.expect("good channels"),
        manager: ManagerConfig::Pluggable(PluggableConfig {
            max_members: MOST_MEMBERS,
            max_removals: MOST_REMOVALS,
            max_joins: MOST_JOINS,
            ..PluggableConfig::default()
        }),
        ..Config::default()
    };
    config.connections.max_pending = 4;
    config.connections.max_connections = MOST_CONNECTIONS;
    Arc::new(config)
}

/// The manager that a number stands for, with the same limits, and the tags of two nodes of it.
pub(crate) fn manager(number: u8) -> (ManagerConfig, [&'static str; 2]) {
    let scamp = ScampConfig { max_view: MOST_MEMBERS - 1, ..ScampConfig::default() };
    let pluggable = |strategy| {
        ManagerConfig::Pluggable(PluggableConfig {
            strategy,
            max_members: MOST_MEMBERS,
            max_removals: MOST_REMOVALS,
            max_joins: MOST_JOINS,
            ..PluggableConfig::default()
        })
    };
    let star = ManagerConfig::ClientServer(ClientServerConfig {
        max_members: MOST_MEMBERS,
        max_removals: MOST_REMOVALS,
        max_joins: MOST_JOINS,
        ..ClientServerConfig::default()
    });
    let fixed = StaticConfig {
        refuse_unlisted: number & 8 != 0,
        max_peers: MOST_MEMBERS - 1,
        max_joins: MOST_JOINS,
        ..StaticConfig::default()
    };
    let hyparview = |xbot| {
        // All that is stored of others: as many as the members of other managers.
        ManagerConfig::from(HyParViewConfig {
            active_size: MOST_NEIGHBORS,
            passive_size: 2,
            remembered: 2,
            max_removals: MOST_REMOVALS,
            max_joins: MOST_JOINS,
            max_strangers: 4,
            xbot,
            ..HyParViewConfig::default()
        })
    };
    let eager = XBotConfig { least_gain: 0, least_saving: 0, ..XBotConfig::default() };
    match number % 8 {
        0 => (pluggable(StrategyConfig::ScampV1(scamp)), [""; 2]),
        1 => (pluggable(StrategyConfig::ScampV2(scamp)), [""; 2]),
        2 => (ManagerConfig::Static(fixed), [""; 2]),
        3 => (star, ["server", "server"]),
        4 => (star, ["server", "client"]),
        5 => (star, ["client", "client"]),
        6 => (hyparview(None), [""; 2]),
        _ => (hyparview(Some(eager)), [""; 2]),
    }
}

/// This machine, that port.
pub(crate) fn address(port: u16) -> Address {
    std::net::SocketAddr::from(([127, 0, 0, 1], port)).into()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Opening,
    Open,
}

/// Whether, and for what, a command may stay unanswered for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    No,
    ForAJoin,
    ForAnAcknowledgement,
}

/// A node, and what can be known of it from outside.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) node: Node,
    outbox: Outbox,
    connections: BTreeMap<ConnectionId, State>,
    used: BTreeSet<ConnectionId>,
    up: BTreeSet<NodeId>,
    /// All that ever were.
    met: BTreeSet<NodeId>,
    /// Whether the event that is handled is a frame.
    receives: bool,
    /// How many causal messages waited for others before it.
    waited: usize,
    channels_up: BTreeSet<(NodeId, ChannelId)>,
    /// The last session with each node that is remembered.
    epochs: BTreeMap<NodeId, (Instance, Epoch)>,
    incarnation: Incarnation,
    /// All that was delivered.
    broadcasts: BTreeSet<MessageId>,
    tickets: u64,
    unanswered: BTreeMap<Ticket, Waits>,
}

/// Whether peers are forgotten with their sessions: probes, clients, former neighbours.
fn forgets_peers(manager: &ManagerConfig) -> bool {
    match manager {
        ManagerConfig::Pluggable(pluggable) => pluggable.strategy != StrategyConfig::Full,
        ManagerConfig::Static(_) => false,
        _ => true,
    }
}

impl Watched {
    /// Starts the node called `name`; its first actions come back.
    pub(crate) fn start(name: &str, port: u16, secret: bool) -> (Self, Vec<Action>) {
        Self::start_as(name, port, config(secret), Vec::new())
    }

    /// Starts a node with a configuration and tags of its own.
    pub(crate) fn start_as(
        name: &str,
        port: u16,
        config: Arc<Config>,
        tags: Vec<Tag>,
    ) -> (Self, Vec<Action>) {
        let name = NodeName::new(name).expect("a good name");
        let spec = NodeSpec::new(name, vec![address(port)], &config.channels, tags);
        let birth = Birth {
            spec: spec.expect("a good spec"),
            incarnation: Incarnation(1),
            seed: [port as u8; 32],
            snapshot: None,
            manager: None,
        };
        let mut outbox = Outbox::default();
        let node = Node::start(Instant::ZERO, birth, config, &mut outbox);
        let mut watched = Self {
            node: node.expect("a good configuration"),
            outbox,
            connections: BTreeMap::new(),
            used: BTreeSet::new(),
            up: BTreeSet::new(),
            met: BTreeSet::new(),
            receives: false,
            waited: 0,
            channels_up: BTreeSet::new(),
            epochs: BTreeMap::new(),
            incarnation: Incarnation(1),
            broadcasts: BTreeSet::new(),
            tickets: 0,
            unanswered: BTreeMap::new(),
        };
        let actions = watched.check(Instant::ZERO, false);
        (watched, actions)
    }

    /// When it wants to be woken.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.outbox.wake_at.map(|(at, _)| at)
    }

    /// Whether a connection of that number is open, from the driver's point of view.
    pub(crate) fn is_open(&self, connection: ConnectionId) -> bool {
        self.connections.get(&connection) == Some(&State::Open)
    }

    /// Whether a dial with that number is under way.
    pub(crate) fn is_opening(&self, connection: ConnectionId) -> bool {
        self.connections.get(&connection) == Some(&State::Opening)
    }

    /// A number for the next connection that it accepts.
    pub(crate) fn fresh_connection(&self) -> ConnectionId {
        (0..)
            .map(ConnectionId::accepted)
            .find(|connection| !self.used.contains(connection))
            .unwrap_or(ConnectionId::accepted(u64::MAX >> 1))
    }

    /// Hands it an event and checks what comes out. An event that contradicts what the driver said
    /// before (a number used twice, an open connection that fails to open) is left out.
    pub(crate) fn handle(&mut self, now: Instant, mut event: Event) -> Vec<Action> {
        if !self.admissible(&event) {
            return Vec::new();
        }
        if let Event::Command { ticket, .. } = &mut event {
            // Whoever drives a node uses no ticket twice.
            self.tickets += 1;
            *ticket = Ticket(self.tickets);
        }
        self.note(&event);
        let woken = event == Event::Wake;
        self.receives = matches!(event, Event::Received { .. });
        self.waited = self.node.deliveries().1;
        self.node.handle(now, event, &mut self.outbox);
        self.check(now, woken)
    }

    fn admissible(&self, event: &Event) -> bool {
        match event {
            Event::Accepted { connection } => {
                !connection.is_dialled() && !self.used.contains(connection)
            }
            Event::Opened { connection } | Event::OpenFailed { connection, .. } => {
                !self.is_open(*connection)
            }
            Event::Closed { connection, .. } | Event::Received { connection, .. } => {
                !self.is_opening(*connection)
            }
            _ => true,
        }
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Accepted { connection } => {
                self.used.insert(*connection);
                self.connections.insert(*connection, State::Open);
            }
            Event::Opened { connection } => {
                if let Some(state) = self.connections.get_mut(connection) {
                    *state = State::Open;
                }
            }
            Event::OpenFailed { connection, .. } | Event::Closed { connection, .. } => {
                self.connections.remove(connection);
            }
            Event::Command { ticket, command } => {
                let waits = match command {
                    Command::SyncJoin { .. } => Waits::ForAJoin,
                    Command::SendReliable(_) => Waits::ForAnAcknowledgement,
                    _ => Waits::No,
                };
                self.unanswered.insert(*ticket, waits);
            }
            _ => {}
        }
    }

    fn check(&mut self, now: Instant, woken: bool) -> Vec<Action> {
        let actions = std::mem::take(&mut self.outbox.actions);
        for action in &actions {
            self.check_action(action);
        }
        self.check_state();
        if woken {
            let due = |at: &Instant| *at <= now && *at != Instant::FAR_FUTURE;
            let late = self.wake_at().filter(due).is_some();
            assert!(!late, "a timer stays due: {:?}", self.outbox.wake_at);
        }
        actions
    }

    fn check_action(&mut self, action: &Action) {
        match action {
            Action::Open { connection, .. } => {
                assert!(connection.is_dialled(), "{connection:?} is for the driver to give");
                assert!(self.used.insert(*connection), "{connection:?} was used before");
                self.connections.insert(*connection, State::Opening);
            }
            Action::Send { connection, frame } => {
                assert!(self.is_open(*connection), "{connection:?} is not open for {frame:?}");
                check_readable(frame);
            }
            Action::Close { connection, .. } => {
                let known = self.connections.remove(connection).is_some();
                assert!(known, "{connection:?} is closed already, or was never there");
            }
            Action::Deliver(delivery) => {
                let own = delivery.from == self.node.instance().node;
                // What is relayed comes from whoever its frame says, and never waits.
                let relayed = delivery.relayed && self.receives;
                // A causal one may have waited for others for longer than the session lasted.
                let late = self.waited > 0 && self.met.contains(&delivery.from);
                let known = own || relayed || late || self.up.contains(&delivery.from);
                assert!(known, "a message from nobody: {delivery:?}");
            }
            Action::Reply { ticket, .. } => {
                let waited = self.unanswered.remove(ticket);
                assert!(waited.is_some(), "{ticket:?} is answered twice, or unasked");
            }
            Action::Notify(notification) => self.check_notification(notification),
            // A process may end in the step that tells it something.
            Action::Ask { .. } | Action::Signal { .. } | Action::Serve(_) => {}
            Action::End { process, .. } => {
                assert!(self.node.process(*process).is_none(), "{process:?} lives on");
            }
            Action::DeliverBroadcast(message) => {
                let first = self.broadcasts.insert(message.id);
                assert!(first, "{} is delivered twice", message.id);
            }
            Action::Persist(bytes) => {
                let stored = Snapshot::decode(bytes).expect("a node can read what it stored");
                let entries = stored.entries.len();
                assert!(entries <= MOST_MEMBERS + MOST_REMOVALS, "{entries} entries");
            }
        }
    }

    /// Stops it: nothing is left, and nobody waits.
    pub(crate) fn stop(&mut self, now: Instant) {
        let (ticket, command) = (Ticket(0), Command::Stop);
        self.handle(now, Event::Command { ticket, command });
        assert!(self.unanswered.is_empty(), "never answered: {:?}", self.unanswered);
        assert!(self.up.is_empty(), "still up: {:?}", self.up);
        assert_eq!(self.node.timers().count(), 0, "timers outlive the node");
    }

    fn check_notification(&mut self, notification: &Notification) {
        if let Notification::NodeUp { instance, epoch, .. } = notification {
            self.met.insert(instance.node);
            let last = self.epochs.insert(instance.node, (*instance, *epoch));
            assert_ne!(last, Some((*instance, *epoch)), "two sessions of one epoch");
        }
        if let Notification::NodeDown { instance, reason, .. } = notification
            && forgets_peers(&self.node.config().manager)
            && *reason != CloseReason::Replaced
        {
            // With the end of a session its peer may be forgotten, and perhaps dialled anew in the
            // same step: then its epochs begin anew.
            self.epochs.remove(&instance.node);
        }
        let right = match notification {
            Notification::NodeUp { instance, .. } => self.up.insert(instance.node),
            Notification::NodeDown { instance, .. } => self.up.remove(&instance.node),
            Notification::ChannelUp { node, channel } => self.channels_up.insert((*node, *channel)),
            Notification::ChannelDown { node, channel } => {
                self.channels_up.remove(&(*node, *channel))
            }
            _ => true,
        };
        assert!(right, "up and down do not alternate: {notification:?}");
    }

    fn check_state(&mut self) {
        let connections = self.node.connections();
        let mut seen = BTreeSet::new();
        for info in &connections {
            assert!(self.is_open(info.connection), "listed, yet not open: {info:?}");
            assert!(seen.insert(info.connection), "listed twice: {info:?}");
        }
        let routed: BTreeSet<_> =
            self.node.routes().peers().map(|peer| peer.instance.node).collect();
        // After a goodbye a node is up, until what it sent before has arrived, yet without routes.
        assert!(routed.is_subset(&self.up), "a node has routes and is not up");
        for peer in self.node.routes().peers() {
            for connection in peer.connections() {
                assert!(seen.contains(&connection), "routed, yet not listed: {connection:?}");
            }
        }
        for (node, channel) in &self.channels_up {
            assert!(self.up.contains(node), "{channel:?} is up, {node:?} is down");
        }
        assert!(self.connections.len() <= MOST_CONNECTIONS, "too many connections");
        self.check_bounds();
    }

    /// Partial views are disjoint, small, and hold others alone; neighbours have sessions.
    fn check_views(&self) {
        if !matches!(self.node.config().manager, ManagerConfig::HyParView(_)) {
            return;
        }
        let (views, me) = (self.node.views(), self.node.instance().node);
        assert!(views.active.len() <= MOST_NEIGHBORS && views.passive.len() <= 2, "{views:?}");
        let distinct: BTreeSet<_> = views.active.iter().chain(&views.passive).collect();
        assert_eq!(distinct.len(), views.active.len() + views.passive.len(), "{views:?}");
        assert!(!distinct.contains(&me), "it is in its own view");
        assert!(views.active.iter().all(|node| self.up.contains(node)), "{views:?}");
        let neighbors = self.node.neighbors().iter().map(|neighbor| neighbor.node);
        assert!(neighbors.eq(views.active.iter().copied()), "neighbours are not the view");
    }

    fn check_bounds(&mut self) {
        self.check_views();
        let timers = self.node.timers().count();
        assert!(timers <= MOST_TIMERS, "{timers} timers");
        let contacts = |timer: &Timer| matches!(timer, Timer::DialContact(_));
        let contacts = self.node.timers().filter(|(_, timer)| contacts(timer));
        assert!(contacts.count() <= MOST_CONTACTS, "too many contacts");
        assert!(
            self.unanswered.values().all(|waits| *waits != Waits::No),
            "not answered at once: {:?}",
            self.unanswered
        );
        let joins = self.unanswered.values().filter(|waits| **waits == Waits::ForAJoin);
        assert!(joins.count() <= MOST_JOINS, "too many wait");
        let sent = self.unanswered.values().filter(|waits| **waits == Waits::ForAnAcknowledgement);
        let waiting = self.node.deliveries().0;
        assert!(
            sent.count() <= waiting,
            "{waiting} wait for acknowledgement: {:?}",
            self.unanswered
        );
        let node = &self.node;
        self.epochs.retain(|id, _| node.peer(*id).is_some());
        let incarnation = self.node.instance().incarnation;
        assert!(incarnation >= self.incarnation && incarnation <= Incarnation::MOST);
        self.incarnation = incarnation;
        let me = self.node.instance().node;
        let members = self.node.members();
        assert!(members.len() <= MOST_MEMBERS, "too many members");
        assert!(
            members.iter().any(|member| member.spec.id() == me),
            "a node is always a member of its own cluster"
        );
        if self.node.is_stopping() {
            assert!(self.connections.is_empty(), "connections outlive the node");
        }
    }
}

/// What one node sends another can read.
fn check_readable(frame: &Frame) {
    if matches!(frame, Frame::App { .. }) {
        return;
    }
    let mut bytes = Vec::new();
    encode(frame, &mut bytes);
    let decoded = decode(&mut BytesMut::from(&bytes[..]), 1 << 20);
    assert_eq!(decoded, Ok(Decoded::Frame(frame.clone())), "unreadable");
}
