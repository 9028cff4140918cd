//! Peers that do not keep to the rules: each harms its own connection alone.

mod support;

use std::time::Duration;

use partisan_proto::config::Secret;
use partisan_proto::wire::{
    BroadcastMessage, Cargo, ControlMessage, Destination, Frame, Hello, PartitionId,
    PartitionMessage, RelayFailure, RelayHeader, RelayId, RelayMessage, RelayNotice,
};
use partisan_proto::{
    Epoch, HandlerId, Incarnation, Instance, JoinError, MessageId, NodeId, Refusal,
};
use partisan_tokio::{
    ClusterName, CommandError, Config, Node, NodeError, Notification, Overflow, SendOptions,
};
use support::{
    DEADLINE, RawPeer, config, contact, eventually, name, notified, pair, settings, soon,
};

/// The pair is as well as ever.
async fn unharmed(a: &Node, b: &Node) {
    unharmed_by_a_member(a, b).await;
    assert_eq!(a.counters().protocol.sessions, 1, "the session has not moved");
}

/// Messages and broadcasts arrive, over the one session that there ever was.
async fn unharmed_by_a_member(a: &Node, b: &Node) {
    let (mut inbox, mut broadcasts) =
        (a.inbox().unwrap(), a.broadcasts("default", Overflow::Wait).unwrap());
    b.send(a.id(), "still here", &SendOptions::default()).await.unwrap();
    let message = soon(inbox.recv()).await.unwrap();
    assert_eq!(message.decode::<String>().unwrap(), "still here");
    b.broadcast("default", "still here").await.unwrap();
    assert_eq!(soon(broadcasts.next()).await.unwrap().decode::<String>().unwrap(), "still here");
    assert_eq!(b.peer(a.id()).await.unwrap().unwrap().epoch, Some(Epoch(1)));
}

fn hello(cluster: &str) -> Hello {
    let (cluster, channel) = (cluster.parse().unwrap(), "membership".parse().unwrap());
    Hello::of_stranger(cluster, name("raw@h"), channel, [7; 32])
}

