//! What calls are measured against: requests and replies over one bare TCP stream, each with a number
//! by which its caller is found, written in whole batches. There is no node, no process and no time
//! limit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

/// How much is gathered before it is written, and read at once.
const CHUNK: usize = 64 << 10;
/// How many frames wait to be written.
const QUEUE: usize = 64;
/// Length and number.
const HEADER: usize = 12;

type Frame = (u64, Bytes);
type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Bytes>>>>;

/// The callers' end of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Bare {
    queue: mpsc::Sender<Frame>,
    waiting: Waiting,
    next: Arc<AtomicU64>,
}

impl Bare {
    pub(crate) async fn connect(address: std::net::SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        stream.set_nodelay(true).expect("a TCP stream");
        let (from, to) = stream.into_split();
        let (queue, queued) = mpsc::channel(QUEUE);
        let waiting = Waiting::default();
        let found = Arc::clone(&waiting);
        tokio::spawn(write(to, queued));
        tokio::spawn(read(from, async move |(number, payload)| {
            let caller = found.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
            if let Some(caller) = caller {
                let _ = caller.send(payload);
            }
        }));
        Self { queue, waiting, next: Arc::default() }
    }

    pub(crate) async fn call(&self, payload: Bytes) -> Bytes {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (tell, told) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(number, tell);
        self.queue.send((number, payload)).await.expect("the stream is open");
        told.await.expect("the stream is open")
    }
}

/// Answers every request with itself, from a task that the reader hands them to.
pub(crate) async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).expect("a TCP stream");
        let (from, to) = stream.into_split();
        let (queue, queued) = mpsc::channel(QUEUE);
        let (hand, mut handed) = mpsc::channel::<Frame>(QUEUE);
        tokio::spawn(write(to, queued));
        tokio::spawn(async move {
            while let Some(request) = handed.recv().await {
                if queue.send(request).await.is_err() {
                    return;
                }
            }
        });
        tokio::spawn(read(from, async move |frame| {
            let _ = hand.send(frame).await;
        }));
    }
}

async fn write(mut to: OwnedWriteHalf, mut queued: mpsc::Receiver<Frame>) {
    let mut buffer = BytesMut::new();
    while let Some(frame) = queued.recv().await {
        put(&mut buffer, &frame);
        while buffer.len() < CHUNK
            && let Ok(frame) = queued.try_recv()
        {
            put(&mut buffer, &frame);
        }
        // The end of a stream is the end of its measurement.
        if to.write_all_buf(&mut buffer).await.is_err() {
            return;
        }
    }
}

fn put(buffer: &mut BytesMut, (number, payload): &Frame) {
    buffer.put_u32(payload.len() as u32);
    buffer.put_u64(*number);
    buffer.put_slice(payload);
}

async fn read(mut from: OwnedReadHalf, mut handle: impl AsyncFnMut(Frame)) {
    let mut buffer = BytesMut::new();
    loop {
        while buffer.len() >= HEADER {
            let length = u32::from_be_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]) as usize;
            if buffer.len() < HEADER + length {
                break;
            }
            buffer.advance(4);
            let number = buffer.get_u64();
            handle((number, buffer.split_to(length).freeze())).await;
        }
        buffer.reserve(CHUNK);
        if !matches!(from.read_buf(&mut buffer).await, Ok(1..)) {
            return;
        }
    }
}
