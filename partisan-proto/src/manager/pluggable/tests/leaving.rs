//! Leaving, removing, being removed, update_members.

use super::*;
use crate::action::Answer;
use crate::command::Command::{Join, Leave, Remove, SyncJoin, UpdateMembers};
use crate::error::JoinError;
use crate::time::Duration;

const A: ConnectionId = ConnectionId::accepted(2);
const B: ConnectionId = ConnectionId::accepted(3);

fn done() -> Vec<(Ticket, Result<Answer, CommandError>)> {
    vec![(Ticket(1), Ok(Answer::Done))]
}

fn left(node: NodeId) -> Notification {
    Notification::MemberLeft { node }
}

fn release(node: NodeId, reason: CloseReason) -> Change {
    Change::Release { node, reason }
}

#[test]
fn who_leaves_tells_all_peers_first_and_goes_on_alone_as_a_later_incarnation() {
    let mut machine = started();
    let a = member(&mut machine, "a", 2);
    let b = member(&mut machine, "b", 3);
    let own = machine.me.instance.node;
    let output = machine.command(1, Leave);
    assert_eq!(told(&output, A), [removal(own, 10)]);
    assert_eq!(told(&output, B), [removal(own, 10)]);
    let reason = CloseReason::Left;
    assert_eq!(output.changes[0], Change::Reborn { reason });
    for node in [a.id(), b.id()] {
        assert!(output.changes.contains(&release(node, reason)));
        assert!(output.notifications().contains(&&left(node)));
    }
    assert!(output.changes.contains(&Change::MembersChanged));
    assert_eq!(output.replies(), done());
    assert_eq!(machine.names(), ["m"]);
    assert_eq!(machine.me.instance.incarnation, Incarnation(11));
    let stored = Snapshot::decode(output.persisted()[0]).unwrap();
    assert_eq!(stored.joined, Incarnation(11));
    assert_eq!(stored.entries, [removal(own, 10)]);
}

#[test]
fn leaving_alone_changes_nothing_but_cancels_joins() {
    let mut machine = started();
    let output = machine.command(1, Leave);
    assert_eq!(output.replies(), done());
    assert!(output.changes.is_empty());
    assert_eq!(machine.me.instance.incarnation, Incarnation(10));
    let deadline = Duration::from_secs(5);
    let contact = contact(&spec_at("a", 2));
    machine.command(2, SyncJoin { contact, deadline });
    let output = machine.command(1, Leave);
    let cancelled = Err(CommandError::Join(JoinError::Cancelled));
    assert_eq!(output.replies()[0], (Ticket(2), cancelled));
    assert!(matches!(output.changes[..], [Change::DropContact { .. }]));
}

#[test]
fn removing_a_member_tells_everybody_and_it_too_and_then_lets_it_go() {
    let mut machine = started();
    let a = member(&mut machine, "a", 2);
    member(&mut machine, "b", 3);
    let output = machine.command(1, Remove(a.id()));
    assert_eq!(told(&output, A), [removal(a.id(), 1)]);
    assert_eq!(told(&output, B), [removal(a.id(), 1)]);
    let gone = release(a.id(), CloseReason::Removed);
    assert_eq!(output.changes, [gone, Change::MembersChanged]);
    assert_eq!(output.overlay, [Change::NeighborDown { node: a.id() }]);
    assert_eq!(output.notifications(), [&left(a.id())]);
    assert_eq!(output.replies(), done());
    assert_eq!(machine.names(), ["b", "m"]);
    // Nothing is told twice.
    assert!(machine.pass(Duration::from_secs(1)).sent().is_empty());
}

#[test]
fn removing_an_unknown_node_changes_nothing() {
    let mut machine = started();
    let output = machine.command(1, Remove(spec_at("x", 9).id()));
    assert_eq!(output.replies(), done());
    assert!(output.changes.is_empty() && output.sent().is_empty());
}

#[test]
fn removing_oneself_is_leaving() {
    let mut machine = started();
    member(&mut machine, "a", 2);
    let own = machine.me.instance.node;
    let output = machine.command(1, Remove(own));
    let reason = CloseReason::Left;
    assert!(output.changes.contains(&Change::Reborn { reason }));
    assert_eq!(output.replies(), done());
}

