//! A replicated key-value store on three nodes over TCP, one of which is killed half-way and comes
//! back with nothing.
//!
//!     cargo run --release -p partisan-tokio --example kv
//!
//! The servers are those of `partisan_sim::applications::kv`, which the simulator puts on trial.
//! What it says is checked: it exits with 1 when a promise is not kept.

mod stage;

use std::process::ExitCode;

use partisan_proto::behaviour::ServerProcess;
use partisan_sim::applications::kv::{self, Context, Kv, KvCall, KvReply, Limits, Object};
use partisan_tokio::{LocalCluster, Node, Registration, ServerHandle, StartOptions};
use stage::{DEADLINE, Failure, Say, conclude, demand, eventually};

#[tokio::main]
async fn main() -> ExitCode {
    conclude(run(&|text| println!("{text}")).await)
}

/// One node's store.
struct Store {
    server: ServerHandle<Kv>,
    _kept: Registration,
}

impl Store {
    async fn start(node: &Node) -> Result<Self, Failure> {
        let options = StartOptions::default().name(kv::server_name());
        let process = ServerProcess::new(Kv::new(Limits::default()));
        let server = node.start_behaviour(options, process).await?;
        let _kept = node.keep_broadcasts_by(kv::NAME, server.clone())?;
        Ok(Self { server, _kept })
    }

    async fn read(&self, key: &str) -> Result<Object, Failure> {
        match self.server.call(&KvCall::Get(key.into())).await? {
            KvReply::Found(object) => Ok(object),
            other => Err(format!("a read was answered {other:?}").into()),
        }
    }

    /// Writes; says how many nodes have it.
    async fn write(
        &self,
        key: &str,
        known: &Context,
        value: &str,
        copies: u8,
    ) -> Result<usize, Failure> {
        let value = Some(value.as_bytes().to_vec());
        let put = KvCall::Put { key: key.into(), known: known.clone(), value, copies };
        match self.server.call(&put).await? {
            KvReply::Stored { holders, .. } => Ok(holders.len()),
            other => Err(format!("a write was answered {other:?}").into()),
        }
    }

    async fn root(&self) -> Result<u64, Failure> {
        match self.server.call(&KvCall::Root).await? {
            KvReply::Root(root) => Ok(root),
            other => Err(format!("asked for its root, it answers {other:?}").into()),
        }
    }
}

fn texts(object: &Object) -> Vec<String> {
    let text = |value: &Vec<u8>| String::from_utf8_lossy(value).into_owned();
    object.values().values().map(text).collect()
}

/// Runs it all.
pub(crate) async fn run(say: Say<'_>) -> Result<(), Failure> {
    let mut config = stage::quick();
    kv::configure(&mut config);
    let mut cluster = stage::three(config).await?;
    let mut stores = Vec::new();
    for node in cluster.nodes() {
        stores.push(Store::start(node).await?);
    }
    say("n1, n2 and n3 are one cluster, and each has a copy of the store");
    siblings(&stores, say).await?;
    let written = lose_a_node(&cluster, &stores, say).await?;
    return_with_nothing(&mut cluster, &mut stores, written, say).await?;
    cluster.shutdown().await;
    Ok(())
}

/// Two write at once, a third sees both and settles it.
async fn siblings(stores: &[Store], say: Say<'_>) -> Result<(), Failure> {
    say("\nn1 and n2 write to the same key, and do not know of each other:");
    let nothing = Context::default();
    let (one, other) = tokio::join!(
        stores[0].write("dinner", &nothing, "pizza", 3),
        stores[1].write("dinner", &nothing, "sushi", 3)
    );
    say(&format!("  pizza is on {} nodes, sushi on {}", one?, other?));
    let both = stores[2].read("dinner").await?;
    say(&format!("  n3 reads {}", texts(&both).join(" and ")));
    demand(texts(&both).len() == 2, "both values must be there")?;
    let copies = stores[2].write("dinner", both.context(), "pizza, then sushi", 3).await?;
    say(&format!("  n3 has read both, and replaces them: on {copies} nodes"));
    for store in stores {
        let now = texts(&store.read("dinner").await?);
        demand(now == ["pizza, then sushi"], "one value must be left")?;
    }
    Ok(())
}

const WRITES: usize = 200;

/// Writes by way of a node that is killed in the midst of it; says how many were answered.
async fn lose_a_node(
    cluster: &LocalCluster,
    stores: &[Store],
    say: Say<'_>,
) -> Result<usize, Failure> {
    say(
        "\nn3 is told to write key after key, each to two nodes at least, and is killed meanwhile:",
    );
    let writing = async {
        let mut answered = 0;
        while answered < WRITES {
            let key = format!("key {answered}");
            match stores[2].write(&key, &Context::default(), "precious", 2).await {
                Ok(_) => answered += 1,
                Err(_) => break,
            }
            if answered == WRITES / 2 {
                cluster.kill(2).await;
            }
        }
        answered
    };
    let answered = tokio::time::timeout(DEADLINE, writing).await?;
    say(&format!("  {answered} writes were answered, then n3 was gone"));
    demand(answered >= WRITES / 2, "it was killed too soon")?;
    eventually("n1 and n2 have all of them", || async {
        Ok(count(&stores[0]).await? >= answered && count(&stores[1]).await? >= answered)
    })
    .await?;
    say(&format!("  n1 and n2 have all {answered}"));
    Ok(answered)
}

/// How many of the precious keys there are, counted from the first.
async fn count(store: &Store) -> Result<usize, Failure> {
    for number in 0..WRITES {
        if store.read(&format!("key {number}")).await?.values().is_empty() {
            return Ok(number);
        }
    }
    Ok(WRITES)
}

/// The killed node is started again.
async fn return_with_nothing(
    cluster: &mut LocalCluster,
    stores: &mut [Store],
    written: usize,
    say: Say<'_>,
) -> Result<(), Failure> {
    let known = stores[0].read("dinner").await?;
    stores[0].write("dinner", known.context(), "soup", 2).await?;
    say("\nn1 changes dinner to soup; then n3 comes back, with nothing:");
    cluster.restart(2).await?;
    stores[2] = Store::start(cluster.node(2)).await?;
    demand(count(&stores[2]).await? == 0, "it must begin with nothing")?;
    cluster.node(2).join(cluster.contact(0)).await?;
    let all = &*stores;
    let took = eventually("n3 is equal to the others", || async {
        let roots = [all[0].root().await?, all[1].root().await?, all[2].root().await?];
        Ok(roots[0] == roots[1] && roots[1] == roots[2])
    })
    .await?;
    let (keys, dinner) = (count(&stores[2]).await?, texts(&stores[2].read("dinner").await?));
    say(&format!("  after {} ms it has {keys} keys, and dinner is {dinner:?}", took.as_millis()));
    demand(keys >= written && dinner == ["soup"], "it must have what the others have")
}
