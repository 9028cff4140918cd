//! Links, names, references and timers, in both worlds.

use bytes::Bytes;
use partisan_proto::process::{Actor, ActorContext, Input, SpawnOptions};
use partisan_proto::{
    CommandError, Config, Duration, ExitReason, ProcessName, Reference, Signal, Target,
};
use partisan_tests::{Cluster, Probe};

on_both! {
    linked_processes_end_together: 8;
    a_process_that_traps_is_told: 8;
    an_unlinked_process_goes_on: 4;
    the_end_of_a_node_ends_links: 4;
    a_name_is_reached_from_everywhere: 4;
    address_in_payload_is_routable: 4;
    an_alias_is_reached_until_it_is_taken_back: 4;
    who_spawns_is_told_of_a_name_that_another_process_has: 4;
    timers_fire_once_unless_they_are_cancelled: 4;
}

fn why(text: &str) -> ExitReason {
    ExitReason::other(text.as_bytes()).expect("short enough")
}

/// Watches a process until it is told why it ended.
fn reason_of(cluster: &mut impl Cluster, watcher: &Probe, before: usize) -> ExitReason {
    match watcher.signal(cluster, before) {
        Signal::Down { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

fn watch(cluster: &mut impl Cluster, watcher: &Probe, watched: &Probe) {
    let target = watched.id;
    watcher.order(cluster, move |cx| cx.monitor(target));
}

fn link(cluster: &mut impl Cluster, a: &Probe, b: &Probe) {
    let other = b.id;
    a.order(cluster, move |cx| cx.link(other));
}

fn linked_processes_end_together(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    for (node, reason) in [(0, why("end")), (1, why("end"))] {
        let (a, b) = (Probe::spawn(cluster, 0, false), Probe::spawn(cluster, node, false));
        let watcher = Probe::spawn(cluster, 0, false);
        watch(cluster, &watcher, &a);
        link(cluster, &a, &b);
        b.end(cluster, reason.clone());
        // It may have been gone before it was linked.
        let told = reason_of(cluster, &watcher, 0);
        assert!(told == reason || told == ExitReason::NoProcess, "{told:?}");
    }
    // A normal end ends nobody.
    let (a, b) = (Probe::spawn(cluster, 0, false), Probe::spawn(cluster, 1, false));
    link(cluster, &a, &b);
    cluster.rest();
    b.end(cluster, ExitReason::Normal);
    cluster.rest();
    a.order(cluster, |_| ());
}

fn a_process_that_traps_is_told(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    for node in [0, 1] {
        let (a, b) = (Probe::spawn(cluster, 0, true), Probe::spawn(cluster, node, false));
        link(cluster, &a, &b);
        cluster.rest();
        b.end(cluster, why("end"));
        assert_eq!(a.signal(cluster, 0), Signal::Exit { from: b.id, reason: why("end") });
        // Of one that is gone it is told at once.
        link(cluster, &a, &b);
        let gone = Signal::Exit { from: b.id, reason: ExitReason::NoProcess };
        assert_eq!(a.signal(cluster, 1), gone);
    }
}

fn an_unlinked_process_goes_on(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let (a, b) = (Probe::spawn(cluster, 0, false), Probe::spawn(cluster, 1, false));
    link(cluster, &a, &b);
    let other = b.id;
    a.order(cluster, move |cx| cx.unlink(other));
    b.end(cluster, why("end"));
    cluster.rest();
    a.order(cluster, |_| ());
}

fn the_end_of_a_node_ends_links(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let (a, b) = (Probe::spawn(cluster, 0, true), Probe::spawn(cluster, 1, false));
    link(cluster, &a, &b);
    cluster.rest();
    cluster.crash(1);
    let lost = Signal::Exit { from: b.id, reason: ExitReason::NoConnection };
    assert_eq!(a.signal(cluster, 0), lost);
}

/// The payloads of the messages that a probe has got.
fn messages(probe: &Probe, cluster: &mut impl Cluster, count: usize) -> Vec<Bytes> {
    let payload = |input| match input {
        Input::Message { payload, .. } => payload,
        other => panic!("{other:?}"),
    };
    probe.wait(cluster, count).into_iter().map(payload).collect()
}

fn a_name_is_reached_from_everywhere(cluster: &mut impl Cluster) {
    cluster.form(3, &Config::default());
    let named = Probe::spawn(cluster, 1, false);
    let store = || ProcessName::new("store").expect("a good name");
    named.order(cluster, move |cx| cx.register(store()));
    let target = Target::from((cluster.id(1), store()));
    for node in [0, 1, 2] {
        let (sender, target) = (Probe::spawn(cluster, node, false), target.clone());
        sender.order(cluster, move |cx| cx.send(&target, vec![node as u8].into()));
    }
    let mut got = messages(&named, cluster, 3);
    got.sort_unstable();
    assert_eq!(got, [&[0][..], &[1], &[2]]);
}

/// Partisan's `pid_test`: a reference in a payload leads back, over a third node and as text too.
fn address_in_payload_is_routable(cluster: &mut impl Cluster) {
    cluster.form(3, &Config::default());
    let probes = [0, 1, 2].map(|node| Probe::spawn(cluster, node, false));
    let text = Reference::Process(probes[0].id).to_string();
    for to in [1, 2] {
        let (target, payload) = (Target::from(probes[to].id), Bytes::from(text.clone()));
        probes[to - 1].order(cluster, move |cx| cx.send(&target, payload));
    }
    let read = messages(&probes[2], cluster, 1).remove(0);
    let back: Reference = std::str::from_utf8(&read).expect("text").parse().expect("as written");
    assert_eq!(back, Reference::Process(probes[0].id));
    let Reference::Process(back) = back else { unreachable!("just compared") };
    probes[2].order(cluster, move |cx| cx.send(&back.into(), Bytes::from_static(b"found")));
    assert_eq!(messages(&probes[0], cluster, 1), [&b"found"[..]]);
}

fn timers_fire_once_unless_they_are_cancelled(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let (a, b) = (Probe::spawn(cluster, 0, false), Probe::spawn(cluster, 1, false));
    let (me, other) = (a.id, b.id);
    let number = a.order(cluster, move |cx| {
        let soon = Duration::from_millis(20);
        let cancelled = cx.send_after(soon, me, Bytes::from_static(b"never"));
        cx.cancel_timer(cancelled);
        cx.send_after(soon, other, Bytes::from_static(b"to another"));
        cx.send_after(2 * soon, me, Bytes::from_static(b"to me"))
    });
    let fired = Signal::Timer { number, payload: Bytes::from_static(b"to me") };
    assert_eq!(a.signal(cluster, 0), fired);
    assert_eq!(messages(&b, cluster, 1), [&b"to another"[..]]);
    cluster.rest();
    assert_eq!((a.seen().len(), b.seen().len()), (1, 1));
}

/// Does nothing.
#[derive(Debug)]
struct Idle;

impl Actor for Idle {
    fn handle(&mut self, _: &mut ActorContext<'_>, _: Input) {}
}

fn who_spawns_is_told_of_a_name_that_another_process_has(cluster: &mut impl Cluster) {
    cluster.form(1, &Config::default());
    // It does not trap exits: a process that never was ends nobody.
    let (a, b) = (Probe::spawn(cluster, 0, false), Probe::spawn(cluster, 0, false));
    let name = ProcessName::new("shop").expect("a good name");
    let (theirs, ours) = (name.clone(), name.clone());
    b.order(cluster, move |cx| cx.register(theirs));
    cluster.rest();
    let (process, number) = a.order(cluster, move |cx| {
        let (link, name) = (Some(cx.me().serial), Some(ours));
        cx.spawn_monitor_with(Box::new(Idle), SpawnOptions { link, name, ..Default::default() })
    });
    let error = CommandError::NameTaken { name, holder: b.id.serial };
    assert_eq!(a.signal(cluster, 0), Signal::NotSpawned { process, error });
    let (target, reason) = (process.into(), ExitReason::NoProcess);
    assert_eq!(a.signal(cluster, 1), Signal::Down { number, target, reason, tag: 0 });
    a.order(cluster, |_| ());
}

fn an_alias_is_reached_until_it_is_taken_back(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    let (a, b) = (Probe::spawn(cluster, 0, false), Probe::spawn(cluster, 1, false));
    let alias = a.order(cluster, |cx| cx.alias());
    cluster.rest();
    let (to, reached) = (Target::from(alias), Bytes::from_static(b"reached"));
    let (target, said) = (to.clone(), reached.clone());
    b.order(cluster, move |cx| cx.send(&target, said));
    let payload = |input: &Input| match input {
        Input::Message { payload, .. } => Some(payload.clone()),
        _ => None,
    };
    cluster.wait("the message", |_| a.seen().iter().filter_map(payload).any(|it| it == reached));
    a.order(cluster, move |cx| cx.unalias(alias));
    cluster.rest();
    let late = Bytes::from_static(b"too late");
    let (target, said) = (to, late.clone());
    b.order(cluster, move |cx| cx.send(&target, said));
    cluster.rest();
    a.order(cluster, |_| ());
    assert!(!a.seen().iter().filter_map(payload).any(|it| it == late));
}
