//! What can be asked about broadcasts.

use alloc::vec::Vec;

use crate::id::NodeId;

/// How often what happened to broadcasts, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct BroadcastCounters {
    /// Messages that this node broadcast.
    pub sent: u64,
    /// Messages that came for the first time.
    pub received: u64,
    /// Messages handed to their handlers, this node's own included.
    pub delivered: u64,
    /// Messages whose handler this node does not have; they are relayed.
    pub unhandled: u64,
    /// Payloads sent to neighbours. Over all nodes, divided by the deliveries elsewhere than at the
    /// origin and less one, this is the paper's relative message redundancy.
    pub payloads: u64,
    /// Payloads not sent but announced, since the lane was full or not open.
    pub held_back: u64,
    /// Payloads that had come before.
    pub duplicates: u64,
    /// Messages announced to neighbours.
    pub announced: u64,
    /// Announcements that came.
    pub announcements: u64,
    /// Messages asked for.
    pub grafts: u64,
    /// Messages asked for that came by themselves as well.
    pub spurious_grafts: u64,
    /// Messages asked for by neighbours and not found.
    pub not_found: u64,
    /// Messages that were announced and that nobody could give.
    pub given_up: u64,
    /// Messages that will never come
    /// ([`Notification::BroadcastsMissed`](crate::Notification::BroadcastsMissed)).
    pub missed: u64,
    /// Links put out of a tree since they brought what had come before.
    pub prunes: u64,
    /// Links put into a tree since they are the shorter way.
    pub optimized: u64,
    /// Heartbeats sent, one for each link.
    pub heartbeats: u64,
    /// Messages of forged origin, or under this node's own name.
    pub forged: u64,
    /// Messages that a handler called invalid.
    pub invalid: u64,
    /// Questions that a handler did not answer in time, or answered with a failure.
    pub failed_questions: u64,
    /// Messages forgotten before their time, to make room.
    pub crowded_out: u64,
    /// Senders forgotten, to make room.
    pub forgotten_origins: u64,
    /// Gaps given up, to make room.
    pub forgotten_gaps: u64,
    /// Exchanges started.
    pub exchanges: u64,
    /// Exchanges that ended well.
    pub exchanges_done: u64,
    /// Exchanges that ended in any other way.
    pub exchanges_failed: u64,
}

/// How the messages of one sender travel through a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BroadcastTree {
    /// Whether it is the sender's own tree; else the shared one.
    pub own: bool,
    /// Whose heartbeats shape it, where there are any.
    pub root: Option<NodeId>,
    /// By whom they come; nobody at the root itself.
    pub parent: Option<NodeId>,
    /// How far the root is, in hops.
    pub hops: u8,
    /// To whom messages are sent.
    pub eager: Vec<NodeId>,
    /// To whom they are announced.
    pub lazy: Vec<NodeId>,
}
