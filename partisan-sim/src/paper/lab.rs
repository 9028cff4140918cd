//! A cluster to experiment with.

use std::sync::Arc;

use partisan_proto::wire::{ControlMessage, Frame};
use partisan_proto::{Config, Duration, Instant};

use super::experiment::Watch;
use super::findings::Findings;
use crate::draw::{Label, Stream};
use crate::latency::Latency;
use crate::measure::broadcast::Tally;
use crate::measure::{Flood, Overlay, Shape};
use crate::network::{Death, NetworkOptions};
use crate::rules::Verdict;
use crate::sparse::Sparse;
use crate::workload::Bootstrap;
use crate::world::{Wire, World, WorldOptions};

/// A cluster to experiment with: no checkers, frames not encoded, nothing recorded.
#[derive(Debug)]
pub(super) struct Lab {
    /// The cluster.
    pub(super) world: World,
    pub(super) seed: u64,
    /// How long a cycle of the papers is.
    pub(super) cycle: Duration,
    stream: Stream,
    watch: Watch,
    /// How much time the experiment takes in all, for those who watch.
    planned: Duration,
}

impl Lab {
    pub(super) fn new(
        seed: u64,
        nodes: usize,
        config: Config,
        latency: Latency,
        cycle: Duration,
    ) -> Self {
        let mut world = World::new(WorldOptions {
            seed,
            network: NetworkOptions { latency, ..NetworkOptions::default() },
            wire: Wire::Typed,
            config: Arc::new(config),
            record: false,
        });
        world.add_nodes(nodes);
        Self::of(seed, world, cycle)
    }

    /// A cluster whose nodes have fixed random peers, and put nobody in the place of one that dies.
    pub(super) fn fixed(seed: u64, nodes: usize, cycle: Duration) -> Self {
        let sparse = Sparse { seed, nodes, span: Duration::ZERO, memory: None };
        Self::of(seed, sparse.world(), cycle)
    }

    fn of(seed: u64, world: World, cycle: Duration) -> Self {
        let stream = Stream::new(seed, Label::Story, 1);
        Self { world, seed, cycle, stream, watch: Watch::default(), planned: Duration::ZERO }
    }

    /// Tells those who watch the experiment how much of this time has passed.
    pub(super) fn watched(mut self, findings: &Findings, planned: Duration) -> Self {
        self.watch = findings.watch.clone();
        self.planned = planned;
        self
    }

    /// Lets so much time pass.
    pub(super) fn run_for(&mut self, span: Duration) {
        let end = self.world.now() + span;
        while self.world.now() < end {
            let left = end.since(self.world.now());
            self.world.run_for(left.min(Duration::from_secs(1)));
            let passed = self.world.now().as_secs_f64();
            self.watch.tell(passed / self.planned.as_secs_f64().max(passed));
        }
    }

    /// Forms the cluster; the joins follow each other after `pause`.
    pub(super) fn join(&mut self, bootstrap: Bootstrap, pause: Duration) {
        let nodes = self.world.hosts().len();
        let plan = bootstrap.plan(self.seed, nodes, pause);
        let last = plan.last().map_or(Instant::ZERO, |(at, _)| *at);
        self.world.plan_work(plan);
        self.run_for(last.since(self.world.now()));
    }

    /// Lets so many cycles pass.
    pub(super) fn cycles(&mut self, count: u32) {
        self.run_for(self.cycle * count);
    }

    /// Kills this percentage of the nodes at once, drawn; the systems of their peers are told.
    pub(super) fn kill(&mut self, percent: usize) {
        let live: Vec<_> = self.world.live().collect();
        let mut order = live.clone();
        let count = live.len() * percent / 100;
        for i in 0..count {
            let other = i + self.stream.below(order.len() - i);
            order.swap(i, other);
        }
        for node in &order[..count] {
            self.world.crash_as(*node, Death::Process);
        }
    }

    /// From now on no message of this kind arrives: no cyclic operations, where it is theirs.
    pub(super) fn drop_messages(&mut self, kind: fn(&ControlMessage) -> bool) {
        self.world.rule(move |sent| match sent.frame {
            Frame::Control(message) if kind(message) => Verdict::Drop,
            _ => Verdict::Pass,
        });
    }

    /// A flood over the overlay as it is now, from a live node that is drawn.
    pub(super) fn flood(&mut self) -> Flood {
        let overlay = Overlay::of(&self.world);
        let from = self.stream.below(overlay.len());
        overlay.flood(from)
    }

    /// The mean share of the live nodes that so many floods reach, and the mean of their last hops.
    pub(super) fn floods(&mut self, count: usize) -> (f64, f64) {
        let overlay = Overlay::of(&self.world);
        let (mut reached, mut hops) = (0.0, 0.0);
        for _ in 0..count {
            let flood = overlay.flood(self.stream.below(overlay.len()));
            reached += flood.reliability();
            hops += f64::from(flood.last_hop);
        }
        (reached / count as f64, hops / count as f64)
    }

    /// Broadcasts a message from a live node that is drawn, so many times, a second apart; says the
    /// mean share of the live nodes that were handed each, those who sent included, ten seconds
    /// after the last.
    pub(super) fn broadcasts(&mut self, count: u32) -> f64 {
        let tally = Tally::default();
        self.world.check(tally.clone());
        let live: Vec<_> = self.world.live().collect();
        for _ in 0..count {
            let from = live[self.stream.below(live.len())];
            self.world.broadcast(from, "a message to all");
            self.run_for(Duration::from_secs(1));
        }
        self.run_for(Duration::from_secs(10));
        let reached: u64 = tally.take().values().map(|spread| spread.deliveries).sum();
        reached as f64 / (f64::from(count) * live.len() as f64)
    }

    /// A live node, drawn.
    pub(super) fn draw_live(&mut self) -> usize {
        let live: Vec<_> = self.world.live().collect();
        live[self.stream.below(live.len())]
    }

    /// What is drawn for the experiment.
    pub(super) const fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// The share of the entries of the living's passive views that are dead.
    pub(super) fn dead_in_reserve(&self) -> f64 {
        let hosts = self.world.hosts();
        let nodes = hosts.iter().filter_map(|host| host.node());
        let entries = nodes.flat_map(|node| node.views().passive);
        let lives = entries.map(|entry| {
            let number = self.world.number(entry);
            number.is_some_and(|number| hosts[number].node().is_some())
        });
        let (mut dead, mut all) = (0, 0);
        lives.for_each(|lives| {
            all += 1;
            dead += usize::from(!lives);
        });
        dead as f64 / f64::from(all.max(1))
    }

    /// The overlay in numbers.
    pub(super) fn shape(&self) -> Shape {
        Shape::of(&Overlay::of(&self.world), self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lab(nodes: usize) -> Lab {
        Lab::new(1, nodes, Config::default(), Latency::LAN, Duration::from_secs(10))
    }

    #[test]
    fn so_many_are_killed_and_never_the_same_twice() {
        let mut lab = lab(30);
        lab.join(Bootstrap::Contact, Duration::from_millis(10));
        lab.cycles(2);
        assert_eq!(lab.shape().components, 1);
        lab.kill(50);
        assert_eq!(lab.world.live().count(), 15);
        let (reached, hops) = lab.floods(3);
        assert!(reached >= 1.0 && hops <= 1.0, "a full mesh loses nobody");
        lab.kill(100);
        assert_eq!(lab.world.live().count(), 0);
    }
}
