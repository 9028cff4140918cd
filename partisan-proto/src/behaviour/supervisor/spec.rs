//! What a supervisor is to do.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::{Lost, Place};
use crate::behaviour::{Behaviour, DEFAULT_HELD, Engine};
use crate::id::ProcessName;
use crate::process::Actor;
use crate::time::Duration;

/// Which children are started again when one has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    /// That one.
    #[default]
    OneForOne,
    /// All.
    OneForAll,
    /// That one and those that were started after it.
    RestForOne,
    /// That one; all are of one kind and come and go as they are asked for.
    SimpleOneForOne,
}

/// When a child is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// Unless it ended in good order ([`ExitReason::is_orderly`](crate::ExitReason::is_orderly)).
    Transient,
    /// Never; and it is forgotten once it has ended.
    Temporary,
}

/// How a child is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shutdown {
    /// It is killed.
    Kill,
    /// It is told to, and killed after so long.
    After(Duration),
    /// It is told to, and may take as long as it likes.
    Infinity,
}

/// What a child is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChildKind {
    /// Anything but a supervisor.
    #[default]
    Worker,
    /// A supervisor.
    Supervisor,
}

/// When a supervisor ends because significant children ended by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AutoShutdown {
    /// Never.
    #[default]
    Never,
    /// With the first.
    AnySignificant,
    /// With the last.
    AllSignificant,
}

/// Why a supervisor cannot be as it is specified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// Two children have one name.
    #[error("two children are called `{0}`; give each a name of its own")]
    DuplicateId(String),
    /// A child has no name.
    #[error("a child has an empty name; give it one")]
    EmptyId,
    /// A significant child is never over, since it is permanent.
    #[error("`{0}` is significant and permanent; make it transient or temporary")]
    SignificantPermanent(String),
    /// A significant child has no significance.
    #[error("`{0}` is significant, but auto_shutdown is `Never`")]
    SignificantForNothing(String),
    /// Children of one kind are not of one.
    #[error("a supervisor of `SimpleOneForOne` needs one child specification; it has {0}")]
    NotOneKind(usize),
}

/// Makes a child from what it is given, or says where it is started.
#[derive(Clone)]
pub(super) enum Make {
    Here(FromArgs<Box<dyn Actor>>),
    There(FromArgs<Vec<Place>>),
}

type FromArgs<T> = Arc<dyn Fn(&[u8]) -> T + Send + Sync>;

/// Knows what to start under a name.
type Dynamic = Arc<dyn Fn(&str) -> Option<ChildSpec> + Send + Sync>;

/// A child: how to make it, and what to do when it ends.
#[derive(Clone)]
pub struct ChildSpec {
    pub(super) id: String,
    pub(super) make: Make,
    pub(super) name: Option<ProcessName>,
    pub(super) trap_exit: bool,
    pub(super) restart: Restart,
    pub(super) shutdown: Shutdown,
    pub(super) kind: ChildKind,
    pub(super) significant: bool,
    pub(super) lost: Lost,
    pub(super) start_within: Option<Duration>,
}

impl ChildSpec {
    /// A permanent worker that has five seconds to end.
    pub fn new<E: Engine + 'static>(
        id: impl Into<String>,
        make: impl Fn() -> Behaviour<E> + Send + Sync + 'static,
    ) -> Self {
        Self::with_args(id, move |_| make())
    }

    /// The same, of what it is given when it is started ([`Ask::StartChild`](super::Ask)), each time.
    pub fn with_args<E: Engine + 'static>(
        id: impl Into<String>,
        make: impl Fn(&[u8]) -> Behaviour<E> + Send + Sync + 'static,
    ) -> Self {
        let here = move |args: &[u8]| -> Box<dyn Actor> { Box::new(make(args).awaiting_start()) };
        Self::made_by(id.into(), Make::Here(Arc::new(here)))
    }

    /// A permanent worker on another node: at the first of these places that answers, each time it is
    /// started. Its name and whether it traps exits are said where it is made.
    pub fn remote(
        id: impl Into<String>,
        places: impl Fn(&[u8]) -> Vec<Place> + Send + Sync + 'static,
    ) -> Self {
        let start_within = Some(Duration::from_secs(5));
        Self { start_within, ..Self::made_by(id.into(), Make::There(Arc::new(places))) }
    }

    fn made_by(id: String, make: Make) -> Self {
        Self {
            id,
            make,
            name: None,
            trap_exit: false,
            restart: Restart::default(),
            shutdown: Shutdown::After(Duration::from_secs(5)),
            kind: ChildKind::default(),
            significant: false,
            lost: Lost::default(),
            start_within: None,
        }
    }

    /// What follows when it cannot be reached any more, for a remote one.
    #[must_use]
    pub const fn lost(mut self, lost: Lost) -> Self {
        self.lost = lost;
        self
    }

    /// How long each place of a remote one has to start it, before the next is asked; `None` for ever.
    /// By default five seconds.
    #[must_use]
    pub const fn start_within(mut self, within: Option<Duration>) -> Self {
        self.start_within = within;
        self
    }

    /// Registered under this name.
    #[must_use]
    pub fn name(mut self, name: ProcessName) -> Self {
        self.name = Some(name);
        self
    }

    /// With exit signals trapped: then its `terminate` runs when it is told to end.
    #[must_use]
    pub const fn trap_exit(mut self) -> Self {
        self.trap_exit = true;
        self
    }

    /// When it is started again.
    #[must_use]
    pub const fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// How it is ended.
    #[must_use]
    pub const fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// It is a supervisor, with all the time it needs to end.
    #[must_use]
    pub const fn supervisor(mut self) -> Self {
        (self.kind, self.shutdown, self.trap_exit) =
            (ChildKind::Supervisor, Shutdown::Infinity, true);
        self
    }

    /// Its end by itself may be that of all: see [`Supervisor::auto_shutdown`].
    #[must_use]
    pub const fn significant(mut self) -> Self {
        self.significant = true;
        self
    }
}

