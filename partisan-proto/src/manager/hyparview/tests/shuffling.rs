//! Exchanges of samples of the views.

use super::*;
use crate::wire::{Shuffle, ShuffleReply};
use alloc::vec;

fn shuffle(hops: u8, path: &[usize], nodes: Introductions) -> HyParViewMessage {
    let path = Bounded::from_first(path.iter().map(|number| id(*number)));
    HyParViewMessage::Shuffle(Box::new(Shuffle { number: 7, hops, path, nodes }))
}

fn shuffles(output: &Output) -> Vec<(usize, Shuffle)> {
    let of = |(to, message): (usize, &HyParViewMessage)| match message {
        HyParViewMessage::Shuffle(shuffle) => Some((to, (**shuffle).clone())),
        _ => None,
    };
    messages(output).into_iter().filter_map(of).collect()
}

fn replies(output: &Output) -> Vec<(usize, ShuffleReply)> {
    let of = |(to, message): (usize, &HyParViewMessage)| match message {
        HyParViewMessage::ShuffleReply(reply) => Some((to, (**reply).clone())),
        _ => None,
    };
    messages(output).into_iter().filter_map(of).collect()
}

fn reserve(machine: &mut Machine<HyParView>, numbers: impl IntoIterator<Item = usize>) {
    for number in numbers {
        machine.run(|manager, _| manager.reserve(intro(number, LIFE).into()));
    }
}

fn ids(nodes: &[Introduction]) -> Vec<NodeId> {
    nodes.iter().map(|node| node.spec.id()).collect()
}

#[test]
fn a_shuffle_names_its_origin_three_neighbors_and_four_of_the_passive_view() {
    let mut machine = with_neighbors(config(), 5);
    reserve(&mut machine, 10..30);
    let output = machine.fire(Timer::Shuffle);
    let [(to, shuffle)] = &shuffles(&output)[..] else { panic!() };
    let named = ids(&shuffle.nodes);
    let (manager, among) =
        (&machine.manager, |node: &&NodeId| machine.manager.peers.is_active(**node));
    assert_eq!((named.len(), named[0]), (8, manager.me));
    assert_eq!(named.iter().filter(among).count(), 3);
    assert!(!named.contains(&id(*to)), "whoever is sent it knows itself");
    assert_eq!((shuffle.hops, &shuffle.path[..]), (6, &[manager.me][..]));
    assert!(machine.timers.due(Timer::Shuffle).is_some(), "and again after a while");
}

#[test]
fn a_node_without_neighbors_sends_none() {
    let mut machine = newborn(0, config());
    machine.start();
    let output = machine.fire(Timer::Shuffle);
    assert!(messages(&output).is_empty() && machine.timers.due(Timer::Shuffle).is_some());
}

#[test]
fn who_was_alone_shuffles_as_soon_as_it_has_a_neighbor_and_not_with_each_further_one() {
    let mut machine = newborn(0, config());
    machine.start();
    let regular = machine.timers.due(Timer::Shuffle);
    for _ in 0..2 {
        connect(&mut machine, 1);
        let output = hear(&mut machine, 1, request(Wish::Low, 0));
        let [HyParViewMessage::Accept(_), HyParViewMessage::Shuffle(sent)] = &told(&output, 1)[..]
        else {
            panic!("the other side must know of the link by then")
        };
        assert_eq!(ids(&sent.nodes), [id(0)]);
        connect(&mut machine, 2);
        let output = hear(&mut machine, 2, request(Wish::Low, 0));
        assert!(shuffles(&output).is_empty());
        machine.down(instance(&spec(1), LIFE));
        machine.down(instance(&spec(2), LIFE));
    }
    assert_eq!(machine.timers.due(Timer::Shuffle), regular, "the regular ones are as they were");
}

#[test]
fn a_shuffle_goes_on_with_its_origin_where_it_has_not_been() {
    let mut machine = with_neighbors(config(), 4);
    for _ in 0..20 {
        let output = hear(&mut machine, 1, shuffle(5, &[9, 2, 1], intros([9, 8])));
        let [(to, onward)] = &shuffles(&output)[..] else { panic!() };
        assert!([3, 4].contains(to), "{to}");
        assert_eq!((onward.hops, onward.number), (4, 7));
        assert_eq!(onward.path[..], [9, 2, 1, 0].map(id));
        assert_eq!(ids(&onward.nodes), [9, 8].map(id), "as it was");
    }
    assert!(!knows(&machine, 8), "nobody on the way takes anything");
    // Where it has been everywhere, anywhere but back and home.
    let output = hear(&mut machine, 1, shuffle(5, &[2, 3, 4, 1], intros([9])));
    assert!(matches!(shuffles(&output)[..], [(3 | 4, _)]));
}

#[test]
fn a_shuffle_ends_after_its_hops_or_where_it_cannot_go_on() {
    for (neighbors, hops) in [(3, 1), (3, 0), (1, 6)] {
        let mut machine = with_neighbors(config(), neighbors);
        let output = hear(&mut machine, 1, shuffle(hops, &[9, 1], intros([9, 8])));
        assert!(shuffles(&output).is_empty());
        assert!(knows(&machine, 8) && knows(&machine, 9));
    }
    let mut machine = with_neighbors(config(), 3);
    let output = hear(&mut machine, 1, shuffle(u8::MAX, &[9, 1], intros([9])));
    assert_eq!(shuffles(&output)[0].1.hops, 5, "nobody sends it further than that");
}

#[test]
fn a_shuffle_that_comes_back_to_its_origin_is_at_its_end() {
    let mut machine = with_neighbors(config(), 3);
    let output = hear(&mut machine, 1, shuffle(3, &[0, 2, 1], intros([0, 8])));
    assert!(messages(&output).is_empty() && !knows(&machine, 8));
}

