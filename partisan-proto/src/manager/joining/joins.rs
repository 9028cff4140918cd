//! Joins under way, and who waits for them.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::mem;

use crate::change::ContactId;
use crate::command::Contact;
use crate::error::{CloseReason, CommandError, JoinError, Refusal};
use crate::id::{NodeId, Ticket};
use crate::notification::DialError;

/// A join under way: from the first dial until the contact's state is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Join {
    pub(super) target: Contact,
    /// Who was reached, once there is a session.
    pub(super) reached: Option<NodeId>,
    /// Those who wait in a `sync_join`.
    pub(super) waiters: Vec<Ticket>,
    /// What stopped the last dial.
    pub(super) last: Option<JoinError>,
    /// How often the contact was reached in vain.
    lost: u32,
}

/// All joins of a node, and the waiters of joins that are through but whose contact is not yet
/// fully connected.
#[derive(Clone, Debug)]
pub(super) struct Joins {
    limit: usize,
    next: u32,
    under_way: BTreeMap<ContactId, Join>,
    finishing: BTreeMap<Ticket, NodeId>,
}

impl Joins {
    /// At most `limit` joins, and as many waiters.
    pub(super) const fn new(limit: usize) -> Self {
        Self { limit, next: 0, under_way: BTreeMap::new(), finishing: BTreeMap::new() }
    }

    /// The join of the same target that is under way.
    pub(super) fn find(&self, target: &Contact) -> Option<ContactId> {
        let same = |join: &Join| match (&join.target.name, &target.name) {
            (Some(one), Some(other)) => one == other,
            _ => join.target == *target,
        };
        let mut joins = self.under_way.iter();
        joins.find(|(_, join)| same(join)).map(|(id, _)| *id)
    }

    pub(super) fn begin(&mut self, target: Contact) -> Result<ContactId, CommandError> {
        if self.under_way.len() >= self.limit {
            return Err(CommandError::TooManyJoins { limit: self.limit });
        }
        let join = Join { target, reached: None, waiters: Vec::new(), last: None, lost: 0 };
        Ok(self.insert(join))
    }

    /// The joins that wait for `old` wait for `new` from now on.
    pub(super) fn pass_on(&mut self, old: NodeId, new: NodeId) {
        for join in self.under_way.values_mut().filter(|join| join.reached == Some(old)) {
            join.reached = Some(new);
        }
    }

    /// Whether a join waits for this node, which was reached.
    pub(super) fn is_through(&self, node: NodeId) -> bool {
        self.under_way.values().any(|join| join.reached == Some(node))
    }

    fn insert(&mut self, join: Join) -> ContactId {
        let id = ContactId(self.next);
        self.next = self.next.wrapping_add(1);
        self.under_way.insert(id, join);
        id
    }

    /// Whether one more may wait.
    pub(super) fn check_waiters(&self) -> Result<(), CommandError> {
        let waiting = self.under_way.values().map(|join| join.waiters.len());
        match waiting.sum::<usize>() + self.finishing.len() < self.limit {
            true => Ok(()),
            false => Err(CommandError::TooManyJoins { limit: self.limit }),
        }
    }

    pub(super) fn wait(&mut self, contact: ContactId, ticket: Ticket) {
        if let Some(join) = self.under_way.get_mut(&contact) {
            join.waiters.push(ticket);
        }
    }

    /// Waits for a member to be fully connected.
    pub(super) fn finish(&mut self, node: NodeId, ticket: Ticket) {
        self.finishing.insert(ticket, node);
    }

    /// A dial failed; the join, taken out, when it cannot succeed any more.
    pub(super) fn failed(&mut self, contact: ContactId, error: DialError) -> Option<Join> {
        let join = self.under_way.get_mut(&contact)?;
        let error = join_error(error);
        let hopeless = is_permanent(&error);
        join.last = Some(error);
        match hopeless {
            true => self.remove(contact),
            false => None,
        }
    }

    /// Takes a join out, and gives back the memory of the last one: it would be a good part of a
    /// quiet node's.
    fn remove(&mut self, contact: ContactId) -> Option<Join> {
        let join = self.under_way.remove(&contact);
        if self.under_way.is_empty() {
            self.under_way = BTreeMap::new();
        }
        join
    }

    /// A session with the contact began.
    pub(super) fn reached(&mut self, contact: ContactId, node: NodeId) {
        if let Some(join) = self.under_way.get_mut(&contact) {
            join.reached = Some(node);
        }
    }

    /// The state of `node` is known here: takes out the joins that waited for that.
    pub(super) fn through(&mut self, node: NodeId) -> Vec<Join> {
        self.take(|join| join.reached == Some(node))
    }

