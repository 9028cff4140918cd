//! The simulator's own test of its checkers of processes, calls and messages that must arrive:
//! behaviour broken on purpose is found by the right checker, and the same without the break is
//! clean.

use std::sync::Arc;

use bytes::Bytes;
use partisan_proto::call::{CallError, Failure, Server};
use partisan_proto::config::DeliveryConfig;
use partisan_proto::process::{Input, Lane};
use partisan_proto::wire::{ControlMessage, Destination, Frame, ProcessAt, ProcessMessage};
use partisan_proto::{
    Action, ChannelId, ChannelName, ChannelOptions, Channels, CloseReason, Command, CommandError,
    Config, Duration, Event, ExitReason, Instance, ProcessAct, ProcessId, ProcessName,
    SendReliable, Serial, Signal, Target, Ticket,
};
use partisan_sim::check::processes::{
    self, Acknowledged, Monitors, NodeNews, Outcomes, Truth, links,
};
use partisan_sim::check::{Checker, ViolationKind, mesh};
use partisan_sim::workload::Work;
use partisan_sim::workload::deed::{Aim, Deed, Ending, Manner, Parcel, Road, Said};
use partisan_sim::workload::processes::{labels, prepare};
use partisan_sim::world::{Happened, Restart, Step};
use partisan_sim::{InFlight, Verdict, World, WorldOptions};

const ROAD: Road = Road { channel: 1, key: Some(0) };

/// Three connected nodes with processes, watched.
fn cluster() -> (World, Truth) {
    let wide = (ChannelName::new("wide").unwrap(), ChannelOptions::lanes(3));
    let delivery = DeliveryConfig { labels: labels(), ..DeliveryConfig::default() };
    let channels = Channels::new([wide]).unwrap();
    let config = Arc::new(Config { channels, delivery, ..Config::default() });
    let mut world = World::new(WorldOptions { seed: 1, config, ..WorldOptions::default() });
    let truth = Truth::default();
    processes::watch(&mut world, &truth);
    prepare(&mut world);
    world.add_nodes(3);
    world.join(1, 0);
    world.join(2, 0);
    let groups = [vec![0, 1, 2]];
    let formed = |world: &World| mesh::problem(world, &groups).is_none();
    assert!(world.run_until(formed, Duration::from_secs(30)));
    (world, truth)
}

/// Process `process` of node 0 does something, and then node 1's ends or does something else.
fn deed(world: &mut World, node: usize, process: usize, deed: Deed<Aim>) {
    Work::Deed { node, process, deed: Box::new(deed) }.perform(world);
    world.run_for(Duration::from_secs(1));
}

const fn there(pick: usize) -> Aim {
    Aim::Process { node: 1, pick, former: false }
}

