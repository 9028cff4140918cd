//! Messages that must arrive, by way of other nodes.

use alloc::sync::Arc;

use super::*;
use crate::connections::tests::net::Shared;
use crate::id::Incarnation;
use crate::wire::{Cargo, Frame, RelayHeader, RelayId};

/// Three nodes in a line: the first and the last are not connected.
fn line(config: &Config) -> Net {
    wishing_line(config, Shared::default())
}

/// As [`line`]; the list says what the first one's manager wishes at the next
/// [`Command::UpdateMembers`].
fn wishing_line(config: &Config, wishes: Shared<Change>) -> Net {
    let mut net = Net::new();
    for others in [&[1][..], &[0, 2], &[1]] {
        let keep = others.iter().map(|other| spec(*other, config).into()).collect();
        let wishes = Arc::clone(&wishes);
        net.add(config, 1, Keeper { keep, wishes, neighbors: true, ..Keeper::default() });
    }
    net.run_for(5 * SECOND);
    assert!(net.node(0).routes().peer(net.id(2)).is_none());
    net
}

fn relayed(net: &Net, to: usize, number: u8) -> SendReliable {
    SendReliable { relay: true, ..message(net, to, number) }
}

/// The messages 1 to `count` from the first to the last.
fn send_all(net: &mut Net, count: u8) {
    for number in 1..=count {
        let message = relayed(net, 2, number);
        send(net, 0, message);
    }
}

fn assert_arrived(net: &mut Net, count: u8) {
    let mut got = delivered(net, 2);
    got.sort_unstable();
    assert_eq!(got, (1..=count).collect::<Vec<_>>());
    assert_eq!(answers(net), vec![Ok(Answer::Acknowledged); usize::from(count)]);
    assert_clean(net);
}

#[test]
fn a_message_goes_by_another_node_and_so_does_its_acknowledgement() {
    let mut net = line(&config());
    send_all(&mut net, 9);
    net.settle();
    assert!(net.deliveries.iter().all(|(_, delivery)| delivery.relayed));
    assert_eq!(answers(&mut net), [], "not before it is acknowledged");
    net.run_for(SECOND / 10);
    assert_arrived(&mut net, 9);
    let counters = net.node(0).counters();
    assert_eq!((counters.delivery.retransmitted, counters.relay.sent), (0, 9));
}

#[test]
fn one_that_may_not_be_relayed_waits_for_its_target() {
    let mut net = line(&config());
    let message = SendReliable { expires: Some(SECOND), ..message(&net, 2, 1) };
    send(&mut net, 0, message);
    net.run_for(2 * SECOND);
    assert!(delivered(&mut net, 2).is_empty());
    assert_eq!(answers(&mut net), [Err(CommandError::NotAcknowledged(net.id(2)))]);
}

#[test]
fn what_is_lost_on_the_way_is_sent_again() {
    let mut net = line(&config());
    net.mute = vec![2];
    send_all(&mut net, 3);
    net.run_for(SECOND / 2);
    net.mute.clear();
    net.run_for(5 * SECOND);
    assert_arrived(&mut net, 3);
    assert_eq!(net.node(0).counters().delivery.retransmitted, 3);
    let told = |(_, note): &(usize, crate::Notification)| {
        matches!(note, crate::Notification::RelayFailed { .. })
    };
    assert!(!net.notes.iter().any(told), "the application knows nothing of such numbers");
}

#[test]
fn a_lost_acknowledgement_is_sent_again_and_nothing_is_delivered_twice() {
    let mut net = line(&config());
    send_all(&mut net, 3);
    net.settle();
    assert_eq!(delivered(&mut net, 2), [1, 2, 3]);
    net.mute = vec![2];
    net.run_for(SECOND / 2);
    net.mute.clear();
    net.run_for(5 * SECOND);
    assert!(delivered(&mut net, 2).is_empty());
    assert_eq!(answers(&mut net), vec![Ok(Answer::Acknowledged); 3]);
    assert_clean(&net);
}

