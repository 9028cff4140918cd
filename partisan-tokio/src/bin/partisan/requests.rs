//! What a running node can be asked, at its prompt and through its control socket.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The longest request in bytes, its end of line not counted.
pub(crate) const LONGEST_REQUEST: usize = 64 << 10;

/// A question or an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Request {
    Members,
    Connections,
    Peers,
    Counters,
    /// With `wait_ms` 0 the answer comes at once and the join goes on.
    Join {
        address: String,
        #[serde(default)]
        wait_ms: u64,
    },
    Leave,
    Remove {
        node: String,
    },
    Neighbors,
    Views,
    /// How broadcasts of a node travel through the one that is asked.
    Tree {
        root: String,
    },
    Broadcast {
        text: String,
    },
    /// Of the node that is asked, or of another.
    Processes {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<String>,
    },
    /// Whom a name stands for on a node.
    Whereis {
        node: String,
        name: String,
    },
    Calls,
    Partitions,
    /// Stop sending to neighbours, here and so many hops around.
    Partition {
        ttl: u8,
    },
    Resolve {
        id: String,
    },
    Send {
        node: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channel: Option<String>,
        text: String,
    },
    Shutdown,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reply {
    Members(Vec<MemberRow>),
    Connections(Vec<ConnectionRow>),
    Peers(Vec<PeerRow>),
    Counters(BTreeMap<String, u64>),
    Neighbors(Vec<String>),
    Views(ViewRow),
    Tree(TreeRow),
    Partitions(Vec<PartitionRow>),
    Processes(Vec<ProcessRow>),
    Calls(CallRow),
    Done(String),
    Error(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MemberRow {
    pub(crate) name: String,
    pub(crate) addresses: Vec<String>,
    pub(crate) incarnation: u64,
    pub(crate) state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// The node that was asked.
    #[serde(rename = "self")]
    Me,
    Connected,
    Disconnected,
}

impl State {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Me => "self",
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConnectionRow {
    pub(crate) peer: String,
    pub(crate) channel: String,
    pub(crate) lane: u8,
    /// Whether the node that was asked opened it.
    pub(crate) dialled: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerRow {
    pub(crate) name: String,
    pub(crate) connected: bool,
    /// Of the last keep-alive.
    pub(crate) round_trip_us: Option<u64>,
    /// Dials that failed since the last session.
    pub(crate) failures: u32,
    pub(crate) last_failure: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ViewRow {
    /// Whom the manager is connected to on purpose.
    pub(crate) active: Vec<String>,
    /// Whom it knows besides.
    pub(crate) passive: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TreeRow {
    /// Whether it is the sender's own tree; else the shared one.
    pub(crate) own: bool,
    /// Whose heartbeats shape it.
    pub(crate) root: Option<String>,
    /// By whom they come.
    pub(crate) parent: Option<String>,
    pub(crate) hops: u8,
    /// To whom messages are sent.
    pub(crate) eager: Vec<String>,
    /// To whom they are announced.
    pub(crate) lazy: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartitionRow {
    pub(crate) id: String,
    /// To whom this node sends nothing for it.
    pub(crate) nothing_to: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessRow {
    /// By which it can be reached.
    pub(crate) reference: String,
    pub(crate) names: Vec<String>,
    /// Messages and requests in its mailbox.
    pub(crate) waiting: u64,
    /// How many processes it is linked to.
    pub(crate) links: usize,
    /// How many monitors it holds.
    pub(crate) monitors: usize,
    /// How many watch it.
    pub(crate) watched_by: u64,
    pub(crate) timers: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CallRow {
    /// Calls from here that wait for answers.
    pub(crate) waiting: usize,
    /// Requests that are being answered here.
    pub(crate) answering: usize,
    pub(crate) asked: u64,
    pub(crate) served: u64,
    pub(crate) overloaded: u64,
    pub(crate) timeouts: u64,
    pub(crate) late: u64,
    pub(crate) unsent: u64,
}
