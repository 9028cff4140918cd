//! Reads one connection: plain application messages go straight to their mailboxes, everything
//! else to the core.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::BytesMut;
use partisan_proto::CloseReason;
use partisan_proto::wire::{self, DecodeError, Decoded, Frame, Frames, MIN_FRAME_LIMIT};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::OwnedSemaphorePermit;

use super::{Connection, Gate, Lane, Surroundings};
use crate::event_loop::LoopEvent;
use crate::interception::Arrival;
use crate::mailboxes::Arrived;

/// How much memory an established peer's frame is given before it arrives.
const EAGER: usize = 1 << 20;

/// The state of reading one connection.
#[derive(Debug)]
pub(crate) struct Reader {
    buffer: BytesMut,
    /// The last read filled the buffer: more at once is worth while.
    filled: bool,
    /// Whole frames that are not decoded yet.
    frames: Frames,
    /// Messages that are not delivered yet.
    arrived: VecDeque<Arrived>,
    /// How many frames of the handshake were handed to the core.
    handed_over: u64,
    /// The last step of the handshake has arrived; before that nobody may send long frames.
    shaken: bool,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self {
            buffer: BytesMut::new(),
            filled: false,
            frames: Frames::default(),
            arrived: VecDeque::new(),
            handed_over: 0,
            shaken: false,
        }
    }

    /// Reads until the connection ends, and says why.
    pub(crate) async fn run(
        &mut self,
        connection: &Arc<Connection>,
        from: &mut (impl AsyncRead + Unpin),
        around: &Arc<Surroundings>,
    ) -> CloseReason {
        loop {
            let missing = match self.decode_all(connection, around).await {
                Ok(missing) => missing,
                Err(reason) => return reason,
            };
            let established = connection.lane().is_some();
            self.make_room(missing, around.config.read_chunk, established);
            match from.read_buf(&mut self.buffer).await {
                Ok(0) => return CloseReason::ClosedByPeer,
                Ok(_) => self.filled = self.buffer.len() == self.buffer.capacity(),
                Err(_) => return CloseReason::Broken,
            }
        }
    }

    /// Reads and forgets everything until the peer's end.
    pub(crate) async fn discard(&mut self, from: &mut (impl AsyncRead + Unpin)) {
        self.arrived.clear();
        self.frames = Frames::default();
        loop {
            self.buffer.clear();
            self.buffer.reserve(16 << 10);
            match from.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    /// A stranger's frame is given memory as it arrives, twice what is there: the length that it
    /// announces costs nothing. That of an established peer is not moved while it arrives.
    fn make_room(&mut self, missing: usize, chunk: usize, established: bool) {
        let here = self.buffer.len();
        let most = if established { here.max(EAGER) } else { here };
        let wanted = missing.min(most).max(chunk / 4);
        if self.buffer.capacity() - here < wanted {
            let chunk = if self.filled { 4 * chunk } else { chunk };
            self.buffer.reserve(wanted.max(chunk));
        }
    }

    /// Handles every whole frame; says how many bytes the next one lacks.
    async fn decode_all(
        &mut self,
        connection: &Arc<Connection>,
        around: &Arc<Surroundings>,
    ) -> Result<usize, CloseReason> {
        let missing = loop {
            match self.next_frame(around.max_frame) {
                Ok(Decoded::Frame(frame)) => {
                    match around.interception.incoming(connection, frame) {
                        Arrival::Now(frame, times) => {
                            self.take_in(connection, frame, times, around).await?;
                        }
                        Arrival::Later(frame, times, delay) => {
                            let (connection, all) = (Arc::clone(connection), Arc::clone(around));
                            around.interception.spawn(async move {
                                if delay.passes(&connection).await {
                                    Self::take_in_late(&connection, frame, times, &all).await;
                                }
                            });
                        }
                        Arrival::Dropped => {}
                    }
                }
                Ok(Decoded::Skipped) => {}
                Ok(Decoded::Incomplete(missing)) => break Ok(missing),
                // What came before the malformed frame is delivered first.
                Err(error) => break Err(CloseReason::Malformed(error)),
            }
        };
        self.deliver(connection, around).await?;
        missing
    }

    /// Handles a frame, so many times.
    async fn take_in(
        &mut self,
        connection: &Arc<Connection>,
        frame: Frame,
        times: u8,
        around: &Surroundings,
    ) -> Result<(), CloseReason> {
        for _ in 1..times {
            self.take_in_once(connection, frame.clone(), around).await?;
        }
        self.take_in_once(connection, frame, around).await
    }

    async fn take_in_once(
        &mut self,
        connection: &Arc<Connection>,
        frame: Frame,
        around: &Surroundings,
    ) -> Result<(), CloseReason> {
        match frame {
            Frame::App { destination, payload } => {
                self.arrived.push_back(Arrived { destination, payload });
                Ok(())
            }
            frame if frame.has_payload() => {
                // What processes ask and tell comes after what they sent before.
                if !matches!(frame, Frame::Relayed { .. } | Frame::Broadcast(_)) {
                    self.deliver(connection, around).await?;
                }
                self.hand_over_payload(connection, frame, around).await
            }
            frame => self.hand_over(connection, frame, None, around).await,
        }
    }

    /// Handles a frame that was delayed, behind whatever has come since.
    async fn take_in_late(
        connection: &Arc<Connection>,
        frame: Frame,
        times: u8,
        around: &Surroundings,
    ) {
        let mut reader = Self::new();
        // What its connection brings in order is not its business.
        if reader.take_in(connection, frame, times, around).await.is_ok() {
            _ = reader.deliver(connection, around).await;
        }
    }

    /// The next frame: all of one read are decoded together, but for the few of the handshake.
    fn next_frame(&mut self, max_frame: u32) -> Result<Decoded, DecodeError> {
        if let Some(decoded) = self.frames.next() {
            return decoded;
        }
        if !self.shaken {
            return wire::decode(&mut self.buffer, MIN_FRAME_LIMIT.min(max_frame));
        }
        match wire::missing(&self.buffer, max_frame)? {
            0 => self.frames = Frames::take(&mut self.buffer, max_frame),
            missing => return Ok(Decoded::Incomplete(missing)),
        }
        // At least one is there.
        self.frames.next().unwrap_or(Ok(Decoded::Skipped))
    }

    async fn hand_over(
        &mut self,
        connection: &Arc<Connection>,
        frame: Frame,
        room: Option<OwnedSemaphorePermit>,
        around: &Surroundings,
    ) -> Result<(), CloseReason> {
        self.handed_over += 1;
        self.shaken |= matches!(&frame, Frame::Control(message) if message.is_handshake());
        let connection = Arc::clone(connection);
        let event = LoopEvent::Frame { connection, frame, room };
        let sent = around.events.send(event).await;
        sent.map_err(|_| CloseReason::Stopped)
    }

    /// Hands a payload to the core, which must not be given more of them than it has room for: this
    /// connection waits. It waits besides for the mailbox of a relayed message that ends here or one
    /// that must arrive, and for subscribers that must miss no broadcast.
    async fn hand_over_payload(
        &mut self,
        connection: &Arc<Connection>,
        frame: Frame,
        around: &Surroundings,
    ) -> Result<(), CloseReason> {
        match &frame {
            Frame::Relayed { header, .. } if header.target == around.me => {
                around.mailboxes.room(&header.destination).await;
            }
            Frame::Reliable { header, .. } => around.mailboxes.room(&header.destination).await,
            Frame::Newest { header, .. } => around.mailboxes.room(&header.destination).await,
            Frame::Broadcast(message) => around.subscriptions.room(message.handler).await,
            _ => {}
        }
        let most = around.config.loop_bytes;
        let bytes = u32::try_from(frame.payload_frame_len().min(most)).unwrap_or(u32::MAX);
        let room = Arc::clone(&around.loop_room).acquire_many_owned(bytes).await;
        let room = room.map_err(|_| CloseReason::Stopped)?;
        self.hand_over(connection, frame, Some(room), around).await
    }

    /// Delivers what has arrived, waiting where a mailbox is full. That holds up this connection
    /// alone.
    async fn deliver(
        &mut self,
        connection: &Arc<Connection>,
        around: &Surroundings,
    ) -> Result<(), CloseReason> {
        while !self.arrived.is_empty() {
            if connection.lane().is_some_and(Lane::is_anchor) {
                self.judge_next(connection, around).await?;
                continue;
            }
            let delivered =
                connection.while_open(|lane| around.mailboxes.deliver(lane, &mut self.arrived));
            match delivered {
                Ok(Ok(())) => {}
                Ok(Err(full)) => full.room().await,
                Err(Gate::Handshaking) => self.judge(connection, around).await?,
                Err(_) => return Err(CloseReason::Stopped),
            }
        }
        Ok(())
    }

    /// Application messages during the handshake: the last step of it may still be on its way to
    /// the core. When it is not, they break the protocol, and the core judges that.
    async fn judge(
        &mut self,
        connection: &Arc<Connection>,
        around: &Surroundings,
    ) -> Result<(), CloseReason> {
        connection.until_handled(self.handed_over).await;
        if connection.while_open(|_| ()) != Err(Gate::Handshaking) {
            return Ok(());
        }
        self.judge_next(connection, around).await
    }

    /// Lets the core say what it thinks of a message where none may be.
    async fn judge_next(
        &mut self,
        connection: &Arc<Connection>,
        around: &Surroundings,
    ) -> Result<(), CloseReason> {
        let Some(Arrived { destination, payload }) = self.arrived.pop_front() else {
            return Ok(());
        };
        let frame = Frame::App { destination, payload };
        self.hand_over(connection, frame, None, around).await
    }
}
