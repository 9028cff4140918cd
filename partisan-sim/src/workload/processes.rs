//! The load of processes: what they do, drawn from the seed, and messages that must arrive.

use std::rc::Rc;

use bytes::Bytes;
use partisan_proto::call::Failure;
use partisan_proto::process::{Actor, SpawnOptions};
use partisan_proto::wire::Destination;
use partisan_proto::{
    ChannelId, Command, Duration, Instant, LabelId, LabelName, ProcessId, Reference, Send,
    SendReliable, Target, Ticket,
};

use super::deed::{Aim, Deed, Parcel, Said, answer_to, draw_deed, name};
use super::worker::{Worker, function_name};
use super::{Work, draw_pair};
use crate::draw::{Label, Stream, mix};
use crate::world::World;

/// The labels of causal messages.
const LABELS: [&str; 3] = ["red", "green", "blue"];
/// How many processes each node begins with.
const FIRST: u8 = 3;
/// How many of the processes that ever lived on a node are remembered.
const MET: usize = 64;

/// The labels of causal messages, to configure.
///
/// # Panics
/// Never: the names are good ones.
#[must_use]
pub fn labels() -> Vec<LabelName> {
    LABELS.iter().map(|text| LabelName::new(text).expect("a short plain name is good")).collect()
}

fn label(number: u8) -> Option<LabelId> {
    labels().get(usize::from(number)).map(LabelId::of)
}

/// Lets the nodes of a world begin with processes, and run a function.
pub fn prepare(world: &mut World) {
    world.register_function(function_name(), Rc::new(run_function));
    world.set_program(Rc::new(|_, _| (0..FIRST).map(first).collect()));
}

fn first(number: u8) -> (Box<dyn Actor>, SpawnOptions) {
    let trap_exit = number != 0;
    let options = SpawnOptions { name: Some(name(number)), trap_exit, ..SpawnOptions::default() };
    (Box::new(Worker::default()), options)
}

/// Answers as processes do; how long it takes follows from what is asked.
fn run_function(question: &Bytes) -> (Duration, Result<Bytes, Failure>) {
    let dice = question.iter().fold(0, |dice, byte| mix(dice ^ u64::from(*byte)));
    (Duration::from_millis(dice % 3_000), Ok(answer_to(question)))
}

impl World {
    /// A process of the workload does something; one is spawned where there are too few.
    pub(crate) fn do_deed(&mut self, node: usize, pick: usize, deed: Deed<Aim>) {
        if self.hosts()[node].node().is_none() {
            return;
        }
        let living = self.processes(node);
        if living.len() < usize::from(FIRST) {
            let options =
                SpawnOptions { trap_exit: pick.is_multiple_of(2), ..SpawnOptions::default() };
            self.spawn_with(node, Box::new(Worker::default()), options);
        }
        if living.is_empty() {
            return;
        }
        self.order(living[pick % living.len()], deed);
    }

    /// A process of the workload does something.
    pub(crate) fn order(&mut self, process: ProcessId, deed: Deed<Aim>) {
        if let Some(node) = self.number(process.node)
            && let Some(deed) = deed.about(|aim| self.find(&aim))
        {
            self.tell_process(node, process, &Said::Do(deed));
        }
    }

    /// A node says something to one of its processes.
    fn tell_process(&mut self, node: usize, process: ProcessId, said: &Said) {
        let destination = Destination::of(&Target::Process(process));
        let (to, channel, payload) = (process.node, ChannelId::DEFAULT, said.write());
        let send = Send { to, channel, key: None, destination, relay: false, payload };
        self.command(node, Command::Send(send));
    }

    /// Whom an aim stands for, if anybody.
    fn find(&mut self, aim: &Aim) -> Option<Reference> {
        match aim {
            Aim::Name { node, name: number } => {
                let node = self.hosts()[*node].name().id();
                Some(Reference::Name { node, name: name(*number) })
            }
            Aim::Process { node, pick, former } => {
                let living = self.processes(*node);
                let met = self.met.entry(*node).or_default();
                for process in &living {
                    if !met.contains(process) {
                        met.push_back(*process);
                    }
                }
                while met.len() > MET {
                    met.pop_front();
                }
                let any =
                    if *former || living.is_empty() { &*met.make_contiguous() } else { &living };
                (!any.is_empty()).then(|| Reference::Process(any[pick % any.len()]))
            }
        }
    }

    /// A node, if it lives, sends another a message that must arrive: where it has no label, one with
    /// an odd key in the order of its lane, and one of three twice, under one name.
    pub fn send_parcel(
        &mut self,
        (from, to): (usize, usize),
        (channel, key): (ChannelId, Option<u64>),
        label_number: Option<u8>,
        expires: Option<Duration>,
    ) -> Ticket {
        let number = self.next_message();
        let life = self.hosts()[from].births();
        let label = label_number;
        let odd = key.filter(|key| label.is_none() && !key.is_multiple_of(2));
        let order = odd.map(|key| (channel.0, key));
        let parcel = Parcel { from: from as u32, life, to: to as u32, label, order, number };
        let payload = Said::Parcel(parcel).write();
        let (to, destination) = (self.hosts()[to].name().id(), Destination::Inbox);
        let label = label_number.and_then(self::label);
        let (relay, ordered) = (label.is_none() && number.is_multiple_of(2), order.is_some());
        let twice = label.is_none() && number.is_multiple_of(3);
        let id = twice.then_some(number.into());
        let send = SendReliable {
            channel,
            key,
            destination,
            expires,
            relay,
            label,
            ordered,
            id,
            ..SendReliable::new(to, payload)
        };
        if twice {
            self.command(from, Command::SendReliable(Box::new(send.clone())));
        }
        self.command(from, Command::SendReliable(Box::new(send)))
    }
}

/// Draws what processes do, and messages that must arrive.
pub(super) fn draw_processes(
    plan: &mut Vec<(Instant, Work)>,
    seed: u64,
    (nodes, channels): (usize, u8),
    span: Duration,
) {
    let mut stream = Stream::new(seed, Label::Work, 3);
    let seconds = (span.as_secs() as usize).clamp(1, 100);
    for _ in 0..nodes * seconds * 2 {
        let at = Instant::ZERO + stream.span(Duration::ZERO, span);
        let (node, process) = (stream.below(nodes), stream.below(64));
        let deed = draw_deed(&mut stream, nodes, channels);
        plan.push((at, Work::Deed { node, process, deed: Box::new(deed) }));
    }
    // Of some messages many hang on each other, of others few.
    let most = 1 + stream.below(3);
    for _ in 0..nodes * seconds * most / 2 {
        let at = Instant::ZERO + stream.span(Duration::ZERO, span);
        let (from, to) = draw_pair(&mut stream, nodes);
        let channel = ChannelId(1 + stream.below(usize::from(channels) - 1) as u8);
        let key = (!stream.one_in(3)).then(|| stream.below(4) as u64);
        let label = (!stream.one_in(3)).then(|| stream.below(LABELS.len()) as u8);
        // Some before any answer can come, some while a fault lasts.
        let expires = stream.one_in(4).then(|| stream.below(100) as u8);
        let count = 1 + stream.below(3) as u8;
        plan.push((at, Work::Parcels { from, to, channel, key, label, expires, count }));
    }
}
