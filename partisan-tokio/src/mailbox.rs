//! A bounded queue of messages for one receiver.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use bytes::Bytes;
use partisan_proto::wire::Destination;
use partisan_proto::{ChannelId, NodeId, Serial, Signal};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

use crate::connection::Lane;
use crate::mailboxes::{Arrived, Mailboxes};
use crate::process::Input;
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
        partisan_proto::wire::read_whole(&self.payload)
    }
}

/// The receiving end of a destination. Dropping it unregisters its name; messages for a name that
/// nobody has registered are dropped and counted.
#[derive(Debug)]
pub struct Mailbox {
    queue: Arc<MailboxQueue>,
    /// Under which it is registered; `None` for the inbox.
    name: Option<Box<str>>,
    registry: Weak<Mailboxes>,
    /// Taken from the queue in one go and not received yet.
    taken: VecDeque<Entry>,
}

impl Mailbox {
    pub(crate) fn new(
        queue: Arc<MailboxQueue>,
        name: Option<Box<str>>,
        registry: Weak<Mailboxes>,
    ) -> Self {
        Self { queue, name, registry, taken: VecDeque::new() }
    }

    /// The next message; `None` once the node has stopped and all are received. Giving up waiting
    /// loses nothing.
    pub async fn recv(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.next_taken() {
                return Some(message);
            }
            match self.queue.take(&mut self.taken, Load::default()) {
                // Whoever always finds something must let others have their turn as well.
                Taken::Some => tokio::task::coop::consume_budget().await,
                Taken::Nothing => self.queue.readable().await,
                Taken::Closed => return None,
            }
        }
    }

    /// The next message, if one waits.
    pub fn try_recv(&mut self) -> Option<Message> {
        if self.taken.is_empty() {
            self.queue.take(&mut self.taken, Load::default());
        }
        self.next_taken()
    }

    fn next_taken(&mut self) -> Option<Message> {
        loop {
            match self.taken.pop_front()? {
                Entry::Message(message) => return Some(message),
                // Only processes are sent anything else.
                Entry::Other(_) => {}
            }
        }
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.queue.give_back(std::mem::take(&mut self.taken));
        if let Some(registry) = self.registry.upgrade() {
            registry.unregister(&self.queue, self.name.as_deref());
        }
    }
}

/// What waits in a mailbox. As long as a message alone, of which there are the most.
#[derive(Debug)]
pub(crate) enum Entry {
    Message(Message),
    /// A request or a signal for a process.
    Other(Box<Input>),
}

impl Entry {
    /// The bytes that count; `None` for signals, of which there are no more than were asked for.
    fn bytes(&self) -> Option<usize> {
        match self {
            Self::Message(message) => Some(message.payload.len()),
            Self::Other(input) => input.payload().map(Bytes::len),
        }
    }
}

/// What there was to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Some,
    Nothing,
    Closed,
}

/// How much waits in a mailbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    messages: usize,
    bytes: usize,
}

impl Load {
    pub(crate) const fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }
}

/// The queue behind a [`Mailbox`], or a process.
#[derive(Debug)]
pub(crate) struct MailboxQueue {
    /// The process that it belongs to.
    pub(crate) owner: Option<Serial>,
    most: Load,
    state: Mutex<State>,
    readable: Notify,
    room: Notify,
}

#[derive(Debug, Default)]
struct State {
    entries: VecDeque<Entry>,
    /// Of what counts among the entries, and of what the receiver holds beyond its last batch.
    load: Load,
    /// The receiver found nothing and waits.
    idle: bool,
    /// Somebody waits for room.
    awaited: bool,
    closed: bool,
}

impl State {
    fn push(&mut self, entry: Entry) {
        if !self.closed {
            if let Some(bytes) = entry.bytes() {
                self.load.add(bytes);
            }
            self.entries.push_back(entry);
        }
    }

