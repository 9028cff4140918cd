//! Messages that must arrive, between whole nodes with a trivial manager and network.

mod causal;
mod named;
mod newest;
mod ordered;
mod random;
mod relayed;

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;

use super::*;
use crate::action::{Answer, Delivery};
use crate::command::{Command, SendReliable};
use crate::connections::tests::net::{Keeper, Net, channels, spec};
use crate::error::CloseReason;
use crate::event::Event;
use crate::id::{ChannelId, LabelName, Ticket};
use crate::time::Duration;
use crate::wire::{Acknowledgement, ControlMessage, Destination};

const SECOND: Duration = Duration::from_secs(1);

fn label() -> LabelName {
    LabelName::new("a").unwrap()
}

fn config() -> Config {
    let mut config = Config { channels: channels(&[("wide", 4)]), ..Config::default() };
    config.delivery.labels = vec![label(), LabelName::new("b").unwrap()];
    config
}

fn keeper(count: usize, index: usize, config: &Config) -> Keeper {
    let others = (0..count).filter(|other| *other != index);
    Keeper { keep: others.map(|other| spec(other, config).into()).collect(), ..Keeper::default() }
}

fn cluster_of(count: usize, config: &Config) -> Net {
    let mut net = Net::new();
    for index in 0..count {
        net.add(config, 1, keeper(count, index, config));
    }
    net.run_for(5 * SECOND);
    net
}

fn cluster(count: usize) -> Net {
    cluster_of(count, &config())
}

/// A message that is its number, on a lane of the wide channel.
fn message(net: &Net, to: usize, number: u8) -> SendReliable {
    SendReliable {
        to: net.id(to),
        channel: ChannelId(2),
        key: Some(number.into()),
        destination: Destination::Inbox,
        payload: Bytes::copy_from_slice(&[number]),
        relay: false,
        expires: None,
        label: None,
        ordered: false,
        id: None,
    }
}

fn send(net: &mut Net, from: usize, send: SendReliable) {
    let ticket = Ticket(send.payload.first().copied().unwrap_or_default().into());
    net.handle(from, Event::Command { ticket, command: Command::SendReliable(Box::new(send)) });
}

/// What was delivered at a node since the last call.
fn delivered(net: &mut Net, index: usize) -> Vec<u8> {
    let (mine, others) = net.deliveries.drain(..).partition(|(node, _)| *node == index);
    net.deliveries = others;
    let mine: Vec<(usize, Delivery)> = mine;
    mine.iter().map(|(_, delivery)| delivery.payload[0]).collect()
}

/// The answers that a node gave since the last call.
fn answers(net: &mut Net) -> Vec<Result<Answer, CommandError>> {
    net.replies.drain(..).map(|(_, result)| result).collect()
}

fn assert_clean(net: &Net) {
    for node in net.nodes.iter().flatten() {
        assert_eq!(node.deliveries(), (0, 0), "{:?}", node.instance());
    }
}

#[test]
fn a_message_arrives_and_its_sender_is_told() {
    let mut net = cluster(2);
    for number in 1..=9 {
        let message = message(&net, 1, number);
        send(&mut net, 0, message);
    }
    net.settle();
    assert_eq!(answers(&mut net), [], "not before it is acknowledged");
    assert_eq!(delivered(&mut net, 1), (1..=9).collect::<Vec<_>>());
    let before = net.frames;
    net.run_for(Duration::ZERO);
    assert_eq!(answers(&mut net), vec![Ok(Answer::Acknowledged); 9]);
    assert_eq!(net.frames - before, 1, "one acknowledgement for all");
    assert_clean(&net);
}

#[test]
fn a_node_sends_to_itself_alike() {
    let mut net = cluster(1);
    let message = message(&net, 0, 1);
    send(&mut net, 0, message);
    assert_eq!(
        (delivered(&mut net, 0), answers(&mut net)),
        (vec![1], vec![Ok(Answer::Acknowledged)])
    );
}

#[test]
fn what_a_node_did_not_acknowledge_before_it_left_fails_at_once() {
    let mut net = cluster(2);
    for number in 1..=3 {
        let message = message(&net, 1, number);
        send(&mut net, 0, message);
    }
    net.handle(1, Event::Command { ticket: Ticket(90), command: Command::Leave });
    net.settle();
    let answers = answers(&mut net);
    let left = Err(CommandError::PeerLeft(net.id(1)));
    assert_eq!(answers.iter().filter(|answer| **answer == left).count(), 3, "{answers:?}");
    assert_clean(&net);
}

