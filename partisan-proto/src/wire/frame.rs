//! Frames: a length, a kind, a body.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use serde::Serialize;

use super::app::INBOX;
use super::call::{decode_header, encode_header, header_len};
use super::compress::{compress, decompress};
use super::{
    AppHeader, BroadcastMessage, ControlMessage, DecodeError, Destination, Hello,
    MAX_CONTROL_FRAME, NewestHeader, ProcessMessage, Refuse, RelayHeader, ReliableHeader,
    ReplyHeader, RequestHeader, encode_app_header,
};

/// The bytes before a frame's body: length and kind.
pub const FRAME_PREFIX: usize = 5;
/// The least that any side's limit for application frames may be.
pub const MIN_FRAME_LIMIT: u32 = 1 << 10;
/// The longest hello or refusal, with what later versions may add. Small, since whoever can reach
/// the listener may send one.
pub const MAX_HELLO_FRAME: u32 = 4 << 10;

const HELLO: u8 = 0;
const APP: u8 = 1;
const CONTROL: u8 = 2;
const REFUSE: u8 = 3;
const BROADCAST: u8 = 4;
const RELAYED: u8 = 5;
const SIGNAL: u8 = 6;
const REQUEST: u8 = 7;
const REPLY: u8 = 8;
const RELIABLE: u8 = 9;
const NEWEST: u8 = 10;
const COMPRESSED: u8 = 11;
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
    /// A broadcast message, shared by the frames to several peers.
    Broadcast(Arc<BroadcastMessage>),
    /// An application message on its way to a node that the sender is not connected to.
    Relayed {
        /// From whom, to whom, how far.
        header: Box<RelayHeader>,
        /// What it says.
        #[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_payload))]
        payload: Bytes,
    },
    /// A signal between processes that keeps its place among the messages of a lane.
    Signal(Box<ProcessMessage>),
    /// An application message that must arrive.
    Reliable {
        /// Which, and after what.
        header: Box<ReliableHeader>,
        /// What it says.
        #[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_payload))]
        payload: Bytes,
    },
    /// An application message of a monotonic channel.
    Newest {
        /// Of which messages it is the newest.
        header: Box<NewestHeader>,
        /// What it says.
        #[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_payload))]
        payload: Bytes,
    },
    /// A call.
    Request {
        /// Whose, and who is to answer.
        header: Box<RequestHeader>,
        /// What is asked.
        #[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_payload))]
        payload: Bytes,
    },
    /// The answer to a call.
    Reply {
        /// Of which.
        header: Box<ReplyHeader>,
        /// The answer.
        #[cfg_attr(feature = "arbitrary", arbitrary(with = arbitrary_payload))]
        payload: Bytes,
    },
}

impl Frame {
    /// Whether it carries a payload of the application, or keeps its place among those that do: such
    /// frames travel on the lanes of channels, wait for room there, and never on the membership
    /// channel.
    #[must_use]
    pub const fn has_payload(&self) -> bool {
        !matches!(self, Self::Hello(_) | Self::Control(_) | Self::Refuse(_))
    }

