//! What callbacks of a state machine return.

use alloc::vec::Vec;
use core::fmt;

use super::{Event, GenStatem, Timeout};
use crate::behaviour::Caller;
use crate::process::ExitReason;
use crate::time::{Duration, Instant};

/// What comes of a callback: where it goes, and what else is to be done, in order.
#[must_use]
pub struct Outcome<M: GenStatem, T> {
    pub(super) to: T,
    pub(super) actions: Vec<Action<M>>,
}

/// What comes of an event.
pub type Transition<M> = Outcome<M, To<<M as GenStatem>::State>>;

/// What comes of entering a state.
pub type Entered<M> = Outcome<M, Entry>;

/// What comes of `init`.
pub type Initial<M> = Outcome<M, First<<M as GenStatem>::State>>;

/// Where an event leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To<S> {
    /// To this state, which may be the present one (`next_state`).
    Next(S),
    /// It stays (`keep_state`).
    Keep,
    /// It stays and enters its state again (`repeat_state`).
    Repeat,
    /// It ends (`stop`, `stop_and_reply`).
    Stop(ExitReason),
}

/// What becomes of a state that is entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It is entered.
    Keep,
    /// It is entered once more.
    Repeat,
    /// It ends.
    Stop(ExitReason),
}

/// How it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First<S> {
    /// In this state.
    State(S),
    /// It has nothing to do (`ignore`), and ends for [`ExitReason::Normal`].
    Ignore,
    /// It was not able to begin.
    Stop(ExitReason),
}

/// What else is to be done.
pub enum Action<M: GenStatem> {
    /// Answer a call.
    Reply(Caller<M::Reply>, M::Reply),
    /// Whether the event is put off until the state changes.
    Postpone(bool),
    /// Insert an event, before all that is queued.
    NextEvent(Event<M>),
    /// Start a timeout, in place of one of its kind that runs.
    Start(Timeout<M::Timer>, When, M::Content),
    /// Give a running timeout another content; one that does not run is over at once.
    Update(Timeout<M::Timer>, M::Content),
    /// End a timeout.
    Cancel(Timeout<M::Timer>),
}

/// When a timeout is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// After so long. Zero comes before the mailbox.
    After(Duration),
    /// At this moment (`{abs, true}`). In the past: at once, behind what the mailbox holds.
    At(Instant),
}

impl From<Duration> for When {
    fn from(after: Duration) -> Self {
        Self::After(after)
    }
}

impl From<Instant> for When {
    fn from(at: Instant) -> Self {
        Self::At(at)
    }
}

impl<M: GenStatem, T> Outcome<M, T> {
    const fn to(to: T) -> Self {
        Self { to, actions: Vec::new() }
    }

    fn also(mut self, action: Action<M>) -> Self {
        self.actions.push(action);
        self
    }

    /// Answers a call (`{reply, From, Reply}`).
    pub fn reply(self, caller: Caller<M::Reply>, reply: M::Reply) -> Self {
        self.also(Action::Reply(caller, reply))
    }

    /// Starts a timeout, in place of one of its kind that runs: after a
    /// [`Duration`] or at an [`Instant`].
    pub fn timeout(
        self,
        timeout: Timeout<M::Timer>,
        when: impl Into<When>,
        content: M::Content,
    ) -> Self {
        self.also(Action::Start(timeout, when.into(), content))
    }

    /// Gives a running timeout another content (`update`); one that does not run is over at once.
    pub fn update(self, timeout: Timeout<M::Timer>, content: M::Content) -> Self {
        self.also(Action::Update(timeout, content))
    }

    /// Ends a timeout (`cancel`, `infinity`).
    pub fn cancel(self, timeout: Timeout<M::Timer>) -> Self {
        self.also(Action::Cancel(timeout))
    }
}

impl<M: GenStatem> Transition<M> {
    /// Goes to a state, which may be the present one (`next_state`).
    pub const fn next(state: M::State) -> Self {
        Self::to(To::Next(state))
    }

    /// Stays (`keep_state`).
    pub const fn keep() -> Self {
        Self::to(To::Keep)
    }

    /// Stays and enters its state again (`repeat_state`).
    pub const fn repeat() -> Self {
        Self::to(To::Repeat)
    }

    /// Ends, after the replies that are added (`stop`, `stop_and_reply`); anything else that is added
    /// has no effect.
    pub const fn stop(reason: ExitReason) -> Self {
        Self::to(To::Stop(reason))
    }

    /// Does this, too: what the other methods say in short. What is entered has no such method,
    /// since it may neither put off nor insert.
    pub fn action(self, action: Action<M>) -> Self {
        self.also(action)
    }

    /// Puts the event off until the state changes.
    pub fn postpone(self) -> Self {
        self.also(Action::Postpone(true))
    }

    /// Inserts an event, before all that is queued; several come in the order in which they are added
    /// here.
    pub fn next_event(self, event: Event<M>) -> Self {
        self.also(Action::NextEvent(event))
    }
}

impl<M: GenStatem> Entered<M> {
    /// The state is entered.
    pub const fn keep() -> Self {
        Self::to(Entry::Keep)
    }

    /// The state is entered once more.
    pub const fn repeat() -> Self {
        Self::to(Entry::Repeat)
    }

    /// It ends, in the state that it was about to enter.
    pub const fn stop(reason: ExitReason) -> Self {
        Self::to(Entry::Stop(reason))
    }
}

impl<M: GenStatem> Initial<M> {
    /// Begins in a state.
    pub const fn state(state: M::State) -> Self {
        Self::to(First::State(state))
    }

    /// Has nothing to do.
    pub const fn ignore() -> Self {
        Self::to(First::Ignore)
    }

    /// Was not able to begin; whoever starts it learns the reason.
    pub const fn stop(reason: ExitReason) -> Self {
        Self::to(First::Stop(reason))
    }

    /// Inserts an event, before the mailbox and after the state is entered.
    pub fn next_event(self, event: Event<M>) -> Self {
        self.also(Action::NextEvent(event))
    }
}

impl<M: GenStatem, T: fmt::Debug> fmt::Debug for Outcome<M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.to, self.actions)
    }
}

impl<M: GenStatem> fmt::Debug for Action<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply(caller, reply) => write!(f, "Reply({caller:?}, {reply:?})"),
            Self::Postpone(on) => write!(f, "Postpone({on})"),
            Self::NextEvent(event) => write!(f, "NextEvent({event:?})"),
            Self::Start(timeout, when, content) => {
                write!(f, "Start({timeout:?}, {when:?}, {content:?})")
            }
            Self::Update(timeout, content) => write!(f, "Update({timeout:?}, {content:?})"),
            Self::Cancel(timeout) => write!(f, "Cancel({timeout:?})"),
        }
    }
}