/// What a supervisor is to do: by default one restart within five seconds is allowed.
#[derive(Clone)]
pub struct Supervisor {
    pub(super) strategy: Strategy,
    pub(super) intensity: usize,
    pub(super) period: Duration,
    pub(super) auto_shutdown: AutoShutdown,
    pub(super) children: Vec<ChildSpec>,
    pub(super) dynamic: Option<Dynamic>,
    pub(super) max_waiting: usize,
}

impl Supervisor {
    /// One without children, which gives up at the second restart within five seconds.
    #[must_use]
    pub const fn new(strategy: Strategy) -> Self {
        Self {
            strategy,
            intensity: 1,
            period: Duration::from_secs(5),
            auto_shutdown: AutoShutdown::Never,
            children: Vec::new(),
            dynamic: None,
            max_waiting: DEFAULT_HELD,
        }
    }

    /// Lets so many requests wait while children start or end; one more is answered
    /// [`Failure::Overloaded`](crate::call::Failure::Overloaded). By default [`DEFAULT_HELD`].
    #[must_use]
    pub const fn max_waiting(mut self, requests: usize) -> Self {
        self.max_waiting = requests;
        self
    }

    /// It gives up when there are more restarts than this within the period.
    #[must_use]
    pub const fn intensity(mut self, restarts: usize, period: Duration) -> Self {
        (self.intensity, self.period) = (restarts, period);
        self
    }

    /// When it ends because significant children ended by themselves.
    #[must_use]
    pub const fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> Self {
        self.auto_shutdown = auto_shutdown;
        self
    }

    /// With this child, started after those before.
    #[must_use]
    pub fn child(mut self, child: ChildSpec) -> Self {
        self.children.push(child);
        self
    }

    /// Knows what to start when [`Ask::StartChild`](super::Ask) names it: code does not travel, names
    /// and arguments do. The child is called as it was asked for, whatever its specification says.
    #[must_use]
    pub fn dynamic(
        mut self,
        dynamic: impl Fn(&str) -> Option<ChildSpec> + Send + Sync + 'static,
    ) -> Self {
        self.dynamic = Some(Arc::new(dynamic));
        self
    }

    /// Whether it can be as it is specified (`check_childspecs/1`).
    ///
    /// # Errors
    /// [`SpecError`].
    pub fn check(&self) -> Result<(), SpecError> {
        if self.strategy == Strategy::SimpleOneForOne && self.children.len() != 1 {
            return Err(SpecError::NotOneKind(self.children.len()));
        }
        let mut ids = BTreeSet::new();
        for child in &self.children {
            if !ids.insert(&child.id) {
                return Err(SpecError::DuplicateId(child.id.clone()));
            }
            self.check_child(child)?;
        }
        Ok(())
    }

    pub(super) fn check_child(&self, child: &ChildSpec) -> Result<(), SpecError> {
        if child.id.is_empty() {
            return Err(SpecError::EmptyId);
        }
        if child.significant && child.restart == Restart::Permanent {
            return Err(SpecError::SignificantPermanent(child.id.clone()));
        }
        if child.significant && self.auto_shutdown == AutoShutdown::Never {
            return Err(SpecError::SignificantForNothing(child.id.clone()));
        }
        Ok(())
    }
}

impl fmt::Debug for ChildSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, restart, shutdown, kind, .. } = self;
        write!(f, "{id} ({restart:?}, {shutdown:?}, {kind:?})")
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { strategy, intensity, period, auto_shutdown, children, .. } = self;
        let mut debug = f.debug_struct("Supervisor");
        debug.field("strategy", strategy).field("intensity", intensity).field("period", period);
        debug.field("auto_shutdown", auto_shutdown).field("children", children).finish()
    }
}
