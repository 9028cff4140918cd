//! Processes over real TCP: messages, names, monitors, links, exits, timers.

mod life;
mod links;
mod machines;
mod messages;
mod monitors;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use bytes::Bytes;
use partisan_proto::process::{Actor, ActorContext};
use partisan_proto::{CloseReason, Incarnation, Serial, process};
use partisan_tokio::{
    AliasUntil, CommandError, DriverConfig, ExitReason, Input, Lane, MonitorOptions, Node,
    NodeChange, NodeError, NodeFilter, Process, ProcessId, ProcessName, Reference, SendError,
    SendOptions, Signal, SpawnOptions, Target,
};
use support::{
    DEADLINE, contact, eventually, fully_connected, pair, pair_of, settings, soon, start,
};
use tokio::sync::{mpsc, oneshot};

fn named(text: &str) -> ProcessName {
    ProcessName::new(text).unwrap()
}

fn why(text: &str) -> ExitReason {
    ExitReason::other(text.as_bytes()).unwrap()
}

async fn me(node: &Node) -> Process {
    node.attach(SpawnOptions::default()).await.unwrap()
}

async fn trapping(node: &Node) -> Process {
    node.attach(SpawnOptions::default().trap_exit()).await.unwrap()
}

/// The text of the next message.
async fn text(process: &mut Process) -> String {
    match soon(process.receive()).await {
        Some(Input::Message(message)) => message.decode().unwrap(),
        other => panic!("{other:?}"),
    }
}

async fn signal(process: &mut Process) -> Signal {
    match soon(process.receive()).await {
        Some(Input::Signal(signal)) => signal,
        other => panic!("{other:?}"),
    }
}

/// The number and the reason of the next signal, of a monitor that has ended.
async fn down(process: &mut Process) -> (u64, ExitReason) {
    match signal(process).await {
        Signal::Down { number, reason, .. } => (number, reason),
        other => panic!("{other:?}"),
    }
}

async fn exit_of(process: &mut Process) -> (ProcessId, ExitReason) {
    match signal(process).await {
        Signal::Exit { from, reason } => (from, reason),
        other => panic!("{other:?}"),
    }
}

/// Ends with what it is told to end with.
async fn ends_as_told(mut process: Process) -> ExitReason {
    loop {
        match process.receive().await {
            Some(Input::Message(message)) => return why(&message.decode::<String>().unwrap()),
            Some(_) => {}
            None => return ExitReason::Normal,
        }
    }
}

/// All that was done by what this process did before has happened.
async fn settled(process: &Process) {
    process.unlink(process.id()).await;
}

async fn eventually_watched(node: &Node, process: ProcessId) {
    soon(async {
        while node.process_info(process).await.unwrap().unwrap().watched_by == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
