//! What goes in: everything that can happen to a node.

use alloc::boxed::Box;

use crate::command::Command;
use crate::error::{CloseReason, OpenError};
use crate::id::{ConnectionId, Ticket};
use crate::process::{ProcessAct, Serial};
use crate::question::{QuestionId, Response};
use crate::wire::Frame;

/// Something that happened. Facts, in the past tense.
///
/// Any sequence of events is legal: one about a connection that is gone is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Event {
    /// A peer opened a connection; the driver numbered it with [`ConnectionId::accepted`].
    Accepted {
        /// The new connection.
        connection: ConnectionId,
    },
    /// A connection asked for with [`Action::Open`](crate::Action::Open) is open.
    Opened {
        /// The connection.
        connection: ConnectionId,
    },
    /// A connection asked for with [`Action::Open`](crate::Action::Open) could not be opened.
    OpenFailed {
        /// The connection; its number is not used again.
        connection: ConnectionId,
        /// Why, for the last address tried.
        error: OpenError,
    },
    /// A frame arrived.
    ///
    /// A driver may hand application frames of open lanes to their receivers itself, provided it
    /// stops doing so before it acts on an [`Action::Close`](crate::Action::Close) of that lane.
    Received {
        /// Where.
        connection: ConnectionId,
        /// What.
        frame: Frame,
    },
    /// A connection ended other than by [`Action::Close`](crate::Action::Close).
    Closed {
        /// The connection.
        connection: ConnectionId,
        /// Why, as far as the driver can tell.
        reason: CloseReason,
    },
    /// The connection's queue is full: nothing more may be sent until it has drained.
    Congested {
        /// The connection.
        connection: ConnectionId,
    },
    /// The connection can take more again.
    Drained {
        /// The connection.
        connection: ConnectionId,
    },
    /// The application wants something.
    Command {
        /// Comes back with the answer.
        ticket: Ticket,
        /// What.
        command: Command,
    },
    /// A process did something.
    Process {
        /// Which.
        process: Serial,
        /// What.
        act: Box<ProcessAct>,
    },
    /// A question of [`Action::Ask`](crate::Action::Ask) is answered.
    Answered {
        /// Of the question.
        id: QuestionId,
        /// The answer.
        response: Response,
    },
    /// The clock reached [`Outbox::wake_at`](crate::Outbox::wake_at). Too early does no harm.
    Wake,
}
