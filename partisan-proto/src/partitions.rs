//! Injected partitions, for tests of applications: neighbours stop sending to each other.

use crate::change::Change;
use crate::context::Context;
use crate::id::Instance;
use crate::timers::Timer;
use crate::wire::PartitionMessage;

/// The injected partitions that a node is in.
#[derive(Debug, Default)]
pub(crate) struct Partitions {}

impl Partitions {
    /// Another part changed something.
    pub(crate) fn change(&mut self, _cx: &mut Context<'_>, _change: &Change) {}

    /// A peer with a session sent a message of this part.
    pub(crate) fn receive(
        &mut self,
        _cx: &mut Context<'_>,
        _from: Instance,
        _message: PartitionMessage,
    ) {
    }

    /// A timer of this part is due.
    #[expect(dead_code, reason = "it has no timer yet")]
    pub(crate) fn fire(&mut self, _cx: &mut Context<'_>, _timer: Timer) {}
}
