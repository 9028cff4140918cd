//! The wire format: any bytes, any chunking, any frame.

use arbitrary::{Arbitrary, Unstructured};
use bytes::BytesMut;
use partisan_proto::wire::{
    DecodeError, Decoded, Frame, Frames, MAX_CONTROL_FRAME, compress_frame, decode, encode, missing,
};

const LIMIT: u32 = 1 << 20;

/// Decodes the input twice, whole and cut into pieces whose size is its first byte: the outcome is
/// the same, and every frame that comes out survives being encoded again.
pub fn wire_decode(data: &[u8]) {
    let Some((cut, stream)) = data.split_first() else {
        return;
    };
    let whole = decode_all(stream, stream.len().max(1));
    let pieces = decode_all(stream, usize::from(*cut).max(1));
    assert_eq!(whole, pieces, "the chunking changed the outcome");
    let read = read_all(stream, usize::from(*cut).max(1));
    assert_eq!(whole, read, "taking frames together changed the outcome");
    for frame in whole.0 {
        assert_compresses(&frame);
        assert_eq!(encode_and_decode(&frame), Ok(Decoded::Frame(frame)));
    }
}

fn decode_all(stream: &[u8], cut: usize) -> (Vec<Frame>, Option<DecodeError>) {
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for piece in stream.chunks(cut) {
        buffer.extend_from_slice(piece);
        loop {
            let before = buffer.len();
            match decode(&mut buffer, LIMIT) {
                Ok(Decoded::Frame(frame)) => frames.push(frame),
                Ok(Decoded::Skipped) => {}
                Ok(Decoded::Incomplete(more)) => {
                    assert!(more > 0, "nothing is missing, yet nothing comes out");
                    assert_eq!(buffer.len(), before, "an incomplete frame was eaten");
                    break;
                }
                Err(error) => return (frames, Some(error)),
            }
            assert!(buffer.len() < before, "a frame came out of nothing");
        }
    }
    (frames, None)
}

/// A frame with a payload is read as what it was from its compressed form, if that is shorter.
fn assert_compresses(frame: &Frame) {
    let (mut encoded, mut shorter) = (Vec::new(), Vec::new());
    encode(frame, &mut encoded);
    if frame.payload_frame_len() > 0 && compress_frame(&encoded, &mut shorter) {
        assert!(shorter.len() < encoded.len());
        let decoded = decode(&mut BytesMut::from(&shorter[..]), LIMIT);
        assert_eq!(decoded, Ok(Decoded::Frame(frame.clone())));
    }
}

/// As a driver reads: all whole frames of a read together.
fn read_all(stream: &[u8], cut: usize) -> (Vec<Frame>, Option<DecodeError>) {
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for piece in stream.chunks(cut) {
        buffer.extend_from_slice(piece);
        for decoded in Frames::take(&mut buffer, LIMIT) {
            match decoded {
                Ok(Decoded::Frame(frame)) => frames.push(frame),
                Ok(_) => {}
                Err(error) => return (frames, Some(error)),
            }
        }
        if let Err(error) = missing(&buffer, LIMIT) {
            return (frames, Some(error));
        }
    }
    (frames, None)
}

/// Encodes the frame that the input stands for: decoding gives it back.
pub fn wire_round_trip(data: &[u8]) {
    let Ok(frame) = Frame::arbitrary(&mut Unstructured::new(data)) else {
        return;
    };
    let decoded = encode_and_decode(&frame);
    if let Err(DecodeError::Oversize { length, limit }) = decoded {
        assert!(length > limit && limit >= MAX_CONTROL_FRAME);
        return;
    }
    assert_compresses(&frame);
    assert_eq!(decoded, Ok(Decoded::Frame(frame)));
}

fn encode_and_decode(frame: &Frame) -> Result<Decoded, DecodeError> {
    let mut bytes = Vec::new();
    encode(frame, &mut bytes);
    let mut buffer = BytesMut::from(&bytes[..]);
    let decoded = decode(&mut buffer, LIMIT)?;
    assert!(buffer.is_empty(), "an encoded frame is longer than it says");
    Ok(decoded)
}
