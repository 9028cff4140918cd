//! Shuffles: how passive views are kept fresh.
//!
//! A sample of a node's views goes on a walk, and whoever has it at the end sends as much back. The
//! paper's origin is answered over a connection of its own; here the answer goes back the way the
//! shuffle came, which the message tells, so that no connection is opened for it and none can leak.
//!
//! Besides the regular ones, a node that was alone shuffles as soon as it has a neighbour: else it
//! would know nobody but a few neighbours for a while, and be lost if those died together.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::HyParView;
use super::passive::{Known, Sent};
use super::peers::Peer;
use crate::context::Context;
use crate::id::NodeId;
use crate::timers::Timer;
use crate::wire::{
    Bounded, ControlMessage, HyParViewMessage, Introduction, Introductions, Shuffle, ShuffleReply,
};

/// The first so many that leave the passive view are all written into the address book.
const AT_ONCE: usize = 16;
/// One of so many that leave the passive view is written into the address book.
const ONE_OF: usize = 8;
/// So many bytes of introductions surely fit into a frame.
const MOST_BYTES: usize = 40 << 10;

impl HyParView {
    /// The time has come to exchange a sample of the views.
    pub(super) fn shuffle(&mut self, cx: &mut Context<'_>) {
        cx.set_timer(Timer::Shuffle, self.config.shuffle_interval);
        self.disperse(cx.now);
        self.removals.expire(cx.now);
        self.break_out(cx);
        self.send_sample(cx);
        self.check_some(cx);
    }

    /// Sends a sample of the views on a walk, to be exchanged for another.
    pub(super) fn send_sample(&mut self, cx: &mut Context<'_>) {
        let Some(hop) = self.next_hop_of_walk(&[]) else {
            return;
        };
        let own = introduction_of_self(cx);
        let some = self.some_of_views(hop);
        self.shuffled.0 = self.shuffled.0.wrapping_add(1);
        self.shuffled.1.clear();
        self.shuffled.1.reserve_exact(some.len());
        self.shuffled.1.extend(some.iter().map(|node| node.spec.id()));
        let shuffle = Shuffle {
            number: self.shuffled.0,
            hops: self.config.active_walk,
            path: Bounded::from_first([self.me]),
            nodes: introductions([own].into_iter().chain(some)),
        };
        self.tally.counters.shuffles += 1;
        let message = HyParViewMessage::Shuffle(Box::new(shuffle));
        cx.send(hop, ControlMessage::HyParView(message));
    }

    /// Some neighbours and some of the passive view.
    fn some_of_views(&mut self, except: NodeId) -> Vec<Introduction> {
        let others = self.peers.active().filter(|peer| peer.node != except);
        let mut active: Vec<&Peer> = others.collect();
        self.random.shuffle_front(&mut active, self.config.shuffle_active);
        active.truncate(self.config.shuffle_active);
        let mut some: Vec<Introduction> = active.into_iter().map(Peer::introduction).collect();
        some.extend(self.sample_reserve(self.config.shuffle_passive));
        some
    }

    /// Some of the passive view, for a peer to know that may become a neighbour: if it took this
    /// node's neighbours for its own, that would close triangles.
    pub(super) fn sample(&mut self, peer: NodeId) -> Introductions {
        let count = self.config.shuffle_active + self.config.shuffle_passive;
        let passive = self.sample_reserve(count);
        introductions(passive.into_iter().filter(|other| other.spec.id() != peer))
    }

    /// Some of the views, for a peer to know that becomes no neighbour.
    pub(super) fn sample_of_both(&mut self, peer: NodeId) -> Introductions {
        let some = self.some_of_views(peer);
        introductions(some.into_iter().filter(|other| other.spec.id() != peer))
    }

    /// Whom a former neighbour may ask: these first.
    pub(super) fn hints(&mut self, peer: NodeId, first: Vec<Introduction>) -> Introductions {
        let named: Vec<NodeId> = first.iter().map(|node| node.spec.id()).collect();
        let more = self.some_of_views(peer).into_iter();
        let more = more.filter(|other| !named.contains(&other.spec.id()));
        introductions(first.into_iter().chain(more).filter(|other| other.spec.id() != peer))
    }

    /// A sample of somebody's views comes by.
    pub(super) fn on_shuffle(&mut self, cx: &mut Context<'_>, from: NodeId, mut shuffle: Shuffle) {
        let me = cx.me.instance.node;
        if shuffle
            .path
            .first()
            .is_some_and(|origin| *origin != me && !self.peers.is_active(*origin))
        {
            self.heard_of_others = cx.now;
        }
        // Nobody sends it further than that.
        let hops = shuffle.hops.min(self.config.active_walk).saturating_sub(1);
        let came_by = |node: &NodeId| shuffle.path.contains(node);
        let mut next = None;
        if hops > 0 && !shuffle.path.is_full() {
            // Where it has not been; else anywhere but back.
            let mut been: Vec<NodeId> = shuffle.path.to_vec();
            been.push(from);
            next = self.next_hop_of_walk(&been);
            if next.is_none() && self.peers.active().count() > 1 {
                let origin = shuffle.path.first().copied().unwrap_or(me);
                next = self.next_hop_of_walk(&[from, origin]);
            }
        }
        if let Some(next) = next.filter(|_| !came_by(&me)) {
            shuffle.hops = hops;
            // There is room: it was looked for above.
            let _ = shuffle.path.push(me);
            let message = HyParViewMessage::Shuffle(Box::new(shuffle));
            cx.send(next, ControlMessage::HyParView(message));
            return;
        }
        if shuffle.path.first() != Some(&me) {
            self.exchange(cx, from, shuffle);
        }
    }

