//! Typed handles of servers.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use partisan_proto::behaviour::{
    Caller, Protocol, ServerRef, StateBytes, Status, SystemRequest, Term,
};
use partisan_proto::call::Server;
use partisan_proto::process::Lane;
use partisan_proto::{ExitReason, ProcessId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StopError;
use crate::calls::{CallOptions, RequestError, RequestHandle, decoded};
use crate::node::Node;
use crate::sending::SendOptions;

/// A server that speaks `P`, here or elsewhere, as a node asks and tells it.
///
/// Cheap to clone. Holds a handle of the node, and so keeps that running.
pub struct ServerHandle<P> {
    node: Node,
    server: ServerRef<P>,
}

impl<P: Protocol> ServerHandle<P> {
    pub(super) const fn new(node: Node, server: ServerRef<P>) -> Self {
        Self { node, server }
    }

    /// Whom it names, as a value that may be sent to others.
    #[must_use]
    pub const fn reference(&self) -> &ServerRef<P> {
        &self.server
    }

    /// The process, where it is named by its identifier.
    #[must_use]
    pub const fn process(&self) -> Option<ProcessId> {
        self.server.process()
    }

    /// The node that asks.
    #[must_use]
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// How [`ServerHandle::call`] asks: within five seconds, on the lane of the reference.
    #[must_use]
    pub fn options(&self) -> CallOptions {
        CallOptions { lane: self.server.lane(), ..CallOptions::default() }
    }

    /// Asks and waits for the answer (`gen_server:call/2`), for five seconds at most. Giving up
    /// waiting abandons the call.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn call(&self, call: &P::Call) -> Result<P::Reply, RequestError> {
        self.call_with(call, self.options()).await
    }

    /// As [`ServerHandle::call`], with options of this call alone.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn call_with(
        &self,
        call: &P::Call,
        options: impl Into<CallOptions>,
    ) -> Result<P::Reply, RequestError> {
        self.send_request(call, options).await?.answer().await
    }

    /// Asks, for an answer to be waited for later (`gen_server:send_request/2`).
    ///
    /// # Errors
    /// [`RequestError`], where it could not even be asked.
    pub async fn send_request(
        &self,
        call: &P::Call,
        options: impl Into<CallOptions>,
    ) -> Result<RequestHandle<P::Reply>, RequestError> {
        let payload = ServerRef::<P>::write_call(call).map_err(RequestError::Encode)?;
        self.ask(payload, options.into()).await
    }

    async fn ask<R: DeserializeOwned>(
        &self,
        payload: Bytes,
        options: CallOptions,
    ) -> Result<RequestHandle<R>, RequestError> {
        let server = Server::Process(self.server.target().clone());
        let from = (&self.node, &self.node.shared.own);
        RequestHandle::ask(from, server, payload, options, decoded).await
    }

    /// Tells it something and does not care what becomes of it (`gen_server:cast/2`). It waits only
    /// while the way is full.
    pub async fn cast(&self, cast: &P::Cast) {
        let sent = match ServerRef::<P>::write_cast(cast) {
            Ok(payload) => {
                let Lane { channel, key } = self.server.lane();
                let options = SendOptions::from_parts(channel, key, false);
                let target = self.server.target().clone();
                self.node.send_bytes_to(target, payload, &options).await.map_err(|e| e.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = sent {
            tracing::debug!(server = ?self.server, error, "a cast was not sent");
        }
    }

    /// Ends it for this reason and waits until it has ended (`gen_server:stop/3`).
    ///
    /// # Errors
    /// [`StopError`].
    pub async fn stop(
        &self,
        reason: ExitReason,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<(), StopError> {
        let options = CallOptions { timeout: timeout.into(), ..self.options() };
        let request = SystemRequest::Stop(reason.clone());
        match self.system_with::<()>(request, options).await.map_err(StopError::from) {
            Err(StopError::Ended(why)) if why == reason => Ok(()),
            outcome => outcome,
        }
    }

    /// Asks for something that every behaviour answers, with an answer of the type that
    /// [`SystemRequest`] says.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn system<R: Term>(&self, request: SystemRequest) -> Result<R, RequestError> {
        self.system_with(request, self.options()).await
    }

    async fn system_with<R: Term>(
        &self,
        request: SystemRequest,
        options: CallOptions,
    ) -> Result<R, RequestError> {
        let payload = request.write().map_err(RequestError::Encode)?;
        self.ask(payload, options).await?.answer().await
    }

    /// Has it handle nothing but system requests until [`ServerHandle::resume`] (`sys:suspend/1`).
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn suspend(&self) -> Result<(), RequestError> {
        self.system(SystemRequest::Suspend).await
    }

    /// Lets it go on (`sys:resume/1`).
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn resume(&self) -> Result<(), RequestError> {
        self.system(SystemRequest::Resume).await
    }

    /// What it tells about itself (`sys:get_status/1`, `sys:statistics/2`).
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn status(&self) -> Result<Status, RequestError> {
        self.system(SystemRequest::Status).await
    }

    /// Has what comes in told to a process, or to nobody (`sys:trace/2`).
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn trace(&self, tracer: Option<ProcessId>) -> Result<(), RequestError> {
        self.system(SystemRequest::Trace(tracer)).await
    }

    /// Its state, in the postcard format (`sys:get_state/1`); `None` where it does not tell it.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn state<T: DeserializeOwned>(&self) -> Result<Option<T>, RequestError> {
        let state: Option<StateBytes> = self.system(SystemRequest::GetState).await?;
        let read = |state: StateBytes| partisan_proto::wire::read_whole(state.as_bytes());
        state.map(read).transpose().map_err(RequestError::Decode)
    }

    /// Has it take a state, in the postcard format (`sys:replace_state/2`); `false` where it does
    /// not.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn replace_state<T: Serialize + ?Sized>(
        &self,
        state: &T,
    ) -> Result<bool, RequestError> {
        let bytes = postcard::to_allocvec(state).map_err(RequestError::Encode)?;
        match StateBytes::new(&bytes) {
            Some(state) => self.system(SystemRequest::ReplaceState(state)).await,
            None => Ok(false),
        }
    }
}

impl Node {
    /// Answers a call that somebody else was asked (`gen_server:reply/2`). The first answer counts.
    ///
    /// # Errors
    /// [`RequestError::Encode`], [`RequestError::Stopped`] once the node has. That the caller
    /// is gone is no error.
    pub async fn answer<R: Term>(&self, caller: Caller<R>, reply: &R) -> Result<(), RequestError> {
        let reply = Caller::write(reply).map_err(RequestError::Encode)?;
        self.reply(caller.reply_to(), Ok(reply)).await
    }
}

impl<P> Clone for ServerHandle<P> {
    fn clone(&self) -> Self {
        Self { node: self.node.clone(), server: self.server.clone() }
    }
}

impl<P> fmt::Debug for ServerHandle<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.server, f)
    }
}
