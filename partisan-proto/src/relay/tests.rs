//! Relayed messages on lines, rings, stars and cliques, to the last hop.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec;
use alloc::vec::Vec;

use super::testing::{Place, id};
use super::*;
use crate::config::Config;
use crate::id::Incarnation;
use crate::wire::Destination;

/// Nodes, the frames between them, and what became of these.
struct World {
    nodes: Vec<(Place, Relay)>,
    queue: VecDeque<(usize, usize, Item)>,
    /// How often each message went along each edge, in each direction.
    sent: BTreeMap<(usize, usize, RelayId), usize>,
    /// At whom, from whom, what.
    delivered: Vec<(usize, NodeId, Vec<u8>)>,
    failed: Vec<(usize, u64, RelayFailure)>,
    hops: BTreeMap<usize, usize>,
    full: BTreeSet<(usize, usize)>,
    notices: usize,
}

enum Item {
    Frame(Frame),
    Control(ControlMessage),
}

/// Notes what a node sends.
struct Recorder<'a> {
    from: usize,
    count: usize,
    hop: Option<usize>,
    full: &'a BTreeSet<(usize, usize)>,
    frames: Vec<(usize, Frame)>,
}

impl Ways for Recorder<'_> {
    fn next_hop(&self, _to: NodeId) -> Option<NodeId> {
        self.hop.map(id)
    }

    fn transmit(
        &mut self,
        cx: &mut Context<'_>,
        to: NodeId,
        (channel, key): (ChannelId, Option<u64>),
        frame: Frame,
    ) -> Result<(), CommandError> {
        cx.routes.lane(to, channel, key, frame.payload_frame_len(), |_| 0)?;
        let to = (0..self.count).find(|number| id(*number) == to).unwrap();
        if self.full.contains(&(self.from, to)) {
            return Err(CommandError::QueueFull(id(to)));
        }
        self.frames.push((to, frame));
        Ok(())
    }
}

impl World {
    fn new(count: usize, edges: &[(usize, usize)]) -> Self {
        Self::with(count, edges, &Config::default())
    }

    fn with(count: usize, edges: &[(usize, usize)], config: &Config) -> Self {
        let nodes = (0..count).map(|number| (Place::new(number, config), Relay::default()));
        let mut world = Self {
            nodes: nodes.collect(),
            queue: VecDeque::new(),
            sent: BTreeMap::new(),
            delivered: Vec::new(),
            failed: Vec::new(),
            hops: BTreeMap::new(),
            full: BTreeSet::new(),
            notices: 0,
        };
        for (a, b) in edges {
            world.link(*a, *b);
        }
        world
    }

    fn link(&mut self, a: usize, b: usize) {
        self.nodes[a].0.meet(b);
        self.nodes[b].0.meet(a);
    }

    fn cut(&mut self, a: usize, b: usize) {
        self.nodes[a].0.lose(b);
        self.nodes[b].0.lose(a);
    }

    fn step<T>(
        &mut self,
        number: usize,
        step: impl FnOnce(&mut Relay, &mut Context<'_>, &mut Recorder<'_>) -> T,
    ) -> T {
        let count = self.nodes.len();
        let (place, relay) = &mut self.nodes[number];
        let hop = self.hops.get(&number).copied();
        let full = &self.full;
        let mut ways = Recorder { from: number, count, hop, full, frames: Vec::new() };
        let result = step(relay, &mut place.context(), &mut ways);
        let left = place.left();
        for (to, frame) in ways.frames {
            let Frame::Relayed { header, .. } = &frame else { panic!("{frame:?}") };
            *self.sent.entry((number, to, header.id)).or_default() += 1;
            self.queue.push_back((number, to, Item::Frame(frame)));
        }
        for (to, message) in left.messages {
            self.notices += 1;
            self.queue.push_back((number, to, Item::Control(message)));
        }
        for action in left.others {
            let Action::Deliver(delivery) = action else { panic!("{action:?}") };
            assert!(delivery.relayed);
            self.delivered.push((number, delivery.from, delivery.payload.to_vec()));
        }
        for note in left.notes {
            if let Notification::RelayFailed { sequence, reason, .. } = note {
                self.failed.push((number, sequence, reason));
            }
        }
        result
    }

