//! Nodes beside bare streams, on one machine:
//! `cargo bench -p partisan-tokio --bench loopback`, shorter with `-- --quick`.
//! Also `--only NAME` (`stalled`, `head-of-line`, `one-way`, `ping-pong`), `--size BYTES`,
//! `--rounds N`, `--millis N`, `--threads N`.
//!
//! Two processes, this program twice, each with a runtime of two threads, over loopback TCP.
//! *Nodes* send with `send_bytes` to the inbox, whose reader counts. The *bare* stream gathers
//! from a bounded channel of 1 MiB, as a lane holds, into writes of 64 KiB; its reader counts
//! frames in place, without a mailbox. *Codec* is the same with `LengthDelimitedCodec`, `feed`
//! and `flush`. The three take turns in every round; rates and ratios are medians of the rounds,
//! and CPU is that of the whole process, the kernel's share included.
//!
//! On a machine of two cores only ratios mean anything, and single ones vary by a third. Nodes /
//! bare, one-way, lanes 1 and 4:
//!
//! | bytes | 1 sender | 16 senders | CPU ratio |
//! |---|---|---|---|
//! | 64 | 1.3, 1.9 | 0.8, 0.7 | 0.5-1.3 |
//! | 1 KiB | 1.1, 0.6 | 0.9, 0.7 | 1.2-1.6 |
//! | 64 KiB | 1.3, 0.9 | 1.2, 0.8 | 0.9-1.2 |
//! | 1 MiB | 0.7, 0.7 | 0.6, 0.7 | 1.4-1.8 |
//!
//! Ping-pong:
//!
//! | bytes | 1 sender | 16 senders | CPU ratio |
//! |---|---|---|---|
//! | 64 | 1.0, 1.1 | 1.0, 0.6 | 1.0-1.3 |
//! | 1 KiB | 1.1, 0.9 | 0.9, 0.6 | 1.0-1.5 |
//! | 64 KiB | 1.0, 1.2 | 1.2, 0.7 | 0.7-1.4 |
//! | 1 MiB | 1.0, 1.4 | 1.3, 0.8 | 0.7-1.1 |
//!
//! A 64-byte ping beside a stream of 64 KiB messages, p50 and p99 as multiples of the idle
//! ping's: same channel 520 and 210, other channel 1.0 and 20. A sender whose receiver stalls is
//! refused by `try_send` and waits in `send`, at the cost of about 2 MiB of its memory and, at the
//! receiver, of the mailbox's bound; other channels go on.

mod bare;
mod link;
mod measure;
mod node;
mod peer;
mod process;

use std::time::Duration;

use bare::Framing;
use measure::{Bench, Beside, Carrier, Cell, Rate};
use tokio::runtime::Runtime;

/// What the command line asks for.
#[derive(Clone, Debug)]
struct Plan {
    /// Of one round of one cell.
    time: Duration,
    rounds: usize,
    /// Worker threads of the runtime of each process.
    threads: usize,
    sizes: Vec<usize>,
    /// Only the measurements whose name contains this.
    only: Option<String>,
}

impl Plan {
    fn from_arguments(arguments: &[String]) -> Self {
        let given = |name: &str| arguments.iter().any(|argument| argument == name);
        let value = |name: &str| {
            let place = arguments.iter().position(|argument| argument == name)?;
            arguments.get(place + 1)
        };
        let number = |name: &str| value(name)?.parse::<usize>().ok();
        let quick = given("--quick");
        let time = number("--millis").unwrap_or(if quick { 80 } else { 400 });
        let sizes = vec![64, 1 << 10, 64 << 10, 1 << 20];
        Self {
            time: Duration::from_millis(time as u64),
            rounds: number("--rounds").unwrap_or(if quick { 1 } else { 3 }).max(1),
            threads: number("--threads").unwrap_or(2).max(1),
            sizes: number("--size").map_or(sizes, |size| vec![size.max(64)]),
            only: value("--only").cloned(),
        }
    }

    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    // `cargo test --benches` runs this too, without the argument: then only that it builds matters.
    if !has("--bench") && !has(peer::ROLE) {
        return;
    }
    let plan = Plan::from_arguments(&arguments);
    if has(peer::ROLE) {
        return peer::run(&runtime(&plan));
    }
    if plan.wants("stalled") {
        stalled(&plan);
    }
    let mut bench = Bench::start(runtime(&plan), plan.threads);
    if plan.wants("head-of-line") {
        head_of_line(&plan, &mut bench);
    }
    if plan.wants("one-way") {
        table(&plan, "One-way: messages a second", |carrier, cell| bench.one_way(carrier, cell));
    }
    if plan.wants("ping-pong") {
        table(&plan, "Ping-pong: rounds a second", |carrier, cell| bench.ping_pong(carrier, cell));
    }
}

