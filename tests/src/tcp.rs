//! Clusters of real nodes on this machine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use partisan_proto::config::{BroadcastConfig, HandlerOptions, ManagerConfig, StoreConfig};
use partisan_proto::interposition::Interposer;
use partisan_proto::wire::{Destination, PartitionId};
use partisan_proto::{
    Answer, BroadcastTree, Command, CommandError, Config, ConnectionInfo, Counters, Delivery,
    Member, NodeId, NodeName, NodeSpec, Notification, Routes, Tag,
};
use partisan_sim::Restart;
use partisan_tokio::{Node, NodeError, NodeEvent, Overflow, SendError, SendOptions, Settings};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::{Answered, Asked, Cluster, Told};

/// Long enough for any machine, since no scenario waits that long when all is well.
const DEADLINE: Duration = Duration::from_secs(60);

/// Where the messages of [`Cluster::rest`] go.
const REST: &str = "rest";

/// A cluster of real nodes, all on one thread.
///
/// Intervals are shortened, so that nobody waits for them; the rest of a configuration is used as
/// it is.
#[derive(Debug)]
pub struct Tcp {
    runtime: Runtime,
    nodes: Vec<Running>,
    asked: u64,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Running {
    node: Node,
    dead: bool,
    settings: Settings,
    state: TempDir,
    seen: Arc<Mutex<Seen>>,
}

/// What a node's application saw in its present life.
#[derive(Debug, Default)]
struct Seen {
    deliveries: Vec<Delivery>,
    notifications: Vec<Notification>,
    broadcasts: Vec<Told>,
    /// How many messages of [`Cluster::rest`] came.
    rested: usize,
}

#[derive(Debug, Default)]
struct Shared {
    answers: Mutex<BTreeMap<u64, Answered>>,
    /// Moves with everything that a condition could depend on.
    changes: watch::Sender<u64>,
}

impl Shared {
    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }
}

/// Runs a scenario with real nodes.
///
/// # Panics
/// When the scenario fails.
pub fn over_tcp(scenario: impl FnOnce(&mut Tcp)) {
    let mut cluster = Tcp::new();
    scenario(&mut cluster);
    cluster.check_alternation();
}

impl Default for Tcp {
    fn default() -> Self {
        Self::new()
    }
}

