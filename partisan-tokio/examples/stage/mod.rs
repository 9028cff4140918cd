//! What the examples of applications have in common: three nodes over TCP, a voice, and patience.
#![allow(dead_code, unreachable_pub, missing_docs)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use partisan_tokio::{Config, LocalCluster};

/// How long anything may take that is promised; usually it is a few milliseconds.
pub const DEADLINE: Duration = Duration::from_secs(30);

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What is told, and where it goes.
pub type Say<'a> = &'a (dyn Fn(&str) + Sync);

/// Prints, and says by its exit code whether every promise was kept.
pub fn conclude(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => {
            println!("\nevery promise was kept");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("\na promise was not kept: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Three nodes that know each other.
pub async fn three(config: Config) -> Result<LocalCluster, Failure> {
    let cluster = LocalCluster::builder(3).config(config).start().await?;
    cluster.join_all(DEADLINE).await?;
    Ok(cluster)
}

/// Quick rounds, so that nobody has to wait for them.
pub fn quick() -> Config {
    let mut config = Config::default();
    config.broadcast.exchange.interval = Duration::from_millis(300);
    config.connections.retry_least = Duration::from_millis(50);
    config.connections.retry_most = Duration::from_millis(200);
    config
}

/// Fails with this text unless the condition holds.
pub fn demand(condition: bool, text: &str) -> Result<(), Failure> {
    if condition { Ok(()) } else { Err(text.into()) }
}

/// Asks again and again until it is true; says how long that took.
pub async fn eventually<F: Future<Output = Result<bool, Failure>>>(
    what: &str,
    mut asked: impl FnMut() -> F,
) -> Result<Duration, Failure> {
    let began = Instant::now();
    let mut beat = tokio::time::interval(Duration::from_millis(10));
    while began.elapsed() < DEADLINE {
        beat.tick().await;
        if asked().await? {
            return Ok(began.elapsed());
        }
    }
    Err(format!("not within {DEADLINE:?}: {what}").into())
}
