//! What is counted of the views' life.

use super::HyParView;
use crate::manager::ViewCounters;
use crate::time::Instant;

/// The counters, and what is needed to keep them.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Tally {
    pub(super) counters: ViewCounters,
    /// Since when neighbours are missing that were lost, and how many there were before.
    lacking: Option<(Instant, usize)>,
}

impl HyParView {
    /// A neighbour is about to be lost.
    pub(super) fn count_loss(&mut self, now: Instant) {
        self.tally.counters.lost += 1;
        let before = self.peers.active().count();
        self.tally.lacking.get_or_insert((now, before));
    }

    /// A neighbour was gained.
    pub(super) fn count_gain(&mut self, now: Instant) {
        let Tally { counters, lacking } = &mut self.tally;
        counters.gained += 1;
        if let Some((since, before)) = *lacking
            && self.peers.active().count() >= before
        {
            counters.refills += 1;
            counters.refill_time += now.since(since);
            *lacking = None;
        }
    }

    /// A walk with so many hops left ended here.
    pub(super) fn count_walk(&mut self, left: u8) {
        let made = (2 * self.config.active_walk).saturating_sub(left) + 1;
        self.tally.counters.walks += 1;
        self.tally.counters.walk_hops += u64::from(made);
    }
}
