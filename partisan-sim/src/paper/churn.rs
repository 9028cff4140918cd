//! Churn: broadcasts and views while nodes die and others take their places, minute after minute.
//!
//! No paper says what is to be expected. What is demanded: of all pairs of a message and a node
//! that was a member when it was sent and lived on, next to none lacks it; and once the churn ends,
//! views are sound at once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use partisan_proto::{Action, Duration, Incarnation, Instant};

use super::experiment::Experiment;
use super::findings::{Findings, Gate};
use super::hyparview::{ACTIVE, JOIN_PAUSE};
use super::lab::Lab;
use super::{Options, config};
use crate::check::{Checker, Violation, hyparview};
use crate::picture::{Chart, Curve};
use crate::story;
use crate::workload::Bootstrap;
use crate::world::{Step, World};

/// How many percent of the nodes are replaced each minute.
pub const RATES: [u8; 2] = [1, 5];
/// Cycles between the last join and the first death.
const CYCLES: u32 = 5;
/// Between two broadcasts, each of a node that is drawn.
const PAUSE: Duration = Duration::from_secs(5);
/// How long a node must live on to count as one that should have a message, and how long the
/// message may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the last to be replaced may take until they have their places.
const REPAIR: Duration = Duration::from_secs(20);

/// A node in one of its lives.
type Life = (usize, Incarnation);

/// All of them.
pub(super) fn experiments(options: &Options) -> Vec<Experiment> {
    let (nodes, minutes) = options.scale((1_000, 60), (200, 10));
    let mut all = Vec::new();
    for seed in options.seeds() {
        for percent in RATES {
            let run = move |findings: &mut Findings| churn(seed, nodes, percent, minutes, findings);
            all.push(Experiment::new(format!("seed {seed}: {percent} % a minute"), run));
        }
    }
    all
}

/// Draws what several experiments found together.
pub(super) fn draw(findings: &mut Findings) {
    let curves = findings.kept("dead");
    let title = "Dead entries of passive views under churn";
    let chart = Chart { title, axis: "minutes", curves, range: (0.0, 0.1), marks: Vec::new() };
    findings.chart("share of all entries, by minutes since the first death", &chart);
}

/// A message that is under way.
#[derive(Debug)]
struct Message {
    sent: Instant,
    sender: Life,
    /// The members when it was sent.
    members: Vec<Life>,
    /// When it was delivered, by node.
    delivered: BTreeMap<usize, Instant>,
}

/// Watches the deliveries of the messages under way, by number, which is what they say. Clones
/// share what they see.
#[derive(Clone, Debug, Default)]
struct Messages(Rc<RefCell<BTreeMap<u64, Message>>>);

impl Checker for Messages {
    fn on_step(&mut self, step: &Step<'_>, _: &World, _: &mut Vec<Violation>) {
        for action in step.actions {
            if let Action::DeliverBroadcast(message) = action
                && let Ok(number) = message.payload[..].try_into().map(u64::from_be_bytes)
                && let Some(message) = self.0.borrow_mut().get_mut(&number)
            {
                message.delivered.entry(step.node).or_insert(step.now);
            }
        }
    }
}

/// How many should have had the messages that are over, and how many had them.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    expected: u64,
    delivered: u64,
    within_a_second: u64,
}

impl Outcome {
    /// Counts a message in, unless its sender died.
    fn add(&mut self, message: &Message, lives: impl Fn(&Life) -> bool) {
        if !lives(&message.sender) {
            return;
        }
        let others = message.members.iter().filter(|life| **life != message.sender);
        for (node, _) in others.filter(|life| lives(life)) {
            self.expected += 1;
            if let Some(at) = message.delivered.get(node) {
                self.delivered += 1;
                let soon = at.since(message.sent) <= Duration::from_secs(1);
                self.within_a_second += u64::from(soon);
            }
        }
    }

    fn share(&self, count: u64) -> f64 {
        count as f64 / self.expected.max(1) as f64
    }
}

/// A cluster whose nodes are replaced, and what is seen of its broadcasts.
struct Bed {
    lab: Lab,
    messages: Messages,
    outcome: Outcome,
    sent: u64,
}

