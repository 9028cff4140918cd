//! Streams of broadcasts.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use partisan_proto::wire::BroadcastMessage;
use partisan_proto::{HandlerId, MessageId, NodeId};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use crate::driver_config::DriverConfig;
use crate::sync::lock;

/// What becomes of broadcasts that a subscriber does not receive in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest are dropped, and the subscriber is told how many: it harms nobody else.
    #[default]
    DropOldest,
    /// None is dropped: the connections that bring broadcasts for this handler are not read any
    /// further until there is room. So one slow subscriber slows down the broadcasts of the whole
    /// cluster, and what else comes by those connections.
    Wait,
}

/// What a subscriber receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broadcast {
    /// A message.
    Message(ReceivedBroadcast),
    /// So many were dropped before the next.
    Missed(u64),
}

/// A broadcast that has arrived, or was sent from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedBroadcast(Arc<BroadcastMessage>);

impl ReceivedBroadcast {
    /// Which message it is.
    #[must_use]
    pub fn id(&self) -> MessageId {
        self.0.id
    }

    /// Who sent it, as the nodes that passed it on vouch for.
    #[must_use]
    pub fn from(&self) -> NodeId {
        self.0.id.origin.node
    }

    /// How many hops it came; nought at its origin.
    #[must_use]
    pub fn hops(&self) -> u8 {
        self.0.hops
    }

    /// What its handler calls it.
    #[must_use]
    pub fn key(&self) -> &Bytes {
        &self.0.key
    }

    /// What it says. Shares memory with messages that arrived together with it: copy what is kept
    /// for long.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.0.payload
    }

    /// Reads what [`Node::broadcast`](crate::Node::broadcast) sent.
    ///
    /// # Errors
    /// When the payload is no `T` in the postcard format.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, postcard::Error> {
        partisan_proto::wire::read_whole(&self.0.payload)
    }
}

/// The broadcasts for a handler since the subscription. Dropping it ends that.
#[derive(Debug)]
pub struct Broadcasts {
    queue: Arc<Queue>,
    registry: Arc<Subscriptions>,
}

impl Broadcasts {
    /// The next; `None` once the node has stopped and all are received. Giving up waiting loses
    /// nothing.
    pub async fn recv(&mut self) -> Option<Broadcast> {
        loop {
            let mut readable = std::pin::pin!(self.queue.readable.notified());
            readable.as_mut().enable();
            match self.queue.take() {
                Taken::Some(broadcast) => {
                    tokio::task::coop::consume_budget().await;
                    return Some(broadcast);
                }
                Taken::Closed => return None,
                Taken::Nothing => readable.await,
            }
        }
    }

    /// The next message, whatever was missed before it.
    pub async fn next(&mut self) -> Option<ReceivedBroadcast> {
        loop {
            if let Broadcast::Message(message) = self.recv().await? {
                return Some(message);
            }
        }
    }

    /// The next, if one waits.
    pub fn try_recv(&mut self) -> Option<Broadcast> {
        match self.queue.take() {
            Taken::Some(broadcast) => Some(broadcast),
            Taken::Nothing | Taken::Closed => None,
        }
    }
}

impl Drop for Broadcasts {
    fn drop(&mut self) {
        self.registry.unsubscribe(&self.queue);
    }
}

enum Taken {
    Some(Broadcast),
    Nothing,
    Closed,
}

#[derive(Debug)]
struct Queue {
    handler: HandlerId,
    overflow: Overflow,
    most_messages: usize,
    most_bytes: usize,
    state: Mutex<State>,
    readable: Notify,
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Arc<BroadcastMessage>>,
    bytes: usize,
    missed: u64,
    closed: bool,
}

impl State {
    fn pop(&mut self) -> Option<Arc<BroadcastMessage>> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.payload.len();
        Some(message)
    }
}

impl Queue {
    fn has_room(&self, state: &State) -> bool {
        state.closed || (state.messages.len() < self.most_messages && state.bytes < self.most_bytes)
    }

    fn push(&self, message: &Arc<BroadcastMessage>) {
        let mut state = lock(&self.state);
        if state.closed {
            return;
        }
        if self.overflow == Overflow::DropOldest {
            while !self.has_room(&state) && state.pop().is_some() {
                state.missed += 1;
            }
        }
        state.bytes += message.payload.len();
        state.messages.push_back(Arc::clone(message));
        drop(state);
        self.readable.notify_one();
    }

    fn take(&self) -> Taken {
        let mut state = lock(&self.state);
        if state.missed > 0 {
            return Taken::Some(Broadcast::Missed(std::mem::take(&mut state.missed)));
        }
        let Some(message) = state.pop() else {
            return if state.closed { Taken::Closed } else { Taken::Nothing };
        };
        let room = self.has_room(&state);
        drop(state);
        if room && self.overflow == Overflow::Wait {
            self.room.notify_waiters();
        }
        Taken::Some(Broadcast::Message(ReceivedBroadcast(message)))
    }

    async fn room(&self) {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable();
            if self.has_room(&lock(&self.state)) {
                return;
            }
            room.await;
        }
    }

    fn close(&self) {
        lock(&self.state).closed = true;
        self.readable.notify_one();
        self.room.notify_waiters();
    }
}

/// Who has subscribed to the broadcasts of which handler.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    most_messages: usize,
    most_bytes: usize,
    /// `None` once the node has stopped.
    queues: Mutex<Option<HashMap<HandlerId, Vec<Arc<Queue>>>>>,
    /// Broadcasts for a handler to which nobody has subscribed.
    pub(crate) unreceived: AtomicU64,
}

