//! Virtual actors on three nodes over TCP: each is active once in the cluster, wherever it is asked
//! from. One node is killed half-way, and in the end another.
//!
//!     cargo run --release -p partisan-tokio --example actors
//!
//! The silos are those of `partisan_sim::applications::actors`, which the simulator puts on trial.
//! What it says is checked: it exits with 1 when a promise is not kept.

mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use partisan_proto::behaviour::ServerProcess;
use partisan_sim::applications::actors::{
    Counter, Silo, SiloCall, SiloOptions, SiloReply, server_name,
};
use partisan_tokio::{ProcessId, ServerHandle, StartOptions};
use stage::{Failure, Say, conclude, demand, eventually};

/// How many virtual actors are asked.
const ACTORS: usize = 30;
const LEASE: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() -> ExitCode {
    conclude(run(&|text| println!("{text}")).await)
}

type SiloHandle = ServerHandle<Silo<Counter>>;

/// Where each virtual actor is active, where it was before, and how far it has counted.
#[derive(Default)]
struct Log {
    now: BTreeMap<usize, (ProcessId, u64)>,
    before: BTreeSet<(usize, ProcessId)>,
}

impl Log {
    /// Asks a virtual actor; `false` when it cannot be reached now. Fails where it is active twice.
    async fn ask(&mut self, silo: &SiloHandle, actor: usize) -> Result<bool, Failure> {
        let call = SiloCall::Ask(format!("actor {actor}"), Vec::new());
        let options = silo.options().timeout(LEASE * 2);
        // A request that was on its way to a node that died has no answer.
        let Ok(SiloReply::Answer { activation, answer }) = silo.call_with(&call, options).await
        else {
            return Ok(false);
        };
        let count = u64::from_be_bytes(answer.as_slice().try_into()?);
        demand(!self.before.contains(&(actor, activation)), "an old activation answers again")?;
        match self.now.insert(actor, (activation, count)) {
            Some((old, _)) if old != activation => {
                self.before.insert((actor, old));
                demand(count == 1, "a new activation begins afresh")?;
            }
            Some((_, last)) => demand(count > last, "an activation forgot what it counted")?,
            None => {}
        }
        Ok(true)
    }

    /// Asks all of them from all of these silos; how many could not be reached.
    async fn ask_all(&mut self, silos: &[SiloHandle]) -> Result<usize, Failure> {
        let mut unreached = 0;
        for actor in 0..ACTORS {
            for silo in silos {
                unreached += usize::from(!self.ask(silo, actor).await?);
            }
        }
        Ok(unreached)
    }

    /// How many are active on each of these nodes.
    fn spread(&self, silos: &[SiloHandle]) -> Vec<usize> {
        let on = |silo: &SiloHandle| {
            let nodes = self.now.values().map(|(activation, _)| activation.node);
            nodes.filter(|node| *node == silo.node().id()).count()
        };
        silos.iter().map(on).collect()
    }
}

/// Runs it all.
pub(crate) async fn run(say: Say<'_>) -> Result<(), Failure> {
    let cluster = stage::three(stage::quick()).await?;
    let voters = cluster.nodes().iter().map(|node| node.id()).collect();
    let options = SiloOptions { voters, lease: LEASE, idle: Duration::from_secs(60) };
    let mut silos: Vec<SiloHandle> = Vec::new();
    for node in cluster.nodes() {
        let silo = ServerProcess::new(Silo::<Counter>::new(options.clone()));
        let begin = StartOptions::default().name(server_name());
        silos.push(node.start_behaviour(begin, silo).await?);
    }
    say(
        "n1, n2 and n3 are one cluster, each with a silo; voters wait for a lease before they vote",
    );
    let mut log = Log::default();
    for actor in 0..ACTORS {
        reach(&mut log, &silos[actor % 3], actor).await?;
    }
    let unreached = log.ask_all(&silos).await?;
    demand(unreached == 0, "each is reached from each node")?;
    say(&format!(
        "\n{ACTORS} virtual actors were asked, each from every node, and each is one process:"
    ));
    say(&format!("  active on n1, n2 and n3: {:?}", log.spread(&silos)));

    let lost = log.spread(&silos)[2];
    say(&format!("\nn3 is killed, and {lost} of them with it:"));
    let began = Instant::now();
    cluster.kill(2).await;
    silos.truncate(2);
    for actor in 0..ACTORS {
        reach(&mut log, &silos[actor % 2], actor).await?;
    }
    let took = began.elapsed().as_millis();
    demand(log.before.len() >= lost, "those of n3 are new processes")?;
    say(&format!("  {took} ms later all {ACTORS} answer, those of n3 as new processes"));
    say(&format!("  active on n1 and n2: {:?}", log.spread(&silos)));

    say("\nn2 is killed as well, so that n1 is less than half of the voters:");
    cluster.kill(1).await;
    silos.truncate(1);
    eventually("nobody is served by n1 alone", || async {
        let call = SiloCall::Ask("actor 0".to_owned(), Vec::new());
        Ok(silos[0].call(&call).await? == SiloReply::Unavailable)
    })
    .await?;
    let mut log = Log::default();
    // All leases are over by then, since none can be renewed.
    let beat = tokio::time::Instant::now() + LEASE;
    tokio::time::sleep_until(beat).await;
    let unreached = log.ask_all(&silos).await?;
    demand(unreached == ACTORS, "a minority must serve nobody")?;
    say("  it serves nobody, since the others may live on behind a partition");
    cluster.shutdown().await;
    Ok(())
}

/// Asks a virtual actor until it answers.
async fn reach(log: &mut Log, silo: &SiloHandle, actor: usize) -> Result<(), Failure> {
    let end = Instant::now() + stage::DEADLINE;
    let mut beat = tokio::time::interval(Duration::from_millis(20));
    while !log.ask(silo, actor).await? {
        demand(Instant::now() < end, "a virtual actor cannot be reached")?;
        beat.tick().await;
    }
    Ok(())
}
