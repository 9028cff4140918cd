//! Calls of several nodes: exactly one outcome each, whatever happens on the way.

mod random;

use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::config::Config;
use crate::connections::tests::net::Net;
use crate::event::Event;
use crate::id::Incarnation;
use crate::process::tests::{WIDE, act, assert_clean, cluster, cluster_with, end, name, pid, why};
use crate::process::{ExitReason, ProcessAct};

const SECOND: Duration = Duration::from_secs(1);

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn call(net: &mut Net, index: usize, number: u64, server: Server) {
    call_with(net, index, number, server, Some(5 * SECOND), Lane::default());
}

fn call_with(
    net: &mut Net,
    index: usize,
    number: u64,
    server: Server,
    timeout: Option<Duration>,
    lane: Lane,
) {
    let payload = bytes("ask");
    act(net, index, 1, ProcessAct::Call { number, server, payload, timeout, lane });
}

fn process(process: ProcessId) -> Server {
    Server::Process(process.into())
}

fn reply(net: &mut Net, index: usize, reply_to: ReplyTo, text: &str) {
    act(net, index, 1, ProcessAct::Reply { reply_to, result: Ok(bytes(text)) });
}

/// The requests that a node was handed since the last call.
fn served(net: &mut Net, index: usize) -> Vec<Request> {
    let (mine, others) = net.served.drain(..).partition(|(node, _)| *node == index);
    net.served = others;
    let mine: Vec<(usize, Request)> = mine;
    mine.into_iter().map(|(_, request)| request).collect()
}

/// The outcomes that process 1 of a node was told since the last call.
fn answers(net: &mut Net, index: usize) -> Vec<(u64, Result<Bytes, CallError>)> {
    let told = crate::process::tests::signals(net, index, 1).into_iter();
    let outcomes = told.map(|signal| match signal {
        Signal::Answer { number, result } => (number, result),
        other => panic!("{other:?}"),
    });
    outcomes.collect()
}

fn failed(failure: Failure) -> Result<Bytes, CallError> {
    Err(CallError::Failed(failure))
}

#[test]
fn a_call_takes_one_round_trip_and_nothing_else() {
    let mut net = cluster(2);
    let server = process(pid(&net, 1, 2));
    let before = net.frames;
    call(&mut net, 0, 7, server);
    net.settle();
    let [request] = &served(&mut net, 1)[..] else { panic!() };
    assert_eq!((&request.servant, &request.payload), (&Servant::Process(Serial(2)), &bytes("ask")));
    assert_eq!(request.reply_to.caller(), pid(&net, 0, 1));
    reply(&mut net, 1, request.reply_to, "answer");
    net.settle();
    assert_eq!(answers(&mut net, 0), [(7, Ok(bytes("answer")))]);
    assert_eq!(net.frames - before, 2, "the request and its answer");
    assert_clean(&net);
    net.run_for(60 * SECOND);
    assert_eq!(answers(&mut net, 0), []);
}

#[test]
fn a_node_calls_itself_alike() {
    let mut net = cluster(1);
    let server = process(pid(&net, 0, 2));
    call(&mut net, 0, 1, server);
    let request = served(&mut net, 0).pop().unwrap();
    reply(&mut net, 0, request.reply_to, "answer");
    assert_eq!(answers(&mut net, 0), [(1, Ok(bytes("answer")))]);
    assert_clean(&net);
}

#[test]
fn a_process_that_calls_itself_is_told_so() {
    let mut net = cluster(1);
    let server = process(pid(&net, 0, 1));
    call(&mut net, 0, 1, server);
    assert_eq!(answers(&mut net, 0), [(1, Err(CallError::CallingItself))]);
    assert_clean(&net);
}

