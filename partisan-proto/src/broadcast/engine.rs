//! The broadcasts of a node that has met with one: all state, and what neighbours' coming and going
//! does to it.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use super::BroadcastCounters;
use super::cache::Cache;
use super::exchange::Exchanges;
use super::handlers::Handlers;
use super::heartbeat::{Anchor, Sender};
use super::lag::Lag;
use super::links::Links;
use super::missing::{Missing, Noted};
use super::questions::Questions;
use super::seen::Seen;
use super::tree::Tree;
use crate::change::Change;
use crate::context::Context;
use crate::id::{ConnectionId, Incarnation, Instance, MessageId, NodeId};
use crate::notification::Notification;
use crate::random::Random;
use crate::time::{Duration, Instant};
use crate::timers::{BroadcastTimer, Timer};
use crate::wire::{Bounded, BroadcastMessage, ControlMessage, Graft, PlumtreeMessage, TreeId};

/// How many messages that were asked for and came are remembered, to learn whether that was vain.
const RECENT: usize = 64;

/// All state of broadcasts.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) random: Random,
    pub(super) handlers: Handlers,
    /// The number of this life's last message.
    pub(super) sequence: u64,
    pub(super) seen: Seen,
    pub(super) cache: Cache,
    pub(super) links: Links,
    /// The tree of all messages whose sender has none of its own.
    pub(super) shared: Tree,
    /// The trees of single senders, by root.
    pub(super) own: BTreeMap<Instance, Tree>,
    pub(super) anchor: Anchor,
    pub(super) sender: Sender,
    /// When a message was last sent here, or came for the first time, if ever.
    pub(super) active: Option<Instant>,
    pub(super) missing: Missing,
    /// How late messages are behind their announcements, in the shared tree and in others.
    pub(super) lags: [Lag; 2],
    /// Messages that were asked for and came, and what was noted of them until then.
    pub(super) recent: VecDeque<(MessageId, Noted)>,
    /// Connections that can take no more at present.
    pub(super) congested: Vec<ConnectionId>,
    pub(super) questions: Questions,
    pub(super) exchanges: Exchanges,
    /// Whether announcements wait for their timer.
    pub(super) announcing: bool,
    pub(super) tidying: bool,
    /// When it last looked for what will never come.
    pub(super) looked: Instant,
    pub(super) counters: BroadcastCounters,
}

impl Engine {
    pub(super) fn new(cx: &Context<'_>, random: Random, congested: Vec<ConnectionId>) -> Self {
        let config = &cx.config.broadcast;
        let mut links = Links::default();
        for node in links.choice(cx.me.instance.node, cx.neighbors, config.max_links) {
            links.insert(node);
        }
        Self {
            random,
            handlers: Handlers::new(cx.config),
            sequence: 0,
            seen: Seen::default(),
            cache: Cache::default(),
            shared: Tree::flood(&links),
            links,
            own: BTreeMap::new(),
            anchor: Anchor::default(),
            sender: Sender::default(),
            active: None,
            missing: Missing::default(),
            lags: [Lag::new(config.graft_timeout); 2],
            recent: VecDeque::new(),
            congested,
            questions: Questions::default(),
            exchanges: Exchanges::default(),
            announcing: false,
            tidying: false,
            looked: cx.now,
            counters: BroadcastCounters::default(),
        }
    }

    /// The first thing it does: wakes the neighbours that do not know of broadcasts yet, other than
    /// the one by whom this node knows.
    pub(super) fn wake(&mut self, cx: &mut Context<'_>, by: Option<NodeId>) {
        let neighbors: Vec<_> = cx.neighbors.iter().map(|neighbor| neighbor.node).collect();
        for node in neighbors {
            if self.links.contains(node) {
                cx.change(Change::Measure { node });
                self.greet(cx, node);
            } else if by != Some(node) {
                cx.send(node, ControlMessage::Plumtree(PlumtreeMessage::Awake));
            }
        }
    }

    /// Whether no message was seen for so long that trees need not be kept in shape.
    pub(super) fn is_idle(&self, cx: &Context<'_>) -> bool {
        let most = cx.config.broadcast.idle_timeout;
        self.active.is_none_or(|active| cx.now.since(active) >= most)
    }

    pub(super) fn set_timer(cx: &mut Context<'_>, timer: BroadcastTimer, after: Duration) {
        cx.set_timer(Timer::Broadcast(timer), after);
    }

    /// The tree that a message takes through this node.
    pub(super) fn tree_of(&self, message: &BroadcastMessage) -> TreeId {
        self.known_tree(message.own, message.id)
    }

