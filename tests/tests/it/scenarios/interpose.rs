//! What interposers do to messages, the same in both worlds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use partisan_proto::interposition::{Kind, Passing, Side, Verdict};
use partisan_proto::wire::Destination;
use partisan_proto::{Answer, ChannelId, Config, Duration, NodeId};
use partisan_tests::Cluster;

on_both! {
    drop_on_send_then_remove: 8;
    drop_on_receive_by_peer: 8;
    delay_reenqueues_and_delivers: 8;
    duplicate: 8;
    rewrite: 8;
    several_in_order: 4;
    an_acknowledged_message_that_is_dropped_comes_again: 8;
    exactly_once_when_acknowledgements_are_lost: 8;
    what_a_node_sends_to_itself_is_not_shown: 2;
}

const PLAIN: (ChannelId, Option<u64>) = (ChannelId::DEFAULT, None);

/// Whether a message is for the inbox, on this side.
fn is_for_inbox(passing: &Passing<'_>, side: Side) -> bool {
    let inbox = [Kind::Message(&Destination::Inbox), Kind::Reliable(&Destination::Inbox)];
    passing.side == side && inbox.contains(&passing.kind)
}

/// On this side every message for the inbox meets this.
fn always(side: Side, verdict: Verdict) -> impl FnMut(&Passing<'_>) -> Verdict {
    move |passing| match is_for_inbox(passing, side) {
        true => verdict.clone(),
        false => Verdict::Pass,
    }
}

fn tell(cluster: &mut impl Cluster, from: usize, to: usize, text: &str) {
    let asked = cluster.send(from, to, PLAIN, text);
    assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Done));
}

fn wait_for(cluster: &mut impl Cluster, to: usize, from: usize, texts: &[&str]) {
    cluster.wait("the messages", |cluster| cluster.texts(to, from).len() >= texts.len());
    assert_eq!(cluster.texts(to, from), texts);
}

/// Partisan's `forward_interposition_test`.
fn drop_on_send_then_remove(cluster: &mut impl Cluster) {
    cluster.form(3, &Config::default());
    let to: NodeId = cluster.id(1);
    cluster.interpose(0, "drop", move |passing: &Passing<'_>| {
        match is_for_inbox(passing, Side::Sending) && passing.peer == to {
            true => Verdict::Drop,
            false => Verdict::Pass,
        }
    });
    tell(cluster, 0, 1, "lost");
    tell(cluster, 0, 2, "to another");
    tell(cluster, 2, 1, "of another");
    wait_for(cluster, 2, 0, &["to another"]);
    wait_for(cluster, 1, 2, &["of another"]);
    cluster.rest();
    assert!(cluster.remove_interposer(0, "drop") && !cluster.remove_interposer(0, "drop"));
    tell(cluster, 0, 1, "after");
    wait_for(cluster, 1, 0, &["after"]);
}

/// Partisan's `receive_interposition_test`, which cannot pass there: the peer is not known.
fn drop_on_receive_by_peer(cluster: &mut impl Cluster) {
    cluster.form(3, &Config::default());
    let from = cluster.id(0);
    cluster.interpose(1, "drop", move |passing: &Passing<'_>| {
        match is_for_inbox(passing, Side::Receiving) && passing.peer == from {
            true => Verdict::Drop,
            false => Verdict::Pass,
        }
    });
    tell(cluster, 0, 1, "lost");
    tell(cluster, 2, 1, "of another");
    wait_for(cluster, 1, 2, &["of another"]);
    cluster.rest();
    cluster.remove_interposer(1, "drop");
    tell(cluster, 0, 1, "after");
    wait_for(cluster, 1, 0, &["after"]);
}

/// Partisan's `forward_delay_interposition_test`; there nothing at all arrives, and it passes.
fn delay_reenqueues_and_delivers(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    for (node, side) in [(0, Side::Sending), (1, Side::Receiving)] {
        let mut first = true;
        cluster.interpose(node, "delay", move |passing: &Passing<'_>| {
            match is_for_inbox(passing, side) && std::mem::take(&mut first) {
                true => Verdict::Delay(Duration::from_millis(1500)),
                false => Verdict::Pass,
            }
        });
        let before = cluster.texts(1, 0).len();
        tell(cluster, 0, 1, "late");
        tell(cluster, 0, 1, "not late");
        cluster.wait("both", |cluster| cluster.texts(1, 0).len() == before + 2);
        assert_eq!(cluster.texts(1, 0)[before..], ["not late", "late"]);
        cluster.remove_interposer(node, "delay");
    }
}

