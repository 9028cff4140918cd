//! What the tests of the driver have in common.
#![allow(dead_code, unreachable_pub, missing_docs)]

pub mod proxy;

use std::time::Duration;

use partisan_proto::Epoch;
use partisan_proto::wire::{self, Confirm, ControlMessage, Decoded, Frame, Hello};
use partisan_tokio::{
    Address, Channels, ClusterName, Config, Contact, Node, NodeName, NodeSpec, Notification,
    Settings,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Long enough for any machine, since no test waits that long when all is well.
pub const DEADLINE: Duration = Duration::from_secs(30);

pub fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

pub fn address(text: &str) -> Address {
    text.parse().unwrap()
}

pub fn settings(text: &str) -> Settings {
    Settings::new(name(text)).config(config())
}

/// Quick retries, so that tests need not wait for them, and a channel of four lanes.
pub fn config() -> Config {
    let options = partisan_proto::ChannelOptions::lanes(4);
    let bulk = partisan_tokio::ChannelName::new("bulk").unwrap();
    let mut config = Config {
        channels: Channels::new([(bulk, options)]).unwrap(),
        cluster: ClusterName::new("test").unwrap(),
        ..Config::default()
    };
    config.connections.retry_least = Duration::from_millis(50);
    config.connections.retry_most = Duration::from_millis(200);
    config
}

pub async fn start(text: &str) -> Node {
    Node::start(settings(text)).await.unwrap()
}

pub fn contact(node: &Node) -> Contact {
    Contact::from(&*node.spec())
}

/// Two nodes, joined, with every lane open on both sides.
pub async fn pair() -> (Node, Node) {
    pair_of(settings("a@127.0.0.1"), settings("b@127.0.0.1")).await
}

pub async fn pair_of(a: Settings, b: Settings) -> (Node, Node) {
    let (a, b) = (Node::start(a).await.unwrap(), Node::start(b).await.unwrap());
    b.sync_join(contact(&a), DEADLINE).await.unwrap();
    fully_connected(&a, &b).await;
    fully_connected(&b, &a).await;
    (a, b)
}

pub async fn fully_connected(here: &Node, there: &Node) {
    let id = there.id();
    here.wait_until(DEADLINE, |view| view.is_fully_connected(id)).await.unwrap();
}

/// Runs `future` within the deadline of all tests.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("not within the deadline")
}

/// Waits for a notification.
pub async fn notified(
    events: &mut partisan_tokio::EventStream,
    wanted: impl Fn(&Notification) -> bool,
) -> Notification {
    soon(async {
        loop {
            match events.next().await.expect("the node has stopped") {
                partisan_tokio::NodeEvent::Notification(found) if wanted(&found) => return found,
                _ => {}
            }
        }
    })
    .await
}

/// Waits until `condition` holds of what is counted or received, which no event tells.
pub async fn eventually(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A TCP client that is no node.
pub struct RawPeer {
    pub stream: TcpStream,
    read: bytes::BytesMut,
}

impl RawPeer {
    pub async fn connect(node: &Node) -> Self {
        let text = node.spec().addresses()[0].to_string();
        let stream = TcpStream::connect(text).await.unwrap();
        Self { stream, read: bytes::BytesMut::new() }
    }

    /// Follows the handshake to its end, as a member called raw@h; says the session's epoch.
    pub async fn open(node: &Node, channel: &str, epoch: Epoch) -> (Self, Epoch) {
        let mut raw = Self::connect(node).await;
        let cluster = node.config().cluster.clone();
        let mut hello =
            Hello::of_stranger(cluster, name("raw@h"), channel.parse().unwrap(), [7; 32]);
        hello.epoch = epoch;
        raw.send(&Frame::Hello(Box::new(hello))).await;
        let spec = NodeSpec::new(name("raw@h"), vec![], &Channels::default(), vec![]).unwrap();
        let spec = (channel == "membership").then(|| spec.into());
        let confirm = Confirm { proof: None, spec, known: None };
        raw.send(&Frame::Control(ControlMessage::Confirm(Box::new(confirm)))).await;
        loop {
            match raw.next_frame().await {
                Some(Frame::Control(ControlMessage::Accept(accept))) => return (raw, accept.epoch),
                Some(Frame::Hello(_)) => {}
                other => panic!("no end of the handshake: {other:?}"),
            }
        }
    }

    /// The next frame; `None` once the node has closed the connection.
    pub async fn next_frame(&mut self) -> Option<Frame> {
        soon(async {
            loop {
                match wire::decode(&mut self.read, 1 << 20) {
                    Ok(Decoded::Frame(frame)) => return Some(frame),
                    Ok(_) => {}
                    Err(error) => panic!("the node sends what cannot be read: {error}"),
                }
                if !matches!(self.stream.read_buf(&mut self.read).await, Ok(1..)) {
                    return None;
                }
            }
        })
        .await
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub async fn send(&mut self, frame: &Frame) {
        let mut bytes = Vec::new();
        wire::encode(frame, &mut bytes);
        self.write(&bytes).await;
    }

    /// All frames until the node closes the connection.
    pub async fn frames_until_closed(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next_frame().await {
            frames.push(frame);
        }
        frames
    }
}