#[test]
fn what_has_arrived_is_acknowledged_before_a_node_leaves_or_stops() {
    for command in [Command::Leave, Command::Stop] {
        let mut net = cluster(2);
        let message = message(&net, 1, 1);
        send(&mut net, 0, message);
        net.settle();
        assert_eq!((delivered(&mut net, 1), answers(&mut net)), (vec![1], vec![]));
        net.handle(1, Event::Command { ticket: Ticket(90), command });
        net.settle();
        assert!(answers(&mut net).contains(&Ok(Answer::Acknowledged)));
        assert_clean(&net);
    }
}

#[test]
fn what_waits_for_a_disconnected_node_fails_with_the_news_that_its_stay_is_over() {
    let mut net = cluster(2);
    net.cut(|_, _| true);
    net.settle();
    for relay in [false, true] {
        let message = SendReliable { relay, ..message(&net, 1, relay.into()) };
        send(&mut net, 0, message);
    }
    assert_eq!(answers(&mut net), []);
    let command = Command::Remove(net.id(1));
    net.handle(0, Event::Command { ticket: Ticket(90), command });
    let left = Err(CommandError::PeerLeft(net.id(1)));
    assert_eq!(answers(&mut net), [Ok(Answer::Done), left.clone(), left]);
    assert_clean(&net);
}

#[test]
fn of_a_connected_node_that_is_removed_what_is_on_its_way_may_still_be_acknowledged() {
    let mut net = cluster(2);
    let on_its_way = message(&net, 1, 1);
    send(&mut net, 0, on_its_way);
    let command = Command::Remove(net.id(1));
    net.handle(0, Event::Command { ticket: Ticket(90), command });
    assert_eq!(answers(&mut net), [Ok(Answer::Done)]);
    net.run_for(Duration::ZERO);
    assert_eq!(answers(&mut net), [Ok(Answer::Acknowledged)]);
}

/// Where it stays for later, it is for the next stay.
#[test]
fn what_is_sent_to_a_node_that_left_waits_for_its_return() {
    let mut net = cluster(2);
    net.handle(1, Event::Command { ticket: Ticket(90), command: Command::Leave });
    net.run_for(SECOND);
    answers(&mut net);
    let message = message(&net, 1, 1);
    send(&mut net, 0, message);
    net.run_for(20 * SECOND);
    assert_eq!(
        (delivered(&mut net, 1), answers(&mut net)),
        (vec![1], vec![Ok(Answer::Acknowledged)])
    );
}

#[test]
fn what_is_sent_while_disconnected_arrives_later() {
    let mut net = cluster(2);
    net.cut(|_, _| true);
    net.settle();
    let message = message(&net, 1, 1);
    send(&mut net, 0, message);
    assert_eq!(answers(&mut net), []);
    net.run_for(20 * SECOND);
    assert_eq!(
        (delivered(&mut net, 1), answers(&mut net)),
        (vec![1], vec![Ok(Answer::Acknowledged)])
    );
    assert_clean(&net);
}

#[test]
fn what_is_lost_with_a_connection_comes_once() {
    for session_too in [false, true] {
        let mut net = cluster(2);
        for number in 1..=5 {
            let message = message(&net, 1, number);
            send(&mut net, 0, message);
        }
        let anchor = (0, net.node(0).routes().anchor(net.id(1)).unwrap());
        net.lose(|a, b| session_too || (a != anchor && b != anchor));
        net.run_for(20 * SECOND);
        let mut got = delivered(&mut net, 1);
        got.sort_unstable();
        assert_eq!(got, [1, 2, 3, 4, 5]);
        assert_eq!(answers(&mut net), vec![Ok(Answer::Acknowledged); 5]);
        assert_clean(&net);
    }
}

#[test]
fn what_arrived_is_not_delivered_again_when_the_acknowledgement_is_lost() {
    let mut net = cluster(2);
    let first = message(&net, 1, 1);
    send(&mut net, 0, first);
    net.settle();
    assert_eq!(delivered(&mut net, 1), [1]);
    net.lose(|_, _| true);
    net.run_for(20 * SECOND);
    assert_eq!(
        (delivered(&mut net, 1), answers(&mut net)),
        (vec![], vec![Ok(Answer::Acknowledged)])
    );
    assert_eq!(net.node(1).counters().delivery.duplicates, 1);
    assert_clean(&net);
}

