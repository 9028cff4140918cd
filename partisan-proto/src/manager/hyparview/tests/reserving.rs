//! Places in the active view that are kept for peers with a tag.

use super::*;
use crate::config::Channels;
use crate::id::Tag;
use alloc::vec;

fn tag() -> Tag {
    Tag::new("backbone").unwrap()
}

fn tagged(number: usize) -> Arc<NodeSpec> {
    let plain = spec(number);
    let addresses = plain.addresses().to_vec();
    let tags = vec![tag()];
    Arc::new(NodeSpec::new(plain.name().clone(), addresses, &Channels::default(), tags).unwrap())
}

fn reserving(active_size: usize, places: usize) -> HyParViewConfig {
    HyParViewConfig { reservations: [(tag(), places)].into(), ..sized(active_size) }
}

fn befriend_tagged(machine: &mut Machine<HyParView>, number: usize, wish: Wish) -> Output {
    machine.up(&tagged(number), LIFE, ConnectionId::accepted(number as u64), None);
    hear(machine, number, request(wish, 0))
}

fn ask_plain(machine: &mut Machine<HyParView>, number: usize, wish: Wish) -> Output {
    connect(machine, number);
    hear(machine, number, request(wish, 0))
}

#[test]
fn kept_places_are_no_room_for_others() {
    let mut machine = with_neighbors(reserving(3, 2), 1);
    ask_plain(&mut machine, 2, Wish::Low);
    assert!(!is_neighbor(&machine, 2));
    befriend_tagged(&mut machine, 5, Wish::Low);
    befriend_tagged(&mut machine, 6, Wish::Low);
    assert!(is_neighbor(&machine, 5) && is_neighbor(&machine, 6));
    befriend_tagged(&mut machine, 7, Wish::Low);
    assert_eq!(machine.manager.views().active.len(), 3, "never more than there are places");
}

#[test]
fn who_has_a_kept_place_does_not_make_room_for_anybody() {
    let mut machine = with_neighbors(reserving(3, 2), 1);
    befriend_tagged(&mut machine, 5, Wish::Low);
    befriend_tagged(&mut machine, 6, Wish::Low);
    for number in 10..30 {
        ask_plain(&mut machine, number, Wish::High);
        assert!(is_neighbor(&machine, 5) && is_neighbor(&machine, 6));
        assert!(is_neighbor(&machine, number), "the third place is free for all");
    }
}

#[test]
fn where_every_place_is_kept_others_are_declined() {
    let mut machine = newborn(0, reserving(2, 2));
    machine.start();
    befriend_tagged(&mut machine, 5, Wish::Low);
    befriend_tagged(&mut machine, 6, Wish::Low);
    let output = ask_plain(&mut machine, 1, Wish::High);
    assert!(matches!(told(&output, 1)[..], [HyParViewMessage::Decline(_)]));
    assert_eq!(machine.manager.views().active.len(), 2);
}

#[test]
fn a_kept_place_is_free_again_when_its_holder_is_lost() {
    let mut machine = with_neighbors(reserving(2, 1), 1);
    befriend_tagged(&mut machine, 5, Wish::Low);
    let instance = instance(&spec(5), LIFE);
    machine.down(instance);
    ask_plain(&mut machine, 2, Wish::Low);
    assert!(!is_neighbor(&machine, 2));
    befriend_tagged(&mut machine, 6, Wish::Low);
    assert!(is_neighbor(&machine, 6));
}

#[test]
fn those_with_the_tag_beyond_the_kept_places_are_as_all_others() {
    let mut machine = newborn(0, reserving(2, 1));
    machine.start();
    befriend_tagged(&mut machine, 5, Wish::Low);
    befriend_tagged(&mut machine, 6, Wish::Low);
    assert_eq!(machine.manager.views().active.len(), 2);
    ask_plain(&mut machine, 1, Wish::High);
    assert!(is_neighbor(&machine, 1), "one of the two made room");
    let left = [5, 6].into_iter().filter(|number| is_neighbor(&machine, *number)).count();
    assert_eq!(left, 1);
    ask_plain(&mut machine, 2, Wish::High);
    assert!(is_neighbor(&machine, 2) && !is_neighbor(&machine, 1), "the last one keeps its place");
}
