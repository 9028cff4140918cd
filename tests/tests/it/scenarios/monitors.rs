//! Monitors: the cases of Partisan's `partisan_monitor_SUITE`, in both worlds.

use partisan_proto::process::MAX_REASON;
use partisan_proto::{Config, ExitReason, ProcessId, ProcessName, Signal, Target};
use partisan_tests::{Cluster, Probe, Restart};

on_both! {
    local_matrix: 4;
    remote_matrix: 8;
    noproc_matrix: 4;
    old_incarnation_noproc: 4;
    owner_dies_first: 4;
    demonitor_suppresses_down: 8;
    demonitor_unknown_ok: 2;
    demonitor_foreign_ref: 2;
    large_reason: 2;
    name_free_on_down: 4;
    many_on_one_node: 2;
    down_when_the_connection_fails_and_the_node_lives: 8;
    node_monitors: 4;
}

fn why(text: &str) -> ExitReason {
    ExitReason::other(text.as_bytes()).expect("short enough")
}

fn name(text: &str) -> ProcessName {
    ProcessName::new(text).expect("a good name")
}

/// The number and the reason of the next end that a probe is told of, after so many signals.
fn down(probe: &Probe, cluster: &mut impl Cluster, before: usize) -> (u64, ExitReason) {
    match probe.signal(cluster, before) {
        Signal::Down { number, reason, .. } => (number, reason),
        other => panic!("{other:?}"),
    }
}

/// Watches a process, and waits until its node knows: what another asks of that afterwards is
/// answered behind it.
fn monitor(probe: &Probe, cluster: &mut impl Cluster, target: impl Into<Target>) -> u64 {
    let target = target.into();
    let nobody = Target::from((target.node(), name("nobody.else")));
    let number = probe.order(cluster, move |cx| cx.monitor(target));
    let other = Probe::spawn(cluster, probe.node, false);
    other.order(cluster, move |cx| cx.monitor(nobody));
    other.signal(cluster, 0);
    other.end(cluster, ExitReason::Normal);
    number
}

/// Whatever a process of `node` ends for is told to one of node 0 that watches it, by identifier and
/// by name.
fn matrix(cluster: &mut impl Cluster, node: usize) {
    cluster.form(2, &Config::default());
    let watcher = Probe::spawn(cluster, 0, false);
    let mut before = 0;
    for reason in [ExitReason::Normal, ExitReason::Shutdown, why("other")] {
        let watched = Probe::spawn(cluster, node, false);
        let called = name(&format!("n{before}"));
        let registered = called.clone();
        watched.order(cluster, move |cx| cx.register(registered));
        let by_name = (watched.id.node, called);
        let mut numbers =
            [monitor(&watcher, cluster, watched.id), monitor(&watcher, cluster, by_name)];
        watched.end(cluster, reason.clone());
        let mut told = [0, 1].map(|more| down(&watcher, cluster, before + more));
        told.sort_unstable_by_key(|(number, _)| *number);
        numbers.sort_unstable();
        assert_eq!(told, numbers.map(|number| (number, reason.clone())));
        before += 2;
    }
    cluster.rest();
    assert_eq!(watcher.signals().len(), before, "each once");
}

fn local_matrix(cluster: &mut impl Cluster) {
    matrix(cluster, 0);
}

fn remote_matrix(cluster: &mut impl Cluster) {
    matrix(cluster, 1);
    // And its node dies.
    let (watcher, watched) = (Probe::spawn(cluster, 0, false), Probe::spawn(cluster, 1, false));
    let dead = watched.id;
    let number = monitor(&watcher, cluster, dead);
    cluster.crash(1);
    assert_eq!(down(&watcher, cluster, 0), (number, ExitReason::NoConnection));
    // Nobody can be asked there any more.
    let number = monitor(&watcher, cluster, dead);
    assert_eq!(down(&watcher, cluster, 1), (number, ExitReason::NoConnection));
}

fn noproc_matrix(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let watcher = Probe::spawn(cluster, 0, false);
    let mut before = 0;
    for node in [0, 1] {
        let gone = Probe::spawn(cluster, node, false);
        let first = monitor(&watcher, cluster, gone.id);
        gone.end(cluster, ExitReason::Normal);
        assert_eq!(down(&watcher, cluster, before), (first, ExitReason::Normal));
        let of_nobody = (cluster.id(node), name("nobody"));
        for target in [Target::from(gone.id), Target::from(of_nobody)] {
            before += 1;
            let number = monitor(&watcher, cluster, target);
            assert_eq!(down(&watcher, cluster, before), (number, ExitReason::NoProcess));
        }
        before += 1;
    }
}

fn old_incarnation_noproc(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let watcher = Probe::spawn(cluster, 0, false);
    let old: ProcessId = Probe::spawn(cluster, 1, false).id;
    cluster.crash(1);
    cluster.restart(1, Restart { keep_state: true, new_address: false });
    cluster.wait_for_mesh(&[0, 1]);
    // One of the same number lives.
    let new = Probe::spawn(cluster, 1, false);
    assert_ne!(new.id, old);
    let number = monitor(&watcher, cluster, old);
    assert_eq!(down(&watcher, cluster, 0), (number, ExitReason::NoProcess));
}

