//! A counter that is asked from another node, a function that is called there, and a request that
//! somebody else answers.
//!
//!     cargo run --release -p partisan-tokio --example calls

use std::time::Duration;

use partisan_tokio::{
    Contact, Input, Node, NodeName, Process, ProcessName, Reference, Settings, SpawnOptions,
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let alice = Node::start(Settings::new(NodeName::new("alice@127.0.0.1")?)).await?;
    let bob = Node::start(Settings::new(NodeName::new("bob@127.0.0.1")?)).await?;
    bob.sync_join(Contact::from(&*alice.spec()), PATIENCE).await?;

    // A server with a name, asked by it.
    let name = ProcessName::new("counter")?;
    alice.spawn_with(SpawnOptions::default().name(name.clone()), counter).await?;
    let there = (alice.id(), name);
    for _ in 0..3 {
        bob.cast(there.clone(), "one more").await;
    }
    let count: u64 = bob.call(there, "how many?", PATIENCE).await?;
    println!("alice's counter has counted {count}");

    // A function: every call is a task of its own, and an error comes back as what it is.
    alice.register_function("divide", |(a, b): (i64, i64)| async move {
        a.checked_div(b).ok_or_else(|| format!("{a} cannot be divided by {b}"))
    })?;
    let answer: i64 = bob.rpc(alice.id(), "divide", &(42_i64, 6_i64), PATIENCE).await?;
    println!("alice divides 42 by 6: {answer}");
    let error = bob.rpc::<_, i64>(alice.id(), "divide", &(1_i64, 0_i64), PATIENCE).await;
    println!("and 1 by 0: {:?}", error.err().and_then(|error| error.thrown::<String>()));

    // The clerk hands on where the answer goes; the expert, on another node, answers.
    let expert = bob.spawn(expert).await?;
    let clerk = alice.spawn(move |process: Process| clerk(process, expert.into())).await?;
    let answer: String = bob.call(clerk, "a hard question", PATIENCE).await?;
    println!("asked the clerk, the expert says: {answer}");
    bob.shutdown().await;
    alice.shutdown().await;
    Ok(())
}

/// Counts messages, and answers every request with their number.
async fn counter(mut process: Process) -> Result<(), Failure> {
    let mut count = 0_u64;
    while let Some(input) = process.receive().await {
        match input {
            Input::Message(_) => count += 1,
            Input::Request(request) => request.reply(&count).await?,
            _ => {}
        }
    }
    Ok(())
}

async fn clerk(mut process: Process, expert: Reference) -> Result<(), Failure> {
    while let Some(input) = process.receive().await {
        if let Input::Request(request) = input {
            let question: String = request.decode()?;
            let handed_on = (Reference::from(request.reply_to), question);
            process.send(expert.target()?, &handed_on).await?;
        }
    }
    Ok(())
}

async fn expert(mut process: Process) -> Result<(), Failure> {
    while let Some(input) = process.receive().await {
        if let Input::Message(message) = input {
            let (reply_to, question): (Reference, String) = message.decode()?;
            let answer = postcard::to_allocvec(&format!("to {question:?}: 42"))?;
            process.node().reply(reply_to.request()?, Ok(answer.into())).await?;
        }
    }
    Ok(())
}
