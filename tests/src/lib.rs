//! What scenarios need: a cluster that runs in the simulator or over real TCP.
//!
//! A scenario is written once, as a function of a [`Cluster`]; [`simulated`] runs it over many
//! seeds in virtual time, [`over_tcp`] with real nodes on this machine. It waits for conditions
//! ([`Cluster::wait`]), never for time.

mod probe;
mod simulated;
mod tcp;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use partisan_proto::interposition::Interposer;
use partisan_proto::process::Actor;
use partisan_proto::wire::{Destination, PartitionId};
use partisan_proto::{
    Answer, Broadcast, BroadcastTree, ChannelId, ChannelName, ChannelOptions, Channels, Command,
    CommandError, Config, ConnectionInfo, Contact, Counters, Delivery, Duration, HandlerId,
    HandlerName, LabelId, Member, MessageId, NodeId, NodeSpec, Notification, ProcessId, Routes,
    Send, SendReliable, Tag,
};

pub use partisan_sim::Restart;
pub use probe::{Notice, Probe};
pub use simulated::{Simulated, simulated, simulated_with_faults};
pub use tcp::{Tcp, over_tcp};

/// A command that was given; its answer comes, perhaps later, under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    node: usize,
    number: u64,
}

/// A broadcast that a node was handed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which message.
    pub id: MessageId,
    /// What it says.
    pub payload: Bytes,
}

/// The answer to a command.
pub type Answered = Result<Answer, CommandError>;

/// Nodes, counted from 0, that a scenario starts, commands and observes.
///
/// What is told of a dead node is what it was when it died, or nothing.
pub trait Cluster: Sized {
    /// Starts one more node, alone; says its number.
    fn add(&mut self, config: Config) -> usize;

    /// As [`Cluster::add`]; the node tells others these tags.
    fn add_tagged(&mut self, config: Config, tags: Vec<Tag>) -> usize;

    /// How many nodes there are, dead ones included.
    fn size(&self) -> usize;

    /// Gives a node a command.
    fn ask(&mut self, node: usize, command: Command) -> Asked;

    /// What became of a command, once that is known.
    fn answer(&self, asked: Asked) -> Option<Answered>;

    /// What a node tells, or told last, about itself.
    fn spec(&self, node: usize) -> Arc<NodeSpec>;

    /// All members that a node knows.
    fn members(&self, node: usize) -> Vec<Member>;

    /// A node's open connections.
    fn connections(&self, node: usize) -> Vec<ConnectionInfo>;

    /// A node's sessions.
    fn routes(&self, node: usize) -> Routes;

    /// The injected partitions that a node is in, and to whom it sends nothing for each.
    fn partitions(&self, node: usize) -> Vec<(PartitionId, NodeId)>;

    /// How often what happened to a node in its present life.
    fn counters(&self, node: usize) -> Counters;

    /// What a node has received in its present life.
    fn deliveries(&self, node: usize) -> Vec<Delivery>;

    /// The broadcasts that a node was handed in its present life, of all handlers that keep none.
    fn broadcasts(&self, node: usize) -> Vec<Told>;

    /// How broadcasts of another travel through a live node.
    fn tree(&self, node: usize, root: usize) -> BroadcastTree;

    /// What a node has told its application in its present life.
    fn notifications(&self, node: usize) -> Vec<Notification>;

    /// A node dies without a word; its peers' systems notice at once.
    fn crash(&mut self, node: usize);

    /// A dead node starts again.
    fn restart(&mut self, node: usize, how: Restart);

    /// Gives a dead node another configuration for its next life.
    fn reconfigure(&mut self, node: usize, config: Config);

