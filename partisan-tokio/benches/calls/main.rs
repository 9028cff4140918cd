//! Calls beside requests and replies over one bare stream, monitors, and messages that must arrive
//! beside plain ones, on one machine:
//! `cargo bench -p partisan-tokio --bench calls`, shorter with `-- --quick`. Also `--only NAME`
//! (`calls`, `monitors`, `deliveries`, `servers`, `statem`), `--rounds N`, `--millis N`.
//!
//! Two nodes of one process, each on a runtime of its own with one thread, over loopback TCP; the
//! bare stream (`bare.rs`) between the same two runtimes. *Process* is `Node::call_bytes` to one
//! process that answers with what it is asked; *function* is `Node::rpc_bytes`, a task for each
//! request. The three take turns in every round; numbers are medians of the rounds.
//!
//! On a machine of two busy cores only ratios mean anything. Calls a second as a multiple of the bare
//! stream's, to a process and to a function:
//!
//! | bytes | 1 caller | 16 callers | 64 callers |
//! |---|---|---|---|
//! | 64 | 0.8, 0.8 | 1.6, 1.2 | 2.0, 1.5 |
//! | 1 KiB | 0.9, 0.9 | 2.2, 1.8 | 1.0, 0.5 |
//! | 64 KiB | 0.9, 0.9 | 0.7, 0.6 | 0.8, 0.7 |
//!
//! Calls to a `GenServer` on the same node and on the other, beside an mpsc and a oneshot channel
//! without any node, in thousands a second (p50 in us):
//!
//! | callers | here | there | bare |
//! |---|---|---|---|
//! | 1 | 123 (2.6) | 14 (23) | 1,075 (0.3) |
//! | 16 | 104 (50) | 75 (71) | 1,056 (1.5) |
//! | 64 | 121 (167) | 99 (209) | 1,024 (39) |
//!
//! Every call passes the loop of its node, which is what a local one costs beside a bare channel. The
//! engine of state machines handles 5.1 million events a second that keep their state, 0.8 million
//! that change it and start a timeout, 1.3 million of which half are put off and taken up again.
//!
//! One call of 64 bytes takes 19 us beside 15; a monitor 1.4 us to set up, one after the other; and
//! from telling a process to end until its DOWN passes as long as one bare round trip.

mod bare;
mod deliveries;
mod servers;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use bare::Bare;
use bytes::Bytes;
use partisan_tokio::{
    CallOptions, Contact, Input, Node, NodeName, Process, ProcessId, Settings, Signal, SpawnOptions,
};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const PATIENCE: Duration = Duration::from_secs(20);
const ECHO: &str = "echo";

/// What the command line asks for.
#[derive(Clone, Debug)]
struct Plan {
    /// Of one round of one cell.
    time: Duration,
    rounds: usize,
    only: Option<String>,
}

impl Plan {
    fn from_arguments(arguments: &[String]) -> Self {
        let quick = arguments.iter().any(|argument| argument == "--quick");
        let value = |name: &str| {
            let place = arguments.iter().position(|argument| argument == name)?;
            arguments.get(place + 1)
        };
        let number = |name: &str| value(name)?.parse::<usize>().ok();
        let time = number("--millis").unwrap_or(if quick { 80 } else { 400 });
        Self {
            time: Duration::from_millis(time as u64),
            rounds: number("--rounds").unwrap_or(if quick { 1 } else { 3 }).max(1),
            only: value("--only").cloned(),
        }
    }

    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }
}

/// Both nodes, and what else answers.
struct Bench {
    here: Runtime,
    // Its tasks run as long as it is there.
    _there: Runtime,
    client: Node,
    server: Node,
    echo: ProcessId,
    bare: Bare,
    /// How many messages came to the server's inbox.
    arrived: Arc<AtomicU64>,
}

/// Who carries the calls.
#[derive(Clone, Copy, Debug)]
enum Carrier {
    Process,
    Function,
    Bare,
}

const CARRIERS: [Carrier; 3] = [Carrier::Process, Carrier::Function, Carrier::Bare];

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    // `cargo test --benches` runs this too, without the argument: then only that it builds matters.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let plan = Plan::from_arguments(&arguments);
    if plan.wants("statem") {
        servers::statem(&plan);
    }
    let bench = Bench::start();
    if plan.wants("servers") {
        servers::servers(&plan, &bench);
    }
    if plan.wants("calls") {
        calls(&plan, &bench);
    }
    if plan.wants("monitors") {
        monitors(&plan, &bench);
    }
    if plan.wants("deliveries") {
        deliveries::deliveries(&plan, &bench);
    }
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().expect("threads can be started")
}

async fn node(name: &str) -> Node {
    let name = NodeName::new(name).expect("a legal name");
    Node::start(Settings::new(name).config(deliveries::config())).await.expect("a free port")
}

/// Answers each request with itself.
async fn echo(mut process: Process) {
    while let Some(input) = process.receive().await {
        if let Input::Request(request) = input {
            let payload = request.payload.clone();
            let _ = request.reply_bytes(payload).await;
        }
    }
}

/// Ends with the first message.
async fn ends(mut process: Process) {
    process.receive().await;
}

impl Bench {
    fn start() -> Self {
        let (here, there) = (runtime(), runtime());
        let arrived = Arc::default();
        let (server, echo, address) = there.block_on(async {
            let server = node("server@127.0.0.1").await;
            let inbox = server.inbox().expect("nobody else took it");
            tokio::spawn(deliveries::count(inbox, Arc::clone(&arrived)));
            let echo = server.spawn(echo).await.expect("room for one");
            let repeat = |payload: Bytes| async move { Ok(payload) };
            server.register_function_bytes(ECHO, repeat).expect("registered once");
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("bound");
            tokio::spawn(bare::serve(listener));
            (server, echo, address)
        });
        let (client, bare) = here.block_on(async {
            let client = node("client@127.0.0.1").await;
            let contact = Contact::from(&*server.spec());
            client.sync_join(contact, PATIENCE).await.expect("the server is there");
            (client, Bare::connect(address).await)
        });
        Self { here, _there: there, client, server, echo, bare, arrived }
    }

