//! Supervisors: start children, and start them again (`supervisor`).
//!
//! ```
//! # use partisan_proto::behaviour::{CallResult, Caller, GenServer, Next, Protocol};
//! # use partisan_proto::process::ActorContext;
//! # #[derive(Debug, Default)]
//! # struct Counter(u64);
//! # impl Protocol for Counter {
//! #     type Call = ();
//! #     type Reply = u64;
//! #     type Cast = u64;
//! # }
//! # impl GenServer for Counter {
//! #     type Continue = ();
//! #     fn handle_call(&mut self, _: (), _: Caller<u64>, _: &mut ActorContext<'_>) -> CallResult<Self> {
//! #         CallResult::reply(self.0)
//! #     }
//! #     fn handle_cast(&mut self, more: u64, _: &mut ActorContext<'_>) -> Next<Self> {
//! #         self.0 += more;
//! #         Next::Wait
//! #     }
//! # }
//! use core::time::Duration;
//! use partisan_proto::behaviour::supervisor::{Restart, Strategy};
//! use partisan_proto::behaviour::{ChildSpec, ServerProcess, Supervisor, SupervisorProcess};
//!
//! let counter = || ServerProcess::new(Counter::default());
//! let supervisor = Supervisor::new(Strategy::OneForOne)
//!     .intensity(3, Duration::from_secs(10))
//!     .child(ChildSpec::new("first", counter))
//!     .child(ChildSpec::new("second", counter).restart(Restart::Transient));
//! let process = SupervisorProcess::new(supervisor);
//! # drop(process);
//! ```
//!
//! **Rules.** Children start in order, each once the one before has begun, and end in the reverse
//! order. One that ends is started again as its [`Restart`] says; which others with it, as the
//! [`Strategy`] says. When there were more restarts within the period than the intensity allows, the
//! supervisor ends its children and itself, for [`ExitReason::Shutdown`]. A start that fails while
//! restarting counts as one, and is tried again behind whatever waits in the mailbox. What is asked
//! while children start or end waits.
//!
//! A supervisor traps exits; its children are linked to it, and end with it whatever happens.
//!
//! **Children on other nodes** ([`ChildSpec::remote`]) are watched by monitors instead, and are started
//! at the first of their [`Place`]s that answers: by a supervisor there, the *host*, or by a start
//! function. One whose connection is lost ended for
//! [`NoConnection`](crate::ExitReason::NoConnection); what follows says [`Lost`]. While the connection
//! is lost the old one may go on for as long as its own node takes to notice; whoever needs one at most
//! must ask for more than half of the votes, as an application.

mod asking;
mod change;
mod children;
mod engine;
mod hosting;
mod remote;
mod restart;
mod spec;
#[cfg(test)]
mod tests;

pub use engine::SupervisorEngine;
pub use remote::{Lost, Place};
pub use spec::{
    AutoShutdown, ChildKind, ChildSpec, Restart, Shutdown, SpecError, Strategy, Supervisor,
};

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Behaviour, Never, Protocol};
use crate::call::Failure;
use crate::id::ProcessName;
use crate::process::{ExitReason, ProcessId};

/// A supervisor as a process: an [`Actor`](crate::process::Actor).
pub type SupervisorProcess = Behaviour<SupervisorEngine>;

impl SupervisorProcess {
    /// A supervisor that begins as soon as it comes to life. A bad specification ends it then, for a
    /// reason with the text of the [`SpecError`].
    #[must_use]
    pub fn new(supervisor: Supervisor) -> Self {
        Self::of(SupervisorEngine::new(supervisor))
    }
}

