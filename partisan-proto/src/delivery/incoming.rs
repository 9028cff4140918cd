//! What one node sent, and what of it was delivered.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::action::Delivery;
use crate::id::{ChannelId, Instance};
use crate::time::Instant;
use crate::wire::{Acknowledgement, Bounded, InOrder, NewestHeader, Terms};

/// What is to become of a message that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Novelty {
    /// It has not been here.
    New,
    /// It was delivered.
    Known,
    /// It is here, and waits for others.
    Waits,
    /// Too many before it are missing.
    TooFar,
}

/// A message that is to be delivered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Arrival {
    pub(super) delivery: Delivery,
    /// The order that it keeps, and what its sender calls it.
    pub(super) terms: Terms,
}

/// An ordered message that waits for another one.
#[derive(Debug, Hash)]
pub(super) struct Held {
    after: u64,
    since: Instant,
    pub(super) arrival: Arrival,
}

impl Held {
    fn order(&self) -> Option<u64> {
        self.arrival.terms.order.map(|order| order.order)
    }
}

/// The messages of one life of a node, by number.
#[derive(Debug, Hash)]
pub(super) struct Incoming {
    from: Instance,
    /// What it called messages that were delivered here, in whichever of its lives.
    ids: Ids,
    /// The channel of the last one that came by way of other nodes.
    relayed: Option<ChannelId>,
    /// All up to this one were delivered, or given up by their sender.
    upto: u64,
    /// Those beyond that were delivered.
    above: BTreeSet<u64>,
    /// Those that are here and wait for others.
    waiting: BTreeSet<u64>,
    /// Those that wait for one of the same order, by number.
    held: BTreeMap<u64, Held>,
    /// They again, as the number that they wait for and their own.
    after: BTreeSet<(u64, u64)>,
    /// Those of them that need not wait for a number beyond `upto` any more.
    released: BTreeSet<u64>,
    /// By order, the last one beyond `upto` that was delivered.
    orders: BTreeMap<u64, u64>,
    /// Of monotonic channels, by place: the newest number, and when it came.
    newest: BTreeMap<u64, (u64, Instant)>,
    /// The places of which something came since the last acknowledgement.
    seen: BTreeSet<u64>,
    /// An acknowledgement is to be sent.
    owed: bool,
    heard: Instant,
}

impl Incoming {
    pub(super) fn new(from: Instance) -> Self {
        Self {
            from,
            ids: Ids::default(),
            relayed: None,
            upto: 0,
            above: BTreeSet::new(),
            waiting: BTreeSet::new(),
            held: BTreeMap::new(),
            after: BTreeSet::new(),
            released: BTreeSet::new(),
            orders: BTreeMap::new(),
            newest: BTreeMap::new(),
            seen: BTreeSet::new(),
            owed: false,
            heard: Instant::default(),
        }
    }

    /// Something arrived from this life of the node; another one begins anew.
    pub(super) fn begin(&mut self, from: Instance, now: Instant) {
        if self.from != from {
            let (owed, ids) = (self.owed, core::mem::take(&mut self.ids));
            *self = Self { owed, ids, ..Self::new(from) };
        }
        self.heard = now;
    }

    /// Something came by way of other nodes: so will go what is to be told to the node.
    pub(super) const fn came_relayed(&mut self, channel: ChannelId) {
        self.relayed = Some(channel);
    }

    /// By which channel other nodes carry something to it, if they did from it.
    pub(super) const fn relayed(&self) -> Option<ChannelId> {
        self.relayed
    }

    /// Which life of the node.
    pub(super) const fn from(&self) -> Instance {
        self.from
    }

    pub(super) const fn heard(&self) -> Instant {
        self.heard
    }

    pub(super) fn judge(&mut self, sequence: u64, floor: u64, ahead: u64) -> Novelty {
        self.give_up_below(floor.min(sequence));
        if sequence <= self.upto || self.above.contains(&sequence) {
            Novelty::Known
        } else if self.waiting.contains(&sequence) {
            Novelty::Waits
        } else if sequence - self.upto > ahead {
            Novelty::TooFar
        } else {
            Novelty::New
        }
    }

    /// What is missing below `floor` never comes.
    pub(super) fn give_up_below(&mut self, floor: u64) {
        if floor.saturating_sub(1) > self.upto {
            self.upto = floor - 1;
            self.above = self.above.split_off(&floor);
            self.waiting = self.waiting.split_off(&floor);
            self.advance();
        }
    }

