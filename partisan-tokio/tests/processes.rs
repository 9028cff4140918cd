//! Processes over real TCP: messages, names, monitors, links, exits, timers.

mod support;

use std::time::Duration;

use bytes::Bytes;
use partisan_proto::process::{Actor, ActorContext};
use partisan_proto::{CloseReason, Incarnation, Serial, process};
use partisan_tokio::{
    CommandError, DriverConfig, ExitReason, Input, Lane, Node, NodeChange, NodeError, NodeFilter,
    Process, ProcessId, ProcessName, Reference, SendOptions, Signal, SpawnOptions, Target,
};
use support::{
    DEADLINE, contact, eventually, fully_connected, pair, pair_of, settings, soon, start,
};
use tokio::sync::{mpsc, oneshot};

fn named(text: &str) -> ProcessName {
    ProcessName::new(text).unwrap()
}

fn why(text: &str) -> ExitReason {
    ExitReason::other(text.as_bytes()).unwrap()
}

async fn me(node: &Node) -> Process {
    node.attach(SpawnOptions::default()).await.unwrap()
}

async fn trapping(node: &Node) -> Process {
    node.attach(SpawnOptions::default().trap_exit()).await.unwrap()
}

/// The text of the next message.
async fn text(process: &mut Process) -> String {
    match soon(process.receive()).await {
        Some(Input::Message(message)) => message.decode().unwrap(),
        other => panic!("{other:?}"),
    }
}

async fn signal(process: &mut Process) -> Signal {
    match soon(process.receive()).await {
        Some(Input::Signal(signal)) => signal,
        other => panic!("{other:?}"),
    }
}

/// The number and the reason of the next signal, of a monitor that has ended.
async fn down(process: &mut Process) -> (u64, ExitReason) {
    match signal(process).await {
        Signal::Down { number, reason, .. } => (number, reason),
        other => panic!("{other:?}"),
    }
}

async fn exit_of(process: &mut Process) -> (ProcessId, ExitReason) {
    match signal(process).await {
        Signal::Exit { from, reason } => (from, reason),
        other => panic!("{other:?}"),
    }
}

/// Ends with what it is told to end with.
async fn ends_as_told(mut process: Process) -> ExitReason {
    loop {
        match process.receive().await {
            Some(Input::Message(message)) => return why(&message.decode::<String>().unwrap()),
            Some(_) => {}
            None => return ExitReason::Normal,
        }
    }
}

/// All that was done by what this process did before has happened.
async fn settled(process: &Process) {
    process.unlink(process.id()).await;
}

#[tokio::test]
async fn messages_reach_a_process_by_identifier_and_by_name_from_either_node() {
    let (a, b) = pair().await;
    let mut receiver = a.attach(SpawnOptions::default().name(named("receiver"))).await.unwrap();
    let sender = me(&b).await;
    let id = receiver.id();
    sender.send(id, "by identifier").await.unwrap();
    assert_eq!(text(&mut receiver).await, "by identifier");
    sender.send((a.id(), named("receiver")), "by name").await.unwrap();
    assert_eq!(text(&mut receiver).await, "by name");
    let bulk = SendOptions::default().channel(b.channel("bulk").unwrap()).key(7);
    sender.send_on(id, "on a channel", &bulk).await.unwrap();
    let Some(Input::Message(message)) = soon(receiver.receive()).await else { panic!() };
    assert_eq!((message.from, message.channel), (b.id(), b.channel("bulk").unwrap()));
    receiver.send(id, "to itself").await.unwrap();
    assert_eq!(text(&mut receiver).await, "to itself");
    a.cast(id, "from the node").await;
    assert_eq!(text(&mut receiver).await, "from the node");
}

#[tokio::test]
async fn a_message_for_a_process_that_is_gone_or_of_another_run_is_counted() {
    let (a, b) = pair().await;
    let receiver = me(&a).await;
    let (id, serial) = (receiver.id(), receiver.id().serial);
    let old = ProcessId { birth: Incarnation(1), ..id };
    b.send_to(old, "another run", &SendOptions::default()).await.unwrap();
    eventually(|| a.counters().undeliverable == 1).await;
    drop(receiver);
    eventually(|| !a.processes().iter().any(|process| process.serial == serial)).await;
    b.send_to(id, "gone", &SendOptions::default()).await.unwrap();
    b.send_to((a.id(), named("nobody")), "nobody", &SendOptions::default()).await.unwrap();
    eventually(|| a.counters().undeliverable == 3).await;
}

