//! The application on each node: it keeps a [`Store`], answers the questions about it, and compares
//! it with others'.
//!
//! It takes its time, now and then it fails, and now and then it does not answer at all.

use partisan_proto::wire::Destination;
use partisan_proto::{
    Broadcast, ChannelId, Command, Delivery, Duration, Event, ExchangeResult, Merged, NodeId,
    Question, QuestionId, Response, Send, Ticket,
};

use super::{Happening, World};
use crate::draw::{Label, between, draw};
use crate::store::{self, Entry, Store, StoreMessage};

/// How long an application takes to answer.
const SWIFT: Duration = Duration::from_millis(5);
/// How long one that hesitates takes: longer than a question may take.
const SLOW: Duration = Duration::from_secs(8);

/// How an application treats a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Able,
    /// It fails.
    Unable,
    /// It never answers.
    Silent,
}

impl World {
    /// The store of the application on a node.
    #[must_use]
    pub fn store(&self, node: usize) -> &Store {
        &self.hosts[node].rest.store
    }

    /// From now on no application fails, hesitates or keeps silent.
    pub const fn calm_applications(&mut self) {
        self.calm = true;
    }

    /// The application on a node, if that lives, writes to a key of its store and tells all others.
    pub fn write(&mut self, node: usize, key: u8) -> Option<Ticket> {
        self.hosts[node].node.as_ref()?;
        let entry = Entry { version: self.next_message(), key };
        self.hosts[node].rest.store.put(entry);
        let (handler, payload) = (store::handler(), entry.payload());
        let broadcast = Broadcast { handler, key: entry.subject(), payload };
        Some(self.command(node, Command::Broadcast(broadcast)))
    }

    fn mood(&self, node: usize, id: QuestionId) -> (Mood, Duration) {
        let dice = |what| draw(self.options.seed, Label::Application, node as u64 + what, id.0);
        let swift = between(dice(1 << 40), Duration::from_micros(1), SWIFT);
        match dice(0) % 32 {
            _ if self.calm => (Mood::Able, swift),
            0 => (Mood::Unable, swift),
            1 => (Mood::Silent, swift),
            2 => (Mood::Able, SLOW),
            _ => (Mood::Able, swift),
        }
    }

    /// A node asks its application something.
    pub(super) fn asked(&mut self, number: usize, id: QuestionId, question: &Question) {
        if self.ask_server(number, id, question) {
            return;
        }
        let (mood, after) = self.mood(number, id);
        if mood == Mood::Silent {
            return;
        }
        let able = mood == Mood::Able;
        let store = &mut self.hosts[number].rest.store;
        let response = match question {
            Question::Merge(_) if !able => Response::Merge(Merged::Failed),
            Question::Merge(message) => {
                Response::Merge(store.merge(&message.key, &message.payload))
            }
            Question::IsStale { key, .. } => Response::IsStale(able && store.is_stale(key)),
            Question::Fetch { key, .. } => Response::Fetch(store.fetch(key)),
            Question::Exchange { .. } if !able => Response::ExchangeEnded(ExchangeResult::Failed),
            Question::Exchange { exchange, peer, .. } => {
                let message = store.begin(*exchange);
                self.hosts[number].rest.begin_exchange(*exchange, id);
                return self.tell_store(number, peer.node, &message, after);
            }
            // Nobody here knows what a link costs.
            _ => return,
        };
        self.application_does(number, Event::Answered { id, response }, after);
    }

    /// A message has come; says whether it is one of another store, which nobody else sees.
    pub(super) fn is_for_store(&mut self, number: usize, delivery: &Delivery) -> bool {
        let Some(message) = StoreMessage::read(&delivery.payload) else {
            return false;
        };
        let rest = &mut self.hosts[number].rest;
        match message {
            StoreMessage::Holdings(exchange, theirs) => {
                let newer = StoreMessage::Newer(exchange, rest.store.compare(&theirs));
                self.tell_store(number, delivery.from, &newer, SWIFT);
            }
            StoreMessage::Newer(exchange, newer) => {
                rest.store.compare(&newer);
                if let Some(id) = rest.exchanges.remove(&exchange) {
                    let response = Response::ExchangeEnded(ExchangeResult::Done);
                    self.application_does(number, Event::Answered { id, response }, SWIFT);
                }
            }
        }
        true
    }

    fn tell_store(&mut self, from: usize, to: NodeId, message: &StoreMessage, after: Duration) {
        let send = Send {
            to,
            channel: ChannelId::DEFAULT,
            key: None,
            destination: Destination::Inbox,
            relay: false,
            payload: message.write(),
        };
        let (ticket, command) = (self.next_ticket(), Command::Send(send));
        self.application_does(from, Event::Command { ticket, command }, after);
    }

    /// The application on a node gives it an event after a while, unless it dies before.
    pub(super) fn application_does(&mut self, number: usize, event: Event, after: Duration) {
        let rest = &mut self.hosts[number].rest;
        rest.intentions += 1;
        let (node, intention) = (number as u32, rest.intentions);
        rest.intended.insert(intention, event);
        self.queue.push(self.now + after, Happening::Application { node, intention });
    }

    /// The application on a node does what it intended.
    pub(super) fn application(&mut self, number: usize, intention: u64) {
        if let Some(event) = self.hosts[number].rest.intended.remove(&intention) {
            self.deliver(number, event);
        }
    }
}
