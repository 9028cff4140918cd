//! One label: what was sent before what, and what waits for what.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::incoming::Arrival;
use crate::context::Context;
use crate::error::CommandError;
use crate::id::{Incarnation, Instance, LabelId, NodeId};
use crate::time::{Duration, Instant};
use crate::wire::{Bounded, CausalHeader, Dependency, Elsewhere, MAX_DEPENDENCIES};

/// A message that may have to wait for others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Waiting {
    pub(super) from: Instance,
    pub(super) sequence: u64,
    pub(super) header: CausalHeader,
    pub(super) arrival: Arrival,
    pub(super) since: Instant,
}

/// The number of a message and when it was sent or delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Dated {
    number: u64,
    at: Instant,
}

/// The messages of one label, as this node knows them.
#[derive(Debug, Default, Hash)]
pub(super) struct Causal {
    /// How many this node sent.
    sent: u64,
    /// The last one of each origin that was delivered here.
    delivered: BTreeMap<Instance, Dated>,
    /// By receiver and origin: the last message that came before whatever this node sends now, and
    /// is not known to be delivered.
    barrier: BTreeMap<(Instance, Instance), Dated>,
    /// In the order of their arrival.
    waiting: VecDeque<Waiting>,
    /// When what is old was forgotten last.
    tidied: Instant,
    /// When those who wait were looked at last.
    looked: Instant,
}

impl Causal {
    /// What the next message to `to` carries; from now on it comes before everything else.
    pub(super) fn stamp(
        &mut self,
        now: Instant,
        (label, to): (LabelId, Instance),
        patience: Duration,
        most: usize,
    ) -> Result<CausalHeader, CommandError> {
        if self.barrier.len() >= most {
            self.forget_old(now, patience);
        }
        let (mut after, mut elsewhere) = (Bounded::new(), Bounded::new());
        for ((receiver, origin), dated) in &self.barrier {
            let message = Dependency { origin: *origin, number: dated.number };
            let full = match *receiver == to {
                true => after.push(message).is_err(),
                false => {
                    let age = age(now, dated.at);
                    elsewhere.push(Elsewhere { to: *receiver, message, age }).is_err()
                }
            };
            if full || after.len() + elsewhere.len() > most {
                return Err(CommandError::TooManyDependencies { limit: most });
            }
        }
        Ok(CausalHeader { label, number: self.sent + 1, after, elsewhere })
    }

    /// A message was stamped and is on its way: it stands for all that came before it to `to`.
    pub(super) fn sent(&mut self, now: Instant, me: Instance, to: Instance) {
        self.sent += 1;
        let earlier = self.barrier.range((to, LEAST)..).map(|(key, _)| *key);
        let earlier: Vec<_> = earlier.take_while(|(receiver, _)| *receiver == to).collect();
        for key in earlier {
            self.barrier.remove(&key);
        }
        self.barrier.insert((to, me), Dated { number: self.sent, at: now });
    }

    /// A message of this node was delivered: nobody need wait for it.
    pub(super) fn delivered_to(&mut self, to: Instance, me: Instance, number: u64) {
        let known = self.barrier.get(&(to, me));
        if known.is_some_and(|dated| dated.number <= number) {
            self.barrier.remove(&(to, me));
        }
    }

    /// A message of this node failed: what it stood for comes first again.
    pub(super) fn failed(&mut self, now: Instant, to: Instance, me: Instance, of: &CausalHeader) {
        let known = self.barrier.get(&(to, me));
        if known.is_some_and(|dated| dated.number == of.number) {
            self.barrier.remove(&(to, me));
            for before in of.after.iter() {
                self.learn(to, before.origin, Dated { number: before.number, at: now });
            }
        }
    }

    /// All that comes before whatever this node sends from now on.
    pub(super) fn past(
        &mut self,
        now: Instant,
        patience: Duration,
    ) -> Result<Bounded<Elsewhere, MAX_DEPENDENCIES>, CommandError> {
        self.forget_old(now, patience);
        let mut past = Bounded::new();
        for ((to, origin), dated) in &self.barrier {
            let message = Dependency { origin: *origin, number: dated.number };
            let limit = MAX_DEPENDENCIES;
            let full = past.push(Elsewhere { to: *to, message, age: age(now, dated.at) }).is_err();
            if full {
                return Err(CommandError::TooManyDependencies { limit });
            }
        }
        Ok(past)
    }