#[tokio::test]
async fn a_process_passes_over_what_it_does_not_want_yet() {
    let node = start("a@127.0.0.1").await;
    let mut process = me(&node).await;
    for word in ["one", "two", "three", "two"] {
        process.send(process.id(), word).await.unwrap();
    }
    let is = |word: &'static str| {
        move |input: &Input| match input {
            Input::Message(message) => message.decode::<String>().unwrap() == word,
            _ => false,
        }
    };
    soon(process.receive_match(is("three"))).await.unwrap();
    soon(process.receive_match(is("two"))).await.unwrap();
    assert_eq!(text(&mut process).await, "one");
    assert_eq!(text(&mut process).await, "two");
    assert!(process.try_receive().is_none());
}

#[tokio::test]
async fn a_full_mailbox_holds_up_its_senders_and_lets_signals_in() {
    let tight = DriverConfig { lane_queue_bytes: 16 << 10, ..DriverConfig::default() };
    let (a, b) = pair_of(
        settings("a@127.0.0.1").driver(tight.clone()),
        settings("b@127.0.0.1").driver(tight),
    )
    .await;
    let mut receiver = a.attach(SpawnOptions::default().mailbox(4, 1 << 20)).await.unwrap();
    let (id, other) = (receiver.id(), b.spawn(ends_as_told).await.unwrap());
    let number = receiver.monitor(other).await;
    let payload = Bytes::from(vec![0; 8 << 10]);
    let sending = tokio::spawn({
        let b = b.clone();
        async move {
            for _ in 0..5_000 {
                b.send_bytes_to(id, payload.clone(), &SendOptions::default()).await.unwrap();
            }
        }
    });
    // Passed over, they still fill the mailbox; what it asked to be told comes all the same.
    let bulk = SendOptions::default().channel(b.channel("bulk").unwrap());
    b.send_to(other, "enough", &bulk).await.unwrap();
    let wanted = |input: &Input| matches!(input, Input::Signal(Signal::Down { .. }));
    soon(receiver.receive_match(wanted)).await.unwrap();
    assert!(!sending.is_finished());
    assert!(number > 0);
    for _ in 0..5_000 {
        assert!(matches!(soon(receiver.receive()).await, Some(Input::Message(_))));
    }
    soon(sending).await.unwrap();
}

#[tokio::test]
async fn names_are_shared_by_processes_and_mailboxes() {
    let node = start("a@127.0.0.1").await;
    let process = me(&node).await;
    let mailbox = node.register("store").unwrap();
    let taken = process.register(named("store")).await.unwrap_err();
    assert_eq!(taken, NodeError::Registered("store".into()));
    let options = || SpawnOptions::default().name(named("store"));
    let taken = node.spawn_with(options(), ends_as_told).await.unwrap_err();
    assert_eq!(taken, NodeError::Registered("store".into()));
    drop(mailbox);
    process.register(named("store")).await.unwrap();
    let serial = process.id().serial;
    let held = CommandError::NameTaken { name: named("store"), holder: serial };
    assert_eq!(node.register("store").unwrap_err(), NodeError::Command(held.clone()));
    assert_eq!(node.attach(options()).await.unwrap_err(), NodeError::Command(held));
    assert_eq!(node.whereis("store"), Some(process.id()));
    assert_eq!(node.registered(), [(named("store"), process.id())]);
    node.unregister(named("store")).await.unwrap();
    assert_eq!(node.whereis("store"), None);
    let unknown = CommandError::NameUnknown(named("store"));
    assert_eq!(node.unregister(named("store")).await.unwrap_err(), NodeError::Command(unknown));
    node.register_process(named("store"), process.id()).await.unwrap();
    drop(process);
    eventually(|| node.whereis("store").is_none()).await;
    drop(node.register("store").unwrap());
}

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

