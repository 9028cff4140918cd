//! Checkers: what must never happen, and what must have happened in the end.
//!
//! Safety is watched at each step ([`Checker`]); liveness is asked once everything has been healed
//! and time has passed ([`mesh`]).

mod alternation;
pub mod broadcast;
mod commands;
pub mod fixed;
pub mod hyparview;
mod local;
pub mod mesh;
mod order;
mod partition;
pub mod processes;
mod relay;
mod removal;
pub mod scamp;
pub mod star;

pub use alternation::Alternation;
pub use commands::Commands;
pub use local::Local;
pub use order::Order;
pub use partition::Partitions;
pub use relay::Relays;
pub use removal::NoResurrection;

use std::fmt;

use partisan_proto::behaviour::Report;
use partisan_proto::process::Input;
use partisan_proto::{Instant, ProcessId};
use serde::Serialize;

use self::broadcast::Ledger;
use crate::world::{Step, World};

/// Watches a run.
pub trait Checker: fmt::Debug {
    /// A node has handled an event; what it asks for is not done yet.
    fn on_step(&mut self, step: &Step<'_>, world: &World, found: &mut Vec<Violation>);

    /// A process is handed an input.
    fn on_input(
        &mut self,
        _world: &World,
        _node: usize,
        _input: (ProcessId, &Input),
        _found: &mut Vec<Violation>,
    ) {
    }

    /// A process reports something.
    fn on_report(
        &mut self,
        _world: &World,
        _node: usize,
        _report: (ProcessId, &Report),
        _found: &mut Vec<Violation>,
    ) {
    }

    /// A node has died: what it owed is owed no more.
    fn on_crash(&mut self, _world: &World, _node: usize) {}

    /// All is healed and nothing is on its way.
    fn at_rest(&mut self, _world: &World, _found: &mut Vec<Violation>) {}

    /// The run is over.
    fn at_end(&mut self, _world: &World, _found: &mut Vec<Violation>) {}
}

/// Which property does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum ViolationKind {
    /// Up and down do not alternate.
    Alternation,
    /// A removed incarnation is a member again.
    Resurrection,
    /// Messages of one key arrived in another order than sent.
    Order,
    /// A message arrived twice.
    Duplicate,
    /// A message arrived spoilt, or at the wrong node, or as if from another.
    Misdelivered,
    /// A monitor ended twice, or for a reason that is not true, or after it was given up.
    Monitor,
    /// An exit signal came of nothing.
    Exit,
    /// A link has one end.
    Link,
    /// A call had two outcomes, or one that is not its own.
    Call,
    /// A message that was not delivered was acknowledged.
    Acknowledgement,
    /// A message was delivered before one that was sent before it.
    Causality,
    /// A relayed message went back, or in a circle, or too far.
    Loop,
    /// A sender was told of a failure that was none, or twice.
    FalseFailure,
    /// An injected partition let a message pass, or began again after its end.
    Partition,
    /// A command was answered twice, or an answer belongs to no command.
    AnsweredTwice,
    /// A broadcast was delivered as something else than what was sent, or to a wrong handler.
    Altered,
    /// The links of a broadcast tree are not the neighbours, or at rest no tree.
    Tree,
    /// A node is not among its own members.
    NotSelf,
    /// A node sends on a connection that is not open.
    SendOnClosed,
    /// A node wants to be woken in the past.
    WakeInThePast,
    /// A frame is not what it was after encoding and decoding.
    Codec,
    /// Events follow each other and no time passes.
    Livelock,
    /// A command was never answered.
    Unanswered,
    /// The members are not what they should be, though everything is healed.
    Membership,
    /// The views of a node contradict each other, or are too large.
    Views,
    /// The connections are not those that the members need.
    Connections,
    /// Timers, connections or queues are left over at rest.
    Leak,
    /// A process was not told what it must be.
    Untold,
    /// An injected partition did not end.
    Parted,
    /// A relayed message did not arrive, a broadcast did not come to everybody, or stores differ,
    /// though everything is healed.
    Undelivered,
    /// An application did not keep what it promises.
    Promise,
    /// Too many messages at rest.
    Restless,
    /// The node panicked.
    Panic,
    /// Two runs of one seed differ.
    Nondeterminism,
}

impl ViolationKind {
    /// What a program that found it should exit with.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Unanswered
            | Self::Membership
            | Self::Undelivered
            | Self::Untold
            | Self::Link
            | Self::Connections
            | Self::Leak
            | Self::Parted
            | Self::Restless => 11,
            Self::Panic => 12,
            Self::Nondeterminism => 13,
            _ => 10,
        }
    }
}

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub kind: ViolationKind,
    /// When it was noticed.
    pub at: Instant,
    /// On which node, if on one.
    pub node: Option<usize>,
    /// What was found.
    pub explanation: String,
}

impl Violation {
    /// A violation.
    #[must_use]
    pub const fn new(
        kind: ViolationKind,
        at: Instant,
        node: Option<usize>,
        explanation: String,
    ) -> Self {
        Self { kind, at, node, explanation }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {}", self.kind, self.at)?;
        if let Some(node) = self.node {
            write!(f, " on node {node}")?;
        }
        write!(f, ": {}", self.explanation)
    }
}

/// All safety checkers.
pub fn watch(world: &mut World) {
    watch_with(world, &Ledger::default());
}

/// As [`watch`], writing down who was handed which broadcast.
pub fn watch_with(world: &mut World, ledger: &Ledger) {
    world.check(NoResurrection::default());
    world.check(Alternation::default());
    world.check(Order::default());
    world.check(Relays::default());
    world.check(Partitions::default());
    world.check(Commands::default());
    world.check(Local::default());
    world.check(broadcast::Watch::new(ledger.clone()));
}
