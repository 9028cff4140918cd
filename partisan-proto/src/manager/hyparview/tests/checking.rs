//! Checks of those in reserve.

use super::*;
use alloc::collections::BTreeSet;

use crate::error::OpenError;
use crate::notification::DialError;

/// As many as are in reserve in these tests.
const RESERVE: core::ops::Range<usize> = 10..40;

/// One check at a time.
fn checking(checks: usize) -> HyParViewConfig {
    HyParViewConfig { checks, parallel_requests: 1, ..config() }
}

/// A node that lost a neighbour, found another at once, and has thirty others in reserve, besides
/// the one that was lost.
fn bereft(config: HyParViewConfig) -> Machine<HyParView> {
    let mut machine = with_neighbors(config, 5);
    let output = machine.down(instance(&spec(1), LIFE));
    assert_eq!(dialled(&output), [id(1)], "it is asked whether it is back");
    fail(&mut machine, id(1), OpenError::Refused.into());
    befriend(&mut machine, 6);
    for number in RESERVE {
        machine.run(|manager, _| manager.reserve(intro(number, LIFE).into()));
    }
    machine
}

/// The time to shuffle comes: who is dialled.
fn shuffle(machine: &mut Machine<HyParView>) -> Vec<NodeId> {
    dialled(&machine.fire(Timer::Shuffle))
}

fn fail(machine: &mut Machine<HyParView>, node: NodeId, error: DialError) -> Output {
    machine.change(Change::ProbeFailed { node, error })
}

fn number_of(node: NodeId) -> usize {
    (0..RESERVE.end).find(|number| id(*number) == node).unwrap()
}

/// A node that was dialled is alive; what follows.
fn answer(machine: &mut Machine<HyParView>, node: NodeId) -> Output {
    connect(machine, number_of(node))
}

/// A node that was dialled is alive, and its session has ended since.
fn visit(machine: &mut Machine<HyParView>, node: NodeId) {
    answer(machine, node);
    machine.pass(config().draining);
    machine.down(instance(&spec(number_of(node)), LIFE));
}

#[test]
fn who_lost_nobody_checks_nobody() {
    let mut machine = with_neighbors(config(), 5);
    for number in RESERVE {
        machine.run(|manager, _| manager.reserve(intro(number, LIFE).into()));
    }
    for _ in 0..10 {
        assert!(shuffle(&mut machine).is_empty());
    }
    let removed = HyParViewMessage::Removal { node: id(5), upto: Incarnation(LIFE) };
    hear(&mut machine, 5, removed);
    befriend(&mut machine, 7);
    assert!(shuffle(&mut machine).is_empty(), "who left says nothing of others");
}

#[test]
fn each_shuffle_checks_two_until_so_many_in_a_row_were_alive() {
    let mut machine = bereft(HyParViewConfig { checks: 4, ..config() });
    let mut checked = Vec::new();
    for _ in 0..2 {
        let [one, other] = shuffle(&mut machine)[..] else { panic!() };
        for node in [one, other] {
            let output = answer(&mut machine, node);
            assert!(messages(&output).is_empty() && dialled(&output).is_empty(), "nothing asked");
            assert!(machine.manager.views().passive.contains(&node));
            assert_eq!(released(&machine.pass(config().draining)), [node], "it soon ends");
            checked.push(node);
        }
    }
    assert!(shuffle(&mut machine).is_empty() && machine.manager.checks.is_none());
    checked.sort_unstable();
    checked.dedup();
    assert_eq!(checked.len(), 4, "nobody is checked twice");
}

#[test]
fn who_cannot_be_reached_is_forgotten_and_the_next_is_checked_at_once() {
    let mut machine = bereft(checking(2));
    let [first] = shuffle(&mut machine)[..] else { panic!() };
    visit(&mut machine, first);
    let [mut node] = shuffle(&mut machine)[..] else { panic!() };
    for _ in 0..5 {
        let output = fail(&mut machine, node, OpenError::TimedOut.into());
        assert!(!machine.manager.views().passive.contains(&node));
        assert!(machine.manager.book.get(node).is_some(), "a partition may have been why");
        let [next] = dialled(&output)[..] else { panic!() };
        node = next;
    }
    visit(&mut machine, node);
    assert!(machine.manager.checks.is_some(), "the row begins anew");
    let [last] = shuffle(&mut machine)[..] else { panic!() };
    visit(&mut machine, last);
    assert!(machine.manager.checks.is_none());
}

#[test]
fn those_in_doubt_are_checked_first_and_believed_in_when_they_are_alive() {
    let mut machine = bereft(checking(16));
    machine.manager.passive.suspect(id(33));
    assert_eq!(shuffle(&mut machine), [id(33)]);
    visit(&mut machine, id(33));
    assert_eq!(machine.manager.passive.suspects().count(), 0);
}

#[test]
fn a_later_life_takes_the_place_of_the_one_that_was_checked() {
    let mut machine = bereft(checking(16));
    let [node] = shuffle(&mut machine)[..] else { panic!() };
    let number = number_of(node);
    machine.up(&spec(number), LIFE + 1, ConnectionId::accepted(number as u64), None);
    let life = machine.manager.passive.get(node).map(|known| known.incarnation);
    assert_eq!(life, Some(Incarnation(LIFE + 1)));
}

