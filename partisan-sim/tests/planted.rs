//! The simulator's own test: behaviour broken on purpose must be found by the right checker, and
//! the same run without the break must be clean.

use bytes::Bytes;
use partisan_proto::config::{HyParViewConfig, ManagerConfig, StaticConfig};
use partisan_proto::wire::{
    ControlMessage, Frame, Gossip, HyParViewMessage, NeighborAccept, Parting, PartitionId,
    RelayFailure, RelayHeader, RelayMessage,
};
use partisan_proto::{
    Action, Address, Change, ChannelId, Command, Config, Contact, Context, Duration, Incarnation,
    Instance, Manager, Member, NodeId, NodeName, NodeSpec, Notification, Ticket, Timer, Views,
};
use partisan_sim::check::{self, Violation, ViolationKind, hyparview, mesh};
use partisan_sim::workload::Work;
use partisan_sim::world::{Happened, Step};
use partisan_sim::{InFlight, Verdict, World, WorldOptions};

/// Three connected nodes, watched.
fn cluster() -> World {
    let mut world = World::new(WorldOptions { seed: 1, ..WorldOptions::default() });
    check::watch(&mut world);
    world.add_nodes(3);
    world.join(1, 0);
    world.join(2, 0);
    let groups = [vec![0, 1, 2]];
    let formed = |world: &World| mesh::problem(world, &groups).is_none();
    assert!(world.run_until(formed, Duration::from_secs(30)));
    world
}

fn kinds(world: &World) -> Vec<ViolationKind> {
    let mut kinds: Vec<_> = world.violations().iter().map(|violation| violation.kind).collect();
    kinds.dedup();
    kinds
}

fn send_stamped(world: &mut World) {
    let (channel, key) = (ChannelId::DEFAULT, Some(1));
    Work::Send { from: 0, to: 1, channel, key, relay: false, count: 20 }.perform(world);
    world.run_for(Duration::from_secs(2));
    world.check_end();
}

fn is_app(frame: &Frame) -> bool {
    matches!(frame, Frame::App { .. })
}

#[test]
fn the_same_without_a_break_is_clean() {
    let mut world = cluster();
    send_stamped(&mut world);
    assert_eq!(world.deliveries(1).len(), 20);
    assert_eq!(world.violations(), []);
}

#[test]
fn reordered_frames_are_found() {
    let mut world = cluster();
    let mut count = 0;
    world.rule(move |frame| {
        count += u32::from(is_app(frame.frame));
        match is_app(frame.frame) && count == 5 {
            true => Verdict::Delay(Duration::from_millis(50)),
            false => Verdict::Pass,
        }
    });
    send_stamped(&mut world);
    assert_eq!(kinds(&world), [ViolationKind::Order]);
}

#[test]
fn duplicated_frames_are_found() {
    let mut world = cluster();
    world.rule(|frame| if is_app(frame.frame) { Verdict::Duplicate } else { Verdict::Pass });
    send_stamped(&mut world);
    assert_eq!(kinds(&world), [ViolationKind::Duplicate]);
}

#[test]
fn news_of_a_removal_that_never_spreads_is_found() {
    let stale = |silenced: bool| -> Option<Violation> {
        let mut world = cluster();
        if silenced {
            world.rule(|frame| match frame.frame {
                Frame::Control(ControlMessage::Gossip(Gossip::Delta(_))) => Verdict::Drop,
                _ => Verdict::Pass,
            });
        }
        world.crash(2);
        world.remove(0, 2);
        world.run_for(Duration::from_secs(60));
        mesh::members(&world, &[vec![0, 1]])
    };
    assert_eq!(stale(false), None);
    assert_eq!(stale(true).map(|violation| violation.kind), Some(ViolationKind::Membership));
}

