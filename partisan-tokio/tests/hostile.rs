//! Peers that do not keep to the rules: each harms its own connection alone.

mod support;

use std::time::Duration;

use partisan_proto::config::Secret;
use partisan_proto::wire::{Frame, Hello};
use partisan_proto::{JoinError, Refusal};
use partisan_tokio::{
    ClusterName, CommandError, Config, Node, NodeError, Notification, SendOptions,
};
use support::{DEADLINE, RawPeer, config, contact, name, notified, pair, settings, soon};

/// The pair is as well as ever.
async fn unharmed(a: &Node, b: &Node) {
    let mut inbox = a.inbox().unwrap();
    b.send(a.id(), "still here", &SendOptions::default()).await.unwrap();
    let message = soon(inbox.recv()).await.unwrap();
    assert_eq!(message.decode::<String>().unwrap(), "still here");
    assert_eq!(a.counters().protocol.sessions, 1, "the session has not moved");
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
        destination: partisan_proto::wire::Destination::Inbox,
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
