//! Sessions and lanes: who connects to whom, how often, and what happens to it.

use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::net::{Keeper, Net, channels, spec};
use crate::command::{Command, Send};
use crate::config::{Config, Secret};
use crate::error::{CloseReason, CommandError, Refusal};
use crate::id::{ChannelId, NodeId};
use crate::time::Duration;
use crate::wire::Destination;
use crate::{DialError, NodeSpec, Notification};

fn config(named: &[(&str, u8)]) -> Config {
    Config { channels: channels(named), ..Config::default() }
}

/// Two nodes where 0 joined 1.
fn pair(config: &Config) -> Net {
    let mut net = Net::with(2, config);
    net.join(0, 1);
    net.settle();
    net
}

fn send(to: NodeId, channel: u8, key: Option<u64>, text: &'static str) -> Command {
    let payload = Bytes::from_static(text.as_bytes());
    let (channel, destination) = (ChannelId(channel), Destination::Inbox);
    Command::Send(Send { to, channel, key, destination, relay: false, payload })
}

fn ups_and_downs(notes: &[Notification]) -> Vec<bool> {
    let up_or_down = |note: &Notification| match note {
        Notification::NodeUp { .. } => Some(true),
        Notification::NodeDown { .. } => Some(false),
        _ => None,
    };
    notes.iter().filter_map(up_or_down).collect()
}

#[test]
fn every_channel_gets_its_lanes_and_each_is_one_connection() {
    let net = pair(&config(&[("bulk", 4), ("default", 2)]));
    assert!(net.joined(0, 1));
    assert_eq!(net.links(), 1 + 2 + 4);
    assert_eq!(net.node(0).connections().len(), 7);
    assert_eq!(net.node(1).connections().len(), 7);
}

#[test]
fn the_session_has_the_channels_of_both_with_the_fewer_lanes() {
    let mut net = Net::new();
    net.add(&config(&[("both", 4), ("mine", 1)]), 1, Keeper::default());
    net.add(&config(&[("both", 2), ("yours", 3)]), 1, Keeper::default());
    net.join(0, 1);
    net.settle();
    assert!(net.joined(0, 1));
    assert_eq!(net.links(), 1 + 1 + 2);
    let mine = net.node(0).config().channels.id("mine").unwrap();
    assert!(net.node(0).routes().peer(net.id(1)).unwrap().channels[usize::from(mine.0)].is_empty());
}

#[test]
fn a_message_arrives_once_with_its_proven_sender_and_channel() {
    let mut net = pair(&config(&[("bulk", 2)]));
    net.command(0, send(net.id(1), 2, Some(7), "hi"));
    net.settle();
    let [(1, delivery)] = &net.deliveries[..] else { panic!("{:?}", net.deliveries) };
    assert_eq!((delivery.from, delivery.channel), (net.id(0), ChannelId(2)));
    assert_eq!(delivery.payload, "hi");
}

#[test]
fn messages_without_a_key_use_all_lanes() {
    let mut net = pair(&config(&[("bulk", 3)]));
    let lanes = net.node(0).routes().peer(net.id(1)).unwrap().channels[2].to_vec();
    let mut used = vec![0; 3];
    for _ in 0..30 {
        let load = |id| net.node(0).connections.load(id);
        let lane = net.node(0).routes().lane(net.id(1), ChannelId(2), None, 9, load).unwrap();
        used[lanes.iter().position(|id| *id == Some(lane)).unwrap()] += 1;
        net.command(0, send(net.id(1), 2, None, "x"));
    }
    assert_eq!(used, [10, 10, 10]);
}

#[test]
fn a_congested_lane_refuses_what_must_go_by_it_and_others_do_not() {
    let mut net = pair(&config(&[]));
    let lane = net.node(0).routes().peer(net.id(1)).unwrap().channels[1][0].unwrap();
    net.handle(0, crate::Event::Congested { connection: lane });
    net.command(0, send(net.id(1), 1, None, "x"));
    assert_eq!(net.replies.pop().unwrap().1, Err(CommandError::QueueFull(net.id(1))));
    net.handle(0, crate::Event::Drained { connection: lane });
    net.command(0, send(net.id(1), 1, None, "x"));
    assert!(net.replies.pop().unwrap().1.is_ok());
}

#[test]
fn sending_to_oneself_needs_no_connection() {
    let mut net = Net::with(1, &Config::default());
    net.command(0, send(net.id(0), 1, None, "me"));
    assert_eq!(net.deliveries.len(), 1);
    net.command(0, send(net.id(0), 0, None, "me"));
    assert_eq!(net.replies.pop().unwrap().1, Err(CommandError::ReservedChannel));
    net.command(0, send(net.id(0), 9, None, "me"));
    assert_eq!(net.replies.pop().unwrap().1, Err(CommandError::UnknownChannel(9)));
}

