//! Channels: how many connections each has, and that one does not hold up another.

use partisan_proto::{Answer, ChannelId, CommandError, Config, Duration};
use partisan_tests::{Cluster, Restart, Simulated, over_tcp, simulated, with_channels};
use partisan_tokio::SendOptions;

on_both! {
    counts: 12;
    default_always_present: 8;
    unlike_channels_meet_in_the_middle: 8;
    a_channel_that_is_down_is_not_replaced: 16;
    another_configuration_after_a_restart: 12;
}

fn counts(cluster: &mut impl Cluster) {
    let config = with_channels(&[("vnode", 1), ("gossip", 1), ("rpc", 1)]);
    cluster.form(4, &config);
    for (channel, name, _) in config.channels.iter() {
        for (node, other) in [(0, 1), (1, 0), (2, 3), (3, 0)] {
            assert_eq!(cluster.lanes(node, other, channel), 1, "{name}");
        }
        if channel != ChannelId::MEMBERSHIP {
            cluster.exchange(&[0, 1, 2, 3], (channel, None));
        }
    }
    for node in 0..4 {
        assert_eq!(cluster.connections(node).len(), 3 * 5);
        let deliveries = cluster.deliveries(node);
        for (channel, name, _) in config.channels.iter().skip(1) {
            let of = deliveries.iter().filter(|delivery| delivery.channel == channel);
            assert_eq!(of.count(), 3, "as sent, by {name}");
        }
    }
}

fn default_always_present(cluster: &mut impl Cluster) {
    cluster.form(3, &with_channels(&[]));
    for (node, other) in [(0, 1), (1, 2), (2, 0)] {
        assert_eq!(cluster.lanes(node, other, ChannelId::MEMBERSHIP), 1);
        assert_eq!(cluster.lanes(node, other, ChannelId::DEFAULT), 1);
    }
    cluster.exchange(&[0, 1, 2], (ChannelId::DEFAULT, None));
}

/// A session has the channels of both with the fewer lanes; other messages go by `default`, or fail
/// where that is not wanted.
fn unlike_channels_meet_in_the_middle(cluster: &mut impl Cluster) {
    let rich = with_channels(&[("default", 4), ("bulk", 4), ("only-here", 2)]);
    let mut strict = rich.clone();
    strict.connections.channel_fallback = false;
    let poor = with_channels(&[("default", 2), ("bulk", 8)]);
    for config in [&rich, &strict, &poor] {
        cluster.add(config.clone());
    }
    cluster.join(1, 0);
    cluster.join(2, 0);
    cluster.wait_for_mesh(&[0, 1, 2]);
    let bulk = rich.channels.id("bulk").unwrap();
    let only = rich.channels.id("only-here").unwrap();
    assert_eq!(cluster.lanes(0, 2, ChannelId::DEFAULT), 2);
    assert_eq!(cluster.lanes(0, 2, bulk), 4);
    assert_eq!(cluster.lanes(0, 2, only), 0);
    assert_eq!(cluster.lanes(0, 1, only), 2);
    let asked = cluster.send(0, 2, (only, Some(1)), "by another way");
    assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Done));
    cluster.wait("the message", |cluster| !cluster.texts(2, 0).is_empty());
    assert_eq!(cluster.deliveries(2)[0].channel, ChannelId::DEFAULT);
    let asked = cluster.send(1, 2, (only, None), "not by another way");
    let error = CommandError::NoSuchChannel(cluster.id(2));
    assert_eq!(cluster.wait_for_answer(asked), Err(error));
    let asked = cluster.send(0, 1, (ChannelId(9), None), "on no channel");
    assert_eq!(cluster.wait_for_answer(asked), Err(CommandError::UnknownChannel(9)));
}

/// P7: what is sent with a key on a channel never overtakes by way of another channel, whatever happens
/// to its lanes; what was accepted and did not arrive is missing, and no more.
fn a_channel_that_is_down_is_not_replaced(cluster: &mut impl Cluster) {
    let config = with_channels(&[("bulk", 2)]);
    let bulk = config.channels.id("bulk").unwrap();
    cluster.form(2, &config);
    let other = cluster.id(1);
    let mut accepted = Vec::new();
    for number in 0..60 {
        if number == 20 {
            cluster.ask(0, partisan_proto::Command::Disconnect(other));
        }
        if number == 40 {
            cluster.wait_for_mesh(&[0, 1]);
        }
        let text = format!("{number:02}");
        let asked = cluster.send(0, 1, (bulk, Some(7)), &text);
        if cluster.wait_for_answer(asked).is_ok() {
            accepted.push(text);
        }
    }
    let last = accepted.last().cloned();
    cluster.wait("the last", |cluster| cluster.texts(1, 0).last() == last.as_ref());
    let found = cluster.texts(1, 0);
    assert!(found.is_sorted() && found.windows(2).all(|two| two[0] != two[1]), "{found:?}");
    assert!(found.len() >= 20, "{found:?}");
    assert!(cluster.deliveries(1).iter().all(|delivery| delivery.channel == bulk));
}