    fn send(&mut self, from: usize, to: usize, text: &str) -> Result<u64, CommandError> {
        self.send_to(from, id(to), text)
    }

    fn send_to(&mut self, from: usize, to: NodeId, text: &str) -> Result<u64, CommandError> {
        let parcel = Parcel {
            to,
            channel: ChannelId::DEFAULT,
            key: Some(1),
            destination: Destination::Inbox,
            cargo: Cargo::Message,
            payload: text.as_bytes().to_vec().into(),
        };
        let result = self.step(from, |relay, cx, ways| relay.send(cx, ways, parcel));
        self.settle();
        result
    }

    fn settle(&mut self) {
        while let Some((from, to, item)) = self.queue.pop_front() {
            self.give(from, to, item);
        }
    }

    fn give(&mut self, from: usize, to: usize, item: Item) {
        if !self.nodes[to].0.neighbors.contains(id(from)) {
            return;
        }
        self.step(to, |relay, cx, ways| match item {
            Item::Frame(Frame::Relayed { header, payload }) => {
                relay.arrived(cx, ways, (id(from), ChannelId::DEFAULT), *header, payload);
            }
            Item::Control(ControlMessage::Relay(message)) => {
                let from = Instance { node: id(from), incarnation: Incarnation(1) };
                relay.receive(cx, from, message);
            }
            Item::Frame(_) | Item::Control(_) => panic!("not of relay"),
        });
    }

    fn counters(&self, number: usize) -> RelayCounters {
        self.nodes[number].1.counters()
    }

    fn transmissions(&self) -> usize {
        self.sent.values().sum()
    }

    fn texts(&self, at: usize) -> Vec<&str> {
        let here = self.delivered.iter().filter(|(number, ..)| *number == at);
        here.map(|(_, _, text)| core::str::from_utf8(text).unwrap()).collect()
    }

    /// No message went along a connection twice in one direction.
    fn check_edges(&self) {
        assert!(self.sent.values().all(|count| *count == 1), "{:?}", self.sent);
    }
}

fn line(count: usize) -> Vec<(usize, usize)> {
    (1..count).map(|number| (number - 1, number)).collect()
}

fn ring(count: usize) -> Vec<(usize, usize)> {
    (0..count).map(|number| (number, (number + 1) % count)).collect()
}

fn clique(count: usize) -> Vec<(usize, usize)> {
    (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))).collect()
}

#[test]
fn a_message_arrives_along_a_line_over_one_hop_more_than_its_ttl() {
    for count in 3..=9 {
        let mut world = World::new(count, &line(count));
        world.send(0, count - 1, "hello").unwrap();
        let hops = count - 1;
        let arrives = hops <= 6;
        assert_eq!(world.delivered.len(), usize::from(arrives), "{hops} hops");
        assert_eq!(world.transmissions(), if arrives { hops } else { 5 }, "{hops} hops");
        if arrives {
            let (at, from, _) = &world.delivered[0];
            assert_eq!((*at, *from), (count - 1, id(0)), "the true origin is told");
        }
        world.check_edges();
    }
}

#[test]
fn the_ttl_of_the_configuration_counts_to_the_hop() {
    for ttl in 1..=8 {
        let mut config = Config::default();
        config.relay.ttl = ttl;
        let reach = usize::from(ttl) + 1;
        for (count, arrives) in [(reach + 1, 1), (reach + 2, 0)] {
            let mut world = World::with(count, &line(count), &config);
            world.send(0, count - 1, "hello").unwrap();
            assert_eq!(world.delivered.len(), arrives, "ttl {ttl}, {count} nodes");
        }
    }
}

