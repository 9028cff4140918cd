//! Monotonic channels.

use super::*;
use crate::command::Send;
use crate::config::{ChannelOptions, Channels};
use crate::id::ChannelName;

/// The wide channel is monotonic, of four lanes.
fn monotonic() -> Config {
    let options = ChannelOptions { monotonic: true, ..ChannelOptions::lanes(4) };
    let channels = Channels::new([(ChannelName::new("wide").unwrap(), options)]);
    Config { channels: channels.unwrap(), ..config() }
}

fn cluster(count: usize) -> Net {
    cluster_of(count, &monotonic())
}

fn tell(net: &mut Net, from: usize, to: usize, key: Option<u64>, number: u8) {
    let (to, channel, destination) = (net.id(to), ChannelId(2), Destination::Inbox);
    let payload = Bytes::copy_from_slice(&[number]);
    let send = Send { to, channel, key, destination, relay: false, payload };
    net.command(from, Command::Send(send));
}

#[test]
fn what_is_sent_in_peace_arrives_all() {
    let mut net = cluster(2);
    for number in 1..=50 {
        tell(&mut net, 0, 1, None, number);
        net.run_for(Duration::ZERO);
    }
    assert_eq!(delivered(&mut net, 1), (1..=50).collect::<Vec<_>>());
    assert_eq!(answers(&mut net), vec![Ok(Answer::Done); 50]);
    assert_clean(&net);
}

#[test]
fn of_a_burst_some_arrive_and_the_last_among_them() {
    let mut net = cluster(2);
    (1..=200).for_each(|number| tell(&mut net, 0, 1, Some(1), number));
    // As soon as what was before it is acknowledged.
    net.run_for(Duration::from_millis(1));
    let got = delivered(&mut net, 1);
    assert!(got.len() < 20, "{got:?}");
    assert_eq!((got[0], got.last()), (1, Some(&200)));
    assert!(got.is_sorted());
    let counters = net.node(0).counters().delivery;
    assert_eq!(counters.superseded, 200 - got.len() as u64);
    assert_clean(&net);
}

#[test]
fn each_key_has_its_own_newest() {
    let mut net = cluster(2);
    for number in 1..=100 {
        tell(&mut net, 0, 1, Some(u64::from(number % 2)), number);
    }
    net.run_for(SECOND);
    let got = delivered(&mut net, 1);
    for parity in [0, 1] {
        let of_key: Vec<u8> = got.iter().copied().filter(|number| number % 2 == parity).collect();
        assert!(of_key.is_sorted() && of_key.last() == Some(&(100 - parity)), "{of_key:?}");
    }
}

#[test]
fn values_never_go_back_though_lanes_overtake_each_other() {
    for choice in 0..40 {
        let mut net = cluster(2);
        (1..=40).for_each(|number| tell(&mut net, 0, 1, None, number));
        let mut dice = choice;
        while net.step(dice) {
            dice = dice.wrapping_mul(31).wrapping_add(7);
        }
        net.run_for(SECOND);
        let got = delivered(&mut net, 1);
        assert!(got.is_sorted(), "{got:?}");
        assert_eq!(got.last(), Some(&40));
        assert_clean(&net);
    }
}

#[test]
fn the_last_one_arrives_whatever_is_lost() {
    let mut net = cluster(2);
    tell(&mut net, 0, 1, None, 1);
    net.lose(|_, _| true);
    net.settle();
    (2..=5).for_each(|number| tell(&mut net, 0, 1, None, number));
    net.run_for(20 * SECOND);
    assert_eq!(delivered(&mut net, 1), [5]);
    // The acknowledgement alone is lost.
    tell(&mut net, 0, 1, None, 6);
    net.settle();
    assert_eq!(delivered(&mut net, 1), [6]);
    net.lose(|_, _| true);
    net.run_for(20 * SECOND);
    assert_eq!(delivered(&mut net, 1), [0; 0]);
    // Somebody in between drops it.
    net.mute = vec![1];
    tell(&mut net, 0, 1, None, 7);
    net.mute.clear();
    net.run_for(2 * SECOND);
    assert_eq!(delivered(&mut net, 1), [7]);
    assert_clean(&net);
}

