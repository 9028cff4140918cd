//! Monitors of processes: exactly one news of an end, whatever happens on the way.

use super::*;

#[test]
fn the_end_of_a_process_is_told_once_with_its_reason() {
    let mut net = cluster(2);
    let target = pid(&net, 1, 2);
    monitor(&mut net, 0, 7, target);
    net.settle();
    assert_eq!(downs(&mut net, 0), []);
    end(&mut net, 1, 2, why("enough"));
    end(&mut net, 1, 2, why("again"));
    net.settle();
    assert_eq!(downs(&mut net, 0), [(7, why("enough"))]);
    assert_clean(&net);
}

#[test]
fn news_names_the_target_as_it_was_asked_for() {
    let mut net = cluster(2);
    net.command(1, Command::Register { name: name("shop"), process: Serial(2) });
    let target = Target::Name(net.id(1), name("shop"));
    monitor(&mut net, 0, 1, target.clone());
    net.settle();
    end(&mut net, 1, 2, ExitReason::Normal);
    net.settle();
    let reason = ExitReason::Normal;
    assert_eq!(signals(&mut net, 0, 1), [Signal::Down { number: 1, target, reason, tag: 0 }]);
}

#[test]
fn a_reason_of_the_greatest_length_arrives_whole() {
    let mut net = cluster(2);
    let target = pid(&net, 1, 2);
    monitor(&mut net, 0, 1, target);
    let reason = ExitReason::other(&vec![9; MAX_REASON]).unwrap();
    net.settle();
    end(&mut net, 1, 2, reason.clone());
    net.settle();
    assert_eq!(downs(&mut net, 0), [(1, reason)]);
}

#[test]
fn who_is_not_there_is_down_at_once() {
    let mut net = cluster(2);
    let (absent, nobody) = (pid(&net, 1, 99), Target::Name(net.id(1), name("nobody")));
    monitor(&mut net, 0, 1, absent);
    monitor(&mut net, 0, 2, nobody);
    // Of an earlier run of its node.
    monitor(&mut net, 0, 3, ProcessId { birth: Incarnation(9), ..pid(&Net::new(), 1, 2) });
    let (own, stranger) = (pid(&net, 0, 99), pid(&net, 5, 1));
    monitor(&mut net, 0, 4, own);
    monitor(&mut net, 0, 5, stranger);
    net.settle();
    let mut told = downs(&mut net, 0);
    told.sort();
    let gone = |number| (number, ExitReason::NoProcess);
    assert_eq!(told, [gone(1), gone(2), gone(3), gone(4), (5, ExitReason::NoConnection)]);
    assert_clean(&net);
}

#[test]
fn the_loss_of_the_node_ends_every_monitor_of_it() {
    let mut net = cluster(3);
    let (one, two, other) = (pid(&net, 1, 1), pid(&net, 1, 2), pid(&net, 2, 1));
    monitor(&mut net, 0, 1, one);
    monitor(&mut net, 0, 2, two);
    monitor(&mut net, 0, 3, other);
    net.settle();
    net.crash(1);
    net.settle();
    let lost = |number| (number, ExitReason::NoConnection);
    assert_eq!(downs(&mut net, 0), [lost(1), lost(2)]);
    end(&mut net, 2, 1, ExitReason::Normal);
    net.settle();
    assert_eq!(downs(&mut net, 0), [(3, ExitReason::Normal)]);
    assert_clean(&net);
}

#[test]
fn a_request_that_is_lost_with_the_session_ends_with_it() {
    let mut net = cluster(2);
    let target = pid(&net, 1, 2);
    monitor(&mut net, 0, 1, target);
    net.lose(|_, _| true);
    net.settle();
    assert_eq!(downs(&mut net, 0), [(1, ExitReason::NoConnection)]);
    // The next session knows nothing of it.
    net.run_for(Duration::from_secs(30));
    end(&mut net, 1, 2, ExitReason::Normal);
    net.settle();
    assert_eq!(downs(&mut net, 0), []);
    assert_clean(&net);
}

#[test]
fn news_that_is_lost_with_its_lane_comes_by_the_membership_channel() {
    let mut net = cluster(2);
    let target = pid(&net, 1, 2).into();
    let lane = Lane { channel: WIDE, key: Some(5) };
    act(&mut net, 0, 1, ProcessAct::Monitor { number: 1, target, lane, tag: 0, alias: None });
    net.settle();
    end(&mut net, 1, 2, why("x"));
    let anchors: Vec<_> = (0..2)
        .map(|index| (index, net.node(index).routes().anchor(net.id(1 - index)).unwrap()))
        .collect();
    net.lose(|a, b| !anchors.contains(&a) && !anchors.contains(&b));
    net.settle();
    assert_eq!(downs(&mut net, 0), [(1, why("x"))]);
    assert_clean(&net);
}

#[test]
fn news_waits_for_room_on_a_full_lane() {
    let mut net = cluster(2);
    let target = pid(&net, 1, 2);
    monitor(&mut net, 0, 1, target);
    net.settle();
    let lanes = net.node(1).routes().peer(net.id(0)).unwrap().channels[1].to_vec();
    let connection = lanes[0].unwrap();
    net.handle(1, Event::Congested { connection });
    end(&mut net, 1, 2, why("x"));
    net.settle();
    assert_eq!(downs(&mut net, 0), []);
    assert_eq!(net.node(1).process_counts().watchers, 1);
    net.handle(1, Event::Drained { connection });
    net.settle();
    assert_eq!(downs(&mut net, 0), [(1, why("x"))]);
    assert_clean(&net);
}

