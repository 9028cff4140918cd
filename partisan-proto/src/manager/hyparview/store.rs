//! What is stored, so that a node that starts again finds its cluster without a contact.

use alloc::vec::Vec;

use super::HyParView;
use super::passive::Known;
use super::peers::Peer;
use crate::action::Action;
use crate::context::{Context, Me};
use crate::error::{ConfigError, SnapshotError};
use crate::id::Incarnation;
use crate::snapshot::Snapshot;
use crate::timers::Timer;
use crate::wire::{Entry, Presence};

impl HyParView {
    /// Takes up what was stored: former neighbours first, then the passive view, then the others.
    pub(super) fn recollect(&mut self, me: &Me, snapshot: Snapshot) -> Result<(), ConfigError> {
        if snapshot.name != *me.spec.name() {
            let found = snapshot.name.as_str().into();
            return Err(SnapshotError::OtherNode { found }.into());
        }
        self.stored = snapshot.incarnation;
        self.joined = snapshot.joined;
        for Entry { node, removed, presence } in snapshot.entries {
            if removed != Incarnation::NONE {
                self.removals.note(node, removed, Default::default());
            }
            let Some(Presence { incarnation, spec, .. }) = presence else {
                continue;
            };
            let known = Known { node, incarnation, spec };
            if known.spec.id() != node {
                continue;
            }
            self.stored_alone = false;
            if self.passive.len() < self.config.passive_size {
                self.reserve(known);
            } else if node != self.me && !self.removals.covers(known.instance()) {
                self.book.remember(known);
            }
        }
        Ok(())
    }

    /// Stores what changed, unless that was done within `store_interval`: then later. The first
    /// neighbour is stored at once, or a newcomer that dies soon would come back alone.
    pub(super) fn save_later(&mut self, cx: &mut Context<'_>) {
        let first = self.stored_alone && self.peers.active().next().is_some();
        if self.unsaved && (first || cx.timers.due(Timer::Store).is_none()) {
            self.save(cx);
        }
    }

    /// Stores what is to be stored.
    pub(super) fn save(&mut self, cx: &mut Context<'_>) {
        let never = self.config.store_interval.is_zero();
        if !core::mem::take(&mut self.unsaved) || never {
            return;
        }
        let removals = self.removals.iter().filter(|(_, upto)| *upto != Incarnation::NONE);
        let removals = removals.map(|(node, removed)| Entry { node, removed, presence: None });
        let active = self.peers.active().map(|peer: &Peer| Known::from(peer.introduction()));
        let others = self.passive.iter().chain(self.book.iter()).cloned();
        let present = |known: Known| {
            let Known { node, incarnation, spec } = known;
            let presence = Presence { incarnation, joined: incarnation, spec };
            Entry { node, removed: Incarnation::NONE, presence: Some(presence) }
        };
        let entries: Vec<Entry> = removals.chain(active.chain(others).map(present)).collect();
        self.stored_alone = entries.iter().all(|entry| entry.presence.is_none());
        let snapshot = Snapshot {
            name: cx.me.spec.name().clone(),
            incarnation: cx.me.instance.incarnation,
            joined: self.joined.min(cx.me.instance.incarnation),
            entries,
        };
        cx.act(Action::Persist(snapshot.encode()));
        cx.set_timer(Timer::Store, self.config.store_interval);
    }
}
