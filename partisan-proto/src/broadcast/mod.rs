//! Broadcast: Plumtree trees over whatever overlay the manager keeps, and anti-entropy exchange.

mod cache;
mod engine;
mod exchange;
mod gossip;
mod handlers;
mod heartbeat;
mod info;
mod interval_set;
mod lag;
mod lazy;
mod links;
mod missing;
mod questions;
mod seen;
#[cfg(test)]
mod tests;
mod tree;

pub use info::{BroadcastCounters, BroadcastTree};

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use self::engine::{Engine, forget_closed};
use crate::change::Change;
use crate::command::{Broadcast, ExchangeSelector};
use crate::config::StoreConfig;
use crate::context::Context;
use crate::error::CommandError;
use crate::id::{ConnectionId, Instance, MessageId, NodeId};
use crate::question::{ExchangeInfo, QuestionId, Response};
use crate::random::{Random, Seed};
use crate::timers::BroadcastTimer;
use crate::wire::{BroadcastMessage, PlumtreeMessage, TreeId};

/// The broadcasts of a node. One that never met with any is a stream of randomness and nothing
/// else.
#[derive(Debug)]
pub(crate) struct Broadcasts {
    random: Random,
    engine: Option<Box<Engine>>,
    /// Connections that can take no more at present, until there is an engine to know it.
    congested: Vec<ConnectionId>,
    stopped: bool,
}

impl Broadcasts {
    pub(crate) fn new(seed: &Seed) -> Self {
        let random = Random::fork(seed, "broadcast");
        Self { random, engine: None, congested: Vec::new(), stopped: false }
    }

    /// The node starts. Handlers that keep their messages exchange them, whether there are
    /// broadcasts or not.
    pub(crate) fn start(&mut self, cx: &mut Context<'_>) {
        let mut handlers = cx.config.broadcast.handlers.values();
        if handlers.any(|options| options.store == StoreConfig::Application) {
            self.engine(cx, None);
        }
    }

    /// The state, made at the first need.
    fn engine(&mut self, cx: &mut Context<'_>, by: Option<NodeId>) -> Option<&mut Engine> {
        if self.stopped {
            return None;
        }
        if self.engine.is_none() {
            let congested = core::mem::take(&mut self.congested);
            let mut engine = Box::new(Engine::new(cx, self.random.clone(), congested));
            engine.wake(cx, by);
            self.engine = Some(engine);
        }
        self.engine.as_deref_mut()
    }

    /// The application broadcasts a message.
    ///
    /// # Errors
    /// [`CommandError`] `UnknownHandler`, `KeyTooLong`, `BroadcastTooLarge`, `PayloadTooLarge` or
    /// `QueueFull`, when no neighbour can take it.
    pub(crate) fn send(
        &mut self,
        cx: &mut Context<'_>,
        broadcast: Broadcast,
    ) -> Result<MessageId, CommandError> {
        self.engine(cx, None).ok_or(CommandError::Stopping)?.send(cx, broadcast)
    }

    /// The application cancels exchanges; says how many.
    pub(crate) fn cancel_exchanges(
        &mut self,
        cx: &mut Context<'_>,
        which: ExchangeSelector,
    ) -> usize {
        self.engine.as_mut().map_or(0, |engine| engine.cancel_exchanges(cx, which))
    }

    /// Another part changed something.
    pub(crate) fn change(&mut self, cx: &mut Context<'_>, change: &Change) {
        let Some(engine) = self.engine.as_mut().filter(|_| !self.stopped) else {
            match change {
                Change::Stopping => self.stopped = true,
                Change::PeerDown { .. } => forget_closed(cx, &mut self.congested),
                _ => {}
            }
            return;
        };
        if let Change::Stopping = change {
            self.stopped = true;
            engine.stop(cx);
        } else {
            engine.change(cx, change);
        }
    }

    /// A peer with a session sent a message of this part.
    pub(crate) fn receive(
        &mut self,
        cx: &mut Context<'_>,
        from: Instance,
        message: PlumtreeMessage,
    ) {
        let Some(engine) = self.engine(cx, Some(from.node)) else {
            return;
        };
        let from = from.node;
        match message {
            PlumtreeMessage::Heartbeats(list) => engine.heartbeats(cx, from, list),
            PlumtreeMessage::Prune(tree) => engine.pruned(cx, from, tree),
            PlumtreeMessage::IHave(list) => engine.announced(cx, from, list),
            PlumtreeMessage::Graft(graft) => engine.grafted(cx, from, *graft),
            PlumtreeMessage::NotFound(list) => engine.not_found(cx, from, list),
            PlumtreeMessage::Holdings(holdings) => engine.holdings(cx, from, holdings),
            PlumtreeMessage::Awake => {}
        }
    }

    /// A peer with a session sent a broadcast message.
    pub(crate) fn receive_message(
        &mut self,
        cx: &mut Context<'_>,
        from: Instance,
        message: Arc<BroadcastMessage>,
    ) {
        if let Some(engine) = self.engine(cx, Some(from.node)) {
            engine.receive(cx, from, message);
        }
    }

    /// A connection can take nothing more for now, or can again.
    pub(crate) fn set_congested(&mut self, connection: ConnectionId, full: bool) {
        let engine = self.engine.as_mut();
        let congested = engine.map_or(&mut self.congested, |engine| &mut engine.congested);
        congested.retain(|other| *other != connection);
        if full {
            congested.push(connection);
        }
    }

    /// A question of this part is answered.
    pub(crate) fn answered(&mut self, cx: &mut Context<'_>, id: QuestionId, response: Response) {
        if let Some(engine) = self.engine.as_mut().filter(|_| !self.stopped) {
            engine.answered(cx, id, response);
        }
    }

    /// A timer of this part is due.
    pub(crate) fn fire(&mut self, cx: &mut Context<'_>, timer: BroadcastTimer) {
        let Some(engine) = self.engine.as_mut() else {
            return;
        };
        match timer {
            BroadcastTimer::Announce => engine.announce(cx),
            BroadcastTimer::Graft => engine.graft(cx),
            BroadcastTimer::Heartbeat => engine.mind_heartbeat(cx),
            BroadcastTimer::OwnTree => engine.renew_own_tree(cx),
            BroadcastTimer::Exchange => engine.exchange(cx),
            BroadcastTimer::Questions => engine.end_questions(cx),
            BroadcastTimer::Tidy => engine.tidy(cx),
        }
    }

    /// How often what happened.
    pub(crate) fn counters(&self) -> BroadcastCounters {
        self.engine.as_ref().map(|engine| engine.counters).unwrap_or_default()
    }

    /// The tree that the newest known life of `root` uses.
    pub(crate) fn tree(&self, root: NodeId) -> BroadcastTree {
        let Some(engine) = &self.engine else {
            return BroadcastTree::default();
        };
        let own = engine.own.keys().filter(|known| known.node == root).max();
        let tree = own.and_then(|root| engine.tree(TreeId::Own(*root)));
        let (own, tree) = (tree.is_some(), tree.unwrap_or(&engine.shared));
        BroadcastTree {
            own,
            root: tree.root.map(|root| root.node),
            parent: tree.parent,
            hops: tree.hops,
            eager: tree.nodes(true).collect(),
            lazy: tree.nodes(false).collect(),
        }
    }

    /// The exchanges under way.
    pub(crate) fn exchanges(&self) -> Vec<ExchangeInfo> {
        self.engine.as_ref().map(|engine| engine.running_exchanges()).unwrap_or_default()
    }
}

impl Hash for Broadcasts {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if let Some(engine) = &self.engine {
            engine.hash(state);
        }
    }
}
