//! Fifty nodes in one process, over TCP: each knows a handful of others, a message to all reaches
//! all, and twenty deaths at once change nothing about that.
//!
//!     cargo run --release -p partisan-tokio --example fifty
//!
//! What it says is checked: it exits with 1 when a promise is not kept in time.

use std::collections::{BTreeSet, HashMap};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use partisan_proto::config::{HyParViewConfig, ManagerConfig};
use partisan_tokio::{Broadcast, Config, LocalCluster, Node, NodeId, Overflow};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long anything may take that is promised; usually it is a few milliseconds.
const DEADLINE: Duration = Duration::from_secs(60);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What is told, and where it goes.
type Say<'a> = &'a dyn Fn(&str);

#[tokio::main]
async fn main() -> ExitCode {
    match run(50, 20, &|text| println!("{text}")).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("a promise was not kept: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs so many nodes, of which so many die.
pub(crate) async fn run(count: usize, deaths: usize, say: Say<'_>) -> Result<(), Failure> {
    let began = Instant::now();
    let manager = ManagerConfig::from(HyParViewConfig::default());
    let config = Config { manager, ..Config::default() };
    let cluster = LocalCluster::builder(count).config(config).start().await?;
    let mut watched = Watched::new(&cluster)?;
    say(&format!("{count} nodes listen on ports of their own ({})", since(began)));

    let began = Instant::now();
    for number in 1..count {
        cluster.node(number).sync_join(cluster.contact(number - 1), DEADLINE).await?;
    }
    let all: BTreeSet<usize> = (0..count).collect();
    watched.until("one overlay", |watched| watched.is_one_overlay(&all)).await?;
    say(&format!("they are one cluster ({}); neighbours of each:", since(began)));
    say(&degrees(&watched, &all));

    say("\nmessages to all, from five of them:");
    let roots: Vec<usize> = (0..5).map(|root| root * count / 5).collect();
    watched.tell_all(&roots, &all, say).await?;

    let mut dying = JoinSet::new();
    // Spread over all, and none of them among those who have spoken.
    let silent: Vec<usize> = all.iter().copied().filter(|n| !roots.contains(n)).collect();
    let dead: BTreeSet<usize> =
        (0..deaths).map(|death| silent[death * silent.len() / deaths]).collect();
    let began = Instant::now();
    for number in &dead {
        let node = watched.nodes[*number].clone();
        dying.spawn(async move { node.abort().await });
    }
    dying.join_all().await;
    say(&format!("\n{} die at once, without a word ({})", dead.len(), since(began)));

    let alive: BTreeSet<usize> = all.difference(&dead).copied().collect();
    say("messages to all at once, from five of the others:");
    let roots: Vec<usize> = alive.iter().copied().rev().step_by(alive.len() / 5).take(5).collect();
    let began = Instant::now();
    watched.tell_all(&roots, &alive, say).await?;
    watched.until("one overlay again", |watched| watched.is_one_overlay(&alive)).await?;
    say(&format!("the others are one overlay again ({}); neighbours of each:", since(began)));
    say(&degrees(&watched, &alive));
    watched.check_once(&alive)?;
    say(&format!(
        "\nall {} that live got every message, each exactly once; {:.2} copies a delivery",
        alive.len(),
        watched.copies(&alive)
    ));
    cluster.shutdown().await;
    Ok(())
}

/// What arrived at a node, and over how many hops.
type Arrivals = Vec<(String, u8)>;

/// The nodes of a cluster, and what they have received.
struct Watched {
    nodes: Vec<Node>,
    names: HashMap<NodeId, usize>,
    /// By node.
    received: Arc<Mutex<Vec<Arrivals>>>,
    /// Moves whenever anything happens.
    moved: watch::Sender<u64>,
    /// What everybody who lives should have.
    expected: Vec<String>,
}

impl Watched {
    fn new(cluster: &LocalCluster) -> Result<Self, Failure> {
        let nodes = cluster.nodes().to_vec();
        let received = Arc::new(Mutex::new(vec![Arrivals::new(); nodes.len()]));
        let moved = watch::Sender::new(0);
        for (number, node) in nodes.iter().enumerate() {
            let mut broadcasts = node.broadcasts("default", Overflow::Wait)?;
            let (received, told) = (Arc::clone(&received), moved.clone());
            tokio::spawn(async move {
                while let Some(Broadcast::Message(message)) = broadcasts.recv().await {
                    let text = message.decode().unwrap_or_else(|error| error.to_string());
                    let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
                    received[number].push((text, message.hops()));
                    drop(received);
                    told.send_modify(|moved| *moved += 1);
                }
            });
            let (mut events, told) = (node.events(), moved.clone());
            tokio::spawn(async move {
                while events.next().await.is_some() {
                    told.send_modify(|moved| *moved += 1);
                }
            });
        }
        let names = nodes.iter().enumerate().map(|(number, node)| (node.id(), number)).collect();
        Ok(Self { nodes, names, received, moved, expected: Vec::new() })
    }

    async fn until(
        &mut self,
        what: &str,
        condition: impl Fn(&Self) -> bool,
    ) -> Result<(), Failure> {
        let mut moved = self.moved.subscribe();
        let until = async {
            while !condition(self) {
                // Cannot fail: `self` holds the sender.
                let _ = moved.changed().await;
            }
        };
        let ended = tokio::time::timeout(DEADLINE, until).await;
        ended.map_err(|_| format!("no {what} within {DEADLINE:?}").into())
    }

    /// Who is next to a node, by number.
    fn neighbors(&self, number: usize) -> BTreeSet<usize> {
        let neighbors = self.nodes[number].neighbors();
        neighbors.iter().filter_map(|neighbor| self.names.get(&neighbor.node).copied()).collect()
    }

    /// Whether these are neighbours of each other and of nobody else, each is one of its neighbours'
    /// neighbours, and everybody is reached from everybody.
    fn is_one_overlay(&self, nodes: &BTreeSet<usize>) -> bool {
        let Some(first) = nodes.first() else { return true };
        let mutual = |node: &usize| {
            let neighbors = self.neighbors(*node);
            neighbors.is_subset(nodes)
                && neighbors.iter().all(|other| self.neighbors(*other).contains(node))
        };
        let (mut reached, mut next) = (BTreeSet::from([*first]), vec![*first]);
        while let Some(node) = next.pop() {
            next.extend(self.neighbors(node).into_iter().filter(|other| reached.insert(*other)));
        }
        reached.is_superset(nodes) && nodes.iter().all(mutual)
    }

    /// Each of `roots` tells all something; each of `nodes` must get it.
    async fn tell_all(
        &mut self,
        roots: &[usize],
        nodes: &BTreeSet<usize>,
        say: Say<'_>,
    ) -> Result<(), Failure> {
        for root in roots {
            let began = Instant::now();
            let text = format!("message {} of n{}", self.expected.len() + 1, root + 1);
            self.nodes[*root].broadcast("default", &text).await?;
            self.expected.push(text.clone());
            let everybody = |watched: &Self| nodes.iter().all(|n| watched.has(*n, &text));
            self.until(&format!("{text} everywhere"), everybody).await?;
            let hops = nodes.iter().filter_map(|node| self.hops(*node, &text)).max();
            say(&format!(
                "  {text:<20} reached {} of {} over at most {} hops ({})",
                nodes.len(),
                nodes.len(),
                hops.unwrap_or(0),
                since(began)
            ));
        }
        Ok(())
    }

    fn hops(&self, node: usize, text: &str) -> Option<u8> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received[node].iter().find(|(got, _)| got == text).map(|(_, hops)| *hops)
    }

    fn has(&self, node: usize, text: &str) -> bool {
        self.hops(node, text).is_some()
    }

    /// Fails unless each node got exactly what it should, nothing twice.
    fn check_once(&self, nodes: &BTreeSet<usize>) -> Result<(), Failure> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        let mut expected = self.expected.clone();
        expected.sort_unstable();
        for node in nodes {
            let mut got: Vec<&String> = received[*node].iter().map(|(text, _)| text).collect();
            got.sort_unstable();
            if !got.iter().copied().eq(&expected) {
                return Err(format!("n{} got {got:?}, not {expected:?}", node + 1).into());
            }
        }
        Ok(())
    }

    /// How many payloads were sent by those who live, for each that they got.
    fn copies(&self, nodes: &BTreeSet<usize>) -> f64 {
        let counters = || nodes.iter().map(|node| self.nodes[*node].counters().protocol.broadcast);
        let payloads: u64 = counters().map(|counters| counters.payloads).sum();
        let received: u64 = counters().map(|counters| counters.received).sum();
        payloads as f64 / received.max(1) as f64
    }
}

/// A bar for each number of neighbours.
fn degrees(watched: &Watched, nodes: &BTreeSet<usize>) -> String {
    let degrees: Vec<usize> = nodes.iter().map(|node| watched.neighbors(*node).len()).collect();
    let most = degrees.iter().copied().max().unwrap_or(0);
    let line = |degree: usize| {
        let count = degrees.iter().filter(|other| **other == degree).count();
        format!("  {degree:>2} {:<30} {count}", "#".repeat(count))
    };
    Vec::from_iter((1..=most).map(line)).join("\n")
}

fn since(began: Instant) -> String {
    format!("{:.1} ms", began.elapsed().as_secs_f64() * 1e3)
}
