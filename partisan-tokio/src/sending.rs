//! Sending: straight from the caller to the queue of a connection, past the loop.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use partisan_proto::wire::{AppHeader, Destination, FRAME_PREFIX};
use partisan_proto::{
    Answer, ChannelId, Command, CommandError, ConnectionId, LabelId, NodeId, NodeName,
    SendReliable, Target,
};
use serde::Serialize;

use crate::connection::{Connection, Lane, Outgoing, Payload, Pressure, PutError};
use crate::error::{NodeError, SendError};
use crate::event_loop::LoopEvent;
use crate::mailbox::MailboxQueue;
use crate::mailboxes::Arrived;
use crate::node::Node;

/// What is kept of the buffer that a thread serialises into.
const KEEP: usize = 64 << 10;

/// The receiver of a message: a node by its identifier or, at the cost of a hash, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient(NodeId);

impl Recipient {
    pub(crate) const fn id(self) -> NodeId {
        self.0
    }
}

impl From<NodeId> for Recipient {
    fn from(id: NodeId) -> Self {
        Self(id)
    }
}

impl From<&NodeName> for Recipient {
    fn from(name: &NodeName) -> Self {
        Self(name.id())
    }
}

/// How a message is sent: by default to the inbox, without a key, on the default channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendOptions {
    channel: ChannelId,
    key: Option<u64>,
    relay: bool,
    header: AppHeader,
}

impl Default for SendOptions {
    fn default() -> Self {
        Self { channel: ChannelId::DEFAULT, key: None, relay: false, header: AppHeader::default() }
    }
}

impl SendOptions {
    /// On this channel; [`Node::channel`](crate::Node::channel) finds one by its name.
    #[must_use]
    pub const fn channel(mut self, channel: ChannelId) -> Self {
        self.channel = channel;
        self
    }

    /// Messages with the same key arrive in the order of sending, whatever the number of lanes.
    #[must_use]
    pub const fn key(mut self, key: u64) -> Self {
        self.key = Some(key);
        self
    }

    /// By way of other nodes while the receiver is not connected (`transitive` of Partisan), hop by
    /// hop: see [`relay`](partisan_proto::relay). Its [`Message::relayed`](crate::Message::relayed)
    /// tells the receiver. What stops it on its way is told by
    /// [`Notification::RelayFailed`](partisan_proto::Notification::RelayFailed), where it can be
    /// known. The order of keys holds only as long as the way is the same.
    #[must_use]
    pub const fn relay(mut self) -> Self {
        self.relay = true;
        self
    }

    pub(crate) fn from_parts(channel: ChannelId, key: Option<u64>, relay: bool) -> Self {
        Self { channel, key, relay, header: AppHeader::default() }
    }

    pub(crate) fn with_destination(mut self, destination: Destination) -> Self {
        self.header = AppHeader { destination };
        self
    }

    /// To what is registered under this name instead of the inbox.
    ///
    /// # Errors
    /// [`NodeError::BadDestination`] unless it has 1 to 255 bytes.
    pub fn destination(mut self, name: &str) -> Result<Self, NodeError> {
        let destination = Destination::name(name).ok_or(NodeError::BadDestination)?;
        self.header = AppHeader { destination };
        Ok(self)
    }
}

/// Why a message is not queued yet.
enum Obstacle {
    /// No room on this connection.
    Full(Arc<Connection>),
    /// No room in a mailbox of this node.
    MailboxFull(Arc<MailboxQueue>),
    /// Its lane is being dialled again.
    LaneDown,
    /// It must go by way of others, and the loop knows by whom.
    NotConnected(CommandError),
    /// Of a monotonic channel: the loop knows what is newest.
    Monotonic,
    Failed(SendError),
}

impl From<CommandError> for Obstacle {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::LaneDown(_) => Self::LaneDown,
            CommandError::UnknownNode(_)
            | CommandError::NotYetConnected(_)
            | CommandError::Disconnected(_) => Self::NotConnected(error),
            other => Self::Failed(other.into()),
        }
    }
}