    fn advance(&mut self) {
        while self.above.first() == Some(&(self.upto + 1)) {
            self.above.pop_first();
            self.upto += 1;
        }
    }

    /// Whether a message was delivered, or given up by its sender.
    pub(super) fn has(&self, sequence: u64) -> bool {
        sequence <= self.upto || self.above.contains(&sequence)
    }

    /// A message is here and waits for another one.
    pub(super) fn hold(&mut self, sequence: u64, after: u64, since: Instant, arrival: Arrival) {
        self.held.insert(sequence, Held { after, since, arrival });
        self.after.insert((after, sequence));
    }

    /// A message that waited for another one does not any more; says since when it did.
    pub(super) fn let_go(&mut self, sequence: u64) -> Option<(Instant, Arrival)> {
        let Held { after, since, arrival } = self.held.remove(&sequence)?;
        self.after.remove(&(after, sequence));
        self.released.remove(&sequence);
        Some((since, arrival))
    }

    /// How many wait for others of their order.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// One that need not wait for another one of its order any more.
    pub(super) fn next_released(&mut self) -> Option<(u64, Arrival)> {
        let below = self.after.first().filter(|(after, _)| *after <= self.upto);
        let next = below.map(|(_, sequence)| *sequence).or_else(|| self.released.first().copied());
        next.and_then(|sequence| Some((sequence, self.let_go(sequence)?.1)))
    }

    /// Since when one has waited for another one of its order, the longest of all; and the first
    /// one of that order that does.
    pub(super) fn longest_held(&self) -> Option<(Instant, u64)> {
        let longest = self.held.values().min_by_key(|held| held.since)?;
        let order = longest.order();
        let first = self.held.iter().find(|(_, held)| held.order() == order);
        first.map(|(sequence, _)| (longest.since, *sequence))
    }

    /// Takes in what a message is called that is to be delivered; says whether none of that name
    /// was, as far as so many of them are known.
    pub(super) fn is_first_of(&mut self, id: Option<u128>, most: usize) -> bool {
        id.is_none_or(|id| self.ids.add(id, most))
    }

    /// Whether one of the same order with a greater number was delivered: then its sender has given
    /// this one up, or would not have said that the other need not wait for it.
    pub(super) fn is_overtaken(&self, sequence: u64, order: Option<InOrder>) -> bool {
        let last = order.and_then(|order| self.orders.get(&order.order));
        last.is_some_and(|last| *last > sequence)
    }

    /// A message of an order was delivered.
    pub(super) fn keeps(&mut self, sequence: u64, order: Option<InOrder>) {
        let upto = self.upto;
        if sequence <= upto {
            // What is below is known not to be new, whatever its order.
            self.orders.retain(|_, last| *last > upto);
        } else if let Some(InOrder { order, .. }) = order {
            self.orders.insert(order, sequence);
        }
    }

    /// A message is here and waits for others.
    pub(super) fn wait(&mut self, sequence: u64) {
        self.waiting.insert(sequence);
    }

    /// What waits will not be delivered, and nothing is acknowledged for now: it all comes again.
    pub(super) fn pause(&mut self) {
        self.waiting.clear();
        self.held.clear();
        self.after.clear();
        self.released.clear();
        self.seen.clear();
        self.owed = false;
    }

    /// A message was delivered; says whether it is of this life of the node.
    pub(super) fn delivered(&mut self, from: Instance, sequence: u64) -> bool {
        if self.from != from {
            return false;
        }
        self.waiting.remove(&sequence);
        if sequence > self.upto {
            self.above.insert(sequence);
            self.advance();
            if sequence > self.upto {
                let next = self.after.range((sequence, 0)..=(sequence, u64::MAX));
                self.released.extend(next.map(|(_, waits)| *waits));
            }
        }
        true
    }

