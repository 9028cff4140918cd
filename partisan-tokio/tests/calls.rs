//! Calls over real TCP: each has exactly one outcome.

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use partisan_tokio::{
    CallError, CallOptions, CommandError, DriverConfig, ExitReason, Failure, Input, Node,
    NodeError, Process, ProcessId, ProcessName, Reference, ReplyTo, RequestCollection,
    RequestError, SendOptions, Server, SpawnOptions,
};
use support::proxy::{Cut, Proxy};
use support::{
    DEADLINE, contact, eventually, fully_connected, pair, pair_of, settings, soon, start,
};
use tokio::sync::{Notify, mpsc, watch};

fn named(text: &str) -> ProcessName {
    ProcessName::new(text).unwrap()
}

fn failed(failure: Failure) -> RequestError {
    CallError::Failed(failure).into()
}

async fn me(node: &Node) -> Process {
    node.attach(SpawnOptions::default()).await.unwrap()
}

/// Answers each request with itself.
async fn echo(mut process: Process) {
    while let Some(input) = process.receive().await {
        if let Input::Request(request) = input {
            let payload = request.payload.clone();
            request.reply_bytes(payload).await.unwrap();
        }
    }
}

/// Hands all its requests out, unanswered.
async fn collecting(node: &Node) -> (ProcessId, mpsc::UnboundedReceiver<partisan_tokio::Request>) {
    let (tell, told) = mpsc::unbounded_channel();
    let collect = |mut process: Process| async move {
        while let Some(input) = process.receive().await {
            if let Input::Request(request) = input {
                let _ = tell.send(request);
            }
        }
    };
    (node.spawn(collect).await.unwrap(), told)
}

