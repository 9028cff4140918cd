//! Who is a member: a state-based CRDT, keyed by node.
//!
//! What is known of a node is a pair, and both halves only grow:
//!
//! - `removed`: stays that began in this incarnation or before are over;
//! - `presence`: the newest sign of life, newest by (start of the stay, incarnation, spec).
//!
//! Merging takes the greater of each half. A node is a member exactly when its stay began after
//! the newest removal, so no news of a removed stay, however late, brings it back; a node that
//! joins anew does so in a later incarnation and is a member again. A restart within a stay keeps
//! the start of the stay: one entry a name, with the newest address.
//!
//! A presence that a removal covers says nothing any more and is dropped. Since presences are
//! ordered by the start of the stay first, dropping early or late comes to the same: the laws of
//! merging (commutative, associative, idempotent) hold for what is kept.
//!
//! Removals are not kept for ever; see [`MemberSet::age`]. That, and the limits, are the only ways
//! in which a set forgets.

mod hash;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use core::hash::{Hash, Hasher};

use crate::id::{Incarnation, NodeId};
use crate::manager::MembershipCounters;
use crate::spec::NodeSpec;
use crate::time::{Duration, Instant};
use crate::wire::{Digest, Entry, Presence, SummaryEntry};
use hash::entry_hash;

/// How much a set holds, and how long it remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most members; news of another is refused.
    pub members: usize,
    /// The most removals of nodes that did not return; the one learned first is forgotten first.
    pub removals: usize,
    /// How long after it was learned a removal takes part in digests and summaries.
    pub spread: Duration,
    /// How long after it was learned a removal is known at all.
    pub memory: Duration,
}

/// What a merge did to a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: all of it was known.
    Nothing,
    /// More is known, and nobody came or went: another spec, a removal of a stay known to be over.
    Grew,
    /// The node became a member, or a member began a later incarnation.
    Joined {
        /// Whether it was a member before.
        again: bool,
    },
    /// The node is no member any more.
    Left,
}

/// The outcome of a merge that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged {
    /// What it did here.
    pub effect: Effect,
    /// Whether the sender lacks something that is known here.
    pub behind: bool,
}

/// Why an entry was not merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// It contradicts itself.
    Malformed,
    /// Another name has the same identifier; the known one stays.
    Collision,
    /// There are [`Limits::members`] already.
    Full,
}

/// The membership set.
#[derive(Clone, Debug)]
pub struct MemberSet {
    limits: Limits,
    records: BTreeMap<NodeId, Record>,
    /// The records without a presence, by when they were learned.
    removals: BTreeSet<(Instant, NodeId)>,
    members: usize,
    digest: Digest,
    counters: MembershipCounters,
}

/// What is known of one node.
#[derive(Clone, Debug)]
struct Record {
    removed: Incarnation,
    presence: Option<Presence>,
    hash: u64,
    /// Whether it is part of the digest.
    counted: bool,
    /// When the present state was learned.
    learned: Instant,
}

