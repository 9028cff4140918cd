//! The room on trial: its users, and the checker of what is promised to them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use partisan_proto::behaviour::{AnswerError, ServerProcess};
use partisan_proto::{Config, Duration};

use super::room::{ChatCall, ChatReply, Line, Room};
use super::{handler_name, server_name};
use crate::applications::kv::{Context, Dot};
use crate::applications::{Application, agree, broken, process, server_of};
use crate::world::World;

/// How long a user waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long copies may take to show the same once all is well: comparisons with neighbours happen
/// every 15 s at the most, and what one brings the next passes on.
const EQUAL: Duration = Duration::from_secs(180);

/// The room on trial.
#[derive(Debug, Default)]
pub struct Trial(RefCell<Ledger>);

/// Who said and saw what.
#[derive(Debug, Default)]
struct Ledger {
    /// What was said, by number, which is the text: what its author had read in the same life of
    /// the node.
    said: Vec<Context>,
    /// As which lines, as far as that was seen.
    dots: BTreeMap<Dot, usize>,
    /// What each life of each node showed, in its order.
    shown: BTreeMap<(usize, u32), Vec<Dot>>,
}

impl Ledger {
    /// Takes in lines that a copy showed from a place on; says what is wrong with them.
    fn look(&mut self, life: (usize, u32), first: usize, lines: &[Line]) -> Option<String> {
        for (place, line) in (first..).zip(lines) {
            let number = line.text.parse().ok().filter(|number| *number < self.said.len());
            let Some(number) = number else {
                return Some("nobody said that".into());
            };
            if *self.dots.entry(line.dot).or_insert(number) != number {
                return Some("it was another line before".into());
            }
            let shown = self.shown.entry(life).or_default();
            match shown.get(place) {
                Some(before) if *before != line.dot => return Some("another stood there".into()),
                Some(_) => continue,
                None if shown.contains(&line.dot) => return Some("it is shown twice".into()),
                None => {}
            }
            let mut above = Context::default();
            shown.iter().for_each(|dot| above.add(*dot));
            if !above.includes(&line.after) || !above.includes(&self.said[number]) {
                return Some("its author had seen what does not stand above it".into());
            }
            shown.push(line.dot);
        }
        None
    }
}

impl Application for Trial {
    fn configure(&self, config: &mut Config) {
        super::configure(config);
    }

    fn install(self: Rc<Self>, world: &mut World, _: usize) {
        world.set_program(Rc::new(|_, _| {
            vec![process(server_name(), ServerProcess::new(Room::default()))]
        }));
        world.keep_broadcasts::<Room>(&handler_name(), server_name());
    }

    fn act(self: Rc<Self>, world: &mut World, node: usize, dice: u64) {
        match dice % 2 {
            0 => self.say(world, node),
            _ => self.read(world, node),
        }
    }

    /// A comparison each 5 s at most, which is a question and an answer.
    fn frames_at_rest(&self, nodes: u64, seconds: u64) -> u64 {
        nodes * (seconds / 5 + 1) * 2
    }

    fn settle(self: Rc<Self>, world: &mut World) {
        agree::<Room>(world, &server_name(), &ChatCall::Shown, EQUAL);
        for node in world.live().collect::<Vec<_>>() {
            self.clone().say(world, node);
        }
        // It takes a while to read all of it.
        for _ in 0..PAGES {
            world.run_for(Duration::from_secs(1));
            for node in world.live().collect::<Vec<_>>() {
                self.clone().read(world, node);
            }
        }
        agree::<Room>(world, &server_name(), &ChatCall::Shown, EQUAL);
    }
}

/// So many answers hold all that is said in a run.
const PAGES: usize = 8;

impl Trial {
    fn say(self: Rc<Self>, world: &mut World, node: usize) {
        let life = (node, world.hosts()[node].births());
        let number = {
            let mut ledger = self.0.borrow_mut();
            let mut read = Context::default();
            ledger.shown.get(&life).into_iter().flatten().for_each(|dot| read.add(*dot));
            ledger.said.push(read);
            ledger.said.len() - 1
        };
        let server = server_of::<Room>(world, node, &server_name());
        let call = ChatCall::Say(format!("user {node}"), number.to_string());
        world.ask(node, &server, &call, Some(PATIENCE), move |world, reply| match reply {
            Ok(ChatReply::Said(dot)) => {
                self.0.borrow_mut().dots.insert(dot, number);
            }
            Err(AnswerError::Call(_)) => {}
            other => broken(world, node, format!("a line was answered {other:?}")),
        });
    }

    /// Reads on from where this life of the node was read last.
    fn read(self: Rc<Self>, world: &mut World, node: usize) {
        let life = (node, world.hosts()[node].births());
        let first = self.0.borrow().shown.get(&life).map_or(0, |shown| shown.len());
        // The last line again: it must be the same.
        let first = first.saturating_sub(1);
        let server = server_of::<Room>(world, node, &server_name());
        world.ask(node, &server, &ChatCall::Read(first), Some(PATIENCE), move |world, reply| {
            let Ok(ChatReply::Lines(lines)) = reply else {
                return;
            };
            let problem = self.0.borrow_mut().look(life, first, &lines);
            if let Some(problem) = problem {
                broken(world, node, format!("{problem}: from {first} on it shows {lines:?}"));
            }
        });
    }
}