    /// The session ended before the joins were through: why, when they cannot succeed any more.
    pub(super) fn interrupted(&mut self, node: NodeId, reason: CloseReason) -> Option<JoinError> {
        let error = join_error(DialError::Closed(reason));
        let through = |join: &&mut Join| join.reached == Some(node);
        for join in self.under_way.values_mut().filter(through) {
            join.last = Some(error.clone());
        }
        is_permanent(&error).then_some(error)
    }

    /// The contact must be dialled again, under these numbers, after so many failures.
    pub(super) fn lost(&mut self, node: NodeId) -> Vec<(ContactId, Contact, u32)> {
        let renewed = self.renew(|join| join.reached == Some(node)).into_iter();
        let again = renewed.filter_map(|(_, new, target)| {
            let join = self.under_way.get_mut(&new)?;
            let failures = join.lost;
            join.lost = failures.saturating_add(1);
            Some((new, target, failures))
        });
        again.collect()
    }

    /// Gives the joins that match new numbers: old number, new number, target.
    pub(super) fn renew(
        &mut self,
        matching: impl Fn(&Join) -> bool,
    ) -> Vec<(ContactId, ContactId, Contact)> {
        let matches = self.under_way.iter().filter(|(_, join)| matching(join));
        let old: Vec<ContactId> = matches.map(|(id, _)| *id).collect();
        let mut renewed = Vec::new();
        for old in old {
            if let Some(mut join) = self.remove(old) {
                join.reached = None;
                let target = join.target.clone();
                renewed.push((old, self.insert(join), target));
            }
        }
        renewed
    }

    /// Takes out the waiters for whom only the full connection to `node` was missing.
    pub(super) fn finished(&mut self, node: NodeId) -> Vec<Ticket> {
        let waiting = self.finishing.iter().filter(|(_, wanted)| **wanted == node);
        let done: Vec<Ticket> = waiting.map(|(ticket, _)| *ticket).collect();
        self.finishing.retain(|_, wanted| *wanted != node);
        done
    }

    /// Takes out the joins whose target is called like `node` or turned out to be it.
    pub(super) fn cancel(&mut self, node: NodeId) -> Vec<(ContactId, Join)> {
        let named = |join: &Join| join.target.name.as_ref().is_some_and(|name| name.id() == node);
        let of = |join: &Join| named(join) || join.reached == Some(node);
        let ids = self.under_way.iter().filter(|(_, join)| of(join));
        let ids: Vec<ContactId> = ids.map(|(id, _)| *id).collect();
        let joins = ids.into_iter();
        joins.filter_map(|id| Some((id, self.remove(id)?))).collect()
    }

    /// Takes out everything.
    pub(super) fn cancel_all(&mut self) -> (Vec<(ContactId, Join)>, Vec<Ticket>) {
        let joins = mem::take(&mut self.under_way).into_iter().collect();
        let finishing = mem::take(&mut self.finishing).into_keys().collect();
        (joins, finishing)
    }

    /// A waiter ran out of time; what stopped the last dial. `None` when it does not wait.
    pub(super) fn expire(&mut self, ticket: Ticket) -> Option<Option<JoinError>> {
        if self.finishing.remove(&ticket).is_some() {
            return Some(None);
        }
        for join in self.under_way.values_mut() {
            if let Some(place) = join.waiters.iter().position(|waiter| *waiter == ticket) {
                join.waiters.remove(place);
                return Some(join.last.clone());
            }
        }
        None
    }

    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    pub(super) fn waiting(&self) -> usize {
        let waiters = self.under_way.values().map(|join| join.waiters.len());
        waiters.sum::<usize>() + self.finishing.len()
    }

    fn take(&mut self, matching: impl Fn(&Join) -> bool) -> Vec<Join> {
        let ids = self.under_way.iter().filter(|(_, join)| matching(join));
        let ids: Vec<ContactId> = ids.map(|(id, _)| *id).collect();
        let joins = ids.into_iter();
        joins.filter_map(|id| self.remove(id)).collect()
    }
}

fn join_error(error: DialError) -> JoinError {
    match error {
        DialError::Open(error) => JoinError::Open(error),
        DialError::Closed(CloseReason::Refused(refusal)) => JoinError::Refused(refusal),
        DialError::Closed(reason) => JoinError::Closed(reason),
    }
}

/// Whether dialling again is vain. A removed or outdated incarnation is not: the node takes a
/// later one. Nor is a wrong peer at the address: addresses move.
const fn is_permanent(error: &JoinError) -> bool {
    matches!(
        error,
        JoinError::Refused(
            Refusal::Cluster
                | Refusal::Secret
                | Refusal::Version
                | Refusal::SelfConnection
                | Refusal::DuplicateName
                | Refusal::IdentifierCollision
                | Refusal::NotWanted
        ) | JoinError::Closed(CloseReason::OTHER_MANAGER)
    )
}
