//! The messages of broadcast trees.

use alloc::boxed::Box;

use serde::{Deserialize, Serialize};

use super::{Bounded, MAX_KEY};
use crate::id::{HandlerId, Instance, MessageId};

/// The most heartbeats in one message.
pub const MAX_HEARTBEATS: usize = 256;
/// The most announcements or wishes in one message: the longest keys fill half a frame.
pub const MAX_ANNOUNCED: usize = 128;
/// The most messages in one [`PlumtreeMessage::NotFound`].
pub const MAX_NOT_FOUND: usize = 1024;
/// The most ranges in one [`Holdings`].
pub const MAX_HOLDINGS: usize = 1024;

/// What the parts of broadcast trees send, besides the messages themselves, which travel in frames
/// of their own ([`BroadcastMessage`](super::BroadcastMessage)): see `broadcast`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum PlumtreeMessage {
    /// The roots of these trees were alive; flooded, so that the first one to arrive shows the best
    /// way from the root.
    Heartbeats(Bounded<Heartbeat, MAX_HEARTBEATS>),
    /// Do not send me messages of this tree, announce them.
    Prune(TreeId),
    /// I have these (the paper's `IHAVE`).
    IHave(Bounded<Announcement, MAX_ANNOUNCED>),
    /// Send me these, and from now on all of this tree.
    Graft(Box<Graft>),
    /// I do not have these any more.
    NotFound(Bounded<MessageId, MAX_NOT_FOUND>),
    /// All that I have, in pieces.
    Holdings(Holdings),
    /// There are broadcasts. For neighbours that are told nothing else.
    Awake,
}

/// A broadcast tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum TreeId {
    /// The one that messages take whose sender has none of its own.
    Shared,
    /// That of one sender.
    Own(Instance),
}

/// See [`PlumtreeMessage::Heartbeats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Heartbeat {
    /// Whose.
    pub root: Instance,
    /// Whether it is of the root's own tree; else of the shared one, whose anchor the root is.
    pub own: bool,
    /// Greater for each of this root's heartbeats that follows another.
    pub number: u64,
    /// How far the sender is from the root, in hops; 255 and more are 255.
    pub hops: u8,
    /// Whether the receiver is the sender's parent in the tree.
    pub parent: bool,
}

/// One message that the sender has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Announcement {
    /// Which.
    pub id: MessageId,
    /// How many hops it will have come when the sender has sent it.
    pub hops: u8,
    /// Whether it travels in its origin's own tree.
    pub own: bool,
    /// What its handler calls it, where handlers keep it.
    pub subject: Option<Box<Subject>>,
}

/// What a handler calls a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Subject {
    /// The handler.
    pub handler: HandlerId,
    /// The key.
    pub key: Bounded<u8, MAX_KEY>,
}

/// See [`PlumtreeMessage::Graft`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Graft {
    /// In which tree the link becomes an eager one; `None` to leave it as it is.
    pub tree: Option<TreeId>,
    /// The messages wanted.
    pub wanted: Bounded<Wanted, MAX_ANNOUNCED>,
}

/// One message wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Wanted {
    /// Which.
    pub id: MessageId,
    /// What its handler calls it, as it was announced.
    pub subject: Option<Box<Subject>>,
}

/// See [`PlumtreeMessage::Holdings`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Holdings {
    /// Whether the receiver should tell what it has, in return.
    pub answer: bool,
    /// Which messages, by origin.
    pub ranges: Bounded<Range, MAX_HOLDINGS>,
}

/// Messages of one origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Range {
    /// Whose.
    pub origin: Instance,
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}