#[test]
fn a_removed_node_goes_on_alone_as_a_later_incarnation_and_says_so() {
    let mut machine = started();
    let a = member(&mut machine, "a", 2);
    machine.command(1, Join(contact(&spec_at("x", 9))));
    let own = machine.me.instance.node;
    let output = machine.receive(instance(&a, 1), delta(&[removal(own, 12)]));
    assert_eq!(machine.me.instance.incarnation, Incarnation(13));
    assert_eq!(machine.names(), ["m"]);
    let reason = CloseReason::Removed;
    assert!(output.changes.contains(&Change::Reborn { reason }));
    assert!(output.changes.contains(&release(a.id(), reason)));
    let incarnation = Incarnation(13);
    let removed = Notification::Removed { incarnation };
    assert!(output.notifications().contains(&&removed));
    assert!(output.notifications().contains(&&left(a.id())));
    assert_eq!(machine.manager.joining.len(), 0);
    let stored = Snapshot::decode(output.persisted().last().unwrap()).unwrap();
    assert_eq!(stored.joined, Incarnation(13));
    // The same news again is old.
    let again = machine.receive(instance(&a, 1), delta(&[removal(own, 12)]));
    assert!(again.notifications().is_empty());
}

#[test]
fn the_removal_of_an_earlier_stay_does_no_harm() {
    let mut machine = started();
    let a = member(&mut machine, "a", 2);
    let own = machine.me.instance.node;
    let output = machine.receive(instance(&a, 1), delta(&[removal(own, 9)]));
    assert!(output.notifications().is_empty());
    assert_eq!(machine.names(), ["a", "m"]);
    // The peer is told that this node is there.
    let own = Entry { removed: Incarnation(9), ..entry_of(&machine.me.spec, 10, 10) };
    assert_eq!(told(&output, A), [own]);
}

#[test]
fn refused_as_removed_a_node_begins_anew_and_its_joins_go_on() {
    let mut machine = started();
    let a = spec_at("a", 2);
    let output = machine.command(1, Join(contact(&a)));
    let [Change::DialContact { contact: first, .. }] = output.changes[..] else {
        panic!("{output:?}");
    };
    let refusal = Refusal::Removed(Incarnation(30));
    let output = machine.change(Change::Outdated { refusal });
    assert_eq!(machine.me.instance.incarnation, Incarnation(31));
    assert!(output.changes.contains(&Change::DropContact { contact: first }));
    let dials = |change: &&Change| matches!(change, Change::DialContact { .. });
    assert_eq!(output.changes.iter().filter(dials).count(), 1);
    let incarnation = Incarnation(31);
    let removed = Notification::Removed { incarnation };
    assert_eq!(output.notifications(), [&removed]);
    // The refusal of a life before is no news.
    let output = machine.change(Change::Outdated { refusal });
    assert!(output.changes.is_empty());
}

#[test]
fn a_member_that_says_it_left_is_let_go_as_left_and_one_of_hearsay_as_removed() {
    let mut machine = started();
    let a = member(&mut machine, "a", 2);
    let b = member(&mut machine, "b", 3);
    let output = machine.receive(instance(&a, 1), delta(&[removal(a.id(), 1)]));
    let gone = release(a.id(), CloseReason::Left);
    assert_eq!(output.changes, [gone, Change::MembersChanged]);
    assert_eq!(output.notifications(), [&left(a.id())]);
    let c = member(&mut machine, "c", 4);
    let output = machine.receive(instance(&b, 1), delta(&[removal(c.id(), 1)]));
    let gone = release(c.id(), CloseReason::Removed);
    assert_eq!(output.changes, [gone, Change::MembersChanged]);
}

#[test]
fn late_news_of_a_removed_stay_brings_nobody_back_and_is_answered() {
    let mut machine = started();
    let a = member(&mut machine, "a", 2);
    let b = member(&mut machine, "b", 3);
    machine.command(1, Remove(a.id()));
    let stale = delta(&[entry_of(&a, 1, 1)]);
    let output = machine.receive(instance(&b, 1), stale);
    assert_eq!(told(&output, B), [removal(a.id(), 1)]);
    assert_eq!(machine.names(), ["b", "m"]);
    let again = delta(&[entry_of(&a, 2, 2)]);
    machine.receive(instance(&b, 1), again);
    assert_eq!(machine.names(), ["a", "b", "m"]);
}

#[test]
fn a_session_of_the_next_life_survives_late_news_of_the_last_ones_removal() {
    let mut machine = started();
    let a = member(&mut machine, "a", 2);
    let b = member(&mut machine, "b", 3);
    machine.down(instance(&a, 1));
    machine.up(&a, 2, A, None);
    let output = machine.receive(instance(&b, 1), delta(&[removal(a.id(), 1)]));
    assert_eq!(output.changes, [Change::MembersChanged]);
    let mut back = entry_of(&a, 2, 2);
    back.removed = Incarnation(1);
    machine.receive(instance(&a, 2), delta(&[back]));
    assert_eq!(machine.names(), ["a", "b", "m"]);
}

