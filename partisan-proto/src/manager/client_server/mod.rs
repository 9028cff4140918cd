//! The client-server manager (`partisan_client_server_peer_service_manager`): servers in a full
//! mesh, clients connected to servers alone.
//!
//! A node's tags say what it is ([`Role`]). Servers run the full strategy among themselves and so
//! know every member, clients included; a client knows the servers, and stays connected to some of
//! them. What the original leaves undone is done here: admission has two sides, a client that joins
//! a client is told the servers and joins those, a client that loses a server goes to another, and
//! leaves and removals spread from wherever they are made.
//!
//! - *Who dials.* Servers dial servers, clients dial servers, nobody dials a client unless the
//!   application joins it.
//! - *Attaching.* A client introduces itself with all that it knows of servers, and is answered
//!   with all that differs: both then know the same of them. From then on the server tells the
//!   client of each server that comes, moves or goes.
//! - *Where a client is* every server tells every other first-hand, for as long as their session
//!   lasts; so a message to a client finds its way by its server
//!   ([`Manager::next_hop`](super::Manager::next_hop)), and from a client by any of its own.
//!
//! Commands, joins and storing are the pluggable manager's; this is a [`Strategy`] for it.

mod attach;
mod roles;
mod serve;
#[cfg(test)]
mod tests;

pub use roles::{Acceptance, Role, acceptance};

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::Hash;

use super::pluggable::Pluggable;
use super::pluggable::full::{Full, pieces};
use super::pluggable::strategy::{Outcome, Outcomes, Saved, Strategy};
use super::{Member, MembershipCounters, Views};
use crate::config::ClientServerConfig;
use crate::context::{Context, Me};
use crate::error::{CloseReason, ConfigError, Refusal};
use crate::id::{Incarnation, Instance, NodeId};
use crate::notification::DialError;
use crate::random::{Random, Seed};
use crate::snapshot::Snapshot;
use crate::spec::NodeSpec;
use crate::timers::Timer;
use crate::wire::{ControlMessage, Entry, StableHasher, StarMessage, StarPiece};
use attach::Attempts;

/// The rules of the client-server manager.
#[derive(Debug)]
pub struct Star {
    me: NodeId,
    role: Role,
    config: ClientServerConfig,
    /// What is known of members: on a server of all, on a client of servers and itself. Its
    /// sessions are those between servers.
    full: Full,
    random: Random,
    peers: BTreeMap<NodeId, Peer>,
    /// On a client: the servers that it stays connected to.
    kept: BTreeSet<NodeId>,
    /// On a client: the servers that it looks for.
    attempts: Attempts,
    /// On a server: those that clients were told of.
    servers: BTreeSet<NodeId>,
    /// On a server: the clients of each connected server.
    elsewhere: BTreeMap<NodeId, BTreeSet<NodeId>>,
    /// On a server: the clients whose sessions ended since the last round.
    lost: BTreeSet<NodeId>,
}

/// A connected peer.
#[derive(Clone, Debug)]
struct Peer {
    role: Role,
    instance: Instance,
    spec: Arc<NodeSpec>,
    /// Whether the application joins it.
    joining: bool,
    /// Between a client and a server: whether all that either knew at first is known to both.
    synced: bool,
}

impl Star {
    /// The client-server manager of a node: the pluggable manager with these rules.
    ///
    /// # Errors
    /// [`ConfigError::NoRole`] when the node's tags give it no role, [`ConfigError::Snapshot`] when
    /// the snapshot is another node's.
    pub fn manager(
        me: &Me,
        config: &ClientServerConfig,
        seed: &Seed,
        snapshot: Option<Snapshot>,
    ) -> Result<Pluggable, ConfigError> {
        let role = Role::of(&me.spec, config);
        if role == Role::Other {
            let (server, client) = (config.server_tag.clone(), config.client_tag.clone());
            return Err(ConfigError::NoRole { server, client });
        }
        let node = me.instance.node;
        Pluggable::with_strategy(me, config.machinery(), seed, snapshot, |saved| {
            Box::new(Self {
                me: node,
                role,
                config: config.clone(),
                full: Full::new(node, &config.machinery(), seed, saved),
                random: Random::fork(seed, "client-server manager"),
                peers: BTreeMap::new(),
                kept: BTreeSet::new(),
                attempts: Attempts::default(),
                servers: BTreeSet::new(),
                elsewhere: BTreeMap::new(),
                lost: BTreeSet::new(),
            })
        })
    }

