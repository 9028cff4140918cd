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

#[cfg(test)]
mod tests {
    use super::super::batch::{Batch, MAX_SLICES, Payload};
    use super::super::{Lane, Terms};
    use super::*;
    use crate::driver_config::DriverConfig;
    use bytes::BytesMut;
    use partisan_proto::wire::{AppHeader, Decoded, Frame};
    use partisan_proto::{ChannelId, ConnectionId, NodeId};
    use std::io::IoSlice;

    /// Puts a message and a frame of the core with so long a payload; says how many bytes wait, and
    /// what is read from them.
    fn put(compressed: bool, length: usize) -> (usize, Vec<Bytes>) {
        let id = ConnectionId::accepted(1);
        let connection = Connection::new(id, &DriverConfig::default(), None);
        let lane = Lane { peer: NodeId::from_u64(1), channel: ChannelId::DEFAULT };
        connection.assign(lane, Terms { max_frame: 1 << 20, compressed });
        let payload = Bytes::from(vec![7; length]);
        let header = AppHeader::default();
        let reserved = connection.queue.try_reserve(length + 6).unwrap();
        let shared = Payload::Shared(&payload);
        connection.put(Outgoing::App { header: &header, payload: shared, reserved }).unwrap();
        let frame = Frame::App { destination: header.destination, payload };
        connection.put(Outgoing::Core(&frame)).unwrap();
        let load = connection.queue.load();
        let (mut control, mut app) = (Batch::default(), Batch::default());
        assert!(connection.queue.take(&mut control, &mut app));
        assert_eq!(app.permits, length + 6, "what was reserved is given back");
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let used = app.slices(&mut slices);
        let mut bytes: BytesMut = slices[..used].iter().flat_map(|slice| slice.iter()).collect();
        let mut read = Vec::new();
        while let Ok(Decoded::Frame(Frame::App { payload, .. })) = wire::decode(&mut bytes, 1 << 20)
        {
            read.push(payload);
        }
        (load, read)
    }

    #[test]
    fn what_was_agreed_to_be_compressed_is_shorter_and_read_as_it_was() {
        let long = vec![Bytes::from(vec![7; 10_000]); 2];
        assert_eq!(put(false, 10_000), (20_012, long.clone()));
        let (load, read) = put(true, 10_000);
        assert!(load < 300, "{load}");
        assert!(read == long);
    }

    #[test]
    fn short_messages_stay_as_they_are() {
        let (load, read) = put(true, 100);
        assert_eq!((load, read.len()), (212, 2));
    }
}
