//! The votes of one node: who may serve which slot, and until when.

use std::collections::BTreeMap;

use partisan_proto::{Duration, Instant, ProcessId};

/// A part of all identifiers, which is served by one node at a time.
pub type Slot = u16;

/// How many there are.
pub const SLOTS: Slot = 64;

/// Why a vote is not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Somebody else has it.
    Held(ProcessId),
    /// This node has just begun, and does not know whom it voted for before.
    Young,
}

/// The votes of one node, kept in memory alone. One that begins anew may have voted before; so it
/// votes for nobody until all that it may have given is over.
#[derive(Debug)]
pub struct Votes {
    lease: Duration,
    begin: Instant,
    given: BTreeMap<Slot, Given>,
}

/// A vote that is given.
#[derive(Debug)]
struct Given {
    holder: ProcessId,
    attempt: u64,
    until: Instant,
}

impl Votes {
    /// No votes are given yet. A vote holds for `lease`, which must be the same on all nodes.
    #[must_use]
    pub const fn new(lease: Duration, now: Instant) -> Self {
        Self { lease, begin: now, given: BTreeMap::new() }
    }

    /// Votes for `holder`, from now on for the length of a lease, unless somebody else has the vote.
    /// `attempt` is the how manieth of that holder's.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn ask(
        &mut self,
        now: Instant,
        slot: Slot,
        (holder, attempt): (ProcessId, u64),
    ) -> Result<(), Denied> {
        if now < self.begin + self.lease {
            return Err(Denied::Young);
        }
        match self.given.get(&slot) {
            Some(given) if given.holder != holder && now < given.until => {
                Err(Denied::Held(given.holder))
            }
            _ => {
                self.given.insert(slot, Given { holder, attempt, until: now + self.lease });
                Ok(())
            }
        }
    }

    /// Takes a vote back that was of no use to its holder; one that it was given for a later attempt
    /// stays.
    pub fn give_back(&mut self, slot: Slot, (holder, attempt): (ProcessId, u64)) {
        let same = |given: &Given| (given.holder, given.attempt) == (holder, attempt);
        if self.given.get(&slot).is_some_and(same) {
            self.given.remove(&slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use partisan_proto::{Incarnation, NodeId, Serial};

    const LEASE: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn holder(number: u64) -> ProcessId {
        let node = NodeId::from_u64(number);
        ProcessId { node, birth: Incarnation(1), serial: Serial(1) }
    }

    #[test]
    fn a_vote_is_for_one_until_it_is_over() {
        let mut votes = Votes::new(LEASE, at(0));
        assert_eq!(votes.ask(at(20), 1, (holder(1), 1)), Ok(()));
        assert_eq!(votes.ask(at(25), 1, (holder(1), 1)), Ok(()), "and may be renewed");
        assert_eq!(votes.ask(at(34), 1, (holder(2), 1)), Err(Denied::Held(holder(1))));
        assert_eq!(votes.ask(at(34), 2, (holder(2), 1)), Ok(()), "another slot is another matter");
        assert_eq!(votes.ask(at(35), 1, (holder(2), 1)), Ok(()));
    }

    #[test]
    fn a_vote_that_is_given_back_is_free_but_not_one_for_a_later_attempt() {
        let mut votes = Votes::new(LEASE, at(0));
        assert_eq!(votes.ask(at(20), 1, (holder(1), 7)), Ok(()));
        votes.give_back(1, (holder(1), 6));
        votes.give_back(1, (holder(2), 7));
        assert_eq!(votes.ask(at(20), 1, (holder(2), 1)), Err(Denied::Held(holder(1))));
        votes.give_back(1, (holder(1), 7));
        assert_eq!(votes.ask(at(20), 1, (holder(2), 1)), Ok(()));
    }

    #[test]
    fn one_that_has_forgotten_its_votes_gives_none_while_they_may_hold() {
        let mut votes = Votes::new(LEASE, at(5));
        assert_eq!(votes.ask(at(14), 1, (holder(1), 1)), Err(Denied::Young));
        assert_eq!(votes.ask(at(15), 1, (holder(1), 1)), Ok(()));
    }
}
