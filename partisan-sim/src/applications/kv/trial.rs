//! The store on trial: its users, and the checker of what is promised to them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use partisan_proto::behaviour::{AnswerError, ServerProcess};
use partisan_proto::{Config, Duration, ProcessId};

use super::object::{Context, Dot, Object};
use super::replica::{Key, Limits, Refusal};
use super::server::{Kv, KvCall, KvReply};
use super::{handler_name, server_name};
use crate::applications::{Application, agree, ask_all, broken, process, server_of};
use crate::check::broadcast;
use crate::world::World;

/// So few keys that users meet.
const KEYS: u64 = 6;
/// How long a user waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long replicas may take to become equal once all is well: comparisons with neighbours happen
/// every 15 s at the most, and what one brings the next passes on.
const EQUAL: Duration = Duration::from_secs(180);

/// The store on trial.
#[derive(Debug, Default)]
pub struct Trial(RefCell<Ledger>);

/// What a user does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Read,
    /// Writes, or deletes, knowing what was read last or not, with so many copies.
    Write {
        knowing: bool,
        delete: bool,
        copies: u8,
    },
}

impl Deed {
    fn of(dice: u64) -> (Key, Self) {
        let write = |knowing, delete, copies| Self::Write { knowing, delete, copies };
        let deed = match dice / KEYS % 10 {
            0..4 => Self::Read,
            4..6 => write(true, false, 1),
            6 => write(false, false, 1),
            7 => write(true, true, 1),
            _ => write(true, false, 2),
        };
        (format!("key {}", dice % KEYS).into_bytes(), deed)
    }
}

/// A write that somebody wanted.
#[derive(Debug)]
struct Attempt {
    key: Key,
    known: Context,
    delete: bool,
}

/// Who wanted what, and what came of it.
#[derive(Debug, Default)]
struct Ledger {
    /// By number, which is the value.
    attempts: Vec<Attempt>,
    /// Which writes they became, as far as that was seen.
    dots: BTreeMap<(Key, Dot), usize>,
    /// Those that were answered, and who was said to hold them.
    stored: Vec<(Key, Dot, Vec<ProcessId>)>,
    /// What each life of each node has told of each key.
    told: BTreeMap<(usize, u32, Key), Context>,
    /// What users on each node read last.
    read: BTreeMap<(usize, Key), Context>,
}

impl Ledger {
    fn attempt(&mut self, node: usize, key: &Key, knowing: bool, delete: bool) -> (usize, Context) {
        let read = self.read.get(&(node, key.clone())).filter(|_| knowing);
        let known = read.cloned().unwrap_or_default();
        self.attempts.push(Attempt { key: key.clone(), known: known.clone(), delete });
        (self.attempts.len() - 1, known)
    }

    /// The attempt that a value says it is.
    fn of_value(&self, key: &Key, value: &[u8]) -> Option<usize> {
        let number = u64::from_be_bytes(value.try_into().ok()?) as usize;
        let attempt = self.attempts.get(number)?;
        (attempt.key == *key && !attempt.delete).then_some(number)
    }

    /// Whether a write of this key replaced another.
    fn is_replaced(&self, key: &Key, dot: &Dot) -> bool {
        self.attempts.iter().any(|attempt| attempt.key == *key && attempt.known.covers(dot))
    }

    /// Takes in what a node told of a key; says what is wrong with it.
    fn look(&mut self, life: (usize, u32), key: &Key, object: &Object) -> Option<String> {
        let told = self.told.entry((life.0, life.1, key.clone())).or_default();
        if !object.context().includes(told) {
            return Some(format!("it forgot some of {told:?}"));
        }
        told.join(object.context());
        for (dot, value) in object.values() {
            let Some(number) = self.of_value(key, value) else {
                return Some(format!("nobody wrote {value:?}"));
            };
            let known = *self.dots.entry((key.clone(), *dot)).or_insert(number);
            if known != number {
                return Some(format!("{dot:?} was {known}, and is {number}"));
            }
        }
        let known = |(of, dot): &(Key, Dot)| of == key && object.context().covers(dot);
        for ((_, dot), number) in self.dots.iter().filter(|(write, _)| known(write)) {
            let there = object.values().contains_key(dot);
            let deleted = self.attempts[*number].delete;
            if !there && !deleted && !self.is_replaced(key, dot) {
                return Some(format!("write {number} is gone, and nothing replaced it"));
            }
            // Whoever replaced it must not stand beside it.
            let replaces = |other: &usize| self.attempts[*other].known.covers(dot);
            let beside = object.values().keys();
            let mut beside = beside.filter_map(|dot| self.dots.get(&(key.clone(), *dot)));
            if there && beside.any(replaces) {
                return Some(format!("write {number} stands beside what replaced it"));
            }
        }
        None
    }

    /// A write was answered.
    fn store(&mut self, life: (usize, u32), number: usize, dot: Dot, holders: Vec<ProcessId>) {
        let key = self.attempts[number].key.clone();
        self.dots.insert((key.clone(), dot), number);
        self.told.entry((life.0, life.1, key.clone())).or_default().add(dot);
        self.stored.push((key, dot, holders));
    }
}

