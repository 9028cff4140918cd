//! Managers of handlers that come and go, each of which hears of every event (`gen_event`).
//!
//! ```
//! use partisan_proto::behaviour::gen_event::{Bus, EventManager, Handled, Handler};
//! use partisan_proto::behaviour::{EventManagerProcess, Never};
//! use partisan_proto::process::ActorContext;
//!
//! /// What goes through this manager.
//! #[derive(Debug)]
//! struct Alarms;
//!
//! impl Bus for Alarms {
//!     type Event = String;
//!     type Query = ();
//!     type Answer = usize;
//! }
//!
//! /// Counts the alarms.
//! #[derive(Debug, Default)]
//! struct Count(usize);
//!
//! impl Handler<Alarms> for Count {
//!     fn handle_event(&mut self, _: &String, _: &mut ActorContext<'_>) -> Handled {
//!         self.0 += 1;
//!         Handled::Keep
//!     }
//!
//!     fn handle_call(&mut self, _: (), _: &mut ActorContext<'_>) -> (usize, Handled) {
//!         (self.0, Handled::Keep)
//!     }
//! }
//!
//! let manager = EventManager::<Alarms>::new().kind("count", |_, _| Ok(Count::default()));
//! let process = EventManagerProcess::new(manager);
//! # drop(process);
//! ```
//!
//! **Rules.** Code does not travel: a manager knows its *kinds* of handlers from the start, and is
//! asked by name to add one. The newest hears of an event first. One that panics, or says so, is
//! removed, and no other is harmed. One that is *supervised* has an owner: it is removed when that
//! ends, wherever it runs, and its owner is told when it is removed, by a [`HandlerExit`].

mod engine;
#[cfg(test)]
mod tests;

pub use engine::EventEngine;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::{Behaviour, Info, Protocol, Report, Term};
use crate::process::{ActorContext, ExitReason};

/// What goes through a manager.
pub trait Bus: fmt::Debug + Send + 'static {
    /// What all handlers hear of.
    type Event: Term;
    /// What one handler can be asked.
    type Query: Term;
    /// What that answers.
    type Answer: Term;

    /// A manager begins: it may ask to be told of something.
    fn begin(cx: &mut ActorContext<'_>) {
        _ = cx;
    }

    /// What a signal or a message is to the handlers, where it is an event; all else is an info.
    fn event_of(info: &Info, cx: &mut ActorContext<'_>) -> Option<Self::Event> {
        _ = (info, cx);
        None
    }
}

/// One of the handlers of a manager.
pub trait Handler<B: Bus>: fmt::Debug + Send {
    /// Something happened (`handle_event/2`).
    fn handle_event(&mut self, event: &B::Event, cx: &mut ActorContext<'_>) -> Handled;

    /// It is asked something (`handle_call/2`).
    fn handle_call(&mut self, query: B::Query, cx: &mut ActorContext<'_>) -> (B::Answer, Handled);

    /// Anything else comes to the manager (`handle_info/2`); by default it is reported
    /// ([`Report::Unexpected`](super::Report)), and no more.
    fn handle_info(&mut self, info: &Info, cx: &mut ActorContext<'_>) -> Handled {
        cx.report(Report::unexpected(info));
        Handled::Keep
    }

    /// It is about to be removed (`terminate/2`). What it returns is the answer to whoever asked for
    /// that, or what the handler in its place is given.
    fn terminate(&mut self, why: Leaving, cx: &mut ActorContext<'_>) -> Vec<u8> {
        _ = (why, cx);
        Vec::new()
    }
}

/// What a handler wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handled {
    /// To go on.
    Keep,
    /// To be removed (`remove_handler`).
    Remove,
    /// To be replaced by another, in its place (`swap_handler`).
    Swap {
        /// What its `terminate` is told.
        args: Vec<u8>,
        /// By which.
        by: HandlerId,
        /// What that is given.
        by_args: Vec<u8>,
    },
}

/// Why a handler is removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Leaving {
    /// Somebody asked for it, with these arguments.
    Deleted(Vec<u8>),
    /// Another takes its place; it was asked for with these arguments.
    Swapped(Vec<u8>),
    /// It wanted to.
    Removed,
    /// It panicked.
    Crashed(ExitReason),
    /// Its owner ended.
    OwnerEnded(ExitReason),
    /// The manager ends.
    Stopped(ExitReason),
}

/// Names a handler: its kind, and an instance where there may be several (`Module`,
/// `{Module, Id}`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HandlerId {
    /// What it is.
    pub kind: String,
    /// Which of them.
    pub instance: Option<String>,
}

impl From<&str> for HandlerId {
    fn from(kind: &str) -> Self {
        Self { kind: kind.into(), instance: None }
    }
}

/// What the owner of a supervised handler is told, by a plain message, when that is removed
/// (`gen_event_EXIT`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerExit {
    /// Which.
    pub handler: HandlerId,
    /// Why.
    pub why: Leaving,
}

