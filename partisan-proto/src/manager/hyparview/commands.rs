//! What the application asks of membership.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::HyParView;
use super::passive::Known;
use crate::action::Answer;
use crate::command::{Command, Contact};
use crate::context::Context;
use crate::error::CommandError;
use crate::id::{Incarnation, NodeId, Ticket};
use crate::spec::NodeSpec;

/// Through how many listed nodes a node that is alone joins.
const LISTED_JOINS: usize = 3;

impl HyParView {
    pub(super) fn obey(&mut self, cx: &mut Context<'_>, ticket: Ticket, command: Command) {
        let result = match command {
            Command::Join(contact) => self.join(cx, contact),
            Command::SyncJoin { contact, deadline } => {
                let peers = &self.peers;
                let is_member = |node| peers.is_active(node);
                let target = contact.clone();
                self.joining.sync_join(cx, ticket, (contact, deadline), is_member);
                if !self.joining.is_empty() {
                    self.remember_contact(target);
                }
                return;
            }
            Command::Leave => {
                self.leave(cx);
                Ok(())
            }
            Command::Remove(node) => {
                self.remove(cx, node);
                Ok(())
            }
            Command::UpdateMembers(specs) => self.update_members(cx, specs),
            // Not given to managers.
            _ => Err(CommandError::NotSupported("this command")),
        };
        cx.reply(ticket, result.map(|()| Answer::Done));
    }

    fn join(&mut self, cx: &mut Context<'_>, contact: Contact) -> Result<(), CommandError> {
        let peers = &self.peers;
        self.joining.join(cx, contact.clone(), |node| peers.is_active(node))?;
        self.remember_contact(contact);
        Ok(())
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
