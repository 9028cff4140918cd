//! Messages between two real nodes.

mod support;

use std::time::Duration;

use bytes::Bytes;
use partisan_tokio::{
    CommandError, DriverConfig, LocalCluster, Message, Node, NodeError, SendError, SendOptions,
};
use support::{DEADLINE, config, pair, pair_of, settings, soon, start};

fn options() -> SendOptions {
    SendOptions::default()
}

async fn next(mailbox: &mut partisan_tokio::Mailbox) -> Message {
    soon(mailbox.recv()).await.expect("the node has stopped")
}

#[tokio::test]
async fn a_typed_message_arrives_with_its_sender_and_channel() {
    let (a, b) = pair().await;
    let bulk = a.channel("bulk").unwrap();
    let mut inbox = b.inbox().unwrap();
    a.send(&b.name(), &("hi", 7_u32), &options().channel(bulk)).await.unwrap();
    let message = next(&mut inbox).await;
    assert_eq!((message.from, message.channel), (a.id(), bulk));
    assert_eq!(message.decode::<(String, u32)>().unwrap(), ("hi".into(), 7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_size_arrives_unchanged_on_a_threaded_runtime() {
    let (a, b) = pair().await;
    let mut inbox = b.inbox().unwrap();
    for size in [0, 1, 100, 16 << 10, (16 << 10) + 1, 100_000, 5 << 20] {
        let payload: Bytes = (0..size).map(|i| (i % 251) as u8).collect();
        a.send_bytes(b.id(), payload.clone(), &options()).await.unwrap();
        assert!(next(&mut inbox).await.payload == payload, "{size} bytes");
    }
}

#[tokio::test]
async fn named_destinations_and_the_node_itself_are_reached() {
    let (a, b) = pair().await;
    let mut store = b.register("store").unwrap();
    let to_store = options().destination("store").unwrap();
    a.send(b.id(), "remote", &to_store).await.unwrap();
    assert_eq!(next(&mut store).await.decode::<String>().unwrap(), "remote");
    b.send(b.id(), "local", &to_store).await.unwrap();
    assert_eq!(next(&mut store).await.from, b.id());
    let nobody = options().destination("nobody").unwrap();
    a.send(b.id(), "lost", &nobody).await.unwrap();
    a.send(b.id(), "after", &to_store).await.unwrap();
    assert_eq!(next(&mut store).await.decode::<String>().unwrap(), "after");
    assert_eq!(b.counters().undeliverable, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_holds_for_each_key_on_four_lanes() {
    let (a, b) = pair().await;
    let bulk = a.channel("bulk").unwrap();
    let mut inbox = b.inbox().unwrap();
    let sending = tokio::spawn({
        let (a, to) = (a.clone(), b.id());
        async move {
            for number in 0..5_000_u64 {
                for key in 0..8 {
                    let options = options().channel(bulk).key(key);
                    a.send(to, &(key, number), &options).await.unwrap();
                }
            }
        }
    });
    let mut expected = [0_u64; 8];
    for _ in 0..40_000 {
        let (key, number): (u64, u64) = next(&mut inbox).await.decode().unwrap();
        assert_eq!(number, expected[key as usize], "key {key}");
        expected[key as usize] += 1;
    }
    sending.await.unwrap();
}

#[tokio::test]
async fn a_receiver_that_stalls_makes_try_send_fail_and_send_wait_within_bounds() {
    let tight = DriverConfig {
        lane_queue_bytes: 64 << 10,
        mailbox_messages: 16,
        ..DriverConfig::default()
    };
    let (a, b) = pair_of(
        settings("a@127.0.0.1").driver(tight.clone()),
        settings("b@127.0.0.1").driver(tight),
    )
    .await;
    let mut inbox = b.inbox().unwrap();
    let payload = Bytes::from(vec![1; 8 << 10]);
    let mut sent = 0_u32;
    // What the sockets of the system hold is not ours to bound; it is full in the end.
    soon(async {
        let mut refusals = 0;
        while refusals < 1_000 {
            match a.try_send_bytes(b.id(), &payload, &options()) {
                Ok(()) => (sent, refusals) = (sent + 1, 0),
                Err(error) => {
                    assert_eq!(error, SendError::Command(CommandError::QueueFull(b.id())));
                    refusals += 1;
                }
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Another lane is not concerned.
    let bulk = options().channel(a.channel("bulk").unwrap());
    a.try_send_bytes(b.id(), &Bytes::from_static(b"bulk"), &bulk).unwrap();
    let waiting = tokio::spawn({
        let (a, to, payload) = (a.clone(), b.id(), payload.clone());
        async move { a.send_bytes(to, payload, &options()).await }
    });
    for _ in 0..sent + 2 {
        next(&mut inbox).await;
    }
    soon(waiting).await.unwrap().unwrap();
}

#[tokio::test]
async fn other_mailboxes_go_on_while_one_is_full() {
    let tight = DriverConfig { mailbox_messages: 1, ..DriverConfig::default() };
    let (a, b) = pair_of(settings("a@127.0.0.1"), settings("b@127.0.0.1").driver(tight)).await;
    let mut other = b.register("other").unwrap();
    for _ in 0..10 {
        a.send(b.id(), "stuck", &options()).await.unwrap();
    }
    let bulk = options().channel(a.channel("bulk").unwrap());
    a.send(b.id(), "free", &bulk.destination("other").unwrap()).await.unwrap();
    assert_eq!(next(&mut other).await.decode::<String>().unwrap(), "free");
}

#[tokio::test]
async fn a_shutdown_delivers_everything_that_was_queued_even_to_a_slow_receiver() {
    let tight = DriverConfig { mailbox_messages: 4, ..DriverConfig::default() };
    let (a, b) = pair_of(settings("a@127.0.0.1"), settings("b@127.0.0.1").driver(tight)).await;
    let bulk = a.channel("bulk").unwrap();
    let mut inbox = b.inbox().unwrap();
    for number in 0..2_000_u32 {
        let payload = Bytes::from(vec![number as u8; 100]);
        a.try_send_bytes(b.id(), &payload, &options().channel(bulk)).unwrap();
        a.try_send_bytes(b.id(), &payload, &options()).unwrap();
    }
    let stopping = tokio::spawn(async move { a.shutdown().await });
    for _ in 0..4_000 {
        // A goodbye that were sent at once would arrive long before the last message is taken.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        next(&mut inbox).await;
    }
    soon(stopping).await.unwrap();
}

#[tokio::test]
async fn each_way_of_not_reaching_somebody_has_its_error() {
    let (a, b) = pair().await;
    let stranger = &support::name("x@h");
    let error = a.send(stranger, "x", &options()).await.unwrap_err();
    assert_eq!(error, CommandError::UnknownNode(stranger.id()).into());
    let channel = partisan_tokio::ChannelId(9);
    for to in [a.id(), b.id()] {
        let error = a.try_send(to, "x", &options().channel(channel)).unwrap_err();
        assert_eq!(error, CommandError::UnknownChannel(9).into());
    }
    let long = Bytes::from(vec![0; 17 << 20]);
    let error = a.try_send_bytes(b.id(), &long, &options()).unwrap_err();
    assert!(matches!(error, SendError::Command(CommandError::PayloadTooLarge { .. })));
    soon(a.shutdown()).await;
    let error = a.try_send(b.id(), "x", &options()).unwrap_err();
    assert_eq!(error, SendError::Stopped);
    assert_eq!(a.leave().await.unwrap_err(), NodeError::Stopped);
    assert_eq!(a.register("late").unwrap_err(), NodeError::Stopped);
}

#[tokio::test]
async fn a_sender_who_waits_learns_of_the_end_of_the_session() {
    let tight =
        DriverConfig { lane_queue_bytes: 1 << 10, mailbox_messages: 1, ..DriverConfig::default() };
    let (a, b) = pair_of(
        settings("a@127.0.0.1").driver(tight.clone()),
        settings("b@127.0.0.1").driver(tight),
    )
    .await;
    let waiting = tokio::spawn({
        let (a, to) = (a.clone(), b.id());
        async move {
            let payload = Bytes::from(vec![0; 64 << 10]);
            loop {
                if let Err(error) = a.send_bytes(to, payload.clone(), &options()).await {
                    return error;
                }
            }
        }
    });
    soon(b.abort()).await;
    let error = soon(waiting).await.unwrap();
    assert_eq!(error, CommandError::Disconnected(b.id()).into());
}

#[tokio::test]
async fn messages_wait_while_their_lane_is_dialled_again() {
    let (a, b) = pair().await;
    let mut inbox = b.inbox().unwrap();
    for number in 0..5_u32 {
        a.send(b.id(), &number, &options()).await.unwrap();
        assert_eq!(next(&mut inbox).await.decode::<u32>().unwrap(), number);
        let peer = b.id();
        let before = a.view().routes().peer(peer).unwrap().epoch;
        a.disconnect(peer).await.unwrap();
        let again = |view: &partisan_tokio::View| {
            let routes = view.routes().peer(peer);
            routes.is_some_and(|routes| routes.epoch != before && routes.is_full())
        };
        a.wait_until(DEADLINE, again).await.unwrap();
    }
}

#[tokio::test]
async fn two_nodes_of_one_process_do_not_share_anything() {
    let (a, b): (Node, Node) = (start("same@127.0.0.1").await, start("same@127.0.0.1").await);
    let mut inbox = a.inbox().unwrap();
    let mut other = b.inbox().unwrap();
    a.send(a.id(), "a", &options()).await.unwrap();
    assert_eq!(next(&mut inbox).await.decode::<String>().unwrap(), "a");
    assert!(other.try_recv().is_none());
}

#[tokio::test]
async fn dropping_the_last_handle_stops_the_node() {
    let (a, b) = pair().await;
    let gone = b.id();
    drop(b);
    a.wait_until(Duration::from_secs(30), |view| !view.is_connected(gone)).await.unwrap();
}

#[tokio::test]
async fn all_nodes_of_a_local_cluster_reach_each_other() {
    let cluster = LocalCluster::builder(4).config(config()).start().await.unwrap();
    cluster.join_all(DEADLINE).await.unwrap();
    for from in cluster.nodes() {
        for to in cluster.nodes() {
            from.send(to.id(), "hello", &options()).await.unwrap();
        }
    }
    for node in cluster.nodes() {
        let mut inbox = node.inbox().unwrap();
        let mut from = Vec::new();
        for _ in 0..4 {
            from.push(next(&mut inbox).await.from);
        }
        from.sort_unstable();
        from.dedup();
        assert_eq!(from.len(), 4);
    }
    soon(cluster.shutdown()).await;
}
