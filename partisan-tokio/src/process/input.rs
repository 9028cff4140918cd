//! What a process receives.

use bytes::Bytes;
use partisan_proto::Signal;
use partisan_proto::call::Failure;
use partisan_proto::process::ReplyTo;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::doings::Doings;
use crate::calls::RequestError;
use crate::mailbox::Message;

/// What a process receives, in the order in which it arrived.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Input {
    /// A message.
    Message(Message),
    /// A request, to be answered here or elsewhere, now or later.
    Request(Request),
    /// What it asked to be told: of monitors, links, nodes and timers.
    Signal(Signal),
}

impl Input {
    /// What a message or a request says.
    #[must_use]
    pub const fn payload(&self) -> Option<&Bytes> {
        match self {
            Self::Message(message) => Some(&message.payload),
            Self::Request(request) => Some(&request.payload),
            Self::Signal(_) => None,
        }
    }
}

/// A request that waits for its answer.
///
/// The first answer counts. Dropping it unanswered is no answer: the caller waits until this process
/// ends or its own timeout is over. Where somebody else is to answer, hand on
/// [`Request::reply_to`], which may travel to other nodes; [`Node::reply`](crate::Node::reply)
/// answers it there.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where the answer goes.
    pub reply_to: ReplyTo,
    /// What is asked.
    pub payload: Bytes,
    doings: Doings,
}

impl Request {
    pub(crate) const fn new(reply_to: ReplyTo, payload: Bytes, doings: Doings) -> Self {
        Self { reply_to, payload, doings }
    }

    /// Reads what [`Node::call`](crate::Node::call) asked.
    ///
    /// # Errors
    /// When the payload is no `T` in the postcard format.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, postcard::Error> {
        partisan_proto::wire::read_whole(&self.payload)
    }

    /// Answers it, serialised with postcard.
    ///
    /// # Errors
    /// [`RequestError::Encode`], [`RequestError::Stopped`] once the node has. That the caller
    /// is gone is no error.
    pub async fn reply<R: Serialize + ?Sized>(self, answer: &R) -> Result<(), RequestError> {
        let payload = postcard::to_allocvec(answer).map_err(RequestError::Encode)?;
        self.reply_bytes(payload.into()).await
    }

    /// Answers it with bytes as they are.
    ///
    /// # Errors
    /// [`RequestError::Stopped`] once the node has.
    pub async fn reply_bytes(self, answer: Bytes) -> Result<(), RequestError> {
        self.doings.reply(self.reply_to, Ok(answer)).await
    }

    /// Answers that there will be no answer.
    ///
    /// # Errors
    /// [`RequestError::Stopped`] once the node has.
    pub async fn refuse(self, failure: Failure) -> Result<(), RequestError> {
        self.doings.reply(self.reply_to, Err(failure)).await
    }
}
