//! Broadcast: Plumtree trees over whatever overlay the manager keeps, and anti-entropy exchange.

use crate::change::Change;
use crate::context::Context;
use crate::id::Instance;
use crate::timers::Timer;
use crate::wire::PlumtreeMessage;

/// The broadcasts of a node.
#[derive(Debug, Default)]
pub(crate) struct Broadcast {}

impl Broadcast {
    /// Another part changed something.
    pub(crate) fn change(&mut self, _cx: &mut Context<'_>, _change: &Change) {}

    /// A peer with a session sent a message of this part.
    pub(crate) fn receive(
        &mut self,
        _cx: &mut Context<'_>,
        _from: Instance,
        _message: PlumtreeMessage,
    ) {
    }

    /// A timer of this part is due.
    #[expect(dead_code, reason = "it has no timer yet")]
    pub(crate) fn fire(&mut self, _cx: &mut Context<'_>, _timer: Timer) {}
}
