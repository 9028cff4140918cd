//! The two places that every frame passes, whichever path it takes: where interposers are asked.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use partisan_proto::Instant;
use partisan_proto::interposition::{Fate, Interposer, Interposers, Kind, Passing, Side, rewrite};
use partisan_proto::wire::{AppHeader, Frame};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::connection::{Connection, Outgoing, Pressure, PutError};
use crate::event_loop::LoopEvent;
use crate::sync::lock;

/// The interposers of a node, and what they delay.
#[derive(Debug)]
pub(crate) struct Interception {
    /// Whether there are any: all that a message costs otherwise.
    active: AtomicBool,
    /// The node has stopped.
    closed: AtomicBool,
    interposers: Mutex<Interposers>,
    /// One permit a message that may be delayed at a time.
    places: Arc<Semaphore>,
    /// Messages that were not delayed as long as they should, or not rewritten, for want of room; and
    /// those at which an interposer panicked.
    refused: AtomicU64,
    /// Senders may be threads of nobody's runtime.
    runtime: Handle,
    started: tokio::time::Instant,
}

/// What is to become of a frame that arrived.
pub(crate) enum Arrival {
    /// It is taken in, so many times.
    Now(Frame, u8),
    /// So much later.
    Later(Frame, u8, Delay),
    /// Never.
    Dropped,
}

/// A place among the delayed messages, and until when.
pub(crate) struct Delay {
    span: Duration,
    _place: OwnedSemaphorePermit,
}

impl Interception {
    pub(crate) fn new(places: usize, started: tokio::time::Instant) -> Self {
        Self {
            active: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            interposers: Mutex::default(),
            places: Arc::new(Semaphore::new(places)),
            refused: AtomicU64::new(0),
            runtime: Handle::current(),
            started,
        }
    }

    pub(crate) fn add(&self, name: &str, interposer: impl Interposer + 'static) {
        let mut interposers = lock(&self.interposers);
        if self.closed.load(Ordering::Acquire) {
            drop(interposers);
            return;
        }
        interposers.add(name, interposer);
        self.active.store(true, Ordering::Release);
    }

    pub(crate) fn remove(&self, name: &str) -> bool {
        let mut interposers = lock(&self.interposers);
        let removed = interposers.remove(name);
        self.active.store(!interposers.is_empty(), Ordering::Release);
        removed
    }

