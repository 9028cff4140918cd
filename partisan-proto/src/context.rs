//! What a part of a node may use while it handles something.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::action::{Action, Answer};
use crate::change::Change;
use crate::config::Config;
use crate::connections::Routes;
use crate::error::CommandError;
use crate::id::{ChannelId, ConnectionId, Incarnation, Instance, NodeId, Ticket};
use crate::neighbors::Neighbors;
use crate::notification::Notification;
use crate::question::{Question, QuestionId};
use crate::spec::NodeSpec;
use crate::time::{Duration, Instant};
use crate::timers::{Timer, Timers};
use crate::wire::{ControlMessage, Frame};

/// The node itself: who it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    /// This node and its present life.
    pub instance: Instance,
    /// What it tells about itself.
    pub spec: Arc<NodeSpec>,
    /// Whether it was told to stop.
    pub stopping: bool,
}

/// What a part may use: the time, the node, the configuration, and places to leave its results.
#[derive(Debug)]
pub struct Context<'a> {
    /// The time of the event that is handled.
    pub now: Instant,
    /// The configuration.
    pub config: &'a Config,
    /// The node itself.
    pub me: &'a mut Me,
    /// All timers of the node.
    pub timers: &'a mut Timers,
    /// Who is connected, and by which connections. Written by `connections` alone.
    pub routes: &'a mut Routes,
    /// Who is next to this node in the overlay. Written by the manager alone, through
    /// [`Context::neighbor_up`] and its kin.
    pub neighbors: &'a mut Neighbors,
    pub(crate) questions: &'a mut QuestionId,
    pub(crate) actions: &'a mut Vec<Action>,
    pub(crate) changes: &'a mut VecDeque<Change>,
}

impl Context<'_> {
    /// Leaves an action for the driver.
    pub fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Sends a frame on a connection.
    pub fn send_on(&mut self, connection: ConnectionId, frame: Frame) {
        self.actions.push(Action::Send { connection, frame });
    }

    /// Sends a control message to a connected peer, in order, on the membership channel.
    ///
    /// Returns `false`, and does nothing, when there is no session with it.
    pub fn send(&mut self, peer: NodeId, message: ControlMessage) -> bool {
        match self.routes.anchor(peer) {
            Some(connection) => {
                self.send_on(connection, Frame::Control(message));
                true
            }
            None => false,
        }
    }

    /// Tells the application something.
    pub fn notify(&mut self, notification: Notification) {
        self.actions.push(Action::Notify(notification));
    }

    /// Answers a command.
    pub fn reply(&mut self, ticket: Ticket, result: Result<Answer, CommandError>) {
        self.actions.push(Action::Reply { ticket, result });
    }

    /// Tells the other parts something.
    pub fn change(&mut self, change: Change) {
        self.changes.push_back(change);
    }

    /// Asks whoever drives the node something that only it can know. The answer comes later, with
    /// the number returned here, or never.
    pub fn ask(&mut self, question: Question) -> QuestionId {
        self.questions.0 += 1;
        let id = *self.questions;
        self.actions.push(Action::Ask { id, question });
        id
    }

    /// Sets a timer to some time from now, moving it when it is set already.
    pub fn set_timer(&mut self, timer: Timer, after: Duration) {
        self.timers.set(timer, self.now + after);
    }

    /// Whether there is a session with this node; always with the node itself.
    #[must_use]
    pub fn is_connected(&self, node: NodeId) -> bool {
        node == self.me.instance.node || self.routes.peer(node).is_some()
    }

    /// Makes the node a later life of itself.
    pub fn reincarnate(&mut self, newest_gone: Incarnation) {
        let incarnation = self.me.instance.incarnation.max(newest_gone).next();
        self.me.instance.incarnation = incarnation;
    }

    /// The channel of the membership protocol.
    #[must_use]
    pub const fn membership_channel() -> ChannelId {
        ChannelId::MEMBERSHIP
    }
}
