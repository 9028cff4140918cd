//! What a supervisor is about to do with its children, step by step.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use super::Place;
use super::children::Key;
use crate::process::{ExitReason, ProcessId, ReplyTo};

/// Something that takes several steps; meanwhile nothing else is done.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) purpose: Purpose,
    pub(super) steps: VecDeque<Step>,
    pub(super) awaited: Awaited,
}

/// What it is for, and so what follows where a child does not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The supervisor begins: it fails.
    Beginning,
    /// Somebody asked for another child: they are told, and it is forgotten.
    Add(ReplyTo),
    /// Somebody asked for a child to run again: they are told.
    Again(ReplyTo),
    /// Somebody asked for a child to end.
    Terminate(ReplyTo),
    /// The owner of hosted children is gone: they end.
    Orphans,
    /// A child ended by itself: it is tried again.
    Restart,
    /// The supervisor ends.
    Ending,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// End these, all at once.
    Stop(Vec<Key>),
    /// Start this.
    Start(Key),
    /// End the supervisor.
    End(ExitReason),
}

/// What the present step waits for.
#[derive(Debug)]
pub(super) enum Awaited {
    Nothing,
    /// The answer to the call by which a child is asked to begin.
    Start {
        key: Key,
        process: ProcessId,
        call: u64,
    },
    /// The answer of whoever is to start it on another node; else these are asked.
    Place {
        key: Key,
        call: u64,
        place: Place,
        left: VecDeque<Place>,
    },
    /// The end of one that has nothing to do: then its name is free.
    Idle {
        key: Key,
        process: ProcessId,
    },
    /// The ends of these; those whose time is over by a timer are killed.
    Stops {
        left: BTreeSet<ProcessId>,
        timers: BTreeMap<u64, ProcessId>,
    },
}

impl Change {
    pub(super) fn new(purpose: Purpose, steps: impl IntoIterator<Item = Step>) -> Self {
        Self { purpose, steps: steps.into_iter().collect(), awaited: Awaited::Nothing }
    }
}
