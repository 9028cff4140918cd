//! Messages of monotonic channels: of those for one place only the newest matters
//! (`monotonic` of Partisan's channels).
//!
//! A place is a destination with a key on a channel. While few messages for a place are on their
//! way, each is sent at once; beyond, the newest waits and takes the place of the one that waited
//! before. It is kept until it is acknowledged, so the last one arrives whatever happens to
//! connections; and the receiver drops what is older than what it has, so values never go back.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use bytes::Bytes;

use crate::id::ConnectionId;
use crate::process::Lane;
use crate::time::{Duration, Instant};
use crate::wire::{Destination, Frame, NewestHeader, StableHasher};

/// The newest messages to one node, by place.
#[derive(Debug, Default, Hash)]
pub(super) struct Newest {
    /// Numbers all of them, so that a place that is forgotten and used again goes on.
    last: u64,
    places: BTreeMap<u64, Place>,
    /// The places whose newest message is not on its way.
    unsent: BTreeSet<u64>,
    /// Since when the last transmission for each place is on its way.
    on_the_way: BTreeSet<(Instant, u64)>,
}

#[derive(Debug, Hash)]
struct Place {
    lane: Lane,
    destination: Destination,
    /// The newest, and its number.
    newest: (u64, Bytes),
    /// What is on its way, by which connection.
    flying: BTreeMap<u64, ConnectionId>,
    sent: Option<Instant>,
}

/// What a channel, a destination and a key make together.
pub(super) fn place_of(lane: Lane, destination: &Destination) -> u64 {
    let mut hasher = StableHasher::default();
    (lane, destination).hash(&mut hasher);
    hasher.finish()
}

impl Newest {
    /// Nothing yet; numbers begin after this one.
    pub(super) fn after(used: u64) -> Self {
        Self { last: used, ..Self::default() }
    }

    /// The greatest number that was used.
    pub(super) const fn last(&self) -> u64 {
        self.last
    }

    /// Takes a message; says whether it superseded one that was never sent. `None` when there is no
    /// room for one more place.
    pub(super) fn put(
        &mut self,
        lane: Lane,
        destination: Destination,
        payload: Bytes,
        room: bool,
    ) -> Option<bool> {
        let number = place_of(lane, &destination);
        let known = self.places.get_mut(&number);
        if known.is_none() && !room {
            return None;
        }
        self.last += 1;
        let newest = (self.last, payload);
        let superseded = !self.unsent.insert(number);
        match known {
            Some(place) => place.newest = newest,
            None => {
                let flying = BTreeMap::new();
                let place = Place { lane, destination, newest, flying, sent: None };
                self.places.insert(number, place);
            }
        }
        Some(superseded)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Forgets all places; says how many there were.
    pub(super) fn forget(&mut self) -> usize {
        let gone = core::mem::replace(self, Self::after(self.last));
        gone.places.len()
    }

    /// The places with something to send.
    pub(super) fn unsent(&self) -> Vec<u64> {
        self.unsent.iter().copied().collect()
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// The newest message for a place, if it may be sent now, and by which lane.
    pub(super) fn frame(&self, place: u64, window: usize) -> Option<(Lane, Frame)> {
        let Place { lane, destination, newest, flying, .. } = self.places.get(&place)?;
        if flying.len() >= window {
            return None;
        }
        let destination = destination.clone();
        let header = Box::new(NewestHeader { place, number: newest.0, destination });
        let frame = Frame::Newest { header, payload: newest.1.clone() };
        Some((*lane, frame))
    }

    /// The newest message for a place is on its way.
    pub(super) fn sent(&mut self, number: u64, by: ConnectionId, now: Instant) {
        if let Some(place) = self.places.get_mut(&number) {
            place.flying.insert(place.newest.0, by);
            self.unsent.remove(&number);
            if let Some(before) = place.sent.replace(now) {
                self.on_the_way.remove(&(before, number));
            }
            self.on_the_way.insert((now, number));
        }
    }

    /// What can never be sent.
    pub(super) fn remove(&mut self, number: u64) {
        self.unsent.remove(&number);
        if let Some(place) = self.places.remove(&number)
            && let Some(sent) = place.sent
        {
            self.on_the_way.remove(&(sent, number));
        }
    }

    /// The receiver has this message or a newer one; says whether there was such a place.
    pub(super) fn acknowledged(&mut self, place: u64, upto: u64) -> bool {
        let Some(known) = self.places.get_mut(&place) else { return false };
        known.flying.retain(|number, _| *number > upto);
        if known.newest.0 <= upto {
            self.remove(place);
        }
        true
    }

    /// What was on its way by these connections is lost.
    pub(super) fn lost(&mut self, which: impl Fn(ConnectionId) -> bool) {
        for (number, place) in &mut self.places {
            place.flying.retain(|_, by| !which(*by));
            if !place.is_flying() {
                self.unsent.insert(*number);
            }
            if place.flying.is_empty()
                && let Some(sent) = place.sent.take()
            {
                self.on_the_way.remove(&(sent, *number));
            }
        }
    }

    /// When the first of them has waited for its acknowledgement for so long.
    pub(super) fn due(&self, patience: Duration) -> Option<Instant> {
        self.on_the_way.first().map(|(at, _)| *at + patience)
    }

    /// What was not acknowledged in time counts as lost; says whether anything was.
    pub(super) fn retransmit(&mut self, now: Instant, patience: Duration) -> bool {
        let before = self.on_the_way.len();
        while let Some((at, number)) = self.on_the_way.first().copied()
            && at + patience <= now
        {
            self.on_the_way.pop_first();
            if let Some(place) = self.places.get_mut(&number) {
                place.flying.clear();
                self.unsent.insert(number);
                place.sent = None;
            }
        }
        self.on_the_way.len() < before
    }
}

impl Place {
    fn is_flying(&self) -> bool {
        self.flying.contains_key(&self.newest.0)
    }
}
