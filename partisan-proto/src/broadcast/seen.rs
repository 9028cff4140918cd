//! Which messages have come: exact for ever, in an interval of memory for each gap.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use super::BroadcastCounters;
use super::interval_set::IntervalSet;
use crate::config::BroadcastConfig;
use crate::id::{Instance, MessageId};
use crate::time::Instant;

/// The messages that have come, by origin.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<Instance, Origin>);

#[derive(Debug, Default)]
struct Origin {
    numbers: IntervalSet,
    /// Those that came in an earlier life of this node, and need not have come in this one.
    before: IntervalSet,
    /// When it was last heard of.
    used: Instant,
    losses: Losses,
}

/// What will never come of a sender's messages. Who keeps messages keeps them for so long and no
/// longer, and nobody gives what was missing for longer than that.
#[derive(Debug, Default, Hash)]
struct Losses {
    /// Whether they are counted: not where all messages are of handlers that keep them, which have
    /// other ways to get them.
    counted: bool,
    /// What is missing up to this one is counted, or was sent before the first that came.
    told: u64,
    /// The newest that had come at the last look.
    looked: u64,
    /// Given up to make room, and not told yet.
    dropped: u64,
}

impl Losses {
    /// What is missing from here to there is given up.
    fn give_up(&mut self, (first, last): (u64, u64)) {
        let count = last.checked_sub(first.max(self.first())).map_or(0, |n| n.saturating_add(1));
        self.dropped = self.dropped.saturating_add(count);
    }

    /// From which one on losses are to be told.
    const fn first(&self) -> u64 {
        self.told.saturating_add(1)
    }
}

impl Seen {
    pub(super) fn contains(&self, id: MessageId) -> bool {
        self.0.get(&id.origin).is_some_and(|origin| origin.numbers.contains(id.sequence))
    }

    /// Adds a message, which its handler keeps or not; says whether it is new. Makes room where there
    /// is none.
    pub(super) fn insert(
        &mut self,
        id: MessageId,
        stored: bool,
        now: Instant,
        config: &BroadcastConfig,
        counters: &mut BroadcastCounters,
    ) -> bool {
        if self.0.len() >= config.max_origins && !self.0.contains_key(&id.origin) {
            counters.forgotten_origins += self.make_room();
        }
        let origin = self.0.entry(id.origin).or_default();
        origin.used = now;
        origin.losses.counted |= !stored;
        if origin.numbers.last().is_none() {
            origin.losses.told = id.sequence;
        }
        let new = origin.numbers.insert(id.sequence);
        while origin.numbers.intervals() > config.max_gaps + 1 {
            if let Some(gap) = origin.numbers.fill_lowest_gap() {
                origin.losses.give_up(gap);
            }
            counters.forgotten_gaps += 1;
        }
        new
    }

    /// How many messages of each sender have been missing since the last look, which was longer ago
    /// than messages are kept.
    pub(super) fn look_for_losses(&mut self) -> Vec<(Instance, u64)> {
        let lost = |(id, origin): (&Instance, &mut Origin)| {
            let (losses, newest) = (&mut origin.losses, origin.numbers.last().unwrap_or_default());
            let missing = origin.numbers.count_missing(losses.first(), losses.looked);
            let count = core::mem::take(&mut losses.dropped).saturating_add(missing);
            losses.told = losses.told.max(losses.looked);
            losses.looked = newest;
            (losses.counted && count > 0).then_some((*id, count))
        };
        self.0.iter_mut().filter_map(lost).collect()
    }

    /// Whether another look may find something.
    pub(super) fn may_have_losses(&self) -> bool {
        self.0.values().any(|origin| {
            let newest = origin.numbers.last().unwrap_or_default();
            origin.losses.dropped > 0
                || origin.numbers.count_missing(origin.losses.first(), newest) > 0
        })
    }

    /// Whether a message came in an earlier life of this node, in the same process.
    pub(super) fn came_before(&self, id: MessageId) -> bool {
        self.0.get(&id.origin).is_some_and(|origin| origin.before.contains(id.sequence))
    }

    /// A new life begins, in which no message has come.
    pub(super) fn begin_anew(&mut self, config: &BroadcastConfig) {
        for origin in self.0.values_mut() {
            let numbers = core::mem::take(&mut origin.numbers);
            origin.losses = Losses::default();
            origin.before.absorb(&numbers);
            while origin.before.intervals() > config.max_gaps + 1 {
                origin.before.fill_lowest_gap();
            }
        }
    }

    /// The messages of one origin within a range that have not come, the oldest first.
    pub(super) fn missing(
        &self,
        origin: Instance,
        (first, last): (u64, u64),
    ) -> impl Iterator<Item = MessageId> {
        const NOTHING: &IntervalSet = &IntervalSet::EMPTY;
        let numbers = self.0.get(&origin).map_or(NOTHING, |origin| &origin.numbers);
        numbers.missing(first, last).map(move |sequence| MessageId { origin, sequence })
    }

    /// Forgets an eighth of the origins, those not heard of for longest; says how many. Many at
    /// once, since it looks at all of them.
    fn make_room(&mut self) -> u64 {
        let mut used: Vec<_> = self.0.iter().map(|(id, origin)| (origin.used, *id)).collect();
        used.sort_unstable();
        used.truncate((used.len() / 8).max(1));
        for (_, id) in &used {
            self.0.remove(id);
        }
        used.len() as u64
    }

    #[cfg(test)]
    pub(super) fn origins(&self) -> usize {
        self.0.len()
    }
}

