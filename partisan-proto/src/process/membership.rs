//! Which processes wait for the membership to become another.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;

use super::{Action, Context, ExitReason, MonitorId, Processes, Serial, Signal, Signals};
use crate::manager::Member;

/// Who waits for the next membership, each to be told once.
#[derive(Debug, Default, Hash)]
pub(super) struct Membership {
    /// How often it changed since the start of the node.
    version: u64,
    waiting: BTreeSet<MonitorId>,
}

impl Membership {
    pub(super) fn forget(&mut self, id: MonitorId) {
        self.waiting.remove(&id);
    }

    /// Forgets what a process that ended waited for.
    pub(super) fn forget_all(&mut self, owner: Serial) {
        self.waiting.retain(|id| id.owner != owner);
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    fn signal(&self, number: u64, members: &Arc<[Member]>) -> Signal {
        Signal::Members { number, version: self.version, members: members.clone() }
    }
}

impl Processes {
    /// A process waits for a membership other than the one that it knows.
    pub(super) fn await_members(
        &mut self,
        cx: &mut Context<'_>,
        signals: &mut impl Signals,
        id: MonitorId,
        known: Option<u64>,
    ) {
        if known != Some(self.membership.version) {
            let signal = self.membership.signal(id.number, &signals.members().into());
            return cx.act(Action::Signal { process: id.owner, signal });
        }
        if self.membership.len() >= cx.config.processes.max_monitors {
            return self.kill(cx, signals, id.owner, ExitReason::SystemLimit);
        }
        self.membership.waiting.insert(id);
    }

    /// Members came or went.
    pub(super) fn members_changed(&mut self, cx: &mut Context<'_>, signals: &impl Signals) {
        self.membership.version += 1;
        let waiting = core::mem::take(&mut self.membership.waiting);
        if waiting.is_empty() {
            return;
        }
        let members: Arc<[Member]> = signals.members().into();
        for MonitorId { owner: process, number } in waiting {
            let signal = self.membership.signal(number, &members);
            cx.act(Action::Signal { process, signal });
        }
    }
}
