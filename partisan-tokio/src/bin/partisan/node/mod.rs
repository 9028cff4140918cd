//! `partisan node`: runs a node until it is told to stop.

mod console;
mod control;
mod overlay;
mod perform;
mod processes;
mod prompt;
mod settings;
mod signals;
mod tell;

use std::sync::Arc;

use partisan_tokio::{Broadcast, Broadcasts, Contact, Mailbox, Node, NodeId, Overflow, StartError};
use tokio::sync::Notify;

use crate::arguments::NodeArguments;
use crate::failure::Failure;
use crate::requests::{Reply, Request};
use crate::table::render;
use console::{Console, Line};
use prompt::Wish;

/// A running node and the wish to stop it.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) node: Node,
    pub(crate) stop: Arc<Notify>,
}

/// Runs a node until it is told to stop.
pub(crate) async fn run(arguments: NodeArguments) -> Result<(), Failure> {
    let settings = settings::load(&arguments)?;
    let mut signals = signals::Signals::new()?;
    let node = Node::start(settings).await.map_err(start_failure)?;
    let host = Host { node: node.clone(), stop: Arc::new(Notify::new()) };
    let control = match &arguments.control {
        None => None,
        Some(path) => match control::Control::open(path, host.clone()) {
            Ok(control) => Some(control),
            Err(failure) => {
                node.shutdown().await;
                return Err(failure);
            }
        },
    };
    let (console, lines) = Console::open(&node.name());
    console.print(&format!("{} listens; cluster {}", node.spec(), node.config().cluster));
    let events = tokio::spawn(tell::events(node.clone(), node.events(), console.clone()));
    if let Ok(inbox) = node.inbox() {
        tokio::spawn(messages(node.clone(), inbox, console.clone()));
    }
    if let Ok(broadcasts) = node.broadcasts(overlay::HANDLER, Overflow::DropOldest) {
        tokio::spawn(told_to_all(node.clone(), broadcasts, console.clone()));
    }
    for address in arguments.join {
        let text = address.to_string();
        if let Err(error) = node.join(Contact::at(address)).await {
            console.print(&format!("cannot join {text}: {error}"));
        }
    }
    obey(&host, &console, lines, &mut signals).await;
    console.print("stopping; a second signal stops at once");
    tokio::select! {
        () = node.shutdown() => {}
        () = signals.next() => node.abort().await,
    }
    // Ends with the node.
    let _ = events.await;
    drop(control);
    console.close();
    Ok(())
}

fn start_failure(error: StartError) -> Failure {
    let usage = matches!(
        error,
        StartError::Settings(_)
            | StartError::SettingsFile { .. }
            | StartError::Config(_)
            | StartError::Spec(_)
            | StartError::NothingToAdvertise { .. }
    );
    let text = format!("the node cannot start: {error}");
    if usage { Failure::usage(text) } else { Failure::failed(text) }
}

/// Does what is asked until it is to stop.
async fn obey(
    host: &Host,
    console: &Console,
    mut lines: tokio::sync::mpsc::Receiver<Line>,
    signals: &mut signals::Signals,
) {
    let mut more = true;
    loop {
        tokio::select! {
            () = signals.next() => return,
            () = host.stop.notified() => return,
            () = host.node.stopped() => return,
            line = lines.recv(), if more => match line {
                Some(Line::Text(text)) => match prompt::parse(&text) {
                    Ok(Wish::Quit) => return,
                    Ok(Wish::Nothing) => {}
                    Ok(Wish::Help) => console.print(prompt::HELP.trim_end()),
                    Ok(Wish::Request(request)) => answer(host, console, request).await,
                    Err(error) => console.print(&format!("error: {error}")),
                },
                Some(Line::Quit) => return,
                None => more = false,
            },
        }
    }
}

async fn answer(host: &Host, console: &Console, request: Request) {
    match perform::perform(host, request).await {
        Reply::Done(text) if text.is_empty() => {}
        reply => console.print(render(&reply).trim_end()),
    }
}

async fn messages(node: Node, mut inbox: Mailbox, console: Console) {
    while let Some(message) = inbox.recv().await {
        let from = called(&node, message.from);
        let channel = node.config().channels.name(message.channel);
        let channel = channel.map_or_else(|| "?".into(), ToString::to_string);
        let text = message
            .decode::<String>()
            .unwrap_or_else(|_| format!("({} bytes)", message.payload.len()));
        console.print(&format!("{from} on {channel}: {}", tell::harmless(&text)));
    }
}

/// Prints what others tell to all.
async fn told_to_all(node: Node, mut broadcasts: Broadcasts, console: Console) {
    while let Some(broadcast) = broadcasts.recv().await {
        let message = match broadcast {
            Broadcast::Message(message) if message.from() == node.id() => continue,
            Broadcast::Message(message) => message,
            Broadcast::Missed(count) => {
                console.print(&format!("! {count} broadcasts were not printed"));
                continue;
            }
        };
        let text = message
            .decode::<String>()
            .unwrap_or_else(|_| format!("({} bytes)", message.payload().len()));
        let from = called(&node, message.from());
        console.print(&format!("{from} to all: {}", tell::harmless(&text)));
    }
}

/// The name of a node, where this one knows it.
fn called(node: &Node, id: NodeId) -> String {
    let members = node.members();
    let known = members.iter().find(|member| member.spec.id() == id);
    known.map_or_else(|| format!("node {id}"), |member| member.spec.name().to_string())
}