    fn push_message(&mut self, lane: Lane, relayed: bool, payload: Bytes) {
        let Lane { peer: from, channel } = lane;
        self.push(Entry::Message(Message { from, channel, relayed, payload }));
    }
}

impl MailboxQueue {
    pub(crate) fn new(owner: Option<Serial>, messages: usize, bytes: usize) -> Self {
        Self {
            owner,
            most: Load { messages, bytes },
            state: Mutex::default(),
            readable: Notify::new(),
            room: Notify::new(),
        }
    }

    fn has_room(&self, state: &State) -> bool {
        let Load { messages, bytes } = state.load;
        state.closed || (messages < self.most.messages && bytes < self.most.bytes)
    }

    /// Takes messages from the front of `arrived` as long as they are for the same destination as
    /// the first and there is room; `false` when it is full.
    pub(crate) fn push_run(&self, lane: Lane, arrived: &mut VecDeque<Arrived>) -> bool {
        let mut state = lock(&self.state);
        let mut last: Option<Destination> = None;
        let mut fits = true;
        while let Some(next) = arrived.front()
            && last.as_ref().is_none_or(|last| *last == next.destination)
        {
            fits = self.has_room(&state);
            if !fits {
                break;
            }
            if let Some(Arrived { destination, payload }) = arrived.pop_front() {
                state.push_message(lane, false, payload);
                last = Some(destination);
            }
        }
        self.wake(state);
        fits
    }

    /// Takes a message, room or not: whoever brings it has waited for room.
    pub(crate) fn push_waited(&self, lane: Lane, relayed: bool, payload: Bytes) {
        let mut state = lock(&self.state);
        state.push_message(lane, relayed, payload);
        self.wake(state);
    }

    /// Takes a request if there is room.
    pub(crate) fn push_request(&self, request: Input) -> bool {
        let mut state = lock(&self.state);
        let fits = self.has_room(&state);
        if fits {
            state.push(Entry::Other(Box::new(request)));
        }
        self.wake(state);
        fits
    }

    /// Takes a signal, room or not.
    pub(crate) fn push_signal(&self, signal: Signal) {
        let mut state = lock(&self.state);
        state.push(Entry::Other(Box::new(Input::Signal(signal))));
        self.wake(state);
    }

    /// Wakes the receiver if it waits for what is there now.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let wake = state.idle && !state.entries.is_empty();
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

    /// Waits until there is something to take.
    pub(crate) async fn readable(&self) {
        self.readable.notified().await;
    }

    /// Takes everything; `taken` must be empty. What the receiver has passed over and holds is as
    /// if it still waited.
    pub(crate) fn take(&self, taken: &mut VecDeque<Entry>, held: Load) -> Taken {
        let mut state = lock(&self.state);
        std::mem::swap(&mut state.entries, taken);
        state.idle = taken.is_empty();
        state.load = held;
        let closed = state.closed;
        let relieved = state.awaited && self.has_room(&state);
        state.awaited &= !relieved;
        drop(state);
        if relieved {
            self.room.notify_waiters();
        }
        match (taken.is_empty(), closed) {
            (false, _) => Taken::Some,
            (true, false) => Taken::Nothing,
            (true, true) => Taken::Closed,
        }
    }

    /// Takes out what waits and is not to be received any more.
    pub(crate) fn retain(&self, keep: impl Fn(&Entry) -> bool) {
        lock(&self.state).entries.retain(keep);
    }

    fn give_back(&self, taken: VecDeque<Entry>) {
        let mut state = lock(&self.state);
        for entry in taken.into_iter().rev() {
            if let Some(bytes) = entry.bytes() {
                state.load.add(bytes);
            }
            state.entries.push_front(entry);
        }
    }

    /// How many messages and requests wait.
    pub(crate) fn len(&self) -> usize {
        lock(&self.state).load.messages
    }

    /// Takes no more messages; what is in it can still be received.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.readable.notify_one();
        self.room.notify_waiters();
    }
}
