//! What is stored, and what is made of it in the next life.

use super::*;
use crate::error::SnapshotError;

fn snapshot(output: &Output) -> Option<Snapshot> {
    output.persisted().last().map(|bytes| Snapshot::decode(bytes).unwrap())
}

fn next_life(snapshot: Snapshot) -> (Machine<HyParView>, Output) {
    let me = me(&spec(0), LIFE + 1);
    let manager = HyParView::new(&me, config(), &[7; 32], Some(snapshot)).unwrap();
    let mut machine = Machine::new(me, manager);
    let output = machine.start();
    (machine, output)
}

#[test]
fn a_node_that_starts_again_asks_its_former_neighbors_and_then_the_others() {
    let mut machine = with_neighbors(config(), 2);
    machine.run(|manager, _| {
        (10..14).for_each(|number| manager.reserve(intro(number, LIFE).into()));
        manager.book.remember(intro(20, LIFE).into());
        manager.unsaved = true;
    });
    let stored = snapshot(&machine.fire(Timer::Store)).unwrap();
    let (machine, output) = next_life(stored);
    for number in [1, 2, 10, 11, 12, 13, 20] {
        let known = knows(&machine, number) || machine.manager.book.get(id(number)).is_some();
        assert!(known, "node {number}");
    }
    assert_eq!(dialled(&output).len(), config().parallel_requests, "without a contact");
    assert!(machine.manager.views().active.is_empty(), "nobody is a neighbour unasked");
}

/// Whoever moved meanwhile as well is found by nobody.
#[test]
fn a_newcomer_that_dies_soon_finds_its_first_neighbor_again() {
    let mut machine = newborn(0, config());
    assert_eq!(snapshot(&machine.start()).unwrap().entries, []);
    connect(&mut machine, 1);
    let stored = snapshot(&hear(&mut machine, 1, request(Wish::High, 0))).expect("at once");
    let (_, output) = next_life(stored);
    assert_eq!(dialled(&output), [id(1)]);
}

#[test]
fn removals_outlive_a_restart() {
    let mut machine = with_neighbors(config(), 1);
    let upto = Incarnation(LIFE);
    hear(&mut machine, 1, HyParViewMessage::Removal { node: id(7), upto });
    let stored = snapshot(&machine.fire(Timer::Store)).unwrap();
    let (machine, _) = next_life(stored);
    assert!(machine.manager.removals.covers(instance(&spec(7), LIFE)));
}

#[test]
fn a_stay_goes_on_over_a_restart_and_a_clock_that_went_back_does_no_harm() {
    let machine = &mut with_neighbors(config(), 1);
    machine.manager.unsaved = true;
    let mut stored = snapshot(&machine.fire(Timer::Store)).unwrap();
    assert_eq!((stored.joined.0, stored.incarnation.0), (LIFE, LIFE));
    stored.incarnation = Incarnation(LIFE + 50);
    let (machine, _) = next_life(stored);
    assert_eq!(machine.me.instance.incarnation, Incarnation(LIFE + 51));
    assert_eq!(machine.manager.joined, Incarnation(LIFE));
}

#[test]
fn what_another_node_stored_is_refused() {
    let mut machine = with_neighbors(config(), 1);
    machine.manager.unsaved = true;
    let stored = snapshot(&machine.fire(Timer::Store)).unwrap();
    let error = HyParView::new(&me(&spec(1), LIFE), config(), &[7; 32], Some(stored)).unwrap_err();
    assert!(matches!(error, ConfigError::Snapshot(SnapshotError::OtherNode { .. })), "{error}");
}

#[test]
fn it_is_stored_no_more_often_than_configured_and_never_where_that_is_zero() {
    let count = |config: HyParViewConfig| {
        let mut machine = newborn(0, config);
        let mut stored = machine.start().persisted().len();
        for number in 1..=5 {
            connect(&mut machine, number);
            stored += hear(&mut machine, number, request(Wish::Low, 0)).persisted().len();
            stored += machine.pass(Duration::from_millis(100)).persisted().len();
        }
        stored += machine.pass(config_pause()).persisted().len();
        stored
    };
    assert_eq!(
        count(config()),
        3,
        "at the start, the first neighbour, and then all others at once"
    );
    assert_eq!(count(HyParViewConfig { store_interval: Duration::ZERO, ..config() }), 0);
}

fn config_pause() -> Duration {
    config().store_interval
}
