//! The static manager (`partisan_static_peer_service_manager`): members are the peers that are
//! listed, and only the application changes the list.
//!
//! The list comes from the configuration and from what the application joined and removed since,
//! which is stored. Nothing is ever learned by gossip; no message of membership is sent at all. A
//! link is one-sided: that A lists B says nothing of B's list. Whoever is listed is dialled for
//! ever; whoever is not listed and dials is connected without being a member, or refused, as
//! configured. To remove a peer concerns this node alone, and so does leaving, which empties the
//! list.
//!
//! Commands, joins and storing are the pluggable manager's; this is a [`Strategy`] for it.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::Hash;

use super::pluggable::Pluggable;
use super::pluggable::strategy::{Outcome, Outcomes, Saved, Strategy};
use super::{Member, MembershipCounters};
use crate::config::StaticConfig;
use crate::context::{Context, Me};
use crate::error::{CloseReason, ConfigError, Refusal};
use crate::id::{Incarnation, Instance, NodeId};
use crate::random::Seed;
use crate::snapshot::Snapshot;
use crate::spec::NodeSpec;
use crate::wire::{ControlMessage, Entry, Presence, StableHasher};

/// The rules of the static manager.
#[derive(Debug)]
pub struct Fixed {
    me: Member,
    joined: Incarnation,
    refuse_unlisted: bool,
    max_peers: usize,
    /// By identifier; the incarnation is [`Incarnation::NONE`] until it was connected once.
    listed: BTreeMap<NodeId, Member>,
    /// Configured peers that the application removed: they stay so after a restart.
    removed: BTreeSet<NodeId>,
    configured: BTreeSet<NodeId>,
    /// Connected, and not listed.
    unlisted: BTreeMap<NodeId, Member>,
    counters: MembershipCounters,
}

impl Fixed {
    /// The static manager of a node: the pluggable manager with these rules.
    ///
    /// # Errors
    /// [`ConfigError::Snapshot`] when the snapshot is another node's, or
    /// [`ConfigError::BadPeer`].
    pub fn manager(
        me: &Me,
        config: &StaticConfig,
        seed: &Seed,
        snapshot: Option<Snapshot>,
    ) -> Result<Pluggable, ConfigError> {
        let peers = config.peers.iter().map(|peer| Ok(Arc::new(peer.spec()?)));
        let peers = peers.collect::<Result<Vec<_>, ConfigError>>()?;
        Pluggable::with_strategy(me, config.machinery(), seed, snapshot, |saved| {
            Box::new(Self::new(me, config, peers, saved))
        })
    }

    fn new(me: &Me, config: &StaticConfig, peers: Vec<Arc<NodeSpec>>, saved: Saved) -> Self {
        let own = me.instance.node;
        let mut fixed = Self {
            me: Member { incarnation: me.instance.incarnation, spec: me.spec.clone() },
            joined: saved.joined,
            refuse_unlisted: config.refuse_unlisted,
            max_peers: config.max_peers,
            listed: BTreeMap::new(),
            removed: BTreeSet::new(),
            configured: peers.iter().map(|spec| spec.id()).filter(|node| *node != own).collect(),
            unlisted: BTreeMap::new(),
            counters: MembershipCounters::default(),
        };
        for spec in peers.into_iter().filter(|spec| spec.id() != own) {
            fixed.listed.insert(spec.id(), Member { incarnation: Incarnation::NONE, spec });
        }
        fixed.recall(saved.entries, own);
        fixed
    }

    /// What the application changed in the last life goes before the configuration.
    fn recall(&mut self, entries: Vec<Entry>, own: NodeId) {
        for Entry { node, presence, .. } in entries {
            match presence {
                None if self.configured.contains(&node) => {
                    self.removed.insert(node);
                    self.listed.remove(&node);
                }
                Some(Presence { incarnation, spec, .. }) if spec.id() == node && node != own => {
                    // Of a configured peer, the configuration knows best where it is.
                    let fresh = self.configured.contains(&node);
                    let room = fresh || self.listed.len() < self.max_peers;
                    match self.listed.get_mut(&node) {
                        Some(known) => known.incarnation = incarnation,
                        None if room => {
                            self.listed.insert(node, Member { incarnation, spec });
                        }
                        None => self.counters.refused += 1,
                    }
                }
                None | Some(_) => {}
            }
        }
    }

