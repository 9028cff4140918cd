//! What is counted of the views' life (checklist V24).

use super::*;
use crate::manager::ViewCounters;
use crate::wire::Walk;

/// One of everything, in order, and what the counters say in the end.
#[test]
fn every_event_of_the_views_is_counted_once() {
    let mut machine = with_neighbors(config(), 5);
    let counters = |machine: &Machine<HyParView>| machine.manager.counters().views;
    // The first neighbour was sent a sample at once.
    let formed = ViewCounters { gained: 5, shuffles: 1, ..ViewCounters::default() };
    assert_eq!(counters(&machine), formed);

    connect(&mut machine, 6);
    hear(&mut machine, 6, request(Wish::Low, 0));
    connect(&mut machine, 7);
    hear(&mut machine, 7, request(Wish::Join, 0));
    assert!(is_neighbor(&machine, 7) && !is_neighbor(&machine, 6));
    let (gained, parted, joins, declined) = (6, 1, 1, 1);
    let full = ViewCounters { gained, parted, joins, declined, ..formed };
    assert_eq!(counters(&machine), full);

    let walker = Walk { node: intro(20, LIFE), hops: 0, joins: true };
    hear(&mut machine, 7, HyParViewMessage::Walk(Box::new(walker)));
    let walked = ViewCounters { walks: 1, walk_hops: 13, ..full };
    assert_eq!(counters(&machine), walked);

    hear(&mut machine, 7, disconnect(Parting::Evicted, intros([])));
    machine.pass(Duration::from_secs(1));
    let first = (1..6).find(|number| is_neighbor(&machine, *number)).expect("a neighbour");
    let output = machine.down(instance(&spec(first), LIFE));
    assert!(!output.changes.is_empty());
    let lost = ViewCounters { parted_by_peer: 1, lost: 1, ..walked };
    let now = counters(&machine);
    assert_eq!((now.parted_by_peer, now.lost, now.gained, now.refills), (1, 1, 6, 0));

    machine.pass(Duration::from_secs(2));
    befriend(&mut machine, 8);
    let now = counters(&machine);
    let (shuffles, declined_by_peer) = (now.shuffles, now.declined_by_peer);
    let refill_time = Duration::from_secs(2);
    let refilled = ViewCounters { gained: 7, refills: 1, refill_time, ..lost };
    assert_eq!(now, ViewCounters { shuffles, declined_by_peer, ..refilled });
}

#[test]
fn what_others_decline_is_counted() {
    let mut machine = with_neighbors(config(), 1);
    machine.run(|manager, _| manager.reserve(intro(10, LIFE).into()));
    machine.down(instance(&spec(1), LIFE));
    connect(&mut machine, 10);
    hear(&mut machine, 10, decline(Declined::Full));
    assert_eq!(machine.manager.counters().views.declined_by_peer, 1);
}
