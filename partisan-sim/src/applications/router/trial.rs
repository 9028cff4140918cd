//! The router on trial: its users, and the checker of what is promised to them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use partisan_proto::behaviour::{AnswerError, ServerProcess};
use partisan_proto::{Action, Config, Duration, NodeId, Notification};

use super::listener::{Heard, Listener};
use super::server::{Event, Router, RouterCall, RouterReply, Session, Topic};
use super::{channel, server_name};
use crate::applications::{Application, broken, process, server_of};
use crate::check::{Checker, Violation, ViolationKind};
use crate::world::{Step, World};

/// So few topics that users meet.
const TOPICS: u64 = 4;
/// How many listeners, and how many sessions, each node has.
const EACH: u64 = 2;
/// How long a user waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long news of subscriptions may take once all is well: routers compare how old their tables
/// are every 5 s.
const KNOWN: Duration = Duration::from_secs(20);
/// How many events each session publishes in the end.
const BURST: u64 = 20;

/// The router on trial.
#[derive(Debug, Default)]
pub struct Trial(RefCell<Ledger>, Losses);

/// A listener: of which life of which node, and the how manieth there.
type Ear = (usize, u32, u64);

/// What a user does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Publish { pick: u64, topic: u64 },
    Subscribe { pick: u64, topic: u64, on: bool },
    Listen { pick: u64 },
}

impl Deed {
    const fn of(dice: u64) -> Self {
        let (pick, topic) = (dice % EACH, dice / EACH % TOPICS);
        match dice / EACH / TOPICS % 8 {
            0 => Self::Subscribe { pick, topic, on: true },
            1 => Self::Subscribe { pick, topic, on: false },
            2 => Self::Listen { pick },
            _ => Self::Publish { pick, topic },
        }
    }
}

/// Who published what, who wanted what, and who heard what.
#[derive(Debug, Default)]
struct Ledger {
    /// What was published, by number, which is the payload.
    published: Vec<(Session, Topic)>,
    /// The sessions of each life of each node.
    sessions: BTreeMap<(usize, u32), Vec<Session>>,
    /// What each listener ever wanted.
    wanted: BTreeMap<Ear, BTreeSet<Topic>>,
    /// What each listener heard last of each session: its number, and which publication it was.
    heard: BTreeMap<(Ear, Session), (u64, u64)>,
    /// Which of the last publications were answered, each with its node, and which each listener
    /// heard.
    answered: BTreeMap<u64, usize>,
    last: BTreeMap<Ear, BTreeSet<u64>>,
}

impl Ledger {
    /// Takes in an event that a listener was sent; says what is wrong with it.
    fn hear(&mut self, ear: Ear, event: &Event) -> Option<String> {
        let Ok(bytes) = event.payload.as_slice().try_into() else {
            return Some("nobody published that".into());
        };
        let publication = u64::from_be_bytes(bytes);
        let known = self.published.get(publication as usize);
        if known != Some(&(event.session, event.topic.clone())) {
            return Some(format!("what was published is {known:?}"));
        }
        if !self.wanted.get(&ear).is_some_and(|topics| topics.contains(&event.topic)) {
            return Some("it never wanted that".into());
        }
        self.last.entry(ear).or_default().insert(publication);
        let now = (event.number, publication);
        let before = self.heard.insert((ear, event.session), now);
        if let Some(before) = before
            && (now.0 <= before.0 || now.1 <= before.1)
        {
            return Some(format!("it came after number {} of its session", before.0));
        }
        None
    }

    fn want(&mut self, ear: Ear, topic: &Topic) {
        self.wanted.entry(ear).or_default().insert(topic.clone());
    }
}

fn topic(number: u64) -> Topic {
    format!("topic {number}")
}

/// What listener `pick` of a node wants from the beginning.
fn first_topics(pick: u64) -> Vec<Topic> {
    vec![topic(pick), topic(pick + 1)]
}

/// Which nodes were told that they lost which others.
#[derive(Clone, Debug, Default)]
struct Losses(Rc<RefCell<BTreeSet<(usize, NodeId)>>>);

