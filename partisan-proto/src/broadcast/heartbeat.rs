//! Heartbeats: who shapes the shared tree, and the trees of single senders.
//!
//! A heartbeat is a message without content that its root floods over every link. Each node takes
//! the neighbour that brought it first for its parent, and says so in its own copy to that
//! neighbour; a link is eager when one end is the other's parent. So both ends of a link know what
//! it is once their copies have crossed, the eager links are a tree of the quickest ways from the
//! root, and whatever went wrong before is forgotten. A payload shapes nothing, and costs exactly
//! one copy for each node.
//!
//! The shared tree has one root, the *anchor*: whoever broadcasts while nobody is one, or has been
//! silent for too long; of several the one with the lowest identifier. A node that repeats itself
//! floods heartbeats of its own and sends its messages along that tree, unless it is the anchor.

use alloc::vec::Vec;
use core::hash::Hash;

use super::engine::Engine;
use super::tree::Tree;
use crate::config::OwnTrees;
use crate::context::Context;
use crate::id::{Instance, NodeId};
use crate::time::{Duration, Instant};
use crate::timers::BroadcastTimer;
use crate::wire::{Bounded, ControlMessage, Heartbeat, MAX_HEARTBEATS, PlumtreeMessage, TreeId};

/// How long a sender's own tree may take to come into being before messages use it.
const SETTLE: Duration = Duration::from_secs(1);

/// Who shapes the shared tree.
#[derive(Debug, Default, Hash)]
pub(super) struct Anchor {
    /// Whether this node is it.
    beating: bool,
    /// The number of this node's last heartbeat, of either tree.
    beats: u64,
    /// Whether the timer is set.
    waiting: bool,
}

/// This node as a sender.
#[derive(Debug, Default, Hash)]
pub(super) struct Sender {
    /// When it sent its last message.
    last: Option<Instant>,
    /// When its own tree was first in use.
    ready: Instant,
    /// Whether its own tree is renewed.
    renewing: bool,
}

/// What a heartbeat is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worth {
    Older,
    Present,
    Newer,
}

impl Engine {
    fn is_anchored(&self, cx: &Context<'_>) -> bool {
        let silent = cx.now.since(self.shared.heard) >= silence(cx);
        self.anchor.beating || (!silent && self.shared.root.is_some_and(|r| r != cx.me.instance))
    }

    /// Whether the anchor has missed a heartbeat, or there is none.
    fn is_overdue(&self, cx: &Context<'_>) -> bool {
        !self.is_anchored(cx) || (!self.anchor.beating && has_missed_a_beat(cx, &self.shared))
    }

    /// This node has sent a message: the shared tree needs an anchor, and perhaps this sender a
    /// tree of its own.
    pub(super) fn shape_after_send(&mut self, cx: &mut Context<'_>) {
        if cx.config.broadcast.heartbeats && !self.is_anchored(cx) {
            self.claim(cx);
        }
        self.mind_anchor(cx);
        let config = &cx.config.broadcast;
        let last = self.sender.last.replace(cx.now);
        let repeats = match config.own_trees {
            OwnTrees::Never => false,
            OwnTrees::Repeating => last.is_some_and(|at| cx.now.since(at) < config.repeat_window),
            OwnTrees::Always => last.is_some(),
        };
        if repeats && !self.anchor.beating && !self.sender.renewing {
            self.grow_own_tree(cx);
        }
    }

    /// Whether this node's next message takes its own tree.
    pub(super) fn has_ready_tree(&self, cx: &Context<'_>) -> bool {
        cx.now >= self.sender.ready && self.own.contains_key(&cx.me.instance)
    }

    fn grow_own_tree(&mut self, cx: &mut Context<'_>) {
        let me = cx.me.instance;
        if !self.own.contains_key(&me) {
            if !self.make_room_for_tree(cx) {
                return;
            }
            self.own.insert(me, self.shared.alike());
            self.sender.ready = cx.now + SETTLE;
        }
        self.sender.renewing = true;
        self.tidy_later(cx);
        self.beat(cx, TreeId::Own(me));
        self.set_own_timer(cx);
    }

    fn set_own_timer(&mut self, cx: &mut Context<'_>) {
        let after = self.jittered(cx.config.broadcast.heartbeat_interval);
        Self::set_timer(cx, BroadcastTimer::OwnTree, after);
    }

    /// Renews this node's own tree while it is used.
    pub(super) fn renew_own_tree(&mut self, cx: &mut Context<'_>) {
        let config = &cx.config.broadcast;
        let most = match config.own_trees {
            OwnTrees::Always => config.idle_timeout,
            OwnTrees::Never | OwnTrees::Repeating => config.repeat_window,
        };
        let me = cx.me.instance;
        let used = self.sender.last.is_some_and(|at| cx.now.since(at) < most);
        if !used || self.anchor.beating || !self.own.contains_key(&me) {
            self.sender.renewing = false;
            self.own.remove(&me);
            return;
        }
        self.beat(cx, TreeId::Own(me));
        self.set_own_timer(cx);
    }

