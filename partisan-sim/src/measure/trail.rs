//! The ways that broadcasts take, as the nodes that were handed them saw it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use partisan_proto::{Action, Instant, MessageId};

use crate::check::{Checker, Violation};
use crate::world::{Happened, Step, World};

/// One delivery of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Where.
    pub node: usize,
    /// Who sent it there; nobody at the sender itself.
    pub from: Option<usize>,
    /// After how many hops.
    pub hops: u8,
    /// When.
    pub at: Instant,
}

/// Watches how broadcasts travel: a checker that finds nothing wrong. Clones share what they see,
/// so one is given to the world and another is asked.
#[derive(Clone, Debug, Default)]
pub struct Trail(Rc<RefCell<BTreeMap<MessageId, Vec<Stop>>>>);

impl Trail {
    /// Forgets everything, and says what it was: the deliveries of each message, by time.
    #[must_use]
    pub fn take(&self) -> BTreeMap<MessageId, Vec<Stop>> {
        self.0.take()
    }
}

impl Checker for Trail {
    fn on_step(&mut self, step: &Step<'_>, world: &World, _: &mut Vec<Violation>) {
        for action in step.actions {
            let Action::DeliverBroadcast(message) = action else {
                continue;
            };
            let from = match step.happened {
                Happened::Received(connection) => {
                    let mut links = world.network().links(step.node);
                    links.find(|link| link.id == connection).map(|link| link.peer)
                }
                _ => None,
            };
            let stop = Stop { node: step.node, from, hops: message.hops, at: step.now };
            self.0.borrow_mut().entry(message.id).or_default().push(stop);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WorldOptions;
    use partisan_proto::Duration;

    #[test]
    fn every_stop_follows_the_one_from_where_it_came() {
        let mut world = World::new(WorldOptions { seed: 5, ..WorldOptions::default() });
        world.add_nodes(9);
        (1..9).for_each(|node| _ = world.join(node, 0));
        world.run_for(Duration::from_secs(10));
        let trail = Trail::default();
        world.check(trail.clone());
        world.broadcast(4, "hello");
        world.run_for(Duration::from_secs(2));
        let mut trails = trail.take();
        assert_eq!(trails.len(), 1);
        let (_, stops) = trails.pop_first().unwrap();
        assert_eq!(stops.len(), 9);
        let first = Stop { node: 4, from: None, hops: 0, at: stops[0].at };
        assert_eq!(stops[0], first);
        for stop in &stops[1..] {
            let from = stops.iter().find(|other| Some(other.node) == stop.from).unwrap();
            assert_eq!(from.hops + 1, stop.hops);
            assert!(from.at < stop.at);
        }
    }
}
