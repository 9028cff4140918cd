//! What a client does: find servers, stay connected to some, refer other clients to them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{Role, Star};
use crate::change::Change;
use crate::context::Context;
use crate::error::CloseReason;
use crate::id::{Instance, NodeId};
use crate::manager::pluggable::strategy::{Outcome, Outcomes};
use crate::time::{Duration, Instant};
use crate::timers::Timer;
use crate::wire::{StarMessage, StarPiece};

/// The servers that a client looks for: no more than it knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Attempts(BTreeMap<NodeId, Attempt>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Attempt {
    /// A session was asked for and has neither come nor failed.
    under_way: bool,
    failures: u32,
    /// Not tried again before.
    wait: Option<Instant>,
}

impl Star {
    /// A server is connected: introduces this node and tells what it knows.
    pub(super) fn attach(&mut self, cx: &mut Context<'_>, server: NodeId) {
        self.attempts.0.entry(server).or_default().under_way = false;
        let own = self.full.set().entry(self.me);
        let others = self.full.set().entries().filter(|entry| entry.node != self.me);
        let entries = own.into_iter().chain(others);
        Self::send_entries(cx, server, entries, StarMessage::Attach);
    }

    pub(super) fn on_servers(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        from: NodeId,
        piece: &StarPiece,
    ) {
        self.learn(cx, out, from, &piece.entries);
        let joined = self.is_server(from);
        let Some(peer) = self.peers.get_mut(&from).filter(|peer| !peer.synced && joined) else {
            return;
        };
        if !piece.last {
            return;
        }
        peer.synced = true;
        let (instance, spec, joining) = (peer.instance, peer.spec.clone(), peer.joining);
        out.push(Outcome::Synced { node: from });
        if joining || self.kept.len() < self.config.servers {
            self.kept.insert(from);
            self.attempts.0.remove(&from);
            out.push(Outcome::Keep { instance, spec });
        } else {
            out.push(Outcome::Release { node: from, reason: CloseReason::NotWanted });
        }
        self.seek(cx);
    }

    /// What the full strategy wants, as far as a client does.
    pub(super) fn as_client(&mut self, out: &mut Outcomes, wish: Outcome) {
        match &wish {
            // A client keeps whom it chose.
            Outcome::Keep { instance, .. } if !self.kept.contains(&instance.node) => return,
            Outcome::Left { node } => {
                self.kept.remove(node);
                self.attempts.0.remove(node);
            }
            _ => {}
        }
        out.push(wish);
    }

    /// A server was lost or could not be reached: another is tried first.
    pub(super) fn lost_server(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.kept.remove(&node);
        if self.role != Role::Client {
            return;
        }
        if self.is_server(node) {
            let attempt = self.attempts.0.entry(node).or_default();
            let factor = 1u32.checked_shl(attempt.failures).unwrap_or(u32::MAX);
            attempt.under_way = false;
            attempt.failures = attempt.failures.saturating_add(1);
            let most = self.config.retry_least.saturating_mul(factor);
            let most = most.min(self.config.retry_most);
            let wait = most / 2 + self.random.up_to(most / 2);
            attempt.wait = Some(cx.now + wait);
        } else {
            self.attempts.0.remove(&node);
        }
        self.seek(cx);
    }

    /// Looks for as many servers as are missing, and says when to look again.
    pub(super) fn seek(&mut self, cx: &mut Context<'_>) {
        cx.timers.cancel(Timer::Strategy);
        if cx.me.stopping {
            return;
        }
        let attempts = self.attempts.0.values().filter(|attempt| attempt.under_way).count();
        let unsynced = |peer: &&super::Peer| peer.role == Role::Server && !peer.synced;
        let coming = attempts + self.peers.values().filter(unsynced).count();
        let missing = self.config.servers.saturating_sub(self.kept.len() + coming);
        if missing == 0 {
            return;
        }
        let (mut ready, wait) = self.candidates(cx.now);
        self.random.shuffle_front(&mut ready, missing);
        if ready.len() < missing
            && let Some(wait) = wait
        {
            cx.timers.set(Timer::Strategy, wait.max(cx.now + Duration::from_millis(1)));
        }
        for node in ready.into_iter().take(missing) {
            let Some(known) = self.full.set().presence(node) else {
                continue;
            };
            let (incarnation, spec) = (known.incarnation, known.spec.clone());
            self.attempts.0.entry(node).or_default().under_way = true;
            cx.change(Change::Probe { instance: Instance { node, incarnation }, spec });
        }
    }

    /// The servers that may be tried now, and when the next of the others may.
    fn candidates(&self, now: Instant) -> (Vec<NodeId>, Option<Instant>) {
        let servers = self.full.set().members().map(|(node, _)| node);
        let servers = servers.filter(|node| *node != self.me && self.is_server(*node));
        let (mut ready, mut next) = (Vec::new(), None);
        for node in servers.filter(|node| !self.peers.contains_key(node)) {
            match self.attempts.0.get(&node) {
                Some(Attempt { under_way: true, .. }) => {}
                Some(Attempt { wait: Some(wait), .. }) if *wait > now => {
                    next = Some(next.map_or(*wait, |next: Instant| next.min(*wait)));
                }
                _ => ready.push(node),
            }
        }
        (ready, next)
    }

    /// Another client is connected: names the servers to it if it is the one that dialled, and ends
    /// the session.
    pub(super) fn refer(&mut self, cx: &mut Context<'_>, out: &mut Outcomes, node: NodeId) {
        let dialled = cx.routes.anchor(node).is_some_and(|anchor| anchor.is_dialled());
        if dialled {
            // It will tell, and end the session.
            return;
        }
        Self::send_entries(cx, node, self.server_entries(), StarMessage::Refer);
        out.push(Outcome::Release { node, reason: CloseReason::NotWanted });
    }

    /// Another client names the servers.
    pub(super) fn on_referral(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        from: NodeId,
        piece: &StarPiece,
    ) {
        let servers = piece.entries.iter().filter(|entry| {
            let spec = entry.presence.as_ref().map(|presence| &presence.spec);
            spec.is_some_and(|spec| Role::of(spec, &self.config) == Role::Server)
        });
        let servers: Vec<_> = servers.cloned().collect();
        self.learn(cx, out, from, &servers);
        if !piece.last {
            return;
        }
        out.push(Outcome::Referred { by: from });
        out.push(Outcome::Release { node: from, reason: CloseReason::NotWanted });
        let synced =
            self.peers.iter().find(|(node, peer)| peer.synced && self.kept.contains(*node));
        if let Some((node, _)) = synced {
            out.push(Outcome::Synced { node: *node });
        }
    }
}
