//! All timers of a node: one ordered queue, one reason each.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::mem;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::id::{ChannelId, ConnectionId, NodeId, Ticket};
use crate::process::{RequestId, TimerId};
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
    /// A timer of broadcasts.
    Broadcast(BroadcastTimer),
    /// HyParView: exchange a sample of the views.
    Shuffle,
    /// HyParView: look for more neighbours.
    Promote,
    /// HyParView: dial somebody who could not be reached.
    Reconcile,
    /// HyParView: store the views.
    Store,
    /// HyParView: what a peer was waited for has not come, or the session has outlived its use.
    Peer(NodeId),
    /// X-BOT: try an exchange of neighbours.
    Optimize,
    /// X-BOT: give up the exchange that this node is part of.
    EndRound,
    /// Send what a process asked to be sent later.
    Process(TimerId),
    /// End a call that takes too long.
    Request(RequestId),
    /// Send again what a node has not acknowledged, or fail what has expired.
    Retransmit(NodeId),
    /// Acknowledge what a node sent.
    Acknowledge(NodeId),
    /// Deliver causal messages that have waited too long.
    Causal,
    /// Deliver ordered messages of a node that have waited too long.
    Ordered(NodeId),
}

/// What broadcasts have timers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum BroadcastTimer {
    /// Send the announcements collected since the last sending.
    Announce,
    /// Ask for messages that were announced and did not come.
    Graft,
    /// Send the heartbeat of the shared tree, or become the one who does.
    Heartbeat,
    /// Renew the tree of this node's own messages.
    OwnTree,
    /// Start exchanges, and end those that take too long.
    Exchange,
    /// Stop waiting for answers of handlers.
    Questions,
    /// Forget old messages and unused trees.
    Tidy,
}

impl Timer {
    /// A bit for each timer of which there is one; `None` for those that are about somebody.
    const fn bit(self) -> Option<u32> {
        Some(match self {
            Self::Gossip => 1,
            Self::News => 1 << 1,
            Self::Strategy => 1 << 2,
            Self::Shuffle => 1 << 3,
            Self::Promote => 1 << 4,
            Self::Reconcile => 1 << 5,
            Self::Store => 1 << 6,
            Self::Optimize => 1 << 7,
            Self::EndRound => 1 << 8,
            Self::Causal => 1 << 9,
            Self::Broadcast(timer) => 1 << (10 + timer as u32),
            _ => return None,
        })
    }
}

impl BroadcastTimer {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Announce,
        Self::Graft,
        Self::Heartbeat,
        Self::OwnTree,
        Self::Exchange,
        Self::Questions,
        Self::Tidy,
    ];
}

const _: () = assert!(size_of::<(Instant, Timer)>() <= 32);

/// Up to so many timers are found by looking at each: no slower, and the table is spared, which
/// would be half of a quiet node's timers.
const FEW: usize = 32;

/// Room is made for so many more at a time while they are few, and not given back: doubling would be
/// half of a quiet node's timers.
const ROOM: usize = 2;

/// The timers that are set, in the order of (deadline, order of setting).
#[derive(Clone, Debug, Default)]
pub struct Timers {
    /// Ascending, those of one deadline in the order of setting; the next one is at the front.
    queue: VecDeque<(Instant, Timer)>,
    /// The deadline of each set timer: of all of them, or none while they are few. Looked up, never
    /// iterated.
    index: Option<Box<HashMap<Timer, Instant, FixedState>>>,
    /// Fired last and not set since: whoever sets it again need not search for it first.
    fired: Option<Timer>,
    /// The [bits](Timer::bit) of those that are set: parts ask after timers that are seldom set at
    /// every event, and need not search for them.
    bits: u32,
}

impl Timers {
    /// Sets `timer` to `at`, moving it when it is set already. At [`Instant::FAR_FUTURE`] it never
    /// fires.
    pub fn set(&mut self, timer: Timer, at: Instant) {
        if self.fired == Some(timer) {
            self.fired = None;
        } else {
            self.cancel(timer);
        }
        // Behind those of the same deadline. Most are set for later than all others.
        let last = self.queue.back().is_none_or(|(due, _)| *due <= at);
        let place = match last {
            true => self.queue.len(),
            false => self.queue.partition_point(|(due, _)| *due <= at),
        };
        if self.queue.len() == self.queue.capacity() && self.index.is_none() {
            self.queue.reserve_exact(ROOM);
        }
        self.queue.insert(place, (at, timer));
        self.bits |= timer.bit().unwrap_or(0);
        if let Some(index) = &mut self.index {
            index.insert(timer, at);
        } else if self.queue.len() > FEW {
            let all = self.queue.iter().map(|(at, timer)| (*timer, *at));
            self.index = Some(Box::new(all.collect()));
        }
    }

