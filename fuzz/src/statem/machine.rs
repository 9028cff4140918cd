//! A state machine that does what its events tell it, and writes down what happens.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use partisan_proto::behaviour::gen_statem::{Action, When};
use partisan_proto::behaviour::{
    Caller, Entered, Event, GenStatem, Info, Initial, Protocol, Timeout, Transition,
};
use partisan_proto::process::ActorContext;
use partisan_proto::{Duration, ExitReason, Instant};
use serde::{Deserialize, Serialize};

/// How many events it obeys. After those it keeps its state, so that every script ends.
pub const OBEYS: usize = 300;

/// Its states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Arbitrary, Serialize, Deserialize)]
pub enum State {
    /// The first.
    S,
    /// Another.
    T,
    /// Yet another.
    U,
}

/// What every event carries: a label, and what to do about it in which state. In a state that is not
/// named it keeps its state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Arbitrary, Serialize, Deserialize)]
pub struct Note {
    /// What is written down.
    #[arbitrary(with = label)]
    pub label: String,
    /// What it does.
    pub reactions: BTreeMap<State, Reaction>,
}

/// What it does about an event.
#[derive(Clone, Debug, PartialEq, Eq, Arbitrary, Serialize, Deserialize)]
pub struct Reaction {
    /// Where it goes.
    pub to: Move,
    /// What else it does.
    pub deeds: Vec<Deed>,
}

/// Where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Arbitrary, Serialize, Deserialize)]
pub enum Move {
    /// To this state.
    Next(State),
    /// Nowhere.
    Keep,
    /// Into the same state again.
    Repeat,
    /// To its end.
    Stop,
}

/// What else it does.
#[derive(Clone, Debug, PartialEq, Eq, Arbitrary, Serialize, Deserialize)]
pub enum Deed {
    /// Puts the event off, or not.
    Postpone(bool),
    /// Inserts an event.
    Insert(Note),
    /// Starts a timeout.
    Start(Kind, Delay, Note),
    /// Gives a timeout another content.
    Update(Kind, Note),
    /// Ends a timeout.
    Cancel(Kind),
    /// Answers the call that this event is, with this.
    Reply(u8),
}

/// The kinds of timeouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Arbitrary, Serialize, Deserialize)]
pub enum Kind {
    /// Over with any event.
    Event,
    /// Over with a change of state.
    State,
    /// The one with this name.
    G,
    /// And with this.
    X,
    /// And with this.
    Y,
}

