//! The exchange between two nodes: digests, summaries, requests, deltas.

use alloc::vec::Vec;
use core::mem;

use super::Full;
use crate::context::Context;
use crate::id::{Incarnation, NodeId};
use crate::manager::pluggable::strategy::Outcomes;
use crate::wire::{
    Bounded, ControlMessage, Delta, Digest, Entry, Gossip, MAX_SUMMARY, Request, Summary,
    SummaryEntry,
};

/// The most bytes of entries in one delta, well below the limit of control frames.
const DELTA_BYTES: usize = 48 << 10;

const FIRST: NodeId = NodeId::from_u64(0);
const LAST: NodeId = NodeId::from_u64(u64::MAX);

impl Full {
    pub(super) fn send_digest(&self, cx: &mut Context<'_>, peer: NodeId) {
        let digest = Gossip::Digest(self.set.digest());
        cx.send(peer, ControlMessage::Gossip(digest));
    }

    /// Sends what is known of these nodes, in as many deltas as it takes.
    pub(super) fn send_entries(&self, cx: &mut Context<'_>, peer: NodeId, nodes: &[NodeId]) {
        if cx.routes.peer(peer).is_none() {
            return;
        }
        let known = nodes.iter().filter_map(|node| self.set.entry(*node));
        for delta in pieces(known) {
            cx.send(peer, ControlMessage::Gossip(Gossip::Delta(delta)));
        }
    }

    pub(super) fn send_to_all(&self, cx: &mut Context<'_>, nodes: &[NodeId]) {
        let peers: Vec<NodeId> = self.sessions.keys().copied().collect();
        for peer in peers {
            self.send_entries(cx, peer, nodes);
        }
    }

    pub(super) fn on_digest(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        from: NodeId,
        digest: Digest,
    ) {
        let equal = digest == self.set.digest();
        match self.sessions.get(&from) {
            None => {}
            // The answer to ours: either we agree, or all it had came before this.
            Some(session) if session.dialled && !session.greeted => {
                self.sync(out, from);
                if !equal {
                    self.send_summary(cx, from);
                }
            }
            Some(session) if !session.greeted => {
                self.answer_first(cx, from, digest);
                self.sync(out, from);
            }
            Some(_) if !equal => self.send_summary(cx, from),
            Some(_) => {}
        }
    }

    /// Answers the digest with which a peer that dialled begins: never with silence.
    fn answer_first(&mut self, cx: &mut Context<'_>, from: NodeId, digest: Digest) {
        if digest == self.set.digest() {
            self.send_digest(cx, from);
        } else if Some(digest) == self.set.digest_of(from) {
            // It knows of nobody but itself: no need to compare.
            let all = self.set.summary(FIRST, LAST).map(|own| own.node);
            let others: Vec<_> = all.filter(|node| *node != from).collect();
            self.send_entries(cx, from, &others);
            self.send_digest(cx, from);
            // A joiner is introduced to all by whom it met first.
            self.news.for_all(from);
        } else {
            self.send_summary(cx, from);
        }
    }

    /// Sends a summary of everything, in pieces that follow each other without a gap.
    fn send_summary(&self, cx: &mut Context<'_>, peer: NodeId) {
        let mut first = FIRST;
        let mut entries = Bounded::new();
        for entry in self.set.summary(FIRST, LAST) {
            let node = entry.node;
            if let Err(entry) = entries.push(entry) {
                let full = mem::take(&mut entries);
                let last = NodeId::from_u64(node.as_u64().saturating_sub(1));
                send_piece(cx, peer, first, last, full);
                first = node;
                entries = Bounded::from_first([entry]);
            }
        }
        send_piece(cx, peer, first, LAST, entries);
    }

    pub(super) fn on_summary(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        from: NodeId,
        theirs: &Summary,
    ) {
        let (first, last) = (theirs.first, theirs.last);
        let ascending = theirs.entries.windows(2).all(|two| two[0].node < two[1].node);
        let within = |entry: &SummaryEntry| (first..=last).contains(&entry.node);
        if first > last || !ascending || !theirs.entries.iter().all(within) {
            return;
        }
        let (newer, wanted) = self.compare(theirs);
        self.send_entries(cx, from, &newer);
        if !wanted.is_empty() {
            let nodes = Bounded::from_first(wanted.iter().copied());
            let request = Gossip::Request(Request { nodes });
            cx.send(from, ControlMessage::Gossip(request));
        }
        if let Some(session) = self.sessions.get_mut(&from)
            && !session.greeted
        {
            // More than the set holds cannot be known here in any case.
            let room = self.capacity.saturating_sub(session.requested.len());
            session.requested.extend(wanted.into_iter().take(room));
            session.covered |= last == LAST;
        }
        self.check_covered(out, from);
    }

