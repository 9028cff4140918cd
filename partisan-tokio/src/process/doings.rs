//! What processes, and those who call and watch them, tell the loop: all in one order.

use std::sync::Arc;

use bytes::Bytes;
use partisan_proto::call::Failure;
use partisan_proto::process::ReplyTo;
use partisan_proto::{Answer, Command, CommandError, ProcessAct, ProcessName, Serial};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::spawn::Spawn;
use crate::calls::RequestError;
use crate::error::NodeError;

/// What one doing counts besides its payload.
const DOING_BYTES: usize = 256;

/// Something that a process did or wants.
#[derive(Debug)]
pub(crate) enum Doing {
    Act(Serial, Box<ProcessAct>),
    /// A command that must keep its place among the acts.
    Command(Command, oneshot::Sender<Result<Answer, CommandError>>),
    Spawn(Box<Spawn>),
    Register(Serial, ProcessName, oneshot::Sender<Result<(), NodeError>>),
    Unregister(ProcessName, oneshot::Sender<Result<(), NodeError>>),
    /// To be answered when all before it is done.
    Barrier(oneshot::Sender<()>),
}

/// A doing, and the room that it takes until all that follows from it is done.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) doing: Doing,
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

/// Where to tell the loop.
///
/// The queue behind it has no bound of its own: what is told must have taken room before, of the
/// same room as the payloads that arrive. Without room go only those doings of which there are no
/// more than of what they end: the end of a process, of a call, of a monitor.
#[derive(Clone, Debug)]
pub(crate) struct Doings(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    told: mpsc::UnboundedSender<Told>,
    room: Arc<Semaphore>,
    most: usize,
}

impl Doings {
    pub(crate) fn new(
        told: mpsc::UnboundedSender<Told>,
        room: Arc<Semaphore>,
        most: usize,
    ) -> Self {
        Self(Arc::new(Inner { told, room, most }))
    }

    /// Waits for room for a doing with so many bytes of payload.
    pub(crate) async fn room(&self, payload: usize) -> Room<'_> {
        let bytes = payload.saturating_add(DOING_BYTES).min(self.0.most);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        // Nobody ever closes it.
        let permit = Arc::clone(&self.0.room).acquire_many_owned(bytes).await.ok();
        Room { doings: self, permit }
    }

    /// Tells what ends something, and so needs no room.
    pub(crate) fn end(&self, process: Serial, act: ProcessAct) {
        let doing = Doing::Act(process, Box::new(act));
        // Without a loop there is nothing left to end.
        let _ = self.0.told.send(Told { doing, room: None });
    }

    pub(crate) async fn act(&self, process: Serial, act: ProcessAct) -> Result<(), Stopped> {
        let payload = match &act {
            ProcessAct::Exit { reason, .. } => reason.payload_len(),
            _ => 0,
        };
        self.room(payload).await.tell(Doing::Act(process, Box::new(act)))
    }

    pub(crate) async fn reply(
        &self,
        reply_to: ReplyTo,
        result: Result<Bytes, Failure>,
    ) -> Result<(), RequestError> {
        let room = self.room(result.as_ref().map_or(0, Bytes::len)).await;
        let act = ProcessAct::Reply { reply_to, result };
        let told = room.tell(Doing::Act(Serial::NODE, Box::new(act)));
        told.map_err(|Stopped| RequestError::Stopped)
    }

    /// Tells something that is answered.
    pub(crate) async fn ask<T>(
        &self,
        doing: impl FnOnce(oneshot::Sender<T>) -> Doing,
    ) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.room(0).await.tell(doing(reply))?;
        answer.await.map_err(|_| Stopped)
    }
}

/// The node has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stopped;

impl From<Stopped> for NodeError {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopped
    }
}

/// Room for one doing. Once there is some, telling does not wait, and so cannot be given up half
/// way.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    doings: &'a Doings,
    permit: Option<OwnedSemaphorePermit>,
}

impl Room<'_> {
    pub(crate) fn tell(self, doing: Doing) -> Result<(), Stopped> {
        let told = Told { doing, room: self.permit };
        self.doings.0.told.send(told).map_err(|_| Stopped)
    }
}
