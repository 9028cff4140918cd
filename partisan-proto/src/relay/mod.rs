//! Relay: messages to nodes without a direct connection travel along the overlay.

use crate::change::Change;
use crate::context::Context;
use crate::id::Instance;
use crate::timers::Timer;
use crate::wire::RelayMessage;

/// What is relayed through a node.
#[derive(Debug, Default)]
pub(crate) struct Relay {}

impl Relay {
    /// Another part changed something.
    pub(crate) fn change(&mut self, _cx: &mut Context<'_>, _change: &Change) {}

    /// A peer with a session sent a message of this part.
    pub(crate) fn receive(
        &mut self,
        _cx: &mut Context<'_>,
        _from: Instance,
        _message: RelayMessage,
    ) {
    }

    /// A timer of this part is due.
    #[expect(dead_code, reason = "it has no timer yet")]
    pub(crate) fn fire(&mut self, _cx: &mut Context<'_>, _timer: Timer) {}
}
