//! A supervised server on one node, used from another, crashes and is there again:
//! `cargo run -p partisan-tokio --example supervised`.

use std::error::Error;
use std::time::Duration;

use partisan_tokio::behaviour::supervisor::Strategy;
use partisan_tokio::behaviour::{
    ActorContext, CallResult, Caller, ChildSpec, GenServer, Next, Protocol, ServerProcess,
    Supervisor,
};
use partisan_tokio::{Contact, Node, NodeName, ProcessName, Settings};
use serde::{Deserialize, Serialize};

/// Keeps a sum, and cannot divide by zero.
#[derive(Debug, Default)]
struct Calculator {
    sum: u64,
}

#[derive(Debug, Serialize, Deserialize)]
enum Ask {
    Add(u64),
    DivideBy(u64),
}

impl Protocol for Calculator {
    type Call = Ask;
    type Reply = u64;
    type Cast = ();
}

impl GenServer for Calculator {
    type Continue = ();

    fn handle_call(
        &mut self,
        ask: Ask,
        _: Caller<u64>,
        _: &mut ActorContext<'_>,
    ) -> CallResult<Self> {
        match ask {
            Ask::Add(more) => self.sum += more,
            Ask::DivideBy(by) => self.sum /= by,
        }
        CallResult::reply(self.sum)
    }

    fn handle_cast(&mut self, (): (), _: &mut ActorContext<'_>) -> Next<Self> {
        Next::Wait
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let alice = Node::start(Settings::new(NodeName::new("alice@127.0.0.1")?)).await?;
    let bob = Node::start(Settings::new(NodeName::new("bob@127.0.0.1")?)).await?;
    bob.sync_join(Contact::from(&*alice.spec()), Duration::from_secs(10)).await?;

    let name = ProcessName::new("calculator")?;
    let child = ChildSpec::new("calculator", || ServerProcess::new(Calculator::default()));
    let supervisor = Supervisor::new(Strategy::OneForOne).child(child.name(name.clone()));
    alice.start_supervisor(supervisor).await?;

    let calculator = bob.server::<Calculator>((alice.id(), name));
    println!("20 + 22 = {}", calculator.call(&Ask::Add(20)).await? + 22);
    if let Err(error) = calculator.call(&Ask::DivideBy(0)).await {
        println!("20 / 0: {error}");
    }
    // It takes a moment until the next one has the name.
    let sum = loop {
        match calculator.call(&Ask::Add(1)).await {
            Ok(sum) => break sum,
            Err(error) => println!("meanwhile: {error}"),
        }
    };
    println!("a new one began with nothing: 0 + 1 = {sum}");
    bob.shutdown().await;
    alice.shutdown().await;
    Ok(())
}