async fn nothing_is_left(nodes: &[&Node]) {
    soon(async {
        for node in nodes {
            while node.calls_under_way().await.unwrap() != (0, 0) {
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_call_is_answered_here_and_elsewhere_by_identifier_and_by_name() {
    let (a, b) = pair().await;
    let server = a.spawn_with(SpawnOptions::default().name(named("echo")), echo).await.unwrap();
    let caller = me(&b).await;
    for node in [&a, &b] {
        let answer: String = node.call(server, "hi", DEADLINE).await.unwrap();
        assert_eq!(answer, "hi");
        let name = (a.id(), named("echo"));
        assert_eq!(node.call::<_, u64>(name, &7_u64, DEADLINE).await.unwrap(), 7);
    }
    let payload = Bytes::from(vec![9; 3 << 20]);
    let bulk = CallOptions::from(DEADLINE).channel(b.channel("bulk").unwrap()).key(5);
    assert!(caller.call_bytes(server, payload.clone(), bulk).await.unwrap() == payload);
    assert!(b.call_bytes(server, payload.clone(), bulk).await.unwrap() == payload);
    nothing_is_left(&[&a, &b]).await;
}

#[tokio::test]
async fn every_way_to_fail_is_told_by_its_name() {
    let (a, b) = pair().await;
    let call = |server: Server| {
        let b = b.clone();
        async move { b.call::<_, String>(server, "x", DEADLINE).await.unwrap_err() }
    };
    let gone = me(&a).await.id();
    eventually(|| a.processes().is_empty()).await;
    assert_eq!(call(gone.into()).await, failed(Failure::NoProcess));
    assert_eq!(call((a.id(), named("no")).into()).await, failed(Failure::NoProcess));
    let stranger = ProcessId { node: support::name("c@h").id(), ..gone };
    let unknown = CommandError::UnknownNode(stranger.node);
    assert_eq!(call(stranger.into()).await, CallError::NotSent(unknown).into());
    let ends = |mut process: Process| async move {
        process.receive().await;
        ExitReason::other(b"why").unwrap()
    };
    let ending = a.spawn(ends).await.unwrap();
    let exited = Failure::Exited(ExitReason::other(b"why").unwrap());
    assert_eq!(call(ending.into()).await, failed(exited));
    let refusing = a.spawn(|mut process: Process| async move {
        let Some(Input::Request(request)) = process.receive().await else { return };
        request.refuse(Failure::Overloaded).await.unwrap();
        process.receive().await;
    });
    assert_eq!(call(refusing.await.unwrap().into()).await, failed(Failure::Overloaded));
    let server = a.spawn(echo).await.unwrap();
    let decode = b.call::<_, u64>(server, &[0xff_u8; 0], DEADLINE).await;
    assert!(matches!(decode, Err(RequestError::Decode(_))), "{decode:?}");
    let (silent, _requests) = collecting(&a).await;
    let late = b.call::<_, u64>(silent, "x", Duration::from_millis(20)).await.unwrap_err();
    assert!(late.is_timeout());
    let process = me(&a).await;
    let itself = process.call::<_, u64>(process.id(), "x", DEADLINE).await.unwrap_err();
    assert_eq!(itself, CallError::CallingItself.into());
    nothing_is_left(&[&a, &b]).await;
}

#[tokio::test]
async fn the_death_of_the_servers_node_ends_its_calls_at_once() {
    let (a, b) = pair().await;
    let (silent, mut requests) = collecting(&a).await;
    let handle = b.send_request::<_, u64>(silent, "x", CallOptions::default().no_timeout());
    let handle = handle.await.unwrap();
    soon(requests.recv()).await.unwrap();
    a.abort().await;
    assert_eq!(soon(handle.answer()).await.unwrap_err(), CallError::NoConnection.into());
    nothing_is_left(&[&b]).await;
}

#[tokio::test]
async fn calls_of_a_node_that_stops_end() {
    let (a, b) = pair().await;
    let (silent, mut requests) = collecting(&a).await;
    let forever = CallOptions::default().no_timeout();
    let handle = b.send_request::<_, u64>(silent, "x", forever).await.unwrap();
    let of_process = me(&b).await;
    let other = of_process.send_request::<_, u64>(silent, "x", forever).await.unwrap();
    soon(requests.recv()).await.unwrap();
    soon(b.shutdown()).await;
    let lost = RequestError::from(CallError::NoConnection);
    let over = [RequestError::Stopped, lost.clone()];
    assert!(over.contains(&soon(handle.answer()).await.unwrap_err()));
    let over = [RequestError::Ended, lost];
    assert!(over.contains(&soon(other.answer()).await.unwrap_err()));
    // Of a node that has stopped it is said, and not of a process of it that may never have been.
    let late = b.call::<_, u64>(silent, "x", forever);
    assert_eq!(soon(late).await.unwrap_err(), RequestError::Stopped);
    assert_eq!(of_process.node().monitor(silent).await.unwrap_err(), NodeError::Stopped);
    let late = of_process.call::<_, u64>(silent, "x", forever);
    assert_eq!(soon(late).await.unwrap_err(), RequestError::Ended);
    nothing_is_left(&[&a]).await;
}

#[tokio::test]
async fn a_late_answer_never_reaches_another_call() {
    let (a, b) = pair().await;
    let (slow, mut requests) = collecting(&a).await;
    let caller = me(&b).await;
    for round in 0..20_u64 {
        let late = caller.call::<_, u64>(slow, &round, Duration::from_millis(5)).await;
        assert!(late.unwrap_err().is_timeout());
        let old = soon(requests.recv()).await.unwrap();
        let handle = caller.send_request::<_, u64>(slow, &(round + 100), DEADLINE).await.unwrap();
        let new = soon(requests.recv()).await.unwrap();
        old.reply(&1_u64).await.unwrap();
        new.reply(&2_u64).await.unwrap();
        assert_eq!(handle.answer().await.unwrap(), 2);
    }
    // Each was taken back when it timed out, or its answer came and was counted.
    nothing_is_left(&[&a, &b]).await;
    let mut caller = caller;
    assert!(caller.try_receive().is_none(), "nothing strays into the mailbox");
}

#[tokio::test]
async fn a_request_may_be_waited_for_again_or_given_up() {
    let (a, b) = pair().await;
    let (silent, mut requests) = collecting(&a).await;
    let mut handle = b.send_request::<_, u64>(silent, "x", DEADLINE).await.unwrap();
    assert!(handle.check().is_none());
    assert!(handle.wait(Duration::from_millis(5)).await.is_none());
    soon(requests.recv()).await.unwrap().reply(&5_u64).await.unwrap();
    assert_eq!(soon(handle.wait(DEADLINE)).await, Some(Ok(5)));
    assert_eq!(handle.check(), Some(Err(RequestError::Taken)));
    let given_up = b.send_request::<_, u64>(silent, "x", DEADLINE).await.unwrap();
    let timeout = given_up.receive(Duration::from_millis(5)).await.unwrap_err();
    assert!(timeout.is_timeout());
    nothing_is_left(&[&b]).await;
    // And one whose future is dropped.
    let call = b.call::<_, u64>(silent, "x", DEADLINE);
    let _ = tokio::time::timeout(Duration::from_millis(5), call).await.unwrap_err();
    let checked = b.send_request::<_, u64>(silent, "x", DEADLINE).await.unwrap();
    nothing_is_left_but(&b, (1, 0)).await;
    drop(checked);
    nothing_is_left(&[&a, &b]).await;
}

async fn nothing_is_left_but(node: &Node, left: (usize, usize)) {
    soon(async {
        while node.calls_under_way().await.unwrap() != left {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_has_come_is_found_by_check() {
    let node = start("a@127.0.0.1").await;
    let server = node.spawn(echo).await.unwrap();
    let mut handle = node.send_request::<_, u64>(server, &3_u64, DEADLINE).await.unwrap();
    let answer = soon(async {
        loop {
            match handle.check() {
                Some(answer) => return answer,
                None => tokio::task::yield_now().await,
            }
        }
    });
    assert_eq!(answer.await, Ok(3));
}

#[tokio::test]
async fn anybody_anywhere_may_answer() {
    let (a, b) = pair().await;
    let c = start("c@127.0.0.1").await;
    c.sync_join(contact(&a), DEADLINE).await.unwrap();
    fully_connected(&c, &b).await;
    fully_connected(&b, &c).await;
    let answerer = c
        .spawn(|mut process: Process| async move {
            while let Some(Input::Message(message)) = process.receive().await {
                let to: ReplyTo = message.decode::<Reference>().unwrap().request().unwrap();
                let answer = postcard::to_allocvec("from the third").unwrap();
                process.node().reply(to, Ok(answer.into())).await.unwrap();
                // The first answer counts.
                process.node().reply(to, Ok(Bytes::from_static(b"x"))).await.unwrap();
            }
        })
        .await
        .unwrap();
    let delegating = a
        .spawn(move |mut process: Process| async move {
            while let Some(Input::Request(request)) = process.receive().await {
                let reference = Reference::from(request.reply_to);
                process.send(answerer, &reference).await.unwrap();
            }
        })
        .await
        .unwrap();
    for _ in 0..3 {
        let answer: String = b.call(delegating, "who?", DEADLINE).await.unwrap();
        assert_eq!(answer, "from the third");
    }
    eventually(|| b.counters().protocol.calls.late == 3).await;
    nothing_is_left(&[&a, &b, &c]).await;
}

#[tokio::test]
async fn several_nodes_are_asked_at_once_and_bad_ones_are_told() {
    let (a, b) = pair().await;
    let c = start("c@127.0.0.1").await;
    c.sync_join(contact(&a), DEADLINE).await.unwrap();
    fully_connected(&a, &c).await;
    let answering = |number: u64| {
        move |mut process: Process| async move {
            while let Some(Input::Request(request)) = process.receive().await {
                request.reply(&number).await.unwrap();
            }
        }
    };
    let options = || SpawnOptions::default().name(named("s"));
    a.spawn_with(options(), answering(1)).await.unwrap();
    b.spawn_with(options(), |mut process: Process| async move {
        // Never answers.
        while process.receive().await.is_some() {}
    })
    .await
    .unwrap();
    c.spawn_with(options(), answering(3)).await.unwrap();
    let stranger = support::name("d@h").id();
    let nodes = [c.id(), b.id(), stranger, a.id(), c.id()];
    let asked = a.multi_call::<_, u64>(nodes, &named("s"), "x", Duration::from_millis(200)).await;
    assert_eq!(asked.replies, [(c.id(), 3), (a.id(), 1), (c.id(), 3)]);
    let [(first, timeout), (second, unsent)] = &asked.bad_nodes[..] else { panic!() };
    assert_eq!((*first, *second), (b.id(), stranger));
    assert!(timeout.is_timeout());
    assert!(matches!(unsent, RequestError::Call(CallError::NotSent(_))));
}

#[tokio::test]
async fn casts_reach_all_nodes_that_are_asked() {
    let (a, b) = pair().await;
    let options = || SpawnOptions::default().name(named("s"));
    let (mut here, mut there) =
        (a.attach(options()).await.unwrap(), b.attach(options()).await.unwrap());
    let nodes = [a.id(), support::name("nobody@h").id(), b.id()];
    a.abcast(nodes, &named("s"), "all").await;
    for process in [&mut here, &mut there] {
        let Some(Input::Message(message)) = soon(process.receive()).await else { panic!() };
        assert_eq!(message.decode::<String>().unwrap(), "all");
    }
}

#[tokio::test]
async fn a_call_comes_behind_the_messages_before_it() {
    let (a, b) = pair().await;
    let bulk = b.channel("bulk").unwrap();
    let server = a.spawn(|mut process: Process| async move {
        let mut count = 0_u64;
        while let Some(input) = process.receive().await {
            match input {
                Input::Message(_) => count += 1,
                Input::Request(request) => request.reply(&count).await.unwrap(),
                _ => {}
            }
        }
    });
    let server = server.await.unwrap();
    let mut sent = 0;
    for round in 0..50 {
        for _ in 0..=round * 3 {
            let keyed = SendOptions::default().channel(bulk).key(9);
            b.send_to(server, "one", &keyed).await.unwrap();
            sent += 1;
        }
        let keyed = CallOptions::from(DEADLINE).channel(bulk).key(9);
        assert_eq!(b.call::<_, u64>(server, "how many?", keyed).await.unwrap(), sent);
    }
    for _ in 0..50 {
        a.send_to(server, "one", &SendOptions::default()).await.unwrap();
        sent += 1;
        assert_eq!(a.call::<_, u64>(server, "how many?", DEADLINE).await.unwrap(), sent);
    }
}

#[tokio::test]
async fn a_request_for_a_full_mailbox_is_refused() {
    let (a, b) = pair().await;
    let server = a.attach(SpawnOptions::default().mailbox(2, 1 << 20)).await.unwrap();
    let id = server.id();
    let one = b.send_request::<_, u64>(id, "1", DEADLINE).await.unwrap();
    let two = b.send_request::<_, u64>(id, "2", DEADLINE).await.unwrap();
    let refused = b.call::<_, u64>(id, "3", DEADLINE).await.unwrap_err();
    assert_eq!(refused, failed(Failure::Overloaded));
    drop((one, two));
    nothing_is_left(&[&a, &b]).await;
}

#[tokio::test]
async fn what_was_asked_of_a_process_that_ends_is_answered_with_its_end() {
    let (a, b) = pair().await;
    let server = me(&a).await;
    let waiting = b.send_request::<_, u64>(server.id(), "x", DEADLINE).await.unwrap();
    nothing_is_left_but(&a, (0, 1)).await;
    drop(server);
    let exited = failed(Failure::Exited(ExitReason::Normal));
    assert_eq!(soon(waiting.answer()).await.unwrap_err(), exited);
}

#[tokio::test]
async fn a_caller_that_ends_leaves_nothing_behind() {
    let (a, b) = pair().await;
    let (silent, mut requests) = collecting(&a).await;
    let caller = b
        .spawn(move |process: Process| async move {
            let _ = process.call::<_, u64>(silent, "x", DEADLINE).await;
        })
        .await
        .unwrap();
    let request = soon(requests.recv()).await.unwrap();
    assert_eq!(request.reply_to.caller(), caller);
    b.exit(caller, ExitReason::Kill).await.unwrap();
    nothing_is_left(&[&a, &b]).await;
    request.reply(&1_u64).await.unwrap();
    eventually(|| b.counters().protocol.calls.late == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_long_calls_at_once_wait_for_room_and_are_all_answered() {
    let tight = DriverConfig { lane_queue_bytes: 64 << 10, ..DriverConfig::default() };
    let (a, b) = pair_of(
        settings("a@127.0.0.1").driver(tight.clone()),
        settings("b@127.0.0.1").driver(tight),
    )
    .await;
    let server = a.spawn(echo).await.unwrap();
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..64_u8 {
        let b = b.clone();
        callers.spawn(async move {
            for round in 0..5_u8 {
                let payload = Bytes::from(vec![number ^ round; 64 << 10]);
                let answer = b.call_bytes(server, payload.clone(), DEADLINE).await.unwrap();
                assert!(answer == payload);
            }
        });
    }
    soon(callers.join_all()).await;
    nothing_is_left(&[&a, &b]).await;
    let counters = (a.counters().protocol.calls, b.counters().protocol.calls);
    assert_eq!((counters.0.unsent, counters.1.timeouts, counters.1.late), (0, 0, 0));
}

/// Two nodes that talk by way of a middleman, and notice his silence soon.
async fn pair_by_proxy() -> (Node, Node, Proxy) {
    let mut config = support::config();
    config.connections.keep_alive.idle_timeout = Duration::from_millis(100);
    config.connections.keep_alive.ping_timeout = Duration::from_millis(100);
    config.connections.keep_alive.max_attempts = 2;
    let (tell, target) = watch::channel(None);
    let proxy = Proxy::start(target).await;
    let advertised = settings("a@127.0.0.1").advertise([proxy.address.clone()]);
    // It listens where the middleman is told to go.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = partisan_tokio::Address::from(listener.local_addr().unwrap());
    drop(listener);
    tell.send_replace(Some(address.clone()));
    let a = Node::start(advertised.listen([address]).config(config.clone())).await.unwrap();
    // Nobody can dial it, so that every connection goes by the middleman.
    let b = Node::start(settings("b@127.0.0.1").listen([]).config(config)).await.unwrap();
    b.sync_join(contact(&a), DEADLINE).await.unwrap();
    fully_connected(&a, &b).await;
    fully_connected(&b, &a).await;
    (a, b, proxy)
}

#[tokio::test]
async fn a_half_open_connection_ends_monitors_and_calls_on_both_sides_once() {
    let both = Cut { there: true, back: true };
    for cut in [both, Cut { there: true, back: false }, Cut { there: false, back: true }] {
        let (a, b, proxy) = pair_by_proxy().await;
        let ((on_a, _requests), (on_b, _others)) = (collecting(&a).await, collecting(&b).await);
        let mut watchers = [(me(&a).await, on_b), (me(&b).await, on_a)];
        let forever = CallOptions::default().no_timeout();
        let mut calls = Vec::new();
        for (watcher, target) in &watchers {
            watcher.monitor(*target).await;
            calls.push(watcher.send_request::<_, u64>(*target, "x", forever).await.unwrap());
        }
        nothing_is_left_but(&a, (1, 1)).await;
        nothing_is_left_but(&b, (1, 1)).await;
        proxy.cut(cut);
        for call in calls {
            assert_eq!(soon(call.answer()).await.unwrap_err(), CallError::NoConnection.into());
        }
        for (watcher, target) in &mut watchers {
            match soon(watcher.receive()).await {
                Some(Input::Signal(partisan_tokio::Signal::Down {
                    target: of, reason, ..
                })) => {
                    assert_eq!((of, reason), ((*target).into(), ExitReason::NoConnection));
                }
                other => panic!("{other:?}"),
            }
        }
        nothing_is_left(&[&a, &b]).await;
        for (watcher, _) in &mut watchers {
            watcher.unlink(watcher.id()).await;
            assert!(watcher.try_receive().is_none(), "exactly once");
        }
        a.abort().await;
        b.abort().await;
    }
}

#[tokio::test]
async fn a_call_may_be_made_while_another_waits_in_the_same_process() {
    let node = start("a@127.0.0.1").await;
    let gate = Arc::new(Notify::new());
    let opened = Arc::clone(&gate);
    let slow = node
        .spawn(|mut process: Process| async move {
            let Some(Input::Request(request)) = process.receive().await else { return };
            opened.notified().await;
            request.reply("slow").await.unwrap();
            process.receive().await;
        })
        .await
        .unwrap();
    let quick = node.spawn(echo).await.unwrap();
    let caller = me(&node).await;
    let (first, second) = tokio::join!(caller.call::<_, String>(slow, "x", DEADLINE), async {
        let answer = caller.call::<_, String>(quick, "quick", DEADLINE).await;
        gate.notify_one();
        answer
    });
    assert_eq!((first.unwrap(), second.unwrap()), ("slow".into(), "quick".into()));
}

#[tokio::test]
async fn a_collection_tells_the_next_answer_with_its_label_whichever_it_is() {
    let (a, b) = pair().await;
    let (silent, mut requests) = collecting(&a).await;
    let mut asked = RequestCollection::new();
    assert!(asked.next().await.is_none() && asked.check().is_none());
    let options = CallOptions::default().no_timeout();
    let (mut keys, mut waiting) = (Vec::new(), Vec::new());
    for label in ["one", "two", "three", "four"] {
        let request = b.send_request::<_, u64>(silent, label, options).await.unwrap();
        keys.push(asked.add(label, request));
        waiting.push(soon(requests.recv()).await.unwrap());
    }
    assert!(asked.check().is_none());
    assert!(tokio::time::timeout(Duration::from_millis(20), asked.next()).await.is_err());
    // The third is answered first, while it is waited for.
    let third = waiting.remove(2);
    let answer = async { third.reply(&3_u64).await.unwrap() };
    let (next, ()) = soon(async { tokio::join!(asked.next(), answer) }).await;
    assert_eq!(next, Some(("three", Ok(3))));
    // One is taken out, and answered by itself.
    let (label, two) = asked.remove(keys[1]).unwrap();
    waiting.remove(1).reply(&2_u64).await.unwrap();
    assert_eq!((label, soon(two.answer()).await), ("two", Ok(2)));
    assert!(asked.remove(keys[1]).is_none() && asked.remove(keys[2]).is_none());
    let left: Vec<_> = asked.labels().map(|(key, label)| (key, *label)).collect();
    assert_eq!(left, [(keys[0], "one"), (keys[3], "four")]);
    // Answers that are there already are taken without waiting.
    for request in waiting {
        request.reply(&9_u64).await.unwrap();
    }
    let mut rest = Vec::new();
    soon(async {
        while rest.len() < 2 {
            rest.extend(asked.check());
            tokio::task::yield_now().await;
        }
    })
    .await;
    rest.sort_unstable_by_key(|(label, _)| *label);
    assert_eq!(rest, [("four", Ok(9)), ("one", Ok(9))]);
    assert!(asked.is_empty() && asked.next().await.is_none());
    nothing_is_left(&[&a, &b]).await;
}

#[tokio::test]
async fn a_collection_that_is_dropped_gives_all_its_requests_up() {
    let (a, b) = pair().await;
    let (silent, mut requests) = collecting(&a).await;
    let mut asked = RequestCollection::new();
    for label in 0..3 {
        let options = CallOptions::default().no_timeout();
        let request = b.send_request::<_, u64>(silent, "x", options).await.unwrap();
        asked.add(label, request);
        soon(requests.recv()).await.unwrap();
    }
    assert_eq!(asked.len(), 3);
    drop(asked);
    nothing_is_left(&[&a, &b]).await;
}
