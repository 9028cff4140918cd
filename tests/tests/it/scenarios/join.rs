//! One node joins another, or tries to.

use partisan_proto::{
    Answer, ChannelId, CloseReason, Command, CommandError, Config, Contact, DialError, Duration,
    JoinError, NodeName, Notification, Refusal,
};
use partisan_tests::{Cluster, Restart, with_channels};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(700);

on_both! {
    sync_join_returns_after_connected: 24;
    sync_join_timeout: 8;
    sync_joins_of_one_contact_are_all_answered: 12;
    send_right_after_sync_join_delivers: 24;
    retried_until_the_contact_is_there: 8;
    cancelled_by_removing_the_contact: 8;
    cancelled_by_leaving: 8;
    joining_a_member_again_changes_nothing: 8;
    an_impostor_is_not_joined: 8;
    an_address_that_is_another_nodes_is_told_apart: 8;
    oneself_is_refused: 4;
    the_first_address_may_be_dead: 8;
    an_outdated_address_is_replaced: 12;
    both_at_once_make_one_session: 64;
    a_renewed_spec_does_not_hold_up_sync_join: 8;
}

fn sync_join_returns_after_connected(cluster: &mut impl Cluster) {
    cluster.form(3, &with_channels(&[("bulk", 3)]));
    let joiner = cluster.add(with_channels(&[("bulk", 3)]));
    let asked = cluster.sync_join(joiner, 0, LONG);
    let answer = cluster.wait_for_answer(asked);
    // Now, not soon:
    assert_eq!(answer, Ok(Answer::Joined(cluster.id(0))));
    assert!(cluster.is_connected(joiner, 0));
    assert_eq!(cluster.members(joiner).len(), 4, "the contact's members are known");
    cluster.wait_for_mesh(&[0, 1, 2, 3]);
    let again = cluster.sync_join(joiner, 0, LONG);
    assert_eq!(cluster.wait_for_answer(again), answer, "when connected already");
}

fn sync_join_timeout(cluster: &mut impl Cluster) {
    cluster.start(2, &Config::default());
    cluster.crash(0);
    let asked = cluster.sync_join(1, 0, SHORT);
    match cluster.wait_for_answer(asked) {
        Err(CommandError::JoinTimeout { last: Some(JoinError::Open(_)) }) => {}
        other => panic!("{other:?}"),
    }
    // The join itself goes on.
    cluster.restart(0, Restart::default());
    cluster.wait_for_mesh(&[0, 1]);
}

fn sync_joins_of_one_contact_are_all_answered(cluster: &mut impl Cluster) {
    cluster.start(2, &Config::default());
    let named = Contact::from(&*cluster.spec(0));
    let deadline = LONG;
    let mut asked = vec![cluster.sync_join(1, 0, deadline)];
    for contact in [named, cluster.contact(0)] {
        asked.push(cluster.ask(1, Command::SyncJoin { contact, deadline }));
    }
    for asked in asked {
        let joined = Ok(Answer::Joined(cluster.id(0)));
        assert_eq!(cluster.wait_for_answer(asked), joined);
    }
    cluster.wait_for_mesh(&[0, 1]);
}

/// P6: both ways, and to a member met only through the contact as soon as that is connected.
fn send_right_after_sync_join_delivers(cluster: &mut impl Cluster) {
    cluster.start(2, &Config::default());
    let asked = cluster.sync_join(1, 0, LONG);
    assert!(cluster.wait_for_answer(asked).is_ok());
    let asked = cluster.send(1, 0, (ChannelId::DEFAULT, None), "hello");
    assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Done));
    cluster.wait("the message", |cluster| cluster.texts(0, 1) == ["hello"]);
    // Whoever has received something can answer.
    let asked = cluster.send(0, 1, (ChannelId::DEFAULT, None), "welcome");
    assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Done));
    cluster.wait("the answer", |cluster| cluster.texts(1, 0) == ["welcome"]);
}

