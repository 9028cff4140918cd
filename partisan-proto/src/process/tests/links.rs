//! Links and exit signals: Erlang's rules.

use super::*;

fn link(net: &mut Net, index: usize, other: ProcessId) {
    act(net, index, 1, ProcessAct::Link(other));
    net.settle();
}

fn ended(net: &mut Net) -> Vec<(usize, u64, ExitReason)> {
    net.ended.drain(..).map(|(index, Serial(serial), reason)| (index, serial, reason)).collect()
}

#[test]
fn linked_processes_share_their_fate() {
    for (here, there) in [(0, 0), (0, 1)] {
        let mut net = cluster(2);
        let other = pid(&net, there, 2);
        link(&mut net, here, other);
        end(&mut net, there, 2, why("x"));
        net.settle();
        assert_eq!(ended(&mut net), [(here, 1, why("x"))]);
        assert_clean(&net);
    }
}

#[test]
fn the_fate_goes_from_link_to_link() {
    let mut net = cluster(3);
    let (second, third) = (pid(&net, 1, 1), pid(&net, 2, 1));
    link(&mut net, 0, second);
    link(&mut net, 1, third);
    end(&mut net, 0, 1, why("x"));
    net.settle();
    assert_eq!(ended(&mut net), [(1, 1, why("x")), (2, 1, why("x"))]);
}

#[test]
fn a_normal_end_harms_nobody_but_is_told_to_who_traps() {
    let mut net = cluster(2);
    let other = pid(&net, 1, 2);
    link(&mut net, 0, other);
    end(&mut net, 1, 2, ExitReason::Normal);
    net.settle();
    assert_eq!((ended(&mut net), signals(&mut net, 0, 1)), (vec![], vec![]));

    act(&mut net, 0, 1, ProcessAct::TrapExit(true));
    let from = pid(&net, 1, 1);
    link(&mut net, 0, from);
    end(&mut net, 1, 1, ExitReason::Normal);
    net.settle();
    let reason = ExitReason::Normal;
    assert_eq!(signals(&mut net, 0, 1), [Signal::Exit { from, reason }]);
    assert_eq!(ended(&mut net), []);
    assert_clean(&net);
}

#[test]
fn who_is_not_there_answers_a_link_with_an_exit_signal() {
    let mut net = cluster(2);
    act(&mut net, 0, 1, ProcessAct::TrapExit(true));
    let targets = [(pid(&net, 0, 99), ExitReason::NoProcess)];
    let there = [(pid(&net, 1, 99), ExitReason::NoProcess)];
    let unknown = [(pid(&net, 7, 1), ExitReason::NoConnection)];
    for (from, reason) in targets.into_iter().chain(there).chain(unknown) {
        link(&mut net, 0, from);
        assert_eq!(signals(&mut net, 0, 1), [Signal::Exit { from, reason }]);
    }
    assert_clean(&net);
}

#[test]
fn the_loss_of_the_node_is_an_exit_signal() {
    let mut net = cluster(2);
    let other = pid(&net, 1, 2);
    link(&mut net, 0, other);
    net.crash(1);
    net.settle();
    assert_eq!(ended(&mut net), [(0, 1, ExitReason::NoConnection)]);
    assert_clean(&net);
}

#[test]
fn unlinked_processes_go_separate_ways() {
    let mut net = cluster(2);
    for other in [pid(&net, 0, 2), pid(&net, 1, 2)] {
        link(&mut net, 0, other);
        act(&mut net, 0, 1, ProcessAct::Unlink(other));
        net.settle();
        assert_clean(&net);
    }
    end(&mut net, 1, 2, why("x"));
    end(&mut net, 0, 2, why("x"));
    net.settle();
    assert_eq!(ended(&mut net), []);
}

#[test]
fn linking_that_crosses_unlinking_leaves_both_sides_alike() {
    let mut net = cluster(2);
    let (one, other) = (pid(&net, 0, 1), pid(&net, 1, 1));
    link(&mut net, 0, other);
    // Neither knows of the other's act.
    act(&mut net, 0, 1, ProcessAct::Link(other));
    act(&mut net, 1, 1, ProcessAct::Unlink(one));
    act(&mut net, 0, 1, ProcessAct::Unlink(other));
    act(&mut net, 0, 1, ProcessAct::Link(other));
    net.settle();
    let links = |index: usize| net.node(index).process(Serial(1)).unwrap().links.len();
    assert_eq!(links(0), links(1));
    end(&mut net, 1, 1, why("x"));
    net.settle();
    assert_eq!(ended(&mut net).len(), 1 - (links_at_start(&net)), "as many as were linked");
}

