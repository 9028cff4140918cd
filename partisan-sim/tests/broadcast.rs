//! Broadcasts broken on purpose must be found by their checker, and the same run without the break
//! must be clean.

use std::sync::Arc;

use bytes::Bytes;
use partisan_proto::config::{BroadcastConfig, HandlerOptions, OwnTrees};
use partisan_proto::wire::{
    BroadcastMessage, ControlMessage, Destination, Frame, Heartbeat, PlumtreeMessage,
};
use partisan_proto::{Action, Config, Duration, HandlerId, HandlerName, MessageId};
use partisan_sim::check::broadcast::{self, Ledger, Watch, crooked, leak, problem};
use partisan_sim::check::{self, Checker, ViolationKind, mesh};
use partisan_sim::store;
use partisan_sim::workload::{Notice, Work};
use partisan_sim::world::{Happened, Step};
use partisan_sim::{InFlight, Verdict, World, WorldOptions};

/// The nodes of a cluster, all connected.
const NODES: usize = 5;

fn configured(change: impl FnOnce(&mut BroadcastConfig)) -> Config {
    let mut config = Config::default();
    config.broadcast.handlers.insert(store::handler_name(), store::options());
    config.broadcast.own_trees = OwnTrees::Never;
    // Long enough for what was sent to be owed still when it is judged.
    config.broadcast.cache.age = Duration::from_secs(300);
    change(&mut config.broadcast);
    config
}

/// Connected nodes, watched, each of which has broadcast once.
fn cluster(config: Config) -> (World, Ledger) {
    let mut world =
        World::new(WorldOptions { seed: 3, config: Arc::new(config), ..WorldOptions::default() });
    let ledger = Ledger::default();
    check::watch_with(&mut world, &ledger);
    world.calm_applications();
    world.add_nodes(NODES);
    (1..NODES).for_each(|node| _ = world.join(node, 0));
    let groups = [Vec::from_iter(0..NODES)];
    let formed = |world: &World| mesh::problem(world, &groups).is_none();
    assert!(world.run_until(formed, Duration::from_secs(30)));
    storm(&mut world);
    assert_eq!(world.violations(), []);
    (world, ledger)
}

/// Every node broadcasts and writes; then time passes.
fn storm(world: &mut World) {
    for node in 0..NODES {
        Work::Broadcast { node, count: 3 }.perform(world);
        Work::Write { node, key: node as u8 }.perform(world);
        world.run_for(Duration::from_millis(100));
    }
    world.run_for(Duration::from_secs(40));
}

/// What a storm shows under a rule.
fn found(rule: impl FnMut(&InFlight<'_>) -> Verdict + 'static) -> Vec<ViolationKind> {
    let (mut world, ledger) = cluster(configured(|_| {}));
    world.rule(rule);
    storm(&mut world);
    let safety = world.violations().iter().map(|violation| violation.kind);
    let liveness = problem(&world, &ledger).map(|violation| violation.kind);
    let mut kinds: Vec<_> = safety.chain(liveness).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

fn is_plumtree(frame: &Frame, which: fn(&PlumtreeMessage) -> bool) -> bool {
    matches!(frame, Frame::Control(ControlMessage::Plumtree(message)) if which(message))
}

/// The payloads of one message to node 4 are lost.
fn is_lost(flying: &InFlight<'_>, stored: bool) -> bool {
    flying.to == 4 && matches!(flying.frame, Frame::Broadcast(message) if message.stored == stored)
}

/// A broadcast message to node 2 becomes another.
fn rewrite(flying: &InFlight<'_>, change: impl Fn(&mut BroadcastMessage)) -> Verdict {
    match flying.frame {
        Frame::Broadcast(message) if flying.to == 2 && !message.stored => {
            let mut message = BroadcastMessage::clone(message);
            change(&mut message);
            Verdict::Rewrite(Box::new(Frame::Broadcast(Arc::new(message))))
        }
        _ => Verdict::Pass,
    }
}

#[test]
fn what_is_only_lost_or_doubled_is_made_good() {
    assert_eq!(found(|_| Verdict::Pass), []);
    let double = |flying: &InFlight<'_>| match flying.frame {
        Frame::Broadcast(_) => Verdict::Duplicate,
        _ => Verdict::Pass,
    };
    assert_eq!(found(double), []);
    let mut left = 20;
    let lose = move |flying: &InFlight<'_>| match is_lost(flying, false) && left > 0 {
        true => {
            left -= 1;
            Verdict::Drop
        }
        false => Verdict::Pass,
    };
    assert_eq!(found(lose), []);
}

#[test]
fn changed_payloads_are_found() {
    let change = |message: &mut BroadcastMessage| {
        let mut payload = message.payload.to_vec();
        let last = payload.len() - 1;
        payload[last] ^= 1;
        message.payload = payload.into();
    };
    assert!(found(move |flying| rewrite(flying, change)).contains(&ViolationKind::Altered));
}

