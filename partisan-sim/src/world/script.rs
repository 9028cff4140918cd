//! What a test, a fault or a workload can do to a world.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use partisan_proto::config::BroadcastConfig;
use partisan_proto::wire::{Destination, PartitionId};
use partisan_proto::{
    Answer, Birth, Broadcast, ChannelId, Command, CommandError, Config, Contact, Delivery,
    Duration, Event, HandlerId, HandlerName, Incarnation, Instant, Node, NodeSpec, Notification,
    Outbox, Send, Snapshot, Ticket,
};

use super::{FIRST_MILLISECOND, Happened, World};
use crate::draw::node_seed;
use crate::network::{Cut, Death};
use crate::rules::{InFlight, Verdict};
use crate::store::Store;

/// How a node comes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Restart {
    /// Whether it finds what it stored.
    pub keep_state: bool,
    /// Whether it listens at another address than before.
    pub new_address: bool,
}

impl World {
    /// Starts a node that is dead, with what is on its disk.
    pub(super) fn start(&mut self, number: usize, new_address: bool) {
        self.network.start(number, new_address);
        let host = &mut self.hosts[number];
        host.rest.births += 1;
        let snapshot = host.rest.disk.as_ref().and_then(|bytes| Snapshot::decode(bytes).ok());
        let clock = FIRST_MILLISECOND + self.now.as_nanos() / 1_000_000;
        let stored = snapshot.as_ref().map(|snapshot| snapshot.incarnation.next());
        let addresses = vec![self.network.address(number)];
        let rest = &host.rest;
        let channels = &rest.config.channels;
        let spec = NodeSpec::new(rest.name.clone(), addresses, channels, rest.tags.clone());
        let birth = Birth {
            spec: spec.expect("one dialable address is not too many"),
            incarnation: stored.unwrap_or(Incarnation(clock)),
            seed: node_seed(self.options.seed, number, host.rest.births),
            snapshot,
            manager: host.rest.manager.as_ref().map(|make| make()),
        };
        let config = host.rest.config.clone();
        let mut out = Outbox::default();
        match Node::start(self.now, birth, config, &mut out) {
            Ok(node) => {
                host.rest.incarnation = node.instance().incarnation;
                host.rest.birth = node.instance().incarnation;
                host.node = Some(Box::new(node));
            }
            Err(error) => panic!("node {number} cannot start: {error}"),
        }
        if let Some(trace) = &mut self.trace {
            trace.note(self.now, Some(number), "starts");
        }
        self.after(number, (Happened::Start, None), &mut out);
        self.start_program(number);
    }

    /// The node dies at once; its peers' systems are told.
    pub fn crash(&mut self, node: usize) {
        self.crash_as(node, Death::Process);
    }

    /// The node dies at once, and its peers notice in this way.
    pub fn crash_as(&mut self, node: usize, death: Death) {
        if self.hosts[node].node.is_none() {
            return;
        }
        self.resume(node);
        let host = &mut self.hosts[node];
        host.node = None;
        host.rest.intended.clear();
        host.rest.exchanges.clear();
        host.rest.processes = None;
        host.wake = Instant::FAR_FUTURE;
        host.wake_generation = host.wake_generation.wrapping_add(1);
        self.network.stop(self.now, node, death, &mut self.queue);
        if let Some(trace) = &mut self.trace {
            trace.note(self.now, Some(node), &format!("crashes ({death:?})"));
        }
        let mut checkers = std::mem::take(&mut self.checkers);
        for checker in &mut checkers {
            checker.on_crash(self, node);
        }
        self.checkers = checkers;
    }

    /// The node is started again, if it is dead.
    pub fn restart(&mut self, node: usize, how: Restart) {
        if self.hosts[node].node.is_some() {
            return;
        }
        if !how.keep_state {
            self.hosts[node].rest.disk = None;
            self.hosts[node].rest.store = Store::default();
        }
        self.start(node, how.new_address);
    }

    /// Gives a dead node another configuration for its next life.
    pub fn reconfigure(&mut self, node: usize, config: Arc<Config>) {
        self.hosts[node].rest.config = config;
    }