    /// A shuffle ends here: sends as much back.
    fn exchange(&mut self, cx: &mut Context<'_>, from: NodeId, shuffle: Shuffle) {
        let Shuffle { number, path, nodes, .. } = shuffle;
        let origin = path.first().copied().unwrap_or(from);
        let count = nodes.len();
        let mut reply = self.sample_reserve(count);
        let mut active: Vec<Introduction> = self.peers.active().map(Peer::introduction).collect();
        let short = count.saturating_sub(reply.len());
        self.random.shuffle_front(&mut active, short);
        reply.extend(active.into_iter().take(short));
        reply.retain(|node| node.spec.id() != origin);
        let sent: Vec<NodeId> = reply.iter().map(|node| node.spec.id()).collect();
        let reply = ShuffleReply { number, path, nodes: introductions(reply) };
        self.send_back(cx, reply);
        self.integrate(cx, nodes.into(), sent);
    }

    /// Sends a reply to whoever is nearest to its origin among those by whom it is to go.
    fn send_back(&self, cx: &mut Context<'_>, mut reply: ShuffleReply) {
        let way: Vec<NodeId> = reply.path.into();
        let Some(place) = way.iter().position(|node| self.peers.is_active(*node)) else {
            return;
        };
        let next = way[place];
        reply.path = Bounded::from_first(way.into_iter().take(place));
        let message = HyParViewMessage::ShuffleReply(Box::new(reply));
        cx.send(next, ControlMessage::HyParView(message));
    }

    /// What a shuffle was exchanged for comes back.
    pub(super) fn on_shuffle_reply(&mut self, cx: &mut Context<'_>, reply: ShuffleReply) {
        if !reply.path.is_empty() {
            return self.send_back(cx, reply);
        }
        let sent = match reply.number == self.shuffled.0 {
            true => core::mem::take(&mut self.shuffled.1),
            false => Vec::new(),
        };
        self.integrate(cx, reply.nodes.into(), sent);
    }

    /// Takes nodes into the passive view.
    fn integrate(&mut self, cx: &mut Context<'_>, nodes: Vec<Introduction>, sent: Vec<NodeId>) {
        let sent = sent.into();
        for node in nodes {
            if node.spec.id() != cx.me.instance.node {
                self.reserve_for(node.into(), &sent);
            }
        }
    }

    /// Takes in what a peer tells of others.
    pub(super) fn learn(&mut self, cx: &mut Context<'_>, from: NodeId, nodes: Introductions) {
        for node in nodes {
            let known = Known::from(node);
            if known.node != cx.me.instance.node && !self.warn_of(cx, from, &known) {
                self.reserve(known);
            }
        }
    }

    /// Takes in whom a former neighbour names: the first one is asked first.
    pub(super) fn learn_hints(
        &mut self,
        cx: &mut Context<'_>,
        from: NodeId,
        nodes: Vec<Introduction>,
    ) {
        for (place, node) in nodes.into_iter().enumerate() {
            let known = Known::from(node);
            if known.node == cx.me.instance.node || self.warn_of(cx, from, &known) {
                continue;
            }
            match place {
                0 => self.prefer(known),
                _ => self.reserve(known),
            }
        }
    }

    /// Takes a node into the passive view, unless it is a neighbour or was removed. Whoever has to
    /// make room for it is remembered in the address book.
    pub(super) fn reserve(&mut self, known: Known) {
        self.reserve_for(known, &Sent::default());
    }

    /// As [`HyParView::reserve`], in exchange for others.
    fn reserve_for(&mut self, known: Known, sent: &Sent) {
        let node = known.node;
        if self.peers.is_active(node) || node == self.me || self.removals.covers(known.instance()) {
            return;
        }
        if self.book.lost() > 0 {
            self.book.heard_of(node, known.incarnation);
        }
        if let Some(evicted) = self.passive.insert(known, sent, &mut self.random) {
            // A few at once, then one of several: so the book reaches further back.
            if evicted.suspect {
                self.book.lose(evicted.known);
            } else if self.book.len() < AT_ONCE || self.random.below(ONE_OF) == 0 {
                self.book.remember(evicted.known);
            }
        }
    }
}

/// What this node tells others of itself.
pub(super) fn introduction_of_self(cx: &Context<'_>) -> Introduction {
    Introduction { incarnation: cx.me.instance.incarnation, spec: cx.me.spec.clone() }
}

/// As many as surely fit into a message.
pub(super) fn introductions(nodes: impl IntoIterator<Item = Introduction>) -> Introductions {
    let mut bytes = 0;
    let fits = |node: &Introduction| {
        bytes += node.spec.most_bytes();
        bytes <= MOST_BYTES
    };
    Bounded::from_first(nodes.into_iter().take_while(fits))
}
