//! What an application may ask of a node.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::id::{ChannelId, HandlerId, LabelId, NodeId, NodeName, ProcessName};
use crate::process::{Serial, SpawnOptions, TimerId};
use crate::question::ExchangeId;
use crate::spec::{Address, NodeSpec};
use crate::time::Duration;
use crate::wire::{Destination, PartitionId};

/// A wish of the application. Each comes with a [`Ticket`](crate::Ticket) and is answered exactly
/// once, by [`Action::Reply`](crate::Action::Reply).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Command {
    /// Become a member of the contact's cluster (`partisan_peer_service:join/1`).
    ///
    /// Answered [`Answer::Done`](crate::Answer::Done) at once: the join goes on until it succeeds,
    /// is refused for good, or is cancelled by [`Command::Leave`] or [`Command::Remove`]; a
    /// [`Notification::JoinEnded`](crate::Notification::JoinEnded) tells. Joining a member again
    /// changes nothing.
    Join(Contact),
    /// As [`Command::Join`], answered [`Answer::Joined`](crate::Answer::Joined) when every lane to
    /// the contact is open and its members are known here (`partisan_peer_service:sync_join/1`).
    SyncJoin {
        /// Whom to join.
        contact: Contact,
        /// How long to try. The join itself goes on in the background when it runs out.
        #[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_span))]
        deadline: Duration,
    },
    /// Leave the cluster (`partisan_peer_service:leave/0`): tell the peers, close all connections
    /// after what is queued has been sent, and go on alone as a new incarnation.
    Leave,
    /// Remove another node from the cluster (`partisan_peer_service:leave/1`), dead or alive. Told
    /// to it if it can be reached. Removing a node that is no member cancels joins under way to it;
    /// removing the node itself is [`Command::Leave`].
    Remove(NodeId),
    /// Make the members these (`partisan_peer_service:update_members/1`): remove those that are not
    /// listed, then join those that are new. The node itself always stays; an empty list changes
    /// nothing, since it usually means that discovery failed.
    UpdateMembers(Vec<NodeSpec>),
    /// Close all connections to a node. While it is a member, it is dialled again.
    Disconnect(NodeId),
    /// Send a message, best effort: answered [`Answer::Done`](crate::Answer::Done) when it is
    /// queued, which says nothing of its arrival, or [`Answer::Relayed`](crate::Answer::Relayed)
    /// when it goes by way of others. Sent to this node itself, it is delivered.
    Send(Send),
    /// Send a message until it is acknowledged: answered
    /// [`Answer::Acknowledged`](crate::Answer::Acknowledged) when its receiver has delivered it, or
    /// with an error when it has not in time. See [`delivery`](crate::delivery).
    SendReliable(Box<SendReliable>),
    /// Say what comes before whatever this node sends with a label from now on, for the application
    /// to store together with what it knows. Answered
    /// [`Answer::CausalPast`](crate::Answer::CausalPast). See [`delivery`](crate::delivery).
    CausalPast(LabelId),
    /// After a restart, before the first message with the label: what an earlier life of this node
    /// knew comes before whatever it sends. What was stored may be older than what the application
    /// knows, and then some of it is missing.
    RecallCausalPast {
        /// Which label.
        label: LabelId,
        /// As [`Command::CausalPast`] was answered.
        #[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_payload))]
        past: Bytes,
    },
    /// Make this node and all up to `ttl` hops away stop sending messages to their neighbours, for
    /// a test of the application (`inject_partition`). Answered
    /// [`Answer::Partition`](crate::Answer::Partition).
    InjectPartition {
        /// How many hops it spreads; with 0 it is this node alone.
        ttl: u8,
    },
    /// End a partition everywhere, wherever it was injected (`resolve_partition`). One that is
    /// unknown or over already is no error.
    ResolvePartition(PartitionId),
    /// Tell all nodes of the cluster (`partisan:broadcast/2`), best effort: answered
    /// [`Answer::Broadcast`](crate::Answer::Broadcast) when it is on its way to the neighbours,
    /// from where it spreads along broadcast trees. See [`broadcast`](crate::broadcast).
    Broadcast(Broadcast),
    /// Cancel exchanges that are under way (`partisan_plumtree_broadcast:cancel_exchanges/1`).
    /// Answered [`Answer::Cancelled`](crate::Answer::Cancelled); of each exchange of an
    /// application's handler a
    /// [`Notification::ExchangeEnded`](crate::Notification::ExchangeEnded) tells.
    CancelExchanges(ExchangeSelector),
    /// A process comes to life (`spawn`): from now on it may do things, and be told things. The
    /// number must be one that this node never gave to a process before.
    Spawn {
        /// Its number.
        process: Serial,
        /// How it begins.
        options: SpawnOptions,
    },
    /// Let a name stand for a process (`register/2`), until it ends.
    Register {
        /// The name.
        name: ProcessName,
        /// The process.
        process: Serial,
    },
    /// Let a name stand for nobody (`unregister/1`).
    Unregister(ProcessName),
    /// Cancel a timer of a process (`cancel_timer/1`). Answered
    /// [`Answer::TimeLeft`](crate::Answer::TimeLeft); after that its message does not come.
    CancelTimer(TimerId),
    /// How long a timer of a process has to go (`read_timer/1`). Answered
    /// [`Answer::TimeLeft`](crate::Answer::TimeLeft).
    ReadTimer(TimerId),
    /// Stop without leaving: say goodbye, close all connections after what is queued has been
    /// sent. Peers keep the node as a member. Commands after this fail with
    /// [`CommandError::Stopping`](crate::CommandError::Stopping).
    Stop,
}

