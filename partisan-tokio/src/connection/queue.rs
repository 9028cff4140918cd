//! What waits to be written on one connection.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use partisan_proto::wire::{AppHeader, ControlMessage, Frame};
use tokio::sync::{Notify, Semaphore};

use super::batch::{Batch, Payload};
use crate::sync::lock;

/// A frame on its way out.
#[derive(Debug)]
pub(crate) enum Outgoing<'a> {
    /// An application message of a sender who has reserved room.
    App { header: &'a AppHeader, payload: Payload<'a>, reserved: Reserved },
    /// A frame of the core.
    Core(&'a Frame),
    /// A frame with a payload, encoded, and the room reserved for it.
    Encoded(&'a Bytes, Reserved),
}

impl Outgoing<'_> {
    /// It is not put, or not as it is: what it reserved is given back.
    pub(crate) fn release(self, queue: &Queue) {
        queue.written(0, self.into_reserved().0);
    }

    /// The room that is reserved for it.
    pub(crate) fn into_reserved(self) -> Reserved {
        match self {
            Self::App { reserved, .. } | Self::Encoded(_, reserved) => reserved,
            Self::Core(_) => Reserved(0),
        }
    }
}

/// Room reserved for one application frame; given back when it is written.
#[derive(Debug)]
pub(crate) struct Reserved(usize);

/// Why a frame was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PutError {
    /// There is no room.
    Full,
    /// The connection is closed or being closed.
    Closed,
}

/// What changed for the core with the last frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pressure {
    /// Nothing.
    Unchanged,
    /// Room is running out.
    Congested,
}

/// Two bounded queues, control frames before application frames, drained in whole batches.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Wakes the writer.
    ready: Notify,
    /// One permit a byte of room for application frames. Fair, and safe to give up waiting.
    room: Semaphore,
    /// Wakes whoever waits for the core to be told that there is room.
    relief: Notify,
    limit: usize,
    control_limit: usize,
    signal_limit: usize,
    /// Wakes whoever waits for room for signals.
    signals_written: Notify,
    /// Bytes of application frames, queued or being written.
    load: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    control: Batch,
    control_frames: usize,
    /// Bytes of what processes tell each other, among the control frames.
    signals: usize,
    app: Batch,
    /// The writer found nothing and waits.
    idle: bool,
    closed: bool,
    /// The core was told that room is running out.
    congested: bool,
}

impl Queue {
    pub(crate) fn new(limit: usize, control_limit: usize, signal_limit: usize) -> Self {
        Self {
            state: Mutex::default(),
            ready: Notify::new(),
            room: Semaphore::new(limit),
            relief: Notify::new(),
            limit,
            control_limit,
            signal_limit,
            signals_written: Notify::new(),
            load: AtomicUsize::new(0),
        }
    }

    /// Bytes of application frames that are not written yet.
    pub(crate) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// A frame longer than the queue takes all of it.
    fn need(&self, frame: usize) -> u32 {
        u32::try_from(frame.min(self.limit)).unwrap_or(u32::MAX)
    }

    /// Reserves room for a frame of so many bytes, if there is some.
    pub(crate) fn try_reserve(&self, frame: usize) -> Result<Reserved, PutError> {
        let need = self.need(frame);
        match self.room.try_acquire_many(need) {
            Ok(permit) => {
                permit.forget();
                Ok(Reserved(need as usize))
            }
            Err(tokio::sync::TryAcquireError::NoPermits) => Err(PutError::Full),
            Err(tokio::sync::TryAcquireError::Closed) => Err(PutError::Closed),
        }
    }

    /// Waits for room, in the order of asking; fails when the connection closes.
    pub(crate) async fn reserve(&self, frame: usize) -> Result<Reserved, PutError> {
        let need = self.need(frame);
        let permit = self.room.acquire_many(need).await;
        permit.map_err(|_| PutError::Closed)?.forget();
        Ok(Reserved(need as usize))
    }

