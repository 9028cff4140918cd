//! Joins, the walks of joiners and of those who lack neighbours, crowds.

use super::*;
use crate::wire::Walk;

/// Whom the walks of these tests are about.
const WALKER: usize = 20;

fn walk(hops: u8, joins: bool) -> HyParViewMessage {
    HyParViewMessage::Walk(Box::new(Walk { node: intro(WALKER, LIFE), hops, joins }))
}

/// To whom a walk went on, with how many hops left.
fn onward(output: &Output) -> Option<(usize, u8)> {
    messages(output).into_iter().find_map(|(to, message)| match message {
        HyParViewMessage::Walk(walk) => Some((to, walk.hops)),
        _ => None,
    })
}

#[test]
fn a_walk_goes_on_or_ends_as_the_table_says() {
    let most = 2 * config().active_walk;
    for size in 1..=4_usize {
        for neighbors in 0..=size.min(3) {
            for hops in 0..=most {
                for joins in [true, false] {
                    check_walk((size, neighbors), hops, joins);
                }
            }
        }
    }
}

/// A walk comes from neighbour 1, or from a stranger where there is no neighbour.
fn check_walk((size, neighbors): (usize, usize), hops: u8, joins: bool) {
    let text = format!("{neighbors} neighbours of {size}, {hops} hops, {joins}");
    let mut machine = with_neighbors(sized(size), neighbors);
    if neighbors == 0 {
        connect(&mut machine, 1);
    }
    let output = hear(&mut machine, 1, walk(hops, joins));
    let room = neighbors < size;
    // Two hops at least lie between those who are to become neighbours for want of any.
    let early = !joins && room && hops + 2 <= 2 * config().active_walk;
    let goes_on = neighbors > 1 && hops > 0 && !early;
    let ends = !goes_on && (room || joins);
    match onward(&output) {
        Some((to, left)) => {
            assert!(goes_on, "{text}");
            assert_eq!(left, hops - 1, "{text}");
            assert!((2..=neighbors).contains(&to), "never back: {text}");
        }
        None => assert!(!goes_on, "{text}"),
    }
    assert_eq!(dialled(&output).contains(&id(WALKER)), ends, "{text}");
    let kept = goes_on && joins && hops == config().passive_walk;
    assert_eq!(knows(&machine, WALKER), kept, "{text}");
}

#[test]
fn a_walk_is_never_longer_than_anybody_may_send_it() {
    let mut machine = with_neighbors(sized(3), 3);
    let output = hear(&mut machine, 1, walk(u8::MAX, true));
    assert_eq!(onward(&output).map(|(_, hops)| hops), Some(11));
}

#[test]
fn a_walk_about_the_node_itself_or_a_neighbor_takes_nobody_in() {
    let mut machine = with_neighbors(sized(3), 2);
    let own = Walk { node: intro(0, LIFE), hops: 5, joins: true };
    let output = hear(&mut machine, 1, HyParViewMessage::Walk(Box::new(own)));
    assert_eq!((messages(&output).len(), dialled(&output).len()), (0, 0));
    let neighbor = Walk { node: intro(2, LIFE), hops: 0, joins: true };
    let output = hear(&mut machine, 1, HyParViewMessage::Walk(Box::new(neighbor)));
    assert_eq!((onward(&output), dialled(&output).len()), (None, 0));
    // The one that it is about is no way for it either.
    let output = hear(
        &mut machine,
        1,
        HyParViewMessage::Walk(Box::new(Walk { node: intro(2, LIFE), hops: 5, joins: true })),
    );
    assert_eq!(onward(&output), None);
}

#[test]
fn the_end_of_a_joiners_walk_takes_it_in_the_place_of_a_neighbor_who_may_ask_it() {
    let mut machine = with_neighbors(sized(2), 2);
    let output = hear(&mut machine, 1, walk(0, true));
    assert_eq!(dialled(&output), [id(WALKER)]);
    let output = connect(&mut machine, WALKER);
    assert!(matches!(told(&output, WALKER)[..], [HyParViewMessage::Neighbor(_)]));
    assert_eq!(machine.manager.views().active.len(), 2, "nobody goes before it agrees");
    let output = hear(&mut machine, WALKER, accept(0));
    assert!(is_neighbor(&machine, WALKER));
    let ends: Vec<_> = messages(&output)
        .into_iter()
        .filter_map(|(_, message)| match message {
            HyParViewMessage::Disconnect(end) => Some((end.why, end.hints[0].spec.id())),
            _ => None,
        })
        .collect();
    assert_eq!(ends, [(Parting::Evicted, id(WALKER))], "one, who is told whom to ask first");
}

