//! Causal order, against an oracle that sees all: vector clocks of every life of every node.

use std::collections::BTreeMap;

use partisan_proto::{Action, Answer, Command, Event, Instance, Instant, NodeId, Ticket};

use super::id;
use crate::check::{Checker, Violation, ViolationKind};
use crate::workload::deed::{Parcel, Said};
use crate::world::{Step, World};

/// How many messages of each life of a node came before something.
type Clock = BTreeMap<Instance, u64>;

/// Of two messages with a label for the same life of a node the one that was sent before, as far as
/// anybody could know, is delivered first, over third parties too; unless its sender has given it up
/// or is gone. None is delivered for want of patience where nothing is missing.
#[derive(Debug, Default)]
pub struct Causality {
    /// By label and life.
    clocks: BTreeMap<(u8, Instance), Clock>,
    /// Messages that are on their way, by number.
    pending: BTreeMap<u64, Sent>,
    tickets: BTreeMap<(usize, Ticket), u64>,
    /// How often each node, in which start, was seen to run out of patience.
    impatient: BTreeMap<usize, (u32, u64)>,
}

#[derive(Debug)]
struct Sent {
    label: u8,
    by: Instance,
    to: Instance,
    /// What came before it, itself included.
    clock: Clock,
    /// Whether its sender does not try any more.
    given_up: bool,
    /// Which node that is, and when it gives up at the latest.
    sender: usize,
    expires: Instant,
}

impl Sent {
    /// Whether nobody need wait for it: its sender has given it up, or would have if its time did not
    /// stand still.
    fn is_over(&self, world: &World) -> bool {
        let asleep = world.hosts()[self.sender].is_paused();
        self.given_up || asleep && world.now() >= self.expires
    }

    /// Whether it came before another.
    fn is_before(&self, other: &Self) -> bool {
        let number = self.clock.get(&self.by).copied().unwrap_or_default();
        other.clock.get(&self.by).is_some_and(|known| *known >= number)
    }
}

impl Causality {
    fn sent(
        &mut self,
        world: &World,
        node: usize,
        (ticket, parcel): (Ticket, &Parcel),
        to: NodeId,
    ) {
        let (Some(label), Some(sender)) = (parcel.label, world.hosts()[node].node()) else {
            return;
        };
        let Some(peer) = sender.routes().peer(to) else {
            return;
        };
        let (by, to) = (sender.instance(), peer.instance);
        let clock = self.clocks.entry((label, by)).or_default();
        *clock.entry(by).or_default() += 1;
        let clock = clock.clone();
        let expires = world.now() + sender.config().delivery.expire_after;
        let sent = Sent { label, by, to, clock, given_up: false, sender: node, expires };
        self.pending.insert(parcel.number, sent);
        self.tickets.insert((node, ticket), parcel.number);
    }

    /// Takes in a delivery; says what should have come before, and how many were missing.
    fn delivered(&mut self, world: &World, me: Instance, number: u64) -> Option<(Vec<u64>, usize)> {
        let sent = self.pending.remove(&number)?;
        let missing = self.pending.iter().filter(|(_, other)| {
            other.label == sent.label && other.to == me && other.is_before(&sent)
        });
        let (gone, owed): (Vec<_>, Vec<_>) = missing.partition(|(_, other)| other.is_over(world));
        let owed = owed.into_iter().map(|(number, _)| *number).collect();
        let gone = gone.len();
        let clock = self.clocks.entry((sent.label, me)).or_default();
        for (by, known) in &sent.clock {
            let mine = clock.entry(*by).or_default();
            *mine = (*mine).max(*known);
        }
        Some((owed, gone))
    }

    /// How often a node ran out of patience since it was looked at last.
    fn impatience(&mut self, world: &World, node: usize) -> u64 {
        let host = &world.hosts()[node];
        let now = host.node().map_or(0, |node| node.counters().delivery.out_of_patience);
        let before = self.impatient.insert(node, (host.births(), now));
        let before = before.filter(|(births, _)| *births == host.births());
        now - before.map_or(0, |(_, count)| count)
    }

    /// A command was answered: what became of the message.
    fn answered(&mut self, node: usize, ticket: Ticket, acknowledged: bool) {
        if let Some(number) = self.tickets.remove(&(node, ticket))
            && !acknowledged
            && let Some(sent) = self.pending.get_mut(&number)
        {
            sent.given_up = true;
        }
    }
}

/// Whether a message was not even taken on.
fn refused(step: &Step<'_>, of: Ticket) -> bool {
    let refusal = |action: &Action| matches!(action, Action::Reply { ticket, result: Err(_) } if *ticket == of);
    step.actions.iter().any(refusal)
}

impl Checker for Causality {
    fn on_step(&mut self, step: &Step<'_>, world: &World, found: &mut Vec<Violation>) {
        if let Some(Event::Command { ticket, command: Command::SendReliable(send) }) = step.told
            && send.to != id(world, step.node)
            && !refused(step, *ticket)
            && let Some(Said::Parcel(parcel)) = Said::read(&send.payload)
        {
            self.sent(world, step.node, (*ticket, &parcel), send.to);
        }
        let Some(node) = world.hosts()[step.node].node() else {
            return;
        };
        let (me, mut excused) = (node.instance(), 0);
        let mut report = |text| {
            let kind = ViolationKind::Causality;
            found.push(Violation::new(kind, step.now, Some(step.node), text));
        };
        let mut looked = false;
        for action in step.actions {
            match action {
                Action::Deliver(delivery) => {
                    let Some(Said::Parcel(parcel)) = Said::read(&delivery.payload) else {
                        continue;
                    };
                    let Some((owed, gone)) = self.delivered(world, me, parcel.number) else {
                        continue;
                    };
                    looked = true;
                    excused += u64::from(gone > 0);
                    if !owed.is_empty() {
                        report(format!("{parcel:?} is delivered before {owed:?}"));
                    }
                }
                Action::Reply { ticket, result } => {
                    let acknowledged = *result == Ok(Answer::Acknowledged);
                    self.answered(step.node, *ticket, acknowledged);
                }
                _ => {}
            }
        }
        if looked {
            let impatient = self.impatience(world, step.node);
            if impatient > excused {
                report(format!("{impatient} ran out of patience; {excused} missed anything"));
            }
        }
    }

    fn on_crash(&mut self, world: &World, node: usize) {
        let gone = id(world, node);
        for sent in self.pending.values_mut().filter(|sent| sent.by.node == gone) {
            sent.given_up = true;
        }
        self.tickets.retain(|(of, _), _| *of != node);
    }
}
