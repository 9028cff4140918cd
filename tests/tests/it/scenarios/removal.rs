//! Removed nodes: dead, parted, and at the same time as they join.

use partisan_proto::{ChannelId, Command, Config, Duration, Notification};
use partisan_tests::{Cluster, Restart, Simulated, is_down, simulated};

on_both! {
    a_removed_dead_node_stays_out_until_it_joins: 16;
    a_removed_dead_node_that_forgot_everything_may_join: 8;
    removing_a_stranger_changes_nothing: 4;
}

fn a_removed_dead_node_stays_out_until_it_joins(cluster: &mut impl Cluster) {
    cluster.form(4, &Config::default());
    cluster.rest();
    bury(cluster, 3);
    cluster.restart(3, Restart { keep_state: true, new_address: true });
    cluster.wait_for_note(3, "news of the removal", |note| {
        matches!(note, Notification::Removed { .. })
    });
    cluster.wait_for_mesh(&[3]);
    cluster.rest();
    assert!(cluster.is_mesh(&[0, 1, 2]) && cluster.is_mesh(&[3]));
    cluster.join(3, 1);
    cluster.wait_for_mesh(&[0, 1, 2, 3]);
    cluster.exchange(&[0, 1, 2, 3], (ChannelId::DEFAULT, None));
}

fn a_removed_dead_node_that_forgot_everything_may_join(cluster: &mut impl Cluster) {
    cluster.form(3, &Config::default());
    bury(cluster, 2);
    cluster.restart(2, Restart { keep_state: false, new_address: false });
    cluster.rest();
    assert!(cluster.is_mesh(&[0, 1]) && cluster.is_mesh(&[2]));
    cluster.join(2, 0);
    cluster.wait_for_mesh(&[0, 1, 2]);
}

/// Lets the last node die, with all that it knows stored, and be removed.
fn bury(cluster: &mut impl Cluster, last: usize) {
    let asked = cluster.ask(last, Command::Stop);
    assert!(cluster.wait_for_answer(asked).is_ok());
    cluster.crash(last);
    let id = cluster.id(last);
    cluster.wait_for_note(0, "a down", |note| is_down(note, id));
    cluster.remove(0, last);
    cluster.wait_for_mesh(&Vec::from_iter(0..last));
}

fn removing_a_stranger_changes_nothing(cluster: &mut impl Cluster) {
    cluster.form(2, &Config::default());
    cluster.start(1, &Config::default());
    let asked = cluster.remove(0, 2);
    assert!(cluster.wait_for_answer(asked).is_ok());
    cluster.rest();
    assert!(cluster.is_mesh(&[0, 1]) && cluster.is_mesh(&[2]));
    cluster.join(2, 0);
    cluster.wait_for_mesh(&[0, 1, 2]);
}

/// The removed learns of it when the partition heals, and does not come back by itself.
#[test]
fn a_node_removed_behind_a_partition_is_told_after_it() {
    simulated(0..24, |cluster: &mut Simulated| {
        cluster.form(4, &Config::default());
        cluster.world.partition(&[&[0, 1, 2], &[3]]);
        cluster.remove(0, 3);
        cluster.wait_for_mesh(&[0, 1, 2]);
        let minutes = Duration::from_secs(60 * (cluster.seed() % 4));
        cluster.world.run_for(minutes);
        assert!(cluster.knows(3, 0), "it cannot know");
        cluster.world.heal();
        cluster.wait_for_mesh(&[3]);
        cluster.rest();
        assert!(cluster.is_mesh(&[0, 1, 2]) && cluster.is_mesh(&[3]));
        let told = |note: &Notification| matches!(note, Notification::Removed { .. });
        assert!(cluster.notifications(3).iter().any(told));
    });
}

/// A removal and a join of the same node at any moments of each other: all agree in the end, and a
/// join begun when the node knew of its removal wins.
#[test]
fn removals_and_joins_at_once_end_in_agreement() {
    simulated(0..800, |cluster: &mut Simulated| {
        let milliseconds = |n: u64| Duration::from_millis(n % 400);
        let seed = cluster.seed();
        cluster.form(3, &Config::default());
        cluster.remove(0, 2);
        cluster.world.run_for(milliseconds(seed * 7));
        let told = |note: &Notification| matches!(note, Notification::Removed { .. });
        let knew = cluster.notifications(2).iter().any(told);
        cluster.join(2, 1);
        cluster.wait("agreement", |cluster| {
            let both = cluster.is_mesh(&[0, 1]) && cluster.is_mesh(&[2]);
            cluster.is_mesh(&[0, 1, 2]) || (both && !knew)
        });
        cluster.rest();
        let together = cluster.is_mesh(&[0, 1, 2]);
        assert!(together || (cluster.is_mesh(&[0, 1]) && cluster.is_mesh(&[2])));
        assert!(together || !knew);
    });
}

/// Three nodes join, leave and remove each other at random; they agree once they have done with it.
#[test]
fn any_mix_of_joins_leaves_and_removals_ends_in_agreement() {
    simulated(0..2000, |cluster: &mut Simulated| {
        let mut draw = cluster.seed().wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = |below: u64| {
            draw ^= draw << 13;
            draw ^= draw >> 7;
            draw ^= draw << 17;
            draw % below
        };
        cluster.start(3, &Config::default());
        for _ in 0..12 {
            let (node, step) = (next(3) as usize, 1 + next(2) as usize);
            let other = (node + step) % 3;
            match next(4) {
                0 => cluster.ask(node, Command::Leave),
                1 => cluster.remove(node, other),
                _ => cluster.join(node, other),
            };
            cluster.world.run_for(Duration::from_millis(next(600)));
        }
        cluster.wait("agreement", agree_in_groups);
        cluster.rest();
        assert!(agree_in_groups(cluster), "{}", cluster.summary());
    });
}

/// Whether everybody is in a mesh with all that it knows.
fn agree_in_groups(cluster: &Simulated) -> bool {
    (0..3).all(|node| {
        let known = Vec::from_iter((0..3).filter(|other| cluster.knows(node, *other)));
        cluster.is_mesh(&known)
    })
}