impl Tcp {
    /// No nodes yet.
    ///
    /// # Panics
    /// When the operating system refuses.
    #[must_use]
    pub fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        Self {
            runtime: runtime.expect("a runtime"),
            nodes: Vec::new(),
            asked: 0,
            shared: Arc::default(),
        }
    }

    /// Starts one more node under a name that may be another's, too.
    pub fn add_named(&mut self, name: &str, config: Config) -> usize {
        self.add_with(name, config, Vec::new())
    }

    fn add_with(&mut self, name: &str, config: Config, tags: Vec<Tag>) -> usize {
        let state = TempDir::new().expect("a temporary directory");
        let name = NodeName::new(name).expect("a good name");
        let settings = Settings::new(name).state_dir(state.path()).tags(tags).config(config);
        let (node, seen) = self.start_node(&settings);
        self.nodes.push(Running { node, dead: false, settings, state, seen });
        self.nodes.len() - 1
    }

    /// The node itself, for what only real ones can do.
    #[must_use]
    pub fn node(&self, node: usize) -> &Node {
        &self.nodes[node].node
    }

    /// Runs a future beside the nodes.
    ///
    /// # Panics
    /// When it takes too long.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        let bounded = async { tokio::time::timeout(DEADLINE, future).await };
        self.runtime.block_on(bounded).expect("not in time")
    }

    fn start_node(&self, settings: &Settings) -> (Node, Arc<Mutex<Seen>>) {
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let node = self.block_on(async {
            let node = Node::start(settings.clone()).await.expect("it starts");
            self.observe(&node, &seen);
            node
        });
        (node, seen)
    }

    /// Sends a message by every channel of every session for them, from smaller to greater numbers or the
    /// other way round, and waits for all of them; again while sessions end meanwhile, since what
    /// was on its way by them is lost.
    fn rest_one_way(&mut self, direction: usize) {
        loop {
            let before = self.sessions_ended();
            let expected = self.send_rests(direction);
            self.wait("messages everywhere, or the end of a session", |cluster| {
                let mut expected = expected.iter();
                cluster.sessions_ended() > before
                    || expected.all(|(node, count)| cluster.rested(*node) >= *count)
            });
            if self.sessions_ended() == before {
                return;
            }
        }
    }

    /// Sends them; says how many each node has when all have arrived.
    fn send_rests(&mut self, direction: usize) -> BTreeMap<usize, usize> {
        let pairs = (0..self.size()).flat_map(|a| (0..a).map(move |b| [(b, a), (a, b)]));
        let mut expected: BTreeMap<usize, usize> = BTreeMap::new();
        for (from, to) in Vec::from_iter(pairs.map(|pair| pair[direction])) {
            if !self.is_connected(from, to) {
                continue;
            }
            let id = self.id(to);
            let channels = self.nodes[from].settings.config.channels.iter();
            for (channel, ..) in channels.skip(1) {
                let rested = self.rested(to);
                let options = SendOptions::default().channel(channel);
                let options = options.destination(REST).expect("a good name");
                let sent = self.node(from).send_bytes(id, Bytes::new(), &options);
                // The session may have ended just now.
                if self.block_on(sent).is_ok() {
                    *expected.entry(to).or_insert(rested) += 1;
                }
            }
        }
        expected
    }

    /// How many ends of sessions all nodes have told of.
    fn sessions_ended(&self) -> usize {
        let ended = |seen: &Mutex<Seen>| {
            let seen = seen.lock().expect("sound");
            let down = |note: &&Notification| matches!(note, Notification::NodeDown { .. });
            seen.notifications.iter().filter(down).count()
        };
        self.nodes.iter().map(|node| ended(&node.seen)).sum()
    }

    fn rested(&self, node: usize) -> usize {
        self.nodes[node].seen.lock().expect("sound").rested
    }

    /// Collects the broadcasts for all handlers of a node that keep none.
    fn listen(&self, node: &Node, seen: &Arc<Mutex<Seen>>) {
        let handlers = &node.config().broadcast.handlers;
        let kept = |options: &HandlerOptions| options.store == StoreConfig::Application;
        let named = handlers.iter().filter(|(_, options)| !kept(options));
        let mut names: Vec<&str> = named.map(|(name, _)| name.as_str()).collect();
        if !handlers.keys().any(|name| name.as_str() == BroadcastConfig::DEFAULT_HANDLER) {
            names.push(BroadcastConfig::DEFAULT_HANDLER);
        }
        for name in names {
            let mut broadcasts = node.broadcasts(name, Overflow::Wait).expect("it is configured");
            let (seen, shared) = (Arc::clone(seen), Arc::clone(&self.shared));
            tokio::spawn(async move {
                while let Some(message) = broadcasts.next().await {
                    let told = Told { id: message.id(), payload: message.payload().clone() };
                    seen.lock().expect("sound").broadcasts.push(told);
                    shared.changed();
                }
            });
        }
    }

    /// Collects what happens on a node, as tasks of the runtime.
    fn observe(&self, node: &Node, seen: &Arc<Mutex<Seen>>) {
        self.listen(node, seen);
        let mut events = node.events();
        let (notes, shared) = (Arc::clone(seen), Arc::clone(&self.shared));
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                match event {
                    NodeEvent::Notification(note) => {
                        notes.lock().expect("sound").notifications.push(note);
                    }
                    NodeEvent::Missed(count) => panic!("missed {count} events"),
                    _ => {}
                }
                shared.changed();
            }
        });
        let resting = Arc::clone(seen);
        let mut inbox = node.inbox().expect("nobody else took it");
        let (seen, shared) = (Arc::clone(seen), Arc::clone(&self.shared));
        tokio::spawn(async move {
            while let Some(message) = inbox.recv().await {
                let delivery = Delivery {
                    from: message.from,
                    channel: message.channel,
                    relayed: message.relayed,
                    destination: Destination::Inbox,
                    payload: message.payload,
                };
                seen.lock().expect("sound").deliveries.push(delivery);
                shared.changed();
            }
        });
        let mut rest = node.register(REST).expect("nobody else took it");
        let (resting, shared) = (resting, Arc::clone(&self.shared));
        tokio::spawn(async move {
            while rest.recv().await.is_some() {
                resting.lock().expect("sound").rested += 1;
                shared.changed();
            }
        });
        let (node, shared) = (node.clone(), Arc::clone(&self.shared));
        tokio::spawn(async move {
            let nothing = |_: &partisan_tokio::View| {
                shared.changed();
                false
            };
            // Ends when the node has stopped.
            let _ = node.wait_until(Duration::MAX, nothing).await;
        });
    }
}

