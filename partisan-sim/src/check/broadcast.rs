//! Broadcasts: what holds at each step, and what must have come true once everything is healed.
//!
//! Among messages of the [workload](crate::workload), which carry a [`Notice`], and of the
//! applications' [stores](crate::store).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use partisan_proto::config::{BroadcastConfig, ManagerConfig, StoreConfig};
use partisan_proto::wire::BroadcastMessage;
use partisan_proto::{
    Action, BroadcastTimer, Duration, HandlerId, HandlerName, Instance, Instant, MessageId, Node,
    NodeId, Question, Timer,
};

use super::{Checker, Violation, ViolationKind};
use crate::measure::Overlay;
use crate::store::{self, Entry};
use crate::workload::Notice;
use crate::world::{Step, World};

/// In larger clusters the links of trees are not looked at.
const LARGE: usize = 32;

/// A message as one node had it.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// In which start of the node, and which life.
    birth: u32,
    life: Instance,
    at: Instant,
}

/// Who was handed which message. Clones share what they know, so that one is given to the world
/// and another is asked.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Rc<RefCell<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// The newest delivery, by message and node.
    held: BTreeMap<MessageId, BTreeMap<usize, Held>>,
    /// The same of messages that stores were asked to take.
    merged: BTreeMap<MessageId, BTreeMap<usize, Held>>,
    handlers: BTreeMap<MessageId, HandlerId>,
    /// As which message each number of a notice travels.
    ids: BTreeMap<u64, MessageId>,
}

/// Every message is delivered at most once in a life of a node, to the handler it was sent to, as
/// it was sent; a store is asked at most once to take it. The links of a tree are the neighbours,
/// each eager or lazy.
#[derive(Debug, Default)]
pub struct Watch(Ledger);

impl Watch {
    /// A checker that writes down who was handed what.
    #[must_use]
    pub const fn new(ledger: Ledger) -> Self {
        Self(ledger)
    }
}

impl Checker for Watch {
    fn on_step(&mut self, step: &Step<'_>, world: &World, found: &mut Vec<Violation>) {
        let mut report = |(kind, text)| {
            found.push(Violation::new(kind, step.now, Some(step.node), text));
        };
        let mut known = self.0.0.borrow_mut();
        for action in step.actions {
            let (message, stored) = match action {
                Action::DeliverBroadcast(message) => (message, false),
                Action::Ask { question: Question::Merge(message), .. } => (message, true),
                _ => continue,
            };
            if known.take(step, world, message, stored).is_none() {
                let text = format!("{} was delivered twice", message.id);
                report((ViolationKind::Duplicate, text));
            }
            if let Some(text) = known.altered(world, message, stored) {
                report((ViolationKind::Altered, text));
            }
        }
        if world.hosts().len() <= LARGE
            && let Some(text) = world.hosts()[step.node].node().and_then(unsound_links)
        {
            report((ViolationKind::Tree, text));
        }
    }
}

impl Known {
    /// Notes a delivery; `None` when the node had the message in this birth of its.
    fn take(
        &mut self,
        step: &Step<'_>,
        world: &World,
        message: &BroadcastMessage,
        stored: bool,
    ) -> Option<()> {
        let host = &world.hosts()[step.node];
        let birth = host.births();
        // At its start a node is not in its place yet.
        let life = host.node().map_or(message.id.origin, Node::instance);
        let kind = if stored { &mut self.merged } else { &mut self.held };
        self.handlers.entry(message.id).or_insert(message.handler);
        let nodes = kind.entry(message.id).or_default();
        let held = Held { birth, life, at: step.now };
        let before = nodes.insert(step.node, held).filter(|before| before.birth == birth);
        // The origin's store had it before it was sent.
        let own = stored && message.id.origin == life;
        (before.is_none() && !own).then_some(())
    }

    /// What is wrong with a message, if anything is.
    fn altered(
        &mut self,
        world: &World,
        message: &BroadcastMessage,
        stored: bool,
    ) -> Option<String> {
        let (id, payload) = (message.id, &message.payload);
        let kept = message.handler == store::handler();
        if stored != message.stored || (kept && !stored) {
            return Some(format!("{id} came to the wrong handler, {}", message.handler));
        }
        if stored && !kept {
            return None;
        }
        let (from, number) = if stored {
            let entry = Entry::of_subject(&message.key);
            let entry = entry.filter(|entry| entry.payload() == *payload);
            (None, entry.map(|entry| entry.version))
        } else {
            let notice = Notice::read(payload);
            (notice.map(|notice| notice.from), notice.map(|notice| notice.number))
        };
        // Tests broadcast what they like.
        let number = match number {
            Some(number) => number,
            None if stored || payload.starts_with(&Notice::MAGIC) => {
                return Some(format!("{id} is not what was sent: {payload:?}"));
            }
            None => return None,
        };
        let origin = world.number(id.origin.node);
        if origin.is_none() || from.is_some_and(|from| origin != Some(from as usize)) {
            return Some(format!("{id} was sent by node {from:?}"));
        }
        let first = *self.ids.entry(number).or_insert(id);
        (first != id).then(|| format!("{id} is another message as well, {first}"))
    }
}