#[test]
fn who_is_not_there_answers_nothing_else() {
    let mut net = cluster(2);
    let there = net.id(1);
    call(&mut net, 0, 1, process(ProcessId { serial: Serial(99), ..pid(&Net::new(), 1, 1) }));
    call(&mut net, 0, 2, Server::Process(Target::Name(there, name("nobody"))));
    let old = ProcessId { birth: Incarnation(9), ..pid(&Net::new(), 1, 2) };
    call(&mut net, 0, 3, process(old));
    net.settle();
    let nobody = failed(Failure::NoProcess);
    let expected = [(1, nobody.clone()), (2, nobody.clone()), (3, nobody)];
    assert_eq!(answers(&mut net, 0), expected);
    let stranger = process(pid(&net, 7, 1));
    call(&mut net, 0, 4, stranger);
    assert!(matches!(
        &answers(&mut net, 0)[..],
        [(4, Err(CallError::NotSent(CommandError::UnknownNode(_))))]
    ));
    assert_clean(&net);
}

#[test]
fn a_server_that_ends_answers_with_its_reason() {
    let mut net = cluster(2);
    for index in [0, 1] {
        let server = process(pid(&net, index, 2));
        call(&mut net, 0, index as u64, server);
        net.settle();
        end(&mut net, index, 2, why("x"));
        net.settle();
        let outcome = failed(Failure::Exited(why("x")));
        assert_eq!(answers(&mut net, 0), [(index as u64, outcome)]);
    }
    assert_clean(&net);
}

#[test]
fn a_call_that_takes_too_long_is_taken_back() {
    let mut net = cluster(2);
    let server = process(pid(&net, 1, 2));
    call(&mut net, 0, 1, server);
    net.settle();
    let request = served(&mut net, 1).pop().unwrap();
    net.run_for(Duration::from_millis(4_999));
    assert_eq!(answers(&mut net, 0), []);
    net.run_for(Duration::from_millis(1));
    assert_eq!(answers(&mut net, 0), [(1, Err(CallError::Timeout))]);
    assert_clean(&net);
    // Its answer comes late, and is nobody's.
    let server = process(pid(&net, 1, 2));
    call(&mut net, 0, 2, server);
    reply(&mut net, 1, request.reply_to, "late");
    net.settle();
    assert_eq!(answers(&mut net, 0), []);
    assert_eq!(net.node(0).counters().calls.late, 1);
    let request = served(&mut net, 1).pop().unwrap();
    reply(&mut net, 1, request.reply_to, "in time");
    net.settle();
    assert_eq!(answers(&mut net, 0), [(2, Ok(bytes("in time")))]);
    assert_clean(&net);
}

#[test]
fn an_answer_at_the_last_moment_counts() {
    let mut net = cluster(2);
    let server = process(pid(&net, 1, 2));
    call_with(&mut net, 0, 1, server.clone(), Some(Duration::ZERO), Lane::default());
    net.settle();
    let request = served(&mut net, 1).pop().unwrap();
    reply(&mut net, 1, request.reply_to, "just so");
    net.settle();
    net.handle(0, Event::Wake);
    assert_eq!(answers(&mut net, 0), [(1, Ok(bytes("just so")))]);
    // Without a timeout it waits for ever.
    call_with(&mut net, 0, 2, server, None, Lane::default());
    net.run_for(3_600 * SECOND);
    assert_eq!(answers(&mut net, 0), []);
}

#[test]
fn a_call_that_is_given_up_has_no_outcome() {
    let mut net = cluster(2);
    for index in [0, 1] {
        let server = process(pid(&net, index, 2));
        call(&mut net, 0, 1, server);
        act(&mut net, 0, 1, ProcessAct::Abandon { number: 1 });
        net.settle();
        if let Some(request) = served(&mut net, index).pop() {
            reply(&mut net, index, request.reply_to, "for nobody");
        }
        net.settle();
        assert_eq!(answers(&mut net, 0), []);
    }
    net.run_for(10 * SECOND);
    assert_clean(&net);
}

