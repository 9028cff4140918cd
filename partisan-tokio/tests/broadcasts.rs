//! Broadcasts over TCP: what is received, what slow subscribers and bad stores do to others.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use partisan_proto::config::{HandlerOptions, ManagerConfig, StaticConfig, StoreConfig};
use partisan_proto::wire::BroadcastMessage;
use partisan_proto::{Fetched, HandlerName, MessageId};
use partisan_tokio::{
    Broadcast, BroadcastHandler, Broadcasts, CommandError, Config, DriverConfig, HandlerError,
    Node, NodeError, Overflow, ReceivedBroadcast, SendError, SendOptions,
};
use support::{DEADLINE, config, contact, eventually, pair, pair_of, settings, soon};

async fn next(broadcasts: &mut Broadcasts) -> ReceivedBroadcast {
    match soon(broadcasts.recv()).await.expect("the node has stopped") {
        Broadcast::Message(message) => message,
        Broadcast::Missed(count) => panic!("{count} missed"),
    }
}

fn subscribe(node: &Node) -> Broadcasts {
    node.broadcasts("default", Overflow::Wait).unwrap()
}

/// Nodes that list their predecessor and their successor alone.
async fn line(count: usize, config: &Config) -> Vec<Node> {
    let manager = ManagerConfig::Static(StaticConfig::default());
    let config = Config { manager, ..config.clone() };
    let driver =
        DriverConfig { answer_deadline: Duration::from_millis(100), ..DriverConfig::default() };
    let mut nodes: Vec<Node> = Vec::new();
    for number in 0..count {
        let settings = settings(&format!("n{number}@127.0.0.1"));
        let settings = settings.config(config.clone()).driver(driver.clone());
        let node = Node::start(settings).await.unwrap();
        if let Some(before) = nodes.last() {
            node.sync_join(contact(before), DEADLINE).await.unwrap();
            before.sync_join(contact(&node), DEADLINE).await.unwrap();
        }
        nodes.push(node);
    }
    for (number, node) in nodes.iter().enumerate() {
        let expected = usize::from(number > 0) + usize::from(number + 1 < count);
        node.wait_until(DEADLINE, |view| view.neighbors.len() == expected).await.unwrap();
    }
    nodes
}

#[tokio::test]
async fn typed_and_raw_broadcasts_reach_all_once_with_what_is_told_of_them() {
    let nodes = line(3, &config()).await;
    let mut all: Vec<Broadcasts> = nodes.iter().map(subscribe).collect();
    let typed = nodes[0].broadcast("default", &("hi", 7_u32)).await.unwrap();
    let (key, payload) = (Bytes::from_static(b"key"), Bytes::from_static(b"\xff\0"));
    let raw = nodes[2].broadcast_bytes("default", key.clone(), payload.clone()).await.unwrap();
    for (number, received) in all.iter_mut().enumerate() {
        let mut both = [next(received).await, next(received).await];
        both.sort_by_key(|message| message.id() == raw);
        let [first, second] = both;
        assert_eq!((first.id(), first.from()), (typed, nodes[0].id()));
        assert_eq!(usize::from(first.hops()), number, "one hop each");
        assert_eq!(first.decode::<(String, u32)>().unwrap(), ("hi".into(), 7));
        assert_eq!((second.id(), second.from()), (raw, nodes[2].id()));
        assert_eq!((second.key(), second.payload()), (&key, &payload));
        assert!(second.decode::<String>().is_err());
        assert_eq!(received.try_recv(), None);
    }
}

