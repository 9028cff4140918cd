//! Messages of one key arrive in the order of sending, and none arrives twice.

use std::collections::{BTreeMap, BTreeSet};

use partisan_proto::{Action, ChannelId};

use super::{Checker, Violation, ViolationKind};
use crate::workload::Stamp;
use crate::world::{Step, World};

/// FIFO for each (sender's life, receiver, channel, key), and no duplicates; among messages of the
/// [workload](crate::workload), which carry a [`Stamp`].
#[derive(Debug, Default)]
pub struct Order {
    /// The last number of each ordered stream.
    last: BTreeMap<(Stream, usize), u64>,
    /// All numbers that arrived without an order.
    seen: BTreeSet<u64>,
}

type Stream = (u32, u32, ChannelId, Option<u64>);

impl Checker for Order {
    fn on_step(&mut self, step: &Step<'_>, world: &World, found: &mut Vec<Violation>) {
        for action in step.actions {
            let Action::Deliver(delivery) = action else {
                continue;
            };
            // A message that may be relayed may be overtaken.
            let Some(stamp) = Stamp::read(&delivery.payload).filter(|stamp| !stamp.relay) else {
                continue;
            };
            let mut report = |kind, text| {
                found.push(Violation::new(kind, step.now, Some(step.node), text));
            };
            if !self.seen.insert(stamp.number) {
                report(ViolationKind::Duplicate, format!("{stamp:?} arrived twice"));
                continue;
            }
            let config = world.hosts()[step.node].rest.config.clone();
            let lanes = config.channels.options(stamp.channel).map(|options| options.parallelism);
            if stamp.key.is_none() && lanes != Some(1) {
                continue;
            }
            let stream = (stamp.from, stamp.life, stamp.channel, stamp.key);
            let last = self.last.entry((stream, step.node)).or_default();
            if stamp.number < *last {
                report(ViolationKind::Order, format!("{stamp:?} arrived behind number {last}"));
            }
            *last = stamp.number.max(*last);
        }
    }
}