impl MemberSet {
    /// An empty set.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            records: BTreeMap::new(),
            removals: BTreeSet::new(),
            members: 0,
            digest: Digest { entries: 0, hash: 0 },
            counters: MembershipCounters::default(),
        }
    }

    /// Takes in what somebody knows of a node.
    ///
    /// # Errors
    /// [`Rejected`], counted; the set is as before then.
    pub fn merge(&mut self, entry: &Entry, now: Instant) -> Result<Merged, Rejected> {
        let verdict = self.check(entry);
        if let Err(rejected) = verdict {
            match rejected {
                Rejected::Malformed => self.counters.malformed += 1,
                Rejected::Collision => self.counters.collisions += 1,
                Rejected::Full => self.counters.refused += 1,
            }
            return Err(rejected);
        }
        let known = self.records.get(&entry.node);
        let removed = known.map_or(Incarnation::NONE, |record| record.removed);
        let present = known.and_then(|record| record.presence.as_ref());
        let merged_removed = removed.max(entry.removed);
        let newest = newest(present, entry.presence.as_ref());
        let merged_presence = newest.filter(|presence| presence.joined > merged_removed);
        let uncovered = |presence: &&Presence| presence.joined > entry.removed;
        let theirs = entry.presence.as_ref().filter(uncovered);
        let behind = entry.removed != merged_removed || theirs != merged_presence;
        let effect = if removed == merged_removed && present == merged_presence {
            Effect::Nothing
        } else {
            effect(present, merged_presence)
        };
        if effect != Effect::Nothing {
            let merged_presence = merged_presence.cloned();
            self.put(entry.node, merged_removed, merged_presence, now);
        }
        Ok(Merged { effect, behind })
    }

    /// Ends the present stay of a member: removes it up to its newest known incarnation, which is
    /// at least `seen`. Says whether it was a member.
    pub fn remove(&mut self, node: NodeId, seen: Incarnation, now: Instant) -> bool {
        let Some(record) = self.records.get(&node) else {
            return false;
        };
        let Some(presence) = &record.presence else {
            return false;
        };
        let removed = presence.incarnation.max(seen);
        self.put(node, removed, None, now);
        true
    }

    /// Lets removals grow old: those learned longer ago than [`Limits::spread`] leave the digest
    /// and the summaries but still guard against stale news; those older than [`Limits::memory`]
    /// are forgotten. Ages are by this node's own clock since it learned of the removal.
    /// Says how many were forgotten.
    pub fn age(&mut self, now: Instant) -> usize {
        let before = self.records.len();
        let aged = |learned: Instant, span| now.since(learned) >= span;
        while let Some((learned, node)) = self.removals.first().copied() {
            if !aged(learned, self.limits.memory) {
                break;
            }
            self.forget(node);
        }
        let spread = self.limits.spread;
        for (learned, node) in &self.removals {
            if !aged(*learned, spread) {
                break;
            }
            if let Some(record) = self.records.get_mut(node).filter(|record| record.counted) {
                record.counted = false;
                self.digest.entries -= 1;
                self.digest.hash ^= record.hash;
            }
        }
        before - self.records.len()
    }

    /// Forgets everything but the counters.
    pub fn clear(&mut self) {
        let counters = self.counters;
        *self = Self::new(self.limits);
        self.counters = counters;
    }

    /// What the whole set is, in 16 bytes: equal for equal sets, and practically only for them.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The digest that a set would have which knows of `node` alone, and of it what is known here.
    #[must_use]
    pub fn digest_of(&self, node: NodeId) -> Option<Digest> {
        let record = self.records.get(&node)?;
        let hash = record.hash;
        Some(Digest { entries: 1, hash })
    }

    /// All that is known of a node.
    #[must_use]
    pub fn entry(&self, node: NodeId) -> Option<Entry> {
        let record = self.records.get(&node)?;
        Some(record.entry(node))
    }

    /// The sign of life of a member; none for others.
    #[must_use]
    pub fn presence(&self, node: NodeId) -> Option<&Presence> {
        self.records.get(&node)?.presence.as_ref()
    }

    /// Up to which incarnation the stays of a node are over.
    #[must_use]
    pub fn removed(&self, node: NodeId) -> Incarnation {
        let record = self.records.get(&node);
        record.map_or(Incarnation::NONE, |record| record.removed)
    }

    /// The members, by identifier.
    pub fn members(&self) -> impl Iterator<Item = (NodeId, &Presence)> {
        let present = |(node, record): (&NodeId, _)| Some((*node, Record::presence(record)?));
        self.records.iter().filter_map(present)
    }

    /// How many members there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.members
    }

    /// Whether there is no member.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.members == 0
    }

    /// Whether a new member would be refused.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.members >= self.limits.members
    }

    /// Every entry, removals that are too old to be spread included, by identifier.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.records.iter().map(|(node, record)| record.entry(*node))
    }

    /// What a summary tells of the nodes from `first` to `last`: all that the digest counts.
    pub fn summary(&self, first: NodeId, last: NodeId) -> impl Iterator<Item = SummaryEntry> {
        let range = (first <= last).then(|| self.records.range(first..=last));
        let counted = range.into_iter().flatten();
        counted.filter(|(_, record)| record.counted).map(|(node, record)| record.summary(*node))
    }

    /// What a summary would tell of one node, counted or not.
    #[must_use]
    pub fn summary_of(&self, node: NodeId) -> Option<SummaryEntry> {
        let record = self.records.get(&node)?;
        Some(record.summary(node))
    }

    /// How often entries were rejected or forgotten.
    #[must_use]
    pub const fn counters(&self) -> MembershipCounters {
        self.counters
    }

    fn check(&self, entry: &Entry) -> Result<(), Rejected> {
        let Some(presence) = &entry.presence else {
            return Ok(());
        };
        if !is_sound(entry) {
            return Err(Rejected::Malformed);
        }
        let joined = presence.joined;
        let known = self.records.get(&entry.node);
        match known.and_then(|record| record.presence.as_ref()) {
            Some(present) if present.spec.name() != presence.spec.name() => {
                Err(Rejected::Collision)
            }
            Some(_) => Ok(()),
            None => {
                let removed = known.map_or(Incarnation::NONE, |record| record.removed);
                let joins = joined > removed.max(entry.removed);
                if joins && self.is_full() {
                    return Err(Rejected::Full);
                }
                Ok(())
            }
        }
    }

    fn put(
        &mut self,
        node: NodeId,
        removed: Incarnation,
        presence: Option<Presence>,
        now: Instant,
    ) {
        self.take(node);
        let hash = entry_hash(node, removed, presence.as_ref());
        self.digest.entries += 1;
        self.digest.hash ^= hash;
        match presence {
            Some(_) => self.members += 1,
            None => {
                self.removals.insert((now, node));
            }
        }
        let record = Record { removed, presence, hash, counted: true, learned: now };
        self.records.insert(node, record);
        while self.removals.len() > self.limits.removals {
            if let Some((_, oldest)) = self.removals.first().copied() {
                self.counters.crowded_out += 1;
                self.forget(oldest);
            }
        }
    }

    fn forget(&mut self, node: NodeId) {
        self.take(node);
    }

    fn take(&mut self, node: NodeId) {
        let Some(record) = self.records.remove(&node) else {
            return;
        };
        if record.counted {
            self.digest.entries -= 1;
            self.digest.hash ^= record.hash;
        }
        match record.presence {
            Some(_) => self.members -= 1,
            None => {
                self.removals.remove(&(record.learned, node));
            }
        }
    }
}

