//! Encoded frames, ready to be written with as few copies and system calls as possible.

use std::io::IoSlice;

use bytes::Bytes;
use partisan_proto::wire::{self, AppHeader, Frame};

/// Payloads from this size on are not copied, only referred to.
const SHARE_FROM: usize = 16 << 10;
/// The most pieces of one vectored write; the limit of Linux is 1,024.
pub(crate) const MAX_SLICES: usize = 64;
/// What an idle buffer may keep.
const KEEP: usize = 256 << 10;

/// A payload to be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Payload<'a> {
    /// Must be copied.
    Borrowed(&'a [u8]),
    /// May be shared when it is long.
    Shared(&'a Bytes),
}

impl Payload<'_> {
    pub(crate) fn len(&self) -> usize {
        self.bytes().len()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }

    pub(crate) fn to_bytes(self) -> Bytes {
        match self {
            Self::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            Self::Shared(bytes) => bytes.clone(),
        }
    }
}

/// Encoded frames: one growing buffer, with long payloads in between.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    copied: Vec<u8>,
    /// Long payloads, each with the place in `copied` behind which it stands.
    shared: Vec<(usize, Bytes)>,
    /// Bytes of all frames.
    bytes: usize,
    /// Room reserved in the queue for the frames.
    pub(crate) permits: usize,
    /// What is written already: whole pieces, and bytes of the next.
    piece: usize,
    offset: usize,
    written: usize,
}

impl Batch {
    pub(crate) fn put_frame(&mut self, frame: &Frame) {
        if let Frame::App { destination, payload } = frame {
            let destination = destination.clone();
            return self.put_app(&AppHeader { destination }, Payload::Shared(payload));
        }
        if let Frame::Broadcast(message) = frame {
            let before = self.copied.len();
            wire::encode_broadcast(message, &mut self.copied);
            return self.put_payload(before, Payload::Shared(&message.payload));
        }
        let before = self.copied.len();
        if let Frame::Relayed { header, payload } = frame {
            wire::encode_relayed(header, payload.len(), &mut self.copied);
            return self.put_payload(before, Payload::Shared(payload));
        }
        wire::encode(frame, &mut self.copied);
        self.bytes += self.copied.len() - before;
    }

    pub(crate) fn put_app(&mut self, header: &AppHeader, payload: Payload<'_>) {
        let before = self.copied.len();
        wire::encode_app(header, payload.len(), &mut self.copied);
        self.put_payload(before, payload);
    }

    /// A whole frame, encoded already.
    pub(crate) fn put_encoded(&mut self, encoded: &Bytes) {
        self.put_payload(self.copied.len(), Payload::Shared(encoded));
    }

    /// Appends the payload of a frame whose header begins at `before`.
    fn put_payload(&mut self, before: usize, payload: Payload<'_>) {
        self.bytes += self.copied.len() - before + payload.len();
        match payload {
            Payload::Shared(bytes) if bytes.len() >= SHARE_FROM => {
                self.shared.push((self.copied.len(), bytes.clone()));
            }
            Payload::Shared(bytes) => self.copied.extend_from_slice(bytes),
            Payload::Borrowed(bytes) => self.copied.extend_from_slice(bytes),
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    pub(crate) const fn is_written(&self) -> bool {
        self.written == self.bytes
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets everything. Memory that this batch could have done without is given back, so that a
    /// busy connection keeps it and an idle one does not.
    pub(crate) fn clear(&mut self) {
        if self.copied.capacity() > KEEP && self.copied.len() < KEEP / 2 {
            self.copied = Vec::new();
        }
        self.copied.clear();
        self.shared.clear();
        (self.bytes, self.permits) = (0, 0);
        (self.piece, self.offset, self.written) = (0, 0, 0);
    }

    /// Even pieces are stretches of `copied`, odd ones long payloads.
    fn piece(&self, number: usize) -> &[u8] {
        let place = number / 2;
        if number % 2 == 1 {
            return &self.shared[place].1;
        }
        let start = place.checked_sub(1).map_or(0, |last| self.shared[last].0);
        let end = self.shared.get(place).map_or(self.copied.len(), |next| next.0);
        &self.copied[start..end]
    }

    /// Fills `slices` with what is to be written next; says how many are used.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; MAX_SLICES]) -> usize {
        let (mut used, mut offset) = (0, self.offset);
        for number in self.piece..=2 * self.shared.len() {
            let piece = &self.piece(number)[offset..];
            offset = 0;
            if !piece.is_empty() {
                slices[used] = IoSlice::new(piece);
                used += 1;
                if used == MAX_SLICES {
                    break;
                }
            }
        }
        used
    }

    /// Notes that `count` more bytes are written.
    pub(crate) fn advance(&mut self, mut count: usize) {
        self.written += count;
        while count > 0 {
            let rest = self.piece(self.piece).len() - self.offset;
            if count < rest {
                self.offset += count;
                return;
            }
            count -= rest;
            self.piece += 1;
            self.offset = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(batch: &mut Batch, step: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !batch.is_written() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let used = batch.slices(&mut slices);
            let now: Vec<u8> = slices[..used].iter().flat_map(|s| s.to_vec()).collect();
            let count = now.len().min(step);
            all.extend_from_slice(&now[..count]);
            batch.advance(count);
        }
        all
    }

    #[test]
    fn what_is_written_in_any_steps_is_what_was_put() {
        let long = Bytes::from(vec![7; SHARE_FROM]);
        let short = Bytes::from_static(b"short");
        for order in [[&long, &short, &long], [&short, &short, &long], [&long, &long, &short]] {
            let mut expected = Vec::new();
            for payload in order {
                let frame =
                    Frame::App { destination: wire::Destination::Inbox, payload: payload.clone() };
                wire::encode(&frame, &mut expected);
            }
            for step in [97, 1000, 16_384, 1 << 20] {
                let mut batch = Batch::default();
                for payload in order {
                    batch.put_app(&AppHeader::default(), Payload::Shared(payload));
                }
                assert_eq!(batch.bytes(), expected.len());
                assert!(written(&mut batch, step) == expected);
                batch.clear();
                assert!(batch.is_empty());
            }
        }
    }

    #[test]
    fn a_busy_batch_keeps_its_memory_and_an_idle_one_gives_it_back() {
        let long = vec![7; 2 * KEEP];
        let mut batch = Batch::default();
        batch.put_app(&AppHeader::default(), Payload::Borrowed(&long));
        batch.clear();
        assert!(batch.copied.capacity() >= long.len(), "the next burst needs it");
        batch.clear();
        assert_eq!(batch.copied.capacity(), 0);
    }

    #[test]
    fn more_pieces_than_one_write_takes_are_written_in_several() {
        let long = Bytes::from(vec![7; SHARE_FROM]);
        let mut batch = Batch::default();
        for _ in 0..MAX_SLICES {
            batch.put_app(&AppHeader::default(), Payload::Shared(&long));
        }
        let bytes = batch.bytes();
        assert_eq!(written(&mut batch, usize::MAX).len(), bytes);
    }
}
