//! Two connected nodes, one application on each, and all that a peer or an application may say
//! about broadcasts.

use std::collections::VecDeque;
use std::sync::Arc;

use arbitrary::Arbitrary;
use partisan_proto::config::{HandlerOptions, StoreConfig};
use partisan_proto::wire::{BroadcastMessage, ControlMessage, Frame, PlumtreeMessage};
use partisan_proto::{
    Action, Broadcast, Command, Config, ConnectionId, Duration, Event, ExchangeSelector, HandlerId,
    HandlerName, Incarnation, MessageId, QuestionId, Response, Ticket,
};

use crate::arena::{Arena, Outcome};
use crate::watch::{Watched, config};

const MOST_MOVES: usize = 400;
/// More actions than this never follow from one event within the limits of [`limited`].
const MOST_ACTIONS: usize = 1_000;
/// The handlers that nodes have, and one that they lack.
const HANDLERS: [&str; 3] = ["default", "store", "unknown"];

/// What a fuzzer makes up.
#[derive(Debug, Arbitrary)]
pub(crate) struct Script {
    heartbeats: bool,
    moves: Vec<Move>,
}

#[derive(Debug, Arbitrary)]
enum Move {
    /// Time passes, in milliseconds.
    Wait(u16),
    /// So many things that are under way happen, in order.
    Run(u8),
    /// A link breaks.
    Cut(u8),
    /// A node's peer says this, which it never did.
    Say(bool, PlumtreeMessage),
    /// A node's peer sends this message, which it never did, with a number and from a sender that
    /// are likely to be met again.
    Message(bool, u8, BroadcastMessage),
    /// A node broadcasts to a handler.
    Broadcast(bool, u8, u8),
    /// An application answers a question, the first or a later one, whether this was the question
    /// or not.
    Answer(bool, u8, Response),
    /// An application cancels exchanges.
    Cancel(bool, ExchangeSelector),
    /// A connection can take nothing more, or can again.
    Congest(bool, u8, bool),
    /// A node leaves, or joins again.
    Leave(bool),
    /// See above.
    Join(bool),
}

/// Small limits, so that a script reaches them.
fn limited(heartbeats: bool) -> Config {
    let mut config = Config::clone(&config(false));
    let broadcast = &mut config.broadcast;
    broadcast.heartbeats = heartbeats;
    broadcast.max_own_trees = 3;
    broadcast.max_missing = 16;
    broadcast.max_origins = 16;
    broadcast.max_gaps = 3;
    broadcast.max_questions = 4;
    broadcast.cache.messages = 8;
    broadcast.cache.bytes = 4_096;
    let options = HandlerOptions {
        store: StoreConfig::Application,
        max_payload: 256,
        ..HandlerOptions::default()
    };
    let name = HandlerName::new(HANDLERS[1]).expect("a good name");
    broadcast.handlers.insert(name, options);
    config
}

/// Plays the script; panics when a node breaks a promise.
pub(crate) fn run(script: &Script) -> Outcome {
    let config = Arc::new(limited(script.heartbeats));
    let start = |name, port| Watched::start_as(name, port, config.clone(), Vec::new());
    let mut game = Game {
        arena: Arena::new([start("a", 1), start("b", 2)]),
        questions: [const { VecDeque::new() }; 2],
    };
    game.arena.join(false);
    (0..80).for_each(|_| game.arena.proceed());
    for step in script.moves.iter().take(MOST_MOVES) {
        let before = game.arena.actions.len();
        game.play(step);
        let single = !matches!(step, Move::Wait(_) | Move::Run(_));
        let actions = game.arena.actions.len() - before;
        assert!(!single || actions <= MOST_ACTIONS, "{actions} actions follow from {step:?}");
        game.collect(before);
    }
    game.arena.end()
}

struct Game {
    arena: Arena,
    /// What each application was asked and has not answered.
    questions: [VecDeque<QuestionId>; 2],
}

