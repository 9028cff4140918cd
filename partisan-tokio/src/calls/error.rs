//! Why a request has no answer.

use partisan_proto::call::{CallError, Failure};
use partisan_proto::error::NameError;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// It was not sent, failed, took too long, or its connection was lost.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The process that asked has ended while it waited, or before.
    #[error("whoever asked has ended; the request may have been carried out all the same")]
    Ended,
    /// The node that asked has stopped while it waited, or before.
    #[error(
        "the node has stopped; start it again to use it. What was asked before may have been \
         carried out all the same"
    )]
    Stopped,
    /// The answer was taken before.
    #[error("the answer was taken already; keep it")]
    Taken,
    /// What is asked does not serialise.
    #[error("the request does not serialise: {0}")]
    Encode(postcard::Error),
    /// The answer is not of the type that was expected.
    #[error("the answer is of another type: {0}")]
    Decode(postcard::Error),
    /// What is asked for cannot be the name of a function or a process.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl RequestError {
    /// What the server's node says, where it says something.
    #[must_use]
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Call(CallError::Failed(failure)) => Some(failure),
            _ => None,
        }
    }

    /// What a function refused with, where it did and it is an `E`.
    #[must_use]
    pub fn thrown<E: DeserializeOwned>(&self) -> Option<E> {
        match self.failure()? {
            Failure::Thrown(bytes) => partisan_proto::wire::read_whole(bytes.as_bytes()).ok(),
            _ => None,
        }
    }

    /// Whether no answer came in time.
    #[must_use]
    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::Call(CallError::Timeout))
    }
}