#[test]
fn a_caller_that_ends_takes_its_calls_back() {
    let mut net = cluster(2);
    let server = process(pid(&net, 1, 2));
    call(&mut net, 0, 1, server);
    net.settle();
    end(&mut net, 0, 1, ExitReason::Normal);
    net.settle();
    assert_clean(&net);
    assert!(!net.node(0).timers().any(|(_, timer)| matches!(timer, Timer::Request(_))));
}

#[test]
fn the_loss_of_the_connection_ends_the_call() {
    // The whole session, or the lane alone that the request went by.
    for lane_alone in [false, true] {
        let mut net = cluster(2);
        let server = process(pid(&net, 1, 2));
        call(&mut net, 0, 1, server.clone());
        let lane = Lane { channel: WIDE, key: Some(1) };
        call_with(&mut net, 0, 2, server, None, lane);
        net.settle();
        let requests = served(&mut net, 1);
        let plain = net.node(0).routes().lane(net.id(1), Lane::default().channel, None, 0, |_| 0);
        let plain = (0, plain.unwrap());
        net.lose(|a, b| !lane_alone || a == plain || b == plain);
        net.settle();
        let lost = |number| (number, Err(CallError::NoConnection));
        match lane_alone {
            true => assert_eq!(answers(&mut net, 0), [lost(1)]),
            false => assert_eq!(answers(&mut net, 0), [lost(1), lost(2)]),
        }
        // The answers find nobody, or who still waits.
        for request in requests {
            reply(&mut net, 1, request.reply_to, "x");
        }
        net.settle();
        let expected = if lane_alone { vec![(2, Ok(bytes("x")))] } else { vec![] };
        assert_eq!(answers(&mut net, 0), expected);
        assert_clean(&net);
    }
}

#[test]
fn anybody_may_answer_from_anywhere_and_the_first_answer_counts() {
    let mut net = cluster(3);
    let server = process(pid(&net, 1, 2));
    call(&mut net, 0, 1, server);
    net.settle();
    let request = served(&mut net, 1).pop().unwrap();
    reply(&mut net, 2, request.reply_to, "from the third");
    net.settle();
    assert_eq!(answers(&mut net, 0), [(1, Ok(bytes("from the third")))]);
    assert_clean(&net);
    reply(&mut net, 1, request.reply_to, "too late");
    reply(&mut net, 0, request.reply_to, "too late");
    net.settle();
    assert_eq!(answers(&mut net, 0), []);
    assert_clean(&net);
}

#[test]
fn requests_come_after_what_was_sent_on_the_same_lane() {
    let mut net = cluster(2);
    let server = process(pid(&net, 1, 2));
    let lane = Lane { channel: WIDE, key: Some(9) };
    (1..=5).for_each(|number| call_with(&mut net, 0, number, server.clone(), None, lane));
    net.settle();
    let order: Vec<u64> =
        served(&mut net, 1).iter().map(|request| request.reply_to.request.number).collect();
    assert_eq!(order, [1, 2, 3, 4, 5]);
}

#[test]
fn a_function_answers_or_fails_in_its_own_words() {
    let mut net = cluster(2);
    let thrown = match ExitReason::other(b"no").unwrap() {
        ExitReason::Other(bytes) => bytes,
        other => panic!("{other:?}"),
    };
    let outcomes = [
        Ok(bytes("sum")),
        Err(Failure::Thrown(thrown)),
        Err(Failure::Exited(ExitReason::panicked("oh"))),
        Err(Failure::NoFunction),
        Err(Failure::Overloaded),
    ];
    for (number, outcome) in (1..).zip(outcomes) {
        let server = Server::Function(net.id(1), name("sum"));
        call(&mut net, 0, number, server);
        net.settle();
        let request = served(&mut net, 1).pop().unwrap();
        assert_eq!(request.servant, Servant::Function(name("sum")));
        let (reply_to, result) = (request.reply_to, outcome.clone());
        act(&mut net, 1, 1, ProcessAct::Reply { reply_to, result });
        net.settle();
        assert_eq!(answers(&mut net, 0), [(number, outcome.map_err(CallError::Failed))]);
    }
    assert_clean(&net);
}

