//! Servers that answer one thing after the other (`gen_server`).
//!
//! ```
//! use partisan_proto::behaviour::{CallResult, Caller, GenServer, Next, Protocol};
//! use partisan_proto::process::ActorContext;
//! use serde::{Deserialize, Serialize};
//!
//! /// Counts.
//! #[derive(Debug, Default)]
//! struct Counter {
//!     count: u64,
//! }
//!
//! #[derive(Debug, Serialize, Deserialize)]
//! enum Ask {
//!     HowMany,
//!     StopCounting,
//! }
//!
//! #[derive(Debug, Serialize, Deserialize)]
//! struct Add(u64);
//!
//! impl Protocol for Counter {
//!     type Call = Ask;
//!     type Reply = u64;
//!     type Cast = Add;
//! }
//!
//! impl GenServer for Counter {
//!     type Continue = ();
//!
//!     fn handle_call(
//!         &mut self,
//!         call: Ask,
//!         _from: Caller<u64>,
//!         _cx: &mut ActorContext<'_>,
//!     ) -> CallResult<Self> {
//!         match call {
//!             Ask::HowMany => CallResult::reply(self.count),
//!             Ask::StopCounting => CallResult::Reply(self.count, Next::stop()),
//!         }
//!     }
//!
//!     fn handle_cast(&mut self, Add(more): Add, _cx: &mut ActorContext<'_>) -> Next<Self> {
//!         self.count += more;
//!         Next::Wait
//!     }
//! }
//! ```
//!
//! **Rules.** One thing at a time, in the order of the mailbox. [`Next::Continue`] is handled before
//! anything else. [`Next::Timeout`] is over with the first thing that comes, and a timeout of zero
//! comes only where nothing waits. A reply that is returned together with [`Next::Stop`] is sent after
//! `terminate`; without it the caller learns the reason
//! ([`Failure::Exited`](crate::call::Failure::Exited)), as do all whose calls still wait. A panic in a
//! callback ends the server for [`ExitReason::Panicked`], after `terminate`.

mod engine;
#[cfg(test)]
mod tests;

pub use engine::ServerEngine;

use core::fmt;

use bytes::Bytes;

use super::{Behaviour, Caller, Info, Protocol, Report, Started};
use crate::process::{ActorContext, ExitReason};
use crate::time::Duration;

/// A server: its state, and what it does with what comes. See the [module](self) for an example and
/// the rules.
pub trait GenServer: Protocol + fmt::Debug + Send + Sized {
    /// What it may tell itself by [`Next::Continue`]; `()` if nothing.
    type Continue: fmt::Debug + Send;

    /// Runs first, before whoever starts it learns that it runs (`init/1`).
    fn init(&mut self, cx: &mut ActorContext<'_>) -> Init<Self> {
        _ = cx;
        Init::Run(Next::Wait)
    }

    /// Somebody asks something (`handle_call/3`).
    fn handle_call(
        &mut self,
        call: Self::Call,
        from: Caller<Self::Reply>,
        cx: &mut ActorContext<'_>,
    ) -> CallResult<Self>;

