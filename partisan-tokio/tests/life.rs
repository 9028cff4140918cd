//! Starting, joining, dying, coming back.

mod support;

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use partisan_tokio::{
    CommandError, LocalCluster, Node, NodeError, NodeEvent, Notification, ProcessName,
    SpawnOptions, StartError,
};
use support::{DEADLINE, address, config, contact, name, notified, pair, settings, soon, start};

#[tokio::test]
async fn the_port_that_the_system_chose_is_told() {
    let node = start("a@127.0.0.1").await;
    let spec = node.spec();
    assert_eq!(spec.addresses().len(), 1);
    assert_ne!(spec.addresses()[0].port, 0);
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_names_it() {
    let node = start("a@127.0.0.1").await;
    let taken = node.spec().addresses()[0].clone();
    let second = Node::start(settings("b@127.0.0.1").listen([taken.clone()])).await;
    match second.unwrap_err() {
        StartError::AddressInUse { address } => assert_eq!(address, taken),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_address_that_is_not_ours_or_does_not_resolve_is_an_error() {
    let error = Node::start(settings("a@h").listen([address("no-such-host.invalid:0")])).await;
    assert!(matches!(error, Err(StartError::Unresolved { .. })));
    let error = Node::start(settings("a@h").listen([address("192.0.2.1:0")])).await;
    assert!(matches!(error, Err(StartError::Bind { .. })));
}

#[tokio::test]
async fn listening_everywhere_needs_something_to_advertise() {
    let everywhere = || [address("0.0.0.0:0")];
    let error = Node::start(settings("a@no-such-host.invalid").listen(everywhere())).await;
    assert!(matches!(error, Err(StartError::NothingToAdvertise { .. })));
    let error = Node::start(settings("a").listen(everywhere())).await.unwrap_err();
    assert!(error.to_string().contains("advertise"), "{error}");
    let by_name = Node::start(settings("a@127.0.0.1").listen(everywhere())).await.unwrap();
    assert!(by_name.spec().addresses()[0].to_string().starts_with("127.0.0.1:"));
    let told = settings("a@h").listen(everywhere()).advertise([address("10.1.2.3:77")]);
    let told = Node::start(told).await.unwrap();
    assert_eq!(told.spec().addresses(), [address("10.1.2.3:77")]);
}

#[tokio::test]
async fn a_node_is_reached_by_its_second_address_when_the_first_is_dead() {
    let two = [address("127.0.0.1:0"), address("127.0.0.1:0")];
    let a = Node::start(settings("a@127.0.0.1").listen(two)).await.unwrap();
    assert_eq!(a.spec().addresses().len(), 2);
    let dead = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let mut contact = contact(&a);
    contact.addresses.insert(0, address(&dead));
    let b = start("b@127.0.0.1").await;
    assert_eq!(b.sync_join(contact, DEADLINE).await.unwrap(), a.id());
}

#[tokio::test]
async fn joining_nobody_and_oneself_fails_with_its_error() {
    let a = start("a@127.0.0.1").await;
    let mut nowhere = contact(&a);
    nowhere.name = None;
    nowhere.addresses.clear();
    assert_eq!(a.join(nowhere).await.unwrap_err(), CommandError::NoAddress.into());
    assert_eq!(a.join(contact(&a)).await.unwrap_err(), CommandError::SelfJoin.into());
}

#[tokio::test]
async fn a_join_that_cannot_succeed_ends_with_the_deadline_and_its_reason() {
    let a = start("a@127.0.0.1").await;
    let unresolved = partisan_tokio::Contact::at(address("no-such-host.invalid:1"));
    let short = std::time::Duration::from_millis(300);
    match a.sync_join(unresolved, short).await.unwrap_err() {
        NodeError::Command(CommandError::JoinTimeout { .. }) => {}
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_local_cluster_of_nobody_agrees_at_once() {
    let cluster = LocalCluster::start(0).await.unwrap();
    cluster.join_all(std::time::Duration::MAX).await.unwrap();
    cluster.shutdown().await;
}

#[tokio::test]
async fn a_killed_node_is_noticed_and_returns_on_another_port_as_one_member() {
    let builder = LocalCluster::builder(3).config(config());
    let mut cluster = builder.start().await.unwrap();
    cluster.join_all(DEADLINE).await.unwrap();
    let mut events = cluster.node(0).events();
    let (gone, before) = (cluster.node(2).id(), cluster.address(2));
    soon(cluster.kill(2)).await;
    notified(
        &mut events,
        |event| matches!(event, Notification::NodeDown { instance, .. } if instance.node == gone),
    )
    .await;
    assert!(cluster.node(0).view().is_member(gone), "still a member");
    cluster.restart(2).await.unwrap();
    let after = cluster.address(2);
    assert_ne!(before, after);
    cluster.node(2).join(cluster.contact(0)).await.unwrap();
    for node in &cluster.nodes()[..2] {
        let replaced = |view: &partisan_tokio::View| {
            let found: Vec<_> = view.members.iter().filter(|m| m.spec.id() == gone).collect();
            view.is_fully_connected(gone)
                && found.len() == 1
                && *found[0].spec.addresses() == [after.clone()]
        };
        node.wait_until(DEADLINE, replaced).await.unwrap();
    }
    cluster.await_members(&[0, 1, 2], DEADLINE).await.unwrap();
}

#[tokio::test]
async fn a_leaver_goes_on_alone_and_may_come_back() {
    let (a, b) = pair().await;
    let (before, gone) = (b.instance(), b.id());
    b.leave().await.unwrap();
    a.wait_until(DEADLINE, |view| !view.is_member(gone)).await.unwrap();
    b.wait_until(DEADLINE, |view| view.members.len() == 1).await.unwrap();
    assert!(b.instance().incarnation > before.incarnation);
    b.sync_join(contact(&a), DEADLINE).await.unwrap();
    a.wait_until(DEADLINE, |view| view.is_member(gone)).await.unwrap();
}

#[tokio::test]
async fn ups_and_downs_reach_callbacks_until_they_are_dropped() {
    let (a, b) = pair().await;
    let (told, heard) = mpsc::channel();
    let bulk = a.channel("bulk").unwrap();
    let tell = |text: &'static str| {
        let told = told.clone();
        move |_| told.send(text).unwrap()
    };
    let panics = Arc::new(AtomicUsize::new(0));
    let panics_here = Arc::clone(&panics);
    let _panicking = a.on_down(None, move |_| {
        panics_here.fetch_add(1, Ordering::SeqCst);
        panic!("contained");
    });
    let _down = a.on_down(Some(b.id()), tell("down"));
    let _up = a.on_up(None, tell("up"));
    let _channel = a.on_channel_down(bulk, None, tell("channel down"));
    drop(a.on_down(None, tell("never")));
    let _other = a.on_down(Some(a.id()), tell("never"));
    let mut all = Vec::new();
    for round in 1..=2 {
        let mut events = a.events();
        a.disconnect(b.id()).await.unwrap();
        let full = |event: &Notification| matches!(event, Notification::FullyConnected { .. });
        notified(&mut events, full).await;
        soon(async {
            while all.len() < 3 * round {
                all.extend(heard.try_iter());
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(panics.load(Ordering::SeqCst), round);
    }
    all.sort_unstable();
    assert_eq!(all, ["channel down", "channel down", "down", "down", "up", "up"]);
}

#[tokio::test]
async fn a_slow_subscriber_is_told_how_much_it_missed() {
    let mut settings = settings("a@127.0.0.1");
    settings.driver.event_queue = 1;
    let (a, b) = support::pair_of(settings, support::settings("b@127.0.0.1")).await;
    let mut events = a.events();
    let id = b.id();
    a.disconnect(id).await.unwrap();
    a.wait_until(DEADLINE, |view| view.is_fully_connected(id)).await.unwrap();
    assert!(matches!(soon(events.next()).await, Some(NodeEvent::Missed(1..))));
    soon(a.shutdown()).await;
    soon(async { while events.next().await.is_some() {} }).await;
}

#[tokio::test]
async fn the_membership_survives_a_restart_with_a_greater_incarnation() {
    let directory = tempfile::tempdir().unwrap();
    let builder = LocalCluster::builder(2).config(config()).state_dir(directory.path());
    let mut cluster = builder.start().await.unwrap();
    cluster.join_all(DEADLINE).await.unwrap();
    let before = cluster.node(1).instance();
    soon(cluster.node(1).shutdown()).await;
    cluster.restart(1).await.unwrap();
    assert!(cluster.node(1).instance().incarnation > before.incarnation);
    // Nobody joins: it remembers.
    cluster.await_members(&[0, 1], DEADLINE).await.unwrap();
}

#[tokio::test]
async fn a_corrupt_state_file_is_kept_aside_and_told() {
    let directory = tempfile::tempdir().unwrap();
    let file = format!("membership-{}.state", name("a@127.0.0.1").id());
    fs::write(directory.path().join(&file), b"garbage").unwrap();
    let node = Node::start(settings("a@127.0.0.1").state_dir(directory.path())).await.unwrap();
    let kept = directory.path().join(file + ".bad-1");
    assert_eq!(node.recovered().unwrap().kept_as, kept);
    assert_eq!(fs::read(kept).unwrap(), b"garbage");
    assert!(matches!(soon(node.events().next()).await, Some(NodeEvent::Recovered(_))));
    assert_eq!(node.members().len(), 1);
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_used_is_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Node::start(settings("a@127.0.0.1").state_dir(file.path())).await;
    assert!(matches!(error, Err(StartError::State { .. })));
}

#[tokio::test]
async fn a_node_that_ended_without_an_order_claims_no_connection() {
    let (a, b) = pair().await;
    assert!(a.is_connected(b.id()) && !a.connections().is_empty());
    // Its loop ends without a word of the core, as it does when it panics.
    a.abort().await;
    assert!(!a.is_connected(b.id()) && a.is_connected(a.id()));
    assert_eq!((a.connections().len(), a.peers(), a.neighbors().len()), (0, vec![], 0));
    assert_eq!(a.members().len(), 2, "it is a member when it comes back");
}

#[tokio::test]
async fn names_of_the_node_itself_are_refused_whatever_they_are_for() {
    let node = start("a@127.0.0.1").await;
    let reserved = NodeError::ReservedName("partisan.shop".into());
    let name = ProcessName::new("partisan.shop").unwrap();
    assert_eq!(node.register("partisan.shop").unwrap_err(), reserved);
    let options = SpawnOptions::default().name(name.clone());
    assert_eq!(node.attach(options).await.unwrap_err(), reserved);
    let process = node.attach(SpawnOptions::default()).await.unwrap();
    assert_eq!(process.register(name.clone()).await.unwrap_err(), reserved);
    assert_eq!(node.register_process(name, process.id()).await.unwrap_err(), reserved);
    drop(node.register("partisans").unwrap());
}
