//! The handle of a running node.

use std::sync::Arc;
use std::time::Duration;

use partisan_proto::interposition::Interposer;
use partisan_proto::wire::PartitionId;
use partisan_proto::{
    Answer, ChannelId, Command, CommandError, Config, ConnectionInfo, Contact, Instance, LabelId,
    Member, NodeId, NodeName, NodeSpec, PeerInfo, Views,
};
use tokio::sync::{mpsc, oneshot};

use crate::error::NodeError;
use crate::event_loop::{LoopEvent, Request};
use crate::events::{Edge, EventStream, NodeEvent, Subscription, Watched, watch};
use crate::mailbox::Mailbox;
use crate::sending::Recipient;
use crate::shared::{NodeCounters, Shared, View};
use crate::store::Recovered;

/// A handle of a running node; cheap to clone, usable from any task and thread.
///
/// Reads are answered at once from what the node last published. When the last handle is dropped
/// the node stops in the background as by [`Node::shutdown`], as far as the runtime still runs;
/// when the runtime ends, its connections just break. Each living [`Process`](crate::Process) holds
/// a handle.
#[derive(Clone, Debug)]
pub struct Node {
    pub(crate) id: NodeId,
    pub(crate) shared: Arc<Shared>,
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) events: mpsc::Sender<LoopEvent>,
}

impl Node {
    /// The node's name.
    #[must_use]
    pub fn name(&self) -> NodeName {
        self.spec().name().clone()
    }

    /// The node's identifier.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// What it tells about itself: the addresses bound, or those to advertise.
    #[must_use]
    pub fn spec(&self) -> Arc<NodeSpec> {
        Arc::clone(&self.shared.published.load().view.spec)
    }

    /// The node and its present life; a new one after it has left or was removed.
    #[must_use]
    pub fn instance(&self) -> Instance {
        self.shared.published.load().view.instance
    }

    /// The configuration of the protocol.
    #[must_use]
    pub fn config(&self) -> &Arc<Config> {
        &self.shared.config
    }

    /// The channel of this name, if it is configured.
    #[must_use]
    pub fn channel(&self, name: &str) -> Option<ChannelId> {
        self.config().channels.id(name)
    }

    /// The label of causal delivery of this name.
    ///
    /// # Errors
    /// [`NodeError::UnknownLabel`] where it is not configured here.
    pub fn label(&self, name: &str) -> Result<LabelId, NodeError> {
        let mut labels = self.config().delivery.labels.iter();
        let found = labels.find(|label| label.as_str() == name).map(LabelId::of);
        found.ok_or_else(|| NodeError::UnknownLabel(name.to_owned()))
    }

    /// All that is known now: members, connections, routes.
    #[must_use]
    pub fn view(&self) -> View {
        self.shared.published.load().view.clone()
    }

    /// All members, this node included, sorted by name.
    #[must_use]
    pub fn members(&self) -> Arc<[Member]> {
        Arc::clone(&self.shared.published.load().view.members)
    }

    /// Every open connection, by peer, channel and lane.
    #[must_use]
    pub fn connections(&self) -> Arc<[ConnectionInfo]> {
        Arc::clone(&self.shared.published.load().view.connections)
    }

    /// Whether there is a session with a node; always with this one.
    #[must_use]
    pub fn is_connected(&self, node: impl Into<Recipient>) -> bool {
        let published = self.shared.published.load();
        published.view.is_connected(node.into().id())
    }

    /// The nodes with which there is a session, by identifier.
    #[must_use]
    pub fn peers(&self) -> Vec<NodeId> {
        let published = self.shared.published.load();
        let peers = published.view.routes().peers();
        peers.map(|peer| peer.instance.node).collect()
    }