#[tokio::test]
async fn garbage_before_the_handshake_closes_that_connection() {
    let (a, b) = pair().await;
    let garbage: [&[u8]; 4] =
        [b"GET / HTTP/1.1\r\n\r\n", &[0, 0, 0, 0], &[0, 0, 0, 2, 77, 0], &[0xff; 64]];
    for (before, bytes) in garbage.into_iter().enumerate() {
        let mut raw = RawPeer::connect(&a).await;
        raw.write(bytes).await;
        assert_eq!(raw.frames_until_closed().await, []);
        soon(async {
            while a.counters().protocol.malformed <= before as u64 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    unharmed(&a, &b).await;
}

#[tokio::test]
async fn an_announced_length_beyond_the_limit_closes_the_connection_at_once() {
    let (a, b) = pair().await;
    let mut raw = RawPeer::connect(&a).await;
    raw.write(&[0x7f, 0xff, 0xff, 0xff, 1]).await;
    assert_eq!(raw.frames_until_closed().await, []);
    unharmed(&a, &b).await;
}

#[tokio::test]
async fn nobody_may_send_long_messages_before_the_end_of_the_handshake() {
    let (a, b) = pair().await;
    let mut raw = RawPeer::connect(&a).await;
    // Within what the node takes from peers, beyond what it takes from strangers.
    raw.write(&[0, 0, 0x10, 0, 1]).await;
    assert_eq!(raw.frames_until_closed().await, []);
    assert_eq!(a.counters().protocol.malformed, 1);
    unharmed(&a, &b).await;
}

#[tokio::test]
async fn a_frame_cut_short_and_a_silent_client_end_with_the_deadline() {
    let mut quick = config();
    quick.connections.handshake_timeout = Duration::from_millis(200);
    let (a, b) = support::pair_of(
        settings("a@127.0.0.1").config(quick.clone()),
        settings("b@127.0.0.1").config(quick),
    )
    .await;
    let mut whole = Vec::new();
    partisan_proto::wire::encode(&Frame::Hello(Box::new(hello("test"))), &mut whole);
    let mut cut = RawPeer::connect(&a).await;
    cut.write(&whole[..whole.len() / 2]).await;
    let mut silent = RawPeer::connect(&a).await;
    let frames = cut.frames_until_closed().await;
    assert!(frames.iter().all(|frame| matches!(frame, Frame::Refuse(_))), "{frames:?}");
    silent.frames_until_closed().await;
    soon(async {
        while a.counters().protocol.handshake_timeouts < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Ended by its own side in the middle of a frame.
    let mut gone = RawPeer::connect(&a).await;
    gone.write(&whole[..7]).await;
    drop(gone);
    unharmed(&a, &b).await;
}

#[tokio::test]
async fn messages_during_the_handshake_are_judged_and_not_delivered() {
    let (a, b) = pair().await;
    let mut raw = RawPeer::connect(&a).await;
    raw.send(&Frame::Hello(Box::new(hello("test")))).await;
    let message = Frame::App {
        destination: Destination::Inbox,
        payload: bytes::Bytes::from_static(b"smuggled"),
    };
    raw.send(&message).await;
    let frames = raw.frames_until_closed().await;
    assert!(!frames.iter().any(|frame| matches!(frame, Frame::App { .. })));
    soon(async {
        while a.counters().protocol.misbehaved == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    unharmed(&a, &b).await;
}

#[tokio::test]
async fn another_cluster_is_refused_with_the_reason() {
    let (a, b) = pair().await;
    let mut raw = RawPeer::connect(&a).await;
    raw.send(&Frame::Hello(Box::new(hello("elsewhere")))).await;
    let frames = raw.frames_until_closed().await;
    assert!(frames.contains(&Frame::Refuse(Refusal::Cluster.into())), "{frames:?}");
    unharmed(&a, &b).await;
}

async fn join_fails(ours: Config, theirs: Config, expected: Refusal) {
    let a = Node::start(settings("a@127.0.0.1").config(theirs)).await.unwrap();
    let b = Node::start(settings("b@127.0.0.1").config(ours)).await.unwrap();
    let mut events = a.events();
    match b.sync_join(contact(&a), DEADLINE).await {
        Err(NodeError::Command(CommandError::Join(JoinError::Refused(refusal)))) => {
            assert_eq!(refusal, expected);
        }
        Err(NodeError::Command(CommandError::JoinTimeout { last })) => {
            assert_eq!(last, Some(JoinError::Refused(expected)));
        }
        other => panic!("{other:?}"),
    }
    let told = |event: &Notification| matches!(event, Notification::PeerRefused { refusal, .. } if *refusal == expected);
    notified(&mut events, told).await;
    assert_eq!(a.members().len(), 1);
}

#[tokio::test]
async fn a_join_with_the_wrong_cluster_fails_with_the_reason() {
    let mut ours = config();
    ours.cluster = ClusterName::new("other").unwrap();
    join_fails(ours, config(), Refusal::Cluster).await;
}

#[tokio::test]
async fn a_join_with_the_wrong_secret_fails_with_the_reason() {
    let with = |secret: &str| Config { secret: Some(Secret(secret.into())), ..config() };
    let right = "a long and secret text";
    join_fails(with("a long and wrong text"), with(right), Refusal::Secret).await;
}

#[tokio::test]
async fn nodes_with_the_same_secret_talk() {
    let with = || Config { secret: Some(Secret("a long and secret text".into())), ..config() };
    let (a, b) = support::pair_of(
        settings("a@127.0.0.1").config(with()),
        settings("b@127.0.0.1").config(with()),
    )
    .await;
    unharmed(&a, &b).await;
}

/// A broadcast of a node that nobody knows, or as changed.
fn broadcast(change: impl FnOnce(&mut BroadcastMessage)) -> Frame {
    let origin = Instance { node: NodeId::from_u64(7), incarnation: Incarnation(1) };
    let mut message = BroadcastMessage {
        id: MessageId { origin, sequence: 1 },
        hops: 1,
        own: false,
        stored: false,
        handler: HandlerId::of(&"default".parse().unwrap()),
        key: bytes::Bytes::new(),
        payload: bytes::Bytes::from_static(b"x"),
    };
    change(&mut message);
    Frame::Broadcast(message.into())
}

/// A message on its way from raw@h to `target`, or as changed.
fn relayed(target: NodeId, change: impl FnOnce(&mut RelayHeader)) -> Frame {
    let (origin, incarnation) = (name("raw@h").id(), Incarnation(1));
    let mut header = RelayHeader {
        id: RelayId { origin, incarnation, sequence: 1 },
        target,
        ttl: 5,
        hops: 1,
        flooded: false,
        key: None,
        cargo: Cargo::Message,
        destination: Destination::Inbox,
    };
    change(&mut header);
    Frame::Relayed { header: Box::new(header), payload: bytes::Bytes::from_static(b"x") }
}

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    partisan_proto::wire::encode(frame, &mut bytes);
    bytes
}

fn control(message: ControlMessage) -> Frame {
    Frame::Control(message)
}

#[tokio::test]
async fn messages_for_others_on_the_membership_channel_end_the_session() {
    let (a, b) = pair().await;
    let frames = [broadcast(|_| {}), relayed(b.id(), |_| {})];
    let mut epoch = Epoch(0);
    for (before, frame) in frames.iter().enumerate() {
        let (mut raw, session) = RawPeer::open(&a, "membership", epoch).await;
        epoch = session;
        raw.send(frame).await;
        raw.frames_until_closed().await;
        eventually(|| a.counters().protocol.misbehaved > before as u64).await;
    }
    unharmed_by_a_member(&a, &b).await;
}

#[tokio::test]
async fn headers_that_cannot_be_close_their_connection_alone() {
    let (a, b) = pair().await;
    let (anchor, epoch) = RawPeer::open(&a, "membership", Epoch(0)).await;
    // The flags of a broadcast, and of a relayed message; hops and ttl of a relayed message.
    let mut flags = encoded(&broadcast(|_| {}));
    flags[5] = 0xff;
    let cut = |frame: &Frame| {
        let mut bytes = encoded(frame);
        bytes.truncate(20);
        bytes[3] = 16;
        bytes
    };
    let impossible = [
        flags,
        cut(&broadcast(|_| {})),
        encoded(&relayed(b.id(), |header| header.hops = 0)),
        encoded(&relayed(b.id(), |header| (header.ttl, header.hops) = (200, 200))),
        encoded(&relayed(b.id(), |header| header.id.sequence = 0)),
        cut(&relayed(b.id(), |_| {})),
    ];
    for (before, bytes) in impossible.iter().enumerate() {
        let (mut lane, _) = RawPeer::open(&a, "default", epoch).await;
        lane.write(bytes).await;
        lane.frames_until_closed().await;
        eventually(|| a.counters().protocol.malformed > before as u64).await;
    }
    assert!(a.is_connected(&name("raw@h")), "its session is not over for that");
    drop(anchor);
    unharmed_by_a_member(&a, &b).await;
}

#[tokio::test]
async fn forged_broadcasts_are_counted_and_go_nowhere() {
    let (a, b) = pair().await;
    let (_anchor, epoch) = RawPeer::open(&a, "membership", Epoch(0)).await;
    let (mut lane, _) = RawPeer::open(&a, "default", epoch).await;
    let mut received = b.broadcasts("default", Overflow::Wait).unwrap();
    let me = a.instance();
    lane.send(&broadcast(|message| message.id.origin = me)).await;
    lane.send(&broadcast(|message| message.id.sequence = 0)).await;
    eventually(|| a.counters().protocol.broadcast.forged == 2).await;
    // A sound one behind them arrives, so they have been judged everywhere.
    lane.send(&broadcast(|_| {})).await;
    let message = soon(received.next()).await.unwrap();
    assert_eq!(message.from(), NodeId::from_u64(7));
    assert_eq!(received.try_recv(), None);
    unharmed_by_a_member(&a, &b).await;
}

#[tokio::test]
async fn relayed_messages_without_end_are_passed_on_once() {
    let (a, b) = pair().await;
    let (_anchor, epoch) = RawPeer::open(&a, "membership", Epoch(0)).await;
    let (mut lane, _) = RawPeer::open(&a, "default", epoch).await;
    let mut inbox = b.inbox().unwrap();
    for _ in 0..100 {
        lane.send(&relayed(b.id(), |_| {})).await;
    }
    // To nobody, and back to its own origin.
    lane.send(&relayed(NodeId::from_u64(7), |header| header.id.sequence = 2)).await;
    lane.send(&relayed(a.id(), |header| header.id.origin = a.id())).await;
    eventually(|| a.counters().protocol.relay.duplicates == 100).await;
    let message = soon(inbox.recv()).await.unwrap();
    assert!(message.relayed);
    assert_eq!(message.from, name("raw@h").id());
    drop(inbox);
    // Takes the inbox of b, where nothing else may be first.
    unharmed_by_a_member(&b, &a).await;
}

#[tokio::test]
async fn partitions_without_number_are_refused_beyond_the_bound() {
    let mut config = config();
    config.partitions.max_active = 4;
    let (a, b) =
        support::pair_of(settings("a@127.0.0.1").config(config), settings("b@127.0.0.1")).await;
    let (mut raw, _) = RawPeer::open(&a, "membership", Epoch(0)).await;
    let id = |number| PartitionId { origin: b.id(), incarnation: Incarnation(1), number };
    for number in 1..=100 {
        let inject = PartitionMessage::Inject { id: id(number), ttl: 0 };
        raw.send(&control(ControlMessage::Partition(inject))).await;
    }
    eventually(|| a.counters().protocol.partitions_refused == 96).await;
    for number in 1..=100 {
        let resolve = PartitionMessage::Resolve { id: id(number), ttl: 0 };
        raw.send(&control(ControlMessage::Partition(resolve))).await;
    }
    a.wait_until(DEADLINE, |view| view.partitions.is_empty()).await.unwrap();
    // Notices of messages that were never sent.
    let mut events = a.events();
    let notice = |origin| RelayNotice {
        id: RelayId { origin, incarnation: a.instance().incarnation, sequence: 9 },
        target: b.id(),
        hops: 200,
    };
    for origin in [b.id(), NodeId::from_u64(7), a.id()] {
        let (notice, reason) = (Box::new(notice(origin)), RelayFailure::Circle);
        let found = RelayMessage::Found(notice.clone());
        raw.send(&control(ControlMessage::Relay(RelayMessage::Failed { notice, reason }))).await;
        raw.send(&control(ControlMessage::Relay(found))).await;
    }
    notified(&mut events, |note| matches!(note, Notification::RelayFailed { .. })).await;
    unharmed_by_a_member(&a, &b).await;
}
