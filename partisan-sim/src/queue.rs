//! The event queue: a timing wheel over a slab, totally ordered by (time, order of pushing).
//!
//! A wheel because its cost does not grow with the number of events; a slab because one
//! allocation serves all buckets. Buckets of 2^18 ns (0.26 ms) times 16,384 reach 4.3 s ahead;
//! what is further away waits in a heap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use partisan_proto::Instant;

use crate::pile::Pile;

const BUCKET_BITS: u32 = 18;
const BUCKETS: usize = 1 << 14;
const NIL: u32 = u32::MAX;

/// Events in the order of (time, order of pushing).
#[derive(Debug)]
pub struct Queue<T> {
    slots: Pile<Slot<T>>,
    free: u32,
    /// Heads of the lists of the buckets after the open one.
    heads: Vec<u32>,
    /// One bit a bucket: whether its list holds anything.
    occupied: Vec<u64>,
    /// The number of the open bucket since time zero, not reduced to the size of the wheel.
    open: u64,
    /// What the open bucket held when it was opened, latest first.
    current: Vec<Key>,
    /// What came into the open bucket, or before it, since. Apart, since keeping one list in order
    /// would move half of it at each push while a whole cluster starts at one moment.
    late: BinaryHeap<Reverse<Key>>,
    /// Beyond the wheel's horizon.
    far: BinaryHeap<Reverse<Key>>,
    pushed: u64,
    len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    at: u64,
    order: u64,
    slot: u32,
}

/// Aligned so that an event that waits for long lies in one cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Slot<T> {
    at: u64,
    order: u64,
    next: u32,
    item: Option<T>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            slots: Pile::default(),
            free: NIL,
            heads: vec![NIL; BUCKETS],
            occupied: vec![0; BUCKETS / 64],
            open: 0,
            current: Vec::new(),
            late: BinaryHeap::new(),
            far: BinaryHeap::new(),
            pushed: 0,
            len: 0,
        }
    }
}

impl<T> Queue<T> {
    /// How many events wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Some of the events that come out next, up to `most`, as far as their order is known by now;
    /// others may still come before them.
    pub fn upcoming(&self, most: usize) -> impl Iterator<Item = &T> {
        let keys = self.current.iter().rev().take(most);
        keys.filter_map(|key| self.slots[key.slot as usize].item.as_ref())
    }

    /// Adds an event; one for the past comes out next.
    pub fn push(&mut self, at: Instant, item: T) {
        let order = self.reserve_places(1);
        self.push_in_place(at, order, item);
    }

    /// Keeps so many places in the order of pushing for events that are pushed later, and says the
    /// first.
    pub const fn reserve_places(&mut self, count: u64) -> u64 {
        let first = self.pushed;
        self.pushed += count;
        first
    }

    /// Adds an event as if it had been pushed when its place was reserved.
    pub fn push_in_place(&mut self, at: Instant, order: u64, item: T) {
        let key = self.store(at.as_nanos(), order, item);
        self.len += 1;
        if key.at >> BUCKET_BITS <= self.open {
            self.late.push(Reverse(key));
        } else {
            self.place(key);
        }
    }

    /// Takes the next event that is due by `until`.
    pub fn pop_until(&mut self, until: Instant) -> Option<(Instant, T)> {
        if self.current.is_empty() && self.late.is_empty() {
            self.open_next();
        }
        let (first, late) = (self.current.last(), self.late.peek().map(|Reverse(key)| key));
        let is_late = late.is_some_and(|late| first.is_none_or(|first| late < first));
        let key = *if is_late { late } else { first }?;
        if key.at > until.as_nanos() {
            return None;
        }
        if is_late {
            self.late.pop();
        } else {
            self.current.pop();
        }
        self.len -= 1;
        let slot = &mut self.slots[key.slot as usize];
        slot.next = self.free;
        self.free = key.slot;
        slot.item.take().map(|item| (Instant::from_nanos(key.at), item))
    }

    fn store(&mut self, at: u64, order: u64, item: T) -> Key {
        let filled = Slot { at, order, next: NIL, item: Some(item) };
        let slot = match self.free {
            NIL => self.slots.push(filled) as u32,
            slot => {
                self.free = self.slots[slot as usize].next;
                self.slots[slot as usize] = filled;
                slot
            }
        };
        Key { at, order, slot }
    }

    /// Puts a key of a bucket after the open one in its place.
    fn place(&mut self, key: Key) {
        let bucket = key.at >> BUCKET_BITS;
        if bucket - self.open >= BUCKETS as u64 {
            self.far.push(Reverse(key));
            return;
        }
        let index = bucket as usize % BUCKETS;
        self.slots[key.slot as usize].next = self.heads[index];
        self.heads[index] = key.slot;
        self.occupied[index / 64] |= 1 << (index % 64);
    }

