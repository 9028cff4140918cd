//! What processes do and what they are told.

use alloc::sync::Arc;

use bytes::Bytes;

use super::{AliasUntil, ExitReason, MonitorId, ProcessId, ReplyTo, TimerId};
use crate::call::{CallError, Failure, Server};
use crate::error::{CloseReason, CommandError};
use crate::id::{ChannelId, Instance, NodeId, ProcessName, Tag};
use crate::manager::Member;
use crate::spec::NodeSpec;
use crate::time::{Duration, Instant};

/// What names a process to watch, to signal or to ask (Erlang's server references).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Target {
    /// This process.
    Process(ProcessId),
    /// Whoever is registered there under this name when it is looked up, once.
    Name(NodeId, ProcessName),
}

impl Target {
    /// The node.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        match self {
            Self::Process(process) => process.node,
            Self::Name(node, _) => *node,
        }
    }
}

impl From<ProcessId> for Target {
    fn from(process: ProcessId) -> Self {
        Self::Process(process)
    }
}

impl From<(NodeId, ProcessName)> for Target {
    fn from((node, name): (NodeId, ProcessName)) -> Self {
        Self::Name(node, name)
    }
}

/// Where news about a process keeps its place among messages.
///
/// News of an end comes after everything that the process sent before on the same lane, that is on
/// the same channel with the same key, or on a channel of one lane. On other lanes it may come
/// before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Lane {
    /// The channel.
    pub channel: ChannelId,
    /// The key that picks the lane.
    pub key: Option<u64>,
}

impl Default for Lane {
    fn default() -> Self {
        Self { channel: ChannelId::DEFAULT, key: None }
    }
}

/// Something that a process did. Facts, in the past tense as events are; none needs an answer other
/// than the [`Signal`]s that follow from it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum ProcessAct {
    /// It ended. Whoever drives the node says so for every process that was spawned, unless it was
    /// told to end it ([`Action::End`](crate::Action::End)).
    Ended(ExitReason),
    /// It watches another process: [`Signal::Down`] comes exactly once, unless
    /// [`ProcessAct::Demonitor`] comes first.
    Monitor {
        /// A number of its own that it never used before.
        number: u64,
        /// Whom.
        target: Target,
        /// Among which messages the news keeps its place.
        lane: Lane,
        /// What it calls monitors of this kind; told with the news.
        tag: u64,
        /// Whether an [`Alias`](super::Alias) of the same number begins to stand for it, and until
        /// when.
        alias: Option<AliasUntil>,
    },
    /// An [`Alias`](super::Alias) stands for it from now on. With one name more than
    /// `processes.max_names` it ends for [`ExitReason::SystemLimit`].
    Alias {
        /// A number of its own that it never used before.
        number: u64,
    },
    /// An alias stands for nobody any more.
    Unalias {
        /// The number that it gave it.
        number: u64,
    },
    /// It watches a node: [`Signal::NodeLost`] comes exactly once, at once if the node is not
    /// connected.
    MonitorNode {
        /// A number of its own that it never used before.
        number: u64,
        /// Which.
        node: NodeId,
    },
    /// It stopped watching. Nothing about that monitor comes after this.
    Demonitor {
        /// The number that it gave it.
        number: u64,
    },
    /// It wants to be told of all nodes that come and go, from now on; the same subscription twice
    /// is one.
    MonitorNodes(NodeFilter),
    /// It ended that subscription.
    DemonitorNodes(NodeFilter),
    /// It linked itself to another process.
    Link(ProcessId),
    /// It ended a link.
    Unlink(ProcessId),
    /// It sent another process an exit signal (`exit/2`).
    Exit {
        /// Whom.
        target: Target,
        /// Why. [`ExitReason::Kill`] cannot be trapped.
        reason: ExitReason,
    },
    /// It turned exit signals into [`Signal::Exit`], or back.
    TrapExit(bool),
    /// It asked another process, or a function of a node: [`Signal::Answer`] comes exactly once,
    /// unless [`ProcessAct::Abandon`] comes first. See [`call`](crate::call).
    Call {
        /// A number of its own that it never used before.
        number: u64,
        /// Who is to answer.
        server: Server,
        /// What is asked.
        #[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_payload))]
        payload: Bytes,
        /// How long it waits; `None` for ever.
        #[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_timeout))]
        timeout: Option<Duration>,
        /// How the request and its answer travel.
        lane: Lane,
    },
    /// It gave a call up.
    Abandon {
        /// The number that it gave it.
        number: u64,
    },
    /// It answered a request, its own or one that it was handed by another. The first answer
    /// counts.
    Reply {
        /// Which.
        reply_to: ReplyTo,
        /// The answer.
        #[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_result))]
        result: Result<Bytes, Failure>,
    },
    /// It asked for a message to be sent later (`send_after/3`).
    SendAfter {
        /// A number of its own that it never used before.
        number: u64,
        /// When, from now.
        #[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_span))]
        after: Duration,
        /// To whom; itself: [`Signal::Timer`].
        target: Target,
        /// What.
        #[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_payload))]
        payload: Bytes,
    },
    /// As [`ProcessAct::SendAfter`], at a time of the node's clock (`send_after/4` with `abs`); one
    /// that is over already is now.
    SendAt {
        /// A number of its own that it never used before.
        number: u64,
        /// When.
        #[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_instant))]
        at: Instant,
        /// To whom; itself: [`Signal::Timer`].
        target: Target,
        /// What.
        #[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_payload))]
        payload: Bytes,
    },
    /// It cancelled that; [`Command::CancelTimer`](crate::Command::CancelTimer) tells how long it
    /// had to go.
    CancelTimer {
        /// The number that it gave it.
        number: u64,
    },
    /// It waits for the members to be others than it knows: [`Signal::Members`] comes once, at once
    /// where they are others already, unless [`ProcessAct::Demonitor`] comes first.
    AwaitMembers {
        /// A number of its own that it never used before.
        number: u64,
        /// The version of the last that it was told; `None` if it knows none.
        known: Option<u64>,
    },
}