/// When a timeout is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Arbitrary, Serialize, Deserialize)]
pub enum Delay {
    /// After so many milliseconds.
    After(#[arbitrary(with = few)] u64),
    /// At so many milliseconds after its start.
    At(#[arbitrary(with = few)] u64),
}

/// How it begins, and what it does whenever it enters a state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Arbitrary)]
pub struct Manners {
    /// What it does at its beginning; postponing has no effect there.
    pub init: Vec<Deed>,
    /// Whenever it enters a state.
    pub enter: BTreeMap<State, Entry>,
}

/// What it does when it enters a state.
#[derive(Clone, Debug, PartialEq, Eq, Arbitrary)]
pub struct Entry {
    /// How many times it enters it again, in its whole life.
    #[arbitrary(with = few)]
    pub repeats: u64,
    /// Whether it ends by that.
    pub stops: bool,
    /// What else it does: only what has to do with timeouts has an effect.
    pub deeds: Vec<Deed>,
}

/// One line of what happened: the state, what kind of event, and its label.
pub type Line = (State, &'static str, String);

/// The machine; `ENTER` says whether states are entered.
#[derive(Debug, Default)]
pub struct Machine<const ENTER: bool> {
    manners: Manners,
    log: Vec<Line>,
    obeyed: usize,
    repeated: BTreeMap<State, u64>,
}

impl<const ENTER: bool> Machine<ENTER> {
    /// A machine of these manners.
    #[must_use]
    pub fn new(manners: Manners) -> Self {
        Self { manners, ..Self::default() }
    }

    /// What happened, in order. Of an entered state: the new one, and the old one as its label.
    #[must_use]
    pub fn log(&self) -> &[Line] {
        &self.log
    }
}

impl<const ENTER: bool> Protocol for Machine<ENTER> {
    type Call = Note;
    type Reply = u8;
    type Cast = Note;
}

impl<const ENTER: bool> GenStatem for Machine<ENTER> {
    type State = State;
    type Content = Note;
    type Timer = Kind;

    const STATE_ENTER: bool = ENTER;

    fn init(&mut self, _: &mut ActorContext<'_>) -> Initial<Self> {
        let mut initial = Initial::state(State::S);
        for deed in &self.manners.init {
            initial = match deed.clone() {
                Deed::Insert(note) => initial.next_event(Event::Internal(note)),
                Deed::Start(kind, delay, note) => initial.timeout(kind.into(), delay, note),
                Deed::Update(kind, note) => initial.update(kind.into(), note),
                Deed::Cancel(kind) => initial.cancel(kind.into()),
                Deed::Postpone(_) | Deed::Reply(_) => initial,
            };
        }
        initial
    }

    fn handle_event(
        &mut self,
        state: &State,
        event: &Event<Self>,
        _: &mut ActorContext<'_>,
    ) -> Transition<Self> {
        let (what, note, caller) = parts(event);
        self.log.push((*state, what, note.label.clone()));
        self.obeyed += 1;
        match note.reactions.get(state) {
            Some(reaction) if self.obeyed <= OBEYS => transition(reaction, caller),
            _ => Transition::keep(),
        }
    }

    fn enter(&mut self, old: &State, state: &State, _: &mut ActorContext<'_>) -> Entered<Self> {
        self.log.push((*state, "enter", format!("{old:?}")));
        let Some(entry) = self.manners.enter.get(state) else {
            return Entered::keep();
        };
        let repeated = self.repeated.entry(*state).or_default();
        let mut entered = match entry.stops {
            true => Entered::stop(ExitReason::Normal),
            false if *repeated < entry.repeats => {
                *repeated += 1;
                Entered::repeat()
            }
            false => Entered::keep(),
        };
        for deed in &entry.deeds {
            entered = match deed.clone() {
                Deed::Start(kind, delay, note) => entered.timeout(kind.into(), delay, note),
                Deed::Update(kind, note) => entered.update(kind.into(), note),
                Deed::Cancel(kind) => entered.cancel(kind.into()),
                Deed::Postpone(_) | Deed::Insert(_) | Deed::Reply(_) => entered,
            };
        }
        entered
    }

    fn terminate(&mut self, state: &State, reason: &ExitReason, _: &mut ActorContext<'_>) {
        self.log.push((*state, "terminate", reason.to_string()));
    }
}

fn transition<const ENTER: bool>(
    reaction: &Reaction,
    caller: Option<Caller<u8>>,
) -> Transition<Machine<ENTER>> {
    let mut transition = match reaction.to {
        Move::Next(state) => Transition::next(state),
        Move::Keep => Transition::keep(),
        Move::Repeat => Transition::repeat(),
        Move::Stop => Transition::stop(ExitReason::Normal),
    };
    for deed in &reaction.deeds {
        transition = match deed.clone() {
            Deed::Postpone(on) => transition.action(Action::Postpone(on)),
            Deed::Insert(note) => transition.next_event(Event::Internal(note)),
            Deed::Start(kind, delay, note) => transition.timeout(kind.into(), delay, note),
            Deed::Update(kind, note) => transition.update(kind.into(), note),
            Deed::Cancel(kind) => transition.cancel(kind.into()),
            Deed::Reply(reply) => match caller {
                Some(caller) => transition.reply(caller, reply),
                None => transition,
            },
        };
    }
    transition
}

fn parts<const ENTER: bool>(
    event: &Event<Machine<ENTER>>,
) -> (&'static str, Note, Option<Caller<u8>>) {
    match event {
        Event::Call(caller, note) => ("call", note.clone(), Some(*caller)),
        Event::Cast(note) => ("cast", note.clone(), None),
        Event::Internal(note) => ("internal", note.clone(), None),
        Event::Timeout(timeout, note) => (Kind::name(timeout), note.clone(), None),
        Event::Info(Info::Message { payload, .. }) => {
            let label = String::from_utf8_lossy(payload).into_owned();
            ("info", Note { label, ..Note::default() }, None)
        }
        Event::Info(info) => ("info", Note { label: format!("{info:?}"), ..Note::default() }, None),
    }
}

impl Note {
    /// An event with this label, on which the machine keeps its state.
    #[must_use]
    pub fn new(label: &str) -> Self {
        Self { label: label.into(), reactions: BTreeMap::new() }
    }

    /// As it is, but in a state it does this.
    #[must_use]
    pub fn when(mut self, state: State, to: Move, deeds: impl IntoIterator<Item = Deed>) -> Self {
        self.reactions.insert(state, Reaction { to, deeds: deeds.into_iter().collect() });
        self
    }
}

impl Kind {
    fn name(timeout: &Timeout<Self>) -> &'static str {
        match timeout {
            Timeout::Event => "timeout",
            Timeout::State => "state_timeout",
            Timeout::Named(Self::X) => "{timeout,x}",
            Timeout::Named(Self::Y) => "{timeout,y}",
            Timeout::Named(_) => "{timeout,g}",
        }
    }
}

impl From<Kind> for Timeout<Kind> {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Event => Self::Event,
            Kind::State => Self::State,
            Kind::G | Kind::X | Kind::Y => Self::Named(kind),
        }
    }
}

impl From<Delay> for When {
    fn from(delay: Delay) -> Self {
        match delay {
            Delay::After(after) => Self::After(Duration::from_millis(after)),
            Delay::At(at) => Self::At(Instant::from_millis(at)),
        }
    }
}

fn label(u: &mut Unstructured<'_>) -> arbitrary::Result<String> {
    Ok((*u.choose(&["a", "b", "c", "d"])?).to_owned())
}

fn few(u: &mut Unstructured<'_>) -> arbitrary::Result<u64> {
    u.int_in_range(0..=5)
}
