//! Messages between nodes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use partisan_proto::ChannelOptions;
use partisan_tokio::{
    ChannelName, Channels, Config, Contact, Mailbox, Node, NodeId, NodeName, SendOptions, Settings,
};

use crate::link::{Link, PINGERS, Ping, pinger};
use crate::peer::count;

/// The channel with four lanes.
pub(crate) const WIDE: &str = "wide";
/// Channels of one lane each, besides the default one.
pub(crate) const OTHER: &str = "other";
pub(crate) const STALLED: [&str; 2] = ["stalled-1", "stalled-2"];
/// The mailbox whose messages are echoed.
const ECHO: &str = "echo";

/// Starts a node with the channels of the measurements.
pub(crate) async fn start(name: &str) -> Node {
    let channel = |name, parallelism| {
        let name = ChannelName::new(name).expect("a legal name");
        (name, ChannelOptions::lanes(parallelism))
    };
    let [small, large] = STALLED;
    let list = [(WIDE, 4), (OTHER, 1), (small, 1), (large, 1)];
    let config = Config {
        channels: Channels::new(list.map(|(name, lanes)| channel(name, lanes))).expect("legal"),
        ..Config::default()
    };
    let name = NodeName::new(name).expect("a legal name");
    Node::start(Settings::new(name).config(config)).await.expect("a free port")
}

/// Joins `contact` and waits for every lane.
pub(crate) async fn join(node: &Node, contact: Contact) -> NodeId {
    let patience = Duration::from_secs(20);
    node.sync_join(contact, patience).await.expect("the peer is there");
    let peer = node.peers()[0];
    let full = node.wait_until(patience, |view| view.is_fully_connected(peer));
    full.await.expect("every lane is dialled");
    peer
}

/// A channel to the peer.
#[derive(Clone, Debug)]
pub(crate) struct Lanes {
    node: Arc<Node>,
    peer: NodeId,
    options: SendOptions,
}

impl Lanes {
    pub(crate) fn new(node: &Arc<Node>, peer: NodeId, channel: Option<&str>) -> Self {
        let mut options = SendOptions::default();
        if let Some(name) = channel {
            options = options.channel(node.channel(name).expect("one of ours"));
        }
        let node = Arc::clone(node);
        Self { node, peer, options }
    }

    /// To a mailbox of the peer instead of its inbox.
    pub(crate) fn to(mut self, mailbox: &str) -> Self {
        self.options = self.options.destination(mailbox).expect("a legal name");
        self
    }

    /// Whether there was room.
    pub(crate) fn try_send(&self, payload: &Bytes) -> bool {
        match self.node.try_send_bytes(self.peer, payload, &self.options) {
            Ok(()) => true,
            Err(error) if error.is_full() => false,
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn pinger(&self, number: usize) -> NodePing {
        let pongs = self.node.register(&pong(number)).expect("one pinger a number");
        let lanes = self.clone().to(ECHO);
        NodePing { lanes, pongs }
    }
}

impl Link for Lanes {
    fn number(&mut self, _number: usize) {}

    async fn send(&mut self, payload: Bytes) {
        let sent = self.node.send_bytes(self.peer, payload, &self.options);
        sent.await.expect("the peer is there");
    }
}

/// A pinger over nodes.
#[derive(Debug)]
pub(crate) struct NodePing {
    lanes: Lanes,
    pongs: Mailbox,
}

impl Ping for NodePing {
    async fn ping(&mut self, payload: Bytes) {
        self.lanes.send(payload).await;
        self.pongs.recv().await.expect("the node runs");
    }
}

fn pong(number: usize) -> String {
    format!("pong-{number}")
}

/// Counts what arrives in the inbox.
pub(crate) async fn sink(mut inbox: Mailbox) {
    while inbox.recv().await.is_some() {
        count(1);
    }
}

/// Echoes pings, on the channel they came by.
pub(crate) async fn echo(node: Arc<Node>) {
    let mut pings = node.register(ECHO).expect("registered once");
    let back = |number| SendOptions::default().destination(&pong(number)).expect("legal");
    let back: Vec<_> = (0..PINGERS).map(back).collect();
    while let Some(ping) = pings.recv().await {
        let options = back[pinger(&ping.payload)].clone().channel(ping.channel);
        // Whoever pinged may be gone.
        let _ = node.send_bytes(ping.from, ping.payload, &options).await;
    }
}