/// More lanes, fewer lanes and other channels after a restart: both sides have the same; and P16: a
/// member with another spec than the one that is known is no stranger, and removes nobody.
fn another_configuration_after_a_restart(cluster: &mut impl Cluster) {
    cluster.form(3, &with_channels(&[("default", 2), ("bulk", 2)]));
    for lives in [&[("default", 1), ("bulk", 4)][..], &[("default", 2), ("new", 1)], &[]] {
        let config = with_channels(lives);
        cluster.crash(1);
        cluster.reconfigure(1, config.clone());
        cluster.restart(1, Restart { keep_state: true, new_address: false });
        cluster.wait_for_mesh(&[0, 1, 2]);
        let lanes = |name: &str, most: usize| {
            let own = config.channels.id(name).and_then(|id| config.channels.options(id));
            own.map_or(0, |own| most.min(own.parallelism.into()))
        };
        let expected = 1 + lanes("default", 2) + lanes("bulk", 2);
        for other in [0, 2] {
            let (one, another) = (cluster.id(1), cluster.id(other));
            let here = cluster.connections(1);
            let there = cluster.connections(other);
            assert_eq!(here.iter().filter(|info| info.peer == another).count(), expected);
            assert_eq!(there.iter().filter(|info| info.peer == one).count(), expected);
        }
        cluster.exchange(&[0, 1, 2], (ChannelId::DEFAULT, Some(3)));
    }
}

mod isolation_head_of_line {
    use super::*;

    /// Megabytes wait on one channel; a message on another does not wait behind them.
    #[test]
    fn simulated() {
        super::simulated(0..8, |cluster: &mut Simulated| {
            let config = with_channels(&[("bulk", 1)]);
            let bulk = config.channels.id("bulk").unwrap();
            cluster.form(2, &config);
            cluster.world.network_mut().slow(0, 1, Some(100_000));
            let long = "x".repeat(64 << 10);
            for _ in 0..10 {
                let asked = cluster.send(0, 1, (bulk, None), &long);
                assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Done));
            }
            cluster.send(0, 1, (ChannelId::DEFAULT, None), "ping");
            cluster.world.run_for(Duration::from_secs(2));
            let deliveries = cluster.deliveries(1);
            assert!(deliveries.iter().any(|delivery| &delivery.payload[..] == b"ping"));
            assert!(deliveries.len() < 11, "the others are still under way");
            cluster.wait("all of them", |cluster| cluster.deliveries(1).len() == 11);
        });
    }

    /// Nobody reads what comes by one channel until its connection stands still; the others go on,
    /// and so does the session.
    #[test]
    fn over_tcp() {
        super::over_tcp(|cluster| {
            let config = with_channels(&[("bulk", 1)]);
            let bulk = config.channels.id("bulk").unwrap();
            cluster.form(2, &config);
            let unread = cluster.node(1).register("unread").unwrap();
            let options = SendOptions::default().channel(bulk);
            let options = options.destination("unread").unwrap();
            let (id, long) = (cluster.id(1), vec![0; 1 << 20].into());
            let mut sent = 0;
            while cluster.node(0).try_send_bytes(id, &long, &options).is_ok() {
                cluster.exchange(&[0, 1], (ChannelId::DEFAULT, None));
                sent += 1;
            }
            assert!(sent > 1);
            cluster.exchange(&[0, 1], (ChannelId::DEFAULT, None));
            assert!(cluster.is_mesh(&[0, 1]));
            drop(unread);
        });
    }
}

#[test]
fn parallelism_zero_is_refused_before_the_start() {
    let name = partisan_proto::ChannelName::new("bulk").unwrap();
    let none = partisan_proto::ChannelOptions::lanes(0);
    let error = partisan_proto::Channels::new([(name, none)]).unwrap_err();
    assert!(error.to_string().contains("choose from 1 to"), "{error}");
    assert!(Config::default().validate().is_ok());
}
