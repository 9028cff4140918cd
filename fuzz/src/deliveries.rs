//! Acknowledged and causal messages between two nodes, beside a naive model: sets and counters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arbitrary::Arbitrary;
use partisan_proto::{
    Action, Answer, ChannelId, Command, Config, Duration, Event, LabelId, LabelName, SendReliable,
    Ticket,
};

use crate::arena::{Arena, Outcome};
use crate::watch::{Watched, config};

const MOST_MOVES: usize = 300;

/// What a fuzzer makes up.
#[derive(Debug, Arbitrary)]
pub(crate) struct Script {
    moves: Vec<Move>,
}

#[derive(Debug, Arbitrary)]
enum Move {
    /// Time passes, in milliseconds.
    Wait(u16),
    /// So many things that are under way happen, in order.
    Run(u8),
    /// The end of a link delivers what is first in its queue.
    Deliver(u8),
    /// A link breaks, and what is on its way is lost.
    Cut(u8),
    /// A node sends the other a message: on which channel, with which key, causal or not.
    Send(bool, bool, Option<u8>, bool),
}

/// A message and what became of it.
#[derive(Debug)]
struct Sent {
    from: usize,
    causal: bool,
    delivered: bool,
    answered: bool,
    given_up: bool,
}

struct Game {
    arena: Arena,
    sent: Vec<Sent>,
    tickets: BTreeMap<(usize, Ticket), usize>,
    given: [u64; 2],
}

/// Plays the script; panics when a node breaks a promise.
pub(crate) fn run(script: &Script) -> Outcome {
    let mut config = Config::clone(&config(false));
    config.delivery.labels = vec![label()];
    let config = Arc::new(config);
    let start = |name, port| Watched::start_as(name, port, config.clone(), Vec::new());
    let arena = Arena::new([start("a", 1), start("b", 2)]);
    let mut game = Game { arena, sent: Vec::new(), tickets: BTreeMap::new(), given: [0; 2] };
    // The first command of each node.
    game.arena.join(false);
    game.given[0] += 1;
    (0..80).for_each(|_| game.arena.proceed());
    for step in script.moves.iter().take(MOST_MOVES) {
        game.play(step);
    }
    // Whatever was not acknowledged by then has failed.
    for _ in 0..400 {
        game.watched(|arena| {
            arena.wait(Duration::from_secs(1));
            (0..50).for_each(|_| arena.proceed());
        });
    }
    let open: BTreeSet<_> = game.tickets.keys().collect();
    assert!(open.is_empty(), "never answered: {open:?}");
    game.arena.end()
}

fn label() -> LabelName {
    LabelName::new("red").expect("a good name")
}

impl Game {
    fn play(&mut self, step: &Move) {
        match step {
            Move::Wait(milliseconds) => {
                let span = Duration::from_millis((*milliseconds).into());
                self.watched(|arena| arena.wait(span));
            }
            Move::Run(times) => {
                self.watched(|arena| (0..*times).for_each(|_| arena.proceed()));
            }
            Move::Deliver(which) => self.watched(|arena| arena.deliver(*which)),
            Move::Cut(which) => self.watched(|arena| arena.cut(*which)),
            Move::Send(which, bulk, key, causal) => {
                self.send(usize::from(*which), *bulk, *key, *causal);
            }
        }
    }

    fn send(&mut self, from: usize, bulk: bool, key: Option<u8>, causal: bool) {
        let number = self.sent.len();
        let to = self.arena.nodes[1 - from].node.instance().node;
        let payload = number.to_be_bytes().to_vec();
        let send = SendReliable {
            channel: ChannelId(1 + u8::from(bulk)),
            key: key.map(u64::from),
            // There is nobody to relay it: it is tried, and waits all the same.
            relay: !causal,
            label: causal.then(|| LabelId::of(&label())),
            ordered: !causal && key.is_some_and(|key| !key.is_multiple_of(2)),
            id: key.is_none().then_some(number as u128),
            ..SendReliable::new(to, payload)
        };
        self.sent.push(Sent { from, causal, delivered: false, answered: false, given_up: false });
        self.given[from] += 1;
        self.tickets.insert((from, Ticket(self.given[from])), number);
        let (ticket, command) = (Ticket(0), Command::SendReliable(send.into()));
        self.watched(|arena| arena.handle(from, Event::Command { ticket, command }));
    }

    /// Lets something happen, and judges what follows from it.
    fn watched(&mut self, happen: impl FnOnce(&mut Arena)) {
        let before = self.arena.actions.len();
        happen(&mut self.arena);
        for place in before..self.arena.actions.len() {
            let (node, action) = &self.arena.actions[place];
            match action {
                Action::Deliver(delivery) => {
                    let bytes = delivery.payload[..].try_into().expect("a number was sent");
                    let (node, number) = (*node, usize::from_be_bytes(bytes));
                    self.delivered(node, number);
                }
                Action::Reply { ticket, result } => {
                    let acknowledged = *result == Ok(Answer::Acknowledged);
                    if let Some(number) = self.tickets.remove(&(*node, *ticket)) {
                        let sent = &mut self.sent[number];
                        assert!(!sent.answered, "{number} is answered twice");
                        assert!(sent.delivered || !acknowledged, "{number} was not delivered");
                        (sent.answered, sent.given_up) = (true, !acknowledged);
                    }
                }
                _ => {}
            }
        }
    }

    fn delivered(&mut self, node: usize, number: usize) {
        let sent = &self.sent[number];
        assert!(!sent.delivered && sent.from != node, "{number} is delivered again or at home");
        if sent.causal {
            // All before it from the same node; the other's are delivered where they were sent.
            let before = self.sent[..number].iter().enumerate();
            let missing = before.filter(|(_, other)| {
                let open = !other.delivered && !other.given_up;
                other.causal && other.from == sent.from && open
            });
            let missing: Vec<usize> = missing.map(|(number, _)| number).collect();
            assert!(missing.is_empty(), "{number} is delivered before {missing:?}");
        }
        self.sent[number].delivered = true;
    }
}
