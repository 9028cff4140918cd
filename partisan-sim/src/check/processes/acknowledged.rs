//! Messages that must arrive: at most once, acknowledged only if they did, and not given up before
//! their time.

use std::collections::{BTreeMap, BTreeSet};

use partisan_proto::{Action, Answer, Command, CommandError, Event, Instance, Instant, Ticket};

use super::id;
use crate::check::{Checker, Violation, ViolationKind};
use crate::workload::deed::{Parcel, Said};
use crate::world::{Step, World};

/// A message that must arrive is delivered at most once in a life of its receiver, where it was
/// sent, and acknowledged only after that; it is not said to have expired before it has.
#[derive(Debug, Default)]
pub struct Acknowledged {
    /// And when each expires.
    sent: BTreeMap<(usize, Ticket), (Parcel, Instant)>,
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
            let usual = world.hosts()[step.node].rest.config.delivery.expire_after;
            let expires = step.now + send.expires.unwrap_or(usual);
            self.sent.insert((step.node, *ticket), (parcel, expires));
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
                    let sent = self.sent.remove(&(step.node, *ticket));
                    let text = sent.and_then(|(parcel, expires)| match result {
                        Ok(Answer::Acknowledged) if !self.arrived.contains(&parcel.number) => {
                            Some(format!("{parcel:?} is acknowledged and was not delivered"))
                        }
                        Err(CommandError::NotAcknowledged(_)) if step.now < expires => {
                            Some(format!("{parcel:?} is given up before {expires}"))
                        }
                        _ => None,
                    });
                    text.map(|text| (ViolationKind::Acknowledgement, text))
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
