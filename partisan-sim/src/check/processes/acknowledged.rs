//! Messages that must arrive: at most once, and acknowledged only if they did.

use std::collections::{BTreeMap, BTreeSet};

use partisan_proto::{Action, Answer, Command, Event, Instance, Ticket};

use super::id;
use crate::check::{Checker, Violation, ViolationKind};
use crate::workload::deed::{Parcel, Said};
use crate::world::{Step, World};

/// A message that must arrive is delivered at most once in a life of its receiver, where it was
/// sent, and acknowledged only after that.
#[derive(Debug, Default)]
pub struct Acknowledged {
    sent: BTreeMap<(usize, Ticket), Parcel>,
    delivered: BTreeSet<(u64, Instance)>,
    arrived: BTreeSet<u64>,
}

impl Acknowledged {
    /// Takes in a message that is delivered; says what is wrong with it.
    fn arrived(
        &mut self,
        step: &Step<'_>,
        world: &World,
        (parcel, from): (&Parcel, partisan_proto::NodeId),
    ) -> Option<(ViolationKind, String)> {
        let node = world.hosts()[step.node].node()?;
        if parcel.to as usize != step.node || id(world, parcel.from as usize) != from {
            let text = format!("{parcel:?} came from {from}");
            return Some((ViolationKind::Misdelivered, text));
        }
        self.arrived.insert(parcel.number);
        let new = self.delivered.insert((parcel.number, node.instance()));
        (!new).then(|| (ViolationKind::Duplicate, format!("{parcel:?} arrived twice")))
    }
}

impl Checker for Acknowledged {
    fn on_step(&mut self, step: &Step<'_>, world: &World, found: &mut Vec<Violation>) {
        if let Some(Event::Command { ticket, command: Command::SendReliable(send) }) = step.told
            && let Some(Said::Parcel(parcel)) = Said::read(&send.payload)
        {
            self.sent.insert((step.node, *ticket), parcel);
        }
        for action in step.actions {
            let problem = match action {
                Action::Deliver(delivery) => match Said::read(&delivery.payload) {
                    Some(Said::Parcel(parcel)) => {
                        self.arrived(step, world, (&parcel, delivery.from))
                    }
                    _ => None,
                },
                Action::Reply { ticket, result } => {
                    let parcel = self.sent.remove(&(step.node, *ticket));
                    let false_one = parcel.filter(|parcel| {
                        *result == Ok(Answer::Acknowledged)
                            && !self.arrived.contains(&parcel.number)
                    });
                    let text = |parcel| format!("{parcel:?} is acknowledged and was not delivered");
                    false_one.map(|parcel| (ViolationKind::Acknowledgement, text(parcel)))
                }
                _ => None,
            };
            if let Some((kind, text)) = problem {
                found.push(Violation::new(kind, step.now, Some(step.node), text));
            }
        }
    }

    fn on_crash(&mut self, _: &World, node: usize) {
        self.sent.retain(|(of, _), _| *of != node);
    }
}
