//! Links and exit signals.

use super::*;

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
