//! State machines whose states may put events off, take their time, and be entered (`gen_statem`).
//!
//! ```
//! use core::time::Duration;
//! use partisan_proto::behaviour::{Event, GenStatem, Initial, Protocol, Timeout, Transition};
//! use partisan_proto::process::ActorContext;
//!
//! /// A door with a code, which closes by itself.
//! #[derive(Debug)]
//! struct Door {
//!     code: u32,
//! }
//!
//! #[derive(Debug, PartialEq)]
//! enum State {
//!     Locked,
//!     Open,
//! }
//!
//! impl Protocol for Door {
//!     type Call = ();
//!     type Reply = bool;
//!     type Cast = u32;
//! }
//!
//! impl GenStatem for Door {
//!     type State = State;
//!     type Content = ();
//!     type Timer = ();
//!
//!     fn init(&mut self, _: &mut ActorContext<'_>) -> Initial<Self> {
//!         Initial::state(State::Locked)
//!     }
//!
//!     // One function for each state, or one for all: as you like.
//!     fn handle_event(
//!         &mut self,
//!         state: &State,
//!         event: &Event<Self>,
//!         _: &mut ActorContext<'_>,
//!     ) -> Transition<Self> {
//!         match state {
//!             State::Locked => self.locked(event),
//!             State::Open => self.open(event),
//!         }
//!     }
//! }
//!
//! impl Door {
//!     fn locked(&mut self, event: &Event<Self>) -> Transition<Self> {
//!         match event {
//!             Event::Cast(code) if *code == self.code => {
//!                 Transition::next(State::Open).timeout(Timeout::State, Duration::from_secs(10), ())
//!             }
//!             // Whoever wants to know waits until it is open.
//!             Event::Call(..) => Transition::keep().postpone(),
//!             _ => Transition::keep(),
//!         }
//!     }
//!
//!     fn open(&mut self, event: &Event<Self>) -> Transition<Self> {
//!         match event {
//!             Event::Timeout(Timeout::State, ()) => Transition::next(State::Locked),
//!             Event::Call(caller, ()) => Transition::keep().reply(*caller, true),
//!             _ => Transition::keep(),
//!         }
//!     }
//! }
//! ```
//!
//! # Rules
//!
//! **What comes next**: first the events inserted or taken up again, then timeouts of zero, then the
//! mailbox, in which other timeouts stand behind what came before them.
//!
//! **After an event** its replies are sent in their order. A changed state is entered, if
//! [`GenStatem::STATE_ENTER`]. An event put off is kept until the state changes; then all such, oldest
//! first, come before what is queued. Inserted events come before those.
//!
//! **Timeouts**: the event timeout is over with any event, the state timeout with a change of state;
//! those with a name last. One of a kind that runs is replaced by the next. Of several things said
//! about one kind after one event the last counts, and what the entered state says is said last. What
//! is over never comes, even if it waits in the mailbox already.
//!
//! **Another callback module** needs no action: what a machine does is what its value does, which any
//! callback may replace by assigning to `*self`, and put back later (`change_callback_module`,
//! `push_callback_module`, `pop_callback_module`). State, queue and timeouts stay.
//!
//! **At the end** nobody whose call waits is answered; they learn the reason.
//!
//! What a state may not do when it is entered does not compile:
//!
//! ```compile_fail
//! # use partisan_proto::behaviour::{Entered, Event, GenStatem};
//! fn inserts<M: GenStatem<Content = ()>>() -> Entered<M> {
//!     Entered::keep().next_event(Event::Internal(()))
//! }
//! ```
//! ```compile_fail
//! # use partisan_proto::behaviour::{Entered, GenStatem};
//! fn puts_off<M: GenStatem>() -> Entered<M> {
//!     Entered::keep().postpone()
//! }
//! ```
//! ```compile_fail
//! # use partisan_proto::behaviour::{Entered, GenStatem, gen_statem::Action};
//! fn puts_off<M: GenStatem>() -> Entered<M> {
//!     Entered::keep().action(Action::Postpone(true))
//! }
//! ```
//! ```compile_fail
//! # use partisan_proto::behaviour::{Entered, GenStatem};
//! fn changes<M: GenStatem>(state: M::State) -> Entered<M> {
//!     Entered::next(state)
//! }
//! ```
//! ```
//! # use partisan_proto::behaviour::{Entered, GenStatem, Timeout};
//! fn waits<M: GenStatem<Content = ()>>() -> Entered<M> {
//!     Entered::keep().timeout(Timeout::State, core::time::Duration::from_secs(1), ())
//! }
//! ```

