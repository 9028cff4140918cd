//! Names that stand for a process for a while, and what monitors are called.

use super::*;
use crate::process::{Alias, AliasUntil};

/// Process 1 of node 0 has a monitor of the other node's process 2, with these options.
fn watch(net: &mut Net, number: u64, alias: Option<AliasUntil>) -> Alias {
    let (target, lane, tag) = (pid(net, 1, 2).into(), Lane::default(), 40 + number);
    act(net, 0, 1, ProcessAct::Monitor { number, target, lane, tag, alias });
    Alias { process: pid(net, 0, 1), number }
}

fn stands_for(net: &Net, alias: Alias) -> Option<ProcessId> {
    net.node(0).whereis(&alias.name())
}

#[test]
fn an_alias_stands_for_its_process_until_it_is_taken_back() {
    let mut net = cluster(1);
    let own = pid(&net, 0, 1);
    let [first, second] = [1, 2].map(|number| Alias { process: own, number });
    for alias in [first, second] {
        act(&mut net, 0, 1, ProcessAct::Alias { number: alias.number });
        assert_eq!(stands_for(&net, alias), Some(own));
    }
    assert_eq!(Target::from(first), Target::Name(own.node, first.name()));
    // It is nothing that anybody registered, or unregisters.
    assert_eq!(net.node(0).process(Serial(1)).unwrap().names, []);
    net.command(0, Command::Unregister(first.name()));
    assert_eq!(stands_for(&net, first), Some(own));
    // Another process cannot take it back.
    act(&mut net, 0, 2, ProcessAct::Unalias { number: 1 });
    assert_eq!(stands_for(&net, first), Some(own));
    act(&mut net, 0, 1, ProcessAct::Unalias { number: 1 });
    act(&mut net, 0, 1, ProcessAct::Unalias { number: 1 });
    assert_eq!((stands_for(&net, first), stands_for(&net, second)), (None, Some(own)));
    end(&mut net, 0, 1, ExitReason::Normal);
    assert_eq!(stands_for(&net, second), None);
    assert_eq!(net.node(0).process_counts().names, 0);
}

#[test]
fn an_alias_of_a_monitor_ends_with_it_or_when_it_is_taken_back() {
    for (how, ends) in [(AliasUntil::MonitorEnds, true), (AliasUntil::TakenBack, false)] {
        let mut net = cluster(2);
        let own = Some(pid(&net, 0, 1));
        let told = watch(&mut net, 1, Some(how));
        let ended = watch(&mut net, 2, Some(how));
        let none = watch(&mut net, 3, None);
        net.settle();
        assert_eq!((stands_for(&net, told), stands_for(&net, none)), (own, None));
        act(&mut net, 0, 1, ProcessAct::Demonitor { number: 2 });
        assert_eq!(stands_for(&net, ended).is_none(), ends);
        end(&mut net, 1, 2, why("end"));
        net.settle();
        assert_eq!(downs(&mut net, 0), [(1, why("end")), (3, why("end"))]);
        assert_eq!(stands_for(&net, told).is_none(), ends);
        act(&mut net, 0, 1, ProcessAct::Unalias { number: 1 });
        assert_eq!(stands_for(&net, told), None);
    }
    // With the session, too.
    let mut net = cluster(2);
    let alias = watch(&mut net, 1, Some(AliasUntil::MonitorEnds));
    net.settle();
    net.cut(|_, _| true);
    net.settle();
    assert_eq!(downs(&mut net, 0), [(1, ExitReason::NoConnection)]);
    assert_eq!(stands_for(&net, alias), None);
}

#[test]
fn news_comes_with_what_the_watcher_calls_it() {
    let mut net = cluster(2);
    watch(&mut net, 1, None);
    watch(&mut net, 2, None);
    let target = pid(&net, 1, 2);
    monitor(&mut net, 0, 3, target);
    net.settle();
    end(&mut net, 1, 2, why("end"));
    net.settle();
    let tags = signals(&mut net, 0, 1).into_iter().map(|signal| match signal {
        Signal::Down { number, tag, .. } => (number, tag),
        other => panic!("{other:?}"),
    });
    assert_eq!(tags.collect::<Vec<_>>(), [(1, 41), (2, 42), (3, 0)]);
}

#[test]
fn who_has_one_name_too_many_ends() {
    let mut config = Config::default();
    config.processes.max_names = 1;
    let mut net = cluster_with(1, &config);
    act(&mut net, 0, 1, ProcessAct::Alias { number: 1 });
    assert_eq!(net.ended, []);
    act(&mut net, 0, 1, ProcessAct::Alias { number: 2 });
    assert_eq!(net.ended, [(0, Serial(1), ExitReason::SystemLimit)]);
    assert_eq!(net.node(0).process_counts().names, 0);
}
