//! Injected partitions: how far they spread, and that they end everywhere.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use super::*;
use crate::config::Config;
use crate::error::CloseReason;
use crate::id::{ChannelId, Epoch, Incarnation};
use crate::relay::testing::{Place, id, instance};

struct World {
    nodes: Vec<(Place, Partitions)>,
    queue: VecDeque<(usize, usize, PartitionMessage)>,
    notes: Vec<(usize, Notification)>,
}

impl World {
    fn new(count: usize, edges: &[(usize, usize)]) -> Self {
        let config = Config::default();
        let nodes = (0..count).map(|number| (Place::new(number, &config), Partitions::default()));
        let mut world = Self { nodes: nodes.collect(), queue: VecDeque::new(), notes: Vec::new() };
        edges.iter().for_each(|(a, b)| world.link(*a, *b));
        world
    }

    fn link(&mut self, a: usize, b: usize) {
        for (one, other) in [(a, b), (b, a)] {
            let change = self.nodes[one].0.meet(other);
            self.step(one, |partitions, cx| partitions.change(cx, &change));
        }
        self.settle();
    }

    fn cut(&mut self, a: usize, b: usize) {
        self.nodes[a].0.lose(b);
        self.nodes[b].0.lose(a);
    }

    fn step<T>(
        &mut self,
        number: usize,
        step: impl FnOnce(&mut Partitions, &mut Context<'_>) -> T,
    ) -> T {
        let (place, partitions) = &mut self.nodes[number];
        let result = step(partitions, &mut place.context());
        let left = place.left();
        for (to, message) in left.messages {
            let ControlMessage::Partition(message) = message else { panic!("{message:?}") };
            self.queue.push_back((number, to, message));
        }
        let notes = left.notes.into_iter().filter(|note| {
            !matches!(note, Notification::NeighborUp { .. } | Notification::NeighborDown { .. })
        });
        self.notes.extend(notes.map(|note| (number, note)));
        result
    }

    fn settle(&mut self) {
        for _ in 0..10_000 {
            let Some((from, to, message)) = self.queue.pop_front() else {
                return;
            };
            if self.nodes[to].0.neighbors.contains(id(from)) {
                self.step(to, |partitions, cx| partitions.receive(cx, instance(from), message));
            }
        }
        panic!("it goes round and round");
    }

    fn inject(&mut self, at: usize, ttl: u8) -> PartitionId {
        let id = self.step(at, |partitions, cx| partitions.inject(cx, ttl)).unwrap();
        self.settle();
        id
    }

    fn resolve(&mut self, at: usize, id: PartitionId) {
        self.step(at, |partitions, cx| partitions.resolve(cx, id));
        self.settle();
    }

    /// Who is in a partition.
    fn reached(&self) -> Vec<usize> {
        let all = 0..self.nodes.len();
        all.filter(|number| !self.nodes[*number].1.list().is_empty()).collect()
    }

    fn check(&self, from: usize, to: usize) -> Result<(), CommandError> {
        let routes = &self.nodes[from].0.routes;
        routes.lane(id(to), ChannelId::DEFAULT, None, 10, |_| 0).map(|_| ())
    }
}

fn line(count: usize) -> Vec<(usize, usize)> {
    (1..count).map(|number| (number - 1, number)).collect()
}

#[test]
fn it_reaches_whoever_is_up_to_ttl_hops_away_and_marks_their_neighbours() {
    for ttl in 0..5 {
        let mut world = World::new(7, &line(7));
        let partition = world.inject(0, ttl);
        let reached: Vec<_> = (0..=usize::from(ttl)).collect();
        assert_eq!(world.reached(), reached, "ttl {ttl}");
        for number in reached {
            let (place, partitions) = &world.nodes[number];
            let marked: BTreeSet<_> = partitions.list().into_iter().map(|(_, node)| node).collect();
            let neighbours = place.neighbors.iter().map(|neighbor| neighbor.node).collect();
            assert_eq!(marked, neighbours);
            assert!(partitions.list().iter().all(|(id, _)| *id == partition));
        }
        assert_eq!(world.check(0, 1), Err(CommandError::Partitioned(id(1))));
        let beyond = usize::from(ttl) + 1;
        assert_eq!(world.check(beyond, beyond - 1), Ok(()), "not reached, and so it still sends");
    }
}

#[test]
fn a_quicker_longer_way_round_does_not_shorten_its_reach() {
    // 0 to 3 directly, and by 1 and 2; beyond 3 are 4 and 5.
    let edges = [(0, 1), (1, 2), (2, 3), (0, 3), (3, 4), (4, 5)];
    let mut world = World::new(6, &edges);
    world.step(0, |partitions, cx| partitions.inject(cx, 3)).unwrap();
    // The message straight to 3 is the last to arrive.
    let slow = world.queue.iter().position(|(_, to, _)| *to == 3).unwrap();
    let slow = world.queue.remove(slow).unwrap();
    world.settle();
    assert_eq!(world.reached(), [0, 1, 2, 3]);
    world.queue.push_back(slow);
    world.settle();
    assert_eq!(world.reached(), [0, 1, 2, 3, 4, 5]);
    let injected =
        |(_, note): &&(usize, Notification)| matches!(note, Notification::PartitionInjected { .. });
    assert_eq!(world.notes.iter().filter(injected).count(), 6, "once each");
}

#[test]
fn resolving_anywhere_clears_it_everywhere() {
    for at in 0..7 {
        let mut world = World::new(7, &line(7));
        let partition = world.inject(1, 2);
        world.resolve(at, partition);
        assert!(world.reached().is_empty(), "resolved at {at}");
        assert_eq!(world.check(0, 1), Ok(()));
        let over = |(_, note): &&(usize, Notification)| {
            matches!(note, Notification::PartitionResolved { .. })
        };
        assert_eq!(world.notes.iter().filter(over).count(), 4, "0 to 3, once each");
    }
}

#[test]
fn one_of_several_ends_and_the_others_stay() {
    let mut world = World::new(3, &line(3));
    let (one, other) = (world.inject(0, 0), world.inject(0, 0));
    assert_ne!(one, other);
    world.resolve(0, one);
    assert_eq!(world.check(0, 1), Err(CommandError::Partitioned(id(1))));
    world.resolve(0, other);
    assert_eq!(world.check(0, 1), Ok(()));
}

#[test]
fn whoever_was_away_learns_from_a_new_neighbour_that_it_is_over() {
    let mut world = World::new(4, &line(4));
    let partition = world.inject(0, 3);
    world.cut(2, 3);
    world.resolve(0, partition);
    assert_eq!(world.reached(), [3]);
    world.link(1, 3);
    assert!(world.reached().is_empty());
}

#[test]
fn what_is_over_does_not_come_back_with_what_is_still_on_its_way() {
    let mut world = World::new(3, &line(3));
    let partition = world.step(0, |partitions, cx| partitions.inject(cx, 2)).unwrap();
    let late = world.queue.pop_front().unwrap();
    world.resolve(2, partition);
    assert!(world.reached().is_empty());
    world.queue.push_back(late);
    world.settle();
    assert!(world.reached().is_empty());
}

#[test]
fn no_more_take_part_than_are_allowed_and_the_others_are_counted() {
    let mut world = World::new(2, &line(2));
    world.nodes[1].0.config.partitions.max_active = 1;
    world.nodes[0].0.config.partitions.max_active = 2;
    world.inject(0, 1);
    world.inject(0, 1);
    let error = world.step(0, |partitions, cx| partitions.inject(cx, 1));
    assert_eq!(error, Err(CommandError::TooManyPartitions { limit: 2 }));
    assert_eq!(world.nodes[1].1.list().len(), 1);
    assert_eq!(world.nodes[1].1.refused(), 1);
}

#[test]
fn only_so_many_that_are_over_are_remembered_and_nothing_goes_round_for_ever() {
    let ring = [(0, 1), (1, 2), (2, 0)];
    let mut world = World::new(3, &ring);
    for node in &mut world.nodes {
        node.0.config.partitions.max_resolved = 16;
    }
    let unknown =
        |origin, number| PartitionId { origin: id(origin), incarnation: Incarnation(1), number };
    for number in 0..200 {
        world.step(0, |partitions, cx| partitions.resolve(cx, unknown(2, number)));
    }
    let others = world.queue.len();
    world.settle();
    assert_eq!(others, 400, "once along each connection of 0");
    for origin in 3..40 {
        world.resolve(0, unknown(origin, 1));
    }
    assert!(world.nodes.iter().all(|(_, partitions)| partitions.resolved.len() == 16));
}

#[test]
fn whoever_begins_anew_is_in_no_partition() {
    let mut world = World::new(2, &line(2));
    let partition = world.inject(0, 0);
    let reborn = Change::Reborn { reason: CloseReason::Left };
    world.step(0, |partitions, cx| partitions.change(cx, &reborn));
    assert!(world.reached().is_empty());
    assert_eq!(world.check(0, 1), Ok(()));
    assert_eq!(world.notes.last(), Some(&(0, Notification::PartitionResolved { id: partition })));
}

#[test]
fn saying_again_that_it_is_over_reaches_those_who_missed_it() {
    let mut world = World::new(4, &line(4));
    let partition = world.inject(0, 3);
    world.step(0, |partitions, cx| partitions.resolve(cx, partition));
    world.queue.clear();
    assert_eq!(world.reached(), [1, 2, 3], "lost on its way");
    world.resolve(0, partition);
    assert!(world.reached().is_empty());
}

#[test]
fn whoever_has_the_resolver_for_a_neighbour_is_told_though_it_is_none_itself() {
    let mut world = World::new(2, &[]);
    world.nodes[0].0.meet(1);
    world.nodes[1].0.connect(0);
    let partition = world.inject(0, 0);
    world.resolve(1, partition);
    assert!(world.reached().is_empty());
}

#[test]
fn a_neighbour_whose_connection_comes_back_is_asked() {
    let mut world = World::new(2, &line(2));
    let partition = world.inject(0, 1);
    world.step(1, |partitions, cx| partitions.resolve(cx, partition));
    world.queue.clear();
    assert_eq!(world.reached(), [0], "it was not told");
    let (instance, spec, epoch) = (instance(1), crate::relay::testing::spec(1), Epoch(2));
    let up = Change::PeerUp { instance, spec, epoch, contact: None };
    world.step(0, |partitions, cx| partitions.change(cx, &up));
    world.settle();
    assert!(world.reached().is_empty());
}

#[test]
fn a_partition_of_an_earlier_life_can_be_ended_after_one_of_the_next() {
    let mut world = World::new(3, &line(3));
    let old = world.inject(0, 2);
    world.nodes[0].0.me.instance.incarnation = Incarnation(2);
    let new = world.inject(0, 2);
    world.resolve(2, new);
    world.resolve(2, old);
    assert!(world.reached().is_empty());
}
