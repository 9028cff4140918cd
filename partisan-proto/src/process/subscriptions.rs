//! Which processes want to be told of all nodes that come and go.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{NodeFilter, Serial};
use crate::id::Tag;
use crate::spec::NodeSpec;

/// The subscriptions, by process and tag.
#[derive(Debug, Default, Hash)]
pub(super) struct Subscriptions {
    by_owner: BTreeMap<(Serial, Option<Tag>), ()>,
}

impl Subscriptions {
    /// Adds one. `None` when there are `limit` already, `Some(false)` when it is there already.
    pub(super) fn add(&mut self, owner: Serial, filter: &NodeFilter, limit: usize) -> Option<bool> {
        let key = (owner, filter.tag.clone());
        if self.by_owner.contains_key(&key) {
            return Some(false);
        }
        if self.by_owner.len() >= limit {
            return None;
        }
        self.by_owner.insert(key, ());
        Some(true)
    }

    pub(super) fn remove(&mut self, owner: Serial, filter: &NodeFilter) {
        self.by_owner.remove(&(owner, filter.tag.clone()));
    }

    /// Ends those of a process that ended.
    pub(super) fn forget(&mut self, owner: Serial) {
        let last = self.by_owner.range((owner, None)..);
        let of_owner = last.take_while(|((other, _), ())| *other == owner);
        let gone: Vec<_> = of_owner.map(|(key, ())| key.clone()).collect();
        for key in gone {
            self.by_owner.remove(&key);
        }
    }

    /// Whose subscriptions are about a node, once for each.
    pub(super) fn about(&self, spec: &NodeSpec) -> Vec<Serial> {
        let about = |tag: &Option<Tag>| tag.as_ref().is_none_or(|tag| spec.tags().contains(tag));
        let keys = self.by_owner.keys();
        keys.filter(|(_, tag)| about(tag)).map(|(owner, _)| *owner).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.by_owner.len()
    }
}
