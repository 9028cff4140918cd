//! Messages that keep an order on their lane.

use super::*;

/// A message of the order of one key.
fn ordered(net: &Net, to: usize, number: u8) -> SendReliable {
    SendReliable { ordered: true, key: Some(1), ..message(net, to, number) }
}

/// The first is lost, and is to be sent again; the others, of the same order, are not.
fn lose_first(net: &mut Net, first: SendReliable, others: impl IntoIterator<Item = u8>) {
    answers(net);
    net.mute = vec![1];
    send(net, 0, first);
    net.settle();
    net.mute.clear();
    for number in others {
        let message = ordered(net, 1, number);
        send(net, 0, message);
    }
    net.settle();
}

fn acknowledged(count: usize) -> Vec<Result<Answer, CommandError>> {
    vec![Ok(Answer::Acknowledged); count]
}

#[test]
fn one_that_overtook_is_held_until_those_before_it_have_come() {
    let mut net = cluster(2);
    let first = ordered(&net, 1, 1);
    lose_first(&mut net, first, [2, 3]);
    let others = [
        // Of other orders, or of none.
        SendReliable { key: Some(2), ..ordered(&net, 1, 4) },
        SendReliable { key: None, ..ordered(&net, 1, 5) },
        SendReliable { channel: ChannelId::DEFAULT, ..ordered(&net, 1, 6) },
        SendReliable { ordered: false, ..ordered(&net, 1, 7) },
    ];
    for message in others {
        send(&mut net, 0, message);
    }
    net.settle();
    assert_eq!(delivered(&mut net, 1), [4, 5, 6, 7]);
    assert_eq!(net.node(1).deliveries(), (0, 2));
    net.run_for(3 * SECOND);
    assert_eq!(delivered(&mut net, 1), [1, 2, 3]);
    assert_eq!(answers(&mut net), acknowledged(7));
    assert_eq!(net.node(1).deliveries(), (0, 0));
    assert!(!net.node(1).timers().any(|(_, timer)| matches!(timer, Timer::Ordered(_))));
    assert_clean(&net);
}

#[test]
fn the_chain_goes_on_though_a_number_before_it_is_missing() {
    let mut net = cluster(2);
    let lane = |net: &Net, key| {
        net.node(0).routes().lane(net.id(1), ChannelId(2), Some(key), 0, |_| 0).unwrap()
    };
    let other = (2..).find(|key| lane(&net, *key) != lane(&net, 1)).unwrap();
    let connection = lane(&net, other);
    net.handle(0, Event::Congested { connection });
    // The first number waits for room on another lane, and so there is a gap below all others.
    let waits = SendReliable { key: Some(other), ..message(&net, 1, 9) };
    send(&mut net, 0, waits);
    let first = ordered(&net, 1, 1);
    lose_first(&mut net, first, [2]);
    assert_eq!(delivered(&mut net, 1), []);
    net.run_for(3 * SECOND);
    assert_eq!(delivered(&mut net, 1), [1, 2]);
    net.handle(0, Event::Drained { connection });
    net.run_for(SECOND);
    assert_eq!(delivered(&mut net, 1), [9]);
    assert_eq!(answers(&mut net), acknowledged(3));
}

#[test]
fn one_that_failed_is_not_waited_for() {
    let mut net = cluster(2);
    let first = SendReliable { expires: Some(SECOND / 2), ..ordered(&net, 1, 1) };
    lose_first(&mut net, first, [2, 3]);
    assert_eq!(delivered(&mut net, 1), []);
    net.run_for(SECOND / 2);
    assert_eq!(answers(&mut net), [Err(CommandError::NotAcknowledged(net.id(1)))]);
    // They come again, and say that nothing is before them.
    net.run_for(2 * SECOND);
    assert_eq!(delivered(&mut net, 1), [2, 3]);
    assert_eq!(answers(&mut net), acknowledged(2));
    assert_clean(&net);
}

