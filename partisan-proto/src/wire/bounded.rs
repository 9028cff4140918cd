//! A list whose limit is part of its type.

use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// A list of at most `N` items, on the wire and in memory.
///
/// Decoding refuses a longer list before it stores it, so a peer cannot make this node allocate
/// more than `N` items whatever length it announces.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bounded<T, const N: usize>(Vec<T>);

impl<T, const N: usize> Bounded<T, N> {
    /// The most items it holds.
    pub const LIMIT: usize = N;

    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds an item; gives it back when the list is full.
    ///
    /// # Errors
    /// The item, when there is no room.
    pub fn push(&mut self, item: T) -> Result<(), T> {
        if self.0.len() == N {
            return Err(item);
        }
        self.0.push(item);
        Ok(())
    }

    /// Whether nothing can be added.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.len() == N
    }

    /// Collects at most `N` items and leaves the others.
    pub fn from_first(items: impl IntoIterator<Item = T>) -> Self {
        let items = items.into_iter().take(N);
        // Room for as many as can come, at once: what is picked from others does not tell the least.
        let mut list = Vec::with_capacity(items.size_hint().1.unwrap_or(0));
        list.extend(items);
        Self(list)
    }
}

impl<T, const N: usize> Default for Bounded<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, const N: usize> Deref for Bounded<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, const N: usize> From<Bounded<T, N>> for Vec<T> {
    fn from(list: Bounded<T, N>) -> Self {
        list.0
    }
}

impl<T, const N: usize> IntoIterator for Bounded<T, N> {
    type Item = T;
    type IntoIter = alloc::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<T: fmt::Debug, const N: usize> fmt::Debug for Bounded<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: Serialize, const N: usize> Serialize for Bounded<T, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for Bounded<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(BoundedVisitor(PhantomData))
    }
}

struct BoundedVisitor<T, const N: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for BoundedVisitor<T, N> {
    type Value = Bounded<T, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {N} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        if items.size_hint().is_some_and(|length| length > N) {
            return Err(de::Error::invalid_length(N + 1, &self));
        }
        let mut list = Bounded::new();
        while let Some(item) = items.next_element()? {
            if list.push(item).is_err() {
                return Err(de::Error::invalid_length(N + 1, &self));
            }
        }
        Ok(list)
    }
}

#[cfg(feature = "arbitrary")]
impl<'a, T: arbitrary::Arbitrary<'a>, const N: usize> arbitrary::Arbitrary<'a> for Bounded<T, N> {
    fn arbitrary(u: &mut arbitrary::Unstructured<'a>) -> arbitrary::Result<Self> {
        let count = u.int_in_range(0..=N.min(8))?;
        (0..count).map(|_| u.arbitrary()).collect::<arbitrary::Result<Vec<T>>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_longer_list_does_not_decode() {
        let bytes = postcard::to_allocvec(&vec![1u16, 2, 3]).unwrap();
        assert!(postcard::from_bytes::<Bounded<u16, 2>>(&bytes).is_err());
        let list: Bounded<u16, 3> = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(&*list, [1, 2, 3]);
    }

    #[test]
    fn a_full_list_gives_the_item_back() {
        let mut list: Bounded<u8, 1> = Bounded::new();
        assert_eq!(list.push(1), Ok(()));
        assert_eq!(list.push(2), Err(2));
        assert!(list.is_full());
    }
}
