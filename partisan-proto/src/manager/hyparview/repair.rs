//! Filling the active view: who is asked when a neighbour is missing.
//!
//! A loss is answered at once: whoever was named by the one that parted is asked first, then the
//! passive view in random order, a few at a time. A node that has half of its neighbours or more
//! asks few, since in a healthy overlay hardly anybody has room; it sends a walk that looks for
//! those who do, now and then and ever less often. One that lacks two, and has looked in vain, lets
//! itself be placed in the midst of a link, as a joiner: nobody else loses a neighbour by that. When
//! no walk leads to any, it asks with high priority, and whoever makes room for it names it to the
//! one that goes, which comes to the same. So does a node without any neighbour, which goes on to
//! its address book and to the contacts of its joins.
//!
//! Of those who joined in a crowd each knows others at random, nearly all of whom have all their
//! neighbours already. So it lets itself be placed in the midst of links at once, which brings two
//! neighbours for one question, and for a single one it sends a walk, which needs no dial.

use alloc::vec::Vec;
use core::hash::Hash;

use super::HyParView;
use super::passive::Known;
use super::peers::{Purpose, State};
use crate::context::Context;
use crate::error::CloseReason;
use crate::id::NodeId;
use crate::time::Instant;
use crate::timers::Timer;

/// The promotion interval is doubled at most so often.
const MOST_DOUBLINGS: u8 = 3;
/// In so many shuffle intervals others are heard of, if there are any.
const FEW_SHUFFLES: u32 = 6;
/// Two of those who were lost are not asked for exchanges within so many healing intervals.
const MERGE_PAUSE: u32 = 20;

/// A search for neighbours.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Search {
    /// Those to ask first, the best one last.
    wanted: Vec<Known>,
    /// Those that were asked in this search.
    tried: Vec<NodeId>,
    /// How many more may be asked in this search.
    budget: usize,
    /// This node joined in a crowd, and looks for its first places.
    pub(super) crowded: bool,
    /// How many searches in a row found nobody.
    pub(super) fruitless: u8,
}

impl HyParView {
    /// How many neighbours are missing and not yet being asked.
    fn missing(&self) -> usize {
        let sought = self.brings() * self.peers.in_pursuit(Purpose::Fill);
        let have = self.peers.active().count() + sought + self.promised();
        self.config.active_size.saturating_sub(have)
    }

    /// How many neighbours a node that is asked is expected to bring.
    const fn brings(&self) -> usize {
        if self.search.crowded { 2 } else { 1 }
    }

    /// Whether a single neighbour is missing of one that joined in a crowd.
    fn leaves_it_to_a_walk(&self) -> bool {
        let alone = self.is_isolated() && self.peers.in_pursuit(Purpose::Fill) == 0;
        self.search.crowded && self.missing() < self.brings() && !alone
    }

    pub(super) fn is_isolated(&self) -> bool {
        self.peers.active().next().is_none()
    }

    /// Whether there is a place for somebody, and another for whom that one parts with.
    pub(super) fn lacks_two(&self, cx: &Context<'_>) -> bool {
        self.fits(&cx.me.spec, self.pledged() + 1)
    }

    /// Whether somebody may be asked to make room: nobody else will have room for one of a crowd;
    /// or walks have been sent in vain. A few of those who joined at once may have each other alone
    /// for neighbours, when no walk leads to the others.
    pub(super) fn may_split(&self, cx: &Context<'_>) -> bool {
        if !self.search.crowded {
            return self.is_isolated() || (self.search.fruitless > 2 && self.lacks_two(cx));
        }
        let expected = self.brings() * self.peers.asked().count() + self.promised();
        (self.is_isolated() && expected == 0) || self.fits(&cx.me.spec, expected + 1)
    }

    /// Whether only neighbours have been heard of by shuffles for long, though others are known:
    /// all neighbours have each other and nobody else.
    pub(super) fn is_closed(&self, now: Instant) -> bool {
        let long = self.config.shuffle_interval.saturating_mul(FEW_SHUFFLES);
        let complete = self.peers.active().count() >= self.config.active_size;
        complete && now.since(self.heard_of_others) >= long
    }

    /// Asks somebody else for an exchange of neighbours, if this node and its neighbours are cut
    /// off from all others.
    pub(super) fn break_out(&mut self, cx: &mut Context<'_>) {
        if self.is_closed(cx.now) && self.may_merge(cx.now) {
            let eligible = |known: &Known| self.is_free(known.node);
            let mut random = self.random.clone();
            let picked = self.passive.pick(&mut random, eligible).cloned();
            self.random = random;
            if let Some(known) = picked {
                self.seek(cx, known, Purpose::Merge);
            }
        }
    }

    /// Puts somebody first in the search for neighbours.
    pub(super) fn prefer(&mut self, known: Known) {
        self.search.wanted.retain(|other| other.node != known.node);
        if self.search.wanted.len() < self.config.active_size {
            self.search.wanted.push(known);
        }
    }

    /// Begins a search: a neighbour was lost, or the time has come.
    pub(super) fn look_anew(&mut self, cx: &mut Context<'_>) {
        self.search.fruitless = 0;
        self.begin_search();
        self.refill(cx);
    }

    /// As [`HyParView::look_anew`], after a neighbour has parted: that one has no room.
    pub(super) fn look_elsewhere(&mut self, cx: &mut Context<'_>, parted: NodeId) {
        self.search.fruitless = 0;
        self.begin_search();
        self.search.tried.push(parted);
        self.refill(cx);
    }

