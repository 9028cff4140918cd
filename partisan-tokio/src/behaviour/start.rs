//! How servers are started.

use std::sync::Arc;
use std::time::Duration;

use partisan_proto::behaviour::{
    Behaviour, Engine, GenServer, Protocol, ServerProcess, ServerRef, Started, SystemRequest,
};
use partisan_proto::process::Lane;
use partisan_proto::{
    ChannelId, CommandError, ExitReason, ProcessAct, ProcessId, ProcessName, Serial,
};

use super::{ServerHandle, ServerStartError};
use crate::calls::{CallOptions, RequestError, RequestHandle, decoded};
use crate::error::NodeError;
use crate::node::Node;
use crate::process::{Placed, Process, ProcessState, SpawnOptions};

/// How a server begins: by default without a name, unlinked, with as long for its `init` as that
/// takes, and asked and told on the default channel.
#[derive(Clone, Debug, Default)]
pub struct StartOptions {
    spawn: SpawnOptions,
    timeout: Option<Duration>,
    lane: Lane,
}

impl StartOptions {
    /// Registered under this name.
    #[must_use]
    pub fn name(mut self, name: ProcessName) -> Self {
        self.spawn = self.spawn.name(name);
        self
    }

    /// With exit signals trapped: then `terminate` runs when its parent or its node ends.
    #[must_use]
    pub fn trap_exit(mut self) -> Self {
        self.spawn = self.spawn.trap_exit();
        self
    }

    /// With a mailbox of this size: see [`SpawnOptions::mailbox`].
    #[must_use]
    pub fn mailbox(mut self, messages: usize, bytes: usize) -> Self {
        self.spawn = self.spawn.mailbox(messages, bytes);
        self
    }

    /// Killed when its `init` takes longer than this.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Asked and told on this channel, by the handle that the start returns and by its copies.
    #[must_use]
    pub const fn channel(mut self, channel: ChannelId) -> Self {
        self.lane.channel = channel;
        self
    }
}

impl Node {
    /// Starts a server and waits until its `init` has run (`gen_server:start/3`).
    ///
    /// # Errors
    /// [`ServerStartError`].
    pub async fn start_server<S: GenServer>(
        &self,
        server: S,
    ) -> Result<ServerHandle<S>, ServerStartError> {
        self.start_behaviour(StartOptions::default(), ServerProcess::new(server)).await
    }

    /// Starts any behaviour, such as a [`ServerProcess`], with options, and waits until its `init`
    /// has run. When the node stops, it ends, if it traps exits after its `terminate`.
    ///
    /// # Errors
    /// [`ServerStartError`].
    pub async fn start_behaviour<E: Engine + 'static>(
        &self,
        options: StartOptions,
        behaviour: Behaviour<E>,
    ) -> Result<ServerHandle<E::Protocol>, ServerStartError> {
        start((self, &self.shared.own), options, behaviour).await
    }

    /// A handle of a server that runs somewhere, by its identifier or by its name on a node. Nothing
    /// checks that it speaks `P`.
    pub fn server<P: Protocol>(&self, server: impl Into<ServerRef<P>>) -> ServerHandle<P> {
        ServerHandle::new(self.clone(), server.into())
    }
}

impl Process {
    /// Starts a behaviour that is linked to this process, its parent (`gen_server:start_link/3`):
    /// where it traps exits, it ends with it after its `terminate`.
    ///
    /// # Errors
    /// [`ServerStartError`]; the link tells of the end, too.
    pub async fn start_link<E: Engine + 'static>(
        &self,
        mut options: StartOptions,
        behaviour: Behaviour<E>,
    ) -> Result<ServerHandle<E::Protocol>, ServerStartError> {
        options.spawn = options.spawn.linked_to(self);
        start((self.node(), self.state()), options, behaviour).await
    }

    /// Starts a behaviour that this process watches from the first moment, by a monitor of the
    /// number returned (`gen_server:start_monitor/3`).
    ///
    /// # Errors
    /// [`ServerStartError`]; then nothing is told of the monitor.
    pub async fn start_monitor<E: Engine + 'static>(
        &self,
        mut options: StartOptions,
        behaviour: Behaviour<E>,
    ) -> Result<(ServerHandle<E::Protocol>, u64), ServerStartError> {
        let (expected, number) = Placed::monitor(self.state(), &mut options.spawn)?;
        let server = start((self.node(), self.state()), options, behaviour).await?;
        expected.keep();
        Ok((server, number))
    }
}

/// Kills what nobody waits for any more.
#[derive(Debug)]
struct Unfinished<'a> {
    node: &'a Node,
    process: Option<ProcessId>,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(process) = self.process {
            let act = ProcessAct::Exit { target: process.into(), reason: ExitReason::Kill };
            self.node.shared.doings.end(Serial::NODE, act);
        }
    }
}

async fn start<E: Engine + 'static>(
    (node, asker): (&Node, &Arc<ProcessState>),
    StartOptions { spawn, timeout, lane }: StartOptions,
    behaviour: Behaviour<E>,
) -> Result<ServerHandle<E::Protocol>, ServerStartError> {
    let spawned = node.spawn_actor_with(spawn, behaviour.awaiting_start()).await;
    let process = spawned.map_err(|error| refused(node, error))?;
    let mut unfinished = Unfinished { node, process: Some(process) };
    let request = SystemRequest::Start.write().map_err(RequestError::Encode)?;
    let options = CallOptions { timeout, lane: Lane::default() };
    let asked = RequestHandle::ask((node, asker), process.into(), request, options, decoded);
    let started = match asked.await {
        Ok(handle) => handle.answer().await,
        Err(error) => Err(error),
    };
    if started == Ok(Started::Running) {
        unfinished.process = None;
        return Ok(node.server(ServerRef::new(process).on(lane)));
    }
    drop(unfinished);
    // Its name is free once it has ended.
    node.monitor(process).await?.down().await;
    Err(started.map_or_else(Into::into, |_| ServerStartError::Ignored))
}

fn refused(node: &Node, error: NodeError) -> ServerStartError {
    match error {
        NodeError::Command(CommandError::NameTaken { holder, .. }) => {
            ServerStartError::AlreadyStarted(node.process_id(holder))
        }
        error => error.into(),
    }
}