/// Which nodes a subscription is about (`net_kernel:monitor_nodes/2`).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct NodeFilter {
    /// Those with this tag alone (Partisan's and Erlang's `node_type`).
    pub tag: Option<Tag>,
    /// Whether the nodes that are connected already are told first, as if they came up now.
    pub present: bool,
}

/// What a process is told, besides messages. Never lost and never dropped for want of room: there
/// are no more of them than it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// A monitored process ended (`'DOWN'`).
    Down {
        /// The number of the monitor.
        number: u64,
        /// Whom it watched, as it was asked for.
        target: Target,
        /// Why; [`ExitReason::NoProcess`] if there was none, [`ExitReason::NoConnection`] if its
        /// node could not be reached any more.
        reason: ExitReason,
        /// What its watcher calls monitors of this kind; 0 where it said nothing.
        tag: u64,
    },
    /// A monitored node is not connected any more (`nodedown`).
    NodeLost {
        /// The number of the monitor.
        number: u64,
        /// Which.
        node: NodeId,
        /// Why; `None` if it was not connected to begin with.
        reason: Option<CloseReason>,
    },
    /// A linked process ended, or somebody sent an exit signal, and exits are trapped (`'EXIT'`).
    Exit {
        /// Whose.
        from: ProcessId,
        /// Why.
        reason: ExitReason,
    },
    /// A node came up (`nodeup`): before any message of that session.
    NodeUp {
        /// Which, which life.
        instance: Instance,
        /// What it tells about itself.
        spec: Arc<NodeSpec>,
    },
    /// A node went down (`nodedown`): after the [`Signal::Down`]s of its processes.
    NodeDown {
        /// Which, which life.
        instance: Instance,
        /// Why.
        reason: CloseReason,
    },
    /// A call is over.
    Answer {
        /// The number of the call.
        number: u64,
        /// The answer, or why there is none.
        result: Result<Bytes, CallError>,
    },
    /// A process that an [`Actor`](super::Actor) wanted to bring to life did not come to life
    /// ([`SpawnOptions::refused`]).
    NotSpawned {
        /// What it would have been called.
        process: ProcessId,
        /// Why; [`CommandError::NameTaken`] says who has its name (`already_started`).
        error: CommandError,
    },
    /// A message to itself that it asked for.
    Timer {
        /// The timer's number.
        number: u64,
        /// What it says.
        payload: Bytes,
    },
    /// Who is a member now; once for each time that it was asked for, however often that changed.
    Members {
        /// The number that it was asked for by.
        number: u64,
        /// Which membership this is: for the next time that it asks.
        version: u64,
        /// All members as this node knows them, itself included.
        members: Arc<[Member]>,
    },
}

