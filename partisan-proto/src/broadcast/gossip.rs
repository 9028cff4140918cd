//! Messages on their way: sent here, come for the first time, come again, passed on.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use super::engine::Engine;
use crate::action::Action;
use crate::command::Broadcast;
use crate::context::Context;
use crate::error::CommandError;
use crate::id::{ConnectionId, HandlerId, Instance, MessageId, NodeId};
use crate::question::{Merged, Question};
use crate::wire::{
    Announcement, Bounded, BroadcastMessage, ControlMessage, Frame, MAX_KEY, PlumtreeMessage,
    Subject, TreeId,
};

/// Shorter texts are copied before they are kept, since they share memory with all that was read
/// together with them.
const COPIED: usize = 16 << 10;
/// How many duplicates a link may bring that was grafted, or the parent beside such a one: more come
/// before the next heartbeat only where much is sent.
const MOST_DUPLICATES: u8 = 16;
/// How much is looked at to take an announcement back that has become needless.
const LOOKED_AT: usize = 64;

impl Engine {
    /// The application broadcasts a message.
    pub(super) fn send(
        &mut self,
        cx: &mut Context<'_>,
        Broadcast { handler, key, payload }: Broadcast,
    ) -> Result<MessageId, CommandError> {
        let found = self.handlers.get(handler).ok_or(CommandError::UnknownHandler(handler))?;
        let (stored, most) = (found.keeps(), found.options.max_payload as usize);
        let to_self = found.options.deliver_to_sender && !stored;
        if key.len() > MAX_KEY {
            return Err(CommandError::KeyTooLong { bytes: key.len(), limit: MAX_KEY });
        }
        if payload.len() > most {
            return Err(CommandError::BroadcastTooLarge { bytes: payload.len(), most });
        }
        let own = self.has_ready_tree(cx);
        let id = MessageId { origin: cx.me.instance, sequence: self.sequence + 1 };
        let message = BroadcastMessage { id, hops: 0, own, stored, handler, key, payload };
        let most = cx.config.connections.max_frame as usize;
        if message.frame_len() > most {
            return Err(CommandError::PayloadTooLarge { bytes: message.frame_len(), most });
        }
        self.check_pressure(cx, &message)?;
        self.sequence += 1;
        self.counters.sent += 1;
        self.active = Some(cx.now);
        self.see(cx, id, stored);
        let message = Arc::new(message);
        if to_self {
            self.counters.delivered += 1;
            cx.act(Action::DeliverBroadcast(message.clone()));
        }
        self.pass_on(cx, &message, None, &[]);
        self.shape_after_send(cx);
        Ok(id)
    }

    /// Notes that a message has come, or is of no use; says whether it is new.
    pub(super) fn see(&mut self, cx: &Context<'_>, id: MessageId, stored: bool) -> bool {
        self.seen.insert(id, stored, cx.now, &cx.config.broadcast, &mut self.counters)
    }

    /// Back-pressure: somebody must be able to take it.
    fn check_pressure(
        &self,
        cx: &Context<'_>,
        message: &BroadcastMessage,
    ) -> Result<(), CommandError> {
        let mut full = None;
        for node in self.links.nodes() {
            match self.lane(cx, node, message) {
                Err(CommandError::QueueFull(node)) => full = Some(node),
                _ => return Ok(()),
            }
        }
        full.map_or(Ok(()), |node| Err(CommandError::QueueFull(node)))
    }

    /// The connection by which a message goes to a neighbour: messages of one origin keep to one
    /// lane.
    fn lane(
        &self,
        cx: &Context<'_>,
        node: NodeId,
        message: &BroadcastMessage,
    ) -> Result<ConnectionId, CommandError> {
        let channel = self.handlers.channel(message.handler);
        let key = Some(message.id.origin.node.as_u64());
        let lane = cx.routes.lane(node, channel, key, message.frame_len(), |_| 0)?;
        match self.congested.contains(&lane) {
            true => Err(CommandError::QueueFull(node)),
            false => Ok(lane),
        }
    }

    /// Sends a message to a neighbour; says whether its lane can take it.
    pub(super) fn push(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        message: &Arc<BroadcastMessage>,
    ) -> bool {
        match self.lane(cx, node, message) {
            Ok(lane) => {
                self.counters.payloads += 1;
                cx.send_on(lane, Frame::Broadcast(message.clone()));
                true
            }
            Err(_) => {
                self.counters.held_back += 1;
                false
            }
        }
    }

    /// A neighbour, or at least a peer with a session, sent a message.
    pub(super) fn receive(
        &mut self,
        cx: &mut Context<'_>,
        from: Instance,
        message: Arc<BroadcastMessage>,
    ) {
        let (from, id) = (from.node, message.id);
        let linked = self.accept(cx, from);
        let me = cx.me.instance;
        let forged = id.origin.node == me.node
            && (id.origin.incarnation > me.incarnation
                || (id.origin == me && id.sequence > self.sequence));
        if forged || id.sequence == 0 {
            self.counters.forged += 1;
            return;
        }
        if id.origin == me || !self.see(cx, id, message.stored) {
            return self.duplicate(cx, from, &message, linked);
        }
        self.fresh(cx, from, message, linked);
    }

