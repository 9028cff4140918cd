//! What an overlay is like over time: samples and snapshots of a running world.

use partisan_proto::{Duration, Instant};
use serde::Serialize;

use super::overlay::Overlay;
use crate::world::World;

/// The most links that a recorder keeps in its snapshots, all taken together.
const MOST_LINKS: usize = 400_000;

/// A world at one moment, in numbers that are cheap to count.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sample {
    /// When, in seconds.
    pub at: f64,
    /// How many nodes live.
    pub live: usize,
    /// How many components they form.
    pub components: usize,
    /// How many live nodes are not in the largest of them.
    pub cut_off: usize,
    /// How many neighbours a node has: the fewest, the mean, the most.
    pub degrees: (usize, f64, usize),
    /// The share of links that lead back as well.
    pub symmetric: f64,
    /// The share of the named neighbours that live.
    pub accuracy: f64,
    /// How many peers nodes know besides their neighbours, on average, and the share of them that
    /// live; `None` where the manager keeps no such view.
    pub passive: Option<(f64, f64)>,
    /// Frames sent since the sample before, by live node and second.
    pub frames: f64,
}

/// An overlay at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When, in seconds.
    pub at: f64,
    /// The overlay.
    pub overlay: Overlay,
}

/// Watches a world: takes a sample every so often, and keeps the overlay.
#[derive(Clone, Debug)]
pub struct Recorder {
    every: Duration,
    keep: bool,
    frames: u64,
    links: usize,
    /// What was counted, by time.
    pub samples: Vec<Sample>,
    /// The overlays, by time; every other one, or fewer, where all would be too many.
    pub snapshots: Vec<Snapshot>,
    stride: usize,
}

impl Recorder {
    /// A recorder that takes a sample so often, and keeps overlays if told to.
    #[must_use]
    pub const fn new(every: Duration, keep: bool) -> Self {
        Self {
            every,
            keep,
            frames: 0,
            links: 0,
            samples: Vec::new(),
            snapshots: Vec::new(),
            stride: 1,
        }
    }

    /// Lets time pass until `until`, taking samples on the way and telling `progress` the time.
    /// Stops at the first violation.
    pub fn run(&mut self, world: &mut World, until: Instant, progress: &mut dyn FnMut(Instant)) {
        if self.samples.is_empty() {
            self.take(world);
        }
        while world.now() < until && world.violations().is_empty() {
            let next = (world.now() + self.every).min(until);
            world.run_for(next.since(world.now()));
            self.take(world);
            progress(world.now());
        }
    }

    /// Takes a sample now.
    pub fn take(&mut self, world: &World) {
        let overlay = Overlay::of(world);
        let at = world.now().as_secs_f64();
        let mut sample = Sample::of(world, &overlay);
        let span = self.samples.last().map_or(0.0, |last| at - last.at);
        let sent = world.frames() - self.frames;
        sample.frames = sent as f64 / (span.max(1e-9) * overlay.len().max(1) as f64);
        if span <= 0.0 {
            sample.frames = 0.0;
        }
        self.frames = world.frames();
        self.samples.push(sample);
        if self.keep && (self.samples.len() - 1).is_multiple_of(self.stride) {
            self.links += overlay.link_count();
            self.snapshots.push(Snapshot { at, overlay });
            self.thin_out();
        }
    }

    /// Drops every other snapshot while they hold too many links.
    fn thin_out(&mut self) {
        while self.links > MOST_LINKS && self.snapshots.len() > 2 {
            let mut keep = false;
            self.snapshots.retain(|_| {
                keep = !keep;
                keep
            });
            self.stride *= 2;
            self.links = self.snapshots.iter().map(|kept| kept.overlay.link_count()).sum();
        }
    }
}

impl Sample {
    /// Of a world and its overlay; the frames are the recorder's to count.
    #[must_use]
    pub fn of(world: &World, overlay: &Overlay) -> Self {
        let components = overlay.components();
        let degrees = overlay.degrees();
        Self {
            at: world.now().as_secs_f64(),
            live: overlay.len(),
            components: components.len(),
            cut_off: overlay.len() - components.first().copied().unwrap_or(0),
            degrees: (degrees.least(), degrees.mean(), degrees.most()),
            symmetric: overlay.symmetric_share(),
            accuracy: overlay.accuracy(),
            passive: passive(world),
            frames: 0.0,
        }
    }
}

/// The mean size of the passive views and the share of their entries that live.
fn passive(world: &World) -> Option<(f64, f64)> {
    let (mut nodes, mut entries, mut live) = (0_usize, 0_usize, 0_usize);
    for node in world.hosts().iter().filter_map(|host| host.node()) {
        let views = node.views();
        nodes += 1;
        entries += views.passive.len();
        let numbers = views.passive.iter().filter_map(|node| world.number(*node));
        live += numbers.filter(|number| world.hosts()[*number].node().is_some()).count();
    }
    let accuracy = live as f64 / entries.max(1) as f64;
    (entries > 0).then(|| (entries as f64 / nodes as f64, accuracy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WorldOptions;

    #[test]
    fn a_cluster_that_forms_is_seen_to_grow_together() {
        let mut world = World::new(WorldOptions { seed: 2, ..WorldOptions::default() });
        world.add_nodes(5);
        let mut recorder = Recorder::new(Duration::from_secs(1), true);
        recorder.take(&world);
        (1..5).for_each(|node| _ = world.join(node, 0));
        let mut told = Vec::new();
        let until = Instant::ZERO + Duration::from_secs(20);
        recorder.run(&mut world, until, &mut |now| told.push(now));
        let (first, last) = (&recorder.samples[0], recorder.samples.last().unwrap());
        assert_eq!((first.components, first.cut_off, first.degrees.2), (5, 4, 0));
        assert_eq!((last.components, last.cut_off, last.degrees), (1, 0, (4, 4.0, 4)));
        assert_eq!((recorder.samples.len(), recorder.snapshots.len(), told.len()), (21, 21, 20));
        assert!(recorder.samples[1].frames > 1.0 && last.passive.is_none());
    }

    #[test]
    fn snapshots_have_a_bound() {
        let mut recorder = Recorder::new(Duration::from_secs(1), true);
        let overlay = Overlay::random(1, 30_000, 5);
        for at in 0..10 {
            recorder.links += overlay.link_count();
            recorder.snapshots.push(Snapshot { at: f64::from(at), overlay: overlay.clone() });
            recorder.thin_out();
        }
        assert!(recorder.links <= MOST_LINKS && recorder.stride > 1);
        assert!(recorder.snapshots.len() >= 2 && recorder.snapshots[0].at < 0.5);
    }
}