fn runtime(plan: &Plan) -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(plan.threads).enable_all().build().expect("threads can be started")
}

/// Every size, number of senders and of lanes, all carriers in turn.
fn table(plan: &Plan, title: &str, mut run: impl FnMut(Carrier, Cell) -> Rate) {
    println!("\n{title}; CPU in us for each, sender + receiver; ratios are to the bare stream");
    println!(
        "{:>8} {:>7} {:>5} | {:>9} {:>7} {:>13} | {:>9} {:>13} | {:>11} {:>11} {:>9}",
        "bytes",
        "senders",
        "lanes",
        "nodes/s",
        "MiB/s",
        "CPU",
        "bare/s",
        "CPU",
        "nodes/bare",
        "codec/bare",
        "CPU ratio",
    );
    for &size in &plan.sizes {
        for senders in [1, 16] {
            for lanes in [1, 4] {
                let cell = Cell { size, senders, lanes, time: plan.time };
                row(plan, cell, &mut run);
            }
        }
    }
}

const CARRIERS: [Carrier; 3] =
    [Carrier::Nodes, Carrier::Bare(Framing::ByHand), Carrier::Bare(Framing::Codec)];

fn row(plan: &Plan, cell: Cell, run: &mut impl FnMut(Carrier, Cell) -> Rate) {
    // Carriers take turns, so that what else the machine does hits them alike.
    let rounds: Vec<[Rate; 3]> =
        (0..plan.rounds).map(|_| CARRIERS.map(|carrier| run(carrier, cell))).collect();
    let of = |what: &dyn Fn(&[Rate; 3]) -> f64| median(rounds.iter().map(what).collect());
    let rate = |carrier: usize| of(&|round| round[carrier].per_second);
    let ratio = |carrier: usize| of(&|round| round[carrier].per_second / round[1].per_second);
    let cpu = |carrier: usize| {
        let side = |side: usize| 1e6 * of(&|round| round[carrier].cpu[side]);
        format!("{:.2}+{:.2}", side(0), side(1))
    };
    let total = |rate: &Rate| rate.cpu[0] + rate.cpu[1];
    let mebibytes = rate(0) * cell.size as f64 / f64::from(1 << 20);
    println!(
        "{:>8} {:>7} {:>5} | {:>9.0} {mebibytes:>7.0} {:>13} | {:>9.0} {:>13} | {:>11.2} {:>11.2} {:>9.2}",
        cell.size,
        cell.senders,
        cell.lanes,
        rate(0),
        cpu(0),
        rate(1),
        cpu(1),
        ratio(0),
        ratio(2),
        of(&|round| total(&round[0]) / total(&round[1])),
    );
}

fn head_of_line(plan: &Plan, bench: &mut Bench) {
    println!("\nHead of line: a 64-byte ping beside a saturating stream of 64 KiB messages, us");
    println!("{:>14} | {:>8} {:>8} | {:>8} {:>8}", "", "p50", "p99", "bare p50", "bare p99");
    for (name, beside) in [
        ("idle", Beside::Idle),
        ("same channel", Beside::SameChannel),
        ("other channel", Beside::OtherChannel),
    ] {
        let (mut nodes, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..plan.rounds {
            nodes.extend(bench.pings_beside(beside, plan.time));
            bare.extend(bench.bare_pings_beside(beside, plan.time));
        }
        let [p50, p99] = percentiles(nodes);
        let [bare50, bare99] = percentiles(bare);
        println!("{name:>14} | {p50:>8.0} {p99:>8.0} | {bare50:>8.0} {bare99:>8.0}");
    }
}

fn stalled(plan: &Plan) {
    println!("\nStalled: the receiver never looks at its mailbox");
    println!(
        "{:>8} | {:>12} {:>12} {:>12} | {:>13} {:>11} {:>13}",
        "bytes", "accepted", "sender RSS", "receiver RSS", "try_send", "send", "other channel",
    );
    let mut bench = Bench::start(runtime(plan), plan.threads);
    for (mailbox, size) in node::STALLED.into_iter().zip([64, 64 << 10]) {
        let stall = bench.stall(mailbox, size, Duration::from_millis(300));
        let mebibytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        println!(
            "{size:>8} | {:>12} {:>12} {:>12} | {:>13} {:>11} {:>13}",
            mebibytes(stall.accepted),
            mebibytes(stall.here),
            mebibytes(stall.there),
            if stall.refused > 0 { "says full" } else { "never refused" },
            if stall.waits { "waits" } else { "did not wait" },
            if stall.other_works { "works" } else { "hangs" },
        );
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The 50th and the 99th, in microseconds.
fn percentiles(mut times: Vec<Duration>) -> [f64; 2] {
    times.sort_unstable();
    [50, 99].map(|percent| {
        let place = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e6)
    })
}