/// Four nodes in a ring, of fixed lists; what one relays to the node opposite goes both ways round.
fn relayed_round(rule: impl FnMut(&InFlight<'_>) -> Verdict + 'static) -> Vec<ViolationKind> {
    let manager = ManagerConfig::Static(StaticConfig::default());
    let config = std::sync::Arc::new(Config { manager, ..Config::default() });
    let mut world = World::new(WorldOptions { config, ..WorldOptions::default() });
    check::watch(&mut world);
    world.add_nodes(4);
    for node in 0..4 {
        world.join(node, (node + 1) % 4);
        world.join((node + 1) % 4, node);
    }
    world.run_for(Duration::from_secs(10));
    world.rule(rule);
    let (channel, key) = (ChannelId::DEFAULT, Some(1));
    Work::Send { from: 0, to: 2, channel, key, relay: true, count: 1 }.perform(&mut world);
    world.run_for(Duration::from_secs(2));
    kinds(&world)
}

/// Changes what is relayed from these nodes to another.
fn changed(
    (from, to): (std::ops::Range<usize>, usize),
    change: impl Fn(&mut RelayHeader, &mut Bytes),
) -> impl FnMut(&InFlight<'_>) -> Verdict {
    move |frame| match frame.frame {
        Frame::Relayed { header, payload } if from.contains(&frame.from) && frame.to == to => {
            let (mut header, mut payload) = (header.clone(), payload.clone());
            change(&mut header, &mut payload);
            Verdict::Rewrite(Box::new(Frame::Relayed { header, payload }))
        }
        _ => Verdict::Pass,
    }
}

#[test]
fn what_is_wrong_with_relayed_messages_is_found() {
    assert_eq!(relayed_round(|_| Verdict::Pass), []);
    let renumbered = changed((3..4, 2), |header, _| header.id.sequence += 1);
    assert_eq!(relayed_round(renumbered), [ViolationKind::Duplicate], "each way round is another");
    let spoilt = changed((1..4, 2), |_, payload| *payload = [&[0], &payload[1..]].concat().into());
    assert_eq!(relayed_round(spoilt), [ViolationKind::Misdelivered]);
    let hers = "n3@sim".parse::<NodeName>().expect("a plain name").id();
    let claimed = changed((1..4, 2), move |header, _| header.id.origin = hers);
    assert_eq!(relayed_round(claimed), [ViolationKind::Misdelivered], "as if from 3");
    let mine = "n1@sim".parse::<NodeName>().expect("a plain name").id();
    let diverted = changed((0..1, 1), move |header, _| header.target = mine);
    assert_eq!(relayed_round(diverted), [ViolationKind::Misdelivered], "delivered at 1");
    let endless = changed((0..1, 1), |header, _| header.ttl += 1);
    assert_eq!(relayed_round(endless), [ViolationKind::Loop], "it has a hop too many");
    let failed = relayed_round(|frame| match frame.frame {
        Frame::Control(ControlMessage::Relay(RelayMessage::Found(notice))) => {
            let (notice, reason) = (notice.clone(), RelayFailure::NoWay);
            let message = ControlMessage::Relay(RelayMessage::Failed { notice, reason });
            Verdict::Rewrite(Box::new(Frame::Control(message)))
        }
        _ => Verdict::Pass,
    });
    assert_eq!(failed, [ViolationKind::FalseFailure], "it has arrived");
}

#[test]
fn a_message_that_crosses_a_partition_is_found() {
    let mut world = cluster();
    let instance = world.hosts()[0].node().expect("it lives").instance();
    let (origin, incarnation) = (instance.node, instance.incarnation);
    let id = PartitionId { origin, incarnation, number: 1 };
    let ticket = world.command(0, Command::InjectPartition { ttl: 0 });
    assert_eq!(world.reply(0, ticket), Some(&Ok(partisan_proto::Answer::Partition(id))));
    let link = world.network().links(0).next().expect("a connection");
    let frame = Frame::App { destination: Default::default(), payload: Bytes::new() };
    let begins = Action::Notify(Notification::PartitionInjected { id });
    let crosses = Action::Send { connection: link.id, frame };
    let found = |actions: &[Action]| {
        let (mut checker, mut found) = (check::Partitions::default(), Vec::new());
        let (now, node, happened) = (world.now(), 0, Happened::Wake);
        let step = Step { now, node, happened, told: None, actions, wake_at: None };
        check::Checker::on_step(&mut checker, &step, &world, &mut found);
        found.iter().map(|violation| violation.kind).collect::<Vec<_>>()
    };
    assert_eq!(found(std::slice::from_ref(&begins)), []);
    assert_eq!(found(std::slice::from_ref(&crosses)), [], "it may, before");
    assert_eq!(found(&[begins, crosses]), [ViolationKind::Partition]);
}

/// What a broken manager does wrong, a second after its start.
#[derive(Clone, Copy, Debug)]
enum Break {
    Nothing,
    Resurrects,
    DownTwice,
    ForgetsItself,
    NeverAnswers,
    AnswersTwice,
    PartsAgain,
    TellsOfFailure,
}

/// A manager without a protocol.
#[derive(Debug)]
struct Broken(Break, Option<Member>);

impl Manager for Broken {
    fn start(&mut self, cx: &mut Context<'_>) {
        let (incarnation, spec) = (cx.me.instance.incarnation, cx.me.spec.clone());
        self.1 = Some(Member { incarnation, spec });
        cx.set_timer(Timer::Custom(0), Duration::from_secs(1));
    }

    fn command(&mut self, cx: &mut Context<'_>, ticket: Ticket, _: Command) {
        let times = match self.0 {
            Break::NeverAnswers => 0,
            Break::AnswersTwice => 2,
            _ => 1,
        };
        for _ in 0..times {
            cx.reply(ticket, Ok(partisan_proto::Answer::Done));
        }
    }

    fn change(&mut self, _: &mut Context<'_>, _: &Change) {}

    fn receive(
        &mut self,
        _: &mut Context<'_>,
        _: Instance,
        message: ControlMessage,
    ) -> Result<(), Box<ControlMessage>> {
        Err(Box::new(message))
    }

    fn fire(&mut self, cx: &mut Context<'_>, _: Timer) {
        let name: NodeName = "ghost@sim".parse().expect("a plain name");
        let (node, incarnation) = (name.id(), Incarnation(1));
        let address: Address = "10.9.9.9:9".parse().expect("a plain address");
        let spec = NodeSpec::new(name, vec![address], &cx.config.channels, vec![]);
        let spec = std::sync::Arc::new(spec.expect("a plain spec"));
        let joined = Notification::MemberJoined { spec: spec.clone(), incarnation };
        let left = Notification::MemberLeft { node };
        let instance = Instance { node, incarnation };
        let epoch = partisan_proto::Epoch(1);
        let reason = partisan_proto::CloseReason::Broken;
        let up = Notification::NodeUp { instance, spec, epoch };
        let down = Notification::NodeDown { instance, epoch, reason };
        let id = PartitionId { origin: node, incarnation, number: 1 };
        let injected = Notification::PartitionInjected { id };
        let resolved = Notification::PartitionResolved { id };
        let reason = RelayFailure::NoWay;
        let failed = Notification::RelayFailed { to: node, sequence: 1, reason };
        let told = match self.0 {
            Break::Resurrects => vec![joined.clone(), left, joined],
            Break::DownTwice => vec![up, down.clone(), down],
            Break::PartsAgain => vec![injected.clone(), resolved, injected],
            Break::TellsOfFailure => vec![failed],
            _ => vec![joined, left, up, down],
        };
        told.into_iter().for_each(|notification| cx.notify(notification));
        if matches!(self.0, Break::ForgetsItself) {
            self.1 = None;
        }
    }

    fn members(&self) -> Vec<Member> {
        self.1.iter().cloned().collect()
    }

    fn member(&self, node: NodeId) -> Option<Member> {
        self.1.clone().filter(|member| member.spec.id() == node)
    }

    fn fingerprint(&self) -> u64 {
        0
    }
}

#[test]
fn each_broken_manager_is_found_by_its_checker() {
    let found = |broken: Break| {
        let mut world = World::new(WorldOptions::default());
        check::watch(&mut world);
        let config = std::sync::Arc::new(Config::default());
        world.add_node_with(config, Some(std::rc::Rc::new(move || Box::new(Broken(broken, None)))));
        let contact: Address = "10.9.9.9:9".parse().expect("a plain address");
        world.command(0, Command::Join(Contact::at(contact)));
        world.run_for(Duration::from_secs(2));
        world.check_end();
        kinds(&world)
    };
    assert_eq!(found(Break::Nothing), []);
    assert_eq!(found(Break::Resurrects), [ViolationKind::Resurrection]);
    assert_eq!(found(Break::DownTwice), [ViolationKind::Alternation]);
    assert_eq!(found(Break::ForgetsItself), [ViolationKind::NotSelf]);
    assert_eq!(found(Break::NeverAnswers), [ViolationKind::Unanswered]);
    assert_eq!(found(Break::AnswersTwice), [ViolationKind::AnsweredTwice]);
    assert_eq!(found(Break::PartsAgain), [ViolationKind::Partition]);
    assert_eq!(found(Break::TellsOfFailure), [ViolationKind::FalseFailure]);
}

fn hyparview_config() -> Config {
    let manager = HyParViewConfig { active_size: 3, ..HyParViewConfig::default() };
    Config { manager: ManagerConfig::from(manager), ..Config::default() }
}

/// What is wrong with an overlay of eight after a while, when such messages are lost and node 7
/// leaves.
fn overlay_without(lost: fn(&HyParViewMessage) -> bool) -> Option<Violation> {
    seeded_overlay_without(1, lost)
}

fn seeded_overlay_without(seed: u64, lost: fn(&HyParViewMessage) -> bool) -> Option<Violation> {
    let config = std::sync::Arc::new(hyparview_config());
    let mut world = World::new(WorldOptions { seed, config, ..WorldOptions::default() });
    check::watch(&mut world);
    world.check(hyparview::SoundViews::default());
    world.rule(move |frame| match frame.frame {
        Frame::Control(ControlMessage::HyParView(message)) if lost(message) => Verdict::Drop,
        _ => Verdict::Pass,
    });
    world.add_nodes(8);
    for node in 1..8 {
        world.join(node, 0);
        world.run_for(Duration::from_millis(200));
    }
    world.leave(7);
    world.run_for(Duration::from_secs(120));
    assert_eq!(world.violations(), [], "at no step anything was wrong");
    hyparview::problem(&world, &[7])
}

#[test]
fn hyparview_without_a_break_is_clean() {
    assert_eq!(overlay_without(|_| false), None);
}

#[test]
fn a_leave_of_which_nobody_hears_is_found() {
    let leaves = |message: &HyParViewMessage| match message {
        HyParViewMessage::Removal { .. } => true,
        HyParViewMessage::Disconnect(end) => end.why == Parting::Leaving,
        _ => false,
    };
    let found = overlay_without(leaves).expect("it is found");
    assert_eq!(found.kind, ViolationKind::Membership);
    assert!(found.to_string().contains("remembers node 7"), "{found}");
}

#[test]
fn neighbors_who_are_never_agreed_on_are_found() {
    let agrees = |message: &HyParViewMessage| matches!(message, HyParViewMessage::Accept(_));
    // Joins that never end, or a link that has one side until the other gives up: which of them
    // comes first depends on the moment. Two who ask each other at once need no answer, and so all
    // may find neighbours in the end.
    let found = (1..=8).find_map(|seed| seeded_overlay_without(seed, agrees));
    let found = found.expect("it is found");
    assert!(matches!(found.kind, ViolationKind::Membership | ViolationKind::Leak), "{found}");
}

/// What a manager that pretends to be HyParView does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Pretence {
    Nothing,
    OwnView,
    BothViews,
    TooMany,
    OthersAreTold,
    NoSession,
    Endless,
    OneSided,
}

/// A manager with views and without a protocol.
#[derive(Debug)]
struct Pretender(Pretence, Option<Member>, Views);

impl Pretender {
    fn stranger(number: u64) -> NodeId {
        let name: NodeName = format!("stranger{number}@sim").parse().expect("a plain name");
        name.id()
    }
}

impl Manager for Pretender {
    fn start(&mut self, cx: &mut Context<'_>) {
        let (incarnation, spec) = (cx.me.instance.incarnation, cx.me.spec.clone());
        let me = spec.id();
        self.1 = Some(Member { incarnation, spec });
        let stranger = Self::stranger(0);
        let (active, passive) = match self.0 {
            Pretence::OwnView => (vec![], vec![me]),
            Pretence::BothViews => (vec![stranger], vec![stranger]),
            Pretence::TooMany => (vec![], (0..31).map(Self::stranger).collect()),
            Pretence::OthersAreTold | Pretence::NoSession => (vec![stranger], vec![]),
            _ => (vec![], vec![stranger]),
        };
        self.2 = Views { active, passive };
        if self.0 == Pretence::NoSession {
            cx.neighbor_up(Instance { node: stranger, incarnation });
        }
    }

    fn command(&mut self, cx: &mut Context<'_>, ticket: Ticket, _: Command) {
        cx.reply(ticket, Ok(partisan_proto::Answer::Done));
    }

    fn change(&mut self, cx: &mut Context<'_>, change: &Change) {
        match *change {
            Change::Knock { connection, .. } => cx.change(Change::Admit { connection }),
            Change::PeerUp { instance, .. } if self.0 != Pretence::Endless => {
                cx.set_timer(Timer::Peer(instance.node), Duration::from_secs(3_600));
            }
            _ => {}
        }
    }

    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        from: Instance,
        message: ControlMessage,
    ) -> Result<(), Box<ControlMessage>> {
        let asks = matches!(&message, ControlMessage::HyParView(HyParViewMessage::Neighbor(_)));
        if asks && self.0 == Pretence::OneSided {
            let accept = NeighborAccept { seen: 0, exchange: Default::default() };
            let message = HyParViewMessage::Accept(accept.into());
            cx.send(from.node, ControlMessage::HyParView(message));
        }
        Ok(())
    }

    fn fire(&mut self, _: &mut Context<'_>, _: Timer) {}

    fn members(&self) -> Vec<Member> {
        self.1.iter().cloned().collect()
    }

    fn member(&self, node: NodeId) -> Option<Member> {
        self.1.clone().filter(|member| member.spec.id() == node)
    }

    fn views(&self) -> Views {
        self.2.clone()
    }

    fn fingerprint(&self) -> u64 {
        0
    }
}

/// A node of HyParView that joins one that pretends to be.
fn pretended(pretence: Pretence) -> World {
    let mut world = World::new(WorldOptions::default());
    world.check(hyparview::SoundViews::default());
    let config = std::sync::Arc::new(hyparview_config());
    let manager = move || Box::new(Pretender(pretence, None, Views::default())) as Box<dyn Manager>;
    world.add_node_with(config.clone(), None);
    world.add_node_with(config, Some(std::rc::Rc::new(manager)));
    world.join(0, 1);
    world.run_for(Duration::from_secs(2));
    world
}

#[test]
fn each_unsound_view_is_found_at_once() {
    let found = |pretence| {
        let world = pretended(pretence);
        world.violations().first().map(|violation| (violation.kind, violation.to_string()))
    };
    assert_eq!(found(Pretence::Nothing), None);
    for (pretence, text) in [
        (Pretence::OwnView, "is in a view of its own"),
        (Pretence::BothViews, "in both views"),
        (Pretence::TooMany, "has views of (0, 31)"),
        (Pretence::OthersAreTold, "has neighbours [] and the view"),
        (Pretence::NoSession, "in its active view and no session with it"),
        (Pretence::Endless, "which is no neighbour, without a deadline"),
    ] {
        let (kind, found) = found(pretence).unwrap_or_else(|| panic!("{pretence:?} is not found"));
        assert_eq!(kind, ViolationKind::Views, "{pretence:?}");
        assert!(found.contains(text), "{pretence:?}: {found}");
    }
}

#[test]
fn a_link_with_one_side_is_found() {
    let world = pretended(Pretence::OneSided);
    assert_eq!(world.violations(), [], "each of the two is sound by itself");
    let found = hyparview::problem(&world, &[]).expect("it is found");
    assert_eq!(found.kind, ViolationKind::Membership);
    assert!(found.to_string().contains("not the other way round"), "{found}");
}
