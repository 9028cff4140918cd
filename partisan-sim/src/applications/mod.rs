//! Whole applications, each written once as pure machines: the examples of `partisan-tokio` run them
//! over TCP, and a [`Scenario`](crate::Scenario) puts them on trial here, with users and faults.
//!
//! | application | after | what it shows |
//! |---|---|---|
//! | [`kv`] | PlumDB | a replicated store: broadcast, exchange with Merkle trees, siblings |
//! | [`chat`] | | a room without a centre: causal order, history for those who come later |
//! | [`actors`] | Erleans | virtual actors: one activation in the cluster, by votes and leases |
//! | [`router`] | Bondy | publish and subscribe, in order per session by partition key |
//!
//! Each has its servers, which know nothing of the simulator, and an [`Application`] that is its
//! trial: what users do, and the checker of what is promised to them.

pub mod actors;
mod asked;
pub mod chat;
pub mod kv;
pub mod router;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use partisan_proto::behaviour::{Protocol, ServerRef};
use partisan_proto::config::{HandlerOptions, StoreConfig};
use partisan_proto::process::{Actor, SpawnOptions};
use partisan_proto::{Config, Duration, HandlerName, ProcessName};

use crate::check::{Violation, ViolationKind, broadcast};
use crate::world::World;

/// How long whoever asks all servers waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// An application on trial.
pub trait Application: fmt::Debug {
    /// What its nodes need in their configuration.
    fn configure(&self, config: &mut Config) {
        _ = config;
    }

    /// Has the nodes of a world run it, of which there will be so many, before there are any.
    fn install(self: Rc<Self>, world: &mut World, nodes: usize);

    /// Users on a live node do something; what follows from the dice.
    fn act(self: Rc<Self>, world: &mut World, node: usize, dice: u64);

    /// The most frames that so many nodes at rest send for it within so many seconds.
    fn frames_at_rest(&self, nodes: u64, seconds: u64) -> u64 {
        _ = (nodes, seconds);
        0
    }

    /// All is healed: reports what then is not as promised.
    fn settle(self: Rc<Self>, world: &mut World);
}

/// A process of this name, as a [`Program`](crate::processes::Program) has it.
#[must_use]
pub fn process(name: ProcessName, actor: impl Actor + 'static) -> (Box<dyn Actor>, SpawnOptions) {
    (Box::new(actor), SpawnOptions { name: Some(name), ..SpawnOptions::default() })
}

/// The server of this name on a node.
#[must_use]
pub fn server_of<P: Protocol>(world: &World, node: usize, name: &ProcessName) -> ServerRef<P> {
    ServerRef::named(world.hosts()[node].name().id(), name.clone())
}

/// Asks the server of this name on each live node the same; says who answered what within the time.
pub fn ask_all<P: Protocol>(
    world: &mut World,
    name: &ProcessName,
    call: &P::Call,
    within: Duration,
) -> BTreeMap<usize, P::Reply> {
    let answers: Rc<RefCell<BTreeMap<usize, P::Reply>>> = Rc::default();
    let nodes: Vec<usize> = world.live().collect();
    for node in &nodes {
        let (server, answers, node) = (server_of::<P>(world, *node, name), answers.clone(), *node);
        world.ask(node, &server, call, Some(within), move |_, reply| {
            if let Ok(reply) = reply {
                answers.borrow_mut().insert(node, reply);
            }
        });
    }
    let all = answers.clone();
    world.run_until(move |_| all.borrow().len() == nodes.len(), within);
    answers.take()
}

/// Waits until the servers of this name that can reach each other answer the same; reports when they
/// do not in time.
pub fn agree<P: Protocol<Reply: PartialEq>>(
    world: &mut World,
    name: &ProcessName,
    call: &P::Call,
    within: Duration,
) {
    let end = world.now() + within;
    while world.violations().is_empty() {
        let replies = ask_all::<P>(world, name, call, PATIENCE);
        let differ = |part: &Vec<usize>| {
            let mut replies = part.iter().map(|node| replies.get(node));
            let first = replies.next().flatten();
            !part.is_empty() && (first.is_none() || replies.any(|reply| reply != first))
        };
        let parts = broadcast::components(world);
        let Some(part) = parts.iter().find(|part| differ(part)) else {
            return;
        };
        if world.now() >= end {
            let text = format!("{part:?} differ after {within:?}: {replies:?}");
            let kind = ViolationKind::Undelivered;
            return world.report(Violation::new(kind, world.now(), part.first().copied(), text));
        }
        world.run_for(Duration::from_secs(1));
    }
}

/// A name that is known to be a good one.
fn process_name(text: &str) -> ProcessName {
    ProcessName::new(text).expect("a short plain name is good")
}

/// A name that is known to be a good one.
fn handler_name(text: &str) -> HandlerName {
    HandlerName::new(text).expect("a short plain name is good")
}

/// Has nodes of this configuration leave the messages of a handler to the application.
fn keep(config: &mut Config, handler: HandlerName) {
    let options = HandlerOptions { store: StoreConfig::Application, ..HandlerOptions::default() };
    config.broadcast.handlers.insert(handler, options);
}

/// Reports that a promise is not kept.
pub fn broken(world: &mut World, node: usize, text: String) {
    let kind = ViolationKind::Promise;
    world.report(Violation::new(kind, world.now(), Some(node), text));
}
