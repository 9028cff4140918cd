//! Functions that other nodes may call by name, and processes that they may spawn.
//!
//! After `partisan_rpc` and `partisan_erpc`, with the failure classes of Erlang's `erpc`.

mod built_in;
mod functions;

pub(crate) use built_in::{Held, SpawnRequest};
pub(crate) use functions::{Code, Functions};

use std::sync::Arc;

use bytes::Bytes;
use partisan_proto::behaviour::supervisor::Place;
use partisan_proto::call::{Failure, Server};
use partisan_proto::{ExitReason, NodeId, ProcessAct, ProcessId, ProcessName};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::built_in::{IS_ALIVE, PROCESS_INFO, PROCESSES, SPAWN, WHEREIS};
use self::functions::{spawnable, typed};
use crate::calls::{CallOptions, RequestError, RequestHandle};
use crate::error::NodeError;
use crate::node::Node;
use crate::process::{IntoExitReason, Process, ProcessInfo, SpawnOptions};
use crate::sending::Recipient;

/// Where a supervised child is what a node lets others spawn ([`Node::register_spawnable`]): see
/// [`ChildSpec::remote`](crate::behaviour::ChildSpec::remote).
///
/// If the answer to the spawn is lost, the process runs on without its supervisor. Where that must not
/// be, let it watch whoever is named in its argument, or use a
/// [host](crate::behaviour::supervisor::Place::host).
///
/// # Errors
/// [`RequestError::Encode`], or that the name is none.
pub fn spawn_place<T: Serialize + ?Sized>(
    node: NodeId,
    name: &str,
    argument: &T,
    options: SpawnOptions,
) -> Result<Place, RequestError> {
    let request = SpawnRequest::new(name, argument, options, false)?;
    let payload = postcard::to_allocvec(&request).map_err(RequestError::Encode)?;
    Ok(Place::function(function(node, SPAWN)?, payload.into()))
}

fn function(node: impl Into<Recipient>, name: &str) -> Result<Server, RequestError> {
    Ok(Server::Function(node.into().id(), ProcessName::new(name)?))
}

impl Node {
    /// Lets other nodes and this one call a function by name. Every request runs as a task of its
    /// own, so that a slow one holds up no other; at most
    /// [`DriverConfig::running_functions`](crate::DriverConfig::running_functions) at a time.
    ///
    /// The caller gets what it returns: `Ok`, or its `Err` as
    /// [`Failure::Thrown`], to be read by [`RequestError::thrown`]. A panic is
    /// [`Failure::Exited`] with [`ExitReason::Panicked`].
    ///
    /// A node that `run` captures is kept from stopping when its last handle is dropped, until it is
    /// shut down.
    ///
    /// # Errors
    /// [`NodeError::Registered`] while another has the name; `BadName`; `ReservedName` for one that
    /// begins with `partisan.`; `Stopped`.
    pub fn register_function<T, R, E, F, Fut>(&self, name: &str, run: F) -> Result<(), NodeError>
    where
        T: DeserializeOwned,
        R: Serialize,
        E: Serialize,
        F: Fn(T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
    {
        self.shared.functions.add(name, typed(run))
    }

    /// As [`Node::register_function`], from bytes to bytes.
    ///
    /// # Errors
    /// As [`Node::register_function`].
    pub fn register_function_bytes<F, Fut>(&self, name: &str, run: F) -> Result<(), NodeError>
    where
        F: Fn(Bytes) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Bytes, Failure>> + Send + 'static,
    {
        self.shared.functions.add(name, Arc::new(move |payload| Box::pin(run(payload))))
    }

    /// Ends that; what runs goes on. Whether there was such a function.
    pub fn unregister_function(&self, name: &str) -> bool {
        self.shared.functions.remove(name)
    }

    /// Calls a function of a node, and waits for its result (`rpc:call/5`).
    ///
    /// # Errors
    /// [`RequestError`], which keeps the class of the failure.
    pub async fn rpc<T: Serialize + ?Sized, R: DeserializeOwned>(
        &self,
        node: impl Into<Recipient>,
        name: &str,
        argument: &T,
        options: impl Into<CallOptions>,
    ) -> Result<R, RequestError> {
        self.call(function(node, name)?, argument, options).await
    }

    /// As [`Node::rpc`], with bytes as they are.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn rpc_bytes(
        &self,
        node: impl Into<Recipient>,
        name: &str,
        argument: Bytes,
        options: impl Into<CallOptions>,
    ) -> Result<Bytes, RequestError> {
        self.call_bytes(function(node, name)?, argument, options).await
    }

    /// Calls a function, for its result to be waited for later (`rpc:async_call/4`;
    /// [`RequestHandle::answer`] is `yield`, [`RequestHandle::wait`] is `nb_yield`).
    ///
    /// # Errors
    /// [`RequestError`], where it could not even be called.
    pub async fn rpc_async<T: Serialize + ?Sized, R: DeserializeOwned>(
        &self,
        node: impl Into<Recipient>,
        name: &str,
        argument: &T,
        options: impl Into<CallOptions>,
    ) -> Result<RequestHandle<R>, RequestError> {
        self.send_request(function(node, name)?, argument, options).await
    }

    /// Calls a function and does not care what becomes of it (`rpc:cast/4`). Its answer is waited
    /// for, within the timeout, by nobody.
    ///
    /// # Errors
    /// [`RequestError`], where it could not even be called.
    pub async fn rpc_cast<T: Serialize + ?Sized>(
        &self,
        node: impl Into<Recipient>,
        name: &str,
        argument: &T,
        options: impl Into<CallOptions>,
    ) -> Result<(), RequestError> {
        let payload = postcard::to_allocvec(argument).map_err(RequestError::Encode)?;
        let server = function(node, name)?;
        self.send_request_bytes(server, payload.into(), options).await?.forget();
        Ok(())
    }