impl Node {
    /// Sends a message to a node of the cluster or to this one, best effort, waiting while its
    /// queue is full or its lane is dialled again.
    ///
    /// Once this returns, the message is queued; whether it arrives is unknown. Giving up waiting
    /// sends nothing. The message is serialised with postcard; read it with
    /// [`Message::decode`](crate::Message::decode).
    ///
    /// # Errors
    /// [`SendError`]; never `QueueFull` or `LaneDown`, which it waits out.
    pub async fn send<T: Serialize + ?Sized + Sync>(
        &self,
        to: impl Into<Recipient>,
        message: &T,
        options: &SendOptions,
    ) -> Result<(), SendError> {
        let to = to.into().id();
        let attempted = self.serialised(message, |payload| {
            let payload = Payload::Borrowed(payload);
            match self.attempt(to, payload, options) {
                Ok(()) => Ok(None),
                Err(obstacle) if obstacle.is_final(options) => Err(refused(to, obstacle)),
                Err(_) => Ok(Some(payload.to_bytes())),
            }
        });
        match attempted?? {
            None => Ok(()),
            Some(payload) => self.send_patiently(to, payload, options).await,
        }
    }

    /// Sends a message until it is acknowledged; returns when its receiver has it. Where a label is
    /// given it is delivered in causal order: see [`delivery`](partisan_proto::delivery).
    ///
    /// Giving up waiting does not take it back. A node that is not known here, or not any more, is
    /// waited for as one that is not connected: until the message expires. What waits while a node
    /// leaves, or is removed, fails with that.
    ///
    /// ```
    /// # async fn doc(node: &partisan_tokio::Node, to: partisan_tokio::NodeId)
    /// # -> Result<(), Box<dyn std::error::Error>> {
    /// use partisan_tokio::SendReliable;
    ///
    /// // What `Message::decode` reads.
    /// let payload = postcard::to_allocvec("it is your turn")?;
    /// // One of `Config::delivery.labels`, of all nodes.
    /// let label = Some(node.label("room")?);
    /// node.send_reliable(SendReliable { label, ..SendReliable::new(to, payload) }).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`SendError::Command`] with the reason why it is not known to have arrived.
    pub async fn send_reliable(&self, send: SendReliable) -> Result<(), SendError> {
        match self.command(Command::SendReliable(Box::new(send))).await {
            Ok(_) => Ok(()),
            Err(NodeError::Command(error)) => Err(error.into()),
            Err(_) => Err(SendError::Stopped),
        }
    }

    /// What comes before whatever this node sends with a label from now on: for the application to
    /// store in one step with what it knows, and to give back after a restart. See
    /// [`delivery`](partisan_proto::delivery).
    ///
    /// # Errors
    /// [`NodeError`]; [`CommandError::UnknownLabel`].
    pub async fn causal_past(&self, label: LabelId) -> Result<Bytes, NodeError> {
        match self.command(Command::CausalPast(label)).await? {
            Answer::CausalPast(past) => Ok(past),
            _ => Err(CommandError::NotSupported("causal_past").into()),
        }
    }

    /// Gives back what an earlier life of this node stored, before it sends anything with the label.
    ///
    /// # Errors
    /// [`NodeError`]; [`CommandError`] `UnknownLabel` or `BadCausalPast`.
    pub async fn recall_causal_past(&self, label: LabelId, past: Bytes) -> Result<(), NodeError> {
        self.command(Command::RecallCausalPast { label, past }).await.map(|_| ())
    }

    /// Sends a message to a process, by its identifier or its name, as [`Node::send`] does; whatever
    /// destination the options name is replaced. One for a process that has ended is dropped there.
    ///
    /// # Errors
    /// As [`Node::send`].
    pub async fn send_to<T: Serialize + ?Sized + Sync>(
        &self,
        target: impl Into<Target>,
        message: &T,
        options: &SendOptions,
    ) -> Result<(), SendError> {
        let target = target.into();
        let options = options.clone().with_destination(Destination::of(&target));
        self.send(target.node(), message, &options).await
    }

    /// As [`Node::send_to`], with bytes as they are.
    ///
    /// # Errors
    /// As [`Node::send`].
    pub async fn send_bytes_to(
        &self,
        target: impl Into<Target>,
        payload: Bytes,
        options: &SendOptions,
    ) -> Result<(), SendError> {
        let target = target.into();
        let options = options.clone().with_destination(Destination::of(&target));
        self.send_bytes(target.node(), payload, &options).await
    }

