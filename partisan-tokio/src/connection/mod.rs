//! One connection: what its task, the loop and the senders share.

mod batch;
mod compress;
mod queue;
mod reader;
mod serve;
mod writer;

pub(crate) use batch::Payload;
pub(crate) use queue::{Outgoing, Pressure, PutError};
pub(crate) use serve::{Surroundings, serve};

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use partisan_proto::{ChannelId, ConnectionId, NodeId};
use tokio::sync::{Notify, OwnedSemaphorePermit, watch};

use crate::driver_config::DriverConfig;
use crate::sync::lock;
use queue::Queue;

/// What the task of a connection should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Read and write.
    Running,
    /// Write what is queued, wait for the peer's end, then end.
    Flushing,
    /// End at once, or ended already.
    Dropping,
}

/// Whether messages of a connection may be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Not yet: the handshake is going on.
    Handshaking,
    /// Yes.
    Open,
    /// Never again.
    Closed,
}

/// For whom an established connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) peer: NodeId,
    pub(crate) channel: ChannelId,
}

/// What was agreed with the peer about a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// The longest frame that it takes, without the length.
    pub(crate) max_frame: u32,
    /// Whether what is sent to it is compressed.
    pub(crate) compressed: bool,
}

impl Lane {
    /// Whether it is for the protocol alone.
    pub(crate) fn is_anchor(self) -> bool {
        self.channel == ChannelId::MEMBERSHIP
    }
}

/// One connection, as its task, the loop and the senders share it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) queue: Queue,
    /// Held while messages are delivered, so that none is once [`Connection::end`] has returned: a
    /// lane that is dialled again is never overtaken by its old connection.
    gate: Mutex<Gate>,
    lane: OnceLock<(Lane, Terms)>,
    phase: watch::Sender<Phase>,
    /// How many frames of the handshake the core has handled.
    handled: AtomicU64,
    progress: Notify,
    /// The place among the unfinished accepted connections.
    pending: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Connection {
    pub(crate) fn new(
        id: ConnectionId,
        config: &DriverConfig,
        pending: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self {
            id,
            queue: Queue::new(
                config.lane_queue_bytes,
                config.control_queue_frames,
                config.signal_queue_bytes,
            ),
            gate: Mutex::new(Gate::Handshaking),
            lane: OnceLock::new(),
            phase: watch::Sender::new(Phase::Running),
            handled: AtomicU64::new(0),
            progress: Notify::new(),
            pending: Mutex::new(pending),
        }
    }

    /// The core has established it, and may send by it.
    pub(crate) fn assign(&self, lane: Lane, terms: Terms) {
        // Only the loop calls this, and says the same each time.
        let _ = self.lane.set((lane, terms));
    }

    /// What it brings may be delivered.
    pub(crate) fn open(&self) {
        let mut gate = lock(&self.gate);
        if *gate == Gate::Handshaking {
            *gate = Gate::Open;
        }
        drop(gate);
        lock(&self.pending).take();
        self.progress.notify_waiters();
    }

    /// For whom it is, once it is established.
    pub(crate) fn lane(&self) -> Option<Lane> {
        self.lane.get().map(|(lane, _)| *lane)
    }

    /// The longest frame that the peer takes, without the length.
    pub(crate) fn max_frame(&self) -> usize {
        self.lane.get().map_or(0, |(_, terms)| terms.max_frame as usize)
    }

    /// Waits until it ends.
    pub(crate) async fn ended(&self) {
        // It ends at the latest with what is waited on.
        _ = self.phase().wait_for(|phase| *phase != Phase::Running).await;
    }

    /// Runs `deliver` if messages may be delivered; nothing can close the gate meanwhile.
    pub(crate) fn while_open<T>(&self, deliver: impl FnOnce(Lane) -> T) -> Result<T, Gate> {
        let gate = lock(&self.gate);
        match (*gate, self.lane()) {
            (Gate::Open, Some(lane)) => Ok(deliver(lane)),
            (gate, _) => Err(gate),
        }
    }

    /// Ends it. No message of it is delivered after this has returned.
    pub(crate) fn end(&self, flush: bool) {
        *lock(&self.gate) = Gate::Closed;
        self.queue.close();
        let next = if flush { Phase::Flushing } else { Phase::Dropping };
        self.phase.send_if_modified(|phase| {
            let ends = *phase == Phase::Running;
            if ends {
                *phase = next;
            }
            ends
        });
        self.progress.notify_waiters();
    }

    /// Its task is over.
    pub(crate) fn finished(&self) {
        self.end(false);
        lock(&self.pending).take();
    }

    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// The core has handled another frame of the handshake, and all that follows from it is done.
    pub(crate) fn frame_handled(&self) {
        self.handled.fetch_add(1, Ordering::Release);
        self.progress.notify_waiters();
    }

    /// Waits until the core has handled `count` frames, or the gate has moved.
    async fn until_handled(&self, count: u64) {
        loop {
            let mut progress = std::pin::pin!(self.progress.notified());
            progress.as_mut().enable();
            let handled = self.handled.load(Ordering::Acquire) >= count;
            if handled || *lock(&self.gate) != Gate::Handshaking {
                return;
            }
            progress.await;
        }
    }
}