impl Game {
    fn play(&mut self, step: &Move) {
        match step {
            Move::Wait(milliseconds) => {
                // Up to ten minutes: caches expire, and trees are forgotten.
                self.arena.wait(Duration::from_millis(u64::from(*milliseconds) * 10));
            }
            Move::Run(times) => (0..*times).for_each(|_| self.arena.proceed()),
            Move::Cut(which) => self.arena.cut(*which),
            Move::Say(which, message) => {
                let frame = Frame::Control(ControlMessage::Plumtree(message.clone()));
                self.receive(usize::from(*which), 0, frame);
            }
            Move::Message(which, dice, message) => {
                let message = self.tame(*dice, message);
                self.receive(usize::from(*which), *dice, Frame::Broadcast(Arc::new(message)));
            }
            Move::Broadcast(which, handler, size) => {
                let broadcast = Broadcast {
                    handler: handler_of(*handler),
                    key: vec![*size; usize::from(*size % 16)].into(),
                    payload: vec![*size; usize::from(*size) * 4].into(),
                };
                self.command(*which, Command::Broadcast(broadcast));
            }
            Move::Answer(which, place, response) => self.answer(*which, *place, response),
            Move::Cancel(which, exchanges) => {
                self.command(*which, Command::CancelExchanges(*exchanges));
            }
            Move::Congest(which, place, full) => self.congest(usize::from(*which), *place, *full),
            Move::Leave(which) => self.command(*which, Command::Leave),
            Move::Join(which) => self.arena.join(*which),
        }
    }

    fn command(&mut self, which: bool, command: Command) {
        let ticket = Ticket(0);
        self.arena.handle(usize::from(which), Event::Command { ticket, command });
    }

    fn answer(&mut self, which: bool, place: u8, response: &Response) {
        let questions = &mut self.questions[usize::from(which)];
        let place = usize::from(place) % questions.len().max(1);
        // Now and then one that was never asked, or was answered before.
        let id = questions.remove(place).unwrap_or(QuestionId(place as u64));
        let response = response.clone();
        self.arena.handle(usize::from(which), Event::Answered { id, response });
    }

    /// The connections of a node's session with the other, that of the membership channel first.
    fn connections(&self, node: usize) -> Vec<ConnectionId> {
        let node = &self.arena.nodes[node].node;
        node.routes().peers().flat_map(|peer| peer.connections()).collect()
    }

    fn receive(&mut self, node: usize, place: u8, frame: Frame) {
        let connections = self.connections(node);
        if let Some(connection) = connections.get(usize::from(place) % connections.len().max(1)) {
            self.arena.handle(node, Event::Received { connection: *connection, frame });
        }
    }

    fn congest(&mut self, node: usize, place: u8, full: bool) {
        let connections = self.connections(node);
        if let Some(connection) = connections.get(usize::from(place) % connections.len().max(1)) {
            let connection = *connection;
            let event = match full {
                true => Event::Congested { connection },
                false => Event::Drained { connection },
            };
            self.arena.handle(node, event);
        }
    }

    /// A message of one of the two nodes or of a third, in one of a few lives, with a low number.
    fn tame(&self, dice: u8, message: &BroadcastMessage) -> BroadcastMessage {
        let mut origin = message.id.origin;
        if let Some(node) = self.arena.nodes.get(usize::from(dice & 3)) {
            origin = node.node.instance();
        }
        if dice & 0x80 != 0 {
            origin.incarnation = Incarnation(1 + u64::from(dice >> 4 & 3));
        }
        let id = MessageId { origin, sequence: u64::from(dice >> 2 & 7) };
        BroadcastMessage { id, handler: handler_of(dice >> 3), ..message.clone() }
    }

    /// Notes the questions among the actions since `before`.
    fn collect(&mut self, before: usize) {
        for (node, action) in &self.arena.actions[before..] {
            if let Action::Ask { id, .. } = action {
                self.questions[*node].push_back(*id);
            }
        }
    }
}

fn handler_of(number: u8) -> HandlerId {
    let name = HANDLERS[usize::from(number) % HANDLERS.len()];
    HandlerId::of(&HandlerName::new(name).expect("a good name"))
}