#[test]
fn the_longest_ttl_is_used_up_and_every_frame_can_be_read() {
    let mut config = Config::default();
    config.relay.ttl = MAX_RELAY_TTL;
    let count = usize::from(MAX_RELAY_TTL) + 2;
    let mut world = World::with(count, &line(count), &config);
    world.send(0, count - 1, "hello").unwrap();
    assert_eq!(world.texts(count - 1), ["hello"]);
    let header = |ttl, hops| RelayHeader {
        id: RelayId { origin: id(9), incarnation: Incarnation(1), sequence: 1 },
        target: id(count - 1),
        ttl,
        hops,
        flooded: false,
        key: None,
        cargo: Cargo::Message,
        destination: Destination::Inbox,
    };
    // As many hops as a target may be told of: whoever is none must not pass it on.
    let frame = Frame::Relayed { header: header(0, MAX_RELAY_TTL + 1).into(), payload: "x".into() };
    world.give(1, count - 2, Item::Frame(frame.clone()));
    world.nodes[count - 2].0.meet(1);
    world.give(1, count - 2, Item::Frame(frame));
    assert!(world.queue.is_empty());
    assert_eq!(world.counters(count - 2).ended, 1);
}

#[test]
fn in_a_clique_a_flood_ends_with_one_copy_each_way_and_one_delivery() {
    // The target hangs on one node of the clique.
    let mut edges = clique(6);
    edges.push((5, 6));
    let mut world = World::new(7, &edges);
    world.send(0, 6, "hello").unwrap();
    assert_eq!(world.texts(6), ["hello"]);
    world.check_edges();
    assert!(world.transmissions() <= 2 * edges.len());
    // Whoever is met a second time does not pass it on.
    assert_eq!(world.counters(1).duplicates, 3, "from each of the clique but the origin and 5");
}

#[test]
fn no_copy_goes_back_to_where_it_came_from_or_to_its_origin() {
    let mut world = World::new(6, &ring(5));
    world.send_to(0, id(5), "nobody has it").unwrap();
    assert!(world.sent.keys().all(|(_, to, _)| *to != 0), "{:?}", world.sent);
    assert!(world.sent.keys().all(|(from, to, id)| !world.sent.contains_key(&(*to, *from, *id))
        || !world.sent.contains_key(&(*from, *to, *id))
        || (*from, *to) != (1, 0)));
    world.check_edges();
    assert!(world.delivered.is_empty());
}

#[test]
fn both_ways_round_a_ring_end_in_one_delivery() {
    for count in 4..=13 {
        let mut world = World::new(count, &ring(count));
        let target = count / 2;
        world.send(0, target, "hello").unwrap();
        assert_eq!(world.texts(target).len(), usize::from(target <= 6), "{count} nodes");
        world.check_edges();
        let at_target = world.counters(target);
        if count % 2 == 0 && target <= 6 {
            assert_eq!(at_target.duplicates, 1, "the other way round");
        }
    }
}

#[test]
fn the_hub_of_a_star_hands_over() {
    let edges: Vec<_> = (1..8).map(|leaf| (0, leaf)).collect();
    let mut world = World::new(8, &edges);
    for target in 2..8 {
        world.send(1, target, "hello").unwrap();
        assert_eq!(world.texts(target), ["hello"]);
    }
    assert_eq!(world.transmissions(), 12);
}

#[test]
fn after_a_flood_has_found_the_target_messages_take_one_way() {
    let mut edges = clique(5);
    edges.push((4, 5));
    let mut world = World::new(6, &edges);
    world.send(0, 5, "flooded").unwrap();
    let flood = world.transmissions();
    world.send(0, 5, "straight").unwrap();
    assert_eq!(world.transmissions() - flood, 2, "0 to 4 to 5");
    // The origin is known to the target by then, and so is the way back.
    world.send(5, 0, "back").unwrap();
    assert_eq!(world.transmissions() - flood, 4);
    assert_eq!(world.texts(5), ["flooded", "straight"]);
    assert_eq!(world.texts(0), ["back"]);
}

#[test]
fn a_way_that_is_lost_is_replaced_by_copies() {
    let edges = [(0, 1), (1, 2), (0, 3), (3, 4), (4, 2)];
    let mut world = World::new(5, &edges);
    world.send(0, 2, "by 1").unwrap();
    world.cut(1, 2);
    world.send(0, 2, "stuck at 1").unwrap();
    assert_eq!(world.texts(2), ["by 1"]);
    assert_eq!(world.failed, [(0, 2, RelayFailure::NoWay)], "the sender is told");
    world.send(0, 2, "by 3 and 4").unwrap();
    assert_eq!(world.texts(2), ["by 1", "by 3 and 4"]);
    world.check_edges();
}

