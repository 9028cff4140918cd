//! Join and sync_join.

use super::*;
use crate::action::Answer;
use crate::command::Command::{Join, Remove, SyncJoin};
use crate::error::OpenError;
use crate::notification::DialError;
use crate::time::Duration;

const DEADLINE: Duration = Duration::from_secs(5);
const ANCHOR: ConnectionId = ConnectionId::dialled(2);

fn dialled(output: &Output) -> Vec<ContactId> {
    let dial = |change: &Change| match change {
        Change::DialContact { contact, .. } => Some(*contact),
        _ => None,
    };
    output.changes.iter().filter_map(dial).collect()
}

fn sync(spec: &NodeSpec) -> Command {
    SyncJoin { contact: contact(spec), deadline: DEADLINE }
}

fn done(ticket: u64) -> (Ticket, Result<Answer, CommandError>) {
    (Ticket(ticket), Ok(Answer::Done))
}

fn joined(ticket: u64, spec: &NodeSpec) -> (Ticket, Result<Answer, CommandError>) {
    (Ticket(ticket), Ok(Answer::Joined(spec.id())))
}

fn failed(ticket: u64, error: CommandError) -> (Ticket, Result<Answer, CommandError>) {
    (Ticket(ticket), Err(error))
}

fn fail(machine: &mut Machine<Pluggable>, contact: ContactId, refusal: Refusal) -> Output {
    let error = DialError::Closed(CloseReason::Refused(refusal));
    machine.change(Change::ContactFailed { contact, error })
}

/// The contact, called `a`, answers with itself and its digest.
fn exchange(machine: &mut Machine<Pluggable>, spec: &Arc<NodeSpec>) -> Output {
    let mut output = machine.receive(instance(spec, 1), delta(&[entry_of(spec, 1, 1)]));
    let answer = digest(Digest { entries: 7, hash: 7 });
    let more = machine.receive(instance(spec, 1), answer);
    output.actions.extend(more.actions);
    output.changes.extend(more.changes);
    output
}

#[test]
fn a_join_dials_and_is_answered_at_once_and_ends_when_the_state_is_merged() {
    let (mut machine, a) = (started(), spec_at("a", 2));
    let output = machine.command(1, Join(contact(&a)));
    assert_eq!(output.replies(), [done(1)]);
    let id = dialled(&output)[0];
    let up = machine.up(&a, 1, ANCHOR, Some(id));
    assert!(up.notifications().is_empty());
    let end = exchange(&mut machine, &a);
    let result = Ok(a.id());
    let ended = Notification::JoinEnded { result };
    assert!(end.notifications().contains(&&ended));
    assert_eq!(machine.names(), ["a", "m"]);
}

/// A contact that lets everybody in and says nothing is not dialled as fast as the network can.
#[test]
fn a_contact_that_is_lost_again_and_again_is_dialled_later_and_later() {
    let (mut machine, a) = (started(), spec_at("a", 2));
    let mut output = machine.command(1, Join(contact(&a)));
    for lost in 0..5 {
        let dial = output.changes.iter().find_map(|change| match change {
            Change::DialContact { contact, failures, .. } => Some((*contact, *failures)),
            _ => None,
        });
        let (contact, failures) = dial.expect("the join goes on");
        assert_eq!(failures, if lost == 0 { 0 } else { lost - 1 });
        machine.up(&a, 1, ANCHOR, Some(contact));
        output = machine.down(instance(&a, 1));
    }
}

#[test]
fn a_contact_with_another_manager_ends_the_join_with_the_reason() {
    let (mut machine, a) = (started(), spec_at("a", 2));
    let contact = dialled(&machine.command(1, sync(&a)))[0];
    machine.up(&a, 1, ANCHOR, Some(contact));
    let end = machine.down_for(instance(&a, 1), CloseReason::OTHER_MANAGER);
    let error = JoinError::Closed(CloseReason::OTHER_MANAGER);
    assert_eq!(end.replies(), [failed(1, CommandError::Join(error.clone()))]);
    let ended = Notification::JoinEnded { result: Err(error) };
    assert!(end.notifications().contains(&&ended));
    assert_eq!(dialled(&end), []);
}

