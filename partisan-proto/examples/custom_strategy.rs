//! A membership strategy of one's own, for the pluggable manager: everybody is a member who was ever
//! connected, and nothing is gossiped.
//!
//! Commands, the course of joins, restarts and storing are the pluggable manager's; a strategy says
//! who is a member and whom to stay connected to, by leaving outcomes. Two nodes join each other, and
//! one leaves again.
//!
//!     cargo run -p partisan-proto --example custom_strategy

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::hash::Hash;
use std::sync::Arc;

use partisan_proto::config::PluggableConfig;
use partisan_proto::manager::pluggable::Pluggable;
use partisan_proto::manager::pluggable::strategy::{Outcome, Outcomes, Saved, Strategy};
use partisan_proto::wire::{ControlMessage, StableHasher};
use partisan_proto::*;

/// Knows whom it met.
#[derive(Debug)]
struct Acquaintances {
    me: Member,
    met: BTreeMap<NodeId, Member>,
}

impl Strategy for Acquaintances {
    fn start(&mut self, cx: &mut Context<'_>, _out: &mut Outcomes) {
        self.me.incarnation = cx.me.instance.incarnation;
    }

    /// Earlier lives are refused, so that two of one name do not take turns.
    fn admit(
        &self,
        instance: Instance,
        _spec: &NodeSpec,
        _known: Option<Incarnation>,
    ) -> Result<(), Refusal> {
        match self.met.get(&instance.node) {
            Some(member) if instance.incarnation < member.incarnation => {
                Err(Refusal::StaleIncarnation(member.incarnation))
            }
            _ => Ok(()),
        }
    }

    fn not_member(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut Outcomes,
        node: NodeId,
        _upto: Incarnation,
    ) {
        self.remove(cx, out, &[node]);
    }

    /// Whoever is connected is a member, and stays connected.
    fn peer_up(
        &mut self,
        _cx: &mut Context<'_>,
        out: &mut Outcomes,
        (instance, spec): (Instance, &Arc<NodeSpec>),
        _joining: bool,
    ) {
        let Instance { node, incarnation } = instance;
        self.met.insert(node, Member { incarnation, spec: spec.clone() });
        out.push(Outcome::Joined { instance, spec: spec.clone() });
        out.push(Outcome::Keep { instance, spec: spec.clone() });
        // There is nothing more to learn from it: a join through it has succeeded.
        out.push(Outcome::Synced { node });
    }

