//! Messages that processes have sent later.

use alloc::collections::BTreeMap;

use bytes::Bytes;

use super::{Serial, Target, TimerId};
use crate::context::Context;
use crate::time::{Duration, Instant};
use crate::timers::Timer;

/// What is to be sent when a timer is due.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Late {
    /// To whom.
    pub(crate) target: Target,
    /// What.
    pub(crate) payload: Bytes,
}

/// The timers of all processes.
#[derive(Debug, Default, Hash)]
pub(super) struct SendLater {
    waiting: BTreeMap<TimerId, Late>,
}

impl SendLater {
    /// Sets a timer; `false` when no more are allowed. A number in use is left as it is.
    pub(super) fn set(
        &mut self,
        cx: &mut Context<'_>,
        timer: TimerId,
        at: Instant,
        late: Late,
    ) -> bool {
        if self.waiting.contains_key(&timer) {
            return true;
        }
        if self.waiting.len() >= cx.config.processes.max_timers {
            return false;
        }
        self.waiting.insert(timer, late);
        cx.timers.set(Timer::Process(timer), at);
        true
    }

    /// Takes what is due.
    pub(super) fn take(&mut self, timer: TimerId) -> Option<Late> {
        self.waiting.remove(&timer)
    }

    /// Unsets a timer; says how long it had to go.
    pub(super) fn cancel(&mut self, cx: &mut Context<'_>, timer: TimerId) -> Option<Duration> {
        self.waiting.remove(&timer)?;
        let due = cx.timers.due(Timer::Process(timer))?;
        cx.timers.cancel(Timer::Process(timer));
        Some(due.since(cx.now))
    }

    /// Unsets the timers of a process that ended.
    pub(super) fn forget(&mut self, cx: &mut Context<'_>, owner: Serial) {
        let of_owner: alloc::vec::Vec<TimerId> = self.of(owner).collect();
        for timer in of_owner {
            self.waiting.remove(&timer);
            cx.timers.cancel(Timer::Process(timer));
        }
    }

    pub(super) fn of(&self, owner: Serial) -> impl Iterator<Item = TimerId> {
        let range = TimerId { owner, number: 0 }..=TimerId { owner, number: u64::MAX };
        self.waiting.range(range).map(|(timer, _)| *timer)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}
