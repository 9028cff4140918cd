//! Lists of which a node of a partial view has a handful, and a node of a full mesh very many.
//!
//! A process that simulates a cluster holds a hundred thousand nodes, so what a list keeps in
//! reserve counts there as much as what it holds: while it is short it grows by little and gives
//! back what it does not need. A long one grows as any [`Vec`].

use alloc::vec::Vec;

/// A list of up to so many is short.
const FEW: usize = 32;
/// For so many more a short list makes room at a time.
const ROOM: usize = 2;

/// Makes room for one more item.
pub(crate) fn make_room<T>(items: &mut Vec<T>) {
    if items.len() == items.capacity() && items.len() < FEW {
        items.reserve_exact(ROOM);
    }
}

/// Gives memory back after items were removed.
pub(crate) fn give_back<T>(items: &mut Vec<T>) {
    let (len, capacity) = (items.len(), items.capacity());
    if len == 0 {
        *items = Vec::new();
    } else if len < FEW && capacity > len + 2 * ROOM {
        items.shrink_to(len + ROOM);
    } else if capacity / 4 > len {
        items.shrink_to(2 * len);
    }
}

/// A map in one piece of memory, in the order of its keys, searched in halves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sorted<K, V>(Vec<(K, V)>);

impl<K, V> Default for Sorted<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> Sorted<K, V> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }
}

impl<K: Copy + Ord, V> Sorted<K, V> {
    fn place(&self, key: K) -> Result<usize, usize> {
        self.0.binary_search_by_key(&key, |(other, _)| *other)
    }

    pub(crate) fn contains(&self, key: K) -> bool {
        self.place(key).is_ok()
    }

    /// The least key.
    pub(crate) fn first(&self) -> Option<K> {
        self.0.first().map(|(key, _)| *key)
    }

    pub(crate) fn get(&self, key: K) -> Option<&V> {
        self.place(key).ok().map(|place| &self.0[place].1)
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.place(key).ok().map(|place| &mut self.0[place].1)
    }

    /// Puts a value in the place of what the key had, if it had anything.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        match self.place(key) {
            Ok(place) => self.0[place].1 = value,
            Err(place) => self.insert_at(place, key, value),
        }
    }

    /// What the key has; if nothing, what is made now.
    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let place = self.place(key).unwrap_or_else(|place| {
            self.insert_at(place, key, make());
            place
        });
        &mut self.0[place].1
    }

    fn insert_at(&mut self, place: usize, key: K, value: V) {
        make_room(&mut self.0);
        self.0.insert(place, (key, value));
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        let place = self.place(key).ok()?;
        let (_, value) = self.0.remove(place);
        give_back(&mut self.0);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Insert(u8),
        Make(u8),
        Remove(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any::<u8>().prop_map(Step::Insert),
            any::<u8>().prop_map(Step::Make),
            any::<u8>().prop_map(Step::Remove),
        ]
    }

    proptest! {
        /// Against an ordered map, and within the memory that a list may keep in reserve.
        #[test]
        fn behaves_like_a_map(steps in proptest::collection::vec(step(), 0..400)) {
            let (mut sorted, mut map) = (Sorted::new(), BTreeMap::new());
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert(key) => {
                        sorted.insert(key, number);
                        map.insert(key, number);
                    }
                    Step::Make(key) => {
                        let made = *sorted.get_or_insert_with(key, || number);
                        prop_assert_eq!(made, *map.entry(key).or_insert(number));
                    }
                    Step::Remove(key) => prop_assert_eq!(sorted.remove(key), map.remove(&key)),
                }
                prop_assert!(sorted.iter().eq(map.iter()));
                prop_assert!(sorted.keys().eq(map.keys()) && sorted.values().eq(map.values()));
                prop_assert_eq!(sorted.first(), map.keys().next().copied());
                prop_assert_eq!((sorted.len(), sorted.is_empty()), (map.len(), map.is_empty()));
            }
            for key in 0..=u8::MAX {
                prop_assert_eq!(sorted.get(key), map.get(&key));
                prop_assert_eq!(sorted.get_mut(key), map.get_mut(&key));
                prop_assert_eq!(sorted.contains(key), map.contains_key(&key));
            }
        }
    }

    #[test]
    fn a_short_list_keeps_little_in_reserve() {
        let mut items = Vec::new();
        for number in 0..FEW {
            make_room(&mut items);
            items.push(number);
            assert!(items.capacity() <= items.len() + ROOM);
        }
        while items.pop().is_some() {
            give_back(&mut items);
            assert!(items.capacity() <= items.len() + 2 * ROOM);
        }
        assert_eq!(items.capacity(), 0);
    }

    #[test]
    fn a_long_list_that_became_shorter_gives_memory_back() {
        let mut items: Vec<_> = (0..1_000).collect();
        while items.len() > FEW {
            items.pop();
            give_back(&mut items);
            assert!(items.capacity() / 4 <= items.len());
        }
    }
}