    /// What is known of the connection to a peer: its session, its last failure, its round-trip
    /// time; `None` when nothing is.
    ///
    /// # Errors
    /// [`NodeError::Stopped`].
    pub async fn peer(&self, node: impl Into<Recipient>) -> Result<Option<PeerInfo>, NodeError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Peer(node.into().id(), reply)).await?;
        answer.await.map_err(|_| NodeError::Stopped)
    }

    /// How often what happened, since the start.
    #[must_use]
    pub fn counters(&self) -> NodeCounters {
        self.shared.counters()
    }

    /// The stored membership that was unusable at the start, if it was.
    #[must_use]
    pub fn recovered(&self) -> Option<&Recovered> {
        self.shared.recovered.as_ref()
    }

    /// Joins the contact's cluster in the background: see [`Command::Join`].
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn join(&self, contact: impl Into<Contact>) -> Result<(), NodeError> {
        self.done(Command::Join(contact.into())).await
    }

    /// Joins the contact's cluster, and waits until every lane to the contact is open and its
    /// members are known: see [`Command::SyncJoin`]. Says through whom.
    ///
    /// # Errors
    /// [`NodeError`]; [`CommandError::JoinTimeout`] when the deadline is over, and the join goes on.
    pub async fn sync_join(
        &self,
        contact: impl Into<Contact>,
        deadline: Duration,
    ) -> Result<NodeId, NodeError> {
        let contact = contact.into();
        match self.command(Command::SyncJoin { contact, deadline }).await? {
            Answer::Joined(node) => Ok(node),
            _ => Err(CommandError::NotSupported("sync_join").into()),
        }
    }

    /// Leaves the cluster and goes on alone as a new incarnation: see [`Command::Leave`].
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn leave(&self) -> Result<(), NodeError> {
        self.done(Command::Leave).await
    }

    /// Removes another node from the cluster: see [`Command::Remove`].
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn remove(&self, node: impl Into<Recipient>) -> Result<(), NodeError> {
        self.done(Command::Remove(node.into().id())).await
    }

    /// Makes the members these: see [`Command::UpdateMembers`].
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn update_members(&self, members: Vec<NodeSpec>) -> Result<(), NodeError> {
        self.done(Command::UpdateMembers(members)).await
    }

    /// Closes all connections to a node, which is dialled again while it is a member.
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn disconnect(&self, node: impl Into<Recipient>) -> Result<(), NodeError> {
        self.done(Command::Disconnect(node.into().id())).await
    }

    /// Whom the manager is connected to on purpose and whom it knows besides, where it
    /// distinguishes: HyParView's active and passive view, SCAMP's partial view and in-view.
    ///
    /// # Errors
    /// [`NodeError::Stopped`].
    pub async fn views(&self) -> Result<Views, NodeError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Views(reply)).await?;
        answer.await.map_err(|_| NodeError::Stopped)
    }

    /// Who is next to this node in the overlay, by identifier: whom broadcasts and relayed messages
    /// go by.
    #[must_use]
    pub fn neighbors(&self) -> Arc<[Instance]> {
        Arc::clone(&self.shared.published.load().view.neighbors)
    }

    /// Makes this node and all up to `ttl` hops away stop sending messages to their neighbours, for
    /// a test of the application: see [`Command::InjectPartition`]. Says what it is called.
    ///
    /// # Errors
    /// [`NodeError`]; [`CommandError::TooManyPartitions`].
    pub async fn inject_partition(&self, ttl: u8) -> Result<PartitionId, NodeError> {
        match self.command(Command::InjectPartition { ttl }).await? {
            Answer::Partition(id) => Ok(id),
            _ => Err(CommandError::NotSupported("inject_partition").into()),
        }
    }

    /// Ends a partition everywhere: see [`Command::ResolvePartition`].
    ///
    /// # Errors
    /// [`NodeError`].
    pub async fn resolve_partition(&self, id: PartitionId) -> Result<(), NodeError> {
        self.done(Command::ResolvePartition(id)).await
    }

    /// Which injected partitions this node is in, and to whom it sends nothing for each.
    #[must_use]
    pub fn partitions(&self) -> Arc<[(PartitionId, NodeId)]> {
        Arc::clone(&self.shared.published.load().view.partitions)
    }

    /// Shows every message that leaves this node or comes to it to `interposer`, behind those added
    /// before; one of this name is replaced. See
    /// [`interposition`](partisan_proto::interposition).
    ///
    /// It is asked one message at a time, by whoever sends or receives; it must not send anything
    /// itself, nor wait. When it panics, that message passes as it is, and is counted
    /// ([`NodeCounters::uninterposed`](crate::NodeCounters)). What it holds is let go when the node
    /// stops; one that holds a [`Node`] keeps that running until then. Once the node has stopped
    /// this does nothing.
    ///
    /// ```
    /// # fn doc(node: &partisan_tokio::Node) {
    /// use partisan_proto::interposition::{Kind, Passing, Side, Verdict};
    ///
    /// let mut seen = 0;
    /// node.interpose("lose every third", move |passing: &Passing<'_>| {
    ///     if passing.side == Side::Receiving || passing.kind == Kind::Acknowledgement {
    ///         return Verdict::Pass;
    ///     }
    ///     seen += 1;
    ///     if seen % 3 == 0 { Verdict::Drop } else { Verdict::Pass }
    /// });
    /// assert!(node.remove_interposer("lose every third"));
    /// # }
    /// ```
    pub fn interpose(&self, name: &str, interposer: impl Interposer + 'static) {
        self.shared.interception.add(name, interposer);
    }

    /// Asks the interposer of this name no more; says whether there was one.
    pub fn remove_interposer(&self, name: &str) -> bool {
        self.shared.interception.remove(name)
    }

    /// The names of the interposers, in the order of asking.
    #[must_use]
    pub fn interposers(&self) -> Vec<String> {
        self.shared.interception.names()
    }

    /// The receiving end of messages that name no destination. It must be read: once it is full,
    /// the connections that bring messages for it are not read any further.
    ///
    /// # Errors
    /// [`NodeError::InboxTaken`] while another one lives.
    pub fn inbox(&self) -> Result<Mailbox, NodeError> {
        self.shared.mailboxes.inbox()
    }

    /// The receiving end of messages for the destination `name`.
    ///
    /// # Errors
    /// [`NodeError`] `BadDestination`, `ReservedName`, `Registered` or `Stopped`.
    pub fn register(&self, name: &str) -> Result<Mailbox, NodeError> {
        self.shared.mailboxes.register(name)
    }

    /// The events from now on; the first is [`NodeEvent::Recovered`] where the stored membership
    /// was unusable.
    #[must_use]
    pub fn events(&self) -> EventStream {
        let first = self.recovered().cloned().map(NodeEvent::Recovered);
        self.shared.subscribe().starting_with(first)
    }

    /// Calls `callback` at each beginning of a session with `node`, or with any node
    /// (`on_up` of the peer service). Needs the context of a tokio runtime.
    pub fn on_up(
        &self,
        node: Option<NodeId>,
        callback: impl FnMut(NodeId) + Send + 'static,
    ) -> Subscription {
        self.on(Edge::Up, node, None, callback)
    }

    /// As [`Node::on_up`], at each end of a session.
    pub fn on_down(
        &self,
        node: Option<NodeId>,
        callback: impl FnMut(NodeId) + Send + 'static,
    ) -> Subscription {
        self.on(Edge::Down, node, None, callback)
    }

    /// As [`Node::on_up`], when the first lane of `channel` opens.
    pub fn on_channel_up(
        &self,
        channel: ChannelId,
        node: Option<NodeId>,
        callback: impl FnMut(NodeId) + Send + 'static,
    ) -> Subscription {
        self.on(Edge::Up, node, Some(channel), callback)
    }

    /// As [`Node::on_up`], when the last lane of `channel` is gone.
    pub fn on_channel_down(
        &self,
        channel: ChannelId,
        node: Option<NodeId>,
        callback: impl FnMut(NodeId) + Send + 'static,
    ) -> Subscription {
        self.on(Edge::Down, node, Some(channel), callback)
    }

    fn on(
        &self,
        edge: Edge,
        node: Option<NodeId>,
        channel: Option<ChannelId>,
        callback: impl FnMut(NodeId) + Send + 'static,
    ) -> Subscription {
        let watched = Watched { edge, node, channel };
        watch(&self.shared, watched, callback)
    }

    /// Waits until `condition` holds of what the node publishes.
    ///
    /// # Errors
    /// [`NodeError::Deadline`] when it does not within `deadline`, [`NodeError::Stopped`].
    pub async fn wait_until(
        &self,
        deadline: Duration,
        condition: impl Fn(&View) -> bool,
    ) -> Result<(), NodeError> {
        let until = async {
            let mut version = self.shared.version.subscribe();
            loop {
                if condition(&self.shared.published.load().view) {
                    return Ok(());
                }
                if self.shared.has_stopped() || version.changed().await.is_err() {
                    return Err(NodeError::Stopped);
                }
            }
        };
        let ended = tokio::time::timeout(deadline, until).await;
        ended.unwrap_or(Err(NodeError::Deadline))
    }

    /// Stops without leaving, so that it may come back: says goodbye, writes what is queued within
    /// the configured deadlines, and waits for all tasks. A second call waits for the first.
    pub async fn shutdown(&self) {
        // Whoever stopped it first: the end is waited for in any case.
        let _ = self.command(Command::Stop).await;
        self.stopped().await;
    }

    /// Stops at once, as a crash would: no goodbye, nothing flushed.
    pub async fn abort(&self) {
        let _ = self.ask(Request::Abort).await;
        self.stopped().await;
    }

    /// Waits until the node has stopped, whoever stopped it.
    pub async fn stopped(&self) {
        let mut stopped = self.shared.stopped.subscribe();
        // Cannot fail: `self` holds the sender.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }

    pub(crate) async fn ask(&self, request: Request) -> Result<(), NodeError> {
        let sent = self.requests.send(request).await;
        sent.map_err(|_| NodeError::Stopped)
    }

    pub(crate) async fn command(&self, command: Command) -> Result<Answer, NodeError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Command(command, reply)).await?;
        let answer = answer.await.map_err(|_| NodeError::Stopped)?;
        Ok(answer?)
    }

    async fn done(&self, command: Command) -> Result<(), NodeError> {
        self.command(command).await.map(|_| ())
    }
}
