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
    given: BTreeMap<Slot, (ProcessId, Instant)>,
}

impl Votes {
    /// No votes are given yet. A vote holds for `lease`, which must be the same on all nodes.
    #[must_use]
    pub const fn new(lease: Duration, now: Instant) -> Self {
        Self { lease, begin: now, given: BTreeMap::new() }
    }

    /// Votes for `holder`, from now on for the length of a lease, unless somebody else has the vote.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn ask(&mut self, now: Instant, slot: Slot, holder: ProcessId) -> Result<(), Denied> {
        if now < self.begin + self.lease {
            return Err(Denied::Young);
        }
        match self.given.get(&slot) {
            Some((other, until)) if *other != holder && now < *until => Err(Denied::Held(*other)),
            _ => {
                self.given.insert(slot, (holder, now + self.lease));
                Ok(())
            }
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
        assert_eq!(votes.ask(at(20), 1, holder(1)), Ok(()));
        assert_eq!(votes.ask(at(25), 1, holder(1)), Ok(()), "and may be renewed");
        assert_eq!(votes.ask(at(34), 1, holder(2)), Err(Denied::Held(holder(1))));
        assert_eq!(votes.ask(at(34), 2, holder(2)), Ok(()), "another slot is another matter");
        assert_eq!(votes.ask(at(35), 1, holder(2)), Ok(()));
    }

    #[test]
    fn one_that_has_forgotten_its_votes_gives_none_while_they_may_hold() {
        let mut votes = Votes::new(LEASE, at(5));
        assert_eq!(votes.ask(at(14), 1, holder(1)), Err(Denied::Young));
        assert_eq!(votes.ask(at(15), 1, holder(1)), Ok(()));
    }
}