impl Losses {
    /// Whether either of two lost the other.
    fn lost(&self, world: &World, one: usize, other: usize) -> bool {
        let id = |node: usize| world.hosts()[node].name().id();
        let losses = self.0.borrow();
        losses.contains(&(one, id(other))) || losses.contains(&(other, id(one)))
    }
}

impl Checker for Losses {
    fn on_step(&mut self, step: &Step<'_>, _: &World, _: &mut Vec<Violation>) {
        for action in step.actions {
            if let Action::Notify(Notification::NodeDown { instance, .. }) = action {
                self.0.borrow_mut().insert((step.node, instance.node));
            }
        }
    }
}

/// The pairs of nodes that are connected as both see it; overlays of partial views change them even
/// when all is well.
fn pairs(world: &World) -> BTreeSet<(usize, usize)> {
    let all = world.live().flat_map(|from| world.live().map(move |to| (from, to)));
    let both = |a: usize, b: usize| world.is_connected(a, b) && world.is_connected(b, a);
    all.filter(|(from, to)| from != to && both(*from, *to)).collect()
}

impl Application for Trial {
    fn configure(&self, config: &mut Config) {
        super::configure(config);
    }

    fn install(self: Rc<Self>, world: &mut World, _: usize) {
        world.check(self.1.clone());
        let channel = channel(world.config());
        world.set_program(Rc::new(move |node, births| {
            let mut program =
                vec![process(server_name(), ServerProcess::new(Router::new(channel)))];
            for pick in 0..EACH {
                for topic in first_topics(pick) {
                    self.0.borrow_mut().want((node, births, pick), &topic);
                }
                let listener = ServerProcess::new(Listener::new(first_topics(pick)));
                program.push(process(Listener::name(pick as usize), listener));
            }
            program
        }));
    }

    fn act(self: Rc<Self>, world: &mut World, node: usize, dice: u64) {
        let births = world.hosts()[node].births();
        match Deed::of(dice) {
            Deed::Publish { pick, topic: number } => {
                self.publish(world, (node, births), pick, topic(number));
            }
            Deed::Subscribe { pick, topic: number, on } => {
                self.subscribe(world, (node, births, pick), topic(number), on);
            }
            Deed::Listen { pick } => self.listen(world, (node, births, pick)),
        }
    }

    /// Each tells each other how old its table is, every 5 s.
    fn frames_at_rest(&self, nodes: u64, seconds: u64) -> u64 {
        nodes * nodes * (seconds / 5 + 1)
    }

    fn settle(self: Rc<Self>, world: &mut World) {
        let ears: Vec<Ear> = self.ears(world);
        for ear in &ears {
            for number in 0..TOPICS {
                self.clone().subscribe(world, *ear, topic(number), true);
            }
        }
        let mut steady = pairs(world);
        self.1.0.borrow_mut().clear();
        world.run_for(KNOWN);
        for ear in &ears {
            self.clone().listen(world, *ear);
        }
        world.run_for(PATIENCE);
        self.0.borrow_mut().answered.clear();
        for _ in 0..BURST {
            for (node, births, pick) in &ears {
                self.clone().publish(world, (*node, *births), *pick, topic(*pick));
            }
            world.run_for(Duration::from_millis(50));
        }
        world.run_for(PATIENCE);
        steady.retain(|(one, other)| !self.1.lost(world, *one, *other));
        for ear in &ears {
            self.clone().listen(world, *ear);
        }
        world.run_for(PATIENCE);
        self.judge(world, &steady);
    }
}

impl Trial {
    fn ears(&self, world: &World) -> Vec<Ear> {
        let life = |node: usize| (node, world.hosts()[node].births());
        let ears = |(node, births)| (0..EACH).map(move |pick| (node, births, pick));
        world.live().map(life).flat_map(ears).collect()
    }

