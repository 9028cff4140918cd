//! The surroundings of a part that is tested alone: connected peers, neighbours, and a context.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use crate::action::Action;
use crate::change::Change;
use crate::config::{Channels, Config};
use crate::connections::{PeerRoutes, Routes};
use crate::context::{Context, Me};
use crate::id::{ConnectionId, Epoch, Incarnation, Instance, NodeId, NodeName};
use crate::neighbors::Neighbors;
use crate::notification::Notification;
use crate::question::QuestionId;
use crate::spec::NodeSpec;
use crate::time::Instant;
use crate::timers::Timers;
use crate::wire::{ControlMessage, Frame};

/// Everything that the context of one node needs; nodes are numbered.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) now: Instant,
    pub(crate) config: Config,
    pub(crate) me: Me,
    timers: Timers,
    pub(crate) routes: Routes,
    pub(crate) neighbors: Neighbors,
    questions: QuestionId,
    actions: Vec<Action>,
    changes: VecDeque<Change>,
}

/// What one step left, in order.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// To whom, what.
    pub(crate) messages: Vec<(usize, ControlMessage)>,
    pub(crate) notes: Vec<Notification>,
    pub(crate) others: Vec<Action>,
}

pub(crate) fn spec(number: usize) -> Arc<NodeSpec> {
    let name = NodeName::new(&format!("n{number}@h")).unwrap();
    Arc::new(NodeSpec::new(name, vec![], &Channels::default(), vec![]).unwrap())
}

pub(crate) fn id(number: usize) -> NodeId {
    spec(number).id()
}

pub(crate) fn instance(number: usize) -> Instance {
    Instance { node: id(number), incarnation: Incarnation(1) }
}

impl Place {
    pub(crate) fn new(number: usize, config: &Config) -> Self {
        Self {
            now: Instant::from_secs(1),
            config: config.clone(),
            me: Me { instance: instance(number), spec: spec(number), stopping: false },
            timers: Timers::default(),
            routes: Routes::new(true),
            neighbors: Neighbors::default(),
            questions: QuestionId::default(),
            actions: Vec::new(),
            changes: VecDeque::new(),
        }
    }

    pub(crate) fn context(&mut self) -> Context<'_> {
        let Self { now, config, me, timers, routes, neighbors, questions, actions, changes } = self;
        Context { now: *now, config, me, timers, routes, neighbors, questions, actions, changes }
    }

    /// A session with a node begins, by one lane of each channel.
    pub(crate) fn connect(&mut self, other: usize) {
        let lane = |channel| ConnectionId::dialled(100 * other as u64 + channel);
        let channels = vec![vec![Some(lane(0))], vec![Some(lane(1))]].into();
        let (epoch, anchor) = (Epoch(1), lane(0));
        let instance = instance(other);
        let (max_frame, reads_lz4) = (1 << 16, false);
        self.routes.up(PeerRoutes { instance, epoch, max_frame, reads_lz4, anchor, channels });
    }

    /// A session with a neighbour begins; says what the part must be told.
    pub(crate) fn meet(&mut self, other: usize) -> Change {
        self.connect(other);
        self.context().neighbor_up(instance(other));
        Change::NeighborUp { instance: instance(other) }
    }

    /// The lane of the application to a node is down, and the session lives on.
    pub(crate) fn lose_lane(&mut self, other: usize) {
        let anchor = ConnectionId::dialled(100 * other as u64);
        let channels = vec![vec![Some(anchor)], vec![None]].into();
        let (instance, epoch) = (instance(other), Epoch(1));
        let (max_frame, reads_lz4) = (1 << 16, false);
        self.routes.up(PeerRoutes { instance, epoch, max_frame, reads_lz4, anchor, channels });
    }

    /// The session with a neighbour ends.
    pub(crate) fn lose(&mut self, other: usize) {
        self.routes.forget(id(other));
        self.context().neighbor_down(id(other));
    }

    /// Takes what is left of the last step.
    pub(crate) fn left(&mut self) -> Left {
        let mut left = Left::default();
        self.changes.clear();
        for action in self.actions.drain(..) {
            match action {
                Action::Send { connection, frame: Frame::Control(message) } => {
                    let number = ConnectionId::as_u64(connection) / 2;
                    assert_eq!(number % 100, 0, "control messages go by the anchor");
                    left.messages.push(((number / 100) as usize, message));
                }
                Action::Notify(note) => left.notes.push(note),
                other => left.others.push(other),
            }
        }
        left
    }
}
