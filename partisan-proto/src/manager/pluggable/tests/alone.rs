//! Start, stop, knocks, names, storing.

use super::*;
use crate::config::PluggableConfig;
use crate::time::Duration;

fn stored(output: &Output) -> Snapshot {
    Snapshot::decode(output.persisted().last().unwrap()).unwrap()
}

fn snapshot_with(entries: Vec<Entry>) -> Snapshot {
    Snapshot {
        name: spec_at("m", 1).name().clone(),
        incarnation: Incarnation(8),
        joined: Incarnation(5),
        entries,
    }
}

fn knock(machine: &mut Machine<Pluggable>, spec: &Arc<NodeSpec>, incarnation: u64) -> Change {
    knock_as(machine, spec, incarnation, Some(Incarnation(10)))
}

fn knock_as(
    machine: &mut Machine<Pluggable>,
    spec: &Arc<NodeSpec>,
    incarnation: u64,
    known: Option<Incarnation>,
) -> Change {
    let connection = ConnectionId::accepted(99);
    let output = machine.change(Change::Knock {
        connection,
        instance: instance(spec, incarnation),
        spec: spec.clone(),
        known,
    });
    assert_eq!(output.changes.len(), 1);
    output.changes[0].clone()
}

fn refused(refusal: Refusal) -> Change {
    let connection = ConnectionId::accepted(99);
    Change::TurnAway { connection, refusal }
}

fn admitted() -> Change {
    let connection = ConnectionId::accepted(99);
    Change::Admit { connection }
}

#[test]
fn a_new_node_is_the_only_member_and_stores_that() {
    let mut machine = machine("m", 1, 10, config(), None);
    let output = machine.start();
    assert_eq!(machine.names(), ["m"]);
    let snapshot = stored(&output);
    assert_eq!(snapshot.incarnation, Incarnation(10));
    assert_eq!(snapshot.joined, Incarnation(10));
    assert_eq!(snapshot.entries, []);
    assert!(output.notifications().is_empty());
}

#[test]
fn the_first_round_comes_within_the_interval_and_then_each_interval() {
    let mut machine = machine("m", 1, 10, config(), None);
    machine.start();
    let verified = |output: Output| {
        let verify = |change: &&Change| **change == Change::Verify;
        output.changes.iter().filter(verify).count()
    };
    assert_eq!(verified(machine.pass(Duration::from_secs(10))), 1);
    assert_eq!(verified(machine.pass(Duration::from_secs(100))), 10);
}

#[test]
fn a_restarted_node_keeps_its_stay_and_dials_the_members_it_knew() {
    let other = spec_at("other", 2);
    let snapshot = snapshot_with(vec![entry_of(&other, 3, 3)]);
    let mut machine = machine("m", 1, 10, config(), Some(snapshot));
    let output = machine.start();
    assert_eq!(machine.names(), ["m", "other"]);
    let kept = Change::Keep { instance: instance(&other, 3), spec: other.clone(), patient: false };
    assert_eq!(output.changes, [kept]);
    assert!(output.notifications().is_empty());
    let snapshot = stored(&output);
    assert_eq!(snapshot.incarnation, Incarnation(10));
    assert_eq!(snapshot.joined, Incarnation(5));
}

#[test]
fn an_incarnation_that_is_not_later_than_the_stored_one_is_raised_above_it() {
    for given in [3, 8] {
        let mut machine = machine("m", 1, given, config(), Some(snapshot_with(vec![])));
        machine.start();
        assert_eq!(machine.me.instance.incarnation, Incarnation(9));
        let own = machine.manager.member(machine.me.instance.node).unwrap();
        assert_eq!(own.incarnation, Incarnation(9));
    }
}

#[test]
fn a_stay_that_was_removed_is_not_resumed() {
    let own = spec_at("m", 1).id();
    let snapshot = snapshot_with(vec![removal(own, 6)]);
    let mut machine = machine("m", 1, 10, config(), Some(snapshot));
    let output = machine.start();
    assert_eq!(stored(&output).joined, Incarnation(10));
}

#[test]
fn anothers_snapshot_is_refused() {
    let me = me(&spec_at("n", 1), 10);
    let snapshot = Some(snapshot_with(vec![]));
    let error = Pluggable::new(&me, config(), &SEED, snapshot).unwrap_err();
    let found = "m".into();
    assert_eq!(error, SnapshotError::OtherNode { found }.into());
}