    /// How many bytes a frame with a payload has after its length, as the limit of a peer counts
    /// them; none for other frames.
    #[must_use]
    pub fn payload_frame_len(&self) -> usize {
        let kind = FRAME_PREFIX - 4;
        match self {
            Self::App { destination, payload } => kind + destination.header_len() + payload.len(),
            Self::Relayed { header, payload } => kind + header.encoded_len() + payload.len(),
            Self::Broadcast(message) => message.frame_len(),
            Self::Request { header, payload } => kind + header_len(&**header) + payload.len(),
            Self::Newest { header, payload } => {
                let destination = header.destination.header_len();
                kind + header_len(&**header) + destination + payload.len()
            }
            Self::Reliable { header, payload } => {
                let destination = header.destination.header_len();
                kind + header.encoded_len() + destination + payload.len()
            }
            Self::Reply { header, payload } => kind + header_len(&**header) + payload.len(),
            // Its limit is that of control frames, whatever the peer's.
            Self::Signal(_) => 0,
            Self::Hello(_) | Self::Control(_) | Self::Refuse(_) => 0,
        }
    }
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
/// `limit` is the longest application or broadcast frame this side takes (its `max_frame`), and the
/// longest frame of a kind that may be skipped. The other kinds have fixed limits, whatever `limit` is:
/// [`MAX_CONTROL_FRAME`] and [`MAX_HELLO_FRAME`]. Until a handshake message
/// ([`ControlMessage::is_handshake`]) has arrived on a connection a reader should pass
/// [`MIN_FRAME_LIMIT`], so that a stranger cannot make it buffer long messages.
///
/// Nothing is allocated for what has not arrived, and what cannot become a legal frame is told as
/// soon as its first five bytes show it. Payloads share the memory of the buffer: one that is kept
/// for long keeps the whole read it came in.
///
/// # Errors
/// [`DecodeError`]; the stream cannot be understood any further and must be closed.
pub fn decode(buffer: &mut BytesMut, limit: u32) -> Result<Decoded, DecodeError> {
    match front(buffer, limit)? {
        Front::Incomplete(missing) => Ok(Decoded::Incomplete(missing)),
        Front::Whole { kind, bytes } => {
            let body = buffer.split_to(bytes).freeze().slice(FRAME_PREFIX..);
            decode_outer(kind, body, limit)
        }
    }
}

/// How many more bytes, at least, the frame at the front of `buffer` needs; nought when it is
/// whole.
///
/// # Errors
/// As [`decode`], as far as the frame's prefix shows.
pub fn missing(buffer: &[u8], limit: u32) -> Result<usize, DecodeError> {
    Ok(match front(buffer, limit)? {
        Front::Incomplete(missing) => missing,
        Front::Whole { .. } => 0,
    })
}

enum Front {
    /// The frame has so many bytes, its length included.
    Whole { kind: u8, bytes: usize },
    /// At least so many more are needed.
    Incomplete(usize),
}

fn front(buffer: &[u8], limit: u32) -> Result<Front, DecodeError> {
    let Some(prefix) = buffer.first_chunk::<4>() else {
        return Ok(Front::Incomplete(FRAME_PREFIX - buffer.len()));
    };
    let length = u32::from_be_bytes(*prefix);
    if length == 0 {
        return Err(DecodeError::Empty);
    }
    // The limit depends on the kind: judged before it, a frame cut here would be told otherwise.
    let Some(kind) = peek_kind(buffer) else {
        return Ok(Front::Incomplete(1));
    };
    within(length, limit_of(kind, limit)?)?;
    let bytes = 4 + length as usize;
    Ok(match bytes.checked_sub(buffer.len()) {
        None | Some(0) => Front::Whole { kind, bytes },
        Some(missing) => Front::Incomplete(missing),
    })
}

/// The whole frames of a read, to be decoded one by one.
///
/// What [`decode`] says of each, in the same order, at a fraction of the cost: they are taken from
/// the buffer together. Ends after the first error.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    bytes: Bytes,
    limit: u32,
}

impl Frames {
    /// Takes every whole frame from the front of `buffer`, up to one that is incomplete or illegal:
    /// which of the two, [`missing`] tells. `limit` as for [`decode`].
    #[must_use]
    pub fn take(buffer: &mut BytesMut, limit: u32) -> Self {
        let mut end = 0;
        while let Ok(Front::Whole { bytes, .. }) = front(&buffer[end..], limit) {
            end += bytes;
        }
        if end == 0 {
            return Self::default();
        }
        Self { bytes: buffer.split_to(end).freeze(), limit }
    }
}

impl Iterator for Frames {
    type Item = Result<Decoded, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let [prefix @ .., kind] = *self.bytes.first_chunk::<FRAME_PREFIX>()?;
        let bytes = 4 + u32::from_be_bytes(prefix) as usize;
        // By far the most frequent case, without a detour.
        let plain = kind == APP && bytes > FRAME_PREFIX && self.bytes[FRAME_PREFIX] == INBOX;
        let decoded = if plain {
            let payload = self.bytes.slice(FRAME_PREFIX + 1..bytes);
            self.bytes.advance(bytes);
            let destination = Destination::Inbox;
            Ok(Decoded::Frame(Frame::App { destination, payload }))
        } else {
            let body = self.bytes.split_to(bytes).slice(FRAME_PREFIX..);
            decode_outer(kind, body, self.limit)
        };
        if decoded.is_err() {
            self.bytes.clear();
        }
        Some(decoded)
    }
}

