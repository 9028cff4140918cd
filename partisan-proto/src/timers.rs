//! All timers of a node: one ordered queue, one reason each.

use alloc::collections::VecDeque;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::id::{ChannelId, ConnectionId, NodeId, Ticket};
use crate::time::Instant;

/// What will be done when the time comes. A key: setting it again moves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Timer {
    /// Give up a handshake.
    EndHandshake(ConnectionId),
    /// Ping a silent connection, or give it up.
    KeepAlive(ConnectionId),
    /// Dial one lane of a peer.
    Dial(NodeId, ChannelId, u8),
    /// Dial a contact of which only the address is known.
    DialContact(u32),
    /// Stop waiting for the last messages of a peer that said goodbye.
    EndGoodbye(NodeId),
    /// Run a gossip round.
    Gossip,
    /// Send the news collected since the last sending.
    News,
    /// Fail a `sync_join`.
    EndJoin(Ticket),
    /// A timer of a user's own manager.
    Custom(u64),
    /// The membership strategy's own timer.
    Strategy,
}

/// Up to so many timers are found by looking at each: no slower, and the table is spared, which
/// would be half of a quiet node's timers.
const FEW: usize = 32;

/// The timers that are set, in the order of (deadline, order of setting).
#[derive(Clone, Debug, Default)]
pub struct Timers {
    /// Ascending; the next one is at the front.
    queue: VecDeque<(Instant, u64, Timer)>,
    /// Where to find a set timer in `queue`: all of them, or none while they are few. Looked up,
    /// never iterated.
    index: HashMap<Timer, (Instant, u64), FixedState>,
    counter: u64,
}

impl Timers {
    /// Sets `timer` to `at`, moving it when it is set already. At [`Instant::FAR_FUTURE`] it never
    /// fires.
    pub fn set(&mut self, timer: Timer, at: Instant) {
        self.cancel(timer);
        self.counter += 1;
        let key = (at, self.counter);
        let place = self.queue.partition_point(|(due, order, _)| (*due, *order) < key);
        self.queue.insert(place, (at, self.counter, timer));
        if !self.index.is_empty() {
            self.index.insert(timer, key);
        } else if self.queue.len() > FEW {
            let all = self.queue.iter().map(|(at, order, timer)| (*timer, (*at, *order)));
            self.index.extend(all);
        }
    }

    /// Where a timer is in the queue, if it is set.
    fn place(&self, timer: Timer) -> Option<usize> {
        if self.index.is_empty() {
            return self.queue.iter().position(|(_, _, other)| *other == timer);
        }
        let key = self.index.get(&timer)?;
        Some(self.queue.partition_point(|(due, order, _)| (*due, *order) < *key))
    }

    /// Keeps the index right after a timer has left the queue.
    fn unset(&mut self, timer: Timer) {
        if self.index.is_empty() {
            return;
        }
        self.index.remove(&timer);
        if self.queue.len() <= FEW / 2 {
            self.index = HashMap::default();
        }
    }

    /// Unsets `timer`; says whether it was set.
    pub fn cancel(&mut self, timer: Timer) -> bool {
        let Some(place) = self.place(timer) else {
            return false;
        };
        self.queue.remove(place);
        self.unset(timer);
        true
    }

    /// When `timer` is due, if it is set.
    #[must_use]
    pub fn due(&self, timer: Timer) -> Option<Instant> {
        self.place(timer).map(|place| self.queue[place].0)
    }

    /// The next timer and when it is due.
    #[must_use]
    pub fn next(&self) -> Option<(Instant, Timer)> {
        self.queue.front().map(|(at, _, timer)| (*at, *timer))
    }

