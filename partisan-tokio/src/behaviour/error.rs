//! Why a server did not start or stop.

use partisan_proto::call::{CallError, Failure};
use partisan_proto::{ExitReason, ProcessId};
use thiserror::Error;

use crate::calls::RequestError;
use crate::error::NodeError;

/// Why a server did not start. Nothing of it is left running.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ServerStartError {
    /// A process of this node has the name.
    #[error("{0:?} has the name already; use it, or choose another name")]
    AlreadyStarted(ProcessId),
    /// Its `init` had nothing to do.
    #[error("it had nothing to do")]
    Ignored,
    /// Its `init` said no, panicked, or was ended meanwhile.
    #[error("it ended in its beginning: {0}")]
    Init(ExitReason),
    /// Its `init` took too long; it was killed.
    #[error("it took too long to begin and was killed; allow it more time, or do less in `init`")]
    Timeout,
    /// The node did not let it come to life.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// It could not be told to begin.
    #[error(transparent)]
    Request(RequestError),
}

/// Why a server was not stopped, or not for the reason that was given.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StopError {
    /// There is no such process (`noproc`).
    #[error("there is no such process")]
    NoProcess,
    /// It ended for another reason.
    #[error("it ended for another reason: {0}")]
    Ended(ExitReason),
    /// It did not end in time; it may still.
    #[error("it did not end in time; wait, or kill it by an exit signal")]
    Timeout,
    /// It could not be told.
    #[error(transparent)]
    Request(RequestError),
}

impl From<RequestError> for ServerStartError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Call(CallError::Timeout) => Self::Timeout,
            RequestError::Call(CallError::Failed(Failure::Exited(reason))) => Self::Init(reason),
            // Killed before it was told.
            RequestError::Call(CallError::Failed(Failure::NoProcess)) => {
                Self::Init(ExitReason::Killed)
            }
            error => Self::Request(error),
        }
    }
}

impl From<RequestError> for StopError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Call(CallError::Timeout) => Self::Timeout,
            RequestError::Call(CallError::Failed(Failure::NoProcess)) => Self::NoProcess,
            RequestError::Call(CallError::Failed(Failure::Exited(reason))) => Self::Ended(reason),
            error => Self::Request(error),
        }
    }
}