/// And a message sent before that fails, it is not lost in silence.
fn retried_until_the_contact_is_there(cluster: &mut impl Cluster) {
    cluster.start(2, &Config::default());
    cluster.crash(0);
    cluster.join(1, 0);
    let failed =
        |note: &Notification| matches!(note, Notification::DialFailed { failures: 3.., .. });
    cluster.wait_for_note(1, "three failures", failed);
    let asked = cluster.send(1, 0, (ChannelId::DEFAULT, None), "too early");
    assert!(cluster.wait_for_answer(asked).is_err());
    cluster.restart(0, Restart::default());
    cluster.wait_for_mesh(&[0, 1]);
    let (joined, id) = (Notification::JoinEnded { result: Ok(cluster.id(0)) }, cluster.id(0));
    assert!(cluster.notifications(1).contains(&joined), "through {id}");
    cluster.exchange(&[0, 1], (ChannelId::DEFAULT, None));
}

fn cancelled_by_removing_the_contact(cluster: &mut impl Cluster) {
    cluster.start(2, &Config::default());
    cluster.crash(0);
    let named = Contact::from(&*cluster.spec(0));
    cluster.ask(1, Command::Join(named));
    cluster.remove(1, 0);
    cancelled(cluster);
}

fn cancelled_by_leaving(cluster: &mut impl Cluster) {
    cluster.start(2, &Config::default());
    cluster.crash(0);
    let asked = cluster.sync_join(1, 0, LONG);
    cluster.ask(1, Command::Leave);
    let error = CommandError::Join(JoinError::Cancelled);
    assert_eq!(cluster.wait_for_answer(asked), Err(error));
    cancelled(cluster);
}

/// Node 1 gave up the join of node 0, which is dead, and does not come back to it.
fn cancelled(cluster: &mut impl Cluster) {
    let result = Err(JoinError::Cancelled);
    let note = Notification::JoinEnded { result };
    cluster.wait_for_note(1, "the end", |found| *found == note);
    cluster.restart(0, Restart::default());
    cluster.rest();
    assert!(cluster.is_mesh(&[0]) && cluster.is_mesh(&[1]));
    assert_eq!(cluster.counters(0).accepted, 0);
}

fn joining_a_member_again_changes_nothing(cluster: &mut impl Cluster) {
    cluster.form(3, &Config::default());
    cluster.rest();
    let sessions = |cluster: &_| Vec::from_iter((0..3).map(|node| sessions(cluster, node)));
    let before = sessions(cluster);
    cluster.join(1, 0);
    cluster.join(0, 1);
    let named = Contact::from(&*cluster.spec(2));
    cluster.ask(1, Command::Join(named));
    for node in 0..2 {
        let ended =
            |note: &&Notification| matches!(note, Notification::JoinEnded { result: Ok(_) });
        let expected = [1, 3][node];
        cluster.wait("the ends", |cluster| {
            cluster.notifications(node).iter().filter(|note| ended(note)).count() == expected
        });
    }
    cluster.rest();
    assert!(cluster.is_mesh(&[0, 1, 2]));
    assert_eq!(sessions(cluster), before, "the same sessions");
}

fn sessions(cluster: &impl Cluster, node: usize) -> u64 {
    cluster.counters(node).sessions
}

/// Somebody else answers at the address of the node that was named.
fn an_impostor_is_not_joined(cluster: &mut impl Cluster) {
    cluster.start(2, &Config::default());
    let contact =
        Contact { name: Some(NodeName::new("somebody-else").unwrap()), ..cluster.contact(0) };
    cluster.ask(1, Command::Join(contact));
    let error = DialError::Closed(CloseReason::Refused(Refusal::UnexpectedPeer));
    cluster.wait_for_note(
        1,
        "a refusal",
        |note| matches!(note, Notification::DialFailed { error: found, .. } if *found == error),
    );
    let joined = |note: &Notification| {
        matches!(note, Notification::MemberJoined { .. } | Notification::NodeUp { .. })
    };
    for node in 0..2 {
        assert!(!cluster.notifications(node).iter().any(joined));
        assert_eq!(cluster.members(node).len(), 1);
    }
}