fn join_request(machine: &mut Machine<HyParView>, number: usize) -> Output {
    connect(machine, number);
    hear(machine, number, request(Wish::Join, 0))
}

fn evictions(output: &Output) -> usize {
    let is = |message: &HyParViewMessage| matches!(message, HyParViewMessage::Disconnect(_));
    messages(output).into_iter().filter(|(_, message)| is(message)).count()
}

#[test]
fn a_contact_with_room_takes_the_joiner_and_sends_it_on_its_way_to_others() {
    let mut machine = with_neighbors(config(), 3);
    let output = join_request(&mut machine, 9);
    assert!(is_neighbor(&machine, 9));
    let walks: Vec<usize> = messages(&output)
        .into_iter()
        .filter(|(_, message)| matches!(message, HyParViewMessage::Walk(_)))
        .map(|(to, _)| to)
        .collect();
    assert_eq!(walks.len(), 2, "each walk gives it two neighbours, and one is here");
    assert!(walks.iter().all(|to| (1..=3).contains(to)), "the joiner itself is no way for it");
}

#[test]
fn a_full_contact_parts_with_one_neighbor_a_pause_at_most() {
    let mut machine = with_neighbors(config(), 5);
    let parted: usize = (10..20).map(|joiner| evictions(&join_request(&mut machine, joiner))).sum();
    assert_eq!((parted, machine.manager.views().active.len()), (1, 5));
    machine.now += config().eviction_pause;
    assert_eq!(evictions(&join_request(&mut machine, 20)), 1);
}

#[test]
fn in_a_crowd_joiners_are_told_of_each_other() {
    let mut machine = with_neighbors(config(), 5);
    let mut crowded = 0;
    for joiner in 10..200 {
        let output = join_request(&mut machine, joiner);
        for message in told(&output, joiner) {
            let HyParViewMessage::Decline(decline) = message else { continue };
            if decline.why == Declined::Crowded {
                crowded += 1;
                let others: Vec<NodeId> =
                    decline.exchange.iter().map(|node| node.spec.id()).collect();
                assert!(others.len() >= 15 && !others.contains(&id(joiner)));
                let came = |other: &NodeId| (10..joiner).any(|number| id(number) == *other);
                assert!(others.iter().all(came), "those who came before it");
            }
        }
    }
    assert!(crowded > 150, "all but the first sixteen: {crowded}");
    machine.pass(Duration::from_secs(25));
    assert!(machine.manager.crowd.is_none(), "a crowd that has gone is forgotten");
}

/// A node that joined in a crowd and was told of others: 1 and those after it.
fn told_of_a_crowd(others: usize) -> (Machine<HyParView>, Output) {
    let mut machine = newborn(0, config());
    machine.start();
    machine.command(1, Command::Join(Contact::from(&*spec(50))));
    machine.up(&spec(50), LIFE, ConnectionId::accepted(50), Some(ContactId(0)));
    let exchange = intros(1..=others);
    let decline = NeighborDecline { why: Declined::Crowded, exchange };
    let output = hear(&mut machine, 50, HyParViewMessage::Decline(decline.into()));
    (machine, output)
}

/// The numbers of those who are dialled by a step.
fn sought(output: &Output) -> Vec<usize> {
    let number = |node: &NodeId| (0..=50).find(|number| id(*number) == *node).unwrap();
    dialled(output).iter().map(number).collect()
}

fn wish(output: &Output, number: usize) -> Option<Wish> {
    told(output, number).into_iter().find_map(|message| match message {
        HyParViewMessage::Neighbor(request) => Some(request.wish),
        _ => None,
    })
}

#[test]
fn one_of_a_crowd_is_placed_in_the_midst_of_links_and_asks_nobody_for_a_single_place() {
    let (mut machine, output) = told_of_a_crowd(16);
    let asked = sought(&output);
    assert_eq!(asked.len(), 2, "each brings another, and the fifth place is one alone");
    for number in asked {
        assert_eq!(wish(&connect(&mut machine, number), number), Some(Wish::High));
        assert_eq!(sought(&hear(&mut machine, number, accept(0))), []);
    }
    // Those who had to make room for it ask it.
    for number in [17, 18] {
        befriend(&mut machine, number);
    }
    assert_eq!(machine.manager.views().active.len(), 4);
    let output = machine.pass(config().promotion_interval / 5);
    assert!(onward(&output).is_some() && sought(&output).is_empty(), "a walk looks for the last");
}