#[test]
fn a_refusal_is_no_news_unless_it_comes_from_somebody_else() {
    let refused = |refusal| DialError::Closed(CloseReason::Refused(refusal));
    for (error, kept) in [
        (refused(Refusal::TooMany), true),
        (refused(Refusal::Secret), true),
        (OpenError::System.into(), true),
        (refused(Refusal::UnexpectedPeer), false),
        (refused(Refusal::Stopping), false),
        (DialError::Closed(CloseReason::HandshakeTimeout), false),
        (OpenError::Unresolved.into(), false),
    ] {
        let mut machine = bereft(checking(1));
        let [node] = shuffle(&mut machine)[..] else { panic!() };
        let output = fail(&mut machine, node, error);
        assert_eq!(machine.manager.views().passive.contains(&node), kept, "{error}");
        assert_eq!(dialled(&output).is_empty(), kept, "{error}: the next waits for a shuffle");
        assert!(machine.manager.checks.is_some(), "{error}: still owed");
    }
}

#[test]
fn no_more_are_checked_at_a_time_than_are_asked() {
    let mut machine = bereft(config());
    let most = config().parallel_requests;
    assert_eq!([(); 4].map(|()| shuffle(&mut machine).len()), [2, most - 2, 0, 0]);
    let output = machine.pass(4 * config().answer_timeout);
    let next = dialled(&output).len();
    assert!(next >= most, "those who do not answer are given up, and others checked: {next}");
    assert_eq!(machine.manager.peers.in_pursuit(Purpose::Check), most);
}

#[test]
fn the_debt_is_paid_when_nobody_is_left_who_was_not_checked() {
    let few = HyParViewConfig { passive_size: 3, ..checking(16) };
    let mut machine = bereft(few);
    for _ in 0..3 {
        let [node] = shuffle(&mut machine)[..] else { panic!() };
        visit(&mut machine, node);
    }
    assert!(machine.manager.checks.is_some());
    assert!(shuffle(&mut machine).is_empty() && machine.manager.checks.is_none());
}

#[test]
fn others_are_told_only_of_those_who_were_found_alive_until_the_debt_is_paid() {
    let mut machine = bereft(checking(3));
    let told = |machine: &mut Machine<HyParView>| -> BTreeSet<NodeId> {
        let samples = (0..40).flat_map(|_| machine.manager.sample(id(2)));
        samples.map(|node| node.spec.id()).collect()
    };
    assert!(told(&mut machine).is_empty());
    let mut alive = BTreeSet::new();
    for _ in 0..2 {
        let [node] = shuffle(&mut machine)[..] else { panic!() };
        visit(&mut machine, node);
        alive.insert(node);
        assert_eq!(told(&mut machine), alive);
    }
    let [last] = shuffle(&mut machine)[..] else { panic!() };
    visit(&mut machine, last);
    assert!(told(&mut machine).len() > 20, "they are believed in again");
}

#[test]
fn who_has_lost_all_whom_it_knew_asks_who_comes_by() {
    let mut machine = with_neighbors(config(), 1);
    connect(&mut machine, 9);
    assert!(!knows(&machine, 9), "it may yet ask something");
    machine.down(instance(&spec(9), LIFE));
    assert!(knows(&machine, 9));
    assert!(dialled(&machine.pass(Duration::from_secs(10))).contains(&id(9)));
}

#[test]
fn who_comes_by_takes_nobody_s_place_in_reserve() {
    let mut machine = with_neighbors(HyParViewConfig { passive_size: 2, ..config() }, 1);
    for number in [10, 11] {
        machine.run(|manager, _| manager.reserve(intro(number, LIFE).into()));
    }
    connect(&mut machine, 9);
    machine.down(instance(&spec(9), LIFE));
    assert!(!knows(&machine, 9) && knows(&machine, 10) && knows(&machine, 11));
}

#[test]
fn none_is_checked_where_none_is_to_be() {
    let mut machine = bereft(checking(0));
    assert!(shuffle(&mut machine).is_empty() && machine.manager.checks.is_none());
}

#[test]
fn who_is_wanted_while_it_is_checked_is_asked() {
    let mut machine = bereft(checking(16));
    let [node] = shuffle(&mut machine)[..] else { panic!() };
    let hints = intros([number_of(node)]);
    let output = hear(&mut machine, 2, disconnect(Parting::Evicted, hints));
    assert!(!dialled(&output).contains(&node), "that goes on");
    let output = answer(&mut machine, node);
    let [HyParViewMessage::Neighbor(request)] = told(&output, number_of(node))[..] else {
        panic!("{output:?}")
    };
    assert_eq!(request.wish, Wish::Low);
}

#[test]
fn half_may_die_and_nearly_all_of_the_dead_are_forgotten_within_twenty_shuffles() {
    let mut mesh = joined(80, &config());
    mesh.pass(Duration::from_secs(200));
    let lives = |node: &usize| node.is_multiple_of(2);
    (0..80).filter(|node| !lives(node)).for_each(|node| mesh.lose(node));
    mesh.pass(20 * config().shuffle_interval);
    let views = (0..80).filter(lives).map(|node| mesh.machines[node].manager.views());
    let entries: Vec<NodeId> = views.flat_map(|views| views.passive).collect();
    let dead = entries.iter().filter(|node| !lives(&number_among(**node, 80))).count();
    assert!(dead * 20 < entries.len(), "{dead} of {} entries", entries.len());
    assert_sound(&mesh);
}

fn number_among(node: NodeId, count: usize) -> usize {
    (0..count).find(|number| id(*number) == node).unwrap()
}