    fn is_server(&self, node: NodeId) -> bool {
        let known = self.full.set().presence(node);
        known.is_some_and(|known| Role::of(&known.spec, &self.config) == Role::Server)
    }

    /// What is known of each server.
    fn server_entries(&self) -> impl Iterator<Item = Entry> {
        let members = self.full.set().members().map(|(node, _)| node);
        let servers = members.filter(|node| self.is_server(*node));
        servers.filter_map(|node| self.full.set().entry(node))
    }

    /// The connected peers of a role.
    fn peers_of(&self, role: Role) -> Vec<NodeId> {
        let of_role = self.peers.iter().filter(|(_, peer)| peer.role == role);
        of_role.map(|(node, _)| *node).collect()
    }

    /// Runs a step of the full strategy and turns what it wants into what this role wants.
    fn within_full(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        step: impl FnOnce(&mut Full, &mut Context<'_>, &mut Outcomes),
    ) {
        let mut wishes = Outcomes::new();
        step(&mut self.full, cx, &mut wishes);
        for wish in wishes {
            match self.role {
                Role::Server => self.as_server(cx, out, wish),
                Role::Client | Role::Other => self.as_client(out, wish),
            }
        }
        if self.role == Role::Client {
            self.seek(cx);
        }
    }

    /// Sends to a peer what is known of members, in as many pieces as it takes.
    fn send_entries(
        cx: &mut Context<'_>,
        peer: NodeId,
        entries: impl Iterator<Item = Entry>,
        message: fn(Box<StarPiece>) -> StarMessage,
    ) {
        let mut pieces = pieces(entries).into_iter().map(|delta| delta.entries).peekable();
        if pieces.peek().is_none() {
            let piece = Box::new(StarPiece { last: true, ..StarPiece::default() });
            cx.send(peer, ControlMessage::Star(message(piece)));
        }
        while let Some(entries) = pieces.next() {
            let piece = Box::new(StarPiece { entries, last: pieces.peek().is_none() });
            cx.send(peer, ControlMessage::Star(message(piece)));
        }
    }

    /// Tells peers that are not told by the full strategy what is known of some nodes.
    fn tell(&self, cx: &mut Context<'_>, nodes: &[NodeId]) {
        let (role, message): (_, fn(Box<StarPiece>) -> StarMessage) = match self.role {
            Role::Server => (Role::Client, StarMessage::Servers),
            Role::Client | Role::Other => (Role::Server, StarMessage::News),
        };
        for peer in self.peers_of(role) {
            let entries = nodes.iter().filter_map(|node| self.full.set().entry(*node));
            Self::send_entries(cx, peer, entries, message);
        }
    }

    /// Takes in what a peer tells; says of which nodes the peer knows less.
    fn learn(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        from: NodeId,
        entries: &[Entry],
    ) -> Vec<NodeId> {
        let mut behind = Vec::new();
        self.within_full(cx, out, |full, cx, out| {
            for entry in entries {
                if full.learn(cx, out, from, entry) {
                    behind.push(entry.node);
                }
            }
        });
        behind
    }

    fn on_star(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        from: NodeId,
        message: StarMessage,
    ) {
        let Some(theirs) = self.peers.get(&from).map(|peer| peer.role) else {
            return;
        };
        match (self.role, theirs, message) {
            (Role::Server, Role::Client, StarMessage::Attach(piece)) => {
                self.on_attach(cx, out, from, &piece);
            }
            (Role::Server, Role::Client, StarMessage::News(piece)) => {
                self.learn(cx, out, from, &piece.entries);
            }
            (Role::Server, Role::Server, StarMessage::Clients { nodes, attached }) => {
                self.on_clients(from, &nodes, attached);
            }
            (Role::Client, Role::Server, StarMessage::Servers(piece)) => {
                self.on_servers(cx, out, from, &piece);
            }
            (Role::Client, Role::Client, StarMessage::Refer(piece)) => {
                self.on_referral(cx, out, from, &piece);
            }
            // What that role has no business to say.
            _ => {}
        }
    }
}

impl Strategy for Star {
    fn start(&mut self, cx: &mut Context<'_>, out: &mut Outcomes) {
        self.within_full(cx, out, |full, cx, out| full.start(cx, out));
    }

