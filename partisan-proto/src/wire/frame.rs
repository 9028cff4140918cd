//! Frames: a length, a kind, a body.

use alloc::boxed::Box;
use alloc::vec::Vec;

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    AppHeader, ControlMessage, DecodeError, Destination, Hello, MAX_CONTROL_FRAME, Refuse,
    encode_app_header,
};

/// The bytes before a frame's body: length and kind.
pub const FRAME_PREFIX: usize = 5;
/// The least that any side's frame limit may be.
pub const MIN_FRAME_LIMIT: u32 = 1 << 10;

const HELLO: u8 = 0;
const APP: u8 = 1;
const CONTROL: u8 = 2;
const REFUSE: u8 = 3;
const SKIPPABLE: u8 = 0x80;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Frame {
    /// The first frame of each side.
    Hello(Box<Hello>),
    /// An application message.
    App {
        /// Whom it is for.
        destination: Destination,
        /// What it says.
        #[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_payload))]
        payload: Bytes,
    },
    /// A message of the protocol itself.
    Control(ControlMessage),
    /// The handshake is refused.
    Refuse(Refuse),
}

/// What [`decode`] found at the front of the buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A whole frame; its bytes were taken from the buffer.
    Frame(Frame),
    /// A frame of a later version that may be skipped; its bytes were taken from the buffer.
    Skipped,
    /// Not yet a whole frame: at least this many more bytes are needed.
    Incomplete(usize),
}

/// Takes one frame from the front of `buffer`.
///
/// `limit` is the longest frame this side takes (its `max_frame`); control frames, hellos and
/// refusals are further limited to [`MAX_CONTROL_FRAME`]. Payloads share the memory of the buffer.
///
/// # Errors
/// [`DecodeError`]; the stream cannot be understood any further and must be closed.
pub fn decode(buffer: &mut BytesMut, limit: u32) -> Result<Decoded, DecodeError> {
    let Some(prefix) = buffer.get(..4) else {
        return Ok(Decoded::Incomplete(FRAME_PREFIX - buffer.len()));
    };
    let length = u32::from_be_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]);
    if length == 0 {
        return Err(DecodeError::Empty);
    }
    // The kind decides the limit, so that a peer cannot announce a long control frame.
    let Some(kind) = buffer.get(4).copied() else {
        return oversize(length, limit).unwrap_or(Ok(Decoded::Incomplete(1)));
    };
    let limit = if kind == APP || kind >= SKIPPABLE {
        limit
    } else {
        limit.min(MAX_CONTROL_FRAME)
    };
    if let Some(error) = oversize(length, limit) {
        return error;
    }
    let whole = 4 + length as usize;
    if buffer.len() < whole {
        return Ok(Decoded::Incomplete(whole - buffer.len()));
    }
    let body = buffer.split_to(whole).freeze().slice(FRAME_PREFIX..);
    decode_body(kind, body)
}

fn oversize(length: u32, limit: u32) -> Option<Result<Decoded, DecodeError>> {
    (length > limit).then_some(Err(DecodeError::Oversize { length, limit }))
}

fn decode_body(kind: u8, body: Bytes) -> Result<Decoded, DecodeError> {
    let frame = match kind {
        APP => {
            let (AppHeader { destination }, payload) = AppHeader::decode(&body)?;
            Frame::App {
                destination,
                payload,
            }
        }
        CONTROL => Frame::Control(ControlMessage::decode(&body)?),
        HELLO => Frame::Hello(Box::new(Hello::decode(&body)?)),
        REFUSE => Frame::Refuse(Refuse::decode(&body)?),
        SKIPPABLE.. => return Ok(Decoded::Skipped),
        unknown => return Err(DecodeError::UnknownKind(unknown)),
    };
    Ok(Decoded::Frame(frame))
}

/// The kind byte of the frame at the front of `buffer`, if it has arrived.
#[must_use]
pub fn peek_kind(buffer: &[u8]) -> Option<u8> {
    buffer.get(4).copied()
}

/// Appends `frame` to `out`, whole.
pub fn encode(frame: &Frame, out: &mut Vec<u8>) {
    match frame {
        Frame::App {
            destination,
            payload,
        } => {
            encode_app(
                &AppHeader {
                    destination: destination.clone(),
                },
                payload.len(),
                out,
            );
            out.put_slice(payload);
        }
        Frame::Control(message) => with_prefix(CONTROL, out, |out| message.encode(out)),
        Frame::Hello(hello) => with_prefix(HELLO, out, |out| hello.encode(out)),
        Frame::Refuse(refuse) => with_prefix(REFUSE, out, |out| refuse.encode(out)),
    }
}

/// Appends all of an application frame but its payload of `payload` bytes, which must follow.
pub fn encode_app(header: &AppHeader, payload: usize, out: &mut Vec<u8>) {
    let length = 1 + header.encoded_len() + payload;
    // Senders check against the peer's limit, which is below 2^32, before they come here.
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    out.put_u8(APP);
    encode_app_header(header, out);
}

fn with_prefix(kind: u8, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.put_u32(0);
    out.put_u8(kind);
    body(out);
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

#[cfg(feature = "arbitrary")]
fn arbitrary_payload(u: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Bytes> {
    let payload: Vec<u8> = u.arbitrary()?;
    Ok(payload.into())
}