    /// A message has come for the first time.
    fn fresh(
        &mut self,
        cx: &mut Context<'_>,
        from: NodeId,
        message: Arc<BroadcastMessage>,
        linked: bool,
    ) {
        self.counters.received += 1;
        self.active = Some(cx.now);
        self.forget_older_lives(message.id.origin);
        let tree = self.tree_of(&message);
        let noted = self.forget_missing(message.id);
        let shortest = noted.as_ref().and_then(|noted| noted.shortest());
        let mut known = Vec::new();
        if let Some(noted) = noted {
            known.extend(noted.announcers.iter().map(|announcer| announcer.node));
            self.learn(cx, from, message.id, noted);
        }
        if linked {
            let me = cx.me.instance;
            let (now, shapes) = (cx.now, Self::is_shaped_by_messages(cx, tree));
            if let Some(tree) = self.tree_mut(tree) {
                tree.used = now;
                // Else it may have been sent before a heartbeat that made the link lazy.
                if shapes {
                    tree.promote(from);
                }
                if tree.is_orphan(me) {
                    tree.attach(from);
                }
            }
            if let Some(shortest) = shortest.filter(|_| shapes) {
                self.optimize(cx, tree, (from, message.hops), (shortest.node, shortest.hops));
            }
        }
        self.mind_anchor(cx);
        if self.seen.came_before(message.id) {
            // It was delivered then; the cluster that this node is in now may lack it.
            return self.pass_on(cx, &message, Some(from), &known);
        }
        let keeps = self.handlers.get(message.handler).is_some_and(|handler| handler.keeps());
        if keeps {
            return self.ask_to_merge(cx, message, from, known);
        }
        self.deliver(cx, &message);
        self.pass_on(cx, &message, Some(from), &known);
    }

    /// A neighbour announced the message before it came by a much longer way.
    fn optimize(
        &mut self,
        cx: &mut Context<'_>,
        id: TreeId,
        (from, hops): (NodeId, u8),
        (better, fewer): (NodeId, u8),
    ) {
        let threshold = cx.config.broadcast.optimize_threshold;
        let worth = better != from && fewer < hops && hops - fewer >= threshold;
        if !worth || !self.links.contains(better) {
            return;
        }
        let Some(tree) = self.tree_mut(id) else { return };
        tree.attach(better);
        let demoted = tree.demote(from);
        self.counters.optimized += 1;
        Self::send_graft(cx, better, id);
        if demoted {
            self.send_prune(cx, from, id);
        }
    }

    fn deliver(&mut self, cx: &mut Context<'_>, message: &Arc<BroadcastMessage>) {
        if self.handlers.get(message.handler).is_none() {
            self.counters.unhandled += 1;
            return;
        }
        self.counters.delivered += 1;
        cx.act(Action::DeliverBroadcast(message.clone()));
    }

    /// Asks a handler that keeps its messages to take one; it is passed on after that.
    fn ask_to_merge(
        &mut self,
        cx: &mut Context<'_>,
        message: Arc<BroadcastMessage>,
        via: NodeId,
        known: Vec<NodeId>,
    ) {
        if self.questions.is_full(cx) {
            return self.merged(cx, &message, via, &known, Merged::Failed);
        }
        let id = cx.ask(Question::Merge(message.clone()));
        self.questions.merge(cx, id, message, via, known);
    }

    /// What became of a message that a handler was asked to take.
    pub(super) fn merged(
        &mut self,
        cx: &mut Context<'_>,
        message: &Arc<BroadcastMessage>,
        via: NodeId,
        known: &[NodeId],
        how: Merged,
    ) {
        match how {
            Merged::New => self.counters.delivered += 1,
            Merged::Stale => {}
            Merged::Invalid => {
                self.counters.invalid += 1;
                return;
            }
            // The message is good for others; an exchange brings what the store has missed.
            Merged::Failed => self.counters.failed_questions += 1,
        }
        self.pass_on(cx, message, Some(via), known);
    }

    /// Keeps a message, sends it along the tree, and announces it besides; not to `via`, by whom it
    /// came, nor to those `known` to have it.
    fn pass_on(
        &mut self,
        cx: &mut Context<'_>,
        message: &Arc<BroadcastMessage>,
        via: Option<NodeId>,
        known: &[NodeId],
    ) {
        let onward = Arc::new(BroadcastMessage {
            hops: message.hops.saturating_add(1),
            key: own_memory(&message.key),
            payload: own_memory(&message.payload),
            ..BroadcastMessage::clone(message)
        });
        let cache = &cx.config.broadcast.cache;
        self.counters.crowded_out += self.cache.insert(onward.clone(), via, cx.now, cache);
        self.tidy_later(cx);
        self.start_exchanges_later(cx);
        let tree = self.tree_of(message);
        let origin = message.id.origin;
        // A later life of it lacks what it sent before.
        let has = cx.neighbors.iter().any(|other| other == origin).then_some(origin.node);
        for place in 0..self.links.len() {
            let node = self.links.at(place);
            if via == Some(node) || has == Some(node) || known.contains(&node) {
                continue;
            }
            let eager = self.tree(tree).is_some_and(|tree| tree.is_eager(node));
            if !eager || !self.push(cx, node, &onward) {
                self.announce_later(cx, node, &onward);
            }
        }
    }

