//! What names a process, a monitor of one, a request to one, a timer of one.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{Incarnation, NodeId};

/// The number of a process among all that its node ever had since it was started: never used again.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Serial(pub u64);

impl Serial {
    /// The node itself: in whose name whoever drives the node asks and watches for code that is no
    /// process. It comes to life as any other, but no exit signal reaches it.
    pub const NODE: Self = Self(0);
}

/// A process of some node (Erlang's pid): unique in the life of a cluster.
///
/// `birth` is the incarnation in which its node was started, and stays when the node leaves its
/// cluster and goes on as a later one; so a process keeps its identifier, and one of an older run
/// of the node never stands for a newer process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct ProcessId {
    /// Where it runs.
    pub node: NodeId,
    /// In which run of that node.
    pub birth: Incarnation,
    /// Which of that run's processes.
    pub serial: Serial,
}

impl fmt::Debug for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{:?}.{}.{}>", self.node, self.birth, self.serial.0)
    }
}

/// A monitor, as its owner numbered it: no two of a node are equal.
///
/// The watcher's side makes it, so that it is known before anything can be told about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct MonitorId {
    /// The process that watches.
    pub owner: Serial,
    /// The how manieth thing that it numbered.
    pub number: u64,
}

/// A request, as its caller numbered it: no two of a node are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct RequestId {
    /// The process that asks.
    pub owner: Serial,
    /// The how manieth thing that it numbered.
    pub number: u64,
}

/// A message to be sent later, as its owner numbered it: no two of a node are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct TimerId {
    /// The process that set it.
    pub owner: Serial,
    /// The how manieth thing that it numbered.
    pub number: u64,
}

/// Where the answer to a request goes (the `From` of a gen_server's call).
///
/// It may be kept, sent to another process or node, and answered from there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct ReplyTo {
    /// The node of whoever asks.
    pub node: NodeId,
    /// In which run of that node.
    pub birth: Incarnation,
    /// Which request.
    pub request: RequestId,
}

impl ReplyTo {
    /// The process that asks.
    #[must_use]
    pub const fn caller(&self) -> ProcessId {
        ProcessId { node: self.node, birth: self.birth, serial: self.request.owner }
    }
}

impl fmt::Debug for ReplyTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}?{}", self.caller(), self.request.number)
    }
}
