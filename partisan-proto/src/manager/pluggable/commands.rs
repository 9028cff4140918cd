//! What the application asks of membership, and the course of a join.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{Pluggable, end_join};
use crate::action::Answer;
use crate::change::{Change, ContactId};
use crate::command::{Command, Contact};
use crate::context::Context;
use crate::error::{CloseReason, CommandError, JoinError};
use crate::id::{NodeId, Ticket};
use crate::notification::Notification;
use crate::spec::NodeSpec;
use crate::time::Duration;
use crate::timers::Timer;

/// Where a wish to join leads.
enum Course {
    /// To a node that is a member already.
    Member(NodeId),
    /// To a contact that is being dialled.
    Dialled(ContactId),
}

impl Pluggable {
    pub(super) fn obey(&mut self, cx: &mut Context<'_>, ticket: Ticket, command: Command) {
        let result = match command {
            Command::Join(contact) => self.join(cx, contact),
            Command::SyncJoin { contact, deadline } => {
                return self.sync_join(cx, ticket, contact, deadline);
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
            Command::Disconnect(_) | Command::Send(_) | Command::Stop => {
                Err(CommandError::NotSupported("this command"))
            }
        };
        cx.reply(ticket, result.map(|()| Answer::Done));
    }

    fn join(&mut self, cx: &mut Context<'_>, contact: Contact) -> Result<(), CommandError> {
        if let Course::Member(node) = self.set_out(cx, contact)? {
            let result = Ok(node);
            cx.notify(Notification::JoinEnded { result });
        }
        Ok(())
    }

    fn sync_join(
        &mut self,
        cx: &mut Context<'_>,
        ticket: Ticket,
        contact: Contact,
        deadline: Duration,
    ) {
        let room = self.joins.check_waiters();
        let course = match room.and_then(|()| self.set_out(cx, contact)) {
            Ok(course) => course,
            Err(error) => return cx.reply(ticket, Err(error)),
        };
        match course {
            Course::Member(node) => {
                let result = Ok(node);
                cx.notify(Notification::JoinEnded { result });
                self.await_lanes(cx, node, ticket, Some(deadline));
            }
            Course::Dialled(contact) => {
                self.joins.wait(contact, ticket);
                cx.set_timer(Timer::EndJoin(ticket), deadline);
            }
        }
    }

    /// Begins a join, or finds that it is not needed.
    fn set_out(&mut self, cx: &mut Context<'_>, contact: Contact) -> Result<Course, CommandError> {
        let target = self.check_target(cx, contact)?;
        let named = target.name.as_ref().map(|name| name.id());
        if let Some(node) = named.filter(|node| self.strategy.member(*node).is_some()) {
            return Ok(Course::Member(node));
        }
        if target.addresses.is_empty() {
            return Err(CommandError::NoAddress);
        }
        if let Some(contact) = self.joins.find(&target) {
            return Ok(Course::Dialled(contact));
        }
        let contact = self.joins.begin(target.clone())?;
        cx.change(Change::DialContact { contact, target });
        Ok(Course::Dialled(contact))
    }

    /// The target without this node's own addresses.
    fn check_target(&self, cx: &Context<'_>, mut target: Contact) -> Result<Contact, CommandError> {
        let own = &cx.me.spec;
        if target.name.as_ref().is_some_and(|name| name == own.name()) {
            return Err(CommandError::SelfJoin);
        }
        let given = target.addresses.len();
        target.addresses.retain(|address| !own.addresses().contains(address));
        if given > 0 && target.addresses.is_empty() {
            return Err(CommandError::SelfJoin);
        }
        Ok(target)
    }

    /// Answers a waiter when `node` is fully connected: now, or later.
    fn await_lanes(
        &mut self,
        cx: &mut Context<'_>,
        node: NodeId,
        ticket: Ticket,
        deadline: Option<Duration>,
    ) {
        if cx.routes.peer(node).is_some_and(|routes| routes.is_full()) {
            cx.timers.cancel(Timer::EndJoin(ticket));
            return cx.reply(ticket, Ok(Answer::Joined(node)));
        }
        self.joins.finish(node, ticket);
        if let Some(deadline) = deadline {
            cx.set_timer(Timer::EndJoin(ticket), deadline);
        }
    }

    pub(super) fn contact_reached(
        &mut self,
        cx: &mut Context<'_>,
        contact: ContactId,
        node: NodeId,
    ) {
        self.joins.reached(contact, node);
        if self.strategy.is_synced(node) {
            self.join_through(cx, node);
        } else if !cx.is_connected(node) {
            for (contact, target) in self.joins.lost(node) {
                cx.change(Change::DialContact { contact, target });
            }
        }
    }

    /// All that `node` knew is known here: joins through it have succeeded.
    pub(super) fn join_through(&mut self, cx: &mut Context<'_>, node: NodeId) {
        for join in self.joins.through(node) {
            // At once: a node that was told that it joined finds its cluster after a crash.
            self.save(cx);
            let result = Ok(node);
            cx.notify(Notification::JoinEnded { result });
            for ticket in join.waiters {
                self.await_lanes(cx, node, ticket, None);
            }
        }
    }

    /// Ends every join; `error` is for those who wait.
    pub(super) fn cancel_joins(&mut self, cx: &mut Context<'_>, error: &CommandError) {
        let (joins, finishing) = self.joins.cancel_all();
        for (contact, join) in joins {
            cx.change(Change::DropContact { contact });
            end_join(cx, join, error);
        }
        for ticket in finishing {
            cx.timers.cancel(Timer::EndJoin(ticket));
            cx.reply(ticket, Err(error.clone()));
        }
    }

    fn cancel_joins_of(&mut self, cx: &mut Context<'_>, node: NodeId) {
        let error = CommandError::Join(JoinError::Cancelled);
        for (contact, join) in self.joins.cancel(node) {
            cx.change(Change::DropContact { contact });
            end_join(cx, join, &error);
        }
        for ticket in self.joins.finished(node) {
            cx.timers.cancel(Timer::EndJoin(ticket));
            cx.reply(ticket, Err(error.clone()));
        }
    }

    fn leave(&mut self, cx: &mut Context<'_>) {
        self.cancel_joins(cx, &CommandError::Join(JoinError::Cancelled));
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
        self.cancel_joins_of(cx, node);
        self.step(cx, |strategy, cx, out| strategy.remove(cx, out, &[node]));
    }

    fn update_members(
        &mut self,
        cx: &mut Context<'_>,
        specs: Vec<NodeSpec>,
    ) -> Result<(), CommandError> {
        if specs.is_empty() {
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
            self.cancel_joins_of(cx, *node);
        }
        self.step(cx, |strategy, cx, out| strategy.remove(cx, out, &gone));
        // One that cannot be joined does not keep the others from it.
        let mut first_error = Ok(());
        for spec in wanted.into_values() {
            let node = spec.id();
            if node != own && self.strategy.member(node).is_none() {
                let begun = self.set_out(cx, Contact::from(&spec)).map(drop);
                first_error = first_error.and(begun);
            }
        }
        first_error
    }
}
