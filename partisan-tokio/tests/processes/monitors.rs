//! Monitors of processes and of nodes.

use super::*;

#[tokio::test]
async fn the_end_of_a_process_is_told_once_with_its_reason() {
    let (a, b) = pair().await;
    let mut watcher = me(&b).await;
    let ended = a.spawn(ends_as_told).await.unwrap();
    let panicking = a
        .spawn(|mut process: Process| async move {
            process.receive().await;
            assert_eq!(process.id().serial, Serial(0), "no");
        })
        .await
        .unwrap();
    let failing = a
        .spawn(|mut process: Process| async move {
            process.receive().await;
            Err::<(), _>("an error")
        })
        .await
        .unwrap();
    let killed = a.spawn(ends_as_told).await.unwrap();
    for (process, expected) in [(ended, why("done")), (failing, why("an error"))] {
        let number = watcher.monitor(process).await;
        eventually_watched(&a, process).await;
        watcher.send(process, "done").await.unwrap();
        assert_eq!(down(&mut watcher).await, (number, expected));
    }
    let number = watcher.monitor(panicking).await;
    eventually_watched(&a, panicking).await;
    watcher.send(panicking, "go").await.unwrap();
    let (found, reason) = down(&mut watcher).await;
    assert!(found == number && reason.to_string().contains("no"), "{reason}");
    assert!(matches!(reason, ExitReason::Panicked(_)));
    let number = watcher.monitor(killed).await;
    watcher.exit(killed, ExitReason::Kill).await;
    assert_eq!(down(&mut watcher).await, (number, ExitReason::Killed));
    let number = watcher.monitor(killed).await;
    assert_eq!(down(&mut watcher).await, (number, ExitReason::NoProcess));
    let number = watcher.monitor((a.id(), named("nobody"))).await;
    assert_eq!(down(&mut watcher).await, (number, ExitReason::NoProcess));
    let stranger = ProcessId { node: support::name("c@h").id(), ..killed };
    let number = watcher.monitor(stranger).await;
    assert_eq!(down(&mut watcher).await, (number, ExitReason::NoConnection));
    settled(&watcher).await;
    assert!(watcher.try_receive().is_none());
    // A panic is an end like any other: the node goes on.
    assert!(a.processes().is_empty());
}

#[tokio::test]
async fn a_name_is_resolved_once_and_a_monitor_stays_with_its_process() {
    let (a, b) = pair().await;
    let mut watcher = me(&b).await;
    let first = a.spawn_with(SpawnOptions::default().name(named("n")), ends_as_told).await.unwrap();
    let number = watcher.monitor((a.id(), named("n"))).await;
    eventually_watched(&a, first).await;
    a.unregister(named("n")).await.unwrap();
    let second =
        a.spawn_with(SpawnOptions::default().name(named("n")), ends_as_told).await.unwrap();
    watcher.send(second, "second").await.unwrap();
    soon(async { while a.is_alive(second).await.unwrap() {} }).await;
    watcher.send(first, "first").await.unwrap();
    assert_eq!(down(&mut watcher).await, (number, why("first")));
}

#[tokio::test]
async fn news_of_an_end_comes_behind_the_messages_before_it() {
    let (a, b) = pair().await;
    let bulk = b.channel("bulk").unwrap();
    for lane in [Lane::default(), Lane { channel: bulk, key: Some(3) }] {
        let mut watcher = me(&b).await;
        let options = match lane.key {
            None => SendOptions::default(),
            Some(key) => SendOptions::default().channel(bulk).key(key),
        };
        let to = watcher.id();
        let talker = a.spawn(move |mut process: Process| async move {
            process.receive().await;
            for number in 0..500_u64 {
                process.send_on(to, &number, &options).await.unwrap();
            }
        });
        let talker = talker.await.unwrap();
        watcher.monitor_on(talker, lane).await;
        eventually_watched(&a, talker).await;
        watcher.send(talker, "go").await.unwrap();
        for number in 0..500_u64 {
            let Some(Input::Message(message)) = soon(watcher.receive()).await else { panic!() };
            assert_eq!(message.decode::<u64>().unwrap(), number);
        }
        assert_eq!(down(&mut watcher).await.1, ExitReason::Normal);
    }
}

#[tokio::test]
async fn nothing_is_received_of_a_monitor_that_was_ended() {
    let (a, b) = pair().await;
    let mut watcher = me(&b).await;
    // Ended before, while and after the process does.
    for round in 0..60 {
        let process = a.spawn(ends_as_told).await.unwrap();
        let number = watcher.monitor(process).await;
        watcher.send(process, "end").await.unwrap();
        if round % 3 == 1 {
            soon(async { while a.is_alive(process).await.unwrap() {} }).await;
        } else if round % 3 == 2 {
            let other = watcher.monitor(process).await;
            let is = |input: &Input| {
                matches!(input,
                Input::Signal(Signal::Down { number, .. }) if *number == other)
            };
            soon(watcher.receive_match(is)).await.unwrap();
        }
        let had_not_fired = watcher.demonitor(number);
        assert!(had_not_fired || round % 3 > 0);
        assert!(!watcher.demonitor(number), "it is over");
    }
    // Whatever was on its way has arrived before this.
    let last = watcher.monitor((a.id(), named("nobody"))).await;
    assert_eq!(down(&mut watcher).await.0, last);
    assert!(watcher.try_receive().is_none());
}

