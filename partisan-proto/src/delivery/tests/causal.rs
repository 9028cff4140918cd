//! Causal order.

use super::*;

fn causal(net: &Net, to: usize, number: u8) -> SendReliable {
    SendReliable { label: Some(LabelId::of(&label())), ..message(net, to, number) }
}

fn say(net: &mut Net, from: usize, to: usize, number: u8) {
    let message = causal(net, to, number);
    send(net, from, message);
}

/// Delivers what is on its way to all but `held`.
fn settle_but(net: &mut Net, held: usize) {
    net.hold(held);
    net.settle();
}

#[test]
fn what_a_third_party_says_comes_after_what_it_knew() {
    // A tells B, then C; C tells B. B hears C first.
    let mut net = cluster(3);
    say(&mut net, 0, 1, 1);
    settle_but(&mut net, 1);
    let held = net.take_held();
    say(&mut net, 0, 2, 2);
    net.settle();
    assert_eq!(delivered(&mut net, 2), [2]);
    say(&mut net, 2, 1, 3);
    net.settle();
    assert_eq!(delivered(&mut net, 1), [0; 0], "it waits for the first");
    assert_eq!(net.node(1).deliveries().1, 1);
    net.release(held);
    net.settle();
    assert_eq!(delivered(&mut net, 1), [1, 3]);
    net.run_for(SECOND);
    assert_clean(&net);
}

#[test]
fn labels_know_nothing_of_each_other() {
    let mut net = cluster(3);
    say(&mut net, 0, 1, 1);
    settle_but(&mut net, 1);
    let held = net.take_held();
    say(&mut net, 0, 2, 2);
    net.settle();
    let other = LabelId::of(&LabelName::new("b").unwrap());
    let third = SendReliable { label: Some(other), ..causal(&net, 1, 3) };
    send(&mut net, 2, third);
    net.settle();
    assert_eq!(delivered(&mut net, 1), [3]);
    net.release(held);
    net.settle();
    assert_eq!(delivered(&mut net, 1), [1]);
}

#[test]
fn messages_of_one_sender_keep_their_order_across_lanes() {
    let mut net = cluster(2);
    (1..=8).for_each(|number| say(&mut net, 0, 1, number));
    // The lanes that were dialled last first.
    while net.step(usize::MAX) {}
    assert_eq!(delivered(&mut net, 1), (1..=8).collect::<Vec<_>>());
    net.run_for(SECOND);
    assert_clean(&net);
}

#[test]
fn what_is_known_to_be_delivered_is_not_carried_on() {
    let mut net = cluster(3);
    for round in 0..50u8 {
        for (from, to) in [(0, 1), (1, 2), (2, 0)] {
            say(&mut net, from, to, round);
            net.run_for(Duration::from_millis(10));
        }
    }
    let frames = net.causal_sizes();
    let most = frames.iter().max().unwrap();
    assert!(*most <= 6, "a message carries {most} dependencies");
    net.run_for(600 * SECOND);
    assert!(!net.node(0).timers().any(|(_, timer)| timer == Timer::Causal), "all is forgotten");
}

/// Node 0 dies before it has told node 1; node 2 knows of the message, and tells node 1 another.
fn with_a_lost_message() -> Net {
    let mut net = cluster(3);
    net.mute = vec![1];
    say(&mut net, 0, 1, 1);
    net.mute.clear();
    say(&mut net, 0, 2, 2);
    net.settle();
    net.crash(0);
    net.settle();
    say(&mut net, 2, 1, 3);
    net
}

#[test]
fn nothing_waits_for_ever_for_what_is_lost() {
    let mut net = with_a_lost_message();
    net.run_for(119 * SECOND);
    assert_eq!(delivered(&mut net, 1), [0; 0]);
    net.run_for(2 * SECOND);
    assert_eq!(delivered(&mut net, 1), [3]);
    assert_eq!(net.node(1).counters().delivery.out_of_patience, 1);
}