#[test]
fn a_join_is_stored_before_it_is_told() {
    let (mut machine, a) = (started(), spec_at("a", 2));
    // Something was stored a moment ago, so that other news waits.
    member(&mut machine, "b", 3);
    machine.receive(instance(&spec_at("b", 3), 1), delta(&[entry_of(&spec_at("c", 4), 1, 1)]));
    let contact = dialled(&machine.command(1, Join(contact(&a))))[0];
    machine.up(&a, 1, ANCHOR, Some(contact));
    let end = exchange(&mut machine, &a);
    let stored = end.actions.iter().position(|action| match action {
        Action::Persist(bytes) => {
            let entries = Snapshot::decode(bytes).unwrap().entries;
            entries.iter().any(|entry| entry.node == a.id() && entry.presence.is_some())
        }
        _ => false,
    });
    let told = end.actions.iter().position(|action| {
        matches!(action, Action::Notify(Notification::JoinEnded { result: Ok(_) }))
    });
    assert!(stored.unwrap() < told.unwrap());
}

#[test]
fn the_side_that_dialled_sends_itself_and_its_digest() {
    let (mut machine, a) = (started(), spec_at("a", 2));
    let output = machine.up(&a, 1, ANCHOR, None);
    assert_eq!(told(&output, ANCHOR), [entry_of(&machine.me.spec, 10, 10)]);
    assert_eq!(digests(&output), 1);
    let output = machine.up(&spec_at("b", 3), 1, ConnectionId::accepted(3), None);
    assert_eq!(digests(&output), 0);
    assert_eq!(output.sent().len(), 1);
}

#[test]
fn joining_oneself_is_refused_by_name_and_by_address() {
    let mut machine = started();
    let by_name = contact(&spec_at("m", 77));
    let output = machine.command(1, Join(by_name));
    assert_eq!(output.replies(), [failed(1, CommandError::SelfJoin)]);
    let address = machine.me.spec.addresses()[0].clone();
    let output = machine.command(2, Join(Contact::at(address)));
    assert_eq!(output.replies(), [failed(2, CommandError::SelfJoin)]);
    assert!(output.changes.is_empty());
}

#[test]
fn a_contact_without_addresses_is_refused() {
    let mut machine = started();
    let nowhere = Contact { name: None, addresses: vec![] };
    let output = machine.command(1, Join(nowhere));
    assert_eq!(output.replies(), [failed(1, CommandError::NoAddress)]);
}

#[test]
fn too_many_joins_are_refused_and_the_same_target_counts_once() {
    let config = PluggableConfig { max_joins: 2, ..config() };
    let mut machine = machine("m", 1, 10, config, None);
    machine.start();
    for ticket in 0..2 {
        machine.command(ticket, Join(contact(&spec_at("a", 2))));
        machine.command(ticket, Join(contact(&spec_at("b", 3))));
    }
    let output = machine.command(9, Join(contact(&spec_at("c", 4))));
    let limit = 2;
    let refused = failed(9, CommandError::TooManyJoins { limit });
    assert_eq!(output.replies()[0], refused);
    // Waiters are bounded too.
    machine.command(3, sync(&spec_at("a", 2)));
    machine.command(4, sync(&spec_at("a", 2)));
    let output = machine.command(9, sync(&spec_at("a", 2)));
    assert_eq!(output.replies(), [refused]);
}

#[test]
fn joining_a_member_again_changes_nothing() {
    let mut machine = started();
    let a = member(&mut machine, "a", 2);
    let output = machine.command(1, Join(contact(&a)));
    assert_eq!(output.replies(), [done(1)]);
    let result = Ok(a.id());
    assert_eq!(output.notifications(), [&Notification::JoinEnded { result }]);
    assert!(output.changes.is_empty());
}

