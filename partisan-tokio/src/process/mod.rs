//! Processes: a tokio task each, with an identity and a mailbox, and Erlang's rules for the rest.
//!
//! ```
//! use partisan_tokio::{Input, Node, NodeName, Process, Settings};
//!
//! async fn counter(mut process: Process) {
//!     let mut count = 0_u64;
//!     while let Some(input) = process.receive().await {
//!         match input {
//!             Input::Message(_) => count += 1,
//!             Input::Request(request) => drop(request.reply(&count).await),
//!             _ => {}
//!         }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::start(Settings::new(NodeName::new("alice@127.0.0.1")?)).await?;
//! let counter = node.spawn(counter).await?;
//! let mut down = node.monitor(counter).await?;
//! node.cast(counter, "one more").await;
//! let count: u64 = node.call(counter, "how many?", std::time::Duration::from_secs(5)).await?;
//! assert_eq!(count, 1);
//! node.exit(counter, partisan_tokio::ExitReason::Kill).await?;
//! assert_eq!(down.down().await.reason, partisan_tokio::ExitReason::Killed);
//! # node.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! The same calls work between nodes: a [`ProcessId`] names its node, and may be sent to others, in
//! a message of one's own as it is or as a [`Reference`](crate::Reference).
//!
//! **The mailbox** is one bounded queue of messages and requests. A message for a full one stops the
//! connection that it comes by, as with a [`Mailbox`](crate::Mailbox); a request for a full one is
//! answered [`Failure::Overloaded`]. Signals, of which there are no more than the process asked for,
//! always find room. Messages go straight from the connection to the mailbox; requests and signals
//! by way of the loop: one never overtakes a message that was sent before it on the same lane, but a
//! message may overtake a request, a monitor or a link that was sent before it.
//!
//! **The end.** A process ends when its code returns, panics, is killed, or by an exit signal that
//! it does not trap: then its task is dropped at the point where it waits. When the node stops in
//! good order, processes end for [`ExitReason::Shutdown`]; those that trap exits are told so first,
//! and have [`DriverConfig::process_grace`](crate::DriverConfig::process_grace) to end.
//!
//! **Blocking work** does not belong into a task: await `tokio::task::spawn_blocking(work)`. When
//! the process is killed meanwhile, the work itself goes on to its end, and nobody hears of it.
//!
//! Pure machines ([`partisan_proto::process::Actor`]) run as they are: [`Node::spawn_actor`].

mod actor;
mod doings;
mod handle;
mod info;
mod input;
mod living;
mod spawn;
mod state;
mod watch;

pub use handle::Process;
pub use info::ProcessInfo;
pub use input::{Input, Request};
pub use spawn::{IntoExitReason, SpawnOptions};
pub use watch::{Down, Monitor, NodeChange, NodeMonitor};

pub(crate) use doings::{Doing, Doings, Stopped, Told};
pub(crate) use living::Processes;
pub(crate) use spawn::{Spawn, Start, caught, live, reason_of};
pub(crate) use state::{Gone, ProcessState};

use std::sync::Arc;

use bytes::Bytes;
use partisan_proto::call::Failure;
use partisan_proto::process::{MonitorId, ReplyTo};
use partisan_proto::{ExitReason, ProcessAct, ProcessId, ProcessName, Serial, Target};
use tokio::sync::oneshot;

use crate::calls::RequestError;
use crate::error::NodeError;
use crate::event_loop::Request as LoopRequest;
use crate::node::Node;

impl Node {
    /// Spawns a process (`spawn/1`): a task that runs `run` until it ends.
    ///
    /// # Errors
    /// [`CommandError::TooManyProcesses`](crate::CommandError::TooManyProcesses), `Stopping`;
    /// [`NodeError::Stopped`].
    pub async fn spawn<F, Fut>(&self, run: F) -> Result<ProcessId, NodeError>
    where
        F: FnOnce(Process) -> Fut + Send + 'static,
        Fut: Future<Output: IntoExitReason> + Send + 'static,
    {
        self.spawn_with(SpawnOptions::default(), run).await
    }

    /// As [`Node::spawn`], with options.
    ///
    /// # Errors
    /// As [`Node::spawn`], and `NameTaken` or [`NodeError::Registered`].
    pub async fn spawn_with<F, Fut>(
        &self,
        options: SpawnOptions,
        run: F,
    ) -> Result<ProcessId, NodeError>
    where
        F: FnOnce(Process) -> Fut + Send + 'static,
        Fut: Future<Output: IntoExitReason> + Send + 'static,
    {
        let state = self.new_process(self.shared.serial(), &options);
        let task = Box::pin(live(Process::new(self.clone(), Arc::clone(&state)), run));
        let (reply, spawned) = oneshot::channel();
        let id = state.id;
        self.tell_spawn(Spawn { state, begin: options.begin, start: Start::Task(task, reply) })
            .await?;
        spawned.await.map_err(|_| NodeError::Stopped)??;
        Ok(id)
    }

