//! Broadcasts: sending them, receiving them, and answering what the protocol asks of the stores
//! and oracles of the application.

mod handler;
mod kept;
mod subscription;

pub use handler::{BroadcastHandler, CostOracle, Exchange, HandlerError, Registration};
pub use subscription::{Broadcast, Broadcasts, Overflow, ReceivedBroadcast};

pub(crate) use handler::Answerers;
pub(crate) use subscription::Subscriptions;

use bytes::Bytes;
use partisan_proto::config::StoreConfig;
use partisan_proto::{
    Answer, BroadcastTree, Command, CommandError, ExchangeInfo, ExchangeSelector, HandlerId,
    HandlerName, MessageId,
};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::error::{NodeError, SendError};
use crate::event_loop::Request;
use crate::node::Node;
use crate::sending::Recipient;

impl Node {
    /// The handler of broadcasts of this name, if it is configured; `default` is there whether named
    /// or not.
    #[must_use]
    pub fn broadcast_handler(&self, name: &str) -> Option<HandlerId> {
        let name = HandlerName::new(name).ok()?;
        let configured = self.config().broadcast.handlers.contains_key(&name);
        (configured || name.as_str() == DEFAULT).then(|| HandlerId::of(&name))
    }

    fn configured(&self, name: &str) -> Result<HandlerId, NodeError> {
        self.broadcast_handler(name).ok_or_else(|| NodeError::UnknownHandler(name.into()))
    }

    /// Tells all nodes of the cluster, best effort: see [`Command::Broadcast`]. Serialised with
    /// postcard; read it with [`ReceivedBroadcast::decode`].
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn broadcast<T: Serialize + ?Sized + Sync>(
        &self,
        handler: &str,
        message: &T,
    ) -> Result<MessageId, SendError> {
        let payload = postcard::to_extend(message, Vec::new()).map_err(SendError::Encode)?;
        self.broadcast_bytes(handler, Bytes::new(), payload.into()).await
    }

    /// Tells all nodes of the cluster these bytes as they are, under a key by which handlers that
    /// keep their messages find them; empty where it needs none.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn broadcast_bytes(
        &self,
        handler: &str,
        key: Bytes,
        payload: Bytes,
    ) -> Result<MessageId, SendError> {
        let unknown = || SendError::UnknownHandler(handler.into());
        let handler = self.broadcast_handler(handler).ok_or_else(unknown)?;
        let broadcast = partisan_proto::Broadcast { handler, key, payload };
        match self.command(Command::Broadcast(broadcast)).await {
            Ok(Answer::Broadcast(id)) => Ok(id),
            Ok(_) => Err(CommandError::NotSupported("broadcasts").into()),
            Err(NodeError::Command(error)) => Err(error.into()),
            Err(_) => Err(SendError::Stopped),
        }
    }

    /// The broadcasts for a handler from now on, each once. There may be several subscribers.
    ///
    /// # Errors
    /// [`NodeError::UnknownHandler`]; [`NodeError::Stopped`].
    pub fn broadcasts(&self, handler: &str, overflow: Overflow) -> Result<Broadcasts, NodeError> {
        let handler = self.configured(handler)?;
        self.shared.subscriptions.subscribe(handler, overflow).ok_or(NodeError::Stopped)
    }

    /// Has the messages of a handler kept by the application, which is asked about them in a task
    /// of its own for as long as the registration lives. Needs the context of a tokio runtime.
    ///
    /// # Errors
    /// [`NodeError::UnknownHandler`]; [`NodeError::NotAStore`] unless it is configured with
    /// `store = "application"`; [`NodeError::Registered`] while there is another.
    pub fn keep_broadcasts(
        &self,
        handler: &str,
        store: impl BroadcastHandler,
    ) -> Result<Registration, NodeError> {
        let id = self.configured(handler)?;
        let options = &self.config().broadcast.handlers;
        let kept = options.iter().find(|(name, _)| name.as_str() == handler);
        if kept.is_none_or(|(_, options)| options.store != StoreConfig::Application) {
            return Err(NodeError::NotAStore(handler.to_owned()));
        }
        let events = self.events.clone();
        let registered = self.shared.answerers.keep(id, handler, store, events);
        registered.ok_or_else(|| NodeError::Registered(handler.to_owned()))
    }

    /// Has the cost of links told by the application, for overlays that optimise it. Needs the
    /// context of a tokio runtime.
    ///
    /// # Errors
    /// [`NodeError::Registered`] while there is another.
    pub fn tell_costs(&self, oracle: impl CostOracle) -> Result<Registration, NodeError> {
        let registered = self.shared.answerers.judge(oracle, self.events.clone());
        registered.ok_or_else(|| NodeError::Registered("the cost oracle".to_owned()))
    }

    /// How broadcasts of `root` travel through this node.
    ///
    /// # Errors
    /// [`NodeError::Stopped`].
    pub async fn broadcast_tree(
        &self,
        root: impl Into<Recipient>,
    ) -> Result<BroadcastTree, NodeError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Tree(root.into().id(), reply)).await?;
        answer.await.map_err(|_| NodeError::Stopped)
    }

    /// The exchanges of broadcasts under way.
    ///
    /// # Errors
    /// [`NodeError::Stopped`].
    pub async fn exchanges(&self) -> Result<Vec<ExchangeInfo>, NodeError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Exchanges(reply)).await?;
        answer.await.map_err(|_| NodeError::Stopped)
    }

    /// Cancels exchanges that are under way; says how many.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn cancel_exchanges(&self, which: ExchangeSelector) -> Result<usize, NodeError> {
        match self.command(Command::CancelExchanges(which)).await? {
            Answer::Cancelled(count) => Ok(count),
            _ => Err(CommandError::NotSupported("exchanges").into()),
        }
    }
}

/// The handler that is always there.
const DEFAULT: &str = "default";
