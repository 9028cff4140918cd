//! Processes that are told of nodes.

use super::*;

fn lost(told: &[Signal]) -> Vec<(u64, bool)> {
    let lost = told.iter().map(|signal| match signal {
        Signal::NodeLost { number, reason, .. } => (*number, reason.is_some()),
        other => panic!("{other:?}"),
    });
    lost.collect()
}

#[test]
fn the_loss_of_a_watched_node_is_told_once_for_each_monitor() {
    let mut net = cluster(3);
    let (one, two, nobody) = (net.id(1), net.id(2), net.id(9));
    for (number, node) in [(1, one), (2, one), (3, two), (4, nobody), (5, net.id(0))] {
        act(&mut net, 0, 1, ProcessAct::MonitorNode { number, node });
    }
    assert_eq!(lost(&signals(&mut net, 0, 1)), [(4, false)], "who is not connected is lost now");
    net.crash(1);
    net.settle();
    assert_eq!(lost(&signals(&mut net, 0, 1)), [(1, true), (2, true)]);
    act(&mut net, 0, 1, ProcessAct::Demonitor { number: 3 });
    net.crash(2);
    net.settle();
    assert_eq!(signals(&mut net, 0, 1), []);
}

#[test]
fn who_subscribes_is_told_of_nodes_that_come_and_go() {
    let mut net = cluster(2);
    let filter = NodeFilter { tag: None, present: true };
    act(&mut net, 0, 1, ProcessAct::MonitorNodes(filter.clone()));
    act(&mut net, 0, 1, ProcessAct::MonitorNodes(filter.clone()));
    let told = signals(&mut net, 0, 1);
    assert!(matches!(&told[..], [Signal::NodeUp { instance, .. }] if instance.node == net.id(1)));
    net.cut(|_, _| true);
    net.run_for(Duration::from_secs(60));
    let told = signals(&mut net, 0, 1);
    let alternating = told.iter().enumerate().all(|(place, signal)| match signal {
        Signal::NodeDown { .. } => place % 2 == 0,
        Signal::NodeUp { .. } => place % 2 == 1,
        _ => false,
    });
    assert!(alternating && told.len() >= 2 && told.len().is_multiple_of(2), "{told:?}");
    act(&mut net, 0, 1, ProcessAct::DemonitorNodes(filter));
    net.crash(1);
    net.settle();
    assert_eq!(signals(&mut net, 0, 1), []);
    assert_clean(&net);
}

#[test]
fn a_subscription_may_be_about_nodes_with_a_tag() {
    let mut net = cluster(2);
    let tag = crate::Tag::new("server").unwrap();
    let filter = NodeFilter { tag: Some(tag), present: true };
    act(&mut net, 0, 1, ProcessAct::MonitorNodes(filter));
    net.crash(1);
    net.settle();
    assert_eq!(signals(&mut net, 0, 1), []);
    end(&mut net, 0, 1, ExitReason::Normal);
    assert_clean(&net);
}

/// Two connected nodes; the list says what the first one's manager wishes at the next
/// [`Command::UpdateMembers`].
fn wishing() -> (Net, Arc<std::sync::Mutex<Vec<Change>>>) {
    let config = Config::default();
    let wishes = Arc::default();
    let mut net = Net::new();
    for index in 0..2 {
        let keep = vec![spec(1 - index, &config).into()];
        let mut keeper = Keeper { keep, ..Keeper::default() };
        if index == 0 {
            keeper.wishes = Arc::clone(&wishes);
        }
        net.add(&config, 1, keeper);
    }
    net.run_for(Duration::from_secs(5));
    spawn(&mut net, 0, 1, SpawnOptions::default());
    (net, wishes)
}

/// A manager that probes a peer which is connected is told of the session again; processes are not.
#[test]
fn a_session_that_the_manager_is_told_of_again_is_told_of_once() {
    let (mut net, wishes) = wishing();
    act(&mut net, 0, 1, ProcessAct::MonitorNodes(NodeFilter { tag: None, present: true }));
    assert_eq!(signals(&mut net, 0, 1).len(), 1);
    let instance = Instance { node: net.id(1), incarnation: Incarnation(1) };
    let spec = Arc::new(spec(1, &Config::default()));
    wishes.lock().unwrap().push(Change::Probe { instance, spec });
    net.command(0, Command::UpdateMembers(vec![]));
    net.settle();
    assert_eq!(signals(&mut net, 0, 1), []);
}

/// A session whose end is awaited is over for everybody who looks; so who subscribes then is not
/// told of its end either.
#[test]
fn who_subscribes_while_a_session_ends_is_not_told_of_its_end() {
    for present in [false, true] {
        let (mut net, _) = wishing();
        net.command(0, Command::Remove(net.id(1)));
        act(&mut net, 0, 1, ProcessAct::MonitorNodes(NodeFilter { tag: None, present }));
        net.crash(1);
        net.settle();
        assert_eq!(signals(&mut net, 0, 1), []);
    }
}

#[test]
fn processes_are_down_before_their_node_is() {
    let mut net = cluster(2);
    let (node, target) = (net.id(1), pid(&net, 1, 2));
    act(&mut net, 0, 1, ProcessAct::MonitorNodes(NodeFilter::default()));
    act(&mut net, 0, 1, ProcessAct::MonitorNode { number: 1, node });
    monitor(&mut net, 0, 2, target);
    net.settle();
    net.crash(1);
    net.settle();
    let told = signals(&mut net, 0, 1);
    let order = [Signal::is_down, Signal::is_node_lost, Signal::is_node_down];
    assert_eq!(told.len(), 3);
    assert!(told.iter().zip(order).all(|(signal, is)| is(signal)), "{told:?}");
}

impl Signal {
    fn is_down(&self) -> bool {
        matches!(self, Self::Down { .. })
    }

    fn is_node_lost(&self) -> bool {
        matches!(self, Self::NodeLost { .. })
    }

    fn is_node_down(&self) -> bool {
        matches!(self, Self::NodeDown { .. })
    }
}

#[test]
fn subscriptions_are_bounded() {
    let mut config = Config::default();
    config.processes.max_monitors = 1;
    let mut net = cluster_with(1, &config);
    act(&mut net, 0, 1, ProcessAct::MonitorNodes(NodeFilter::default()));
    act(&mut net, 0, 2, ProcessAct::MonitorNodes(NodeFilter::default()));
    assert_eq!(net.ended, [(0, Serial(2), ExitReason::SystemLimit)]);
}
