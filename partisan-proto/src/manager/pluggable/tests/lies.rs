//! A peer that knows the secret and lies: the node stays within its bounds, whatever it hears.

use super::*;
use crate::command::Command;
use crate::manager::testing::spec_at;
use crate::time::Duration;
use crate::wire::{MAX_DELTA, Summary, SummaryEntry};

const MEMBERS: usize = 20;
const REMOVALS: usize = 10;
const LAST_LIFE: u64 = Incarnation::MOST.0;

/// A node called `m` with small limits, and a connected member that may say anything.
fn deceived() -> (Machine<Pluggable>, Instance) {
    let limits = PluggableConfig { max_members: MEMBERS, max_removals: REMOVALS, ..config() };
    let mut machine = machine("m", 1, 10, limits, None);
    machine.start();
    let liar = member(&mut machine, "liar", 2);
    (machine, instance(&liar, 1))
}

/// What holds whatever is said.
fn check(machine: &Machine<Pluggable>) {
    let names = machine.names();
    assert!(names.contains(&"m".into()), "{names:?}");
    assert!(names.len() <= MEMBERS, "{} members", names.len());
    let saved = machine.manager.strategy.saved();
    assert!(saved.entries.len() <= MEMBERS + REMOVALS, "{} entries", saved.entries.len());
    assert!(machine.me.instance.incarnation <= Incarnation::MOST);
}

/// The snapshots of a step can be read again.
fn check_stored(output: &Output) {
    for bytes in output.persisted() {
        Snapshot::decode(bytes).unwrap();
    }
}

#[test]
fn made_up_names_fill_no_more_than_the_limits() {
    let (mut machine, liar) = deceived();
    for round in 0..40u64 {
        let present = (0..40).map(|i| {
            let spec = spec_at(&alloc::format!("ghost-{round}-{i}"), 100 + i);
            entry_of(&spec, LAST_LIFE - u64::from(i % 3), LAST_LIFE - 5)
        });
        let gone = (0..200).map(|i| removal(NodeId::from_u64(round << 32 | i), LAST_LIFE - i % 3));
        let lies: Vec<_> = present.chain(gone).collect();
        for piece in lies.chunks(MAX_DELTA) {
            check_stored(&machine.receive(liar, delta(piece)));
        }
        check(&machine);
    }
    let output = machine.pass(Duration::from_secs(1));
    check_stored(&output);
    assert_eq!(machine.names().len(), MEMBERS);
}

#[test]
fn made_up_names_can_be_removed_in_whatever_life_they_are() {
    let (mut machine, liar) = deceived();
    let ghost = spec_at("ghost", 9);
    machine.receive(liar, delta(&[entry_of(&ghost, LAST_LIFE, LAST_LIFE)]));
    assert_eq!(machine.names(), ["ghost", "liar", "m"]);
    machine.command(1, Command::Remove(ghost.id()));
    machine.receive(liar, delta(&[entry_of(&ghost, LAST_LIFE, LAST_LIFE)]));
    assert_eq!(machine.names(), ["liar", "m"]);
}

#[test]
fn a_node_removed_from_all_of_its_future_goes_on_alone_and_can_read_what_it_stored() {
    let (mut machine, liar) = deceived();
    let own = machine.me.instance.node;
    for upto in [LAST_LIFE - 1, LAST_LIFE, LAST_LIFE] {
        let output = machine.receive(liar, delta(&[removal(own, upto)]));
        assert_eq!(output.persisted().len(), 1);
        check_stored(&output);
        assert_eq!(machine.me.instance.incarnation, Incarnation::MOST);
        assert_eq!(machine.names(), ["m"]);
        machine.up(&spec_at("liar", 2), 1, ConnectionId::accepted(2), None);
    }
    check_stored(&machine.command(2, Command::Leave));
    check(&machine);
}

#[test]
fn a_node_in_its_last_life_does_not_begin_anew_each_time_it_is_refused() {
    let (mut machine, _) = deceived();
    let refusal = Refusal::Removed(Incarnation::MOST);
    let first = machine.change(Change::Outdated { refusal });
    assert!(first.changes.iter().any(|change| matches!(change, Change::Reborn { .. })));
    for refusal in [refusal, Refusal::StaleIncarnation(Incarnation::MOST)] {
        let again = machine.change(Change::Outdated { refusal });
        assert!(again.changes.is_empty(), "{:?}", again.changes);
    }
}

#[test]
fn everybody_can_be_removed_but_the_node_itself() {
    let (mut machine, liar) = deceived();
    for port in 3..9 {
        member(&mut machine, &alloc::format!("x{port}"), port);
    }
    let members = machine.manager.members().into_iter().map(|member| member.spec.id());
    let all: Vec<_> = members.map(|node| removal(node, LAST_LIFE)).collect();
    check_stored(&machine.receive(liar, delta(&all)));
    assert_eq!(machine.names(), ["m"]);
    check(&machine);
}

#[test]
fn a_spec_counts_for_its_own_name_alone() {
    let (mut machine, liar) = deceived();
    let (own, x, y) = (machine.me.spec.clone(), spec_at("x", 3), spec_at("y", 4));
    let foreign = |node, spec: &Arc<NodeSpec>| Entry { node, ..entry_of(spec, LAST_LIFE, 1) };
    let lies = [foreign(x.id(), &y), foreign(own.id(), &y), foreign(y.id(), &own)];
    machine.receive(liar, delta(&lies));
    assert_eq!(machine.names(), ["liar", "m"]);
    let impostor = entry_of(&spec_at("m", 9), LAST_LIFE, LAST_LIFE);
    let output = machine.receive(liar, delta(&[impostor]));
    let told = |note: &&&Notification| matches!(note, Notification::DuplicateName { .. });
    assert_eq!(output.notifications().iter().filter(told).count(), 1);
    assert_eq!(machine.me.instance.incarnation, Incarnation(10));
}

#[test]
fn of_a_summary_without_end_no_more_is_awaited_than_can_be_known() {
    let (mut machine, liar) = deceived();
    let entry = |node| SummaryEntry {
        node: NodeId::from_u64(node),
        hash: 1,
        removed: Incarnation(1),
        present: Incarnation::NONE,
    };
    let piece = |first: u64, last: u64, count: u64| {
        let entries = Bounded::from_first((first..first + count).map(entry));
        let (first, last) = (NodeId::from_u64(first), NodeId::from_u64(last));
        ControlMessage::Gossip(Gossip::Summary(Summary { first, last, entries }))
    };
    for round in 1..50 {
        machine.receive(liar, piece(round * 1_000, round * 1_000 + 999, 900));
    }
    machine.receive(liar, piece(u64::MAX - 9, u64::MAX, 0));
    assert!(!machine.manager.strategy.is_synced(liar.node));
    let asked = (1_000..).take(MEMBERS + REMOVALS);
    let answer: Vec<_> = asked.map(|node| removal(NodeId::from_u64(node), 1)).collect();
    machine.receive(liar, delta(&answer));
    assert!(machine.manager.strategy.is_synced(liar.node));
}
