//! A list that grows and never shrinks, for what a large cluster has most of.

use std::ops::{Index, IndexMut};

/// How many items lie in one piece of memory: some megabytes, so that they may lie in huge pages.
const PIECE: usize = 1 << 16;

/// Items by number. They stand in pieces: when there are very many, growing neither copies what
/// there is, for which a moment would need twice the memory, nor reserves a quarter of it.
#[derive(Debug)]
pub(crate) struct Pile<T>(Vec<Vec<T>>);

impl<T> Default for Pile<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Pile<T> {
    pub(crate) fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * PIECE + last.len())
    }

    /// Adds an item and says its number.
    pub(crate) fn push(&mut self, item: T) -> usize {
        let number = self.len();
        if number.is_multiple_of(PIECE) {
            // Nobody knows whether the first piece will be full.
            let room = if number == 0 { 0 } else { PIECE };
            self.0.push(Vec::with_capacity(room));
        }
        let last = &mut self.0[number / PIECE];
        reserve_some(last);
        last.push(item);
        number
    }
}

impl<T> Index<usize> for Pile<T> {
    type Output = T;

    fn index(&self, number: usize) -> &T {
        &self.0[number / PIECE][number % PIECE]
    }
}

impl<T> IndexMut<usize> for Pile<T> {
    fn index_mut(&mut self, number: usize) -> &mut T {
        &mut self.0[number / PIECE][number % PIECE]
    }
}

/// Makes room for a quarter more when there is none: doubling would be a good part of the memory of
/// a large cluster.
pub(crate) fn reserve_some<T>(items: &mut Vec<T>) {
    if items.len() == items.capacity() {
        items.reserve_exact(items.len() / 4 + 16);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_keeps_its_number_and_its_place() {
        let mut pile = Pile::default();
        assert_eq!(pile.len(), 0);
        for number in 0..PIECE {
            assert_eq!(pile.push(number), number);
        }
        let first: *const usize = &raw const pile[0];
        for number in PIECE..2 * PIECE + 1 {
            assert_eq!(pile.push(number), number);
        }
        pile[PIECE] += 1;
        assert_eq!(pile.len(), 2 * PIECE + 1);
        assert_eq!((pile[0], pile[PIECE], pile[2 * PIECE]), (0, PIECE + 1, 2 * PIECE));
        assert_eq!(first, &raw const pile[0]);
        assert_eq!(pile.0[1].capacity(), PIECE);
    }
}