impl Hash for Seen {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for (id, origin) in &self.0 {
            id.hash(state);
            (&origin.numbers, &origin.before, &origin.losses).hash(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Incarnation, NodeId};

    fn id(node: u64, sequence: u64) -> MessageId {
        let origin = Instance { node: NodeId::from_u64(node), incarnation: Incarnation(1) };
        MessageId { origin, sequence }
    }

    fn config(max_origins: usize, max_gaps: usize) -> BroadcastConfig {
        BroadcastConfig { max_origins, max_gaps, ..BroadcastConfig::default() }
    }

    /// Checklist B2.
    #[test]
    fn a_message_is_new_once_however_late_it_comes_again() {
        let (mut seen, mut counters) = (Seen::default(), BroadcastCounters::default());
        let config = BroadcastConfig::default();
        let mut insert =
            |at, id| seen.insert(id, false, Instant::from_secs(at), &config, &mut counters);
        assert!(insert(0, id(1, 1)));
        (2..10_000).for_each(|n| assert!(insert(n, id(1, n))));
        assert!(!insert(1 << 40, id(1, 1)) && !insert(1 << 40, id(1, 9_999)));
        let mut other_life = id(1, 1);
        other_life.origin.incarnation = Incarnation(2);
        assert!(insert(1 << 40, other_life), "another life is another sender");
    }

    #[test]
    fn in_a_new_life_all_is_new_and_what_came_before_is_known() {
        let (mut seen, mut counters) = (Seen::default(), BroadcastCounters::default());
        let config = BroadcastConfig::default();
        let mut insert = |seen: &mut Seen, n| {
            seen.insert(id(1, n), false, Instant::ZERO, &config, &mut counters)
        };
        assert!(insert(&mut seen, 1));
        seen.begin_anew(&config);
        assert!(insert(&mut seen, 1) && insert(&mut seen, 2) && !insert(&mut seen, 2));
        assert!(seen.came_before(id(1, 1)) && !seen.came_before(id(1, 2)));
        seen.begin_anew(&config);
        assert!([1, 2].into_iter().all(|n| seen.came_before(id(1, n)) && !seen.contains(id(1, n))));
    }

    #[test]
    fn the_origins_that_were_silent_for_longest_make_room() {
        let (mut seen, mut counters) = (Seen::default(), BroadcastCounters::default());
        let config = config(16, 4);
        for node in 0..40 {
            seen.insert(id(node, 1), false, Instant::from_secs(node), &config, &mut counters);
            assert!(seen.origins() <= 16);
        }
        assert!(seen.contains(id(39, 1)) && !seen.contains(id(0, 1)));
        assert!(counters.forgotten_origins >= 24);
    }

    #[test]
    fn gaps_beyond_the_limit_are_given_up() {
        let (mut seen, mut counters) = (Seen::default(), BroadcastCounters::default());
        let config = config(16, 4);
        for n in (1..=21).step_by(2) {
            seen.insert(id(1, n), false, Instant::ZERO, &config, &mut counters);
        }
        assert_eq!(counters.forgotten_gaps, 6);
        let missing: Vec<_> = seen.missing(id(1, 1).origin, (1, 21)).collect();
        assert_eq!(missing, [14, 16, 18, 20].map(|n| id(1, n)));
        assert_eq!(seen.missing(id(2, 1).origin, (5, 6)).count(), 2);
        assert_eq!(
            seen.look_for_losses(),
            [(id(1, 1).origin, 6)],
            "what was dropped is told at once"
        );
        assert_eq!(seen.look_for_losses(), [(id(1, 1).origin, 4)]);
        assert!(seen.look_for_losses().is_empty() && !seen.may_have_losses());
    }

    /// Numbers may be lies.
    #[test]
    fn losses_of_any_size_can_be_told() {
        let (mut seen, mut counters) = (Seen::default(), BroadcastCounters::default());
        let config = config(16, 1);
        for (node, numbers) in [(1, [u64::MAX, 1, 3]), (2, [1, u64::MAX, 3]), (3, [1, 3, u64::MAX])]
        {
            for n in numbers {
                seen.insert(id(node, n), false, Instant::ZERO, &config, &mut counters);
            }
        }
        let told = [seen.look_for_losses(), seen.look_for_losses()].concat();
        let expected = [(2, 1), (3, 1), (2, u64::MAX - 4), (3, u64::MAX - 4)];
        assert_eq!(told, expected.map(|(node, count)| (id(node, 1).origin, count)));
        assert!(!seen.may_have_losses());
    }

    #[test]
    fn what_is_missing_at_two_looks_is_lost_and_counts_once() {
        let (mut seen, mut counters) = (Seen::default(), BroadcastCounters::default());
        let config = BroadcastConfig::default();
        let mut insert = |seen: &mut Seen, node, n, stored| {
            seen.insert(id(node, n), stored, Instant::ZERO, &config, &mut counters);
        };
        // What came before the first is not owed to a node that joined later.
        [7, 8, 12, 15].iter().for_each(|n| insert(&mut seen, 1, *n, false));
        [1, 9].iter().for_each(|n| insert(&mut seen, 2, *n, true));
        assert!(seen.look_for_losses().is_empty() && seen.may_have_losses());
        insert(&mut seen, 1, 10, false);
        insert(&mut seen, 1, 18, false);
        assert_eq!(seen.look_for_losses(), [(id(1, 1).origin, 4)], "9, 11, 13 and 14");
        assert_eq!(seen.look_for_losses(), [(id(1, 1).origin, 2)], "16 and 17");
        assert!(seen.look_for_losses().is_empty() && !seen.may_have_losses());
    }
}