    /// So many callers, each with its next call once the last is answered: the times of all calls.
    fn run(&self, carrier: Carrier, callers: usize, size: usize, time: Duration) -> Vec<Duration> {
        let until = Instant::now() + time;
        self.here.block_on(async {
            let mut running = JoinSet::new();
            for _ in 0..callers {
                let (client, bare) = (self.client.clone(), self.bare.clone());
                let (echo, there) = (self.echo, self.server.id());
                let payload = Bytes::from(vec![7; size]);
                running.spawn(async move {
                    let options = CallOptions::from(PATIENCE);
                    let mut times = Vec::new();
                    while Instant::now() < until {
                        let (began, payload) = (Instant::now(), payload.clone());
                        let answer = match carrier {
                            Carrier::Process => client.call_bytes(echo, payload, options).await,
                            Carrier::Function => {
                                client.rpc_bytes(there, ECHO, payload, options).await
                            }
                            Carrier::Bare => Ok(bare.call(payload).await),
                        };
                        assert_eq!(answer.expect("an answer").len(), size);
                        times.push(began.elapsed());
                    }
                    times
                });
            }
            running.join_all().await.concat()
        })
    }
}

/// Calls a second, and what one takes.
#[derive(Clone, Copy, Debug)]
struct Cell {
    rate: f64,
    p50: f64,
    p99: f64,
}

impl Cell {
    fn new(times: Vec<Duration>, time: Duration) -> Self {
        let rate = times.len() as f64 / time.as_secs_f64();
        let [p50, p99] = percentiles(times);
        Self { rate, p50, p99 }
    }
}

fn calls(plan: &Plan, bench: &Bench) {
    println!("\nCalls: a second, and what one takes in us; ratios are to the bare stream");
    println!(
        "{:>6} {:>7} | {:>9} {:>7} {:>7} | {:>9} {:>7} {:>7} | {:>9} {:>7} {:>7} | {:>13} {:>13}",
        "bytes",
        "callers",
        "process/s",
        "p50",
        "p99",
        "funct./s",
        "p50",
        "p99",
        "bare/s",
        "p50",
        "p99",
        "process ratio",
        "funct. ratio",
    );
    for size in [64, 1 << 10, 64 << 10] {
        for callers in [1, 16, 64] {
            row(plan, bench, size, callers);
        }
    }
}

fn row(plan: &Plan, bench: &Bench, size: usize, callers: usize) {
    let run = |carrier| Cell::new(bench.run(carrier, callers, size, plan.time), plan.time);
    // Carriers take turns, so that what else the machine does hits them alike.
    let rounds: Vec<[Cell; 3]> = (0..plan.rounds).map(|_| CARRIERS.map(run)).collect();
    let of = |what: &dyn Fn(&[Cell; 3]) -> f64| median(rounds.iter().map(what).collect());
    let shown = |carrier: usize| {
        format!(
            "{:>9.0} {:>7.0} {:>7.0}",
            of(&|round| round[carrier].rate),
            of(&|round| round[carrier].p50),
            of(&|round| round[carrier].p99),
        )
    };
    println!(
        "{size:>6} {callers:>7} | {} | {} | {} | {:>13.2} {:>13.2}",
        shown(0),
        shown(1),
        shown(2),
        of(&|round| round[0].rate / round[2].rate),
        of(&|round| round[1].rate / round[2].rate),
    );
}

fn monitors(plan: &Plan, bench: &Bench) {
    const COUNT: usize = 2_000;
    println!("\nMonitors of processes of the other node, in us");
    let (mut set_up, mut down, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    bench.here.block_on(async {
        let mut watcher = bench.client.attach(SpawnOptions::default()).await.expect("room for one");
        for _ in 0..plan.rounds {
            let mut spawned = Vec::new();
            for _ in 0..COUNT {
                spawned.push(bench.server.spawn(ends).await.expect("room for all"));
            }
            let began = Instant::now();
            for process in &spawned {
                watcher.monitor(*process).await;
            }
            watched(&bench.server, spawned[COUNT - 1]).await;
            set_up.push(began.elapsed() / COUNT as u32);
            for process in spawned {
                let began = Instant::now();
                watcher.send(process, "end").await.expect("connected");
                let ended = watcher.receive().await;
                assert!(matches!(ended, Some(Input::Signal(Signal::Down { .. }))), "{ended:?}");
                down.push(began.elapsed());
            }
        }
        for _ in 0..COUNT {
            let began = Instant::now();
            bench.bare.call(Bytes::from_static(b"end")).await;
            bare.push(began.elapsed());
        }
    });
    let each = median(set_up.iter().map(|time| time.as_secs_f64() * 1e6).collect());
    println!("  set up, one after the other, until the last has arrived: {each:.1} each");
    let ([p50, p99], [bare50, bare99]) = (percentiles(down), percentiles(bare));
    println!("  from telling a process to end to DOWN: p50 {p50:.0}, p99 {p99:.0}");
    println!("  a bare round trip: p50 {bare50:.0}, p99 {bare99:.0}; ratio {:.2}", p50 / bare50);
}

async fn watched(server: &Node, process: ProcessId) {
    loop {
        let info = server.process_info(process).await.expect("the node runs");
        if info.is_some_and(|info| info.watched_by > 0) {
            return;
        }
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