#[test]
fn the_manager_knows_better_than_what_was_learned() {
    let mut world = World::new(4, &[(0, 1), (1, 3), (0, 2), (2, 3)]);
    world.hops.insert(0, 2);
    world.send(0, 3, "hello").unwrap();
    assert_eq!(world.texts(3), ["hello"]);
    assert_eq!(world.transmissions(), 2);
    assert!(world.sent.keys().all(|(_, to, _)| *to != 1));
}

#[test]
fn a_message_that_goes_in_a_circle_ends_and_its_sender_is_told() {
    // The managers of a ring send everything to the right, for ever, and beyond 3 comes 1 again.
    let mut world = World::new(5, &ring(4));
    world.link(3, 1);
    world.hops.extend([(0, 1), (1, 2), (2, 3), (3, 1)]);
    world.send_to(0, id(4), "nowhere").unwrap();
    assert_eq!(world.transmissions(), 4, "0 to 1 to 2 to 3 to 1");
    assert_eq!(world.failed, [(0, 1, RelayFailure::Circle)]);
    world.check_edges();
}

#[test]
fn whoever_the_manager_names_is_not_sent_back_what_it_sent() {
    let mut world = World::new(5, &ring(4));
    world.hops.extend([(0, 1), (1, 2), (2, 3), (3, 0)]);
    world.send_to(0, id(4), "nowhere").unwrap();
    assert_eq!(world.transmissions(), 3, "3 does not send it to its origin");
    assert_eq!(world.failed, [(0, 1, RelayFailure::NoWay)]);
}

/// 0, 1 and 2 believe that 5 is behind 3, and it has moved to the other side of 0; 3 can only ask 6.
fn astray() -> World {
    let mut world = World::new(7, &[(0, 1), (1, 2), (2, 3), (0, 4), (3, 5), (3, 6)]);
    world.send(0, 5, "by 1").unwrap();
    world.cut(3, 5);
    world.link(4, 5);
    world
}

#[test]
fn a_way_that_ends_in_copies_is_forgotten_and_costs_one_message() {
    let mut world = astray();
    world.send(0, 5, "astray").unwrap();
    world.send(0, 5, "by 4").unwrap();
    world.send(0, 5, "by 4 alone").unwrap();
    assert_eq!(world.texts(5), ["by 1", "by 4", "by 4 alone"]);
    world.check_edges();
}

#[test]
fn a_message_that_went_astray_may_arrive_and_so_nobody_is_told_that_it_failed() {
    // 2 does not know on, and copies of it find the target.
    let mut world = World::new(5, &[(0, 1), (1, 2), (2, 3), (3, 4)]);
    world.nodes[0].1.known.learn(id(4), id(1), Bounds { nodes: 9, window: 64 });
    world.nodes[1].1.known.learn(id(4), id(2), Bounds { nodes: 9, window: 64 });
    world.send(0, 4, "found").unwrap();
    assert_eq!(world.texts(4), ["found"]);
    assert!(world.failed.is_empty());
    assert_eq!(world.nodes[0].1.known.way(id(4)), Some(id(1)), "found again, behind 1");
}

#[test]
fn a_circle_of_ways_that_were_learned_is_forgotten_by_whoever_finds_it() {
    let mut world = World::new(6, &[(0, 1), (1, 2), (2, 3), (3, 1), (1, 4), (0, 5)]);
    for (node, via) in [(0, 1), (1, 2), (2, 3), (3, 1)] {
        world.nodes[node].1.known.learn(id(9), id(via), Bounds { nodes: 9, window: 64 });
    }
    let gone = id(9);
    world.send_to(0, gone, "round").unwrap();
    assert_eq!(world.failed, [(0, 1, RelayFailure::Circle)]);
    assert_eq!(world.nodes[1].1.known.way(gone), None);
    assert_eq!(world.nodes[0].1.known.way(gone), None, "by the notice");
}

