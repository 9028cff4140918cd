//! Calls to a `GenServer`, here and on the other node, beside a bare tokio task that answers over an
//! mpsc channel with a oneshot for each call; and what the engine of state machines does.

use std::time::{Duration, Instant};

use partisan_proto::process::Solo;
use partisan_tokio::behaviour::{
    ActorContext, CallResult, Caller, Event, GenServer, GenStatem, Initial, Next, Protocol,
    ServerHandle, ServerRef, StatemProcess, Timeout, Transition,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::{Bench, Cell, Plan, median};

/// Adds up what it is asked.
#[derive(Debug, Default)]
struct Sum(u64);

impl Protocol for Sum {
    type Call = u64;
    type Reply = u64;
    type Cast = u64;
}

impl GenServer for Sum {
    type Continue = ();

    fn handle_call(
        &mut self,
        more: u64,
        _: Caller<u64>,
        _: &mut ActorContext<'_>,
    ) -> CallResult<Self> {
        self.0 += more;
        CallResult::reply(self.0)
    }

    fn handle_cast(&mut self, more: u64, _: &mut ActorContext<'_>) -> Next<Self> {
        self.0 += more;
        Next::Wait
    }
}

type Bare = mpsc::Sender<(u64, oneshot::Sender<u64>)>;

/// Who answers.
#[derive(Clone)]
enum Answers {
    Server(ServerHandle<Sum>),
    Bare(Bare),
}

impl Answers {
    async fn call(&self) {
        match self {
            Self::Server(server) => _ = server.call(&1).await.expect("an answer"),
            Self::Bare(bare) => {
                let (reply, answer) = oneshot::channel();
                bare.send((1, reply)).await.expect("the task runs");
                answer.await.expect("an answer");
            }
        }
    }
}

/// So many callers, each with its next call once the last is answered.
fn run(bench: &Bench, answers: &Answers, callers: usize, time: Duration) -> Cell {
    let until = Instant::now() + time;
    let times = bench.here.block_on(async {
        let mut running = JoinSet::new();
        for _ in 0..callers {
            let answers = answers.clone();
            running.spawn(async move {
                let mut times = Vec::new();
                while Instant::now() < until {
                    let began = Instant::now();
                    answers.call().await;
                    times.push(began.elapsed());
                }
                times
            });
        }
        running.join_all().await.concat()
    });
    Cell::new(times, time)
}

fn bare(bench: &Bench) -> Bare {
    let (bare, mut asked) = mpsc::channel::<(u64, oneshot::Sender<u64>)>(1_024);
    bench.here.spawn(async move {
        let mut sum = 0;
        while let Some((more, reply)) = asked.recv().await {
            sum += more;
            let _ = reply.send(sum);
        }
    });
    bare
}

pub(super) fn servers(plan: &Plan, bench: &Bench) {
    let start = |node: &partisan_tokio::Node| {
        let node = node.clone();
        bench.here.block_on(async move { node.start_server(Sum::default()).await })
    };
    let here = start(&bench.client).expect("room for one");
    let there = start(&bench.server).expect("room for one");
    let there = bench.client.server(there.reference().clone());
    let all = [Answers::Server(here), Answers::Server(there), Answers::Bare(bare(bench))];
    println!("\nServers: calls a second, and what one takes in us; bare is mpsc and oneshot");
    println!(
        "{:>7} | {:>9} {:>7} {:>7} | {:>9} {:>7} {:>7} | {:>9} {:>7} {:>7}",
        "callers", "here/s", "p50", "p99", "there/s", "p50", "p99", "bare/s", "p50", "p99",
    );
    for callers in [1, 16, 64] {
        // They take turns, so that what else the machine does hits them alike.
        let rounds: Vec<Vec<Cell>> = (0..plan.rounds)
            .map(|_| all.iter().map(|it| run(bench, it, callers, plan.time)).collect())
            .collect();
        let shown = |which: usize| {
            let of = |what: fn(&Cell) -> f64| {
                median(rounds.iter().map(|round| what(&round[which])).collect())
            };
            let [rate, p50, p99] = [of(|it| it.rate), of(|it| it.p50), of(|it| it.p99)];
            format!("{rate:>9.0} {p50:>7.1} {p99:>7.1}")
        };
        println!("{callers:>7} | {} | {} | {}", shown(0), shown(1), shown(2));
    }
}

/// Goes back and forth with every event, with a timeout in each state, and puts some off.
#[derive(Debug)]
struct Pendulum;

impl Protocol for Pendulum {
    type Call = u8;
    type Reply = u8;
    type Cast = u8;
}

impl GenStatem for Pendulum {
    type State = bool;
    type Content = ();
    type Timer = ();

    fn init(&mut self, _: &mut ActorContext<'_>) -> Initial<Self> {
        Initial::state(false)
    }

    fn handle_event(
        &mut self,
        state: &bool,
        event: &Event<Self>,
        _: &mut ActorContext<'_>,
    ) -> Transition<Self> {
        match event {
            Event::Cast(1) if !*state => Transition::keep().postpone(),
            Event::Cast(2) => {
                Transition::next(!*state).timeout(Timeout::State, Duration::from_secs(1), ())
            }
            _ => Transition::keep(),
        }
    }
}

pub(super) fn statem(plan: &Plan) {
    println!("\nState machines: events a second of the engine, on one core");
    let cast = |what: u8| ServerRef::<Pendulum>::write_cast(&what).expect("a byte serialises");
    for (what, casts) in [
        ("kept states", [cast(0), cast(0)]),
        ("changed states, a timeout each", [cast(2), cast(2)]),
        ("every other put off and taken up again", [cast(1), cast(2)]),
    ] {
        let rates = (0..plan.rounds).map(|_| {
            let mut machine = Solo::start(StatemProcess::new(Pendulum));
            let (began, mut events) = (Instant::now(), 0_u64);
            while began.elapsed() < plan.time {
                for _ in 0..500 {
                    casts.iter().for_each(|cast| machine.message(cast.clone()));
                    while machine.step() {}
                }
                events += 1_000;
            }
            events as f64 / began.elapsed().as_secs_f64()
        });
        println!("  {what}: {:.2} million", median(rates.collect()) / 1e6);
    }
}
