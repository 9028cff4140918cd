//! How processes come to life, and how they end.

use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use partisan_proto::process::{MAX_REASON, ReplyTo};
use partisan_proto::{ExitReason, ProcessAct, ProcessName, Serial, process};
use tokio::sync::oneshot;

use super::Process;
use super::doings::Doings;
use super::state::ProcessState;
use crate::error::NodeError;
use crate::rpc::Code;

/// How a process begins: by default without a name, unlinked, with a mailbox as large as those of
/// [`Node::register`](crate::Node::register).
#[derive(Clone, Debug, Default)]
pub struct SpawnOptions {
    pub(crate) begin: process::SpawnOptions,
    pub(crate) mailbox: Option<(usize, usize)>,
}

impl SpawnOptions {
    /// Registered under this name from the first moment.
    #[must_use]
    pub fn name(mut self, name: ProcessName) -> Self {
        self.begin.name = Some(name);
        self
    }

    /// With exit signals as [`Signal::Exit`](partisan_proto::Signal::Exit) from the first moment.
    #[must_use]
    pub const fn trap_exit(mut self) -> Self {
        self.begin.trap_exit = true;
        self
    }

    /// Linked to this process from the first moment (`spawn_link`).
    #[must_use]
    pub fn linked_to(mut self, parent: &Process) -> Self {
        self.begin.link = Some(parent.id().serial);
        self
    }

    /// With a mailbox of so many messages and so many bytes, instead of
    /// [`DriverConfig::mailbox_messages`](crate::DriverConfig) and `mailbox_bytes`; at least one.
    #[must_use]
    pub fn mailbox(mut self, messages: usize, bytes: usize) -> Self {
        self.mailbox = Some((messages.max(1), bytes.max(1)));
        self
    }
}

/// What the code of a process may end with.
///
/// `()` is [`ExitReason::Normal`]; an error is [`ExitReason::Other`] with its text, cut to
/// [`MAX_REASON`] bytes.
pub trait IntoExitReason {
    /// Why the process ended.
    fn into_exit_reason(self) -> ExitReason;
}

impl IntoExitReason for () {
    fn into_exit_reason(self) -> ExitReason {
        ExitReason::Normal
    }
}

impl IntoExitReason for ExitReason {
    fn into_exit_reason(self) -> ExitReason {
        self
    }
}

impl<T: IntoExitReason, E: fmt::Display> IntoExitReason for Result<T, E> {
    fn into_exit_reason(self) -> ExitReason {
        match self {
            Ok(end) => end.into_exit_reason(),
            Err(error) => reason_of(&error.to_string()),
        }
    }
}

/// A reason that says this.
pub(crate) fn reason_of(text: &str) -> ExitReason {
    let bytes = text.as_bytes();
    let cut = &bytes[..bytes.len().min(MAX_REASON)];
    ExitReason::other(cut).unwrap_or(ExitReason::SystemLimit)
}

/// A process on its way into life.
#[derive(Debug)]
pub(crate) struct Spawn {
    pub(crate) state: Arc<ProcessState>,
    pub(crate) begin: process::SpawnOptions,
    pub(crate) start: Start,
}

/// What to do once the core knows a process.
pub(crate) enum Start {
    /// Nothing: it is the node itself.
    Nothing,
    /// Run this.
    Task(Task, oneshot::Sender<Result<(), NodeError>>),
    /// Hand it to whoever asked.
    Hand(Box<Process>, oneshot::Sender<Result<Process, NodeError>>),
    /// Run it for another node, now or later: then with whether it is to trap exits, and the number
    /// of its monitor on whoever spawned it.
    For { reply_to: ReplyTo, code: Code, process: Box<Process>, held: Option<(bool, u64)> },
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Task(..) => "Task",
            Self::Hand(..) => "Hand",
            Self::For { .. } => "For",
        })
    }
}

/// What a process does, from its beginning to its end.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Tells the loop that a process has ended, once, whatever way its code ends: this is dropped then.
#[derive(Debug)]
pub(crate) struct Life {
    doings: Doings,
    process: Serial,
    reason: ExitReason,
}

impl Life {
    pub(crate) const fn new(doings: Doings, process: Serial, reason: ExitReason) -> Self {
        Self { doings, process, reason }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        let reason = std::mem::replace(&mut self.reason, ExitReason::Normal);
        self.doings.end(self.process, ProcessAct::Ended(reason));
    }
}

/// Runs the code of a process; a panic ends it alone.
pub(crate) async fn live<F, Fut>(process: Process, run: F)
where
    F: FnOnce(Process) -> Fut,
    Fut: Future<Output: IntoExitReason>,
{
    let id = process.id();
    // Dropped before its end, it was aborted.
    let mut life = Life::new(process.doings().clone(), id.serial, ExitReason::Killed);
    let ended = caught(async move { run(process).await.into_exit_reason() }).await;
    life.reason = ended.unwrap_or_else(|text| {
        tracing::error!(process = %id, panic = text, "a process panicked");
        ExitReason::panicked(&text)
    });
}

/// What a future comes to, or what it said in its panic.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(panic) => Poll::Ready(Err(text_of(&*panic))),
    })
    .await
}

/// What a panic says.
pub(super) fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "it says nothing".to_owned())
}