#[test]
fn permanent_refusals_end_a_join() {
    for refusal in [
        Refusal::Cluster,
        Refusal::Secret,
        Refusal::Version,
        Refusal::SelfConnection,
        Refusal::DuplicateName,
        Refusal::IdentifierCollision,
        Refusal::NotWanted,
    ] {
        let mut machine = started();
        let output = machine.command(1, sync(&spec_at("a", 2)));
        let contact = dialled(&output)[0];
        let output = fail(&mut machine, contact, refusal);
        assert_eq!(output.changes, [Change::DropContact { contact }]);
        let error = JoinError::Refused(refusal);
        let replies = output.replies();
        assert_eq!(replies, [failed(1, CommandError::Join(error.clone()))]);
        let result = Err(error);
        assert_eq!(output.notifications(), [&Notification::JoinEnded { result }]);
        assert!(machine.timers.due(Timer::EndJoin(Ticket(1))).is_none());
    }
}

#[test]
fn other_failures_leave_a_join_under_way() {
    let mut machine = started();
    let output = machine.command(1, Join(contact(&spec_at("a", 2))));
    let id = dialled(&output)[0];
    for refusal in [
        Refusal::UnexpectedPeer,
        Refusal::Stopping,
        Refusal::TooMany,
        Refusal::Removed(Incarnation(10)),
        Refusal::StaleIncarnation(Incarnation(10)),
        Refusal::Other(500),
    ] {
        let output = fail(&mut machine, id, refusal);
        assert!(output.actions.is_empty() && output.changes.is_empty());
    }
    assert_eq!(machine.manager.joining.len(), 1);
}

#[test]
fn a_sync_join_is_answered_when_merged_and_fully_connected() {
    let (mut machine, a) = (started(), spec_at("a", 2));
    let output = machine.command(1, sync(&a));
    assert!(output.replies().is_empty());
    let contact = Some(dialled(&output)[0]);
    machine.route(instance(&a, 1), ANCHOR, false);
    machine.change(Change::PeerUp {
        instance: instance(&a, 1),
        spec: a.clone(),
        epoch: crate::id::Epoch(1),
        contact,
    });
    assert!(exchange(&mut machine, &a).replies().is_empty());
    let output = machine.change(Change::FullyConnected { node: a.id() });
    assert_eq!(output.replies(), [joined(1, &a)]);
    assert!(machine.timers.due(Timer::EndJoin(Ticket(1))).is_none());
}

#[test]
fn a_sync_join_fully_connected_before_it_is_merged_waits_for_the_merge() {
    let (mut machine, a) = (started(), spec_at("a", 2));
    let output = machine.command(1, sync(&a));
    machine.up(&a, 1, ANCHOR, Some(dialled(&output)[0]));
    let output = machine.change(Change::FullyConnected { node: a.id() });
    assert!(output.replies().is_empty());
    assert_eq!(exchange(&mut machine, &a).replies(), [joined(1, &a)]);
}

#[test]
fn a_sync_join_to_a_fully_connected_member_is_answered_at_once() {
    let mut machine = started();
    let a = member(&mut machine, "a", 2);
    let output = machine.command(1, sync(&a));
    assert_eq!(output.replies(), [joined(1, &a)]);
    assert!(machine.timers.due(Timer::EndJoin(Ticket(1))).is_none());
}

#[test]
fn all_who_wait_for_one_contact_are_answered() {
    let (mut machine, a) = (started(), spec_at("a", 2));
    let output = machine.command(1, sync(&a));
    for ticket in [2, 3] {
        let output = machine.command(ticket, sync(&a));
        assert!(dialled(&output).is_empty());
    }
    machine.up(&a, 1, ANCHOR, Some(dialled(&output)[0]));
    let replies = exchange(&mut machine, &a).replies();
    assert_eq!(replies, [joined(1, &a), joined(2, &a), joined(3, &a)]);
}