    /// Calls a function on several nodes at once, all within one timeout (`rpc:multicall/5`): the
    /// outcomes in the order of `nodes`.
    pub async fn rpc_multicall<T: Serialize + ?Sized, R: DeserializeOwned>(
        &self,
        nodes: impl IntoIterator<Item = NodeId>,
        name: &str,
        argument: &T,
        options: impl Into<CallOptions>,
    ) -> Vec<(NodeId, Result<R, RequestError>)> {
        let name = match ProcessName::new(name) {
            Ok(name) => name,
            Err(error) => {
                return nodes.into_iter().map(|node| (node, Err(error.into()))).collect();
            }
        };
        let servers = nodes.into_iter().map(|node| Server::Function(node, name.clone()));
        self.ask_all(servers.collect(), argument, options.into()).await
    }

    /// Whom a name stands for on another node (`whereis/1` there).
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn whereis_on(
        &self,
        node: impl Into<Recipient>,
        name: &ProcessName,
        options: impl Into<CallOptions>,
    ) -> Result<Option<ProcessId>, RequestError> {
        self.rpc(node, WHEREIS, name, options).await
    }

    /// All processes that live on a node (`processes/0` there).
    ///
    /// # Errors
    /// [`RequestError`]; [`Failure::AnswerTooLarge`] where they are too many to be told.
    pub async fn processes_on(
        &self,
        node: impl Into<Recipient>,
        options: impl Into<CallOptions>,
    ) -> Result<Vec<ProcessId>, RequestError> {
        self.rpc(node, PROCESSES, &(), options).await
    }

    /// Whether a process lives, here or elsewhere (`is_process_alive/1`).
    ///
    /// # Errors
    /// [`RequestError`], where its node cannot be asked.
    pub async fn is_alive(&self, process: ProcessId) -> Result<bool, RequestError> {
        self.rpc(process.node, IS_ALIVE, &process, CallOptions::default()).await
    }

    /// What is known of a process, here or elsewhere (`process_info/1`); `None` if it does not live.
    ///
    /// # Errors
    /// [`RequestError`], where its node cannot be asked.
    pub async fn process_info(
        &self,
        process: ProcessId,
    ) -> Result<Option<ProcessInfo>, RequestError> {
        self.rpc(process.node, PROCESS_INFO, &process, CallOptions::default()).await
    }

    /// Lets other nodes spawn a process here by name, with an argument.
    ///
    /// # Errors
    /// As [`Node::register_function`].
    pub fn register_spawnable<T, F, Fut>(&self, name: &str, run: F) -> Result<(), NodeError>
    where
        T: DeserializeOwned + Send + 'static,
        F: Fn(Process, T) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output: IntoExitReason> + Send + 'static,
    {
        self.shared.functions.add_factory(name, spawnable(run))
    }

    /// Ends that; the processes live on. Whether there was such a name.
    pub fn unregister_spawnable(&self, name: &str) -> bool {
        self.shared.functions.remove_factory(name)
    }

    /// Spawns a process on a node, by the name that it has registered there (`spawn/4`). Of the
    /// options a link is for [`Process::spawn_link_on`].
    ///
    /// # Errors
    /// [`RequestError`]; [`Failure::NoFunction`] where nothing is registered under that name,
    /// [`Failure::Exited`] with the reason where the process could not begin.
    pub async fn spawn_on<T: Serialize + ?Sized>(
        &self,
        node: impl Into<Recipient>,
        name: &str,
        argument: &T,
        options: SpawnOptions,
    ) -> Result<ProcessId, RequestError> {
        let request = SpawnRequest::new(name, argument, options, false)?;
        self.rpc(node, SPAWN, &request, CallOptions::default()).await
    }
}

impl Process {
    /// Spawns a process on a node, linked to this one from the first moment (`spawn_link/4`).
    ///
    /// # Errors
    /// As [`Node::spawn_on`].
    pub async fn spawn_link_on<T: Serialize + ?Sized>(
        &self,
        node: impl Into<Recipient>,
        name: &str,
        argument: &T,
        options: SpawnOptions,
    ) -> Result<ProcessId, RequestError> {
        let spawned = self.hold(node, name, argument, options).await?;
        self.link(spawned).await;
        self.release(spawned).await;
        Ok(spawned)
    }

    /// Spawns a process on a node, watched by this one from the first moment (`spawn_monitor/4`):
    /// its identifier, and the number of the monitor.
    ///
    /// # Errors
    /// As [`Node::spawn_on`].
    pub async fn spawn_monitor_on<T: Serialize + ?Sized>(
        &self,
        node: impl Into<Recipient>,
        name: &str,
        argument: &T,
        options: SpawnOptions,
    ) -> Result<(ProcessId, u64), RequestError> {
        let spawned = self.hold(node, name, argument, options).await?;
        let number = self.monitor(spawned).await;
        self.release(spawned).await;
        Ok((spawned, number))
    }

    /// Spawns a process that does not begin yet: see [`Held`].
    async fn hold<T: Serialize + ?Sized>(
        &self,
        node: impl Into<Recipient>,
        name: &str,
        argument: &T,
        options: SpawnOptions,
    ) -> Result<ProcessId, RequestError> {
        let request = SpawnRequest::new(name, argument, options, true)?;
        self.call(function(node, SPAWN)?, &request, CallOptions::default()).await
    }

    async fn release(&self, held: ProcessId) {
        self.act(ProcessAct::Exit { target: held.into(), reason: ExitReason::Normal }).await;
    }
}
