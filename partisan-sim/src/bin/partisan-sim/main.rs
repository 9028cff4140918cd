//! Simulates Partisan clusters from the command line; see `--help`.

mod arguments;
mod bench;
mod memory;
mod paper;
mod report;

use std::io::{IsTerminal, Write};
use std::ops::Range;
use std::panic;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use indicatif::{ProgressBar, ProgressStyle};
use partisan_proto::{Duration, Instant};
use partisan_sim::check::{Violation, ViolationKind};
use partisan_sim::paper::Options;
use partisan_sim::{Report, Scenario, World, shrink};
use serde_json::{Value, json};

use arguments::{Arguments, Cluster, Command, LARGE};

fn main() -> ExitCode {
    let Arguments { command, json } = Arguments::parse();
    if command.is_large() {
        memory::ask_for_huge_pages();
    }
    if command.has_managers_too_many() {
        let text = "only a sweep takes `--manager all`; choose one";
        Arguments::command().error(ErrorKind::ValueValidation, text).exit();
    }
    let (code, object) = match command {
        Command::Run { seed, cluster } => run(seed, &cluster),
        Command::Sweep { seeds, cluster, jobs, twice } => sweeps(seeds, &cluster, jobs, twice),
        Command::Replay { seed, cluster, drop_faults, drop_work, trace, lines, node, shrink } => {
            let scenario = Scenario {
                without_faults: drop_faults,
                without_work: drop_work,
                trace: trace.then_some((lines, node)),
                ..cluster.scenario(seed, &(5..6))
            };
            let given = cluster.as_given();
            if shrink { shrunk(&scenario, &given) } else { replay(&scenario, &given) }
        }
        Command::Report { seed, cluster, output, pictures } => {
            report::report(seed, &cluster, &output, pictures.as_deref())
        }
        Command::Paper { paper, quick, seeds, jobs, output } => {
            let jobs = jobs.unwrap_or_else(processors);
            paper::paper(paper, &Options { quick, seeds, jobs }, output.as_deref())
        }
        Command::Bench { shape, sizes, seed, manager, span } => {
            let shape = shape.unwrap_or_else(|| manager.shape());
            bench::bench(shape, &sizes, seed, manager, span)
        }
    };
    if json {
        println!("{object}");
    }
    ExitCode::from(code)
}

/// How many processors there are to use.
fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn bar(length: u64, what: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg} {eta}");
    let bar = ProgressBar::new(length).with_message(what.to_owned());
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn run(seed: u64, cluster: &Cluster) -> (u8, Value) {
    let scenario = Scenario { memory: Some(memory::PROBE), ..cluster.scenario(seed, &(5..6)) };
    let bar = bar(scenario.span.as_secs(), "simulated seconds");
    let mut course = (scenario.nodes > LARGE).then(|| Course::new(scenario.span));
    let report = scenario.run_watched(&mut |world| {
        bar.set_position(world.now().as_nanos() / 1_000_000_000);
        if let Some(course) = &mut course {
            bar.suspend(|| course.print(world));
        }
    });
    bar.finish_and_clear();
    print_report(&scenario, &report, &cluster.as_given());
    (report.exit_code(), to_json(&scenario, &report))
}

/// How a large run goes, a line now and then: it may take minutes.
struct Course {
    began: std::time::Instant,
    /// A line each so many simulated seconds.
    pause: Duration,
    next: Instant,
}

impl Course {
    fn new(span: Duration) -> Self {
        println!(
            "{:>12} {:>10} {:>12} {:>12} {:>10} {:>10}",
            "simulated s", "real s", "events", "events/s", "waiting", "MB"
        );
        Self { began: std::time::Instant::now(), pause: span / 12, next: Instant::ZERO }
    }

    fn print(&mut self, world: &World) {
        if world.now() < self.next {
            return;
        }
        self.next = world.now() + self.pause;
        let real = self.began.elapsed().as_secs_f64();
        println!(
            "{:>12.1} {real:>10.1} {:>12} {:>12.0} {:>10} {:>10.1}",
            world.now().as_secs_f64(),
            world.events(),
            world.events() as f64 / real.max(1e-9),
            world.waiting(),
            (memory::PROBE.in_use)() as f64 / 1e6,
        );
    }
}

fn print_report(scenario: &Scenario, report: &Report, given: &str) {
    println!("seed {} with {} nodes: hash {:016x}", scenario.seed, scenario.nodes, report.hash);
    println!(
        "{} events, {} frames in {:.1} simulated s and {:.3} real s: {:.0} events/s",
        report.events,
        report.frames,
        report.simulated.as_secs_f64(),
        report.wall_seconds,
        report.events_per_second()
    );
    if let Some(seconds) = report.formed_seconds {
        println!("every node had a neighbour after {seconds:.3} real s");
    }
    if report.peak_bytes > 0 {
        println!("{} bytes a node, {} at the peak", report.bytes_per_node, report.peak_bytes);
    }
    for violation in &report.violations {
        println!("{violation}");
    }
    if report.violations.is_empty() {
        println!("no violation");
    } else {
        println!("again: {}", scenario.command(given));
    }
}

fn violation_json(violation: &Violation) -> Value {
    json!({
        "kind": format!("{:?}", violation.kind),
        "at": violation.at.as_secs_f64(),
        "node": violation.node,
        "explanation": violation.explanation,
    })
}

