//! Causal order by labels, in both worlds.

use partisan_proto::interposition::{Kind, Passing, Side, Verdict};
use partisan_proto::wire::Destination;
use partisan_proto::{Answer, Command, Config, Duration, LabelId, LabelName, NodeId};
use partisan_tests::{Cluster, Restart};

on_both_and_with_faults! {
    basic: 4, nodes 3;
}

on_both! {
    two_messages_reordered: 8;
    transitive_three_nodes: 8;
    lost_then_retransmitted_in_order: 8;
    labels_do_not_wait_for_each_other: 4;
    the_past_of_what_was_stored_survives_a_restart: 8;
}

fn label(name: &str) -> LabelName {
    LabelName::new(name).expect("a good name")
}

fn labelled() -> Config {
    let mut config = Config::default();
    config.delivery.labels = vec![label("a"), label("b")];
    config
}

fn a() -> Option<LabelId> {
    Some(LabelId::of(&label("a")))
}

/// Partisan's `basic_test` with a causal label.
fn basic(cluster: &mut impl Cluster) {
    cluster.form(3, &labelled());
    for (from, to) in [(0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0)] {
        for number in 0..3 {
            // A session may be over for a moment.
            while {
                let asked = cluster.send_reliable(from, to, a(), &number.to_string());
                cluster.wait_for_answer(asked) != Ok(Answer::Acknowledged)
            } {
                cluster.wait("a session", |cluster| cluster.is_connected(from, to));
            }
        }
        let mut texts = cluster.texts(to, from);
        texts.dedup();
        assert_eq!(texts, ["0", "1", "2"]);
    }
}

/// The first message from `from` to `to` that must arrive takes two seconds longer.
fn hold_up_first(cluster: &mut impl Cluster, from: usize, to: usize, verdict: Verdict) {
    let peer: NodeId = cluster.id(to);
    let mut first = true;
    cluster.interpose(from, "hold up", move |passing: &Passing<'_>| {
        let message = passing.kind == Kind::Reliable(&Destination::Inbox);
        let it = passing.side == Side::Sending && passing.peer == peer && message;
        match it && std::mem::take(&mut first) {
            true => verdict.clone(),
            false => Verdict::Pass,
        }
    });
}

/// Partisan's `causal_test`.
fn two_messages_reordered(cluster: &mut impl Cluster) {
    cluster.form(2, &labelled());
    hold_up_first(cluster, 0, 1, Verdict::Delay(Duration::from_millis(800)));
    let asked = ["1", "2", "3"].map(|text| cluster.send_reliable(0, 1, a(), text));
    for asked in asked {
        assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Acknowledged));
    }
    assert_eq!(cluster.texts(1, 0), ["1", "2", "3"]);
}

/// P12: what 0 sent to 2 comes before what 1 sends there once it has heard of it; in the original it
/// need not.
fn transitive_three_nodes(cluster: &mut impl Cluster) {
    cluster.form(3, &labelled());
    hold_up_first(cluster, 0, 2, Verdict::Delay(Duration::from_millis(800)));
    let late = cluster.send_reliable(0, 2, a(), "cause");
    let asked = cluster.send_reliable(0, 1, a(), "news");
    assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Acknowledged));
    let asked = cluster.send_reliable(1, 2, a(), "effect");
    for asked in [late, asked] {
        assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Acknowledged));
    }
    let deliveries = cluster.deliveries(2);
    let texts = Vec::from_iter(deliveries.iter().map(|one| &one.payload[..]));
    assert_eq!(texts, [&b"cause"[..], b"effect"]);
}

fn lost_then_retransmitted_in_order(cluster: &mut impl Cluster) {
    cluster.form(2, &labelled());
    hold_up_first(cluster, 0, 1, Verdict::Drop);
    let asked = ["1", "2", "3"].map(|text| cluster.send_reliable(0, 1, a(), text));
    for asked in asked {
        assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Acknowledged));
    }
    assert_eq!(cluster.texts(1, 0), ["1", "2", "3"]);
}

fn labels_do_not_wait_for_each_other(cluster: &mut impl Cluster) {
    cluster.form(2, &labelled());
    hold_up_first(cluster, 0, 1, Verdict::Delay(Duration::from_millis(800)));
    let late = cluster.send_reliable(0, 1, a(), "a");
    let other = Some(LabelId::of(&label("b")));
    let asked = [other, None].map(|label| cluster.send_reliable(0, 1, label, "soon"));
    for asked in asked {
        assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Acknowledged));
    }
    assert_eq!(cluster.texts(1, 0), ["soon", "soon"]);
    assert_eq!(cluster.wait_for_answer(late), Ok(Answer::Acknowledged));
    assert_eq!(cluster.texts(1, 0), ["soon", "soon", "a"]);
}

/// 0 tells 2, which takes a while, and then 1; that dies with what it was told stored, and its next
/// life tells 2 what follows from it.
fn the_past_of_what_was_stored_survives_a_restart(cluster: &mut impl Cluster) {
    cluster.form(3, &labelled());
    hold_up_first(cluster, 0, 2, Verdict::Delay(Duration::from_secs(4)));
    let late = cluster.send_reliable(0, 2, a(), "cause");
    let asked = cluster.send_reliable(0, 1, a(), "news");
    assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Acknowledged));
    let label = a().expect("a label");
    let asked = cluster.ask(1, Command::CausalPast(label));
    let Ok(Answer::CausalPast(past)) = cluster.wait_for_answer(asked) else {
        panic!("no past");
    };
    cluster.crash(1);
    cluster.restart(1, Restart { keep_state: true, new_address: false });
    let asked = cluster.ask(1, Command::RecallCausalPast { label, past });
    assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Done));
    cluster.wait("a session", |cluster| cluster.is_connected(1, 2));
    let asked = cluster.send_reliable(1, 2, a(), "effect");
    for asked in [late, asked] {
        assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Acknowledged));
    }
    let deliveries = cluster.deliveries(2);
    let texts = Vec::from_iter(deliveries.iter().map(|one| &one.payload[..]));
    assert_eq!(texts, [&b"cause"[..], b"effect"]);
}
