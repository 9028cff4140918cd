//! One rule a test: a node of SCAMP alone, with peers that are connected and say what they like.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::*;
use crate::change::{Change, ContactId};
use crate::command::{Command, Contact};
use crate::config::StrategyConfig;
use crate::id::{ConnectionId, Ticket};
use crate::manager::Manager;
use crate::manager::pluggable::Pluggable;
use crate::manager::testing::{Machine, Output, instance, me, spec_at};
use crate::snapshot::Snapshot;
use crate::timers::Timer;

fn machine(strategy: StrategyConfig, snapshot: Option<Snapshot>) -> Machine<Pluggable> {
    let me = me(&spec_at("m", 1), 10);
    let config = PluggableConfig { strategy, ..PluggableConfig::default() };
    let manager = Pluggable::new(&me, config, &[7; 32], snapshot).unwrap();
    let mut machine = Machine::new(me, manager);
    machine.start();
    machine
}

fn v1() -> Machine<Pluggable> {
    machine(StrategyConfig::ScampV1(plain()), None)
}

fn v2() -> Machine<Pluggable> {
    machine(StrategyConfig::ScampV2(plain()), None)
}

fn plain() -> ScampConfig {
    ScampConfig { indirection: 0, ..ScampConfig::default() }
}

fn scamp(message: ScampMessage) -> ControlMessage {
    ControlMessage::Scamp(message)
}

fn introduce(spec: &Arc<NodeSpec>, incarnation: u64) -> Introduction {
    Introduction { incarnation: Incarnation(incarnation), spec: spec.clone() }
}

fn anchor(port: u16) -> ConnectionId {
    ConnectionId::accepted(u64::from(port))
}

/// A connected peer that is in the view: a copy of its subscription had to be kept.
fn viewed(machine: &mut Machine<Pluggable>, name: &str, port: u16) -> Arc<NodeSpec> {
    let spec = spec_at(name, port);
    machine.up(&spec, 1, anchor(port), None);
    let node = introduce(&spec, 1);
    let forced = ScampMessage::Forward { node, hops: u16::MAX };
    machine.receive(instance(&spec, 1), scamp(forced));
    spec
}

/// A connected peer that has the machine in its view.
fn holding(machine: &mut Machine<Pluggable>, name: &str, port: u16) -> Arc<NodeSpec> {
    let spec = spec_at(name, port);
    machine.up(&spec, 1, anchor(port), None);
    machine.receive(instance(&spec, 1), scamp(ScampMessage::Holds(true)));
    spec
}

fn sent(output: &Output) -> Vec<(ConnectionId, ScampMessage)> {
    let sent = output.sent().into_iter();
    let scamp = sent.filter_map(|(to, message)| match message {
        ControlMessage::Scamp(message) => Some((to, message.clone())),
        _ => None,
    });
    scamp.collect()
}

fn names(machine: &Machine<Pluggable>) -> Vec<alloc::string::String> {
    machine.names()
}

#[test]
fn a_newcomers_view_is_its_contact_which_is_asked_to_run_the_subscription() {
    let mut machine = v2();
    let contact = spec_at("k", 2);
    machine.command(1, Command::Join(Contact::at(contact.addresses()[0].clone())));
    let output = machine.up(&contact, 1, anchor(2), Some(ContactId(0)));
    let node = introduce(&machine.me.spec.clone(), 10);
    let subscribe = ScampMessage::Subscribe { node, hops: 0, renewed: false };
    let expected = [(anchor(2), ScampMessage::Holds(true)), (anchor(2), subscribe)];
    assert_eq!(sent(&output), expected);
    assert_eq!(names(&machine), ["k", "m"]);
    let output = machine.receive(instance(&contact, 1), scamp(ScampMessage::Subscribed));
    let ended = crate::Notification::JoinEnded { result: Ok(contact.id()) };
    assert!(output.notifications().contains(&&ended));
}

#[test]
fn a_contact_sends_a_copy_to_each_of_its_view_and_c_more() {
    let mut machine = v1();
    for port in 2..6 {
        viewed(&mut machine, &alloc::format!("p{port}"), port);
    }
    let newcomer = spec_at("n", 9);
    machine.up(&newcomer, 1, anchor(9), None);
    let node = introduce(&newcomer, 1);
    let subscribe = ScampMessage::Subscribe { node: node.clone(), hops: 0, renewed: false };
    let output = machine.receive(instance(&newcomer, 1), scamp(subscribe));
    let copy = ScampMessage::Forward { node, hops: 0 };
    let copies = sent(&output).into_iter().filter(|(_, message)| *message == copy);
    let copies: Vec<_> = copies.map(|(to, _)| to).collect();
    assert_eq!(copies.len(), 4 + 5);
    assert!((2..6).all(|port| copies.contains(&anchor(port))));
    assert!(sent(&output).contains(&(anchor(9), ScampMessage::Subscribed)));
}

