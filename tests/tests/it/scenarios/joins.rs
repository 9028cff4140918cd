//! Many joins at once, and joins of whole clusters.

use partisan_proto::{ChannelId, Config};
use partisan_tests::{Cluster, Simulated, simulated};

on_both! {
    eight_through_one_contact: 24;
    eight_in_a_chain: 24;
    eight_in_a_ring: 24;
    two_clusters_become_one: 24;
}

fn eight_through_one_contact(cluster: &mut impl Cluster) {
    join_all(cluster, 8, |_| 0);
}

fn eight_in_a_chain(cluster: &mut impl Cluster) {
    join_all(cluster, 8, |node| node - 1);
}

fn eight_in_a_ring(cluster: &mut impl Cluster) {
    cluster.start(8, &Config::default());
    for node in 0..8 {
        cluster.join(node, (node + 1) % 8);
    }
    cluster.wait_for_mesh(&Vec::from_iter(0..8));
}

/// All nodes join at once, each but the first the one that `contact` says.
fn join_all(cluster: &mut impl Cluster, count: usize, contact: impl Fn(usize) -> usize) {
    cluster.start(count, &Config::default());
    for node in 1..count {
        cluster.join(node, contact(node));
    }
    cluster.wait_for_mesh(&Vec::from_iter(0..count));
}

fn two_clusters_become_one(cluster: &mut impl Cluster) {
    cluster.start(6, &Config::default());
    for (node, contact) in [(1, 0), (2, 0), (4, 3), (5, 3)] {
        cluster.join(node, contact);
    }
    cluster.wait_for_mesh(&[0, 1, 2]);
    cluster.wait_for_mesh(&[3, 4, 5]);
    cluster.join(4, 2);
    let all = [0, 1, 2, 3, 4, 5];
    cluster.wait_for_mesh(&all);
    cluster.exchange(&all, (ChannelId::DEFAULT, None));
}

/// 2 to 64 nodes, through one contact, in a chain or in a random tree, as the seed says.
#[test]
fn up_to_sixty_four_at_once() {
    for (number, count) in [2, 3, 5, 9, 17, 33, 64].into_iter().enumerate() {
        for shape in 0..3 {
            let seed = (3 * number + shape) as u64;
            simulated(seed..seed + 1, |cluster: &mut Simulated| {
                let random = |node: usize| (seed as usize + node * node * 7919) % node;
                join_all(cluster, count, |node| [0, node - 1, random(node)][shape]);
            });
        }
    }
}
