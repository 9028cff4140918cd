//! The course of a join, which is the same for every manager: dial the contact, wait until the
//! manager says that the node is in, answer whoever waits.
//!
//! A manager owns a [`Joining`], hands it the commands [`Command::Join`] and
//! [`Command::SyncJoin`](crate::Command::SyncJoin) and the changes that concern contacts, and tells
//! it with [`Joining::through`] when a node through which it was to be joined has let it in.
//!
//! [`Command::Join`]: crate::Command::Join

mod joins;

use crate::action::Answer;
use crate::change::{Change, ContactId};
use crate::command::Contact;
use crate::context::Context;
use crate::error::{CloseReason, CommandError, JoinError};
use crate::id::{NodeId, Ticket};
use crate::notification::{DialError, Notification};
use crate::time::Duration;
use crate::timers::Timer;
use joins::{Join, Joins};

/// All joins of a node that are under way, and those who wait for them.
#[derive(Clone, Debug)]
pub struct Joining {
    joins: Joins,
    /// Whether contacts are connected by every lane at once.
    lanes: bool,
}

/// Where a wish to join leads.
enum Course {
    /// To a node that is a member already.
    Member(NodeId),
    /// To a contact that is being dialled.
    Dialled(ContactId),
}

impl Joining {
    /// At most `limit` joins at a time, and as many waiters. `lanes` says whether contacts are
    /// connected by every lane at once, or by the membership channel alone until the manager keeps
    /// them.
    #[must_use]
    pub const fn new(limit: usize, lanes: bool) -> Self {
        Self { joins: Joins::new(limit), lanes }
    }

    /// [`Command::Join`](crate::Command::Join); `is_member` says who needs no joining.
    ///
    /// # Errors
    /// [`CommandError`] `SelfJoin`, `NoAddress` or `TooManyJoins`.
    pub fn join(
        &mut self,
        cx: &mut Context<'_>,
        contact: Contact,
        is_member: impl Fn(NodeId) -> bool,
    ) -> Result<(), CommandError> {
        if let Course::Member(node) = self.set_out(cx, contact, is_member)? {
            let result = Ok(node);
            cx.notify(Notification::JoinEnded { result });
        }
        Ok(())
    }