    /// The tree of a message that travels in its origin's own or not; the shared one where the
    /// other is not known here.
    pub(super) fn known_tree(&self, own: bool, id: MessageId) -> TreeId {
        match own && self.own.contains_key(&id.origin) {
            true => TreeId::Own(id.origin),
            false => TreeId::Shared,
        }
    }

    pub(super) fn tree(&self, id: TreeId) -> Option<&Tree> {
        match id {
            TreeId::Shared => Some(&self.shared),
            TreeId::Own(root) => self.own.get(&root),
        }
    }

    pub(super) fn tree_mut(&mut self, id: TreeId) -> Option<&mut Tree> {
        match id {
            TreeId::Shared => Some(&mut self.shared),
            TreeId::Own(root) => self.own.get_mut(&root),
        }
    }

    /// A node is known to be in this life: the trees of its earlier ones are of no use.
    pub(super) fn forget_older_lives(&mut self, life: Instance) {
        let oldest = Instance { node: life.node, incarnation: Incarnation::NONE };
        while let Some((older, _)) = self.own.range(oldest..life).next() {
            let older = *older;
            self.own.remove(&older);
        }
    }

    /// Whether a later life than this one is known of the node.
    pub(super) fn is_outdated(&self, cx: &Context<'_>, life: Instance) -> bool {
        let newest = Instance { node: life.node, incarnation: Incarnation::MOST };
        let later = |other: Instance| other.node == life.node && other > life;
        self.own.range(life..=newest).any(|(known, _)| later(*known))
            || self.shared.root.is_some_and(later)
            || cx.neighbors.iter().any(later)
    }

    pub(super) fn tree_ids(&self) -> Vec<TreeId> {
        let own = self.own.keys().map(|root| TreeId::Own(*root));
        core::iter::once(TreeId::Shared).chain(own).collect()
    }

    /// Whether messages themselves shape this tree: those of single senders, and the shared one
    /// where there are no heartbeats.
    pub(super) fn is_shaped_by_messages(cx: &Context<'_>, tree: TreeId) -> bool {
        !cx.config.broadcast.heartbeats || tree != TreeId::Shared
    }

    pub(super) fn change(&mut self, cx: &mut Context<'_>, change: &Change) {
        match change {
            Change::NeighborUp { instance } => self.neighbor_up(cx, instance.node),
            Change::NeighborDown { node } => self.neighbor_down(cx, *node),
            Change::NeighborSwapped { gone, instance } => {
                self.neighbor_swapped(cx, *gone, instance.node);
            }
            Change::RoundTrip { node, span } => {
                if let Some(link) = self.links.get_mut(*node) {
                    link.round_trip = Some(*span);
                }
            }
            Change::PeerDown { .. } => forget_closed(cx, &mut self.congested),
            Change::Reborn { .. } => self.begin_anew(cx),
            _ => {}
        }
    }

    fn neighbor_up(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let (me, most) = (cx.me.instance.node, cx.config.broadcast.max_links);
        if self.links.wants(me, node, cx.neighbors, most) {
            self.add_link(cx, node);
        } else {
            // It may want this node.
            cx.send(node, ControlMessage::Plumtree(PlumtreeMessage::Awake));
        }
        self.start_exchanges_later(cx);
    }

    fn add_link(&mut self, cx: &mut Context<'_>, node: NodeId) {
        if !self.links.insert(node) {
            return;
        }
        let mut ids = self.tree_ids();
        ids.retain(|id| {
            let flood = *id == TreeId::Shared && !cx.config.broadcast.heartbeats;
            let Some(tree) = self.tree_mut(*id) else { return false };
            let eager = tree.add(node, flood);
            eager && tree.root.is_some_and(|root| root != cx.me.instance)
        });
        self.greet(cx, node);
        // The only way to this node, though the other end may have others: said after the greeting,
        // by which nobody is anybody's parent.
        for id in ids {
            Self::send_graft(cx, node, id);
        }
    }

    /// Makes a neighbour a link that treats this node as one; says whether it is one.
    pub(super) fn accept(&mut self, cx: &mut Context<'_>, from: NodeId) -> bool {
        if self.links.contains(from) {
            return true;
        }
        if !cx.neighbors.contains(from) {
            return false;
        }
        self.add_link(cx, from);
        true
    }

    fn neighbor_down(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.end_exchanges_with(cx, node);
        self.questions.forget_peer(node);
        if self.links.remove(node) {
            self.missing.retract_all(node, cx.now);
            for id in self.tree_ids() {
                if self.tree_mut(id).is_some_and(|tree| tree.remove(node)) {
                    self.lose_parent(cx, id, node);
                }
            }
        }
        // Of those who are left more are links, perhaps all.
        let (me, most) = (cx.me.instance.node, cx.config.broadcast.max_links);
        for node in self.links.choice(me, cx.neighbors, most) {
            self.add_link(cx, node);
        }
        self.set_graft_timer(cx);
    }

