//! Processes and their names.

use super::*;
use crate::{Answer, CommandError};

fn last(net: &mut Net) -> Result<Answer, CommandError> {
    net.replies.pop().map(|(_, result)| result).unwrap()
}

#[test]
fn a_name_stands_for_one_process_until_it_ends() {
    let mut net = cluster(1);
    let register = |serial| Command::Register { name: name("shop"), process: Serial(serial) };
    net.command(0, register(1));
    assert_eq!(last(&mut net), Ok(Answer::Done));
    net.command(0, register(2));
    let (taken, holder) = (name("shop"), Serial(1));
    assert_eq!(last(&mut net), Err(CommandError::NameTaken { name: taken, holder }));
    assert_eq!(net.node(0).whereis(&name("shop")), Some(pid(&net, 0, 1)));
    end(&mut net, 0, 1, ExitReason::Normal);
    assert_eq!(net.node(0).whereis(&name("shop")), None);
    net.command(0, register(1));
    assert_eq!(last(&mut net), Err(CommandError::NoSuchProcess(Serial(1))));
    net.command(0, register(2));
    net.command(0, Command::Unregister(name("shop")));
    assert_eq!(last(&mut net), Ok(Answer::Done));
    net.command(0, Command::Unregister(name("shop")));
    assert_eq!(last(&mut net), Err(CommandError::NameUnknown(name("shop"))));
}

#[test]
fn the_names_of_the_node_itself_are_not_given_away() {
    let mut net = cluster(1);
    let own = name("partisan.shop");
    net.command(0, Command::Register { name: own.clone(), process: Serial(1) });
    assert_eq!(last(&mut net), Err(CommandError::ReservedName(own.clone())));
    spawn(&mut net, 0, 3, SpawnOptions { name: Some(own.clone()), ..SpawnOptions::default() });
    assert_eq!(last(&mut net), Err(CommandError::ReservedName(own)));
    assert_eq!(net.node(0).process(Serial(3)), None);
    net.command(0, Command::Register { name: name("partisans"), process: Serial(1) });
    assert_eq!(last(&mut net), Ok(Answer::Done));
}

#[test]
fn a_number_is_one_process_only() {
    let mut net = cluster(1);
    spawn(&mut net, 0, 1, SpawnOptions::default());
    assert_eq!(last(&mut net), Err(CommandError::ProcessExists(Serial(1))));
}

#[test]
fn there_are_so_many_processes_and_names_and_no_more() {
    let mut config = Config::default();
    (config.processes.max_processes, config.processes.max_names) = (3, 1);
    let mut net = cluster_with(1, &config);
    let options = SpawnOptions { name: Some(name("a")), ..SpawnOptions::default() };
    spawn(&mut net, 0, 3, options);
    assert_eq!(last(&mut net), Ok(Answer::Done));
    spawn(&mut net, 0, 4, SpawnOptions::default());
    assert_eq!(last(&mut net), Err(CommandError::TooManyProcesses { limit: 3 }));
    net.command(0, Command::Register { name: name("b"), process: Serial(1) });
    assert_eq!(last(&mut net), Err(CommandError::TooManyNames { limit: 1 }));
    // One that cannot have its name does not come to life.
    end(&mut net, 0, 1, ExitReason::Normal);
    spawn(&mut net, 0, 5, SpawnOptions { name: Some(name("a")), ..SpawnOptions::default() });
    assert!(matches!(last(&mut net), Err(CommandError::NameTaken { .. })));
    assert_eq!(net.node(0).process(Serial(5)), None);
}

#[test]
fn what_a_process_has_is_told() {
    let mut net = cluster(2);
    net.command(0, Command::Register { name: name("shop"), process: Serial(1) });
    let other = pid(&net, 1, 2);
    monitor(&mut net, 0, 4, other);
    act(&mut net, 0, 1, ProcessAct::Link(other));
    act(&mut net, 0, 1, ProcessAct::TrapExit(true));
    let own = pid(&net, 0, 1);
    act(
        &mut net,
        0,
        2,
        ProcessAct::Monitor {
            number: 1,
            target: own.into(),
            lane: Lane::default(),
            tag: 0,
            alias: None,
        },
    );
    let info = net.node(0).process(Serial(1)).unwrap();
    assert_eq!((info.process, info.names, info.trap_exit), (own, vec![name("shop")], true));
    assert_eq!((info.links, info.monitors), (vec![other], vec![(4, other.into())]));
    assert_eq!((info.watched_by, info.timers), (1, vec![]));
    assert_eq!(net.node(0).processes().collect::<Vec<_>>(), [own, pid(&net, 0, 2)]);
}

#[test]
fn leaving_the_cluster_keeps_processes_and_their_identifiers() {
    let mut net = cluster(2);
    let (own, other) = (pid(&net, 0, 2), pid(&net, 1, 2));
    monitor(&mut net, 0, 1, own);
    monitor(&mut net, 0, 2, other);
    net.settle();
    net.command(0, Command::Leave);
    net.settle();
    assert!(net.node(0).instance().incarnation > Incarnation(1));
    assert_eq!(downs(&mut net, 0), [(2, ExitReason::NoConnection)]);
    assert_eq!(net.node(0).processes().last(), Some(own));
    end(&mut net, 0, 2, why("x"));
    assert_eq!(downs(&mut net, 0), [(1, why("x"))]);
}
