//! Partitions, churn, and many restarts at once: all that only the simulator can do.

use partisan_proto::{ChannelId, Config, Duration};
use partisan_sim::{Cut, Restart};
use partisan_tests::{Cluster, Simulated, is_down, simulated};

const SECOND: Duration = Duration::from_secs(1);

/// Halves, one alone, one direction only, on and off: afterwards all are together again.
#[test]
fn after_any_partition_all_are_together_again() {
    simulated(0..24, |cluster: &mut Simulated| {
        cluster.form(6, &Config::default());
        match cluster.seed() / 4 % 4 {
            0 => cluster.world.partition(&[&[0, 1, 2], &[3, 4, 5]]),
            1 => cluster.world.partition(&[&[5], &[0, 1, 2, 3, 4]]),
            2 => cluster.world.partition_one_way(&[0, 1], &[2, 3, 4, 5]),
            _ => flap(cluster),
        }
        cluster.world.run_for(SECOND * 200);
        cluster.world.heal();
        cluster.wait_for_mesh(&[0, 1, 2, 3, 4, 5]);
        for node in 0..6 {
            assert_eq!(cluster.members(node).len(), 6);
            let notes = cluster.notifications(node);
            let gone = |note: &_| matches!(note, partisan_proto::Notification::MemberLeft { .. });
            assert!(!notes.iter().any(gone), "unreachable is not gone");
        }
        cluster.exchange(&[0, 1, 2, 3, 4, 5], (ChannelId::DEFAULT, None));
    });
}

fn flap(cluster: &mut Simulated) {
    for second in 0..20 {
        cluster.world.partition(&[&[0, second % 6], &[3]]);
        cluster.world.run_for(SECOND * (second as u32 % 7));
        cluster.world.heal();
        cluster.world.run_for(SECOND);
    }
}

/// New members on both sides of a partition are known everywhere after it.
#[test]
fn joins_on_both_sides_are_merged() {
    simulated(0..16, |cluster: &mut Simulated| {
        cluster.form(4, &Config::default());
        cluster.start(2, &Config::default());
        cluster.world.partition(&[&[0, 1, 4], &[2, 3, 5]]);
        cluster.join(4, 0);
        cluster.join(5, 2);
        cluster.wait("both joins", |cluster| cluster.knows(1, 4) && cluster.knows(3, 5));
        cluster.world.run_for(SECOND * 100);
        cluster.world.heal();
        cluster.wait_for_mesh(&[0, 1, 2, 3, 4, 5]);
    });
}

/// P15: each side removes the other. Afterwards nobody comes back by itself, and one join is enough for
/// each node that wants to.
#[test]
fn sides_that_removed_each_other_can_be_joined_again() {
    simulated(0..24, |cluster: &mut Simulated| {
        cluster.form(4, &Config::default());
        cluster.world.partition(&[&[0, 1], &[2, 3]]);
        for (node, other) in [(0, 2), (0, 3), (2, 0), (2, 1)] {
            cluster.remove(node, other);
        }
        cluster.wait_for_mesh(&[0, 1]);
        cluster.wait_for_mesh(&[2, 3]);
        cluster.world.run_for(SECOND * 100);
        cluster.world.heal();
        cluster.world.run_for(SECOND * 100);
        for node in 1..4 {
            cluster.join(node, 0);
        }
        cluster.wait_for_mesh(&[0, 1, 2, 3]);
        cluster.exchange(&[0, 1, 2, 3], (ChannelId::DEFAULT, None));
    });
}

/// P5: connections that die unnoticed, at one end or at both, are found out and replaced, with one down
/// at each end that had it.
#[test]
fn members_are_connected_again_after_any_cut() {
    simulated(0..24, |cluster: &mut Simulated| {
        cluster.form(3, &Config::default());
        let how = [Cut::Reset, Cut::Silent, Cut::OneSide][(cluster.seed() / 4 % 3) as usize];
        cluster.world.cut(0, 1, how);
        let (zero, one) = (cluster.id(0), cluster.id(1));
        cluster.wait_for_note(0, "a down", |note| is_down(note, one));
        cluster.wait_for_note(1, "a down", |note| is_down(note, zero));
        cluster.wait_for_mesh(&[0, 1, 2]);
        cluster.rest();
        for (node, other) in [(0, one), (1, zero)] {
            let notes = cluster.notifications(node);
            assert_eq!(notes.iter().filter(|note| is_down(note, other)).count(), 1);
        }
        cluster.exchange(&[0, 1, 2], (ChannelId::DEFAULT, None));
    });
}

/// Half of the cluster comes back elsewhere while another part is down: one entry a name.
#[test]
fn many_new_addresses_at_once() {
    simulated(0..16, |cluster: &mut Simulated| {
        let all = [0, 1, 2, 3, 4, 5];
        cluster.form(6, &Config::default());
        cluster.rest();
        for node in [1, 2, 3, 4] {
            cluster.crash(node);
        }
        cluster.world.run_for(SECOND * 30);
        for node in [1, 2, 3, 4] {
            cluster.restart(node, Restart { keep_state: true, new_address: node != 4 });
            cluster.world.run_for(SECOND * (cluster.seed() as u32 % 5));
        }
        cluster.wait_for_mesh(&all);
        for node in all {
            let members = cluster.members(node);
            for other in all {
                let spec = cluster.spec(other);
                let found = members.iter().filter(|member| member.spec.name() == spec.name());
                let found = Vec::from_iter(found);
                assert_eq!(found.len(), 1);
                assert_eq!(found[0].spec, spec, "node {node} knows where {other} is");
            }
        }
    });
}

/// Ten minutes of joins, leaves, crashes and restarts at random; then all join, and all is well.
#[test]
fn churn() {
    simulated(0..100, |cluster: &mut Simulated| {
        let mut draw = cluster.seed().wrapping_mul(0x2545_f491_4f6c_dd1d) | 1;
        let mut next = |below: u64| {
            draw ^= draw << 13;
            draw ^= draw >> 7;
            draw ^= draw << 17;
            (draw >> 20) % below
        };
        cluster.form(8, &Config::default());
        for _ in 0..120 {
            let (node, other) = (next(8) as usize, next(8) as usize);
            let dead = cluster.world.hosts()[node].node().is_none();
            let (keep_state, new_address) = (next(2) == 0, next(3) == 0);
            match next(4) {
                _ if dead => cluster.restart(node, Restart { keep_state, new_address }),
                0 => cluster.crash(node),
                1 => drop(cluster.ask(node, partisan_proto::Command::Leave)),
                _ => drop(cluster.join(node, other)),
            }
            cluster.world.run_for(Duration::from_millis(next(10_000)));
        }
        finish(cluster);
    });
}

/// Brings everybody back and together.
fn finish(cluster: &mut Simulated) {
    for node in 0..8 {
        if cluster.world.hosts()[node].node().is_none() {
            cluster.restart(node, Restart { keep_state: true, new_address: false });
        }
    }
    cluster.world.run_for(SECOND * 60);
    for node in 1..8 {
        cluster.join(node, 0);
    }
    cluster.wait_for_mesh(&[0, 1, 2, 3, 4, 5, 6, 7]);
}