    fn announce_later(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        message: &Arc<BroadcastMessage>,
    ) {
        let Some(link) = self.links.get_mut(node) else { return };
        // What is not kept any more when it is asked for need not be announced.
        if link.announce.len() >= cx.config.broadcast.cache.messages {
            let half = link.announce.len().div_ceil(2);
            link.announce.drain(..half);
        }
        link.announce.push(Announcement {
            id: message.id,
            hops: message.hops,
            own: message.own,
            subject: message.stored.then(|| subject(message.handler, &message.key).into()),
        });
        self.set_announce_timer(cx);
    }

    /// A message has come before.
    fn duplicate(
        &mut self,
        cx: &mut Context<'_>,
        from: NodeId,
        message: &BroadcastMessage,
        linked: bool,
    ) {
        self.counters.duplicates += 1;
        self.learn_from_duplicate(cx, from, message.id);
        let Some(link) = self.links.get_mut(from).filter(|_| linked) else {
            return;
        };
        // It has it: nothing to announce.
        let place = link.announce.iter().rev().take(LOOKED_AT).position(|a| a.id == message.id);
        if let Some(place) = place {
            link.announce.remove(link.announce.len() - 1 - place);
        }
        let tree = self.tree_of(message);
        if Self::is_shaped_by_messages(cx, tree) {
            self.prune(cx, from, tree, message.id);
        } else {
            self.prune_graft(cx, from, tree, message.id);
        }
    }

    /// What was grafted upon a tree that heartbeats shape shows whether it was needed: of two ways by
    /// which much comes twice the slower one is pruned. Where little does the next heartbeat is soon
    /// enough, and two ways are quicker. A link that is lazy here is so there as well, unless a graft
    /// and a prune crossed; but who knows of a heartbeat first may be ahead.
    fn prune_graft(&mut self, cx: &mut Context<'_>, from: NodeId, id: TreeId, message: MessageId) {
        let via = self.cache.via(message).flatten();
        let Some(tree) = self.tree_mut(id) else { return };
        let quicker = via.filter(|via| *via != from && tree.is_grafted(*via));
        let quicker = quicker.filter(|_| tree.parent == Some(from));
        let superfluous = if !tree.is_eager(from) {
            let stands = cx.now.since(tree.heard) >= cx.config.broadcast.graft_timeout;
            // What is on its way comes all the same: said again now and then.
            stands && tree.count_duplicate(from).is_power_of_two()
        } else if tree.is_grafted(from) || quicker.is_some() {
            tree.count_duplicate(from) > MOST_DUPLICATES
        } else {
            false
        };
        if superfluous && tree.demote(from) {
            if let Some(quicker) = quicker {
                tree.attach(quicker);
            }
            self.send_prune(cx, from, id);
        }
    }

    /// Puts a link out of a tree that brought what had come by another eager link.
    fn prune(&mut self, cx: &mut Context<'_>, from: NodeId, id: TreeId, message: MessageId) {
        let own = message.origin == cx.me.instance;
        let via = self.cache.via(message);
        let Some(tree) = self.tree_mut(id) else { return };
        let by_another = match via {
            Some(Some(via)) => via != from && tree.is_eager(via),
            Some(None) => own,
            None => false,
        };
        // Where the link is lazy here already, the other end has not heard of it.
        if by_another && tree.demote(from) {
            if tree.parent == Some(from) {
                tree.parent = via.flatten();
            }
            self.send_prune(cx, from, id);
        }
    }

    pub(super) fn send_prune(&mut self, cx: &mut Context<'_>, node: NodeId, tree: TreeId) {
        self.counters.prunes += 1;
        cx.send(node, ControlMessage::Plumtree(PlumtreeMessage::Prune(tree)));
    }

    /// A neighbour wants announcements instead of messages.
    pub(super) fn pruned(&mut self, cx: &mut Context<'_>, from: NodeId, id: TreeId) {
        if !self.links.contains(from) {
            return;
        }
        let Some(tree) = self.tree_mut(id) else { return };
        if tree.is_eager(from) && !tree.demote(from) {
            // The last way to others that this node has: it must stay one for both.
            return Self::send_graft(cx, from, id);
        }
        if tree.parent == Some(from) {
            tree.parent = None;
        }
    }
}

fn subject(handler: HandlerId, key: &[u8]) -> Subject {
    Subject { handler, key: Bounded::from_first(key.iter().copied()) }
}

fn own_memory(bytes: &Bytes) -> Bytes {
    if bytes.len() < COPIED { Bytes::copy_from_slice(bytes) } else { bytes.clone() }
}