    /// The node's time stands still; what happens to it waits.
    pub fn pause(&mut self, node: usize) {
        if self.hosts[node].node.is_some() {
            self.hosts[node].paused = true;
            self.network.pause(self.now, node, true, &mut self.queue);
        }
    }

    /// The node goes on, with all that has waited.
    pub fn resume(&mut self, node: usize) {
        if !std::mem::replace(&mut self.hosts[node].paused, false) {
            return;
        }
        // One by one: what it does not know yet is no reproach to what it does.
        while let Some(event) = self.hosts[node].rest.backlog.pop_front() {
            self.hand_over(node, event);
        }
        self.network.pause(self.now, node, false, &mut self.queue);
        self.plan_turns(node);
    }

    /// Cuts all connections between two nodes.
    pub fn cut(&mut self, a: usize, b: usize, how: Cut) {
        self.network.cut(self.now, a, b, how, &mut self.queue);
    }

    /// Parts groups of nodes from each other, in both directions.
    pub fn partition(&mut self, groups: &[&[usize]]) {
        let groups: Vec<_> = groups.iter().map(|group| group.to_vec()).collect();
        self.network.partition(&groups, true);
    }

    /// Nothing passes from these nodes to those, though it does the other way round.
    pub fn partition_one_way(&mut self, from: &[usize], to: &[usize]) {
        self.network.partition(&[from.to_vec(), to.to_vec()], false);
    }

    /// Ends every partition.
    pub fn heal(&mut self) {
        self.network.heal(self.now, &mut self.queue);
    }

    /// Ends everything that is wrong with the network, and every pause.
    pub fn heal_all(&mut self) {
        for node in 0..self.hosts.len() {
            self.resume(node);
        }
        self.network.clear(self.now, &mut self.queue);
    }

    /// Open connections from one node to another stall, or go on.
    pub fn clog(&mut self, from: usize, to: usize, on: bool) {
        self.network.clog(self.now, from, to, on, &mut self.queue);
    }

    /// The network, to make worse.
    pub const fn network_mut(&mut self) -> &mut crate::network::Network {
        &mut self.network
    }

