//! What a server does besides the full strategy: take clients in, tell them of servers, and tell
//! servers where clients are.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{Role, Star};
use crate::change::Change;
use crate::context::Context;
use crate::id::{Instance, NodeId};
use crate::manager::pluggable::strategy::{Outcome, Outcomes, Strategy};
use crate::wire::{Bounded, ControlMessage, Gossip, MAX_SUMMARY, StarMessage, StarPiece};

impl Star {
    /// A client introduces itself.
    pub(super) fn on_attach(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        from: NodeId,
        piece: &StarPiece,
    ) {
        let new = self.full.set().presence(from).is_none();
        let behind = self.learn(cx, out, from, &piece.entries);
        let member = self.full.set().presence(from).is_some();
        if member && new {
            self.full.introduce(from);
        }
        let gone = behind.into_iter().filter(|node| !self.is_server(*node));
        let gone: Vec<_> = gone.filter_map(|node| self.full.set().entry(node)).collect();
        if !piece.last || !member {
            // What it knows wrongly is corrected even if it is not taken in.
            let correction = StarPiece { entries: Bounded::from_first(gone), last: false };
            if !correction.entries.is_empty() {
                cx.send(from, ControlMessage::Star(StarMessage::Servers(Box::new(correction))));
            }
            return;
        }
        let entries = gone.into_iter().chain(self.server_entries());
        Self::send_entries(cx, from, entries, StarMessage::Servers);
        if let Some(peer) = self.peers.get_mut(&from).filter(|peer| !peer.synced) {
            peer.synced = true;
            let (instance, spec) = (peer.instance, peer.spec.clone());
            if cx.routes.anchor(from).is_some_and(|anchor| anchor.is_dialled()) {
                // The lanes are for whoever dialled. Not beyond this session: clients dial.
                out.push(Outcome::Keep { instance, spec });
            }
            self.announce_clients(cx, &[from], true);
            out.push(Outcome::Synced { node: from });
        }
    }

    /// What the full strategy wants, as far as a server does.
    pub(super) fn as_server(&mut self, cx: &mut Context<'_>, out: &mut Outcomes, wish: Outcome) {
        match &wish {
            // Follows every change of what is known of a member.
            Outcome::Keep { instance, .. } => {
                let node = instance.node;
                if self.is_server(node) {
                    self.servers.insert(node);
                    self.tell(cx, &[node]);
                } else {
                    if self.servers.remove(&node) {
                        self.tell(cx, &[node]);
                    }
                    // Clients dial.
                    return;
                }
            }
            Outcome::Left { node } => {
                if self.servers.remove(node) {
                    self.tell(cx, &[*node]);
                } else if let Some(peer) = self.peers.get(node)
                    && peer.role == Role::Client
                {
                    // It is told why before its session ends.
                    let entry = self.full.set().entry(*node);
                    Self::send_entries(cx, *node, entry.into_iter(), StarMessage::Servers);
                }
            }
            _ => {}
        }
        out.push(wish);
    }

    /// Tells another server which clients are connected here.
    pub(super) fn tell_clients(&self, cx: &mut Context<'_>, server: NodeId) {
        let clients =
            self.peers.iter().filter(|(_, peer)| peer.role == Role::Client && peer.synced);
        let clients: Vec<NodeId> = clients.map(|(node, _)| *node).collect();
        send_clients(cx, server, &clients, true);
    }

    /// Tells all servers that clients came or went.
    pub(super) fn announce_clients(
        &self,
        cx: &mut Context<'_>,
        clients: &[NodeId],
        attached: bool,
    ) {
        for server in self.peers_of(Role::Server) {
            send_clients(cx, server, clients, attached);
        }
    }

    /// Another server tells which clients came or went.
    pub(super) fn on_clients(&mut self, from: NodeId, nodes: &[NodeId], attached: bool) {
        let clients = self.elsewhere.entry(from).or_default();
        for node in nodes {
            if !attached {
                clients.remove(node);
            } else if clients.len() < self.config.max_members {
                clients.insert(*node);
            }
        }
    }

    /// Asks the clients that were lost lately whether they are members still: one that left and
    /// whose last words were lost says so when it is dialled, and nobody else would dial it.
    pub(super) fn look_for_clients(&mut self, cx: &mut Context<'_>) {
        for node in core::mem::take(&mut self.lost) {
            let mut with = self.elsewhere.values();
            if self.peers.contains_key(&node) || with.any(|clients| clients.contains(&node)) {
                continue;
            }
            if let Some(known) = self.full.set().presence(node) {
                let (incarnation, spec) = (known.incarnation, known.spec.clone());
                cx.change(Change::Probe { instance: Instance { node, incarnation }, spec });
            }
        }
    }

    /// Gossip is between servers.
    pub(super) fn on_gossip(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        from: Instance,
        gossip: Gossip,
    ) -> Result<(), Box<ControlMessage>> {
        let theirs = self.peers.get(&from.node).map(|peer| peer.role);
        if self.role != Role::Server || theirs != Some(Role::Server) {
            return Err(Box::new(ControlMessage::Gossip(gossip)));
        }
        let message = ControlMessage::Gossip(gossip);
        let mut result = Ok(());
        self.within_full(cx, out, |full, cx, out| result = full.receive(cx, out, from, message));
        result
    }
}

fn send_clients(cx: &mut Context<'_>, server: NodeId, clients: &[NodeId], attached: bool) {
    for clients in clients.chunks(MAX_SUMMARY) {
        let nodes = Bounded::from_first(clients.iter().copied());
        cx.send(server, ControlMessage::Star(StarMessage::Clients { nodes, attached }));
    }
}
