//! Calls: asking processes and functions, from processes and from any other code.
//!
//! See [`partisan_proto::call`] for what is promised.

mod collection;
mod error;
mod request;

pub use collection::{RequestCollection, RequestKey};
pub use error::RequestError;
pub use request::RequestHandle;

pub(crate) use request::{as_bytes, decoded};

use std::time::Duration;

use bytes::Bytes;
use partisan_proto::call::Server;
use partisan_proto::process::Lane;
use partisan_proto::{ChannelId, NodeId, ProcessName, Target};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::node::Node;
use crate::sending::SendOptions;

/// How a call is made: by default within five seconds (as `gen_server:call/2`), on the default
/// channel without a key. A [`Duration`] alone is a timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallOptions {
    pub(crate) timeout: Option<Duration>,
    pub(crate) lane: Lane,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self { timeout: Some(Duration::from_secs(5)), lane: Lane::default() }
    }
}

impl From<Duration> for CallOptions {
    fn from(timeout: Duration) -> Self {
        Self::default().timeout(timeout)
    }
}

impl CallOptions {
    /// Waits so long for the answer. With zero, only an answer that is there at once counts.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Waits as long as the server and the connection to it live (`infinity`).
    #[must_use]
    pub const fn no_timeout(mut self) -> Self {
        self.timeout = None;
        self
    }

    /// On this channel, the answer too.
    #[must_use]
    pub const fn channel(mut self, channel: ChannelId) -> Self {
        self.lane.channel = channel;
        self
    }

    /// After the messages that were sent there with this key before.
    #[must_use]
    pub const fn key(mut self, key: u64) -> Self {
        self.lane.key = Some(key);
        self
    }
}

/// What a call of many came to.
#[derive(Debug)]
pub struct MultiReply<R> {
    /// Who answered, and what, in the order in which they were asked.
    pub replies: Vec<(NodeId, R)>,
    /// Who did not, and why, in that order.
    pub bad_nodes: Vec<(NodeId, RequestError)>,
}

impl Node {
    /// Asks a process, here or elsewhere, and waits for the answer (`gen_server:call/3`). One round
    /// trip, and exactly one outcome. Serialised with postcard. Giving up waiting abandons the call.
    ///
    /// While the lane is full it waits for room, within the timeout.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn call<T: Serialize + ?Sized, R: DeserializeOwned>(
        &self,
        server: impl Into<Server>,
        request: &T,
        options: impl Into<CallOptions>,
    ) -> Result<R, RequestError> {
        self.send_request(server, request, options).await?.answer().await
    }

    /// As [`Node::call`], with bytes as they are.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn call_bytes(
        &self,
        server: impl Into<Server>,
        request: Bytes,
        options: impl Into<CallOptions>,
    ) -> Result<Bytes, RequestError> {
        self.send_request_bytes(server, request, options).await?.answer().await
    }

    /// Asks, for an answer to be waited for later (`gen_server:send_request/2`).
    ///
    /// # Errors
    /// [`RequestError`], where it could not even be asked.
    pub async fn send_request<T: Serialize + ?Sized, R: DeserializeOwned>(
        &self,
        server: impl Into<Server>,
        request: &T,
        options: impl Into<CallOptions>,
    ) -> Result<RequestHandle<R>, RequestError> {
        RequestHandle::ask_typed((self, &self.shared.own), server, request, options).await
    }

    /// As [`Node::send_request`], with bytes as they are.
    ///
    /// # Errors
    /// [`RequestError`], where it could not even be asked.
    pub async fn send_request_bytes(
        &self,
        server: impl Into<Server>,
        request: Bytes,
        options: impl Into<CallOptions>,
    ) -> Result<RequestHandle<Bytes>, RequestError> {
        let from = (self, &self.shared.own);
        RequestHandle::ask(from, server.into(), request, options.into(), as_bytes).await
    }

    /// Asks the processes of this name on several nodes at once, all within one timeout
    /// (`gen_server:multi_call/4`).
    pub async fn multi_call<T: Serialize + ?Sized, R: DeserializeOwned>(
        &self,
        nodes: impl IntoIterator<Item = NodeId>,
        name: &ProcessName,
        request: &T,
        options: impl Into<CallOptions>,
    ) -> MultiReply<R> {
        let servers = nodes.into_iter().map(|node| Server::from((node, name.clone())));
        let (mut replies, mut bad_nodes) = (Vec::new(), Vec::new());
        for (node, outcome) in self.ask_all(servers.collect(), request, options.into()).await {
            match outcome {
                Ok(reply) => replies.push((node, reply)),
                Err(error) => bad_nodes.push((node, error)),
            }
        }
        MultiReply { replies, bad_nodes }
    }

    /// Asks all, then waits for each: the outcomes in the order of `servers`.
    pub(crate) async fn ask_all<T: Serialize + ?Sized, R: DeserializeOwned>(
        &self,
        servers: Vec<Server>,
        request: &T,
        options: CallOptions,
    ) -> Vec<(NodeId, Result<R, RequestError>)> {
        let payload = postcard::to_allocvec(request).map(Bytes::from);
        let mut asked = Vec::with_capacity(servers.len());
        for server in servers {
            let (node, from) = (server.node(), (self, &self.shared.own));
            let handle = match &payload {
                Ok(payload) => {
                    RequestHandle::ask(from, server, payload.clone(), options, decoded).await
                }
                Err(error) => Err(RequestError::Encode(error.clone())),
            };
            asked.push((node, handle));
        }
        let mut outcomes = Vec::with_capacity(asked.len());
        for (node, handle) in asked {
            let outcome = match handle {
                Ok(handle) => handle.answer().await,
                Err(error) => Err(error),
            };
            outcomes.push((node, outcome));
        }
        outcomes
    }

    /// Sends a message and does not care what becomes of it (`gen_server:cast/2`). It waits only
    /// while the way is full.
    pub async fn cast<T: Serialize + ?Sized + Sync>(&self, target: impl Into<Target>, message: &T) {
        let target = target.into();
        if let Err(error) = self.send_to(target.clone(), message, &SendOptions::default()).await {
            tracing::debug!(?target, %error, "a cast was not sent");
        }
    }

    /// As [`Node::cast`], to the processes of this name on several nodes (`gen_server:abcast/3`).
    pub async fn abcast<T: Serialize + ?Sized + Sync>(
        &self,
        nodes: impl IntoIterator<Item = NodeId, IntoIter: Send>,
        name: &ProcessName,
        message: &T,
    ) {
        for node in nodes {
            self.cast((node, name.clone()), message).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_waits_five_seconds_unless_it_says_otherwise() {
        let seconds = Duration::from_secs;
        assert_eq!(CallOptions::default().timeout, Some(seconds(5)));
        assert_eq!(CallOptions::from(seconds(7)).timeout, Some(seconds(7)));
        assert_eq!(CallOptions::default().no_timeout().timeout, None);
    }
}