    /// This node becomes the anchor.
    fn claim(&mut self, cx: &mut Context<'_>) {
        self.anchor.beating = true;
        // From now on the shared tree is its own.
        self.sender.renewing = false;
        self.own.remove(&cx.me.instance);
        self.beat(cx, TreeId::Shared);
        self.set_heartbeat_timer(cx, Duration::ZERO);
    }

    /// Sees to it that there will be an anchor, while messages come.
    pub(super) fn mind_anchor(&mut self, cx: &mut Context<'_>) {
        if !self.anchor.waiting && cx.config.broadcast.heartbeats {
            self.set_heartbeat_timer(cx, silence(cx));
        }
    }

    /// The anchor beats each interval; others look for it after `silence`, each at another moment.
    fn set_heartbeat_timer(&mut self, cx: &mut Context<'_>, silence: Duration) {
        let interval = cx.config.broadcast.heartbeat_interval;
        let after = match self.anchor.beating {
            true => self.jittered(interval),
            false => silence + self.random.up_to(interval),
        };
        self.anchor.waiting = true;
        Self::set_timer(cx, BroadcastTimer::Heartbeat, after);
    }

    fn jittered(&mut self, interval: Duration) -> Duration {
        interval - self.random.up_to(interval / 5)
    }

    /// The heartbeat timer is due.
    pub(super) fn mind_heartbeat(&mut self, cx: &mut Context<'_>) {
        self.anchor.waiting = false;
        if self.is_idle(cx) {
            self.anchor.beating = false;
        } else if self.anchor.beating {
            self.beat(cx, TreeId::Shared);
            self.set_heartbeat_timer(cx, Duration::ZERO);
        } else if self.is_anchored(cx) {
            let since = cx.now.since(self.shared.heard);
            self.set_heartbeat_timer(cx, silence(cx).saturating_sub(since));
        } else {
            self.claim(cx);
        }
    }

    /// Floods a heartbeat of this node's.
    fn beat(&mut self, cx: &mut Context<'_>, id: TreeId) {
        self.anchor.beats += 1;
        let (me, number, now) = (cx.me.instance, self.anchor.beats, cx.now);
        if let Some(tree) = self.tree_mut(id) {
            tree.lead(me, number);
            (tree.heard, tree.used) = (now, now);
        }
        self.flood(cx, id);
    }

    /// Passes the present heartbeat of a tree on to every link.
    fn flood(&mut self, cx: &mut Context<'_>, id: TreeId) {
        for place in 0..self.links.len() {
            let node = self.links.at(place);
            if let Some(heartbeat) = self.heartbeat(id, node) {
                self.send_heartbeats(cx, node, [heartbeat]);
            }
        }
    }

    fn heartbeat(&self, id: TreeId, to: NodeId) -> Option<Heartbeat> {
        let tree = self.tree(id)?;
        Some(Heartbeat {
            root: tree.root?,
            own: id != TreeId::Shared,
            number: tree.number,
            hops: tree.hops,
            parent: tree.parent == Some(to),
        })
    }

    fn send_heartbeats(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        list: impl IntoIterator<Item = Heartbeat>,
    ) {
        let list = Bounded::from_first(list);
        self.counters.heartbeats += list.len() as u64;
        cx.send(node, ControlMessage::Plumtree(PlumtreeMessage::Heartbeats(list)));
    }

    /// Tells a new link of every tree that is renewed. One that is not is forgotten soon, and must
    /// not come back to those who have forgotten it by who has not. An empty message tells that this
    /// node uses the link.
    pub(super) fn send_all_heartbeats(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let renewed = |id: &TreeId| match id {
            TreeId::Shared => self.is_anchored(cx),
            TreeId::Own(root) => {
                self.own.get(root).is_some_and(|tree| !has_missed_a_beat(cx, tree))
            }
        };
        let ids = self.tree_ids().into_iter().filter(renewed);
        let all: Vec<_> = ids.filter_map(|id| self.heartbeat(id, node)).collect();
        if all.is_empty() {
            return self.send_heartbeats(cx, node, []);
        }
        for part in all.chunks(MAX_HEARTBEATS) {
            self.send_heartbeats(cx, node, part.iter().copied());
        }
    }

    /// A neighbour passes heartbeats on.
    pub(super) fn heartbeats(
        &mut self,
        cx: &mut Context<'_>,
        from: NodeId,
        list: impl IntoIterator<Item = Heartbeat>,
    ) {
        if !self.accept(cx, from) {
            return;
        }
        for heartbeat in list {
            self.heard(cx, from, heartbeat);
        }
        if !self.is_idle(cx) {
            self.mind_anchor(cx);
        }
    }

