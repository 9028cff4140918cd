//! Children on other nodes: where they are started, and what follows when they cannot be reached.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::Bytes;

use super::change::Awaited;
use super::children::Key;
use super::{Answer, Ask, ChildError, Supervisor, SupervisorEngine};
use crate::behaviour::{ServerRef, envelope};
use crate::call::{CallError, Server};
use crate::process::{ActorContext, ProcessId};
use crate::time::Duration;

/// How long a host may take to say that it does not run a child any more; nobody waits for that.
const RELEASE: Duration = Duration::from_secs(5);

/// Where a child is started on another node, and how: code does not travel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(Start);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Start {
    /// By a supervisor, which hosts it.
    Host { host: ServerRef<Supervisor>, id: String, args: Vec<u8> },
    /// By a function or a process, which answers with the identifier.
    Function { server: Server, payload: Bytes },
}

/// What follows when a remote child, or whoever starts it, cannot be reached any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lost {
    /// The same as after any end that is not in good order, counted as every restart.
    #[default]
    Restart,
    /// It is started again without being counted; while no place answers, that is tried again each
    /// time after so long. A supervisor begins without it.
    Retry(Duration),
}

impl Place {
    /// Under a supervisor of that node, a *host*: of what that knows by this name
    /// ([`Supervisor::dynamic`], or the one kind of a simple one), with these arguments.
    ///
    /// The host ends the child when it does not see its owner any more, be it for a lost connection,
    /// and never runs two for one child of one owner.
    pub fn host(
        host: impl Into<ServerRef<Supervisor>>,
        id: impl Into<String>,
        args: impl Into<Vec<u8>>,
    ) -> Self {
        Self(Start::Host { host: host.into(), id: id.into(), args: args.into() })
    }

    /// By a start function: a function of that node, or a process, that is asked this and answers
    /// with the [`ProcessId`] of what it has started, in the postcard format. What it started must
    /// end by itself when nobody gets the answer, or runs on alone.
    pub fn function(server: impl Into<Server>, payload: Bytes) -> Self {
        Self(Start::Function { server: server.into(), payload })
    }

    /// Asks for the child to be started; says which call that is.
    fn ask(
        &self,
        cx: &mut ActorContext<'_>,
        number: Key,
        within: Option<Duration>,
    ) -> Result<u64, postcard::Error> {
        match &self.0 {
            Start::Host { host, id, args } => {
                let ask = Ask::HostChild { number, id: id.clone(), args: args.clone() };
                Ok(host.call(cx, &ask, within)?.number())
            }
            Start::Function { server, payload } => {
                Ok(cx.call(server.clone(), payload.clone(), within))
            }
        }
    }

    /// The child may run there, and must not.
    pub(super) fn release(&self, cx: &mut ActorContext<'_>, number: Key) {
        if let Start::Host { host, .. } = &self.0 {
            // Nobody waits for the answer, and this always serialises.
            _ = host.call(cx, &Ask::ReleaseChild { number }, Some(RELEASE));
        }
    }

    /// What an answer says: the process, or that there was nothing to do.
    fn read(&self, payload: &[u8]) -> Result<Option<ProcessId>, ChildError> {
        let unclear = |error: postcard::Error| ChildError::NoPlace(error.to_string());
        match self.0 {
            Start::Function { .. } => envelope::read(payload).map(Some).map_err(unclear),
            Start::Host { .. } => match envelope::read(payload).map_err(unclear)? {
                Answer::Started(started) => started,
                other => Err(ChildError::NoPlace(alloc::format!("it answers {other:?}"))),
            },
        }
    }
}

impl SupervisorEngine {
    /// Asks the first of these places to start a child.
    pub(super) fn start_there(
        &mut self,
        cx: &mut ActorContext<'_>,
        key: Key,
        mut places: VecDeque<Place>,
        problem: ChildError,
    ) {
        let Some(place) = places.pop_front() else {
            return self.not_started(cx, key, problem);
        };
        let within = self.children.get(key).and_then(|child| child.spec.start_within);
        match place.ask(cx, key, within) {
            Ok(call) => self.await_now(Awaited::Place { key, call, place, left: places }),
            Err(error) => {
                self.start_there(cx, key, places, ChildError::NoPlace(error.to_string()));
            }
        }
    }

    /// A place has answered, or does not.
    pub(super) fn place_answered(
        &mut self,
        cx: &mut ActorContext<'_>,
        (key, place, left): (Key, Place, VecDeque<Place>),
        result: Result<Bytes, CallError>,
    ) {
        match result.map(|payload| place.read(&payload)) {
            Ok(Ok(process)) => {
                if let Some(process) = process {
                    cx.monitor(process);
                }
                self.started(cx, key, process);
            }
            Ok(Err(error)) => self.not_started(cx, key, error),
            Err(error) => {
                if matches!(error, CallError::Timeout | CallError::NoConnection) {
                    place.release(cx, key);
                }
                self.start_there(cx, key, left, ChildError::NoPlace(error.to_string()));
            }
        }
    }
}
