//! A bounded queue of messages for one receiver.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use bytes::Bytes;
use partisan_proto::wire::Destination;
use partisan_proto::{ChannelId, NodeId};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use crate::connection::Lane;
use crate::mailboxes::{Arrived, Mailboxes};
use crate::sync::lock;

/// A message from a node of the cluster, perhaps from this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who sent it: proven by the handshake, not claimed by the message; for a relayed one, what
    /// the nodes that passed it on vouch for.
    pub from: NodeId,
    /// The channel it came by.
    pub channel: ChannelId,
    /// Whether it came by way of other nodes: see [`SendOptions::relay`](crate::SendOptions::relay).
    pub relayed: bool,
    /// What it says. Shares memory with messages that arrived together with it: copy what is kept
    /// for long.
    pub payload: Bytes,
}

impl Message {
    /// Reads what [`Node::send`](crate::Node::send) sent.
    ///
    /// # Errors
    /// When the payload is no `T` in the postcard format.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, postcard::Error> {
        postcard::from_bytes(&self.payload)
    }
}

/// The receiving end of a destination. Dropping it unregisters its name; messages for a name that
/// nobody has registered are dropped and counted.
#[derive(Debug)]
pub struct Mailbox {
    queue: Arc<MailboxQueue>,
    registry: Weak<Mailboxes>,
    /// Taken from the queue in one go and not received yet.
    taken: VecDeque<Message>,
}

impl Mailbox {
    pub(crate) fn new(queue: Arc<MailboxQueue>, registry: Weak<Mailboxes>) -> Self {
        Self { queue, registry, taken: VecDeque::new() }
    }

    /// The next message; `None` once the node has stopped and all are received. Giving up waiting
    /// loses nothing.
    pub async fn recv(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.taken.pop_front() {
                return Some(message);
            }
            match self.queue.take(&mut self.taken) {
                // Whoever always finds something must let others have their turn as well.
                Taken::Some => tokio::task::coop::consume_budget().await,
                Taken::Nothing => self.queue.readable.notified().await,
                Taken::Closed => return None,
            }
        }
    }

    /// The next message, if one waits.
    pub fn try_recv(&mut self) -> Option<Message> {
        if self.taken.is_empty() {
            self.queue.take(&mut self.taken);
        }
        self.taken.pop_front()
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.queue.give_back(std::mem::take(&mut self.taken));
        if let Some(registry) = self.registry.upgrade() {
            registry.unregister(&self.queue);
        }
    }
}

enum Taken {
    Some,
    Nothing,
    Closed,
}

/// The queue behind a [`Mailbox`].
#[derive(Debug)]
pub(crate) struct MailboxQueue {
    pub(crate) destination: Destination,
    most_messages: usize,
    most_bytes: usize,
    state: Mutex<State>,
    readable: Notify,
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Message>,
    bytes: usize,
    /// The receiver found nothing and waits.
    idle: bool,
    /// Somebody waits for room.
    awaited: bool,
    closed: bool,
}

impl State {
    fn push(&mut self, lane: Lane, relayed: bool, payload: Bytes) {
        if !self.closed {
            self.bytes += payload.len();
            let Lane { peer: from, channel } = lane;
            self.messages.push_back(Message { from, channel, relayed, payload });
        }
    }
}

impl MailboxQueue {
    pub(crate) fn new(destination: Destination, most_messages: usize, most_bytes: usize) -> Self {
        Self {
            destination,
            most_messages,
            most_bytes,
            state: Mutex::default(),
            readable: Notify::new(),
            room: Notify::new(),
        }
    }

    fn has_room(&self, state: &State) -> bool {
        state.closed || (state.messages.len() < self.most_messages && state.bytes < self.most_bytes)
    }

    /// Takes messages from the front of `arrived` as long as they are for this mailbox and there is
    /// room; `false` when it is full.
    pub(crate) fn push_run(&self, lane: Lane, arrived: &mut VecDeque<Arrived>) -> bool {
        let mut state = lock(&self.state);
        let mut fits = true;
        while let Some(next) = arrived.front()
            && next.destination == self.destination
        {
            fits = self.has_room(&state);
            if !fits {
                break;
            }
            if let Some(Arrived { payload, .. }) = arrived.pop_front() {
                state.push(lane, false, payload);
            }
        }
        self.wake(state);
        fits
    }

    /// Takes a message that was relayed, room or not: whoever brings it has waited for room.
    pub(crate) fn push_relayed(&self, lane: Lane, payload: Bytes) {
        let mut state = lock(&self.state);
        state.push(lane, true, payload);
        self.wake(state);
    }

    /// Wakes the receiver if it waits for what is there now.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let wake = state.idle && !state.messages.is_empty();
        state.idle &= !wake;
        drop(state);
        if wake {
            self.readable.notify_one();
        }
    }

    /// Waits until there is room.
    pub(crate) async fn room(&self) {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable();
            {
                let mut state = lock(&self.state);
                if self.has_room(&state) {
                    return;
                }
                state.awaited = true;
            }
            room.await;
        }
    }

    fn take(&self, taken: &mut VecDeque<Message>) -> Taken {
        let mut state = lock(&self.state);
        if state.messages.is_empty() {
            state.idle = true;
            return if state.closed { Taken::Closed } else { Taken::Nothing };
        }
        std::mem::swap(&mut state.messages, taken);
        state.bytes = 0;
        let awaited = std::mem::take(&mut state.awaited);
        drop(state);
        if awaited {
            self.room.notify_waiters();
        }
        Taken::Some
    }

    fn give_back(&self, taken: VecDeque<Message>) {
        let mut state = lock(&self.state);
        for message in taken.into_iter().rev() {
            state.bytes += message.payload.len();
            state.messages.push_front(message);
        }
    }

    /// Takes no more messages; what is in it can still be received.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.readable.notify_one();
        self.room.notify_waiters();
    }
}