/// Two sets are equal when they know the same, whenever they learned it.
impl PartialEq for MemberSet {
    fn eq(&self, other: &Self) -> bool {
        self.records.len() == other.records.len() && self.entries().eq(other.entries())
    }
}

impl Eq for MemberSet {}

impl Record {
    const fn presence(&self) -> Option<&Presence> {
        self.presence.as_ref()
    }

    fn entry(&self, node: NodeId) -> Entry {
        Entry { node, removed: self.removed, presence: self.presence.clone() }
    }

    fn summary(&self, node: NodeId) -> SummaryEntry {
        let present = self.presence.as_ref();
        SummaryEntry {
            node,
            hash: self.hash,
            removed: self.removed,
            present: present.map_or(Incarnation::NONE, |presence| presence.incarnation),
        }
    }
}

/// Whether what an entry says can be true: the spec is that node's, and the stay began in a real
/// incarnation that is not after the present one.
#[must_use]
pub fn is_sound(entry: &Entry) -> bool {
    entry.presence.as_ref().is_none_or(|presence| {
        let joined = presence.joined;
        let known = joined != Incarnation::NONE && joined <= presence.incarnation;
        known && presence.spec.id() == entry.node
    })
}

/// The order of presences: a later stay beats an earlier one, then a later life, then, so that all
/// nodes agree whatever somebody makes up, the greater spec.
fn rank(presence: &Presence) -> (Incarnation, Incarnation, &NodeSpec) {
    (presence.joined, presence.incarnation, &presence.spec)
}

fn newest<'a>(one: Option<&'a Presence>, other: Option<&'a Presence>) -> Option<&'a Presence> {
    match (one, other) {
        (Some(one), Some(other)) if rank(one) >= rank(other) => Some(one),
        (Some(one), None) => Some(one),
        (_, other) => other,
    }
}

fn effect(before: Option<&Presence>, after: Option<&Presence>) -> Effect {
    match (before, after) {
        (None, Some(_)) => Effect::Joined { again: false },
        (Some(before), Some(after)) if before.incarnation != after.incarnation => {
            Effect::Joined { again: true }
        }
        (Some(_), None) => Effect::Left,
        (None, None) | (Some(_), Some(_)) => Effect::Grew,
    }
}

impl Hash for MemberSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.digest.hash);
        state.write_u32(self.digest.entries);
        state.write_usize(self.records.len());
    }
}