/// What is found after these deeds, where this rule breaks something.
fn found(
    rule: impl FnMut(&InFlight<'_>) -> Verdict + 'static,
    deeds: impl FnOnce(&mut World),
) -> Vec<ViolationKind> {
    let (mut world, _) = cluster();
    world.rule(rule);
    deeds(&mut world);
    world.run_for(Duration::from_secs(5));
    world.check_rest();
    if let Some(problem) = links::one_sided(&world) {
        world.report(problem);
    }
    let mut kinds: Vec<_> = world.violations().iter().map(|violation| violation.kind).collect();
    kinds.dedup();
    kinds
}

/// What a checker finds when node 0 is told these things, and then wants these done. What no node
/// would ever want can be shown to a checker in no other way.
fn judged(
    checker: &mut dyn Checker,
    world: &World,
    events: &[Event],
    actions: &[Action],
) -> Vec<ViolationKind> {
    let mut found = Vec::new();
    let (now, node, happened) = (world.now(), 0, Happened::Wake);
    let step = Step { now, node, happened, told: None, actions: &[], wake_at: None };
    for event in events {
        checker.on_step(&Step { told: Some(event), ..step }, world, &mut found);
    }
    checker.on_step(&Step { actions, ..step }, world, &mut found);
    found.iter().map(|violation| violation.kind).collect()
}

/// A process that never lived.
fn nobody(world: &World) -> Target {
    let other = world.processes(1)[0];
    ProcessId { serial: Serial(1_000), ..other }.into()
}

#[test]
fn a_second_down_and_one_that_is_not_wanted_are_found() {
    let (world, truth) = cluster();
    let owner = world.processes(0)[0];
    let (number, target, reason) = (1, nobody(&world), ExitReason::NoProcess);
    let watch = ProcessAct::Monitor {
        number,
        target: target.clone(),
        lane: Lane::default(),
        tag: 0,
        alias: None,
    };
    let does = |act: ProcessAct| Event::Process { process: owner.serial, act: act.into() };
    let signal = Signal::Down { number, target, reason, tag: 0 };
    let down = Action::Signal { process: owner.serial, signal: signal.clone() };
    let found = |events: &[Event], actions: &[Action]| {
        judged(&mut Monitors::new(truth.clone()), &world, events, actions)
    };
    let watched = [does(watch.clone())];
    assert_eq!(found(&watched, std::slice::from_ref(&down)), []);
    assert_eq!(found(&watched, &[down.clone(), down.clone()]), [ViolationKind::Monitor]);
    let ended = [does(watch), does(ProcessAct::Demonitor { number })];
    assert_eq!(found(&ended, &[]), []);
    assert_eq!(found(&ended, &[down]), [ViolationKind::Monitor]);
    // What was in the mailbox before is not to be handed over either.
    let (mut checker, mut late) = (Monitors::new(truth.clone()), Vec::new());
    assert_eq!(judged(&mut checker, &world, &ended, &[]), []);
    checker.on_input(&world, 0, (owner, &Input::Signal(signal)), &mut late);
    assert_eq!(late.len(), 1);
}

#[test]
fn news_that_is_not_true_of_a_name_is_found() {
    let (world, truth) = cluster();
    let owner = world.processes(0)[0].serial;
    let node = world.hosts()[1].name().id();
    let found = |name: &str, reason: ExitReason| {
        let target = Target::Name(node, ProcessName::new(name).unwrap());
        let lane = Lane::default();
        let watch =
            ProcessAct::Monitor { number: 1, target: target.clone(), lane, tag: 0, alias: None };
        let signal = Signal::Down { number: 1, target, reason, tag: 0 };
        let down = Action::Signal { process: owner, signal };
        let watch = Event::Process { process: owner, act: watch.into() };
        judged(&mut Monitors::new(truth.clone()), &world, &[watch], &[down])
    };
    assert_eq!(found("free", ExitReason::NoProcess), []);
    assert_eq!(found("p1", ExitReason::NoProcess), [ViolationKind::Monitor]);
    assert_eq!(found("p1", ExitReason::Normal), [ViolationKind::Monitor]);
}

#[test]
fn a_second_outcome_and_one_that_is_not_true_are_found() {
    let (world, truth) = cluster();
    let owner = world.processes(0)[0].serial;
    let found = |target: Target, errors: &[CallError]| {
        let (server, payload) = (Server::Process(target), Bytes::from_static(b"?"));
        let lane = Lane::default();
        let ask = ProcessAct::Call { number: 1, server, payload, timeout: None, lane };
        let answer = |error: &CallError| {
            let signal = Signal::Answer { number: 1, result: Err(error.clone()) };
            Action::Signal { process: owner, signal }
        };
        let answers: Vec<Action> = errors.iter().map(answer).collect();
        let ask = Event::Process { process: owner, act: ask.into() };
        judged(&mut Outcomes::new(truth.clone()), &world, &[ask], &answers)
    };
    let gone = CallError::Failed(Failure::NoProcess);
    assert_eq!(found(nobody(&world), std::slice::from_ref(&gone)), []);
    assert_eq!(found(nobody(&world), &[gone.clone(), gone.clone()]), [ViolationKind::Call]);
    let named = Target::Name(world.hosts()[1].name().id(), ProcessName::new("p1").unwrap());
    assert_eq!(found(named, &[gone]), [ViolationKind::Call]);
    // No connection was lost, and nobody has too much to do.
    let there: Target = world.processes(1)[0].into();
    assert_eq!(found(there.clone(), &[CallError::NoConnection]), [ViolationKind::Call]);
    let overloaded = CallError::Failed(Failure::Overloaded);
    assert_eq!(found(there, &[overloaded]), [ViolationKind::Call]);
}

#[test]
fn a_reference_of_an_older_life_that_reaches_a_process_is_found() {
    let found = |diverted: bool| {
        let (mut world, _) = cluster();
        // So that it is remembered.
        deed(&mut world, 0, 1, Deed::Send(there(1), ROAD, 1));
        world.crash(1);
        world.restart(1, Restart { keep_state: true, new_address: false });
        world.run_for(Duration::from_secs(30));
        let birth = world.processes(1)[0].birth;
        world.rule(move |frame| match frame.frame {
            Frame::App { destination: Destination::Process(at), payload } if diverted => {
                let at = ProcessAt { birth, ..*at };
                let (destination, payload) = (Destination::Process(at), payload.clone());
                rewrite(Frame::App { destination, payload })
            }
            _ => Verdict::Pass,
        });
        let former = Aim::Process { node: 1, pick: 1, former: true };
        deed(&mut world, 0, 1, Deed::Send(former, ROAD, 1));
        let undeliverable = world.process_traffic(1).undeliverable;
        assert_eq!(undeliverable, u64::from(!diverted));
        world.violations().iter().map(|violation| violation.kind).collect::<Vec<_>>()
    };
    assert_eq!(found(false), []);
    assert_eq!(found(true), [ViolationKind::Misdelivered]);
}

fn clean(_: &InFlight<'_>) -> Verdict {
    Verdict::Pass
}

fn rewrite(frame: Frame) -> Verdict {
    Verdict::Rewrite(Box::new(frame))
}

#[test]
fn wrong_and_missing_news_of_monitors_is_found() {
    let watch = |world: &mut World| {
        deed(world, 0, 1, Deed::Watch(there(1), ROAD));
        deed(world, 1, 1, Deed::End(Ending::Own(1)));
    };
    assert_eq!(found(clean, watch), []);
    let lies = |frame: &InFlight<'_>| match frame.frame {
        Frame::Signal(message) => match &**message {
            ProcessMessage::Down { monitor, .. } => {
                let (monitor, reason) = (*monitor, ExitReason::Normal);
                rewrite(Frame::Signal(ProcessMessage::Down { monitor, reason }.into()))
            }
            _ => Verdict::Pass,
        },
        _ => Verdict::Pass,
    };
    assert_eq!(found(lies, watch), [ViolationKind::Monitor]);
    let silent = |frame: &InFlight<'_>| match frame.frame {
        Frame::Signal(_) => Verdict::Drop,
        _ => Verdict::Pass,
    };
    assert_eq!(found(silent, watch), [ViolationKind::Untold]);
}

