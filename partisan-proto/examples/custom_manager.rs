//! A membership manager of one's own: a ring, each node connected to its successor alone.
//!
//! Shows all that a manager has to do: answer every command once, answer every knock, say who is a
//! member, whom to stay connected to, and who is a neighbour. Three nodes are driven by a plain loop,
//! without sockets or a clock, and the ring is checked as it closes and as it opens again.
//!
//!     cargo run -p partisan-proto --example custom_manager

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use partisan_proto::manager::joining::Joining;
use partisan_proto::wire::{ControlMessage, StableHasher};
use partisan_proto::*;

/// The manager: whom the application joined is this node's successor.
///
/// A join dials the contact; the session that comes of it makes the contact the successor, in place
/// of the one before. Whoever dials in is a predecessor: connected, and no member.
#[derive(Debug)]
struct Ring {
    me: Option<Member>,
    successor: Option<(Instance, Arc<NodeSpec>)>,
    /// The course of a join is the same for every manager, and is done for us.
    joining: Joining,
}

impl Ring {
    fn new() -> Self {
        Self { me: None, successor: None, joining: Joining::new(4, true) }
    }

    fn is_successor(&self, node: NodeId) -> bool {
        self.successor.as_ref().is_some_and(|(instance, _)| instance.node == node)
    }

    /// Whoever was reached by a join takes the place of the successor.
    fn follow(&mut self, cx: &mut Context<'_>, instance: Instance, spec: &Arc<NodeSpec>) {
        if !self.is_successor(instance.node) {
            self.forget_successor(cx);
        }
        self.successor = Some((instance, spec.clone()));
        let (incarnation, patient) = (instance.incarnation, false);
        cx.notify(Notification::MemberJoined { spec: spec.clone(), incarnation });
        // From now on it is dialled again for ever, by every lane.
        cx.change(Change::Keep { instance, spec: spec.clone(), patient });
        cx.change(Change::MembersChanged);
        cx.neighbor_up(instance);
        self.joining.through(cx, instance.node);
    }

    fn forget_successor(&mut self, cx: &mut Context<'_>) {
        if let Some((Instance { node, .. }, _)) = self.successor.take() {
            cx.notify(Notification::MemberLeft { node });
            cx.neighbor_down(node);
            cx.change(Change::MembersChanged);
            cx.change(Change::Release { node, reason: CloseReason::NotWanted });
        }
    }
}

impl Manager for Ring {
    fn start(&mut self, cx: &mut Context<'_>) {
        let incarnation = cx.me.instance.incarnation;
        self.me = Some(Member { incarnation, spec: cx.me.spec.clone() });
    }

    fn command(&mut self, cx: &mut Context<'_>, ticket: Ticket, command: Command) {
        let successor = self.successor.as_ref().map(|(instance, _)| instance.node);
        let is_member = |node| successor == Some(node);
        let result = match command {
            Command::Join(contact) => self.joining.join(cx, contact, is_member),
            Command::SyncJoin { contact, deadline } => {
                // Answers the ticket itself, now or later.
                return self.joining.sync_join(cx, ticket, (contact, deadline), is_member);
            }
            Command::Leave => {
                self.joining.cancel_all(cx, &CommandError::Join(JoinError::Cancelled));
                self.forget_successor(cx);
                Ok(())
            }
            Command::Remove(node) => {
                if self.is_successor(node) {
                    self.forget_successor(cx);
                }
                Ok(())
            }
            _ => Err(CommandError::NotSupported("lists of members: a ring has one successor")),
        };
        cx.reply(ticket, result.map(|()| Answer::Done));
    }

    fn change(&mut self, cx: &mut Context<'_>, change: &Change) {
        match change {
            // Everybody may be a predecessor.
            Change::Knock { connection, .. } => {
                cx.change(Change::Admit { connection: *connection });
            }
            Change::PeerUp { instance, spec, contact, .. } => {
                if let Some(contact) = contact {
                    self.joining.reached(*contact, instance.node);
                }
                if self.joining.is_through(instance.node) || self.is_successor(instance.node) {
                    self.follow(cx, *instance, spec);
                }
            }
            Change::PeerDown { instance, reason, .. } => {
                cx.neighbor_down(instance.node);
                self.joining.lost(cx, instance.node, *reason);
            }
            Change::FullyConnected { node } => self.joining.fully_connected(cx, *node),
            Change::ContactFailed { contact, error } => self.joining.failed(cx, *contact, *error),
            Change::ContactReached { contact, node } => {
                self.joining.reached(*contact, *node);
            }
            Change::Stopping => self.joining.cancel_all(cx, &CommandError::Stopping),
            _ => {}
        }
    }