#[test]
fn one_of_a_crowd_that_has_waited_in_vain_asks_as_others_do() {
    let (mut machine, output) = told_of_a_crowd(16);
    for number in sought(&output) {
        connect(&mut machine, number);
        hear(&mut machine, number, accept(0));
    }
    befriend(&mut machine, 17);
    befriend(&mut machine, 18);
    let mut output = machine.pass(config().promotion_interval / 5);
    let longest = config().promotion_interval * 12;
    let deadline = machine.now + longest;
    while sought(&output).is_empty() {
        assert!(machine.now < deadline, "nobody is asked");
        output = machine.pass(Duration::from_secs(1));
    }
    let number = sought(&output)[0];
    assert_eq!(wish(&connect(&mut machine, number), number), Some(Wish::Low));
}

#[test]
fn one_of_a_crowd_that_loses_a_neighbor_asks_others_at_once() {
    let (mut machine, output) = told_of_a_crowd(16);
    let asked = sought(&output);
    for number in &asked {
        connect(&mut machine, *number);
        hear(&mut machine, *number, accept(0));
    }
    befriend(&mut machine, 17);
    befriend(&mut machine, 18);
    let output = machine.down(instance(&spec(asked[0]), LIFE));
    assert!(!sought(&output).is_empty());
}

#[test]
fn one_of_a_crowd_that_has_one_place_alone_is_no_less_let_in() {
    let mut machine = newborn(0, sized(1));
    machine.start();
    machine.command(1, Command::Join(Contact::from(&*spec(50))));
    machine.up(&spec(50), LIFE, ConnectionId::accepted(50), Some(ContactId(0)));
    let decline = NeighborDecline { why: Declined::Crowded, exchange: intros(1..=3) };
    let output = hear(&mut machine, 50, HyParViewMessage::Decline(decline.into()));
    let number = sought(&output)[0];
    assert_eq!(wish(&connect(&mut machine, number), number), Some(Wish::High));
}

#[test]
fn two_that_join_each_other_at_once_have_one_link() {
    let mut mesh = strangers(2, &config());
    mesh.join(0, 1);
    mesh.join(1, 0);
    mesh.settle();
    assert_eq!(neighbors_of(&mesh, 0), [1]);
    mesh.pass(Duration::from_secs(30));
    assert_at_rest(&mesh);
    mesh.join(0, 1);
    mesh.pass(Duration::from_secs(30));
    assert_at_rest(&mesh);
}

#[test]
fn nodes_that_join_one_after_the_other_are_one_overlay_of_full_views() {
    let mesh = joined(40, &config());
    assert_sound(&mesh);
    assert_at_rest(&mesh);
    assert_eq!(component(&mesh, 0).len(), 40);
    let full = (0..40).filter(|node| neighbors_of(&mesh, *node).len() == 5).count();
    assert!(full >= 38, "{full} of 40 have all their neighbours");
    assert!((0..40).all(|node| neighbors_of(&mesh, node).len() >= 4));
}

#[test]
fn nodes_that_join_one_contact_at_once_are_one_overlay() {
    let mut mesh = strangers(60, &config());
    (1..60).for_each(|node| mesh.join(node, 0));
    mesh.pass(Duration::from_secs(100));
    assert_sound(&mesh);
    assert_eq!(component(&mesh, 0).len(), 60);
    assert!((0..60).all(|node| neighbors_of(&mesh, node).len() >= 4));
}

#[test]
fn few_nodes_are_all_each_others_neighbors() {
    let mesh = joined(6, &config());
    for node in 0..6 {
        assert_eq!(neighbors_of(&mesh, node).len(), 5, "node {node}");
    }
    assert_at_rest(&mesh);
}

/// The walks of a join may bring so many neighbours that nobody else is asked: the join goes on all
/// the same.
#[test]
fn a_contact_that_sent_on_who_has_neighbors_is_asked_again() {
    let size = config().active_size;
    let mut machine = with_neighbors(config(), size);
    machine.command(1, Command::Join(Contact::from(&*spec(50))));
    machine.up(&spec(50), LIFE, ConnectionId::accepted(50), Some(ContactId(0)));
    hear(&mut machine, 50, decline(Declined::Placed));
    assert_eq!(machine.manager.joining.len(), 1);
    let output = machine.pass(config().promotion_interval / 5);
    let again = output.changes.iter().find_map(|change| match change {
        Change::DialContact { contact, .. } => Some(*contact),
        _ => None,
    });
    assert!(again.is_some(), "{:?}", output.changes);
    machine.up(&spec(50), LIFE, ConnectionId::accepted(50), again);
    hear(&mut machine, 50, accept(0));
    assert_eq!((machine.manager.joining.len(), is_neighbor(&machine, 50)), (0, true));
}