#[test]
fn a_copy_is_kept_with_one_chance_in_one_more_than_the_view_has_members() {
    let mut kept = 0;
    let rounds: u16 = 600;
    let mut machine = v1();
    for port in 2..5 {
        viewed(&mut machine, &alloc::format!("p{port}"), port);
    }
    let from = instance(&spec_at("p2", 2), 1);
    for round in 0..rounds {
        let stranger = spec_at(&alloc::format!("s{round}"), 100 + round);
        let node = introduce(&stranger, 1);
        let output = machine.receive(from, scamp(ScampMessage::Forward { node, hops: 0 }));
        if machine.manager.member(stranger.id()).is_some() {
            kept += 1;
            // Of three again.
            machine.command(1, Command::Remove(stranger.id()));
        } else {
            assert_eq!(sent(&output).len(), 1, "it is passed on to one");
        }
    }
    // A quarter of 600, give or take four standard deviations.
    assert!((107..=193).contains(&kept), "{kept} of {rounds}");
}

#[test]
fn nobody_keeps_itself_or_somebody_twice() {
    let mut machine = v2();
    let peer = viewed(&mut machine, "p", 2);
    let own = introduce(&machine.me.spec.clone(), 10);
    for node in [own, introduce(&peer, 1)] {
        machine.receive(instance(&peer, 1), scamp(ScampMessage::Forward { node, hops: 9_999 }));
    }
    assert_eq!(names(&machine), ["m", "p"]);
}

#[test]
fn who_is_told_that_it_is_held_has_a_neighbour_that_is_no_member() {
    let mut machine = v2();
    let holder = holding(&mut machine, "h", 2);
    assert_eq!(names(&machine), ["m"]);
    assert_eq!(machine.manager.views().passive, [holder.id()]);
    assert!(machine.neighbors.contains(holder.id()));
    machine.receive(instance(&holder, 1), scamp(ScampMessage::Holds(false)));
    assert!(!machine.neighbors.contains(holder.id()));
}

#[test]
fn a_leaver_gives_all_but_c_and_one_of_those_who_hold_it_an_heir() {
    for holders in 0..=20_u16 {
        for heirs in [0_u16, 1, 7, 20] {
            let mut machine = v2();
            for heir in 0..heirs {
                viewed(&mut machine, &alloc::format!("v{heir}"), 100 + heir);
            }
            for holder in 0..holders {
                holding(&mut machine, &alloc::format!("h{holder}"), 200 + holder);
            }
            let output = machine.command(1, Command::Leave);
            let said = sent(&output);
            let replaced = |m: &&(_, ScampMessage)| matches!(m.1, ScampMessage::Replace { .. });
            let replaced = said.iter().filter(replaced).count();
            let gone = said.iter().filter(|(_, m)| *m == ScampMessage::Gone).count();
            let expected = if heirs == 0 { 0 } else { usize::from(holders).saturating_sub(6) };
            assert_eq!((replaced, gone), (expected, usize::from(holders) - expected));
        }
    }
}

#[test]
fn who_is_left_takes_the_heir_in_the_leavers_place() {
    let mut machine = v2();
    let leaver = viewed(&mut machine, "l", 2);
    let by = introduce(&spec_at("heir", 3), 4);
    machine.receive(instance(&leaver, 1), scamp(ScampMessage::Replace { by }));
    assert_eq!(names(&machine), ["heir", "m"]);
}

#[test]
fn a_removal_is_passed_on_once_and_the_removed_stay_does_not_return() {
    let mut machine = v1();
    let (a, b) = (viewed(&mut machine, "a", 2), viewed(&mut machine, "b", 3));
    let gone = spec_at("g", 9);
    let remove = ScampMessage::Remove { node: gone.id(), upto: Incarnation(5) };
    let first = machine.receive(instance(&a, 1), scamp(remove.clone()));
    assert_eq!(sent(&first), [(anchor(3), remove.clone())]);
    let second = machine.receive(instance(&b, 1), scamp(remove));
    assert!(sent(&second).is_empty());
    for (incarnation, there) in [(5, false), (6, true)] {
        let node = introduce(&gone, incarnation);
        machine.receive(instance(&a, 1), scamp(ScampMessage::Forward { node, hops: 9_999 }));
        assert_eq!(machine.manager.member(gone.id()).is_some(), there, "{incarnation}");
    }
}

#[test]
fn who_is_removed_begins_anew_alone() {
    let mut machine = v2();
    let peer = viewed(&mut machine, "p", 2);
    let node = machine.me.instance.node;
    let remove = ScampMessage::Remove { node, upto: Incarnation(10) };
    machine.receive(instance(&peer, 1), scamp(remove));
    assert_eq!(names(&machine), ["m"]);
    assert_eq!(machine.me.instance.incarnation, Incarnation(11));
}