#[test]
fn a_message_with_its_hops_used_up_on_one_way_is_told_of() {
    let mut world = World::new(9, &line(9));
    for node in 0..7 {
        world.hops.insert(node, node + 1);
    }
    world.send(0, 8, "too far").unwrap();
    assert_eq!(world.failed, [(0, 1, RelayFailure::Expired)]);
    assert_eq!(world.notices, 5, "one hop back each");
}

#[test]
fn what_can_be_known_at_once_is_the_answer() {
    let mut world = World::new(4, &line(3));
    assert_eq!(world.send(3, 0, "x"), Err(CommandError::NoRelay(id(0))), "no neighbour");
    let long = "x".repeat(1 << 16);
    let error = world.send(0, 2, &long);
    assert!(matches!(error, Err(CommandError::PayloadTooLarge { .. })), "{error:?}");
    world.full.insert((0, 1));
    assert_eq!(world.send(0, 2, "x"), Err(CommandError::QueueFull(id(1))));
    assert_eq!(world.transmissions(), 0);
    world.full.clear();
    world.nodes[0].0.routes.partition(vec![id(1)]);
    assert_eq!(world.send(0, 2, "x"), Err(CommandError::Partitioned(id(1))));
}

#[test]
fn a_full_queue_on_the_way_is_told_of_and_the_way_is_kept() {
    let mut world = World::new(3, &line(3));
    world.send(0, 2, "1").unwrap();
    world.full.insert((1, 2));
    world.send(0, 2, "2").unwrap();
    assert_eq!(world.failed, [(0, 2, RelayFailure::Congested)]);
    world.full.clear();
    world.send(0, 2, "3").unwrap();
    assert_eq!(world.texts(2), ["1", "3"]);
}

#[test]
fn an_injected_partition_is_no_way_round() {
    let mut world = World::new(3, &line(3));
    world.send(0, 2, "1").unwrap();
    world.nodes[1].0.routes.partition(vec![id(2)]);
    world.send(0, 2, "2").unwrap();
    assert_eq!(world.texts(2), ["1"]);
    assert_eq!(world.failed, [(0, 2, RelayFailure::Partitioned)]);
}

#[test]
fn notices_are_so_many_in_a_second() {
    let mut config = Config::default();
    config.relay.notices_per_second = 3;
    let mut world = World::with(4, &line(3), &config);
    world.hops.extend([(0, 1), (1, 2)]);
    for _ in 0..5 {
        world.send_to(0, id(3), "nowhere").unwrap();
    }
    assert_eq!(world.failed.len(), 3);
    assert_eq!(world.counters(2).unsaid, 2);
    for node in [1, 2] {
        world.nodes[node].0.now = Instant::from_secs(2);
    }
    world.send_to(0, id(3), "nowhere").unwrap();
    assert_eq!(world.failed.len(), 4);
}

#[test]
fn a_copy_is_known_again_as_long_as_its_origin_is_remembered() {
    let mut config = Config::default();
    config.relay.max_known = 2;
    let mut world = World::with(5, &[(0, 1), (2, 1), (3, 1), (1, 4)], &config);
    let target = id;
    let frame = |origin: usize, sequence| {
        let id = RelayId { origin: id(origin), incarnation: Incarnation(1), sequence };
        let destination = Destination::Inbox;
        let header = RelayHeader {
            id,
            target: target(1),
            ttl: 1,
            hops: 1,
            flooded: false,
            key: None,
            cargo: Cargo::Message,
            destination,
        };
        Item::Frame(Frame::Relayed { header: header.into(), payload: "x".into() })
    };
    for _ in 0..3 {
        world.give(0, 1, frame(0, 1));
        world.give(2, 1, frame(2, 1));
    }
    assert_eq!(world.delivered.len(), 2);
    world.give(3, 1, frame(3, 1));
    world.give(0, 1, frame(0, 1));
    assert_eq!(world.delivered.len(), 4, "origin 0 was forgotten for origin 3");
    assert_eq!(world.nodes[1].1.known.len(), 2);
    // So far behind the newest that nobody knows.
    world.give(0, 1, frame(0, 5_000));
    world.give(0, 1, frame(0, 5_000 - 1_024));
    assert_eq!(world.counters(1).outdated, 1);
    world.give(0, 1, frame(0, 5_000 - 1_023));
    assert_eq!(world.counters(1).delivered, 6);
}

