//! What applications ask of a node besides membership, plain messages and broadcasts.

use alloc::boxed::Box;

use super::around::Around;
use crate::call::Calls;
use crate::change::Change;
use crate::config::Config;
use crate::context::Context;
use crate::delivery::Deliveries;
use crate::id::Incarnation;
use crate::partitions::Partitions;
use crate::process::Processes;
use crate::relay::Relay;

/// The parts that many nodes never need: made together when one of them is first needed. A node of
/// a large overlay whose application does none of this keeps a pointer.
#[derive(Debug)]
pub(super) struct Services {
    /// The incarnation that the node was started in.
    birth: Incarnation,
    made: Option<Box<Made>>,
}

/// The parts themselves. New ones have nothing to say to any [`Change`], nor to any connection that
/// has room again.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) relay: Relay,
    pub(super) partitions: Partitions,
    pub(super) processes: Processes,
    pub(super) calls: Calls,
    pub(super) deliveries: Deliveries,
}

impl Services {
    pub(super) const fn new(birth: Incarnation) -> Self {
        Self { birth, made: None }
    }

    /// The incarnation that the node was started in.
    pub(super) const fn birth(&self) -> Incarnation {
        self.birth
    }

    /// Them, if they were ever needed.
    pub(super) fn get(&self) -> Option<&Made> {
        self.made.as_deref()
    }

    /// Them, if they were ever needed.
    pub(super) fn get_mut(&mut self) -> Option<&mut Made> {
        self.made.as_deref_mut()
    }

    /// Them; from now on they were needed.
    pub(super) fn made(&mut self, cx: &Context<'_>) -> &mut Made {
        let birth = self.birth;
        self.made.get_or_insert_with(|| Box::new(Made::new(birth, cx.config)))
    }

    /// One of them, as by [`Services::made`].
    pub(super) fn relay(&mut self, cx: &Context<'_>) -> &mut Relay {
        &mut self.made(cx).relay
    }

    /// One of them, as by [`Services::made`].
    pub(super) fn partitions(&mut self, cx: &Context<'_>) -> &mut Partitions {
        &mut self.made(cx).partitions
    }

    /// One of them, as by [`Services::made`].
    pub(super) fn processes(&mut self, cx: &Context<'_>) -> &mut Processes {
        &mut self.made(cx).processes
    }

    /// One of them, as by [`Services::made`].
    pub(super) fn calls(&mut self, cx: &Context<'_>) -> &mut Calls {
        &mut self.made(cx).calls
    }

    /// One of them, as by [`Services::made`].
    pub(super) fn deliveries(&mut self, cx: &Context<'_>) -> &mut Deliveries {
        &mut self.made(cx).deliveries
    }

    /// Shows what they are, or what they would be if they were made now: whether they were makes
    /// no two nodes differ.
    pub(super) fn show(&self, config: &Config, look: impl FnOnce(&Made)) {
        match &self.made {
            Some(made) => look(made),
            None => look(&Made::new(self.birth, config)),
        }
    }
}

impl Made {
    fn new(birth: Incarnation, config: &Config) -> Self {
        Self {
            relay: Relay::default(),
            partitions: Partitions::default(),
            processes: Processes::new(birth),
            calls: Calls::new(birth),
            deliveries: Deliveries::new(config),
        }
    }

    /// Hands a change to each of them: one line a part.
    pub(super) fn change(
        &mut self,
        cx: &mut Context<'_>,
        around: &mut Around<'_>,
        change: &Change,
    ) {
        self.relay.change(cx, around, change);
        self.partitions.change(cx, change);
        self.processes.change(cx, around, change);
        self.calls.change(cx, around, change);
        self.deliveries.change(cx, around, change);
    }
}
