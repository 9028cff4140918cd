//! What every behaviour can be asked, whatever it does (`sys`).

use alloc::string::String;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::envelope;
use crate::process::{ExitReason, ProcessId};
use crate::time::Duration;
use crate::wire::Bounded;

/// The longest state that [`SystemRequest::ReplaceState`] takes, in bytes.
pub const MAX_STATE: usize = 1 << 20;

/// A state as it travels, at most [`MAX_STATE`] bytes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateBytes(Bounded<u8, MAX_STATE>);

/// What every behaviour can be asked; it is answered even while the behaviour is suspended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SystemRequest {
    /// Begin; answered by [`Started`] once `init` has run. Whoever asks is the parent, whose exit
    /// ends the process. What comes before it waits.
    Start,
    /// End for this reason, after `terminate`: the request fails with
    /// [`Failure::Exited`](crate::call::Failure::Exited) of the reason that it then ended for.
    Stop(ExitReason),
    /// Handle nothing but system requests from now on (`sys:suspend/1`); answered by `()`. What
    /// comes meanwhile waits, up to a bound: see
    /// [`Behaviour::max_held`](super::Behaviour::max_held).
    Suspend,
    /// Go on (`sys:resume/1`); answered by `()`.
    Resume,
    /// Tell about yourself (`sys:get_status/1`); answered by [`Status`].
    Status,
    /// Tell your state (`sys:get_state/1`); answered by `Option<StateBytes>`, `None` where the
    /// behaviour does not tell it.
    GetState,
    /// Take this state (`sys:replace_state/2`); answered by `bool`, `false` where it did not.
    ReplaceState(StateBytes),
    /// Tell what comes in to this process from now on, or to nobody (`sys:trace/2`): a plain
    /// message, a [`TraceEvent`], for each; answered by `()`.
    Trace(Option<ProcessId>),
    /// As [`SystemRequest::Start`], for a second parent: its exit ends the process, too.
    StartFor(ProcessId),
}

/// What came of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Started {
    /// It runs.
    Running,
    /// It had nothing to do, and ends for [`ExitReason::Normal`] (`ignore`).
    Ignored,
}

/// What a behaviour tells about itself (`sys:get_status/1`, `sys:statistics/2`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Whose exit ends it.
    pub parent: Option<ProcessId>,
    /// Whether it handles nothing but system requests.
    pub suspended: bool,
    /// Its state and whatever else it says, for people.
    pub state: String,
    /// What it has done.
    pub statistics: Statistics,
}

/// What a behaviour has done since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// How long ago it started.
    pub age: Duration,
    /// Calls handled.
    pub calls: u64,
    /// Casts handled.
    pub casts: u64,
    /// Everything else handled: plain messages and signals.
    pub infos: u64,
    /// Requests of another type than it takes, which were refused.
    pub not_understood: u64,
    /// Messages and requests that wait since it is suspended or has not begun.
    pub held: u64,
    /// Messages dropped since too many waited so.
    pub dropped: u64,
}

/// What a tracer is told: each thing that a behaviour is about to handle, as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TraceEvent {
    /// A call.
    Call(String),
    /// A cast.
    Cast(String),
    /// Anything else.
    Info(String),
}

impl SystemRequest {
    /// The request as it travels.
    ///
    /// # Errors
    /// Never, as far as is known: all of it serialises.
    pub fn write(&self) -> Result<Bytes, postcard::Error> {
        envelope::system(self)
    }
}

impl StateBytes {
    /// These bytes; `None` when they are more than [`MAX_STATE`].
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let fits = bytes.len() <= MAX_STATE;
        fits.then(|| Self(Bounded::from_first(bytes.iter().copied())))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl core::fmt::Debug for StateBytes {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}
