//! Checks of the passive view: whether those in reserve are alive.
//!
//! The paper's passive views forget the dead as shuffles bring others. That takes long, and in a
//! cluster not much larger than a view it never ends: whoever has room takes in the dead that
//! others tell of. Here whoever loses a neighbour that did not leave, or cannot reach somebody, owes
//! some checks, since others may be dead, too. Each shuffle begins two: a session means that a node
//! is alive, and soon ends; one that cannot be reached is in reserve no more, and the next is
//! checked at once. Until the debt is paid, others are told only of those who were found alive. It
//! is paid when so many in a row were alive as
//! [`checks`](crate::config::HyParViewConfig::checks) says, or nobody is left who was not checked.
//!
//! So a cluster in which nobody dies sends nothing for this. A loss costs each neighbour a
//! handshake for each node that it finds alive, at most two each shuffle, and a dial for each that
//! is dead.
//!
//! Checks find the lonely, too: a node that has lost all whom it knew takes in who comes by.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::Hash;

use super::HyParView;
use super::passive::Known;
use super::peers::Purpose;
use crate::context::Context;
use crate::error::{CloseReason, OpenError, Refusal};
use crate::id::NodeId;
use crate::notification::DialError;
use crate::wire::Introduction;

/// How many checks a shuffle begins. With one alone, small clusters would need twice the time to be
/// rid of the dead; the debt is the same.
const EACH_SHUFFLE: usize = 2;

/// Checks that are owed.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Checks {
    /// How many in a row have found somebody alive.
    row: usize,
    /// Who was found alive, the last one last; no more than the passive view holds.
    alive: Vec<NodeId>,
}

impl HyParView {
    /// Somebody was lost, or cannot be reached: perhaps others cannot, either.
    pub(super) fn owe_checks(&mut self) {
        if self.config.checks > 0 {
            self.checks.get_or_insert_with(Box::default).row = 0;
        }
    }

    /// Begins the checks of a shuffle.
    pub(super) fn check_some(&mut self, cx: &mut Context<'_>) {
        (0..EACH_SHUFFLE).for_each(|_| self.check(cx));
    }

    /// Begins a check, if any is owed and not too many are under way; of those in doubt first.
    pub(super) fn check(&mut self, cx: &mut Context<'_>) {
        let under_way = self.peers.in_pursuit(Purpose::Check);
        let busy = under_way >= self.config.parallel_requests;
        let Some(checks) = self.checks.as_ref().filter(|_| !busy && !cx.me.stopping) else {
            return;
        };
        let eligible = |known: &Known| {
            self.peers.get(known.node).is_none() && !checks.alive.contains(&known.node)
        };
        let doubted = self.passive.suspects().find(|known| eligible(known));
        let picked = doubted.or_else(|| self.passive.pick(&mut self.random, eligible)).cloned();
        match picked {
            Some(known) => self.seek(cx, known, Purpose::Check),
            None if under_way == 0 => self.checks = None,
            None => {}
        }
    }

    /// Some of those in reserve, to tell others of: while checks are owed, of those alone that were
    /// found alive, or the dead would spread faster than they are found out.
    pub(super) fn sample_reserve(&mut self, count: usize) -> Vec<Introduction> {
        let checks = self.checks.as_ref();
        let sound = |known: &Known| checks.is_none_or(|checks| checks.alive.contains(&known.node));
        let some = self.passive.sample(&mut self.random, count, sound);
        some.into_iter().map(Known::introduction).collect()
    }

    /// There is a session with a node that was checked: that is all that was asked.
    pub(super) fn found_alive(&mut self, cx: &mut Context<'_>, node: NodeId) {
        if let Some(peer) = self.peers.get(node) {
            let known = peer.introduction().into();
            self.reserve(known);
            self.passive.trust(node);
        }
        self.drain(cx, node);
        let Some(checks) = &mut self.checks else {
            return;
        };
        checks.row += 1;
        if checks.alive.len() >= self.config.passive_size {
            checks.alive.remove(0);
        }
        checks.alive.push(node);
        if checks.row >= self.config.checks {
            self.checks = None;
        }
    }
}

/// Whether the failure of a dial does not mean that the node that was dialled is gone: it has
/// answered, and does not want this node, or not now; or this node can dial nobody.
pub(super) const fn is_no_news(error: DialError) -> bool {
    match error {
        // It is not there any more, or will not be soon.
        DialError::Closed(CloseReason::Refused(
            Refusal::UnexpectedPeer | Refusal::SelfConnection | Refusal::Stopping,
        )) => false,
        DialError::Closed(CloseReason::Refused(_)) | DialError::Open(OpenError::System) => true,
        DialError::Open(_) | DialError::Closed(_) => false,
    }
}