#[test]
fn both_dial_at_once_by_address_and_one_session_results() {
    let mut net = Net::with(2, &config(&[("bulk", 2)]));
    net.join(0, 1);
    net.join(1, 0);
    net.settle();
    assert!(net.joined(0, 1));
    assert_eq!(net.links(), 4);
    for node in 0..2 {
        assert_eq!(ups_and_downs(&net.take_notes(node)), [true]);
    }
}

#[test]
fn both_dial_at_once_by_name_and_one_session_results() {
    let config = config(&[]);
    let mut net = Net::new();
    let keep = |other| Keeper::keeping(spec(other, &config));
    net.add(&config, 1, keep(1));
    net.add(&config, 1, keep(0));
    net.run_for(Duration::from_secs(3));
    assert!(net.joined(0, 1));
    for node in 0..2 {
        assert_eq!(ups_and_downs(&net.take_notes(node)), [true]);
    }
}

#[test]
fn a_lost_lane_is_dialled_again_and_the_session_goes_on() {
    let mut net = pair(&config(&[("bulk", 2)]));
    let epoch = net.node(0).routes().peer(net.id(1)).unwrap().epoch;
    let lane = net.node(0).routes().peer(net.id(1)).unwrap().channels[2][1].unwrap();
    net.take_notes(0);
    net.cut(|a, b| a == (0, lane) || b == (0, lane));
    net.run_for(Duration::from_secs(2));
    assert!(net.joined(0, 1));
    assert_eq!(net.node(0).routes().peer(net.id(1)).unwrap().epoch, epoch);
    let notes = net.take_notes(0);
    assert!(ups_and_downs(&notes).is_empty());
    assert!(!notes.iter().any(|note| matches!(note, Notification::ChannelDown { .. })));
}

#[test]
fn a_channel_is_down_when_its_last_lane_is_and_up_with_its_first() {
    let mut net = pair(&config(&[("bulk", 1)]));
    let lane = net.node(0).routes().peer(net.id(1)).unwrap().channels[2][0].unwrap();
    net.take_notes(1);
    net.cut(|a, b| a == (0, lane) || b == (0, lane));
    net.run_for(Duration::from_secs(2));
    let (node, channel) = (net.id(0), net.node(1).config().channels.id("bulk").unwrap());
    let changes: Vec<_> = net.take_notes(1);
    let changes: Vec<_> = changes
        .into_iter()
        .filter(|note| !matches!(note, Notification::FullyConnected { .. }))
        .collect();
    let down = Notification::ChannelDown { node, channel };
    assert_eq!(changes, [down, Notification::ChannelUp { node, channel }]);
}

#[test]
fn the_session_ends_with_its_anchor_and_a_kept_peer_comes_back_under_a_new_epoch() {
    let config = config(&[("bulk", 2)]);
    let mut net = Net::new();
    net.add(&config, 1, Keeper::keeping(spec(1, &config)));
    net.add(&config, 1, Keeper::default());
    net.run_for(Duration::from_secs(1));
    let before = net.node(0).routes().peer(net.id(1)).unwrap().clone();
    net.cut(|a, b| a == (0, before.anchor) || b == (0, before.anchor));
    net.run_for(Duration::from_secs(5));
    assert!(net.joined(0, 1));
    assert!(net.node(0).routes().peer(net.id(1)).unwrap().epoch > before.epoch);
    for node in 0..2 {
        assert_eq!(ups_and_downs(&net.take_notes(node)), [true, false, true]);
    }
}

#[test]
fn a_new_life_replaces_the_old_one() {
    let config = config(&[]);
    let mut net = Net::new();
    net.add(&config, 1, Keeper::default());
    net.add(&config, 1, Keeper::keeping(spec(0, &config)));
    net.run_for(Duration::from_secs(1));
    // It dies in silence and is back before anybody noticed.
    net.mute.push(1);
    net.crash(1);
    net.cut(|_, _| false);
    net.mute.clear();
    net.start(1, &config, 2, Keeper::keeping(spec(0, &config)));
    net.run_for(Duration::from_secs(3));
    assert!(net.joined(0, 1));
    assert_eq!(net.node(0).routes().peer(net.id(1)).unwrap().instance.incarnation.0, 2);
    assert_eq!(ups_and_downs(&net.take_notes(0)), [true, false, true]);
}