#[test]
fn messages_for_a_wrong_handler_are_found() {
    let change = |message: &mut BroadcastMessage| message.handler = store::handler();
    assert!(found(move |flying| rewrite(flying, change)).contains(&ViolationKind::Altered));
}

#[test]
fn a_message_that_goes_by_two_names_is_found() {
    let change = |message: &mut BroadcastMessage| message.id.sequence += 1_000;
    assert!(found(move |flying| rewrite(flying, change)).contains(&ViolationKind::Altered));
}

#[test]
fn grafts_that_are_never_answered_are_found() {
    let rule = |flying: &InFlight<'_>| {
        let graft = is_plumtree(flying.frame, |m| matches!(m, PlumtreeMessage::Graft(_)));
        match graft || is_lost(flying, false) {
            true => Verdict::Drop,
            false => Verdict::Pass,
        }
    };
    assert_eq!(found(rule), [ViolationKind::Undelivered]);
}

#[test]
fn stores_that_compare_themselves_in_vain_are_found() {
    let rule = |flying: &InFlight<'_>| {
        let compares = matches!(flying.frame, Frame::App { destination: Destination::Inbox, .. });
        match compares || is_lost(flying, true) {
            true => Verdict::Drop,
            false => Verdict::Pass,
        }
    };
    assert_eq!(found(rule), [ViolationKind::Undelivered]);
}

/// Nodes that never tell who their parent is.
fn childless(flying: &InFlight<'_>) -> Verdict {
    let Frame::Control(ControlMessage::Plumtree(PlumtreeMessage::Heartbeats(list))) = flying.frame
    else {
        return Verdict::Pass;
    };
    let list = list.iter().map(|heartbeat| Heartbeat { parent: false, ..*heartbeat });
    let list = partisan_proto::wire::Bounded::from_first(list);
    let message = ControlMessage::Plumtree(PlumtreeMessage::Heartbeats(list));
    match flying.from == 2 {
        true => Verdict::Rewrite(Box::new(Frame::Control(message))),
        false => Verdict::Pass,
    }
}

#[test]
fn a_tree_that_is_eager_at_one_end_alone_is_found() {
    let (mut world, _) = cluster(configured(|_| {}));
    assert_eq!(crooked(&world, 0), None);
    world.rule(childless);
    storm(&mut world);
    assert_eq!(crooked(&world, 0).map(|violation| violation.kind), Some(ViolationKind::Tree));
}

#[test]
fn what_is_never_forgotten_is_found() {
    let left = |idle: Duration| {
        let usual = configured(|_| {});
        let (mut world, _) = cluster(configured(|broadcast| broadcast.idle_timeout = idle));
        world.run_for(broadcast::forgotten_after(&usual.broadcast));
        leak(&world).map(|violation| violation.kind)
    };
    assert_eq!(left(BroadcastConfig::default().idle_timeout), None);
    assert_eq!(left(Duration::from_secs(10_000)), Some(ViolationKind::Leak));
}

#[test]
fn a_second_delivery_is_found() {
    let (world, _) = cluster(configured(|_| {}));
    let life = world.hosts()[1].node().expect("it lives").instance();
    let name = HandlerName::new(BroadcastConfig::DEFAULT_HANDLER).expect("a good name");
    let message = Arc::new(BroadcastMessage {
        id: MessageId { origin: life, sequence: 77 },
        hops: 1,
        own: false,
        stored: false,
        handler: HandlerId::of(&name),
        key: Bytes::new(),
        payload: Notice { from: 1, number: 1_000_000 }.write(),
    });
    let mut watch = Watch::default();
    let mut deliver = |node, times| {
        let actions = vec![Action::DeliverBroadcast(message.clone()); times];
        let (now, happened, wake_at) = (world.now(), Happened::Wake, None);
        let step = Step { now, node, happened, told: None, actions: &actions, wake_at };
        let mut found = Vec::new();
        watch.on_step(&step, &world, &mut found);
        found.iter().map(|violation| violation.kind).collect::<Vec<_>>()
    };
    assert_eq!(deliver(2, 1), []);
    assert_eq!(deliver(2, 1), [ViolationKind::Duplicate]);
    assert_eq!(deliver(3, 2), [ViolationKind::Duplicate]);
}

#[test]
fn handlers_that_a_node_lacks_are_no_obstacle() {
    let other = HandlerName::new("other").expect("a good name");
    let config = configured(|broadcast| {
        broadcast.handlers.insert(other.clone(), HandlerOptions::default());
    });
    let (mut world, ledger) = cluster(configured(|_| {}));
    let node = world.add_node_with(Arc::new(config), None);
    world.join(node, 0);
    world.run_for(Duration::from_secs(30));
    world.broadcast_to(node, HandlerId::of(&other), Bytes::new(), "unknown elsewhere");
    storm(&mut world);
    assert_eq!((problem(&world, &ledger), world.violations()), (None, &[][..]));
    let unhandled = |node: usize| {
        let node = world.hosts()[node].node().expect("it lives");
        node.counters().broadcast.unhandled
    };
    assert!((0..NODES).all(|node| unhandled(node) == 1));
}