    fn neighbor_swapped(&mut self, cx: &mut Context<'_>, gone: NodeId, node: NodeId) {
        if !self.links.contains(gone) || self.links.contains(node) {
            self.neighbor_down(cx, gone);
            return self.neighbor_up(cx, node);
        }
        self.end_exchanges_with(cx, gone);
        self.questions.forget_peer(gone);
        self.links.remove(gone);
        self.links.insert(node);
        self.missing.retract_all(gone, cx.now);
        for id in self.tree_ids() {
            if let Some(tree) = self.tree_mut(id) {
                tree.replace(gone, node);
            }
        }
        self.greet(cx, node);
        self.set_graft_timer(cx);
    }

    /// Tells a new link where the roots of the trees are, and what this node has.
    fn greet(&mut self, cx: &mut Context<'_>, node: NodeId) {
        if !self.is_idle(cx) {
            cx.change(Change::Measure { node });
        }
        self.send_all_heartbeats(cx, node);
        if !self.cache.is_empty() {
            self.send_holdings(cx, node, false);
        }
    }

    /// Tells a neighbour that its link is eager here.
    pub(super) fn send_graft(cx: &mut Context<'_>, node: NodeId, tree: TreeId) {
        let graft = Graft { tree: Some(tree), wanted: Bounded::new() };
        cx.send(node, ControlMessage::Plumtree(PlumtreeMessage::Graft(graft.into())));
    }

    /// The node left its cluster, and goes on alone in a new life.
    fn begin_anew(&mut self, cx: &mut Context<'_>) {
        self.end_all_exchanges(cx);
        self.questions = Questions::default();
        self.sequence = 0;
        self.seen.begin_anew(&cx.config.broadcast);
        self.cache = Cache::default();
        self.missing = Missing::default();
        self.recent.clear();
        self.own.clear();
        self.shared = Tree::flood(&self.links);
        (self.anchor, self.sender) = (Anchor::default(), Sender::default());
    }

    /// The node stops: it does nothing any more.
    pub(super) fn stop(&mut self, cx: &mut Context<'_>) {
        self.end_all_exchanges(cx);
        for timer in BroadcastTimer::ALL {
            cx.timers.cancel(Timer::Broadcast(timer));
        }
    }

    /// Remembers that a message which was asked for has come.
    pub(super) fn remember_recent(&mut self, id: MessageId, noted: Noted) {
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((id, noted));
    }

    pub(super) fn tidy_later(&mut self, cx: &mut Context<'_>) {
        if !self.tidying {
            self.tidying = true;
            let config = &cx.config.broadcast;
            let after = (config.cache.age / 4).min(config.idle_timeout / 4);
            Self::set_timer(cx, BroadcastTimer::Tidy, after.max(Duration::from_millis(1)));
        }
    }

    /// Forgets old messages and unused trees.
    pub(super) fn tidy(&mut self, cx: &mut Context<'_>) {
        let config = &cx.config.broadcast;
        self.tidying = false;
        self.cache.expire(cx.now, &config.cache);
        let (now, most) = (cx.now, config.idle_timeout);
        self.own.retain(|_, tree| now.since(tree.used) < most);
        if now.since(self.looked) >= config.cache.age {
            self.look_for_losses(cx);
        }
        let busy = !self.cache.is_empty() || !self.own.is_empty();
        if !busy {
            self.recent.clear();
        }
        if busy || self.seen.may_have_losses() {
            self.tidy_later(cx);
        }
    }

    /// Tells of messages that nobody keeps any more.
    fn look_for_losses(&mut self, cx: &mut Context<'_>) {
        self.looked = cx.now;
        for (origin, count) in self.seen.look_for_losses() {
            self.counters.missed = self.counters.missed.saturating_add(count);
            cx.notify(Notification::BroadcastsMissed { origin, count });
        }
    }
}

/// Connections that are gone will never be said to have drained.
pub(super) fn forget_closed(cx: &Context<'_>, congested: &mut Vec<ConnectionId>) {
    let is_open = |connection: &ConnectionId| {
        cx.routes.peers().any(|peer| peer.connections().any(|other| other == *connection))
    };
    if !congested.is_empty() {
        congested.retain(is_open);
    }
}

impl Hash for Engine {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.sequence, self.active, &self.counters).hash(state);
        (&self.seen, &self.cache, &self.links, &self.missing).hash(state);
        (&self.shared, &self.own, &self.lags, &self.congested).hash(state);
        (&self.anchor, &self.sender, &self.exchanges).hash(state);
    }
}