/// What is wrong with the links of the trees through a node, if anything is.
fn unsound_links(node: &Node) -> Option<String> {
    let tree = node.broadcast_tree(node.instance().node);
    let all = || tree.eager.iter().chain(&tree.lazy);
    // Without broadcasts there are no trees.
    all().next()?;
    let distinct: BTreeSet<&NodeId> = all().collect();
    if distinct.len() < all().count() {
        return Some(format!("is eager and lazy to one neighbour: {tree:?}"));
    }
    let neighbors: BTreeSet<NodeId> = node.neighbors().iter().map(|other| other.node).collect();
    if let Some(stranger) = all().find(|link| !neighbors.contains(link)) {
        return Some(format!("has a link to {stranger}, which is no neighbour"));
    }
    let complete = neighbors.len() <= node.config().broadcast.max_links;
    let missing = neighbors.iter().find(|node| !distinct.contains(node));
    missing.filter(|_| complete).map(|node| format!("has no link to its neighbour {node}"))
}

/// The live nodes that can reach each other by the overlay, by component.
#[must_use]
pub fn components(world: &World) -> Vec<Vec<usize>> {
    let overlay = Overlay::of(world);
    let mut parts: Vec<Vec<usize>> = Vec::new();
    for (place, part) in overlay.component_of_each().into_iter().enumerate() {
        let part = part as usize;
        parts.resize(parts.len().max(part + 1), Vec::new());
        parts[part].push(overlay.node(place));
    }
    parts
}

/// The first broadcast that has not come to everybody though it should have, or the first store
/// that differs. What one node holds, everybody in its component has to get: holders are those who
/// were handed it in their present life and have it in their caches.
#[must_use]
pub fn problem(world: &World, ledger: &Ledger) -> Option<Violation> {
    let known = ledger.0.borrow();
    let violation = |node, text| {
        let kind = ViolationKind::Undelivered;
        Some(Violation::new(kind, world.now(), Some(node), text))
    };
    for part in components(world) {
        for (id, held) in &known.held {
            let holder = part.iter().find(|node| is_held(world, **node, held.get(node)));
            let Some(holder) = holder else { continue };
            let handler = known.handlers.get(id).copied();
            let lacks = |node: &&usize| {
                let birth = world.hosts()[**node].births();
                let handles = handler.is_some_and(|handler| handles(world, **node, handler));
                handles && held.get(*node).is_none_or(|held| held.birth != birth)
            };
            if let Some(node) = part.iter().find(lacks) {
                return violation(*node, format!("lacks {id}, which node {holder} has"));
            }
        }
        let first = part.first().copied().unwrap_or_default();
        let other = part.iter().find(|node| world.store(**node) != world.store(first));
        if let Some(node) = other.filter(|_| keeps(world, first)) {
            let (mine, theirs) = (world.store(*node), world.store(first));
            return violation(*node, format!("stores {mine:?}; node {first} {theirs:?}"));
        }
    }
    None
}

/// Whether a node has this handler.
fn handles(world: &World, number: usize, handler: HandlerId) -> bool {
    let node = world.hosts()[number].node();
    let default = BroadcastConfig::DEFAULT_HANDLER.parse().ok();
    node.is_some_and(|node| {
        let named = node.config().broadcast.handlers.keys().chain(&default);
        named.into_iter().any(|name: &HandlerName| HandlerId::of(name) == handler)
    })
}

/// Whether a node still has a message to give.
fn is_held(world: &World, number: usize, held: Option<&Held>) -> bool {
    let host = &world.hosts()[number];
    let Some((node, held)) = host.node().zip(held) else {
        return false;
    };
    let age = world.now().since(held.at);
    let kept = node.config().broadcast.cache.age;
    held.birth == host.births() && held.life == node.instance() && age + SPREADING < kept
}

