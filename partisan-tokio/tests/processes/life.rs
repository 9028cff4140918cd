//! Processes and the life of their node.

use super::*;

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