fn to_json(scenario: &Scenario, report: &Report) -> Value {
    let violations: Vec<_> = report.violations.iter().map(violation_json).collect();
    json!({
        "seed": scenario.seed,
        "nodes": scenario.nodes,
        "hash": format!("{:016x}", report.hash),
        "events": report.events,
        "frames": report.frames,
        "events_per_second": report.events_per_second().round(),
        "simulated_seconds": report.simulated.as_secs_f64(),
        "wall_seconds": report.wall_seconds,
        "formed_seconds": report.formed_seconds,
        "peak_bytes": report.peak_bytes,
        "bytes_per_node": report.bytes_per_node,
        "violations": violations,
    })
}

/// One seed of a sweep; every so manieth is run twice.
fn try_seed(seed: u64, cluster: &Cluster, twice: u64) -> (Scenario, Report) {
    let scenario = cluster.scenario(seed, &(3..9));
    let mut report = scenario.run();
    if twice > 0 && seed.is_multiple_of(twice) && report.violations.is_empty() {
        let again = scenario.run();
        if again.hash != report.hash {
            let text = format!("hashes {:016x} and {:016x}", report.hash, again.hash);
            let kind = ViolationKind::Nondeterminism;
            let at = Instant::ZERO;
            report.violations.push(Violation::new(kind, at, None, text));
        }
    }
    (scenario, report)
}

/// A sweep with each of the managers.
fn sweeps(seeds: Range<u64>, cluster: &Cluster, jobs: Option<usize>, twice: u64) -> (u8, Value) {
    let mut each = cluster.each_manager();
    if each.len() < 2 {
        return sweep(seeds, cluster, jobs, twice);
    }
    let mut first = 0;
    let mut objects = Vec::new();
    for (name, cluster) in each.drain(..) {
        print!("{name}: ");
        // What is printed next may be long in coming.
        _ = std::io::stdout().flush();
        let (code, mut object) = sweep(seeds.clone(), &cluster, jobs, twice);
        object["manager"] = json!(name);
        objects.push(object);
        first = if first == 0 { code } else { first };
    }
    (first, json!({ "sweeps": objects }))
}

fn sweep(seeds: Range<u64>, cluster: &Cluster, jobs: Option<usize>, twice: u64) -> (u8, Value) {
    // Panics are reported as violations; their own messages would only be in the way.
    panic::set_hook(Box::new(|_| {}));
    let jobs = jobs.unwrap_or_else(processors);
    let count = seeds.end.saturating_sub(seeds.start);
    let bar = bar(count, "seeds");
    let (next, events) = (AtomicU64::new(seeds.start), AtomicU64::new(0));
    let began = std::time::Instant::now();
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let (scenario, report) = try_seed(seed, cluster, twice);
                    events.fetch_add(report.events, Relaxed);
                    bar.inc(1);
                    if !report.violations.is_empty() {
                        let command = scenario.command(&cluster.as_given());
                        bar.suspend(|| println!("{}\n  again: {command}", report.violations[0]));
                        let mut failed = failed.lock().unwrap_or_else(|lock| lock.into_inner());
                        failed.push((seed, report, command));
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut failed = failed.into_inner().unwrap_or_else(|lock| lock.into_inner());
    failed.sort_by_key(|(seed, ..)| *seed);
    let wall = began.elapsed().as_secs_f64();
    let events = events.into_inner();
    println!("{count} seeds, {} failed; {events} events in {wall:.1} s", failed.len());
    let code = failed.first().map_or(0, |(_, report, _)| report.exit_code());
    let violations: Vec<_> = failed.iter().map(failure_json).collect();
    let object = json!({
        "seeds": count, "events": events, "wall_seconds": wall, "violations": violations,
    });
    (code, object)
}

fn failure_json((seed, report, command): &(u64, Report, String)) -> Value {
    let mut object = violation_json(&report.violations[0]);
    object["seed"] = json!(seed);
    object["command"] = json!(command);
    object
}

fn replay(scenario: &Scenario, given: &str) -> (u8, Value) {
    let report = scenario.run();
    for line in &report.trace {
        println!("{line}");
    }
    print_report(scenario, &report, given);
    (report.exit_code(), to_json(scenario, &report))
}

fn shrunk(scenario: &Scenario, given: &str) -> (u8, Value) {
    panic::set_hook(Box::new(|_| {}));
    let bar = if std::io::stderr().is_terminal() {
        ProgressBar::new_spinner()
    } else {
        ProgressBar::hidden()
    };
    let found = shrink::shrink(scenario, || bar.inc(1));
    bar.finish_and_clear();
    let Some((small, kind)) = found else {
        println!("seed {} does not fail", scenario.seed);
        return (0, json!({ "violations": [] }));
    };
    let plan = small.plan();
    println!("{kind:?} still occurs with only:");
    for (number, (at, fault)) in plan.faults.iter().enumerate() {
        if !small.without_faults.contains(&number) {
            println!("  {at} {fault:?}");
        }
    }
    for (number, (at, work)) in plan.work.iter().enumerate() {
        if !small.without_work.contains(&number) {
            println!("  {at} {work:?}");
        }
    }
    replay(&small, given)
}
