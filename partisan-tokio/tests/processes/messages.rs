//! Messages to processes, their mailboxes, names and references.

use super::*;

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
async fn what_is_sent_to_an_alias_that_was_taken_back_is_dropped_and_counted() {
    let (a, b) = pair().await;
    let mut process = me(&a).await;
    let alias = process.alias().await;
    let alias_until = Some(AliasUntil::MonitorEnds);
    let options = MonitorOptions { tag: 7, alias: alias_until, ..MonitorOptions::default() };
    let watched = b.spawn(|mut process| async move { while process.receive().await.is_some() {} });
    let watched = watched.await.unwrap();
    let watching = process.monitor_with(watched, options).await;
    for to in [alias, watching] {
        b.send_to(to, "hello", &SendOptions::default()).await.unwrap();
        assert_eq!(text(&mut process).await, "hello");
    }
    assert_eq!(a.registered(), [], "an alias is no name that anybody gave");
    process.unalias(alias).await;
    b.exit(watched, why("end")).await.unwrap();
    match signal(&mut process).await {
        Signal::Down { number, tag, .. } => assert_eq!((number, tag), (watching.number, 7)),
        other => panic!("{other:?}"),
    }
    let before = a.counters().undeliverable;
    for to in [alias, watching] {
        b.send_to(to, "too late", &SendOptions::default()).await.unwrap();
    }
    eventually(|| a.counters().undeliverable == before + 2).await;
    assert!(process.try_receive().is_none());
}
