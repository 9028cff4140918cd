//! Filling the active view.

use super::*;
use alloc::vec;

fn reserve(machine: &mut Machine<HyParView>, numbers: impl IntoIterator<Item = usize>) {
    for number in numbers {
        machine.run(|manager, _| manager.reserve(intro(number, LIFE).into()));
    }
}

fn unreachable(machine: &mut Machine<HyParView>, node: NodeId) -> Output {
    let error = crate::notification::DialError::Open(crate::error::OpenError::Unreachable);
    machine.change(Change::ProbeFailed { node, error })
}

/// A node that lost its only neighbour, and whom it asks instead.
fn bereft(passive: usize) -> (Machine<HyParView>, Vec<NodeId>) {
    let mut machine = with_neighbors(config(), 1);
    reserve(&mut machine, 10..10 + passive);
    let output = machine.down(instance(&spec(1), LIFE));
    let asked = dialled(&output);
    (machine, asked)
}

#[test]
fn a_loss_is_answered_at_once_by_asking_a_few() {
    let (machine, asked) = bereft(10);
    assert_eq!(asked.len(), config().parallel_requests);
    assert!(!is_neighbor(&machine, 1) && knows(&machine, 1));
}

#[test]
fn who_is_found_and_lost_again_is_asked_again_only_in_the_next_search() {
    let mut machine = with_neighbors(config(), 1);
    let lost = instance(&spec(1), LIFE);
    let output = machine.down(lost);
    assert_eq!(dialled(&output), [id(1)], "there is nobody else");
    connect(&mut machine, 1);
    hear(&mut machine, 1, accept(0));
    assert!(is_neighbor(&machine, 1));
    let output = machine.down(lost);
    assert_eq!(dialled(&output), []);
    let output = machine.pass(2 * config().promotion_interval);
    assert_eq!(dialled(&output), [id(1)]);
}

#[test]
fn who_parts_on_purpose_is_not_asked_at_once() {
    for reason in [CloseReason::Requested, CloseReason::Stopped, CloseReason::NotWanted] {
        let mut machine = with_neighbors(config(), 1);
        let output = machine.down_for(instance(&spec(1), LIFE), reason);
        assert_eq!(dialled(&output), []);
        let output = machine.pass(2 * config().promotion_interval);
        assert_eq!(dialled(&output), [id(1)]);
    }
}

#[test]
fn one_with_another_manager_is_forgotten() {
    let mut machine = with_neighbors(config(), 1);
    let output = machine.down_for(instance(&spec(1), LIFE), CloseReason::OTHER_MANAGER);
    assert_eq!(dialled(&output), []);
    assert!(!knows(&machine, 1));
    let output = machine.pass(2 * config().promotion_interval);
    assert_eq!(dialled(&output), []);
}

#[test]
fn no_more_are_asked_than_are_missing() {
    let mut machine = with_neighbors(config(), 5);
    reserve(&mut machine, 10..20);
    let output = machine.down(instance(&spec(3), LIFE));
    assert_eq!(dialled(&output).len(), 1);
}

#[test]
fn who_cannot_be_reached_is_in_reserve_no_more_and_another_is_asked() {
    let (mut machine, asked) = bereft(10);
    let output = unreachable(&mut machine, asked[0]);
    assert!(!machine.manager.views().passive.contains(&asked[0]));
    assert_eq!(machine.manager.book.lost(), 1, "it is remembered: a partition may have been why");
    let [next] = dialled(&output)[..] else { panic!() };
    assert!(!asked.contains(&next));
}

#[test]
fn who_declines_stays_in_reserve_and_another_is_asked() {
    let (mut machine, asked) = bereft(10);
    let first = (10..20).find(|number| id(*number) == asked[0]).unwrap();
    connect(&mut machine, first);
    let output = hear(&mut machine, first, decline(Declined::Full));
    assert!(knows(&machine, first));
    assert_eq!(released(&output), [asked[0]]);
    let [next] = dialled(&output)[..] else { panic!() };
    assert!(!asked.contains(&next), "nobody is asked twice in one search");
}