fn duplicate(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    cluster.interpose(0, "twice", always(Side::Sending, Verdict::Duplicate));
    cluster.interpose(1, "twice", always(Side::Receiving, Verdict::Duplicate));
    tell(cluster, 0, 1, "x");
    wait_for(cluster, 1, 0, &["x"; 4]);
    // One that must arrive is delivered once all the same.
    let asked = cluster.send_reliable(0, 1, None, "once");
    assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Acknowledged));
    cluster.rest();
    assert_eq!(cluster.texts(1, 0), ["x", "x", "x", "x", "once"]);
}

fn rewrite(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let instead = |text| Verdict::Rewrite(Bytes::from_static(text));
    cluster.interpose(0, "other", always(Side::Sending, instead(b"sent otherwise")));
    tell(cluster, 0, 1, "x");
    wait_for(cluster, 1, 0, &["sent otherwise"]);
    cluster.remove_interposer(0, "other");
    cluster.interpose(1, "other", always(Side::Receiving, instead(b"read otherwise")));
    tell(cluster, 0, 1, "x");
    wait_for(cluster, 1, 0, &["sent otherwise", "read otherwise"]);
    let asked = cluster.send_reliable(0, 1, None, "x");
    assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Acknowledged));
    wait_for(cluster, 1, 0, &["sent otherwise", "read otherwise", "read otherwise"]);
}

/// The first sees what was sent, and the last what travels: Partisan's `pre` and `post` hooks.
fn several_in_order(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let seen = [0, 1].map(|_| Arc::new(AtomicUsize::new(0)));
    for (name, count) in ["before", "after"].into_iter().zip(&seen) {
        let count = Arc::clone(count);
        let expected = if name == "before" { &b"sent"[..] } else { b"travels" };
        if name == "after" {
            let instead = Verdict::Rewrite(Bytes::from_static(b"travels"));
            cluster.interpose(0, "transform", always(Side::Sending, instead));
        }
        cluster.interpose(0, name, move |passing: &Passing<'_>| {
            if is_for_inbox(passing, Side::Sending) && passing.payload == expected {
                count.fetch_add(1, Ordering::Relaxed);
            }
            Verdict::Pass
        });
    }
    tell(cluster, 0, 1, "sent");
    wait_for(cluster, 1, 0, &["travels"]);
    assert_eq!(seen.map(|count| count.load(Ordering::Relaxed)), [1, 1]);
}

/// Partisan's `ack_test`.
fn an_acknowledged_message_that_is_dropped_comes_again(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let dropped = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&dropped);
    cluster.interpose(0, "drop", move |passing: &Passing<'_>| {
        match is_for_inbox(passing, Side::Sending) && count.load(Ordering::Relaxed) < 2 {
            true => {
                count.fetch_add(1, Ordering::Relaxed);
                Verdict::Drop
            }
            false => Verdict::Pass,
        }
    });
    let asked = cluster.send_reliable(0, 1, None, "it comes again");
    assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Acknowledged));
    wait_for(cluster, 1, 0, &["it comes again"]);
    assert_eq!(dropped.load(Ordering::Relaxed), 2);
}

/// P11: in the original a lost acknowledgement makes a second delivery.
fn exactly_once_when_acknowledgements_are_lost(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let mut lost = 0;
    cluster.interpose(1, "drop", move |passing: &Passing<'_>| {
        if passing.side == Side::Sending && passing.kind == Kind::Acknowledgement && lost < 3 {
            lost += 1;
            return Verdict::Drop;
        }
        Verdict::Pass
    });
    let asked = [0, 1, 2].map(|number| cluster.send_reliable(0, 1, None, &number.to_string()));
    for asked in asked {
        assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Acknowledged));
    }
    cluster.rest();
    let mut texts = cluster.texts(1, 0);
    texts.sort_unstable();
    assert_eq!(texts, ["0", "1", "2"]);
    assert!(cluster.counters(1).delivery.duplicates > 0);
}

fn what_a_node_sends_to_itself_is_not_shown(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    cluster.interpose(0, "drop", |_: &Passing<'_>| Verdict::Drop);
    tell(cluster, 0, 0, "to myself");
    wait_for(cluster, 0, 0, &["to myself"]);
}