#[test]
fn update_members_removes_first_and_joins_then_and_keeps_the_node_itself() {
    let mut machine = started();
    let a = member(&mut machine, "a", 2);
    let b = member(&mut machine, "b", 3);
    let c = spec_at("c", 4);
    let wanted = vec![(*a).clone(), (*c).clone(), (*c).clone()];
    let output = machine.command(1, UpdateMembers(wanted));
    assert_eq!(output.replies(), done());
    assert_eq!(machine.names(), ["a", "m"]);
    let dials = |change: &&Change| matches!(change, Change::DialContact { .. });
    assert_eq!(output.changes.iter().filter(dials).count(), 1);
    let place = |wanted: &dyn Fn(&Change) -> bool| output.changes.iter().position(wanted);
    let released = place(&|c| *c == release(b.id(), CloseReason::Removed));
    let dialled = place(&|c| matches!(c, Change::DialContact { .. }));
    assert!(released.unwrap() < dialled.unwrap());
    // The same list again: nothing is new.
    let wanted = vec![(*a).clone(), (*c).clone()];
    let output = machine.command(1, UpdateMembers(wanted));
    assert!(output.changes.is_empty());
}

#[test]
fn update_members_with_an_empty_list_changes_nothing() {
    let mut machine = started();
    member(&mut machine, "a", 2);
    let output = machine.command(1, UpdateMembers(vec![]));
    assert_eq!(output.replies(), done());
    assert!(output.changes.is_empty());
    assert_eq!(machine.names(), ["a", "m"]);
}

#[test]
fn update_members_with_another_spec_of_a_member_changes_nothing() {
    let mut machine = started();
    let a = member(&mut machine, "a", 2);
    let moved = (*spec_at("a", 99)).clone();
    let output = machine.command(1, UpdateMembers(vec![moved]));
    assert!(output.changes.is_empty());
    assert_eq!(machine.manager.member(a.id()).unwrap().spec, a);
}

// Several nodes.

#[test]
fn who_left_is_gone_everywhere_and_can_join_again() {
    let mut mesh = cluster(5);
    mesh.command(4, Leave);
    mesh.settle();
    mesh.pass(Duration::from_secs(1));
    for machine in &mesh.machines[..4] {
        assert_eq!(machine.names(), ["n0001", "n0002", "n0003", "n0004"]);
    }
    assert_eq!(mesh.machines[4].names(), ["n0005"]);
    mesh.join(4, 2);
    mesh.pass(Duration::from_secs(1));
    for machine in &mesh.machines {
        assert_eq!(machine.names().len(), 5);
    }
}

#[test]
fn who_is_removed_is_told_and_gone_everywhere_and_can_join_again() {
    let mut mesh = cluster(5);
    let node = mesh.machines[4].me.instance.node;
    mesh.command(1, Remove(node));
    mesh.pass(Duration::from_secs(1));
    for machine in &mesh.machines[..4] {
        assert_eq!(machine.names().len(), 4);
    }
    assert_eq!(mesh.machines[4].names(), ["n0005"]);
    let removed =
        |(at, n): &&(usize, Notification)| *at == 4 && matches!(n, Notification::Removed { .. });
    assert_eq!(mesh.notifications.iter().filter(removed).count(), 1);
    mesh.join(4, 3);
    mesh.pass(Duration::from_secs(1));
    for machine in &mesh.machines {
        assert_eq!(machine.names().len(), 5);
    }
}

#[test]
fn who_was_removed_while_out_of_reach_learns_it_on_return_and_stays_out() {
    let mut mesh = cluster(4);
    for other in 0..3 {
        mesh.disconnect(3, other);
    }
    mesh.cut.push(3);
    let node = mesh.machines[3].me.instance.node;
    mesh.command(0, Remove(node));
    mesh.pass(Duration::from_secs(1));
    assert_eq!(mesh.machines[3].names().len(), 4);
    mesh.cut.clear();
    // It dials a member it remembers, as connections would.
    mesh.join(3, 1);
    mesh.pass(Duration::from_secs(20));
    assert_eq!(mesh.machines[3].names(), ["n0004"]);
    for machine in &mesh.machines[..3] {
        assert_eq!(machine.names().len(), 3);
    }
}

#[test]
fn a_stay_is_over_with_all_its_lives() {
    let mut machine = machine("m", 1, 10, config(), None);
    machine.start();
    let other = member(&mut machine, "other", 2);
    // Whoever removed the node knew only an earlier life of the same stay.
    let mut removal = entry_of(&spec_at("m", 1), 1, 1);
    removal.removed = Incarnation(10);
    machine.me.instance.incarnation = Incarnation(12);
    machine.receive(instance(&other, 1), delta(&[removal]));
    assert_eq!(machine.me.instance.incarnation, Incarnation(13));
    let output = machine.change(Change::Knock {
        connection: ConnectionId::accepted(99),
        instance: instance(&other, 1),
        spec: other.clone(),
        known: Some(Incarnation(12)),
    });
    let refusal = Refusal::NotMember(Incarnation(12));
    let connection = ConnectionId::accepted(99);
    assert_eq!(output.changes, [Change::TurnAway { connection, refusal }]);
}