#[test]
fn what_somebody_drops_on_the_way_is_sent_again() {
    let mut net = cluster(2);
    net.mute = vec![1];
    let first = message(&net, 1, 1);
    send(&mut net, 0, first);
    net.run_for(Duration::from_millis(900));
    net.mute.clear();
    net.run_for(Duration::from_millis(200));
    assert_eq!(
        (delivered(&mut net, 1), answers(&mut net)),
        (vec![1], vec![Ok(Answer::Acknowledged)])
    );
    assert_eq!(net.node(0).counters().delivery.retransmitted, 1);
}

#[test]
fn waits_between_transmissions_double() {
    let mut net = cluster(2);
    net.mute = vec![1];
    let first = message(&net, 1, 1);
    send(&mut net, 0, first);
    // At 1, 3, 7 seconds; keep-alive gives the connection up later than that.
    net.run_for(8 * SECOND);
    assert_eq!(net.node(0).counters().delivery.retransmitted, 3);
}

#[test]
fn what_is_not_acknowledged_in_time_failed_once() {
    let mut net = cluster(2);
    net.crash(1);
    net.settle();
    let first = SendReliable { expires: Some(10 * SECOND), ..message(&net, 1, 1) };
    send(&mut net, 0, first);
    let second = message(&net, 1, 2);
    send(&mut net, 0, second);
    net.run_for(9 * SECOND);
    assert_eq!(answers(&mut net), []);
    net.run_for(SECOND);
    let failed = Err(CommandError::NotAcknowledged(net.id(1)));
    assert_eq!(answers(&mut net), vec![failed.clone(); 1]);
    net.run_for(50 * SECOND);
    assert_eq!(answers(&mut net), [failed]);
    net.run_for(600 * SECOND);
    assert_eq!(answers(&mut net), []);
    assert_clean(&net);
}

#[test]
fn a_new_life_of_the_receiver_gets_what_waits_and_one_of_the_sender_counts_anew() {
    let mut net = cluster(2);
    let first = message(&net, 1, 1);
    send(&mut net, 0, first);
    net.settle();
    net.run_for(Duration::ZERO);
    assert_eq!(delivered(&mut net, 1), [1]);
    net.crash(1);
    net.settle();
    let second = message(&net, 1, 2);
    send(&mut net, 0, second);
    net.start(1, &config(), 2, keeper(2, 1, &config()));
    net.run_for(20 * SECOND);
    assert_eq!(delivered(&mut net, 1), [2]);
    net.crash(0);
    net.settle();
    net.start(0, &config(), 2, keeper(2, 0, &config()));
    net.run_for(20 * SECOND);
    // Its numbers begin with one again.
    let third = message(&net, 1, 3);
    send(&mut net, 0, third);
    net.run_for(SECOND);
    assert_eq!(delivered(&mut net, 1), [3]);
    assert_clean(&net);
}

#[test]
fn a_full_lane_holds_up_its_own_messages_alone() {
    let mut net = cluster(2);
    let id = net.id(1);
    let lane =
        |net: &Net, key| net.node(0).routes().lane(id, ChannelId(2), Some(key), 0, |_| 0).unwrap();
    let full = lane(&net, 1);
    let other = (2..50u8).find(|key| lane(&net, u64::from(*key)) != full).unwrap();
    net.handle(0, Event::Congested { connection: full });
    for number in [1, other] {
        let message = message(&net, 1, number);
        send(&mut net, 0, message);
    }
    net.settle();
    assert_eq!(delivered(&mut net, 1), [other]);
    net.handle(0, Event::Drained { connection: full });
    net.settle();
    assert_eq!(delivered(&mut net, 1), [1]);
}

#[test]
fn what_can_never_be_sent_fails_at_once() {
    let mut net = cluster(2);
    let large = SendReliable { payload: vec![0; 64 << 20].into(), ..message(&net, 1, 1) };
    let mut told = |send_it: SendReliable| {
        send(&mut net, 0, send_it);
        answers(&mut net).pop().unwrap().unwrap_err()
    };
    let plain = SendReliable { payload: vec![0; 32 << 20].into(), ..large.clone() };
    assert!(matches!(told(plain), CommandError::PayloadTooLarge { .. }));
    assert!(matches!(told(large.clone()), CommandError::PayloadTooLarge { .. }));
    let beyond = SendReliable { payload: vec![0; (64 << 20) + 1].into(), ..large.clone() };
    assert!(matches!(told(beyond), CommandError::TooManyOutstandingBytes { .. }));
    let channel = SendReliable { channel: ChannelId(9), ..large.clone() };
    assert_eq!(told(channel), CommandError::UnknownChannel(9));
    let reserved = SendReliable { channel: ChannelId::MEMBERSHIP, ..large.clone() };
    assert_eq!(told(reserved), CommandError::ReservedChannel);
    let unknown = LabelId::from_u64(7);
    let labelled = SendReliable { label: Some(unknown), ..large };
    assert_eq!(told(labelled), CommandError::UnknownLabel(unknown));
    assert_clean(&net);
}

