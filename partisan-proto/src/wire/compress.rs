//! Compressed frames: another frame, whole, as one LZ4 block.
//!
//! A frame says itself that it is compressed, so the two sides of a channel need not be configured
//! alike; whether the other side reads such frames its hello says ([`FEATURE_LZ4`]).

use alloc::vec;
use alloc::vec::Vec;

use bytes::{BufMut, Bytes};
use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};

use super::{DecodeError, FRAME_PREFIX};

/// The bit of [`Hello::features`](super::Hello::features) of nodes that read compressed frames.
pub const FEATURE_LZ4: u64 = 1;
/// Shorter frames than this many bytes are not worth compressing.
pub const COMPRESS_FROM: usize = 256;

/// The bytes of a frame that tell how long the inner one is.
const LENGTH: usize = 4;
/// A block cannot stand for more bytes than this many times its own.
const MOST_RATIO: usize = 255;

/// Appends `encoded`, one whole frame with a payload, to `out` as a compressed frame of this kind;
/// `false`, and nothing appended, when it would not be shorter.
pub(super) fn compress(kind: u8, encoded: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(inner) = encoded.get(FRAME_PREFIX - 1..).filter(|_| encoded.len() >= COMPRESS_FROM)
    else {
        return false;
    };
    let Ok(length) = u32::try_from(inner.len()) else {
        return false;
    };
    let start = out.len();
    out.put_u32(0);
    out.put_u8(kind);
    out.put_u32(length);
    let block = out.len();
    out.resize(block + get_maximum_output_size(inner.len()), 0);
    // There is room for any outcome.
    let written = compress_into(inner, &mut out[block..]).unwrap_or(usize::MAX);
    let bytes = written.saturating_add(block - start);
    if bytes >= encoded.len() {
        out.truncate(start);
        return false;
    }
    out.truncate(start + bytes);
    // Shorter than the inner one, whose length fits.
    let length = (bytes - (FRAME_PREFIX - 1)) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    true
}

/// The inner frame of a compressed one: its kind and its body. Nothing is allocated that the block
/// could not fill, nor beyond `limit`.
pub(super) fn decompress(body: &Bytes, limit: u32) -> Result<(u8, Bytes), DecodeError> {
    let (length, block) = body.split_first_chunk::<LENGTH>().ok_or(DecodeError::Truncated)?;
    let length = u32::from_be_bytes(*length);
    if length > limit {
        return Err(DecodeError::Oversize { length, limit });
    }
    let length = length as usize;
    if length == 0 || length > block.len().saturating_mul(MOST_RATIO) {
        return Err(DecodeError::BadCompression);
    }
    let mut inner = vec![0; length];
    match decompress_into(block, &mut inner) {
        Ok(written) if written == length => {
            let inner = Bytes::from(inner);
            Ok((inner[0], inner.slice(1..)))
        }
        _ => Err(DecodeError::BadCompression),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Decoded, Frame, compress_frame, decode, encode};
    use super::*;
    use crate::wire::strategies::frame;
    use bytes::BytesMut;
    use proptest::prelude::*;

    const LIMIT: u32 = 1 << 16;

    fn app(payload: Vec<u8>) -> Frame {
        Frame::App { destination: Default::default(), payload: payload.into() }
    }

    fn compressed(frame: &Frame) -> Option<Vec<u8>> {
        let (mut encoded, mut out) = (Vec::new(), vec![9]);
        encode(frame, &mut encoded);
        let shorter = compress_frame(&encoded, &mut out);
        assert_eq!(out[0], 9, "what was there stays");
        assert!(shorter || out.len() == 1);
        assert!(out.len() <= encoded.len());
        shorter.then(|| out.split_off(1))
    }

    fn read(bytes: &[u8]) -> Result<Decoded, DecodeError> {
        decode(&mut BytesMut::from(bytes), LIMIT)
    }

    /// A compressed frame that says its inner one has so many bytes.
    fn lie(length: u32, block: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.put_u32(5 + block.len() as u32);
        bytes.put_u8(11);
        bytes.put_u32(length);
        bytes.put_slice(block);
        bytes
    }

    proptest! {
        #[test]
        fn what_is_compressed_is_read_as_what_it_was(
            frame in frame(), byte: u8, length in 0..5_000_usize,
        ) {
            let frames = [frame, app(vec![byte; length])];
            for frame in frames.into_iter().filter(|frame| frame.payload_frame_len() > 0) {
                if let Some(bytes) = compressed(&frame) {
                    let decoded = decode(&mut BytesMut::from(&bytes[..]), 16 * LIMIT);
                    prop_assert!(decoded == Ok(Decoded::Frame(frame)));
                }
            }
        }

        #[test]
        fn any_block_is_read_or_refused(
            length in 0..70_000_u32, block in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            if let Ok(decoded) = read(&lie(length, &block)) {
                prop_assert!(matches!(decoded, Decoded::Frame(frame) if frame.has_payload()));
            }
        }
    }

    #[test]
    fn short_and_random_frames_stay_as_they_are() {
        assert_eq!(compressed(&app(vec![7; COMPRESS_FROM - 7])), None);
        assert!(compressed(&app(vec![7; COMPRESS_FROM])).is_some());
        let mut number = 1_u64;
        let random = (0..1_000).map(|_| {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (number >> 56) as u8
        });
        assert_eq!(compressed(&app(random.collect())), None);
    }

    #[test]
    fn a_frame_may_not_grow_beyond_the_limit() {
        let bytes = compressed(&app(vec![0; 2 * LIMIT as usize])).unwrap();
        assert!(bytes.len() < 2_000);
        let length = 2 * LIMIT + 2;
        assert_eq!(read(&bytes), Err(DecodeError::Oversize { length, limit: LIMIT }));
    }

    #[test]
    fn a_lie_about_the_length_is_refused_before_memory_is_taken() {
        for length in [0, 60_000] {
            assert_eq!(read(&lie(length, &[0; 4])), Err(DecodeError::BadCompression));
        }
        assert_eq!(read(&lie(100, b"no block at all")), Err(DecodeError::BadCompression));
        let cut = [0, 0, 0, 3, 11, 0, 0];
        assert_eq!(read(&cut), Err(DecodeError::Truncated));
    }

    #[test]
    fn only_frames_with_payloads_are_read_inside_one() {
        let inside = |kind: u8| {
            let mut inner = vec![0; 600];
            inner[0] = kind;
            let mut block = vec![0; get_maximum_output_size(inner.len())];
            let written = compress_into(&inner, &mut block).unwrap();
            read(&lie(600, &block[..written]))
        };
        assert!(matches!(inside(1), Ok(Decoded::Frame(Frame::App { .. }))));
        for kind in [0, 2, 3, 6, 11, 12, 0x80] {
            assert_eq!(inside(kind), Err(DecodeError::BadCompression), "kind {kind}");
        }
    }
}