#[test]
fn what_is_stored_after_changes_brings_the_members_back() {
    let mut first = started();
    let a = member(&mut first, "a", 2);
    let b = spec_at("b", 3);
    let output = first.receive(instance(&a, 1), delta(&[entry_of(&b, 1, 1)]));
    let snapshot = stored(&output);
    let mut second = machine("m", 1, 11, config(), Some(snapshot));
    second.start();
    assert_eq!(second.names(), ["a", "b", "m"]);
}

#[test]
fn changes_in_a_row_are_stored_together() {
    let mut machine = started();
    let a = member(&mut machine, "a", 2);
    let mut writes = 0;
    for port in 10..60 {
        let spec = spec_at(&alloc::format!("x{port}"), port);
        let output = machine.receive(instance(&a, 1), delta(&[entry_of(&spec, 1, 1)]));
        writes += output.persisted().len();
    }
    assert_eq!(writes, 1);
    let later = machine.pass(Duration::from_millis(100));
    assert_eq!(stored(&later).entries.len(), 51);
    assert_eq!(later.persisted().len(), 1);
    let rest = machine.pass(Duration::from_secs(60));
    assert_eq!(rest.persisted().len(), 0);
}

#[test]
fn a_stranger_is_admitted() {
    let mut machine = started();
    assert_eq!(knock(&mut machine, &spec_at("a", 2), 1), admitted());
}

#[test]
fn a_removed_or_outdated_incarnation_is_turned_away_and_a_later_one_admitted() {
    let mut machine = started();
    let a = member(&mut machine, "a", 2);
    let b = member(&mut machine, "b", 3);
    let news = [removal(a.id(), 4), entry_of(&b, 7, 7)];
    machine.receive(instance(&b, 1), delta(&news));
    let removed = refused(Refusal::Removed(Incarnation(4)));
    assert_eq!(knock(&mut machine, &a, 4), removed);
    assert_eq!(knock(&mut machine, &a, 5), admitted());
    let stale = refused(Refusal::StaleIncarnation(Incarnation(7)));
    assert_eq!(knock(&mut machine, &b, 6), stale);
    assert_eq!(knock(&mut machine, &b, 7), admitted());
    let elsewhere = spec_at("b", 30);
    let duplicate = refused(Refusal::DuplicateName);
    assert_eq!(knock(&mut machine, &elsewhere, 7), duplicate);
    assert_eq!(knock(&mut machine, &elsewhere, 8), admitted());
}

#[test]
fn a_node_with_our_name_is_turned_away() {
    let mut machine = started();
    let double = spec_at("m", 99);
    let duplicate = refused(Refusal::DuplicateName);
    assert_eq!(knock(&mut machine, &double, 50), duplicate);
}

#[test]
fn a_full_node_turns_strangers_away_and_lets_members_in() {
    let config = PluggableConfig { max_members: 2, ..config() };
    let mut machine = machine("m", 1, 10, config, None);
    machine.start();
    let a = member(&mut machine, "a", 2);
    let b = spec_at("b", 3);
    assert_eq!(knock(&mut machine, &b, 1), refused(Refusal::NotWanted));
    assert_eq!(knock(&mut machine, &a, 1), admitted());
    // One that was let in before is sent away when it introduces itself.
    machine.up(&b, 1, ConnectionId::accepted(3), None);
    let output = machine.receive(instance(&b, 1), delta(&[entry_of(&b, 1, 1)]));
    let (node, reason) = (b.id(), CloseReason::NotWanted);
    assert_eq!(output.changes, [Change::Release { node, reason }]);
    assert_eq!(machine.names(), ["a", "m"]);
}

#[test]
fn a_stopping_node_lets_nobody_in_and_cancels_its_timers() {
    let mut machine = started();
    member(&mut machine, "a", 2);
    machine.me.stopping = true;
    machine.change(Change::Stopping);
    assert_eq!(machine.timers.iter().count(), 0);
    let stopping = refused(Refusal::Stopping);
    assert_eq!(knock(&mut machine, &spec_at("b", 3), 1), stopping);
}