#[test]
fn a_later_life_of_the_sender_ends_the_wait_for_the_earlier() {
    let mut net = with_a_lost_message();
    net.run_for(SECOND);
    net.start(0, &config(), 2, keeper(3, 0, &config()));
    net.run_for(55 * SECOND);
    assert_eq!(delivered(&mut net, 1), [0; 0], "the first may stand for what still comes");
    net.run_for(5 * SECOND);
    assert_eq!(delivered(&mut net, 1), [3]);
    assert_eq!(net.node(1).counters().delivery.out_of_patience, 0);
}

/// What is lost with its sender may stand for a message of somebody else, which comes late.
#[test]
fn what_a_lost_message_stands_for_is_waited_for() {
    let mut config = config();
    let late = 40 * SECOND;
    (config.delivery.retransmit_after, config.delivery.retransmit_most) = (late, late);
    let mut net = cluster_of(4, &config);
    net.mute = vec![1];
    say(&mut net, 3, 1, 1);
    net.settle();
    net.mute.clear();
    say(&mut net, 3, 0, 2);
    net.settle();
    net.mute = vec![1];
    say(&mut net, 0, 1, 3);
    net.settle();
    net.mute.clear();
    say(&mut net, 0, 2, 4);
    net.settle();
    net.crash(0);
    net.settle();
    say(&mut net, 2, 1, 5);
    net.run_for(SECOND);
    net.start(0, &config, 2, keeper(4, 0, &config));
    net.run_for(70 * SECOND);
    assert_eq!(delivered(&mut net, 1), [1, 5]);
    assert_eq!(net.node(1).counters().delivery.out_of_patience, 0);
}

#[test]
fn a_causal_message_is_for_the_present_life_of_its_receiver() {
    let mut net = cluster(2);
    net.mute = vec![1];
    say(&mut net, 0, 1, 1);
    net.mute.clear();
    net.crash(1);
    net.settle();
    answers(&mut net);
    say(&mut net, 0, 1, 2);
    assert_eq!(answers(&mut net), [Err(CommandError::Disconnected(net.id(1)))]);
    net.start(1, &config(), 2, keeper(2, 1, &config()));
    net.run_for(20 * SECOND);
    assert!(answers(&mut net).contains(&Err(CommandError::PeerRestarted(net.id(1)))));
    assert_eq!(delivered(&mut net, 1), [0; 0]);
    say(&mut net, 0, 1, 3);
    net.run_for(SECOND);
    assert_eq!(delivered(&mut net, 1), [3]);
    assert_clean(&net);
}

#[test]
fn so_many_wait_and_the_others_come_again() {
    let mut config = config();
    config.delivery.max_waiting = 2;
    let mut net = cluster_of(2, &config);
    (1..=5).for_each(|number| say(&mut net, 0, 1, number));
    while net.step(usize::MAX) {}
    assert!(net.node(1).deliveries().1 <= 2);
    net.run_for(60 * SECOND);
    assert_eq!(delivered(&mut net, 1), [1, 2, 3, 4, 5]);
    assert_clean(&net);
}

#[test]
fn so_many_dependencies_are_carried_and_no_more() {
    let mut config = config();
    config.delivery.max_dependencies = 2;
    let mut net = cluster_of(5, &config);
    net.mute = vec![1, 2, 3];
    (1..=3).for_each(|to| say(&mut net, 0, to, to as u8));
    say(&mut net, 0, 4, 4);
    let limit = 2;
    assert_eq!(answers(&mut net), [Err(CommandError::TooManyDependencies { limit })]);
    net.mute.clear();
    net.run_for(10 * SECOND);
    say(&mut net, 0, 4, 5);
    net.run_for(SECOND);
    assert_eq!(delivered(&mut net, 4), [5]);
}

#[test]
fn a_label_that_is_not_configured_at_the_receiver_is_counted() {
    let mut net = Net::new();
    net.add(&config(), 1, keeper(2, 0, &config()));
    let other = Config { delivery: crate::config::DeliveryConfig::default(), ..config() };
    net.add(&other, 1, keeper(2, 1, &config()));
    net.run_for(5 * SECOND);
    say(&mut net, 0, 1, 1);
    net.run_for(61 * SECOND);
    let failed = Err(CommandError::NotAcknowledged(net.id(1)));
    assert!(answers(&mut net).contains(&failed));
    assert!(net.node(1).counters().delivery.unknown_label >= 1);
}