#[test]
fn who_is_alone_goes_on_to_its_address_book_and_then_to_its_contacts() {
    let mut machine = newborn(0, config());
    machine.start();
    let contact = Contact::from(&*spec(50));
    machine.command(1, Command::Join(contact.clone()));
    machine.up(&spec(50), LIFE, ConnectionId::accepted(50), Some(ContactId(0)));
    hear(&mut machine, 50, accept(0));
    assert!(is_neighbor(&machine, 50));
    machine.manager.book.remember(intro(30, LIFE).into());
    let output = machine.down(instance(&spec(50), LIFE));
    assert!(dialled(&output).contains(&id(30)), "{:?}", dialled(&output));
    let mut recalled = false;
    for node in [30, 50] {
        unreachable(&mut machine, id(node));
    }
    for _ in 0..8 {
        let output = machine.pass(Duration::from_secs(10));
        recalled |= output.changes.iter().any(
            |change| matches!(change, Change::DialContact { target, .. } if *target == contact),
        );
        dialled(&output).into_iter().for_each(|node| drop(unreachable(&mut machine, node)));
    }
    assert!(recalled, "nobody else can be reached");
}

#[test]
fn a_search_in_vain_is_repeated_ever_less_often() {
    let mut machine = with_neighbors(config(), 1);
    reserve(&mut machine, 10..12);
    let mut asked = Vec::new();
    for _ in 0..300 {
        let output = machine.pass(Duration::from_secs(1));
        let now = dialled(&output);
        asked.extend(now.iter().map(|_| machine.now));
        for node in now {
            let number = (10..12).find(|number| id(*number) == node).unwrap();
            connect(&mut machine, number);
            hear(&mut machine, number, decline(Declined::Full));
        }
    }
    let (early, late) = (Instant::from_secs(30), Instant::from_secs(200));
    let before = asked.iter().filter(|at| **at < early).count();
    let after = asked.iter().filter(|at| **at >= late).count();
    assert!(before >= 4 && after >= 2, "{before} and {after}: never given up");
    // Every 40 s at the latest, two each time.
    assert!(after <= 2 * 100 / 20, "{after} in the last 100 s");
}

/// The time to look for neighbours comes, and whoever is asked declines: how they were asked, and
/// whether a walk was sent, and whether that lets the node be placed.
fn look(machine: &mut Machine<HyParView>, known: usize) -> (Vec<Wish>, Option<bool>) {
    reserve(machine, [known]);
    let output = machine.fire(Timer::Promote);
    let walk = messages(&output).into_iter().find_map(|(_, message)| match message {
        HyParViewMessage::Walk(walk) => Some(walk.joins),
        _ => None,
    });
    let mut wishes = Vec::new();
    for number in (1..20).filter(|number| dialled(&output).contains(&id(*number))) {
        for (_, message) in messages(&connect(machine, number)) {
            if let HyParViewMessage::Neighbor(request) = message {
                wishes.push(request.wish);
            }
        }
        hear(machine, number, decline(Declined::Full));
        machine.manager.passive.remove(id(number));
    }
    (wishes, walk)
}

#[test]
fn who_lacks_two_is_placed_by_its_second_walk_and_asks_with_high_priority_at_last() {
    let looks = |neighbors: usize| {
        let mut machine = with_neighbors(config(), neighbors);
        [10, 11, 12, 13].map(|known| look(&mut machine, known))
    };
    let (low, high) = (vec![Wish::Low], vec![Wish::High]);
    assert_eq!(looks(5), [(); 4].map(|()| (vec![], None)), "nobody is missing");
    assert_eq!(looks(4), [(); 4].map(|()| (low.clone(), Some(false))));
    let placed = Some(true);
    let expected =
        [(low.clone(), Some(false)), (low, placed), (high.clone(), placed), (high, placed)];
    assert_eq!(looks(3), expected);
    assert_eq!(looks(1), expected);
}

#[test]
fn only_one_is_asked_with_high_priority_by_who_lacks_two() {
    let mut machine = with_neighbors(config(), 3);
    look(&mut machine, 9);
    look(&mut machine, 10);
    reserve(&mut machine, [11, 12]);
    machine.fire(Timer::Promote);
    let mut wish = |number| {
        let output = connect(&mut machine, number);
        let [HyParViewMessage::Neighbor(request)] = told(&output, number)[..] else { panic!() };
        request.wish
    };
    assert_eq!([wish(11), wish(12)], [Wish::High, Wish::Low], "the other place is for who goes");
}