#[tokio::test]
async fn many_monitors_at_once_end_each_once_and_harm_no_session() {
    const MANY: usize = 5_000;
    let (a, b) = pair().await;
    let mut watcher = me(&b).await;
    let process = a.spawn(ends_as_told).await.unwrap();
    let mut open: Vec<u64> = Vec::new();
    for _ in 0..MANY {
        open.push(watcher.monitor(process).await);
    }
    watcher.send(process, "end").await.unwrap();
    let mut told = Vec::new();
    for _ in 0..MANY {
        let (number, reason) = down(&mut watcher).await;
        assert_ne!(reason, ExitReason::NoConnection);
        told.push(number);
    }
    told.sort_unstable();
    assert_eq!(told, open);
    settled(&watcher).await;
    assert!(watcher.try_receive().is_none());
    // All given up at once.
    let process = a.spawn(ends_as_told).await.unwrap();
    for _ in 0..MANY {
        watcher.monitor(process).await;
    }
    drop(watcher);
    let unwatched = async {
        while a.process_info(process).await.unwrap().unwrap().watched_by > 0
            || b.process_info(process).await.unwrap().unwrap().watched_by > 0
        {
            tokio::task::yield_now().await;
        }
    };
    soon(unwatched).await;
    assert_eq!((a.counters().stalled, b.counters().stalled), (0, 0));
}

#[tokio::test]
async fn the_death_of_a_node_ends_monitors_links_and_its_node_monitors_in_order() {
    let (a, b) = pair().await;
    let mut watcher = trapping(&b).await;
    let process = a.spawn(ends_as_told).await.unwrap();
    let mut handle = b.monitor(process).await.unwrap();
    watcher.monitor_nodes(NodeFilter { tag: None, present: true }).await;
    let Signal::NodeUp { instance, .. } = signal(&mut watcher).await else { panic!() };
    assert_eq!(instance.node, a.id());
    let number = watcher.monitor(process).await;
    let node_number = watcher.monitor_node(a.id()).await;
    watcher.link(process).await;
    eventually_watched(&a, process).await;
    a.abort().await;
    let mut reasons = Vec::new();
    for _ in 0..4 {
        match signal(&mut watcher).await {
            Signal::Down { number: found, reason, .. } => {
                assert_eq!((found, reason), (number, ExitReason::NoConnection));
                reasons.push("down");
            }
            Signal::NodeLost { number: found, node, reason } => {
                assert_eq!((found, node), (node_number, a.id()));
                assert!(reason.is_some());
                reasons.push("lost");
            }
            Signal::Exit { from, reason } => {
                assert_eq!((from, reason), (process, ExitReason::NoConnection));
                reasons.push("exit");
            }
            Signal::NodeDown { .. } => reasons.push("node down"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(reasons.last(), Some(&"node down"));
    reasons.sort_unstable();
    assert_eq!(reasons, ["down", "exit", "lost", "node down"]);
    let ended = soon(handle.down()).await;
    assert_eq!((ended.target, ended.reason), (Target::from(process), ExitReason::NoConnection));
    let again = watcher.monitor_node(a.id()).await;
    match signal(&mut watcher).await {
        Signal::NodeLost { number, reason: None, .. } => assert_eq!(number, again),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_node_is_up_before_its_first_message() {
    for _ in 0..10 {
        let (a, b) = (start("a@127.0.0.1").await, start("b@127.0.0.1").await);
        let mut receiver = b.attach(SpawnOptions::default().name(named("r"))).await.unwrap();
        receiver.monitor_nodes(NodeFilter::default()).await;
        settled(&receiver).await;
        let to = Target::from((b.id(), named("r")));
        let sending = tokio::spawn({
            let (a, node) = (a.clone(), b.id());
            async move {
                let mut events = a.events();
                while !a.is_connected(node) {
                    events.next().await;
                }
                a.send_to(to, "first", &SendOptions::default()).await.unwrap();
            }
        });
        b.join(contact(&a)).await.unwrap();
        assert!(matches!(signal(&mut receiver).await, Signal::NodeUp { .. }));
        assert_eq!(text(&mut receiver).await, "first");
        soon(sending).await.unwrap();
    }
}

#[tokio::test]
async fn whoever_watches_nodes_is_told_of_each_that_comes_and_goes() {
    let a = start("a@127.0.0.1").await;
    let mut changes = a.monitor_nodes(NodeFilter::default()).await.unwrap();
    let b = start("b@127.0.0.1").await;
    b.sync_join(contact(&a), DEADLINE).await.unwrap();
    match soon(changes.next()).await.unwrap() {
        NodeChange::Up { instance, spec } => {
            assert_eq!((instance.node, spec.name()), (b.id(), &b.name()));
        }
        other => panic!("{other:?}"),
    }
    b.shutdown().await;
    match soon(changes.next()).await.unwrap() {
        NodeChange::Down { instance, reason } => {
            assert_eq!((instance.node, reason), (b.id(), CloseReason::Stopped));
        }
        other => panic!("{other:?}"),
    }
    a.shutdown().await;
    assert_eq!(soon(changes.next()).await, None);
}

#[tokio::test]
async fn whoever_spawns_and_watches_at_once_misses_no_reason() {
    let node = start("a@127.0.0.1").await;
    let mut parent = me(&node).await;
    for _ in 0..100 {
        let spawned =
            parent.spawn_monitor(SpawnOptions::default(), |_| async { why("at once") }).await;
        assert_eq!(down(&mut parent).await, (spawned.unwrap().1, why("at once")));
    }
    let taken = SpawnOptions::default().name(named("n"));
    let holder = node.attach(taken.clone()).await.unwrap();
    parent.spawn_monitor(taken, |_| async {}).await.unwrap_err();
    settled(&parent).await;
    assert!(parent.try_receive().is_none());
    drop(holder);
}
