//! Compression of what is sent, before it is queued: by whoever sends, and so on many threads.

use std::cell::RefCell;

use bytes::Bytes;
use partisan_proto::wire::{self, COMPRESS_FROM, FRAME_PREFIX};

use super::Connection;
use super::queue::{Outgoing, Pressure, PutError};

/// What is kept of the buffer that a thread encodes into.
const KEEP: usize = 64 << 10;

impl Connection {
    /// Queues a frame, compressed where that was agreed and makes it shorter.
    pub(crate) fn put(&self, outgoing: Outgoing<'_>) -> Result<Pressure, PutError> {
        let agreed = self.lane.get().is_some_and(|(_, terms)| terms.compressed);
        if agreed && let Some(encoded) = compressed(&outgoing) {
            return self.queue.put(&Outgoing::Encoded(&encoded, outgoing.into_reserved()));
        }
        self.queue.put(&outgoing)
    }
}

/// A frame with a payload as a compressed one, where that is shorter.
fn compressed(outgoing: &Outgoing<'_>) -> Option<Bytes> {
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    let bytes = match outgoing {
        Outgoing::App { header, payload, .. } => {
            FRAME_PREFIX + header.encoded_len() + payload.len()
        }
        Outgoing::Core(frame) => frame.payload_frame_len(),
        Outgoing::Encoded(..) => 0,
    };
    if bytes < COMPRESS_FROM {
        return None;
    }
    BUFFER.with_borrow_mut(|encoded| {
        encoded.clear();
        match outgoing {
            Outgoing::App { header, payload, .. } => {
                wire::encode_app(header, payload.len(), encoded);
                encoded.extend_from_slice(payload.bytes());
            }
            Outgoing::Core(frame) => wire::encode(frame, encoded),
            Outgoing::Encoded(..) => {}
        }
        let mut out = Vec::new();
        let shorter = wire::compress_frame(encoded, &mut out);
        encoded.clear();
        encoded.shrink_to(KEEP);
        // It was made as long as it might have become.
        out.shrink_to_fit();
        shorter.then(|| out.into())
    })
}