#[test]
fn another_live_node_with_our_name_is_told_once_and_not_fought() {
    let mut machine = started();
    let a = member(&mut machine, "a", 2);
    let double = spec_at("m", 99);
    let news = delta(&[entry_of(&double, 50, 50)]);
    let output = machine.receive(instance(&a, 1), news.clone());
    let at = Some(Box::new((*double).clone()));
    assert_eq!(output.notifications(), [&Notification::DuplicateName { at }]);
    assert!(machine.receive(instance(&a, 1), news).actions.is_empty());
    let refusal = Refusal::StaleIncarnation(Incarnation(50));
    assert!(machine.change(Change::Outdated { refusal }).actions.is_empty());
    assert_eq!(machine.me.instance.incarnation, Incarnation(10));
    let own = machine.manager.member(machine.me.instance.node).unwrap();
    assert_eq!(own.spec, machine.me.spec);
}

#[test]
fn a_duplicate_name_met_at_a_handshake_is_told_once() {
    let mut machine = started();
    let refusal = Refusal::DuplicateName;
    let output = machine.change(Change::Outdated { refusal });
    let told = Notification::DuplicateName { at: None };
    assert_eq!(output.notifications(), [&told]);
    let again = machine.change(Change::Outdated { refusal });
    assert!(again.notifications().is_empty());
}

#[test]
fn an_outdated_node_becomes_newer_than_what_others_know_and_says_so() {
    let mut machine = started();
    member(&mut machine, "a", 2);
    let refusal = Refusal::StaleIncarnation(Incarnation(40));
    let output = machine.change(Change::Outdated { refusal });
    assert_eq!(machine.me.instance.incarnation, Incarnation(41));
    let told = told(&output, ConnectionId::accepted(2));
    assert_eq!(told, [entry_of(&machine.me.spec, 41, 41)]);
    assert_eq!(stored(&output).incarnation, Incarnation(41));
    assert_eq!(machine.names(), ["a", "m"]);
    // An answer to the life before is no news.
    machine.change(Change::Outdated { refusal });
    assert_eq!(machine.me.instance.incarnation, Incarnation(41));
}

#[test]
fn messages_of_another_manager_are_given_back() {
    let mut machine = started();
    let a = member(&mut machine, "a", 2);
    let ping = ControlMessage::Ping { id: 1 };
    let mut result = Ok(());
    machine.run(|manager, cx| result = manager.receive(cx, instance(&a, 1), ping.clone()));
    assert_eq!(result, Err(Box::new(ping)));
}

#[test]
fn equal_histories_have_equal_fingerprints_and_others_have_not() {
    let (mut one, mut other) = (started(), started());
    assert_eq!(one.manager.fingerprint(), other.manager.fingerprint());
    member(&mut one, "a", 2);
    assert_ne!(one.manager.fingerprint(), other.manager.fingerprint());
    member(&mut other, "a", 2);
    assert_eq!(one.manager.fingerprint(), other.manager.fingerprint());
}

#[test]
fn whoever_has_not_heard_of_a_leave_is_told_and_does_not_bring_the_node_back() {
    let mut machine = machine("m", 1, 10, config(), None);
    machine.start();
    let other = spec_at("other", 2);
    assert_eq!(knock(&mut machine, &other, 1), admitted());
    member(&mut machine, "third", 3);
    machine.command(1, Command::Leave);
    let refusal = Refusal::NotMember(Incarnation(10));
    assert_eq!(knock(&mut machine, &other, 1), refused(refusal));
    assert_eq!(knock_as(&mut machine, &other, 1, None), admitted());
    // One who knows of the present stay already is a member like this node.
    let present = Some(Incarnation(11));
    assert_eq!(knock_as(&mut machine, &other, 1, present), admitted());
}

#[test]
fn a_member_that_says_it_left_is_none_any_more() {
    let mut machine = machine("m", 1, 10, config(), None);
    machine.start();
    let other = member(&mut machine, "other", 2);
    let (node, upto) = (other.id(), Incarnation(1));
    let output = machine.change(Change::NotMember { node, upto });
    assert_eq!(machine.names(), ["m"]);
    let left = Notification::MemberLeft { node };
    assert!(output.notifications().contains(&&left));
    let released =
        |change: &Change| matches!(change, Change::Release { node: who, .. } if *who == node);
    assert!(output.changes.iter().any(released));
}
