//! What the application asks of membership.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::HyParView;
use super::passive::Known;
use crate::command::Contact;
use crate::context::Context;
use crate::error::{CloseReason, CommandError, JoinError};
use crate::id::{Incarnation, NodeId, Ticket};
use crate::manager::commands::Obey;
use crate::spec::NodeSpec;
use crate::time::Duration;
use crate::wire::{ControlMessage, HyParViewMessage, NeighborEnd, Parting};

/// Through how many listed nodes a node that is alone joins.
const LISTED_JOINS: usize = 3;

impl Obey for HyParView {
    fn join(&mut self, cx: &mut Context<'_>, contact: Contact) -> Result<(), CommandError> {
        let peers = &self.peers;
        self.joining.join(cx, contact.clone(), |node| peers.is_active(node))?;
        self.remember_contact(contact);
        Ok(())
    }

    fn sync_join(
        &mut self,
        cx: &mut Context<'_>,
        ticket: Ticket,
        (contact, deadline): (Contact, Duration),
    ) {
        let peers = &self.peers;
        let is_member = |node| peers.is_active(node);
        let target = contact.clone();
        self.joining.sync_join(cx, ticket, (contact, deadline), is_member);
        if !self.joining.is_empty() {
            self.remember_contact(target);
        }
    }

    fn leave(&mut self, cx: &mut Context<'_>) {
        self.joining.cancel_all(cx, &CommandError::Join(JoinError::Cancelled));
        if self.is_alone(cx) {
            return;
        }
        let own = cx.me.instance;
        let neighbors: Vec<NodeId> = self.peers.active().map(|peer| peer.node).collect();
        for neighbor in neighbors {
            // They lose a neighbour, and may have each other.
            let hints = self.hints(neighbor, Vec::new());
            let end = NeighborEnd { why: Parting::Leaving, hints };
            let message = HyParViewMessage::Disconnect(end.into());
            cx.send(neighbor, ControlMessage::HyParView(message));
        }
        self.begin_anew(cx, own.incarnation, CloseReason::Left);
    }

    fn remove(&mut self, cx: &mut Context<'_>, node: NodeId) {
        if node == self.me {
            return self.leave(cx);
        }
        self.joining.cancel(cx, node, &CommandError::Join(JoinError::Cancelled));
        self.contacts.retain(|contact| contact.name.as_ref().is_none_or(|name| name.id() != node));
        if !self.is_alone(cx) {
            self.end_stay(cx, node, Incarnation::NONE, None);
        }
    }

    /// Removes those of the views who are not listed; takes the others of the list into the passive
    /// view and the address book. A node without neighbours joins through some of them.
    fn update_members(
        &mut self,
        cx: &mut Context<'_>,
        specs: Vec<NodeSpec>,
    ) -> Result<(), CommandError> {
        if specs.is_empty() {
            return Ok(());
        }
        let mut wanted: BTreeMap<NodeId, NodeSpec> =
            specs.into_iter().map(|spec| (spec.id(), spec)).collect();
        wanted.remove(&self.me);
        let active = self.peers.active().map(|peer| peer.node);
        let known: Vec<NodeId> =
            active.chain(self.passive.iter().map(|known| known.node)).collect();
        for node in known.iter().filter(|node| !wanted.contains_key(node)) {
            self.remove(cx, *node);
        }
        let mut listed: Vec<NodeSpec> = wanted.into_values().collect();
        self.random.shuffle(&mut listed);
        let isolated = self.peers.active().next().is_none();
        let mut joined = Ok(());
        for (place, spec) in listed.into_iter().enumerate() {
            if isolated && place < LISTED_JOINS {
                let asked = self.join(cx, Contact::from(&spec));
                joined = joined.and(asked);
            } else if !known.contains(&spec.id()) && !spec.addresses().is_empty() {
                let (node, incarnation) = (spec.id(), Incarnation::NONE);
                self.reserve(Known { node, incarnation, spec: spec.into() });
            }
        }
        joined
    }
}