#[test]
fn a_sync_join_times_out_with_the_last_failure_and_the_join_goes_on() {
    let (mut machine, a) = (started(), spec_at("a", 2));
    let output = machine.command(1, sync(&a));
    let contact = dialled(&output)[0];
    let error = DialError::Open(OpenError::Refused);
    machine.change(Change::ContactFailed { contact, error });
    let output = machine.pass(DEADLINE);
    let last = Some(JoinError::Open(OpenError::Refused));
    let late = failed(1, CommandError::JoinTimeout { last });
    assert_eq!(output.replies(), [late]);
    machine.up(&a, 1, ANCHOR, Some(contact));
    let output = exchange(&mut machine, &a);
    let result = Ok(a.id());
    let ended = Notification::JoinEnded { result };
    assert!(output.notifications().contains(&&ended));
    assert!(output.replies().is_empty());
}

#[test]
fn a_contact_lost_before_the_merge_is_dialled_again() {
    let (mut machine, a) = (started(), spec_at("a", 2));
    let output = machine.command(1, Join(contact(&a)));
    let first = dialled(&output)[0];
    machine.up(&a, 1, ANCHOR, Some(first));
    let second = dialled(&machine.down(instance(&a, 1)));
    assert_eq!(second.len(), 1);
    assert_ne!(second[0], first);
    machine.up(&a, 1, ANCHOR, Some(second[0]));
    exchange(&mut machine, &a);
    assert_eq!(machine.names(), ["a", "m"]);
    assert!(dialled(&machine.down(instance(&a, 1))).is_empty());
}

#[test]
fn a_contact_that_turns_out_to_be_a_connected_member_ends_the_join() {
    let mut machine = started();
    let (mut other, a) = (Contact::at("127.0.0.1:9".parse().unwrap()), spec_at("a", 2));
    other.name = None;
    machine.up(&a, 1, ANCHOR, None);
    exchange(&mut machine, &a);
    let output = machine.command(1, Join(other));
    let contact = dialled(&output)[0];
    let node = a.id();
    let output = machine.change(Change::ContactReached { contact, node });
    let result = Ok(node);
    assert_eq!(output.notifications(), [&Notification::JoinEnded { result }]);
}

#[test]
fn removing_a_node_that_is_no_member_cancels_the_joins_to_it() {
    let (mut machine, a, b) = (started(), spec_at("a", 2), spec_at("b", 3));
    let to_a = dialled(&machine.command(1, sync(&a)))[0];
    machine.command(2, sync(&b));
    let output = machine.command(3, Remove(a.id()));
    let contact = to_a;
    assert_eq!(output.changes, [Change::DropContact { contact }]);
    let cancelled = failed(1, CommandError::Join(JoinError::Cancelled));
    assert_eq!(output.replies(), [cancelled, done(3)]);
    assert_eq!(machine.manager.joining.len(), 1);
}

#[test]
fn stopping_answers_who_waits_and_ends_the_joins() {
    let mut machine = started();
    let contact = dialled(&machine.command(1, sync(&spec_at("a", 2))))[0];
    machine.me.stopping = true;
    let output = machine.change(Change::Stopping);
    assert_eq!(output.replies(), [failed(1, CommandError::Stopping)]);
    assert_eq!(output.changes, [Change::DropContact { contact }]);
    let result = Err(JoinError::Cancelled);
    assert_eq!(output.notifications(), [&Notification::JoinEnded { result }]);
}

#[test]
fn every_connected_member_is_a_neighbour_for_the_length_of_its_session() {
    let mut machine = started();
    let a = member(&mut machine, "a", 2);
    let up = Change::NeighborUp { instance: instance(&a, 1) };
    assert!(machine.neighbors.contains(a.id()));
    let output = machine.down(instance(&a, 1));
    assert_eq!(output.overlay, [Change::NeighborDown { node: a.id() }]);
    assert_eq!(machine.up(&a, 1, ConnectionId::accepted(9), None).overlay, [up]);
}
