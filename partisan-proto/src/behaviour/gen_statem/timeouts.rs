//! The timeouts of a state machine.

use alloc::collections::{BTreeMap, VecDeque};
use core::fmt;

use super::When;
use crate::behaviour::envelope;
use crate::process::ActorContext;
use crate::time::Duration;

/// The kinds of timeouts, of each of which one runs at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timeout<T> {
    /// Over with any event (`timeout`).
    Event,
    /// Over with a change of state (`state_timeout`).
    State,
    /// Lasts until it is over or cancelled (`{timeout, Name}`).
    Named(T),
}

/// All that run.
pub(super) struct Timeouts<T, C> {
    running: BTreeMap<Timeout<T>, Running<C>>,
    /// Of those with a timer: which.
    numbers: BTreeMap<u64, Timeout<T>>,
    /// Those of zero, in the order in which they were started.
    zero: VecDeque<Timeout<T>>,
}

struct Running<C> {
    /// `None` for one of zero.
    number: Option<u64>,
    content: C,
}

impl<T: Ord + Clone, C> Timeouts<T, C> {
    pub(super) const fn new() -> Self {
        Self { running: BTreeMap::new(), numbers: BTreeMap::new(), zero: VecDeque::new() }
    }

    pub(super) fn start(
        &mut self,
        cx: &mut ActorContext<'_>,
        timeout: Timeout<T>,
        when: When,
        content: C,
    ) {
        self.cancel(cx, &timeout);
        let number = match when {
            When::After(Duration::ZERO) => {
                self.zero.push_back(timeout.clone());
                None
            }
            When::After(after) => Some(after),
            When::At(at) => Some(at.since(cx.now())),
        };
        // One that is over already takes its turn behind the mailbox all the same.
        let number = number.map(|after| cx.send_after(after, cx.me(), envelope::timer()));
        if let Some(number) = number {
            self.numbers.insert(number, timeout.clone());
        }
        self.running.insert(timeout, Running { number, content });
    }

    pub(super) fn update(&mut self, cx: &mut ActorContext<'_>, timeout: Timeout<T>, content: C) {
        match self.running.get_mut(&timeout) {
            Some(running) => running.content = content,
            None => self.start(cx, timeout, When::After(Duration::ZERO), content),
        }
    }

    pub(super) fn cancel(&mut self, cx: &mut ActorContext<'_>, timeout: &Timeout<T>) {
        match self.running.remove(timeout).map(|running| running.number) {
            Some(Some(number)) => {
                self.numbers.remove(&number);
                cx.cancel_timer(number);
            }
            Some(None) => self.zero.retain(|zero| zero != timeout),
            None => {}
        }
    }

    pub(super) fn cancel_all(&mut self, cx: &mut ActorContext<'_>) {
        while let Some((number, _)) = self.numbers.pop_first() {
            cx.cancel_timer(number);
        }
        self.running.clear();
        self.zero.clear();
    }

    /// A timer is due: what is over by that. `None` if it was cancelled or replaced meanwhile.
    pub(super) fn due(&mut self, number: u64) -> Option<(Timeout<T>, C)> {
        let timeout = self.numbers.remove(&number)?;
        let running = self.running.remove(&timeout)?;
        Some((timeout, running.content))
    }

    /// The next timeout of zero.
    pub(super) fn next_zero(&mut self) -> Option<(Timeout<T>, C)> {
        let timeout = self.zero.pop_front()?;
        let running = self.running.remove(&timeout)?;
        Some((timeout, running.content))
    }
}

impl<T: fmt::Debug, C: fmt::Debug> fmt::Debug for Timeouts<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let running = self.running.iter().map(|(timeout, running)| (timeout, &running.content));
        f.debug_map().entries(running).finish()
    }
}