    /// As [`HyParView::look_anew`], after the session with a neighbour ended. Who ended it on purpose
    /// is not asked again in this search; nor is who was found in the present one and is lost
    /// already, else two nodes that cannot stay together would be busy with nothing else.
    pub(super) fn look_for_another(
        &mut self,
        cx: &mut Context<'_>,
        lost: NodeId,
        reason: CloseReason,
    ) {
        if self.search.tried.contains(&lost) {
            self.refill(cx);
        } else if reason.is_on_purpose() {
            self.look_elsewhere(cx, lost);
        } else {
            self.look_anew(cx);
        }
    }

    fn begin_search(&mut self) {
        self.search.tried.clear();
        let few = 2 * self.peers.active().count() < self.config.active_size;
        let preferred = self.search.wanted.len();
        self.search.budget = preferred
            + match (self.is_isolated(), few) {
                (true, _) => self.passive.len() + self.book.len(),
                (false, true) => self.passive.len(),
                (false, false) => self.config.parallel_requests,
            };
    }

    /// Asks so many that everything missing could be found, but no more at a time than allowed.
    pub(super) fn refill(&mut self, cx: &mut Context<'_>) {
        if cx.me.stopping {
            return;
        }
        while self.missing() > 0
            && self.peers.in_pursuit(Purpose::Fill) < self.config.parallel_requests
            && let Some(known) = self.next_candidate()
        {
            self.search.tried.push(known.node);
            self.seek(cx, known, Purpose::Fill);
        }
    }

    fn next_candidate(&mut self) -> Option<Known> {
        while self.search.budget > 0 {
            self.search.budget -= 1;
            let Some(known) = self.search.wanted.pop() else {
                if self.leaves_it_to_a_walk() {
                    return None;
                }
                let isolated = self.is_isolated();
                let pursued = self.peers.in_pursuit(Purpose::Fill) + self.promised();
                let eligible = |known: &Known| {
                    !self.search.tried.contains(&known.node)
                        && self.is_free(known.node)
                        && self.fits(&known.spec, pursued)
                };
                let mut random = self.random.clone();
                let picked = self.passive.pick(&mut random, eligible).cloned();
                self.random = random;
                return picked.or_else(|| if isolated { self.book.take_best() } else { None });
            };
            let eligible = self.is_free(known.node) && self.has_room(&known.spec);
            if eligible && !self.removals.covers(known.instance()) {
                return Some(known);
            }
        }
        None
    }

    /// Whether nothing is under way between this node and that one.
    fn is_free(&self, node: NodeId) -> bool {
        matches!(
            self.peers.state(node),
            None | Some(State::Stranger | State::Draining | State::Dialled(Purpose::Check))
        )
    }

    /// The time has come to look for more neighbours.
    pub(super) fn promote(&mut self, cx: &mut Context<'_>) {
        // The contact said that others would come, and nobody did.
        let me = cx.me.instance.node;
        if self.joining.is_through(me) {
            self.joining.retry(cx, me);
        }
        if self.is_isolated() && self.search.fruitless > 0 {
            self.recall(cx);
        }
        let fruitless = self.search.fruitless.saturating_add(1).min(MOST_DOUBLINGS);
        self.begin_search();
        self.search.fruitless = fruitless;
        self.search.crowded &= fruitless < 2;
        if !self.is_isolated() && self.missing() > 0 && !self.passive.is_empty() {
            self.look_around(cx);
        }
        self.refill(cx);
    }

    /// Sets the timers that the state asks for, and no others.
    pub(super) fn set_timers(&mut self, cx: &mut Context<'_>) {
        let complete = self.peers.active().count() >= self.config.active_size;
        let hope = if self.is_isolated() {
            self.passive.len() + self.book.len() + self.contacts.len() + self.joining.len()
        } else {
            self.passive.len()
        };
        let waits = self.joining.is_through(cx.me.instance.node);
        self.search.crowded &= !complete;
        if (complete || hope == 0) && !waits {
            cx.timers.cancel(Timer::Promote);
            self.search.wanted = Vec::new();
            if complete {
                self.search.tried = Vec::new();
            }
        } else if cx.timers.due(Timer::Promote).is_none() {
            let interval = self.config.promotion_interval;
            let interval = interval.saturating_mul(1 << u32::from(self.search.fruitless));
            cx.set_timer(Timer::Promote, interval / 2 + self.random.up_to(interval));
        }
        if self.book.lost() == 0 {
            cx.timers.cancel(Timer::Reconcile);
        } else if cx.timers.due(Timer::Reconcile).is_none() {
            let interval = self.config.healing_interval;
            cx.set_timer(Timer::Reconcile, interval / 2 + self.random.up_to(interval));
        }
    }

    /// Tries one of those that could not be reached: perhaps a partition has healed.
    pub(super) fn reconcile(&mut self, cx: &mut Context<'_>) {
        if let Some(known) = self.book.take_lost(&mut self.random) {
            match self.is_free(known.node) {
                true => self.seek(cx, known, Purpose::Merge),
                false => self.book.remember(known),
            }
        }
    }

    /// Whether a neighbour may be exchanged for one that was lost. Once: those who were lost
    /// together are found together, and one link is enough.
    pub(super) fn may_merge(&self, now: Instant) -> bool {
        let pause = self.config.healing_interval.saturating_mul(MERGE_PAUSE);
        self.last_merge.is_none_or(|last| now.since(last) >= pause)
    }
}