/// How many processes of node 0 are left linked: none once the other has ended.
fn links_at_start(net: &Net) -> usize {
    net.node(0).process(Serial(1)).map_or(0, |_| 1)
}

#[test]
fn an_end_that_crosses_unlinking_is_not_told() {
    let mut net = cluster(2);
    act(&mut net, 0, 1, ProcessAct::TrapExit(true));
    let other = pid(&net, 1, 2);
    link(&mut net, 0, other);
    end(&mut net, 1, 2, why("x"));
    act(&mut net, 0, 1, ProcessAct::Unlink(other));
    net.settle();
    assert_eq!(signals(&mut net, 0, 1), []);
    assert_clean(&net);
}

#[test]
fn an_exit_signal_ends_who_does_not_trap_it() {
    let mut net = cluster(2);
    let exit = |target: ProcessId, reason| ProcessAct::Exit { target: target.into(), reason };
    let (one, two) = (pid(&net, 1, 1), pid(&net, 1, 2));
    act(&mut net, 0, 1, exit(one, ExitReason::Normal));
    net.settle();
    assert_eq!(ended(&mut net), [], "a normal exit signal is nothing to another process");
    act(&mut net, 0, 1, exit(one, why("x")));
    act(&mut net, 1, 2, ProcessAct::TrapExit(true));
    act(&mut net, 0, 1, exit(two, why("y")));
    net.settle();
    assert_eq!(ended(&mut net), [(1, 1, why("x"))]);
    let from = pid(&net, 0, 1);
    assert_eq!(signals(&mut net, 1, 2), [Signal::Exit { from, reason: why("y") }]);
    // Nobody traps this one; and who is dead is not killed again.
    act(&mut net, 0, 1, exit(two, ExitReason::Kill));
    act(&mut net, 0, 1, exit(two, ExitReason::Kill));
    net.settle();
    assert_eq!(ended(&mut net), [(1, 2, ExitReason::Killed)]);
    let own = pid(&net, 0, 1);
    act(&mut net, 0, 1, exit(own, ExitReason::Normal));
    assert_eq!(ended(&mut net), [(0, 1, ExitReason::Normal)], "to itself it is one");
}

#[test]
fn an_exit_signal_goes_to_a_name() {
    let mut net = cluster(2);
    net.command(1, Command::Register { name: name("shop"), process: Serial(2) });
    let target = Target::Name(net.id(1), name("shop"));
    act(&mut net, 0, 1, ProcessAct::Exit { target, reason: why("x") });
    net.settle();
    assert_eq!(ended(&mut net), [(1, 2, why("x"))]);
}

#[test]
fn who_spawns_linked_and_watching_misses_nothing() {
    let mut net = cluster(1);
    let parent = MonitorId { owner: Serial(1), number: 3 };
    let options =
        SpawnOptions { link: Some(Serial(2)), monitor: Some(parent), ..SpawnOptions::default() };
    spawn(&mut net, 0, 5, options);
    end(&mut net, 0, 5, why("at once"));
    assert_eq!(downs(&mut net, 0), [(3, why("at once"))]);
    assert_eq!(ended(&mut net), [(0, 2, why("at once"))]);
    assert_clean(&net);
}

#[test]
fn a_peer_has_so_many_links_and_no_more() {
    let mut config = Config::default();
    config.processes.max_links = 1;
    let mut net = cluster_with(2, &config);
    act(&mut net, 1, 1, ProcessAct::TrapExit(true));
    act(&mut net, 1, 2, ProcessAct::TrapExit(true));
    let one = pid(&net, 0, 1);
    for serial in [1, 2] {
        act(&mut net, 1, serial, ProcessAct::Link(one));
        net.settle();
    }
    assert_eq!(signals(&mut net, 1, 1), []);
    let reason = ExitReason::SystemLimit;
    assert_eq!(signals(&mut net, 1, 2), [Signal::Exit { from: one, reason }]);
}

#[test]
fn no_exit_signal_reaches_the_node_itself() {
    let mut net = cluster(1);
    spawn(&mut net, 0, Serial::NODE.0, SpawnOptions::default());
    let target = Target::from(pid(&net, 0, Serial::NODE.0));
    act(&mut net, 0, 1, ProcessAct::Exit { target, reason: ExitReason::Kill });
    assert!(net.node(0).process(Serial::NODE).is_some());
}