#[test]
fn after_demonitoring_nothing_comes() {
    let mut net = cluster(2);
    let target = pid(&net, 1, 2);
    monitor(&mut net, 0, 1, target);
    act(&mut net, 0, 1, ProcessAct::Demonitor { number: 1 });
    net.settle();
    end(&mut net, 1, 2, ExitReason::Normal);
    net.settle();
    assert_eq!(downs(&mut net, 0), []);

    // The news is on its way already.
    let target = pid(&net, 1, 1);
    monitor(&mut net, 0, 2, target);
    net.settle();
    end(&mut net, 1, 1, ExitReason::Normal);
    act(&mut net, 0, 1, ProcessAct::Demonitor { number: 2 });
    net.settle();
    assert_eq!(downs(&mut net, 0), []);
    assert_clean(&net);
}

#[test]
fn monitors_of_one_process_are_independent() {
    let mut net = cluster(2);
    let target = pid(&net, 1, 2);
    (1..=3).for_each(|number| monitor(&mut net, 0, number, target));
    act(&mut net, 0, 1, ProcessAct::Demonitor { number: 2 });
    net.settle();
    end(&mut net, 1, 2, ExitReason::Shutdown);
    net.settle();
    assert_eq!(downs(&mut net, 0), [(1, ExitReason::Shutdown), (3, ExitReason::Shutdown)]);
}

#[test]
fn who_watches_and_ends_leaves_nothing_behind() {
    let mut net = cluster(2);
    let (there, here) = (pid(&net, 1, 2), pid(&net, 0, 2));
    monitor(&mut net, 0, 1, there);
    monitor(&mut net, 0, 2, here);
    net.settle();
    end(&mut net, 0, 1, ExitReason::Normal);
    net.settle();
    assert_clean(&net);
    end(&mut net, 1, 2, ExitReason::Normal);
    net.settle();
    assert_eq!(downs(&mut net, 0), []);
}

#[test]
fn processes_of_one_node_watch_each_other_alike() {
    let mut net = cluster(1);
    let (other, own) = (pid(&net, 0, 2), pid(&net, 0, 1));
    monitor(&mut net, 0, 1, other);
    monitor(&mut net, 0, 2, own);
    end(&mut net, 0, 2, why("x"));
    assert_eq!(downs(&mut net, 0), [(1, why("x"))]);
    end(&mut net, 0, 1, why("y"));
    // Nobody is left to be told.
    assert_eq!(downs(&mut net, 0), []);
    assert_clean(&net);
}

#[test]
fn a_monitor_by_name_stays_with_the_process() {
    let mut net = cluster(2);
    net.command(1, Command::Register { name: name("shop"), process: Serial(2) });
    let target = Target::Name(net.id(1), name("shop"));
    monitor(&mut net, 0, 1, target);
    net.settle();
    net.command(1, Command::Unregister(name("shop")));
    net.command(1, Command::Register { name: name("shop"), process: Serial(1) });
    end(&mut net, 1, 1, why("the new one"));
    net.settle();
    assert_eq!(downs(&mut net, 0), []);
    end(&mut net, 1, 2, why("the old one"));
    net.settle();
    assert_eq!(downs(&mut net, 0), [(1, why("the old one"))]);
}

#[test]
fn a_peer_holds_so_many_monitors_and_no_more() {
    let mut config = Config::default();
    config.processes.max_monitors = 2;
    let mut net = cluster_with(2, &config);
    let target = pid(&net, 1, 2);
    (1..=3).for_each(|number| monitor(&mut net, 0, number, target));
    net.settle();
    assert_eq!(downs(&mut net, 0), [(3, ExitReason::SystemLimit)]);
    // There is room again once one is given back.
    act(&mut net, 0, 1, ProcessAct::Demonitor { number: 1 });
    monitor(&mut net, 0, 4, target);
    net.settle();
    assert_eq!(downs(&mut net, 0), []);
    end(&mut net, 1, 2, ExitReason::Normal);
    net.settle();
    assert_eq!(downs(&mut net, 0).len(), 2);
    assert_clean(&net);
}

#[test]
fn a_monitor_that_crosses_the_loss_of_one_side_ends() {
    let mut net = cluster(2);
    let target = pid(&net, 1, 2);
    monitor(&mut net, 0, 1, target);
    net.settle();
    // Node 1 alone loses the connections, and forgets who watches; then both meet again.
    let lost: Vec<ConnectionId> =
        net.node(1).routes().peer(net.id(0)).unwrap().connections().collect();
    for connection in lost {
        net.handle(1, Event::Closed { connection, reason: CloseReason::Broken });
    }
    net.run_for(Duration::from_secs(60));
    assert!(net.joined(0, 1));
    assert_eq!(downs(&mut net, 0), [(1, ExitReason::NoConnection)]);
    end(&mut net, 1, 2, ExitReason::Normal);
    net.settle();
    assert_eq!(downs(&mut net, 0), []);
    assert_clean(&net);
}
