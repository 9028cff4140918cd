//! Messages that must arrive, between real nodes.

mod support;

use bytes::Bytes;
use partisan_proto::{ChannelOptions, SendReliable};
use partisan_tokio::{
    ChannelName, Channels, CommandError, DriverConfig, LabelId, LabelName, Node, NodeError,
    SendError, SendOptions, Settings,
};
use support::{DEADLINE, config, contact, fully_connected, pair_of, settings, soon};

fn label() -> LabelName {
    LabelName::new("talk").unwrap()
}

fn labelled(name: &str) -> Settings {
    let mut config = config();
    config.delivery.labels = vec![label()];
    settings(name).config(config)
}

fn message(to: &Node, number: u32) -> SendReliable {
    SendReliable::new(to.id(), Bytes::copy_from_slice(&number.to_be_bytes()))
}

async fn numbers(inbox: &mut partisan_tokio::Mailbox, count: u32) -> Vec<u32> {
    let mut got = Vec::new();
    for _ in 0..count {
        let message = soon(inbox.recv()).await.unwrap();
        got.push(u32::from_be_bytes(message.payload[..].try_into().unwrap()));
    }
    got
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_acknowledged_was_delivered_once_though_connections_are_lost() {
    let (a, b) = pair_of(labelled("a@127.0.0.1"), labelled("b@127.0.0.1")).await;
    let mut inbox = b.inbox().unwrap();
    let sending: Vec<_> = (0..200).map(|number| (a.clone(), message(&b, number))).collect();
    let sent: Vec<_> = sending
        .into_iter()
        .map(|(a, message)| tokio::spawn(async move { a.send_reliable(message).await }))
        .collect();
    for _ in 0..3 {
        // Whoever is not connected at the moment has nothing to lose.
        let _ = a.disconnect(b.id()).await;
        a.wait_until(DEADLINE, |view| view.is_fully_connected(b.id())).await.unwrap();
    }
    for sent in sent {
        soon(sent).await.unwrap().unwrap();
    }
    let mut got = numbers(&mut inbox, 200).await;
    got.sort_unstable();
    assert_eq!(got, (0..200).collect::<Vec<_>>());
    assert_eq!(inbox.try_recv(), None, "none comes twice");
}

#[tokio::test]
async fn a_full_mailbox_holds_up_what_must_arrive_and_loses_nothing() {
    let small = DriverConfig { mailbox_messages: 2, ..DriverConfig::default() };
    let b = labelled("b@127.0.0.1").driver(small);
    let (a, b) = pair_of(labelled("a@127.0.0.1"), b).await;
    let sends = (0..50).map(|number| {
        let (a, message) = (a.clone(), message(&b, number));
        tokio::spawn(async move { a.send_reliable(message).await })
    });
    let sends: Vec<_> = sends.collect();
    let mut inbox = b.inbox().unwrap();
    let mut got = numbers(&mut inbox, 50).await;
    got.sort_unstable();
    assert_eq!(got, (0..50).collect::<Vec<_>>());
    for sent in sends {
        soon(sent).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_label_orders_what_goes_by_a_third_node() {
    let (a, b) = pair_of(labelled("a@127.0.0.1"), labelled("b@127.0.0.1")).await;
    let c = Node::start(labelled("c@127.0.0.1")).await.unwrap();
    c.sync_join(contact(&a), DEADLINE).await.unwrap();
    for (here, there) in [(&a, &c), (&b, &c), (&c, &a), (&c, &b)] {
        fully_connected(here, there).await;
    }
    let label = Some(LabelId::of(&label()));
    let (mut at_b, mut at_c) = (b.inbox().unwrap(), c.inbox().unwrap());
    for round in 0..20 {
        let first = SendReliable { label, ..message(&b, 2 * round) };
        let sending = tokio::spawn({
            let a = a.clone();
            async move { a.send_reliable(first).await }
        });
        soon(a.send_reliable(SendReliable { label, ..message(&c, 0) })).await.unwrap();
        numbers(&mut at_c, 1).await;
        soon(c.send_reliable(SendReliable { label, ..message(&b, 2 * round + 1) })).await.unwrap();
        soon(sending).await.unwrap().unwrap();
        let got = numbers(&mut at_b, 2).await;
        assert!(got.contains(&(2 * round)) && got.contains(&(2 * round + 1)));
    }
    let unknown = SendReliable { label: Some(LabelId::from_u64(1)), ..message(&b, 0) };
    let error = soon(a.send_reliable(unknown)).await.unwrap_err();
    assert!(matches!(error, SendError::Command(CommandError::UnknownLabel(_))), "{error}");
}

#[tokio::test]
async fn of_a_burst_on_a_monotonic_channel_the_last_arrives_and_none_goes_back() {
    let monotonic = |name: &str| {
        let mut config = config();
        let options = ChannelOptions { monotonic: true, ..ChannelOptions::lanes(2) };
        config.channels = Channels::new([(ChannelName::new("state").unwrap(), options)]).unwrap();
        settings(name).config(config)
    };
    let (a, b) = pair_of(monotonic("a@127.0.0.1"), monotonic("b@127.0.0.1")).await;
    let mut inbox = b.inbox().unwrap();
    let options = SendOptions::default().channel(a.channel("state").unwrap());
    for number in 0..20_000_u32 {
        let payload = Bytes::copy_from_slice(&number.to_be_bytes());
        a.send_bytes(b.id(), payload, &options).await.unwrap();
    }
    let mut last = None;
    while last != Some(19_999) {
        let next = numbers(&mut inbox, 1).await.pop();
        assert!(next > last, "{next:?} after {last:?}");
        last = next;
    }
    let refused = a.try_send_bytes(b.id(), &Bytes::new(), &options).unwrap_err();
    assert!(matches!(refused, SendError::Command(CommandError::NotSupported(_))), "{refused}");
}

#[tokio::test]
async fn a_label_is_found_by_its_name() {
    let node = Node::start(labelled("a@127.0.0.1")).await.unwrap();
    assert_eq!(node.label("talk"), Ok(LabelId::of(&label())));
    let unknown = node.label("tolk").unwrap_err();
    assert_eq!(unknown, NodeError::UnknownLabel("tolk".into()));
    assert!(unknown.to_string().contains("`tolk`"), "{unknown}");
}

#[tokio::test]
async fn ordered_messages_arrive_in_their_order_and_named_ones_once_though_connections_are_lost() {
    let (a, b) = pair_of(labelled("a@127.0.0.1"), labelled("b@127.0.0.1")).await;
    let mut inbox = b.inbox().unwrap();
    let mut sent = Vec::new();
    for number in 0..200_u32 {
        // Each twice, as by an application that does not know whether the first one arrived.
        for _ in 0..2 {
            let (key, id) = (Some(1), Some(u128::from(number)));
            let message = SendReliable { ordered: true, key, id, ..message(&b, number) };
            let a = a.clone();
            let mut sending = Box::pin(async move { a.send_reliable(message).await });
            // Asked in this order.
            let asked =
                std::future::poll_fn(|cx| std::task::Poll::Ready(sending.as_mut().poll(cx)));
            assert!(asked.await.is_pending());
            sent.push(tokio::spawn(sending));
        }
        if number % 50 == 25 {
            let _ = a.disconnect(b.id()).await;
        }
    }
    for sent in sent {
        soon(sent).await.unwrap().unwrap();
    }
    assert_eq!(numbers(&mut inbox, 200).await, (0..200).collect::<Vec<_>>());
    assert!(inbox.try_recv().is_none());
}