    /// Says what is known of a peer, and that it is to be connected.
    fn tell(&self, out: &mut Outcomes, node: NodeId) {
        let Some(Member { incarnation, spec }) = self.listed.get(&node) else {
            return;
        };
        let instance = Instance { node, incarnation: *incarnation };
        out.push(Outcome::Joined { instance, spec: spec.clone() });
        out.push(Outcome::Keep { instance, spec: spec.clone() });
    }

    /// Lists a connected node, if there is room.
    fn list(&mut self, out: &mut Outcomes, node: NodeId, member: Member) {
        if self.listed.len() >= self.max_peers {
            self.counters.refused += 1;
            out.push(Outcome::Unwanted { node });
            return out.push(Outcome::Release { node, reason: CloseReason::NotWanted });
        }
        self.listed.insert(node, member);
        self.removed.remove(&node);
        self.tell(out, node);
        out.push(Outcome::Changed);
        out.push(Outcome::Synced { node });
    }

    fn unlist(&mut self, out: &mut Outcomes, node: NodeId, reason: CloseReason) {
        if self.listed.remove(&node).is_some() {
            if self.configured.contains(&node) {
                self.removed.insert(node);
            }
            out.push(Outcome::Left { node });
            out.push(Outcome::Release { node, reason });
            out.push(Outcome::Changed);
        }
    }
}

impl Strategy for Fixed {
    fn start(&mut self, cx: &mut Context<'_>, out: &mut Outcomes) {
        self.me.incarnation = cx.me.instance.incarnation;
        if self.joined == Incarnation::NONE {
            self.joined = cx.me.instance.incarnation;
        }
        for node in self.listed.keys() {
            self.tell(out, *node);
        }
    }

    fn admit(
        &self,
        instance: Instance,
        spec: &NodeSpec,
        _known: Option<Incarnation>,
    ) -> Result<(), Refusal> {
        match self.listed.get(&instance.node) {
            None if self.refuse_unlisted => Err(Refusal::NotWanted),
            None => Ok(()),
            Some(known) if known.spec.name() != spec.name() => Err(Refusal::IdentifierCollision),
            Some(known) if instance.incarnation < known.incarnation => {
                Err(Refusal::StaleIncarnation(known.incarnation))
            }
            Some(_) => Ok(()),
        }
    }

    /// A peer that takes this node for none of its own is a peer all the same.
    fn not_member(
        &mut self,
        _cx: &mut Context<'_>,
        _out: &mut Outcomes,
        _node: NodeId,
        _upto: Incarnation,
    ) {
    }

    fn peer_up(
        &mut self,
        _cx: &mut Context<'_>,
        out: &mut Outcomes,
        (instance, spec): (Instance, &Arc<NodeSpec>),
        joining: bool,
    ) {
        let Instance { node, incarnation } = instance;
        let fresh = Member { incarnation, spec: spec.clone() };
        match self.listed.get_mut(&node) {
            Some(known) => {
                if *known != fresh {
                    *known = fresh;
                    self.tell(out, node);
                    out.push(Outcome::Changed);
                }
                out.push(Outcome::Synced { node });
            }
            None if joining => self.list(out, node, fresh),
            None => {
                self.unlisted.insert(node, fresh);
            }
        }
    }

    fn join(&mut self, _cx: &mut Context<'_>, out: &mut Outcomes, node: NodeId) {
        if let Some(member) = self.unlisted.remove(&node) {
            self.list(out, node, member);
        }
    }

    fn peer_down(&mut self, _cx: &mut Context<'_>, _out: &mut Outcomes, instance: Instance) {
        self.unlisted.remove(&instance.node);
    }

