//! How trees come into being, and what they cost.

use super::net::{Net, ms, payloads};

/// Any graph of eight nodes with cycles.
const GRAPH: [(usize, usize); 12] = [
    (0, 1),
    (1, 2),
    (2, 3),
    (3, 4),
    (4, 5),
    (5, 6),
    (6, 7),
    (7, 0),
    (0, 4),
    (1, 5),
    (2, 6),
    (3, 7),
];

fn graph() -> Net {
    let mut net = Net::new(8);
    net.connect_all(&GRAPH);
    net
}

#[test]
fn the_second_broadcast_costs_one_payload_for_each_node_and_nothing_is_asked_for() {
    let mut net = graph();
    let first = net.broadcast(0);
    net.pass(ms(3_000));
    assert_eq!(net.receivers(first), net.all());
    net.assert_spanning(0);
    for sender in [0, 5, 2, 0] {
        net.take_log();
        let before = net.counters();
        let id = net.broadcast(sender);
        net.pass(ms(3_000));
        assert_eq!(net.receivers(id), net.all());
        assert_eq!(payloads(&net.log), 7, "S4");
        let after = net.counters();
        assert_eq!((after.grafts, after.prunes), (before.grafts, before.prunes));
        net.assert_spanning(sender);
    }
}