/// Whom to join.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Contact {
    /// Its name, if known; then another node at the address is refused.
    pub name: Option<NodeName>,
    /// Where it may be reached, tried in order.
    pub addresses: Vec<Address>,
}

impl Contact {
    /// Whoever answers at this address.
    #[must_use]
    pub fn at(address: Address) -> Self {
        Self { name: None, addresses: alloc::vec![address] }
    }
}

impl From<&NodeSpec> for Contact {
    fn from(spec: &NodeSpec) -> Self {
        Self { name: Some(spec.name().clone()), addresses: spec.addresses().to_vec() }
    }
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Send {
    /// To which node.
    pub to: NodeId,
    /// On which channel.
    pub channel: ChannelId,
    /// Messages with the same key arrive in the order of sending. Without one the least-loaded
    /// lane is used, and order holds only on channels of one lane.
    pub key: Option<u64>,
    /// Whom it is for, there.
    pub destination: Destination,
    /// Whether it may go by way of other nodes while its target is not connected: see
    /// [`relay`](crate::relay).
    pub relay: bool,
    /// What it says.
    #[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_payload))]
    pub payload: Bytes,
}

/// A message that must arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct SendReliable {
    /// To which node.
    pub to: NodeId,
    /// On which channel.
    pub channel: ChannelId,
    /// Which lane it takes there, as of a [`Send`]. Those that are sent again may come after later
    /// ones all the same; with a label, or [ordered](Self::ordered), they do not.
    pub key: Option<u64>,
    /// Whom it is for, there.
    pub destination: Destination,
    /// What it says.
    #[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_payload))]
    pub payload: Bytes,
    /// How long it is tried; `None`, or more than that, for `delivery.expire_after`.
    #[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_expiry))]
    pub expires: Option<Duration>,
    /// Whether it may go by way of other nodes while its target is not connected; its
    /// acknowledgement does, too. Otherwise the target is waited for. Not
    /// together with a label, since its target must be connected.
    pub relay: bool,
    /// With a label, one of `delivery.labels`, it is delivered after all messages with that label
    /// that were sent before it as far as its sender could know; and to the present life of the
    /// node alone, which must be connected.
    pub label: Option<LabelId>,
    /// Whether it is delivered after all ordered messages that this node sent before it to the same
    /// node on the same channel with the same key, or without one, and that have not failed. Not
    /// together with a label, which has an order of its own.
    pub ordered: bool,
    /// What the application calls it, such as a UUID. Of all messages of this node with one name,
    /// in whichever of its lives, the receiver delivers the first alone, and acknowledges the
    /// others: so one whose fate is not known may be sent again, even after a restart. It knows the
    /// last `delivery.max_ids` names of each sender, as long as it lives and remembers the sender
    /// (`delivery.max_senders`).
    pub id: Option<u128>,
}

impl SendReliable {
    /// A message for a node's inbox on the default channel, without a key, a label or a name, in no
    /// order.
    pub fn new(to: NodeId, payload: impl Into<Bytes>) -> Self {
        Self {
            to,
            channel: ChannelId::DEFAULT,
            key: None,
            destination: Destination::Inbox,
            payload: payload.into(),
            expires: None,
            relay: false,
            label: None,
            ordered: false,
            id: None,
        }
    }
}

/// A message to broadcast.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Broadcast {
    /// Which handler it is for, on every node. This node must have it.
    pub handler: HandlerId,
    /// What the handler calls it, at most [`MAX_KEY`](crate::wire::MAX_KEY) bytes; empty where it
    /// needs no name. Handlers that keep their messages find them by it.
    #[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_payload))]
    pub key: Bytes,
    /// What it says.
    #[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_payload))]
    pub payload: Bytes,
}

/// Which exchanges are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum ExchangeSelector {
    /// All of them.
    All,
    /// Those with this peer.
    Peer(NodeId),
    /// Those of this handler.
    Handler(HandlerId),
    /// This one.
    Exchange(ExchangeId),
}

#[cfg(feature = "arbitrary")]
fn arbitrary_payload(u: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Bytes> {
    let payload: Vec<u8> = u.arbitrary()?;
    Ok(payload.into())
}

#[cfg(feature = "arbitrary")]
fn arbitrary_expiry(u: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Option<Duration>> {
    Ok(if u.arbitrary()? { Some(arbitrary_span(u)?) } else { None })
}

#[cfg(feature = "arbitrary")]
fn arbitrary_span(u: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Duration> {
    Ok(Duration::from_millis(u.int_in_range(0..=60_000)?))
}
