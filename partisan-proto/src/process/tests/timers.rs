//! Messages that are sent later.

use bytes::Bytes;

use super::*;
use crate::wire::Destination;
use crate::{Answer, Timer};

fn later(net: &mut Net, number: u64, millis: u64, target: impl Into<Target>) {
    let (after, payload) = (Duration::from_millis(millis), Bytes::from_static(b"late"));
    act(net, 0, 1, ProcessAct::SendAfter { number, after, target: target.into(), payload });
}

fn left(net: &mut Net, command: Command) -> Option<Duration> {
    net.command(0, command);
    match net.replies.pop() {
        Some((_, Ok(Answer::TimeLeft(left)))) => left,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_comes_once_at_its_time() {
    let mut net = cluster(2);
    let (own, other) = (pid(&net, 0, 1), pid(&net, 1, 2));
    later(&mut net, 1, 1_000, own);
    later(&mut net, 2, 1_000, other);
    later(&mut net, 3, 1_000, Target::Name(NodeId::from_u64(9), name("nobody")));
    net.run_for(Duration::from_millis(999));
    assert_eq!((signals(&mut net, 0, 1), net.deliveries.len()), (vec![], 0));
    net.run_for(Duration::from_millis(1));
    let payload = Bytes::from_static(b"late");
    assert_eq!(signals(&mut net, 0, 1), [Signal::Timer { number: 1, payload: payload.clone() }]);
    let (index, delivery) = &net.deliveries[0];
    let ProcessId { birth, serial, .. } = other;
    let at = ProcessAt { birth, serial };
    assert_eq!((*index, &delivery.destination), (1, &Destination::Process(at)));
    assert_eq!((net.deliveries.len(), &delivery.payload), (1, &payload));
}

#[test]
fn a_message_comes_at_the_time_that_is_said_and_one_that_is_over_is_now() {
    let mut net = cluster(1);
    let (own, now) = (pid(&net, 0, 1), net.now);
    let at = |net: &mut Net, number, at| {
        let (target, payload) = (own.into(), Bytes::new());
        act(net, 0, 1, ProcessAct::SendAt { number, at, target, payload });
    };
    at(&mut net, 1, now + Duration::from_millis(700));
    at(&mut net, 2, Instant::ZERO);
    net.run_for(Duration::ZERO);
    let numbers = |net: &mut Net| -> Vec<Option<u64>> {
        signals(net, 0, 1).iter().map(Signal::number).collect()
    };
    assert_eq!(numbers(&mut net), [Some(2)]);
    net.run_for(Duration::from_millis(600));
    let timer = TimerId { owner: Serial(1), number: 1 };
    let rest = left(&mut net, Command::ReadTimer(timer));
    assert_eq!(rest, Some(Duration::from_millis(100)));
    net.run_for(Duration::from_millis(99));
    assert_eq!(numbers(&mut net), []);
    net.run_for(Duration::from_millis(1));
    assert_eq!(numbers(&mut net), [Some(1)]);
}

#[test]
fn a_cancelled_message_does_not_come() {
    let mut net = cluster(1);
    let own = pid(&net, 0, 1);
    let timer = TimerId { owner: Serial(1), number: 1 };
    later(&mut net, 1, 1_000, own);
    net.run_for(Duration::from_millis(400));
    let rest = Some(Duration::from_millis(600));
    assert_eq!(left(&mut net, Command::ReadTimer(timer)), rest);
    assert_eq!(left(&mut net, Command::CancelTimer(timer)), rest);
    assert_eq!(left(&mut net, Command::CancelTimer(timer)), None);
    net.run_for(Duration::from_secs(2));
    assert_eq!(signals(&mut net, 0, 1), []);
    later(&mut net, 2, 0, own);
    net.run_for(Duration::ZERO);
    assert_eq!(signals(&mut net, 0, 1).len(), 1);
    let fired = TimerId { owner: Serial(1), number: 2 };
    assert_eq!(left(&mut net, Command::CancelTimer(fired)), None);
}

#[test]
fn the_timers_of_who_ends_end_too() {
    let mut net = cluster(1);
    let other = pid(&net, 0, 2);
    later(&mut net, 1, 1_000, other);
    end(&mut net, 0, 1, ExitReason::Normal);
    assert!(!net.node(0).timers().any(|(_, timer)| matches!(timer, Timer::Process(_))));
    net.run_for(Duration::from_secs(2));
    assert_eq!(net.deliveries.len(), 0);
    assert_eq!(net.node(0).process_counts().timers, 0);
}

#[test]
fn who_sets_one_timer_too_many_ends() {
    let mut config = Config::default();
    config.processes.max_timers = 1;
    let mut net = cluster_with(1, &config);
    let own = pid(&net, 0, 1);
    later(&mut net, 1, 1_000, own);
    later(&mut net, 2, 1_000, own);
    assert_eq!(net.ended, [(0, Serial(1), ExitReason::SystemLimit)]);
    assert_eq!(net.node(0).process_counts().timers, 0);
}