    fn heard(&mut self, cx: &mut Context<'_>, from: NodeId, heartbeat: Heartbeat) {
        let Heartbeat { root, own, number, hops, .. } = heartbeat;
        let me = cx.me.instance;
        let id = if own { TreeId::Own(root) } else { TreeId::Shared };
        match self.worth(cx, heartbeat) {
            Worth::Older => {}
            Worth::Newer if root.node == me.node => self.counters.forged += 1,
            Worth::Newer if self.is_outdated(cx, root) => {}
            Worth::Newer => {
                self.forget_older_lives(root);
                if own && !self.own.contains_key(&root) {
                    if !self.make_room_for_tree(cx) {
                        return;
                    }
                    self.own.insert(root, self.shared.alike());
                    self.tidy_later(cx);
                }
                if !own {
                    self.anchor.beating = false;
                    self.own.remove(&root);
                }
                let now = cx.now;
                if let Some(tree) = self.tree_mut(id) {
                    tree.follow(root, number, from, hops);
                    (tree.heard, tree.used) = (now, now);
                }
                self.flood(cx, id);
            }
            Worth::Present => self.heard_again(cx, from, id, heartbeat),
        }
    }

    fn worth(&self, cx: &Context<'_>, heartbeat: Heartbeat) -> Worth {
        let Heartbeat { root, own, number, .. } = heartbeat;
        let tree = if own { self.own.get(&root) } else { Some(&self.shared) };
        let Some((present, tree)) = tree.and_then(|tree| Some((tree.root?, tree))) else {
            return Worth::Newer;
        };
        if present == root {
            return match number.cmp(&tree.number) {
                core::cmp::Ordering::Less => Worth::Older,
                core::cmp::Ordering::Equal => Worth::Present,
                core::cmp::Ordering::Greater => Worth::Newer,
            };
        }
        // The lowest of several anchors, in its newest life; any in place of one that may be gone.
        let better = match present.node == root.node {
            true => present.incarnation < root.incarnation,
            false => root.node < present.node || self.is_overdue(cx),
        };
        if better { Worth::Newer } else { Worth::Older }
    }

    /// Another neighbour's copy of the present heartbeat, or its answer to this node's.
    fn heard_again(
        &mut self,
        cx: &mut Context<'_>,
        from: NodeId,
        id: TreeId,
        Heartbeat { hops, parent, .. }: Heartbeat,
    ) {
        let me = cx.me.instance;
        let Some(tree) = self.tree_mut(id) else { return };
        tree.note(from, hops);
        if tree.parent == Some(from) {
            if parent || hops >= tree.hops {
                // It gets messages from this node: they must come by another way.
                self.reattach(cx, id, from);
            }
        } else if parent {
            tree.promote(from);
        } else if tree.is_orphan(me) && hops < tree.hops {
            tree.attach(from);
            self.tell_parent(cx, id, from);
        } else {
            tree.relax(from);
        }
    }

    /// Looks for another parent among the neighbours.
    pub(super) fn reattach(&mut self, cx: &mut Context<'_>, id: TreeId, instead_of: NodeId) {
        let Some(tree) = self.tree_mut(id) else { return };
        tree.parent = tree.nearest(instead_of);
        if let Some(parent) = tree.parent {
            tree.attach(parent);
            self.tell_parent(cx, id, parent);
        }
    }

    fn tell_parent(&mut self, cx: &mut Context<'_>, id: TreeId, parent: NodeId) {
        if let Some(heartbeat) = self.heartbeat(id, parent) {
            self.send_heartbeats(cx, parent, [heartbeat]);
        }
    }

    /// Makes room for one more tree of a single sender, if one was not used lately; says whether
    /// there is some.
    fn make_room_for_tree(&mut self, cx: &Context<'_>) -> bool {
        let config = &cx.config.broadcast;
        if self.own.len() < config.max_own_trees {
            return true;
        }
        let idlest = self.own.iter().min_by_key(|(_, tree): &(&Instance, &Tree)| tree.used);
        let Some((root, tree)) = idlest else { return false };
        let (root, idle) =
            (*root, cx.now.since(tree.used) >= config.heartbeat_interval.saturating_mul(2));
        if idle {
            self.own.remove(&root);
        }
        idle
    }
}

/// Whether the root of a tree has not renewed it in time.
fn has_missed_a_beat(cx: &Context<'_>, tree: &Tree) -> bool {
    cx.now.since(tree.heard) >= cx.config.broadcast.heartbeat_interval.saturating_mul(3) / 2
}

/// An anchor that is silent for so long is none.
fn silence(cx: &Context<'_>) -> Duration {
    cx.config.broadcast.heartbeat_interval.saturating_mul(7) / 2
}
