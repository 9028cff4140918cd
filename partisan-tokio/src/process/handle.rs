//! The process itself, as its code sees it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use partisan_proto::call::Server;
use partisan_proto::process::{Alias, Lane, MonitorOptions, NodeFilter, TimerId};
use partisan_proto::{
    Answer, Command, ExitReason, NodeId, ProcessAct, ProcessId, ProcessName, Target,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::doings::{Doing, Doings};
use super::spawn::{IntoExitReason, Life, SpawnOptions};
use super::state::ProcessState;
use super::{Input, Placed};
use crate::calls::{CallOptions, RequestError, RequestHandle, as_bytes};
use crate::error::{NodeError, SendError};
use crate::mailbox::{Entry, Load, Taken};
use crate::node::Node;
use crate::sending::SendOptions;

/// A process: an identity on its node, and a mailbox.
///
/// Its code receives what others send it, and does what Erlang's processes do: it watches and links
/// to others, asks and answers, sets timers. What it does takes effect in the order in which it does
/// it, and before whatever follows from a message that it sends afterwards. Those that only tell
/// something (`monitor`, `link`, `exit`...) wait for nothing but room to tell it.
///
/// A process holds a handle of its node, and so keeps it running. A future that blocks its thread
/// holds up others: await `tokio::task::spawn_blocking` for such work. See [`process`](crate::process)
/// for the whole.
#[derive(Debug)]
pub struct Process {
    node: Node,
    state: Arc<ProcessState>,
    /// Taken from the mailbox in one go and not received yet.
    taken: VecDeque<Entry>,
    /// What was passed over by [`Process::receive_match`], older than all that is taken.
    passed: VecDeque<Input>,
    /// Of one that is no task: it ends with this.
    life: Option<Life>,
}

impl Process {
    pub(crate) const fn new(node: Node, state: Arc<ProcessState>) -> Self {
        Self { node, state, taken: VecDeque::new(), passed: VecDeque::new(), life: None }
    }

    /// Ends when it is dropped.
    pub(crate) fn ending_with_its_handle(mut self) -> Self {
        let doings = self.doings().clone();
        self.life = Some(Life::new(doings, self.state.id.serial, ExitReason::Normal));
        self
    }

    pub(crate) fn doings(&self) -> &Doings {
        &self.node.shared.doings
    }

    pub(crate) const fn state(&self) -> &Arc<ProcessState> {
        &self.state
    }

    /// Its identifier (`self/0`).
    #[must_use]
    pub fn id(&self) -> ProcessId {
        self.state.id
    }

    /// Its node.
    #[must_use]
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// The next input; `None` once this process has been ended from outside, or its node has
    /// stopped. Giving up waiting loses nothing.
    pub async fn receive(&mut self) -> Option<Input> {
        if let Some(input) = self.passed.pop_front() {
            return Some(input);
        }
        loop {
            if let Some(entry) = self.taken.pop_front() {
                return Some(input_of(entry));
            }
            if !self.refill().await {
                return None;
            }
        }
    }

    /// The next input, if one waits.
    pub fn try_receive(&mut self) -> Option<Input> {
        if let Some(input) = self.passed.pop_front() {
            return Some(input);
        }
        if self.taken.is_empty() {
            self.state.mailbox.take(&mut self.taken, Load::default());
        }
        self.taken.pop_front().map(input_of)
    }

    /// The next input that `wanted` accepts; what comes before it waits for its turn (selective
    /// receive). What is passed over counts as waiting: a mailbox full of it takes no more messages,
    /// but still every signal.
    pub async fn receive_match(&mut self, mut wanted: impl FnMut(&Input) -> bool) -> Option<Input> {
        if let Some(place) = self.passed.iter().position(&mut wanted) {
            return self.passed.remove(place);
        }
        loop {
            while let Some(entry) = self.taken.pop_front() {
                let input = input_of(entry);
                if wanted(&input) {
                    return Some(input);
                }
                self.passed.push_back(input);
            }
            if !self.refill().await {
                return None;
            }
        }
    }

    /// Waits for anything more, and takes it; `false` when nothing will come.
    async fn refill(&mut self) -> bool {
        loop {
            let mut held = Load::default();
            for payload in self.passed.iter().filter_map(Input::payload) {
                held.add(payload.len());
            }
            match self.state.mailbox.take(&mut self.taken, held) {
                Taken::Some => {
                    // Whoever always finds something must let others have their turn as well.
                    tokio::task::coop::consume_budget().await;
                    return true;
                }
                Taken::Nothing => self.state.mailbox.readable().await,
                Taken::Closed => return false,
            }
        }
    }

    /// What is told of this number is received no more; whether it was still to come.
    pub(crate) fn flush(&mut self, flushed: u64) -> bool {
        let was = self.state.forget(flushed);
        let about = |input: &Input| match input {
            Input::Signal(signal) => signal.number() == Some(flushed),
            _ => false,
        };
        self.passed.retain(|input| !about(input));
        self.taken.retain(|entry| match entry {
            Entry::Message(_) => true,
            Entry::Other(input) => !about(input),
        });
        was
    }

    /// Does something, once there is room for it on the way to the node that it is about.
    async fn act_towards(&self, node: NodeId, act: ProcessAct) {
        self.node.signal_room(node).await;
        self.act(act).await;
    }

    pub(crate) async fn act(&self, act: ProcessAct) {
        // A process whose node has stopped is told so by `receive`.
        let _ = self.doings().act(self.state.id.serial, act).await;
    }

    /// Does something that is told about in the mailbox, by the number that it gets.
    async fn numbered(&self, payload: usize, act: impl FnOnce(u64) -> ProcessAct) -> u64 {
        let room = self.doings().room(payload).await;
        let number = self.state.number();
        if self.state.expect(number).is_ok() {
            let _ = room.tell(Doing::Act(self.state.id.serial, Box::new(act(number))));
        }
        number
    }

    /// Sends a message, best effort, as [`Node::send`] does.
    ///
    /// # Errors
    /// As [`Node::send`]. To a process that has ended is no error.
    pub async fn send<T: Serialize + ?Sized + Sync>(
        &self,
        target: impl Into<Target>,
        message: &T,
    ) -> Result<(), SendError> {
        self.node.send_to(target, message, &SendOptions::default()).await
    }

    /// As [`Process::send`], with options: a channel, a key, relaying.
    ///
    /// # Errors
    /// As [`Node::send`].
    pub async fn send_on<T: Serialize + ?Sized + Sync>(
        &self,
        target: impl Into<Target>,
        message: &T,
        options: &SendOptions,
    ) -> Result<(), SendError> {
        self.node.send_to(target, message, options).await
    }

    /// Watches a process (`monitor/2`): [`Signal::Down`](crate::Signal::Down) comes exactly once, with the number
    /// returned here.
    pub async fn monitor(&self, target: impl Into<Target>) -> u64 {
        self.monitor_on(target, Lane::default()).await
    }

    /// As [`Process::monitor`], with the news in its place among the messages of a lane.
    pub async fn monitor_on(&self, target: impl Into<Target>, lane: Lane) -> u64 {
        self.monitor_with(target, MonitorOptions { lane, ..MonitorOptions::default() }).await.number
    }

    /// As [`Process::monitor`], with options (`monitor/3`). The alias stands for this process where
    /// the options say so, and has the number of the monitor in any case.
    pub async fn monitor_with(&self, target: impl Into<Target>, options: MonitorOptions) -> Alias {
        let (target, MonitorOptions { lane, tag, alias }) = (target.into(), options);
        self.node.signal_room(target.node()).await;
        let watch = |number| ProcessAct::Monitor { number, target, lane, tag, alias };
        let number = self.numbered(0, watch).await;
        if alias.is_some() {
            self.act_is_done().await;
        }
        Alias { process: self.id(), number }
    }

    /// Another name for this process, until it is taken back (`alias/0`). With one name more than
    /// `processes.max_names` this process ends for [`ExitReason::SystemLimit`].
    pub async fn alias(&self) -> Alias {
        let number = self.state.number();
        self.act(ProcessAct::Alias { number }).await;
        self.act_is_done().await;
        Alias { process: self.id(), number }
    }

    /// Takes an alias back: once this returns, what arrives for it is dropped and counted
    /// (`unalias/1`). One that is not this process's, or was taken back, is no error.
    pub async fn unalias(&self, alias: Alias) {
        if alias.process == self.id() {
            self.act(ProcessAct::Unalias { number: alias.number }).await;
            self.act_is_done().await;
        }
    }

    /// Waits until all that this process did has taken effect on its node.
    pub(crate) async fn act_is_done(&self) {
        // A process whose node has stopped is told so by `receive`.
        let _ = self.doings().ask(Doing::Barrier).await;
    }

    /// Stops watching a process or a node: nothing about that monitor is received after this
    /// (`demonitor/2` with `flush` and `info`). Whether it had not fired yet.
    pub fn demonitor(&mut self, number: u64) -> bool {
        let was = self.flush(number);
        if was {
            self.doings().end(self.state.id.serial, ProcessAct::Demonitor { number });
        }
        was
    }

    /// Watches a node (`monitor_node/2`): [`Signal::NodeLost`](crate::Signal::NodeLost) comes exactly once, at once if it is
    /// not connected.
    pub async fn monitor_node(&self, node: NodeId) -> u64 {
        self.numbered(0, |number| ProcessAct::MonitorNode { number, node }).await
    }

    /// Is told of all nodes that come and go (`monitor_nodes/2`): [`Signal::NodeUp`](crate::Signal::NodeUp) before any
    /// message of that session, [`Signal::NodeDown`](crate::Signal::NodeDown) after the last.
    pub async fn monitor_nodes(&self, filter: NodeFilter) {
        self.act(ProcessAct::MonitorNodes(filter)).await;
    }

    /// Ends such a subscription.
    pub async fn demonitor_nodes(&self, filter: NodeFilter) {
        self.act(ProcessAct::DemonitorNodes(filter)).await;
    }

    /// Waits for the members to be others than those of a version, or to be told who they are:
    /// [`Signal::Members`](crate::Signal::Members) comes once, with the number returned here.
    pub async fn await_members(&self, known: Option<u64>) -> u64 {
        self.numbered(0, |number| ProcessAct::AwaitMembers { number, known }).await
    }

    /// Links itself to another process (`link/1`): the end of either ends the other, unless it is
    /// [`ExitReason::Normal`] or trapped.
    pub async fn link(&self, other: ProcessId) {
        self.act_towards(other.node, ProcessAct::Link(other)).await;
    }

    /// Ends a link (`unlink/1`): once this returns, that link has no effect any more. An exit that
    /// was trapped before may still be in the mailbox.
    pub async fn unlink(&self, other: ProcessId) {
        self.act_towards(other.node, ProcessAct::Unlink(other)).await;
        self.act_is_done().await;
    }

    /// Sends an exit signal (`exit/2`).
    pub async fn exit(&self, target: impl Into<Target>, reason: ExitReason) {
        let target = target.into();
        self.act_towards(target.node(), ProcessAct::Exit { target, reason }).await;
    }

    /// Turns exit signals into [`Signal::Exit`](crate::Signal::Exit), or back (`process_flag(trap_exit, _)`).
    pub async fn trap_exit(&self, on: bool) {
        self.act(ProcessAct::TrapExit(on)).await;
    }

    /// Registers itself under a name (`register/2`), which is one of the names of
    /// [`Node::register`], until it ends.
    ///
    /// # Errors
    /// [`CommandError::NameTaken`](crate::CommandError::NameTaken), [`NodeError::Registered`] where
    /// a mailbox has it.
    pub async fn register(&self, name: ProcessName) -> Result<(), NodeError> {
        let serial = self.state.id.serial;
        self.doings().ask(|reply| Doing::Register(serial, name, reply)).await?
    }

    /// Has a message sent later (`send_after/3`); to itself it comes as
    /// [`Signal::Timer`](crate::Signal::Timer), with the number returned here.
    ///
    /// # Errors
    /// [`SendError::Encode`]; [`SendError::TooFar`] for a time that the clock does not reach.
    pub async fn send_after<T: Serialize + ?Sized>(
        &self,
        after: Duration,
        target: impl Into<Target>,
        message: &T,
    ) -> Result<u64, SendError> {
        let at = Instant::now().checked_add(after).ok_or(SendError::TooFar)?;
        self.send_at(at, target, message).await
    }

    /// As [`Process::send_after`], at a time instead of after a span (`send_after/4` with `abs`); one
    /// that is over already is now.
    ///
    /// # Errors
    /// As [`Process::send_after`].
    pub async fn send_at<T: Serialize + ?Sized>(
        &self,
        at: impl Into<Instant>,
        target: impl Into<Target>,
        message: &T,
    ) -> Result<u64, SendError> {
        let (target, payload) = (target.into(), postcard::to_allocvec(message));
        let payload = Bytes::from(payload.map_err(SendError::Encode)?);
        let at = self.node.shared.clock_at(at.into()).ok_or(SendError::TooFar)?;
        let later = |number| ProcessAct::SendAt { number, at, target, payload };
        Ok(self.numbered(0, later).await)
    }

    /// Cancels a message that was to be sent later (`cancel_timer/1`): how long it had to go, `None`
    /// if it was sent. One to itself is not received after this.
    pub async fn cancel_timer(&mut self, number: u64) -> Option<Duration> {
        self.flush(number);
        self.time_left(Command::CancelTimer(self.timer(number))).await
    }

    /// How long a message has to go that is to be sent later (`read_timer/1`).
    pub async fn read_timer(&self, number: u64) -> Option<Duration> {
        self.time_left(Command::ReadTimer(self.timer(number))).await
    }

    fn timer(&self, number: u64) -> TimerId {
        TimerId { owner: self.state.id.serial, number }
    }

    async fn time_left(&self, command: Command) -> Option<Duration> {
        match self.doings().ask(|reply| Doing::Command(command, reply)).await {
            Ok(Ok(Answer::TimeLeft(left))) => left,
            _ => None,
        }
    }

    /// Asks and waits for the answer (`gen_server:call/3`), as [`Node::call`] does. A process that
    /// asks itself is told so. Giving up waiting abandons the call.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn call<T: Serialize + ?Sized, R: DeserializeOwned>(
        &self,
        server: impl Into<Server>,
        request: &T,
        options: impl Into<CallOptions>,
    ) -> Result<R, RequestError> {
        self.send_request(server, request, options).await?.answer().await
    }

    /// As [`Process::call`], with bytes as they are.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn call_bytes(
        &self,
        server: impl Into<Server>,
        request: Bytes,
        options: impl Into<CallOptions>,
    ) -> Result<Bytes, RequestError> {
        self.send_request_bytes(server, request, options).await?.answer().await
    }

    /// Asks, for an answer to be waited for later (`gen_server:send_request/2`).
    ///
    /// # Errors
    /// [`RequestError`], where it could not even be asked.
    pub async fn send_request<T: Serialize + ?Sized, R: DeserializeOwned>(
        &self,
        server: impl Into<Server>,
        request: &T,
        options: impl Into<CallOptions>,
    ) -> Result<RequestHandle<R>, RequestError> {
        RequestHandle::ask_typed((&self.node, &self.state), server, request, options).await
    }

    /// As [`Process::send_request`], with bytes as they are.
    ///
    /// # Errors
    /// [`RequestError`], where it could not even be asked.
    pub async fn send_request_bytes(
        &self,
        server: impl Into<Server>,
        request: Bytes,
        options: impl Into<CallOptions>,
    ) -> Result<RequestHandle<Bytes>, RequestError> {
        let from = (&self.node, &self.state);
        RequestHandle::ask(from, server.into(), request, options.into(), as_bytes).await
    }

    /// Spawns a process that is linked to this one from the first moment (`spawn_link/1`).
    ///
    /// # Errors
    /// As [`Node::spawn`].
    pub async fn spawn_link<F, Fut>(&self, run: F) -> Result<ProcessId, NodeError>
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output: IntoExitReason> + Send + 'static,
    {
        self.node.spawn_with(SpawnOptions::default().linked_to(self), run).await
    }

    /// Spawns a process that this one watches from the first moment (`spawn_monitor/1`): its
    /// identifier, and the number of the monitor.
    ///
    /// # Errors
    /// As [`Node::spawn`].
    pub async fn spawn_monitor<F, Fut>(
        &self,
        mut options: SpawnOptions,
        run: F,
    ) -> Result<(ProcessId, u64), NodeError>
    where
        F: FnOnce(Self) -> Fut + Send + 'static,
        Fut: Future<Output: IntoExitReason> + Send + 'static,
    {
        let (expected, number) = Placed::monitor(&self.state, &mut options)?;
        let spawned = self.node.spawn_with(options, run).await?;
        expected.keep();
        Ok((spawned, number))
    }
}

fn input_of(entry: Entry) -> Input {
    match entry {
        Entry::Message(message) => Input::Message(message),
        Entry::Other(input) => *input,
    }
}