    fn receive(
        &mut self,
        _cx: &mut Context<'_>,
        _from: Instance,
        message: ControlMessage,
    ) -> Result<(), Box<ControlMessage>> {
        // A ring says nothing: whatever comes is another manager's.
        Err(Box::new(message))
    }

    fn fire(&mut self, cx: &mut Context<'_>, timer: Timer) {
        if let Timer::EndJoin(ticket) = timer {
            self.joining.expire(cx, ticket);
        }
    }

    fn members(&self) -> Vec<Member> {
        let successor = self.successor.as_ref().map(|(instance, spec)| Member {
            incarnation: instance.incarnation,
            spec: spec.clone(),
        });
        self.me.iter().cloned().chain(successor).collect()
    }

    fn member(&self, node: NodeId) -> Option<Member> {
        self.members().into_iter().find(|member| member.spec.id() == node)
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = StableHasher::default();
        self.successor.as_ref().map(|(instance, _)| *instance).hash(&mut hasher);
        self.joining.len().hash(&mut hasher);
        hasher.finish()
    }
}

/// One end of a connection.
type End = (usize, ConnectionId);

/// Three nodes, and the simplest thing that can carry frames between them.
struct Loop {
    nodes: Vec<Node>,
    queue: VecDeque<(usize, Event)>,
    ends: BTreeMap<End, End>,
    accepted: u64,
    tickets: u64,
}

impl Loop {
    fn perform(&mut self, node: usize, out: &mut Outbox) -> Result<(), Box<dyn Error>> {
        for action in out.actions.drain(..) {
            match action {
                Action::Open { connection, addresses, .. } => {
                    let other = usize::from(addresses[0].port) - 9000;
                    self.accepted += 1;
                    let far = ConnectionId::accepted(self.accepted);
                    self.ends.insert((node, connection), (other, far));
                    self.ends.insert((other, far), (node, connection));
                    self.queue.push_back((other, Event::Accepted { connection: far }));
                    self.queue.push_back((node, Event::Opened { connection }));
                }
                Action::Send { connection, frame } => {
                    if let Some((other, connection)) = self.ends.get(&(node, connection)).copied() {
                        self.queue.push_back((other, Event::Received { connection, frame }));
                    }
                }
                Action::Close { connection, .. } => {
                    if let Some((other, connection)) = self.ends.remove(&(node, connection)) {
                        let reason = CloseReason::ClosedByPeer;
                        self.queue.push_back((other, Event::Closed { connection, reason }));
                    }
                }
                Action::Reply { result, .. } => _ = result?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives a command, and lets everything happen that follows from it.
    fn command(&mut self, node: usize, command: Command) -> Result<(), Box<dyn Error>> {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.queue.push_back((node, Event::Command { ticket, command }));
        let mut out = Outbox::default();
        while let Some((node, event)) = self.queue.pop_front() {
            self.nodes[node].handle(Instant::from_secs(1), event, &mut out);
            self.perform(node, &mut out)?;
        }
        Ok(())
    }

    /// Whom a node is next to.
    fn next(&self, node: usize) -> Vec<NodeId> {
        self.nodes[node].neighbors().iter().map(|instance| instance.node).collect()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let config = Arc::new(Config::default());
    let mut out = Outbox::default();
    let (ends, queue) = (BTreeMap::new(), VecDeque::new());
    let mut ring = Loop { nodes: Vec::new(), queue, ends, accepted: 0, tickets: 0 };
    for number in 0..3_u8 {
        let address: Address = format!("127.0.0.1:{}", 9000 + u16::from(number)).parse()?;
        let name = format!("n{number}@ring").parse()?;
        let spec = NodeSpec::new(name, vec![address], &config.channels, vec![])?;
        let birth = Birth {
            spec,
            incarnation: Incarnation(1),
            seed: [number; 32],
            snapshot: None,
            // This is all that it takes to use it.
            manager: Some(Box::new(Ring::new())),
        };
        ring.nodes.push(Node::start(Instant::ZERO, birth, config.clone(), &mut out)?);
    }
    let ids: Vec<NodeId> = ring.nodes.iter().map(|node| node.instance().node).collect();

    for node in 0..3 {
        let successor = ring.nodes[(node + 1) % 3].spec().addresses()[0].clone();
        ring.command(node, Command::Join(Contact::at(successor)))?;
    }
    for node in 0..3 {
        assert_eq!(ring.next(node), [ids[(node + 1) % 3]], "the ring is closed");
        assert_eq!(ring.nodes[node].members().len(), 2, "itself and its successor");
        assert_eq!(ring.nodes[node].routes().peers().count(), 2, "and a predecessor");
    }

    ring.command(1, Command::Leave)?;
    assert_eq!(ring.next(1), [], "the ring is open");
    assert_eq!(ring.next(0), [ids[1]], "who follows whom is each one's own business");
    println!("a ring of three closed and opened again");
    Ok(())
}