    fn admit(
        &self,
        instance: Instance,
        spec: &NodeSpec,
        known: Option<Incarnation>,
    ) -> Result<(), Refusal> {
        match acceptance(self.role, Role::of(spec, &self.config)) {
            Acceptance::Accept => self.full.admit(instance, spec, known),
            // Without a server to name there is nothing to refer to.
            Acceptance::Refer if known.is_none() && self.server_entries().next().is_some() => {
                Ok(())
            }
            Acceptance::Refer | Acceptance::Refuse => Err(Refusal::NotWanted),
        }
    }

    fn not_member(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        node: NodeId,
        upto: Incarnation,
    ) {
        self.within_full(cx, out, |full, cx, out| full.not_member(cx, out, node, upto));
    }

    fn peer_up(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        (instance, spec): (Instance, &Arc<NodeSpec>),
        joining: bool,
    ) {
        let node = instance.node;
        let role = Role::of(spec, &self.config);
        let peer = Peer { role, instance, spec: spec.clone(), joining, synced: false };
        self.peers.insert(node, peer);
        match (acceptance(self.role, role), self.role, role) {
            (Acceptance::Accept, Role::Server, Role::Server) => {
                self.within_full(cx, out, |full, cx, out| {
                    full.peer_up(cx, out, (instance, spec), joining);
                });
                self.tell_clients(cx, node);
            }
            // The client speaks first.
            (Acceptance::Accept, Role::Server, _) => {}
            (Acceptance::Accept, ..) => self.attach(cx, node),
            (Acceptance::Refer, ..) => self.refer(cx, out, node),
            (Acceptance::Refuse, ..) => {
                out.push(Outcome::Unwanted { node });
                out.push(Outcome::Release { node, reason: CloseReason::NotWanted });
            }
        }
    }

    fn join(&mut self, _cx: &mut Context<'_>, _out: &mut Outcomes, node: NodeId) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.joining = true;
        }
    }

    fn probe_failed(
        &mut self,
        cx: &mut Context<'_>,
        _out: &mut Outcomes,
        node: NodeId,
        _error: DialError,
    ) {
        self.lost_server(cx, node);
    }

    fn fire(&mut self, cx: &mut Context<'_>, _out: &mut Outcomes) {
        self.seek(cx);
    }