    /// Brings a process to life on a live node.
    fn spawn(&mut self, node: usize, actor: impl Actor + 'static, trap_exit: bool) -> ProcessId;

    /// What a process is to call whenever a condition could depend on what it has done.
    fn notice(&self) -> Notice;

    /// Shows every message that leaves a live node or comes to it to `interposer`, in its present
    /// life.
    fn interpose(&mut self, node: usize, name: &str, interposer: impl Interposer + 'static);

    /// Asks an interposer no more; says whether there was one of this name.
    fn remove_interposer(&mut self, node: usize, name: &str) -> bool;

    /// Waits until the condition holds.
    ///
    /// # Panics
    /// When it does not within any sensible time.
    fn wait(&mut self, what: &str, done: impl Fn(&Self) -> bool);

    /// Lets what should not happen happen: some minutes of virtual time, or what the machine does
    /// until a message has gone back and forth on every open connection.
    fn rest(&mut self);

    /// Starts so many nodes of one configuration, alone.
    fn start(&mut self, count: usize, config: &Config) {
        for _ in 0..count {
            self.add(config.clone());
        }
    }

    /// Starts so many nodes, joins them through the first, and waits until they are a mesh.
    fn form(&mut self, count: usize, config: &Config) {
        self.start(count, config);
        for node in 1..count {
            self.join(node, 0);
        }
        self.wait_for_mesh(&Vec::from_iter(0..count));
    }

    /// A node's identifier.
    fn id(&self, node: usize) -> NodeId {
        self.spec(node).id()
    }

    /// How to join a node, by its address alone.
    fn contact(&self, node: usize) -> Contact {
        let addresses = self.spec(node).addresses().to_vec();
        Contact { name: None, addresses }
    }

    /// One node joins another, known by its address.
    fn join(&mut self, node: usize, contact: usize) -> Asked {
        let contact = self.contact(contact);
        self.ask(node, Command::Join(contact))
    }

    /// As [`Cluster::join`], answered when the node is connected and informed.
    fn sync_join(&mut self, node: usize, contact: usize, deadline: Duration) -> Asked {
        let contact = self.contact(contact);
        self.ask(node, Command::SyncJoin { contact, deadline })
    }

    /// One node removes another from the cluster.
    fn remove(&mut self, node: usize, other: usize) -> Asked {
        let other = self.id(other);
        self.ask(node, Command::Remove(other))
    }

    /// One node sends a message to another's inbox.
    fn send(&mut self, from: usize, to: usize, how: (ChannelId, Option<u64>), text: &str) -> Asked {
        let (channel, key) = how;
        let send = Send {
            to: self.id(to),
            channel,
            key,
            destination: Destination::Inbox,
            relay: false,
            payload: text.to_owned().into_bytes().into(),
        };
        self.ask(from, Command::Send(send))
    }

    /// One node sends a message that must arrive to another's inbox.
    fn send_reliable(
        &mut self,
        from: usize,
        to: usize,
        label: Option<LabelId>,
        text: &str,
    ) -> Asked {
        let send = SendReliable { label, ..reliable(self.id(to), text) };
        self.ask(from, Command::SendReliable(Box::new(send)))
    }

    /// As [`Cluster::send_reliable`], without a label, and perhaps by way of other nodes.
    fn send_reliable_by(&mut self, from: usize, to: usize, relay: bool, text: &str) -> Asked {
        let send = SendReliable { relay, ..reliable(self.id(to), text) };
        self.ask(from, Command::SendReliable(Box::new(send)))
    }

    /// A node broadcasts to a handler; says under which identifier.
    ///
    /// # Panics
    /// When it is refused.
    fn broadcast(&mut self, node: usize, handler: &str, text: &str) -> MessageId {
        let name = HandlerName::new(handler).expect("a good name");
        let payload = text.to_owned().into_bytes().into();
        let broadcast = Broadcast { handler: HandlerId::of(&name), key: Bytes::new(), payload };
        let asked = self.ask(node, Command::Broadcast(broadcast));
        match self.wait_for_answer(asked) {
            Ok(Answer::Broadcast(id)) => id,
            other => panic!("{other:?}"),
        }
    }

    /// The texts that were broadcast by one node and handed to another in its present life, in
    /// order of arrival.
    fn heard(&self, node: usize, from: usize) -> Vec<String> {
        let from = self.id(from);
        let broadcasts = self.broadcasts(node);
        let of_peer = broadcasts.iter().filter(|message| message.id.origin.node == from);
        of_peer.map(|message| String::from_utf8_lossy(&message.payload).into_owned()).collect()
    }

    /// Waits for the answer to a command.
    fn wait_for_answer(&mut self, asked: Asked) -> Answered {
        self.wait("the answer", |cluster| cluster.answer(asked).is_some());
        self.answer(asked).expect("just waited for")
    }

    /// Waits until a node has told something like this.
    fn wait_for_note(&mut self, node: usize, what: &str, matches: impl Fn(&Notification) -> bool) {
        self.wait(what, |cluster| cluster.notifications(node).iter().any(&matches));
    }

    /// Waits until these nodes are members of one cluster and nobody else is, and all are connected
    /// to each other and to nobody else.
    fn wait_for_mesh(&mut self, nodes: &[usize]) {
        self.wait(&format!("a mesh of {nodes:?}"), |cluster| cluster.is_mesh(nodes));
    }

    /// Whether these nodes are members of one cluster and nobody else is, and all are connected to
    /// each other, by every lane, and to nobody else.
    fn is_mesh(&self, nodes: &[usize]) -> bool {
        let ids = Vec::from_iter(nodes.iter().map(|node| self.id(*node)));
        let connected = |node: &usize| {
            let routes = self.routes(*node);
            let full = |id: &NodeId| routes.peer(*id).is_some_and(|peer| peer.is_full());
            let others = ids.iter().filter(|id| **id != self.id(*node));
            routes.peers().count() == others.clone().count() && others.into_iter().all(full)
        };
        self.agree(nodes) && nodes.iter().all(connected)
    }

    /// Whether these nodes know each other and nobody else as members.
    fn agree(&self, nodes: &[usize]) -> bool {
        let expected = BTreeSet::from_iter(nodes.iter().map(|node| self.id(*node)));
        let known = |node: &usize| self.member_ids(*node);
        nodes.iter().all(|node| known(node) == expected)
    }

    /// The identifiers of the members that a node knows.
    fn member_ids(&self, node: usize) -> BTreeSet<NodeId> {
        let members = self.members(node);
        members.iter().map(|member| member.spec.id()).collect()
    }

    /// Whether a node knows another as a member.
    fn knows(&self, node: usize, other: usize) -> bool {
        self.member_ids(node).contains(&self.id(other))
    }

    /// Whether a node is connected to another by every lane.
    fn is_connected(&self, node: usize, other: usize) -> bool {
        let routes = self.routes(node);
        routes.peer(self.id(other)).is_some_and(|routes| routes.is_full())
    }

    /// How many connections a node has to another for a channel.
    fn lanes(&self, node: usize, other: usize, channel: ChannelId) -> usize {
        let other = self.id(other);
        let connections = self.connections(node);
        let of_channel = |info: &&ConnectionInfo| info.peer == other && info.channel == channel;
        connections.iter().filter(of_channel).count()
    }

    /// The messages that a node has received from another in its present life, in order.
    fn texts(&self, node: usize, from: usize) -> Vec<String> {
        let from = self.id(from);
        let deliveries = self.deliveries(node);
        let of_peer = deliveries.iter().filter(|delivery| delivery.from == from);
        let text = |delivery: &Delivery| String::from_utf8_lossy(&delivery.payload).into_owned();
        of_peer.map(text).collect()
    }

    /// Every one of these nodes sends one message to every other on a channel; each must arrive
    /// exactly once, and nothing else from them.
    fn exchange(&mut self, nodes: &[usize], how: (ChannelId, Option<u64>)) {
        let mut expected = BTreeMap::new();
        for from in nodes.iter().copied() {
            for to in nodes.iter().copied().filter(|to| *to != from) {
                let mut texts = self.texts(to, from);
                let text = format!("{from}->{to} #{}", texts.len());
                let asked = self.send(from, to, how, &text);
                assert_eq!(self.wait_for_answer(asked), Ok(Answer::Done), "{text}");
                texts.push(text);
                expected.insert((to, from), texts);
            }
        }
        let arrived = |cluster: &Self, (to, from): (usize, usize)| cluster.texts(to, from);
        let count = |cluster: &Self| {
            let mut pairs = expected.iter();
            pairs.all(|(pair, texts)| arrived(cluster, *pair).len() >= texts.len())
        };
        self.wait("every message", count);
        for (pair, texts) in &expected {
            let mut found = arrived(self, *pair);
            found.sort_unstable();
            let mut texts = texts.clone();
            texts.sort_unstable();
            assert_eq!(found, texts, "(to, from) = {pair:?}");
        }
    }

    /// Panics unless ups and downs alternate on every node, for each peer and each channel.
    fn check_alternation(&self) {
        for node in 0..self.size() {
            let mut up = BTreeSet::new();
            for note in self.notifications(node) {
                let (what, begins) = match &note {
                    Notification::NodeUp { instance, .. } => ((instance.node, None), true),
                    Notification::NodeDown { instance, .. } => ((instance.node, None), false),
                    Notification::ChannelUp { node, channel } => ((*node, Some(*channel)), true),
                    Notification::ChannelDown { node, channel } => ((*node, Some(*channel)), false),
                    _ => continue,
                };
                let fine = match begins {
                    true => up.insert(what),
                    false => up.remove(&what),
                };
                assert!(fine, "on node {node} twice in a row: {note:?}");
            }
        }
    }

    /// What a failed wait should show.
    fn summary(&self) -> String {
        let number = |id: NodeId| (0..self.size()).find(|node| self.id(*node) == id);
        let line = |node: usize| {
            let members = Vec::from_iter(self.member_ids(node).into_iter().map(number));
            let routes = self.routes(node);
            let peers = routes.peers();
            let peers =
                Vec::from_iter(peers.map(|peer| (number(peer.instance.node), peer.is_full())));
            format!("\n  node {node} knows {members:?}, is connected to {peers:?}")
        };
        (0..self.size()).map(line).collect()
    }
}

/// A message that must arrive at an inbox.
fn reliable(to: NodeId, text: &str) -> SendReliable {
    SendReliable::new(to, text.to_owned().into_bytes())
}

/// The default configuration with these channels and numbers of lanes.
///
/// # Panics
/// When they are not valid.
#[must_use]
pub fn with_channels(channels: &[(&str, u8)]) -> Config {
    let named = channels.iter().map(|(name, parallelism)| {
        let name = ChannelName::new(name).expect("a good name");
        let parallelism = *parallelism;
        (name, ChannelOptions::lanes(parallelism))
    });
    Config { channels: Channels::new(named).expect("good channels"), ..Config::default() }
}

/// Whether a notification tells the end of a session with this node.
#[must_use]
pub fn is_down(note: &Notification, node: NodeId) -> bool {
    matches!(note, Notification::NodeDown { instance, .. } if instance.node == node)
}

/// Whether a notification tells that this node became a member.
#[must_use]
pub fn is_joined(note: &Notification, node: NodeId) -> bool {
    matches!(note, Notification::MemberJoined { spec, .. } if spec.id() == node)
}

/// The examples of the README compile and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
