//! The two views, the address book, and what is told of them.

use super::*;
use crate::wire::Shuffle;
use book::Book;
use passive::{Known, Sent};

fn known(number: usize) -> Known {
    intro(number, LIFE).into()
}

/// Nodes are heard of by a shuffle that ends here.
fn tell_of(
    machine: &mut Machine<HyParView>,
    from: usize,
    numbers: impl IntoIterator<Item = usize>,
) {
    let path = Bounded::from_first([id(from)]);
    let shuffle = Shuffle { number: 1, hops: 1, path, nodes: intros(numbers) };
    hear(machine, from, HyParViewMessage::Shuffle(Box::new(shuffle)));
}

#[test]
fn neither_the_node_itself_nor_a_neighbor_is_in_reserve() {
    let mut machine = with_neighbors(config(), 2);
    tell_of(&mut machine, 1, [0, 1, 2, 3]);
    assert_eq!(machine.manager.views().passive, [id(3)]);
}

#[test]
fn the_passive_view_keeps_its_size_and_the_book_what_falls_out_of_it() {
    let config = HyParViewConfig { passive_size: 5, remembered: 7, ..config() };
    let mut machine = with_neighbors(config, 1);
    for first in (10..250).step_by(10) {
        tell_of(&mut machine, 1, first..first + 10);
        assert!(machine.manager.views().passive.len() <= 5 && machine.manager.book.len() <= 7);
    }
    assert_eq!((machine.manager.views().passive.len(), machine.manager.book.len()), (5, 7));
}

#[test]
fn members_are_the_node_and_its_neighbors() {
    let mut machine = with_neighbors(config(), 2);
    tell_of(&mut machine, 1, [3]);
    assert_eq!(machine.names(), ["n000", "n001", "n002"]);
    let member = |number| machine.manager.member(id(number)).map(|member| member.spec.id());
    assert_eq!([0, 1, 3].map(member), [Some(id(0)), Some(id(1)), None]);
}

#[test]
fn who_comes_and_who_goes_is_told_in_turns() {
    let mut machine = newborn(0, config());
    machine.start();
    connect(&mut machine, 1);
    let joins = |output: &Output| {
        let joined = |note: &&Notification| matches!(note, Notification::MemberJoined { .. });
        output.notifications().into_iter().filter(joined).count()
    };
    let leaves = |output: &Output| {
        let left = |note: &&Notification| matches!(note, Notification::MemberLeft { .. });
        output.notifications().into_iter().filter(left).count()
    };
    let output = hear(&mut machine, 1, request(Wish::Low, 0));
    assert_eq!((joins(&output), leaves(&output)), (1, 0));
    let output = hear(&mut machine, 1, request(Wish::High, 0));
    assert_eq!((joins(&output), leaves(&output)), (0, 0), "it is one already");
    let output = hear(&mut machine, 1, disconnect(Parting::Evicted, Bounded::default()));
    assert_eq!((joins(&output), leaves(&output)), (0, 1));
    let output = machine.down(instance(&spec(1), LIFE));
    assert_eq!((joins(&output), leaves(&output)), (0, 0), "it is none already");
}

#[test]
fn those_in_doubt_go_first_and_are_told_to_nobody() {
    let mut random = Random::fork(&[1; 32], "test");
    let mut passive = Passive::new(4);
    (1..=4).for_each(|number| drop(passive.insert(known(number), &Sent::default(), &mut random)));
    passive.suspect(id(2));
    assert!(passive.sample(&mut random, 9, |_| true).iter().all(|known| known.node != id(2)));
    let evicted =
        passive.insert(known(5), &Vec::from([id(1)]).into(), &mut random).expect("it was full");
    assert_eq!((evicted.known.node, evicted.suspect), (id(2), true));
    let evicted =
        passive.insert(known(6), &Vec::from([id(1)]).into(), &mut random).expect("it was full");
    assert_eq!(evicted.known.node, id(1), "then those that the other side has now");
}

#[test]
fn a_later_life_takes_the_place_of_an_earlier_one_in_reserve() {
    let mut random = Random::fork(&[1; 32], "test");
    let mut passive = Passive::new(4);
    for incarnation in [5, 7, 6] {
        drop(passive.insert(intro(1, incarnation).into(), &Sent::default(), &mut random));
    }
    assert_eq!(passive.get(id(1)).map(|known| known.incarnation), Some(Incarnation(7)));
}

#[test]
fn every_node_in_reserve_is_sampled_alike() {
    let mut random = Random::fork(&[1; 32], "test");
    let mut passive = Passive::new(20);
    (1..=20).for_each(|number| drop(passive.insert(known(number), &Sent::default(), &mut random)));
    let mut counts = [0_u32; 20];
    for _ in 0..2_000 {
        for known in passive.sample(&mut random, 4, |_| true) {
            let number = (1..=20).find(|number| id(*number) == known.node).unwrap();
            counts[number - 1] += 1;
        }
    }
    // 400 each; chi-square with 19 degrees of freedom is above 44 once in a thousand times.
    let square = |count: &u32| (f64::from(*count) - 400.0) * (f64::from(*count) - 400.0) / 400.0;
    let distance: f64 = counts.iter().map(square).sum();
    assert!(distance < 44.0, "{counts:?}");
}

#[test]
fn those_who_could_not_be_reached_have_a_quarter_of_the_book_and_come_last() {
    let mut book = Book::new(8);
    (1..=8).for_each(|number| book.lose(known(number)));
    (11..=18).for_each(|number| book.remember(known(number)));
    assert_eq!((book.len(), book.lost()), (8, 2));
    assert_eq!(book.take_best().map(|known| known.node), Some(id(18)), "the newest");
    book.remember(known(8));
    assert_eq!(book.lost(), 2, "hearsay of one that could not be reached counts for nothing");
    book.heard_of(id(8), Incarnation(LIFE + 1));
    assert_eq!(book.lost(), 1, "a later life is why");
}

#[test]
fn equal_views_have_equal_fingerprints() {
    let machines = [0, 0, 1].map(|more| {
        let machine = with_neighbors(config(), 2 + more);
        machine.manager.fingerprint()
    });
    assert_eq!(machines[0], machines[1]);
    assert_ne!(machines[0], machines[2]);
}