#[test]
fn as_many_go_back_as_came_and_the_way_they_came() {
    let mut machine = with_neighbors(config(), 4);
    reserve(&mut machine, [20, 21]);
    let output = hear(&mut machine, 1, shuffle(1, &[9, 8, 1], intros([9, 30, 31, 32, 33])));
    let [(to, reply)] = &replies(&output)[..] else { panic!() };
    assert_eq!((*to, reply.number, &reply.path[..]), (1, 7, &[9, 8].map(id)[..]));
    let named = ids(&reply.nodes);
    assert_eq!(named.len(), 5, "of the passive view, and else neighbours");
    assert!(named.contains(&id(20)) && named.contains(&id(21)) && !named.contains(&id(9)));
    assert!([9, 30, 31, 32, 33].into_iter().all(|number| knows(&machine, number)));
}

#[test]
fn a_reply_takes_the_shortest_way_that_is_left() {
    let mut machine = with_neighbors(config(), 4);
    let reply = |path: &[usize]| {
        let path = Bounded::from_first(path.iter().map(|number| id(*number)));
        let reply = ShuffleReply { number: 1, path, nodes: intros([30]) };
        HyParViewMessage::ShuffleReply(Box::new(reply))
    };
    let output = hear(&mut machine, 1, reply(&[9, 3, 2]));
    let [(to, onward)] = &replies(&output)[..] else { panic!() };
    assert_eq!((*to, &onward.path[..]), (3, &[id(9)][..]), "node 2 need not be asked");
    let output = hear(&mut machine, 1, reply(&[9, 8]));
    assert!(messages(&output).is_empty(), "there is no way left");
    assert!(!knows(&machine, 30), "it is not for those on the way");
    hear(&mut machine, 1, reply(&[]));
    assert!(knows(&machine, 30));
}

#[test]
fn what_was_sent_makes_room_for_what_it_was_exchanged_for() {
    let config = HyParViewConfig { passive_size: 6, ..config() };
    let mut machine = with_neighbors(config, 2);
    reserve(&mut machine, 10..16);
    let output = machine.fire(Timer::Shuffle);
    let [(_, sent)] = &shuffles(&output)[..] else { panic!() };
    let named = ids(&sent.nodes);
    let reply =
        ShuffleReply { number: sent.number, path: Bounded::default(), nodes: intros(40..44) };
    let kept: Vec<usize> = (10..16).filter(|number| !named.contains(&id(*number))).collect();
    hear(&mut machine, 1, HyParViewMessage::ShuffleReply(Box::new(reply)));
    let expected: Vec<usize> = kept.into_iter().chain(40..44).collect();
    assert_eq!(expected.len(), 6);
    assert!(expected.into_iter().all(|number| knows(&machine, number)));
}

#[test]
fn who_becomes_a_neighbor_is_told_of_no_others_and_who_does_not_is() {
    let mut machine = with_neighbors(sized(4), 4);
    reserve(&mut machine, [10]);
    let named = |machine: &mut Machine<HyParView>, number, wish| {
        connect(machine, number);
        let output = hear(machine, number, request(wish, 0));
        match told(&output, number)[0] {
            HyParViewMessage::Accept(accept) => ids(&accept.exchange),
            HyParViewMessage::Decline(decline) => ids(&decline.exchange),
            other => panic!("{other:?}"),
        }
    };
    let declined = named(&mut machine, 8, Wish::Low);
    let neighbors = declined.iter().filter(|node| machine.manager.peers.is_active(**node));
    assert_eq!((declined.len(), neighbors.count()), (4, 3));
    let accepted = named(&mut machine, 9, Wish::High);
    let neighbors = accepted.iter().filter(|node| machine.manager.peers.is_active(**node));
    assert_eq!(neighbors.count(), 0, "links to them would close triangles");
    assert!(accepted.contains(&id(10)));
}

#[test]
fn in_time_everybody_has_heard_of_everybody() {
    let mesh = {
        let mut mesh = joined(20, &config());
        mesh.pass(Duration::from_secs(600));
        mesh
    };
    for (number, machine) in mesh.machines.iter().enumerate() {
        let views = machine.manager.views();
        assert_eq!(views.active.len() + views.passive.len(), 19, "node {number}");
    }
    assert_at_rest(&mesh);
}

#[test]
fn whatever_specs_are_told_of_fits_into_a_frame() {
    use crate::spec::{Address, Host};
    let long = |number: u16| {
        let host = |byte: u16| Host::Name(format!("{}{number}.{byte}", "h".repeat(200)).into());
        let addresses = (0..8).map(|byte| Address { host: host(byte), port: 1 }).collect();
        let name = crate::id::NodeName::new(&format!("{}{number}", "n".repeat(100))).unwrap();
        NodeSpec::new(name, addresses, &crate::config::Channels::default(), vec![])
    };
    let Ok(spec) = long(0) else { return assert!(long(0).is_ok()) };
    let of = |_: u16| Introduction { incarnation: Incarnation(1), spec: spec.clone().into() };
    let few = shuffle::introductions((0..1_000).map(of));
    let message = HyParViewMessage::Decline(Box::new(NeighborDecline {
        why: Declined::Full,
        exchange: few.clone(),
    }));
    let mut frame = Vec::new();
    let control = ControlMessage::HyParView(message);
    crate::wire::encode(&crate::wire::Frame::Control(control), &mut frame);
    assert!(few.len() > 4 && frame.len() <= crate::wire::MAX_CONTROL_FRAME as usize);
}
