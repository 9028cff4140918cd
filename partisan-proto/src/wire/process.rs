//! What nodes tell each other about processes: monitors, links, exit signals.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{DecodeError, read_whole};
use crate::id::{ChannelName, Incarnation, ProcessName};
use crate::process::{ExitReason, MonitorId, RequestId, Serial};

/// Signals between processes of two nodes. They belong to the session: what was not told when it
/// ends is told by its end. See [`process`](crate::process).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum ProcessMessage {
    /// Tell me when this process ends.
    Monitor {
        /// What the watcher calls it.
        monitor: MonitorId,
        /// Who is watched.
        target: TargetAt,
        /// The channel among whose messages the news keeps its place; `None` for the default one.
        channel: Option<ChannelName>,
        /// The key that picks the lane there.
        key: Option<u64>,
    },
    /// Do not tell me any more.
    Demonitor {
        /// What the watcher called it.
        monitor: MonitorId,
    },
    /// The process ended. On the membership channel, or in its place among the messages of a lane;
    /// then [`ProcessMessage::DownSeen`] answers.
    Down {
        /// What the watcher called it.
        monitor: MonitorId,
        /// Why.
        reason: ExitReason,
    },
    /// A [`ProcessMessage::Down`] on a lane arrived.
    DownSeen {
        /// What the watcher called it.
        monitor: MonitorId,
    },
    /// These two share their fate.
    Link {
        /// A process of the sender.
        from: ProcessAt,
        /// A process of the receiver.
        to: ProcessAt,
    },
    /// They do not any more. Answered by [`ProcessMessage::Unlinked`]; what the other side said
    /// about the link before that does not count.
    Unlink {
        /// A process of the sender.
        from: ProcessAt,
        /// A process of the receiver.
        to: ProcessAt,
    },
    /// The answer to [`ProcessMessage::Unlink`].
    Unlinked {
        /// A process of the sender.
        from: ProcessAt,
        /// A process of the receiver.
        to: ProcessAt,
    },
    /// An exit signal.
    Exit {
        /// A process of the sender.
        from: ProcessAt,
        /// Whom it is for, at the receiver.
        to: TargetAt,
        /// Why.
        reason: ExitReason,
        /// Whether it comes of a link, since `from` ended.
        linked: bool,
    },
    /// The caller does not wait for the answer to this request any more. Behind the request, on the
    /// lane that it went by.
    Abandon {
        /// The run of the caller's node.
        birth: Incarnation,
        /// Which.
        request: RequestId,
    },
}

impl ProcessMessage {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let extended = postcard::to_extend(self, core::mem::take(out));
        // Serialising to a growing vector has no way to fail.
        *out = extended.expect("signals always serialise");
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        read_whole(body).map_err(|_| DecodeError::BadControl)
    }
}

/// A process of a node that is known from the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct ProcessAt {
    /// In which run of the node.
    pub birth: Incarnation,
    /// Which of that run's processes.
    pub serial: Serial,
}

/// A process of the receiver, by its identifier or its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum TargetAt {
    /// This one.
    Process(ProcessAt),
    /// Whoever is registered under this name when the message arrives.
    Name(ProcessName),
}