fn signal_to(frame: &InFlight<'_>) -> Option<ProcessMessage> {
    match frame.frame {
        Frame::Control(ControlMessage::Process(message)) => Some((**message).clone()),
        _ => None,
    }
}

#[test]
fn exits_of_nothing_and_links_with_one_end_are_found() {
    let link = |world: &mut World| {
        deed(world, 0, 1, Deed::Link(there(1)));
        deed(world, 1, 1, Deed::End(Ending::Own(1)));
    };
    assert_eq!(found(clean, link), []);
    let lies = |frame: &InFlight<'_>| match signal_to(frame) {
        Some(ProcessMessage::Exit { from, to, linked, .. }) => {
            let reason = ExitReason::other(b"no such thing").unwrap();
            let message = ProcessMessage::Exit { from, to, reason, linked };
            rewrite(Frame::Control(ControlMessage::Process(message.into())))
        }
        _ => Verdict::Pass,
    };
    assert_eq!(found(lies, link), [ViolationKind::Exit]);
    let silent = |frame: &InFlight<'_>| match signal_to(frame) {
        Some(ProcessMessage::Link { .. }) => Verdict::Drop,
        _ => Verdict::Pass,
    };
    let only_link = |world: &mut World| deed(world, 0, 1, Deed::Link(there(1)));
    assert_eq!(found(silent, only_link), [ViolationKind::Link]);
}

