//! Servers that keep the messages of a handler: questions become calls.

use std::sync::Arc;

use bytes::Bytes;
use partisan_proto::behaviour::{StoreAnswer, StoreProtocol, StoreQuestion};
use partisan_proto::wire::BroadcastMessage;
use partisan_proto::{ExchangeResult, Fetched, MessageId};

use super::{BroadcastHandler, Exchange, HandlerError, Registration};
use crate::behaviour::ServerHandle;
use crate::calls::{CallOptions, RequestError};
use crate::error::NodeError;
use crate::node::Node;

impl Node {
    /// Has the messages of a handler kept by a server, which is asked about them by calls. The same
    /// server keeps them in the simulator.
    ///
    /// # Errors
    /// As [`Node::keep_broadcasts`].
    pub fn keep_broadcasts_by<P: StoreProtocol>(
        &self,
        handler: &str,
        server: ServerHandle<P>,
    ) -> Result<Registration, NodeError> {
        self.keep_broadcasts(handler, Kept(server))
    }
}

/// A handler whose messages are kept by a server.
struct Kept<P>(ServerHandle<P>);

impl<P: StoreProtocol> Kept<P> {
    /// The handler has deadlines of its own.
    fn options(&self) -> CallOptions {
        CallOptions { timeout: None, ..self.0.options() }
    }

    async fn ask(
        server: &ServerHandle<P>,
        question: StoreQuestion,
        options: CallOptions,
    ) -> Result<StoreAnswer, RequestError> {
        let reply = server.call_with(&question.into(), options).await?;
        Ok(reply.try_into().unwrap_or(StoreAnswer::Failed))
    }
}

impl<P: StoreProtocol> BroadcastHandler for Kept<P> {
    async fn merge(&mut self, message: Arc<BroadcastMessage>) -> Result<bool, HandlerError> {
        let (key, payload) = (message.key.to_vec(), message.payload.to_vec());
        let question = StoreQuestion::Merge { key, payload };
        match Self::ask(&self.0, question, self.options()).await? {
            StoreAnswer::New => Ok(true),
            StoreAnswer::Stale => Ok(false),
            answer => Err(format!("the server answers {answer:?}").into()),
        }
    }

    async fn is_stale(&mut self, _: MessageId, key: Bytes) -> bool {
        let question = StoreQuestion::IsStale { key: key.to_vec() };
        let answer = Self::ask(&self.0, question, self.options()).await;
        answer.is_ok_and(|answer| answer == StoreAnswer::Stale)
    }

    async fn fetch(&mut self, _: MessageId, key: Bytes) -> Fetched {
        let question = StoreQuestion::Fetch { key: key.to_vec() };
        let answer = Self::ask(&self.0, question, self.options()).await;
        answer.map_or(Fetched::Missing, StoreAnswer::fetched)
    }

    fn exchange(
        &mut self,
        exchange: Exchange,
    ) -> impl Future<Output = ExchangeResult> + Send + 'static {
        let (server, options) = (self.0.clone(), self.options());
        let question = StoreQuestion::Exchange { peer: exchange.peer };
        async move {
            let answer = Self::ask(&server, question, options).await;
            answer.map_or(ExchangeResult::Failed, |answer| answer.ended())
        }
    }
}