async fn eventually_watched(node: &Node, process: ProcessId) {
    soon(async {
        while node.process_info(process).await.unwrap().unwrap().watched_by == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
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
async fn linked_processes_end_together_unless_they_trap() {
    let (a, b) = pair().await;
    let mut parent = trapping(&b).await;
    let child = parent.spawn_link(ends_as_told).await.unwrap();
    parent.send(child, "by itself").await.unwrap();
    assert_eq!(exit_of(&mut parent).await, (child, why("by itself")));
    // Over the network, both ways.
    let far = a.spawn(ends_as_told).await.unwrap();
    parent.link(far).await;
    parent.exit(far, why("told to")).await;
    assert_eq!(exit_of(&mut parent).await, (far, why("told to")));
    let far = a.spawn(ends_as_told).await.unwrap();
    let mut seen = b.monitor(far).await.unwrap();
    eventually_watched(&a, far).await;
    let near = b
        .spawn(move |mut process: Process| async move {
            process.link(far).await;
            process.receive().await;
            why("near")
        })
        .await
        .unwrap();
    parent.send(near, "end").await.unwrap();
    assert_eq!(soon(seen.down()).await.reason, why("near"));
    // A normal end ends nobody.
    let quiet = b.spawn_with(SpawnOptions::default().linked_to(&parent), |_| async {}).await;
    assert_eq!(exit_of(&mut parent).await, (quiet.unwrap(), ExitReason::Normal));
    let gone = ProcessId { serial: Serial(1 << 40), ..near };
    parent.link(gone).await;
    assert_eq!(exit_of(&mut parent).await, (gone, ExitReason::NoProcess));
}

#[tokio::test]
async fn an_unlinked_process_and_one_that_traps_outlive_others() {
    let node = start("a@127.0.0.1").await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let process = node
        .spawn(move |mut process: Process| async move {
            process.receive().await;
            let child = process.spawn_link(ends_as_told).await.unwrap();
            process.unlink(child).await;
            process.send(child, "end").await.unwrap();
            let mut seen = process.node().monitor(child).await.unwrap();
            seen.down().await;
            process.trap_exit(true).await;
            let child = process.spawn_link(ends_as_told).await.unwrap();
            process.send(child, "end").await.unwrap();
            tell.send(signal(&mut process).await).unwrap();
            process.trap_exit(false).await;
            process.spawn_link(|_| async { why("the last") }).await.unwrap();
            process.receive().await;
        })
        .await
        .unwrap();
    let mut seen = node.monitor(process).await.unwrap();
    eventually_watched(&node, process).await;
    node.cast(process, "go").await;
    let Some(Signal::Exit { reason, .. }) = soon(told.recv()).await else { panic!() };
    assert_eq!(reason, why("end"));
    assert_eq!(soon(seen.down()).await.reason, why("the last"));
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

#[tokio::test]
async fn exit_signals_follow_erlangs_rules() {
    let node = start("a@127.0.0.1").await;
    let mut other = trapping(&node).await;
    let from = me(&node).await;
    from.exit(other.id(), ExitReason::Normal).await;
    assert_eq!(exit_of(&mut other).await, (from.id(), ExitReason::Normal));
    from.exit(other.id(), why("x")).await;
    assert_eq!(exit_of(&mut other).await, (from.id(), why("x")));
    // Normal ends nobody else; kill cannot be trapped.
    let plain = node.spawn(ends_as_told).await.unwrap();
    let mut seen = node.monitor(plain).await.unwrap();
    from.exit(plain, ExitReason::Normal).await;
    settled(&from).await;
    assert!(node.is_alive(plain).await.unwrap());
    node.exit(plain, why("x")).await.unwrap();
    assert_eq!(soon(seen.down()).await.reason, why("x"));
    let mut seen = node.monitor(other.id()).await.unwrap();
    from.exit(other.id(), ExitReason::Kill).await;
    assert_eq!(soon(seen.down()).await.reason, ExitReason::Killed);
    assert!(soon(other.receive()).await.is_none(), "it has been ended");
    // The node itself cannot be ended: whoever asks through it is answered.
    let itself = ProcessId { serial: Serial::NODE, ..plain };
    from.exit(itself, ExitReason::Kill).await;
    assert!(!node.processes().contains(&itself));
    // And who is gone does nothing any more.
    other.exit(from.id(), why("never")).await;
    assert_eq!(other.monitor(from.id()).await, 1);
    settled(&from).await;
    assert!(node.is_alive(from.id()).await.unwrap());
}

#[tokio::test]
async fn timers_fire_once_at_their_time_unless_they_are_cancelled() {
    let (a, b) = pair().await;
    let mut process = me(&a).await;
    let soon_after = Duration::from_millis(20);
    let to_itself = process.send_after(soon_after, process.id(), "tick").await.unwrap();
    match signal(&mut process).await {
        Signal::Timer { number, payload } => {
            assert_eq!(number, to_itself);
            assert_eq!(postcard::from_bytes::<String>(&payload).unwrap(), "tick");
        }
        other => panic!("{other:?}"),
    }
    let mut far = b.attach(SpawnOptions::default().name(named("far"))).await.unwrap();
    process.send_after(soon_after, (b.id(), named("far")), "far").await.unwrap();
    assert_eq!(text(&mut far).await, "far");
    let hour = Duration::from_secs(3600);
    let number = process.send_after(hour, process.id(), "late").await.unwrap();
    let left = process.read_timer(number).await.unwrap();
    assert!(left <= hour && left > hour / 2);
    let left = process.cancel_timer(number).await.unwrap();
    assert!(left <= hour && left > hour / 2);
    assert_eq!(process.cancel_timer(number).await, None);
    assert_eq!(process.read_timer(number).await, None);
    // Also when it has fired already, and waits in the mailbox.
    for _ in 0..50 {
        let number = process.send_after(Duration::ZERO, process.id(), "now").await.unwrap();
        process.cancel_timer(number).await;
        settled(&process).await;
        assert!(process.try_receive().is_none());
    }
}

#[tokio::test]
async fn what_is_known_of_a_process_is_told_here_and_elsewhere() {
    let (a, b) = pair().await;
    let parent = trapping(&a).await;
    let options = SpawnOptions::default().name(named("known")).trap_exit().linked_to(&parent);
    let process = a.attach(options).await.unwrap();
    process.monitor(parent.id()).await;
    process.send_after(Duration::from_secs(3600), process.id(), "late").await.unwrap();
    process.send(process.id(), "waits").await.unwrap();
    settled(&process).await;
    for node in [&a, &b] {
        let info = node.process_info(process.id()).await.unwrap().unwrap();
        assert_eq!((info.process, &info.names[..]), (process.id(), &[named("known")][..]));
        assert!(info.trap_exit);
        assert_eq!(info.links, [parent.id()]);
        assert_eq!(info.monitors, [Reference::from(parent.id())]);
        assert_eq!((info.watched_by, info.timers, info.waiting), (0, 1, 1));
        let timeout = DEADLINE;
        let found = node.whereis_on(a.id(), &named("known"), timeout).await.unwrap();
        assert_eq!(found, Some(process.id()));
        assert_eq!(node.whereis_on(a.id(), &named("no"), timeout).await.unwrap(), None);
        assert!(node.is_alive(process.id()).await.unwrap());
        let all = node.processes_on(a.id(), timeout).await.unwrap();
        assert_eq!(all, [parent.id(), process.id()]);
    }
    let id = process.id();
    drop(process);
    eventually(|| !a.processes().contains(&id)).await;
    assert!(!b.is_alive(id).await.unwrap());
    assert_eq!(b.process_info(id).await.unwrap(), None);
    let elsewhere = ProcessId { node: support::name("c@h").id(), ..id };
    b.is_alive(elsewhere).await.unwrap_err();
}

#[tokio::test]
async fn a_reference_in_a_message_leads_back_to_its_process() {
    let (a, b) = pair().await;
    let mut receiver = me(&a).await;
    let echo = b
        .spawn(|mut process: Process| async move {
            while let Some(Input::Message(message)) = process.receive().await {
                let (to, word): (Reference, String) = message.decode().unwrap();
                process.send(to.target().unwrap(), &word).await.unwrap();
            }
        })
        .await
        .unwrap();
    receiver.send(echo, &(Reference::from(receiver.id()), "there and back")).await.unwrap();
    assert_eq!(text(&mut receiver).await, "there and back");
    receiver.register(named("r")).await.unwrap();
    let name = Reference::Name { node: a.id(), name: named("r") };
    receiver
        .send(echo, &(name.to_string().parse::<Reference>().unwrap(), "by text"))
        .await
        .unwrap();
    assert_eq!(text(&mut receiver).await, "by text");
}

/// Counts what it is told, asks its child, and ends with the sum.
#[derive(Debug)]
struct Adder {
    sum: u64,
    parent: Option<Target>,
}

impl Actor for Adder {
    fn start(&mut self, cx: &mut ActorContext<'_>) {
        if self.parent.is_none() {
            cx.register(named("adder"));
            let child = Self { sum: 0, parent: Some(cx.me().into()) };
            let options =
                process::SpawnOptions { name: Some(named("child")), ..Default::default() };
            let child = cx.spawn_with(Box::new(child), options);
            let number = cx.monitor(child);
            cx.demonitor(number);
            cx.monitor(child);
            cx.send_after(Duration::ZERO, cx.me(), Bytes::from_static(&[2]));
        }
    }

    fn handle(&mut self, cx: &mut ActorContext<'_>, input: process::Input) {
        match input {
            process::Input::Message { payload, .. } => {
                self.sum += u64::from(payload[0]);
                if let Some(parent) = self.parent.take() {
                    cx.send(&parent, Bytes::from_static(&[5]));
                    cx.end(why("child"));
                }
            }
            process::Input::Request { reply_to, .. } => {
                cx.reply(reply_to, Ok(postcard::to_allocvec(&self.sum).unwrap().into()));
            }
            process::Input::Signal(Signal::Timer { payload, .. }) => {
                self.sum += u64::from(payload[0]);
                cx.send(&(cx.me().node, named("child")).into(), Bytes::from_static(&[1]));
            }
            process::Input::Signal(Signal::Down { reason, .. }) => {
                assert_eq!(reason, why("child"));
                self.sum += 10;
            }
            process::Input::Signal(_) => cx.end(why("unexpected")),
        }
    }
}

#[tokio::test]
async fn a_pure_machine_runs_as_it_is() {
    let (a, b) = pair().await;
    let adder = a.spawn_actor(Adder { sum: 0, parent: None }).await.unwrap();
    let sum = || async { b.call::<_, u64>(adder, "", DEADLINE).await.unwrap() };
    soon(async { while sum().await != 2 + 5 + 10 {} }).await;
    assert_eq!(a.whereis("adder"), Some(adder));
    let mut second = a.spawn_actor(Adder { sum: 0, parent: None }).await;
    let second = second.as_mut().unwrap();
    let reason = soon(a.monitor(*second).await.unwrap().down()).await.reason;
    let lost_or_told = reason == ExitReason::NoProcess || reason.to_string().contains("adder");
    assert!(lost_or_told, "{reason}");
}

#[tokio::test]
async fn when_the_node_stops_processes_end_for_shutdown_and_those_that_trap_have_time() {
    let (a, b) = pair().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let plain = a.spawn(ends_as_told).await.unwrap();
    let patient = a
        .spawn_with(SpawnOptions::default().trap_exit(), move |mut process: Process| async move {
            let (_, reason) = exit_of(&mut process).await;
            // Everything still works.
            let other = process.node().clone();
            tell.send((reason, other.members().len())).unwrap();
            why("cleaned up")
        })
        .await
        .unwrap();
    let mut watched = [b.monitor(plain).await.unwrap(), b.monitor(patient).await.unwrap()];
    eventually_watched(&a, patient).await;
    soon(a.shutdown()).await;
    assert_eq!(soon(told.recv()).await, Some((ExitReason::Shutdown, 2)));
    assert_eq!(soon(watched[0].down()).await.reason, ExitReason::Shutdown);
    assert_eq!(soon(watched[1].down()).await.reason, why("cleaned up"));
    assert_eq!(a.spawn(ends_as_told).await.unwrap_err(), NodeError::Stopped);
}

#[tokio::test]
async fn a_process_that_does_not_end_in_time_is_killed_and_nothing_hangs() {
    let hasty =
        DriverConfig { process_grace: Duration::from_millis(50), ..DriverConfig::default() };
    let (a, b) = pair_of(settings("a@127.0.0.1").driver(hasty), settings("b@127.0.0.1")).await;
    let stubborn = a
        .spawn_with(SpawnOptions::default().trap_exit(), |mut process: Process| async move {
            while process.receive().await.is_some() {}
        })
        .await
        .unwrap();
    let mut attached = a.attach(SpawnOptions::default().trap_exit()).await.unwrap();
    let mut seen = b.monitor(stubborn).await.unwrap();
    eventually_watched(&a, stubborn).await;
    let mut mine = a.monitor(ProcessId { node: b.id(), ..stubborn }).await.unwrap();
    soon(a.shutdown()).await;
    assert_eq!(soon(seen.down()).await.reason, ExitReason::Killed);
    assert!(matches!(exit_of(&mut attached).await, (_, ExitReason::Shutdown)));
    assert!(soon(attached.receive()).await.is_none());
    // Whatever was asked of a node that has stopped has an outcome.
    soon(mine.down()).await;
    soon(attached.monitor(stubborn)).await;
    soon(attached.unlink(stubborn)).await;
    assert_eq!(soon(attached.cancel_timer(1)).await, None);
    a.exit(stubborn, ExitReason::Kill).await.unwrap_err();
}

#[tokio::test]
async fn a_crash_of_the_node_drops_its_processes() {
    let node = start("a@127.0.0.1").await;
    let (alive, gone) = oneshot::channel::<()>();
    node.spawn(move |mut process: Process| async move {
        let _alive = alive;
        while process.receive().await.is_some() {}
    })
    .await
    .unwrap();
    soon(node.abort()).await;
    soon(gone).await.unwrap_err();
}

#[tokio::test]
async fn a_node_without_handles_stops_and_one_with_processes_goes_on() {
    let (a, b) = pair().await;
    let process = a.spawn_with(SpawnOptions::default(), ends_as_told).await.unwrap();
    let id = a.id();
    drop(a);
    assert!(b.is_alive(process).await.unwrap());
    b.cast(process, "end").await;
    b.wait_until(DEADLINE, |view| !view.is_connected(id)).await.unwrap();
}

#[tokio::test]
async fn blocking_work_holds_up_nobody() {
    let node = start("a@127.0.0.1").await;
    let (begin, begun) = std::sync::mpsc::channel::<()>();
    let worker = node
        .spawn(|mut process: Process| async move {
            process.receive().await;
            let done = tokio::task::spawn_blocking(move || begun.recv().is_ok()).await.unwrap();
            assert!(done && process.id().serial.0 > 0);
        })
        .await
        .unwrap();
    let mut seen = node.monitor(worker).await.unwrap();
    eventually_watched(&node, worker).await;
    node.cast(worker, "go").await;
    let other = node.spawn(ends_as_told).await.unwrap();
    node.cast(other, "end").await;
    // Whether it has ended by now or not.
    soon(node.monitor(other).await.unwrap().down()).await;
    begin.send(()).unwrap();
    assert_eq!(soon(seen.down()).await.reason, ExitReason::Normal);
}

#[tokio::test]
async fn a_process_survives_that_its_node_leaves_and_joins_again() {
    let (a, b) = pair().await;
    let mut process = me(&a).await;
    a.leave().await.unwrap();
    a.sync_join(contact(&b), DEADLINE).await.unwrap();
    fully_connected(&b, &a).await;
    b.send_to(process.id(), "still here", &SendOptions::default()).await.unwrap();
    assert_eq!(text(&mut process).await, "still here");
}

#[tokio::test]
async fn there_are_so_many_processes_and_no_more() {
    let mut config = support::config();
    config.processes.max_processes = 3;
    let node = Node::start(settings("a@127.0.0.1").config(config)).await.unwrap();
    let (_one, two) = (me(&node).await, me(&node).await);
    let full = CommandError::TooManyProcesses { limit: 3 };
    assert_eq!(node.spawn(ends_as_told).await.unwrap_err(), NodeError::Command(full));
    drop(two);
    eventually(|| node.processes().len() == 1).await;
    node.spawn(ends_as_told).await.unwrap();
}