#[test]
fn whoever_begins_anew_has_forgotten_every_way_and_nothing_that_arrived() {
    let mut world = World::new(3, &line(3));
    world.send(0, 2, "1").unwrap();
    world.send(2, 0, "2").unwrap();
    assert_eq!(world.nodes[0].1.known.way(id(2)), Some(id(1)));
    let reborn = Change::Reborn { reason: crate::error::CloseReason::Left };
    world.step(0, |relay, cx, ways| relay.change(cx, ways, &reborn));
    assert_eq!(world.nodes[0].1.known.way(id(2)), None);
    let header = RelayHeader {
        id: RelayId { origin: id(2), incarnation: Incarnation(1), sequence: 1 },
        target: id(0),
        ttl: 1,
        hops: 2,
        flooded: true,
        key: None,
        cargo: Cargo::Message,
        destination: Destination::Inbox,
    };
    let frame = Frame::Relayed { header: header.into(), payload: "2".into() };
    world.give(1, 0, Item::Frame(frame));
    assert_eq!(world.texts(0), ["2"], "a copy that is late is still a copy");
}

#[test]
fn a_target_that_begins_a_new_life_is_reached_and_so_are_its_own_first_messages() {
    let mut world = World::new(3, &line(3));
    for _ in 0..3 {
        world.send(0, 2, "to the first life").unwrap();
        world.send(2, 0, "of the first life").unwrap();
    }
    world.cut(1, 2);
    let mut config = Config::default();
    config.relay.ttl = 5;
    world.nodes[2] = (Place::new(2, &config), Relay::default());
    world.nodes[2].0.me.instance.incarnation = Incarnation(2);
    world.link(1, 2);
    world.send(0, 2, "to the second life").unwrap();
    world.send(2, 0, "of the second life").unwrap();
    assert_eq!(world.texts(2).last(), Some(&"to the second life"));
    assert_eq!(world.texts(0).last(), Some(&"of the second life"), "though numbered 1 again");
    assert_eq!(world.failed, []);
}

#[test]
fn a_target_whose_lane_is_down_is_reached_by_others() {
    let mut world = World::new(4, &[(0, 1), (1, 2), (0, 2), (2, 3)]);
    world.nodes[0].0.lose_lane(2);
    world.send(0, 2, "by 1").unwrap();
    assert_eq!(world.texts(2), ["by 1"]);
    // On the way as well, as long as it may make more hops than the last one.
    world.nodes[1].0.lose_lane(2);
    world.link(1, 3);
    world.send(0, 2, "by 1 and 3").unwrap();
    assert_eq!(world.texts(2), ["by 1", "by 1 and 3"]);
    world.check_edges();
}

#[test]
fn a_lane_that_is_down_at_the_last_hop_is_no_matter_of_hops() {
    let mut config = Config::default();
    config.relay.ttl = 1;
    let mut world = World::with(4, &line(3), &config);
    world.hops.insert(0, 1);
    world.send_to(0, id(3), "too far").unwrap();
    world.nodes[1].0.routes.partition(vec![]);
    world.nodes[1].0.lose_lane(2);
    world.send(0, 2, "lane down").unwrap();
    let reasons: Vec<_> = world.failed.iter().map(|(_, _, reason)| *reason).collect();
    assert_eq!(reasons, [RelayFailure::Expired, RelayFailure::NoWay]);
}

#[test]
fn equal_states_have_equal_fingerprints_and_a_message_changes_them() {
    let fingerprint = |world: &World| {
        let mut hasher = StableHasher::default();
        world.nodes[1].1.fingerprint(&mut hasher);
        hasher.finish()
    };
    let (mut one, mut other) = (World::new(3, &line(3)), World::new(3, &line(3)));
    assert_eq!(fingerprint(&one), fingerprint(&other));
    one.send(0, 2, "1").unwrap();
    assert_ne!(fingerprint(&one), fingerprint(&other));
    other.send(0, 2, "1").unwrap();
    assert_eq!(fingerprint(&one), fingerprint(&other));
}
