//! Functions of other nodes over real TCP, and processes spawned there.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use partisan_tokio::{
    CallError, CallOptions, CommandError, DriverConfig, ExitReason, Failure, Input, Node,
    NodeError, Process, ProcessId, ProcessName, RequestError, Signal, SpawnOptions,
};
use serde::{Deserialize, Serialize};
use support::{DEADLINE, eventually, pair, pair_of, settings, soon, start};
use tokio::sync::Semaphore;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Refusal {
    TooSmall(u64),
}

fn named(text: &str) -> ProcessName {
    ProcessName::new(text).unwrap()
}

fn failure(error: RequestError) -> Failure {
    match error {
        RequestError::Call(CallError::Failed(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

async fn halve(number: u64) -> Result<u64, Refusal> {
    if number < 2 { Err(Refusal::TooSmall(number)) } else { Ok(number / 2) }
}

async fn me(node: &Node) -> Process {
    node.attach(SpawnOptions::default().trap_exit()).await.unwrap()
}

async fn signal(process: &mut Process) -> Signal {
    match soon(process.receive()).await {
        Some(Input::Signal(signal)) => signal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_function_is_called_here_and_elsewhere() {
    let (a, b) = pair().await;
    a.register_function("halve", halve).unwrap();
    for node in [&a, &b] {
        assert_eq!(node.rpc::<_, u64>(a.id(), "halve", &10_u64, DEADLINE).await.unwrap(), 5);
        let error = node.rpc::<_, u64>(a.id(), "halve", &1_u64, DEADLINE).await.unwrap_err();
        assert_eq!(error.thrown::<Refusal>(), Some(Refusal::TooSmall(1)));
    }
    a.register_function_bytes("reverse", |bytes: Bytes| async move {
        Ok(bytes.iter().rev().copied().collect())
    })
    .unwrap();
    let payload = Bytes::from_static(b"abc");
    assert_eq!(b.rpc_bytes(a.id(), "reverse", payload, DEADLINE).await.unwrap(), "cba");
}

#[tokio::test]
async fn failures_keep_their_class() {
    let (a, b) = pair().await;
    a.register_function("halve", halve).unwrap();
    a.register_function("panic", |text: String| async move {
        assert!(text.is_empty(), "{text}");
        Ok::<_, ()>(())
    })
    .unwrap();
    a.register_function("panic at once", |()| -> std::future::Ready<Result<(), ()>> {
        panic!("at once")
    })
    .unwrap_err();
    a.register_function("panic_at_once", |()| -> std::future::Ready<Result<(), ()>> {
        panic!("at once")
    })
    .unwrap();
    let call = |name: &'static str| {
        let (b, to) = (b.clone(), a.id());
        async move { b.rpc::<_, ()>(to, name, "oh", DEADLINE).await.unwrap_err() }
    };
    assert_eq!(failure(call("panic").await), Failure::Exited(ExitReason::panicked("oh")));
    let at_once = b.rpc::<_, ()>(a.id(), "panic_at_once", &(), DEADLINE).await.unwrap_err();
    assert_eq!(failure(at_once), Failure::Exited(ExitReason::panicked("at once")));
    assert_eq!(failure(call("nothing").await), Failure::NoFunction);
    assert_eq!(failure(call("partisan.nothing").await), Failure::NoFunction);
    let bad = b.rpc::<_, u64>(a.id(), "halve", &(), DEADLINE).await.unwrap_err();
    assert_eq!(failure(bad), Failure::NotUnderstood);
    let decode = b.rpc::<_, (u64, u64)>(&a.name(), "halve", &4_u64, DEADLINE).await.unwrap_err();
    assert!(matches!(decode, RequestError::Decode(_)));
    assert!(matches!(call("white space").await, RequestError::Name(_)));
    let stranger = support::name("c@h").id();
    let unsent = b.rpc::<_, u64>(stranger, "halve", &4_u64, DEADLINE).await.unwrap_err();
    let unknown = CommandError::UnknownNode(stranger);
    assert_eq!(unsent, CallError::NotSent(unknown).into());
    // None of them harms what comes later.
    assert_eq!(b.rpc::<_, u64>(a.id(), "halve", &4_u64, DEADLINE).await.unwrap(), 2);
}

#[tokio::test]
async fn a_value_that_looks_like_an_error_is_a_value() {
    let (a, b) = pair().await;
    a.register_function("odd", |()| async { Ok::<_, ()>(Err::<u8, String>("timeout".into())) })
        .unwrap();
    let answer = b.rpc::<_, Result<u8, String>>(a.id(), "odd", &(), DEADLINE).await.unwrap();
    assert_eq!(answer, Err("timeout".into()));
}

#[tokio::test]
async fn what_is_too_long_is_told() {
    let mut small = support::config();
    small.connections.max_frame = 64 << 10;
    let (a, b) = pair_of(settings("a@127.0.0.1"), settings("b@127.0.0.1").config(small)).await;
    a.register_function("zeros", |count: usize| async move { Ok::<_, ()>(vec![0_u8; count]) })
        .unwrap();
    a.register_function("refuse", |count: usize| async move { Err::<(), _>(vec![0_u8; count]) })
        .unwrap();
    let long = 100_000_usize;
    let answer = b.rpc::<_, Vec<u8>>(a.id(), "zeros", &long, DEADLINE).await.unwrap_err();
    assert_eq!(failure(answer), Failure::AnswerTooLarge);
    let error = b.rpc::<_, ()>(a.id(), "refuse", &long, DEADLINE).await.unwrap_err();
    assert!(matches!(failure(error), Failure::Exited(_)));
    b.register_function("length", |bytes: Vec<u8>| async move { Ok::<_, ()>(bytes.len()) })
        .unwrap();
    let ask = a.rpc::<_, usize>(b.id(), "length", &vec![0_u8; long], DEADLINE).await.unwrap_err();
    let unsent =
        RequestError::Call(CallError::NotSent(CommandError::PayloadTooLarge { bytes: 0, most: 0 }));
    assert_eq!(std::mem::discriminant(&ask), std::mem::discriminant(&unsent));
    assert!(ask.to_string().contains("65536"), "{ask}");
}

#[tokio::test]
async fn a_slow_call_holds_up_no_other() {
    let (a, b) = pair().await;
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    a.register_function("slow", move |()| {
        let opened = Arc::clone(&opened);
        async move { opened.acquire().await.map(|_| ()).map_err(|_| ()) }
    })
    .unwrap();
    a.register_function("halve", halve).unwrap();
    let slow = b.rpc_async::<_, ()>(a.id(), "slow", &(), DEADLINE).await.unwrap();
    let mut fast = tokio::task::JoinSet::new();
    for number in 0..100_u64 {
        let (b, to) = (b.clone(), a.id());
        fast.spawn(async move { b.rpc::<_, u64>(to, "halve", &(2 * number + 2), DEADLINE).await });
    }
    let mut answers: Vec<u64> =
        soon(fast.join_all()).await.into_iter().map(Result::unwrap).collect();
    answers.sort_unstable();
    assert_eq!(answers, (1..=100).collect::<Vec<_>>());
    gate.add_permits(1);
    soon(slow.answer()).await.unwrap();
}

#[tokio::test]
async fn so_many_functions_run_and_no_more() {
    let bounded = DriverConfig { running_functions: 2, ..DriverConfig::default() };
    let (a, b) = pair_of(settings("a@127.0.0.1").driver(bounded), settings("b@127.0.0.1")).await;
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    a.register_function("wait", move |()| {
        let opened = Arc::clone(&opened);
        async move { opened.acquire().await.map(|_| ()).map_err(|_| ()) }
    })
    .unwrap();
    let mut running = Vec::new();
    for _ in 0..2 {
        running.push(b.rpc_async::<_, ()>(a.id(), "wait", &(), DEADLINE).await.unwrap());
    }
    let refused = b.rpc::<_, ()>(a.id(), "wait", &(), DEADLINE).await.unwrap_err();
    assert_eq!(failure(refused), Failure::Overloaded);
    gate.add_permits(1);
    for handle in running {
        soon(handle.answer()).await.unwrap();
    }
    b.rpc::<_, ()>(a.id(), "wait", &(), DEADLINE).await.unwrap();
}

#[tokio::test]
async fn many_nodes_are_called_at_once_in_the_order_of_asking() {
    let (a, b) = pair().await;
    a.register_function("who", |()| async { Ok::<_, ()>("a".to_owned()) }).unwrap();
    b.register_function("who", |()| async { std::future::pending::<Result<String, ()>>().await })
        .unwrap();
    let stranger = support::name("c@h").id();
    let nodes = [b.id(), a.id(), stranger, a.id()];
    let timeout = Duration::from_millis(100);
    let outcomes = a.rpc_multicall::<_, String>(nodes, "who", &(), timeout).await;
    let order: Vec<_> = outcomes.iter().map(|(node, _)| *node).collect();
    assert_eq!(order, nodes);
    let [(_, first), (_, second), (_, third), (_, fourth)] = &outcomes[..] else { panic!() };
    assert!(first.as_ref().unwrap_err().is_timeout());
    assert_eq!((second.as_deref(), fourth.as_deref()), (Ok("a"), Ok("a")));
    let unknown = CommandError::UnknownNode(stranger);
    assert_eq!(third, &Err(CallError::NotSent(unknown).into()));
    let bad = a.rpc_multicall::<_, String>(nodes, "white space", &(), timeout).await;
    assert!(bad.iter().all(|(_, outcome)| matches!(outcome, Err(RequestError::Name(_)))));
}

#[tokio::test]
async fn a_cast_runs_the_function_and_tells_nobody() {
    let (a, b) = pair().await;
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    a.register_function("count", move |()| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Err::<(), _>("nobody hears this".to_owned()) }
    })
    .unwrap();
    for _ in 0..20 {
        b.rpc_cast(a.id(), "count", &(), CallOptions::default()).await.unwrap();
    }
    eventually(|| count.load(Ordering::Relaxed) == 20).await;
    soon(async { while b.calls_under_way().await.unwrap() != (0, 0) {} }).await;
    assert_eq!(count.load(Ordering::Relaxed), 20, "each once");
}

#[tokio::test]
async fn a_timeout_of_zero_and_one_beyond_the_clock_are_allowed() {
    let (a, b) = pair().await;
    a.register_function("halve", halve).unwrap();
    let none = b.rpc::<_, u64>(a.id(), "halve", &2_u64, Duration::ZERO).await;
    assert!(none.unwrap_err().is_timeout());
    assert_eq!(b.rpc::<_, u64>(a.id(), "halve", &2_u64, Duration::MAX).await.unwrap(), 1);
}

#[tokio::test]
async fn functions_come_and_go_and_have_a_name_of_their_own() {
    let (a, b) = pair().await;
    a.register_function("halve", halve).unwrap();
    let taken = a.register_function("halve", halve).unwrap_err();
    assert_eq!(taken, NodeError::Registered("halve".into()));
    let reserved = a.register_function("partisan.halve", halve).unwrap_err();
    assert_eq!(reserved, NodeError::ReservedName("partisan.halve".into()));
    assert!(matches!(a.register_function("", halve), Err(NodeError::BadName(_))));
    // Processes and mailboxes are no functions.
    drop(a.register("halve").unwrap());
    assert!(a.unregister_function("halve") && !a.unregister_function("halve"));
    let gone = b.rpc::<_, u64>(a.id(), "halve", &2_u64, DEADLINE).await.unwrap_err();
    assert_eq!(failure(gone), Failure::NoFunction);
}

#[tokio::test]
async fn the_stop_of_a_node_ends_what_runs_there() {
    let (a, b) = pair().await;
    let running = Arc::new(Semaphore::new(0));
    let begun = Arc::clone(&running);
    a.register_function("forever", move |()| {
        begun.add_permits(1);
        async { std::future::pending::<Result<(), ()>>().await }
    })
    .unwrap();
    let options = CallOptions::default().no_timeout();
    let handle = b.rpc_async::<_, ()>(a.id(), "forever", &(), options).await.unwrap();
    soon(running.acquire()).await.unwrap().forget();
    soon(a.shutdown()).await;
    assert_eq!(soon(handle.answer()).await.unwrap_err(), CallError::NoConnection.into());
    assert_eq!(Arc::strong_count(&running), 1, "nothing of it is left");
}

/// Greets with what it was given, and ends with it when it is told to.
async fn greeter(mut process: Process, (to, word): (ProcessId, String)) -> ExitReason {
    process.send(to, &word).await.unwrap();
    process.receive().await;
    ExitReason::other(word.as_bytes()).unwrap()
}

async fn greeting(process: &mut Process) -> String {
    let is_message = |input: &Input| matches!(input, Input::Message(_));
    match soon(process.receive_match(is_message)).await {
        Some(Input::Message(message)) => message.decode().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_process_is_spawned_on_another_node_by_name() {
    let (a, b) = pair().await;
    a.register_spawnable("greeter", greeter).unwrap();
    let mut process = me(&b).await;
    let argument = (process.id(), "hello");
    let options = SpawnOptions::default().name(named("g")).mailbox(10, 1000);
    let spawned = b.spawn_on(a.id(), "greeter", &argument, options.clone()).await.unwrap();
    assert_eq!(greeting(&mut process).await, "hello");
    assert_eq!((spawned.node, a.whereis("g")), (a.id(), Some(spawned)));
    let taken = b.spawn_on(a.id(), "greeter", &argument, options).await.unwrap_err();
    let Failure::Exited(reason) = failure(taken) else { panic!() };
    assert!(reason.to_string().contains("stands for"), "{reason}");
    let plain = SpawnOptions::default;
    let nobody = b.spawn_on(a.id(), "nobody", &argument, plain()).await.unwrap_err();
    assert_eq!(failure(nobody), Failure::NoFunction);
    let bad = b.spawn_on(a.id(), "greeter", &(), plain()).await.unwrap_err();
    assert_eq!(failure(bad), Failure::NotUnderstood);
    assert!(a.unregister_spawnable("greeter"));
    assert!(a.is_alive(spawned).await.unwrap());
}

#[tokio::test]
async fn whoever_spawns_elsewhere_and_watches_or_links_misses_no_reason() {
    let (a, b) = pair().await;
    let at_once =
        |_: Process, word: String| async move { ExitReason::other(word.as_bytes()).unwrap() };
    a.register_spawnable("at_once", at_once).unwrap();
    let mut process = me(&b).await;
    let reason = ExitReason::other(b"at once").unwrap();
    for _ in 0..50 {
        let options = SpawnOptions::default();
        let spawned = process.spawn_monitor_on(a.id(), "at_once", "at once", options).await;
        let (spawned, number) = spawned.unwrap();
        match signal(&mut process).await {
            Signal::Down { number: of, target, reason: told, .. } => {
                assert_eq!((of, target, told), (number, spawned.into(), reason.clone()));
            }
            other => panic!("{other:?}"),
        }
        let options = SpawnOptions::default();
        let spawned = process.spawn_link_on(a.id(), "at_once", "at once", options).await.unwrap();
        match signal(&mut process).await {
            Signal::Exit { from, reason: told } => {
                assert_eq!((from, told), (spawned, reason.clone()))
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(a.processes().is_empty());
    assert!(process.try_receive().is_none());
}

#[tokio::test]
async fn a_process_that_is_held_begins_as_it_was_asked_to_or_ends_with_its_spawner() {
    let (a, b) = pair().await;
    a.register_spawnable("greeter", greeter).unwrap();
    let mut process = me(&b).await;
    let argument = (process.id(), "hello");
    let traps = SpawnOptions::default().trap_exit();
    for (options, trapping) in [(SpawnOptions::default(), false), (traps, true)] {
        let spawned = process.spawn_link_on(a.id(), "greeter", &argument, options).await.unwrap();
        assert_eq!(greeting(&mut process).await, "hello");
        soon(async {
            loop {
                let info = a.process_info(spawned).await.unwrap().unwrap();
                if (info.trap_exit, &info.monitors[..]) == (trapping, &[]) {
                    return assert_eq!(info.links, [process.id()]);
                }
            }
        })
        .await;
    }
    // It is asked for, and whoever asked ends before it lets it begin.
    let before = a.processes();
    for _ in 0..20 {
        let there = a.id();
        let hasty = b
            .spawn(move |process: Process| async move {
                let options = SpawnOptions::default();
                let argument = (process.id(), "never");
                let _ = process.spawn_link_on(there, "greeter", &argument, options).await;
            })
            .await
            .unwrap();
        b.exit(hasty, ExitReason::Kill).await.unwrap();
    }
    soon(async {
        while a.processes().len() > before.len() || a.processes() != before {
            a.is_alive(process.id()).await.unwrap_or(false);
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_stopping_node_spawns_nothing_for_others() {
    let (a, b) = pair().await;
    a.register_spawnable("greeter", greeter).unwrap();
    let (entered, mut stopping) = tokio::sync::mpsc::unbounded_channel::<()>();
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    a.spawn_with(SpawnOptions::default().trap_exit(), move |mut process: Process| async move {
        process.receive().await;
        entered.send(()).unwrap();
        opened.acquire().await.unwrap().forget();
    })
    .await
    .unwrap();
    let stops = tokio::spawn({
        let a = a.clone();
        async move { a.shutdown().await }
    });
    soon(stopping.recv()).await.unwrap();
    let process = me(&b).await;
    let argument = (process.id(), "hello");
    let refused = b.spawn_on(a.id(), "greeter", &argument, SpawnOptions::default()).await;
    assert!(matches!(failure(refused.unwrap_err()), Failure::Exited(_)));
    let refused = a.spawn(|_| async {}).await.unwrap_err();
    assert_eq!(refused, NodeError::Command(CommandError::Stopping));
    gate.add_permits(1);
    soon(stops).await.unwrap();
}

#[tokio::test]
async fn functions_hold_no_node_once_it_has_stopped() {
    let node = start("a@127.0.0.1").await;
    let held = Arc::new(());
    let (other, token) = (node.clone(), Arc::clone(&held));
    node.register_function("members", move |()| {
        let (other, _token) = (other.clone(), Arc::clone(&token));
        async move { Ok::<_, ()>(other.members().len()) }
    })
    .unwrap();
    assert_eq!(node.rpc::<_, usize>(node.id(), "members", &(), DEADLINE).await.unwrap(), 1);
    soon(node.shutdown()).await;
    eventually(|| Arc::strong_count(&held) == 1).await;
}