mod engine;
mod outcome;
#[cfg(test)]
mod tests;
mod timeouts;

pub use engine::{DEFAULT_POSTPONED, StatemEngine};
pub use outcome::{Action, Entered, Entry, First, Initial, Outcome, To, Transition, When};
pub use timeouts::Timeout;

use core::fmt;

use bytes::Bytes;

use super::{Behaviour, Caller, Info, Protocol};
use crate::process::{ActorContext, ExitReason};

/// A state machine: its data, and what it does in each state with each event. See the
/// [module](self) for an example and the rules.
pub trait GenStatem: Protocol + fmt::Debug + Send + Sized {
    /// Its states. What is not equal is a change.
    type State: PartialEq + fmt::Debug + Send;
    /// What inserted events and timeouts carry; `()` if nothing.
    type Content: fmt::Debug + Send;
    /// The names of timeouts besides the two that have none; `()` if there is one at most.
    type Timer: Ord + Clone + fmt::Debug + Send;

    /// Whether states are entered (`state_enter`).
    const STATE_ENTER: bool = false;

    /// Runs first, before whoever starts it learns that it runs (`init/1`).
    fn init(&mut self, cx: &mut ActorContext<'_>) -> Initial<Self>;

    /// Something happens in a state (`handle_event/4`, or a state function).
    fn handle_event(
        &mut self,
        state: &Self::State,
        event: &Event<Self>,
        cx: &mut ActorContext<'_>,
    ) -> Transition<Self>;

    /// A state is entered, from another or again (`handle_event(enter, Old, State, Data)`), where
    /// [`GenStatem::STATE_ENTER`]. At the beginning `old` is the state itself.
    fn enter(
        &mut self,
        old: &Self::State,
        state: &Self::State,
        cx: &mut ActorContext<'_>,
    ) -> Entered<Self> {
        _ = (old, state, cx);
        Entered::keep()
    }

    /// It is about to end in a state (`terminate/3`); as
    /// [`GenServer::terminate`](super::GenServer::terminate).
    fn terminate(&mut self, state: &Self::State, reason: &ExitReason, cx: &mut ActorContext<'_>) {
        _ = (state, reason, cx);
    }

    /// Its state and data, for [`SystemRequest::GetState`](super::SystemRequest::GetState): by
    /// default they are not told.
    fn state(&self, state: &Self::State) -> Option<Bytes> {
        _ = state;
        None
    }

    /// Takes data and says the state, for
    /// [`SystemRequest::ReplaceState`](super::SystemRequest::ReplaceState); `None` where it does
    /// not. That is no change of state: nothing is entered or taken up again.
    fn replace_state(&mut self, state: &[u8]) -> Option<Self::State> {
        _ = state;
        None
    }
}

/// Something that happens to a state machine.
pub enum Event<M: GenStatem> {
    /// Somebody asks something (`{call, From}`).
    Call(Caller<M::Reply>, M::Call),
    /// Somebody tells something (`cast`).
    Cast(M::Cast),
    /// Anything else comes (`info`).
    Info(Info),
    /// It was inserted (`internal`).
    Internal(M::Content),
    /// A timeout is over (`timeout`, `state_timeout`, `{timeout, Name}`).
    Timeout(Timeout<M::Timer>, M::Content),
}

/// A state machine as a process: an [`Actor`](crate::process::Actor).
pub type StatemProcess<M> = Behaviour<StatemEngine<M>>;

impl<M: GenStatem> StatemProcess<M> {
    /// A state machine that begins as soon as it comes to life.
    #[must_use]
    pub fn new(machine: M) -> Self {
        Self::of(StatemEngine::new(machine, None))
    }

    /// A state machine that is under way already: `init` does not run (`gen_statem:enter_loop`).
    #[must_use]
    pub fn enter_loop(machine: M, initial: Initial<M>) -> Self {
        Self::of(StatemEngine::new(machine, Some(initial)))
    }

    /// Lets so many events be put off; one more ends it for [`ExitReason::SystemLimit`].
    #[must_use]
    pub const fn max_postponed(mut self, events: usize) -> Self {
        self.engine_mut().max_postponed = events;
        self
    }
}

impl<M: GenStatem> fmt::Debug for Event<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(caller, call) => write!(f, "Call({caller:?}, {call:?})"),
            Self::Cast(cast) => write!(f, "Cast({cast:?})"),
            Self::Info(info) => write!(f, "{info:?}"),
            Self::Internal(content) => write!(f, "Internal({content:?})"),
            Self::Timeout(timeout, content) => write!(f, "Timeout({timeout:?}, {content:?})"),
        }
    }
}