#[test]
fn a_few_are_on_their_way_at_a_time() {
    let mut config = config();
    config.delivery.relay_window = 2;
    let mut net = line(&config);
    send_all(&mut net, 9);
    net.settle();
    assert_eq!(delivered(&mut net, 2), [1, 2]);
    net.run_for(SECOND / 10);
    assert_eq!(delivered(&mut net, 2), [3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(net.node(0).counters().delivery.retransmitted, 0);
    assert_clean(&net);
}

#[test]
fn others_wait_beside_it_and_nothing_waits_for_them() {
    let mut net = line(&config());
    let direct = SendReliable { expires: Some(30 * SECOND), ..message(&net, 2, 200) };
    send(&mut net, 0, direct);
    send_all(&mut net, 3);
    net.run_for(SECOND);
    assert_eq!(delivered(&mut net, 2), [1, 2, 3]);
    assert_eq!(net.node(0).deliveries().0, 1);
}

#[test]
fn it_goes_straight_once_its_target_is_connected() {
    let wishes = Shared::default();
    let mut net = wishing_line(&config(), Arc::clone(&wishes));
    net.mute = vec![1];
    send_all(&mut net, 3);
    net.run_for(SECOND / 10);
    let (instance, spec) = (net.node(2).instance(), spec(2, &config()).into());
    wishes.lock().unwrap().push(Change::Keep { instance, spec, patient: false });
    net.handle(0, Event::Command { ticket: Ticket(99), command: Command::UpdateMembers(vec![]) });
    net.settle();
    net.replies.clear();
    net.run_for(SECOND / 2);
    assert_arrived(&mut net, 3);
}

#[test]
fn what_a_life_that_is_over_relayed_is_not_taken_for_a_beginning() {
    let mut net = line(&config());
    net.handle(0, Event::Command { ticket: Ticket(99), command: Command::Leave });
    net.run_for(20 * SECOND);
    net.replies.clear();
    send_all(&mut net, 3);
    net.run_for(SECOND);
    assert_arrived(&mut net, 3);
    // What the first life relayed is late.
    relay_by_hand(&mut net, (0, 1), 7);
    net.run_for(SECOND);
    assert!(delivered(&mut net, 2).is_empty());
    let next = relayed(&net, 2, 4);
    send(&mut net, 0, next);
    net.run_for(SECOND);
    assert_eq!(delivered(&mut net, 2), [4], "and nothing of its second life again");
}

/// The last node gets a relayed message of this life of a node, with this number.
fn relay_by_hand(net: &mut Net, (origin, life): (usize, u64), sequence: u64) {
    let lane = net.node(2).connections().into_iter().find(|one| one.channel == ChannelId(2));
    let incarnation = Incarnation(life);
    let header = RelayHeader {
        id: RelayId { origin: net.id(origin), incarnation, sequence },
        target: net.id(2),
        ttl: 1,
        hops: 2,
        flooded: true,
        key: None,
        cargo: Cargo::Reliable { sequence, floor: sequence, terms: Default::default() },
        destination: Destination::Inbox,
    };
    let frame = Frame::Relayed { header: Box::new(header), payload: Bytes::from_static(&[77]) };
    let connection = lane.unwrap().connection;
    net.handle(2, Event::Received { connection, frame });
}

#[test]
fn a_session_of_a_life_that_is_over_brings_nothing_again() {
    let mut net = line(&config());
    let first = message(&net, 2, 1);
    send(&mut net, 1, first);
    net.settle();
    assert_eq!(delivered(&mut net, 2), [1]);
    // Its acknowledgement is lost; and the next life of the sender is heard of before the end of the
    // session with this one.
    net.mute = vec![2];
    net.run_for(SECOND / 2);
    relay_by_hand(&mut net, (1, 2), 1);
    assert_eq!(delivered(&mut net, 2), [77]);
    net.mute.clear();
    net.run_for(5 * SECOND);
    assert!(delivered(&mut net, 2).is_empty());
}

#[test]
fn causal_and_monotonic_ones_are_refused() {
    let mut net = line(&config());
    let labelled = SendReliable { label: Some(LabelId::of(&label())), ..relayed(&net, 2, 1) };
    send(&mut net, 0, labelled);
    let refused =
        CommandError::NotSupported("relays of causal messages; leave out the label or the relay");
    assert_eq!(answers(&mut net), [Err(refused)]);
}

/// A line whose first two nodes take long messages, and the last does not, or the first alone.
fn narrow_line(takes: usize) -> Net {
    let mut net = Net::new();
    for (index, others) in [&[1][..], &[0, 2], &[1]].into_iter().enumerate() {
        let mut config = config();
        if index >= takes {
            config.connections.max_frame = 1 << 10;
        }
        let keep = others.iter().map(|other| spec(*other, &config).into()).collect();
        net.add(&config, 1, Keeper { keep, neighbors: true, ..Keeper::default() });
    }
    net.run_for(5 * SECOND);
    net
}

#[test]
fn one_that_is_too_long_for_a_node_on_its_way_fails_at_once_and_says_so() {
    for takes in [1, 2] {
        let mut net = narrow_line(takes);
        // A short one shows the way: then one that goes it alone is told of, and a copy before.
        for learned in [false, true] {
            let long = SendReliable { payload: vec![7; 2 << 10].into(), ..relayed(&net, 2, 7) };
            send(&mut net, 0, long);
            net.run_for(SECOND / 2);
            assert_eq!(answers(&mut net), [Err(CommandError::RelayTooLarge(net.id(2)))], "{takes}");
            if !learned {
                send_all(&mut net, 1);
                net.run_for(SECOND / 2);
                assert_arrived(&mut net, 1);
            }
        }
        let told = |(_, note): &(usize, crate::Notification)| {
            matches!(note, crate::Notification::RelayFailed { .. })
        };
        assert!(!net.notes.iter().any(told), "the application knows nothing of such numbers");
        assert_clean(&net);
    }
}