/// Its application is the same.
#[test]
fn values_do_not_go_back_though_the_receiver_left_and_is_back() {
    let mut net = cluster(2);
    tell(&mut net, 0, 1, None, 1);
    net.settle();
    assert_eq!(delivered(&mut net, 1), [1]);
    net.command(1, Command::Leave);
    net.run_for(20 * SECOND);
    assert!(net.joined(0, 1));
    assert_eq!(delivered(&mut net, 1), [0; 0]);
    tell(&mut net, 0, 1, None, 2);
    net.run_for(SECOND);
    assert_eq!(delivered(&mut net, 1), [2]);
    assert_clean(&net);
}

#[test]
fn a_full_lane_keeps_the_newest_alone() {
    let mut net = cluster(2);
    let connection = net.node(0).routes().lane(net.id(1), ChannelId(2), Some(1), 0, |_| 0);
    let connection = connection.unwrap();
    net.handle(0, Event::Congested { connection });
    (1..=9).for_each(|number| tell(&mut net, 0, 1, Some(1), number));
    net.settle();
    assert_eq!(delivered(&mut net, 1), [0; 0]);
    net.handle(0, Event::Drained { connection });
    net.settle();
    assert_eq!(delivered(&mut net, 1), [9]);
}

#[test]
fn for_a_node_that_is_known_no_more_nothing_waits_for_ever() {
    let mut net = cluster(2);
    net.crash(1);
    net.settle();
    tell(&mut net, 0, 1, None, 1);
    let expires = net.node(0).config().delivery.expire_after;
    net.run_for(3 * expires);
    assert_eq!(net.node(0).deliveries(), (1, 0), "it may come back");
    net.command(0, Command::Remove(net.id(1)));
    net.run_for(2 * expires);
    assert_clean(&net);
    assert_eq!(net.node(0).timers().filter(|(_, timer)| is_retransmit(timer)).count(), 0);
}

const fn is_retransmit(timer: &Timer) -> bool {
    matches!(timer, Timer::Retransmit(_))
}

#[test]
fn places_are_bounded_on_both_sides() {
    let mut config = monotonic();
    config.delivery.max_places = 2;
    let mut net = cluster_of(2, &config);
    net.mute = vec![1];
    (1..=3).for_each(|key| tell(&mut net, 0, 1, Some(key), key as u8));
    assert_eq!(answers(&mut net).pop(), Some(Err(CommandError::TooManyPlaces { limit: 2 })));
    net.mute.clear();
    net.run_for(10 * SECOND);
    let mut got = delivered(&mut net, 1);
    got.sort_unstable();
    assert_eq!(got, [1, 2]);
    // There is room again once they are acknowledged.
    (4..=5).for_each(|key| tell(&mut net, 0, 1, Some(key), key as u8));
    net.run_for(SECOND);
    assert_eq!(delivered(&mut net, 1).len(), 2);
    assert_clean(&net);
}

#[test]
fn what_does_not_go_together_is_refused() {
    let mut net = cluster(2);
    let reliable = message(&net, 1, 1);
    send(&mut net, 0, reliable);
    assert!(matches!(answers(&mut net)[..], [Err(CommandError::NotSupported(_))]));
    let (to, channel, destination) = (net.id(1), ChannelId(2), Destination::Inbox);
    let payload = Bytes::new();
    let relayed = Send { to, channel, key: None, destination, relay: true, payload };
    net.command(0, Command::Send(relayed));
    assert!(matches!(answers(&mut net)[..], [Err(CommandError::NotSupported(_))]));
    tell(&mut net, 0, 7, None, 1);
    assert!(matches!(answers(&mut net)[..], [Err(CommandError::UnknownNode(_))]));
}