    /// What an earlier life of this node knew comes before whatever this one sends, too. What it was
    /// to deliver itself is over with it.
    pub(super) fn recall(&mut self, now: Instant, me: Instance, past: &[Elsewhere]) {
        for Elsewhere { to, message, age } in past.iter().copied() {
            if to.node != me.node {
                let at = back(now, Duration::from_millis(age.into()));
                self.learn(to, message.origin, Dated { number: message.number, at });
            }
        }
    }

    /// A message comes before whatever this node sends from now on.
    fn learn(&mut self, to: Instance, origin: Instance, dated: Dated) {
        let known = self.barrier.entry((to, origin)).or_insert(dated);
        if known.number < dated.number {
            *known = dated;
        }
    }

    /// Takes a message that arrived; `false` when too many wait. One that need not wait is always
    /// taken: others may wait for it.
    pub(super) fn take(&mut self, cx: &Context<'_>, waiting: Waiting, most: usize) -> bool {
        let taken = self.waiting.len() < most || self.is_ready(cx, &waiting);
        if taken {
            self.waiting.push_back(waiting);
        }
        taken
    }

    /// The next message that may be delivered, or that has waited too long; and which of the two.
    pub(super) fn next(&mut self, cx: &Context<'_>, patience: Duration) -> Option<(Waiting, bool)> {
        self.looked = cx.now;
        let (place, patient) = match self.waiting.iter().position(|one| self.is_ready(cx, one)) {
            Some(place) => (place, true),
            None => {
                let first = self.waiting.front()?;
                if first.since + patience > cx.now {
                    return None;
                }
                (0, false)
            }
        };
        let waiting = self.waiting.remove(place)?;
        self.deliver(cx.now, cx.me.instance, &waiting);
        Some((waiting, patient))
    }

    fn is_ready(&self, cx: &Context<'_>, waiting: &Waiting) -> bool {
        waiting.header.after.iter().all(|before| self.is_over(cx, *before, waiting.since))
    }

    /// Whether a message for this node was delivered, or never will be, nor any that it stands for.
    fn is_over(&self, cx: &Context<'_>, before: Dependency, since: Instant) -> bool {
        let Dependency { origin, number } = before;
        let delivered = self.delivered.get(&origin).is_some_and(|last| last.number >= number);
        // Nothing comes any more from a life that a later one has followed. But what was lost with it
        // may stand for messages of others, which are tried for so long.
        let later = || {
            if since + cx.config.delivery.expire_after > cx.now {
                return false;
            }
            let peer = cx.routes.peer(origin.node);
            peer.is_some_and(|peer| peer.instance.incarnation > origin.incarnation)
        };
        delivered || origin == cx.me.instance || later()
    }

    /// What comes before a delivered message comes before whatever this node sends from now on.
    fn deliver(&mut self, now: Instant, me: Instance, waiting: &Waiting) {
        let number = waiting.header.number;
        let last = self.delivered.entry(waiting.from).or_insert(Dated { number, at: now });
        (last.number, last.at) = (last.number.max(number), now);
        for Elsewhere { to, message, age } in waiting.header.elsewhere.iter().copied() {
            if to == me {
                continue;
            }
            let at = back(now, Duration::from_millis(age.into()));
            self.learn(to, message.origin, Dated { number: message.number, at });
        }
    }

    /// What is older than anything that can still arrive need not be known any more.
    pub(super) fn forget_old(&mut self, now: Instant, patience: Duration) {
        self.tidied = now;
        self.barrier.retain(|_, dated| dated.at + patience > now);
        // Those who wait may be asked for longer than what they wait for is remembered.
        self.delivered.retain(|_, dated| dated.at + 2 * patience > now);
    }

    /// When something is to be done: the first has waited long enough, or something may be old.
    pub(super) fn due(&self, patience: Duration, expiry: Duration) -> Option<Instant> {
        let waits = self.waiting.front().map(|first| first.since + patience);
        let expired = self.waiting.iter().map(|one| one.since + expiry);
        let expires = expired.into_iter().find(|at| *at > self.looked);
        let holds = !self.barrier.is_empty() || !self.delivered.is_empty();
        let tidy = holds.then_some(self.tidied + patience);
        waits.into_iter().chain(expires).chain(tidy).min()
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

const LEAST: Instance = Instance { node: NodeId::from_u64(0), incarnation: Incarnation::NONE };

/// How long ago that was, in milliseconds.
fn age(now: Instant, at: Instant) -> u32 {
    u32::try_from(now.since(at).as_millis()).unwrap_or(u32::MAX)
}

/// The time so long ago.
fn back(now: Instant, span: Duration) -> Instant {
    let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    Instant::from_nanos(now.as_nanos().saturating_sub(nanos))
}