    /// Publishes by a session of the node, which is opened where there is none.
    fn publish(self: Rc<Self>, world: &mut World, life: (usize, u32), pick: u64, topic: Topic) {
        let server = server_of::<Router>(world, life.0, &server_name());
        let session = {
            let ledger = self.0.borrow();
            let sessions = ledger.sessions.get(&life);
            sessions.and_then(|sessions| sessions.get(pick as usize)).copied()
        };
        let Some(session) = session else {
            let open = RouterCall::Open;
            return world.ask(
                life.0,
                &server,
                &open,
                Some(PATIENCE),
                move |world, reply| match reply {
                    Ok(RouterReply::Opened(session)) => {
                        self.0.borrow_mut().sessions.entry(life).or_default().push(session);
                    }
                    Err(AnswerError::Call(_)) => {}
                    other => broken(world, life.0, format!("no session: {other:?}")),
                },
            );
        };
        let publication = {
            let mut ledger = self.0.borrow_mut();
            ledger.published.push((session, topic.clone()));
            ledger.published.len() as u64 - 1
        };
        let call = RouterCall::Publish(session, topic, publication.to_be_bytes().to_vec());
        world.ask(life.0, &server, &call, Some(PATIENCE), move |world, reply| match reply {
            Ok(RouterReply::Published { .. }) => {
                self.0.borrow_mut().answered.insert(publication, life.0);
            }
            Err(AnswerError::Call(_)) => {}
            other => broken(world, life.0, format!("it was not published: {other:?}")),
        });
    }

    fn subscribe(self: Rc<Self>, world: &mut World, ear: Ear, topic: Topic, on: bool) {
        let name = Listener::name(ear.2 as usize);
        let node = world.hosts()[ear.0].node();
        let Some(listener) = node.and_then(|node| node.whereis(&name)) else {
            return;
        };
        let call = if on {
            self.0.borrow_mut().want(ear, &topic);
            RouterCall::Subscribe(topic, listener)
        } else {
            RouterCall::Unsubscribe(topic, listener)
        };
        let server = server_of::<Router>(world, ear.0, &server_name());
        world.ask(ear.0, &server, &call, Some(PATIENCE), move |world, reply| {
            if !matches!(reply, Ok(RouterReply::Done) | Err(AnswerError::Call(_))) {
                broken(world, ear.0, format!("a subscription was answered {reply:?}"));
            }
        });
    }

    /// Asks a listener what it has heard, and looks at it.
    fn listen(self: Rc<Self>, world: &mut World, ear: Ear) {
        let server = server_of::<Listener>(world, ear.0, &Listener::name(ear.2 as usize));
        world.ask(ear.0, &server, &(), Some(PATIENCE), move |world, reply| {
            let Ok(Heard { events, .. }) = reply else {
                return;
            };
            for event in events {
                let problem = self.0.borrow_mut().hear(ear, &event);
                if let Some(problem) = problem {
                    let text = format!("listener {} heard {event:?}: {problem}", ear.2);
                    return broken(world, ear.0, text);
                }
            }
        });
    }

    /// Each listener has heard all of the last publications of nodes that its own was connected to
    /// all the while, since all of them were published when all was well.
    fn judge(&self, world: &mut World, steady: &BTreeSet<(usize, usize)>) {
        for ear in self.ears(world) {
            let ledger = self.0.borrow();
            let reaches = |node: &usize| *node == ear.0 || steady.contains(&(*node, ear.0));
            let answered = ledger.answered.iter().filter(|(_, node)| reaches(node));
            let heard = ledger.last.get(&ear);
            let heard = |publication: &u64| heard.is_some_and(|heard| heard.contains(publication));
            let missing = answered.map(|(publication, _)| *publication);
            let missing: Vec<u64> = missing.filter(|publication| !heard(publication)).collect();
            drop(ledger);
            if let Some(first) = missing.first() {
                let (pick, count) = (ear.2, missing.len());
                let text = format!("listener {pick} lacks {count} publications, as {first}");
                let kind = ViolationKind::Undelivered;
                world.report(Violation::new(kind, world.now(), Some(ear.0), text));
            }
        }
    }
}
