//! Processes that wait for the membership to become another.

use super::*;
use crate::config::ProcessConfig;
use crate::connections::tests::net::Shared;

/// One node, which is told to change its members as often as the test says.
fn node(config: &Config) -> (Net, Shared<Change>) {
    let (mut net, wishes) = (Net::new(), Shared::default());
    net.add(config, 1, Keeper { wishes: Shared::clone(&wishes), ..Keeper::default() });
    spawn(&mut net, 0, 1, SpawnOptions::default());
    (net, wishes)
}

fn change(net: &mut Net, wishes: &Shared<Change>) {
    wishes.lock().unwrap().push(Change::MembersChanged);
    net.command(0, Command::UpdateMembers(vec![]));
}

fn wait(net: &mut Net, number: u64, known: Option<u64>) {
    act(net, 0, 1, ProcessAct::AwaitMembers { number, known });
}

/// The numbers and the versions that process 1 was told since the last call.
fn told(net: &mut Net) -> Vec<(u64, u64)> {
    let told = signals(net, 0, 1).into_iter();
    let versions = told.map(|signal| match signal {
        Signal::Members { number, version, .. } => (number, version),
        other => panic!("{other:?}"),
    });
    versions.collect()
}

#[test]
fn whoever_knows_none_is_told_at_once_and_others_with_the_next_change() {
    let (mut net, wishes) = node(&Config::default());
    wait(&mut net, 1, None);
    assert_eq!(told(&mut net), [(1, 0)]);
    wait(&mut net, 2, Some(0));
    assert_eq!(told(&mut net), []);
    change(&mut net, &wishes);
    assert_eq!(told(&mut net), [(2, 1)]);
    change(&mut net, &wishes);
    change(&mut net, &wishes);
    assert_eq!(told(&mut net), [], "once for each time that it asks");
    wait(&mut net, 3, Some(1));
    assert_eq!(told(&mut net), [(3, 3)], "what it missed is one");
    assert_clean(&net);
}

#[test]
fn whoever_takes_it_back_or_ends_is_told_nothing_more() {
    let (mut net, wishes) = node(&Config::default());
    wait(&mut net, 1, Some(0));
    act(&mut net, 0, 1, ProcessAct::Demonitor { number: 1 });
    change(&mut net, &wishes);
    assert_eq!(told(&mut net), []);
    wait(&mut net, 2, Some(1));
    end(&mut net, 0, 1, ExitReason::Normal);
    assert_clean(&net);
}

#[test]
fn so_many_may_wait_and_one_more_ends() {
    let processes = ProcessConfig { max_monitors: 2, ..ProcessConfig::default() };
    let (mut net, _) = node(&Config { processes, ..Config::default() });
    for number in 1..=2 {
        wait(&mut net, number, Some(0));
    }
    assert!(net.nodes[0].as_ref().unwrap().process(Serial(1)).is_some());
    wait(&mut net, 3, Some(0));
    assert!(net.nodes[0].as_ref().unwrap().process(Serial(1)).is_none());
    assert_clean(&net);
}