impl Cluster for Tcp {
    fn add(&mut self, config: Config) -> usize {
        let name = format!("n{}@127.0.0.1", self.nodes.len());
        self.add_named(&name, hasten(config))
    }

    fn add_tagged(&mut self, config: Config, tags: Vec<Tag>) -> usize {
        let name = format!("n{}@127.0.0.1", self.nodes.len());
        self.add_with(&name, hasten(config), tags)
    }

    fn size(&self) -> usize {
        self.nodes.len()
    }

    fn ask(&mut self, node: usize, command: Command) -> Asked {
        self.asked += 1;
        let asked = Asked { node, number: self.asked };
        let (node, shared) = (self.nodes[node].node.clone(), Arc::clone(&self.shared));
        let waits = matches!(command, Command::SyncJoin { .. } | Command::SendReliable(_));
        let task = async move {
            let answer = perform(&node, command).await;
            let mut answers = shared.answers.lock().expect("sound");
            answers.insert(asked.number, answer);
            drop(answers);
            shared.changed();
        };
        if waits {
            // It has been given when this yields.
            self.runtime.spawn(task);
            self.block_on(tokio::task::yield_now());
        } else {
            self.block_on(task);
        }
        asked
    }

    fn answer(&self, asked: Asked) -> Option<Answered> {
        let answers = self.shared.answers.lock().expect("sound");
        answers.get(&asked.number).cloned()
    }

    fn spec(&self, node: usize) -> Arc<NodeSpec> {
        self.nodes[node].node.spec()
    }

    fn members(&self, node: usize) -> Vec<Member> {
        self.nodes[node].node.members().to_vec()
    }

    fn connections(&self, node: usize) -> Vec<ConnectionInfo> {
        self.nodes[node].node.connections().to_vec()
    }

    fn routes(&self, node: usize) -> Routes {
        if self.nodes[node].dead {
            return Routes::default();
        }
        self.nodes[node].node.view().routes().clone()
    }

    fn partitions(&self, node: usize) -> Vec<(PartitionId, NodeId)> {
        self.nodes[node].node.partitions().to_vec()
    }

    fn counters(&self, node: usize) -> Counters {
        self.nodes[node].node.counters().protocol
    }

    fn deliveries(&self, node: usize) -> Vec<Delivery> {
        let seen = self.nodes[node].seen.lock().expect("sound");
        seen.deliveries.clone()
    }

    fn broadcasts(&self, node: usize) -> Vec<Told> {
        let seen = self.nodes[node].seen.lock().expect("sound");
        seen.broadcasts.clone()
    }

    fn tree(&self, node: usize, root: usize) -> BroadcastTree {
        let root = self.id(root);
        self.block_on(self.nodes[node].node.broadcast_tree(root)).expect("it lives")
    }

    fn notifications(&self, node: usize) -> Vec<Notification> {
        let seen = self.nodes[node].seen.lock().expect("sound");
        seen.notifications.clone()
    }

    fn crash(&mut self, node: usize) {
        self.block_on(self.nodes[node].node.abort());
        self.nodes[node].dead = true;
    }

    fn restart(&mut self, node: usize, how: Restart) {
        let Running { node: dead, .. } = &self.nodes[node];
        let last = dead.spec().addresses().to_vec();
        let mut settings = self.nodes[node].settings.clone();
        if !how.new_address {
            settings.listen = last;
        }
        if !how.keep_state {
            self.nodes[node].state = TempDir::new().expect("a temporary directory");
            settings.state_dir = Some(self.nodes[node].state.path().to_owned());
        }
        self.nodes[node].settings.state_dir.clone_from(&settings.state_dir);
        let (started, seen) = self.start_node(&settings);
        self.nodes[node].node = started;
        self.nodes[node].dead = false;
        self.nodes[node].seen = seen;
    }

    fn reconfigure(&mut self, node: usize, config: Config) {
        self.nodes[node].settings.config = hasten(config);
    }

    fn interpose(&mut self, node: usize, name: &str, interposer: impl Interposer + 'static) {
        self.nodes[node].node.interpose(name, interposer);
    }

    fn remove_interposer(&mut self, node: usize, name: &str) -> bool {
        self.nodes[node].node.remove_interposer(name)
    }