/// How long a frame of this kind may be.
fn limit_of(kind: u8, limit: u32) -> Result<u32, DecodeError> {
    match kind {
        APP | BROADCAST | RELAYED | REQUEST | REPLY | RELIABLE | NEWEST => Ok(limit),
        COMPRESSED | SKIPPABLE.. => Ok(limit),
        CONTROL | SIGNAL => Ok(MAX_CONTROL_FRAME),
        HELLO | REFUSE => Ok(MAX_HELLO_FRAME),
        unknown => Err(DecodeError::UnknownKind(unknown)),
    }
}

fn within(length: u32, limit: u32) -> Result<(), DecodeError> {
    if length > limit {
        return Err(DecodeError::Oversize { length, limit });
    }
    Ok(())
}

/// As [`decode_body`], of a frame that may be compressed.
fn decode_outer(kind: u8, body: Bytes, limit: u32) -> Result<Decoded, DecodeError> {
    if kind != COMPRESSED {
        return decode_body(kind, body);
    }
    match decompress(&body, limit)? {
        (kind @ (APP | BROADCAST | RELAYED | REQUEST | REPLY | RELIABLE | NEWEST), body) => {
            decode_body(kind, body)
        }
        _ => Err(DecodeError::BadCompression),
    }
}

fn decode_body(kind: u8, body: Bytes) -> Result<Decoded, DecodeError> {
    let frame = match kind {
        APP => {
            let (AppHeader { destination }, payload) = AppHeader::decode(&body)?;
            Frame::App { destination, payload }
        }
        CONTROL => Frame::Control(ControlMessage::decode(&body)?),
        HELLO => Frame::Hello(Box::new(Hello::decode(&body)?)),
        REFUSE => Frame::Refuse(Refuse::decode(&body)?),
        RELAYED => {
            let (header, payload) = RelayHeader::decode(&body)?;
            Frame::Relayed { header: Box::new(header), payload }
        }
        BROADCAST => Frame::Broadcast(Arc::new(BroadcastMessage::decode(body)?)),
        SIGNAL => Frame::Signal(Box::new(ProcessMessage::decode(&body)?)),
        REQUEST => {
            let (header, payload) = decode_header(&body)?;
            Frame::Request { header: Box::new(header), payload }
        }
        NEWEST => {
            let (header, rest) = decode_header(&body)?;
            let (AppHeader { destination }, payload) = AppHeader::decode(&rest)?;
            let header = NewestHeader { destination, ..header };
            Frame::Newest { header: Box::new(header), payload }
        }
        RELIABLE => {
            let (header, rest) = ReliableHeader::decode(&body)?;
            let (AppHeader { destination }, payload) = AppHeader::decode(&rest)?;
            let header = ReliableHeader { destination, ..header };
            Frame::Reliable { header: Box::new(header), payload }
        }
        REPLY => {
            let (header, payload) = decode_header(&body)?;
            Frame::Reply { header: Box::new(header), payload }
        }
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
        Frame::App { destination, payload } => {
            encode_app(&AppHeader { destination: destination.clone() }, payload.len(), out);
            out.put_slice(payload);
        }
        Frame::Control(message) => with_prefix(CONTROL, out, |out| message.encode(out)),
        Frame::Hello(hello) => with_prefix(HELLO, out, |out| hello.encode(out)),
        Frame::Refuse(refuse) => with_prefix(REFUSE, out, |out| refuse.encode(out)),
        Frame::Relayed { header, payload } => {
            encode_relayed(header, payload.len(), out);
            out.put_slice(payload);
        }
        Frame::Broadcast(message) => {
            encode_broadcast(message, out);
            out.put_slice(&message.payload);
        }
        Frame::Signal(message) => with_prefix(SIGNAL, out, |out| message.encode(out)),
        Frame::Request { header, payload } => {
            encode_request(header, payload.len(), out);
            out.put_slice(payload);
        }
        Frame::Newest { header, payload } => {
            encode_newest(header, payload.len(), out);
            out.put_slice(payload);
        }
        Frame::Reliable { header, payload } => {
            encode_reliable(header, payload.len(), out);
            out.put_slice(payload);
        }
        Frame::Reply { header, payload } => {
            encode_reply(header, payload.len(), out);
            out.put_slice(payload);
        }
    }
}