impl Bed {
    fn new(seed: u64, nodes: usize, minutes: u32, findings: &Findings) -> Self {
        let latency = config::latency();
        let mut lab = Lab::new(seed, nodes, config::hyparview(), latency, config::CYCLE);
        let joins = JOIN_PAUSE * nodes as u32 + config::CYCLE * CYCLES;
        lab = lab.watched(findings, joins + Duration::from_secs(60) * minutes + PATIENCE);
        lab.world.check(hyparview::SoundViews::default());
        lab.join(Bootstrap::Contact, JOIN_PAUSE);
        lab.cycles(CYCLES);
        let messages = Messages::default();
        lab.world.check(messages.clone());
        Self { lab, messages, outcome: Outcome::default(), sent: 0 }
    }

    /// The nodes that have a neighbour.
    fn members(&self) -> Vec<Life> {
        let world = &self.lab.world;
        let life = |number: usize| {
            let node = world.hosts()[number].node()?;
            let alone = node.neighbors().iter().next().is_none();
            (!alone).then(|| (number, node.instance().incarnation))
        };
        world.live().filter_map(life).collect()
    }

    /// A member broadcasts, and what is over is judged.
    fn round(&mut self) {
        let members = self.members();
        let sender = members[self.lab.stream().below(members.len())];
        let number = self.sent;
        self.sent += 1;
        let (sent, delivered) = (self.lab.world.now(), BTreeMap::new());
        let message = Message { sent, sender, members, delivered };
        self.messages.0.borrow_mut().insert(number, message);
        self.lab.world.broadcast(sender.0, number.to_be_bytes().to_vec());
        self.lab.run_for(PAUSE);
        self.judge();
    }

    /// Counts in the messages that were under way long enough.
    fn judge(&mut self) {
        let world = &self.lab.world;
        let lives = |(number, incarnation): &Life| {
            let node = world.hosts()[*number].node();
            node.is_some_and(|node| node.instance().incarnation == *incarnation)
        };
        let mut under_way = self.messages.0.borrow_mut();
        while let Some(first) = under_way.first_entry()
            && world.now().since(first.get().sent) >= PATIENCE
        {
            self.outcome.add(&first.remove(), lives);
        }
    }
}

/// HyParView and Plumtree while this percentage of the nodes dies each minute and is replaced a few
/// seconds later by nodes that know nothing and join anew, each through a node that is drawn.
pub fn churn(seed: u64, nodes: usize, percent: u8, minutes: u32, findings: &mut Findings) {
    let mut bed = Bed::new(seed, nodes, minutes, findings);
    let begin = bed.lab.world.now().since(Instant::ZERO);
    let span = (begin, begin + Duration::from_secs(60) * minutes);
    let plan = story::churn(bed.lab.stream(), nodes, span, percent);
    let replaced = plan.faults.len() as f64;
    plan.faults.into_iter().for_each(|(at, fault)| bed.lab.world.plan_fault(at, fault));
    bed.lab.world.plan_work(plan.work);
    let mut dead = Vec::new();
    while bed.lab.world.now() < Instant::ZERO + span.1 {
        bed.round();
        let minute = (bed.lab.world.now().since(Instant::ZERO) - begin).as_secs_f64() / 60.0;
        dead.push((minute, bed.lab.dead_in_reserve()));
    }
    let name = &format!("{percent} % of {nodes} replaced a minute, {minutes} minutes");
    let (most, least) = (|value| Some(Gate::AtMost(value)), |value| Some(Gate::AtLeast(value)));
    let share = dead[dead.len() / 2..].iter().map(|point| point.1).fold(0.0, f64::max);
    findings.keep("dead", Curve { name: format!("{percent} %"), points: dead });
    bed.lab.run_for(REPAIR);
    let shape = bed.lab.shape();
    bed.lab.run_for(PATIENCE);
    bed.judge();
    let outcome = bed.outcome;
    findings.add(name, "nodes replaced", "–", None, replaced);
    let measure = "delivered to members that lived on, share";
    findings.add(name, measure, "–", least(0.9999), outcome.share(outcome.delivered));
    let measure = "delivered within a second, share";
    findings.add(name, measure, "–", None, outcome.share(outcome.within_a_second));
    findings.add(name, "dead entries of passive views, most", "–", most(0.05), share);
    let measure = "links that lead back in the end, share";
    findings.add(name, measure, "–", least(1.0), shape.symmetric);
    findings.add(name, "components in the end", "–", most(1.0), shape.components as f64);
    let full = shape.degrees.share_from(ACTIVE);
    findings.add(name, "share with 5 active peers in the end", "–", None, full);
    let found = bed.lab.world.violations().len() as f64;
    findings.add(name, "violations", "–", most(0.0), found);
}