impl ProcessAct {
    /// The number of an [`Alias`](super::Alias) that may begin or end with it: whoever drives the
    /// node and finds names by itself looks then whom it stands for.
    #[must_use]
    pub const fn aliased(&self) -> Option<u64> {
        match self {
            Self::Monitor { number, alias: Some(_), .. }
            | Self::Alias { number }
            | Self::Unalias { number }
            | Self::Demonitor { number } => Some(*number),
            _ => None,
        }
    }

    /// The number about which nothing is to come any more.
    #[must_use]
    pub const fn revokes(&self) -> Option<u64> {
        match self {
            Self::Demonitor { number }
            | Self::Abandon { number }
            | Self::CancelTimer { number } => Some(*number),
            _ => None,
        }
    }
}

impl Signal {
    /// The number that it is about, as the process numbered it.
    #[must_use]
    pub const fn number(&self) -> Option<u64> {
        match self {
            Self::Down { number, .. }
            | Self::NodeLost { number, .. }
            | Self::Answer { number, .. }
            | Self::Timer { number, .. }
            | Self::Members { number, .. } => Some(*number),
            Self::Exit { .. }
            | Self::NodeUp { .. }
            | Self::NodeDown { .. }
            | Self::NotSpawned { .. } => None,
        }
    }
}

/// How a process begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct SpawnOptions {
    /// The process that it is linked to from the first moment (`spawn_link`).
    pub link: Option<super::Serial>,
    /// The monitor by which another watches it from the first moment (`spawn_monitor`).
    pub monitor: Option<MonitorId>,
    /// The name that it is registered under.
    pub name: Option<ProcessName>,
    /// Whether exit signals become [`Signal::Exit`].
    pub trap_exit: bool,
}

impl SpawnOptions {
    /// What whoever drives a node tells the [`Actor`](super::Actor) that wanted to spawn `process`
    /// with these options, when the node refused: that it did, and where the actor was to watch it
    /// from the first moment, that there is no such process.
    pub fn refused(self, process: ProcessId, error: CommandError) -> impl Iterator<Item = Signal> {
        let (target, reason) = (process.into(), ExitReason::NoProcess);
        let down = self.monitor.map(|monitor| Signal::Down {
            number: monitor.number,
            target,
            reason,
            tag: 0,
        });
        [Signal::NotSpawned { process, error }].into_iter().chain(down)
    }
}

/// What is known of a process of this node (`process_info/1`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessInfo {
    /// Which.
    pub process: ProcessId,
    /// The names that it is registered under, ascending.
    pub names: alloc::vec::Vec<ProcessName>,
    /// Whether exits are trapped.
    pub trap_exit: bool,
    /// The processes that it is linked to.
    pub links: alloc::vec::Vec<ProcessId>,
    /// The processes that it watches, by the number of the monitor.
    pub monitors: alloc::vec::Vec<(u64, Target)>,
    /// How many monitors watch it.
    pub watched_by: usize,
    /// Its timers that are set.
    pub timers: alloc::vec::Vec<TimerId>,
}

#[cfg(feature = "arbitrary")]
fn arbitrary_payload(u: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Bytes> {
    let payload: alloc::vec::Vec<u8> = u.arbitrary()?;
    Ok(payload.into())
}

#[cfg(feature = "arbitrary")]
fn arbitrary_timeout(u: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Option<Duration>> {
    Ok(if u.arbitrary()? { Some(arbitrary_span(u)?) } else { None })
}

#[cfg(feature = "arbitrary")]
fn arbitrary_result(
    u: &mut arbitrary::Unstructured<'_>,
) -> arbitrary::Result<Result<Bytes, Failure>> {
    Ok(if u.arbitrary()? { Ok(arbitrary_payload(u)?) } else { Err(u.arbitrary()?) })
}

#[cfg(feature = "arbitrary")]
fn arbitrary_instant(u: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Instant> {
    arbitrary_span(u).map(|span| Instant::ZERO + span)
}

#[cfg(feature = "arbitrary")]
fn arbitrary_span(u: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Duration> {
    Ok(Duration::from_millis(u.int_in_range(0..=60_000)?))
}
