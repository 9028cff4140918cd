//! What a server is told and what it answers; typed references to servers and to callers.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{SystemRequest, envelope};
use crate::call::{CallError, Failure, Server};
use crate::id::{NodeId, ProcessName};
use crate::process::{ActorContext, Lane, ProcessId, Reference, ReplyTo, Signal, Target};
use crate::time::Duration;

/// Anything that serde writes and reads: what travels in calls, casts and replies.
pub trait Term: Serialize + DeserializeOwned + fmt::Debug + Send + Sync + 'static {}

impl<T: Serialize + DeserializeOwned + fmt::Debug + Send + Sync + 'static> Term for T {}

/// What a server is told and what it answers: all that a client must know of it.
///
/// Written in the postcard format. A wrong type does not compile; a node that runs another version
/// of the types gets [`Failure::NotUnderstood`], or [`AnswerError::Decode`].
pub trait Protocol: 'static {
    /// What can be asked.
    type Call: Term;
    /// What is answered.
    type Reply: Term;
    /// What can be told without an answer.
    type Cast: Term;
}

/// Names a server that speaks `P`, anywhere in the cluster (`ServerRef`), and says how what is sent
/// to it travels. A value: it may be kept, compared and sent to others.
pub struct ServerRef<P> {
    target: Target,
    lane: Lane,
    protocol: PhantomData<fn() -> P>,
}

/// A call that waits for its answer, made by an actor.
pub struct Pending<R> {
    number: u64,
    reply: PhantomData<fn() -> R>,
}

/// Who waits for an `R`: the `From` of a call. May be kept, sent to other processes and nodes, and
/// answered from there. The first answer counts.
#[derive(Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub struct Caller<R> {
    reply_to: ReplyTo,
    #[serde(skip)]
    reply: PhantomData<fn() -> R>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The answer is of another type: its node runs another version of the protocol.
    #[error("the answer is of another type: {0}")]
    Decode(postcard::Error),
}

impl<P: Protocol> ServerRef<P> {
    /// A server by its identifier, or by its name on a node. Nothing checks that it speaks `P`.
    pub fn new(target: impl Into<Target>) -> Self {
        Self { target: target.into(), lane: Lane::default(), protocol: PhantomData }
    }

    /// Whoever is registered there under this name at the time of use.
    #[must_use]
    pub fn named(node: NodeId, name: ProcessName) -> Self {
        Self::new((node, name))
    }

    /// The same with everything on this lane; replies come on the lane of the call.
    #[must_use]
    pub fn on(mut self, lane: Lane) -> Self {
        self.lane = lane;
        self
    }

    /// Whom it names.
    #[must_use]
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// How what is sent to it travels.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        self.lane
    }

    /// The process, where it is named by its identifier.
    #[must_use]
    pub const fn process(&self) -> Option<ProcessId> {
        match &self.target {
            Target::Process(process) => Some(*process),
            Target::Name(..) => None,
        }
    }

    /// Asks, from within an actor; [`Pending::answer`] reads the signal that ends it.
    ///
    /// # Errors
    /// When the call does not serialise.
    pub fn call(
        &self,
        cx: &mut ActorContext<'_>,
        call: &P::Call,
        timeout: Option<Duration>,
    ) -> Result<Pending<P::Reply>, postcard::Error> {
        Ok(self.ask(cx, Self::write_call(call)?, timeout))
    }

    /// Tells, from within an actor. What is not there does not hear of it.
    ///
    /// # Errors
    /// When the cast does not serialise.
    pub fn cast(&self, cx: &mut ActorContext<'_>, cast: &P::Cast) -> Result<(), postcard::Error> {
        cx.send_on(&self.target, self.lane, Self::write_cast(cast)?);
        Ok(())
    }

    /// Tells later; the number is for [`ActorContext::cancel_timer`].
    ///
    /// # Errors
    /// When the cast does not serialise.
    pub fn cast_after(
        &self,
        cx: &mut ActorContext<'_>,
        after: Duration,
        cast: &P::Cast,
    ) -> Result<u64, postcard::Error> {
        Ok(cx.send_after(after, self.target.clone(), Self::write_cast(cast)?))
    }

    /// Asks for something that every behaviour answers.
    ///
    /// # Errors
    /// When a state to be set does not serialise.
    pub fn system<R: Term>(
        &self,
        cx: &mut ActorContext<'_>,
        request: &SystemRequest,
        timeout: Option<Duration>,
    ) -> Result<Pending<R>, postcard::Error> {
        Ok(self.ask(cx, request.write()?, timeout))
    }

    fn ask<R: Term>(
        &self,
        cx: &mut ActorContext<'_>,
        payload: Bytes,
        timeout: Option<Duration>,
    ) -> Pending<R> {
        let server = Server::Process(self.target.clone());
        Pending::new(cx.call_on(server, payload, timeout, self.lane))
    }

    /// A call as it travels: the payload of a request.
    ///
    /// # Errors
    /// When it does not serialise.
    pub fn write_call(call: &P::Call) -> Result<Bytes, postcard::Error> {
        envelope::call(call)
    }

    /// A cast as it travels: the payload of a message.
    ///
    /// # Errors
    /// When it does not serialise.
    pub fn write_cast(cast: &P::Cast) -> Result<Bytes, postcard::Error> {
        envelope::cast(cast)
    }

    /// Reads a reply as it travels.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn read_reply(payload: &[u8]) -> Result<P::Reply, postcard::Error> {
        envelope::read(payload)
    }
}

