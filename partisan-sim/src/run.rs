//! A whole run: form a cluster, trouble it, heal it, and see whether all is well.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time;

use partisan_proto::config::ManagerConfig;
use partisan_proto::{ChannelName, ChannelOptions, Channels, Config, Duration, Instant};

use crate::check::broadcast::Ledger;
use crate::check::processes::Truth;
use crate::check::{self, Violation, ViolationKind};
use crate::fault::{Fault, FaultClass, draw_faults};
use crate::latency::Latency;
use crate::network::NetworkOptions;
use crate::story::Story;
use crate::trace::Trace;
use crate::workload::{self, Bootstrap, Load, Sends, Work, draw_relays, draw_work};
use crate::world::{Wire, World, WorldOptions};

mod broadcasts;
mod managers;
mod processes;
mod settle;

/// Clusters above this size are checked by samples only: whole-mesh checks are quadratic.
const LARGE: usize = 300;

/// The channel of several lanes.
const BULK: &str = "bulk";

/// Everything a run depends on.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Everything random follows from it.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// The manager of each node.
    pub manager: ManagerConfig,
    /// How long the first part lasts: bootstrap, work and faults.
    pub span: Duration,
    /// Which faults may happen.
    pub faults: Vec<FaultClass>,
    /// What applications do.
    pub load: Load,
    /// How the cluster is formed; `None`: drawn.
    pub bootstrap: Option<Bootstrap>,
    /// What certainly befalls it, besides the faults that are drawn.
    pub story: Option<Story>,
    /// How long packets travel.
    pub latency: Latency,
    /// Whether frames are encoded.
    pub wire: Wire,
    /// Whether the safety checkers watch, and the end is judged.
    pub checks: bool,
    /// Planned faults to leave out, by their place in the plan.
    pub without_faults: Vec<usize>,
    /// Planned work to leave out, by its place in the plan.
    pub without_work: Vec<usize>,
    /// How many lines of trace to keep, and of which node alone.
    pub trace: Option<(usize, Option<usize>)>,
    /// Asks how much memory is in use, and what the most was.
    pub memory: Option<MemoryProbe>,
}

/// How a program that counts its memory tells.
#[derive(Clone, Copy, Debug)]
pub struct MemoryProbe {
    /// Bytes in use now.
    pub in_use: fn() -> usize,
    /// The most bytes in use since the last call of `reset`.
    pub peak: fn() -> usize,
    /// Begins to measure the peak anew.
    pub reset: fn(),
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            seed: 0,
            nodes: 5,
            manager: ManagerConfig::default(),
            span: Duration::from_secs(60),
            faults: Vec::new(),
            load: Load::Traffic,
            bootstrap: Some(Bootstrap::Contact),
            story: None,
            latency: Latency::LAN,
            wire: Wire::Encoded,
            checks: true,
            without_faults: Vec::new(),
            without_work: Vec::new(),
            trace: None,
            memory: None,
        }
    }
}

/// What became of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Follows from everything that happened.
    pub hash: u64,
    /// Events handled.
    pub events: u64,
    /// Frames sent.
    pub frames: u64,
    /// Simulated time.
    pub simulated: Duration,
    /// Real time, in seconds.
    pub wall_seconds: f64,
    /// Real seconds until every node had a neighbour, looked at each simulated second; `None` when
    /// that never was.
    pub formed_seconds: Option<f64>,
    /// The most memory in use, where it is counted.
    pub peak_bytes: usize,
    /// Memory in use at the end of the first part, by node, where it is counted.
    pub bytes_per_node: usize,
    /// How many faults were planned.
    pub planned_faults: usize,
    /// How much work was planned.
    pub planned_work: usize,
    /// What was found.
    pub violations: Vec<Violation>,
    /// The last lines of the trace, where one was asked for.
    pub trace: Vec<String>,
}

impl Report {
    /// Events handled in a real second.
    #[must_use]
    pub fn events_per_second(&self) -> f64 {
        self.events as f64 / self.wall_seconds.max(1e-9)
    }

    /// What the program should exit with.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.violations.first().map_or(0, |violation| violation.kind.exit_code())
    }
}

/// The faults and the work of a run, as planned from the seed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Faults, by time.
    pub faults: Vec<(Instant, Fault)>,
    /// Work besides the bootstrap, by time.
    pub work: Vec<(Instant, Work)>,
    /// The joins that form the cluster.
    pub bootstrap: Vec<(Instant, Work)>,
}