/// What a manager can be asked. To be told of an event is a cast (`notify/2`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask<E, Q> {
    /// Tell all handlers of this, and answer [`Answer::Done`] once they know (`sync_notify/2`).
    Notify(E),
    /// Ask one handler (`call/3`); answered by [`Answer::Answered`].
    Query(HandlerId, Q),
    /// Add a handler (`add_handler/3`, `add_sup_handler/3`); answered by [`Answer::Done`].
    Add {
        /// Which. Two of one name are two.
        handler: HandlerId,
        /// What it is given.
        args: Vec<u8>,
        /// Whether it is whoever asks that owns it.
        supervised: bool,
    },
    /// Remove a handler (`delete_handler/3`); answered by [`Answer::Deleted`].
    Delete {
        /// Which.
        handler: HandlerId,
        /// What its `terminate` is told.
        args: Vec<u8>,
    },
    /// Put a handler in the place of another (`swap_handler/3`, `swap_sup_handler/3`); if that is not
    /// there, it is added all the same. Answered by [`Answer::Done`].
    Swap {
        /// Which goes.
        handler: HandlerId,
        /// What its `terminate` is told.
        args: Vec<u8>,
        /// Which comes.
        by: HandlerId,
        /// What that is given, besides what the other's `terminate` returns.
        by_args: Vec<u8>,
        /// Whether it is whoever asks that owns it.
        supervised: bool,
    },
    /// Tell the handlers, the newest first (`which_handlers/1`); answered by [`Answer::Handlers`].
    Which,
}

/// What a manager answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer<A> {
    /// It is done.
    Done(Result<(), HandlerError>),
    /// What the handler answers. Whatever was asked, where a handler panicked by that:
    /// [`HandlerError::Crashed`].
    Answered(Result<A, HandlerError>),
    /// What the `terminate` of the handler returned.
    Deleted(Result<Vec<u8>, HandlerError>),
    /// The handlers.
    Handlers(Vec<HandlerId>),
}

/// Why something was not done with a handler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum HandlerError {
    /// There is no such handler (`bad_module`, `module_not_found`).
    #[error("there is no such handler")]
    NotFound,
    /// The manager does not know this kind.
    #[error("the manager knows no such kind of handlers; see EventManager::kind")]
    UnknownKind,
    /// It did not want to be added, as it says.
    #[error("{0}")]
    Refused(String),
    /// It panicked.
    #[error("it crashed: {0}")]
    Crashed(ExitReason),
}

/// Makes a handler of what it is given, and of what the one in whose place it comes returned.
type Make<B> = Box<dyn FnMut(&[u8], Option<Vec<u8>>) -> Result<Box<dyn Handler<B>>, String> + Send>;

/// What a manager is: the kinds of handlers that it knows, and those that it begins with.
pub struct EventManager<B: Bus> {
    kinds: BTreeMap<String, Make<B>>,
    first: Vec<(HandlerId, Vec<u8>)>,
}

impl<B: Bus> EventManager<B> {
    /// One that knows no handlers.
    #[must_use]
    pub const fn new() -> Self {
        Self { kinds: BTreeMap::new(), first: Vec::new() }
    }

    /// Knows a kind of handlers: how to make one (`init/1`) of what it is given, and of what the one
    /// in whose place it comes returned, if any. `Err` says why not.
    #[must_use]
    pub fn kind<H: Handler<B> + 'static>(
        mut self,
        kind: &str,
        mut make: impl FnMut(&[u8], Option<Vec<u8>>) -> Result<H, String> + Send + 'static,
    ) -> Self {
        let make: Make<B> = Box::new(move |args, before| Ok(Box::new(make(args, before)?)));
        self.kinds.insert(kind.into(), make);
        self
    }

    /// Begins with this handler; each one that is added comes before those there are.
    #[must_use]
    pub fn with(mut self, handler: HandlerId, args: impl Into<Vec<u8>>) -> Self {
        self.first.push((handler, args.into()));
        self
    }
}

impl<B: Bus> Default for EventManager<B> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B: Bus> Protocol for EventManager<B> {
    type Call = Ask<B::Event, B::Query>;
    type Reply = Answer<B::Answer>;
    type Cast = B::Event;
}

/// A manager as a process: an [`Actor`](crate::process::Actor).
pub type EventManagerProcess<B> = Behaviour<EventEngine<B>>;

impl<B: Bus> EventManagerProcess<B> {
    /// A manager that begins as soon as it comes to life. If one of its first handlers cannot be
    /// added, it ends for a reason with the text of the [`HandlerError`].
    #[must_use]
    pub fn new(manager: EventManager<B>) -> Self {
        Self::of(EventEngine::new(manager))
    }
}

impl<B: Bus> fmt::Debug for EventManager<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventManager of {:?}", self.kinds.keys())
    }
}