#[test]
fn a_few_that_have_each_other_alone_break_out() {
    let mut mesh = strangers(8, &sized(3));
    for first in [0, 4] {
        (first + 1..first + 4).for_each(|node| mesh.join(node, first));
        mesh.pass(Duration::from_secs(20));
    }
    assert_eq!((component(&mesh, 0), component(&mesh, 4)), (vec![0, 1, 2, 3], vec![4, 5, 6, 7]));
    mesh.pass(Duration::from_secs(200));
    assert_eq!(component(&mesh, 0).len(), 4, "they know nobody else");
    mesh.run(0, |manager, _| manager.reserve(intro(6, LIFE).into()));
    mesh.pass(Duration::from_secs(100));
    assert_eq!(component(&mesh, 0).len(), 8);
    assert_at_rest(&mesh);
}

#[test]
fn nobody_is_asked_by_a_node_that_stops() {
    let mut machine = with_neighbors(config(), 2);
    reserve(&mut machine, 10..20);
    assert!(!dialled(&machine.fire(Timer::Promote)).is_empty());
    machine.me.stopping = true;
    machine.change(Change::Stopping);
    let output = machine.down(instance(&spec(1), LIFE));
    assert!(dialled(&output).is_empty());
    machine.down(instance(&spec(2), LIFE));
    assert_eq!(machine.timers.next(), None, "no timer outlives the node");
}

#[test]
fn most_may_die_at_once_and_the_others_find_each_other() {
    let mut mesh = joined(40, &config());
    mesh.pass(Duration::from_secs(100));
    for node in (0..40).filter(|node| node % 5 != 0) {
        mesh.lose(node);
    }
    mesh.pass(Duration::from_secs(120));
    assert_at_rest(&mesh);
    assert_eq!(component(&mesh, 0), [0, 5, 10, 15, 20, 25, 30, 35]);
}

#[test]
fn parts_that_lost_each_other_find_each_other_again() {
    let config = HyParViewConfig { remembered: 50, ..config() };
    let mut mesh = joined(16, &config);
    mesh.pass(Duration::from_secs(100));
    // Half of them are out of reach of the others, and of each other.
    (8..16).for_each(|node| mesh.lose(node));
    mesh.pass(Duration::from_secs(300));
    assert_eq!(component(&mesh, 0).len(), 8);
    mesh.cut.clear();
    mesh.pass(Duration::from_secs(400));
    assert_eq!(component(&mesh, 0).len(), 16);
    assert_at_rest(&mesh);
}

/// Who has neighbours for a moment only, and loses them all together, must find the others: it knew
/// nobody when it came, and nobody who is left may look for it.
#[test]
fn a_newcomer_outlives_the_death_of_all_its_neighbours_at_once() {
    for newcomer in 8..24 {
        let mut mesh = strangers(newcomer + 1, &config());
        for node in 1..newcomer {
            mesh.join(node, node - 1);
            mesh.pass(Duration::from_millis(50));
        }
        mesh.join(newcomer, newcomer - 1);
        mesh.pass(Duration::from_millis(50));
        let neighbors = neighbors_of(&mesh, newcomer);
        assert!(!neighbors.is_empty(), "node {newcomer} is in");
        neighbors.into_iter().for_each(|node| mesh.lose(node));
        mesh.lose(newcomer - 1);
        mesh.pass(config().shuffle_interval / 2);
        let found = component(&mesh, newcomer);
        assert!(found.len() > 1, "node {newcomer} is lost");
    }
}

/// Everybody has just joined, through the one before: who lost all of its neighbours together must
/// know somebody else.
#[test]
fn who_joined_a_moment_ago_knows_others_than_its_neighbours() {
    const NODES: usize = 40;
    let mut mesh = strangers(NODES, &config());
    for node in 1..NODES {
        mesh.join(node, node - 1);
        // It is in, and its walks are still on their way.
        (0..2).for_each(|_| mesh.hop());
    }
    mesh.settle();
    for (node, machine) in mesh.machines.iter().enumerate().skip(10) {
        let views = machine.manager.views();
        assert!(views.passive.len() >= 3, "node {node}: {views:?}");
    }
}
