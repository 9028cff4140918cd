//! What only the driver can know: questions out, answers in.
//!
//! A node never waits for an answer: each question has a deadline in the part that asked, and what
//! happens without an answer is said at the question.

use alloc::sync::Arc;

use bytes::Bytes;

use crate::id::{HandlerId, Instance, MessageId, NodeId};
use crate::spec::NodeSpec;
use crate::wire::BroadcastMessage;

/// The number of a question, unique within the life of a [`Node`](crate::Node).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct QuestionId(pub u64);

/// The number of an exchange, unique within the life of a [`Node`](crate::Node).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct ExchangeId(pub u64);

/// Something a node asks of whoever drives it ([`Action::Ask`](crate::Action::Ask)).
///
/// All but the first are asked about handlers that keep their messages themselves
/// ([`StoreConfig::Application`](crate::config::StoreConfig::Application)): the callbacks of
/// `partisan_plumtree_broadcast_handler`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Question {
    /// What does a link to this node cost? Answered by [`Response::Cost`]; without an answer the
    /// cost is unknown, and an unknown cost never wins. Asked by X-BOT with an oracle of the
    /// application's own.
    Cost {
        /// The other end of the link.
        node: NodeId,
        /// What is known of it.
        spec: Arc<NodeSpec>,
    },
    /// Take this message into the store (`merge/2`). Answered by [`Response::Merge`]. The message
    /// is passed on once that is known; without an answer it is passed on too, as if the store had
    /// failed.
    Merge(Arc<BroadcastMessage>),
    /// Is this message, which a neighbour has, of no use here any more (`is_stale/1`)? Answered by
    /// [`Response::IsStale`]; without an answer it is fetched.
    IsStale {
        /// The handler.
        handler: HandlerId,
        /// The message.
        id: MessageId,
        /// What the handler calls it.
        key: Bytes,
    },
    /// What does this message say, which a neighbour lacks and the node itself has forgotten
    /// (`graft/1`)? Answered by [`Response::Fetch`]; without an answer the neighbour asks somebody
    /// else.
    Fetch {
        /// The handler.
        handler: HandlerId,
        /// The message.
        id: MessageId,
        /// What the handler calls it.
        key: Bytes,
    },
    /// Compare your store with that of a neighbour, by messages of your own, and bring both up to
    /// date (`exchange/1`). Answered by [`Response::ExchangeEnded`] when it is over; without an
    /// answer it is over at its deadline. It may be over before:
    /// [`Notification::ExchangeEnded`](crate::Notification::ExchangeEnded) tells.
    Exchange {
        /// What it is called.
        exchange: ExchangeId,
        /// Whose store.
        handler: HandlerId,
        /// With whom.
        peer: Instance,
    },
}

/// The answer to a [`Question`] ([`Event::Answered`](crate::Event::Answered)). One that does not
/// fit its question, or comes too late, is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
#[non_exhaustive]
pub enum Response {
    /// To [`Question::Cost`]: the cost in a unit of the application's choice, the less the better;
    /// `None` when it cannot be told.
    Cost(Option<u32>),
    /// To [`Question::Merge`].
    Merge(Merged),
    /// To [`Question::IsStale`].
    IsStale(bool),
    /// To [`Question::Fetch`].
    Fetch(Fetched),
    /// To [`Question::Exchange`].
    ExchangeEnded(ExchangeResult),
}

/// What became of a message that a store was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Merged {
    /// It was news.
    New,
    /// The store had it, or something newer. It is passed on all the same: others may lack it.
    Stale,
    /// It is no message of this handler's. It is passed on to nobody, and not asked about again.
    Invalid,
    /// The store failed. It is passed on, and changes no tree; it is not asked about again, and an
    /// exchange of stores has to bring it.
    Failed,
}

/// What a store has of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Fetched {
    /// Its payload.
    Found(#[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_payload))] Bytes),
    /// Something newer.
    Stale,
    /// Nothing.
    Missing,
}

/// How an exchange ended, as its handler tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum ExchangeResult {
    /// Both stores are up to date.
    Done,
    /// It was cut short.
    Failed,
    /// The handler has nothing to exchange.
    Ignored,
}

/// One exchange that is under way, for those who ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangeInfo {
    /// What it is called.
    pub exchange: ExchangeId,
    /// Whose messages; `None` for those that the node keeps itself.
    pub handler: Option<HandlerId>,
    /// With whom.
    pub peer: NodeId,
}

#[cfg(feature = "arbitrary")]
fn arbitrary_payload(u: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Bytes> {
    let payload: alloc::vec::Vec<u8> = u.arbitrary()?;
    Ok(payload.into())
}