#[test]
fn an_answer_to_another_question_and_one_that_never_comes_are_found() {
    let ask = |world: &mut World| {
        let (manner, timeout, road) = (Manner::Ends, None, ROAD);
        deed(world, 0, 1, Deed::Ask { whom: there(1), function: false, manner, timeout, road });
    };
    assert_eq!(found(clean, ask), []);
    let lies = |frame: &InFlight<'_>| match frame.frame {
        Frame::Reply { header, .. } => {
            let mut header = header.clone();
            header.failure = None;
            rewrite(Frame::Reply { header, payload: Bytes::from_static(b"42") })
        }
        _ => Verdict::Pass,
    };
    assert_eq!(found(lies, ask), [ViolationKind::Call]);
    let silent = |frame: &InFlight<'_>| match frame.frame {
        Frame::Reply { .. } => Verdict::Drop,
        _ => Verdict::Pass,
    };
    assert_eq!(found(silent, ask), [ViolationKind::Untold]);
}

#[test]
fn messages_for_others_out_of_order_or_twice_are_found() {
    let tell = |world: &mut World| deed(world, 0, 1, Deed::Send(there(1), ROAD, 4));
    assert_eq!(found(clean, tell), []);
    let diverts = |frame: &InFlight<'_>| match frame.frame {
        Frame::App { destination: Destination::Process(at), payload } => {
            let at = ProcessAt { serial: Serial(1), ..*at };
            let (destination, payload) = (Destination::Process(at), payload.clone());
            rewrite(Frame::App { destination, payload })
        }
        _ => Verdict::Pass,
    };
    assert_eq!(found(diverts, tell), [ViolationKind::Misdelivered]);
    let is_app = |frame: &InFlight<'_>| matches!(frame.frame, Frame::App { .. });
    let twice =
        move |frame: &InFlight<'_>| if is_app(frame) { Verdict::Duplicate } else { Verdict::Pass };
    assert_eq!(found(twice, tell), [ViolationKind::Duplicate]);
    // In no order, and yet not twice.
    let by_any_lane = Road { channel: 2, key: None };
    let tell_so = |world: &mut World| deed(world, 0, 1, Deed::Send(there(1), by_any_lane, 4));
    assert_eq!(found(clean, tell_so), []);
    assert_eq!(found(twice, tell_so), [ViolationKind::Duplicate]);
    let mut count = 0;
    let late = move |frame: &InFlight<'_>| {
        count += u32::from(is_app(frame));
        match is_app(frame) && count == 2 {
            true => Verdict::Delay(Duration::from_millis(50)),
            false => Verdict::Pass,
        }
    };
    assert_eq!(found(late, tell), [ViolationKind::Order]);
}

fn parcels(world: &mut World, label: Option<u8>) {
    for (channel, count) in [(ChannelId(1), 1), (ChannelId(2), 1)] {
        let (key, expires) = (Some(0), None);
        Work::Parcels { from: 0, to: 1, channel, key, label, expires, count }.perform(world);
    }
}

#[test]
fn false_acknowledgements_and_second_deliveries_are_found() {
    let send = |world: &mut World| parcels(world, None);
    assert_eq!(found(clean, send), []);
    let swaps = |frame: &InFlight<'_>| match frame.frame {
        Frame::Reliable { header, .. } => {
            let header = header.clone();
            rewrite(Frame::Reliable { header, payload: Bytes::from_static(b"other") })
        }
        _ => Verdict::Pass,
    };
    assert_eq!(found(swaps, send), [ViolationKind::Acknowledgement]);
    // Without acknowledgements it is sent again, here under another number.
    let mut sequence = 0;
    let renumbers = move |frame: &InFlight<'_>| match frame.frame {
        Frame::Control(ControlMessage::Acknowledge(_)) => Verdict::Drop,
        Frame::Reliable { header, payload } => {
            sequence += 1;
            let mut header = header.clone();
            header.sequence = sequence;
            let payload = payload.clone();
            rewrite(Frame::Reliable { header, payload })
        }
        _ => Verdict::Pass,
    };
    assert_eq!(found(renumbers, send), [ViolationKind::Duplicate]);
}

