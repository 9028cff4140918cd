//! What comes out: everything a driver must do for a node.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::call::Request;
use crate::change::Change;
use crate::error::{CloseReason, CommandError};
use crate::id::{ChannelId, ConnectionId, MessageId, NodeId, Ticket};
use crate::notification::Notification;
use crate::process::{ExitReason, Serial, Signal};
use crate::question::{Question, QuestionId};
use crate::spec::Address;
use crate::time::{Duration, Instant};
use crate::timers::Timer;
use crate::wire::{BroadcastMessage, Destination, Frame, PartitionId};

/// Something the driver must do. Verbs, in the order they must be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a connection; answer with [`Event::Opened`](crate::Event::Opened) or
    /// [`Event::OpenFailed`](crate::Event::OpenFailed).
    Open {
        /// Its number from now on.
        connection: ConnectionId,
        /// Try these in order.
        addresses: Arc<[Address]>,
        /// Give each this long.
        timeout: Duration,
    },
    /// Send a frame. Control frames must overtake application frames that still wait.
    ///
    /// When there is no room for a control frame, close the connection and say
    /// [`CloseReason::Stalled`]; for an application frame the core was told
    /// [`Event::Congested`](crate::Event::Congested) before.
    Send {
        /// Where.
        connection: ConnectionId,
        /// What.
        frame: Frame,
    },
    /// Close a connection; no event about it is expected any more.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why, for the records.
        reason: CloseReason,
        /// Whether to send first what is queued, within the driver's own deadline.
        flush: bool,
    },
    /// Hand a message to the application.
    Deliver(Delivery),
    /// Hand a broadcast message to its handler: once for each message and life of this node.
    /// [`BroadcastMessage::hops`] says how many hops it came.
    DeliverBroadcast(Arc<BroadcastMessage>),
    /// Tell a process something. It must not be lost: there are no more signals than it asked for.
    Signal {
        /// Which.
        process: Serial,
        /// What.
        signal: Signal,
    },
    /// Hand a request to a process, or run a function for it; the answer comes with
    /// [`ProcessAct::Reply`](crate::process::ProcessAct::Reply). Where there is no room or no such
    /// function, answer with the [`Failure`](crate::call::Failure) that says so.
    Serve(Request),
    /// End a process: it was killed, or an exit signal reached it that it does not trap. For the
    /// core it is gone already.
    End {
        /// Which.
        process: Serial,
        /// Why.
        reason: ExitReason,
    },
    /// Answer a command.
    Reply {
        /// Of the command.
        ticket: Ticket,
        /// What became of it.
        result: Result<Answer, CommandError>,
    },
    /// Store these bytes in place of the last ones, so that a crash at any moment leaves either;
    /// they are a [`Snapshot`](crate::Snapshot).
    Persist(Bytes),
    /// Find out something that only you can know, and answer with
    /// [`Event::Answered`](crate::Event::Answered).
    Ask {
        /// To be told with the answer.
        id: QuestionId,
        /// What is asked.
        question: Question,
    },
    /// Tell whoever is interested.
    Notify(Notification),
}

/// A message for the application.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Delivery {
    /// Who sent it: proven by the handshake, not claimed by the message; for a relayed one, what
    /// the nodes that passed it on vouch for.
    pub from: NodeId,
    /// The channel it came by.
    pub channel: ChannelId,
    /// Whether it came by way of other nodes: see [`relay`](crate::relay).
    pub relayed: bool,
    /// Whom it is for.
    pub destination: Destination,
    /// What it says.
    pub payload: Bytes,
}

/// The answer to a command that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// Done, or taken on; see the command.
    Done,
    /// Joined, through this node.
    Joined(NodeId),
    /// Sent on its way to a node that is not connected, under this number
    /// ([`Notification::RelayFailed`]).
    Relayed(u64),
    /// A partition is injected, and called this.
    Partition(PartitionId),
    /// Broadcast, under this identifier.
    Broadcast(MessageId),
    /// So many exchanges were cancelled.
    Cancelled(usize),
    /// The message was acknowledged: its receiver has it.
    Acknowledged,
    /// What comes before whatever the node sends with a label.
    CausalPast(Bytes),
    /// The timer had so long to go; `None` if it had fired, or never was.
    TimeLeft(Option<Duration>),
}

/// Where a node leaves its actions. Owned and reused by the caller.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    /// What to do now, in this order. The caller drains it.
    pub actions: Vec<Action>,
    /// When to call again with [`Event::Wake`](crate::Event::Wake) at the latest, and what for.
    pub wake_at: Option<(Instant, Timer)>,
    /// What parts tell each other while an event is handled, and empty between two: here, so that
    /// its memory is used again, since in each node it would be a good part of a quiet one.
    pub(crate) changes: VecDeque<Change>,
}