/// The moment at which the node subscribes anew, in seconds.
fn subscribes_at(machine: &mut Machine<Pluggable>, heartbeats: bool) -> Option<u64> {
    let peer = instance(&spec_at("p", 2), 1);
    for second in 1..=300 {
        if heartbeats && second % 10 == 0 {
            machine.receive(peer, scamp(ScampMessage::Heartbeat));
        }
        let output = machine.pass(Duration::from_secs(1));
        let subscribes = |m: &(_, ScampMessage)| matches!(m.1, ScampMessage::Subscribe { .. });
        if sent(&output).iter().any(subscribes) {
            return Some(second);
        }
    }
    None
}

#[test]
fn who_never_hears_a_heartbeat_subscribes_anew_after_the_window() {
    let mut machine = v1();
    viewed(&mut machine, "p", 2);
    let at = subscribes_at(&mut machine, false).unwrap();
    assert!((100..=110).contains(&at), "a window of ten periods of 10 s, at the next round: {at}");
}

#[test]
fn who_hears_heartbeats_does_not_subscribe_anew() {
    let mut machine = v1();
    viewed(&mut machine, "p", 2);
    assert_eq!(subscribes_at(&mut machine, true), None);
}

#[test]
fn a_lease_is_renewed_a_period_before_it_ends_and_dropped_when_it_has() {
    let lease = Duration::from_secs(60);
    let config = ScampConfig { lease, ..plain() };
    let mut machine = machine(StrategyConfig::ScampV2(config), None);
    viewed(&mut machine, "p", 2);
    viewed(&mut machine, "q", 3);
    let at = subscribes_at(&mut machine, true).unwrap();
    assert!((50..=60).contains(&at), "{at}");
    machine.pass(Duration::from_secs(20));
    assert_eq!(machine.manager.members().len(), 2, "the last one is never dropped");
}

#[test]
fn who_cannot_be_reached_leaves_the_view_and_is_looked_for() {
    let mut machine = v2();
    let peer = viewed(&mut machine, "p", 2);
    machine.down(instance(&peer, 1));
    machine.pass(Duration::from_secs(60));
    assert_eq!(names(&machine), ["m", "p"]);
    let output = machine.pass(Duration::from_secs(40));
    assert_eq!(names(&machine), ["m"]);
    assert!(output.changes.iter().any(|change| matches!(change, Change::Probe { .. })));
}

#[test]
fn views_have_a_bound_and_what_is_beyond_it_is_counted() {
    let config = ScampConfig { max_view: 2, ..plain() };
    let mut machine = machine(StrategyConfig::ScampV2(config), None);
    for port in 2..4 {
        viewed(&mut machine, &alloc::format!("p{port}"), port);
    }
    let third = spec_at("t", 9);
    machine.command(1, Command::Join(Contact::at(third.addresses()[0].clone())));
    machine.up(&third, 1, anchor(9), Some(ContactId(0)));
    assert_eq!(machine.manager.members().len(), 3);
    assert_eq!(machine.manager.counters().refused, 1);
}

#[test]
fn a_restart_goes_on_with_the_view_and_the_removals() {
    let mut first = v2();
    viewed(&mut first, "p", 2);
    first.fire(Timer::News);
    let gone = viewed(&mut first, "g", 3);
    first.command(1, Command::Remove(gone.id()));
    let output = first.fire(Timer::News);
    let stored = Snapshot::decode(output.persisted()[0]).unwrap();
    let mut second = machine(StrategyConfig::ScampV2(plain()), Some(stored));
    assert_eq!(names(&second), ["m", "p"]);
    let knock = Change::Knock {
        connection: anchor(3),
        instance: instance(&gone, 1),
        spec: gone,
        known: None,
    };
    let answer = second.change(knock).changes;
    let removed = Refusal::Removed(Incarnation(1));
    assert!(matches!(answer[..], [Change::TurnAway { refusal, .. }] if refusal == removed));
}

#[test]
fn update_members_is_a_bootstrap_where_nobody_is_known_and_else_ignored() {
    let mut machine = v2();
    let specs = |name| alloc::vec![(*spec_at(name, 5)).clone()];
    let output = machine.command(1, Command::UpdateMembers(specs("c")));
    assert!(output.changes.iter().any(|change| matches!(change, Change::DialContact { .. })));
    viewed(&mut machine, "p", 2);
    let output = machine.command(2, Command::UpdateMembers(specs("d")));
    assert!(output.changes.is_empty());
    assert_eq!(output.replies(), [(Ticket(2), Ok(crate::Answer::Done))]);
    assert_eq!(names(&machine), ["m", "p"]);
}
