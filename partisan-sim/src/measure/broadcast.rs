//! What broadcasts cost and how they travel: the measures of the Plumtree paper (section 4).
//!
//! *Reliability* is the share of the nodes that a message reaches; *relative message redundancy*
//! (RMR) is m / (n - 1) - 1 for m payloads sent and n nodes reached: nought when every node gets
//! the payload once; *last delivery hop* (LDH) is how many hops the last delivery took.
//!
//! A [`Tally`] watches deliveries while a world runs; payloads are counted by the nodes themselves
//! ([`payloads`]).

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;

use partisan_proto::{Action, BroadcastCounters, Duration, Instant, MessageId, Node};

use super::Overlay;
use crate::check::{Checker, Violation};
use crate::latency::Latency;
use crate::world::{Step, World};

/// How far one message has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// When it was first delivered: when it was sent, if the sender is handed its own messages.
    pub first: Instant,
    /// When it was last delivered.
    pub last: Instant,
    /// How many nodes were handed it.
    pub deliveries: u64,
    /// The most hops that a delivery took.
    pub last_hop: u8,
    /// The hops of all deliveries together.
    pub hops: u64,
}

impl Spread {
    /// Adds a delivery.
    pub fn add(&mut self, at: Instant, hops: u8) {
        self.first = if self.deliveries == 0 { at } else { self.first.min(at) };
        self.last = self.last.max(at);
        self.deliveries += 1;
        self.last_hop = self.last_hop.max(hops);
        self.hops += u64::from(hops);
    }

    /// From the first delivery to the last.
    #[must_use]
    pub fn span(&self) -> Duration {
        self.last.since(self.first)
    }
}

/// Watches the deliveries of all broadcasts: a checker that finds nothing wrong. Clones share what
/// they see, so one is given to the world and another is asked.
#[derive(Clone, Debug, Default)]
pub struct Tally(Rc<RefCell<BTreeMap<MessageId, Spread>>>);

impl Tally {
    /// How far each message has come.
    #[must_use]
    pub fn spreads(&self) -> BTreeMap<MessageId, Spread> {
        self.0.borrow().clone()
    }

    /// Forgets everything, and says what it was.
    #[must_use]
    pub fn take(&self) -> BTreeMap<MessageId, Spread> {
        self.0.take()
    }
}

impl Checker for Tally {
    fn on_step(&mut self, step: &Step<'_>, _: &World, _: &mut Vec<Violation>) {
        for action in step.actions {
            if let Action::DeliverBroadcast(message) = action {
                self.0.borrow_mut().entry(message.id).or_default().add(step.now, message.hops);
            }
        }
    }
}

/// What some broadcasts cost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// How many messages there were.
    pub messages: u64,
    /// How many deliveries elsewhere than at the sender are missing.
    pub missed: u64,
    /// Relative message redundancy.
    pub redundancy: f64,
    /// The most hops of any delivery.
    pub last_hop: u8,
    /// The longest time from a sending to its last delivery.
    pub last_arrival: Duration,
    /// The mean hops of a delivery elsewhere than at the sender.
    pub mean_hops: f64,
}

impl Cost {
    /// Of messages that `nodes` nodes should have got, their senders included, for which so many
    /// payloads were sent.
    #[must_use]
    pub fn of<'a>(
        spreads: impl IntoIterator<Item = &'a Spread>,
        nodes: usize,
        payloads: u64,
    ) -> Self {
        let (mut cost, mut elsewhere, mut hops) = (Self::default(), 0, 0);
        for spread in spreads {
            cost.messages += 1;
            cost.missed += (nodes as u64).saturating_sub(spread.deliveries);
            cost.last_hop = cost.last_hop.max(spread.last_hop);
            cost.last_arrival = cost.last_arrival.max(spread.span());
            elsewhere += spread.deliveries.saturating_sub(1);
            hops += spread.hops;
        }
        cost.redundancy = redundancy(payloads, elsewhere);
        cost.mean_hops = hops as f64 / elsewhere.max(1) as f64;
        cost
    }
}

/// The relative message redundancy of so many payloads for so many deliveries elsewhere than at
/// the senders.
#[must_use]
pub fn redundancy(payloads: u64, deliveries: u64) -> f64 {
    payloads as f64 / deliveries.max(1) as f64 - 1.0
}

/// How many payloads the live nodes have sent.
#[must_use]
pub fn payloads(world: &World) -> u64 {
    sum(world, |counters| counters.payloads)
}

/// The sum over the live nodes of something that broadcasts count.
#[must_use]
pub fn sum(world: &World, what: impl Fn(&BroadcastCounters) -> u64) -> u64 {
    let nodes = world.live().filter_map(|number| world.hosts()[number].node());
    nodes.map(Node::counters).map(|counters| what(&counters.broadcast)).sum()
}

/// What a flood over the overlay would do whose copies travel as long as packets do: the hops and
/// the time of the last node that it reaches first. No broadcast is quicker.
#[must_use]
pub fn flood(overlay: &Overlay, latency: &Latency, seed: u64, from: usize) -> (u8, Duration) {
    let mut best = vec![None; overlay.len()];
    let mut front = BinaryHeap::from([Reverse((Duration::ZERO, 0_u8, from))]);
    let (mut last_hop, mut last) = (0, Duration::ZERO);
    while let Some(Reverse((at, hops, place))) = front.pop() {
        if best[place].is_some() {
            continue;
        }
        best[place] = Some(at);
        last_hop = last_hop.max(hops);
        last = last.max(at);
        for next in overlay.neighbors(place) {
            let next = *next as usize;
            let span = latency.least(seed, overlay.node(place), overlay.node(next));
            front.push(Reverse((at + span, hops.saturating_add(1), next)));
        }
    }
    (last_hop, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_over_a_regular_graph_costs_its_degree_less_two() {
        // The paper's formula: n d - (n - 1) copies for n - 1 deliveries.
        let (n, d) = (10_000, 5);
        assert!((redundancy(n * d - (n - 1), n - 1) - 3.0).abs() < 0.01);
        assert!(redundancy(99, 99).abs() < 1e-9);
    }

    #[test]
    fn costs_are_of_all_messages_together() {
        let at = Instant::from_millis;
        let mut spreads = [Spread::default(); 2];
        for (spread, deliveries) in spreads.iter_mut().zip([3, 2]) {
            (0..deliveries).for_each(|n| spread.add(at(100 + 10 * n), n as u8));
        }
        let cost = Cost::of(&spreads, 3, 6);
        assert_eq!((cost.messages, cost.missed, cost.last_hop), (2, 1, 2));
        assert_eq!(cost.last_arrival, Duration::from_millis(20));
        assert!((cost.redundancy - 1.0).abs() < 1e-9 && (cost.mean_hops - 4.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn a_flood_takes_the_quickest_ways() {
        let square = [(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2), (3, 0), (0, 3)];
        let overlay = Overlay::from_links(4, square);
        let same = Latency::fixed(Duration::from_millis(10));
        assert_eq!(flood(&overlay, &same, 1, 0), (2, Duration::from_millis(20)));
    }
}