    fn receive(
        &mut self,
        _cx: &mut Context<'_>,
        _out: &mut Outcomes,
        _from: Instance,
        message: ControlMessage,
    ) -> Result<(), Box<ControlMessage>> {
        Err(Box::new(message))
    }

    fn round(&mut self, _cx: &mut Context<'_>, _out: &mut Outcomes) {}

    fn remove(&mut self, _cx: &mut Context<'_>, out: &mut Outcomes, nodes: &[NodeId]) {
        for node in nodes {
            self.unlist(out, *node, CloseReason::NotWanted);
        }
    }

    fn leave(&mut self, _cx: &mut Context<'_>) {}

    fn begin_anew(&mut self, cx: &mut Context<'_>, out: &mut Outcomes, _removed: Incarnation) {
        self.me.incarnation = cx.me.instance.incarnation;
        self.joined = cx.me.instance.incarnation;
        let all: Vec<NodeId> = self.listed.keys().copied().collect();
        for node in all {
            self.unlist(out, node, CloseReason::Left);
        }
        out.push(Outcome::Changed);
    }

    fn announce(&mut self, cx: &mut Context<'_>, out: &mut Outcomes) {
        self.me.incarnation = cx.me.instance.incarnation;
        out.push(Outcome::Changed);
    }

    fn has_news(&self) -> bool {
        false
    }

    fn send_news(&mut self, _cx: &mut Context<'_>) {}

    /// Every link is one that either side lists, and serves both.
    fn is_neighbor(&self, _node: NodeId) -> bool {
        true
    }

    /// There is nothing that a peer could know better.
    fn is_synced(&self, node: NodeId) -> bool {
        self.listed.contains_key(&node)
    }

    fn members(&self) -> Vec<Member> {
        core::iter::once(&self.me).chain(self.listed.values()).cloned().collect()
    }

    fn member(&self, node: NodeId) -> Option<Member> {
        match node == self.me.spec.id() {
            true => Some(self.me.clone()),
            false => self.listed.get(&node).cloned(),
        }
    }

    fn is_mutual(&self) -> bool {
        false
    }

    fn counters(&self) -> MembershipCounters {
        self.counters
    }

    fn saved(&self) -> Saved {
        let present = |(node, member): (&NodeId, &Member)| Entry {
            node: *node,
            removed: Incarnation::NONE,
            presence: Some(Presence {
                incarnation: member.incarnation,
                joined: member.incarnation,
                spec: member.spec.clone(),
            }),
        };
        let gone =
            |node: &NodeId| Entry { node: *node, removed: Incarnation::MOST, presence: None };
        let entries = self.listed.iter().map(present).chain(self.removed.iter().map(gone));
        Saved { joined: self.joined, entries: entries.collect() }
    }

    fn fingerprint(&self, hasher: &mut StableHasher) {
        self.joined.hash(hasher);
        for (node, member) in &self.listed {
            (node, member.incarnation).hash(hasher);
        }
        self.removed.hash(hasher);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Change, ContactId};
    use crate::command::{Command, Contact};
    use crate::config::StaticPeer;
    use crate::error::{CommandError, JoinError};
    use crate::id::{ConnectionId, Ticket};
    use crate::manager::Manager;
    use crate::manager::testing::{Machine, instance, me, spec_at};
    use crate::notification::Notification;
    use alloc::vec;

    fn listed(names: &[(&str, u16)]) -> StaticConfig {
        let peer = |(name, port): &(&str, u16)| {
            let spec = spec_at(name, *port);
            StaticPeer { name: spec.name().clone(), addresses: spec.addresses().to_vec() }
        };
        StaticConfig { peers: names.iter().map(peer).collect(), ..StaticConfig::default() }
    }

    fn machine(config: &StaticConfig, snapshot: Option<Snapshot>) -> Machine<Pluggable> {
        let me = me(&spec_at("m", 1), 10);
        let manager = Fixed::manager(&me, config, &[7; 32], snapshot).unwrap();
        Machine::new(me, manager)
    }

    fn kept(changes: &[Change]) -> Vec<NodeId> {
        let kept = changes.iter().filter_map(|change| match change {
            Change::Keep { instance, patient: false, .. } => Some(instance.node),
            _ => None,
        });
        kept.collect()
    }

    fn knock(machine: &mut Machine<Pluggable>, name: &str) -> Vec<Change> {
        let spec = spec_at(name, 9);
        let (connection, instance) = (ConnectionId::accepted(9), instance(&spec, 1));
        machine.change(Change::Knock { connection, instance, spec, known: None }).changes
    }

    #[test]
    fn configured_peers_are_members_and_are_dialled_from_the_start() {
        let mut machine = machine(&listed(&[("a", 2), ("b", 3), ("m", 1)]), None);
        let output = machine.start();
        let both = BTreeSet::from([spec_at("a", 2).id(), spec_at("b", 3).id()]);
        assert_eq!(BTreeSet::from_iter(kept(&output.changes)), both);
        assert_eq!(machine.names(), ["a", "b", "m"]);
    }

    #[test]
    fn who_dials_and_is_not_listed_is_connected_without_being_a_member() {
        let mut machine = machine(&listed(&[("a", 2)]), None);
        machine.start();
        assert!(matches!(knock(&mut machine, "x")[..], [Change::Admit { .. }]));
        let output = machine.up(&spec_at("x", 9), 1, ConnectionId::accepted(9), None);
        assert_eq!(output.changes.len(), 0);
        assert_eq!(machine.names(), ["a", "m"]);
    }

    /// Else broadcasts would go by the link in one direction alone.
    #[test]
    fn who_is_connected_is_a_neighbour_whichever_of_the_two_lists_the_other() {
        let mut machine = machine(&listed(&[("a", 2)]), None);
        machine.start();
        for name in ["a", "x"] {
            let spec = spec_at(name, 9);
            let output = machine.up(&spec, 1, ConnectionId::accepted(9), None);
            let up = Change::NeighborUp { instance: instance(&spec, 1) };
            assert!(output.overlay.contains(&up), "{name}");
        }
    }

    #[test]
    fn who_dials_and_is_not_listed_is_refused_where_that_is_configured() {
        let config = StaticConfig { refuse_unlisted: true, ..listed(&[("a", 2)]) };
        let mut machine = machine(&config, None);
        machine.start();
        let refused = knock(&mut machine, "x");
        let expected = Refusal::NotWanted;
        assert!(matches!(refused[..], [Change::TurnAway { refusal, .. }] if refusal == expected));
        assert!(matches!(knock(&mut machine, "a")[..], [Change::Admit { .. }]));
    }

    #[test]
    fn a_join_lists_whom_it_reached_and_stores_that() {
        let mut machine = machine(&listed(&[]), None);
        machine.start();
        let spec = spec_at("b", 3);
        machine.command(1, Command::Join(Contact::at(spec.addresses()[0].clone())));
        let output = machine.up(&spec, 4, ConnectionId::dialled(3), Some(ContactId(0)));
        assert_eq!(kept(&output.changes), [spec.id()]);
        assert_eq!(output.overlay.len(), 1, "it is a neighbour");
        let stored = Snapshot::decode(output.persisted()[0]).unwrap();
        assert_eq!(stored.entries[0].node, spec.id());
        let ended = Notification::JoinEnded { result: Ok(spec.id()) };
        assert!(output.notifications().contains(&&ended));
    }

    #[test]
    fn joining_who_is_connected_already_lists_it_too() {
        let mut machine = machine(&listed(&[]), None);
        machine.start();
        let spec = spec_at("x", 9);
        machine.up(&spec, 1, ConnectionId::accepted(9), None);
        machine.command(1, Command::Join(Contact::at(spec.addresses()[0].clone())));
        let (contact, node) = (ContactId(0), spec.id());
        let output = machine.change(Change::ContactReached { contact, node });
        assert_eq!(machine.names(), ["m", "x"]);
        assert!(output.notifications().contains(&&Notification::JoinEnded { result: Ok(node) }));
    }

    #[test]
    fn a_join_beyond_the_limit_ends_with_a_typed_refusal() {
        let config = StaticConfig { max_peers: 1, ..listed(&[("a", 2)]) };
        let mut machine = machine(&config, None);
        machine.start();
        let spec = spec_at("b", 3);
        machine.command(1, Command::Join(Contact::at(spec.addresses()[0].clone())));
        let output = machine.up(&spec, 4, ConnectionId::dialled(3), Some(ContactId(0)));
        let refused = JoinError::Refused(Refusal::NotWanted);
        let ended = Notification::JoinEnded { result: Err(refused) };
        assert!(output.notifications().contains(&&ended));
        assert!(output.changes.iter().any(|change| matches!(change, Change::Release { .. })));
        assert_eq!(machine.manager.counters().refused, 1);
    }

    #[test]
    fn to_remove_a_peer_is_local_and_survives_a_restart() {
        let config = listed(&[("a", 2), ("b", 3)]);
        let mut first = machine(&config, None);
        first.start();
        first.fire(crate::timers::Timer::News);
        let output = first.command(1, Command::Remove(spec_at("a", 2).id()));
        assert!(output.sent().is_empty());
        assert_eq!(output.replies(), [(Ticket(1), Ok(crate::Answer::Done))]);
        let stored = Snapshot::decode(output.persisted()[0]).unwrap();
        let mut second = machine(&config, Some(stored));
        second.start();
        assert_eq!(second.names(), ["b", "m"]);
    }

    #[test]
    fn a_peer_that_moved_and_dials_is_known_at_its_new_address() {
        let mut machine = machine(&listed(&[("a", 2)]), None);
        machine.start();
        let moved = spec_at("a", 77);
        machine.up(&moved, 5, ConnectionId::accepted(1), None);
        assert_eq!(machine.manager.member(moved.id()).unwrap().spec, moved);
        let stale = Change::Knock {
            connection: ConnectionId::accepted(2),
            instance: instance(&moved, 4),
            spec: spec_at("a", 2),
            known: None,
        };
        let known = Refusal::StaleIncarnation(Incarnation(5));
        let refused = machine.change(stale).changes;
        assert!(matches!(refused[..], [Change::TurnAway { refusal, .. }] if refusal == known));
    }

    #[test]
    fn to_leave_empties_the_list_and_begins_a_new_incarnation() {
        let mut machine = machine(&listed(&[("a", 2)]), None);
        machine.start();
        machine.up(&spec_at("a", 2), 5, ConnectionId::dialled(1), None);
        machine.command(1, Command::Leave);
        assert_eq!(machine.names(), ["m"]);
        assert_eq!(machine.me.instance.incarnation, Incarnation(11));
    }

    #[test]
    fn messages_of_other_managers_are_not_understood() {
        let mut machine = machine(&listed(&[("a", 2)]), None);
        machine.start();
        let from = instance(&spec_at("a", 2), 5);
        let digest = crate::wire::Gossip::Digest(crate::wire::Digest::default());
        let message = ControlMessage::Gossip(digest);
        machine.run(|manager, cx| assert!(manager.receive(cx, from, message).is_err()));
    }

    #[test]
    fn update_members_makes_the_list_what_it_is_told() {
        let mut machine = machine(&listed(&[("a", 2), ("b", 3)]), None);
        machine.start();
        let wanted = vec![(*spec_at("b", 3)).clone(), (*spec_at("c", 4)).clone()];
        let output = machine.command(1, Command::UpdateMembers(wanted));
        assert_eq!(machine.names(), ["b", "m"]);
        assert!(output.changes.iter().any(|c| matches!(c, Change::DialContact { .. })));
        let refused = machine.command(2, Command::Join(Contact { name: None, addresses: vec![] }));
        assert_eq!(refused.replies(), [(Ticket(2), Err(CommandError::NoAddress))]);
    }
}