    /// Whoever says goodbye for good is forgotten when its session ends; others are dialled again.
    fn peer_down(&mut self, _cx: &mut Context<'_>, _out: &mut Outcomes, _instance: Instance) {}

    fn receive(
        &mut self,
        _cx: &mut Context<'_>,
        _out: &mut Outcomes,
        _from: Instance,
        message: ControlMessage,
    ) -> Result<(), Box<ControlMessage>> {
        Err(Box::new(message))
    }

    fn round(&mut self, _cx: &mut Context<'_>, _out: &mut Outcomes) {}

    fn remove(&mut self, _cx: &mut Context<'_>, out: &mut Outcomes, nodes: &[NodeId]) {
        for node in nodes.iter().copied().filter(|node| self.met.remove(node).is_some()) {
            out.push(Outcome::Left { node });
            out.push(Outcome::Release { node, reason: CloseReason::NotWanted });
        }
    }

    fn leave(&mut self, _cx: &mut Context<'_>) {}

    fn begin_anew(&mut self, cx: &mut Context<'_>, out: &mut Outcomes, _removed: Incarnation) {
        self.me.incarnation = cx.me.instance.incarnation;
        let met = std::mem::take(&mut self.met);
        out.extend(met.into_keys().map(|node| Outcome::Left { node }));
    }

    fn announce(&mut self, cx: &mut Context<'_>, _out: &mut Outcomes) {
        self.me.incarnation = cx.me.instance.incarnation;
    }

    fn has_news(&self) -> bool {
        false
    }

    fn send_news(&mut self, _cx: &mut Context<'_>) {}

    fn is_synced(&self, node: NodeId) -> bool {
        self.met.contains_key(&node)
    }

    fn members(&self) -> Vec<Member> {
        std::iter::once(&self.me).chain(self.met.values()).cloned().collect()
    }

    fn member(&self, node: NodeId) -> Option<Member> {
        self.members().into_iter().find(|member| member.spec.id() == node)
    }

    fn saved(&self) -> Saved {
        // Whom it met is forgotten by a restart; only that its stay goes on is stored.
        Saved { joined: self.me.incarnation, entries: Vec::new() }
    }

    fn fingerprint(&self, hasher: &mut StableHasher) {
        for (node, member) in &self.met {
            (node, member.incarnation).hash(hasher);
        }
    }
}

/// A node with this strategy.
fn start(number: u8, config: &Arc<Config>) -> Result<Node, Box<dyn Error>> {
    let address: Address = format!("127.0.0.1:{}", 9000 + u16::from(number)).parse()?;
    let name = format!("n{number}@town").parse()?;
    let spec = NodeSpec::new(name, vec![address], &config.channels, vec![])?;
    let (incarnation, seed) = (Incarnation(1), [number; 32]);
    let instance = Instance { node: spec.id(), incarnation };
    let me = Me { instance, spec: Arc::new(spec.clone()), stopping: false };
    let manager =
        Pluggable::with_strategy(&me, PluggableConfig::default(), &seed, None, |_saved| {
            let me = Member { incarnation, spec: me.spec.clone() };
            Box::new(Acquaintances { me, met: BTreeMap::new() })
        })?;
    let manager: Option<Box<dyn Manager>> = Some(Box::new(manager));
    let birth = Birth { spec, incarnation, seed, snapshot: None, manager };
    Ok(Node::start(Instant::ZERO, birth, config.clone(), &mut Outbox::default())?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let config = Arc::new(Config::default());
    let mut nodes = [start(0, &config)?, start(1, &config)?];
    let contact = Contact::from(&**nodes[1].spec());
    run(&mut nodes, 0, Command::Join(contact))?;
    for node in &nodes {
        assert_eq!(node.members().len(), 2, "they have met");
        assert_eq!(node.neighbors().len(), 1);
    }
    let other = nodes[1].instance().node;
    run(&mut nodes, 0, Command::Remove(other))?;
    assert_eq!(nodes[0].members().len(), 1, "and are strangers again");
    assert_eq!(nodes[0].routes().peers().count(), 0);
    println!("two nodes met and parted");
    Ok(())
}

/// Gives a command, and carries frames between the two until nothing is on its way. Connection n of
/// one end is connection n of the other: dialled here, accepted there.
fn run(nodes: &mut [Node; 2], first: usize, command: Command) -> Result<(), Box<dyn Error>> {
    let mut queue = VecDeque::from([(first, Event::Command { ticket: Ticket(1), command })]);
    let other_end = |id: ConnectionId| ConnectionId::from_u64(id.as_u64() ^ 1);
    let mut out = Outbox::default();
    while let Some((index, event)) = queue.pop_front() {
        nodes[index].handle(Instant::from_secs(1), event, &mut out);
        for action in out.actions.drain(..) {
            match action {
                Action::Open { connection, .. } => {
                    let accepted = Event::Accepted { connection: other_end(connection) };
                    queue.push_back((1 - index, accepted));
                    queue.push_back((index, Event::Opened { connection }));
                }
                Action::Send { connection, frame } => {
                    let connection = other_end(connection);
                    queue.push_back((1 - index, Event::Received { connection, frame }));
                }
                Action::Close { connection, reason, .. } => {
                    let connection = other_end(connection);
                    queue.push_back((1 - index, Event::Closed { connection, reason }));
                }
                Action::Reply { result, .. } => _ = result?,
                _ => {}
            }
        }
    }
    Ok(())
}