/// P4: a member's address now belongs to another node: neither is taken for the other.
fn an_address_that_is_another_nodes_is_told_apart(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    cluster.start(1, &Config::default());
    let misled = Contact {
        name: Some(cluster.spec(1).name().clone()),
        addresses: cluster.spec(0).addresses().to_vec(),
    };
    cluster.ask(2, Command::Join(misled));
    let refused =
        |note: &Notification| matches!(note, Notification::DialFailed { node: None | Some(_), .. });
    cluster.wait_for_note(2, "a failure", refused);
    assert!(cluster.is_mesh(&[0, 1]) && cluster.is_mesh(&[2]));
    cluster.join(2, 0);
    cluster.wait_for_mesh(&[0, 1, 2]);
}

/// P4.
fn oneself_is_refused(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let asked = cluster.join(0, 0);
    assert_eq!(cluster.wait_for_answer(asked), Err(CommandError::SelfJoin));
    let contact = Contact { addresses: vec![], ..Contact::from(&*cluster.spec(0)) };
    let asked = cluster.ask(0, Command::SyncJoin { contact, deadline: SHORT });
    assert_eq!(cluster.wait_for_answer(asked), Err(CommandError::SelfJoin));
    assert!(cluster.is_mesh(&[0, 1]));
}

fn the_first_address_may_be_dead(cluster: &mut impl Cluster) {
    cluster.start(3, &Config::default());
    cluster.crash(2);
    let mut contact = cluster.contact(2);
    contact.addresses.extend(cluster.contact(0).addresses);
    let asked = cluster.ask(1, Command::SyncJoin { contact, deadline: LONG });
    assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Joined(cluster.id(0))));
    cluster.wait_for_mesh(&[0, 1]);
}

/// P3: a member that comes back elsewhere is one member, at its new address, for everybody.
fn an_outdated_address_is_replaced(cluster: &mut impl Cluster) {
    cluster.form(4, &Config::default());
    cluster.rest();
    let before = cluster.spec(3);
    cluster.crash(3);
    cluster.restart(3, Restart { keep_state: false, new_address: true });
    assert_ne!(cluster.spec(3).addresses(), before.addresses());
    cluster.join(3, 1);
    cluster.wait_for_mesh(&[0, 1, 2, 3]);
    for node in 0..4 {
        let members = cluster.members(node);
        let found = Vec::from_iter(members.iter().filter(|m| m.spec.id() == before.id()));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].spec, cluster.spec(3), "as node {node} knows it");
    }
    cluster.exchange(&[0, 1, 2, 3], (ChannelId::DEFAULT, None));
}

/// P13: in the original each side may close the connection that the other keeps.
fn both_at_once_make_one_session(cluster: &mut impl Cluster) {
    let config = with_channels(&[("bulk", 2)]);
    cluster.start(2, &config);
    cluster.join(0, 1);
    cluster.join(1, 0);
    cluster.wait_for_mesh(&[0, 1]);
    for node in 0..2 {
        assert_eq!(cluster.connections(node).len(), 4);
    }
    cluster.rest();
    assert!(cluster.is_mesh(&[0, 1]));
    let epoch = |cluster: &_, node, other| epoch(cluster, node, other);
    assert_eq!(epoch(cluster, 0, 1), epoch(cluster, 1, 0));
    cluster.exchange(&[0, 1], (ChannelId::DEFAULT, None));
    cluster.check_alternation();
}

fn epoch(cluster: &impl Cluster, node: usize, other: usize) -> u64 {
    let other = cluster.id(other);
    cluster.routes(node).peer(other).unwrap().epoch.0
}

/// P9: the contact is known under a spec with other addresses and channels than it now has.
fn a_renewed_spec_does_not_hold_up_sync_join(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    cluster.crash(0);
    cluster.reconfigure(0, with_channels(&[("new", 2)]));
    cluster.restart(0, Restart { keep_state: true, new_address: true });
    let named = Contact::from(&*cluster.spec(0));
    let asked = cluster.ask(1, Command::SyncJoin { contact: named, deadline: LONG });
    let by_address = cluster.sync_join(1, 0, LONG);
    let joined = Ok(Answer::Joined(cluster.id(0)));
    assert_eq!(cluster.wait_for_answer(asked), joined);
    assert_eq!(cluster.wait_for_answer(by_address), joined);
    cluster.wait_for_mesh(&[0, 1]);
    assert_eq!(cluster.members(1).len(), 2);
}
