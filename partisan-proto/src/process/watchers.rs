//! Who watches the processes of this node: the targets' side of monitors.
//!
//! News of an end goes by the lane that the watcher chose, in its place among the messages there. A
//! lane may be lost while the session goes on; so the news is kept until the watcher says that it
//! has seen it, and told on the membership channel if the lane is lost. A full lane is waited for.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::{ExitReason, Lane, MonitorId, Serial};
use crate::id::{ConnectionId, NodeId};

/// A monitor as its target's node knows it: whose, and which.
pub(super) type Watcher = (NodeId, MonitorId);

/// The monitors on this node's processes, of its own processes and of peers'.
#[derive(Debug, Default, Hash)]
pub(super) struct Watchers {
    monitors: BTreeMap<Watcher, (Serial, Lane)>,
    by_target: BTreeSet<(Serial, Watcher)>,
    /// What was told by a lane, or waits for room there, and was not seen yet.
    untold: BTreeMap<Watcher, News>,
    /// How many of both kinds each node holds.
    counts: BTreeMap<NodeId, usize>,
}

/// That a watched process ended, on its way by a lane.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct News {
    pub(super) reason: ExitReason,
    pub(super) lane: Lane,
    /// Where it was sent; `None` while it waits for room.
    pub(super) sent: Option<ConnectionId>,
}

impl Watchers {
    /// Adds a monitor, unless its node holds `limit` already. Says whether it did; one that is
    /// known already is left as it is.
    pub(super) fn add(
        &mut self,
        watcher: Watcher,
        target: Serial,
        lane: Lane,
        limit: usize,
    ) -> bool {
        if self.monitors.contains_key(&watcher) || self.untold.contains_key(&watcher) {
            return true;
        }
        let count = self.counts.entry(watcher.0).or_default();
        if *count >= limit {
            return false;
        }
        *count += 1;
        self.monitors.insert(watcher, (target, lane));
        self.by_target.insert((target, watcher));
        true
    }

    fn uncount(&mut self, node: NodeId) {
        if let Some(count) = self.counts.get_mut(&node) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&node);
            }
        }
    }

    /// Ends a monitor, as its watcher wishes, or forgets news that it has seen.
    pub(super) fn remove(&mut self, watcher: Watcher) {
        if let Some((target, _)) = self.monitors.remove(&watcher) {
            self.by_target.remove(&(target, watcher));
            self.uncount(watcher.0);
        }
        if self.untold.remove(&watcher).is_some() {
            self.uncount(watcher.0);
        }
    }

    /// Ends all monitors on a process that ended; says whom to tell.
    pub(super) fn take_target(&mut self, target: Serial) -> Vec<(Watcher, Lane)> {
        let first = MonitorId { owner: Serial(0), number: 0 };
        let range = (target, (NodeId::from_u64(0), first))..;
        let of_target = self.by_target.range(range).take_while(|(serial, _)| *serial == target);
        let watchers: Vec<Watcher> = of_target.map(|(_, watcher)| *watcher).collect();
        let mut taken = Vec::with_capacity(watchers.len());
        for watcher in watchers {
            self.by_target.remove(&(target, watcher));
            if let Some((_, lane)) = self.monitors.remove(&watcher) {
                self.uncount(watcher.0);
                taken.push((watcher, lane));
            }
        }
        taken
    }

    /// Keeps news until it is seen.
    pub(super) fn keep(&mut self, watcher: Watcher, news: News) {
        if self.untold.insert(watcher, news).is_none() {
            *self.counts.entry(watcher.0).or_default() += 1;
        }
    }

    /// Takes the news that went by a lane that is lost.
    pub(super) fn take_sent(&mut self, node: NodeId, by: ConnectionId) -> Vec<(Watcher, News)> {
        self.take_news(node, |news| news.sent == Some(by))
    }

    /// Takes the news to a node that waits for room.
    pub(super) fn take_waiting(&mut self, node: NodeId) -> Vec<(Watcher, News)> {
        self.take_news(node, |news| news.sent.is_none())
    }

    fn take_news(&mut self, node: NodeId, which: impl Fn(&News) -> bool) -> Vec<(Watcher, News)> {
        let of_node = self.untold.range(of(node));
        let found = of_node.filter(|(_, news)| which(news)).map(|(watcher, _)| *watcher);
        let found: Vec<Watcher> = found.collect();
        let mut taken = Vec::with_capacity(found.len());
        for watcher in found {
            if let Some(news) = self.untold.remove(&watcher) {
                self.uncount(node);
                taken.push((watcher, news));
            }
        }
        taken
    }

    /// Forgets everything about a node.
    pub(super) fn forget(&mut self, node: NodeId) {
        let monitors = self.monitors.range(of(node)).map(|(watcher, _)| *watcher);
        let news = self.untold.range(of(node)).map(|(watcher, _)| *watcher);
        let gone: Vec<Watcher> = monitors.chain(news).collect();
        gone.into_iter().for_each(|watcher| self.remove(watcher));
    }

    /// How many monitors are on a process.
    pub(super) fn on(&self, target: Serial) -> usize {
        let first = MonitorId { owner: Serial(0), number: 0 };
        let range = (target, (NodeId::from_u64(0), first))..;
        self.by_target.range(range).take_while(|(serial, _)| *serial == target).count()
    }

    pub(super) fn len(&self) -> usize {
        self.monitors.len() + self.untold.len()
    }
}

fn of(node: NodeId) -> core::ops::RangeInclusive<Watcher> {
    let first = MonitorId { owner: Serial(0), number: 0 };
    let last = MonitorId { owner: Serial(u64::MAX), number: u64::MAX };
    (node, first)..=(node, last)
}