#[test]
fn a_silent_peer_is_given_up_after_70_seconds() {
    let mut net = pair(&config(&[]));
    net.mute.push(1);
    net.run_for(Duration::from_secs(69));
    assert_eq!(ups_and_downs(&net.take_notes(0)), [true]);
    net.run_for(Duration::from_secs(2));
    let down = net.take_notes(0).into_iter().find_map(|note| match note {
        Notification::NodeDown { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(down, Some(CloseReason::PingTimeout));
}

#[test]
fn without_keep_alive_nothing_is_pinged_and_everything_works() {
    let mut config = config(&[]);
    config.connections.keep_alive.enabled = false;
    let mut net = pair(&config);
    net.run_for(Duration::from_secs(600));
    assert!(net.joined(0, 1));
    assert_eq!(net.node(0).counters().pings, 0);
}

#[test]
fn an_idle_session_measures_its_round_trip_and_lasts() {
    let mut net = pair(&config(&[]));
    net.run_for(Duration::from_secs(600));
    assert!(net.joined(0, 1));
    assert_eq!(net.node(0).peer(net.id(1)).unwrap().round_trip, Some(Duration::ZERO));
}

#[test]
fn dials_back_off_to_the_cap_and_a_new_life_starts_over() {
    let config = config(&[]);
    let mut net = Net::new();
    let away = spec(1, &config);
    net.add(&config, 1, Keeper::keeping(away));
    net.run_for(Duration::from_secs(3600));
    let dialled = net.node(0).counters().dialled;
    // 1, 2, 4, 8, 16 and then 30 s at the most, half of it at the least.
    assert!((120..=250).contains(&dialled), "{dialled} dials in an hour");
    let failures = net.take_notes(0);
    assert!(matches!(failures.last(), Some(Notification::DialFailed { node: Some(_), .. })));
}

#[test]
fn a_goodbye_waits_for_what_is_still_on_its_way() {
    let mut net = pair(&config(&[("bulk", 1)]));
    net.command(0, send(net.id(1), 2, None, "last words"));
    net.command(0, Command::Stop);
    net.settle();
    assert_eq!(net.deliveries.len(), 1);
    let notes = net.take_notes(1);
    assert_eq!(ups_and_downs(&notes), [true, false]);
    let reason = CloseReason::Stopped;
    assert!(
        notes.iter().any(
            |note| matches!(note, Notification::NodeDown { reason: why, .. } if *why == reason)
        )
    );
    assert_eq!(net.links(), 0);
}

#[test]
fn a_stopped_node_takes_no_commands_and_no_connections() {
    let mut net = pair(&config(&[]));
    net.command(1, Command::Stop);
    net.settle();
    net.command(1, send(net.id(0), 1, None, "x"));
    assert_eq!(net.replies.pop().unwrap().1, Err(CommandError::Stopping));
    net.join(0, 1);
    net.settle();
    assert_eq!(net.links(), 0);
}

#[test]
fn a_released_peer_may_finish_what_it_says_and_learns_why() {
    let mut net = pair(&config(&[("bulk", 1)]));
    net.command(1, send(net.id(0), 2, None, "on its way"));
    net.command(0, Command::Remove(net.id(1)));
    net.settle();
    assert_eq!(net.deliveries.len(), 1);
    net.command(0, send(net.id(1), 2, None, "too late"));
    assert!(net.replies.pop().unwrap().1.is_err());
    // It does not know, and does not close its connections.
    net.run_for(Duration::from_secs(6));
    let down = |note: &Notification| match note {
        Notification::NodeDown { reason, .. } => Some(*reason),
        _ => None,
    };
    for node in 0..2 {
        let reasons: Vec<_> = net.take_notes(node).iter().filter_map(down).collect();
        assert_eq!(reasons, [CloseReason::Removed]);
    }
    assert_eq!(net.links(), 0);
}

#[test]
fn leaving_ends_every_session_and_the_next_life_connects_again() {
    let mut net = pair(&config(&[]));
    net.command(0, Command::Leave);
    net.settle();
    assert_eq!(net.links(), 0);
    net.join(0, 1);
    net.settle();
    assert!(net.joined(0, 1));
    assert_eq!(net.node(1).routes().peer(net.id(0)).unwrap().instance.incarnation.0, 2);
    assert_eq!(ups_and_downs(&net.take_notes(1)), [true, false, true]);
}

#[test]
fn disconnecting_closes_everything_and_a_kept_peer_is_dialled_again_later() {
    let config = config(&[]);
    let mut net = Net::new();
    net.add(&config, 1, Keeper::keeping(spec(1, &config)));
    net.add(&config, 1, Keeper::default());
    net.run_for(Duration::from_secs(1));
    net.command(0, Command::Disconnect(net.id(1)));
    net.settle();
    assert_eq!(net.links(), 0);
    net.command(0, Command::Disconnect(net.id(1)));
    assert_eq!(net.replies.pop().unwrap().1, Err(CommandError::Disconnected(net.id(1))));
    net.run_for(Duration::from_secs(5));
    assert!(net.joined(0, 1));
}

#[test]
fn a_crossing_dial_is_refused_and_the_session_is_looked_after() {
    let mut net = pair(&config(&[]));
    net.mute.push(1);
    // Node 1 dies in silence and forgets everything but its life.
    net.crash(1);
    net.mute.clear();
    assert!(ups_and_downs(&net.take_notes(0)) == [true]);
    net.settle();
    assert_eq!(ups_and_downs(&net.take_notes(0)), [false]);
}

#[test]
fn the_same_secret_on_both_sides_opens_and_another_does_not() {
    let with = |secret: Option<&str>| Config {
        secret: secret.map(|text| Secret(text.into())),
        ..config(&[])
    };
    let right = with(Some("a shared secret!"));
    let mut net = pair(&right);
    assert!(net.joined(0, 1));
    net.take_notes(0);
    for other in [with(Some("another secret!!")), with(None)] {
        for (first, second) in [(&right, &other), (&other, &right)] {
            let mut net = Net::new();
            net.add(first, 1, Keeper::default());
            net.add(second, 1, Keeper::default());
            net.join(0, 1);
            net.settle();
            assert_eq!(net.links(), 0);
            let failed = net.take_notes(0).into_iter().find_map(|note| match note {
                Notification::DialFailed { error, .. } => Some(error),
                _ => None,
            });
            let refused = CloseReason::Refused(Refusal::Secret);
            assert_eq!(failed, Some(DialError::Closed(refused)));
        }
    }
}

#[test]
fn the_manager_may_turn_a_peer_away() {
    let mut net = Net::new();
    net.add(&config(&[]), 1, Keeper::default());
    let turn_away = Some(Refusal::NotWanted);
    net.add(&config(&[]), 1, Keeper { turn_away, ..Keeper::default() });
    net.join(0, 1);
    net.settle();
    assert_eq!(net.links(), 0);
    assert_eq!(net.node(0).counters().refused_by_peer, 1);
    assert!(ups_and_downs(&net.take_notes(0)).is_empty());
}

#[test]
fn nothing_is_left_of_strangers_that_are_gone() {
    let mut net = Net::with(9, &config(&[("bulk", 3)]));
    for node in 1..9 {
        net.join(node, 0);
    }
    net.settle();
    assert!((1..9).all(|node| net.joined(node, 0)));
    for node in 1..9 {
        net.crash(node);
    }
    net.settle();
    assert_eq!(net.node(0).connections().len(), 0);
    assert_eq!(net.node(0).timers().count(), 0);
    assert_eq!(net.node(0).routes().peers().count(), 0);
    assert!((1..9).all(|node| net.node(0).peer(net.id(node)).is_none()));
}

#[test]
fn a_contact_that_is_connected_already_is_reached_and_not_dialled_for_ever() {
    let config = Config::default();
    let mut net = Net::with(2, &config);
    // The node tells no address, so that nobody knows it by the one that is dialled.
    let bare = NodeSpec::new("bare@h".parse().unwrap(), vec![], &config.channels, vec![]);
    net.start_as(0, bare.unwrap(), &config, 1, Keeper::default());
    net.join(1, 0);
    net.settle();
    let before = net.node(1).counters().dialled;
    net.join(1, 0);
    net.settle();
    net.run_for(Duration::from_secs(60));
    assert_eq!(net.node(1).counters().dialled, before + 1);
    assert_eq!(net.node(1).routes().peers().count(), 1);
}

#[test]
fn a_join_by_address_is_through_when_the_node_there_connects_by_itself() {
    let config = config(&[]);
    let mut net = Net::new();
    net.add(&config, 1, Keeper::default());
    // Nobody is there yet.
    net.join(0, 1);
    net.settle();
    net.add(&config, 1, Keeper::keeping(spec(0, &config)));
    net.run_for(Duration::from_millis(100));
    assert!(net.joined(0, 1));
    // Once more, while connected.
    net.join(0, 1);
    let dialled = net.node(0).counters().dialled;
    net.run_for(Duration::from_secs(60));
    assert_eq!(net.node(0).counters().dialled, dialled);
}
