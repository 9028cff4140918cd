//! Every command is answered exactly once.

use std::collections::BTreeMap;

use partisan_proto::{Action, Instant, Ticket};

use super::{Checker, Violation, ViolationKind};
use crate::world::{Happened, Step, World};

/// Every command that a node took is answered exactly once, unless the node dies.
#[derive(Debug, Default)]
pub struct Commands {
    open: BTreeMap<(usize, Ticket), Instant>,
}

impl Checker for Commands {
    fn on_step(&mut self, step: &Step<'_>, _: &World, found: &mut Vec<Violation>) {
        if let Happened::Command(ticket) = step.happened {
            self.open.insert((step.node, ticket), step.now);
        }
        for action in step.actions {
            if let Action::Reply { ticket, .. } = action
                && self.open.remove(&(step.node, *ticket)).is_none()
            {
                let text = format!("{ticket:?} is answered, and was not open");
                let kind = ViolationKind::AnsweredTwice;
                found.push(Violation::new(kind, step.now, Some(step.node), text));
            }
        }
    }

    fn on_crash(&mut self, _: &World, node: usize) {
        self.open.retain(|(other, _), _| *other != node);
    }

    fn at_end(&mut self, world: &World, found: &mut Vec<Violation>) {
        for ((node, ticket), since) in &self.open {
            let text = format!("{ticket:?} of {since} was never answered");
            let kind = ViolationKind::Unanswered;
            found.push(Violation::new(kind, world.now(), Some(*node), text));
        }
    }
}
