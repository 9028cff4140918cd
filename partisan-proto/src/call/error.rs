//! Why a call has no answer.

use serde::{Deserialize, Serialize};

use crate::error::CommandError;
use crate::process::{ExitReason, ReasonBytes};

/// Why a server did not answer, as its node says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum Failure {
    /// There is no such process (`noproc`).
    NoProcess,
    /// There is no such function.
    NoFunction,
    /// The process ended, or the function panicked, before it answered.
    Exited(ExitReason),
    /// The function refused, with bytes of its own (`throw`).
    Thrown(ReasonBytes),
    /// The node answers as many calls as it may, or the mailbox is full.
    Overloaded,
    /// The answer is longer than the caller's node takes.
    AnswerTooLarge,
    /// What was asked, or is to be answered, is of another type than the server takes.
    NotUnderstood,
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The server's node says so.
    #[error("{0}")]
    Failed(Failure),
    /// None came in time; the request may have been carried out all the same.
    #[error("no answer within the timeout; the request may have been carried out all the same")]
    Timeout,
    /// The connection that the request went by was lost (`noconnection`).
    #[error("the connection was lost; the request may have been carried out all the same")]
    NoConnection,
    /// It was not sent.
    #[error("not sent: {0}")]
    NotSent(CommandError),
    /// It would wait for itself (`calling_self`).
    #[error("a process that calls itself would wait for ever; call another")]
    CallingItself,
    /// As many are under way as may be.
    #[error("{limit} calls wait for answers already; wait for some, or raise calls.max_asked")]
    TooManyCalls {
        /// The most allowed.
        limit: usize,
    },
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoProcess => f.write_str("there is no such process"),
            Self::NoFunction => f.write_str("there is no such function; register it there"),
            Self::Exited(reason) => write!(f, "the server ended before it answered: {reason}"),
            Self::Thrown(bytes) => write!(f, "the function refused: {bytes:?}"),
            Self::Overloaded => f.write_str("the server has too much to do; try again later"),
            Self::AnswerTooLarge => f.write_str("the answer is longer than this node takes"),
            Self::NotUnderstood => f.write_str(
                "what was asked is of another type than the server takes; do both nodes run the \
                 same version of it?",
            ),
        }
    }
}