    /// Sends a message as [`Node::send`] does, without waiting; and so it relays none, since only the
    /// loop knows by whom.
    ///
    /// # Errors
    /// [`SendError`]; [`SendError::is_full`] when there is no room.
    pub fn try_send<T: Serialize + ?Sized>(
        &self,
        to: impl Into<Recipient>,
        message: &T,
        options: &SendOptions,
    ) -> Result<(), SendError> {
        let to = to.into().id();
        self.serialised(message, |payload| {
            self.attempt(to, Payload::Borrowed(payload), options)
                .map_err(|obstacle| refused(to, obstacle))
        })?
    }

    /// Sends bytes as they are, waiting as [`Node::send`] does. Long payloads are not copied.
    ///
    /// # Errors
    /// As [`Node::send`].
    pub async fn send_bytes(
        &self,
        to: impl Into<Recipient>,
        payload: Bytes,
        options: &SendOptions,
    ) -> Result<(), SendError> {
        let to = to.into().id();
        match self.attempt(to, Payload::Shared(&payload), options) {
            Ok(()) => Ok(()),
            Err(obstacle) if obstacle.is_final(options) => Err(refused(to, obstacle)),
            Err(_) => self.send_patiently(to, payload, options).await,
        }
    }

    /// Sends once whatever is in the way has gone.
    async fn send_patiently(
        &self,
        to: NodeId,
        payload: Bytes,
        options: &SendOptions,
    ) -> Result<(), SendError> {
        loop {
            // Before the attempt, so that what changes after it is noticed.
            let mut version = self.shared.version.subscribe();
            match self.attempt(to, Payload::Shared(&payload), options) {
                Ok(()) => return Ok(()),
                Err(obstacle) if obstacle.is_final(options) => return Err(refused(to, obstacle)),
                Err(Obstacle::Failed(error)) => return Err(error),
                Err(Obstacle::LaneDown) if !options.relay => {
                    version.changed().await.map_err(|_| SendError::Stopped)?;
                }
                Err(Obstacle::Monotonic) => return self.relay(to, payload, options).await,
                // Others may have the connection that is missing here.
                Err(Obstacle::NotConnected(_) | Obstacle::LaneDown) => {
                    match self.relay(to, payload.clone(), options).await {
                        Err(SendError::Command(CommandError::QueueFull(hop))) => {
                            self.relieved(hop, options).await;
                        }
                        Err(SendError::Command(CommandError::LaneDown(_))) => {
                            version.changed().await.map_err(|_| SendError::Stopped)?;
                        }
                        result => return result,
                    }
                }
                Err(Obstacle::MailboxFull(mailbox)) => mailbox.room().await,
                Err(Obstacle::Full(connection)) => {
                    let bytes = frame_bytes(options, payload.len());
                    // A closed connection leaves the routes soon, and the next attempt decides.
                    if let Ok(reserved) = connection.queue.reserve(bytes).await {
                        let payload = Payload::Shared(&payload);
                        let frame = Outgoing::App { header: &options.header, payload, reserved };
                        if self.put(&connection, frame).is_ok() {
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    /// Sends bytes as they are, without waiting.
    ///
    /// # Errors
    /// As [`Node::try_send`].
    pub fn try_send_bytes(
        &self,
        to: impl Into<Recipient>,
        payload: &Bytes,
        options: &SendOptions,
    ) -> Result<(), SendError> {
        let to = to.into().id();
        self.attempt(to, Payload::Shared(payload), options)
            .map_err(|obstacle| refused(to, obstacle))
    }

    /// Has the loop send it: by way of others, or since it is the newest.
    async fn relay(
        &self,
        to: NodeId,
        payload: Bytes,
        options: &SendOptions,
    ) -> Result<(), SendError> {
        let SendOptions { channel, key, relay, header } = options.clone();
        let destination = header.destination;
        let send = partisan_proto::Send { to, channel, key, destination, relay, payload };
        match self.command(Command::Send(send)).await {
            Ok(_) => Ok(()),
            Err(NodeError::Command(error)) => Err(error.into()),
            Err(_) => Err(SendError::Stopped),
        }
    }

    /// Waits until the queues to a neighbour that were full have room.
    pub(crate) async fn relieved(&self, hop: NodeId, options: &SendOptions) {
        let published = self.shared.published.load_full();
        let id = published.view.routes().lane(hop, options.channel, options.key, 0, |_| 0);
        if let Some(connection) = id.ok().and_then(|id| published.connections.get(&id)) {
            connection.queue.relieved().await;
        }
    }

    /// Waits for room for what a process tells one of another node besides messages.
    pub(crate) async fn signal_room(&self, node: NodeId) {
        let published = self.shared.published.load_full();
        let anchor = published.view.routes().anchor(node);
        if let Some(connection) = anchor.and_then(|id| published.connections.get(&id)) {
            connection.queue.signal_room().await;
        }
    }

    fn attempt(
        &self,
        to: NodeId,
        payload: Payload<'_>,
        options: &SendOptions,
    ) -> Result<(), Obstacle> {
        if self.shared.has_stopped() {
            return Err(Obstacle::Failed(SendError::Stopped));
        }
        if to == self.id {
            return self.deliver_here(payload, options);
        }
        if self.config().channels.is_monotonic(options.channel) {
            return Err(Obstacle::Monotonic);
        }
        let published = self.shared.published.load();
        let bytes = frame_bytes(options, payload.len());
        let connections = &published.connections;
        let load = |id: ConnectionId| connections.get(&id).map_or(usize::MAX, |c| c.queue.load());
        let (channel, key) = (options.channel, options.key);
        // The limit of the peer does not count the length itself.
        let routes = published.view.routes();
        let id = routes.lane(to, channel, key, bytes - 4, load)?;
        let connection = connections.get(&id).ok_or(Obstacle::LaneDown)?;
        let reserved = connection.queue.try_reserve(bytes).map_err(|error| match error {
            PutError::Full => Obstacle::Full(Arc::clone(connection)),
            PutError::Closed => Obstacle::LaneDown,
        })?;
        let frame = Outgoing::App { header: &options.header, payload, reserved };
        self.put(connection, frame).map_err(|_| Obstacle::LaneDown)
    }

    fn put(&self, connection: &Arc<Connection>, frame: Outgoing<'_>) -> Result<(), PutError> {
        let pressure = self.shared.interception.outgoing(connection, frame, &self.events)?;
        if pressure == Pressure::Congested {
            let congested = LoopEvent::Congested(connection.id);
            if self.events.try_send(congested).is_err() {
                connection.queue.still_uncongested();
            }
        }
        Ok(())
    }

    fn deliver_here(&self, payload: Payload<'_>, options: &SendOptions) -> Result<(), Obstacle> {
        if self.config().channels.name(options.channel).is_none() {
            return Err(CommandError::UnknownChannel(options.channel.0).into());
        }
        if options.channel == ChannelId::MEMBERSHIP {
            return Err(CommandError::ReservedChannel.into());
        }
        let lane = Lane { peer: self.id, channel: options.channel };
        let arrived = Arrived {
            destination: options.header.destination.clone(),
            payload: payload.to_bytes(),
        };
        let delivered = self.shared.mailboxes.deliver_one(lane, arrived);
        delivered.map_err(Obstacle::MailboxFull)
    }

    /// Serialises into a buffer of this thread and hands it to `then`.
    fn serialised<T: Serialize + ?Sized, R>(
        &self,
        message: &T,
        then: impl FnOnce(&[u8]) -> R,
    ) -> Result<R, SendError> {
        thread_local! {
            static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        // Taken out, so that a message whose serialisation sends another one finds a new buffer.
        let mut buffer = BUFFER.take();
        buffer.clear();
        let buffer = postcard::to_extend(message, buffer).map_err(SendError::Encode)?;
        let result = then(&buffer);
        let mut buffer = buffer;
        buffer.clear();
        buffer.shrink_to(KEEP);
        BUFFER.set(buffer);
        Ok(result)
    }
}

impl Obstacle {
    /// Whether waiting is of no use.
    const fn is_final(&self, options: &SendOptions) -> bool {
        match self {
            Self::Failed(_) => true,
            Self::NotConnected(_) => !options.relay,
            Self::Full(_) | Self::MailboxFull(_) | Self::LaneDown | Self::Monotonic => false,
        }
    }
}

fn frame_bytes(options: &SendOptions, payload: usize) -> usize {
    FRAME_PREFIX + options.header.encoded_len() + payload
}

fn refused(to: NodeId, obstacle: Obstacle) -> SendError {
    match obstacle {
        Obstacle::Full(_) | Obstacle::MailboxFull(_) => CommandError::QueueFull(to).into(),
        Obstacle::LaneDown => CommandError::LaneDown(to).into(),
        Obstacle::NotConnected(error) => error.into(),
        Obstacle::Monotonic => {
            CommandError::NotSupported("sending on monotonic channels without waiting").into()
        }
        Obstacle::Failed(error) => error,
    }
}
