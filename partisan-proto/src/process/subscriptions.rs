//! Which processes want to be told of all nodes that come and go.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::{NodeFilter, Serial};
use crate::id::{Instance, Tag};
use crate::spec::NodeSpec;

/// The subscriptions, by process and tag.
#[derive(Debug, Default, Hash)]
pub(super) struct Subscriptions {
    by_owner: BTreeSet<(Serial, Option<Tag>)>,
    /// The sessions that each subscriber knows of: it is told of the end of those alone, and of the
    /// beginning of none of those.
    known: BTreeSet<(Serial, Instance)>,
}

impl Subscriptions {
    /// Adds one. `None` when there are `limit` already, `Some(false)` when it is there already.
    pub(super) fn add(&mut self, owner: Serial, filter: &NodeFilter, limit: usize) -> Option<bool> {
        let key = (owner, filter.tag.clone());
        if self.by_owner.contains(&key) {
            return Some(false);
        }
        if self.by_owner.len() >= limit {
            return None;
        }
        self.by_owner.insert(key);
        Some(true)
    }

    pub(super) fn remove(&mut self, owner: Serial, filter: &NodeFilter) {
        self.by_owner.remove(&(owner, filter.tag.clone()));
        if self.of(owner).next().is_none() {
            self.forget(owner);
        }
    }

    /// Ends those of a process that ended.
    pub(super) fn forget(&mut self, owner: Serial) {
        let gone: Vec<_> = self.of(owner).cloned().collect();
        for key in gone {
            self.by_owner.remove(&key);
        }
        self.known.retain(|(other, _)| *other != owner);
    }

    fn of(&self, owner: Serial) -> impl Iterator<Item = &(Serial, Option<Tag>)> {
        self.by_owner.range((owner, None)..).take_while(move |(other, _)| *other == owner)
    }

    /// A subscriber knows of a session from now on; says whether it did not.
    pub(super) fn know(&mut self, owner: Serial, instance: Instance) -> bool {
        self.known.insert((owner, instance))
    }

    /// A session began, or is told of again: who learns of it now, once each.
    pub(super) fn up(&mut self, instance: Instance, spec: &NodeSpec) -> Vec<Serial> {
        let mut about = self.about(spec);
        about.retain(|owner| self.known.insert((*owner, instance)));
        about
    }

    /// A session ended: who knew of it and is to be told.
    pub(super) fn down(&mut self, instance: Instance, spec: &NodeSpec) -> Vec<Serial> {
        let mut about = self.about(spec);
        about.retain(|owner| self.known.contains(&(*owner, instance)));
        about.dedup();
        self.known.retain(|(_, known)| *known != instance);
        about
    }

    /// Whose subscriptions are about a node.
    fn about(&self, spec: &NodeSpec) -> Vec<Serial> {
        let theirs = self.by_owner.iter().filter(|(_, tag)| is_about(tag.as_ref(), spec));
        theirs.map(|(owner, _)| *owner).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.by_owner.len()
    }
}

/// Whether a subscription for this tag, or for all nodes, is about a node.
pub(super) fn is_about(tag: Option<&Tag>, spec: &NodeSpec) -> bool {
    tag.is_none_or(|tag| spec.tags().contains(tag))
}
