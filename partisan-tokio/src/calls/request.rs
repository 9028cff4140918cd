//! Requests under way.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use partisan_proto::call::{CallError, Server};
use partisan_proto::process::Lane;
use partisan_proto::{CommandError, NodeId, ProcessAct, Signal};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{CallOptions, RequestError};
use crate::node::Node;
use crate::process::{Doing, Gone, ProcessState, Stopped};
use crate::sending::SendOptions;

/// A request under way. Dropping it gives it up: it is taken back where it was not answered yet, and
/// no answer that comes later is ever taken for that of another.
#[derive(Debug)]
#[must_use = "dropping it gives the request up"]
pub struct RequestHandle<R> {
    question: Question,
    phase: Phase,
    read: fn(Bytes) -> Result<R, RequestError>,
}

/// What is asked, by whom and of whom.
#[derive(Clone, Debug)]
struct Question {
    node: Node,
    asker: Arc<ProcessState>,
    server: Server,
    payload: Bytes,
    lane: Lane,
    /// `None` for ever.
    until: Option<Instant>,
}

enum Phase {
    /// There was no room on the way: it is asked again once there is.
    Crowded(Pin<Box<dyn Future<Output = Result<Self, RequestError>> + Send>>),
    Asked {
        number: u64,
        told: oneshot::Receiver<Signal>,
    },
    Over,
}

impl fmt::Debug for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crowded(_) => f.write_str("Crowded"),
            Self::Asked { number, .. } => write!(f, "Asked({number})"),
            Self::Over => f.write_str("Over"),
        }
    }
}

impl Question {
    async fn ask(&self, timeout: Option<Duration>) -> Result<Phase, RequestError> {
        let room = self.node.shared.doings.room(self.payload.len()).await;
        let number = self.asker.number();
        let told = self.asker.expect_here(number)?;
        let (server, payload, lane) = (self.server.clone(), self.payload.clone(), self.lane);
        let act = ProcessAct::Call { number, server, payload, timeout, lane };
        let told_loop = room.tell(Doing::Act(self.asker.id.serial, Box::new(act)));
        told_loop.map_err(|Stopped| RequestError::Stopped)?;
        Ok(Phase::Asked { number, told })
    }

    async fn ask_again(self, crowded: NodeId) -> Result<Phase, RequestError> {
        let Lane { channel, key } = self.lane;
        let options = SendOptions::from_parts(channel, key, false);
        let relief = self.node.relieved(crowded, &options);
        let relieved = match self.until {
            Some(until) => tokio::time::timeout_at(until, relief).await.is_ok(),
            None => {
                relief.await;
                true
            }
        };
        // The loop may learn of the room later than this does.
        tokio::task::yield_now().await;
        let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        if !relieved || left.is_some_and(|left| left.is_zero()) {
            return Err(CallError::Timeout.into());
        }
        self.ask(left).await
    }
}

impl<R: DeserializeOwned> RequestHandle<R> {
    /// As [`RequestHandle::ask`], serialised with postcard both ways.
    pub(crate) async fn ask_typed<T: Serialize + ?Sized>(
        from: (&Node, &Arc<ProcessState>),
        server: impl Into<Server>,
        request: &T,
        options: impl Into<CallOptions>,
    ) -> Result<Self, RequestError> {
        let (server, options) = (server.into(), options.into());
        let payload = postcard::to_allocvec(request).map_err(RequestError::Encode)?;
        Self::ask(from, server, payload.into(), options, decoded).await
    }
}

impl<R> RequestHandle<R> {
    /// Asks in the name of a process.
    pub(crate) async fn ask(
        (node, asker): (&Node, &Arc<ProcessState>),
        server: Server,
        payload: Bytes,
        CallOptions { timeout, lane }: CallOptions,
        read: fn(Bytes) -> Result<R, RequestError>,
    ) -> Result<Self, RequestError> {
        let (node, asker) = (node.clone(), Arc::clone(asker));
        // A span too long for the clock is for ever.
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let question = Question { node, asker, server, payload, lane, until };
        let phase = question.ask(timeout.filter(|_| until.is_some())).await?;
        Ok(Self { question, phase, read })
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn answer(mut self) -> Result<R, RequestError> {
        self.outcome().await
    }

    /// Waits for the answer at most so long; `None` when it has not come yet, and then the request
    /// goes on (`gen_server:wait_response/2`).
    pub async fn wait(&mut self, timeout: Duration) -> Option<Result<R, RequestError>> {
        tokio::time::timeout(timeout, self.outcome()).await.ok()
    }

    /// Waits for the answer at most so long, and gives it up then
    /// (`gen_server:receive_response/2`).
    ///
    /// # Errors
    /// [`RequestError`]; [`CallError::Timeout`] when it was given up.
    pub async fn receive(mut self, timeout: Duration) -> Result<R, RequestError> {
        self.wait(timeout).await.unwrap_or(Err(CallError::Timeout.into()))
    }

    /// The answer, if it has come (`gen_server:check_response/2`).
    pub fn check(&mut self) -> Option<Result<R, RequestError>> {
        if let Phase::Asked { told, .. } = &mut self.phase {
            match told.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => return None,
                told => return Some(self.told(told.ok())?.and_then(self.read)),
            }
        }
        match self.poll_outcome(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }

    /// Leaves it to itself: it goes on, and nobody hears of its answer.
    pub(crate) fn forget(mut self) {
        self.phase = Phase::Over;
    }

    /// The outcome, once. Giving up waiting for it loses nothing.
    async fn outcome(&mut self) -> Result<R, RequestError> {
        poll_fn(|cx| self.poll_outcome(cx)).await
    }

    pub(super) fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Result<R, RequestError>> {
        loop {
            match &mut self.phase {
                Phase::Over => return Poll::Ready(Err(RequestError::Taken)),
                Phase::Asked { told, .. } => {
                    let told = ready!(Pin::new(told).poll(cx)).ok();
                    if let Some(outcome) = self.told(told) {
                        return Poll::Ready(outcome.and_then(self.read));
                    }
                }
                Phase::Crowded(asking) => {
                    let asked = ready!(asking.as_mut().poll(cx));
                    self.phase = Phase::Over;
                    match asked {
                        Ok(phase) => self.phase = phase,
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                }
            }
        }
    }

    /// What was told; `None` when it must be asked again.
    fn told(&mut self, told: Option<Signal>) -> Option<Result<Bytes, RequestError>> {
        self.phase = Phase::Over;
        match told {
            Some(Signal::Answer { result, .. }) => match result {
                Err(CallError::NotSent(CommandError::QueueFull(node))) => {
                    let again = self.question.clone().ask_again(node);
                    self.phase = Phase::Crowded(Box::pin(again));
                    None
                }
                result => Some(result.map_err(RequestError::Call)),
            },
            _ => Some(Err(self.question.asker.gone().unwrap_or(Gone::Stopped).into())),
        }
    }
}

impl<R> Drop for RequestHandle<R> {
    fn drop(&mut self) {
        if let Phase::Asked { number, .. } = &self.phase {
            let (number, Question { node, asker, .. }) = (*number, &self.question);
            if asker.forget(number) {
                node.shared.doings.end(asker.id.serial, ProcessAct::Abandon { number });
            }
        }
    }
}

pub(crate) fn decoded<R: DeserializeOwned>(bytes: Bytes) -> Result<R, RequestError> {
    partisan_proto::wire::read_whole(&bytes).map_err(RequestError::Decode)
}

pub(crate) const fn as_bytes(bytes: Bytes) -> Result<Bytes, RequestError> {
    Ok(bytes)
}