    /// Makes the present code a process, which ends when it is dropped: for `main`, for tests, for
    /// tasks that are there already.
    ///
    /// # Errors
    /// As [`Node::spawn_with`].
    pub async fn attach(&self, options: SpawnOptions) -> Result<Process, NodeError> {
        let state = self.new_process(self.shared.serial(), &options);
        let process = Process::new(self.clone(), Arc::clone(&state)).ending_with_its_handle();
        let (reply, attached) = oneshot::channel();
        let start = Start::Hand(Box::new(process), reply);
        self.tell_spawn(Spawn { state, begin: options.begin, start }).await?;
        attached.await.map_err(|_| NodeError::Stopped)?
    }

    pub(crate) fn new_process(&self, serial: Serial, options: &SpawnOptions) -> Arc<ProcessState> {
        self.shared.new_process(self.id, serial, options.mailbox)
    }

    pub(crate) async fn tell_spawn(&self, spawn: Spawn) -> Result<(), NodeError> {
        Ok(self.shared.doings.room(0).await.tell(Doing::Spawn(Box::new(spawn)))?)
    }

    /// Whom a name stands for on this node (`whereis/1`); [`Node::whereis_on`] asks another.
    #[must_use]
    pub fn whereis(&self, name: &str) -> Option<ProcessId> {
        self.shared.mailboxes.whereis(name).map(|serial| self.process_id(serial))
    }

    /// All names that stand for processes of this node, ascending (`registered/0`).
    #[must_use]
    pub fn registered(&self) -> Vec<(ProcessName, ProcessId)> {
        let named = self.shared.mailboxes.registered().into_iter();
        let known = named.filter_map(|(name, serial)| {
            Some((ProcessName::new(&name).ok()?, self.process_id(serial)))
        });
        known.collect()
    }

    /// All processes that live on this node (`processes/0`).
    #[must_use]
    pub fn processes(&self) -> Vec<ProcessId> {
        let all = self.shared.mailboxes.processes().into_iter();
        all.map(|serial| self.process_id(serial)).collect()
    }

    pub(crate) fn process_id(&self, serial: Serial) -> ProcessId {
        ProcessId { node: self.id, birth: self.shared.mailboxes.birth(), serial }
    }

    /// How many calls of this node wait for answers, and how many requests to be answered here.
    ///
    /// # Errors
    /// [`NodeError::Stopped`].
    pub async fn calls_under_way(&self) -> Result<(usize, usize), NodeError> {
        let (reply, answer) = oneshot::channel();
        self.ask(LoopRequest::Calls(reply)).await?;
        answer.await.map_err(|_| NodeError::Stopped)
    }

    /// Lets a name stand for a process of this node (`register/2`), until it ends.
    ///
    /// # Errors
    /// `NameTaken`, [`NodeError::Registered`] where a mailbox has it, `NoSuchProcess`.
    pub async fn register_process(
        &self,
        name: ProcessName,
        process: ProcessId,
    ) -> Result<(), NodeError> {
        let serial = process.serial;
        if process != self.process_id(serial) {
            return Err(crate::CommandError::NoSuchProcess(serial).into());
        }
        self.shared.doings.ask(|reply| Doing::Register(serial, name, reply)).await?
    }

    /// Lets a name of a process stand for nobody (`unregister/1`).
    ///
    /// # Errors
    /// [`CommandError::NameUnknown`](crate::CommandError::NameUnknown).
    pub async fn unregister(&self, name: ProcessName) -> Result<(), NodeError> {
        self.shared.doings.ask(|reply| Doing::Unregister(name, reply)).await?
    }

    /// Sends a process an exit signal (`exit/2`). Nobody there is no error.
    ///
    /// # Errors
    /// [`NodeError::Stopped`].
    pub async fn exit(
        &self,
        target: impl Into<Target>,
        reason: ExitReason,
    ) -> Result<(), NodeError> {
        let target = target.into();
        self.signal_room(target.node()).await;
        let act = ProcessAct::Exit { target, reason };
        Ok(self.shared.doings.act(Serial::NODE, act).await?)
    }

    /// Answers a request that somebody else was asked (`gen:reply/2`). The first answer counts; one
    /// that comes late is dropped there.
    ///
    /// # Errors
    /// [`RequestError::Stopped`] once the node has.
    pub async fn reply(
        &self,
        reply_to: ReplyTo,
        result: Result<Bytes, Failure>,
    ) -> Result<(), RequestError> {
        self.shared.doings.reply(reply_to, result).await
    }
}

/// A number that is expected, unless whoever asked gives up before it was told.
#[derive(Debug)]
pub(crate) struct Placed<'a> {
    state: &'a ProcessState,
    number: Option<u64>,
}

impl<'a> Placed<'a> {
    pub(crate) fn new(state: &'a ProcessState, number: u64) -> Result<Self, Gone> {
        state.expect(number)?;
        Ok(Self { state, number: Some(number) })
    }

    /// The number of a monitor that a process which is spawned with `options` is to have on this
    /// one's behalf.
    pub(crate) fn monitor(
        state: &'a ProcessState,
        options: &mut SpawnOptions,
    ) -> Result<(Self, u64), NodeError> {
        let number = state.number();
        let expected = Self::new(state, number)?;
        options.begin.monitor = Some(MonitorId { owner: state.id.serial, number });
        Ok((expected, number))
    }

    pub(crate) fn keep(mut self) {
        self.number = None;
    }
}

impl Drop for Placed<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.state.forget(number);
        }
    }
}