#[tokio::test]
async fn what_cannot_be_broadcast_is_refused_with_the_reason() {
    let (a, _b) = pair().await;
    let unknown = a.broadcast("nobody", "x").await;
    assert_eq!(unknown, Err(SendError::UnknownHandler("nobody".into())));
    let unknown = a.broadcasts("nobody", Overflow::Wait).unwrap_err();
    assert_eq!(unknown, NodeError::UnknownHandler("nobody".into()));
    let long = Bytes::from(vec![0; (1 << 20) + 1]);
    let long = a.broadcast_bytes("default", Bytes::new(), long).await;
    assert!(matches!(long, Err(SendError::Command(CommandError::BroadcastTooLarge { .. }))));
    let store = a.keep_broadcasts("default", Moody::new().0).unwrap_err();
    assert!(matches!(store, NodeError::NotAStore(_)), "{store}");
    a.shutdown().await;
    assert!(matches!(a.broadcast("default", "x").await, Err(SendError::Stopped)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_waits_misses_nothing_and_holds_back_the_sender() {
    let small =
        DriverConfig { mailbox_messages: 4, loop_bytes: 64 << 10, ..DriverConfig::default() };
    let b = settings("b@127.0.0.1").driver(small);
    let (a, b) = pair_of(settings("a@127.0.0.1"), b).await;
    b.wait_until(DEADLINE, |view| !view.neighbors.is_empty()).await.unwrap();
    let mut slow = subscribe(&b);
    let payload = |number: u32| {
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(100_000, 0);
        Bytes::from(payload)
    };
    // As long as nobody reads, so many go, and then the sender is told.
    let mut number = 0;
    while a.broadcast_bytes("default", Bytes::new(), payload(number)).await.is_ok() {
        number += 1;
        assert!(number < 1_000, "100 MB for a queue of four messages");
    }
    // Whatever is read goes to the queue; so this holds at any time.
    let received = b.counters().protocol.broadcast.received;
    assert!(received < 20, "{received} were read, though four fill the queue");
    assert!(b.is_connected(a.id()), "the control traffic goes on");
    let count = number + 50;
    let sender = tokio::spawn(async move {
        while number < count {
            match a.broadcast_bytes("default", Bytes::new(), payload(number)).await {
                Ok(_) => number += 1,
                Err(SendError::Command(CommandError::QueueFull(_))) => {
                    tokio::task::yield_now().await;
                }
                Err(error) => panic!("{error}"),
            }
        }
        a
    });
    let mut numbers: Vec<u32> = Vec::new();
    while numbers.len() < count as usize {
        let message = next(&mut slow).await;
        let (number, rest) = message.payload().split_first_chunk().unwrap();
        assert_eq!(rest.len(), 100_000 - 4);
        numbers.push(u32::from_be_bytes(*number));
    }
    sender.await.unwrap();
    assert_eq!(slow.try_recv(), None);
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..count), "each once");
}

#[tokio::test]
async fn a_subscriber_that_drops_is_told_how_many_and_harms_nobody() {
    let small = DriverConfig { mailbox_messages: 3, ..DriverConfig::default() };
    let (a, b) = pair_of(settings("a@127.0.0.1"), settings("b@127.0.0.1").driver(small)).await;
    let mut slow = b.broadcasts("default", Overflow::DropOldest).unwrap();
    for number in 0..50_u32 {
        a.broadcast("default", &number).await.unwrap();
    }
    eventually(|| b.counters().protocol.broadcast.delivered == 50).await;
    let mut inbox = b.inbox().unwrap();
    a.send(b.id(), "after all", &SendOptions::default()).await.unwrap();
    soon(inbox.recv()).await.unwrap();
    assert_eq!(slow.try_recv(), Some(Broadcast::Missed(47)));
    for _ in 47..50 {
        next(&mut slow).await;
    }
    assert_eq!(slow.try_recv(), None);
}

/// What a store was given, in order.
type Given = Arc<Mutex<Vec<String>>>;

/// Keeps messages; on "panic" it panics, on "stall" it never answers.
struct Moody(Given);

impl Moody {
    fn new() -> (Self, Given) {
        let given = Given::default();
        (Self(Arc::clone(&given)), given)
    }
}

impl BroadcastHandler for Moody {
    async fn merge(&mut self, message: Arc<BroadcastMessage>) -> Result<bool, HandlerError> {
        let text = String::from_utf8(message.payload.to_vec())?;
        self.0.lock().unwrap().push(text.clone());
        match &text[..] {
            "panic" => panic!("on purpose"),
            "stall" => std::future::pending().await,
            _ => Ok(true),
        }
    }

    async fn is_stale(&mut self, _: MessageId, _: Bytes) -> bool {
        false
    }

    async fn fetch(&mut self, _: MessageId, _: Bytes) -> Fetched {
        Fetched::Missing
    }
}

/// A store that is as it should be.
struct Sound(Given);

impl BroadcastHandler for Sound {
    async fn merge(&mut self, message: Arc<BroadcastMessage>) -> Result<bool, HandlerError> {
        let text = String::from_utf8(message.payload.to_vec())?;
        let mut given = self.0.lock().unwrap();
        let news = !given.contains(&text);
        if news {
            given.push(text);
        }
        Ok(news)
    }

    async fn is_stale(&mut self, _: MessageId, key: Bytes) -> bool {
        self.0.lock().unwrap().iter().any(|text| text.as_bytes() == key)
    }

    async fn fetch(&mut self, _: MessageId, key: Bytes) -> Fetched {
        let given = self.0.lock().unwrap();
        let found = given.iter().find(|text| text.as_bytes() == key);
        found.map_or(Fetched::Missing, |text| Fetched::Found(text.clone().into()))
    }
}

fn with_store() -> Config {
    let mut config = config();
    let options = HandlerOptions { store: StoreConfig::Application, ..HandlerOptions::default() };
    config.broadcast.handlers.insert(HandlerName::new("kv").unwrap(), options);
    config
}

async fn put(node: &Node, text: &'static str) {
    let bytes = Bytes::from_static(text.as_bytes());
    node.broadcast_bytes("kv", bytes.clone(), bytes).await.unwrap();
}

#[tokio::test]
async fn a_store_that_panics_or_stalls_harms_nobody() {
    let nodes = line(3, &with_store()).await;
    let (moody, asked) = Moody::new();
    let kept = Given::default();
    let _moody = nodes[1].keep_broadcasts("kv", moody).unwrap();
    let _sound = nodes[2].keep_broadcasts("kv", Sound(Arc::clone(&kept))).unwrap();
    let again = nodes[2].keep_broadcasts("kv", Sound(Given::default()));
    assert!(matches!(again, Err(NodeError::Registered(_))), "one at a time");
    let mut plain = subscribe(&nodes[2]);
    for text in ["before", "panic", "between", "stall", "after"] {
        put(&nodes[0], text).await;
    }
    // Those who wait for no store are not held up by it, and go by the same node.
    nodes[0].broadcast("default", "plain").await.unwrap();
    assert_eq!(next(&mut plain).await.decode::<String>().unwrap(), "plain");
    eventually(|| {
        let kept = kept.lock().unwrap();
        ["before", "between", "after"].iter().all(|text| kept.iter().any(|found| found == text))
    })
    .await;
    let asked = asked.lock().unwrap().clone();
    for text in ["before", "panic", "between", "stall", "after"] {
        assert!(asked.iter().any(|found| found == text), "never asked about {text}: {asked:?}");
    }
    assert!(nodes[1].counters().protocol.broadcast.failed_questions >= 2);
    let mut inbox = nodes[1].inbox().unwrap();
    nodes[0].send(nodes[1].id(), "as ever", &SendOptions::default()).await.unwrap();
    soon(inbox.recv()).await.unwrap();
}

#[tokio::test]
async fn a_store_is_given_what_others_broadcast_and_nothing_after_its_registration_ended() {
    let nodes = line(2, &with_store()).await;
    let kept = Given::default();
    let registration = nodes[1].keep_broadcasts("kv", Sound(Arc::clone(&kept))).unwrap();
    put(&nodes[0], "one").await;
    eventually(|| *kept.lock().unwrap() == ["one"]).await;
    drop(registration);
    put(&nodes[0], "two").await;
    eventually(|| nodes[1].counters().protocol.broadcast.failed_questions > 0).await;
    let again = nodes[1].keep_broadcasts("kv", Sound(Arc::clone(&kept)));
    let _again = again.expect("its place is free");
    put(&nodes[0], "three").await;
    eventually(|| kept.lock().unwrap().iter().any(|text| text == "three")).await;
}