    /// Somebody tells something (`handle_cast/2`).
    fn handle_cast(&mut self, cast: Self::Cast, cx: &mut ActorContext<'_>) -> Next<Self>;

    /// Anything else comes: a plain message, or a signal that it asked for (`handle_info/2`). By
    /// default it is reported ([`Report::Unexpected`](super::Report)), and no more.
    fn handle_info(&mut self, info: Info, cx: &mut ActorContext<'_>) -> Next<Self> {
        cx.report(Report::unexpected(&info));
        Next::Wait
    }

    /// It said [`Next::Continue`] (`handle_continue/2`).
    fn handle_continue(&mut self, then: Self::Continue, cx: &mut ActorContext<'_>) -> Next<Self> {
        _ = (then, cx);
        Next::Wait
    }

    /// Nothing came within the [`Next::Timeout`] (`handle_info(timeout, _)`).
    fn handle_timeout(&mut self, cx: &mut ActorContext<'_>) -> Next<Self> {
        _ = cx;
        Next::Wait
    }

    /// It is about to end: it said [`Next::Stop`], panicked, was stopped, or its parent ended and it
    /// traps exits (`terminate/2`). Not when it is killed, or ended by an exit signal that it does
    /// not trap.
    fn terminate(&mut self, reason: &ExitReason, cx: &mut ActorContext<'_>) {
        _ = (reason, cx);
    }

    /// Its state, for [`SystemRequest::GetState`](super::SystemRequest::GetState): by default it is
    /// not told.
    fn state(&self) -> Option<Bytes> {
        None
    }

    /// Takes a state, for [`SystemRequest::ReplaceState`](super::SystemRequest::ReplaceState);
    /// whether it did.
    fn replace_state(&mut self, state: &[u8]) -> bool {
        _ = state;
        false
    }
}

/// What a server does next.
pub enum Next<S: GenServer> {
    /// Waits for what comes (`noreply`).
    Wait,
    /// Waits so long at most, then [`GenServer::handle_timeout`] runs.
    Timeout(Duration),
    /// [`GenServer::handle_continue`] runs, before anything else.
    Continue(S::Continue),
    /// It ends.
    Stop(ExitReason),
}

/// What came of a call.
pub enum CallResult<S: GenServer> {
    /// The answer, and what is next. With [`Next::Stop`] it is sent after
    /// [`GenServer::terminate`].
    Reply(S::Reply, Next<S>),
    /// The answer comes later, from whoever holds the [`Caller`], or never.
    NoReply(Next<S>),
}

/// What came of `init`.
pub enum Init<S: GenServer> {
    /// It runs; with [`Next::Stop`] it was not able to, and whoever starts it learns the reason.
    Run(Next<S>),
    /// It has nothing to do (`ignore`), and ends for [`ExitReason::Normal`].
    Ignore,
}

/// A server as a process: an [`Actor`](crate::process::Actor).
pub type ServerProcess<S> = Behaviour<ServerEngine<S>>;

impl<S: GenServer> ServerProcess<S> {
    /// A server that begins as soon as it comes to life.
    #[must_use]
    pub fn new(server: S) -> Self {
        Self::of(ServerEngine::new(server, None))
    }

    /// A server that is under way already: `init` does not run, `next` is next
    /// (`gen_server:enter_loop`).
    #[must_use]
    pub fn enter_loop(server: S, next: Next<S>) -> Self {
        Self::of(ServerEngine::new(server, Some(next)))
    }
}

impl<S: GenServer> Next<S> {
    /// Ends in good order.
    #[must_use]
    pub const fn stop() -> Self {
        Self::Stop(ExitReason::Normal)
    }
}

impl<S: GenServer> CallResult<S> {
    /// Answers, and waits.
    #[must_use]
    pub const fn reply(reply: S::Reply) -> Self {
        Self::Reply(reply, Next::Wait)
    }

    /// Waits; the answer comes later.
    #[must_use]
    pub const fn later() -> Self {
        Self::NoReply(Next::Wait)
    }
}

impl<S: GenServer> Init<S> {
    /// It was not able to begin (`{stop, Reason}`).
    #[must_use]
    pub const fn stop(reason: ExitReason) -> Self {
        Self::Run(Next::Stop(reason))
    }

    pub(super) const fn started(&self) -> Started {
        match self {
            Self::Run(_) => Started::Running,
            Self::Ignore => Started::Ignored,
        }
    }
}

// Derives would ask the same of `S`.

impl<S: GenServer> fmt::Debug for Next<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wait => f.write_str("Wait"),
            Self::Timeout(after) => write!(f, "Timeout({after:?})"),
            Self::Continue(then) => write!(f, "Continue({then:?})"),
            Self::Stop(reason) => write!(f, "Stop({reason})"),
        }
    }
}

impl<S: GenServer> fmt::Debug for CallResult<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply(reply, next) => write!(f, "Reply({reply:?}, {next:?})"),
            Self::NoReply(next) => write!(f, "NoReply({next:?})"),
        }
    }
}

impl<S: GenServer> fmt::Debug for Init<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(next) => write!(f, "Run({next:?})"),
            Self::Ignore => f.write_str("Ignore"),
        }
    }
}
