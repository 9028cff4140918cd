//! Why commands failed.

use thiserror::Error;

use super::{CloseReason, OpenError, Refusal};
use crate::id::{ConnectionId, HandlerId, LabelId, NodeId, ProcessName};
use crate::process::Serial;

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CommandError {
    /// A node cannot join itself.
    #[error("a node cannot join itself; name another node's address")]
    SelfJoin,
    /// No address to dial.
    #[error("the contact has no address; give at least one")]
    NoAddress,
    /// Too many joins under way.
    #[error("{limit} joins are under way already; wait for one to end or cancel it")]
    TooManyJoins {
        /// The most allowed.
        limit: usize,
    },
    /// `sync_join` ran out of time.
    #[error("not joined within the deadline; last failure: {}", Shown(.last))]
    JoinTimeout {
        /// What stopped the last attempt.
        last: Option<JoinError>,
    },
    /// The join was refused for good, or cancelled by a leave.
    #[error("the join failed: {0}")]
    Join(#[from] JoinError),
    /// Not a member and not connected.
    #[error("node {0} is unknown here; join it or wait until it is a member")]
    UnknownNode(NodeId),
    /// Never connected so far.
    #[error("node {0} is not connected yet; wait for its up event")]
    NotYetConnected(NodeId),
    /// Connected once, not now.
    #[error("node {0} is disconnected; it is dialled again while it is a member")]
    Disconnected(NodeId),
    /// This lane is being dialled again.
    #[error("the connection for this key to node {0} is being re-opened; try again in a moment")]
    LaneDown(NodeId),
    /// Not configured here.
    #[error("channel number {0} is not configured; use one of the configuration's channels")]
    UnknownChannel(u8),
    /// The membership channel belongs to the protocol.
    #[error("channel `membership` is the protocol's own; send on `default` or another channel")]
    ReservedChannel,
    /// The peer has no such channel and falling back is off.
    #[error("node {0} does not have this channel; configure it there or allow channel_fallback")]
    NoSuchChannel(NodeId),
    /// Longer than the peer takes.
    #[error("the message needs a frame of {bytes} bytes; the peer takes {most}")]
    PayloadTooLarge {
        /// Its size with the header.
        bytes: usize,
        /// The most the peer takes.
        most: usize,
    },
    /// Back-pressure.
    #[error("the queue to node {0} is full; wait for it to drain")]
    QueueFull(NodeId),
    /// Nobody to relay by.
    #[error("node {0} is not connected and there is no neighbour to relay by; join a cluster")]
    NoRelay(NodeId),
    /// In an injected partition with it.
    #[error("an injected partition separates this node from {0}; resolve it to send again")]
    Partitioned(NodeId),
    /// No more partitions here.
    #[error("{limit} injected partitions are active here already; resolve one first")]
    TooManyPartitions {
        /// The most allowed.
        limit: usize,
    },
    /// Leaving or stopped.
    #[error("the node is stopping; start it again to use it")]
    Stopping,
    /// No such handler of broadcasts.
    #[error("handler {0} is not configured here; add it to `broadcast.handlers`")]
    UnknownHandler(HandlerId),
    /// A broadcast longer than its handler takes.
    #[error(
        "the broadcast has {bytes} bytes; its handler takes {most}: send less at a time, or raise \
         the handler's `max_payload`"
    )]
    BroadcastTooLarge {
        /// Its length.
        bytes: usize,
        /// The most the handler takes.
        most: usize,
    },
    /// A key of a broadcast beyond the limit.
    #[error("the key has {bytes} bytes; the limit is {limit}")]
    KeyTooLong {
        /// Its length.
        bytes: usize,
        /// The most allowed.
        limit: usize,
    },
    /// As many messages wait for their acknowledgement as may be.
    #[error("{limit} messages wait for their acknowledgement already; wait for some of them")]
    TooManyOutstanding {
        /// The most allowed.
        limit: usize,
    },
    /// As many bytes wait for their acknowledgement as may be.
    #[error("{limit} bytes of messages wait for their acknowledgement; wait for some of them")]
    TooManyOutstandingBytes {
        /// The most allowed.
        limit: usize,
    },
    /// Messages of monotonic channels wait for as many places as may be.
    #[error("messages for {limit} destinations and keys of monotonic channels wait already")]
    TooManyPlaces {
        /// The most allowed.
        limit: usize,
    },
    /// Longer than a node takes that it would have to go by, or than its receiver does.
    #[error(
        "a node on the way to {0} does not take so long a message, and it may not have arrived; \
         send less at a time, raise connections.max_frame there, or connect to {0}"
    )]
    RelayTooLarge(NodeId),
    /// Not acknowledged in time.
    #[error("node {0} did not acknowledge in time; the message may have arrived all the same")]
    NotAcknowledged(NodeId),
    /// The life of the node that the message was for is over.
    #[error("node {0} was restarted; the message may have reached it before that")]
    PeerRestarted(NodeId),
    /// The node that the message was for left or was removed.
    #[error("node {0} left the cluster; the message may have reached it before that")]
    PeerLeft(NodeId),
    /// This life of the node is over.
    #[error("this node left its cluster; the message may have arrived all the same")]
    Left,
    /// A label that is not configured.
    #[error("label {0} is not configured here; add it to `delivery.labels`, on every node")]
    UnknownLabel(LabelId),
    /// No causal past of a node.
    #[error("that is no causal past; give back what was stored, as it was")]
    BadCausalPast,
    /// Too much is on its way to stand before one more message.
    #[error("more than {limit} messages stand before this one; wait for acknowledgements")]
    TooManyDependencies {
        /// The most allowed.
        limit: usize,
    },
    /// A connection that is gone.
    #[error("connection {0:?} is gone")]
    NoSuchConnection(ConnectionId),
    /// The number of another process.
    #[error("process {} exists already; give each process a number of its own", .0.0)]
    ProcessExists(Serial),
    /// No more processes here.
    #[error("{limit} processes live here already; end some, or raise processes.max_processes")]
    TooManyProcesses {
        /// The most allowed.
        limit: usize,
    },
    /// No such process.
    #[error("no process {} lives here; it has ended or was never spawned", .0.0)]
    NoSuchProcess(Serial),
    /// The name stands for another process.
    #[error("the name `{name}` stands for process {} already; choose another", .holder.0)]
    NameTaken {
        /// The name.
        name: ProcessName,
        /// Whom it stands for; [`Serial::NODE`] for something of the node that is no process.
        holder: Serial,
    },
    /// The name is one of those that the node keeps for itself.
    #[error("names that begin with `partisan.` are the node's own; choose another, not `{0}`")]
    ReservedName(ProcessName),
    /// No more names here.
    #[error("{limit} names are registered here already; raise processes.max_names")]
    TooManyNames {
        /// The most allowed.
        limit: usize,
    },
    /// The name stands for nobody.
    #[error("nobody is registered here as `{0}`")]
    NameUnknown(ProcessName),
    /// The manager does not do that, or it does not go together.
    #[error("not supported: {0}")]
    NotSupported(&'static str),
}

/// Shows an optional failure.
struct Shown<'a>(&'a Option<JoinError>);

impl core::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(error) => core::fmt::Display::fmt(error, f),
            None => f.write_str("none yet"),
        }
    }
}

/// What stopped an attempt to join.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The contact could not be reached.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// The contact refused, or was refused.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The connection ended before the join was through.
    #[error("the connection ended before the join was through: {0}")]
    Closed(CloseReason),
    /// Cancelled by leaving or being removed, by removing the contact, or by stopping.
    #[error("the join was cancelled, by leaving, a removal or a stop; join again if need be")]
    Cancelled,
}
