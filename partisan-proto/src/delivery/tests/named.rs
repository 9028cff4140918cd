//! Messages that their application has a name for.

use super::*;

fn named(net: &Net, to: usize, (number, id): (u8, u128)) -> SendReliable {
    SendReliable { id: Some(id), ..message(net, to, number) }
}

fn send_named(net: &mut Net, to: usize, all: impl IntoIterator<Item = (u8, u128)>) {
    for one in all {
        let message = named(net, to, one);
        send(net, 0, message);
    }
    net.run_for(SECOND / 10);
}

#[test]
fn of_messages_of_one_name_one_is_delivered_and_all_are_acknowledged() {
    for to in [0, 1] {
        let mut net = cluster(2);
        answers(&mut net);
        send_named(&mut net, to, [(1, 10), (2, 10), (3, 11)]);
        assert_eq!(delivered(&mut net, to), [1, 3]);
        assert_eq!(answers(&mut net), vec![Ok(Answer::Acknowledged); 3]);
        // Without names they are what they are.
        for _ in 0..2 {
            let message = message(&net, to, 4);
            send(&mut net, 0, message);
        }
        net.run_for(SECOND / 10);
        assert_eq!(delivered(&mut net, to), [4, 4]);
    }
}

#[test]
fn names_of_several_senders_have_nothing_to_do_with_each_other() {
    let mut net = cluster(3);
    for from in [0, 1] {
        let message = named(&net, 2, (1, 10));
        send(&mut net, from, message);
    }
    net.run_for(SECOND / 10);
    assert_eq!(delivered(&mut net, 2), [1, 1]);
}

#[test]
fn a_restarted_sender_may_send_again_what_it_does_not_know_the_fate_of() {
    let mut net = cluster(2);
    send_named(&mut net, 1, [(1, 10)]);
    assert_eq!(delivered(&mut net, 1), [1]);
    net.crash(0);
    net.run_for(SECOND);
    net.start(0, &config(), 2, keeper(2, 0, &config()));
    net.run_for(5 * SECOND);
    answers(&mut net);
    send_named(&mut net, 1, [(1, 10), (2, 11)]);
    assert_eq!(delivered(&mut net, 1), [2]);
    assert_eq!(answers(&mut net), vec![Ok(Answer::Acknowledged); 2]);
}

#[test]
fn the_last_names_of_a_sender_are_known_and_no_more() {
    let mut config = config();
    config.delivery.max_ids = 2;
    let mut net = cluster_of(2, &config);
    send_named(&mut net, 1, [(1, 10), (2, 11), (3, 10), (4, 12)]);
    assert_eq!(delivered(&mut net, 1), [1, 2, 4]);
    // The oldest gave way to the last one.
    send_named(&mut net, 1, [(5, 11), (6, 12), (7, 10)]);
    assert_eq!(delivered(&mut net, 1), [7]);
}

#[test]
fn a_held_or_causal_message_is_known_by_its_name_once_it_is_delivered() {
    let mut net = cluster(2);
    answers(&mut net);
    net.mute = vec![1];
    let ordered = |net: &Net, number, id| SendReliable {
        ordered: true,
        key: Some(1),
        ..named(net, 1, (number, id))
    };
    let first = ordered(&net, 1, 10);
    send(&mut net, 0, first);
    net.settle();
    net.mute.clear();
    for (number, id) in [(2, 11), (3, 11)] {
        let message = ordered(&net, number, id);
        send(&mut net, 0, message);
    }
    let causal = SendReliable { label: Some(LabelId::of(&label())), ..named(&net, 1, (4, 12)) };
    send(&mut net, 0, causal.clone());
    send(&mut net, 0, causal);
    net.run_for(3 * SECOND);
    assert_eq!(delivered(&mut net, 1), [4, 1, 2]);
    assert_eq!(answers(&mut net), vec![Ok(Answer::Acknowledged); 5]);
    assert_clean(&net);
}