/// Appends `encoded`, one whole frame with a payload, to `out` as a compressed frame; `false`, and
/// nothing appended, when that would not be shorter.
///
/// For peers that read such frames alone:
/// [`PeerRoutes::compresses`](crate::PeerRoutes::compresses).
pub fn compress_frame(encoded: &[u8], out: &mut Vec<u8>) -> bool {
    compress(COMPRESSED, encoded, out)
}

/// Appends all of an application frame but its payload of `payload` bytes, which must follow.
pub fn encode_app(header: &AppHeader, payload: usize, out: &mut Vec<u8>) {
    let length = 1 + header.encoded_len() + payload;
    // Senders check against the peer's limit, which is below 2^32, before they come here.
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    out.put_u8(APP);
    encode_app_header(header, out);
}

/// Appends all of a relayed frame but its payload of `payload` bytes, which must follow.
pub fn encode_relayed(header: &RelayHeader, payload: usize, out: &mut Vec<u8>) {
    let length = 1 + header.encoded_len() + payload;
    // Senders check against the peer's limit, which is below 2^32, before they come here.
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    out.put_u8(RELAYED);
    header.encode(out);
}

/// Appends all of a broadcast frame but the payload, which must follow.
pub fn encode_broadcast(message: &BroadcastMessage, out: &mut Vec<u8>) {
    // As of application frames.
    out.put_u32(u32::try_from(message.frame_len()).unwrap_or(u32::MAX));
    out.put_u8(BROADCAST);
    message.encode_header(out);
}

/// Appends all of a request but its payload of `payload` bytes, which must follow.
pub fn encode_request(header: &RequestHeader, payload: usize, out: &mut Vec<u8>) {
    with_header(REQUEST, header, payload, out);
}

/// Appends all of an answer but its payload of `payload` bytes, which must follow.
pub fn encode_reply(header: &ReplyHeader, payload: usize, out: &mut Vec<u8>) {
    with_header(REPLY, header, payload, out);
}

/// Appends all of a message that must arrive but its payload of `payload` bytes, which must follow.
pub fn encode_reliable(header: &ReliableHeader, payload: usize, out: &mut Vec<u8>) {
    with_headers(RELIABLE, |out| header.encode(out), &header.destination, payload, out);
}

/// Appends all of a message of a monotonic channel but its payload of `payload` bytes, which must
/// follow.
pub fn encode_newest(header: &NewestHeader, payload: usize, out: &mut Vec<u8>) {
    let encode = |out: &mut Vec<u8>| encode_header(header, out);
    with_headers(NEWEST, encode, &header.destination, payload, out);
}

fn with_headers(
    kind: u8,
    header: impl FnOnce(&mut Vec<u8>),
    destination: &Destination,
    payload: usize,
    out: &mut Vec<u8>,
) {
    let app = AppHeader { destination: destination.clone() };
    with_prefix_and(kind, payload, out, |out| {
        header(out);
        encode_app_header(&app, out);
    });
}

fn with_header(kind: u8, header: &impl Serialize, payload: usize, out: &mut Vec<u8>) {
    with_prefix_and(kind, payload, out, |out| encode_header(header, out));
}

fn with_prefix(kind: u8, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    with_prefix_and(kind, 0, out, body);
}

/// With `payload` more bytes behind what `body` writes.
fn with_prefix_and(kind: u8, payload: usize, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.put_u32(0);
    out.put_u8(kind);
    body(out);
    // As of application frames.
    let length = u32::try_from(out.len() - start - 4 + payload).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

#[cfg(feature = "arbitrary")]
fn arbitrary_payload(u: &mut arbitrary::Unstructured<'_>) -> arbitrary::Result<Bytes> {
    let payload: Vec<u8> = u.arbitrary()?;
    Ok(payload.into())
}