    fn peer_down(&mut self, cx: &mut Context<'_>, out: &mut Outcomes, instance: Instance) {
        let node = instance.node;
        let Some(peer) = self.peers.remove(&node) else {
            return;
        };
        match (self.role, peer.role) {
            (Role::Server, Role::Server) => {
                self.elsewhere.remove(&node);
                self.within_full(cx, out, |full, cx, out| full.peer_down(cx, out, instance));
            }
            (Role::Server, _) if peer.synced => {
                out.push(Outcome::Release { node, reason: CloseReason::NotWanted });
                self.announce_clients(cx, &[node], false);
                self.lost.insert(node);
            }
            (Role::Client, Role::Server) => {
                out.push(Outcome::Release { node, reason: CloseReason::NotWanted });
                self.lost_server(cx, node);
            }
            _ => {}
        }
    }

    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        from: Instance,
        message: ControlMessage,
    ) -> Result<(), Box<ControlMessage>> {
        match message {
            ControlMessage::Star(message) => self.on_star(cx, out, from.node, message),
            ControlMessage::Gossip(gossip) => self.on_gossip(cx, out, from, gossip)?,
            other => return Err(Box::new(other)),
        }
        Ok(())
    }

    fn round(&mut self, cx: &mut Context<'_>, out: &mut Outcomes) {
        self.within_full(cx, out, |full, cx, out| full.round(cx, out));
        self.look_for_clients(cx);
    }

    fn remove(&mut self, cx: &mut Context<'_>, out: &mut Outcomes, nodes: &[NodeId]) {
        let known = |node: &NodeId| self.member(*node).is_some();
        let nodes: Vec<NodeId> = nodes.iter().copied().filter(known).collect();
        if self.role == Role::Client {
            // Before the outcomes end the sessions.
            let mut wishes = Outcomes::new();
            self.full.remove(cx, &mut wishes, &nodes);
            self.tell(cx, &nodes);
            wishes.into_iter().for_each(|wish| self.as_client(out, wish));
            return self.seek(cx);
        }
        self.within_full(cx, out, |full, cx, out| full.remove(cx, out, &nodes));
    }

    fn leave(&mut self, cx: &mut Context<'_>) {
        self.full.leave(cx);
        self.tell(cx, &[self.me]);
    }

    fn begin_anew(&mut self, cx: &mut Context<'_>, out: &mut Outcomes, removed: Incarnation) {
        cx.timers.cancel(Timer::Strategy);
        let visible = |outcome: &Outcome| match outcome {
            Outcome::Left { node } => self.member(*node).is_some(),
            _ => true,
        };
        let before = self.full.set().members().map(|(node, _)| Outcome::Left { node });
        let hidden: Vec<_> = before.filter(|outcome| !visible(outcome)).collect();
        let mut wishes = Outcomes::new();
        self.full.begin_anew(cx, &mut wishes, removed);
        out.extend(wishes.into_iter().filter(|wish| !hidden.contains(wish)));
        self.peers.clear();
        self.kept.clear();
        self.attempts = Attempts::default();
        self.servers.clear();
        self.elsewhere.clear();
        self.lost.clear();
    }

    fn announce(&mut self, cx: &mut Context<'_>, out: &mut Outcomes) {
        self.within_full(cx, out, |full, cx, out| full.announce(cx, out));
        self.tell(cx, &[self.me]);
    }

    fn has_news(&self) -> bool {
        self.full.has_news()
    }

    fn send_news(&mut self, cx: &mut Context<'_>) {
        self.full.send_news(cx);
    }

    fn is_synced(&self, node: NodeId) -> bool {
        match self.peers.get(&node).map(|peer| (self.role, peer.role, peer.synced)) {
            Some((Role::Server, Role::Server, _)) => self.full.is_synced(node),
            Some((_, _, synced)) => synced,
            None => false,
        }
    }

    fn members(&self) -> Vec<Member> {
        let members = self.full.members();
        let seen = |member: &Member| {
            let server = Role::of(&member.spec, &self.config) == Role::Server;
            self.role == Role::Server || server || member.spec.id() == self.me
        };
        members.into_iter().filter(seen).collect()
    }

    fn member(&self, node: NodeId) -> Option<Member> {
        let seen = self.role == Role::Server || node == self.me || self.is_server(node);
        self.full.member(node).filter(|_| seen)
    }

    fn is_joined(&self, node: NodeId) -> bool {
        match self.role {
            Role::Server => self.full.member(node).is_some(),
            Role::Client | Role::Other => self.kept.contains(&node),
        }
    }

    fn views(&self) -> Views {
        let known = self.full.set().members().map(|(node, _)| node);
        let others = known.filter(|node| *node != self.me);
        let (active, passive) = match self.role {
            Role::Server => others.partition(|node| self.is_server(*node)),
            Role::Client | Role::Other => others.partition(|node| self.kept.contains(node)),
        };
        Views { active, passive }
    }

    fn next_hop(&self, to: NodeId) -> Option<NodeId> {
        match self.role {
            Role::Server => {
                let mut with = self.elsewhere.iter().filter(|(_, clients)| clients.contains(&to));
                with.next().map(|(server, _)| *server)
            }
            Role::Client | Role::Other => {
                let synced = self.peers.iter().filter(|(node, peer)| {
                    peer.role == Role::Server && peer.synced && self.kept.contains(*node)
                });
                // The same one for the same target, so that messages keep their order.
                let servers: Vec<NodeId> = synced.map(|(node, _)| *node).collect();
                let place = to.as_u64().checked_rem(servers.len() as u64)?;
                servers.get(place as usize).copied()
            }
        }
    }

    fn counters(&self) -> MembershipCounters {
        self.full.counters()
    }

    fn saved(&self) -> Saved {
        self.full.saved()
    }

    fn fingerprint(&self, hasher: &mut StableHasher) {
        self.full.fingerprint(hasher);
        for (node, peer) in &self.peers {
            (node, peer.synced, peer.joining).hash(hasher);
        }
        self.kept.hash(hasher);
        self.attempts.hash(hasher);
        self.elsewhere.hash(hasher);
        self.lost.hash(hasher);
    }
}
