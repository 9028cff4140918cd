//! Sets of numbers, kept as the intervals that they form (`partisan_interval_sets`).
//!
//! What comes in order costs one interval, however much it is; each gap costs one more.

use alloc::vec::Vec;

/// A set of numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct IntervalSet {
    /// Closed, ascending, and at least one number between each two.
    intervals: Vec<(u64, u64)>,
}

impl IntervalSet {
    /// No number at all.
    pub(super) const EMPTY: Self = Self { intervals: Vec::new() };

    /// Whether the number is in the set.
    pub(super) fn contains(&self, number: u64) -> bool {
        self.intervals.get(self.place(number)).is_some_and(|(first, _)| *first <= number)
    }

    /// The place of the first interval that does not end before `number`.
    fn place(&self, number: u64) -> usize {
        // Most are about the newest.
        match self.intervals.last() {
            Some((_, last)) if *last < number => self.intervals.len(),
            _ => self.intervals.partition_point(|(_, last)| *last < number),
        }
    }

    /// Adds a number; says whether it is new.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        let place = self.place(number);
        if self.intervals.get(place).is_some_and(|(first, _)| *first <= number) {
            return false;
        }
        let follows = place.checked_sub(1).filter(|before| self.intervals[*before].1 + 1 == number);
        let next = self.intervals.get(place).map(|(first, _)| *first);
        let precedes = next.is_some_and(|first| first - 1 == number);
        match (follows, precedes) {
            (Some(before), true) => {
                self.intervals[before].1 = self.intervals[place].1;
                self.intervals.remove(place);
            }
            (Some(before), false) => self.intervals[before].1 = number,
            (None, true) => self.intervals[place].0 = number,
            (None, false) => self.intervals.insert(place, (number, number)),
        }
        true
    }

    /// Adds all numbers of another set.
    pub(super) fn absorb(&mut self, other: &Self) {
        let mut all = [&self.intervals[..], &other.intervals[..]].concat();
        all.sort_unstable();
        self.intervals.clear();
        for (first, last) in all {
            match self.intervals.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => self.intervals.push((first, last)),
            }
        }
    }

    /// How many intervals there are: one more than gaps, or none.
    pub(super) fn intervals(&self) -> usize {
        self.intervals.len()
    }

    /// The greatest number in the set.
    pub(super) fn last(&self) -> Option<u64> {
        self.intervals.last().map(|(_, last)| *last)
    }

    /// Adds all that is missing between the two lowest intervals, and says from where to where.
    pub(super) fn fill_lowest_gap(&mut self) -> Option<(u64, u64)> {
        let [(_, end), (begin, last), ..] = self.intervals[..] else { return None };
        self.intervals[0].1 = last;
        self.intervals.remove(1);
        Some((end + 1, begin - 1))
    }

    /// How many numbers from `first` to `last` are not in the set.
    pub(super) fn count_missing(&self, first: u64, last: u64) -> u64 {
        if first > last {
            return 0;
        }
        let within = |(begin, end): &(u64, u64)| {
            let (begin, end) = (*begin.max(&first), *end.min(&last));
            if begin > end { 0 } else { (end - begin).saturating_add(1) }
        };
        let there = self.intervals[self.place(first)..].iter().map(within);
        (last - first).saturating_add(1) - there.fold(0, u64::saturating_add)
    }

    /// The numbers from `first` to `last` that are not in the set, ascending.
    pub(super) fn missing(&self, first: u64, last: u64) -> impl Iterator<Item = u64> {
        let mut next = (first <= last).then_some(first);
        let mut place = self.place(first);
        core::iter::from_fn(move || {
            let mut number = next?;
            while let Some((begin, end)) = self.intervals.get(place)
                && *begin <= number
            {
                place += 1;
                number = end.checked_add(1)?;
            }
            next = number.checked_add(1);
            (number <= last).then_some(number)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    fn set(numbers: impl IntoIterator<Item = u64>) -> IntervalSet {
        let mut set = IntervalSet::default();
        numbers.into_iter().for_each(|number| _ = set.insert(number));
        set
    }

    #[test]
    fn what_comes_in_order_is_one_interval() {
        assert_eq!(set(1..=1_000).intervals(), 1);
        assert_eq!(set((1..=1_000).rev()).intervals(), 1);
        assert_eq!(set((1..=999).step_by(2)).intervals(), 500);
    }

    #[test]
    fn the_ends_of_the_numbers_are_numbers_too() {
        let ends = set([u64::MAX, 0, u64::MAX - 1]);
        assert_eq!(ends.intervals(), 2);
        assert_eq!(ends.missing(u64::MAX - 2, u64::MAX).collect::<Vec<_>>(), [u64::MAX - 2]);
        assert!(ends.contains(u64::MAX) && ends.contains(0) && !ends.contains(1));
        assert_eq!(set([]).missing(u64::MAX, u64::MAX).count(), 1);
        assert_eq!(set([]).missing(2, 1).count(), 0);
    }

    #[test]
    fn the_lowest_gap_is_filled_first() {
        let mut numbers = set([1, 5, 9]);
        numbers.fill_lowest_gap();
        assert_eq!(numbers, set([1, 2, 3, 4, 5, 9]));
        numbers.fill_lowest_gap();
        numbers.fill_lowest_gap();
        assert_eq!(numbers, set(1..=9));
    }

    proptest! {
        #[test]
        fn what_is_missing_can_be_counted(
            numbers in proptest::collection::btree_set(0..40u64, 0..30),
            first in 0..45u64,
            last in 0..45u64,
        ) {
            let set = set(numbers);
            let missing = set.missing(first, last).count() as u64;
            prop_assert_eq!(set.count_missing(first, last), missing);
        }

        #[test]
        fn what_absorbs_another_has_what_either_had(
            one in proptest::collection::vec(0..60u64, 0..30),
            other in proptest::collection::vec(0..60u64, 0..30),
        ) {
            let mut both = set(one.clone());
            both.absorb(&set(other.clone()));
            prop_assert_eq!(both, set(one.into_iter().chain(other)));
        }

        /// Against a naive set.
        #[test]
        fn behaves_like_a_set(steps in proptest::collection::vec((0..40u64, 0..12u8), 0..80)) {
            let (mut intervals, mut naive) = (IntervalSet::default(), BTreeSet::<u64>::new());
            for (number, dice) in steps {
                if dice == 0 {
                    intervals.fill_lowest_gap();
                    let gap = naive.iter().zip(naive.iter().skip(1)).find(|(a, b)| *a + 1 < **b);
                    if let Some((a, b)) = gap.map(|(a, b)| (*a, *b)) {
                        naive.extend(a..b);
                    }
                } else {
                    prop_assert_eq!(intervals.insert(number), naive.insert(number));
                }
                let gaps = naive.iter().zip(naive.iter().skip(1)).filter(|(a, b)| *a + 1 < **b);
                let expected = if naive.is_empty() { 0 } else { gaps.count() + 1 };
                prop_assert_eq!(intervals.intervals(), expected);
                prop_assert!((0..41).all(|n| intervals.contains(n) == naive.contains(&n)));
                let missing: Vec<_> = (3..=35).filter(|n| !naive.contains(n)).collect();
                prop_assert_eq!(intervals.missing(3, 35).collect::<Vec<_>>(), missing);
            }
        }
    }
}