/// What a life of a node sent may be delivered when a later one has followed, which numbers anew.
#[test]
fn a_late_delivery_acknowledges_nothing_of_a_later_life() {
    let mut config = config();
    let late = 40 * SECOND;
    (config.delivery.retransmit_after, config.delivery.retransmit_most) = (late, late);
    let mut net = cluster_of(3, &config);
    net.mute = vec![1];
    say(&mut net, 0, 1, 1);
    net.mute.clear();
    say(&mut net, 0, 2, 2);
    net.settle();
    net.crash(0);
    net.settle();
    say(&mut net, 2, 1, 3);
    net.run_for(SECOND);
    net.crash(2);
    net.settle();
    net.start(2, &config, 2, keeper(3, 2, &config));
    net.run_for(117 * SECOND);
    answers(&mut net);
    net.mute = vec![1];
    let lost = message(&net, 1, 9);
    send(&mut net, 2, lost);
    net.settle();
    net.mute.clear();
    net.run_for(5 * SECOND);
    assert_eq!((delivered(&mut net, 1), answers(&mut net)), (vec![3], vec![]));
    net.run_for(late);
    assert_eq!(
        (delivered(&mut net, 1), answers(&mut net)),
        (vec![9], vec![Ok(Answer::Acknowledged)])
    );
}

#[test]
fn what_a_failed_message_stood_for_still_comes_first() {
    // A tells B, then C; C tells B something that fails, and then something else.
    let mut net = cluster(3);
    say(&mut net, 0, 1, 1);
    settle_but(&mut net, 1);
    let held = net.take_held();
    say(&mut net, 0, 2, 2);
    net.settle();
    let large = SendReliable { payload: vec![3; 32 << 20].into(), ..causal(&net, 1, 3) };
    send(&mut net, 2, large);
    assert!(matches!(answers(&mut net).pop(), Some(Err(CommandError::PayloadTooLarge { .. }))));
    say(&mut net, 2, 1, 4);
    net.settle();
    assert_eq!(delivered(&mut net, 1), [0; 0], "it waits for the first");
    net.release(held);
    net.settle();
    assert_eq!(delivered(&mut net, 1), [1, 4]);
    net.run_for(SECOND);
    assert_clean(&net);
}

#[test]
fn a_past_is_given_back_as_it_was_or_refused() {
    let mut net = cluster(3);
    let label = LabelId::of(&label());
    say(&mut net, 0, 1, 1);
    settle_but(&mut net, 1);
    net.command(0, Command::CausalPast(label));
    let Some(Ok(Answer::CausalPast(past))) = answers(&mut net).pop() else {
        panic!("no past");
    };
    // Another node takes it for its own past: what it sends waits for that message.
    let held = net.take_held();
    net.command(2, Command::RecallCausalPast { label, past: past.clone() });
    assert_eq!(answers(&mut net), [Ok(Answer::Done)]);
    say(&mut net, 2, 1, 2);
    net.settle();
    assert_eq!(delivered(&mut net, 1), [0; 0]);
    net.release(held);
    net.settle();
    assert_eq!(delivered(&mut net, 1), [1, 2]);
    let mut longer = past.to_vec();
    longer.push(0);
    for bad in [&b""[..], b"\x02", &past[..past.len() - 1], &longer] {
        net.replies.clear();
        let past = Bytes::copy_from_slice(bad);
        net.command(2, Command::RecallCausalPast { label, past });
        assert_eq!(answers(&mut net), [Err(CommandError::BadCausalPast)]);
    }
    let unknown = LabelId::from_u64(1);
    net.command(2, Command::CausalPast(unknown));
    assert_eq!(answers(&mut net), [Err(CommandError::UnknownLabel(unknown))]);
}