#[test]
fn a_message_that_is_given_up_before_its_time_is_found() {
    let (world, _) = cluster();
    let found = |expires: Option<Duration>| {
        let (to, channel, destination) =
            (world.hosts()[1].name().id(), ChannelId::DEFAULT, Destination::Inbox);
        let parcel = Parcel { from: 0, life: 1, to: 1, label: None, order: None, number: 1 };
        let payload = Said::Parcel(parcel).write();
        let send = SendReliable { channel, destination, expires, ..SendReliable::new(to, payload) };
        let (ticket, command) = (Ticket(1), Command::SendReliable(send.into()));
        let result = Err(CommandError::NotAcknowledged(to));
        let given_up = Action::Reply { ticket, result };
        let sent = Event::Command { ticket, command };
        judged(&mut Acknowledged::default(), &world, &[sent], &[given_up])
    };
    assert_eq!(found(Some(Duration::ZERO)), []);
    assert_eq!(found(None), [ViolationKind::Acknowledgement]);
}

#[test]
fn what_overtakes_what_it_should_come_after_is_found() {
    let late_first = |forgetful: bool| {
        move |frame: &InFlight<'_>| match frame.frame {
            Frame::Reliable { header, payload } => {
                let causal = header.causal.as_ref().unwrap();
                if causal.number == 1 {
                    return Verdict::Delay(Duration::from_millis(500));
                }
                let mut header = header.clone();
                if let Some(causal) = header.causal.as_mut().filter(|_| forgetful) {
                    causal.after = Default::default();
                }
                let payload = payload.clone();
                rewrite(Frame::Reliable { header, payload })
            }
            _ => Verdict::Pass,
        }
    };
    let send = |world: &mut World| parcels(world, Some(0));
    assert_eq!(found(late_first(false), send), []);
    assert_eq!(found(late_first(true), send), [ViolationKind::Causality]);
}

#[test]
fn an_ordered_message_that_comes_before_an_earlier_one_is_found() {
    let late_first = |forgetful: bool| {
        move |frame: &InFlight<'_>| match frame.frame {
            Frame::Reliable { header, .. } if header.sequence == 1 => {
                Verdict::Delay(Duration::from_millis(500))
            }
            Frame::Reliable { header, payload } => {
                let mut header = header.clone();
                if let Some(order) = header.terms.order.as_mut().filter(|_| forgetful) {
                    (order.order, order.after) = (header.sequence, None);
                }
                let payload = payload.clone();
                rewrite(Frame::Reliable { header, payload })
            }
            _ => Verdict::Pass,
        }
    };
    // By any lane of a wide channel, so that the second overtakes the first.
    let send = |world: &mut World| {
        let (from, to, label, expires, count) = (0, 1, None, None, 2);
        let (channel, key) = (ChannelId(2), Some(1));
        Work::Parcels { from, to, channel, key, label, expires, count }.perform(world);
    };
    assert_eq!(found(late_first(false), send), []);
    assert_eq!(found(late_first(true), send), [ViolationKind::Order]);
}

#[test]
fn subscribers_that_are_told_twice_or_too_late_are_found() {
    let (world, truth) = cluster();
    let process = world.processes(0)[0].serial;
    let peer = world.hosts()[1].node().unwrap();
    let (instance, spec) = (peer.instance(), peer.spec().clone());
    let unknown =
        Instance { node: world.hosts()[2].name().id(), incarnation: instance.incarnation };
    let told = |signal: Signal| Action::Signal { process, signal };
    let up = told(Signal::NodeUp { instance, spec });
    let down = told(Signal::NodeDown { instance, reason: CloseReason::Broken });
    let other = told(Signal::NodeDown { instance: unknown, reason: CloseReason::Broken });
    let target = world.processes(1)[0].into();
    let reason = ExitReason::NoConnection;
    let late = told(Signal::Down { number: 1, target, reason, tag: 0 });
    let found = |actions: &[Action]| {
        let filter = partisan_proto::process::NodeFilter { tag: None, present: true };
        let act = ProcessAct::MonitorNodes(filter).into();
        let event = Event::Process { process, act };
        judged(&mut NodeNews::new(truth.clone()), &world, &[event], actions)
    };
    assert_eq!(found(&[up.clone(), down.clone(), up.clone()]), []);
    assert_eq!(found(&[up.clone(), up.clone()]), [ViolationKind::Alternation]);
    assert_eq!(found(&[other]), [ViolationKind::Alternation]);
    assert_eq!(found(&[up, down, late]), [ViolationKind::Alternation]);
}