    /// A message of a monotonic channel came; says whether it is newer than all before it. Of `most`
    /// places beyond, the one that was silent for the longest time is forgotten.
    pub(super) fn is_newest(&mut self, header: &NewestHeader, now: Instant, most: usize) -> bool {
        let (place, number) = (header.place, header.number);
        self.seen.insert(place);
        if let Some((newest, at)) = self.newest.get_mut(&place) {
            let newer = *newest < number;
            (*newest, *at) = (number.max(*newest), now);
            return newer;
        }
        if self.newest.len() >= most
            && let Some(oldest) = self.newest.iter().min_by_key(|(_, (_, at))| *at)
        {
            let oldest = *oldest.0;
            self.newest.remove(&oldest);
            self.seen.remove(&oldest);
        }
        self.newest.insert(place, (number, now));
        true
    }

    /// An acknowledgement is to be sent; says whether that is new.
    pub(super) const fn owe(&mut self) -> bool {
        !core::mem::replace(&mut self.owed, true)
    }

    /// The acknowledgement that is to be sent, if one is.
    pub(super) fn acknowledgement(&mut self) -> Option<Acknowledgement> {
        if !core::mem::take(&mut self.owed) {
            return None;
        }
        let mut also = Bounded::new();
        let mut numbers = self.above.iter().copied().peekable();
        while let Some(first) = numbers.next() {
            let mut last = first;
            while let Some(next) = numbers.next_if_eq(&(last + 1)) {
                last = next;
            }
            // What finds no room is acknowledged when it comes again.
            if also.push((first, last)).is_err() {
                break;
            }
        }
        let of = |place: u64| Some((place, self.newest.get(&place)?.0));
        let newest = Bounded::from_first(self.seen.iter().copied().filter_map(of));
        // What finds no room is told of with the next one.
        let told = newest.last().map_or(0, |(place, _)| *place);
        self.seen = self.seen.split_off(&told.saturating_add(u64::from(!newest.is_empty())));
        Some(Acknowledgement { upto: self.upto, also, newest })
    }
}

/// The last names of messages.
#[derive(Debug, Default, Hash)]
struct Ids {
    known: BTreeSet<u128>,
    /// The oldest first.
    in_order: VecDeque<u128>,
}

impl Ids {
    /// Says whether it is new; of `most` others the oldest is forgotten for it.
    fn add(&mut self, id: u128, most: usize) -> bool {
        if !self.known.insert(id) {
            return false;
        }
        self.in_order.push_back(id);
        if self.in_order.len() > most
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Incarnation, NodeId};
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn from(life: u64) -> Instance {
        Instance { node: NodeId::from_u64(1), incarnation: Incarnation(life) }
    }

    proptest! {
        /// As a set of all numbers would.
        #[test]
        fn it_knows_what_was_delivered(numbers in prop::collection::vec((1..40u64, 1..40u64), 0..60)) {
            let mut incoming = Incoming::new(from(1));
            let (mut known, mut lowest) = (BTreeSet::new(), 1);
            for (sequence, floor) in numbers {
                let floor = floor.min(sequence);
                lowest = lowest.max(floor);
                let expected = match sequence < lowest || known.contains(&sequence) {
                    true => Novelty::Known,
                    false => Novelty::New,
                };
                prop_assert_eq!(incoming.judge(sequence, floor, 100), expected);
                incoming.delivered(from(1), sequence);
                known.insert(sequence);
                incoming.owe();
                let told = incoming.acknowledgement().unwrap();
                let covers = |number: &u64| {
                    *number <= told.upto
                        || told.also.iter().any(|(first, last)| (first..=last).contains(&number))
                };
                let all: Vec<u64> = (1..45).filter(covers).collect();
                let expected: Vec<u64> =
                    (1..45).filter(|number| *number < lowest || known.contains(number)).collect();
                prop_assert_eq!(all, expected);
            }
        }
    }

    #[test]
    fn one_too_far_ahead_is_not_taken() {
        let mut incoming = Incoming::new(from(1));
        assert_eq!(incoming.judge(5, 1, 4), Novelty::TooFar);
        assert_eq!(incoming.judge(4, 1, 4), Novelty::New);
        incoming.delivered(from(1), 1);
        assert_eq!(incoming.judge(5, 1, 4), Novelty::New);
    }

    #[test]
    fn another_life_begins_anew() {
        let mut incoming = Incoming::new(from(1));
        incoming.delivered(from(1), 1);
        incoming.begin(from(2), Instant::default());
        assert_eq!(incoming.judge(1, 1, 4), Novelty::New);
        assert!(!incoming.delivered(from(1), 1));
        assert_eq!(incoming.judge(1, 1, 4), Novelty::New);
    }
}