impl Subscriptions {
    pub(crate) fn new(config: &DriverConfig) -> Self {
        Self {
            most_messages: config.mailbox_messages,
            most_bytes: config.mailbox_bytes,
            queues: Mutex::new(Some(HashMap::new())),
            unreceived: AtomicU64::new(0),
        }
    }

    /// `None` when the node has stopped.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        handler: HandlerId,
        overflow: Overflow,
    ) -> Option<Broadcasts> {
        let queue = Arc::new(Queue {
            handler,
            overflow,
            most_messages: self.most_messages,
            most_bytes: self.most_bytes,
            state: Mutex::default(),
            readable: Notify::new(),
            room: Notify::new(),
        });
        let mut queues = lock(&self.queues);
        queues.as_mut()?.entry(handler).or_default().push(Arc::clone(&queue));
        Some(Broadcasts { queue, registry: Arc::clone(self) })
    }

    fn unsubscribe(&self, queue: &Arc<Queue>) {
        if let Some(queues) = lock(&self.queues).as_mut()
            && let Some(of_handler) = queues.get_mut(&queue.handler)
        {
            of_handler.retain(|other| !Arc::ptr_eq(other, queue));
        }
        // Connections may be waiting for room that will never come.
        queue.close();
    }

    fn of(&self, handler: HandlerId) -> Vec<Arc<Queue>> {
        let queues = lock(&self.queues);
        queues.as_ref().and_then(|queues| queues.get(&handler)).cloned().unwrap_or_default()
    }

    pub(crate) fn deliver(&self, message: &Arc<BroadcastMessage>) {
        let queues = self.of(message.handler);
        if queues.is_empty() {
            self.unreceived.fetch_add(1, Ordering::Relaxed);
        }
        queues.iter().for_each(|queue| queue.push(message));
    }

    /// Waits until those who must miss nothing have room for a message of this handler.
    pub(crate) async fn room(&self, handler: HandlerId) {
        for queue in self.of(handler) {
            if queue.overflow == Overflow::Wait {
                queue.room().await;
            }
        }
    }

    /// Takes no more; what is queued can still be received.
    pub(crate) fn close(&self) {
        let queues = lock(&self.queues).take();
        queues.iter().flat_map(HashMap::values).flatten().for_each(|queue| queue.close());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use partisan_proto::{Incarnation, Instance};

    fn subscriptions(messages: usize) -> Arc<Subscriptions> {
        let config = DriverConfig { mailbox_messages: messages, ..DriverConfig::default() };
        Arc::new(Subscriptions::new(&config))
    }

    fn handler() -> HandlerId {
        HandlerId::from_u64(1)
    }

    fn message(sequence: u64) -> Arc<BroadcastMessage> {
        let origin = Instance { node: NodeId::from_u64(7), incarnation: Incarnation(1) };
        Arc::new(BroadcastMessage {
            id: MessageId { origin, sequence },
            hops: 1,
            own: false,
            stored: false,
            handler: handler(),
            key: Bytes::new(),
            payload: Bytes::from_static(b"x"),
        })
    }

    fn number(broadcast: Option<Broadcast>) -> u64 {
        match broadcast {
            Some(Broadcast::Message(message)) => message.id().sequence,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_slow_subscriber_misses_the_oldest_and_is_told() {
        let all = subscriptions(2);
        let mut slow = all.subscribe(handler(), Overflow::DropOldest).unwrap();
        (1..=5).for_each(|sequence| all.deliver(&message(sequence)));
        assert_eq!(slow.try_recv(), Some(Broadcast::Missed(3)));
        assert_eq!(number(slow.try_recv()), 4);
        assert_eq!(number(slow.try_recv()), 5);
        assert_eq!(slow.try_recv(), None);
    }

    #[tokio::test]
    async fn one_who_must_miss_nothing_makes_others_wait() {
        let all = subscriptions(2);
        let mut careful = all.subscribe(handler(), Overflow::Wait).unwrap();
        (1..=3).for_each(|sequence| all.deliver(&message(sequence)));
        let waiting = {
            let all = Arc::clone(&all);
            tokio::spawn(async move { all.room(handler()).await })
        };
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        assert_eq!(number(careful.recv().await), 1);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "what overran the bound still waits");
        assert_eq!(number(careful.recv().await), 2);
        waiting.await.unwrap();
        assert_eq!(number(careful.recv().await), 3);
    }

    #[tokio::test]
    async fn whoever_waits_for_a_subscriber_that_is_dropped_goes_on() {
        let all = subscriptions(1);
        let careful = all.subscribe(handler(), Overflow::Wait).unwrap();
        all.deliver(&message(1));
        let waiting = {
            let all = Arc::clone(&all);
            tokio::spawn(async move { all.room(handler()).await })
        };
        tokio::task::yield_now().await;
        drop(careful);
        waiting.await.unwrap();
        all.deliver(&message(2));
        assert_eq!(all.unreceived.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn each_subscriber_gets_all_and_ends_after_the_last() {
        let all = subscriptions(10);
        let mut one = all.subscribe(handler(), Overflow::DropOldest).unwrap();
        let mut other = all.subscribe(handler(), Overflow::Wait).unwrap();
        all.deliver(&message(1));
        all.close();
        for subscriber in [&mut one, &mut other] {
            assert_eq!(subscriber.next().await.unwrap().id().sequence, 1);
            assert_eq!(subscriber.next().await, None);
        }
        assert!(all.subscribe(handler(), Overflow::Wait).is_none());
    }
}