    pub(crate) fn names(&self) -> Vec<String> {
        lock(&self.interposers).names().map(str::to_owned).collect()
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Every frame that leaves passes here: those of the core and those of senders.
    pub(crate) fn outgoing(
        &self,
        connection: &Arc<Connection>,
        outgoing: Outgoing<'_>,
        events: &mpsc::Sender<LoopEvent>,
    ) -> Result<Pressure, PutError> {
        if !self.active.load(Ordering::Acquire) {
            return connection.put(outgoing);
        }
        let shown = match &outgoing {
            Outgoing::App { header, payload, .. } => {
                Some((Kind::Message(&header.destination), payload.bytes()))
            }
            Outgoing::Core(frame) => Kind::of(frame),
            Outgoing::Encoded(..) => None,
        };
        let fate = self.fate(connection, Side::Sending, shown);
        let Fate::Passes { rewritten, delay, copies } = fate else {
            outgoing.release(&connection.queue);
            return Ok(Pressure::Unchanged);
        };
        let touched = rewritten.is_some() || !delay.is_zero() || copies > 0;
        let Some(frame) = outgoing.to_frame().filter(|_| touched) else {
            return connection.put(outgoing);
        };
        let frame = self.rewritten(connection, frame, rewritten);
        outgoing.release(&connection.queue);
        match self.place(delay) {
            Some(delay) => {
                let (connection, events) = (Arc::clone(connection), events.clone());
                self.runtime.spawn(send_later(connection, frame, copies, delay, events));
                Ok(Pressure::Unchanged)
            }
            None => put(connection, &frame, copies),
        }
    }

    /// Every frame that arrives passes here: those for the core and those for mailboxes.
    pub(crate) fn incoming(&self, connection: &Connection, frame: Frame) -> Arrival {
        if !self.active.load(Ordering::Acquire) {
            return Arrival::Now(frame, 1);
        }
        let fate = self.fate(connection, Side::Receiving, Kind::of(&frame));
        let Fate::Passes { rewritten, delay, copies } = fate else {
            return Arrival::Dropped;
        };
        let frame = match rewritten {
            Some(payload) => rewrite(frame, payload),
            None => frame,
        };
        let times = copies.saturating_add(1);
        match self.place(delay) {
            Some(delay) => Arrival::Later(frame, times, delay),
            None => Arrival::Now(frame, times),
        }
    }

    fn fate(&self, connection: &Connection, side: Side, shown: Option<(Kind<'_>, &[u8])>) -> Fate {
        // Nothing is shown of a handshake.
        let (Some((kind, payload)), Some(lane)) = (shown, connection.lane()) else {
            return Fate::UNTOUCHED;
        };
        let nanos = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let at = Instant::from_nanos(nanos);
        let passing = Passing { at, side, peer: lane.peer, channel: lane.channel, kind, payload };
        let mut interposers = lock(&self.interposers);
        // Code of the application: what it panics with must not end the node.
        catch_unwind(AssertUnwindSafe(|| interposers.judge(&passing))).unwrap_or_else(|_| {
            tracing::error!(?side, ?kind, "an interposer panicked; the message passes as it is");
            self.refused.fetch_add(1, Ordering::Relaxed);
            Fate::UNTOUCHED
        })
    }

    /// Asks nobody any more, and lets go what interposers hold.
    pub(crate) fn close(&self) {
        let interposers = {
            let mut interposers = lock(&self.interposers);
            self.closed.store(true, Ordering::Release);
            self.active.store(false, Ordering::Release);
            std::mem::take(&mut *interposers)
        };
        // The code of the application is dropped without a lock held.
        drop(interposers);
    }

    /// The frame with another payload, if the peer takes it so long.
    fn rewritten(&self, connection: &Connection, frame: Frame, with: Option<Bytes>) -> Frame {
        let Some(payload) = with else {
            return frame;
        };
        let rewritten = rewrite(frame.clone(), payload);
        if rewritten.payload_frame_len() > connection.max_frame() {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return frame;
        }
        rewritten
    }

    /// A place for a message that is to be delayed, if it is and there is one.
    fn place(&self, span: Duration) -> Option<Delay> {
        if span.is_zero() {
            return None;
        }
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => Some(Delay { span, _place: place }),
            Err(_) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }

    /// Runs what is to be done after a delay.
    pub(crate) fn spawn(&self, later: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(later);
    }
}

impl Delay {
    /// Waits; `false` when the connection has ended meanwhile.
    pub(crate) async fn passes(&self, connection: &Connection) -> bool {
        tokio::select! {
            () = connection.ended() => false,
            () = tokio::time::sleep(self.span) => true,
        }
    }
}

fn put(connection: &Connection, frame: &Frame, copies: u8) -> Result<Pressure, PutError> {
    let mut pressure = connection.put(Outgoing::Core(frame))?;
    for _ in 0..copies {
        if connection.put(Outgoing::Core(frame))? == Pressure::Congested {
            pressure = Pressure::Congested;
        }
    }
    Ok(pressure)
}

async fn send_later(
    connection: Arc<Connection>,
    frame: Frame,
    copies: u8,
    delay: Delay,
    events: mpsc::Sender<LoopEvent>,
) {
    if !delay.passes(&connection).await {
        return;
    }
    // What finds no room is lost, as on a connection that broke.
    if let Ok(Pressure::Congested) = put(&connection, &frame, copies) {
        // Without a loop there is nobody to tell.
        _ = events.send(LoopEvent::Congested(connection.id)).await;
    }
}

impl Outgoing<'_> {
    /// As the core has it, unless it is encoded already.
    fn to_frame(&self) -> Option<Frame> {
        match self {
            Self::App { header: AppHeader { destination }, payload, .. } => {
                let (destination, payload) = (destination.clone(), payload.to_bytes());
                Some(Frame::App { destination, payload })
            }
            Self::Core(frame) => Some((*frame).clone()),
            Self::Encoded(..) => None,
        }
    }
}