    fn wait(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let come_true = async {
            let mut changes = self.shared.changes.subscribe();
            while !done(self) {
                changes.changed().await.expect("its sender is here");
            }
        };
        let bounded = async { tokio::time::timeout(DEADLINE, come_true).await };
        let ended = self.runtime.block_on(bounded);
        assert!(ended.is_ok(), "in vain waited for {what}:{}", self.summary());
    }

    fn rest(&mut self) {
        for direction in 0..2 {
            self.rest_one_way(direction);
        }
    }
}

/// Gives a command to a node by the method that stands for it.
async fn perform(node: &Node, command: Command) -> Answered {
    let done = match command {
        Command::Join(contact) => node.join(contact).await,
        Command::SyncJoin { contact, deadline } => {
            return match node.sync_join(contact, deadline).await {
                Ok(through) => Ok(Answer::Joined(through)),
                Err(error) => Err(command_error(error)),
            };
        }
        Command::Leave => node.leave().await,
        Command::Remove(other) => node.remove(other).await,
        Command::UpdateMembers(specs) => node.update_members(specs).await,
        Command::Disconnect(other) => node.disconnect(other).await,
        Command::Send(send) => {
            let options = options(&send);
            return match node.send_bytes(send.to, send.payload, &options).await {
                Ok(()) => Ok(Answer::Done),
                Err(SendError::Command(error)) => Err(error),
                Err(error) => panic!("{error}"),
            };
        }
        Command::InjectPartition { ttl } => {
            let injected = node.inject_partition(ttl).await;
            return injected.map(Answer::Partition).map_err(command_error);
        }
        Command::ResolvePartition(id) => node.resolve_partition(id).await,
        Command::Broadcast(broadcast) => {
            let partisan_proto::Broadcast { handler, key, payload } = broadcast;
            return match node.broadcast_bytes(name_of(node, handler), key, payload).await {
                Ok(id) => Ok(Answer::Broadcast(id)),
                Err(SendError::Command(error)) => Err(error),
                Err(error) => panic!("{error}"),
            };
        }
        Command::CancelExchanges(which) => {
            let cancelled = node.cancel_exchanges(which).await;
            return cancelled.map(Answer::Cancelled).map_err(command_error);
        }
        Command::Stop => {
            node.shutdown().await;
            Ok(())
        }
        Command::SendReliable(send) => {
            return match node.send_reliable(*send).await {
                Ok(()) => Ok(Answer::Acknowledged),
                Err(SendError::Command(error)) => Err(error),
                Err(error) => panic!("{error}"),
            };
        }
        of_processes => panic!("no scenario asks {of_processes:?} of a node over TCP"),
    };
    done.map(|()| Answer::Done).map_err(command_error)
}

/// The handler of this identifier, or one that nobody has.
fn name_of(node: &Node, handler: partisan_proto::HandlerId) -> &str {
    let names = node.config().broadcast.handlers.keys().map(|name| name.as_str());
    let mut names = names.chain(["default"]);
    let is = |name: &&str| node.broadcast_handler(name) == Some(handler);
    names.find(is).unwrap_or("nobody has it")
}

fn options(send: &partisan_proto::Send) -> SendOptions {
    let options = SendOptions::default().channel(send.channel);
    let options = if send.relay { options.relay() } else { options };
    match send.key {
        Some(key) => options.key(key),
        None => options,
    }
}

fn command_error(error: NodeError) -> CommandError {
    match error {
        NodeError::Command(error) => error,
        NodeError::Stopped => CommandError::Stopping,
        error => panic!("{error}"),
    }
}

/// The same configuration with short intervals.
fn hasten(mut config: Config) -> Config {
    let connections = &mut config.connections;
    connections.retry_least = Duration::from_millis(20);
    connections.retry_most = Duration::from_millis(200);
    connections.dial_grace = Duration::from_millis(200);
    connections.keep_alive.idle_timeout = Duration::from_millis(250);
    connections.keep_alive.ping_timeout = Duration::from_secs(1);
    match &mut config.manager {
        ManagerConfig::Pluggable(pluggable) => {
            pluggable.gossip_interval = Duration::from_millis(200);
            pluggable.news_interval = Duration::from_millis(5);
        }
        ManagerConfig::ClientServer(star) => {
            star.gossip_interval = Duration::from_millis(200);
            star.news_interval = Duration::from_millis(5);
            star.retry_least = Duration::from_millis(20);
            star.retry_most = Duration::from_millis(200);
        }
        ManagerConfig::Static(fixed) => fixed.verify_interval = Duration::from_millis(200),
        _ => {}
    }
    config
}
