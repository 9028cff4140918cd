//! What the application asks of membership, and the course of a join.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Pluggable;
use crate::change::ContactId;
use crate::command::Contact;
use crate::context::Context;
use crate::error::{CloseReason, CommandError, JoinError};
use crate::id::{NodeId, Ticket};
use crate::manager::commands::Obey;
use crate::spec::NodeSpec;
use crate::time::Duration;

impl Obey for Pluggable {
    fn join(&mut self, cx: &mut Context<'_>, contact: Contact) -> Result<(), CommandError> {
        let strategy = &self.strategy;
        self.joining.join(cx, contact, |node| strategy.is_joined(node))
    }

    fn sync_join(&mut self, cx: &mut Context<'_>, ticket: Ticket, contact: (Contact, Duration)) {
        let strategy = &self.strategy;
        self.joining.sync_join(cx, ticket, contact, |node| strategy.is_joined(node));
    }

    fn leave(&mut self, cx: &mut Context<'_>) {
        self.joining.cancel_all(cx, &CommandError::Join(JoinError::Cancelled));
        let alone = self.strategy.members().len() <= 1;
        if alone && cx.routes.peers().next().is_none() {
            return;
        }
        self.strategy.leave(cx);
        let upto = cx.me.instance.incarnation;
        self.begin_anew(cx, upto, CloseReason::Left);
    }

    fn remove(&mut self, cx: &mut Context<'_>, node: NodeId) {
        if node == cx.me.instance.node {
            return self.leave(cx);
        }
        self.joining.cancel(cx, node, &CommandError::Join(JoinError::Cancelled));
        self.step(cx, |strategy, cx, out| strategy.remove(cx, out, &[node]));
    }

    fn update_members(
        &mut self,
        cx: &mut Context<'_>,
        specs: Vec<NodeSpec>,
    ) -> Result<(), CommandError> {
        let partial = !self.strategy.knows_all();
        if specs.is_empty() || (partial && self.strategy.members().len() > 1) {
            return Ok(());
        }
        let own = cx.me.instance.node;
        let wanted: BTreeMap<NodeId, NodeSpec> =
            specs.into_iter().map(|spec| (spec.id(), spec)).collect();
        let members = self.strategy.members();
        let members = members.iter().map(|member| member.spec.id());
        let gone: Vec<NodeId> =
            members.filter(|node| *node != own && !wanted.contains_key(node)).collect();
        for node in &gone {
            self.joining.cancel(cx, *node, &CommandError::Join(JoinError::Cancelled));
        }
        self.step(cx, |strategy, cx, out| strategy.remove(cx, out, &gone));
        // One that cannot be joined does not keep the others from it.
        let mut first_error = Ok(());
        for spec in wanted.into_values() {
            let node = spec.id();
            if node != own && self.strategy.member(node).is_none() {
                let begun = self.joining.join(cx, Contact::from(&spec), |_| false);
                first_error = first_error.and(begun);
            }
        }
        first_error
    }
}

impl Pluggable {
    pub(super) fn contact_reached(
        &mut self,
        cx: &mut Context<'_>,
        contact: ContactId,
        node: NodeId,
    ) {
        self.joining.reached(contact, node);
        if self.strategy.is_synced(node) {
            self.join_through(cx, node);
        } else if !cx.is_connected(node) {
            self.joining.retry(cx, node);
        } else {
            self.step(cx, |strategy, cx, out| strategy.join(cx, out, node));
        }
    }

    /// All that `node` knew is known here: joins through it have succeeded.
    pub(super) fn join_through(&mut self, cx: &mut Context<'_>, node: NodeId) {
        if self.joining.is_through(node) {
            // At once: a node that was told that it joined finds its cluster after a crash.
            self.save(cx);
            self.joining.through(cx, node);
        }
        let me = cx.me.instance.node;
        if self.joining.is_through(me) {
            // A referral has led here.
            self.save(cx);
            self.joining.through_other(cx, me, node);
        }
    }
}
