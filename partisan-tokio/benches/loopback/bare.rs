//! What nodes are measured against: bare TCP streams of length-prefixed frames, with the batching
//! that nodes have and nothing else. There is no handshake, no route, no mailbox; whoever reads a
//! stream handles its messages in place.

use std::net::SocketAddr;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

use crate::link::{Link, PINGERS, Ping, is_ping, pinger};
use crate::peer::count;

/// How much is gathered before it is written, and read at once.
const CHUNK: usize = 64 << 10;
/// Payloads from this size on are written without copying them, as nodes do.
const SHARE_FROM: usize = 16 << 10;
/// What waits for one stream, as for one lane of a node by default.
const QUEUE_BYTES: usize = 1 << 20;
const MOST_FRAME: usize = 16 << 20;

/// Who frames the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// A loop of a few lines.
    ByHand,
    /// `tokio_util::codec::LengthDelimitedCodec`, with `feed` and `flush`.
    Codec,
}

/// Streams to the peer.
#[derive(Clone, Debug)]
pub(crate) struct Bare {
    queues: Vec<mpsc::Sender<Bytes>>,
    next: usize,
}

impl Bare {
    /// Opens `lanes` streams for payloads of `size` bytes; says also where echoes are received.
    pub(crate) async fn connect(
        address: SocketAddr,
        framing: Framing,
        lanes: usize,
        size: usize,
    ) -> std::io::Result<(Self, Vec<mpsc::Receiver<()>>)> {
        let (pongs, receivers): (Vec<_>, Vec<_>) = (0..PINGERS).map(|_| mpsc::channel(1)).unzip();
        let mut queues = Vec::new();
        for _ in 0..lanes {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            stream.write_u8(u8::from(framing == Framing::Codec)).await?;
            let (from, to) = stream.into_split();
            let (queue, queued) = mpsc::channel((QUEUE_BYTES / size).max(1));
            tokio::spawn(write(framing, to, queued));
            let pongs = pongs.clone();
            tokio::spawn(read(framing, from, async move |payload: Bytes| {
                // A ping has one echo: there is room for it.
                let _ = pongs[pinger(&payload)].try_send(());
            }));
            queues.push(queue);
        }
        Ok((Self { queues, next: 0 }, receivers))
    }
}

impl Link for Bare {
    fn number(&mut self, number: usize) {
        self.next = number;
    }

    async fn send(&mut self, payload: Bytes) {
        let lane = self.next % self.queues.len();
        self.next += 1;
        self.queues[lane].send(payload).await.expect("the stream is open");
    }
}

/// A pinger over bare streams.
#[derive(Debug)]
pub(crate) struct BarePing {
    pub(crate) link: Bare,
    pub(crate) pongs: mpsc::Receiver<()>,
    pub(crate) lane: usize,
}

impl Ping for BarePing {
    async fn ping(&mut self, payload: Bytes) {
        self.link.next = self.lane;
        self.link.send(payload).await;
        self.pongs.recv().await.expect("the stream is open");
    }
}

/// Counts what arrives and echoes pings, for ever.
pub(crate) async fn serve(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            stream.set_nodelay(true)?;
            let framing = match stream.read_u8().await? {
                0 => Framing::ByHand,
                _ => Framing::Codec,
            };
            let (from, to) = stream.into_split();
            let (queue, queued) = mpsc::channel(PINGERS);
            tokio::spawn(write(framing, to, queued));
            read(framing, from, async move |payload: Bytes| {
                if is_ping(&payload) {
                    queue.send(payload).await.expect("the writer takes all");
                } else {
                    count(1);
                }
            })
            .await;
            std::io::Result::Ok(())
        });
    }
}

async fn write(framing: Framing, to: OwnedWriteHalf, queued: mpsc::Receiver<Bytes>) {
    // The end of a stream is the end of its measurement.
    let _ = match framing {
        Framing::ByHand => write_by_hand(to, queued).await,
        Framing::Codec => write_with_codec(to, queued).await,
    };
}

async fn read(framing: Framing, from: OwnedReadHalf, handle: impl AsyncFnMut(Bytes)) {
    // As above.
    let _ = match framing {
        Framing::ByHand => read_by_hand(from, handle).await,
        Framing::Codec => read_with_codec(from, handle).await,
    };
}

async fn write_by_hand(
    mut to: OwnedWriteHalf,
    mut queued: mpsc::Receiver<Bytes>,
) -> std::io::Result<()> {
    let mut batch = Vec::with_capacity(1024);
    let mut buffer = Vec::with_capacity(2 * CHUNK);
    while queued.recv_many(&mut batch, 1024).await > 0 {
        for payload in batch.drain(..) {
            buffer.put_u32(u32::try_from(payload.len()).expect("below 16 MiB"));
            if payload.len() >= SHARE_FROM {
                let mut both = Buf::chain(&buffer[..], payload);
                to.write_all_buf(&mut both).await?;
                buffer.clear();
                continue;
            }
            buffer.extend_from_slice(&payload);
            if buffer.len() >= CHUNK {
                to.write_all(&buffer).await?;
                buffer.clear();
            }
        }
        to.write_all(&buffer).await?;
        buffer.clear();
    }
    Ok(())
}

async fn read_by_hand(
    mut from: OwnedReadHalf,
    mut handle: impl AsyncFnMut(Bytes),
) -> std::io::Result<()> {
    let mut buffer = BytesMut::new();
    loop {
        while let Some(prefix) = buffer.first_chunk::<4>() {
            let whole = 4 + u32::from_be_bytes(*prefix) as usize;
            if buffer.len() < whole {
                break;
            }
            let mut payload = buffer.split_to(whole).freeze();
            payload.advance(4);
            handle(payload).await;
        }
        if buffer.capacity() - buffer.len() < CHUNK / 4 {
            buffer.reserve(CHUNK.max(buffer.len()));
        }
        if from.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(MOST_FRAME).new_codec()
}

async fn write_with_codec(
    to: OwnedWriteHalf,
    mut queued: mpsc::Receiver<Bytes>,
) -> std::io::Result<()> {
    let mut to = FramedWrite::new(to, codec());
    to.set_backpressure_boundary(CHUNK);
    while let Some(mut payload) = queued.recv().await {
        loop {
            to.feed(payload).await?;
            match queued.try_recv() {
                Ok(next) => payload = next,
                Err(_) => break,
            }
        }
        SinkExt::<Bytes>::flush(&mut to).await?;
    }
    Ok(())
}

async fn read_with_codec(
    from: OwnedReadHalf,
    mut handle: impl AsyncFnMut(Bytes),
) -> std::io::Result<()> {
    let mut from = FramedRead::with_capacity(from, codec(), CHUNK);
    while let Some(payload) = from.next().await {
        handle(payload?.freeze()).await;
    }
    Ok(())
}
