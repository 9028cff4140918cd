//! What only the driver can know: questions out, answers in.
//!
//! A node never waits for an answer: each question has a deadline in the part that asked, and what
//! happens without an answer is said at the question.

use alloc::sync::Arc;

use crate::id::NodeId;
use crate::spec::NodeSpec;

/// The number of a question, unique within the life of a [`Node`](crate::Node).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct QuestionId(pub u64);

/// Something a node asks of whoever drives it ([`Action::Ask`](crate::Action::Ask)).
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
}
