//! Three nodes over TCP, and a process that watches others: one ends, one dies with its node, one is
//! lost behind a connection that is cut in the middle. Of each it is told once, with the reason.
//!
//!     cargo run --release -p partisan-tokio --example monitors
//!
//! What it says is checked: it exits with 1 when a promise is not kept in time.

#[path = "../tests/support/proxy.rs"]
mod proxy;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use partisan_tokio::{
    Address, Config, Contact, ExitReason, Input, Node, NodeName, Process, ProcessId, Reference,
    Settings, Signal, SpawnOptions, Target,
};
use proxy::{Cut, Proxy};
use tokio::sync::watch;

/// How long anything may take that is promised; usually it is a few milliseconds.
const DEADLINE: Duration = Duration::from_secs(30);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What is told, and where it goes.
type Say<'a> = &'a dyn Fn(&str);

#[tokio::main]
async fn main() -> ExitCode {
    match run(&|text| println!("{text}")).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("a promise was not kept: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs it all.
pub(crate) async fn run(say: Say<'_>) -> Result<(), Failure> {
    let (told, target) = watch::channel(None);
    let proxy = Proxy::start(target).await;
    // Nobody can dial alice, so that whatever goes between her and carol goes by the proxy.
    let alice = Node::start(settings("alice@127.0.0.1")?.listen([])).await?;
    let bob = Node::start(settings("bob@127.0.0.1")?).await?;
    let behind = free_address()?;
    told.send_replace(Some(behind.clone()));
    let hidden = settings("carol@127.0.0.1")?.listen([behind]).advertise([proxy.address.clone()]);
    let carol = Node::start(hidden).await?;
    for node in [&bob, &carol] {
        alice.sync_join(Contact::from(&*node.spec()), DEADLINE).await?;
    }
    say("alice, bob and carol are one cluster; alice reaches carol by a proxy");

    let mut watcher = alice.attach(SpawnOptions::default()).await?;
    let worker = bob.spawn(work).await?;
    let watched = [
        (bob.name(), worker),
        (bob.name(), bob.spawn(work).await?),
        (carol.name(), carol.spawn(work).await?),
    ];
    for (_, process) in &watched {
        watcher.monitor(*process).await;
        seen(&alice, *process).await?;
    }

    say("\na process of bob's ends:");
    watcher.send(worker, "done").await?;
    let done = ExitReason::other(b"done").ok_or("too long")?;
    down(&mut watcher, &watched[0], &done, say).await?;
    say("\nbob is killed:");
    bob.abort().await;
    down(&mut watcher, &watched[1], &ExitReason::NoConnection, say).await?;
    say("\nfrom carol nothing arrives any more, and nobody closes the connection:");
    proxy.cut(Cut { there: false, back: true });
    down(&mut watcher, &watched[2], &ExitReason::NoConnection, say).await?;

    // All that was on its way before this is here after it.
    watcher.unlink(watcher.id()).await;
    match watcher.try_receive() {
        None => say("\nand of none a second time"),
        Some(input) => return Err(format!("told again: {input:?}").into()),
    }
    carol.abort().await;
    alice.shutdown().await;
    Ok(())
}

/// Waits for a message, and ends with what it says.
async fn work(mut process: Process) -> ExitReason {
    match process.receive().await {
        Some(Input::Message(message)) => {
            let word = message.decode::<String>().unwrap_or_default();
            ExitReason::other(word.as_bytes()).unwrap_or(ExitReason::Normal)
        }
        _ => ExitReason::Normal,
    }
}

/// A silent connection is noticed within half a second.
fn settings(name: &str) -> Result<Settings, Failure> {
    let mut config = Config::default();
    let keep_alive = &mut config.connections.keep_alive;
    keep_alive.idle_timeout = Duration::from_millis(100);
    keep_alive.ping_timeout = Duration::from_millis(100);
    keep_alive.max_attempts = 3;
    Ok(Settings::new(NodeName::new(name)?).config(config))
}

fn free_address() -> Result<Address, Failure> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.into())
}

/// Waits until the monitor has arrived: a message may overtake it.
async fn seen(from: &Node, process: ProcessId) -> Result<(), Failure> {
    let watched = async {
        while from.process_info(process).await?.is_some_and(|info| info.watched_by == 0) {
            tokio::task::yield_now().await;
        }
        Ok(())
    };
    tokio::time::timeout(DEADLINE, watched).await?
}

/// Waits for the one piece of news that must come next.
async fn down(
    watcher: &mut Process,
    (node, process): &(NodeName, ProcessId),
    expected: &ExitReason,
    say: Say<'_>,
) -> Result<(), Failure> {
    let (began, name) = (Instant::now(), Reference::from(*process).to_text(node));
    let input = tokio::time::timeout(DEADLINE, watcher.receive()).await?;
    match input {
        Some(Input::Signal(Signal::Down { target, reason, .. }))
            if target == Target::from(*process) && reason == *expected =>
        {
            let took = began.elapsed().as_millis();
            say(&format!("  DOWN {name}: {reason} (after {took} ms)"));
            Ok(())
        }
        other => Err(format!("of {name} it was told {other:?}").into()),
    }
}