impl Plan {
    /// Adds the sends to the work, before what is due at the same moment.
    fn add(&mut self, sends: Sends) {
        self.work.splice(..0, sends);
        self.work.sort_by_key(|(at, _)| *at);
    }
}

impl Scenario {
    /// What will go wrong and what will be done.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let (mut plan, sends) = self.plan_and_sends();
        plan.add(sends);
        plan
    }

    /// As [`Scenario::plan`], with the sends by themselves.
    fn plan_and_sends(&self) -> (Plan, Sends) {
        let config = self.config();
        let channels = config.channels.iter().count() as u8;
        let sends = Sends::new(self.seed, self.nodes, channels, self.span, self.load);
        let drawn = Bootstrap::ALL[(crate::draw::mix(self.seed) % 4) as usize];
        let bootstrap = self.bootstrap.unwrap_or(drawn);
        let pause = (self.span / 4 / self.nodes.max(1) as u32).min(Duration::from_millis(100));
        let mut faults = draw_faults(self.seed, self.nodes, self.span, &self.faults);
        let mut work = draw_work(self.seed, self.nodes, channels, self.span, self.load);
        if self.nodes <= LARGE || self.load == Load::Relay {
            let partial = managers::has_partial_views(&self.manager);
            let relayed = (self.seed, self.nodes, channels);
            work.extend(draw_relays(relayed, self.span, self.load, partial));
            work.sort_by_key(|(at, _)| *at);
        }
        if let Some(story) = self.story {
            let story = story.plan(self.seed, self.nodes, self.span);
            faults.extend(story.faults);
            faults.sort_by_key(|(at, _)| *at);
            work.extend(story.work);
            work.sort_by_key(|(at, _)| *at);
        }
        (Plan { faults, work, bootstrap: bootstrap.plan(self.seed, self.nodes, pause) }, sends)
    }

    /// The configuration of every node: besides the built-in channels one of three lanes, in small
    /// clusters.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        let bulk = ChannelName::new(BULK).expect("a short plain name is good");
        let several = has_bulk(self).then_some((bulk, ChannelOptions::lanes(3)));
        let more = several.into_iter().chain(processes::channels(self));
        let mut manager = self.manager.clone();
        if let ManagerConfig::HyParView(hyparview) = &mut manager
            && self.nodes > LARGE
            && self.faults.is_empty()
        {
            // Nobody starts again, and what everybody stored would be most of the memory.
            Arc::make_mut(hyparview).store_interval = Duration::ZERO;
        }
        let mut config = Config {
            channels: Channels::new(more).expect("two more channels are not too many"),
            manager,
            broadcast: broadcasts::config(self),
            delivery: processes::delivery(self),
            calls: processes::calls(self),
            ..Config::default()
        };
        if let Some(application) = self.load.application() {
            application.configure(&mut config);
        }
        Arc::new(config)
    }

    /// Runs it; a panic becomes a violation.
    #[must_use]
    pub fn run(&self) -> Report {
        self.run_watched(&mut |_| {})
    }

    /// As [`Scenario::run`], showing `progress` the world now and then.
    pub fn run_watched(&self, progress: &mut dyn FnMut(&World)) -> Report {
        let began = time::Instant::now();
        let mut report = Report::default();
        let mut trace = None;
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let before = self.memory.map_or(0, |memory| {
                (memory.reset)();
                (memory.in_use)()
            });
            let ledger = Ledger::default();
            let truth = Truth::default();
            let (plan, sends) = self.plan_and_sends();
            report.planned_faults = plan.faults.len();
            report.planned_work = plan.work.len() + sends.len();
            let mut world = self.world_with((plan, sends), &ledger, &truth);
            let formed = || report.formed_seconds = Some(began.elapsed().as_secs_f64());
            self.first_part(&mut world, progress, formed);
            if let Some(memory) = self.memory {
                let used = (memory.in_use)().saturating_sub(before);
                report.bytes_per_node = used / self.nodes.max(1);
            }
            report.events = world.events();
            report.wall_seconds = began.elapsed().as_secs_f64();
            if self.checks && world.violations().is_empty() {
                settle::settle(self, &mut world, (&ledger, &truth));
                world.check_end();
            }
            self.fill(&mut report, &world);
            trace = world.trace.take();
        }));
        if let Err(panic) = outcome {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let text = text.unwrap_or_else(|| "a panic without a text".into());
            let panic = Violation::new(ViolationKind::Panic, Instant::ZERO, None, text);
            report.violations.push(panic);
        }
        report.wall_seconds = began.elapsed().as_secs_f64();
        report.trace = trace.iter().flat_map(Trace::lines).map(str::to_owned).collect();
        report
    }

    fn fill(&self, report: &mut Report, world: &World) {
        report.hash = world.hash();
        report.events = world.events();
        report.frames = world.frames();
        report.simulated = world.now().since(Instant::ZERO);
        report.peak_bytes = self.memory.map_or(0, |memory| (memory.peak)());
        report.violations = world.violations().to_vec();
    }

    /// The world as it is before anything happened, with all that is planned.
    pub(crate) fn world(&self) -> World {
        self.world_with(self.plan_and_sends(), &Ledger::default(), &Truth::default())
    }

    fn world_with(
        &self,
        (mut plan, sends): (Plan, Sends),
        ledger: &Ledger,
        truth: &Truth,
    ) -> World {
        let network = NetworkOptions { latency: self.latency.clone(), ..NetworkOptions::default() };
        let mut world = World::new(WorldOptions {
            seed: self.seed,
            network,
            wire: self.wire,
            config: self.config(),
            record: false,
        });
        world.trace = self.trace.map(|(lines, node)| Trace::new(lines, node));
        if self.checks {
            managers::watch(&self.manager, &mut world, ledger);
            if self.load == Load::Processes {
                check::processes::watch(&mut world, truth);
            }
        }
        if self.load == Load::Processes {
            workload::processes::prepare(&mut world);
        }
        if let Some(application) = self.load.application() {
            world.run_application(application, self.nodes);
        }
        let config = self.config();
        for number in 0..self.nodes {
            managers::add_node(self, &mut world, &config, number);
        }
        world.plan_work(std::mem::take(&mut plan.bootstrap));
        if plan.work.is_empty() && self.without_work.is_empty() {
            world.plan_in_order(sends);
        } else {
            plan.add(sends);
            let mut numbers = 0..;
            plan.work.retain(|_| numbers.next().is_none_or(|n| !self.without_work.contains(&n)));
            world.plan_work(plan.work);
        }
        for (number, (at, fault)) in plan.faults.into_iter().enumerate() {
            if !self.without_faults.contains(&number) {
                world.plan_fault(at, fault);
            }
        }
        world
    }

    /// Bootstrap, work and faults; stops at the first violation. Says when the cluster has formed.
    fn first_part(
        &self,
        world: &mut World,
        progress: &mut dyn FnMut(&World),
        formed: impl FnOnce(),
    ) {
        let end = Instant::ZERO + self.span;
        let (mut count, mut formed, mut look) = (0_u32, Some(formed), Instant::ZERO);
        while world.violations().is_empty() && world.advance(end) {
            count = count.wrapping_add(1);
            if count.is_multiple_of(100_000) {
                progress(world);
            }
            if world.now() >= look {
                look = world.now() + Duration::from_secs(1);
                if formed.is_some()
                    && has_formed(world)
                    && let Some(formed) = formed.take()
                {
                    formed();
                }
            }
        }
    }

    /// The command that runs this again.
    #[must_use]
    pub fn command(&self, binary_arguments: &str) -> String {
        let list = |name: &str, items: &[usize]| match items {
            [] => String::new(),
            items => {
                let items: Vec<_> = items.iter().map(usize::to_string).collect();
                format!(" --drop-{name} {}", items.join(","))
            }
        };
        format!(
            "partisan-sim replay --seed {} --nodes {}{binary_arguments}{}{}",
            self.seed,
            self.nodes,
            list("faults", &self.without_faults),
            list("work", &self.without_work),
        )
    }
}

/// Whether there is a channel of several lanes: in small clusters.
const fn has_bulk(scenario: &Scenario) -> bool {
    scenario.nodes <= 32
}

/// Whether every live node has a neighbour.
fn has_formed(world: &World) -> bool {
    let hosts = || world.live().filter_map(|number| world.hosts()[number].node());
    hosts().nth(1).is_some() && hosts().all(|node| !node.neighbors().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_has_formed_when_nobody_is_alone() {
        let run = |nodes| Scenario { nodes, load: Load::None, ..Scenario::default() }.run();
        let five = run(5);
        assert!(five.formed_seconds.is_some_and(|seconds| seconds < five.wall_seconds));
        assert_eq!(run(1).formed_seconds, None);
    }
}