impl Application for Trial {
    fn configure(&self, config: &mut Config) {
        super::configure(config);
    }

    fn install(self: Rc<Self>, world: &mut World, _: usize) {
        world.set_program(Rc::new(|_, _| {
            vec![process(server_name(), ServerProcess::new(Kv::new(Limits::default())))]
        }));
        world.keep_broadcasts::<Kv>(&handler_name(), server_name());
    }

    fn act(self: Rc<Self>, world: &mut World, node: usize, dice: u64) {
        let (key, deed) = Deed::of(dice);
        let life = (node, world.hosts()[node].births());
        let server = server_of::<Kv>(world, node, &server_name());
        match deed {
            Deed::Read => {
                let call = KvCall::Get(key.clone());
                world.ask(node, &server, &call, Some(PATIENCE), move |world, reply| {
                    if let Ok(KvReply::Found(object)) = reply {
                        self.read(world, life, &key, &object);
                    }
                });
            }
            Deed::Write { knowing, delete, copies } => {
                let (number, known) = self.0.borrow_mut().attempt(node, &key, knowing, delete);
                let value = (!delete).then(|| (number as u64).to_be_bytes().to_vec());
                let call = KvCall::Put { key, known, value, copies };
                world.ask(node, &server, &call, Some(PATIENCE), move |world, reply| {
                    self.written(world, life, (number, copies), reply);
                });
            }
        }
    }

    /// A comparison each 5 s at most, which is a step and an answer.
    fn frames_at_rest(&self, nodes: u64, seconds: u64) -> u64 {
        nodes * (seconds / 5 + 1) * 2
    }

    fn settle(self: Rc<Self>, world: &mut World) {
        agree::<Kv>(world, &server_name(), &KvCall::Root, EQUAL);
        let nodes: Vec<usize> = world.live().collect();
        for (place, node) in nodes.into_iter().enumerate() {
            // Two writes that do not know of each other, and one that knows what its user read.
            self.clone().act(world, node, KEYS * 6);
            self.clone().act(world, node, KEYS * 4 + place as u64 % KEYS);
        }
        agree::<Kv>(world, &server_name(), &KvCall::Root, EQUAL);
        if world.violations().is_empty() {
            self.judge(world);
        }
    }
}

impl Trial {
    fn read(&self, world: &mut World, life: (usize, u32), key: &Key, object: &Object) {
        let problem = self.0.borrow_mut().look(life, key, object);
        if let Some(problem) = problem {
            let key = String::from_utf8_lossy(key);
            broken(world, life.0, format!("{key}: {problem}: {object:?}"));
        }
        let mut ledger = self.0.borrow_mut();
        let read = ledger.read.entry((life.0, key.clone())).or_default();
        *read = object.context().clone();
    }

    fn written(
        &self,
        world: &mut World,
        life: (usize, u32),
        (number, copies): (usize, u8),
        reply: Result<KvReply, AnswerError>,
    ) {
        match reply {
            Ok(KvReply::Stored { dot, holders }) if holders.len() >= usize::from(copies) => {
                self.0.borrow_mut().store(life, number, dot, holders);
            }
            Ok(KvReply::Refused(Refusal::TooFewCopies { .. })) if copies > 1 => {}
            // Its node stands still, or the server has only begun.
            Err(AnswerError::Call(_)) => {}
            other => broken(world, life.0, format!("a write was answered {other:?}")),
        }
    }

    /// Looks at all that replicas hold.
    fn judge(&self, world: &mut World) {
        let contents = ask_all::<Kv>(world, &server_name(), &KvCall::Contents(0), PATIENCE);
        let mut known: BTreeMap<usize, BTreeMap<Key, Object>> = BTreeMap::new();
        for (node, reply) in contents {
            let KvReply::Contents(objects) = reply else {
                return broken(world, node, format!("asked for contents, it answers {reply:?}"));
            };
            let life = (node, world.hosts()[node].births());
            for (key, object) in &objects {
                self.read(world, life, key, object);
            }
            known.insert(node, objects.into_iter().collect());
        }
        for part in broadcast::components(world) {
            let living: Vec<ProcessId> = part.iter().flat_map(|n| world.processes(*n)).collect();
            for node in part {
                let objects = known.remove(&node).unwrap_or_default();
                if let Some((key, dot)) = self.lacks(&objects, &living) {
                    let key = String::from_utf8_lossy(&key);
                    broken(world, node, format!("write {dot:?} to {key} is lost"));
                }
            }
        }
    }

    /// An answered write that these objects lack, of those that one of the living was said to hold.
    fn lacks(&self, objects: &BTreeMap<Key, Object>, living: &[ProcessId]) -> Option<(Key, Dot)> {
        let ledger = self.0.borrow();
        let lacks = |(key, dot, holders): &&(Key, Dot, Vec<ProcessId>)| {
            let knows = objects.get(key).is_some_and(|object| object.context().covers(dot));
            !knows && holders.iter().any(|holder| living.contains(holder))
        };
        ledger.stored.iter().find(lacks).map(|(key, dot, _)| (key.clone(), *dot))
    }
}