    /// Queues a frame: the one way out, for every frame.
    ///
    /// Frames with payloads of the core need no reservation: it is told `Congested` in time, and may
    /// overrun the bound by what it sent in the turn in which it was told.
    pub(crate) fn put(&self, frame: &Outgoing<'_>) -> Result<Pressure, PutError> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(PutError::Closed);
        }
        match frame {
            Outgoing::App { header, payload, reserved } => {
                state.app.permits += reserved.0;
                self.put_app(&mut state, |batch| batch.put_app(header, *payload));
            }
            Outgoing::Encoded(encoded, reserved) => {
                state.app.permits += reserved.0;
                self.put_app(&mut state, |batch| batch.put_encoded(encoded));
            }
            Outgoing::Core(frame) if frame.has_payload() => {
                self.put_app(&mut state, |batch| batch.put_frame(frame));
            }
            Outgoing::Core(frame @ Frame::Control(ControlMessage::Process(_))) => {
                if state.signals >= self.signal_limit {
                    return Err(PutError::Full);
                }
                let before = state.control.bytes();
                state.control.put_frame(frame);
                state.signals += state.control.bytes() - before;
            }
            Outgoing::Core(frame) => {
                if state.control_frames >= self.control_limit {
                    return Err(PutError::Full);
                }
                state.control_frames += 1;
                state.control.put_frame(frame);
            }
        }
        let wake = state.idle;
        state.idle = false;
        let pressure = self.pressure(&mut state);
        drop(state);
        if wake {
            self.ready.notify_one();
        }
        Ok(pressure)
    }

    fn put_app(&self, state: &mut State, put: impl FnOnce(&mut Batch)) {
        let before = state.app.bytes();
        put(&mut state.app);
        let added = state.app.bytes() - before;
        self.load.fetch_add(added, Ordering::Relaxed);
    }

    fn pressure(&self, state: &mut State) -> Pressure {
        let full = self.load() >= self.limit - self.limit / 8;
        if !full || state.congested {
            return Pressure::Unchanged;
        }
        state.congested = true;
        Pressure::Congested
    }

    /// The core could not be told; the next frame will try again.
    pub(crate) fn still_uncongested(&self) {
        lock(&self.state).congested = false;
        self.relief.notify_waiters();
    }

    /// Whether the core must be told that there is room again.
    pub(crate) fn has_drained(&self) -> bool {
        self.load() <= self.limit / 2 && lock(&self.state).congested
    }

    /// Runs `tell` when the core must be told that there is room again.
    pub(crate) fn drained(&self, tell: impl FnOnce()) {
        let mut state = lock(&self.state);
        if state.congested && self.load() <= self.limit / 2 {
            state.congested = false;
            tell();
            drop(state);
            self.relief.notify_waiters();
        }
    }

    /// Waits until the core was told that there is room, or the connection closes.
    pub(crate) async fn relieved(&self) {
        loop {
            let mut relief = std::pin::pin!(self.relief.notified());
            relief.as_mut().enable();
            {
                let state = lock(&self.state);
                if !state.congested || state.closed {
                    return;
                }
            }
            relief.await;
        }
    }

    /// Hands everything to the writer, whose own batches must be empty; `false` if there is
    /// nothing.
    pub(crate) fn take(&self, control: &mut Batch, app: &mut Batch) -> bool {
        let mut state = lock(&self.state);
        if state.control.is_empty() && state.app.is_empty() {
            state.idle = true;
            return false;
        }
        std::mem::swap(&mut state.control, control);
        std::mem::swap(&mut state.app, app);
        state.control_frames = 0;
        let signals = std::mem::take(&mut state.signals);
        drop(state);
        if signals >= self.signal_limit / 2 {
            self.signals_written.notify_waiters();
        }
        true
    }

    /// Waits until there is room for what processes tell each other, or the connection closes. The
    /// other half is for what cannot wait: what the core itself tells in their name.
    pub(crate) async fn signal_room(&self) {
        loop {
            let mut written = std::pin::pin!(self.signals_written.notified());
            written.as_mut().enable();
            {
                let state = lock(&self.state);
                if state.signals < self.signal_limit / 2 || state.closed {
                    return;
                }
            }
            written.await;
        }
    }

    /// Waits until [`Queue::take`] may have something again.
    pub(crate) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Notes that so many bytes of application frames are written and gives `permits` back.
    pub(crate) fn written(&self, bytes: usize, permits: usize) {
        self.load.fetch_sub(bytes, Ordering::Relaxed);
        if permits > 0 {
            self.room.add_permits(permits);
        }
    }

    /// Takes nothing more; waiting senders fail. What is queued can still be written.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.room.close();
        self.relief.notify_waiters();
        self.signals_written.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use partisan_proto::process::{MonitorId, Serial};
    use partisan_proto::wire::ProcessMessage;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn put(queue: &Queue, payload: &Bytes) -> Result<Pressure, PutError> {
        let header = AppHeader::default();
        let reserved = queue.try_reserve(payload.len() + 6)?;
        let payload = Payload::Shared(payload);
        queue.put(&Outgoing::App { header: &header, payload, reserved })
    }

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_full_queue_refuses_and_takes_again_what_was_written() {
        let queue = Queue::new(1024, 16, 100);
        let message = Bytes::from(vec![0; 250]);
        for _ in 0..4 {
            put(&queue, &message).unwrap();
        }
        assert_eq!(queue.load(), 1024);
        assert_eq!(put(&queue, &message), Err(PutError::Full));
        let (mut control, mut app) = (Batch::default(), Batch::default());
        assert!(queue.take(&mut control, &mut app));
        assert_eq!(put(&queue, &message), Err(PutError::Full), "not written yet");
        queue.written(256, 256);
        put(&queue, &message).unwrap();
        assert_eq!(put(&queue, &message), Err(PutError::Full));
    }

    #[test]
    fn a_frame_longer_than_the_queue_goes_alone() {
        let queue = Queue::new(1024, 16, 100);
        put(&queue, &Bytes::from(vec![0; 5000])).unwrap();
        assert_eq!(put(&queue, &Bytes::from_static(b"x")), Err(PutError::Full));
    }

    #[test]
    fn waiting_senders_are_served_in_order_and_one_who_gives_up_harms_nobody() {
        let queue = Queue::new(1024, 16, 100);
        put(&queue, &Bytes::from(vec![0; 1018])).unwrap();
        let mut first = pin!(queue.reserve(900));
        let mut third = pin!(queue.reserve(100));
        assert!(poll(first.as_mut()).is_pending());
        {
            let mut second = pin!(queue.reserve(500));
            assert!(poll(second.as_mut()).is_pending());
        }
        assert!(poll(third.as_mut()).is_pending());
        assert_eq!(queue.try_reserve(1).unwrap_err(), PutError::Full);
        queue.written(1024, 1024);
        assert!(poll(third.as_mut()).is_ready() && poll(first.as_mut()).is_ready());
    }

    #[test]
    fn closing_fails_those_who_wait_and_those_who_come() {
        let queue = Queue::new(1024, 16, 100);
        put(&queue, &Bytes::from(vec![0; 1018])).unwrap();
        let mut waiting = pin!(queue.reserve(10));
        assert!(poll(waiting.as_mut()).is_pending());
        queue.close();
        assert!(matches!(poll(waiting.as_mut()), Poll::Ready(Err(PutError::Closed))));
        assert_eq!(put(&queue, &Bytes::new()), Err(PutError::Closed));
        let (mut control, mut app) = (Batch::default(), Batch::default());
        assert!(queue.take(&mut control, &mut app), "what was queued can be flushed");
    }

    #[test]
    fn control_frames_have_a_queue_and_a_bound_of_their_own() {
        let queue = Queue::new(1024, 16, 100);
        put(&queue, &Bytes::from(vec![0; 1018])).unwrap();
        let ping = Frame::Control(ControlMessage::Ping { id: 1 });
        for _ in 0..16 {
            queue.put(&Outgoing::Core(&ping)).unwrap();
        }
        assert_eq!(queue.put(&Outgoing::Core(&ping)), Err(PutError::Full));
        let (mut control, mut app) = (Batch::default(), Batch::default());
        assert!(queue.take(&mut control, &mut app));
        assert!(!control.is_empty() && !app.is_empty());
        queue.put(&Outgoing::Core(&ping)).unwrap();
    }

    #[test]
    fn signals_have_a_bound_of_their_own_and_room_at_half() {
        let queue = Queue::new(1024, 16, 100);
        let monitor = MonitorId { owner: Serial(1), number: 1 };
        let seen = ProcessMessage::DownSeen { monitor };
        let seen = Frame::Control(ControlMessage::Process(seen.into()));
        let mut count = 0;
        while queue.put(&Outgoing::Core(&seen)).is_ok() {
            count += 1;
            assert_eq!(poll(pin!(queue.signal_room())).is_ready(), 2 * count * 9 < 100);
        }
        assert_eq!(count, 12, "of nine bytes each");
        let mut waiting = pin!(queue.signal_room());
        assert!(poll(waiting.as_mut()).is_pending());
        let ping = Frame::Control(ControlMessage::Ping { id: 1 });
        queue.put(&Outgoing::Core(&ping)).unwrap();
        assert!(queue.take(&mut Batch::default(), &mut Batch::default()));
        assert!(poll(waiting.as_mut()).is_ready());
        queue.put(&Outgoing::Core(&seen)).unwrap();
    }

    #[test]
    fn congestion_is_told_once_and_drained_at_half() {
        let queue = Queue::new(1000, 16, 100);
        let message = Bytes::from(vec![0; 94]);
        let told = (0..10).filter(|_| put(&queue, &message) == Ok(Pressure::Congested));
        assert_eq!(told.count(), 1);
        queue.written(400, 400);
        queue.drained(|| panic!("not yet"));
        queue.written(100, 100);
        assert!(queue.has_drained());
        let mut told = 0;
        queue.drained(|| told += 1);
        queue.drained(|| told += 1);
        assert_eq!(told, 1);
    }
}