    /// Opens the next bucket that holds anything.
    fn open_next(&mut self) {
        let near = self.next_occupied();
        let far = self.far.peek().map(|Reverse(key)| key.at >> BUCKET_BITS);
        let Some(next) = near.into_iter().chain(far).min() else {
            return;
        };
        self.open = next;
        let index = next as usize % BUCKETS;
        if near == Some(next) {
            let mut slot = std::mem::replace(&mut self.heads[index], NIL);
            self.occupied[index / 64] &= !(1 << (index % 64));
            while slot != NIL {
                let Slot { at, order, next, .. } = self.slots[slot as usize];
                self.current.push(Key { at, order, slot });
                slot = next;
            }
        }
        self.draw_near();
        self.current.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// Moves what has come within the horizon from the heap to the wheel.
    fn draw_near(&mut self) {
        while let Some(Reverse(key)) = self.far.peek().copied() {
            let bucket = key.at >> BUCKET_BITS;
            if bucket - self.open >= BUCKETS as u64 {
                return;
            }
            self.far.pop();
            if bucket == self.open {
                self.current.push(key);
            } else {
                self.place(key);
            }
        }
    }

    /// The number of the next bucket of the wheel that holds anything.
    fn next_occupied(&self) -> Option<u64> {
        let first = (self.open + 1) as usize % BUCKETS;
        let words = self.occupied.len();
        let mut mask = !0 << (first % 64);
        // One word more than there are: the first one's low bits are the wheel's far end.
        for i in 0..=words {
            let word = (first / 64 + i) % words;
            let bits = self.occupied[word] & mask;
            if bits != 0 {
                let index = word * 64 + bits.trailing_zeros() as usize;
                let ahead = (index + BUCKETS - first) % BUCKETS;
                return Some(self.open + 1 + ahead as u64);
            }
            mask = !0;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push(u64),
        Pop(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        // Spans from within a bucket to far beyond the horizon.
        let span = prop_oneof![0..1_000u64, 0..10_000_000u64, 0..20_000_000_000u64];
        prop_oneof![
            3 => span.clone().prop_map(Step::Push),
            2 => span.prop_map(Step::Pop),
        ]
    }

    proptest! {
        /// Against a heap, with pushes relative to the time reached, as a simulation makes them.
        #[test]
        fn behaves_like_a_heap(steps in proptest::collection::vec(step(), 0..300)) {
            let mut queue = Queue::default();
            let mut heap = BinaryHeap::new();
            let mut now = 0;
            for (order, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Push(after) => {
                        queue.push(Instant::from_nanos(now + after), order);
                        heap.push(Reverse((now + after, order)));
                    }
                    Step::Pop(within) => {
                        let until = now + within;
                        let due = heap.peek().is_some_and(|Reverse((at, _))| *at <= until);
                        let expected = due.then(|| heap.pop()).flatten();
                        let got = queue.pop_until(Instant::from_nanos(until));
                        let got = got.map(|(at, order)| Reverse((at.as_nanos(), order)));
                        prop_assert_eq!(got, expected);
                        now = got.map_or(until, |Reverse((at, _))| at);
                    }
                }
                prop_assert_eq!(queue.len(), heap.len());
            }
        }
    }

    #[test]
    fn ties_come_out_in_the_order_of_pushing() {
        let mut queue = Queue::default();
        for number in 0..100 {
            queue.push(Instant::from_secs(10), number);
        }
        let out: Vec<_> = std::iter::from_fn(|| queue.pop_until(Instant::FAR_FUTURE)).collect();
        assert_eq!(out.len(), 100);
        assert!(out.windows(2).all(|pair| pair[0].1 < pair[1].1));
    }

    #[test]
    fn who_has_a_place_comes_before_those_who_came_later() {
        let mut queue = Queue::default();
        let at = Instant::from_secs(10);
        queue.push(at, 0);
        let place = queue.reserve_places(2);
        queue.push(at, 3);
        queue.push_in_place(at, place, 1);
        assert_eq!(queue.pop_until(at), Some((at, 0)));
        assert_eq!(queue.pop_until(at), Some((at, 1)));
        queue.push_in_place(at, place + 1, 2);
        assert_eq!(queue.pop_until(at), Some((at, 2)));
        assert_eq!(queue.pop_until(at), Some((at, 3)));
    }

    #[test]
    fn slots_are_used_again() {
        let mut queue = Queue::default();
        for round in 0..1_000 {
            queue.push(Instant::from_millis(round), round);
            assert!(queue.pop_until(Instant::FAR_FUTURE).is_some());
        }
        assert_eq!(queue.slots.len(), 1);
    }
}