#[test]
fn so_many_wait_for_their_acknowledgement_and_no_more() {
    let mut config = config();
    config.delivery.max_outstanding = 2;
    let mut net = cluster_of(2, &config);
    for number in 1..=3 {
        let message = message(&net, 1, number);
        send(&mut net, 0, message);
    }
    assert_eq!(answers(&mut net), [Err(CommandError::TooManyOutstanding { limit: 2 })]);
    net.run_for(SECOND);
    assert_eq!(answers(&mut net), vec![Ok(Answer::Acknowledged); 2]);
    let message = message(&net, 1, 4);
    send(&mut net, 0, message);
    net.run_for(SECOND);
    assert_eq!(answers(&mut net), [Ok(Answer::Acknowledged)]);
}

#[test]
fn numbers_go_on_after_an_idle_node_was_forgotten() {
    let mut net = cluster(3);
    for number in 1..=6u8 {
        for to in [1, 2] {
            let message = message(&net, to, number);
            send(&mut net, 0, message);
        }
        net.run_for(SECOND);
        net.cut(|_, _| true);
        net.run_for(20 * SECOND);
    }
    assert_eq!(delivered(&mut net, 1), [1, 2, 3, 4, 5, 6]);
    assert_eq!(delivered(&mut net, 2), [1, 2, 3, 4, 5, 6]);
    assert_clean(&net);
}

#[test]
fn so_many_senders_are_remembered_and_no_more() {
    let mut config = config();
    config.delivery.max_senders = 1;
    let mut net = cluster_of(3, &config);
    for from in [0, 1, 0, 1] {
        let message = message(&net, 2, from as u8);
        send(&mut net, from, message);
        net.run_for(SECOND);
    }
    assert_eq!(delivered(&mut net, 2), [0, 1, 0, 1]);
    assert_clean(&net);
}

#[test]
fn stopping_and_leaving_end_what_waits() {
    for (command, error) in
        [(Command::Stop, CommandError::Stopping), (Command::Leave, CommandError::Left)]
    {
        let mut net = cluster(2);
        net.mute = vec![1];
        let message = message(&net, 1, 1);
        send(&mut net, 0, message);
        answers(&mut net);
        net.command(0, command);
        assert!(answers(&mut net).contains(&Err(error)));
        assert_eq!(net.node(0).deliveries(), (0, 0));
        let mine = |timer: Timer| matches!(timer, Timer::Retransmit(_) | Timer::Causal);
        assert!(!net.node(0).timers().any(|(_, timer)| mine(timer)));
    }
}

#[test]
fn what_arrived_is_not_delivered_again_to_who_left_and_is_back() {
    let mut net = cluster(2);
    let first = message(&net, 1, 1);
    send(&mut net, 0, first);
    net.settle();
    assert_eq!(delivered(&mut net, 1), [1]);
    net.command(1, Command::Leave);
    net.run_for(20 * SECOND);
    assert!(net.joined(0, 1));
    let second = message(&net, 1, 2);
    send(&mut net, 0, second);
    net.run_for(SECOND);
    assert_eq!(delivered(&mut net, 1), [2]);
    assert!(answers(&mut net).iter().all(Result::is_ok));
    assert_clean(&net);
}

#[test]
fn acknowledgements_of_what_was_never_sent_are_nothing() {
    let mut net = cluster(2);
    let connection = net.node(0).routes().anchor(net.id(1)).unwrap();
    net.handle(
        0,
        Event::Congested {
            connection: net
                .node(0)
                .routes()
                .lane(net.id(1), ChannelId(2), Some(1), 0, |_| 0)
                .unwrap(),
        },
    );
    let message = message(&net, 1, 1);
    send(&mut net, 0, message);
    let lies = Acknowledgement {
        upto: u64::MAX,
        also: crate::wire::Bounded::from_first([(9, 1)]),
        newest: crate::wire::Bounded::new(),
    };
    let frame = crate::wire::Frame::Control(ControlMessage::Acknowledge(Box::new(lies)));
    net.handle(0, Event::Received { connection, frame });
    assert_eq!(answers(&mut net), [], "it has not left yet");
    assert_eq!(net.node(0).deliveries().0, 1);
    net.handle(0, Event::Closed { connection, reason: CloseReason::Broken });
}