/// How long the last copy of a message may take to come to everybody.
const SPREADING: Duration = Duration::from_secs(100);

/// Whether the application on a node keeps messages.
fn keeps(world: &World, number: usize) -> bool {
    let node = world.hosts()[number].node();
    node.is_some_and(|node| {
        let mut handlers = node.config().broadcast.handlers.values();
        handlers.any(|options| options.store == StoreConfig::Application)
    })
}

/// How long after the last message nothing of it may be left but what was delivered: caches are
/// empty, trees forgotten, and nobody beats.
#[must_use]
pub fn forgotten_after(config: &BroadcastConfig) -> Duration {
    let longest = config.idle_timeout.max(config.cache.age);
    let heartbeats = config.heartbeat_interval * 5;
    // What is missing is looked for twice, and is lost then.
    (longest + longest / 4) * 2 + heartbeats + config.exchange.deadline
}

/// What is left of broadcasts on a node, so long after the last one: trees of single senders,
/// timers other than that of exchanges.
#[must_use]
pub fn leak(world: &World) -> Option<Violation> {
    let left_over = |number: usize| {
        let node = world.hosts()[number].node()?;
        let text = left_over(world, node)?;
        Some(Violation::new(ViolationKind::Leak, world.now(), Some(number), text))
    };
    world.live().find_map(left_over)
}

fn left_over(world: &World, node: &Node) -> Option<String> {
    let keeps = keeps(world, world.number(node.instance().node)?);
    let timer = node.timers().find(|(_, timer)| match timer {
        Timer::Broadcast(BroadcastTimer::Exchange) => !keeps,
        Timer::Broadcast(_) => true,
        _ => false,
    });
    if let Some((at, timer)) = timer {
        return Some(format!("{timer:?} is still set, for {at}"));
    }
    let roots = world.hosts().iter().map(|host| host.name().id());
    let own = roots.into_iter().find(|root| node.broadcast_tree(*root).own);
    own.map(|root| format!("still has a tree of {root}"))
}

/// Whether neighbours are exchanged for cheaper ones now and then. Those who come take the parts in
/// trees of those who go; a tree may be crooked by that until the next heartbeat, and announcements
/// reach whom it misses.
#[must_use]
pub fn exchanges_neighbors(world: &World) -> bool {
    world.hosts().iter().any(|host| match &host.rest.config.manager {
        ManagerConfig::HyParView(config) => config.xbot.is_some(),
        _ => false,
    })
}

/// What is wrong with the tree that messages of `root` take through its component, at rest and
/// after several of them: eager links are eager at both ends, and form a tree that reaches
/// everybody (S1 and S2). Where no heartbeats shape the tree, a link may be eager towards the
/// sender and not from it, since nothing goes that way: then its cost alone tells (S4).
#[must_use]
pub fn crooked(world: &World, root: usize) -> Option<Violation> {
    let part = components(world).into_iter().find(|part| part.contains(&root))?;
    let id = world.hosts()[root].name().id();
    world.hosts()[root].node()?.broadcast_tree(id).root?;
    let mut links = BTreeSet::new();
    for number in &part {
        let node = world.hosts()[*number].node()?;
        for eager in node.broadcast_tree(id).eager {
            links.insert((*number, world.number(eager)?));
        }
    }
    let violation =
        |node, text| Some(Violation::new(ViolationKind::Tree, world.now(), Some(node), text));
    if let Some((a, b)) = links.iter().find(|(a, b)| !links.contains(&(*b, *a))) {
        return violation(*a, format!("is eager to node {b} for {root}, not the other way round"));
    }
    if links.len() != 2 * (part.len() - 1) {
        let text = format!("{} nodes have {} eager links: {links:?}", part.len(), links.len() / 2);
        return violation(root, text);
    }
    let (mut reached, mut border) = (BTreeSet::from([root]), vec![root]);
    while let Some(node) = border.pop() {
        let next = links.range((node, 0)..=(node, usize::MAX)).map(|(_, next)| *next);
        border.extend(next.filter(|next| reached.insert(*next)));
    }
    let cut_off = part.iter().find(|node| !reached.contains(node))?;
    violation(*cut_off, format!("is not in the tree of node {root}"))
}

/// The most frames that exchanges of nodes at rest may send within `seconds`.
#[must_use]
pub fn frames_at_rest(world: &World, seconds: u64) -> u64 {
    let keepers = world.live().filter(|node| keeps(world, *node)).count() as u64;
    // One each 5 s at most, which is a question and an answer.
    keepers * (seconds / 5 + 1) * 2
}
