//! Streams of events, and callbacks built upon them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use partisan_proto::{ChannelId, NodeId, Notification};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::AbortHandle;

use crate::shared::Shared;
use crate::store::Recovered;

/// Something worth knowing about a running node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeEvent {
    /// The protocol tells: members, peers and channels up and down, joins, failures.
    Notification(Notification),
    /// The stored membership was unusable; the node started without it.
    Recovered(Recovered),
    /// The membership could not be stored; it is tried again.
    PersistFailed {
        /// What the operating system says.
        error: String,
    },
    /// This subscriber was too slow and missed so many events. What holds now is told by
    /// [`Node::members`](crate::Node::members) and the like.
    Missed(u64),
}

/// The events of a node from the moment of subscribing on. A slow subscriber misses the oldest
/// ones, and is told how many; it never holds up the node.
#[derive(Debug)]
pub struct EventStream {
    receiver: Option<broadcast::Receiver<NodeEvent>>,
    first: Option<NodeEvent>,
}

impl EventStream {
    pub(crate) const fn new(receiver: Option<broadcast::Receiver<NodeEvent>>) -> Self {
        Self { receiver, first: None }
    }

    pub(crate) fn starting_with(mut self, first: Option<NodeEvent>) -> Self {
        self.first = first;
        self
    }

    /// The next event; `None` once the node has stopped. Giving up waiting loses nothing.
    pub async fn next(&mut self) -> Option<NodeEvent> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        match self.receiver.as_mut()?.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(count)) => Some(NodeEvent::Missed(count)),
            Err(RecvError::Closed) => None,
        }
    }
}

/// Keeps a callback registered; dropping it ends that.
#[derive(Debug)]
#[must_use = "the callback is removed when this is dropped"]
pub struct Subscription(AbortHandle);

impl Drop for Subscription {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a callback waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    Up,
    Down,
}

/// Whose ups or downs; `None` is any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(crate) edge: Edge,
    pub(crate) node: Option<NodeId>,
    pub(crate) channel: Option<ChannelId>,
}

impl Watched {
    fn matches(self, event: &NodeEvent) -> Option<NodeId> {
        let NodeEvent::Notification(notification) = event else {
            return None;
        };
        let (edge, node, channel) = match notification {
            Notification::NodeUp { instance, .. } => (Edge::Up, instance.node, None),
            Notification::NodeDown { instance, .. } => (Edge::Down, instance.node, None),
            Notification::ChannelUp { node, channel } => (Edge::Up, *node, Some(*channel)),
            Notification::ChannelDown { node, channel } => (Edge::Down, *node, Some(*channel)),
            _ => return None,
        };
        let fits = edge == self.edge
            && channel == self.channel
            && self.node.is_none_or(|wanted| wanted == node);
        fits.then_some(node)
    }
}

/// Calls `callback` with the node at each matching event. A panic in it is contained and told.
pub(crate) fn watch(
    shared: &Arc<Shared>,
    watched: Watched,
    mut callback: impl FnMut(NodeId) + Send + 'static,
) -> Subscription {
    let mut events = shared.subscribe();
    let task = tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let NodeEvent::Missed(count) = event {
                tracing::warn!(count, "a callback was too slow and missed events");
            }
            let Some(node) = watched.matches(&event) else {
                continue;
            };
            if catch_unwind(AssertUnwindSafe(|| callback(node))).is_err() {
                tracing::error!(%node, "a callback panicked; it stays registered");
            }
        }
    });
    Subscription(task.abort_handle())
}
