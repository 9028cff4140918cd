//! The list of members is set from outside, as by a discovery service.

use partisan_proto::{Answer, Command, Config, NodeSpec};
use partisan_tests::{Cluster, Simulated, is_down, simulated, with_channels};

on_both! {
    joiners_join_and_leavers_are_removed: 24;
    an_empty_list_changes_nothing: 4;
    the_node_itself_always_stays: 4;
    duplicates_collapse: 4;
    other_details_of_a_member_do_not_remove_it: 8;
    the_same_list_again_changes_nothing: 8;
    one_that_cannot_be_joined_does_not_stop_the_others: 4;
}

fn update(cluster: &mut impl Cluster, node: usize, specs: Vec<NodeSpec>) {
    let asked = cluster.ask(node, Command::UpdateMembers(specs));
    assert_eq!(cluster.wait_for_answer(asked), Ok(Answer::Done));
}

fn specs(cluster: &impl Cluster, nodes: &[usize]) -> Vec<NodeSpec> {
    nodes.iter().map(|node| (*cluster.spec(*node)).clone()).collect()
}

fn joiners_join_and_leavers_are_removed(cluster: &mut impl Cluster) {
    cluster.form(4, &Config::default());
    cluster.start(2, &Config::default());
    let wanted = specs(cluster, &[0, 1, 2, 4, 5]);
    update(cluster, 0, wanted);
    cluster.wait_for_mesh(&[0, 1, 2, 4, 5]);
    cluster.wait_for_mesh(&[3]);
    let gone = cluster.id(3);
    for node in [0, 1, 2] {
        let notes = cluster.notifications(node);
        assert_eq!(notes.iter().filter(|note| is_down(note, gone)).count(), 1);
    }
}

fn an_empty_list_changes_nothing(cluster: &mut impl Cluster) {
    cluster.form(3, &Config::default());
    update(cluster, 0, vec![]);
    cluster.rest();
    assert!(cluster.is_mesh(&[0, 1, 2]));
}

fn the_node_itself_always_stays(cluster: &mut impl Cluster) {
    cluster.form(3, &Config::default());
    let wanted = specs(cluster, &[1]);
    update(cluster, 0, wanted);
    cluster.wait_for_mesh(&[0, 1]);
    cluster.wait_for_mesh(&[2]);
}

fn duplicates_collapse(cluster: &mut impl Cluster) {
    cluster.start(2, &Config::default());
    let wanted = specs(cluster, &[1, 1, 0, 1]);
    update(cluster, 0, wanted);
    cluster.wait_for_mesh(&[0, 1]);
    assert_eq!(cluster.counters(0).sessions, 1);
}

/// Members are compared by name: a list with another address or other channels removes nobody.
fn other_details_of_a_member_do_not_remove_it(cluster: &mut impl Cluster) {
    cluster.form(3, &Config::default());
    let known = cluster.spec(1);
    let addresses = cluster.spec(2).addresses().to_vec();
    let channels = with_channels(&[("other", 3)]).channels;
    let other = NodeSpec::new(known.name().clone(), addresses, &channels, vec![]).unwrap();
    let mut wanted = specs(cluster, &[0, 2]);
    wanted.push(other);
    update(cluster, 0, wanted);
    cluster.rest();
    assert!(cluster.is_mesh(&[0, 1, 2]));
    let known = cluster.id(1);
    let notes = cluster.notifications(0);
    assert!(!notes.iter().any(|note| is_down(note, known)));
}

fn the_same_list_again_changes_nothing(cluster: &mut impl Cluster) {
    cluster.form(3, &Config::default());
    cluster.rest();
    let before = cluster.notifications(0).len();
    let wanted = specs(cluster, &[0, 1, 2]);
    for _ in 0..10 {
        update(cluster, 0, wanted.clone());
    }
    cluster.rest();
    assert_eq!(cluster.notifications(0).len(), before, "nothing to tell");
    assert_eq!(cluster.counters(0).sessions, 2);
}

fn one_that_cannot_be_joined_does_not_stop_the_others(cluster: &mut impl Cluster) {
    cluster.start(3, &Config::default());
    let nowhere = cluster.spec(1);
    let channels = Config::default().channels;
    let nowhere = NodeSpec::new(nowhere.name().clone(), vec![], &channels, vec![]).unwrap();
    let mut wanted = specs(cluster, &[0, 2]);
    wanted.push(nowhere);
    let asked = cluster.ask(0, Command::UpdateMembers(wanted));
    let error = partisan_proto::CommandError::NoAddress;
    assert_eq!(cluster.wait_for_answer(asked), Err(error));
    cluster.wait_for_mesh(&[0, 2]);
}

/// A list as long as the limit of joins is taken at once.
#[test]
fn sixty_joiners_at_once() {
    simulated(0..2, |cluster: &mut Simulated| {
        cluster.start(61, &Config::default());
        let all = Vec::from_iter(0..61);
        let wanted = specs(cluster, &all);
        update(cluster, 0, wanted);
        cluster.wait_for_mesh(&all);
    });
}