    /// What the sender of the summary lacks, and what it has that is new here.
    fn compare(&self, theirs: &Summary) -> (Vec<NodeId>, Vec<NodeId>) {
        let mut newer = Vec::new();
        let mut wanted = Vec::new();
        for entry in theirs.entries.iter() {
            let own = self.set.summary_of(entry.node).unwrap_or(SummaryEntry {
                node: entry.node,
                hash: 0,
                removed: Incarnation::NONE,
                present: Incarnation::NONE,
            });
            let stranger = self.set.presence(entry.node).is_none();
            let refused = stranger && self.set.is_full() && entry.present > own.removed;
            if has_more(entry, &own) && !refused {
                wanted.push(entry.node);
            }
            if has_more(&own, entry) {
                newer.push(entry.node);
            }
        }
        let told = |node: &NodeId| theirs.entries.binary_search_by_key(node, |e| e.node).is_ok();
        let own = self.set.summary(theirs.first, theirs.last);
        newer.extend(own.map(|own| own.node).filter(|node| !told(node)));
        (newer, wanted)
    }

    pub(super) fn on_request(&mut self, cx: &mut Context<'_>, from: NodeId, request: &Request) {
        // What was forgotten meanwhile is answered too, so that nobody waits for it.
        let known = |node: &NodeId| {
            self.set.entry(*node).unwrap_or(Entry {
                node: *node,
                removed: Incarnation::NONE,
                presence: None,
            })
        };
        for delta in pieces(request.nodes.iter().map(known)) {
            cx.send(from, ControlMessage::Gossip(Gossip::Delta(delta)));
        }
    }

    pub(super) fn on_delta(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        from: NodeId,
        delta: &Delta,
    ) {
        let mut behind = Vec::new();
        for entry in delta.entries.iter() {
            if self.learn(cx, out, from, entry) {
                behind.push(entry.node);
            }
            if let Some(session) = self.sessions.get_mut(&from) {
                session.requested.remove(&entry.node);
            }
        }
        self.send_entries(cx, from, &behind);
        self.check_covered(out, from);
    }

    /// After a summary, the peer's state is known when everything asked for has come.
    fn check_covered(&mut self, out: &mut Outcomes, from: NodeId) {
        let done = |s: &super::Session| !s.greeted && s.covered && s.requested.is_empty();
        if self.sessions.get(&from).is_some_and(done) {
            self.sync(out, from);
        }
    }
}

fn send_piece(
    cx: &mut Context<'_>,
    peer: NodeId,
    first: NodeId,
    last: NodeId,
    entries: Bounded<SummaryEntry, MAX_SUMMARY>,
) {
    let summary = Summary { first, last, entries };
    cx.send(peer, ControlMessage::Gossip(Gossip::Summary(summary)));
}

/// Whether `one` knows something of a node that `other` does not. A presence that the other's
/// removal covers is no knowledge. Equal numbers and unequal hashes: only the entries can tell.
fn has_more(one: &SummaryEntry, other: &SummaryEntry) -> bool {
    if one.hash == other.hash {
        return false;
    }
    let present = one.present > other.present && one.present > other.removed;
    let same = one.present == other.present && one.removed == other.removed;
    one.removed > other.removed || present || same
}

/// Splits entries into deltas that fit a control frame.
pub(crate) fn pieces(entries: impl Iterator<Item = Entry>) -> Vec<Delta> {
    let mut done = Vec::new();
    let mut piece = Bounded::new();
    let mut bytes = 0;
    for entry in entries {
        let size = encoded_size(&entry);
        if piece.is_full() || (bytes + size > DELTA_BYTES && !piece.is_empty()) {
            let entries = mem::take(&mut piece);
            done.push(Delta { entries });
            bytes = 0;
        }
        bytes += size;
        // There is room: it was made above.
        let _ = piece.push(entry);
    }
    if !piece.is_empty() {
        done.push(Delta { entries: piece });
    }
    done
}

fn encoded_size(entry: &Entry) -> usize {
    let size = postcard::ser_flavors::Size::default();
    // Counting bytes has no way to fail.
    postcard::serialize_with_flavor(entry, size).unwrap_or(DELTA_BYTES)
}
