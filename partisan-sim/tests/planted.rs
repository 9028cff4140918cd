//! The simulator's own test: behaviour broken on purpose must be found by the right checker, and
//! the same run without the break must be clean.

use partisan_proto::wire::{ControlMessage, Frame, Gossip};
use partisan_proto::{
    Address, Change, ChannelId, Command, Config, Contact, Context, Duration, Incarnation, Instance,
    Manager, Member, NodeId, NodeName, NodeSpec, Notification, Ticket, Timer,
};
use partisan_sim::check::{self, Violation, ViolationKind, mesh};
use partisan_sim::workload::Work;
use partisan_sim::{Verdict, World, WorldOptions};

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

/// What a broken manager does wrong, a second after its start.
#[derive(Clone, Copy, Debug)]
enum Break {
    Nothing,
    Resurrects,
    DownTwice,
    ForgetsItself,
    NeverAnswers,
    AnswersTwice,
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
        let told = match self.0 {
            Break::Resurrects => vec![joined.clone(), left, joined],
            Break::DownTwice => vec![up, down.clone(), down],
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
}
