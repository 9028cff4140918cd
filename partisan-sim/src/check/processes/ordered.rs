//! Messages that must arrive, in the order of their lane.

use std::collections::BTreeMap;

use partisan_proto::{Action, Instance};

use crate::check::{Checker, Violation, ViolationKind};
use crate::workload::deed::{Parcel, Said};
use crate::world::{Step, World};

/// In each life of its receiver an ordered message comes after all that were sent before it in the
/// same order, by the same start of its sender, or they never come.
#[derive(Debug, Default)]
pub struct Ordered {
    /// The number of the last one, by sender and its start, receiver, channel and key.
    last: BTreeMap<(u32, u32, Instance, (u8, u64)), u64>,
}

impl Ordered {
    fn arrived(&mut self, at: Instance, parcel: &Parcel) -> Option<String> {
        let order = (parcel.from, parcel.life, at, parcel.order?);
        let last = self.last.entry(order).or_default();
        let late = parcel.number < *last;
        *last = parcel.number.max(*last);
        late.then(|| format!("{parcel:?} came after {last} of its order"))
    }
}

impl Checker for Ordered {
    fn on_step(&mut self, step: &Step<'_>, world: &World, found: &mut Vec<Violation>) {
        let Some(at) = world.hosts()[step.node].node().map(|node| node.instance()) else {
            return;
        };
        for action in step.actions {
            if let Action::Deliver(delivery) = action
                && let Some(Said::Parcel(parcel)) = Said::read(&delivery.payload)
                && let Some(text) = self.arrived(at, &parcel)
            {
                let (kind, node) = (ViolationKind::Order, Some(step.node));
                found.push(Violation::new(kind, step.now, node, text));
            }
        }
    }
}