    /// Takes the next timer that is due by `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let (at, _, timer) = *self.queue.front()?;
        // What is set for the end of time would be set for it again, and again.
        if at > now || at == Instant::FAR_FUTURE {
            return None;
        }
        self.queue.pop_front();
        self.unset(timer);
        Some(timer)
    }

    /// How many are set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Instant, Timer)> {
        self.queue.iter().map(|(at, _, timer)| (*at, *timer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn ties_fire_in_the_order_of_setting() {
        let mut timers = Timers::default();
        let at = Instant::from_secs(1);
        timers.set(Timer::News, at);
        timers.set(Timer::Gossip, at);
        timers.set(Timer::News, at);
        assert_eq!(timers.pop_due(Instant::ZERO), None);
        assert_eq!(timers.pop_due(at), Some(Timer::Gossip));
        assert_eq!(timers.pop_due(at), Some(Timer::News));
        assert_eq!(timers.pop_due(at), None);
    }

    #[test]
    fn what_is_set_for_the_end_of_time_never_fires() {
        let mut timers = Timers::default();
        timers.set(Timer::Gossip, Instant::FAR_FUTURE);
        assert_eq!(timers.pop_due(Instant::FAR_FUTURE), None);
        assert_eq!(timers.due(Timer::Gossip), Some(Instant::FAR_FUTURE));
    }

    /// More than are few.
    const KEYS: u64 = 2 * FEW as u64;

    #[derive(Clone, Debug)]
    enum Step {
        Set(u64, u64),
        Cancel(u64),
        Pop(u64),
        PopAll,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            12 => (0..KEYS, 0..20u64).prop_map(|(timer, at)| Step::Set(timer, at)),
            2 => (0..KEYS).prop_map(Step::Cancel),
            1 => (0..20u64).prop_map(Step::Pop),
            // Seldom a long row of them, so that the index comes and goes.
            1 => Just(Step::PopAll),
        ]
    }

    proptest! {
        /// The queue against the simplest thing that could be right: a list searched each time.
        #[test]
        fn behaves_like_a_naive_list(steps in proptest::collection::vec(step(), 0..400)) {
            let mut timers = Timers::default();
            let mut naive: Vec<(u64, usize, u64)> = Vec::new();
            for (order, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Set(timer, at) => {
                        timers.set(Timer::Custom(timer), Instant::from_nanos(at));
                        naive.retain(|(_, _, other)| *other != timer);
                        naive.push((at, order, timer));
                    }
                    Step::Cancel(timer) => {
                        let was = naive.iter().any(|(_, _, other)| *other == timer);
                        prop_assert_eq!(timers.cancel(Timer::Custom(timer)), was);
                        naive.retain(|(_, _, other)| *other != timer);
                    }
                    Step::Pop(now) => {
                        let first = naive.iter().min().copied().filter(|(at, _, _)| *at <= now);
                        let popped = timers.pop_due(Instant::from_nanos(now));
                        prop_assert_eq!(popped, first.map(|(_, _, timer)| Timer::Custom(timer)));
                        naive.retain(|entry| Some(*entry) != first);
                    }
                    Step::PopAll => {
                        naive.sort_unstable();
                        let keep = naive.len() / 4;
                        for (_, _, timer) in naive.drain(..naive.len() - keep) {
                            let popped = timers.pop_due(Instant::from_nanos(20));
                            prop_assert_eq!(popped, Some(Timer::Custom(timer)));
                        }
                    }
                }
                for timer in 0..KEYS {
                    let due = naive.iter().find(|(_, _, other)| *other == timer);
                    let due = due.map(|(at, _, _)| Instant::from_nanos(*at));
                    prop_assert_eq!(timers.due(Timer::Custom(timer)), due);
                }
                let next = naive.iter().min().map(|(at, _, timer)| (*at, *timer));
                let told = timers.next().map(|(at, timer)| match timer {
                    Timer::Custom(number) => (at.as_nanos(), number),
                    other => panic!("never set: {other:?}"),
                });
                prop_assert_eq!(told, next);
                prop_assert_eq!(timers.len(), naive.len());
                prop_assert!(timers.index.is_empty() || timers.index.len() == timers.len());
                prop_assert!(timers.len() <= FEW || !timers.index.is_empty());
            }
        }
    }
}
