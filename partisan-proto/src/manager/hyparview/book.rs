//! The address book: nodes that fell out of the views, for times when no other can be reached.

use alloc::collections::VecDeque;
use core::hash::Hash;

use super::passive::Known;
use crate::id::{Incarnation, NodeId};
use crate::random::Random;

/// Remembered nodes: those that may be alive first, the newest of them first; then those that could
/// not be reached, the last one first. Neither may crowd the other out.
#[derive(Clone, Debug, Hash)]
pub(super) struct Book {
    entries: VecDeque<Known>,
    /// How many of them, at the end, could not be reached.
    lost: usize,
    most: usize,
}

impl Book {
    pub(super) const fn new(most: usize) -> Self {
        Self { entries: VecDeque::new(), lost: 0, most }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Known> {
        self.entries.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many could not be reached.
    pub(super) const fn lost(&self) -> usize {
        self.lost
    }

    fn fresh(&self) -> usize {
        self.entries.len() - self.lost
    }

    fn place(&self, node: NodeId) -> Option<usize> {
        self.entries.iter().position(|known| known.node == node)
    }

    /// Makes room: a quarter of it is for those that could not be reached, if there are so many.
    fn make_room(&mut self) {
        while self.entries.len() >= self.most && !self.entries.is_empty() {
            let place = match self.lost > self.most / 4 || self.fresh() == 0 {
                true => self.entries.len() - 1,
                false => self.fresh() - 1,
            };
            self.take(place);
        }
        if self.entries.len() == self.entries.capacity() {
            self.entries.reserve_exact(8);
        }
    }

    /// Remembers a node that may be alive; hearsay of one that could not be reached counts for
    /// nothing.
    pub(super) fn remember(&mut self, known: Known) {
        if self.most == 0 {
            return;
        }
        match self.place(known.node) {
            Some(place) if place >= self.fresh() => {
                if self.entries[place].incarnation >= known.incarnation {
                    return;
                }
                self.take(place);
            }
            Some(place) => drop(self.take(place)),
            None => {}
        }
        self.make_room();
        self.entries.push_front(known);
    }

    /// Remembers a node that could not be reached.
    pub(super) fn lose(&mut self, known: Known) {
        self.forget(known.node);
        if self.most > 0 {
            self.make_room();
            self.entries.insert(self.fresh(), known);
            self.lost += 1;
        }
    }

    /// Forgets a node.
    pub(super) fn forget(&mut self, node: NodeId) -> Option<Known> {
        self.place(node).and_then(|place| self.take(place))
    }

    /// A life of a node was heard of: if an earlier one could not be reached, that is why.
    pub(super) fn heard_of(&mut self, node: NodeId, incarnation: Incarnation) {
        let fresh = self.fresh();
        let earlier = |known: &Known| known.node == node && known.incarnation < incarnation;
        if let Some(place) = self.entries.range(fresh..).position(earlier) {
            self.take(fresh + place);
        }
    }

    /// What is known of a node.
    pub(super) fn get(&self, node: NodeId) -> Option<&Known> {
        self.place(node).map(|place| &self.entries[place])
    }

    /// Takes out the best one to try.
    pub(super) fn take_best(&mut self) -> Option<Known> {
        let last = self.entries.len().checked_sub(1)?;
        self.take(if self.fresh() > 0 { 0 } else { last })
    }

    /// Takes out any of those that could not be reached.
    pub(super) fn take_lost(&mut self, random: &mut Random) -> Option<Known> {
        let place = self.fresh() + random.below(self.lost);
        self.take(place)
    }

    fn take(&mut self, place: usize) -> Option<Known> {
        let lost = place >= self.fresh();
        let known = self.entries.remove(place)?;
        self.lost -= usize::from(lost);
        Some(known)
    }

    pub(super) fn clear(&mut self) {
        (self.entries, self.lost) = (VecDeque::new(), 0);
    }
}
