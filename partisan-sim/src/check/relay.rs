//! What holds for relayed messages, and for every message of the workload: see
//! [`partisan_proto::relay`].

use std::collections::{BTreeMap, BTreeSet};

use partisan_proto::wire::{Cargo, Frame, RelayHeader, RelayId};
use partisan_proto::{
    Action, Answer, Command, ConnectionId, Delivery, Event, NodeId, Notification,
};

use super::{Checker, Violation, ViolationKind};
use crate::node_host::NodeHost;
use crate::workload::Stamp;
use crate::world::{Happened, Step, World};

/// A message arrives where it was sent to, as it was sent, and a relayed one at most once in a life
/// of its receiver. A node passes each on in one step, to nobody twice and not back, with hops and
/// ttl that add up. Its sender is told of a failure once at most, and only of one that is final.
#[derive(Debug, Default)]
pub struct Relays {
    /// The messages that may be relayed, by receiver and life.
    delivered: BTreeSet<(usize, u32, u64)>,
    /// The same messages, whoever got them.
    arrived: BTreeSet<u64>,
    /// The number of each message that a node began to relay.
    numbers: BTreeMap<RelayId, u64>,
    /// What each life of a node has passed on, and in which of its steps.
    passed: BTreeMap<(usize, u32, RelayId), u64>,
    /// The messages whose senders were told of a failure.
    failed: BTreeSet<u64>,
    steps: u64,
}

impl Checker for Relays {
    fn on_step(&mut self, step: &Step<'_>, world: &World, found: &mut Vec<Violation>) {
        self.steps += 1;
        let mut sent = BTreeSet::new();
        let mut report = |kind, text| {
            found.push(Violation::new(kind, step.now, Some(step.node), text));
        };
        for action in step.actions {
            let problem = match action {
                Action::Deliver(delivery) => self.delivery(step.node, world, delivery),
                Action::Send { connection, frame: Frame::Relayed { header, payload } } => {
                    if let (1, Some(stamp)) = (header.hops, Stamp::read(payload)) {
                        self.numbers.insert(header.id, stamp.number);
                    }
                    let peer = peer(world, step.node, *connection);
                    if peer.is_some() && !sent.insert((header.id, peer)) {
                        let text = format!("sends {:?} to {peer:?} twice", header.id);
                        report(ViolationKind::Loop, text);
                    }
                    self.hop(step, world, header, peer)
                }
                Action::Notify(Notification::RelayFailed { to, sequence, .. }) => {
                    self.failure(step.node, world, *to, *sequence)
                }
                _ => None,
            };
            problem.into_iter().for_each(|(kind, text)| report(kind, text));
        }
        if let Some(text) = wrong_answer(step, world) {
            report(ViolationKind::FalseFailure, text);
        }
    }
}

type Problem = Option<(ViolationKind, String)>;

impl Relays {
    fn delivery(&mut self, node: usize, world: &World, delivery: &Delivery) -> Problem {
        let Some(stamp) = Stamp::read(&delivery.payload) else {
            let text = || format!("{:?} is not what was sent", delivery.payload);
            return Stamp::is_spoilt(&delivery.payload)
                .then(|| (ViolationKind::Misdelivered, text()));
        };
        let sender = world.hosts().get(stamp.from as usize).map(|host| host.name().id());
        let right = stamp.to as usize == node
            && sender == Some(delivery.from)
            && stamp.channel == delivery.channel
            && (stamp.relay || !delivery.relayed);
        if !right {
            let text = format!("{stamp:?} is delivered as {delivery:?}");
            return Some((ViolationKind::Misdelivered, text));
        }
        if !stamp.relay {
            return None;
        }
        self.arrived.insert(stamp.number);
        if !self.delivered.insert((node, world.hosts()[node].births(), stamp.number)) {
            return Some((ViolationKind::Duplicate, format!("{stamp:?} arrived twice")));
        }
        let text = || format!("{stamp:?} arrived; its sender was told that it would not");
        self.failed.contains(&stamp.number).then(|| (ViolationKind::FalseFailure, text()))
    }

    fn hop(
        &mut self,
        step: &Step<'_>,
        world: &World,
        header: &RelayHeader,
        peer: Option<usize>,
    ) -> Problem {
        let (node, host) = (step.node, &world.hosts()[step.node]);
        let life = (node, host.births(), header.id);
        if *self.passed.entry(life).or_insert(self.steps) != self.steps {
            let text = format!("passes {:?} on for the second time", header.id);
            return Some((ViolationKind::Loop, text));
        }
        let before = match step.happened {
            Happened::Received(connection) => self::peer(world, node, connection),
            _ => None,
        };
        let origin = world.number(header.id.origin);
        if peer == before && peer.is_some() || header.flooded && peer == origin {
            let text = format!("sends {:?} back to {peer:?}", header.id);
            return Some((ViolationKind::Loop, text));
        }
        let most = host.rest.config.relay.ttl;
        let handed_over = peer.is_some() && peer == world.number(header.target);
        let last = handed_over && header.ttl == 0 && header.hops == most + 1;
        if header.ttl + header.hops != most && !last {
            let text = format!("{header:?} does not add up to {most} hops");
            return Some((ViolationKind::Loop, text));
        }
        None
    }

    fn failure(&mut self, node: usize, world: &World, to: NodeId, sequence: u64) -> Problem {
        let instance = world.hosts()[node].node()?.instance();
        let (origin, incarnation) = (instance.node, instance.incarnation);
        let id = RelayId { origin, incarnation, sequence };
        let problem = |what: &str| {
            Some((ViolationKind::FalseFailure, format!("the failure of {id:?} to {to} {what}")))
        };
        // A message of a test, not of the workload.
        let number = match self.numbers.get(&id) {
            Some(number) => *number,
            None if self.passed.keys().any(|(.., passed)| *passed == id) => return None,
            None => return problem("is told, and it was never sent"),
        };
        if self.arrived.contains(&number) {
            return problem("is told, and it has arrived");
        }
        if !self.failed.insert(number) {
            return problem("is told twice");
        }
        None
    }
}

/// Who is at the other end of a connection, while it is open.
pub(super) fn peer(world: &World, node: usize, connection: ConnectionId) -> Option<usize> {
    let mut links = world.network().links(node);
    links.find(|link| link.id == connection).map(|link| link.peer)
}

/// A command to relay that failed has sent nothing, and one that did not has. Others may let go what
/// waited: the end of an injected partition sends what must arrive.
fn wrong_answer(step: &Step<'_>, world: &World) -> Option<String> {
    let Some(Event::Command { command: Command::Send(_), .. }) = step.told else {
        return None;
    };
    let Happened::Command(asked) = step.happened else {
        return None;
    };
    let own = world.hosts().get(step.node).and_then(NodeHost::node)?.instance().node;
    // What must arrive goes when it may, whatever the command.
    let asked_for = |header: &RelayHeader| header.cargo == Cargo::Message;
    let numbers = step.actions.iter().filter_map(|action| match action {
        Action::Send { frame: Frame::Relayed { header, .. }, .. }
            if header.id.origin == own && asked_for(header) =>
        {
            Some(header.id.sequence)
        }
        _ => None,
    });
    let sent: BTreeSet<u64> = numbers.collect();
    let said = step.actions.iter().find_map(|action| match action {
        Action::Reply { ticket, result } if *ticket == asked => Some(result),
        _ => None,
    });
    let expected = match said? {
        Ok(Answer::Relayed(number)) => BTreeSet::from([*number]),
        _ => BTreeSet::new(),
    };
    (sent != expected).then(|| format!("answers {said:?} and has relayed {sent:?}"))
}