    /// Where a timer is in the queue, if it is set.
    fn place(&self, timer: Timer) -> Option<usize> {
        if timer.bit().is_some_and(|bit| self.bits & bit == 0) {
            return None;
        }
        let Some(index) = &self.index else {
            // Kinds first: most differ, and payloads take much longer to compare. And slice by slice,
            // since a ring is not searched as quickly.
            let kind = mem::discriminant(&timer);
            let is_it = |(_, other): &_| mem::discriminant(other) == kind && *other == timer;
            let (front, back) = self.queue.as_slices();
            let behind = || back.iter().position(is_it).map(|place| front.len() + place);
            return front.iter().position(is_it).or_else(behind);
        };
        let at = *index.get(&timer)?;
        let first = self.queue.partition_point(|(due, _)| *due < at);
        let of_deadline = self.queue.range(first..).position(|(_, other)| *other == timer);
        of_deadline.map(|place| first + place)
    }

    /// Keeps the index right after a timer has left the queue, and gives memory back.
    fn unset(&mut self, timer: Timer) {
        self.bits &= !timer.bit().unwrap_or(0);
        if let Some(index) = &mut self.index {
            index.remove(&timer);
            if self.queue.len() <= FEW / 2 {
                self.index = None;
            }
        }
        let (few, room) = (self.index.is_none(), self.queue.capacity() - self.queue.len());
        if few && room > 2 * ROOM {
            self.queue.shrink_to(self.queue.len() + ROOM);
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
        self.queue.front().copied()
    }

    /// Takes the next timer that is due by `now`.
    pub fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = *self.queue.front()?;
        // What is set for the end of time would be set for it again, and again.
        if at > now || at == Instant::FAR_FUTURE {
            return None;
        }
        self.queue.pop_front();
        self.unset(timer);
        self.fired = Some(timer);
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
        self.queue.iter().copied()
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
    /// Some of those of which there is one.
    const SINGLE: [Timer; 4] = [
        Timer::Promote,
        Timer::Gossip,
        Timer::Broadcast(BroadcastTimer::Announce),
        Timer::Broadcast(BroadcastTimer::Tidy),
    ];

    /// The timer of this number.
    fn key(number: u64) -> Timer {
        SINGLE.get(number as usize).copied().unwrap_or(Timer::Custom(number))
    }

    #[test]
    fn no_two_timers_share_a_bit() {
        let single = [
            Timer::Gossip,
            Timer::News,
            Timer::Strategy,
            Timer::Shuffle,
            Timer::Promote,
            Timer::Reconcile,
            Timer::Store,
            Timer::Optimize,
            Timer::EndRound,
            Timer::Causal,
        ];
        let all = single.into_iter().chain(BroadcastTimer::ALL.map(Timer::Broadcast));
        let bits: Vec<u32> = all.filter_map(Timer::bit).collect();
        assert_eq!(bits.len(), single.len() + BroadcastTimer::ALL.len());
        assert_eq!(bits.iter().fold(0, |all, bit| all | bit).count_ones() as usize, bits.len());
    }

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
                        timers.set(key(timer), Instant::from_nanos(at));
                        naive.retain(|(_, _, other)| *other != timer);
                        naive.push((at, order, timer));
                    }
                    Step::Cancel(timer) => {
                        let was = naive.iter().any(|(_, _, other)| *other == timer);
                        prop_assert_eq!(timers.cancel(key(timer)), was);
                        naive.retain(|(_, _, other)| *other != timer);
                    }
                    Step::Pop(now) => {
                        let first = naive.iter().min().copied().filter(|(at, _, _)| *at <= now);
                        let popped = timers.pop_due(Instant::from_nanos(now));
                        prop_assert_eq!(popped, first.map(|(_, _, timer)| key(timer)));
                        naive.retain(|entry| Some(*entry) != first);
                    }
                    Step::PopAll => {
                        naive.sort_unstable();
                        let keep = naive.len() / 4;
                        for (_, _, timer) in naive.drain(..naive.len() - keep) {
                            let popped = timers.pop_due(Instant::from_nanos(20));
                            prop_assert_eq!(popped, Some(key(timer)));
                        }
                    }
                }
                for timer in 0..KEYS {
                    let due = naive.iter().find(|(_, _, other)| *other == timer);
                    let due = due.map(|(at, _, _)| Instant::from_nanos(*at));
                    prop_assert_eq!(timers.due(key(timer)), due);
                }
                let next = naive.iter().min();
                let next = next.map(|(at, _, timer)| (Instant::from_nanos(*at), key(*timer)));
                prop_assert_eq!(timers.next(), next);
                prop_assert_eq!(timers.len(), naive.len());
                let indexed = timers.index.as_ref().map(|index| index.len());
                prop_assert!(indexed.is_none_or(|indexed| indexed == timers.len()));
                prop_assert!(timers.len() <= FEW || indexed.is_some());
            }
        }
    }
}