/// What a supervisor can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Start another child (`start_child/2`); answered by [`Answer::Started`]. With
    /// [`Strategy::SimpleOneForOne`] it is of the one kind there is, and the name has no meaning;
    /// else [`Supervisor::dynamic`] knows what is meant.
    StartChild {
        /// How it is called.
        id: String,
        /// What it is given.
        args: Vec<u8>,
    },
    /// End a child and keep its specification (`terminate_child/2`); a temporary one is forgotten.
    /// Answered by [`Answer::Done`].
    TerminateChild(Child),
    /// Forget a child that does not run (`delete_child/2`); answered by [`Answer::Done`].
    DeleteChild(String),
    /// Start a child that does not run (`restart_child/2`); answered by [`Answer::Started`].
    RestartChild(String),
    /// Tell the children, in the order of their start (`which_children/1`,
    /// `get_childspec/2`); answered by [`Answer::Children`].
    WhichChildren,
    /// Count them (`count_children/1`); answered by [`Answer::Count`].
    CountChildren,
    /// Start a child for whoever asks, which supervises it from afar: what [`Place::host`] asks.
    /// Answered by [`Answer::Started`].
    HostChild {
        /// How its owner numbers it. One that it has by this number here ends first.
        number: u64,
        /// Of which kind, as of [`Ask::StartChild`].
        id: String,
        /// What it is given.
        args: Vec<u8>,
    },
    /// End what whoever asks has hosted here by this number; answered by [`Answer::Done`].
    ReleaseChild {
        /// How its owner numbers it.
        number: u64,
    },
}

/// Which child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Child {
    /// The one of this name.
    Id(String),
    /// The one that is this process: with [`Strategy::SimpleOneForOne`] the only way.
    Process(ProcessId),
}

/// What a supervisor answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The child runs; `None` if it had nothing to do.
    Started(Result<Option<ProcessId>, ChildError>),
    /// It is done.
    Done(Result<(), ChildError>),
    /// The children.
    Children(Vec<ChildInfo>),
    /// How many they are.
    Count(ChildCount),
}

/// Why something was not done with a child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum ChildError {
    /// It runs already.
    #[error("{0:?} is that child already")]
    AlreadyStarted(ProcessId),
    /// There is one of this name, which does not run.
    #[error("there is such a child, which does not run; restart or delete it")]
    AlreadyPresent,
    /// There is none.
    #[error("there is no such child")]
    NotFound,
    /// It runs.
    #[error("it runs; terminate it first")]
    Running,
    /// It is about to be started again.
    #[error("it is about to be started again")]
    Restarting,
    /// Nobody knows what is to be started.
    #[error("nothing of this name can be started; see Supervisor::dynamic")]
    Unknown,
    /// What is to be started cannot be a child here: the text of the [`SpecError`].
    #[error("{0}")]
    BadSpec(String),
    /// That has no meaning with this strategy.
    #[error("children of this strategy have no names; name the process")]
    Nameless,
    /// It ended in its beginning.
    #[error("it ended in its beginning: {0}")]
    Failed(ExitReason),
    /// It was not started.
    #[error("it did not come to life: {0}")]
    NotStarted(Failure),
    /// Another process has the name that its process was to have (`already_started` of a child's
    /// start function).
    #[error("the name `{name}` is that of {holder:?} already; end that one, or choose another")]
    NameTaken {
        /// The name.
        name: ProcessName,
        /// Who has it.
        holder: ProcessId,
    },
    /// Its node did not let it come to life: the text of the [`CommandError`](crate::CommandError).
    #[error("its node did not let it come to life: {0}")]
    NotSpawned(String),
    /// None of the places where it may be started has answered: what became of the last.
    #[error("no place has started it: {0}")]
    NoPlace(String),
}

/// What is known of a child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildInfo {
    /// How it is called.
    pub id: String,
    /// The process, while it runs.
    pub process: Option<ProcessId>,
    /// Whether it is about to be started again.
    pub restarting: bool,
    /// What it is.
    pub kind: ChildKind,
    /// When it is started again.
    pub restart: Restart,
    /// How it is ended.
    pub shutdown: Shutdown,
    /// Whether its end may be that of all.
    pub significant: bool,
}

/// How many children there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildCount {
    /// That are known, running or not; with [`Strategy::SimpleOneForOne`] one.
    pub specs: usize,
    /// That run.
    pub active: usize,
    /// That are supervisors, running or not.
    pub supervisors: usize,
    /// That are not.
    pub workers: usize,
}

impl Protocol for Supervisor {
    type Call = Ask;
    type Reply = Answer;
    /// There is nothing to be told.
    type Cast = Never;
}