fn owner_dies_first(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let (watcher, watched) = (Probe::spawn(cluster, 0, false), Probe::spawn(cluster, 1, false));
    monitor(&watcher, cluster, watched.id);
    watched.order(cluster, {
        let watcher = watcher.id;
        move |cx| cx.exit(watcher, ExitReason::Kill)
    });
    let other = Probe::spawn(cluster, 0, false);
    let number = monitor(&other, cluster, watcher.id);
    let (told, reason) = down(&other, cluster, 0);
    // It may have been gone before it was watched.
    assert!(matches!(reason, ExitReason::Killed | ExitReason::NoProcess), "{reason:?}");
    assert_eq!(told, number);
    // The other goes on, and is watched by nobody who is gone.
    watched.order(cluster, |_| ());
    watched.end(cluster, ExitReason::Normal);
    cluster.rest();
    assert_eq!(watcher.signals(), []);
}

fn demonitor_suppresses_down(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let watcher = Probe::spawn(cluster, 0, false);
    for node in [0, 1] {
        let watched = Probe::spawn(cluster, node, false);
        let number = monitor(&watcher, cluster, watched.id);
        watcher.order(cluster, move |cx| {
            cx.demonitor(number);
            cx.demonitor(number);
        });
        watched.end(cluster, ExitReason::Normal);
    }
    cluster.rest();
    assert_eq!(watcher.signals(), []);
}

fn demonitor_unknown_ok(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let watcher = Probe::spawn(cluster, 0, false);
    watcher.order(cluster, |cx| cx.demonitor(77));
    watcher.order(cluster, |_| ());
}

/// A monitor is its owner's: another's demonitor of the same number is another monitor.
fn demonitor_foreign_ref(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let [a, b] = [(), ()].map(|()| Probe::spawn(cluster, 0, false));
    let watched = Probe::spawn(cluster, 1, false);
    let number = monitor(&a, cluster, watched.id);
    b.order(cluster, move |cx| cx.demonitor(number));
    watched.end(cluster, ExitReason::Normal);
    assert_eq!(down(&a, cluster, 0), (number, ExitReason::Normal));
}

fn large_reason(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let watcher = Probe::spawn(cluster, 0, false);
    let large = ExitReason::other(&vec![7; MAX_REASON]).expect("as large as may be");
    for round in 0..10 {
        let watched = Probe::spawn(cluster, 1, false);
        let number = monitor(&watcher, cluster, watched.id);
        watched.end(cluster, large.clone());
        assert_eq!(down(&watcher, cluster, round), (number, large.clone()));
    }
}

fn name_free_on_down(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    for node in [0, 1] {
        let watcher = Probe::spawn(cluster, 0, false);
        let watched = Probe::spawn(cluster, node, false);
        watched.order(cluster, |cx| cx.register(name("one")));
        let number = monitor(&watcher, cluster, (cluster.id(node), name("one")));
        watched.end(cluster, ExitReason::Normal);
        assert_eq!(down(&watcher, cluster, 0), (number, ExitReason::Normal));
        // Whoever takes it now has it, and does not end for want of it.
        let next = Probe::spawn(cluster, node, false);
        next.order(cluster, |cx| cx.register(name("one")));
        let number = monitor(&watcher, cluster, (cluster.id(node), name("one")));
        next.end(cluster, why("second"));
        assert_eq!(down(&watcher, cluster, 1), (number, why("second")));
    }
}

fn many_on_one_node(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let watcher = Probe::spawn(cluster, 0, false);
    let watched = Vec::from_iter((0..20).map(|_| Probe::spawn(cluster, 1, false).id));
    let numbers = watcher.order(cluster, move |cx| {
        let all = watched.iter().cycle().take(2_000);
        Vec::from_iter(all.map(|process| cx.monitor(*process)))
    });
    cluster.crash(1);
    let ended = watcher.wait(cluster, numbers.len());
    assert_eq!(ended.len(), numbers.len());
    let mut told = Vec::from_iter(watcher.signals().into_iter().map(|signal| match signal {
        Signal::Down { number, reason: ExitReason::NoConnection, .. } => number,
        other => panic!("{other:?}"),
    }));
    told.sort_unstable();
    assert_eq!(told, numbers);
}

/// P10: the news of an end is lost with the connection; the watcher is told of that. (News that is
/// lost with its lane alone is sent again: `process::tests::monitors`.)
fn down_when_the_connection_fails_and_the_node_lives(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let (watcher, watched) = (Probe::spawn(cluster, 0, false), Probe::spawn(cluster, 1, false));
    let number = monitor(&watcher, cluster, watched.id);
    let other = cluster.id(1);
    let asked = cluster.ask(0, partisan_proto::Command::Disconnect(other));
    cluster.wait_for_answer(asked).expect("it is connected");
    assert_eq!(down(&watcher, cluster, 0), (number, ExitReason::NoConnection));
    cluster.wait_for_mesh(&[0, 1]);
    // What it was watched for by the session before is over.
    let number = monitor(&watcher, cluster, watched.id);
    watched.end(cluster, ExitReason::Normal);
    assert_eq!(down(&watcher, cluster, 1), (number, ExitReason::Normal));
    cluster.rest();
    assert_eq!(watcher.signals().len(), 2);
}

fn node_monitors(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let watcher = Probe::spawn(cluster, 0, false);
    let other = cluster.id(1);
    let number = watcher.order(cluster, move |cx| cx.monitor_node(other));
    cluster.crash(1);
    match watcher.signal(cluster, 0) {
        Signal::NodeLost { number: told, node, reason: Some(_) } => {
            assert_eq!((told, node), (number, other));
        }
        other => panic!("{other:?}"),
    }
    let number = watcher.order(cluster, move |cx| cx.monitor_node(other));
    let gone = Signal::NodeLost { number, node: other, reason: None };
    assert_eq!(watcher.signal(cluster, 1), gone);
}