    /// [`Command::SyncJoin`](crate::Command::SyncJoin): answers the ticket, now or later.
    pub fn sync_join(
        &mut self,
        cx: &mut Context<'_>,
        ticket: Ticket,
        (contact, deadline): (Contact, Duration),
        is_member: impl Fn(NodeId) -> bool,
    ) {
        let room = self.joins.check_waiters();
        let course = match room.and_then(|()| self.set_out(cx, contact, is_member)) {
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
    fn set_out(
        &mut self,
        cx: &mut Context<'_>,
        contact: Contact,
        is_member: impl Fn(NodeId) -> bool,
    ) -> Result<Course, CommandError> {
        let target = without_own_addresses(cx, contact)?;
        let named = target.name.as_ref().map(|name| name.id());
        if let Some(node) = named.filter(|node| is_member(*node)) {
            return Ok(Course::Member(node));
        }
        if target.addresses.is_empty() {
            return Err(CommandError::NoAddress);
        }
        if let Some(contact) = self.joins.find(&target) {
            return Ok(Course::Dialled(contact));
        }
        let contact = self.joins.begin(target.clone())?;
        self.dial(cx, contact, target, 0);
        Ok(Course::Dialled(contact))
    }

    fn dial(&self, cx: &mut Context<'_>, contact: ContactId, target: Contact, failures: u32) {
        let lanes = self.lanes;
        cx.change(Change::DialContact { contact, target, lanes, failures });
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

    /// A session with a contact began ([`Change::PeerUp`] with a contact,
    /// [`Change::ContactReached`]).
    pub fn reached(&mut self, contact: ContactId, node: NodeId) {
        self.joins.reached(contact, node);
    }

    /// Whether this node is being joined through that one, which was reached.
    #[must_use]
    pub fn is_through(&self, node: NodeId) -> bool {
        self.joins.is_through(node)
    }

    /// Joins through `node` have succeeded: tells everybody who waits, at once or when every lane
    /// is open. What a crash must not take back is to be stored before.
    pub fn through(&mut self, cx: &mut Context<'_>, node: NodeId) {
        for join in self.joins.through(node) {
            let result = Ok(node);
            cx.notify(Notification::JoinEnded { result });
            for ticket in join.waiters {
                self.await_lanes(cx, node, ticket, None);
            }
        }
    }

    /// Joins through `contact` have succeeded, since `node` let this node in on its behalf.
    pub fn through_other(&mut self, cx: &mut Context<'_>, contact: NodeId, node: NodeId) {
        self.joins.pass_on(contact, node);
        self.through(cx, node);
    }

    /// `contact` is not the one to join through: joins through it wait for another node, under the
    /// name of `instead`, until [`Joining::through_other`].
    pub fn refer(&mut self, contact: NodeId, instead: NodeId) {
        self.joins.pass_on(contact, instead);
    }

    /// A dial failed ([`Change::ContactFailed`]); ends the join when dialling again is vain.
    pub fn failed(&mut self, cx: &mut Context<'_>, contact: ContactId, error: DialError) {
        if let Some(join) = self.joins.failed(contact, error) {
            cx.change(Change::DropContact { contact });
            let error = join.last.clone().unwrap_or(JoinError::Cancelled);
            end_join(cx, join, &CommandError::Join(error));
        }
    }

    /// The session with `node` ended ([`Change::PeerDown`]): where a join is not through yet it is
    /// dialled again, at once the first time and later and later after that; the join ends when
    /// dialling again is vain.
    pub fn lost(&mut self, cx: &mut Context<'_>, node: NodeId, reason: CloseReason) {
        match self.joins.interrupted(node, reason) {
            Some(error) => self.give_up(cx, node, &CommandError::Join(error)),
            None => self.retry(cx, node),
        }
    }

    /// A join through `node`, which was reached, came to nothing: dials it again, as after
    /// [`Joining::lost`].
    pub fn retry(&mut self, cx: &mut Context<'_>, node: NodeId) {
        for (contact, target, failures) in self.joins.lost(node) {
            self.dial(cx, contact, target, failures);
        }
    }

    /// Every lane to `node` is open ([`Change::FullyConnected`]).
    pub fn fully_connected(&mut self, cx: &mut Context<'_>, node: NodeId) {
        for ticket in self.joins.finished(node) {
            cx.timers.cancel(Timer::EndJoin(ticket));
            cx.reply(ticket, Ok(Answer::Joined(node)));
        }
    }

    /// [`Timer::EndJoin`]: a waiter has run out of time.
    pub fn expire(&mut self, cx: &mut Context<'_>, ticket: Ticket) {
        if let Some(last) = self.joins.expire(ticket) {
            cx.reply(ticket, Err(CommandError::JoinTimeout { last }));
        }
    }

    /// Every contact is dialled again, by the node's new incarnation.
    pub fn renew(&mut self, cx: &mut Context<'_>) {
        for (old, contact, target) in self.joins.renew(|_| true) {
            cx.change(Change::DropContact { contact: old });
            self.dial(cx, contact, target, 0);
        }
    }

    /// Ends every join; `error` is for those who wait.
    pub fn cancel_all(&mut self, cx: &mut Context<'_>, error: &CommandError) {
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

    /// Ends the joins through `node`.
    pub fn cancel(&mut self, cx: &mut Context<'_>, node: NodeId, error: &CommandError) {
        for (contact, join) in self.joins.cancel(node) {
            cx.change(Change::DropContact { contact });
            end_join(cx, join, error);
        }
        self.give_up(cx, node, error);
    }

    /// Ends the joins that have reached `node`, and the waiting for its lanes.
    fn give_up(&mut self, cx: &mut Context<'_>, node: NodeId, error: &CommandError) {
        for join in self.joins.through(node) {
            end_join(cx, join, error);
        }
        for ticket in self.joins.finished(node) {
            cx.timers.cancel(Timer::EndJoin(ticket));
            cx.reply(ticket, Err(error.clone()));
        }
    }

    /// A node that was joined has parted before every lane to it was open; who waits for that is
    /// answered: the join itself has succeeded.
    pub fn settle(&mut self, cx: &mut Context<'_>, node: NodeId) {
        self.fully_connected(cx, node);
    }

    /// How many joins are under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.joins.len()
    }

    /// Whether none is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.joins.len() == 0
    }

    /// How many wait for an answer.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.joins.waiting()
    }
}

/// The target without this node's own addresses.
fn without_own_addresses(cx: &Context<'_>, mut target: Contact) -> Result<Contact, CommandError> {
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

/// Tells everybody who is interested that a join failed.
fn end_join(cx: &mut Context<'_>, join: Join, error: &CommandError) {
    for ticket in join.waiters {
        cx.timers.cancel(Timer::EndJoin(ticket));
        cx.reply(ticket, Err(error.clone()));
    }
    let result = Err(match error {
        CommandError::Join(error) => error.clone(),
        _ => JoinError::Cancelled,
    });
    cx.notify(Notification::JoinEnded { result });
}