impl<P: Protocol, T: Into<Target>> From<T> for ServerRef<P> {
    fn from(target: T) -> Self {
        Self::new(target)
    }
}

impl<R: Term> Pending<R> {
    pub(super) const fn new(number: u64) -> Self {
        Self { number, reply: PhantomData }
    }

    /// What it is numbered by: for [`ActorContext::abandon`].
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The answer, if this is the signal that ends this call.
    #[must_use]
    pub fn answer(&self, signal: &Signal) -> Option<Result<R, AnswerError>> {
        match signal {
            Signal::Answer { number, result } if *number == self.number => Some(match result {
                Ok(payload) => envelope::read(payload).map_err(AnswerError::Decode),
                Err(error) => Err(AnswerError::Call(error.clone())),
            }),
            _ => None,
        }
    }
}

impl<R: Term> Caller<R> {
    /// Whoever waits for the answer to this request, which must be an `R`.
    #[must_use]
    pub const fn new(reply_to: ReplyTo) -> Self {
        Self { reply_to, reply: PhantomData }
    }

    /// The process that asks.
    #[must_use]
    pub const fn process(&self) -> ProcessId {
        self.reply_to.caller()
    }

    /// The request itself.
    #[must_use]
    pub const fn reply_to(&self) -> ReplyTo {
        self.reply_to
    }

    /// Answers (`gen_server:reply/2`), from within any actor. An answer that does not serialise
    /// becomes [`Failure::NotUnderstood`].
    pub fn reply(&self, cx: &mut ActorContext<'_>, reply: &R) {
        cx.reply(self.reply_to, Self::write(reply).map_err(|_| Failure::NotUnderstood));
    }

    /// A reply as it travels.
    ///
    /// # Errors
    /// When it does not serialise.
    pub fn write(reply: &R) -> Result<Bytes, postcard::Error> {
        envelope::write(reply)
    }
}

// Derives would ask the same of `P` and `R`.

impl<P> Clone for ServerRef<P> {
    fn clone(&self) -> Self {
        Self { target: self.target.clone(), lane: self.lane, protocol: PhantomData }
    }
}

impl<P> PartialEq for ServerRef<P> {
    fn eq(&self, other: &Self) -> bool {
        (&self.target, self.lane) == (&other.target, other.lane)
    }
}

impl<P> Eq for ServerRef<P> {}

impl<P> Hash for ServerRef<P> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.target, self.lane).hash(state);
    }
}

impl<P> fmt::Debug for ServerRef<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.target)
    }
}

impl<P> Serialize for ServerRef<P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Lane { channel, key } = self.lane;
        (Reference::from(self.target.clone()), channel, key).serialize(serializer)
    }
}

impl<'de, P> Deserialize<'de> for ServerRef<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (reference, channel, key) = <(Reference, _, _)>::deserialize(deserializer)?;
        let target = reference.target().map_err(serde::de::Error::custom)?;
        Ok(Self { target, lane: Lane { channel, key }, protocol: PhantomData })
    }
}

impl<R> Clone for Pending<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Pending<R> {}

impl<R> PartialEq for Pending<R> {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl<R> Eq for Pending<R> {}

impl<R> fmt::Debug for Pending<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pending({})", self.number)
    }
}

impl<R> Clone for Caller<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for Caller<R> {}

impl<R> PartialEq for Caller<R> {
    fn eq(&self, other: &Self) -> bool {
        self.reply_to == other.reply_to
    }
}

impl<R> Eq for Caller<R> {}

impl<R> fmt::Debug for Caller<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.reply_to)
    }
}
