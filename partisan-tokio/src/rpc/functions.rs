//! What a node offers to others by name: functions to run, and processes to spawn.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use partisan_proto::call::Failure;
use partisan_proto::process::{MAX_REASON, ReasonBytes, ReplyTo};
use partisan_proto::{ExitReason, ProcessName};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use crate::error::NodeError;
use crate::process::{Doings, IntoExitReason, Process, caught, reason_of};
use crate::sync::lock;

/// A function on its way to its answer.
pub(crate) type Running = Pin<Box<dyn Future<Output = Result<Bytes, Failure>> + Send>>;
type Function = Arc<dyn Fn(Bytes) -> Running + Send + Sync>;

/// The code of a process that others may spawn.
pub(crate) type Code =
    Box<dyn FnOnce(Process) -> Pin<Box<dyn Future<Output = ExitReason> + Send>> + Send>;
type Factory = Arc<dyn Fn(&[u8]) -> Result<Code, postcard::Error> + Send + Sync>;

/// What a node offers to others by name.
pub(crate) struct Functions {
    functions: Mutex<HashMap<ProcessName, Function>>,
    factories: Mutex<HashMap<ProcessName, Factory>>,
    /// One permit a function that may run; closed once nothing is offered any more.
    places: Arc<Semaphore>,
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Functions").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Functions {
    pub(crate) fn new(places: usize) -> Self {
        Self {
            functions: Mutex::default(),
            factories: Mutex::default(),
            places: Arc::new(Semaphore::new(places)),
        }
    }

    pub(crate) fn add(&self, name: &str, function: Function) -> Result<(), NodeError> {
        self.offer(&self.functions, name, function)
    }

    pub(crate) fn add_factory(&self, name: &str, factory: Factory) -> Result<(), NodeError> {
        self.offer(&self.factories, name, factory)
    }

    pub(crate) fn remove(&self, name: &str) -> bool {
        remove(&self.functions, name)
    }

    pub(crate) fn remove_factory(&self, name: &str) -> bool {
        remove(&self.factories, name)
    }

    /// The code of a process, if it is offered and the argument is one of it.
    pub(crate) fn code(&self, name: &ProcessName, argument: &[u8]) -> Result<Code, Failure> {
        let factory = lock(&self.factories).get(name).cloned();
        factory.ok_or(Failure::NoFunction)?(argument).map_err(|_| Failure::NotUnderstood)
    }

    /// Runs a function and answers, if there is one and a place for it.
    pub(crate) fn run(
        &self,
        name: &ProcessName,
        payload: Bytes,
        reply_to: ReplyTo,
        doings: Doings,
    ) -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
        let function = lock(&self.functions).get(name).cloned().ok_or(Failure::NoFunction)?;
        let place =
            Arc::clone(&self.places).try_acquire_owned().map_err(|_| Failure::Overloaded)?;
        let name = name.clone();
        Ok(async move {
            let result = caught(async move { function(payload).await }).await;
            let result = result.unwrap_or_else(|text| {
                tracing::error!(function = %name, panic = text, "a function panicked");
                Err(Failure::Exited(ExitReason::panicked(&text)))
            });
            // Without a node there is nobody to answer.
            let _ = doings.reply(reply_to, result).await;
            drop(place);
        })
    }

    /// Forgets everything, and what it holds.
    pub(crate) fn close(&self) {
        self.places.close();
        let functions = std::mem::take(&mut *lock(&self.functions));
        let factories = std::mem::take(&mut *lock(&self.factories));
        // The code of the application is dropped without a lock held.
        drop((functions, factories));
    }

    fn offer<T>(
        &self,
        to: &Mutex<HashMap<ProcessName, T>>,
        name: &str,
        entry: T,
    ) -> Result<(), NodeError> {
        let key = ProcessName::new(name).map_err(NodeError::BadName)?;
        if key.is_reserved() {
            return Err(NodeError::ReservedName(name.to_owned()));
        }
        let mut entries = lock(to);
        if self.places.is_closed() {
            return Err(NodeError::Stopped);
        }
        if entries.contains_key(&key) {
            return Err(NodeError::Registered(name.to_owned()));
        }
        entries.insert(key, entry);
        Ok(())
    }
}

fn remove<T>(from: &Mutex<HashMap<ProcessName, T>>, name: &str) -> bool {
    let removed = ProcessName::new(name).ok().and_then(|key| lock(from).remove(&key));
    removed.is_some()
}

/// A function of types: reads its argument, writes its result.
pub(crate) fn typed<T, R, E, F, Fut>(run: F) -> Function
where
    T: DeserializeOwned,
    R: Serialize,
    E: Serialize,
    F: Fn(T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, E>> + Send + 'static,
{
    Arc::new(move |payload| match partisan_proto::wire::read_whole(&payload) {
        Err(_) => Box::pin(std::future::ready(Err(Failure::NotUnderstood))),
        Ok(argument) => {
            let running = run(argument);
            Box::pin(async move {
                match running.await {
                    Ok(result) => postcard::to_allocvec(&result).map(Bytes::from).map_err(unsaid),
                    Err(error) => Err(thrown(&error)),
                }
            })
        }
    })
}

/// A factory of processes: reads their argument.
pub(crate) fn spawnable<T, F, Fut>(run: F) -> Factory
where
    T: DeserializeOwned + Send + 'static,
    F: Fn(Process, T) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output: IntoExitReason> + Send + 'static,
{
    Arc::new(move |argument| {
        let argument: T = partisan_proto::wire::read_whole(argument)?;
        let run = run.clone();
        Ok(Box::new(move |process| {
            Box::pin(async move { run(process, argument).await.into_exit_reason() })
        }))
    })
}

fn thrown(error: &impl Serialize) -> Failure {
    let bytes = postcard::to_allocvec(error);
    let reason = bytes.ok().and_then(|bytes| ReasonBytes::new(&bytes));
    let too_long = || format!("it refused, with an error of more than {MAX_REASON} bytes");
    reason.map_or_else(|| Failure::Exited(reason_of(&too_long())), Failure::Thrown)
}

fn unsaid(error: postcard::Error) -> Failure {
    Failure::Exited(reason_of(&format!("the result does not serialise: {error}")))
}