    /// Adds a rule that every frame passes.
    pub fn rule(&mut self, rule: impl FnMut(&InFlight<'_>) -> Verdict + 'static) {
        self.network.rules.add(Box::new(rule));
    }

    /// Gives a node a command; its answer is found by the ticket.
    pub fn command(&mut self, node: usize, command: Command) -> Ticket {
        let ticket = self.next_ticket();
        self.deliver(node, Event::Command { ticket, command });
        ticket
    }

    /// A node joins another, known by its address.
    pub fn join(&mut self, node: usize, contact: usize) -> Ticket {
        let contact = Contact::at(self.network.address(contact));
        self.hosts[node].rest.remember_contact(&contact);
        self.command(node, Command::Join(contact))
    }

    /// As [`World::join`], answered when the node is connected and informed.
    pub fn sync_join(&mut self, node: usize, contact: usize, deadline: Duration) -> Ticket {
        let contact = Contact::at(self.network.address(contact));
        self.hosts[node].rest.remember_contact(&contact);
        self.command(node, Command::SyncJoin { contact, deadline })
    }

    /// A node leaves its cluster.
    pub fn leave(&mut self, node: usize) -> Ticket {
        self.command(node, Command::Leave)
    }

    /// A node removes another from the cluster.
    pub fn remove(&mut self, node: usize, other: usize) -> Ticket {
        let other = self.hosts[other].rest.name.id();
        self.command(node, Command::Remove(other))
    }

    /// A node sends a message to another's inbox.
    pub fn send(
        &mut self,
        from: usize,
        to: usize,
        channel: ChannelId,
        key: Option<u64>,
        payload: impl Into<Bytes>,
    ) -> Ticket {
        self.send_any_way(from, to, (channel, key, false), payload.into())
    }

    /// As [`World::send`]; it may go by way of other nodes.
    pub fn relay(
        &mut self,
        from: usize,
        to: usize,
        channel: ChannelId,
        key: Option<u64>,
        payload: impl Into<Bytes>,
    ) -> Ticket {
        self.send_any_way(from, to, (channel, key, true), payload.into())
    }

    fn send_any_way(
        &mut self,
        from: usize,
        to: usize,
        (channel, key, relay): (ChannelId, Option<u64>, bool),
        payload: Bytes,
    ) -> Ticket {
        let (to, destination) = (self.hosts[to].rest.name.id(), Destination::Inbox);
        self.command(from, Command::Send(Send { to, channel, key, destination, relay, payload }))
    }

    /// A node tells all nodes of its cluster something.
    pub fn broadcast(&mut self, node: usize, payload: impl Into<Bytes>) -> Ticket {
        let name = HandlerName::new(BroadcastConfig::DEFAULT_HANDLER);
        let name = name.expect("a constant name is a good one");
        self.broadcast_to(node, HandlerId::of(&name), Bytes::new(), payload)
    }

    /// As [`World::broadcast`], to a handler of another name, with a key.
    pub fn broadcast_to(
        &mut self,
        node: usize,
        handler: HandlerId,
        key: Bytes,
        payload: impl Into<Bytes>,
    ) -> Ticket {
        let payload = payload.into();
        self.command(node, Command::Broadcast(Broadcast { handler, key, payload }))
    }

    /// Lets so much time pass.
    pub fn run_for(&mut self, span: Duration) {
        let until = self.now + span;
        while self.advance(until) {}
    }

    /// Lets time pass until `done`, asked once a simulated millisecond in which anything
    /// happened, or until the deadline; says whether it came true.
    pub fn run_until(&mut self, done: impl Fn(&Self) -> bool, deadline: Duration) -> bool {
        let until = self.now + deadline;
        let mut asked = None;
        loop {
            let millisecond = self.now.as_nanos() / 1_000_000;
            if asked != Some(millisecond) {
                asked = Some(millisecond);
                if done(self) {
                    return true;
                }
            }
            if !self.advance(until) {
                return done(self);
            }
        }
    }

    /// The numbers of the members that a live node knows, itself included.
    #[must_use]
    pub fn members(&self, node: usize) -> BTreeSet<usize> {
        let node = self.hosts[node].node();
        let members = node.map(Node::members).unwrap_or_default();
        members.iter().filter_map(|member| self.number(member.spec.id())).collect()
    }

    /// Whether these nodes live and know each other and nobody else as members.
    #[must_use]
    pub fn agree(&self, nodes: &[usize]) -> bool {
        let expected: BTreeSet<_> = nodes.iter().copied().collect();
        nodes.iter().all(|node| self.members(*node) == expected)
    }

    /// The injected partitions that a node is in and in which it sends nothing to somebody.
    #[must_use]
    pub fn partitions(&self, node: usize) -> BTreeSet<PartitionId> {
        let node = self.hosts[node].node();
        let listed = node.map(Node::partitions).unwrap_or_default();
        listed.into_iter().map(|(id, _)| id).collect()
    }

    /// From now on deliveries, notifications and replies are kept for asking, or not any more.
    pub const fn record(&mut self, on: bool) {
        self.options.record = on;
    }

    /// Whether a node was told, in any life, to join an address where nobody is now: such a join
    /// goes on.
    #[must_use]
    pub fn has_vain_join(&self, node: usize) -> bool {
        let mut contacts = self.hosts[node].rest.contacts.iter();
        contacts.any(|address| !self.live().any(|other| self.network.address(other) == *address))
    }

    /// Whether a node is connected to another, by every lane.
    #[must_use]
    pub fn is_connected(&self, node: usize, other: usize) -> bool {
        let other = self.hosts[other].rest.name.id();
        let node = self.hosts[node].node();
        node.and_then(|node| node.routes().peer(other)).is_some_and(|routes| routes.is_full())
    }

    /// What was delivered on a node.
    #[must_use]
    pub fn deliveries(&self, node: usize) -> &[(Instant, Delivery)] {
        &self.hosts[node].observed().deliveries
    }

    /// What a node told its application.
    #[must_use]
    pub fn notifications(&self, node: usize) -> &[(Instant, Notification)] {
        &self.hosts[node].observed().notifications
    }

    /// The answer to a command, when there is one.
    #[must_use]
    pub fn reply(&self, node: usize, ticket: Ticket) -> Option<&Result<Answer, CommandError>> {
        self.hosts[node].observed().replies.get(&ticket)
    }
}