#[test]
fn an_answer_that_is_too_long_is_told_as_such() {
    let mut net = cluster(2);
    let server = process(pid(&net, 1, 2));
    call(&mut net, 0, 1, server.clone());
    net.settle();
    let request = served(&mut net, 1).pop().unwrap();
    let most = net.node(1).routes().peer(net.id(0)).unwrap().max_frame as usize;
    let result = Ok(vec![0; most].into());
    act(&mut net, 1, 1, ProcessAct::Reply { reply_to: request.reply_to, result });
    net.settle();
    assert_eq!(answers(&mut net, 0), [(1, failed(Failure::AnswerTooLarge))]);
    let (payload, timeout, lane) = (vec![0; most].into(), None, Lane::default());
    act(&mut net, 0, 1, ProcessAct::Call { number: 2, server, payload, timeout, lane });
    assert!(matches!(
        &answers(&mut net, 0)[..],
        [(2, Err(CallError::NotSent(CommandError::PayloadTooLarge { .. })))]
    ));
    assert_clean(&net);
}

#[test]
fn both_sides_have_their_bounds() {
    let mut config = Config::default();
    (config.calls.max_asked, config.calls.max_served) = (2, 1);
    let mut net = cluster_with(2, &config);
    let server = process(pid(&net, 1, 2));
    (1..=3).for_each(|number| call(&mut net, 0, number, server.clone()));
    assert_eq!(answers(&mut net, 0), [(3, Err(CallError::TooManyCalls { limit: 2 }))]);
    net.settle();
    assert_eq!(answers(&mut net, 0), [(2, failed(Failure::Overloaded))]);
    assert_eq!(net.node(1).counters().calls.overloaded, 1);
}

#[test]
fn a_call_is_taken_back_once_its_lane_has_room() {
    let mut net = cluster(2);
    let server = process(pid(&net, 1, 2));
    call(&mut net, 0, 1, server);
    net.settle();
    let id = net.id(1);
    let connection =
        net.node(0).routes().lane(id, Lane::default().channel, None, 0, |_| 0).unwrap();
    net.handle(0, Event::Congested { connection });
    net.run_for(5 * SECOND);
    assert_eq!(answers(&mut net, 0), [(1, Err(CallError::Timeout))]);
    assert_eq!(net.node(1).calls(), (0, 1));
    net.handle(0, Event::Drained { connection });
    net.settle();
    assert_clean(&net);
}

#[test]
fn a_full_lane_refuses_a_call_at_once() {
    let mut net = cluster(2);
    let server = process(pid(&net, 1, 2));
    let id = net.id(1);
    let connection =
        net.node(0).routes().lane(id, Lane::default().channel, None, 0, |_| 0).unwrap();
    net.handle(0, Event::Congested { connection });
    call(&mut net, 0, 1, server);
    let full = CallError::NotSent(CommandError::QueueFull(id));
    assert_eq!(answers(&mut net, 0), [(1, Err(full))]);
    assert_clean(&net);
}

#[test]
fn an_answer_waits_for_room_on_its_connection() {
    let mut net = cluster(2);
    for number in [1, 2] {
        let server = process(pid(&net, 1, 2));
        call(&mut net, 0, number, server);
    }
    net.settle();
    let requests = served(&mut net, 1);
    let full: Vec<_> = net.node(1).connections().iter().map(|info| info.connection).collect();
    for connection in full.iter().copied() {
        net.handle(1, Event::Congested { connection });
    }
    for request in &requests {
        reply(&mut net, 1, request.reply_to, "answer");
    }
    net.settle();
    assert_eq!(answers(&mut net, 0), []);
    for connection in full {
        net.handle(1, Event::Drained { connection });
    }
    net.settle();
    assert_eq!(answers(&mut net, 0), [(1, Ok(bytes("answer"))), (2, Ok(bytes("answer")))]);
    assert_eq!(net.node(1).counters().calls.unsent, 0);
    assert_clean(&net);
}