#[test]
fn one_that_is_held_when_it_is_given_up_still_comes_before_later_ones() {
    let mut net = cluster(2);
    let [first, second] = [1, 2].map(|number| {
        let expires = Some(SECOND / 2);
        SendReliable { expires, ..ordered(&net, 1, number) }
    });
    lose_first(&mut net, first, []);
    send(&mut net, 0, second);
    net.run_for(SECOND * 6 / 10);
    let failed = Err(CommandError::NotAcknowledged(net.id(1)));
    assert_eq!(answers(&mut net), [failed.clone(), failed]);
    let third = ordered(&net, 1, 3);
    send(&mut net, 0, third);
    net.settle();
    assert_eq!(delivered(&mut net, 1), [2, 3]);
    assert_eq!(net.node(1).deliveries(), (0, 0));
}

#[test]
fn one_that_was_given_up_does_not_come_after_a_later_one() {
    let mut net = cluster(2);
    answers(&mut net);
    // Since this one is missing, the numbers do not tell that a later one was given up.
    net.mute = vec![1];
    let other = message(&net, 1, 9);
    send(&mut net, 0, other);
    net.mute.clear();
    let first = SendReliable { expires: Some(SECOND / 2), ..ordered(&net, 1, 1) };
    send(&mut net, 0, first);
    // It takes its time.
    net.hold(1);
    let late = net.take_held();
    net.run_for(SECOND * 6 / 10);
    assert_eq!(answers(&mut net), [Err(CommandError::NotAcknowledged(net.id(1)))]);
    let second = ordered(&net, 1, 2);
    send(&mut net, 0, second);
    net.settle();
    assert_eq!(delivered(&mut net, 1), [2]);
    net.release(late);
    net.run_for(3 * SECOND);
    assert_eq!(delivered(&mut net, 1), [9]);
    assert_eq!(net.node(1).counters().delivery.overtaken, 1);
    assert_eq!(answers(&mut net), acknowledged(2));
}

#[test]
fn so_many_are_held_and_the_others_come_again() {
    let mut config = config();
    config.delivery.max_waiting = 2;
    let mut net = cluster_of(2, &config);
    let first = ordered(&net, 1, 1);
    lose_first(&mut net, first, 2..=5);
    assert_eq!(net.node(1).deliveries(), (0, 2));
    assert_eq!(net.node(1).counters().delivery.refused, 2);
    net.run_for(10 * SECOND);
    assert_eq!(delivered(&mut net, 1), [1, 2, 3, 4, 5]);
    assert_eq!(answers(&mut net), acknowledged(5));
}

#[test]
fn what_its_sender_took_with_it_is_not_waited_for_for_ever() {
    let mut net = cluster(2);
    let first = ordered(&net, 1, 1);
    lose_first(&mut net, first, [2, 3]);
    net.crash(0);
    net.run_for(119 * SECOND);
    assert_eq!(delivered(&mut net, 1), []);
    net.run_for(2 * SECOND);
    assert_eq!(delivered(&mut net, 1), [2, 3]);
    assert_eq!(net.node(1).counters().delivery.out_of_order, 1, "the third waited for the second");
    assert_eq!(net.node(1).deliveries(), (0, 0));
}

#[test]
fn a_node_that_leaves_holds_nothing_any_more() {
    let mut net = cluster(2);
    let first = ordered(&net, 1, 1);
    lose_first(&mut net, first, [2]);
    assert_eq!(net.node(1).deliveries(), (0, 1));
    net.command(1, Command::Leave);
    assert_eq!(net.node(1).deliveries(), (0, 0));
    assert!(!net.node(1).timers().any(|(_, timer)| matches!(timer, Timer::Ordered(_))));
}

#[test]
fn a_message_has_one_order_at_most() {
    let mut net = cluster(2);
    answers(&mut net);
    let both = SendReliable { label: Some(LabelId::of(&label())), ..ordered(&net, 1, 1) };
    send(&mut net, 0, both);
    assert!(matches!(answers(&mut net)[..], [Err(CommandError::NotSupported(_))]));
}
